"""What every search strategy is: a space and a task without its test split in, an outcome out."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from tanas.ground.errors import BudgetError
from tanas.ground.events import Event
from tanas.networks.architecture import Architecture
from tanas.networks.scoring import ScoredArchitecture

BACKWARD_AND_FORWARD = 3
"""Multiply-adds of a training step over those of an answer: the backward pass needs the gradients of the inputs
and of the weights, each as dear as the forward pass."""


def training_macs(macs: int, images: int) -> int:
    """Multiply-adds of training a network.

    Args:
        macs: multiply-adds of its answer to one image.
        images: that it is trained on; an image counts once an epoch.
    """
    return BACKWARD_AND_FORWARD * macs * images


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """What a search has spent on training candidates, those that failed among them.

    Equal cost of two strategies means equal `macs`. Answers on the validation split are not counted.
    """

    macs: int = 0
    """Multiply-adds of all trainings, forward and backward."""
    images: tuple[tuple[str, int], ...] = ()
    """(key, training images seen) of every candidate that was trained, in the order of their first training; where
    many architectures share weights, these have an entry of their own ('supernet 1')."""

    def plus(self, key: str, macs: int, images: int) -> Ledger:
        """With one more training of a candidate.

        Args:
            key: `Architecture.key`.
            macs: multiply-adds of its answer to one image.
            images: that it was trained on; an image counts once an epoch.
        """
        return self.spending(key, training_macs(macs, images), images)

    def spending(self, key: str, macs: int, images: int) -> Ledger:
        """With work that is no training of one architecture, such as that on weights which many share.

        Args:
            key: what was trained.
            macs: multiply-adds of all of it, forward and backward.
            images: that it was trained on; an image counts once an epoch.
        """
        seen = dict(self.images)
        seen[key] = seen.get(key, 0) + images
        return Ledger(macs=self.macs + macs, images=tuple(seen.items()))

    def with_all(self, other: Ledger) -> Ledger:
        """With all that another one holds."""
        seen = dict(self.images)
        for key, images in other.images:
            seen[key] = seen.get(key, 0) + images
        return Ledger(macs=self.macs + other.macs, images=tuple(seen.items()))


def budget_refusal(budget_macs: int, needed: int) -> BudgetError:
    """The error of a budget that does not allow a beginning.

    Args:
        budget_macs: what was given.
        needed: multiply-adds of the first training.
    """
    return BudgetError(
        f"The 'budget_macs' of a search must be at least {needed:,}, what its first training costs. "
        f"Got {budget_macs:,} instead. Raise it, or give the search fewer images or epochs."
    )


def scores_macs(
    certain: Collection[Architecture],
    candidates: Collection[Architecture],
    macs: Callable[[Architecture], int],
    images: int,
) -> int:
    """Most multiply-adds that the scores of winners take after a search, so that its budget can set them aside.

    Args:
        certain: what is scored in any case: earlier winners, and the given seed architecture.
        candidates: of a round, one of which wins.
        macs: multiply-adds of an answer to one image.
        images: of one score; an image counts once an epoch.
    """
    known = set(certain)
    dearest = max((macs(one) for one in candidates if one not in known), default=0)
    return training_macs(sum(map(macs, known)) + dearest, images)


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
    """A short name of each candidate (`Architecture.key`)."""
    dropped: tuple[str, ...]
    """Keys of candidates that were left out since their loss was not finite."""
    stages: tuple[Stage, ...]
    """One entry a stage; alphas are of the candidates in order, dropped ones included with weight 0. None where
    candidates are judged by scores."""
    winner: int
    """Position of the best candidate: arg max alpha; or the highest score, of equal ones the lowest loss, of those
    the first; or the lowest loss."""
    took_s: float
    """Wall-clock seconds."""
    scores: tuple[float | None, ...] = ()
    """Validation performance l of each candidate after its training; None: dropped. Empty where candidates are
    judged by alpha."""
    losses: tuple[float | None, ...] = ()
    """Cross-entropy of each candidate on the validation images after its training, in nats (`Judgement.loss`): of equal
    l the lower is the better, and what a memory learns of sizes it learns from these. None: dropped. Empty: the
    candidates were not trained alike, or the round is of an older version."""


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
    """A search is over: this architecture is trained next. It says nothing on a terminal, where the training does."""

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
    """Every candidate, in the order in which it was first seen; scored ones with their score."""
    stopped: str
    """'rounds' (all were done), 'converged' (the seed stayed), 'exhausted' (nothing new is left in the
    space), 'budget' (what is left of it does not allow what comes next) or 'time' (the limit was reached; the
    best so far is given)."""
    ledger: Ledger = Ledger()
    """What the search spent."""

    def chosen(self, task: str) -> Chosen:
        """The best, as an event."""
        score = next(
            (one.score for one in self.seen if one.architecture == self.best and not one.final), None
        )
        return Chosen(task=task, architecture=self.best, score=score)
