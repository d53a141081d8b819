"""The weights that the final training begins with: new ones, or those of a related task's network.

A network that has seen a test image of the task is never used. Tasks of the same source share its splits, so their
networks have seen none. Other sources that hold the same pictures are found by the hashes of the pictures.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from tanas.algorithm.presets import SearchConfig
from tanas.algorithm.related import RelatedTasks
from tanas.algorithm.result import Beginning, WarmStart
from tanas.algorithm.target import Target
from tanas.dictionary.store import Dictionary
from tanas.dictionary.stored_network import StoredNetwork, StoredRecord, carried, known_here
from tanas.dictionary.task_record import Reuse
from tanas.ground.context import Context
from tanas.ground.errors import NonFiniteError
from tanas.networks.architecture import Architecture, Network, cost_of
from tanas.networks.scoring import score, unscored
from tanas.spaces.space import SearchSpace
from tanas.strategies.base import Ledger, Outcome
from tanas.tasks.task import Task, image_keys


@dataclass(frozen=True)
class Offered:
    """The networks of related tasks, scored by the fixed short training."""

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

    @property
    def replaceable(self) -> bool:
        """Whether the reference network may be handed over instead: after a search, without weights of others."""
        return bool(self.outcome.rounds) and self.weights is None

    def network(self, task: Task, config: SearchConfig, at: Context) -> Network | None:
        """Return a network with the weights to begin with; None: from scratch."""
        if self.weights is None:
            return None
        seed = at.seed.child("final", "weights")
        return carried(self.weights, task.shape, task.classes, seed, share=config.warm_share)


def try_networks(
    related: RelatedTasks, dictionary: Dictionary, space: SearchSpace, target: Target, at: Context
) -> Offered:
    """Return the networks of the related tasks with their scores after a short training on the task.

    The limits of the base space apply to them too. Networks that have seen test or validation images are left out.

    Raises:
        StoreError: the weights of a network are damaged.
    """
    tried: list[tuple[WarmStart, StoredNetwork | None]] = []
    ledger, task, config = Ledger(), target.searched, target.config
    images = len(task.limited(config.scoring.images).train) * config.scoring.training.epochs
    for near in related.neighbours:
        record, network, value, key = near.atom.kept, None, None, ""
        part = at.child("warm", near.atom.key)
        why = "no network is stored for it"
        if record is not None:
            key = record.architecture.key
            if not (why := _unfit(record, space, task, part)):
                network = dictionary.network(near.atom)
                assert network is not None  # its record is there
                why = _has_seen(network, target)
        if record is not None and network is not None and not why:
            value = short_score(record.architecture, network, task, config, part)
            macs = cost_of(record.architecture, task.shape, len(task.classes)).macs
            ledger = ledger.plus(f"{key}, weights of {near.name}", macs, images)
            why = "" if value is not None else "its training diverged"
        distance = near.measurement.value
        start = WarmStart(atom=near.name, distance=distance, architecture=key, score=value, left_out=why)
        tried.append((start, None if why else network))
    return Offered(tuple(tried), ledger)


def _unfit(record: StoredRecord, space: SearchSpace, task: Task, at: Context) -> str:
    """Why a stored network can't be used, as far as its record shows; empty: it can."""
    if not known_here(record):
        return "it has operations that are not registered here"
    if not space.allows(record.architecture, task.shape, len(task.classes)):
        return "it exceeds the limits"
    if at.deadline() <= 0 and at.checkpoint.load("scored") is None:
        return "no time was left"
    return ""


def _has_seen(network: StoredNetwork, target: Target) -> str:
    """How many test or validation images of the task a network has seen, in words; empty: none."""
    for name, keys in (
        ("test", target.sealed.image_keys),
        ("validation", image_keys(target.task.validation)),
    ):
        if seen := network.overlap(keys):
            return f"it was trained on {seen} of this task's {name} images"
    return ""


def short_score(
    architecture: Architecture, weights: StoredNetwork | None, task: Task, config: SearchConfig, at: Context
) -> float | None:
    """Return validation performance l after the fixed short training; None if it diverged.

    `weights` is a related task's network to begin with, at the share of the settings; None: from scratch. A score in
    the checkpoint is not computed again.
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
        at.say(f"{error} This training is left out.")
    at.checkpoint.save("scored", {"score": value})
    return value


def begin(outcome: Outcome, offered: Offered | None, task: Task) -> Winner:
    """Return the winner: the searched architecture, or a related task's network if that scores higher.

    The winners of the outcome are scored; `offered` is None if `warm_weights` is off.
    """
    if offered is None:
        return Winner(outcome=outcome)
    scores = {seen.architecture: seen.score for seen in outcome.seen}
    scratch = scores.get(outcome.best)
    outcome = replace(outcome, ledger=outcome.ledger.with_all(offered.ledger))
    tried = tuple(start for start, _ in offered.tried)
    beginning = Beginning(atom="", found=outcome.best.key, scratch=scratch, tried=tried, note="")
    start, network = best_offer(offered)
    if start is None or network is None or scratch is None or (start.score or 0.0) <= scratch:
        why = "there is no related task"
        if tried and scratch is None:
            why = "the searched architecture has no score to compare with"
        elif start is not None:
            why = (
                f"after a short training, the searched architecture reached l = {scratch:.3f}, and the best network of "
                f"a related task ({start.atom}) l = {start.score:.3f}"
            )
        elif tried:
            reasons = "; ".join(f"{start.atom}: {start.left_out}" for start in tried)
            why = f"no network of a related task can be used ({reasons})"
        note = f"The final training began from scratch: {why}."
        return Winner(outcome=outcome, beginning=replace(beginning, note=note))
    note = (
        f"The final training began with weights of {start.atom} (d {start.distance:.2f}): after a short training they "
        f"reached l = {start.score:.3f}, and the searched architecture l = {scratch:.3f}. "
        "They were not trained on any test image of this task."
    )
    architecture, seen = network.record.architecture, outcome.seen
    if architecture not in scores:
        seen = (*seen, unscored(architecture, task))
    return Winner(
        outcome=replace(outcome, best=architecture, seen=seen),
        weights=network,
        beginning=replace(beginning, atom=start.atom, note=note),
    )


def best_offer(offered: Offered | None) -> tuple[WarmStart | None, StoredNetwork | None]:
    """The network of a related task that scores highest; with equal scores, that of the nearer task."""
    scored = [entry for entry in (offered.tried if offered else ()) if entry[0].score is not None]
    return max(scored, key=lambda entry: entry[0].score or 0.0, default=(None, None))
