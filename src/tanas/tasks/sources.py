"""Every source of tasks by its name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from tanas.tasks.arrays import open_npz
from tanas.tasks.folders import open_folder
from tanas.tasks.names import PATH_SOURCES, SourceName
from tanas.tasks.quickdraw import PER_CLASS, open_quickdraw
from tanas.tasks.source import Part, Reading, Source, make_source
from tanas.tasks.vision import open_vision_set

DIGITS_HIGHEST = 16
"""Pixels of scikit-learn's digits are whole numbers from 0 to this."""


def open_source(source: SourceName, reading: Reading, *, categories: Sequence[str] = ()) -> Source:
    """Opens a source by its parsed name.

    Args:
        source: as `parse_source` gives it.
        reading: the library's settings.
        categories: of quickdraw; none: the paper's ten.

    Raises:
        DataError: its images are not there or can't be used.
    """
    if source.word == "digits":
        return open_digits(reading)
    if source.word == "quickdraw":
        return open_quickdraw(
            source.text, reading, categories=categories, per_class=source.per_class or PER_CLASS
        )
    if source.word in PATH_SOURCES:
        path = Path(source.path).expanduser()
        open_path = open_folder if source.word == "folder" else open_npz
        return open_path(source.text, path, reading)
    return open_vision_set(source.word, reading)


def open_digits(reading: Reading) -> Source:
    """scikit-learn's 1,797 handwritten digits of 8 x 8 pixels: always there, offline."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = np.rint(digits.images * (255 / DIGITS_HIGHEST)).astype(np.uint8)  # (n, 8, 8)
    part = Part(torch.from_numpy(pixels[:, None]), digits.target.astype(np.int64))
    return make_source(
        "digits", [str(name) for name in digits.target_names], [part], split_seed=reading.split_seed
    )
