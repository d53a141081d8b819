"""The loop of every search: ask a strategy what to try, let it compare that, and keep the books.

A strategy says which candidates come next (`propose`) and what they were worth (`compare`). The driver asks whether
time is left, restores and saves the state, adds up the costs, and tells the listener.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from tanas.ground.context import Context
from tanas.ground.errors import SearchError
from tanas.ground.events import StepAdvanced, StepFinished, StepStarted, Told
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture, Network, build
from tanas.networks.scoring import unscored
from tanas.spaces.costs import cost_by_parts
from tanas.spaces.space import SearchSpace
from tanas.strategies.base import Ledger, Outcome, Round, RoundFinished
from tanas.strategies.history import History
from tanas.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What a search is given."""

    space: SearchSpace
    """Where to look."""
    task: Task
    """What for, without its test split."""
    at: Context
    """With what; results do not depend on the number of workers."""
    seed_architecture: Architecture | None = None
    """The first kept seed; None: the first candidates are all drawn."""
    budget_macs: int | None = None
    """Most multiply-adds of all trainings (`Ledger.macs`); the search stops before the training that would exceed
    it. None: no limit."""

    @property
    def given(self) -> tuple[Architecture, ...]:
        """The seed architecture in canonical form, if there is one."""
        return () if self.seed_architecture is None else (self.seed_architecture.canonical(),)

    def build(self, architecture: Architecture) -> Network:
        """A candidate's network; its initial weights are the same whenever and wherever it is tried."""
        seed = self.at.seed.child("weights", architecture.key)
        return build(architecture, self.task.shape, len(self.task.classes), seed)

    def sample(self, count: int, seed: Seed, without: Collection[Architecture]) -> tuple[Architecture, ...]:
        """Draws from the space; see `SearchSpace.sample`."""
        shape, classes = self.task.shape, len(self.task.classes)
        return self.space.sample(count, seed=seed, shape=shape, classes=classes, without=without)

    def macs(self, architecture: Architecture) -> int:
        """Multiply-adds of a candidate's answer to one image."""
        return cost_by_parts(architecture, self.task.shape, len(self.task.classes)).macs


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """What a strategy would try next."""

    candidates: tuple[Architecture, ...] = ()
    """None: the search ends."""
    stopped: str = ""
    """Why it ends; of a proposal with candidates, why no round can follow this one."""
    spent: Ledger = field(default_factory=Ledger)
    """What finding these candidates cost."""
    epochs: int | None = None
    """Of their training, where it is not always the same."""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """What the candidates of a round were worth."""

    round: Round | None
    """None: all failed, and the rounds before have the best."""
    spent: Ledger
    """What comparing them cost."""
    state: Mapping[str, Any] = field(default_factory=dict)
    """Tensors that the next round goes on from."""


class Strategy(Protocol):
    """A way to find the best architecture of a space for a task: which candidates are next, and what they are worth."""

    @property
    def name(self) -> str:
        """As settings name it."""

    @property
    def scores(self) -> bool:
        """Whether its candidates are judged by the fixed short training, whose scores a dictionary keeps."""

    def expected_images(self, space: SearchSpace, task: Task, workers: int) -> float:
        """How many images a candidate could be trained on in the time that a whole search takes; for estimates.

        Args:
            space: where it searches.
            task: what for.
            workers: candidates that are trained side by side.
        """

    def rounds(self, problem: Problem) -> int:
        """Most rounds."""

    def ended(self, history: History, problem: Problem) -> str:
        """Why the search ends here, see `Outcome.stopped`; empty if it goes on. Time is the driver's concern."""

    def propose(self, history: History, problem: Problem) -> Proposal:
        """The candidates of the next round, within the budget.

        Raises:
            BudgetError: the budget does not allow a beginning.
        """

    def compare(self, proposal: Proposal, history: History, problem: Problem) -> Compared:
        """Trains the candidates and says which is best.

        Raises:
            SearchError: every candidate failed.
        """


def search(strategy: Strategy, problem: Problem) -> Outcome:
    """Searches a space by a strategy; a search that was killed goes on from its checkpoint.

    Raises:
        SearchError: every candidate failed, or there was none.
        BudgetError: the budget does not allow a beginning.
    """
    problem = replace(problem, task=problem.task.without_test())
    at, step = problem.at, f"search {problem.task.name}"
    history = History.restored(at.checkpoint)
    at.tell(StepStarted(step=step, total=strategy.rounds(problem), unit="rounds"))
    while not (stopped := _stopped(strategy, history, problem)):
        began = time.monotonic()
        proposal = strategy.propose(history, problem)
        if not proposal.candidates:
            stopped = proposal.stopped
            break
        compared = strategy.compare(proposal, history, problem)
        history = _after(history, proposal, compared, took_s=time.monotonic() - began)
        history.save(at.checkpoint)
        number = len(history.rounds)
        if compared.round is not None:
            at.tell(RoundFinished(task=problem.task.name, number=number, round=history.rounds[-1]))
        at.tell(StepAdvanced(step=step, done=number, note=_note(history)))
    at.tell(StepFinished(step=step, note=stopped))
    return _outcome(strategy, history, problem, stopped)


def _stopped(strategy: Strategy, history: History, problem: Problem) -> str:
    """Why the search ends here; empty if it goes on. The first round is played whatever the time."""
    # before the time: a search that had ended has ended, too, when it is resumed after its limit
    if stopped := history.stopped or strategy.ended(history, problem):
        return stopped
    return "time" if history.rounds and problem.at.deadline() <= 0 else ""


def _after(history: History, proposal: Proposal, compared: Compared, *, took_s: float) -> History:
    """The history with one more round."""
    made = () if compared.round is None else (replace(compared.round, took_s=took_s),)
    return History(
        rounds=(*history.rounds, *made),
        ledger=history.ledger.with_all(proposal.spent).with_all(compared.spent),
        stopped=proposal.stopped or ("" if made else "rounds"),
        state=compared.state,
    )


def _note(history: History) -> str:
    """What the search shows of itself."""
    return f"best {history.best.key}" if history.best is not None else ""


def _outcome(strategy: Strategy, history: History, problem: Problem, stopped: str) -> Outcome:
    best = history.best or (problem.given[0] if problem.given else None)
    if best is None:
        raise SearchError(
            f"The space '{problem.space.name}' holds no architecture within its limits. Raise the limits."
        )
    if not history.rounds:
        message = f"The space holds only one architecture ({best.key}), so it is used without a search."
        problem.at.tell(Told(message=message))
    seen = {trial.architecture: unscored(trial.architecture, problem.task) for trial in history.trials}
    if strategy.scores:
        for trial in history.trials:
            if trial.judgement is not None:
                seen[trial.architecture] = replace(seen[trial.architecture], score=trial.judgement.score)
    return Outcome(
        best=best,
        rounds=history.rounds,
        seen=tuple(seen.values()) or (unscored(best, problem.task),),
        stopped=stopped,
        ledger=history.ledger,
    )
