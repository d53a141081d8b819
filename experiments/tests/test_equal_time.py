"""Networks made by hand that get the time of a search."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tanas.algorithm.presets import quick
from tanas.ground.context import Context
from tanas.tasks.library import Library
from tanas_experiments.equal_time import (
    EQUAL_TIME_KIND,
    LEARNING_RATES,
    EqualTimeRecord,
    EqualTimeRow,
    epochs_in,
    equal_time_page,
    trained_as_long,
)
from tanas_experiments.targets import TargetRow

SEARCH = TargetRow(
    target="bars",
    seed=0,
    test_images=100,
    train_images=1_200,
    performance="balanced",
    error=0.10,
    balanced_error=0.10,
    rivals={},
    recipe="light",
    parameters=4_000,
    macs=10,
    reference_taken=True,
    took_s={"total": 2.0},
    settings="",
)


def made(network: str, error: float, seed: int = 0) -> EqualTimeRow:
    return EqualTimeRow(
        target="bars",
        seed=seed,
        network=network,
        parameters=400_000,
        macs=1_000,
        recipe="plain",
        steps=10,
        error=error,
        balanced_error=error,
        given_s=2.0,
        took_s=2.5,
    )


def test_twice_the_time_is_twice_the_epochs_and_there_are_two_at_least() -> None:
    task = Library().open("digits:take=80")
    config = quick()
    few = epochs_in(100, 1.0, task, config, workers=2)
    assert few > 2
    assert epochs_in(200, 1.0, task, config, workers=2) in (2 * few, 2 * few + 2)
    assert epochs_in(0.1, 1.0, task, config, workers=2) == 2
    assert epochs_in(100, 1.0, task, config, workers=1) <= few


@pytest.mark.parametrize("kind", LEARNING_RATES)
def test_a_network_is_trained_by_its_best_recipe_and_tested(kind: str) -> None:
    task = Library().open("digits:only=0,1:take=40")
    search = replace(SEARCH, took_s={"total": 0.1})
    row = trained_as_long(task, search, kind, quick(), Context())
    assert (row.target, row.network, row.recipe in quick().recipes) == ("bars", kind, True)
    assert 0 <= row.balanced_error <= 1
    assert row.parameters == pytest.approx(4_000 if kind == "residual" else 11_000_000, rel=0.1)


def test_the_page_compares_the_same_seeds() -> None:
    searches = [SEARCH, replace(SEARCH, seed=1, balanced_error=0.5)]  # without a partner
    record = EqualTimeRecord(
        kind=EQUAL_TIME_KIND,
        schema=1,
        command="python -m tanas_experiments.run.equal_time",
        n=1,
        hardware={"processor": "a processor", "cores": 2},
        versions={"torch": "2"},
        settings="",
        rows=(made("residual", 0.12), made("resnet18-small", 0.3)),
    )
    page = equal_time_page(record, searches)
    assert "| bars | **10.0 (1)** | 12.0 (1) | 30.0 (1) | – | 100 |" in page
    assert "Less error than the narrow residual network?" in page
    assert "1 targets, less on 1 of them. It made 10 to 10 steps." in page
