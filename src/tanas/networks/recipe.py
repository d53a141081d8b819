"""The recipes of the final training. Which of them suits a task is chosen on its validation images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

from tanas.networks.augmentation import LIGHT, PLAIN, AugmentationConfig
from tanas.networks.training import TrainingConfig

PLAIN_RECIPE, LIGHT_RECIPE = "plain", "light"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a task may need of its final training; the rest is the same for every task."""

    words: str
    """What it does to the training images, for people."""
    augmentation: AugmentationConfig = PLAIN
    mixup: float = 0.0
    cutmix: float = 0.0
    smoothing: float = 0.0


MIRRORED = replace(LIGHT, horizontal_flip=True)

RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        PLAIN_RECIPE: Recipe(words="images as they are"),
        LIGHT_RECIPE: Recipe(words="images turned, scaled and shifted a little", augmentation=LIGHT),
        "mixed": Recipe(words="as light; parts of other images pasted in", augmentation=LIGHT, cutmix=1.0),
        "mirrored": Recipe(words="as mixed; every other image mirrored", augmentation=MIRRORED, cutmix=1.0),
    }
)
"""The recipes by name. The first is taken if two do equally well."""


def final_training() -> TrainingConfig:
    """The training of the network that is handed over: 60 passes over 3,000 images, and 1,200 steps at least."""
    return TrainingConfig(epochs=60, least_steps=1_200, meant_for=3_000, averaging=0.99, balanced=True)


def with_recipe(training: TrainingConfig, recipe: Recipe) -> TrainingConfig:
    """A training by a recipe."""
    return replace(
        training,
        augmentation=recipe.augmentation,
        mixup=recipe.mixup,
        cutmix=recipe.cutmix,
        smoothing=recipe.smoothing,
    )
