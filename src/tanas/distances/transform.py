"""The paper's distance: how much of a transform network N_t it takes to get from A's features to B's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from math import log

import torch
from torch import Tensor

from tanas.distances.base import Measurement, Pair
from tanas.distances.checks import check_classes
from tanas.distances.gate import Gate, GateConfig, Trace, judged
from tanas.distances.intervals import IntervalConfig
from tanas.distances.measurement import measure
from tanas.distances.pruning import bisect_density, magnitude_masks, shrink_density
from tanas.distances.transform_network import TransformNetwork, regress
from tanas.ground.errors import check_choice, check_range
from tanas.ground.seeds import Seed

FINE_TUNERS = ("adam", "rmsprop")


@dataclass(frozen=True, kw_only=True)
class TransformConfig:
    """How the transform network is fitted and pruned."""

    widths: tuple[int, ...] = (2048, 512)
    """Of the hidden layers; the last layer has the width of B's features. Source: section 4."""
    epochs: int = 12
    """Passes over the fit rows, with Adam."""
    batch: int = 200
    """Rows a step."""
    learning_rate: float = 1e-3
    """Adam's; also that of the fine-tuning."""
    exact: bool = False
    """Full iterative magnitude pruning: N_t is pruned in small steps with fine-tuning after each, as
    section 4 says. Otherwise the fitted N_t is pruned to each density that is tried from the dense fit, and
    the density bisected."""
    refine_epochs: int = 0
    """Not exact: from the bisected density on it walks down with so many epochs of fine-tuning a step; 0: the
    bisected density stands."""
    least_density: float = 1e-3
    """No lower density is tried: d is at least this, but for a task to itself."""
    tolerance: float = 0.2
    """Of ln d where the density is bisected: a fifth of d, less than lies between two seeds."""
    shrink: float = 0.7
    """Fine-tuned steps: each density is so many times the one before."""
    patience: int = 2
    """Exact: the way down ends after so many densities in a row that fail."""
    fine_tune_epochs: int = 10
    """Exact: passes over the fit rows after each step. Source: the authors' code."""
    fine_tuner: str = "adam"
    """'adam' or 'rmsprop'."""

    def __post_init__(self) -> None:
        for width in self.widths:
            check_range(width, "widths", "TransformConfig", low=1)
        check_range(self.epochs, "epochs", "TransformConfig", low=1)
        check_range(self.batch, "batch", "TransformConfig", low=2)
        check_range(self.learning_rate, "learning_rate", "TransformConfig", low=0, open_ends=True)
        check_range(self.refine_epochs, "refine_epochs", "TransformConfig", low=0)
        check_range(self.least_density, "least_density", "TransformConfig", low=0, high=1, open_ends=True)
        check_range(self.tolerance, "tolerance", "TransformConfig", low=0, open_ends=True)
        check_range(self.shrink, "shrink", "TransformConfig", low=0, high=1, open_ends=True)
        check_range(self.patience, "patience", "TransformConfig", low=1)
        check_range(self.fine_tune_epochs, "fine_tune_epochs", "TransformConfig", low=1)
        check_choice(self.fine_tuner, "fine_tuner", "TransformConfig", FINE_TUNERS)


def paper_transform() -> TransformConfig:
    """The paper's letter, with the settings of its authors where the text gives none.

    'We then iteratively prune the trained N_t' (section 4); 10 epochs of Adam at batches of 200, and 10 of
    RMSprop after each pruning.
    """
    return TransformConfig(epochs=10, exact=True, fine_tune_epochs=10, fine_tuner="rmsprop")


def paper_gate() -> GateConfig:
    """The paper's words: l_B >= 1 - epsilon (section 3.1), B's own head after the map."""
    return GateConfig(asked="absolute", head="frozen", slack=None, measure=None)


@dataclass(frozen=True)
class TransformDistance:
    """d(A -> B): the share of N_t's weights that is left when it just keeps the performance on B.

    N_t is fitted to give N_B(X_B) from N_A(X_B) by least squares; the least of its weights, over all layers
    together, are removed; d is the least density at which the gate still passes, measured on gate rows, to
    which neither N_t nor its pruning nor the head is fitted. Where the whole N_t fails, d is 1 and the
    shortfall says by how much. Biases are kept and not counted.

    With `exact` it is the reference that faster methods are held against: every density is 0.7 of the one
    before, so that the tried densities lie closer than the d of two seeds; after each step the weights that
    are left are fitted on for ten epochs with a fresh optimiser, as the authors do. d is where the curve first
    meets the gate; the walk goes on until two densities in a row fail, so that the curve shows a failure that
    is an accident of the gate's sample. All draws (N_t's weights, the order of rows at each step) are
    children of the seed.

    Source: section 3.1 and section 4.
    """

    config: TransformConfig = field(default_factory=TransformConfig)
    gate: GateConfig = field(default_factory=GateConfig)
    intervals: IntervalConfig | None = None
    divisor: int = 1
    """The hidden widths are divided by it."""

    @property
    def name(self) -> str:
        if self.config.exact:
            return "exact"
        return "transform" if self.divisor == 1 else "narrow"

    @property
    def needs(self) -> tuple[str, ...]:
        return ()

    def __call__(self, pair: Pair, seed: Seed, *, beyond: float | None = None) -> Measurement:
        """Measures d(A -> B); see `Distance`.

        Raises:
            NonFiniteError: the fit diverged.
            SettingError: the fit rows, to which a head is refitted, are all of one class.
        """
        if self.gate.head != "frozen":
            check_classes(pair, self.name)
        return measure(pair, lambda: self._measured(pair, seed, beyond))

    def _measured(self, pair: Pair, seed: Seed, beyond: float | None) -> Measurement:
        maps = 1 if self.intervals is None else self.intervals.maps
        gate = Gate(self.gate, pair)
        own = gate.own_scores()
        traces, ended, macs = [], False, 0
        for at in range(maps):
            seed_of_map = seed.child("map", at) if at else seed
            trace, ended, spent = self._trace(gate, own, seed_of_map, None if maps > 1 else beyond)
            traces.append(trace)
            macs += spent
        measured = replace(judged(gate, own, traces, self.intervals), map_macs=macs)
        if ended:
            failing = max(d for d, performance in measured.curve if performance < (measured.gate or 0.0))
            return replace(measured, value=failing, surplus=0.0, at_least=True)
        return measured

    def _trace(self, gate: Gate, own: Tensor, seed: Seed, beyond: float | None) -> tuple[Trace, bool, int]:
        """Fits N_t and prunes it; also says whether it ended early, and how many multiply-adds the fits took."""
        config = self.config
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
            macs += an_epoch * (config.fine_tune_epochs if config.exact else config.refine_epochs)
            return passes(density)

        ended = False
        if gate.score(tried[1.0]) >= asked:
            start, patience = 1.0, config.patience
            enough = None if config.refine_epochs else beyond
            if not config.exact:
                failing, start = bisect_density(
                    passes,
                    least=config.least_density,
                    tolerance=config.tolerance,
                    enough=enough,
                )
                ended = enough is not None and failing > enough and log(start / failing) > config.tolerance
                if config.refine_epochs and start > config.least_density:
                    tried = {density: kept for density, kept in tried.items() if density >= start}
                    patience = 1
            if config.exact or config.refine_epochs:
                shrink_density(
                    passes_tuned,
                    start=start,
                    least=config.least_density,
                    shrink=config.shrink,
                    patience=patience,
                )
        densities = tuple(sorted(tried, reverse=True))
        trace = Trace(densities=densities, scores=tuple(tried[density] for density in densities))
        return trace, ended, macs

    @torch.no_grad()
    def _scores(self, gate: Gate, network: TransformNetwork, masks: Sequence[Tensor] | None) -> Tensor:
        """What is read from N_t o N_A on the gate rows."""
        pair = gate.pair
        if self.gate.head == "frozen":
            return gate.scores(pair.target_fit, network(pair.source_gate, masks))
        fit, gate_rows = network.coordinates(pair.source_fit, pair.source_gate, masks=masks)
        return gate.scores(fit, gate_rows, width=pair.target_fit.shape[1])


def masks_at(network: TransformNetwork, density: float) -> list[Tensor]:
    """Which weights of a transform network are kept at a density: the nearest whole number, at least one."""
    return magnitude_masks(network.matrices, max(round(density * network.weights), 1))


def fit_transform(pair: Pair, config: TransformConfig, seed: Seed) -> TransformNetwork:
    """Fits N_t to the fit rows of a pair: mean squared error, Adam.

    Args:
        pair: of which only the features of the fit rows are used, no labels and no gate rows.
        config: widths, epochs, batch and learning rate.
        seed: of the weights and the order of rows.

    Raises:
        NonFiniteError: the fit diverged.
    """
    with seed.child("weights").initialising():
        network = TransformNetwork(pair.source_fit, pair.target_fit, config.widths)
    optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate, fused=True)
    regress(
        network,
        pair,
        optimizer,
        epochs=config.epochs,
        batch=config.batch,
        seed=seed.child("fit"),
    )
    return network


def fine_tune(
    network: TransformNetwork, pair: Pair, config: TransformConfig, masks: Sequence[Tensor], seed: Seed
) -> None:
    """Sets the weights outside the masks to zero and fits the others on, in place.

    Raises:
        NonFiniteError: the fit diverged.
    """
    optimizer: torch.optim.Optimizer
    if config.fine_tuner == "adam":
        optimizer = torch.optim.Adam(network.parameters(), lr=config.learning_rate, fused=True)
    else:
        optimizer = torch.optim.RMSprop(network.parameters(), lr=config.learning_rate)
    regress(
        network,
        pair,
        optimizer,
        epochs=config.fine_tune_epochs if config.exact else config.refine_epochs,
        batch=config.batch,
        seed=seed,
        masks=masks,
    )


def exact_transform(config: TransformConfig) -> TransformConfig:
    """The same transform network by full iterative magnitude pruning."""
    return replace(config, exact=True)
