"""How badly a trained network fits a new task: how well its features tell the task's classes apart, untrained."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from tanas.distances.base import Distance, Measurement, Pair, check_classes
from tanas.distances.from_score import placed_by_fit_rows
from tanas.distances.intervals import IntervalConfig
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Network
from tanas.networks.training import EVALUATION_BATCH
from tanas.tasks.task import Split, Task

PENALTIES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
"""Of ridge regression, as shares of the features' mean variance; the best is taken."""

LEAST_IMAGES, MOST_IMAGES = 300, 1_000
MOST_MACS = 3_000_000_000
"""Images on which a network is judged, and multiply-adds of their answers at most: a tenth of a second. Each class has
at least `LEAST_OF_CLASS`, if there are as many."""
LEAST_OF_CLASS = 5


@dataclass(frozen=True)
class MisfitDistance(Distance):
    """The leave-one-out error of a linear model on A's features, as a share of the variance of B's labels.

    Of a known task, it takes the network that the memory keeps, not the representative: the features after each stage.
    So B needs no representative. Above 1, the rest becomes shortfall. The interval is made of draws of the fit rows.

    Source: `misfit`; experiments/pages/known-weights.md for what it foretells.
    """

    intervals: IntervalConfig | None = None

    name = "misfit"
    reads_networks = True

    def measured(self, pair: Pair, seed: Seed, beyond: float | None) -> Measurement:
        check_classes(pair, self.name)

        def order(rows: Tensor) -> float:
            return misfit(pair.source_fit[rows], pair.labels_fit[rows], pair.classes)

        return placed_by_fit_rows(pair, order, self.intervals)


def pair_of_features(source: str, task: Task, features: Tensor, labels: Tensor, *, same: bool) -> Pair:
    """A pair for methods that only read A's features on fit images: all else is empty.

    Args:
        source: name of task A.
        task: B.
        features: N_A(X_B), (images, features).
        labels: class indices of B, (images,).
        same: A is B.
    """
    none, classes = features[:0], len(task.classes)
    head, bias = torch.zeros(classes, features.shape[1]), torch.zeros(classes)
    return Pair(
        source=source,
        target=task.name,
        same=same,
        source_fit=features,
        source_gate=none,
        target_fit=none,
        target_gate=none,
        labels_fit=labels,
        labels_gate=labels[:0],
        classes=classes,
        measure=task.performance,
        head_weight=head,
        head_bias=bias,
        source_head_weight=head,
        source_head_bias=bias,
        own=1.0,
        epsilon=0.0,
    )


def judged_images(train: Split, macs: int) -> Split:
    """The training images on which a network with so many multiply-adds an image is judged.

    They are stratified, but rare classes have more than their share.
    """
    _, cells = torch.unique(torch.stack([train.labels, train.strata]), dim=1, return_inverse=True)
    strata = int(cells.max()) + 1
    most, seed = max(min(MOST_IMAGES, MOST_MACS // macs), LEAST_IMAGES, LEAST_OF_CLASS * strata), Seed()
    if len(train) <= most:
        return train
    order = torch.randperm(len(train), generator=seed.child("misfit", "rare").torch())
    first = torch.cat([order[cells[order] == cell][:LEAST_OF_CLASS] for cell in range(strata)])
    left = torch.ones(len(train), dtype=torch.bool)
    left[first] = False
    rest, more = train.subset(left), most - len(first)
    kept = train.subset(~left)
    return kept.joined(rest.stratified(more, seed.child("misfit"))) if more >= strata else kept


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
    # parts of nearly equal size: BatchNorm needs more than a few images
    for which in torch.arange(len(split)).chunk(max(round(len(split) / EVALUATION_BATCH), 1)):
        pixels = split.pixels(which).to(memory_format=torch.channels_last)
        images, means = network.stem(network.norm(pixels)), []
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
    if not targets.any():
        return 1.0  # all of one class: nothing can be told
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
