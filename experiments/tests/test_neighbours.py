"""Controls: known tasks that stand in for the nearest ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from tests.conftest import Answer

from tanas.algorithm.presets import CHOICES, SearchConfig
from tanas.ground.seeds import Seed
from tanas_experiments.neighbours import FARTHEST, RANDOM, inheriting


def test_the_farthest_and_drawn_ones_come_first() -> None:
    known = tuple("abcdefgh")  # nearest first
    orders = {name: choice.order(known, Seed(0)) for name, choice in CHOICES.items()}  # type: ignore[arg-type]
    assert orders["nearest"] == known
    assert orders[FARTHEST] == tuple("hgfedcba")
    drawn = [CHOICES[RANDOM].order(known, Seed(number))[:3] for number in range(40)]  # type: ignore[arg-type]
    assert drawn[0] == orders[RANDOM][:3]
    assert {name for three in drawn for name in three} == set(known)
    assert all(len(set(three)) == 3 for three in drawn)


def test_a_way_of_a_record_is_two_settings() -> None:
    config = SearchConfig()
    assert inheriting(config, FARTHEST) == replace(config, inherit="prior", related=FARTHEST)
    assert inheriting(config, "all") == replace(config, inherit="prior", related="all")
    assert inheriting(config, "union") == replace(config, inherit="union")


@pytest.mark.parametrize("neighbours", [1, 2])
def test_a_control_reuses_the_farthest_or_says_that_they_are_the_nearest(
    tanas: Callable[..., Answer], desk: Path, neighbours: int
) -> None:
    tiny = (desk / "tiny.toml").read_text()
    cheap = f'strategy = "random"\n{tiny}\n[random]\ncandidates = 1\n'
    (desk / "far.toml").write_text(f'related = "{FARTHEST}"\nneighbours = {neighbours}\n{cheap}')
    answer = tanas(
        *("search", "npz:bars.npz:is=square", "--dictionary", "known", "--config", "far.toml", "--out", "run")
    )
    assert answer.status == 0, answer.err
    found = json.loads((desk / "run" / "result.json").read_text())
    assert found["space"]["related"] == FARTHEST
    ordered = sorted(found["distances"], key=lambda one: one["distance"] + one["shortfall"])
    assert found["neighbours"][0]["distance"] == ordered[-1]["distance"]
    assert not any(one["at_least"] for one in found["distances"]), "all are measured to their end"
    warned = "does not serve as a control" in " ".join(found["warnings"])
    assert warned == (neighbours == 2)
