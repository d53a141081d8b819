"""Random search: architectures drawn from the space without repeats, each trained shortly; the best one wins."""

from __future__ import annotations

from dataclasses import dataclass, field

from tanas.ground.errors import check_range
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture
from tanas.networks.scoring import ScoringConfig
from tanas.strategies.driver import Problem
from tanas.strategies.history import Trial
from tanas.strategies.trials import ByScore

BATCH = 4
"""Candidates of a round: enough to keep the cores of a laptop busy, few enough that little is lost when the search
is killed within one."""


@dataclass(frozen=True, kw_only=True)
class RandomConfig:
    """How long it goes on."""

    candidates: int = 12
    """Architectures in all. Five rounds of FUSE with three candidates and two epochs, and the scores of five winners
    by four epochs each, cost as much as twelve scores."""

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
    def most(self) -> int:
        return self.config.candidates

    @property
    def first(self) -> int:
        return min(BATCH, self.most)

    @property
    def batch(self) -> int:
        return BATCH

    def draw(
        self,
        problem: Problem,
        trials: tuple[Trial, ...],
        count: int,
        seen: frozenset[Architecture],
        seed: Seed,
    ) -> tuple[Architecture, ...]:
        """Draws by chance alone; see `ByScore.draw`."""
        return by_chance(problem, count, seen, seed)


def by_chance(
    problem: Problem, count: int, seen: frozenset[Architecture], seed: Seed
) -> tuple[Architecture, ...]:
    """Candidates drawn from the space; how every search begins."""
    return problem.sample(count, seed.child("sample"), seen)
