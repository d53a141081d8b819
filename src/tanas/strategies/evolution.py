"""Regularized evolution: the best of a few is mutated, the oldest dies, however good it is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from tanas.ground.errors import check_range
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture
from tanas.networks.scoring import ScoringConfig
from tanas.strategies.driver import Problem
from tanas.strategies.history import Trial, best_of
from tanas.strategies.trials import ByScore, Sizes

MUTATIONS = 20
"""Mutations of a parent before an architecture is drawn instead. Most parents have hundreds of neighbours, so this
many known ones in a row mean that few new ones are left."""


@dataclass(frozen=True, kw_only=True)
class EvolutionConfig:
    """Sizes of the population and its steps. The paper's are 100 and 25 for 20,000 candidates."""

    candidates: int = 12
    """Architectures in all, the first population among them: as many as random search tries."""
    population: int = 6
    """Architectures alive at a time."""
    sample: int = 3
    """Draws from the population, with replacement as in the paper; the best member drawn is the parent."""
    children: int = 2
    """Made from one state of the population, so they can be trained side by side."""

    def __post_init__(self) -> None:
        for name in ("candidates", "population", "sample", "children"):
            check_range(getattr(self, name), name, "EvolutionConfig", low=1)


@dataclass(frozen=True)
class Evolution(ByScore):
    """Regularized (aging) evolution.

    The paper trains a repeated child again; here every child is new. A failed candidate never joins the population.

    Source: Real et al. 2019, "Regularized evolution for image classifier architecture search", algorithm 1.
    """

    config: EvolutionConfig = EvolutionConfig()
    scoring: ScoringConfig = field(default_factory=ScoringConfig)
    """The short training by which every candidate is judged."""
    name: str = "evolution"

    @property
    def sizes(self) -> Sizes:
        config = self.config
        return Sizes(most=config.candidates, first=config.population, later=config.children)

    def draw(
        self, problem: Problem, trials: Sequence[Trial], count: int, seen: frozenset[Architecture], seed: Seed
    ) -> tuple[Architecture, ...]:
        """Draw the first population at random, then mutate the fit; see `ByScore.draw`."""
        if not trials:
            return problem.sample(count, seed.child("sample"), seen)
        alive = [trial for trial in trials if trial.judgement is not None][-self.config.population :]
        made: list[Architecture] = []
        for number in range(count):
            child = self._child(problem, alive, seen.union(made), seed.child("child", number))
            if child is None:
                break
            made.append(child)
        return tuple(made)

    def _child(
        self, problem: Problem, alive: Sequence[Trial], seen: frozenset[Architecture], seed: Seed
    ) -> Architecture | None:
        """A new architecture from the best of a sample of the living; None if the space holds no new one."""
        fresh = problem.sample(1, seed.child("afresh"), seen)
        if not fresh:
            return None
        drawn_at = seed.child("tournament").numpy().integers(len(alive), size=self.config.sample)
        members = [alive[at] for at in sorted(drawn_at)]
        best = best_of([member.judgement for member in members])
        assert best is not None  # all that live were judged
        parent, shape, classes = members[best].architecture, problem.task.shape, len(problem.task.classes)
        for number in range(MUTATIONS):
            draw = seed.child("mutation", number)
            child = problem.space.mutate(parent, seed=draw, shape=shape, classes=classes)
            if child not in seen:
                return child
        return fresh[0]
