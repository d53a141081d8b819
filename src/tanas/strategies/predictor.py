"""Search by a predictor: a regression on the architectures tried so far picks what to try next."""

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
from tanas.networks.cell import pairs_of
from tanas.networks.scoring import ScoringConfig
from tanas.spaces.space import SearchSpace
from tanas.strategies.driver import Problem
from tanas.strategies.history import Trial
from tanas.strategies.trials import ByScore, Sizes

Table = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class PredictorConfig:
    """How many architectures are tried at random, and from how many the predictor picks the others."""

    candidates: int = 12
    """Architectures in all, as many as random search tries."""
    initial: int = 6
    """Drawn at random before anything is predicted."""
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

    It predicts l, and the loss, which decides where l is predicted to be the same: after too short a training all
    candidates can have l = 0.

    Source: White et al. 2021, "How powerful are performance predictors in neural architecture search?", where
    Bayesian linear regression is among the model-based predictors.
    """

    config: PredictorConfig = PredictorConfig()
    scoring: ScoringConfig = field(default_factory=ScoringConfig)
    """The short training by which every candidate is judged."""
    name: str = "predictor"

    @property
    def sizes(self) -> Sizes:
        config = self.config
        return Sizes(most=config.candidates, first=config.initial, later=config.batch)

    def draw(
        self, problem: Problem, trials: Sequence[Trial], count: int, seen: frozenset[Architecture], seed: Seed
    ) -> tuple[Architecture, ...]:
        """Draw at random at first, then take the best predicted of a pool; see `ByScore.draw`."""
        if not trials:
            return problem.sample(count, seed.child("sample"), seen)
        pool = problem.sample(self.config.pool, seed.child("pool"), seen)
        known = [(trial.architecture, trial.judgement) for trial in trials if trial.judgement is not None]
        if not pool or len(known) < 2:  # a line needs two points
            return pool[:count]
        table, wanted = _table(problem, [architecture for architecture, _ in known]), _table(problem, pool)
        scores = _predicted(table, [judgement.score for _, judgement in known], wanted)
        losses = _predicted(table, [judgement.loss for _, judgement in known], wanted)
        order = np.lexsort((losses, -scores))  # by score; the lower loss before the higher
        return tuple(pool[at] for at in order[:count])


def _predicted(table: Table, values: Sequence[float], wanted: Table) -> Table:
    """Predictions for the rows of `wanted`, from known rows and their values; equal values predict themselves."""
    if len(set(values)) == 1:
        return np.full(len(wanted), values[0])
    model = make_pipeline(StandardScaler(), BayesianRidge()).fit(table, values)
    return np.asarray(model.predict(wanted), dtype=np.float64)


def _table(problem: Problem, architectures: Sequence[Architecture]) -> Table:
    return np.array([encode(known, problem.cost(known), problem.space) for known in architectures])


def encode(architecture: Architecture, cost: Cost, space: SearchSpace) -> Table:
    """Return an architecture as numbers.

    Args:
        architecture: in canonical form.
        cost: its own.
        space: nodes and operations that it does not have are left out.

    Returns:
        features, (features,): an indicator of each operation on each edge, the output being the last node in cells
        of any size; how often each operation occurs; stem, depth, number of stages and of reductions, the
        logarithms of the first and the last width; the logarithms of parameters and of multiply-adds.
    """
    cell, skeleton = architecture.cell, architecture.skeleton
    # an inner node beyond those of the space has no place
    places = {node: node if node < space.nodes - 1 else -1 for node in range(cell.nodes - 1)}
    places[cell.nodes - 1] = space.nodes - 1
    held = {(places[start], places[end]): name for start, end, name in cell.edges}
    edges = [float(held.get(pair) == name) for pair in pairs_of(space.nodes) for name in space.operations]
    counts = [float(sum(name == other for _, _, other in cell.edges)) for name in space.operations]
    size = [
        float(skeleton.stem_halvings),
        float(sum(skeleton.cells)),
        float(len(skeleton.widths)),
        float(sum(skeleton.reductions)),
        math.log(skeleton.widths[0]),
        math.log(skeleton.widths[-1]),
        math.log(cost.parameters),
        math.log1p(cost.macs),
    ]
    return np.array(edges + counts + size)
