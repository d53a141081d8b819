"""Picture files to pixels."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tanas.ground.errors import DataError
from tanas.tasks.pictures import PictureStack, fitted, load_picture, plain_picture, read_pictures

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
    assert plain.mode == ("L" if mode in ("1", "L", "LA", "I;16", "I", "F") else "RGB")
    assert plain.size == (6, 8)


def test_sixteen_bits_become_eight(tmp_path: Path) -> None:
    path = _saved(Image.fromarray(GREY.astype(np.uint16) * 257), tmp_path / "deep.png")
    assert np.array_equal(np.asarray(load_picture(path)), GREY)


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


def test_the_aspect_is_kept_and_the_rest_black() -> None:
    pixels = fitted(Image.new("L", (40, 20), 200), 10, 10)
    assert (pixels[:2] == 0).all() and (pixels[-2:] == 0).all() and (pixels[3:7] == 200).all()
    assert fitted(Image.new("L", (2000, 1), 200), 8, 8).shape == (8, 8)
    assert (fitted(Image.new("RGB", (2, 2), (9, 8, 7)), 8, 8) == (9, 8, 7)).all()


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
    images, notes = stack.tensor()
    assert np.array_equal(images[0, 0].numpy(), GREY) and notes == []


@pytest.mark.parametrize(
    ("sizes", "was"), [([(10, 20), (20, 10)], "20 x 10 to 10 x 20"), ([(65, 65)] * 2, "65 x 65")]
)
def test_a_stack_resizes_other_pictures_and_says_so(sizes: list[tuple[int, int]], was: str) -> None:
    stack = PictureStack()
    for size in sizes:
        stack.add(Image.new("L", size))
    images, notes = stack.tensor()
    assert images.shape == (2, 1, 64, 64)
    (note,) = notes
    assert was in note and "64 x 64" in note and "(size)" in note


def test_a_stack_of_grey_and_colour_becomes_colour() -> None:
    stack = PictureStack(size=8)
    stack.add(Image.new("L", (8, 8), 7))
    stack.add(Image.new("RGB", (8, 8), (1, 2, 3)))
    images, notes = stack.tensor()
    assert images[:, :, 0, 0].tolist() == [[7, 7, 7], [1, 2, 3]]
    (note,) = notes
    assert "colour" in note
