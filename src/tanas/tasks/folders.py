"""Folders of pictures: a folder per class, or train/, val/ and test/ with a folder per class in each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from tanas.ground.errors import DataError
from tanas.tasks.pictures import SUFFIXES, PictureStack, first_names, load_picture
from tanas.tasks.source import Part, Reading, make_source
from tanas.tasks.splits import Side
from tanas.tasks.task import Task

SPLIT_FOLDERS = {
    "train": Side.UNDRAWN,  # it gives up images for the splits that are not official
    "training": Side.UNDRAWN,
    "val": Side.VALIDATION,
    "valid": Side.VALIDATION,
    "validation": Side.VALIDATION,
    "test": Side.TEST,
    "testing": Side.TEST,
}
"""Names, in any case, of folders that hold an official split."""


@dataclass
class _Found:
    """Picture files of a folder, and what lay between them."""

    pictures: list[tuple[Path, str, Side]] = field(default_factory=list)
    """File, class, official side."""
    classes: set[str] = field(default_factory=set)
    others: list[str] = field(default_factory=list)
    """Names of other files."""
    unclassed: list[str] = field(default_factory=list)
    """Names of pictures outside every class folder."""


def open_folder(name: str, folder: Path, reading: Reading) -> Task:
    """Reads a folder of pictures, whose class folders may hold folders themselves. Hidden files are ignored.

    Raises:
        DataError: the folder is missing or has no pictures in class folders, a picture is corrupt or truncated,
            or an official split has a class that train/ does not have.
    """
    if not folder.is_dir():
        raise DataError(f"There is no folder {str(folder)!r} for {name}.")
    found = _look_through(name, folder)
    if not found.pictures:
        hint = " Its pictures lie outside any class folder." if found.unclassed else ""
        raise DataError(
            f"The folder {str(folder)!r} is empty: no picture in a class folder.{hint} Expected a folder per "
            "class, or train/, val/ and test/ with a folder per class in each."
        )
    classes = sorted(found.classes)
    numbers = {class_name: number for number, class_name in enumerate(classes)}
    stack = PictureStack(reading.size, reading.fit, reading.white)
    labels, sides, bad = [], [], []
    for path, class_name, side in found.pictures:
        try:
            stack.add(load_picture(path))
        except DataError as error:
            if not reading.skip_bad:
                raise DataError(f"{error} Or leave out bad pictures (skip_bad).") from error
            bad.append(str(path.relative_to(folder)))
        else:
            labels.append(numbers[class_name])
            sides.append(side)
    if not len(stack):
        raise DataError(f"None of the {len(bad)} pictures in {str(folder)!r} can be read.")
    images, framing, notes = stack.tensor()
    for names, noun, what in (
        (bad, "picture", "can't be read and was left out"),
        (found.others, "file", "was not read"),
        (found.unclassed, "picture", "outside every class folder was left out"),
    ):
        if len(names) > 1:
            noun, what = f"{noun}s", what.replace("was", "were")
        if names:
            notes.append(f"{len(names)} {noun} {what}: {first_names(names)}.")
    part = Part(images, np.array(labels, dtype=np.int64), np.array(sides, dtype=np.int8))
    return make_source(name, classes, [part], split_seed=reading.split_seed, framing=framing, notes=notes)


def _look_through(name: str, folder: Path) -> _Found:
    folders, files = _visible(folder)
    by_side = {
        entry: SPLIT_FOLDERS[entry.name.lower()] for entry in folders if entry.name.lower() in SPLIT_FOLDERS
    }
    holding = {entry: side for entry, side in by_side.items() if _visible(entry)[0]}
    found = _Found()
    _sort_out(files, found)
    if not holding or (len(holding) == 1 and len(by_side) < len(folders)):  # such as a class called train
        for entry in folders:
            _add_class(entry, Side.UNDRAWN, found)
        return found
    if Side.UNDRAWN not in holding.values():
        raise DataError(
            f"The folder {str(folder)!r} has no train/ beside {', '.join(e.name for e in by_side)}/."
        )
    found.others += [f"{entry.name}/" for entry in folders if entry not in holding]
    for entry, side in holding.items():
        inner, files = _visible(entry)
        _sort_out(files, found)
        for class_folder in inner:
            _add_class(class_folder, side, found)
    trained = {class_name for _, class_name, side in found.pictures if side is Side.UNDRAWN}
    for path, class_name, _ in found.pictures:
        if class_name not in trained:
            raise DataError(
                f"Class {class_name!r} of {name} is in {path.relative_to(folder).parts[0]}/ and has no "
                f"picture in train/. Classes of train/ are {', '.join(sorted(trained)) or 'none'}."
            )
    return found


def _add_class(folder: Path, side: Side, found: _Found) -> None:
    found.classes.add(folder.name)
    for where, inner, names in os.walk(folder):
        inner[:] = sorted(entry for entry in inner if not _hidden(entry))
        for file_name in sorted(entry for entry in names if not _hidden(entry)):
            if Path(file_name).suffix.lower() in SUFFIXES:
                found.pictures.append((Path(where, file_name), folder.name, side))
            else:
                found.others.append(file_name)


def _sort_out(files: Sequence[Path], found: _Found) -> None:
    for path in files:
        (found.unclassed if path.suffix.lower() in SUFFIXES else found.others).append(path.name)


def _visible(folder: Path) -> tuple[list[Path], list[Path]]:
    entries = sorted(entry for entry in folder.iterdir() if not _hidden(entry.name))
    return [entry for entry in entries if entry.is_dir()], [entry for entry in entries if not entry.is_dir()]


def _hidden(name: str) -> bool:
    return name.startswith(".") or name in ("Thumbs.db", "desktop.ini", "__MACOSX")
