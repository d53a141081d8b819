"""An architecture, which is a skeleton and a cell, and the network that is built from it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache

import torch
from torch import Tensor, nn

from tanas.ground.records import digest
from tanas.ground.seeds import Seed
from tanas.networks.cell import Cell, CellNetwork
from tanas.networks.skeleton import Skeleton

Shape = tuple[int, int, int]
"""(channels, height, width) of an image."""


@dataclass(frozen=True, order=True, kw_only=True)
class Architecture:
    """What a search looks for: enough to build the network."""

    skeleton: Skeleton
    cell: Cell
    """Repeated in every stage."""

    def canonical(self) -> Architecture:
        """The architecture with its cell in canonical form: equal for architectures that compute the same."""
        return replace(self, cell=self.cell.canonical())

    @property
    def key(self) -> str:
        """A short hash of the canonical form, stable over versions of all libraries."""
        return digest(self.canonical())


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What a network costs to hold and to run."""

    parameters: int
    """Weights and biases that are trained."""
    macs: int
    """Multiply-adds of convolutions and linear layers for one image."""


class PixelNorm(nn.Module):
    """Shifts and scales pixels by the training split's mean and deviation of each channel."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(1, channels, 1, 1))
        self.register_buffer("deviation", torch.ones(1, channels, 1, 1))

    def fit(self, pixels: Tensor | Iterable[Tensor]) -> None:
        """Take mean and deviation from pixels in [0, 1], (samples, channels, height, width), or parts of them."""
        if isinstance(pixels, Tensor):
            mean = pixels.mean(dim=(0, 2, 3), keepdim=True)
            deviation = pixels.std(dim=(0, 2, 3), keepdim=True)
        else:
            mean, deviation = _moments(pixels)
        self.mean.copy_(mean)
        self.deviation.copy_(deviation.clamp_min(1e-3))  # a channel may never change

    def forward(self, pixels: Tensor) -> Tensor:
        return (pixels - self.mean) / self.deviation


def _moments(parts: Iterable[Tensor]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of pixels that come in parts, (1, channels, 1, 1) each, in float64."""
    count, total, squares = 0, torch.zeros((), dtype=torch.float64), torch.zeros((), dtype=torch.float64)
    for part in parts:
        pixels = part.double()
        count += pixels.numel() // pixels.shape[1]
        total = total + pixels.sum(dim=(0, 2, 3), keepdim=True)
        squares = squares + pixels.square().sum(dim=(0, 2, 3), keepdim=True)
    mean = total / count
    return mean, ((squares - count * mean.square()) / max(count - 1, 1)).clamp_min(0).sqrt()


class Transition(nn.Module):
    """Begins a stage: (batch, before, h, w) -> (batch, width, h or half of it, w or half of it)."""

    def __init__(self, before: int, width: int, reduces: bool) -> None:
        super().__init__()
        # ceil_mode: one pixel stays one pixel, so any skeleton fits any image
        self.pool = nn.MaxPool2d(2, ceil_mode=True) if reduces else nn.Identity()
        self.widen: nn.Sequential | nn.Identity = nn.Identity()
        if width != before:
            self.widen = nn.Sequential(nn.Conv2d(before, width, 1, bias=False), nn.BatchNorm2d(width))

    def forward(self, images: Tensor) -> Tensor:
        return self.widen(self.pool(images))  # type: ignore[no-any-return]


class Network(nn.Module):
    """The network of an architecture: float32 pixels in [0, 1] -> logits, (batch, classes)."""

    def __init__(self, architecture: Architecture, shape: Shape, classes: int) -> None:
        super().__init__()
        skeleton = architecture.skeleton
        width = skeleton.widths[0]
        self.norm = PixelNorm(shape[0])
        halvings = skeleton.stem_halvings
        self.stem = nn.Sequential(
            nn.Conv2d(shape[0], width, 3, stride=2 if halvings else 1, padding=1, bias=False),
            nn.BatchNorm2d(width),
        )
        for _ in range(1, halvings):
            again = nn.Conv2d(width, width, 3, stride=2, padding=1, bias=False)
            self.stem.extend([nn.ReLU(), again, nn.BatchNorm2d(width)])
        stages: list[nn.Module] = []
        cell = architecture.cell.canonical()
        for stage_width, cells, reduces in skeleton.stages:
            body = [CellNetwork(cell, stage_width) for _ in range(cells)]
            stages.append(nn.Sequential(Transition(width, stage_width, reduces), *body))
            width = stage_width
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(width, classes)

    def forward(self, pixels: Tensor) -> Tensor:
        images = self.stages(self.stem(self.norm(pixels)))  # (batch, width, h, w)
        return self.head(torch.relu(images).mean(dim=(2, 3)))  # type: ignore[no-any-return]  # (batch, classes)


def build(architecture: Architecture, shape: Shape, classes: int, seed: Seed) -> Network:
    """The network of an architecture for images of a shape, its initial weights drawn from the seed."""
    with seed.initialising():
        network = Network(architecture, shape, classes)
    # NHWC in memory: depthwise and pointwise convolutions run two to three times faster on a CPU
    return network.to(memory_format=torch.channels_last)


@lru_cache(maxsize=65536)
def cost_of(architecture: Architecture, shape: Shape, classes: int) -> Cost:
    """Parameters and multiply-adds of an architecture, counted on a network without storage."""
    with torch.device("meta"):
        return count_cost(Network(architecture, shape, classes), torch.empty(1, *shape))


def count_cost(network: nn.Module, pixels: Tensor) -> Cost:
    """Parameters and multiply-adds of any network on one image, (1, channels, height, width)."""
    macs = 0

    def count(module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        nonlocal macs
        macs += macs_of(module, output)

    hooks = [module.register_forward_hook(count) for module in network.modules()]
    was_training = network.training
    try:
        with torch.no_grad():
            network.eval()(pixels)
    finally:
        network.train(was_training)
        for hook in hooks:
            hook.remove()
    return Cost(parameters=sum(p.numel() for p in network.parameters()), macs=macs)


def macs_of(layer: nn.Module, output: Tensor) -> int:
    """Multiply-adds of a convolution or linear layer that gave an output; 0 for other modules."""
    if isinstance(layer, nn.Conv2d):
        high, wide = layer.kernel_size
        return output.numel() * (layer.in_channels // layer.groups) * high * wide
    return output.numel() * layer.in_features if isinstance(layer, nn.Linear) else 0
