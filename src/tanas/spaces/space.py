"""A search space: which operations, cells and skeletons an architecture can have (section 3.2)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from tanas.errors import SettingError, UnknownNameError, check_range, nearest_names
from tanas.networks.architecture import Architecture, Cost, Shape
from tanas.networks.cell import Cell
from tanas.networks.operations import ZERO, operation_names
from tanas.networks.skeleton import Skeleton
from tanas.seeds import Seed
from tanas.spaces.cells import MAX_NODES, count_cells, draw_cell, enumerate_cells
from tanas.spaces.changes import cells_grown, cells_with_another_edge, nearest_skeletons
from tanas.spaces.costs import cost_by_parts
from tanas.spaces.prior import ArchitecturePrior

EXHAUSTIVE = 10_000
"""A space of at most so many architectures is listed to draw from it (0.3 s): nothing in it is missed."""
DRAWS_AT_LEAST = 20_000
"""Draws from a larger space before it counts as exhausted: 2 s. One allowed in a thousand is still found."""
DRAWS_EACH = 200
"""More draws for each architecture asked for."""


@dataclass(frozen=True, kw_only=True)
class SearchSpace:
    """Architectures: each canonical, connected cell in each skeleton, within limits.

    A cell is a DAG of up to `nodes` nodes with one of the `operations` on each edge. With zero among
    them, edges (and so inner nodes) may be absent; without it, every cell is the complete DAG.
    """

    name: str
    operations: tuple[str, ...]
    """Sorted, without repeats, zero included if edges may be absent."""
    nodes: int
    """Nodes of the complete DAG, input and output included: the paper's n."""
    skeletons: tuple[Skeleton, ...]
    """Sorted, without repeats."""
    max_parameters: int | None = None
    """Most weights and biases; None: no limit."""
    max_macs: int | None = None
    """Most multiply-adds for one image of the task; None: no limit."""
    prior: ArchitecturePrior | None = None
    """What is drawn more often, and what a mutation turns to; None: all alike. It leaves nothing out."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "operations", tuple(sorted(set(self.operations))))
        object.__setattr__(self, "skeletons", tuple(sorted(set(self.skeletons))))
        known = operation_names()
        for name in self.operations:
            if name not in known:
                raise UnknownNameError(
                    f"'{name}' in the 'operations' of SearchSpace '{self.name}' is no operation. "
                    f"{nearest_names(name, known)}"
                )
        if not set(self.operations) - {ZERO}:
            raise SettingError(
                f"The 'operations' of SearchSpace must hold at least one other than '{ZERO}'. "
                f"Got {self.operations} instead."
            )
        if not self.skeletons:
            raise SettingError("The 'skeletons' of SearchSpace must be at least one. Got none instead.")
        check_range(self.nodes, "nodes", "SearchSpace", low=2, high=MAX_NODES)
        for field in ("max_parameters", "max_macs"):
            if (limit := getattr(self, field)) is not None:
                check_range(limit, field, "SearchSpace", low=1)
        self._check_prior()

    @cached_property
    def cells(self) -> int:
        """How many cells differ: canonical and connected."""
        return count_cells(self.nodes, self.operations)

    @property
    def size(self) -> int:
        """How many architectures differ, before the limits."""
        return self.cells * len(self.skeletons)

    def contains(self, architecture: Architecture) -> bool:
        """Whether its canonical form is one of the space's, whatever it costs."""
        cell = architecture.cell.canonical()
        complete = cell.nodes == self.nodes and len(cell.edges) == self.nodes * (self.nodes - 1) // 2
        return (
            architecture.skeleton in self._skeletons
            and cell.connected
            and cell.nodes <= self.nodes
            and (complete or ZERO in self.operations)
            and all(name in self.operations for _, _, name in cell.edges)
        )

    def allows(self, architecture: Architecture, shape: Shape, classes: int) -> bool:
        """Whether it stays within the limits, whether or not the space contains it.

        Args:
            architecture: what to weigh.
            shape: (channels, height, width) of the task's images.
            classes: number of logits.
        """
        if self.max_parameters is None and self.max_macs is None:
            return True
        return self._excess(cost_by_parts(architecture.canonical(), shape, classes)) <= 1

    def sample(
        self,
        count: int,
        *,
        seed: Seed,
        shape: Shape,
        classes: int,
        without: Collection[Architecture] = (),
    ) -> tuple[Architecture, ...]:
        """Draws architectures that all differ: each as likely as any other that is allowed, or by the prior.

        The first of many are those that fewer would have been.

        Args:
            count: how many.
            seed: of the draws.
            shape: (channels, height, width) of the task's images.
            classes: number of logits.
            without: what must not be drawn.

        Returns:
            `count` of them in canonical form; fewer if no more are left. (In a space of more than
            `EXHAUSTIVE` whose limits are so tight that the draws find too few, the smallest
            architecture of each skeleton is taken before it counts as exhausted.)

        Raises:
            SettingError: the limits admit nothing; the message has the figures of the smallest architecture.
        """
        check_range(count, "count", "SearchSpace.sample", low=0)
        excluded = {architecture.canonical() for architecture in without}
        generator = seed.numpy()
        if self.size <= EXHAUSTIVE:
            allowed = [one for one in self._every() if self.allows(one, shape, classes)]
            if not allowed:
                raise self._refusal(shape, classes)
            left = [one for one in allowed if one not in excluded]
            return tuple(left[place] for place in self._order(left, generator)[:count])
        if not self.fitting_skeletons(shape, classes):
            raise self._refusal(shape, classes)
        found: dict[Architecture, None] = {}
        for _ in range(DRAWS_AT_LEAST + DRAWS_EACH * count):
            if len(found) == count:
                break
            drawn = self._draw(generator)
            if drawn is not None and drawn not in excluded and self.allows(drawn, shape, classes):
                found[drawn] = None
        if len(found) < count:
            small = [one for one in self._smallest(shape, classes) if self.allows(one, shape, classes)]
            found |= dict.fromkeys(one for one in small if one not in excluded)
        return tuple(found)[:count]

    def mutate(self, architecture: Architecture, *, seed: Seed, shape: Shape, classes: int) -> Architecture:
        """Another architecture of the space, within its limits, by one change.

        One of three, each as likely where it is possible: an edge gets another operation, appears or goes;
        an unused node joins by two edges (one edge alone would be dead); or one field of the skeleton changes
        to the nearest other that the space has. Under a prior, what the kind of change can lead to is as likely
        as the prior says. Where no single change stays inside, it is drawn afresh.

        Args:
            architecture: what to change; it need not be in the space.
            seed: of the choice.
            shape: (channels, height, width) of the task's images.
            classes: number of logits.

        Raises:
            SettingError: the space has no other architecture.
        """
        parent = architecture.canonical()
        generator = seed.numpy()
        for kind in generator.permutation(3):
            changed = [one for one in self._changed(parent, int(kind)) if self.contains(one)]
            for place in self._order(changed, generator):
                if self.allows(changed[place], shape, classes):
                    return changed[place]
        drawn = self.sample(1, seed=seed.child("afresh"), shape=shape, classes=classes, without=(parent,))
        if not drawn:
            raise SettingError(
                f"The search space '{self.name}' has no architecture within its limits other than "
                f"{parent.key}, so that can't be mutated. Widen the space or its limits."
            )
        return drawn[0]

    def union(self, other: SearchSpace) -> SearchSpace:
        """The least space that contains both: all operations, all skeletons, the looser limits.

        Zero joins if one has only complete DAGs of fewer nodes than the other. It has no prior.
        """
        operations = {*self.operations, *other.operations}
        if self.nodes != other.nodes:
            operations.add(ZERO)
        return SearchSpace(
            name=self.name if self.name == other.name else f"{self.name}+{other.name}",
            operations=tuple(operations),
            nodes=max(self.nodes, other.nodes),
            skeletons=self.skeletons + other.skeletons,
            max_parameters=_looser(self.max_parameters, other.max_parameters),
            max_macs=_looser(self.max_macs, other.max_macs),
        )

    def limited(self, max_parameters: int | None = None, max_macs: int | None = None) -> SearchSpace:
        """The same with other limits; None leaves a limit as it is."""
        return replace(
            self,
            max_parameters=self.max_parameters if max_parameters is None else max_parameters,
            max_macs=self.max_macs if max_macs is None else max_macs,
        )

    def fitting_skeletons(self, shape: Shape, classes: int) -> tuple[Skeleton, ...]:
        """The skeletons in which at least the smallest cell stays within the limits.

        Args:
            shape: (channels, height, width) of the task's images.
            classes: number of logits.
        """
        return tuple(
            one.skeleton for one in self._smallest(shape, classes) if self.allows(one, shape, classes)
        )

    def enumerate_cells(self) -> Iterator[Cell]:
        """Every canonical, connected cell once, small ones first. For small spaces: see `cells`."""
        return enumerate_cells(self.nodes, self.operations)

    @cached_property
    def _skeletons(self) -> frozenset[Skeleton]:
        return frozenset(self.skeletons)

    def _changed(self, parent: Architecture, kind: int) -> list[Architecture]:
        """All that one change makes of it. Kinds: 0 another edge, 1 another node, 2 another skeleton."""
        if kind == 2:
            nearest = nearest_skeletons(parent.skeleton, self.skeletons)
            return [replace(parent, skeleton=skeleton) for skeleton in nearest]
        cells = (
            cells_with_another_edge(parent.cell, self.operations)
            if kind == 0
            else cells_grown(parent.cell, self.nodes, self.operations)
        )
        return [replace(parent, cell=cell) for cell in cells]

    def _every(self) -> Iterator[Architecture]:
        return (
            Architecture(skeleton=skeleton, cell=cell)
            for cell in self.enumerate_cells()
            for skeleton in self.skeletons
        )

    def _draw(self, generator: np.random.Generator) -> Architecture | None:
        """One of the space; None: under a prior, a draw that has to be repeated."""
        if self.prior is None:
            skeleton = self.skeletons[generator.integers(len(self.skeletons))]
            return Architecture(skeleton=skeleton, cell=draw_cell(self.nodes, self.operations, generator))
        place = int(np.searchsorted(self._shares, generator.random(), side="right"))
        skeleton = self.skeletons[min(place, len(self.skeletons) - 1)]  # the last share is 1 but for rounding
        cell = self.prior.draw_cell(generator)
        return None if cell is None else Architecture(skeleton=skeleton, cell=cell)

    @cached_property
    def _shares(self) -> NDArray[np.float64]:
        """Cumulated shares of the skeletons under the prior."""
        assert self.prior is not None
        weights = np.exp([self.prior.log_skeleton(one) for one in self.skeletons])
        shares: NDArray[np.float64] = np.cumsum(weights) / weights.sum()  # (skeletons,)
        return shares

    def _order(self, architectures: Sequence[Architecture], generator: np.random.Generator) -> list[int]:
        """Positions in a random order, in which the likelier tend to come first.

        Sorting by logarithm plus Gumbel noise draws one after the other by the prior, without repeats.
        """
        if self.prior is None:
            return [int(place) for place in generator.permutation(len(architectures))]
        logs = np.array([self.prior.log_weight(one) for one in architectures])
        noisy = logs + generator.gumbel(size=len(architectures))  # (architectures,)
        return [int(place) for place in np.argsort(-noisy, kind="stable")]

    def _check_prior(self) -> None:
        prior = self.prior
        if prior is None:
            return
        same = (prior.nodes, prior.operations) == (self.nodes, self.operations)
        if not same or not set(self.skeletons) <= set(prior.skeletons):
            raise SettingError(
                "The 'prior' of SearchSpace must be learnt for its own nodes, operations and skeletons. "
                "Got that of another space instead. Learn it anew with `learn_prior`."
            )

    def _smallest(self, shape: Shape, classes: int) -> list[Architecture]:
        """The architecture of each skeleton that comes nearest to the limits, or stays below them most."""
        ends = [(a, b) for b in range(self.nodes) for a in range(b)]
        if ZERO in self.operations:
            ends = [(0, self.nodes - 1)]
        cells = [
            Cell(self.nodes, tuple((a, b, name) for a, b in ends)).canonical()
            for name in self.operations
            if name != ZERO
        ]
        return [
            min(
                (Architecture(skeleton=skeleton, cell=cell) for cell in cells),
                key=lambda one: self._excess(cost_by_parts(one, shape, classes)),
            )
            for skeleton in self.skeletons
        ]

    def _excess(self, cost: Cost) -> float:
        """The share of its limits that a cost takes; above 1 it breaks one."""
        return max(
            0.0 if self.max_parameters is None else cost.parameters / self.max_parameters,
            0.0 if self.max_macs is None else cost.macs / self.max_macs,
        )

    def _refusal(self, shape: Shape, classes: int) -> SettingError:
        costs = [cost_by_parts(one, shape, classes) for one in self._smallest(shape, classes)]
        least = min(costs, key=self._excess)
        limits = [
            f"'{field}' of {limit:,}"
            for field, limit in (("max_parameters", self.max_parameters), ("max_macs", self.max_macs))
            if limit is not None
        ]
        return SettingError(
            f"The {' and '.join(limits)} of the search space '{self.name}' admit nothing: for images of "
            f"{'x'.join(map(str, shape))} and {classes} classes its smallest architecture has "
            f"{least.parameters:,} parameters and {least.macs:,} multiply-adds. Raise the limits to that."
        )


def _looser(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else max(one, other)
