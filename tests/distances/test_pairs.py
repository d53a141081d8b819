from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tests.distances.digit_tasks import PAIR, representative_of, shuffled, task_of

from tanas.distances.memory import Memory
from tanas.distances.pairs import PairConfig, drawn, make_pair
from tanas.distances.representative import Representative
from tanas.ground.errors import SettingError, TaskError
from tanas.ground.seeds import Seed
from tanas.tasks.task import Split

SEED = Seed(5)


def farthest(rows: torch.Tensor, others: torch.Tensor) -> float:
    """Greatest distance of a row to the nearest other: another batch may move the last digits."""
    exact = torch.cdist(rows, others, compute_mode="donot_use_mm_for_euclid_dist")
    return float(exact.min(dim=1).values.max())


def test_rows_of_source_and_target_belong_to_the_same_images() -> None:
    task, source, target = shuffled(task_of(3)), representative_of(0), representative_of(3)
    pair = make_pair(source, target, task, PairConfig(fit_images=None, gate_images=None))
    for ours, theirs, split in (
        (pair.source_fit, pair.target_fit, task.train),
        (pair.source_gate, pair.target_gate, task.validation),
    ):
        expected = torch.cat([source.features(split), target.features(split)], dim=1)
        # whatever the order of rows, each is both features of one image
        assert len(ours) == len(expected)
        assert farthest(torch.cat([ours, theirs], dim=1), expected) < 1e-3


def test_rows_and_labels_do_not_depend_on_the_order_of_samples() -> None:
    one = make_pair(representative_of(0), representative_of(3), task_of(3), PAIR)
    other = make_pair(representative_of(0), representative_of(3), shuffled(task_of(3)), PAIR)
    assert torch.equal(one.labels_fit, other.labels_fit)
    assert torch.equal(one.labels_gate, other.labels_gate)
    torch.testing.assert_close(one.source_fit, other.source_fit)
    torch.testing.assert_close(one.target_gate, other.target_gate)
    assert one.own == other.own


def test_fits_on_training_images_and_gates_on_validation_images() -> None:
    task = task_of(3)
    pair = make_pair(representative_of(0), representative_of(3), task, PAIR)
    assert len(pair.source_fit) == len(pair.target_fit) == len(pair.labels_fit) == PAIR.fit_images
    assert len(pair.source_gate) == len(pair.target_gate) == len(pair.labels_gate) == PAIR.gate_images
    assert set(drawn(task.train, 100, SEED).rows.tolist()) <= set(task.train.rows.tolist())
    assert farthest(pair.target_fit, representative_of(3).features(task.train)) < 1e-3
    assert farthest(pair.target_gate, representative_of(3).features(task.validation)) < 1e-3


def test_own_is_the_performance_of_the_targets_representative_on_the_gate_images() -> None:
    pair = make_pair(representative_of(0), representative_of(3), task_of(3), PairConfig(gate_images=None))
    assert pair.own == pytest.approx(representative_of(3).performance)


def test_is_of_a_task_with_itself_if_their_data_are_the_same() -> None:
    assert make_pair(representative_of(3), representative_of(3), task_of(3), PAIR).same
    assert not make_pair(representative_of(0), representative_of(3), task_of(3), PAIR).same


def test_refuses_gate_images_of_one_class() -> None:
    task = task_of(3)
    rest = replace(
        task, validation=task.validation.subset(torch.nonzero(task.validation.labels == 0).flatten())
    )
    with pytest.raises(TaskError, match="validation images of digits:is=3 are all of one class"):
        make_pair(representative_of(0), representative_of(3), rest, PAIR)


def test_refuses_the_representative_of_another_task_as_target() -> None:
    with pytest.raises(SettingError, match="knows the classes rest, 0, but digits:is=3 has rest, 3"):
        make_pair(representative_of(3), representative_of(0), task_of(3), PAIR)


def test_refuses_to_draw_no_images() -> None:
    with pytest.raises(SettingError, match="'fit_images' of PairConfig must be at least 2"):
        PairConfig(fit_images=1)


class TestNeeds:
    def test_are_computed_of_both_networks_on_the_fit_images_once(self) -> None:
        asked: list[tuple[str, int]] = []

        def mean(representative: Representative, images: Split) -> torch.Tensor:
            asked.append((representative.task, len(images)))
            return representative.features(images).mean(dim=0)

        cache = Memory()
        for source in (0, 3, 0):
            networks = representative_of(source), representative_of(3)
            pair = make_pair(*networks, task_of(3), PAIR, cache, needs={"mean": mean})
        assert asked == [("digits:is=0", 240), ("digits:is=3", 240)]
        assert torch.equal(pair.extra["mean"][0], pair.source_fit.mean(dim=0))
        assert torch.equal(pair.extra["mean"][1], pair.target_fit.mean(dim=0))

    def test_are_left_out_unless_a_method_asks(self) -> None:
        assert make_pair(representative_of(0), representative_of(3), task_of(3), PAIR).extra == {}


class TestCache:
    def test_computes_features_once_for_tasks_over_the_same_images(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        asked: list[str] = []
        features = Representative.features

        def counted(self: Representative, images: Split) -> torch.Tensor:
            asked.append(self.task)
            return features(self, images)

        monkeypatch.setattr(Representative, "features", counted)
        cache = Memory()
        for digit in (0, 3):
            for source in (0, 3):
                make_pair(representative_of(source), representative_of(digit), task_of(digit), PAIR, cache)
        assert sorted(asked) == ["digits:is=0"] * 2 + ["digits:is=3"] * 2
