"""Task2Vec: a task as the vector of how much each filter of one fixed probe network matters for it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from tanas.distances.base import Measurement, Pair
from tanas.distances.conversion import converted
from tanas.distances.from_score import placed
from tanas.distances.information import diagonal_fisher
from tanas.distances.measurement import measure
from tanas.distances.sampling import drawn
from tanas.distances.threads import one_thread
from tanas.ground.errors import NonFiniteError, SettingError
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Shape
from tanas.tasks.task import Task

IMAGES = 1000
"""At most so many training images make an embedding: more move its cosine less than another draw does."""
BATCH = 100
"""Images at a time."""
PASSES = 3
"""Backward passes for each image: exact up to four classes, and over a thousand images the signs that stand
for more classes average out."""
PROBE_SHAPE: Shape = (3, 32, 32)
"""What the probe takes: colour, since grey can become colour without a loss but not the other way."""
PROBE_FILTERS = (16, 32, 64)
"""Of its three convolutions; an embedding has as many numbers as they have filters."""
POOLED = 2
"""Pixels a side of the last convolution's output that the head sees: coarse places are kept."""
HEAD_STEPS = 30
"""Most steps of the head's solver (L-BFGS); its Fisher information then stands still."""
HEAD_PENALTY = 10.0
"""Of the squared weights on features of mean variance 1, beside the mean loss in nats. So strong a penalty leaves
of the head little but the direction between the classes' means. On eight indicators of MNIST, Fashion-MNIST and
Quick, Draw! two draws of a thousand images of one task then lie 0.08 to 0.17 apart, the nearest two tasks 0.39,
and tasks of one data set 0.45 on average against 0.53 across; at 0.1 it was 0.17 to 0.28, 0.29, 0.41 and 0.44."""


class Probe(nn.Module):
    """The probe network: float32 pixels in [0, 1], (batch, *PROBE_SHAPE) -> logits (batch, classes)."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        widths = (PROBE_SHAPE[0], *PROBE_FILTERS)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, 3, stride=2, padding=1) for before, after in pairwise(widths)
        )
        self.head = nn.Linear(PROBE_FILTERS[-1] * POOLED**2, classes)

    def features(self, pixels: Tensor) -> Tensor:
        """What the head sees, (batch, features)."""
        images = pixels * 2 - 1
        for convolution in self.convolutions:
            images = torch.relu(convolution(images))  # (batch, filters, half the side, half the side)
        return functional.adaptive_avg_pool2d(images, POOLED).flatten(1)  # (batch, features)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.head(self.features(pixels))  # type: ignore[no-any-return]  # (batch, classes)


@dataclass(frozen=True)
class Task2VecDistance:
    """Cosine distance of two tasks' embeddings F_A / (F_A + F_B) and F_B / (F_A + F_B); symmetric.

    An embedding is the diagonal Fisher information of one probe network with a head for the task, mean over
    the weights of each filter; it is stored with the task's representative. In the original the probe has
    learned ImageNet. This one has random weights, always the same, because nothing is to be downloaded:
    its filters are edges and blobs of chance, so that the embedding tells what images look like and how
    hard their classes are to separate, and hardly what is seen in them.

    It sees no features and no images of the pair, and has no interval.

    Source: Achille et al., Task2Vec: Task Embedding for Meta-Learning, ICCV 2019, section 4.1.
    """

    @property
    def name(self) -> str:
        return "task2vec"

    @property
    def needs(self) -> tuple[str, ...]:
        return ("embedding",)

    def __call__(self, pair: Pair, seed: Seed, *, beyond: float | None = None) -> Measurement:
        """Measures d(A -> B); see `Distance`. Nothing is drawn from the seed.

        Raises:
            NonFiniteError: features or an embedding are not finite.
            SettingError: a representative holds no embedding, or one of another probe.
        """
        return measure(pair, lambda: self._measured(pair))

    def _measured(self, pair: Pair) -> Measurement:
        source = _checked(pair.source_embedding, pair.source)
        target = _checked(pair.target_embedding, pair.target)
        order = embedding_distance(source, target)
        return placed(pair, order)


def embedding_distance(first: Tensor, second: Tensor) -> float:
    """Cosine distance of two embeddings, each divided by their sum number by number; in [0, 1].

    Args:
        first: (filters,), none negative.
        second: (filters,), none negative.
    """
    one, other = first.double(), second.double()
    both = one + other
    one, other = one[both > 0] / both[both > 0], other[both > 0] / both[both > 0]
    norms = float(one.norm() * other.norm())
    if norms == 0:
        return 1.0 if len(one) else 0.0  # no filter matters for both, or none for either
    return min(max(1 - float(one @ other) / norms, 0.0), 1.0)


def embedding(task: Task) -> tuple[float, ...]:
    """The embedding of a task, from at most `IMAGES` training images; their order does not matter.

    Args:
        task: of any size, colour and number of classes; only its training split is used.

    Returns:
        mean Fisher information of the weights of each filter of the probe, (filters,), six digits.

    Source: Achille et al., sections 2.1 and 3.
    """
    classes = len(task.classes)
    split = drawn(task.train, IMAGES, Seed(task.split_seed).child("embedding"))
    with one_thread():
        pixels = [
            converted(split.pixels(which), PROBE_SHAPE)
            for which in torch.split(torch.arange(len(split)), BATCH)
        ]
        probe = _probe(classes)
        with torch.no_grad():
            features = torch.cat([probe.features(part) for part in pixels])  # (images, features)
        weight, bias = fit_logistic(features, split.labels, classes)
        probe.head.weight.data.copy_(weight)
        probe.head.bias.data.copy_(bias)
        layers = [layer for layer in probe.convolutions if isinstance(layer, nn.Conv2d)]
        information = diagonal_fisher(
            probe, layers, pixels, seed=Seed(0).child("embedding"), most_passes=PASSES
        )
    filters = [
        total[: layer.weight.numel()].reshape(layer.out_channels, -1).mean(dim=1)
        for total, layer in zip(information, layers, strict=True)
    ]
    return tuple(float(f"{value:.6g}") for value in torch.cat(filters).tolist())


def fit_logistic(features: Tensor, labels: Tensor, classes: int) -> tuple[Tensor, Tensor]:
    """A logistic head with a ridge penalty, solved in double precision from zero weights.

    Args:
        features: (samples, features).
        labels: class indices, (samples,).
        classes: number of classes.

    Returns:
        weight (classes, features) and bias (classes,) for the features as they are, float32.
    """
    mean = features.double().mean(dim=0)  # (features,)
    # one scale for all: a feature that is hardly ever on would else be blown up, and its filter with it
    scale = (features.double() - mean).square().mean().sqrt().clamp_min(1e-6)
    standard = (features.double() - mean) / scale  # (samples, features)
    weight = torch.zeros(classes, features.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(classes, dtype=torch.float64, requires_grad=True)
    solver = torch.optim.LBFGS([weight, bias], max_iter=HEAD_STEPS, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        solver.zero_grad()
        value = functional.cross_entropy(standard @ weight.T + bias, labels)
        value = value + HEAD_PENALTY * weight.square().sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    with torch.enable_grad():
        solver.step(loss)  # type: ignore[no-untyped-call]
    solved = weight.detach() / scale  # (classes, features)
    return solved.float(), (bias.detach() - solved @ mean).float()


@cache
def _random_filters() -> dict[str, Tensor]:
    """Weights of the probe's convolutions; He's initialisation, so that variance neither fades nor grows."""
    probe, generator = Probe(2), Seed(0).child("task2vec", "probe").torch()
    for name, parameter in probe.convolutions.named_parameters():
        if name.endswith("weight"):
            nn.init.kaiming_normal_(parameter, nonlinearity="relu", generator=generator)
        else:
            nn.init.zeros_(parameter)
    return {name: value for name, value in probe.state_dict().items() if not name.startswith("head")}


def _probe(classes: int) -> Probe:
    """The probe with a head that is still to be fitted."""
    with Seed(0).child("task2vec", "head").initialising():  # the global generator stays as it was
        probe = Probe(classes)
    probe.load_state_dict(_random_filters(), strict=False)
    return probe.eval().requires_grad_(False)


def _checked(found: Tensor | None, task: str) -> Tensor:
    """An embedding that can be compared."""
    if found is None:
        raise SettingError(
            "The 'task2vec' distance needs a pair with the embeddings of both tasks. "
            'Make the pair with needs=("embedding",).'
        )
    if len(found) != sum(PROBE_FILTERS):
        raise SettingError(
            f"The 'task2vec' distance needs an embedding of {sum(PROBE_FILTERS)} numbers with each task, "
            f"and the atom of {task} has {len(found)}: it was made by another version. "
            "Remove it from the dictionary and add it again."
        )
    if not torch.isfinite(found).all():
        raise NonFiniteError(f"The embedding of {task} is not finite. Its record is damaged: make it anew.")
    return found
