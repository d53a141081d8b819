"""Search by a predictor: a regression on the architectures tried so far says which of many to try next."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import BayesianRidge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tanas.ground.errors import check_range
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture, Cost
from tanas.networks.scoring import ScoringConfig
from tanas.spaces.costs import cost_by_parts
from tanas.spaces.space import SearchSpace
from tanas.strategies.driver import Problem
from tanas.strategies.history import Trial
from tanas.strategies.random_search import by_chance
from tanas.strategies.trials import ByScore


@dataclass(frozen=True, kw_only=True)
class PredictorConfig:
    """How many are tried by chance, and how many are looked over for each that is tried then."""

    candidates: int = 12
    """Architectures in all, as many as random search tries."""
    initial: int = 6
    """Drawn by chance before anything is predicted."""
    batch: int = 2
    """Tried between two regressions, side by side."""
    pool: int = 200
    """Architectures drawn at random for each regression to choose from: 0.1 s, or 1 s with a size trend."""

    def __post_init__(self) -> None:
        for name in ("candidates", "initial", "batch", "pool"):
            check_range(getattr(self, name), name, "PredictorConfig", low=1)


@dataclass(frozen=True)
class Predictor(ByScore):
    """Linear regression on what an architecture is made of; it chooses its own strength of regularisation.

    What it predicts is l, and beside it the loss, which decides where l is predicted to be the same: where all that
    was tried has l = 0, as after too short a training.

    Source: White et al. 2021, "How powerful are performance predictors in neural architecture search?", where
    Bayesian linear regression is among the model-based predictors.
    """

    config: PredictorConfig = PredictorConfig()
    scoring: ScoringConfig = field(default_factory=ScoringConfig)
    """The short training by which every candidate is judged."""
    name: str = "predictor"

    @property
    def most(self) -> int:
        return self.config.candidates

    @property
    def first(self) -> int:
        return min(self.config.initial, self.config.candidates)

    @property
    def batch(self) -> int:
        return self.config.batch

    def draw(
        self,
        problem: Problem,
        trials: tuple[Trial, ...],
        count: int,
        seen: frozenset[Architecture],
        seed: Seed,
    ) -> tuple[Architecture, ...]:
        """Proposes by chance at first, then those of a pool for which most is predicted; see `ByScore.draw`."""
        if not trials:
            return by_chance(problem, count, seen, seed)
        pool = problem.sample(self.config.pool, seed.child("pool"), seen)
        known = [(trial.architecture, trial.judgement) for trial in trials if trial.judgement is not None]
        if not pool or len(known) < 2:  # a line needs two points
            return pool[:count]
        table, asked_about = _table(problem, [one for one, _ in known]), _table(problem, pool)
        scores = _predicted(table, [judgement.score for _, judgement in known], asked_about)
        losses = _predicted(table, [judgement.loss for _, judgement in known], asked_about)
        order = np.lexsort((losses, -scores))  # by score; the lower loss before the higher
        return tuple(pool[at] for at in order[:count])


def _predicted(
    table: npt.NDArray[np.float64], values: Sequence[float], asked_about: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """What a regression on a table of what is known says of another, (rows,); a constant of values that are one."""
    if len(set(values)) == 1:
        return np.full(len(asked_about), values[0])
    model = make_pipeline(StandardScaler(), BayesianRidge()).fit(table, values)
    return np.asarray(model.predict(asked_about), dtype=np.float64)


def _table(problem: Problem, architectures: Sequence[Architecture]) -> npt.NDArray[np.float64]:
    """What each is made of, (architectures, features)."""
    shape, classes = problem.task.shape, len(problem.task.classes)
    return np.array([encode(one, cost_by_parts(one, shape, classes), problem.space) for one in architectures])


def encode(architecture: Architecture, cost: Cost, space: SearchSpace) -> npt.NDArray[np.float64]:
    """An architecture as numbers.

    Args:
        architecture: in canonical form; edges of more nodes or other operations than the space has are left out.
        cost: its own.
        space: gives nodes and operations.

    Returns:
        features, (features,): an indicator of each operation on each edge, the output being the last node in cells
        of any size; how often each operation occurs; stem, depth, number of stages and of reductions, the
        logarithms of the first and the last width; the logarithms of parameters and of multiply-adds.
    """
    ends = [(start, end) for end in range(space.nodes) for start in range(end)]
    cell = architecture.cell
    # the output of a cell with fewer nodes is the output all the same; an inner node too many is none of the space's
    places = {node: node if node < space.nodes - 1 else -1 for node in range(cell.nodes - 1)}
    places[cell.nodes - 1] = space.nodes - 1
    held = {(places[start], places[end]): name for start, end, name in cell.edges}
    edges = [float(held.get(pair) == name) for pair in ends for name in space.operations]
    counts = [float(sum(name == other for _, _, other in cell.edges)) for name in space.operations]
    skeleton = architecture.skeleton
    size = [
        float(skeleton.stem == "half"),
        float(sum(skeleton.cells)),
        float(len(skeleton.widths)),
        float(sum(skeleton.reductions)),
        math.log(skeleton.widths[0]),
        math.log(skeleton.widths[-1]),
        math.log(cost.parameters),
        math.log1p(cost.macs),
    ]
    return np.array(edges + counts + size)
