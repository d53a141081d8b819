"""How well an order of sources foretells what they are worth, and what trusting it costs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.stats import weightedtau

from tanas.distances.agreement import check_rankings
from tanas.ground.errors import SettingError, check_range


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
