import pytest
import torch
from torch import nn

from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture, build, count_cost
from tanas.networks.cell import Cell
from tanas.networks.layers import layer_table
from tanas.networks.operations import operation_names
from tanas.networks.skeleton import Skeleton

SHAPE = (1, 9, 7)
SKELETON = Skeleton(widths=(4, 6), cells=(1, 2), reductions=(False, True))


def network_of(cell, skeleton=SKELETON):
    return build(Architecture(skeleton=skeleton, cell=cell), SHAPE, 3, Seed(0))


def assert_adds_up(network, shape):
    cost = count_cost(network, torch.zeros(1, *shape))
    rows = layer_table(network, shape)
    assert sum(row[2] for row in rows) == cost.parameters
    assert sum(row[3] for row in rows) == cost.macs


@pytest.mark.parametrize("name", operation_names())
def test_rows_add_up_to_the_cost_of_every_operation(name):
    assert_adds_up(network_of(Cell.complete(3, ("identity", name, name))), SHAPE)


def test_layers_stand_in_the_order_of_execution():
    network = network_of(
        Cell(2, ((0, 1, "dil_conv_3x3"),)), Skeleton(widths=(4,), cells=(1,), reductions=(True,))
    )
    assert layer_table(network, SHAPE) == (
        ("norm: pixel normalisation", "1 x 9 x 7", 0, 0),
        ("stem.0: convolution 3x3", "4 x 9 x 7", 36, 2268),
        ("stem.1: batch normalisation", "4 x 9 x 7", 8, 0),
        ("stages.0.0.pool: max pooling 2x2", "4 x 5 x 4", 0, 0),
        ("stages.0.1.operations.0.1: depthwise convolution 3x3, dilation 2", "4 x 5 x 4", 36, 720),
        ("stages.0.1.operations.0.2: convolution 1x1", "4 x 5 x 4", 16, 320),
        ("stages.0.1.operations.0.3: batch normalisation", "4 x 5 x 4", 8, 0),
        ("head: linear", "3", 15, 12),
    )


def test_pooling_of_a_cell_has_a_row_and_identity_has_none():
    network = network_of(Cell.complete(3, ("max_pool_2x2", "identity", "avg_pool_3x3")))
    kinds = [name.split(": ")[1] for name, *_ in layer_table(network, SHAPE) if "operations" in name]
    assert sorted(kinds) == ["average pooling 3x3"] * 3 + ["max pooling 2x2"] * 3


def test_the_network_stays_as_it_is():
    network = network_of(Cell(2, ((0, 1, "conv_3x3"),))).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    layer_table(network, SHAPE)
    after = network.state_dict()
    assert network.training
    assert not any(module._forward_hooks for module in network.modules())
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_shared_weights_count_once_and_unreached_ones_come_last():
    class Odd(nn.Module):
        def __init__(self):
            super().__init__()
            self.once = nn.Linear(4, 4)
            self.spare = nn.Linear(4, 2)
            self.scale = nn.Parameter(torch.ones(4))

        def forward(self, pixels):
            return self.once(self.once(pixels.flatten(1)) * self.scale)

    rows = layer_table(Odd(), (1, 2, 2))
    assert rows == (
        ("once: linear", "4", 20, 16),
        ("once: linear", "4", 0, 16),
        (": Odd", "4", 4, 0),
        ("spare: linear", "not reached", 10, 0),
    )
    assert_adds_up(Odd(), (1, 2, 2))
