"""How soon a search gets there: the best score after each round of FUSE, and what was spent until then."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from tanas.algorithm.presets import SearchConfig
from tanas.algorithm.result import Result
from tanas.ground.records import from_plain
from tanas.networks.architecture import Architecture, cost_of
from tanas.strategies.base import training_macs


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a search stands after a round."""

    spent: int
    """Multiply-adds of all trainings so far, forward and backward: what representing the task and measuring distances
    took, the rounds, and the scores of their winners and of the first seed."""
    score: float
    """Best l so far after the fixed short training, in [0, 1]: what the search would choose if it ended here."""


def progress_of(result: Result) -> tuple[Progress, ...]:
    """What a search by FUSE had after each round, from its record.

    Args:
        result: of the search.

    Returns:
        one entry a round; none for another strategy, and where a winner has no score.
    """
    if result.strategy != "fuse" or not result.rounds or result.ledger is None:
        return ()
    config = from_plain(SearchConfig, result.config, where="the result's config")
    shape, classes = result.task.shape, len(result.task.classes)
    scores = {one.architecture: one.score for one in result.seen if one.score is not None}
    images = min(result.task.train, config.scoring.images) * config.scoring.training.epochs

    def cost(one: Architecture, images: int) -> int:
        return training_macs(cost_of(one, shape, classes).macs, images)

    first = result.rounds[0].candidates[0]
    winners = [past.candidates[past.winner] for past in result.rounds]
    # a first seed is scored whoever wins; no other loser is
    judged = {first} if first in scores and first not in winners else set[Architecture]()
    spent = sum(phase.macs for phase in result.ledger.phases if phase.phase in ("represent", "distance"))
    spent += sum(cost(one, images) for one in judged)
    found, most = [], config.fuse.images
    shown = result.task.train if most is None else min(result.task.train, most)
    for past, winner in zip(result.rounds, winners, strict=True):
        spent += sum(cost(one, shown * config.fuse.most_epochs) for one in past.candidates)
        if winner not in scores:
            return ()
        if winner not in judged:
            judged.add(winner)
            spent += cost(winner, images)
        found.append(Progress(spent=spent, score=max(scores[one] for one in judged)))
    return tuple(found)


@dataclass(frozen=True, kw_only=True)
class Reached:
    """How soon searches have what others end with, in scores."""

    searches: int
    rounds: float
    """In the mean."""
    after: Mapping[int, float]
    """Mean best score after so many rounds; a search that had ended by then stands with its last."""
    shares: tuple[float, ...]
    """Of the searches that had at least what their partner ended with: what each spent until then, of what the partner
    had spent when it first had that; ascending."""


def reached(
    pairs: Sequence[tuple[Sequence[Progress], Sequence[Progress]]], *, rounds: Sequence[int]
) -> Reached | None:
    """Holds searches against partners of the same task and seed.

    Args:
        pairs: (own, partner's), each with an entry a round.
        rounds: after how many to look.

    Returns:
        None: there is no pair.
    """
    if not pairs:
        return None
    shares = []
    for own, other in pairs:
        goal = other[-1].score
        if (mine := _until(own, goal)) is not None and (theirs := _until(other, goal)) is not None:
            shares.append(mine / theirs)
    return Reached(
        searches=len(pairs),
        rounds=sum(len(own) for own, _ in pairs) / len(pairs),
        after={
            count: sum(own[min(count, len(own)) - 1].score for own, _ in pairs) / len(pairs)
            for count in rounds
        },
        shares=tuple(sorted(shares)),
    )


def _until(progress: Sequence[Progress], goal: float) -> int | None:
    """What was spent when a score was first there; None: it never was."""
    return next((one.spent for one in progress if one.score >= goal), None)
