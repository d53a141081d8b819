"""A table of the truth: what stand-alone training makes of many architectures on several tasks.

It is the ground on which questions about a search are answered with hundreds of seeds at no further cost
(`tanas_experiments.truth_analysis`). A row is one training; rows are made in an order in which every beginning of the
table is a fair sample of the sizes, so that it can be read whenever it is cut.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import asdict, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from torch.nn import functional

from tanas.ground.context import Context
from tanas.ground.errors import NonFiniteError, SettingError, StoreError, check_range
from tanas.ground.executor import Executor
from tanas.ground.records import write_bytes
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture, Shape, build, cost_of
from tanas.networks.training import TrainingConfig, evaluate, evaluation_of, fit, logits_of
from tanas.spaces.costs import cost_by_parts
from tanas.spaces.named import STANDARD_SPACE, named_space
from tanas.spaces.space import SearchSpace
from tanas.tasks.library import Library, data_root
from tanas.tasks.performance import Evaluation
from tanas.tasks.task import Task
from tanas_experiments.opened import opened
from tanas_experiments.permuted import write_permuted

SIZE_SHAPE: Shape = (1, 28, 28)
SIZE_CLASSES = 10
"""Sizes are stated for images of 28x28 in grey and ten classes: what most of the targets are."""
LIMIT_CLASSES = 100
"""Architectures stay within the space's limits for so many classes: the most that a target has."""
DRAWN = 4000
"""Draws from the space that are sorted into bins of size; the rarest bin, the largest, then holds some sixty."""
PERMUTED_FILE = "permuted-mnist.npz"
PERMUTED_TRAIN, PERMUTED_TEST = 5000, 5000
"""Images of the permuted set; a fifth of the first become the validation split, so 4,000 are left to train on."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """One of the tasks of the table."""

    id: str
    """Short, as the rows have it."""
    name: str
    """Of the task, with {data} for the data root and {work} for the folder of what is made here."""
    title: str
    """For people."""


TARGETS = (
    Target(id="moon", name="quickdraw:is=moon", title="moon against nine categories"),
    Target(
        id="one-style",
        name="npz:{data}/quickdraw/one_style.npz:is=moon",
        title="moon among nine categories of one style",
    ),
    Target(
        id="ten",
        # all 2,000 of each are official bitmaps, so no category shows by its style
        name="quickdraw:only=airplane,banana,bicycle,bird,book,cat,dog,fish,flower,house",
        title="ten categories of Quick, Draw!",
    ),
    Target(
        id="hundred",
        name="npz:{data}/quickdraw/first100cats_x100.npz",
        title="a hundred categories with a hundred drawings each",
    ),
    Target(id="fashion", name="fashion-mnist:take=4000", title="Fashion-MNIST, thousands of images"),
    Target(id="fashion-200", name="fashion-mnist:take=200", title="Fashion-MNIST, 200 images"),
    Target(id="permuted", name="npz:{work}/" + PERMUTED_FILE, title="MNIST, pixels permuted"),
    Target(id="digits", name="digits", title="digits, 8x8"),
)
"""Chosen to differ: in images, classes, their number, and in whether neighbouring pixels belong together."""


@dataclass(frozen=True, kw_only=True)
class TruthConfig:
    """What decides the table's numbers."""

    space: str = STANDARD_SPACE
    architectures: int = 100
    bins: int = 10
    """Equal in the logarithm of the parameters; each gives as many architectures."""
    least_parameters: int = 2_000
    """One in a hundred of the space is smaller."""
    most_parameters: int = 200_000
    """The space's own limit."""
    draw_seed: int = 4
    """Of the draw of the architectures."""
    seeds: tuple[int, ...] = (0, 1)
    """Each training is repeated so often: weights and order of the images."""
    images: int = 3000
    """Most training images, stratified; validation images in proportion. A training then takes some 13 s of one
    core on average, and the whole table 6 hours; with 4,000, as for the scores of a search, it would take 8."""
    test_images: int = 3000
    """Most test images, stratified: a standard error of 0.5 points at an error of a tenth."""
    epochs: int = 5
    least_steps: int = 100
    """Of each training. Five epochs of 200 images would be ten steps, in which nothing is learnt: small sets get
    more epochs."""
    learning_rate: float = TrainingConfig().learning_rate

    def __post_init__(self) -> None:
        check_range(self.architectures, "architectures", "TruthConfig", low=1)
        check_range(self.bins, "bins", "TruthConfig", low=1, high=self.architectures)
        check_range(self.images, "images", "TruthConfig", low=2)
        check_range(self.test_images, "test_images", "TruthConfig", low=2)
        check_range(self.epochs, "epochs", "TruthConfig", low=1)
        check_range(self.least_steps, "least_steps", "TruthConfig", low=1)
        check_range(self.least_parameters, "least_parameters", "TruthConfig", low=1)
        if self.most_parameters <= self.least_parameters:
            raise SettingError(
                "The 'most_parameters' of TruthConfig must be more than 'least_parameters'. "
                f"Got {self.most_parameters} and {self.least_parameters} instead."
            )

    def training(self, images: int) -> TrainingConfig:
        """The recipe for so many training images: the epochs, or more where they were too few steps."""
        plain = TrainingConfig(epochs=self.epochs, learning_rate=self.learning_rate)
        steps = math.ceil(images / plain.batch)
        epochs = max(self.epochs, math.ceil(self.least_steps / steps))
        return TrainingConfig(epochs=epochs, learning_rate=self.learning_rate)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One training. Everything but the test columns is what a search can see."""

    position: int
    """Of the architecture in the table."""
    key: str
    """`Architecture.key`."""
    target: str
    seed: int
    score: float
    """Validation performance l, clipped to [0, 1]; nan in this and all other figures: the training diverged."""
    unclipped: float
    """The same where a network worse than a constant answer is below 0."""
    val_error: float
    val_balanced: float
    """Balanced error on the validation split."""
    val_loss: float
    """Cross-entropy on the validation split, in nats."""
    test_error: float
    test_balanced: float
    parameters: int
    macs: int
    """Multiply-adds for one image."""
    seconds: float
    """Of one core, for the training and its answers: a busy machine does not change them much."""

    @property
    def job(self) -> Job:
        """Which training it is."""
        return Job(position=self.position, target=self.target, seed=self.seed)

    @property
    def diverged(self) -> bool:
        """Whether the training ended without figures."""
        return math.isnan(self.score)


@dataclass(frozen=True, kw_only=True, order=True)
class Job:
    """Which training."""

    position: int
    target: str
    seed: int


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where images are."""

    data: str
    """The data root."""
    work: str
    """Folder of what is made here and not committed."""


def draw_architectures(config: TruthConfig, space: SearchSpace | None = None) -> tuple[Architecture, ...]:
    """Draws the table's architectures, as many of each size, in an order whose every beginning is fair.

    Draws of the space are sorted into bins; the first of each bin come first, the bins in a new random order each
    time.

    Raises:
        SettingError: the space has too few architectures of a size.
    """
    space = space or named_space(config.space)
    seed = Seed(config.draw_seed).child("truth")
    pool = space.sample(DRAWN, seed=seed.child("pool"), shape=SIZE_SHAPE, classes=LIMIT_CLASSES)
    edges = np.linspace(math.log(config.least_parameters), math.log(config.most_parameters), config.bins + 1)
    bins: list[list[Architecture]] = [[] for _ in range(config.bins)]
    for one in pool:
        size = math.log(cost_by_parts(one, SIZE_SHAPE, SIZE_CLASSES).parameters)
        if edges[0] <= size <= edges[-1]:
            bins[min(int(np.searchsorted(edges, size, side="right")) - 1, config.bins - 1)].append(one)
    chosen: list[Architecture] = []
    for block in range(math.ceil(config.architectures / config.bins)):
        for place in seed.child("block", block).numpy().permutation(config.bins):
            if len(bins[place]) <= block:
                raise SettingError(
                    f"The space '{config.space}' gave {len(bins[place])} architectures of {math.exp(edges[place]):.0f} "
                    f"to {math.exp(edges[place + 1]):.0f} parameters. Ask for fewer bins or architectures."
                )
            chosen.append(bins[place][block])
    return tuple(chosen[: config.architectures])


def jobs(config: TruthConfig, targets: Sequence[Target] = TARGETS) -> Iterator[Job]:
    """Every training, in the order in which they are made."""
    for position in range(config.architectures):
        for target in targets:
            for seed in config.seeds:
                yield Job(position=position, target=target.id, seed=seed)


def shard_of(every: Iterable[Job], number: int, of: int) -> Iterator[Job]:
    """Every `of`-th architecture, from the `number`-th on, counted from 1: work for one of several machines.

    Raises:
        SettingError: there is no such part.
    """
    check_range(of, "of", "shard_of", low=1)
    check_range(number, "number", "shard_of", low=1, high=of)
    return (job for job in every if job.position % of == number - 1)


def target_named(id: str, targets: Sequence[Target] = TARGETS) -> Target:
    """A target by its short name.

    Raises:
        SettingError: there is none.
    """
    for target in targets:
        if target.id == id:
            return target
    raise SettingError(f"'{id}' is no target of the table. It has {', '.join(t.id for t in targets)}.")


@cache
def open_target(place: Place, id: str, images: int, test_images: int) -> Task:
    """A target with its images cut as the table wants them; kept, since it is asked for again and again.

    Args:
        place: where the images are.
        id: of the target.
        images: most training images.
        test_images: most test images.
    """
    target = target_named(id)
    # paths stand as they are: a space or a colon in them is part of the path
    name = target.name.replace("{data}", place.data).replace("{work}", place.work)
    library = Library(Path(place.data))
    if "{work}" in target.name:
        write_permuted(
            library.open("mnist"),
            Path(place.work) / PERMUTED_FILE,
            seed=Seed(0).child("permuted", "mnist"),
            train=PERMUTED_TRAIN,
            test=PERMUTED_TEST,
        )
    return cut(library.open(name), images, test_images)


def cut(task: Task, images: int, test_images: int) -> Task:
    """At most so many training and test images; the validation images in the proportion of the training ones."""
    test = opened(task).stratified(test_images, Seed(task.split_seed).child("truth test"))
    limited = task.limited(images)
    return Task(
        name=task.name,
        classes=limited.classes,
        train=limited.train,
        validation=limited.validation,
        _test=test,
        performance="balanced",
        split_seed=task.split_seed,
        notes=task.notes,
    )


def train_once(architecture: Architecture, task: Task, config: TruthConfig, job: Job) -> Row:
    """One training, judged on the validation and on the test split.

    Args:
        architecture: at the job's position.
        task: the job's target, cut.
        config: says how.
        job: gives the seed.
    """
    classes = len(task.classes)
    cost = cost_of(architecture, task.shape, classes)
    seed = Seed(job.seed).child("truth", job.target, architecture.key)
    nothing = dict.fromkeys(
        ("score", "unclipped", "val_error", "val_balanced", "val_loss", "test_error", "test_balanced"),
        math.nan,
    )
    began = time.process_time()
    try:
        network = build(architecture, task.shape, classes, seed.child("weights"))
        fit(
            network,
            task.train,
            config.training(len(task.train)),
            classes=classes,
            at=Context(seed=seed.child("order")),
        )
        logits = logits_of(network, task.validation)  # (samples, classes)
        seen = evaluation_of(logits, task.validation, classes=classes)
        test = evaluate(network, opened(task), classes=classes)
        figures = {
            "score": seen.performance("balanced"),
            "unclipped": unclipped(seen),
            "val_error": seen.error,
            "val_balanced": seen.balanced_error,
            "val_loss": float(functional.cross_entropy(logits.double(), task.validation.labels)),
            "test_error": test.error,
            "test_balanced": test.balanced_error,
        }
    except NonFiniteError:
        figures = nothing
    return Row(
        position=job.position,
        key=architecture.key,
        target=job.target,
        seed=job.seed,
        parameters=cost.parameters,
        macs=cost.macs,
        seconds=round(time.process_time() - began, 2),
        **{name: round(value, 5) for name, value in figures.items()},
    )


def unclipped(evaluation: Evaluation) -> float:
    """Validation performance l without its floor: below 0 for a network worse than a constant answer."""
    present = sum(1 for row in evaluation.confusion if sum(row) > 0)
    chance = 1 / max(present, 2)
    return (1 - evaluation.balanced_error - chance) / (1 - chance)


def train_job(place: Place, architecture: Architecture, config: TruthConfig, job: Job) -> Row:
    """As `train_once`, with the target opened here: what a worker process is given is small."""
    return train_once(
        architecture, open_target(place, job.target, config.images, config.test_images), config, job
    )


def fill(
    architectures: Sequence[Architecture],
    config: TruthConfig,
    place: Place,
    *,
    wanted: Iterable[Job],
    done: Collection[Job],
    engine: Executor,
    workers: int,
    deadline: Callable[[], float],
    finished: Callable[[Row], None],
    train: Callable[[Place, Architecture, TruthConfig, Job], Row] = train_job,
) -> int:
    """Makes the trainings that are not there yet, until none is left or the time is gone.

    Args:
        architectures: the table's.
        config: says how.
        place: where the images are.
        wanted: every training of the table, in order.
        done: trainings whose rows are there; they are not made again.
        engine: runs the trainings.
        workers: how many at a time.
        deadline: seconds left; no training begins when they are gone.
        finished: is given each row as it comes.
        train: makes a row.

    Returns:
        how many were made.
    """
    left = (job for job in wanted if job not in done)
    running: set[Future[Row]] = set()
    made = 0
    try:
        while True:
            while len(running) < workers and deadline() > 0 and (job := next(left, None)) is not None:
                running.add(engine.submit(train, place, architectures[job.position], config, job))
            if not running:
                return made
            ended, running = wait(running, return_when=FIRST_COMPLETED)
            for future in ended:
                finished(future.result())
                made += 1
    finally:
        for future in running:
            future.cancel()


def table_text(rows: Iterable[Row], targets: Sequence[Target] = TARGETS) -> str:
    """The rows as CSV, sorted: the same table gives the same bytes whoever made its rows in which order."""
    order = {target.id: number for number, target in enumerate(targets)}
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    names = [field.name for field in fields(Row)]
    writer.writerow(names)
    for row in sorted(rows, key=lambda row: (row.position, order.get(row.target, len(order)), row.seed)):
        plain = asdict(row)
        writer.writerow([_shown(plain[name]) for name in names])
    return out.getvalue()


def _shown(value: object) -> str:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.5g}" if abs(value) >= 1 else f"{round(value, 5):g}"
    return str(value)


def read_table(path: Path) -> tuple[Row, ...]:
    """Reads a table that `table_text` made; a file that is not there is an empty one.

    Raises:
        StoreError: the file is of another form, or a training stands in it twice.
    """
    if not path.exists():
        return ()
    names = [field.name for field in fields(Row)]
    reader = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))
    if reader.fieldnames is None or list(reader.fieldnames) != names:
        raise StoreError(f"{path} is no table of trainings: its first line must be {','.join(names)}.")
    rows = []
    for number, line in enumerate(reader, start=2):
        try:
            rows.append(_row(line))
        except (TypeError, ValueError) as error:
            raise StoreError(f"Line {number} of {path} can't be read: {error}. Remove the line.") from error
    if len({row.job for row in rows}) < len(rows):
        raise StoreError(f"{path} holds a training twice. Remove one of the two lines.")
    return tuple(rows)


def _row(line: Mapping[str, str]) -> Row:
    whole = {"position": int, "seed": int, "parameters": int, "macs": int}
    text = ("key", "target")
    values: dict[str, Any] = {}
    for field in fields(Row):
        value = line[field.name]
        if field.name in text:
            values[field.name] = value
        elif field.name in whole:
            values[field.name] = int(value)
        else:
            values[field.name] = float(value) if value else math.nan
    return Row(**values)


def table_digest(rows: Iterable[Row]) -> str:
    """sha256 of the table's file."""
    return hashlib.sha256(table_text(rows).encode()).hexdigest()


def whole_positions(rows: Iterable[Row], targets: Sequence[str], seeds: Sequence[int]) -> tuple[int, ...]:
    """Architectures with all their trainings, by position; those that diverged count as there."""
    there = {row.job for row in rows}
    return tuple(
        position
        for position in sorted({job.position for job in there})
        if all(
            Job(position=position, target=target, seed=seed) in there for target in targets for seed in seeds
        )
    )


def write_table(path: Path, rows: Iterable[Row]) -> None:
    """Writes a table, whole or not at all."""
    write_bytes(path, table_text(rows).encode())


@dataclass(frozen=True, kw_only=True)
class TargetRecord:
    """A target as it was trained on."""

    id: str
    name: str
    """As in `Target`, with {data} and {work} left in it."""
    title: str
    shape: Shape
    classes: int
    train: int
    validation: int
    test: int
    """Images."""
    epochs: int
    fingerprint: str
    """Over training and validation data."""
    test_fingerprint: str


@dataclass(frozen=True, kw_only=True)
class TaskDistance:
    """d from one target's representative to another target."""

    source: str
    target: str
    value: float
    order: float
    """By which sources are ordered where values are equal."""


@dataclass(frozen=True, kw_only=True)
class DistanceStudy:
    """The distances between the targets, and what made them."""

    method: str
    seed: int
    seconds: float
    values: tuple[TaskDistance, ...]
    versions: dict[str, str]
    hardware: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Triple:
    """Three architectures of the table, compared on one target by one round of FUSE and by separate trainings."""

    target: str
    number: int
    """Of the draw on this target."""
    positions: tuple[int, ...]
    """Of the candidates in the table."""
    weights: tuple[float, ...]
    """softmax(alpha) after the round; 0: dropped."""
    alpha_macs: int
    """Multiply-adds of the round's trainings, forward and backward."""
    alpha_s: float
    separate: tuple[float | None, ...]
    """Validation performance l of each after a separate training of as many epochs; None: it diverged."""
    separate_losses: tuple[float | None, ...]
    """Cross-entropy of each on the validation split, which tells two of the same l apart."""
    separate_macs: int
    separate_s: float


@dataclass(frozen=True, kw_only=True)
class TripleStudy:
    """How triples were compared, and what came of it."""

    seed: int
    schedule: dict[str, Any]
    """Of the round; the separate trainings are by its recipe."""
    triples: tuple[Triple, ...]
    versions: dict[str, str]
    hardware: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class TruthRecord:
    """What belongs to a table: how it was made, its architectures and targets, and what was measured beside it."""

    what: str
    command: str
    n: int
    """Trainings of the whole table; how many are there, its rows say."""
    seeds: tuple[int, ...]
    config: TruthConfig
    architectures: tuple[Architecture, ...]
    """By position. They are kept, so that the table stays readable when the space changes."""
    targets: tuple[TargetRecord, ...]
    hardware: dict[str, Any]
    versions: dict[str, str]
    distances: DistanceStudy | None = None
    triples: TripleStudy | None = None


def described(target: Target, task: Task, config: TruthConfig) -> TargetRecord:
    """What is kept of a target."""
    _, test = task.sealed()
    return TargetRecord(
        id=target.id,
        name=target.name,
        title=target.title,
        shape=task.shape,
        classes=len(task.classes),
        train=len(task.train),
        validation=len(task.validation),
        test=len(test),
        epochs=config.training(len(task.train)).epochs,
        fingerprint=task.fingerprint,
        test_fingerprint=test.fingerprint,
    )


def check_same(before: TruthRecord, targets: Sequence[TargetRecord], config: TruthConfig) -> None:
    """Refuses to go on with a table that was made otherwise.

    Raises:
        SettingError: the settings differ, or the images of a target; the message names the first.
    """
    if before.config != config:
        raise SettingError(
            "The table was begun with other settings. Name another --out, or repeat the first command."
        )
    for was, now in zip(before.targets, targets, strict=True):
        if was != now:
            raise SettingError(
                f"The images of the target '{now.id}' are not those that the table was begun with. "
                "Name the same data root, or another --out."
            )


def place_of(data: Path | None, work: Path) -> Place:
    """Where the images are, by absolute paths."""
    return Place(data=str(data_root(data).resolve()), work=str(work.resolve()))
