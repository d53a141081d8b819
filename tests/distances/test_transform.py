from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tests.distances.digit_tasks import PAIR, TRANSFORM, representative_of, task_of

from tanas.distances.base import Pair
from tanas.distances.heads import fit_ridge
from tanas.distances.pairs import make_pair
from tanas.distances.transform import (
    TransformConfig,
    TransformDistance,
    fine_tune,
    fit_transform,
    masks_at,
    paper_transform,
)
from tanas.distances.transform_network import TransformNetwork
from tanas.errors import NonFiniteError, SettingError
from tanas.seeds import Seed

SEED = Seed(7)


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


class TestDistance:
    def test_is_small_where_the_identity_would_do(self, alike: Pair) -> None:
        measurement = TransformDistance(TRANSFORM)(alike, SEED)
        assert measurement.value < 0.25
        assert measurement.shortfall == 0

    def test_is_one_with_a_shortfall_where_the_features_know_nothing(self, blind: Pair) -> None:
        measurement = TransformDistance(TRANSFORM)(blind, SEED)
        assert measurement.value == 1
        assert measurement.shortfall == pytest.approx(measurement.gate - measurement.dense)
        assert measurement.shortfall > 0.3
        assert measurement.curve == ((1.0, measurement.dense),)

    def test_orders_alike_before_another_before_blind(self, alike: Pair, pair: Pair, blind: Pair) -> None:
        keys = [TransformDistance(TRANSFORM)(p, SEED).order_key for p in (alike, pair, blind)]
        assert keys == sorted(keys)

    def test_was_passed_by_the_map_at_its_density(self, pair: Pair) -> None:
        measurement = TransformDistance(replace(TRANSFORM, gate="dense"))(pair, SEED)
        at = min(measurement.curve, key=lambda point: abs(point[0] - measurement.value))
        assert at[1] >= measurement.gate
        assert [density for density, _ in measurement.curve] == sorted(
            (density for density, _ in measurement.curve), reverse=True
        )

    def test_takes_another_value_with_another_seed(self, pair: Pair) -> None:
        distance = TransformDistance(replace(TRANSFORM, gate="dense"))
        assert distance(pair, SEED).curve != distance(pair, Seed(8)).curve


class TestGates:
    def test_own_asks_for_what_the_features_of_b_reach_under_the_same_head(self, pair: Pair) -> None:
        frozen = TransformDistance(replace(TRANSFORM, head="frozen"))(pair, SEED)
        assert frozen.own == pair.own
        assert frozen.gate == pytest.approx(pair.own - pair.epsilon)
        refitted = TransformDistance(TRANSFORM)(pair, SEED)
        head = fit_ridge(pair.target_fit, pair.labels_fit, pair.classes, balanced=True)
        answers = head.answers(pair.target_gate)
        right = [(answers == pair.labels_gate)[pair.labels_gate == c].double().mean() for c in (0, 1)]
        assert refitted.own == pytest.approx(float(sum(right)) - 1)
        assert refitted.gate == pytest.approx(refitted.own - pair.epsilon)

    def test_absolute_asks_for_one_minus_epsilon(self, pair: Pair) -> None:
        assert TransformDistance(replace(TRANSFORM, gate="absolute"))(pair, SEED).gate == 1 - pair.epsilon

    def test_dense_asks_for_what_the_whole_map_reaches_and_always_passes(self, blind: Pair) -> None:
        measurement = TransformDistance(replace(TRANSFORM, gate="dense"))(blind, SEED)
        assert measurement.gate == pytest.approx(measurement.dense - blind.epsilon)
        assert measurement.shortfall == 0

    def test_accuracy_is_scored_where_the_task_is_measured_by_it(self, pair: Pair) -> None:
        by_accuracy = replace(pair, measure="accuracy")
        constant = float((pair.labels_gate == 0).double().mean())
        measurement = TransformDistance(TRANSFORM)(by_accuracy, SEED)
        assert measurement.dense >= constant - 0.03


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
        assert TransformDistance(TRANSFORM)(lying, SEED).dense < 0.25
        assert TransformDistance(TRANSFORM)(alike, SEED).dense > 0.75

    def test_comes_near_the_features_of_b(self, alike: Pair) -> None:
        network = fit_transform(alike, TRANSFORM, SEED)
        with torch.no_grad():
            missed = (network(alike.source_gate) - alike.target_gate).square().mean()
        assert missed < 0.3 * (alike.target_gate - alike.target_fit.mean(dim=0)).square().mean()

    def test_that_diverges_is_refused_by_name(self, pair: Pair) -> None:
        with pytest.raises(
            NonFiniteError, match="from digits:is=0 to digits:is=3 is .*Lower its learning rate"
        ):
            TransformDistance(replace(TRANSFORM, learning_rate=1e30))(pair, SEED)

    def test_features_that_never_change_are_mapped_all_the_same(self, pair: Pair) -> None:
        flat = replace(pair, source_fit=torch.ones_like(pair.source_fit))
        assert TransformDistance(TRANSFORM)(flat, SEED).value == 1


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
        fine_tune(network, pair, replace(TRANSFORM, fine_tuner=fine_tuner), masks, SEED)
        assert loss() < before
        for matrix, mask in zip(network.matrices, masks, strict=True):
            assert not matrix[~mask].any()

    def test_iterative_finds_a_density_below_one_shot(self, alike: Pair) -> None:
        one_shot = TransformDistance(replace(TRANSFORM, head="frozen"))(alike, SEED)
        iterative = TransformDistance(replace(TRANSFORM, head="frozen", pruning="iterative"))(alike, SEED)
        assert iterative.value < one_shot.value


class TestConfig:
    def test_paper_takes_the_words_of_the_paper(self) -> None:
        config = paper_transform()
        assert (config.widths, config.gate, config.head) == ((2048, 512), "absolute", "frozen")
        assert (config.pruning, config.epochs, config.fine_tune_epochs) == ("iterative", 10, 10)

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            (
                {"gate": "half"},
                "The 'gate' of TransformConfig must be one of own, absolute, dense. Got 'half'",
            ),
            ({"head": "none"}, "The 'head' of TransformConfig must be one of ridge, frozen"),
            ({"pruning": "all"}, "The 'pruning' of TransformConfig must be one of one-shot, iterative"),
            ({"least_density": 0.0}, r"The 'least_density' of TransformConfig must be in \(0, 1\)"),
            ({"tolerance": 0.0}, "The 'tolerance' of TransformConfig must be greater than 0"),
            ({"widths": (8, 0)}, "The 'widths' of TransformConfig must be at least 1. Got 0"),
        ],
        ids=lambda case: "" if isinstance(case, str) else next(iter(case)),
    )
    def test_refuses_what_makes_no_sense(self, wrong: dict[str, object], message: str) -> None:
        with pytest.raises(SettingError, match=message):
            TransformConfig(**wrong)
