"""The distance that the experiments of the paper measure: the complexity of a map between representatives."""

from __future__ import annotations

from dataclasses import replace

from tanas.algorithm.presets import SearchConfig

METHOD = "linear"
"""The paper's distance by a map that is solved, not trained."""


def by_maps(config: SearchConfig) -> SearchConfig:
    """The settings with `METHOD`; a search's own default reads the trained networks of known tasks."""
    return replace(config, distance=replace(config.distance, method=METHOD))
