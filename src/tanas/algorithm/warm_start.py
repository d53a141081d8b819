"""The weights that the final training begins with: new ones, or those of a related task's network.

A network that has seen a test image of the task is never used. Tasks of the same source share its splits, so their
networks have seen none. Other sources that hold the same pictures are found by the hashes of the pictures.
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
    """The networks of related tasks, each scored by the fixed short training."""

    tried: tuple[tuple[WarmStart, StoredNetwork | None], ...]
    """(score, network), nearest first; the network is None where it was not trained."""
    ledger: Ledger
    """The cost of the trainings."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Winner:
    """The architecture for the final training, and the weights that it begins with."""

    outcome: Outcome
    """Of the search; its best architecture gets the final training."""
    weights: StoredNetwork | None = None
    """Weights of a related task's network that the training begins with; None: from scratch."""
    beginning: Beginning | None = None
    """Which networks were tried, for the record; None: `warm_weights` is off."""
    gain: Reuse | None = None
    """The gain over reuse; None: not measured."""

    def network(self, task: Task, config: SearchConfig, at: Context) -> Network | None:
        """Return a network with the weights to begin with; None: from scratch."""
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
    """Return the networks of the related tasks with their scores after a short training on the task.

    Args:
        related: has the related tasks, nearest first.
        dictionary: keeps their networks.
        space: the base space, whose limits apply to the networks too.
        task: all images except the test split. Its validation images are compared with those that a network has seen.
        sealed: its test split, for the same comparison, by hashes.
        config: the settings of the search.
        at: its seed sets the order of images and the new weights.

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
            tried.append((replace(start, left_out="no network is stored for it"), None))
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
    """The reason why a stored network can't be used, as far as its record shows; empty if there is none."""
    if not known_here(record):
        return "it has operations that are not registered here"
    if not space.allows(record.architecture, task.shape, len(task.classes)):
        return "it exceeds the limits"
    if at.deadline() <= 0 and at.checkpoint.load("scored") is None:
        return "no time was left"
    return ""


def _has_seen(network: StoredNetwork, task: Task, sealed: Sealed) -> str:
    """The test or validation images of the task that a network has seen, in words; empty if there are none."""
    if seen := network.overlap(sealed.image_keys):
        return f"it was trained on {seen} of this task's test images"
    if seen := network.overlap(image_keys(task.validation)):
        return f"it was trained on {seen} of this task's validation images"
    return ""


def short_score(
    architecture: Architecture, weights: StoredNetwork | None, task: Task, config: SearchConfig, at: Context
) -> float | None:
    """Return validation performance l after the fixed short training; None if it diverged.

    Args:
        architecture: the architecture to train.
        weights: weights of a related task's network of that architecture to begin with; None: from scratch.
        task: without its test split.
        config: the short training, and the share of those weights.
        at: its seed sets the new weights and the order of images. A score in its checkpoint is not computed again.
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
        at.tell(Told(message=f"{error} This training is left out."))
    at.checkpoint.save("scored", {"score": value})
    return value


def begin(outcome: Outcome, offered: Offered | None, task: Task) -> Winner:
    """Return the winner: the searched architecture, or a related task's network if that scores higher.

    Args:
        outcome: of the search, its winners scored.
        offered: the networks of related tasks with their scores; None: `warm_weights` is off.
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
        # equal scores: the nearer task
        if network is not None and start.score is not None and (best is None or start.score > best[0]):
            best = start.score, start, network
    if best is None or scratch is None or best[0] <= scratch:
        why = "there is no related task"
        if tried and scratch is None:
            why = "the searched architecture has no score to compare with"
        elif best is not None:
            why = (
                f"after a short training, the searched architecture reached l = {scratch:.3f}, and the best network of "
                f"a related task ({best[1].atom}) l = {best[0]:.3f}"
            )
        elif tried:
            reasons = "; ".join(f"{start.atom}: {start.left_out}" for start in tried)
            why = f"no network of a related task can be used ({reasons})"
        note = f"The final training began from scratch: {why}."
        beginning = Beginning(atom="", found=outcome.best.key, scratch=scratch, tried=tried, note=note)
        return Winner(outcome=outcome, beginning=beginning)
    value, start, network = best
    note = (
        f"The final training began with weights of {start.atom} (d {start.distance:.2f}): after a short training they "
        f"reached l = {value:.3f}, and the searched architecture l = {scratch:.3f}. "
        "They were not trained on any test image of this task."
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
