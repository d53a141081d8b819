"""What stands beside a network, so that its report says what it is worth: rivals, and random search if asked."""

from __future__ import annotations

from dataclasses import dataclass, replace

from tanas.algorithm.final import Ending, Examined, Trained, examine, finish
from tanas.algorithm.presets import SearchConfig
from tanas.algorithm.result import FOUND, NO_SEARCH, Rival
from tanas.algorithm.search import Found
from tanas.algorithm.warm_start import begin
from tanas.algorithm.winner import estimating
from tanas.ground.context import Context, no_limit
from tanas.ground.errors import BudgetError
from tanas.ground.events import StepFinished, StepStarted, Told, Warned
from tanas.networks.rivals import classic_rivals
from tanas.strategies.base import Outcome
from tanas.strategies.driver import Problem, search
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
    test: Examined


@dataclass(frozen=True, kw_only=True)
class Beside:
    """What a found network is held against."""

    control: Controlled | None = None
    """None: nobody asked, or there was no search to hold it against."""
    rivals: tuple[Rival, ...] = ()
    """The best first."""


def beside(found: Found, at: Context) -> Beside:
    """Random search, if it is asked for, and the rivals, tested on the same images as the found network."""
    with at.phase("control"):
        control = random_search_beside(found, at)
    with at.phase("rivals"):
        rivals = rivals_beside(found.trained, found.task, found.config, at)
    return Beside(control=control, rivals=rivals)


def random_search_beside(found: Found, at: Context) -> Controlled | None:
    """Random search beside: same space, first seed, images, recipe and cost; its winner is trained and tested too.

    The weights of related tasks are offered to it as to the search.

    Args:
        found: what it is held against; the test split was opened, which random search never sees.
        at: as of the search.

    Returns:
        None: nobody asked, or there was no search to hold it against, or that cost less than any training of random
        search would.
    """
    config, inherited, task = found.config, found.space, found.task
    if not config.controls:
        return None
    if not found.search.rounds:
        at.tell(Told(message="There is no control: nothing was searched that it could be held against."))
        return None
    strategy = RandomSearch(RandomConfig(candidates=MOST_CONTROLS), config.scoring)
    small, limited = task.limited(config.limit), replace(config, budget_macs=found.search.ledger.macs)
    # the draws are those of a search, the state is its own; a limit of time ended the search, not what is beside it
    own = replace(at.drawing("search").keeping("control"), deadline=no_limit)
    problem = Problem(
        space=inherited.space,
        task=small,
        at=own.heard_by(estimating(strategy, inherited.space, small, limited, at)),
        seed_architecture=inherited.seed_architecture if config.inherit_seed else None,
        budget_macs=limited.budget_macs,
    )
    try:
        outcome = search(strategy, problem)
    except BudgetError as error:  # a finished search is not lost for want of a control
        at.tell(Warned(message=f"There is no control. {error}"))
        return None
    winner = begin(outcome, found.offered, small)
    alike = replace(config, recipes=(found.trained.ending.recipe.name,))
    ending = finish(
        winner.outcome.best,
        task,
        alike,
        at.drawing("final").keeping("control"),
        network=winner.network(task, config, at),
    )
    test = examine(ending.found.network, task, found.trained.test, at)
    return Controlled(winner.outcome, ending, test)


def rivals_beside(trained: Trained, task: Task, config: SearchConfig, at: Context) -> tuple[Rival, ...]:
    """What the network that is handed over must beat, tested on the same images; the best first.

    Args:
        trained: what is handed over; its test split was opened.
        task: all of its images.
        config: says whether classic methods are asked for.
        at: with what.
    """
    rivals: list[Rival] = []
    ending, split = trained.ending, trained.test
    if (other := ending.other) is not None:
        test = examine(other.network, task, split, at).evaluation
        parameters = sum(weights.numel() for weights in other.network.parameters())
        alike = "the same training"
        if not other.refitted and config.refit:
            alike += ", not refitted"
        rivals.append(
            Rival(
                name=FOUND if ending.reference_taken else NO_SEARCH,
                settings=f"{other.architecture.key}, {parameters:,} parameters, {alike}",
                images=(other.refitted or other.fitted).images,
                test_error=test.error,
                test_balanced_error=test.balanced_error,
                took_s=other.fitted.seconds + (0.0 if other.refitted is None else other.refitted.seconds),
            )
        )
    if config.rivals:
        step = f"classic methods on {task.name}"
        at.tell(StepStarted(step=step, total=1, unit="comparisons"))
        for classic in classic_rivals(
            task.train,
            task.validation,
            split,
            classes=len(task.classes),
            performance=task.performance,
            seed=at.seed.child("rivals"),
        ):
            counted = Evaluation.of(split.labels.numpy(), classic.answers, len(task.classes))
            rivals.append(
                Rival(
                    name=classic.name,
                    settings=classic.settings,
                    images=classic.images,
                    test_error=counted.error,
                    test_balanced_error=counted.balanced_error,
                    took_s=classic.took_s,
                )
            )
        at.tell(StepFinished(step=step))
    balanced = task.performance == "balanced"
    return tuple(
        sorted(rivals, key=lambda rival: rival.test_balanced_error if balanced else rival.test_error)
    )
