"""A cell: a directed acyclic graph whose edges are operations (section 3.2), and its canonical form."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations

from torch import Tensor, nn

from tanas.ground.errors import SettingError, check_range
from tanas.networks.operations import ZERO, SamePool, make_operation

Edge = tuple[int, int, str]
"""(from, to, operation), from < to."""


@dataclass(frozen=True, order=True)
class Cell:
    """Operations on the edges of a DAG over nodes 0 (the input) to nodes - 1 (the output).

    A node is the sum of its incoming edges. Edges that are not listed pass nothing.
    """

    nodes: int
    """Number of nodes, at least 2."""
    edges: tuple[Edge, ...]
    """Sorted; at most one between two nodes."""

    def __post_init__(self) -> None:
        check_range(self.nodes, "nodes", "Cell", low=2)
        pairs = [(start, end) for start, end, _ in self.edges]
        if len(set(pairs)) < len(pairs) or any(not 0 <= a < b < self.nodes for a, b in pairs):
            raise SettingError(
                f"The 'edges' of Cell must go from a lower to a higher of its {self.nodes} nodes, "
                f"at most one between two. Got {pairs} instead."
            )
        object.__setattr__(self, "edges", tuple(sorted(tuple(edge) for edge in self.edges)))

    @classmethod
    def complete(cls, nodes: int, operations: tuple[str, ...]) -> Cell:
        """The complete DAG with an operation on each edge, in the order of `pairs_of`."""
        return cls(
            nodes, tuple((a, b, name) for (a, b), name in zip(pairs_of(nodes), operations, strict=True))
        )

    @property
    def most_inputs(self) -> int:
        """Most edges into a node."""
        ends = [end for _, end, _ in self.edges]
        return max(map(ends.count, ends), default=0)

    @property
    def connected(self) -> bool:
        """Whether anything of the input reaches the output."""
        return bool(self._alive())

    def canonical(self) -> Cell:
        """The cell that stands for all cells of the same graph: two are isomorphic if their canonical forms are equal.

        Edges that are zero, or on no path from input to output, go; so do inner nodes left unused. The other nodes are
        numbered so that the sorted edges are least. A cell that connects nothing becomes `Cell(2, ())`.
        """
        alive = self._alive()
        if not alive:
            return Cell(2, ())
        used = sorted({node for a, b, _ in alive for node in (a, b)})
        inner = used[1:-1]
        forms = []
        for order in permutations(range(1, len(inner) + 1)):
            place = dict(zip(inner, order, strict=True)) | {used[0]: 0, used[-1]: len(used) - 1}
            if all(place[a] < place[b] for a, b, _ in alive):
                forms.append(tuple(sorted((place[a], place[b], name) for a, b, name in alive)))
        return Cell(len(used), min(forms))

    def _alive(self) -> list[Edge]:
        edges = [edge for edge in self.edges if edge[2] != ZERO]
        reached, useful = {0}, {self.nodes - 1}
        for a, b, _ in sorted(edges):
            if a in reached:
                reached.add(b)
        for a, b, _ in sorted(edges, key=lambda edge: -edge[1]):
            if b in useful:
                useful.add(a)
        return [(a, b, name) for a, b, name in edges if a in reached and b in useful]


def pairs_of(nodes: int) -> tuple[tuple[int, int], ...]:
    """The edges of the complete DAG, (from, to): (0, 1), (0, 2), (1, 2), (0, 3) and so on."""
    return tuple((start, end) for end in range(nodes) for start in range(end))


class CellNetwork(nn.Module):
    """The module of a cell: (batch, channels, h, w) -> the same shape."""

    def __init__(self, cell: Cell, channels: int) -> None:
        super().__init__()
        self.nodes = cell.nodes
        self.ends = [(a, b) for a, b, _ in cell.edges]
        self.names = [name for _, _, name in cell.edges]
        self.operations = nn.ModuleList(make_operation(name, channels) for name in self.names)

    def forward(self, images: Tensor) -> Tensor:
        values: list[Tensor | None] = [images] + [None] * (self.nodes - 1)
        shared: dict[tuple[int, str], Tensor] = {}  # what edges from one node have in common is computed once
        for (start, end), name, operation in zip(self.ends, self.names, self.operations, strict=True):
            value = values[start]
            if value is None:
                continue  # nothing reaches this edge
            if isinstance(operation, nn.Sequential) and isinstance(operation[0], nn.ReLU):
                passed = _once(shared, (start, "relu"), operation[0], value)
                for layer in operation[1:]:
                    passed = layer(passed)
            elif isinstance(operation, SamePool):
                passed = _once(shared, (start, name), operation, value)
            else:
                passed = operation(value)
            so_far = values[end]
            values[end] = passed if so_far is None else so_far + passed
        output = values[-1]
        return images * 0.0 if output is None else output


def _once(
    done: dict[tuple[int, str], Tensor], key: tuple[int, str], operation: nn.Module, value: Tensor
) -> Tensor:
    """What an operation without weights gives, computed for the first edge that needs it."""
    if key not in done:
        done[key] = operation(value)
    return done[key]
