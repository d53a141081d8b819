"""What every distance between tasks is: a pair of tasks as features in, a measurement out."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

import torch
from torch import Tensor

from tanas.distances.representative import Representative
from tanas.distances.threads import one_thread
from tanas.ground.errors import NonFiniteError, SettingError
from tanas.ground.seeds import Seed
from tanas.tasks.task import Split

Need = Callable[[Representative, Split], Tensor]
"""Computes something besides features from a representative and the fit images."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Pair:
    """All that a distance d(A -> B) is computed from; it can be sent to another process.

    Rows of source and target features with the same position belong to the same image of B. `fit` rows are
    training images, to fit maps and heads on. `gate` rows are validation images: performance is measured on them and
    nothing is fitted.
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
    extra: Mapping[str, tuple[Tensor, Tensor]] = field(default_factory=dict)
    """What the `needs` of a distance gave for N_A and for N_B."""


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """A distance d(source -> target), and how it came about. All but `took_s` repeats exactly."""

    source: str
    """Name of task A."""
    target: str
    """Name of task B."""
    same: bool
    """A is B: d is 0 by definition and nothing was fitted."""
    value: float
    """d in [0, 1]."""
    shortfall: float = 0.0
    """How far the whole map stays below the gate, at least 0: orders the distances of 1."""
    surplus: float = 0.0
    """How far the smallest map that was tried stays above the gate, at least 0: orders the smallest distances."""
    gate: float | None = None
    """The performance on B that was required; None: the method has no gate."""
    own: float | None = None
    """What N_B's own features reach under the same head, l in [0, 1]."""
    dense: float | None = None
    """What the whole map reaches, l in [0, 1]."""
    curve: tuple[tuple[float, float], ...] = ()
    """(density, performance) of every pruned map that was tried, the densest first."""
    interval: tuple[float, float] | None = None
    """Lower and upper end of d under new draws of images and seeds; None: not computed."""
    draws: tuple[float, ...] = ()
    """`order` under each draw. All sources of a target share the draws, so two sources compare draw by draw."""
    at_least: bool = False
    """The measurement ended early, beyond a bound: the true `order` is at least this one."""
    map_macs: int = 0
    """Multiply-adds of training maps, forward and backward; 0 where maps are solved, or there are none."""
    took_s: float = 0.0
    """Wall-clock seconds."""

    @property
    def order(self) -> float:
        """Sorts measurements, the nearest first: d, plus the shortfall at 1, minus the surplus at the least d."""
        return self.value + self.shortfall - self.surplus


class Distance(ABC):
    """A dissimilarity of tasks, d(A -> B) in [0, 1].

    Implementations are frozen dataclasses that can be pickled: a pair may be measured in another process
    (`executor.submit(distance, pair, seed)`). The same pair and seed give the same measurement anywhere.
    """

    needs: ClassVar[Mapping[str, Need]] = {}
    """What a pair must hold besides features: `make_pair` puts it into `Pair.extra` under the same name."""

    reads_networks: ClassVar[bool] = False
    """Whether A's features are those of the trained network that the memory keeps, and nothing else is read; else they
    are those of its representative, and B needs one too."""

    @property
    @abstractmethod
    def name(self) -> str:
        """The name that `--method` takes."""

    @abstractmethod
    def measured(self, pair: Pair, seed: Seed, beyond: float | None) -> Measurement:
        """d(A -> B) of two different tasks with finite features; arguments as in `__call__`."""

    def __call__(self, pair: Pair, seed: Seed, *, beyond: float | None = None) -> Measurement:
        """Measure d(source -> target) in one thread. A task has distance 0 to itself (section 3.1).

        Args:
            pair: features of both representatives on images of the target.
            seed: of every draw.
            beyond: the measurement may end, marked `at_least`, once its `order` is known to exceed this.

        Raises:
            NonFiniteError: features or what is computed from them are not finite.
            SettingError: the method can't measure these tasks; the message says what it needs.
        """
        if pair.same:
            return Measurement(
                source=pair.source, target=pair.target, same=True, value=0.0, own=pair.own, dense=pair.own
            )
        began = time.monotonic()
        _check_finite(pair)
        with one_thread():
            measured = self.measured(pair, seed, beyond)
        return replace(measured, took_s=time.monotonic() - began)


def _check_finite(pair: Pair) -> None:
    for task, tensors in (
        (pair.source, (pair.source_fit, pair.source_gate)),
        (pair.target, (pair.target_fit, pair.target_gate)),
    ):
        if not all(torch.isfinite(tensor).all() for tensor in tensors):
            raise NonFiniteError(
                f"The features of the representative of {task} on images of {pair.target} are not finite. "
                "Its weights or the pixels are damaged: make it anew."
            )


def check_classes(pair: Pair, method: str, *, least: int = 1) -> None:
    """Refuse fit rows of one class only, or with fewer than `least` (above 1) samples of a class.

    Raises:
        SettingError: there are too few; the message names the class.
    """
    counts = torch.bincount(pair.labels_fit, minlength=pair.classes)
    if int((counts > 0).sum()) < 2:
        raise SettingError(
            f"The '{method}' distance needs images of at least two classes of {pair.target} to fit on. "
            f"Its {len(pair.labels_fit)} fit images are all of one class: take more fit images."
        )
    if least > 1 and int(counts.min()) < least:
        raise SettingError(
            f"The '{method}' distance needs at least {least} fit images of each class of {pair.target}. "
            f"Class number {int(counts.argmin())} has {int(counts.min())}: take more fit images, "
            "or another method."
        )
