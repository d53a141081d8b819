"""Charts of a small made-up table of trainings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from experiments.tests.test_truth_page import TABLE, analysis_of, error, record

from tanas.reports.theme import BLUE, to_svg
from tanas_experiments.truth import TruthRecord
from tanas_experiments.truth_analysis import TruthAnalysis
from tanas_experiments.truth_charts import REGRETS_PICTURE, SIZES_PICTURE, regret_rows, sizes, truth_pictures
from tanas_experiments.truth_page import truth_page


@pytest.fixture(scope="module")
def made() -> TruthRecord:
    return record(distances=True, triples=False)


@pytest.fixture(scope="module")
def analysis(made: TruthRecord) -> TruthAnalysis:
    return analysis_of(made)


def test_both_charts_are_drawn_and_the_page_shows_them(made: TruthRecord, analysis: TruthAnalysis) -> None:
    drawn = {name: to_svg(chart) for name, chart in truth_pictures(made, analysis, TABLE).items()}
    assert set(drawn) == {SIZES_PICTURE, REGRETS_PICTURE}
    assert all(f">{target}<" in drawn[SIZES_PICTURE] for target in "abc")
    assert ">transfer of 3, nearest<" in drawn[REGRETS_PICTURE]
    page = truth_page(made, analysis, folder="pictures/")
    assert all(f"(pictures/{name}.svg)" in page for name in drawn)
    assert ".svg" not in truth_page(made, analysis)


def test_nothing_is_drawn_of_nothing(made: TruthRecord, analysis: TruthAnalysis) -> None:
    assert truth_pictures(made, replace(analysis, regrets=()), ()) == {}


def test_a_dot_is_the_mean_of_the_seeds_at_the_size_of_its_architecture(
    made: TruthRecord, analysis: TruthAnalysis
) -> None:
    dots, bins = sizes(made, analysis, TABLE)
    assert len(dots) == 3 * analysis.architectures, "only architectures with all their trainings"
    first = dots[0]
    assert (first.target, first.parameters) == ("a", pytest.approx(1000))
    assert first.error == pytest.approx(100 * (error(0, "a", 0) + error(0, "a", 1)) / 2)
    assert (first.least, first.most) == (
        pytest.approx(100 * error(0, "a", 0)),
        pytest.approx(100 * error(0, "a", 1)),
    )
    medians = [one.median for one in bins if one.target == "a"]
    assert len(medians) == 4, "never fewer than two architectures in a bin"
    assert medians[0] == pytest.approx((dots[0].error + dots[1].error) / 2)


def test_a_row_of_regrets_is_the_mean_over_the_targets(analysis: TruthAnalysis) -> None:
    rows = {row.label: row for row in regret_rows(analysis)}
    lost = [
        100 * one.balanced
        for one in analysis.regrets
        if (one.way, one.source, one.tries) == ("transfer", "nearest", 0)
    ]
    row = rows["transfer, nearest"]
    assert row.singles == tuple(lost)
    assert row.mean == pytest.approx(np.mean(lost))
    assert row.low is not None
    assert row.high is not None
    assert min(lost) <= row.low <= row.mean <= row.high <= max(lost)
    assert row.colour == BLUE


def test_what_trains_every_architecture_is_left_out_and_so_is_what_was_not_measured(
    analysis: TruthAnalysis,
) -> None:
    labels = [row.label for row in regret_rows(analysis)]
    assert "the best of 3 trained" in labels
    assert "the best of 10 trained" not in labels, "there are 8 in all"
    bare = [row.label for row in regret_rows(analysis_of(record(distances=False, triples=False)))]
    assert "transfer, drawn" in bare
    assert "transfer, nearest" not in bare
