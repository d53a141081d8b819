"""What a search reuses from related tasks: the space of their best architectures, and the first seed.

The inputs are plain values (names, distances, scored architectures), so this module does not depend on dictionaries.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from tanas.ground.errors import SettingError, check_choice, check_range
from tanas.networks.architecture import Architecture, Shape
from tanas.networks.operations import ZERO, operation_names
from tanas.networks.scoring import ScoredArchitecture
from tanas.spaces.prior import LEAST_SIMILARITY, Evidence, learn_prior
from tanas.spaces.size_trend import Comparison, learn_size_trend
from tanas.spaces.space import SearchSpace

DEFAULT_INHERIT = "prior"
"""Why: docs/inheritance.md. The controls inherit in this way too, from other atoms."""
PAPER_INHERIT = "union"
"""The paper's way."""


@dataclass(frozen=True, kw_only=True)
class Inheritance:
    """What can be reused from a related task."""

    name: str
    """Name of the task."""
    distance: float | None
    """d(atom -> task); None: not measured, every task counts alike."""
    architectures: tuple[ScoredArchitecture, ...]
    """Every candidate of its search, in any order."""
    compared: tuple[Comparison, ...] = ()
    """Candidates that were trained alike, with their losses: the size trend is learnt from good and bad ones."""
    counts_as: float | None = None
    """The distance by which it counts in a prior; None: its own. The atoms of a control count as the nearest ones do
    in whose place they stand, so that it differs in who is inherited from and in nothing else."""

    @property
    def weighed_at(self) -> float:
        """The distance that sets its weight; 0 if none was measured."""
        if self.counts_as is not None:
            return self.counts_as
        return 0.0 if self.distance is None else self.distance

    def best(self, most: int) -> tuple[ScoredArchitecture, ...]:
        """Return its distinct scored architectures, best first; with equal scores, the smaller first."""
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
    """The space to search, and which tasks shaped it."""

    space: SearchSpace
    seed_architecture: Architecture | None
    """The best scored architecture of the nearest task within the space and its limits; None: there is none."""
    mode: str
    note: str
    """A sentence for the report."""
    givers: tuple[str, ...] = ()
    """Names of the tasks that something was reused from, nearest first."""
    over_limits: tuple[int, int] | None = None
    """(architectures that exceed the limits of parameters or multiply-adds, architectures drawn to count them);
    None: there are no limits, or nothing is searched."""
    size: int | None = None
    """Number of architectures, if it differs from that of the space."""
    transferred: Architecture | None = None
    """The architecture that is reused without a search; None: the space is searched."""


def inherit(
    neighbours: Sequence[Inheritance],
    base: SearchSpace,
    *,
    mode: str,
    per_atom: int,
    shape: Shape,
    classes: int,
    behind: Sequence[Inheritance] = (),
) -> Inherited:
    """Shapes the space of a task by its related atoms.

    Args:
        neighbours: related atoms, nearest first; for a control those that `chosen_neighbours` gives, for 'all' every
            known one.
        base: the space that is searched where nothing is known; its limits hold in any case.
        mode: one of `INHERIT_MODES`. 'prior': the base space, in which what all scored architectures of the nearest
            atoms have is drawn more often, and sizes that promise most by all that known tasks tried. 'union', the
            paper's: operations and skeletons of the nearest atoms' best scored architectures, and no others.
            'transfer': the nearest atom's best architecture, without a search. 'none': nothing.
        per_atom: how many of an atom's best architectures count in a union.
        shape: (channels, height, width) of the task's images.
        classes: number of logits.
        behind: the other known atoms, in the order in which they would follow: what sizes size_trend is learnt from
            these too, as three tasks alone tried too little to tell. Each counts by its distance, or by how far it is
            at least, where it was measured only until it was known to lie behind.

    Raises:
        SettingError: there is no such mode; `per_atom` is below 1.

    Source: section 3.2, "combining the skeletons, cells, and operations from only the most similar pairs".
    """
    check_choice(mode, "mode", "inherit", INHERIT_MODES)
    check_range(per_atom, "per_atom", "inherit", low=1)
    inherited = INHERIT_MODES[mode](neighbours, base, per_atom, shape, classes)
    if inherited.space.prior is not None:
        inherited = _promising((*neighbours, *behind), inherited, shape, classes)
    return replace(inherited, mode=mode)


def _nothing(
    neighbours: Sequence[Inheritance], base: SearchSpace, per_atom: int, shape: Shape, classes: int
) -> Inherited:
    note = f"Nothing was reused, as you asked. The whole space '{base.name}' was searched."
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
        who = "no related task has a scored architecture" if neighbours else "there are no related tasks"
        if unknown:
            who = "the architectures of the related tasks have operations that are not registered here"
        return _base(base, who)

    given = [architecture for _, architectures in gifts for architecture in architectures]
    operations = {name for one in given for _, _, name in one.cell.edges}
    nodes = max(base.nodes, *(one.cell.nodes for one in given))
    inherited = replace(
        base,
        name=f"{base.name}+union",
        operations=tuple(operations | ({ZERO} & {*base.operations})),
        nodes=nodes,
        inputs=None if base.inputs is None else max(base.inputs, *(one.cell.most_inputs for one in given)),
        skeletons=tuple(one.skeleton for one in given),
    )
    if not all(inherited.contains(one) for one in given):  # some lack edges that all others have
        inherited = replace(inherited, operations=(*operations, ZERO))
    fitting = inherited.fitting_skeletons(shape, classes)
    dropped = len(inherited.skeletons) - len(fitting)
    space = replace(inherited, skeletons=fitting or base.skeletons)
    if not fitting and not _admits_any(space, shape, classes):
        return _base(base, "the architectures of the related tasks exceed the limits for this task's images")
    allowed = [one for one in given if space.contains(one) and space.allows(one, shape, classes)]
    nearest = gifts[0][1]
    seed = next((one for one in nearest if one in allowed), None)

    skeletons = f"the {_skeletons(len(fitting))} and " if fitting else ""
    parts = [
        f"The space has {skeletons}the operations {_listed(space.operations)} of the best "
        "architectures of " + ", ".join(_gift(neighbour, architectures) for neighbour, architectures in gifts)
    ]
    if dropped:
        parts.append(f"{_skeletons(dropped)} left out because of the limits for this task's images")
    if not fitting:
        parts.append(f"the skeletons are those of the space '{base.name}'")
    if seed is None:
        parts.append(
            "the search began at random, because no architecture of the nearest task is within the limits"
        )
    if unknown:
        parts.append(f"architectures left out because their operations are not registered here: {unknown}")
    return Inherited(
        space=space,
        seed_architecture=seed,
        mode=PAPER_INHERIT,
        note="; ".join(parts) + ".",
        givers=tuple(neighbour.name for neighbour, _ in gifts),
    )


def _base(base: SearchSpace, why: str) -> Inherited:
    note = f"Nothing was reused, because {why}. The whole space '{base.name}' was searched."
    return Inherited(space=base, seed_architecture=None, mode="none", note=note)


def _prior(
    neighbours: Sequence[Inheritance], base: SearchSpace, per_atom: int, shape: Shape, classes: int
) -> Inherited:
    """The base space, with what worked on the related tasks sampled more often."""
    gifts, passed = [], 0
    for neighbour in neighbours:
        best = [one.architecture.canonical() for one in neighbour.best(len(neighbour.architectures))]
        usable = [one for one in best if _usable(one) and _fits_cells(one, base)]
        passed += len(best) - len(usable)
        if usable:
            gifts.append((neighbour, usable))
    if not gifts:
        who = "no related task has a scored architecture" if neighbours else "there are no related tasks"
        if passed:
            who = f"no scored architecture of a related task fits the space '{base.name}'"
        return _base(base, who)
    counts = counted([neighbour.weighed_at for neighbour, _ in gifts])
    prior = learn_prior(
        [one for (_, usable), count in zip(gifts, counts, strict=True) for one in weighed(count, usable)],
        nodes=base.nodes,
        operations=base.operations,
        skeletons=base.skeletons,
        inputs=base.inputs,
    )
    space = replace(base, name=f"{base.name}+prior", prior=prior)
    measured = gifts[0][0].distance is not None
    seed = next(
        (one for one in gifts[0][1] if space.contains(one) and space.allows(one, shape, classes)), None
    )
    if measured:
        whom = "the related tasks are " + ", ".join(_gift(neighbour, all_) for neighbour, all_ in gifts)
    else:  # no task is the nearest, so none is named and there is no first seed
        seed, whom = None, f"all {_tasks(len(gifts))} count alike"
    parts = [
        f"the whole space '{base.name}' is searched. Operations, widths, depths, reductions and stems that worked on "
        f"related tasks are sampled more often; {whom}"
    ]
    if seed is None and measured:
        parts.append(
            "the search begins at random, because no architecture of the nearest task is within the space and "
            "its limits"
        )
    if passed:
        parts.append(f"architectures left out because their cells do not fit the space: {passed}")
    note = "; ".join(parts) + "."
    return Inherited(
        space=space,
        seed_architecture=seed,
        mode="prior",
        note=note[0].upper() + note[1:],
        givers=tuple(neighbour.name for neighbour, _ in gifts),
    )


def _promising(known: Sequence[Inheritance], inherited: Inherited, shape: Shape, classes: int) -> Inherited:
    """The inherited space with the size trend of the known tasks, if any trainings can be compared."""
    told = [(one, comparisons) for one in known if (comparisons := _usable_of(one.compared))]
    counts = counted([one.weighed_at for one, _ in told])
    size_trend = learn_size_trend(
        [(count, comparisons) for count, (_, comparisons) in zip(counts, told, strict=True)],
        shape=shape,
        classes=classes,
    )
    if size_trend is None:
        return inherited
    note = (
        f" Sizes that the size trend favours are sampled more often too; the trend is learnt from "
        f"{size_trend.compared} trainings of {_tasks(len(told))}."
    )
    return replace(
        inherited, space=replace(inherited.space, size_trend=size_trend), note=inherited.note + note
    )


def counted(distances: Sequence[float]) -> tuple[float, ...]:
    """Return the weights of related tasks: 1 for the nearest, for others their similarity relative to it.

    The weights are relative, so that related tasks count even where all of them are far: d is 1 for most pairs of
    sources, and rankings of architectures transfer there too (experiments/pages/search-evidence.md).

    Args:
        distances: d(atom -> task) of each; 1 - d is clipped to at least `LEAST_SIMILARITY`.

    Returns:
        one weight in (0, 1] for each task; the largest is 1.
    """
    similarities = [similarity_of(distance) for distance in distances]
    most = max(similarities, default=1.0)
    return tuple(similarity / most for similarity in similarities)


def similarity_of(distance: float) -> float:
    """1 - d, at least `LEAST_SIMILARITY` and at most 1."""
    return min(max(1 - distance, LEAST_SIMILARITY), 1.0)


def weighed(count: float, ranked: Sequence[Architecture]) -> tuple[Evidence, ...]:
    """Return the weights of one task's architectures, which decrease from rank to rank.

    The best architecture has its task's weight, the second half of it, the third a third. Ranks are used because scores
    of different tasks don't compare.

    Args:
        count: the weight of the task, in (0, 1]; see `counted`.
        ranked: the task's architectures, best first.
    """
    return tuple(Evidence(architecture=one, weight=count / rank) for rank, one in enumerate(ranked, start=1))


def _transfer(
    neighbours: Sequence[Inheritance], base: SearchSpace, per_atom: int, shape: Shape, classes: int
) -> Inherited:
    """The best architecture of the nearest related task that has one within the limits."""
    better = 0
    for neighbour in neighbours:
        for one in neighbour.best(len(neighbour.architectures)):
            architecture = one.architecture.canonical()
            if not can_be_taken(architecture, base, shape, classes):
                better += 1
                continue
            note = (
                f"The best architecture of {_named(neighbour)} is reused without a search. "
                "Its stem and head are made for this task's images and classes."
            )
            if better:
                note += (
                    " Architectures left out because they exceed the limits for this task's images, or have operations "
                    f"that are not registered here: {better}."
                )
            return Inherited(
                space=base,
                seed_architecture=architecture if base.contains(architecture) else None,
                mode="transfer",
                note=note,
                givers=(neighbour.name,),
                transferred=architecture,
            )
    who = "no related task has a scored architecture" if neighbours else "there are no related tasks"
    if better:
        who = "every architecture of the related tasks exceeds the limits for this task's images"
    return _base(base, who)


Mode = Callable[[Sequence[Inheritance], SearchSpace, int, Shape, int], Inherited]
"""Makes the space from neighbours, base, `per_atom`, shape and classes."""

INHERIT_MODES: Mapping[str, Mode] = MappingProxyType(
    {
        "prior": _prior,
        PAPER_INHERIT: _union,
        "transfer": _transfer,
        "none": _nothing,
    }
)
"""How the related atoms shape the space, by the name that `--inherit` takes."""


def can_be_taken(architecture: Architecture, base: SearchSpace, shape: Shape, classes: int) -> bool:
    """Whether an architecture can be reused: its operations are registered, and it is within the limits.

    Args:
        architecture: of a related task.
        base: has the limits.
        shape: (channels, height, width) of the task's images.
        classes: of the task.
    """
    return _usable(architecture) and base.allows(architecture.canonical(), shape, classes)


def _usable(architecture: Architecture) -> bool:
    """Whether the cell is connected, by registered operations: those of another user may not be registered."""
    known = operation_names()
    return architecture.cell.connected and all(name in known for _, _, name in architecture.cell.edges)


def _usable_of(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons of at least two usable architectures, without the others."""
    found = []
    for one in comparisons:
        pairs = [pair for pair in zip(one.architectures, one.losses, strict=True) if _usable(pair[0])]
        if len(pairs) > 1:
            architectures, losses = zip(*pairs, strict=True)
            found.append(Comparison(architectures=architectures, losses=losses))
    return found


def _fits_cells(architecture: Architecture, base: SearchSpace) -> bool:
    """Whether the space has the cell, which is canonical, whatever the skeleton."""
    return base.contains(replace(architecture, skeleton=base.skeletons[0]))


def _admits_any(space: SearchSpace, shape: Shape, classes: int) -> bool:
    """Whether any architecture of a space is within its limits."""
    try:
        space.check_limits(shape, classes)
    except SettingError:
        return False
    return True


def _gift(neighbour: Inheritance, architectures: Sequence[Architecture]) -> str:
    many = f"{len(architectures)} architecture{'s' if len(architectures) > 1 else ''}"
    return _named(neighbour, many)


def _named(neighbour: Inheritance, *more: str) -> str:
    """A task's name, followed in brackets by its distance, if measured, and more details."""
    far = () if neighbour.distance is None else (f"d {neighbour.distance:.2f}",)
    inside = ", ".join((*far, *more))
    return f"{neighbour.name} ({inside})" if inside else neighbour.name


def _tasks(count: int) -> str:
    return f"{count} remembered task{'' if count == 1 else 's'}"


def _skeletons(count: int) -> str:
    return f"{count} skeleton{'' if count == 1 else 's'}"


def _listed(names: Collection[str]) -> str:
    *first, last = sorted(names)
    return f"{', '.join(first)} and {last}" if first else last
