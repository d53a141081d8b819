"""A small real search for the tests of strategies: scikit-learn's 8x8 digits, tiny cells."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache

import pytest

from tanas.algorithm.presets import SearchConfig
from tanas.ground.checkpoints import Checkpoint, NoCheckpoint
from tanas.ground.context import Context, Deadline
from tanas.ground.events import Listener, ignore
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture, Network
from tanas.networks.cell import Cell
from tanas.networks.scoring import Judgement, ScoringConfig
from tanas.networks.skeleton import Skeleton
from tanas.networks.training import TrainingConfig
from tanas.spaces.space import SearchSpace
from tanas.strategies import halving, trials
from tanas.strategies.base import Outcome
from tanas.strategies.darts import DartsConfig
from tanas.strategies.driver import Problem, Strategy, search
from tanas.strategies.evolution import EvolutionConfig
from tanas.strategies.fuse import Fuse, FuseConfig
from tanas.strategies.halving import HalvingConfig
from tanas.strategies.history import Trial
from tanas.strategies.predictor import PredictorConfig
from tanas.strategies.random_search import RandomConfig
from tanas.strategies.registry import STRATEGIES, make_strategy
from tanas.strategies.schedules import Alternating, EqualWeights
from tanas.strategies.shared import SharedConfig
from tanas.tasks.library import Library
from tanas.tasks.task import Task

SEED = Seed(3)
TRAINING = TrainingConfig(epochs=1, batch=50)
EQUAL = EqualWeights(training=TRAINING)
ALTERNATING = Alternating(
    training=TrainingConfig(epochs=1, batch=50, learning_rate=1e-3, weight_decay=0, schedule="constant"),
    stages=2,
)
CONFIG = FuseConfig(rounds=3, patience=3, images=100, validation_images=80, schedule=EQUAL)
SCORING = ScoringConfig(images=100, training=TRAINING)

SMALL = Skeleton(widths=(4,), cells=(1,), reductions=(False,))
LARGE = Skeleton(stem="half", widths=(4, 6), cells=(1, 1), reductions=(False, True))
SPACE = SearchSpace(
    name="small",
    operations=("identity", "zero", "sep_conv_3x3", "max_pool_3x3"),
    nodes=3,
    skeletons=(SMALL, LARGE),
)
"""78 architectures, the dearest with 384 parameters."""


@cache
def digits(name: str = "digits:is=8") -> Task:
    return Library().open(name).limited(300)


@cache
def tiny(name: str = "digits:is=8") -> Task:
    """60 images to train on, 60 to judge by."""
    task = Library().open(name)
    train, validation = task.train.stratified(60, SEED), task.validation.stratified(60, SEED)
    return replace(task, train=train, validation=validation)


def one_edge(operation: str, skeleton: Skeleton = SMALL) -> Architecture:
    return Architecture(skeleton=skeleton, cell=Cell(2, ((0, 1, operation),)))


def every_architecture(space: SearchSpace = SPACE) -> tuple[Architecture, ...]:
    return tuple(Architecture(skeleton=s, cell=c) for c in space.enumerate_cells() for s in space.skeletons)


def run(
    strategy: Strategy,
    space: SearchSpace = SPACE,
    task: Task | None = None,
    *,
    seed_architecture: Architecture | None = None,
    seed: Seed = SEED,
    workers: int = 1,
    deadline: Deadline = lambda: math.inf,
    listener: Listener = ignore,
    checkpoint: Checkpoint | None = None,
    budget_macs: int | None = None,
) -> Outcome:
    return search(
        strategy,
        Problem(
            space=space,
            task=task or digits().without_test(),
            seed_architecture=seed_architecture,
            at=Context(
                seed=seed,
                device="cpu",
                workers=workers,
                deadline=deadline,
                listener=listener,
                checkpoint=checkpoint or NoCheckpoint(),
            ),
            budget_macs=budget_macs,
        ),
    )


SMALL_CONFIG = SearchConfig(
    fuse=replace(CONFIG, rounds=2),
    random=RandomConfig(candidates=6),
    evolution=EvolutionConfig(candidates=6, population=3, sample=2),
    halving=HalvingConfig(candidates=6, eta=2),
    predictor=PredictorConfig(candidates=6, initial=3, pool=20),
    shared=SharedConfig(runs=2, finalists=3, pool=6, images=100, ranking_images=40, training=TRAINING),
    darts=DartsConfig(runs=2, finalists=3, images=100, training=TRAINING),
    scoring=SCORING,
)
"""Every strategy in a form that takes a fraction of a second; one that is added to tanas is made small here."""


def fuse_forms(config: FuseConfig = CONFIG) -> dict[str, Strategy]:
    """FUSE under either schedule."""
    return {
        "fuse": Fuse(config),
        "fuse, alternating": Fuse(replace(config, schedule=ALTERNATING)),
    }


def all_strategies() -> dict[str, Strategy]:
    """Every strategy of tanas in its small form, by its name and after a comma the form it is in."""
    fuse = SMALL_CONFIG.fuse
    return {
        **{name: make_strategy(name, SMALL_CONFIG) for name in STRATEGIES},
        **fuse_forms(fuse),
    }


def untimed(outcome: Outcome) -> Outcome:
    return replace(outcome, rounds=tuple(replace(r, took_s=0.0) for r in outcome.rounds))


def names(architectures: Iterable[Architecture]) -> list[str]:
    return [architecture.key for architecture in architectures]


@dataclass
class Script:
    """Stands in for the training of candidates: says how good each is, and writes down what it was asked."""

    says: Callable[[Architecture, int], Judgement | float | None]
    """(candidate, its epochs so far) -> how it is judged; a number is a score whose loss is 0."""
    asked: list[tuple[tuple[Architecture, ...], int]] = field(default_factory=list)
    """(candidates, epochs) of each round of trainings."""
    epochs: dict[Architecture, int] = field(default_factory=dict)
    """What each was trained for in all."""

    def judgement(self, candidate: Architecture) -> Judgement | None:
        said = self.says(candidate, self.epochs[candidate])
        return Judgement(score=said, loss=0.0) if isinstance(said, float) else said

    def trained_alone(
        self,
        candidates: Sequence[Architecture],
        networks: Sequence[Network],
        scoring: ScoringConfig,
        problem: Problem,
        *,
        seed: Seed,
    ) -> tuple[Trial, ...]:
        """In the place of the function of that name: it adds an epoch's number to each bias of the head."""
        epochs = scoring.training.epochs
        self.asked.append((tuple(candidates), epochs))
        for one, network in zip(candidates, networks, strict=True):
            self.epochs[one] = self.epochs.get(one, 0) + epochs
            network.head.bias.data += epochs
        images = epochs * len(problem.task.limited(scoring.images).train)
        return tuple(Trial(architecture=c, judgement=self.judgement(c), images=images) for c in candidates)


def scripted(
    monkeypatch: pytest.MonkeyPatch, says: Callable[[Architecture, int], Judgement | float | None]
) -> Script:
    """Candidates are no longer trained but judged by a function, until the test ends."""
    script = Script(says)
    for module in (trials, halving):
        monkeypatch.setattr(module, "trained_alone", script.trained_alone)
    return script
