from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from tests.distances.digit_tasks import PAIR, TRANSFORM, representative_of, task_of

from tanas.distances.base import Measurement, Pair
from tanas.distances.gate import GateConfig
from tanas.distances.heads import fit_ridge
from tanas.distances.intervals import IntervalConfig
from tanas.distances.pairs import make_pair
from tanas.distances.transform import (
    TransformConfig,
    TransformDistance,
    fine_tune,
    fit_transform,
    masks_at,
    paper_gate,
    paper_transform,
)
from tanas.distances.transform_network import TransformNetwork
from tanas.ground.errors import NonFiniteError, SettingError
from tanas.ground.seeds import Seed

SEED = Seed(7)


def asks(**changes: Any) -> GateConfig:
    """A gate on the head's answers, by the task's own measure and epsilon."""
    return replace(GateConfig(slack=None, measure=None), **changes)


DENSE = asks(asked="dense")
OWN = asks()
EXACT = replace(TRANSFORM, exact=True, fine_tune_epochs=3)


def untimed(measurement: Measurement) -> Measurement:
    return replace(measurement, took_s=0.0)


def passed(measurement: Measurement) -> list[bool]:
    """Whether each density of the curve passed the gate, the densest first."""
    assert measurement.gate is not None
    return [performance >= measurement.gate for _, performance in measurement.curve]


@pytest.fixture(scope="module")
def pair() -> Pair:
    return make_pair(representative_of(0), representative_of(3), task_of(3), PAIR)


@pytest.fixture(scope="module")
def alike(pair: Pair) -> Pair:
    """A has the very features of B, though it is another task."""
    return replace(pair, source_fit=pair.target_fit, source_gate=pair.target_gate)


@pytest.fixture(scope="module")
def blind(pair: Pair) -> Pair:
    """Features of A that know nothing of B."""
    generator = Seed(9).torch()
    return replace(
        pair,
        source_fit=torch.rand(pair.source_fit.shape, generator=generator),
        source_gate=torch.rand(pair.source_gate.shape, generator=generator),
    )


@pytest.fixture(scope="module")
def whole(pair: Pair) -> Measurement:
    """Measured to its end."""
    return TransformDistance(TRANSFORM, DENSE)(pair, SEED)


class TestDistance:
    def test_is_small_where_the_identity_would_do(self, alike: Pair) -> None:
        measurement = TransformDistance(TRANSFORM, OWN)(alike, SEED)
        assert measurement.value < 0.25
        assert measurement.shortfall == 0

    def test_is_one_with_a_shortfall_where_the_features_know_nothing(self, blind: Pair) -> None:
        measurement = TransformDistance(TRANSFORM, OWN)(blind, SEED)
        assert measurement.value == 1
        assert measurement.gate is not None
        assert measurement.dense is not None
        assert measurement.shortfall == pytest.approx(measurement.gate - measurement.dense)
        assert measurement.shortfall > 0.3
        assert measurement.curve == ((1.0, measurement.dense),)

    def test_orders_alike_before_another_before_blind(self, alike: Pair, pair: Pair, blind: Pair) -> None:
        orders = [TransformDistance(TRANSFORM, OWN)(p, SEED).order for p in (alike, pair, blind)]
        assert orders == sorted(orders)

    def test_lies_between_the_last_density_that_passed_and_the_next(self, pair: Pair) -> None:
        measurement = TransformDistance(TRANSFORM, DENSE)(pair, SEED)
        densities = [density for density, _ in measurement.curve]
        assert densities == sorted(densities, reverse=True)
        last = passed(measurement).index(False)
        assert densities[last] <= measurement.value <= densities[last - 1]
        assert math.log(densities[last - 1] / densities[last]) <= TRANSFORM.tolerance + 1e-9

    def test_at_the_least_density_has_a_surplus(self, pair: Pair) -> None:
        lenient = asks(asked="dense", slack=1.0)
        measurement = TransformDistance(TRANSFORM, lenient)(pair, SEED)
        assert measurement.value == TRANSFORM.least_density
        assert measurement.gate is not None
        assert measurement.surplus == pytest.approx(measurement.curve[-1][1] - measurement.gate)
        assert measurement.surplus > 0
        assert measurement.order == measurement.value - measurement.surplus

    def test_takes_another_value_with_another_seed(self, pair: Pair) -> None:
        distance = TransformDistance(TRANSFORM, DENSE)
        assert distance(pair, SEED).curve != distance(pair, Seed(8)).curve


class TestGates:
    def test_own_asks_for_what_the_features_of_b_reach_under_the_same_head(self, pair: Pair) -> None:
        frozen = TransformDistance(TRANSFORM, asks(head="frozen"))(pair, SEED)
        assert frozen.own == pair.own
        assert frozen.gate == pytest.approx(pair.own - pair.epsilon)
        refitted = TransformDistance(TRANSFORM, OWN)(pair, SEED)
        head = fit_ridge(pair.target_fit, pair.labels_fit, pair.classes, balanced=True)
        answers = head.answers(pair.target_gate)
        right = [(answers == pair.labels_gate)[pair.labels_gate == c].double().mean() for c in (0, 1)]
        assert refitted.own == pytest.approx(float(sum(right)) - 1)
        assert refitted.gate == pytest.approx(refitted.own - pair.epsilon)

    def test_absolute_asks_for_one_minus_epsilon(self, pair: Pair) -> None:
        assert TransformDistance(TRANSFORM, asks(asked="absolute"))(pair, SEED).gate == 1 - pair.epsilon

    def test_dense_asks_for_what_the_whole_map_reaches_and_always_passes(self, blind: Pair) -> None:
        measurement = TransformDistance(TRANSFORM, DENSE)(blind, SEED)
        assert measurement.gate == pytest.approx(measurement.dense - blind.epsilon)
        assert measurement.shortfall == 0

    def test_accuracy_is_scored_where_the_task_is_measured_by_it(self, pair: Pair) -> None:
        by_accuracy = replace(pair, measure="accuracy")
        constant = float((pair.labels_gate == 0).double().mean())
        measurement = TransformDistance(TRANSFORM, OWN)(by_accuracy, SEED)
        assert measurement.dense is not None
        assert measurement.dense >= constant - 0.03
        set_so = TransformDistance(TRANSFORM, asks(measure="accuracy"))(pair, SEED)
        assert untimed(set_so) == untimed(measurement)


class TestFit:
    def test_uses_no_labels_and_no_gate_rows(self, pair: Pair) -> None:
        other = replace(
            pair,
            source_gate=pair.source_gate.flip(0),
            target_gate=pair.target_gate * 2,
            labels_gate=1 - pair.labels_gate,
            labels_fit=1 - pair.labels_fit,
        )
        one, same = fit_transform(pair, TRANSFORM, SEED), fit_transform(other, TRANSFORM, SEED)
        for name, value in one.state_dict().items():
            assert torch.equal(value, same.state_dict()[name]), name
        for mask, as_mask in zip(masks_at(one, 0.1), masks_at(same, 0.1), strict=True):
            assert torch.equal(mask, as_mask)

    def test_of_map_and_head_knows_nothing_of_the_gate_labels(self, alike: Pair) -> None:
        order = torch.randperm(len(alike.labels_gate), generator=SEED.torch())
        lying = replace(alike, labels_gate=alike.labels_gate[order])
        told_lies, told_truth = (TransformDistance(TRANSFORM, OWN)(p, SEED).dense for p in (lying, alike))
        assert told_lies is not None
        assert told_truth is not None
        assert told_lies < 0.25
        assert told_truth > 0.75

    def test_comes_near_the_features_of_b(self, alike: Pair) -> None:
        network = fit_transform(alike, TRANSFORM, SEED)
        with torch.no_grad():
            missed = (network(alike.source_gate) - alike.target_gate).square().mean()
        assert missed < 0.3 * (alike.target_gate - alike.target_fit.mean(dim=0)).square().mean()

    def test_that_diverges_is_refused_by_name(self, pair: Pair) -> None:
        with pytest.raises(NonFiniteError, match="from digits:is=0 to digits:is=3"):
            TransformDistance(replace(TRANSFORM, learning_rate=1e30), OWN)(pair, SEED)

    def test_features_that_never_change_are_mapped_all_the_same(self, pair: Pair) -> None:
        flat = replace(pair, source_fit=torch.ones_like(pair.source_fit))
        assert TransformDistance(TRANSFORM, OWN)(flat, SEED).value == 1


class TestCoordinates:
    @pytest.mark.parametrize("density", [None, 0.3, 0.02])
    @pytest.mark.parametrize("widths", [(48, 24), (48, 10), (16, 40)], ids=str)
    def test_of_the_output_give_a_ridge_head_the_same_answers(
        self, pair: Pair, widths: Sequence[int], density: float | None
    ) -> None:
        network = fit_transform(pair, replace(TRANSFORM, widths=tuple(widths)), SEED)
        masks = None if density is None else masks_at(network, density)
        with torch.no_grad():
            whole = [network(rows, masks) for rows in (pair.source_fit, pair.source_gate)]
            few = network.coordinates(pair.source_fit, pair.source_gate, masks=masks)
        assert few[0].shape[1] <= min(widths[-1], whole[0].shape[1])
        labels, features = pair.labels_fit, whole[0].shape[1]
        of_whole = fit_ridge(whole[0].double(), labels, 2, balanced=True)
        of_few = fit_ridge(few[0].double(), labels, 2, balanced=True, width=features)
        scores = [
            rows.double() @ head.weight.T + head.bias
            for rows, head in ((whole[1], of_whole), (few[1], of_few))
        ]
        torch.testing.assert_close(scores[1], scores[0], atol=1e-3, rtol=0)
        assert torch.equal(of_few.answers(few[1].double()), of_whole.answers(whole[1].double()))

    def test_keep_distances_between_images(self, pair: Pair) -> None:
        network = fit_transform(pair, TRANSFORM, SEED)
        with torch.no_grad():
            whole, (few,) = network(pair.source_gate[:50]), network.coordinates(pair.source_gate[:50])
        apart = [torch.cdist(rows.double(), rows.double()) for rows in (few, whole)]
        torch.testing.assert_close(apart[0], apart[1], atol=1e-4, rtol=1e-4)

    def test_of_a_map_without_weights_are_zero(self, pair: Pair) -> None:
        network = fit_transform(pair, TRANSFORM, SEED)
        nothing = [torch.zeros_like(matrix, dtype=torch.bool) for matrix in network.matrices]
        with torch.no_grad():
            (few,) = network.coordinates(pair.source_gate, masks=nothing)
        assert few.shape == (len(pair.source_gate), 1)
        assert not few.any()


class TestPruning:
    def test_counts_the_matrices_and_not_the_biases(self, pair: Pair) -> None:
        network = TransformNetwork(pair.source_fit, pair.target_fit, (48, 24))
        assert network.weights == 24 * 48 + 48 * 24 + 24 * 24
        biases = 48 + 24 + 24
        assert sum(p.numel() for p in network.parameters()) == network.weights + biases

    @pytest.mark.parametrize("density", [1.0, 0.5, 0.013, 1e-6])
    def test_keeps_the_exact_share(self, pair: Pair, density: float) -> None:
        network = TransformNetwork(pair.source_fit, pair.target_fit, (48, 24))
        kept = sum(int(mask.sum()) for mask in masks_at(network, density))
        assert kept == max(round(density * network.weights), 1)

    def test_masked_weights_do_not_count_in_the_map(self, pair: Pair) -> None:
        network = fit_transform(pair, TRANSFORM, SEED)
        masks = masks_at(network, 0.1)
        with torch.no_grad():
            masked = network(pair.source_gate, masks)
            for matrix, mask in zip(network.matrices, masks, strict=True):
                matrix.mul_(mask)
            assert torch.equal(masked, network(pair.source_gate))

    @pytest.mark.parametrize("fine_tuner", ["adam", "rmsprop"])
    def test_fine_tuning_leaves_pruned_weights_at_zero_and_lowers_the_loss(
        self, pair: Pair, fine_tuner: str
    ) -> None:
        network = fit_transform(pair, TRANSFORM, SEED)
        masks = masks_at(network, 0.1)

        def loss() -> float:
            with torch.no_grad():
                return float((network(pair.source_fit, masks) - pair.target_fit).square().mean())

        before = loss()
        fine_tune(network, pair, replace(EXACT, fine_tuner=fine_tuner), masks, SEED)
        assert loss() < before
        for matrix, mask in zip(network.matrices, masks, strict=True):
            assert not matrix[~mask].any()


class TestExact:
    @pytest.mark.parametrize("patience", [1, 3])
    def test_walks_down_in_small_steps_until_too_many_in_a_row_fail(self, alike: Pair, patience: int) -> None:
        measurement = TransformDistance(replace(EXACT, patience=patience), OWN)(alike, SEED)
        densities = [density for density, _ in measurement.curve]
        assert densities == pytest.approx([EXACT.shrink**step for step in range(len(densities))])
        failed = [not ok for ok in passed(measurement)]
        assert failed[-patience:] == [True] * patience
        runs = "".join("x" if one else " " for one in failed[:-1]).split()
        assert all(len(run) < patience for run in runs[:-1])
        assert densities[-1] > EXACT.least_density

    def test_counts_the_multiply_adds_of_all_fits(self, alike: Pair) -> None:
        rows, exact = len(alike.source_fit), TransformDistance(EXACT, OWN)(alike, SEED)
        an_epoch = 3 * fit_transform(alike, replace(EXACT, epochs=1), SEED).weights * rows
        steps = len(exact.curve) - 1  # the whole map is not fitted on
        assert exact.map_macs == an_epoch * (EXACT.epochs + EXACT.fine_tune_epochs * steps)
        assert TransformDistance(TRANSFORM, OWN)(alike, SEED).map_macs == an_epoch * TRANSFORM.epochs

    def test_ends_at_the_least_density(self, pair: Pair) -> None:
        lenient = asks(asked="dense", slack=1.0)
        config = replace(EXACT, least_density=0.2, fine_tune_epochs=1)
        measurement = TransformDistance(config, lenient)(pair, SEED)
        assert measurement.value == pytest.approx(0.7**4)  # 0.7 ** 5 is less than 0.2
        assert measurement.surplus > 0

    def test_finds_a_density_below_one_shot(self, alike: Pair) -> None:
        gate = asks(head="frozen")
        one_shot = TransformDistance(TRANSFORM, gate)(alike, SEED)
        exact = TransformDistance(replace(TRANSFORM, exact=True), gate)(alike, SEED)
        assert exact.value < one_shot.value

    def test_leaves_a_bound_alone(self, pair: Pair) -> None:
        distance = TransformDistance(replace(EXACT, fine_tune_epochs=1), DENSE)
        assert untimed(distance(pair, SEED, beyond=0.0)) == untimed(distance(pair, SEED))


class TestBeyond:
    def test_ends_early_with_less_tried_and_says_that_d_is_at_least_so_much(
        self, pair: Pair, whole: Measurement
    ) -> None:
        early = TransformDistance(TRANSFORM, DENSE)(pair, SEED, beyond=whole.value / 8)
        assert early.at_least
        assert whole.value / 8 < early.value <= whole.value
        assert early.order > whole.value / 8
        assert len(early.curve) < len(whole.curve)
        assert set(early.curve) <= set(whole.curve)

    @pytest.mark.parametrize("share", [1.0, 1.3, 5.0])
    def test_changes_nothing_that_is_not_beyond(self, pair: Pair, whole: Measurement, share: float) -> None:
        bounded = TransformDistance(TRANSFORM, DENSE)(pair, SEED, beyond=whole.value * share)
        assert not bounded.at_least
        assert untimed(bounded) == untimed(whole)

    @pytest.mark.parametrize("share", [0.0, 0.3, 0.7, 0.9, 0.99, 1.01])
    def test_never_changes_on_which_side_it_lies(self, pair: Pair, whole: Measurement, share: float) -> None:
        bound = whole.order * share
        bounded = TransformDistance(TRANSFORM, DENSE)(pair, SEED, beyond=bound)
        assert (bounded.order > bound) == (whole.order > bound)
        assert bounded.order <= whole.order

    def test_leaves_what_fails_as_a_whole_as_it_is(self, blind: Pair) -> None:
        distance = TransformDistance(TRANSFORM, OWN)
        assert untimed(distance(blind, SEED, beyond=0.01)) == untimed(distance(blind, SEED))


class TestIntervals:
    INTERVALS = IntervalConfig(draws=60, maps=2)

    def measured(self, source: int, target: int, intervals: IntervalConfig | None) -> Measurement:
        pair = make_pair(representative_of(source), representative_of(target), task_of(target), PAIR)
        return TransformDistance(TRANSFORM, DENSE, intervals)(pair, SEED)

    def test_leave_the_distance_as_it_is(self, pair: Pair) -> None:
        alone = TransformDistance(TRANSFORM, DENSE)(pair, SEED)
        sure = TransformDistance(TRANSFORM, DENSE, self.INTERVALS)(pair, SEED)
        assert len(sure.draws) == 60
        assert sure.map_macs == alone.map_macs * self.INTERVALS.maps, "each map is paid for"
        assert untimed(replace(sure, interval=None, draws=(), map_macs=alone.map_macs)) == untimed(alone)

    def test_reach_from_the_draws_to_a_distance_beside_them(self) -> None:
        # so narrow that most distances lie outside of their own draws' interval
        intervals, outside = IntervalConfig(draws=60, maps=1, level=0.02), 0
        for source, target in ((0, 3), (3, 0), (0, 5), (3, 5)):
            found = self.measured(source, target, intervals)
            low, high = intervals.ends([min(max(draw, 0.0), 1.0) for draw in found.draws])
            assert found.interval == (min(low, found.value), max(high, found.value))
            outside += not low <= found.value <= high
        assert outside, "else this says nothing"

    def test_leave_out_a_tail_of_the_draws_at_each_end(self, pair: Pair) -> None:
        found = TransformDistance(TRANSFORM, DENSE, IntervalConfig(draws=60, maps=1, level=0.8))(pair, SEED)
        assert found.interval is not None
        low, high = found.interval
        inside = [low <= draw <= high for draw in found.draws]
        assert 0.8 <= sum(inside) / 60 < 1

    def test_take_every_second_draw_from_a_second_map(self, pair: Pair) -> None:
        def orders(maps: int) -> list[float]:
            intervals = IntervalConfig(draws=60, maps=maps)
            return list(TransformDistance(TRANSFORM, DENSE, intervals)(pair, SEED).draws)

        one, two = orders(1), orders(2)
        assert one[::2] == two[::2]  # draws of the first map
        assert one[1::2] != two[1::2]


class TestConfig:
    def test_paper_takes_the_words_of_the_paper(self) -> None:
        config, gate = paper_transform(), paper_gate()
        assert (gate.asked, gate.head, gate.slack) == ("absolute", "frozen", None)
        assert (config.widths, config.exact, config.fine_tuner) == ((2048, 512), True, "rmsprop")
        assert (config.epochs, config.fine_tune_epochs, config.batch) == (10, 10, 200)

    def test_says_in_its_name_whether_it_is_exact(self) -> None:
        assert (TransformDistance(TRANSFORM, OWN).name, TransformDistance(EXACT, OWN).name) == (
            "transform",
            "exact",
        )

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"fine_tuner": "sgd"}, "The 'fine_tuner' of TransformConfig must be one of adam, rmsprop"),
            ({"least_density": 0.0}, r"The 'least_density' of TransformConfig must be in \(0, 1\)"),
            ({"tolerance": 0.0}, "The 'tolerance' of TransformConfig must be greater than 0"),
            ({"shrink": 1.0}, r"The 'shrink' of TransformConfig must be in \(0, 1\)"),
            ({"patience": 0}, "The 'patience' of TransformConfig must be at least 1"),
            ({"widths": (8, 0)}, "The 'widths' of TransformConfig must be at least 1"),
        ],
        ids=lambda case: "" if isinstance(case, str) else next(iter(case)),
    )
    def test_refuses_what_makes_no_sense(self, wrong: dict[str, object], message: str) -> None:
        with pytest.raises(SettingError, match=message):
            TransformConfig(**wrong)  # type: ignore[arg-type]
