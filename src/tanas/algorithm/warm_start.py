"""With which weights the final training begins: from scratch, or with those of a related task's network.

A network that has seen a test image of the task is never taken. Splits belong to the source of the images, so that
there is none among tasks of one source; sources that hold the same pictures are found by the pictures' hashes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from tanas.algorithm.phases import Workplace
from tanas.algorithm.presets import SearchConfig
from tanas.algorithm.result import Beginning, WarmStart
from tanas.dictionary.distances import Related
from tanas.dictionary.store import Dictionary
from tanas.dictionary.stored_network import KeptNetwork, KeptRecord, carried, known_here
from tanas.ground.checkpoints import Checkpoint
from tanas.ground.errors import NonFiniteError
from tanas.ground.events import Told
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture, Network, cost_of
from tanas.networks.scoring import score, unscored
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
        task: all of its images. Those of validation and test are only compared with those that a network has seen.
        config: how.
        seed: of the order of images, and of the weights that are new.
        place: where.

    Raises:
        StoreError: the weights of an atom are damaged.
    """
    tried: list[tuple[WarmStart, KeptNetwork | None]] = []
    ledger, blind = Ledger(), task.limited(config.limit).without_test()
    images = len(blind.limited(config.scoring.images).train) * config.scoring.training.epochs
    for one in neighbours:
        start = WarmStart(
            atom=one.name, distance=one.measurement.value, architecture="", score=None, left_out=""
        )
        record = one.atom.kept
        if record is None:
            tried.append((replace(start, left_out="its atom keeps no network"), None))
            continue
        start, network = replace(start, architecture=record.architecture.key), None
        own, part = seed.child("warm", one.atom.key), place.checkpoint.child("warm").child(one.atom.key)
        if not (why := _unfit(record, space, task, place, part)):
            network = dictionary.kept(one.atom)
            assert network is not None  # its record is there
            why = _has_seen(network, task)
        if why or network is None:
            tried.append((replace(start, left_out=why), None))
            continue
        value = short_score(record.architecture, network, blind, config, own, part, place)
        macs = cost_of(record.architecture, task.shape, len(task.classes)).macs
        ledger = ledger.plus(f"{start.architecture}, weights of {one.name}", macs, images)
        why = "" if value is not None else "its training diverged"
        tried.append((replace(start, score=value, left_out=why), None if value is None else network))
    return Starts(tuple(tried), ledger)


def _unfit(record: KeptRecord, space: SearchSpace, task: Task, place: Workplace, part: Checkpoint) -> str:
    """Why a network is no beginning for a task, from what is known without its weights; empty if nothing is."""
    if not known_here(record):
        return "it has operations that are not known here"
    if not space.allows(record.architecture, task.shape, len(task.classes)):
        return "it breaks the limits"
    if place.deadline() <= 0 and part.load("scored") is None:
        return "no time was left"
    return ""


def _has_seen(network: KeptNetwork, task: Task) -> str:
    """Which images a network has seen that it may not have seen; empty if there are none."""
    if seen := network.overlap(task.test):
        return f"it was trained on {seen} of this task's test images"
    if seen := network.overlap(task.validation):
        return f"it was trained on {seen} of this task's validation images, by which it would be judged"
    return ""


def short_score(
    architecture: Architecture,
    weights: KeptNetwork | None,
    task: Task,
    config: SearchConfig,
    seed: Seed,
    part: Checkpoint,
    place: Workplace,
) -> float | None:
    """L after the fixed short training; None: it diverged, which is told.

    Args:
        architecture: what is trained.
        weights: of a related task's network of that architecture, with which it begins; None: from scratch.
        task: without its test split.
        config: how, and the share of those weights.
        seed: of the weights that are new and of the order of images.
        part: keeps the score; what it holds already is not trained again.
        place: where.
    """
    if (state := part.load("scored")) is not None:
        return None if state["score"] is None else float(state["score"])
    network = None
    if weights is not None:
        network = carried(weights, task.shape, task.classes, seed.child("weights"), share=config.warm_share)
    value = None
    try:
        value = score(
            architecture,
            task,
            config.scoring,
            seed=seed,
            device=place.device,
            listener=place.tell,
            checkpoint=part,
            network=network,
        ).score
    except NonFiniteError as error:
        place.tell(Told(message=f"{error} It is left out."))
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
