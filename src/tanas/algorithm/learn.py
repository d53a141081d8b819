"""A base task is learnt by Algorithm 1 on an empty dictionary, without the final training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tanas.algorithm.presets import SearchConfig
from tanas.algorithm.related import nothing_known
from tanas.algorithm.space import base_space
from tanas.algorithm.winner import find
from tanas.dictionary.learn import (
    LearnConfig,
    Learnt,
    atom_of,
    prepare,
    represent_macs,
    space_of,
    warn_if_weak,
)
from tanas.dictionary.stored_network import StoredNetwork, stored
from tanas.dictionary.task_record import Provenance, best_first
from tanas.distances.representative import RepresentativeNetwork, represent
from tanas.distances.threads import one_thread
from tanas.ground.checkpoints import Stopwatch
from tanas.ground.context import Context
from tanas.ground.records import to_plain
from tanas.ground.seeds import Seed
from tanas.ground.versions import versions
from tanas.networks.architecture import Network
from tanas.networks.scoring import ScoringConfig
from tanas.spaces.inherit import inherit
from tanas.spaces.latency import MeasuredLatency
from tanas.strategies.base import Outcome
from tanas.strategies.estimate import examples_of, mean_pace, seconds_an_image
from tanas.strategies.fuse import Fuse
from tanas.strategies.trials import images_of_scores
from tanas.tasks.task import Task


def learn_atom(task: Task, config: LearnConfig, at: Context) -> Learnt:
    """Trains the representative of a task and searches its architecture, so that there is something to inherit.

    Args:
        task: as its source gives it.
        config: how.
        at: with what; one candidate is trained at a time, as atoms are learnt side by side.

    Raises:
        TaskError: `strict` is set and the representative misses 1 - epsilon.
    """
    task, sealed = prepare(task, performance=config.performance, limit=config.limit).sealed()
    config = config.suited_to(len(task.train))
    watch = Stopwatch(at.checkpoint)
    at = at.heard_by(watch.heard(at.listener))
    with at.phase("represent"):
        representative = represent(task, config.representative, at.child("represent"))
    warn_if_weak(representative, at.listener, strict=config.strict)
    related = nothing_known(representative)
    base = base_space(task, config, MeasuredLatency.of(at))
    space = inherit((), base, mode="none", per_atom=1, shape=task.shape, classes=len(task.classes))
    networks: dict[str, Network] = {}
    with at.phase("search"):
        outcome = find(space, related, task, _searching(config), at, wanted=True, networks=networks)
    provenance = Provenance(
        made_by="build",
        seed=at.seed.root,
        versions=versions(),
        settings=to_plain(config),
        represent_s=watch.seconds("represent"),
        search_s=watch.seconds("search"),
        represent_macs=represent_macs(representative, task),
        search_macs=outcome.ledger.macs,
    )
    network = _best_of(networks, outcome, task, config.scoring)
    atom = atom_of(
        task,
        representative,
        outcome,
        provenance,
        test_fingerprint=sealed.fingerprint,
        limit=config.limit,
        network=network,
    )
    return Learnt(atom=atom, representative=representative, network=network)


def _searching(config: LearnConfig) -> SearchConfig:
    """The search by which a base task is learnt."""
    return SearchConfig(
        performance=config.performance,
        limit=config.limit,
        representative=config.representative,
        space=config.space,
        max_parameters=config.max_parameters,
        max_macs=config.max_macs,
        max_latency_ms=config.max_latency_ms,
        inherit="none",
        fuse=config.fuse,
        scoring=config.scoring,
    )


def _best_of(
    networks: Mapping[str, Network], outcome: Outcome, task: Task, config: ScoringConfig
) -> StoredNetwork | None:
    """The network with the best score, as an atom keeps it; None: every training diverged."""
    best = best_first(outcome.seen)[0]
    if best.score is None:
        return None
    return stored(
        networks[best.architecture.key],
        best.architecture,
        task.shape,
        task.classes,
        task.limited(config.images).train,
        made_by="score",
    )


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How fast networks train here."""

    representative: float
    """Seconds of a representative for each training image and epoch."""
    candidate: float
    """The same of a candidate of the space, a mean over a few."""


def measure_pace(task: Task, config: LearnConfig, *, seed: Seed, device: str) -> Pace:
    """Times training steps whose gradients are thrown away: of a representative, and of a few candidates.

    It is measured where and as atoms are learnt: in a worker, while the others measure too.

    Args:
        task: as it is worked on.
        config: the networks and their batches.
        seed: of the candidates that are timed.
        device: where they are trained.
    """
    classes, shape = len(task.classes), task.shape
    space = space_of(config.space, task, max_parameters=config.max_parameters, max_macs=config.max_macs)
    with one_thread():  # as in a worker
        batch = config.fuse.schedule.training.batch
        candidate = mean_pace(examples_of(space, task, seed=seed), task, batch, seed=seed, device=device)
        with seed.initialising():
            network = RepresentativeNetwork(config.representative, shape, classes)
        representative = seconds_an_image(network, task, config.representative.training.batch, device)
    return Pace(representative=representative, candidate=candidate)


def expected_seconds(task: Task, config: LearnConfig, pace: Pace) -> float:
    """About how long `learn_atom` takes from its beginning.

    What decides it and is not known yet is taken halfway: between the first training of the representative and
    its whole budget, and half of the stages until alpha converges. All rounds are counted, and a new candidate
    wins one as often as chance has it.

    Args:
        task: as it is worked on.
        config: how.
        pace: of networks for images of this task's size.
    """
    config = config.suited_to(len(task.train))
    fuse, images = config.fuse, len(task.train)
    space = space_of(config.space, task, max_parameters=config.max_parameters, max_macs=config.max_macs)
    searched = Fuse(fuse).expected_images(space, task, workers=1)
    winners = 1 + (fuse.rounds - 1) * (1 - 1 / fuse.candidates)
    a_score = images_of_scores(1, config.scoring, task, workers=1)
    first, _, most = config.representative.epochs_for(images)
    represent_s = pace.representative * (first + max(first, most)) / 2 * images
    return represent_s + pace.candidate * (searched + winners * a_score)
