from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tanas.ground.errors import SettingError, UnknownNameError
from tanas.ground.seeds import Seed
from tanas.spaces import named
from tanas.spaces.named import MAX_MACS, MAX_PARAMETERS, SPACES, named_space, paper, register_space


def test_the_papers_space_has_its_operations_and_labelled_cells() -> None:
    space = named_space("paper")
    assert set(space.operations) == {"identity", "zero", "dil_conv_3x3", "sep_conv_3x3", "max_pool_2x2"}
    edges = space.nodes * (space.nodes - 1) // 2
    assert len(space.operations) ** edges == 15_625
    assert space.cells == 8764


def test_the_standard_skeletons_vary_in_all_they_fix() -> None:
    skeletons = named_space("standard").skeletons
    assert {s.stem for s in skeletons} == {"full", "half"}
    assert {len(s.widths) for s in skeletons} == {2, 3}
    assert {s.widths[0] for s in skeletons} == {8, 12, 16, 24, 32}
    assert {count for s in skeletons for count in s.cells} == {1, 2}
    assert {sum(s.reductions) for s in skeletons} == {0, 1, 2}
    assert {s.widths[1] / s.widths[0] for s in skeletons} == {1, 1.5, 2}


def test_the_standard_limits_stay_fifty_times_below_resnet_18() -> None:
    space = named_space("standard")
    assert (space.max_parameters, space.max_macs) == (MAX_PARAMETERS, MAX_MACS)
    assert MAX_PARAMETERS * 50 < 11_200_000


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 64, 64), (3, 224, 224)], ids=str)
def test_most_of_the_standard_space_is_allowed_for_images_of_any_size(shape: tuple[int, int, int]) -> None:
    space = named_space("standard", shape=shape)
    free = replace(space, max_parameters=None, max_macs=None)
    drawn = free.sample(100, seed=Seed(0), shape=shape, classes=100)
    assert np.mean([space.allows(one, shape, 100) for one in drawn]) > 0.9


def test_the_limit_of_multiply_adds_grows_with_the_pixels_and_never_falls() -> None:
    assert named_space("standard", shape=(3, 56, 56)).max_macs == 4 * MAX_MACS
    assert named_space("standard", shape=(1, 8, 8)).max_macs == MAX_MACS
    assert named_space("paper", shape=(3, 56, 56)).max_macs is None


def test_the_authors_space_has_their_operations_on_three_edges() -> None:
    space = named_space("authors")
    assert (space.nodes, space.cells) == (3, 7**3)
    assert "zero" not in space.operations
    assert {"conv_7x1_1x7", "max_pool_3x3", "dil_conv_5x5"} <= set(space.operations)
    assert all(len(cell.edges) == 3 for cell in space.enumerate_cells())


def test_cells_of_the_darts_kind_keep_two_edges_a_node() -> None:
    space = named_space("darts")
    assert (space.nodes, space.inputs, len(space.operations)) == (6, 2, 7)
    drawn = space.sample(30, seed=Seed(0), shape=(1, 28, 28), classes=10)
    assert len(drawn) == 30
    for one in drawn:
        into = [sum(end == node for _, end, _ in one.cell.edges) for node in range(one.cell.nodes)]
        assert into == [0, 1, *(2 for _ in range(one.cell.nodes - 2))]


def test_an_unknown_space_is_refused_with_the_near_ones() -> None:
    with pytest.raises(UnknownNameError, match="'standart'.* 'standard' or 'darts'"):
        named_space("standart")


def test_an_own_space_is_registered_and_a_taken_name_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(named, "_REGISTRY", dict(SPACES))
    register_space("mine", paper)
    register_space("mine", paper)
    assert named_space("mine") == paper()
    with pytest.raises(SettingError, match="The search space 'standard' is registered already"):
        register_space("standard", paper)


def test_nas_bench_201_has_its_cells_and_a_skeleton_for_laptops() -> None:
    space = named_space("nas-bench-201")
    assert set(space.operations) == {"zero", "identity", "conv_1x1", "conv_3x3", "avg_pool_3x3"}
    assert (space.nodes, space.cells) == (4, 8764)
    assert len(space.sample(5, seed=Seed(0), shape=(1, 28, 28), classes=10)) == 5


def test_more_classes_than_usual_raise_the_limit_of_parameters_by_their_head() -> None:
    few, many = named_space("standard"), named_space("standard", classes=1_000)
    assert named_space("standard", classes=2).max_parameters == few.max_parameters == MAX_PARAMETERS
    assert many.max_parameters == MAX_PARAMETERS + 128 * 990
    shape = (1, 28, 28)
    usual = few.sample(400, seed=Seed(), shape=shape, classes=10)
    assert all(many.allows(architecture, shape, 1_000) for architecture in usual)
    assert not all(few.allows(architecture, shape, 1_000) for architecture in usual)
    assert named_space("paper", classes=1_000).max_parameters is None
