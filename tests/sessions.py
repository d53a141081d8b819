"""Commands of tanas in processes of their own, which can be killed at a chosen moment.

The processes are forked from a server that has imported torch already, so that each starts in no time.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import re
import signal
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.sessions", "tests.warm"])


@dataclass(frozen=True)
class Ended:
    """How a session ended."""

    status: int
    """Exit status; -9 if it was killed."""
    out: str
    err: str


@dataclass(frozen=True)
class Moment:
    """When a session kills itself: at an event, or just before the n-th file takes its place."""

    event: str = ""
    """Name of the event's class."""
    fields: dict[str, str] = field(default_factory=dict)
    """Patterns that its fields match from their beginning."""
    file: int = 0


def session(
    arguments: list[str],
    folder: Path,
    *,
    killed_at: Moment | None = None,
    light: bool = False,
) -> Ended:
    """Runs `tanas ARGUMENTS` in a folder, to its end or to the moment when it is killed.

    Args:
        arguments: of the command.
        folder: it runs there.
        killed_at: when SIGKILL comes.
        light: whether it is lightened; else jobs run in workers, and a report is drawn, as always.
    """
    process = _context.Process(target=_run, args=(arguments, folder, killed_at, light))
    process.start()
    process.join(240)
    assert process.exitcode is not None, f"{arguments} did not end"
    return Ended(process.exitcode, (folder / "out.txt").read_text(), (folder / "err.txt").read_text())


def without_times(plain: Any) -> Any:
    """The same without the keys that end in _s: they hold seconds."""
    if isinstance(plain, dict):
        return {key: without_times(value) for key, value in plain.items() if not key.endswith("_s")}
    return [without_times(value) for value in plain] if isinstance(plain, list) else plain


def repeated(file: Path) -> str:
    """What of a JSON file has to repeat to the byte."""
    return json.dumps(without_times(json.loads(file.read_bytes())), indent=1)


def tree(folder: Path) -> dict[str, tuple[bytes, int]]:
    """Content and time of every file below a folder."""
    return {
        str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def _run(
    arguments: list[str],
    folder: Path,
    killed_at: Moment | None,
    light: bool,
) -> None:
    os.chdir(folder)
    os.environ.update({**ENVIRONMENT, "TANAS_DICTIONARY": str(folder / "own")})
    for name, descriptor in (("out.txt", 1), ("err.txt", 2)):
        os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    import tanas.dictionary.starter

    tanas.dictionary.starter.FOLDER = STARTER
    if light:
        lighten(setattr)
    if killed_at is not None and killed_at.file:
        _die_at_file(killed_at.file)
    elif killed_at is not None:
        _die_at_event(killed_at)

    from tanas.cli.main import main

    sys.exit(main(arguments))


STARTER = Path("starter")
"""In place of the starter memory, which would slow every search down: a folder that is there in a few tests only."""


def lighten(setattr_: Callable[[Any, str, Any], None]) -> None:
    """Lets commands run their jobs in this process, where no worker has to import torch, and leaves reports out.

    Args:
        setattr_: sets an attribute of a module, for good or for a test.
    """
    from contextlib import contextmanager

    import tanas.algorithm.winner
    import tanas.api.run
    import tanas.api.search
    import tanas.engines.resources
    from tanas.engines.local import limited_threads
    from tanas.ground.executor import InThisProcess

    class Engine(InThisProcess):
        def submit_heard(self, listener: Any, function: Any, /, *args: Any) -> Any:
            return self.submit(partial(function, *args, listener=listener))

    @contextmanager
    def inline_engine(resources: Any) -> Any:
        with limited_threads(resources.threads):
            yield Engine()

    for module in (tanas.engines.resources, tanas.api.search):
        setattr_(module, "local_engine", inline_engine)
    setattr_(tanas.algorithm.winner, "expected_seconds", lambda *_, **__: 1.0)
    setattr_(tanas.api.run, "render", lambda result: f"<html>{result.task.name}</html>")


def _die_at_event(moment: Moment) -> None:
    from tanas.api import progress as listeners

    write = listeners.JsonLinesListener.__call__

    def told(self: Any, event: Any) -> None:
        write(self, event)
        if type(event).__name__ == moment.event and all(
            re.match(pattern, str(getattr(event, name))) for name, pattern in moment.fields.items()
        ):
            os.kill(os.getpid(), signal.SIGKILL)

    listeners.JsonLinesListener.__call__ = told  # type: ignore[method-assign]


def _die_at_file(number: int) -> None:
    replace, left = os.replace, [number]

    def counted(source: Any, target: Any) -> None:
        left[0] -= 1
        if left[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        replace(source, target)

    os.replace = counted  # type: ignore[assignment]
