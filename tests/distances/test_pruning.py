from __future__ import annotations

import math

import pytest
import torch

from tanas.distances.pruning import bisect_density, magnitude_masks, shrink_density
from tanas.seeds import Seed


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
    def test_finds_the_least_passing_density_of_a_monotone_curve(self, edge: float, tolerance: float) -> None:
        asked: list[float] = []

        def performance(density: float) -> float:
            asked.append(density)
            return 0.9 if density >= edge else 0.4

        density, curve = bisect_density(performance, dense=0.9, gate=0.8, least=1e-3, tolerance=tolerance)
        assert edge <= density <= edge * math.exp(tolerance)
        assert len(asked) <= 1 + math.ceil(math.log2(math.log(1e3) / tolerance))
        assert [point[0] for point in curve] == sorted({1.0, *asked}, reverse=True)

    def test_gives_a_density_that_was_tried_and_passed(self) -> None:
        density, curve = bisect_density(math.sqrt, dense=1.0, gate=0.3, least=1e-3, tolerance=0.1)
        assert dict(curve)[density] >= 0.3

    def test_stops_at_the_least_density_if_that_passes(self) -> None:
        density, curve = bisect_density(lambda _: 0.9, dense=0.9, gate=0.8, least=0.01, tolerance=0.1)
        assert density == 0.01
        assert curve == ((1.0, 0.9), (0.01, 0.9))

    def test_gives_one_if_only_the_whole_passes(self) -> None:
        assert bisect_density(lambda _: 0.1, dense=0.9, gate=0.8, least=0.01, tolerance=0.1)[0] <= 1.0


class TestShrinkDensity:
    def test_ends_after_failures_in_a_row_and_gives_the_last_that_passed(self) -> None:
        answers = {0.5: 0.9, 0.25: 0.7, 0.125: 0.85, 0.0625: 0.7, 0.03125: 0.7}
        density, curve = shrink_density(
            answers.__getitem__, dense=0.9, gate=0.8, least=1e-3, shrink=0.5, patience=2
        )
        assert density == 0.125
        assert curve == ((1.0, 0.9), *answers.items())

    def test_ends_above_the_least_density(self) -> None:
        density, _ = shrink_density(lambda _: 1.0, dense=1.0, gate=0.8, least=0.1, shrink=0.5, patience=2)
        assert density == 0.125
