"""A residual network as narrow as it takes."""

from __future__ import annotations

import pytest
import torch

from tanas.errors import SettingError
from tanas.networks.architecture import Shape, count_cost
from tanas.networks.narrow import NarrowDesign, NarrowResidual, narrow_design
from tanas.networks.zoo import make_zoo
from tanas.seeds import Seed


@pytest.mark.parametrize("parameters", [1_000, 2_418, 11_410, 28_778, 97_858, 200_000])
def test_it_has_nearly_as_many_parameters_as_asked_for(parameters: int) -> None:
    design = narrow_design(parameters, 1, 2)
    has = design.parameters(1, 2)
    assert abs(has / parameters - 1) < (0.05 if parameters > 2_000 else 0.15)
    network = NarrowResidual(design, (1, 28, 28), 2)
    assert sum(p.numel() for p in network.parameters()) == has, "the formula is that of the network"


@pytest.mark.parametrize("blocks", [1, 2, 3])
@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32), (3, 7, 9)])
def test_it_answers_for_images_of_any_size(blocks: int, shape: Shape) -> None:
    design = NarrowDesign(blocks=blocks, widths=(4, 7, 16))
    network = NarrowResidual(design, shape, 5)
    assert network(torch.rand(2, *shape)).shape == (2, 5)
    assert count_cost(network, torch.rand(1, *shape)).parameters == design.parameters(shape[0], 5)


def test_larger_ones_are_deeper() -> None:
    assert [narrow_design(size, 1, 10).blocks for size in (1_000, 40_000, 200_000)] == [1, 2, 3]


def test_a_block_passes_on_what_it_gets_where_its_convolutions_give_nothing() -> None:
    network = NarrowResidual(NarrowDesign(blocks=1, widths=(2, 4, 8)), (1, 8, 8), 2).eval()
    block = network.stages[1][0]  # type: ignore[index]
    for parameter in block.conv2.parameters():
        torch.nn.init.zeros_(parameter)
    images = torch.rand(1, 2, 8, 8)
    out = block(images)  # (1, 4, 4, 4)
    assert torch.equal(out[:, :2], images[:, :, ::2, ::2]), "every other position"
    assert not out[:, 2:].any(), "zeros in the channels that are new"


def test_fewer_parameters_than_the_smallest_has_are_refused_with_its_figure() -> None:
    least = NarrowDesign(blocks=1, widths=(1, 2, 4)).parameters(1, 2)
    assert narrow_design(least, 1, 2).parameters(1, 2) == least
    with pytest.raises(SettingError, match=f"must be at least {least:,}.* Got {least - 1:,} instead"):
        narrow_design(least - 1, 1, 2)


def test_the_zoo_makes_it_by_its_size_and_from_the_seed() -> None:
    first, again, other = (make_zoo("residual@5000", (1, 28, 28), 2, Seed(at)) for at in (0, 0, 1))
    assert isinstance(first, NarrowResidual)
    pixels = torch.rand(2, 1, 28, 28)
    assert torch.equal(first.eval()(pixels), again.eval()(pixels))
    assert not torch.equal(first(pixels), other.eval()(pixels))
