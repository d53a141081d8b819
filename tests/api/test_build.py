"""What dictionaries are built with: the estimate before it, and what two builds at once do to one another."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.dictionary.small_atoms import LEARN, AtOnce, task_of
from tests.sessions import session

import tanas.api.build as building
from tanas.algorithm.learn import Pace, expected_seconds, measure_pace
from tanas.algorithm.presets import LearnConfig
from tanas.api.build import build_dictionary, estimated_seconds
from tanas.dictionary.store import Dictionary
from tanas.distances.representative import RepresentativeConfig
from tanas.engines.local import LocalEngine
from tanas.engines.resources import Machine, Resources
from tanas.ground.errors import SettingError
from tanas.ground.events import Event, Listener, StepFinished, StepStarted, Told
from tanas.ground.executor import InThisProcess
from tanas.ground.seeds import Seed
from tanas.networks.scoring import ScoringConfig
from tanas.networks.training import TrainingConfig
from tanas.spaces import named
from tanas.strategies.fuse import FuseConfig
from tanas.strategies.schedules import Alternating, EqualWeights
from tanas.tasks.library import Library

PACE = Pace(representative=0.5, candidate=0.25)
CONFIG = LearnConfig(
    limit=100,
    representative=RepresentativeConfig(training=TrainingConfig(epochs=4), most_epochs=12),
    fuse=FuseConfig(
        rounds=3,
        candidates=4,
        images=40,
        validation_images=15,
        schedule=EqualWeights(training=TrainingConfig(epochs=2)),
    ),
    scoring=ScoringConfig(images=60, training=TrainingConfig(epochs=5)),
    training=TrainingConfig(epochs=6),
)


def test_a_space_of_the_program_is_refused_as_workers_do_not_know_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(named._REGISTRY, "mine", named.paper)
    with pytest.raises(SettingError, match="The space 'mine' was registered by this program"):
        build_dictionary(
            Dictionary.create(tmp_path / "known"),
            [task_of()],
            Library(),
            replace(CONFIG, space="mine"),
            seed=0,
            machine=Machine(resources=Resources(), engine=LocalEngine(1), listener=lambda _: None),
        )


class TestExpectedSeconds:
    def test_count_every_image_that_is_trained_on(self) -> None:
        task = task_of().limited(100)
        represented = 8 * 100 * PACE.representative  # halfway between 4 and 12 epochs
        compared = 3 * 4 * (2 * 40 + 15 / 3) * PACE.candidate
        scored = (1 + 2 * 3 / 4) * 5 * 60 * PACE.candidate
        kept = 6 * 100 * PACE.candidate
        total = represented + compared + scored + kept
        assert expected_seconds(task, CONFIG, PACE) == pytest.approx(total)

    def test_take_no_more_images_than_there_are(self) -> None:
        task = task_of().limited(30)
        many = replace(
            CONFIG,
            fuse=replace(CONFIG.fuse, images=None, validation_images=None),
            scoring=replace(CONFIG.scoring, images=60_000),
        )
        capped = replace(
            CONFIG,
            fuse=replace(CONFIG.fuse, images=30, validation_images=len(task.validation)),
            scoring=replace(CONFIG.scoring, images=30),
        )
        assert expected_seconds(task, many, PACE) == expected_seconds(task, capped, PACE)

    def test_take_half_of_the_stages_until_alpha_converges(self) -> None:
        schedule = Alternating(stages=10, training=TrainingConfig(epochs=2))
        alternating = replace(CONFIG, fuse=replace(CONFIG.fuse, schedule=schedule))
        none = Pace(representative=0.0, candidate=PACE.candidate)
        task = task_of().limited(100)
        scored = (1 + 2 * 3 / 4) * 5 * 60 * PACE.candidate
        others = scored + 6 * 100 * PACE.candidate
        once = expected_seconds(task, CONFIG, none) - others
        assert expected_seconds(task, alternating, none) - others == pytest.approx(5 * once)


class TestMeasurePace:
    def test_times_each_network_and_changes_no_draw(self) -> None:
        state = torch.random.get_rng_state()
        pace = measure_pace(task_of(), LEARN, seed=Seed(0), device="cpu")
        assert pace.representative > 0
        assert pace.candidate > 0
        assert torch.equal(torch.random.get_rng_state(), state)


class TestEstimate:
    @pytest.fixture
    def paces(self, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
        """Paces as if they were measured: 1 s and then 3 s an image; and for which tasks they were asked."""
        asked: list[tuple[str, ...]] = []

        def paces_of(names: tuple[str, ...], *_: object) -> tuple[Pace, ...]:
            asked.append(names)
            each = 1.0 if len(asked) == 1 else 3.0
            return tuple(Pace(representative=each, candidate=each) for _ in names)

        monkeypatch.setattr(building, "paces_of", paces_of)
        return asked

    def estimate(self, *names: str, workers: int, listener: Listener = lambda _: None) -> float:
        library = Library()
        return estimated_seconds(
            [library.open(name) for name in names],
            library,
            CONFIG,
            seed=0,
            machine=Machine(
                resources=Resources(device="cpu", workers=workers),
                engine=AtOnce(),  # type: ignore[arg-type]
                listener=listener,
            ),
        )

    def one(self, each: float) -> float:
        task = Library().open("digits:is=0").limited(100)
        return expected_seconds(task, CONFIG, Pace(representative=each, candidate=each))

    def test_is_the_time_of_the_worker_that_ends_last(self, paces: list[tuple[str, ...]]) -> None:
        names = ("digits:is=0", "digits:is=1", "digits:is=2")
        assert self.estimate(*names, workers=2) == pytest.approx(2 * self.one(2.0))
        assert len(paces) == 2, "each worker measures"

    def test_starts_no_more_workers_than_there_are_atoms(self, paces: list[tuple[str, ...]]) -> None:
        assert self.estimate("digits:is=0", workers=8) == pytest.approx(self.one(1.0))
        assert paces == [("digits:is=0",)]

    def test_is_measured_once_for_each_size_of_images(self, paces: list[tuple[str, ...]], desk: Path) -> None:
        bars = f"npz:{desk / 'bars.npz'}"
        self.estimate("digits:is=0", bars, "digits:is=1", f"{bars}:is=square", workers=1)
        assert [set(names) for names in paces] == [{"digits:is=0", bars}]

    def test_is_told_before_the_first_atom(self, paces: list[tuple[str, ...]], tmp_path: Path) -> None:
        told: list[Event] = []

        class Engine(InThisProcess):
            def submit_heard(self, listener: Any, function: Any, /, *args: Any) -> Any:
                return self.submit(function, *args, listener=listener)

        library = Library()
        build_dictionary(
            Dictionary.create(tmp_path / "memory"),
            [library.open("digits:is=0")],
            library,
            LEARN,
            seed=0,
            machine=Machine(
                resources=Resources(workers=1),
                engine=Engine(),  # type: ignore[arg-type]
                listener=told.append,
            ),
        )
        started = [event for event in told if isinstance(event, StepStarted)]
        assert "memory" in started[1].step
        expected = expected_seconds(
            library.open("digits:is=0").limited(150), LEARN, Pace(representative=1.0, candidate=1.0)
        )
        assert started[1].estimate_s == pytest.approx(expected)
        assert any(isinstance(e, StepFinished) and e.step == started[0].step for e in told)


class TestTwoBuildsAtOnce:
    SETTINGS = ("--config", "tiny.toml")

    @pytest.mark.long
    def test_leave_one_whole_dictionary_with_each_atom_once(self, desk: Path) -> None:
        names = ["npz:bars.npz:is=square", "npz:bars.npz", "npz:bars.npz:is=across"]
        lists = (names, [*names[::-1], "npz:bars.npz:is=upright"])

        def build(place: int) -> tuple[int, str]:
            own = desk / f"process-{place}"  # what it prints goes there
            own.mkdir()
            for file in ("bars.npz", "tiny.toml"):
                (own / file).symlink_to(desk / file)
            ended = session(
                ["dictionary", "build", "../shared", *lists[place], *self.SETTINGS], own, light=True
            )
            return ended.status, ended.err

        with ThreadPoolExecutor(2) as pool:
            for status, err in pool.map(build, range(2)):
                assert status == 0, err
        together = Dictionary(desk / "shared")
        assert together.verify() == ()
        assert sorted(together.names()) == sorted({*lists[0], *lists[1]})
        assert len(list((desk / "shared" / "atoms").iterdir())) == 4
        assert list((desk / "shared" / "unfinished").iterdir()) == []

    def test_learn_an_atom_once_and_the_second_waits(
        self, desk: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(desk)
        library, folder = Library(), Dictionary.create(desk / "new").folder
        name = "npz:bars.npz:is=square"
        learnt: list[str] = []
        told: list[Event] = []
        original = building.learn_atom

        def learn_atom(*args: Any, **settings: Any) -> Any:
            learnt.append(name)
            second = pool.submit(building.learn_into, *job, listener=waiting)
            seconds.append(second)
            while not told:
                time.sleep(0.01)
                assert not second.done(), "the second does not wait"
            return original(*args, **settings)

        def waiting(event: Event) -> None:
            told.append(event)

        monkeypatch.setattr(building, "learn_atom", learn_atom)
        job = (folder, name, library.reading, replace(LEARN, limit=60), 0, "cpu")
        seconds: list[Any] = []
        with ThreadPoolExecutor(1) as pool:
            building.learn_into(*job, listener=lambda _: None)
            assert seconds[0].result() == name
        assert learnt == [name]
        (said,) = told
        assert isinstance(said, Told) and name in said.message
        assert list(Dictionary(folder).names()) == [name]
