from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture, build
from tanas.networks.calibration import (
    best_temperature,
    calibrate,
    calibration_error,
    loss_shares,
    tempered_loss,
)
from tanas.networks.cell import Cell
from tanas.networks.skeleton import Skeleton
from tanas.tasks.library import Library

DIGITS = Library(performance="accuracy").open("digits")


def answers(sure: float, right: float) -> tuple[Tensor, Tensor]:
    """Logits of 1,000 images for two classes with one confidence, (1000, 2), and labels with a share of right ones."""
    labels = torch.zeros(1000, dtype=torch.int64)
    labels[int(1000 * right) :] = 1
    logit = torch.tensor(sure / (1 - sure)).log()
    return torch.stack([logit, torch.tensor(0.0)]).expand(1000, 2), labels


def best(logits: torch.Tensor) -> float:
    """The loss at the best temperature."""
    shares = loss_shares(logits, DIGITS)
    assert shares.shape == (len(DIGITS.validation),)
    return float(shares.sum())


class TestCalibrationError:
    @pytest.mark.parametrize(("sure", "right"), [(0.9, 0.9), (0.99, 0.7), (0.6, 0.8)])
    def test_is_the_gap_between_confidence_and_accuracy(self, sure: float, right: float) -> None:
        logits, labels = answers(sure, right)
        assert calibration_error(logits, labels, balanced=False) == pytest.approx(abs(sure - right), abs=1e-6)

    def test_lets_every_class_count_alike_where_performance_is_balanced(self) -> None:
        logits, labels = answers(0.9, 0.9)  # always class 0: half right when both classes count alike
        assert calibration_error(logits, labels, balanced=True) == pytest.approx(0.4, abs=1e-6)


class TestTemperature:
    def test_of_an_overconfident_network_is_above_one(self) -> None:
        truth = torch.nn.functional.one_hot(DIGITS.validation.labels, 10).float()  # (samples, classes)
        wrong = truth.roll(1, dims=1)
        logits = torch.where(torch.arange(len(truth))[:, None] % 5 == 0, wrong, truth) * 20
        heat = best_temperature(logits, DIGITS)
        assert heat > 4
        assert best(logits) == pytest.approx(tempered_loss(logits, DIGITS, heat))
        assert best(logits) < 0.5 * tempered_loss(logits, DIGITS, 1.0)

    def test_forgives_a_network_that_is_too_sure(self) -> None:
        right = torch.nn.functional.one_hot(DIGITS.validation.labels, 10).float()
        wrong_at_times = right.clone()
        wrong_at_times[::5] = right[::5].roll(1, dims=1)
        losses = [best(sure * wrong_at_times) for sure in (4.0, 8.0, 16.0)]
        assert max(losses) - min(losses) < 0.01
        assert best(8 * right) < 0.5 * losses[0]

    def test_divides_the_logits_of_the_network_and_keeps_its_answers(self) -> None:
        cell = Cell(3, ((0, 1, "conv_3x3"), (1, 2, "conv_3x3")))
        skeleton = Skeleton(stem="full", widths=(4,), cells=(1,), reductions=(False,))
        network = build(Architecture(skeleton=skeleton, cell=cell), (1, 8, 8), 10, Seed(0)).eval()
        pixels = DIGITS.validation.pixels(slice(0, 50))
        with torch.no_grad():
            before = network(pixels)
            calibrate(network, 2.0)
            torch.testing.assert_close(network(pixels), before / 2)
