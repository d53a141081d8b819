from __future__ import annotations

import pytest

from tanas.distances.base import Measurement
from tanas.distances.matrix import DistanceMatrix
from tanas.ground.errors import UnknownNameError
from tanas.ground.records import from_plain, to_plain


def measured(value: float, shortfall: float = 0.0, same: bool = False) -> Measurement:
    return Measurement(source="?", target="?", same=same, value=value, shortfall=shortfall)


MATRIX = DistanceMatrix.of(
    ("a", "b", "c,d"),
    ("a", "t"),
    [
        *(measured(0, same=True), measured(1, 0.2)),
        *(measured(0.5), measured(0.25)),
        *(measured(1 / 3), measured(1, 0.1)),
    ],
)


def test_values_go_by_name_a_row_a_source() -> None:
    assert MATRIX.measurement("b", "a").value == 0.5
    assert MATRIX.measurement("b", "t").value == 0.25
    assert MATRIX.measurement("c,d", "t").source == "c,d"


def test_csv_has_a_row_a_source_and_zero_on_the_diagonal() -> None:
    assert MATRIX.csv() == 'source,a,t\na,0,1\nb,0.5,0.25\n"c,d",0.333333,1\n'


def test_nearest_come_by_value_then_shortfall_without_the_target_itself() -> None:
    assert [m.source for m in MATRIX.nearest("t")] == ["b", "c,d", "a"]
    assert [m.source for m in MATRIX.nearest("a")] == ["c,d", "b"]


def test_an_untrained_network_stands_beside_it_and_not_in_the_csv() -> None:
    beside = DistanceMatrix.of(
        MATRIX.sources, MATRIX.targets, MATRIX.measurements, [measured(0.75), measured(1, 0.5)]
    )
    assert [(m.target, m.order) for m in beside.null] == [("a", 0.75), ("t", 1.5)]
    assert beside.csv() == MATRIX.csv()
    assert [m.source for m in beside.nearest("t")] == [m.source for m in MATRIX.nearest("t")]


def test_survives_json() -> None:
    assert from_plain(DistanceMatrix, to_plain(MATRIX), where="here") == MATRIX


def test_refuses_unknown_names_with_near_ones() -> None:
    with pytest.raises(UnknownNameError, match="'cd' .* 'c,d'"):
        MATRIX.measurement("cd", "t")
