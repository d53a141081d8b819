"""What is said of a study's record, and the script that makes it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import ModuleType

import pytest
from experiments.tests.small_table import SMALL, written

from tanas.ground.records import read_record
from tanas.reports.theme import to_svg
from tanas_experiments.nasbench import PROBED, NasBenchRecord
from tanas_experiments.nasbench_page import nasbench_chart, nasbench_page
from tanas_experiments.run import nasbench


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return nasbench


@pytest.fixture(scope="module")
def record(script: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> NasBenchRecord:
    """Of the script on a small table."""
    folder = tmp_path_factory.mktemp("nasbench")
    path, out = written(folder / "table.csv"), folder / "record.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(script, "NasBenchConfig", lambda seeds=2: replace(SMALL, seeds=seeds))
        assert script.main(["--table", str(path), "--seeds", "2", "--out", str(out)]) == 0
    return read_record(NasBenchRecord, out)


def test_the_script_makes_a_record_that_says_what_it_is_of(record: NasBenchRecord) -> None:
    assert (record.n, record.cells, record.seeds) == (2, 729, (0, 1))
    assert len(record.table) == 64
    assert record.config.counts == SMALL.counts


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--table", "none.csv"], "There is no table none.csv"),
        (["--table", "bad.csv"], "bad.csv has to begin with the line 'arch,NAME,NAME'"),
        (["--seeds", "0"], "The 'seeds' of NasBenchConfig must be at least 1"),
    ],
    ids=["missing", "another file", "seeds"],
)
def test_the_script_refuses_wrong_input_in_one_line_with_status_2(
    script: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bad.csv").write_text("x,y\n")
    assert script.main([*arguments, "--out", "record.json"]) == 2
    said = capsys.readouterr()
    assert message in said.err
    assert len(said.err.splitlines()) == 1
    assert not Path("record.json").exists()


def test_the_page_shows_every_counting_of_every_target(record: NasBenchRecord) -> None:
    page = nasbench_page(record, folder="pictures/")
    assert "| strategy | target | near | far | within 0.2 after |" in page
    assert page.count("| evolution, prior |") == 2
    assert "takes 6 queries, the probes. They are **not** counted in the first columns" in page
    assert "![Regret against queries](pictures/nasbench.svg)" in page
    assert "| constants chosen without |" in page


def test_the_page_says_whether_the_target_is_met_under_each_counting(record: NasBenchRecord) -> None:
    page = nasbench_page(record, folder="pictures/")
    assert "With the 6 probes counted: **out of reach**" in page
    perfect = replace(
        record,
        curves=tuple(
            replace(one, mean=(0.0,) * 4, within=1) if one.sources != PROBED else one for one in record.curves
        ),
    )
    said = nasbench_page(perfect, folder="pictures/")
    assert "Without knowing which source is nearest: **met** by *random*" in said
    assert "known beforehand: **met** by *random, prior*" in said
    poor = replace(
        record,
        curves=tuple(
            replace(one, mean=(9.0, 9.0, 0.5 if one.strategy == "transfer" else 1.0, 0.4), within=None)
            for one in record.curves
        ),
    )
    said = nasbench_page(poor, folder="pictures/")
    assert "**not met**. *transfer* has the least regret on its worst data set: 0.50 on target" in said
    assert "no strategy is so near on every data set after 12 queries" in said


def test_the_page_names_what_the_sources_alone_would_have_picked(record: NasBenchRecord) -> None:
    first = record.targets[0]
    assert first.tuned is not None
    for prior, name in ((0.0, "random, tuned prior"), (1.0, "predictor")):
        tuned = replace(first.tuned, prior_regret=prior, prediction_regret=0.5)
        changed = replace(record, targets=(replace(first, tuned=tuned), *record.targets[1:]))
        assert f"would have picked, after 5 queries: *{name}* for target, " in nasbench_page(
            changed, folder=""
        )


def test_the_picture_shows_every_target(record: NasBenchRecord) -> None:
    drawn = to_svg(nasbench_chart(record))
    assert drawn.startswith("<svg")
    assert all(f">{name}<" in drawn for name in ("target", "near", "far", "predictor"))
