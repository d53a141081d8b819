"""How well an order of sources foretells what they are worth, and what trusting it costs."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.stats import rankdata, weightedtau

from tanas.ground.errors import SettingError, check_range


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
    check_rankings(truth, scores)
    if len(truth) < 2 or np.ptp(truth) == 0 or np.ptp(scores) == 0:
        return None
    return float(weightedtau(truth, scores).statistic)


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
    check_rankings(truth, distances)
    if not truth:
        raise SettingError("The 'truth' of regret_at must hold at least one value. Got none instead.")
    tried = np.argsort(distances, kind="stable")[:k]
    return float(max(truth) - max(truth[place] for place in tried))


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
