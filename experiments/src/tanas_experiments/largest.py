"""The largest of many that are drawn, without asking any of them: what every search should be better than."""

from __future__ import annotations

from dataclasses import dataclass, field

from tanas.ground.errors import check_range
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture
from tanas.networks.scoring import ScoringConfig
from tanas.spaces.costs import cost_by_parts
from tanas.strategies.driver import Problem
from tanas.strategies.history import Trial
from tanas.strategies.random_search import BATCH
from tanas.strategies.registry import STRATEGIES
from tanas.strategies.trials import ByScore


@dataclass(frozen=True, kw_only=True)
class LargestConfig:
    """How many are drawn, and how many of them are tried."""

    candidates: int = 4
    """Architectures that are tried, the largest first; 1: the largest is taken."""
    pool: int = 200
    """Architectures drawn at random for each round to choose from: 0.1 s, or 1 s with a size trend."""

    def __post_init__(self) -> None:
        for name in ("candidates", "pool"):
            check_range(getattr(self, name), name, "LargestConfig", low=1)


@dataclass(frozen=True)
class Largest(ByScore):
    """Parameters as a measure that costs nothing: the architectures of a space that have most, within its limits.

    Source: White et al. 2022, "A deeper look at zero-cost proxies for lightweight NAS", in which parameters and
    multiply-adds are rivals that most measures do not beat.
    """

    config: LargestConfig = LargestConfig()
    scoring: ScoringConfig = field(default_factory=ScoringConfig)
    """The short training by which those that are tried are judged."""
    name: str = "largest"

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
        """Proposes those of a pool that have most parameters; see `ByScore.draw`."""
        shape, classes = problem.task.shape, len(problem.task.classes)
        pool = problem.sample(max(self.config.pool, count), seed.child("pool"), seen)
        ranked = sorted(pool, key=lambda one: -cost_by_parts(one, shape, classes).parameters)
        return tuple(ranked[:count])


ONE = "largest"
"""The strategy by which a search takes the largest of many that are drawn."""
STRATEGIES[ONE] = lambda configs: Largest(LargestConfig(candidates=1), configs.scoring)
