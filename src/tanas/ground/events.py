"""What happens while something runs, told to whoever listens.

An algorithm emits events and knows nothing of terminals and files; listeners (`tanas.api.progress`) draw them.
Events of one algorithm stand beside it; here are those that all share.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Event:
    """Base of all events."""


@dataclass(frozen=True, kw_only=True)
class StepStarted(Event):
    """A step of work begins."""

    step: str
    """What is done, such as 'represent mnist:is=0': unique among the steps that run at a time."""
    total: int
    """Units of work in it."""
    unit: str
    """Name of a unit, such as 'epochs' or 'pairs'."""
    estimate_s: float | None = None
    """Seconds that it is expected to take, if known beforehand."""


@dataclass(frozen=True, kw_only=True)
class StepAdvanced(Event):
    """A step has come so far."""

    step: str
    done: int
    """Units done."""
    note: str = ""
    """What the step shows of itself, such as 'loss 0.21'."""


@dataclass(frozen=True, kw_only=True)
class StepFinished(Event):
    """A step is done."""

    step: str
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Told(Event):
    """One sentence that the user should read now, such as what a cap left out."""

    message: str


@dataclass(frozen=True, kw_only=True)
class Warned(Event):
    """One sentence about something that may spoil the result."""

    message: str


@dataclass(frozen=True, kw_only=True)
class PhaseStarted(Event):
    """A phase of an algorithm begins: 'represent', 'distance', 'search', 'train'."""

    phase: str


@dataclass(frozen=True, kw_only=True)
class PhaseFinished(Event):
    """A phase has ended, well or by an error."""

    phase: str


Listener = Callable[[Event], None]


def tell_repeats(names: Iterable[str], done: str, listener: Listener) -> None:
    """Tell the listener, in one line, which names were given more than once.

    Args:
        names: as they were given.
        done: what is done once with each, such as 'searched'.
        listener: hears the line; nothing if every name stands once.
    """
    repeated = [name for name, times in Counter(names).items() if times > 1]
    if len(repeated) == 1:
        listener(Told(message=f"{repeated[0]} is named more than once: it is {done} once."))
    elif repeated:
        listener(Told(message=f"{', '.join(repeated)} are named more than once: each is {done} once."))


def ignore(event: Event) -> None:
    """The listener that does nothing."""
