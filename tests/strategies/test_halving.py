from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.strategies.small_search import LARGE, SMALL, SPACE, one_edge, run, scripted, tiny

from tanas.ground.checkpoints import NoCheckpoint
from tanas.ground.errors import SearchError, SettingError
from tanas.networks.architecture import Architecture
from tanas.networks.scoring import Judgement, ScoringConfig
from tanas.networks.training import TrainingConfig
from tanas.spaces.costs import cost_by_parts
from tanas.strategies.base import Outcome
from tanas.strategies.halving import Halving, HalvingConfig

TASK = tiny().without_test()
SCORING = ScoringConfig(images=60, training=TrainingConfig(epochs=4))


def rank(candidate: Architecture) -> float:
    """A number in [0, 1] that is each architecture's own."""
    return int(candidate.key, 16) / 16 ** len(candidate.key)


def outcome_macs(one: Architecture) -> int:
    return cost_by_parts(one, TASK.shape, len(TASK.classes)).macs


def searched(config: HalvingConfig, **given: Any) -> Outcome:
    return run(Halving(config, SCORING), task=TASK, **given)


def test_the_better_half_goes_on_to_twice_the_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    script = scripted(monkeypatch, lambda candidate, epochs: rank(candidate))
    outcome = searched(HalvingConfig(candidates=8, eta=2))
    (first, one), (second, two), (third, three) = script.asked
    assert (len(first), len(second), len(third)) == (8, 4, 2)
    assert (one, two, three) == (1, 1, 2)  # 1, 2 and 4 epochs in all
    best_first = tuple(sorted(first, key=rank, reverse=True))
    assert second == best_first[:4]
    assert third == best_first[:2]
    assert outcome.best == best_first[0]
    assert outcome.stopped == "rounds"


def test_what_counts_is_how_good_they_are_in_their_own_rung(monkeypatch: pytest.MonkeyPatch) -> None:
    """The last of the survivors blooms late, the first of all wilts."""

    def says(candidate: Architecture, epochs: int) -> float:
        return rank(candidate) if epochs == 1 else 1 - rank(candidate)

    script = scripted(monkeypatch, says)
    outcome = searched(HalvingConfig(candidates=8, eta=2))
    first, second, third = (candidates for candidates, _ in script.asked)
    best_first = sorted(first, key=rank, reverse=True)
    assert second == tuple(best_first[:4])
    assert third == (best_first[3], best_first[2])
    assert outcome.best == best_first[3]


def test_the_ledger_counts_each_rung(monkeypatch: pytest.MonkeyPatch) -> None:
    script = scripted(monkeypatch, lambda candidate, epochs: rank(candidate))
    outcome = searched(HalvingConfig(candidates=8, eta=2))
    images = dict(outcome.ledger.images)
    first, second, third = (candidates for candidates, _ in script.asked)
    for candidate in first:
        epochs = 1 + (candidate in second) + 2 * (candidate in third)
        assert images[candidate.key] == 60 * epochs
    macs = {one.architecture.key: one.macs for one in outcome.seen}
    assert outcome.ledger.macs == sum(3 * macs[key] * count for key, count in images.items())


def test_a_survivor_goes_on_from_its_own_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, lambda candidate, epochs: rank(candidate))
    kept: dict[int, dict[str, Any]] = {}

    class Watching(NoCheckpoint):
        def save(self, key: str, value: Any) -> None:
            kept[len(kept)] = value["weights"]

    searched(HalvingConfig(candidates=8, eta=2), checkpoint=Watching())
    biases = [{key: state["head.bias"] for key, state in rung.items()} for rung in kept.values()]
    for before, after, epochs in ((biases[0], biases[1], 1), (biases[1], biases[2], 2)):
        assert after
        for key in after:
            assert (after[key] - before[key]).tolist() == pytest.approx([epochs] * 2)


def test_of_equal_scores_those_with_the_lower_loss_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    script = scripted(monkeypatch, lambda candidate, epochs: Judgement(score=0.0, loss=rank(candidate)))
    searched(HalvingConfig(candidates=8, eta=2))
    (first, _), (second, _), _ = script.asked
    assert second == tuple(sorted(first, key=rank)[:4])


def test_those_that_failed_do_not_go_on_and_the_rest_do(monkeypatch: pytest.MonkeyPatch) -> None:
    first = tuple(one.architecture for one in searched_first(monkeypatch).seen)
    script = scripted(
        monkeypatch, lambda candidate, epochs: None if candidate in first[:5] else rank(candidate)
    )
    outcome = searched(HalvingConfig(candidates=8, eta=2))
    assert set(script.asked[1][0]) == set(first[5:])
    assert outcome.rounds[0].dropped == tuple(one.key for one in first[:5])
    assert len(outcome.ledger.images) == 8


def test_one_that_is_left_alone_is_not_trained_further(monkeypatch: pytest.MonkeyPatch) -> None:
    first = tuple(one.architecture for one in searched_first(monkeypatch).seen)
    script = scripted(monkeypatch, lambda candidate, epochs: 0.5 if candidate == first[6] else None)
    outcome = searched(HalvingConfig(candidates=8, eta=2))
    assert len(script.asked) == 1
    assert (outcome.best, outcome.stopped) == (first[6], "rounds")


def test_where_all_fail_later_the_best_of_the_rung_before_is_taken_and_the_cost_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    script = scripted(monkeypatch, lambda candidate, epochs: rank(candidate) if epochs == 1 else None)
    outcome = searched(HalvingConfig(candidates=8, eta=2))
    (first, _), (second, _) = script.asked
    assert outcome.best == max(first, key=rank)
    assert outcome.stopped == "rounds"
    assert len(outcome.rounds) == 1
    assert sum(images for _, images in outcome.ledger.images) == 60 * (8 + 4)
    assert len(second) == 4


def test_where_all_fail_at_once_there_is_no_outcome(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, lambda candidate, epochs: None)
    with pytest.raises(SearchError, match="All 8 candidates"):
        searched(HalvingConfig(candidates=8, eta=2))


def test_a_space_that_holds_fewer_is_halved_from_what_it_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    script = scripted(monkeypatch, lambda candidate, epochs: rank(candidate))
    few = replace(SPACE, nodes=2, skeletons=(SMALL, LARGE))
    outcome = run(Halving(HalvingConfig(candidates=20, eta=2), SCORING), few, task=TASK)
    assert [len(candidates) for candidates, _ in script.asked] == [6, 3]
    assert outcome.stopped == "exhausted"


@pytest.mark.parametrize("share", [0.6, 1.0, 1.5])
def test_a_budget_decides_how_many_begin_and_is_used_but_never_exceeded(
    monkeypatch: pytest.MonkeyPatch, share: float
) -> None:
    scripted(monkeypatch, lambda candidate, epochs: rank(candidate))
    whole = searched(HalvingConfig(candidates=12, eta=2))
    budget = int(share * whole.ledger.macs)
    outcome = searched(HalvingConfig(candidates=40, eta=2), budget_macs=budget)
    assert 0.75 * budget < outcome.ledger.macs <= budget
    assert outcome.stopped == "budget"
    assert len(outcome.seen) < 40


def test_a_last_rung_takes_the_epochs_that_are_left(monkeypatch: pytest.MonkeyPatch) -> None:
    script = scripted(monkeypatch, lambda candidate, epochs: rank(candidate))
    searched(HalvingConfig(candidates=4, eta=2))
    (first, _), (second, planned) = script.asked
    macs = {one: outcome_macs(one) for one in first}
    left = 3 * 60 * sum(macs[one] for one in second)  # an epoch of it
    spent = 3 * 60 * sum(macs.values())
    for epochs in (planned, planned + 1):
        searched(HalvingConfig(candidates=4, eta=2), budget_macs=spent + (epochs + 1) * left - 1)
        assert script.asked[-2:] == [(first, 1), (second, epochs)]
    searched(HalvingConfig(candidates=4, eta=2), budget_macs=spent + 100 * left)
    assert script.asked[-1] == (second, 2 * planned), "but no more than eta times its own"


def test_a_budget_of_less_than_the_first_training_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, lambda candidate, epochs: rank(candidate))
    least = 3 * 60 * outcome_macs(searched(HalvingConfig(candidates=1)).best)
    assert searched(HalvingConfig(candidates=4), budget_macs=least).ledger.macs == least
    with pytest.raises(SettingError, match=f"must be at least {least:,}, "):
        searched(HalvingConfig(candidates=4), budget_macs=least - 1)


def test_a_given_seed_architecture_takes_the_place_of_a_drawn_one(monkeypatch: pytest.MonkeyPatch) -> None:
    script = scripted(monkeypatch, lambda candidate, epochs: rank(candidate))
    given = one_edge("conv_3x3")
    searched(HalvingConfig(candidates=4, eta=2), seed_architecture=given)
    assert script.asked[0][0][0] == given
    assert len(set(script.asked[0][0])) == 4


def test_its_scores_are_not_those_of_a_dictionary(monkeypatch: pytest.MonkeyPatch) -> None:
    """They come from other numbers of epochs, so they would not compare."""
    scripted(monkeypatch, lambda candidate, epochs: rank(candidate))
    assert {one.score for one in searched(HalvingConfig(candidates=4, eta=2)).seen} == {None}


@pytest.mark.parametrize(
    ("config", "rungs"),
    [
        (HalvingConfig(), ((18, 1), (6, 2), (2, 6))),
        (HalvingConfig(candidates=8, eta=2), ((8, 1), (4, 1), (2, 2))),
        (HalvingConfig(candidates=7, eta=2, first_epochs=3), ((7, 3), (3, 3))),
        (HalvingConfig(candidates=2, eta=3), ((2, 1),)),
        (HalvingConfig(candidates=1), ((1, 1),)),
    ],
)
def test_rungs_are_a_share_of_the_one_before(config: HalvingConfig, rungs: object) -> None:
    assert config.rungs(config.candidates) == rungs


@pytest.mark.parametrize(("name", "low"), [("candidates", 1), ("eta", 2), ("first_epochs", 1)])
def test_sizes_below_the_least_are_refused(name: str, low: int) -> None:
    with pytest.raises(SettingError, match=f"'{name}' of HalvingConfig must be at least {low}."):
        HalvingConfig(**{name: low - 1})


def searched_first(monkeypatch: pytest.MonkeyPatch) -> Outcome:
    scripted(monkeypatch, lambda candidate, epochs: rank(candidate))
    return searched(HalvingConfig(candidates=8, eta=2))
