"""What every search strategy is: a space and a task without its test split in, an outcome out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from tanas.checkpoints import Checkpoint
from tanas.events import Listener
from tanas.networks.architecture import Architecture
from tanas.networks.scoring import ScoredArchitecture
from tanas.seeds import Seed
from tanas.spaces.space import SearchSpace
from tanas.tasks.task import Task

Deadline = Callable[[], float]
"""Seconds that are left; infinity if there is no limit."""


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
    """One entry a stage; alphas are of the candidates in order, dropped ones included with weight 0."""
    winner: int
    """Position of the best candidate: arg max alpha."""
    took_s: float
    """Wall-clock seconds."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a search found, and how."""

    best: Architecture
    rounds: tuple[Round, ...]
    seen: tuple[ScoredArchitecture, ...]
    """Every candidate, in the order in which it was first seen; scored ones with their score."""
    stopped: str
    """'rounds' (all were done), 'converged' (the seed stayed), 'exhausted' (nothing new is left in the
    space) or 'time' (the limit was reached; the best so far is given)."""


class Strategy(Protocol):
    """A way to find the best architecture of a space for a task."""

    @property
    def name(self) -> str:
        """As `--strategy` takes it."""

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
    ) -> Outcome:
        """Searches.

        Args:
            space: where to look.
            task: what for, without its test split.
            seed_architecture: the first kept seed; None: the first candidates are all drawn.
            seed: of every draw.
            device: where networks are trained.
            workers: how many candidates are computed side by side; the outcome does not depend on it.
            deadline: seconds left; the best so far is returned when they are gone.
            listener: is told what happens.
            checkpoint: keeps finished rounds; a search that begins with them goes on from there.

        Raises:
            SearchError: every candidate failed.
        """
