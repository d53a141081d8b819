"""Supernets: every operation on every edge of one skeleton's cells."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from tanas.networks.architecture import Architecture, Network, Shape
from tanas.networks.cell import Cell, pairs_of
from tanas.networks.operations import ZERO, make_operation
from tanas.networks.skeleton import Skeleton
from tanas.spaces.costs import cost_by_parts
from tanas.spaces.prior import placed
from tanas.spaces.space import SearchSpace

Passes = Callable[[int, nn.ModuleList, Tensor], Tensor | None]
"""(edge in the order of `pairs_of`, its operations in the order of `Supernet.names`, the value at its beginning)
-> the value that arrives at its end; None: the edge is absent."""


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
        """Build it; weights come from torch's global generator (`Seed.initialising`).

        Without `affine`, BatchNorm within cells has no scale and no shift of its own: they would undo the learnt
        weights by which operations are mixed.
        """
        super().__init__()
        self.nodes = space.nodes
        self.names = tuple(name for name in space.operations if name != ZERO)
        plain = Network(Architecture(skeleton=skeleton, cell=Cell(2, ())), shape, classes)
        self.norm, self.stem, self.head = plain.norm, plain.stem, plain.head
        self.stages = nn.ModuleList()
        for width, count, stage in zip(skeleton.widths, skeleton.cells, plain.stages, strict=True):
            assert isinstance(stage, nn.Sequential)
            cells = [SharedCell(space.nodes, self.names, width) for _ in range(count)]
            self.stages.append(nn.ModuleList([stage[0], *cells]))
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.track_running_stats = False
                module.running_mean = module.running_var = module.num_batches_tracked = None
        within = (part for cell in self.modules() if isinstance(cell, SharedCell) for part in cell.modules())
        for part in within:
            if not affine and isinstance(part, nn.BatchNorm2d):
                part.affine = False
                part.weight = part.bias = None  # type: ignore[assignment]

    def forward(self, pixels: Tensor, passes: Passes) -> Tensor:
        images = self.stem(self.norm(pixels))  # (batch, width, h, w)
        for stage in self.stages:
            assert isinstance(stage, nn.ModuleList)
            images = stage[0](images)
            for cell in stage[1:]:
                images = cell(images, passes)
        return self.head(torch.relu(images).mean(dim=(2, 3)))  # type: ignore[no-any-return]  # (batch, classes)

    def path(self, cell: Cell) -> Passes:
        """Pass only the operations of a canonical cell; if it has fewer nodes, its output is still the last node."""
        held = placed(cell, self.nodes)
        chosen = [self.names.index(held[pair]) if pair in held else None for pair in pairs_of(self.nodes)]

        def passes(edge: int, operations: nn.ModuleList, value: Tensor) -> Tensor | None:
            at = chosen[edge]
            return None if at is None else operations[at](value)

        return passes


def mixing(weights: Tensor) -> Passes:
    """Pass the sum of all operations, weighted by (edges, operations); zero has no weight."""

    def passes(edge: int, operations: nn.ModuleList, value: Tensor) -> Tensor:
        total: Tensor = weights[edge, 0] * operations[0](value)
        for at in range(1, len(operations)):
            total = total + weights[edge, at] * operations[at](value)
        return total

    return passes


def mixed_macs(skeleton: Skeleton, space: SearchSpace, shape: Shape, classes: int) -> int:
    """Multiply-adds of a supernet's answer to one image if all operations of all edges are computed."""

    def macs(cell: Cell) -> int:
        return cost_by_parts(Architecture(skeleton=skeleton, cell=cell), shape, classes).macs

    around = macs(Cell(2, ()))
    edges = len(pairs_of(space.nodes))
    every = [Cell.complete(space.nodes, (name,) * edges) for name in space.operations if name != ZERO]
    return around + sum(macs(cell) - around for cell in every)
