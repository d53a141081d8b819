"""How well two methods of measuring agree on which tasks are near, and what trusting one costs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata, weightedtau

from tanas.distances.matrix import DistanceMatrix
from tanas.ground.errors import SettingError, check_range


def spearman(first: Sequence[float], second: Sequence[float]) -> float | None:
    """Spearman's rank correlation: Pearson's correlation of the ranks, equal values sharing their mean rank.

    Args:
        first: a value for each of some things.
        second: another value for each of the same things, in the same order.

    Returns:
        in [-1, 1]; None: one of them ranks nothing, because all its values are equal or there are fewer than two.

    Raises:
        SettingError: they differ in length.

    Source: C. Spearman, The proof and measurement of association between two things (1904).
    """
    a, b = _numbers(first, second)
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(np.clip(np.corrcoef(rankdata(a), rankdata(b))[0, 1], -1.0, 1.0))


def weighted_tau(truth: Sequence[float], scores: Sequence[float]) -> float | None:
    """Kendall's tau in which things at the top of a ranking count more.

    An exchange of the things with ranks r and s (0 the highest) weighs 1 / (r + 1) + 1 / (s + 1); the ranks
    are taken once from the truth and once from the scores, and the two results averaged. Equal values count
    neither for nor against, as in tau-b.

    Args:
        truth: the more the better.
        scores: the more the better; of a distance, its negative.

    Returns:
        in [-1, 1]; None: one of them ranks nothing.

    Raises:
        SettingError: they differ in length.

    Source: S. Vigna, A weighted correlation index for rankings with ties (2015).
    """
    a, b = _numbers(truth, scores)
    if len(a) < 2 or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(weightedtau(a, b).statistic)


def regret_at(k: int, truth: Sequence[float], distances: Sequence[float]) -> float:
    """What is lost if the best of the k nearest is taken instead of the best of all.

    Args:
        k: how many of the nearest are tried; of equally near ones the first are.
        truth: what each is worth, the more the better.
        distances: of each, in the same order.

    Returns:
        at least 0, in the unit of the truth.

    Raises:
        SettingError: `k` is below 1, they differ in length, or there are none.
    """
    check_range(k, "k", "regret_at", low=1)
    a, b = _numbers(truth, distances)
    if not len(a):
        raise SettingError("The 'truth' of regret_at must hold at least one value. Got none instead.")
    tried = np.argsort(b, kind="stable")[:k]
    return float(a.max() - a[tried].max())


def same_nearest(first: DistanceMatrix, second: DistanceMatrix) -> float | None:
    """The share of targets for which two matrices name the same nearest source, the target itself left out.

    Args:
        first: of some sources and targets.
        second: of the same.

    Returns:
        in [0, 1]; None: no target has a source beside itself.

    Raises:
        SettingError: their sources or targets differ.
    """
    _check_names(first, second)
    pairs = [(first.nearest(target, 1), second.nearest(target, 1)) for target in first.targets]
    same = [a[0].source == b[0].source for a, b in pairs if a and b]
    return sum(same) / len(same) if same else None


def rank_agreement(first: DistanceMatrix, second: DistanceMatrix) -> float | None:
    """Spearman's rank correlation of two matrices over all pairs of two different tasks.

    Ranked by `Measurement.order`, so that pairs at 1, or at the least density, are told apart.

    Args:
        first: of some sources and targets.
        second: of the same.

    Returns:
        as `spearman`.

    Raises:
        SettingError: their sources or targets differ.
    """
    _check_names(first, second)
    kept = [
        (a.order, b.order)
        for a, b in zip(first.measurements, second.measurements, strict=True)
        if not a.same and not b.same
    ]
    return spearman([a for a, _ in kept], [b for _, b in kept])


def _check_names(first: DistanceMatrix, second: DistanceMatrix) -> None:
    if (first.sources, first.targets) != (second.sources, second.targets):
        raise SettingError(
            "The matrices to compare must have the same sources and targets. "
            f"Got {len(first.sources)} x {len(first.targets)} and {len(second.sources)} x {len(second.targets)} "
            "with other names instead."
        )


def _numbers(
    first: Sequence[float], second: Sequence[float]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    if len(first) != len(second):
        raise SettingError(
            f"The two rankings must be of the same things. Got {len(first)} and {len(second)} values instead."
        )
    for value in (*first, *second):
        if not math.isfinite(value):
            raise SettingError(f"The values of a ranking must be finite. Got {value!r} instead.")
    return np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
