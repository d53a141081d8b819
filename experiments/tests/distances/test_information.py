from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tanas.ground.errors import SettingError
from tanas.ground.seeds import Seed
from tanas_experiments.distances.information import columns, diagonal_fisher

SEED = Seed(11)


class Tiny(nn.Module):
    def __init__(self, classes: int, *, bias: bool = True) -> None:
        super().__init__()
        self.first = nn.Conv2d(2, 3, 3, padding=1, bias=bias)
        self.second = nn.Conv2d(3, 4, (3, 2), stride=(2, 1), dilation=(1, 2), bias=bias)
        self.dense = nn.Linear(8, 5, bias=bias)
        self.head = nn.Linear(5, classes, bias=bias)

    def forward(self, pixels: Tensor) -> Tensor:
        images = torch.relu(self.second(torch.relu(self.first(pixels))))
        images = nn.functional.adaptive_max_pool2d(images, (2, 1)).flatten(1)
        return self.head(torch.tanh(self.dense(images)))  # type: ignore[no-any-return]

    def layers(self) -> tuple[nn.Conv2d | nn.Linear, ...]:
        return self.first, self.second, self.dense, self.head


def tiny(classes: int, *, bias: bool = True) -> Tiny:
    with SEED.child("weights").initialising():
        return Tiny(classes, bias=bias)


def pixels(images: int = 7) -> Tensor:
    return torch.rand(images, 2, 6, 5, generator=SEED.torch())


def by_autograd(network: Tiny, images: Tensor) -> list[Tensor]:
    """Image by image and class by class."""
    expected = [
        torch.zeros(sum(parameter.numel() for parameter in layer.parameters())) for layer in network.layers()
    ]
    for image in images:
        logs = torch.log_softmax(network(image[None])[0], dim=0)
        for log in logs:
            network.zero_grad()
            log.backward(retain_graph=True)
            for total, layer in zip(expected, network.layers(), strict=True):
                gradients = [p.grad.flatten() for p in layer.parameters() if p.grad is not None]
                total += log.detach().exp() * torch.cat(gradients).square() / len(images)
    return expected


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("bias", [True, False], ids=["biases", "no biases"])
def test_is_the_mean_of_squared_gradients_under_the_networks_own_answers(classes: int, bias: bool) -> None:
    network = tiny(classes, bias=bias)
    found = diagonal_fisher(network, network.layers(), pixels().split(3), seed=SEED)
    for one, other in zip(found, by_autograd(network, pixels()), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-9)
        assert other.max() > 1e-6


def test_takes_frozen_networks_and_leaves_them_as_they_were() -> None:
    network = tiny(3)
    expected = diagonal_fisher(network, network.layers(), [pixels()], seed=SEED)
    network.requires_grad_(False)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    with torch.no_grad():
        found = diagonal_fisher(network, network.layers(), [pixels()], seed=SEED)
    assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert not any(layer._forward_hooks for layer in network.layers())


def test_of_many_classes_is_right_on_average_with_few_backward_passes() -> None:
    network = tiny(6)
    exact = diagonal_fisher(network, network.layers(), [pixels()], seed=SEED)
    draws = [
        diagonal_fisher(network, network.layers(), [pixels()], seed=SEED.child(at), most_passes=2)
        for at in range(150)
    ]
    for at, expected in enumerate(exact):
        mean = torch.stack([draw[at] for draw in draws]).mean(dim=0)
        assert float((mean - expected).norm() / expected.norm()) < 0.08


@pytest.mark.parametrize("classes", [2, 4, 9])
def test_columns_are_a_factor_of_the_covariance_of_the_answers(classes: int) -> None:
    logits = 3 * torch.randn(5, classes, generator=SEED.torch(), dtype=torch.float64)
    logits[0, 0] = 900.0  # certain beyond what a float can tell
    p = torch.softmax(logits, dim=1)
    factor = columns(logits, 9, SEED.torch())
    assert factor.shape == (classes - 1, 5, classes)
    expected = torch.diag_embed(p) - p[:, :, None] * p[:, None]
    torch.testing.assert_close(torch.einsum("vbi,vbj->bij", factor, factor), expected)


def test_refuses_convolutions_that_it_has_no_closed_form_for() -> None:
    grouped = nn.Conv2d(2, 2, 3, groups=2)
    network = nn.Sequential(grouped, nn.Flatten(), nn.Linear(24, 2))
    with pytest.raises(SettingError, match="must be convolutions of one group"):
        diagonal_fisher(network, [grouped], [pixels()], seed=SEED)
