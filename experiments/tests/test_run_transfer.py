"""What the record of transfer says of orders and values that are known beforehand."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tanas.ground.records import write_bytes, write_json
from tanas_experiments.run.transfer import SMOKE_SOURCES, SMOKE_TARGETS, Experiment, _costs, _errors
from tanas_experiments.transfer import TransferValue

WORTH = (0.9, 0.7, 0.5, 0.3, 0.1)
"""Of each source, to every target."""
REFUSING = "digits:take=200"


def keep(experiment: Experiment, method: str, orders: tuple[float, ...], refuses: str | None = None) -> None:
    """Pieces as `measure` leaves them, from one seed."""
    for target in experiment.targets:
        pieces: dict[str, dict[str, Any]] = {
            source: {"order": order, "cpu_s": 2.0, "needs_cpu_s": 0.5}
            for source, order in zip(SMOKE_SOURCES, orders, strict=True)
        }
        if target == refuses:
            pieces |= {source: {"refused": "It has no head."} for source in SMOKE_SOURCES[:3]}
        name = f"{method} {target}.json"
        write_bytes(experiment.out / "orders" / name, json.dumps(pieces).encode())
        write_bytes(experiment._index(0, target, method), json.dumps({"orders": name}).encode())


@pytest.fixture
def record(tmp_path: Path) -> dict[str, Any]:
    experiment = Experiment(out=tmp_path, methods=("knn", "leep", "cka"), smoke=True)
    draws = experiment.transfer.draws
    for source, worth in zip(SMOKE_SOURCES, WORTH, strict=True):
        value = TransferValue(frozen=(worth,) * draws, fine_tuned=(1 - worth,) * draws)
        write_json(tmp_path / "values" / f"{source}.json", value)
    index = {"values": {source: f"{source}.json" for source in SMOKE_SOURCES}, "performance": 0.8}
    for target in SMOKE_TARGETS:
        write_bytes(experiment._index(0, target), json.dumps(index).encode())
    keep(experiment, "knn", (1, 2, 3, 4, 5))
    keep(experiment, "leep", (5, 4, 3, 2, 1), refuses=REFUSING)
    return experiment.record([0])


def test_the_order_of_the_worth_has_no_regret_and_the_other_way_round_has_all_of_it(
    record: dict[str, Any],
) -> None:
    right, wrong = record["table"]["knn"]["frozen"], record["table"]["leep"]["frozen"]
    assert (right["tau"]["mean"], right["regret@1"]["mean"], right["regret@3"]["mean"]) == (1, 0, 0)
    assert (wrong["tau"]["mean"], wrong["regret@1"]["mean"], wrong["regret@3"]["mean"]) == (-1, 0.8, 0.4)
    assert wrong["against"]["knn"]["tau"]["mean"] == -2
    fine_tuned = record["table"]["knn"]["fine_tuned"]
    assert (fine_tuned["tau"]["mean"], fine_tuned["regret@1"]["mean"]) == (-1, 0.8)


def test_a_column_of_two_sources_is_left_out_and_refusals_are_told(record: dict[str, Any]) -> None:
    row = record["table"]["leep"]
    assert (row["frozen"]["columns"], record["table"]["knn"]["frozen"]["columns"]) == (2, 3)
    assert row["refused pairs by target"] == {REFUSING: 3}
    assert (row["pairs"], row["first refusal"]) == (12, "It has no head.")


def test_a_method_that_was_not_measured_has_no_column(record: dict[str, Any]) -> None:
    assert record["table"]["cka"]["frozen"]["columns"] == 0
    assert record["table"]["cka"]["pairs"] == 0
    assert record["orders"]["cka"] == {}


def test_the_record_counts_columns_and_spread(record: dict[str, Any]) -> None:
    assert (record["n"]["columns measured"], record["n"]["columns in all"]) == (3, 3)
    spread = record["spread"]["frozen"]
    assert spread["best minus worst source"] == 0.8
    assert spread["best minus mean source"] == 0.4
    assert spread["standard error of a value"] == 0


def test_costs_are_medians_over_what_was_measured() -> None:
    pairs = [("t", {"order": 0.1, "cpu_s": cpu, "needs_cpu_s": 2 * cpu}) for cpu in (1.0, 2.0, 9.0)]
    assert _costs([*pairs, ("u", {"refused": "no"})]) == {
        "pairs": 3,
        "cpu_s": 2.0,
        "needs_cpu_s": 4.0,
        "refused pairs by target": {"u": 1},
        "first refusal": "no",
    }


def test_the_error_of_a_mean_is_the_draws_deviation_by_the_root_of_their_number() -> None:
    values = np.array([[[[1.0, 2.0, 3.0, 4.0]]]])
    assert _errors(values) == pytest.approx(np.full((1, 1, 1), (5 / 3) ** 0.5 / 2))
    assert np.isnan(_errors(values[..., :1])).all()
