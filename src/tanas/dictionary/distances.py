"""Distances from the tasks of a dictionary to a task, measured once and stored."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import suppress

from tanas.dictionary.bench import (
    IN_FLIGHT,
    Bench,
    DistanceMeasured,
    Distances,
    Related,
    Source,
    measure_each,
    source_of,
)
from tanas.dictionary.task_record import Atom
from tanas.distances.base import Measurement
from tanas.distances.representative import UNTRAINED
from tanas.ground.errors import SettingError
from tanas.ground.events import StepAdvanced, StepFinished, StepStarted

FEW_IMAGES = 20
"""Least images of a class to measure on: with 20, its share of right answers has a standard error of up to 0.11."""


def measured(
    bench: Bench,
    atoms: Iterable[tuple[str, Atom]],
    *,
    most: int | None = None,
    within: float | None = None,
) -> Distances:
    """Measure d(atom -> task) for each atom, nearest first; stored measurements are read.

    If only the nearest are wanted, a method may stop once a pair is known to be farther; its measurement is then
    marked `at_least`. The nearest and their distances are the same as if all had been measured. The probe decides the
    order of measuring.

    Args:
        bench: where and how.
        atoms: (name, atom) of those to measure.
        most: only this many nearest are wanted.
        within: only those within this distance are wanted; `most` is then ignored.

    Source: Algorithm 1, the loop over b in B; section 3.1.
    """
    todo = list(atoms)
    by_networks = bench.distance.reads_networks  # then validation images are not used
    label, fewest, images = bench.rarest() if todo and not by_networks else ("", FEW_IMAGES, 0)
    few = fewest < FEW_IMAGES
    nulls = [source_of(bench, UNTRAINED, None, bench.distance)] if bench.null and todo else []
    step = f"distances to {bench.task.name}"
    sources = [source_of(bench, name, atom, bench.distance) for name, atom in todo]
    tell = bench.at.tell
    tell(StepStarted(step=step, total=len(sources) + len(nulls), unit="networks"))

    found: dict[str, Measurement] = {}

    def run(some: Sequence[Source], beyond: float | None) -> None:
        for source, measurement in measure_each(bench, some, bench.distance, beyond):
            if measurement is None:
                continue
            found[source.name] = measurement
            tell(DistanceMeasured(atom=source.name, task=bench.task.name, measurement=measurement))
            note = f"d({source.name}) {'>=' if measurement.at_least else '='} {measurement.value:.3g}"
            tell(StepAdvanced(step=step, done=len(found), note=note))

    if by_networks or (within is None and (most is None or most >= len(sources))):
        run([*sources, *nulls], None)
    elif within is not None:
        run(nulls, None)
        # an atom at d <= tau < 1 has no shortfall: its order is no more than tau
        run(sources, within if within < 1 else None)
    else:
        assert most is not None
        queue = _nearest_first(bench, sources)
        run([*queue[:most], *nulls], None)
        for at in range(most, len(queue), IN_FLIGHT):
            orders = sorted(found[source.name].order for source in queue[:at])
            run(queue[at : at + IN_FLIGHT], orders[most - 1])
    tell(StepFinished(step=step))

    related = [Related(name, atom, found[name]) for name, atom in todo]
    result = Distances(
        related=tuple(sorted(related, key=lambda r: (r.measurement.order, r.name))),
        untrained=found.get(UNTRAINED) if nulls else None,
    )
    _warn(bench, result, (label, fewest, images) if few else None)
    return result


def nearest(related: Sequence[Related], most: int, *, within: float | None = None) -> tuple[Related, ...]:
    """Return the nearest tasks.

    Args:
        related: nearest first.
        most: how many, if there is no threshold.
        within: tau; all tasks at most this far away are returned instead.
    """
    if within is not None:
        return tuple(r for r in related if r.measurement.value <= within and not r.measurement.at_least)
    return tuple(related[:most])


def _nearest_first(bench: Bench, sources: Sequence[Source]) -> list[Source]:
    """The sources in the order of the probe, then by name: the nearest are then known early."""
    probe = bench.probe
    orders: dict[str, float] = {}
    if probe is not None:
        atoms = [(source.name, source.atom) for source in sources]
        probed = [source_of(bench, name, atom, probe) for name, atom in atoms if atom is not None]
        # the probe may refuse a task that the method can measure
        with suppress(SettingError):
            found = measure_each(bench, probed, probe, None)
            orders = {source.name: m.order for source, m in found if m is not None}
    return sorted(sources, key=lambda source: (orders.get(source.name, 0.0), source.name))


def _warn(bench: Bench, distances: Distances, rarest: tuple[str, int, int] | None) -> None:
    """Warn about distances that are not reliable."""
    task, related, warn = bench.task.name, distances.related, bench.at.warn
    if any(r.measurement.gate is not None and r.measurement.gate <= 0 for r in related):
        warn(
            f"The distances to {task} mean nothing: its representative is better than a constant answer "
            "by at most epsilon. Give it more images or epochs."
        )
    if bench.distance.reads_networks and related and related[0].measurement.order >= 1:
        warn(
            f"No remembered network fits {task} better than a guess (the nearest task, {related[0].name}, has "
            f"{related[0].measurement.order:.2f}). Do not rely on the order of these distances, or give the task more "
            "images."
        )
    if rarest is not None:
        label, fewest, images = rarest
        warn(
            f"The distances to {task} rest on few images: {fewest} of '{label}' among the {images} validation images. "
            f"Give each class at least {FEW_IMAGES} validation images, about {5 * FEW_IMAGES} in all."
        )
    if distances.blind and distances.untrained is not None:
        best = related[0]
        warn(
            f"No remembered task is nearer to {task} than an untrained network (d = {distances.untrained.value:.4f}; "
            f"the nearest task, {best.name}, has {best.measurement.value:.4f}). Do not rely on the order of these "
            "distances, or give the task more images."
        )
