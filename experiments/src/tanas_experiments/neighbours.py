"""Controls of an experiment: known tasks that stand in for the nearest ones."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from tanas.algorithm.presets import ALL, CHOICES, Choice, SearchConfig
from tanas.dictionary.bench import Related
from tanas.ground.seeds import Seed
from tanas.spaces.inherit import DEFAULT_INHERIT

FARTHEST, RANDOM = "farthest", "random-neighbours"


def farthest_first(measured: Sequence[Related], seed: Seed) -> tuple[Related, ...]:
    """The farthest task first."""
    return tuple(reversed(measured))


def drawn(measured: Sequence[Related], seed: Seed) -> tuple[Related, ...]:
    """The known tasks in an order drawn without regard to distance."""
    return tuple(measured[int(place)] for place in seed.numpy().permutation(len(measured)))


CHOICES[FARTHEST] = Choice(order=farthest_first, stands_in=True)
CHOICES[RANDOM] = Choice(order=drawn, stands_in=True)


def inheriting(config: SearchConfig, way: str) -> SearchConfig:
    """A configuration that reuses related tasks in the way that a record names.

    Args:
        config: what else is set.
        way: what is reused ('prior', 'union', ...), or from whom the default is ('all', 'farthest', ...).
    """
    if way in (ALL, FARTHEST, RANDOM):
        return replace(config, inherit=DEFAULT_INHERIT, related=way)
    return replace(config, inherit=way)
