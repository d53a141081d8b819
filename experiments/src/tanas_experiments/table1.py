"""The paper's Table 1: what a search finds beside networks made by hand, at what size and cost.

Every network has the same images and splits, the same final recipe with its own learning rate chosen on validation
among the same few, and the same seeds. Random search may spend the multiply-adds that FUSE spent.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tanas.algorithm.learn import expected_seconds, measure_pace
from tanas.algorithm.presets import SearchConfig, compared, default, paper, quick
from tanas.algorithm.result import Result
from tanas.api.build import PAPER_STARTER, build_dictionary
from tanas.api.run import Job, run_search
from tanas.dictionary.store import Dictionary
from tanas.engines.local import LocalEngine
from tanas.engines.resources import Machine, Resources
from tanas.ground.checkpoints import Checkpoint
from tanas.ground.devices import choose_device, processors
from tanas.ground.errors import SearchError, SettingError, check_choice, check_range
from tanas.ground.events import Listener, StepAdvanced, StepFinished, StepStarted, Told, Warned
from tanas.ground.records import SCHEMA, read_record, to_plain, write_json
from tanas.ground.seeds import Seed
from tanas.ground.versions import processor, versions
from tanas.networks.rivals import MOST_SIDE
from tanas.networks.training import TrainingConfig
from tanas.reports.sentences import duration
from tanas.runs.folder import RESULT_FILE, Run, slug
from tanas.spaces.inherit import DEFAULT_INHERIT
from tanas.strategies.fuse import FuseConfig
from tanas.tasks.library import Library
from tanas.tasks.task import Task
from tanas_experiments.by_maps import by_maps
from tanas_experiments.handmade import (
    Before,
    RateConfig,
    Subject,
    TrainedConfig,
    TrainedNetwork,
    seconds_expected,
    subject_cost,
    trained_job,
)
from tanas_experiments.searches import ARMS, AWARE, Arm, SearchRow, configured, row_of
from tanas_experiments.zoo import RESIDUAL, check_zoo

KIND = "tanas table1"
PAPER_TARGETS = ("quickdraw:is=moon", "quickdraw:per-class=60000:is=moon")
"""The paper's task, from as many drawings a category as `quickdraw` takes by default and from as many as it took."""
SEARCHES: tuple[Arm, ...] = tuple(arm for arm in ARMS if arm.inherit in (DEFAULT_INHERIT, "none"))
"""FUSE and random search, each in the task-aware and in the standard space; the first sets the budgets."""
LOGISTIC, CONSTANT = "logistic regression", "constant"


@dataclass(frozen=True, kw_only=True)
class Handmade:
    """A network made by hand, and with how many seeds it is trained."""

    name: str
    """In the zoo; 'residual' stands for the narrow residual network of the size that the first search found."""
    most_seeds: int | None = None
    """So many of the first seeds; None: all. Networks that cost many times the others have fewer."""

    def __post_init__(self) -> None:
        if self.name != RESIDUAL:
            check_zoo(self.name)
        if self.most_seeds is not None:
            check_range(self.most_seeds, "most_seeds", "Handmade", low=1)


@dataclass(frozen=True, kw_only=True)
class Table1Config:
    """What is compared."""

    scale: str
    """Name of these settings."""
    target: str
    known: tuple[str, ...]
    """Tasks of the dictionary."""
    handmade: tuple[Handmade, ...]
    seeds: tuple[int, ...]
    search: SearchConfig = field(default_factory=SearchConfig)
    """Of all searches; its final recipe and its images are those of every network."""
    rates: RateConfig = field(default_factory=RateConfig)

    def __post_init__(self) -> None:
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise SettingError(
                f"The 'seeds' of Table1Config must be different numbers, at least one. Got {self.seeds} instead."
            )
        for seed in self.seeds:
            check_range(seed, "seeds", "Table1Config", low=0)

    @property
    def trained(self) -> TrainedConfig:
        """What every network shares."""
        return TrainedConfig(
            performance=self.search.performance,
            limit=self.search.limit,
            training=self.search.training,
            rates=self.rates,
        )


def smoke_scale() -> Table1Config:
    """A digits target, offline: shows in minutes that all of it works."""
    return Table1Config(
        scale="smoke",
        target="digits:is=8",
        known=("digits:is=0", "digits:is=1", "digits:is=3", "digits:is=9"),
        handmade=(Handmade(name=RESIDUAL), Handmade(name="resnet18")),
        seeds=(0,),
        search=replace(by_maps(compared(quick(), TrainingConfig(epochs=8, batch=64))), rivals=True),
        rates=RateConfig(rates=(1e-3, 3e-3, 1e-2), images=300, epochs=3),
    )


ALL_HANDMADE = ("resnet18", "resnet34", "densenet161", "resnet18-small", "densenet121", "vgg16")
"""The paper's three, ResNet-18 with the stem for small images, and two further ones."""


def laptop_scale() -> Table1Config:
    """The paper's target and base tasks, within two hours on two cores: 4,000 images and 12 epochs for every method.

    A step of ResNet-18 with the stem for small images takes six times one with torchvision's, and one of VGG-16 as
    much: all but ResNet-18 and the narrow one are trained with one seed.
    """
    return Table1Config(
        scale="laptop",
        target=PAPER_TARGETS[0],
        known=PAPER_STARTER,
        handmade=(
            Handmade(name=RESIDUAL),
            *(Handmade(name=name, most_seeds=None if name == "resnet18" else 1) for name in ALL_HANDMADE),
        ),
        seeds=(0, 1, 2),
        # as many rounds for a search that a memory leads as for one that knows nothing
        search=replace(
            by_maps(compared(default(), TrainingConfig(epochs=12, least_steps=150))),
            limit=4_000,
            rivals=True,
            rounds_led=FuseConfig().rounds,
        ),
    )


def paper_scale() -> Table1Config:
    """The paper's settings as far as they are stated: all images, its space, its distance, FUSE to the letter."""
    return Table1Config(
        scale="paper",
        target=PAPER_TARGETS[1],
        known=PAPER_STARTER,
        handmade=(Handmade(name=RESIDUAL), *(Handmade(name=name) for name in ALL_HANDMADE)),
        seeds=(0,),
        search=paper(),
        rates=RateConfig(images=10_000),
    )


SCALES: Mapping[str, Callable[[], Table1Config]] = {
    "smoke": smoke_scale,
    "laptop": laptop_scale,
    "paper": paper_scale,
}
"""Settings by the name that `--scale` takes."""


def at_scale(scale: str, *, first_seed: int = 0, seeds: int | None = None) -> Table1Config:
    """The settings of a scale.

    Args:
        scale: a name of `SCALES`.
        first_seed: the others follow it.
        seeds: how many; None: the scale's own number.

    Raises:
        SettingError: there is no such scale, or less than one seed.
    """
    check_choice(scale, "scale", "table1", SCALES)
    config = SCALES[scale]()
    count = len(config.seeds) if seeds is None else seeds
    check_range(count, "seeds", "table1", low=1)
    return replace(config, seeds=tuple(range(first_seed, first_seed + count)))


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A network with one seed: how it was come by, and how it does."""

    method: str
    """Name of the search, or of the network made by hand."""
    seed: int
    trained: TrainedNetwork
    search: SearchRow | None
    """The search that found it; of its figures only those before the final training count. None: made by hand."""

    @property
    def search_macs(self) -> int:
        """Multiply-adds of representing, measuring and searching."""
        return 0 if self.search is None else self.search.spent_before_training

    @property
    def macs(self) -> int:
        """Multiply-adds of all of it, forward and backward."""
        return self.search_macs + self.trained.rate_macs + self.trained.train_macs

    @property
    def took_s(self) -> float:
        """Wall-clock seconds of all of it."""
        before = 0.0
        if self.search is not None:
            before = sum(took for phase, took in self.search.took_s.items() if phase != "train")
        return before + self.trained.rate_s + self.trained.train_s


@dataclass(frozen=True, kw_only=True)
class Plain:
    """What answers without a network: shares in [0, 1] on the test split."""

    method: str
    seed: int
    error: float
    balanced_error: float
    parameters: int


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A network that is missing, and why."""

    method: str
    seed: int
    reason: str


@dataclass(frozen=True, kw_only=True)
class Table1Record:
    """The table."""

    kind: str
    schema: int
    scale: str
    command: str
    """Remakes this record."""
    n: int
    """Number of seeds; of networks that cost many times the others fewer."""
    seeds: tuple[int, ...]
    hardware: dict[str, Any]
    versions: dict[str, str]
    task: str
    images: dict[str, int]
    """Of each split."""
    entries: tuple[Entry, ...]
    plain: tuple[Plain, ...]
    left_out: tuple[LeftOut, ...]
    dictionary_atoms: int
    dictionary_macs: int | None
    """Multiply-adds of learning the dictionary's tasks, once for all searches."""
    dictionary_s: float
    """Seconds of it, summed over workers."""
    config: dict[str, Any]


def settings_of(config: Table1Config) -> dict[str, Any]:
    """The settings that decide the numbers, as JSON's own types."""
    return {
        "target": config.target,
        "known": list(config.known),
        "search": to_plain(config.search),
        "rates": to_plain(config.rates),
    }


def command_of(config: Table1Config) -> str:
    """What remakes a record: the call without places of this machine."""
    words = ["tanas reproduce table1", f"--scale {config.scale}", f"--seeds {len(config.seeds)}"]
    if config.seeds[0]:
        words.append(f"--seed {config.seeds[0]}")
    return " ".join(words)


@dataclass(frozen=True, kw_only=True)
class _Bench:
    """Where the table is made."""

    folder: Path
    library: Library
    resources: Resources
    engine: LocalEngine
    device: str
    listener: Listener
    checkpoint: Checkpoint

    def run(self, arm: Arm, seed: int) -> Path:
        """The folder of a search."""
        return self.folder / "runs" / slug(arm.name) / f"seed-{seed}"

    def piece(self, method: str, seed: int) -> Path:
        """The file of a trained network."""
        return self.folder / "networks" / slug(method) / f"seed-{seed}.json"


def table1(
    config: Table1Config,
    library: Library,
    folder: Path,
    *,
    resources: Resources,
    engine: LocalEngine,
    listener: Listener,
    checkpoint: Checkpoint,
) -> Table1Record:
    """Searches, trains every network and tests each once.

    Args:
        config: what is compared.
        library: opens the tasks.
        folder: keeps the dictionary, every search and every trained network, each in a place of its own; the same
            call goes on from there, to the same record but for times.
        resources: of the machine.
        engine: runs trainings side by side.
        listener: is told what happens; first of all how long it is expected to take.
        checkpoint: keeps the state of trainings that are not done.

    Raises:
        DataError: the data of a task is not there.
    """
    bench = _Bench(
        folder=folder,
        library=library,
        resources=resources,
        engine=engine,
        device=choose_device(resources.device),
        listener=listener,
        checkpoint=checkpoint,
    )
    target = library.open(config.target)
    known = [library.open(name) for name in config.known]
    tell_estimate(config, target, known, bench)
    dictionary = Dictionary.create(folder / "dictionary")
    build_dictionary(
        dictionary,
        known,
        library,
        config.search.learning(),
        seed=0,  # once for all searches
        machine=Machine(resources=resources, engine=engine, listener=listener),
    )
    found, not_begun = _searched(config, target, dictionary, bench)
    jobs = _jobs(config, found)
    trained, diverged = _trained(config, target, jobs, bench)
    rows = {(row.arm, row.seed): row for row, _ in found}
    entries = tuple(
        Entry(method=job.method, seed=job.seed, trained=trained[job], search=rows.get((job.method, job.seed)))
        for job in jobs
        if job in trained
    )
    results = [result for row, result in found if row.arm == AWARE.name]
    memory = results[0].ledger
    assert memory is not None  # every run has one
    return Table1Record(
        kind=KIND,
        schema=SCHEMA,
        scale=config.scale,
        command=command_of(config),
        n=len(config.seeds),
        seeds=config.seeds,
        hardware={"processor": processor(), "cores": os.cpu_count()},
        versions=versions(),
        task=target.name,
        images={name: getattr(results[0].task, name) for name in ("train", "validation", "test")},
        entries=entries,
        plain=tuple(plain for result in results for plain in _plain(result)),
        left_out=(*not_begun, *diverged),
        dictionary_atoms=memory.dictionary.atoms,
        dictionary_macs=memory.dictionary.macs,
        dictionary_s=memory.dictionary.took_s,
        config=settings_of(config),
    )


@dataclass(frozen=True, kw_only=True)
class _Job:
    """A network to be trained."""

    method: str
    seed: int
    subject: Subject
    before: Before | None


def tell_estimate(config: Table1Config, target: Task, known: Sequence[Task], bench: _Bench) -> None:
    """Says how long all of it is expected to take, from training steps that are timed now."""
    search, workers = config.search, bench.resources.workers or processors()
    learning = search.learning()
    todo = [
        (one, seed)
        for one in config.handmade
        for seed in config.seeds[: one.most_seeds]
        if not bench.piece(one.name, seed).exists()
    ]
    runs = [
        (arm, seed)
        for arm in SEARCHES
        for seed in config.seeds
        if not (bench.run(arm, seed) / RESULT_FILE).exists()
    ]
    if not todo and not runs:
        return
    step = "time a few training steps"
    names = sorted({one.name for one, _ in todo if one.name != RESIDUAL})
    bench.listener(StepStarted(step=step, total=len(names) + 1, unit="networks"))
    blind = target.without_test().measured_by(search.performance).limited(search.limit)
    pace = measure_pace(blind, learning, seed=Seed(0).child("estimate"), device=bench.device)
    bench.listener(StepAdvanced(step=step, done=1))
    each: dict[str, float] = {}
    for done, name in enumerate(names, 2):
        each[name] = seconds_expected(name, target, config.trained, bench.device)
        bench.listener(StepAdvanced(step=step, done=done))
    bench.listener(StepFinished(step=step))
    images = len(blind.train)
    suited = config.trained.suited_to(images)
    shown = suited.training.epochs * images
    shown += len(suited.rates.rates) * suited.rates.epochs * min(suited.rates.images, images)
    each[RESIDUAL] = pace.candidate * shown
    hands_s = sum(each[one.name] for one, _ in todo)
    searching_s = len(runs) * (
        expected_seconds(blind, replace(learning, fuse=search.fuse), pace) + pace.candidate * shown
    )
    there = {atom.task.fingerprint for atom in Dictionary.create(bench.folder / "dictionary").atoms()}
    learning_s = 0.0
    for task in known:
        prepared = task.without_test().measured_by(search.performance).limited(search.limit)
        if prepared.fingerprint not in there:
            learning_s += expected_seconds(prepared, learning, pace)
    longest = max((each[one.name] for one, _ in todo), default=0.0)
    total = (learning_s + searching_s) / workers + max(hands_s / workers, longest)
    bench.listener(
        Told(
            message=f"Table 1 at scale {config.scale} is expected to take about {duration(total)} on {workers} "
            f"worker{'' if workers == 1 else 's'}: learning the known tasks {duration(learning_s / workers)}, "
            f"{len(runs)} searches with their trainings {duration(searching_s / workers)}, networks made by hand "
            f"{duration(max(hands_s / workers, longest))}. It goes on where it is stopped."
        )
    )


def _searched(
    config: Table1Config, target: Task, dictionary: Dictionary, bench: _Bench
) -> tuple[list[tuple[SearchRow, Result]], list[LeftOut]]:
    """Every search of every seed, run or read; and those whose budget does not pay for their first candidate."""
    step = f"searches for {target.name}"
    bench.listener(StepStarted(step=step, total=len(config.seeds) * len(SEARCHES), unit="searches"))
    found: list[tuple[SearchRow, Result]] = []
    left_out: list[LeftOut] = []
    nothing = Dictionary.create(bench.folder / "nothing-known")
    for seed in config.seeds:
        aware: SearchRow | None = None
        for arm in SEARCHES:
            try:
                result = _result_of(config, target, arm, seed, aware, (dictionary, nothing), bench)
            except SettingError as error:
                if not arm.budget:
                    raise
                # the first draw may cost more than all that FUSE spent among small networks
                bench.listener(Warned(message=f"{arm.name}, seed {seed}: {error}"))
                left_out.append(LeftOut(method=arm.name, seed=seed, reason=str(error)))
                continue
            row = row_of(target.name, seed, arm.name, result)
            aware = aware or row
            found.append((row, result))
            bench.listener(StepAdvanced(step=step, done=len(found), note=f"{arm.name}, seed {seed}"))
    bench.listener(StepFinished(step=step))
    return found, left_out


def _result_of(
    config: Table1Config,
    target: Task,
    arm: Arm,
    seed: int,
    aware: SearchRow | None,
    memories: tuple[Dictionary, Dictionary],
    bench: _Bench,
) -> Result:
    """One search, run or read; its memory is the first of the two, or the empty second."""
    folder = bench.run(arm, seed)
    if (folder / RESULT_FILE).exists():
        return Run.open(folder).result()
    search, memory = configured(arm, config.search, aware), memories[0]
    if arm.inherit == "none":  # what knows nothing has nothing to represent and to measure
        search, memory = replace(search, neighbours=None, threshold=None), memories[1]
    else:  # at the paper's scale in the paper's way
        search = replace(search, inherit=config.search.inherit)
    run = run_search(
        target.limited(search.limit),
        folder,
        memory,
        Job(config=search, seed=seed, command=f"tanas reproduce table1 --scale {config.scale}"),
        Machine(resources=bench.resources, engine=bench.engine, listener=bench.listener),
    )
    return run.result()


def _jobs(config: Table1Config, found: Sequence[tuple[SearchRow, Result]]) -> list[_Job]:
    """Every network of the table."""
    jobs = [
        _Job(method=row.arm, seed=row.seed, subject=result.architecture, before=_before(config, result))
        for row, result in found
    ]
    size = {row.seed: row.parameters for row, _ in found if row.arm == AWARE.name}
    for one in config.handmade:
        for seed in config.seeds[: one.most_seeds]:
            name = f"{RESIDUAL}@{size[seed]}" if one.name == RESIDUAL else one.name
            jobs.append(_Job(method=one.name, seed=seed, subject=name, before=None))
    return jobs


def _before(config: Table1Config, result: Result) -> Before:
    """The final training that a search has done itself."""
    metrics = result.metrics
    return Before(
        learning_rate=config.search.training.learning_rate,
        validation_error=metrics.validation_error,
        validation_balanced_error=metrics.validation_balanced_error,
        test_error=metrics.test_error,
        test_balanced_error=metrics.test_balanced_error,
        took_s=result.costs.train_s,
    )


def _trained(
    config: Table1Config, target: Task, jobs: Sequence[_Job], bench: _Bench
) -> tuple[dict[_Job, TrainedNetwork], tuple[LeftOut, ...]]:
    """Every network trained and tested, or read; the dearest first, so that none is left alone at the end."""
    step = "train every network"
    bench.listener(StepStarted(step=step, total=len(jobs), unit="networks"))
    made: dict[_Job, TrainedNetwork] = {}
    left_out: list[LeftOut] = []
    for job in jobs:
        if (path := bench.piece(job.method, job.seed)).exists():
            made[job] = read_record(TrainedNetwork, path)
    todo = sorted(
        (job for job in jobs if job not in made),
        key=lambda job: subject_cost(job.subject, target.shape, len(target.classes)).macs,
        reverse=True,
    )
    futures = {
        bench.engine.submit_heard(
            bench.listener,
            trained_job,
            config.target,
            bench.library.reading,
            job.subject,
            config.trained,
            job.seed,
            job.before,
            bench.device,
            bench.checkpoint.child(slug(job.method)).child(f"seed-{job.seed}"),
        ): job
        for job in todo
    }
    for future in as_completed(futures):
        job = futures[future]
        try:
            made[job] = future.result()
        except SearchError as error:
            bench.listener(Warned(message=str(error)))
            left_out.append(LeftOut(method=job.method, seed=job.seed, reason=str(error)))
        else:
            write_json(bench.piece(job.method, job.seed), made[job])
            bench.checkpoint.child(slug(job.method)).child(f"seed-{job.seed}").clear()
        note = f"{job.method}, seed {job.seed}"
        bench.listener(StepAdvanced(step=step, done=len(made) + len(left_out), note=note))
    bench.listener(StepFinished(step=step))
    return made, tuple(sorted(left_out, key=lambda one: (one.method, one.seed)))


def _plain(result: Result) -> tuple[Plain, ...]:
    """Logistic regression and the constant, as the search of the seed has them."""
    metrics, classes = result.metrics, len(result.task.classes)
    logistic = next(rival for rival in result.rivals if rival.name == "logistic regression")
    channels, height, width = result.task.shape
    features = channels * min(height, MOST_SIDE) * min(width, MOST_SIDE)
    answers = 1 if classes == 2 else classes  # one logit tells two classes apart
    return (
        Plain(
            method=LOGISTIC,
            seed=result.seed,
            error=logistic.test_error,
            balanced_error=logistic.test_balanced_error,
            parameters=answers * (features + 1),
        ),
        Plain(
            method=CONSTANT,
            seed=result.seed,
            error=metrics.constant_error,
            balanced_error=metrics.constant_balanced_error,
            parameters=0,
        ),
    )
