"""What a search gives back: its rounds, what they cost, and the best architecture."""

from __future__ import annotations

from dataclasses import dataclass

from tanas.ground.errors import BudgetError
from tanas.ground.events import Event
from tanas.networks.architecture import Architecture
from tanas.networks.scoring import ScoredArchitecture

BACKWARD_AND_FORWARD = 3
"""Multiply-adds of a training step per multiply-add of an answer: the backward pass computes the gradients of the
inputs and of the weights, and each costs as much as the forward pass."""


def training_macs(macs: int, images: int) -> int:
    """Multiply-adds of training a network whose answer to one image takes `macs`; an image counts once an epoch."""
    return BACKWARD_AND_FORWARD * macs * images


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """What a search has spent on training candidates; failed candidates count.

    Equal cost of two strategies means equal `macs`. Answers on the validation split are not counted.
    """

    macs: int = 0
    """Multiply-adds of all trainings, forward and backward."""
    images: tuple[tuple[str, int], ...] = ()
    """(key, training images seen) of every trained candidate, in the order of their first training; weights that many
    architectures share have an entry of their own ('supernet 1')."""

    def plus(self, key: str, macs: int, images: int) -> Ledger:
        """Add one training of a candidate whose answer to one image takes `macs`; an image counts once an epoch."""
        return self.with_all(Ledger(macs=training_macs(macs, images), images=((key, images),)))

    def with_all(self, other: Ledger) -> Ledger:
        """Add everything in another ledger."""
        seen = dict(self.images)
        for key, images in other.images:
            seen[key] = seen.get(key, 0) + images
        return Ledger(macs=self.macs + other.macs, images=tuple(seen.items()))


def budget_refusal(budget_macs: float, needed: int) -> BudgetError:
    """Return the error for a budget that does not pay for the first training, which needs `needed` multiply-adds."""
    return BudgetError(
        f"The 'budget_macs' of a search must be at least {needed:,}, what its first training costs. "
        f"Got {budget_macs:,} instead. Raise it, or give the search fewer images or epochs."
    )


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One alternation of w and alpha."""

    alphas: tuple[float, ...]
    """alpha of each candidate after it."""
    weights: tuple[float, ...]
    """softmax(alpha): the shares of the candidates in the mixture's output."""
    train_loss: float
    """Mean cross-entropy of the mixture on the training images, in nats."""
    validation_loss: float
    """Cross-entropy of the mixture on the validation images after alpha was updated, in nats."""


@dataclass(frozen=True, kw_only=True)
class Round:
    """One round of a search: candidates compared, one chosen."""

    candidates: tuple[Architecture, ...]
    """The first is the seed kept from the round before, if there is one."""
    keys: tuple[str, ...]
    """`Architecture.key` of each candidate."""
    dropped: tuple[str, ...]
    """Keys of candidates that were left out because their loss was not finite."""
    stages: tuple[Stage, ...]
    """One entry a stage, with dropped candidates at weight 0. Empty where candidates are judged by scores."""
    winner: int
    """Position of the best candidate: by alpha, or by score, then by loss, then the first."""
    took_s: float
    """Wall-clock seconds."""
    scores: tuple[float | None, ...] = ()
    """Validation performance l of each candidate after its training; None: dropped. Empty where candidates are judged
    by alpha."""
    losses: tuple[float | None, ...] = ()
    """Validation cross-entropy of each candidate after its training, in nats (`Judgement.loss`); a memory learns the
    size trend from it. None: dropped. Empty: the candidates were not trained alike, or an older version wrote this."""


@dataclass(frozen=True, kw_only=True)
class RoundFinished(Event):
    """A round chose its best candidate."""

    task: str
    number: int
    """From 1."""
    round: Round

    def __str__(self) -> str:
        what, values = "l", self.round.scores
        if self.round.stages and not self.round.scores:
            what, values = "softmax(alpha)", self.round.stages[-1].weights
        pairs = zip(self.round.keys, values, strict=True)
        shown = ", ".join(f"{key[:6]} {'-' if value is None else f'{value:.2f}'}" for key, value in pairs)
        return f"{self.task}, round {self.number}: {what} {shown}"


@dataclass(frozen=True, kw_only=True)
class Chosen(Event):
    """A search is over and this architecture is trained next; a terminal shows nothing."""

    task: str
    architecture: Architecture
    score: float | None
    """l of its short training; None: it had none."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a search found, and how."""

    best: Architecture
    rounds: tuple[Round, ...]
    seen: tuple[ScoredArchitecture, ...]
    """Every candidate in the order in which it was first seen."""
    stopped: str
    """'rounds' (all done), 'converged' (the seed stayed), 'exhausted' (the space holds nothing new), 'budget' (it does
    not pay for what comes next) or 'time' (the limit was reached; the best so far is given)."""
    ledger: Ledger = Ledger()
    """What the search spent."""

    def chosen(self, task: str) -> Chosen:
        """Return the best as an event."""
        scores = (seen.score for seen in self.seen if seen.architecture == self.best and not seen.final)
        return Chosen(task=task, architecture=self.best, score=next(scores, None))
