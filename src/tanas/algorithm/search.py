"""Algorithm 1: task-aware neural architecture search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tanas.algorithm.final import Trained, train
from tanas.algorithm.presets import SearchConfig
from tanas.algorithm.related import RelatedTasks, relate
from tanas.algorithm.result import Grown
from tanas.algorithm.space import advice_for, announced, base_space, related_space
from tanas.algorithm.target import Target
from tanas.algorithm.time_limit import for_search
from tanas.algorithm.warm_start import Donors, donors_of
from tanas.algorithm.winner import Winner, choose, find
from tanas.dictionary.advice import Advice
from tanas.dictionary.store import Dictionary
from tanas.dictionary.task_record import Atom, best_first
from tanas.ground.context import Context
from tanas.ground.errors import SettingError
from tanas.networks.architecture import Network
from tanas.networks.classifier import Classifier
from tanas.networks.scoring import ScoredArchitecture
from tanas.spaces.inherit import Inherited
from tanas.spaces.space import SearchSpace
from tanas.strategies.base import Outcome
from tanas.tasks.task import Task


@dataclass(frozen=True, eq=False, kw_only=True)
class Found:
    """The result of a search."""

    target: Target
    related: RelatedTasks
    space: Inherited
    search: Outcome
    """The outcome of the search."""
    winner: Winner
    """The architecture for the final training."""
    trained: Trained
    """The network that is handed over, tested."""
    donors: Donors = field(default_factory=Donors)
    """The known networks whose weights competed with new ones; none if `warm_weights` is off."""
    advice: Advice | None = None
    reused: bool = False
    """Whether the architecture of the remembered task was reused without a search."""
    grown: Grown | None = None
    """The changes to a network that was grown or compressed; None: it was a search."""

    @property
    def outcome(self) -> Outcome:
        """The outcome of the search; its best architecture is the one that is handed over."""
        return self.trained.outcome

    @property
    def classifier(self) -> Classifier:
        """The trained network, with all that it needs to be used."""
        task, taken = self.target.task, self.trained.ending.taken
        return Classifier(
            task=task.name,
            architecture=taken.architecture,
            shape=task.shape,
            classes=task.classes,
            performance=task.performance,
            network=taken.network,
            framing=task.framing,
        )

    @property
    def before_refit(self) -> Network | None:
        """The network from before the refit, which has seen no validation image; None: no refit."""
        return self.trained.ending.taken.before_refit


def search(
    task: Task,
    dictionary: Dictionary,
    config: SearchConfig,
    at: Context,
    *,
    known: Sequence[Atom] | None = None,
    learns: bool = True,
) -> Found:
    """Search, train and test an architecture for a task, with the help of the remembered tasks.

    Args:
        task: as its source gives it. Its test split is opened once, at the end.
        dictionary: the memory. It is only read; `tanas.algorithm.learn.remember` makes the record that it can add.
        config: the settings of the search.
        at: seed, device, workers, listener and checkpoint; a killed search resumes from its checkpoint.
        known: the atoms to use, so that a resumed run does not see later ones; None: all.
        learns: whether the memory will learn the task: then a representative is trained and winners are scored.

    Raises:
        SettingError: `config.neighbours` exceeds the number of other tasks.
        SearchError: every candidate failed.

    Source: Algorithm 1; sections 3.1 (distance), 3.2 (space), 3.3 (FUSE).
    """
    target = Target.of(task, config, at)  # its test split is sealed: nothing below can reach it
    task, config = target.searched, target.config

    # for b in B: calculate the distance d_(b,t) to find the related tasks
    related = relate(dictionary, task, config, at, known=known, learns=learns)

    # define the search space by combining operations, cells, skeleton from related tasks
    base = base_space(task, config, target.latency)
    advice = advice_for(related, dictionary, base, task, at)
    space = announced(related_space(related, base, task, config, advice), task, at)

    # while criteria not met: sample C candidates from the search space, evaluate these using FUSE
    with at.phase("search"):
        # a time limit covers the final training too
        hurried = for_search(space.space, target.task, config, at)
        outcome = find(space, related, task, config, hurried, learns=learns)
        winner = choose(outcome, space, related, task, config, hurried, learns=learns)
    donors = Donors()
    if config.warm_weights:
        with at.phase("distance"):
            donors = donors_of(related, dictionary, base, target, at)

    # return the best architecture, trained
    replaces, starts = winner.replaceable, donors.starts
    trained = train(winner.outcome, space.space, target, at, replaces=replaces, donors=starts)
    return Found(
        target=target,
        related=related,
        space=space,
        search=outcome,
        winner=winner,
        trained=trained,
        donors=donors,
        advice=advice,
    )


def reuse(
    task: Task,
    dictionary: Dictionary,
    config: SearchConfig,
    at: Context,
    *,
    known: Sequence[Atom] | None = None,
    learns: bool = True,
) -> Found:
    """Train and test the best remembered architecture of a task, without a search; arguments as in `search`.

    Raises:
        SettingError: the dictionary holds no scored architecture of the task, or none within the limits.
    """
    target = Target.of(task, config, at)
    task, config = target.searched, target.config
    related = relate(dictionary, task, config, at, known=known, learns=learns, reuse=True)
    base = base_space(task, config, target.latency)
    space = related_space(related, base, task, config)  # the space of a search, for the record
    assert related.known.own is not None  # else `relate` has refused
    name, atom = related.known.own
    at.say(f"The best architecture of {name} is reused without a search.")
    with at.phase("search"):
        best = best_within(atom, base, task)
        outcome = Outcome(best=best.architecture, rounds=(), seen=(best,), stopped="reused")
        at.tell(outcome.chosen(task.name))
    return Found(
        target=target,
        related=related,
        space=space,
        search=outcome,
        winner=Winner(outcome=outcome),
        trained=train(outcome, space.space, target, at),
        reused=True,
    )


def best_within(atom: Atom, space: SearchSpace, task: Task) -> ScoredArchitecture:
    """Return the best scored architecture of a remembered task within limits, or raise a `SettingError`."""
    scored = [found for found in best_first(atom.architectures) if found.score is not None]
    for found in scored:
        if space.allows(found.architecture, task.shape, len(task.classes)):
            return found
    least = min(scored, key=lambda found: found.parameters)
    raise SettingError(
        f"There is nothing to reuse within the limits: of {len(scored)} scored architectures of {task.name}, the "
        f"smallest has {least.parameters:,} parameters and {least.macs:,} multiply-adds. "
        "Raise the limits, or search without reuse."
    )
