"""Growing and compressing: FUSE that begins with an existing architecture and searches its transformations.

The counterpart of `tanas.algorithm.search` for a network that exists already.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace

from tanas.algorithm.final import Trained, examine, finish
from tanas.algorithm.presets import SearchConfig
from tanas.algorithm.related import introduce, nothing_known
from tanas.algorithm.result import Grown, Recorded, Result, Sized
from tanas.algorithm.search import Found
from tanas.algorithm.space import SpaceDefined
from tanas.algorithm.warm_start import Winner
from tanas.algorithm.winner import estimating
from tanas.dictionary.learn import score_winners, space_of
from tanas.ground.context import Context
from tanas.ground.errors import SettingError
from tanas.ground.events import Told
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture, Network
from tanas.networks.morph import morph_along
from tanas.networks.scoring import ScoredArchitecture, unscored
from tanas.spaces.differences import differences
from tanas.spaces.inherit import Inherited
from tanas.spaces.latency import Latency, MeasuredLatency
from tanas.spaces.reference import reference_architecture
from tanas.spaces.space import SearchSpace
from tanas.spaces.transformations import GROW, Transformations
from tanas.strategies.base import Outcome
from tanas.strategies.driver import Problem, search
from tanas.strategies.fuse import Fuse
from tanas.tasks.task import Sealed, Task


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
    """None: an architecture alone. The weights of an export are not used, because it does not record which images they
    have seen; these might be test images of the task."""


def transform(
    task: Task,
    origin: Origin,
    aim: str,
    config: SearchConfig,
    at: Context,
    *,
    keep_weights: bool = True,
) -> Found:
    """Grow or compress an architecture for a task, then train and test the result.

    All candidates begin with new weights, so none has a head start. Only the final training continues from the weights
    of the origin, where possible: see `kept_network`.

    Args:
        task: as its source gives it. Its test split is opened once, at the end.
        origin: the architecture to begin with.
        aim: 'grow' or 'compress'.
        config: the settings of the search; its space has the operations for new edges, its limits are the goal.
        at: seed, device, workers, listener and checkpoint.
        keep_weights: whether the final training may continue from the origin's weights.

    Returns:
        the result; a dictionary can't remember it, because no distance is measured.

    Raises:
        SettingError: no transformation satisfies the limits; the message names limits that can be reached.
        SearchError: every candidate failed.
    """
    task, sealed = task.measured_by(config.performance).sealed()
    small = task.limited(config.limit)
    config = config.suited_to(len(small.train))
    introduce(small, len(task.train), at)
    latency = MeasuredLatency.of(at)
    moves = transformations_of(origin, aim, small, config, latency)
    inherited = _space(moves, origin, small, at)

    # the seed is the architecture as it is, unless it exceeds the limits
    with at.phase("search"):
        outcome = _find(moves, inherited.space, small, config, at)
        outcome, before = _scored(moves, outcome, small, config, at)
        at.tell(outcome.chosen(task.name))
    with at.phase("train"):
        network, weights = kept_network(origin, outcome, small, sealed, at, wanted=keep_weights)
        at.tell(Told(message=weights))
        base = space_of(config.space, small, max_parameters=config.max_parameters, max_macs=config.max_macs)
        reference = reference_architecture(base, task.shape, len(task.classes)) if config.reference else None
        final = at.child("final")
        ending = finish(outcome.best, task, config, final, network=network, reference=reference)
        test = sealed.open()
        trained = Trained(
            ending=ending,
            outcome=outcome,
            test=test,
            examined=examine(ending.found.network, task, test, at),
        )
    grown = _grown(origin, moves, before, outcome, small, sealed, kept=network is not None, weights=weights)
    return Found(
        task=task,
        sealed=sealed,
        searched=small,
        config=config,
        related=nothing_known(),
        space=inherited,
        latency=latency,
        search=outcome,
        winner=Winner(outcome=outcome),
        trained=trained,
        grown=grown,
    )


def transformations_of(
    origin: Origin, aim: str, task: Task, config: SearchConfig, latency: Latency
) -> Transformations:
    """Return the transformations of the origin for a task, within the limits.

    Args:
        origin: the architecture to begin with.
        aim: 'grow' or 'compress'.
        task: without its test split.
        config: has the space and the limits.
        latency: measures how long an architecture takes; used only if there is a limit on it.

    Raises:
        SettingError: no transformation satisfies the limits, or the strategy is not FUSE.
        UnknownNameError: the space, or an operation of the origin, is unknown.
    """
    if config.strategy != "fuse":
        raise SettingError(
            f"The 'strategy' of {aim} must be fuse: no other strategy compares transformations. "
            f"Got {config.strategy!r} instead. Leave it out."
        )
    base = space_of(config.space, task, max_parameters=None, max_macs=None)
    limited = replace(
        base,
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
    run had the same test split: no weight may have seen a test image.

    Args:
        origin: the architecture that the search began with.
        outcome: of the search; its rounds hold the transformations.
        task: without its test split.
        sealed: its test split, whose hash is compared.
        at: its seed sets the new weights.
        wanted: whether weights may be kept.
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
    path = _path(origin.architecture.canonical(), outcome)
    network = morph_along(
        origin.trained.network,
        path,
        shape=task.shape,
        classes=len(task.classes),
        seed=at.seed.child("final", "morph"),
    )
    if network is None:
        return None, f"{scratch}: the architecture found can't reproduce the network of the run."
    return network, (
        "The final training continued from the weights of the run: at its start, the network gave the same answers as "
        "the network of the run."
    )


def _path(start: Architecture, outcome: Outcome) -> tuple[Architecture, ...]:
    """The architectures from the origin over the rounds' winners to the architecture found, without repeats."""
    path = [start]
    for past in outcome.rounds:
        if (winner := past.candidates[past.winner]) != path[-1]:
            path.append(winner)
    return tuple(path)


def _space(moves: Transformations, origin: Origin, task: Task, at: Context) -> Inherited:
    """The space around the origin, as its record shows it: architectures one transformation apart."""
    apart = moves.apart(moves.origin)
    skeletons = {moves.origin.skeleton, *(one.skeleton for one in apart)}
    limits = f"at most {moves.max_parameters:,} parameters and {moves.max_macs:,} multiply-adds"
    if moves.max_latency_ms is not None:
        limits += f" and {moves.max_latency_ms:g} ms per image"
    if moves.aim == GROW:
        how = (
            "Every candidate was one transformation of the best architecture so far (wider, deeper, an operation "
            "replaced, or an edge added)"
        )
    else:
        how = (
            "Every candidate was the end of a chain of transformations (narrower, shallower, a cheaper operation, "
            "or an edge dropped) that led within the limits"
        )
    note = (
        f"The search began with {origin.name}. {how}, with {limits}. {len(apart):,} architectures are one "
        "transformation apart from it, before limits."
    )
    space = SearchSpace(
        name=moves.aim,
        operations=moves.operations,
        nodes=moves.nodes,
        skeletons=tuple(skeletons),
        max_parameters=moves.max_parameters,
        max_macs=moves.max_macs,
        max_latency_ms=moves.max_latency_ms,
        latency=moves.latency,
    )
    size = len(apart) + 1
    at.tell(SpaceDefined(task=task.name, note=note, size=size))
    at.tell(Told(message=note))
    return Inherited(space=space, seed_architecture=moves.origin, mode="none", note=note, size=size)


def _find(
    moves: Transformations, space: SearchSpace, task: Task, config: SearchConfig, at: Context
) -> Outcome:
    def draw(
        problem: Problem, best: Architecture | None, count: int, seed: Seed, without: Collection[Architecture]
    ) -> tuple[Architecture, ...]:
        return moves.candidates(best, count, seed=seed, without=without)

    strategy = Fuse(config.fuse, draw=draw, scoring=config.scoring)
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

    def scores_of(one: Outcome) -> Outcome:
        return score_winners(one, task, config.scoring, at=at)

    outcome = scores_of(outcome)
    known = {one.architecture: one for one in outcome.seen if one.score is not None}
    if moves.origin in known or outcome.stopped == "time":
        return outcome, known.get(moves.origin, unscored(moves.origin, task))
    alone = scores_of(
        Outcome(
            best=moves.origin,
            rounds=(),
            seen=(unscored(moves.origin, task),),
            stopped=outcome.stopped,
            ledger=outcome.ledger,
        )
    )
    (before,) = alone.seen
    seen = tuple(before if one.architecture == moves.origin else one for one in outcome.seen)
    return replace(outcome, seen=seen, ledger=alone.ledger), before


def _grown(
    origin: Origin,
    moves: Transformations,
    before: ScoredArchitecture,
    outcome: Outcome,
    task: Task,
    sealed: Sealed,
    *,
    kept: bool,
    weights: str,
) -> Grown:
    after = next(one for one in outcome.seen if one.architecture == outcome.best)
    return Grown(
        aim=moves.aim,
        origin=origin.name,
        before=_sized(before),
        after=_sized(after),
        differences=differences(moves.origin, outcome.best),
        recorded=_recorded(origin, task, sealed),
        kept_weights=kept,
        weights=weights,
    )


def _sized(scored: ScoredArchitecture) -> Sized:
    return Sized(
        architecture=scored.architecture,
        parameters=scored.parameters,
        macs=scored.macs,
        score=scored.score,
    )


def _recorded(origin: Origin, task: Task, sealed: Sealed) -> Recorded | None:
    if origin.trained is None:
        return None
    result = origin.trained.result
    return Recorded(
        task=result.task.name,
        validation_error=result.metrics.validation_error,
        validation_balanced_error=result.metrics.validation_balanced_error,
        test_error=result.metrics.test_error,
        test_balanced_error=result.metrics.test_balanced_error,
        same_images=(result.task.fingerprint, result.task.test_fingerprint)
        == (task.fingerprint, sealed.fingerprint),
    )
