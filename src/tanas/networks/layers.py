"""The layers of a network, one row each, in the order in which an image passes them."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from tanas.networks.architecture import PixelNorm, Shape
from tanas.networks.operations import SamePool, Zero

LayerRow = tuple[str, str, int, int]
"""(name, shape of the output as text, parameters, multiply-adds)."""

_WITHOUT_A_ROW = (nn.Identity, Zero, nn.ReLU, nn.Dropout, nn.Flatten)
"""They hold and compute nothing worth a row."""


def layer_table(network: nn.Module, shape: Shape) -> tuple[LayerRow, ...]:
    """The layers of a network; parameters and multiply-adds add up to those of `count_cost`.

    Args:
        network: float32 pixels (batch, channels, h, w) -> logits; it stays as it is.
        shape: (channels, height, width) of an image.

    Returns:
        a row a layer: its name (path in the network and kind), the shape of its output for one image
        ('16 x 28 x 28'), its parameters, its multiply-adds. Parameters that a pass does not reach come last.
    """
    twin = copy.deepcopy(network).to("meta").eval()
    counted: set[int] = set()
    rows: list[LayerRow] = []

    def own_parameters(module: nn.Module) -> int:
        """Parameters that no earlier row has counted."""
        fresh = [p for p in module.parameters(recurse=False) if id(p) not in counted]
        counted.update(id(p) for p in fresh)
        return sum(p.numel() for p in fresh)

    def row_of(module: nn.Module, path: str, output: Tensor) -> LayerRow:
        size = " x ".join(str(side) for side in output.shape[1:])
        return f"{path}: {_kind(module)}", size, own_parameters(module), _macs(module, output)

    handles = []
    for path, module in twin.named_modules():
        is_layer = not any(True for _ in module.children()) or bool(list(module.parameters(recurse=False)))
        if is_layer and not isinstance(module, _WITHOUT_A_ROW):
            handles.append(
                module.register_forward_hook(
                    lambda module, inputs, output, path=path: rows.append(row_of(module, path, output))
                )
            )
    with torch.no_grad():
        twin(torch.empty(1, *shape, device="meta"))
    for path, module in twin.named_modules():
        if unreached := own_parameters(module):
            rows.append((f"{path}: {_kind(module)}", "not reached", unreached, 0))
    return tuple(rows)


def _macs(module: nn.Module, output: Tensor) -> int:
    """Multiply-adds of a layer, as `count_cost` counts them."""
    if isinstance(module, nn.Conv2d):
        high, wide = module.kernel_size
        return output.numel() * (module.in_channels // module.groups) * high * wide
    return output.numel() * module.in_features if isinstance(module, nn.Linear) else 0


def _kind(module: nn.Module) -> str:
    """What a layer is, in the field's words."""
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
