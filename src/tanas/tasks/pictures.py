"""Picture files to pixels: any mode, any size, one conversion wherever pictures are read."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps
from torch import Tensor

from tanas.ground.errors import DataError

Pixels = npt.NDArray[np.uint8]
"""Of one picture, (height, width) grey or (height, width, 3) colour."""

# fmt: off
SUFFIXES = frozenset((
    ".avif", ".bmp", ".gif", ".ico", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pcx", ".pgm", ".png", ".pnm",
    ".ppm", ".tga", ".tif", ".tiff", ".webp",
))
# fmt: on
"""Files that are taken for pictures, in any case."""

DEFAULT_SIZE = 64
"""Height and width of pictures that differ in size or are larger: enough to see what is on them, and a
network on 64 x 64 pixels can still be searched for without a GPU."""

NAMED = 3
"""Most files that a note names."""


def read_pictures(
    paths: Sequence[Path], shape: tuple[int, int, int], *, skip_bad: bool = False
) -> tuple[Tensor, list[Path], list[Path]]:
    """Reads pictures as a task over a folder of them does.

    Args:
        paths: picture files.
        shape: (channels, height, width) of the task; channels are 1 or 3.
        skip_bad: leave unreadable pictures out.

    Returns:
        uint8, (n, channels, height, width); the n files that were read; those that were left out.

    Raises:
        DataError: a file is missing, or can't be read and is not left out, or none can be read; the message names it.
    """
    channels, height, width = shape
    read: list[Pixels] = []
    good: list[Path] = []
    bad: list[Path] = []
    for path in paths:
        try:
            read.append(in_channels(fitted(load_picture(path), height, width), channels))
            good.append(path)
        except DataError as error:
            if not path.is_file():  # a mistyped name
                raise
            if not skip_bad:
                raise DataError(f"{error} Or leave out bad pictures (skip_bad).") from error
            bad.append(path)
    if not read:
        raise DataError(f"No picture can be read: {len(bad)} failed, the first is {str(bad[0])!r}.")
    return torch.from_numpy(np.stack(read)), good, bad


def pictures_of(paths: Sequence[Path]) -> tuple[list[Path], list[str]]:
    """Picture files that were named, alone or by their folder; hidden files and inner folders are left out.

    Returns:
        the files; and a note for each folder that holds other files, by their endings.

    Raises:
        DataError: a folder holds no picture, or can't be read.
    """
    files: list[Path] = []
    notes = []
    for path in paths:
        if not path.is_dir():
            files.append(path)
            continue
        try:
            inside = sorted(entry for entry in path.iterdir() if not entry.name.startswith("."))
        except OSError as error:
            raise DataError(f"The folder {str(path)!r} can't be read: {error.strerror}.") from error
        found = [entry for entry in inside if entry.suffix.lower() in SUFFIXES and not entry.is_dir()]
        if not found:
            within = next((entry for entry in inside if entry.is_dir()), None)
            hint = f"Name its folders instead, such as {str(within)!r}." if within else "Name one that does."
            raise DataError(f"The folder {str(path)!r} holds no picture. {hint}")
        files += found
        if left := [entry.name for entry in inside if entry not in found]:
            notes.append(f"Left out of {path} (not pictures): {first_names(left)}.")
    return files, notes


def first_names(names: Sequence[str]) -> str:
    """The first names of a list, for a note."""
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")


def load_picture(path: Path) -> Image.Image:
    """Opens and wholly decodes a picture: upright (EXIF), without alpha (on white), in mode L or RGB.

    Raises:
        DataError: it is missing, or corrupt or truncated; the message names it.
    """
    if not path.is_file():
        raise DataError(f"There is no picture {str(path)!r}.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of odd metadata; only the pixels count
            with Image.open(path) as picture:
                picture.load()
                return plain_picture(picture)
    except Exception as error:  # decoders raise nearly anything
        raise DataError(
            f"The picture {str(path)!r} is corrupt or truncated ({error}). Replace or remove it."
        ) from error


def plain_picture(picture: Image.Image) -> Image.Image:
    """A decoded picture of any mode upright, on white, in mode L or RGB."""
    upright = ImageOps.exif_transpose(picture)
    if upright.mode.startswith(("I", "F")):
        return Image.fromarray(_eight_bits(np.asarray(upright)))
    if upright.has_transparency_data:
        with_alpha = upright.convert("RGBA")
        ground = Image.new("RGBA", with_alpha.size, "white")
        opaque = Image.alpha_composite(ground, with_alpha).convert("RGB")
        return opaque.convert("L") if upright.mode in ("LA", "La", "L", "1") else opaque
    if upright.mode in ("1", "L", "RGB"):
        return upright.convert("L") if upright.mode == "1" else upright.copy()
    colour = upright.convert("RGB")
    if upright.mode == "P":
        red, green, blue = colour.split()
        if red.tobytes() == green.tobytes() == blue.tobytes():
            return red
    return colour


def fitted(picture: Image.Image, height: int, width: int) -> Pixels:
    """Pixels of a plain picture at a size: scaled with its aspect kept, centred, the rest black."""
    if picture.size == (width, height):
        return np.asarray(picture)
    scale = min(width / picture.width, height / picture.height)
    inner_width, inner_height = (max(1, round(side * scale)) for side in picture.size)
    ground = Image.new(picture.mode, (width, height))
    resized = picture.resize((inner_width, inner_height), Image.Resampling.BICUBIC)
    ground.paste(resized, ((width - inner_width) // 2, (height - inner_height) // 2))
    return np.asarray(ground)


def in_channels(pixels: Pixels, channels: int) -> Pixels:
    """One picture, (channels, height, width): grey repeated into colour, colour weighed into grey."""
    if channels == 1 and pixels.ndim == 3:
        pixels = np.asarray(Image.fromarray(pixels).convert("L"))
    if pixels.ndim == 2:
        return np.repeat(pixels[None], channels, axis=0)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


class PictureStack:
    """Plain pictures on their way into one tensor; a picture that is too large is scaled at once.

    Final size: the given one; else the pictures' own, if all are equal and at most `DEFAULT_SIZE` high and
    wide; else `DEFAULT_SIZE` squared.
    """

    def __init__(self, size: int | None = None) -> None:
        self._size = size
        self._pictures: list[Pixels] = []
        self._sizes: set[tuple[int, int]] = set()

    def __len__(self) -> int:
        return len(self._pictures)

    def add(self, picture: Image.Image) -> None:
        """Takes a picture in mode L or RGB."""
        self._sizes.add(picture.size)
        limit = self._size or DEFAULT_SIZE
        small = max(picture.size) <= DEFAULT_SIZE and self._size is None
        self._pictures.append(np.asarray(picture) if small else fitted(picture, limit, limit))

    def tensor(self) -> tuple[Tensor, list[str]]:
        """All pictures, uint8, (n, channels, height, width), and notes of what was done to them.

        All are in colour if any picture is.
        """
        width = height = self._size or DEFAULT_SIZE
        if (
            self._size is None
            and len(self._sizes) == 1
            and max(own := next(iter(self._sizes))) <= DEFAULT_SIZE
        ):
            width, height = own
        ndims = {pixels.ndim for pixels in self._pictures}
        channels = 3 if 3 in ndims else 1
        images = np.empty((len(self._pictures), channels, height, width), dtype=np.uint8)
        for index, pixels in enumerate(self._pictures):
            if pixels.shape[:2] != (height, width):
                pixels = fitted(Image.fromarray(pixels), height, width)
            images[index] = in_channels(pixels, channels)
        notes = []
        if self._sizes - {(width, height)}:
            (least_w, least_h), (most_w, most_h) = min(self._sizes), max(self._sizes)
            was = f"{least_h} x {least_w}" + (f" to {most_h} x {most_w}" if len(self._sizes) > 1 else "")
            notes.append(
                f"Pictures ({was} pixels) were resized to {height} x {width}, their aspect kept and the rest "
                "black. Another size can be set (size)."
            )
        if len(ndims) > 1:
            notes.append("Grey and colour pictures are mixed: all became colour.")
        return torch.from_numpy(images), notes


def _eight_bits(grey: npt.NDArray[np.generic]) -> Pixels:
    """16-bit, 32-bit or floating grey as 8 bits."""
    values = grey.astype(np.float64)
    low, high = float(values.min()), float(values.max())
    if grey.dtype.kind == "f":
        if not (low >= 0 and high <= 255):
            raise DataError(f"its grey values lie in [{low:g}, {high:g}], expected [0, 1] or [0, 255]")
        values = values * 255 if high <= 1 else values
    elif low < 0 or high > 65535:
        raise DataError(f"its grey values lie in [{low:g}, {high:g}], expected 16 bits")
    else:
        values = values / 257
    return cast(Pixels, np.rint(values).astype(np.uint8))
