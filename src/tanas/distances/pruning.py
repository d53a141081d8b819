"""Pruning by global magnitude, and the search for the least density that still passes a gate."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

Curve = tuple[tuple[float, float], ...]
"""(density, performance) of each density tried, the densest first."""


def magnitude_masks(matrices: Sequence[Tensor], keep: int) -> list[Tensor]:
    """Which weights are kept when only the largest of all matrices together are.

    Args:
        matrices: weights.
        keep: how many are kept, exactly; of equal ones the first are.

    Returns:
        a mask for each matrix, bool of its shape.
    """
    magnitudes = torch.cat([matrix.detach().abs().flatten() for matrix in matrices])
    total = len(magnitudes)
    if keep >= total:
        flat = torch.ones(total, dtype=torch.bool)
    else:
        # numpy's selection takes a hundredth of a sort's time
        threshold = float(np.partition(magnitudes.numpy(), total - keep)[total - keep])
        flat = magnitudes > threshold
        ties = torch.nonzero(magnitudes == threshold).flatten()
        flat[ties[: keep - int(flat.sum())]] = True
    parts = torch.split(flat, [matrix.numel() for matrix in matrices])
    return [part.reshape(matrix.shape) for part, matrix in zip(parts, matrices, strict=True)]


def bisect_density(
    performance: Callable[[float], float], *, dense: float, gate: float, least: float, tolerance: float
) -> tuple[float, Curve]:
    """The least density that passes a gate, to within a tolerance of its logarithm.

    Performance falls with density in all but very few curves, so that bisection is safe; whatever the
    curve, the density that is given back did pass.

    Args:
        performance: of the map at a density in (0, 1].
        dense: performance at density 1, which passes.
        gate: least performance that passes.
        least: lowest density that is tried.
        tolerance: of ln density.

    Returns:
        the density, and every density that was tried.
    """
    curve = {1.0: dense, least: performance(least)}
    if curve[least] >= gate:
        return least, _sorted(curve)
    passing, failing = 0.0, math.log(least)
    while passing - failing > tolerance:
        middle = (passing + failing) / 2
        density = math.exp(middle)
        curve[density] = performance(density)
        if curve[density] >= gate:
            passing = middle
        else:
            failing = middle
    return math.exp(passing), _sorted(curve)


def shrink_density(
    performance: Callable[[float], float],
    *,
    dense: float,
    gate: float,
    least: float,
    shrink: float,
    patience: int,
) -> tuple[float, Curve]:
    """The least density that passes on the way down a geometric schedule.

    Args:
        performance: prunes on to a density, lower at each call, and measures.
        dense: performance at density 1, which passes.
        gate: least performance that passes.
        least: lowest density that is tried.
        shrink: each density is so many times the one before.
        patience: the way ends after so many failures in a row.

    Returns:
        the density, and every density that was tried.
    """
    curve = {1.0: dense}
    best, failures, density = 1.0, 0, shrink
    while failures < patience and density >= least:
        curve[density] = performance(density)
        if curve[density] >= gate:
            best, failures = density, 0
        else:
            failures += 1
        density *= shrink
    return best, _sorted(curve)


def _sorted(curve: dict[float, float]) -> Curve:
    return tuple(sorted(curve.items(), reverse=True))
