"""Candidates that blow up, seen from a whole command: one is left out with a warning, all are one clear error."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.conftest import Answer
from torch import Tensor, nn

from tanas.networks import operations
from tanas.networks.skeleton import Skeleton
from tanas.spaces import named
from tanas.spaces.space import SearchSpace

Command = Callable[..., Answer]
SEARCH = ("search", "npz:bars.npz:is=square", "--dictionary", "known", "--config", "tiny.toml")
BRITTLE = ("--space", "brittle", "--inherit", "none", "--out", "run")
SMALL = Skeleton(widths=(4,), cells=(1,), reductions=(False,))
LARGE = Skeleton(widths=(6,), cells=(1,), reductions=(False,))


class BlowsUp(nn.Module):
    """Passes images on as they are, until it was trained for a step: then nothing finite comes out."""

    def __init__(self) -> None:
        super().__init__()
        self.steps = 0

    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            self.steps += 1
        return images * (1.0 if self.steps < 2 else float("inf"))


@pytest.fixture
def brittle(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes `--space brittle` of these operations, of which 'blows_up' does."""
    monkeypatch.setitem(operations._REGISTRY, "blows_up", lambda channels: BlowsUp())

    def of(*names: str, skeletons: tuple[Skeleton, ...] = (SMALL,)) -> None:
        space = SearchSpace(name="brittle", operations=names, nodes=2, skeletons=skeletons)
        monkeypatch.setitem(named._REGISTRY, "brittle", lambda: space)

    return of


def test_a_search_leaves_a_candidate_that_blows_up_out_and_ends_well(
    tanas: Command, desk: Path, brittle: Callable[..., None]
) -> None:
    brittle("sep_conv_3x3", "blows_up")
    answer = tanas(*SEARCH, *BRITTLE, "--json")
    assert answer.status == 0, answer.err
    result = json.loads(answer.out)
    first = result["rounds"][0]
    (dropped,) = first["dropped"]
    assert re.search(rf"{dropped} .*not finite", answer.err)
    assert any(dropped in warning for warning in result["warnings"])
    place = first["keys"].index(dropped)
    assert first["winner"] != place
    assert first["stages"][-1]["weights"][place] == 0
    assert "sep_conv_3x3" in json.dumps(result["architecture"])
    assert "blows_up" not in json.dumps(result["architecture"])
    assert 0 <= result["metrics"]["test_error"] <= 1
    assert tanas("evaluate", "run").status == 0


def test_a_search_whose_candidates_all_blow_up_is_one_clear_error(
    tanas: Command, desk: Path, brittle: Callable[..., None]
) -> None:
    brittle("blows_up", skeletons=(SMALL, LARGE))
    answer = tanas(*SEARCH, *BRITTLE)
    assert answer.status == 1
    assert answer.out == ""
    assert "Traceback" not in answer.err
    errors = [line for line in answer.err.splitlines() if line.startswith("tanas: ")]
    (error,) = errors
    assert error.startswith("tanas: All 2 candidates") and "learning rate" in error
    assert not (desk / "run" / "result.json").exists()


def test_a_build_leaves_a_candidate_that_blows_up_out_too(
    tanas: Command, brittle: Callable[..., None]
) -> None:
    brittle("sep_conv_3x3", "blows_up")
    answer = tanas(
        *("dictionary", "build", "new", "npz:bars.npz:is=square", "--config", "tiny.toml"),
        *("--space", "brittle", "--json"),
    )
    assert answer.status == 0, answer.err
    assert "not finite" in answer.err
    shown = json.loads(tanas("dictionary", "show", "new", "npz:bars.npz:is=square", "--json").out)
    scored = [one for one in shown["architectures"] if one["score"] is not None]
    assert len(shown["architectures"]) == 2
    assert len(scored) == 1
    assert "blows_up" not in json.dumps(scored)
