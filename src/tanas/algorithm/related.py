"""The first half of Algorithm 1: which known tasks are related to a new one.

Source: section 3.1, and the loop over b in B of Algorithm 1.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tanas.algorithm.neighbours import CHOICES
from tanas.algorithm.presets import DEFAULT_NEIGHBOURS, SearchConfig
from tanas.dictionary.bench import Bench, Loaded, Related, Reused
from tanas.dictionary.distances import measured, nearest
from tanas.dictionary.doubt import AtThreshold, Boundary, at_threshold, boundary
from tanas.dictionary.learn import warn_if_weak
from tanas.dictionary.store import Dictionary
from tanas.dictionary.task_record import Atom
from tanas.distances.base import Measurement
from tanas.distances.representative import Representative, represent
from tanas.ground.context import Context
from tanas.ground.errors import SettingError
from tanas.ground.events import Told, Warned
from tanas.tasks.task import Split, Task


@dataclass(frozen=True, eq=False, kw_only=True)
class KnownTasks:
    """What a dictionary knows when a search begins."""

    others: tuple[tuple[str, Atom], ...]
    """(name, atom) of every task that can be related to the new one."""
    own: tuple[str, Atom] | None
    """The new task's own, if the dictionary knows it: it is no neighbour of itself."""

    @property
    def every(self) -> tuple[tuple[str, Atom], ...]:
        """All of them, the own last."""
        return (*self.others, *(() if self.own is None else (self.own,)))


@dataclass(frozen=True, eq=False, kw_only=True)
class RelatedTasks:
    """The known tasks in the order of their distance to a new one."""

    known: KnownTasks
    representative: Representative | None
    """Of the new task; None: none was needed."""
    measured: tuple[Related, ...]
    """Nearest first; those behind the nearest may have been measured only until that was known."""
    order: tuple[Related, ...]
    """In the order in which they are inherited from: nearest first, but for a control."""
    neighbours: tuple[Related, ...]
    """The first of these, from which something is inherited."""
    reused_s: float = 0.0
    """Seconds of measuring that were spent before this run."""
    untrained: Measurement | None = None
    """Of an untrained network, beside the known tasks' own; None: nothing was measured."""
    edge: Boundary | None = None
    """The last of the neighbours and the next one; None: there is a threshold, or no next one."""
    ends: tuple[AtThreshold, ...] = ()
    """The last neighbour within the threshold and the first beyond it, if there is a threshold."""


def nothing_known(representative: Representative | None = None) -> RelatedTasks:
    """What an empty dictionary has to say of a task."""
    known = KnownTasks(others=(), own=None)
    return RelatedTasks(known=known, representative=representative, measured=(), order=(), neighbours=())


def relate(
    dictionary: Dictionary,
    task: Task,
    config: SearchConfig,
    at: Context,
    *,
    known: Sequence[Atom] | None = None,
    learns: bool = True,
    reuse: bool = False,
) -> RelatedTasks:
    """Finds the known tasks that are related to a task, and tells what is known of it.

    Args:
        dictionary: what is known.
        task: as it is worked on, without its test split.
        config: how.
        at: with what.
        known: the atoms to use, where a resumed run must not see later ones; None: all.
        learns: whether the task is represented even if no distance has to be measured.
        reuse: whether the task's own architecture is to be reused.

    Raises:
        SettingError: more neighbours are asked for than there are, or nothing is there to be reused.
    """
    found = known_tasks(dictionary, task, config, known=known, reuse=reuse)
    greet(found, dictionary, task, config, at, reuse=reuse)
    representative = None
    if learns or (
        found.others and CHOICES[config.related].measures
    ):  # where every task counts alike nothing is measured
        with at.phase("represent"):
            representative = represent(task, config.representative, at.child("represent"))
        warn_if_weak(representative, at.listener, strict=False)  # a weak one never stops a search
    related = related_tasks(found, dictionary, representative, task, config, at)
    for end in (*related.ends, *(() if related.edge is None else (related.edge,))):
        if not end.told_apart:
            at.tell(Warned(message=f"Which tasks are inherited from is not sure: {end}"))
    return related


def known_tasks(
    dictionary: Dictionary,
    task: Task,
    config: SearchConfig,
    *,
    known: Sequence[Atom] | None = None,
    reuse: bool = False,
    coming: int = 0,
) -> KnownTasks:
    """The tasks of a dictionary that can be related to a task, and the task's own.

    Args:
        dictionary: what is known.
        task: as it is worked on.
        config: says how many neighbours are wanted.
        known: the atoms to use; None: all.
        reuse: whether the own atom is to be reused.
        coming: how many more atoms there will be when it is the task's turn.

    Raises:
        SettingError: more neighbours are asked for than there are, or nothing is there to be reused.
    """
    keys = None if known is None else {atom.key for atom in known}
    named = [(name, atom) for name, atom in dictionary.names().items() if keys is None or atom.key in keys]
    others = tuple((name, atom) for name, atom in named if atom.task.fingerprint != task.fingerprint)
    own = sorted(
        ((name, atom) for name, atom in named if atom.task.fingerprint == task.fingerprint),
        key=lambda entry: entry[1].best is None,  # one with scores first, if several share its data
    )
    folder = (dictionary.base or dictionary).folder  # the one that a person named
    if config.neighbours is not None and config.neighbours > len(others) + coming:
        if dictionary.base is None and not coming:
            most = f"the {len(others)} atoms of {folder} that are not the task itself"
        else:
            most = f"{len(others) + coming} for {task.name}: the atoms of {folder}, and the tasks before it"
        raise SettingError(
            f"The 'neighbours' of SearchConfig must be at most {most}. "
            f"Got {config.neighbours} instead. Name fewer, or leave it out."
        )
    if reuse and not (own and own[0][1].best):
        raise SettingError(
            f"There is nothing to reuse: {folder} holds no scored architecture of {task.name}. "
            "Search for one."
        )
    return KnownTasks(others=others, own=own[0] if own else None)


def greet(
    known: KnownTasks, dictionary: Dictionary, task: Task, config: SearchConfig, at: Context, *, reuse: bool
) -> None:
    """Tells what a dictionary knows of a task before any long work."""
    if known.own and not reuse:
        at.tell(
            Told(
                message=f"{task.name} is known already ({known.own[0]}): it is no neighbour of itself. "
                "Its best architecture can be reused without a new search."
            )
        )
    if not known.others:
        at.tell(
            Told(
                message=f"The dictionary {dictionary.folder} knows no other task: the space '{config.space}' is "
                f"searched. A starter: tanas dictionary build {shlex.quote(str(dictionary.folder))}"
            )
        )


def introduce(task: Task, available: int, at: Context) -> None:
    """Tells what is to be known of a task's images.

    Args:
        task: as it is worked on.
        available: its training images before the cap.
        at: who is told.
    """
    for note in task.notes:
        at.tell(Told(message=note))
    warn_of_gaps(task, "validation", task.validation, at)
    if available > len(task.train):
        at.tell(
            Told(
                message=f"The search uses {len(task.train):,} of the {available:,} training images of {task.name} "
                "(the setting 'limit'); the final training uses them all."
            )
        )


def warn_of_gaps(task: Task, name: str, split: Split, at: Context) -> None:
    """Says which classes a split holds no image of: figures on it say nothing about them."""
    present = set(split.labels.tolist())
    if missing := [repr(label) for place, label in enumerate(task.classes) if place not in present]:
        at.tell(
            Warned(
                message=f"{task.name} has no {name} image of {', '.join(missing)}: "
                f"{name} figures say nothing about that. Give each class at least five images."
            )
        )


def related_tasks(
    known: KnownTasks,
    dictionary: Dictionary,
    representative: Representative | None,
    task: Task,
    config: SearchConfig,
    at: Context,
) -> RelatedTasks:
    """Measures d(b -> t) for every known task b, and takes the nearest; of none where every task counts alike.

    The last of the nearest and the next one have intervals, or the last within the threshold and the first beyond it.

    Source: Algorithm 1, "for b in B: calculate the distance d(b, t) to find the related tasks".
    """
    reused = Reused(at.checkpoint.child("distances"))
    with at.phase("distance"):
        found = _measured(known, dictionary, representative, task, config, at, reused)
    measured = found.measured
    near = nearest(measured, config.neighbours or DEFAULT_NEIGHBOURS, within=config.threshold)
    choice = CHOICES[config.related]
    order = choice.order(measured, at.seed.child("neighbours"))
    neighbours = order[: len(near)]
    if choice.stands_in and near and {one.name for one in neighbours} == {one.name for one in near}:
        at.tell(
            Warned(
                message=f"'{config.related}' takes the same {len(near)} of {len(measured)} known tasks as are the "
                "nearest: it is no control here. Ask for fewer neighbours, or teach the dictionary more tasks."
            )
        )
    return replace(
        found, representative=representative, order=order, neighbours=neighbours, reused_s=reused.seconds
    )


def _measured(
    known: KnownTasks,
    dictionary: Dictionary,
    representative: Representative | None,
    task: Task,
    config: SearchConfig,
    at: Context,
    reused: Reused,
) -> RelatedTasks:
    """The known tasks with their distances, before any is chosen."""
    others = known.others
    choice = CHOICES[config.related]
    if not others or representative is None or not choice.measures:
        return replace(nothing_known(), known=known)
    bench = Bench.of(
        Loaded(dictionary),
        representative,
        task,
        config.distance,
        config.pair,
        at=at.drawing("distance"),
        reused=reused,
    )
    most = config.neighbours or DEFAULT_NEIGHBOURS
    # one more than is reused, to hold the last of them against; who stands in shows only among all
    wanted = len(others) if choice.stands_in else most + 1
    within = None if choice.stands_in else config.threshold
    distances = measured(bench, others, most=wanted, within=within)
    edge: Boundary | None = None
    ends: tuple[AtThreshold, ...] = ()
    sure: dict[str, Related] = {}
    if config.threshold is not None:
        ends = at_threshold(bench, distances.related, config.threshold)
        sure = {end.atom.name: end.atom for end in ends}
    elif (edge := boundary(bench, distances.related, most)) is not None:
        sure = {edge.last.name: edge.last, edge.next.name: edge.next}
    return RelatedTasks(
        known=known,
        representative=None,
        measured=tuple(sure.get(one.name, one) for one in distances.related),
        order=(),
        neighbours=(),
        untrained=distances.untrained,
        edge=edge,
        ends=ends,
    )
