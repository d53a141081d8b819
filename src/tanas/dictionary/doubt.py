"""Whether the images suffice to order two distances, or a distance and a threshold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tanas.dictionary.bench import Bench, Related, interval_text, measure_each, source_of
from tanas.dictionary.distances import nearest
from tanas.distances.base import Distance
from tanas.distances.intervals import nearer_share
from tanas.ground.events import StepFinished, StepStarted

DOUBT = 0.05
"""The order of two distances is certain if a smaller share of redraws reverses it."""


@dataclass(frozen=True, kw_only=True)
class Boundary:
    """The last of the nearest tasks and the next task; both with intervals."""

    last: Related
    next: Related
    nearer_share: float
    """Share of the redraws of images and maps in which the next task is nearer, in [0, 1]."""

    @property
    def told_apart(self) -> bool:
        """Whether the order is certain: the last task is nearer in nearly all redraws."""
        return self.nearer_share < DOUBT

    def __str__(self) -> str:
        last, following = (
            f"{task.name} (d = {task.measurement.value:.4f}{interval_text(task.measurement)})"
            for task in (self.last, self.next)
        )
        return f"The order of {last} and {following} is uncertain: " + (
            f"in {self.nearer_share:.0%} of {len(self.last.measurement.draws)} redraws of the images, the second "
            "is nearer."
            if self.last.measurement.order != self.next.measurement.order
            else "they are equally near."
        )


@dataclass(frozen=True, kw_only=True)
class AtThreshold:
    """The last task within a threshold, or the first task beyond it; with an interval."""

    threshold: float
    """tau, in [0, 1]."""
    atom: Related
    within: bool
    """d is at most tau."""
    other_share: float
    """Share of the redraws of images and maps in which d lies on the other side of tau, in [0, 1]."""

    @property
    def told_apart(self) -> bool:
        """Whether the side is certain: d stays on it in nearly all redraws."""
        return self.other_share < DOUBT

    def __str__(self) -> str:
        measurement = self.atom.measurement
        return (
            f"Whether {self.atom.name} (d = {measurement.value:.4f}{interval_text(measurement)}) is within the "
            f"threshold {self.threshold:g} is uncertain: in {self.other_share:.0%} of {len(measurement.draws)} redraws "
            f"of the images, it lies {'beyond' if self.within else 'within'}."
        )


def boundary(bench: Bench, related: Sequence[Related], most: int) -> Boundary | None:
    """Return the last of the nearest tasks and the next task, with the certainty of their order.

    Only these two get intervals: an interval costs several times as much as a distance.

    Args:
        bench: measures the intervals.
        related: nearest first; the first `most` + 1 have exact distances.
        most: how many nearest tasks are taken.

    Returns:
        None: there is no next task, or the method gives no draws to compare.
    """
    if bench.with_intervals is None or most < 1 or most >= len(related):
        return None
    pair = related[most - 1 : most + 1]
    if any(task.measurement.at_least for task in pair):
        return None
    last, following = _with_draws(bench, bench.with_intervals, pair)
    if not (last.measurement.draws and following.measurement.draws):
        return None
    share = nearer_share(last.measurement.draws, following.measurement.draws)
    return Boundary(last=last, next=following, nearer_share=share)


def at_threshold(bench: Bench, related: Sequence[Related], threshold: float) -> tuple[AtThreshold, ...]:
    """Return the last task within a threshold and the first task beyond it, with the certainty of their sides.

    Tasks beyond the threshold may have only lower bounds: some are measured exactly until the first one is known.

    Args:
        bench: measures the intervals.
        related: nearest first, as `measured` gives them for this threshold.
        threshold: tau.

    Returns:
        those of the two that exist; empty if the method gives no draws.
    """
    if bench.with_intervals is None:
        return ()
    inside = nearest(related, len(related), within=threshold)
    names = {task.name for task in inside}
    beyond = [task for task in related if task.name not in names]
    while beyond and beyond[0].measurement.at_least:  # only a lower bound is known: the next may be nearer
        source = source_of(bench, beyond[0].name, beyond[0].atom, bench.distance)
        ((_, whole),) = measure_each(bench, [source], bench.distance, None)
        assert whole is not None  # only an untrained network may be refused
        beyond[0] = replace(beyond[0], measurement=whole)
        beyond.sort(key=lambda task: (task.measurement.order, task.name))
    found = []
    for task in _with_draws(bench, bench.with_intervals, [*inside[-1:], *beyond[:1]]):
        if draws := task.measurement.draws:
            # draws are orders: the part above 1 or below 0 breaks ties and is no distance
            outside = sum(min(max(draw, 0.0), 1.0) > threshold for draw in draws) / len(draws)
            own = task.name in names
            share = outside if own else 1 - outside
            found.append(AtThreshold(threshold=threshold, atom=task, within=own, other_share=share))
    return tuple(found)


def _with_draws(bench: Bench, distance: Distance, some: Sequence[Related]) -> Sequence[Related]:
    """Tasks with intervals and draws from the method with intervals; their distances do not change."""
    if all(task.measurement.draws for task in some):
        return some
    step = f"intervals of the distances to {bench.task.name}"
    bench.at.tell(StepStarted(step=step, total=len(some), unit="networks"))
    sources = [source_of(bench, task.name, task.atom, distance) for task in some]
    sure = [measurement for _, measurement in measure_each(bench, sources, distance, None)]
    bench.at.tell(StepFinished(step=step))
    return [
        replace(task, measurement=replace(task.measurement, interval=found.interval, draws=found.draws))
        for task, found in zip(some, sure, strict=True)
        if found is not None
    ]
