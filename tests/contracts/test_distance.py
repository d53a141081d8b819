"""What every distance between tasks promises."""

from __future__ import annotations

import pickle
from dataclasses import fields, replace

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
from torch import Tensor

from tanas.distances.base import Distance, Measurement, Pair
from tanas.distances.pairs import make_pair
from tanas.distances.transform import TransformDistance
from tanas.records import from_plain, to_plain
from tanas.seeds import Seed
from tanas.tasks.task import Task

SEED = Seed(7)


def all_distances() -> list[Distance]:
    stepwise = replace(TRANSFORM, pruning="iterative", gate="dense", head="frozen", fine_tune_epochs=1)
    return [TransformDistance(TRANSFORM), TransformDistance(stepwise)]


def pair_of(task: Task | None = None) -> Pair:
    return make_pair(representative_of(0), representative_of(3), task or task_of(3), PAIR)


def untimed(measurement: Measurement) -> Measurement:
    return replace(measurement, took_s=0.0)


@pytest.mark.parametrize("distance", all_distances(), ids=["one-shot", "iterative"])
class TestDistanceContract:
    def test_is_zero_from_a_task_to_itself_without_any_fit(self, distance: Distance) -> None:
        pair = make_pair(representative_of(3), representative_of(3), task_of(3), PAIR)
        assert pair.same
        blank = replace(pair, source_fit=pair.source_fit * float("nan"))
        measurement = distance(blank, SEED)
        assert measurement.same
        assert measurement.order_key == (0.0, 0.0)

    def test_lies_in_the_unit_interval(self, distance: Distance) -> None:
        measurement = distance(pair_of(), SEED)
        assert not measurement.same
        assert 0 < measurement.value <= 1
        assert measurement.shortfall >= 0
        assert (measurement.source, measurement.target) == ("digits:is=0", "digits:is=3")

    def test_repeats_exactly_with_its_seed(self, distance: Distance) -> None:
        assert untimed(distance(pair_of(), SEED)) == untimed(distance(pair_of(), SEED))

    def test_ignores_the_order_of_samples(self, distance: Distance) -> None:
        other = shuffled(task_of(3))
        assert not torch.equal(other.train.pixels(), task_of(3).train.pixels())
        assert untimed(distance(pair_of(other), SEED)) == untimed(distance(pair_of(), SEED))

    def test_never_sees_the_test_split(self, distance: Distance) -> None:
        blind = task_of(3).without_test()
        lying = replace(task_of(3), _test=replace(task_of(3).test, labels=1 - task_of(3).test.labels))
        seen = untimed(distance(pair_of(), SEED))
        assert untimed(distance(pair_of(blind), SEED)) == seen
        assert untimed(distance(pair_of(lying), SEED)) == seen

    @pytest.mark.parametrize("colour", ["source", "target"])
    def test_compares_tasks_of_other_sizes_and_channels(self, distance: Distance, colour: str) -> None:
        large = in_colour(task_of(0), 12)
        painted = representative_in_colour(0, 12)
        if colour == "source":
            pair = make_pair(painted, representative_of(3), task_of(3), PAIR)
        else:
            pair = make_pair(representative_of(3), painted, large, PAIR)
        assert 0 < distance(pair, SEED).value <= 1

    def test_is_the_same_in_another_process(self, distance: Distance) -> None:
        sent = pickle.loads(pickle.dumps((distance, pair_of(), SEED)))
        assert untimed(sent[0](*sent[1:])) == untimed(distance(pair_of(), SEED))

    def test_does_not_depend_on_the_number_of_threads(self, distance: Distance) -> None:
        pair, before = pair_of(), torch.get_num_threads()
        measured = []
        try:
            for threads in (1, 2):
                torch.set_num_threads(threads)
                measured.append(untimed(distance(pair, SEED)))
                assert torch.get_num_threads() == threads
        finally:
            torch.set_num_threads(before)
        assert measured[0] == measured[1]

    def test_leaves_the_pair_as_it_was(self, distance: Distance) -> None:
        pair, before = pair_of(), pair_of()
        distance(pair, SEED)
        for field in fields(Pair):
            value = getattr(pair, field.name)
            if isinstance(value, Tensor):
                assert torch.equal(value, getattr(before, field.name)), field.name

    def test_gives_a_measurement_that_json_holds(self, distance: Distance) -> None:
        measurement = distance(pair_of(), SEED)
        assert from_plain(Measurement, to_plain(measurement), where="here") == measurement

    def test_says_its_name_and_cost(self, distance: Distance) -> None:
        assert distance.name
        assert distance.cost
