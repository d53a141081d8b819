"""From two representatives and a task to the features that a distance is computed from."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from tanas.distances.base import Need, Pair
from tanas.distances.memory import Memory
from tanas.distances.representative import Representative
from tanas.ground.errors import SettingError, TaskError, check_range
from tanas.ground.seeds import Seed
from tanas.tasks.performance import confusion_of, performance_of
from tanas.tasks.task import Split, Task


@dataclass(frozen=True, kw_only=True)
class PairConfig:
    """Which images of the target a distance sees."""

    fit_images: int | None = 1500
    """Most training images; None: all."""
    gate_images: int | None = 3000
    """Most validation images; None: all. An indicator has 300 positives among 3000: a balanced l near 0.9 then has a
    standard error of 0.02, half of epsilon."""

    def __post_init__(self) -> None:
        for name in ("fit_images", "gate_images"):
            if (value := getattr(self, name)) is not None:
                check_range(value, name, "PairConfig", low=2)


def gate_split(task: Task, config: PairConfig) -> Split:
    """The validation images of a target that performance is measured on."""
    return drawn(task.validation, config.gate_images, Seed(task.split_seed).child("pair", "gate"))


def make_pair(
    source: Representative,
    target: Representative,
    task: Task,
    config: PairConfig,
    cache: Memory | None = None,
    *,
    needs: Mapping[str, Need] | None = None,
) -> Pair:
    """Run images of the target task through both representatives.

    The images are put in the order of their content and then drawn stratified by the source's classes, from a seed
    that belongs to the task. So neither the order of the samples nor the run has an influence.

    Args:
        source: N_A.
        target: N_B.
        task: B; its test split is not used.
        config: how many images.
        cache: keeps features for the next pair.
        needs: what the pair holds besides features (`Distance.needs`).

    Raises:
        SettingError: the target's representative is of a task with other classes.
        TaskError: the gate images are of one class only.
        NonFiniteError: a representative's features are not finite.
    """
    if target.classes != task.classes:
        raise SettingError(
            f"The target's representative knows the classes {', '.join(target.classes)}, but {task.name} has "
            f"{', '.join(task.classes)}. Make the representative of {task.name}."
        )
    fit = drawn(task.train, config.fit_images, Seed(task.split_seed).child("pair", "fit"))
    gate = gate_split(task, config)
    if len(torch.unique(gate.labels)) < 2:
        raise TaskError(
            f"The validation images of {task.name} are all of one class: "
            "no performance can be measured on them. Expected at least two classes."
        )
    cache = Memory(0) if cache is None else cache

    def kept(what: str, network: Representative, split: Split, compute: Need) -> Tensor:
        return cache.once(what, (network.key, _images_hash(split)), lambda: compute(network, split))

    def features(network: Representative, split: Split) -> Tensor:
        return kept("features", network, split, Representative.features)

    target_gate = features(target, gate)
    head, source_head = target.network.head, source.network.head
    weight, bias = head.weight.detach().clone(), head.bias.detach().clone()
    answers = (target_gate @ weight.T + bias).argmax(dim=1)
    confusion = confusion_of(gate.labels.numpy(), answers.numpy(), len(task.classes))
    return Pair(
        source=source.task,
        target=task.name,
        same=source.fingerprint == target.fingerprint,
        source_fit=features(source, fit),
        source_gate=features(source, gate),
        target_fit=features(target, fit),
        target_gate=target_gate,
        labels_fit=fit.labels,
        labels_gate=gate.labels,
        classes=len(task.classes),
        measure=task.performance,
        head_weight=weight,
        head_bias=bias,
        source_head_weight=source_head.weight.detach().clone(),
        source_head_bias=source_head.bias.detach().clone(),
        own=performance_of(confusion, task.performance),
        epsilon=target.epsilon,
        extra={
            name: (kept(name, source, fit, need), kept(name, target, fit, need))
            for name, need in (needs or {}).items()
        },
    )


def _images_hash(split: Split) -> str:
    """A hash over the pixels of a split's images in their order; labels are left out."""
    images = split.images[split.rows].contiguous().numpy()
    total = hashlib.sha256(repr(images.shape).encode())
    total.update(images.data)
    return total.hexdigest()


def drawn(split: Split, most: int | None, seed: Seed) -> Split:
    """A stratified part of a split in content order, of at most so many samples (None: all)."""
    split = split.subset(_content_order(split))
    if most is None or most >= len(split):
        return split
    # by stratum first: all tasks over these images whose labels follow from strata get the same draw
    _, cells = torch.unique(torch.stack([split.strata, split.labels]), dim=1, return_inverse=True)
    positions = Split(split.images, torch.arange(len(split)), cells, cells)
    return split.subset(positions.stratified(most, seed).rows)


def _content_order(split: Split) -> Tensor:
    """Positions sorted by a hash of the pixels, then by stratum and label, (samples,)."""
    store = split.images.numpy()
    hashes = [hashlib.sha256(store[row].tobytes()).digest() for row in split.rows.tolist()]
    strata, labels = split.strata.tolist(), split.labels.tolist()
    order = sorted(range(len(split)), key=lambda at: (hashes[at], strata[at], labels[at]))
    return torch.tensor(order, dtype=torch.int64)
