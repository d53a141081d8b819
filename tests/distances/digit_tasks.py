"""Small real tasks and networks for the tests of distances: scikit-learn's 8x8 digits."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import torch
from sklearn.datasets import load_digits
from torch import Tensor

from tanas.distances.pairs import PairConfig
from tanas.distances.representative import Representative, RepresentativeConfig, represent
from tanas.distances.transform import TransformConfig
from tanas.ground.context import Context
from tanas.ground.seeds import Seed
from tanas.networks.training import TrainingConfig
from tanas.tasks.task import Split, Task

REPRESENTATIVE = RepresentativeConfig(
    architecture="small",
    features=24,
    training=TrainingConfig(epochs=4, batch=64, learning_rate=8e-3),
    more_epochs=2,
    most_epochs=6,
)
PAIR = PairConfig(fit_images=240, gate_images=250)
TRANSFORM = TransformConfig(widths=(48, 24), epochs=16, batch=40, learning_rate=3e-3)


@cache
def digits() -> tuple[Tensor, Tensor]:
    """Images, uint8 (1797, 1, 8, 8), and digits."""
    source = load_digits()
    images = torch.tensor(source.images * (255 / 16)).round().to(torch.uint8)
    return images[:, None], torch.tensor(source.target)


@cache
def task_of(*positives: int) -> Task:
    """The indicator of some digits, with a test split."""
    images, drawn = digits()
    labels = torch.isin(drawn, torch.tensor(positives)).long()
    order = torch.randperm(len(images), generator=Seed(1).torch())

    def split(rows: Tensor) -> Split:
        rows = rows.sort().values
        return Split(images, rows, labels[rows], drawn[rows])

    name = "+".join(str(positive) for positive in positives)
    return Task(f"digits:is={name}", ("rest", name), *map(split, order.split([1000, 400, 397])))


@cache
def representative_of(*positives: int) -> Representative:
    return represent(task_of(*positives), REPRESENTATIVE, at=Context(seed=Seed(2)))


def shuffled(task: Task) -> Task:
    """The same task with its samples in another order, also in the image store."""

    def in_another_order(split: Split) -> Split:
        order = torch.randperm(len(split), generator=Seed(3).torch())
        own = split.subset(order)
        return Split(own.images[own.rows], torch.arange(len(own)), own.labels, own.strata)

    return replace(task, train=in_another_order(task.train), validation=in_another_order(task.validation))


@cache
def in_colour(task: Task, size: int) -> Task:
    """The same task in three channels and another size, each channel a shade of the grey image."""

    def coloured(split: Split) -> Split:
        large = torch.nn.functional.interpolate(split.images.float(), size=(size, size), mode="nearest")
        shades = torch.tensor([1.0, 0.5, 0.2])[:, None, None]
        return replace(split, images=(large * shades).to(torch.uint8))

    return replace(
        task,
        name=f"{task.name} in colour",
        train=coloured(task.train),
        validation=coloured(task.validation),
        _test=None,
    )


@cache
def representative_in_colour(positive: int, size: int) -> Representative:
    return represent(in_colour(task_of(positive), size), REPRESENTATIVE, at=Context(seed=Seed(2)))
