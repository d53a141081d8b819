"""How a time limit is divided between the search and the final training."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from tanas.algorithm import time_limit
from tanas.algorithm.presets import SearchConfig
from tanas.algorithm.time_limit import final_seconds, for_search, in_time
from tanas.ground.checkpoints import FolderCheckpoint
from tanas.ground.context import Context
from tanas.ground.events import Event, Told
from tanas.networks.training import TrainingConfig
from tanas.spaces.named import named_space
from tanas.spaces.reference import reference_architecture
from tanas.tasks.library import Library
from tanas.tasks.task import Task

CONFIG = SearchConfig(training=TrainingConfig(epochs=12, batch=32, meant_for=1_000), rivals=False)


@cache
def task() -> Task:
    return Library().open("digits:only=1,7,8:take=120").without_test()


SPACE = named_space("standard", shape=(1, 8, 8))
FOUND = SPACE.sample(1, seed=Context().seed, shape=(1, 8, 8), classes=3)[0]
REFERENCE = reference_architecture(SPACE, (1, 8, 8), 3)


@pytest.fixture
def hour(monkeypatch: pytest.MonkeyPatch) -> float:
    """An image takes so long that the final training takes an hour."""
    monkeypatch.setattr(time_limit, "seconds_an_image", lambda *_: 1.0)
    pace = 3600 / final_seconds(FOUND, REFERENCE, task(), CONFIG, Context(), epochs=12)
    monkeypatch.setattr(time_limit, "seconds_an_image", lambda *_: pace)
    return 3600.0


def epochs(left: float, config: SearchConfig = CONFIG, at: Context | None = None) -> int:
    at = replace(at or Context(), deadline=lambda: left)
    return in_time(FOUND, REFERENCE, task(), config, at).training.suited_to(len(task().train)).epochs


def test_without_a_limit_nothing_changes() -> None:
    at = Context()
    assert for_search(SPACE, task(), CONFIG, at) is at
    assert in_time(FOUND, REFERENCE, task(), CONFIG, at) is CONFIG


@pytest.mark.parametrize("left", [10 * 3600, 3600, 10])
def test_the_search_leaves_time_for_a_score_and_what_the_final_training_needs_or_half(
    hour: float, left: float
) -> None:
    at = replace(Context(), deadline=lambda: left)
    config = replace(CONFIG, reference=False)  # then there is one network
    needed = final_seconds(FOUND, None, task(), config, at, epochs=12)
    pace = time_limit.seconds_an_image(None, None, 0, "")  # type: ignore[arg-type]
    a_score = pace * config.scoring.training.epochs * len(task().train)
    hurried = for_search(SPACE, task(), config, at)
    assert left - hurried.deadline() == pytest.approx(min(needed, left / 2) + a_score)


@pytest.mark.parametrize(
    ("left", "expected"), [(-5, 1), (1, 1), (1801, 6), (3601, 12), (7201, 24), (1e9, 48)]
)
def test_what_is_left_is_divided_into_epochs(hour: float, left: float, expected: int) -> None:
    assert epochs(left) == expected


def test_epochs_that_were_fixed_are_not_exceeded(hour: float) -> None:
    fixed = replace(CONFIG, training=replace(CONFIG.training, meant_for=0))
    assert (epochs(1801, fixed), epochs(1e9, fixed)) == (6, 12)


def test_another_number_of_epochs_is_told(hour: float) -> None:
    told: list[Event] = []
    for left in (3601, 1801):
        epochs(left, at=Context(listener=told.append))
    messages = [event.message for event in told if isinstance(event, Told)]
    assert len(messages) == 1 and "6" in messages[0] and "12" in messages[0]


def test_a_resumed_training_keeps_its_epochs(hour: float, tmp_path: Path) -> None:
    at = Context(checkpoint=FolderCheckpoint(tmp_path))
    assert epochs(1801, at=at) == epochs(10, at=at) == 6


def test_more_workers_recipes_and_comparisons_count() -> None:
    def seconds(config: SearchConfig, workers: int = 1) -> float:
        at = replace(Context(), workers=workers)
        return final_seconds(FOUND, None, task(), config, at, epochs=12)

    plain = replace(CONFIG, recipes=("plain",), refit=False, outlook=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time_limit, "seconds_an_image", lambda *_: 1.0)
        whole = 12 * len(task().train) * time_limit.OVERHEAD
        assert seconds(plain) == pytest.approx(whole)
        assert seconds(replace(plain, recipes=("plain", "light"))) == pytest.approx(1.5 * whole)
        assert seconds(replace(plain, outlook=True)) == pytest.approx(1.5 * whole)
        assert 1.5 * whole < seconds(replace(plain, refit=True)) < 1.8 * whole
        assert seconds(CONFIG, workers=2) < 0.6 * seconds(CONFIG)
        assert not math.isinf(seconds(CONFIG))


def test_with_little_time_comparisons_go_before_epochs(hour: float, tmp_path: Path) -> None:
    def left(seconds: float, at: Context | None = None) -> SearchConfig:
        at = replace(at or Context(), deadline=lambda: seconds)
        return in_time(FOUND, REFERENCE, task(), CONFIG, at)

    assert (left(901).outlook, len(left(901).recipes)) == (True, len(CONFIG.recipes))
    assert (left(880).outlook, len(left(880).recipes)) == (False, len(CONFIG.recipes))
    told: list[Event] = []
    at = Context(listener=told.append, checkpoint=FolderCheckpoint(tmp_path))
    # images of 8x8 pixels get no CutMix
    assert (left(5, at).outlook, left(5, at).recipes) == (False, ("light",))
    assert left(3601, at) == left(5, at), "a resumed training keeps its settings"
    assert any("no time to compare recipes: 'light'" in str(event) for event in told)
