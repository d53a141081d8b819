"""Fusion Search (FUSE), Algorithm 2: candidates trained jointly under softmax-weighted outputs."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from torch import Tensor

from tanas.ground.checkpoints import Checkpoint
from tanas.ground.errors import SearchError, check_choice, check_range
from tanas.ground.events import Event, Listener, StepAdvanced, StepFinished, StepStarted, Told
from tanas.ground.records import from_plain, to_plain
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture, cost_of
from tanas.networks.scoring import Judgement, ScoringConfig, unscored
from tanas.spaces.costs import cost_by_parts
from tanas.spaces.space import SearchSpace
from tanas.strategies.base import (
    Deadline,
    Ledger,
    Outcome,
    Round,
    RoundFinished,
    budget_refusal,
    scores_macs,
    training_macs,
)
from tanas.strategies.mixture import Mixture
from tanas.strategies.schedules import Alternating, EqualWeights, Schedule
from tanas.tasks.task import Task

CHOICES = ("alpha", "loss", "performance")
"""What makes a candidate the best of its round."""
FINALS = ("last", "score")
"""What makes an architecture the search's own choice."""

LOOKED_AT = 20
"""Candidates that are looked at for some that the rest of a budget pays for."""


@dataclass(frozen=True, kw_only=True)
class FuseConfig:
    """Algorithm 2's constants."""

    candidates: int = 3
    """C: candidates of a round, the kept seed among them. Three in the paper's experiment."""
    rounds: int = 5
    """I: most rounds."""
    patience: int = 3
    """The search has converged when the seed has stayed the best for so many rounds in a row."""
    images: int | None = 4000
    """At most so many training images, stratified; None: all."""
    validation_images: int | None = 2000
    """At most so many validation images for alpha, stratified; None: all."""
    schedule: Schedule = field(default_factory=EqualWeights)
    """How w and alpha take turns: `EqualWeights` or `Alternating` (the paper's letter)."""
    warm_seed: bool = False
    """Whether the kept seed goes on with its trained weights. A head start that is no merit: off."""
    choice: str = "alpha"
    """The best of a round: 'alpha' (arg max alpha, the paper's), 'loss' (least loss of its own on the validation
    images) or 'performance' (best l of its own there, of equal ones the least loss)."""
    final: str = "score"
    """The best of the search: 'last' (the winner of the last round, the paper's) or 'score' (the best score of the
    fixed short training, which winners and the given seed get unless there is one only: `score_winners`). It is
    known anyhow, comes of a training twice as long as a stage, and compares winners that no round held against each
    other; what it brings a whole search was not measured."""
    early_rounds: int = 0
    """So many first rounds train on `early_images`."""
    early_images: int = 1000
    """Training images of an early round, at most: enough to tell the poor from the good."""

    def suited_to(self, images: int) -> FuseConfig:
        """The same for a task of so many training images: a small one gets more epochs."""
        training = self.schedule.training.suited_to(min(images, self.images or images))
        return replace(self, schedule=replace(self.schedule, training=training))

    @property
    def trains_alike(self) -> bool:
        """Whether the candidates of a round are trained alike, so that their losses can be held against each other.

        Not if alpha weighs their gradients while they train, nor if one of them goes on with trained weights.
        """
        weighted = isinstance(self.schedule, Alternating) and self.schedule.floor < 1
        return not weighted and not self.warm_seed

    def images_in(self, number: int) -> int | None:
        """Most training images in a round, counted from 0; None: all."""
        if number >= self.early_rounds:
            return self.images
        return self.early_images if self.images is None else min(self.early_images, self.images)

    def __post_init__(self) -> None:
        check_choice(self.choice, "choice", "FuseConfig", CHOICES)
        check_choice(self.final, "final", "FuseConfig", FINALS)
        check_range(self.early_rounds, "early_rounds", "FuseConfig", low=0)
        check_range(self.early_images, "early_images", "FuseConfig", low=2)
        check_range(self.candidates, "candidates", "FuseConfig", low=2)
        check_range(self.rounds, "rounds", "FuseConfig", low=1)
        check_range(self.patience, "patience", "FuseConfig", low=1)
        for name in ("images", "validation_images"):
            if (most := getattr(self, name)) is not None:
                check_range(most, name, "FuseConfig", low=2)


Propose = Callable[
    [SearchSpace, Task, Architecture | None, int, Seed, Collection[Architecture]], tuple[Architecture, ...]
]
"""(space, task, kept seed if there is one, how many, seed of the draws, what must not be proposed) -> the new
candidates of a round, all different; fewer only if there are no more."""


def sampled(
    space: SearchSpace,
    task: Task,
    best: Architecture | None,
    count: int,
    seed: Seed,
    without: Collection[Architecture],
) -> tuple[Architecture, ...]:
    """Candidates drawn from the space, whatever the kept seed; see `Propose`. Source: Algorithm 2."""
    return space.sample(count, seed=seed, shape=task.shape, classes=len(task.classes), without=without)


@dataclass(frozen=True)
class Fuse:
    """The strategy of the paper. Source: section 3.3, Algorithm 2."""

    config: FuseConfig = FuseConfig()
    name: str = "fuse"
    propose: Propose = sampled
    """Where the new candidates of a round come from."""
    scoring: ScoringConfig | None = None
    """By which what wins a round is scored after the search: a budget sets aside what that costs. None: it does not."""

    def expected_images(self, space: SearchSpace, task: Task, workers: int) -> float:
        """See `Strategy.expected_images`; all rounds are counted."""
        config, schedule, images = self.config, self.config.schedule, len(task.train)
        stages = schedule.expected_epochs / schedule.training.epochs
        compared = min(len(task.validation), config.validation_images or len(task.validation))
        # images are answered in a third of the time that training on them takes
        each = sum(
            stages
            * (schedule.training.epochs * min(images, config.images_in(number) or images) + compared / 3)
            for number in range(config.rounds)
        )
        return config.candidates * each / min(workers, config.candidates)

    def search(
        self,
        space: SearchSpace,
        task: Task,
        *,
        seed_architecture: Architecture | None,
        seed: Seed,
        device: str,
        workers: int,
        deadline: Deadline,
        listener: Listener,
        checkpoint: Checkpoint,
        budget_macs: int | None = None,
    ) -> Outcome:
        """Searches; see `Strategy.search`."""
        config, whole = self.config, task.without_test()
        rounds, best, kept, warm, ledger = _restore(checkpoint, seed_architecture)
        stopped = ""
        step = f"search {task.name}"
        listener(StepStarted(step=step, total=config.rounds, unit="rounds"))
        while not (stopped := stopped or _ended(rounds, config, kept, deadline)):
            number = len(rounds)
            began = time.monotonic()
            here = seed.child("round", number)
            task = _sized(whole, config, number)

            # M = (C - 1) candidates sampled from S; C = [seed, M]
            wanted = config.candidates - (best is not None)
            seen = {c for past in rounds for c in past.candidates} | ({best} if best else set())
            drawn = self.propose(space, task, best, wanted, here.child("sample"), seen)
            candidates = ((best,) if best else ()) + drawn
            if not drawn:  # nothing new is left to compare with; a sample is never empty otherwise
                stopped = "exhausted"
                break
            if budget_macs is not None:
                scored = {past.candidates[past.winner] for past in rounds}
                if seed_architecture is not None:
                    scored.add(seed_architecture.canonical())
                needs = partial(self._needs, scored=scored, task=task, whole=whole)
                more = partial(self.propose, space, task, best, LOOKED_AT, here.child("sample"), seen)
                left = budget_macs - ledger.macs
                candidates = _paid(candidates, len(drawn), needs, left, more if rounds else None)
                if not candidates:
                    stopped = "budget"
                    break
            macs = [cost_of(c, task.shape, len(task.classes)).macs for c in candidates]

            # while alpha not converged: update C on train, update alpha on validation
            mixture = Mixture(candidates, task, seed=here, device=device, workers=workers, listener=listener)
            if warm is not None and best is not None:
                mixture.networks[0].load_state_dict(warm)
            stages = config.schedule.run(
                mixture,
                task,
                seed=here.child("order"),
                deadline=deadline,
                listener=_within(listener, f"{step}, round {number + 1}"),
            )

            # seed = arg max alpha, or as it is chosen
            judgements = mixture.judgements(task)
            winner = _chosen(mixture, judgements, config.choice)
            kept = kept + 1 if best is not None and winner == 0 else 0
            best = candidates[winner]
            warm = mixture.networks[winner].state_dict() if config.warm_seed else None
            rounds = (
                *rounds,
                Round(
                    candidates=candidates,
                    keys=tuple(c.key for c in candidates),
                    dropped=tuple(candidates[i].key for i in sorted(mixture.dropped)),
                    stages=stages,
                    winner=winner,
                    took_s=time.monotonic() - began,
                    scores=tuple(None if one is None else one.score for one in judgements)
                    if config.choice != "alpha"
                    else (),
                    losses=tuple(None if one is None else one.loss for one in judgements)
                    if config.choice != "alpha" or config.trains_alike
                    else (),
                ),
            )
            for candidate, each, images in zip(candidates, macs, mixture.images_seen, strict=True):
                ledger = ledger.plus(candidate.key, each, images)
            _save(checkpoint, rounds, kept, warm, ledger)
            listener(RoundFinished(task=task.name, number=number + 1, round=rounds[-1]))
            listener(StepAdvanced(step=step, done=number + 1, note=f"best {best.key}"))
        listener(StepFinished(step=step, note=stopped))
        if best is None:
            raise SearchError(f"The space '{space.name}' holds no architecture that can be tried.")
        if len(rounds) == 0:
            listener(
                Told(message=f"The space holds one architecture only: {best.key} is taken without a search.")
            )
        order = dict.fromkeys([c for past in rounds for c in past.candidates] or [best])
        return Outcome(
            best=best,
            rounds=rounds,
            seen=tuple(unscored(c, task) for c in order),
            stopped=stopped,
            ledger=ledger,
        )

    def _needs(
        self,
        candidates: Sequence[Architecture],
        scored: Collection[Architecture],
        task: Task,
        whole: Task,
    ) -> int:
        """Multiply-adds of a round on a task's images and of all scores after it, at most.

        Args:
            candidates: of the round.
            scored: what is scored whoever wins.
            task: the images that the round trains on.
            whole: the images that a score can take.
        """

        def macs(one: Architecture) -> int:
            return _macs(one, task)

        images = len(task.train) * self.config.schedule.most_epochs
        needed = training_macs(sum(map(macs, candidates)), images)
        if self.scoring is not None:
            most = min(len(whole.train), self.scoring.images) * self.scoring.training.epochs
            needed += scores_macs(scored, candidates, macs, most)
        return needed


def final_choice(outcome: Outcome, config: FuseConfig) -> Outcome:
    """The outcome with the architecture that the search chooses in the end (`FuseConfig.final`).

    Args:
        outcome: with the scores of what won a round, as far as there are any.
        config: says how; by 'last' the outcome stays.
    """
    scores = {one.architecture: one.score for one in outcome.seen if one.score is not None}
    if config.final == "last" or not scores:
        return outcome
    winners = [past.candidates[past.winner] for past in reversed(outcome.rounds)]
    # of equal ones the later winner: it has beaten the earlier
    order = [one for one in dict.fromkeys([outcome.best, *winners, *scores]) if one in scores]
    return replace(outcome, best=max(order, key=scores.__getitem__))


def _chosen(mixture: Mixture, judgements: Sequence[Judgement | None], choice: str) -> int:
    """The position of the best candidate of a round.

    Args:
        mixture: after its training.
        judgements: of the candidates.
        choice: one of `CHOICES`.
    """
    if choice == "alpha":
        return mixture.best
    if choice == "performance":
        ranks = {at: one.rank for at, one in enumerate(judgements) if one is not None}
        return max(ranks, key=ranks.__getitem__)
    losses = {at: one.loss for at, one in enumerate(judgements) if one is not None}
    return min(losses, key=losses.__getitem__)


def _sized(task: Task, config: FuseConfig, number: int) -> Task:
    """The images that a round trains and compares on; an early round's are among those of the later ones.

    Drawn as `Task.limited` draws them: what a rival, or a score, trains on as many images are the same.
    """
    seed = Seed(task.split_seed).child("limited")
    train, validation = task.train, task.validation
    if (most := config.images_in(number)) is not None:
        train = train.stratified(most, seed.child("train"))
    if config.validation_images is not None:
        validation = validation.stratified(config.validation_images, seed.child("validation"))
    return replace(task, train=train, validation=validation)


def _paid(
    candidates: tuple[Architecture, ...],
    drawn: int,
    needs: Callable[[Sequence[Architecture]], int],
    left: int,
    more: Callable[[], tuple[Architecture, ...]] | None,
) -> tuple[Architecture, ...]:
    """The candidates of a round that a budget pays for; what is too dear is passed over, so that little stays unspent.

    Args:
        candidates: the kept seed, if there is one, and what was drawn.
        drawn: how many were, the last ones.
        needs: multiply-adds of a round of some candidates.
        left: of the budget.
        more: draws others to choose from; None: it is the first round, whose cheapest are taken.

    Returns:
        at least two, or none.

    Raises:
        BudgetError: it does not allow a first round.
    """
    if needs(candidates) <= left:
        return candidates
    paid = own = candidates[: len(candidates) - drawn]
    others = more() if more else sorted(candidates[len(own) :], key=lambda one: needs((one,)))
    for one in others:
        if len(paid) < len(candidates) and needs((*paid, one)) <= left:
            paid = (*paid, one)
    if len(paid) < 2 and more is None:
        raise budget_refusal(left, needs((*own, *others)[:2]))
    return paid if len(paid) >= 2 else ()


def _macs(one: Architecture, task: Task) -> int:
    """Multiply-adds of an answer to one image."""
    return cost_by_parts(one, task.shape, len(task.classes)).macs


def _ended(rounds: tuple[Round, ...], config: FuseConfig, kept: int, deadline: Deadline) -> str:
    """Why the search ends here; empty if it goes on."""
    # before the time: one that had ended has, when it resumes after its limit
    if len(rounds) >= config.rounds:
        return "rounds"
    if kept >= config.patience:
        return "converged"
    return "time" if rounds and deadline() <= 0 else ""


def _within(listener: Listener, step: str) -> Listener:
    """Renames the schedule's step after the round that it belongs to."""

    def renamed(event: Event) -> None:
        if isinstance(event, StepStarted | StepAdvanced | StepFinished):
            event = replace(event, step=step)
        listener(event)

    return renamed


def _save(
    checkpoint: Checkpoint,
    rounds: tuple[Round, ...],
    kept: int,
    warm: dict[str, Tensor] | None,
    ledger: Ledger,
) -> None:
    checkpoint.save(
        "fuse",
        {
            "rounds": to_plain(rounds, tuple[Round, ...]),
            "kept": kept,
            "warm": warm,
            "ledger": to_plain(ledger),
        },
    )


def _restore(
    checkpoint: Checkpoint, seed_architecture: Architecture | None
) -> tuple[tuple[Round, ...], Architecture | None, int, dict[str, Any] | None, Ledger]:
    state = checkpoint.load("fuse")
    if state is None:
        return (), seed_architecture.canonical() if seed_architecture else None, 0, None, Ledger()
    rounds = from_plain(tuple[Round, ...], state["rounds"], where="the search's checkpoint")
    ledger = from_plain(Ledger, state["ledger"], where="the search's checkpoint")
    return rounds, rounds[-1].candidates[rounds[-1].winner], state["kept"], state["warm"], ledger
