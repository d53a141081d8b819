from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.dictionary.small_atoms import LEARN, SEED, learn, representative_of, task_of, untimed
from tests.opened import opened

from tanas.algorithm.learn import Learnt
from tanas.algorithm.presets import LearnConfig
from tanas.algorithm.related import warn_if_weak
from tanas.algorithm.space import base_space
from tanas.algorithm.winner import score_winners
from tanas.dictionary.store import Dictionary
from tanas.distances.representative import state_of
from tanas.ground.checkpoints import FolderCheckpoint, NoCheckpoint
from tanas.ground.context import Context
from tanas.ground.errors import SettingError, TaskError
from tanas.ground.events import Event, StepAdvanced, StepStarted, Warned, ignore
from tanas.ground.records import to_plain
from tanas.networks.architecture import cost_of
from tanas.networks.scoring import judged, unscored
from tanas.strategies.base import Outcome, RoundFinished
from tanas.tasks.library import Library
from tanas.tasks.task import Task, image_keys

DIVERGING = replace(LEARN.scoring, training=replace(LEARN.scoring.training, learning_rate=1e30))


def whole() -> Task:
    return Library().open("digits:is=3")


@cache
def learnt() -> Learnt:
    return learn(whole())


class TestLearnAtom:
    def test_gives_an_atom_that_a_dictionary_takes(self, tmp_path: Path) -> None:
        dictionary = Dictionary.create(tmp_path)
        dictionary.add(learnt().atom, learnt().representative, learnt().network)
        assert dictionary.atoms() == (learnt().atom,)
        assert dictionary.verify() == ()

    def test_describes_the_task_as_it_was_worked_on(self) -> None:
        task = learnt().atom.task
        assert task.limit == 150
        assert task.train == 150
        assert task.fingerprint == whole().limited(150).fingerprint
        assert task.test_fingerprint == whole().sealed()[1].fingerprint
        assert task.performance == "balanced"

    def test_scores_the_winners_and_keeps_the_others_unscored(self) -> None:
        atom = learnt().atom
        (only,) = atom.rounds
        scored = {one.architecture for one in atom.architectures if one.score is not None}
        assert scored == {only.candidates[only.winner]}
        assert {one.architecture for one in atom.architectures} == set(only.candidates)
        assert atom.best == atom.architectures[0]

    def test_keeps_a_trained_network_of_the_best_architecture_and_knows_what_it_has_seen(self) -> None:
        made, task = learnt(), task_of()
        assert made.network is not None
        assert made.atom.best is not None
        assert made.network.record == made.atom.kept
        assert made.network.record.architecture == made.atom.best.architecture
        assert made.network.record.made_by == "build"
        found = judged(made.network.network, task.without_test())
        assert found.loss is not None and found.loss < 0.6, "a guess has a loss of 0.69"
        assert made.network.overlap(image_keys(task.train)) == len(task.train)
        assert made.network.overlap(image_keys(opened(whole()))) == 0

    def test_keeps_the_limits_of_its_settings(self) -> None:
        made = learnt().atom.architectures
        assert made and all(one.parameters <= 4_000 for one in made)

    def test_writes_down_how_it_was_made(self) -> None:
        provenance = learnt().atom.provenance
        assert provenance.made_by == "build"
        assert provenance.seed == SEED.root
        assert provenance.settings == to_plain(LEARN)
        assert torch.__version__.startswith(provenance.versions["torch"])
        assert provenance.represent_s > 0
        assert provenance.search_s > 0

    def test_repeats_exactly_and_never_reaches_the_test_split(self) -> None:
        lying = replace(whole(), _test=replace(opened(whole()), labels=1 - opened(whole()).labels))
        made = learn(lying)
        atom, representative = made.atom, made.representative
        theirs = replace(atom.task, test_fingerprint=learnt().atom.task.test_fingerprint)
        assert untimed(replace(atom, task=theirs)) == untimed(learnt().atom)
        assert representative.key == learnt().representative.key

    @pytest.mark.parametrize("after", ["representative", "round", "score"])
    def test_resumes_to_the_same_atom(self, after: str, tmp_path: Path) -> None:
        def killed(event: Event) -> None:
            begins = isinstance(event, StepStarted) and event.step.startswith(("search", "score"))
            scores = isinstance(event, StepAdvanced) and event.step.startswith("score")
            if {
                "representative": begins,
                "round": isinstance(event, RoundFinished),
                "score": scores,
            }[after]:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            learn(whole(), listener=killed, checkpoint=FolderCheckpoint(tmp_path))
        told: list[Event] = []
        made = learn(whole(), listener=told.append, checkpoint=FolderCheckpoint(tmp_path))
        atom, representative = made.atom, made.representative
        assert untimed(atom) == untimed(learnt().atom)
        assert representative.key == learnt().representative.key
        epochs = [e for e in told if isinstance(e, StepAdvanced) and e.step.startswith("represent")]
        assert epochs == [], "what was done is not done again"

    def test_keeps_a_weak_representative_with_a_warning_and_refuses_it_if_strict(self) -> None:
        hard = replace(LEARN, representative=replace(LEARN.representative, epsilon=1e-6))
        told: list[Event] = []
        made = learn(whole(), hard, listener=told.append)
        atom, representative = made.atom, made.representative
        assert representative.weak
        assert atom.representative.weak
        warnings = [event.message for event in told if isinstance(event, Warned)]
        assert len(warnings) == 1
        assert "digits:is=3" in warnings[0] and "1 - epsilon = 1.000" in warnings[0]
        with pytest.raises(TaskError, match="1 - epsilon = 1.000"):
            learn(whole(), replace(hard, strict=True))


class TestScoreWinners:
    def outcome(self) -> Outcome:
        atom = learnt().atom
        seen = tuple(unscored(c, task_of()) for past in atom.rounds for c in past.candidates)
        return Outcome(best=seen[0].architecture, rounds=atom.rounds, seen=seen, stopped="rounds")

    def score(self, **changes: Any) -> Any:
        arguments: dict[str, Any] = {
            "seed": SEED,
            "device": "cpu",
            "listener": ignore,
            "checkpoint": NoCheckpoint(),
        }
        scoring = changes.pop("scoring", LEARN.scoring)
        at = Context(**(arguments | changes))
        return score_winners(self.outcome(), task_of(), scoring, at=at)

    def test_gives_every_candidate_in_the_order_seen(self) -> None:
        scored = self.score().seen
        assert [one.architecture for one in scored] == [one.architecture for one in self.outcome().seen]
        winners = {self.outcome().best, *(p.candidates[p.winner] for p in self.outcome().rounds)}
        assert {one.architecture for one in scored if one.score is not None} == winners

    def test_reads_what_was_scored_before(self, tmp_path: Path) -> None:
        first: list[Event] = []
        second: list[Event] = []
        scored = self.score(checkpoint=FolderCheckpoint(tmp_path), listener=first.append)
        assert self.score(checkpoint=FolderCheckpoint(tmp_path), listener=second.append) == scored
        trained = [any(isinstance(event, StepAdvanced) for event in told) for told in (first, second)]
        assert trained == [True, False]

    def test_leaves_one_that_diverges_unscored_with_a_warning(self) -> None:
        told: list[Event] = []
        assert self.score(scoring=DIVERGING, listener=told.append).seen == self.outcome().seen
        assert any(isinstance(event, Warned) for event in told)

    def test_adds_what_the_scores_cost_those_that_diverged_too(self, tmp_path: Path) -> None:
        outcome, images = self.outcome(), len(task_of().limited(LEARN.scoring.images).train)
        winners = {outcome.best, *(p.candidates[p.winner] for p in outcome.rounds)}
        shape, classes = task_of().shape, len(task_of().classes)
        seen = images * LEARN.scoring.training.epochs
        cost = sum(3 * cost_of(one, shape, classes).macs * seen for one in winners)
        first = self.score(checkpoint=FolderCheckpoint(tmp_path)).ledger
        assert first.macs == cost
        assert dict(first.images) == {one.key: seen for one in winners}
        assert self.score(checkpoint=FolderCheckpoint(tmp_path)).ledger == first, "also when it resumes"
        assert self.score(scoring=DIVERGING).ledger == first

    def test_when_time_has_run_out_it_scores_the_best_and_no_other(self) -> None:
        scored = self.score(deadline=lambda: 0.0).seen
        assert [one.architecture for one in scored if one.score is not None] == [self.outcome().best]

    def test_when_time_has_run_out_it_still_reads_what_was_scored_before(self, tmp_path: Path) -> None:
        scored = self.score(checkpoint=FolderCheckpoint(tmp_path))
        assert self.score(checkpoint=FolderCheckpoint(tmp_path), deadline=lambda: 0.0) == scored

    def test_what_has_a_score_is_not_trained_again(self) -> None:
        known = tuple(replace(one, score=0.5) for one in self.outcome().seen)
        outcome = replace(self.outcome(), seen=known)
        told: list[Event] = []
        at = Context(seed=SEED, device="cpu", listener=told.append, checkpoint=NoCheckpoint())
        assert score_winners(outcome, task_of(), LEARN.scoring, at=at) == outcome
        assert not any(isinstance(event, StepAdvanced) for event in told)


def test_limits_given_by_hand_stand_before_the_spaces_own() -> None:
    own = base_space(task_of(), LearnConfig())
    given = base_space(task_of(), LearnConfig(max_parameters=5_000))
    assert own.max_parameters != 5_000
    assert (given.max_parameters, given.max_macs) == (5_000, own.max_macs)
    assert base_space(task_of(), LearnConfig(space="paper")).max_parameters is None


def test_a_representative_that_is_good_enough_is_not_warned_of() -> None:
    made = replace(representative_of(), weak=False)
    warn_if_weak(made, pytest.fail, strict=True)
    assert state_of(made)[0].weak is False


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"performance": "f1"}, "The 'performance' of LearnConfig must be one of balanced, accuracy"),
        ({"limit": 1}, "The 'limit' of LearnConfig must be at least 2"),
    ],
)
def test_a_setting_outside_its_range_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        LearnConfig(**wrong)
