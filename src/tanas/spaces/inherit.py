"""What a task inherits of the related ones: the space of their best architectures, and where to begin.

Takes plain values (names, distances, scored architectures), so it knows nothing of dictionaries.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from tanas.errors import check_choice, check_range
from tanas.networks.architecture import Architecture, Shape
from tanas.networks.operations import ZERO, operation_names
from tanas.networks.scoring import ScoredArchitecture
from tanas.spaces.space import SearchSpace


@dataclass(frozen=True, kw_only=True)
class Inheritance:
    """What one related atom has to give."""

    name: str
    """The atom's, that of its task."""
    distance: float
    """d(atom -> task)."""
    architectures: tuple[ScoredArchitecture, ...]
    """All that were seen for it, in any order."""

    def best(self, most: int) -> tuple[ScoredArchitecture, ...]:
        """Its scored architectures that differ, best first; of equal ones the smaller first."""
        ranked = sorted(
            (one for one in self.architectures if one.score is not None),
            key=lambda one: (-(one.score or 0.0), one.parameters, one.macs, one.architecture.key),
        )
        distinct: dict[Architecture, ScoredArchitecture] = {}
        for one in ranked:
            distinct.setdefault(one.architecture.canonical(), one)
        return tuple(distinct.values())[:most]


@dataclass(frozen=True, kw_only=True)
class Inherited:
    """Where to search, and what came from whom."""

    space: SearchSpace
    seed_architecture: Architecture | None
    """The best scored architecture of the nearest atom that stays within the limits; it is in the space."""
    mode: str
    note: str
    """A sentence for the report."""


def inherit(
    neighbours: Sequence[Inheritance],
    base: SearchSpace,
    *,
    mode: str,
    per_atom: int,
    shape: Shape,
    classes: int,
) -> Inherited:
    """Shapes the space of a task by its related atoms.

    Args:
        neighbours: related atoms, nearest first.
        base: the space that is searched where nothing is known; its limits hold in any case.
        mode: one of `INHERIT_MODES`. 'union': operations and skeletons of the nearest atoms' best scored
            architectures, and no others. 'none': nothing.
        per_atom: how many of an atom's best architectures count.
        shape: (channels, height, width) of the task's images.
        classes: number of logits.

    Raises:
        SettingError: there is no such mode; `per_atom` is below 1.

    Source: section 3.2, "combining the skeletons, cells, and operations from only the most similar pairs".
    """
    check_choice(mode, "mode", "inherit", INHERIT_MODES)
    check_range(per_atom, "per_atom", "inherit", low=1)
    return INHERIT_MODES[mode](neighbours, base, per_atom, shape, classes)


def _nothing(
    neighbours: Sequence[Inheritance], base: SearchSpace, per_atom: int, shape: Shape, classes: int
) -> Inherited:
    note = f"Nothing was inherited, as asked: the space '{base.name}' was searched as it is."
    return Inherited(space=base, seed_architecture=None, mode="none", note=note)


def _union(
    neighbours: Sequence[Inheritance], base: SearchSpace, per_atom: int, shape: Shape, classes: int
) -> Inherited:
    """The hard union of operations and skeletons: the paper's way."""
    gifts, unknown = [], 0
    for neighbour in neighbours:
        best = neighbour.best(len(neighbour.architectures))
        usable = [one.architecture.canonical() for one in best if _usable(one.architecture)]
        unknown += len(best) - len(usable)
        if usable:
            gifts.append((neighbour, usable[:per_atom]))
    if not gifts:
        who = "no related atom has a scored architecture" if neighbours else "no atom is related"
        if unknown:
            who = "no scored architecture of a related atom has only operations that are known here"
        return _base(base, who)

    given = [architecture for _, architectures in gifts for architecture in architectures]
    operations = {name for one in given for _, _, name in one.cell.edges}
    nodes = max(base.nodes, *(one.cell.nodes for one in given))
    if ZERO in base.operations or any(len(one.cell.edges) < nodes * (nodes - 1) // 2 for one in given):
        operations.add(ZERO)
    inherited = replace(
        base,
        name=f"{base.name}+union",
        operations=tuple(operations),
        nodes=nodes,
        skeletons=tuple(one.skeleton for one in given),
    )
    fitting = inherited.fitting_skeletons(shape, classes)
    dropped = len(inherited.skeletons) - len(fitting)
    space = replace(inherited, skeletons=fitting or base.skeletons)
    if not fitting and not space.fitting_skeletons(shape, classes):
        return _base(base, "what the related atoms have breaks the limits for this task's images")
    allowed = [one for one in given if space.contains(one) and space.allows(one, shape, classes)]
    nearest = gifts[0][1]
    seed = next((one for one in nearest if one in allowed), None)

    parts = [
        f"{_skeletons(len(fitting))} and the operations {_listed(space.operations)} are those of the best of "
        + ", ".join(_gift(neighbour, architectures) for neighbour, architectures in gifts)
    ]
    if dropped:
        parts.append(f"{_skeletons(dropped)} broke the limits for this task's images and went")
    if not fitting:
        parts.append(f"so the skeletons are those of the space '{base.name}'")
    if seed is None:
        parts.append("no architecture of the nearest stays within the limits, so none is the first seed")
    if unknown:
        parts.append(f"architectures with operations that are not known here were passed over ({unknown})")
    return Inherited(space=space, seed_architecture=seed, mode="union", note="; ".join(parts) + ".")


def _base(base: SearchSpace, why: str) -> Inherited:
    note = f"Nothing was inherited, since {why}: the space '{base.name}' was searched as it is."
    return Inherited(space=base, seed_architecture=None, mode="union", note=note)


Mode = Callable[[Sequence[Inheritance], SearchSpace, int, Shape, int], Inherited]
"""Makes the space from neighbours, base, `per_atom`, shape and classes."""

INHERIT_MODES: Mapping[str, Mode] = MappingProxyType({"union": _union, "none": _nothing})
"""How the related atoms shape the space, by the name that `--inherit` takes."""


def _usable(architecture: Architecture) -> bool:
    """Whether it connects anything, by operations that are registered: another user's own ones may not be."""
    known = operation_names()
    return architecture.cell.connected and all(name in known for _, _, name in architecture.cell.edges)


def _gift(neighbour: Inheritance, architectures: Sequence[Architecture]) -> str:
    many = f"{len(architectures)} architecture{'s' if len(architectures) > 1 else ''}"
    return f"{neighbour.name} (d {neighbour.distance:.2f}, {many})"


def _skeletons(count: int) -> str:
    return f"{count} skeleton{'' if count == 1 else 's'}"


def _listed(names: Collection[str]) -> str:
    *first, last = sorted(names)
    return f"{', '.join(first)} and {last}" if first else last
