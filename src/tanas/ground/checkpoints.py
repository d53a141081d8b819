"""Where a long computation keeps its state, so that it can go on after it was killed.

The algorithms are handed a `Checkpoint` and know nothing of folders.
"""

from __future__ import annotations

import hashlib
import io
import shutil
import time
from pathlib import Path
from typing import Any, Protocol

import torch

from tanas.ground.errors import StoreError
from tanas.ground.events import Event, Listener, PhaseFinished, PhaseStarted
from tanas.ground.records import write_bytes

SAVED_EVERY_S = 1.0
"""Seconds of work are saved no more often: a save takes milliseconds, and a second more or less is nothing."""


class Checkpoint(Protocol):
    """Values by name: tensors, numbers, strings, and dicts, lists and tuples of them."""

    def load(self, key: str) -> Any | None:
        """What was saved last under the key; None if nothing was."""

    def save(self, key: str, value: Any) -> None:
        """Keeps a value, whole or not at all."""

    def child(self, name: str) -> Checkpoint:
        """A part whose keys are its own."""

    def clear(self) -> None:
        """Forgets all values of this part."""


class NoCheckpoint:
    """Keeps nothing."""

    def load(self, key: str) -> Any | None:
        return None

    def save(self, key: str, value: Any) -> None:
        return None

    def child(self, name: str) -> Checkpoint:
        return self

    def clear(self) -> None:
        return None


class FolderCheckpoint:
    """Keeps each value as a file (torch's format, read without running code) with a checksum in front."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def load(self, key: str) -> Any | None:
        path = self._folder / f"{key}.pt"
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        if hashlib.sha256(content[32:]).digest() != content[:32]:
            raise StoreError(f"{path} is damaged. Remove it: the step that it belongs to is then done again.")
        return torch.load(io.BytesIO(content[32:]), weights_only=True)

    def save(self, key: str, value: Any) -> None:
        buffer = io.BytesIO()
        torch.save(value, buffer)
        content = buffer.getvalue()
        write_bytes(self._folder / f"{key}.pt", hashlib.sha256(content).digest() + content)

    def child(self, name: str) -> Checkpoint:
        return FolderCheckpoint(self._folder / name)

    def clear(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)


class Stopwatch:
    """Wall-clock seconds of named phases, those of interrupted sessions included.

    Phases are those that a listener is told of (`Context.phase`), so that no algorithm looks at a clock.
    A phase that ends by an error or an interrupt (Ctrl-C) is counted up to that moment. A process that is
    killed at once (SIGKILL) can't save anything: it forgets what came after the last event that a listener of
    `heard` was told of, and up to `SAVED_EVERY_S` before it.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._seconds: dict[str, float] = dict(checkpoint.load("seconds") or {})
        self._running: dict[str, float] = {}
        self._saved = time.monotonic()

    def heard(self, listener: Listener) -> Listener:
        """The listener, after the phases that it is told of have been timed; now and then seconds are saved."""

        def told(event: Event) -> None:
            if isinstance(event, PhaseStarted):
                self._running[event.phase] = time.monotonic()
            elif isinstance(event, PhaseFinished):
                self._seconds[event.phase] = self.seconds(event.phase)
                self._running.pop(event.phase, None)  # one within another of its name has ended it
                self._save()
            elif self._running and time.monotonic() - self._saved >= SAVED_EVERY_S:
                self._save()
            listener(event)

        return told

    def seconds(self, name: str) -> float:
        """Seconds of a phase so far; 0 if it never ran."""
        running = time.monotonic() - self._running[name] if name in self._running else 0.0
        return self._seconds.get(name, 0.0) + running

    def _save(self) -> None:
        self._saved = time.monotonic()
        self._checkpoint.save(
            "seconds", {name: self.seconds(name) for name in [*self._seconds, *self._running]}
        )
