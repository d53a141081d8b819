from __future__ import annotations

import pytest
import torch

from tanas.ground.errors import SettingError
from tanas.ground.seeds import Seed
from tanas.networks.augmentation import LIGHT, PLAIN, AugmentationConfig, augmented

SEED = Seed(3)


def dot(height: int, width: int, row: int, column: int, count: int = 200) -> torch.Tensor:
    """Black images with one white pixel, (count, 1, height, width)."""
    images = torch.zeros(count, 1, height, width)
    images[:, :, row, column] = 1.0
    return images


def centres(images: torch.Tensor) -> torch.Tensor:
    """Centre of mass of each image, (count, 2): row and column."""
    mass = images.sum(dim=(1, 2, 3))
    rows = (images.sum(dim=(1, 3)) * torch.arange(images.shape[2])).sum(dim=1) / mass
    columns = (images.sum(dim=(1, 2)) * torch.arange(images.shape[3])).sum(dim=1) / mass
    return torch.stack([rows, columns], dim=1)


@pytest.mark.parametrize("shape", [(5, 1, 28, 28), (3, 3, 8, 8), (2, 3, 5, 9), (1, 1, 1, 1)])
def test_keeps_shape_and_range(shape: tuple[int, ...]) -> None:
    pixels = torch.rand(shape, generator=SEED.torch())
    before = pixels.clone()
    made = augmented(pixels, LIGHT, SEED)
    assert made.shape == pixels.shape
    assert float(made.min()) >= 0 and float(made.max()) <= 1 + 1e-6
    assert torch.equal(pixels, before), "what was given stays as it is"


def test_of_nothing_is_the_same_image() -> None:
    pixels = torch.rand(4, 3, 9, 6, generator=SEED.torch())
    torch.testing.assert_close(augmented(pixels, PLAIN, SEED), pixels)
    assert not PLAIN.changes and LIGHT.changes


def test_the_same_seed_gives_the_same_images_and_each_image_has_a_draw_of_its_own() -> None:
    pixels = dot(28, 28, 9, 17)
    made = augmented(pixels, LIGHT, SEED)
    assert torch.equal(made, augmented(pixels, LIGHT, SEED))
    assert not torch.equal(made, augmented(pixels, LIGHT, SEED.child("other")))
    assert len(torch.unique(made.flatten(1), dim=0)) == len(pixels)


def test_shifts_by_as_many_pixels_along_both_sides_of_an_oblong_image() -> None:
    moved = centres(augmented(dot(30, 50, 15, 25), AugmentationConfig(shift=3), SEED)) - torch.tensor(
        [15, 25]
    )
    for along in (0, 1):
        assert float(moved[:, along].abs().max()) == pytest.approx(3, abs=0.1)
        assert abs(float(moved[:, along].mean())) < 0.5


def test_shifts_a_small_image_by_as_much_less() -> None:
    moved = centres(augmented(dot(14, 14, 7, 7), AugmentationConfig(shift=3), SEED)) - 7
    assert float(moved.abs().max()) == pytest.approx(1.5, abs=0.05)


def test_turns_about_the_centre_without_a_stretch() -> None:
    height, width = 41, 61
    centre = torch.tensor([20.0, 30.0])
    for row, column in ((20, 42), (8, 30)):  # beside the centre, and above it
        turned = centres(augmented(dot(height, width, row, column), AugmentationConfig(rotation=30), SEED))
        distance = (turned - centre).norm(dim=1)
        assert float((distance - 12).abs().max()) < 0.3
        start = torch.tensor([row - 20.0, column - 30.0]) / 12
        angle = torch.rad2deg(torch.acos((((turned - centre) / distance[:, None]) @ start).clamp(-1, 1)))
        assert 27 < float(angle.max()) <= 31


def test_scales_about_the_centre() -> None:
    scaled = centres(augmented(dot(41, 41, 20, 30), AugmentationConfig(scale=0.2), SEED))
    away = scaled[:, 1] - 20
    assert 11.5 < float(away.max()) < 12.3 and 7.7 < float(away.min()) < 8.5
    torch.testing.assert_close(scaled[:, 0], torch.full((len(scaled),), 20.0))


def test_what_comes_from_outside_is_the_mirror_image() -> None:
    grey = torch.full((50, 1, 10, 10), 0.25)
    torch.testing.assert_close(augmented(grey, AugmentationConfig(rotation=45, shift=3), SEED), grey)


@pytest.mark.parametrize(
    ("wrong", "named"), [({"rotation": 181}, "rotation"), ({"scale": 1}, "scale"), ({"shift": -1}, "shift")]
)
def test_a_setting_outside_its_range_is_refused(wrong: dict[str, float], named: str) -> None:
    with pytest.raises(SettingError, match=f"The '{named}' of AugmentationConfig must be"):
        AugmentationConfig(**wrong)
