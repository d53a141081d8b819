"""Labellings: the same images under other classes (indicator, subset, groups) or fewer of them (take).

A labelling's `apply` gives the task under it, whose name goes on with the labelling in canonical form. It raises
TaskError if the task has no such class, or too few images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import torch
from torch import Tensor

from tanas.ground.errors import TaskError, UnknownNameError
from tanas.tasks.spelling import class_in_name, did_you_mean, find_class, split_outside_quotes, unquote
from tanas.tasks.task import Split, Task

FORMS = {"only": "only=A,B,C", "groups": "groups=A+B/C+D", "is": "is=CLASS", "take": "take=N"}
"""Every labelling by its word, as help and messages write it."""

_LISTED = ", ".join(FORMS.values())


@dataclass(frozen=True)
class Only:
    """Some of the classes, in the task's own order; images of the others leave the splits."""

    chosen: tuple[str, ...]
    """Names or numbers, in any order."""

    def apply(self, task: Task) -> Task:
        kept = sorted(_find_all(self.chosen, task, "only="))
        text = "only=" + ",".join(class_in_name(old, task.classes) for old in kept)
        target = {old: new for new, old in enumerate(kept)}
        return _relabelled(task, target, tuple(task.classes[old] for old in kept), text)


@dataclass(frozen=True)
class Groups:
    """Super-classes, in the order in which they are written; images of other classes leave the splits."""

    groups: tuple[tuple[str, ...], ...]
    """Names or numbers of the classes of each group, which is then named 'A+B'."""

    def apply(self, task: Task) -> Task:
        found = iter(_find_all([member for group in self.groups for member in group], task, "groups="))
        members = [sorted(next(found) for _ in group) for group in self.groups]
        target = {old: new for new, group in enumerate(members) for old in group}
        classes = tuple("+".join(task.classes[old] for old in group) for group in members)
        written = ["+".join(class_in_name(old, task.classes) for old in group) for group in members]
        return _relabelled(task, target, classes, "groups=" + "/".join(written))


@dataclass(frozen=True)
class Is:
    """An indicator of section 4: label 1 for one class, 0 for the rest."""

    chosen: str
    """Name or number of the class."""

    def apply(self, task: Task) -> Task:
        chosen = find_class(self.chosen, task.classes, task.name)
        target = {old: int(old == chosen) for old in range(len(task.classes))}
        name = task.classes[chosen]
        return _relabelled(task, target, (f"not {name}", name), f"is={class_in_name(chosen, task.classes)}")


@dataclass(frozen=True)
class Take:
    """Fewer training images, stratified; the validation split shrinks in proportion, the test split stays."""

    images: int
    """Number of training images, at least 1."""

    def apply(self, task: Task) -> Task:
        if self.images > len(task.train):
            raise TaskError(
                f"take={self.images} asks for more than the {len(task.train)} training images of {task.name}."
            )
        return replace(task.limited(self.images), name=f"{task.name}:take={self.images}")


Labelling: TypeAlias = Only | Groups | Is | Take


def parse_labelling(segment: str) -> Labelling:
    """A labelling from its text, such as 'only=3,5'.

    Raises:
        UnknownNameError: its word is unknown; the message lists the near ones.
        TaskError: what follows the word can't be read.
    """
    word, equals, value = segment.partition("=")
    word = word.strip().lower()
    if not equals or word not in FORMS:
        raise UnknownNameError(unknown_labelling(segment))
    if word == "take":
        digits = value.strip()
        if not (digits.isascii() and digits.isdigit() and int(digits) > 0):
            raise TaskError(f"take= must be a number of training images, at least 1. Got {value!r} instead.")
        return Take(int(digits))
    if word == "is":
        return Is(_names([value], segment)[0])
    if word == "only":
        return Only(_names(split_outside_quotes(value, ","), segment))
    groups = [split_outside_quotes(group, "+") for group in split_outside_quotes(value, "/")]
    if len(groups) < 2:
        raise TaskError(
            f"groups= needs at least two groups, such as {FORMS['groups']}. Got {segment!r} instead."
        )
    return Groups(tuple(_names(group, segment) for group in groups))


def unknown_labelling(segment: str) -> str:
    """The message about a text that is not a labelling."""
    word = segment.partition("=")[0].strip().lower()
    near = did_you_mean(f"{word}=", [f"{known}=" for known in FORMS])
    return f"Unknown labelling {segment!r}.{near} A labelling is one of {_LISTED}."


def parse_labellings(text: str) -> tuple[Labelling, ...]:
    """Chained labellings from their text, such as 'only=moon,apple:is=moon'; none from an empty one.

    Raises:
        TaskError: a labelling can't be read.
        UnknownNameError: a labelling is unknown.
    """
    segments = split_outside_quotes(text, ":") if text.strip() else []
    return tuple(parse_labelling(segment) for segment in segments)


def labelled(task: Task, labellings: Sequence[Labelling]) -> Task:
    """A task under chained labellings, left to right; its notes name classes that a split lacks.

    Raises:
        TaskError: a labelling does not fit, there is one class, a class has no training image, or a split is empty.
    """
    for labelling in labellings:
        task = labelling.apply(task)
    if len(task.classes) < 2:
        raise TaskError(
            f"A task needs at least two classes. {task.name} has only {' '.join(map(repr, task.classes))}."
        )
    assert task._test is not None  # it comes from a source
    splits = [task.train, task.validation, task._test]
    counts = torch.stack([torch.bincount(split.labels, minlength=len(task.classes)) for split in splits])
    for index, name in enumerate(task.classes):
        total = int(counts[:, index].sum())
        if total < 2:
            raise TaskError(
                f"Class {name!r} of {task.name} has {total or 'no'} example{'s' * (total != 1)}. "
                "A class needs at least two."
            )
        if not counts[0, index]:
            raise TaskError(f"Class {name!r} of {task.name} has no training image, only {total} held out.")
    notes = []
    for split, count in (("validation", counts[1]), ("test", counts[2])):
        if not count.sum():
            raise TaskError(
                f"No image of {task.name} is left for its {split} split. A class needs at least three "
                "different images for one in each split."
            )
        if absent := [repr(name) for name, images in zip(task.classes, count, strict=True) if not images]:
            notes.append(f"The {split} split has no image of {', '.join(absent)}.")
    return replace(task, notes=(*task.notes, *notes))


def _names(parts: Sequence[str], segment: str) -> tuple[str, ...]:
    for part in parts:
        split_outside_quotes(part, ":")  # refuses an open quote
    names = tuple(unquote(part) for part in parts)
    if not all(names):
        raise TaskError(f"A class is missing in {segment!r}. A labelling is one of {_LISTED}.")
    return names


def _find_all(names: Sequence[str], task: Task, word: str) -> list[int]:
    found = [find_class(name, task.classes, task.name) for name in names]
    for position, index in enumerate(found):
        if index in found[:position]:
            raise TaskError(f"{word} names the class {task.classes[index]!r} of {task.name} more than once.")
    return found


def _relabelled(task: Task, target: dict[int, int], classes: tuple[str, ...], text: str) -> Task:
    """The task under other labels: `target` gives the new class index of each old one that is kept."""
    table = torch.full((len(task.classes),), -1, dtype=torch.int64)
    table[list(target)] = torch.tensor(list(target.values()))
    return replace(
        task,
        name=f"{task.name}:{text}",
        classes=classes,
        train=_split_relabelled(task.train, table),
        validation=_split_relabelled(task.validation, table),
        _test=None if task._test is None else _split_relabelled(task._test, table),
    )


def _split_relabelled(split: Split, table: Tensor) -> Split:
    labels = table[split.labels]  # (samples,)
    kept = labels >= 0
    return Split(split.images, split.rows[kept], labels[kept], split.strata[kept])
