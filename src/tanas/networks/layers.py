"""A table of a network's layers, in the order in which an image passes them."""

from __future__ import annotations

import copy
from functools import partial

import torch
from torch import Tensor, nn

from tanas.networks.architecture import PixelNorm, Shape, macs_of
from tanas.networks.operations import SamePool, Zero

LayerRow = tuple[str, str, int, int]
"""(name, shape of the output as text, parameters, multiply-adds)."""

_WITHOUT_A_ROW = (nn.Identity, Zero, nn.ReLU, nn.Dropout, nn.Flatten)
"""Modules without parameters and multiply-adds."""


def layer_table(network: nn.Module, shape: Shape) -> tuple[LayerRow, ...]:
    """A row for each layer; parameters and multiply-adds add up to those of `count_cost`.

    Args:
        network: float32 pixels (batch, channels, h, w) -> logits; it stays as it is.
        shape: (channels, height, width) of an image.

    Returns:
        name (path in the network and kind), shape of the output for one image ('16 x 28 x 28'), parameters,
        multiply-adds. Parameters that a pass does not reach come last.
    """
    twin = copy.deepcopy(network).to("meta").eval()
    counted: set[int] = set()
    rows: list[LayerRow] = []

    def own_parameters(module: nn.Module) -> int:
        """Parameters that no earlier row has counted."""
        fresh = [p for p in module.parameters(recurse=False) if id(p) not in counted]
        counted.update(id(p) for p in fresh)
        return sum(p.numel() for p in fresh)

    def record(path: str, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        size = " x ".join(str(side) for side in output.shape[1:])
        rows.append((f"{path}: {_kind(module)}", size, own_parameters(module), macs_of(module, output)))

    for path, module in twin.named_modules():
        is_layer = not list(module.children()) or bool(list(module.parameters(recurse=False)))
        if is_layer and not isinstance(module, _WITHOUT_A_ROW):
            module.register_forward_hook(partial(record, path))
    with torch.no_grad():
        twin(torch.empty(1, *shape, device="meta"))
    for path, module in twin.named_modules():
        if unreached := own_parameters(module):
            rows.append((f"{path}: {_kind(module)}", "not reached", unreached, 0))
    return tuple(rows)


def _kind(module: nn.Module) -> str:
    """The name of a layer in the field's words."""
    if isinstance(module, nn.Conv2d):
        depthwise = "depthwise " if module.groups == module.in_channels > 1 else ""
        dilated = f", dilation {module.dilation[0]}" if module.dilation[0] > 1 else ""
        strided = f", stride {module.stride[0]}" if module.stride[0] > 1 else ""
        return f"{depthwise}convolution {module.kernel_size[0]}x{module.kernel_size[1]}{dilated}{strided}"
    if isinstance(module, SamePool):
        return f"{module.kind} pooling {module.window}x{module.window}"
    kinds = {
        nn.Linear: "linear",
        nn.BatchNorm2d: "batch normalisation",
        nn.MaxPool2d: "max pooling",
        nn.AvgPool2d: "average pooling",
        nn.AdaptiveAvgPool2d: "average pooling",
        PixelNorm: "pixel normalisation",
    }
    name = kinds.get(type(module), type(module).__name__)
    if isinstance(module, nn.MaxPool2d):
        window = module.kernel_size if isinstance(module.kernel_size, tuple) else (module.kernel_size,) * 2
        return f"{name} {window[0]}x{window[1]}"
    return name
