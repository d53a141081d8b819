"""What the starter memory brings to whole searches: the page."""

from __future__ import annotations

from tanas_experiments.starter_gain import EMPTY, STARTER, GainRecord, GainRow, gain_page


def row(target: str, arm: str, error: float, atom: str = "") -> GainRow:
    return GainRow(
        target=target,
        seed=0,
        arm=arm,
        error=error,
        balanced_error=error,
        atom=atom,
        recipe="mixed",
        parameters=1_000,
        took_s={"total": 60.0 if arm == EMPTY else 90.0},
    )


def record_of(*rows: GainRow) -> GainRecord:
    return GainRecord(
        command="python -m tanas_experiments.run.starter_gain",
        n=1,
        hardware={"processor": "a processor", "cores": 2},
        versions={"torch": "2"},
        rows=rows,
    )


def test_a_target_is_a_row_once_both_searches_are_there() -> None:
    rows = [
        *(row("a", EMPTY, 0.3), row("a", STARTER, 0.2, "drawings")),
        *(row("b", EMPTY, 0.1), row("b", STARTER, 0.1)),
        row("c", EMPTY, 0.5),
    ]
    page = gain_page(record_of(*rows)).replace("\N{MINUS SIGN}", "-")
    assert "| a images | 30.0 | 20.0 | drawings |" in page
    assert "| b images | 10.0 | 10.0 | new weights |" in page
    assert "c images" not in page
    assert "-5.00 points of balanced test error" in page and "2 targets" in page


def test_before_a_pair_is_there_it_says_so() -> None:
    assert gain_page(record_of(row("a", EMPTY, 0.3))) == "Nothing has been measured yet.\n"
