from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from benchmarks import moon
from benchmarks.moon import merged

HERE = {"hardware": {"cores": 2}, "versions": {"torch": "2"}}
ELSEWHERE = {"hardware": {"cores": 64}, "versions": {"torch": "3"}}
MOON = "quickdraw:is=moon"


def target(parameters: int | None, *networks: str, error: float = 0.1) -> dict[str, Any]:
    found = {} if parameters is None else {"parameters": parameters}
    return {**found, "rivals": [{"network": network, "test_error": error} for network in networks]}


def record(*runs: dict[str, Any], made_on: dict[str, Any] = HERE) -> dict[str, Any]:
    return {"runs": list(runs), **made_on}


def run(seed: int, dictionary_s: float | None = None, **targets: dict[str, Any]) -> dict[str, Any]:
    seconds = {} if dictionary_s is None else {"dictionary_s": dictionary_s}
    return {"seed": seed, **seconds, "targets": {MOON if k == "moon" else k: v for k, v in targets.items()}}


class TestMerged:
    def test_with_nothing_before_is_what_there_is(self) -> None:
        runs = [run(0, 9.0, moon=target(7, "resnet18")), run(1, 8.0)]
        assert merged({}, record(*runs)) == runs

    def test_with_nothing_new_keeps_all_that_was(self) -> None:
        old = record(run(0, 9.0, moon=target(7, "resnet18")), run(1, 8.0, moon=target(5)))
        assert merged(old, record()) == old["runs"]

    def test_adds_a_network_beside_a_search_that_is_no_longer_there(self) -> None:
        old = record(run(0, 9.0, moon=target(7, "resnet18")))
        new = record(run(0, moon=target(None, "resnet18-small", error=0.2)))
        (both,) = merged(old, new)
        assert both["dictionary_s"] == 9.0
        assert both["targets"][MOON]["parameters"] == 7
        assert both["targets"][MOON]["rivals"] == [
            {"network": "resnet18", "test_error": 0.1},
            {"network": "resnet18-small", "test_error": 0.2},
        ]

    def test_takes_the_new_one_where_both_hold_the_same_part(self) -> None:
        old = record(run(0, 9.0, moon=target(7, "resnet18", "resnet18-small")))
        new = record(run(0, 4.0, moon=target(3, "resnet18", error=0.5)))
        (both,) = merged(old, new)
        assert both["dictionary_s"] == 4.0
        assert both["targets"][MOON]["parameters"] == 3
        assert [one["test_error"] for one in both["targets"][MOON]["rivals"]] == [0.5, 0.1]

    def test_adds_seeds_and_targets_in_order(self) -> None:
        old = record(run(1, 8.0, moon=target(5)))
        new = record(run(2, 1.0), run(0, 2.0), run(1, other=target(6)))
        runs = merged(old, new)
        assert [one["seed"] for one in runs] == [0, 1, 2]
        assert runs[1] == run(1, 8.0, moon=target(5), other=target(6))

    def test_marks_each_part_that_was_made_elsewhere(self) -> None:
        old = record(run(0, 9.0, moon=target(7, "resnet18")), made_on=ELSEWHERE)
        new = record(run(0, moon=target(None, "resnet18-small")))
        (both,) = merged(old, new)
        assert both["made_on"] == ELSEWHERE
        assert both["targets"][MOON]["made_on"] == ELSEWHERE
        first, second = both["targets"][MOON]["rivals"]
        assert first["made_on"] == ELSEWHERE
        assert "made_on" not in second
        again = merged(record(both), record(run(0, 1.0), made_on=ELSEWHERE))
        assert "made_on" not in again[0]
        assert "made_on" not in again[0]["targets"][MOON]["rivals"][0]
        assert again[0]["targets"][MOON]["rivals"][1]["made_on"] == HERE

    def test_changes_neither_record(self) -> None:
        old, new = record(run(0, 9.0, moon=target(7, "a"))), record(run(0, 1.0, moon=target(1, "b")))
        before = deepcopy((old, new))
        merged(old, new)
        assert (old, new) == before

    def test_keeps_the_committed_record_as_it_is(self) -> None:
        committed = json.loads(moon.RECORD.read_bytes())
        same = {key: committed[key] for key in ("hardware", "versions")}
        assert merged(committed, {"runs": [], **same}) == committed["runs"]


def test_only_resnets_adds_them_to_a_record_whose_work_folder_is_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path / "moon.json"
    kept.write_text(json.dumps(record(run(0, 9.0, **{MOON: target(7, "resnet18")}))))
    monkeypatch.setattr(moon, "RECORD", kept)
    monkeypatch.setenv("TANAS_DATA", str(tmp_path))
    monkeypatch.setattr(moon, "_once", lambda *_: pytest.fail("it built or searched"))
    monkeypatch.setattr(
        moon,
        "_resnet",
        lambda network, task, seed, begun: {"network": network, "test_error": 0.3, "task": task},
    )
    arguments = ["moon.py", "--out", str(tmp_path / "work"), "--seeds", "0", "--only-resnets"]
    monkeypatch.setattr("sys.argv", [*arguments, "--resnets", "resnet18-small"])
    moon.main()
    written = json.loads(kept.read_text())
    (only,) = written["runs"]
    assert (written["n"], only["dictionary_s"], only["targets"][MOON]["parameters"]) == (1, 9.0, 7)
    networks = {name: [one["network"] for one in t["rivals"]] for name, t in only["targets"].items()}
    assert networks == {MOON: ["resnet18", "resnet18-small"], "one_style:is=moon": ["resnet18-small"]}
