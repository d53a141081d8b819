"""What a search added to what could have been reused from a related task, without the luck of the choice.

A search ends with the best of several scores, and the best of several is biased upwards: of equally good architectures
one comes out ahead by about the noise of a score, which for an indicator of few positives is a tenth of l. So both are
scored once more, from another seed, and a dictionary keeps those scores.
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
"""A dictionary that knows so many gains of a search over reuse asks for no more: each costs two short trainings, and
the mean of ten is known to a third of the spread of one."""

EVALUATED_AGAIN = "looked_again"
"""Where a run keeps whether time was left for it."""


def gain_wanted(inherited: Inherited, related: RelatedTasks, config: SearchConfig) -> bool:
    """Whether a dictionary still learns what a search adds: something is reused, and too few tasks tell of such."""
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
    """Evaluates the winner and what could have been reused a second time.

    Args:
        winner: what is trained, and with which weights.
        found: of the search, before weights were offered to it.
        inherited: has the architecture of a related task with which it began.
        related: where enough known tasks tell what a search added, nothing is scored.
        offered: what weights of related tasks came to; None: nobody asked.
        task: without its test split.
        config: how.
        at: with what.

    Returns:
        the winner with the gain, if it is known, and with what was spent here in its ledger.
    """
    first = inherited.seed_architecture
    scores = {one.architecture: one.score for one in found.seen}
    if first is None or not gain_wanted(inherited, related, config) or not found.rounds:
        return winner
    # a search that resumes after its limit does what it had begun
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
        return replace(winner, gain=reuse)  # what is trained is what was reused: the search added nothing

    at.tell(
        Told(message="What was found and what could be reused are scored once more, to learn what it added.")
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
    """The related task's network that came out best, if it is above a score."""
    best: tuple[WarmStart | None, StoredNetwork | None] = (None, None)
    for start, network in () if offered is None else offered.tried:
        if start.score is not None and start.score > above:
            best, above = (start, network), start.score
    return best


def _giver(first: Architecture, neighbours: Sequence[Related]) -> tuple[str, float] | None:
    """Name and distance of the task whose architecture was the first seed."""
    for one in neighbours:
        if any(seen.architecture.canonical() == first for seen in one.atom.architectures):
            return one.name, one.measurement.value
    return None
