"""Regret against queries on a small table whose truth is known."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from tanas.errors import DataError, SettingError
from tanas.evidence.nasbench import (
    OPERATIONS,
    STRATEGIES,
    NasBenchConfig,
    NasBenchRecord,
    nasbench_chart,
    nasbench_page,
    read_table,
    remember,
    study,
)
from tanas.records import read_record
from tanas.reports.charts import to_svg
from tanas.seeds import Seed

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "nasbench.py"
NAMES = tuple(OPERATIONS)[:3]
SMALL = NasBenchConfig(seeds=4, queries=12, counts=(1, 3, 5, 12), probes=20, known=10, handed=3, population=4)


def written(path: Path, *, noise: float = 1.0) -> Path:
    """729 cells; near and target rank alike but for noise, far is the reverse."""
    generator = np.random.default_rng(0)
    lines = ["arch,target,near,far"]
    for names in product(NAMES, repeat=6):
        worth = 10 * sum(names.count(name) * weight for name, weight in ((NAMES[1], 0.5), (NAMES[2], 1)))
        near = worth + noise * generator.normal()
        a, b, c, d, e, f = names
        text = f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|"
        target = worth + generator.random()
        lines.append(f"{text},{target + 10:.4f},{near + 20:.4f},{90 - near:.4f}")
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return written(tmp_path / "table.csv")


def test_a_table_is_read_with_our_names(path: Path) -> None:
    table = read_table(path)
    assert (table.names, len(table.cells)) == (("target", "near", "far"), 729)
    # the last row: the third operation on every edge
    assert table.cells[-1].edges[0] == (0, 1, "conv_1x1")
    assert not table.cells[0].connected
    assert len(table.neighbours[0]) == 12


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cell,a,b\n", "has to begin with 'arch' and the names of at least two data sets"),
        ("arch,a,b\n|none~0|,1,2\n", "Line 2 of .* is no cell of NAS-Bench-201"),
        (
            "arch,a,b\n|sep_conv~0|+|none~0|none~1|+|none~0|none~1|none~2|,1,2\n",
            "Its operations are none, skip_connect",
        ),
        ("arch,a,b\n|none~0|+|none~0|none~1|+|none~0|none~1|none~2|,1,x\n", "no number: 1, x"),
        ("arch,a,b\n|none~0|+|none~0|none~1|+|none~0|none~1|none~2|,1,nan\n", "must hold 2 accuracies"),
        (
            "arch,a,b\n" + "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|,1,2\n" * 2,
            "Line 3 .* an earlier line",
        ),
    ],
    ids=["header", "cell", "operation", "text", "nan", "twice"],
)
def test_another_file_is_refused_with_its_first_wrong_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_table(tmp_path / "t.csv")


def test_a_missing_table_is_refused_with_its_form(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="There is no table .* a header 'arch'"):
        read_table(tmp_path / "none.csv")


def test_the_probes_put_the_like_source_first(path: Path) -> None:
    table = read_table(path)
    memory = remember(table, 0, SMALL, Seed(0))
    assert [table.names[at] for at in memory.sources] == ["near", "far"]
    assert memory.correlations[0] > 0.8 > 0 > memory.correlations[1]
    near, far = (int(np.argmax(table.accuracies[:, at])) for at in (1, 2))
    assert memory.handed[:2].tolist() == [near, far]
    assert np.isneginf(memory.log_prior[0])  # it connects nothing


def test_no_strategy_asks_twice_or_too_often_and_a_seed_repeats_itself(path: Path) -> None:
    table = read_table(path)
    memory = remember(table, 0, SMALL, Seed(0))
    for name, strategy in STRATEGIES.items():
        runs = []
        for _ in range(2):
            asked: list[int] = []

            def ask(row: int, asked: list[int] = asked) -> float:
                asked.append(row)
                return float(table.accuracies[row, 0])

            strategy(memory, SMALL, ask, Seed(1).numpy())
            runs.append(asked)
        assert runs[0] == runs[1], name
        assert len(set(runs[0])) == len(runs[0]) == SMALL.queries, name


def test_what_is_asked_depends_on_the_target_only_through_probes_and_answers(path: Path) -> None:
    table = read_table(path)
    turned = table.accuracies.copy()
    turned[:, 0] = np.round(turned[:, 0] * 0.5, 6)  # the same order, so the same probes
    other = replace(table, accuracies=turned)
    one, two = (remember(each, 0, SMALL, Seed(0)) for each in (table, other))
    assert np.array_equal(one.handed, two.handed)
    assert np.array_equal(one.mean_ranks, two.mean_ranks)
    assert np.allclose(one.log_prior, two.log_prior)


def test_a_memory_of_a_like_set_beats_random_and_regret_never_rises(path: Path) -> None:
    targets, curves = study(read_table(path), SMALL)
    assert targets[0].nearest == {"near": 4, "far": 0}
    found = {(curve.target, curve.strategy): curve.mean for curve in curves}
    assert len(found) == 3 * len(STRATEGIES)
    assert all(mean == tuple(sorted(mean, reverse=True)) and min(mean) >= 0 for mean in found.values())
    assert found["target", "transfer"][0] < 0.2 * found["target", "random"][0]
    assert found["target", "random, prior"][1] < 0.7 * found["target", "random"][1]
    assert found["target", "evolution, prior"][3] < found["target", "evolution"][3]


def test_the_script_makes_a_record_a_page_and_a_picture(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    specification = importlib.util.spec_from_file_location("nasbench_script", SCRIPT)
    assert specification is not None
    assert specification.loader is not None
    script = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(script)
    out = tmp_path / "record.json"
    monkeypatch.setattr(sys, "argv", ["nasbench", "--table", str(path), "--seeds", "2", "--out", str(out)])
    script.main()
    record = read_record(NasBenchRecord, out)
    assert (record.n, record.cells) == (2, 729)
    page = nasbench_page(record, folder="pictures/")
    assert "### target" in page
    assert page.count("| evolution, prior |") == 3
    assert "on every data set within 5 queries, is **" in page
    assert to_svg(nasbench_chart(record)).startswith("<svg")


def test_counts_beyond_the_queries_are_refused() -> None:
    with pytest.raises(SettingError, match="The 'counts' of NasBenchConfig must be from 1 to its 10 queries"):
        NasBenchConfig(queries=10)
