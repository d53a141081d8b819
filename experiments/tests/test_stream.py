"""Tasks that arrive one after the other."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from tanas.algorithm.presets import SearchConfig
from tanas.engines.resources import Resources
from tanas.ground.errors import SettingError
from tanas.ground.events import ignore
from tanas.ground.records import write_json
from tanas.runs.folder import slug
from tanas.tasks.library import Library
from tanas_experiments import stream
from tanas_experiments.packed import read_packed
from tanas_experiments.searches import SearchRow
from tanas_experiments.stream import (
    ARMS,
    EMPTY,
    ONE_ROUND,
    TWO_ROUNDS,
    Arrival,
    StreamRecord,
    at_scale,
    cheaper_from,
    later,
    one_against_two,
    places,
    record_of,
    reproduce_stream,
    sentence,
    settings_of,
    stream_page,
    terminal_text,
)

SMOKE = at_scale("smoke")
AUTO_ARM = "memory, auto, warm weights"


def arrival(
    arm: str,
    known: int,
    *,
    task: str = "",
    order: int = 0,
    spent: int = 100,
    represent: int = 0,
    took_s: float | None = None,
    error: float = 0.1,
) -> Arrival:
    return Arrival(
        order=order,
        known=known,
        inherited="transfer" if spent < 50 else "prior",
        row=SearchRow(
            target=task or f"t{known}",
            seed=order,
            arm=arm,
            test_error=error,
            test_balanced_error=error,
            validation_performance=0.9,
            parameters=1,
            macs=1,
            architecture="k",
            stopped="rounds",
            candidates=1,
            neighbours=(),
            spent={"represent": represent, "distance": 0, "search": spent, "train": 10**9},
            took_s={} if took_s is None else {"represent": 0.0, "search": took_s, "train": 1000.0},
        ),
    )


def record(*arrivals: Arrival) -> StreamRecord:
    return record_of(SMOKE, settings_of(SMOKE), arrivals, {"processor": "p", "cores": 2})


class TestFigures:
    def test_cost_is_held_against_the_same_task_and_seed_with_nothing_known(self) -> None:
        made = record(
            arrival(EMPTY, 0, task="a", spent=100, error=0.2),
            arrival(EMPTY, 0, task="a", order=1, spent=300, error=0.4),
            arrival(AUTO_ARM, 3, task="a", spent=40, error=0.25),
            arrival(AUTO_ARM, 3, task="a", order=1, spent=160, error=0.45),
            arrival(AUTO_ARM, 4, task="b", spent=1),  # has no partner
        )
        (place,) = places(made, AUTO_ARM)
        assert (place.known, place.n, place.transfers) == (3, 2, 1)
        assert place.share == pytest.approx(200 / 400), "the final training is the same and left out"
        assert place.more_error == pytest.approx(0.05)

    def test_seconds_and_the_final_training_stand_beside_the_cost(self) -> None:
        made = record(
            arrival(EMPTY, 9, spent=100, took_s=20.0),
            arrival(AUTO_ARM, 9, spent=40, represent=30, took_s=5.0),
        )
        found = later(made, AUTO_ARM, 9)
        assert found is not None
        assert (found.share, found.seconds) == pytest.approx((0.7, 0.25))
        assert (
            f"| {AUTO_ARM} | 70 % | 25 % | 100 % | 99 % | 54 % | 9 known | 1 of 1 | +0.00 | 1 |"
            in stream_page(made)
        )
        assert sentence(made, AUTO_ARM) == (
            "Yes: with 9 or more known tasks, 70 % of the multiply-adds and 25 % of the seconds before the final "
            "training (n = 1). Test error: +0.00 points."
        )

    def test_the_turning_point_is_where_every_later_place_is_cheaper(self) -> None:
        shares = (1.2, 0.9, 1.1, 0.8, 0.4)
        arrivals = [arrival(EMPTY, at, spent=100) for at in range(5)]
        arrivals += [arrival(AUTO_ARM, at, spent=round(100 * share)) for at, share in enumerate(shares)]
        assert cheaper_from(places(record(*arrivals), AUTO_ARM)) == 3
        assert cheaper_from(places(record(*arrivals[:8]), AUTO_ARM)) is None

    def test_the_later_searches_are_summed_and_paired(self) -> None:
        arrivals = [arrival(EMPTY, at, spent=100, error=0.3) for at in range(12)]
        arrivals += [arrival(AUTO_ARM, at, spent=100 if at < 9 else 30, error=0.2) for at in range(12)]
        made = record(*arrivals)
        found = later(made, AUTO_ARM, 9)
        assert found is not None
        assert found.share == found.remembered == pytest.approx(0.3)
        assert (found.difference.n, found.difference.mean) == (3, pytest.approx(0.1))
        assert sentence(made, AUTO_ARM) == (
            "Yes: with 9 or more known tasks, 30 % of the multiply-adds before the final training (n = 3). "
            "Test error: \N{MINUS SIGN}10.00 points (95 % CI \N{MINUS SIGN}10.00 to \N{MINUS SIGN}10.00, p = 0.25)."
        )
        assert later(made, AUTO_ARM, 20) is None
        assert sentence(made, AUTO_ARM, 20) == "No search with 20 or more known tasks has been made yet."

    def test_page_and_terminal_show_every_place(self) -> None:
        made = record(arrival(EMPTY, 0), arrival(AUTO_ARM, 0, spent=30))
        assert "| 0 | 30 % |" in stream_page(made)
        assert "on p (cores 2). Versions: " in stream_page(made)
        assert stream_page(made).startswith("**Not finished**: 28 searches of these orders are missing.")
        every = [arrival(way, known) for way in ARMS for known in range(len(SMOKE.tasks))]
        assert "Not finished" not in stream_page(record(*every))
        more = [replace(one, order=3) for one in every]
        assert "Not finished" not in stream_page(record(*every, *more)), "more orders than the experiment has"
        of_three = replace(record(*every), scale="laptop")
        assert stream_page(of_three).startswith("**Not finished**: the experiment has 3 orders.")
        assert "30 %" in terminal_text(made, Path("f"))
        assert stream_page(record()) == "No search has been made yet.\n"


class TestRunning:
    @pytest.fixture
    def scripted(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str, str, bool]]:
        """Searches are not run: each is noted."""
        asked: list[tuple[str, str, str, bool]] = []

        class Run:
            def result(self) -> Any:
                return SimpleNamespace(space=SimpleNamespace(inherit="prior", related="nearest"))

        def run_search(task: Any, folder: Path, memory: Any, job: Any, machine: Any) -> Run:
            inherit = "all" if job.config.related == "all" else job.config.inherit
            asked.append((task.name, folder.parts[-3], inherit, job.remember))
            return Run()

        monkeypatch.setattr(stream, "run_search", run_search)
        monkeypatch.setattr(
            stream, "row_of", lambda name, seed, arm, _: arrival(arm, 0, task=name, order=seed).row
        )
        return asked

    def run(
        self, folder: Path, orders: int = 1, *, first_order: int = 0, record: Path | None = None
    ) -> StreamRecord:
        config = replace(SMOKE, tasks=SMOKE.tasks[:3], orders=orders, first_order=first_order)
        return reproduce_stream(
            folder,
            config,
            Library(),
            record=record,
            resources=Resources(workers=1),
            engine=None,  # type: ignore[arg-type]
            listener=ignore,
        )

    def test_every_arm_gets_the_same_order_and_only_the_memory_remembers(
        self, tmp_path: Path, scripted: list[tuple[str, str, str, bool]]
    ) -> None:
        made = self.run(tmp_path / "s")
        assert made.n == len(scripted) == 3 * len(ARMS) == 15
        tasks = {slug(arm): [task for task, its, _, _ in scripted if its == slug(arm)] for arm in ARMS}
        assert [its for _, its, _, _ in scripted[: len(ARMS)]] == list(tasks), "one way after the other"
        assert len(set(map(tuple, tasks.values()))) == 1
        assert {(inherit, remembers) for _, _, inherit, remembers in scripted} == {
            ("auto", True),
            ("prior", True),
            ("all", True),
            ("none", False),
        }

    def test_it_goes_on_where_it_was_and_takes_more_orders(
        self, tmp_path: Path, scripted: list[tuple[str, str, str, bool]]
    ) -> None:
        first = self.run(tmp_path / "s")
        scripted.clear()
        assert self.run(tmp_path / "s") == first
        assert not scripted
        assert self.run(tmp_path / "s", orders=2).n == 30
        assert len(scripted) == 15

    def test_processes_share_a_record_and_orders_that_are_whole_in_it_are_not_made_again(
        self, tmp_path: Path, scripted: list[tuple[str, str, str, bool]]
    ) -> None:
        path = tmp_path / "record.json"
        self.run(tmp_path / "second", first_order=1, record=path)
        first = read_packed(StreamRecord, path).arrivals
        # another process is half way through the third order: its memories are in its own folder
        half = [replace(one, order=2) for one in first[:5]]
        write_json(path, replace(read_packed(StreamRecord, path), arrivals=(*first, *half)))
        scripted.clear()
        made = self.run(tmp_path / "both", orders=2, record=path)
        assert len(scripted) == 15, "the first order only"
        assert (made.n, made.orders) == (35, (0, 1, 2))
        assert read_packed(StreamRecord, path) == made
        assert {
            one.order for one in read_packed(StreamRecord, tmp_path / "both" / "stream.json").arrivals
        } == {0}
        # of an order that two take, the rows of one stand in the record
        scripted.clear()
        made = self.run(tmp_path / "third", first_order=2, record=path)
        assert (made.n, len(scripted)) == (45, 15)
        write_json(path, replace(made, settings={**made.settings, "split_seed": 1}))
        with pytest.raises(SettingError, match="made with other settings"):
            self.run(tmp_path / "else", record=path)


def test_one_round_is_held_against_two_on_the_same_tasks_and_places() -> None:
    arrivals = [
        arrival(arm, known, order=order, spent=spent, error=error)
        for arm, spent, error in ((ONE_ROUND, 50, 0.11), (TWO_ROUNDS, 100, 0.10))
        for known in range(12)
        for order in range(2)
    ]
    said = one_against_two(record(*arrivals))
    assert said.startswith("**One round costs 50 % of two (n = 6, 9 or more known tasks)**. ")
    assert "One round minus two: +1.00 points of test error (95 % CI +1.00 to +1.00, p = 0.03" in said
    assert "of l" in said
    assert said in stream_page(record(*arrivals))
    assert one_against_two(record(*arrivals[:12])) == "", "there is nothing to be held against"


def test_a_way_of_few_rounds_takes_them_once_enough_is_known_and_no_other_does() -> None:
    search = SearchConfig()
    rounds = {arm: way.configured(search).rounds_led for arm, way in ARMS.items()}
    assert rounds == {
        "memory, auto, warm weights": 2,
        "memory, two rounds": 2,
        "memory, one round": 1,
        "memory without distances, one round": 1,
        EMPTY: None,
    }


def test_orders_are_drawn_from_their_number_and_hold_every_task() -> None:
    laptop = at_scale("laptop")
    assert len(set(laptop.tasks)) == 20
    assert laptop.order(0) == laptop.order(0) != laptop.order(1)
    assert sorted(laptop.order(1)) == sorted(laptop.tasks)
    with pytest.raises(SettingError, match="orders"):
        at_scale("smoke", orders=0)
    with pytest.raises(SettingError, match="first_order"):
        at_scale("smoke", first_order=-1)
