import random

import pytest
import torch

from tanas.ground.errors import SettingError
from tanas.ground.seeds import Seed
from tanas.networks.architecture import PixelNorm, count_cost
from tanas_experiments.narrow import NarrowDesign, NarrowResidual, narrow_design

GREY = (1, 28, 28)


def off(parameters, channels=1, classes=2):
    return narrow_design(parameters, channels, classes).parameters(channels, classes) / parameters - 1


@pytest.mark.parametrize("blocks", [1, 2, 3])
@pytest.mark.parametrize(("shape", "classes"), [((1, 8, 8), 2), ((3, 32, 32), 10)])
def test_the_formula_counts_the_parameters_of_the_network(blocks, shape, classes):
    design = NarrowDesign(blocks=blocks, widths=(5, 11, 19))
    with torch.device("meta"):
        counted = count_cost(NarrowResidual(design, shape, classes), torch.empty(1, *shape))
    assert counted.parameters == design.parameters(shape[0], classes)


def test_three_blocks_and_sixteen_channels_are_resnet_20():
    # He et al. 2016, table 6: 0.27 million parameters
    parameters = NarrowDesign(blocks=3, widths=(16, 32, 64)).parameters(3, 10)
    assert round(parameters / 1e6, 2) == 0.27
    assert narrow_design(parameters, 3, 10).widths == (16, 32, 64)


@pytest.mark.parametrize("classes", [2, 10, 100])
@pytest.mark.parametrize("channels", [1, 3])
def test_the_size_is_within_a_few_per_cent_of_what_is_asked(channels, classes):
    draw = random.Random(0)
    for _ in range(40):
        parameters = round(10 ** draw.uniform(3.6, 6.5))
        assert abs(off(parameters, channels, classes)) < 0.04, parameters
        if parameters > 100_000:
            assert abs(off(parameters, channels, classes)) < 0.01, parameters


def test_no_design_of_its_depth_and_shape_is_nearer():
    for parameters in (4_000, 11_410, 31_000, 81_000):
        found = narrow_design(parameters, 1, 2)
        near = abs(found.parameters(1, 2) - parameters)
        for width in range(1, 40):
            for second in (2 * width - 1, 2 * width, 2 * width + 1):
                for third in range(4 * width - 2, 4 * width + 3):
                    if width <= second <= third:
                        other = NarrowDesign(blocks=found.blocks, widths=(width, second, third))
                        assert near <= abs(other.parameters(1, 2) - parameters), other


def test_the_depth_follows_from_the_size():
    sizes = [narrow_design(parameters, 1, 2).blocks for parameters in (2_000, 30_000, 80_000, 2_000_000)]
    assert sizes == [1, 2, 3, 3]


def test_a_size_that_nothing_has_is_refused_with_the_smallest():
    least = NarrowDesign(blocks=1, widths=(1, 2, 4)).parameters(1, 2)
    with pytest.raises(
        SettingError, match=f"must be at least {least}, those of the smallest. Got 10 instead"
    ):
        narrow_design(10, 1, 2)
    with pytest.raises(
        SettingError, match="The 'parameters' of a narrow residual network must be at least 1"
    ):
        narrow_design(0, 1, 2)
    assert narrow_design(least, 1, 2).parameters(1, 2) == least


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 32, 32), (1, 8, 8), (2, 5, 9), (1, 1, 1)])
def test_it_takes_images_of_any_size(shape):
    network = NarrowResidual(NarrowDesign(blocks=2, widths=(4, 8, 15)), shape, 3).eval()
    assert network(torch.rand(2, *shape)).shape == (2, 3)


def test_stages_halve_the_image_and_keep_the_shortcut_free_of_weights():
    network = NarrowResidual(NarrowDesign(blocks=1, widths=(4, 8, 16)), GREY, 2).eval()
    shapes = []
    for stage in network.stages:
        stage.register_forward_hook(lambda m, i, output: shapes.append(tuple(output.shape[1:])))
    network(torch.zeros(1, *GREY))
    assert shapes == [(4, 28, 28), (8, 14, 14), (16, 7, 7)]
    block = network.stages[1][0]
    with torch.no_grad():
        for parameter in block.norm2.parameters():
            parameter.zero_()  # what the block itself makes is nothing
        images = torch.rand(1, 4, 6, 6)
        out = block(images)
    assert torch.equal(out[:, :4], images[:, :, ::2, ::2])
    assert not out[:, 4:].any()


def test_all_of_it_is_trained():
    with Seed(0).initialising():
        network = NarrowResidual(narrow_design(3_000, 1, 4), GREY, 4)
    network.train()(torch.rand(4, *GREY)).logsumexp(dim=1).sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in network.parameters())
    assert isinstance(network.norm, PixelNorm)
