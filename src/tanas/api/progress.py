"""Listeners: what happens, drawn on a terminal, written as plain lines, or kept in a file.

A listener may be told of several steps at a time, also from several threads. All are context managers: at the
end of a `with` block, however it is left, bars are cleared and files closed. An event that none of them knows
is shown by its text, if its class gives it one (`__str__`), and kept in the file in any case.
"""

from __future__ import annotations

import dataclasses
import json
import os
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol, Self, TextIO

from pydantic.errors import PydanticSchemaGenerationError
from pydantic_core import PydanticSerializationError
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TaskID
from rich.text import Text

from tanas.ground.errors import StoreError
from tanas.ground.events import Event, Listener, StepAdvanced, StepFinished, StepStarted, Told, Warned
from tanas.ground.records import to_plain

Clock = Callable[[], float]

PLAIN_EVERY_S = 5.0
"""Least seconds between two plain lines of a step: a log of an hour's step stays below a thousand lines."""

BRIEF_S = 1.0
"""A step that took less leaves no line on a terminal: nobody waited for it."""

DRAWS_A_SECOND = 4
"""Often enough to look alive; drawing takes time from the work."""


class Display(Protocol):
    """A listener that is also a context manager."""

    def __call__(self, event: Event) -> None:
        """Is told of an event."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: object) -> None: ...


def listener_for(stream: TextIO, *, quiet: bool = False) -> Display:
    """The listener that suits a stream: live bars on a terminal, plain lines in a pipe, nothing if quiet.

    Args:
        stream: where progress goes, by custom stderr.
        quiet: whether nothing is shown.
    """
    if quiet:
        return Quiet()
    console = Console(file=stream)
    if console.is_terminal and not console.is_dumb_terminal:
        return ConsoleListener(console)
    return PlainListener(stream)


def broadcast(*listeners: Listener) -> Display:
    """One listener that passes every event to all, and enters and leaves a `with` block for those it can."""
    return _Broadcast(listeners)


class Quiet:
    """Shows nothing."""

    def __call__(self, event: Event) -> None:
        return None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        return None


class ConsoleListener:
    """Live bars on a terminal: what runs, how far it is, the time left. Steps that are done leave a line."""

    def __init__(self, console: Console | None = None, *, clock: Clock = time.monotonic) -> None:
        """Makes the listener; nothing is drawn before the first event.

        Args:
            console: where to draw; stderr if left out.
            clock: seconds that only rise.
        """
        self._console = console or Console(stderr=True)
        self._clock = clock
        self._lock = threading.RLock()
        self._warned: set[str] = set()
        self._steps: dict[str, tuple[TaskID, _Pace]] = {}
        self._progress = Progress(
            SpinnerColumn(finished_text=" "),
            _Column(lambda task: Text(task.description, overflow="ellipsis", no_wrap=True)),
            BarColumn(bar_width=24),
            _Column(lambda task: Text(f"{task.completed:g}/{task.total:g} {task.fields['unit']}")),
            _Column(lambda task: Text(_left(task.fields["pace"].left(self._clock())), style="cyan")),
            _Column(lambda task: Text(task.fields["note"], style="dim", overflow="ellipsis", no_wrap=True)),
            console=self._console,
            refresh_per_second=DRAWS_A_SECOND,
            transient=True,
        )

    def __call__(self, event: Event) -> None:
        with self._lock:
            match event:
                case StepStarted():
                    self._remove(event.step)
                    pace = _Pace(event.total, event.estimate_s, self._clock())
                    self._progress.start()
                    task = self._progress.add_task(
                        event.step, total=event.total, unit=event.unit, note="", pace=pace
                    )
                    self._steps[event.step] = (task, pace)
                case StepAdvanced():
                    if event.step in self._steps:
                        task, pace = self._steps[event.step]
                        pace.advance(event.done, self._clock())
                        self._progress.update(task, completed=event.done, note=event.note)
                case StepFinished():
                    pace_or_none = self._remove(event.step)
                    if pace_or_none and (took := self._clock() - pace_or_none.started) >= BRIEF_S:
                        line = Text.assemble(("done ", "green"), event.step, (f"  {spoken(took)}", "cyan"))
                        self._print(line.append(f"  {event.note}" if event.note else "", style="dim"))
                case Told():
                    self._print(Text(event.message))
                case Warned():
                    if event.message not in self._warned:
                        self._warned.add(event.message)
                        self._print(Text(f"Warning: {event.message}", style="yellow"))
                case _:
                    if (text := _own_text(event)) is not None:
                        self._print(Text(text))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        with self._lock:
            for step in tuple(self._steps):
                self._remove(step)
            self._progress.stop()

    def _remove(self, step: str) -> _Pace | None:
        """Takes a step's bar away; with the last one the live drawing ends, so that others may write."""
        if step not in self._steps:
            return None
        task, pace = self._steps.pop(step)
        self._progress.remove_task(task)
        if not self._steps:
            self._progress.stop()
        return pace

    def _print(self, line: Text) -> None:
        self._console.print(line, soft_wrap=True)


class PlainListener:
    """Plain lines in a pipe or log: a step's begin and end, and in between how far it is, now and then."""

    def __init__(
        self, stream: TextIO, *, every_s: float = PLAIN_EVERY_S, clock: Clock = time.monotonic
    ) -> None:
        """Makes the listener.

        Args:
            stream: where lines go; flushed after each.
            every_s: least seconds between two lines of a step; the first and the last always come.
            clock: seconds that only rise.
        """
        self._stream = stream
        self._every_s = every_s
        self._clock = clock
        self._lock = threading.RLock()
        self._warned: set[str] = set()
        self._steps: dict[str, tuple[StepStarted, _Pace]] = {}
        self._shown: dict[str, float] = {}

    def __call__(self, event: Event) -> None:
        with self._lock:
            now = self._clock()
            match event:
                case StepStarted():
                    self._steps[event.step] = (event, _Pace(event.total, event.estimate_s, now))
                    self._shown[event.step] = now
                    # below a second there is nothing to wait for
                    estimate = event.estimate_s or 0.0
                    about = f"about {spoken(estimate)}" if estimate >= BRIEF_S else ""
                    unit = event.unit.removesuffix("s") if event.total == 1 else event.unit
                    self._print(f"{event.step}: ", f"{event.total} {unit}", about)
                case StepAdvanced():
                    if event.step in self._steps:
                        started, pace = self._steps[event.step]
                        pace.advance(event.done, now)
                        if now - self._shown[event.step] >= self._every_s:
                            self._shown[event.step] = now
                            done = f"{event.done} of {started.total} {started.unit}"
                            self._print(f"{event.step}: ", done, _left(pace.left(now)), event.note)
                case StepFinished():
                    took = ""
                    if event.step in self._steps:
                        _, pace = self._steps.pop(event.step)
                        took = f" in {spoken(now - pace.started)}"
                    self._print(f"{event.step}: ", f"done{took}", event.note)
                case Told():
                    self._print(event.message)
                case Warned():
                    if event.message not in self._warned:
                        self._warned.add(event.message)
                        self._print(f"Warning: {event.message}")
                case _:
                    if (text := _own_text(event)) is not None:
                        self._print(text)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def _print(self, head: str, *parts: str) -> None:
        self._stream.write(head + ", ".join(part for part in parts if part) + "\n")
        self._stream.flush()


class JsonLinesListener:
    """Keeps every event in a file: a JSON object a line, of `time` (UTC), `event` (its class) and its fields.

    An existing file is gone on with: a resumed run's events follow those of before.
    """

    def __init__(self, path: Path) -> None:
        """Opens the file.

        Args:
            path: of the file; its folder is made if there is none.

        Raises:
            StoreError: it can't be written.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torn = _ends_within_a_line(path)
            self._file = path.open("a", encoding="utf-8", buffering=1)
            if torn:  # a run was killed while it wrote: its half line must not swallow the next one
                self._file.write("\n")
        except OSError as error:
            raise StoreError(
                f"{path} can't be written: {error.strerror or error}. Choose another place."
            ) from error
        self._lock = threading.Lock()

    def __call__(self, event: Event) -> None:
        line = json.dumps(
            {
                "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
                "event": type(event).__name__,
                **_fields(event),
            },
            ensure_ascii=False,
        )
        with self._lock:
            self._file.write(line + "\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()


class _Broadcast:
    def __init__(self, listeners: tuple[Listener, ...]) -> None:
        self._listeners = listeners
        self._stack = ExitStack()

    def __call__(self, event: Event) -> None:
        for listener in self._listeners:
            listener(event)

    def __enter__(self) -> Self:
        for listener in self._listeners:
            if isinstance(listener, AbstractContextManager):
                self._stack.enter_context(listener)
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()


class _Pace:
    """How fast a step goes: by its estimate at first, by what was measured as soon as two units ended."""

    def __init__(self, total: int, estimate_s: float | None, now: float) -> None:
        self.started = now
        self._total = total
        self._estimate_s = estimate_s
        self._first: tuple[int, float] | None = None
        self._last: tuple[int, float] | None = None

    def advance(self, done: int, now: float) -> None:
        # Units up to the first may have been done by an earlier, interrupted run: no measure of the pace.
        self._first = self._first or (done, now)
        self._last = (done, now)

    def left(self, now: float) -> float | None:
        """Seconds until the end; None where nothing can be said, or is left."""
        if self._last and self._last[0] >= self._total:
            return None
        if self._first and self._last and self._last[0] > self._first[0]:
            a_unit = (self._last[1] - self._first[1]) / (self._last[0] - self._first[0])
            return max(0.0, (self._total - self._last[0]) * a_unit - (now - self._last[1]))
        if self._estimate_s is not None:
            remaining = self._estimate_s - (now - self.started)
            return (
                remaining if remaining > 0 else None
            )  # the estimate was wrong: say nothing rather than zero
        if self._first and self._first[0] == 1:
            a_unit = self._first[1] - self.started
            return max(0.0, (self._total - 1) * a_unit - (now - self._first[1]))
        return None


class _Column(ProgressColumn):
    """A column that a function draws."""

    def __init__(self, draw: Callable[[Task], Text]) -> None:
        self._draw = draw
        super().__init__()

    def render(self, task: Task) -> Text:
        return self._draw(task)


def spoken(seconds: float) -> str:
    """A duration as a person says it: '0.4 s', '40 s', '3 min', '1 h 20 min'."""
    if seconds < 9.95:
        return f"{seconds:.1f} s" if seconds % 1 else f"{seconds:.0f} s"
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"


def _left(seconds: float | None) -> str:
    return "" if seconds is None else f"about {spoken(max(1, round(seconds)))} left"


def _own_text(event: Event) -> str | None:
    """What an event says of itself, if its class gives it a text of its own."""
    return None if type(event).__str__ is object.__str__ else str(event)


def _fields(event: Event) -> dict[str, Any]:
    """An event's fields as JSON's types; those that JSON has no form for as Python writes them."""
    try:
        plain: dict[str, Any] = to_plain(event)
    except (PydanticSchemaGenerationError, PydanticSerializationError):
        return {field.name: repr(getattr(event, field.name)) for field in dataclasses.fields(event)}
    return plain


def _ends_within_a_line(path: Path) -> bool:
    if not path.exists() or path.stat().st_size == 0:
        return False
    with path.open("rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) != b"\n"
