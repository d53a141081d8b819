"""A linear head solved in closed form: how well the classes are read from features."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

PENALTIES = (0.01, 0.1, 1.0)
"""Ridge penalties that are tried, as shares of the features' mean variance. Between them l moves by about
0.01; below them the Gram matrix is singular in float32."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Head:
    """Features to scores of classes."""

    weight: Tensor
    """(classes, features)."""
    bias: Tensor
    """(classes,)."""

    def scores(self, features: Tensor) -> Tensor:
        """Scores of classes, (samples, classes), of features (samples, features)."""
        return functional.linear(features, self.weight, self.bias)

    def answers(self, features: Tensor) -> Tensor:
        """Class indices, (samples,) int64, of features (samples, features)."""
        return self.scores(features).argmax(dim=1)


def fit_ridge(
    features: Tensor, labels: Tensor, classes: int, *, balanced: bool, width: int | None = None
) -> Head:
    """Fit a head to one-hot labels by weighted ridge regression.

    The penalty is the one of `PENALTIES` with the least squared error when each sample is left out in turn,
    which the leverages give without refitting.

    Args:
        features: (samples, features).
        labels: class indices, (samples,).
        classes: number of classes.
        balanced: each class weighs the same in the squares, else each sample does.
        width: number of features before they were put into fewer orthonormal coordinates; the penalty's scale is
            a mean over it.
    """
    onehot = functional.one_hot(labels, classes).to(features.dtype)  # (samples, classes)
    counts = onehot.sum(dim=0)
    weights = 1 / counts[labels] if balanced else torch.ones_like(features[:, 0])
    weights = weights / weights.sum()  # (samples,), sum 1
    mean, mean_onehot = weights @ features, weights @ onehot
    root = weights.sqrt()[:, None]
    centred, wanted = (features - mean) * root, (onehot - mean_onehot) * root
    gram = centred.T @ centred  # (features, features)
    scale = (gram.diagonal().sum() / (width or len(gram))).clamp_min(torch.finfo(features.dtype).tiny)
    best, least = torch.zeros_like(gram[:, :classes]), float("inf")
    for penalty in PENALTIES:
        factor = _factor(gram, float(penalty * scale))
        solved = torch.cholesky_solve(centred.T @ wanted, factor)  # (features, classes)
        halves = torch.linalg.solve_triangular(factor, centred.T, upper=False)  # (features, samples)
        leverage = halves.square().sum(dim=0)[:, None] + root.square()  # (samples, 1)
        error = float(((wanted - centred @ solved) / (1 - leverage).clamp_min(1e-6)).square().sum())
        if error < least:
            best, least = solved, error
    weight = best.T  # (classes, features)
    return Head(weight=weight, bias=mean_onehot - weight @ mean)


def _factor(gram: Tensor, ridge: float) -> Tensor:
    """The Cholesky factor of a Gram matrix plus a ridge, (features, features).

    Where the sum is singular in float32 (hardly any feature varies), it is factored in float64, with the least ridge
    that float32 can hold beside the largest variance.
    """
    eye = torch.eye(len(gram), dtype=gram.dtype)
    factor: Tensor
    factor, failed = torch.linalg.cholesky_ex(gram + ridge * eye)
    if int(failed) == 0:
        return factor
    least = max(ridge, torch.finfo(gram.dtype).eps * float(gram.diagonal().max()), 1e-30)
    factor = torch.linalg.cholesky(gram.double() + least * eye.double()).to(gram.dtype)
    return factor
