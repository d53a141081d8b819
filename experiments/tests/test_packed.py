"""Records whose long lists are written as tables."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tanas.ground.errors import StoreError
from tanas.ground.records import write_json
from tanas_experiments.packed import packed, read_packed, unpacked, write_packed


@dataclass(frozen=True, kw_only=True)
class Row:
    name: str
    spent: dict[str, int]
    steps: tuple[dict[str, float], ...] = ()
    most: int | None = None


@dataclass(frozen=True, kw_only=True)
class Rows:
    n: int
    rows: tuple[Row, ...]


ROWS = Rows(
    n=8,
    rows=tuple(
        Row(
            name=f"a, {number}",
            spent={"search": number} if number % 2 else {"search": number, "train": 2},
            steps=({"l": 0.1 * number},) * (number % 3),
            most=None if number == 3 else number,
        )
        for number in range(8)
    ),
)


def test_a_record_is_read_again_as_it_was_written(tmp_path: Path) -> None:
    write_packed(tmp_path / "packed.json", ROWS)
    write_json(tmp_path / "plain.json", ROWS)
    assert read_packed(Rows, tmp_path / "packed.json") == read_packed(Rows, tmp_path / "plain.json") == ROWS


def test_names_stand_once_and_a_row_is_a_line(tmp_path: Path) -> None:
    write_packed(tmp_path / "packed.json", ROWS)
    text = (tmp_path / "packed.json").read_text()
    assert text.count("search") == text.count("train?") == text.count('"l"') == 1
    assert '   ["a, 2",[2,2],[[0.2],[0.2]],2],\n' in text
    assert '   ["a, 3",[3,null],[],null],\n' in text


@pytest.mark.parametrize(
    "plain",
    [
        {"a": [], "b": [{}], "c": {"d": [1, [2, {"e": None}]]}},
        [{"a": number, "b": [{"c": 1}] * number} for number in range(12)],
        [{"a": [{"b": number, "c": [1]} for number in range(9)]} for _ in range(7)],
        [{"a": {"b": number}} if number else {"a": {}} for number in range(7)],
        [{"a": [] if number else [1]} for number in range(7)],
        [{"a": {"b": number}} if number else {"a": 3} for number in range(7)],
        [{"a": None} if number else {"a": {"b": 1}} for number in range(7)],
    ],
)
def test_whatever_json_holds_comes_back(plain: Any) -> None:
    assert unpacked(json.loads(json.dumps(packed(plain)))) == plain


def test_what_a_table_can_not_tell_is_refused() -> None:
    with pytest.raises(ValueError, match="'b' is null in one row and missing in another"):
        packed([{"a": 1, "b": None}, *({"a": number} for number in range(6))])


def test_a_record_of_another_kind_is_refused(tmp_path: Path) -> None:
    write_json(tmp_path / "other.json", {"n": 1})
    with pytest.raises(StoreError, match="is not a Rows"):
        read_packed(Rows, tmp_path / "other.json")
