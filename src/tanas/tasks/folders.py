"""Folders of pictures: a folder a class, or train/, val/ and test/ with a folder a class in each."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tanas.ground.errors import DataError
from tanas.tasks.pictures import SUFFIXES, PictureStack, load_picture
from tanas.tasks.source import Labels, Part, Reading, Source, make_source
from tanas.tasks.splits import Side

SPLIT_FOLDERS = {
    "train": Side.TRAIN,
    "training": Side.TRAIN,
    "val": Side.VALIDATION,
    "valid": Side.VALIDATION,
    "validation": Side.VALIDATION,
    "test": Side.TEST,
    "testing": Side.TEST,
}
"""Names, in any case, of folders that hold an official split."""

NAMED = 3
"""Most files that a note names."""


@dataclass
class _Found:
    """Picture files of a folder, and what lay between them."""

    pictures: list[tuple[Path, str, Side]] = field(default_factory=list)
    """File, class, official side."""
    classes: set[str] = field(default_factory=set)
    others: list[str] = field(default_factory=list)
    """Files that are no pictures, by name."""
    unclassed: list[str] = field(default_factory=list)
    """Pictures outside every class folder, by name."""


def open_folder(name: str, folder: Path, reading: Reading) -> Source:
    """Reads a folder of pictures; what is hidden is ignored.

    Args:
        name: of the source, canonical.
        folder: its class folders may hold folders themselves.
        reading: split seed, size, and whether bad pictures are skipped.

    Raises:
        DataError: it is no folder or has no pictures in class folders; a picture is corrupt or truncated;
            an official split has a class that train/ has not.
    """
    if not folder.is_dir():
        raise DataError(f"There is no folder {str(folder)!r} for {name}.")
    found, official = _look_through(name, folder)
    if not found.pictures:
        hint = " Its pictures lie outside any class folder." if found.unclassed else ""
        raise DataError(
            f"The folder {str(folder)!r} is empty: no picture in a class folder.{hint} Expected a folder a "
            "class, or train/, val/ and test/ with a folder a class in each."
        )
    classes = sorted(found.classes)
    numbers = {class_name: number for number, class_name in enumerate(classes)}
    stack = PictureStack(reading.size)
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
    images, notes = stack.tensor()
    if bad:
        notes.append(f"{_files(bad, 'picture')} can't be read and {_was(bad)} left out: {_some(bad)}.")
    if found.others:
        notes.append(
            f"{_files(found.others, 'file')} {_was(found.others)} no picture: {_some(found.others)}."
        )
    if found.unclassed:
        notes.append(
            f"{_files(found.unclassed, 'picture')} outside every class folder {_was(found.unclassed)} left "
            f"out: {_some(found.unclassed)}."
        )
    parts = _parts(images, np.array(labels, dtype=np.int64), np.array(sides), official)
    return make_source(name, classes, parts, split_seed=reading.split_seed, notes=notes)


def _parts(images: Tensor, labels: Labels, sides: npt.NDArray[np.int64], official: bool) -> list[Part]:
    if not official:
        return [Part(images, labels)]
    parts = []
    for side in (Side.TRAIN, Side.VALIDATION, Side.TEST):
        here = sides == side
        if here.any():
            pixels = images[torch.from_numpy(here)]
            # the training folder gives up what is not official elsewhere
            parts.append(
                Part(pixels, labels[here])
                if side is Side.TRAIN
                else Part.official(pixels, labels[here], side)
            )
    return parts


def _look_through(name: str, folder: Path) -> tuple[_Found, bool]:
    folders, files = _visible(folder)
    by_side = {
        entry: SPLIT_FOLDERS[entry.name.lower()] for entry in folders if entry.name.lower() in SPLIT_FOLDERS
    }
    holding = {entry: side for entry, side in by_side.items() if _visible(entry)[0]}
    found = _Found()
    _sort_out(files, found)
    official = bool(holding) and (len(holding) > 1 or len(by_side) == len(folders))
    if not official:
        for entry in folders:
            _add_class(entry, Side.TRAIN, found)
        return found, False
    if Side.TRAIN not in holding.values():
        raise DataError(
            f"The folder {str(folder)!r} has no train/ beside {', '.join(e.name for e in by_side)}/."
        )
    for entry in folders:
        if entry not in holding:
            found.others.append(f"{entry.name}/")
    for entry, side in holding.items():
        inner, files = _visible(entry)
        _sort_out(files, found)
        for class_folder in inner:
            _add_class(class_folder, side, found)
    trained = {class_name for _, class_name, side in found.pictures if side is Side.TRAIN}
    for path, class_name, _ in found.pictures:
        if class_name not in trained:
            raise DataError(
                f"Class {class_name!r} of {name} is in {path.relative_to(folder).parts[0]}/ and has no "
                f"picture in train/. Classes of train/ are {', '.join(sorted(trained)) or 'none'}."
            )
    return found, True


def _add_class(folder: Path, side: Side, found: _Found) -> None:
    found.classes.add(folder.name)
    for where, inner, names in os.walk(folder):
        inner[:] = sorted(entry for entry in inner if not _hidden(entry))
        for file_name in sorted(names):
            if _hidden(file_name):
                continue
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


def _files(names: Sequence[str], noun: str) -> str:
    return f"{len(names)} {noun}{'s' * (len(names) != 1)}"


def _was(names: Sequence[str]) -> str:
    return "was" if len(names) == 1 else "were"


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMED]) + (", ..." if len(names) > NAMED else "")
