"""What an algorithm computes with: a seed, a machine, a listener, and a place for its state."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace

from tanas.ground.checkpoints import Checkpoint, NoCheckpoint
from tanas.ground.events import Event, Listener, PhaseFinished, PhaseStarted, Told, Warned, ignore
from tanas.ground.executor import Executor, InThisProcess
from tanas.ground.seeds import Seed

Deadline = Callable[[], float]
"""Seconds that are left; infinity without a limit."""


def no_limit() -> float:
    """The deadline that never comes."""
    return math.inf


@dataclass(frozen=True, kw_only=True)
class Context:
    """What every step of a computation is handed.

    A step passes `at.child("its name")` to a part of its work. The part then has random draws and saved state of its
    own, whatever runs before it or beside it.
    """

    seed: Seed = field(default_factory=Seed)
    device: str = "cpu"
    """Where networks are trained: 'cpu', 'cuda' or 'mps'."""
    workers: int = 1
    """Networks that are trained side by side; results do not depend on it."""
    executor: Executor = field(default_factory=InThisProcess)
    deadline: Deadline = no_limit
    """Seconds left."""
    listener: Listener = ignore
    checkpoint: Checkpoint = field(default_factory=NoCheckpoint)

    def child(self, *names: str) -> Context:
        """The context of a named part: its own seed and its own place in the checkpoint."""
        return self.drawing(*names).keeping(*names)

    def drawing(self, *names: str | int) -> Context:
        """This context with the seed of a named part."""
        return replace(self, seed=self.seed.child(*names))

    def keeping(self, *names: str) -> Context:
        """This context with a named part's place in the checkpoint."""
        checkpoint = self.checkpoint
        for name in names:
            checkpoint = checkpoint.child(name)
        return replace(self, checkpoint=checkpoint)

    def heard_by(self, listener: Listener) -> Context:
        """This context with another listener."""
        return replace(self, listener=listener)

    def tell(self, event: Event) -> None:
        """Tell the listener."""
        self.listener(event)

    def say(self, message: str) -> None:
        """Tell the user something worth reading now."""
        self.listener(Told(message=message))

    def warn(self, message: str) -> None:
        """Warn the user of something that may spoil the result."""
        self.listener(Warned(message=message))

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Tell the listener when a phase of the algorithm begins and ends; a `Stopwatch` times it."""
        self.listener(PhaseStarted(phase=name))
        try:
            yield
        finally:
            self.listener(PhaseFinished(phase=name))
