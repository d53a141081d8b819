"""Successive halving: many candidates begin, and only the best of each rung are trained further."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from statistics import fmean
from typing import Any

from tanas.ground.errors import check_range
from tanas.ground.events import StepAdvanced, StepFinished, StepStarted
from tanas.networks.architecture import Architecture
from tanas.networks.scoring import ScoringConfig
from tanas.spaces.space import SearchSpace
from tanas.strategies.base import Deadline, Outcome, budget_refusal, training_macs
from tanas.strategies.trials import Asked, ByAsking, Log, outcome_of, trained_alone, trials_of
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
class Halving(ByAsking):
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

    def expected_images(self, space: SearchSpace, task: Task, workers: int) -> float:
        """See `Strategy.expected_images`."""
        images = min(len(task.train), self.scoring.images)
        rungs = self.config.rungs(self.config.candidates)
        return sum(count * epochs * images / min(workers, count) for count, epochs in rungs)

    def find(self, asked: Asked) -> Outcome:
        """Searches; see `Strategy.search`."""
        listener, checkpoint = asked.listener, asked.checkpoint
        small = asked.task.limited(self.scoring.images)
        log, stopped = Log.restored(checkpoint), ""
        weights: dict[str, Any] = (checkpoint.load("log") or {}).get("weights", {})
        step = f"search {asked.task.name}"
        bill = _Bill(asked, images=len(small.train))
        drawn = self._drawn(asked)  # the same again in a search that goes on
        first = drawn[: bill.most_that_begin(drawn, self.config)]
        rungs = self.config.rungs(len(first)) if first else ()
        listener(StepStarted(step=step, total=len(rungs), unit="rounds"))
        while not (stopped := stopped or log.stopped or _ended(log, len(rungs), asked.deadline)):
            began, number = time.monotonic(), len(log.rounds)
            count, planned = rungs[number]
            epochs = planned
            entered = first if number == 0 else _survivors(log, count)
            if number > 0 and len(entered) == 1:  # the others failed: nothing is left to compare it with
                stopped = "rounds"
                break
            if number + 1 == len(rungs) and asked.budget_macs is not None:
                epochs = bill.epochs_left(entered, log, most=planned * self.config.eta)
            paid = bill.paid(entered, log, epochs)
            if not paid:
                if not log.ledger.images:
                    raise budget_refusal(asked.budget_macs or 0, bill.needed(entered[:1], epochs))
                stopped = "budget"
                break

            networks = [asked.build(one) for one in paid]
            if number > 0:
                for one, network in zip(paid, networks, strict=True):
                    network.load_state_dict(weights[one.key])
            training = replace(self.scoring.training, epochs=epochs)
            order = asked.seed.child("order", number)
            tried = trained_alone(paid, networks, small, training, asked, seed=order)

            weights = {
                one.key: network.state_dict() for one, network in zip(paid, networks, strict=True)
            }  # of the next rung, which only holds some of these
            failed = number > 0 and all(trial.judgement is None for trial in tried)
            if failed:  # the rung before has the best so far
                log = replace(log.paying(tried, asked), stopped="rounds")
            else:
                log = log.plus(tried, asked, kept=None, took_s=time.monotonic() - began)
                cut = len(paid) < len(entered) or epochs < planned
                log = replace(log, stopped="budget" if cut else "")
            checkpoint.save("log", {**log.plain(), "weights": weights})
            listener(StepAdvanced(step=step, done=number + 1, note=log.note))
        if stopped == "rounds":
            if len(first) < len(drawn):
                stopped = "budget"
            elif len(first) < self.config.candidates:
                stopped = "exhausted"
        listener(StepFinished(step=step, note=stopped))
        return outcome_of(log, asked, stopped, scored=False)

    def _drawn(self, asked: Asked) -> tuple[Architecture, ...]:
        """What the first rung can hold, the given seed architecture before the drawn ones."""
        given = () if asked.seed_architecture is None else (asked.seed_architecture.canonical(),)
        return given + asked.sample(self.config.candidates - len(given), asked.seed.child("sample"), given)


@dataclass(frozen=True)
class _Bill:
    """What rungs cost, held against the budget."""

    asked: Asked
    images: int
    """Training images of an epoch."""

    def most_that_begin(self, drawn: Sequence[Architecture], config: HalvingConfig) -> int:
        """How many of some candidates can begin so that all rungs can be paid for, were all of mean cost."""
        if self.asked.budget_macs is None:
            return len(drawn)
        for count in range(len(drawn), 1, -1):
            epochs = sum(some * epochs for some, epochs in config.rungs(count))
            mean = fmean(self.asked.macs(one) for one in drawn[:count])
            if training_macs(1, self.images) * mean * epochs <= self.asked.budget_macs:
                return count
        return min(len(drawn), 1)

    def needed(self, candidates: Sequence[Architecture], epochs: int) -> int:
        """Multiply-adds of a rung."""
        return training_macs(sum(map(self.asked.macs, candidates)), epochs * self.images)

    def paid(self, candidates: Sequence[Architecture], log: Log, epochs: int) -> tuple[Architecture, ...]:
        """The first of some candidates, as many as the rest of the budget pays for."""
        if self.asked.budget_macs is None:
            return tuple(candidates)
        left = self.asked.budget_macs - log.ledger.macs
        counts = range(len(candidates), 0, -1)
        return tuple(
            candidates[: next((n for n in counts if self.needed(candidates[:n], epochs) <= left), 0)]
        )

    def epochs_left(self, candidates: Sequence[Architecture], log: Log, *, most: int) -> int:
        """Epochs of a last rung: what is left for all of it; at least one."""
        assert self.asked.budget_macs is not None
        left = self.asked.budget_macs - log.ledger.macs
        return max(min(left // self.needed(candidates, 1), most), 1)


def _survivors(log: Log, count: int) -> tuple[Architecture, ...]:
    """The best of the last rung, best first; the earlier of equal ones."""
    known = [
        (trial.judgement.rank, trial.architecture) for trial in trials_of(log.rounds[-1]) if trial.judgement
    ]
    return tuple(one for _, one in sorted(known, key=lambda pair: pair[0], reverse=True)[:count])


def _ended(log: Log, rungs: int, deadline: Deadline) -> str:
    """Why the search ends here; empty if it goes on."""
    if len(log.rounds) >= rungs:  # before the time: one that had ended has, when it resumes after its limit
        return "rounds"
    return "time" if log.rounds and deadline() <= 0 else ""
