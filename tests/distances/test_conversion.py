from __future__ import annotations

import pytest
import torch

from tanas.distances.conversion import converted
from tanas.ground.errors import SettingError
from tanas.ground.seeds import Seed


def pixels(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=Seed(4).torch())


def test_images_that_fit_are_given_back_as_they_are() -> None:
    given = pixels(2, 3, 8, 8)
    assert converted(given, (3, 8, 8)) is given


def test_grey_becomes_colour_by_repeating() -> None:
    given = pixels(2, 1, 8, 8)
    assert torch.equal(converted(given, (3, 8, 8)), given.repeat(1, 3, 1, 1))


def test_colour_becomes_grey_by_its_luma() -> None:
    pure = torch.eye(3)[:, :, None, None]  # red, green, blue
    assert converted(pure, (1, 1, 1)).flatten().tolist() == pytest.approx([0.299, 0.587, 0.114])


def test_grey_that_went_through_colour_is_as_it_was() -> None:
    given = pixels(2, 1, 8, 8)
    torch.testing.assert_close(converted(converted(given, (3, 8, 8)), (1, 8, 8)), given)


@pytest.mark.parametrize("size", [(4, 4), (28, 28), (5, 9)])
def test_another_size_stays_in_range_and_keeps_what_is_flat(size: tuple[int, int]) -> None:
    resized = converted(pixels(2, 1, 8, 8), (1, *size))
    assert resized.shape == (2, 1, *size)
    assert 0 <= resized.min() <= resized.max() <= 1
    torch.testing.assert_close(
        converted(torch.full((1, 1, 8, 8), 0.3), (1, *size)), torch.full((1, 1, *size), 0.3)
    )


def test_shrinking_averages_instead_of_skipping() -> None:
    board = torch.tensor([[0.0, 1.0], [1.0, 0.0]]).repeat(8, 8)[None, None]
    torch.testing.assert_close(converted(board, (1, 4, 4)), torch.full((1, 1, 4, 4), 0.5), atol=0.05, rtol=0)


def test_other_channels_are_refused() -> None:
    with pytest.raises(SettingError, match="4 channels"):
        converted(pixels(1, 4, 8, 8), (1, 8, 8))
