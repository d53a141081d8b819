"""LEEP: how well B's labels follow from the answers of A's own head."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from tanas.distances.base import Distance, Measurement, Pair, check_classes
from tanas.distances.from_score import placed_by_fit_rows
from tanas.distances.intervals import IntervalConfig
from tanas.ground.errors import SettingError
from tanas.ground.seeds import Seed


@dataclass(frozen=True)
class LeepDistance(Distance):
    """1 - exp(LEEP): one less the geometric mean of the probability that A's own answers give to B's labels.

    A's head, as it is, says how likely each class of A is on an image of B; the fit rows say which classes of B
    go with it. It needs A's head, and sees no more of A's features than that head tells. The interval is
    made of draws of the fit rows.

    Source: Nguyen et al., LEEP: A New Measure to Evaluate Transferability of Learned Representations, ICML 2020.
    """

    intervals: IntervalConfig | None = None

    name = "leep"

    def measured(self, pair: Pair, seed: Seed, beyond: float | None) -> Measurement:
        check_classes(pair, self.name)
        weight, bias = pair.source_head_weight, pair.source_head_bias
        if weight.shape != (len(bias), pair.source_fit.shape[1]) or len(bias) < 2:
            raise SettingError(
                f"The 'leep' distance needs the head of the representative of {pair.source}, of at least two "
                f"classes for {pair.source_fit.shape[1]} features. Got {tuple(weight.shape)} instead."
            )
        answers = torch.softmax((pair.source_fit @ weight.T + bias).double(), dim=1)

        def order(rows: Tensor) -> float:
            return -math.expm1(leep(answers[rows], pair.labels_fit[rows], pair.classes))

        return placed_by_fit_rows(pair, order, self.intervals)


def leep(answers: Tensor, labels: Tensor, classes: int) -> float:
    """Mean log likelihood of B's labels under the classifier that A's answers and their joint counts make.

    Args:
        answers: probabilities of A's classes, (samples, classes of A).
        labels: class indices of B, (samples,).
        classes: of B.

    Returns:
        at most 0.
    """
    joint = functional.one_hot(labels, classes).to(answers.dtype).T @ answers / len(answers)
    given = joint / joint.sum(dim=0).clamp_min(torch.finfo(joint.dtype).tiny)  # (classes, classes of A)
    likely = (given[labels] * answers).sum(dim=1)  # (samples,)
    return float(likely.log().mean())
