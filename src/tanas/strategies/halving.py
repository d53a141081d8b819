"""Successive halving: many candidates begin, and only the best of each rung are trained further."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import Any

from tanas.checkpoints import Checkpoint
from tanas.errors import check_range
from tanas.events import Listener, StepAdvanced, StepFinished, StepStarted
from tanas.networks.architecture import Architecture
from tanas.networks.scoring import ScoringConfig
from tanas.seeds import Seed
from tanas.spaces.space import SearchSpace
from tanas.strategies.base import Deadline, Outcome
from tanas.strategies.trials import Asked, Log, affordable, outcome_of, trained_alone
from tanas.tasks.task import Task


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

    def rungs(self) -> tuple[tuple[int, int], ...]:
        """(candidates, epochs that are added to their training) of each rung.

        It ends where one candidate would be left: there is nothing to compare it with.
        """
        made = [(self.candidates, self.first_epochs)]
        epochs = self.first_epochs
        while (left := made[-1][0] // self.eta) > 1:
            made.append((left, epochs * (self.eta - 1)))
            epochs *= self.eta
        return tuple(made)


@dataclass(frozen=True)
class Halving:
    """Each rung goes on from the candidate's own weights, with a learning rate that rises and falls anew.

    Source: Jamieson and Talwalkar 2016, "Non-stochastic best arm identification and hyperparameter optimization".
    """

    config: HalvingConfig = HalvingConfig()
    scoring: ScoringConfig = ScoringConfig()
    """Gives the images and the recipe; the epochs are the rungs' own."""
    name: str = "halving"

    def search(
        self,
        space: SearchSpace,
        task: Task,
        *,
        seed_architecture: Architecture | None,
        seed: Seed,
        device: str,
        workers: int,
        deadline: Deadline,
        listener: Listener,
        checkpoint: Checkpoint,
        budget_macs: int | None = None,
    ) -> Outcome:
        """Searches; see `Strategy.search`."""
        asked = Asked(
            space=space,
            task=task.without_test(),
            seed_architecture=seed_architecture,
            seed=seed,
            device=device,
            workers=workers,
            deadline=deadline,
            listener=listener,
            checkpoint=checkpoint,
            budget_macs=budget_macs,
        )
        small = asked.task.limited(self.scoring.images)
        rungs = self.config.rungs()
        log, stopped = Log.restored(checkpoint), ""
        weights: dict[str, Any] = (checkpoint.load("log") or {}).get("weights", {})
        step = f"search {task.name}"
        listener(StepStarted(step=step, total=len(rungs), unit="rounds"))
        while not (stopped := stopped or log.stopped or _ended(log, len(rungs), deadline)):
            began, number = time.monotonic(), len(log.rounds)
            count, epochs = rungs[number]
            field = self._first(asked, count) if number == 0 else _survivors(log, count)
            if not field or (number > 0 and len(field) == 1):  # the space holds no more to compare with
                break
            paid = affordable(field, asked, log.ledger, epochs * len(small.train))
            if not paid:
                stopped = "budget"
                break

            networks = [asked.build(one) for one in paid]
            if number > 0:
                for one, network in zip(paid, networks, strict=True):
                    network.load_state_dict(weights[one.key])
            training = replace(self.scoring.training, epochs=epochs)
            order = seed.child("order", number)
            tried = trained_alone(paid, networks, small, training, asked, seed=order)

            weights = {
                one.key: network.state_dict() for one, network in zip(paid, networks, strict=True)
            }  # of the next rung, which only holds some of these
            log = log.plus(tried, asked, kept=None, took_s=time.monotonic() - began)
            log = replace(log, stopped="budget" if len(paid) < len(field) else "")
            checkpoint.save("log", {**log.plain(), "weights": weights})
            winner = log.rounds[-1].keys[log.rounds[-1].winner]
            listener(StepAdvanced(step=step, done=number + 1, note=f"best {winner}"))
        if stopped in ("", "rounds") and len(log.trials) < self.config.candidates:
            stopped = "exhausted"
        listener(StepFinished(step=step, note=stopped))
        return outcome_of(log, asked, stopped, scored=False)

    def _first(self, asked: Asked, count: int) -> tuple[Architecture, ...]:
        """The candidates of the first rung, the given seed architecture before the drawn ones."""
        given = () if asked.seed_architecture is None else (asked.seed_architecture.canonical(),)
        return given + asked.sample(count - len(given), asked.seed.child("sample"), given)


def _survivors(log: Log, count: int) -> tuple[Architecture, ...]:
    """The best of the last rung, best first; the earlier of equal ones."""
    last = log.rounds[-1]
    known = [
        (score, one) for one, score in zip(last.candidates, last.scores, strict=True) if score is not None
    ]
    return tuple(one for _, one in sorted(known, key=lambda pair: -pair[0])[:count])


def _ended(log: Log, rungs: int, deadline: Deadline) -> str:
    """Why the search ends here; empty if it goes on."""
    if log.rounds and deadline() <= 0:  # also when it resumes after the limit
        return "time"
    return "rounds" if len(log.rounds) >= rungs else ""
