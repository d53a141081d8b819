"""The chart of searches side by side."""

from __future__ import annotations

import pytest
from experiments.tests.test_searches import record_of, row

from tanas.reports.theme import to_svg
from tanas_experiments.searches import AWARE, ZERO_LINE
from tanas_experiments.searches_chart import difference_rows, searches_pictures
from tanas_experiments.searches_page import LEAST_PAIRS, PICTURE, compared, searches_page

FAR = "FUSE from the farthest"


def test_the_chart_shows_every_arm_with_its_difference_and_the_page_shows_the_chart() -> None:
    record = record_of(
        row(AWARE.name), row(FAR, error=0.13), row("DARTS", error=0.09), row(ZERO_LINE, error=0.2)
    )
    drawn = to_svg(searches_pictures(record)[PICTURE])
    for text in (FAR, "DARTS", ZERO_LINE, "+3.00  (n = 1)", "\N{MINUS SIGN}1.00  (n = 1)", "+10.00  (n = 1)"):
        assert f">{text}<" in drawn
    assert f">{AWARE.name}<" not in drawn
    assert f"(pictures/{PICTURE}.svg)" in searches_page(record, folder="pictures/")
    assert ".svg" not in searches_page(record)


def test_a_row_is_the_paired_difference_in_points_and_its_dots_are_the_pairs() -> None:
    errors = [0.11, 0.12, 0.13, 0.10, 0.12, 0.14]
    rows = [row(AWARE.name, seed, error=0.1) for seed in range(LEAST_PAIRS)]
    rows += [row(FAR, seed, error=error) for seed, error in enumerate(errors)]
    rows += [row(FAR, LEAST_PAIRS, error=0.9)]  # has no partner
    heading, drawn = difference_rows(record_of(*rows))
    found = compared(record_of(*rows), FAR)
    assert heading.mean is None
    assert found is not None
    assert found.low is not None
    assert found.high is not None
    assert (drawn.label, drawn.mean) == (FAR, pytest.approx(2))
    assert (drawn.low, drawn.high) == (pytest.approx(100 * found.low), pytest.approx(100 * found.high))
    assert drawn.singles == pytest.approx((1, 2, 3, 0, 2, 4))


def test_of_few_pairs_there_is_no_interval() -> None:
    seeds = range(LEAST_PAIRS - 1)
    rows = [row(arm, seed, error=0.1 + 0.01 * seed) for arm in (AWARE.name, FAR) for seed in seeds]
    _, drawn = difference_rows(record_of(*rows))
    assert (drawn.low, drawn.high) == (None, None)
    assert len(drawn.singles) == len(seeds)
    assert searches_pictures(record_of(*rows))


def test_nothing_is_drawn_where_nothing_can_be_compared() -> None:
    for rows in ((), (row(AWARE.name),), (row(FAR),)):
        assert searches_pictures(record_of(*rows)) == {}
