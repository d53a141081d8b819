"""Makes an atom of a task: a representative, and architectures with scores, so there is something to inherit."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from tanas.dictionary.stored_network import StoredNetwork
from tanas.dictionary.task_record import Atom, AtomTask, Provenance, Reuse, best_first
from tanas.distances.representative import (
    Representative,
    RepresentativeConfig,
    RepresentativeState,
    macs_of,
    state_of,
)
from tanas.ground.context import Context
from tanas.ground.errors import NonFiniteError, TaskError, check_choice, check_range
from tanas.ground.events import Listener, Warned
from tanas.ground.records import from_plain, to_plain
from tanas.networks.architecture import Architecture, Network, build
from tanas.networks.scoring import ScoredArchitecture, ScoringConfig, score, unscored
from tanas.networks.threads import in_threads
from tanas.spaces.latency import Latency
from tanas.spaces.named import named_space
from tanas.spaces.space import SearchSpace
from tanas.strategies.base import Outcome, training_macs
from tanas.strategies.fuse import FuseConfig
from tanas.tasks.performance import PERFORMANCES
from tanas.tasks.task import Task

LEARNING = FuseConfig(rounds=5, patience=5)
"""The search by which a dictionary learns a base task's architectures. It never stops early, because the size trend is
learnt from all eleven candidates, not from the winners alone."""


@dataclass(frozen=True, kw_only=True)
class LearnConfig:
    """The settings for learning a base task."""

    performance: str = "balanced"
    """What l is: 'balanced' or 'accuracy'."""
    limit: int | None = 12_000
    """Most training images of a task, stratified; None: all."""
    representative: RepresentativeConfig = field(default_factory=RepresentativeConfig)
    space: str = "standard"
    """Name of the space that is searched."""
    max_parameters: int | None = None
    """Most parameters of an architecture; None: the space's own limit."""
    max_macs: int | None = None
    """Most multiply-adds for one image; None: the space's own limit."""
    max_latency_ms: float | None = None
    """Most milliseconds for the answer to one image, measured where it is learnt; None: the space's own limit."""
    fuse: FuseConfig = LEARNING
    """Something to inherit, not the last word."""
    scoring: ScoringConfig = field(default_factory=ScoringConfig)
    strict: bool = False
    """Whether a representative that misses 1 - epsilon is refused instead of kept and marked weak."""

    def __post_init__(self) -> None:
        check_choice(self.performance, "performance", "LearnConfig", PERFORMANCES)
        if self.limit is not None:
            check_range(self.limit, "limit", "LearnConfig", low=2)

    def suited_to(self, images: int) -> LearnConfig:
        """Return the settings for a task with that many training images: small tasks get more epochs."""
        return replace(self, fuse=self.fuse.suited_to(images), scoring=self.scoring.suited_to(images))


def prepare(task: Task, *, performance: str, limit: int | None) -> Task:
    """The task as tanas works on it: its measure of performance set, a large source capped."""
    return task.measured_by(performance).limited(limit)


def space_of(
    name: str,
    task: Task,
    *,
    max_parameters: int | None,
    max_macs: int | None,
    max_latency_ms: float | None = None,
    latency: Latency | None = None,
) -> SearchSpace:
    """A named space with its limits for images of the task's size.

    Args:
        name: of the space.
        task: gives the shape.
        max_parameters: instead of the space's own limit.
        max_macs: instead of the space's own limit.
        max_latency_ms: instead of the space's own limit; it needs `latency`.
        latency: says how long an architecture takes.
    """
    space = named_space(name, shape=task.shape)
    return space.limited(
        max_parameters=space.max_parameters if max_parameters is None else max_parameters,
        max_macs=space.max_macs if max_macs is None else max_macs,
        max_latency_ms=max_latency_ms,
        latency=latency,
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class Learnt:
    """The record of a task that a dictionary adds."""

    atom: Atom
    representative: Representative
    network: StoredNetwork | None
    """The trained network that the atom keeps; None: every training diverged."""


def represent_macs(representative: Representative, task: Task) -> int:
    """Multiply-adds of training a representative on all training images of a task, forward and backward."""
    return training_macs(macs_of(representative), representative.epochs * len(task.train))


def atom_of(
    task: Task,
    representative: Representative,
    outcome: Outcome,
    provenance: Provenance,
    *,
    test_fingerprint: str,
    limit: int | None,
    reuse: Reuse | None = None,
    network: StoredNetwork | None = None,
) -> Atom:
    """Puts an atom together from what was learnt of a task."""
    return Atom(
        task=AtomTask.of(task, test_fingerprint=test_fingerprint, limit=limit),
        representative=state_of(representative)[0],
        architectures=best_first(outcome.seen),
        rounds=outcome.rounds,
        provenance=provenance,
        reuse=reuse,
        kept=None if network is None else network.record,
    )


def score_winners(
    outcome: Outcome,
    task: Task,
    config: ScoringConfig,
    *,
    at: Context,
    also: Sequence[Architecture] = (),
    networks: MutableMapping[str, Network] | None = None,
) -> Outcome:
    """Scores the best architecture and the winner of every round; the other candidates stay unscored.

    When time has run out nothing is scored but the best one, so that there is something to inherit. What has a score of
    this kind already keeps it.

    Args:
        outcome: of the search.
        task: what was searched for.
        config: the fixed short training.
        at: its seed is that of the scores; each architecture has a child of it. Scores do not depend on the workers.
        also: candidates that are scored whether they won or not.
        networks: is given the trained networks, by the keys of their architectures.

    Returns:
        the outcome with these scores, and with what they cost in its ledger.
    """
    rounds = outcome.rounds
    winners = dict.fromkeys([outcome.best, *(r.candidates[r.winner] for r in rounds), *also])
    if outcome.stopped == "time":
        winners = {outcome.best: None}
    done = {one.architecture.key: one for one in outcome.seen if one.score is not None}
    ledger, images = outcome.ledger, len(task.limited(config.images).train)

    def scored(
        architecture: Architecture, network: Network, listener: Listener
    ) -> tuple[ScoredArchitecture, Network] | None:
        """An architecture with its score, if it did not diverge, and its network; None: no time is left for it."""
        own = at.child("score", architecture.key).heard_by(listener)
        part = own.checkpoint
        state = part.load("scored")
        if architecture != outcome.best and at.deadline() <= 0 and state is None:
            return None
        if state is not None:
            if (weights := part.load("weights")) is not None:
                network.load_state_dict(weights)
            return from_plain(ScoredArchitecture, state, where="the checkpoint of a score"), network
        try:
            made = score(architecture, task, config, own, network=network)
            network.cpu()
            if networks is not None:
                part.save("weights", network.state_dict())
        except NonFiniteError as error:
            listener(Warned(message=f"{error} The architecture gets no score."))
            made = unscored(architecture, task)
        part.save("scored", to_plain(made))
        return made, network

    todo = [one for one in winners if one.key not in done]
    # built here, one after the other: torch draws initial weights from one generator for all threads
    built = [
        build(one, task.shape, len(task.classes), at.seed.child("score", one.key, "weights")) for one in todo
    ]
    jobs = [partial(scored, one, network) for one, network in zip(todo, built, strict=True)]
    for architecture, answer in zip(todo, in_threads(jobs, at.workers, at.listener), strict=True):
        if answer is None:
            continue
        made, network = answer
        # one that failed is counted whole: it is not known in which epoch it did
        ledger = ledger.plus(architecture.key, made.macs, images * config.training.epochs)
        if made.score is not None:
            done[architecture.key] = made
            if networks is not None:
                networks[architecture.key] = network
    return replace(outcome, seen=tuple(done.get(a.architecture.key, a) for a in outcome.seen), ledger=ledger)


def warn_if_weak(representative: RepresentativeState, listener: Listener, *, strict: bool) -> None:
    """Warn if a representative does not reach 1 - epsilon.

    Raises:
        TaskError: `strict` is set.
    """
    if not representative.weak:
        return
    message = (
        f"The representative of {representative.task} reaches l = {representative.performance:.3f}, "
        f"less than 1 - epsilon = {1 - representative.epsilon:.3f}"
    )
    if strict:
        raise TaskError(f"{message}. Raise epsilon, give it more epochs, or accept weak ones (strict).")
    listener(
        Warned(
            message=f"{message}. It is marked weak: distances to this task are less reliable. "
            "Give it more images or epochs, or raise epsilon."
        )
    )
