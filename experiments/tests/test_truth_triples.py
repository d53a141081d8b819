from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
import torch

from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture, cost_of
from tanas.networks.training import TrainingConfig
from tanas.spaces.named import named_space
from tanas.strategies.base import training_macs
from tanas.strategies.schedules import EqualWeights
from tanas.tasks.library import Library
from tanas.tasks.task import Task
from tanas_experiments.truth import SIZE_CLASSES, SIZE_SHAPE, Triple, cut
from tanas_experiments.truth_triples import compare, draw_triples


@pytest.fixture(scope="module")
def task() -> Task:
    return cut(Library().open("digits"), 64, 40)


class TestDraw:
    def test_gives_different_triples_of_different_architectures(self) -> None:
        drawn = draw_triples(range(9), 40, Seed(0))
        assert len({frozenset(one) for one in drawn}) == 40
        assert all(len(set(one)) == 3 and max(one) < 9 for one in drawn)

    def test_of_fewer_is_the_beginning_of_more(self) -> None:
        assert draw_triples(range(30), 5, Seed(1)) == draw_triples(range(30), 50, Seed(1))[:5]

    def test_gives_all_where_no_more_are_there(self) -> None:
        assert draw_triples([4, 6, 8, 9], 100, Seed(0)) == ((4, 6, 8), (4, 6, 9), (4, 8, 9), (6, 8, 9))


EPOCHS = 2


def candidates() -> Sequence[Architecture]:
    small = named_space("standard").limited(max_parameters=5000)
    return small.sample(3, seed=Seed(0), shape=SIZE_SHAPE, classes=SIZE_CLASSES)


def compared(task: Task) -> Triple:
    torch.set_num_threads(1)
    return compare(
        candidates(),
        task,
        EqualWeights(training=TrainingConfig(epochs=EPOCHS, batch=32)),
        target="digits",
        number=7,
        positions=(2, 0, 1),
        seed=Seed(0),
    )


@pytest.fixture(scope="module")
def made(task: Task) -> Triple:
    return compared(task)


class TestCompare:
    def test_costs_the_same_by_the_mixture_and_apart(self, task: Task, made: Triple) -> None:
        macs = sum(cost_of(one, task.shape, 10).macs for one in candidates())
        assert made.alpha_macs == made.separate_macs == training_macs(macs, EPOCHS * len(task.train))

    def test_gives_weights_and_scores_of_each(self, made: Triple) -> None:
        assert sum(made.weights) == pytest.approx(1, abs=1e-4) and len(made.separate) == 3
        assert all(score is not None and 0 <= score <= 1 for score in made.separate)
        assert (made.target, made.number, made.positions) == ("digits", 7, (2, 0, 1))

    def test_gives_the_same_again_and_does_not_need_the_test_split(self, task: Task, made: Triple) -> None:
        again = compared(task.without_test())
        assert replace(again, alpha_s=0, separate_s=0) == replace(made, alpha_s=0, separate_s=0)
