"""Measurements by methods whose answer is one number: d, its tie-break, and how sure it is."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from tanas.distances.base import Measurement, Pair
from tanas.distances.intervals import IntervalConfig, subsets

FIT_DRAWS = 8
"""Draws of the fit rows for each of `IntervalConfig.maps`: a score of fit rows has to be computed anew for
each, while the 200 draws of gate rows cost next to nothing."""
KEPT = 0.8
"""Share of the fit rows in each draw of `subsets`."""


def placed(
    pair: Pair,
    order: float,
    *,
    draws: tuple[float, ...] = (),
    intervals: IntervalConfig | None = None,
    dense: float | None = None,
) -> Measurement:
    """A measurement from the one number that sorts: what of it lies outside [0, 1] becomes the tie-break.

    Args:
        pair: that was measured.
        order: greater for farther; d where it lies in [0, 1].
        draws: `order` under draws of rows.
        intervals: says where the interval's ends lie among the draws; None: there is none.
        dense: what A's features reach, l in [0, 1], if the method has an l.
    """
    value, ends = min(max(order, 0.0), 1.0), None
    if intervals is not None and draws:
        ends = intervals.around(value, draws)
    return Measurement(
        source=pair.source,
        target=pair.target,
        same=False,
        value=value,
        shortfall=max(order - 1.0, 0.0),
        surplus=max(-order, 0.0),
        dense=dense,
        interval=ends,
        draws=draws,
    )


def fit_row_draws(
    rows: int, order: Callable[[Tensor], float], whole: float, intervals: IntervalConfig | None
) -> tuple[float, ...]:
    """`order` under draws of the fit rows, for scores that are computed on those.

    Each draw leaves a fifth of the rows out, because rows that stand there twice make a score of many features
    on few rows too good. Without replacement the scores scatter less than those of fresh samples of all
    rows do, by the root of 0.8 / (1 - 0.8), and on fewer rows their level is another: so deviations from
    the draws' mean are stretched by that factor and laid around the score of all rows.

    Source: Shao and Wu, A General Theory for Jackknife Variance Estimation, Annals of Statistics 17, 1989.

    Args:
        rows: number of fit rows.
        order: of some of the rows, given as positions (kept,) int64.
        whole: `order` of all rows.
        intervals: `FIT_DRAWS` draws for each of its maps; None: there are none.
    """
    if intervals is None:
        return ()
    drawn = np.array([order(torch.from_numpy(kept)) for kept in subsets(rows, intervals.maps * FIT_DRAWS)])
    stretched = whole + (KEPT / (1 - KEPT)) ** 0.5 * (drawn - drawn.mean())
    return tuple(round(float(draw), 6) for draw in stretched)


def placed_by_fit_rows(
    pair: Pair, order: Callable[[Tensor], float], intervals: IntervalConfig | None
) -> Measurement:
    """A measurement from a score of the fit rows alone, its interval from draws of them.

    Args:
        pair: that is measured.
        order: of some of the rows, given as positions (kept,) int64.
        intervals: as in `fit_row_draws`.
    """
    whole = order(torch.arange(len(pair.labels_fit)))
    draws = fit_row_draws(len(pair.labels_fit), order, whole, intervals)
    return placed(pair, whole, draws=draws, intervals=intervals)
