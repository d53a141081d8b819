"""The search itself, and the choice of the architecture for the final training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from tanas.algorithm.presets import SearchConfig
from tanas.algorithm.related import RelatedTasks
from tanas.algorithm.space import timed
from tanas.dictionary.task_record import Reuse
from tanas.ground.context import Context
from tanas.ground.errors import NonFiniteError
from tanas.ground.events import Event, Listener, StepStarted, Warned
from tanas.ground.records import from_plain, to_plain
from tanas.networks.architecture import Architecture, Network, build, cost_of
from tanas.networks.scoring import ScoredArchitecture, ScoringConfig, score, unscored
from tanas.networks.threads import in_threads
from tanas.spaces.inherit import Inherited
from tanas.spaces.latency import MeasuredLatency
from tanas.spaces.reference import reference_architecture
from tanas.spaces.space import SearchSpace
from tanas.strategies.base import Ledger, Outcome
from tanas.strategies.driver import Problem, Strategy, search
from tanas.strategies.estimate import examples_of, expected_seconds
from tanas.strategies.fuse import final_choice
from tanas.strategies.registry import make_strategy
from tanas.tasks.task import Task

MOST_GAINS = 10
"""Gains that a memory measures. Each costs two short trainings; the standard error of the mean of ten is a third of
their standard deviation."""

EVALUATED_AGAIN = "looked_again"
"""Checkpoint entry: whether time was left for the second evaluation."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Winner:
    """The architecture for the final training."""

    outcome: Outcome
    """Of the search; its best architecture gets the final training."""
    gain: Reuse | None = None
    """The gain over reuse; None: not measured."""

    @property
    def replaceable(self) -> bool:
        """Whether the reference network may be handed over instead: after a search."""
        return bool(self.outcome.rounds) or self.outcome.stopped == "time"


def choose(
    outcome: Outcome,
    inherited: Inherited,
    related: RelatedTasks,
    task: Task,
    config: SearchConfig,
    at: Context,
    *,
    learns: bool = True,
) -> Winner:
    """Return the architecture for the final training; with `learns`, the memory gets the gain over reuse."""
    winner = Winner(outcome=outcome)
    if learns:
        winner = with_gain(winner, inherited, related, task, config, at)
    at.tell(winner.outcome.chosen(task.name))
    return winner


def find(
    inherited: Inherited,
    related: RelatedTasks,
    task: Task,
    config: SearchConfig,
    at: Context,
    *,
    learns: bool = True,
    wanted: bool = False,
) -> Outcome:
    """Search the space for the best architecture. Winners are scored where a choice or the memory needs it.

    With `learns`, a memory may learn the scores; with `wanted`, winners are scored in any case.

    Source: Algorithm 1, "while criteria not met: sample C candidates, evaluate them using FUSE".
    """
    first = None
    if (taken := inherited.transferred) is not None:
        # scored below, so that the next task can inherit from this one
        outcome = Outcome(best=taken, rounds=(), seen=(unscored(taken, task),), stopped="transferred")
    else:
        first = inherited.seed_architecture if config.inherit_seed else None
        strategy = make_strategy(config.strategy, led(config, inherited.space, at))
        problem = Problem(
            space=inherited.space,
            task=task,
            at=at.child("search").heard_by(estimating(strategy, inherited.space, task, config, at)),
            seed_architecture=first_seed(inherited, task, config),
            budget_macs=config.budget_macs,
        )
        outcome = search(strategy, problem)
        if outcome.stopped == "time" and not outcome.rounds:
            return outcome
    if isinstance(latency := inherited.space.latency, MeasuredLatency) and (note := timed(config, latency)):
        at.say(note)
    if not learns and not _needs_scores(inherited, config):
        return outcome
    wanted = wanted or (learns and (related.known.own is not None or gain_wanted(inherited, related, config)))
    if (alone := _alone(outcome, config)) and not wanted:
        at.say(f"{outcome.best.key} won the only round, so it gets no score before its final training.")
        return outcome
    # the reused architecture is scored in any case: the memory learns the gain over reuse
    also = () if first is None else (first,)
    outcome = score_winners(outcome, task, config.scoring, at=at, also=also)
    # scores for the memory alone must not change the result
    return final_choice(outcome, config.fuse) if config.strategy == "fuse" and not alone else outcome


def first_seed(inherited: Inherited, task: Task, config: SearchConfig) -> Architecture | None:
    """Return the architecture that the first round begins with: the inherited one, else the reference network's.

    So a search that finds nothing better ends with the reference network. None: the space has neither.
    """
    if config.inherit_seed and inherited.seed_architecture is not None:
        return inherited.seed_architecture
    space = inherited.space
    reference = reference_architecture(space, task.shape, len(task.classes)) if config.reference else None
    return reference if reference is not None and space.contains(reference) else None


def led(config: SearchConfig, space: SearchSpace, at: Context) -> SearchConfig:
    """Return the settings with fewer FUSE rounds if the size trend is reliable; with a budget, unchanged."""
    rounds, fewer = config.fuse.rounds, config.led_rounds()
    known = space.size_trend is not None and space.size_trend.leads
    if config.strategy != "fuse" or config.budget_macs is not None or not known or fewer >= rounds:
        return config
    many = "1 round is" if fewer == 1 else f"{fewer} rounds are"
    at.say(
        f"The size trend of the remembered tasks is reliable, so {many} searched instead of {rounds} "
        "(the setting 'rounds_led')."
    )
    return replace(config, fuse=replace(config.fuse, rounds=fewer))


def estimating(
    strategy: Strategy,
    space: SearchSpace,
    task: Task,
    config: SearchConfig,
    at: Context,
    *,
    examples: Sequence[Architecture] | None = None,
) -> Listener:
    """Return a listener that adds the expected seconds when the search begins, and passes every event on.

    `examples` are the candidates to time; None: drawn from the space. Earlier sessions are not deducted.
    """
    step, own = f"search {task.name}", at.drawing("estimate")

    def told(event: Event) -> None:
        if isinstance(event, StepStarted) and event.step == step and event.estimate_s is None:
            candidates, batch = (
                examples or examples_of(space, task, seed=own.seed),
                config.scoring.training.batch,
            )
            seconds = expected_seconds(
                strategy, space, task, candidates, own, batch=batch, budget_macs=config.budget_macs
            )
            event = replace(event, estimate_s=seconds)
        at.tell(event)

    return told


def score_winners(
    outcome: Outcome,
    task: Task,
    config: ScoringConfig,
    *,
    at: Context,
    also: Sequence[Architecture] = (),
) -> Outcome:
    """Return the outcome with scores of the best architecture, every round's winner and `also`, and their cost.

    After the time limit, only the best architecture is scored. Existing scores are kept; scores do not depend on the
    workers.
    """
    winners = dict.fromkeys([outcome.best, *(past.candidates[past.winner] for past in outcome.rounds), *also])
    if outcome.stopped == "time":
        winners = {outcome.best: None}
    done = {seen.architecture.key: seen for seen in outcome.seen if seen.score is not None}
    ledger, images = outcome.ledger, len(task.limited(config.images).train)

    def scored(architecture: Architecture, network: Network, listener: Listener) -> ScoredArchitecture | None:
        """Train the network and return its score; None: no time is left."""
        own = at.child("score", architecture.key).heard_by(listener)
        part = own.checkpoint
        if (state := part.load("scored")) is not None:
            return from_plain(ScoredArchitecture, state, where="the checkpoint of a score")
        if architecture != outcome.best and at.deadline() <= 0:
            return None
        try:
            made = score(architecture, task, config, own, network=network)
        except NonFiniteError as error:
            listener(Warned(message=f"{error} The architecture gets no score."))
            made = unscored(architecture, task)
        part.save("scored", to_plain(made))
        return made

    # built here, one after the other: torch draws initial weights from one generator for all threads
    built = {
        winner: build(winner, task.shape, len(task.classes), at.seed.child("score", winner.key, "weights"))
        for winner in winners
        if winner.key not in done
    }
    jobs = [partial(scored, *entry) for entry in built.items()]
    for architecture, made in zip(built, in_threads(jobs, at.workers, at.listener), strict=True):
        if made is None:
            continue
        # a training that diverged is counted whole: its last epoch is unknown
        ledger = ledger.plus(architecture.key, made.macs, images * config.training.epochs)
        if made.score is not None:
            done[architecture.key] = made
    seen = tuple(done.get(seen.architecture.key, seen) for seen in outcome.seen)
    return replace(outcome, seen=seen, ledger=ledger)


def _needs_scores(inherited: Inherited, config: SearchConfig) -> bool:
    """Whether scores made after the search decide a choice: that of FUSE.

    Other strategies have already scored their choice, and a transferred architecture has no competitor.
    """
    return config.strategy == "fuse" and inherited.transferred is None


def _alone(outcome: Outcome, config: SearchConfig) -> bool:
    """Whether the winner of a single round needs no score, which saves a third of such a search.

    A budget includes the score; random search at equal cost is compared with it.
    """
    asked = config.budget_macs is not None or config.controls
    return config.strategy == "fuse" and len(outcome.rounds) == 1 and not asked


def gain_wanted(inherited: Inherited, related: RelatedTasks, config: SearchConfig) -> bool:
    """Whether to measure the gain over reuse: an architecture is reused, and the memory has too few gains."""
    reuses = [atom.reuse for _, atom in related.known.others if atom.reuse is not None]
    measured = sum(not reuse.warm for reuse in reuses)
    return config.inherit_seed and inherited.seed_architecture is not None and measured < MOST_GAINS


def with_gain(
    winner: Winner,
    inherited: Inherited,
    related: RelatedTasks,
    task: Task,
    config: SearchConfig,
    at: Context,
) -> Winner:
    """Return the winner with its gain over the architecture that could have been reused, if measurable.

    The best of several scores is biased upwards by about the noise of a score. So both architectures are scored a
    second time, from another seed, and the memory keeps these second scores.

    The winner's ledger includes the cost of measuring. If the remembered tasks have enough gains, nothing is scored.
    """
    first, found = inherited.seed_architecture, winner.outcome
    scores = {seen.architecture: seen.score for seen in found.seen}
    if first is None or not gain_wanted(inherited, related, config) or not found.rounds:
        return winner
    # a search that resumes after its time limit finishes a second evaluation that had begun
    if (in_time := at.checkpoint.load(EVALUATED_AGAIN)) is None:
        in_time = at.deadline() > 0
        at.checkpoint.save(EVALUATED_AGAIN, in_time)
    own, other = scores.get(first), scores.get(found.best)
    if not in_time or own is None or other is None:
        return winner
    reuse = None
    for near in related.neighbours:
        if any(seen.architecture.canonical() == first for seen in near.atom.architectures):
            reuse = Reuse(source=near.name, distance=near.measurement.value, score=own, best=own)
            break
    if reuse is None:
        return winner
    if found.best == first:
        return replace(winner, gain=reuse)  # the winner is the reused architecture: the gain is zero

    at.say("Second evaluation of the searched and the reused architecture: the gain over reuse.")
    ledger, images = Ledger(), len(task.limited(config.scoring.images).train)
    again: list[float] = []
    for architecture in (first, found.best):
        value = _short_score(architecture, task, config, at.child("again", architecture.key))
        macs = cost_of(architecture, task.shape, len(task.classes)).macs
        ledger = ledger.plus(f"{architecture.key}, again", macs, images * config.scoring.training.epochs)
        if value is not None:
            again.append(value)
    outcome = replace(winner.outcome, ledger=winner.outcome.ledger.with_all(ledger))
    gain = None if len(again) < 2 else replace(reuse, score=again[0], best=again[1])
    return replace(winner, outcome=outcome, gain=gain)


def _short_score(architecture: Architecture, task: Task, config: SearchConfig, at: Context) -> float | None:
    """Validation performance l after the fixed short training; None if it diverged."""
    if (state := at.checkpoint.load("scored")) is not None:
        return None if state["score"] is None else float(state["score"])
    value = None
    try:
        value = score(architecture, task, config.scoring, at).score
    except NonFiniteError as error:
        at.say(f"{error} This training is left out.")
    at.checkpoint.save("scored", {"score": value})
    return value
