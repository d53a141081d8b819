"""The record that a dictionary keeps of a search."""

from __future__ import annotations

from dataclasses import replace

from tanas.algorithm.search import Found
from tanas.dictionary.learn import Learnt, atom_of, represent_macs
from tanas.dictionary.stored_network import stored
from tanas.dictionary.task_record import Provenance
from tanas.ground.checkpoints import Stopwatch
from tanas.ground.records import to_plain
from tanas.ground.versions import versions
from tanas.strategies.base import Outcome


def remember(found: Found, watch: Stopwatch, *, seed: int) -> Learnt | None:
    """Return the task of a search as an atom for the dictionary. Source: Algorithm 1, its last line.

    The stored network was trained on the training images alone, because other tasks of the same source use the
    validation images to compare networks.

    Args:
        found: the result of the search.
        watch: seconds of its phases.
        seed: seed of every random draw.

    Returns:
        None if the search trained no representative: then there is nothing to remember.
    """
    representative, task, ending = found.related.representative, found.searched, found.trained.ending
    if representative is None:
        return None
    outcome = found.outcome
    provenance = Provenance(
        made_by="search",
        seed=seed,
        versions=versions(),
        settings=to_plain(found.config),
        represent_s=watch.seconds("represent"),
        search_s=watch.seconds("search"),
        represent_macs=represent_macs(representative, task),
        search_macs=outcome.ledger.macs,
    )
    outcome = _judged(outcome, ending.taken.validation.performance(task.performance))
    network = stored(
        ending.taken.before,
        outcome.best,
        task.shape,
        task.classes,
        found.task.train,
        made_by="search",
        before=None if ending.reference_taken else found.winner.weights,
    )
    atom = atom_of(
        task,
        representative,
        outcome,
        provenance,
        test_fingerprint=found.sealed.fingerprint,
        limit=found.config.limit,
        reuse=found.winner.gain,
        network=network,
    )
    return Learnt(atom=atom, representative=representative, network=network)


def _judged(outcome: Outcome, value: float) -> Outcome:
    """The outcome with l after the final training as the score of an architecture that won the only round.

    So later tasks can reuse it. Scores are compared within a task only, and this task has no other score.
    """
    if any(one.score is not None for one in outcome.seen):
        return outcome
    return replace(
        outcome,
        seen=tuple(
            replace(one, score=value, final=True) if one.architecture == outcome.best else one
            for one in outcome.seen
        ),
    )
