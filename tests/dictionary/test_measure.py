from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from tests.dictionary.small_atoms import SEED, AtOnce, atom_of, representative_of, task_of

from tanas.dictionary.measure import DistanceMeasured, Related, distances_to, nearest
from tanas.dictionary.store import Dictionary
from tanas.distances.base import Distance, Measurement, Pair
from tanas.distances.pairs import PairConfig
from tanas.distances.transform import TransformConfig, TransformDistance
from tanas.events import Event, Listener, StepAdvanced, StepFinished, StepStarted, ignore
from tanas.seeds import Seed
from tanas.tasks.task import Task

NAMES = ("digits:is=3", "digits:is=4", "digits:is=5")
PAIR = PairConfig(fit_images=60, gate_images=30)
TRANSFORM = TransformDistance(config=TransformConfig(widths=(8,), epochs=2, batch=30))


@dataclass(frozen=True)
class ByTheSeed:
    """A distance that is a number drawn from its seed: shows which seed a pair was given."""

    name: str = "by the seed"
    cost: str = "nothing"
    scale: float = 1.0

    def __call__(self, pair: Pair, seed: Seed) -> Measurement:
        value = 0.0 if pair.same else self.scale * float(seed.numpy().random())
        return Measurement(source=pair.source, target=pair.target, same=pair.same, value=value)


@pytest.fixture
def dictionary(tmp_path: Path) -> Dictionary:
    dictionary = Dictionary.create(tmp_path / "memory")
    for name in NAMES:
        dictionary.add(atom_of(name), representative_of(name))
    return dictionary


def measure(
    dictionary: Dictionary,
    *,
    target: str = "digits:is=3",
    task: Task | None = None,
    names: Sequence[str] = NAMES,
    distance: Distance | None = None,
    config: PairConfig = PAIR,
    seed: Seed = SEED,
    executor: AtOnce | None = None,
    listener: Listener = ignore,
) -> tuple[Related, ...]:
    return distances_to(
        dictionary,
        [(name, dictionary.find(name)) for name in names],
        representative_of(target),
        task or task_of(target).without_test(),
        distance or ByTheSeed(),
        config,
        seed=seed,
        executor=executor or AtOnce(),
        listener=listener,
    )


class TestDistancesTo:
    def test_are_given_nearest_first_the_task_itself_at_zero(self, dictionary: Dictionary) -> None:
        related = measure(dictionary, distance=TRANSFORM)
        assert {one.name for one in related} == set(NAMES)
        keys = [one.measurement.order_key for one in related]
        assert keys == sorted(keys)
        assert related[0].name == "digits:is=3"
        assert related[0].measurement.same
        assert all(
            (one.measurement.source, one.measurement.target) == (one.name, "digits:is=3") for one in related
        )

    def test_do_not_depend_on_which_others_are_measured_or_in_which_order(
        self, dictionary: Dictionary, tmp_path: Path
    ) -> None:
        every = {one.name: one.measurement for one in measure(dictionary)}
        other = Dictionary.create(tmp_path / "other")
        for name in NAMES[:0:-1]:
            other.add(atom_of(name), representative_of(name))
            (alone,) = measure(other, names=[name])
            assert alone.measurement == every[name]

    def test_are_measured_once_and_then_remembered(self, dictionary: Dictionary) -> None:
        first, second = AtOnce(), AtOnce()
        related = measure(dictionary, executor=first)
        assert first.jobs == 3
        assert measure(Dictionary(dictionary.folder), executor=second) == related
        assert second.jobs == 0

    def test_are_measured_anew_where_anything_that_decides_them_differs(self, dictionary: Dictionary) -> None:
        measure(dictionary)
        for change in (
            {"seed": SEED.child("other")},
            {"config": replace(PAIR, fit_images=50)},
            {"distance": ByTheSeed(scale=0.5)},
            {"distance": ByTheSeed(name="another")},
            {"target": "digits:is=4"},
            {"task": task_of().limited(100).without_test()},
        ):
            engine = AtOnce()
            measure(dictionary, executor=engine, **change)  # type: ignore[arg-type]
            assert engine.jobs == 3, change

    def test_that_are_damaged_on_disk_are_measured_again(self, dictionary: Dictionary) -> None:
        related = measure(dictionary)
        next((dictionary.folder / "distances").iterdir()).write_text("{")
        engine = AtOnce()
        assert measure(dictionary, executor=engine) == related
        assert engine.jobs == 1

    def test_never_need_the_test_split(self, dictionary: Dictionary, tmp_path: Path) -> None:
        blind = measure(dictionary, distance=TRANSFORM)
        other = Dictionary.create(tmp_path / "other", base=dictionary)
        lying = replace(task_of(), _test=replace(task_of().test, labels=1 - task_of().test.labels))
        engine = AtOnce()
        seen = measure(other, distance=TRANSFORM, task=lying, executor=engine)
        assert engine.jobs == 3
        assert [one.measurement.value for one in seen] == [one.measurement.value for one in blind]

    def test_are_told_one_by_one(self, dictionary: Dictionary) -> None:
        told: list[Event] = []
        related = measure(dictionary, listener=told.append)
        assert isinstance(told[0], StepStarted)
        assert (told[0].total, told[0].unit) == (3, "atoms")
        assert isinstance(told[-1], StepFinished)
        assert [event.done for event in told if isinstance(event, StepAdvanced)] == [1, 2, 3]
        measured = {event.atom: event for event in told if isinstance(event, DistanceMeasured)}
        for one in related:
            assert measured[one.name].measurement == one.measurement
        told_value = measured["digits:is=4"].measurement.value
        assert str(measured["digits:is=4"]) == f"d(digits:is=4 -> digits:is=3) = {told_value:.4f}"

    def test_of_no_atoms_are_none(self, dictionary: Dictionary) -> None:
        assert measure(dictionary, names=[]) == ()


class TestNearest:
    def related(self, *values: float) -> list[Related]:
        return [
            Related(str(place), atom_of(), Measurement(source="a", target="b", same=False, value=value))
            for place, value in enumerate(values)
        ]

    def test_are_so_many_or_all_if_there_are_fewer(self) -> None:
        related = self.related(0.1, 0.2, 0.3)
        assert nearest(related, 2) == tuple(related[:2])
        assert nearest(related, 9) == tuple(related)

    def test_are_all_within_a_threshold_however_many(self) -> None:
        related = self.related(0.1, 0.2, 0.2, 0.3)
        assert nearest(related, 1, within=0.2) == tuple(related[:3])
        assert nearest(related, 1, within=0.05) == ()
        assert nearest(self.related(0.0), 1, within=0.0) != ()
