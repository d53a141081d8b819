"""Intervals of distances: gate rows drawn anew, and maps fitted anew."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tanas.ground.errors import check_range
from tanas.ground.seeds import Seed


@dataclass(frozen=True, kw_only=True)
class IntervalConfig:
    """How an interval is computed."""

    draws: int = 200
    """Of the gate rows, with replacement. Ten draws then lie beyond each end of a 90 % interval."""
    maps: int = 3
    """Number of maps, each from another seed, or from another draw of the fit rows if the method draws nothing. The
    draws of gate rows are dealt out among them."""
    level: float = 0.9
    """Share of the draws inside the interval."""

    def __post_init__(self) -> None:
        check_range(self.draws, "draws", "IntervalConfig", low=20)
        check_range(self.maps, "maps", "IntervalConfig", low=1)
        check_range(self.level, "level", "IntervalConfig", low=0, high=1, open_ends=True)

    def ends(self, values: Sequence[float]) -> tuple[float, float]:
        """The interval between two quantiles of values."""
        tail = (1 - self.level) / 2
        low, high = np.quantile(np.asarray(values), [tail, 1 - tail])
        return float(low), float(high)

    def around(self, value: float, draws: Sequence[float]) -> tuple[float, float]:
        """The interval of a distance in [0, 1], widened to hold the distance itself.

        Args:
            value: d, from all rows.
            draws: `Measurement.order` under draws of rows.
        """
        low, high = self.ends([min(max(draw, 0.0), 1.0) for draw in draws])
        return min(low, value), max(high, value)


def row_counts(rows: int, draws: int) -> npt.NDArray[np.int64]:
    """How often each row is in each draw with replacement, (draws, rows); the same for every source of a target."""
    generator = Seed(0).child("draws", rows).numpy()
    counts = generator.multinomial(rows, np.full(rows, 1 / rows), size=draws)
    return np.asarray(counts, dtype=np.int64)


def subsets(rows: int, count: int) -> list[npt.NDArray[np.int64]]:
    """Draws of four fifths of the rows without replacement, in their order; the same for the same numbers."""
    return [
        np.sort(Seed(0).child("subset", rows, at).numpy().permutation(rows)[: max(2, rows * 4 // 5)])
        for at in range(count)
    ]
