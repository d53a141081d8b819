"""All cells of a space without a list of them: counted exactly, drawn exactly uniformly, enumerated.

Cells that compute the same by their graph count once. A cell is a topology (which edges are alive) with an
operation other than zero on each edge, and two of them are the same if a symmetry of the topology turns one
into the other. So there are as many cells as there are orbits under the symmetries (Burnside's lemma).
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
"""Most nodes of a space's cells: their 2**15 sets of edges are looked at once, in 1 s; 7 have 2**21."""


@dataclass(frozen=True)
class Topology:
    """The edges of a cell without their operations; isomorphic ones are one."""

    nodes: int
    pairs: tuple[tuple[int, int], ...]
    """(from, to) of each edge, sorted, each on a path from input to output."""
    symmetries: tuple[tuple[int, ...], ...]
    """Each automorphism as a permutation of positions in `pairs`; the identity is the first."""

    def cycles(self, symmetry: tuple[int, ...]) -> tuple[tuple[int, ...], ...]:
        """Positions that a symmetry carries into one another."""
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
def topologies(nodes: int, *, absent: bool) -> tuple[Topology, ...]:
    """The topologies of cells in the complete DAG, none isomorphic to another.

    Args:
        nodes: of the complete DAG; a topology may leave inner ones unused.
        absent: whether edges may be absent. If not, there is only the complete DAG itself.
    """
    every = [(a, b) for b in range(nodes) for a in range(b)]
    if not absent:
        return (_topology(Cell(nodes, tuple((a, b, "any") for a, b in every))),)
    distinct = {
        Cell(nodes, tuple((a, b, "any") for a, b in chosen)).canonical()
        for size in range(1, len(every) + 1)
        for chosen in combinations(every, size)
    }
    return tuple(_topology(cell) for cell in sorted(distinct) if cell.edges)


def count_cells(nodes: int, operations: tuple[str, ...]) -> int:
    """How many canonical, connected cells there are.

    Args:
        nodes: of the complete DAG.
        operations: that an edge can hold; with zero among them, edges may be absent.
    """
    live = _live(operations)
    return sum(_count(topology, len(live)) for topology in topologies(nodes, absent=ZERO in operations))


def draw_cell(nodes: int, operations: tuple[str, ...], generator: np.random.Generator) -> Cell:
    """A canonical cell, each with the same probability.

    A topology is drawn by its number of cells, then a symmetry with operations that it leaves as they are.
    Every orbit has as many such pairs as there are symmetries, so no draw needs to be rejected.
    """
    live = _live(operations)
    forms = topologies(nodes, absent=ZERO in operations)
    topology = forms[_draw(_shares(nodes, ZERO in operations, len(live)), generator)]
    symmetry = topology.symmetries[0]
    if len(topology.symmetries) > 1:
        fixed = np.array([float(len(live)) ** len(topology.cycles(g)) for g in topology.symmetries])
        symmetry = topology.symmetries[_draw(np.cumsum(fixed) / fixed.sum(), generator)]
    names = [""] * len(topology.pairs)
    cycles = topology.cycles(symmetry)
    for cycle, which in zip(cycles, generator.integers(len(live), size=len(cycles)), strict=True):
        for place in cycle:
            names[place] = live[which]
    return topology.cell(tuple(names))


def enumerate_cells(nodes: int, operations: tuple[str, ...]) -> Iterator[Cell]:
    """Every canonical, connected cell once, small topologies first."""
    for topology in topologies(nodes, absent=ZERO in operations):
        for names in product(_live(operations), repeat=len(topology.pairs)):
            images = (tuple(names[place] for place in g) for g in topology.symmetries[1:])
            if all(names <= image for image in images):  # the least stands for its orbit
                yield topology.cell(names)


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
    """Burnside: the mean, over the symmetries, of how many choices of operations each leaves as they are."""
    fixed: int = sum(operations ** len(topology.cycles(g)) for g in topology.symmetries)
    return fixed // len(topology.symmetries)


@lru_cache(maxsize=64)
def _shares(nodes: int, absent: bool, operations: int) -> NDArray[np.float64]:
    counts = [_count(topology, operations) for topology in topologies(nodes, absent=absent)]
    return np.cumsum(np.array(counts, dtype=np.float64)) / sum(counts)


def _draw(shares: NDArray[np.float64], generator: np.random.Generator) -> int:
    """A position, by cumulated shares; the last is 1 but for rounding."""
    place = int(np.searchsorted(shares, generator.random(), side="right"))
    return min(place, len(shares) - 1)
