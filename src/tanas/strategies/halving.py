"""Successive halving: many candidates begin, and only the best of each rung are trained further."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from statistics import fmean

from tanas.ground.errors import check_range
from tanas.networks.architecture import Architecture
from tanas.networks.scoring import ScoringConfig
from tanas.spaces.space import SearchSpace
from tanas.strategies.base import budget_refusal, training_macs
from tanas.strategies.driver import Compared, Problem, Proposal
from tanas.strategies.history import History, round_of, trials_of
from tanas.strategies.trials import trained_alone
from tanas.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class HalvingConfig:
    """Sizes of the rungs."""

    candidates: int = 18
    """Most architectures of the first rung; a budget may pay for fewer. With eta 3 the rungs hold 18, 6 and 2, which
    cost 42 epochs of one architecture; twelve scores of four epochs cost 48."""
    eta: int = 3
    """One in so many goes on to the next rung, to so many times the epochs."""
    first_epochs: int = 1
    """Epochs of the first rung."""

    def __post_init__(self) -> None:
        for name, low in (("candidates", 1), ("eta", 2), ("first_epochs", 1)):
            check_range(getattr(self, name), name, "HalvingConfig", low=low)

    def rungs(self, candidates: int) -> tuple[tuple[int, int], ...]:
        """Return (candidates, epochs that are added to their training) of each rung, for so many in the first.

        It ends where one candidate would be left: there is nothing to compare it with.
        """
        made = [(candidates, self.first_epochs)]
        epochs = self.first_epochs
        while (left := made[-1][0] // self.eta) > 1:
            made.append((left, epochs * (self.eta - 1)))
            epochs *= self.eta
        return tuple(made)


@dataclass(frozen=True)
class Halving:
    """The best of a rung are trained `eta` times as long in the next.

    They continue from their own weights, with a learning rate that rises and falls anew. Every rung costs about as much
    as the first. A budget decides how many begin; the last rung takes the epochs that are left, up to `eta` times its
    own.

    Source: Jamieson and Talwalkar 2016, "Non-stochastic best arm identification and hyperparameter optimization";
    with any eta: Li et al. 2018, "Hyperband: a novel bandit-based approach to hyperparameter optimization".
    """

    config: HalvingConfig = HalvingConfig()
    scoring: ScoringConfig = field(default_factory=ScoringConfig)
    """Gives the images and the recipe; the epochs are the rungs' own."""
    name: str = "halving"
    scores: bool = False

    def expected_images(self, space: SearchSpace, task: Task, workers: int) -> float:
        """See `Strategy.expected_images`."""
        images = min(len(task.train), self.scoring.images)
        rungs = self.config.rungs(self.config.candidates)
        return sum(count * epochs * images / min(workers, count) for count, epochs in rungs)

    def rounds(self, problem: Problem) -> int:
        """See `Strategy.rounds`."""
        return len(self._rungs(problem))

    def ended(self, history: History, problem: Problem) -> str:
        """See `Strategy.ended`."""
        return self._whole(problem) if len(history.rounds) >= len(self._rungs(problem)) else ""

    def propose(self, history: History, problem: Problem) -> Proposal:
        """Take the best of the rung before, as many as the budget pays for; see `Strategy.propose`."""
        rungs, number, images = self._rungs(problem), len(history.rounds), self._images(problem)
        count, planned = rungs[number]
        entered = self._first(problem) if number == 0 else _survivors(history, count)
        if number > 0 and len(entered) == 1:  # the others failed: nothing is left to compare it with
            return Proposal(stopped=self._whole(problem))
        epochs, left = planned, problem.left(history.ledger)
        if number + 1 == len(rungs) and left < math.inf:
            affordable = int(left // problem.price(images, *entered))
            epochs = max(min(affordable, planned * self.config.eta), 1)
        counts = range(len(entered), 0, -1)
        paid = next((n for n in counts if problem.price(epochs * images, *entered[:n]) <= left), 0)
        if not paid:
            if not history.ledger.images:
                raise budget_refusal(left, problem.price(epochs * images, entered[0]))
            return Proposal(stopped="budget")
        cut = paid < len(entered) or epochs < planned
        return Proposal(candidates=entered[:paid], stopped="budget" if cut else "", epochs=epochs)

    def compare(self, proposal: Proposal, history: History, problem: Problem) -> Compared:
        """Continue training the candidates from where the rung before left them; see `Strategy.compare`."""
        number, candidates = len(history.rounds), proposal.candidates
        assert proposal.epochs is not None
        networks = [problem.build(candidate) for candidate in candidates]
        if number > 0:
            for candidate, network in zip(candidates, networks, strict=True):
                network.load_state_dict(history.state["weights"][candidate.key])
        rung = replace(self.scoring, training=replace(self.scoring.training, epochs=proposal.epochs))
        seed = problem.at.seed.child("order", number)
        tried = trained_alone(candidates, networks, rung, problem, seed=seed)
        # the next rung continues from these, and only holds some of them
        weights = {new.key: network.state_dict() for new, network in zip(candidates, networks, strict=True)}
        failed = number > 0 and all(trial.judgement is None for trial in tried)
        return Compared(
            round=None if failed else round_of(tried),
            spent=problem.spent((trial.architecture, trial.images) for trial in tried),
            state={"weights": weights},
        )

    def _images(self, problem: Problem) -> int:
        """Training images of an epoch."""
        return len(problem.task.limited(self.scoring.images).train)

    def _drawn(self, problem: Problem) -> tuple[Architecture, ...]:
        """What the first rung can hold, the given seed architecture before the drawn ones."""
        count, seed = self.config.candidates - len(problem.given), problem.at.seed.child("sample")
        return problem.given + problem.sample(count, seed, problem.given)

    def _first(self, problem: Problem) -> tuple[Architecture, ...]:
        """The candidates of the first rung: as many as all rungs can be paid for, were all of mean cost."""
        drawn, epoch = self._drawn(problem), training_macs(1, self._images(problem))
        if problem.budget_macs is None:
            return drawn
        for count in range(len(drawn), 1, -1):
            epochs = sum(some * epochs for some, epochs in self.config.rungs(count))
            mean = fmean(map(problem.macs, drawn[:count]))
            if epoch * mean * epochs <= problem.budget_macs:
                return drawn[:count]
        return drawn[:1]

    def _rungs(self, problem: Problem) -> tuple[tuple[int, int], ...]:
        """See `HalvingConfig.rungs`; none if nothing can begin."""
        first = self._first(problem)
        return self.config.rungs(len(first)) if first else ()

    def _whole(self, problem: Problem) -> str:
        """Why a search ends that went through all of its rungs."""
        drawn = self._drawn(problem)
        if len(self._first(problem)) < len(drawn):
            return "budget"
        return "exhausted" if len(drawn) < self.config.candidates else "rounds"


def _survivors(history: History, count: int) -> tuple[Architecture, ...]:
    """The best of the last rung, best first; the earlier of equal ones."""
    trials = trials_of(history.rounds[-1])
    known = [(trial.judgement.rank, trial.architecture) for trial in trials if trial.judgement]
    known.sort(key=lambda pair: pair[0], reverse=True)
    return tuple(architecture for _, architecture in known[:count])
