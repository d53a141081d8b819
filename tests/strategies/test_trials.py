from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.strategies.small_search import (
    LARGE,
    SCORING,
    SEED,
    SMALL,
    SPACE,
    TRAINING,
    one_edge,
    run,
    scripted,
    tiny,
)
from torch import Tensor, nn

from tanas.ground.checkpoints import FolderCheckpoint, NoCheckpoint
from tanas.ground.context import Context
from tanas.ground.errors import SearchError, SettingError
from tanas.ground.events import Event, Listener, StepAdvanced, StepFinished, Warned, ignore
from tanas.networks.architecture import Architecture, cost_of
from tanas.networks.operations import _REGISTRY
from tanas.networks.scoring import Judgement, judged
from tanas.strategies.base import Ledger, training_macs
from tanas.strategies.driver import Problem
from tanas.strategies.history import History, Trial, best_of, round_of, trials_of
from tanas.strategies.random_search import RandomConfig, RandomSearch
from tanas.strategies.trials import (
    affordable,
    compare_by_score,
    images_of_a_score,
    trained_alone,
)

TASK = tiny().without_test()
THREE = (one_edge("sep_conv_3x3"), one_edge("max_pool_3x3", LARGE), one_edge("identity"))
GOOD, TIED, WORSE = (
    Judgement(score=0.5, loss=0.9),
    Judgement(score=0.5, loss=0.4),
    Judgement(score=0.1, loss=0.1),
)


def asked_with(
    *,
    workers: int = 1,
    deadline: Callable[[], float] = lambda: math.inf,
    listener: Listener = ignore,
    budget_macs: int | None = None,
) -> Problem:
    return Problem(
        space=SPACE,
        task=TASK,
        seed_architecture=None,
        at=Context(
            seed=SEED,
            device="cpu",
            workers=workers,
            deadline=deadline,
            listener=listener,
            checkpoint=NoCheckpoint(),
        ),
        budget_macs=budget_macs,
    )


def trained(
    asked: Problem, candidates: tuple[Architecture, ...] = THREE, epochs: int = 1
) -> tuple[Trial, ...]:
    networks = [asked.build(one) for one in candidates]
    scoring = replace(SCORING, training=replace(TRAINING, epochs=epochs))
    return trained_alone(candidates, networks, scoring, asked, seed=SEED.child("order"))


class FailsLate(nn.Module):
    """Passes images on, until it has seen so many batches to learn from."""

    def __init__(self, batches: int) -> None:
        super().__init__()
        self.left = batches

    def forward(self, images: Tensor) -> Tensor:
        if self.training:
            self.left -= 1
        return images if self.left >= 0 else images * torch.nan


@pytest.fixture
def late(monkeypatch: pytest.MonkeyPatch) -> Iterator[Architecture]:
    """An architecture whose loss is finite for one epoch of two batches."""
    monkeypatch.setitem(_REGISTRY, "late", lambda channels: FailsLate(2))
    cost_of.cache_clear()
    yield one_edge("late")
    cost_of.cache_clear()


class TestBestOf:
    def test_is_the_highest_score_whatever_the_loss(self) -> None:
        assert best_of([WORSE, GOOD]) == 1

    def test_of_equal_scores_is_the_lowest_loss_and_of_equal_losses_the_first(self) -> None:
        assert best_of([GOOD, WORSE, TIED]) == 2
        assert best_of([GOOD, TIED, TIED]) == 1

    def test_leaves_out_what_failed(self) -> None:
        assert best_of([None, WORSE, None]) == 1
        assert best_of([None, None]) is None
        assert best_of([]) is None


class TestTrainedAlone:
    def test_judges_each_by_its_own_network_after_its_own_training(self) -> None:
        asked = asked_with()
        networks = [asked.build(one) for one in THREE]
        tried = trained_alone(THREE, networks, SCORING, asked, seed=SEED.child("order"))
        assert [trial.architecture for trial in tried] == list(THREE)
        assert [trial.judgement for trial in tried] == [judged(network, TASK) for network in networks]
        assert {trial.images for trial in tried} == {60}

    def test_what_a_candidate_is_worth_does_not_depend_on_the_others(self) -> None:
        together = trained(asked_with(workers=3))
        assert together == tuple(trained(asked_with(), (one,))[0] for one in THREE)

    def test_counts_the_epoch_that_failed_and_warns(self, late: Architecture) -> None:
        told: list[Event] = []
        tried = trained(asked_with(listener=told.append), (late, THREE[0]), epochs=4)
        assert tried[0] == Trial(architecture=late, judgement=None, images=2 * 60)
        assert tried[1].images == 4 * 60
        (warned,) = (event for event in told if isinstance(event, Warned))
        assert "epoch 2" in warned.message and late.key in warned.message
        step = f"try {late.key} on digits:is=8"
        assert StepFinished(step=step, note="not finite") in told

    def test_the_first_begins_without_any_time_and_no_other_does(self) -> None:
        tried = trained(asked_with(deadline=lambda: 0.0))
        assert [trial.architecture for trial in tried] == [THREE[0]]

    @pytest.mark.parametrize("place", [0, 1])
    def test_what_one_raises_ends_the_others_within_their_epoch_and_is_raised(self, place: int) -> None:
        told: list[Event] = []

        def listener(event: Event) -> None:
            told.append(event)
            if isinstance(event, StepAdvanced) and THREE[place].key in event.step:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            trained(asked_with(workers=2, listener=listener), epochs=1000)
        assert max(event.done for event in told if isinstance(event, StepAdvanced)) < 1000
        assert not any(isinstance(event, StepFinished) for event in told)


class TestAffordable:
    def test_is_all_without_a_budget_and_what_it_pays_for_with_one(self) -> None:
        asked = asked_with()
        costs = [training_macs(asked.macs(one), 60) for one in THREE]
        assert affordable(THREE, asked, Ledger(), 60) == THREE
        two = asked_with(budget_macs=costs[0] + costs[1])
        assert affordable(THREE, two, Ledger(), 60) == THREE[:2]
        assert affordable(THREE[:2], two, Ledger(macs=1, images=(("x", 1),)), 60) == THREE[:1]

    def test_passes_over_what_is_too_dear_but_never_a_given_one(self) -> None:
        three = (THREE[2], THREE[0], THREE[1])
        costs = [training_macs(asked_with().macs(one), 60) for one in three]
        assert costs[1] > costs[0] > costs[2]
        asked = asked_with(budget_macs=costs[0] + costs[2])
        assert affordable(three, asked, Ledger(), 60) == (three[0], three[2])
        begun = Ledger(macs=costs[0], images=((three[0].key, 60),))
        assert affordable(three[1:], asked, begun, 60) == three[2:]
        least = asked_with(budget_macs=costs[2])
        assert affordable(three, least, Ledger(), 60) == three[2:]
        with pytest.raises(SettingError, match=f"must be at least {costs[0]:,}"):
            affordable(three[:2], least, Ledger(), 60)
        given = replace(least, seed_architecture=three[1])
        with pytest.raises(SettingError, match=f"must be at least {costs[1]:,}"):
            affordable(three[1:], given, Ledger(), 60)

    def test_is_nothing_where_all_is_spent_and_an_error_where_nothing_was(self) -> None:
        asked = asked_with(budget_macs=100)
        assert affordable(THREE, asked, Ledger(macs=99, images=(("x", 1),)), 60) == ()
        assert affordable((), asked, Ledger(), 60) == (), "nothing was asked for"
        needed = min(training_macs(asked.macs(one), 60) for one in THREE)
        with pytest.raises(
            SettingError, match=f"'budget_macs' of a search must be at least {needed:,}.* 100"
        ):
            affordable(THREE, asked, Ledger(), 60)

    def test_counts_multiply_adds_as_the_networks_do(self) -> None:
        for one in THREE:
            assert asked_with().macs(one) == cost_of(one, TASK.shape, 2).macs


class TestRounds:
    def trial(self, at: int, judgement: Judgement | None, images: int = 60) -> Trial:
        return Trial(architecture=THREE[at], judgement=judgement, images=images)

    def test_hold_the_candidates_against_the_best_so_far_which_is_not_paid_twice(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        scripted(
            monkeypatch, lambda candidate, epochs: {THREE[0]: GOOD, THREE[1]: WORSE}.get(candidate, TIED)
        )
        problem = asked_with()
        first = compare_by_score(THREE[:2], History(), problem, SCORING)
        assert first.round is not None
        assert first.round.winner == 0
        before = History(rounds=(first.round,), ledger=first.spent)
        second = compare_by_score(THREE[2:], before, problem, SCORING)
        assert second.round is not None
        assert second.round.candidates == (THREE[0], THREE[2])
        assert (second.round.scores, second.round.losses, second.round.winner) == ((0.5, 0.5), (0.9, 0.4), 1)
        images = images_of_a_score(SCORING, TASK)
        assert dict(second.spent.images) == {THREE[2].key: images}
        assert second.spent.macs == training_macs(problem.macs(THREE[2]), images)

    def test_keep_the_best_where_all_others_fail_and_fail_where_there_is_none(self) -> None:
        made = round_of([self.trial(0, WORSE), self.trial(1, None, images=20)])
        assert (made.winner, made.dropped) == (0, (THREE[1].key,))
        with pytest.raises(SearchError, match="All 1 candidates"):
            round_of([self.trial(1, None)])

    def test_cost_what_each_training_took(self) -> None:
        problem = asked_with()
        spent = problem.spent([(THREE[0], 60), (THREE[1], 20)])
        assert spent.images == ((THREE[0].key, 60), (THREE[1].key, 20))
        assert spent.macs == training_macs(problem.macs(THREE[0]), 60) + training_macs(
            problem.macs(THREE[1]), 20
        )

    def test_are_the_same_from_a_checkpoint(self, tmp_path: Path) -> None:
        checkpoint = FolderCheckpoint(tmp_path)
        assert History.restored(checkpoint) == History()
        made = round_of([self.trial(0, GOOD), self.trial(1, None)])
        history = History(rounds=(made,), ledger=Ledger(macs=3, images=(("a", 2),)), stopped="budget")
        history.save(checkpoint)
        assert History.restored(checkpoint) == history
        assert trials_of(history.rounds[0])[1] == Trial(architecture=THREE[1], judgement=None)


def test_a_candidate_is_judged_once_even_if_the_given_one_is_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    script = scripted(monkeypatch, lambda candidate, epochs: 0.5)
    few = replace(SPACE, nodes=2, skeletons=(SMALL,))
    outcome = run(RandomSearch(RandomConfig(candidates=9)), few, task=TASK, seed_architecture=THREE[0])
    assert outcome.seen[0].architecture == THREE[0]
    assert len(outcome.seen) == 3
    assert [len(candidates) for candidates, _ in script.asked] == [3]
