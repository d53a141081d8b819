"""Distances from the atoms of a dictionary to a task, measured once and remembered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from tanas.dictionary.atom import Atom
from tanas.dictionary.store import Dictionary
from tanas.distances.base import Distance, Measurement
from tanas.distances.features import FeatureCache
from tanas.distances.pairs import PairConfig, make_pair
from tanas.distances.representative import Representative
from tanas.events import Event, Listener, StepAdvanced, StepFinished, StepStarted, Warned
from tanas.executors import Executor
from tanas.records import digest
from tanas.seeds import Seed
from tanas.tasks.task import Task

IN_FLIGHT = 4
"""Pairs that are held in memory at a time: some 30 MB each at 3,500 images and 1,024 features."""


@dataclass(frozen=True, kw_only=True)
class DistanceMeasured(Event):
    """The distance from an atom to a task is known."""

    atom: str
    task: str
    measurement: Measurement

    def __str__(self) -> str:
        short = self.measurement.shortfall
        return f"d({self.atom} -> {self.task}) = {self.measurement.value:.4f}" + (
            f", short by {short:.3f}" if short else ""
        )


@dataclass(frozen=True)
class Related:
    """An atom and its distance to a task."""

    name: str
    """The name that stands for this atom alone."""
    atom: Atom
    measurement: Measurement


def distances_to(
    dictionary: Dictionary,
    atoms: Iterable[tuple[str, Atom]],
    target: Representative,
    task: Task,
    distance: Distance,
    config: PairConfig,
    *,
    seed: Seed,
    executor: Executor,
    listener: Listener,
) -> tuple[Related, ...]:
    """Measures d(atom -> task) for each atom; what was measured before is read, not measured again.

    Args:
        dictionary: holds the atoms' representatives, and remembers what is measured.
        atoms: (name, atom) of those to measure.
        target: the task's own representative.
        task: without its test split.
        distance: the method.
        config: the images on which it is measured.
        seed: of the maps that are fitted; each pair has a child of it, so order and number do not matter.
        executor: runs the measurements.
        listener: is told of each.

    Returns:
        nearest first.

    Source: Algorithm 1, the loop over b in B; section 3.1.
    """
    todo = list(atoms)
    step = f"distances to {task.name}"
    listener(StepStarted(step=step, total=len(todo), unit="atoms"))
    cache, done = FeatureCache(), 0
    related: list[Related] = []
    running: list[tuple[str, Atom, str, Future[Measurement]]] = []

    def collect(most: int) -> None:
        nonlocal done
        while len(running) > most:
            name, atom, key, future = running.pop(0)
            measurement = future.result()
            dictionary.remember_distance(key, measurement)
            tell(name, atom, measurement)

    def tell(name: str, atom: Atom, measurement: Measurement) -> None:
        nonlocal done
        related.append(Related(name, atom, measurement))
        done += 1
        listener(DistanceMeasured(atom=name, task=task.name, measurement=measurement))
        listener(StepAdvanced(step=step, done=done, note=f"d({name}) = {measurement.value:.3g}"))

    for name, atom in todo:
        source = dictionary.representative(atom)
        key = digest(source.key, target.key, task.fingerprint, distance.name, distance, config, seed)
        if (measured := dictionary.measured(key)) is not None:
            tell(name, atom, measured)
            continue
        pair = make_pair(source, target, task, config, cache)
        pair_seed = seed.child(source.fingerprint, target.fingerprint)
        running.append((name, atom, key, executor.submit(distance, pair, pair_seed)))
        collect(IN_FLIGHT - 1)
    collect(0)
    listener(StepFinished(step=step))
    if any(r.measurement.gate is not None and r.measurement.gate <= 0 for r in related):
        listener(
            Warned(
                message=f"The distances to {task.name} tell nothing: its representative is no more than epsilon "
                "above a constant answer, so any map keeps what it reaches. Give it more images or epochs."
            )
        )
    return tuple(sorted(related, key=lambda r: (r.measurement.order_key, r.name)))


def nearest(related: Sequence[Related], most: int, *, within: float | None = None) -> tuple[Related, ...]:
    """The nearest atoms.

    Args:
        related: nearest first, as `distances_to` gives them.
        most: how many, if there is no threshold.
        within: tau: instead, all that are at most so far away.
    """
    if within is not None:
        return tuple(r for r in related if r.measurement.value <= within)
    return tuple(related[:most])
