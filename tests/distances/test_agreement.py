from __future__ import annotations

import math

import pytest

from tanas.distances.agreement import rank_agreement, same_nearest, spearman
from tanas.distances.base import Measurement
from tanas.distances.matrix import DistanceMatrix
from tanas.ground.errors import SettingError


def matrix(*rows: tuple[float, ...]) -> DistanceMatrix:
    """Three sources a, b, c; the diagonal is the task itself, values above 1 are 1 and a shortfall."""
    sources = targets = ("a", "b", "c")
    measurements = [
        Measurement(
            source=source,
            target=target,
            same=source == target,
            value=min(value, 1.0),
            shortfall=max(value - 1, 0.0),
        )
        for source, row in zip(sources, rows, strict=True)
        for target, value in zip(targets, row, strict=True)
    ]
    return DistanceMatrix.of(sources, targets, measurements)


class TestSpearman:
    def test_is_one_where_the_order_is_the_same_and_minus_one_where_it_is_turned_round(self) -> None:
        assert spearman([0.1, 0.2, 0.9], [1, 7, 8]) == pytest.approx(1)
        assert spearman([0.1, 0.2, 0.9], [3, 2, 1]) == pytest.approx(-1)

    def test_follows_from_the_squares_of_the_differences_of_ranks(self) -> None:
        # ranks 1 2 3 4 5 and 2 1 4 3 5: 1 - 6 * 4 / (5 * 24)
        assert spearman([1, 2, 3, 4, 5], [20, 10, 40, 30, 50]) == pytest.approx(0.8)

    def test_gives_equal_values_their_mean_rank(self) -> None:
        # ranks 1.5 1.5 3 and 1 2 3: covariance 1.5, variances 1.5 and 2
        assert spearman([4, 4, 9], [1, 2, 3]) == pytest.approx(1.5 / math.sqrt(1.5 * 2))

    @pytest.mark.parametrize("values", [[], [1.0], [2.0, 2.0, 2.0]], ids=["none", "one", "equal"])
    def test_of_what_ranks_nothing_is_none(self, values: list[float]) -> None:
        assert spearman(values, list(range(len(values)))) is None

    def test_refuses_rankings_of_other_lengths_and_values_that_are_not_finite(self) -> None:
        with pytest.raises(SettingError, match="2 and 1 values"):
            spearman([1, 2], [1])
        with pytest.raises(SettingError, match="finite.* nan"):
            spearman([1, float("nan")], [1, 2])


class TestOfMatrices:
    first = matrix((0, 0.2, 0.3), (0.4, 0, 0.6), (0.9, 0.1, 0))

    def test_same_nearest_is_a_share_of_the_targets(self) -> None:
        # nearest of a, b, c: b, c, a; in the other c, c, a
        other = matrix((0, 0.2, 0.3), (0.4, 0, 0.6), (0.3, 0.1, 0))
        assert same_nearest(self.first, self.first) == 1
        assert same_nearest(self.first, other) == pytest.approx(2 / 3)

    def test_rank_agreement_leaves_tasks_to_themselves_out(self) -> None:
        # 0.2 0.3 0.4 0.6 0.9 0.1 against the same in which the last two are exchanged: ranks 6 1 against 1 6
        other = matrix((0, 0.2, 0.3), (0.4, 0, 0.6), (0.1, 0.9, 0))
        assert rank_agreement(self.first, self.first) == pytest.approx(1)
        assert rank_agreement(self.first, other) == pytest.approx(1 - 6 * 50 / (6 * 35))

    def test_both_tell_pairs_at_one_apart_by_their_shortfall(self) -> None:
        short = matrix((0, 1.2, 1.3), (1.4, 0, 1.6), (1.9, 1.1, 0))
        assert rank_agreement(self.first, short) == pytest.approx(1)
        assert same_nearest(self.first, short) == 1
