"""Paired differences: means with intervals, and an exact test of whether they are no more than chance."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from tanas.ground.seeds import Seed

LEVEL = 0.95
DRAWS = 10_000
"""Of the bootstrap, and of the signs where there are too many to go through all."""
MOST_EXACT = 14
"""So many pairs are tested exactly: 16,384 ways of giving signs to them."""


@dataclass(frozen=True, kw_only=True)
class PairedDifference:
    """The mean of other - own over pairs that share target and seed."""

    n: int
    mean: float
    low: float | None
    """End of the 95 % bootstrap interval of the mean; None: of a single pair."""
    high: float | None
    p: float | None
    """Two-sided probability of so large a mean if each difference had its sign by chance; None: of a single pair."""


def paired(own: Sequence[float], other: Sequence[float]) -> PairedDifference:
    """Compares two ways on the same targets and seeds; positive: the other one has more.

    Args:
        own: figures of the one.
        other: of the other, in the same order.

    Raises:
        ValueError: the lengths differ, or there is none.
    """
    differences = np.array([b - a for a, b in zip(own, other, strict=True)])
    if not len(differences):
        raise ValueError("There is no pair to compare.")
    mean = float(differences.mean())
    if len(differences) == 1:
        return PairedDifference(n=1, mean=mean, low=None, high=None, p=None)
    generator = Seed(0).child("paired").numpy()
    rows = generator.integers(0, len(differences), (DRAWS, len(differences)))
    low, high = np.quantile(differences[rows].mean(axis=1), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    if len(differences) <= MOST_EXACT:
        signs = np.array(list(product((-1, 1), repeat=len(differences))))
        extra = 0
    else:
        signs, extra = (
            generator.choice((-1, 1), (DRAWS, len(differences))),
            1,
        )  # the sample itself is one of them
    # a hair below, since sums in another order differ in their last bits
    at_least = np.abs((signs * differences).mean(axis=1)) >= abs(mean) * (1 - 1e-9)
    p = (int(at_least.sum()) + extra) / (len(signs) + extra)
    return PairedDifference(n=len(differences), mean=mean, low=float(low), high=float(high), p=p)


CHANCE = 0.05
"""Below this probability of so large a difference by chance, a difference counts as found."""


@dataclass(frozen=True, kw_only=True)
class OverTargets:
    """A difference whose unit is the target: seeds of one target say nothing of another."""

    means: PairedDifference
    """Of the mean of other - own of each target. With six targets p is .031 at least, where all six agree."""
    less: int
    """Targets on which own has less on average."""
    found: int
    """Of those, on how many p < `CHANCE` within the target."""


def over_targets(pairs: Mapping[str, tuple[Sequence[float], Sequence[float]]]) -> OverTargets:
    """Compares two ways on several targets, each of which counts once.

    Args:
        pairs: (own, other) of each target, as `paired` takes them.
    """
    each = [paired(own, other) for own, other in pairs.values()]
    less = [one for one in each if one.mean > 0]
    return OverTargets(
        means=paired([0.0] * len(each), [one.mean for one in each]),
        less=len(less),
        found=sum(one.p is not None and one.p < CHANCE for one in less),
    )


def spread(values: Sequence[float]) -> float | None:
    """Standard deviation; None: of a single value."""
    return statistics.stdev(values) if len(values) > 1 else None
