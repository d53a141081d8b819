"""Every method of measuring a distance, by the name that `--method` takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.metadata import entry_points

from tanas.distances.base import Distance
from tanas.distances.gate import GateConfig
from tanas.distances.intervals import IntervalConfig
from tanas.distances.linear import LinearConfig, LinearDistance
from tanas.distances.logme import LogMeDistance
from tanas.distances.misfit import MisfitDistance
from tanas.distances.probes import KnnConfig, KnnDistance, ProbeDistance
from tanas.distances.transform import TransformConfig, TransformDistance
from tanas.ground.errors import UnknownNameError, nearest_names

NARROW = 8
"""The hidden widths of 'narrow' are the paper's divided by this."""

PLUGINS = "tanas.distances"
"""Entry points of this group are methods of installed packages: functions like those of `METHODS`."""


@dataclass(frozen=True, kw_only=True)
class DistanceConfig:
    """Which method measures a distance, and the settings of each."""

    method: str = "misfit"
    """A name of `all_methods`."""
    gate: GateConfig = field(default_factory=GateConfig)
    """The performance on B that a map has to keep."""
    intervals: IntervalConfig | None = None
    """How intervals of distances are computed; None: not at all, which is cheaper."""
    transform: TransformConfig = field(default_factory=TransformConfig)
    linear: LinearConfig = field(default_factory=LinearConfig)
    knn: KnnConfig = field(default_factory=KnnConfig)

    def __post_init__(self) -> None:
        _maker(self.method)


Maker = Callable[[DistanceConfig], Distance]

METHODS: Mapping[str, Maker] = {
    "misfit": lambda config: MisfitDistance(config.intervals),
    "transform": lambda config: TransformDistance(config.transform, config.gate, config.intervals),
    "exact": lambda config: TransformDistance(
        replace(config.transform, exact=True), config.gate, config.intervals
    ),
    "narrow": lambda config: TransformDistance(
        config.transform, config.gate, config.intervals, divisor=NARROW
    ),
    "linear": lambda config: LinearDistance(config.linear, config.gate, config.intervals),
    "knn": lambda config: KnnDistance(config.knn, config.gate, config.intervals),
    "probe": lambda config: ProbeDistance(config.gate, config.intervals),
    "logme": lambda config: LogMeDistance(config.intervals),
}
"""The methods of tanas itself. The contract tests hold each to what every distance promises."""


@cache
def all_methods() -> Mapping[str, Maker]:
    """The methods of tanas, then those of installed packages."""
    found = {plugin.name: plugin.load() for plugin in entry_points(group=PLUGINS)}
    return {**METHODS, **{name: found[name] for name in found if name not in METHODS}}


def make_distance(config: DistanceConfig, method: str | None = None) -> Distance:
    """The configured method, or another one by its name.

    Raises:
        UnknownNameError: there is no such method.
    """
    return _maker(method or config.method)(config)


def _maker(name: str) -> Maker:
    if name in METHODS:
        return METHODS[name]
    methods = all_methods()
    if name not in methods:
        raise UnknownNameError(
            f"'{name}' is no method of measuring a distance. {nearest_names(name, methods)}"
        )
    return methods[name]
