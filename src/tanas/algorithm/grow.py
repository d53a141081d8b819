"""Growing and compressing: FUSE that begins with an existing architecture and searches its transformations."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from tanas.algorithm.final import train
from tanas.algorithm.presets import SearchConfig
from tanas.algorithm.related import RelatedTasks
from tanas.algorithm.result import Grown, Recorded, Result, Sized
from tanas.algorithm.search import Found
from tanas.algorithm.space import SpaceDefined, base_space
from tanas.algorithm.target import Target
from tanas.algorithm.time_limit import for_search
from tanas.algorithm.winner import Winner, estimating, score_winners
from tanas.ground.context import Context
from tanas.ground.errors import SettingError
from tanas.networks.architecture import Architecture, Network
from tanas.networks.morph import morph_along
from tanas.networks.scoring import ScoredArchitecture, unscored
from tanas.spaces.differences import differences
from tanas.spaces.inherit import Inherited
from tanas.spaces.latency import Latency
from tanas.spaces.named import named_space
from tanas.spaces.space import SearchSpace
from tanas.spaces.transformations import Transformations
from tanas.strategies.base import Outcome
from tanas.strategies.driver import Problem, search
from tanas.strategies.fuse import Fuse
from tanas.tasks.task import Sealed, Task

HOW = {
    "grow": "Every candidate was one transformation of the best architecture so far (wider, deeper, an operation "
    "replaced, or an edge added)",
    "compress": "Every candidate was the end of a chain of transformations (narrower, shallower, a cheaper operation, "
    "or an edge dropped) that led within the limits",
}
"""How candidates came about, by the aim."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TrainedOrigin:
    """The run that the architecture comes from."""

    network: Network = field(repr=False)
    """Its network from before the refit, which has seen no validation image."""
    result: Result
    sha256: str
    """Of the file of its weights."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Origin:
    """The architecture to grow or compress."""

    architecture: Architecture
    name: str
    """In words, such as 'the network of digits:is=8'."""
    trained: TrainedOrigin | None
    """None: an architecture alone. The weights of an export are not used, because they might have seen test images."""


def transform(
    task: Task, origin: Origin, aim: str, config: SearchConfig, at: Context, *, keep_weights: bool = True
) -> Found:
    """Grow or compress an architecture for a task, then train and test the result.

    All candidates begin with new weights. Only the final training continues from the weights of the origin, where
    possible: see `kept_network`. A dictionary can't remember the result, because no distance is measured.

    Args:
        task: as its source gives it. Its test split is opened once, at the end.
        origin: the architecture to begin with.
        aim: 'grow' or 'compress'.
        config: the settings of the search; its space has the operations for new edges, its limits are the goal.
        at: seed, device, workers, listener and checkpoint.
        keep_weights: whether the final training may continue from the origin's weights.

    Raises:
        SettingError: no transformation satisfies the limits; the message names limits that can be reached.
        SearchError: every candidate failed.
    """
    target = Target.of(task, config, at)
    task, config = target.searched, target.config
    moves = transformations_of(origin, aim, task, config, target.latency)
    inherited = _space(moves, origin, task, at)

    # the seed is the architecture as it is, unless it exceeds the limits
    with at.phase("search"):
        hurried = for_search(base_space(task, config), target.task, config, at)
        outcome = _find(moves, inherited.space, task, config, hurried)
        outcome, before = _scored(moves, outcome, task, config, hurried)
        at.tell(outcome.chosen(task.name))
    network, weights = kept_network(origin, outcome, task, target.sealed, at, wanted=keep_weights)
    at.say(weights)
    trained = train(outcome, base_space(task, config), target, at, network=network)
    grown = Grown(
        aim=moves.aim,
        origin=origin.name,
        before=_sized(before),
        after=_sized(next(seen for seen in outcome.seen if seen.architecture == outcome.best)),
        differences=differences(moves.origin, outcome.best),
        recorded=_recorded(origin, target),
        kept_weights=network is not None,
        weights=weights,
    )
    return Found(
        target=target,
        related=RelatedTasks(),
        space=inherited,
        search=outcome,
        winner=Winner(outcome=outcome),
        trained=trained,
        grown=grown,
    )


def transformations_of(
    origin: Origin, aim: str, task: Task, config: SearchConfig, latency: Latency
) -> Transformations:
    """Return the transformations of the origin for a task; a `SettingError` if none satisfies the limits."""
    if config.strategy != "fuse":
        raise SettingError(
            f"The 'strategy' of {aim} must be fuse: no other strategy compares transformations. "
            f"Got {config.strategy!r} instead. Leave it out."
        )
    limited = replace(
        named_space(config.space, shape=task.shape, classes=len(task.classes)),
        max_parameters=config.max_parameters,
        max_macs=config.max_macs,
        max_latency_ms=config.max_latency_ms,
        latency=latency,
    )
    return Transformations.of(aim, origin.architecture, limited, shape=task.shape, classes=len(task.classes))


def kept_network(
    origin: Origin, outcome: Outcome, task: Task, sealed: Sealed, at: Context, *, wanted: bool
) -> tuple[Network | None, str]:
    """Return the network that the final training begins with (None: from scratch), and a sentence that says why.

    Weights are kept if every transformation from the origin to the architecture found keeps the function, and if the
    run had the same test split, by its hash: no weight may have seen a test image.
    """
    scratch = "The final training began from scratch"
    if origin.trained is None:
        return None, f"{scratch}: an architecture was given, without a trained network."
    if not wanted:
        return None, f"{scratch}, as you asked."
    run = origin.trained.result.task
    if (run.test_fingerprint, run.split_seed) != (sealed.fingerprint, task.split_seed):
        return None, (
            f"{scratch}: the run had another task or split, so its weights may have seen test images of this task."
        )
    path = [origin.architecture.canonical()]  # over the rounds' winners to the architecture found
    for past in outcome.rounds:
        if (winner := past.candidates[past.winner]) != path[-1]:
            path.append(winner)
    seed = at.seed.child("final", "morph")
    network = morph_along(
        origin.trained.network, tuple(path), shape=task.shape, classes=len(task.classes), seed=seed
    )
    if network is None:
        return None, f"{scratch}: the architecture found can't reproduce the network of the run."
    return network, (
        "The final training continued from the weights of the run: at its start, the network gave the same answers as "
        "the network of the run."
    )


def _space(moves: Transformations, origin: Origin, task: Task, at: Context) -> Inherited:
    """The space around the origin, as its record shows it: architectures one transformation apart."""
    apart = moves.apart(moves.origin)
    skeletons = {moves.origin.skeleton, *(architecture.skeleton for architecture in apart)}
    limits = f"at most {moves.space.max_parameters:,} parameters and {moves.space.max_macs:,} multiply-adds"
    if moves.space.max_latency_ms is not None:
        limits += f" and {moves.space.max_latency_ms:g} ms per image"
    note = (
        f"The search began with {origin.name}. {HOW[moves.aim]}, with {limits}. {len(apart):,} architectures are one "
        "transformation apart from it, before limits."
    )
    space = replace(moves.space, skeletons=tuple(skeletons))
    size = len(apart) + 1
    at.tell(SpaceDefined(task=task.name, note=note, size=size))
    at.say(note)
    return Inherited(space=space, seed_architecture=moves.origin, mode="none", note=note, size=size)


def _find(
    moves: Transformations, space: SearchSpace, task: Task, config: SearchConfig, at: Context
) -> Outcome:
    strategy = Fuse(config.fuse, draw=moves.candidates, scoring=config.scoring)
    listener = estimating(strategy, space, task, config, at, examples=[moves.origin])
    problem = Problem(
        space=space,
        task=task,
        at=at.child("search").heard_by(listener),
        seed_architecture=moves.origin if moves.allows(moves.origin) else None,
        budget_macs=config.budget_macs,
    )
    return search(strategy, problem)


def _scored(
    moves: Transformations, outcome: Outcome, task: Task, config: SearchConfig, at: Context
) -> tuple[Outcome, ScoredArchitecture]:
    """The outcome with scores of the winners, and the origin with its score, by the same short training."""
    outcome = score_winners(outcome, task, config.scoring, at=at)
    known = {seen.architecture: seen for seen in outcome.seen if seen.score is not None}
    if moves.origin in known or outcome.stopped == "time":
        return outcome, known.get(moves.origin, unscored(moves.origin, task))
    alone = replace(outcome, best=moves.origin, rounds=(), seen=(unscored(moves.origin, task),))
    alone = score_winners(alone, task, config.scoring, at=at)
    (before,) = alone.seen
    every = tuple(before if seen.architecture == moves.origin else seen for seen in outcome.seen)
    return replace(outcome, seen=every, ledger=alone.ledger), before


def _sized(scored: ScoredArchitecture) -> Sized:
    return Sized(
        architecture=scored.architecture, parameters=scored.parameters, macs=scored.macs, score=scored.score
    )


def _recorded(origin: Origin, target: Target) -> Recorded | None:
    if origin.trained is None:
        return None
    task, metrics = origin.trained.result.task, origin.trained.result.metrics
    images = (target.searched.fingerprint, target.sealed.fingerprint)
    return Recorded(
        task=task.name,
        validation_error=metrics.validation_error,
        validation_balanced_error=metrics.validation_balanced_error,
        test_error=metrics.test_error,
        test_balanced_error=metrics.test_balanced_error,
        same_images=(task.fingerprint, task.test_fingerprint) == images,
    )
