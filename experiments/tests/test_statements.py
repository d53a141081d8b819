"""The paper's sentences on matrices of which the truth is known."""

import numpy as np
import pytest
from experiments.tests.small_records import blocks, matrices_of, noisy

from tanas_experiments.statements import (
    Redrawn,
    asymmetric,
    directions,
    nearer_than_untrained,
    nearest_to,
    redrawn_nearest,
    spearman,
    stable,
    within_nearer,
    zero_to_itself,
)


class TestWithinNearer:
    def test_two_clear_data_sets_are_found_at_the_least_chance_there_is(self):
        said = within_nearer(matrices_of(blocks(0.2, 0.8, 0.7)))
        assert said.verdict == "found"
        assert said.value == 1
        assert said.n == 90
        assert said.values["p"] == pytest.approx(2 / 252)  # of all divisions only this one, named both ways
        assert "0.200 within, 0.750 across" in said.text

    def test_data_sets_that_are_nearer_to_each_other_are_not(self):
        said = within_nearer(matrices_of(blocks(0.8, 0.2, 0.2)))
        assert (said.verdict, said.value) == ("not found", 0)

    def test_what_one_pair_alone_decides_can_not_be_told(self):
        orders = blocks(0.5, 0.5, 0.5)
        orders[0, 9] = 0.9
        said = within_nearer(matrices_of(orders))
        assert said.verdict == "can't be told"
        # of the divisions, those that part task 0 from task 9 show as much
        assert said.values["p"] == pytest.approx(2 * 70 / 252)

    def test_one_data_set_has_nothing_across(self):
        said = within_nearer(matrices_of(blocks(0.2, 0.8, 0.8), groups=("digits",) * 10))
        assert (said.verdict, said.value) == ("can't be told", None)

    def test_three_data_sets_are_divided_at_random(self):
        groups = ("a",) * 3 + ("b",) * 3 + ("c",) * 4
        same = np.array(groups)[:, None] == np.array(groups)[None]
        said = within_nearer(matrices_of(np.where(same, 0.1, 0.6) * ~np.eye(10, dtype=bool), groups))
        assert said.verdict == "found"
        assert 0 < said.values["p"] < 0.01

    def test_every_seed_is_judged_alone_too(self):
        both = np.stack([blocks(0.2, 0.8, 0.7), blocks(0.7, 0.4, 0.5)])
        assert within_nearer(matrices_of(both)).per_seed == (1, 0)


class TestDirections:
    def test_the_nearer_direction_settles_both_sentences(self):
        direction, use = directions(matrices_of(noisy(blocks(0.2, 0.4, 0.7), 3, 0.05)))
        assert (direction.verdict, use.verdict) == ("found", "not found")
        assert direction.value == pytest.approx(0.3, abs=0.03)
        assert direction.values["interval, low"] > 0
        assert "Features of MNIST serve Fashion-MNIST better" in direction.text

    def test_the_other_direction_turns_them_round(self):
        direction, use = directions(matrices_of(noisy(blocks(0.2, 0.7, 0.4), 3, 0.05)))
        assert (direction.verdict, use.verdict) == ("not found", "found")
        assert "Features of Fashion-MNIST serve MNIST better" in use.text

    def test_no_difference_supports_neither(self):
        direction, use = directions(matrices_of(noisy(blocks(0.2, 0.5, 0.5), 3, 0.1)))
        assert direction.verdict == use.verdict == "can't be told"
        assert direction.values["interval, low"] < 0 < direction.values["interval, high"]

    def test_one_data_set_has_no_direction(self):
        said = directions(matrices_of(blocks(0.2, 0.8, 0.8), groups=("digits",) * 10))
        assert [s.verdict for s in said] == ["can't be told"] * 2


class TestIdentityAndAsymmetry:
    def test_a_diagonal_of_zeros_is_found(self):
        assert zero_to_itself(matrices_of(blocks(0.2, 0.4, 0.7))).verdict == "found"

    def test_one_task_that_is_not_at_zero_to_itself_is_seen(self):
        orders = blocks(0.2, 0.4, 0.7)
        orders[3, 3] = 0.01
        said = zero_to_itself(matrices_of(orders))
        assert (said.verdict, said.value) == ("not found", 0.01)

    def test_a_difference_that_repeats_is_found(self):
        said = asymmetric(matrices_of(noisy(blocks(0.2, 0.4, 0.7), 3, 0.02)))
        assert said.verdict == "found"
        assert said.value > 0.1

    def test_noise_alone_is_no_asymmetry(self):
        said = asymmetric(matrices_of(noisy(blocks(0.2, 0.5, 0.5), 3, 0.1)))
        assert said.verdict != "found"
        assert said.values["p"] > 0.05

    def test_one_seed_can_not_tell_it_from_noise(self):
        assert asymmetric(matrices_of(blocks(0.2, 0.4, 0.7))).verdict == "can't be told"


class TestRedrawn:
    def test_the_same_task_on_other_images_is_found_where_it_is_always_the_nearest(self):
        one = Redrawn(target="t", order=0.1, others=(0.2, 0.1, 0.3))
        said = redrawn_nearest([[one], [one]])
        assert (said.verdict, said.value, said.n) == ("found", 1, 2)

    def test_a_single_place_behind_is_named(self):
        near = Redrawn(target="t", order=0.1, others=(0.2, 0.3))
        far = Redrawn(target="t", order=0.25, others=(0.2, 0.3))
        said = redrawn_nearest([[near, far]])
        assert (said.verdict, said.value) == ("not found", 0.5)
        assert "Elsewhere its place is 2 of 3." in said.text

    def test_nothing_redrawn_tells_nothing(self):
        assert redrawn_nearest([[]]).verdict == "can't be told"


class TestNearestTo:
    SOURCES = ("zero", "one", "two", "trouser")

    def test_the_paper_s_order_is_found(self):
        first, few = nearest_to(
            "moon", self.SOURCES, np.array([[0.1, 0.9, 0.8, 0.3], [0.4, 0.9, 0.8, 0.3]]), ("zero", "trouser")
        )
        assert (first.verdict, few.verdict) == ("found", "found")
        assert (first.value, first.per_seed) == (1, (1, 2))
        assert (few.value, few.per_seed) == (2, (2, 2))

    def test_another_order_says_which(self):
        first, few = nearest_to("moon", self.SOURCES, np.array([[0.5, 0.1, 0.8, 0.3]]), ("zero", "trouser"))
        assert (first.verdict, few.verdict) == ("not found", "not found")
        assert "the nearest are one and trouser." in first.text
        assert "zero: 3 by the mean, 3 by seed" in first.text
        assert few.value == 1

    def test_a_target_without_data_tells_nothing(self):
        said = nearest_to("moon", self.SOURCES, None, ("zero",))
        assert [s.verdict for s in said] == ["can't be told"] * 2
        assert said[0].text == "moon was not measured."


class TestUntrained:
    def test_sources_that_are_nearer_than_it_are_found(self):
        said = nearer_than_untrained(matrices_of(blocks(0.2, 0.4, 0.7)), np.full((1, 10), 0.9))
        assert (said.verdict, said.value) == ("found", 1)

    def test_a_distance_that_sees_nothing_is_seen(self):
        orders = matrices_of(noisy(blocks(0.5, 0.5, 0.5), 1, 0.1))
        said = nearer_than_untrained(orders, np.full((1, 10), 0.5))
        assert said.verdict != "found"
        assert said.value == pytest.approx(0.5, abs=0.1)

    def test_sources_that_are_farther_are_not(self):
        said = nearer_than_untrained(matrices_of(blocks(0.2, 0.4, 0.7)), np.full((1, 10), 0.1))
        assert (said.verdict, said.value) == ("not found", 0)


class TestStability:
    def test_the_same_order_from_every_seed_is_found(self):
        orders = np.random.default_rng(0).random((10, 10))
        said = stable(matrices_of(noisy(orders, 3, 0.01)))
        assert said.verdict == "found"
        assert said.n == 3
        assert said.values["share of targets with the same nearest source"] > 0.5

    def test_seeds_that_disagree_are_not(self):
        said = stable(matrices_of(np.random.default_rng(0).random((2, 10, 10))))
        assert said.verdict == "not found"
        assert abs(said.value) < 0.4

    def test_one_seed_or_equal_distances_tell_nothing(self):
        assert stable(matrices_of(blocks(0.2, 0.4, 0.7))).verdict == "can't be told"
        assert stable(matrices_of(np.stack([blocks(0.5, 0.5, 0.5)] * 2))).verdict == "can't be told"

    def test_a_task_s_own_zero_is_not_its_nearest_source(self):
        orders = np.random.default_rng(1).random((2, 10, 10))
        for matrix in orders:
            np.fill_diagonal(matrix, 0)
        nearest = [np.argsort(matrix, axis=0)[1] for matrix in orders]  # behind the task itself
        said = stable(matrices_of(orders))
        expected = np.mean(nearest[0] == nearest[1])
        assert said.values["share of targets with the same nearest source"] == pytest.approx(expected)

    def test_spearman_is_that_of_ranks(self):
        assert spearman(np.array([1.0, 2, 3]), np.array([10.0, 200, 3000])) == pytest.approx(1)
        assert spearman(np.array([1.0, 2, 3]), np.array([3.0, 2, 1])) == pytest.approx(-1)
        assert spearman(np.array([1.0, 1, 1]), np.array([3.0, 2, 1])) is None
