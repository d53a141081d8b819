from __future__ import annotations

import pytest
import torch

from tanas.ground.errors import SettingError
from tanas.ground.seeds import Seed
from tanas.networks.augmentation import LIGHT, PLAIN, AugmentationConfig, augmented, cutmix, mixup

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


EVERYTHING = AugmentationConfig(
    rotation=30,
    scale=0.3,
    shear=20,
    cropping=0.5,
    shift=3,
    horizontal_flip=True,
    vertical_flip=True,
    brightness=0.5,
    contrast=0.5,
    colour=0.5,
    noise=0.2,
    erasing=0.5,
)


@pytest.mark.parametrize("config", [LIGHT, EVERYTHING], ids=["light", "everything"])
@pytest.mark.parametrize("shape", [(5, 1, 28, 28), (3, 3, 8, 8), (2, 3, 5, 9), (1, 1, 1, 1)])
def test_keeps_shape_and_range(shape: tuple[int, ...], config: AugmentationConfig) -> None:
    pixels = torch.rand(shape, generator=SEED.torch())
    before = pixels.clone()
    made = augmented(pixels, config, SEED)
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
    ("wrong", "named"),
    [
        ({"rotation": 181}, "rotation"),
        ({"scale": 1}, "scale"),
        ({"shear": 61}, "shear"),
        ({"shift": -1}, "shift"),
        ({"noise": -0.1}, "noise"),
        ({"erasing": 1}, "erasing"),
    ],
)
def test_a_setting_outside_its_range_is_refused(wrong: dict[str, float], named: str) -> None:
    with pytest.raises(SettingError, match=f"The '{named}' of AugmentationConfig must be"):
        AugmentationConfig(**wrong)


def test_flips_every_other_image_and_nothing_else() -> None:
    pixels = torch.rand(1, 3, 6, 10, generator=SEED.torch()).expand(400, 3, 6, 10)
    for config, along in (
        (AugmentationConfig(horizontal_flip=True), (3,)),
        (AugmentationConfig(vertical_flip=True), (2,)),
    ):
        made = augmented(pixels, config, SEED)
        flipped = (made - pixels.flip(along)).abs().amax(dim=(1, 2, 3)) < 1e-5
        kept = (made - pixels).abs().amax(dim=(1, 2, 3)) < 1e-5
        assert bool((flipped ^ kept).all())
        assert 150 < int(flipped.sum()) < 250


def test_shears_along_the_rows_about_the_centre() -> None:
    config = AugmentationConfig(shear=30)
    slanted = centres(augmented(dot(41, 41, 30, 20), config, SEED)) - torch.tensor([30.0, 20.0])
    assert float(slanted[:, 0].abs().max()) < 0.2, "rows stay"
    assert 5 < float(slanted[:, 1].abs().max()) < 10 * 0.58 + 0.3
    still = centres(augmented(dot(41, 41, 20, 5), config, SEED)) - torch.tensor([20.0, 5.0])
    assert float(still.abs().max()) < 0.2, "what is level with the centre stays"


def test_brightness_and_contrast_change_all_pixels_of_an_image_alike() -> None:
    pixels = torch.tensor([0.4, 0.6]).view(1, 1, 1, 2).expand(300, 3, 4, 2)
    brighter = augmented(pixels, AugmentationConfig(brightness=0.2), SEED) - pixels
    assert float(brighter.std(dim=(1, 2, 3)).max()) < 1e-6
    assert 0.19 < float(brighter.abs().max()) <= 0.2
    stronger = augmented(pixels, AugmentationConfig(contrast=0.5), SEED)
    torch.testing.assert_close(stronger.mean(dim=(1, 2, 3)), torch.full((300,), 0.5))
    distance = (stronger[:, 0, 0, 1] - stronger[:, 0, 0, 0]) / 0.2
    assert 0.5 <= float(distance.min()) < 0.52 and 1.48 < float(distance.max()) <= 1.5


def test_colour_changes_each_channel_by_a_factor_and_noise_each_pixel() -> None:
    pixels = torch.full((200, 3, 5, 5), 0.5)
    made = augmented(pixels, AugmentationConfig(colour=0.4), SEED)
    assert float(made.std(dim=(2, 3)).max()) < 1e-6
    channels = made[:, :, 0, 0] / 0.5
    assert 0.6 <= float(channels.min()) < 0.62 and 1.38 < float(channels.max()) <= 1.4
    assert float((channels[:, 0] - channels[:, 1]).abs().max()) > 0.5
    noisy = augmented(pixels, AugmentationConfig(noise=0.1), SEED) - pixels
    assert float(noisy.std()) == pytest.approx(0.1, abs=0.01)


def test_erases_a_rectangle_of_every_other_image() -> None:
    draw = torch.rand(400, 3, 20, 30, generator=SEED.torch())
    made = augmented(draw, AugmentationConfig(erasing=0.5), SEED)
    changed = (made != draw).any(dim=1)  # (images, rows, columns)
    assert 120 < int(changed.any(dim=(1, 2)).sum()) < 220
    for image, where in zip(made, changed, strict=True):
        rows, columns = where.any(dim=1), where.any(dim=0)
        assert torch.equal(where, rows[:, None] & columns[None]), "a rectangle"
        assert int(rows.sum()) <= 10 and int(columns.sum()) <= 15
        if where.any():
            assert float(image[:, where].std(dim=1).max()) < 1e-6


def tagged(count: int = 60) -> tuple[torch.Tensor, torch.Tensor]:
    """Images of one brightness each, and targets that name the image."""
    shades = torch.arange(count) / count
    return shades.view(-1, 1, 1, 1).expand(count, 1, 12, 12), torch.eye(count)


def test_mixup_blends_an_image_and_its_target_alike() -> None:
    pixels, targets = tagged()
    made, mixed = mixup(pixels, targets, 0.5, SEED)
    torch.testing.assert_close(mixed.sum(dim=1), torch.ones(60))
    torch.testing.assert_close(made[:, 0, 0, 0], mixed @ pixels[:, 0, 0, 0])
    assert int((mixed > 0).sum(dim=1).max()) == 2
    again = mixup(pixels, targets, 0.5, SEED)
    assert torch.equal(made, again[0]) and torch.equal(mixed, again[1])
    assert not torch.equal(made, mixup(pixels, targets, 0.5, SEED.child("other"))[0])


def test_cutmix_pastes_a_rectangle_and_gives_it_its_share_of_the_target() -> None:
    pixels, targets = tagged()
    made, mixed = cutmix(pixels, targets, 1.0, SEED)
    torch.testing.assert_close(mixed.sum(dim=1), torch.ones(60))
    torch.testing.assert_close(made.mean(dim=(1, 2, 3)), mixed @ pixels[:, 0, 0, 0])
    changed = (made != pixels)[:, 0]
    assert 10 < int(changed.any(dim=(1, 2)).sum()) < 50
    for where in changed:
        assert torch.equal(where, where.any(dim=1)[:, None] & where.any(dim=0)[None])


def test_crops_a_part_that_lies_within_the_image_and_fills_the_image_with_it() -> None:
    ramp = torch.linspace(0, 1, 41).view(1, 1, 1, 41).expand(300, 1, 41, 41)
    made = augmented(ramp, AugmentationConfig(cropping=0.5), SEED)[:, 0, 20]  # (images, columns)
    width = made[:, -1] - made[:, 0]
    assert 0.48 < float(width.min()) < 0.55 and 0.95 < float(width.max()) <= 1
    steps = made.diff(dim=1)[:, 1:-1]
    assert float(steps.std(dim=1).max()) < 1e-3, "it is stretched evenly, and nothing is mirrored at an edge"
    assert float(made[:, 0].min()) < 0.02 and float(made[:, -1].max()) > 0.98
