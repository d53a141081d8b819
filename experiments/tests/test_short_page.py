"""The summary of the evidence: a sentence for each question, made from what records are there."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from experiments.tests.test_stream import AUTO_ARM, arrival
from experiments.tests.test_stream import record as stream_record
from experiments.tests.test_table1 import record_of as table1_record

from tanas.ground.records import write_json
from tanas_experiments.searches import AWARE
from tanas_experiments.short_page import short_page
from tanas_experiments.stream import EMPTY, ONE_ROUND, WITHOUT
from tanas_experiments.zoo import RESIDUAL

RECORDS = Path(__file__).parents[2] / "experiments" / "records"


def test_what_is_not_measured_is_said_to_be_so(tmp_path: Path) -> None:
    text = short_page(tmp_path)
    assert (
        text
        == "- **Is the search better than random search at equal cost?** Whole searches are not measured yet.\n"
    )


def test_a_stream_says_what_each_memory_costs_from_the_tenth_search_on(tmp_path: Path) -> None:
    arrivals = [arrival(EMPTY, known, spent=100, took_s=10.0) for known in range(12)]
    for arm, spent, took_s in ((ONE_ROUND, 60, 4.0), (WITHOUT, 30, 2.0), (AUTO_ARM, 90, 9.0)):
        arrivals += [arrival(arm, known, spent=spent, took_s=took_s, error=0.11) for known in range(12)]
    write_json(tmp_path / "stream.json", stream_record(*arrivals))
    (line,) = [one for one in short_page(tmp_path).splitlines() if "cheaper" in one]
    for name, share, clock in (("by default", "60%", "40%"), ("without distances (`all`)", "30%", "20%")):
        assert re.search(
            rf"{re.escape(name)} {share} \(\d+%\) of the multiply-adds and {clock} \(\d+%\) of the seconds, "
            r"with 1.00 points more test error",
            line,
        )
    assert "3 searches of 3 tasks each, in 1 of 1 orders" in line
    assert "90%" not in line, "other ways stand on the page"


def test_networks_made_by_hand_stand_beside_the_found_one_with_a_learning_rate_of_their_own(
    tmp_path: Path,
) -> None:
    table = table1_record()
    narrow = [replace(one, method=RESIDUAL) for one in table.entries if one.method == AWARE.name]
    write_json(tmp_path / "table1.json", replace(table, entries=(*table.entries, *narrow)))
    large, own_size = [line for line in short_page(tmp_path).splitlines() if "The found networks" in line]
    assert "err 1.20 ± 0.20 % (n = 3) on `quickdraw:is=moon`" in large
    assert "ResNet-18 1.80 ± 0.20 % (n = 3, p = 0.25) with 50 times as many" in large
    assert "VGG" not in large, "it stands in Table 1"
    narrow_network = "a narrow residual network of the found one's size 1.20 ± 0.20 % (n = 3, p = 1) for "
    assert narrow_network in own_size


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
