"""The same command and seed on the same machine give the same result to the byte, but for times."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.sessions import ENVIRONMENT, repeated, session

pytestmark = pytest.mark.long

COMMAND = [
    "search",
    "npz:bars.npz:is=square",
    "--dictionary",
    "known",
    "--config",
    "tiny.toml",
    "--out",
    "run",
]


@pytest.fixture(scope="module")
def desks(shelf: Path, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three desks: the command twice in fresh processes side by side, then once with another number of workers."""
    desks = [
        Path(shutil.copytree(shelf, tmp_path_factory.mktemp("repeatable") / name))
        for name in ("first", "second", "third")
    ]
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "tanas", *COMMAND, "--workers", "1"],
            cwd=desk,
            env={**os.environ, **ENVIRONMENT},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for desk in desks[:2]
    ]
    for process in processes:
        _, err = process.communicate(timeout=240)
        assert process.returncode == 0, err
    ended = session([*COMMAND, "--workers", "2"], desks[2])
    assert ended.status == 0, ended.err
    return desks


def test_the_same_command_gives_the_same_bytes(desks: list[Path]) -> None:
    first, second, _ = desks
    assert repeated(first / "run" / "result.json") == repeated(second / "run" / "result.json")
    for file in ("weights.safetensors", "architecture.json"):
        assert (first / "run" / file).read_bytes() == (second / "run" / file).read_bytes()


def test_distances_were_measured_not_read(desks: list[Path], shelf: Path) -> None:
    assert not list(shelf.glob("known/distances/*"))
    result = json.loads((desks[0] / "run" / "result.json").read_text())
    assert len(result["distances"]) == 2
    assert any(0 < each["distance"] <= 1 for each in result["distances"])


def test_the_result_does_not_depend_on_the_number_of_workers(desks: list[Path]) -> None:
    records = [json.loads(repeated(desk / "run" / "result.json")) for desk in desks[1:]]
    commands = [record.pop("command") for record in records]
    assert commands == [
        f"tanas search npz:bars.npz:is=square --dictionary known --config tiny.toml --out RUN --workers {n}"
        for n in (1, 2)
    ]
    assert records[0] == records[1]
    weights = [(desk / "run" / "weights.safetensors").read_bytes() for desk in desks[1:]]
    assert weights[0] == weights[1]


def test_another_seed_gives_another_result(desks: list[Path]) -> None:
    ended = session([*COMMAND[:-1], "other", "--seed", "1"], desks[2], light=True)
    assert ended.status == 0, ended.err
    one, other = (json.loads((desks[2] / name / "result.json").read_text()) for name in ("run", "other"))
    assert one["training_losses"] != other["training_losses"]
    assert one["task"] == other["task"], "the split belongs to the source, not to the run"


def test_a_run_may_lie_anywhere(desks: list[Path]) -> None:
    ended = session([*COMMAND[:-1], "a", "--workers", "2"], desks[2], light=True)
    assert ended.status == 0, ended.err
    assert repeated(desks[2] / "a" / "result.json") == repeated(desks[2] / "run" / "result.json")
