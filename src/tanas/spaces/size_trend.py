"""How much an architecture promises by its size: learnt from what was tried on related tasks, good and bad."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import BayesianRidge

from tanas.networks.architecture import Architecture, Shape
from tanas.spaces.costs import cost_by_parts

TILT = 10.0
"""An inverse temperature: an architecture is drawn exp(TILT * size_trend) times as often as without one, which is in
standard deviations of what was tried. A tenth of a deviation more comes three times as often, so of a few dozen draws
one of the very best is taken, and none is impossible."""

POOL = 32
"""Draws among which one is taken so: the best of them lies two deviations above their mean. Drawing and weighing them
takes 4 to 20 ms, next to nothing beside a training."""

LEAST_COMPARED = 6
"""Trainings that have to be compared before three slopes are learnt from them."""

ENOUGH_COMPARED = 45
"""Trainings from which on a trend can be relied on: those of three tasks as a dictionary learns them (five rounds of
three candidates, a kept seed counted in each)."""
LEAST_SPREAD = 0.1
"""A trend that varies less over what was tried, in its standard deviations, changes draws by less than a factor e
(`TILT`): size decided little."""

LEAST_LOSS = 1e-6
"""In nats: losses below it count as this. They are of networks that answer everything rightly, and differ by luck."""
ALIKE = 1e-9
"""Deviation of a logarithm below which all are the same but for rounding."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Architectures that were trained alike on one task, and what came of each."""

    architectures: tuple[Architecture, ...]
    """In canonical form."""
    losses: tuple[float, ...]
    """Cross-entropy of each on the same validation images, in nats, at least 0."""


@dataclass(frozen=True, kw_only=True)
class SizeTrend:
    """A linear trend of minus the logarithm of the loss over size, within a task.

    Size is three numbers (`sizes`). How well the trend of other tasks orders architectures that it was not learnt from
    stands in experiments/pages/search-evidence.md, beside what a training of each tells.
    """

    slopes: tuple[float, ...]
    """Of `sizes`, in standard deviations of what was tried on a task."""
    compared: int
    """Trainings that it was learnt from; a kept seed counts in each of its rounds."""
    spread: float
    """Standard deviation of the promise over those, in standard deviations of what was tried."""

    @property
    def leads(self) -> bool:
        """Whether it was learnt from enough, and says enough, to make a search shorter."""
        return self.compared >= ENOUGH_COMPARED and self.spread >= LEAST_SPREAD

    def of(self, architecture: Architecture, shape: Shape, classes: int) -> float:
        """How much it promises, but for a constant: only differences between architectures mean something.

        Args:
            architecture: in canonical form.
            shape: (channels, height, width) of the task's images.
            classes: number of logits.
        """
        return float(np.dot(self.slopes, sizes(architecture, shape, classes)))


def sizes(architecture: Architecture, shape: Shape, classes: int) -> NDArray[np.float64]:
    """Logarithms of parameters, multiply-adds and channels of the first stage, (3,).

    Nothing else: a few dozen trainings are too few to tell what operations, depth and reductions add.

    Args:
        architecture: in canonical form.
        shape: (channels, height, width) of the task's images.
        classes: number of logits.
    """
    cost = cost_by_parts(architecture, shape, classes)
    return np.array(
        [math.log(cost.parameters), math.log1p(cost.macs), math.log(architecture.skeleton.widths[0])]
    )


def learn_size_trend(
    known: Sequence[tuple[float, Sequence[Comparison]]], *, shape: Shape, classes: int
) -> SizeTrend | None:
    """Learns from related tasks which sizes promise most.

    Only what was trained alike is held against each other: sizes and losses are taken off their means over a
    comparison, so a hard task, a longer training or other images say nothing. A task's differences are divided by their
    deviation, so all tasks speak as loud. Bayesian ridge regression chooses how far the slopes are drawn to zero,
    which is where they end if size decides nothing.

    Args:
        known: of each related task, how much it counts, above 0, and what was compared on it.
        shape: (channels, height, width) of the images of the task that is searched for: sizes are those for it.
        classes: its number of logits.

    Returns:
        the trend; None where fewer than `LEAST_COMPARED` architectures were compared, or nothing differs.

    Source: section 3.2 takes over what the nearest tasks' best have; this takes from all that they tried what the
    best have more of. Bayesian linear regression over several tasks, for hyperparameters: Perrone et al. 2018,
    "Scalable hyperparameter transfer learning".
    """
    features, outcomes, counts = [], [], []
    for count, comparisons in known:
        told = [_centred(one, shape, classes) for one in comparisons if len(one.losses) > 1]
        if not told:
            continue
        outcome = np.concatenate([better for _, better in told])
        freedom = len(outcome) - len(told)
        deviation = math.sqrt(float(outcome @ outcome) / freedom)
        if deviation < ALIKE:
            continue
        features.append(np.concatenate([size for size, _ in told]))
        outcomes.append(outcome / deviation)
        counts.append(np.full(len(outcome), count))
    compared = sum(map(len, outcomes))
    if compared < LEAST_COMPARED:
        return None
    table = np.concatenate(features)  # (architectures, sizes)
    scale = np.sqrt((table**2).mean(axis=0))
    same = scale < ALIKE
    if same.all():
        return None
    scale[same] = np.inf  # what doesn't differ says nothing
    model = BayesianRidge(fit_intercept=False)
    model.fit(table / scale, np.concatenate(outcomes), sample_weight=np.concatenate(counts))
    slopes = model.coef_ / scale
    return SizeTrend(
        slopes=tuple(float(slope) for slope in slopes),
        compared=compared,
        spread=float(np.sqrt(((table @ slopes) ** 2).mean())),
    )


def _centred(
    comparison: Comparison, shape: Shape, classes: int
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Sizes, (architectures, 3), and minus the logarithms of the losses, (architectures,), less their means."""
    size = np.array([sizes(one, shape, classes) for one in comparison.architectures])
    better = -np.log(np.maximum(comparison.losses, LEAST_LOSS))
    return size - size.mean(axis=0), better - better.mean()
