"""The gate: the performance on B that a map from A's features has to keep, and where on a curve it is kept."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt
from torch import Tensor

from tanas.distances.base import Measurement, Pair
from tanas.distances.heads import Head, fit_ridge
from tanas.distances.intervals import IntervalConfig, row_counts
from tanas.distances.memory import OF_TARGETS
from tanas.ground.errors import check_choice, check_range
from tanas.tasks.performance import PERFORMANCES, confusion_of, performance_of

GATES = ("own", "absolute", "dense")
HEADS = ("ridge", "frozen")
MEASURES = ("area", *PERFORMANCES)


@dataclass(frozen=True, kw_only=True)
class GateConfig:
    """What stands for l_B(N_t o N_A), and what it is compared with."""

    RETIRED: ClassVar = {"errors": 0.0}

    head: str = "ridge"
    """What reads the classes from the map's output. 'ridge': a head fitted to it in closed form on the fit rows.
    'frozen': the head of N_B; a fit by least squares shrinks the output, and this head then answers the majority."""
    asked: str = "own"
    """The performance that is required, minus the slack. 'own': what N_B's own features reach under the same head.
    'absolute': 1, as in section 3.1. 'dense': what the whole map reaches, after section 4's 'similar performance to
    N_t'; a bad map then looks cheap."""
    slack: float | None = 0.01
    """Of l; None: the epsilon of B's representative. A hundredth of the area is one to eight standard errors with 300
    positives among 3,000 gate rows; experiments/pages/which-distance.md says how it was chosen."""
    measure: str | None = "area"
    """What l is. 'area': the area under the ROC curve of each class against the rest, mean over classes, scaled so
    that chance is 0 and perfection 1. It needs no threshold, and its standard error is 0.2 and 0.6 of that of
    'balanced' on the two development targets. 'balanced' or 'accuracy': of the head's answers. None: the task's."""

    def __post_init__(self) -> None:
        check_choice(self.head, "head", "GateConfig", HEADS)
        check_choice(self.asked, "asked", "GateConfig", GATES)
        if self.slack is not None:
            check_range(self.slack, "slack", "GateConfig", low=0, high=1)
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
        """Whether each class weighs the same in l, and in a head that is fitted for it."""
        return self.measure != "accuracy"

    @property
    def slack(self) -> float:
        """How far a performance may lie below what it is compared with."""
        return self.pair.epsilon if self.config.slack is None else self.config.slack

    def scores(self, fit: Tensor, gate: Tensor, *, width: int | None = None) -> Tensor:
        """Scores of the classes for the gate rows, (gate images, classes), read from a map's output.

        Args:
            fit: the output for the fit rows, (fit images, features); a refitted head takes any orthonormal
                coordinates of it.
            gate: the output for the gate rows, (gate images, features).
            width: number of features before they were put into fewer coordinates.
        """
        pair = self.pair
        if self.config.head == "frozen":
            return Head(weight=pair.head_weight, bias=pair.head_bias).scores(gate)
        return fit_ridge(fit, pair.labels_fit, pair.classes, balanced=self.balanced, width=width).scores(gate)

    def own_scores(self) -> Tensor:
        """The scores of B's own features under the same head, (gate images, classes); the same for every source."""
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
        answers = scores.argmax(dim=1).numpy()
        confusion = confusion_of(self.pair.labels_gate.numpy(), answers, self.pair.classes)
        return performance_of(confusion, self.measure)

    def resampled(self, maps: Sequence[Tensor], counts: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
        """l_B of several maps under draws of the gate rows, (draws, maps).

        Args:
            maps: the scores of each.
            counts: how often each row was drawn, (draws, gate images).
        """
        labels, classes = self.pair.labels_gate.numpy(), self.pair.classes
        if self.measure == "area":
            return np.stack([areas(scores.numpy(), labels, counts) for scores in maps], axis=1)
        answers = np.stack([scores.argmax(dim=1).numpy() for scores in maps])
        return resampled_performances(answers, labels, counts, classes, self.measure)

    def asked(self, own: Tensor, dense: Tensor) -> float:
        """The performance that is required, given the scores of B's own features and of the whole map."""
        against = {"own": own, "dense": dense}.get(self.config.asked)
        return (1.0 if against is None else self.score(against)) - self.slack


@dataclass(frozen=True, eq=False, kw_only=True)
class Trace:
    """What one fitted map says of the gate rows when it is pruned to different densities."""

    scores: Mapping[float, Tensor]
    """Of the classes, (gate images, classes), by density; the densest, 1, is among them."""
    ended: float | None = None
    """The failing density at which pruning ended early beyond a bound; None: it did not."""
    macs: int = 0
    """Multiply-adds of fitting the map."""

    @property
    def densities(self) -> list[float]:
        """The densest first."""
        return sorted(self.scores, reverse=True)


def judged(gate: Gate, own: Tensor, traces: Sequence[Trace], intervals: IntervalConfig | None) -> Measurement:
    """The measurement that fitted maps give: the first map gives d, all together give the interval.

    Args:
        gate: judges them.
        own: scores of B's own features under the same head, (gate images, classes).
        traces: of each map.
        intervals: how the interval is computed; None: there is none.
    """
    pair, first = gate.pair, traces[0]
    asked = gate.asked(own, first.scores[1.0])
    performances = [gate.score(first.scores[density]) for density in first.densities]
    met = crossing(first.densities, performances, asked)
    draws = () if intervals is None else _draws(gate, own, traces, intervals)
    if first.ended is not None:
        met = Crossing(first.ended, met.shortfall)
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
        at_least=first.ended is not None,
        map_macs=sum(trace.macs for trace in traces),
    )


def _draws(gate: Gate, own: Tensor, traces: Sequence[Trace], intervals: IntervalConfig) -> tuple[float, ...]:
    """`Measurement.order` under draws of the gate rows, dealt out among the maps."""
    counts = row_counts(len(gate.pair.labels_gate), intervals.draws)
    orders = np.zeros(len(counts))
    for at, trace in enumerate(traces):
        mine = np.arange(at, len(counts), len(traces))
        scores = [own, *(trace.scores[density] for density in trace.densities)]
        reached = gate.resampled(scores, counts[mine])  # (draws, 1 + maps)
        against = {"own": reached[:, 0], "dense": reached[:, 1]}.get(gate.config.asked, np.ones(len(mine)))
        for draw, performances, asked in zip(mine, reached[:, 1:], against - gate.slack, strict=True):
            met = crossing(trace.densities, performances.tolist(), float(asked))
            orders[draw] = met.value + met.shortfall - met.surplus
    return tuple(round(order, 6) for order in orders.tolist())


class Crossing(NamedTuple):
    """Where a curve of performance over density meets the gate; fields as in `Measurement`."""

    value: float
    shortfall: float = 0.0
    surplus: float = 0.0


def crossing(densities: Sequence[float], performances: Sequence[float], gate: float) -> Crossing:
    """The least density of the unbroken run from density 1 (the first) that passes a gate.

    It is interpolated over ln density between the last density of the run and the next one, which fails.
    """
    if performances[0] < gate:
        return Crossing(value=1.0, shortfall=gate - performances[0])
    for i in range(1, len(densities)):
        if performances[i] < gate:
            above, below = performances[i - 1] - gate, gate - performances[i]
            upper, lower = math.log(densities[i - 1]), math.log(densities[i])
            share = above / (above + below)
            return Crossing(value=math.exp(upper + share * (lower - upper)))
    return Crossing(value=densities[-1], surplus=performances[-1] - gate)


def resampled_performances(
    answers: npt.NDArray[np.int64],
    labels: npt.NDArray[np.int64],
    counts: npt.NDArray[np.int64],
    classes: int,
    measure: str,
) -> npt.NDArray[np.float64]:
    """The performance l of several maps under draws of the gate rows with replacement, (draws, maps).

    Args:
        answers: class indices, (maps, gate images).
        labels: class indices, (gate images,).
        counts: how often each row was drawn, (draws, gate images).
        classes: number of classes.
        measure: 'balanced' or 'accuracy'.
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
    # a draw of one class has no chance to correct for: its accuracy counts, as in `chance_corrected`
    return np.asarray(np.where(occurring > 1, np.clip(corrected, 0.0, 1.0), accuracies), dtype=np.float64)


def areas(
    scores: npt.NDArray[np.float32], labels: npt.NDArray[np.int64], counts: npt.NDArray[np.int64]
) -> npt.NDArray[np.float64]:
    """The area under the ROC curve of each class against the rest, mean over classes, under draws of the rows.

    The score of a class is taken less the greatest other one: two classes then have one curve. Equal scores count
    half. A class that is missing in a draw is left out of its mean; a draw of one class counts as 0.

    Args:
        scores: greatest for the class that is answered, (gate images, classes).
        labels: true class indices, (gate images,).
        counts: how often each row was drawn, (draws, gate images).

    Returns:
        (draws,), scaled and clipped: chance is 0 and perfection 1.
    """
    total, seen = np.zeros(len(counts)), np.zeros(len(counts))
    for label in range(scores.shape[1]):
        others = np.delete(scores, label, axis=1).max(axis=1)
        margin = scores[:, label] - others  # (gate images,)
        order = np.argsort(margin, kind="stable")
        starts = np.flatnonzero(np.diff(margin[order], prepend=-np.inf))  # of runs of equal scores
        hit = counts[:, order] * (labels[order] == label)  # (draws, gate images)
        hits = np.add.reduceat(hit, starts, axis=1)  # (draws, runs)
        misses = np.add.reduceat(counts[:, order] - hit, starts, axis=1)
        below = misses.cumsum(axis=1) - misses / 2
        pairs = hits.sum(axis=1) * misses.sum(axis=1)
        total += np.where(pairs > 0, (hits * below).sum(axis=1) / np.maximum(pairs, 1), 0.0)
        seen += pairs > 0
    mean = np.where(seen > 0, total / np.maximum(seen, 1), 0.5)
    return np.asarray(np.clip(2 * mean - 1, 0.0, 1.0), dtype=np.float64)
