"""Quick, Draw!: the official bitmaps, one .npy file a category."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import torch

from tanas.ground.errors import DataError
from tanas.tasks.quickdraw_categories import CATEGORIES, PAPER_TEN
from tanas.tasks.source import Part, Reading, make_source
from tanas.tasks.spelling import class_word, find_class
from tanas.tasks.splits import capped, content_keys, draw_sides
from tanas.tasks.task import Task
from tanas.tasks.vision import fetch

PER_CLASS = 6000
"""Drawings a category: what the authors' code takes, 5,000 to train and 1,000 to test."""

SIDE = 28
"""Height and width of a bitmap."""

HOME = "https://storage.googleapis.com/quickdraw_dataset/full/numpy_bitmap/"

_OFFICIAL_PREFIX = "full_numpy_bitmap_"
_OFFICIAL = frozenset(map(class_word, CATEGORIES))


def open_quickdraw(name: str, reading: Reading, *, categories: Sequence[str], per_class: int) -> Task:
    """Reads categories of Quick, Draw!; the side of a drawing follows from its category's file alone.

    Args:
        name: of the source, canonical.
        reading: data root and split seed.
        categories: in any order; none: those of the paper's ten that have files.
        per_class: most drawings of a category; every side is cut in proportion.

    Raises:
        DataError: a category has no file and can't be downloaded, or its file holds something else.
    """
    files = category_files(reading.data)
    notes = []
    chosen = sorted(categories, key=str.lower)
    if not categories:
        chosen = [category for category in PAPER_TEN if class_word(category) in files] or list(PAPER_TEN)
        missing = [category for category in PAPER_TEN if category not in chosen]
        if missing:
            notes.append(
                f"Of the paper's ten categories {', '.join(missing)} {'is' if len(missing) == 1 else 'are'} "
                "left out: no file under the data root."
            )
    bitmaps = [_bitmaps(category, files, reading) for category in chosen]
    images, labels, sides, cut = [], [], [], []
    for number, (category, drawings) in enumerate(zip(chosen, bitmaps, strict=True)):
        keys = content_keys(drawings, reading.split_seed)
        drawn = draw_sides(keys)
        kept = np.sort(capped(keys, drawn, per_class))
        images.append(drawings[kept])
        labels.append(np.full(len(kept), number, dtype=np.int64))
        sides.append(drawn[kept])
        if len(kept) < len(drawings):
            cut.append(f"{category} ({len(drawings)})")
    if cut:
        notes.append(f"{per_class} drawings were taken of {', '.join(cut)}; per-class=N changes that.")
    pixels = torch.from_numpy(np.concatenate(images).reshape(-1, 1, SIDE, SIDE))
    part = Part(pixels, np.concatenate(labels), np.concatenate(sides))
    return make_source(name, chosen, [part], split_seed=reading.split_seed, notes=notes)


def find_categories(names: Sequence[str], data: Path) -> list[str]:
    """Categories by name, whether or not their files are there, or by number in the paper's ten.

    Raises:
        UnknownClassError: a category is neither official nor has a file.
    """
    own = {_category_of(path) for word, path in category_files(data).items() if word not in _OFFICIAL}
    others = sorted({*CATEGORIES, *own} - {*PAPER_TEN})
    known = [*PAPER_TEN, *others]
    return [known[find_class(name, known, "quickdraw")] for name in names]


def category_files(data: Path) -> dict[str, Path]:
    """Files of categories under the data root, by `class_word` of the category.

    They lie in its folder quickdraw/ as moon.npy or full_numpy_bitmap_moon.npy. In the root itself only official
    categories count.
    """
    files: dict[str, Path] = {}
    for folder in (data / "quickdraw", data):
        for path in sorted(folder.glob("*.npy")) if folder.is_dir() else ():
            word = class_word(_category_of(path))
            if folder != data or word in _OFFICIAL:
                files.setdefault(word, path)
    return files


def _category_of(path: Path) -> str:
    return path.stem.removeprefix(_OFFICIAL_PREFIX)


def _bitmaps(category: str, files: dict[str, Path], reading: Reading) -> npt.NDArray[np.uint8]:
    path = files.get(class_word(category)) or _fetched(category, reading)
    try:
        drawings: npt.NDArray[np.uint8] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (ValueError, OSError, EOFError) as error:
        raise DataError(
            f"The drawings in {str(path)!r} can't be read ({error}). Expected an official .npy."
        ) from error
    if drawings.dtype != np.uint8 or drawings.ndim < 2 or drawings.size != len(drawings) * SIDE * SIDE:
        raise DataError(
            f"{str(path)!r} holds {drawings.dtype} of shape {drawings.shape}: expected uint8 of shape (n, "
            "784), an official bitmap file of Quick, Draw!."
        )
    return drawings.reshape(len(drawings), SIDE * SIDE)


def _fetched(category: str, reading: Reading) -> Path:
    folder = reading.data / "quickdraw"
    url = HOME + quote(f"{category}.npy")
    put = f"{category}.npy, from {url}, into {str(folder)!r}"
    if not reading.download:
        raise DataError(f"quickdraw's {category} is not there, and downloads are switched off. Put {put}.")

    def get() -> Path:
        from torchvision.datasets.utils import download_url

        part = f"{category}.npy.part"  # a broken download never looks like a file of drawings
        download_url(url, str(folder), part)
        return (folder / part).rename(folder / f"{category}.npy")

    return fetch(f"quickdraw's {category}", get, put=put)
