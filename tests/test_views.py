from __future__ import annotations

from pathlib import Path

import pytest

from tanas.dictionary.store import Dictionary
from tanas.views import (
    atom_view,
    counted,
    dictionary_rows,
    dictionary_view,
    evaluation_view,
    related_view,
    shown_distance,
    table,
)


def test_a_table_has_columns_under_its_head() -> None:
    assert table(["name", "d"], [["a", "0.1"], ["long one", "1"]]) == (
        "name        d\n"
        "a         0.1\n"
        "long one    1"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("value", "shortfall", "text"),
    [(0.01234, 0.0, "0.0123"), (0.0, 0.0, "0.0000"), (1.0, 0.0, "1.0000"), (1.0, 0.25, "1 (short by 0.250)")],
)
def test_a_distance_at_which_nothing_passed_shows_its_shortfall(
    value: float, shortfall: float, text: str
) -> None:
    assert shown_distance(value, shortfall) == text


@pytest.mark.parametrize(("number", "text"), [(0, "0 atoms"), (1, "1 atom"), (1200, "1,200 atoms")])
def test_a_number_goes_with_its_noun(number: int, text: str) -> None:
    assert counted(number, "atom") == text


def test_a_dictionary_is_shown_as_a_table(shelf: Path) -> None:
    known = Dictionary(shelf / "known")
    lines = dictionary_view(known, dictionary_rows(known)).splitlines()
    assert lines[0].endswith("known: 2 atoms")
    assert lines[1].split("  ")[0] == "atom"
    assert [line.split()[0] for line in lines[2:]] == ["npz:bars.npz:is=across", "npz:bars.npz:is=upright"]


def test_an_empty_dictionary_tells_of_the_starter(tmp_path: Path) -> None:
    empty = Dictionary.create(tmp_path / "my own")
    text = dictionary_view(empty, dictionary_rows(empty))
    assert (
        text
        == f"{tmp_path / 'my own'}: no atoms yet. A starter: tanas dictionary build '{tmp_path / 'my own'}'"
    )


def test_an_atom_tells_what_it_is_and_where_it_comes_from(shelf: Path) -> None:
    atom = Dictionary(shelf / "known").find("npz:bars.npz:is=across")
    text = atom_view(atom)
    assert text.startswith("npz:bars.npz:is=across: not across, across\n")
    assert "60 training and " in text
    assert f"l = {atom.representative.performance:.4f}" in text
    assert "made by build with seed 0, tanas " in text
    assert atom.best is not None
    assert f"score {atom.best.score:.4f}, {atom.best.parameters:,} parameters" in text
    assert "more candidate" in text


def test_no_related_atom_is_said() -> None:
    assert related_view("digits:is=8", []) == "No atom is within the threshold of digits:is=8."


def test_an_evaluation_is_one_line() -> None:
    document = {
        "task": "digits",
        "error": 0.0123,
        "balanced_error": 0.02,
        "images": 360,
        "constant_error": 0.9,
    }
    assert evaluation_view(document) == (
        "digits: error 1.23%, balanced error 2.00% on 360 test images (always the commonest class: 90.00%)"
    )
