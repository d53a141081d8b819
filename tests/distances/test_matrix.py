from __future__ import annotations

import pytest

from tanas.distances.base import Measurement
from tanas.distances.matrix import DistanceMatrix
from tanas.ground.errors import SettingError, UnknownNameError
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
    assert MATRIX.value("b", "a") == 0.5
    assert MATRIX.value("b", "t") == 0.25
    assert MATRIX.measurement("c,d", "t").source == "c,d"


def test_csv_has_a_row_a_source_and_zero_on_the_diagonal() -> None:
    assert MATRIX.csv() == 'source,a,t\na,0,1\nb,0.5,0.25\n"c,d",0.333333,1\n'


def test_nearest_come_by_value_then_shortfall_without_the_target_itself() -> None:
    assert [m.source for m in MATRIX.nearest("t")] == ["b", "c,d", "a"]
    assert [m.source for m in MATRIX.nearest("a")] == ["c,d", "b"]


def test_nearest_are_limited_by_number_and_by_threshold() -> None:
    assert [m.source for m in MATRIX.nearest("t", 1)] == ["b"]
    assert [m.source for m in MATRIX.nearest("t", threshold=0.25)] == ["b"]
    assert MATRIX.nearest("t", threshold=0.1) == ()


def test_an_untrained_network_stands_beside_it_and_not_in_the_csv() -> None:
    beside = DistanceMatrix.of(
        MATRIX.sources, MATRIX.targets, MATRIX.measurements, [measured(0.75), measured(1, 0.5)]
    )
    assert [(m.target, m.order) for m in beside.null] == [("a", 0.75), ("t", 1.5)]
    assert beside.csv() == MATRIX.csv()
    assert [m.source for m in beside.nearest("t")] == [m.source for m in MATRIX.nearest("t")]
    with pytest.raises(
        SettingError, match="The 'null' of DistanceMatrix must be one for each of the 2 targets"
    ):
        DistanceMatrix.of(MATRIX.sources, MATRIX.targets, MATRIX.measurements, [measured(0.75)])


def test_survives_json() -> None:
    assert from_plain(DistanceMatrix, to_plain(MATRIX), where="here") == MATRIX


def test_refuses_unknown_names_with_near_ones() -> None:
    with pytest.raises(
        UnknownNameError, match="'cd' is no source of this distance matrix. Did you mean 'c,d'?"
    ):
        MATRIX.value("cd", "t")


def test_refuses_names_that_occur_twice_and_numbers_that_do_not_fit() -> None:
    with pytest.raises(SettingError, match="The 'sources' of DistanceMatrix must differ. Got a, a instead."):
        DistanceMatrix.of(("a", "a"), ("t",), [measured(0), measured(0)])
    with pytest.raises(SettingError, match="must be 2 x 1. Got 1 instead."):
        DistanceMatrix.of(("a", "b"), ("t",), [measured(0)])
    with pytest.raises(SettingError, match="The 'k' of nearest must be at least 1. Got 0 instead."):
        MATRIX.nearest("t", 0)
