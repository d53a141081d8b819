from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import pytest
import torch
from tests.strategies.small_search import SPACE, tiny

import tanas.strategies.estimate as pace
from tanas.ground.context import Context
from tanas.ground.seeds import Seed
from tanas.networks.architecture import build, cost_of
from tanas.strategies.base import training_macs
from tanas.strategies.driver import Strategy
from tanas.strategies.estimate import TIMED, examples_of, expected_seconds, seconds_an_image
from tanas.tasks.task import Task

TASK = tiny().without_test()
SEED = Seed(0)


class Planned:
    """A strategy that would train one candidate after the other on 1,000 images."""

    name = "planned"

    def expected_images(self, space: Any, task: Task, workers: int) -> float:
        return 1000 / workers


def expected(monkeypatch: pytest.MonkeyPatch, *, workers: int = 1, budget_macs: int | None = None) -> float:
    monkeypatch.setattr(pace, "seconds_an_image", lambda *_: 0.5)
    return expected_seconds(
        cast(Strategy, Planned()),
        SPACE,
        TASK,
        examples_of(SPACE, TASK, seed=SEED),
        Context(seed=SEED, workers=workers),
        batch=16,
        budget_macs=budget_macs,
    )


class TestExpectedSeconds:
    def test_are_those_of_all_images_that_the_strategy_expects(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert expected(monkeypatch) == pytest.approx(500)
        assert expected(monkeypatch, workers=2) == pytest.approx(250)

    def test_end_with_the_budget(self, monkeypatch: pytest.MonkeyPatch) -> None:
        costs = [cost_of(one, TASK.shape, 2).macs for one in examples_of(SPACE, TASK, seed=SEED)]
        budget = training_macs(sum(costs), 100) // len(costs)
        assert expected(monkeypatch, budget_macs=budget) == pytest.approx(50)
        assert expected(monkeypatch, workers=2, budget_macs=budget) == pytest.approx(25)
        assert expected(monkeypatch, budget_macs=100 * budget) == pytest.approx(500)


class TestExamples:
    def test_are_a_few_that_differ(self) -> None:
        assert len(set(examples_of(SPACE, TASK, seed=SEED))) == min(TIMED, SPACE.size)

    def test_need_no_latency_to_be_measured(self) -> None:
        def measured(*_: object) -> float:
            raise AssertionError("a latency was measured")

        slow = replace(SPACE, max_latency_ms=1.0, latency=measured)
        assert examples_of(slow, TASK, seed=SEED) == examples_of(SPACE, TASK, seed=SEED)


def test_timing_a_network_changes_neither_it_nor_any_draw() -> None:
    (one, *_) = examples_of(SPACE, TASK, seed=SEED)
    network = build(one, TASK.shape, 2, SEED)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    state = torch.get_rng_state()
    assert seconds_an_image(network, TASK, 16, "cpu") > 0
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
