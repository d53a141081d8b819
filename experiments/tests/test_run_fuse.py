from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.strategies.small_search import LARGE, SEED, SMALL, one_edge, tiny

from tanas.networks.architecture import Architecture
from tanas.networks.cell import Cell
from tanas.networks.skeleton import Skeleton
from tanas.strategies.fuse import FuseConfig
from tanas.strategies.schedules import Alternating, EqualWeights
from tanas_experiments.run import fuse
from tanas_experiments.run.fuse import (
    SMOKE,
    STUDY,
    VARIANTS,
    Study,
    choice_task,
    compare,
    default_way,
    truth_task,
    values_of,
)

TARGET = fuse.SMOKE_TARGETS[0]
MEMBERS = (one_edge("sep_conv_3x3"), one_edge("conv_3x3"), one_edge("max_pool_3x3"))


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return Study(out=tmp_path, triples=4, smoke=True)


class TestImages:
    def test_of_the_truth_are_none_of_those_that_a_round_compares_on(self) -> None:
        chosen, true = choice_task(TARGET, SMOKE), truth_task(TARGET, SMOKE)
        assert not set(chosen.validation.rows.tolist()) & set(true.validation.rows.tolist())
        assert torch.equal(chosen.train.rows, true.train.rows)
        assert (len(chosen.train), len(chosen.validation)) == (SMOKE.images, SMOKE.choice_images)

    def test_of_the_test_split_are_out_of_reach(self) -> None:
        assert choice_task(TARGET, SMOKE)._test is None
        assert truth_task(TARGET, SMOKE)._test is None

    def test_make_as_many_steps_a_stage_as_those_of_a_search(self) -> None:
        config = FuseConfig()
        assert config.images is not None
        steps = math.ceil(config.images / config.schedule.training.batch)
        assert math.ceil(STUDY.images / STUDY.batch) == steps


class TestGroups:
    def test_are_five_that_differ_each_architecture_in_equally_many_triples(self, study: Study) -> None:
        groups = study.groups(TARGET)
        assert len(groups) == 4
        assert all(len(set(group)) == 5 for group in groups)
        counts = Counter(at for group in groups for at in group[:3])
        assert set(counts.values()) == {2}

    def test_of_fewer_triples_are_the_first_of_many(self, study: Study) -> None:
        assert replace(study, triples=9).groups(TARGET)[:4] == study.groups(TARGET)

    def test_are_others_on_another_target(self, study: Study) -> None:
        assert study.groups("mnist") != study.groups(TARGET)


class TestValues:
    def test_count_what_the_operations_give(self) -> None:
        assert values_of(one_edge("sep_conv_3x3", SMALL), (1, 8, 8)) == 4 * 8 * 8
        assert values_of(one_edge("sep_conv_3x3", LARGE), (1, 8, 8)) == 4 * 4 * 4 + 6 * 2 * 2

    def test_count_no_edge_that_computes_nothing(self) -> None:
        cell = Cell(3, ((0, 1, "conv_3x3"), (1, 2, "identity"), (0, 2, "conv_3x3")))
        skeleton = Skeleton(widths=(4,), cells=(2,), reductions=(False,))
        assert values_of(Architecture(skeleton=skeleton, cell=cell), (1, 7, 7)) == 2 * 2 * 4 * 49

    def test_bound_the_architectures_of_the_study(self, study: Study) -> None:
        assert len(set(study.architectures)) == SMOKE.architectures
        assert all(values_of(one, (1, 8, 8)) <= SMOKE.most_values for one in study.architectures)


class TestVariants:
    @pytest.mark.parametrize("name", VARIANTS)
    def test_compare_their_candidates_and_count_what_it_costs(self, name: str) -> None:
        variant = VARIANTS[name].with_batch(20)
        if isinstance(variant.schedule, Alternating):
            variant = replace(variant, schedule=replace(variant.schedule, stages=2))
        members = MEMBERS[: variant.candidates]
        found = compare(members, variant, tiny(), seed=SEED, target="t", number=3)
        assert [one.key for one in found.members] == [one.key for one in members]
        assert (found.target, found.number) == ("t", 3)
        weights = [one.weight for one in found.members]
        if variant.schedule is None:
            assert weights == [None] * len(members)
        else:
            assert sum(weight or 0.0 for weight in weights) == pytest.approx(1)
        assert all(one.score is not None and one.loss is not None for one in found.members)
        assert found.macs > 0

    def test_cost_as_much_as_their_images(self) -> None:
        def macs(name: str) -> int:
            return compare(
                MEMBERS, VARIANTS[name].with_batch(20), tiny(), seed=SEED, target="t", number=0
            ).macs

        two_epochs = macs("own")
        assert macs("equal") == macs("separate") == macs("tempered") == two_epochs
        assert macs("own-half-images") == macs("own-1-epoch") == two_epochs // 2

    def test_begin_with_the_same_weights(self, monkeypatch: pytest.MonkeyPatch) -> None:
        starts: list[list[torch.Tensor]] = []

        def kept(self: EqualWeights, mixture: fuse.Mixture, *_: object, **__: object) -> tuple[object, ...]:
            starts.append([network.head.weight.detach().clone() for network in mixture.networks])
            for network in mixture.networks:
                network.head.weight.data += 1
            return run(self, mixture, *_, **__)  # type: ignore[arg-type]

        run = EqualWeights.run
        monkeypatch.setattr(EqualWeights, "run", kept)
        for name in ("equal", "own"):
            compare(MEMBERS, VARIANTS[name].with_batch(20), tiny(), seed=SEED, target="t", number=0)
        equal, own = starts
        assert all(torch.equal(one, two) for one, two in zip(equal, own, strict=True))

    def test_hold_the_default_of_fuse(self) -> None:
        name, rule = default_way()
        assert VARIANTS[name].schedule == FuseConfig().schedule
        assert rule == "alpha"


class TestStudy:
    def test_goes_on_where_it_stopped_and_records_what_there_is(
        self, study: Study, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(
            fuse, "SMOKE", replace(SMOKE, images=40, choice_images=40, truth_images=40, epochs=1)
        )
        study = replace(study, triples=1)
        study.measure_truth(TARGET)
        for name in ("equal", "separate"):
            study.measure(TARGET, name)
        first = study.record()
        assert [one.name for one in first.ways] == ["equal", "separate"]
        assert len(first.truths) == SMOKE.architectures
        assert {(one.way, one.rule) for one in first.figures} == {
            ("equal", "alpha"),
            ("equal", "loss"),
            ("equal", "performance"),
            ("separate", "loss"),
            ("separate", "performance"),
        }

        def never(*_: object, **__: object) -> None:
            raise AssertionError("it was measured already")

        monkeypatch.setattr(fuse, "compare", never)
        monkeypatch.setattr(fuse, "trained", never)
        study.measure_truth(TARGET)
        study.measure(TARGET, "equal")
        assert study.record() == first
        study.write()
        assert study.record_path.parent == study.out

    def test_records_no_group_whose_truth_is_unknown(
        self, study: Study, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(
            fuse, "SMOKE", replace(SMOKE, images=40, choice_images=40, truth_images=40, epochs=1)
        )
        study = replace(study, triples=1)
        study.measure(TARGET, "separate")
        record = study.record()
        assert (record.truths, record.ways, record.figures) == ((), (), ())

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--variants", "equal,best"], "no variant: best. There are equal, own"),
            (["--triples", "0"], "--triples"),
        ],
    )
    def test_refuses_what_it_does_not_know_before_any_work(
        self,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capsys: pytest.CaptureFixture[str],
        arguments: list[str],
        message: str,
    ) -> None:
        monkeypatch.setattr("sys.argv", ["fuse.py", "--out", str(tmp_path), *arguments])
        with pytest.raises(SystemExit) as ended:
            fuse.main()
        assert ended.value.code == 2
        assert message in capsys.readouterr().err
        assert not list(tmp_path.iterdir())
