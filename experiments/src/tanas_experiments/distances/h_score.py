"""H-score: how much of the variance of A's features lies between B's classes."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from tanas.distances.base import Distance, Measurement, Pair, check_classes
from tanas.distances.from_score import placed_by_fit_rows
from tanas.distances.intervals import IntervalConfig
from tanas.ground.seeds import Seed

LEAST_SHRINKAGE = 1e-6
"""Of a covariance, so that it can be inverted where features outnumber samples."""


@dataclass(frozen=True)
class HScoreDistance(Distance):
    """1 - H / (classes - 1), H = tr(cov(f)^-1 cov(E[f | y])): the share of variance that lies between classes.

    A plain covariance of a thousand features on some 1,500 rows is so near singular that every source scores
    as perfect: it is shrunken towards a multiple of the identity by the closed form of Ledoit and Wolf, as
    Ibrahim et al. do. The interval is made of draws of the fit rows; each costs as much as d itself.

    Source: Bao et al., An Information-Theoretic Approach to Transferability in Task Transfer Learning, ICIP 2019;
    Ibrahim et al., Newer is not Always Better: Rethinking Transferability Metrics, ECML 2022.
    """

    intervals: IntervalConfig | None = None

    name = "h-score"

    def measured(self, pair: Pair, seed: Seed, beyond: float | None) -> Measurement:
        check_classes(pair, self.name)

        def order(rows: Tensor) -> float:
            return 1 - min(
                h_score(pair.source_fit[rows], pair.labels_fit[rows], pair.classes) / (pair.classes - 1), 1.0
            )

        return placed_by_fit_rows(pair, order, self.intervals)


def h_score(features: Tensor, labels: Tensor, classes: int) -> float:
    """tr(cov(f)^-1 cov(E[f | y])) with a shrunken covariance, in [0, classes - 1].

    With cov(f) shrunken to (1 - s) cov(f) + s m I, cov(E[f | y]) is shrunken by (1 - s) as well.

    Args:
        features: (samples, features).
        labels: class indices, (samples,).
        classes: number of classes.
    """
    f = features.double()
    centred = f - f.mean(dim=0)
    covariance = centred.T @ centred / len(f)  # (features, features)
    if not bool(covariance.diagonal().sum() > 0):
        return 0.0  # constant features tell nothing
    shrinkage = ledoit_wolf(centred, covariance)
    level = covariance.diagonal().mean()
    shrunken = (1 - shrinkage) * covariance + shrinkage * level * torch.eye(len(covariance), dtype=f.dtype)
    onehot = functional.one_hot(labels, classes).double()  # (samples, classes)
    counts = onehot.sum(dim=0)
    means = (onehot.T @ centred) / counts.clamp_min(1)[:, None]  # (classes, features)
    solved = torch.cholesky_solve(means.T, torch.linalg.cholesky(shrunken))  # (features, classes)
    between = (means * solved.T).sum(dim=1)  # (classes,)
    return float((1 - shrinkage) * (counts / len(f) * between).sum())


def ledoit_wolf(centred: Tensor, covariance: Tensor) -> float:
    """The shrinkage towards a multiple of the identity with the least expected squared error.

    Args:
        centred: features less their mean, (samples, features) float64.
        covariance: of them, over the number of samples, (features, features).

    Returns:
        in [1e-6, 1].

    Source: Ledoit and Wolf, A Well-Conditioned Estimator for Large-Dimensional Covariance Matrices, 2004.
    """
    samples, width = centred.shape
    level = covariance.diagonal().mean()
    size = covariance.square().sum()
    away = size - width * level.square()  # of the covariance from the multiple of the identity, squared
    noise = (centred.square().sum(dim=1).square().sum() / samples - size) / samples
    return min(max(float(noise / away) if away > 0 else 1.0, LEAST_SHRINKAGE), 1.0)
