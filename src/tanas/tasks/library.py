"""A library of tasks: opens them by name, and every source once."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import platformdirs

from tanas.ground.errors import DataError, check_choice, check_range
from tanas.tasks.labelling import Labelling, Only, labelled
from tanas.tasks.names import PATH_SOURCES, SourceName, folder_behind, misspelt_labelling, parse_source
from tanas.tasks.performance import PERFORMANCES
from tanas.tasks.quickdraw import find_categories
from tanas.tasks.source import Reading, Source
from tanas.tasks.sources import open_source
from tanas.tasks.spelling import UnknownClassError
from tanas.tasks.task import Task

MOST_SIZE = 1024
"""Pixels of a side: all pictures of a source are held at once, and a thousand colour ones of this size take 3 GB."""


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
        size: int | None = None,
        download: bool = True,
    ) -> None:
        """Nothing is read yet.

        Args:
            data: the data root; None: $TANAS_DATA, else the user's cache folder.
            performance: 'balanced' or 'accuracy'.
            split_seed: keys the split of every source.
            skip_bad: pictures that can't be read are left out and counted in the task's notes.
            size: height and width to which pictures of folders and of torchvision's picture sets are brought.
            download: what is not under the data root is fetched from its official home.

        Raises:
            SettingError: the measure is unknown, the seed is negative, or the size is less than 1 or more than
                `MOST_SIZE`.
        """
        check_choice(performance, "performance", "Library", PERFORMANCES)
        check_range(split_seed, "split_seed", "Library", low=0)
        if size is not None:
            check_range(size, "size", "Library", low=1, high=MOST_SIZE)
        self.performance = performance
        self.reading = Reading(
            data=data_root(data), split_seed=split_seed, skip_bad=skip_bad, size=size, download=download
        )
        self._opened: dict[tuple[object, ...], Source] = {}

    @classmethod
    def of(cls, reading: Reading) -> Library:
        """One that reads by given settings."""
        return cls(
            reading.data,
            split_seed=reading.split_seed,
            skip_bad=reading.skip_bad,
            size=reading.size,
            download=reading.download,
        )

    def open(self, name: str) -> Task:
        """A task by its name, such as 'mnist:is=3' or './photos'; its own name is the canonical form.

        Raises:
            UnknownNameError: the source, a labelling or a class is unknown; the message lists near ones.
            DataError: the images are not there or can't be used.
            TaskError: the labelling does not fit, or a class has too few images.
        """
        source_name, labellings = parse_source(name)
        categories: tuple[str, ...] = ()
        if source_name.word == "quickdraw" and labellings and isinstance(labellings[0], Only):
            found = find_categories(labellings[0].chosen, self.reading.data)
            labellings = (Only(tuple(found)), *labellings[1:])
            categories = tuple(sorted(set(found)))
        source = self._source(source_name, categories)
        task = _labelled(source, self.performance, labellings)
        if source_name.word in PATH_SOURCES or not (folder := folder_behind(name)):
            return task
        if Path(folder).resolve().parent == self.reading.data.resolve():
            return task  # the folder is where the data root keeps the source
        note = f"'{folder}' is a known source of tasks. For the folder of that name write ./{folder}."
        return replace(task, notes=(*task.notes, note))

    def _source(self, name: SourceName, categories: tuple[str, ...]) -> Source:
        path = Path(name.path).expanduser().resolve() if name.word in PATH_SOURCES else None
        key = (name, path, categories)
        if key not in self._opened:
            if path is not None and not path.exists():
                described = "folder" if name.word == "folder" else "file"
                hint = misspelt_labelling(name.path)
                raise DataError(f"There is no {described} {name.path!r}." + (f" {hint}" if hint else ""))
            self._opened[key] = self._sized(open_source(name, self.reading, categories=categories))
        return self._opened[key]

    def _sized(self, source: Source) -> Source:
        """A source that says so if a size was asked for that its images don't have."""
        size, (height, width) = self.reading.size, source.train.images.shape[-2:]
        if size is None or (height, width) == (size, size):
            return source
        note = f"The images of {source.name} stay {height} x {width}: only pictures in files can be resized."
        return replace(source, notes=(*source.notes, note))


def data_root(data: Path | None = None) -> Path:
    """The folder that data sets are looked for in: the given one, else $TANAS_DATA, else the user's cache."""
    if data is not None:
        return Path(data).expanduser()
    named = os.environ.get("TANAS_DATA")
    return Path(named).expanduser() if named else platformdirs.user_cache_path("tanas")


def _labelled(source: Source, performance: str, labellings: tuple[Labelling, ...]) -> Task:
    task = source.task(performance)
    try:
        return labelled(task, labellings)
    except UnknownClassError as error:
        if not source.hint:
            raise
        raise UnknownClassError(f"{error} {source.hint}") from error
