from __future__ import annotations

import re
from pathlib import Path

import pytest

from tanas.api.distances import Near
from tanas.cli.text import (
    atom_view,
    counted,
    dictionary_rows,
    dictionary_view,
    evaluation_view,
    matrix_view,
    near_rows,
    near_view,
    shown_distance,
    table,
)
from tanas.dictionary.bench import Related
from tanas.dictionary.store import Dictionary
from tanas.distances.base import Measurement
from tanas.distances.matrix import DistanceMatrix


def test_a_table_has_columns_under_its_head() -> None:
    assert table(["name", "d"], [["a", "0.1"], ["long one", "1"]]) == (
        "name        d\n"
        "a         0.1\n"
        "long one    1"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("value", "shortfall", "figures"),
    [
        (0.01234, 0.0, ["0.0123"]),
        (0.0, 0.0, ["0.0000"]),
        (1.0, 0.0, ["1.0000"]),
        (1.0, 0.25, ["1", "0.250"]),
    ],
)
def test_a_distance_at_which_nothing_passed_shows_its_shortfall(
    value: float, shortfall: float, figures: list[str]
) -> None:
    assert re.findall(r"\d[\d.]*", shown_distance(value, shortfall)) == figures


@pytest.mark.parametrize(("number", "text"), [(0, "0 atoms"), (1, "1 atom"), (1200, "1,200 atoms")])
def test_a_number_goes_with_its_noun(number: int, text: str) -> None:
    assert counted(number, "atom") == text


def test_a_dictionary_is_shown_as_a_table(shelf: Path) -> None:
    known = Dictionary(shelf / "known")
    lines = dictionary_view(known, dictionary_rows(known)).splitlines()
    assert str(known.folder) in lines[0]
    assert [line.split()[0] for line in lines[2:]] == ["npz:bars.npz:is=across", "npz:bars.npz:is=upright"]


def test_an_empty_dictionary_tells_of_the_starter(tmp_path: Path) -> None:
    empty = Dictionary.create(tmp_path / "my own")
    text = dictionary_view(empty, dictionary_rows(empty))
    assert f"tanas dictionary build '{tmp_path / 'my own'}'" in text


def test_an_atom_tells_what_it_is_and_where_it_comes_from(shelf: Path) -> None:
    atom = Dictionary(shelf / "known").find("npz:bars.npz:is=across")
    text = atom_view(atom)
    assert atom.best is not None
    for told in (
        "npz:bars.npz:is=across",
        "not across, across",
        f"{atom.task.train} training",
        f"{atom.representative.performance:.4f}",
        f"seed {atom.provenance.seed}",
        f"{atom.best.score:.4f}",
        f"{atom.best.parameters:,}",
    ):
        assert told in text


def test_a_distance_that_is_only_bounded_and_its_interval_are_seen() -> None:
    assert shown_distance(0.25, 0.0, at_least=True) == ">= 0.2500"
    assert shown_distance(0.25, 0.0, (0.125, 0.5)) == "0.2500 [0.125, 0.500]"


def measured(
    value: float, shortfall: float = 0.0, interval: tuple[float, float] | None = None
) -> Measurement:
    return Measurement(
        source="?", target="?", same=value == 0, value=value, shortfall=shortfall, interval=interval
    )


def test_a_matrix_shows_intervals_shortfalls_and_an_untrained_network() -> None:
    matrix = DistanceMatrix.of(
        ("a", "b"),
        ("a", "b"),
        [measured(0), measured(0.25, interval=(0.2, 0.375)), measured(1, 0.125), measured(0)],
        [measured(0.5), measured(0.75)],
    )
    cells = [re.split(r" {2,}", line)[1:] for line in matrix_view(matrix).splitlines()[:4]]
    assert cells == [["a", "b"], ["0.000", "0.250 [0.20, 0.38]"], ["1+0.125", "0.000"], ["0.500", "0.750"]]


def test_no_related_atom_is_said() -> None:
    near = Near(task="digits:is=8", related=(), untrained=None)
    assert "digits:is=8" in near_view(near)
    assert near_rows(near) == []


def test_the_nearest_are_shown_beside_an_untrained_network(shelf: Path) -> None:
    atom = Dictionary(shelf / "known").find("npz:bars.npz:is=across")
    first = Related("first", atom, measured(0.125, interval=(0.1, 0.4)))
    near = Near(task="t", related=(first,), untrained=measured(0.5))
    of_first, of_untrained = near_view(near).splitlines()[1:]
    assert of_first.split(maxsplit=1) == ["first", "0.1250 [0.100, 0.400]"]
    assert "0.5000" in of_untrained
    (row,) = near_rows(near)
    assert row["atom"] == "first"


def test_an_evaluation_is_one_line_and_one_more_on_other_images() -> None:
    document = {
        "task": "digits",
        "error": 0.0123,
        "balanced_error": 0.02,
        "images": 360,
        "constant_error": 0.9,
        "same_test_split": True,
    }
    (line,) = evaluation_view(document).splitlines()
    assert line.startswith("digits")
    assert re.findall(r"\d[\d.]*", line) == ["1.23", "2.00", "360", "90.00"]
    first, warning = evaluation_view({**document, "same_test_split": False}).splitlines()
    assert first == line and "test split" in warning
