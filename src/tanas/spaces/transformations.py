"""What an architecture can be turned into: larger ones to grow it, smaller ones to compress it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

import numpy as np

from tanas.ground.errors import SettingError, check_choice, check_range
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture, Cost, Shape
from tanas.networks.cell import Cell
from tanas.networks.operations import ZERO, check_operations
from tanas.networks.skeleton import Skeleton
from tanas.spaces.cells import MAX_NODES
from tanas.spaces.changes import cells_grown, cells_with_another_edge
from tanas.spaces.costs import cost_by_parts
from tanas.spaces.space import SearchSpace

GROW, COMPRESS = "grow", "compress"

GROWING = ("wider", "deeper", "replaced", "added")
"""One stage or all get more channels; a stage gets a cell more, or a stage joins; an edge gets another operation; an
edge appears, or a node with two edges."""

COMPRESSING = ("narrower", "shallower", "cheaper", "dropped")
"""One stage or all get fewer channels; a stage loses a cell, or goes; an edge gets a cheaper operation; an edge
goes."""

FACTORS = {"wider": (1.5, 2.0), "narrower": (2 / 3, 1 / 2)}
"""Factors of a width: one step of one stage matters, and two steps reach four times the width."""

GROWS_BY = 4
"""Default limits of growth, in parameters and multiply-adds of the network: twice as wide throughout."""

COMPRESSES_TO = 0.5
"""Default share of the parameters that a network is compressed to."""

CHAINS = 4
"""Compressing chains for one candidate; the one that ends nearest below the limits is taken. A single chain often ends
at a quarter of what is allowed, but larger networks are mostly better (Spearman 0.88 over 20 architectures)."""

ATTEMPTS = 25
"""Tries for one new candidate: chains may end above the limits, or at candidates that exist already."""

TIMED_ATTEMPTS = 3
"""Tries if candidates are timed: each step then costs milliseconds, not microseconds."""

TIMED = 4
"""Results of one kind of step that are timed until one is faster. Most of what compresses is faster."""


@dataclass(frozen=True, kw_only=True)
class Transformations:
    """What a search may turn a network's architecture into, and within which limits.

    To grow, every candidate is one transformation of the seed. To compress, every candidate is the end of a chain of
    compressing steps within the limits. The chain begins at the given architecture, which exceeds the limits, or at a
    step of any kind from a seed within the limits. So all candidates of all rounds are within the limits.
    """

    aim: str
    """'grow' or 'compress'."""
    origin: Architecture
    """Where the search begins, in canonical form."""
    space: SearchSpace
    """The operations that an edge can get, the most nodes of a cell, and all limits."""
    shape: Shape
    classes: int

    @classmethod
    def of(
        cls, aim: str, origin: Architecture, space: SearchSpace, *, shape: Shape, classes: int
    ) -> Transformations:
        """The transformations of an architecture, with default limits if `space` has none.

        Grow: four times the parameters and multiply-adds of the architecture. Compress: half of its parameters if there
        is no limit at all; neither figure may rise.

        Args:
            aim: 'grow' or 'compress'.
            origin: where the search begins.
            space: its operations, which those of the architecture join, its nodes, and its limits.
            shape: of the task's images.
            classes: number of logits.

        Raises:
            SettingError: the aim can't reach a limit (the message has figures that it can); or the cell is too large.
            UnknownNameError: an operation is unknown.
        """
        check_choice(aim, "aim", "Transformations", (GROW, COMPRESS))
        check_range(origin.cell.nodes, "nodes", "the cell", low=2, high=MAX_NODES)
        check_operations((name for _, _, name in origin.cell.edges), " in the cell of the architecture")
        origin = origin.canonical()
        has = cost_by_parts(origin, shape, classes)
        parameters, macs = GROWS_BY * has.parameters, GROWS_BY * has.macs
        if aim == COMPRESS:
            unlimited = space.max_macs is None and space.max_latency_ms is None
            parameters, macs = round((COMPRESSES_TO if unlimited else 1) * has.parameters), has.macs
        around = SearchSpace(
            name=aim,
            operations=tuple({*space.operations, *(name for _, _, name in origin.cell.edges)} - {ZERO}),
            nodes=max(space.nodes, origin.cell.nodes),
            skeletons=(origin.skeleton,),
            max_parameters=parameters if space.max_parameters is None else space.max_parameters,
            max_macs=macs if space.max_macs is None else space.max_macs,
            max_latency_ms=space.max_latency_ms,
            latency=space.latency,
        )
        made = cls(aim=aim, origin=origin, space=around, shape=shape, classes=classes)
        if aim == GROW:
            made._check_room()
        else:
            made._check_way_down()
        return made

    def cost(self, architecture: Architecture) -> Cost:
        """The cost of an architecture on the task."""
        return cost_by_parts(architecture, self.shape, self.classes)

    def allows(self, architecture: Architecture) -> bool:
        """Whether it is within the limits; it is timed last, and only if latency is limited."""
        return self._excess(architecture) <= 1 and self._slowness(architecture) <= 1

    def apart(self, architecture: Architecture) -> tuple[Architecture, ...]:
        """Every architecture one transformation of the aim apart, within the limits or not, sorted."""
        found = {candidate for kind in self._kinds for candidate in self.transformed(architecture, kind)}
        return tuple(sorted(found))

    def candidates(
        self, best: Architecture | None, count: int, seed: Seed, without: Collection[Architecture]
    ) -> tuple[Architecture, ...]:
        """New candidates of a round in canonical form, all different and within the limits; fewer if none is left.

        Every possible kind of transformation is equally likely, and so is every result of a kind.

        Args:
            best: the kept seed; None: the origin.
            count: how many.
            seed: of the choices.
            without: architectures to leave out.
        """
        generator = seed.numpy()
        if self.aim == GROW:
            return self._neighbours(best or self.origin, count, generator, without)
        found: dict[Architecture, None] = {}
        attempts = ATTEMPTS if self.space.max_latency_ms is None else TIMED_ATTEMPTS
        for _ in range(attempts * count):
            if len(found) == count:
                break
            chains = [self._chain(best, generator) for _ in range(CHAINS)]
            new = [
                candidate
                for candidate in chains
                if candidate is not None and candidate not in without and candidate not in found
            ]
            if new:
                found[max(new, key=lambda candidate: (self._taken(candidate), candidate))] = None
        if not found and best is None:  # it is within the limits: see `_check_way_down`
            found[self.smallest()] = None
        return tuple(found)

    def transformed(self, architecture: Architecture, kind: str) -> tuple[Architecture, ...]:
        """Every result of one transformation of a kind of a canonical architecture, sorted."""
        if kind in ("wider", "narrower", "deeper", "shallower"):
            resized = _resized(architecture.skeleton, kind, self.shape)
            made = [replace(architecture, skeleton=skeleton) for skeleton in resized]
        else:
            made = [replace(architecture, cell=cell) for cell in self._cells(architecture.cell, kind)]
        if kind == "cheaper":
            has = self.cost(architecture)
            made = [candidate for candidate in made if _is_less(self.cost(candidate), has)]
        return tuple(sorted(set(made) - {architecture}))

    def smallest(self) -> Architecture:
        """The smallest architecture that compressing steps reach: one stage of one channel, one cell of one edge."""
        skeletons = [
            Skeleton(stem=self.origin.skeleton.stem, widths=(1,), cells=(1,), reductions=(reduces,))
            for reduces in sorted(set(self.origin.skeleton.reductions))
        ]
        cells = [Cell(2, ((0, 1, name),)) for name in self.space.operations]
        made = [Architecture(skeleton=skeleton, cell=cell) for skeleton in skeletons for cell in cells]
        return min(made, key=lambda candidate: (self._excess(candidate), candidate))

    @property
    def _kinds(self) -> tuple[str, ...]:
        return GROWING if self.aim == GROW else COMPRESSING

    def _cells(self, cell: Cell, kind: str) -> list[Cell]:
        edges, operations = len(cell.edges), self.space.operations
        if kind == "dropped":
            return [other for other in cells_with_another_edge(cell, (ZERO,)) if len(other.edges) < edges]
        others = cells_with_another_edge(cell, operations)
        if kind == "added":  # with zero, edges may be absent, so nodes can join
            grown = cells_grown(cell, self.space.nodes, (*operations, ZERO))
            return [other for other in others if len(other.edges) > edges] + [*grown]
        return [other for other in others if len(other.edges) == edges and other.nodes == cell.nodes]

    def _neighbours(
        self,
        best: Architecture,
        count: int,
        generator: np.random.Generator,
        without: Collection[Architecture],
    ) -> tuple[Architecture, ...]:
        pools = [
            [
                candidate
                for candidate in self.transformed(best, kind)
                if candidate not in without and self._excess(candidate) <= 1
            ]
            for kind in self._kinds
        ]
        found: list[Architecture] = []
        while len(found) < count and (pools := [pool for pool in pools if pool]):
            pool = pools[generator.integers(len(pools))]
            drawn = pool[generator.integers(len(pool))]
            if self._slowness(drawn) <= 1:
                found.append(drawn)
            pools = [[other for other in pool if other != drawn] for pool in pools]
        return tuple(found)

    def _chain(self, best: Architecture | None, generator: np.random.Generator) -> Architecture | None:
        """The end of a chain of compressing steps, each nearer to the limits; None if it ends above them."""
        here = best or self.origin
        kinds = (*GROWING, *COMPRESSING) if best is not None else ()
        for place in generator.permutation(len(kinds)):
            if made := self.transformed(here, kinds[place]):
                here = made[generator.integers(len(made))]
                break
        while not self.allows(here):
            for place in generator.permutation(len(COMPRESSING)):
                made = self.transformed(here, COMPRESSING[place])
                if (nearer := self._nearer(here, made, generator)) is not None:
                    here = nearer
                    break
            else:
                return None
        return here

    def _nearer(
        self, architecture: Architecture, made: Sequence[Architecture], generator: np.random.Generator
    ) -> Architecture | None:
        """A result nearer to the limits than the architecture, or None; parameters and multiply-adds come first."""
        if (excess := self._excess(architecture)) > 1:
            lower = [candidate for candidate in made if self._excess(candidate) < excess]
            return lower[generator.integers(len(lower))] if lower else None
        within = [candidate for candidate in made if self._excess(candidate) <= 1]
        slowness = self._slowness(architecture)
        for place in generator.permutation(len(within))[:TIMED]:
            if self._slowness(within[int(place)]) < slowness:
                return within[int(place)]
        return None

    def _excess(self, architecture: Architecture) -> float:
        """The share of the limits of parameters and multiply-adds that it takes; above 1 it exceeds a limit."""
        return self.space.excess(self.cost(architecture))

    def _slowness(self, architecture: Architecture) -> float:
        """The share of the limit of latency that it takes, timed; 0 without a limit."""
        if self.space.max_latency_ms is None or self.space.latency is None:
            return 0.0
        return self.space.latency(architecture, self.shape, self.classes) / self.space.max_latency_ms

    def _taken(self, architecture: Architecture) -> float:
        """The share of the limit that it is nearest to."""
        return max(self._excess(architecture), self._slowness(architecture))

    def _check_room(self) -> None:
        """Refuse limits under which nothing can grow."""
        has = self._figures(self.origin)
        if self._excess(self.origin) > 1:
            raise self._refused(f"at least the {has} of the network", "Raise them, or use `tanas compress`.")
        apart = sorted(self.apart(self.origin), key=lambda candidate: (self._excess(candidate), candidate))
        within = [candidate for candidate in apart if self._excess(candidate) <= 1]
        if not within:
            least = self._figures(apart[0])
            enough = f"large enough for a transformation: the smallest has {least}, the network {has}"
            raise self._refused(enough, "Raise them.")
        if (slowness := self._slowness(self.origin)) > 1:
            raise self._too_slow("the network itself takes", slowness)
        # the smallest first: mostly one is timed
        if not any(self._slowness(candidate) <= 1 for candidate in within):
            raise self._too_slow("the fastest of its transformations takes", min(map(self._slowness, within)))

    def _check_way_down(self) -> None:
        """Refuse limits that need no compressing, and limits that no chain reaches."""
        if self.allows(self.origin):
            has = self._figures(self.origin)
            if self.space.max_latency_ms is not None:
                has += f" and {self._slowness(self.origin) * self.space.max_latency_ms:.3g} ms"
            less = f"less than the {has} of the network"
            raise self._refused(less, "Lower one: there is nothing to compress.", joined=" or ")
        smallest = self.smallest()
        if self._excess(smallest) > 1:
            least = self._figures(smallest)
            raise self._refused(f"at least {least}, the smallest that transformations reach", "Raise them.")
        if (slowness := self._slowness(smallest)) > 1:
            raise self._too_slow("the smallest that transformations reach takes", slowness)

    def _refused(self, expected: str, advice: str, joined: str = " and ") -> SettingError:
        space, names = self.space, ["'max_parameters'", "'max_macs'"]
        got = f"{space.max_parameters:,} and {space.max_macs:,}"
        if space.max_latency_ms is not None:
            names, got = [*names, "'max_latency_ms'"], f"{got}, and {space.max_latency_ms:g} ms"
        limits = joined.join(names)
        return SettingError(f"The {limits} of {self.aim} must be {expected}. Got {got} instead. {advice}")

    def _too_slow(self, known: str, slowness: float) -> SettingError:
        limit_ms = self.space.max_latency_ms or 0
        return SettingError(
            f"The 'max_latency_ms' of {self.aim} must be more than {limit_ms:g}: {known} {slowness * limit_ms:.3g} ms "
            "per image on this machine. Raise it."
        )

    def _figures(self, architecture: Architecture) -> str:
        cost = self.cost(architecture)
        return f"{cost.parameters:,} parameters and {cost.macs:,} multiply-adds"


def _resized(skeleton: Skeleton, kind: str, shape: Shape) -> list[Skeleton]:
    """Every skeleton that is 'wider', 'narrower', 'deeper' or 'shallower' by one step."""
    stages = list(skeleton.stages)
    made = []
    for factor in FACTORS.get(kind, ()):
        scaled = [(_scaled(width, factor), cells, reduces) for width, cells, reduces in stages]
        made += [[*stages[:at], scaled[at], *stages[at + 1 :]] for at in range(len(stages))] + [scaled]
    if more := {"deeper": 1, "shallower": -1}.get(kind):
        for at, (width, cells, reduces) in enumerate(stages):
            if cells + more > 0:
                made.append([*stages[:at], (width, cells + more, reduces), *stages[at + 1 :]])
    halvings = sum(skeleton.reductions) + skeleton.stem_halvings
    if kind == "deeper" and max(shape[1:]) > 2**halvings:  # a single pixel can't be halved
        made.append([*stages, (2 * skeleton.widths[-1], 1, True)])
    if kind == "shallower" and len(stages) > 1:
        made += [stages[:at] + stages[at + 1 :] for at in range(len(stages))]
    parts = [zip(*after, strict=True) for after in made]
    return [replace(skeleton, widths=w, cells=c, reductions=r) for w, c, r in parts]


def _scaled(width: int, factor: float) -> int:
    """A width times a factor, rounded, but at least one channel more or less; at least 1."""
    scaled = round(width * factor)
    return max(scaled, width + 1) if factor > 1 else max(min(scaled, width - 1), 1)


def _is_less(one: Cost, other: Cost) -> bool:
    no_more = one.parameters <= other.parameters and one.macs <= other.macs
    return no_more and one != other
