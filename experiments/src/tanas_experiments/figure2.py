"""The paper's Figure 2: the distance matrix of its base tasks, over several seeds, and what it says."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
import torch

from tanas.algorithm.presets import SearchConfig, default, paper, quick
from tanas.algorithm.related import warn_if_weak
from tanas.api.build import PAPER_STARTER
from tanas.dictionary.bench import IN_FLIGHT, DistanceMeasured
from tanas.distances.base import Distance, Measurement
from tanas.distances.intervals import IntervalConfig
from tanas.distances.memory import Memory
from tanas.distances.methods import make_distance
from tanas.distances.pairs import make_pair
from tanas.distances.representative import (
    UNTRAINED,
    Representative,
    RepresentativeConfig,
    RepresentativeState,
    represent,
    representative_from,
    state_of,
    untrained,
)
from tanas.ground.checkpoints import Checkpoint
from tanas.ground.context import Context
from tanas.ground.errors import DataError, SettingError, StoreError, check_choice, check_range
from tanas.ground.events import Listener, StepAdvanced, StepFinished, StepStarted, Told, ignore
from tanas.ground.executor import Executor
from tanas.ground.records import SCHEMA, digest, from_plain, to_plain
from tanas.ground.seeds import Seed
from tanas.ground.versions import processor, versions
from tanas.tasks.library import Library
from tanas.tasks.task import Split, Task
from tanas_experiments.by_maps import by_maps
from tanas_experiments.statements import (
    Matrices,
    Redrawn,
    Statement,
    asymmetric,
    directions,
    nearer_than_untrained,
    nearest_to,
    redrawn_nearest,
    stable,
    within_nearer,
    zero_to_itself,
)

KIND = "tanas figure2"
GROUP_NAMES = {"mnist": "MNIST", "fashion-mnist": "Fashion-MNIST"}
"""Data sets as the paper writes them; others go by their source's word."""


@dataclass(frozen=True, kw_only=True)
class Figure2Config:
    """What is measured."""

    scale: str
    """Name of these settings."""
    tasks: tuple[str, ...]
    """Base tasks: rows and columns of the matrix. Those with the same source are of one data set."""
    targets: tuple[str, ...] = ()
    """Further columns; one whose data is not there is left out."""
    nearest: tuple[str, ...] = ()
    """The base tasks that the paper names as nearest to the first of the targets, the nearest first."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Each makes representatives and maps of its own: two say nothing of the spread between seeds."""
    search: SearchConfig = field(default_factory=SearchConfig)
    """How representatives are made and distances measured; the rest of it is not used."""

    def __post_init__(self) -> None:
        if len(self.tasks) < 2:
            raise SettingError(
                f"The 'tasks' of Figure2Config must be at least 2. Got {len(self.tasks)} instead."
            )
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise SettingError(
                f"The 'seeds' of Figure2Config must be different numbers, at least one. Got {self.seeds} instead."
            )
        for seed in self.seeds:
            check_range(seed, "seeds", "Figure2Config", low=0)


PAPER_NEAREST = ("mnist:is=0", "fashion-mnist:is=trouser", "mnist:is=3")
"""Nearest to moon. Source: section 4, '(i) digit 0, (ii) trouser, (iii) digit 3 indicators'."""


def smoke_scale() -> Figure2Config:
    """Ten tasks of scikit-learn's digits, offline: shows in minutes that all of it works."""
    # few draws: the ends of an interval then rest on two or three of them
    return Figure2Config(
        scale="smoke",
        tasks=tuple(f"digits:is={digit}" for digit in range(10)),
        seeds=(0, 1),
        search=_with_intervals(by_maps(quick()), IntervalConfig(draws=60, maps=2)),
    )


def laptop_scale() -> Figure2Config:
    """The paper's ten tasks and moon with the laptop preset."""
    return Figure2Config(
        scale="laptop",
        tasks=PAPER_STARTER,
        targets=("quickdraw:is=moon",),
        nearest=PAPER_NEAREST,
        search=_with_intervals(by_maps(default()), IntervalConfig()),
    )


def paper_scale() -> Figure2Config:
    """The same as the paper has it: its network, all images, full iterative pruning, its gate. Very long."""
    # a map is days of pruning for the whole matrix: the interval then says only what the gate's images decide
    return Figure2Config(
        scale="paper",
        tasks=PAPER_STARTER,
        targets=("quickdraw:is=moon",),
        nearest=PAPER_NEAREST,
        seeds=(0,),
        search=_with_intervals(paper(), IntervalConfig(maps=1)),
    )


def _with_intervals(search: SearchConfig, intervals: IntervalConfig) -> SearchConfig:
    return replace(search, distance=replace(search.distance, intervals=intervals))


SCALES: Mapping[str, Callable[[], Figure2Config]] = {
    "smoke": smoke_scale,
    "laptop": laptop_scale,
    "paper": paper_scale,
}
"""Settings by the name that `--scale` takes."""


def at_scale(
    scale: str, *, first_seed: int = 0, seeds: int | None = None, method: str | None = None
) -> Figure2Config:
    """The settings of a scale.

    Args:
        scale: a name of `SCALES`.
        first_seed: the others follow it.
        seeds: how many; None: the scale's own number.
        method: of measuring a distance; None: the scale's own.

    Raises:
        SettingError: there is no such scale, or less than one seed.
        UnknownNameError: there is no such method.
    """
    check_choice(scale, "scale", "figure2", SCALES)
    config = SCALES[scale]()
    count = len(config.seeds) if seeds is None else seeds
    check_range(count, "seeds", "figure2", low=1)
    search = config.search
    if method is not None:
        search = replace(search, distance=replace(search.distance, method=method))
    return replace(config, search=search, seeds=tuple(range(first_seed, first_seed + count)))


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A distance d(source -> target), in brief."""

    value: float
    """d in [0, 1]."""
    order: float
    """Sorts: d, plus what is missing at 1, minus what is left over at the least d."""
    interval: tuple[float, float] | None
    """Where `order` lies under other images and maps (and, of a mean, other seeds), not below 0; None: the
    method gives none."""


@dataclass(frozen=True, kw_only=True)
class Column:
    """The distances to one target."""

    target: str
    sources: dict[str, Measured]
    """By the source's name."""


@dataclass(frozen=True, kw_only=True)
class TaskLine:
    """A task of the figure."""

    name: str
    group: str
    """Its data set."""
    train: int
    """Images that representatives are trained on."""
    validation: int


@dataclass(frozen=True, kw_only=True)
class RepresentativeLine:
    """A representative, in brief."""

    task: str
    performance: float
    """l on the validation split, in [0, 1]."""
    weak: bool
    epochs: int
    took_s: float


@dataclass(frozen=True, kw_only=True)
class SeedRun:
    """What one seed gave."""

    seed: int
    representatives: tuple[RepresentativeLine, ...]
    columns: tuple[Column, ...]
    """A column a base task, then the further targets; sources are the base tasks and `UNTRAINED`."""
    redrawn: tuple[Column, ...]
    """Columns of tasks on other images: their first source is the same task on yet other images."""
    represent_s: float
    """Seconds of training, of all representatives together."""
    distance_s: float
    """Seconds of measuring, of all pairs together."""


@dataclass(frozen=True, kw_only=True)
class Figure2Record:
    """The figure, and what it says of the paper's sentences."""

    kind: str
    schema: int
    scale: str
    method: str
    command: str
    """Remakes this record."""
    n: int
    """Number of seeds."""
    seeds: tuple[int, ...]
    hardware: dict[str, Any]
    versions: dict[str, str]
    tasks: tuple[TaskLine, ...]
    """The base tasks: rows and columns."""
    targets: tuple[TaskLine, ...]
    """Further columns."""
    interval_level: float | None
    statements: tuple[Statement, ...]
    mean: tuple[Column, ...]
    """Over the seeds; intervals are of all seeds' draws together."""
    runs: tuple[SeedRun, ...]
    config: dict[str, Any]
    """Settings: performance, limit, representative, pair, distance."""

    def numbers(self, what: str = "order") -> np.ndarray[Any, np.dtype[np.float64]]:
        """One number of each cell of the square matrix, (seeds, sources, targets).

        Args:
            what: 'value' or 'order'.
        """
        names = [task.name for task in self.tasks]
        return np.array(
            [
                [
                    [getattr(run.columns[at].sources[source], what) for at in range(len(names))]
                    for source in names
                ]
                for run in self.runs
            ]
        )


@dataclass(frozen=True, eq=False, kw_only=True)
class _Made:
    """A task with its representative of one seed, whose network is made only when it is needed.

    The paper's has 25 million weights, and a seed has some thirty networks.
    """

    task: Task
    key: str
    """Names the representative: task, settings and seed."""
    state: RepresentativeState
    load: Callable[[], Representative]
    """Reads or draws the network."""


def figure2(
    config: Figure2Config,
    library: Library,
    *,
    executor: Executor,
    device: str = "cpu",
    listener: Listener = ignore,
    checkpoint: Checkpoint,
) -> Figure2Record:
    """Measures the paper's distance matrix from several seeds and holds its sentences against it.

    For each seed: a representative of every task, the same as `tanas dictionary build --seed` makes; the
    distances between all base tasks and to the further targets; those from an untrained network; and, for
    the first task of each data set, two representatives on halves of its images that share none, and the
    distances between these two and from the other base tasks to them.

    Args:
        config: what is measured and how.
        library: opens the tasks.
        executor: runs trainings and measurements side by side.
        device: where representatives are trained.
        listener: is told what happens.
        checkpoint: keeps every representative, to be read when a distance needs it, and every distance; the
            same call goes on from there, to the same record but for times.

    Raises:
        DataError: the data of a base task is not there.
        StoreError: the checkpoint does not give back a representative.
    """
    search = config.search
    tasks = [_opened(library, name, search) for name in config.tasks]
    targets = _targets(config, library, listener)
    halves = _halves_of_firsts(config, library, tasks)
    distance = make_distance(search.distance)
    step = f"figure 2 at scale {config.scale}"
    listener(StepStarted(step=step, total=len(config.seeds), unit="seeds"))
    runs, draws = [], []
    for done, seed in enumerate(config.seeds, 1):
        everything = [*tasks, *targets, *(half for pair in halves for half in pair)]
        made = _represented(everything, config, seed, device, executor, listener, checkpoint)
        run, drawn = _measured_all(
            made, len(tasks), len(targets), distance, config, seed, executor, listener, checkpoint
        )
        runs.append(run)
        draws.append(drawn)
        listener(StepAdvanced(step=step, done=done))
    listener(StepFinished(step=step))
    lines = tuple(_line(task) for task in tasks)
    mean = _mean(runs, draws, search.distance.intervals)
    record = Figure2Record(
        kind=KIND,
        schema=SCHEMA,
        scale=config.scale,
        method=distance.name,
        command=command_of(config),
        n=len(runs),
        seeds=config.seeds,
        hardware={"processor": processor(), "cores": os.cpu_count()},
        versions=versions(),
        tasks=lines,
        targets=tuple(_line(task) for task in targets),
        interval_level=None if mean[0].sources[UNTRAINED].interval is None else _level(search),
        statements=(),
        mean=mean,
        runs=tuple(runs),
        config=settings_of(config),
    )
    nearest = tuple(library.open(name).name for name in config.nearest)
    named = record.targets[0].name if record.targets else next(iter(config.targets), None)
    return replace(record, statements=statements_of(record, named, nearest))


def settings_of(config: Figure2Config) -> dict[str, Any]:
    """The settings that decide the numbers, as JSON's own types; of the methods only the one that measures."""
    search = config.search
    distance = make_distance(search.distance)
    return {
        "performance": search.performance,
        "limit": search.limit,
        "representative": to_plain(search.representative),
        "pair": to_plain(search.pair),
        "distance": {"method": distance.name, **to_plain(distance)},
    }


def command_of(config: Figure2Config) -> str:
    """What remakes a record: the call without places of this machine."""
    words = ["tanas reproduce figure2", f"--scale {config.scale}", f"--seeds {len(config.seeds)}"]
    if config.seeds[0]:
        words.append(f"--seed {config.seeds[0]}")
    if (
        config.scale in SCALES
        and config.search.distance.method != SCALES[config.scale]().search.distance.method
    ):
        words.append(f"--method {config.search.distance.method}")
    return " ".join(words)


def statements_of(record: Figure2Record, target: str | None, nearest: Sequence[str]) -> tuple[Statement, ...]:
    """The paper's sentences one by one, and what else has to hold of a distance.

    Args:
        record: measured.
        target: the further target whose nearest tasks the paper names; None: there is none.
        nearest: names of those tasks.
    """
    names = tuple(task.name for task in record.tasks)
    matrices = Matrices(
        tasks=names,
        groups=tuple(task.group for task in record.tasks),
        values=record.numbers("value"),
        orders=record.numbers(),
    )
    nulls = np.array([[c.sources[UNTRAINED].order for c in run.columns[: len(names)]] for run in record.runs])
    redrawn = [
        [
            Redrawn(target=column.target, order=orders[0], others=tuple(orders[1:]))
            for column in run.redrawn
            for orders in [[measured.order for measured in column.sources.values()]]
        ]
        for run in record.runs
    ]
    further = None
    if record.targets:
        further = np.array(
            [[run.columns[len(names)].sources[name].order for name in names] for run in record.runs]
        )
    about = () if target is None else nearest_to(target, names, further, nearest)
    return (
        within_nearer(matrices),
        *directions(matrices),
        zero_to_itself(matrices),
        asymmetric(matrices),
        *about,
        redrawn_nearest(redrawn),
        nearer_than_untrained(matrices, nulls),
        stable(matrices),
    )


def _opened(library: Library, name: str, search: SearchConfig) -> Task:
    return _compact(library.open(name).measured_by(search.performance).limited(search.limit))


def _targets(config: Figure2Config, library: Library, listener: Listener) -> list[Task]:
    """The further targets whose data is there."""
    # they are an addition: nothing is fetched for them
    here = Library.of(replace(library.reading, download=False))
    found = []
    for name in config.targets:
        try:
            found.append(_opened(here, name, config.search))
        except DataError as error:
            listener(Told(message=f"{name} is left out: {error}"))
    return found


def _halves_of_firsts(
    config: Figure2Config, library: Library, tasks: Sequence[Task]
) -> list[tuple[Task, Task]]:
    """Of the first task of each data set, the two tasks over halves of its images."""
    firsts = {group_of(task.name): task.name for task in reversed(tasks)}
    return [
        halves_of(library.open(name), performance=config.search.performance, limit=config.search.limit)
        for name in firsts.values()
    ]


def halves_of(task: Task, *, performance: str, limit: int | None) -> tuple[Task, Task]:
    """The same question asked of two halves of the images, which have no image in common.

    Training and validation images are halved each, stratified; then each half is limited as a task is.

    Args:
        task: as its source gives it.
        performance: what l is.
        limit: most training images of a half.
    """
    seed = Seed(task.split_seed).child("halves")
    train = _halves(task.train, seed.child("train"))
    validation = _halves(task.validation, seed.child("validation"))
    first, second = (
        _compact(
            replace(task, name=f"{task.name}, half {at + 1}", train=train[at], validation=validation[at])
            .measured_by(performance)
            .limited(limit)
        )
        for at in range(2)
    )
    return first, second


def _halves(split: Split, seed: Seed) -> tuple[Split, Split]:
    first = split.stratified(len(split) // 2, seed)
    other = ~torch.isin(split.rows, first.rows)
    return first, split.subset(torch.nonzero(other).flatten())


def _compact(task: Task) -> Task:
    """The same task without its test split and with a store of the images it uses: light to send."""

    def own(split: Split) -> Split:
        return Split(split.images[split.rows], torch.arange(len(split)), split.labels, split.strata)

    return replace(task, train=own(task.train), validation=own(task.validation), _test=None)


def group_of(name: str) -> str:
    """The data set of a task, from its name."""
    word = name.partition(":")[0]
    return GROUP_NAMES.get(word, word)


def represented(
    task: Task, config: RepresentativeConfig, seed: Seed, device: str, checkpoint: Checkpoint
) -> RepresentativeState:
    """A worker's job: trains a representative and keeps it."""
    at = Context(seed=seed, device=device, checkpoint=checkpoint.child("training"))
    state, tensors = state_of(represent(task, config, at))
    checkpoint.save("done", {"state": to_plain(state), "tensors": tensors})
    at.checkpoint.clear()
    return state


def kept_representatives(
    config: Figure2Config, library: Library, seed: int, checkpoint: Checkpoint
) -> list[tuple[Task, Representative]]:
    """The base tasks of a run that was made, with the representatives of one of its seeds; nothing is trained.

    Args:
        config: of the run.
        library: opens the tasks.
        seed: one of the run's.
        checkpoint: of the run.

    Raises:
        StoreError: a representative is not there.
    """
    tasks = [_opened(library, name, config.search) for name in config.tasks]
    return [(task, _loaded(task, config, seed, checkpoint)) for task in tasks]


def _place(task: Task, search: SearchConfig, seed: int, checkpoint: Checkpoint) -> tuple[str, Checkpoint]:
    """What names a representative, and where it is kept."""
    key = digest(task.fingerprint, search.representative, search.performance, seed)
    return key, checkpoint.child("representatives").child(key)


def _state(task: Task, saved: Any) -> RepresentativeState:
    """The state in what `represented` kept."""
    state = from_plain(RepresentativeState, saved, where=f"the representative of {task.name}")
    return replace(state, task=task.name)


def _loaded(task: Task, config: Figure2Config, seed: int, checkpoint: Checkpoint) -> Representative:
    """The representative that `represented` kept."""
    saved = _place(task, config.search, seed, checkpoint)[1].load("done")
    if saved is None:
        raise StoreError(
            f"The run holds no representative of {task.name} from seed {seed} with these settings. "
            f"Make it by '{command_of(config)}'."
        )
    return representative_from(_state(task, saved["state"]), saved["tensors"])


def _represented(
    tasks: Sequence[Task],
    config: Figure2Config,
    seed: int,
    device: str,
    executor: Executor,
    listener: Listener,
    checkpoint: Checkpoint,
) -> list[_Made]:
    """The representative of each task, kept before or trained."""
    step = f"seed {seed}: representatives"
    listener(StepStarted(step=step, total=len(tasks), unit="representatives"))
    keys, jobs = [], []
    for task in tasks:
        key, part = _place(task, config.search, seed, checkpoint)
        saved = part.load("done")
        keys.append(key)
        jobs.append(
            _state(task, saved["state"])
            if saved
            else executor.submit(
                represented,
                task,
                config.search.representative,
                Seed(seed).child("atom", task.fingerprint, "represent"),
                device,
                part,
            )
        )
        del saved  # its weights
    made = []
    for done, (task, key, job) in enumerate(zip(tasks, keys, jobs, strict=True), 1):
        state = replace(job.result(), task=task.name) if isinstance(job, Future) else job
        warn_if_weak(state, listener, strict=False)
        load = partial(_loaded, task, config, seed, checkpoint)
        made.append(_Made(task=task, key=key, state=state, load=load))
        listener(StepAdvanced(step=step, done=done, note=f"{task.name}: l = {state.performance:.3f}"))
    listener(StepFinished(step=step))
    return made


def _measured_all(
    made: Sequence[_Made],
    tasks: int,
    targets: int,
    distance: Distance,
    config: Figure2Config,
    seed: int,
    executor: Executor,
    listener: Listener,
    checkpoint: Checkpoint,
) -> tuple[SeedRun, dict[tuple[str, str], tuple[float, ...]]]:
    """All distances of one seed, and the draws of each pair of the matrix."""
    base, further, halves = made[:tasks], made[tasks : tasks + targets], made[tasks + targets :]
    wanted = [(target, [*base, _null_of(target, seed)]) for target in (*base, *further)]
    firsts = {group_of(m.task.name): m for m in reversed(base)}
    wanted += [
        # halves stand in pairs: the other one is the one before or behind
        (half, [halves[at ^ 1], *(m for m in base if m is not firsts[group_of(half.task.name)])])
        for at, half in enumerate(halves)
    ]
    measured = _measure(wanted, distance, config, seed, executor, listener, checkpoint)
    square = tasks + targets
    columns = [
        Column(
            target=target.task.name,
            sources={
                source.state.task: _brief(measurement, config.search.distance.intervals)
                for source, measurement in zip(sources, measurements, strict=True)
            },
        )
        for (target, sources), measurements in zip(wanted, measured, strict=True)
    ]
    draws = {
        (source.state.task, target.task.name): measurement.draws
        for (target, sources), measurements in list(zip(wanted, measured, strict=True))[:square]
        for source, measurement in zip(sources, measurements, strict=True)
    }
    run = SeedRun(
        seed=seed,
        representatives=tuple(
            RepresentativeLine(
                task=m.task.name,
                performance=m.state.performance,
                weak=m.state.weak,
                epochs=m.state.epochs,
                took_s=m.state.took_s,
            )
            for m in made
        ),
        columns=tuple(columns[:square]),
        redrawn=tuple(columns[square:]),
        represent_s=sum(m.state.took_s for m in made),
        distance_s=sum(measurement.took_s for column in measured for measurement in column),
    )
    return run, draws


def _null_of(target: _Made, seed: int) -> _Made:
    """The untrained network that stands beside a target's sources, as `tanas distance` has it."""
    null_seed = Seed(seed).child("distance", "untrained")
    return replace(
        target,
        key=digest(UNTRAINED, target.key, null_seed),
        state=replace(target.state, task=UNTRAINED),
        load=lambda: untrained(target.load(), null_seed),
    )


def _measure(
    wanted: Sequence[tuple[_Made, Sequence[_Made]]],
    distance: Distance,
    config: Figure2Config,
    seed: int,
    executor: Executor,
    listener: Listener,
    checkpoint: Checkpoint,
) -> list[list[Measurement]]:
    """The distances to each target from its sources, read or measured."""
    step = f"seed {seed}: distances"
    total = sum(len(sources) for _, sources in wanted)
    listener(StepStarted(step=step, total=total, unit="pairs"))
    cache, done = Memory(), 0
    kept = checkpoint.child("distances")
    columns: list[list[Measurement]] = []
    running: list[tuple[list[Measurement], str, Future[Measurement]]] = []

    def tell(measurement: Measurement) -> None:
        nonlocal done
        done += 1
        name = f"{measurement.source} -> {measurement.target}"
        listener(DistanceMeasured(atom=measurement.source, task=measurement.target, measurement=measurement))
        listener(StepAdvanced(step=step, done=done, note=f"d({name}) = {measurement.value:.3g}"))

    def collect(most: int) -> None:
        while len(running) > most:
            column, key, future = running.pop(0)
            measurement = future.result()
            kept.save(key, to_plain(measurement))
            column.append(measurement)
            tell(measurement)

    for target, sources in wanted:
        column: list[Measurement] = []
        columns.append(column)
        own: Representative | None = None  # read when the first pair needs it
        for source in sources:
            key = digest(source.key, target.key, distance.name, distance, config.search.pair, seed)
            if (saved := kept.load(key)) is not None:
                collect(0)  # a column keeps the order of its sources
                column.append(from_plain(Measurement, saved, where=f"the distance {key}"))
                tell(column[-1])
                continue
            own = own or target.load()
            network = own if source is target else source.load()
            pair = make_pair(network, own, target.task, config.search.pair, cache, needs=distance.needs)
            fingerprints = (network.fingerprint, own.fingerprint)
            del network  # before the next is read
            pair_seed = Seed(seed).child("distance").child(*fingerprints)
            running.append((column, key, executor.submit(distance, pair, pair_seed)))
            collect(IN_FLIGHT - 1)
    collect(0)
    listener(StepFinished(step=step))
    return columns


def _brief(measurement: Measurement, intervals: IntervalConfig | None) -> Measured:
    return Measured(
        value=measurement.value, order=measurement.order, interval=_ends(measurement.draws, intervals)
    )


def _ends(draws: Sequence[float], intervals: IntervalConfig | None) -> tuple[float, float] | None:
    """The interval of draws of the number that sorts; a surplus below 0 says no more than that d is least."""
    if intervals is None or not draws:
        return None
    return intervals.ends([max(draw, 0.0) for draw in draws])


def _mean(
    runs: Sequence[SeedRun],
    draws: Sequence[Mapping[tuple[str, str], tuple[float, ...]]],
    intervals: IntervalConfig | None,
) -> tuple[Column, ...]:
    """The matrix averaged over the seeds; an interval holds the draws of all seeds."""

    def cell(at: int, source: str) -> Measured:
        target = runs[0].columns[at].target
        cells = [run.columns[at].sources[source] for run in runs]
        pooled = [draw for drawn in draws for draw in drawn[source, target]]
        return Measured(
            value=float(np.mean([one.value for one in cells])),
            order=float(np.mean([one.order for one in cells])),
            interval=_ends(pooled, intervals),
        )

    return tuple(
        Column(target=column.target, sources={source: cell(at, source) for source in column.sources})
        for at, column in enumerate(runs[0].columns)
    )


def _level(search: SearchConfig) -> float | None:
    return None if search.distance.intervals is None else search.distance.intervals.level


def _line(task: Task) -> TaskLine:
    return TaskLine(
        name=task.name, group=group_of(task.name), train=len(task.train), validation=len(task.validation)
    )
