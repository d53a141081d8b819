"""Random search: architectures drawn from the space without repeats, each trained shortly; the best one wins."""

from __future__ import annotations

from dataclasses import dataclass, field

from tanas.ground.errors import check_range
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture
from tanas.networks.scoring import ScoringConfig
from tanas.spaces.space import SearchSpace
from tanas.strategies.base import Outcome
from tanas.strategies.trials import Asked, ByAsking, Trial, images_of_scores, search_by_score
from tanas.tasks.task import Task

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
class RandomSearch(ByAsking):
    """Random search. Source: Li and Talwalkar 2019, "Random search and reproducibility for NAS"."""

    config: RandomConfig = RandomConfig()
    scoring: ScoringConfig = field(default_factory=ScoringConfig)
    """The short training by which every candidate is judged."""
    name: str = "random"

    def expected_images(self, space: SearchSpace, task: Task, workers: int) -> float:
        """See `Strategy.expected_images`."""
        return images_of_scores(self.config.candidates, self.scoring, task, workers)

    def find(self, asked: Asked) -> Outcome:
        """Searches; see `Strategy.search`."""
        most = self.config.candidates
        return search_by_score(drawn, asked, self.scoring, most=most, first=min(BATCH, most), batch=BATCH)


def drawn(
    asked: Asked, trials: tuple[Trial, ...], count: int, seen: frozenset[Architecture], seed: Seed
) -> tuple[Architecture, ...]:
    """Proposes by chance alone; see `Ask`."""
    return asked.sample(count, seed.child("sample"), seen)
