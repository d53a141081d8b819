from __future__ import annotations

import math

import pytest

from tanas.ground.errors import SettingError
from tanas_experiments.rankings import regret_at, spearman, weighted_tau


class TestWeightedTau:
    def test_is_one_where_the_order_is_the_same_and_minus_one_where_it_is_turned_round(self) -> None:
        assert weighted_tau([3, 2, 1], [30, 20, 10]) == pytest.approx(1)
        assert weighted_tau([3, 2, 1], [1, 2, 3]) == pytest.approx(-1)

    def test_weighs_an_exchange_by_the_ranks_of_the_two(self) -> None:
        # ranks 0 1 2: pairs weigh 3/2, 4/3 and 5/6, together 11/3; whichever ranking gives the ranks, the
        # exchanged pair is that of ranks 0 and 1, or that of 1 and 2
        assert weighted_tau([3, 2, 1], [2, 3, 1]) == pytest.approx((11 / 3 - 2 * 3 / 2) / (11 / 3))
        assert weighted_tau([3, 2, 1], [3, 1, 2]) == pytest.approx((11 / 3 - 2 * 5 / 6) / (11 / 3))

    def test_of_what_ranks_nothing_is_none(self) -> None:
        assert weighted_tau([1, 2], [5, 5]) is None


class TestRegret:
    truth, distances = [0.7, 0.9, 0.8], [0.1, 0.3, 0.2]

    @pytest.mark.parametrize(("k", "lost"), [(1, 0.2), (2, 0.1), (3, 0.0), (9, 0.0)])
    def test_is_what_the_best_of_the_nearest_lacks_to_the_best(self, k: int, lost: float) -> None:
        assert regret_at(k, self.truth, self.distances) == pytest.approx(lost)

    def test_takes_the_first_of_equally_near_ones(self) -> None:
        assert regret_at(1, [0.2, 1.0], [0.5, 0.5]) == pytest.approx(0.8)

    def test_refuses_nothing_to_choose_from(self) -> None:
        with pytest.raises(SettingError, match="must hold at least one value. Got none instead."):
            regret_at(1, [], [])
        with pytest.raises(SettingError, match="The 'k' of regret_at must be at least 1. Got 0 instead."):
            regret_at(0, [1], [1])


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
