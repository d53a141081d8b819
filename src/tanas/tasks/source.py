"""A source of tasks: its images in two stores, and the split that all its tasks share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tanas.ground.errors import DataError
from tanas.tasks.pictures import Framing, Size
from tanas.tasks.splits import Keys, Side, Sides, content_keys, draw_sides, on_one_side
from tanas.tasks.task import Split, Task

Labels = npt.NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Reading:
    """How sources are read: the settings of a `Library`."""

    data: Path
    """The data root."""
    split_seed: int = 0
    """Keys the split."""
    skip_bad: bool = False
    """Unreadable pictures are left out and counted, instead of refused."""
    size: Size | None = None
    """(height, width) to which pictures are brought; None: see `PictureStack`."""
    fit: str | None = None
    """'crop' or 'pad', see `Framing`; None: 'crop'."""
    white: int | None = None
    """The value of a 16-bit grey picture that becomes 255. None: if all pictures of a source have 16 bits, the highest
    value of the 8, 10, 12, 14 or 16 bits that they use, else that of 16 bits."""
    download: bool = True
    """What is missing under the data root is fetched from its official home."""


@dataclass(frozen=True, eq=False)
class Part:
    """Images of a source as they were read, such as one official split of it."""

    images: Tensor
    """uint8, (n, channels, height, width)."""
    labels: Labels
    """Class indices, (n,)."""
    sides: Sides | None = None
    """(n,), where official or already drawn; None: all are `Side.UNDRAWN`."""

    @classmethod
    def official(cls, images: Tensor, labels: Labels, side: Side) -> Part:
        """Images whose side their publisher fixed."""
        return cls(images, labels, np.full(len(labels), side, dtype=np.int8))


def make_source(
    name: str,
    classes: Sequence[str],
    parts: Sequence[Part],
    *,
    split_seed: int,
    framing: Framing | None = None,
    notes: Sequence[str] = (),
) -> Task:
    """The task of telling all classes of a source apart. Train and validation are one tensor, test is another.

    For the arguments see `Task` and `Part`.

    Raises:
        DataError: there are no images, or the parts differ in shape.
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
    fixed = [np.full(len(p.labels), Side.UNDRAWN, np.int8) if p.sides is None else p.sides for p in parts]
    drawn = _drawn(keys, labels, np.concatenate(fixed))
    sides = on_one_side(keys, drawn)
    train, validation = _stored(parts, sides, keys, labels, (Side.TRAIN, Side.VALIDATION))
    (test,) = _stored(parts, sides, keys, labels, (Side.TEST,))
    return Task(
        name=name,
        classes=tuple(classes),
        train=train,
        validation=validation,
        _test=test,
        split_seed=split_seed,
        framing=framing,
        notes=(*notes, *_left_out_notes(keys, drawn, sides)),
    )


def _drawn(keys: Keys, labels: Labels, fixed: Sides) -> Sides:
    undrawn = fixed == Side.UNDRAWN
    sides: Sides = np.where(undrawn, np.int8(Side.TRAIN), fixed)
    free = undrawn & ~np.isin(
        keys, keys[~undrawn]
    )  # copies of official images are not drawn for another side
    for label in np.unique(labels[free]):
        rows = np.flatnonzero(free & (labels == label))
        sides[rows] = draw_sides(
            keys[rows], test=Side.TEST not in fixed, validation=Side.VALIDATION not in fixed
        )
    return sides


def _left_out_notes(keys: Keys, drawn: Sides, sides: Sides) -> list[str]:
    left_out = sides == Side.LEFT_OUT
    tested = int(np.isin(keys[left_out], keys[drawn == Side.TEST]).sum())
    notes = []
    for count, where, other in (
        (tested, "training and validation", "test"),
        (int(left_out.sum()) - tested, "training", "validation"),
    ):
        if count == 1:
            notes.append(f"1 image was left out of {where}: the {other} split has the same one.")
        elif count:
            notes.append(f"{count} images were left out of {where}: the {other} split has the same ones.")
    return notes


def _stored(
    parts: Sequence[Part], sides: Sides, keys: Keys, labels: Labels, held: Sequence[Side]
) -> Iterator[Split]:
    """The splits of some sides over one tensor of their images."""
    kept = np.isin(sides, held)
    ends = np.cumsum([len(part.labels) for part in parts])
    pieces = []
    for part, end in zip(parts, ends, strict=True):
        here = kept[end - len(part.labels) : end]
        if here.all():
            pieces.append(part.images.contiguous())  # not copied
        elif here.any():
            pieces.append(part.images[torch.from_numpy(here)].contiguous())
    images = pieces[0] if len(pieces) == 1 else torch.cat([parts[0].images[:0], *pieces])
    position = torch.from_numpy(np.cumsum(kept) - 1)  # in `images`, of each row of the parts
    for side in held:
        rows = np.flatnonzero(sides == side)
        rows = rows[np.lexsort((labels[rows], keys[rows]))]
        stored = torch.from_numpy(labels[rows].astype(np.int64))
        yield Split(images, position[rows], stored, stored)
