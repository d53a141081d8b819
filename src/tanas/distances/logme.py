"""LogME: the evidence that a linear model on A's features gives to B's labels."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from tanas.distances.base import Distance, Measurement, Pair, check_classes
from tanas.distances.from_score import placed_by_fit_rows
from tanas.distances.intervals import IntervalConfig
from tanas.ground.seeds import Seed

ITERATIONS = 200
"""Most fixed-point iterations; about ten are used."""
SETTLED = 1e-6
"""The iteration ends when alpha / beta changes by less than this share."""
LEAST_SQUARES = 1e-9
"""Lower bound of residuals and weights, as a share of the labels' sum of squares, and of their degrees of freedom:
a perfect fit would have an infinite evidence."""
RANK = 1e-11
"""Directions with a smaller share of the greatest variance are rounding errors of a Gram matrix in float64."""
SATURATED = 30.0
"""From here on exp(-|x|) vanishes beside 1 in float64: the score itself then keeps the order."""


@dataclass(frozen=True)
class LogMeDistance(Distance):
    """1 / (1 + exp(x)), x the greatest log evidence per sample of a Bayesian linear model, mean over classes.

    The one-hot labels of each class are regressed on A's features with a Gaussian prior on the weights; its precision
    alpha and the noise's beta maximise the evidence. Beyond |x| = 30 the rest becomes shortfall or surplus, which keeps
    the order. The interval is made of draws of the fit rows; each costs as much as d itself.

    Source: You et al., LogME: Practical Assessment of Pre-trained Models for Transfer Learning, ICML 2021.
    """

    intervals: IntervalConfig | None = None

    name = "logme"

    def measured(self, pair: Pair, seed: Seed, beyond: float | None) -> Measurement:
        check_classes(pair, self.name)

        def order(rows: Tensor) -> float:
            return falling(log_evidence(pair.source_fit[rows], pair.labels_fit[rows], pair.classes))

        return placed_by_fit_rows(pair, order, self.intervals)


def log_evidence(features: Tensor, labels: Tensor, classes: int) -> float:
    """Greatest log evidence per sample of linear models for the one-hot labels, mean over the classes with samples.

    Source: algorithm 1 of You et al., in the basis of the features' left singular vectors.
    """
    f = features.double()  # (samples, features)
    samples, width = f.shape
    wanted = functional.one_hot(labels, classes).double()  # (samples, classes)
    wanted = wanted[:, wanted.sum(dim=0) > 0]
    # squared singular values s and, by class, the squared coordinates of y along the left singular vectors
    if samples >= width:
        s, basis = torch.linalg.eigh(f.T @ f)
        kept = s > RANK * s[-1]
        s = s[kept]
        along = (basis[:, kept].T @ (f.T @ wanted)).square() / s[:, None]  # (rank, classes)
    else:
        s, basis = torch.linalg.eigh(f @ f.T)
        kept = s > RANK * s[-1]
        s = s[kept]
        along = (basis[:, kept].T @ wanted).square()  # (rank, classes)
    total = wanted.square().sum(dim=0)  # (classes,)
    outside = (total - along.sum(dim=0)).clamp_min(0)  # (classes,)
    least = LEAST_SQUARES * total
    smallest = least / s.max() if len(s) else torch.ones_like(total)  # of squared weights, (classes,)
    s = s[:, None]  # (rank, 1)
    alpha, beta = torch.ones_like(total), torch.ones_like(total)
    for _ in range(ITERATIONS):
        ratio = alpha / beta  # (classes,)
        gamma = (s / (s + ratio)).sum(dim=0)
        squares = (s * along / (s + ratio).square()).sum(dim=0)
        residual = ((ratio / (s + ratio)).square() * along).sum(dim=0) + outside
        alpha = gamma.clamp_min(LEAST_SQUARES) / squares.clamp_min(smallest)
        beta = (samples - gamma).clamp_min(LEAST_SQUARES) / residual.clamp_min(least)
        if bool(((alpha / beta - ratio).abs() <= SETTLED * ratio).all()):
            break
    ratio = alpha / beta
    squares = (s * along / (s + ratio).square()).sum(dim=0)
    residual = ((ratio / (s + ratio)).square() * along).sum(dim=0) + outside
    evidence = 0.5 * (
        len(s) * alpha.log()  # directions without variance cancel against the determinant
        + samples * beta.log()
        - samples * math.log(2 * math.pi)
        - beta * residual
        - alpha * squares
        - (alpha + beta * s).log().sum(dim=0)
    )  # (classes,)
    return float((evidence / samples).mean())


def falling(x: float) -> float:
    """1 / (1 + exp(x)); where |x| exceeds `SATURATED`, the excess is added or subtracted."""
    inside = min(max(x, -SATURATED), SATURATED)
    return 1 / (1 + math.exp(inside)) + (inside - x)
