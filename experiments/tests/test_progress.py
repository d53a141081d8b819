"""How soon a search gets there."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.conftest import Answer

from tanas.algorithm.result import Result
from tanas.ground.records import read_record
from tanas_experiments.progress import Progress, progress_of, reached


@pytest.mark.parametrize("inherit", ["prior", "none"])
def test_what_was_spent_at_the_end_is_what_the_ledger_says(tanas, desk: Path, inherit: str) -> None:
    answer: Answer = tanas(
        *("search", "npz:bars.npz:is=square", "--config", "tiny.toml", "--dictionary", "known"),
        *("--out", "run", "--rounds", "2", "--inherit", inherit, "--quiet"),
    )
    assert answer.status == 0, answer.err
    result = read_record(Result, desk / "run" / "result.json")
    assert result.ledger is not None
    assert (result.config["fuse"]["rounds"], result.config["rounds_led"]) == (2, 2), "for what is known, too"
    found = progress_of(result)
    assert len(found) == len(result.rounds) > 1
    assert found[-1].spent == sum(one.macs for one in result.ledger.phases if one.phase != "train")
    assert found[-1].score == max(one.score for one in result.seen if one.score is not None)
    spent, scores = [one.spent for one in found], [one.score for one in found]
    assert (spent, scores) == (sorted(set(spent)), sorted(scores))


def steps(*figures: tuple[int, float]) -> tuple[Progress, ...]:
    return tuple(Progress(spent=spent, score=score) for spent, score in figures)


def test_a_search_is_there_when_it_first_has_what_its_partner_ends_with() -> None:
    partner = steps((100, 0.5), (200, 0.7), (300, 0.7))
    soon, late = steps((50, 0.7), (90, 0.9)), steps((150, 0.6), (400, 0.71))
    never = steps((10, 0.69))
    found = reached([(soon, partner), (late, partner), (never, partner)], rounds=(1, 2))
    assert found is not None
    assert found.shares == (0.25, 2.0), "of what the partner had spent when it first had that, not at its end"
    assert found.searches == 3
    assert found.rounds == pytest.approx(5 / 3)
    assert found.after == pytest.approx({1: (0.7 + 0.6 + 0.69) / 3, 2: (0.9 + 0.71 + 0.69) / 3})
    assert reached([], rounds=(1,)) is None
