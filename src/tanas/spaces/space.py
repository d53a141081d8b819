"""A search space: which operations, cells and skeletons an architecture can have (section 3.2).

In all functions, `shape` is that of the task's images and `classes` the number of logits.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tanas.ground.errors import SettingError, check_range
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture, Cost, Shape
from tanas.networks.cell import Cell
from tanas.networks.operations import ZERO, check_operations
from tanas.networks.skeleton import Skeleton
from tanas.spaces.cells import (
    MAX_NODES,
    count_cells,
    draw_cell,
    enumerate_cells,
    holds_cell,
    listed_cells,
    place_by,
    topologies,
)
from tanas.spaces.changes import changed
from tanas.spaces.costs import cost_by_parts
from tanas.spaces.latency import Latency
from tanas.spaces.prior import ArchitecturePrior
from tanas.spaces.size_trend import POOL, TILT, SizeTrend

EXHAUSTIVE = 10_000
"""A space of at most this many architectures is listed to draw from it (0.3 s), so nothing in it is missed."""
DRAWS_AT_LEAST = 20_000
"""Draws from a larger space before it counts as exhausted (2 s): one allowed in a thousand is still found."""
DRAWS_EACH = 200
"""More draws for each architecture asked for."""
TOO_SLOW_AT_LEAST = 60
"""Architectures that may prove too slow in one draw before the space counts as exhausted: some 2 s of measuring. One
fast enough in twenty is still found (in 95 of 100 draws)."""
TOO_SLOW_EACH = 20
"""More of them for each architecture asked for."""
FASTEST = 6
"""Smallest architectures to time before a limit of latency is refused. The one with the fewest multiply-adds is not
always the fastest: pooling and sums take time and count as none."""


@dataclass(frozen=True, kw_only=True)
class SearchSpace:
    """Architectures: each canonical, connected cell in each skeleton, within limits.

    A cell is a DAG of up to `nodes` nodes with one of the `operations` on each edge. With zero among them, edges (and
    so inner nodes) may be absent; without it, every cell is the complete DAG.

    With `inputs`, at most that many edges end in a node. Without zero, it is exactly that many (or as many as there are
    nodes before it), as in the cells of DARTS; a node that leads nowhere is then left out.
    """

    name: str
    operations: tuple[str, ...]
    """Sorted, without repeats; with zero, edges may be absent."""
    nodes: int
    """Nodes of the complete DAG, input and output included: the paper's n."""
    inputs: int | None = None
    """Edges into a node; None: as many as there are nodes before it."""
    skeletons: tuple[Skeleton, ...]
    """Sorted, without repeats."""
    max_parameters: int | None = None
    """Most weights and biases; None: no limit."""
    max_macs: int | None = None
    """Most multiply-adds for one image of the task; None: no limit."""
    max_latency_ms: float | None = None
    """Most milliseconds that `latency` gives; None: no limit."""
    latency: Latency | None = field(default=None, compare=False, repr=False)
    """Says how long an architecture takes; needed for `max_latency_ms`."""
    prior: ArchitecturePrior | None = None
    """The probabilities of draws and mutations; None: all equal. It excludes nothing."""
    size_trend: SizeTrend | None = None
    """The sizes that draws and mutations favour besides; None: all equal. It excludes nothing."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "operations", tuple(sorted(set(self.operations))))
        object.__setattr__(self, "skeletons", tuple(sorted(set(self.skeletons))))
        check_operations(self.operations, f" in the 'operations' of SearchSpace '{self.name}'")
        if not set(self.operations) - {ZERO}:
            raise SettingError(
                f"The 'operations' of SearchSpace must hold at least one other than '{ZERO}'. "
                f"Got {self.operations} instead."
            )
        if not self.skeletons:
            raise SettingError("The 'skeletons' of SearchSpace must be at least one. Got none instead.")
        check_range(self.nodes, "nodes", "SearchSpace", low=2, high=MAX_NODES)
        for name in ("inputs", "max_parameters", "max_macs"):
            if (limit := getattr(self, name)) is not None:
                check_range(limit, name, "SearchSpace", low=1)
        if self.max_latency_ms is not None:
            check_range(self.max_latency_ms, "max_latency_ms", "SearchSpace", low=0, open_ends=True)
            if self.latency is None:
                raise SettingError(
                    "The 'latency' of SearchSpace must say how long an architecture takes if 'max_latency_ms' is set. "
                    "Got None instead. Give it a `tanas.spaces.latency.MeasuredLatency`."
                )
        if (prior := self.prior) is not None and (
            (prior.nodes, prior.operations, prior.inputs) != (self.nodes, self.operations, self.inputs)
            or not set(self.skeletons) <= set(prior.skeletons)
        ):
            raise SettingError(
                "The 'prior' of SearchSpace must be learnt for its own nodes, inputs, operations and skeletons. "
                "Got the prior of another space instead. Learn it anew with `learn_prior`."
            )

    @cached_property
    def cells(self) -> int:
        """The number of canonical, connected cells."""
        return count_cells(self.nodes, self.operations, inputs=self.inputs)

    @property
    def size(self) -> int:
        """The number of architectures, before the limits."""
        return self.cells * len(self.skeletons)

    def contains(self, architecture: Architecture) -> bool:
        """Whether the space has its canonical form, whatever it costs."""
        if architecture.skeleton not in self._skeletons:
            return False
        return holds_cell(architecture.cell.canonical(), self.nodes, self.operations, inputs=self.inputs)

    def allows(self, architecture: Architecture, shape: Shape, classes: int) -> bool:
        """Whether it is within the limits, in the space or not. It is timed last, and only if latency is limited."""
        return self._affords(architecture, shape, classes) and self._fast_enough(architecture, shape, classes)

    def sample(
        self,
        count: int,
        *,
        seed: Seed,
        shape: Shape,
        classes: int,
        without: Collection[Architecture] = (),
    ) -> tuple[Architecture, ...]:
        """Draw different architectures within the limits, none of `without`: uniformly, or by prior and size trend.

        A larger `count` begins with the same architectures.

        Returns:
            `count` architectures in canonical form, or fewer if the space is exhausted. Before that, the smallest
            architecture of each skeleton is tried if the draws found too few in a space above `EXHAUSTIVE`, or if too
            many of those drawn were slower than the limit of latency.

        Raises:
            SettingError: the limits admit nothing; the message has the figures of the smallest architecture.
        """
        check_range(count, "count", "SearchSpace.sample", low=0)
        excluded = {architecture.canonical() for architecture in without}
        generator = seed.numpy()
        self.check_limits(shape, classes)
        slow = TOO_SLOW_AT_LEAST + TOO_SLOW_EACH * count  # that many may still prove too slow
        found: dict[Architecture, None] = {}
        draws = DRAWS_AT_LEAST + DRAWS_EACH * count
        spaces = [self]
        if self.size_trend is not None and self.max_latency_ms is not None:
            # everything that the size trend favours may be too slow: half of the timings ignore the trend
            spaces.append(replace(self, size_trend=None))
        for number, space in enumerate(spaces, start=1):
            least = slow * (len(spaces) - number) // len(spaces)
            for drawn in space._affordable(excluded, generator, shape, classes, draws):
                if len(found) == count or slow <= least:
                    break
                if drawn in found:
                    continue
                if self._fast_enough(drawn, shape, classes):
                    found[drawn] = None
                else:
                    slow -= 1
        if len(found) < count and (slow == 0 or self.size > EXHAUSTIVE):
            small = [
                candidate
                for candidate in self._smallest(shape, classes)
                if candidate not in excluded and candidate not in found
            ]
            if self.max_latency_ms is not None:
                small = small[: TOO_SLOW_AT_LEAST + TOO_SLOW_EACH * count]
            allowed = (candidate for candidate in small if self.allows(candidate, shape, classes))
            found |= dict.fromkeys(islice(allowed, count - len(found)))
        return tuple(found)

    def over_limits(self, drawn: int, *, seed: Seed, shape: Shape, classes: int) -> tuple[int, int]:
        """(architectures beyond the limits of parameters or multiply-adds, architectures drawn to count them).

        They are drawn without limits, and without the size trend, which would lead far beyond the limits.
        """
        free = replace(self, max_parameters=None, max_macs=None, max_latency_ms=None, size_trend=None)
        sample = free.sample(drawn, seed=seed, shape=shape, classes=classes)
        return sum(not self._affords(candidate, shape, classes) for candidate in sample), len(sample)

    def check_limits(self, shape: Shape, classes: int) -> None:
        """Refuse limits that admit nothing; for latency, the `FASTEST` smallest architectures are timed.

        Raises:
            SettingError: the message has the figures of the smallest architecture.
        """
        if self.max_parameters is None and self.max_macs is None and self.max_latency_ms is None:
            return
        images = f"images of {'x'.join(map(str, shape))} and {classes} classes"
        small = self._smallest(shape, classes)
        affordable = [candidate for candidate in small if self._affords(candidate, shape, classes)]
        if not affordable and not (
            self.size <= EXHAUSTIVE
            and any(self._affords(candidate, shape, classes) for candidate in self._every())
        ):
            least = min((cost_by_parts(candidate, shape, classes) for candidate in small), key=self.excess)
            limits = {"max_parameters": self.max_parameters, "max_macs": self.max_macs}
            named = [f"'{name}' of {limit:,}" for name, limit in limits.items() if limit is not None]
            raise SettingError(
                f"The {' and '.join(named)} of the search space '{self.name}' admit no architecture: for {images} its "
                f"smallest architecture has {least.parameters:,} parameters and {least.macs:,} multiply-adds. "
                "Raise the limits to that."
            )
        if self.latency is None or self.max_latency_ms is None:
            return
        taken_ms = []
        for candidate in (affordable or small)[:FASTEST]:
            taken_ms.append(self.latency(candidate, shape, classes))
            if taken_ms[-1] <= self.max_latency_ms:
                return
        raise SettingError(
            f"The 'max_latency_ms' of {self.max_latency_ms:g} of the search space '{self.name}' admits no "
            f"architecture: for {images} the fastest of its smallest architectures takes {min(taken_ms):.3g} ms per "
            "image on this machine. Raise the limit to more than that."
        )

    def mutate(self, architecture: Architecture, *, seed: Seed, shape: Shape, classes: int) -> Architecture:
        """Another architecture of the space, within its limits, by one change; a fresh draw if no change stays inside.

        Three kinds of change are equally likely if possible (see `changed`): of an edge, of a node, or of one field of
        the skeleton. Prior and size trend weigh the results of a kind. The architecture need not be in the space.

        Raises:
            SettingError: the space has no other architecture, or none was found that is fast enough.
        """
        parent = architecture.canonical()
        generator = seed.numpy()
        for kind in generator.permutation(3):
            parts = self.skeletons, self.nodes, self.operations
            made = changed(parent, int(kind), *parts, inputs=self.inputs)
            inside = [candidate for candidate in made if self.contains(candidate)]
            ordered = self._order(inside, generator, self._change_logs(inside, shape, classes))
            within = (candidate for candidate in ordered if self._affords(candidate, shape, classes))
            timed = within if self.max_latency_ms is None else islice(within, TOO_SLOW_EACH)
            for candidate in timed:
                if self._fast_enough(candidate, shape, classes):
                    return candidate
        drawn = self.sample(1, seed=seed.child("afresh"), shape=shape, classes=classes, without=(parent,))
        if not drawn:
            raise SettingError(
                f"The search space '{self.name}' has no architecture within its limits other than "
                f"{parent.key}, so it can't be mutated. Widen the space or its limits."
            )
        return drawn[0]

    def limited(
        self,
        max_parameters: int | None = None,
        max_macs: int | None = None,
        max_latency_ms: float | None = None,
        latency: Latency | None = None,
    ) -> SearchSpace:
        """Return the space with other limits; None leaves a limit as it is."""
        changes: dict[str, Any] = {
            "max_parameters": max_parameters,
            "max_macs": max_macs,
            "max_latency_ms": max_latency_ms,
            "latency": latency,
        }
        return replace(self, **{name: value for name, value in changes.items() if value is not None})

    def fitting_skeletons(self, shape: Shape, classes: int) -> tuple[Skeleton, ...]:
        """The sorted skeletons whose smallest architecture is within the limits (timed if latency is limited)."""
        return tuple(
            sorted(
                candidate.skeleton
                for candidate in self._smallest(shape, classes)
                if self.allows(candidate, shape, classes)
            )
        )

    def excess(self, cost: Cost) -> float:
        """The share of the limits of parameters and multiply-adds that a cost takes; above 1 it exceeds a limit."""
        return max(
            0.0 if self.max_parameters is None else cost.parameters / self.max_parameters,
            0.0 if self.max_macs is None else cost.macs / self.max_macs,
        )

    def enumerate_cells(self) -> Iterator[Cell]:
        """Every canonical, connected cell once, small ones first. For small spaces."""
        return enumerate_cells(self.nodes, self.operations, inputs=self.inputs)

    def _affords(self, architecture: Architecture, shape: Shape, classes: int) -> bool:
        """Whether it is within the limits of parameters and multiply-adds."""
        if self.max_parameters is None and self.max_macs is None:
            return True
        return self.excess(cost_by_parts(architecture.canonical(), shape, classes)) <= 1

    def _fast_enough(self, architecture: Architecture, shape: Shape, classes: int) -> bool:
        """Whether it is within the limit of latency; it is timed only if there is one."""
        if self.max_latency_ms is None or self.latency is None:
            return True
        return self.latency(architecture, shape, classes) <= self.max_latency_ms

    def _affordable(
        self,
        excluded: Collection[Architecture],
        generator: np.random.Generator,
        shape: Shape,
        classes: int,
        draws: int,
    ) -> Iterator[Architecture]:
        """Affordable architectures, in a random order: each once, or (in a large space) drawn."""
        drawn: Iterator[Architecture]
        if self.size <= EXHAUSTIVE:
            left = [
                candidate
                for candidate in self._every()
                if candidate not in excluded and self._affords(candidate, shape, classes)
            ]
            drawn = iter(self._order(left, generator, self._prior_logs(left)))
        else:
            each = (self._draw(generator) for _ in range(draws))
            new = (candidate for candidate in each if candidate is not None and candidate not in excluded)
            drawn = (candidate for candidate in new if self._affords(candidate, shape, classes))
        yield from drawn if self.size_trend is None else self._by_size_trend(drawn, generator, shape, classes)
        if self.size > EXHAUSTIVE and (self.prior is not None or self.size_trend is not None):
            # everything that they prefer is used up or beyond the limits: the rest is equally likely
            even = replace(self, prior=None, size_trend=None)
            yield from even._affordable(excluded, generator, shape, classes, draws)

    def _by_size_trend(
        self, drawn: Iterator[Architecture], generator: np.random.Generator, shape: Shape, classes: int
    ) -> Iterator[Architecture]:
        """One of each `POOL` drawn architectures, chosen by the size trend; at the end the others."""
        passed: list[Architecture] = []
        while pool := list(islice(drawn, POOL)):
            first, *others = self._order(pool, generator, self._promises(pool, shape, classes))
            yield first
            passed += others
        yield from passed

    @cached_property
    def _skeletons(self) -> frozenset[Skeleton]:
        return frozenset(self.skeletons)

    def _every(self) -> Iterator[Architecture]:
        """All architectures of a space of at most `EXHAUSTIVE`."""
        return (
            Architecture(skeleton=skeleton, cell=cell)
            for cell in listed_cells(self.nodes, self.operations, inputs=self.inputs)
            for skeleton in self.skeletons
        )

    def _draw(self, generator: np.random.Generator) -> Architecture | None:
        """An architecture of the space; None: a draw by the prior that has to be repeated."""
        if self.prior is None:
            skeleton = self.skeletons[generator.integers(len(self.skeletons))]
            drawn = draw_cell(self.nodes, self.operations, generator, inputs=self.inputs)
            return Architecture(skeleton=skeleton, cell=drawn)
        skeleton = self.skeletons[place_by(self._shares, generator)]
        cell = self.prior.draw_cell(generator)
        return None if cell is None else Architecture(skeleton=skeleton, cell=cell)

    @cached_property
    def _shares(self) -> NDArray[np.float64]:
        """Cumulated shares of the skeletons under the prior."""
        assert self.prior is not None
        weights = np.exp([self.prior.log_skeleton(skeleton) for skeleton in self.skeletons])
        return np.asarray(np.cumsum(weights) / weights.sum())  # (skeletons,)

    def _change_logs(
        self, architectures: Sequence[Architecture], shape: Shape, classes: int
    ) -> NDArray[np.float64] | None:
        """Logarithms of the weights of mutations by prior and size trend, (architectures,); None: all equal.

        With a limit of latency the size trend is left out: architectures are timed in this order, and those that the
        trend favours are the slowest.
        """
        logs = self._prior_logs(architectures)
        if self.size_trend is None or self.max_latency_ms is not None:
            return logs
        promises = self._promises(architectures, shape, classes)
        return promises if logs is None else logs + promises

    def _prior_logs(self, architectures: Sequence[Architecture]) -> NDArray[np.float64] | None:
        """Logarithms of the weights by the prior, (architectures,), up to a constant; None: all equal."""
        if self.prior is None:
            return None
        return np.array([self.prior.log_weight(candidate) for candidate in architectures])

    def _promises(
        self, architectures: Sequence[Architecture], shape: Shape, classes: int
    ) -> NDArray[np.float64]:
        """Logarithms of the weights by the size trend, (architectures,), up to a constant."""
        assert self.size_trend is not None
        return TILT * np.array([self.size_trend.of(candidate, shape, classes) for candidate in architectures])

    @staticmethod
    def _order(
        architectures: Sequence[Architecture],
        generator: np.random.Generator,
        logs: NDArray[np.float64] | None,
    ) -> list[Architecture]:
        """A random order by weight: sorting by logarithm plus Gumbel noise draws without repeats."""
        if logs is None:
            return [architectures[place] for place in generator.permutation(len(architectures))]
        noisy = logs + generator.gumbel(size=len(architectures))  # (architectures,)
        return [architectures[place] for place in np.argsort(-noisy, kind="stable")]

    def _smallest(self, shape: Shape, classes: int) -> list[Architecture]:
        """The architecture of each skeleton that takes the least share of the limits, fewest multiply-adds first."""
        pairs: Sequence[tuple[int, int]] = [(0, self.nodes - 1)]
        if ZERO not in self.operations:  # no edge may be absent
            pairs = topologies(self.nodes, absent=False, inputs=self.inputs)[0].pairs
        live = [name for name in self.operations if name != ZERO]
        nodes = 1 + max(end for _, end in pairs)
        cells = [Cell(nodes, tuple((a, b, name) for a, b in pairs)).canonical() for name in live]
        smallest = []
        for skeleton in self.skeletons:
            made = [Architecture(skeleton=skeleton, cell=cell) for cell in cells]
            costs = {candidate: cost_by_parts(candidate, shape, classes) for candidate in made}
            least = min(made, key=lambda candidate: (self.excess(costs[candidate]), costs[candidate].macs))
            smallest.append((costs[least].macs, least))
        return [architecture for _, architecture in sorted(smallest)]
