"""Distances that only experiments compare; entry points of the group `tanas.distances` name these functions."""

from __future__ import annotations

from tanas.distances.methods import DistanceConfig
from tanas_experiments.distances.alignment import CkaDistance
from tanas_experiments.distances.fisher import FisherDistance
from tanas_experiments.distances.h_score import HScoreDistance
from tanas_experiments.distances.leep import LeepDistance


def h_score(config: DistanceConfig) -> HScoreDistance:
    """The configured 'h-score'."""
    return HScoreDistance(config.intervals)


def leep(config: DistanceConfig) -> LeepDistance:
    """The configured 'leep'."""
    return LeepDistance(config.intervals)


def cka(config: DistanceConfig) -> CkaDistance:
    """The configured 'cka'."""
    return CkaDistance(config.intervals)


def fisher(config: DistanceConfig) -> FisherDistance:
    """'fisher', which has no settings."""
    return FisherDistance()
