"""Whether a distance can be told from the next one, or from a threshold, on the images that there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tanas.dictionary.bench import Bench, Related, interval_text, measure_each, source_of
from tanas.dictionary.distances import nearest
from tanas.distances.base import Distance
from tanas.distances.intervals import nearer_share
from tanas.ground.events import StepFinished, StepStarted

DOUBT = 0.05
"""Two distances can be told apart if the draws turn their order round less often than this."""


@dataclass(frozen=True, kw_only=True)
class Boundary:
    """The last of the nearest atoms and the next one, which just is not among them; both with intervals."""

    last: Related
    next: Related
    nearer_share: float
    """Share of the draws of images and maps in which the next one is nearer, in [0, 1]."""

    @property
    def told_apart(self) -> bool:
        """Whether the last is nearer in all but a few of the draws."""
        return self.nearer_share < DOUBT

    def __str__(self) -> str:
        last, following = (
            f"{one.name} (d = {one.measurement.value:.4f}{interval_text(one.measurement)})"
            for one in (self.last, self.next)
        )
        return f"{last} and {following} can't be told apart: " + (
            f"in {self.nearer_share:.0%} of {len(self.last.measurement.draws)} draws of the images the second "
            "is nearer."
            if self.last.measurement.order != self.next.measurement.order
            else "they are equally near."
        )


@dataclass(frozen=True, kw_only=True)
class AtThreshold:
    """The last atom within a threshold, or the first beyond it; with an interval."""

    threshold: float
    """tau, in [0, 1]."""
    atom: Related
    within: bool
    """d is at most tau."""
    other_share: float
    """Share of the draws of images and maps in which d lies on the other side of tau, in [0, 1]."""

    @property
    def told_apart(self) -> bool:
        """Whether d stays on its side in all but a few of the draws."""
        return self.other_share < DOUBT

    def __str__(self) -> str:
        measurement = self.atom.measurement
        return (
            f"{self.atom.name} (d = {measurement.value:.4f}{interval_text(measurement)}) can't be told from "
            f"tau = {self.threshold:g}: in {self.other_share:.0%} of {len(measurement.draws)} draws of the images it "
            f"lies {'beyond' if self.within else 'within'}."
        )


def boundary(bench: Bench, related: Sequence[Related], most: int) -> Boundary | None:
    """Whether the last of the nearest atoms can be told from the next one.

    Maps are fitted and images drawn anew for these two alone: an interval costs several times a distance.

    Args:
        bench: where and how.
        related: nearest first; the first `most` + 1 were measured to their end.
        most: how many nearest are taken.

    Returns:
        None: there is no next one, or the method gives no draws to compare.
    """
    if bench.surer is None or most < 1 or most >= len(related):
        return None
    pair = related[most - 1 : most + 1]
    if any(one.measurement.at_least for one in pair):
        return None
    pair = _with_draws(bench, bench.surer, pair)
    last, following = pair
    if not (last.measurement.draws and following.measurement.draws):
        return None
    share = nearer_share(last.measurement.draws, following.measurement.draws)
    return Boundary(last=last, next=following, nearer_share=share)


def at_threshold(bench: Bench, related: Sequence[Related], threshold: float) -> tuple[AtThreshold, ...]:
    """Whether the last atom within a threshold, and the first beyond it, can be told from the threshold.

    Of those beyond, as many are measured to their end as it takes to know the first of them: they were measured
    only until it was known that they are beyond. Maps are fitted and images drawn anew for the two alone.

    Args:
        bench: where and how.
        related: nearest first, as `measured` gives them for this threshold.
        threshold: tau.

    Returns:
        the last within, then the first beyond, as far as there are such; none, if the method gives no draws.
    """
    if bench.surer is None:
        return ()
    inside = nearest(related, len(related), within=threshold)
    names = {one.name for one in inside}
    beyond = [one for one in related if one.name not in names]
    while (
        beyond and beyond[0].measurement.at_least
    ):  # what is known of it is a lower end: the next may be nearer
        source = source_of(bench, beyond[0].name, beyond[0].atom, bench.distance)
        ((_, whole),) = measure_each(bench, [source], bench.distance, None)
        assert whole is not None  # only an untrained network may be refused
        beyond[0] = replace(beyond[0], measurement=whole)
        beyond.sort(key=lambda one: (one.measurement.order, one.name))
    found = []
    for one in _with_draws(bench, bench.surer, [*inside[-1:], *beyond[:1]]):
        if draws := one.measurement.draws:
            # draws are orders: what they have above 1 or below 0 breaks ties and is no distance
            outside = sum(min(max(draw, 0.0), 1.0) > threshold for draw in draws) / len(draws)
            own = one.name in names
            found.append(
                AtThreshold(
                    threshold=threshold,
                    atom=one,
                    within=own,
                    other_share=outside if own else 1 - outside,
                )
            )
    return tuple(found)


def _with_draws(bench: Bench, surer: Distance, some: Sequence[Related]) -> Sequence[Related]:
    """Atoms with intervals and draws, by the surer method; their distances stay as they are."""
    if all(one.measurement.draws for one in some):
        return some
    step = f"how sure the distances to {bench.task.name} are"
    bench.listener(StepStarted(step=step, total=len(some), unit="networks"))
    sources = [source_of(bench, one.name, one.atom, surer) for one in some]
    sure = [measurement for _, measurement in measure_each(bench, sources, surer, None)]
    bench.listener(StepFinished(step=step))
    return [
        replace(one, measurement=replace(one.measurement, interval=found.interval, draws=found.draws))
        for one, found in zip(some, sure, strict=True)
        if found is not None
    ]
