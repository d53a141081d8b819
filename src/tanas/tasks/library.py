"""A library of tasks: opens them by name, and every source once."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import platformdirs
import torch

from tanas.ground.errors import DataError, SettingError, check_choice, check_range
from tanas.tasks.arrays import open_npz
from tanas.tasks.folders import open_folder
from tanas.tasks.labelling import Only, labelled
from tanas.tasks.names import PATH_SOURCES, SourceName, folder_behind, misspelt_labelling, parse_source
from tanas.tasks.performance import PERFORMANCES
from tanas.tasks.pictures import FITS, MOST_SIZE, Size
from tanas.tasks.quickdraw import PER_CLASS, find_categories, open_quickdraw
from tanas.tasks.source import Part, Reading, make_source
from tanas.tasks.spelling import UnknownClassError
from tanas.tasks.task import Task
from tanas.tasks.vision import open_vision_set

DIGITS_HIGHEST = 16
"""Pixels of scikit-learn's digits are whole numbers from 0 to this."""


class Library:
    """Where tasks come from; tasks over the same source share its images.

    Attributes:
        reading: the settings by which sources are read.
        performance: the measure of every task: 'balanced' or 'accuracy'.
    """

    def __init__(
        self,
        data: Path | None = None,
        *,
        performance: str = "balanced",
        split_seed: int = 0,
        skip_bad: bool = False,
        size: int | Size | None = None,
        fit: str | None = None,
        white: int | None = None,
        download: bool = True,
    ) -> None:
        """Makes a library that has read nothing yet.

        For `data` see `data_root`, for the other settings `Reading`. A size that is one number is height and width.

        Raises:
            SettingError: the measure or the fit is unknown, the seed is negative, or a side is not in [1, `MOST_SIZE`].
        """
        check_choice(performance, "performance", "Library", PERFORMANCES)
        check_range(split_seed, "split_seed", "Library", low=0)
        if fit is not None:
            check_choice(fit, "fit", "Library", FITS)
        self.performance = performance
        self.reading = Reading(
            data=data_root(data),
            split_seed=split_seed,
            skip_bad=skip_bad,
            size=None if size is None else _height_and_width(size),
            fit=fit,
            white=white,
            download=download,
        )
        self._opened: dict[tuple[object, ...], Task] = {}

    @classmethod
    def of(cls, reading: Reading) -> Library:
        """A library that reads by given settings."""
        return cls(**vars(reading))

    def open(self, name: str) -> Task:
        """A task by its name, such as 'mnist:is=3' or './photos'; its own name is the canonical form.

        Raises:
            UnknownNameError: the source, a labelling or a class is unknown; the message lists near ones.
            DataError: the images are missing or can't be used.
            TaskError: the labelling does not fit, or a class has too few images.
        """
        source_name, labellings = parse_source(name)
        categories: tuple[str, ...] = ()
        if source_name.word == "quickdraw" and labellings and isinstance(labellings[0], Only):
            found = find_categories(labellings[0].chosen, self.reading.data)
            labellings = (Only(tuple(found)), *labellings[1:])
            categories = tuple(sorted(set(found)))
        source = self._source(source_name, categories)
        try:
            task = labelled(source.measured_by(self.performance), labellings)
        except UnknownClassError as error:
            if source_name.word != "quickdraw" or categories:
                raise
            raise UnknownClassError(
                f"{error} Those are the paper's ten categories that have files. Name others with only=."
            ) from error
        if source_name.word in PATH_SOURCES or not (folder := folder_behind(name)):
            return task
        if Path(folder).resolve().parent == self.reading.data.resolve():
            return task  # the folder is where the data root keeps the source
        note = f"'{folder}' is a known source of tasks. For the folder of that name write ./{folder}."
        return replace(task, notes=(*task.notes, note))

    def _source(self, name: SourceName, categories: tuple[str, ...]) -> Task:
        """The task over all classes of a source, which is read once."""
        path = Path(name.path).expanduser().resolve() if name.word in PATH_SOURCES else None
        key = (name, path, categories)
        if key not in self._opened:
            if path is not None and not path.exists():
                described = "folder" if name.word == "folder" else "file"
                hint = misspelt_labelling(name.path)
                raise DataError(f"There is no {described} {name.path!r}. {hint}".rstrip())
            source = self._read(name, categories)
            size, (height, width) = self.reading.size, source.train.images.shape[-2:]
            if size is not None and (height, width) != size:
                note = f"The images of {source.name} stay {height} x {width}: only pictures in files can be resized."
                source = replace(source, notes=(*source.notes, note))
            self._opened[key] = source
        return self._opened[key]

    def _read(self, name: SourceName, categories: tuple[str, ...]) -> Task:
        if name.word == "digits":
            return _digits(self.reading.split_seed)
        if name.word == "quickdraw":
            per_class = name.per_class or PER_CLASS
            return open_quickdraw(name.text, self.reading, categories=categories, per_class=per_class)
        if name.word == "folder":
            return open_folder(name.text, Path(name.path).expanduser(), self.reading)
        if name.word == "npz":
            return open_npz(name.text, Path(name.path).expanduser(), self.reading)
        return open_vision_set(name.word, self.reading)


def data_root(data: Path | None = None) -> Path:
    """The folder that data sets are looked for in: the given one, else $TANAS_DATA, else the user's cache."""
    named = data or os.environ.get("TANAS_DATA")
    return Path(named).expanduser() if named else platformdirs.user_cache_path("tanas")


def _height_and_width(size: int | Size) -> Size:
    sides = (size, size) if isinstance(size, int) else tuple(size) if isinstance(size, Sequence) else ()
    if len(sides) != 2 or not all(isinstance(side, int) for side in sides):
        raise SettingError(
            "The 'size' of Library must be a whole number of pixels, or two: (height, width). "
            f"Got {size!r} instead."
        )
    for side in sides:
        check_range(side, "size", "Library", low=1, high=MOST_SIZE)
    return sides[0], sides[1]


def _digits(split_seed: int) -> Task:
    """scikit-learn's 1,797 handwritten digits of 8 x 8 pixels: always there, offline."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    pixels = np.rint(digits.images * (255 / DIGITS_HIGHEST)).astype(np.uint8)  # (n, 8, 8)
    part = Part(torch.from_numpy(pixels[:, None]), digits.target.astype(np.int64))
    return make_source("digits", [str(name) for name in digits.target_names], [part], split_seed=split_seed)
