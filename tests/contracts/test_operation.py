"""What every registered operation promises."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from tanas.ground.seeds import Seed
from tanas.networks.operations import ZERO, make_operation, operation_names

CHANNELS = 4
SIZES = [(1, 1), (2, 2), (7, 7), (8, 8), (5, 6)]


def made(name: str) -> nn.Module:
    with Seed(3).child(name).initialising():
        return make_operation(name, CHANNELS).to(memory_format=torch.channels_last)


def images(size: tuple[int, int]) -> Tensor:
    drawn = torch.randn(3, CHANNELS, *size, generator=Seed(5).torch())
    return drawn.to(memory_format=torch.channels_last)


@pytest.mark.parametrize("name", operation_names())
class TestOperationContract:
    @pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
    @pytest.mark.parametrize("training", [True, False], ids=["training", "evaluation"])
    def test_keeps_the_shape_and_stays_finite(self, name: str, size: tuple[int, int], training: bool) -> None:
        passed = made(name).train(training)(images(size))
        assert passed.shape == (3, CHANNELS, *size)
        assert torch.isfinite(passed).all()

    def test_one_image_alone_is_answered_as_among_others(self, name: str) -> None:
        operation, several = made(name).eval(), images((7, 7))
        torch.testing.assert_close(operation(several)[:1], operation(several[:1]), rtol=1e-4, atol=1e-5)

    def test_repeats_exactly(self, name: str) -> None:
        for training in (True, False):
            one, other = made(name).train(training), made(name).train(training)
            assert torch.equal(one(images((8, 8))), other(images((8, 8))))

    def test_leaves_its_input_as_it_was(self, name: str) -> None:
        given = images((8, 8))
        made(name)(given)
        assert torch.equal(given, images((8, 8)))

    def test_has_a_gradient_for_its_input_and_for_every_weight(self, name: str) -> None:
        operation, given = made(name).train(), images((8, 8)).requires_grad_()
        mixed = torch.randn(3, CHANNELS, 8, 8, generator=Seed(7).torch())  # BatchNorm's plain sum has none
        (operation(given) * mixed).sum().backward()
        assert given.grad is not None
        assert torch.isfinite(given.grad).all()
        assert bool(given.grad.any()) == (name != ZERO)
        for which, parameter in operation.named_parameters():
            assert parameter.grad is not None, which
            assert parameter.grad.any(), which

    def test_is_the_same_after_its_state_was_saved(self, name: str) -> None:
        one = made(name).train()
        one(images((8, 8)))
        with Seed(4).initialising():
            other = make_operation(name, CHANNELS)
        other.load_state_dict(one.state_dict())
        torch.testing.assert_close(one.eval()(images((7, 7))), other.eval()(images((7, 7))))
