"""How well B's classes are read from A's features: by k nearest neighbours, or by a linear probe."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn import functional

from tanas.distances.base import Distance, Measurement, Pair, check_classes
from tanas.distances.from_score import placed
from tanas.distances.gate import Gate, GateConfig
from tanas.distances.heads import fit_ridge
from tanas.distances.intervals import IntervalConfig, row_counts
from tanas.ground.errors import check_choice, check_range
from tanas.ground.seeds import Seed

METRICS = ("cosine", "euclidean")


@dataclass(frozen=True, kw_only=True)
class KnnConfig:
    """How nearest neighbours are found."""

    k: int = 9
    """Neighbours that vote: odd, so two classes can't tie. For indicators of MNIST and Fashion-MNIST the area was
    greatest with 9 to 15; fewer neighbours allow rarer classes."""
    metric: str = "cosine"
    """'cosine' or 'euclidean'. Cosine ignores the length of features, which grows with the contrast of the image."""

    def __post_init__(self) -> None:
        check_range(self.k, "k", "KnnConfig", low=1)
        check_choice(self.metric, "metric", "KnnConfig", METRICS)


@dataclass(frozen=True)
class KnnDistance(Distance):
    """1 - l_B of the k nearest fit rows on A's features, judged on the gate rows.

    Where l is balanced, a vote weighs one over the number of fit rows of its class. A class needs (k + 1) / 2 fit
    rows: with fewer it can't win a vote. Where l saturates at 1 or 0, the mean margin of the vote (the true class's
    share less the greatest other share) breaks ties, as surplus or shortfall. The interval is made of draws of the
    gate rows.

    Source: Renggli et al., Which Model to Transfer? Finding the Needle in the Growing Haystack, CVPR 2022,
    for neighbours as a proxy of transfer.
    """

    config: KnnConfig = field(default_factory=KnnConfig)
    gate: GateConfig = field(default_factory=GateConfig)
    """Of which only the measure is used."""
    intervals: IntervalConfig | None = None

    name = "knn"

    def measured(self, pair: Pair, seed: Seed, beyond: float | None) -> Measurement:
        check_classes(pair, self.name, least=(self.config.k + 1) // 2)
        gate = Gate(self.gate, pair)
        fit, labels, asked = pair.source_fit, pair.labels_fit, pair.source_gate
        scores = votes(fit, labels, asked, pair.classes, self.config, balanced=gate.balanced)
        return read(gate, scores, self.intervals)


@dataclass(frozen=True)
class ProbeDistance(Distance):
    """1 - l_B of a linear head on A's features: ridge regression on the fit rows, judged on the gate rows.

    Where l saturates at 1 or 0, the mean margin of the head (its score for the true class less the greatest other)
    breaks ties, as surplus or shortfall. The interval is made of draws of the gate rows; the head stays the same.

    Source: Alain and Bengio, Understanding Intermediate Layers Using Linear Classifier Probes, 2017.
    """

    gate: GateConfig = field(default_factory=GateConfig)
    """Of which only the measure is used."""
    intervals: IntervalConfig | None = None

    name = "probe"

    def measured(self, pair: Pair, seed: Seed, beyond: float | None) -> Measurement:
        check_classes(pair, self.name)
        gate = Gate(self.gate, pair)
        head = fit_ridge(pair.source_fit, pair.labels_fit, pair.classes, balanced=gate.balanced)
        return read(gate, head.scores(pair.source_gate), self.intervals)


def votes(
    fit: Tensor, labels: Tensor, gate: Tensor, classes: int, config: KnnConfig, *, balanced: bool
) -> Tensor:
    """Shares of the vote of the k nearest fit rows for each gate row, (gate images, classes); a row sums to 1.

    Args:
        fit: features, (fit images, features).
        labels: class indices of the fit rows, (fit images,).
        gate: features, (gate images, features).
        classes: number of classes.
        config: k and the metric.
        balanced: a vote weighs one over the number of fit rows of its class.
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
    """The measurement 1 - l from scores of the gate rows, (gate images, classes)."""
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
    """Mean of the true class's score less the greatest other one; the mean of class means if l is balanced."""
    labels = gate.pair.labels_gate
    column = labels[:, None]  # (gate images, 1)
    others = scores.scatter(1, column, -torch.inf).amax(dim=1)
    margins = scores.gather(1, column)[:, 0] - others  # (gate images,)
    if not gate.balanced:
        return float(margins.mean())
    counts = torch.bincount(labels, minlength=gate.pair.classes)
    sums = torch.bincount(labels, weights=margins, minlength=gate.pair.classes)
    return float((sums[counts > 0] / counts[counts > 0]).mean())
