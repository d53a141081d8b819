"""Candidates that are trained each on its own, and what strategies that judge by their scores have in common."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import partial

from tanas.ground.context import Context
from tanas.ground.errors import NonFiniteError
from tanas.ground.events import Event, Listener, StepAdvanced, StepFinished, Warned
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture, Network
from tanas.networks.scoring import Judgement, ScoringConfig, judged
from tanas.networks.threads import in_threads
from tanas.networks.training import TrainingConfig, fit
from tanas.spaces.space import SearchSpace
from tanas.strategies.base import Ledger, budget_refusal, training_macs
from tanas.strategies.driver import Compared, Problem, Proposal
from tanas.strategies.history import History, Trial, round_of
from tanas.tasks.task import Task


class ByScore(ABC):
    """A strategy whose candidates are each trained once on their own, and judged on validation.

    A round holds the best so far, which is not trained again, and the new ones. The short training is the one behind
    the scores of a dictionary, so that they are not made twice.
    """

    scoring: ScoringConfig
    scores: bool = True

    @property
    @abstractmethod
    def most(self) -> int:
        """Candidates in all."""

    @property
    @abstractmethod
    def first(self) -> int:
        """Candidates of the first round, the given seed architecture among them."""

    @property
    @abstractmethod
    def batch(self) -> int:
        """Candidates of every later round."""

    @abstractmethod
    def draw(
        self,
        problem: Problem,
        trials: tuple[Trial, ...],
        count: int,
        seen: frozenset[Architecture],
        seed: Seed,
    ) -> tuple[Architecture, ...]:
        """What to try next; fewer only if the space holds no more.

        Args:
            problem: what the search was given.
            trials: so far.
            count: how many are wanted.
            seen: what must not be proposed.
            seed: of the draws.
        """

    def expected_images(self, space: SearchSpace, task: Task, workers: int) -> float:
        """See `Strategy.expected_images`."""
        return images_of_scores(self.most, self.scoring, task, workers)

    def rounds(self, problem: Problem) -> int:
        """See `Strategy.rounds`."""
        return 1 + math.ceil(max(self.most - self.first, 0) / self.batch)

    def ended(self, history: History, problem: Problem) -> str:
        """See `Strategy.ended`."""
        return "rounds" if len(history.trials) >= self.most else ""

    def propose(self, history: History, problem: Problem) -> Proposal:
        """See `Strategy.propose`."""
        trials, seeded = history.trials, () if history.rounds else problem.given
        wanted = min(self.batch if history.rounds else self.first, self.most - len(trials))
        seen = frozenset([*problem.given, *(trial.architecture for trial in trials)])
        seed = problem.at.seed.child("round", len(history.rounds))
        candidates = seeded + self.draw(problem, trials, wanted - len(seeded), seen, seed)
        if not candidates:
            return Proposal(stopped="exhausted")
        images = images_of_a_score(self.scoring, problem.task)
        paid = affordable(candidates, problem, history.ledger, images, pass_over=True)
        return Proposal(candidates=paid) if paid else Proposal(stopped="budget")

    def compare(self, proposal: Proposal, history: History, problem: Problem) -> Compared:
        """See `Strategy.compare`."""
        return compare_by_score(proposal.candidates, history, problem, self.scoring)


def compare_by_score(
    candidates: Sequence[Architecture], history: History, problem: Problem, scoring: ScoringConfig
) -> Compared:
    """Trains candidates shortly, each on its own, and holds them against the best so far.

    Raises:
        SearchError: neither that nor any candidate was judged.
    """
    tried = trained_alone(
        candidates,
        [problem.build(candidate) for candidate in candidates],
        problem.task.limited(scoring.images),
        scoring.training,
        problem,
        seed=problem.at.seed.child("order"),
    )
    kept = () if history.winner is None else (history.winner,)
    return Compared(round=round_of((*kept, *tried)), spent=cost_of_trials(tried, problem))


def cost_of_trials(trials: Sequence[Trial], problem: Problem) -> Ledger:
    """What trainings cost."""
    ledger = Ledger()
    for trial in trials:
        ledger = ledger.plus(trial.architecture.key, problem.macs(trial.architecture), trial.images)
    return ledger


def images_of_a_score(scoring: ScoringConfig, task: Task) -> int:
    """Training images of one score; an image counts once an epoch."""
    return len(task.limited(scoring.images).train) * scoring.training.epochs


def images_of_scores(count: int, scoring: ScoringConfig, task: Task, workers: int) -> float:
    """Images that each of some workers trains on while so many candidates are scored; see `Strategy`."""
    return count * scoring.training.epochs * min(len(task.train), scoring.images) / min(workers, count)


def affordable(
    proposed: Sequence[Architecture],
    problem: Problem,
    ledger: Ledger,
    images: int,
    *,
    pass_over: bool = False,
) -> tuple[Architecture, ...]:
    """The candidates whose trainings the budget allows.

    Args:
        proposed: in order.
        problem: what the search was given, its budget among it.
        ledger: what was spent.
        images: of one training; an image counts once an epoch.
        pass_over: whether a candidate that is too dear is left out and those after it are still taken: a search that
            ended at the first such one would leave up to a third of a small budget unspent. Otherwise it ends there.

    Raises:
        SettingError: nothing was trained yet, and the budget allows no beginning.
    """
    if problem.budget_macs is None:
        return tuple(proposed)
    begins = not ledger.images
    must_begin = (
        not pass_over or problem.seed_architecture is not None
    )  # a given architecture is never left out
    costs = [training_macs(problem.macs(one), images) for one in proposed]
    paid: list[Architecture] = []
    spent = ledger.macs
    for at, needed in enumerate(costs):
        if spent + needed <= problem.budget_macs:
            paid.append(proposed[at])
            spent += needed
        elif not pass_over or (begins and must_begin and at == 0):
            break
    if costs and not paid and begins:
        raise budget_refusal(problem.budget_macs, costs[0] if must_begin else min(costs))
    return tuple(paid)


def trained_alone(
    candidates: Sequence[Architecture],
    networks: Sequence[Network],
    task: Task,
    training: TrainingConfig,
    problem: Problem,
    *,
    seed: Seed,
) -> tuple[Trial, ...]:
    """Trains candidates on their own, side by side, and judges each on the validation split.

    Args:
        candidates: at least one.
        networks: of the candidates; they are trained in place.
        task: the images to train on and to judge by.
        training: the recipe.
        problem: device, workers, deadline and listener.
        seed: of the order of the images, which is the candidate's own.

    Returns:
        a trial of each, in order; those left out that would have begun after the deadline. The first always begins.
    """
    classes = len(task.classes)

    def trial(at: int, listener: Listener) -> Trial | None:
        if at > 0 and problem.at.deadline() <= 0:
            return None
        candidate, network = candidates[at], networks[at]
        step = f"try {candidate.key} on {task.name}"
        epochs, finished = 0, False

        def told(event: Event) -> None:
            nonlocal epochs, finished
            epochs += isinstance(event, StepAdvanced)
            finished = isinstance(event, StepFinished)
            listener(event)

        judgement: Judgement | None = None
        try:
            fit(
                network,
                task.train,
                training,
                classes=classes,
                at=Context(seed=seed.child(candidate.key), device=problem.at.device, listener=told),
                step=step,
            )
            judgement = judged(network, task, device=problem.at.device)
        except NonFiniteError as error:
            epochs = min(epochs + 1, training.epochs)  # the epoch that failed was paid for
            if not finished:
                told(StepFinished(step=step, note="not finite"))
            told(Warned(message=f"{error} The candidate {candidate.key} was left out."))
        return Trial(architecture=candidate, judgement=judgement, images=epochs * len(task.train))

    jobs = [partial(trial, at) for at in range(len(candidates))]
    made = in_threads(jobs, problem.at.workers, problem.at.listener, threads=1)
    return tuple(one for one in made if one is not None)
