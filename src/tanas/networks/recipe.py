"""The recipes of the final training. Which of them suits a task is chosen on its validation images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from tanas.networks.augmentation import LIGHT
from tanas.networks.training import TrainingConfig

PLAIN_RECIPE = "plain"


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What a task may need of its final training; the rest is the same for every task."""

    words: str
    """What it does to the training images, for people."""
    changes: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `TrainingConfig` and their values."""
    strength: int = 0
    """The more it changes images, the greater."""
    after: str | None = None
    """The recipe that has to lead before this one is tried; None: it is tried at once."""


MIRRORED = replace(LIGHT, horizontal_flip=True)
VARIED = replace(MIRRORED, scale=0.2, shift=4.0, brightness=0.1, contrast=0.3)

RECIPES: Mapping[str, Recipe] = MappingProxyType(
    {
        "mixed": Recipe(
            words="images turned, scaled and shifted a little; parts of other images pasted in",
            changes={"augmentation": LIGHT, "cutmix": 1.0},
            strength=3,
        ),
        "pasted": Recipe(words="parts of other images pasted in", changes={"cutmix": 1.0}, strength=2),
        "mirrored": Recipe(
            words="as mixed; every other image mirrored",
            changes={"augmentation": MIRRORED, "cutmix": 1.0},
            strength=4,
            after="mixed",
        ),
        "light": Recipe(
            words="images turned, scaled and shifted a little",
            changes={"augmentation": LIGHT},
            strength=1,
            after="mixed",
        ),
        PLAIN_RECIPE: Recipe(words="images as they are", after="pasted"),
        "varied": Recipe(
            words="as mirrored, with larger changes, also of brightness and contrast",
            changes={"augmentation": VARIED, "cutmix": 1.0},
            strength=5,
            after="mixed",
        ),
    }
)
"""The recipes by name. The first is taken if no other is clearly better.

CutMix took 1 to 3 points off the error on clothes, permuted digits and photos, and added 2 on digits of 8x8 pixels.
Label smoothing, mixup, erasing, and other brightness and contrast brought at most half a point (docs/networks.md).
"""

USUAL = tuple(name for name in RECIPES if name != "varied")
LONG = tuple(name for name in RECIPES if name != "mirrored")
"""For trainings of several times the usual length: of 4,000 small photos, 6,000 steps with larger changes left an error
of 28.8 % where those of `mirrored` left 30.1 % (n = 1). After half of the steps it was the other way round."""


CUTMIX_SIDE = 16
"""Least pixels of a side for CutMix. It added 2 points to the error on digits of 8x8 pixels, and there the few
validation images often can't tell (359 test images: 0.0 % by `light`, 1.4 % by `mixed`)."""


def suited_to(names: Sequence[str], shape: tuple[int, int, int]) -> tuple[str, ...]:
    """Of recipes to compare, those for images of a shape: without CutMix if they are tiny; all if that leaves none."""
    plain = tuple(name for name in names if "cutmix" not in RECIPES[name].changes)
    return plain if plain and min(shape[1:]) < CUTMIX_SIDE else tuple(names)


def in_turn(names: Sequence[str], leads: str | None = None) -> tuple[str, ...]:
    """Of recipes to compare, those that are tried at once; or those that are tried if a recipe `leads`."""
    return tuple(
        name
        for name in names
        if (after := RECIPES[name].after) == leads or (leads is None and after not in names)
    )


@dataclass(frozen=True, kw_only=True)
class RecipeTried:
    """The result of half of a training by a recipe, on validation images; None: it diverged."""

    recipe: str
    loss: float | None
    """Cross-entropy at the best temperature, in nats; its mean over the classes with 'balanced' performance."""
    performance: float | None
    atom: str = ""
    """The known task whose weights the training began with; empty: new weights."""


@dataclass(frozen=True, kw_only=True)
class ChosenRecipe:
    """The recipe of a task, and how it was chosen."""

    name: str
    tried: tuple[RecipeTried, ...]
    """Results of the first half of a training by each recipe; empty if there was one recipe."""
    judged_on: str
    """Key of the architecture that was trained by each recipe."""
    spent: int
    """Images that the architecture was trained on by the other recipes, and for the outlook; each counts once an
    epoch."""
    atom: str = ""
    """The known task whose weights the chosen training began with; empty: new weights."""


def final_training() -> TrainingConfig:
    """The training of the network that is handed over: 80 passes over 3,000 images, and 2,000 steps at least.

    With CutMix, 2,400 steps in place of 1,200 took 1.2 points off the error on 1,000 drawings, and 3,300 in place of
    1,700 took 3.6 off on 4,000 small photos (n = 1 each).
    """
    return TrainingConfig(epochs=80, least_steps=2_000, meant_for=3_000, averaging=0.99, balanced=True)


def with_recipe(training: TrainingConfig, name: str) -> TrainingConfig:
    """A training by one of `RECIPES`; 'plain' is the training as it is."""
    return replace(training, **RECIPES[name].changes)
