"""The first half of Algorithm 1: which remembered tasks are related to a new task.

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
    """The tasks that a dictionary remembers when a search begins."""

    others: tuple[tuple[str, Atom], ...]
    """(name, atom) of every task that can be related to the new one."""
    own: tuple[str, Atom] | None
    """(name, atom) of the new task itself if it is remembered; it does not count as a related task."""

    @property
    def every(self) -> tuple[tuple[str, Atom], ...]:
        """All remembered tasks; the new task itself, if remembered, comes last."""
        return (*self.others, *(() if self.own is None else (self.own,)))


@dataclass(frozen=True, eq=False, kw_only=True)
class RelatedTasks:
    """The remembered tasks, ordered by their distance to a new task."""

    known: KnownTasks
    representative: Representative | None
    """The representative of the new task; None: no distance was measured."""
    measured: tuple[Related, ...]
    """Nearest first. Tasks that are not among the nearest may have a lower bound instead of a distance."""
    order: tuple[Related, ...]
    """In the order in which tasks are reused: nearest first, unless a control asks for others."""
    neighbours: tuple[Related, ...]
    """The related tasks: the first of `order`."""
    reused_s: float = 0.0
    """Seconds of measuring that earlier runs spent."""
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
    """Return the remembered tasks that are related to a task.

    Args:
        dictionary: the memory.
        task: the new task, without its test split.
        config: the settings of the search.
        at: seed, device, workers, listener and checkpoint.
        known: the atoms to use, so that a resumed run does not see later ones; None: all.
        learns: whether to train a representative even if no distance has to be measured.
        reuse: whether the task's own architecture will be reused.

    Raises:
        SettingError: `config.neighbours` exceeds the number of other tasks, or there is nothing to reuse.
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
    doubts = [
        f"{end} Add validation images, or set a 'threshold' farther from this distance."
        for end in related.ends
        if not end.told_apart
    ]
    if related.edge is not None and not related.edge.told_apart:
        more = len(related.neighbours) + 1
        doubts.append(f"{related.edge} Add validation images, or set 'neighbours' to {more} to reuse both.")
    for doubt in doubts:
        at.tell(Warned(message=f"The choice of related tasks is uncertain. {doubt}"))
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
    """Return the tasks of a dictionary that can be related to a task, and the task itself if it is remembered.

    Args:
        dictionary: the memory.
        task: the new task.
        config: has the number of neighbours.
        known: the atoms to use; None: all.
        reuse: whether the task's own architecture will be reused.
        coming: how many atoms earlier tasks of the same command will add.

    Raises:
        SettingError: `config.neighbours` exceeds the number of other tasks, or there is nothing to reuse.
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
            most = f"{len(others)}, the number of other tasks in {folder}"
        else:
            most = f"{len(others) + coming} for {task.name}: the tasks in {folder} and the tasks before it"
        raise SettingError(
            f"The 'neighbours' of SearchConfig must be at most {most}. "
            f"Got {config.neighbours} instead. Lower it, or leave it out."
        )
    if reuse and not (own and own[0][1].best):
        raise SettingError(
            f"There is nothing to reuse: {folder} holds no scored architecture of {task.name}. "
            "Search without reuse first."
        )
    return KnownTasks(others=others, own=own[0] if own else None)


def greet(
    known: KnownTasks, dictionary: Dictionary, task: Task, config: SearchConfig, at: Context, *, reuse: bool
) -> None:
    """Tell, before any long work, whether the task itself and other tasks are remembered."""
    if known.own and not reuse:
        at.tell(
            Told(
                message=f"{task.name} is already remembered ({known.own[0]}). Its best architecture can be reused "
                "without a new search."
            )
        )
    if not known.others:
        at.tell(
            Told(
                message=f"{dictionary.folder} remembers no other task, so the whole space '{config.space}' is "
                f"searched. Make a first memory: tanas dictionary build {shlex.quote(str(dictionary.folder))}"
            )
        )


def introduce(task: Task, available: int, at: Context) -> None:
    """Tell what a user should know about a task's images, such as caps and classes without images.

    Args:
        task: the task, after the cap.
        available: its training images before the cap.
        at: has the listener.
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
    """Warn about classes without an image in a split: its figures say nothing about them."""
    present = set(split.labels.tolist())
    if missing := [repr(label) for place, label in enumerate(task.classes) if place not in present]:
        at.tell(
            Warned(
                message=f"{task.name} has no {name} image of {', '.join(missing)}: "
                f"{name} figures say nothing about that class. Give each class at least five images."
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
    """Return the related tasks: measures d(b -> t) for every remembered task b and takes the nearest.

    Nothing is measured where every task counts alike. The last of the nearest tasks and the next one have intervals,
    or the last within the threshold and the first beyond it.

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
                message=f"related = '{config.related}' takes the nearest {len(near)} of {len(measured)} remembered "
                "tasks, so it does not serve as a control. Lower 'neighbours', or add tasks to the memory."
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
    """The remembered tasks with their distances, before any is chosen."""
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
