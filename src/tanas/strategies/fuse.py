"""Fusion Search (FUSE), Algorithm 2: candidates trained jointly under softmax-weighted outputs."""

from __future__ import annotations

import time
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor

from tanas.checkpoints import Checkpoint
from tanas.errors import SearchError, check_range
from tanas.events import Event, Listener, StepAdvanced, StepFinished, StepStarted, Told
from tanas.networks.architecture import Architecture, cost_of
from tanas.networks.scoring import unscored
from tanas.records import from_plain, to_plain
from tanas.seeds import Seed
from tanas.spaces.space import SearchSpace
from tanas.strategies.base import (
    Deadline,
    Ledger,
    Outcome,
    Round,
    RoundFinished,
    budget_refusal,
    training_macs,
)
from tanas.strategies.mixture import Mixture
from tanas.strategies.schedules import EqualWeights, Schedule
from tanas.tasks.task import Task


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
    warm_seed: bool = False
    """Whether the kept seed goes on with its trained weights. A head start that is no merit: off."""

    def __post_init__(self) -> None:
        check_range(self.candidates, "candidates", "FuseConfig", low=2)
        check_range(self.rounds, "rounds", "FuseConfig", low=1)
        check_range(self.patience, "patience", "FuseConfig", low=1)
        for name in ("images", "validation_images"):
            if (most := getattr(self, name)) is not None:
                check_range(most, name, "FuseConfig", low=2)


@dataclass(frozen=True)
class Fuse:
    """The strategy of the paper. Source: section 3.3, Algorithm 2."""

    config: FuseConfig = FuseConfig()
    name: str = "fuse"

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
        config, task = self.config, _sized(task.without_test(), self.config)
        rounds, best, kept, warm, ledger = _restore(checkpoint, seed_architecture)
        stopped = ""
        step = f"search {task.name}"
        listener(StepStarted(step=step, total=config.rounds, unit="rounds"))
        while not (stopped := stopped or _ended(rounds, config, kept, deadline)):
            number = len(rounds)
            began = time.monotonic()
            here = seed.child("round", number)

            # M = (C - 1) candidates sampled from S; C = [seed, M]
            wanted = config.candidates - (best is not None)
            seen = {c for past in rounds for c in past.candidates} | ({best} if best else set())
            drawn = space.sample(
                wanted, seed=here.child("sample"), shape=task.shape, classes=len(task.classes), without=seen
            )
            candidates = ((best,) if best else ()) + drawn
            if not drawn:  # nothing new is left to compare with; a sample is never empty otherwise
                stopped = "exhausted"
                break
            macs = [cost_of(c, task.shape, len(task.classes)).macs for c in candidates]
            if budget_macs is not None:
                images = len(task.train) * config.schedule.most_epochs
                needed = sum(training_macs(each, images) for each in macs)
                if ledger.macs + needed > budget_macs:
                    if not rounds:
                        raise budget_refusal(budget_macs, needed)
                    stopped = "budget"
                    break

            # while alpha not converged: update C on train, update alpha on validation
            mixture = Mixture(candidates, task, seed=here, device=device, workers=workers, listener=listener)
            if warm is not None and best is not None:
                mixture.networks[0].load_state_dict(warm)
            stages = config.schedule.run(
                mixture,
                task,
                seed=here.child("order"),
                deadline=deadline,
                listener=_within(listener, f"{step}, round {number + 1}"),
            )

            # seed = arg max alpha
            winner = mixture.best
            kept = kept + 1 if best is not None and winner == 0 else 0
            best = candidates[winner]
            warm = mixture.networks[winner].state_dict() if config.warm_seed else None
            rounds = (
                *rounds,
                Round(
                    candidates=candidates,
                    keys=tuple(c.key for c in candidates),
                    dropped=tuple(candidates[i].key for i in sorted(mixture.dropped)),
                    stages=stages,
                    winner=winner,
                    took_s=time.monotonic() - began,
                ),
            )
            for candidate, each, images in zip(candidates, macs, mixture.images_seen, strict=True):
                ledger = ledger.plus(candidate.key, each, images)
            _save(checkpoint, rounds, kept, warm, ledger)
            listener(RoundFinished(task=task.name, number=number + 1, round=rounds[-1]))
            listener(StepAdvanced(step=step, done=number + 1, note=f"best {best.key}"))
        listener(StepFinished(step=step, note=stopped))
        if best is None:
            raise SearchError(f"The space '{space.name}' holds no architecture that can be tried.")
        if len(rounds) == 0:
            listener(
                Told(message=f"The space holds one architecture only: {best.key} is taken without a search.")
            )
        order = dict.fromkeys([c for past in rounds for c in past.candidates] or [best])
        return Outcome(
            best=best,
            rounds=rounds,
            seen=tuple(unscored(c, task) for c in order),
            stopped=stopped,
            ledger=ledger,
        )


def _sized(task: Task, config: FuseConfig) -> Task:
    """The images that the search trains and compares on."""
    seed = Seed(task.split_seed).child("fuse")
    train, validation = task.train, task.validation
    if config.images is not None:
        train = train.stratified(config.images, seed.child("train"))
    if config.validation_images is not None:
        validation = validation.stratified(config.validation_images, seed.child("validation"))
    return replace(task, train=train, validation=validation)


def _ended(rounds: tuple[Round, ...], config: FuseConfig, kept: int, deadline: Deadline) -> str:
    """Why the search ends here; empty if it goes on."""
    if rounds and deadline() <= 0:  # also when it resumes after the limit
        return "time"
    if len(rounds) >= config.rounds:
        return "rounds"
    return "converged" if kept >= config.patience else ""


def _within(listener: Listener, step: str) -> Listener:
    """Renames the schedule's step after the round that it belongs to."""

    def renamed(event: Event) -> None:
        if isinstance(event, StepStarted | StepAdvanced | StepFinished):
            event = replace(event, step=step)
        listener(event)

    return renamed


def _save(
    checkpoint: Checkpoint,
    rounds: tuple[Round, ...],
    kept: int,
    warm: dict[str, Tensor] | None,
    ledger: Ledger,
) -> None:
    checkpoint.save(
        "fuse",
        {
            "rounds": to_plain(rounds, tuple[Round, ...]),
            "kept": kept,
            "warm": warm,
            "ledger": to_plain(ledger),
        },
    )


def _restore(
    checkpoint: Checkpoint, seed_architecture: Architecture | None
) -> tuple[tuple[Round, ...], Architecture | None, int, dict[str, Any] | None, Ledger]:
    state = checkpoint.load("fuse")
    if state is None:
        return (), seed_architecture.canonical() if seed_architecture else None, 0, None, Ledger()
    rounds = from_plain(tuple[Round, ...], state["rounds"], where="the search's checkpoint")
    ledger = from_plain(Ledger, state["ledger"], where="the search's checkpoint")
    return rounds, rounds[-1].candidates[rounds[-1].winner], state["kept"], state["warm"], ledger
