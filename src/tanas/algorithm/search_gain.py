"""What a search added to what was taken over from a related task, without the luck of the choice.

What a search ends with has the best of several scores, and the best of several is lucky: of equally good architectures
one comes out ahead by about the noise of a score, which for an indicator of few positives is a tenth of l. So both are
scored once more, from another seed, and what the memory keeps of them are those scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tanas.algorithm.phases import Workplace
from tanas.algorithm.presets import SearchConfig
from tanas.algorithm.result import WarmStart
from tanas.algorithm.warm_start import Start, Starts, short_score
from tanas.dictionary.distances import Related
from tanas.dictionary.stored_network import KeptNetwork
from tanas.dictionary.task_record import Atom, Reuse
from tanas.ground.events import Told
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture, cost_of
from tanas.spaces.inherit import Inherited
from tanas.strategies.base import Ledger, Outcome
from tanas.tasks.task import Task

MOST_LOOKS = 10
"""A memory that knows so many looks no more: each costs two short trainings, and a mean of ten is known to a third of
the spread of one."""


LOOKED = "looked_again"
"""Where a run keeps whether time was left for it."""


def looks(inherited: Inherited, known: Sequence[tuple[str, Atom]], config: SearchConfig) -> bool:
    """Whether a dictionary still learns what a search adds: something is taken over, and too few atoms know of such."""
    taken = config.inherit_seed and inherited.seed_architecture is not None
    knowing = sum(atom.reuse is not None and atom.reuse.warm == config.warm_weights for _, atom in known)
    return taken and knowing < MOST_LOOKS


def second_look(
    start: Start,
    starts: Starts | None,
    found: Outcome,
    inherited: Inherited,
    neighbours: Sequence[Related],
    known: Sequence[tuple[str, Atom]],
    task: Task,
    config: SearchConfig,
    seed: Seed,
    place: Workplace,
) -> tuple[Start, Reuse | None]:
    """Holds what is trained in the end against what could have been taken over without a search.

    Args:
        start: what is trained, and with which weights.
        starts: what weights of related tasks came to; None: nobody asked.
        found: of the search, before weights were offered to it.
        inherited: has the architecture of a related task with which it began.
        neighbours: what was inherited from.
        known: (name, atom) of the dictionary; where enough of them know what a search added, nothing is scored.
        task: without its test split.
        config: how.
        seed: of the run.
        place: where.

    Returns:
        the start, what was spent here in its ledger; and what the search added, None if that is not known.
    """
    first = inherited.seed_architecture
    scores = {one.architecture: one.score for one in found.seen}
    if first is None or not looks(inherited, known, config) or not found.rounds:
        return start, None
    # one that resumes after its limit does what it had begun
    if (in_time := place.checkpoint.load(LOOKED)) is None:
        in_time = place.deadline() > 0
        place.checkpoint.save(LOOKED, in_time)
    if not in_time:
        return start, None
    own, other = scores.get(first), scores.get(found.best)
    if own is None or other is None:
        return start, None
    warm, network = _warmest(starts, above=own)
    giver = _giver(first, neighbours) if warm is None else (warm.atom, warm.distance)
    if giver is None:
        return start, None
    taken = own if warm is None or warm.score is None else warm.score
    reuse = Reuse(source=giver[0], distance=giver[1], score=taken, best=taken, warm=config.warm_weights)
    if start.kept is not None or (warm is None and found.best == first):
        return start, reuse  # what is trained is what was taken over: the search added nothing

    place.tell(
        Told(message="What was found and what was taken over are scored once more, to learn what it added.")
    )
    ledger, images = Ledger(), len(task.limited(config.scoring.images).train)
    again: list[float] = []
    for architecture, weights in (
        (first if network is None else network.record.architecture, network),
        (found.best, None),
    ):
        name = architecture.key if weights is None else f"{architecture.key}-warm"
        anew, part = seed.child("again", name), place.checkpoint.child("again").child(name)
        value = short_score(architecture, weights, task, config, anew, part, place)
        macs = cost_of(architecture, task.shape, len(task.classes)).macs
        ledger = ledger.plus(f"{architecture.key}, again", macs, images * config.scoring.training.epochs)
        if value is not None:
            again.append(value)
    outcome = replace(start.outcome, ledger=start.outcome.ledger.with_all(ledger))
    start = replace(start, outcome=outcome)
    return start, None if len(again) < 2 else replace(reuse, score=again[0], best=again[1])


def _warmest(starts: Starts | None, *, above: float) -> tuple[WarmStart | None, KeptNetwork | None]:
    """The related task's network that came out best, if it is above a score."""
    best: tuple[WarmStart | None, KeptNetwork | None] = (None, None)
    for start, network in () if starts is None else starts.tried:
        if start.score is not None and start.score > above:
            best, above = (start, network), start.score
    return best


def _giver(first: Architecture, neighbours: Sequence[Related]) -> tuple[str, float] | None:
    """Name and distance of the task whose architecture was the first seed."""
    for one in neighbours:
        if any(seen.architecture.canonical() == first for seen in one.atom.architectures):
            return one.name, one.measurement.value
    return None
