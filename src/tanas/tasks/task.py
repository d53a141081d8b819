"""A task: images in three splits, their classes, and how performance on it is measured."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import final

import numpy as np
import torch
from torch import Tensor

from tanas.ground.errors import TaskError, check_choice
from tanas.ground.seeds import Seed
from tanas.tasks.performance import PERFORMANCES
from tanas.tasks.pictures import Framing
from tanas.tasks.splits import content_keys

KEYED = 0
"""Keys the hashes of images. They are compared between atoms, so the key is the same whatever the split seed."""


@dataclass(frozen=True, eq=False)
class Split:
    """Some rows of an image store, with labels. The store is shared, never copied."""

    images: Tensor
    """uint8, (stored, channels, height, width): all of the store, of which `rows` belong to this split."""
    rows: Tensor
    """int64, (samples,): which images, in content order."""
    labels: Tensor
    """int64, (samples,): class indices of the task."""
    strata: Tensor
    """int64, (samples,): class indices of the source, by which subsets stay stratified."""

    def __len__(self) -> int:
        return len(self.rows)

    def pixels(self, which: Tensor | slice = slice(None)) -> Tensor:
        """Images at positions within the split, float32 in [0, 1], (samples, channels, height, width)."""
        return self.images[self.rows[which]].float().div_(255)

    def parts(self, most: int) -> Iterator[Tensor]:
        """All images in order as `pixels` gives them, at most `most` at a time."""
        for which in torch.split(torch.arange(len(self)), most):
            yield self.pixels(which)

    def subset(self, which: Tensor | slice) -> Split:
        """The split at positions, (samples,) int64 or a slice; the store stays shared."""
        return Split(self.images, self.rows[which], self.labels[which], self.strata[which])

    def joined(self, other: Split) -> Split:
        """The samples of both, those of `other` last; a store that both share stays shared."""
        images, rows = self.images, other.rows
        if images is not other.images:
            images, rows = torch.cat([images, other.images]), rows + len(images)
        pairs = ((self.rows, rows), (self.labels, other.labels), (self.strata, other.strata))
        return Split(images, *(torch.cat(pair) for pair in pairs))

    def stratified(self, most: int, seed: Seed) -> Split:
        """At most `most` samples, at least one of each stratum, in proportion (largest remainders).

        Raises:
            TaskError: `most` is less than the number of strata.
        """
        if most >= len(self):
            return self
        _, cells = torch.unique(torch.stack([self.labels, self.strata]), dim=1, return_inverse=True)
        members = [torch.nonzero(cells == cell).flatten() for cell in range(int(cells.max()) + 1)]
        if most < len(members):
            raise TaskError(
                f"A subset of {most} images can't hold one of each of the {len(members)} groups "
                f"(a class of the task and one of its source). Take at least {len(members)}."
            )
        sizes = np.array([len(m) for m in members])
        shares = 1 + (most - len(members)) * (sizes - 1) / max(int((sizes - 1).sum()), 1)
        counts = np.floor(shares).astype(int)
        for cell in np.argsort(-(shares - counts), kind="stable")[: most - int(counts.sum())]:
            counts[cell] += 1
        generator = seed.torch()
        kept = [
            m[torch.randperm(len(m), generator=generator)[:n]] for m, n in zip(members, counts, strict=True)
        ]
        return self.subset(torch.cat(kept).sort().values)


@dataclass(frozen=True, eq=False)
class Task:
    """An image-classification task (T, X), made by `Library.open` or `task_from_arrays`."""

    name: str
    """As a person types it, in its canonical form: 'mnist:is=3'."""
    classes: tuple[str, ...]
    """Names, in the order of the labels."""
    train: Split
    validation: Split
    _test: Split | None = field(repr=False)
    """None after `without_test`; reached through `sealed`."""
    performance: str = "balanced"
    """'balanced' (balanced accuracy corrected for chance) or 'accuracy' (the paper's experiment): what l is."""
    split_seed: int = 0
    """Of the split of the source."""
    notes: tuple[str, ...] = ()
    """What was left out or changed when the images were read, a sentence each."""
    framing: Framing | None = None
    """How its pictures became images; None: its images are arrays."""

    def __post_init__(self) -> None:
        check_choice(self.performance, "performance", "Task", PERFORMANCES)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of an image."""
        channels, height, width = self.train.images.shape[1:]
        return channels, height, width

    def sealed(self) -> tuple[Task, Sealed]:
        """The same task without its test split, and the sealed test split.

        Raises:
            TaskError: the task has no test split, as a search sees it.
        """
        if self._test is None:
            raise TaskError(f"The test split of {self.name} can't be reached from a search or a distance.")
        return self.without_test(), Sealed(self.name, self.classes, self._test)

    def without_test(self) -> Task:
        """The same task without its test split: what distances and strategies are given."""
        return replace(self, _test=None)

    def measured_by(self, performance: str) -> Task:
        """The same task under another measure of performance."""
        return replace(self, performance=performance)

    def limited(self, most: int | None) -> Task:
        """At most `most` training images, and the same share for validation; the test split stays whole."""
        if most is None or most >= len(self.train):
            return self
        seed = Seed(self.split_seed).child("limited")  # of the task, not of a run
        strata = len(torch.unique(torch.stack([self.validation.labels, self.validation.strata]), dim=1)[0])
        share = max(round(len(self.validation) * most / len(self.train)), strata)
        return replace(
            self,
            train=self.train.stratified(most, seed.child("train")),
            validation=self.validation.stratified(share, seed.child("validation")),
        )

    @cached_property
    def fingerprint(self) -> str:
        """Hash over training and validation data (pixels, labels, class order), without paths."""
        return _fingerprint(self.classes, self.train, self.validation)


@final
class Sealed:
    """A test split that is opened once, after everything was chosen. Until then only hashes and size are known."""

    def __init__(self, task: str, classes: tuple[str, ...], split: Split) -> None:
        self._task, self._classes, self._split = task, classes, split
        self._opened = False

    def __len__(self) -> int:
        return len(self._split)

    @cached_property
    def fingerprint(self) -> str:
        """Hash over the test split, kept for the record."""
        return _fingerprint(self._classes, self._split)

    @cached_property
    def image_keys(self) -> Tensor:
        """A hash of each image, as `image_keys` gives it."""
        return image_keys(self._split)

    def open(self) -> Split:
        """The test split.

        Raises:
            TaskError: it was opened before.
        """
        if self._opened:
            raise TaskError(f"The test split of {self._task} was opened before: it is tested on once.")
        self._opened = True
        return self._split


def image_keys(split: Split) -> Tensor:
    """A hash of each image of a split, (samples,) int64; equal pixels, equal hash."""
    images = split.images[split.rows].contiguous().numpy()
    return torch.from_numpy(content_keys(images, KEYED).view("int64").copy())


def _fingerprint(classes: tuple[str, ...], *splits: Split) -> str:
    total = hashlib.sha256()
    total.update(repr(classes).encode())
    for split in splits:
        images = split.images[split.rows].contiguous().numpy()
        total.update(repr(images.shape).encode())
        total.update(images.data)
        total.update(split.labels.numpy().astype("<i8").tobytes())
    return total.hexdigest()
