"""The gain over reuse: how much a search improved on the architecture that it could have reused.

A search ends with the best of several scores, which is biased upwards by about the noise of a score. For an indicator
of few positives that noise is a tenth of l. So both architectures are scored a second time, from another seed, and the
memory keeps these second scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tanas.algorithm.presets import SearchConfig
from tanas.algorithm.related import RelatedTasks
from tanas.algorithm.result import WarmStart
from tanas.algorithm.warm_start import Offered, Winner, short_score
from tanas.dictionary.bench import Related
from tanas.dictionary.stored_network import StoredNetwork
from tanas.dictionary.task_record import Reuse
from tanas.ground.context import Context
from tanas.ground.events import Told
from tanas.networks.architecture import Architecture, cost_of
from tanas.spaces.inherit import Inherited
from tanas.strategies.base import Ledger, Outcome
from tanas.tasks.task import Task

MOST_GAINS = 10
"""Gains that a memory measures. Each costs two short trainings; the standard error of the mean of ten is a third of
their standard deviation."""

EVALUATED_AGAIN = "looked_again"
"""Checkpoint entry: whether time was left for the second evaluation."""


def gain_wanted(inherited: Inherited, related: RelatedTasks, config: SearchConfig) -> bool:
    """Whether to measure the gain over reuse: an architecture is reused, and the memory has too few gains."""
    reused = config.inherit_seed and inherited.seed_architecture is not None
    telling = sum(
        atom.reuse is not None and atom.reuse.warm == config.warm_weights for _, atom in related.known.others
    )
    return reused and telling < MOST_GAINS


def with_gain(
    winner: Winner,
    found: Outcome,
    inherited: Inherited,
    related: RelatedTasks,
    offered: Offered | None,
    task: Task,
    config: SearchConfig,
    at: Context,
) -> Winner:
    """Return the winner with its gain over reuse, from a second evaluation of both architectures.

    Args:
        winner: the architecture for the final training, and its weights.
        found: of the search, before it was compared with networks of related tasks.
        inherited: has the architecture of a related task that the search began with.
        related: the remembered tasks; if enough of them have a gain, nothing is scored.
        offered: the networks of related tasks with their scores; None: `warm_weights` is off.
        task: without its test split.
        config: the settings of the search.
        at: seed, device, workers, listener and checkpoint.

    Returns:
        the winner, with the gain if it could be measured, and the cost of measuring in its ledger.
    """
    first = inherited.seed_architecture
    scores = {one.architecture: one.score for one in found.seen}
    if first is None or not gain_wanted(inherited, related, config) or not found.rounds:
        return winner
    # a search that resumes after its time limit finishes a second evaluation that had begun
    if (in_time := at.checkpoint.load(EVALUATED_AGAIN)) is None:
        in_time = at.deadline() > 0
        at.checkpoint.save(EVALUATED_AGAIN, in_time)
    if not in_time:
        return winner
    own, other = scores.get(first), scores.get(found.best)
    if own is None or other is None:
        return winner
    warm, network = _warmest(offered, above=own)
    giver = _giver(first, related.neighbours) if warm is None else (warm.atom, warm.distance)
    if giver is None:
        return winner
    taken = own if warm is None or warm.score is None else warm.score
    reuse = Reuse(source=giver[0], distance=giver[1], score=taken, best=taken, warm=config.warm_weights)
    if winner.weights is not None or (warm is None and found.best == first):
        return replace(winner, gain=reuse)  # the winner is the reused architecture: the gain is zero

    at.tell(
        Told(message="Second evaluation of the searched and the reused architecture: the gain over reuse.")
    )
    ledger, images = Ledger(), len(task.limited(config.scoring.images).train)
    again: list[float] = []
    reused = first if network is None else network.record.architecture
    for architecture, weights in ((reused, network), (found.best, None)):
        name = architecture.key if weights is None else f"{architecture.key}-warm"
        value = short_score(architecture, weights, task, config, at.child("again", name))
        macs = cost_of(architecture, task.shape, len(task.classes)).macs
        ledger = ledger.plus(f"{architecture.key}, again", macs, images * config.scoring.training.epochs)
        if value is not None:
            again.append(value)
    outcome = replace(winner.outcome, ledger=winner.outcome.ledger.with_all(ledger))
    gain = None if len(again) < 2 else replace(reuse, score=again[0], best=again[1])
    return replace(winner, outcome=outcome, gain=gain)


def _warmest(offered: Offered | None, *, above: float) -> tuple[WarmStart | None, StoredNetwork | None]:
    """The best network of a related task, if it scores above a value."""
    best: tuple[WarmStart | None, StoredNetwork | None] = (None, None)
    for start, network in () if offered is None else offered.tried:
        if start.score is not None and start.score > above:
            best, above = (start, network), start.score
    return best


def _giver(first: Architecture, neighbours: Sequence[Related]) -> tuple[str, float] | None:
    """Name and distance of the related task whose architecture was the first seed; None if there is none."""
    for one in neighbours:
        if any(seen.architecture.canonical() == first for seen in one.atom.architectures):
            return one.name, one.measurement.value
    return None
