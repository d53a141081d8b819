"""Fusion Search (FUSE), Algorithm 2: candidates trained jointly under softmax-weighted outputs."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace

from tanas.ground.errors import check_choice, check_range
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture
from tanas.networks.scoring import ScoringConfig
from tanas.spaces.space import SearchSpace
from tanas.strategies.base import Outcome, Round, budget_refusal
from tanas.strategies.driver import Compared, Problem, Proposal
from tanas.strategies.history import History
from tanas.strategies.mixture import Mixture
from tanas.strategies.schedules import Alternating, EqualWeights, Schedule
from tanas.tasks.task import Task

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
    fixed short training, which winners and the given seed get unless there is only one round: `score_winners`). The
    effect of 'score' on a whole search was not measured."""

    def __post_init__(self) -> None:
        check_choice(self.final, "final", "FuseConfig", ("last", "score"))
        check_range(self.candidates, "candidates", "FuseConfig", low=2)
        check_range(self.rounds, "rounds", "FuseConfig", low=1)
        check_range(self.patience, "patience", "FuseConfig", low=1)
        for name in ("images", "validation_images"):
            if (most := getattr(self, name)) is not None:
                check_range(most, name, "FuseConfig", low=2)

    def suited_to(self, images: int) -> FuseConfig:
        """Return the settings for a task with that many training images: small tasks get more epochs."""
        training = self.schedule.training.suited_to(min(images, self.images or images))
        return replace(self, schedule=replace(self.schedule, training=training))

    @property
    def most_epochs(self) -> int:
        """Epochs of a round, at most."""
        return self.schedule.stages * self.schedule.training.epochs


Candidates = tuple[Architecture, ...]
Draw = Callable[[Architecture | None, int, Seed, Collection[Architecture]], Candidates]
"""(kept seed if there is one, how many, seed of the draws, what must not be drawn) -> the new candidates of a round,
all different; fewer only if there are no more."""


@dataclass(frozen=True)
class Fuse:
    """The strategy of the paper, whose loop is the driver's. Source: section 3.3, Algorithm 2."""

    config: FuseConfig = FuseConfig()
    name: str = "fuse"
    draw: Draw | None = None
    """Where the new candidates of a round come from; None: from the space."""
    scoring: ScoringConfig | None = None
    """The short training of each round's winner after the search, whose cost a budget sets aside. None: no scores."""
    scores: bool = False

    def propose(self, history: History, problem: Problem) -> Proposal:
        """M = (C - 1) candidates sampled from S; C = [seed, M]."""
        seed = self._kept(history, problem)
        drawn = self._sample(self.config.candidates - len(seed), history, problem)
        if not drawn:  # nothing new is left to compare with
            return Proposal(stopped="exhausted")
        candidates = self._paid(seed, drawn, history, problem)
        return Proposal(candidates=candidates, stopped="" if candidates else "budget")

    def compare(self, proposal: Proposal, history: History, problem: Problem) -> Compared:
        """While alpha has not converged: update C on X_train, update alpha on X_valid."""
        number, task, candidates = len(history.rounds), self._sized(problem.task), proposal.candidates
        at, step = problem.at.drawing("round", number), f"search {task.name}, round {number + 1}"
        mixture = Mixture(candidates, task, at, step=step)  # c(x) = sum_i softmax(alpha)_i c_i(x)
        stages = self.config.schedule.run(mixture, task, at.drawing("order"))
        losses = tuple(None if judged is None else judged.loss for judged in mixture.judgements(task))
        made = Round(
            candidates=candidates,
            keys=tuple(candidate.key for candidate in candidates),
            dropped=tuple(candidates[place].key for place in sorted(mixture.dropped)),
            stages=stages,
            winner=mixture.best,  # seed = arg max alpha
            took_s=0.0,
            # candidates whose gradients alpha weighs are not trained alike, so their losses do not compare
            losses=losses if self.config.schedule.floor == 1 else (),
        )
        return Compared(round=made, spent=problem.spent(zip(candidates, mixture.images_seen, strict=True)))

    def rounds(self, problem: Problem) -> int:
        """See `Strategy.rounds`."""
        return self.config.rounds

    def ended(self, history: History, problem: Problem) -> str:
        """Whether I rounds are done, or the seed has stayed the best for some rounds in a row."""
        if len(history.rounds) >= self.config.rounds:
            return "rounds"
        # the first round has a seed that can stay the best only where one was given
        with_seed = history.rounds if problem.given else history.rounds[1:]
        recent = with_seed[-self.config.patience :]
        stayed = len(recent) == self.config.patience and all(past.winner == 0 for past in recent)
        return "converged" if stayed else ""

    def expected_images(self, space: SearchSpace, task: Task, workers: int) -> float:
        """See `Strategy.expected_images`; all rounds are counted."""
        config, schedule, images = self.config, self.config.schedule, len(task.train)
        # alpha is taken to converge after half of the stages
        stages = schedule.stages / 2 if isinstance(schedule, Alternating) else 1
        compared = min(len(task.validation), config.validation_images or len(task.validation))
        # images are answered in a third of the time that training on them takes
        trained = schedule.training.epochs * min(images, config.images or images)
        each = config.rounds * stages * (trained + compared / 3)
        return config.candidates * each / min(workers, config.candidates)

    def _kept(self, history: History, problem: Problem) -> Candidates:
        """The best so far, or the seed that was given."""
        return problem.given if history.best is None else (history.best,)

    def _sample(self, count: int, history: History, problem: Problem) -> Candidates:
        """New candidates of the next round; the first of many are those that fewer would be."""
        seed = problem.at.drawing("round", len(history.rounds)).seed.child("sample")
        seen = history.seen.union(problem.given)
        if self.draw is not None:
            return self.draw(next(iter(self._kept(history, problem)), None), count, seed, seen)
        return problem.sample(count, seed, seen)

    def _sized(self, task: Task) -> Task:
        """The images that a round trains and compares on, drawn like those of a score (`Task.limited`)."""
        seed = Seed(task.split_seed).child("limited")
        train, validation = task.train, task.validation
        if self.config.images is not None:
            train = train.stratified(self.config.images, seed.child("train"))
        if self.config.validation_images is not None:
            validation = validation.stratified(self.config.validation_images, seed.child("validation"))
        return replace(task, train=train, validation=validation)

    def _paid(self, kept: Candidates, drawn: Candidates, history: History, problem: Problem) -> Candidates:
        """The candidates of a round that the budget pays for, at least two, or none.

        Candidates that are too expensive are skipped: in the first round for cheaper ones, later for others.
        """
        if problem.budget_macs is None or self._price(kept + drawn, history, problem) <= problem.budget_macs:
            return kept + drawn
        cheapest = tuple(sorted(drawn, key=problem.macs))
        others = self._sample(LOOKED_AT, history, problem) if history.rounds else cheapest
        paid = kept
        for candidate in others:
            fits = self._price((*paid, candidate), history, problem) <= problem.budget_macs
            if len(paid) < len(kept + drawn) and fits:
                paid = (*paid, candidate)
        if len(paid) < 2 and not history.rounds:
            needed = self._price((*kept, *others)[:2], history, problem)
            raise budget_refusal(problem.budget_macs, needed)
        return paid if len(paid) >= 2 else ()

    def _price(self, candidates: Candidates, history: History, problem: Problem) -> int:
        """Multiply-adds of the search with a round of these candidates and, at most, all scores after it."""
        images = len(self._sized(problem.task).train) * self.config.most_epochs
        spent = history.ledger.macs + problem.price(images, *candidates)
        if self.scoring is None:
            return spent
        images = min(len(problem.task.train), self.scoring.images) * self.scoring.training.epochs
        # earlier winners and the given seed are scored in any case, and one of these candidates may be
        scored = {past.candidates[past.winner] for past in history.rounds}.union(problem.given)
        most = max((problem.price(images, new) for new in candidates if new not in scored), default=0)
        return spent + problem.price(images, *scored) + most


def final_choice(outcome: Outcome, config: FuseConfig) -> Outcome:
    """Return the outcome with the architecture that the search chooses in the end (`FuseConfig.final`)."""
    scores = {seen.architecture: seen.score for seen in outcome.seen if seen.score is not None}
    if config.final == "last" or not scores:
        return outcome
    winners = [past.candidates[past.winner] for past in reversed(outcome.rounds)]
    # of equal scores the later winner's: it has beaten the earlier
    order = [found for found in dict.fromkeys([outcome.best, *winners, *scores]) if found in scores]
    return replace(outcome, best=max(order, key=scores.__getitem__))
