from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from experiments.tests.small_truth import row
from tests.opened import opened

from tanas.ground.errors import SettingError, StoreError
from tanas.ground.executor import InThisProcess
from tanas.networks.architecture import Architecture
from tanas.spaces.costs import cost_by_parts
from tanas.spaces.named import named_space
from tanas.tasks.library import Library
from tanas.tasks.performance import Evaluation
from tanas.tasks.task import Task
from tanas_experiments import truth
from tanas_experiments.truth import (
    SIZE_CLASSES,
    SIZE_SHAPE,
    TARGETS,
    Job,
    Place,
    Row,
    Target,
    TruthConfig,
    TruthRecord,
    check_same,
    cut,
    described,
    draw_architectures,
    fill,
    jobs,
    open_target,
    read_table,
    shard_of,
    table_digest,
    table_text,
    target_named,
    train_once,
    unclipped,
    whole_positions,
    write_table,
)

SMALL = TruthConfig(architectures=6, bins=3, images=64, test_images=40, epochs=1, least_steps=2)
TWO = (Target(id="a", name="a", title="a"), Target(id="b", name="b", title="b"))


@pytest.fixture(scope="module")
def digits() -> Task:
    return Library().open("digits")


@pytest.fixture(scope="module")
def drawn() -> tuple[Architecture, ...]:
    return draw_architectures(SMALL)


@pytest.fixture(scope="module", autouse=True)
def few_draws() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(truth, "DRAWN", 300)  # six architectures are soon found
        yield


class TestDraw:
    def test_takes_as_many_of_each_size_and_each_once(self, drawn: tuple[Architecture, ...]) -> None:
        edges = np.geomspace(SMALL.least_parameters, SMALL.most_parameters, SMALL.bins + 1)
        sizes = [cost_by_parts(one, SIZE_SHAPE, SIZE_CLASSES).parameters for one in drawn]
        bins = np.digitize(sizes, edges)
        for block in (bins[:3], bins[3:]):  # every beginning is as fair
            assert sorted(block) == [1, 2, 3]
        assert len({one.key for one in drawn}) == SMALL.architectures

    def test_stays_within_the_space_for_a_hundred_classes(self, drawn: tuple[Architecture, ...]) -> None:
        space = named_space("standard")
        assert all(space.contains(one) and space.allows(one, SIZE_SHAPE, 100) for one in drawn)

    def test_of_fewer_is_the_beginning_of_more(self, drawn: tuple[Architecture, ...]) -> None:
        assert draw_architectures(replace(SMALL, architectures=4)) == drawn[:4]

    def test_refuses_a_space_without_small_ones(self) -> None:
        wanted = replace(SMALL, architectures=3, least_parameters=1, most_parameters=8)
        with pytest.raises(SettingError, match="The space 'standard' gave 0 architectures"):
            draw_architectures(wanted)


class TestConfig:
    def test_gives_small_sets_more_epochs(self) -> None:
        config = TruthConfig()
        assert config.training(3000).epochs == 5  # 24 steps an epoch
        assert config.training(200).epochs == 50  # 2 steps an epoch
        assert config.training(1151).epochs == 12  # 10 steps an epoch

    def test_refuses_sizes_that_are_no_range(self) -> None:
        with pytest.raises(SettingError, match="'most_parameters' of TruthConfig must be more"):
            TruthConfig(least_parameters=10, most_parameters=10)


class TestJobs:
    def test_come_architecture_by_architecture(self) -> None:
        every = list(jobs(SMALL, TWO))
        assert [(job.position, job.target, job.seed) for job in every[:5]] == [
            (0, "a", 0),
            (0, "a", 1),
            (0, "b", 0),
            (0, "b", 1),
            (1, "a", 0),
        ]
        assert len(every) == 6 * 2 * 2

    def test_are_shared_by_shards_without_rest(self) -> None:
        parts = [list(shard_of(jobs(SMALL, TWO), number, 4)) for number in (1, 2, 3, 4)]
        assert sorted(job for part in parts for job in part) == sorted(jobs(SMALL, TWO))

    def test_of_a_shard_that_is_not_there_are_refused(self) -> None:
        with pytest.raises(SettingError, match="'number' of shard_of"):
            list(shard_of(jobs(SMALL, TWO), 3, 2))

    def test_name_only_targets_of_the_table(self) -> None:
        with pytest.raises(SettingError, match="'mars' is no target of the table. It has moon, one-style"):
            target_named("mars")
        assert target_named("digits").name == "digits"


class TestTable:
    def test_is_read_as_it_was_written(self, tmp_path: Path) -> None:
        made = (row(0, "moon", 0, error=0.12345), row(0, "digits", 1, error=0.5, loss=12.345))
        write_table(tmp_path / "t.csv", made)
        assert read_table(tmp_path / "t.csv") == made

    def test_does_not_depend_on_the_order_of_its_rows(self) -> None:
        made = [row(p, t.id, s) for p in range(3) for t in TARGETS for s in (0, 1)]
        assert table_text(made) == table_text(reversed(made))
        assert table_digest(made) == table_digest(made[::-1])
        assert table_digest(made) != table_digest(made[1:])

    def test_keeps_a_training_that_diverged(self, tmp_path: Path) -> None:
        nothing = dict.fromkeys(
            ("score", "unclipped", "val_error", "val_balanced", "val_loss", "test_error", "test_balanced"),
            math.nan,
        )
        write_table(tmp_path / "t.csv", [replace(row(0), **nothing)])  # type: ignore[arg-type]
        (read,) = read_table(tmp_path / "t.csv")
        assert read.diverged and math.isnan(read.test_error) and read.parameters == 1000

    def test_that_is_not_there_is_empty(self, tmp_path: Path) -> None:
        assert read_table(tmp_path / "t.csv") == ()

    def test_of_another_form_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "t.csv"
        path.write_text("a,b\n1,2\n")
        with pytest.raises(StoreError, match="is no table of trainings: its first line must be position,key"):
            read_table(path)

    def test_with_a_line_that_is_cut_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "t.csv"
        path.write_text(table_text([row(0)]) + "1,key,a\n")
        with pytest.raises(StoreError, match=r"Line 3 of .* can't be read"):
            read_table(path)

    def test_with_a_training_twice_is_refused(self, tmp_path: Path) -> None:
        path = tmp_path / "t.csv"
        path.write_text(table_text([row(0), row(0)]))
        with pytest.raises(StoreError, match="holds a training twice"):
            read_table(path)

    def test_stays_under_400_kb_when_it_is_full(self) -> None:
        config = TruthConfig()
        full = [
            replace(
                row(job.position, job.target, job.seed, error=0.12345, loss=1.23456),
                key="0123456789abcdef",
                parameters=123456,
                macs=12345678,
                seconds=12.34,
            )
            for job in jobs(config)
        ]
        assert len(full) == 1600
        assert len(table_text(full).encode()) < 400_000

    def test_knows_which_architectures_are_whole(self) -> None:
        made = [row(0, "a", 0), row(0, "a", 1), row(0, "b", 0), row(1, "a", 0), row(1, "a", 1)]
        assert whole_positions(made, ["a"], (0, 1)) == (0, 1)
        assert whole_positions(made, ["a", "b"], (0,)) == (0,)
        assert whole_positions(made, ["a", "b"], (0, 1)) == ()


class TestCut:
    def test_bounds_all_splits_and_leaves_the_task_whole(self, digits: Task) -> None:
        small = cut(digits, 100, 30)
        assert (len(small.train), len(opened(small))) == (100, 30)
        assert len(small.validation) == round(len(digits.validation) * 100 / len(digits.train))
        assert len(opened(digits)) == 359

    def test_takes_the_same_images_each_time(self, digits: Task) -> None:
        first, second = cut(digits, 100, 30), cut(digits, 100, 30)
        assert (
            first.fingerprint == second.fingerprint
            and first.sealed()[1].fingerprint == second.sealed()[1].fingerprint
        )


class TestTraining:
    def test_gives_all_figures_and_the_same_ones_again(
        self, digits: Task, drawn: tuple[Architecture, ...]
    ) -> None:
        small = cut(digits, 64, 40)
        job = Job(position=2, target="digits", seed=1)
        torch.set_num_threads(1)
        first = train_once(drawn[2], small, SMALL, job)
        again = train_once(drawn[2], small, SMALL, job)
        assert replace(first, seconds=0) == replace(again, seconds=0)
        assert (first.position, first.key, first.target, first.seed) == (2, drawn[2].key, "digits", 1)
        assert first.score == max(first.unclipped, 0) and 0 <= first.test_balanced <= 1
        assert first.parameters == cost_by_parts(drawn[2], small.shape, 10).parameters

    def test_from_another_seed_gives_others(self, digits: Task, drawn: tuple[Architecture, ...]) -> None:
        small = cut(digits, 64, 40)
        losses = {
            train_once(drawn[0], small, SMALL, Job(position=0, target="digits", seed=seed)).val_loss
            for seed in (0, 1)
        }
        assert len(losses) == 2

    def test_that_diverges_is_a_row_without_figures(
        self, digits: Task, drawn: tuple[Architecture, ...]
    ) -> None:
        wild = replace(SMALL, learning_rate=1e30, epochs=3)
        made = train_once(drawn[0], cut(digits, 64, 40), wild, Job(position=0, target="digits", seed=0))
        assert made.diverged and made.macs > 0

    def test_of_a_network_worse_than_constant_is_below_0_unclipped(self) -> None:
        wrong = Evaluation(confusion=((0, 4), (3, 1)))
        assert unclipped(wrong) == pytest.approx(-0.75)
        assert wrong.performance("balanced") == 0


class TestFill:
    PLACE = Place(data="data", work="work")

    @staticmethod
    def train(place: Place, architecture: Architecture, config: TruthConfig, job: Job) -> Row:
        return row(job.position, job.target, job.seed)

    def filled(
        self, drawn: tuple[Architecture, ...], done: set[Job], *, left: float = math.inf, workers: int = 2
    ) -> list[Job]:
        made: list[Job] = []
        times = iter(range(1000))
        fill(
            drawn,
            SMALL,
            self.PLACE,
            wanted=jobs(SMALL, TWO),
            done=done,
            engine=InThisProcess(),
            workers=workers,
            deadline=lambda: left - next(times),
            finished=lambda one: made.append(one.job),
            train=self.train,
        )
        return made

    def test_makes_every_training_once(self, drawn: tuple[Architecture, ...]) -> None:
        assert sorted(self.filled(drawn, set())) == sorted(jobs(SMALL, TWO))

    def test_leaves_out_what_is_there(self, drawn: tuple[Architecture, ...]) -> None:
        every = list(jobs(SMALL, TWO))
        assert sorted(self.filled(drawn, set(every[:20]))) == sorted(every[20:])
        assert self.filled(drawn, set(every)) == []

    def test_begins_nothing_when_the_time_is_gone(self, drawn: tuple[Architecture, ...]) -> None:
        assert self.filled(drawn, set(), left=3, workers=1) == list(jobs(SMALL, TWO))[:3]
        assert self.filled(drawn, set(), left=0) == []


class TestRecord:
    @pytest.fixture
    def record(self, digits: Task, drawn: tuple[Architecture, ...]) -> TruthRecord:
        small = cut(digits, SMALL.images, SMALL.test_images)
        return TruthRecord(
            what="",
            command="",
            n=8,
            seeds=SMALL.seeds,
            config=SMALL,
            architectures=drawn,
            targets=(described(target_named("digits"), small, SMALL),),
            hardware={},
            versions={},
        )

    def test_says_what_a_target_was(self, record: TruthRecord) -> None:
        (target,) = record.targets
        assert (target.id, target.train, target.test, target.classes, target.epochs) == (
            "digits",
            64,
            40,
            10,
            2,
        )

    def test_refuses_other_settings(self, record: TruthRecord) -> None:
        check_same(record, record.targets, SMALL)
        with pytest.raises(SettingError, match="The table was begun with other settings"):
            check_same(record, record.targets, replace(SMALL, epochs=2))

    def test_refuses_other_images(self, record: TruthRecord) -> None:
        changed = replace(record.targets[0], fingerprint="other")
        with pytest.raises(SettingError, match="The images of the target 'digits' are not those"):
            check_same(record, (changed,), SMALL)


class TestOpening:
    def test_permuted_makes_its_images_first(
        self, digits: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class OfDigits(Library):
            def open(self, name: str) -> Task:
                return digits if name == "mnist" else super().open(name)

        monkeypatch.setattr(truth, "PERMUTED_TRAIN", 60)
        monkeypatch.setattr(truth, "PERMUTED_TEST", 40)
        monkeypatch.setattr(truth, "Library", OfDigits)
        open_target.cache_clear()
        task = open_target(Place(data=str(tmp_path), work=str(tmp_path)), "permuted", 1000, 1000)
        open_target.cache_clear()
        assert (tmp_path / "permuted-mnist.npz").exists()
        assert len(task.train) + len(task.validation) == 60 and len(opened(task)) == 40
