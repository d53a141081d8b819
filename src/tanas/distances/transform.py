"""The paper's distance: the share of a transform network N_t that maps A's features to B's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import inf, log
from typing import ClassVar

import torch
from torch import Tensor

from tanas.distances.base import Distance, Measurement, Pair, check_classes
from tanas.distances.gate import Gate, GateConfig, Trace, judged
from tanas.distances.intervals import IntervalConfig
from tanas.distances.pruning import bisect_density, magnitude_masks, shrink_density
from tanas.distances.transform_network import TransformNetwork, regress
from tanas.ground.errors import check_choice, check_range
from tanas.ground.seeds import Seed

FINE_TUNERS = ("adam", "rmsprop")


@dataclass(frozen=True, kw_only=True)
class TransformConfig:
    """How the transform network is fitted and pruned."""

    RETIRED: ClassVar = {"refine_epochs": 0}

    widths: tuple[int, ...] = (2048, 512)
    """Of the hidden layers; the last layer has the width of B's features. Source: section 4."""
    epochs: int = 12
    """Passes over the fit rows, with Adam."""
    batch: int = 200
    """Rows a step."""
    learning_rate: float = 1e-3
    """Adam's; also that of the fine-tuning."""
    exact: bool = False
    """Full iterative magnitude pruning: N_t is pruned in small steps with fine-tuning after each (section 4).
    Otherwise the density is bisected, and each density is pruned from the dense fit."""
    least_density: float = 1e-3
    """The lowest density that is tried, and so the smallest d."""
    tolerance: float = 0.2
    """Of ln d where the density is bisected: a fifth of d, less than the difference between two seeds."""
    shrink: float = 0.7
    """Exact: ratio of the densities of two steps."""
    patience: int = 2
    """Exact: densities in a row that have to fail before the steps end."""
    fine_tune_epochs: int = 10
    """Exact: passes over the fit rows after each step. Source: the authors' code."""
    fine_tuner: str = "adam"
    """'adam' or 'rmsprop'."""

    def __post_init__(self) -> None:
        for width in self.widths:
            check_range(width, "widths", "TransformConfig", low=1)
        for name, low in {"epochs": 1, "batch": 2, "patience": 1, "fine_tune_epochs": 1}.items():
            check_range(getattr(self, name), name, "TransformConfig", low=low)
        for name, high in (("learning_rate", inf), ("least_density", 1), ("tolerance", inf), ("shrink", 1)):
            check_range(getattr(self, name), name, "TransformConfig", low=0, high=high, open_ends=True)
        check_choice(self.fine_tuner, "fine_tuner", "TransformConfig", FINE_TUNERS)


def paper_transform() -> TransformConfig:
    """'We then iteratively prune the trained N_t' (section 4), with the settings of the authors' code."""
    return TransformConfig(epochs=10, exact=True, fine_tune_epochs=10, fine_tuner="rmsprop")


def paper_gate() -> GateConfig:
    """The gate of section 3.1: l_B >= 1 - epsilon, with B's own head after the map."""
    return GateConfig(asked="absolute", head="frozen", slack=None, measure=None)


@dataclass(frozen=True)
class TransformDistance(Distance):
    """d(A -> B): the share of N_t's weights that is left when it just keeps the performance on B.

    N_t is fitted to give N_B(X_B) from N_A(X_B) by least squares. Its smallest weights, over all layers together, are
    removed; biases are kept and not counted. d is the least density at which the gate passes on gate rows, to which
    nothing is fitted. Where the whole N_t fails, d is 1 and the shortfall says by how much.

    With `exact` it is the reference for faster methods. Every density is 0.7 of the one before, and after each step
    the weights that are left are fine-tuned with a fresh optimiser. d is where the curve first meets the gate; the
    steps go on until two densities in a row fail, because one failure can be an accident of the gate's sample.

    Source: section 3.1 and section 4.
    """

    config: TransformConfig = field(default_factory=TransformConfig)
    gate: GateConfig = field(default_factory=GateConfig)
    intervals: IntervalConfig | None = None
    divisor: int = 1
    """Of the hidden widths."""

    @property
    def name(self) -> str:
        if self.config.exact:
            return "exact"
        return "transform" if self.divisor == 1 else "narrow"

    def measured(self, pair: Pair, seed: Seed, beyond: float | None) -> Measurement:
        if self.gate.head != "frozen":
            check_classes(pair, self.name)
        maps = 1 if self.intervals is None else self.intervals.maps
        gate = Gate(self.gate, pair)
        own = gate.own_scores()
        seeds = [seed, *(seed.child("map", at) for at in range(1, maps))]
        alone = beyond if maps == 1 else None
        return judged(gate, own, [self._trace(gate, own, each, alone) for each in seeds], self.intervals)

    def _trace(self, gate: Gate, own: Tensor, seed: Seed, beyond: float | None) -> Trace:
        """Fit N_t and prune it."""
        config, least = self.config, self.config.least_density
        widths = tuple(max(width // self.divisor, 1) for width in config.widths)
        network = fit_transform(gate.pair, replace(config, widths=widths), seed)
        # forward, and backward for the inputs and the weights; masks make no product cheaper
        an_epoch = 3 * network.weights * len(gate.pair.source_fit)
        macs = an_epoch * config.epochs
        tried = {1.0: self._scores(gate, network, None)}
        asked = gate.asked(own, tried[1.0])

        def passes(density: float) -> bool:
            tried[density] = self._scores(gate, network, masks_at(network, density))
            return gate.score(tried[density]) >= asked

        def passes_tuned(density: float) -> bool:
            nonlocal macs
            masks = masks_at(network, density)
            fine_tune(network, gate.pair, config, masks, seed.child("fine-tune", f"{density:.6g}"))
            macs += an_epoch * config.fine_tune_epochs
            return passes(density)

        ended = None
        if gate.score(tried[1.0]) >= asked:
            if config.exact:
                shrink_density(
                    passes_tuned, start=1.0, least=least, shrink=config.shrink, patience=config.patience
                )
            else:
                failing, start = bisect_density(
                    passes, least=least, tolerance=config.tolerance, enough=beyond
                )
                if beyond is not None and failing > beyond and log(start / failing) > config.tolerance:
                    ended = max(density for density in tried if density < start)
        return Trace(scores=tried, ended=ended, macs=macs)

    @torch.no_grad()
    def _scores(self, gate: Gate, network: TransformNetwork, masks: Sequence[Tensor] | None) -> Tensor:
        """What is read from N_t o N_A on the gate rows."""
        pair = gate.pair
        if self.gate.head == "frozen":
            return gate.scores(pair.target_fit, network(pair.source_gate, masks))
        fit, gate_rows = network.coordinates(pair.source_fit, pair.source_gate, masks=masks)
        return gate.scores(fit, gate_rows, width=pair.target_fit.shape[1])


def masks_at(network: TransformNetwork, density: float) -> list[Tensor]:
    """Masks of the weights of a transform network that are kept at a density, at least one."""
    return magnitude_masks(network.matrices, max(round(density * network.weights), 1))


def fit_transform(pair: Pair, config: TransformConfig, seed: Seed) -> TransformNetwork:
    """Fit N_t to the features of the fit rows: mean squared error, Adam.

    Raises:
        NonFiniteError: the fit diverged.
    """
    with seed.child("weights").initialising():
        network = TransformNetwork(pair.source_fit, pair.target_fit, config.widths)
    optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate, fused=True)
    regress(network, pair, optimizer, epochs=config.epochs, batch=config.batch, seed=seed.child("fit"))
    return network


def fine_tune(
    network: TransformNetwork, pair: Pair, config: TransformConfig, masks: Sequence[Tensor], seed: Seed
) -> None:
    """Set the weights outside the masks to zero and fit the others further, in place.

    Raises:
        NonFiniteError: the fit diverged.
    """
    optimizer: torch.optim.Optimizer
    if config.fine_tuner == "adam":
        optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate, fused=True)
    else:
        optimizer = torch.optim.RMSprop(network.parameters(), lr=config.learning_rate)
    epochs, batch = config.fine_tune_epochs, config.batch
    regress(network, pair, optimizer, epochs=epochs, batch=batch, seed=seed, masks=masks)
