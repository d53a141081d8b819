"""The largest of many drawn architectures: the baseline that every search should beat."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tanas.ground.errors import check_range
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture
from tanas.networks.scoring import ScoringConfig
from tanas.strategies.driver import Problem
from tanas.strategies.history import Trial
from tanas.strategies.random_search import BATCH
from tanas.strategies.registry import STRATEGIES
from tanas.strategies.trials import ByScore, Sizes


@dataclass(frozen=True, kw_only=True)
class LargestConfig:
    """How many architectures are drawn, and how many of them are tried."""

    candidates: int = 4
    """Architectures that are tried, the largest first; 1: the largest is taken."""
    pool: int = 200
    """Architectures drawn at random for each round to choose from: 0.1 s, or 1 s with a size trend."""

    def __post_init__(self) -> None:
        for name in ("candidates", "pool"):
            check_range(getattr(self, name), name, "LargestConfig", low=1)


@dataclass(frozen=True)
class Largest(ByScore):
    """Parameters as a measure without cost: the architectures with most parameters within the limits of a space.

    Source: White et al. 2022, "A deeper look at zero-cost proxies for lightweight NAS", in which parameters and
    multiply-adds are rivals that most measures do not beat.
    """

    config: LargestConfig = LargestConfig()
    scoring: ScoringConfig = field(default_factory=ScoringConfig)
    """The short training by which the candidates are judged."""
    name: str = "largest"

    @property
    def sizes(self) -> Sizes:
        return Sizes(most=self.config.candidates, first=BATCH, later=BATCH)

    def draw(
        self, problem: Problem, trials: Sequence[Trial], count: int, seen: frozenset[Architecture], seed: Seed
    ) -> tuple[Architecture, ...]:
        """Take those of a pool that have most parameters; see `ByScore.draw`."""
        pool = problem.sample(max(self.config.pool, count), seed.child("pool"), seen)
        ranked = sorted(pool, key=lambda candidate: -problem.cost(candidate).parameters)
        return tuple(ranked[:count])


ONE = "largest"
"""The strategy that takes the largest of many drawn architectures."""
STRATEGIES[ONE] = lambda configs: Largest(LargestConfig(candidates=1), configs.scoring)
