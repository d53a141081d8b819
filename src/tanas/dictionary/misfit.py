"""How badly a trained network fits a new task: how well its features tell the task's classes apart, untrained."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from tanas.networks.architecture import Network
from tanas.networks.training import EVALUATION_BATCH
from tanas.tasks.task import Split

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Of ridge regression, as shares of the features' mean variance; the best is taken."""

MOST_IMAGES = 1_000
"""Images at most, on which a network is judged: a tenth of a second for a network of 3 million multiply-adds."""


@torch.no_grad()
def stage_features(network: Network, split: Split) -> Tensor:
    """The mean activation of every channel after each stage, (images, channels of all stages) float32.

    BatchNorm takes the statistics of the images themselves, as a training on them would.
    """
    norms = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    network.eval()
    kept = [(module.momentum, module.train()) for module in norms]
    for module in norms:
        module.momentum = 0.0  # the statistics that it has stay
    parts = []
    for images in split.parts(EVALUATION_BATCH):
        images, means = network.stem(network.norm(images)), []
        for stage in network.stages:
            images = stage(images)
            means.append(torch.relu(images).mean(dim=(2, 3)))
        parts.append(torch.cat(means, dim=1))
    for momentum, module in kept:
        module.momentum = momentum
    network.eval()
    return torch.cat(parts)


def misfit(features: Tensor, labels: Tensor, classes: int) -> float:
    """Leave-one-out error of ridge regression from features to one-hot labels; the lower, the better.

    It is the mean squared error as a share of the labels' variance: 1 is a guess, 0 perfect.

    Args:
        features: (images, features); they are standardised.
        labels: (images,).
        classes: number of classes.

    Source: Allen, The relationship between variable selection and data augmentation, 1974 (the closed form).
    """
    f = features.double()
    f = (f - f.mean(dim=0)) / f.std(dim=0).clamp_min(1e-6)
    targets = functional.one_hot(labels, classes).double()
    targets = targets - targets.mean(dim=0)
    spectrum, basis = torch.linalg.eigh(f.T @ f / len(f))  # (features,), (features, features)
    along = f @ basis / len(f) ** 0.5  # (images, features)
    coordinates = along.T @ targets
    least = torch.inf
    for penalty in PENALTIES:
        shrunk = 1 / (spectrum.clamp_min(0) + penalty)
        fitted = along @ (shrunk[:, None] * coordinates)
        leverage = (along.square() * shrunk).sum(dim=1) + 1 / len(f)
        errors = (targets - fitted) / (1 - leverage).clamp_min(1e-6)[:, None]
        least = min(least, float(errors.square().mean()))
    return least / float(targets.square().mean())
