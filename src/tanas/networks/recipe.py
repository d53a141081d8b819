"""The recipes of the final training. Which of them suits a task is chosen on its validation images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

from tanas.networks.augmentation import LIGHT
from tanas.networks.training import TrainingConfig

PLAIN_RECIPE, LIGHT_RECIPE = "plain", "light"

RECIPES: Mapping[str, str] = MappingProxyType(
    {PLAIN_RECIPE: "images as they are", LIGHT_RECIPE: "images turned, scaled and shifted a little"}
)
"""What each recipe does to the training images, by its name."""


def final_training() -> TrainingConfig:
    """The training of the network that is handed over: 30 passes over 3,000 images, and 600 steps at least.

    On ten drawings (1,500 images) twice the steps brought nothing; on small photos (3,840) they took 3 points off the
    error for twice the time.
    """
    return TrainingConfig(epochs=30, least_steps=600, meant_for=3_000, averaging=0.99, balanced=True)


def with_recipe(training: TrainingConfig, name: str) -> TrainingConfig:
    """A training by one of `RECIPES`; 'plain' is the training as it is."""
    return replace(training, augmentation=LIGHT) if name == LIGHT_RECIPE else training
