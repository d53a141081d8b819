"""An opened source: its images in two stores, and the split that all its tasks share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tanas.ground.errors import DataError
from tanas.tasks.splits import Keys, Side, Sides, content_keys, draw_sides, on_one_side
from tanas.tasks.task import Split, Task

Labels = npt.NDArray[np.int64]

_UNDRAWN = -9
"""Stands for the side of an image that is yet to be drawn."""


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How sources are read: the settings of a `Library`."""

    data: Path
    """The data root."""
    split_seed: int = 0
    """Keys the split."""
    skip_bad: bool = False
    """Pictures that can't be read are left out and counted, instead of refused."""
    size: int | None = None
    """Height and width to which pictures are brought; None: their own if small and equal."""
    download: bool = True
    """What is not under the data root is fetched from its official home."""


@dataclass(frozen=True, eq=False)
class Part:
    """Images of a source as they were read, such as one official split of it."""

    images: Tensor
    """uint8, (n, channels, height, width)."""
    labels: Labels
    """Class indices, (n,)."""
    sides: Sides | None = None
    """(n,), where official or already drawn; None: drawn here, by class."""

    @classmethod
    def official(cls, images: Tensor, labels: Labels, side: Side) -> Part:
        """Images whose side their publisher fixed."""
        return cls(images, labels, np.full(len(labels), side, dtype=np.int8))


@dataclass(frozen=True, eq=False)
class Source:
    """Images in three splits under the classes of their source; all its tasks share the two stores."""

    name: str
    """In its canonical form, such as 'mnist'."""
    classes: tuple[str, ...]
    """Names, in the order of the labels."""
    train: Split
    validation: Split
    test: Split
    split_seed: int
    notes: tuple[str, ...] = ()
    """What was left out or changed, a sentence each."""
    hint: str = ""
    """Goes with the message that a class is unknown."""

    def task(self, performance: str = "balanced") -> Task:
        """The task of telling all classes apart."""
        return Task(
            name=self.name,
            classes=self.classes,
            train=self.train,
            validation=self.validation,
            _test=self.test,
            performance=performance,
            split_seed=self.split_seed,
            notes=self.notes,
        )


def make_source(
    name: str,
    classes: Sequence[str],
    parts: Sequence[Part],
    *,
    split_seed: int,
    notes: Sequence[str] = (),
    hint: str = "",
) -> Source:
    """Splits what was read and stores it: train and validation in one tensor, test in another.

    Args:
        name: canonical.
        classes: names, in the order of the labels.
        parts: what was read; all of one shape.
        split_seed: keys the split.
        notes: what was left out or changed while reading.
        hint: goes with the message that a class is unknown.

    Raises:
        DataError: there is no image at all, or parts differ in shape.
    """
    if not sum(len(part.labels) for part in parts):
        raise DataError(f"{name} has no images.")
    shapes = {tuple(part.images.shape[1:]) for part in parts}
    if len(shapes) > 1:
        listed = " and ".join(str(shape) for shape in sorted(shapes))
        raise DataError(
            f"The images of {name} differ between its splits: (channels, height, width) is {listed}."
        )
    keys = np.concatenate([content_keys(part.images.numpy(), split_seed) for part in parts])
    labels = np.concatenate([part.labels for part in parts])
    fixed = np.concatenate([np.full(len(p.labels), _UNDRAWN) if p.sides is None else p.sides for p in parts])
    drawn = _drawn(keys, labels, fixed)
    sides = on_one_side(keys, drawn)
    development = _Store(parts, sides, (Side.TRAIN, Side.VALIDATION))
    held_out = _Store(parts, sides, (Side.TEST,))
    train, validation, test = (
        store.split(keys, labels, sides, side)
        for store, side in ((development, Side.TRAIN), (development, Side.VALIDATION), (held_out, Side.TEST))
    )
    return Source(
        name=name,
        classes=tuple(classes),
        train=train,
        validation=validation,
        test=test,
        split_seed=split_seed,
        notes=(*notes, *_left_out_notes(keys, drawn, sides)),
        hint=hint,
    )


def _drawn(keys: Keys, labels: Labels, fixed: npt.NDArray[np.int64]) -> Sides:
    sides = fixed.astype(np.int8)
    undrawn = fixed == _UNDRAWN
    sides[undrawn] = Side.TRAIN
    free = undrawn & ~np.isin(keys, keys[~undrawn])  # what an official split has too is not drawn for another
    for label in np.unique(labels[free]):
        rows = np.flatnonzero(free & (labels == label))
        sides[rows] = draw_sides(
            keys[rows],
            test=Side.TEST not in fixed,
            validation=Side.VALIDATION not in fixed,
        )
    return sides


def _left_out_notes(keys: Keys, drawn: Sides, sides: Sides) -> list[str]:
    left_out = sides == Side.LEFT_OUT
    count = int(left_out.sum())
    if not count:
        return []
    tested = int(np.isin(keys[left_out], keys[drawn == Side.TEST]).sum())
    notes = []
    if tested:
        notes.append(_left_out_note(tested, "training and validation", "test"))
    if count - tested:
        notes.append(_left_out_note(count - tested, "training", "validation"))
    return notes


def _left_out_note(count: int, where: str, other: str) -> str:
    if count == 1:
        return f"1 image was left out of {where}: the {other} split has the same one."
    return f"{count} images were left out of {where}: the {other} split has the same ones."


class _Store:
    """One tensor of images, and where in it each row of the parts went."""

    def __init__(self, parts: Sequence[Part], sides: Sides, held: tuple[Side, ...]) -> None:
        kept = np.isin(sides, held)
        ends = np.cumsum([len(part.labels) for part in parts])
        pieces = []
        for part, end in zip(parts, ends, strict=True):
            here = kept[end - len(part.labels) : end]
            if here.all():
                pieces.append(part.images.contiguous())  # as it was read: MNIST is not copied
            elif here.any():
                pieces.append(part.images[torch.from_numpy(here)].contiguous())
        self.images = pieces[0] if len(pieces) == 1 else torch.cat([parts[0].images[:0], *pieces])
        self.position = np.cumsum(kept) - 1

    def split(self, keys: Keys, labels: Labels, sides: Sides, side: Side) -> Split:
        rows = np.flatnonzero(sides == side)
        rows = rows[np.lexsort((labels[rows], keys[rows]))]
        stored = torch.from_numpy(labels[rows].astype(np.int64))
        return Split(self.images, torch.from_numpy(self.position[rows].astype(np.int64)), stored, stored)
