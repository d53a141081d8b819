from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.dictionary.small_atoms import SEED, AtOnce, atom_of, learn, representative_of, task_of
from tests.opened import opened

from tanas.dictionary import distances as module
from tanas.dictionary.bench import Bench, DistanceMeasured, Distances, Loaded, Related, Reused
from tanas.dictionary.distances import measured, nearest
from tanas.dictionary.store import Dictionary
from tanas.dictionary.stored_network import judging_job
from tanas.distances.base import Distance, Measurement, Pair
from tanas.distances.gate import GateConfig
from tanas.distances.misfit import MisfitDistance, misfit
from tanas.distances.pairs import PairConfig
from tanas.distances.probes import KnnConfig, KnnDistance
from tanas.distances.representative import UNTRAINED
from tanas.distances.transform import TransformConfig, TransformDistance
from tanas.ground.checkpoints import FolderCheckpoint, NoCheckpoint
from tanas.ground.context import Context
from tanas.ground.errors import SettingError
from tanas.ground.events import Event, StepAdvanced, StepFinished, StepStarted, Warned
from tanas.ground.executor import Executor, InThisProcess
from tanas.ground.seeds import Seed

NAMES = ("digits:is=3", "digits:is=4", "digits:is=5")
MORE = (*NAMES, "digits:is=6", "digits:is=7", "digits:is=8")
PAIR = PairConfig(fit_images=60, gate_images=30)
TRANSFORM = TransformDistance(config=TransformConfig(widths=(8,), epochs=2, batch=30))
KNN = KnnDistance(KnnConfig(k=1))


@dataclass(frozen=True)
class ByTheSeed(Distance):
    """A distance that is a number drawn from its seed: shows which seed a pair was given."""

    name: str = "by the seed"
    scale: float = 1.0
    seconds: float = 0.0

    def measured(self, pair: Pair, seed: Seed, beyond: float | None) -> Measurement:
        value = self.scale * float(seed.numpy().random())
        return Measurement(source=pair.source, target=pair.target, same=False, value=value)

    def __call__(self, pair: Pair, seed: Seed, *, beyond: float | None = None) -> Measurement:
        return replace(super().__call__(pair, seed, beyond=beyond), took_s=self.seconds)


@dataclass(frozen=True)
class Hasty(ByTheSeed):
    """The same; it ends as soon as the pair lies behind the bound, half way between the bound and the truth."""

    name: str = "hasty"

    def measured(self, pair: Pair, seed: Seed, beyond: float | None) -> Measurement:
        whole = super().measured(pair, seed, None)
        if beyond is None or whole.value <= beyond:
            return whole
        return replace(whole, value=(whole.value + beyond) / 2, at_least=True)


@dataclass(frozen=True)
class Sure(ByTheSeed):
    """The same, with draws that lie around it."""

    name: str = "sure"
    spread: float = 0.01

    def measured(self, pair: Pair, seed: Seed, beyond: float | None) -> Measurement:
        whole = super().measured(pair, seed, None)
        draws = tuple(whole.value + self.spread * step for step in (-2, -1, 0, 1, 2))
        return replace(whole, interval=(draws[0], draws[-1]), draws=draws)


@dataclass(frozen=True)
class NeedsATask(ByTheSeed):
    """Refuses a network that has learnt no task."""

    name: str = "needs a task"

    def measured(self, pair: Pair, seed: Seed, beyond: float | None) -> Measurement:
        if pair.source == UNTRAINED:
            raise SettingError("The 'needs a task' distance needs a task.")
        return super().measured(pair, seed, None)


@pytest.fixture
def dictionary(tmp_path: Path) -> Dictionary:
    return filled(tmp_path / "memory")


def filled(folder: Path, names: Sequence[str] = NAMES) -> Dictionary:
    dictionary = Dictionary.create(folder)
    for name in names:
        dictionary.add(atom_of(name), representative_of(name))
    return dictionary


def bench(
    dictionary: Dictionary,
    *,
    target: str | None = "digits:is=3",
    distance: Distance | None = None,
    told: list[Event] | None = None,
    seed: Seed = SEED,
    executor: Executor | None = None,
    **others: Any,
) -> Bench:
    listener = [].append if told is None else told.append
    return Bench(
        **{
            "loaded": Loaded(dictionary),
            "target": None if target is None else representative_of(target),
            "task": task_of(target or "digits:is=3").without_test(),
            "distance": distance or ByTheSeed(),
            "config": PAIR,
            "at": Context(seed=seed, executor=executor or AtOnce(), listener=listener),
            **others,
        }
    )


def distances(where: Bench, names: Sequence[str] = NAMES, **wanted: Any) -> Distances:
    return measured(where, [(name, where.loaded.dictionary.find(name)) for name in names], **wanted)


def measure(dictionary: Dictionary, *, names: Sequence[str] = NAMES, **others: Any) -> tuple[Related, ...]:
    return distances(bench(dictionary, **others), names).related


def untimed(related: Sequence[Related]) -> list[tuple[str, Measurement]]:
    return [(one.name, replace(one.measurement, took_s=0.0)) for one in related]


def warnings(told: Sequence[Event]) -> list[str]:
    return [event.message for event in told if isinstance(event, Warned)]


class TestMeasured:
    def test_are_given_nearest_first_the_task_itself_at_zero(self, dictionary: Dictionary) -> None:
        related = measure(dictionary, distance=TRANSFORM)
        assert {one.name for one in related} == set(NAMES)
        orders = [one.measurement.order for one in related]
        assert orders == sorted(orders)
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

    def test_that_were_there_before_are_counted_as_read_but_not_a_killed_runs_own(
        self, dictionary: Dictionary, tmp_path: Path
    ) -> None:
        slow = ByTheSeed(name="slow", seconds=2.0)
        measure(dictionary, names=NAMES[:1], distance=slow, null=False)  # before the run
        run = FolderCheckpoint(tmp_path / "run")
        for names in (NAMES[:2], NAMES):  # it is killed after the second, and goes on
            reused = Reused(run)
            measure(dictionary, names=names, distance=slow, null=False, reused=reused)
            assert reused.seconds == 2.0
        later = Reused(NoCheckpoint())
        measure(dictionary, distance=slow, null=False, reused=later)
        assert later.seconds == 6.0

    @pytest.mark.parametrize("most", [1, 2])
    def test_that_a_bound_ended_or_did_not_end_are_a_killed_runs_own_too(
        self, tmp_path: Path, most: int
    ) -> None:
        dictionary, run = filled(tmp_path / "memory", MORE), FolderCheckpoint(tmp_path / "run")
        for _ in range(2):
            reused = Reused(run)
            where = bench(dictionary, distance=Hasty(), probe=ByTheSeed(seconds=2.0), reused=reused)
            distances(where, MORE, most=most)
            assert reused.seconds == 0

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
        lying = replace(task_of(), _test=replace(opened(task_of()), labels=1 - opened(task_of()).labels))
        engine = AtOnce()
        seen = measure(other, distance=TRANSFORM, task=lying, executor=engine)
        assert engine.jobs == 3
        assert [one.measurement.value for one in seen] == [one.measurement.value for one in blind]

    def test_are_told_one_by_one(self, dictionary: Dictionary) -> None:
        told: list[Event] = []
        related = measure(dictionary, told=told)
        assert isinstance(told[0], StepStarted)
        assert (told[0].total, told[0].unit) == (3, "networks")
        assert [type(event) for event in told].index(StepFinished) == len(told) - 1 - len(warnings(told))
        assert [event.done for event in told if isinstance(event, StepAdvanced)] == [1, 2, 3]
        measured = {event.atom: event for event in told if isinstance(event, DistanceMeasured)}
        for one in related:
            assert measured[one.name].measurement == one.measurement
        told_value = measured["digits:is=4"].measurement.value
        assert f"{told_value:.4f}" in str(measured["digits:is=4"])

    def test_of_no_atoms_are_none(self, dictionary: Dictionary) -> None:
        assert measure(dictionary, names=[]) == ()


class TestOnlyTheNearest:
    @pytest.mark.parametrize("most", [1, 3])
    def test_are_the_same_as_if_all_were_measured(self, tmp_path: Path, most: int) -> None:
        # a gate that every map passes: d then comes of a bisection, which can end early
        config = TransformConfig(widths=(8,), epochs=8, batch=30, tolerance=0.05)
        distance = TransformDistance(config, GateConfig(asked="dense"))
        every = measure(filled(tmp_path / "all", MORE), names=MORE, distance=distance)
        where = bench(filled(tmp_path / "some", MORE), distance=distance)
        some = distances(where, MORE, most=most).related
        assert untimed(nearest(some, most)) == untimed(nearest(every, most))
        whole, last = dict(untimed(every)), some[most - 1].measurement.order
        early = [one for one in some if one.measurement.at_least]
        assert early, "none ended early"
        for one in early:  # just far enough to know that it lies behind
            assert last < one.measurement.order <= whole[one.name].order
            assert len(one.measurement.curve) < len(whole[one.name].curve)
        assert untimed([one for one in some if one not in early]) == [
            (one.name, whole[one.name]) for one in some if one not in early
        ]

    @pytest.mark.parametrize("most", [1, 2, 3])
    def test_leave_the_others_at_a_bound(self, tmp_path: Path, most: int) -> None:
        where = bench(filled(tmp_path / "memory", MORE), distance=Hasty())
        every = measure(where.loaded.dictionary, names=MORE, distance=ByTheSeed())
        some = distances(where, MORE, most=most).related
        assert untimed(nearest(some, most)) == untimed(nearest(every, most))
        behind = some[most:]
        assert any(one.measurement.at_least for one in behind)
        for one in behind:  # those that were among the nearest for a while were measured to their end
            whole = next(other.measurement for other in every if other.name == one.name)
            assert one.measurement.order < whole.order or not one.measurement.at_least

    def test_within_a_threshold_are_the_same_as_if_all_were_measured(self, tmp_path: Path) -> None:
        where = bench(filled(tmp_path / "memory", MORE), distance=Hasty())
        every = measure(where.loaded.dictionary, names=MORE)
        middle = every[3].measurement.value
        some = distances(where, MORE, within=middle).related
        assert untimed(nearest(some, 1, within=middle)) == untimed(every[:4])
        assert [one.measurement.at_least for one in some] == [False] * 4 + [True] * 2
        assert not any(one.measurement.at_least for one in distances(where, MORE, within=1.0).related)

    def test_do_not_depend_on_what_was_measured_before(self, tmp_path: Path) -> None:
        fresh = bench(filled(tmp_path / "fresh", MORE), distance=Hasty())
        used = bench(filled(tmp_path / "used", MORE), distance=Hasty())
        every = distances(used, MORE)
        for most in (4, 1):
            distances(used, MORE, most=most)
        assert distances(used, MORE, most=2) == distances(fresh, MORE, most=2)
        assert distances(used, MORE) == every, "a bound is never taken for the distance"

    def test_are_remembered_with_their_bounds(self, tmp_path: Path) -> None:
        where = bench(filled(tmp_path / "memory", MORE), distance=Hasty(), probe=KNN)
        first = distances(where, MORE, most=2)
        engine = AtOnce()
        assert distances(replace(where, at=replace(where.at, executor=engine)), MORE, most=2) == first
        assert engine.jobs == 0

    def test_are_looked_for_first_among_those_that_a_cheap_probe_puts_first(self, tmp_path: Path) -> None:
        told: list[Event] = []
        where = bench(filled(tmp_path / "memory", MORE), distance=Hasty(), probe=KNN, told=told)
        probed = measure(where.loaded.dictionary, names=MORE, distance=KNN)
        distances(where, MORE, most=2)
        order = [event.atom for event in told if isinstance(event, DistanceMeasured)]
        assert order == [one.name for one in probed]
        assert order != sorted(order)

    def test_are_found_where_the_probe_refuses_the_task(self, tmp_path: Path) -> None:
        refusing = KnnDistance(KnnConfig(k=99))
        where = bench(filled(tmp_path / "memory", MORE), distance=Hasty(), probe=refusing)
        assert untimed(distances(where, MORE, most=2).related[:2]) == untimed(
            measure(where.loaded.dictionary, names=MORE)[:2]
        )

    def test_that_are_bounds_say_so(self) -> None:
        bound = Measurement(source="a", target="b", same=False, value=0.25, at_least=True)
        assert ">= 0.2500" in str(DistanceMeasured(atom="a", task="b", measurement=bound))


class TestUntrained:
    def test_is_measured_beside_the_atoms_and_is_none_of_them(self, dictionary: Dictionary) -> None:
        found = distances(bench(dictionary, distance=TRANSFORM, null=True))
        assert found.untrained is not None
        assert (found.untrained.source, found.untrained.same) == (UNTRAINED, False)
        assert [one.name for one in found.related] == [
            one.name for one in measure(dictionary, distance=TRANSFORM)
        ]

    def test_that_is_as_near_as_the_nearest_is_warned_of(self, dictionary: Dictionary) -> None:
        told: list[Event] = []
        others = NAMES[1:]
        found = distances(bench(dictionary, distance=ByTheSeed(scale=0.0), null=True, told=told), others)
        assert found.blind
        assert any("untrained" in message and "0.0000" in message for message in warnings(told))

    def test_that_is_farther_is_not(self, dictionary: Dictionary) -> None:
        told: list[Event] = []
        found = distances(bench(dictionary, null=True, told=told))  # the task itself is at 0
        assert not found.blind
        assert not any("untrained" in message for message in warnings(told))

    def test_is_left_out_where_the_method_needs_what_only_a_task_has(self, dictionary: Dictionary) -> None:
        found = distances(bench(dictionary, distance=NeedsATask(), null=True, executor=InThisProcess()))
        assert found.untrained is None
        assert len(found.related) == 3


class TestFewImages:
    def test_are_warned_of_by_their_numbers(self, dictionary: Dictionary) -> None:
        told: list[Event] = []
        assert measure(dictionary, told=told)
        (message,) = warnings(told)
        assert "3 of '3' among the 30 validation images" in message

    def test_that_suffice_are_not(self, dictionary: Dictionary, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(module, "FEW_IMAGES", 3)
        told: list[Event] = []
        assert distances(bench(dictionary, told=told)).related
        assert warnings(told) == []


class TestLoaded:
    def test_reads_each_representative_once_while_memory_lasts(self, dictionary: Dictionary) -> None:
        read: list[str] = []

        class Counting(Dictionary):
            def representative(self, atom: Any) -> Any:
                read.append(atom.task.name)
                return super().representative(atom)

        first, second, third = (dictionary.find(name) for name in NAMES)
        two = Loaded(Counting(dictionary.folder), most_weights=2 * representative_of().parameters)
        keys = [two.representative(atom).key for atom in (first, second, first, third, first, second)]
        assert keys[0] == keys[2] == keys[4] == representative_of(NAMES[0]).key
        assert read == [NAMES[0], NAMES[1], NAMES[2], NAMES[1]]


class TestByNetworks:
    """The misfit reads the networks that atoms keep, and needs no representative of the target."""

    @staticmethod
    def memory(folder: Path) -> Dictionary:
        made = Dictionary.create(folder)
        learnt = learn(task_of("digits:is=4"))
        made.add(learnt.atom, learnt.representative, learnt.network)
        made.add(atom_of("digits:is=5"), representative_of("digits:is=5"))  # an older one, without a network
        return made

    @staticmethod
    def asked(dictionary: Dictionary, **others: Any) -> tuple[Related, ...]:
        where = bench(dictionary, distance=MisfitDistance(), **({"target": None} | others))
        return distances(where, ("digits:is=4", "digits:is=5")).related

    def test_is_that_of_the_kept_network_or_else_of_the_representative(self, tmp_path: Path) -> None:
        memory, task = self.memory(tmp_path / "memory"), task_of().without_test()
        found = {one.name: one.measurement for one in self.asked(memory)}
        kept = memory.network(memory.find("digits:is=4"))
        assert kept is not None
        features, labels = judging_job(kept, task)()
        assert found["digits:is=4"].order == pytest.approx(misfit(features, labels, 2))
        old = representative_of("digits:is=5").features(task.train)
        assert found["digits:is=5"].order == pytest.approx(misfit(old, task.train.labels, 2))

    def test_is_read_the_next_time_whatever_the_seed(self, tmp_path: Path) -> None:
        memory = self.memory(tmp_path / "memory")
        first = self.asked(memory)
        for weights in (tmp_path / "memory").glob("atoms/*/network.safetensors"):
            weights.unlink()  # it can't be measured again
        again = self.asked(memory, seed=Seed(99))
        assert untimed(again) == untimed(first)

    def test_is_measured_again_for_another_network_of_the_same_task(self, tmp_path: Path) -> None:
        memory = self.memory(tmp_path / "memory")
        before = {one.name: one.measurement.order for one in self.asked(memory)}
        learnt = learn(task_of("digits:is=4"))
        assert learnt.network is not None
        network = copy.deepcopy(learnt.network.network)
        with torch.no_grad():
            network.stem[0].weight.neg_()
        memory.add(learnt.atom, learnt.representative, replace(learnt.network, network=network))
        after = {one.name: one.measurement.order for one in self.asked(memory)}
        assert after["digits:is=4"] != before["digits:is=4"]
        assert after["digits:is=5"] == before["digits:is=5"]

    def test_operations_that_are_not_here_do_not_leave_their_distance_behind(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        memory = self.memory(tmp_path / "memory")
        with monkeypatch.context() as elsewhere:
            elsewhere.setattr("tanas.dictionary.stored_network.known_here", lambda record: False)
            without = {one.name: one.measurement.order for one in self.asked(memory)}
        here = {one.name: one.measurement.order for one in self.asked(memory)}
        assert here["digits:is=4"] != without["digits:is=4"]
        assert here["digits:is=5"] == without["digits:is=5"]

    def test_it_warns_where_nothing_fits(self, tmp_path: Path) -> None:
        told: list[Event] = []
        few = task_of().without_test()
        one_of_each = [int(torch.nonzero(few.train.labels == label)[0]) for label in (0, 1)]
        few = replace(few, train=few.train.subset(torch.tensor(one_of_each)))
        self.asked(self.memory(tmp_path / "memory"), task=few, told=told)
        assert any("better than a guess" in message for message in warnings(told))

    def test_the_task_itself_has_none(self, tmp_path: Path) -> None:
        (own,) = (
            one
            for one in self.asked(
                self.memory(tmp_path / "memory"), task=task_of("digits:is=4").without_test()
            )
            if one.name == "digits:is=4"
        )
        assert own.measurement.same
        assert own.measurement.order == 0


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
