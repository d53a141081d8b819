from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.strategies.small_search import (
    ALTERNATING,
    CONFIG,
    LARGE,
    SCORING,
    SEED,
    SPACE,
    digits,
    every_architecture,
    fuse_forms,
    one_edge,
    run,
    untimed,
)
from torch import Tensor

from tanas.ground.checkpoints import FolderCheckpoint
from tanas.ground.context import Context
from tanas.ground.errors import SearchError, SettingError
from tanas.ground.events import Event, StepStarted, Told, Warned
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture, build
from tanas.networks.scoring import Judgement, ScoredArchitecture
from tanas.spaces.costs import cost_by_parts
from tanas.strategies.base import Outcome, Round, RoundFinished, Stage, training_macs
from tanas.strategies.fuse import Fuse, FuseConfig, final_choice
from tanas.strategies.mixture import Mixture
from tanas.tasks.task import Task


@dataclass
class Fixed:
    """A schedule that trains nothing, marks the weights, and lets chosen places win, one a round."""

    winners: Sequence[int]
    starts: list[list[dict[str, Tensor]]] = field(default_factory=list)
    """State of each candidate as each round began."""
    tasks: list[Task] = field(default_factory=list)
    floor: float = 1.0

    def run(self, mixture: Mixture, task: Task, at: Context) -> tuple[Stage, ...]:
        assert mixture.alpha.tolist() == [1 / len(mixture.candidates)] * len(mixture.candidates)
        self.starts.append(
            [{k: v.clone() for k, v in network.state_dict().items()} for network in mixture.networks]
        )
        self.tasks.append(task)
        for network in mixture.networks:
            network.head.weight.data += 100  # what training would change
        alpha = torch.zeros(len(mixture.candidates), dtype=torch.float64)
        alpha[self.winners[len(self.starts) - 1]] = 1
        mixture.alpha = alpha
        return (
            Stage(
                alphas=tuple(alpha.tolist()),
                weights=tuple(mixture.weights.tolist()),
                train_loss=1.0,
                validation_loss=1.0,
            ),
        )


def fixed(winners: Sequence[int], **changes: Any) -> tuple[Fixed, Fuse]:
    schedule = Fixed(winners)
    return schedule, Fuse(replace(CONFIG, schedule=schedule, rounds=len(winners), **changes))  # type: ignore[arg-type]


def fresh(candidate: Architecture, number: int, place: int) -> dict[str, Tensor]:
    """The state of a candidate that nothing has trained."""
    return build(candidate, digits().shape, 2, SEED.child("round", number, "weights", place)).state_dict()


@cache
def outcome_of(name: str) -> Outcome:
    return untimed(run(fuse_forms()[name]))


class TestRounds:
    def test_the_first_draws_all_candidates_and_the_next_keep_the_seed_first(self) -> None:
        _, fuse = fixed([2, 1, 0])
        first, second, third = run(fuse).rounds
        assert [len(past.candidates) for past in (first, second, third)] == [3, 3, 3]
        assert second.candidates[0] == first.candidates[2]
        assert third.candidates[0] == second.candidates[1]

    @pytest.mark.parametrize("name", fuse_forms())
    def test_the_seed_is_arg_max_alpha_of_the_round_before(self, name: str) -> None:
        outcome = outcome_of(name)
        assert len(outcome.rounds) > 1
        for before, after in zip(outcome.rounds, outcome.rounds[1:], strict=False):
            alphas = before.stages[-1].alphas
            assert before.winner == alphas.index(max(alphas))
            assert after.candidates[0] == before.candidates[before.winner]
        last = outcome.rounds[-1]
        assert outcome.best == last.candidates[last.winner]

    @pytest.mark.parametrize("name", fuse_forms())
    def test_never_draw_a_candidate_twice(self, name: str) -> None:
        outcome = outcome_of(name)
        assert len(outcome.rounds) > 1
        drawn = [*outcome.rounds[0].candidates]
        for later in outcome.rounds[1:]:
            assert later.candidates[0] in drawn
            drawn += later.candidates[1:]
        assert len(set(drawn)) == len(drawn)
        assert outcome.rounds[0].keys == tuple(c.key for c in outcome.rounds[0].candidates)

    def test_begin_with_a_given_seed_architecture_and_draw_one_less(self) -> None:
        given = one_edge("sep_conv_3x3")
        _, fuse = fixed([0])
        (only,) = run(fuse, seed_architecture=given).rounds
        assert only.candidates[0] == given
        assert len(only.candidates) == 3

    def test_take_a_seed_architecture_from_outside_the_space(self) -> None:
        given = one_edge("conv_7x1_1x7")
        assert not SPACE.contains(given)
        _, fuse = fixed([1, 0])
        outcome = run(fuse, seed_architecture=given)
        assert outcome.seen[0].architecture == given
        assert SPACE.contains(outcome.best)

    def test_take_new_candidates_from_where_they_are_told(self) -> None:
        given = one_edge("sep_conv_3x3")
        others = [one_edge(name) for name in ("identity", "max_pool_3x3", "conv_3x3", "conv_1x1")]
        asked = []

        def draw(
            best: Architecture | None, count: int, seed: Seed, without: Collection[Architecture]
        ) -> tuple[Architecture, ...]:
            asked.append((best, count, set(without)))
            return tuple(one for one in others if one not in without)[:count]

        _, fuse = fixed([1, 0, 0])
        outcome = run(replace(fuse, draw=draw), seed_architecture=given)
        assert [past.candidates for past in outcome.rounds] == [
            (given, *others[:2]),
            (others[0], *others[2:]),
        ]
        assert outcome.stopped == "exhausted"
        assert asked[:2] == [(given, 2, {given}), (others[0], 2, {given, *others[:2]})]

    def test_have_as_many_candidates_as_asked_for(self) -> None:
        _, fuse = fixed([4, 0], candidates=5)
        assert [len(past.candidates) for past in run(fuse).rounds] == [5, 5]


class TestFairStart:
    def test_the_kept_seed_begins_with_fresh_weights_as_all_do(self) -> None:
        schedule, fuse = fixed([1, 0, 0])
        rounds = run(fuse).rounds
        assert len(rounds) == 3
        for number, past in enumerate(rounds):
            for place, candidate in enumerate(past.candidates):
                state = schedule.starts[number][place]
                for name, value in fresh(candidate, number, place).items():
                    if not name.startswith("norm."):
                        assert torch.equal(state[name], value), f"round {number}, place {place}, {name}"

    def test_the_checkpoint_of_a_fair_search_holds_no_weights(self, tmp_path: Path) -> None:
        _, fuse = fixed([1])
        run(fuse, checkpoint=FolderCheckpoint(tmp_path))
        assert set(FolderCheckpoint(tmp_path).load("log")) == {"log"}


class TestStops:
    def test_after_its_rounds(self) -> None:
        _, fuse = fixed([1, 1, 1, 1])
        outcome = run(fuse)
        assert (outcome.stopped, len(outcome.rounds)) == ("rounds", 4)

    def test_when_the_seed_has_stayed_for_as_many_rounds_as_patience_says(self) -> None:
        _, fuse = fixed([0, 0, 1, 0, 0, 0], patience=2)
        outcome = run(fuse)
        assert (outcome.stopped, len(outcome.rounds)) == ("converged", 5)

    def test_a_first_winner_that_was_no_seed_has_not_stayed(self) -> None:
        _, fuse = fixed([0, 0, 0], patience=1)
        assert len(run(fuse).rounds) == 2
        _, fuse = fixed([0, 0, 0], patience=1)
        assert len(run(fuse, seed_architecture=one_edge("identity")).rounds) == 1

    def test_patience_counts_on_after_a_resume(self, tmp_path: Path) -> None:
        def killed(event: Event) -> None:
            if isinstance(event, RoundFinished) and event.number == 2:
                raise KeyboardInterrupt

        _, fuse = fixed([1, 0, 0, 0, 0], patience=2)
        with pytest.raises(KeyboardInterrupt):
            run(fuse, checkpoint=FolderCheckpoint(tmp_path), listener=killed)
        _, fuse = fixed([0, 0, 0, 0, 0], patience=2)
        outcome = run(fuse, checkpoint=FolderCheckpoint(tmp_path))
        assert (outcome.stopped, len(outcome.rounds)) == ("converged", 3)

    def test_when_nothing_new_is_left_the_last_round_being_smaller(self) -> None:
        space = replace(SPACE, nodes=2)  # six architectures: 3, then 2, then 1
        _, fuse = fixed([0, 0, 0, 0, 0, 0], patience=6)
        outcome = run(fuse, space)
        assert outcome.stopped == "exhausted"
        assert [len(past.candidates) for past in outcome.rounds] == [3, 3, 2]
        assert {one.architecture for one in outcome.seen} == set(every_architecture(space))

    def test_when_the_time_is_up_after_the_round_under_way(self) -> None:
        left = iter([1.0, -1.0, -1.0, -1.0])
        _, fuse = fixed([1, 1, 1, 1])
        outcome = run(fuse, deadline=lambda: next(left))
        assert outcome.stopped == "time"
        assert 1 <= len(outcome.rounds) < 4
        assert outcome.best == outcome.rounds[-1].candidates[1]

    def test_and_says_so_if_there_was_nothing_to_search(self) -> None:
        told: list[Event] = []
        only = replace(SPACE, nodes=2, operations=("identity",), skeletons=SPACE.skeletons[:1])
        given = every_architecture(only)[0]
        _, fuse = fixed([0])
        assert run(fuse, only, seed_architecture=given, listener=told.append).best == given
        (message,) = [event.message for event in told if isinstance(event, Told)]
        assert given.key in message


class TestImages:
    def test_are_as_many_as_asked_for_stratified_and_the_same_in_every_round(self) -> None:
        schedule, fuse = fixed([0, 0], images=60, validation_images=40)
        run(fuse)
        first, second = schedule.tasks
        assert (len(first.train), len(first.validation)) == (60, 40)
        assert torch.equal(first.train.rows, second.train.rows)
        share = digits().train.labels.float().mean().item()
        assert first.train.labels.float().mean().item() == pytest.approx(share, abs=0.05)
        assert first._test is None

    def test_are_all_if_none_is_asked_for(self) -> None:
        schedule, fuse = fixed([0], images=None, validation_images=None)
        run(fuse)
        assert len(schedule.tasks[0].train) == len(digits().train)
        assert len(schedule.tasks[0].validation) == len(digits().validation)


class TestChoice:
    @pytest.fixture
    def judged(self, monkeypatch: pytest.MonkeyPatch) -> list[Judgement | None]:
        """What the candidates are like, whoever they are."""
        said: list[Judgement | None] = [
            Judgement(score=0.5, loss=0.9),
            Judgement(score=0.7, loss=0.8),
            Judgement(score=0.7, loss=0.6),
            Judgement(score=0.2, loss=0.1),
        ]
        monkeypatch.setattr(Mixture, "judgements", lambda self, task: tuple(said))
        return said

    def test_is_by_alpha_whatever_the_candidates_own_figures_are(
        self, judged: list[Judgement | None]
    ) -> None:
        _, fuse = fixed([1], candidates=4)
        outcome = run(fuse)
        (only,) = outcome.rounds
        assert outcome.best == only.candidates[1]
        assert only.stages[0].alphas.index(1.0) == only.winner == 1
        assert only.scores == ()
        assert only.losses == (0.9, 0.8, 0.6, 0.1)  # a memory learns from them

    def test_losses_are_kept_where_candidates_are_trained_alike(self) -> None:
        assert run(Fuse(replace(CONFIG, rounds=1))).rounds[0].losses
        assert run(Fuse(replace(CONFIG, rounds=1, schedule=ALTERNATING))).rounds[0].losses == ()


class TestFinalChoice:
    def outcome(self, scores: Sequence[float | None], *, best: int = 2) -> Outcome:
        """Candidates 0, 1 and 2 won a round each; candidate 3 is a given seed that won none."""
        candidates = every_architecture()[:4]
        rounds = tuple(
            Round(candidates=candidates, keys=(), dropped=(), stages=(), winner=winner, took_s=0.0)
            for winner in range(3)
        )
        seen = tuple(
            ScoredArchitecture(architecture=one, score=score, parameters=1, macs=1)
            for one, score in zip(candidates, scores, strict=True)
        )
        return Outcome(best=candidates[best], rounds=rounds, seen=seen, stopped="rounds")

    @pytest.mark.parametrize(
        ("scores", "chosen"),
        [
            ((0.3, 0.6, 0.5, None), 1),
            ((0.3, 0.2, 0.5, 0.7), 3),
            ((0.6, 0.6, 0.5, None), 1),
            ((0.6, 0.6, 0.6, 0.6), 2),
            ((None, 0.1, None, None), 1),
            ((None, None, None, None), 2),
        ],
        ids=[
            "an earlier winner",
            "the given seed",
            "the later of equal ones",
            "the last of all",
            "scored",
            "none",
        ],
    )
    def test_by_score_is_the_best_scored_one(self, scores: Sequence[float | None], chosen: int) -> None:
        outcome = self.outcome(scores)
        made = final_choice(outcome, FuseConfig(final="score"))
        assert made.best == every_architecture()[chosen]
        assert replace(made, best=outcome.best) == outcome

    def test_by_last_is_the_last_winner(self) -> None:
        outcome = self.outcome((0.3, 0.6, 0.5, 0.9))
        assert final_choice(outcome, FuseConfig(final="last")) is outcome


class TestFailures:
    def wild(self) -> Fuse:
        training = replace(CONFIG.schedule.training, learning_rate=1e30, epochs=2)
        return Fuse(replace(CONFIG, schedule=replace(CONFIG.schedule, training=training)))

    def test_all_candidates_that_diverge_end_the_search_with_a_way_out(self) -> None:
        with pytest.raises(SearchError, match="All 3 candidates"):
            run(self.wild())

    def test_a_dropped_candidate_is_named_in_its_round_and_never_wins(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made = Mixture.__init__

        def broken(self: Mixture, *args: Any, **kwargs: Any) -> None:
            made(self, *args, **kwargs)
            self.networks[0].head.weight.data.fill_(float("nan"))

        monkeypatch.setattr(Mixture, "__init__", broken)
        told: list[Event] = []
        outcome = run(Fuse(CONFIG), listener=told.append)
        assert outcome.rounds
        assert all(past.dropped == (past.keys[0],) for past in outcome.rounds)
        assert all(past.winner != 0 and past.stages[-1].weights[0] == 0 for past in outcome.rounds)
        assert sum(isinstance(event, Warned) for event in told) == len(outcome.rounds)
        assert len(outcome.seen) == 3 + 2 + 2


def test_tells_each_round_with_its_alphas() -> None:
    told: list[Event] = []
    _, fuse = fixed([1, 0])
    rounds = run(fuse, listener=told.append).rounds
    finished = [event for event in told if isinstance(event, RoundFinished)]
    assert [event.number for event in finished] == [1, 2]
    assert [event.round for event in finished] == list(rounds)
    first = rounds[0]
    for key, share in zip(first.keys, first.stages[-1].weights, strict=True):
        assert f"{key[:6]} {share:.2f}" in str(finished[0])


def test_the_steps_of_a_round_carry_its_number() -> None:
    told: list[Event] = []
    run(Fuse(replace(CONFIG, rounds=2)), listener=told.append)
    steps = [event.step for event in told if isinstance(event, StepStarted)]
    assert steps == ["search digits:is=8", "search digits:is=8, round 1", "search digits:is=8, round 2"]


@pytest.mark.parametrize("scores", [4, 7, 11])
def test_a_budget_pays_for_the_scores_of_the_winners_too_and_what_is_too_dear_is_passed_over(
    scores: int,
) -> None:
    given = one_edge("sep_conv_3x3", LARGE)
    fuse = Fuse(replace(CONFIG, rounds=50, patience=50), scoring=SCORING)

    def macs(one: Architecture) -> int:
        return cost_by_parts(one, (1, 8, 8), 2).macs

    budget = scores * training_macs(macs(given), 100)
    outcome = run(fuse, seed_architecture=given, budget_macs=budget)
    winners = {given, *(past.candidates[past.winner] for past in outcome.rounds)}
    whole = outcome.ledger.macs + training_macs(sum(map(macs, winners)), 100)
    assert outcome.stopped == "budget"
    assert 0.7 * budget < whole <= budget
    with pytest.raises(SettingError, match="'budget_macs' of a search must be at least"):
        run(fuse, seed_architecture=given, budget_macs=training_macs(2 * macs(given), 100))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"candidates": 1}, "The 'candidates' of FuseConfig must be at least 2"),
        ({"rounds": 0}, "The 'rounds' of FuseConfig must be at least 1"),
        ({"patience": 0}, "The 'patience' of FuseConfig must be at least 1"),
        ({"final": "first"}, "The 'final' of FuseConfig must be one of last, score"),
        ({"images": 1}, "The 'images' of FuseConfig must be at least 2"),
        ({"validation_images": 0}, "The 'validation_images' of FuseConfig must be at least 2"),
    ],
)
def test_a_setting_outside_its_range_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        FuseConfig(**wrong)
