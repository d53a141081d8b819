"""Picture files to pixels."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from tanas.ground.errors import DataError, SettingError
from tanas.tasks.pictures import (
    Framing,
    PictureStack,
    eight_bits,
    fitted,
    load_picture,
    plain_picture,
    read_pictures,
    size_of_aspect,
)

RANDOM = np.random.default_rng(0)
COLOUR = RANDOM.integers(0, 256, (8, 6, 3), dtype=np.uint8)
GREY = RANDOM.integers(0, 256, (8, 6), dtype=np.uint8)


def _saved(picture: Image.Image, path: Path, **options: Any) -> Path:
    picture.save(path, **options)
    return path


@pytest.mark.parametrize(
    "mode", ["1", "L", "LA", "P", "PA", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "LAB", "I;16", "I", "F"]
)
def test_any_mode_is_converted(mode: str) -> None:
    if mode == "I;16":
        picture = Image.fromarray(GREY.astype(np.uint16) * 257)
    elif mode == "LAB":
        picture = Image.new("LAB", (6, 8))
    else:
        picture = Image.fromarray(COLOUR).convert("P" if mode == "PA" else mode).convert(mode)
    plain = plain_picture(picture)
    deep, grey = mode.startswith("I"), mode in ("1", "L", "LA", "F")
    assert plain.mode == ("I;16" if deep else "L" if grey else "RGB")
    assert plain.size == (6, 8)


def test_sixteen_bits_become_eight(tmp_path: Path) -> None:
    path = _saved(Image.fromarray(GREY.astype(np.uint16) * 257), tmp_path / "deep.png")
    assert np.array_equal(read_pictures([path], (1, 8, 6))[0][0, 0], GREY)
    assert np.array_equal(eight_bits(np.asarray(load_picture(path)), 65535), GREY)
    values = np.array([[0, 16, 2048, 4095, 9000]], dtype=np.uint16)
    assert eight_bits(values, 4095).tolist() == [[0, 1, 128, 255, 255]]


def test_floating_grey_is_read_by_its_range(tmp_path: Path) -> None:
    for scale, values in ((255, GREY / 255), (1, GREY * 1.0)):
        path = _saved(Image.fromarray(values.astype(np.float32)), tmp_path / f"{scale}.tiff")
        assert np.array_equal(np.asarray(load_picture(path)), GREY)
    path = _saved(Image.fromarray(GREY.astype(np.float32) * 9), tmp_path / "wide.tiff")
    with pytest.raises(DataError, match="wide.tiff' .*grey values"):
        load_picture(path)


def test_alpha_lies_on_white() -> None:
    clear = np.dstack([COLOUR, np.zeros((8, 6), np.uint8)])
    assert (np.asarray(plain_picture(Image.fromarray(clear))) == 255).all()
    half = Image.new("LA", (2, 2), (0, 128))
    assert np.asarray(plain_picture(half)).tolist() == [[127, 127], [127, 127]]


def test_a_transparent_palette_lies_on_white(tmp_path: Path) -> None:
    path = _saved(Image.new("P", (2, 2), 0), tmp_path / "clear.png", transparency=0)
    assert (np.asarray(load_picture(path)) == 255).all()


def test_a_grey_palette_is_grey() -> None:
    assert plain_picture(Image.fromarray(GREY).convert("P")).mode == "L"


def test_exif_rotation_is_applied(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    path = _saved(Image.fromarray(COLOUR), tmp_path / "turned.png", exif=exif)
    assert np.array_equal(np.asarray(load_picture(path)), np.rot90(COLOUR, -1))


def _thirds(mode: str, values: tuple[Any, Any, Any]) -> Image.Image:
    """A picture of 20 x 60 pixels (height x width) in three squares."""
    picture = Image.new(mode, (60, 20))
    for third, value in enumerate(values):
        picture.paste(value, (20 * third, 0, 20 * third + 20, 20))
    return picture


def test_crop_keeps_the_centre_and_cuts_off_the_rest() -> None:
    wide = _thirds("L", (0, 200, 50))
    for picture in (wide, wide.transpose(Image.Transpose.ROTATE_90)):
        pixels = fitted(picture, 10, 10, "crop").astype(int)
        assert (abs(pixels - 200) < 20).all()  # a little of the sides shines in
    assert fitted(wide, 20, 40, "crop")[10, [0, 20, 39]].tolist() == [0, 200, 50]


def test_pad_fills_what_is_left_with_the_mean_colour() -> None:
    pixels = fitted(_thirds("RGB", ((0, 30, 90), (90, 30, 0), (90, 30, 30))), 30, 30, "pad")
    assert (pixels[:10] == (60, 30, 40)).all() and (pixels[-10:] == (60, 30, 40)).all()
    assert pixels[15, [5, 15, 25]].tolist() == [[0, 30, 90], [90, 30, 0], [90, 30, 30]]
    upright = _thirds("L", (10, 20, 30)).transpose(Image.Transpose.ROTATE_90)
    assert (fitted(upright, 12, 12, "pad")[:, [0, 1, 2, 3, 8, 11]] == 20).all()


@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_any_picture_fits_any_size(fit: str) -> None:
    assert fitted(Image.new("L", (2000, 1), 200), 8, 8, fit).shape == (8, 8)
    assert (fitted(Image.new("RGB", (2, 2), (9, 8, 7)), 8, 8, fit) == (9, 8, 7)).all()
    assert np.array_equal(fitted(Image.fromarray(GREY), 8, 6, fit), GREY)


@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_sixteen_bits_stay_in_their_range_when_they_are_scaled(fit: str) -> None:
    edges = np.zeros((20, 30), dtype=np.uint16)
    edges[:, 15:] = 65535
    pixels = fitted(Image.fromarray(edges), 50, 64, fit)
    assert pixels.dtype == np.uint16 and pixels.shape == (50, 64)
    assert (pixels[20, 5], pixels[20, -5]) == (0, 65535)
    assert (np.diff(pixels[20, 4:-4].astype(int)) > -3000).all()  # no value wraps round


def test_a_framing_outside_its_range_is_refused() -> None:
    with pytest.raises(SettingError, match="'fit' of Framing .*crop, pad.* 'stretch'"):
        Framing(fit="stretch")
    with pytest.raises(SettingError, match="'white' of Framing .* 0"):
        Framing(white=0)


def test_pictures_are_read_in_the_shape_of_a_task(tmp_path: Path) -> None:
    paths = [
        _saved(Image.fromarray(GREY), tmp_path / "grey.png"),
        _saved(Image.fromarray(COLOUR), tmp_path / "colour.png"),
    ]
    images, good, bad = read_pictures(paths, (3, 8, 6))
    assert np.array_equal(images[0], np.stack([GREY] * 3))
    assert np.array_equal(images[1], COLOUR.transpose(2, 0, 1))
    assert (good, bad) == (paths, [])
    assert read_pictures(paths, (1, 16, 16))[0].shape == (2, 1, 16, 16)


def test_bad_pictures_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no picture '.*none.png'"):
        read_pictures([tmp_path / "none.png"], (1, 8, 8))
    (tmp_path / "text.png").write_text("no picture")
    with pytest.raises(DataError, match="text.png' is corrupt"):
        read_pictures([tmp_path / "text.png"], (1, 8, 8))
    for suffix in ("png", "jpg", "bmp", "gif", "tif", "webp"):
        path = _saved(
            Image.fromarray(RANDOM.integers(0, 256, (90, 90, 3), dtype=np.uint8)), tmp_path / f"cut.{suffix}"
        )
        path.write_bytes(path.read_bytes()[:3000])
        with pytest.raises(DataError, match=f"cut.{suffix}' is corrupt"):
            read_pictures([path], (1, 8, 8))


def test_a_stack_keeps_small_pictures_of_one_size() -> None:
    stack = PictureStack()
    for _ in range(2):
        stack.add(Image.fromarray(GREY))
    images, framing, notes = stack.tensor()
    assert np.array_equal(images[0, 0].numpy(), GREY) and notes == []
    assert framing == Framing(fit="crop", white=65535)


@pytest.mark.parametrize(
    ("sizes", "fit", "was", "done"),
    [
        ([(10, 20), (20, 10)], "crop", "20 x 10 to 10 x 20", "64 x 64, .*cut off .*'crop'"),
        ([(10, 20), (20, 10)], "pad", "20 x 10 to 10 x 20", "64 x 64 .*mean colour .*'pad'"),
        ([(65, 65)] * 2, "crop", "65 x 65", "64 x 64, which keeps"),
        ([(464, 348)] * 2, "crop", "348 x 464", "56 x 72, which keeps"),
        ([(464, 348), (1024, 768), (40, 30)], "pad", "30 x 40 to 768 x 1024", "56 x 72, which keeps"),
        ([(480, 640), (40, 30)], "crop", "640 x 480 to 30 x 40|30 x 40 to 640 x 480", "64 x 64, .*cut off"),
    ],
)
def test_a_stack_resizes_other_pictures_and_says_so(
    sizes: list[tuple[int, int]], fit: str, was: str, done: str
) -> None:
    stack = PictureStack(fit=fit)
    for size in sizes:
        stack.add(Image.new("L", size))
    images, framing, notes = stack.tensor()
    (note,) = notes
    assert re.search(rf"\(({was}) pixels\) were resized to {done}.*\(size\)", note)
    assert f"{images.shape[2]} x {images.shape[3]}" in note
    assert framing == Framing(fit=fit)


def test_a_size_of_an_aspect_ratio_has_about_as_many_pixels_as_a_square() -> None:
    assert size_of_aspect(1) == size_of_aspect(1.05) == size_of_aspect(1 / 1.05) == (64, 64)
    assert (size_of_aspect(4 / 3), size_of_aspect(3 / 4)) == ((56, 72), (72, 56))
    for aspect in np.linspace(1.1, 6, 50):
        height, width = size_of_aspect(aspect)
        assert height % 4 == width % 4 == 0
        assert abs(height * width / 64**2 - 1) < 0.1
        assert abs(width / height / aspect - 1) < 0.11
    assert size_of_aspect(1e9) == (4, 1024)


@pytest.mark.parametrize("sizes", [[(80, 60)] * 3, [(80, 60), (40, 30), (60, 80)], [(30, 40), (400, 500)]])
@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_a_stack_holds_what_read_pictures_gives(
    sizes: list[tuple[int, int]], fit: str, tmp_path: Path
) -> None:
    stack, paths = PictureStack(fit=fit), []
    for number, (width, height) in enumerate(sizes):
        picture = Image.fromarray(RANDOM.integers(0, 256, (height, width, 3), dtype=np.uint8))
        paths.append(_saved(picture, tmp_path / f"{number}.png"))
        stack.add(load_picture(paths[-1]))
    images, framing, _ = stack.tensor()
    assert images.shape[1:] == ((3, 56, 72) if len(set(sizes)) == 1 else (3, 64, 64))
    again, _, _ = read_pictures(paths, (3, *images.shape[2:]), framing)
    assert torch.equal(images, again)


@pytest.mark.parametrize(
    ("highest", "white"), [(200, 255), (256, 1023), (3900, 4095), (4096, 16383), (16384, 65535)]
)
@pytest.mark.parametrize("size", [(16, 16), (90, 90)])
def test_sixteen_bits_are_read_by_the_range_of_the_whole_source(
    highest: int, white: int, size: tuple[int, int], tmp_path: Path
) -> None:
    stack, paths = PictureStack(), []
    for number, most in enumerate((highest // 2, highest)):
        values = RANDOM.integers(0, most + 1, size, dtype=np.uint16)
        values[0, 0] = most
        paths.append(_saved(Image.fromarray(values), tmp_path / f"{number}.png"))
        stack.add(load_picture(paths[-1]))
    images, framing, notes = stack.tensor()
    assert framing.white == white
    assert any(f"reach {highest}: {white} " in note for note in notes) == (white < 65535)
    assert abs(images[1].float().mean().item() - 255 * highest / white / 2) < 12
    assert images[0].float().mean() < 0.7 * images[1].float().mean()
    assert torch.equal(read_pictures(paths, (1, *images.shape[2:]), framing)[0], images)


def test_beside_eight_bits_sixteen_bits_keep_their_whole_range() -> None:
    stack = PictureStack()
    stack.add(Image.fromarray(np.full((8, 8), 4095, dtype=np.uint16)))
    stack.add(Image.new("L", (8, 8), 7))
    images, framing, notes = stack.tensor()
    assert images[:, 0, 0, 0].tolist() == [round(4095 / 257), 7]
    assert (framing.white, notes) == (65535, [])


def test_a_given_white_holds_whatever_the_pictures_reach() -> None:
    stack = PictureStack(white=4095)
    stack.add(Image.fromarray(np.full((8, 8), 819, dtype=np.uint16)))
    images, framing, _ = stack.tensor()
    assert (images == 51).all() and framing.white == 4095


def test_a_stack_of_a_given_size_is_of_that_size() -> None:
    stack = PictureStack((20, 32))
    for size in ((8, 8), (90, 50)):
        stack.add(Image.new("L", size))
    assert stack.tensor()[0].shape == (2, 1, 20, 32)


def test_a_stack_of_grey_and_colour_becomes_colour() -> None:
    stack = PictureStack((8, 8))
    stack.add(Image.new("L", (8, 8), 7))
    stack.add(Image.new("RGB", (8, 8), (1, 2, 3)))
    images, _, notes = stack.tensor()
    assert images[:, :, 0, 0].tolist() == [[7, 7, 7], [1, 2, 3]]
    (note,) = notes
    assert "colour" in note
