"""Whose weights a training begins with: what is measured, and the page."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests.algorithm.test_learn import learnt
from tests.dictionary.small_atoms import representative_of, task_of

from tanas.dictionary.store import Dictionary
from tanas.ground.records import SCHEMA
from tanas_experiments.donors import (
    CHOSEN,
    SCRATCH,
    DonorRow,
    DonorsRecord,
    DonorTarget,
    beginning,
    by_measure,
    donors_page,
    measures,
    networks_of,
    trained_row,
)


def row(target: str, donor: str, error: float, *, misfit: float = 0.0, d: float = 0.0) -> DonorRow:
    known = {} if donor == SCRATCH else {CHOSEN: misfit, "d": d}
    return DonorRow(target=target, donor=donor, seed=0, images=0, error=error, loss=2 * error, measures=known)


def record_of(*rows: DonorRow) -> DonorsRecord:
    return DonorsRecord(
        schema=SCHEMA,
        command="python -m tanas_experiments.run.donors",
        n=1,
        steps=10,
        hardware={"processor": "a processor", "cores": 2},
        versions={"torch": "2"},
        rows=rows,
    )


TWO = record_of(
    row("a", SCRATCH, 0.30),
    row("a", "near", 0.20, misfit=0.1, d=0.9),
    row("a", "far", 0.28, misfit=0.8, d=0.1),
    row("b", SCRATCH, 0.40),
    row("b", "far", 0.44, misfit=0.9, d=0.2),
    row("b", "near", 0.32, misfit=0.2, d=0.3),
)


def test_a_measure_is_as_good_as_the_donors_that_it_puts_first() -> None:
    first, second = by_measure(TWO)
    assert (first.measure, second.measure) == (CHOSEN, "d")
    assert first.tau == pytest.approx(1.0) and second.tau == pytest.approx(-1.0)
    assert first.gain.mean == pytest.approx((0.10 + 0.08) / 2)
    assert second.gain.mean == pytest.approx((0.02 - 0.04) / 2)


def test_the_page_has_a_row_a_target_and_a_row_a_measure() -> None:
    page = donors_page(TWO).replace("\N{MINUS SIGN}", "-")
    assert "| a images | 30.0 | 20.0 | 28.0 | 24.0 | near |" in page
    assert "| b images | 40.0 | 32.0 | 44.0 | 38.0 | near |" in page
    assert "**misfit: its choice gains most, +9.0 points.** Weighted tau with the gain: +1.00" in page
    assert "-9.00 points of test error" in page
    assert "Least against most misfit: -10.00 points" in page


def test_a_donor_is_measured_and_trained_on_a_target(tmp_path: Path) -> None:
    memory = Dictionary.create(tmp_path / "memory")
    made = learnt()
    kept = made.network
    assert kept is not None
    memory.add(made.atom, made.representative, kept)
    ((name, (_, atom)),) = networks_of([memory]).items()
    target = task_of("digits:is=1")
    found = measures(target.without_test(), memory, atom, representative_of("digits:is=1"))
    assert 0 < found[CHOSEN] < 1.5
    assert {"d", "LogME", "images"} <= set(found)
    small = target.without_test().train.subset(torch.arange(40))
    start = beginning(target, kept, kept.record.architecture, 0)
    one = trained_row(
        target.without_test(),
        small,
        DonorTarget(label="ones", name="digits:is=1"),
        name,
        start,
        0,
        images=len(kept.seen),
        measures=found,
    )
    assert (one.donor, one.images) == (name, len(kept.seen))
    assert 0 <= one.error <= 1
