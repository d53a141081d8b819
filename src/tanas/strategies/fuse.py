"""Fusion Search (FUSE), Algorithm 2: candidates trained jointly under softmax-weighted outputs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace

from tanas.ground.context import Context
from tanas.ground.errors import check_choice, check_range
from tanas.ground.events import Event, Listener, StepAdvanced, StepFinished, StepStarted
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture, cost_of
from tanas.networks.scoring import ScoringConfig
from tanas.spaces.space import SearchSpace
from tanas.strategies.base import Ledger, Outcome, Round, Stage, budget_refusal, scores_macs, training_macs
from tanas.strategies.driver import Compared, Problem, Proposal
from tanas.strategies.history import History
from tanas.strategies.mixture import Mixture
from tanas.strategies.schedules import Alternating, EqualWeights, Schedule
from tanas.tasks.task import Task

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
    final: str = "score"
    """The best of the search: 'last' (the winner of the last round, the paper's) or 'score' (the best score of the
    fixed short training, which winners and the given seed get unless there is one only: `score_winners`). It is
    known anyhow, comes of a training twice as long as a stage, and compares winners that no round held against each
    other; what it brings a whole search was not measured."""

    def suited_to(self, images: int) -> FuseConfig:
        """Return the settings for a task with that many training images: small tasks get more epochs."""
        training = self.schedule.training.suited_to(min(images, self.images or images))
        return replace(self, schedule=replace(self.schedule, training=training))

    @property
    def trains_alike(self) -> bool:
        """Whether the candidates of a round are trained alike, so that their losses can be held against each other.

        Not if alpha weighs their gradients while they train.
        """
        return not (isinstance(self.schedule, Alternating) and self.schedule.floor < 1)

    def __post_init__(self) -> None:
        check_choice(self.final, "final", "FuseConfig", FINALS)
        check_range(self.candidates, "candidates", "FuseConfig", low=2)
        check_range(self.rounds, "rounds", "FuseConfig", low=1)
        check_range(self.patience, "patience", "FuseConfig", low=1)
        for name in ("images", "validation_images"):
            if (most := getattr(self, name)) is not None:
                check_range(most, name, "FuseConfig", low=2)


Draw = Callable[[Problem, Architecture | None, int, Seed, Collection[Architecture]], tuple[Architecture, ...]]
"""(problem, kept seed if there is one, how many, seed of the draws, what must not be drawn) -> the new candidates of a
round, all different; fewer only if there are no more."""


def from_the_space(
    problem: Problem, best: Architecture | None, count: int, seed: Seed, without: Collection[Architecture]
) -> tuple[Architecture, ...]:
    """Draws candidates from the whole space; see `Draw`."""
    return problem.sample(count, seed, without)


@dataclass(frozen=True)
class Fuse:
    """The strategy of the paper. Source: section 3.3, Algorithm 2."""

    config: FuseConfig = FuseConfig()
    name: str = "fuse"
    draw: Draw = from_the_space
    """Where the new candidates of a round come from."""
    scoring: ScoringConfig | None = None
    """By which what wins a round is scored after the search: a budget sets aside what that costs. None: it does not."""
    scores: bool = False

    def propose(self, history: History, problem: Problem) -> Proposal:
        """M = (C - 1) candidates sampled from S; C = [seed, M]."""
        kept = self._kept(history, problem)
        seed = self._at(history, problem).seed.child("sample")
        seen = history.seen | frozenset(kept)
        best = kept[0] if kept else None
        drawn = self.draw(problem, best, self.config.candidates - len(kept), seed, seen)
        if not drawn:  # nothing new is left to compare with
            return Proposal(stopped="exhausted")
        candidates = self._paid(kept, drawn, history, problem)
        return Proposal(candidates=candidates, stopped="" if candidates else "budget")

    def compare(self, proposal: Proposal, history: History, problem: Problem) -> Compared:
        """While alpha has not converged: update C on X_train, update alpha on X_valid. Then seed = arg max alpha."""
        at, task, candidates = self._at(history, problem), self._sized(problem.task), proposal.candidates
        mixture = Mixture(candidates, task, at)  # c(x) = sum_i softmax(alpha)_i c_i(x)
        step = f"search {task.name}, round {len(history.rounds) + 1}"
        stages = self.config.schedule.run(
            mixture, task, at.drawing("order").heard_by(_renamed(at.listener, step))
        )
        spent = Ledger()
        for candidate, images in zip(candidates, mixture.images_seen, strict=True):
            macs = cost_of(candidate, task.shape, len(task.classes)).macs
            spent = spent.plus(candidate.key, macs, images)
        return Compared(round=self._round(mixture, stages, task), spent=spent)

    def rounds(self, problem: Problem) -> int:
        """See `Strategy.rounds`."""
        return self.config.rounds

    def ended(self, history: History, problem: Problem) -> str:
        """Whether I rounds are done, or the seed has stayed the best for some rounds in a row."""
        if len(history.rounds) >= self.config.rounds:
            return "rounds"
        # the first round has a seed that can stay the best only where one was given
        with_seed = history.rounds if problem.given else history.rounds[1:]
        lost = [number for number, past in enumerate(with_seed, start=1) if past.winner != 0]
        stayed = len(with_seed) - (lost[-1] if lost else 0)
        return "converged" if stayed >= self.config.patience else ""

    def expected_images(self, space: SearchSpace, task: Task, workers: int) -> float:
        """See `Strategy.expected_images`; all rounds are counted."""
        config, schedule, images = self.config, self.config.schedule, len(task.train)
        stages = schedule.expected_epochs / schedule.training.epochs
        compared = min(len(task.validation), config.validation_images or len(task.validation))
        # images are answered in a third of the time that training on them takes
        trained = schedule.training.epochs * min(images, config.images or images)
        each = sum([stages * (trained + compared / 3)] * config.rounds)
        return config.candidates * each / min(workers, config.candidates)

    def _at(self, history: History, problem: Problem) -> Context:
        """The context of the next round."""
        return problem.at.drawing("round", len(history.rounds))

    def _kept(self, history: History, problem: Problem) -> tuple[Architecture, ...]:
        """The seed that is kept: the best so far, or the one that was given."""
        return problem.given if history.best is None else (history.best,)

    def _round(self, mixture: Mixture, stages: tuple[Stage, ...], task: Task) -> Round:
        losses = [None if judged is None else judged.loss for judged in mixture.judgements(task)]
        return Round(
            candidates=mixture.candidates,
            keys=tuple(candidate.key for candidate in mixture.candidates),
            dropped=tuple(mixture.candidates[place].key for place in sorted(mixture.dropped)),
            stages=stages,
            winner=mixture.best,
            took_s=0.0,
            losses=tuple(losses) if self.config.trains_alike else (),
        )

    def _sized(self, task: Task) -> Task:
        """The images that a round trains and compares on.

        Drawn as `Task.limited` draws them: what a rival, or a score, trains on as many images are the same.
        """
        seed = Seed(task.split_seed).child("limited")
        train, validation = task.train, task.validation
        if self.config.images is not None:
            train = train.stratified(self.config.images, seed.child("train"))
        if self.config.validation_images is not None:
            validation = validation.stratified(self.config.validation_images, seed.child("validation"))
        return replace(task, train=train, validation=validation)

    def _paid(
        self,
        kept: tuple[Architecture, ...],
        drawn: tuple[Architecture, ...],
        history: History,
        problem: Problem,
    ) -> tuple[Architecture, ...]:
        """The candidates of a round that a budget pays for, at least two, or none.

        What is too dear is passed over, so that little stays unspent: in the first round for the cheaper ones, later
        for others that are drawn.

        Raises:
            BudgetError: it does not allow a first round.
        """
        if problem.budget_macs is None:
            return kept + drawn
        left = problem.budget_macs - history.ledger.macs

        def needs(candidates: Sequence[Architecture]) -> int:
            return self._needs(candidates, history, problem)

        if needs(kept + drawn) <= left:
            return kept + drawn
        if history.rounds:
            seed = self._at(history, problem).seed.child("sample")
            seen = history.seen | frozenset(kept)
            others = list(self.draw(problem, history.best, LOOKED_AT, seed, seen))
        else:
            others = sorted(drawn, key=lambda candidate: needs((candidate,)))
        paid = kept
        for candidate in others:
            if len(paid) < len(kept + drawn) and needs((*paid, candidate)) <= left:
                paid = (*paid, candidate)
        if len(paid) < 2 and not history.rounds:
            raise budget_refusal(left, needs((*kept, *others)[:2]))
        return paid if len(paid) >= 2 else ()

    def _needs(self, candidates: Sequence[Architecture], history: History, problem: Problem) -> int:
        """Multiply-adds of a round, and of all scores after it, at most."""
        images = len(self._sized(problem.task).train) * self.config.schedule.most_epochs
        needed = training_macs(sum(map(problem.macs, candidates)), images)
        if self.scoring is not None:
            most = min(len(problem.task.train), self.scoring.images) * self.scoring.training.epochs
            scored = {past.candidates[past.winner] for past in history.rounds} | {*problem.given}
            needed += scores_macs(scored, candidates, problem.macs, most)
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
    # of equal scores the later winner's: it has beaten the earlier
    order = [found for found in dict.fromkeys([outcome.best, *winners, *scores]) if found in scores]
    return replace(outcome, best=max(order, key=scores.__getitem__))


def _renamed(listener: Listener, step: str) -> Listener:
    """Renames the schedule's step after the round that it belongs to."""

    def renamed(event: Event) -> None:
        if isinstance(event, StepStarted | StepAdvanced | StepFinished):
            event = replace(event, step=step)
        listener(event)

    return renamed
