"""The epsilon-representative of a task: a plain network that does it well, and its penultimate features."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from tanas.distances.conversion import converted
from tanas.distances.task2vec import embedding
from tanas.ground.context import Context
from tanas.ground.errors import NonFiniteError, StoreError, check_choice, check_range
from tanas.ground.events import Told
from tanas.ground.records import digest
from tanas.ground.seeds import Seed
from tanas.networks.architecture import PixelNorm, Shape, count_cost
from tanas.networks.training import EVALUATION_BATCH, TrainingConfig, evaluate, fit
from tanas.tasks.task import Split, Task


@dataclass(frozen=True, kw_only=True)
class Trunk:
    """What stands before the dense layers of a representative."""

    filters: int
    """Number of 5x5 convolution filters."""
    side: int | None
    """The convolution's output is max-pooled to at most so many pixels a side; None: it is not pooled."""


ARCHITECTURES = {
    "paper": Trunk(filters=32, side=None),  # section 4: conv(32 x 5 x 5) -> dense(1024) -> dense(classes)
    "laptop": Trunk(filters=32, side=7),  # 4x4 pooling at 28x28: a sixteenth of the weights
    "small": Trunk(filters=8, side=4),  # for demonstrations and tests
}
"""The networks that a representative can be, by name."""


def _first_training() -> TrainingConfig:
    return TrainingConfig(epochs=4, batch=64, learning_rate=2e-3, weight_decay=0.01, least_steps=50)


@dataclass(frozen=True, kw_only=True)
class RepresentativeConfig:
    """How the representative of a task is made."""

    architecture: str = "laptop"
    """'paper': conv(32 x 5x5) -> ReLU -> dense(features) -> ReLU -> dense(classes), as in section 4.
    'laptop': the same with max pooling after the convolution, a sixteenth of the weights at 28x28.
    'small': with 8 filters and coarser pooling."""
    features: int = 1024
    """Width of the penultimate layer. Source: section 4."""
    epsilon: float = 0.04
    """A representative reaches l >= 1 - epsilon. Source: section 4, 'at least 96% accuracy'."""
    training: TrainingConfig = field(default_factory=_first_training)
    """The first training."""
    more_epochs: int = 4
    """Epochs of each further training while l is below 1 - epsilon; the learning rate rises and falls
    again."""
    most_epochs: int = 12
    """Epochs of all trainings together; the first is always done."""

    def __post_init__(self) -> None:
        check_choice(self.architecture, "architecture", "RepresentativeConfig", ARCHITECTURES)
        check_range(self.features, "features", "RepresentativeConfig", low=1)
        check_range(self.epsilon, "epsilon", "RepresentativeConfig", low=0, high=1, open_ends=True)
        check_range(self.more_epochs, "more_epochs", "RepresentativeConfig", low=1)
        check_range(self.most_epochs, "most_epochs", "RepresentativeConfig", low=1)

    def epochs_for(self, images: int) -> tuple[int, int, int]:
        """Epochs of the first training, of each further one and of all, for so many training images.

        Where the first gets more epochs, as they were too few steps, the others get more in the same proportion.
        """
        first = self.training.suited_to(images).epochs
        stretch = first / self.training.epochs
        return first, math.ceil(self.more_epochs * stretch), math.ceil(self.most_epochs * stretch)


class RepresentativeNetwork(nn.Module):
    """float32 pixels in [0, 1], (batch, channels, h, w) -> logits (batch, classes)."""

    def __init__(self, config: RepresentativeConfig, shape: Shape, classes: int) -> None:
        super().__init__()
        trunk = ARCHITECTURES[config.architecture]
        channels, height, width = shape
        self.norm = PixelNorm(channels)
        self.convolution = nn.Conv2d(channels, trunk.filters, 5, padding=2)
        window = tuple(1 if trunk.side is None else math.ceil(side / trunk.side) for side in (height, width))
        self.pool = nn.Identity() if window == (1, 1) else nn.MaxPool2d(window, ceil_mode=True)
        pooled = math.ceil(height / window[0]) * math.ceil(width / window[1])
        self.dense = nn.Linear(trunk.filters * pooled, config.features)
        self.head = nn.Linear(config.features, classes)

    def features(self, pixels: Tensor) -> Tensor:
        """The penultimate layer after its ReLU, (batch, features), none negative."""
        images = torch.relu(self.pool(self.convolution(self.norm(pixels))))  # (batch, filters, side, side)
        return torch.relu(self.dense(images.flatten(1)))  # (batch, features)

    def forward(self, pixels: Tensor) -> Tensor:
        return self.head(self.features(pixels))  # type: ignore[no-any-return]  # (batch, classes)


@dataclass(frozen=True, kw_only=True)
class RepresentativeState:
    """All of a representative but its weights, as it is stored."""

    task: str
    """Name of the task."""
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
    """It was to reach 1 - epsilon."""
    weak: bool
    """It did not."""
    parameters: int
    """Weights and biases."""
    epochs: int
    """Passes over the training images up to these weights and beyond, all of them."""
    took_s: float
    """Wall-clock seconds of training."""
    config: RepresentativeConfig
    embedding: tuple[float, ...] = field(default=(), repr=False)
    """Task2Vec of the task's training images, (probe filters,); empty: it was made before there were any."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Representative(RepresentativeState):
    """The network N of a task; `represent` makes one. Source: section 3.1."""

    network: RepresentativeNetwork = field(repr=False)

    # two of the same state may differ in their weights: each is equal to itself alone
    __eq__ = object.__eq__
    __hash__ = object.__hash__

    @cached_property
    def key(self) -> str:
        """A hash over weights and record (times left out): names this representative in caches."""
        state, tensors = state_of(self)
        contents = [part for name in sorted(tensors) for part in (name, tensors[name].numpy().tobytes())]
        return digest(replace(state, took_s=0.0), *contents)

    @torch.no_grad()
    def features(self, images: Split | Tensor) -> Tensor:
        """The penultimate layer's output for images of any task, which `converted` makes fit.

        Args:
            images: a split, or float32 pixels in [0, 1], (samples, channels, height, width).

        Returns:
            float32, (samples, features), on the CPU.

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
    """Multiply-adds of a representative's answer to one image."""
    with torch.device("meta"):
        network = RepresentativeNetwork(state.config, state.shape, len(state.classes))
        return count_cost(network, torch.empty(1, *state.shape)).macs


UNTRAINED = "untrained network"
"""Name of a representative that has learnt nothing."""


def untrained(like: Representative, seed: Seed) -> Representative:
    """A representative whose weights are as they were drawn: what a distance to it says comes from no learning.

    Args:
        like: has the architecture, the input and its normalisation.
        seed: of the weights.
    """
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
        # an embedding is of the task, not of the weights: as if each filter mattered alike
        embedding=tuple(math.fsum(like.embedding) / len(like.embedding) for _ in like.embedding),
    )


@dataclass
class _Progress:
    """Where the trainings of a representative stand, between two of them."""

    best_l: float = -1.0
    best: dict[str, Tensor] = field(default_factory=dict)
    """Weights with the highest l."""
    latest: dict[str, Tensor] = field(default_factory=dict)
    """Weights with which the next training begins."""
    epochs: int = 0
    took_s: float = 0.0
    parts: int = 0
    """Trainings done."""


def represent(task: Task, config: RepresentativeConfig, at: Context) -> Representative:
    """Trains the epsilon-representative of a task.

    After the first training it trains on while its validation performance l is below 1 - epsilon and its
    budget of epochs lasts; the weights with the highest l are kept. If they still miss 1 - epsilon the
    representative is marked weak.

    Args:
        task: its training and validation splits are used, its test split is not.
        config: the network and its trainings.
        at: its seed is that of the weights and of the order of images. What was trained before a kill is taken from the
            checkpoint, and the weights come out the same. The network is given back on the CPU.

    Raises:
        NonFiniteError: the training diverged.
    """
    task = task.without_test()
    classes = len(task.classes)
    with at.seed.child("weights").initialising():
        network = RepresentativeNetwork(config, task.shape, classes)
    so_far = _Progress(**(at.checkpoint.load("representative") or {}))
    if so_far.parts:
        network.load_state_dict(so_far.latest)
    first, more, most = config.epochs_for(len(task.train))
    while so_far.parts == 0 or (so_far.best_l < 1 - config.epsilon and so_far.epochs < most):
        recipe = replace(config.training, epochs=first)
        if so_far.parts:
            recipe = replace(recipe, epochs=min(more, most - so_far.epochs))
            at.tell(
                Told(
                    message=f"The representative of {task.name} reached l = {so_far.best_l:.3f}, below "
                    f"{1 - config.epsilon:g}: it trains {recipe.epochs} more epoch{'s' if recipe.epochs > 1 else ''}."
                )
            )
        part = f"part-{so_far.parts}"
        fitted = fit(
            network,
            task.train,
            recipe,
            classes=classes,
            at=at.child(part),
            step=f"represent {task.name}" + (f", part {so_far.parts + 1}" if so_far.parts else ""),
        )
        performance = evaluate(network, task.validation, classes=classes, device=at.device).performance(
            task.performance
        )
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
        shape=task.shape,
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
        embedding=embedding(task),
    )


def state_of(representative: Representative) -> tuple[RepresentativeState, dict[str, Tensor]]:
    """A representative as a record (for JSON) and named tensors (for safetensors)."""
    state = RepresentativeState(**_stored(representative))
    tensors = representative.network.state_dict()
    return state, {name: value.detach().cpu().contiguous().clone() for name, value in tensors.items()}


def representative_from(state: RepresentativeState, tensors: dict[str, Tensor]) -> Representative:
    """A representative from what `state_of` gave.

    Raises:
        StoreError: the tensors are not those of such a network.
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
    """The fields that are stored."""
    return {one.name: getattr(of, one.name) for one in fields(RepresentativeState)}
