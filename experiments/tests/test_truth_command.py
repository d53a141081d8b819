from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from experiments.tests.small_truth import row

from tanas.ground.errors import SettingError
from tanas.ground.records import read_record, write_json
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture
from tanas.spaces.named import named_space
from tanas.tasks.library import Library
from tanas.tasks.task import Task
from tanas_experiments.run import truth as command
from tanas_experiments.truth import (
    SIZE_CLASSES,
    SIZE_SHAPE,
    Job,
    Place,
    Row,
    Target,
    TruthConfig,
    TruthRecord,
    read_table,
    target_named,
    write_table,
)

ARCHITECTURES = named_space("standard").sample(4, seed=Seed(0), shape=SIZE_SHAPE, classes=SIZE_CLASSES)
CONFIG = TruthConfig(architectures=4, bins=2)
DIGITS = (target_named("digits"),)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A table that was begun."""
    record = TruthRecord(
        what="",
        command="",
        n=8,
        seeds=CONFIG.seeds,
        config=CONFIG,
        architectures=ARCHITECTURES,
        targets=(),
        hardware={},
        versions={},
    )
    write_json(tmp_path / "truth.json", record)
    return tmp_path


def own(position: int, seed: int = 0, *, error: float = 0.5) -> Row:
    return replace(row(position, "digits", seed, error=error), key=ARCHITECTURES[position].key)


class TestMerge:
    def test_adds_rows_and_keeps_those_that_are_there(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_table(folder / "truth.csv", [own(0, error=0.1)])
        write_table(folder / "other.csv", [own(0, error=0.9), own(1, error=0.3)])
        assert command.main(["--merge", str(folder / "other.csv"), "--out", str(folder)]) == 0
        assert [one.test_balanced for one in read_table(folder / "truth.csv")] == [0.1, 0.3]
        assert "holds 2 rows" in capsys.readouterr().out

    def test_refuses_rows_of_other_architectures(
        self, folder: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        write_table(folder / "other.csv", [row(0, "digits")])
        assert command.main(["--merge", str(folder / "other.csv"), "--out", str(folder)]) == 2
        assert "is a table of other architectures than" in capsys.readouterr().err
        assert not (folder / "truth.csv").exists()


class TestMaking:
    @pytest.fixture(autouse=True)
    def quick(self, monkeypatch: pytest.MonkeyPatch) -> list[Job]:
        """Rows are made up, of digits alone."""
        made: list[Job] = []

        def train(place: Place, architecture: Architecture, config: TruthConfig, job: Job) -> Row:
            made.append(job)
            return own(job.position, job.seed)

        def jobs_of_digits(config: TruthConfig, targets: tuple[Target, ...] = DIGITS) -> list[Job]:
            return list(jobs(config, targets))

        jobs, fill = command.jobs, command.fill
        monkeypatch.setattr(command, "jobs", jobs_of_digits)
        monkeypatch.setattr(command, "fill", lambda *a, **k: fill(*a, **k, train=train))
        return made

    def make(self, folder: Path, *, hours: float | None = None, shard: tuple[int, int] = (1, 1)) -> None:
        record = read_record(TruthRecord, folder / "truth.json")
        command.make_table(folder, record, Place(data="", work=""), workers=1, hours=hours, shard=shard)

    def test_goes_on_where_it_stopped_and_makes_nothing_twice(self, folder: Path, quick: list[Job]) -> None:
        write_table(folder / "truth.csv", [own(0), own(2, 1)])
        self.make(folder)
        assert len(quick) == 6 and len(read_table(folder / "truth.csv")) == 8
        self.make(folder)
        assert len(quick) == 6

    def test_makes_nothing_when_no_time_is_given(self, folder: Path, quick: list[Job]) -> None:
        self.make(folder, hours=0)
        assert quick == [] and not (folder / "truth.csv").exists()

    def test_of_a_shard_makes_its_architectures(self, folder: Path) -> None:
        self.make(folder, shard=(2, 3))
        assert {one.position for one in read_table(folder / "truth.csv")} == {1}


class TestBeginning:
    @pytest.fixture(autouse=True)
    def small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        digits = Library().open("digits")

        def open_target(place: Place, id: str, images: int, test_images: int) -> Task:
            return digits

        monkeypatch.setattr(command, "open_target", open_target)
        monkeypatch.setattr(command, "TARGETS", DIGITS)
        monkeypatch.setattr(command, "draw_architectures", lambda config: ARCHITECTURES)

    def test_keeps_what_was_drawn_for_the_next_time(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = command.begun(tmp_path, CONFIG, Place(data="", work=""))
        monkeypatch.setattr(command, "draw_architectures", lambda config: ())
        assert command.begun(tmp_path, CONFIG, Place(data="", work="")) == first
        assert first.architectures == ARCHITECTURES and first.targets[0].train == 1151

    def test_refuses_to_go_on_with_other_settings(self, tmp_path: Path) -> None:
        command.begun(tmp_path, CONFIG, Place(data="", work=""))
        with pytest.raises(SettingError, match="begun with other settings"):
            command.begun(tmp_path, replace(CONFIG, epochs=9), Place(data="", work=""))


def test_a_shard_that_cannot_be_read_is_refused_before_any_work(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["--shard", "half", "--out", str(folder)]) == 2
    assert "The 'shard' must be I/N, such as 1/2. Got 'half' instead." in capsys.readouterr().err


def test_nothing_is_analysed_where_no_table_was_begun(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command.main(["--analyse", "--out", str(tmp_path)]) == 2
    assert "There is no file" in capsys.readouterr().err
