from __future__ import annotations

from dataclasses import replace

import pytest

from tanas.distances.base import NEEDS
from tanas.distances.gate import GateConfig
from tanas.distances.intervals import IntervalConfig
from tanas.distances.methods import METHODS, DistanceConfig, make_distance
from tanas.distances.transform import TransformConfig, TransformDistance
from tanas.ground.errors import UnknownNameError
from tanas.ground.records import from_plain, to_plain

CONFIG = DistanceConfig(
    method="transform",
    gate=GateConfig(asked="dense"),
    intervals=IntervalConfig(draws=30),
    transform=TransformConfig(widths=(8,)),
)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_goes_by_its_name(name: str) -> None:
    distance = make_distance(CONFIG, name)
    assert distance.name == name
    assert make_distance(replace(CONFIG, method=name)) == distance
    assert set(distance.needs) <= set(NEEDS)


def test_the_transform_network_takes_its_settings() -> None:
    distance = make_distance(CONFIG)
    assert distance == TransformDistance(CONFIG.transform, CONFIG.gate, CONFIG.intervals)
    exact = make_distance(CONFIG, "exact")
    assert exact == TransformDistance(replace(CONFIG.transform, exact=True), CONFIG.gate, CONFIG.intervals)


def test_an_unknown_method_is_refused_with_near_ones() -> None:
    message = "'transfrom' is no method of measuring a distance. Did you mean 'transform'"
    with pytest.raises(UnknownNameError, match=message):
        DistanceConfig(method="transfrom")
    with pytest.raises(UnknownNameError, match=message):
        make_distance(CONFIG, "transfrom")


def test_settings_survive_json() -> None:
    assert from_plain(DistanceConfig, to_plain(CONFIG), where="here") == CONFIG
