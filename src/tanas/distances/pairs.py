"""From two representatives and a task to the features that a distance is computed from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from tanas.distances.base import NEEDS, Pair
from tanas.distances.features import FeatureCache
from tanas.distances.fisher import check_same_trunk
from tanas.distances.representative import Representative
from tanas.distances.sampling import drawn
from tanas.ground.errors import SettingError, TaskError, check_choice, check_range
from tanas.ground.seeds import Seed
from tanas.tasks.performance import confusion_of, performance_of
from tanas.tasks.task import Task


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
    *,
    needs: Sequence[str] = (),
) -> Pair:
    """Runs images of the target task through both representatives.

    The images are first put in the order of their content and then drawn stratified by the source's classes,
    from a seed that belongs to the task: neither the order of the samples nor the run has an influence,
    and tasks that have the same images (those of a source without a limit) share their features in the cache.

    Args:
        source: N_A.
        target: N_B.
        task: B; its test split is not touched.
        config: how many images.
        cache: keeps features from one pair to the next.
        needs: what the pair holds beside features, of `NEEDS`.

    Raises:
        SettingError: the target's representative is of a task with other classes, or Fisher information is
            needed and the two representatives differ in shape.
        TaskError: the gate images are of one class only.
        NonFiniteError: a representative's features are not finite.
    """
    if target.classes != task.classes:
        raise SettingError(
            f"The target's representative knows the classes {', '.join(target.classes)}, but {task.name} has "
            f"{', '.join(task.classes)}. Make the representative of {task.name}."
        )
    for need in needs:
        check_choice(need, "needs", "make_pair", NEEDS)
    if "fisher" in needs:
        check_same_trunk(source, target)
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
        source_head_weight=source.network.head.weight.detach().clone(),
        source_head_bias=source.network.head.bias.detach().clone(),
        own=performance_of(confusion, task.performance),
        epsilon=target.epsilon,
        source_fisher=cache.fisher(source, fit) if "fisher" in needs else None,
        target_fisher=cache.fisher(target, fit) if "fisher" in needs else None,
        source_embedding=torch.tensor(source.embedding) if "embedding" in needs else None,
        target_embedding=torch.tensor(target.embedding) if "embedding" in needs else None,
    )
