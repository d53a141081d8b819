"""A small real search for the tests of strategies: scikit-learn's 8x8 digits, tiny cells."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import replace
from functools import cache

from tanas.checkpoints import Checkpoint, NoCheckpoint
from tanas.events import Listener, ignore
from tanas.networks.architecture import Architecture
from tanas.networks.cell import Cell
from tanas.networks.scoring import ScoringConfig
from tanas.networks.skeleton import Skeleton
from tanas.networks.training import TrainingConfig
from tanas.seeds import Seed
from tanas.spaces.space import SearchSpace
from tanas.strategies.base import Deadline, Outcome, Strategy
from tanas.strategies.evolution import Evolution, EvolutionConfig
from tanas.strategies.fuse import Fuse, FuseConfig
from tanas.strategies.halving import Halving, HalvingConfig
from tanas.strategies.predictor import Predictor, PredictorConfig
from tanas.strategies.random_search import RandomConfig, RandomSearch
from tanas.strategies.schedules import Alternating, EqualWeights
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
    return strategy.search(
        space,
        task or digits().without_test(),
        seed_architecture=seed_architecture,
        seed=seed,
        device="cpu",
        workers=workers,
        deadline=deadline,
        listener=listener,
        checkpoint=checkpoint or NoCheckpoint(),
        budget_macs=budget_macs,
    )


def all_strategies() -> dict[str, Strategy]:
    """Every strategy of tanas in a small form; a new one is added here and has to keep every promise."""
    return {
        "fuse, equal weights": Fuse(CONFIG),
        "fuse, warm seed": Fuse(replace(CONFIG, warm_seed=True)),
        "fuse, alternating": Fuse(replace(CONFIG, schedule=ALTERNATING)),
        "random": RandomSearch(RandomConfig(candidates=10), SCORING),
        "evolution": Evolution(EvolutionConfig(candidates=7, population=3, sample=2), SCORING),
        "halving": Halving(HalvingConfig(candidates=8, eta=2), SCORING),
        "predictor": Predictor(PredictorConfig(candidates=7, initial=3, pool=20), SCORING),
    }


def untimed(outcome: Outcome) -> Outcome:
    return replace(outcome, rounds=tuple(replace(r, took_s=0.0) for r in outcome.rounds))


def names(architectures: Iterable[Architecture]) -> list[str]:
    return [architecture.key for architecture in architectures]
