"""The trained network of an atom, with whose weights another task's training can begin."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from tanas.distances.misfit import judged_images, stage_features
from tanas.ground.errors import StoreError
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture, Network, Shape, build, cost_of
from tanas.networks.operations import operation_names
from tanas.networks.training import EVALUATION_BATCH
from tanas.spaces.named import with_stem_for
from tanas.tasks.task import Split, Task, image_keys

SEEN = "seen images"
"""Name of the tensor with the hashes of the training images, in a file of weights."""


@dataclass(frozen=True, kw_only=True)
class StoredRecord:
    """A stored network without its weights."""

    architecture: Architecture
    shape: Shape
    """(channels, height, width) of its images."""
    classes: tuple[str, ...]
    """Names, in the order of the logits."""
    made_by: str
    """'build' (a quarter of a final training) or 'search' (the final training of a search); older ones: 'score' (one
    fixed short training)."""


@dataclass(frozen=True, eq=False, kw_only=True)
class StoredNetwork:
    """A trained network, and the images that it has seen."""

    record: StoredRecord
    network: Network
    seen: Tensor
    """Sorted hashes of its training images and of those of the network that it began with, (images,) int64."""

    def overlap(self, keys: Tensor) -> int:
        """The number of images, given by their `image_keys` (samples,), that the network was trained on.

        Only equal pixels count: the same picture at another size or in other colours is not found.
        """
        return int(torch.isin(keys, self.seen).sum())


def judging(record: StoredRecord | None) -> StoredRecord | None:
    """The network by which a known task is judged; None: none can be built here, and its representative is used."""
    return record if record is not None and known_here(record) else None


def known_here(record: StoredRecord) -> bool:
    """Whether all operations of a network are registered; another user's may not be."""
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
    """Return a network for an atom to keep.

    `split` are its training images, `made_by` is 'build' or 'search', `before` the network whose weights it began with.
    """
    seen = [image_keys(split), *([] if before is None else [before.seen])]
    return StoredNetwork(
        record=StoredRecord(architecture=architecture, shape=shape, classes=classes, made_by=made_by),
        network=network,
        seen=torch.unique(torch.cat(seen)),
    )


def tensors_of(kept: StoredNetwork) -> dict[str, Tensor]:
    """The tensors to store: weights and hashes of the images that the network has seen."""
    state = {name: value.contiguous() for name, value in kept.network.state_dict().items()}
    return {**state, SEEN: kept.seen}


def stored_from(record: StoredRecord, tensors: Mapping[str, Tensor]) -> StoredNetwork:
    """The network of a record and its stored tensors; a `StoreError` if they don't belong together."""
    state = dict(tensors)
    try:
        seen = state.pop(SEEN)
        network = build(record.architecture, record.shape, len(record.classes), Seed())
        network.load_state_dict(state)
    except (KeyError, RuntimeError) as error:
        raise StoreError(f"The weights are not those of the architecture beside them: {error}") from error
    return StoredNetwork(record=record, network=network.eval().requires_grad_(False), seen=seen)


def carried(
    kept: StoredNetwork,
    shape: Shape,
    classes: tuple[str, ...],
    seed: Seed,
    *,
    architecture: Architecture | None = None,
) -> Network:
    """Return a network for another task that begins with the weights of a stored one.

    The head is new unless the classes are the same, and a stem for other colours takes the mean over the old ones. The
    mean and deviation of the pixels are those of the new task. With another `architecture`, layers that the stored
    network does not have are new.
    """
    network = build(architecture or kept.record.architecture, shape, len(classes), seed)
    own = network.state_dict()
    before, after = kept.record.shape[0], shape[0]
    for name, value in kept.network.state_dict().items():
        if name.startswith("norm.") or (name.startswith("head.") and classes != kept.record.classes):
            continue
        if name not in own:
            continue
        if name == "stem.0.weight" and before != after:
            # three equal colours give the same as grey
            value = value.mean(dim=1, keepdim=True).expand(-1, after, -1, -1) * (before / after)
        own[name] = value
    network.load_state_dict(own)
    return network


def judging_job(
    kept: StoredNetwork, task: Task, architecture: Architecture | None = None
) -> Callable[[], tuple[Tensor, Tensor]]:
    """A job that runs a stored network on training images of a task; any thread may do it.

    It returns the features after each stage, (images, features), and the labels. With another `architecture` than
    `with_stem_for` gives, layers that the stored network does not have are new.
    """
    architecture = architecture or with_stem_for(kept.record.architecture, task.shape)
    split = judged_images(task.train, cost_of(architecture, task.shape, len(task.classes)).macs)
    network = carried(kept, task.shape, task.classes, Seed(), architecture=architecture)

    def job() -> tuple[Tensor, Tensor]:
        network.norm.fit(split.parts(EVALUATION_BATCH))
        return stage_features(network, split), split.labels

    return job
