"""The table of what a search hands over, made from its record."""

from __future__ import annotations

from pathlib import Path

from tanas.ground.records import read_record
from tanas_experiments.targets import TARGETS_KIND, TargetRow, TargetsRecord, targets_page


def row(seed: int, error: float, *, taken: bool = True) -> TargetRow:
    rivals = {"SVM on HOG": (0.2, 0.2), "no search": (error, error) if taken else (0.3, 0.3)}
    return TargetRow(
        target="bars",
        seed=seed,
        test_images=100,
        train_images=1_200,
        performance="balanced",
        error=error,
        balanced_error=error,
        rivals=rivals,
        recipe="light",
        parameters=90_000 + seed,
        macs=10,
        reference_taken=taken,
        took_s={"total": 60.0 * (1 + seed)},
        settings="",
    )


def record_of(*rows: TargetRow) -> TargetsRecord:
    return TargetsRecord(
        kind=TARGETS_KIND,
        schema=1,
        command="python -m tanas_experiments.run.targets",
        n=len(rows),
        hardware={"processor": "a processor", "cores": 2},
        versions={"torch": "2"},
        rows=rows,
    )


def test_a_target_is_a_row_with_means_and_the_spread_of_tanas() -> None:
    page = targets_page(record_of(row(0, 0.10), row(1, 0.14, taken=False)))
    assert "| target | training images | tanas | SVM on HOG | k-NN | recipe | parameters | minutes |" in page
    assert "| bars | 1,200 | **12.0 ± 2.8** | 20.0 | – | light | 90,000 to 90,001 | 1.0 to 2.0 |" in page
    assert "over n = 2 seeds" in page


def test_the_page_says_how_often_the_reference_network_was_handed_over() -> None:
    some = targets_page(record_of(row(0, 0.10), row(1, 0.14, taken=False)))
    every = targets_page(record_of(row(0, 0.10), row(1, 0.14)))
    assert "In 1 of 2 searches tanas handed over its fixed reference network" in some
    assert "In all 2 searches tanas handed over its fixed reference network" in every


def test_the_committed_record_can_be_read() -> None:
    path = Path(__file__).parents[2] / "experiments" / "records" / "targets.json"
    record = read_record(TargetsRecord, path)
    assert len({row.target for row in record.rows}) >= 7
    assert all(row.rivals.keys() >= {"no search", "SVM on HOG"} for row in record.rows)
