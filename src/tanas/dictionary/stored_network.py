"""The trained network that an atom keeps beside its representative: what another task's training can begin with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from tanas.ground.errors import StoreError
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture, Network, Shape, build
from tanas.networks.operations import operation_names
from tanas.tasks.task import Split, image_keys

SEEN = "seen images"
"""The tensor of a file of weights that says which images the network was trained on."""


@dataclass(frozen=True, kw_only=True)
class StoredRecord:
    """All of a kept network but its weights."""

    architecture: Architecture
    shape: Shape
    """(channels, height, width) of the images that it takes."""
    classes: tuple[str, ...]
    """Names, in the order of the logits."""
    made_by: str
    """'score' (one fixed short training) or 'search' (the final training of a search)."""


@dataclass(frozen=True, eq=False, kw_only=True)
class StoredNetwork:
    """A trained network, and which images it has seen."""

    record: StoredRecord
    network: Network
    seen: Tensor
    """Sorted hashes of its training images, (images,) int64; those of a network that it began with among them."""

    def overlap(self, keys: Tensor) -> int:
        """How many images it was trained on: of a test split there may be none.

        Exactly equal pixels count; the same picture at another size or in other colours is not found.

        Args:
            keys: of the images, as `image_keys` gives them, (samples,).
        """
        return int(torch.isin(keys, self.seen).sum())


def known_here(record: StoredRecord) -> bool:
    """Whether all operations of a network are registered: those of another user may not be."""
    return {name for _, _, name in record.architecture.cell.edges} <= set(operation_names())


def stored(
    network: Network,
    architecture: Architecture,
    shape: Shape,
    classes: tuple[str, ...],
    split: Split,
    *,
    made_by: str,
    before: StoredNetwork | None = None,
) -> StoredNetwork:
    """A network as an atom keeps it.

    Args:
        network: trained.
        architecture: its own.
        shape: (channels, height, width) of the images.
        classes: names, in the order of the logits.
        split: what it was trained on.
        made_by: 'score' or 'search'.
        before: the network whose weights it began with.
    """
    seen = [image_keys(split), *([] if before is None else [before.seen])]
    return StoredNetwork(
        record=StoredRecord(architecture=architecture, shape=shape, classes=classes, made_by=made_by),
        network=network,
        seen=torch.unique(torch.cat(seen)),
    )


def tensors_of(one: StoredNetwork) -> dict[str, Tensor]:
    """Its weights and the hashes of the images that it has seen, as they are stored."""
    state = {name: value.contiguous() for name, value in one.network.state_dict().items()}
    return {**state, SEEN: one.seen}


def stored_from(record: StoredRecord, tensors: Mapping[str, Tensor]) -> StoredNetwork:
    """The network of a record and its stored tensors.

    Raises:
        StoreError: they don't belong together.
    """
    state = dict(tensors)
    try:
        seen = state.pop(SEEN)
        network = build(record.architecture, record.shape, len(record.classes), Seed())
        network.load_state_dict(state)
    except (KeyError, RuntimeError) as error:
        raise StoreError(f"The weights are not those of the architecture beside them: {error}") from error
    return StoredNetwork(record=record, network=network.eval().requires_grad_(False), seen=seen)


def carried(
    one: StoredNetwork, shape: Shape, classes: tuple[str, ...], seed: Seed, *, share: float = 1.0
) -> Network:
    """A network for another task that begins with the weights of a kept one.

    All of it is carried over but what does not fit: the head is new unless the classes are the same, and a stem for
    other colours takes the mean over the old ones. The pixels' mean and deviation are the new task's own.

    Args:
        one: what it begins with.
        shape: (channels, height, width) of the new task's images; any size fits.
        classes: of the new task.
        seed: of the weights that are new.
        share: of the old weights in kernels and matrices; the rest is of new ones. Below 1 it learns faster than from
            scratch and, unlike at 1, generalises no worse.

    Source: Ash and Adams, On Warm-Starting Neural Network Training, NeurIPS 2020 (shrink and perturb).
    """
    network = build(one.record.architecture, shape, len(classes), seed)
    own = network.state_dict()
    before, after = one.record.shape[0], shape[0]
    for name, value in one.network.state_dict().items():
        if name.startswith("norm.") or (name.startswith("head.") and classes != one.record.classes):
            continue
        if name == "stem.0.weight" and before != after:
            # what a grey image gave, one with three equal colours gives too
            value = value.mean(dim=1, keepdim=True).expand(-1, after, -1, -1) * (before / after)
        own[name] = torch.lerp(own[name], value, share) if value.dim() > 1 else value
    network.load_state_dict(own)
    return network
