from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import filelock
import pytest
from tests.conftest import Answer

from tanas.ground.checkpoints import FolderCheckpoint
from tanas.ground.errors import SettingError, StoreError
from tanas.ground.events import Told
from tanas.runs.folder import (
    Request,
    Run,
    UsedTime,
    check_file,
    check_writable,
    default_folder,
    run_folders,
    slug,
)

REQUEST = Request(
    task="digits:is=8",
    fingerprint="f" * 64,
    dictionary="/somewhere",
    seed=0,
    reuse=False,
    time_limit_s=None,
    device="cpu",
    threads=1,
    config={"fuse": {"rounds": 3}},
)


def begin(folder: Path, request: Request = REQUEST) -> Run:
    return Run.begin(folder, request, known=("a",), command="tanas search digits:is=8 --out run")


class TestBegin:
    def test_a_new_run_writes_what_was_asked(self, tmp_path: Path) -> None:
        run = begin(tmp_path / "run")
        assert not run.finished
        assert Run.open(tmp_path / "run").record == run.record
        assert run.record.known == ("a",)

    def test_the_same_request_goes_on_and_keeps_what_was_known(self, tmp_path: Path) -> None:
        begin(tmp_path)
        later = Run.begin(tmp_path, REQUEST, known=("a", "b"), command="the same")
        assert later.record.known == ("a",)

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"seed": 1}, "begun with seed = 0; now it is 1"),
            ({"config": {"fuse": {"rounds": 4}}}, "begun with config.fuse.rounds = 3; now it is 4"),
            ({"config": {}}, "begun with config.fuse = {'rounds': 3}; now it is None"),
            ({"fingerprint": "e" * 64}, "begun with other data under the name digits:is=8"),
        ],
    )
    def test_another_request_is_refused(
        self, changes: dict[str, object], message: str, tmp_path: Path
    ) -> None:
        begin(tmp_path)
        with pytest.raises(SettingError, match=message):
            begin(tmp_path, replace(REQUEST, **changes))

    def test_a_folder_of_something_else_is_refused(self, tmp_path: Path) -> None:
        (tmp_path / "notes.txt").write_text("mine")
        with pytest.raises(StoreError, match="is not empty and holds no run"):
            begin(tmp_path)

    def test_what_a_killed_process_left_is_no_obstacle(self, tmp_path: Path) -> None:
        (tmp_path / ".run.json.123.part").write_text("{")
        (tmp_path / ".lock").touch()
        assert not begin(tmp_path).finished


class TestOpen:
    def damaged(self, folder: Path, **changes: object) -> Path:
        begin(folder)
        record = json.loads((folder / "run.json").read_text())
        (folder / "run.json").write_text(json.dumps({**record, **changes}))
        return folder

    def test_a_folder_that_is_no_run_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match="a b is not a run: it holds no run.json"):
            Run.open(tmp_path / "a b")

    def test_another_kind_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match="its run.json is of another kind"):
            Run.open(self.damaged(tmp_path, kind="tanas dictionary"))

    def test_another_version_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match="has schema 9; this tanas reads schema 1"):
            Run.open(self.damaged(tmp_path, schema=9))

    def test_a_damaged_record_is_refused(self, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match="run.json is not a RunRecord: request"):
            Run.open(self.damaged(tmp_path, request=3))
        (tmp_path / "run.json").write_text("{")
        with pytest.raises(StoreError, match="run.json can't be read"):
            Run.open(tmp_path)

    def test_a_result_is_asked_of_a_finished_run(self, tmp_path: Path) -> None:
        message = "is not finished.* tanas search digits:is=8 --out run"
        with pytest.raises(StoreError, match=message):
            begin(tmp_path).result()
        with pytest.raises(StoreError, match=message):
            begin(tmp_path).classifier()


class TestDamage:
    """A finished run of which something is broken: every command that needs it says so."""

    @pytest.fixture
    def run(self, tanas: Callable[..., Answer], desk: Path) -> Path:
        done = tanas("search", "npz:bars.npz", "--config", "tiny.toml", "--out", "run", "--quiet")
        assert done.status == 0, done.err
        return desk / "run"

    def test_is_named_by_every_command(self, tanas: Callable[..., Answer], run: Path) -> None:
        weights, result = run / "weights.safetensors", run / "result.json"
        good = weights.read_bytes()
        weights.write_bytes(good[:-1] + b"!")
        needs_weights = (
            ["evaluate", "run"],
            ["predict", "run", "tiny.toml"],
            ["export", "run", "a.pt2"],
        )
        for command in needs_weights:
            assert_refused(tanas(*command), "run/weights.safetensors is damaged")
        weights.unlink()
        for command in needs_weights:
            assert_refused(tanas(*command), "there is no file run/weights.safetensors")
        weights.write_bytes(good)

        record = json.loads(result.read_text())
        search = ["search", "npz:bars.npz", "--config", "tiny.toml", "--out", "run"]
        result.write_text(json.dumps({**record, "schema": 9}))
        for command in (*needs_weights, ["report", "run"], search):
            assert_refused(tanas(*command), "result.json has schema 9; this tanas reads schema 2")
        result.write_text(json.dumps({**record, "parameters": "many"}))
        for command in (*needs_weights, ["report", "run"], search):
            assert_refused(tanas(*command), "result.json is not a Result: parameters")
        result.write_text("{")
        for command in (*needs_weights, ["report", "run"], search):
            assert_refused(tanas(*command), "result.json can't be read")


def assert_refused(answer: Answer, message: str) -> None:
    assert answer.status == 2, answer
    assert message in answer.err
    assert "Traceback" not in answer.err
    assert answer.out == ""


class TestLock:
    def test_two_processes_cannot_work_on_the_same_run(self, tmp_path: Path) -> None:
        run = begin(tmp_path)
        with (
            filelock.FileLock(tmp_path / ".lock"),
            pytest.raises(StoreError, match="Another process works on the run"),
            run.locked(),
        ):
            pass
        with run.locked():
            pass

    def test_a_command_says_so(self, tanas: Callable[..., Answer], desk: Path) -> None:
        (desk / "run").mkdir()
        with filelock.FileLock(desk / "run" / ".lock"):
            answer = tanas("search", "npz:bars.npz", "--config", "tiny.toml", "--out", "run", "--quiet")
        assert answer.status == 2
        assert answer.err.startswith("tanas: Another process") and answer.err.count("\n") == 1


class TestDefaultFolder:
    def test_it_is_named_after_the_task_and_what_is_done(self) -> None:
        assert default_folder(["digits:is=8"]) == Path("runs/digits-is-8")
        assert default_folder(["folder:./photos"], aim="grow") == Path("runs/folder-photos-grown")
        assert default_folder(["digits"], aim="compress") == Path("runs/digits-compressed")

    def test_that_of_several_tasks_is_of_this_list_alone(self) -> None:
        lists = (
            ["digits", "mnist"],
            ["mnist", "digits"],
            ["digits", "fashion-mnist"],
            ["digits", "mnist", "svhn"],
        )
        folders = [default_folder(names) for names in lists]
        assert len(set(folders)) == len(lists)
        assert folders[0].name.startswith("digits-and-1-more-")


class TestFolders:
    def test_one_task_takes_the_folder_itself(self, tmp_path: Path) -> None:
        assert run_folders(tmp_path, ["digits:is=8"]) == (tmp_path,)

    def test_several_take_folders_of_their_own(self, tmp_path: Path) -> None:
        folders = run_folders(tmp_path / "new", ["digits:is=8", "mnist"])
        assert folders == (tmp_path / "new" / "digits-is-8", tmp_path / "new" / "mnist")

    def test_tasks_with_names_alike_do_not_share_one(self, tmp_path: Path) -> None:
        names = ["folder:a b", "folder:a-b", f"folder:{'x' * 80}:is=1", f"folder:{'x' * 80}:is=2"]
        folders = run_folders(tmp_path, names)
        assert len(set(folders)) == 4
        assert folders == run_folders(tmp_path, names)

    def test_runs_and_dictionaries_may_be_there(self, tmp_path: Path) -> None:
        begin(tmp_path / "mnist")
        (tmp_path / "dictionary").mkdir()
        (tmp_path / "dictionary" / "dictionary.json").write_text("{}")
        (tmp_path / "digits").mkdir()  # killed before its first file
        assert len(run_folders(tmp_path, ["digits", "mnist"])) == 2

    def test_a_run_or_something_else_is_refused(self, tmp_path: Path) -> None:
        begin(tmp_path)
        with pytest.raises(StoreError, match="holds 'run.json'"):
            run_folders(tmp_path, ["digits", "mnist"])

    @pytest.mark.parametrize(
        ("name", "expected"), [("mnist:is=3", "mnist-is-3"), ("folder:./ä", "folder"), ("::", "task")]
    )
    def test_a_name_becomes_a_folders_name(self, name: str, expected: str) -> None:
        assert slug(name) == expected


class TestWritable:
    def test_a_new_folder_leaves_no_trace(self, tmp_path: Path) -> None:
        check_writable(tmp_path / "a" / "b")
        assert list(tmp_path.iterdir()) == []

    def test_a_file_in_the_way_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with pytest.raises(StoreError, match="can't be made: .*file is a file"):
            check_writable(tmp_path / "file" / "below")

    @pytest.mark.skipif(not Path("/proc/self").exists(), reason="this system has no /proc")
    def test_rights_are_tried_rather_than_read(self) -> None:
        with pytest.raises(StoreError, match="/proc/run can't be written"):
            check_writable(Path("/proc/run"))

    @pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
    def test_a_folder_without_rights_is_refused(self, tmp_path: Path) -> None:
        tmp_path.chmod(0o500)
        with pytest.raises(StoreError, match="can't be written: Permission denied"):
            check_writable(tmp_path / "run")

    def test_a_disk_that_is_full_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        import shutil

        used = shutil.disk_usage(tmp_path)
        monkeypatch.setattr(shutil, "disk_usage", lambda path: used._replace(free=1000))
        with pytest.raises(StoreError, match="50 MB"):
            check_writable(tmp_path)

    def test_a_folder_is_no_file(self, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match="it is a folder"):
            check_file(tmp_path)
        check_file(tmp_path / "new" / "d.csv")


class TestUsedTime:
    def test_it_goes_on_from_the_sessions_before(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        now = [100.0]
        monkeypatch.setattr(time, "monotonic", lambda: now[0])
        used = UsedTime(FolderCheckpoint(tmp_path))
        now[0] += 30
        used(Told(message="something"))
        now[0] += 0.5  # less than is saved
        used(Told(message="something"))
        assert used.seconds == 30.5
        now[0] += 1000  # killed, and taken up later
        again = UsedTime(FolderCheckpoint(tmp_path))
        assert again.seconds == 30
        now[0] += 5
        assert again.seconds == 35
