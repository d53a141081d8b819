"""Algorithm 1: task-aware neural architecture search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tanas.algorithm.final import Trained, train
from tanas.algorithm.presets import SearchConfig
from tanas.algorithm.related import RelatedTasks, introduce, relate
from tanas.algorithm.result import Grown
from tanas.algorithm.space import advice_for, announced, base_space, related_space
from tanas.algorithm.warm_start import Offered, Winner, try_networks
from tanas.algorithm.winner import choose, find
from tanas.dictionary.advice import Advice
from tanas.dictionary.store import Dictionary
from tanas.dictionary.task_record import Atom
from tanas.ground.context import Context
from tanas.networks.architecture import Network
from tanas.networks.classifier import Classifier
from tanas.spaces.inherit import Inherited
from tanas.spaces.latency import MeasuredLatency
from tanas.strategies.base import Outcome
from tanas.tasks.task import Sealed, Task


@dataclass(frozen=True, eq=False, kw_only=True)
class Found:
    """What a search gives."""

    task: Task
    """All of its images but those of the test split."""
    sealed: Sealed
    """The test split, which was opened."""
    searched: Task
    """The images that the search has seen."""
    config: SearchConfig
    """As it suited the task."""
    related: RelatedTasks
    space: Inherited
    latency: MeasuredLatency
    """Says how long architectures take."""
    search: Outcome
    """Of the search, before networks of related tasks were held against it."""
    winner: Winner
    """What was trained, and with which weights it began."""
    trained: Trained
    """The network that is handed over, tested."""
    offered: Offered | None = None
    """What networks of related tasks came to; None: nobody asked."""
    advice: Advice | None = None
    reused: bool = False
    """Whether the task was known, and its architecture taken without a search."""
    grown: Grown | None = None
    """What a network became that was grown or compressed; None: it was a search."""

    @property
    def outcome(self) -> Outcome:
        """The outcome of the search, the architecture that is handed over its best."""
        return self.trained.outcome

    @property
    def classifier(self) -> Classifier:
        """The trained network, with all that is needed to use it."""
        taken = self.trained.ending.taken
        return Classifier(
            task=self.task.name,
            architecture=taken.architecture,
            shape=self.task.shape,
            classes=self.task.classes,
            performance=self.task.performance,
            network=taken.network,
        )

    @property
    def before_refit(self) -> Network | None:
        """The network when it had seen no validation image; None: there was no refit."""
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
    """Finds, trains and tests an architecture for a task, with the help of the tasks that are known.

    Args:
        task: as its source gives it. Its test split is opened once, at the end.
        dictionary: what is known. It is read; `tanas.algorithm.remember` makes what it can learn of the search.
        config: how.
        at: with what; a search that was killed goes on from its checkpoint.
        known: the atoms to use, where a resumed run must not see later ones; None: all.
        learns: whether the dictionary is to learn the task: then it is represented and its winners are scored.

    Raises:
        SettingError: more neighbours are asked for than there are.
        SearchError: every candidate failed.

    Source: Algorithm 1; sections 3.1 (distance), 3.2 (space), 3.3 (FUSE).
    """
    task, sealed = task.measured_by(config.performance).sealed()  # nothing below can reach the test split
    small = task.limited(config.limit)
    config = config.suited_to(len(small.train))
    introduce(small, len(task.train), at)

    # for b in B: calculate the distance d_(b,t) to find the related tasks
    related = relate(dictionary, small, config, at, known=known, learns=learns)

    # define the search space by combining operations, cells, skeleton from related tasks
    latency = MeasuredLatency.of(at)
    base = base_space(small, config, latency)
    advice = advice_for(related, base, small, config, at)
    space = announced(related_space(related, base, small, config, advice), small, at)

    # while criteria not met: sample C candidates from the search space, evaluate these using FUSE
    with at.phase("search"):
        outcome = find(space, related, small, config, at, learns=learns)
        offered = None  # the networks of related tasks, if their weights are asked for
        if config.warm_weights:
            offered = try_networks(related, dictionary, base, task, sealed, config, at)
        winner = choose(outcome, space, related, offered, small, config, at, learns=learns)

    # return the best architecture, trained
    trained = train(winner, space.space, task, sealed, config, at)
    return Found(
        task=task,
        sealed=sealed,
        searched=small,
        config=config,
        related=related,
        space=space,
        latency=latency,
        search=outcome,
        winner=winner,
        trained=trained,
        offered=offered,
        advice=advice,
    )
