"""Where and how distances to a task are measured and stored."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from tanas.dictionary.store import Dictionary
from tanas.dictionary.stored_network import judging, judging_job
from tanas.dictionary.task_record import Atom
from tanas.distances.base import Distance, Measurement
from tanas.distances.memory import Memory
from tanas.distances.methods import DistanceConfig, make_distance
from tanas.distances.misfit import judged_images, pair_of_features
from tanas.distances.pairs import PairConfig, gate_split, make_pair
from tanas.distances.probes import KnnDistance
from tanas.distances.representative import Representative, macs_of, untrained
from tanas.ground.checkpoints import Checkpoint, NoCheckpoint
from tanas.ground.context import Context
from tanas.ground.errors import SettingError
from tanas.ground.events import Event, Listener
from tanas.ground.records import digest
from tanas.ground.seeds import Seed
from tanas.networks.threads import in_threads
from tanas.tasks.task import Task

IN_FLIGHT = 4
"""Pairs in memory at a time: about 30 MB each at 3,500 images and 1,024 features. If only the nearest are wanted, the
bound is updated after as many: what is measured to its end then does not depend on the number of workers."""

COSTLY = ("exact",)
"""Methods that take minutes to hours per pair: they run only when named."""

KEPT_WEIGHTS = 2**25
"""Weights of representatives that are kept in memory: 128 MB, twenty of the default network or one of the paper's."""


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
    """The unique name of this atom."""
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
    """A dictionary with its representatives and their features in memory; the longest unused go first."""

    def __init__(self, dictionary: Dictionary, most_weights: int = KEPT_WEIGHTS) -> None:
        self.dictionary = dictionary
        self.features = Memory()
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
    """Seconds of the measurements that were made before a run; its own, made before it was killed, do not count."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Begin, or resume from the keys of the run's own measurements in the checkpoint."""
        self._checkpoint = checkpoint
        self._own: set[str] = set(checkpoint.load("own") or ())
        self._read: dict[str, float] = {}

    def made(self, keys: Iterable[str]) -> None:
        """Note that the run itself made the measurement with these keys."""
        self._own.update(keys)
        self._checkpoint.save("own", sorted(self._own))

    def read(self, key: str, measurement: Measurement) -> None:
        """Note that a measurement was found under a key."""
        if key not in self._own:
            self._read[key] = measurement.took_s

    @property
    def seconds(self) -> float:
        """Of all measurements that were found and are not the run's own."""
        return sum(self._read.values())


@dataclass(frozen=True, eq=False, kw_only=True)
class Bench:
    """Where and how the distances to one task are measured."""

    loaded: Loaded
    """The dictionary, which stores what is measured, and what was read from it for earlier targets."""
    target: Representative | None
    """Of the task; None if the method reads networks."""
    task: Task
    """Without its test split."""
    distance: Distance
    config: PairConfig
    at: Context
    """The executor, the listener, and the seed of fitted maps: each pair has a child of it."""
    probe: Distance | None = None
    """A cheap method that decides which tasks are measured first if only the nearest are wanted. None: by name."""
    null: bool = False
    """Whether the distance of an untrained network is measured too."""
    reused: Reused = field(default_factory=lambda: Reused(NoCheckpoint()), compare=False)
    """Counts the seconds of measurements that were read."""

    @classmethod
    def of(
        cls,
        loaded: Loaded,
        target: Representative | None,
        task: Task,
        distance: DistanceConfig,
        config: PairConfig,
        at: Context,
        reused: Reused | None = None,
    ) -> Bench:
        """A bench for a configured method; one that compares representatives also measures an untrained network."""
        method = make_distance(distance)
        return cls(
            loaded=loaded,
            target=target,
            task=task,
            distance=method,
            config=config,
            at=at,
            probe=None if method.reads_networks else KnnDistance(distance.knn, distance.gate),
            null=not method.reads_networks,
            reused=reused or Reused(NoCheckpoint()),
        )

    def rarest(self) -> tuple[str, int, int]:
        """The class with the fewest images to measure on: its name, their number, and the number of all images."""
        gate = gate_split(self.task, self.config)
        classes, counts = torch.unique(gate.labels, return_counts=True)
        rarest = int(counts.argmin())
        return self.task.classes[int(classes[rarest])], int(counts[rarest]), len(gate)


@dataclass(frozen=True)
class Source:
    """A network from which a distance is measured, and the key under which its measurement is stored."""

    name: str
    atom: Atom | None
    """None: the untrained network."""
    key: str


def interval_text(measurement: Measurement) -> str:
    """The interval of a distance, such as ' [0.10, 0.15]'; empty if there is none."""
    if measurement.interval is None:
        return ""
    low, high = measurement.interval
    return f" [{low:.3f}, {high:.3f}]"


def source_of(bench: Bench, name: str, atom: Atom | None, distance: Distance) -> Source:
    """An atom, or the untrained network (None), as the source of a distance."""
    if distance.reads_networks:
        assert atom is not None  # no untrained network is measured then
        kept = judging(atom.kept) and bench.loaded.dictionary.network_hash(atom)
        judge = kept or bench.loaded.representative(atom).key
        return Source(name, atom, digest(judge, bench.task.fingerprint, distance.name, distance))
    target = _target(bench)
    ends = _network(bench, atom).key, target.key, bench.task.fingerprint
    return Source(name, atom, digest(*ends, distance.name, distance, bench.config, bench.at.seed))


def _target(bench: Bench) -> Representative:
    assert bench.target is not None  # the method compares representatives
    return bench.target


def _network(bench: Bench, atom: Atom | None) -> Representative:
    if atom is None:
        return untrained(_target(bench), bench.at.seed.child("untrained"))
    return bench.loaded.representative(atom)


def measure_each(
    bench: Bench, sources: Sequence[Source], distance: Distance, beyond: float | None
) -> Iterator[tuple[Source, Measurement | None]]:
    """Measure distances, or read stored ones, in the order of the sources.

    A measurement that ended early depends on its bound and is stored together with it.

    Yields:
        each source and its measurement; None for an untrained network if the method refuses it.
    """
    if distance.reads_networks:
        yield from _measure_by_networks(bench, sources, distance)
        return
    dictionary = bench.loaded.dictionary
    running: list[tuple[Source, str, Measurement | Future[Measurement]]] = []

    def started(source: Source, key: str) -> Measurement | Future[Measurement]:
        known = dictionary.measured(key)
        if known is None and beyond is not None:
            whole = dictionary.measured(source.key)
            # beyond the bound it is measured again: results must not depend on earlier commands
            known = whole if whole is not None and whole.order <= beyond else None
            key = source.key
        if known is not None:
            bench.reused.read(key, known)
            return known
        network, target, features = _network(bench, source.atom), _target(bench), bench.loaded.features
        pair = make_pair(network, target, bench.task, bench.config, features, needs=distance.needs)
        seed = bench.at.seed.child(network.fingerprint, target.fingerprint)
        return bench.at.executor.submit(distance, pair, seed, beyond=beyond)

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
        bench.reused.made(keys)  # before it is stored: a run that is killed between the two measures again
        for made in keys:
            dictionary.remember_distance(made, measurement)
        return source, measurement

    for source in sources:
        key = source.key if beyond is None else digest(source.key, "beyond", beyond)
        running.append((source, key, started(source, key)))
        if len(running) >= IN_FLIGHT:
            yield collected()
    while running:
        yield collected()


def _measure_by_networks(
    bench: Bench, sources: Sequence[Source], distance: Distance
) -> Iterator[tuple[Source, Measurement]]:
    """As `measure_each`, for methods that read networks: these run on the images side by side, in threads."""
    dictionary, task, at_once = bench.loaded.dictionary, bench.task, max(IN_FLIGHT, bench.at.workers)
    for begin in range(0, len(sources), at_once):
        part = sources[begin : begin + at_once]
        found = {source.key: dictionary.measured(source.key) for source in part}
        todo = [source for source in part if found[source.key] is None]
        # networks are made one by one: their seeds set torch's global generator
        jobs = [_job_of(bench, source) for source in todo]
        answers = in_threads(jobs, bench.at.workers, bench.at.listener, threads=1)
        for source, (features, labels, seconds) in zip(todo, answers, strict=True):
            assert source.atom is not None
            same = source.atom.task.fingerprint == task.fingerprint
            pair = pair_of_features(source.atom.task.name, task, features, labels, same=same)
            measurement = distance(pair, Seed())
            measurement = replace(measurement, took_s=measurement.took_s + seconds)
            bench.reused.made((source.key,))
            dictionary.remember_distance(source.key, measurement)
            found[source.key] = measurement
        for source in part:
            measured = found[source.key]
            assert measured is not None
            if source not in todo:
                bench.reused.read(source.key, measured)
            yield source, measured


def _job_of(bench: Bench, source: Source) -> Callable[[Listener], tuple[Tensor, Tensor, float]]:
    """A job: features of a source's network on training images of the task, their labels, and the seconds it took."""
    atom, task = source.atom, bench.task
    assert atom is not None
    if judging(atom.kept) is not None:
        kept = bench.loaded.dictionary.network(atom)
        assert kept is not None  # its record is there
        judged = judging_job(kept, task)
    else:
        network = bench.loaded.representative(atom)
        split = judged_images(task.train, macs_of(network))

        def judged() -> tuple[Tensor, Tensor]:
            return network.features(split), split.labels

    def timed(_: Listener) -> tuple[Tensor, Tensor, float]:
        began = time.monotonic()
        return *judged(), time.monotonic() - began

    return timed
