"""Supernets: every operation on every edge of one skeleton's cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from tanas.networks.architecture import Architecture, Network, Shape
from tanas.networks.cell import Cell
from tanas.networks.operations import ZERO, make_operation
from tanas.networks.skeleton import Skeleton
from tanas.spaces.costs import cost_by_parts
from tanas.spaces.prior import pairs_of, placed
from tanas.spaces.space import SearchSpace

Passes = Callable[[int, nn.ModuleList, Tensor], Tensor | None]
"""(edge in the order of `pairs_of`, its operations in the order of `Supernet.names`, what stands at its beginning)
-> what arrives at its end; None: the edge is absent."""


class SharedCell(nn.Module):
    """A cell with every operation on each edge of the complete DAG: (batch, channels, h, w) -> the same shape."""

    def __init__(self, nodes: int, names: Sequence[str], channels: int) -> None:
        super().__init__()
        self.nodes = nodes
        self.ends = pairs_of(nodes)
        self.edges = nn.ModuleList(
            nn.ModuleList(make_operation(name, channels) for name in names) for _ in self.ends
        )

    def forward(self, images: Tensor, passes: Passes) -> Tensor:
        values: list[Tensor | None] = [images] + [None] * (self.nodes - 1)
        for edge, (start, end) in enumerate(self.ends):
            value, operations = values[start], self.edges[edge]
            assert isinstance(operations, nn.ModuleList)
            if value is None or (passed := passes(edge, operations, value)) is None:
                continue
            so_far = values[end]
            values[end] = passed if so_far is None else so_far + passed
        output = values[-1]
        return images * 0.0 if output is None else output


class Supernet(nn.Module):
    """The networks of all cells of a space in one skeleton; an operation's weights belong to its edge and its cell.

    BatchNorm always takes the batch's own mean and deviation: running ones would mix those of many networks.
    """

    def __init__(
        self, skeleton: Skeleton, space: SearchSpace, shape: Shape, classes: int, *, affine: bool = True
    ) -> None:
        """Builds it; weights come from torch's global generator (`Seed.initialising`).

        Args:
            skeleton: stem, stages and head.
            space: gives the operations and the nodes of a cell.
            shape: (channels, height, width) of the task's images.
            classes: number of logits.
            affine: whether BatchNorm within cells has a scale and a shift of its own. Where operations are mixed by
                learnt weights it must not: it would undo them.
        """
        super().__init__()
        self.names = tuple(name for name in space.operations if name != ZERO)
        plain = Network(Architecture(skeleton=skeleton, cell=Cell(2, ())), shape, classes)
        self.norm, self.stem, self.head = plain.norm, plain.stem, plain.head
        stages = []
        for width, count, stage in zip(skeleton.widths, skeleton.cells, plain.stages, strict=True):
            assert isinstance(stage, nn.Sequential)
            cells = [SharedCell(space.nodes, self.names, width) for _ in range(count)]
            stages.append(nn.ModuleList([stage[0], *cells]))
        self.stages = nn.ModuleList(stages)
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.track_running_stats = False
                module.running_mean = module.running_var = module.num_batches_tracked = None
        if not affine:
            for module in self.stages.modules():
                if isinstance(module, SharedCell):
                    _forget_affine(module)

    def forward(self, pixels: Tensor, passes: Passes) -> Tensor:
        images = self.stem(self.norm(pixels))  # (batch, width, h, w)
        for stage in self.stages:
            assert isinstance(stage, nn.ModuleList)
            images = stage[0](images)
            for cell in stage[1:]:
                images = cell(images, passes)
        return self.head(torch.relu(images).mean(dim=(2, 3)))  # type: ignore[no-any-return]  # (batch, classes)

    def path(self, cell: Cell) -> Passes:
        """Passes only the operations of one cell.

        Args:
            cell: in canonical form; where it has fewer nodes, its output is the last node all the same.
        """
        nodes = next(one.nodes for one in self.modules() if isinstance(one, SharedCell))
        held = placed(cell, nodes)
        chosen = [self.names.index(held[pair]) if pair in held else None for pair in pairs_of(nodes)]

        def passes(edge: int, operations: nn.ModuleList, value: Tensor) -> Tensor | None:
            at = chosen[edge]
            return None if at is None else operations[at](value)

        return passes


def mixing(weights: Tensor) -> Passes:
    """Passes the weighted sum of all operations.

    Args:
        weights: (edges, operations), without the operation that passes nothing.
    """

    def passes(edge: int, operations: nn.ModuleList, value: Tensor) -> Tensor:
        total: Tensor = weights[edge, 0] * operations[0](value)
        for at in range(1, len(operations)):
            total = total + weights[edge, at] * operations[at](value)
        return total

    return passes


def mixed_macs(skeleton: Skeleton, space: SearchSpace, shape: Shape, classes: int) -> int:
    """Multiply-adds of a supernet's answer to one image where all operations of all edges are computed.

    Args:
        skeleton: of the supernet.
        space: gives the operations and the nodes of a cell.
        shape: (channels, height, width) of the task's images.
        classes: number of logits.
    """

    def macs(cell: Cell) -> int:
        return cost_by_parts(Architecture(skeleton=skeleton, cell=cell), shape, classes).macs

    around = macs(Cell(2, ()))
    edges = len(pairs_of(space.nodes))
    every = [Cell.complete(space.nodes, (name,) * edges) for name in space.operations if name != ZERO]
    return around + sum(macs(cell) - around for cell in every)


def _forget_affine(module: nn.Module) -> None:
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.affine = False
            part.weight = part.bias = None  # type: ignore[assignment]
