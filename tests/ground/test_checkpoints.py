from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tanas.ground.checkpoints import SAVED_EVERY_S, Checkpoint, FolderCheckpoint, NoCheckpoint, Stopwatch
from tanas.ground.context import Context
from tanas.ground.errors import StoreError
from tanas.ground.events import Event, Listener, Told, ignore

VALUE = {"losses": [0.5, 0.25], "at": (1, "two", None), "weights": {"a": torch.arange(3.0)}}


class TestFolderCheckpoint:
    def test_gives_back_what_was_saved_last(self, tmp_path: Path) -> None:
        FolderCheckpoint(tmp_path / "state").save("key", 1)
        FolderCheckpoint(tmp_path / "state").save("key", VALUE)
        loaded = FolderCheckpoint(tmp_path / "state").load("key")
        assert loaded is not None
        assert torch.equal(loaded["weights"].pop("a"), torch.arange(3.0))
        assert loaded == {"losses": [0.5, 0.25], "at": (1, "two", None), "weights": {}}

    def test_knows_nothing_at_first_and_makes_no_folder(self, tmp_path: Path) -> None:
        checkpoint = FolderCheckpoint(tmp_path / "state")
        assert checkpoint.load("key") is None
        assert checkpoint.child("part").load("key") is None
        assert list(tmp_path.iterdir()) == []

    def test_children_keep_their_own_keys(self, tmp_path: Path) -> None:
        checkpoint = FolderCheckpoint(tmp_path)
        checkpoint.save("key", "own")
        checkpoint.child("a").save("key", "a's")
        checkpoint.child("b").save("key", "b's")
        checkpoint.child("a").clear()
        assert checkpoint.load("key") == "own"
        assert checkpoint.child("a").load("key") is None
        assert checkpoint.child("b").load("key") == "b's"
        checkpoint.clear()
        checkpoint.clear()
        assert checkpoint.child("b").load("key") is None

    @pytest.mark.parametrize(
        "damage",
        [lambda c: c[:-1], lambda c: c[:10], lambda c: b"", lambda c: c[:50] + b"x" + c[51:]],
        ids=["cut", "cut short", "empty", "one byte"],
    )
    def test_names_a_damaged_file(self, tmp_path: Path, damage: Callable[[bytes], bytes]) -> None:
        checkpoint = FolderCheckpoint(tmp_path)
        checkpoint.save("key", VALUE)
        (path,) = tmp_path.iterdir()
        path.write_bytes(damage(path.read_bytes()))
        with pytest.raises(StoreError, match="key.pt is damaged"):
            checkpoint.load("key")

    def test_never_runs_code_of_a_file(self, tmp_path: Path) -> None:
        checkpoint = FolderCheckpoint(tmp_path)
        checkpoint.save("key", {"code": tmp_path})  # any object of a class
        with pytest.raises(Exception, match="Weights only load failed"):
            checkpoint.load("key")

    def test_a_save_that_fails_keeps_the_last_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        checkpoint = FolderCheckpoint(tmp_path)
        checkpoint.save("key", "old")

        def killed(*_: object) -> None:
            raise KeyboardInterrupt

        monkeypatch.setattr("os.replace", killed)
        with pytest.raises(KeyboardInterrupt):
            checkpoint.save("key", "new")
        assert checkpoint.load("key") == "old"


def test_no_checkpoint_keeps_nothing() -> None:
    checkpoint: Checkpoint = NoCheckpoint()
    checkpoint.save("key", 1)
    checkpoint.child("part").save("key", 1)
    assert checkpoint.load("key") is None
    assert checkpoint.child("part").load("key") is None
    checkpoint.clear()


class TestStopwatch:
    @pytest.fixture
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        now = [0.0]
        monkeypatch.setattr("tanas.ground.checkpoints.time.monotonic", lambda: now[0])
        return now

    @staticmethod
    def at(watch: Stopwatch, listener: Listener = ignore) -> Context:
        return Context(listener=watch.heard(listener))

    def test_adds_up_sessions_and_failed_blocks(self, tmp_path: Path, clock: list[float]) -> None:
        watch = Stopwatch(FolderCheckpoint(tmp_path))
        with self.at(watch).phase("search"):
            clock[0] += 2
        with pytest.raises(ValueError, match="failed"), self.at(watch).phase("search"):
            clock[0] += 3
            raise ValueError("failed")
        assert watch.seconds("search") == 5

        later = Stopwatch(FolderCheckpoint(tmp_path))
        with self.at(later).phase("search"):
            clock[0] += 1
        with self.at(later).phase("train"):
            clock[0] += 10
        assert (later.seconds("search"), later.seconds("train"), later.seconds("other")) == (6, 10, 0)

    def test_keeps_what_a_phase_took_up_to_an_interrupt(self, tmp_path: Path, clock: list[float]) -> None:
        watch = Stopwatch(FolderCheckpoint(tmp_path))
        with pytest.raises(KeyboardInterrupt), self.at(watch).phase("search"):
            clock[0] += 4
            raise KeyboardInterrupt
        assert Stopwatch(FolderCheckpoint(tmp_path)).seconds("search") == 4

    def test_counts_a_phase_while_it_runs(self, clock: list[float]) -> None:
        watch = Stopwatch(NoCheckpoint())
        with self.at(watch).phase("search"):
            clock[0] += 4
            assert watch.seconds("search") == 4
            clock[0] += 1
        clock[0] += 9
        assert watch.seconds("search") == 5

    def test_that_is_killed_keeps_what_came_before_the_last_event(
        self, tmp_path: Path, clock: list[float]
    ) -> None:
        watch, told = Stopwatch(FolderCheckpoint(tmp_path)), list[Event]()
        at = self.at(watch, told.append)
        event = Told(message="on it")
        with at.phase("represent"):
            clock[0] += 3
        with at.phase("search"):
            clock[0] += 2
            at.tell(event)
            clock[0] += SAVED_EVERY_S / 2
            at.tell(event)  # too soon to save again
            killed = Stopwatch(FolderCheckpoint(tmp_path))
            assert (killed.seconds("represent"), killed.seconds("search")) == (3, 2)
            clock[0] += 10
            at.tell(event)
            killed = Stopwatch(FolderCheckpoint(tmp_path))
            assert killed.seconds("search") == 12 + SAVED_EVERY_S / 2
        assert [one for one in told if isinstance(one, Told)] == [event] * 3
        assert Stopwatch(FolderCheckpoint(tmp_path)).seconds("search") == 12 + SAVED_EVERY_S / 2

    def test_saves_nothing_between_phases(self, tmp_path: Path, clock: list[float]) -> None:
        listener = Stopwatch(FolderCheckpoint(tmp_path)).heard(ignore)
        clock[0] += 60
        listener(Told(message="idle"))
        assert list(tmp_path.iterdir()) == []
