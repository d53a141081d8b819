"""Distances that ask how well B's classes are read from A's features: k nearest neighbours, a linear probe."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from tanas.distances.base import Measurement, Pair
from tanas.distances.checks import check_classes
from tanas.distances.from_score import placed
from tanas.distances.gate import Gate, GateConfig
from tanas.distances.heads import fit_ridge
from tanas.distances.intervals import IntervalConfig, row_counts
from tanas.distances.measurement import measure
from tanas.ground.errors import check_choice, check_range
from tanas.ground.seeds import Seed

METRICS = ("cosine", "euclidean")


@dataclass(frozen=True, kw_only=True)
class KnnConfig:
    """How nearest neighbours are looked for."""

    k: int = 9
    """Neighbours that vote: odd, so that two classes can't tie. On other tasks' features, for indicators of MNIST
    and Fashion-MNIST, the area was greatest with 9 to 15; the fewer, the rarer a class may be."""
    metric: str = "cosine"
    """'cosine' or 'euclidean': which fit rows are near. Features after a ReLU differ in length with the
    contrast of the image, which cosine does not see; on the same indicators it reads as much or more."""

    def __post_init__(self) -> None:
        check_range(self.k, "k", "KnnConfig", low=1)
        check_choice(self.metric, "metric", "KnnConfig", METRICS)


@dataclass(frozen=True)
class KnnDistance:
    """1 - l_B of the k nearest neighbours on A's features; gate rows ask, fit rows answer.

    Where l is balanced, a vote weighs one over the number of fit rows of its class, so that a rare class can
    win; else each weighs the same. A class needs (k + 1) / 2 fit rows: with fewer it could not win a vote by
    its own.

    Where l saturates at 1 or 0, the mean margin of the vote (the true class's share less the greatest other
    share) breaks ties, as surplus or shortfall. The interval is made of draws of the gate rows.

    Source: Renggli et al., Which Model to Transfer? Finding the Needle in the Growing Haystack, CVPR 2022,
    for neighbours as a proxy of transfer.
    """

    config: KnnConfig = field(default_factory=KnnConfig)
    gate: GateConfig = field(default_factory=GateConfig)
    """Of which only the measure is used."""
    intervals: IntervalConfig | None = None

    @property
    def name(self) -> str:
        return "knn"

    @property
    def needs(self) -> tuple[str, ...]:
        return ()

    def __call__(self, pair: Pair, seed: Seed, *, beyond: float | None = None) -> Measurement:
        """Measures d(A -> B); see `Distance`. Nothing is drawn from the seed.

        Raises:
            NonFiniteError: features are not finite.
            SettingError: a class of B has too few fit rows.
        """
        return measure(pair, lambda: self._measured(pair))

    def _measured(self, pair: Pair) -> Measurement:
        check_classes(pair, self.name, least=(self.config.k + 1) // 2)
        gate = Gate(self.gate, pair)
        scores = votes(
            pair.source_fit,
            pair.labels_fit,
            pair.source_gate,
            pair.classes,
            self.config,
            balanced=gate.balanced,
        )
        return read(gate, scores, self.intervals)


@dataclass(frozen=True)
class ProbeDistance:
    """1 - l_B of a linear head on A's features: ridge regression on the fit rows, judged on the gate rows.

    Where l saturates at 1 or 0, the mean margin of the head (its score for the true class less the greatest
    other) breaks ties, as surplus or shortfall. The interval is made of draws of the gate rows; the head
    stays as it is.

    Source: Alain and Bengio, Understanding Intermediate Layers Using Linear Classifier Probes, 2017.
    """

    gate: GateConfig = field(default_factory=GateConfig)
    """Of which only the measure is used."""
    intervals: IntervalConfig | None = None

    @property
    def name(self) -> str:
        return "probe"

    @property
    def needs(self) -> tuple[str, ...]:
        return ()

    def __call__(self, pair: Pair, seed: Seed, *, beyond: float | None = None) -> Measurement:
        """Measures d(A -> B); see `Distance`. Nothing is drawn from the seed.

        Raises:
            NonFiniteError: features are not finite.
            SettingError: the fit rows are of one class only.
        """
        return measure(pair, lambda: self._measured(pair))

    def _measured(self, pair: Pair) -> Measurement:
        check_classes(pair, self.name)
        gate = Gate(self.gate, pair)
        head = fit_ridge(pair.source_fit, pair.labels_fit, pair.classes, balanced=gate.balanced)
        return read(gate, head.scores(pair.source_gate), self.intervals)


def votes(
    fit: Tensor, labels: Tensor, gate: Tensor, classes: int, config: KnnConfig, *, balanced: bool
) -> Tensor:
    """Shares of the vote of the k nearest fit rows.

    Args:
        fit: (fit images, features).
        labels: class indices of the fit rows, (fit images,).
        gate: (gate images, features).
        classes: number of classes.
        config: k and the metric.
        balanced: a vote weighs one over the number of fit rows of its class.

    Returns:
        (gate images, classes), each row of sum 1.
    """
    if config.metric == "cosine":
        nearness = functional.normalize(gate) @ functional.normalize(fit).T  # (gate images, fit images)
    else:
        # |g - f|^2 less |g|^2, which is the same for all fit rows
        nearness = 2 * gate @ fit.T - fit.square().sum(dim=1)  # (gate images, fit images)
    nearest = nearness.topk(min(config.k, len(fit)), dim=1).indices  # (gate images, k)
    weight = 1 / torch.bincount(labels, minlength=classes) if balanced else torch.ones(classes)
    voters = labels[nearest]  # (gate images, k)
    counted = torch.zeros(len(gate), classes).scatter_add_(1, voters, weight[voters])
    return counted / counted.sum(dim=1, keepdim=True)


def read(gate: Gate, scores: Tensor, intervals: IntervalConfig | None) -> Measurement:
    """The measurement 1 - l that scores of the gate rows give.

    Args:
        gate: says what l is.
        scores: greatest for the class that is answered, (gate images, classes).
        intervals: of draws of the gate rows; None: there is none.
    """
    pair = gate.pair
    reached = gate.score(scores)
    order = 1 - reached
    if reached >= 1:
        order -= max(_margin(gate, scores), 0.0)
    if reached <= 0:
        order += max(-_margin(gate, scores), 0.0)
    draws: tuple[float, ...] = ()
    if intervals is not None:
        performances = gate.resampled([scores], row_counts(len(scores), intervals.draws))[:, 0]
        draws = tuple(round(1 - float(performance), 6) for performance in performances)
    return placed(pair, order, draws=draws, intervals=intervals, dense=reached)


def _margin(gate: Gate, scores: Tensor) -> float:
    """Mean of the true class's score less the greatest other one; of the classes' means if l is balanced."""
    labels = gate.pair.labels_gate
    column = labels[:, None]  # (gate images, 1)
    others = scores.scatter(1, column, -torch.inf).amax(dim=1)
    margins = scores.gather(1, column)[:, 0] - others  # (gate images,)
    if not gate.balanced:
        return float(margins.mean())
    counts = torch.bincount(labels, minlength=gate.pair.classes)
    sums = torch.bincount(labels, weights=margins, minlength=gate.pair.classes)
    return float((sums[counts > 0] / counts[counts > 0]).mean())
