from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from tanas.distances.pruning import bisect_density, magnitude_masks, shrink_density
from tanas.ground.seeds import Seed


class TestMagnitudeMasks:
    def test_keep_the_largest_of_all_matrices_together(self) -> None:
        small, large = torch.tensor([[0.1, -0.5], [0.2, 0.3]]), torch.tensor([[-2.0, 0.4]])
        masks = magnitude_masks([small, large], 3)
        assert masks[0].tolist() == [[False, True], [False, False]]
        assert masks[1].tolist() == [[True, True]]

    @pytest.mark.parametrize("keep", [1, 7, 59, 60])
    def test_keep_an_exact_number_even_of_equal_ones(self, keep: int) -> None:
        masks = magnitude_masks([torch.ones(5, 6), -torch.ones(3, 10)], keep)
        assert sum(int(mask.sum()) for mask in masks) == keep
        assert masks[0].flatten()[: min(keep, 30)].all()

    def test_of_fewer_lie_within_those_of_more(self) -> None:
        matrices = [torch.randn(20, 30, generator=Seed(1).torch())]
        few, many = magnitude_masks(matrices, 50)[0], magnitude_masks(matrices, 200)[0]
        assert not (few & ~many).any()


class TestBisectDensity:
    @pytest.mark.parametrize("edge", [0.9, 0.2, 0.037, 0.0051])
    @pytest.mark.parametrize("tolerance", [0.1, 0.01])
    def test_brackets_the_least_passing_density_of_a_monotone_curve(
        self, edge: float, tolerance: float
    ) -> None:
        asked: list[float] = []

        def passes(density: float) -> bool:
            asked.append(density)
            return density >= edge

        fails, passing = bisect_density(passes, least=1e-3, tolerance=tolerance)
        assert fails < edge <= passing
        assert passing <= fails * math.exp(tolerance) * (1 + 1e-9)
        assert len(asked) <= 1 + math.ceil(math.log2(math.log(1e3) / tolerance))

    def test_has_tried_both_ends(self) -> None:
        tried: dict[float, bool] = {}

        def passes(density: float) -> bool:
            tried[density] = math.sin(40 * density) > -0.5  # up and down many times
            return tried[density]

        fails, passing = bisect_density(passes, least=0.1, tolerance=0.1)
        assert not tried.get(fails, False)
        assert tried[passing]

    def test_stops_at_the_least_density_if_that_passes(self) -> None:
        asked: list[float] = []
        assert bisect_density(lambda d: not asked.append(d), least=0.01, tolerance=0.1) == (0.01, 0.01)
        assert asked == [0.01]

    def test_has_its_upper_end_at_one_if_only_the_whole_passes(self) -> None:
        fails, passing = bisect_density(lambda _: False, least=0.01, tolerance=0.1)
        assert passing == 1
        assert math.exp(-0.1) <= fails < 1

    def test_ends_once_the_lower_end_is_more_than_enough(self) -> None:
        asked: list[float] = []

        def passes(density: float) -> bool:
            asked.append(density)
            return density >= 0.5

        fails, passing = bisect_density(passes, least=1e-3, tolerance=0.01, enough=0.02)
        assert 0.02 < fails < 0.5 <= passing
        assert asked == [1e-3, pytest.approx(math.sqrt(1e-3))]

    def test_goes_on_while_the_lower_end_is_not_more_than_enough(self) -> None:
        bracket = bisect_density(lambda d: d >= 0.5, least=1e-3, tolerance=0.01)
        assert bisect_density(lambda d: d >= 0.5, least=1e-3, tolerance=0.01, enough=0.6) == bracket


class TestShrinkDensity:
    def walk(self, passing: Callable[[float], bool], **settings: float) -> list[float]:
        asked: list[float] = []

        def passes(density: float) -> bool:
            asked.append(density)
            return passing(density)

        shrink_density(passes, **{"start": 1.0, "least": 1e-3, "shrink": 0.5, "patience": 2, **settings})
        return asked

    def test_ends_after_failures_in_a_row_and_a_single_one_does_not_count(self) -> None:
        assert self.walk(lambda density: density in (0.5, 0.125)) == [0.5, 0.25, 0.125, 0.0625, 0.03125]
        assert self.walk(lambda density: density in (0.5, 0.125), patience=1) == [0.5, 0.25]

    def test_begins_below_the_start(self) -> None:
        assert self.walk(lambda _: False, start=0.2, patience=1) == [0.1]

    def test_ends_at_the_least_density(self) -> None:
        assert self.walk(lambda _: True, least=0.1) == [0.5, 0.25, 0.125]
        assert self.walk(lambda _: True, least=0.125) == [0.5, 0.25, 0.125]
        assert self.walk(lambda _: True, shrink=0.7, least=0.7**9)[-1] == pytest.approx(0.7**9)
