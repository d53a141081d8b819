"""A closed-form distance: how many of A's features a linear map to B's features needs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import torch
from scipy.linalg import eigh
from torch import Tensor

from tanas.distances.base import Measurement, Pair
from tanas.distances.checks import check_classes
from tanas.distances.gate import Gate, GateConfig, Trace, judged
from tanas.distances.intervals import IntervalConfig, subsets
from tanas.distances.measurement import measure
from tanas.distances.memory import OF_TARGETS
from tanas.distances.transform_network import Scale
from tanas.ground.errors import check_range
from tanas.ground.seeds import Seed


@dataclass(frozen=True, kw_only=True)
class LinearConfig:
    """How the linear map is solved and pruned."""

    ridge: float = 0.1
    """Penalty of the map, as a share of the mean variance of A's features. A tenth to ten times as much
    changes the ranking little."""
    variance: float = 0.99
    """Share of the variance of B's features that the map is asked for, in their principal components."""
    growth: float = 1.4
    """Each number of features that is tried is so many times the one before, at least one more."""
    patience: int = 2
    """The way up ends after so many numbers in a row that pass: one alone can be an accident of the gate's
    sample."""

    def __post_init__(self) -> None:
        check_range(self.ridge, "ridge", "LinearConfig", low=0, open_ends=True)
        check_range(self.variance, "variance", "LinearConfig", low=0, high=1, open_ends=True)
        check_range(self.growth, "growth", "LinearConfig", low=1, open_ends=True)
        check_range(self.patience, "patience", "LinearConfig", low=1)


@dataclass(frozen=True)
class LinearDistance:
    """d(A -> B): the share of a linear map's weights that is left when it just keeps the performance on B.

    The transform network is here one matrix, solved by ridge regression. It is pruned by columns, all weights
    that leave one feature of A together: features of A are taken up one by one, each time the one that
    explains most of what is still unexplained in B's features (orthogonal matching pursuit with many
    outputs), and the weights of those taken are solved anew, exactly, at each number that is tried. d is the
    share of features, and so of weights, at which the gate passes; where the map of all features fails, d is
    1 and the shortfall says by how much. Nothing is drawn: the same features give the same d.

    Intervals come from gate rows drawn anew and from maps solved on four fifths of the fit rows.

    The principal components of B's features and what B's own features reach are the same for every source: they
    are remembered, to the byte: less than half of a pair's work is left (experiments/pages/which-distance.md). A's
    Gram matrix is not kept: it takes a twentieth of a pair, and two targets from a limited data set have different
    images. Nothing starts warm from another target's map: each is solved exactly, so there is no start to better.

    Source: section 3.1 for d; Tropp, Gilbert and Strauss, Algorithms for simultaneous sparse approximation,
    2006, for the path.
    """

    config: LinearConfig = field(default_factory=LinearConfig)
    gate: GateConfig = field(default_factory=GateConfig)
    intervals: IntervalConfig | None = None

    @property
    def name(self) -> str:
        return "linear"

    @property
    def needs(self) -> tuple[str, ...]:
        return ()

    def __call__(self, pair: Pair, seed: Seed, *, beyond: float | None = None) -> Measurement:
        """Measures d(A -> B); see `Distance`. Nothing is drawn from the seed.

        Raises:
            NonFiniteError: features are not finite.
            SettingError: the fit rows, to which a head is refitted, are all of one class.
        """
        if self.gate.head != "frozen":
            check_classes(pair, self.name)
        return measure(pair, lambda: self._measured(pair, beyond))

    def _measured(self, pair: Pair, beyond: float | None) -> Measurement:
        count = len(pair.source_fit)
        gate = Gate(self.gate, pair)
        own = gate.own_scores()
        parts: list[Tensor | None] = [None]
        if self.intervals is not None:
            parts += [torch.from_numpy(rows) for rows in subsets(count, self.intervals.maps - 1)]
        alone = beyond if len(parts) == 1 else None
        walks = [self._walked(gate, own, rows, alone) for rows in parts]
        traces = [trace for trace, _ in walks]
        measured = judged(gate, own, traces, self.intervals)
        failing = walks[0][1]
        return measured if failing is None else replace(measured, value=failing, surplus=0.0, at_least=True)

    def _walked(
        self, gate: Gate, own: Tensor, rows: Tensor | None, beyond: float | None
    ) -> tuple[Trace, float | None]:
        """Solves the map on some fit rows and walks up the number of features.

        Returns:
            what it answers at each number, and the density at which it ended early behind `beyond`, if it did.
        """
        pair, width = gate.pair, gate.pair.target_fit.shape[1]
        fit_source = pair.source_fit if rows is None else pair.source_fit[rows]
        fit_target = pair.target_fit if rows is None else pair.target_fit[rows]
        source_scale, target_scale = Scale.of(fit_source), Scale.of(fit_target)
        source, asked_of = source_scale.done(fit_source), target_scale.done(fit_target)
        gate_source = source_scale.done(pair.source_gate)
        basis = OF_TARGETS.once(
            "principal",
            (fit_target, self.config.variance),
            lambda: principal(asked_of, self.config.variance),
        )  # (F_B, components)
        wanted = asked_of @ basis  # (fit images, components)
        gram = source.T @ source  # (F_A, F_A)
        gram.diagonal().add_(self.config.ridge * float(gram.diagonal().mean()))
        crossed = source.T @ wanted  # (F_A, components)

        def scores(taken: Tensor) -> Tensor:
            map_ = torch.linalg.solve(gram[taken][:, taken], crossed[taken])  # (taken, components)
            outputs = [part[:, taken] @ map_ * target_scale.deviation for part in (source, gate_source)]
            if self.gate.head == "frozen":
                full = outputs[1] @ basis.T + target_scale.mean  # (gate images, F_B)
                return gate.scores(fit_target, full)
            return gate.scores(outputs[0], outputs[1], width=width, rows=rows)

        features = len(gram)
        tried = {features: scores(torch.arange(features))}
        asked = gate.asked(own, tried[features])
        passes, failing = 0, None
        if gate.score(tried[features]) >= asked:
            numbers = iter(_numbers(features, self.config.growth))
            number = next(numbers)
            taken: list[int] = []
            for feature in pursuit(gram, crossed):
                taken.append(feature)
                if len(taken) < number:
                    continue
                if number == features:
                    break
                tried[number] = scores(torch.tensor(taken))
                passed = gate.score(tried[number]) >= asked
                passes = passes + 1 if passed else 0
                if beyond is not None and not passed and number / features > beyond:
                    failing = number / features  # d lies above every number that fails
                    break
                if passes >= self.config.patience:
                    break
                number = next(numbers)
        order = sorted(tried, reverse=True)
        trace = Trace(
            densities=tuple(number / features for number in order),
            scores=tuple(tried[number] for number in order),
        )
        return trace, failing


def principal(features: Tensor, share: float) -> Tensor:
    """The principal components of features that hold a share of their variance.

    Args:
        features: centred, (samples, features).
        share: of the variance, in (0, 1).

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
    """Features of A in the order in which a greedy fit takes them up.

    Each time it is the feature that lowers the squared error of all outputs most when the weights of the
    features before it are solved anew with it. A Cholesky factorisation grows by a row a feature, so that a
    step costs one product of what was taken.

    Args:
        gram: of A's features with the ridge on its diagonal, (F_A, F_A).
        crossed: products of A's features and the outputs, (F_A, outputs).

    Yields:
        index after index, each once.
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
    """How many features are tried: a geometric row from one to all."""
    numbers = [1]
    while numbers[-1] < features:
        numbers.append(min(max(numbers[-1] + 1, round(numbers[-1] * growth)), features))
    return numbers
