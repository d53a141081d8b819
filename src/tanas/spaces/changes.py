"""Single changes of a cell or a skeleton: the steps of mutations and transformations.

Cells are canonical, and so are results: each once, sorted. `operations` are those that an edge can hold; with zero
among them, edges may be absent. `inputs` is the most edges into a node, None: no limit.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations, product

from tanas.networks.architecture import Architecture
from tanas.networks.cell import Cell, pairs_of
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
    """Every result of one change of a canonical architecture.

    Kind 0: an edge gets another operation, appears, goes or, with `inputs`, comes from another node. Kind 1: a node
    joins. Kind 2: one field of the skeleton changes to the nearest value among `skeletons`.
    """
    if kind == 2:
        nearest = nearest_skeletons(parent.skeleton, skeletons)
        return [replace(parent, skeleton=skeleton) for skeleton in nearest]
    if kind == 0:
        cells = cells_with_another_edge(parent.cell, operations, moves=inputs is not None)
    else:
        cells = cells_grown(parent.cell, nodes, operations, inputs=inputs)
    return [replace(parent, cell=cell) for cell in cells]


def cells_with_another_edge(
    cell: Cell, operations: tuple[str, ...], *, moves: bool = False
) -> tuple[Cell, ...]:
    """Other connected cells in which one edge has another operation, appears, or (with zero) goes.

    With `moves`, an edge can also come from another node and keep its operation.
    """
    held = {(a, b): name for a, b, name in cell.edges}
    edges = [{**held, pair: name} for pair in pairs_of(cell.nodes) for name in operations]
    if moves:
        for (start, end), name in held.items():
            left = {pair: other for pair, other in held.items() if pair != (start, end)}
            edges += [{**left, (to, end): name} for to in range(end) if (to, end) not in held]
    cells = (Cell(cell.nodes, tuple((a, b, name) for (a, b), name in held.items())) for held in edges)
    changed = {other.canonical() for other in cells if other.connected}
    return tuple(sorted(changed - {cell}))


def cells_grown(
    cell: Cell, nodes: int, operations: tuple[str, ...], *, inputs: int | None = None
) -> tuple[Cell, ...]:
    """Cells in which one more node joins, of at most `nodes`.

    If edges may be absent, it joins with one edge to it and one from it. If not, as many edges end in it as in any
    node, and one edge of a later node comes from it instead, its operation kept. Without zero and `inputs`, all edges
    are there and none can join.
    """
    if cell.nodes >= nodes or (ZERO not in operations and inputs is None):
        return ()
    live = [name for name in operations if name != ZERO]
    grown = set()
    if ZERO not in operations and inputs is not None:
        for taken, end, name in cell.edges:
            # the new node takes the number of `end`; `end` and those above move up
            rest = [edge for edge in cell.edges if edge != (taken, end, name)]
            moved = [(a + (a >= end), b + (b >= end), of) for a, b, of in rest]
            for starts in combinations(range(end), min(end, inputs)):
                for into in product(live, repeat=len(starts)):
                    joined = [(a, end, of) for a, of in zip(starts, into, strict=True)]
                    grown.add(Cell(cell.nodes + 1, (*moved, *joined, (end, end + 1, name))).canonical())
        return tuple(sorted(grown))
    for start in range(cell.nodes - 1):
        joined_at = start + 1  # the new node takes this number; those above move up
        moved = [(a + (a > start), b + (b > start), name) for a, b, name in cell.edges]
        for end in range(joined_at + 1, cell.nodes + 1):
            for to, out in product(live, repeat=2):
                edges = (*moved, (start, joined_at, to), (joined_at, end, out))
                grown.add(Cell(cell.nodes + 1, edges).canonical())
    return tuple(sorted(grown))


def nearest_skeletons(skeleton: Skeleton, skeletons: Iterable[Skeleton]) -> tuple[Skeleton, ...]:
    """The other skeletons that differ in as few fields as possible, each the nearest in its direction.

    Fields are the stem, the number of stages (the last come or go), and widths, cells and reductions of common stages.
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
    """Sum of the differences: widths in powers of two, the others in numbers."""
    rises: bool
    """Whether more is gained than lost."""


def _step(before: Skeleton, after: Skeleton) -> _Step:
    stages = list(zip(before.stages, after.stages, strict=False))
    differences: dict[str, list[float]] = {
        "stem": [after.stem_halvings - before.stem_halvings],
        "stages": [len(after.widths) - len(before.widths)],
        "widths": [math.log2(new[0] / old[0]) for old, new in stages],
        "cells": [new[1] - old[1] for old, new in stages],
        "reductions": [new[2] - old[2] for old, new in stages],
    }
    every = [value for values in differences.values() for value in values]
    return _Step(
        fields=tuple(name for name, values in differences.items() if any(values)),
        length=round(sum(abs(value) for value in every), 6),  # rounded, so equal steps are equal
        rises=sum(every) > 0,
    )
