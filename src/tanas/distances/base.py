"""What every distance between tasks is: a pair of tasks as features in, a measurement out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from tanas.ground.seeds import Seed

NEEDS = ("fisher", "embedding")
"""What a pair can hold beside features, each made only for a method that asks for it."""


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
    source_head_weight: Tensor
    """Of the last layer of N_A, (classes of A, features of A)."""
    source_head_bias: Tensor
    """(classes of A,)."""
    own: float
    """l_B(N_B): performance of B's own representative on the gate images, in [0, 1]."""
    epsilon: float
    """Of B's representative."""
    source_fisher: Tensor | None = None
    """Diagonal Fisher information of N_A on the fit images of B, (weights of N_A,); None: nobody asked."""
    target_fisher: Tensor | None = None
    """The same of N_B, (weights of N_B,)."""
    source_embedding: Tensor | None = None
    """Task2Vec embedding of A, from A's own training images, (probe filters,); None: nobody asked."""
    target_embedding: Tensor | None = None
    """The same of B."""


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
    surplus: float = 0.0
    """How far the smallest map that was tried stays above the gate, at least 0: orders those at the least d."""
    gate: float | None = None
    """The performance on B that was asked for; None: the method has no gate."""
    own: float | None = None
    """What N_B's own features reach under the same head, l in [0, 1]."""
    dense: float | None = None
    """What the whole map reaches, l in [0, 1]."""
    curve: tuple[tuple[float, float], ...] = ()
    """(density, performance) of every pruned map that was tried, the densest first."""
    interval: tuple[float, float] | None = None
    """Where d lies when images and seeds are drawn anew, lower and upper end; None: nobody asked."""
    draws: tuple[float, ...] = ()
    """`order` under each of those draws; the same draw of images stands at the same place for every source
    of one target, so that two sources can be compared draw by draw."""
    at_least: bool = False
    """The measurement was ended early, behind a bound: d is no less than `value`, or the shortfall no less."""
    map_macs: int = 0
    """Multiply-adds of training maps, forward and backward; 0 where maps are solved, or there are none."""
    took_s: float = 0.0
    """Wall-clock seconds."""

    @property
    def order(self) -> float:
        """Sorts measurements, the nearest first: d, plus the shortfall at 1, minus the surplus at the least d."""
        return self.value + self.shortfall - self.surplus


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
    def needs(self) -> tuple[str, ...]:
        """What of `NEEDS` the pair must hold."""

    def __call__(self, pair: Pair, seed: Seed, *, beyond: float | None = None) -> Measurement:
        """Measures d(source -> target).

        Args:
            pair: features of both representatives on images of the target.
            seed: of every draw.
            beyond: the measurement may end, marked `at_least`, as soon as its `order` is known to be more.
                A method without such a short cut leaves it alone.

        Raises:
            NonFiniteError: features or what is computed from them are not finite.
            SettingError: the method can't measure these tasks; the message says what it needs.
        """


def to_itself(pair: Pair) -> Measurement:
    """The measurement of a task and itself: 0 by definition. Source: section 3.1."""
    return Measurement(
        source=pair.source, target=pair.target, same=True, value=0.0, own=pair.own, dense=pair.own
    )
