"""Comparisons for the report: rivals of the network and, if asked for, random search at equal cost."""

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
"""Candidates of random search at equal cost; its budget is spent long before."""


@dataclass(frozen=True)
class Controlled:
    """The result of random search for the same number of multiply-adds."""

    outcome: Outcome
    """Of random search; its best architecture was trained, or a related task's network that scored higher."""
    ending: Ending
    test: Examined


@dataclass(frozen=True, kw_only=True)
class Beside:
    """The comparisons of a found network."""

    control: Controlled | None = None
    """None: not asked for, or there was no search to compare it with."""
    rivals: tuple[Rival, ...] = ()
    """Best first."""


def beside(found: Found, at: Context) -> Beside:
    """Return random search, if asked for, and the rivals, tested on the same images as the found network."""
    with at.phase("control"):
        control = random_search_beside(found, at)
    with at.phase("rivals"):
        rivals = rivals_beside(found.trained, found.task, found.config, at)
    return Beside(control=control, rivals=rivals)


def random_search_beside(found: Found, at: Context) -> Controlled | None:
    """Return the result of random search with the same space, first seed, images, recipe and cost.

    Networks of related tasks compete with its winner too, and the winner is trained and tested.

    Args:
        found: the search to compare it with. Its test split is open, but random search never sees it.
        at: the context of the search.

    Returns:
        None if it was not asked for, if there was no search, or if the search cost less than any training of random
        search.
    """
    config, inherited, task = found.config, found.space, found.task
    if not config.controls:
        return None
    if not found.search.rounds:
        at.tell(
            Told(message="Random search at equal cost is skipped: there was no search to compare it with.")
        )
        return None
    strategy = RandomSearch(RandomConfig(candidates=MOST_CONTROLS), config.scoring)
    small, limited = task.limited(config.limit), replace(config, budget_macs=found.search.ledger.macs)
    # it draws like a search but keeps its own state; the time limit applies to the search alone
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
    except BudgetError as error:  # a finished search must not be lost because of this comparison
        at.tell(Warned(message=f"Random search at equal cost is skipped. {error}"))
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
    """Return the rivals of the network, tested on the same images, best first.

    Args:
        trained: the network that is handed over; its test split is open.
        task: all images except the test split.
        config: says whether classic methods are wanted.
        at: device, seed and listener.
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
