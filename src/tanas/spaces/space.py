"""A search space: which operations, cells and skeletons an architecture can have (section 3.2)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from tanas.ground.errors import SettingError, UnknownNameError, check_range, nearest_names
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture, Cost, Shape
from tanas.networks.cell import Cell
from tanas.networks.operations import ZERO, operation_names
from tanas.networks.skeleton import Skeleton
from tanas.spaces.cells import (
    MAX_NODES,
    count_cells,
    draw_cell,
    enumerate_cells,
    holds_cell,
    listed_cells,
)
from tanas.spaces.changes import changed
from tanas.spaces.costs import cost_by_parts
from tanas.spaces.latency import Latency
from tanas.spaces.limits import looser, smallest_architectures, smallest_cells, too_large, too_slow
from tanas.spaces.prior import ArchitecturePrior
from tanas.spaces.size_trend import POOL, TILT, SizeTrend

EXHAUSTIVE = 10_000
"""A space of at most so many architectures is listed to draw from it (0.3 s): nothing in it is missed."""
DRAWS_AT_LEAST = 20_000
"""Draws from a larger space before it counts as exhausted: 2 s. One allowed in a thousand is still found."""
DRAWS_EACH = 200
"""More draws for each architecture asked for."""
TOO_SLOW_AT_LEAST = 60
"""Architectures that may turn out too slow in one draw before it counts as exhausted: some 2 s of measuring. One
fast enough in twenty is still found (in 95 of 100 draws)."""
TOO_SLOW_EACH = 20
"""More of them for each architecture asked for."""
FASTEST = 6
"""Smallest architectures that are timed to know whether a limit of latency admits any: the one with the fewest
multiply-adds is not always the fastest, since pooling and sums take time and count as none."""


@dataclass(frozen=True, kw_only=True)
class SearchSpace:
    """Architectures: each canonical, connected cell in each skeleton, within limits.

    A cell is a DAG of up to `nodes` nodes with one of the `operations` on each edge. With zero among
    them, edges (and so inner nodes) may be absent; without it, every cell is the complete DAG.

    With `inputs`, at most so many edges end in a node; without zero among the operations exactly so many (all that
    can, where a node has fewer before it), as in the cells of DARTS. A node that leads nowhere is then left out.
    """

    name: str
    operations: tuple[str, ...]
    """Sorted, without repeats, zero included if edges may be absent."""
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
    """Says how long an architecture takes; needed for `max_latency_ms`. The space is as pure as it is."""
    prior: ArchitecturePrior | None = None
    """What is drawn more often, and what a mutation turns to; None: all alike. It leaves nothing out."""
    size_trend: SizeTrend | None = None
    """Which sizes are drawn more often still, and what a mutation turns to; None: all alike. It leaves nothing out."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "operations", tuple(sorted(set(self.operations))))
        object.__setattr__(self, "skeletons", tuple(sorted(set(self.skeletons))))
        known = operation_names()
        for name in self.operations:
            if name not in known:
                raise UnknownNameError(
                    f"Unknown operation '{name}' in the 'operations' of SearchSpace '{self.name}'. "
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
        for name in ("inputs", "max_parameters", "max_macs"):
            if (limit := getattr(self, name)) is not None:
                check_range(limit, name, "SearchSpace", low=1)
        if self.max_latency_ms is not None:
            check_range(self.max_latency_ms, "max_latency_ms", "SearchSpace", low=0, open_ends=True)
            if self.latency is None:
                raise SettingError(
                    "The 'latency' of SearchSpace must say how long an architecture takes where 'max_latency_ms' is "
                    "set. Got None instead. Give it a `tanas.spaces.latency.MeasuredLatency`."
                )
        self._check_prior()

    @cached_property
    def cells(self) -> int:
        """How many cells differ: canonical and connected."""
        return count_cells(self.nodes, self.operations, inputs=self.inputs)

    @property
    def size(self) -> int:
        """How many architectures differ, before the limits."""
        return self.cells * len(self.skeletons)

    def contains(self, architecture: Architecture) -> bool:
        """Whether its canonical form is one of the space's, whatever it costs."""
        cell = architecture.cell.canonical()
        return architecture.skeleton in self._skeletons and holds_cell(
            cell, self.nodes, self.operations, inputs=self.inputs
        )

    def allows(self, architecture: Architecture, shape: Shape, classes: int) -> bool:
        """Whether it stays within the limits, whether or not the space contains it.

        Args:
            architecture: what to weigh; it is timed last, and only if there is a limit of latency.
            shape: (channels, height, width) of the task's images.
            classes: number of logits.
        """
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
        """Draws architectures that all differ: each as likely as any other that is allowed, or by prior and size_trend.

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
            architecture of each skeleton is taken before it counts as exhausted. So it is in any space
            if `TOO_SLOW_AT_LEAST` and more of those drawn are slower than the limit of latency.)

        Raises:
            SettingError: the limits admit nothing; the message has the figures of the smallest architecture.
        """
        check_range(count, "count", "SearchSpace.sample", low=0)
        excluded = {architecture.canonical() for architecture in without}
        generator = seed.numpy()
        self.check_limits(shape, classes)
        slow = TOO_SLOW_AT_LEAST + TOO_SLOW_EACH * count  # so many are left to be timed in vain
        found: dict[Architecture, None] = {}
        draws = DRAWS_AT_LEAST + DRAWS_EACH * count
        spaces = [self]
        if self.size_trend is not None and self.max_latency_ms is not None:
            # what the size trend favours may all be too slow: half of the timings ignore the trend
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
                one for one in self._smallest(shape, classes) if one not in excluded and one not in found
            ]
            if self.max_latency_ms is not None:
                small = small[: TOO_SLOW_AT_LEAST + TOO_SLOW_EACH * count]
            allowed = (one for one in small if self.allows(one, shape, classes))
            found |= dict.fromkeys(islice(allowed, count - len(found)))
        return tuple(found)

    def over_limits(self, drawn: int, *, seed: Seed, shape: Shape, classes: int) -> tuple[int, int]:
        """Count the architectures of a sample that exceed the limits of parameters and multiply-adds.

        Args:
            drawn: architectures to draw, like candidates but without limits and without the size trend, which would
                lead far beyond them.
            seed: of the draws.
            shape: (channels, height, width) of the task's images.
            classes: number of logits.

        Returns:
            (those that break a limit, all that were drawn); fewer were drawn if the space holds no more.
        """
        free = replace(self, max_parameters=None, max_macs=None, max_latency_ms=None, size_trend=None)
        sample = free.sample(drawn, seed=seed, shape=shape, classes=classes)
        return sum(not self._affords(one, shape, classes) for one in sample), len(sample)

    def check_limits(self, shape: Shape, classes: int) -> None:
        """Refuses limits that admit nothing.

        Whether a limit of latency does is told from the `FASTEST` smallest architectures.

        Args:
            shape: (channels, height, width) of the task's images.
            classes: number of logits.

        Raises:
            SettingError: the message has the figures of the smallest architecture.
        """
        if self.max_parameters is None and self.max_macs is None and self.max_latency_ms is None:
            return
        small = self._smallest(shape, classes)
        affordable = [one for one in small if self._affords(one, shape, classes)]
        if not affordable and not (
            self.size <= EXHAUSTIVE and any(self._affords(one, shape, classes) for one in self._every())
        ):
            costs = [cost_by_parts(one, shape, classes) for one in small]
            limits = {"max_parameters": self.max_parameters, "max_macs": self.max_macs}
            raise too_large(self.name, limits, min(costs, key=self._excess), shape, classes)
        if self.latency is None or self.max_latency_ms is None:
            return
        taken_ms = []
        for one in (affordable or small)[:FASTEST]:
            taken_ms.append(self.latency(one, shape, classes))
            if taken_ms[-1] <= self.max_latency_ms:
                return
        raise too_slow(self.name, self.max_latency_ms, min(taken_ms), shape, classes)

    def mutate(self, architecture: Architecture, *, seed: Seed, shape: Shape, classes: int) -> Architecture:
        """Another architecture of the space, within its limits, by one change.

        One of three, each as likely where it is possible: an edge gets another operation, appears, goes or, with
        `inputs`, comes from another node; an unused node joins (by two edges, as one alone would be dead; without
        absent edges by all that it needs, and takes the place of another before a later node); or one field of the
        skeleton changes to the nearest other that the space has. Under a prior or a size_trend, what the kind of change
        can lead to is as likely as these say. Where no single change stays inside, it is drawn afresh.

        Args:
            architecture: what to change; it need not be in the space.
            seed: of the choice.
            shape: (channels, height, width) of the task's images.
            classes: number of logits.

        Raises:
            SettingError: the space has no other architecture, or none was found that is fast enough.
        """
        parent = architecture.canonical()
        generator = seed.numpy()
        for kind in generator.permutation(3):
            parts = self.skeletons, self.nodes, self.operations
            made = changed(parent, int(kind), *parts, inputs=self.inputs)
            inside = [one for one in made if self.contains(one)]
            within = (
                inside[place]
                for place in self._order(inside, generator, self._change_logs(inside, shape, classes))
                if self._affords(inside[place], shape, classes)
            )
            timed = within if self.max_latency_ms is None else islice(within, TOO_SLOW_EACH)
            for one in timed:
                if self._fast_enough(one, shape, classes):
                    return one
        drawn = self.sample(1, seed=seed.child("afresh"), shape=shape, classes=classes, without=(parent,))
        if not drawn:
            raise SettingError(
                f"The search space '{self.name}' has no architecture within its limits other than "
                f"{parent.key}, so it can't be mutated. Widen the space or its limits."
            )
        return drawn[0]

    def union(self, other: SearchSpace) -> SearchSpace:
        """The least space that contains both: all operations, all skeletons, the looser limits.

        Zero joins if one has only complete DAGs of fewer nodes, or fewer edges into a node, than the other. It has
        neither prior nor size_trend.
        """
        operations = {*self.operations, *other.operations}
        if (self.nodes, self._most_inputs) != (other.nodes, other._most_inputs):
            operations.add(ZERO)
        return SearchSpace(
            name=self.name if self.name == other.name else f"{self.name}+{other.name}",
            operations=tuple(operations),
            nodes=max(self.nodes, other.nodes),
            inputs=looser(self.inputs, other.inputs),
            skeletons=self.skeletons + other.skeletons,
            max_parameters=looser(self.max_parameters, other.max_parameters),
            max_macs=looser(self.max_macs, other.max_macs),
            max_latency_ms=looser(self.max_latency_ms, other.max_latency_ms),
            latency=self.latency or other.latency,
        )

    def limited(
        self,
        max_parameters: int | None = None,
        max_macs: int | None = None,
        max_latency_ms: float | None = None,
        latency: Latency | None = None,
    ) -> SearchSpace:
        """Return the space with other limits; None leaves a limit as it is."""
        return replace(
            self,
            max_parameters=self.max_parameters if max_parameters is None else max_parameters,
            max_macs=self.max_macs if max_macs is None else max_macs,
            max_latency_ms=self.max_latency_ms if max_latency_ms is None else max_latency_ms,
            latency=self.latency if latency is None else latency,
        )

    def fitting_skeletons(self, shape: Shape, classes: int) -> tuple[Skeleton, ...]:
        """The skeletons in which at least the smallest cell stays within the limits.

        Args:
            shape: (channels, height, width) of the task's images.
            classes: number of logits.

        Returns:
            sorted, as in the space. With a limit of latency the smallest of each is timed: not for spaces of hundreds.
        """
        return tuple(
            sorted(one.skeleton for one in self._smallest(shape, classes) if self.allows(one, shape, classes))
        )

    def enumerate_cells(self) -> Iterator[Cell]:
        """Every canonical, connected cell once, small ones first. For small spaces: see `cells`."""
        return enumerate_cells(self.nodes, self.operations, inputs=self.inputs)

    def _affords(self, architecture: Architecture, shape: Shape, classes: int) -> bool:
        """Whether it stays within the limits of parameters and multiply-adds."""
        if self.max_parameters is None and self.max_macs is None:
            return True
        return self._excess(cost_by_parts(architecture.canonical(), shape, classes)) <= 1

    def _fast_enough(self, architecture: Architecture, shape: Shape, classes: int) -> bool:
        """Whether it stays within the limit of latency; it is timed only if there is one."""
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
        """What can be afforded and is not excluded, in a random order: each once, or (in a large space) drawn."""
        drawn: Iterator[Architecture]
        if self.size <= EXHAUSTIVE:
            left = [
                one for one in self._every() if one not in excluded and self._affords(one, shape, classes)
            ]
            drawn = (left[place] for place in self._order(left, generator, self._prior_logs(left)))
        else:
            each = (self._draw(generator) for _ in range(draws))
            drawn = (
                one
                for one in each
                if one is not None and one not in excluded and self._affords(one, shape, classes)
            )
        yield from drawn if self.size_trend is None else self._promising(drawn, generator, shape, classes)
        if self.size > EXHAUSTIVE and (self.prior is not None or self.size_trend is not None):
            # what they prefer is used up, or beyond the limits: the rest, all alike
            even = replace(self, prior=None, size_trend=None)
            yield from even._affordable(excluded, generator, shape, classes, draws)

    def _promising(
        self, drawn: Iterator[Architecture], generator: np.random.Generator, shape: Shape, classes: int
    ) -> Iterator[Architecture]:
        """One architecture of each `POOL` drawn, chosen by the size trend; at the end those not chosen."""
        passed: list[Architecture] = []
        while pool := list(islice(drawn, POOL)):
            first, *others = self._order(pool, generator, self._promises(pool, shape, classes))
            yield pool[first]
            passed += [pool[place] for place in others]
        yield from passed

    @property
    def _most_inputs(self) -> int:
        """Most edges into a node."""
        return self.nodes - 1 if self.inputs is None else min(self.inputs, self.nodes - 1)

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
        """One of the space; None: under a prior, a draw that has to be repeated."""
        if self.prior is None:
            skeleton = self.skeletons[generator.integers(len(self.skeletons))]
            drawn = draw_cell(self.nodes, self.operations, generator, inputs=self.inputs)
            return Architecture(skeleton=skeleton, cell=drawn)
        place = int(np.searchsorted(self._shares, generator.random(), side="right"))
        skeleton = self.skeletons[min(place, len(self.skeletons) - 1)]  # the last share is 1 but for rounding
        cell = self.prior.draw_cell(generator)
        return None if cell is None else Architecture(skeleton=skeleton, cell=cell)

    @cached_property
    def _shares(self) -> NDArray[np.float64]:
        """Cumulated shares of the skeletons under the prior."""
        assert self.prior is not None
        weights = np.exp([self.prior.log_skeleton(one) for one in self.skeletons])
        return np.asarray(np.cumsum(weights) / weights.sum())  # (skeletons,)

    def _change_logs(
        self, architectures: Sequence[Architecture], shape: Shape, classes: int
    ) -> NDArray[np.float64] | None:
        """Logarithms of the weights of possible mutations by prior and size trend, (architectures,); None: all equal.

        With a latency limit the size trend is left out: architectures are timed in this order, and those that the trend
        favours are the slowest.
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
        return np.array([self.prior.log_weight(one) for one in architectures])

    def _promises(
        self, architectures: Sequence[Architecture], shape: Shape, classes: int
    ) -> NDArray[np.float64]:
        """Logarithms of the weights by the size trend, (architectures,), up to a constant."""
        assert self.size_trend is not None
        return TILT * np.array([self.size_trend.of(one, shape, classes) for one in architectures])

    @staticmethod
    def _order(
        architectures: Sequence[Architecture],
        generator: np.random.Generator,
        logs: NDArray[np.float64] | None,
    ) -> list[int]:
        """Positions in a random order, in which the likelier tend to come first.

        Sorting by logarithm plus Gumbel noise draws one after the other by their weights, without repeats.
        """
        if logs is None:
            return [int(place) for place in generator.permutation(len(architectures))]
        noisy = logs + generator.gumbel(size=len(architectures))  # (architectures,)
        return [int(place) for place in np.argsort(-noisy, kind="stable")]

    def _check_prior(self) -> None:
        prior = self.prior
        if prior is None:
            return
        theirs = (prior.nodes, prior.operations, prior.inputs)
        same = theirs == (self.nodes, self.operations, self.inputs)
        if not same or not set(self.skeletons) <= set(prior.skeletons):
            raise SettingError(
                "The 'prior' of SearchSpace must be learnt for its own nodes, inputs, operations and skeletons. "
                "Got that of another space instead. Learn it anew with `learn_prior`."
            )

    def _smallest(self, shape: Shape, classes: int) -> list[Architecture]:
        """See `smallest_architectures`."""
        cells = smallest_cells(self.nodes, self.operations, inputs=self.inputs)
        return smallest_architectures(self.skeletons, cells, self._excess, shape, classes)

    def _excess(self, cost: Cost) -> float:
        """The share of its limits that a cost takes; above 1 it breaks one."""
        return max(
            0.0 if self.max_parameters is None else cost.parameters / self.max_parameters,
            0.0 if self.max_macs is None else cost.macs / self.max_macs,
        )
