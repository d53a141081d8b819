"""What a dictionary learns: a base task, by Algorithm 1 on an empty dictionary, or the task of a search."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tanas.algorithm.presets import SHARED, LearnConfig, SearchConfig
from tanas.algorithm.related import RelatedTasks, warn_if_weak
from tanas.algorithm.search import Found
from tanas.algorithm.space import base_space
from tanas.algorithm.trainings import Trainings
from tanas.algorithm.warm_start import Start
from tanas.algorithm.winner import find
from tanas.dictionary.stored_network import StoredNetwork, stored
from tanas.dictionary.task_record import Atom, AtomTask, Provenance, best_first
from tanas.distances.representative import (
    Representative,
    RepresentativeNetwork,
    macs_of,
    represent,
    shrunk,
    state_of,
)
from tanas.distances.threads import one_thread
from tanas.ground.checkpoints import Stopwatch
from tanas.ground.context import Context
from tanas.ground.errors import NonFiniteError
from tanas.ground.records import to_plain
from tanas.ground.seeds import Seed
from tanas.ground.versions import versions
from tanas.networks.architecture import Architecture, Network
from tanas.spaces.inherit import inherit
from tanas.spaces.latency import MeasuredLatency
from tanas.strategies.base import Outcome, training_macs
from tanas.strategies.estimate import examples_of, mean_pace, seconds_an_image
from tanas.strategies.fuse import Fuse
from tanas.strategies.trials import images_of_scores
from tanas.tasks.task import Sealed, Task


@dataclass(frozen=True, eq=False, kw_only=True)
class Learnt:
    """The record of a task that a dictionary adds."""

    atom: Atom
    representative: Representative
    network: StoredNetwork | None
    """The trained network that the atom keeps; None: every training diverged."""


def remember(found: Found, watch: Stopwatch, *, seed: int) -> Learnt | None:
    """Return the task of a search as an atom for the dictionary; None if the search trained no representative.

    The stored network was trained on the training images alone, because other tasks of the same source use the
    validation images to compare networks.

    Source: Algorithm 1, its last line.
    """
    representative, target, ending = found.related.representative, found.target, found.trained.ending
    if representative is None:
        return None
    task = target.searched
    outcome = _judged(found.outcome, ending.taken.validation.performance(task.performance))
    kept, seen = ending.taken.before, target.task.train
    before = None if ending.donor is None else ending.donor.stored
    network = stored(kept, outcome.best, task.shape, task.classes, seen, made_by="search", before=before)
    made = learnt_of(task, target.sealed, representative, outcome, network, target.config, watch, seed=seed)
    return replace(made, atom=replace(made.atom, reuse=found.winner.gain, recipe=ending.recipe))


def learnt_of(
    task: Task,
    sealed: Sealed,
    representative: Representative,
    outcome: Outcome,
    network: StoredNetwork | None,
    config: SearchConfig | LearnConfig,
    watch: Stopwatch,
    *,
    seed: int,
) -> Learnt:
    """Return the atom of a task that was searched, or of a base task that was learnt."""
    provenance = Provenance(
        made_by="build" if isinstance(config, LearnConfig) else "search",
        seed=seed,
        versions=versions(),
        settings=to_plain(config),
        represent_s=watch.seconds("represent"),
        search_s=watch.seconds("search"),
        represent_macs=represent_macs(representative, task),
        search_macs=outcome.ledger.macs,
    )
    atom = Atom(
        task=AtomTask.of(task, test_fingerprint=sealed.fingerprint, limit=config.limit),
        representative=state_of(representative)[0],
        architectures=best_first(outcome.seen),
        rounds=outcome.rounds,
        provenance=provenance,
        kept=None if network is None else network.record,
    )
    return Learnt(atom=atom, representative=representative, network=network)


def represent_macs(representative: Representative, task: Task) -> int:
    """Multiply-adds of training a representative on all training images of a task, forward and backward."""
    return training_macs(macs_of(representative), representative.epochs * len(task.train))


def _judged(outcome: Outcome, value: float) -> Outcome:
    """The outcome with l after the final training as the score of an architecture that won the only round.

    Later tasks can then reuse it. Scores are compared within a task only, and this task has no other score.
    """
    if any(seen.score is not None for seen in outcome.seen):
        return outcome
    judged = (
        replace(seen, score=value, final=True) if seen.architecture == outcome.best else seen
        for seen in outcome.seen
    )
    return replace(outcome, seen=tuple(judged))


def learn_atom(task: Task, config: LearnConfig, at: Context) -> Learnt:
    """Train the representative of a task and search its architecture, for a dictionary to remember.

    Candidates are trained one at a time, because atoms are learnt side by side.

    Raises:
        TaskError: `strict` is set and the representative misses 1 - epsilon.
    """
    task, sealed = task.measured_by(config.performance).limited(config.limit).sealed()
    config = config.suited_to(len(task.train))
    watch = Stopwatch(at.checkpoint)
    at = at.heard_by(watch.heard(at.listener))
    with at.phase("represent"):
        representative = represent(task, config.representative, at.child("represent"))
    warn_if_weak(representative, at.listener, strict=config.strict)
    base = base_space(task, config, MeasuredLatency.of(at))
    space = inherit((), base, mode="none", per_atom=1, shape=task.shape, classes=len(task.classes))
    shared = {name: getattr(config, name) for name in SHARED}
    searching = SearchConfig(
        inherit="none", fuse=config.fuse, training=config.training, recipes=(config.recipe,), **shared
    )
    with at.phase("search"):
        related = RelatedTasks(representative=representative)
        outcome = find(space, related, task, searching, at, wanted=True)
        best = best_first(outcome.seen)[0]
        network, images = _kept(best.architecture, task, searching, at)
        ledger = outcome.ledger.plus(best.architecture.key, best.macs, images)
        outcome = replace(outcome, ledger=ledger)
    return learnt_of(task, sealed, representative, outcome, network, config, watch, seed=at.seed.root)


def _kept(
    architecture: Architecture, task: Task, config: SearchConfig, at: Context
) -> tuple[StoredNetwork | None, int]:
    """The trained network for the atom (None: its training diverged), and the images that it was given."""
    trainings = Trainings(task, config, at.child("kept"))
    training = trainings.make(Start(architecture=architecture), trainings.recipes[0])
    try:
        training.run()
    except NonFiniteError as error:
        at.warn(f"{error} No network of {task.name} is kept.")
        return None, len(training.losses) * len(task.train)
    network = training.network.cpu()
    assert isinstance(network, Network)
    kept = stored(network, architecture, task.shape, task.classes, task.train, made_by="build")
    return kept, len(training.losses) * len(task.train)


@dataclass(frozen=True, kw_only=True)
class Pace:
    """The training speed of networks on this machine, in seconds for each training image and epoch."""

    representative: float
    candidate: float
    """Of a candidate of the space: a mean over a few."""


def measure_pace(task: Task, config: LearnConfig, *, seed: Seed, device: str) -> Pace:
    """Time training steps of a representative and of a few candidates; their gradients are thrown away."""
    with one_thread():  # as in a worker, where atoms are learnt
        batch = config.fuse.schedule.training.batch
        examples = examples_of(base_space(task, config), task, seed=seed)
        candidate = mean_pace(examples, task, batch, seed=seed, device=device)
        shape, steps = config.representative.sees(task.shape), config.representative.training.batch
        with seed.initialising():
            network = RepresentativeNetwork(config.representative, shape, len(task.classes))
        seen = replace(task, train=shrunk(task.train.subset(slice(steps)), shape))
        representative = seconds_an_image(network, seen, steps, device)
    return Pace(representative=representative, candidate=candidate)


def expected_seconds(task: Task, config: LearnConfig, pace: Pace) -> float:
    """About how long `learn_atom` takes from its beginning, at a pace measured on images of the task's size.

    Unknown lengths are taken halfway: between the representative's first training and its whole budget, and half of the
    stages until alpha converges. All rounds count, and a new candidate wins a round as often as chance has it.
    """
    config = config.suited_to(len(task.train))
    fuse, images = config.fuse, len(task.train)
    searched = Fuse(fuse).expected_images(base_space(task, config), task, workers=1)
    winners = 1 + (fuse.rounds - 1) * (1 - 1 / fuse.candidates)
    a_score = images_of_scores(1, config.scoring, task, workers=1)
    first, _, most = config.representative.epochs_for(images)
    represent_s = pace.representative * (first + max(first, most)) / 2 * images
    training = config.training.suited_to(images)
    return represent_s + pace.candidate * (searched + winners * a_score + training.epochs * images)
