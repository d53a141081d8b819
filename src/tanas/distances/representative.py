"""The epsilon-representative of a task: a plain network that solves it, and its penultimate features."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from tanas.distances.conversion import converted
from tanas.ground.context import Context
from tanas.ground.errors import NonFiniteError, StoreError, check_choice, check_range
from tanas.ground.records import digest
from tanas.ground.seeds import Seed
from tanas.networks.architecture import PixelNorm, Shape, count_cost
from tanas.networks.training import EVALUATION_BATCH, TrainingConfig, evaluate, fit
from tanas.tasks.task import Split, Task

ARCHITECTURES: dict[str, tuple[int, int | None]] = {
    "paper": (32, None),
    "laptop": (32, 7),  # 4x4 pooling at 28x28
    "small": (8, 4),  # for demonstrations and tests
}
"""By name: number of 5x5 filters, and most pixels a side after max pooling (None: no pooling)."""

MOST_SIDE = 32
"""Pixels of the longer side, to which larger images are shrunk unless the network is the paper's. At 128x128, four
epochs of 7,680 images took 4 minutes and over 2 GB."""

LEFT_FOR_MORE = 4
"""Times that a training took: with less time left, there is no further one."""


@dataclass(frozen=True, kw_only=True)
class RepresentativeConfig:
    """The network of a representative, and how it is trained."""

    architecture: str = "laptop"
    """'paper': conv(32 x 5x5) -> ReLU -> dense(features) -> ReLU -> dense(classes), as in section 4. 'laptop': with max
    pooling, a sixteenth of the weights at 28x28. 'small': with 8 filters and coarser pooling."""
    features: int = 1024
    """Width of the penultimate layer. Source: section 4."""
    epsilon: float = 0.04
    """A representative reaches l >= 1 - epsilon. Source: section 4, 'at least 96% accuracy'."""
    training: TrainingConfig = field(
        default_factory=lambda: TrainingConfig(
            epochs=4, batch=64, learning_rate=2e-3, weight_decay=0.01, least_steps=50
        )
    )
    """The first training."""
    more_epochs: int = 4
    """Epochs of each further training while l is below 1 - epsilon, with a new learning rate schedule."""
    most_epochs: int = 12
    """Most epochs of all trainings; the first is always done."""

    def __post_init__(self) -> None:
        check_choice(self.architecture, "architecture", "RepresentativeConfig", ARCHITECTURES)
        check_range(self.epsilon, "epsilon", "RepresentativeConfig", low=0, high=1, open_ends=True)
        for name in ("features", "more_epochs", "most_epochs"):
            check_range(getattr(self, name), name, "RepresentativeConfig", low=1)

    def sees(self, shape: Shape) -> Shape:
        """The shape to which images of a shape are brought for the network."""
        channels, height, width = shape
        if ARCHITECTURES[self.architecture][1] is None or max(height, width) <= MOST_SIDE:
            return shape
        scale = MOST_SIDE / max(height, width)
        return channels, max(round(height * scale), 1), max(round(width * scale), 1)

    def epochs_for(self, images: int) -> tuple[int, int, int]:
        """Epochs of the first training, of each further one and of all: more for few training images."""
        first = self.training.suited_to(images).epochs
        stretch = first / self.training.epochs
        return first, math.ceil(self.more_epochs * stretch), math.ceil(self.most_epochs * stretch)


class RepresentativeNetwork(nn.Module):
    """Pixels, float32 in [0, 1], (batch, channels, h, w) -> logits (batch, classes)."""

    def __init__(self, config: RepresentativeConfig, shape: Shape, classes: int) -> None:
        super().__init__()
        filters, most = ARCHITECTURES[config.architecture]
        channels, height, width = shape
        self.norm = PixelNorm(channels)
        self.convolution = nn.Conv2d(channels, filters, 5, padding=2)
        window = tuple(1 if most is None else math.ceil(side / most) for side in (height, width))
        self.pool = nn.Identity() if window == (1, 1) else nn.MaxPool2d(window, ceil_mode=True)
        pooled = math.ceil(height / window[0]) * math.ceil(width / window[1])
        self.dense = nn.Linear(filters * pooled, config.features)
        self.head = nn.Linear(config.features, classes)

    def features(self, pixels: Tensor) -> Tensor:
        """The penultimate layer after its ReLU, (batch, features), none negative."""
        images = torch.relu(self.pool(self.convolution(self.norm(pixels))))  # (batch, filters, side, side)
        return torch.relu(self.dense(images.flatten(1)))  # (batch, features)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.head(self.features(pixels))  # type: ignore[no-any-return]  # (batch, classes)


@dataclass(frozen=True, kw_only=True)
class RepresentativeState:
    """The stored record of a representative: everything except its weights."""

    task: str
    fingerprint: str
    """Of the training and validation data that it was made from."""
    shape: Shape
    """(channels, height, width) that the network takes."""
    classes: tuple[str, ...]
    """Names, in the order of the logits."""
    measure: str
    """'balanced' or 'accuracy': what l is."""
    performance: float
    """l on the validation split, in [0, 1]."""
    epsilon: float
    """Training aimed at l >= 1 - epsilon."""
    weak: bool
    """Whether l is below 1 - epsilon."""
    parameters: int
    """Weights and biases."""
    epochs: int
    """Passes over the training images, all trainings together."""
    took_s: float
    """Wall-clock seconds of training."""
    config: RepresentativeConfig
    embedding: tuple[float, ...] = field(default=(), repr=False)
    """Written by older versions and unused; part of `Representative.key`, which names stored distances."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Representative(RepresentativeState):
    """The network N of a task; `represent` makes one. Source: section 3.1."""

    network: RepresentativeNetwork = field(repr=False)

    # two of the same state may differ in their weights: each is equal to itself alone
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    @cached_property
    def key(self) -> str:
        """A hash over weights and record without the time: names this representative in caches."""
        state, tensors = state_of(self)
        contents = [part for name in sorted(tensors) for part in (name, tensors[name].numpy().tobytes())]
        return digest(replace(state, took_s=0.0), *contents)

    @torch.no_grad()
    def features(self, images: Split | Tensor) -> Tensor:
        """The penultimate layer's output for images of any task, float32 (samples, features) on the CPU.

        Args:
            images: a split, or pixels in [0, 1], (samples, channels, height, width); they are `converted`.

        Raises:
            NonFiniteError: a feature is not finite.
        """
        self.network.eval()
        device = self.network.head.weight.device
        parts = []
        for which in torch.split(torch.arange(len(images)), EVALUATION_BATCH):
            pixels = images.pixels(which) if isinstance(images, Split) else images[which].float()
            parts.append(self.network.features(converted(pixels, self.shape).to(device)).float().cpu())
        features = torch.cat(parts)  # (samples, features)
        if not torch.isfinite(features).all():
            raise NonFiniteError(
                f"The features of the representative of {self.task} are not finite. "
                "Its weights or the pixels are damaged: make it anew."
            )
        return features


def macs_of(state: RepresentativeState) -> int:
    """Multiply-adds of a representative's forward pass for one image."""
    with torch.device("meta"):
        network = RepresentativeNetwork(state.config, state.shape, len(state.classes))
        return count_cost(network, torch.empty(1, *state.shape)).macs


UNTRAINED = "untrained network"
"""Name of a representative with random weights."""


def untrained(like: Representative, seed: Seed) -> Representative:
    """A representative with random weights and the architecture and normalisation of another."""
    with seed.child("weights").initialising():
        network = RepresentativeNetwork(like.config, like.shape, len(like.classes))
    network.norm.load_state_dict(like.network.norm.state_dict())
    network.eval().requires_grad_(False)
    return replace(
        like,
        task=UNTRAINED,
        fingerprint=digest(UNTRAINED, like.fingerprint),
        performance=0.0,
        weak=True,
        epochs=0,
        took_s=0.0,
        network=network,
        # part of the key of stored distances
        embedding=tuple(math.fsum(like.embedding) / len(like.embedding) for _ in like.embedding),
    )


@dataclass
class _Progress:
    """The state between two trainings of a representative."""

    best_l: float = -1.0
    best: dict[str, Tensor] = field(default_factory=dict)
    """Weights with the highest l."""
    latest: dict[str, Tensor] = field(default_factory=dict)
    """Weights at the start of the next training."""
    epochs: int = 0
    took_s: float = 0.0
    parts: int = 0
    """Trainings done."""


def represent(task: Task, config: RepresentativeConfig, at: Context) -> Representative:
    """Train the epsilon-representative of a task; the network is returned on the CPU.

    Training is repeated while the validation performance l is below 1 - epsilon and epochs are left. The weights with
    the highest l are kept; the representative is marked weak if they miss 1 - epsilon.

    The test split is not used. The seed decides the weights and the order of images. Near a time limit there is no
    further training.

    Raises:
        NonFiniteError: the training diverged.
    """
    task, shape = task.without_test(), config.sees(task.shape)
    train, validation = (shrunk(split, shape) for split in (task.train, task.validation))
    classes = len(task.classes)
    with at.seed.child("weights").initialising():
        network = RepresentativeNetwork(config, shape, classes)
    so_far = _Progress(**(at.checkpoint.load("representative") or {}))
    if so_far.parts:
        network.load_state_dict(so_far.latest)
    first, more, most = config.epochs_for(len(task.train))
    while so_far.parts == 0 or (
        so_far.best_l < 1 - config.epsilon
        and so_far.epochs < most
        and at.deadline() > LEFT_FOR_MORE * so_far.took_s / so_far.parts
    ):
        recipe = replace(config.training, epochs=first)
        if so_far.parts:
            recipe = replace(recipe, epochs=min(more, most - so_far.epochs))
            at.say(
                f"The representative of {task.name} reached l = {so_far.best_l:.3f}, below "
                f"{1 - config.epsilon:g}: it trains {recipe.epochs} more epoch{'s' if recipe.epochs > 1 else ''}."
            )
        fitted = fit(
            network,
            train,
            recipe,
            classes=classes,
            at=at.child(f"part-{so_far.parts}"),
            step=f"represent {task.name}" + (f", part {so_far.parts + 1}" if so_far.parts else ""),
        )
        judged = evaluate(network, validation, classes=classes, device=at.device)
        performance = judged.performance(task.performance)
        so_far.latest = {name: value.cpu().clone() for name, value in network.state_dict().items()}
        if performance > so_far.best_l:
            so_far.best_l, so_far.best = performance, so_far.latest
        so_far.epochs += recipe.epochs
        so_far.took_s += fitted.seconds
        so_far.parts += 1
        at.checkpoint.save("representative", vars(so_far))
    network.to("cpu").load_state_dict(so_far.best)
    network.eval().requires_grad_(False)
    return Representative(
        task=task.name,
        fingerprint=task.fingerprint,
        shape=shape,
        classes=task.classes,
        measure=task.performance,
        performance=so_far.best_l,
        epsilon=config.epsilon,
        weak=so_far.best_l < 1 - config.epsilon,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        epochs=so_far.epochs,
        took_s=so_far.took_s,
        config=config,
        network=network,
    )


def shrunk(split: Split, shape: Shape) -> Split:
    """The images of a split at another shape, as `converted` gives them; the split itself if it has that shape."""
    if split.images.shape[1:] == shape:
        return split
    parts = [converted(part, shape).mul(255).round().byte() for part in split.parts(EVALUATION_BATCH)]
    return Split(torch.cat(parts), torch.arange(len(split)), split.labels, split.strata)


def state_of(representative: Representative) -> tuple[RepresentativeState, dict[str, Tensor]]:
    """A representative as a record and named tensors, both to be stored."""
    state = RepresentativeState(**_stored(representative))
    tensors = representative.network.state_dict()
    return state, {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}


def representative_from(state: RepresentativeState, tensors: dict[str, Tensor]) -> Representative:
    """A representative from what `state_of` gave.

    Raises:
        StoreError: the tensors do not fit the record.
    """
    network = RepresentativeNetwork(state.config, state.shape, len(state.classes))
    try:
        network.load_state_dict(tensors)
    except RuntimeError as error:
        raise StoreError(
            f"The weights of the representative of {state.task} do not fit its record "
            f"({' '.join(str(error).split())}). Make it anew."
        ) from error
    network.eval().requires_grad_(False)
    return Representative(network=network, **_stored(state))


def _stored(of: RepresentativeState) -> dict[str, Any]:
    return {field.name: getattr(of, field.name) for field in fields(RepresentativeState)}
