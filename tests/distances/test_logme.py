from __future__ import annotations

import math

import pytest
import torch
from scipy.optimize import minimize
from scipy.stats import multivariate_normal
from tests.distances.digit_tasks import PAIR, representative_of, task_of
from torch import Tensor

from tanas.distances.base import Pair
from tanas.distances.from_score import FIT_DRAWS
from tanas.distances.intervals import IntervalConfig
from tanas.distances.logme import LogMeDistance, falling, log_evidence
from tanas.distances.pairs import make_pair
from tanas.ground.seeds import Seed

SEED = Seed(13)


def pair() -> Pair:
    return make_pair(representative_of(0), representative_of(3), task_of(3), PAIR)


def problem(samples: int, width: int, classes: int = 3) -> tuple[Tensor, Tensor]:
    """Features that tell something of the labels, and the labels."""
    labels = torch.arange(samples) % classes
    features = torch.randn(samples, width, generator=SEED.torch())
    features[:, :classes] += 1.5 * torch.nn.functional.one_hot(labels, classes)
    return features, labels


class TestLogEvidence:
    @pytest.mark.parametrize("width", [6, 50], ids=["fewer features", "more features than samples"])
    def test_is_the_greatest_evidence_of_all_precisions(self, width: int) -> None:
        features, labels = problem(30, width)
        f = features.double().numpy()
        best = []
        for label in range(3):
            wanted = (labels == label).double().numpy()

            def against(logs: list[float], wanted: object = wanted) -> float:
                alpha, beta = math.exp(logs[0]), math.exp(logs[1])
                covariance = torch.eye(len(f)).double().numpy() / beta + f @ f.T / alpha
                return -float(multivariate_normal.logpdf(wanted, cov=covariance))

            found = [minimize(against, start, method="Nelder-Mead") for start in ([0, 0], [2, 3], [4, 1])]
            best.append(-min(float(result.fun) for result in found) / len(f))
        assert log_evidence(features, labels, 3) == pytest.approx(sum(best) / 3, abs=1e-3)

    def test_is_higher_for_features_that_tell_the_classes(self) -> None:
        features, labels = problem(60, 8)
        shuffled = features[torch.randperm(60, generator=SEED.torch())]
        assert log_evidence(features, labels, 3) > log_evidence(shuffled, labels, 3) + 0.05

    @pytest.mark.parametrize("width", [4, 80])
    def test_is_finite_for_features_without_variance_and_for_perfect_ones(self, width: int) -> None:
        labels = torch.arange(40) % 2
        perfect = torch.zeros(40, width)
        perfect[:, :2] = torch.nn.functional.one_hot(labels, 2).float()
        blank = log_evidence(torch.zeros(40, width), labels, 2)
        assert math.isfinite(blank)
        assert blank < log_evidence(perfect, labels, 2) < 100

    def test_leaves_out_a_class_without_a_sample(self) -> None:
        features, labels = problem(30, 5)
        assert log_evidence(features, labels, 4) == log_evidence(features, labels, 3)


class TestLogMe:
    def test_falls_with_the_evidence(self) -> None:
        p = pair()
        x = log_evidence(p.source_fit, p.labels_fit, 2)
        assert LogMeDistance()(p, SEED).value == pytest.approx(1 / (1 + math.exp(x)))

    def test_keeps_the_order_where_a_float_can_not(self) -> None:
        xs = [-800.0, -60.0, -35.0, -30.0, -1.0, 0.0, 2.0, 30.0, 60.0, 800.0]
        orders = [falling(x) for x in xs]
        assert all(math.isfinite(order) for order in orders)
        assert orders == sorted(orders, reverse=True)
        assert len(set(orders)) == len(xs)

    def test_has_an_interval_from_draws_of_fit_rows(self) -> None:
        measurement = LogMeDistance(IntervalConfig(maps=2))(pair(), SEED)
        assert len(measurement.draws) == 2 * FIT_DRAWS
        assert measurement.interval is not None
        assert measurement.interval[0] < measurement.value < measurement.interval[1]
        assert measurement.value == LogMeDistance()(pair(), SEED).value
