"""Comparisons for the report: rivals of the network and, if wanted, random search at equal cost."""

from __future__ import annotations

from dataclasses import dataclass, replace
from operator import attrgetter

from tanas.algorithm.final import Ending, Examined, Trained, examine, finish
from tanas.algorithm.presets import SearchConfig
from tanas.algorithm.result import DONOR, FOUND, NO_SEARCH, Rival
from tanas.algorithm.search import Found
from tanas.algorithm.time_limit import with_epochs
from tanas.algorithm.warm_start import Start
from tanas.algorithm.winner import estimating, first_seed
from tanas.ground.context import Context, no_limit
from tanas.ground.errors import BudgetError
from tanas.ground.events import StepFinished, StepStarted
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
    ending: Ending
    test: Examined


@dataclass(frozen=True, kw_only=True)
class Beside:
    """The comparisons of a found network."""

    control: Controlled | None = None
    """None: not wanted, or there was no search to compare it with."""
    rivals: tuple[Rival, ...] = ()
    """Best first."""


def beside(found: Found, at: Context) -> Beside:
    """Return random search, if wanted, and the rivals, tested on the same images as the found network."""
    with at.phase("control"):
        control = random_search_beside(found, at)
    with at.phase("rivals"):
        rivals = rivals_beside(found.trained, found.target.task, found.target.config, at)
    return Beside(control=control, rivals=rivals)


def random_search_beside(found: Found, at: Context) -> Controlled | None:
    """Return the result of random search with the same space, first seed, images, recipe and cost.

    The winner is trained and tested. The test split is open, but random search never sees it. None: not wanted, no
    search to compare with, or a cost below that of one training.
    """
    config, inherited, task = found.target.config, found.space, found.target.task
    if not config.controls:
        return None
    if not found.search.rounds:
        at.say("Random search at equal cost is skipped: there was no search to compare it with.")
        return None
    strategy = RandomSearch(RandomConfig(candidates=MOST_CONTROLS), config.scoring)
    small, limited = found.target.searched, replace(config, budget_macs=found.search.ledger.macs)
    # drawn like a search, with a state of its own; the time limit applies to the search alone
    own = replace(at.drawing("search").keeping("control"), deadline=no_limit)
    problem = Problem(
        space=inherited.space,
        task=small,
        at=own.heard_by(estimating(strategy, inherited.space, small, limited, at)),
        seed_architecture=first_seed(inherited, small, config),
        budget_macs=limited.budget_macs,
    )
    try:
        outcome = search(strategy, problem)
    except BudgetError as error:  # a finished search must not be lost because of this comparison
        at.warn(f"Random search at equal cost is skipped. {error}")
        return None
    alike = with_epochs(config, len(found.trained.ending.taken.fitted.losses))
    alike = replace(alike, recipes=(found.trained.ending.recipe.name,))
    own = replace(at.drawing("final").keeping("control"), deadline=no_limit)
    ending = finish(Start(architecture=outcome.best), task, alike, own)
    test = examine(ending.found.network, task, found.trained.test, at)
    return Controlled(outcome, ending, test)


def rivals_beside(trained: Trained, task: Task, config: SearchConfig, at: Context) -> tuple[Rival, ...]:
    """Return the rivals of the network, tested on the same images, best first."""
    rivals: list[Rival] = []
    ending, split = trained.ending, trained.test

    def add(name: str, settings: str, images: int, test: Evaluation, took_s: float) -> None:
        errors = {"test_error": test.error, "test_balanced_error": test.balanced_error}
        rivals.append(Rival(name=name, settings=settings, images=images, took_s=took_s, **errors))

    if (other := ending.other) is not None:
        fits = [fit for fit in (other.fitted, other.refitted) if fit is not None]
        parameters = sum(weights.numel() for weights in other.network.parameters())
        settings = f"{other.architecture.key}, {parameters:,} parameters, the same training"
        if not other.refitted and config.refit:
            settings += ", not refitted"
        test = examine(other.network, task, split, at).evaluation
        beside = DONOR if ending.start.atom else NO_SEARCH
        name = FOUND if ending.reference_taken else beside
        add(name, settings, fits[-1].images, test, sum(fit.seconds for fit in fits))
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
            add(classic.name, classic.settings, classic.images, counted, classic.took_s)
        at.tell(StepFinished(step=step))
    error = "test_balanced_error" if task.performance == "balanced" else "test_error"
    return tuple(sorted(rivals, key=attrgetter(error)))
