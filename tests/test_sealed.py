"""The test split is sealed: nothing that chooses can reach it, and it is opened once, at the end."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Answer
from tests.strategies.small_search import tiny

from tanas.algorithm import final
from tanas.ground.errors import TaskError
from tanas.strategies import driver
from tanas.tasks.task import Sealed, Split

SEARCH = ("search", "npz:bars.npz:is=square", "--dictionary", "known", "--config", "tiny.toml", "--quiet")


def test_opens_once() -> None:
    task, sealed = tiny().sealed()
    size, fingerprint = len(sealed), sealed.fingerprint
    assert len(sealed.open()) == size > 0
    assert sealed.fingerprint == fingerprint
    with pytest.raises(TaskError, match="test split of digits:is=8 was opened before"):
        sealed.open()
    with pytest.raises(TaskError, match="can't be reached from a search or a distance"):
        task.sealed()
    assert not hasattr(task, "test")


def test_a_search_opens_it_once_after_everything_was_chosen(
    tanas: Callable[..., Answer], desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen: list[str] = []
    opened: list[tuple[str, ...]] = []
    open_, finish = Sealed.open, final.finish

    def noted(self: Sealed) -> Split:
        opened.append(tuple(chosen))
        return open_(self)

    def finished(*args: Any, **options: Any) -> Any:
        ending = finish(*args, **options)
        chosen.append(ending.taken.architecture.key)
        return ending

    monkeypatch.setattr(Sealed, "open", noted)
    monkeypatch.setattr(final, "finish", finished)
    answer = tanas(*SEARCH, "--out", "run")
    assert answer.status == 0, answer.err
    assert len(chosen) == 1
    assert opened == [tuple(chosen)], "once, and what is handed over was trained by then"


def test_a_strategy_that_reaches_for_it_fails(
    tanas: Callable[..., Answer], desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def greedy(history: Any, problem: driver.Problem) -> Any:
        return problem.task.sealed()[1].open()

    monkeypatch.setattr("tanas.strategies.fuse.Fuse.propose", lambda self, *given: greedy(*given))
    answer = tanas(*SEARCH, "--out", "run")
    assert answer.status == 2
    assert "can't be reached from a search or a distance" in answer.err
