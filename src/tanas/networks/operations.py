"""The operations of a cell's edges: each keeps the shape of its input. `register_operation` adds more."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.nn import functional

from tanas.ground.errors import SettingError, UnknownNameError, nearest_names

Operation = Callable[[int], nn.Module]
"""Makes the module for a number of channels: (batch, channels, h, w) -> the same shape."""

ZERO = "zero"
"""The operation that passes nothing: its edge is absent."""


class Zero(nn.Module):
    """Passes nothing."""

    def forward(self, images: Tensor) -> Tensor:
        return images * 0.0


class SamePool(nn.Module):
    """Pooling at stride 1 that keeps the shape; even windows are padded more at the end."""

    def __init__(self, window: int, kind: str) -> None:
        super().__init__()
        self.window = window
        self.kind = kind

    def forward(self, images: Tensor) -> Tensor:
        if self.kind == "average":
            return functional.avg_pool2d(images, self.window, 1, self.window // 2, count_include_pad=False)
        if self.window % 2:
            return functional.max_pool2d(images, self.window, 1, self.window // 2)
        padded = functional.pad(images, (0, 1, 0, 1), value=float("-inf"))  # (batch, channels, h + 1, w + 1)
        return functional.max_pool2d(padded, self.window, 1)


class DilatedDepthwise(nn.Conv2d):
    """A depthwise convolution of dilation 2, computed without dilation on the four interleaved half-size grids.

    It is two to four times as fast on a CPU, where only undilated kernels are tuned.
    """

    def __init__(self, channels: int, window: int) -> None:
        super().__init__(
            channels, channels, window, padding=window - 1, dilation=2, groups=channels, bias=False
        )

    def forward(self, images: Tensor) -> Tensor:
        batch, channels, height, width = images.shape
        window, margin = self.kernel_size[0], self.kernel_size[0] // 2
        images = functional.pad(images, (0, width % 2, 0, height % 2))
        rows, columns = (height + 1) // 2, (width + 1) // 2
        grids = images.permute(0, 2, 3, 1).reshape(batch, rows, 2, columns, 2, channels)
        grids = grids.permute(2, 4, 0, 1, 3, 5).reshape(4 * batch, rows, columns, channels)
        grids = grids.permute(0, 3, 1, 2)  # (4 * batch, channels, rows, columns), channels last in memory
        if min(rows, columns) < window:  # a window wider than the grid is slow unless the padding is explicit
            grids = functional.conv2d(functional.pad(grids, (margin,) * 4), self.weight, groups=self.groups)
        else:
            grids = functional.conv2d(grids, self.weight, padding=margin, groups=self.groups)
        merged = grids.permute(0, 2, 3, 1).reshape(2, 2, batch, rows, columns, channels)
        merged = merged.permute(2, 3, 0, 4, 1, 5).reshape(batch, 2 * rows, 2 * columns, channels)
        merged = merged.permute(0, 3, 1, 2)[:, :, :height, :width]  # (batch, channels, height, width)
        return merged.contiguous(memory_format=torch.channels_last)


def _separable(window: int, dilation: int = 1) -> Operation:
    """ReLU, depthwise, pointwise, BatchNorm: one pass of DARTS' separable convolution."""

    def make(channels: int) -> nn.Module:
        if dilation == 2:
            depthwise: nn.Conv2d = DilatedDepthwise(channels, window)
        else:
            depthwise = nn.Conv2d(
                channels, channels, window, padding=window // 2, groups=channels, bias=False
            )
        pointwise = nn.Conv2d(channels, channels, 1, bias=False)
        return nn.Sequential(nn.ReLU(), depthwise, pointwise, nn.BatchNorm2d(channels))

    return make


def _convolution(*windows: tuple[int, int]) -> Operation:
    """ReLU, a convolution for each window, BatchNorm."""

    def make(channels: int) -> nn.Module:
        convolutions = [
            nn.Conv2d(channels, channels, (high, wide), padding=(high // 2, wide // 2), bias=False)
            for high, wide in windows
        ]
        return nn.Sequential(nn.ReLU(), *convolutions, nn.BatchNorm2d(channels))

    return make


_REGISTRY: dict[str, Operation] = {
    "identity": lambda channels: nn.Identity(),
    ZERO: lambda channels: Zero(),
    "sep_conv_3x3": _separable(3),
    "sep_conv_5x5": _separable(5),
    "dil_conv_3x3": _separable(3, dilation=2),
    "dil_conv_5x5": _separable(5, dilation=2),
    "conv_1x1": _convolution((1, 1)),
    "conv_3x3": _convolution((3, 3)),
    "conv_7x1_1x7": _convolution((7, 1), (1, 7)),
    "max_pool_2x2": lambda channels: SamePool(2, "max"),
    "max_pool_3x3": lambda channels: SamePool(3, "max"),
    "avg_pool_3x3": lambda channels: SamePool(3, "average"),
}


def register_operation(name: str, make: Operation) -> None:
    """Add an operation under a name that spaces and architectures can use.

    Args:
        name: lower-case letters, digits and underscores.
        make: makes the module for a number of channels; its output has its input's shape. The module draws no random
            numbers while it is trained (no dropout): networks are trained side by side, in any order.

    Raises:
        SettingError: another operation has the name.
    """
    if _REGISTRY.get(name, make) is not make:
        raise SettingError(f"The operation '{name}' is registered already. Choose another name.")
    _REGISTRY[name] = make


def operation_names() -> tuple[str, ...]:
    """The names of all operations."""
    return tuple(_REGISTRY)


def check_operations(names: Iterable[str], where: str) -> None:
    """Refuse names of unknown operations (UnknownNameError, which names near ones); `where` stands in the message."""
    for name in names:
        if name not in _REGISTRY:
            raise UnknownNameError(f"Unknown operation '{name}'{where}. {nearest_names(name, _REGISTRY)}")


def make_operation(name: str, channels: int) -> nn.Module:
    """The module of an operation, (batch, channels, h, w) -> the same shape; UnknownNameError if there is none."""
    check_operations((name,), "")
    return _REGISTRY[name](channels)
