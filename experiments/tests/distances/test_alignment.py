from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tests.distances.digit_tasks import PAIR, representative_of, task_of
from torch import Tensor

from tanas.distances.base import Pair
from tanas.distances.from_score import FIT_DRAWS
from tanas.distances.intervals import IntervalConfig
from tanas.distances.pairs import make_pair
from tanas.ground.seeds import Seed
from tanas_experiments.distances.alignment import CkaDistance

SEED = Seed(17)


def pair() -> Pair:
    return make_pair(representative_of(0), representative_of(3), task_of(3), PAIR)


def turned(features: Tensor) -> Tensor:
    random = torch.randn(features.shape[1], features.shape[1], generator=SEED.torch())
    return features @ torch.linalg.qr(random).Q


def test_is_the_published_formula() -> None:
    p = pair()
    x, y = (f.double() - f.double().mean(dim=0) for f in (p.source_fit, p.target_fit))
    expected = 1 - (y.T @ x).square().sum() / ((x.T @ x).norm() * (y.T @ y).norm())
    assert CkaDistance()(p, SEED).value == pytest.approx(float(expected), abs=1e-5)
    assert 0.05 < float(expected) < 0.95


def test_is_zero_for_features_that_are_turned_scaled_and_shifted() -> None:
    p = pair()
    same = replace(p, source_fit=3 * turned(p.target_fit) + 1)
    assert CkaDistance()(replace(p, source_fit=p.target_fit), SEED).value == pytest.approx(0, abs=1e-6)
    assert CkaDistance()(same, SEED).value == pytest.approx(0, abs=1e-5)


def test_is_symmetric_in_the_two_networks() -> None:
    p = pair()
    back = replace(p, source_fit=p.target_fit, target_fit=p.source_fit)
    assert CkaDistance()(back, SEED).value == pytest.approx(CkaDistance()(p, SEED).value)


def test_is_one_for_features_that_do_not_vary() -> None:
    p = pair()
    assert CkaDistance()(replace(p, source_fit=torch.ones_like(p.source_fit)), SEED).value == 1


def test_has_an_interval_from_draws_of_fit_rows() -> None:
    measurement = CkaDistance(IntervalConfig(maps=2))(pair(), SEED)
    assert len(measurement.draws) == 2 * FIT_DRAWS
    assert measurement.interval is not None
    assert measurement.interval[0] < measurement.value < measurement.interval[1]
