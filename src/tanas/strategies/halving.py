"""Successive halving: many candidates begin, and only the best of each rung are trained further."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean

from tanas.ground.errors import check_range
from tanas.networks.architecture import Architecture
from tanas.networks.scoring import ScoringConfig
from tanas.spaces.space import SearchSpace
from tanas.strategies.base import budget_refusal, training_macs
from tanas.strategies.driver import Compared, Problem, Proposal
from tanas.strategies.history import History, round_of, trials_of
from tanas.strategies.trials import cost_of_trials, trained_alone
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
        check_range(self.candidates, "candidates", "HalvingConfig", low=1)
        check_range(self.eta, "eta", "HalvingConfig", low=2)
        check_range(self.first_epochs, "first_epochs", "HalvingConfig", low=1)

    def rungs(self, candidates: int) -> tuple[tuple[int, int], ...]:
        """(candidates, epochs that are added to their training) of each rung.

        It ends where one candidate would be left: there is nothing to compare it with.

        Args:
            candidates: of the first rung: `candidates`, or fewer if the space holds no more.
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

    They go on from their own weights, with a learning rate that rises and falls anew. Epochs grow as the candidates
    fall, so that every rung of a search costs about as much as the first.

    A budget decides how many begin. The last rung takes as many epochs as are left, up to `eta` times its own.

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
        """The survivors of the rung before, as many as the budget pays for; see `Strategy.propose`."""
        bill, rungs, number = self._bill(problem), self._rungs(problem), len(history.rounds)
        count, planned = rungs[number]
        entered = self._first(problem) if number == 0 else _survivors(history, count)
        if number > 0 and len(entered) == 1:  # the others failed: nothing is left to compare it with
            return Proposal(stopped=self._whole(problem))
        epochs = planned
        if number + 1 == len(rungs) and problem.budget_macs is not None:
            epochs = bill.epochs_left(entered, history, most=planned * self.config.eta)
        paid = bill.paid(entered, history, epochs)
        if not paid:
            if not history.ledger.images:
                raise budget_refusal(problem.budget_macs or 0, bill.needed(entered[:1], epochs))
            return Proposal(stopped="budget")
        cut = len(paid) < len(entered) or epochs < planned
        return Proposal(candidates=paid, stopped="budget" if cut else "", epochs=epochs)

    def compare(self, proposal: Proposal, history: History, problem: Problem) -> Compared:
        """Trains the candidates on from where the rung before left them; see `Strategy.compare`."""
        number, candidates = len(history.rounds), proposal.candidates
        assert proposal.epochs is not None
        networks = [problem.build(candidate) for candidate in candidates]
        if number > 0:
            for candidate, network in zip(candidates, networks, strict=True):
                network.load_state_dict(history.state["weights"][candidate.key])
        tried = trained_alone(
            candidates,
            networks,
            problem.task.limited(self.scoring.images),
            replace(self.scoring.training, epochs=proposal.epochs),
            problem,
            seed=problem.at.seed.child("order", number),
        )
        # of the next rung, which only holds some of these
        weights = {one.key: network.state_dict() for one, network in zip(candidates, networks, strict=True)}
        failed = number > 0 and all(trial.judgement is None for trial in tried)
        return Compared(
            round=None if failed else round_of(tried),
            spent=cost_of_trials(tried, problem),
            state={"weights": weights},
        )

    def _bill(self, problem: Problem) -> _Bill:
        return _Bill(problem, images=len(problem.task.limited(self.scoring.images).train))

    def _first(self, problem: Problem) -> tuple[Architecture, ...]:
        """The candidates of the first rung: the same again in a search that goes on."""
        drawn = self._drawn(problem)
        return drawn[: self._bill(problem).most_that_begin(drawn, self.config)]

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

    def _drawn(self, problem: Problem) -> tuple[Architecture, ...]:
        """What the first rung can hold, the given seed architecture before the drawn ones."""
        given = problem.given
        return given + problem.sample(
            self.config.candidates - len(given), problem.at.seed.child("sample"), given
        )


@dataclass(frozen=True)
class _Bill:
    """What rungs cost, held against the budget."""

    problem: Problem
    images: int
    """Training images of an epoch."""

    def most_that_begin(self, drawn: Sequence[Architecture], config: HalvingConfig) -> int:
        """How many of some candidates can begin so that all rungs can be paid for, were all of mean cost."""
        if self.problem.budget_macs is None:
            return len(drawn)
        for count in range(len(drawn), 1, -1):
            epochs = sum(some * epochs for some, epochs in config.rungs(count))
            mean = fmean(self.problem.macs(one) for one in drawn[:count])
            if training_macs(1, self.images) * mean * epochs <= self.problem.budget_macs:
                return count
        return min(len(drawn), 1)

    def needed(self, candidates: Sequence[Architecture], epochs: int) -> int:
        """Multiply-adds of a rung."""
        return training_macs(sum(map(self.problem.macs, candidates)), epochs * self.images)

    def paid(
        self, candidates: Sequence[Architecture], history: History, epochs: int
    ) -> tuple[Architecture, ...]:
        """The first of some candidates, as many as the rest of the budget pays for."""
        if self.problem.budget_macs is None:
            return tuple(candidates)
        left = self.problem.budget_macs - history.ledger.macs
        counts = range(len(candidates), 0, -1)
        return tuple(
            candidates[: next((n for n in counts if self.needed(candidates[:n], epochs) <= left), 0)]
        )

    def epochs_left(self, candidates: Sequence[Architecture], history: History, *, most: int) -> int:
        """Epochs of a last rung: what is left for all of it; at least one."""
        assert self.problem.budget_macs is not None
        left = self.problem.budget_macs - history.ledger.macs
        return max(min(left // self.needed(candidates, 1), most), 1)


def _survivors(history: History, count: int) -> tuple[Architecture, ...]:
    """The best of the last rung, best first; the earlier of equal ones."""
    known = [
        (trial.judgement.rank, trial.architecture)
        for trial in trials_of(history.rounds[-1])
        if trial.judgement
    ]
    return tuple(one for _, one in sorted(known, key=lambda pair: pair[0], reverse=True)[:count])
