"""The gate: the performance on B that a map from A's features has to keep, and where on a curve it is kept."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from torch import Tensor

from tanas.distances.base import Measurement, Pair
from tanas.distances.heads import Head, fit_ridge
from tanas.distances.intervals import IntervalConfig, row_counts
from tanas.distances.memory import OF_TARGETS
from tanas.ground.errors import check_choice, check_range
from tanas.tasks.performance import PERFORMANCES, Confusion, confusion_of, performance_of

GATES = ("own", "absolute", "dense")
HEADS = ("ridge", "frozen")
MEASURES = ("area", *PERFORMANCES)
ERROR_DRAWS = 100
"""Draws of the gate rows for the standard error of an area: it is then known to a fourteenth."""


@dataclass(frozen=True, kw_only=True)
class GateConfig:
    """What stands for l_B(N_t o N_A), and what it is held against."""

    head: str = "ridge"
    """What reads the classes from the map's output. 'ridge': a head fitted to it in closed form on the fit
    rows. 'frozen': the head of N_B as it is; the shrunken output of a fit by least squares makes it answer
    the majority."""
    asked: str = "own"
    """The performance that is asked for. 'own': what N_B's own features reach under the same head, minus the
    slack. 'absolute': 1 minus the slack, as section 3.1 writes it. 'dense': what the whole map reaches, minus
    the slack, after section 4's 'similar performance to N_t'; a bad map then looks cheap."""
    slack: float | None = 0.01
    """Of l; None: the epsilon of B's representative. A hundredth of the area is one to eight standard
    errors with 300 positives among 3,000 gate rows; experiments/pages/which-distance.md says how it was chosen."""
    errors: float = 0.0
    """The slack is at least so many standard errors of l_B on the gate rows."""
    measure: str | None = "area"
    """What l is. 'area': the area under the ROC curve of the head's scores, each class against the rest,
    mean over classes, scaled so that chance is 0 and perfection 1; it asks for order only, not for a
    threshold; on the two development targets its standard error is 0.2 and 0.6 of that of 'balanced'.
    'balanced' or 'accuracy': of the head's answers. None: as the task says."""

    def __post_init__(self) -> None:
        check_choice(self.head, "head", "GateConfig", HEADS)
        check_choice(self.asked, "asked", "GateConfig", GATES)
        if self.slack is not None:
            check_range(self.slack, "slack", "GateConfig", low=0, high=1)
        check_range(self.errors, "errors", "GateConfig", low=0)
        if self.measure is not None:
            check_choice(self.measure, "measure", "GateConfig", MEASURES)


@dataclass(frozen=True, eq=False)
class Gate:
    """Judges the maps of one pair on its gate rows, to which nothing is fitted."""

    config: GateConfig
    pair: Pair

    @property
    def measure(self) -> str:
        """What l is."""
        return self.config.measure or self.pair.measure

    @property
    def balanced(self) -> bool:
        """Whether each class weighs the same in l, and so in a head that is fitted for it."""
        return self.measure != "accuracy"

    def scores(
        self, fit: Tensor, gate: Tensor, *, width: int | None = None, rows: Tensor | None = None
    ) -> Tensor:
        """Scores of the classes for the gate rows, (gate images, classes), read from a map's output.

        Args:
            fit: the output for the fit rows, (fit images, features); a refitted head takes any orthonormal
                coordinates of it.
            gate: the output for the gate rows, (gate images, features).
            width: number of features before they were put into fewer coordinates.
            rows: which of the fit rows `fit` holds; None: all.
        """
        if self.config.head == "frozen":
            return Head(weight=self.pair.head_weight, bias=self.pair.head_bias).scores(gate)
        labels = self.pair.labels_fit if rows is None else self.pair.labels_fit[rows]
        return fit_ridge(fit, labels, self.pair.classes, balanced=self.balanced, width=width).scores(gate)

    def own_scores(self) -> Tensor:
        """The scores that B's own features give under the same head, (gate images, classes).

        They are the same for every source and remembered: for 'linear' they are a third of the work.
        """
        pair = self.pair
        if self.config.head == "frozen":
            return self.scores(pair.target_fit, pair.target_gate)
        content = (pair.target_fit, pair.target_gate, pair.labels_fit, pair.classes, self.balanced)
        return OF_TARGETS.once("own", content, lambda: self.scores(pair.target_fit, pair.target_gate))

    def score(self, scores: Tensor) -> float:
        """l_B of scores for the gate rows, in [0, 1]."""
        if self.measure == "area":
            once = np.ones((1, len(scores)), dtype=np.int64)
            return float(self.resampled([scores], once)[0, 0])
        return performance_of(self._confusion(scores), self.measure)

    def resampled(self, maps: Sequence[Tensor], counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """l_B of several maps under draws of the gate rows.

        Args:
            maps: the scores of each.
            counts: how often each row was drawn, (draws, gate images).

        Returns:
            (draws, maps).
        """
        labels, classes = self.pair.labels_gate.numpy(), self.pair.classes
        if self.measure == "area":
            return np.stack([areas(scores.numpy(), labels, counts) for scores in maps], axis=1)
        answers = np.stack([scores.argmax(dim=1).numpy() for scores in maps])
        return resampled_performances(answers, labels, counts, classes, self.measure)

    def slack(self, own: Tensor) -> float:
        """How far below what it is held against a performance may lie, given the scores of B's own features."""
        least = self.pair.epsilon if self.config.slack is None else self.config.slack
        return max(least, self.config.errors * self._standard_error(own)) if self.config.errors else least

    def asked(self, own: Tensor, dense: Tensor) -> float:
        """The performance that is asked for, given the scores of B's own features and of the whole map."""
        against = {"own": own, "dense": dense}.get(self.config.asked)
        return (1.0 if against is None else self.score(against)) - self.slack(own)

    def _confusion(self, scores: Tensor) -> Confusion:
        answers = scores.argmax(dim=1)
        return confusion_of(self.pair.labels_gate.numpy(), answers.numpy(), self.pair.classes)

    def _standard_error(self, scores: Tensor) -> float:
        """Of l on the gate rows: binomial in each class, or over all rows for accuracy; drawn for the area."""
        if self.measure == "area":
            return float(self.resampled([scores], row_counts(len(scores), ERROR_DRAWS)).std())
        confusion = self._confusion(scores)
        totals = confusion.sum(axis=1)
        right = np.diag(confusion)
        if self.measure == "accuracy":
            share = right.sum() / totals.sum()
            return math.sqrt(share * (1 - share) / totals.sum())
        present = totals > 0
        shares = right[present] / totals[present]
        classes = int(present.sum())
        variance = float((shares * (1 - shares) / totals[present]).sum()) / classes**2
        return math.sqrt(variance) / (1 - 1 / classes)


@dataclass(frozen=True, eq=False, kw_only=True)
class Trace:
    """What one fitted map says of the gate rows when it is pruned to different densities."""

    densities: tuple[float, ...]
    """The densest, 1, first."""
    scores: tuple[Tensor, ...]
    """Of the classes at each, (gate images, classes)."""


def judged(gate: Gate, own: Tensor, traces: Sequence[Trace], intervals: IntervalConfig | None) -> Measurement:
    """The measurement that one or more fitted maps give.

    Args:
        gate: judges them.
        own: scores that B's own features give under the same head, (gate images, classes).
        traces: of each map; the first says what d is, all together how sure it is.
        intervals: how the interval is made; None: there is none.
    """
    pair, first = gate.pair, traces[0]
    asked = gate.asked(own, first.scores[0])
    performances = [gate.score(scores) for scores in first.scores]
    met = crossing(first.densities, performances, asked)
    draws = () if intervals is None else _draws(gate, own, traces, intervals)
    return Measurement(
        source=pair.source,
        target=pair.target,
        same=False,
        value=met.value,
        shortfall=met.shortfall,
        surplus=met.surplus,
        gate=asked,
        own=gate.score(own),
        dense=performances[0],
        curve=tuple(zip(first.densities, performances, strict=True)),
        interval=None if intervals is None else intervals.around(met.value, draws),
        draws=draws,
    )


def _draws(gate: Gate, own: Tensor, traces: Sequence[Trace], intervals: IntervalConfig) -> tuple[float, ...]:
    """`Measurement.order` under draws of the gate rows, dealt out among the maps."""
    counts = row_counts(len(gate.pair.labels_gate), intervals.draws)
    orders = np.zeros(len(counts))
    slack = gate.slack(own)
    for at, trace in enumerate(traces):
        mine = np.arange(at, len(counts), len(traces))
        reached = gate.resampled((own, *trace.scores), counts[mine])  # (draws, 1 + maps)
        against = {"own": reached[:, 0], "dense": reached[:, 1]}.get(gate.config.asked, np.ones(len(mine)))
        for draw, performances, asked in zip(mine, reached[:, 1:], against - slack, strict=True):
            met = crossing(trace.densities, performances.tolist(), float(asked))
            orders[draw] = met.value + met.shortfall - met.surplus
    return tuple(round(order, 6) for order in orders.tolist())


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """Where a curve of performance over density meets the gate."""

    value: float
    """The least density that passes; 1 where none does."""
    shortfall: float
    """How far density 1 stays below the gate, at least 0."""
    surplus: float
    """How far the least density tried stays above it, at least 0."""


def crossing(densities: Sequence[float], performances: Sequence[float], gate: float) -> Crossing:
    """The least density that passes a gate, between the tried ones by interpolation over ln density.

    Walking down from density 1, the curve meets the gate between the last density of the unbroken run that
    passes and the next one, which fails; the straight line between them says where.

    Args:
        densities: the densest, 1, first.
        performances: l at each.
        gate: least l that passes.
    """
    if performances[0] < gate:
        return Crossing(value=1.0, shortfall=gate - performances[0], surplus=0.0)
    for i in range(1, len(densities)):
        if performances[i] < gate:
            above, below = performances[i - 1] - gate, gate - performances[i]
            upper, lower = math.log(densities[i - 1]), math.log(densities[i])
            share = above / (above + below)
            return Crossing(value=math.exp(upper + share * (lower - upper)), shortfall=0.0, surplus=0.0)
    return Crossing(value=densities[-1], shortfall=0.0, surplus=performances[-1] - gate)


def resampled_performances(
    answers: npt.NDArray[np.int64],
    labels: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
    classes: int,
    measure: str,
) -> npt.NDArray[np.float64]:
    """L of several maps under draws of the gate rows with replacement.

    Args:
        answers: class indices, (maps, gate images).
        labels: true ones, (gate images,).
        counts: how often each row was drawn, (draws, gate images).
        classes: number of classes.
        measure: 'balanced' or 'accuracy'.

    Returns:
        (draws, maps).
    """
    members = labels[:, None] == np.arange(classes)  # (gate images, classes)
    totals = counts @ members.astype(np.int64)  # (draws, classes)
    right = np.stack(
        [counts @ (members & (row == labels)[:, None]).astype(np.int64) for row in answers], axis=1
    )
    accuracies = right.sum(axis=2) / totals.sum(axis=1)[:, None]  # (draws, maps)
    if measure == "accuracy":
        return np.asarray(accuracies, dtype=np.float64)
    present = totals > 0  # (draws, classes)
    shares = np.where(present[:, None], right / np.maximum(totals, 1)[:, None], 0.0)  # (draws, maps, classes)
    occurring = present.sum(axis=1)[:, None]
    chance = 1 / occurring
    corrected = (shares.sum(axis=2) / occurring - chance) / np.where(occurring > 1, 1 - chance, 1.0)
    # a draw of one class has no chance to correct for: accuracy stands, as in `chance_corrected`
    return np.asarray(np.where(occurring > 1, np.clip(corrected, 0.0, 1.0), accuracies), dtype=np.float64)


def areas(
    scores: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """The area under the ROC curve of each class against the rest, mean over classes, under draws of the rows.

    The score of a class is taken less the greatest other one, so that two classes have one curve. Equal scores
    count half. A class that a draw leaves out is left out of its mean; a draw of one class only counts as 0.

    Args:
        scores: greatest for the class that is answered, (gate images, classes).
        labels: true class indices, (gate images,).
        counts: how often each row was drawn, (draws, gate images).

    Returns:
        (draws,), scaled and clipped so that chance is 0 and perfection 1.
    """
    total, seen = np.zeros(len(counts)), np.zeros(len(counts))
    for one in range(scores.shape[1]):
        others = np.delete(scores, one, axis=1).max(axis=1)
        margin = scores[:, one] - others  # (gate images,)
        order = np.argsort(margin, kind="stable")
        starts = np.flatnonzero(np.diff(margin[order], prepend=-np.inf))  # of runs of equal scores
        hit = counts[:, order] * (labels[order] == one)  # (draws, gate images)
        hits = np.add.reduceat(hit, starts, axis=1)  # (draws, runs)
        misses = np.add.reduceat(counts[:, order] - hit, starts, axis=1)
        below = misses.cumsum(axis=1) - misses / 2
        pairs = hits.sum(axis=1) * misses.sum(axis=1)
        total += np.where(pairs > 0, (hits * below).sum(axis=1) / np.maximum(pairs, 1), 0.0)
        seen += pairs > 0
    mean = np.where(seen > 0, total / np.maximum(seen, 1), 0.5)
    return np.asarray(np.clip(2 * mean - 1, 0.0, 1.0), dtype=np.float64)
