"""From two representatives and a task to the features that a distance is computed from."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import torch
from torch import Tensor

from tanas.distances.base import Pair
from tanas.distances.features import FeatureCache
from tanas.distances.representative import Representative
from tanas.errors import SettingError, TaskError, check_range
from tanas.seeds import Seed
from tanas.tasks.performance import confusion_of, performance_of
from tanas.tasks.task import Split, Task


@dataclass(frozen=True, kw_only=True)
class PairConfig:
    """Which images of the target a distance sees."""

    fit_images: int | None = 1500
    """At most so many training images; None: all."""
    gate_images: int | None = 3000
    """At most so many validation images; None: all. An indicator has 300 positives among 3000, so that
    a balanced l near 0.9 has a standard error of 0.02, half of epsilon."""

    def __post_init__(self) -> None:
        for name in ("fit_images", "gate_images"):
            if (value := getattr(self, name)) is not None:
                check_range(value, name, "PairConfig", low=2)


def make_pair(
    source: Representative,
    target: Representative,
    task: Task,
    config: PairConfig,
    cache: FeatureCache | None = None,
) -> Pair:
    """Runs images of the target task through both representatives.

    The images are first put in the order of their content and then drawn stratified by the source's classes,
    from a seed that belongs to the task: neither the order of the samples nor the run has an influence,
    and tasks over the same images share their features in the cache.

    Args:
        source: N_A.
        target: N_B.
        task: B; its test split is not touched.
        config: how many images.
        cache: keeps features from one pair to the next.

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
    seed = Seed(task.split_seed).child("pair")
    fit = drawn(task.train, config.fit_images, seed.child("fit"))
    gate = drawn(task.validation, config.gate_images, seed.child("gate"))
    if len(torch.unique(gate.labels)) < 2:
        raise TaskError(
            f"The validation images of {task.name} are all of one class: "
            "no performance can be measured on them. Expected at least two classes."
        )
    cache = FeatureCache(most_bytes=0) if cache is None else cache
    target_gate = cache.features(target, gate)
    head = target.network.head
    weight, bias = head.weight.detach().clone(), head.bias.detach().clone()
    answers = (target_gate @ weight.T + bias).argmax(dim=1)
    confusion = confusion_of(gate.labels.numpy(), answers.numpy(), len(task.classes))
    return Pair(
        source=source.task,
        target=task.name,
        same=source.fingerprint == target.fingerprint,
        source_fit=cache.features(source, fit),
        source_gate=cache.features(source, gate),
        target_fit=cache.features(target, fit),
        target_gate=target_gate,
        labels_fit=fit.labels,
        labels_gate=gate.labels,
        classes=len(task.classes),
        measure=task.performance,
        head_weight=weight,
        head_bias=bias,
        own=performance_of(confusion, task.performance),
        epsilon=target.epsilon,
    )


def drawn(split: Split, most: int | None, seed: Seed) -> Split:
    """A stratified part of a split that does not depend on the order of its samples, in content order.

    Args:
        split: to draw from.
        most: number of samples; None: all.
        seed: of the draw.
    """
    split = split.subset(_content_order(split))
    if most is None or most >= len(split):
        return split
    # by stratum first: where labels follow from strata, all tasks over these images get the same draw
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
