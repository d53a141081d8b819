from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import EntryPoint

import pytest

from tanas.distances import methods as module
from tanas.distances.base import Distance
from tanas.distances.gate import GateConfig
from tanas.distances.intervals import IntervalConfig
from tanas.distances.methods import METHODS, DistanceConfig, all_methods, make_distance
from tanas.distances.pairs import PairConfig
from tanas.distances.probes import KnnDistance
from tanas.distances.transform import TransformConfig, TransformDistance
from tanas.ground.errors import UnknownNameError
from tanas.ground.records import digest, from_plain, to_plain
from tanas.ground.seeds import Seed

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


def test_the_transform_network_takes_its_settings() -> None:
    distance = make_distance(CONFIG)
    assert distance == TransformDistance(CONFIG.transform, CONFIG.gate, CONFIG.intervals)
    exact = make_distance(CONFIG, "exact")
    assert exact == TransformDistance(replace(CONFIG.transform, exact=True), CONFIG.gate, CONFIG.intervals)


def test_an_unknown_method_is_refused_with_near_ones() -> None:
    message = "'transfrom' .* 'transform'"
    with pytest.raises(UnknownNameError, match=message):
        DistanceConfig(method="transfrom")
    with pytest.raises(UnknownNameError, match=message):
        make_distance(CONFIG, "transfrom")


def test_settings_survive_json() -> None:
    assert from_plain(DistanceConfig, to_plain(CONFIG), where="here") == CONFIG


def of_another_package(config: DistanceConfig) -> Distance:
    return KnnDistance(intervals=config.intervals)


class TestInstalledMethods:
    @pytest.fixture(autouse=True)
    def another_package(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        points = [
            EntryPoint(name, f"{__name__}:of_another_package", module.PLUGINS) for name in ("new", "knn")
        ]
        monkeypatch.setattr(EntryPoint, "load", lambda self: of_another_package)
        monkeypatch.setattr(module, "entry_points", lambda *, group: points)
        all_methods.cache_clear()
        yield
        all_methods.cache_clear()

    def test_come_after_the_methods_of_tanas_and_replace_none(self) -> None:
        assert list(all_methods()) == [*METHODS, "new"]
        assert all_methods()["knn"] is METHODS["knn"]

    def test_are_made_by_their_name(self) -> None:
        intervals = IntervalConfig(draws=30)
        assert make_distance(DistanceConfig(method="new", intervals=intervals)) == KnnDistance(
            intervals=intervals
        )
        with pytest.raises(UnknownNameError, match="'newe' .* 'new'"):
            DistanceConfig(method="newe")


@pytest.mark.parametrize(
    ("method", "key"),
    [
        ("transform", "bd0bfd2f05ef7dad"),
        ("exact", "5ab4caacda14fd79"),
        ("narrow", "e6d1720586d03055"),
        ("linear", "6ee6ac56c6b5beb1"),
        ("knn", "1f4a18788f9debc1"),
        ("probe", "6afa40eb56ad61ed"),
        ("logme", "55f88cf81aba85c4"),
    ],
)
def test_distances_stored_by_older_versions_are_found(method: str, key: str) -> None:
    """The digests were computed when the field 'errors' of GateConfig was a setting."""
    distance = make_distance(DistanceConfig(), method)
    assert digest("a", "b", "c", distance.name, distance, PairConfig(), Seed(0)) == key
