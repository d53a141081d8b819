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
    """The result of a search."""

    task: Task
    """All images except the test split."""
    sealed: Sealed
    """The test split, now open."""
    searched: Task
    """The task with the images that the search has seen."""
    config: SearchConfig
    """The settings, adapted to the size of the task."""
    related: RelatedTasks
    space: Inherited
    latency: MeasuredLatency
    """The measured latencies of architectures."""
    search: Outcome
    """The outcome of the search, before it was compared with networks of related tasks."""
    winner: Winner
    """The architecture that was trained, and the weights that it began with."""
    trained: Trained
    """The network that is handed over, tested."""
    offered: Offered | None = None
    """The networks of related tasks with their scores; None: `warm_weights` is off."""
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
        """The network from before the refit, which has seen no validation image; None: there was no refit."""
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
        dictionary: the memory. It is only read; `tanas.algorithm.remember` makes the record that it can add.
        config: the settings of the search.
        at: seed, device, workers, listener and checkpoint; a killed search resumes from its checkpoint.
        known: the atoms to use, so that a resumed run does not see later ones; None: all.
        learns: whether the memory will learn the task: then a representative is trained and winners are scored.

    Raises:
        SettingError: `config.neighbours` exceeds the number of other tasks.
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
