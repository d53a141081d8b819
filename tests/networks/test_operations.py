from __future__ import annotations

import pytest
import torch
from torch import nn

from tanas.ground.errors import SettingError, UnknownNameError
from tanas.networks.operations import SamePool, Zero, make_operation, operation_names, register_operation


def test_an_unknown_operation_is_refused_with_the_near_ones() -> None:
    with pytest.raises(
        UnknownNameError, match=r"Unknown operation 'sep_conv_3'\. Did you mean 'sep_conv_3x3'"
    ):
        make_operation("sep_conv_3", 4)


def test_a_taken_name_is_refused() -> None:
    with pytest.raises(SettingError, match="'identity' is registered already"):
        register_operation("identity", lambda channels: nn.Identity())


def test_an_own_operation_is_registered_once_and_made_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tanas.networks.operations._REGISTRY", {})

    def halve(channels: int) -> nn.Module:
        return nn.Hardtanh(-channels, channels)

    register_operation("clip", halve)
    register_operation("clip", halve)
    assert operation_names() == ("clip",)
    assert isinstance(make_operation("clip", 3), nn.Hardtanh)


def test_the_papers_and_the_authors_operations_are_there() -> None:
    assert {"identity", "zero", "dil_conv_3x3", "sep_conv_3x3", "max_pool_2x2"} <= set(operation_names())
    assert {"sep_conv_5x5", "dil_conv_5x5", "max_pool_3x3", "conv_7x1_1x7"} <= set(operation_names())


def test_zero_passes_nothing() -> None:
    assert not Zero()(torch.ones(2, 3, 4, 4)).any()


def test_a_window_of_two_takes_each_pixel_with_the_next_ones() -> None:
    image = torch.arange(9.0).reshape(1, 1, 3, 3)
    expected = torch.tensor([[4.0, 5, 5], [7, 8, 8], [7, 8, 8]])
    assert torch.equal(SamePool(2, "max")(image)[0, 0], expected)


def test_a_mean_counts_only_pixels_inside() -> None:
    assert torch.equal(SamePool(3, "average")(torch.ones(1, 1, 3, 3)), torch.ones(1, 1, 3, 3))


def test_a_dilated_window_reaches_two_pixels_and_skips_one() -> None:
    operation = make_operation("dil_conv_3x3", 1).eval()
    for parameter in operation.parameters():
        nn.init.ones_(parameter)
    image = torch.zeros(1, 1, 7, 7)
    image[0, 0, 3, 3] = 1.0
    reached = {tuple(place) for place in (operation(image)[0, 0] > 1.5).nonzero().tolist()}
    assert reached == {(row, column) for row in (1, 3, 5) for column in (1, 3, 5)}
