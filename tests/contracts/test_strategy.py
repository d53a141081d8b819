"""What every search strategy promises."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, NoReturn, cast

import pytest
import torch
from tests.opened import opened
from tests.strategies.small_search import (
    LARGE,
    SEED,
    SMALL,
    SPACE,
    all_strategies,
    every_architecture,
    one_edge,
    run,
    tiny,
    untimed,
)
from torch import Tensor, nn

from tanas.ground.checkpoints import Checkpoint, FolderCheckpoint
from tanas.ground.errors import SearchError, SettingError
from tanas.ground.events import Event, StepAdvanced, StepFinished, StepStarted, Warned
from tanas.ground.records import from_plain, to_json, to_plain
from tanas.networks.architecture import cost_of
from tanas.networks.operations import _REGISTRY
from tanas.networks.scoring import Judgement
from tanas.spaces.space import SearchSpace
from tanas.strategies.base import Outcome, training_macs
from tanas.strategies.driver import Strategy
from tanas.strategies.history import best_of
from tanas.tasks.task import Split

STRATEGIES = all_strategies()
TASK = tiny().without_test()
SEARCH = "search digits:is=8"
"""The step of a search, among those of its trainings."""
FEW = replace(SPACE, nodes=2, skeletons=(SMALL,))
"""Three architectures."""


@dataclass(frozen=True)
class Ran:
    """A search that nothing disturbed."""

    outcome: Outcome
    told: tuple[Event, ...]
    left_as_it_was: bool
    """torch's global generator, and its threads."""


@cache
def undisturbed(name: str) -> Ran:
    told: list[Event] = []
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    outcome = untimed(run(STRATEGIES[name], task=TASK, listener=told.append))
    same = torch.equal(torch.get_rng_state(), before) and torch.get_num_threads() == threads
    return Ran(outcome, tuple(told), same)


def rounds_done(told: list[Event] | tuple[Event, ...]) -> list[int]:
    return [event.done for event in told if isinstance(event, StepAdvanced) and event.step == SEARCH]


def trainings(told: list[Event]) -> list[str]:
    return [event.step for event in told if isinstance(event, StepStarted) and event.step != SEARCH]


def after_saves(folder: Path, saves: int) -> FolderCheckpoint:
    """A checkpoint whose process is killed right after so many saves."""
    left = [saves]

    class Killing(FolderCheckpoint):
        def __init__(self, folder: Path) -> None:
            super().__init__(folder)
            self._own = folder

        def save(self, key: str, value: Any) -> None:
            super().save(key, value)
            left[0] -= 1
            if left[0] == 0:
                raise KeyboardInterrupt

        def child(self, name: str) -> Checkpoint:
            return Killing(self._own / name)

    return Killing(folder)


class Untouchable:
    """A test split that can't be looked at in any way."""

    def __getattribute__(self, name: str) -> NoReturn:
        raise AssertionError(f"the search asked the test split for '{name}'")

    def __len__(self) -> NoReturn:
        raise AssertionError("the search asked how large the test split is")


class Broken(nn.Module):
    """An operation with whose answers nothing can be learnt."""

    def forward(self, images: Tensor) -> Tensor:
        return images * torch.nan


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The name of an operation that fails, known while a test lasts."""
    monkeypatch.setitem(_REGISTRY, "broken", lambda channels: Broken())
    cost_of.cache_clear()
    yield "broken"
    cost_of.cache_clear()


@pytest.mark.parametrize("name", STRATEGIES)
class TestStrategyContract:
    @pytest.fixture
    def strategy(self, name: str) -> Strategy:
        return STRATEGIES[name]

    def test_says_its_name(self, strategy: Strategy, name: str) -> None:
        assert strategy.name == name.split(",")[0]

    def test_repeats_exactly_with_its_seed_whatever_was_drawn_before(
        self, strategy: Strategy, name: str
    ) -> None:
        torch.rand(5)
        assert untimed(run(strategy, task=TASK)) == undisturbed(name).outcome

    def test_draws_other_candidates_with_another_seed(self, strategy: Strategy, name: str) -> None:
        other = run(strategy, task=TASK, seed=SEED.child("another"), deadline=lambda: 0.0)
        drawn = {one.architecture for one in other.seen}
        assert not drawn <= {one.architecture for one in undisturbed(name).outcome.seen}

    def test_leaves_the_global_generator_and_the_threads_as_they_were(self, name: str) -> None:
        assert undisturbed(name).left_as_it_was

    def test_gives_the_same_bytes_with_any_number_of_workers(self, strategy: Strategy, name: str) -> None:
        several = untimed(run(strategy, task=TASK, workers=3))
        assert to_json(several) == to_json(undisturbed(name).outcome)

    def test_never_sees_the_test_split(self, strategy: Strategy, name: str) -> None:
        whole = replace(TASK, _test=cast(Split, Untouchable()))
        with pytest.raises(AssertionError, match="asked the test split for 'labels'"):
            _ = opened(whole).labels
        assert untimed(run(strategy, task=whole)) == undisturbed(name).outcome

    def test_sees_the_validation_split(self, strategy: Strategy, name: str) -> None:
        validation = replace(TASK.validation, labels=1 - TASK.validation.labels)
        other = run(strategy, task=replace(TASK, validation=validation), deadline=lambda: 0.0)
        first, known = other.rounds[0], undisturbed(name).outcome.rounds[0]
        assert (first.scores[:1], first.losses[:1], first.stages) != (
            known.scores[:1],
            known.losses[:1],
            known.stages,
        )

    def test_finds_an_architecture_of_the_space(self, name: str) -> None:
        outcome = undisturbed(name).outcome
        assert all(SPACE.contains(one.architecture) for one in outcome.seen)
        assert outcome.best in [one.architecture for one in outcome.seen]

    def test_expects_about_as_many_images_as_it_trains_on(self, strategy: Strategy, name: str) -> None:
        expected = strategy.expected_images(SPACE, TASK, 1)
        costs = [one.macs for one in undisturbed(name).outcome.seen]
        spent = undisturbed(name).outcome.ledger.macs / training_macs(sum(costs), 1) * len(costs)
        assert 0.3 < expected / spent < 3
        assert expected / 3 <= strategy.expected_images(SPACE, TASK, 3) <= expected

    def test_lists_every_candidate_once_in_canonical_form_with_its_cost(self, name: str) -> None:
        outcome = undisturbed(name).outcome
        seen = [one.architecture for one in outcome.seen]
        assert len(set(seen)) == len(seen)
        assert [one.canonical() for one in seen] == seen
        tried = dict.fromkeys(candidate for past in outcome.rounds for candidate in past.candidates)
        assert seen == list(tried)
        for one in outcome.seen:
            cost = cost_of(one.architecture, TASK.shape, 2)
            assert (one.parameters, one.macs) == (cost.parameters, cost.macs)

    def test_takes_the_best_of_its_last_round_by_the_score_and_then_the_loss(self, name: str) -> None:
        rounds = undisturbed(name).outcome.rounds
        for past in rounds:
            if not past.scores:
                alphas = past.stages[-1].alphas
                assert past.winner == alphas.index(max(alphas))
                continue
            judged = [
                None if score is None or loss is None else Judgement(score=score, loss=loss)
                for score, loss in zip(past.scores, past.losses, strict=True)
            ]
            assert past.winner == best_of(judged)
            assert len({loss for loss in past.losses if loss is not None}) > 1, "the loss tells them apart"
        assert undisturbed(name).outcome.best == rounds[-1].candidates[rounds[-1].winner]

    def test_gives_a_history_that_json_holds(self, name: str) -> None:
        outcome = undisturbed(name).outcome
        assert from_plain(Outcome, to_plain(outcome), where="here") == outcome
        assert outcome.stopped in ("rounds", "converged", "exhausted", "budget", "time")

    def test_keeps_the_limits_of_the_space_with_every_candidate(self, strategy: Strategy) -> None:
        costs = [cost_of(one, TASK.shape, 2) for one in every_architecture()]
        fourth = len(costs) // 4
        for tight in (
            SPACE.limited(max_parameters=sorted(cost.parameters for cost in costs)[fourth]),
            SPACE.limited(max_macs=sorted(cost.macs for cost in costs)[fourth]),
            # a machine that takes a millisecond for a thousand multiply-adds
            SPACE.limited(
                max_latency_ms=sorted(cost.macs for cost in costs)[fourth] / 1e3,
                latency=lambda one, shape, classes: cost_of(one, shape, classes).macs / 1e3,
            ),
        ):
            outcome = run(strategy, tight, task=TASK)
            assert len(outcome.seen) > 3
            for one in outcome.seen:
                assert tight.allows(one.architecture, TASK.shape, 2), one

    def test_refuses_limits_that_admit_nothing(self, strategy: Strategy) -> None:
        with pytest.raises(SettingError, match="admit no architecture"):
            run(strategy, SPACE.limited(max_parameters=1), task=TASK)

    def test_tries_a_given_seed_architecture_first_in_canonical_form(self, strategy: Strategy) -> None:
        kept = one_edge("conv_7x1_1x7")  # as one that was inherited, it need not be in the space
        outcome = run(strategy, task=TASK, seed_architecture=kept, deadline=lambda: 0.0)
        assert outcome.seen[0].architecture == kept.canonical()

    @pytest.mark.parametrize("saves", [1, 2])
    def test_resumes_from_its_checkpoint_to_the_same_outcome(
        self, strategy: Strategy, name: str, saves: int, tmp_path: Path
    ) -> None:
        with pytest.raises(KeyboardInterrupt):
            run(strategy, task=TASK, checkpoint=after_saves(tmp_path, saves))
        torch.rand(5)
        told: list[Event] = []
        outcome = run(strategy, task=TASK, checkpoint=FolderCheckpoint(tmp_path), listener=told.append)
        assert untimed(outcome) == undisturbed(name).outcome
        all_of_them = rounds_done(undisturbed(name).told)
        assert rounds_done(told) == all_of_them[saves:], "what was done is not done again"

        told.clear()
        again = run(
            strategy,
            task=TASK,
            checkpoint=FolderCheckpoint(tmp_path),
            listener=told.append,
            deadline=lambda: -1.0,  # one that had ended has, however much time has passed since
        )
        assert again == outcome
        assert not trainings(told), "a finished search gives its outcome again at once"

    def test_gives_its_best_so_far_when_no_time_is_left(self, strategy: Strategy, tmp_path: Path) -> None:
        checkpoint = FolderCheckpoint(tmp_path)
        outcome = run(strategy, task=TASK, deadline=lambda: 0.0, checkpoint=checkpoint)
        assert outcome.stopped == "time"
        assert outcome.best in [one.architecture for one in outcome.seen]
        again = run(strategy, task=TASK, deadline=lambda: -3.0, checkpoint=checkpoint)
        assert again == outcome, "a search that resumes after its limit begins nothing new"

    def test_a_limit_that_ends_it_between_two_rounds_leaves_those_before_as_they_are(
        self, strategy: Strategy, name: str
    ) -> None:
        told: list[Event] = []
        outcome = run(
            strategy,
            task=TASK,
            deadline=lambda: -1.0 if rounds_done(told) else 1e9,
            listener=told.append,
        )
        (only,) = untimed(outcome).rounds
        assert outcome.stopped == "time"
        assert only == undisturbed(name).outcome.rounds[0]
        assert outcome.best == only.candidates[only.winner]

    def test_writes_down_what_each_candidate_was_trained_on_and_the_sum(self, name: str) -> None:
        outcome = undisturbed(name).outcome
        macs = {one.architecture.key: one.macs for one in outcome.seen}
        shared = {key for key, _ in outcome.ledger.images if key.startswith("supernet")}
        assert {key for key, _ in outcome.ledger.images} == set(macs) | shared
        assert bool(shared) == (name in ("ws-random", "darts"))
        assert all(images >= len(TASK.train) for _, images in outcome.ledger.images)
        alone = sum(3 * macs[key] * images for key, images in outcome.ledger.images if key in macs)
        assert outcome.ledger.macs > alone if shared else outcome.ledger.macs == alone

    def test_makes_no_training_that_its_budget_does_not_allow(
        self, strategy: Strategy, name: str, tmp_path: Path
    ) -> None:
        budget, checkpoint = undisturbed(name).outcome.ledger.macs - 1, FolderCheckpoint(tmp_path)
        outcome = run(strategy, task=TASK, budget_macs=budget, checkpoint=checkpoint)
        # most pass a candidate over that is too dear, and may find others that are not
        passes_over = name in ("random", "evolution", "predictor") or name.startswith("fuse")
        assert outcome.stopped == "budget" or passes_over
        assert 0 < outcome.ledger.macs <= budget
        assert outcome.best in [one.architecture for one in outcome.seen]
        assert run(strategy, task=TASK, budget_macs=budget, checkpoint=checkpoint) == outcome

    def test_refuses_a_budget_that_allows_no_beginning_and_says_what_does(self, strategy: Strategy) -> None:
        with pytest.raises(SettingError, match="'budget_macs' of a search must be at least") as refused:
            run(strategy, task=TASK, budget_macs=1)
        told = re.search(r"at least ([\d,]*\d)", str(refused.value))
        assert told is not None
        least = int(told[1].replace(",", ""))
        with pytest.raises(SettingError, match="'budget_macs' of a search must be at least"):
            run(strategy, task=TASK, budget_macs=least - 1)
        outcome = run(strategy, task=TASK, budget_macs=least)
        assert outcome.stopped == "budget"
        assert outcome.ledger.macs == least

    def test_stops_when_nothing_new_is_left(self, strategy: Strategy) -> None:
        outcome = run(strategy, FEW, task=TASK)
        assert outcome.stopped == "exhausted"
        assert {one.architecture for one in outcome.seen} == set(every_architecture(FEW))

    def test_takes_the_only_architecture_of_a_space(self, strategy: Strategy) -> None:
        only = replace(SPACE, nodes=2, skeletons=(LARGE,), operations=("identity", "zero"))
        for given in (None, one_edge("identity", LARGE)):
            outcome = run(strategy, only, task=TASK, seed_architecture=given)
            assert outcome.best == one_edge("identity", LARGE)
            assert [one.architecture for one in outcome.seen] == [outcome.best]
            assert outcome.stopped == "exhausted"

    def test_leaves_out_a_candidate_that_fails_and_counts_what_it_cost(
        self, strategy: Strategy, broken: str
    ) -> None:
        space = replace(FEW, operations=("identity", "max_pool_3x3", broken, "zero"))
        told: list[Event] = []
        outcome = run(strategy, space, task=TASK, listener=told.append)
        failed = one_edge(broken).key
        assert outcome.best != one_edge(broken)
        assert failed in outcome.rounds[0].dropped
        assert any(isinstance(event, Warned) and failed in event.message for event in told)
        macs = {one.architecture.key: one.macs for one in outcome.seen}
        assert dict(outcome.ledger.images)[failed] > 0
        assert outcome.ledger.macs == sum(3 * macs[key] * images for key, images in outcome.ledger.images)

    def test_fails_when_every_candidate_does(self, strategy: Strategy, broken: str) -> None:
        space: SearchSpace = replace(FEW, operations=(broken, "zero"), skeletons=(SMALL, LARGE))
        with pytest.raises(SearchError, match="not finite"):
            run(strategy, space, task=TASK)

    def test_takes_colour_and_many_classes(self, strategy: Strategy) -> None:
        task = tiny("digits")
        colour = replace(
            task,
            train=replace(task.train, images=task.train.images.repeat(1, 3, 1, 1)),
            validation=replace(task.validation, images=task.validation.images.repeat(1, 3, 1, 1)),
        )
        outcome = run(strategy, task=colour.without_test(), deadline=lambda: 0.0)
        cost = cost_of(outcome.best, (3, 8, 8), 10)
        assert next(s for s in outcome.seen if s.architecture == outcome.best).parameters == cost.parameters

    def test_tells_where_it_is_from_the_first_moment_to_the_last(self, name: str) -> None:
        told = undisturbed(name).told
        own = [event for event in told if getattr(event, "step", "") == SEARCH]
        assert told[0] is own[0]
        assert isinstance(own[0], StepStarted)
        assert isinstance(own[-1], StepFinished)
        assert rounds_done(told) == list(range(1, own[0].total + 1))
        open_steps: set[str] = set()
        for event in told:
            if isinstance(event, StepStarted):
                assert event.step not in open_steps, "a step's name is its own while it lasts"
                open_steps.add(event.step)
            elif isinstance(event, StepAdvanced):
                assert event.step in open_steps
            elif isinstance(event, StepFinished):
                open_steps.remove(event.step)
        assert not open_steps
