"""What a search added to what was taken over, scored anew."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.algorithm.test_learn import learnt, whole
from tests.conftest import Answer
from tests.dictionary.small_atoms import SEED

from tanas.algorithm import winner as module
from tanas.algorithm.presets import SearchConfig
from tanas.algorithm.related import KnownTasks, RelatedTasks
from tanas.algorithm.winner import MOST_GAINS, Winner, with_gain
from tanas.dictionary.bench import Related
from tanas.dictionary.task_record import Atom, Reuse
from tanas.distances.base import Measurement
from tanas.ground.context import Context
from tanas.networks.architecture import Architecture
from tanas.networks.scoring import unscored
from tanas.spaces.inherit import Inherited
from tanas.spaces.named import named_space
from tanas.strategies.base import Ledger, Outcome

TASK = whole().without_test()
FIRST, OTHER = (
    one.canonical()
    for one in named_space("standard", shape=(1, 8, 8)).sample(2, seed=SEED, shape=(1, 8, 8), classes=2)
)


def at(left: float = math.inf) -> Context:
    return Context(seed=SEED, deadline=lambda: left)


def atom() -> Atom:
    return replace(learnt().atom, architectures=(replace(unscored(FIRST, TASK), score=0.7),))


def nearest() -> Related:
    value = Measurement(
        source="a",
        target="t",
        same=False,
        value=0.25,
        shortfall=0.0,
        gate=0.9,
        own=0.9,
        dense=0.9,
        took_s=1.0,
    )
    return Related("near", atom(), value)


def found(first: float | None = 0.5, other: float = 0.6) -> Outcome:
    seen = (replace(unscored(FIRST, TASK), score=first), replace(unscored(OTHER, TASK), score=other))
    best = OTHER if first is None or other > first else FIRST
    return Outcome(best=best, rounds=atom().rounds, seen=seen, stopped="rounds")


class Scores:
    """Stands for the short training: gives what it is told to, and remembers what was asked."""

    def __init__(self, *values: float) -> None:
        self.values, self.asked = list(values), list[tuple[Architecture, Any]]()

    def __call__(self, architecture: Architecture, task: Any, config: Any, at: Context) -> Any:
        self.asked.append((architecture, at.seed))
        return replace(unscored(architecture, TASK), score=self.values.pop(0))


@pytest.fixture
def scores(monkeypatch: pytest.MonkeyPatch) -> Scores:
    stand_in = Scores(0.55, 0.53)
    monkeypatch.setattr(module, "score", stand_in)
    return stand_in


def look(outcome: Outcome, **changes: Any) -> tuple[Winner, Reuse | None]:
    arguments: dict[str, Any] = {"known": [("near", atom())], "at": at(), "config": SearchConfig()}
    given = arguments | changes
    space = named_space("standard", shape=(1, 8, 8))
    inherited = given.pop("inherited", Inherited(space=space, seed_architecture=FIRST, mode="union", note=""))
    near = (nearest(),)
    related = RelatedTasks(
        known=KnownTasks(others=tuple(given["known"]), own=None),
        representative=None,
        measured=near,
        order=near,
        neighbours=near,
        reused_s=0.0,
    )
    winner = with_gain(Winner(outcome=outcome), inherited, related, TASK, given["config"], given["at"])
    return winner, winner.gain


def test_both_are_scored_anew_and_the_luck_of_the_choice_is_gone(scores: Scores) -> None:
    start, reuse = look(found())
    assert reuse == Reuse(source="near", distance=0.25, score=0.55, best=0.53)
    assert [architecture for architecture, _ in scores.asked] == [FIRST, OTHER]
    assert all("again" in seed.path for _, seed in scores.asked)
    assert [name for name, _ in start.outcome.ledger.images] == [f"{FIRST.key}, again", f"{OTHER.key}, again"]
    assert start.outcome.ledger.macs > 0


def test_what_was_taken_over_and_stayed_the_best_needs_no_look(scores: Scores) -> None:
    start, reuse = look(found(first=0.6, other=0.5))
    assert reuse == Reuse(source="near", distance=0.25, score=0.6, best=0.6)
    assert scores.asked == []
    assert start.outcome.ledger == Ledger()


@pytest.mark.parametrize(
    "changes",
    [
        {
            "inherited": Inherited(
                space=named_space("standard", shape=(1, 8, 8)), seed_architecture=None, mode="", note=""
            )
        },
        {"config": SearchConfig(inherit_seed=False)},
        {"at": at(left=0)},
        {
            "known": [("a", replace(atom(), reuse=Reuse(source="a", distance=0.1, score=0.5, best=0.5)))]
            * MOST_GAINS
        },
    ],
    ids=["nothing taken over", "not asked for", "no time", "known well enough"],
)
def test_nothing_is_scored_where_nothing_could_be_learnt(scores: Scores, changes: dict[str, Any]) -> None:
    start, reuse = look(found(), **changes)
    assert reuse is None
    assert scores.asked == []
    assert start.outcome.ledger == Ledger()


def test_without_rounds_or_a_score_of_the_first_nothing_is_known(scores: Scores) -> None:
    assert look(replace(found(), rounds=()))[1] is None
    assert look(found(first=None))[1] is None
    assert scores.asked == []


def test_a_memory_learns_it_from_a_search_and_a_search_alone_does_not(
    tanas: Callable[..., Answer], desk: Path
) -> None:
    common = ("search", "npz:bars.npz:is=square", "--config", "tiny.toml", "--dictionary", "known", "--quiet")
    assert tanas(*common, "--out", "alone").status == 0
    assert tanas(*common, "--remember", "--out", "run").status == 0
    alone, result = (json.loads((desk / run / "result.json").read_bytes()) for run in ("alone", "run"))

    def again(one: Any) -> list[str]:
        phase = next(phase for phase in one["ledger"]["phases"] if phase["phase"] == "search")
        return [name for name, _ in phase["images"] if name.endswith(", again")]

    assert again(alone) == []
    atoms = [json.loads(file.read_bytes())["atom"] for file in (desk / "known").glob("atoms/*/atom.json")]
    (reuse,) = [one["reuse"] for one in atoms if one["task"]["name"] == "npz:bars.npz:is=square"]
    assert reuse is not None
    assert reuse["source"] in {one["atom"] for one in result["neighbours"]}
    assert (reuse["score"] == reuse["best"]) or len(again(result)) == 2
    assert result["architecture"] == alone["architecture"]
