import pytest
import torch
from torch import nn

from tanas.ground.errors import SettingError, UnknownNameError
from tanas.ground.seeds import Seed
from tanas.networks.architecture import PixelNorm, count_cost
from tanas.networks.layers import layer_table
from tanas_experiments.zoo import ZooNetwork, make_zoo, zoo_names

SHAPE = (1, 28, 28)


def shapes_within(network, shape):
    """Output shapes of all modules that are called, by path."""
    shapes = {}
    for path, module in network.named_modules():
        module.register_forward_hook(
            lambda m, i, output, path=path: shapes.update({path: tuple(output.shape)})
        )
    network.eval()(torch.zeros(1, *shape))
    return shapes


@pytest.mark.parametrize("shape", [SHAPE, (3, 32, 32), (1, 8, 8)])
@pytest.mark.parametrize("name", zoo_names())
def test_every_network_takes_grey_and_colour_images_of_the_usual_sizes(name, shape):
    with torch.device("meta"):  # of the sizes only: VGG-16 holds 134 million weights
        logits = ZooNetwork(name, shape, 3).eval()(torch.empty(2, *shape))
    assert logits.shape == (2, 3)


@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 40, 24), (1, 1, 1)])
@pytest.mark.parametrize("name", ["resnet18", "resnet18-small", "densenet121"])
def test_small_and_oblong_images_are_taken_too(name, shape):
    with torch.device("meta"):
        assert ZooNetwork(name, shape, 2).eval()(torch.empty(1, *shape)).shape == (1, 2)


@pytest.mark.parametrize("name", ["resnet18", "resnet18-small"])
def test_a_resnet_trains_on_28x28(name):
    network = make_zoo(name, SHAPE, 4, Seed(0)).train()
    network(torch.rand(2, *SHAPE)).sum().backward()
    assert all(p.grad is not None for p in network.parameters())
    assert isinstance(network.norm, PixelNorm)


def test_the_two_stems_of_resnet18_differ_as_they_say():
    wide = shapes_within(make_zoo("resnet18", SHAPE, 4, Seed(0)), SHAPE)
    small = shapes_within(make_zoo("resnet18-small", SHAPE, 4, Seed(0)), SHAPE)
    assert (wide["body.conv1"], wide["body.layer1"]) == ((1, 64, 14, 14), (1, 64, 7, 7))
    assert (small["body.conv1"], small["body.layer1"]) == ((1, 64, 28, 28), (1, 64, 28, 28))


def test_resnet18_has_the_parameters_of_torchvisions():
    known = 11_689_512 - 513_000  # torchvision's, without its 1000 classes
    colour = count_cost(make_zoo("resnet18", (3, 32, 32), 10, Seed(0)), torch.zeros(1, 3, 32, 32))
    assert colour.parameters == known + 512 * 10 + 10
    grey = count_cost(make_zoo("resnet18", (1, 32, 32), 10, Seed(0)), torch.zeros(1, 1, 32, 32))
    assert colour.parameters - grey.parameters == 2 * 64 * 7 * 7


def test_images_too_small_for_a_network_are_enlarged_within_it_and_said_so():
    with torch.device("meta"):
        network = ZooNetwork("densenet161", (1, 14, 28), 2)
        plain = ZooNetwork("densenet161", (1, 32, 40), 2)
        resnet = ZooNetwork("resnet18", (1, 8, 8), 2)
    assert network.size == (32, 64)
    assert network.note == (
        "Images of 14x28 are enlarged to 32x64 (bilinear) within densenet161, which takes no less than 32x32."
    )
    assert (plain.note, resnet.note) == ("", "")


def test_the_seed_decides_the_weights():
    one, same, other = (make_zoo("resnet18", SHAPE, 2, Seed(root)) for root in (0, 0, 1))
    assert torch.equal(one.body.conv1.weight, same.body.conv1.weight)
    assert torch.equal(one.body.fc.weight, same.body.fc.weight)
    assert not torch.equal(one.body.conv1.weight, other.body.conv1.weight)
    assert isinstance(one.body.fc, nn.Linear)


def test_an_unknown_name_is_refused_with_near_ones():
    with pytest.raises(
        UnknownNameError, match="'resnet81' is no network of the zoo. Did you mean 'resnet18'"
    ):
        make_zoo("resnet81", SHAPE, 2, Seed(0))


def test_a_narrow_residual_network_is_named_by_its_size():
    one, same, other = (make_zoo("residual@11410", SHAPE, 2, Seed(root)) for root in (0, 0, 1))
    cost = count_cost(one, torch.zeros(1, *SHAPE))
    assert abs(cost.parameters / 11_410 - 1) < 0.03
    assert torch.equal(one.stem[0].weight, same.stem[0].weight)
    assert not torch.equal(one.stem[0].weight, other.stem[0].weight)


@pytest.mark.parametrize("name", ["residual", "residual@", "residual@many", "residual@-5", "residual@1e5"])
def test_a_narrow_residual_network_without_a_size_is_refused(name):
    with pytest.raises(SettingError, match="must be a whole number, as in residual@11410. Got"):
        make_zoo(name, SHAPE, 2, Seed(0))


def test_only_the_narrow_network_has_a_size_in_its_name():
    with pytest.raises(UnknownNameError, match="'resnet18@5000' is no network of the zoo"):
        make_zoo("resnet18@5000", SHAPE, 2, Seed(0))


@pytest.mark.parametrize("name", ["resnet18-small", "resnet18"])
def test_the_layer_table_adds_up_to_the_cost(name):
    network = make_zoo(name, (1, 28, 28), 5, Seed(0))
    cost = count_cost(network, torch.zeros(1, 1, 28, 28))
    rows = layer_table(network, (1, 28, 28))
    assert sum(row[2] for row in rows) == cost.parameters
    assert sum(row[3] for row in rows) == cost.macs
