"""A soft prior over architectures: parts that did well on related tasks are drawn more often, none is left out."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np

from tanas.networks.architecture import Architecture
from tanas.networks.cell import Cell, pairs_of
from tanas.networks.operations import ZERO
from tanas.networks.skeleton import Skeleton
from tanas.spaces.cells import degrees, place_by

SMOOTHING = 1.0
"""Weight of the space itself. The best architecture of the nearest atom weighs 1, so three equally near atoms with
three scores each weigh 5.5. The space keeps 15 %: enough to find parts that the related tasks did not use."""

LEAST_SIMILARITY = 0.05
"""Similarity of an atom at distance 1: it was chosen as related, so it counts a twentieth of an atom at distance 0."""


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """An architecture that did well on a task, and how much that counts."""

    architecture: Architecture
    weight: float
    """Above 0: the weight of its task divided by its rank there."""


@dataclass(frozen=True, kw_only=True)
class ArchitecturePrior:
    """Probabilities of the parts of an architecture, all above 0.

    Cells: each edge of the complete DAG has its own probabilities, by its place in the canonical form (see `placed`).
    A cell's probability is proportional to the product over all edges; an absent edge counts as zero. With `inputs`,
    edges may be absent whatever the operations are. Skeletons: each has a share.
    """

    nodes: int
    """Of the complete DAG."""
    operations: tuple[str, ...]
    """Sorted; those of the space."""
    edges: tuple[tuple[float, ...], ...]
    """A row for each edge, in the order of `pairs_of`: probabilities of `names`, which sum to 1."""
    skeletons: tuple[Skeleton, ...]
    """Sorted; those of the space."""
    shares: tuple[float, ...]
    """Of each skeleton; they sum to 1."""
    inputs: int | None = None
    """Edges into a node; see `SearchSpace`."""

    @property
    def names(self) -> tuple[str, ...]:
        """The possible operations of an edge, sorted; with zero if edges may be absent."""
        return names_of(self.operations, self.inputs)

    def log_weight(self, architecture: Architecture) -> float:
        """The logarithm of a canonical architecture's probability, up to a constant."""
        return self.log_skeleton(architecture.skeleton) + self.log_cell(architecture.cell)

    def log_cell(self, cell: Cell) -> float:
        """The logarithm of a canonical cell's probability, up to a constant."""
        held, edges = placed(cell, self.nodes), zip(pairs_of(self.nodes), self._logs, strict=True)
        return sum(logs[held.get(pair, ZERO)] for pair, logs in edges)

    def log_skeleton(self, skeleton: Skeleton) -> float:
        """The logarithm of a skeleton's share."""
        return self._log_shares[skeleton]

    def draw_cell(self, generator: np.random.Generator) -> Cell | None:
        """A canonical cell drawn by its probability; None: the draw was not canonical and has to be repeated.

        Every edge is drawn on its own. Only canonical forms are taken, so a cell's probability does not depend on the
        number of its numberings.
        """
        names, held = self.names, {}
        for pair, row in zip(self._drawn_pairs(generator), self._cumulated, strict=True):
            if pair is not None:
                held[pair] = names[place_by(row, generator)]
        drawn = Cell(self.nodes, tuple((a, b, name) for (a, b), name in held.items()))
        if not drawn.connected:
            return None
        cell = drawn.canonical()
        alive = {pair: name for pair, name in held.items() if name != ZERO}
        return cell if placed(cell, self.nodes) == alive else None

    def probability(self, edge: tuple[int, int], operation: str) -> float:
        """The probability of an operation on an edge, (from, to) in the complete DAG."""
        return self.edges[pairs_of(self.nodes).index(edge)][self.names.index(operation)]

    def _drawn_pairs(self, generator: np.random.Generator) -> Sequence[tuple[int, int] | None]:
        """All edges; with `inputs`, None for those that are drawn to be absent."""
        every = pairs_of(self.nodes)
        if self.inputs is None:
            return every
        chosen = set[tuple[int, int]]()
        for end, (sets, cumulated) in enumerate(self._starts, start=1):
            chosen.update((start, end) for start in sets[place_by(cumulated, generator)])
        return [pair if pair in chosen else None for pair in every]

    @cached_property
    def _starts(self) -> tuple[tuple[tuple[tuple[int, ...], ...], np.ndarray], ...]:
        """For each node except the input, the sets of nodes that edges can come from, and their cumulated shares.

        A set's share is the product of its edges' probabilities, live or absent. An inner node can be unused, so it can
        have no edges.
        """
        zero = self.names.index(ZERO)
        absent = {pair: row[zero] for pair, row in zip(pairs_of(self.nodes), self.edges, strict=True)}
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
        return tuple(dict(zip(self.names, map(math.log, row), strict=True)) for row in self.edges)

    @cached_property
    def _cumulated(self) -> tuple[np.ndarray, ...]:
        """Cumulated shares of the names on each edge; with `inputs`, without zero."""
        if self.inputs is None:
            return tuple(np.cumsum(row) for row in self.edges)
        live = np.array([name != ZERO for name in self.names])
        return tuple(np.cumsum(live * row) / (live * row).sum() for row in np.array(self.edges))

    @cached_property
    def _log_shares(self) -> dict[Skeleton, float]:
        return {
            skeleton: math.log(share) for skeleton, share in zip(self.skeletons, self.shares, strict=True)
        }


def learn_prior(
    evidence: Sequence[Evidence],
    *,
    nodes: int,
    operations: tuple[str, ...],
    skeletons: tuple[Skeleton, ...],
    inputs: int | None = None,
) -> ArchitecturePrior:
    """The prior of a space (`nodes`, `operations`, `skeletons`, `inputs`) from architectures that did well.

    The probability of a value is (its weight in the evidence + `SMOOTHING` * its share in the space) / (weight of all +
    `SMOOTHING`). A skeleton's share is its share in the space times, for each part, how much likelier the evidence
    makes that part. Parts are the stem, the number of stages, and width, cells and reduction of each stage. Cells and
    parts that the space lacks are ignored.
    """
    operations, skeletons = tuple(sorted(operations)), tuple(sorted(skeletons))
    cells = [(known.architecture.cell.canonical(), known.weight) for known in evidence]
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
        shares = _smoothed(heard, uniform)
        edges.append(tuple(shares[name] for name in names))

    base = _frequencies((skeleton, 1.0) for skeleton in skeletons)
    given = _frequencies((known.architecture.skeleton, known.weight) for known in evidence)
    likelier = {}
    for part, counts in base.items():
        whole = sum(counts.values())
        shares_in_space = {value: count / whole for value, count in counts.items()}
        learnt = _smoothed(given.get(part, Counter()).items(), shares_in_space)
        likelier[part] = {value: learnt[value] / share for value, share in shares_in_space.items()}
    weights = [math.prod(likelier[part][value] for part, value in _parts(skeleton)) for skeleton in skeletons]
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
    """The possible operations of an edge, sorted; with `inputs`, zero is among them."""
    return operations if inputs is None else tuple(sorted({*operations, ZERO}))


def placed(cell: Cell, nodes: int) -> dict[tuple[int, int], str]:
    """The edges of a canonical cell in a larger DAG: its output becomes the last node, other nodes stay."""
    last = cell.nodes - 1
    return {(a, nodes - 1 if b == last else b): name for a, b, name in cell.edges}


def _smoothed(
    heard: Iterable[tuple[Hashable, float]], base: dict[str, float] | dict[Hashable, float]
) -> dict[Hashable, float]:
    """Probabilities of the values of `base`, which are shares in the space, by weights; other values are ignored."""
    weights: Counter[Hashable] = Counter()
    for value, weight in heard:
        if value in base:
            weights[value] += weight  # type: ignore[assignment]
    whole = sum(weights.values()) + SMOOTHING
    return {value: (weights[value] + SMOOTHING * share) / whole for value, share in base.items()}


def _parts(skeleton: Skeleton) -> list[tuple[str, Hashable]]:
    """(name, value) of each part of a skeleton."""
    parts: list[tuple[str, Hashable]] = [("stem", skeleton.stem), ("stages", len(skeleton.widths))]
    for stage, (width, cells, reduces) in enumerate(skeleton.stages):
        parts += [(f"width {stage}", width), (f"cells {stage}", cells), (f"reduction {stage}", reduces)]
    return parts


def _frequencies(skeletons: Iterable[tuple[Skeleton, float]]) -> dict[str, Counter[Hashable]]:
    """The weight of every value of every part."""
    found: dict[str, Counter[Hashable]] = {}
    for skeleton, weight in skeletons:
        for part, value in _parts(skeleton):
            found.setdefault(part, Counter())[value] += weight  # type: ignore[assignment]
    return found
