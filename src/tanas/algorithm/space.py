"""The search space that the related tasks give. Source: section 3.2."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tanas.algorithm.presets import AUTO, CHOICES, LearnConfig, SearchConfig
from tanas.algorithm.related import RelatedTasks
from tanas.dictionary.advice import Advice, advise
from tanas.dictionary.starter import starter_experience
from tanas.dictionary.store import Dictionary
from tanas.dictionary.task_record import Atom
from tanas.ground.checkpoints import NoCheckpoint
from tanas.ground.context import Context
from tanas.ground.events import Event
from tanas.ground.seeds import Seed
from tanas.spaces.inherit import DEFAULT_INHERIT, Inheritance, Inherited, can_be_taken, inherit
from tanas.spaces.latency import Latency, MeasuredLatency
from tanas.spaces.named import named_space
from tanas.spaces.space import SearchSpace
from tanas.tasks.task import Task

LIMIT_DRAWS = 200
"""Architectures that are drawn to estimate the share beyond the limits: to a few hundredths, in a second."""


@dataclass(frozen=True, kw_only=True)
class SpaceDefined(Event):
    """The search space of a task is defined."""

    task: str
    note: str
    size: int


def base_space(task: Task, config: SearchConfig | LearnConfig, latency: Latency | None = None) -> SearchSpace:
    """Return the named space of a configuration for images of the task's size, with the limits of the configuration.

    Without `latency`, its limit on milliseconds is ignored.
    """
    return named_space(config.space, shape=task.shape, classes=len(task.classes)).limited(
        max_parameters=config.max_parameters,
        max_macs=config.max_macs,
        max_latency_ms=None if latency is None else config.max_latency_ms,
        latency=latency,
    )


def check_space(task: Task, config: SearchConfig | LearnConfig, *, device: str) -> None:
    """Check that a configuration admits an architecture for a task, timed on a device if latency is limited.

    Raises an `UnknownNameError` if the space is unknown, a `SettingError` if the limits admit no architecture.
    """
    latency = MeasuredLatency(device=device, checkpoint=NoCheckpoint())
    base_space(task, config, latency).check_limits(task.shape, len(task.classes))


def advice_for(
    related: RelatedTasks, dictionary: Dictionary, base: SearchSpace, task: Task, at: Context
) -> Advice | None:
    """Return the advice of past searches, to search or to reuse; None if there are no related tasks."""
    if not related.neighbours:
        return None
    advice = advise(
        [(near.name, near.atom) for near in related.neighbours],
        [atom for _, atom in related.known.others],
        fits=lambda architecture: can_be_taken(architecture, base, task.shape, len(task.classes)),
        experience=starter_experience(dictionary),
    )
    at.say(str(advice))
    return advice


def related_space(
    related: RelatedTasks, base: SearchSpace, task: Task, config: SearchConfig, advice: Advice | None = None
) -> Inherited:
    """Return the search space that the related tasks shape, or the base space.

    Source: Algorithm 1, "define search space by combining operations, cells and skeletons from related tasks".
    """
    mode = config.inherit
    if mode == AUTO:
        mode = "transfer" if advice is not None and advice.reuse else DEFAULT_INHERIT
    choice = CHOICES[config.related]
    others: list[Inheritance] = []
    if choice.measures:
        sources = [
            _source(
                known.name,
                known.atom,
                known.measurement.value,
                near.measurement.value if choice.stands_in else None,
            )
            for known, near in zip(related.order, related.measured, strict=True)  # the first are the nearest
        ]
        sources, others = sources[: len(related.neighbours)], sources[len(related.neighbours) :]
    else:
        sources = [_source(name, atom) for name, atom in related.known.others]
    return inherit(
        sources,
        base,
        behind=others if config.threshold is None else (),
        mode=mode,
        per_atom=config.per_atom,
        shape=task.shape,
        classes=len(task.classes),
    )


def announced(inherited: Inherited, task: Task, at: Context) -> Inherited:
    """Tell the listener about the space, and return it with the share that its limits exclude."""
    inherited = _counted(inherited, task, at.seed.child("limits"))
    at.tell(SpaceDefined(task=task.name, note=inherited.note, size=inherited.space.size))
    at.say(inherited.note)
    return inherited


def timed(config: SearchConfig, latency: MeasuredLatency) -> str:
    """A sentence on how many architectures the latency limit has excluded; empty without a limit."""
    if (limit_ms := config.max_latency_ms) is None:
        return ""
    slow = sum(ms > limit_ms for ms in latency.measured)
    return (
        f"{len(latency.measured)} architectures were timed; {slow} took more than {limit_ms:g} ms per image on this "
        "machine and were left out."
    )


def _source(
    name: str, atom: Atom, distance: float | None = None, counts_as: float | None = None
) -> Inheritance:
    """What can be reused from a remembered task."""
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
