"""All cells of a space without a list of them: counted exactly, drawn exactly uniformly, enumerated.

A cell is a topology (which edges are alive) with an operation other than zero on each edge. Cells of the same graph
count once: two are the same if a symmetry of the topology turns one into the other. So there are as many cells as
orbits under the symmetries (Burnside's lemma).

Arguments of the functions, in all of them the same:
- nodes: of the complete DAG; a cell may have fewer.
- operations: of an edge; with zero among them, edges may be absent.
- inputs: edges into a node. At most that many if edges may be absent, else exactly that many (or as many as there are
  nodes before it). None: no limit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import combinations, permutations, product

import numpy as np
from numpy.typing import NDArray

from tanas.networks.cell import Cell
from tanas.networks.operations import ZERO

MAX_NODES = 6
"""Most nodes of a space's cells: 2**15 sets of edges take 1 s to list; 7 nodes have 2**21."""


@dataclass(frozen=True)
class Topology:
    """The edges of a cell without their operations; it stands for all isomorphic ones."""

    nodes: int
    pairs: tuple[tuple[int, int], ...]
    """(from, to) of each edge, sorted, each on a path from input to output."""
    symmetries: tuple[tuple[int, ...], ...]
    """Each automorphism as a permutation of positions in `pairs`; the identity comes first."""

    def cycles(self, symmetry: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
        """The cycles of a symmetry, as positions in `pairs`."""
        left, found = set(range(len(symmetry))), []
        while left:
            place, cycle = min(left), []
            while place in left:
                left.remove(place)
                cycle.append(place)
                place = symmetry[place]
            found.append(tuple(cycle))
        return tuple(found)

    def cell(self, operations: tuple[str, ...]) -> Cell:
        """The canonical cell with an operation on each edge, in the order of `pairs`."""
        edges = tuple((a, b, name) for (a, b), name in zip(self.pairs, operations, strict=True))
        return Cell(self.nodes, edges).canonical()


@lru_cache(maxsize=16)
def topologies(nodes: int, *, absent: bool, inputs: int | None = None) -> tuple[Topology, ...]:
    """The topologies of cells, none isomorphic to another; `absent` says whether edges may be absent."""
    starts = [
        [
            chosen
            for size in degrees(end, absent=absent, inputs=inputs)
            for chosen in combinations(range(end), size)
        ]
        for end in range(1, nodes)
    ]
    distinct = {
        Cell(nodes, tuple((a, b, "any") for b, of in enumerate(chosen, start=1) for a in of)).canonical()
        for chosen in product(*starts)
    }
    return tuple(_topology(cell) for cell in sorted(distinct) if cell.edges)


def degrees(node: int, *, absent: bool, inputs: int | None) -> tuple[int, ...]:
    """How many edges can end in a node, given by its number, which is also the number of nodes before it."""
    most = node if inputs is None else min(node, inputs)
    return tuple(range(most + 1)) if absent else (most,)


def holds_cell(cell: Cell, nodes: int, operations: tuple[str, ...], *, inputs: int | None = None) -> bool:
    """Whether `enumerate_cells` lists a canonical cell."""
    if not cell.edges or cell.nodes > nodes or any(name not in operations for _, _, name in cell.edges):
        return False
    absent = ZERO in operations
    into = [sum(b == end for _, b, _ in cell.edges) for end in range(cell.nodes)]
    if any(into[end] not in degrees(end, absent=absent, inputs=inputs) for end in range(1, cell.nodes)):
        return False
    # without absent edges, a node can be unused only if enough others are left for the output
    return absent or cell.nodes == nodes or (inputs is not None and cell.nodes > inputs)


def count_cells(nodes: int, operations: tuple[str, ...], *, inputs: int | None = None) -> int:
    """The number of canonical, connected cells."""
    forms = topologies(nodes, absent=ZERO in operations, inputs=inputs)
    return sum(_count(topology, len(_live(operations))) for topology in forms)


def draw_cell(
    nodes: int, operations: tuple[str, ...], generator: np.random.Generator, *, inputs: int | None = None
) -> Cell:
    """A canonical cell, all with the same probability.

    A topology is drawn by its number of cells, then a symmetry with operations that it leaves unchanged. Every orbit
    has as many such pairs as there are symmetries, so no draw is rejected.
    """
    live = _live(operations)
    forms = topologies(nodes, absent=ZERO in operations, inputs=inputs)
    topology = forms[place_by(_shares(nodes, ZERO in operations, inputs, len(live)), generator)]
    symmetry = topology.symmetries[0]
    if len(topology.symmetries) > 1:
        fixed = np.array([float(len(live)) ** len(topology.cycles(g)) for g in topology.symmetries])
        symmetry = topology.symmetries[place_by(np.cumsum(fixed) / fixed.sum(), generator)]
    names = [""] * len(topology.pairs)
    cycles = topology.cycles(symmetry)
    for cycle, which in zip(cycles, generator.integers(len(live), size=len(cycles)), strict=True):
        for place in cycle:
            names[place] = live[which]
    return topology.cell(tuple(names))


def enumerate_cells(nodes: int, operations: tuple[str, ...], *, inputs: int | None = None) -> Iterator[Cell]:
    """Every canonical, connected cell once, small topologies first."""
    for topology in topologies(nodes, absent=ZERO in operations, inputs=inputs):
        for names in product(_live(operations), repeat=len(topology.pairs)):
            images = (tuple(names[place] for place in g) for g in topology.symmetries[1:])
            if all(names <= image for image in images):  # the least of its orbit
                yield topology.cell(names)


@lru_cache(maxsize=4)
def listed_cells(nodes: int, operations: tuple[str, ...], *, inputs: int | None = None) -> tuple[Cell, ...]:
    """The cells of `enumerate_cells`, kept for many draws. For small spaces."""
    return tuple(enumerate_cells(nodes, operations, inputs=inputs))


def _live(operations: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name for name in operations if name != ZERO)


def _topology(cell: Cell) -> Topology:
    pairs = tuple((a, b) for a, b, _ in cell.edges)
    place = {pair: index for index, pair in enumerate(pairs)}
    symmetries = []
    for order in permutations(range(1, cell.nodes - 1)):  # the first is the identity
        to = (0, *order, cell.nodes - 1)
        images = [(to[a], to[b]) for a, b in pairs]
        if all(image in place for image in images):
            symmetries.append(tuple(place[image] for image in images))
    return Topology(cell.nodes, pairs, tuple(symmetries))


def _count(topology: Topology, operations: int) -> int:
    """Burnside: the mean, over the symmetries, of the choices of operations that a symmetry leaves unchanged."""
    fixed: int = sum(operations ** len(topology.cycles(g)) for g in topology.symmetries)
    return fixed // len(topology.symmetries)


@lru_cache(maxsize=64)
def _shares(nodes: int, absent: bool, inputs: int | None, operations: int) -> NDArray[np.float64]:
    forms = topologies(nodes, absent=absent, inputs=inputs)
    counts = [_count(topology, operations) for topology in forms]
    return np.cumsum(np.array(counts, dtype=np.float64)) / sum(counts)


def place_by(cumulated: NDArray[np.float64], generator: np.random.Generator) -> int:
    """A position drawn by cumulated shares; the last share is 1 up to rounding."""
    return min(int(np.searchsorted(cumulated, generator.random(), side="right")), len(cumulated) - 1)
