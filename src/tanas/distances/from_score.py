"""Measurements by methods whose answer is one number: d, its tie-break and its interval."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from tanas.distances.base import Measurement, Pair
from tanas.distances.intervals import IntervalConfig, subsets

FIT_DRAWS = 8
"""Draws of the fit rows for each of `IntervalConfig.maps`: few, because each computes the score anew."""
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
    """A measurement from `Measurement.order`: its part outside [0, 1] becomes shortfall or surplus.

    The other arguments are fields of the measurement; the interval is taken from the draws.
    """
    value = min(max(order, 0.0), 1.0)
    return Measurement(
        source=pair.source,
        target=pair.target,
        same=False,
        value=value,
        shortfall=max(order - 1.0, 0.0),
        surplus=max(-order, 0.0),
        dense=dense,
        interval=intervals.around(value, draws) if intervals is not None and draws else None,
        draws=draws,
    )


def placed_by_fit_rows(
    pair: Pair, order: Callable[[Tensor], float], intervals: IntervalConfig | None
) -> Measurement:
    """A measurement from a score of the fit rows, with an interval from draws of four fifths of them.

    The draws are without replacement, because repeated rows make a score of many features on few rows too good. Such
    scores scatter less than those of fresh samples of all rows, by the root of 0.8 / (1 - 0.8), and have another mean.
    So their deviations from the mean are stretched by that factor and laid around the score of all rows.

    Source: Shao and Wu, A General Theory for Jackknife Variance Estimation, Annals of Statistics 17, 1989.

    Args:
        pair: that is measured.
        order: of some of the rows, given as positions (kept,) int64.
        intervals: `FIT_DRAWS` draws for each of its maps; None: there are none.
    """
    rows = len(pair.labels_fit)
    whole = order(torch.arange(rows))
    if intervals is None:
        return placed(pair, whole)
    drawn = np.array([order(torch.from_numpy(kept)) for kept in subsets(rows, intervals.maps * FIT_DRAWS)])
    stretched = whole + (KEPT / (1 - KEPT)) ** 0.5 * (drawn - drawn.mean())
    draws = tuple(round(float(draw), 6) for draw in stretched)
    return placed(pair, whole, draws=draws, intervals=intervals)
