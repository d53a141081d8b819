"""With which weights the final training begins: from scratch, or with those of a related task's network.

A network that has seen a test image of the task is never taken. Splits belong to the source of the images, so that
there is none among tasks of one source; sources that hold the same pictures are found by the pictures' hashes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tanas.algorithm.presets import SearchConfig
from tanas.algorithm.related import RelatedTasks
from tanas.algorithm.result import Beginning, WarmStart
from tanas.dictionary.store import Dictionary
from tanas.dictionary.stored_network import StoredNetwork, StoredRecord, carried, known_here
from tanas.dictionary.task_record import Reuse
from tanas.ground.context import Context
from tanas.ground.errors import NonFiniteError
from tanas.ground.events import Told
from tanas.networks.architecture import Architecture, Network, cost_of
from tanas.networks.scoring import score, unscored
from tanas.spaces.space import SearchSpace
from tanas.strategies.base import Ledger, Outcome
from tanas.tasks.task import Sealed, Task, image_keys


@dataclass(frozen=True)
class Offered:
    """The networks that related tasks offer, each tried by the fixed short training."""

    tried: tuple[tuple[WarmStart, StoredNetwork | None], ...]
    """With the network where it was trained; nearest first."""
    ledger: Ledger
    """What the trainings cost."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Winner:
    """What is trained, and with which weights it begins."""

    outcome: Outcome
    """Of the search; its best is what is trained."""
    weights: StoredNetwork | None = None
    """Of a related task's network, with which the training begins; None: from scratch."""
    beginning: Beginning | None = None
    """Which networks were tried, for the record; None: nobody asked for the weights of related tasks."""
    gain: Reuse | None = None
    """What the search added to what could have been reused; None: that is not known."""

    def network(self, task: Task, config: SearchConfig, at: Context) -> Network | None:
        """A network with the weights to begin with; None: from scratch."""
        if self.weights is None:
            return None
        seed = at.seed.child("final", "weights")
        return carried(self.weights, task.shape, task.classes, seed, share=config.warm_share)


def try_networks(
    related: RelatedTasks,
    dictionary: Dictionary,
    space: SearchSpace,
    task: Task,
    sealed: Sealed,
    config: SearchConfig,
    at: Context,
) -> Offered:
    """Trains the networks of the related tasks shortly on the task, as its own candidates were.

    Args:
        related: its neighbours are asked, nearest first.
        dictionary: keeps their networks.
        space: the base space, whose limits hold for them too.
        task: all of its images. Those of validation are only compared with those that a network has seen.
        sealed: its test split, for the same comparison, by hashes.
        config: how.
        at: its seed is that of the order of images, and of the weights that are new.

    Raises:
        StoreError: the weights of a network are damaged.
    """
    tried: list[tuple[WarmStart, StoredNetwork | None]] = []
    ledger, small = Ledger(), task.limited(config.limit)
    images = len(small.limited(config.scoring.images).train) * config.scoring.training.epochs
    for one in related.neighbours:
        start = WarmStart(
            atom=one.name, distance=one.measurement.value, architecture="", score=None, left_out=""
        )
        record = one.atom.kept
        if record is None:
            tried.append((replace(start, left_out="its atom keeps no network"), None))
            continue
        start, network = replace(start, architecture=record.architecture.key), None
        part = at.child("warm", one.atom.key)
        if not (why := _unfit(record, space, task, part)):
            network = dictionary.network(one.atom)
            assert network is not None  # its record is there
            why = _has_seen(network, task, sealed)
        if why or network is None:
            tried.append((replace(start, left_out=why), None))
            continue
        value = short_score(record.architecture, network, small, config, part)
        macs = cost_of(record.architecture, task.shape, len(task.classes)).macs
        ledger = ledger.plus(f"{start.architecture}, weights of {one.name}", macs, images)
        why = "" if value is not None else "its training diverged"
        tried.append((replace(start, score=value, left_out=why), None if value is None else network))
    return Offered(tuple(tried), ledger)


def _unfit(record: StoredRecord, space: SearchSpace, task: Task, at: Context) -> str:
    """Why a network is no beginning for a task, from what is known without its weights; empty if nothing is."""
    if not known_here(record):
        return "it has operations that are not known here"
    if not space.allows(record.architecture, task.shape, len(task.classes)):
        return "it breaks the limits"
    if at.deadline() <= 0 and at.checkpoint.load("scored") is None:
        return "no time was left"
    return ""


def _has_seen(network: StoredNetwork, task: Task, sealed: Sealed) -> str:
    """Which images a network has seen that it may not have seen; empty if there are none."""
    if seen := network.overlap(sealed.image_keys):
        return f"it was trained on {seen} of this task's test images"
    if seen := network.overlap(image_keys(task.validation)):
        return f"it was trained on {seen} of this task's validation images, by which it would be judged"
    return ""


def short_score(
    architecture: Architecture, weights: StoredNetwork | None, task: Task, config: SearchConfig, at: Context
) -> float | None:
    """L after the fixed short training; None: it diverged, which is told.

    Args:
        architecture: what is trained.
        weights: of a related task's network of that architecture, with which it begins; None: from scratch.
        task: without its test split.
        config: how, and the share of those weights.
        at: its seed is that of the weights that are new and of the order of images. What its checkpoint holds already
            is not trained again.
    """
    if (state := at.checkpoint.load("scored")) is not None:
        return None if state["score"] is None else float(state["score"])
    network = None
    if weights is not None:
        seed = at.seed.child("weights")
        network = carried(weights, task.shape, task.classes, seed, share=config.warm_share)
    value = None
    try:
        value = score(architecture, task, config.scoring, at, network=network).score
    except NonFiniteError as error:
        at.tell(Told(message=f"{error} It is left out."))
    at.checkpoint.save("scored", {"score": value})
    return value


def begin(outcome: Outcome, offered: Offered | None, task: Task) -> Winner:
    """Chooses what is trained: what the search found, or a related task's network if that is ahead of it.

    Args:
        outcome: of the search, its winners scored.
        offered: what related tasks offer; None: nobody asked.
        task: without its test split.
    """
    if offered is None:
        return Winner(outcome=outcome)
    scores = {one.architecture: one.score for one in outcome.seen}
    scratch = scores.get(outcome.best)
    outcome = replace(outcome, ledger=outcome.ledger.with_all(offered.ledger))
    tried = tuple(start for start, _ in offered.tried)
    best: tuple[float, WarmStart, StoredNetwork] | None = None
    for start, network in offered.tried:
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
        beginning = Beginning(atom="", found=outcome.best.key, scratch=scratch, tried=tried, note=note)
        return Winner(outcome=outcome, beginning=beginning)
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
    return Winner(
        outcome=replace(outcome, best=architecture, seen=seen),
        weights=network,
        beginning=Beginning(atom=start.atom, found=outcome.best.key, scratch=scratch, tried=tried, note=note),
    )
