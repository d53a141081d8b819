"""What makes FUSE choose the best of its candidates? Every way of a round, on the same triples.

    TANAS_DATA=DIR python -m tanas_experiments.run.fuse --out WORK [--triples N] [--variants A,B]

On two development targets triples of architectures are drawn from the standard space. The truth about an architecture
is its validation performance l after a training of its own, a mean over several seeds. Every variant of a round of FUSE
then compares the same triples, from the same initial weights, on other validation images than those of the truth.
Beside them: separate trainings at the same cost.

Every piece is kept in WORK: the same command goes on where it stopped, and `--variants` measures some only; the
record then holds every way that WORK has whole. No test image is used.
`--smoke` tries it all on scikit-learn's digits in a minute or two.
The figures go to records/fuse.json (smoke: to WORK).
"""

from __future__ import annotations

import argparse
import math
import os
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from tanas.ground.context import Context
from tanas.ground.errors import NonFiniteError
from tanas.ground.records import read_record, to_plain, write_json
from tanas.ground.seeds import Seed
from tanas.ground.versions import processor, versions
from tanas.networks.architecture import Architecture, build
from tanas.networks.scoring import judged
from tanas.networks.training import TrainingConfig, fit
from tanas.spaces.costs import cost_by_parts
from tanas.spaces.named import named_space
from tanas.strategies.base import training_macs
from tanas.strategies.fuse import FuseConfig
from tanas.strategies.mixture import Mixture
from tanas.strategies.schedules import Alternating, EqualWeights, Schedule
from tanas.tasks.library import Library
from tanas.tasks.task import Task
from tanas_experiments.choice import (
    Compared,
    Member,
    StudyRecord,
    Truth,
    Way,
    figures,
    noise_of,
)
from tanas_experiments.choice_page import summary
from tanas_experiments.packed import write_packed
from tanas_experiments.places import RECORDS

RECORD = RECORDS / "fuse.json"
SEED = Seed(0)

TARGETS = ("mnist", "fashion-mnist:only=0,2,4,6")
"""An easy one, and a hard one: T-shirts, pullovers, coats and shirts. No search of the evidence is for one of them, but
tasks over the same images are among those of the table and of the stream."""
SMOKE_TARGETS = ("digits:only=3,5,8,9",)


@dataclass(frozen=True, kw_only=True)
class Size:
    """How much is trained on and compared."""

    images: int = 2000
    """Training images."""
    batch: int = 64
    """Images a step: a stage takes as many steps as on the images of a search, with its batch."""
    choice_images: int = 1000
    """Validation images of the round."""
    truth_images: int = 2000
    """Other validation images, of the truth."""
    architectures: int = 24
    epochs: int = 5
    """Of the truth."""
    runs: int = 4
    """Trainings behind a truth, with a seed each."""
    most_values: int = 24_000
    """Most values that a network computes for an image (`values_of`): slower architectures are skipped."""


STUDY = Size()
SMOKE = Size(
    images=200,
    batch=10,
    choice_images=100,
    truth_images=100,
    architectures=6,
    epochs=2,
    runs=2,
    most_values=8_000,
)


@dataclass(frozen=True, kw_only=True)
class Variant:
    """A way of a round."""

    schedule: Schedule | None
    """None: no mixture, each candidate is trained separately, for two epochs. The study sets its batch."""
    candidates: int = 3
    half: bool = False
    """Whether half of the training images are used."""
    triples: int | None = None
    """Only so many of each target, where one takes long."""
    batch: int = 128
    """Of separate trainings."""

    def with_batch(self, batch: int) -> Variant:
        """The same with so many images a step."""
        if self.schedule is None:
            return replace(self, batch=batch)
        training = replace(self.schedule.training, batch=batch)
        return replace(self, schedule=replace(self.schedule, training=training), batch=batch)


def equal(epochs: int = 2, own_loss: float = 0.0) -> EqualWeights:
    """Equal weights while w descends, alpha solved once at the end."""
    return EqualWeights(training=replace(EqualWeights().training, epochs=epochs), own_loss=own_loss)


VARIANTS = {
    "equal": Variant(schedule=equal()),
    "own": Variant(schedule=equal(own_loss=1.0)),
    "separate": Variant(schedule=None),
    "tempered": Variant(schedule=Alternating(training=TrainingConfig(epochs=1), stages=2, tolerance=0.0)),
    "own-1-epoch": Variant(schedule=equal(epochs=1, own_loss=1.0)),
    "own-half-images": Variant(schedule=equal(own_loss=1.0), half=True),
    "own-4-epochs": Variant(schedule=equal(epochs=4, own_loss=1.0)),
    "own-2-candidates": Variant(schedule=equal(own_loss=1.0), candidates=2),
    "own-5-candidates": Variant(schedule=equal(own_loss=1.0), candidates=5),
    "letter": Variant(schedule=Alternating(), triples=3),
}
"""Name to variant, in the order in which they are measured. The committed record has three more, by settings that
FUSE no longer has: 'solved', 'floor' and 'own-warm'."""


def main() -> None:
    """Measures what is not there yet and writes the record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder that keeps every piece")
    parser.add_argument("--triples", type=int, default=24, help="of each target")
    parser.add_argument("--variants", default=",".join(VARIANTS), help="names with commas between")
    parser.add_argument("--smoke", action="store_true", help="digits only, everything small")
    arguments = parser.parse_args()
    if unknown := set(arguments.variants.split(",")) - set(VARIANTS):
        parser.error(f"no variant: {', '.join(sorted(unknown))}. There are {', '.join(VARIANTS)}")
    if arguments.triples < 1:
        parser.error("--triples must be at least 1")
    torch.set_num_threads(1)
    study = Study(out=arguments.out, triples=arguments.triples, smoke=arguments.smoke)
    for target in study.targets:
        study.measure_truth(target)
    for name in arguments.variants.split(","):
        for target in study.targets:
            study.measure(target, name)
        study.write()
    study.write()
    print(summary(study.record()))
    print(f"The record is {study.record_path}.")


@dataclass(frozen=True)
class Study:
    """The targets, the sizes, and the folder with what was measured."""

    out: Path
    triples: int
    smoke: bool

    @property
    def targets(self) -> tuple[str, ...]:
        """Names of tasks."""
        return SMOKE_TARGETS if self.smoke else TARGETS

    @property
    def size(self) -> Size:
        """How much is trained on."""
        return SMOKE if self.smoke else STUDY

    @property
    def record_path(self) -> Path:
        """Where the figures go."""
        return self.out / "fuse.json" if self.smoke else RECORD

    @cached_property
    def architectures(self) -> tuple[Architecture, ...]:
        """Drawn once, for all targets; those that compute too much are skipped."""
        task, size = _opened(self.targets[0]), self.size
        space = named_space("standard", shape=task.shape)
        drawn = space.sample(
            12 * size.architectures,
            seed=SEED.child("architectures"),
            shape=task.shape,
            classes=len(task.classes),
        )
        light = [one for one in drawn if values_of(one, task.shape) <= size.most_values]
        if len(light) < size.architectures:
            raise SystemExit(f"only {len(light)} of {len(drawn)} architectures are light enough")
        return tuple(light[: size.architectures])

    def groups(self, target: str) -> tuple[tuple[int, ...], ...]:
        """Positions of five architectures each, of which the first three are the triple.

        Triples are cut from permutations of all architectures, so that each is in equally many.
        """
        count, groups = len(self.architectures), list[tuple[int, ...]]()
        generator = SEED.child("triples", target).numpy()
        while len(groups) < self.triples:
            order = generator.permutation(count).tolist()
            for start in range(0, count - 2, 3):
                triple = order[start : start + 3]
                others = [at for at in order if at not in triple]
                more = generator.permutation(len(others))[:2]
                groups.append((*triple, *(others[at] for at in more)))
        return tuple(groups[: self.triples])

    def measure_truth(self, target: str) -> None:
        """Trains every architecture on its own."""
        for at, architecture in enumerate(self.architectures):
            for run in range(self.size.runs):
                path = self._truth(target, architecture, run)
                if path.exists():
                    continue
                task = truth_task(target, self.size)
                training = TrainingConfig(epochs=self.size.epochs, batch=self.size.batch)
                seed = SEED.child("truth", target, architecture.key, run)
                with _timed() as took:
                    member = trained(architecture, task, training, seed.child("weights"), seed.child("order"))
                write_json(path, member)
                _say(
                    f"{target}: truth {at + 1} of {len(self.architectures)}, run {run + 1}: l = "
                    f"{'-' if member.score is None else f'{member.score:.3f}'}, {took[0]:.1f} CPU-s"
                )

    def measure(self, target: str, name: str) -> None:
        """Compares every triple in one way."""
        variant = VARIANTS[name].with_batch(self.size.batch)
        for number, group in enumerate(self.groups(target)[: variant.triples]):
            path = self._compared(target, name, number)
            if path.exists():
                continue
            members = tuple(self.architectures[at] for at in group[: variant.candidates])
            task, seed = choice_task(target, self.size), SEED.child("round", target, number)
            compared = compare(members, variant, task, seed=seed, target=target, number=number)
            write_json(path, compared)
            _say(
                f"{target}: {name}, {number + 1} of {variant.triples or self.triples}: "
                + ", ".join("-" if one.score is None else f"{one.score:.3f}" for one in compared.members)
                + f", {compared.cpu_s:.1f} CPU-s"
            )

    def record(self) -> StudyRecord:
        """All that was measured, and its figures; a way that is under way is left out."""
        truths, ways = list[Truth](), []
        for target in self.targets:
            truths += self._truths(target)
        for name in VARIANTS:
            numbers = range(min(self.triples, VARIANTS[name].triples or self.triples))
            paths = [self._compared(target, name, number) for target in self.targets for number in numbers]
            if all(path.exists() for path in paths):
                compared = [read_record(Compared, path) for path in paths]
                ways.append(
                    Way(
                        name=name,
                        settings=to_plain(VARIANTS[name].with_batch(self.size.batch)),
                        compared=tuple(compared),
                    )
                )
        known = {(truth.target, truth.key) for truth in truths}
        # a study under way has truths of some only
        ways = [kept for way in ways if (kept := _within(way, known)) is not None]
        runs = min((len(truth.runs) for truth in truths), default=self.size.runs)
        return StudyRecord(
            what="how often a round of FUSE chooses the best of its candidates, by the way w and alpha are trained",
            command=f"python -m tanas_experiments.run.fuse --out WORK --triples {self.triples}"
            + (" --smoke" if self.smoke else ""),
            n=max((len(way.compared) for way in ways), default=0),
            targets=self.targets,
            seed=SEED.root,
            size=to_plain(replace(self.size, runs=runs)),
            architectures=tuple(to_plain(one) for one in self.architectures),
            default=default_way(),
            noise=noise_of(truths),
            truths=tuple(truths),
            ways=tuple(ways),
            figures=figures(truths, ways),
            hardware=f"{processor()}, one thread",
            versions=versions(),
        )

    def _truths(self, target: str) -> list[Truth]:
        """Of every architecture with at least two runs, as many runs as all of these have."""
        found = {}
        for architecture in self.architectures:
            paths = [self._truth(target, architecture, run) for run in range(self.size.runs)]
            found[architecture.key] = [read_record(Member, path) for path in paths if path.exists()]
        found = {key: runs for key, runs in found.items() if len(runs) > 1}
        common = min(map(len, found.values()), default=0)
        return [Truth(target=target, key=key, runs=tuple(runs[:common])) for key, runs in found.items()]

    def write(self) -> None:
        """Writes the record as it stands."""
        write_packed(self.record_path, self.record())

    def _truth(self, target: str, architecture: Architecture, run: int) -> Path:
        return self.out / "truth" / _slug(target) / f"{architecture.key}-{run}.json"

    def _compared(self, target: str, name: str, number: int) -> Path:
        return self.out / "rounds" / _slug(target) / name / f"{number}.json"


def default_way() -> tuple[str, str]:
    """The way that `FuseConfig` has, and the rule that FUSE goes by."""
    config = FuseConfig()
    for name, variant in VARIANTS.items():
        if variant == Variant(schedule=config.schedule, candidates=config.candidates):
            return name, "alpha"
    raise SystemExit("No variant is the default of FuseConfig. Add it to VARIANTS and measure it.")


def _within(way: Way, known: Collection[tuple[str, str]]) -> Way | None:
    """Without the groups whose truth is not known; None: none is left."""
    kept = [one for one in way.compared if all((one.target, member.key) in known for member in one.members)]
    return replace(way, compared=tuple(kept)) if kept else None


def values_of(architecture: Architecture, shape: tuple[int, int, int]) -> int:
    """Values that the operations of an architecture give for an image: what a step takes on a CPU goes with them.

    Args:
        architecture: in canonical form.
        shape: (channels, height, width) of the images.
    """
    skeleton, (_, height, width) = architecture.skeleton, shape
    halves, total = int(skeleton.stem == "half"), 0
    edges = sum(name not in ("identity", "zero") for _, _, name in architecture.cell.edges)
    for channels, cells, reduces in zip(skeleton.widths, skeleton.cells, skeleton.reductions, strict=True):
        halves += reduces
        area = math.ceil(height / 2**halves) * math.ceil(width / 2**halves)
        total += edges * cells * channels * area
    return total


def compare(
    members: tuple[Architecture, ...],
    variant: Variant,
    task: Task,
    *,
    seed: Seed,
    target: str,
    number: int,
) -> Compared:
    """One round of FUSE over given candidates, in one way.

    Args:
        members: the candidates.
        variant: the way.
        task: its training and validation images.
        seed: of initial weights and orders, the same for every way.
        target: name of the task, for the record.
        number: of the triple, for the record.
    """
    if variant.half:
        task = replace(task, train=task.train.stratified(len(task.train) // 2, seed.child("half")))
    macs = [cost_by_parts(one, task.shape, len(task.classes)).macs for one in members]
    weights: tuple[float, ...] | None = None
    with _timed() as took:
        if variant.schedule is None:
            training = TrainingConfig(epochs=2, batch=variant.batch)
            found = tuple(
                trained(one, task, training, seed.child("weights", place), seed.child("order", one.key))
                for place, one in enumerate(members)
            )
            images = [training.epochs * len(task.train)] * len(members)
            scores, losses = [one.score for one in found], [one.loss for one in found]
        else:
            at = Context(seed=seed)
            mixture = Mixture(members, task, at)
            stages = variant.schedule.run(mixture, task, at.drawing("order"))
            judgements = mixture.judgements(task)
            scores = [None if one is None else one.score for one in judgements]
            losses = [None if one is None else one.loss for one in judgements]
            weights, images = stages[-1].weights, mixture.images_seen
    return Compared(
        target=target,
        number=number,
        members=tuple(
            Member(key=one.key, score=score, loss=loss, weight=None if weights is None else weights[place])
            for place, (one, score, loss) in enumerate(zip(members, scores, losses, strict=True))
        ),
        cpu_s=round(took[0], 2),
        macs=sum(training_macs(each, seen) for each, seen in zip(macs, images, strict=True)),
    )


def trained(
    architecture: Architecture, task: Task, training: TrainingConfig, weights: Seed, order: Seed
) -> Member:
    """Trains an architecture on its own and judges it on the validation images of a task."""
    network = build(architecture, task.shape, len(task.classes), weights)
    try:
        fit(network, task.train, training, classes=len(task.classes), at=Context(seed=order))
        judgement = judged(network, task)
    except NonFiniteError:
        return Member(key=architecture.key, score=None, loss=None, weight=None)
    return Member(key=architecture.key, score=judgement.score, loss=judgement.loss, weight=None)


@cache
def _opened(target: str) -> Task:
    return Library().open(target).without_test()


@cache
def choice_task(target: str, size: Size) -> Task:
    """The images that a round trains and compares on."""
    task, seed = _opened(target), SEED.child("images")
    return replace(
        task,
        train=task.train.stratified(size.images, seed.child("train")),
        validation=task.validation.stratified(size.choice_images, seed.child("choice")),
    )


@cache
def truth_task(target: str, size: Size) -> Task:
    """The same training images, and validation images of which a round has none."""
    task, chosen = _opened(target), choice_task(target, size)
    others = torch.isin(task.validation.rows, chosen.validation.rows, invert=True)
    rest = task.validation.subset(torch.nonzero(others).flatten())
    return replace(chosen, validation=rest.stratified(size.truth_images, SEED.child("images", "truth")))


@contextmanager
def _timed() -> Iterator[list[float]]:
    """CPU seconds of what is done within, filled in at its end; other work on the machine counts little in them."""
    took: list[float] = []
    began = time.process_time()
    yield took
    took.append(time.process_time() - began)


def _slug(name: str) -> str:
    return "".join(letter if letter.isalnum() else "_" for letter in name)


def _say(message: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {message}", flush=True)


if __name__ == "__main__":
    main()
