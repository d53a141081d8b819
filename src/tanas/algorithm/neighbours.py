"""Which known tasks a search reuses: the nearest, or all alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from tanas.dictionary.bench import Related
from tanas.ground.seeds import Seed

NEAREST, ALL = "nearest", "all"


def nearest_first(measured: Sequence[Related], seed: Seed) -> tuple[Related, ...]:
    """The order of the distances."""
    return tuple(measured)


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A way to choose the known tasks from which something is reused."""

    order: Callable[[Sequence[Related], Seed], tuple[Related, ...]] = nearest_first
    """(known tasks, nearest first; seed) -> the order in which they are taken."""
    measures: bool = True
    """Whether distances are measured; else every known task counts alike."""
    stands_in: bool = False
    """Whether the tasks stand in for the nearest ones: an experiment's control. All distances are then measured to
    their end, and each task counts as the nearest one does in whose place it stands, so that the control differs in
    who is reused and in nothing else."""


CHOICES: dict[str, Choice] = {NEAREST: Choice(), ALL: Choice(measures=False)}
"""By the name that the setting `related` takes; an experiment adds its controls."""
