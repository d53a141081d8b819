"""What every distance between tasks is: a pair of tasks as features in, a measurement out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from tanas.seeds import Seed


@dataclass(frozen=True, eq=False, kw_only=True)
class Pair:
    """All that a distance d(A -> B) is computed from; it can be sent to another process.

    Rows of source and target features with the same position belong to the same image of B. `fit` rows are
    training images, to fit maps and heads on; `gate` rows are validation images, on which performance is
    measured and nothing is fitted.
    """

    source: str
    """Name of task A."""
    target: str
    """Name of task B."""
    same: bool
    """A is B: the same training and validation data."""
    source_fit: Tensor
    """N_A(X_B), float32, (fit images, features of A)."""
    source_gate: Tensor
    """N_A(X_B), float32, (gate images, features of A)."""
    target_fit: Tensor
    """N_B(X_B), float32, (fit images, features of B)."""
    target_gate: Tensor
    """N_B(X_B), float32, (gate images, features of B)."""
    labels_fit: Tensor
    """Class indices of B, int64, (fit images,)."""
    labels_gate: Tensor
    """Class indices of B, int64, (gate images,)."""
    classes: int
    """Number of classes of B."""
    measure: str
    """What l is on B: 'balanced' or 'accuracy'."""
    head_weight: Tensor
    """Of the last layer of N_B, (classes, features of B)."""
    head_bias: Tensor
    """(classes,)."""
    own: float
    """l_B(N_B): performance of B's own representative on the gate images, in [0, 1]."""
    epsilon: float
    """Of B's representative."""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """A distance d(source -> target), and how it came about. All but `took_s` repeats exactly."""

    source: str
    """Name of task A."""
    target: str
    """Name of task B."""
    same: bool
    """A is B, so that d is 0 by definition and nothing was fitted."""
    value: float
    """d in [0, 1]."""
    shortfall: float = 0.0
    """How far the whole map stays below the gate where nothing passes it, at least 0: orders those at 1."""
    gate: float | None = None
    """The performance on B that was asked for; None: the method has no gate."""
    own: float | None = None
    """What N_B's own features reach under the same head, l in [0, 1]."""
    dense: float | None = None
    """What the whole map reaches, l in [0, 1]."""
    curve: tuple[tuple[float, float], ...] = ()
    """(density, performance) of every pruned map that was tried, the densest first."""
    took_s: float = 0.0
    """Wall-clock seconds."""

    @property
    def order_key(self) -> tuple[float, float]:
        """Sorts measurements of one target, the nearest first."""
        return self.value, self.shortfall


class Distance(Protocol):
    """A dissimilarity of tasks, d(A -> B) in [0, 1].

    Implementations are frozen dataclasses that can be pickled (a pair may be measured in another process:
    `executor.submit(distance, pair, seed)`). The same pair and seed give the same measurement anywhere:
    they compute in one thread. A task has distance 0 to itself.
    """

    @property
    def name(self) -> str:
        """As `--method` takes it."""

    @property
    def cost(self) -> str:
        """What a pair costs, in words."""

    def __call__(self, pair: Pair, seed: Seed) -> Measurement:
        """Measures d(source -> target).

        Args:
            pair: features of both representatives on images of the target.
            seed: of every draw.

        Raises:
            NonFiniteError: features or what is computed from them are not finite.
        """


def to_itself(pair: Pair) -> Measurement:
    """The measurement of a task and itself: 0 by definition. Source: section 3.1."""
    return Measurement(
        source=pair.source, target=pair.target, same=True, value=0.0, own=pair.own, dense=pair.own
    )
