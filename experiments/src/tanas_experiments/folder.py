"""The folder of an experiment: what was asked, the state that it goes on from, and what came of it."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import filelock

from tanas.ground.checkpoints import FolderCheckpoint
from tanas.ground.errors import SettingError, StoreError
from tanas.ground.records import SCHEMA, digest, read_json, write_json
from tanas.runs.folder import check_writable

REQUEST_FILE = "request.json"


@contextmanager
def experiment_folder(folder: Path, kind: str, request: Mapping[str, Any]) -> Iterator[FolderCheckpoint]:
    """Makes the folder of an experiment, or opens it to go on; nobody else can work on it meanwhile.

    Args:
        folder: of the experiment.
        kind: name of the experiment.
        request: what decides its numbers, as JSON's own types; another request on the same folder is refused.

    Yields:
        where its pieces are kept.

    Raises:
        StoreError: the folder is something else's, can't be written, or another process works on it.
        SettingError: it was begun with other settings; the message names the first.
    """
    check_writable(folder)
    path = folder / REQUEST_FILE
    asked = {"kind": kind, "schema": SCHEMA, "request": json.loads(json.dumps(request))}
    if not path.exists():
        if folder.exists() and any(not entry.name.startswith(".") for entry in folder.iterdir()):
            raise StoreError(
                f"{folder} is not empty and holds no experiment. Name an empty or a new folder with --out."
            )
        write_json(path, asked)
    try:
        with filelock.FileLock(folder / ".lock", timeout=0):
            _refuse_other(folder, read_json(path), asked)
            yield FolderCheckpoint(folder / "pieces")
    except filelock.Timeout as error:
        raise StoreError(f"Another process works on {folder}. Wait for it, or name another --out.") from error


@contextmanager
def alone_with(record: Path | None) -> Iterator[None]:
    """Nobody else reads and writes a record meanwhile, to which several processes add; no file is left beside it."""
    if record is None:
        yield
        return
    lock = Path(tempfile.gettempdir()) / f"tanas-{digest(str(record.resolve()))}.lock"
    with filelock.FileLock(lock):
        yield


def _refuse_other(folder: Path, before: Any, now: Mapping[str, Any]) -> None:
    if not isinstance(before, dict) or before.get("kind") != now["kind"]:
        raise StoreError(f"{folder} holds something else than {now['kind']}. Name another folder with --out.")
    found = _first_difference("", before, now)
    if found is not None:
        name, was, is_now = found
        raise SettingError(
            f"{folder} was begun with {name} = {was!r}; now it is {is_now!r}. "
            "Repeat the first command to go on, or name another --out."
        )


def _first_difference(name: str, before: Any, now: Any) -> tuple[str, Any, Any] | None:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys([*before, *now]):
            inner = f"{name}.{key}" if name else key
            if (found := _first_difference(inner, before.get(key), now.get(key))) is not None:
                return found
        return None
    return None if before == now else (name.removeprefix("request."), before, now)
