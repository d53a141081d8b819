"""What stays within the limits of a space at all: its smallest architectures, and what is said if none does."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TypeVar

from tanas.ground.errors import SettingError
from tanas.networks.architecture import Architecture, Cost, Shape
from tanas.networks.cell import Cell
from tanas.networks.operations import ZERO
from tanas.networks.skeleton import Skeleton
from tanas.spaces.cells import topologies
from tanas.spaces.costs import cost_by_parts

Limit = TypeVar("Limit", int, float)


def looser(one: Limit | None, other: Limit | None) -> Limit | None:
    """The looser of two limits; None: no limit."""
    return None if one is None or other is None else max(one, other)


def smallest_cells(nodes: int, operations: Sequence[str], *, inputs: int | None) -> list[Cell]:
    """The smallest cells of a space, one for each operation."""
    ends = [(0, nodes - 1)]  # without absent edges the first cell that there is, the others alike
    if ZERO not in operations:
        ends = list(topologies(nodes, absent=False, inputs=inputs)[0].pairs)
    most = 1 + max(end for _, end in ends)
    return [
        Cell(most, tuple((start, end, name) for start, end in ends)).canonical()
        for name in operations
        if name != ZERO
    ]


def smallest_architectures(
    skeletons: Iterable[Skeleton],
    cells: Sequence[Cell],
    excess: Callable[[Cost], float],
    shape: Shape,
    classes: int,
) -> list[Architecture]:
    """The architecture of each skeleton that comes nearest to the limits, or stays below them most.

    Args:
        skeletons: of the space.
        cells: its smallest ones.
        excess: the share of the limits that a cost takes.
        shape: (channels, height, width) of the task's images.
        classes: number of logits.

    Returns:
        those with the fewest multiply-adds first.
    """
    smallest = []
    for skeleton in skeletons:
        costs = {
            one: cost_by_parts(one, shape, classes)
            for one in (Architecture(skeleton=skeleton, cell=cell) for cell in cells)
        }
        least = min(costs, key=lambda one: (excess(costs[one]), costs[one].macs))
        smallest.append((costs[least].macs, least))
    return [architecture for _, architecture in sorted(smallest)]


def too_large(
    space: str, limits: Mapping[str, int | None], least: Cost, shape: Shape, classes: int
) -> SettingError:
    """The error of limits of parameters or multiply-adds that even the smallest architecture breaks."""
    named = [f"'{name}' of {limit:,}" for name, limit in limits.items() if limit is not None]
    return SettingError(
        f"The {' and '.join(named)} of the search space '{space}' admit no architecture: for images of "
        f"{'x'.join(map(str, shape))} and {classes} classes its smallest architecture has "
        f"{least.parameters:,} parameters and {least.macs:,} multiply-adds. Raise the limits to that."
    )


def too_slow(space: str, limit_ms: float, least_ms: float, shape: Shape, classes: int) -> SettingError:
    """The error of a limit of latency that even the fastest of the smallest architectures breaks."""
    return SettingError(
        f"The 'max_latency_ms' of {limit_ms:g} of the search space '{space}' admits no architecture: for "
        f"images of {'x'.join(map(str, shape))} and {classes} classes the fastest of its smallest architectures "
        f"takes {least_ms:.3g} ms per image on this machine. Raise the limit to more than that."
    )
