"""Paired differences."""

from __future__ import annotations

import pytest

from tanas_experiments.markdown import effect, verdict
from tanas_experiments.paired import MOST_EXACT, over_targets, paired, spread


def test_the_exact_test_counts_the_ways_to_give_signs() -> None:
    found = paired([0.0, 0.0, 0.0], [1.0, 2.0, 3.0])
    assert found.n == 3
    assert found.mean == pytest.approx(2.0)
    assert found.p == pytest.approx(2 / 8), "all three plus, or all three minus"
    assert found.low is not None and found.high is not None
    assert 1.0 <= found.low < 2.0 < found.high <= 3.0


def test_equal_figures_can_not_be_told_apart() -> None:
    found = paired([0.5] * 5, [0.5] * 5)
    assert (found.mean, found.low, found.high, found.p) == (0.0, 0.0, 0.0, 1.0)


def test_differences_that_cancel_have_a_high_chance() -> None:
    assert paired([0.0] * 4, [1.0, -1.0, 1.0, -1.0]).p == 1.0


def test_many_pairs_are_tested_by_drawn_signs_and_repeat_exactly() -> None:
    other = [0.1 * (1 + at % 3) for at in range(MOST_EXACT + 10)]
    found = paired([0.0] * len(other), other)
    assert found.p is not None
    assert 0 < found.p < 0.01, "the sample itself is one of the draws: never 0"
    assert paired([0.0] * len(other), other) == found


def test_a_single_pair_has_neither_interval_nor_chance() -> None:
    found = paired([0.25], [0.5])
    assert (found.n, found.mean, found.low, found.high, found.p) == (1, 0.25, None, None, None)


def test_an_effect_is_the_first_minus_the_second_with_the_signs_of_its_ends() -> None:
    mixed = paired([0.10, 0.10, 0.10], [0.13, 0.11, 0.09])
    assert (
        effect(mixed, "points") == "\N{MINUS SIGN}1.00 points (95 % CI \N{MINUS SIGN}3.00 to +1.00, p = 0.75)"
    )
    assert (
        effect(mixed, unit=1, digits=3, sign=1) == "+0.010 (95 % CI \N{MINUS SIGN}0.010 to +0.030, p = 0.75)"
    )
    assert effect(paired([0.1], [0.08])) == "+2.00"


def test_a_verdict_is_told_from_chance() -> None:
    assert verdict(paired([0.1] * 6, [0.2] * 6)) == "Yes"
    assert verdict(paired([0.2] * 6, [0.1] * 6)) == "No"
    assert verdict(paired([0.1] * 5, [0.2] * 5)) == verdict(paired([0.1], [0.2])) == "Not shown"


def test_what_can_not_be_paired_is_refused() -> None:
    with pytest.raises(ValueError, match="There is no pair to compare"):
        paired([], [])
    with pytest.raises(ValueError):
        paired([1.0], [1.0, 2.0])


def test_over_targets_each_target_counts_once_whatever_its_seeds() -> None:
    many = {f"t{at}": ([0.0] * (2 + at), [1.0 + at] * (2 + at)) for at in range(6)}
    found = over_targets(many)
    assert found.means.n == 6
    assert found.means.mean == pytest.approx(3.5)
    assert found.means.p == pytest.approx(2 / 64), "six of six"
    assert (found.less, found.found) == (6, 2), "six seeds and seven can tell within a target"
    other = over_targets({**many, "t5": ([1.0, 1.0], [0.0, 0.0])})
    assert other.less == 5
    assert other.means.p is not None
    assert other.means.p > 2 / 64


def test_the_spread_of_one_value_is_not_known() -> None:
    assert spread([1.0]) is None
    assert spread([1.0, 3.0]) == pytest.approx(2**0.5)
