"""With which weights the final training begins: from scratch, or with those of a related task's network.

A network that has seen a test image of the task is never taken. Splits belong to the source of the images, so that
there is none among tasks of one source; sources that hold the same pictures are found by the pictures' hashes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tanas.dictionary.kept import KeptNetwork, carried
from tanas.dictionary.measure import Related
from tanas.dictionary.store import Dictionary
from tanas.errors import NonFiniteError
from tanas.events import Told
from tanas.networks.architecture import Network, cost_of
from tanas.networks.operations import operation_names
from tanas.networks.scoring import score, unscored
from tanas.phases import Workplace
from tanas.presets import SearchConfig
from tanas.results import Beginning, WarmStart
from tanas.seeds import Seed
from tanas.spaces.space import SearchSpace
from tanas.strategies.base import Ledger, Outcome
from tanas.tasks.task import Task


@dataclass(frozen=True)
class Starts:
    """What related tasks offer, each tried by the fixed short training."""

    tried: tuple[tuple[WarmStart, KeptNetwork | None], ...]
    """With the network where it was trained; nearest first."""
    ledger: Ledger
    """What the trainings cost."""


@dataclass(frozen=True)
class Start:
    """What is trained, and with which weights it begins."""

    outcome: Outcome
    """Of the search; its best is what is trained."""
    kept: KeptNetwork | None
    """None: from scratch."""
    beginning: Beginning | None
    """For the record; None: nobody asked for the weights of others."""

    def network(self, task: Task, config: SearchConfig, seed: Seed) -> Network | None:
        """A network with the weights to begin with; None: from scratch."""
        if self.kept is None:
            return None
        weights = seed.child("final", "weights")
        return carried(self.kept, task.shape, task.classes, weights, share=config.warm_share)


def try_starts(
    neighbours: Sequence[Related],
    dictionary: Dictionary,
    space: SearchSpace,
    task: Task,
    config: SearchConfig,
    seed: Seed,
    place: Workplace,
) -> Starts:
    """Trains the networks of the related tasks' atoms shortly on the task, as its own candidates were.

    Args:
        neighbours: related atoms, nearest first.
        dictionary: keeps their networks.
        space: the base space, whose limits hold for them too.
        task: with its test split, whose images are compared with those that a network has seen.
        config: how.
        seed: of the order of images, and of the weights that are new.
        place: where.

    Raises:
        StoreError: the weights of an atom are damaged.
    """
    tried: list[tuple[WarmStart, KeptNetwork | None]] = []
    ledger, blind = Ledger(), task.without_test()
    images = len(blind.limited(config.scoring.images).train) * config.scoring.training.epochs
    for one in neighbours:
        start = WarmStart(
            atom=one.name, distance=one.measurement.value, architecture="", score=None, left_out=""
        )
        network = dictionary.kept(one.atom)
        if network is None:
            tried.append((replace(start, left_out="its atom keeps no network"), None))
            continue
        start = replace(start, architecture=network.record.architecture.key)
        if why := _unfit(network, space, task, place):
            tried.append((replace(start, left_out=why), None))
            continue
        score_ = _score(network, one, blind, config, seed, place)
        macs = cost_of(network.record.architecture, task.shape, len(task.classes)).macs
        ledger = ledger.plus(f"{start.architecture}, weights of {one.name}", macs, images)
        why = "" if score_ is not None else "its training diverged"
        tried.append((replace(start, score=score_, left_out=why), network if score_ is not None else None))
    return Starts(tuple(tried), ledger)


def _unfit(network: KeptNetwork, space: SearchSpace, task: Task, place: Workplace) -> str:
    """Why a network is no beginning for a task; empty if it is one."""
    architecture = network.record.architecture
    if seen := network.overlap(task.test):
        return f"it was trained on {seen} of this task's test images"
    if not all(name in operation_names() for _, _, name in architecture.cell.edges):
        return "it has operations that are not known here"
    if not space.allows(architecture, task.shape, len(task.classes)):
        return "it breaks the limits"
    if place.deadline() <= 0:
        return "no time was left"
    return ""


def _score(
    network: KeptNetwork, one: Related, task: Task, config: SearchConfig, seed: Seed, place: Workplace
) -> float | None:
    """L after the short training from a network's weights; None: it diverged."""
    part = place.checkpoint.child("warm").child(one.atom.key)
    if (state := part.load("scored")) is not None:
        return None if state["score"] is None else float(state["score"])
    own = seed.child("warm", one.atom.key)
    value = None
    try:
        value = score(
            network.record.architecture,
            task,
            config.scoring,
            seed=own,
            device=place.device,
            listener=place.tell,
            checkpoint=part,
            network=carried(network, task.shape, task.classes, own.child("weights"), share=config.warm_share),
        ).score
    except NonFiniteError as error:
        place.tell(Told(message=f"{error} The weights of {one.name} are left out."))
    part.save("scored", {"score": value})
    return value


def begin(outcome: Outcome, starts: Starts | None, task: Task) -> Start:
    """Chooses what is trained: what the search found, or a related task's network if that is ahead of it.

    Args:
        outcome: of the search, its winners scored.
        starts: what related tasks offer; None: nobody asked.
        task: without its test split.
    """
    if starts is None:
        return Start(outcome, None, None)
    scores = {one.architecture: one.score for one in outcome.seen}
    scratch = scores.get(outcome.best)
    outcome = replace(outcome, ledger=outcome.ledger.with_all(starts.ledger))
    tried = tuple(start for start, _ in starts.tried)
    best: tuple[float, WarmStart, KeptNetwork] | None = None
    for start, network in starts.tried:
        # of equal ones the nearer
        if network is not None and start.score is not None and (best is None or start.score > best[0]):
            best = start.score, start, network
    if best is None or scratch is None or best[0] <= scratch:
        why = "no related task has a network to begin with"
        if tried and scratch is None:
            why = "what the search found has no score to hold others against"
        elif best is not None:
            why = (
                f"the fixed short training made l = {scratch:.3f} of what the search found, and no more than "
                f"{best[0]:.3f} of a related task's network ({best[1].atom})"
            )
        elif tried:
            why = "; ".join(f"of {one.atom}: {one.left_out}" for one in tried)
        note = f"The final training began from scratch: {why}."
        return Start(
            outcome, None, Beginning(atom="", found=outcome.best.key, scratch=scratch, tried=tried, note=note)
        )
    value, start, network = best
    note = (
        f"The final training began with the weights of {start.atom} (d {start.distance:.2f}): the fixed short training "
        f"made l = {value:.3f} of them, and {scratch:.3f} of what the search found. "
        "None of this task's test images was among those that they were trained on."
    )
    architecture = network.record.architecture
    seen = outcome.seen
    if architecture not in scores:
        seen = (*seen, unscored(architecture, task))
    return Start(
        replace(outcome, best=architecture, seen=seen),
        network,
        Beginning(atom=start.atom, found=outcome.best.key, scratch=scratch, tried=tried, note=note),
    )
