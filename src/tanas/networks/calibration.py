"""Probabilities that can be believed: one temperature for all logits, and the error that is left."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from tanas.networks.architecture import Network
from tanas.networks.scoring import cross_entropy_of
from tanas.networks.training import class_weights
from tanas.tasks.task import Task

TEMPERATURES = tuple(2 ** (step / 4) for step in range(-4, 13))
"""From 1/2 to 8, in steps of a fifth: the loss at the best of them is within 1 % of the least."""

BINS = 15
"""Equal parts of [0, 1] that confidences are sorted into. Source: Guo et al., section 5."""


def best_temperature(logits: Tensor, task: Task) -> float:
    """Find the temperature with the lowest loss on the validation images; 1 leaves the logits as they are.

    A network that has seen its images often is overconfident, which says little about how often it is right.

    Args:
        logits: of the validation images, (samples, classes).
        task: gives the labels and the measure of performance.

    Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017, section 4.2.
    """
    return min(TEMPERATURES, key=lambda heat: tempered_loss(logits, task, heat))


def tempered_loss(logits: Tensor, task: Task, heat: float) -> float:
    """Cross-entropy on the validation images at a temperature, in nats; see `best_temperature`."""
    return cross_entropy_of(logits / heat, task.validation.labels, task)


def loss_shares(logits: Tensor, task: Task) -> Tensor:
    """The share of the loss at the best temperature that each validation image adds, (samples,) float64, in nats.

    Their sum is the cross-entropy; where performance is 'balanced', its mean over the classes.
    """
    labels = task.validation.labels
    losses = functional.cross_entropy(
        logits.double() / best_temperature(logits, task), labels, reduction="none"
    )
    weights = torch.ones_like(losses)
    if task.performance == "balanced":
        weights = class_weights(labels, len(task.classes)).double()[labels]
    return weights * losses / weights.sum()


@torch.no_grad()
def calibrate(network: Network, temperature: float) -> None:
    """Divide the logits of a network by a temperature, in the weights of its last layer.

    Its answers stay the same. Whatever is made of the network, an export too, has calibrated probabilities.
    """
    network.head.weight.div_(temperature)
    network.head.bias.div_(temperature)


def calibration_error(logits: Tensor, labels: Tensor, *, balanced: bool) -> float:
    """Mean gap between confidence and accuracy, in [0, 1]: the expected calibration error.

    Args:
        logits: (samples, classes).
        labels: class indices, (samples,).
        balanced: whether every class counts alike, as a network for 'balanced' performance answers.

    Source: Guo et al., equation 3.
    """
    confidence, answers = logits.double().softmax(dim=1).max(dim=1)  # (samples,)
    weights = torch.ones_like(confidence)
    if balanced:
        weights = class_weights(labels, logits.shape[1]).double()[labels]
    gaps = weights * ((answers == labels).double() - confidence)
    bins = (confidence * BINS).long().clamp_max(BINS - 1)
    sums = torch.zeros(BINS, dtype=torch.float64).index_add_(0, bins, gaps)
    return float(sums.abs().sum() / weights.sum())
