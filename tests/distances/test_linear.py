from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.distances.digit_tasks import PAIR, representative_of, task_of
from torch import Tensor

from tanas.distances.base import Pair
from tanas.distances.gate import GateConfig
from tanas.distances.intervals import IntervalConfig
from tanas.distances.linear import LinearConfig, LinearDistance, principal, pursuit
from tanas.distances.pairs import make_pair
from tanas.ground.errors import SettingError
from tanas.ground.seeds import Seed

SEED = Seed(7)
WIDE = GateConfig(slack=0.3)
"""So wide that a small map passes."""


@pytest.fixture(scope="module")
def pair() -> Pair:
    return make_pair(representative_of(0), representative_of(3), task_of(3), PAIR)


@pytest.fixture(scope="module")
def alike(pair: Pair) -> Pair:
    return replace(pair, source_fit=pair.target_fit, source_gate=pair.target_gate)


@pytest.fixture(scope="module")
def blind(pair: Pair) -> Pair:
    generator = Seed(9).torch()
    return replace(
        pair,
        source_fit=torch.rand(pair.source_fit.shape, generator=generator),
        source_gate=torch.rand(pair.source_gate.shape, generator=generator),
    )


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=Seed(4).torch())


class TestPursuit:
    def test_takes_up_each_feature_once(self) -> None:
        source, wanted = normal(60, 12), normal(60, 12)[:, :3]
        assert sorted(pursuit(source.T @ source + torch.eye(12), source.T @ wanted)) == list(range(12))

    def test_takes_up_the_features_that_make_the_outputs_first(self) -> None:
        source = normal(200, 20)
        wanted = torch.stack([source[:, 3] * 5, source[:, 11] * 2 + source[:, 3]], dim=1)
        order = list(pursuit(source.T @ source + 0.1 * torch.eye(20), source.T @ wanted))
        assert order[:2] == [3, 11]

    def test_takes_the_feature_that_lowers_the_refitted_error_most(self) -> None:
        source, wanted = normal(80, 8).double(), normal(80, 8).double()[:, :2] + normal(80, 1).double()
        gram, crossed = source.T @ source + 0.5 * torch.eye(8).double(), source.T @ wanted

        def explained(taken: list[int]) -> float:
            solved = torch.linalg.solve(gram[taken][:, taken], crossed[taken])
            return float((crossed[taken] * solved).sum())  # what a ridge fit of them takes off the error

        taken: list[int] = []
        for feature in pursuit(gram, crossed):
            best = max((f for f in range(8) if f not in taken), key=lambda f: explained([*taken, f]))
            assert feature == best
            taken.append(feature)
        assert len(taken) == 8

    def test_is_not_led_astray_by_a_copy_of_a_feature(self) -> None:
        source = normal(100, 6)
        source[:, 4] = source[:, 2]
        wanted = torch.stack([3 * source[:, 2], source[:, 5]], dim=1)
        order = list(pursuit(source.T @ source + 0.01 * torch.eye(6), source.T @ wanted))
        assert order[:2] == [2, 5]


class TestPrincipal:
    def test_holds_the_share_that_was_asked_and_no_component_more(self) -> None:
        features = normal(300, 5) * torch.tensor([10.0, 5.0, 1.0, 0.1, 0.1])
        features = features - features.mean(dim=0)
        basis = principal(features, 0.99)
        assert torch.allclose(basis.T @ basis, torch.eye(basis.shape[1]), atol=1e-5)
        shares = [
            float((features @ basis[:, :k]).square().sum() / features.square().sum()) for k in (1, 2, 3)
        ]
        assert basis.shape == (5, sum(share < 0.99 for share in shares) + 1)

    def test_is_one_component_where_nothing_varies(self) -> None:
        assert principal(torch.zeros(10, 4), 0.9).shape == (4, 1)

    def test_finds_no_more_components_than_samples(self) -> None:
        assert principal(normal(3, 40), 0.999999).shape[1] <= 3


class TestDistance:
    def test_orders_alike_before_another_before_blind(self, alike: Pair, pair: Pair, blind: Pair) -> None:
        orders = [LinearDistance(gate=WIDE)(p, SEED).order for p in (alike, pair, blind)]
        assert orders == sorted(orders)
        assert orders[0] < 0.5 < 1 < orders[2]

    def test_needs_as_few_features_as_hold_what_is_asked(self, pair: Pair) -> None:
        # one feature of A is the very score of B's head, and the others are noise
        score = (pair.target_fit @ pair.head_weight.T)[:, 1:] * 10
        gate = (pair.target_gate @ pair.head_weight.T)[:, 1:] * 10
        noise = 0.01 * torch.rand(len(score), 9, generator=Seed(3).torch())
        noise_gate = 0.01 * torch.rand(len(gate), 9, generator=Seed(5).torch())
        told = replace(
            pair,
            source_fit=torch.cat([noise, score], dim=1),
            source_gate=torch.cat([noise_gate, gate], dim=1),
        )
        measured = LinearDistance(gate=GateConfig(slack=0.15))(told, SEED)
        assert measured.value == pytest.approx(0.1)
        assert measured.surplus > 0

    def test_draws_nothing_from_the_seed(self, pair: Pair) -> None:
        one, other = (replace(LinearDistance(gate=WIDE)(pair, Seed(s)), took_s=0.0) for s in (1, 2))
        assert one == other

    def test_tries_numbers_from_one_up_until_enough_pass(self, alike: Pair) -> None:
        measured = LinearDistance(LinearConfig(patience=3), WIDE)(alike, SEED)
        features = alike.source_fit.shape[1]
        numbers = sorted(round(density * features) for density, _ in measured.curve)
        assert numbers[0] == 1
        assert numbers[-1] == features
        passed = [l_b >= measured.gate for _, l_b in reversed(measured.curve[1:])]
        assert passed[-3:] == [True] * 3
        assert not any(all(passed[i : i + 3]) for i in range(len(passed) - 3))

    def test_tries_nothing_smaller_where_the_map_of_all_features_fails(self, blind: Pair) -> None:
        measured = LinearDistance()(blind, SEED)
        assert measured.value == 1
        assert measured.curve == ((1.0, measured.dense),)
        assert measured.shortfall == pytest.approx(measured.gate - measured.dense)

    def test_reads_a_frozen_head_from_the_whole_output(self, alike: Pair) -> None:
        frozen = GateConfig(head="frozen", slack=0.3)
        everything = LinearConfig(ridge=1e-4, variance=0.9999)
        measured = LinearDistance(everything, frozen)(alike, SEED)
        own = LinearDistance(everything, replace(frozen, measure="balanced"))(alike, SEED).own
        assert own == pytest.approx(alike.own)
        assert measured.dense == pytest.approx(measured.own, abs=0.05)

    def test_ends_early_behind_a_bound_and_only_there(self, pair: Pair) -> None:
        distance = LinearDistance(gate=GateConfig(slack=0.2))
        whole = distance(pair, SEED)
        assert 0.1 < whole.value < 1
        early = distance(pair, SEED, beyond=whole.value / 3)
        assert early.at_least
        assert whole.value / 3 < early.value <= whole.value
        assert len(early.curve) < len(whole.curve)
        for bound in (whole.value, whole.value * 2, 1.5):
            assert replace(distance(pair, SEED, beyond=bound), took_s=0.0) == replace(whole, took_s=0.0)

    def test_has_an_interval_of_maps_and_rows(self, pair: Pair) -> None:
        sure = LinearDistance(gate=WIDE, intervals=IntervalConfig(draws=60, maps=3))(pair, SEED)
        alone = LinearDistance(gate=WIDE)(pair, SEED)
        assert (sure.value, sure.curve) == (alone.value, alone.curve)
        assert sure.interval is not None
        assert 0 <= sure.interval[0] < sure.interval[1] <= 1
        assert np.std(sure.draws) > 0


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"ridge": 0.0}, "The 'ridge' of LinearConfig must be greater than 0"),
        ({"variance": 1.0}, r"The 'variance' of LinearConfig must be in \(0, 1\)"),
        ({"growth": 1.0}, "The 'growth' of LinearConfig must be greater than 1"),
        ({"patience": 0}, "The 'patience' of LinearConfig must be at least 1"),
    ],
    ids=["ridge", "variance", "growth", "patience"],
)
def test_a_setting_that_makes_no_sense_is_refused(wrong: dict[str, float], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        LinearConfig(**wrong)
