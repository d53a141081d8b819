"""What stands beside a network, so that its report says what it is worth: rivals, and random search if asked."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from tanas.algorithm.final import Ending, Recipe, Tested, finish, tested
from tanas.algorithm.phases import Workplace, estimating
from tanas.algorithm.presets import SearchConfig
from tanas.algorithm.result import FOUND, NO_SEARCH, Rival
from tanas.algorithm.warm_start import Starts, begin
from tanas.ground.errors import BudgetError
from tanas.ground.events import StepFinished, StepStarted, Told, Warned
from tanas.ground.seeds import Seed
from tanas.networks.rivals import classic_rivals
from tanas.spaces.inherit import Inherited
from tanas.strategies.base import Outcome
from tanas.strategies.random_search import RandomConfig, RandomSearch
from tanas.tasks.performance import Evaluation
from tanas.tasks.task import Task

MOST_CONTROLS = 10_000
"""Candidates of random search beside: its budget ends it long before."""


@dataclass(frozen=True)
class Controlled:
    """What random search found for the same multiply-adds."""

    outcome: Outcome
    """Of random search; what was trained is its best, or a related task's network that was ahead of it."""
    ending: Ending
    test: Tested


def control(
    inherited: Inherited,
    task: Task,
    outcome: Outcome,
    starts: Starts | None,
    recipe: Recipe,
    config: SearchConfig,
    seed: Seed,
    place: Workplace,
) -> Controlled | None:
    """Random search beside: same space, first seed, images, recipe and cost; its winner is trained and tested too.

    The weights of related tasks are offered to it as to the search.

    Args:
        inherited: space and first seed.
        task: all of its images, with its test split, which is touched after both searches have ended.
        outcome: of the search that it is held against, before weights were offered to it.
        starts: what related tasks offer; None: nobody asked.
        recipe: of the network that it is held against.
        config: how.
        seed: of the run.
        place: where.

    Returns:
        None: nobody asked, or there was no search to hold it against, or that cost less than any training of random
        search would.
    """
    if not config.controls:
        return None
    if not outcome.rounds:
        place.tell(Told(message="There is no control: nothing was searched that it could be held against."))
        return None
    strategy = RandomSearch(RandomConfig(candidates=MOST_CONTROLS), config.scoring)
    blind, limited = (
        task.limited(config.limit).without_test(),
        replace(config, budget_macs=outcome.ledger.macs),
    )
    try:
        found = strategy.search(
            inherited.space,
            blind,
            seed_architecture=inherited.seed_architecture if config.inherit_seed else None,
            seed=seed.child("search"),
            device=place.device,
            workers=place.workers,
            deadline=lambda: math.inf,
            listener=estimating(strategy, inherited.space, blind, limited, seed, place),
            checkpoint=place.checkpoint.child("control"),
            budget_macs=limited.budget_macs,
        )
    except BudgetError as error:  # a finished search is not lost for want of a control
        place.tell(Warned(message=f"There is no control. {error}"))
        return None
    start = begin(found, starts, blind)
    network = start.network(task, config, seed)
    alike = replace(config, recipes=(recipe.name,))
    best = start.outcome.best
    ending = finish(best, task.without_test(), alike, seed, place, network=network, part="control")
    return Controlled(start.outcome, ending, tested(ending.found.network, task, place))


def rivals_beside(
    ending: Ending, task: Task, config: SearchConfig, seed: Seed, place: Workplace
) -> tuple[Rival, ...]:
    """What the network that is handed over must beat, tested on the same images; the best first.

    Args:
        ending: of the final training.
        task: with its test split, which was opened already.
        config: says whether classic methods are asked for.
        seed: of the run.
        place: where, and who is told.
    """
    rivals: list[Rival] = []
    if (other := ending.other) is not None:
        test = tested(other.network, task, place).evaluation
        parameters = sum(weights.numel() for weights in other.network.parameters())
        name = FOUND if ending.reference_taken else NO_SEARCH
        what = f"{other.architecture.key}, {parameters:,} parameters, "
        what += (
            "the same training" if other.refitted or not config.refit else "the same training, not refitted"
        )
        rivals.append(
            Rival(
                name=name,
                settings=what,
                images=(other.refitted or other.fitted).images,
                test_error=test.error,
                test_balanced_error=test.balanced_error,
                took_s=other.fitted.seconds + (0.0 if other.refitted is None else other.refitted.seconds),
            )
        )
    if config.rivals:
        step = f"classic methods on {task.name}"
        place.tell(StepStarted(step=step, total=1, unit="comparisons"))
        for one in classic_rivals(
            task.train,
            task.validation,
            task.test,
            classes=len(task.classes),
            performance=task.performance,
            seed=seed.child("rivals"),
        ):
            counted = Evaluation.of(task.test.labels.numpy(), one.answers, len(task.classes))
            rivals.append(
                Rival(
                    name=one.name,
                    settings=one.settings,
                    images=one.images,
                    test_error=counted.error,
                    test_balanced_error=counted.balanced_error,
                    took_s=one.took_s,
                )
            )
        place.tell(StepFinished(step=step))
    balanced = task.performance == "balanced"
    return tuple(sorted(rivals, key=lambda one: one.test_balanced_error if balanced else one.test_error))
