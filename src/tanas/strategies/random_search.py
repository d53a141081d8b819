"""Random search: architectures drawn from the space without repeats, each trained shortly; the best one wins."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tanas.ground.errors import check_range
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture
from tanas.networks.scoring import ScoringConfig
from tanas.strategies.driver import Problem
from tanas.strategies.history import Trial
from tanas.strategies.trials import ByScore, Sizes

BATCH = 4
"""Candidates of a round: enough to keep the cores of a laptop busy, few enough to lose little when the search is
interrupted."""


@dataclass(frozen=True, kw_only=True)
class RandomConfig:
    """How many architectures random search tries."""

    candidates: int = 12
    """Architectures in all: twelve scores cost as much as five rounds of FUSE and the scores of its five winners."""

    def __post_init__(self) -> None:
        check_range(self.candidates, "candidates", "RandomConfig", low=1)


@dataclass(frozen=True)
class RandomSearch(ByScore):
    """Random search. Source: Li and Talwalkar 2019, "Random search and reproducibility for NAS"."""

    config: RandomConfig = RandomConfig()
    scoring: ScoringConfig = field(default_factory=ScoringConfig)
    """The short training by which every candidate is judged."""
    name: str = "random"

    @property
    def sizes(self) -> Sizes:
        return Sizes(most=self.config.candidates, first=BATCH, later=BATCH)

    def draw(
        self, problem: Problem, trials: Sequence[Trial], count: int, seen: frozenset[Architecture], seed: Seed
    ) -> tuple[Architecture, ...]:
        """Draw at random; see `ByScore.draw`."""
        return problem.sample(count, seed.child("sample"), seen)
