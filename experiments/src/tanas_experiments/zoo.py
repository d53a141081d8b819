"""Networks made by hand: what a search is compared with. From torchvision, and a narrow residual one of any size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision import models

from tanas.ground.errors import SettingError, UnknownNameError, nearest_names
from tanas.ground.seeds import Seed
from tanas.networks.architecture import PixelNorm, Shape
from tanas_experiments.narrow import NarrowResidual, narrow_design

RESIDUAL = "residual"
"""`residual@11410` is the narrow residual network with about 11,410 parameters (`tanas_experiments.narrow`)."""


@dataclass(frozen=True, kw_only=True)
class _Design:
    """How a network of torchvision is made to fit."""

    make: Callable[..., nn.Module]
    first: str
    """Path of its first convolution, which is changed to the image's channels."""
    least: int = 1
    """Least height and width it takes: below, its last pooling has nothing left."""
    small_stem: bool = False
    """ResNet's stem for small images: 3x3 at stride 1, no pooling; else 7x7 at stride 2 and pooling."""


_DESIGNS = {
    "resnet18": _Design(make=models.resnet18, first="conv1"),
    "resnet18-small": _Design(make=models.resnet18, first="conv1", small_stem=True),
    "resnet34": _Design(make=models.resnet34, first="conv1"),
    "resnet34-small": _Design(make=models.resnet34, first="conv1", small_stem=True),
    "densenet121": _Design(make=models.densenet121, first="features.conv0", least=32),
    "densenet161": _Design(make=models.densenet161, first="features.conv0", least=32),
    "vgg16": _Design(make=models.vgg16, first="features.0", least=32),
}


class ZooNetwork(nn.Module):
    """A network of torchvision: float32 pixels in [0, 1] -> logits, (batch, classes)."""

    note: str
    """What is done to images that are too small for it, a sentence; empty if nothing is."""

    def __init__(self, name: str, shape: Shape, classes: int) -> None:
        super().__init__()
        design = _DESIGNS[name]
        channels, height, width = shape
        factor = max(1.0, design.least / min(height, width))
        self.size = (round(height * factor), round(width * factor))
        self.enlarges = self.size != (height, width)
        self.note = (
            f"Images of {height}x{width} are enlarged to {self.size[0]}x{self.size[1]} (bilinear) "
            f"within {name}, which takes no less than {design.least}x{design.least}."
            if self.enlarges
            else ""
        )
        self.norm = PixelNorm(channels)
        self.body = design.make(weights=None, num_classes=classes)
        first = self.body.get_submodule(design.first)
        assert isinstance(first, nn.Conv2d)
        if design.small_stem:
            _replace(self.body, design.first, _first(channels, first.out_channels, window=3, stride=1))
            _replace(self.body, "maxpool", nn.Identity())
        elif channels != first.in_channels:
            window, stride = first.kernel_size[0], first.stride[0]
            biased = first.bias is not None
            _replace(self.body, design.first, _first(channels, first.out_channels, window, stride, biased))

    def forward(self, pixels: Tensor) -> Tensor:
        images = self.norm(pixels)
        if self.enlarges:
            images = functional.interpolate(images, size=self.size, mode="bilinear", align_corners=False)
        return self.body(images)  # type: ignore[no-any-return]  # (batch, classes)


def zoo_names() -> tuple[str, ...]:
    """The names of torchvision's networks that `make_zoo` knows. 'small' stands for the stem; else it is theirs."""
    return tuple(_DESIGNS)


def make_zoo(name: str, shape: Shape, classes: int, seed: Seed) -> ZooNetwork | NarrowResidual:
    """A network made by hand, untrained, its weights drawn from the seed.

    Args:
        name: one of `zoo_names`, or `residual@N` for a narrow residual network with about N parameters.
        shape: (channels, height, width) of the task's images.
        classes: number of logits.
        seed: of the initial weights.

    Raises:
        UnknownNameError: there is no such network; the message names near ones.
        SettingError: N is no number of parameters that a narrow residual network can have.
    """
    check_zoo(name)
    family, _, parameters = name.partition("@")
    with seed.initialising():
        network: ZooNetwork | NarrowResidual
        if family == RESIDUAL:
            network = NarrowResidual(narrow_design(int(parameters), shape[0], classes), shape, classes)
        else:
            network = ZooNetwork(name, shape, classes)
    return network.to(memory_format=torch.channels_last)


def check_zoo(name: str) -> None:
    """Refuses what names no network made by hand.

    Raises:
        UnknownNameError: there is no such network; the message names near ones.
        SettingError: the name of a narrow residual network has no number of parameters.
    """
    family, at, parameters = name.partition("@")
    if family == RESIDUAL:
        if not (parameters.isascii() and parameters.isdigit()):
            raise SettingError(
                f"The 'parameters' of a narrow residual network must be a whole number, as in {RESIDUAL}@11410. "
                f"Got {parameters!r} instead."
            )
    elif at or name not in _DESIGNS:
        known = [*_DESIGNS, f"{RESIDUAL}@11410"]
        raise UnknownNameError(f"'{name}' is no network of the zoo. {nearest_names(name, known)}")


def _first(channels: int, width: int, window: int, stride: int, biased: bool = False) -> nn.Conv2d:
    """A first convolution, initialised as torchvision initialises those of ResNet and VGG."""
    convolution = nn.Conv2d(channels, width, window, stride=stride, padding=window // 2, bias=biased)
    nn.init.kaiming_normal_(convolution.weight, mode="fan_out", nonlinearity="relu")
    if convolution.bias is not None:
        nn.init.zeros_(convolution.bias)
    return convolution


def _replace(network: nn.Module, path: str, module: nn.Module) -> None:
    parent, _, name = path.rpartition(".")
    setattr(network.get_submodule(parent), name, module)
