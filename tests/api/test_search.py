from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tests.conftest import Answer, bars
from tests.dictionary.small_atoms import atom_of, task_of
from tests.sessions import lighten
from tests.strategies.small_search import one_edge
from torch.utils.data import TensorDataset

import tanas
from tanas.algorithm.presets import SearchConfig
from tanas.algorithm.space import SpaceDefined
from tanas.api.run import _keeping
from tanas.api.search import open_memory
from tanas.api.settings import configure
from tanas.dictionary.store import Dictionary
from tanas.dictionary.task_record import Reuse
from tanas.ground.errors import DataError, SettingError, StoreError
from tanas.ground.events import Event, Told
from tanas.networks.scoring import unscored
from tanas.strategies.base import Round

SEARCH = ("search", "npz:bars.npz:is=square", "--config", "tiny.toml", "--quiet")


@pytest.fixture
def config(shelf: Path) -> SearchConfig:
    return configure("default", shelf / "tiny.toml", {})


@pytest.fixture
def here(desk: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The desk, as working directory, with a dictionary of one's own in `own`."""
    monkeypatch.chdir(desk)
    monkeypatch.setenv("TANAS_DICTIONARY", str(desk / "own"))
    lighten(monkeypatch.setattr)
    return desk


class TestSearch:
    def test_takes_arrays_and_gives_a_run_that_can_be_used(self, here: Path, config: SearchConfig) -> None:
        x, y = bars(150, seed=1)
        run = tanas.search(x, y, name="bars", classes=["across", "upright", "square"], config=config)
        assert run.finished
        assert run.folder.parent == Path("tanas-runs")
        result = run.result()
        assert result.task.classes == ("across", "upright", "square")
        assert (run.folder / "report.html").exists()

        network = tanas.load(run.folder)
        assert network(x[:5]).shape == (5, 3)
        assert network(x[:5] / 255).shape == (5, 3)
        assert set(network.predict(x[:5])) <= {"across", "upright", "square"}
        assert torch.equal(network(x[:5]), run.classifier()(x[:5]))
        with pytest.raises(DataError, match="12"):
            network(np.zeros((2, 9, 9), dtype=np.uint8))

    def test_takes_a_dataset(self, here: Path, config: SearchConfig) -> None:
        x, y = bars(150, seed=1)
        pairs = TensorDataset(torch.from_numpy(x)[:, None].float() / 255, torch.from_numpy(y))
        run = tanas.search(pairs, name="pairs", out=here / "run", config=config)
        assert run.result().task.shape == (1, 12, 12)
        of_arrays = tanas.search(x, y, name="pairs", out="other", config=config)
        assert of_arrays.result().task.fingerprint == run.result().task.fingerprint
        assert of_arrays.result().architecture == run.result().architecture

    def test_an_official_test_split_stays_one(self, here: Path, config: SearchConfig) -> None:
        x, y = bars(120, seed=1)
        x_test, y_test = bars(33, seed=2)
        run = tanas.search(x, y, x_test=x_test, y_test=y_test, config=config)
        assert run.result().task.test == 33

    def test_other_settings_take_another_folder(self, here: Path, config: SearchConfig) -> None:
        x, y = bars(90, seed=1)
        first = tanas.search(x, y, config=config, remember=False)
        assert tanas.search(x, y, config=config, remember=False).folder == first.folder
        assert tanas.search(x, y, config=config, remember=False, seed=1).folder != first.folder

    def test_tells_its_listener_what_happens(self, here: Path, config: SearchConfig) -> None:
        events: list[Event] = []
        x, y = bars(90, seed=1)
        run = tanas.search(x, y, config=config, listener=events.append)
        assert any(isinstance(event, SpaceDefined) for event in events)
        assert any(isinstance(event, Told) for event in events)
        assert len((run.folder / "events.jsonl").read_text().splitlines()) == len(events)

    def test_refuses_what_the_commands_refuse(self, here: Path, config: SearchConfig) -> None:
        x, y = bars(30, seed=1)
        with pytest.raises(DataError, match="30 images .* 29 labels"):
            tanas.search(x, y[:-1], config=config)
        with pytest.raises(SettingError, match="'time_limit' of search .* -3"):
            tanas.search(x, y, config=config, time_limit=-3)
        with pytest.raises(StoreError, match="absent is not a dictionary"):
            tanas.search(x, y, config=config, dictionary="absent")
        assert not (here / "tanas-runs").exists()


class TestSmallClasses:
    def test_a_split_without_a_class_is_warned_of(self, here: Path, config: SearchConfig) -> None:
        x, _ = bars(42, seed=1)
        y = np.array([0] * 40 + [1] * 2)
        warnings = tanas.search(x, y, name="rare", config=config).result().warnings
        assert any("rare" in each and "'1'" in each for each in warnings), warnings


class TestBuild:
    def test_tasks_that_are_known_or_the_same_are_learnt_once(
        self, tanas: Callable[..., Answer], desk: Path
    ) -> None:
        names = ("npz:bars.npz:is=across", "npz:bars.npz:is=2", "npz:bars.npz:is=square:take=96")
        answer = tanas("dictionary", "build", "known", *names, "--config", "tiny.toml")
        assert answer.status == 0, answer.err
        assert "npz:bars.npz:is=across" in answer.err
        assert re.search("npz:bars.npz:is=square:take=96 .* npz:bars.npz:is=square", answer.err)
        assert len(Dictionary(desk / "known").atoms()) == 3

        again = tanas("dictionary", "build", "known", names[1], "--config", "tiny.toml", "--quiet")
        assert again.status == 0
        strict = tanas(
            "dictionary",
            "build",
            "known",
            "npz:bars.npz",
            "--config",
            "tiny.toml",
            "--strict",
            "--epsilon",
            "0.001",
        )
        assert strict.status == 2
        assert "1 - epsilon = 0.999" in strict.err

    def test_without_a_task_a_starter_is_made(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        from tanas.api.build import DIGITS_STARTER, starter
        from tanas.tasks.library import Library

        assert starter(Library(tmp_path)) == DIGITS_STARTER
        assert len(DIGITS_STARTER) >= 6

    def test_a_starter_holds_the_papers_ten_where_their_data_is(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from tanas.api.build import DIGITS_STARTER, PAPER_STARTER, starter
        from tanas.tasks.library import Library

        there, asked = list[str](), list[tuple[str, bool]]()

        def opened(library: Library, name: str) -> None:
            asked.append((name, library.reading.download))
            if name not in there:
                raise DataError("it is not there")

        monkeypatch.setattr(Library, "open", opened)
        assert starter(Library()) == DIGITS_STARTER
        there.append("mnist")
        assert starter(Library()) == DIGITS_STARTER, "one of the two is not enough"
        there.append("fashion-mnist")
        assert starter(Library()) == (*DIGITS_STARTER, *PAPER_STARTER)
        assert len(set(PAPER_STARTER)) == 10
        assert not any(download for _, download in asked), "nothing is fetched for it"


class TestLoad:
    def test_refuses_what_is_no_run(self, here: Path) -> None:
        with pytest.raises(StoreError, match="known holds no network"):
            tanas.load("known")


class TestMemory:
    def test_ones_own_dictionary_grows_with_every_search(
        self, tanas: Callable[..., Answer], desk: Path
    ) -> None:
        assert tanas("search", "npz:bars.npz:is=across", *SEARCH[2:], "--out", "first").status == 0
        assert [atom.task.name for atom in Dictionary(desk / "own").atoms()] == ["npz:bars.npz:is=across"]
        answer = tanas("search", "npz:bars.npz:is=square", "--config", "tiny.toml", "--out", "second")
        assert answer.status == 0
        assert "d(npz:bars.npz:is=across -> npz:bars.npz:is=square) = " in answer.err
        second = json.loads((desk / "second" / "result.json").read_text())
        assert [each["atom"] for each in second["neighbours"]] == ["npz:bars.npz:is=across"]
        assert len(Dictionary(desk / "own").atoms()) == 2

    def test_ones_own_dictionary_can_be_told_to_forget(
        self, tanas: Callable[..., Answer], desk: Path
    ) -> None:
        assert tanas(*SEARCH, "--out", "run", "--forget").status == 0
        assert Dictionary(desk / "own").atoms() == ()

    def test_an_empty_one_tells_of_the_starter(self, tanas: Callable[..., Answer], desk: Path) -> None:
        answer = tanas(*SEARCH[:-1], "--out", "run")
        assert f"tanas dictionary build {desk / 'own'}" in answer.err

    def test_a_named_one_stays_as_it_is_unless_it_is_to_remember(
        self, tanas: Callable[..., Answer], desk: Path
    ) -> None:
        assert tanas(*SEARCH, "--dictionary", "known", "--out", "run").status == 0
        assert len(Dictionary(desk / "known").atoms()) == 2
        assert tanas(*SEARCH, "--dictionary", "known", "--out", "other", "--remember").status == 0
        names = [atom.task.name for atom in Dictionary(desk / "known").atoms()]
        assert names == ["npz:bars.npz:is=across", "npz:bars.npz:is=square", "npz:bars.npz:is=upright"]
        assert not (desk / "own").exists()

    def test_a_known_task_is_no_neighbour_of_itself_and_can_be_reused(
        self, tanas: Callable[..., Answer], desk: Path
    ) -> None:
        known = ("search", "npz:bars.npz:is=across", "--dictionary", "known", "--config", "tiny.toml")
        answer = tanas(*known, "--out", "anew")
        assert "npz:bars.npz:is=across is already remembered" in answer.err
        anew = json.loads((desk / "anew" / "result.json").read_text())
        assert [each["atom"] for each in anew["distances"]] == ["npz:bars.npz:is=upright"]

        before = {atom.key: atom for atom in Dictionary(desk / "known").atoms()}
        reused = tanas(*known, "--out", "again", "--reuse", "--remember")
        assert reused.status == 0
        again = json.loads((desk / "again" / "result.json").read_text())
        assert again["stopped"] == "reused"
        assert again["space"]["note"] not in reused.err + reused.out
        assert again["rounds"] == []
        own = next(a for a in before.values() if a.task.name == "npz:bars.npz:is=across")
        assert own.best is not None
        assert again["parameters"] == own.best.parameters
        after = {atom.key: atom for atom in Dictionary(desk / "known").atoms()}
        assert after == before, "what was known of it is not forgotten by using it"

    def test_a_task_that_is_searched_again_keeps_what_was_seen_before(
        self, tanas: Callable[..., Answer], desk: Path
    ) -> None:
        name = "npz:bars.npz:is=across"
        before = Dictionary(desk / "known").find(name)
        again = ("search", name, *SEARCH[2:], "--dictionary", "known", "--remember", "--seed", "7")
        assert tanas(*again, "--out", "run").status == 0
        after = Dictionary(desk / "known").find(name)
        assert after.provenance.made_by == "search"
        seen = {each.architecture for each in after.architectures}
        assert {each.architecture for each in before.architectures} < seen
        assert len(seen) == len(after.architectures)
        assert after.rounds[: len(before.rounds)] == before.rounds, (
            "what sizes promise is learnt from all of them"
        )
        assert len(after.rounds) > len(before.rounds)

    def test_one_atom_after_another_keeps_scores_that_compare_rounds_and_what_a_search_added(self) -> None:
        first, second, third = (
            unscored(one_edge(name), task_of()) for name in ("sep_conv_3x3", "identity", "max_pool_2x2")
        )
        held = (first.architecture, second.architecture)
        past = Round(
            candidates=held,
            keys=(held[0].key, held[1].key),
            dropped=(),
            stages=(),
            winner=0,
            took_s=1.0,
        )
        reuse = Reuse(source="a", distance=0.5, score=0.5, best=0.6, warm=False)
        before = replace(
            atom_of(),
            architectures=(replace(first, score=0.9), replace(second, score=0.8), replace(third, score=None)),
            reuse=reuse,
            rounds=(past,),
        )
        lost = replace(
            before,
            architectures=(replace(first, score=None), replace(third, score=0.7)),
            reuse=None,
            rounds=(replace(past, took_s=2.0), replace(past, winner=1)),
        )
        kept = _keeping(lost, before)
        assert {one.architecture: one.score for one in kept.architectures} == {
            first.architecture: 0.9,  # known by its score, though it only lost this time
            second.architecture: 0.8,
            third.architecture: 0.7,
        }
        assert [one.winner for one in kept.rounds] == [0, 1], "the same round counts once"
        assert kept.reuse == reuse

        alone = replace(before, architectures=(replace(third, score=0.99, final=True),), reuse=None)
        kept = _keeping(alone, before)
        assert kept.best is not None
        assert (kept.best.architecture, kept.best.score) == (first.architecture, 0.9)
        assert not any(one.final for one in kept.architectures), "a final training compares with no score"
        assert _keeping(before, alone).best == kept.best

        other = replace(before.provenance, settings={**before.provenance.settings, "scoring": {"images": 1}})
        kept = _keeping(replace(lost, provenance=other), before)
        assert [one.score for one in kept.architectures] == [0.7, None, None], (
            "another training's don't compare"
        )

    def test_a_threshold_that_leaves_none_takes_the_standard_space(
        self, tanas: Callable[..., Answer], desk: Path
    ) -> None:
        answer = tanas(*SEARCH, "--dictionary", "known", "--threshold", "0", "--out", "run")
        assert answer.status == 0
        result = json.loads((desk / "run" / "result.json").read_text())
        assert result["neighbours"] == []
        assert len(result["distances"]) == 2
        assert "standard" in result["space"]["note"]

    def test_a_time_limit_takes_the_best_so_far(self, tanas: Callable[..., Answer], desk: Path) -> None:
        answer = tanas(*SEARCH, "--out", "run", "--rounds", "500", "--time-limit", "0.01s")
        assert answer.status == 0
        result = json.loads((desk / "run" / "result.json").read_text())
        assert result["stopped"] == "time"
        assert len(result["rounds"]) == 1

    def test_the_users_own_is_made_when_it_is_written_to(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("TANAS_DICTIONARY", str(tmp_path / "a" / "b"))
        own = open_memory()
        assert own.folder == tmp_path / "a" / "b"
        assert (own.atoms(), own.settled) == ((), False)
        assert not (tmp_path / "a").exists()
        own.settle()
        assert Dictionary(tmp_path / "a" / "b").atoms() == ()
        monkeypatch.delenv("TANAS_DICTIONARY")
        monkeypatch.setattr("platformdirs.user_data_path", lambda name: tmp_path / name)
        assert open_memory().folder == tmp_path / "tanas" / "dictionary"
