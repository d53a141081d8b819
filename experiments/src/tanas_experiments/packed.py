"""Records as JSON with long lists of alike objects written as tables: names once, then one line a row."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from tanas.ground.records import from_plain, read_json, to_plain, write_bytes

Record = TypeVar("Record")

LEAST_ROWS = 6
"""Shorter lists stay as they are: they are read more easily by their names."""
TABLE = {"columns", "rows"}


def write_packed(path: Path, record: object) -> None:
    """Write a record, whole or not at all, in a third of the space that `write_json` takes."""
    write_bytes(path, (_text(packed(to_plain(record))) + "\n").encode())


def read_packed(kind: type[Record], path: Path) -> Record:
    """Read a record that `write_packed` or `write_json` wrote.

    Raises:
        StoreError: the file is missing, damaged or of another kind.
    """
    return from_plain(kind, unpacked(read_json(path)), where=str(path))


def packed(plain: Any) -> Any:
    """The same with each long list of objects as {"columns": names, "rows": values}.

    A column is a name, or {name: columns} of an object, or {name: [columns]} of a list of objects. A name ends in
    "?" where some rows lack it; they have null there.
    """
    if isinstance(plain, dict):
        return {name: packed(value) for name, value in plain.items()}
    if not isinstance(plain, list):
        return plain
    if not _is_table(plain):
        return [packed(value) for value in plain]
    columns = _columns(plain)
    return {"columns": columns, "rows": [_values(row, columns) for row in plain]}


def _is_table(plain: list[Any]) -> bool:
    """Whether a list becomes a table; a short one of longer lists does not, but they may."""
    if len(plain) < LEAST_ROWS or not _is_objects(plain):
        return False
    inner = [value for row in plain for value in row.values() if _is_objects(value)]
    return len(plain) > max(map(len, inner), default=0)


def _is_objects(plain: Any) -> bool:
    return isinstance(plain, list) and all(isinstance(value, dict) for value in plain)


def unpacked(plain: Any) -> Any:
    """What `packed` was given."""
    if isinstance(plain, dict):
        if plain.keys() == TABLE:
            return [_object(row, plain["columns"]) for row in plain["rows"]]
        return {name: unpacked(value) for name, value in plain.items()}
    return [unpacked(value) for value in plain] if isinstance(plain, list) else plain


def _columns(rows: Sequence[dict[str, Any]]) -> list[Any]:
    columns: list[Any] = []
    for name in dict.fromkeys(name for row in rows for name in row):
        values = [row[name] for row in rows if name in row]
        shown = name
        if len(values) < len(rows):
            shown += "?"
            if None in values:
                raise ValueError(
                    f"'{name}' is null in one row and missing in another, which a table can't tell."
                )
        if all(isinstance(value, dict) for value in values):
            columns.append({shown: _columns(values)})
        elif any(values) and all(_is_objects(value) for value in values):
            columns.append({shown: [_columns([part for value in values for part in value])]})
        else:
            columns.append(shown)
    return columns


def _named(column: Any) -> tuple[str, Any]:
    """A column's name, and its own columns; None: it holds plain values."""
    return next(iter(column.items())) if isinstance(column, dict) else (column, None)


def _values(row: dict[str, Any], columns: Sequence[Any]) -> list[Any]:
    return [_packed_value(row.get(name.removesuffix("?")), inner) for name, inner in map(_named, columns)]


def _packed_value(value: Any, inner: Any) -> Any:
    if inner is None or value is None:
        return value
    is_list = isinstance(value, list)
    return [_values(part, inner[0]) for part in value] if is_list else _values(value, inner)


def _object(values: Sequence[Any], columns: Sequence[Any]) -> dict[str, Any]:
    return {
        name.removesuffix("?"): _unpacked_value(value, inner)
        for (name, inner), value in zip(map(_named, columns), values, strict=True)
        if value is not None or not name.endswith("?")
    }


def _unpacked_value(value: Any, inner: Any) -> Any:
    if inner is None or value is None:
        return value
    is_list = bool(inner) and isinstance(inner[0], list)
    return [_object(part, inner[0]) for part in value] if is_list else _object(value, inner)


def _text(plain: Any, indent: str = "") -> str:
    """JSON with one line a row of a table, and one a value elsewhere."""
    deeper = indent + " "
    if isinstance(plain, dict) and plain:
        inside = [
            f"{json.dumps(name, ensure_ascii=False)}: {_text(value, deeper)}" for name, value in plain.items()
        ]
        if plain.keys() == TABLE:
            lines = f",\n{deeper} ".join(_line(row) for row in plain["rows"])
            inside = [f'"columns": {_line(plain["columns"])}', f'"rows": [\n{deeper} {lines}\n{deeper}]']
        return "{\n" + ",\n".join(f"{deeper}{part}" for part in inside) + f"\n{indent}}}"
    if isinstance(plain, list) and any(isinstance(value, dict | list) for value in plain):
        return "[\n" + ",\n".join(f"{deeper}{_text(value, deeper)}" for value in plain) + f"\n{indent}]"
    return _line(plain)


def _line(plain: Any) -> str:
    return json.dumps(plain, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
