"""The size trend predicts from an architecture's size how good it is. It is learnt from trainings of other tasks."""

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
"""An architecture is taken with probability proportional to exp(TILT * prediction). Predictions are in standard
deviations of the trainings, so a tenth of a deviation more is taken three times as often."""

POOL = 32
"""Draws from which one is taken: the best lies two deviations above the mean. They take 4 to 20 ms."""

LEAST_COMPARED = 6
"""Trainings that a trend needs: it has three slopes."""

ENOUGH_COMPARED = 45
"""Trainings from which a trend is reliable: those of eight tasks that a dictionary has built."""
LEAST_SPREAD = 0.1
"""Least standard deviation of the predictions, in standard deviations of the trainings. Below it, size made little
difference: probabilities change by less than a factor e."""

LEAST_LOSS = 1e-6
"""In nats; lower losses count as this. They belong to networks without errors and differ by chance."""
ALIKE = 1e-9
"""Deviation of a logarithm below which values differ only by rounding."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Architectures that were trained alike on one task, and their losses."""

    architectures: tuple[Architecture, ...]
    """In canonical form."""
    losses: tuple[float, ...]
    """Cross-entropy of each on the same validation images, in nats, at least 0."""


@dataclass(frozen=True, kw_only=True)
class SizeTrend:
    """A linear trend of minus the logarithm of the loss over the three `sizes`, within a task.

    Its evidence: experiments/pages/simulated-searches.md.
    """

    slopes: tuple[float, ...]
    """Of `sizes`, in standard deviations of the trainings of a task."""
    compared: int
    """Number of trainings that it was learnt from; a kept seed counts in each of its rounds."""
    spread: float
    """Standard deviation of the predictions for these trainings, in standard deviations of the trainings."""

    @property
    def leads(self) -> bool:
        """Whether the trend is reliable enough to shorten a search."""
        return self.compared >= ENOUGH_COMPARED and self.spread >= LEAST_SPREAD

    def of(self, architecture: Architecture, shape: Shape, classes: int) -> float:
        """The prediction for a canonical architecture, up to a constant: only differences have a meaning."""
        return float(np.dot(self.slopes, sizes(architecture, shape, classes)))


def sizes(architecture: Architecture, shape: Shape, classes: int) -> NDArray[np.float64]:
    """The logarithms of parameters, multiply-adds and first channels of a canonical architecture, (3,).

    A few dozen trainings are too few to estimate effects of operations, depth and reductions.
    """
    cost, width = cost_by_parts(architecture, shape, classes), architecture.skeleton.widths[0]
    return np.array([math.log(cost.parameters), math.log1p(cost.macs), math.log(width)])


def learn_size_trend(
    known: Sequence[tuple[float, Sequence[Comparison]]], *, shape: Shape, classes: int
) -> SizeTrend | None:
    """The size trend of related tasks, learnt from their trainings by Bayesian ridge regression.

    Only architectures that were trained alike are compared: the mean of a comparison is subtracted from sizes and
    losses, so the difficulty of a task and the length of a training have no effect. A task's differences are divided by
    their standard deviation, so all tasks have the same influence.

    Args:
        known: for each related task its weight, above 0, and its comparisons.
        shape: of the images of the new task, for which sizes are computed.
        classes: of the new task.

    Returns:
        the trend; None if fewer than `LEAST_COMPARED` architectures were compared, or they do not differ.

    Source: Perrone et al. 2018, "Scalable hyperparameter transfer learning" (Bayesian linear regression over tasks).
    """
    features, outcomes, counts = [], [], []
    for count, comparisons in known:
        told = [
            _centred(comparison, shape, classes) for comparison in comparisons if len(comparison.losses) > 1
        ]
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
    scale[same] = np.inf  # a size that does not differ gets the slope 0
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
    """Centred sizes, (architectures, 3), and centred negative logarithms of the losses, (architectures,)."""
    size = np.array([sizes(architecture, shape, classes) for architecture in comparison.architectures])
    better = -np.log(np.maximum(comparison.losses, LEAST_LOSS))
    return size - size.mean(axis=0), better - better.mean()
