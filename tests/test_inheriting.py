"""Whole searches by each way to inherit, on a dictionary of two tasks."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Answer

from tanas.algorithm import space
from tanas.dictionary.store import Dictionary
from tanas.spaces.inherit import Inheritance, Inherited, inherit

SEARCH = (
    "search",
    "npz:bars.npz:is=square",
    "--config",
    "tiny.toml",
    "--dictionary",
    "known",
    "--out",
    "run",
)

Tanas = Callable[..., Answer]


@pytest.fixture
def given(monkeypatch: pytest.MonkeyPatch) -> list[Inheritance]:
    """What the space of a search was made from, in order."""
    known = list[Inheritance]()

    def heard(neighbours: Sequence[Inheritance], *others: Any, **options: Any) -> Inherited:
        known.extend(neighbours)
        return inherit(neighbours, *others, **options)

    monkeypatch.setattr(space, "inherit", heard)
    return known


def result(desk: Path) -> dict:
    return json.loads((desk / "run" / "result.json").read_bytes())


def test_a_prior_leads_the_search_through_the_whole_space(tanas: Tanas, desk: Path) -> None:
    assert tanas(*SEARCH, "--quiet").status == 0
    found = result(desk)
    assert found["space"]["inherit"] == "prior", "the default"
    assert len(found["rounds"]) >= 1


def test_a_union_searches_what_the_nearest_have_and_nothing_else(tanas: Tanas, desk: Path) -> None:
    assert tanas(*SEARCH, "--inherit", "union", "--quiet").status == 0
    found = result(desk)
    assert (found["space"]["inherit"], len(found["neighbours"])) == ("union", 2)
    given = [
        seen["architecture"]
        for atom in (desk / "known" / "atoms").glob("*/atom.json")
        for seen in json.loads(atom.read_bytes())["atom"]["architectures"]
        if seen["score"] is not None
    ]
    skeletons = [one["skeleton"] for one in given]
    assert found["seen"]
    assert all(seen["architecture"]["skeleton"] in skeletons for seen in found["seen"])
    operations = {edge[2] for one in given for edge in one["cell"]["edges"]}
    assert set(found["space"]["operations"]) <= operations | {"zero"}


def test_without_inheritance_nobody_is_said_to_be_inherited_from(tanas: Tanas, desk: Path) -> None:
    assert tanas(*SEARCH, "--inherit", "none", "--quiet").status == 0
    found = result(desk)
    assert (found["neighbours"], len(found["distances"])) == ([], 2)
    assert found["space"]["inherit"] == "none"


def test_a_transfer_takes_the_nearests_best_without_a_round(tanas: Tanas, desk: Path) -> None:
    assert tanas(*SEARCH, "--inherit", "transfer", "--quiet").status == 0
    found = result(desk)
    assert (found["stopped"], found["rounds"]) == ("transferred", [])
    (giver,) = found["neighbours"]
    assert giver["atom"] in found["space"]["note"]
    begun = found["beginning"]  # networks of known tasks compete with it
    assert begun["tried"]
    assert begun["atom"] or found["architecture"] == found["seen"][0]["architecture"]
    assert found["seen"][0]["score"] is None, "nothing is chosen by it, and nobody remembers it"


def test_a_transfer_that_is_remembered_has_a_score(tanas: Tanas, desk: Path) -> None:
    assert tanas(*SEARCH, "--inherit", "transfer", "--remember", "--quiet").status == 0
    assert result(desk)["seen"][0]["score"] is not None


def test_all_known_tasks_shape_the_search_without_a_distance(
    tanas: Tanas, desk: Path, given: list[Inheritance]
) -> None:
    assert tanas(*SEARCH, "--from", "all", "--quiet").status == 0
    found = result(desk)
    assert (found["neighbours"], found["distances"], found["advice"]) == ([], [], "")
    assert found["representative"] is None, "a named dictionary does not learn of it, so none is needed"
    spent = {one["phase"]: one["macs"] for one in found["ledger"]["phases"]}
    assert (spent["represent"], spent["distance"]) == (0, 0)
    assert (found["space"]["inherit"], found["space"]["related"]) == ("prior", "all")
    assert len(given) == 2
    assert all(one.distance is None and one.compared for one in given)
    assert "all 2 " in found["space"]["note"]


def test_what_remembers_a_search_that_measured_nothing_can_be_measured_later(
    tanas: Tanas, desk: Path
) -> None:
    assert tanas(*SEARCH, "--from", "all", "--remember", "--quiet").status == 0
    assert result(desk)["representative"] is not None
    answer = tanas("nearest", "known", "npz:bars.npz", "--config", "tiny.toml", "--neighbours", "3")
    assert answer.status == 0, answer.err
    assert "npz:bars.npz:is=square" in answer.out


def test_what_won_alone_is_inherited_by_its_final_training_until_there_are_scores(
    tanas: Tanas, desk: Path
) -> None:
    alone = (*SEARCH[:4], "--inherit", "none", "--rounds", "1")  # the user's own dictionary remembers
    answer = tanas(*alone, "--out", "run")
    assert answer.status == 0
    found = result(desk)
    assert found["seen"] and all(one["score"] is None for one in found["seen"])
    atom = Dictionary(desk / "own").find("npz:bars.npz:is=square")
    assert atom.best is not None
    assert (atom.best.final, atom.best.score) == (True, found["metrics"]["validation_performance"])
    assert atom.best.parameters == found["parameters"]
    assert f"{atom.best.score:.4f}" in tanas("dictionary", "show", "own", atom.task.name).out

    # the same task once more: what compares with no score gives way to one
    assert tanas(*alone, "--seed", "5", "--out", "again", "--quiet").status == 0
    both = Dictionary(desk / "own").find("npz:bars.npz:is=square")
    (scored,) = (one for one in both.architectures if one.score is not None)
    assert not scored.final
    assert len(both.architectures) > len(atom.architectures)


def test_what_lies_behind_tells_what_sizes_promise_unless_a_threshold_shuts_it_out(
    tanas: Tanas, desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = list[Inheritance]()

    def heard(*others: Any, behind: Sequence[Inheritance], **options: Any) -> Inherited:
        given.extend(behind)
        return inherit(*others, behind=behind, **options)

    monkeypatch.setattr(space, "inherit", heard)
    assert tanas(*SEARCH, "--neighbours", "1", "--quiet").status == 0
    found = result(desk)
    (behind,) = given
    assert behind.name not in [one["atom"] for one in found["neighbours"]]
    assert behind.compared, "what its search compared comes with it"
    given.clear()
    assert tanas(*(*SEARCH[:-1], "with-threshold"), "--threshold", "0.9", "--quiet").status == 0
    assert not given


def test_what_limits_leave_out_is_counted_in_the_result(tanas: Tanas, desk: Path) -> None:
    assert tanas(*SEARCH, "--inherit", "none", "--max-parameters", "2000", "--quiet").status == 0
    space = result(desk)["space"]
    over, drawn = space["over_limits"]
    assert drawn == 200
    assert 0 < over < drawn
    assert f"{over} of 200 " in space["note"] and "2,000 parameters" in space["note"]
