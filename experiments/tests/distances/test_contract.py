"""The laboratory's distances keep what every distance promises."""

from __future__ import annotations

import pytest
from tests.contracts.test_distance import SMALL, TestDistanceContract, another_process

from tanas.distances.base import Distance
from tanas.distances.methods import METHODS, all_methods, make_distance

__all__ = ["TestDistanceContract", "another_process"]

OWN = ("h-score", "leep", "cka", "fisher")


@pytest.fixture(params=OWN, scope="module")
def distance(request: pytest.FixtureRequest) -> Distance:
    return make_distance(SMALL, request.param)


def test_all_are_found_where_the_laboratory_is_installed() -> None:
    assert set(all_methods()) == {*METHODS, *OWN}
