"""The summary of the evidence: a sentence for each question, made from what records are there."""

from __future__ import annotations

import json
from pathlib import Path

from tests.evidence.test_moon_page import MOON, found
from tests.evidence.test_moon_page import record as moon_record
from tests.evidence.test_stream import AUTO_ARM, arrival
from tests.evidence.test_stream import record as stream_record

from tanas.evidence.short_page import short_page
from tanas.evidence.stream import EMPTY
from tanas.records import write_json

RECORDS = Path(__file__).parents[2] / "benchmarks" / "records"


def test_what_is_not_measured_is_said_to_be_so(tmp_path: Path) -> None:
    text = short_page(tmp_path)
    assert (
        text
        == "- **Is the search better than random search at equal cost?** Whole searches are not measured yet.\n"
    )


def test_a_residual_network_stands_beside_the_found_ones_with_its_size(tmp_path: Path) -> None:
    runs = [{"targets": {MOON: found(error, 100, resnet18=0.02)}} for error in (0.01, 0.03)]
    (tmp_path / "moon.json").write_text(json.dumps(moon_record(*runs)))
    assert "err 2.00 ± 1.41 % (n = 2) on `quickdraw:is=moon`, ResNet-18 2.00 ± 0.00 %" in short_page(tmp_path)
    assert "with 110 times as many parameters" in short_page(tmp_path)


def test_a_stream_says_what_each_memory_costs_from_the_tenth_search_on(tmp_path: Path) -> None:
    arrivals = [arrival(EMPTY, known, spent=100, took_s=10.0) for known in range(12)]
    arrivals += [arrival(AUTO_ARM, known, spent=60, took_s=4.0, error=0.11) for known in range(12)]
    write_json(tmp_path / "stream.json", stream_record(*arrivals))
    (line,) = [one for one in short_page(tmp_path).splitlines() if "cheaper" in one]
    said = "60% of the multiply-adds (60%, were that remembered too) and 40% of the seconds, at 1.00 points more error"
    assert f"{AUTO_ARM}: {said}" in line
    assert line.endswith("(n = 3 searches each, in 1 of 1 orders.)")


def test_the_committed_records_answer_each_question_once() -> None:
    questions = [line.split("**")[1] for line in short_page(RECORDS).splitlines()]
    assert len(set(questions)) == len(questions) >= 6
    for word in (
        "random search",
        "knowing other tasks",
        "near",
        "cheaper",
        "the largest",
        "weights",
        "ResNet",
        "alpha",
    ):
        assert any(word in question for question in questions)
