"""Distances from the atoms of a dictionary to a task, measured once and remembered."""

from __future__ import annotations

import math
import time
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

import torch

from tanas.dictionary.store import Dictionary
from tanas.dictionary.task_record import Atom
from tanas.distances.base import Distance, Measurement, Pair
from tanas.distances.features import FeatureCache
from tanas.distances.intervals import IntervalConfig, nearer_share
from tanas.distances.methods import DistanceConfig, make_distance
from tanas.distances.pairs import PairConfig, make_pair
from tanas.distances.probes import KnnDistance
from tanas.distances.representative import UNTRAINED, Representative, untrained
from tanas.distances.sampling import drawn
from tanas.ground.checkpoints import Checkpoint, NoCheckpoint
from tanas.ground.context import Context
from tanas.ground.errors import SettingError, TanasError
from tanas.ground.events import Event, Listener, StepAdvanced, StepFinished, StepStarted, Warned
from tanas.ground.executor import Executor
from tanas.ground.records import digest
from tanas.ground.seeds import Seed
from tanas.tasks.task import Task

IN_FLIGHT = 4
"""Pairs that are held in memory at a time: some 30 MB each at 3,500 images and 1,024 features. Where only the
nearest are wanted, as many are measured before the bound is drawn anew: a number that does not depend on the
workers, so that neither does what is measured to its end."""

FEW_IMAGES = 20
"""Of a class, to measure on. With 20 its share of right answers has a standard error of up to 0.11, more than
twice the usual epsilon."""

COSTLY = ("exact",)
"""Methods that take minutes to hours a pair: they are run where they are named, and their maps are not fitted
again unasked."""

DOUBT = 0.05
"""Two distances can be told apart if the draws turn their order round less often than this."""

TRIAL = 100
"""Rows of the smaller of two trials from which a pair's seconds are reckoned; at most a sixteenth of the pair's
own, so that trials cost three eighths of a pair."""


KEPT_WEIGHTS = 2**25
"""Weights of representatives that are kept in memory: 128 MB, twenty of the default network or one of the paper's.
Reading one from disk takes as long as a cheap distance."""


@dataclass(frozen=True, kw_only=True)
class DistanceMeasured(Event):
    """The distance from an atom to a task is known."""

    atom: str
    task: str
    measurement: Measurement

    def __str__(self) -> str:
        measurement = self.measurement
        return (
            f"d({self.atom} -> {self.task}) {'>=' if measurement.at_least else '='} {measurement.value:.4f}"
            + (f", short by {measurement.shortfall:.3f}" if measurement.shortfall else "")
            + interval_text(measurement)
        )


@dataclass(frozen=True)
class Related:
    """An atom and its distance to a task."""

    name: str
    """The name that stands for this atom alone."""
    atom: Atom
    measurement: Measurement


@dataclass(frozen=True, kw_only=True)
class Distances:
    """The distances of a dictionary to one task."""

    related: tuple[Related, ...]
    """Nearest first."""
    untrained: Measurement | None
    """Of a network like the target's representative whose weights are as they were drawn; None: nobody asked."""

    @property
    def blind(self) -> bool:
        """Not even the nearest atom is nearer than the untrained network: these distances see nothing."""
        return bool(
            self.untrained is not None
            and self.related
            and self.related[0].measurement.order >= self.untrained.order
        )


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


class Loaded:
    """Representatives of a dictionary's atoms, kept while memory lasts; those unused the longest go first."""

    def __init__(self, dictionary: Dictionary, most_weights: int = KEPT_WEIGHTS) -> None:
        self._dictionary = dictionary
        self._most_weights = most_weights
        self._kept: OrderedDict[str, Representative] = OrderedDict()

    def representative(self, atom: Atom) -> Representative:
        """The trained representative of an atom.

        Raises:
            StoreError: its weights are missing or damaged.
        """
        if atom.key not in self._kept:
            self._kept[atom.key] = self._dictionary.representative(atom)
        self._kept.move_to_end(atom.key)
        found = self._kept[atom.key]
        while sum(kept.parameters for kept in self._kept.values()) > self._most_weights:
            self._kept.popitem(last=False)
        return found


class Reused:
    """What measurements took that were made before a run: what it made itself before it was killed, it paid itself."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Begins, or goes on.

        Args:
            checkpoint: where the run keeps which measurements are its own.
        """
        self._checkpoint = checkpoint
        self._own: set[str] = set(checkpoint.load("own") or ())
        self._read: dict[str, float] = {}

    def made(self, keys: Iterable[str]) -> None:
        """A measurement of these keys is the run's own."""
        self._own.update(keys)
        self._checkpoint.save("own", sorted(self._own))

    def read(self, key: str, measurement: Measurement) -> None:
        """A measurement was found under a key."""
        if key not in self._own:
            self._read[key] = measurement.took_s

    @property
    def seconds(self) -> float:
        """That all took that were found and are not the run's own."""
        return sum(self._read.values())


@dataclass(frozen=True, eq=False, kw_only=True)
class Bench:
    """Where and how the distances to one task are measured."""

    dictionary: Dictionary
    """Remembers what is measured."""
    loaded: Loaded
    """The atoms' representatives, also from one target to the next."""
    target: Representative
    """The task's own."""
    task: Task
    """Without its test split."""
    distance: Distance
    """The method."""
    config: PairConfig
    """The images on which it is measured."""
    seed: Seed
    """Of the maps that are fitted; each pair has a child of it, so order and number do not matter."""
    executor: Executor
    """Runs the measurements."""
    listener: Listener
    """Is told of each."""
    surer: Distance | None = None
    """The same method with intervals: taken for a task with few images, and where two atoms are to be told
    apart. None: there is none."""
    probe: Distance | None = None
    """A cheap method by which atoms are put in order where only the nearest are wanted. None: by name."""
    null: bool = False
    """Whether an untrained network is measured beside the atoms."""
    cache: FeatureCache = field(default_factory=FeatureCache)
    """Keeps features, also from one target to the next."""
    workers: int = 1
    """How many pairs are measured side by side: for the estimate."""
    pace_s: float | None = None
    """Seconds of a pair as they are known from other targets: for the estimate."""
    reused: Reused = field(default_factory=lambda: Reused(NoCheckpoint()), compare=False)
    """What the measurements took that were read instead of made."""

    @classmethod
    def of(
        cls,
        dictionary: Dictionary,
        target: Representative,
        task: Task,
        distance: DistanceConfig,
        config: PairConfig,
        *,
        at: Context,
        null: bool = True,
        loaded: Loaded | None = None,
        cache: FeatureCache | None = None,
        pace_s: float | None = None,
        reused: Reused | None = None,
    ) -> Bench:
        """A bench for a configured method, which is also its own surer form.

        Args:
            dictionary: as in `Bench`, and so are those that follow.
            target: the task's own representative.
            task: without its test split.
            distance: the method and its settings.
            config: the images.
            at: its seed is that of the maps, its executor runs the measurements.
            null: whether an untrained network is measured too.
            loaded: representatives of the dictionary; None: none yet.
            cache: of features; None: a new one.
            pace_s: seconds of a pair, if known.
            reused: counts what was read; None: a new one.
        """
        sure = replace(distance, intervals=distance.intervals or IntervalConfig())
        return cls(
            dictionary=dictionary,
            target=target,
            task=task,
            distance=make_distance(distance),
            config=config,
            seed=at.seed,
            executor=at.executor,
            listener=at.listener,
            surer=None if distance.method in COSTLY else make_distance(sure),
            probe=KnnDistance(distance.knn, distance.gate),
            null=null,
            loaded=loaded or Loaded(dictionary),
            cache=FeatureCache() if cache is None else cache,
            workers=at.workers,
            pace_s=pace_s,
            reused=reused or Reused(NoCheckpoint()),
        )

    def rarest(self) -> tuple[str, int, int]:
        """The class with the fewest images among those that performance is measured on.

        Returns:
            its name, the number of its images, and that of all.
        """
        gate = drawn(
            self.task.validation, self.config.gate_images, Seed(self.task.split_seed).child("pair", "gate")
        )
        classes, counts = torch.unique(gate.labels, return_counts=True)
        rarest = int(counts.argmin())
        return self.task.classes[int(classes[rarest])], int(counts[rarest]), len(gate)


@dataclass(frozen=True)
class _Source:
    """A network from which a distance is measured."""

    name: str
    atom: Atom | None
    """None: the untrained network."""
    key: str
    """Under which its measurement is remembered."""


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
    nulls = [_null_source(bench, distance)] if bench.null and todo else []
    step = f"distances to {bench.task.name}"
    sources = [_source(bench, name, atom, distance) for name, atom in todo]
    listener, total = bench.listener, len(sources) + len(nulls)
    estimate = _estimate_s(bench, [*sources, *nulls], distance)
    listener(StepStarted(step=step, total=total, unit="networks", estimate_s=estimate))

    found: dict[str, Measurement] = {}

    def tell(source: _Source, measurement: Measurement) -> None:
        found[source.name] = measurement
        listener(DistanceMeasured(atom=source.name, task=bench.task.name, measurement=measurement))
        note = f"d({source.name}) {'>=' if measurement.at_least else '='} {measurement.value:.3g}"
        listener(StepAdvanced(step=step, done=len(found), note=note))

    def run(some: Sequence[_Source], beyond: float | None) -> None:
        for source, measurement in _run(bench, some, distance, beyond):
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
    """The nearest atoms.

    Args:
        related: nearest first, as `measured` gives them.
        most: how many, if there is no threshold.
        within: tau: instead, all that are at most so far away.
    """
    if within is not None:
        return tuple(r for r in related if r.measurement.value <= within and not r.measurement.at_least)
    return tuple(related[:most])


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
        source = _source(bench, beyond[0].name, beyond[0].atom, bench.distance)
        ((_, whole),) = _run(bench, [source], bench.distance, None)
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
    sources = [_source(bench, one.name, one.atom, surer) for one in some]
    sure = [measurement for _, measurement in _run(bench, sources, surer, None)]
    bench.listener(StepFinished(step=step))
    return [
        replace(one, measurement=replace(one.measurement, interval=found.interval, draws=found.draws))
        for one, found in zip(some, sure, strict=True)
        if found is not None
    ]


def interval_text(measurement: Measurement) -> str:
    """The interval of a distance as it stands behind it: ' [0.10, 0.15]', or nothing."""
    if measurement.interval is None:
        return ""
    low, high = measurement.interval
    return f" [{low:.3f}, {high:.3f}]"


def _source(bench: Bench, name: str, atom: Atom, distance: Distance) -> _Source:
    return _Source(name, atom, _key(bench, bench.loaded.representative(atom), distance))


def _null_source(bench: Bench, distance: Distance) -> _Source:
    return _Source(UNTRAINED, None, _key(bench, _untrained(bench), distance))


def _untrained(bench: Bench) -> Representative:
    return untrained(bench.target, bench.seed.child("untrained"))


def _key(bench: Bench, source: Representative, distance: Distance) -> str:
    target = bench.target.key
    return digest(
        source.key, target, bench.task.fingerprint, distance.name, distance, bench.config, bench.seed
    )


def _pair(bench: Bench, source: _Source, distance: Distance) -> tuple[Pair, Seed]:
    """What a distance is measured on, and its seed."""
    network = _untrained(bench) if source.atom is None else bench.loaded.representative(source.atom)
    pair = make_pair(network, bench.target, bench.task, bench.config, bench.cache, needs=distance.needs)
    return pair, bench.seed.child(network.fingerprint, bench.target.fingerprint)


def _run(
    bench: Bench, sources: Sequence[_Source], distance: Distance, beyond: float | None
) -> Iterator[tuple[_Source, Measurement | None]]:
    """Measures, or reads what was measured before under the same bound, in the order of the sources.

    A measurement that a bound did not end is the same as one without; one that it ended depends on where the
    bound lay and is remembered only together with it.

    Yields:
        each source and its measurement; None for an untrained network, if the method refuses that.
    """
    dictionary = bench.dictionary
    running: list[tuple[_Source, str, Measurement | Future[Measurement]]] = []

    def started(source: _Source, key: str) -> Measurement | Future[Measurement]:
        known = dictionary.measured(key)
        if known is None and beyond is not None:
            whole = dictionary.measured(source.key)
            # one that lies behind is measured again: its bound must not depend on what else was asked before
            known = whole if whole is not None and whole.order <= beyond else None
            key = source.key
        if known is not None:
            bench.reused.read(key, known)
            return known
        try:
            pair, seed = _pair(bench, source, distance)
        except SettingError as error:
            failed: Future[Measurement] = Future()
            failed.set_exception(error)
            return failed
        if beyond is None:
            return bench.executor.submit(distance, pair, seed)
        return bench.executor.submit(distance, pair, seed, beyond=beyond)

    def collected() -> tuple[_Source, Measurement | None]:
        source, key, answer = running.pop(0)
        if isinstance(answer, Measurement):
            return source, answer
        try:
            measurement = answer.result()
        except SettingError:
            if source.atom is None:  # a method may need what only a task has
                return source, None
            raise
        keys = (key,) if measurement.at_least else dict.fromkeys((key, source.key))
        bench.reused.made(keys)  # before it is remembered: who is killed between the two measures again
        for one in keys:
            dictionary.remember_distance(one, measurement)
        return source, measurement

    for source in sources:
        key = source.key if beyond is None else digest(source.key, "beyond", beyond)
        running.append((source, key, started(source, key)))
        if len(running) >= IN_FLIGHT:
            yield collected()
    while running:
        yield collected()


def _nearest_first(bench: Bench, sources: Sequence[_Source]) -> list[_Source]:
    """The sources in the order of the probe, then by name: the sooner the nearest are known, the less is left."""
    if bench.probe is None:
        return sorted(sources, key=lambda source: source.name)
    probed = [
        _source(bench, source.name, source.atom, bench.probe) for source in sources if source.atom is not None
    ]
    try:
        orders = {
            source.name: one.order
            for source, one in _run(bench, probed, bench.probe, None)
            if one is not None
        }
    except SettingError:  # the probe can't judge such a task, the method may
        return sorted(sources, key=lambda source: source.name)
    return sorted(sources, key=lambda source: (orders[source.name], source.name))


def _estimate_s(bench: Bench, sources: Sequence[_Source], distance: Distance) -> float | None:
    """Seconds that the measurements will take; None where next to nothing is left or nothing can be said."""
    remembered = [bench.dictionary.measured(source.key) for source in sources]
    left = [source for source, known in zip(sources, remembered, strict=True) if known is None]
    if len(left) < 3:  # a trial would take as long as what it saves from waiting blindly
        return None
    seconds = [known.took_s for known in remembered if known is not None and known.took_s > 0]
    pace = sum(seconds) / len(seconds) if seconds else bench.pace_s
    if pace is None:
        pair, seed = _pair(bench, left[0], distance)
        pace = seconds_of(distance, pair, seed)
    return None if pace is None else pace * math.ceil(len(left) / bench.workers)


def seconds_of(distance: Distance, pair: Pair, seed: Seed) -> float | None:
    """Seconds that a pair will take, from two trials on few of its rows and a straight line through them.

    Each trial is run twice and the first of the two not counted: what is done for the first time takes longer,
    and what the sources of a target have in common a method may remember.

    What a method does once a pair, whatever the number of rows, is in both trials and cancels out of the
    slope; the line is only as good as the method's cost is proportional to the rest.

    Returns:
        None: the method does not work on so few rows.
    """
    rows = max(min(len(pair.labels_fit) // 16, TRIAL), 2)
    times = []
    for count in (rows, rows, 2 * rows, 2 * rows):
        small = _thinned(pair, count / len(pair.labels_fit))
        began = time.monotonic()
        try:
            distance(small, seed)
        except (TanasError, RuntimeError):  # what it refuses or can't solve on few rows it may do on many
            return None
        times.append(time.monotonic() - began)
    slope = max(times[3] - times[1], 0.0) / rows
    return times[3] + slope * (len(pair.labels_fit) - 2 * rows)


def _thinned(pair: Pair, share: float) -> Pair:
    """A pair with a share of its rows, spread over the classes."""

    def some(labels: torch.Tensor) -> torch.Tensor:
        by_class = torch.argsort(labels, stable=True)
        count = min(max(round(share * len(labels)), 2), len(labels))
        return by_class[torch.linspace(0, len(labels) - 1, count).long()].sort().values  # (count,)

    fit, gate = some(pair.labels_fit), some(pair.labels_gate)
    return replace(
        pair,
        same=False,
        source_fit=pair.source_fit[fit],
        target_fit=pair.target_fit[fit],
        labels_fit=pair.labels_fit[fit],
        source_gate=pair.source_gate[gate],
        target_gate=pair.target_gate[gate],
        labels_gate=pair.labels_gate[gate],
    )


def _warn(bench: Bench, distances: Distances, rarest: tuple[str, int, int] | None) -> None:
    """Says what speaks against distances."""
    task, related = bench.task.name, distances.related
    if any(r.measurement.gate is not None and r.measurement.gate <= 0 for r in related):
        bench.listener(
            Warned(
                message=f"The distances to {task} tell nothing: its representative is no more than epsilon "
                "above a constant answer, so any map keeps what it reaches. Give it more images or epochs."
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
                "validation images on which they are measured"
                + (f". How far off they may be, for the nearest: {shown}" if shown else "")
                + f". Give each class at least {FEW_IMAGES} validation images, about {5 * FEW_IMAGES} in all."
            )
        )
    if distances.blind and distances.untrained is not None:
        best = related[0]
        bench.listener(
            Warned(
                message=f"No atom is nearer to {task} than an untrained network "
                f"(d = {distances.untrained.value:.4f}; the nearest, {best.name}, has {best.measurement.value:.4f}): "
                "these distances do not tell what a task has learnt. Do not rely on their order."
            )
        )
