"""What a search reuses from related tasks: the space of their best architectures, and the first seed.

The inputs are plain values (names, distances, scored architectures), so this module does not depend on dictionaries.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from tanas.ground.errors import SettingError, check_choice, check_range
from tanas.networks.architecture import Architecture, Shape
from tanas.networks.operations import ZERO, operation_names
from tanas.networks.scoring import ScoredArchitecture
from tanas.spaces.differences import plural
from tanas.spaces.prior import LEAST_SIMILARITY, Evidence, learn_prior
from tanas.spaces.size_trend import Comparison, learn_size_trend
from tanas.spaces.space import SearchSpace

DEFAULT_INHERIT = "prior"
"""Its evidence: docs/inheritance.md."""
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
    """Candidates that were trained alike, good and bad, with their losses: the size trend is learnt from them."""
    counts_as: float | None = None
    """The distance that sets its weight in a prior; None: its own. The atoms of a control count like the nearest atoms,
    so a control differs only in which atoms it reuses."""

    @property
    def weighed_at(self) -> float:
        """The distance that sets its weight; 0 if none was measured."""
        distance = self.distance if self.counts_as is None else self.counts_as
        return 0.0 if distance is None else distance

    def best(self) -> tuple[ScoredArchitecture, ...]:
        """Its distinct scored architectures, best first; of equal scores, the smaller first."""
        ranked = sorted(
            (scored for scored in self.architectures if scored.score is not None),
            key=lambda scored: (
                -(scored.score or 0.0),
                scored.parameters,
                scored.macs,
                scored.architecture.key,
            ),
        )
        distinct: dict[Architecture, ScoredArchitecture] = {}
        for scored in ranked:
            distinct.setdefault(scored.architecture.canonical(), scored)
        return tuple(distinct.values())


@dataclass(frozen=True, kw_only=True)
class Inherited:
    """The space to search, and which tasks shaped it."""

    space: SearchSpace
    seed_architecture: Architecture | None
    """The best scored architecture of the nearest task within the space and its limits, or None."""
    mode: str
    note: str
    """A sentence for the report."""
    sources: tuple[str, ...] = ()
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
    """Shape the space of a task by its related atoms.

    Args:
        neighbours: related atoms, nearest first.
        base: the space to search if nothing is known; its limits hold in any case.
        mode: one of `INHERIT_MODES`. 'prior': the base space, in which operations and skeletons that worked for the
            related atoms are drawn more often, and so are sizes that the size trend favours. 'union', the paper's: only
            the operations and skeletons of their best architectures. 'transfer': the best architecture of the nearest
            atom, without a search. 'none': the base space.
        per_atom: how many of an atom's best architectures count in a union.
        shape: of the task's images.
        classes: number of logits.
        behind: the other known atoms, nearest first. The size trend is learnt from these too: three tasks alone tried
            too few sizes.

    Raises:
        SettingError: the mode is unknown; `per_atom` is below 1.

    Source: section 3.2, "combining the skeletons, cells, and operations from only the most similar pairs".
    """
    check_choice(mode, "mode", "inherit", INHERIT_MODES)
    check_range(per_atom, "per_atom", "inherit", low=1)
    call = _Call(mode, neighbours, base, per_atom, shape, classes)
    inherited = INHERIT_MODES[mode](call)
    return inherited if inherited.space.prior is None else call.with_trend((*neighbours, *behind), inherited)


Given = list[tuple[Inheritance, list[Architecture]]]
"""Related tasks with canonical architectures, best first."""


@dataclass(frozen=True)
class _Call:
    """The arguments of `inherit`; a method for each mode."""

    mode: str
    neighbours: Sequence[Inheritance]
    base: SearchSpace
    per_atom: int
    shape: Shape
    classes: int

    def none(self) -> Inherited:
        return self.whole_base("as you asked")

    def union(self) -> Inherited:
        """The paper's way: operations and skeletons of the best architectures, and no others."""
        gifts, unknown = self.given(_usable)
        gifts = [(neighbour, best[: self.per_atom]) for neighbour, best in gifts]
        if not gifts:
            which = "the architectures of the related tasks have operations that are not registered here"
            return self.whole_base(f"because {which if unknown else self.nothing_scored}")
        base, given = self.base, [architecture for _, best in gifts for architecture in best]
        cells = [architecture.cell for architecture in given]
        operations = {name for cell in cells for _, _, name in cell.edges}
        inherited = replace(
            base,
            name=f"{base.name}+union",
            operations=tuple(operations | ({ZERO} & {*base.operations})),
            nodes=max(base.nodes, *(cell.nodes for cell in cells)),
            inputs=None if base.inputs is None else max(base.inputs, *(cell.most_inputs for cell in cells)),
            skeletons=tuple(architecture.skeleton for architecture in given),
        )
        if not all(map(inherited.contains, given)):  # some lack edges that all others have
            inherited = replace(inherited, operations=(*operations, ZERO))
        fitting = inherited.fitting_skeletons(self.shape, self.classes)
        space = replace(inherited, skeletons=fitting or base.skeletons)
        if not fitting:
            try:
                space.check_limits(self.shape, self.classes)
            except SettingError:
                return self.whole_base(
                    "because the architectures of the related tasks exceed the limits for this task's images"
                )
        seed = self.first_allowed(gifts[0][1], space)
        skeletons = f"the {plural(len(fitting), 'skeleton')} and " if fitting else ""
        *first, last = space.operations
        operations_text = f"{', '.join(first)} and {last}" if first else last
        parts = [
            f"The space has {skeletons}the operations {operations_text} of the best architectures of {_listed(gifts)}"
        ]
        if dropped := len(inherited.skeletons) - len(fitting):
            parts.append(
                f"{plural(dropped, 'skeleton')} left out because of the limits for this task's images"
            )
        if not fitting:
            parts.append(f"the skeletons are those of the space '{base.name}'")
        if seed is None:
            parts.append(
                "the search began at random, because no architecture of the nearest task is within the limits"
            )
        if unknown:
            parts.append(
                f"architectures left out because their operations are not registered here: {unknown}"
            )
        return self.shaped(space, seed, parts, gifts)

    def prior(self) -> Inherited:
        """The base space, with what worked on the related tasks sampled more often."""
        base = self.base
        # the cell has to fit, not the skeleton
        gifts, passed = self.given(
            lambda entry: _usable(entry) and base.contains(replace(entry, skeleton=base.skeletons[0]))
        )
        if not gifts:
            which = f"no scored architecture of a related task fits the space '{base.name}'"
            return self.whole_base(f"because {which if passed else self.nothing_scored}")
        counts = counted([neighbour.weighed_at for neighbour, _ in gifts])
        prior = learn_prior(
            [entry for (_, best), count in zip(gifts, counts, strict=True) for entry in weighed(count, best)],
            nodes=base.nodes,
            operations=base.operations,
            skeletons=base.skeletons,
            inputs=base.inputs,
        )
        space = replace(base, name=f"{base.name}+prior", prior=prior)
        seed, whom = None, f"all {plural(len(gifts), 'remembered task')} count alike"
        if measured := gifts[0][0].distance is not None:
            seed, whom = self.first_allowed(gifts[0][1], space), f"the related tasks are {_listed(gifts)}"
        parts = [
            f"The whole space '{base.name}' is searched. Operations, widths, depths, reductions and stems that worked "
            f"on related tasks are sampled more often; {whom}"
        ]
        if seed is None and measured:
            parts.append(
                "the search begins at random, because no architecture of the nearest task is within the space and "
                "its limits"
            )
        if passed:
            parts.append(f"architectures left out because their cells do not fit the space: {passed}")
        return self.shaped(space, seed, parts, gifts)

    def transfer(self) -> Inherited:
        """The best architecture of the nearest related task that has one within the limits."""
        left_out = 0
        for neighbour in self.neighbours:
            for scored in neighbour.best():
                architecture = scored.architecture.canonical()
                if not can_be_taken(architecture, self.base, self.shape, self.classes):
                    left_out += 1
                    continue
                note = (
                    f"The best architecture of {_named(neighbour)} is reused without a search. "
                    "Its stem and head are made for this task's images and classes."
                )
                if left_out:
                    note += (
                        " Architectures left out because they exceed the limits for this task's images, or have "
                        f"operations that are not registered here: {left_out}."
                    )
                return Inherited(
                    space=self.base,
                    seed_architecture=architecture if self.base.contains(architecture) else None,
                    mode=self.mode,
                    note=note,
                    sources=(neighbour.name,),
                    transferred=architecture,
                )
        which = "every architecture of the related tasks exceeds the limits for this task's images"
        return self.whole_base(f"because {which if left_out else self.nothing_scored}")

    def with_trend(self, known: Sequence[Inheritance], inherited: Inherited) -> Inherited:
        """The inherited space with the size trend of the known tasks, if any trainings can be compared."""
        told = [(task, comparisons) for task in known if (comparisons := _usable_of(task.compared))]
        counts = counted([task.weighed_at for task, _ in told])
        size_trend = learn_size_trend(
            [(count, comparisons) for count, (_, comparisons) in zip(counts, told, strict=True)],
            shape=self.shape,
            classes=self.classes,
        )
        if size_trend is None:
            return inherited
        note = (
            f"{inherited.note} Sizes that the size trend favours are sampled more often too; the trend is learnt from "
            f"{size_trend.compared} trainings of {plural(len(told), 'remembered task')}."
        )
        return replace(inherited, space=replace(inherited.space, size_trend=size_trend), note=note)

    @property
    def nothing_scored(self) -> str:
        """Why nothing is reused if no architecture was left out."""
        if self.neighbours:
            return "no related task has a scored architecture"
        return "there are no related tasks"

    def given(self, fits: Callable[[Architecture], bool]) -> tuple[Given, int]:
        """The tasks with architectures that fit, and how many architectures do not."""
        gifts, left_out = [], 0
        for neighbour in self.neighbours:
            best = [scored.architecture.canonical() for scored in neighbour.best()]
            fitting = [architecture for architecture in best if fits(architecture)]
            left_out += len(best) - len(fitting)
            if fitting:
                gifts.append((neighbour, fitting))
        return gifts, left_out

    def first_allowed(self, ranked: Sequence[Architecture], space: SearchSpace) -> Architecture | None:
        """The first architecture within the space and its limits."""
        inside = (architecture for architecture in ranked if space.contains(architecture))
        return next(
            (architecture for architecture in inside if space.allows(architecture, self.shape, self.classes)),
            None,
        )

    def whole_base(self, why: str) -> Inherited:
        note = f"Nothing was reused, {why}. The whole space '{self.base.name}' was searched."
        return Inherited(space=self.base, seed_architecture=None, mode=self.mode, note=note)

    def shaped(
        self, space: SearchSpace, seed: Architecture | None, parts: Sequence[str], gifts: Given
    ) -> Inherited:
        note = "; ".join(parts) + "."
        sources = tuple(neighbour.name for neighbour, _ in gifts)
        return Inherited(space=space, seed_architecture=seed, mode=self.mode, note=note, sources=sources)


INHERIT_MODES: Mapping[str, Callable[[_Call], Inherited]] = MappingProxyType(
    {DEFAULT_INHERIT: _Call.prior, PAPER_INHERIT: _Call.union, "transfer": _Call.transfer, "none": _Call.none}
)
"""How the related atoms shape the space, by the name that `--inherit` takes."""


def counted(distances: Sequence[float]) -> tuple[float, ...]:
    """The weights of related tasks, each in (0, 1]: 1 for the nearest, for others their similarity relative to it.

    The weights are relative, so related tasks count even if all of them are far: d is 1 for most pairs of sources, and
    rankings of architectures transfer there too (experiments/pages/simulated-searches.md).
    """
    similarities = [similarity_of(distance) for distance in distances]
    most = max(similarities, default=1.0)
    return tuple(similarity / most for similarity in similarities)


def similarity_of(distance: float) -> float:
    """1 - d, at least `LEAST_SIMILARITY` and at most 1."""
    return min(max(1 - distance, LEAST_SIMILARITY), 1.0)


def weighed(count: float, ranked: Sequence[Architecture]) -> tuple[Evidence, ...]:
    """The architectures of one task, best first, with weights: `count` divided by the rank, which starts at 1.

    Ranks are used because scores of different tasks don't compare.
    """
    return tuple(
        Evidence(architecture=architecture, weight=count / rank)
        for rank, architecture in enumerate(ranked, start=1)
    )


def can_be_taken(architecture: Architecture, base: SearchSpace, shape: Shape, classes: int) -> bool:
    """Whether an architecture can be reused: its operations are registered, and it is within the limits of `base`."""
    return _usable(architecture) and base.allows(architecture.canonical(), shape, classes)


def _usable(architecture: Architecture) -> bool:
    """Whether the cell is connected, by operations that are registered here."""
    known = operation_names()
    return architecture.cell.connected and all(name in known for _, _, name in architecture.cell.edges)


def _usable_of(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The comparisons of at least two usable architectures, without the others."""
    found = []
    for comparison in comparisons:
        pairs = zip(comparison.architectures, comparison.losses, strict=True)
        usable = [pair for pair in pairs if _usable(pair[0])]
        if len(usable) > 1:
            architectures, losses = zip(*usable, strict=True)
            found.append(Comparison(architectures=architectures, losses=losses))
    return found


def _listed(gifts: Given) -> str:
    """The tasks with their distances and numbers of architectures."""
    return ", ".join(_named(neighbour, plural(len(best), "architecture")) for neighbour, best in gifts)


def _named(neighbour: Inheritance, *more: str) -> str:
    """A task's name, followed in brackets by its distance, if measured, and more details."""
    far = () if neighbour.distance is None else (f"distance {neighbour.distance:.2f}",)
    inside = ", ".join((*far, *more))
    return f"{neighbour.name} ({inside})" if inside else neighbour.name
