from __future__ import annotations

import pytest
import torch
from sklearn.covariance import ledoit_wolf_shrinkage
from tests.distances.digit_tasks import PAIR, representative_of, task_of
from torch import Tensor

from tanas.distances.base import Pair
from tanas.distances.from_score import FIT_DRAWS
from tanas.distances.intervals import IntervalConfig
from tanas.distances.pairs import make_pair
from tanas.ground.seeds import Seed
from tanas_experiments.distances.h_score import HScoreDistance, h_score, ledoit_wolf

SEED = Seed(13)


def pair() -> Pair:
    return make_pair(representative_of(0), representative_of(3), task_of(3), PAIR)


def problem(samples: int, width: int, classes: int = 3) -> tuple[Tensor, Tensor]:
    """Features that tell something of the labels, and the labels."""
    labels = torch.arange(samples) % classes
    features = torch.randn(samples, width, generator=SEED.torch())
    features[:, :classes] += 1.5 * torch.nn.functional.one_hot(labels, classes)
    return features, labels


class TestHScore:
    def test_is_its_definition_with_the_shrunken_covariance(self) -> None:
        features, labels = problem(60, 7)
        f = features.double()
        centred = f - f.mean(dim=0)
        means = torch.stack([centred[labels == label].mean(dim=0) for label in labels])  # E[f | y], by sample
        s = float(ledoit_wolf_shrinkage(centred.numpy(), assume_centered=True))
        covariance = centred.T @ centred / 60
        shrunken = (1 - s) * covariance + s * covariance.diagonal().mean() * torch.eye(7)
        expected = (torch.linalg.inv(shrunken) @ ((1 - s) * means.T @ means / 60)).trace()
        assert h_score(features, labels, 3) == pytest.approx(float(expected))
        assert 0.1 < s < 0.9

    @pytest.mark.parametrize("width", [5, 90])
    def test_shrinks_as_scikit_learn_does(self, width: int) -> None:
        features, _ = problem(60, width)
        centred = features.double() - features.double().mean(dim=0)
        expected = float(ledoit_wolf_shrinkage(centred.numpy(), assume_centered=True))
        assert ledoit_wolf(centred, centred.T @ centred / 60) == pytest.approx(expected)

    def test_is_all_of_the_classes_for_features_that_are_the_labels(self) -> None:
        labels = torch.arange(3000) % 3
        features = torch.nn.functional.one_hot(labels, 3)[:, :2] + 0.0
        assert h_score(features, labels, 3) == pytest.approx(2, abs=0.01)

    def test_of_many_random_features_is_not_taken_for_perfect(self) -> None:
        labels = torch.arange(60) % 3
        noise = torch.randn(60, 59, generator=SEED.torch())
        assert h_score(noise, labels, 3) < 1.0  # unshrunken it is 2, the most there is

    def test_of_constant_features_is_nothing(self) -> None:
        assert h_score(torch.ones(9, 4), torch.arange(9) % 3, 3) == 0.0

    def test_gives_the_distance_as_a_share_of_the_most_there_is(self) -> None:
        p = pair()
        expected = 1 - h_score(p.source_fit, p.labels_fit, 2)
        assert HScoreDistance()(p, SEED).value == pytest.approx(expected)

    def test_has_an_interval_from_draws_of_fit_rows(self) -> None:
        measurement = HScoreDistance(IntervalConfig(maps=2))(pair(), SEED)
        assert len(measurement.draws) == 2 * FIT_DRAWS
        assert measurement.interval is not None
        assert measurement.interval[0] < measurement.value < measurement.interval[1]
        assert measurement.value == HScoreDistance()(pair(), SEED).value
