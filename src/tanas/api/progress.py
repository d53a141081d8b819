"""Listeners that draw events on a terminal, write them as plain lines, or keep them in a file.

Several steps can run at a time, also in several threads. An event of an unknown class is shown by its own `__str__`,
if it has one, and kept in the file in any case.
"""

from __future__ import annotations

import dataclasses
import json
import threading
import time
from abc import abstractmethod
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self, TextIO

from pydantic.errors import PydanticSchemaGenerationError
from pydantic_core import PydanticSerializationError
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TaskID
from rich.text import Text

from tanas.ground.errors import StoreError
from tanas.ground.events import Event, Listener, StepAdvanced, StepFinished, StepStarted, Told, Warned
from tanas.ground.records import to_plain

Clock = Callable[[], float]
"""Seconds that only rise."""

PLAIN_EVERY_S = 5.0
"""Least seconds between two plain lines of a step: a log of an hour's step stays below a thousand lines."""

BRIEF_S = 1.0
"""A step that took less leaves no line on a terminal: nobody waited for it."""

DRAWS_A_SECOND = 4
"""Often enough to look alive; drawing takes time from the work."""


class Display:
    """A listener that is also a context manager; by itself it shows nothing."""

    def __call__(self, event: Event) -> None:
        """Receives an event."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Clears what is drawn and closes files."""


def listener_for(stream: TextIO, *, quiet: bool = False) -> Display:
    """The listener that suits a stream: live bars on a terminal, plain lines in a pipe, nothing if quiet."""
    if quiet:
        return Display()
    console = Console(file=stream)
    if console.is_terminal and not console.is_dumb_terminal:
        return ConsoleListener(console)
    return PlainListener(stream)


def broadcast(*listeners: Listener) -> Display:
    """One listener that passes every event to all, and enters and leaves a `with` block for those it can."""
    return _Broadcast(listeners)


class _Shown(Display):
    """Shows steps as its subclass does, messages as lines, and each warning once."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.RLock()
        self._warned: set[str] = set()
        self._paces: dict[str, _Pace] = {}

    def __call__(self, event: Event) -> None:
        with self._lock:
            now = self._clock()
            match event:
                case StepStarted():
                    self._paces[event.step] = pace = _Pace(event, now)
                    self._begin(event, pace)
                case StepAdvanced():
                    if (pace_or_none := self._paces.get(event.step)) is not None:
                        pace_or_none.advance(event.done, now)
                        self._advance(event, pace_or_none, now)
                case StepFinished():
                    ended = self._paces.pop(event.step, None)
                    self._finish(event, None if ended is None else now - ended.started)
                case Told():
                    self._print(event.message)
                case Warned():
                    if event.message not in self._warned:
                        self._warned.add(event.message)
                        self._print(f"Warning: {event.message}", style="yellow")
                case _:
                    if type(event).__str__ is not object.__str__:
                        self._print(str(event))

    @abstractmethod
    def _begin(self, event: StepStarted, pace: _Pace) -> None: ...

    @abstractmethod
    def _advance(self, event: StepAdvanced, pace: _Pace, now: float) -> None: ...

    @abstractmethod
    def _finish(self, event: StepFinished, took_s: float | None) -> None: ...

    @abstractmethod
    def _print(self, line: str, *, style: str = "") -> None: ...


class ConsoleListener(_Shown):
    """Live bars on a terminal: what runs, how far it is, the time left. Steps that are done leave a line."""

    def __init__(self, console: Console, *, clock: Clock = time.monotonic) -> None:
        super().__init__(clock)
        self._console = console
        self._tasks: dict[str, TaskID] = {}
        self._progress = Progress(
            SpinnerColumn(finished_text=" "),
            _Column(lambda task: Text(task.description, overflow="ellipsis", no_wrap=True)),
            BarColumn(bar_width=24),
            _Column(lambda task: Text(f"{task.completed:g}/{task.total:g} {task.fields['unit']}")),
            _Column(lambda task: Text(_left(task.fields["pace"].left(self._clock())), style="cyan")),
            _Column(lambda task: Text(task.fields["note"], style="dim", overflow="ellipsis", no_wrap=True)),
            console=console,
            refresh_per_second=DRAWS_A_SECOND,
            transient=True,
        )

    def _begin(self, event: StepStarted, pace: _Pace) -> None:
        self._remove(event.step)
        self._progress.start()
        self._tasks[event.step] = self._progress.add_task(
            event.step, total=event.total, unit=event.unit, note="", pace=pace
        )

    def _advance(self, event: StepAdvanced, pace: _Pace, now: float) -> None:
        self._progress.update(self._tasks[event.step], completed=event.done, note=event.note)

    def _finish(self, event: StepFinished, took_s: float | None) -> None:
        self._remove(event.step)
        if took_s is not None and took_s >= BRIEF_S:
            line = Text.assemble(("done ", "green"), event.step, (f"  {spoken(took_s)}", "cyan"))
            self._console.print(
                line.append(f"  {event.note}" if event.note else "", style="dim"), soft_wrap=True
            )

    def _print(self, line: str, *, style: str = "") -> None:
        self._console.print(Text(line, style=style), soft_wrap=True)

    def __exit__(self, *error: object) -> None:
        with self._lock:
            for step in tuple(self._tasks):
                self._remove(step)
            self._progress.stop()

    def _remove(self, step: str) -> None:
        """Removes a step's bar; with the last bar the live drawing ends, so that others may write."""
        if step in self._tasks:
            self._progress.remove_task(self._tasks.pop(step))
            if not self._tasks:
                self._progress.stop()


class PlainListener(_Shown):
    """Plain lines in a pipe or log: the begin and end of a step, and now and then how far it is."""

    def __init__(self, stream: TextIO, *, clock: Clock = time.monotonic) -> None:
        super().__init__(clock)
        self._stream = stream
        self._shown: dict[str, float] = {}

    def _begin(self, event: StepStarted, pace: _Pace) -> None:
        self._shown[event.step] = pace.started
        estimate = event.estimate_s or 0.0
        about = f"about {spoken(estimate)}" if estimate >= BRIEF_S else ""
        unit = event.unit.removesuffix("s") if event.total == 1 else event.unit
        self._write(event.step, f"{event.total} {unit}", about)

    def _advance(self, event: StepAdvanced, pace: _Pace, now: float) -> None:
        if now - self._shown[event.step] >= PLAIN_EVERY_S:
            self._shown[event.step] = now
            done = f"{event.done} of {pace.total} {pace.unit}"
            self._write(event.step, done, _left(pace.left(now)), event.note)

    def _finish(self, event: StepFinished, took_s: float | None) -> None:
        self._write(event.step, "done" if took_s is None else f"done in {spoken(took_s)}", event.note)

    def _write(self, step: str, *parts: str) -> None:
        self._print(f"{step}: {', '.join(part for part in parts if part)}")

    def _print(self, line: str, *, style: str = "") -> None:
        self._stream.write(line + "\n")
        self._stream.flush()


class JsonLinesListener(Display):
    """Keeps every event in a file: a JSON object a line, of `time` (UTC), `event` (its class) and its fields.

    Events are appended to an existing file, so those of a resumed run follow those of before.
    """

    def __init__(self, path: Path) -> None:
        """Opens the file, and makes its folder if there is none.

        Raises:
            StoreError: it can't be written.
        """
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torn = path.exists() and path.read_bytes()[-1:] not in (b"", b"\n")
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

    def __exit__(self, *error: object) -> None:
        self._file.close()


class _Broadcast(Display):
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
    """How fast a step goes: by its estimate at first, by measured time as soon as two units ended."""

    def __init__(self, step: StepStarted, now: float) -> None:
        self.started, self.total, self.unit = now, step.total, step.unit
        self._estimate_s = step.estimate_s
        self._first: tuple[int, float] | None = None
        self._last: tuple[int, float] | None = None

    def advance(self, done: int, now: float) -> None:
        # an earlier, interrupted run may have done the units up to the first: they do not measure the pace
        self._first = self._first or (done, now)
        self._last = (done, now)

    def left(self, now: float) -> float | None:
        """Seconds until the end; None if the step is done, or nothing can be said."""
        if self._last and self._last[0] >= self.total:
            return None
        if self._first and self._last and self._last[0] > self._first[0]:
            a_unit = (self._last[1] - self._first[1]) / (self._last[0] - self._first[0])
            return max(0.0, (self.total - self._last[0]) * a_unit - (now - self._last[1]))
        if self._estimate_s is not None:
            remaining = self._estimate_s - (now - self.started)
            return remaining if remaining > 0 else None  # beyond a wrong estimate nothing is said
        if self._first and self._first[0] == 1:
            a_unit = self._first[1] - self.started
            return max(0.0, (self.total - 1) * a_unit - (now - self._first[1]))
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


def _fields(event: Event) -> dict[str, Any]:
    """An event's fields as JSON's types; those that JSON has no form for as Python writes them."""
    try:
        plain: dict[str, Any] = to_plain(event)
    except (PydanticSchemaGenerationError, PydanticSerializationError):
        return {field.name: repr(getattr(event, field.name)) for field in dataclasses.fields(event)}
    return plain
