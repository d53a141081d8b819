"""The search space that the related tasks give. Source: section 3.2."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tanas.algorithm.neighbours import CHOICES
from tanas.algorithm.presets import AUTO, SearchConfig
from tanas.algorithm.related import RelatedTasks
from tanas.dictionary.advice import Advice, advise
from tanas.dictionary.learn import LearnConfig, space_of
from tanas.dictionary.task_record import Atom
from tanas.ground.checkpoints import NoCheckpoint
from tanas.ground.context import Context
from tanas.ground.events import Event, Told
from tanas.ground.seeds import Seed
from tanas.spaces.inherit import (
    DEFAULT_INHERIT,
    Inheritance,
    Inherited,
    can_be_taken,
    inherit,
)
from tanas.spaces.latency import Latency, MeasuredLatency
from tanas.spaces.space import SearchSpace
from tanas.tasks.task import Task

LIMIT_DRAWS = 200
"""Architectures that are drawn to estimate which share exceeds the limits: to a few hundredths, in a second."""


@dataclass(frozen=True, kw_only=True)
class SpaceDefined(Event):
    """The search space of a task is defined."""

    task: str
    note: str
    size: int


def base_space(task: Task, config: SearchConfig | LearnConfig, latency: Latency) -> SearchSpace:
    """Return the named space of a configuration, with its limits.

    Args:
        task: gives the shape.
        config: names the space and its limits.
        latency: measures how long an architecture takes; used only if there is a limit on it.
    """
    return space_of(
        config.space,
        task,
        max_parameters=config.max_parameters,
        max_macs=config.max_macs,
        max_latency_ms=config.max_latency_ms,
        latency=latency,
    )


def check_space(task: Task, config: SearchConfig | LearnConfig, *, device: str) -> None:
    """Raise an error if the base space is unknown, or its limits admit no architecture for a task.

    Args:
        task: gives the shape and the classes.
        config: names the space and its limits.
        device: where networks are timed, if there is a limit on latency.

    Raises:
        UnknownNameError: the space is unknown.
        SettingError: the limits admit no architecture.
    """
    latency = MeasuredLatency(device=device, checkpoint=NoCheckpoint())
    base_space(task, config, latency).check_limits(task.shape, len(task.classes))


def advice_for(
    related: RelatedTasks, base: SearchSpace, task: Task, config: SearchConfig, at: Context
) -> Advice | None:
    """Return the advice of past searches, to search or to reuse; None if there are no related tasks."""
    if not related.neighbours:
        return None
    advice = advise(
        [(one.name, one.atom) for one in related.neighbours],
        [atom for _, atom in related.known.others],
        warm=config.warm_weights,
        fits=lambda architecture: can_be_taken(architecture, base, task.shape, len(task.classes)),
    )
    at.tell(Told(message=str(advice)))
    return advice


def related_space(
    related: RelatedTasks,
    base: SearchSpace,
    task: Task,
    config: SearchConfig,
    advice: Advice | None = None,
) -> Inherited:
    """Return the search space that the related tasks shape, or the base space.

    With 'all', every remembered task shapes it; with a control, the tasks that the control takes.

    Source: Algorithm 1, "define search space by combining operations, cells and skeletons from related tasks".
    """
    mode = config.inherit
    if mode == AUTO:
        mode = "transfer" if advice is not None and advice.reuse else DEFAULT_INHERIT
    choice = CHOICES[config.related]
    gives = [
        _gives(
            one.name, one.atom, one.measurement.value, near.measurement.value if choice.stands_in else None
        )
        for one, near in zip(related.order, related.measured, strict=True)  # the first are the nearest
    ]
    giving, others = gives[: len(related.neighbours)], gives[len(related.neighbours) :]
    return inherit(
        giving if choice.measures else [_gives(name, atom) for name, atom in related.known.others],
        base,
        behind=others if config.threshold is None else (),
        mode=mode,
        per_atom=config.per_atom,
        shape=task.shape,
        classes=len(task.classes),
    )


def announced(inherited: Inherited, task: Task, at: Context) -> Inherited:
    """Return the space with the share that its limits exclude, and tell the listener about it."""
    inherited = _counted(inherited, task, at.seed.child("limits"))
    at.tell(SpaceDefined(task=task.name, note=inherited.note, size=inherited.space.size))
    at.tell(Told(message=inherited.note))
    return inherited


def timed(config: SearchConfig, latency: MeasuredLatency) -> str:
    """A sentence on how many architectures the latency limit has excluded; empty without a limit."""
    limit_ms = config.max_latency_ms
    if limit_ms is None:
        return ""
    taken = latency.measured
    slow = sum(ms > limit_ms for ms in taken)
    return (
        f"{len(taken)} architectures were timed; {slow} took "
        f"more than {limit_ms:g} ms per image on this machine and were left out."
    )


def _gives(
    name: str, atom: Atom, distance: float | None = None, counts_as: float | None = None
) -> Inheritance:
    """What can be reused from a remembered task; see `Inheritance`."""
    return Inheritance(
        name=name,
        distance=distance,
        architectures=atom.architectures,
        compared=atom.compared,
        counts_as=counts_as,
    )


def _counted(inherited: Inherited, task: Task, seed: Seed) -> Inherited:
    """The space with the share of architectures that exceed its limits, also in the note."""
    space = inherited.space
    if inherited.transferred is not None or (space.max_parameters is None and space.max_macs is None):
        return inherited
    over, drawn = space.over_limits(LIMIT_DRAWS, seed=seed, shape=task.shape, classes=len(task.classes))
    limits = [f"{space.max_parameters:,} parameters"] if space.max_parameters is not None else []
    limits += [f"{space.max_macs:,} multiply-adds"] if space.max_macs is not None else []
    note = (
        f"{inherited.note} {over} of {drawn} architectures drawn from the space exceed the limits of "
        f"{' and '.join(limits)}."
    )
    return replace(inherited, note=note, over_limits=(over, drawn))
