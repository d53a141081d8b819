"""Successive halving: many candidates begin, and only the best of each rung are trained further."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any

from tanas.errors import check_range
from tanas.events import StepAdvanced, StepFinished, StepStarted
from tanas.networks.architecture import Architecture
from tanas.networks.scoring import ScoringConfig
from tanas.strategies.base import Deadline, Outcome
from tanas.strategies.trials import Asked, ByAsking, Log, affordable, outcome_of, trained_alone, trials_of


@dataclass(frozen=True, kw_only=True)
class HalvingConfig:
    """Sizes of the rungs."""

    candidates: int = 18
    """Architectures of the first rung. With eta 3 the rungs hold 18, 6 and 2, which cost 42 epochs of one
    architecture; twelve scores of four epochs cost 48."""
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

    Source: Jamieson and Talwalkar 2016, "Non-stochastic best arm identification and hyperparameter optimization";
    with any eta: Li et al. 2018, "Hyperband: a novel bandit-based approach to hyperparameter optimization".
    """

    config: HalvingConfig = HalvingConfig()
    scoring: ScoringConfig = field(default_factory=ScoringConfig)
    """Gives the images and the recipe; the epochs are the rungs' own."""
    name: str = "halving"

    def find(self, asked: Asked) -> Outcome:
        """Searches; see `Strategy.search`."""
        listener, checkpoint = asked.listener, asked.checkpoint
        small = asked.task.limited(self.scoring.images)
        log, stopped = Log.restored(checkpoint), ""
        weights: dict[str, Any] = (checkpoint.load("log") or {}).get("weights", {})
        step = f"search {asked.task.name}"
        listener(StepStarted(step=step, total=len(self.config.rungs(self.config.candidates)), unit="rounds"))
        first = self._first(asked)  # the same again in a search that goes on
        rungs = self.config.rungs(len(first)) if first else ()
        while not (stopped := stopped or log.stopped or _ended(log, len(rungs), asked.deadline)):
            began, number = time.monotonic(), len(log.rounds)
            count, epochs = rungs[number]
            entered = first if number == 0 else _survivors(log, count)
            if number > 0 and len(entered) == 1:  # the others failed: nothing is left to compare it with
                stopped = "rounds"
                break
            paid = affordable(entered, asked, log.ledger, epochs * len(small.train))
            if not paid:
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
                log = replace(log, stopped="budget" if len(paid) < len(entered) else "")
            checkpoint.save("log", {**log.plain(), "weights": weights})
            listener(StepAdvanced(step=step, done=number + 1, note=log.note))
        if stopped == "rounds" and len(first) < self.config.candidates:
            stopped = "exhausted"
        listener(StepFinished(step=step, note=stopped))
        return outcome_of(log, asked, stopped, scored=False)

    def _first(self, asked: Asked) -> tuple[Architecture, ...]:
        """The candidates of the first rung, the given seed architecture before the drawn ones."""
        given = () if asked.seed_architecture is None else (asked.seed_architecture.canonical(),)
        return given + asked.sample(self.config.candidates - len(given), asked.seed.child("sample"), given)


def _survivors(log: Log, count: int) -> tuple[Architecture, ...]:
    """The best of the last rung, best first; the earlier of equal ones."""
    known = [
        (trial.judgement.rank, trial.architecture) for trial in trials_of(log.rounds[-1]) if trial.judgement
    ]
    return tuple(one for _, one in sorted(known, key=lambda pair: pair[0], reverse=True)[:count])


def _ended(log: Log, rungs: int, deadline: Deadline) -> str:
    """Why the search ends here; empty if it goes on."""
    if log.rounds and deadline() <= 0:  # also when it resumes after the limit
        return "time"
    return "rounds" if len(log.rounds) >= rungs else ""
