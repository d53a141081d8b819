"""Every search strategy, by the name that `--strategy` takes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from tanas.ground.errors import UnknownNameError, nearest_names
from tanas.networks.scoring import ScoringConfig
from tanas.strategies.darts import Darts, DartsConfig
from tanas.strategies.driver import Strategy
from tanas.strategies.evolution import Evolution, EvolutionConfig
from tanas.strategies.fuse import Fuse, FuseConfig
from tanas.strategies.halving import Halving, HalvingConfig
from tanas.strategies.predictor import Predictor, PredictorConfig
from tanas.strategies.random_search import RandomConfig, RandomSearch
from tanas.strategies.shared import SharedConfig, WeightSharing


class StrategyConfigs(Protocol):
    """How each strategy works; `SearchConfig` is one."""

    @property
    def fuse(self) -> FuseConfig: ...
    @property
    def random(self) -> RandomConfig: ...
    @property
    def evolution(self) -> EvolutionConfig: ...
    @property
    def halving(self) -> HalvingConfig: ...
    @property
    def predictor(self) -> PredictorConfig: ...
    @property
    def shared(self) -> SharedConfig: ...
    @property
    def darts(self) -> DartsConfig: ...
    @property
    def scoring(self) -> ScoringConfig:
        """The short training by which all but FUSE judge their candidates; FUSE scores its winners by it."""


STRATEGIES: dict[str, Callable[[StrategyConfigs], Strategy]] = {
    "fuse": lambda configs: Fuse(configs.fuse, scoring=configs.scoring),
    "random": lambda configs: RandomSearch(configs.random, configs.scoring),
    "evolution": lambda configs: Evolution(configs.evolution, configs.scoring),
    "halving": lambda configs: Halving(configs.halving, configs.scoring),
    "predictor": lambda configs: Predictor(configs.predictor, configs.scoring),
    "ws-random": lambda configs: WeightSharing(configs.shared, configs.scoring),
    "darts": lambda configs: Darts(configs.darts, configs.scoring),
}
"""Strategies by name. List a new strategy here, and the contract tests check it. An experiment adds its own."""


def check_strategy(name: str) -> None:
    """Refuse a name that is not in `STRATEGIES`.

    Raises:
        UnknownNameError: the message lists the near names.
    """
    if name not in STRATEGIES:
        raise UnknownNameError(f"Unknown search strategy '{name}'. {nearest_names(name, STRATEGIES)}")


def make_strategy(name: str, configs: StrategyConfigs) -> Strategy:
    """Make a strategy by its name; an unknown one raises `UnknownNameError`."""
    check_strategy(name)
    return STRATEGIES[name](configs)
