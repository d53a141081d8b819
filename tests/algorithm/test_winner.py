"""The search within Algorithm 1, and what is taken without one."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from tests.dictionary.small_atoms import atom_of
from tests.strategies.small_search import CONFIG, SCORING, SEED, SPACE, tiny

from tanas.algorithm import winner
from tanas.algorithm.presets import SearchConfig
from tanas.algorithm.related import KnownTasks, RelatedTasks
from tanas.algorithm.search import best_within
from tanas.algorithm.winner import find, led
from tanas.dictionary.task_record import Atom
from tanas.ground.context import Context
from tanas.ground.errors import SettingError
from tanas.ground.events import Event
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture
from tanas.networks.scoring import unscored
from tanas.spaces.inherit import Inherited
from tanas.spaces.size_trend import ENOUGH_COMPARED, LEAST_SPREAD, SizeTrend
from tanas.spaces.space import SearchSpace
from tanas.strategies.base import Outcome
from tanas.strategies.fuse import FuseConfig
from tanas.strategies.random_search import RandomConfig

NOTHING = RelatedTasks(
    known=KnownTasks(others=(), own=None),
    representative=None,
    measured=(),
    order=(),
    neighbours=(),
    reused_s=0.0,
)


class TestLed:
    @pytest.mark.parametrize(
        ("compared", "changes", "rounds"),
        [
            (None, {}, 5),
            (ENOUGH_COMPARED - 1, {}, 5),
            (ENOUGH_COMPARED, {}, 1),
            (ENOUGH_COMPARED, {"rounds_led": 2}, 2),
            (ENOUGH_COMPARED, {"rounds_led": 7}, 5),
            (ENOUGH_COMPARED, {"fuse": FuseConfig(rounds=8)}, 8),
            (ENOUGH_COMPARED, {"fuse": FuseConfig(rounds=8), "rounds_led": 4}, 4),
            (ENOUGH_COMPARED, {"strategy": "random"}, 5),
            (ENOUGH_COMPARED, {"budget_macs": 10**12}, 5),
        ],
    )
    def test_a_space_that_enough_is_known_of_is_searched_in_fewer_rounds_and_that_is_told(
        self, compared: int | None, changes: dict[str, Any], rounds: int
    ) -> None:
        slopes = (1.0, 0.0, 0.0)
        promise = (
            None if compared is None else SizeTrend(slopes=slopes, compared=compared, spread=LEAST_SPREAD)
        )
        told: list[Event] = []
        config = SearchConfig(**changes)
        found = led(config, replace(SPACE, size_trend=promise), Context(listener=told.append))
        assert found == replace(config, fuse=replace(config.fuse, rounds=rounds))
        said = [set(re.findall(r"\d+", str(event))) for event in told]
        assert said == [{str(rounds), str(config.fuse.rounds)}] * (rounds < config.fuse.rounds)

    def test_a_promise_that_says_next_to_nothing_leads_nowhere(self) -> None:
        flat = SizeTrend(slopes=(1e-3, 0.0, 0.0), compared=1000, spread=LEAST_SPREAD / 2)
        assert led(SearchConfig(), replace(SPACE, size_trend=flat), Context(seed=SEED)) == SearchConfig()


class TestReused:
    def atom(self, *scores: float | None) -> Atom:
        drawn = SPACE.sample(len(scores), seed=Seed(3), shape=(1, 8, 8), classes=2)
        seen = tuple(
            replace(unscored(one, tiny()), score=score) for one, score in zip(drawn, scores, strict=True)
        )
        return replace(atom_of(), architectures=seen)

    def test_is_the_best_within_the_limits_and_none_of_those_without_a_score(self) -> None:
        known = self.atom(None, 0.9, 0.5, 0.7)
        best = max(known.architectures, key=lambda one: one.parameters)
        known = replace(
            known,
            architectures=tuple(
                replace(one, score=0.95) if one == best else one for one in known.architectures
            ),
        )
        best, blind = replace(best, score=0.95), tiny().without_test()
        assert best_within(known, SPACE, blind) == best
        tight = SPACE.limited(max_parameters=best.parameters - 1)
        fit = [one for one in known.architectures if one.score and one.parameters < best.parameters]
        assert fit, "else the test says nothing"
        assert best_within(known, tight, blind) == max(fit, key=lambda one: one.score or 0.0)

    def test_is_refused_with_the_figures_of_the_smallest_where_none_is_within_the_limits(self) -> None:
        known = self.atom(0.9, 0.5)
        least = min(one.parameters for one in known.architectures)
        with pytest.raises(SettingError, match=rf"2 scored .* {least:,} parameters"):
            best_within(known, SPACE.limited(max_parameters=least - 1), tiny().without_test())


class TestFind:
    @pytest.fixture
    def first_is_best(self, monkeypatch: pytest.MonkeyPatch) -> list[Outcome]:
        """Scores the first winner best and the last worst; gives the outcomes as the strategy left them."""
        left: list[Outcome] = []

        def scored(outcome: Outcome, *_: Any, **__: Any) -> Outcome:
            left.append(outcome)
            winners = list(dict.fromkeys(past.candidates[past.winner] for past in outcome.rounds))
            return replace(
                outcome,
                seen=tuple(
                    replace(one, score=1 / (2 + winners.index(one.architecture)))
                    if one.architecture in winners
                    else one
                    for one in outcome.seen
                ),
            )

        monkeypatch.setattr(winner, "score_winners", scored)
        return left

    def found(self, config: SearchConfig, space: SearchSpace = SPACE) -> Outcome:
        inherited = Inherited(space=space, seed_architecture=None, mode="none", note="")
        return find(inherited, NOTHING, tiny().without_test(), config, Context(seed=SEED))

    @pytest.mark.parametrize("final", ["last", "score"])
    def test_ends_with_the_last_winner_or_the_best_scored_one(
        self, first_is_best: list[Outcome], final: str
    ) -> None:
        fuse = replace(CONFIG, rounds=3, images=60, validation_images=40, final=final)
        outcome = self.found(SearchConfig(fuse=fuse, scoring=SCORING))
        winners = [past.candidates[past.winner] for past in outcome.rounds]
        assert len(set(winners)) > 1, "else the test says nothing"
        assert outcome.best == (winners[-1] if final == "last" else winners[0])
        assert first_is_best[0].best == winners[-1]

    def test_takes_fewer_rounds_where_a_memory_leads(self, first_is_best: list[Outcome]) -> None:
        fuse = replace(CONFIG, rounds=3, patience=9, images=60, validation_images=40)
        promise = SizeTrend(slopes=(0.1, 0.0, 0.0), compared=ENOUGH_COMPARED, spread=1.0)
        for rounds_led, rounds in ((None, 3), (1, 1)):
            config = SearchConfig(fuse=fuse, scoring=SCORING, rounds_led=rounds_led)
            outcome = self.found(config, replace(SPACE, size_trend=promise))
            assert len(outcome.rounds) == rounds

    @pytest.mark.parametrize(
        ("settings", "rounds", "scored"),
        [
            ({}, 1, False),
            ({}, 3, True),  # other winners to hold it against
            ({"budget_macs": 10**15}, 1, True),
            ({"controls": True}, 1, True),
        ],
    )
    def test_a_winner_without_a_rival_is_not_scored(
        self, first_is_best: list[Outcome], settings: dict[str, Any], rounds: int, scored: bool
    ) -> None:
        fuse = replace(CONFIG, rounds=rounds, patience=9, images=60, validation_images=40)
        outcome = self.found(SearchConfig(fuse=fuse, scoring=SCORING, **settings))
        assert bool(first_is_best) == scored
        assert any(one.score is not None for one in outcome.seen) == scored

    @pytest.mark.parametrize(
        ("learns", "inherit_seed", "scored"),
        [(True, True, True), (True, False, False), (False, True, False)],
    )
    def test_a_dictionary_that_learns_of_a_first_seed_wants_scores_and_changes_nothing_else(
        self, monkeypatch: pytest.MonkeyPatch, learns: bool, inherit_seed: bool, scored: bool
    ) -> None:
        def first_scores_best(outcome: Outcome, *_: Any, also: Sequence[Architecture], **__: Any) -> Outcome:
            seen = (replace(one, score=float(one.architecture in also)) for one in outcome.seen)
            return replace(outcome, seen=tuple(seen))

        monkeypatch.setattr(winner, "score_winners", first_scores_best)
        first = SPACE.sample(1, seed=Seed(11), shape=(1, 8, 8), classes=2)[0]
        fuse = replace(CONFIG, rounds=1, images=60, validation_images=40)
        outcome = find(
            Inherited(space=SPACE, seed_architecture=first, mode="prior", note=""),
            NOTHING,
            tiny().without_test(),
            SearchConfig(fuse=fuse, scoring=SCORING, inherit_seed=inherit_seed),
            Context(seed=SEED),
            learns=learns,
        )
        (only,) = outcome.rounds
        assert outcome.best == only.candidates[only.winner] != first, (
            "the winner, whatever the first seed scores"
        )
        assert any(one.score is not None for one in outcome.seen) == scored

    def test_leaves_the_choice_of_another_strategy_alone(self, first_is_best: list[Outcome]) -> None:
        config = SearchConfig(
            strategy="random",
            random=RandomConfig(candidates=4),
            fuse=replace(CONFIG, final="score"),
            scoring=SCORING,
        )
        assert self.found(config).best == first_is_best[0].best
