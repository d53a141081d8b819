"""What a search computes does not change when the house is rebuilt; what an earlier tanas wrote is still read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.conftest import Answer
from tests.golden.searches import COMMANDS, RESULTS, WRITTEN, build, golden, machine, prepared, results_of


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the settings and the images of the golden set."""
    if (made_on := golden("machine")) != machine():
        pytest.skip(f"The golden set was made on {made_on}; this is {machine()}: last digits differ.")
    return prepared(tmp_path_factory.mktemp("golden"))


@pytest.fixture(scope="module")
def results(place: Path) -> dict[str, Any]:
    """The results of every command but the demo."""
    build(place)
    return results_of(place, [name for name in COMMANDS if name != "demo"])


@pytest.mark.long
@pytest.mark.parametrize("name", [*(name for name in RESULTS if name != "demo"), "distances", "misfits"])
def test_a_search_gives_what_it_gave(name: str, results: dict[str, Any]) -> None:
    assert results[name] == golden(name)


@pytest.mark.long
def test_the_demo_gives_what_it_gave(place: Path) -> None:
    assert results_of(place, ["demo"])["demo"] == golden("demo")


def test_a_dictionary_that_was_written_before_is_read(tanas: Callable[..., Answer], desk: Path) -> None:
    shutil.copytree(WRITTEN / "known", desk / "before")
    assert tanas("dictionary", "verify", "before").status == 0
    listed = json.loads(tanas("dictionary", "list", "before", "--json").out)
    assert [row["atom"] for row in listed] == ["npz:bars.npz:is=across", "npz:bars.npz:is=upright"]
    found = tanas(
        *("search", "npz:bars.npz:is=square", "--dictionary", "before", "--config", "tiny.toml"),
        *("--remember", "--out", "run"),
    )
    assert found.status == 0, found.err
    result = json.loads((desk / "run" / "result.json").read_text())
    assert {one["atom"] for one in result["neighbours"]} == {row["atom"] for row in listed}
    assert len(json.loads(tanas("dictionary", "list", "before", "--json").out)) == 3

    # the atoms are still those of their tasks: nothing is learnt twice
    again = tanas(
        *("dictionary", "build", "before", "npz:bars.npz:is=across", "npz:bars.npz:is=upright"),
        *("--config", "tiny.toml"),
    )
    assert (
        "Already remembered and left unchanged: npz:bars.npz:is=across, npz:bars.npz:is=upright." in again.err
    )


def test_a_run_that_was_written_before_is_read(tanas: Callable[..., Answer], desk: Path) -> None:
    shutil.copytree(WRITTEN / "union", desk / "before")
    result = json.loads((desk / "before" / "result.json").read_text())
    answer = tanas("evaluate", "before", "--json")
    assert answer.status == 0, answer.err
    assert json.loads(answer.out)["error"] == result["metrics"]["test_error"]
    assert tanas("report", "before").status == 0
    assert tanas("export", "before", "taken.safetensors").status == 0
    grown = tanas(
        *("grow", "before", "npz:bars.npz:is=square", "--config", "tiny.toml", "--out", "grown"),
    )
    assert grown.status == 0, grown.err
