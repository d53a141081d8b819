"""A residual network for small images, made as narrow as it takes to have a given number of parameters."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from tanas.ground.errors import SettingError, check_range
from tanas.networks.architecture import PixelNorm, Shape

DEPTHS = ((3, 8), (2, 6), (1, 1))
"""(n, least width): n blocks a stage are taken from that width on. Three are He et al.'s least (ResNet-20); a small
network has fewer and wider blocks, as one of a few channels can tell little apart however deep it is."""


@dataclass(frozen=True, kw_only=True)
class NarrowDesign:
    """Depth and widths of a residual network for small images."""

    blocks: int
    """n: basic blocks a stage; the network has 6n + 2 layers."""
    widths: tuple[int, int, int]
    """Channels of the three stages: w, and about 2w and 4w."""

    def parameters(self, channels: int, classes: int) -> int:
        """Weights and biases of the network.

        Args:
            channels: of an image.
            classes: number of logits.
        """
        first, before = self.widths[0], self.widths[0]
        total = 9 * channels * first + 2 * first
        for width in self.widths:
            total += 9 * before * width + (2 * self.blocks - 1) * 9 * width * width
            total += 2 * self.blocks * 2 * width  # BatchNorm's pairs
            before = width
        return total + before * classes + classes

    @property
    def skew(self) -> float:
        """How far the widths are from w, 2w, 4w: the sum of the shares that the second and third are off."""
        first, second, third = self.widths
        return abs(second / (2 * first) - 1) + abs(third / (4 * first) - 1)


class Block(nn.Module):
    """A basic block: (batch, before, h, w) -> (batch, width, h / stride, w / stride), halves rounded up."""

    def __init__(self, before: int, width: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.wider = width - before
        self.conv1 = nn.Conv2d(before, width, 3, stride=stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(width)

    def forward(self, images: Tensor) -> Tensor:
        made = self.norm2(self.conv2(torch.relu(self.norm1(self.conv1(images)))))
        # the shortcut has no weights: every other position, and zeros in the channels that are new (option A)
        kept = images[:, :, :: self.stride, :: self.stride] if self.stride > 1 else images
        if self.wider:
            kept = functional.pad(kept, (0, 0, 0, 0, 0, self.wider))  # (batch, width, h, w)
        return torch.relu(made + kept)


class NarrowResidual(nn.Module):
    """A residual network for small images: float32 pixels in [0, 1] -> logits, (batch, classes).

    Source: He et al. 2016, "Deep residual learning", section 4.2: a 3x3 convolution, three stages of n basic blocks
    with halved height and width and doubled channels, an average over positions, one linear layer.
    """

    def __init__(self, design: NarrowDesign, shape: Shape, classes: int) -> None:
        super().__init__()
        self.design = design
        before = design.widths[0]
        self.norm = PixelNorm(shape[0])
        self.stem = nn.Sequential(
            nn.Conv2d(shape[0], before, 3, padding=1, bias=False), nn.BatchNorm2d(before), nn.ReLU()
        )
        stages: list[nn.Module] = []
        for at, width in enumerate(design.widths):
            first = Block(before, width, stride=1 if at == 0 else 2)
            stages.append(
                nn.Sequential(first, *(Block(width, width, stride=1) for _ in range(design.blocks - 1)))
            )
            before = width
        self.stages = nn.Sequential(*stages)
        self.head = nn.Linear(before, classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, pixels: Tensor) -> Tensor:
        images = self.stages(self.stem(self.norm(pixels)))  # (batch, 4w, h / 4, w / 4)
        return self.head(images.mean(dim=(2, 3)))  # type: ignore[no-any-return]  # (batch, classes)


def narrow_design(parameters: int, channels: int, classes: int) -> NarrowDesign:
    """The design whose number of parameters is nearest to a given one.

    The depth n follows from the size (`DEPTHS`): the deepest whose w is not below its least width where the widths
    are w, 2w, 4w. Then w and small departures of the other two widths (one channel of 2w, two of 4w) are tried; of
    equally near designs the one nearest to w, 2w, 4w is taken, of those the narrower.

    Args:
        parameters: how many it should have.
        channels: of an image.
        classes: number of logits.

    Raises:
        SettingError: there is none so small; the message gives the smallest.
    """
    check_range(parameters, "parameters", "a narrow residual network", low=1)
    least = NarrowDesign(blocks=1, widths=(1, 2, 4)).parameters(channels, classes)
    if parameters < least:
        raise SettingError(
            f"The 'parameters' of a narrow residual network must be at least {least:,}, those of the smallest. "
            f"Got {parameters:,} instead. Ask for more."
        )
    blocks = next(
        n
        for n, width in DEPTHS
        if NarrowDesign(blocks=n, widths=_plain(width)).parameters(channels, classes) <= parameters
        or width == 1
    )

    def off(design: NarrowDesign) -> tuple[int, float, tuple[int, int, int]]:
        return abs(design.parameters(channels, classes) - parameters), design.skew, design.widths

    return min(_designs(blocks, parameters, channels, classes), key=off)


def _designs(blocks: int, parameters: int, channels: int, classes: int) -> Iterator[NarrowDesign]:
    """Those that may be nearest: up to the second width whose plain design has too many parameters.

    One width further than the first, as narrower second and third stages may make up for it.
    """
    width, beyond = 1, 0
    while beyond < 2:
        plain = _plain(width)
        for second in range(plain[1] - 1, plain[1] + 2):
            for third in range(plain[2] - 2, plain[2] + 3):
                if width <= second <= third:
                    yield NarrowDesign(blocks=blocks, widths=(width, second, third))
        beyond += NarrowDesign(blocks=blocks, widths=plain).parameters(channels, classes) >= parameters
        width += 1


def _plain(width: int) -> tuple[int, int, int]:
    return width, 2 * width, 4 * width
