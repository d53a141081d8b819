"""Pruning by global magnitude, and the search for the least density that still passes a gate."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor


def magnitude_masks(matrices: Sequence[Tensor], keep: int) -> list[Tensor]:
    """Masks of exactly so many largest weights of all matrices together; of equal weights the first are kept."""
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
    passes: Callable[[float], bool], *, least: float, tolerance: float, enough: float | None = None
) -> tuple[float, float]:
    """The bracket of the least density that passes, to within a tolerance of its logarithm.

    Performance falls with density in nearly all curves. Whatever the curve, the upper end of the bracket passed, and
    the lower end did not.

    Args:
        passes: whether the map at a density below 1 passes; at 1 it does.
        least: lowest density that is tried.
        tolerance: of ln density.
        enough: bisection ends early once the lower end exceeds this.

    Returns:
        (fails, passes); both are `least` where that passes.
    """
    if passes(least):
        return least, least
    passing, failing = 0.0, math.log(least)
    while passing - failing > tolerance and not (enough is not None and math.exp(failing) > enough):
        middle = (passing + failing) / 2
        if passes(math.exp(middle)):
            passing = middle
        else:
            failing = middle
    return math.exp(failing), math.exp(passing)


def shrink_density(
    passes: Callable[[float], bool], *, start: float, least: float, shrink: float, patience: int
) -> None:
    """Walk down a geometric schedule of densities until too many in a row fail.

    Args:
        passes: prunes on to a density, lower at each call, and returns whether the map passes.
        start: above the first density, which is `shrink` times as large.
        least: lowest density that is tried.
        shrink: ratio of two densities.
        patience: failures in a row that end the walk.
    """
    failures, density = 0, start * shrink
    while failures < patience and density > least * 0.999:  # the product rounds
        failures = 0 if passes(density) else failures + 1
        density *= shrink
