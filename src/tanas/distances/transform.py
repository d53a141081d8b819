"""The paper's distance: how much of a transform network N_t it takes to get from A's features to B's."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from tanas.distances.base import Measurement, Pair, to_itself
from tanas.distances.heads import Head, fit_ridge
from tanas.distances.pruning import Curve, bisect_density, magnitude_masks, shrink_density
from tanas.distances.threads import one_thread
from tanas.distances.transform_network import TransformNetwork, regress
from tanas.errors import check_choice, check_range
from tanas.seeds import Seed
from tanas.tasks.performance import confusion_of, performance_of

GATES = ("own", "absolute", "dense")
HEADS = ("ridge", "frozen")
PRUNINGS = ("one-shot", "iterative")
FINE_TUNERS = ("adam", "rmsprop")


@dataclass(frozen=True, kw_only=True)
class TransformConfig:
    """How the transform network is fitted, pruned and judged."""

    widths: tuple[int, ...] = (2048, 512)
    """Of the hidden layers; the last layer has the width of B's features. Source: section 4."""
    epochs: int = 12
    """Passes over the fit rows, with Adam."""
    batch: int = 200
    """Rows a step."""
    learning_rate: float = 1e-3
    """Adam's; also that of the fine-tuning."""
    gate: str = "own"
    """The performance on B that is asked for. 'own': what N_B's own features reach under the same head, minus
    epsilon. 'absolute': 1 - epsilon, as section 3.1 writes it. 'dense': what the whole N_t reaches, minus
    epsilon, after section 4's 'similar performance to N_t'; a bad map then looks cheap."""
    head: str = "ridge"
    """What reads the classes from the map's output. 'ridge': a head fitted to it in closed form on the fit
    rows. 'frozen': the head of N_B as it is; the shrunken output of a fit by least squares makes it answer
    the majority."""
    pruning: str = "one-shot"
    """'one-shot': the fitted N_t is pruned to each density that is tried, without fine-tuning, and the
    density bisected. 'iterative': it is pruned in steps with fine-tuning in between, as section 4 says."""
    least_density: float = 1e-3
    """No lower density is tried: d is at least this, but for a task to itself."""
    tolerance: float = 0.2
    """Of ln d where the density is bisected: a fifth of d, less than lies between two seeds."""
    shrink: float = 0.7
    """Iterative: each density is so many times the one before."""
    patience: int = 2
    """Iterative: it ends after so many densities in a row that fail."""
    fine_tune_epochs: int = 10
    """Iterative: passes over the fit rows after each step."""
    fine_tuner: str = "adam"
    """Iterative: 'adam' or 'rmsprop'."""

    def __post_init__(self) -> None:
        for width in self.widths:
            check_range(width, "widths", "TransformConfig", low=1)
        check_range(self.epochs, "epochs", "TransformConfig", low=1)
        check_range(self.batch, "batch", "TransformConfig", low=2)
        check_range(self.learning_rate, "learning_rate", "TransformConfig", low=0, open_ends=True)
        check_choice(self.gate, "gate", "TransformConfig", GATES)
        check_choice(self.head, "head", "TransformConfig", HEADS)
        check_choice(self.pruning, "pruning", "TransformConfig", PRUNINGS)
        check_range(self.least_density, "least_density", "TransformConfig", low=0, high=1, open_ends=True)
        check_range(self.tolerance, "tolerance", "TransformConfig", low=0, open_ends=True)
        check_range(self.shrink, "shrink", "TransformConfig", low=0, high=1, open_ends=True)
        check_range(self.patience, "patience", "TransformConfig", low=1)
        check_range(self.fine_tune_epochs, "fine_tune_epochs", "TransformConfig", low=1)
        check_choice(self.fine_tuner, "fine_tuner", "TransformConfig", FINE_TUNERS)


def paper_transform() -> TransformConfig:
    """The paper's letter, with the settings of its authors where the text gives none.

    'We then iteratively prune the trained N_t' (section 4) under l_B >= 1 - epsilon (section 3.1), B's own
    head after the map; 10 epochs of Adam at batches of 200, and 10 of RMSprop after each pruning.
    """
    return TransformConfig(
        epochs=10,
        gate="absolute",
        head="frozen",
        pruning="iterative",
        fine_tune_epochs=10,
        fine_tuner="rmsprop",
    )


@dataclass(frozen=True)
class TransformDistance:
    """d(A -> B): the share of N_t's weights that is left when it just keeps the performance on B.

    N_t is fitted to give N_B(X_B) from N_A(X_B) by least squares; the least of its weights, over all layers
    together, are removed; d is the least density at which the gate still passes, measured on gate rows, to
    which neither N_t nor its pruning nor the head is fitted. Where the whole N_t fails, d is 1 and the
    shortfall says by how much. Biases are kept and not counted.

    Source: section 3.1 and section 4.
    """

    config: TransformConfig = field(default_factory=TransformConfig)

    @property
    def name(self) -> str:
        return "transform"

    @property
    def cost(self) -> str:
        if self.config.pruning == "iterative":
            return "a fit of the transform network, and a fine-tuning for each density on the way down"
        return "a fit of the transform network, and a closed-form head for each density of the bisection"

    def __call__(self, pair: Pair, seed: Seed) -> Measurement:
        """Measures d(A -> B); see `Distance`.

        Raises:
            NonFiniteError: the fit diverged.
        """
        if pair.same:
            return to_itself(pair)
        config = self.config
        began = time.monotonic()
        with one_thread():
            network = fit_transform(pair, config, seed)
            own = self._own(pair)
            dense = self._performance(pair, network, None)
            gate = {"own": own - pair.epsilon, "absolute": 1 - pair.epsilon, "dense": dense - pair.epsilon}[
                config.gate
            ]
            value: float = 1.0
            curve: Curve = ((1.0, dense),)
            if dense >= gate:
                value, curve = self._pruned(pair, network, dense, gate, seed)
        weights = network.weights
        return Measurement(
            source=pair.source,
            target=pair.target,
            same=False,
            value=max(round(value * weights), 1) / weights,
            shortfall=max(gate - dense, 0.0),
            gate=gate,
            own=own,
            dense=dense,
            curve=curve,
            took_s=time.monotonic() - began,
        )

    def _pruned(
        self, pair: Pair, network: TransformNetwork, dense: float, gate: float, seed: Seed
    ) -> tuple[float, Curve]:
        config = self.config
        if config.pruning == "one-shot":
            return bisect_density(
                lambda density: self._performance(pair, network, masks_at(network, density)),
                dense=dense,
                gate=gate,
                least=config.least_density,
                tolerance=config.tolerance,
            )

        def pruned_on(density: float) -> float:
            masks = masks_at(network, density)
            fine_tune(network, pair, config, masks, seed.child("fine-tune", f"{density:.6g}"))
            return self._performance(pair, network, masks)

        return shrink_density(
            pruned_on,
            dense=dense,
            gate=gate,
            least=config.least_density,
            shrink=config.shrink,
            patience=config.patience,
        )

    def _own(self, pair: Pair) -> float:
        """l_B of N_B's own features under the same head, on the gate rows."""
        return _score(pair, self._head(pair, pair.target_fit).answers(pair.target_gate))

    @torch.no_grad()
    def _performance(self, pair: Pair, network: TransformNetwork, masks: Sequence[Tensor] | None) -> float:
        """l_B(N_t o N_A) on the gate rows."""
        head = self._head(pair, network(pair.source_fit, masks) if self.config.head == "ridge" else None)
        return _score(pair, head.answers(network(pair.source_gate, masks)))

    def _head(self, pair: Pair, features_fit: Tensor | None) -> Head:
        if self.config.head == "frozen" or features_fit is None:
            return Head(weight=pair.head_weight, bias=pair.head_bias)
        return fit_ridge(features_fit, pair.labels_fit, pair.classes, balanced=pair.measure == "balanced")


def _score(pair: Pair, answers: Tensor) -> float:
    """Performance l of answers on the gate rows, (gate images,)."""
    confusion = confusion_of(pair.labels_gate.numpy(), answers.numpy(), pair.classes)
    return performance_of(confusion, pair.measure)


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
        pair.source_fit,
        pair.target_fit,
        optimizer,
        epochs=config.epochs,
        batch=config.batch,
        seed=seed.child("fit"),
        name=f"from {pair.source} to {pair.target}",
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
        pair.source_fit,
        pair.target_fit,
        optimizer,
        epochs=config.fine_tune_epochs,
        batch=config.batch,
        seed=seed,
        name=f"from {pair.source} to {pair.target}",
        masks=masks,
    )
