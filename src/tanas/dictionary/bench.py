"""The setting in which distances to a task are measured and stored."""

from __future__ import annotations

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
from tanas.distances.intervals import IntervalConfig
from tanas.distances.methods import DistanceConfig, make_distance
from tanas.distances.pairs import PairConfig, make_pair
from tanas.distances.probes import KnnDistance
from tanas.distances.representative import UNTRAINED, Representative, untrained
from tanas.distances.sampling import drawn
from tanas.ground.checkpoints import Checkpoint, NoCheckpoint
from tanas.ground.context import Context
from tanas.ground.errors import SettingError, TanasError
from tanas.ground.events import Event, Listener
from tanas.ground.executor import Executor
from tanas.ground.records import digest
from tanas.ground.seeds import Seed
from tanas.tasks.task import Task

IN_FLIGHT = 4
"""Pairs that are held in memory at a time: some 30 MB each at 3,500 images and 1,024 features. Where only the
nearest are wanted, as many are measured before the bound is drawn anew: a number that does not depend on the
workers, so that neither does what is measured to its end."""

COSTLY = ("exact",)
"""Methods that take minutes to hours a pair: they are run where they are named, and their maps are not fitted
again unasked."""

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
    """A remembered task and its distance to a task."""

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
    """Distance of an untrained network like the target's representative; None: not measured."""

    @property
    def blind(self) -> bool:
        """Whether no task is nearer than the untrained network: then the distances mean nothing."""
        return bool(
            self.untrained is not None
            and self.related
            and self.related[0].measurement.order >= self.untrained.order
        )


class Loaded:
    """Representatives of a dictionary's atoms, and features, while memory lasts; the longest unused go first."""

    def __init__(self, dictionary: Dictionary, most_weights: int = KEPT_WEIGHTS) -> None:
        self.dictionary = dictionary
        self.features = FeatureCache()
        """What the networks answered last."""
        self._most_weights = most_weights
        self._kept: OrderedDict[str, Representative] = OrderedDict()

    def representative(self, atom: Atom) -> Representative:
        """The trained representative of an atom.

        Raises:
            StoreError: its weights are missing or damaged.
        """
        if atom.key not in self._kept:
            self._kept[atom.key] = self.dictionary.representative(atom)
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
    """Receives every event."""
    surer: Distance | None = None
    """The method with intervals, for tasks with few images and for close distances. None: there is none."""
    probe: Distance | None = None
    """A cheap method that decides which tasks are measured first if only the nearest are wanted. None: by name."""
    null: bool = False
    """Whether the distance of an untrained network is measured too."""
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
        loaded: Loaded,
        target: Representative,
        task: Task,
        distance: DistanceConfig,
        config: PairConfig,
        *,
        at: Context,
        pace_s: float | None = None,
        reused: Reused | None = None,
    ) -> Bench:
        """A bench for a configured method, which is also its own surer form; an untrained network is measured too.

        Args:
            loaded: what is kept in memory of a dictionary, also from one target to the next.
            target: the task's own representative.
            task: without its test split.
            distance: the method and its settings.
            config: the images.
            at: its seed is that of the maps, its executor runs the measurements.
            pace_s: seconds of a pair, if known.
            reused: counts what was read; None: a new one.
        """
        sure = replace(distance, intervals=distance.intervals or IntervalConfig())
        return cls(
            dictionary=loaded.dictionary,
            target=target,
            task=task,
            distance=make_distance(distance),
            config=config,
            seed=at.seed,
            executor=at.executor,
            listener=at.listener,
            surer=None if distance.method in COSTLY else make_distance(sure),
            probe=KnnDistance(distance.knn, distance.gate),
            null=True,
            loaded=loaded,
            cache=loaded.features,
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
class Source:
    """A network from which a distance is measured."""

    name: str
    atom: Atom | None
    """None: the untrained network."""
    key: str
    """Under which its measurement is remembered."""


def interval_text(measurement: Measurement) -> str:
    """The interval of a distance as it stands behind it: ' [0.10, 0.15]', or nothing."""
    if measurement.interval is None:
        return ""
    low, high = measurement.interval
    return f" [{low:.3f}, {high:.3f}]"


def source_of(bench: Bench, name: str, atom: Atom, distance: Distance) -> Source:
    """An atom as a network from which a distance is measured."""
    return Source(name, atom, _key(bench, bench.loaded.representative(atom), distance))


def untrained_source(bench: Bench, distance: Distance) -> Source:
    """A network like the target's representative with the weights as they were drawn."""
    return Source(UNTRAINED, None, _key(bench, _untrained(bench), distance))


def _untrained(bench: Bench) -> Representative:
    return untrained(bench.target, bench.seed.child("untrained"))


def _key(bench: Bench, source: Representative, distance: Distance) -> str:
    target = bench.target.key
    return digest(
        source.key, target, bench.task.fingerprint, distance.name, distance, bench.config, bench.seed
    )


def pair_of(bench: Bench, source: Source, distance: Distance) -> tuple[Pair, Seed]:
    """What a distance is measured on, and its seed."""
    network = _untrained(bench) if source.atom is None else bench.loaded.representative(source.atom)
    pair = make_pair(network, bench.target, bench.task, bench.config, bench.cache, needs=distance.needs)
    return pair, bench.seed.child(network.fingerprint, bench.target.fingerprint)


def measure_each(
    bench: Bench, sources: Sequence[Source], distance: Distance, beyond: float | None
) -> Iterator[tuple[Source, Measurement | None]]:
    """Measures, or reads what was measured before under the same bound, in the order of the sources.

    A measurement that a bound did not end is the same as one without; one that it ended depends on where the
    bound lay and is remembered only together with it.

    Yields:
        each source and its measurement; None for an untrained network, if the method refuses that.
    """
    dictionary = bench.dictionary
    running: list[tuple[Source, str, Measurement | Future[Measurement]]] = []

    def started(source: Source, key: str) -> Measurement | Future[Measurement]:
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
            pair, seed = pair_of(bench, source, distance)
        except SettingError as error:
            failed: Future[Measurement] = Future()
            failed.set_exception(error)
            return failed
        if beyond is None:
            return bench.executor.submit(distance, pair, seed)
        return bench.executor.submit(distance, pair, seed, beyond=beyond)

    def collected() -> tuple[Source, Measurement | None]:
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
