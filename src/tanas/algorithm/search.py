"""Algorithm 1: task-aware neural architecture search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from tanas.algorithm.final import classifier_of, finish, taking, tested
from tanas.algorithm.phases import (
    Workplace,
    advised,
    base_space,
    find,
    greet,
    measure,
    neighbours_of,
    related_space,
    remember,
    represent_target,
)
from tanas.algorithm.presets import SearchConfig
from tanas.algorithm.record import summarise
from tanas.algorithm.result import Result
from tanas.algorithm.rival import control, rivals_beside
from tanas.algorithm.search_gain import looks, second_look
from tanas.algorithm.warm_start import begin, try_starts
from tanas.dictionary.learn import Learnt
from tanas.dictionary.store import Dictionary
from tanas.dictionary.task_record import Atom
from tanas.ground.checkpoints import Stopwatch
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Network
from tanas.networks.classifier import Classifier
from tanas.spaces.inherit import ALL
from tanas.spaces.reference import reference_architecture
from tanas.tasks.task import Task


@dataclass(frozen=True)
class Found:
    """What a search gives."""

    result: Result
    classifier: Classifier
    """The trained network."""
    memory: Learnt | None
    """What a dictionary can remember of it; None if no representative was made."""
    before: Network | None
    """The network before its refit, when it had seen no validation image; None: there was no refit."""


def search(
    task: Task,
    dictionary: Dictionary,
    config: SearchConfig,
    *,
    seed: Seed,
    place: Workplace,
    known: Sequence[Atom] | None = None,
    learns: bool = True,
    reuse: bool = False,
) -> Found:
    """Finds, trains and tests an architecture for a task, with the help of the tasks that are known.

    Args:
        task: as its source gives it. Its test split is touched once, at the end.
        dictionary: what is known. It is read; the caller adds `Found.memory`.
        config: how.
        seed: of every draw.
        place: where it is computed, who is told, and where it can go on after it was killed.
        known: the atoms to use, where a resumed run must not see later ones; all if left out.
        learns: whether an atom is made even if no distance has to be measured.
        reuse: whether a task that is known takes its atom's best architecture without a search.

    Raises:
        SettingError: more neighbours are asked for than there are.
        SearchError: every candidate failed.

    Source: Algorithm 1; sections 3.1 (distance), 3.2 (space), 3.3 (FUSE).
    """
    watch = Stopwatch(place.checkpoint)
    place.listener = watch.heard(place.listener)
    whole = task.measured_by(config.performance)
    available, task = len(whole.train), whole.limited(config.limit)
    blind, config = task.without_test(), config.suited_to(len(task.train))
    others, own = greet(task, dictionary, config, known=known, available=available, reuse=reuse, place=place)

    # for b in B: calculate the distance d_(b,t) to find the related tasks
    with watch.phase("represent"):
        wanted = learns or (bool(others) and config.inherit != ALL)  # for 'all' nothing is measured
        representative = represent_target(blind, config, seed, place) if wanted else None
    with watch.phase("distance"):
        related = measure(dictionary, others, representative, blind, config, seed, place)
    neighbours = neighbours_of(related, config, seed, place)

    # define the search space by combining operations, cells, skeleton from related tasks
    standard = base_space(config, task, place.latency)
    advice = None if reuse else advised(neighbours, others, standard, task, config, place)
    inherited = related_space(
        others, related, neighbours, standard, blind, config, advice, seed, place,
        reused=own if reuse else None,
    )  # fmt: skip

    # while criteria not met: sample C candidates from the search space, evaluate these using FUSE
    with watch.phase("search"):
        found = find(
            inherited, blind, config, seed, place,
            known=own if reuse else None, learns=learns,
            wanted=own is not None or looks(inherited, others, config),
        )  # fmt: skip
        starts = None  # the weights of related tasks, if they are asked for
        if config.warm_weights and not reuse:
            starts = try_starts(neighbours, dictionary, standard, whole, config, seed, place)
        start, added = begin(found, starts, blind), None
        if learns:  # what the search added to what was taken over
            start, added = second_look(
                start, starts, found, inherited, neighbours, others, blind, config, seed, place
            )
    place.tell(start.outcome.chosen(task.name))
    with watch.phase("train"):
        outcome, classes = start.outcome, len(task.classes)
        searched = bool(outcome.rounds) and start.kept is None
        ending = finish(
            outcome.best, whole.without_test(), config, seed, place, network=start.network(task, config, seed),
            reference=reference_architecture(inherited.space, task.shape, classes) if config.reference else None,
            replaces=searched,
        )  # fmt: skip
        outcome = taking(ending, outcome, blind)
        test = tested(ending.taken.network, whole, place)  # opens the test split
    with watch.phase("control"):
        beside = control(inherited, whole, found, starts, ending.recipe, config, seed, place)
    with watch.phase("rivals"):
        rivals = rivals_beside(ending, whole, config, seed, place)

    # if desired, add the trained architecture to B
    result = summarise(
        task, available, related, neighbours, inherited, representative, outcome, ending, test, rivals, config, seed,
        watch, place, known=[*others, *([own] if own else [])], reused=own[1] if own and reuse else None,
        advice=advice, beside=beside, beginning=start.beginning,
    )  # fmt: skip
    learnt = remember(
        task, representative, outcome, ending.taken.before, ending.taken.validation, whole,
        None if ending.reference_taken else start.kept, added, config, seed, watch,
    )  # fmt: skip
    return Found(result, classifier_of(ending.taken, whole), learnt, ending.taken.before_refit)
