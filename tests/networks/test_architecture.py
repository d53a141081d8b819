from __future__ import annotations

import pytest
import torch

from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture, PixelNorm, build, cost_of, count_cost
from tanas.networks.cell import Cell
from tanas.networks.skeleton import STEMS, Skeleton
from tanas.spaces.named import named_space

CHAIN = Cell(3, ((0, 1, "sep_conv_3x3"), (1, 2, "conv_3x3")))
SMALL = Skeleton(widths=(4, 6), cells=(1, 2), reductions=(False, True))


def test_costs_are_those_counted_by_hand() -> None:
    cost = cost_of(Architecture(skeleton=SMALL, cell=CHAIN), (1, 7, 7), 3)
    stem = (9 * 4 + 2 * 4, 9 * 4 * 49)

    def cell(width: int, pixels: int) -> tuple[int, int]:
        separable, full = 9 * width + width * width, 9 * width * width
        return separable + full + 2 * 2 * width, (separable + full) * pixels

    transition = (4 * 6 + 2 * 6, 4 * 6 * 16)  # 7x7 is pooled to 4x4
    head = (6 * 3 + 3, 6 * 3)
    first, second = cell(4, 49), cell(6, 16)
    assert cost.parameters == stem[0] + first[0] + transition[0] + 2 * second[0] + head[0]
    assert cost.macs == stem[1] + first[1] + transition[1] + 2 * second[1] + head[1]


@pytest.mark.parametrize("shape", [(1, 28, 28), (3, 9, 6)], ids=str)
def test_the_count_without_storage_is_that_of_the_real_network(shape: tuple[int, int, int]) -> None:
    for architecture in named_space("standard").sample(3, seed=Seed(2), shape=shape, classes=5):
        network = build(architecture, shape, 5, Seed(0))
        cost = cost_of(architecture, shape, 5)
        assert cost == count_cost(network, torch.zeros(1, *shape))
        assert cost.parameters == sum(p.numel() for p in network.parameters() if p.requires_grad)


def test_counting_leaves_a_network_as_it_was() -> None:
    network = build(Architecture(skeleton=SMALL, cell=CHAIN), (1, 8, 8), 2, Seed(0)).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    count_cost(network, torch.rand(1, 1, 8, 8))
    assert network.training
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(module._forward_hooks for module in network.modules())


def test_the_same_seed_gives_the_same_weights_and_another_gives_others() -> None:
    architecture = Architecture(skeleton=SMALL, cell=CHAIN)
    one, same, other = (build(architecture, (1, 8, 8), 2, Seed(seed)) for seed in (1, 1, 2))
    for (name, value), again in zip(one.state_dict().items(), same.state_dict().values(), strict=True):
        assert torch.equal(value, again), name
    assert not torch.equal(one.head.weight, other.head.weight)


def test_building_leaves_the_global_generator_as_it_was() -> None:
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    build(Architecture(skeleton=SMALL, cell=CHAIN), (1, 8, 8), 2, Seed(0))
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 8, 8), (3, 1, 5), (3, 13, 20)], ids=str)
@pytest.mark.parametrize("stem", STEMS)
def test_any_skeleton_fits_any_image(shape: tuple[int, int, int], stem: str) -> None:
    skeleton = Skeleton(stem=stem, widths=(2, 3, 3, 4), cells=(1, 1, 2, 1), reductions=(True,) * 4)
    cell = Cell.complete(3, ("max_pool_2x2", "dil_conv_5x5", "sep_conv_3x3"))
    network = build(Architecture(skeleton=skeleton, cell=cell), shape, 2, Seed(0))
    for training in (True, False):
        logits = network.train(training)(torch.rand(3, *shape))
        assert logits.shape == (3, 2)
        assert torch.isfinite(logits).all()


def test_architectures_that_are_the_same_have_one_key_and_one_network() -> None:
    one = Architecture(
        skeleton=SMALL,
        cell=Cell(4, ((0, 1, "conv_1x1"), (1, 3, "identity"), (0, 2, "conv_3x3"), (2, 3, "identity"))),
    )
    other = Architecture(
        skeleton=SMALL,
        cell=Cell(4, ((0, 1, "conv_3x3"), (1, 3, "identity"), (0, 2, "conv_1x1"), (2, 3, "identity"))),
    )
    assert one != other
    assert one.canonical() == other.canonical()
    assert one.key == other.key
    pixels = torch.rand(2, 1, 6, 6)
    one_network, other_network = (build(which, (1, 6, 6), 2, Seed(0)).eval() for which in (one, other))
    assert torch.equal(one_network(pixels), other_network(pixels))


def test_architectures_that_differ_have_another_key() -> None:
    one = Architecture(skeleton=SMALL, cell=CHAIN)
    deeper = Skeleton(widths=(4, 6), cells=(2, 2), reductions=(False, True))
    assert one.key != Architecture(skeleton=deeper, cell=CHAIN).key
    assert one.key != Architecture(skeleton=SMALL, cell=Cell(2, ((0, 1, "conv_3x3"),))).key


def test_a_key_is_the_same_in_every_process_and_version() -> None:
    assert Architecture(skeleton=SMALL, cell=CHAIN).key == "868c2dd7e4788242"


def test_pixels_are_shifted_and_scaled_by_channel_and_constant_ones_are_kept_finite() -> None:
    norm = PixelNorm(2)
    pixels = torch.rand(50, 2, 4, 4, generator=Seed(0).torch())
    pixels[:, 1] = 0.5
    norm.fit(pixels)
    normed = norm(pixels)
    assert float(normed[:, 0].mean()) == pytest.approx(0, abs=1e-5)
    assert float(normed[:, 0].std()) == pytest.approx(1, abs=1e-3)
    assert not normed[:, 1].abs().gt(1e-3).any()
