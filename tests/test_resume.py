"""A run that was killed, whenever, goes on with the same command and ends as if nothing had happened."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from tests.conftest import PLAIN
from tests.sessions import ENVIRONMENT, Moment, repeated, session, tree, without_times

from tanas.ground.checkpoints import FolderCheckpoint

# by representatives, so that a search has all phases
SEARCH = ["search", "npz:bars.npz:is=square", "--dictionary", "known", "--config", "tiny.toml"]
SEARCH += ["--method", "linear"]
BUILD = ["dictionary", "build", "new", "npz:bars.npz:is=square", "npz:bars.npz", "--config", "tiny.toml"]

MOMENTS = {
    "represent": Moment("StepAdvanced", {"step": "represent", "done": "2"}),
    "distance": Moment("DistanceMeasured"),
    "search": Moment("RoundFinished", {"number": "1"}),
    "scoring": Moment("StepAdvanced", {"step": "score", "done": "1"}),
    "final training": Moment("StepAdvanced", {"step": "train", "done": "2"}),
    "test": Moment("StepStarted", {"step": "test"}),
}


@pytest.fixture(scope="module")
def undisturbed(shelf: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A desk on which the search and the build were done without a break."""
    desk = Path(shutil.copytree(shelf, tmp_path_factory.mktemp("undisturbed") / "desk"))
    whole_training(desk)
    for command in ([*SEARCH, "--out", "run"], BUILD):
        ended = session(command, desk, light=True)
        assert ended.status == 0, ended.err
    return desk


def whole_training(desk: Path) -> None:
    """Gives the final training its recipes and its refit: they are interrupted too."""
    settings = desk / "tiny.toml"
    settings.write_text(settings.read_text().replace(PLAIN, ""))


@pytest.mark.long
def test_a_search_that_is_killed_in_every_phase_ends_as_an_undisturbed_one(
    undisturbed: Path, desk: Path
) -> None:
    command = [*SEARCH, "--out", "run"]
    whole_training(desk)
    for name, moment in MOMENTS.items():
        # workers take part while distances are measured; afterwards there is nothing for them to do
        ended = session(command, desk, killed_at=moment, light=name not in ("distance", "search"))
        assert ended.status == -signal.SIGKILL, (name, ended.err)
        assert not (desk / "run" / "result.json").exists()
    assert session(command, desk, light=True).status == 0
    same_run(desk / "run", undisturbed / "run")
    assert not (desk / "run" / "unfinished").exists()


@pytest.mark.long
def test_a_search_that_is_killed_before_each_of_its_files_ends_as_an_undisturbed_one(
    shelf: Path, desk: Path
) -> None:
    # it tries the weights of others and learns what it added: all that a search can do
    command = [*SEARCH, "--out", "run", "--remember", "--warm-weights"]
    undisturbed = Path(shutil.copytree(shelf, desk.with_name("undisturbed")))
    assert session(command, undisturbed, light=True).status == 0
    for number in range(1, 100):
        ended = session(command, desk, killed_at=Moment(file=number), light=True)
        if ended.status == 0:
            break
        assert ended.status == -signal.SIGKILL, (number, ended.err)
    assert number > 8, "it was not killed often enough to show anything"
    same_run(desk / "run", undisturbed / "run")
    atoms = list((desk / "known" / "atoms").iterdir())
    assert len(atoms) == 3, atoms
    assert session(["dictionary", "verify", "known"], desk).status == 0


@pytest.mark.long
def test_a_build_that_is_killed_within_each_atom_ends_as_an_undisturbed_one(
    undisturbed: Path, desk: Path
) -> None:
    whole_training(desk)
    moments = [
        Moment("StepAdvanced", {"step": "represent npz:bars.npz:is=square", "done": "2"}),
        Moment("StepAdvanced", {"step": r"score \w+ on npz:bars.npz$"}),
    ]
    for moment in moments:
        ended = session([*BUILD, "--workers", "1"], desk, killed_at=moment)
        assert ended.status == -signal.SIGKILL, (moment, ended.err)
    assert session(BUILD, desk, light=True).status == 0
    same_dictionary(desk / "new", undisturbed / "new")


@pytest.mark.long
def test_a_build_that_is_killed_before_each_of_its_files_ends_as_an_undisturbed_one(
    undisturbed: Path, desk: Path
) -> None:
    whole_training(desk)
    for number in range(1, 100):
        ended = session(BUILD, desk, killed_at=Moment(file=number), light=True)
        if ended.status == 0:
            break
        assert ended.status == -signal.SIGKILL, (number, ended.err)
    assert number > 5, "it was not killed often enough to show anything"
    same_dictionary(desk / "new", undisturbed / "new")


def test_other_settings_on_an_unfinished_run_are_refused(desk: Path) -> None:
    command = [*SEARCH, "--out", "run"]
    session(command, desk, killed_at=MOMENTS["represent"], light=True)
    before = tree(desk / "run")
    for options, message in {
        ("--seed", "1"): "begun with seed = 0; now it is 1",
        ("--rounds", "3"): "begun with config.fuse.rounds = 2; now it is 3",
        ("--time-limit", "1h"): "begun with time_limit_s = None; now it is 3600.0",
        ("--limit", "30"): "begun with config.limit = 60; now it is 30",
        ("--split-seed", "1"): "begun with other data under the name npz:bars.npz:is=square",
    }.items():
        ended = session([*command, *options], desk, light=True)
        assert ended.status == 2, ended
        assert message in ended.err
    ended = session(["search", "npz:bars.npz", *SEARCH[2:], "--out", "run"], desk, light=True)
    assert "begun with task = 'npz:bars.npz:is=square'; now it is 'npz:bars.npz'" in ended.err
    assert tree(desk / "run") == before


def test_an_unfinished_run_says_how_to_go_on(desk: Path) -> None:
    session([*SEARCH, "--out", "a run"], desk, killed_at=MOMENTS["represent"], light=True)
    expected = "a run is not finished.* tanas search .* --out 'a run'"
    for command in (
        ["report", "a run"],
        ["evaluate", "a run"],
        ["predict", "a run", "bars.npz"],
        ["export", "a run", "a.pt2"],
    ):
        ended = session(command, desk)
        assert ended.status == 2, ended
        assert re.search(expected, ended.err), ended.err
        assert ended.err.count("\n") == 1


def test_a_finished_run_says_so_and_nothing_changes(undisturbed: Path) -> None:
    before = tree(undisturbed / "run")
    ended = session([*SEARCH, "--out", "run", "--workers", "2"], undisturbed)
    assert ended.status == 0
    assert "The run run is finished already" in ended.err
    assert "npz:bars.npz:is=square" in ended.out
    assert tree(undisturbed / "run") == before


def test_a_time_limit_counts_the_time_used_before_a_kill(desk: Path) -> None:
    command = [*SEARCH, "--out", "run", "--rounds", "500", "--time-limit", "4s"]
    ended = session(
        command, desk, killed_at=Moment("StepAdvanced", {"step": "search", "done": "2"}), light=True
    )
    assert ended.status == -signal.SIGKILL
    kept = FolderCheckpoint(desk / "run" / "unfinished")
    kept.save("used", 3600.0)
    assert session(command, desk, light=True).status == 0
    result = json.loads((desk / "run" / "result.json").read_text())
    assert result["stopped"] == "time"
    assert len(result["rounds"]) <= 3


@pytest.mark.long
def test_ctrl_c_ends_with_130_and_the_command_that_goes_on(undisturbed: Path, desk: Path) -> None:
    whole_training(desk)
    command = [sys.executable, "-m", "tanas", *SEARCH, "--out", "it's a run", "--workers", "1"]
    process = subprocess.Popen(
        command,
        cwd=desk,
        env={**os.environ, **ENVIRONMENT},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    events = desk / "it's a run" / "events.jsonl"
    until(lambda: events.exists() and "StepAdvanced" in events.read_text(), process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: every process of the group has it
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert out == ""
    assert "Traceback" not in err
    kept = FolderCheckpoint(desk / "it's a run" / "unfinished").load("seconds")
    assert kept is not None
    assert kept["represent"] > 0, "the seconds up to the interrupt count among the costs"
    pasted = shlex.join(command)
    assert err.splitlines()[-1].endswith(f": {pasted}")

    done = subprocess.run(
        pasted, shell=True, cwd=desk, env={**os.environ, **ENVIRONMENT}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    same_run(desk / "it's a run", undisturbed / "run")


def until(condition: object, process: subprocess.Popen[str], *, most_s: float = 120) -> None:
    """Waits for a condition, watching that the process lives."""
    assert callable(condition)
    end = time.monotonic() + most_s
    while not condition():
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.005)


def same_run(folder: Path, other: Path) -> None:
    """Two runs came to the same: the record but for times and the command, and the weights."""
    records = [without_times(json.loads((each / "result.json").read_text())) for each in (folder, other)]
    for record in records:
        record.pop("command")  # --remember, --workers
    assert records[0] == records[1]
    for file in ("weights.safetensors", "architecture.json"):
        assert (folder / file).read_bytes() == (other / file).read_bytes()


def same_dictionary(folder: Path, other: Path) -> None:
    """Two dictionaries hold the same atoms."""
    names = sorted(path.name for path in (folder / "atoms").iterdir())
    assert names
    assert names == sorted(path.name for path in (other / "atoms").iterdir())
    for name in names:
        one, two = folder / "atoms" / name, other / "atoms" / name
        assert repeated(one / "atom.json") == repeated(two / "atom.json")
        weights = "representative.safetensors"
        assert (one / weights).read_bytes() == (two / weights).read_bytes()
