"""The loop of every search: ask a strategy what to try, let it compare that, and keep the books.

A strategy says which candidates come next (`propose`) and what they were worth (`compare`). The driver checks the
time, restores and saves the state, adds up the costs, and tells the listener.
"""

from __future__ import annotations

import math
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from tanas.ground.context import Context
from tanas.ground.errors import SearchError
from tanas.ground.events import StepAdvanced, StepFinished, StepStarted
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture, Cost, Network, build
from tanas.networks.scoring import unscored
from tanas.spaces.costs import cost_by_parts
from tanas.spaces.space import SearchSpace
from tanas.strategies.base import Ledger, Outcome, Round, RoundFinished, training_macs
from tanas.strategies.history import History
from tanas.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class Problem:
    """What a search is given."""

    space: SearchSpace
    task: Task
    """Without its test split."""
    at: Context
    """Seed, device, workers, deadline, listener and checkpoint; results do not depend on the number of workers."""
    seed_architecture: Architecture | None = None
    """The first kept seed; None: all of the first candidates are drawn."""
    budget_macs: int | None = None
    """Most multiply-adds of all trainings (`Ledger.macs`); the search stops before the training that would exceed
    it. None: no limit."""

    @property
    def given(self) -> tuple[Architecture, ...]:
        """The seed architecture in canonical form, if there is one."""
        return () if self.seed_architecture is None else (self.seed_architecture.canonical(),)

    def build(self, architecture: Architecture) -> Network:
        """Build a candidate's network; its initial weights do not depend on when it is tried."""
        seed = self.at.seed.child("weights", architecture.key)
        return build(architecture, self.task.shape, len(self.task.classes), seed)

    def sample(self, count: int, seed: Seed, without: Collection[Architecture]) -> tuple[Architecture, ...]:
        """Draw from the space; see `SearchSpace.sample`."""
        shape, classes = self.task.shape, len(self.task.classes)
        return self.space.sample(count, seed=seed, shape=shape, classes=classes, without=without)

    def cost(self, architecture: Architecture) -> Cost:
        """Return a candidate's parameters and its multiply-adds for one image."""
        return cost_by_parts(architecture, self.task.shape, len(self.task.classes))

    def macs(self, architecture: Architecture) -> int:
        """Multiply-adds of a candidate's answer to one image."""
        return self.cost(architecture).macs

    def price(self, images: int, *candidates: Architecture) -> int:
        """Multiply-adds of training each of some candidates on so many images; an image counts once an epoch."""
        return training_macs(sum(map(self.macs, candidates)), images)

    def spent(self, trained: Iterable[tuple[Architecture, int]]) -> Ledger:
        """Return what trainings cost, each given as (candidate, images)."""
        ledger = Ledger()
        for candidate, images in trained:
            ledger = ledger.plus(candidate.key, self.macs(candidate), images)
        return ledger

    def left(self, spent: Ledger) -> float:
        """Multiply-adds that are left of the budget; infinity if there is no limit."""
        return math.inf if self.budget_macs is None else self.budget_macs - spent.macs


@dataclass(frozen=True, kw_only=True)
class Proposal:
    """What a strategy would try next."""

    candidates: tuple[Architecture, ...] = ()
    """Empty: the search ends."""
    stopped: str = ""
    """Why the search ends; in a proposal with candidates, why no round can follow it."""
    spent: Ledger = field(default_factory=Ledger)
    """What finding these candidates cost."""
    epochs: int | None = None
    """Of their training, where it is not always the same."""


@dataclass(frozen=True, kw_only=True)
class Compared:
    """What the candidates of a round were worth."""

    round: Round | None
    """None: all failed, and the best is in the rounds before."""
    spent: Ledger
    """What comparing them cost."""
    state: Mapping[str, Any] = field(default_factory=dict)
    """Tensors that the next round continues from."""


class Strategy(Protocol):
    """A way to find the best architecture of a space for a task."""

    @property
    def name(self) -> str:
        """As settings name it."""

    @property
    def scores(self) -> bool:
        """Whether candidates are judged by the fixed short training, whose scores a dictionary keeps."""

    def expected_images(self, space: SearchSpace, task: Task, workers: int) -> float:
        """Training images of a whole search, divided by the candidates that train side by side; for estimates."""

    def rounds(self, problem: Problem) -> int:
        """Most rounds."""

    def ended(self, history: History, problem: Problem) -> str:
        """Return why the search ends here (`Outcome.stopped`), or '' if it goes on. The driver checks the time."""

    def propose(self, history: History, problem: Problem) -> Proposal:
        """Choose the candidates of the next round, within the budget.

        Raises:
            BudgetError: the budget does not pay for the first training.
        """

    def compare(self, proposal: Proposal, history: History, problem: Problem) -> Compared:
        """Train the candidates and say which is best.

        Raises:
            SearchError: every candidate failed.
        """


def search(strategy: Strategy, problem: Problem) -> Outcome:
    """Search a space by a strategy; an interrupted search resumes from its checkpoint.

    Raises:
        SearchError: every candidate failed, or there was none.
        BudgetError: the budget does not pay for the first training.
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
        made = () if compared.round is None else (replace(compared.round, took_s=time.monotonic() - began),)
        history = History(
            rounds=(*history.rounds, *made),
            ledger=history.ledger.with_all(proposal.spent).with_all(compared.spent),
            stopped=proposal.stopped or ("" if made else "rounds"),
            state=compared.state,
        )
        history.save(at.checkpoint)
        number = len(history.rounds)
        if made:
            at.tell(RoundFinished(task=problem.task.name, number=number, round=made[0]))
        note = "" if history.best is None else f"best {history.best.key}"
        at.tell(StepAdvanced(step=step, done=number, note=note))
    at.tell(StepFinished(step=step, note=stopped))
    return _outcome(strategy, history, problem, stopped)


def _stopped(strategy: Strategy, history: History, problem: Problem) -> str:
    """Why the search ends here, or ''. Without a given architecture, the first round is played whatever the time."""
    # before the time: a finished search stays finished when it is resumed after its limit
    if stopped := history.stopped or strategy.ended(history, problem):
        return stopped
    if not history.rounds and not problem.given:
        return ""
    last_s = history.rounds[-1].took_s if history.rounds else 0.0  # the next round will take about as long
    return "time" if problem.at.deadline() <= last_s else ""


def _outcome(strategy: Strategy, history: History, problem: Problem, stopped: str) -> Outcome:
    best = history.best or (problem.given[0] if problem.given else None)
    if best is None:
        raise SearchError(
            f"The space '{problem.space.name}' holds no architecture within its limits. Raise the limits."
        )
    if not history.rounds and stopped == "time":
        problem.at.say(f"The time limit leaves no time for a search, so {best.key} is used.")
    elif not history.rounds:
        problem.at.say(f"The space holds only one architecture ({best.key}), so it is used without a search.")
    seen = []
    for trial in history.trials:
        score = trial.judgement.score if strategy.scores and trial.judgement is not None else None
        seen.append(replace(unscored(trial.architecture, problem.task), score=score))
    return Outcome(
        best=best,
        rounds=history.rounds,
        seen=tuple(seen) or (unscored(best, problem.task),),
        stopped=stopped,
        ledger=history.ledger,
    )
