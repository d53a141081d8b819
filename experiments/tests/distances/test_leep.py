from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from tests.distances.digit_tasks import PAIR, representative_of, task_of

from tanas.distances.base import Pair
from tanas.distances.from_score import FIT_DRAWS
from tanas.distances.intervals import IntervalConfig
from tanas.distances.pairs import make_pair
from tanas.ground.errors import SettingError
from tanas.ground.seeds import Seed
from tanas_experiments.distances.leep import LeepDistance, leep

SEED = Seed(13)


def pair() -> Pair:
    return make_pair(representative_of(0), representative_of(3), task_of(3), PAIR)


class TestLeep:
    def test_is_what_was_worked_out_by_hand(self) -> None:
        # joint: y=0: (0.9 + 0.6, 0.1 + 0.4) / 4, y=1: (0.3 + 0.2, 0.7 + 0.8) / 4; given z: (3/4, 1/4), (1/4, 3/4)
        answers = torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.2, 0.8]], dtype=torch.float64)
        labels = torch.tensor([0, 0, 1, 1])
        likely = [
            0.9 * 0.75 + 0.1 * 0.25,
            0.6 * 0.75 + 0.4 * 0.25,
            0.3 * 0.25 + 0.7 * 0.75,
            0.2 * 0.25 + 0.8 * 0.75,
        ]
        expected = sum(math.log(p) for p in likely) / 4
        assert leep(answers, labels, 2) == pytest.approx(expected)

    def test_of_certain_and_right_answers_is_zero_whatever_their_names(self) -> None:
        answers = torch.eye(3, dtype=torch.float64)[torch.tensor([2, 2, 0, 1])]
        assert leep(answers, torch.tensor([0, 0, 1, 1]), 2) == pytest.approx(0.0)

    def test_gives_one_less_the_mean_probability_of_the_labels(self) -> None:
        p = pair()
        answers = torch.softmax(p.source_fit @ p.source_head_weight.T + p.source_head_bias, dim=1)
        expected = 1 - math.exp(leep(answers.double(), p.labels_fit, 2))
        assert LeepDistance()(p, SEED).value == pytest.approx(expected, abs=1e-6)

    def test_needs_the_head_of_the_source(self) -> None:
        headless = replace(pair(), source_head_weight=torch.zeros(2, 0))
        with pytest.raises(SettingError, match="needs the head of the representative of digits:is=0"):
            LeepDistance()(headless, SEED)

    def test_has_an_interval_from_draws_of_fit_rows(self) -> None:
        measurement = LeepDistance(IntervalConfig(maps=2))(pair(), SEED)
        assert len(measurement.draws) == 2 * FIT_DRAWS
        assert measurement.interval is not None
        assert measurement.interval[0] < measurement.value < measurement.interval[1]
        assert measurement.value == LeepDistance()(pair(), SEED).value
