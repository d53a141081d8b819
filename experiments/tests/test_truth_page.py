from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from experiments.tests.small_truth import rows

from tanas.ground.errors import StoreError
from tanas.ground.records import to_plain, write_json
from tanas.ground.seeds import Seed
from tanas.spaces.named import named_space
from tanas.strategies.schedules import EqualWeights
from tanas_experiments.truth import (
    SIZE_CLASSES,
    SIZE_SHAPE,
    DistanceStudy,
    TargetRecord,
    TaskDistance,
    Triple,
    TripleStudy,
    TruthConfig,
    TruthRecord,
    table_digest,
    write_table,
)
from tanas_experiments.truth_analysis import AnalysisConfig, TruthAnalysis, analysed
from tanas_experiments.truth_page import read_analysis, truth_page

TASKS = ("a", "b", "c")
CONFIG = TruthConfig(architectures=10, bins=2)
SPACE = named_space("standard")
ARCHITECTURES = SPACE.sample(10, seed=Seed(0), shape=SIZE_SHAPE, classes=SIZE_CLASSES)
SWAPPED = {"a": (), "b": (3, 4), "c": (2, 6)}
"""Two architectures of a task that change places: without it all tasks would agree alike."""


def error(position: int, target: str, seed: int) -> float:
    first, second = SWAPPED[target] or (0, 0)
    place = {first: second, second: first}.get(position, position)
    return round(0.02 * place + 0.01 * seed, 4)


TABLE = rows(9, TASKS, error)[:-1]
HERE = {"processor": "a processor", "cores": 2}


def record(*, distances: bool, triples: bool) -> TruthRecord:
    return TruthRecord(
        what="",
        command="python make",
        n=len(TABLE),
        seeds=CONFIG.seeds,
        config=CONFIG,
        architectures=ARCHITECTURES,
        targets=tuple(
            TargetRecord(
                id=task,
                name=f"npz:{task}",
                title=f"the task {task}",
                shape=(1, 28, 28),
                classes=10,
                train=3000,
                validation=700,
                test=3000,
                epochs=5,
                fingerprint="",
                test_fingerprint="",
            )
            for task in TASKS
        ),
        hardware=HERE,
        versions={"python": "3"},
        distances=DistanceStudy(
            method="linear",
            seed=0,
            seconds=1,
            values=tuple(
                TaskDistance(source=s, target=t, value=0.25, order=ord(s) / 100)
                for s in TASKS
                for t in TASKS
                if s != t
            ),
            versions={},
            hardware=HERE,
        )
        if distances
        else None,
        triples=TripleStudy(
            seed=0,
            schedule=to_plain(EqualWeights()),
            triples=(
                Triple(
                    target="a",
                    number=0,
                    positions=(0, 4, 7),
                    weights=(0.8, 0.1, 0.1),
                    alpha_macs=3_000_000,
                    alpha_s=1,
                    separate=(0.5, 0.6, 0.4),
                    separate_losses=(1, 1, 1),
                    separate_macs=3_000_000,
                    separate_s=1,
                ),
            ),
            versions={},
            hardware=HERE,
        )
        if triples
        else None,
    )


def analysis_of(made: TruthRecord) -> TruthAnalysis:
    return analysed(
        TABLE,
        made.architectures,
        TASKS,
        (0, 1),
        SPACE,
        made.distances.values if made.distances else (),
        made.triples.triples if made.triples else (),
        AnalysisConfig(draws=2, known=6, permutations=20),
        digest=table_digest(TABLE),
    )


@pytest.fixture(scope="module")
def whole() -> str:
    made = record(distances=True, triples=True)
    return truth_page(made, analysis_of(made))


@pytest.fixture(scope="module")
def bare() -> str:
    made = record(distances=False, triples=False)
    return truth_page(made, analysis_of(made))


class TestPage:
    def test_says_how_much_of_the_table_it_is_of(self, whole: str) -> None:
        assert "**The table is not full**: 53 of 60 trainings." in whole
        assert "n = 8 architectures of the space `standard` on 3 targets, seeds 0 and 1" in whole

    def test_says_what_it_is_made_on_and_by_what(self, whole: str) -> None:
        assert "a processor" in whole and "python 3" in whole and "`python make`" in whole

    def test_answers_every_question(self, whole: str) -> None:
        for question in (
            "How much do the choices matter?",
            "Do ranks carry from task to task?",
            "Do small distances mean that ranks carry better?",
            "What do `transfer` and `prior` buy, and does nearness?",
            "Are rivals that only ask for accuracies better than random search?",
            "Does alpha rank?",
        ):
            assert f"## {question}\n" in whole

    def test_shows_the_figures(self, whole: str) -> None:
        assert "| `a` | *1.00* | 0.98 |" in whole  # two neighbours of eight have changed places
        assert "arg max alpha is the best of three in 100 % of 1 triples (95 % CI 21 % to 100 %)" in whole
        assert "Separate trainings of the same cost: 0 %." in whole
        assert "`equal-weights`, 2 epochs" in whole

    def test_has_tables_whose_rows_are_as_long_as_their_heads(self, whole: str) -> None:
        for table in re.findall(r"(?:^\|.*\|\n)+", whole, flags=re.MULTILINE):
            assert len({line.count("|") for line in table.strip().splitlines()}) == 1, table

    def test_says_what_is_not_measured(self, bare: str) -> None:
        assert "Not measured yet: `python -m tanas_experiments.run.truth --distances`." in bare
        assert "Not measured yet: `python -m tanas_experiments.run.truth --triples 120`." in bare
        assert "nearest and farthest are not among the rows" in bare and "transfer, nearest" not in bare


class TestReading:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        made = record(distances=False, triples=False)
        write_json(tmp_path / "truth.json", made)
        write_json(tmp_path / "truth-analysis.json", analysis_of(made))
        write_table(tmp_path / "truth.csv", TABLE)
        return tmp_path

    def test_gives_both_records_as_they_were_written(self, folder: Path, bare: str) -> None:
        read = read_analysis(folder / "truth.json")
        assert read is not None
        assert truth_page(*read) == bare

    def test_gives_nothing_before_there_is_an_analysis(self, folder: Path) -> None:
        (folder / "truth-analysis.json").unlink()
        assert read_analysis(folder / "truth.json") is None

    def test_refuses_an_analysis_of_another_table(self, folder: Path) -> None:
        write_table(folder / "truth.csv", [replace(TABLE[0], test_error=0.9), *TABLE[1:]])
        with pytest.raises(
            StoreError, match=r"is of another table .* Run: python -m tanas_experiments.run.truth --analyse"
        ):
            read_analysis(folder / "truth.json")
