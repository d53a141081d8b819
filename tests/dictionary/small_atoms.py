"""Small real atoms for the tests of dictionaries: scikit-learn's 8x8 digits, networks of a few weights."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace
from functools import cache
from typing import Any

from tests.strategies.small_search import EQUAL, one_edge

from tanas.algorithm.learn import Learnt, learn_atom
from tanas.algorithm.presets import LearnConfig
from tanas.dictionary.store import Dictionary
from tanas.dictionary.task_record import Atom, AtomTask, Provenance, best_first
from tanas.distances.representative import Representative, RepresentativeConfig, represent, state_of
from tanas.ground.checkpoints import Checkpoint, NoCheckpoint
from tanas.ground.context import Context
from tanas.ground.events import Listener, ignore
from tanas.ground.seeds import Seed
from tanas.networks.scoring import ScoringConfig, unscored
from tanas.networks.training import TrainingConfig
from tanas.strategies.fuse import FuseConfig
from tanas.tasks.library import Library
from tanas.tasks.task import Task

SEED = Seed(4)
TRAINING = TrainingConfig(epochs=10, batch=25, class_weights=True)
REPRESENTATIVE = RepresentativeConfig(
    architecture="small", features=16, epsilon=0.5, training=TRAINING, more_epochs=1, most_epochs=3
)
LEARN = LearnConfig(
    limit=150,
    representative=REPRESENTATIVE,
    space="paper",
    max_parameters=4_000,
    fuse=FuseConfig(rounds=1, candidates=2, images=60, validation_images=40, schedule=EQUAL),
    scoring=ScoringConfig(images=100, training=replace(TRAINING, epochs=1)),
    training=TRAINING,
)


@cache
def _made(name: str) -> tuple[Task, Representative]:
    task = Library().open(name).limited(150)
    return task, represent(task, REPRESENTATIVE, at=Context(seed=SEED))


def task_of(name: str = "digits:is=3") -> Task:
    return _made(name)[0]


def representative_of(name: str = "digits:is=3") -> Representative:
    return _made(name)[1]


def atom_of(name: str = "digits:is=3", *, seed: int = 0, called: str | None = None) -> Atom:
    """An atom of a real representative, its architectures made up.

    Args:
        name: of the task.
        seed: is written down.
        called: what the task is called; its own name if left out.
    """
    task = task_of(name)
    best = replace(unscored(one_edge("sep_conv_3x3"), task), score=0.75)
    architectures = (unscored(one_edge("identity"), task), best)
    record = replace(AtomTask.of(task, test_fingerprint="0123456789abcdef", limit=150), name=called or name)
    return Atom(
        task=record,
        representative=state_of(representative_of(name))[0],
        architectures=best_first(architectures),
        rounds=(),
        provenance=Provenance(
            made_by="build", seed=seed, versions={}, settings={}, represent_s=1.0, search_s=2.0
        ),
    )


def learn(
    task: Task,
    config: LearnConfig = LEARN,
    *,
    listener: Listener = ignore,
    checkpoint: Checkpoint | None = None,
) -> Learnt:
    return learn_atom(
        task,
        config,
        at=Context(seed=SEED, device="cpu", listener=listener, checkpoint=checkpoint or NoCheckpoint()),
    )


def untimed(atom: Atom) -> Atom:
    return replace(
        atom,
        representative=replace(atom.representative, took_s=0.0),
        rounds=tuple(replace(past, took_s=0.0) for past in atom.rounds),
        provenance=replace(atom.provenance, represent_s=0.0, search_s=0.0),
    )


class AtOnce:
    """An engine that runs each job as it comes, and counts them."""

    def __init__(self) -> None:
        self.jobs = 0

    def submit(self, function: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        self.jobs += 1
        future: Future[Any] = Future()
        future.set_result(function(*args, **kwargs))
        return future


def add_again_and_again(dictionary: Dictionary) -> None:
    """What two processes do at once, to the same atom."""
    for seed in range(10):
        dictionary.add(atom_of(seed=seed), representative_of())
