"""How well two methods of measuring agree on which tasks are near."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata

from tanas.distances.matrix import DistanceMatrix
from tanas.ground.errors import SettingError


def spearman(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's rank correlation of two values per thing, in [-1, 1]; equal values share their mean rank.

    Returns:
        None if one of them ranks nothing: its values are all equal, or there are fewer than two.

    Raises:
        SettingError: they differ in length, or a value is not finite.
    """
    check_rankings(first, second)
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(np.clip(np.corrcoef(rankdata(first), rankdata(second))[0, 1], -1.0, 1.0))


def same_nearest(first: DistanceMatrix, second: DistanceMatrix) -> float | None:
    """Share of targets for which two matrices of the same tasks name the same nearest source, itself left out.

    Returns:
        in [0, 1]; None: no target has another source than itself.
    """
    pairs = [(first.nearest(target), second.nearest(target)) for target in first.targets]
    same = [a[0].source == b[0].source for a, b in pairs if a and b]
    return sum(same) / len(same) if same else None


def rank_agreement(first: DistanceMatrix, second: DistanceMatrix) -> float | None:
    """`spearman` of two matrices of the same tasks over all pairs of different tasks, by `Measurement.order`."""
    kept = [
        (a.order, b.order)
        for a, b in zip(first.measurements, second.measurements, strict=True)
        if not a.same and not b.same
    ]
    return spearman([a for a, _ in kept], [b for _, b in kept])


def check_rankings(first: Sequence[float], second: Sequence[float]) -> None:
    """Refuse rankings of different lengths, and values that are not finite.

    Raises:
        SettingError: they can't be compared.
    """
    if len(first) != len(second):
        raise SettingError(
            f"The two rankings must be of the same things. Got {len(first)} and {len(second)} values instead."
        )
    for value in (*first, *second):
        if not math.isfinite(value):
            raise SettingError(f"The values of a ranking must be finite. Got {value!r} instead.")
