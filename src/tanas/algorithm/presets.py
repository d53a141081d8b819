"""The settings of a search, and presets: functions that return them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import ClassVar

from tanas.dictionary.bench import Related
from tanas.distances.methods import DistanceConfig
from tanas.distances.pairs import PairConfig
from tanas.distances.representative import RepresentativeConfig
from tanas.distances.transform import TransformConfig, paper_gate, paper_transform
from tanas.ground.errors import SettingError, UnknownNameError, check_choice, check_range, nearest_names
from tanas.ground.seeds import Seed
from tanas.networks.recipe import LONG, PLAIN_RECIPE, RECIPES, USUAL, final_training
from tanas.networks.scoring import ScoringConfig
from tanas.networks.training import TrainingConfig
from tanas.spaces.inherit import DEFAULT_INHERIT, INHERIT_MODES, PAPER_INHERIT
from tanas.strategies.darts import DartsConfig
from tanas.strategies.evolution import EvolutionConfig
from tanas.strategies.fuse import FuseConfig
from tanas.strategies.halving import HalvingConfig
from tanas.strategies.predictor import PredictorConfig
from tanas.strategies.random_search import RandomConfig
from tanas.strategies.registry import check_strategy
from tanas.strategies.schedules import Alternating, EqualWeights
from tanas.strategies.shared import SharedConfig
from tanas.tasks.performance import PERFORMANCES

DEFAULT_NEIGHBOURS = 3
"""The paper takes the three most similar tasks (section 4)."""

LED_ROUNDS = 1
"""Rounds of a search with a reliable size trend: a second round did not improve the test error, and cost more than a
search without memory (experiments/pages/task-stream.md)."""

AUTO = "auto"
"""The `inherit` that skips the search if the advice is to reuse."""

NEAREST, ALL = "nearest", "all"


@dataclass(frozen=True, kw_only=True)
class Choice:
    """A way to choose the known tasks to reuse."""

    order: Callable[[Sequence[Related], Seed], tuple[Related, ...]] = lambda measured, seed: tuple(measured)
    """(known tasks, nearest first; seed) -> the order in which they are taken."""
    measures: bool = True
    """Whether distances are measured; else every known task counts alike."""
    stands_in: bool = False
    """Whether the tasks stand in for the nearest ones, as the control of an experiment. All distances are then measured
    to their end, and each task counts like the nearest one that it replaces."""


CHOICES: dict[str, Choice] = {NEAREST: Choice(), ALL: Choice(measures=False)}
"""By the value of the setting `related`; an experiment adds its controls."""

LEARNING = FuseConfig(rounds=2, patience=2, images=4_000)
"""The search for a base task: short, because the architectures that it found moved the error of later searches by less
than half a point, their weights by ten times that (experiments/pages). Ten tasks are enough for a size trend."""

KEEPING_SHARE = 0.25
"""Of the final training's length: the length of the training by which a base task's network is kept."""

KEEPING_RECIPE = "light"
"""Its recipe, if the settings have it: CutMix needs a longer training."""


@dataclass(frozen=True, kw_only=True)
class LearnConfig:
    """The settings for learning a base task; fields are those of `SearchConfig`."""

    performance: str = "balanced"
    limit: int | None = 12_000
    representative: RepresentativeConfig = field(default_factory=RepresentativeConfig)
    space: str = "standard"
    max_parameters: int | None = None
    max_macs: int | None = None
    max_latency_ms: float | None = None
    fuse: FuseConfig = LEARNING
    scoring: ScoringConfig = field(default_factory=ScoringConfig)
    training: TrainingConfig = field(default_factory=lambda: shortened(final_training()))
    """The training of the network that the dictionary keeps."""
    recipe: str = KEEPING_RECIPE
    """Its recipe, of `tanas.networks.recipe.RECIPES`."""
    strict: bool = False
    """Whether a representative that misses 1 - epsilon is refused instead of kept and marked weak."""

    def __post_init__(self) -> None:
        check_choice(self.performance, "performance", "LearnConfig", PERFORMANCES)
        check_choice(self.recipe, "recipe", "LearnConfig", tuple(RECIPES))
        if self.limit is not None:
            check_range(self.limit, "limit", "LearnConfig", low=2)

    def suited_to(self, images: int) -> LearnConfig:
        """Return the settings for a task with that many training images: small tasks get more epochs."""
        return replace(self, fuse=self.fuse.suited_to(images), scoring=self.scoring.suited_to(images))


def shortened(training: TrainingConfig) -> TrainingConfig:
    """Return a training of `KEEPING_SHARE` of the length."""
    epochs, steps = (math.ceil(KEEPING_SHARE * length) for length in (training.epochs, training.least_steps))
    return replace(training, epochs=epochs, least_steps=steps)


_OWN = ("fuse", "training", "recipe", "strict")

SHARED = tuple(field.name for field in fields(LearnConfig) if field.name not in _OWN)
"""Settings of a search that learning a base task has too."""


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """The settings of a search."""

    ADDED: ClassVar = {"outlook": True}
    """See `tanas.ground.records.digest`."""

    performance: str = "balanced"
    """What l is: 'balanced' (balanced accuracy corrected for chance) or 'accuracy' (the paper's experiment)."""
    limit: int | None = 12_000
    """Most training images of the search and the distances, stratified; None: all. The final training uses all."""
    representative: RepresentativeConfig = field(default_factory=RepresentativeConfig)
    pair: PairConfig = field(default_factory=PairConfig)
    """The images on which representatives are compared."""
    distance: DistanceConfig = field(default_factory=DistanceConfig)
    neighbours: int | None = None
    """Number of related tasks to reuse; None: the nearest three, or all if there are fewer."""
    threshold: float | None = None
    """tau: the largest distance of a related task; None: no threshold."""
    space: str = "standard"
    """Name of the base space."""
    related: str = NEAREST
    """Which known tasks to reuse: 'nearest', by distance, or 'all' alike, without any distance."""
    inherit: str = DEFAULT_INHERIT
    """What to reuse from related tasks. 'prior': sample what worked for them more often. 'union': search only their
    operations and skeletons (the paper). 'transfer': take the nearest task's best architecture, or a known network
    whose weights fit better, without a search. 'none': ignore them. 'auto': 'transfer' or 'prior', as advised."""
    inherit_seed: bool = True
    """Whether the best architecture of the nearest task is the first seed; 'transfer' takes it in any case."""
    warm_weights: bool = True
    """Whether the weights of known networks compete with new weights in the final training."""
    per_atom: int = 3
    """Best architectures of a related task that 'union' combines."""
    max_parameters: int | None = None
    """Most parameters of an architecture; None: the space's own limit."""
    max_macs: int | None = None
    """Most multiply-adds for one image; None: the space's own limit."""
    max_latency_ms: float | None = None
    """Most milliseconds for one image, measured on this machine in one thread; None: no limit."""
    strategy: str = "fuse"
    """How the space is searched, one of `tanas.strategies.registry.STRATEGIES`."""
    budget_macs: int | None = None
    """Most multiply-adds of all trainings of candidates and of the final scores; None: no limit."""
    controls: bool = False
    """Whether to compare with random search at the same cost."""
    fuse: FuseConfig = field(default_factory=FuseConfig)
    rounds_led: int | None = None
    """FUSE's most rounds with a reliable size trend; None: `LED_ROUNDS`, or `fuse.rounds` if that was changed."""
    random: RandomConfig = field(default_factory=RandomConfig)
    evolution: EvolutionConfig = field(default_factory=EvolutionConfig)
    halving: HalvingConfig = field(default_factory=HalvingConfig)
    predictor: PredictorConfig = field(default_factory=PredictorConfig)
    shared: SharedConfig = field(default_factory=SharedConfig)
    darts: DartsConfig = field(default_factory=DartsConfig)
    scoring: ScoringConfig = field(default_factory=ScoringConfig)
    training: TrainingConfig = field(default_factory=final_training)
    """The final training. `balanced` counts only if `performance` is balanced and `class_weights` is off."""
    recipes: tuple[str, ...] = USUAL
    """Recipes to compare, of `tanas.networks.recipe.RECIPES`; the best on the validation images is taken."""
    refit: bool = True
    """Whether to train again on training and validation images, for as many epochs."""
    reference: bool = True
    """Whether to compare with a network that needs no search; you get it unless the searched one is clearly better."""
    rivals: bool = True
    """Whether to compare with classic methods."""
    outlook: bool = True
    """Whether to say what half of the images and half of the epochs cost."""
    learn: FuseConfig = LEARNING
    """The search by which a dictionary learns a base task."""

    def __post_init__(self) -> None:
        check_choice(self.performance, "performance", "SearchConfig", PERFORMANCES)
        if self.inherit == ALL:
            raise SettingError("The setting inherit = 'all' is now called related = 'all'.")
        check_choice(self.inherit, "inherit", "SearchConfig", (*INHERIT_MODES, AUTO))
        check_strategy(self.strategy)
        if not self.recipes or len(set(self.recipes)) < len(self.recipes):
            raise SettingError(
                f"The 'recipes' of SearchConfig must be different names, at least one. Got {self.recipes} instead."
            )
        for name in self.recipes:
            check_choice(name, "recipes", "SearchConfig", tuple(RECIPES))
        check_range(self.per_atom, "per_atom", "SearchConfig", low=1)
        for name in ("limit", "neighbours", "max_parameters", "max_macs", "budget_macs", "rounds_led"):
            if (value := getattr(self, name)) is not None:
                check_range(value, name, "SearchConfig", low=2 if name == "limit" else 1)
        if self.max_latency_ms is not None:
            check_range(self.max_latency_ms, "max_latency_ms", "SearchConfig", low=0, open_ends=True)
        if self.threshold is not None:
            check_range(self.threshold, "threshold", "SearchConfig", low=0, high=1)
        if self.neighbours is not None and self.threshold is not None:
            raise SettingError(
                "The 'neighbours' and 'threshold' of SearchConfig can't both be set: "
                "k takes the nearest, tau all that are near. Leave one out."
            )
        check_choice(self.related, "related", "SearchConfig", tuple(CHOICES))
        if not CHOICES[self.related].measures:
            refused = {
                "inherit": self.inherit not in (DEFAULT_INHERIT, "none"),
                "neighbours": self.neighbours is not None,
                "threshold": self.threshold is not None,
            }
            for name in (name for name, given in refused.items() if given):
                raise SettingError(
                    f"'{name}' and related = '{self.related}' of SearchConfig can't go together: every known task "
                    "counts alike, no distance is measured and none is the nearest. Leave one out."
                )

    def led_rounds(self) -> int:
        """Most rounds of FUSE with a reliable size trend."""
        if self.rounds_led is not None:
            return min(self.rounds_led, self.fuse.rounds)
        return LED_ROUNDS if self.fuse.rounds == FuseConfig().rounds else self.fuse.rounds

    def suited_to(self, images: int) -> SearchConfig:
        """Return the settings for a search with that many training images: small tasks get more epochs.

        `training` is left alone: it is adapted to all images of the task.
        """
        shared, darts, scoring = self.shared, self.darts, self.scoring.suited_to(images)
        longer = scoring.training.epochs / self.scoring.training.epochs
        return replace(
            self,
            fuse=self.fuse.suited_to(images),
            halving=replace(self.halving, first_epochs=round(longer * self.halving.first_epochs)),
            shared=replace(shared, training=shared.training.suited_to(min(images, shared.images))),
            darts=replace(darts, training=darts.training.suited_to(min(images, darts.images))),
            scoring=scoring,
        )

    def learning(self, *, strict: bool = False) -> LearnConfig:
        """Return the settings for building a dictionary that this search can reuse."""
        return LearnConfig(
            **{name: getattr(self, name) for name in SHARED},
            fuse=self.learn,
            training=shortened(self.training),
            recipe=KEEPING_RECIPE if KEEPING_RECIPE in self.recipes else self.recipes[0],
            strict=strict,
        )


def default() -> SearchConfig:
    """The default: minutes on two cores."""
    return SearchConfig()


def best() -> SearchConfig:
    """The default with a final training of four times as many steps and larger changes of the images, for photos."""
    training = final_training()
    longer = replace(training, epochs=4 * training.epochs, least_steps=4 * training.least_steps)
    return SearchConfig(training=longer, recipes=LONG)


def quick() -> SearchConfig:
    """Small images in a minute, for trying tanas out and for its tests."""
    quick = EqualWeights(training=TrainingConfig(epochs=2, batch=64, least_steps=25))
    return SearchConfig(
        limit=2_000,
        representative=RepresentativeConfig(architecture="small", features=256),
        pair=PairConfig(fit_images=600, gate_images=400),
        distance=DistanceConfig(transform=TransformConfig(widths=(512, 128))),
        fuse=FuseConfig(rounds=3, patience=2, images=1_000, validation_images=400, schedule=quick),
        shared=SharedConfig(
            runs=2, pool=20, images=1_000, ranking_images=200, training=TrainingConfig(epochs=10, batch=64)
        ),
        darts=DartsConfig(images=800, training=TrainingConfig(epochs=1, batch=64)),
        scoring=ScoringConfig(images=1_000, training=TrainingConfig(epochs=4, batch=64, least_steps=50)),
        training=TrainingConfig(
            epochs=20, batch=64, least_steps=300, meant_for=1_000, averaging=0.99, balanced=True
        ),
        recipes=("light", PLAIN_RECIPE),  # CutMix needs a longer training
        learn=FuseConfig(rounds=1, images=1_000, validation_images=400, schedule=quick),
    )


def paper() -> SearchConfig:
    """The paper's experiment, as far as it is stated; hours without a GPU."""
    letter = FuseConfig(rounds=10, images=None, validation_images=None, schedule=Alternating(), final="last")
    one_epoch = TrainingConfig(epochs=1, batch=64, learning_rate=1e-3, weight_decay=0, schedule="constant")
    return SearchConfig(
        performance="accuracy",
        limit=None,
        representative=RepresentativeConfig(architecture="paper", training=one_epoch),
        pair=PairConfig(fit_images=None, gate_images=None),
        distance=DistanceConfig(method="exact", transform=paper_transform(), gate=paper_gate()),
        space="paper",
        inherit=PAPER_INHERIT,
        inherit_seed=False,
        warm_weights=False,
        fuse=letter,
        training=TrainingConfig(epochs=50),
        recipes=(PLAIN_RECIPE,),
        refit=False,
        reference=False,
        outlook=False,
        learn=replace(letter, rounds=3),
    )


def compared(config: SearchConfig, training: TrainingConfig) -> SearchConfig:
    """Return the settings for an experiment that compares searches: one final training by one recipe, no comparisons.

    The experiment has to limit its tasks, because the final training takes all images.
    """
    return replace(
        config,
        warm_weights=False,
        training=training,
        recipes=(PLAIN_RECIPE,),
        refit=False,
        reference=False,
        rivals=False,
        outlook=False,
    )


PRESETS = {"quick": quick, "default": default, "best": best, "paper": paper}
RENAMED = {"smoke": "quick", "laptop": "default"}
"""Former names of presets."""


def preset(name: str) -> SearchConfig:
    """Return a preset by its name, or raise an `UnknownNameError`."""
    if name in RENAMED:
        raise UnknownNameError(f"The preset '{name}' is now called '{RENAMED[name]}'.")
    if name not in PRESETS:
        raise UnknownNameError(f"Unknown preset '{name}'. {nearest_names(name, PRESETS)}")
    return PRESETS[name]()
