"""Reuse of a remembered task: its best architecture is trained anew, without a search."""

from __future__ import annotations

from collections.abc import Sequence

from tanas.algorithm.final import train
from tanas.algorithm.presets import SearchConfig
from tanas.algorithm.related import introduce, relate
from tanas.algorithm.search import Found
from tanas.algorithm.space import base_space, related_space
from tanas.algorithm.warm_start import Winner
from tanas.dictionary.store import Dictionary
from tanas.dictionary.task_record import Atom, best_first
from tanas.ground.context import Context
from tanas.ground.errors import SettingError
from tanas.ground.events import Told
from tanas.networks.scoring import ScoredArchitecture
from tanas.spaces.latency import MeasuredLatency
from tanas.spaces.space import SearchSpace
from tanas.strategies.base import Outcome
from tanas.tasks.task import Task


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
    task, sealed = task.measured_by(config.performance).sealed()
    small = task.limited(config.limit)
    config = config.suited_to(len(small.train))
    introduce(small, len(task.train), at)
    related = relate(dictionary, small, config, at, known=known, learns=learns, reuse=True)
    latency = MeasuredLatency.of(at)
    base = base_space(small, config, latency)
    space = related_space(related, base, small, config)  # the space of a search, for the record
    assert related.known.own is not None  # else `relate` has refused
    name, atom = related.known.own
    at.tell(Told(message=f"The best architecture of {name} is reused without a search."))
    with at.phase("search"):
        best = best_within(atom, base, small)
        outcome = Outcome(best=best.architecture, rounds=(), seen=(best,), stopped="reused")
        at.tell(outcome.chosen(task.name))
    winner = Winner(outcome=outcome)
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
        reused=True,
    )


def best_within(atom: Atom, space: SearchSpace, task: Task) -> ScoredArchitecture:
    """Return the best scored architecture of a remembered task that is within the limits of a space.

    Args:
        atom: with at least one score.
        space: has the limits.
        task: without its test split.

    Raises:
        SettingError: no architecture is within the limits; the message names the smallest.
    """
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
