"""What an architecture costs, by its parts: thousands of times faster than counting on a network.

A search asks this of every candidate that it draws; `cost_of` builds each network to count on it.
"""

from __future__ import annotations

from functools import lru_cache

import torch

from tanas.networks.architecture import Architecture, Cost, Shape, count_cost
from tanas.networks.operations import make_operation


def cost_by_parts(architecture: Architecture, shape: Shape, classes: int) -> Cost:
    """The same as `cost_of`, as the sum over stem, transitions, operations and head.

    Args:
        architecture: what to count; its cell in canonical form.
        shape: (channels, height, width) of the task's images.
        classes: number of logits.
    """
    skeleton = architecture.skeleton
    before, high, wide = shape
    if skeleton.stem == "half":
        high, wide = _half(high), _half(wide)
    width = skeleton.widths[0]
    parameters = 9 * before * width + 2 * width  # a 3x3 convolution and BatchNorm
    macs = 9 * before * width * high * wide
    for stage_width, cells, reduces in zip(skeleton.widths, skeleton.cells, skeleton.reductions, strict=True):
        if reduces:
            high, wide = _half(high), _half(wide)
        if stage_width != width:  # a 1x1 convolution and BatchNorm
            parameters += width * stage_width + 2 * stage_width
            macs += width * stage_width * high * wide
        width = stage_width
        for _, _, name in architecture.cell.edges:
            cost = _operation_cost(name, width, high, wide)
            parameters += cells * cost.parameters
            macs += cells * cost.macs
    return Cost(parameters=parameters + (width + 1) * classes, macs=macs + width * classes)


@lru_cache(maxsize=65536)
def _operation_cost(name: str, channels: int, high: int, wide: int) -> Cost:
    with torch.device("meta"):
        return count_cost(make_operation(name, channels), torch.empty(1, channels, high, wide))


def _half(length: int) -> int:
    """As a convolution or pooling of stride 2 does it, rounded up: one pixel stays."""
    return (length + 1) // 2
