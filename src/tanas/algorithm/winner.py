"""The search itself, and which architecture is trained in the end, with which first weights."""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence
from dataclasses import replace

from tanas.algorithm.presets import SearchConfig
from tanas.algorithm.related import RelatedTasks
from tanas.algorithm.search_gain import gain_wanted, with_gain
from tanas.algorithm.space import timed
from tanas.algorithm.warm_start import Offered, Winner, begin
from tanas.dictionary.learn import score_winners
from tanas.ground.context import Context
from tanas.ground.events import Event, Listener, StepStarted, Told
from tanas.networks.architecture import Architecture, Network
from tanas.networks.scoring import unscored
from tanas.spaces.inherit import Inherited
from tanas.spaces.latency import MeasuredLatency
from tanas.spaces.space import SearchSpace
from tanas.strategies.base import Outcome
from tanas.strategies.driver import Problem, Strategy, search
from tanas.strategies.estimate import examples_of, expected_seconds
from tanas.strategies.fuse import final_choice
from tanas.strategies.registry import make_strategy
from tanas.tasks.task import Task


def choose(
    outcome: Outcome,
    inherited: Inherited,
    related: RelatedTasks,
    offered: Offered | None,
    task: Task,
    config: SearchConfig,
    at: Context,
    *,
    learns: bool = True,
) -> Winner:
    """Chooses what is trained, and with which weights it begins.

    Args:
        outcome: of the search.
        inherited: the space, and the first seed.
        related: what is known.
        offered: what the networks of related tasks came to; None: nobody asked.
        task: without its test split.
        config: how.
        at: with what.
        learns: whether a dictionary learns what the search added to what could have been reused.
    """
    winner = begin(outcome, offered, task)
    if learns:
        winner = with_gain(winner, outcome, inherited, related, offered, task, config, at)
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
    networks: MutableMapping[str, Network] | None = None,
) -> Outcome:
    """Searches the space for the best architecture, and scores every round's winner where something hangs on it.

    Args:
        inherited: the space, and the first seed.
        related: what is known.
        task: without its test split.
        config: how.
        at: with what.
        learns: whether a dictionary may learn of it; else scores are made only where something is chosen by them.
        wanted: whether scores are wanted in any case.
        networks: is given the networks that were scored, by the keys of their architectures.

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
            seed_architecture=first,
            budget_macs=config.budget_macs,
        )
        outcome = search(strategy, problem)
    if isinstance(latency := inherited.space.latency, MeasuredLatency) and (note := timed(config, latency)):
        at.tell(Told(message=note))
    if not learns and not _needs_scores(inherited, config):
        return outcome
    wanted = wanted or (learns and (related.known.own is not None or gain_wanted(inherited, related, config)))
    if (alone := _alone(outcome, config)) and not wanted:
        at.tell(Told(message=f"{outcome.best.key} won alone: it is trained without a score before."))
        return outcome
    # the reused architecture is scored whoever wins: so a dictionary learns what a search adds to it
    also = () if first is None else (first,)
    outcome = score_winners(outcome, task, config.scoring, at=at, also=also, networks=networks)
    # whether a dictionary wants scores must not change what is found
    return final_choice(outcome, config.fuse) if config.strategy == "fuse" and not alone else outcome


def led(config: SearchConfig, space: SearchSpace, at: Context) -> SearchConfig:
    """The same with fewer rounds of FUSE where a memory leads the draws; a budget is to be spent whole."""
    rounds, fewer = config.fuse.rounds, config.led_rounds()
    known = space.size_trend is not None and space.size_trend.leads
    if config.strategy != "fuse" or config.budget_macs is not None or not known or fewer >= rounds:
        return config
    many = "1 round is" if fewer == 1 else f"{fewer} rounds are"
    at.tell(
        Told(
            message=f"So much is known of what sizes promise that {many} searched instead of {rounds} "
            "(the setting 'rounds_led')."
        )
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
    """Tells what it hears, and as a search begins, how long it will take; what an interrupted one did is not taken off.

    Args:
        strategy: that will search.
        space: where.
        task: what for.
        config: how.
        at: its seed is that of the candidates that are timed.
        examples: candidates that are timed; None: drawn from the space.
    """
    step, own = f"search {task.name}", at.drawing("estimate")

    def told(event: Event) -> None:
        if isinstance(event, StepStarted) and event.step == step and event.estimate_s is None:
            seconds = expected_seconds(
                strategy,
                space,
                task,
                examples or examples_of(space, task, seed=own.seed),
                own,
                batch=config.scoring.training.batch,
                budget_macs=config.budget_macs,
            )
            event = replace(event, estimate_s=seconds)
        at.tell(event)

    return told


def _needs_scores(inherited: Inherited, config: SearchConfig) -> bool:
    """Whether something is chosen by scores that are made after the search.

    FUSE chooses among its winners by them, and weights that are offered are held against the winner; other strategies
    have scored what they chose, and a reused architecture is the only one.
    """
    return config.warm_weights or (config.strategy == "fuse" and inherited.transferred is None)


def _alone(outcome: Outcome, config: SearchConfig) -> bool:
    """Whether the winner needs no score: there was one round, so no other won. A third of such a search is saved.

    A budget has paid for the score, and weights that are offered, or a control, are held against it.
    """
    asked = config.budget_macs is not None or config.warm_weights or config.controls
    return config.strategy == "fuse" and len(outcome.rounds) == 1 and not asked
