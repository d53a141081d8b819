"""The summary of the evidence: a sentence for each question, made from what records are there."""

from __future__ import annotations

from pathlib import Path

from experiments.tests.test_stream import AUTO_ARM, arrival
from experiments.tests.test_stream import record as stream_record
from experiments.tests.test_table1 import record_of as table1_record

from tanas.ground.records import write_json
from tanas_experiments.short_page import short_page
from tanas_experiments.stream import EMPTY, ONE_ROUND, WITHOUT

RECORDS = Path(__file__).parents[2] / "experiments" / "records"


def test_what_is_not_measured_is_said_to_be_so(tmp_path: Path) -> None:
    assert short_page(tmp_path) == "Nothing has been measured yet.\n"


def test_a_stream_says_what_each_memory_costs_from_the_tenth_search_on(tmp_path: Path) -> None:
    arrivals = [arrival(EMPTY, known, spent=100, took_s=10.0) for known in range(12)]
    for arm, spent, took_s in ((ONE_ROUND, 60, 4.0), (WITHOUT, 30, 2.0), (AUTO_ARM, 90, 9.0)):
        arrivals += [arrival(arm, known, spent=spent, took_s=took_s, error=0.11) for known in range(12)]
    write_json(tmp_path / "stream.json", stream_record(*arrivals))
    default, without = short_page(tmp_path).splitlines()[2:]
    assert default.startswith("| Does a memory make later searches cheaper? | Yes: ")
    for line, share, clock in ((default, 60, 40), (without, 30, 20)):
        assert (
            f"{share} % of the multiply-adds and {clock} % of the seconds before the final training (n = 3)"
            in line
        )
        assert "Test error: +1.00 points" in line
    assert "without distances" in without


def test_large_networks_made_by_hand_stand_beside_the_found_one(
    tmp_path: Path,
) -> None:
    table = table1_record()
    write_json(tmp_path / "table1.json", table)
    (large,) = short_page(tmp_path).splitlines()[2:]
    assert (
        "| On `quickdraw:is=moon`, is it better than ResNet-18? | Not shown: \N{MINUS SIGN}0.60 points (95 % CI"
        in large
    )
    assert "n = 3. It has 50 times the parameters and costs 0.5 times the multiply-adds." in large
    assert "VGG" not in large, "it stands in Table 1"


def test_the_committed_records_answer_each_question_once() -> None:
    questions = [line.split("|")[1] for line in short_page(RECORDS).splitlines()[2:]]
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
