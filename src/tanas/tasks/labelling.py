"""Labellings: the same images under other classes (indicator, subset, groups) or fewer of them (take)."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from tanas.ground.errors import TaskError, UnknownNameError, nearest_names
from tanas.tasks.spelling import class_in_name, find_class, split_outside_quotes, unquote
from tanas.tasks.task import Split, Task

FORMS = {"only": "only=A,B,C", "groups": "groups=A+B/C+D", "is": "is=CLASS", "take": "take=N"}
"""Every labelling by its word, as help and messages write it."""


class Labelling(ABC):
    """A step from a task to another over the same stored images."""

    @abstractmethod
    def apply(self, task: Task) -> Task:
        """The task under this labelling; its name goes on with the labelling in canonical form.

        Raises:
            TaskError: the task has no such class, or too few images.
        """


@dataclass(frozen=True)
class Only(Labelling):
    """Some of the classes, in the task's own order; images of the others leave the splits."""

    chosen: tuple[str, ...]
    """Names or numbers, in any order."""

    def apply(self, task: Task) -> Task:
        """The task with the chosen classes alone."""
        kept = _find_all(self.chosen, task, "only=")
        target = {old: new for new, old in enumerate(sorted(kept))}
        text = "only=" + ",".join(class_in_name(old, task.classes) for old in target)
        return _relabelled(task, target, tuple(task.classes[old] for old in target), text)


@dataclass(frozen=True)
class Groups(Labelling):
    """Super-classes, in the order in which they are written; images of other classes leave the splits."""

    groups: tuple[tuple[str, ...], ...]
    """Names or numbers of the classes of each group."""

    def apply(self, task: Task) -> Task:
        """The task with one class a group, named by its members: 'A+B'."""
        _find_all(
            [member for group in self.groups for member in group], task, "groups="
        )  # none in two groups
        members = [
            sorted(find_class(member, task.classes, task.name) for member in group) for group in self.groups
        ]
        target = {old: new for new, group in enumerate(members) for old in group}
        classes = tuple("+".join(task.classes[old] for old in group) for group in members)
        text = "groups=" + "/".join(
            "+".join(class_in_name(old, task.classes) for old in group) for group in members
        )
        return _relabelled(task, target, classes, text)


@dataclass(frozen=True)
class Is(Labelling):
    """An indicator of section 4: label 1 for one class, 0 for the rest."""

    chosen: str
    """Name or number of the class."""

    def apply(self, task: Task) -> Task:
        """The task with two classes: the rest, and the chosen one."""
        one = find_class(self.chosen, task.classes, task.name)
        target = {old: int(old == one) for old in range(len(task.classes))}
        name = task.classes[one]
        return _relabelled(task, target, (f"not {name}", name), f"is={class_in_name(one, task.classes)}")


@dataclass(frozen=True)
class Take(Labelling):
    """Fewer training images, stratified; the validation split shrinks in proportion, the test split stays."""

    images: int
    """Number of training images, at least 1."""

    def apply(self, task: Task) -> Task:
        """The task with so many training images."""
        if self.images > len(task.train):
            raise TaskError(
                f"take={self.images} asks for more than the {len(task.train)} training images of {task.name}."
            )
        return replace(task.limited(self.images), name=f"{task.name}:take={self.images}")


def parse_labelling(segment: str) -> Labelling:
    """A labelling from its text, such as 'only=3,5'.

    Raises:
        UnknownNameError: its word is none of `FORMS`; the message lists the near ones.
        TaskError: what stands behind the word can't be read.
    """
    word, equals, value = segment.partition("=")
    word = word.strip().lower()
    forms = ", ".join(FORMS.values())
    if not equals or word not in FORMS:
        near = nearest_names(f"{word}=", [f"{known}=" for known in FORMS])
        suggestion = f" {near}" if near.startswith("Did you mean") else ""
        raise UnknownNameError(f"{segment!r} is no labelling.{suggestion} A labelling is one of {forms}.")
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


def parse_labellings(text: str) -> tuple[Labelling, ...]:
    """Chained labellings from their text, such as 'only=moon,apple:is=moon'; none from an empty one.

    Raises:
        TaskError: one can't be read.
        UnknownNameError: one is no labelling.
    """
    return (
        tuple(parse_labelling(segment) for segment in split_outside_quotes(text, ":")) if text.strip() else ()
    )


def labelled(task: Task, labellings: Sequence[Labelling]) -> Task:
    """A task under chained labellings, left to right.

    Raises:
        TaskError: a labelling does not fit, or what is left can't be learnt from (`check_learnable`).
    """
    for labelling in labellings:
        task = labelling.apply(task)
    check_learnable(task)
    return replace(task, notes=(*task.notes, *_unjudged(task)))


def check_learnable(task: Task) -> None:
    """Refuses a task with one class, a class without a training image, or a split without an image.

    Raises:
        TaskError: the message names the class and how many images it has.
    """
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
    for split, name in ((task.validation, "validation"), (task._test, "test")):
        if not len(split):
            raise TaskError(
                f"No image of {task.name} is left for its {name} split. A class needs at least three "
                "different images for one in each split."
            )


def _unjudged(task: Task) -> list[str]:
    """Notes on classes that a split says nothing about."""
    notes = []
    assert task._test is not None
    for split, name in ((task.validation, "validation"), (task._test, "test")):
        counts = torch.bincount(split.labels, minlength=len(task.classes))
        absent = [repr(task.classes[index]) for index in torch.nonzero(counts == 0).flatten().tolist()]
        if absent:
            notes.append(f"The {name} split has no image of {', '.join(absent)}.")
    return notes


def _names(parts: Sequence[str], segment: str) -> tuple[str, ...]:
    for part in parts:
        split_outside_quotes(part, ":")  # an open quote is refused before it is read
    names = tuple(unquote(part) for part in parts)
    if not all(names):
        raise TaskError(
            f"A class is missing in {segment!r}. A labelling is one of {', '.join(FORMS.values())}."
        )
    return names


def _find_all(names: Sequence[str], task: Task, word: str) -> list[int]:
    found = [find_class(name, task.classes, task.name) for name in names]
    for position, index in enumerate(found):
        if index in found[:position]:
            raise TaskError(f"{word} names the class {task.classes[index]!r} of {task.name} more than once.")
    return found


def _relabelled(task: Task, target: dict[int, int], classes: tuple[str, ...], text: str) -> Task:
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
