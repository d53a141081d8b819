"""The search itself, and the choice of the architecture and the weights for the final training."""

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
    """Return the architecture for the final training, and the weights that it begins with.

    Args:
        outcome: of the search.
        inherited: the space, and the first seed.
        related: the remembered tasks.
        offered: the networks of related tasks with their scores; None: `warm_weights` is off.
        task: without its test split.
        config: the settings of the search.
        at: seed, device, workers, listener and checkpoint.
        learns: whether to measure the gain over reuse for the memory.
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
    """Search the space for the best architecture. Winners are scored where a choice or the memory needs it.

    Args:
        inherited: the space, and the first seed.
        related: the remembered tasks.
        task: without its test split.
        config: the settings of the search.
        at: seed, device, workers, listener and checkpoint.
        learns: whether a memory may learn the scores; if not, only scores that decide a choice are made.
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
        at.tell(
            Told(
                message=f"{outcome.best.key} won the only round, so it gets no score before its final training."
            )
        )
        return outcome
    # the reused architecture is scored in any case: the memory learns the gain over reuse
    also = () if first is None else (first,)
    outcome = score_winners(outcome, task, config.scoring, at=at, also=also, networks=networks)
    # whether a dictionary wants scores must not change what is found
    return final_choice(outcome, config.fuse) if config.strategy == "fuse" and not alone else outcome


def led(config: SearchConfig, space: SearchSpace, at: Context) -> SearchConfig:
    """Return the settings with fewer FUSE rounds if the size trend is reliable; with a budget, unchanged."""
    rounds, fewer = config.fuse.rounds, config.led_rounds()
    known = space.size_trend is not None and space.size_trend.leads
    if config.strategy != "fuse" or config.budget_macs is not None or not known or fewer >= rounds:
        return config
    many = "1 round is" if fewer == 1 else f"{fewer} rounds are"
    at.tell(
        Told(
            message=f"The size trend of the remembered tasks is reliable, so {many} searched instead of {rounds} "
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
    """Return a listener that adds the expected seconds when the search begins; earlier sessions are not deducted.

    Args:
        strategy: the strategy that will search.
        space: the search space.
        task: the task.
        config: the settings of the search.
        at: the seed of the candidates to time, and the listener that hears every event.
        examples: candidates to time; None: drawn from the space.
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
    """Whether scores made after the search decide a choice.

    FUSE chooses among its winners by score, and networks of related tasks are compared with the winner. Other
    strategies have already scored their choice, and a transferred architecture has no competitor.
    """
    return config.warm_weights or (config.strategy == "fuse" and inherited.transferred is None)


def _alone(outcome: Outcome, config: SearchConfig) -> bool:
    """Whether the winner needs no score because there was only one round. This saves a third of such a search.

    A budget includes the score; networks of related tasks and random search at equal cost are compared with it.
    """
    asked = config.budget_macs is not None or config.warm_weights or config.controls
    return config.strategy == "fuse" and len(outcome.rounds) == 1 and not asked
