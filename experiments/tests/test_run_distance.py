"""Peak memory of every method: on which pair, in whose process, and into which record."""

from __future__ import annotations

import json
import pickle
import resource
import sys
from pathlib import Path
from typing import Any

import pytest
from tests.distances.digit_tasks import representative_of, task_of

from tanas.distances.base import Pair
from tanas.distances.methods import all_methods
from tanas.ground.errors import SettingError
from tanas.tasks.task import Task
from tanas_experiments.run import distance as module
from tanas_experiments.run.distance import Setting

SMALL = Setting.of(small=True)
TASKS = {task.name: task.without_test() for task in map(task_of, (0, 1, 3))}
FIRST, LAST = task_of(0).name, task_of(3).name


@pytest.fixture
def digits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small tasks in the place of the benchmark's own."""
    monkeypatch.setattr(Setting, "tasks", lambda self: TASKS)
    found = {FIRST: representative_of(0), LAST: representative_of(3)}
    monkeypatch.setattr(module, "_representatives", lambda work: found)


@pytest.mark.usefixtures("digits")
class TestMemory:
    def test_each_method_has_a_process_of_its_own_and_one_only_loads_the_pair(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[tuple[str, ...]] = []

        def child(setting: Setting, work: Path, *words: str) -> dict[str, Any]:
            asked.append(words)
            return {"peak_gb": None if words[-1] == "leep" else 0.25 if words[-1] == "pair" else 0.75}

        monkeypatch.setattr(module, "_in_a_process", child)
        memory = module._memory(SMALL, tmp_path)
        assert sorted(asked) == sorted(
            [("--part", "pair"), *(("--part", "pair", "--method", name) for name in all_methods())]
        )
        assert memory["loaded"] == 0.25
        assert memory["methods"] == {name: 0.75 for name in all_methods() if name != "leep"}, "leep refused"

        pair = pickle.loads((tmp_path / "pair").read_bytes())
        assert isinstance(pair, Pair)
        assert (pair.source, pair.target) == (FIRST, LAST)
        assert set(pair.extra) == {"fisher"}

    def test_a_process_measures_the_pair_by_its_method(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "_in_a_process", lambda *words: {"peak_gb": 1.0})
        module._memory(SMALL, tmp_path)
        measured: list[tuple[str, str]] = []

        def make(config: object, name: str) -> Any:
            def distance(pair: Pair, seed: object) -> None:
                measured.append((name, pair.target))
                if name == "leep":
                    raise SettingError("The 'leep' distance needs a head.")

            return distance

        monkeypatch.setattr(module, "make_distance", make)
        for method in (None, "knn", "leep"):
            peak = module._peak(SMALL, tmp_path, method)["peak_gb"]
            assert peak is None if method == "leep" else peak is not None and peak > 0
        assert measured == [("knn", LAST), ("leep", LAST)]

    def test_alone_leaves_all_else_in_the_record_as_it_is(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        record, before = tmp_path / "record.json", {"methods": {"knn": {"cpu_s": 1.5}}, "matrix": [1]}
        record.write_text(json.dumps(before))
        trained: list[str] = []

        def represent(setting: Setting, tasks: dict[str, Task], work: Path) -> float:
            trained.extend(tasks)
            return 0.0

        memory = {"loaded": 0.25, "methods": {"knn": 0.75}}
        monkeypatch.setattr(module, "_represent", represent)
        monkeypatch.setattr(module, "_memory", lambda setting, work: memory)
        monkeypatch.setattr(sys, "argv", ["distance.py", "--memory-only", "--record", str(record)])
        committed = module.RECORD.read_bytes()
        module.main()
        assert json.loads(record.read_text()) == {**before, "memory": memory}
        assert trained == [FIRST, LAST]
        assert module.RECORD.read_bytes() == committed
        assert f"The record is {record}." in capsys.readouterr().out


def test_peak_memory_is_in_gigabytes_and_holds_nothing_of_the_process_that_started_this_one() -> None:
    counted = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * module.MEMORY_UNIT / 1e9
    assert 0.05 < module._peak_gb() <= counted + 0.01
