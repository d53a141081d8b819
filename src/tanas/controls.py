"""Random search beside a search, so that its report says where it stands."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from tanas.errors import BudgetError
from tanas.events import Told, Warned
from tanas.phases import Trained, Workplace, estimating, train
from tanas.presets import SearchConfig
from tanas.seeds import Seed
from tanas.spaces.inherit import Inherited
from tanas.starts import Starts, begin
from tanas.strategies.base import Outcome
from tanas.strategies.random_search import RandomConfig, RandomSearch
from tanas.tasks.task import Task

MOST_CONTROLS = 10_000
"""Candidates of random search beside: its budget ends it long before."""


@dataclass(frozen=True)
class Controlled:
    """What random search found for the same multiply-adds."""

    outcome: Outcome
    """Of random search; what was trained is its best, or a related task's network that was ahead of it."""
    trained: Trained


def control(
    inherited: Inherited,
    task: Task,
    outcome: Outcome,
    starts: Starts | None,
    config: SearchConfig,
    seed: Seed,
    place: Workplace,
) -> Controlled | None:
    """Random search beside: same space, first seed, images, recipe and cost; its winner is trained and tested too.

    The weights of related tasks are offered to it as to the search.

    Args:
        inherited: space and first seed.
        task: with its test split, which is touched after both searches have ended.
        outcome: of the search that it is held against, before weights were offered to it.
        starts: what related tasks offer; None: nobody asked.
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
    blind, limited = task.without_test(), replace(config, budget_macs=outcome.ledger.macs)
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
    trained = train(start.outcome.best, task, config, seed, place, network=network, part="control")
    return Controlled(start.outcome, trained)
