"""Picture files to pixels: any mode, any size, one conversion wherever pictures are read."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps
from torch import Tensor

from tanas.ground.errors import DataError, check_choice, check_range

Pixels = npt.NDArray[np.uint8 | np.uint16]
"""Of one picture, (height, width) grey or (height, width, 3) colour; only grey has 16 bits."""

Size = tuple[int, int]
"""(height, width), in pixels."""

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

MOST_SIZE = 1024
"""Pixels of a side: all pictures of a source are held at once, and a thousand colour ones of this size take 3 GB."""

SIDES_BY = 4
"""A height or width that tanas chooses is a multiple of this, so that it can be halved twice."""

SAME_ASPECT = 1.05
"""Aspect ratios that differ by at most this factor count as one."""

FITS = ("crop", "pad")
"""How pictures of another aspect ratio are fitted into a size; the first is the default. See `Framing`."""

WHITES = (255, 1023, 4095, 16383, 65535)
"""Highest values of cameras and scanners with 8, 10, 12, 14 and 16 bits."""

DEEP = "I;16"
"""Pillow's mode of 16-bit grey."""

NAMED = 3
"""Most files that a note names."""


@dataclass(frozen=True, kw_only=True)
class Framing:
    """How the pictures of a task became arrays of its size."""

    fit: str = FITS[0]
    """'crop': scaled to cover the size, the centre kept, the rest cut off. 'pad': scaled to lie within the size,
    centred, the rest filled with the mean colour of the picture."""
    white: int = WHITES[-1]
    """The value of a 16-bit grey picture that becomes 255; larger values become 255, too."""

    def __post_init__(self) -> None:
        check_choice(self.fit, "fit", "Framing", FITS)
        check_range(self.white, "white", "Framing", low=1, high=WHITES[-1])


UNRECORDED = Framing(fit="pad")
"""For tasks without a framing: their images are arrays, or an older tanas framed their pictures with black bars."""


def read_pictures(
    paths: Sequence[Path],
    shape: tuple[int, int, int],
    framing: Framing | None = None,
    *,
    skip_bad: bool = False,
) -> tuple[Tensor, list[Path], list[Path]]:
    """Reads pictures as a task over a folder of them does.

    Args:
        paths: picture files.
        shape: (channels, height, width) of the task; channels are 1 or 3.
        framing: of the task; None: `UNRECORDED`.
        skip_bad: leave unreadable pictures out.

    Returns:
        uint8, (n, channels, height, width); the n files that were read; those that were left out.

    Raises:
        DataError: a file is missing, or can't be read and is not left out, or none can be read; the message names it.
    """
    channels, height, width = shape
    framing = framing or UNRECORDED
    read: list[npt.NDArray[np.uint8]] = []
    good: list[Path] = []
    bad: list[Path] = []
    for path in paths:
        try:
            pixels = fitted(load_picture(path), height, width, framing.fit)
            read.append(in_channels(eight_bits(pixels, framing.white), channels))
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
    """Opens and wholly decodes a picture: upright (EXIF), without alpha (on white), in mode L, RGB or I;16.

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
    """A decoded picture of any mode upright, on white, in mode L or RGB, or I;16 if it has 16 bits or more."""
    upright = ImageOps.exif_transpose(picture)
    if upright.mode.startswith(("I", "F")):
        return Image.fromarray(_plain_grey(np.asarray(upright)))
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


def fitted(picture: Image.Image, height: int, width: int, fit: str) -> Pixels:
    """Pixels of a plain picture at a size, scaled with its aspect kept; `fit` is that of a `Framing`."""
    if picture.size == (width, height):
        return np.asarray(picture)
    if picture.mode == DEEP:
        picture = picture.convert("I")  # a mode that Pillow has always scaled
    if fit == "crop":
        return _pixels_of(ImageOps.fit(picture, (width, height), Image.Resampling.BICUBIC))
    scale = min(width / picture.width, height / picture.height)
    inner_width, inner_height = (max(1, round(side * scale)) for side in picture.size)
    inner = _pixels_of(picture.resize((inner_width, inner_height), Image.Resampling.BICUBIC))
    top, left = (height - inner_height) // 2, (width - inner_width) // 2
    pixels = np.empty((height, width, *inner.shape[2:]), dtype=inner.dtype)
    pixels[...] = np.rint(inner.mean(axis=(0, 1)))
    pixels[top : top + inner_height, left : left + inner_width] = inner
    return pixels


def eight_bits(pixels: Pixels, white: int) -> npt.NDArray[np.uint8]:
    """Pixels of 16 bits as 8 bits, where `white` and more become 255; those of 8 bits stay as they are."""
    if pixels.dtype == np.uint8:
        return pixels.astype(np.uint8, copy=False)
    return np.rint(np.minimum(pixels, white) * (255 / white)).astype(np.uint8)


def in_channels(pixels: npt.NDArray[np.uint8], channels: int) -> npt.NDArray[np.uint8]:
    """One picture, (channels, height, width): grey repeated into colour, colour weighed into grey."""
    if channels == 1 and pixels.ndim == 3:
        pixels = np.asarray(Image.fromarray(pixels).convert("L"))
    if pixels.ndim == 2:
        return np.repeat(pixels[None], channels, axis=0)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def size_of_aspect(aspect: float) -> Size:
    """A size of about `DEFAULT_SIZE` squared pixels with an aspect ratio, width / height."""
    sides = (DEFAULT_SIZE / aspect**0.5, DEFAULT_SIZE * aspect**0.5)
    height, width = (min(max(round(side / SIDES_BY), 1) * SIDES_BY, MOST_SIZE) for side in sides)
    return height, width


class PictureStack:
    """Plain pictures on their way into one tensor; a picture that is too large is scaled at once.

    Final size: the given one; else the pictures' own, if all are equal and at most `DEFAULT_SIZE` high and
    wide; else one with about `DEFAULT_SIZE` squared pixels. It has the aspect ratio of the first picture if all share
    it (`SAME_ASPECT`), else it is square.

    Until the last picture has come, it is unknown whether they share it, and which 16-bit value is white. So large
    pictures are kept at both sizes as long as both are possible, and 16 bits stay 16 bits.
    """

    def __init__(self, size: Size | None = None, fit: str | None = None, white: int | None = None) -> None:
        """Makes an empty stack. For the arguments see `Reading`."""
        self._given, self._white = size, white
        self._fit = fit or FITS[0]
        self._pictures: list[dict[Size, Pixels]] = []
        """Each at the sizes that are still possible, or as it came if it is small."""
        self._possible = [size or (DEFAULT_SIZE, DEFAULT_SIZE)]
        """Sizes; the last one is preferred."""
        self._sizes: set[tuple[int, int]] = set()
        """(width, height) of the pictures as they came."""
        self._narrowest, self._widest = math.inf, 0.0
        """Aspect ratios of the pictures as they came."""
        self._modes: set[str] = set()
        self._highest = 0
        """The largest value of a 16-bit picture."""

    def __len__(self) -> int:
        return len(self._pictures)

    def add(self, picture: Image.Image) -> None:
        """Takes a picture in mode L, RGB or I;16."""
        aspect = picture.width / picture.height
        if self._given is None and not self._pictures:
            self._possible += {size_of_aspect(aspect)} - {*self._possible}
        self._narrowest, self._widest = min(self._narrowest, aspect), max(self._widest, aspect)
        if len(self._possible) > 1 and self._widest > self._narrowest * SAME_ASPECT:
            gone = self._possible.pop()
            for kept in self._pictures:
                kept.pop(gone, None)
        self._sizes.add(picture.size)
        self._modes.add(picture.mode)
        if picture.mode == DEEP:
            self._highest = max(self._highest, int(np.asarray(picture).max()))
        if self._given is None and max(picture.size) <= DEFAULT_SIZE:
            self._pictures.append({(picture.height, picture.width): np.asarray(picture)})
        else:
            self._pictures.append({size: fitted(picture, *size, self._fit) for size in self._possible})

    def tensor(self) -> tuple[Tensor, Framing, list[str]]:
        """All pictures, uint8, (n, channels, height, width); their framing; notes of what was done to them.

        All are in colour if any picture is. The stack is empty afterwards.
        """
        height, width = self._final_size()
        framing = Framing(fit=self._fit, white=self._final_white())
        channels = 3 if "RGB" in self._modes else 1
        images = np.empty((len(self._pictures), channels, height, width), dtype=np.uint8)
        while self._pictures:
            kept = self._pictures.pop()  # its memory is free at once
            pixels = kept.get((height, width))
            if pixels is None:
                (small,) = kept.values()
                pixels = fitted(Image.fromarray(small), height, width, self._fit)
            images[len(self._pictures)] = in_channels(eight_bits(pixels, framing.white), channels)
        return torch.from_numpy(images), framing, self._notes((height, width), framing)

    def _final_size(self) -> Size:
        if self._given is None and len(self._sizes) == 1 and max(own := min(self._sizes)) <= DEFAULT_SIZE:
            return own[1], own[0]
        return self._possible[-1]

    def _final_white(self) -> int:
        if self._white is not None:
            return self._white
        if self._modes == {DEEP}:
            return min(white for white in WHITES if white >= self._highest)
        return WHITES[-1]

    def _notes(self, size: Size, framing: Framing) -> list[str]:
        height, width = size
        notes = []
        if self._sizes - {(width, height)}:
            (least_w, least_h), (most_w, most_h) = min(self._sizes), max(self._sizes)
            was = f"{least_h} x {least_w}" + (f" to {most_h} x {most_w}" if len(self._sizes) > 1 else "")
            how = {
                "crop": ", and what hung over was cut off (fit = 'crop')",
                "pad": " and filled with their mean colour (fit = 'pad')",
            }[framing.fit]
            aspect = width / height
            if self._widest <= aspect * SAME_ASPECT and aspect <= self._narrowest * SAME_ASPECT:
                how = ", which keeps their aspect ratio"
            notes.append(
                f"Pictures ({was} pixels) were resized to {height} x {width}{how}. Another size can be set (size)."
            )
        if DEEP in self._modes and framing.white < WHITES[-1]:
            notes.append(
                f"The values of 16-bit pictures reach {self._highest}: {framing.white} became white."
            )
        if "RGB" in self._modes and len(self._modes) > 1:
            notes.append("Grey and colour pictures are mixed: all became colour.")
        return notes


def _pixels_of(scaled: Image.Image) -> Pixels:
    """Pixels of a scaled picture; scaling takes 16 bits a little beyond their range, where edges are sharp."""
    pixels = np.asarray(scaled)
    return pixels if scaled.mode != "I" else pixels.clip(0, WHITES[-1]).astype(np.uint16)


def _plain_grey(grey: npt.NDArray[np.generic]) -> Pixels:
    """Integers of 16 or more bits as 16 bits, floating grey as 8 bits."""
    low, high = float(grey.min()), float(grey.max())
    if grey.dtype.kind != "f":
        if low < 0 or high > WHITES[-1]:
            raise DataError(f"its grey values lie in [{low:g}, {high:g}], expected 16 bits")
        return grey.astype(np.uint16)
    if not (low >= 0 and high <= 255):
        raise DataError(f"its grey values lie in [{low:g}, {high:g}], expected [0, 1] or [0, 255]")
    values = grey.astype(np.float64) * (255 if high <= 1 else 1)
    return np.rint(values).astype(np.uint8)
