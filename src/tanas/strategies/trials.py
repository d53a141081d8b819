"""Candidates that are trained each on its own, and the strategies that judge by their scores."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

from tanas.ground.context import Context
from tanas.ground.errors import NonFiniteError
from tanas.ground.events import Listener, StepFinished
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture, Network
from tanas.networks.scoring import ScoringConfig, judged
from tanas.networks.threads import in_threads
from tanas.networks.training import Training
from tanas.spaces.space import SearchSpace
from tanas.strategies.base import Ledger, budget_refusal
from tanas.strategies.driver import Compared, Problem, Proposal
from tanas.strategies.history import History, Trial, round_of, trials_of
from tanas.tasks.task import Task


class Sizes(NamedTuple):
    """How many candidates a search tries: in all, in the first round, in every later one."""

    most: int
    first: int
    later: int


class ByScore(ABC):
    """A strategy whose candidates are each trained once on their own, and judged on validation.

    A round holds the best so far, which is not trained again, and the new candidates. Their short training is that of
    the scores of a dictionary, so no score is made twice.
    """

    scoring: ScoringConfig
    scores: bool = True

    @property
    @abstractmethod
    def sizes(self) -> Sizes:
        """How many candidates are tried; a given seed architecture counts."""

    @abstractmethod
    def draw(
        self, problem: Problem, trials: Sequence[Trial], count: int, seen: frozenset[Architecture], seed: Seed
    ) -> tuple[Architecture, ...]:
        """Choose `count` architectures to try after the trials so far, none of them in `seen`.

        Fewer are returned only if the space holds no more.
        """

    def expected_images(self, space: SearchSpace, task: Task, workers: int) -> float:
        """See `Strategy.expected_images`."""
        return images_of_scores(self.sizes.most, self.scoring, task, workers)

    def rounds(self, problem: Problem) -> int:
        """See `Strategy.rounds`."""
        most, first, later = self.sizes
        return 1 + math.ceil(max(most - first, 0) / later)

    def ended(self, history: History, problem: Problem) -> str:
        """See `Strategy.ended`."""
        return "rounds" if len(history.seen) >= self.sizes.most else ""

    def propose(self, history: History, problem: Problem) -> Proposal:
        """See `Strategy.propose`."""
        trials, given = history.trials, () if history.rounds else problem.given
        most, first, later = self.sizes
        wanted = min(later if history.rounds else first, most - len(trials)) - len(given)
        seed = problem.at.seed.child("round", len(history.rounds))
        drawn = self.draw(problem, trials, wanted, history.seen.union(problem.given), seed)
        if not (candidates := given + drawn):
            return Proposal(stopped="exhausted")
        paid = affordable(candidates, problem, history.ledger, images_of_a_score(self.scoring, problem.task))
        return Proposal(candidates=paid) if paid else Proposal(stopped="budget")

    def compare(self, proposal: Proposal, history: History, problem: Problem) -> Compared:
        """See `Strategy.compare`."""
        return compare_by_score(proposal.candidates, history, problem, self.scoring)


def compare_by_score(
    candidates: Sequence[Architecture], history: History, problem: Problem, scoring: ScoringConfig
) -> Compared:
    """Train candidates shortly, each on its own, and compare them with the best so far.

    Raises:
        SearchError: every candidate failed and there is no best so far.
    """
    networks = [problem.build(candidate) for candidate in candidates]
    tried = trained_alone(candidates, networks, scoring, problem, seed=problem.at.seed.child("order"))
    kept = tuple(trials_of(past)[past.winner] for past in history.rounds[-1:])
    spent = problem.spent((trial.architecture, trial.images) for trial in tried)
    return Compared(round=round_of((*kept, *tried)), spent=spent)


def images_of_a_score(scoring: ScoringConfig, task: Task) -> int:
    """Training images of one score; an image counts once an epoch."""
    return len(task.limited(scoring.images).train) * scoring.training.epochs


def images_of_scores(count: int, scoring: ScoringConfig, task: Task, workers: int) -> float:
    """Training images of each worker while `count` candidates are scored; see `Strategy.expected_images`."""
    return count * scoring.training.epochs * min(len(task.train), scoring.images) / min(workers, count)


def affordable(
    proposed: Sequence[Architecture], problem: Problem, ledger: Ledger, images: int
) -> tuple[Architecture, ...]:
    """Return the candidates whose trainings the budget pays for.

    A candidate that is too expensive is skipped: stopping there would leave up to a third of a small budget unspent.

    Args:
        proposed: in the first round a given seed architecture comes first.
        problem: what the search was given.
        ledger: what was spent.
        images: of one training; an image counts once an epoch.

    Raises:
        BudgetError: nothing was trained yet, and the budget does not pay for any candidate, or not for the given one.
    """
    left = problem.left(ledger)
    prices = [problem.price(images, candidate) for candidate in proposed]
    if prices and not ledger.images:
        needed = prices[0] if problem.given else min(prices)  # a given architecture is never left out
        if needed > left:
            raise budget_refusal(left, needed)
    paid: list[Architecture] = []
    for candidate, price in zip(proposed, prices, strict=True):
        if price <= left:
            paid.append(candidate)
            left -= price
    return tuple(paid)


def trained_alone(
    candidates: Sequence[Architecture],
    networks: Sequence[Network],
    scoring: ScoringConfig,
    problem: Problem,
    *,
    seed: Seed,
) -> tuple[Trial, ...]:
    """Train candidates on their own, side by side, and judge each on the validation split.

    Args:
        candidates: at least one.
        networks: of the candidates; they are trained in place.
        scoring: the images and the recipe.
        problem: what the search was given.
        seed: of the order of the images, which differs between candidates.

    Returns:
        their trials, in order; after the deadline only the first training begins.
    """
    task, config = problem.task.limited(scoring.images), scoring.training

    def trial(at: int, listener: Listener) -> Trial | None:
        if at > 0 and problem.at.deadline() <= 0:
            return None
        candidate, network, judgement = candidates[at], networks[at], None
        step = f"try {candidate.key} on {task.name}"
        context = Context(seed=seed.child(candidate.key), device=problem.at.device, listener=listener)
        training = Training(network, task.train, config, classes=len(task.classes), at=context, step=step)
        try:
            training.run()
            judgement = judged(network, task, device=problem.at.device)
        except NonFiniteError as error:
            if len(training.losses) < config.epochs:
                listener(StepFinished(step=step, note="not finite"))
            context.warn(f"{error} The candidate {candidate.key} was left out.")
        # the epoch that failed was paid for
        epochs = min(len(training.losses) + (judgement is None), config.epochs)
        return Trial(architecture=candidate, judgement=judgement, images=epochs * len(task.train))

    jobs = [partial(trial, at) for at in range(len(candidates))]
    made = in_threads(jobs, problem.at.workers, problem.at.listener, threads=1)
    return tuple(trial for trial in made if trial is not None)
