from __future__ import annotations

import pytest
from tests.strategies.small_search import SEED, SPACE, one_edge, run, scripted, tiny

from tanas.ground.errors import SettingError
from tanas.networks.architecture import Architecture
from tanas.networks.scoring import Judgement, ScoringConfig
from tanas.networks.training import TrainingConfig
from tanas.strategies.base import Outcome
from tanas.strategies.random_search import BATCH, RandomConfig, RandomSearch

SCORING = ScoringConfig(images=60, training=TrainingConfig(epochs=2))
TASK = tiny().without_test()


def by_size(candidate: Architecture, epochs: int) -> float:
    return len(candidate.cell.edges) / 10 + len(candidate.skeleton.widths) / 100


def searched(candidates: int, **given: object) -> Outcome:
    strategy = RandomSearch(RandomConfig(candidates=candidates), SCORING)
    return run(strategy, task=TASK, **given)  # type: ignore[arg-type]


def tried(outcome: Outcome) -> list[Architecture]:
    return [one.architecture for one in outcome.seen]


def test_draws_without_repeats_until_the_space_is_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    script = scripted(monkeypatch, by_size)
    some = tried(searched(30))
    assert len(some) == len(set(some)) == 30
    every = searched(100)
    assert every.stopped == "exhausted"
    assert len(every.seen) == len(set(tried(every))) == SPACE.size
    trained = [one for candidates, _ in script.asked[-20:] for one in candidates]
    assert sorted(trained) == sorted(tried(every)), "none is trained twice"


def test_what_is_drawn_does_not_depend_on_how_good_the_others_are(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, by_size)
    one = searched(12)
    scripted(monkeypatch, lambda candidate, epochs: 1 - by_size(candidate, epochs))
    other = searched(12)
    assert tried(one) == tried(other)
    assert one.best != other.best


def test_more_candidates_begin_with_those_that_fewer_would_have_been(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, by_size)
    assert tried(searched(14))[:9] == tried(searched(9))


def test_takes_the_best_of_all_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    best = tried(searched_by(monkeypatch, 0.1))[2]
    scripted(monkeypatch, lambda candidate, epochs: 0.9 if candidate == best else 0.5)
    outcome = searched(12)
    assert outcome.best == best
    assert [past.candidates[past.winner] for past in outcome.rounds] == [best] * 3
    assert [past.candidates[0] for past in outcome.rounds[1:]] == [best] * 2, (
        "it is held against the new ones"
    )


def searched_by(monkeypatch: pytest.MonkeyPatch, score: float) -> Outcome:
    scripted(monkeypatch, lambda candidate, epochs: score)
    return searched(12)


def test_of_equal_scores_the_lower_loss_wins_and_of_equal_losses_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    order = tried(searched_by(monkeypatch, 0.0))
    assert searched(12).best == order[0]
    scripted(
        monkeypatch,
        lambda candidate, epochs: Judgement(score=0.0, loss=0.3 if candidate in order[6:8] else 0.7),
    )
    outcome = searched(12)
    assert outcome.best == order[6]
    assert set(outcome.rounds[-1].scores) == {0.0}
    assert outcome.rounds[-1].losses[0] == 0.3


def test_a_given_seed_architecture_is_one_of_the_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch, by_size)
    given = one_edge("sep_conv_3x3")
    outcome = searched(6, seed_architecture=given)
    assert tried(outcome)[0] == given
    assert len(set(tried(outcome))) == 6
    assert tried(searched(1, seed_architecture=given)) == [given]


def test_every_candidate_is_trained_once_for_the_epochs_of_a_score(monkeypatch: pytest.MonkeyPatch) -> None:
    script = scripted(monkeypatch, by_size)
    outcome = searched(10)
    assert [(len(candidates), epochs) for candidates, epochs in script.asked] == [
        (BATCH, 2),
        (BATCH, 2),
        (2, 2),
    ]
    assert dict(outcome.ledger.images) == {one.architecture.key: 120 for one in outcome.seen}
    assert outcome.ledger.macs == sum(3 * 120 * one.macs for one in outcome.seen)
    assert [one.score for one in outcome.seen] == [by_size(one, 2) for one in tried(outcome)]


def test_a_budget_is_spent_on_what_it_can_pay_for_until_a_round_holds_nothing_of_that(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    scripted(monkeypatch, by_size)
    whole = searched(SPACE.size, seed=SEED)
    cheapest = min(3 * 120 * one.macs for one in whole.seen)
    six = sum(3 * 120 * one.macs for one in whole.seen[:6])
    exactly, less = searched(SPACE.size, budget_macs=six), searched(SPACE.size, budget_macs=six - 1)
    assert (tried(exactly)[:6], exactly.stopped, exactly.ledger.macs) == (tried(whole)[:6], "budget", six)
    assert (tried(less)[:5], less.stopped) == (tried(whole)[:5], "budget")
    fifth = sum(3 * 120 * one.macs for one in whole.seen[:5])
    assert fifth + cheapest <= less.ledger.macs < six, "what is too dear is passed over"


def test_no_candidates_are_refused() -> None:
    with pytest.raises(SettingError, match="'candidates' of RandomConfig must be at least 1"):
        RandomConfig(candidates=0)
