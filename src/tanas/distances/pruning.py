"""Pruning by global magnitude, and the search for the least density that still passes a gate."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor


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
    passes: Callable[[float], bool], *, least: float, tolerance: float, enough: float | None = None
) -> tuple[float, float]:
    """The bracket of the least density that passes, to within a tolerance of its logarithm.

    Performance falls with density in all but very few curves, so that bisection is safe; whatever the
    curve, the upper end that is given back did pass, and the lower one did not.

    Args:
        passes: whether the map at a density below 1 does; at 1 it does.
        least: lowest density that is tried.
        tolerance: of ln density.
        enough: it ends as soon as the lower end is known to be more than this.

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
    """Walks down a geometric schedule of densities until too many in a row fail.

    Args:
        passes: prunes on to a density, lower at each call, and says whether the map passes.
        start: above the first density.
        least: lowest density that is tried.
        shrink: each density is so many times the one before.
        patience: the way ends after so many failures in a row.
    """
    failures, density = 0, start * shrink
    while failures < patience and density > least * 0.999:  # of a chain of products
        failures = 0 if passes(density) else failures + 1
        density *= shrink
