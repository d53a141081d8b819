"""What a source is worth to a target with few labels, and how well an order of the sources foretells it."""

from __future__ import annotations

import math
import warnings
from copy import deepcopy
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, StratifiedKFold
from torch import Tensor, nn

from tanas.distances.conversion import converted
from tanas.distances.heads import Head
from tanas.distances.intervals import IntervalConfig
from tanas.distances.representative import Representative, RepresentativeNetwork
from tanas.distances.threads import one_thread
from tanas.distances.transform_network import Scale
from tanas.ground.context import Context
from tanas.ground.errors import check_range
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Shape
from tanas.networks.training import TrainingConfig, evaluate, fit
from tanas.tasks.performance import confusion_of, performance_of
from tanas.tasks.task import Split, Task
from tanas_experiments.opened import opened
from tanas_experiments.rankings import regret_at, weighted_tau

Floats = npt.NDArray[np.float64]

STATISTICS = ("tau", "regret@1", "regret@3")
"""How an order is judged: weighted Kendall tau with the values (1: the same order; places near the top weigh
more), and how much of l is lost when only its first, or the best of its first three, is taken."""

LEAST_SOURCES = 3
"""Of fewer an order says next to nothing: two are right half of the time."""

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)
"""Of the logistic head's data term, tried by cross-validation. A feature vector's square is near its width,
1,024: weaker ones answer with the class's frequency, stronger ones change nothing once classes separate."""

FOLDS = 5

LONE_STRENGTH = 1e-2
"""Where a class has one image, so that none can be held out."""


def _few_label_training() -> TrainingConfig:
    # 100 steps over 100 images: on drawings of airplanes, cats and ducks, which are no target of ours, l rose
    # by 0.04 to 0.07 from 25 steps to 75 and by 0.01 to 0.02 from there to 150
    return TrainingConfig(epochs=20, batch=20, learning_rate=1e-3, weight_decay=0.01, class_weights=True)


@dataclass(frozen=True, kw_only=True)
class TransferConfig:
    """How the worth of a source is measured. Fixed beforehand: nothing is chosen on the test images."""

    images: int = 100
    """Labelled training images of the target; ten a class where there are ten."""
    draws: int = 5
    """Of those images; the same for every source."""
    test_images: int | None = 2000
    """At most so many test images of the target, the same for every source and draw; None: all."""
    training: TrainingConfig = field(default_factory=_few_label_training)
    """Of the fine-tuned network."""

    def __post_init__(self) -> None:
        check_range(self.images, "images", "TransferConfig", low=4)
        check_range(self.draws, "draws", "TransferConfig", low=1)
        if self.test_images is not None:
            check_range(self.test_images, "test_images", "TransferConfig", low=2)


@dataclass(frozen=True, kw_only=True)
class TransferValue:
    """l on test images of the target, in [0, 1], for each draw of its few labelled images."""

    frozen: tuple[float, ...]
    """A logistic head on N_A's features."""
    fine_tuned: tuple[float, ...]
    """N_A's layers under such a head, all trained on."""


def transfer_value(
    source: Representative, task: Task, config: TransferConfig, *, seed: Seed
) -> TransferValue:
    """What a representative is worth to a task of which few labels are known.

    It touches the task's test split: it judges distances, and no distance or search may see what it says.

    Args:
        source: N_A.
        task: B, with its test split.
        config: how.
        seed: of the draws; with the same one all sources get the same images in the same order.

    Raises:
        TaskError: the task's test split is out of reach, or `images` are fewer than its classes.
        NonFiniteError: a feature is not finite, or the fine-tuning diverged.
    """
    classes = len(task.classes)
    test = opened(task)
    if config.test_images is not None:
        test = test.stratified(config.test_images, seed.child("test"))
    test = _fitting(test, source.shape)
    with one_thread():
        test_features = source.features(test)
        frozen, tuned = [], []
        for draw in range(config.draws):
            few = _fitting(task.train.stratified(config.images, seed.child("few", draw)), source.shape)
            head = fit_logistic(source.features(few), few.labels, classes)
            confusion = confusion_of(test.labels.numpy(), head.answers(test_features).numpy(), classes)
            frozen.append(performance_of(confusion, task.performance))
            network = _under_new_head(source, few, classes)
            fit(network, few, config.training, classes=classes, at=Context(seed=seed.child("order", draw)))
            tuned.append(evaluate(network, test, classes=classes).performance(task.performance))
    return TransferValue(frozen=tuple(frozen), fine_tuned=tuple(tuned))


def _under_new_head(source: Representative, few: Split, classes: int) -> RepresentativeNetwork:
    """A copy of N_A, its pixels normed for the target, under a logistic head fitted to the few images.

    From a random head the first steps would spoil the layers below it. Source: Kumar et al., Fine-tuning can
    distort pretrained features and underperform out-of-distribution (2022).
    """
    network = deepcopy(source.network).requires_grad_(True)
    pixels = few.pixels()
    network.norm.fit(pixels)
    with torch.no_grad():
        head = fit_logistic(network.features(pixels), few.labels, classes)
        network.head = nn.Linear(head.weight.shape[1], classes)
        network.head.weight.copy_(head.weight)
        network.head.bias.copy_(head.bias)
    return network


def _fitting(split: Split, shape: Shape) -> Split:
    """A split in the channels and size that a representative takes, by the rule that distances follow."""
    if split.images.shape[1:] == shape:
        return split
    images = (converted(split.pixels(), shape) * 255).round().to(torch.uint8)  # (samples, *shape)
    return Split(images, torch.arange(len(split)), split.labels, split.strata)


def fit_logistic(features: Tensor, labels: Tensor, classes: int) -> Head:
    """Fits a logistic head in which all classes weigh the same; its strength is cross-validated.

    Features are shifted by their mean and divided by one deviation, then put into orthonormal coordinates of
    the few rows' span, in which the same head is found at a fraction of the cost.

    Args:
        features: of the labelled images, (images, features).
        labels: their class indices, (images,); each class occurs.
        classes: number of classes.

    Returns:
        the head for these features.
    """
    scale = Scale.of(features)
    rows = scale.done(features)
    _, _, basis = torch.linalg.svd(rows, full_matrices=False)  # (images or features, the fewer; features)
    fitted = (rows @ basis.T).double().numpy()
    folds = min(FOLDS, int(torch.bincount(labels).min()))  # each holds out one of every class
    head = LogisticRegression(C=LONE_STRENGTH, class_weight="balanced", max_iter=1000)
    with warnings.catch_warnings():
        # where classes separate, l no longer changes when the iterations end early
        warnings.simplefilter("ignore", ConvergenceWarning)
        if folds < 2:
            head.fit(fitted, labels.numpy())
        else:
            split = StratifiedKFold(folds, shuffle=True, random_state=0)
            search = GridSearchCV(head, {"C": list(STRENGTHS)}, scoring="balanced_accuracy", cv=split)
            head = search.fit(fitted, labels.numpy()).best_estimator_
    weight = (
        torch.tensor(head.coef_, dtype=features.dtype) @ basis / scale.deviation
    )  # (classes or 1, features)
    bias = torch.tensor(head.intercept_, dtype=features.dtype) - weight @ scale.mean
    if classes == 2:  # one row says how much more the second class is like it than the first
        weight, bias = torch.cat([-weight, weight]) / 2, torch.cat([-bias, bias]) / 2
    return Head(weight=weight, bias=bias)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A mean over targets and seeds, and how sure it is."""

    mean: float
    interval: tuple[float, float]
    """Holds 90 % of the means when the targets are drawn anew, with replacement. The luck of the few labelled
    images is in it: each target has images of its own, so their luck is part of what sets targets apart."""
    columns: int
    """Targets times seeds over which it is taken: those in which at least three sources were measured."""


def scores(values: Floats, orders: Floats) -> Floats:
    """`STATISTICS` of an order of the sources of one target.

    Sources that a method refuses can't be taken by it: tau is over the rest, regret against all.

    Args:
        values: l of each source, (sources,); NaN: not measured.
        orders: the nearest has the least, (sources,); NaN: refused.

    Returns:
        (statistics,), NaN where values are missing or fewer than `LEAST_SOURCES` have an order.
    """
    ordered = np.isfinite(orders)
    if np.isnan(values).any() or ordered.sum() < LEAST_SOURCES:
        return np.full(len(STATISTICS), math.nan)
    kept, distances = values[ordered].tolist(), orders[ordered].tolist()
    tau = weighted_tau(kept, [-distance for distance in distances])
    missed = float(values.max()) - max(kept)
    return np.array(
        [
            0.0 if tau is None else tau,  # who ranks nothing foretells nothing
            missed + regret_at(1, kept, distances),
            missed + regret_at(3, kept, distances),
        ]
    )


def scores_of_orders(values: Floats, orders: Floats) -> Floats:
    """`scores` of every column.

    Args:
        values: (targets, seeds, sources).
        orders: of a method, the same shape.

    Returns:
        (targets, seeds, statistics).
    """
    found = np.empty((*values.shape[:2], len(STATISTICS)))
    for at in np.ndindex(*values.shape[:2]):
        found[at] = scores(values[at], orders[at])
    return found


def scores_of_chance(values: Floats) -> Floats:
    """What a random order of the sources can expect; argument and result as in `scores_of_orders`."""
    best_first = -np.sort(-values, axis=-1)  # NaN last
    sources = values.shape[-1]
    found = np.zeros((*values.shape[:2], len(STATISTICS)))
    for at, taken in ((1, 1), (2, min(3, sources))):
        # the best of the taken is the i-th best of all if the others are among the sources behind it
        shares = [math.comb(sources - 1 - i, taken - 1) / math.comb(sources, taken) for i in range(sources)]
        found[..., at] = best_first[..., 0] - best_first @ np.array(shares)
    found[np.isnan(values).any(axis=-1)] = math.nan
    return found


def static_orders(values: Floats) -> Floats:
    """One ranking for all: each source by its mean value over the other targets of the seed.

    It knows how good the sources are in general, which no distance is told, and nothing of the target.

    Args:
        values: (targets, seeds, sources); NaN: not measured, left out.

    Returns:
        the same shape, the best has the least; NaN where no other target was measured.
    """
    known = np.isfinite(values)
    filled = np.where(known, values, 0.0)
    total = filled.sum(axis=0) - filled
    count = known.sum(axis=0) - known
    return np.where(count > 0, -total / np.maximum(count, 1), math.nan)


def estimates(found: Floats, seed: Seed, *, times: int = 2000) -> tuple[Estimate, ...] | None:
    """Means and intervals of scores, or of differences of the scores of two methods.

    Args:
        found: (targets, seeds, statistics), NaN where there is none.
        seed: of the draws of targets; the same draws for the same seed and number of targets.
        times: how often the targets are drawn; the ends of a 90 % interval then rest on 100 draws each.

    Returns:
        one for each of `STATISTICS`; None if there is no score at all.
    """
    targets = len(found)
    sums = np.nansum(found, axis=1)  # (targets, statistics)
    counts = np.isfinite(found).sum(axis=1)  # (targets, statistics)
    columns = int(counts[:, 0].sum())
    if columns == 0:
        return None
    drawn = seed.numpy().integers(targets, size=(times, targets))
    drawn = drawn[counts[drawn].sum(axis=1).min(axis=-1) > 0]  # not those of unmeasured targets alone
    spread = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)  # (times, statistics)
    return tuple(
        Estimate(mean=float(mean), interval=IntervalConfig().ends(draws.tolist()), columns=columns)
        for mean, draws in zip(sums.sum(axis=0) / columns, spread.T, strict=True)
    )
