"""A limit of latency, from the command line to the record."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.conftest import Answer

from tanas.dictionary.store import Dictionary
from tanas.networks.architecture import Architecture, Shape
from tanas.spaces.costs import cost_by_parts

SQUARE = ("npz:bars.npz:is=square", "--dictionary", "known", "--config", "tiny.toml")
MS = 3.0


@pytest.fixture(autouse=True)
def repeated_times(monkeypatch: pytest.MonkeyPatch) -> list[Architecture]:
    """What is timed, in order; it takes a millisecond for each 100,000 multiply-adds."""
    asked: list[Architecture] = []

    def measure(architecture: Architecture, shape: Shape, classes: int, device: str) -> float:
        asked.append(architecture)
        return cost_by_parts(architecture, shape, classes).macs / 1e5

    monkeypatch.setattr("tanas.spaces.latency.measure_ms", measure)
    return asked


def test_all_that_a_search_sees_is_fast_enough_and_the_rest_is_counted(
    tanas: Callable[..., Answer], desk: Path, repeated_times: list[Architecture]
) -> None:
    alone = (
        "--inherit",
        "none",
        "--no-warm-weights",
    )  # known networks are timed after the search has told its count
    ended = tanas("search", *SQUARE, "--max-latency", f"{MS}", *alone, "--out", "run")
    assert ended.status == 0, ended.err
    result = json.loads((desk / "run" / "result.json").read_text())
    assert result["space"]["max_latency_ms"] == result["config"]["max_latency_ms"] == MS
    assert 0 < result["latency_s"] <= MS / 1000
    assert result["seen"] and all(one["macs"] <= MS * 1e5 for one in result["seen"])
    within_run = set(repeated_times)
    slow = sum(cost_by_parts(one, (1, 12, 12), 2).macs > MS * 1e5 for one in within_run)
    assert slow > 0, "nothing had to be left out: the test says nothing"
    for said in (result["space"]["note"], ended.err):
        assert re.search(rf"\b{len(within_run)} architectures .*\b{slow} took", said)


def test_what_is_inherited_is_fast_enough_too(tanas: Callable[..., Answer], desk: Path) -> None:
    atoms = Dictionary(desk / "known").atoms()
    known = sorted(one.macs for atom in atoms for one in atom.architectures if one.score is not None)
    limit = (known[0] - 1) / 1e5  # faster than all that the dictionary knows
    ended = tanas("search", *SQUARE, "--max-latency", f"{limit}", "--inherit", "transfer", "--out", "run")
    assert ended.status == 0, ended.err
    result = json.loads((desk / "run" / "result.json").read_text())
    assert "limits" in result["space"]["note"]
    assert result["seen"] and all(one["macs"] < known[0] for one in result["seen"])


@pytest.mark.parametrize("limit", ["0.0001", "0", "-1"])
def test_a_limit_that_nothing_satisfies_is_refused_before_anything_is_made(
    tanas: Callable[..., Answer], desk: Path, limit: str
) -> None:
    for command in (
        ("search", *SQUARE, "--out", "run"),
        ("dictionary", "build", "new", SQUARE[0], *SQUARE[3:]),
    ):
        ended = tanas(*command, "--max-latency", limit)
        assert ended.status == 2
        assert "The 'max_latency_ms' of " in ended.err
        if limit == "0.0001":
            assert re.search(r"[\d.]+ ms", ended.err)
    assert not (desk / "run").exists()
    assert not (desk / "new").exists()


def test_without_a_limit_only_the_network_that_was_found_is_timed(
    tanas: Callable[..., Answer], desk: Path, repeated_times: list[Architecture]
) -> None:
    assert tanas("search", *SQUARE, "--out", "run").status == 0
    result = json.loads((desk / "run" / "result.json").read_text())
    assert result["space"]["max_latency_ms"] is None
    assert len(repeated_times) == 1


@pytest.mark.parametrize("aim", ["compress", "grow"])
def test_what_a_network_becomes_is_fast_enough(tanas: Callable[..., Answer], desk: Path, aim: str) -> None:
    assert tanas("search", *SQUARE, "--out", "run").status == 0
    before = json.loads((desk / "run" / "result.json").read_text())
    limit = before["macs"] / 1e5 * (0.7 if aim == "compress" else 1.3)
    ended = tanas(aim, "run", SQUARE[0], *SQUARE[3:], "--max-latency", f"{limit}", "--out", "other")
    assert ended.status == 0, ended.err
    result = json.loads((desk / "other" / "result.json").read_text())
    assert result["space"]["max_latency_ms"] == limit
    assert f"{limit:g} ms" in result["space"]["note"]
    others = [one for one in result["seen"] if one["architecture"] != before["architecture"]]
    assert others
    assert all(one["macs"] <= limit * 1e5 for one in others)
