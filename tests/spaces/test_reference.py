from __future__ import annotations

from dataclasses import replace

import pytest

from tanas.networks.architecture import cost_of
from tanas.networks.operations import ZERO
from tanas.networks.skeleton import Skeleton
from tanas.spaces.named import SPACES, named_space
from tanas.spaces.reference import REFERENCE_SKELETON, reference_architecture
from tanas.spaces.space import SearchSpace

SHAPE = (1, 28, 28)


@pytest.mark.parametrize("name", SPACES)
def test_every_named_space_has_one_of_its_own_operations_and_skeletons(name: str) -> None:
    space = named_space(name, shape=SHAPE)
    reference = reference_architecture(space, SHAPE, 10)
    assert reference is not None
    assert reference == reference_architecture(space, SHAPE, 10)
    assert reference.skeleton in space.skeletons
    assert {operation for _, _, operation in reference.cell.edges} <= set(space.operations)
    assert space.allows(reference, SHAPE, 10)


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 8, 8), (3, 128, 96)])
def test_of_the_standard_space_it_is_always_the_same_one(shape: tuple[int, int, int]) -> None:
    space = named_space("standard", shape=shape)
    reference = reference_architecture(space, shape, 10)
    assert reference is not None and space.contains(reference)
    large = shape == (3, 128, 96)
    assert reference.skeleton == replace(REFERENCE_SKELETON, stem="quarter" if large else "half")
    assert 100_000 <= cost_of(reference, shape, 10).parameters <= 104_000


@pytest.mark.parametrize("most", [85_000, 50_000, 5_000])
def test_below_a_limit_it_is_the_largest_that_fits(most: int) -> None:
    space = named_space("standard").limited(max_parameters=most, max_macs=None)
    reference = reference_architecture(space, SHAPE, 10)
    assert reference is not None
    assert 0.9 * most <= cost_of(reference, SHAPE, 10).parameters <= most


def test_a_space_of_nothing_but_larger_ones_gives_the_smallest_of_them() -> None:
    wide = tuple(Skeleton(widths=(width,), cells=(2,), reductions=(False,)) for width in (96, 80, 64))
    space = SearchSpace(name="wide", operations=("conv_3x3", "identity"), nodes=3, skeletons=wide)
    reference = reference_architecture(space, SHAPE, 10)
    assert reference is not None and reference.skeleton.widths == (64,)
    assert cost_of(reference, SHAPE, 10).parameters > 91_000


def test_there_is_none_where_nothing_fits_or_there_is_no_convolution() -> None:
    assert (
        reference_architecture(named_space("standard").limited(max_parameters=500, max_macs=None), SHAPE, 10)
        is None
    )
    skeletons = named_space("paper").skeletons
    still = SearchSpace(name="still", operations=("identity", ZERO), nodes=3, skeletons=skeletons)
    assert reference_architecture(still, SHAPE, 10) is None


def test_without_an_identity_it_is_a_chain() -> None:
    space = SearchSpace(
        name="chain", operations=("conv_3x3", ZERO), nodes=3, skeletons=named_space("paper").skeletons
    )
    reference = reference_architecture(space, SHAPE, 10)
    assert reference is not None
    assert reference.cell.edges == ((0, 1, "conv_3x3"), (1, 2, "conv_3x3"))
    assert space.contains(reference)
