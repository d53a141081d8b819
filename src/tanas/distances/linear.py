"""A closed-form distance: how many of A's features a linear map to B's features needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from itertools import islice

import torch
from scipy.linalg import eigh
from torch import Tensor

from tanas.distances.base import Distance, Measurement, Pair, check_classes
from tanas.distances.gate import Gate, GateConfig, Trace, judged
from tanas.distances.intervals import IntervalConfig, subsets
from tanas.distances.memory import OF_TARGETS
from tanas.distances.transform_network import Scale
from tanas.ground.errors import check_range
from tanas.ground.seeds import Seed


@dataclass(frozen=True, kw_only=True)
class LinearConfig:
    """How the linear map is solved and pruned."""

    ridge: float = 0.1
    """Penalty of the map, as a share of the mean variance of A's features; a factor of ten changes little."""
    variance: float = 0.99
    """Share of the variance of B's features that the map predicts, in their principal components."""
    growth: float = 1.4
    """Ratio of the numbers of features that are tried, one after the other."""
    patience: int = 2
    """Numbers of features in a row that have to pass: one alone can be an accident of the gate's sample."""

    def __post_init__(self) -> None:
        check_range(self.ridge, "ridge", "LinearConfig", low=0, open_ends=True)
        check_range(self.variance, "variance", "LinearConfig", low=0, high=1, open_ends=True)
        check_range(self.growth, "growth", "LinearConfig", low=1, open_ends=True)
        check_range(self.patience, "patience", "LinearConfig", low=1)


@dataclass(frozen=True)
class LinearDistance(Distance):
    """d(A -> B): the share of a linear map's weights that is left when it just keeps the performance on B.

    The transform network is one matrix, solved by ridge regression. Features of A join it one by one, each time the
    one that explains most of what is still unexplained in B's features (orthogonal matching pursuit with many
    outputs). At each number that is tried the weights are solved anew. d is the share of features at which the gate
    passes; where the map of all features fails, d is 1 and the shortfall says by how much. Nothing is drawn from the
    seed.

    Intervals come from new draws of the gate rows and from maps solved on four fifths of the fit rows. What depends
    on B alone is remembered for the next source, which halves the work (experiments/pages/which-distance.md).

    Source: section 3.1 for d; Tropp, Gilbert and Strauss, Algorithms for simultaneous sparse approximation,
    2006, for the order of features.
    """

    config: LinearConfig = field(default_factory=LinearConfig)
    gate: GateConfig = field(default_factory=GateConfig)
    intervals: IntervalConfig | None = None

    name = "linear"

    def measured(self, pair: Pair, seed: Seed, beyond: float | None) -> Measurement:
        if self.gate.head != "frozen":
            check_classes(pair, self.name)
        own = Gate(self.gate, pair).own_scores()
        pairs = [pair]
        if self.intervals is not None:
            for rows in map(torch.from_numpy, subsets(len(pair.source_fit), self.intervals.maps - 1)):
                names = "source_fit", "target_fit", "labels_fit"
                pairs.append(replace(pair, **{name: getattr(pair, name)[rows] for name in names}))
        alone = beyond if len(pairs) == 1 else None
        traces = [self._trace(part, own, alone) for part in pairs]
        return judged(Gate(self.gate, pair), own, traces, self.intervals)

    def _trace(self, pair: Pair, own: Tensor, beyond: float | None) -> Trace:
        """Solve the map at growing numbers of features."""
        gate = Gate(self.gate, pair)
        source_scale, target_scale = Scale.of(pair.source_fit), Scale.of(pair.target_fit)
        source, target = source_scale.done(pair.source_fit), target_scale.done(pair.target_fit)
        gate_source = source_scale.done(pair.source_gate)
        variance = self.config.variance
        basis = OF_TARGETS.once(
            "principal", (pair.target_fit, variance), lambda: principal(target, variance)
        )  # (F_B, components)
        gram = source.T @ source  # (F_A, F_A)
        gram.diagonal().add_(self.config.ridge * float(gram.diagonal().mean()))
        crossed = source.T @ (target @ basis)  # (F_A, components)

        def scores(taken: Tensor) -> Tensor:
            map_ = torch.linalg.solve(gram[taken][:, taken], crossed[taken])  # (taken, components)
            fit, judging = (part[:, taken] @ map_ * target_scale.deviation for part in (source, gate_source))
            if self.gate.head == "frozen":
                judging = judging @ basis.T + target_scale.mean  # (gate images, F_B)
            return gate.scores(fit, judging, width=pair.target_fit.shape[1])

        features = len(gram)
        tried = {1.0: scores(torch.arange(features))}
        asked = gate.asked(own, tried[1.0])
        passes, ended = 0, None
        if gate.score(tried[1.0]) >= asked:
            *numbers, _ = _numbers(features, self.config.growth)
            taken: list[int] = []
            for feature in islice(pursuit(gram, crossed), max(numbers, default=0)):
                taken.append(feature)
                if len(taken) not in numbers:
                    continue
                density = len(taken) / features
                tried[density] = scores(torch.tensor(taken))
                passed = gate.score(tried[density]) >= asked
                passes = passes + 1 if passed else 0
                if beyond is not None and not passed and density > beyond:
                    ended = density  # d lies above every density that fails
                    break
                if passes >= self.config.patience:
                    break
        return Trace(scores=tried, ended=ended)


def principal(features: Tensor, share: float) -> Tensor:
    """The principal components of centred features (samples, features) that hold a share of their variance.

    Returns:
        orthonormal columns, (features, components), the strongest first; at least one.
    """
    gram = (features.T @ features).double().numpy()
    most = min(len(gram), len(features))
    values, vectors = eigh(gram, subset_by_index=[len(gram) - most, len(gram) - 1], overwrite_a=True)
    held = torch.from_numpy(values[::-1].copy()).clamp_min(0).cumsum(dim=0)
    count = int((held < share * held[-1]).sum()) + 1
    return torch.from_numpy(vectors[:, ::-1][:, : min(count, most)].copy()).to(features.dtype)


def pursuit(gram: Tensor, crossed: Tensor) -> Iterator[int]:
    """Indices of A's features in the order in which a greedy fit takes them.

    The next feature is the one that lowers the squared error of all outputs most when all weights are solved anew. A
    Cholesky factorisation grows by a row per feature, so a step costs one product of what was taken.

    Args:
        gram: products of A's features, with the ridge on the diagonal, (F_A, F_A).
        crossed: products of A's features and the outputs, (F_A, outputs).
    """
    features = len(gram)
    rows = torch.zeros(features, features, dtype=gram.dtype)  # of the growing factor
    left, unexplained = gram.diagonal().clone(), crossed.clone()
    floor = torch.finfo(gram.dtype).eps * float(gram.diagonal().max())
    free = torch.ones(features, dtype=torch.bool)
    for step in range(features):
        gain = unexplained.square().sum(dim=1) / left.clamp_min(floor)  # (F_A,)
        best = int(torch.where(free, gain, -1.0).argmax())
        yield best
        free[best] = False
        root = left[best].clamp_min(floor).sqrt()
        row = (gram[best] - rows[:step, best] @ rows[:step]) / root  # (F_A,)
        rows[step] = row
        unexplained = unexplained - row[:, None] * (unexplained[best] / root)
        left = left - row.square()


def _numbers(features: int, growth: float) -> list[int]:
    """Numbers of features to try: a geometric row from one to all."""
    numbers = [1]
    while numbers[-1] < features:
        numbers.append(min(max(numbers[-1] + 1, round(numbers[-1] * growth)), features))
    return numbers
