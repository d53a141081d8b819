"""A soft prior over architectures: what did well on related tasks is drawn more often, and nothing is left out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np

from tanas.ground.errors import SettingError, check_range
from tanas.networks.architecture import Architecture
from tanas.networks.cell import Cell
from tanas.networks.operations import ZERO
from tanas.networks.skeleton import Skeleton
from tanas.spaces.cells import degrees

SMOOTHING = 1.0
"""Weight of the base space beside what was learnt. The best architecture of the nearest atom weighs 1, so three atoms
that are all as near, with three scores each, weigh 5.5 in all and leave the base a share of 15 %: enough to find what
the related tasks had no use for, little enough to be led by them."""

LEAST_SIMILARITY = 0.05
"""Of an atom at distance 1. It was chosen as related, so it counts for something beside nearer ones: twenty such atoms
as much as one at distance 0."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """An architecture that did well somewhere, and how much that counts here."""

    architecture: Architecture
    weight: float
    """Above 0; similarity of its task times what its rank is worth."""


@dataclass(frozen=True, kw_only=True)
class ArchitecturePrior:
    """Probabilities of the parts of an architecture, none of them zero.

    Cells: each edge of the complete DAG has probabilities of its own, by its position in the canonical form,
    in which a cell of fewer nodes keeps its first nodes and its output is the last one. A cell's probability is
    in proportion to the product over all edges; an absent edge counts as zero. Skeletons: each has a share.

    With `inputs`, edges are absent whatever the operations are, so each has a probability of zero too.
    """

    nodes: int
    """Of the complete DAG."""
    operations: tuple[str, ...]
    """Sorted; those of the space."""
    edges: tuple[tuple[float, ...], ...]
    """Of each of `names`, for the edges (0,1), (0,2), (1,2), (0,3) and so on; each row sums to 1."""
    skeletons: tuple[Skeleton, ...]
    """Sorted; those of the space."""
    shares: tuple[float, ...]
    """Of each skeleton; they sum to 1."""
    inputs: int | None = None
    """Edges into a node, those of the space; None: as many as there are nodes before it."""

    @property
    def names(self) -> tuple[str, ...]:
        """What an edge can be: the operations, sorted, zero among them if edges are absent."""
        return names_of(self.operations, self.inputs)

    def __post_init__(self) -> None:
        rows = (*self.edges, self.shares)
        if len(self.edges) != len(pairs_of(self.nodes)) or len(self.shares) != len(self.skeletons):
            raise SettingError(
                f"The 'edges' and 'shares' of ArchitecturePrior must be one row for each edge of {self.nodes} nodes "
                f"and one share a skeleton. Got {len(self.edges)} rows and {len(self.shares)} shares instead."
            )
        if any(min(row) <= 0 or not math.isclose(sum(row), 1, rel_tol=1e-6) for row in rows):
            raise SettingError(
                "The 'edges' and 'shares' of ArchitecturePrior must be above 0 and sum to 1. "
                "Got others instead: smooth them."
            )

    def log_weight(self, architecture: Architecture) -> float:
        """The logarithm of its probability, but for a constant.

        Args:
            architecture: in canonical form, of the space that the prior was learnt for.
        """
        return self.log_skeleton(architecture.skeleton) + self.log_cell(architecture.cell)

    def log_cell(self, cell: Cell) -> float:
        """The sum over all edges of the logarithms of their operations' probabilities; of a canonical cell."""
        held = placed(cell, self.nodes)
        return sum(
            logs[held.get(pair, ZERO)] for pair, logs in zip(pairs_of(self.nodes), self._logs, strict=True)
        )

    def log_skeleton(self, skeleton: Skeleton) -> float:
        """The logarithm of a skeleton's share."""
        return self._log_shares[skeleton]

    def draw_cell(self, generator: np.random.Generator) -> Cell | None:
        """A canonical cell drawn by its probability; None: the draw was no canonical one and has to be repeated.

        Every edge is drawn on its own. Of the many that are the same cell only the canonical one is taken, so a
        cell's probability does not depend on how many ways there are to number it.
        """
        names, held = self.names, {}
        for pair, row in zip(self._drawn_pairs(generator), self._cumulated, strict=True):
            if pair is not None:
                held[pair] = names[_position(row, generator)]
        drawn = Cell(self.nodes, tuple((a, b, name) for (a, b), name in held.items()))
        if not drawn.connected:
            return None
        cell = drawn.canonical()
        alive = {pair: name for pair, name in held.items() if name != ZERO}
        return cell if placed(cell, self.nodes) == alive else None

    def probability(self, edge: tuple[int, int], operation: str) -> float:
        """Of an operation on an edge, (from, to) in the complete DAG."""
        return self.edges[pairs_of(self.nodes).index(edge)][self.names.index(operation)]

    def _drawn_pairs(self, generator: np.random.Generator) -> Sequence[tuple[int, int] | None]:
        """The edges that get an operation, None for the others: all, or with `inputs` as many a node as end there."""
        every = pairs_of(self.nodes)
        if self.inputs is None:
            return every
        chosen = set[tuple[int, int]]()
        for end, (sets, cumulated) in enumerate(self._starts, start=1):
            chosen.update((start, end) for start in sets[_position(cumulated, generator)])
        return [pair if pair in chosen else None for pair in every]

    @cached_property
    def _starts(self) -> tuple[tuple[tuple[tuple[int, ...], ...], np.ndarray], ...]:
        """For each node but the input, the sets of nodes that edges can come from, and their cumulated shares.

        A set's share is the product of what the edges are likely to be, live or absent. Where a space has no absent
        edges an inner node can still be unused, so it can have none.
        """
        absent = dict(
            zip(pairs_of(self.nodes), (row[self.names.index(ZERO)] for row in self.edges), strict=True)
        )
        found = []
        for end in range(1, self.nodes):
            sizes = set(degrees(end, absent=ZERO in self.operations, inputs=self.inputs))
            if end < self.nodes - 1:
                sizes.add(0)
            sets = tuple(starts for size in sorted(sizes) for starts in combinations(range(end), size))
            weights = [
                math.prod(1 - absent[at, end] if at in starts else absent[at, end] for at in range(end))
                for starts in sets
            ]
            found.append((sets, np.cumsum(weights) / sum(weights)))
        return tuple(found)

    @cached_property
    def _logs(self) -> tuple[dict[str, float], ...]:
        return tuple(
            {name: math.log(share) for name, share in zip(self.names, row, strict=True)} for row in self.edges
        )

    @cached_property
    def _cumulated(self) -> tuple[np.ndarray, ...]:
        """Cumulated shares of the names on each edge; with `inputs`, of those of an edge that is there."""
        if self.inputs is None:
            return tuple(np.cumsum(row) for row in self.edges)
        live = np.array([name != ZERO for name in self.names])
        return tuple(np.cumsum(live * row) / (live * row).sum() for row in np.array(self.edges))

    @cached_property
    def _log_shares(self) -> dict[Skeleton, float]:
        return {one: math.log(share) for one, share in zip(self.skeletons, self.shares, strict=True)}


def learn_prior(
    evidence: Sequence[Evidence],
    *,
    nodes: int,
    operations: tuple[str, ...],
    skeletons: tuple[Skeleton, ...],
    smoothing: float = SMOOTHING,
    inputs: int | None = None,
) -> ArchitecturePrior:
    """Learns which operations, widths, depths, reductions and stems did well, as far as a space has them.

    The probability of a value is (its weight in the evidence + smoothing * its share in the space) / (weight of
    all + smoothing). Without evidence every skeleton is as likely as any other, and so is every operation. A
    skeleton's share is its share in the space times, for each of its parts, how much likelier the evidence makes
    that part: its stem, its number of stages, and width, cells and reduction of each stage.

    Args:
        evidence: what did well; cells with more nodes or other operations than the space has are passed over,
            as are parts of skeletons that it does not have.
        nodes: of the complete DAG.
        operations: of the space.
        skeletons: of the space.
        smoothing: weight of the space itself, above 0.
        inputs: edges into a node, of the space.
    """
    check_range(smoothing, "smoothing", "learn_prior", low=0, open_ends=True)
    operations, skeletons = tuple(sorted(operations)), tuple(sorted(skeletons))
    cells = [(one.architecture.cell.canonical(), one.weight) for one in evidence]
    usable = [
        (placed(cell, nodes), weight)
        for cell, weight in cells
        if cell.nodes <= nodes and all(name in operations for _, _, name in cell.edges)
    ]
    names = names_of(operations, inputs)
    uniform = dict.fromkeys(names, 1 / len(names))
    edges = []
    for pair in pairs_of(nodes):
        heard = [(held.get(pair, ZERO), weight) for held, weight in usable]
        shares = _smoothed(heard, uniform, smoothing)
        edges.append(tuple(shares[name] for name in names))

    base = _frequencies((one, 1.0) for one in skeletons)
    given = _frequencies((one.architecture.skeleton, one.weight) for one in evidence)
    likelier = {}
    for part, counts in base.items():
        whole = sum(counts.values())
        shares_in_space = {value: count / whole for value, count in counts.items()}
        learnt = _smoothed(given.get(part, Counter()).items(), shares_in_space, smoothing)
        likelier[part] = {value: learnt[value] / share for value, share in shares_in_space.items()}
    weights = [math.prod(likelier[part][value] for part, value in _parts(one)) for one in skeletons]
    total = math.fsum(weights)
    return ArchitecturePrior(
        nodes=nodes,
        operations=operations,
        edges=tuple(edges),
        skeletons=skeletons,
        shares=tuple(weight / total for weight in weights),
        inputs=inputs,
    )


def names_of(operations: tuple[str, ...], inputs: int | None) -> tuple[str, ...]:
    """What an edge can be, sorted: the operations, and zero where edges are absent since a node has only `inputs`."""
    return operations if inputs is None else tuple(sorted({*operations, ZERO}))


def pairs_of(nodes: int) -> tuple[tuple[int, int], ...]:
    """The edges of the complete DAG, (from, to), in the order of `Cell.complete`."""
    return tuple((start, end) for end in range(nodes) for start in range(end))


def placed(cell: Cell, nodes: int) -> dict[tuple[int, int], str]:
    """Where the edges of a canonical cell lie in a larger DAG: its output becomes the last node."""
    last = cell.nodes - 1
    return {(a, nodes - 1 if b == last else b): name for a, b, name in cell.edges}


def _position(cumulated: np.ndarray, generator: np.random.Generator) -> int:
    """A position, by cumulated shares; the last is 1 but for rounding."""
    return min(int(np.searchsorted(cumulated, generator.random(), "right")), len(cumulated) - 1)


def _smoothed(
    heard: Iterable[tuple[Hashable, float]], base: dict[str, float] | dict[Hashable, float], smoothing: float
) -> dict[Hashable, float]:
    """Probabilities of the values of the base; others that were heard of are passed over."""
    weights: Counter[Hashable] = Counter()
    for value, weight in heard:
        if value in base:
            weights[value] += weight  # type: ignore[assignment]
    whole = sum(weights.values()) + smoothing
    return {value: (weights[value] + smoothing * share) / whole for value, share in base.items()}


def _parts(skeleton: Skeleton) -> list[tuple[str, Hashable]]:
    """What a skeleton is made of: (name of the part, its value)."""
    parts: list[tuple[str, Hashable]] = [("stem", skeleton.stem), ("stages", len(skeleton.widths))]
    for stage, (width, cells, reduces) in enumerate(
        zip(skeleton.widths, skeleton.cells, skeleton.reductions, strict=True)
    ):
        parts += [(f"width {stage}", width), (f"cells {stage}", cells), (f"reduction {stage}", reduces)]
    return parts


def _frequencies(skeletons: Iterable[tuple[Skeleton, float]]) -> dict[str, Counter[Hashable]]:
    """Weight of every value of every part; parts of a stage only over the skeletons that have it."""
    found: dict[str, Counter[Hashable]] = {}
    for skeleton, weight in skeletons:
        for part, value in _parts(skeleton):
            found.setdefault(part, Counter())[value] += weight  # type: ignore[assignment]
    return found
