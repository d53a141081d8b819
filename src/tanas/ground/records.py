"""Frozen dataclasses to JSON and back, and files that are whole or not there at all."""

from __future__ import annotations

import hashlib
import json
import os
import shlex
import shutil
import tempfile
from collections.abc import Hashable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, TypeVar, cast

from pydantic import TypeAdapter, ValidationError

from tanas.ground.errors import StoreError

Record = TypeVar("Record")

SCHEMA = 1
"""Version of every file that tanas writes; it rises when an older tanas could misread one."""


@cache
def _adapter(kind: Hashable) -> TypeAdapter[Any]:
    return TypeAdapter(cast(Any, kind))


def to_plain(record: object) -> Any:
    """A record as JSON's own types: dicts, lists, strings, numbers."""
    return _adapter(cast(Hashable, type(record))).dump_python(record, mode="json")


def from_plain(kind: type[Record], plain: object, *, where: str) -> Record:
    """A record from JSON's own types.

    Args:
        kind: dataclass to make.
        plain: what `to_plain` gave.
        where: file or place that an error names.

    Raises:
        StoreError: the content does not fit; the message names the first wrong field.
    """
    try:
        return _adapter(cast(Hashable, kind)).validate_python(plain)  # type: ignore[no-any-return]
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(str(part) for part in first["loc"]) or "the whole"
        message = str(first["ctx"]["error"]) if first["type"] == "value_error" else first["msg"]
        raise StoreError(f"{where} is not a {kind.__name__}: {field}: {message.rstrip('.')}.") from error


def to_json(record: object) -> str:
    """A record as JSON text, indented, ending in a newline; equal records give equal bytes."""
    return json.dumps(to_plain(record), indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def write_json(path: Path, record: object) -> None:
    """Write a record as JSON, whole or not at all."""
    write_bytes(path, to_json(record).encode())


def read_json(path: Path) -> Any:
    """The content of a JSON file.

    Raises:
        StoreError: it is missing, unreadable or not JSON.
    """
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise StoreError(f"There is no file {path}.") from error
    except (OSError, ValueError) as error:
        raise StoreError(f"{path} can't be read: it is damaged or not JSON ({error}).") from error


def read_record(kind: type[Record], path: Path) -> Record:
    """A record from a file of `write_json`; StoreError if it is missing, damaged or of another kind."""
    return from_plain(kind, read_json(path), where=str(path))


def read_marker(path: Path, kind: str, *, make: str) -> dict[str, Any]:
    """The content of the file that says what a folder is: `kind`, `schema`, and perhaps more.

    Args:
        path: of the file.
        kind: what the folder has to be, such as 'tanas dictionary'.
        make: the command that makes such a folder, without the folder's name, for the error.

    Raises:
        StoreError: the folder is of another kind or version, or the file is damaged.
    """
    folder, noun = path.parent, kind.removeprefix("tanas ")
    if not path.exists():
        if is_free(folder):
            advice = f"Make one: {make} {shlex.quote(str(folder))}"
        else:  # there the command would be refused
            advice = f"Name another folder, or make one elsewhere: {make} my-{noun}"
        raise StoreError(f"{folder} is not a {noun}: it holds no {path.name}. {advice}")
    plain = read_json(path)
    if not isinstance(plain, dict) or plain.get("kind") != kind:
        raise StoreError(f"{folder} is not a {noun}: its {path.name} is of another kind.")
    if plain.get("schema") != SCHEMA:
        raise StoreError(
            f"The {noun} {folder} has schema {plain.get('schema')}; this tanas reads schema {SCHEMA}. "
            "Use the version of tanas that wrote it, or make a new one."
        )
    return plain


def is_free(folder: Path) -> bool:
    """Whether a folder is missing, or holds hidden entries only."""
    try:
        return not folder.exists() or all(entry.name.startswith(".") for entry in folder.iterdir())
    except OSError:  # a file, or a folder that can't be read
        return False


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file beside its place and rename it there: it is never half-written.

    Raises:
        StoreError: the folder can't be written to.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):  # it may never have been made
            temporary.unlink()
        raise _unwritable(path, error) from error


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """A folder to fill; when the block ends well it is renamed to `path` and replaces it, else it is removed.

    Raises:
        StoreError: the parent can't be written to.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent))
    except OSError as error:
        raise _unwritable(path, error) from error
    try:
        temporary.chmod(0o755)
        yield temporary
        if path.exists():
            retired = temporary.with_suffix(".old")
            os.replace(path, retired)
            os.replace(temporary, path)
            shutil.rmtree(retired)
        else:
            os.replace(temporary, path)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def lasting(part: object) -> Any:
    """A record as JSON's own types, with the fields that it had in the first version of tanas."""
    plain = to_plain(part)

    def within(value: object, plain: Any) -> Any:
        if is_dataclass(value) and isinstance(plain, dict):
            added = getattr(value, "ADDED", {})
            kept = {
                field.name: within(getattr(value, field.name), plain[field.name])
                for field in fields(value)
                if field.name in plain
                and (field.name not in added or getattr(value, field.name) != added[field.name])
            }
            return getattr(value, "RETIRED", {}) | kept
        if isinstance(value, (tuple, list)) and isinstance(plain, list):
            return [within(*pair) for pair in zip(value, plain, strict=True)]
        if isinstance(value, Mapping) and isinstance(plain, dict):
            return dict(zip(plain, map(within, value.values(), plain.values()), strict=True))
        return plain

    return within(part, plain)


def _unwritable(path: Path, error: OSError) -> StoreError:
    return StoreError(f"{path} can't be written: {error.strerror or error}. Choose another place.")


def digest(*parts: object) -> str:
    """A hash over records, strings and bytes, 16 hexadecimal digits: names a state in caches and file names.

    A dataclass keeps its digest when fields go or come: `RETIRED = {name: value}` in it names the fields that it had
    once, at the values that are built in now; `ADDED` names later fields, which count unless they have these values.
    """
    total = hashlib.sha256()
    for part in parts:
        content = part if isinstance(part, bytes) else json.dumps(lasting(part), sort_keys=True).encode()
        total.update(len(content).to_bytes(8, "big"))
        total.update(content)
    return total.hexdigest()[:16]
