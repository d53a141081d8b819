"""Distances from the tasks of a dictionary to a task, measured once and stored."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from tanas.dictionary.bench import (
    IN_FLIGHT,
    Bench,
    DistanceMeasured,
    Distances,
    Related,
    Source,
    interval_text,
    measure_each,
    pair_of,
    seconds_of,
    source_of,
    untrained_source,
)
from tanas.dictionary.task_record import Atom
from tanas.distances.base import Distance, Measurement
from tanas.distances.representative import UNTRAINED
from tanas.ground.errors import SettingError
from tanas.ground.events import StepAdvanced, StepFinished, StepStarted, Warned

FEW_IMAGES = 20
"""Of a class, to measure on. With 20 its share of right answers has a standard error of up to 0.11, more than
twice the usual epsilon."""


def measured(
    bench: Bench,
    atoms: Iterable[tuple[str, Atom]],
    *,
    most: int | None = None,
    within: float | None = None,
) -> Distances:
    """Measures d(atom -> task) for each atom; what was measured before is read, not measured again.

    Where only the nearest are wanted, those that lie behind them need not be measured to their end: a method
    may stop as soon as a pair is known to be farther, and its measurement is then marked `at_least`. The
    nearest and their distances are the same as if all had been measured. The order in which atoms are
    measured comes from the probe, and the bound is drawn anew after each few, so that what is measured to its
    end does not depend on the workers, nor on what was measured before.

    Args:
        bench: where and how.
        atoms: (name, atom) of those to measure.
        most: only the so many nearest are wanted.
        within: only those at most so far away are wanted; then `most` is of no account.

    Returns:
        nearest first.

    Source: Algorithm 1, the loop over b in B; section 3.1.
    """
    todo = list(atoms)
    label, fewest, images = bench.rarest() if todo else ("", FEW_IMAGES, 0)
    few = fewest < FEW_IMAGES
    distance = bench.surer if few and bench.surer is not None else bench.distance
    nulls = [untrained_source(bench, distance)] if bench.null and todo else []
    step = f"distances to {bench.task.name}"
    sources = [source_of(bench, name, atom, distance) for name, atom in todo]
    listener, total = bench.listener, len(sources) + len(nulls)
    estimate = _estimate_s(bench, [*sources, *nulls], distance)
    listener(StepStarted(step=step, total=total, unit="networks", estimate_s=estimate))

    found: dict[str, Measurement] = {}

    def tell(source: Source, measurement: Measurement) -> None:
        found[source.name] = measurement
        listener(DistanceMeasured(atom=source.name, task=bench.task.name, measurement=measurement))
        note = f"d({source.name}) {'>=' if measurement.at_least else '='} {measurement.value:.3g}"
        listener(StepAdvanced(step=step, done=len(found), note=note))

    def run(some: Sequence[Source], beyond: float | None) -> None:
        for source, measurement in measure_each(bench, some, distance, beyond):
            if measurement is not None:
                tell(source, measurement)

    if within is None and (most is None or most >= len(sources)):
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
    listener(StepFinished(step=step))

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
        related: nearest first, as `measured` gives them.
        most: how many, if there is no threshold.
        within: tau; if given, all tasks at most this far away are returned instead.
    """
    if within is not None:
        return tuple(r for r in related if r.measurement.value <= within and not r.measurement.at_least)
    return tuple(related[:most])


def _nearest_first(bench: Bench, sources: Sequence[Source]) -> list[Source]:
    """The sources in the order of the probe, then by name: the sooner the nearest are known, the less is left."""
    if bench.probe is None:
        return sorted(sources, key=lambda source: source.name)
    probed = [
        source_of(bench, source.name, source.atom, bench.probe)
        for source in sources
        if source.atom is not None
    ]
    try:
        orders = {
            source.name: one.order
            for source, one in measure_each(bench, probed, bench.probe, None)
            if one is not None
        }
    except SettingError:  # the probe can't judge such a task, the method may
        return sorted(sources, key=lambda source: source.name)
    return sorted(sources, key=lambda source: (orders[source.name], source.name))


def _estimate_s(bench: Bench, sources: Sequence[Source], distance: Distance) -> float | None:
    """Seconds that the measurements will take; None where next to nothing is left or nothing can be said."""
    remembered = [bench.dictionary.measured(source.key) for source in sources]
    left = [source for source, known in zip(sources, remembered, strict=True) if known is None]
    if len(left) < 3:  # a trial would take as long as what it saves from waiting blindly
        return None
    seconds = [known.took_s for known in remembered if known is not None and known.took_s > 0]
    pace = sum(seconds) / len(seconds) if seconds else bench.pace_s
    if pace is None:
        pair, seed = pair_of(bench, left[0], distance)
        pace = seconds_of(distance, pair, seed)
    return None if pace is None else pace * math.ceil(len(left) / bench.workers)


def _warn(bench: Bench, distances: Distances, rarest: tuple[str, int, int] | None) -> None:
    """Warn about distances that are not reliable."""
    task, related = bench.task.name, distances.related
    if any(r.measurement.gate is not None and r.measurement.gate <= 0 for r in related):
        bench.listener(
            Warned(
                message=f"The distances to {task} mean nothing: its representative is better than a constant answer "
                "by at most epsilon. Give it more images or epochs."
            )
        )
    if rarest is not None:
        label, fewest, images = rarest
        shown = "; ".join(
            f"d({r.name}) = {r.measurement.value:.4f}{interval_text(r.measurement)}"
            for r in related[:3]
            if r.measurement.interval is not None
        )
        bench.listener(
            Warned(
                message=f"The distances to {task} rest on few images: {fewest} of '{label}' among the {images} "
                "validation images"
                + (f". Intervals of the nearest: {shown}" if shown else "")
                + f". Give each class at least {FEW_IMAGES} validation images, about {5 * FEW_IMAGES} in all."
            )
        )
    if distances.blind and distances.untrained is not None:
        best = related[0]
        bench.listener(
            Warned(
                message=f"No remembered task is nearer to {task} than an untrained network "
                f"(d = {distances.untrained.value:.4f}; the nearest task, {best.name}, has "
                f"{best.measurement.value:.4f}). Do not rely on the order of these distances, or give the task more "
                "images."
            )
        )
