"""Which images are for training, validation and test: a property of the source, not of a task or a run.

The side of an image follows from its pixels: within each class the different images are ordered by a
keyed hash of their pixels. The first share is for test, the next for validation, the rest for training.
So the order of files does not matter, exact duplicates are on one side, and every task over a source
holds out the same images.
"""

from __future__ import annotations

import hashlib
from enum import IntEnum

import numpy as np
import numpy.typing as npt

HELD_OUT = 0.2
"""Share of a class for test, and of what is left for validation."""

Keys = npt.NDArray[np.uint64]
Sides = npt.NDArray[np.int8]


class Side(IntEnum):
    """Where an image goes; a higher side is further from training."""

    UNDRAWN = -9
    """For training, unless it is drawn for a side that has no official split."""
    LEFT_OUT = -1
    TRAIN = 0
    VALIDATION = 1
    TEST = 2


def content_keys(images: npt.NDArray[np.uint8], split_seed: int) -> Keys:
    """A number for each image, (n,), that depends on its pixels and the seed alone.

    Images with equal keys are treated as duplicates. With 64 bits, two different images among a million share a
    key with a chance of 3 in 10^8.
    """
    rows = np.ascontiguousarray(images).reshape(len(images), -1)
    key = f"tanas split {split_seed}".encode()
    digests = b"".join(hashlib.blake2b(row.data, digest_size=8, key=key).digest() for row in rows)
    return np.frombuffer(digests, dtype=">u8").astype(np.uint64)


def draw_sides(keys: Keys, *, test: bool = True, validation: bool = True) -> Sides:
    """Sides of the images of one class, (n,), in proportion; duplicates count once.

    Of three or more different images each side gets at least one; of two, one is for validation. Only the sides
    without an official split are drawn: `test` and `validation` say which.
    """
    different, position = np.unique(keys, return_inverse=True)
    tests = max(round(HELD_OUT * len(different)), int(len(different) >= 3)) if test else 0
    left = len(different) - tests
    validations = max(round(HELD_OUT * left), int(left >= 2)) if validation else 0
    sides = np.full(len(different), Side.TRAIN, dtype=np.int8)
    sides[:tests] = Side.TEST
    sides[tests : tests + validations] = Side.VALIDATION
    drawn: Sides = sides[position]
    return drawn


def capped(keys: Keys, sides: Sides, most: int) -> npt.NDArray[np.int64]:
    """Positions, in key order, of at most `most` images of one class, each side in proportion."""
    order = np.argsort(keys, kind="stable")
    if len(order) <= most:
        return order
    share = most / len(order)
    held_out = {side: round(share * int((sides == side).sum())) for side in (Side.TEST, Side.VALIDATION)}
    counts = {**held_out, Side.TRAIN: most - sum(held_out.values())}
    return np.concatenate([order[sides[order] == side][:count] for side, count in counts.items()])


def on_one_side(keys: Keys, sides: Sides) -> Sides:
    """The sides, with `Side.LEFT_OUT` for every image that has a copy further from training.

    Copies lie on several sides where classes share an image, or an official split repeats one.
    """
    different, position = np.unique(keys, return_inverse=True)
    furthest = np.full(len(different), Side.LEFT_OUT, dtype=np.int8)
    np.maximum.at(furthest, position, sides)
    kept: Sides = np.where(sides < furthest[position], np.int8(Side.LEFT_OUT), sides)
    return kept
