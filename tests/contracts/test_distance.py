"""What every distance between tasks promises."""

from __future__ import annotations

import json
import math
import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import fields, replace
from functools import cache

import pytest
import torch
from tests.distances.digit_tasks import (
    PAIR,
    TRANSFORM,
    in_colour,
    representative_in_colour,
    representative_of,
    shuffled,
    task_of,
)
from tests.opened import opened
from torch import Tensor

from tanas.distances.base import Distance, Measurement, Pair
from tanas.distances.gate import GateConfig
from tanas.distances.methods import METHODS, DistanceConfig, all_methods, make_distance
from tanas.distances.pairs import make_pair
from tanas.distances.representative import Representative
from tanas.ground.errors import NonFiniteError, SettingError
from tanas.ground.records import from_plain, to_json
from tanas.ground.seeds import Seed
from tanas.tasks.task import Task

SEED = Seed(7)
SMALL = DistanceConfig(
    gate=GateConfig(slack=0.5),  # so wide that a small map passes: the bisection is part of the battery
    transform=replace(TRANSFORM, fine_tune_epochs=1, least_density=0.1),
)
BOUND_TO_A_SHAPE = ("fisher",)
"""Methods of the laboratory that compare weights: they refuse networks of another shape, and say so."""


@pytest.fixture(params=METHODS, scope="module")
def distance(request: pytest.FixtureRequest) -> Distance:
    """Every method there is: one that is registered is in this battery."""
    return make_distance(SMALL, request.param)


@pytest.fixture(scope="module")
def another_process() -> Iterator[ProcessPoolExecutor]:
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as executor:
        yield executor


@cache
def pair_of(distance: Distance, source: int = 0) -> Pair:
    return make_pair(representative_of(source), representative_of(3), task_of(3), PAIR, needs=distance.needs)


def pair_on(task: Task, distance: Distance) -> Pair:
    return make_pair(representative_of(0), representative_of(3), task, PAIR, needs=distance.needs)


@cache
def measured(distance: Distance, source: int = 0) -> Measurement:
    return untimed(distance(pair_of(distance, source), SEED))


def untimed(measurement: Measurement) -> Measurement:
    return replace(measurement, took_s=0.0)


class TestDistanceContract:
    def test_is_zero_from_a_task_to_itself_without_any_fit(self, distance: Distance) -> None:
        pair = make_pair(representative_of(3), representative_of(3), task_of(3), PAIR, needs=distance.needs)
        assert pair.same
        blank = replace(pair, source_fit=pair.source_fit * float("nan"))
        measurement = distance(blank, SEED)
        assert measurement.same
        assert measurement.value == measurement.order == 0

    def test_lies_in_the_unit_interval_and_has_a_finite_order(self, distance: Distance) -> None:
        measurement = measured(distance)
        assert not measurement.same
        assert not measurement.at_least
        assert 0 < measurement.value <= 1
        assert measurement.shortfall >= 0
        assert measurement.surplus >= 0
        assert math.isfinite(measurement.order)
        assert (measurement.source, measurement.target) == ("digits:is=0", "digits:is=3")

    def test_repeats_exactly_with_its_seed(self, distance: Distance) -> None:
        assert untimed(distance(pair_of(distance), SEED)) == measured(distance)

    def test_is_farther_for_rows_that_belong_to_other_images(self, distance: Distance) -> None:
        whole = replace(pair_of(distance, 3), same=False, source="the same network")
        order = {
            name: torch.randperm(len(getattr(whole, name)), generator=Seed(1).torch())
            for name in ("source_fit", "source_gate")
        }
        mixed = replace(whole, **{name: getattr(whole, name)[rows] for name, rows in order.items()})
        near, far = distance(whole, SEED), distance(mixed, SEED)
        if distance.needs:  # it looks at networks or tasks, not at features
            assert near.order == far.order == pytest.approx(0, abs=1e-6)
        else:
            assert near.order < far.order

    def test_ignores_the_order_of_samples(self, distance: Distance) -> None:
        other = shuffled(task_of(3))
        assert not torch.equal(other.train.pixels(), task_of(3).train.pixels())
        assert untimed(distance(pair_on(other, distance), SEED)) == measured(distance)

    def test_never_sees_the_test_split(self, distance: Distance) -> None:
        blind = task_of(3).without_test()
        lying = replace(task_of(3), _test=replace(opened(task_of(3)), labels=1 - opened(task_of(3)).labels))
        for task in (blind, lying):
            assert untimed(distance(pair_on(task, distance), SEED)) == measured(distance)

    @pytest.mark.parametrize("colour", ["source", "target"])
    def test_compares_tasks_of_other_sizes_and_channels_or_says_why_not(
        self, distance: Distance, colour: str
    ) -> None:
        painted = representative_in_colour(0, 12)
        ends: tuple[Representative, Representative, Task] = (
            (painted, representative_of(3), task_of(3))
            if colour == "source"
            else (representative_of(3), painted, in_colour(task_of(0), 12))
        )
        pair = make_pair(*ends, PAIR, needs=distance.needs)
        if distance.name in BOUND_TO_A_SHAPE:
            with pytest.raises(
                SettingError, match=f"'{distance.name}' distance needs representatives of one"
            ):
                distance(pair, SEED)
        else:
            assert 0 < distance(pair, SEED).value <= 1

    def test_is_the_same_in_another_process(
        self, distance: Distance, another_process: ProcessPoolExecutor
    ) -> None:
        sent = another_process.submit(distance, pair_of(distance), SEED)
        assert untimed(sent.result()) == measured(distance)

    def test_does_not_depend_on_the_number_of_threads(self, distance: Distance) -> None:
        before = torch.get_num_threads()
        other = 2 if before == 1 else 1
        try:
            torch.set_num_threads(other)
            assert untimed(distance(pair_of(distance), SEED)) == measured(distance)
            assert torch.get_num_threads() == other
        finally:
            torch.set_num_threads(before)

    def test_leaves_the_pair_as_it_was(self, distance: Distance) -> None:
        pair = pair_on(task_of(3), distance)
        before = {
            field.name: getattr(pair, field.name).clone()
            for field in fields(Pair)
            if isinstance(getattr(pair, field.name), Tensor)
        }
        distance(pair, SEED)
        for name, value in before.items():
            assert torch.equal(getattr(pair, name), value), name

    def test_gives_a_measurement_that_json_holds(self, distance: Distance) -> None:
        plain = json.loads(to_json(measured(distance)))
        assert untimed(from_plain(Measurement, plain, where="here")) == measured(distance)

    @pytest.mark.parametrize("end", ["source", "target"])
    def test_refuses_features_that_are_not_finite_by_name(self, distance: Distance, end: str) -> None:
        pair = pair_of(distance)
        spoilt = {name: getattr(pair, name).clone() for name in (f"{end}_fit", f"{end}_gate")}
        for features in spoilt.values():
            features[0, 0] = float("nan")
        with pytest.raises(NonFiniteError, match=getattr(pair, end)):
            distance(replace(pair, **spoilt), SEED)

    def test_is_changed_by_a_bound_only_beyond_it(self, distance: Distance) -> None:
        whole = measured(distance)
        for beyond in (whole.order, whole.order + 0.1, 2.0):
            assert untimed(distance(pair_of(distance), SEED, beyond=beyond)) == whole
        bound = whole.order / 2
        ended = untimed(distance(pair_of(distance), SEED, beyond=bound))
        assert bound < ended.order <= whole.order if ended.at_least else ended == whole

    def test_says_its_name_and_its_needs(self, distance: Distance) -> None:
        assert all_methods()[distance.name](SMALL) == distance
        if distance.needs:
            with pytest.raises(SettingError, match=f"'{distance.name}' distance needs a pair with"):
                distance(replace(pair_of(distance), extra={}), SEED)
