"""The tables of experiments/pages/which-distance.md say what the records hold."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from tanas_experiments.comparison import agreement_page, speed_page, stability_page

RECORDS = Path(__file__).parents[2] / "experiments" / "records"
MADE = {
    "hardware": {"processor": "a processor", "cores": 2},
    "versions": {"tanas": "1"},
    "command": "make it",
}


def stability(**methods: Any) -> dict[str, Any]:
    return {**MADE, "run": "a run", "seeds": [0, 1], "n": {"tasks": 3, "pairs": 6}, "methods": methods}


def figures(mean: float | None, least: float | None) -> dict[str, Any]:
    return {
        "seeds": [0, 1],
        "spearman mean": mean,
        "spearman least": least,
        "within": 0.5,
        "same nearest": 0.25,
    }


def lines(page: str) -> list[str]:
    return [line for line in page.splitlines() if line.startswith("| `")]


def test_the_most_stable_method_stands_first_and_each_says_whether_it_reaches_what_is_asked() -> None:
    page = stability_page(
        stability(shaky=figures(0.95, 0.85), steady=figures(0.97, 0.9), blind=figures(None, None))
    )
    assert lines(page) == [
        "| `steady` | 0.970 | 0.900 | 0.500 | 25 % | yes | 2 |",
        "| `shaky` | 0.950 | 0.850 | 0.500 | 25 % | no | 2 |",
        "| `blind` | - | - | 0.500 | 25 % | - | 2 |",
    ]


@pytest.fixture
def speed() -> dict[str, Any]:
    return json.loads((RECORDS / "distance-speed.json").read_text())  # type: ignore[no-any-return]


def test_every_method_has_its_seconds_and_the_dearest_stands_first(speed: dict[str, Any]) -> None:
    found = lines(speed_page(speed))
    assert len(found) == len(speed["methods"]) + 1  # and the ratio of exact and default
    dearest = max(speed["methods"], key=lambda name: speed["methods"][name]["cpu_s"])
    assert found[0].startswith(f"| `{dearest}` | {speed['methods'][dearest]['cpu_s']:.3g} | 1 |")


@pytest.mark.parametrize(("seconds", "verdict"), [(299.0, "yes"), (300.0, "no")])
def test_the_matrix_stands_beside_what_was_asked(speed: dict[str, Any], seconds: float, verdict: str) -> None:
    speed["matrix"]["cpu_s"] = seconds
    assert f"| {seconds:.3g} CPU-s | under 300 s | {verdict} |" in speed_page(speed)


@pytest.mark.parametrize(("ratio", "verdict"), [(100.0, "yes"), (99.0, "no")])
def test_so_does_how_much_cheaper_the_default_is(speed: dict[str, Any], ratio: float, verdict: str) -> None:
    speed["methods"][speed["default"]]["exact / this"] = ratio
    assert f"| `exact` / default, a pair | {ratio:.3g} | at least 100 | {verdict} |" in speed_page(speed)


def test_memory_of_each_method_is_a_column_where_it_was_measured(speed: dict[str, Any]) -> None:
    speed.pop("memory", None)
    before = lines(speed_page(speed))
    assert "peak GB" not in speed_page(speed)
    speed["memory"] = {"loaded": 0.25, "command": "weigh it", "methods": {"exact": 0.756}}
    page = speed_page(speed)
    assert "one that only loads it takes 0.25 GB (`weigh it`)." in page
    after = lines(page)
    assert after[0] == f"{before[0]} 0.76 |"
    assert after[1] == f"{before[1]} - |"
    assert after[-1] == before[-1], "the other table is as it was"


@pytest.fixture
def agreement() -> dict[str, Any]:
    return json.loads((RECORDS / "agreement.json").read_text())  # type: ignore[no-any-return]


def test_agreement_without_the_development_targets_stands_behind_that_on_all(
    agreement: dict[str, Any],
) -> None:
    agreement.pop("eighth, other targets", None)
    before = lines(agreement_page(agreement))
    assert "Behind the stroke" not in agreement_page(agreement)
    others = deepcopy(agreement["eighth"])
    others["knn"]["with exact"] = {
        "spearman": 0.12,
        "mean spearman within a target": None,
        "same nearest": "7 of 8",
    }
    agreement["eighth, other targets"] = others
    page = agreement_page(agreement)
    assert page.count("Behind the stroke: without the development targets") == 1
    knn = agreement["eighth"]["knn"]["with exact"]
    inside = knn["mean spearman within a target"]
    (row,) = (line for line in lines(page) if line.startswith("| `knn`") and "/" in line)
    shown = f"| {knn['spearman']:.2f} / 0.12 | {inside:.2f} / - | {knn['same nearest']} / 7 of 8 | - |"
    assert shown in row
    assert len(lines(page)) == len(before)


def test_the_mean_of_the_exact_seeds_has_a_table_of_its_own_where_it_was_measured() -> None:
    record = json.loads((RECORDS / "agreement.json").read_text())
    record.pop("eighth, mean of exact", None)
    assert "the truth is" not in agreement_page(record)
    one = {"spearman": 0.91, "mean spearman within a target": 0.5, "same nearest": "3 of 10"}
    two = {**one, "spearman": 0.95}
    record["eighth, mean of exact"] = {
        "seeds": [0, 4],
        "pairs": 90,
        "methods": {
            "linear": {**one, "nearest of a seed": "5 of 10"},
            "b": {**two, "nearest of a seed": "6 of 10"},
            "a number": {**one, "spearman": 0.9, "nearest of a seed": "-"},
        },
        "each seed with the others": [{**one, "nearest of a seed": "7 of 10"}] * 2,
    }
    page = agreement_page(record)
    assert "the truth is the mean over 2 seeds of `exact`" in page
    found = [line for line in lines(page) if line.count("|") == 6 and " of 10 |" in line]
    assert found == [
        "| `exact`, seed 0 (with the others) | 0.91 | 0.50 | 3 of 10 | 7 of 10 |",
        "| `exact`, seed 4 (with the others) | 0.91 | 0.50 | 3 of 10 | 7 of 10 |",
        "| `b` | 0.95 | 0.50 | 3 of 10 | 6 of 10 |",
        "| `linear` | 0.91 | 0.50 | 3 of 10 | 5 of 10 |",
    ]
    assert "| a number | 0.90 | 0.50 | 3 of 10 | - |" in page
    assert "**`linear` reaches a Spearman of 0.910 and the same nearest task for 3 of 10.**" in page
    assert "A seed of `exact` itself reaches 0.910 to 0.910 and 3 of 10, 3 of 10." in page
