"""Single changes of an architecture: what a mutation can do to a cell or a skeleton."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product

from tanas.networks.architecture import Architecture
from tanas.networks.cell import Cell
from tanas.networks.operations import ZERO
from tanas.networks.skeleton import Skeleton


def changed(
    parent: Architecture,
    kind: int,
    skeletons: Sequence[Skeleton],
    nodes: int,
    operations: tuple[str, ...],
    *,
    inputs: int | None,
) -> list[Architecture]:
    """All that one change makes of an architecture.

    Args:
        parent: in canonical form.
        kind: 0 another edge, 1 another node, 2 another skeleton.
        skeletons: of the space.
        nodes: most nodes of a cell.
        operations: of the space.
        inputs: most edges into a node; None: no limit.
    """
    if kind == 2:
        nearest = nearest_skeletons(parent.skeleton, skeletons)
        return [replace(parent, skeleton=skeleton) for skeleton in nearest]
    cells = (
        cells_with_another_edge(parent.cell, operations, moves=inputs is not None)
        if kind == 0
        else cells_grown(parent.cell, nodes, operations, inputs=inputs)
    )
    return [replace(parent, cell=cell) for cell in cells]


def cells_with_another_edge(
    cell: Cell, operations: tuple[str, ...], *, moves: bool = False
) -> tuple[Cell, ...]:
    """Cells in which one edge has another operation, appears, or (with zero among the operations) goes.

    Args:
        cell: in canonical form.
        operations: that an edge can hold.
        moves: whether an edge can also come from another node, with the operation that it has.

    Returns:
        Each once, in canonical form and sorted; without the cell itself and those that connect nothing.
    """
    held = {(a, b): name for a, b, name in cell.edges}
    pairs = [(start, end) for end in range(cell.nodes) for start in range(end)]
    edges = [{**held, pair: name} for pair in pairs for name in operations]
    if moves:
        for (start, end), name in held.items():
            left = {pair: other for pair, other in held.items() if pair != (start, end)}
            edges += [{**left, (to, end): name} for to in range(end) if (to, end) not in held]
    changed = {Cell(cell.nodes, tuple((a, b, n) for (a, b), n in one.items())).canonical() for one in edges}
    return tuple(sorted(one for one in changed if one.connected and one != cell))


def cells_grown(
    cell: Cell, nodes: int, operations: tuple[str, ...], *, inputs: int | None = None
) -> tuple[Cell, ...]:
    """Cells in which one more node joins.

    Where edges may be absent, it joins with one edge to it and one from it. Where they may not, as many edges
    end in it as in any node, and one edge of a later node, its operation kept, comes from it instead.

    Args:
        cell: in canonical form.
        nodes: most that a cell can have.
        operations: that an edge can hold; without zero and without `inputs`, all edges are there and none can join.
        inputs: edges into a node; see `SearchSpace`.

    Returns:
        Each once, in canonical form and sorted.
    """
    if cell.nodes >= nodes or (ZERO not in operations and inputs is None):
        return ()
    live = [name for name in operations if name != ZERO]
    grown = set()
    if ZERO not in operations and inputs is not None:
        for taken, end, name in cell.edges:
            # it takes the number of `end`, which moves up with those above
            rest = [edge for edge in cell.edges if edge != (taken, end, name)]
            moved = [(a + (a >= end), b + (b >= end), of) for a, b, of in rest]
            for starts in combinations(range(end), min(end, inputs)):
                for into in product(live, repeat=len(starts)):
                    joined = [(a, end, of) for a, of in zip(starts, into, strict=True)]
                    grown.add(Cell(cell.nodes + 1, (*moved, *joined, (end, end + 1, name))).canonical())
        return tuple(sorted(grown))
    for start in range(cell.nodes - 1):
        joined_at = start + 1  # takes this number; those above move up
        moved = [(a + (a > start), b + (b > start), name) for a, b, name in cell.edges]
        for end in range(joined_at + 1, cell.nodes + 1):
            for to in live:
                for out in live:
                    edges = (*moved, (start, joined_at, to), (joined_at, end, out))
                    grown.add(Cell(cell.nodes + 1, edges).canonical())
    return tuple(sorted(grown))


def nearest_skeletons(skeleton: Skeleton, skeletons: Iterable[Skeleton]) -> tuple[Skeleton, ...]:
    """Skeletons that differ in as few fields as possible, each the nearest in its direction.

    Fields are the stem, the number of stages (the last ones come or go), and the widths, cells and
    reductions of the stages that both have.

    Args:
        skeleton: to start from.
        skeletons: to choose among; `skeleton` itself is passed over.
    """
    steps = [(_step(skeleton, other), other) for other in skeletons if other != skeleton]
    fewest = min((len(step.fields) for step, _ in steps), default=0)
    nearest: dict[tuple[tuple[str, ...], bool], tuple[float, list[Skeleton]]] = {}
    for step, other in steps:
        if len(step.fields) > fewest:
            continue
        least, found = nearest.get((step.fields, step.rises), (math.inf, []))
        if step.length < least:
            nearest[step.fields, step.rises] = (step.length, [other])
        elif step.length == least:
            found.append(other)
    return tuple(sorted(other for _, found in nearest.values() for other in found))


@dataclass(frozen=True)
class _Step:
    """From one skeleton to another."""

    fields: tuple[str, ...]
    """Those that differ."""
    length: float
    """Sum of the differences: widths in powers of two, all else in numbers."""
    rises: bool
    """Whether more is gained than lost."""


def _step(one: Skeleton, other: Skeleton) -> _Step:
    widths = [math.log2(b / a) for a, b in zip(one.widths, other.widths, strict=False)]
    cells = [b - a for a, b in zip(one.cells, other.cells, strict=False)]
    reductions = [int(b) - int(a) for a, b in zip(one.reductions, other.reductions, strict=False)]
    differences: dict[str, list[float]] = {
        "stem": [float(one.stem != other.stem) * (1 if other.stem > one.stem else -1)],
        "stages": [float(len(other.widths) - len(one.widths))],
        "widths": widths,
        "cells": [*cells],
        "reductions": [*reductions],
    }
    every = [value for values in differences.values() for value in values]
    return _Step(
        fields=tuple(name for name, values in differences.items() if any(values)),
        length=round(sum(abs(value) for value in every), 6),  # equal steps are equal
        rises=sum(every) > 0,
    )
