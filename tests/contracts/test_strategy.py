"""What every search strategy promises."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.strategies.small_search import (
    LARGE,
    SEED,
    SMALL,
    SPACE,
    all_strategies,
    digits,
    every_architecture,
    one_edge,
    run,
    untimed,
)

from tanas.checkpoints import Checkpoint, FolderCheckpoint
from tanas.errors import SettingError
from tanas.events import Event, StepAdvanced, StepFinished, StepStarted
from tanas.networks.architecture import cost_of
from tanas.records import from_plain, to_json, to_plain
from tanas.strategies.base import Outcome, Strategy
from tanas.tasks.task import Split, Task

STRATEGIES = all_strategies()


@cache
def undisturbed(name: str) -> Outcome:
    return untimed(run(STRATEGIES[name]))


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


def with_test(task: Task, test: Split) -> Task:
    return replace(task, _test=test)


def lying_tests() -> Iterator[Task]:
    """The task with other labels and other pixels in its test split, and with its training images there."""
    test = digits().test
    yield with_test(digits(), replace(test, labels=1 - test.labels, images=255 - test.images))
    yield with_test(digits(), digits().train)


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
        assert untimed(run(strategy)) == undisturbed(name)

    def test_draws_other_candidates_with_another_seed(self, strategy: Strategy, name: str) -> None:
        others = {run(strategy, seed=SEED.child(i)).seen[0].architecture for i in range(2)}
        assert len(others | {undisturbed(name).seen[0].architecture}) > 1

    def test_leaves_the_global_generator_and_the_threads_as_they_were(self, strategy: Strategy) -> None:
        before, threads = torch.get_rng_state(), torch.get_num_threads()
        run(strategy)
        assert torch.equal(torch.get_rng_state(), before)
        assert torch.get_num_threads() == threads

    def test_gives_the_same_bytes_with_any_number_of_workers(self, strategy: Strategy, name: str) -> None:
        assert to_json(untimed(run(strategy, workers=2))) == to_json(undisturbed(name))

    def test_never_sees_the_test_split(self, strategy: Strategy, name: str) -> None:
        for lying in lying_tests():
            assert untimed(run(strategy, task=lying)) == undisturbed(name)

    def test_sees_the_validation_split(self, strategy: Strategy, name: str) -> None:
        validation = digits().validation
        other = replace(digits(), validation=replace(validation, labels=1 - validation.labels))
        assert untimed(run(strategy, task=other)).rounds != undisturbed(name).rounds

    def test_finds_an_architecture_of_the_space(self, name: str) -> None:
        outcome = undisturbed(name)
        assert all(SPACE.contains(one.architecture) for one in outcome.seen)
        assert outcome.best in [one.architecture for one in outcome.seen]

    def test_lists_every_candidate_once_in_canonical_form_with_its_cost(self, name: str) -> None:
        outcome = undisturbed(name)
        seen = [one.architecture for one in outcome.seen]
        assert len(set(seen)) == len(seen)
        assert [one.canonical() for one in seen] == seen
        tried = dict.fromkeys(candidate for past in outcome.rounds for candidate in past.candidates)
        assert seen == list(tried)
        for one in outcome.seen:
            cost = cost_of(one.architecture, digits().shape, 2)
            assert (one.parameters, one.macs) == (cost.parameters, cost.macs)

    def test_gives_a_history_that_json_holds(self, name: str) -> None:
        outcome = undisturbed(name)
        assert from_plain(Outcome, to_plain(outcome), where="here") == outcome
        assert outcome.stopped in ("rounds", "converged", "exhausted", "budget", "time")

    def test_keeps_the_limits_of_the_space_with_every_candidate(self, strategy: Strategy) -> None:
        costs = sorted(cost_of(one, digits().shape, 2).parameters for one in every_architecture())
        tight = SPACE.limited(max_parameters=costs[len(costs) // 4])
        outcome = run(strategy, tight)
        assert len(outcome.seen) > 3
        for one in outcome.seen:
            assert tight.allows(one.architecture, digits().shape, 2), one

    def test_refuses_limits_that_admit_nothing(self, strategy: Strategy) -> None:
        with pytest.raises(SettingError, match="admit nothing"):
            run(strategy, SPACE.limited(max_parameters=1))

    def test_tries_a_given_seed_architecture_first_in_canonical_form(self, strategy: Strategy) -> None:
        kept = every_architecture()[7]
        assert run(strategy, seed_architecture=kept).seen[0].architecture == kept.canonical()

    @pytest.mark.parametrize("saves", [1, 2, 3])
    def test_resumes_from_its_checkpoint_to_the_same_outcome(
        self, strategy: Strategy, name: str, saves: int, tmp_path: Path
    ) -> None:
        with pytest.raises(KeyboardInterrupt):
            run(strategy, checkpoint=after_saves(tmp_path, saves))
        torch.rand(5)
        told: list[Event] = []
        outcome = run(strategy, checkpoint=FolderCheckpoint(tmp_path), listener=told.append)
        assert untimed(outcome) == undisturbed(name)
        done = [e.done for e in told if isinstance(e, StepAdvanced) and e.step == "search digits:is=8"]
        assert done == list(range(saves + 1, len(outcome.rounds) + 1)), "what was done is not done again"

    def test_a_finished_search_gives_its_outcome_again_at_once(
        self, strategy: Strategy, name: str, tmp_path: Path
    ) -> None:
        first = run(strategy, checkpoint=FolderCheckpoint(tmp_path))
        assert run(strategy, checkpoint=FolderCheckpoint(tmp_path)) == first

    def test_gives_its_best_so_far_when_no_time_is_left(self, strategy: Strategy, tmp_path: Path) -> None:
        checkpoint = FolderCheckpoint(tmp_path)
        outcome = run(strategy, deadline=lambda: 0.0, checkpoint=checkpoint)
        assert outcome.stopped == "time"
        assert outcome.best in [one.architecture for one in outcome.seen]
        again = run(strategy, deadline=lambda: -3.0, checkpoint=checkpoint)
        assert again == outcome, "a search that resumes after its limit begins nothing new"

    def test_writes_down_what_each_candidate_was_trained_on_and_the_sum(self, name: str) -> None:
        outcome = undisturbed(name)
        macs = {one.architecture.key: one.macs for one in outcome.seen}
        assert {key for key, _ in outcome.ledger.images} == set(macs)
        assert all(images >= len(digits().limited(100).train) for _, images in outcome.ledger.images)
        assert outcome.ledger.macs == sum(3 * macs[key] * images for key, images in outcome.ledger.images)

    def test_stops_before_the_training_that_its_budget_does_not_allow(
        self, strategy: Strategy, name: str, tmp_path: Path
    ) -> None:
        whole = undisturbed(name)
        assert run(strategy, budget_macs=whole.ledger.macs).best == whole.best
        budget, checkpoint = whole.ledger.macs - 1, FolderCheckpoint(tmp_path)
        outcome = run(strategy, budget_macs=budget, checkpoint=checkpoint)
        assert outcome.stopped == "budget"
        assert 0 < outcome.ledger.macs <= budget
        assert outcome.best in [one.architecture for one in outcome.seen]
        assert run(strategy, budget_macs=budget, checkpoint=checkpoint) == outcome
        with pytest.raises(SettingError, match="'budget_macs' of a search must be at least"):
            run(strategy, budget_macs=1)

    def test_stops_when_nothing_new_is_left(self, strategy: Strategy) -> None:
        space = replace(SPACE, nodes=2, skeletons=(SMALL,))
        outcome = run(strategy, space)
        assert outcome.stopped == "exhausted"
        assert {one.architecture for one in outcome.seen} == set(every_architecture(space))

    def test_takes_the_only_architecture_of_a_space(self, strategy: Strategy) -> None:
        only = replace(SPACE, nodes=2, skeletons=(LARGE,), operations=("identity", "zero"))
        for given in (None, one_edge("identity", LARGE)):
            outcome = run(strategy, only, seed_architecture=given)
            assert outcome.best == one_edge("identity", LARGE)
            assert [one.architecture for one in outcome.seen] == [outcome.best]
            assert outcome.stopped == "exhausted"

    def test_takes_colour_and_many_classes(self, strategy: Strategy) -> None:
        task = digits("digits")
        colour = replace(
            task,
            train=replace(task.train, images=task.train.images.repeat(1, 3, 1, 1)),
            validation=replace(task.validation, images=task.validation.images.repeat(1, 3, 1, 1)),
        )
        outcome = run(strategy, task=colour.without_test(), deadline=lambda: 0.0)
        cost = cost_of(outcome.best, (3, 8, 8), 10)
        assert next(s for s in outcome.seen if s.architecture == outcome.best).parameters == cost.parameters

    def test_tells_where_it_is_from_the_first_moment_to_the_last(self, strategy: Strategy) -> None:
        told: list[Event] = []
        run(strategy, listener=told.append)
        own = [event for event in told if getattr(event, "step", "") == "search digits:is=8"]
        assert told[0] is own[0]
        assert isinstance(own[0], StepStarted)
        assert isinstance(own[-1], StepFinished)
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
