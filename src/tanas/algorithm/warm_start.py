"""The weights that the final training begins with: new ones, or those of a known task's network.

A network that has seen a test or validation image of the task is never used. Tasks of the same source and size share
its splits, so their networks have seen none. Other sources that hold the same pixels are found by hashes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from torch import Tensor

from tanas.algorithm.presets import SearchConfig
from tanas.algorithm.related import RelatedTasks
from tanas.algorithm.result import Beginning, WarmStart
from tanas.algorithm.target import Target
from tanas.dictionary.store import Dictionary
from tanas.dictionary.stored_network import StoredNetwork, StoredRecord, carried, judging_job, known_here
from tanas.dictionary.task_record import Atom
from tanas.distances.misfit import MisfitDistance, misfit
from tanas.ground.context import Context
from tanas.ground.records import digest
from tanas.networks.architecture import Architecture, Network
from tanas.networks.recipe import ChosenRecipe
from tanas.networks.skeleton import STEMS
from tanas.spaces.named import with_stem_for
from tanas.spaces.space import SearchSpace
from tanas.tasks.names import source_in
from tanas.tasks.task import Task, image_keys

MOST_DONORS = 2
"""Networks of known tasks whose weights compete with new ones: each costs half of a training."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Start:
    """An architecture, and the weights that its trainings begin with."""

    architecture: Architecture
    network: Network | None = None
    """With these weights; None: new ones."""
    atom: str = ""
    """The known task that the weights come from; empty: none."""
    stored: StoredNetwork | None = None
    """Its network."""

    @property
    def whose(self) -> str:
        """Whose weights, in words that follow an architecture; empty: new ones."""
        return f" from {self.atom}" if self.atom else ""

    def place(self, training: str) -> str:
        """Where the checkpoint keeps a training that begins here."""
        return f"{training}-{digest(self.atom)[:8]}" if self.atom else training


@dataclass(frozen=True, kw_only=True)
class Donors:
    """The known networks whose weights compete with new ones."""

    starts: tuple[Start, ...] = ()
    """The least misfit first."""
    considered: tuple[WarmStart, ...] = ()
    """Every known task, the least misfit first, with the reason where its network is not used; losses come later."""


@dataclass(frozen=True, kw_only=True)
class Keys:
    """Hashes of the images of a task, by split."""

    train: Tensor
    validation: Tensor
    test: Tensor


def donors_of(
    related: RelatedTasks, dictionary: Dictionary, space: SearchSpace, target: Target, at: Context
) -> Donors:
    """Return the known networks that fit the task best, `MOST_DONORS` at most; none after the time limit.

    They have to lie in the base space, within its limits, and must have seen no test or validation image. How badly
    they fit is measured on training images by `tanas.distances.misfit`. All known tasks count, however far.

    Raises:
        StoreError: the weights of a network are damaged.
    """
    task = target.task
    by_misfit = target.config.distance.method == MisfitDistance.name
    misfits = {near.name: near.measurement.order for near in related.measured} if by_misfit else {}
    keys = Keys(
        train=image_keys(task.train),
        validation=image_keys(task.validation),
        test=target.sealed.image_keys,
    )
    found: list[tuple[float, Start]] = []
    refused: list[WarmStart] = []
    for name, atom in related.known.every:
        if at.deadline() <= 0:
            break
        record, network = atom.kept, None
        why = "no network is stored for it" if record is None else _unfit(record, space, task)
        if record is not None and not why:
            network = dictionary.network(atom)
            assert network is not None  # its record is there
            why = _has_seen(network, atom, keys, task, ships=dictionary.lends(atom))
        if record is None or network is None or why:
            key = "" if record is None else record.architecture.key
            refused.append(WarmStart(atom=name, architecture=key, left_out=why))
            continue
        start = Start(architecture=_fitted(record.architecture, space, task), atom=name, stored=network)
        suited = start.architecture == with_stem_for(record.architecture, task.shape)
        known = misfits.get(name) if suited else None
        found.append((_misfit(start, target.searched) if known is None else known, start))
    found.sort(key=lambda each: (each[0], each[1].atom))
    considered = [
        WarmStart(
            atom=start.atom,
            misfit=value,
            architecture=start.architecture.key,
            left_out="" if place < MOST_DONORS else "others fit the task better",
        )
        for place, (value, start) in enumerate(found)
    ]
    starts = tuple(replace(start, network=_carried(start, task, at)) for _, start in found[:MOST_DONORS])
    return Donors(starts=starts, considered=(*considered, *refused))


def _misfit(start: Start, task: Task) -> float:
    """How badly the network of a start fits the task, judged on some of its training images."""
    assert start.stored is not None
    features, labels = judging_job(start.stored, task, start.architecture)()
    return misfit(features, labels, len(task.classes))


def _carried(start: Start, task: Task, at: Context) -> Network:
    assert start.stored is not None
    seed, architecture = at.seed.child("final", "weights"), start.architecture
    return carried(start.stored, task.shape, task.classes, seed, architecture=architecture)


def _unfit(record: StoredRecord, space: SearchSpace, task: Task) -> str:
    """Why a stored network can't be used, as far as its record shows; empty: it can."""
    if not known_here(record):
        return "it has operations that are not registered here"
    architecture = _fitted(record.architecture, space, task)
    if not space.contains(architecture):
        return "the space does not hold it"
    if not space.allows(architecture, task.shape, len(task.classes)):
        return "it exceeds the limits"
    return ""


def _fitted(architecture: Architecture, space: SearchSpace, task: Task) -> Architecture:
    """An architecture, its stem changed if need be to one that the space has: images of another size want another."""
    own = STEMS.index(architecture.skeleton.stem)
    for stem in sorted(STEMS, key=lambda stem: abs(STEMS.index(stem) - own)):
        other = replace(architecture, skeleton=replace(architecture.skeleton, stem=stem))
        if space.contains(other) and space.allows(other, task.shape, len(task.classes)):
            return other
    return architecture


def _has_seen(network: StoredNetwork, atom: Atom, keys: Keys, task: Task, *, ships: bool) -> str:
    """Why a network may have seen test or validation images of the task, in words; empty: it has not.

    Equal pixels are found by their hashes. The same pictures at another size, or from other files, have other pixels,
    and perhaps another split: then the names of source and classes decide. `ships`: it is of the starter memory.
    """
    for name, of_split in (("test", keys.test), ("validation", keys.validation)):
        if seen := network.overlap(of_split):
            return f"it was trained on {seen} of this task's {name} images"
    if network.overlap(keys.train):
        return ""  # the same pixels, so the hashes above would have found the others
    record, alike = network.record, set(network.record.classes) & set(task.classes)
    source = source_in(task.name)
    if source is not None and source == source_in(atom.task.name) and (alike or record.shape != task.shape):
        return "it was trained on the same pictures in another size or framing"
    if ships and task.shape[0] > 1 and set(record.classes) == set(task.classes):
        return "it may have seen the same pictures from other files"
    return ""


def beginning_of(donors: Donors, recipe: ChosenRecipe, config: SearchConfig) -> Beginning | None:
    """Return the record of the weights that competed; None: none were wanted, or no task is known."""
    if not (config.warm_weights and donors.considered):
        return None
    losses: dict[str, float] = {}
    for one in recipe.tried:
        if one.atom and one.loss is not None:
            losses[one.atom] = min(one.loss, losses.get(one.atom, one.loss))
    tried = tuple(replace(one, loss=losses.get(one.atom)) for one in donors.considered)
    scratch = [one.loss for one in recipe.tried if not one.atom and one.loss is not None]
    least = min(scratch, default=None)
    note = "The final training began with new weights."
    if recipe.atom:
        note = (
            f"The final training began with weights of {recipe.atom}. They were not trained on any test or validation "
            "image of this task."
        )
    known = min((one.loss for one in tried if one.loss is not None), default=None)
    if known is not None and least is not None:
        note += f" Lowest validation loss at half: {known:.3f} with known weights, {least:.3f} with new ones."
    return Beginning(atom=recipe.atom, scratch=least, tried=tried, note=note)
