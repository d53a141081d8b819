"""What an architecture can be turned into: larger ones to grow it, smaller ones to compress it."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from tanas.ground.errors import SettingError, UnknownNameError, check_choice, check_range, nearest_names
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture, Cost, Shape
from tanas.networks.cell import Cell
from tanas.networks.operations import ZERO, operation_names
from tanas.networks.skeleton import Skeleton
from tanas.spaces.cells import MAX_NODES
from tanas.spaces.changes import cells_grown, cells_with_another_edge
from tanas.spaces.costs import cost_by_parts
from tanas.spaces.latency import Latency
from tanas.spaces.space import SearchSpace

GROW, COMPRESS = "grow", "compress"

AIMS = (GROW, COMPRESS)

GROWING = ("wider", "deeper", "replaced", "added")
"""A stage or all get more channels; a stage gets a cell more, or a stage joins; an edge gets another operation; an
edge appears, or a node with two."""

COMPRESSING = ("narrower", "shallower", "cheaper", "dropped")
"""A stage or all get fewer channels; a stage gets a cell fewer, or a stage goes; an edge gets a cheaper operation; an
edge goes."""

WIDER = (1.5, 2.0)
"""Factors of a width: one such step of one stage is felt, and two reach four times the width."""

NARROWER = (2 / 3, 1 / 2)
"""The way back."""

GROWS_BY = 4
"""A network grows to at most so many times its parameters and multiply-adds unless other limits are given: twice as
wide throughout."""

COMPRESSES_TO = 0.5
"""The share of its parameters that a network is compressed to unless a limit is given."""

CHAINS = 4
"""Chains of compressing steps for one candidate, of which the one that ends nearest below the limits is taken. Steps
are coarse, and a single chain often ends at a quarter of what is allowed; but larger networks are mostly better: size
alone gave the order of 20 architectures with a Spearman correlation of 0.88."""

ATTEMPTS = 25
"""How often that is tried for one new candidate: chains that end above the limits, where no step leads further down,
or at candidates that are there already, count for nothing. What a hundred chains miss is hardly there."""

TIMED_ATTEMPTS = 3
"""The same where candidates are timed: each step then costs milliseconds, not microseconds."""

TIMED = 4
"""Ends of a step of one kind that are timed until one is faster. Most of what compresses is."""


@dataclass(frozen=True, kw_only=True)
class Transformations:
    """What a search may turn a network's architecture into, and within which limits.

    To grow, every candidate is one transformation of the seed. To compress, every candidate is a chain of them that
    ends within the limits: the given architecture, which breaks them, is taken down by compressing steps; a seed
    that is within them already is first changed by a step of any kind, and then taken down where that broke them.
    So all candidates of all rounds are within the limits.
    """

    aim: str
    """'grow' or 'compress'."""
    origin: Architecture
    """What the search begins with, in canonical form."""
    operations: tuple[str, ...]
    """That an edge can get."""
    nodes: int
    """Most nodes of a cell."""
    max_parameters: int
    max_macs: int
    """Most multiply-adds for one image."""
    shape: Shape
    """(channels, height, width) of the task's images."""
    classes: int
    """Number of logits."""
    max_latency_ms: float | None = None
    """Most milliseconds that `latency` gives; None: no limit."""
    latency: Latency | None = field(default=None, compare=False, repr=False)
    """Says how long an architecture takes; needed for `max_latency_ms`."""

    @classmethod
    def of(
        cls,
        aim: str,
        origin: Architecture,
        space: SearchSpace,
        *,
        shape: Shape,
        classes: int,
    ) -> Transformations:
        """With the limits that are meant where none are given.

        To grow: four times the parameters and multiply-adds of the architecture. To compress: half of its parameters
        if no limit at all is given; and neither figure may rise. A limit of latency is only meant where it is given.

        Args:
            aim: 'grow' or 'compress'.
            origin: what the search begins with.
            space: its operations, which those of the architecture join, its nodes, and the limits that are given.
            shape: (channels, height, width) of the task's images.
            classes: number of logits.

        Raises:
            SettingError: a limit is one that the aim can't reach, with the figures that it can; or the cell is too
                large.
            UnknownNameError: an operation is not known here.
        """
        check_choice(aim, "aim", "Transformations", AIMS)
        check_range(origin.cell.nodes, "nodes", "the cell", low=2, high=MAX_NODES)
        for _, _, name in origin.cell.edges:
            if name not in operation_names():
                raise UnknownNameError(
                    f"Unknown operation '{name}' in the cell of the architecture. "
                    f"{nearest_names(name, operation_names())} Register an operation of your own first."
                )
        origin = origin.canonical()
        has = cost_by_parts(origin, shape, classes)
        if aim == GROW:
            limits = (
                GROWS_BY * has.parameters if space.max_parameters is None else space.max_parameters,
                GROWS_BY * has.macs if space.max_macs is None else space.max_macs,
            )
        else:
            unlimited = space.max_macs is None and space.max_latency_ms is None
            least = round(COMPRESSES_TO * has.parameters) if unlimited else has.parameters
            limits = (
                least if space.max_parameters is None else space.max_parameters,
                has.macs if space.max_macs is None else space.max_macs,
            )
        made = cls(
            aim=aim,
            origin=origin,
            operations=tuple(sorted({*space.operations, *(n for _, _, n in origin.cell.edges)} - {ZERO})),
            nodes=max(space.nodes, origin.cell.nodes),
            max_parameters=limits[0],
            max_macs=limits[1],
            shape=shape,
            classes=classes,
            max_latency_ms=space.max_latency_ms,
            latency=space.latency,
        )
        made._check_reachable()
        return made

    @property
    def kinds(self) -> tuple[str, ...]:
        """The kinds of the aim's own transformations."""
        return GROWING if self.aim == GROW else COMPRESSING

    def cost(self, architecture: Architecture) -> Cost:
        """What an architecture costs on the task."""
        return cost_by_parts(architecture, self.shape, self.classes)

    def allows(self, architecture: Architecture) -> bool:
        """Whether it is within the limits; it is timed last, and only if there is a limit of latency."""
        return self._excess(architecture) <= 1 and self._slowness(architecture) <= 1

    def apart(self, architecture: Architecture) -> tuple[Architecture, ...]:
        """All that are one of the aim's transformations apart from an architecture, within the limits or not."""
        found = {one for kind in self.kinds for one in self.transformed(architecture, kind)}
        return tuple(sorted(found))

    def candidates(
        self, best: Architecture | None, count: int, *, seed: Seed, without: Collection[Architecture]
    ) -> tuple[Architecture, ...]:
        """New candidates of a round, all within the limits and all different.

        Every kind of transformation is as likely as any other that is possible, and within it every result.

        Args:
            best: the kept seed; None: what the search began with.
            count: how many.
            seed: of the choices.
            without: what must not be given.

        Returns:
            in canonical form; fewer if no more are found.
        """
        generator = seed.numpy()
        if self.aim == GROW:
            return self._neighbours(best or self.origin, count, generator, without)
        found: dict[Architecture, None] = {}
        attempts = ATTEMPTS if self.max_latency_ms is None else TIMED_ATTEMPTS
        for _ in range(attempts * count):
            if len(found) == count:
                break
            chains = [self._chain(best, generator) for _ in range(CHAINS)]
            new = [one for one in chains if one is not None and one not in without and one not in found]
            if new:
                found[max(new, key=lambda one: (self._taken(one), one))] = None
        if not found and best is None:  # `_check_reachable` has seen to it that this is within the limits
            found[self.smallest()] = None
        return tuple(found)

    def transformed(self, architecture: Architecture, kind: str) -> tuple[Architecture, ...]:
        """All that one transformation of a kind makes of an architecture in canonical form, sorted."""
        if kind == "wider" or kind == "narrower":
            factors = WIDER if kind == "wider" else NARROWER
            made = [replace(architecture, skeleton=s) for s in _scaled(architecture.skeleton, factors)]
        elif kind == "deeper":
            made = [replace(architecture, skeleton=s) for s in _deeper(architecture.skeleton, self.shape)]
        elif kind == "shallower":
            made = [replace(architecture, skeleton=s) for s in _shallower(architecture.skeleton)]
        else:
            made = [replace(architecture, cell=cell) for cell in self._cells(architecture.cell, kind)]
        if kind == "cheaper":
            has = self.cost(architecture)
            made = [one for one in made if _is_less(self.cost(one), has)]
        return tuple(sorted(set(made) - {architecture}))

    def smallest(self) -> Architecture:
        """The smallest that compressing steps lead to: one stage of one channel, one cell of one edge."""
        old = self.origin.skeleton
        return min(
            (
                Architecture(
                    skeleton=Skeleton(stem=old.stem, widths=(1,), cells=(1,), reductions=(reduces,)),
                    cell=Cell(2, ((0, 1, name),)),
                )
                for reduces in sorted(set(old.reductions))
                for name in self.operations
            ),
            key=lambda one: (self._excess(one), one),
        )

    def _cells(self, cell: Cell, kind: str) -> list[Cell]:
        edges = len(cell.edges)
        if kind == "added":
            larger = cells_with_another_edge(cell, self.operations)
            live = (*self.operations, ZERO)  # with zero, edges may be absent, so that nodes can join
            return [one for one in larger if len(one.edges) > edges] + [*cells_grown(cell, self.nodes, live)]
        if kind == "dropped":
            return [one for one in cells_with_another_edge(cell, (ZERO,)) if len(one.edges) < edges]
        others = cells_with_another_edge(cell, self.operations)
        return [one for one in others if len(one.edges) == edges and one.nodes == cell.nodes]

    def _neighbours(
        self,
        best: Architecture,
        count: int,
        generator: np.random.Generator,
        without: Collection[Architecture],
    ) -> tuple[Architecture, ...]:
        pools = {
            kind: [
                one for one in self.transformed(best, kind) if one not in without and self._excess(one) <= 1
            ]
            for kind in self.kinds
        }
        found: list[Architecture] = []
        while len(found) < count and (open_kinds := [kind for kind, pool in pools.items() if pool]):
            pool = pools[open_kinds[generator.integers(len(open_kinds))]]
            one = pool[generator.integers(len(pool))]
            if self._slowness(one) <= 1:
                found.append(one)
            pools = {kind: [other for other in pool if other != one] for kind, pool in pools.items()}
        return tuple(found)

    def _step(
        self, architecture: Architecture, kinds: Sequence[str], generator: np.random.Generator
    ) -> Architecture | None:
        """One transformation of one of the kinds; None if none is possible."""
        for place in generator.permutation(len(kinds)):
            if made := self.transformed(architecture, kinds[place]):
                return made[generator.integers(len(made))]
        return None

    def _chain(self, best: Architecture | None, generator: np.random.Generator) -> Architecture | None:
        """The end of one chain within the limits; None if it ends above them."""
        start = self.origin
        if best is not None:
            start = self._step(best, (*GROWING, *COMPRESSING), generator) or best
        return self._taken_down(start, generator)

    def _taken_down(self, architecture: Architecture, generator: np.random.Generator) -> Architecture | None:
        """The end of a chain of compressing steps, each nearer to the limits; None if it ends above them."""
        while not self.allows(architecture):
            for place in generator.permutation(len(COMPRESSING)):
                made = self.transformed(architecture, COMPRESSING[place])
                if (nearer := self._nearer(architecture, made, generator)) is not None:
                    architecture = nearer
                    break
            else:
                return None
        return architecture

    def _nearer(
        self, architecture: Architecture, made: Sequence[Architecture], generator: np.random.Generator
    ) -> Architecture | None:
        """One of those made of an architecture that is nearer to the limits; None if there is none.

        Parameters and multiply-adds come first: they cost nothing to know.
        """
        if (excess := self._excess(architecture)) > 1:
            lower = [one for one in made if self._excess(one) < excess]
            return lower[generator.integers(len(lower))] if lower else None
        within = [one for one in made if self._excess(one) <= 1]
        slowness = self._slowness(architecture)
        for place in generator.permutation(len(within))[:TIMED]:
            if self._slowness(within[int(place)]) < slowness:
                return within[int(place)]
        return None

    def _excess(self, architecture: Architecture) -> float:
        """The share that it takes of its limits of parameters and multiply-adds; above 1 it breaks one."""
        cost = self.cost(architecture)
        return max(cost.parameters / self.max_parameters, cost.macs / self.max_macs)

    def _slowness(self, architecture: Architecture) -> float:
        """The share that it takes of its limit of latency, timed; 0 without one."""
        if self.max_latency_ms is None or self.latency is None:
            return 0.0
        return self.latency(architecture, self.shape, self.classes) / self.max_latency_ms

    def _taken(self, architecture: Architecture) -> float:
        """The share that it takes of the limit that it is nearest to."""
        return max(self._excess(architecture), self._slowness(architecture))

    def _check_reachable(self) -> None:
        if self.max_latency_ms is not None:
            check_range(self.max_latency_ms, "max_latency_ms", self.aim, low=0, open_ends=True)
            if self.latency is None:
                raise SettingError(
                    "The 'latency' of Transformations must say how long an architecture takes where 'max_latency_ms' "
                    "is set. Got None instead. Give it a `tanas.spaces.latency.MeasuredLatency`."
                )
        if self.aim == GROW:
            self._check_room()
        else:
            self._check_way_down()

    def _check_room(self) -> None:
        """Refuses limits under which nothing can grow."""
        if self._excess(self.origin) > 1:
            raise SettingError(
                f"The 'max_parameters' and 'max_macs' of grow must be at least the {self._figures(self.origin)} that "
                f"the network has. Got {self._asked} instead. Raise them, or use `tanas compress`."
            )
        apart = sorted(self.apart(self.origin), key=lambda one: (self._excess(one), one))
        within = [one for one in apart if self._excess(one) <= 1]
        if not within:
            raise SettingError(
                f"The 'max_parameters' and 'max_macs' of grow must leave room for a transformation: the smallest has "
                f"{self._figures(apart[0])}, the network {self._figures(self.origin)}. Got {self._asked} instead. "
                "Raise them."
            )
        if (slowness := self._slowness(self.origin)) > 1:
            raise self._too_slow(f"the network itself takes {self._ms(slowness)}")
        # the smallest first, so that mostly one alone is timed
        if not any(self._slowness(one) <= 1 for one in within):
            fastest = min(map(self._slowness, within))
            raise self._too_slow(f"the fastest of its transformations takes {self._ms(fastest)}")

    def _check_way_down(self) -> None:
        """Refuses limits that ask for nothing, and those that no chain leads to."""
        if self.allows(self.origin):
            fast = "" if self.max_latency_ms is None else f" and {self._ms(self._slowness(self.origin))}"
            names = (
                "'max_parameters' or 'max_macs'"
                if not fast
                else "'max_parameters', 'max_macs' or 'max_latency_ms'"
            )
            raise SettingError(
                f"The {names} of compress must be less than the {self._figures(self.origin)}{fast} that the network "
                f"has. Got {self._asked} instead: there is nothing to compress. Lower one of them."
            )
        smallest = self.smallest()
        if self._excess(smallest) > 1:
            raise SettingError(
                f"The 'max_parameters' and 'max_macs' of compress must be at least {self._figures(smallest)}, the "
                f"smallest that transformations reach. Got {self._asked} instead. Raise them."
            )
        if (slowness := self._slowness(smallest)) > 1:
            raise self._too_slow(f"the smallest that transformations reach takes {self._ms(slowness)}")

    def _too_slow(self, known: str) -> SettingError:
        return SettingError(
            f"The 'max_latency_ms' of {self.aim} must be more than {self.max_latency_ms:g}: {known} per image "
            "on this machine. Raise it."
        )

    def _ms(self, slowness: float) -> str:
        return f"{slowness * (self.max_latency_ms or 0):.3g} ms"

    def _figures(self, architecture: Architecture) -> str:
        cost = self.cost(architecture)
        return f"{cost.parameters:,} parameters and {cost.macs:,} multiply-adds"

    @property
    def _asked(self) -> str:
        fast = "" if self.max_latency_ms is None else f" and {self.max_latency_ms:g} ms"
        return f"{self.max_parameters:,} parameters and {self.max_macs:,} multiply-adds{fast}"


def _scaled(skeleton: Skeleton, factors: tuple[float, ...]) -> list[Skeleton]:
    """One stage wider or narrower, or all of them, by each of the factors."""
    made = []
    for factor in factors:
        scaled = [_width(width, factor) for width in skeleton.widths]
        for at, width in enumerate(scaled):
            widths = (*skeleton.widths[:at], width, *skeleton.widths[at + 1 :])
            made.append(replace(skeleton, widths=widths))
        made.append(replace(skeleton, widths=tuple(scaled)))
    return made


def _width(width: int, factor: float) -> int:
    scaled = round(width * factor)
    return max(scaled, width + 1) if factor > 1 else max(min(scaled, width - 1), 1)


def _deeper(skeleton: Skeleton, shape: Shape) -> list[Skeleton]:
    """One more cell in a stage; or one more stage, at half the resolution and twice the width, while there is any."""
    cells = skeleton.cells
    made = [
        replace(skeleton, cells=(*cells[:at], cells[at] + 1, *cells[at + 1 :])) for at in range(len(cells))
    ]
    halvings = sum(skeleton.reductions) + (skeleton.stem == "half")
    if max(shape[1:]) > 2**halvings:  # at a single pixel, half of the resolution is the same
        made.append(
            replace(
                skeleton,
                widths=(*skeleton.widths, 2 * skeleton.widths[-1]),
                cells=(*cells, 1),
                reductions=(*skeleton.reductions, True),
            )
        )
    return made


def _shallower(skeleton: Skeleton) -> list[Skeleton]:
    """One cell fewer in a stage, or a stage fewer."""
    made = []
    for at, cells in enumerate(skeleton.cells):
        if cells > 1:
            fewer = (*skeleton.cells[:at], cells - 1, *skeleton.cells[at + 1 :])
            made.append(replace(skeleton, cells=fewer))
        if len(skeleton.cells) > 1:
            made.append(
                replace(
                    skeleton,
                    widths=skeleton.widths[:at] + skeleton.widths[at + 1 :],
                    cells=skeleton.cells[:at] + skeleton.cells[at + 1 :],
                    reductions=skeleton.reductions[:at] + skeleton.reductions[at + 1 :],
                )
            )
    return made


def _is_less(one: Cost, other: Cost) -> bool:
    no_more = one.parameters <= other.parameters and one.macs <= other.macs
    return no_more and one != other
