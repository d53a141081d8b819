"""Every method of measuring a distance, by the name that `--method` takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from tanas.distances.alignment import CkaDistance
from tanas.distances.base import Distance
from tanas.distances.fisher import FisherDistance
from tanas.distances.gate import GateConfig
from tanas.distances.h_score import HScoreDistance
from tanas.distances.intervals import IntervalConfig
from tanas.distances.leep import LeepDistance
from tanas.distances.linear import LinearConfig, LinearDistance
from tanas.distances.logme import LogMeDistance
from tanas.distances.probes import KnnConfig, KnnDistance, ProbeDistance
from tanas.distances.task2vec import Task2VecDistance
from tanas.distances.transform import TransformConfig, TransformDistance, exact_transform
from tanas.ground.errors import UnknownNameError, nearest_names

NARROW = 8
"""The hidden widths of 'narrow' are the paper's divided by this."""


@dataclass(frozen=True, kw_only=True)
class DistanceConfig:
    """Which method measures a distance, and how each of them does."""

    method: str = "linear"
    """A name of `METHODS`."""
    gate: GateConfig = field(default_factory=GateConfig)
    """The performance on B that a map has to keep."""
    intervals: IntervalConfig | None = None
    """How sure each distance is; None: it is not asked, which is cheaper."""
    transform: TransformConfig = field(default_factory=TransformConfig)
    linear: LinearConfig = field(default_factory=LinearConfig)
    knn: KnnConfig = field(default_factory=KnnConfig)

    def __post_init__(self) -> None:
        check_method(self.method)


METHODS: Mapping[str, Callable[[DistanceConfig], Distance]] = {
    "transform": lambda config: TransformDistance(config.transform, config.gate, config.intervals),
    "exact": lambda config: TransformDistance(
        exact_transform(config.transform), config.gate, config.intervals
    ),
    "narrow": lambda config: TransformDistance(
        config.transform, config.gate, config.intervals, divisor=NARROW
    ),
    "linear": lambda config: LinearDistance(config.linear, config.gate, config.intervals),
    "knn": lambda config: KnnDistance(config.knn, config.gate, config.intervals),
    "probe": lambda config: ProbeDistance(config.gate, config.intervals),
    "logme": lambda config: LogMeDistance(config.intervals),
    "h-score": lambda config: HScoreDistance(config.intervals),
    "leep": lambda config: LeepDistance(config.intervals),
    "cka": lambda config: CkaDistance(config.intervals),
    "fisher": lambda config: FisherDistance(),
    "task2vec": lambda config: Task2VecDistance(),
}
"""Name to method. A new one is listed here; the contract tests then hold it to what every distance promises."""


def check_method(name: str) -> None:
    """Refuses a name that is none of `METHODS`.

    Raises:
        UnknownNameError: it is none; the message lists the near ones.
    """
    if name not in METHODS:
        raise UnknownNameError(
            f"'{name}' is no method of measuring a distance. {nearest_names(name, METHODS)}"
        )


def make_distance(config: DistanceConfig, method: str | None = None) -> Distance:
    """The configured method, or another one by its name.

    Raises:
        UnknownNameError: there is no such method.
    """
    name = method or config.method
    check_method(name)
    return METHODS[name](config)
