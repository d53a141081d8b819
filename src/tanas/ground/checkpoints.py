"""Where a long computation keeps its state, to continue after it was killed. Algorithms know nothing of folders."""

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
"""Least seconds between two saves of running work: a save takes milliseconds, and a lost second is nothing."""


class Checkpoint(Protocol):
    """Values by name: tensors, numbers, strings, and dicts, lists and tuples of them."""

    def load(self, key: str) -> Any | None:
        """The value last saved under the key, or None."""

    def save(self, key: str, value: Any) -> None:
        """Keep a value, whole or not at all."""

    def child(self, name: str) -> Checkpoint:
        """A part whose keys are its own."""

    def clear(self) -> None:
        """Forget all values of this part."""


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
    """Wall-clock seconds of the phases that a listener hears of (`Context.phase`), over all sessions of a run.

    A phase that ends by an error or Ctrl-C counts up to that moment. A process killed at once (SIGKILL) loses the
    time since the last event that was heard, and up to `SAVED_EVERY_S` before it.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._seconds: dict[str, float] = dict(checkpoint.load("seconds") or {})
        self._running: dict[str, float] = {}
        self._saved = time.monotonic()

    def heard(self, listener: Listener) -> Listener:
        """The listener with a clock before it: times phases, and saves the seconds now and then."""

        def told(event: Event) -> None:
            if isinstance(event, PhaseStarted):
                self._running[event.phase] = time.monotonic()
            elif isinstance(event, PhaseFinished):
                self._seconds[event.phase] = self.seconds(event.phase)
                self._running.pop(event.phase, None)  # a phase within another of its name has ended it
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
