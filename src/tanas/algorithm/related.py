"""The first half of Algorithm 1: which remembered tasks are related to a new task.

Source: section 3.1, and the loop over b in B of Algorithm 1.
"""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from tanas.algorithm.presets import CHOICES, DEFAULT_NEIGHBOURS, SearchConfig
from tanas.dictionary.bench import Bench, Loaded, Related, Reused
from tanas.dictionary.distances import measured as distances_of
from tanas.dictionary.distances import nearest
from tanas.dictionary.store import Dictionary
from tanas.dictionary.task_record import Atom
from tanas.distances.base import Measurement
from tanas.distances.methods import make_distance
from tanas.distances.representative import Representative, RepresentativeState, represent
from tanas.ground.context import Context
from tanas.ground.errors import SettingError, TaskError
from tanas.ground.events import Listener, Warned
from tanas.tasks.task import Task


@dataclass(frozen=True, eq=False, kw_only=True)
class KnownTasks:
    """The tasks that a dictionary remembers when a search begins."""

    others: tuple[tuple[str, Atom], ...] = ()
    """(name, atom) of every task that can be related to the new one."""
    own: tuple[str, Atom] | None = None
    """(name, atom) of the new task itself, if it is remembered; it is not a related task."""

    @property
    def every(self) -> tuple[tuple[str, Atom], ...]:
        """All remembered tasks; the new task itself comes last."""
        return self.others if self.own is None else (*self.others, self.own)


@dataclass(frozen=True, eq=False, kw_only=True)
class RelatedTasks:
    """The remembered tasks, ordered by their distance to a new task."""

    known: KnownTasks = KnownTasks()
    representative: Representative | None = None
    """The representative of the new task; None: nothing needed it."""
    measured: tuple[Related, ...] = ()
    """Nearest first. Tasks that are not among the nearest may have a lower bound instead of a distance."""
    order: tuple[Related, ...] = ()
    """In the order in which tasks are reused: nearest first, unless a control asks for others."""
    neighbours: tuple[Related, ...] = ()
    """The related tasks: the first of `order`."""
    reused_s: float = 0.0
    """Seconds of measuring that earlier runs spent."""
    untrained: Measurement | None = None
    """Distance of an untrained network; None: nothing was measured."""


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
    """Return the remembered tasks that are related to a new task, given without its test split.

    `known` and `learns` are those of `tanas.algorithm.search.search`. With `reuse`, the task's own architecture will be
    reused.

    Raises:
        SettingError: `config.neighbours` exceeds the number of other tasks, or there is nothing to reuse.
    """
    found = known_tasks(dictionary, task, config, known=known, reuse=reuse)
    if found.own and not reuse:
        at.say(
            f"{task.name} is already remembered ({found.own[0]}). Its best architecture can be reused without a new "
            "search."
        )
    if not found.others:
        at.say(
            f"{dictionary.folder} remembers no other task, so the whole space '{config.space}' is searched. "
            f"Make a first memory: tanas dictionary build {shlex.quote(str(dictionary.folder))}"
        )
    representative, compared = None, compares_representatives(config)
    if learns or (found.others and CHOICES[config.related].measures and compared):
        with at.phase("represent"):
            representative = represent(task, config.representative, at.child("represent"))
        if compared:
            warn_if_weak(representative, at.listener, strict=False)
    return related_tasks(found, dictionary, representative, task, config, at)


def compares_representatives(config: SearchConfig) -> bool:
    """Whether a distance compares representatives; else it reads the trained networks that a memory keeps."""
    return not make_distance(config.distance).reads_networks


def warn_if_weak(representative: RepresentativeState, listener: Listener, *, strict: bool) -> None:
    """Warn if a representative does not reach 1 - epsilon; with `strict`, raise a `TaskError`."""
    if not representative.weak:
        return
    message = (
        f"The representative of {representative.task} reaches l = {representative.performance:.3f}, "
        f"less than 1 - epsilon = {1 - representative.epsilon:.3f}"
    )
    if strict:
        raise TaskError(f"{message}. Raise epsilon, give it more epochs, or accept weak ones (strict).")
    advice = "Give it more images or epochs, or raise epsilon."
    listener(
        Warned(message=f"{message}. It is marked weak: distances to this task are less reliable. {advice}")
    )


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

    `known` are the atoms to use (None: all), `coming` the number of atoms that earlier tasks of the same command will
    add. With `reuse`, the task's own architecture will be reused.

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
    if config.neighbours is not None and config.neighbours > len(others) + coming:
        if not coming and (dictionary.base is None or dictionary.base.ships):
            most = f"{len(others)}, the number of other tasks in {dictionary.described}"
        else:
            where = f"the tasks in {dictionary.described} and the tasks before it"
            most = f"{len(others) + coming} for {task.name}: {where}"
        raise SettingError(
            f"The 'neighbours' of SearchConfig must be at most {most}. "
            f"Got {config.neighbours} instead. Lower it, or leave it out."
        )
    if reuse and not (own and own[0][1].best):
        raise SettingError(
            f"There is nothing to reuse: {dictionary.described} holds no scored architecture of {task.name}. "
            "Search without reuse first."
        )
    return KnownTasks(others=others, own=own[0] if own else None)


def related_tasks(
    known: KnownTasks,
    dictionary: Dictionary,
    representative: Representative | None,
    task: Task,
    config: SearchConfig,
    at: Context,
) -> RelatedTasks:
    """Measure d(b -> t) for every remembered task b, and return the nearest tasks.

    Nothing is measured where every task counts alike.

    Source: Algorithm 1, "for b in B: calculate the distance d(b, t) to find the related tasks".
    """
    choice, seed = CHOICES[config.related], at.seed.child("neighbours")
    blind = representative is None and compares_representatives(config)
    if not known.others or blind or not choice.measures:
        with at.phase("distance"):
            return RelatedTasks(known=known, representative=representative)
    reused = Reused(at.checkpoint.child("distances"))
    most = config.neighbours or DEFAULT_NEIGHBOURS
    with at.phase("distance"):
        bench = Bench.of(
            Loaded(dictionary),
            representative,
            task,
            config.distance,
            config.pair,
            at=at.drawing("distance"),
            reused=reused,
        )
        distances = distances_of(
            bench,
            known.others,
            most=len(known.others) if choice.stands_in else most,  # a control needs all distances
            within=None if choice.stands_in else config.threshold,
        )
    measured = distances.related
    near = nearest(measured, most, within=config.threshold)
    order = choice.order(measured, seed)
    neighbours = order[: len(near)]
    if choice.stands_in and near and {task.name for task in neighbours} == {task.name for task in near}:
        at.warn(
            f"related = '{config.related}' takes the nearest {len(near)} of {len(measured)} remembered tasks, so it "
            "does not serve as a control. Lower 'neighbours', or add tasks to the memory."
        )
    return RelatedTasks(
        known=known,
        representative=representative,
        measured=measured,
        order=order,
        neighbours=neighbours,
        reused_s=reused.seconds,
        untrained=distances.untrained,
    )
