"""The configuration of a search, and presets: functions that return one."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from tanas.algorithm.neighbours import ALL, CHOICES, NEAREST
from tanas.dictionary.learn import LEARNING, LearnConfig
from tanas.distances.methods import DistanceConfig
from tanas.distances.pairs import PairConfig
from tanas.distances.representative import RepresentativeConfig
from tanas.distances.transform import TransformConfig, paper_gate, paper_transform
from tanas.ground.errors import SettingError, UnknownNameError, check_choice, check_range, nearest_names
from tanas.networks.recipe import PLAIN_RECIPE, RECIPES, final_training
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
"""Rounds of a search that a memory leads: its first candidates are good ones. As tasks arrived one after the other,
a second round could not be told from one by the test error, and cost more than a search that knows nothing
(experiments/pages/search-evidence.md)."""

AUTO = "auto"
"""`--inherit` that leaves a search out where the dictionary's own history says that it adds next to nothing."""


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """Everything that decides a search but its task, its dictionary and its seed."""

    performance: str = "balanced"
    """What l is: 'balanced' (balanced accuracy corrected for chance) or 'accuracy' (the paper's experiment)."""
    limit: int | None = 12_000
    """Most training images that the search and the distances use, stratified; None: all. The final training uses all
    in any case."""
    representative: RepresentativeConfig = field(default_factory=RepresentativeConfig)
    pair: PairConfig = field(default_factory=PairConfig)
    """The images on which a distance is measured."""
    distance: DistanceConfig = field(default_factory=DistanceConfig)
    neighbours: int | None = None
    """How many atoms are inherited from; None: the nearest three, or all if there are fewer."""
    threshold: float | None = None
    """tau: only atoms at most so far away are inherited from; None: no threshold."""
    space: str = "standard"
    """Name of the base space."""
    related: str = NEAREST
    """Which known tasks something is reused from: 'nearest', by distance, or 'all' alike, without any distance."""
    inherit: str = DEFAULT_INHERIT
    """What of the nearest atoms shapes the space: 'prior' (what did well with them is drawn more often), 'union' (the
    paper's: their operations and skeletons, no others), 'transfer' (the nearest's best architecture, no search) or
    'none'. 'auto' is
    'transfer' where past searches added next to nothing to that (`tanas.dictionary.advice`), else the default."""
    inherit_seed: bool = True
    """Whether the best architecture of the first of them is the first seed; 'transfer' takes it in any case."""
    warm_weights: bool = False
    """Whether the final training may begin with the weights of the network that a related task's atom keeps: where the
    fixed short training makes more of one of them than it made from scratch of what the search found."""
    warm_share: float = 0.5
    """Share of those weights in what it begins with; the rest is drawn anew. On five targets of 200 to 1,000 images
    half of them took 1.4 points off the error from scratch, all of them 0.7 (n = 20;
    experiments/pages/search-evidence.md has the intervals)."""
    per_atom: int = 3
    """How many of an atom's best architectures are inherited from in a union."""
    max_parameters: int | None = None
    """Most parameters of an architecture; None: the space's own limit."""
    max_macs: int | None = None
    """Most multiply-adds for one image; None: the space's own limit."""
    max_latency_ms: float | None = None
    """Most milliseconds for the answer to one image, measured on this machine by one thread; None: no limit."""
    strategy: str = "fuse"
    """How the space is searched, one of `tanas.strategies.registry.STRATEGIES`."""
    budget_macs: int | None = None
    """Most multiply-adds of all trainings of candidates, forward and backward, the scores by which FUSE
    chooses in the end among them; None: no limit."""
    controls: bool = False
    """Whether random search at the same cost is run and trained beside, so that the report says where it stands."""
    fuse: FuseConfig = field(default_factory=FuseConfig)
    rounds_led: int | None = None
    """FUSE's most rounds where enough is known of what sizes promise (`SizeTrend.leads`); None: `LED_ROUNDS`, unless
    `fuse.rounds` was changed."""
    random: RandomConfig = field(default_factory=RandomConfig)
    evolution: EvolutionConfig = field(default_factory=EvolutionConfig)
    halving: HalvingConfig = field(default_factory=HalvingConfig)
    predictor: PredictorConfig = field(default_factory=PredictorConfig)
    shared: SharedConfig = field(default_factory=SharedConfig)
    darts: DartsConfig = field(default_factory=DartsConfig)
    scoring: ScoringConfig = field(default_factory=ScoringConfig)
    training: TrainingConfig = field(default_factory=final_training)
    """The final training, of all training images, by each of `recipes`. Its `balanced` counts only where `performance`
    is balanced, and without `class_weights`, which balance classes already."""
    recipes: tuple[str, ...] = tuple(RECIPES)
    """Recipes that are tried, of `tanas.networks.recipe.RECIPES`; the best on the validation images is taken."""
    refit: bool = True
    """Whether the network is then trained anew on training and validation images, for as many epochs."""
    reference: bool = True
    """Whether an architecture that needs no search gets the final training too ("no search" in the report). After a
    search it is handed over unless what was found is clearly better on validation."""
    rivals: bool = True
    """Whether classic methods are fitted too, so that the report says where the network stands among them."""
    learn: FuseConfig = LEARNING
    """The search by which a dictionary learns a base task's architectures."""

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
        check_range(self.warm_share, "warm_share", "SearchConfig", low=0, high=1)
        for name, low in (
            ("limit", 2),
            ("neighbours", 1),
            ("max_parameters", 1),
            ("max_macs", 1),
            ("budget_macs", 1),
            ("rounds_led", 1),
        ):
            if (value := getattr(self, name)) is not None:
                check_range(value, name, "SearchConfig", low=low)
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
            for name, given in (
                ("inherit", self.inherit not in (DEFAULT_INHERIT, "none")),
                ("neighbours", self.neighbours is not None),
                ("threshold", self.threshold is not None),
                ("warm_weights", self.warm_weights),
            ):
                if given:
                    raise SettingError(
                        f"'{name}' and related = '{self.related}' of SearchConfig can't go together: where every known "
                        "task counts alike, no distance is measured and none is the nearest. Leave one out."
                    )

    def led_rounds(self) -> int:
        """Most rounds of FUSE where a memory leads."""
        if self.rounds_led is not None:
            return min(self.rounds_led, self.fuse.rounds)
        return LED_ROUNDS if self.fuse.rounds == FuseConfig().rounds else self.fuse.rounds

    def suited_to(self, images: int) -> SearchConfig:
        """The same for a search with so many training images: recipes of a small one get more epochs.

        The final training is suited to all images of the task, once they are known.
        """
        return replace(
            self,
            fuse=self.fuse.suited_to(images),
            shared=replace(
                self.shared, training=self.shared.training.suited_to(min(images, self.shared.images))
            ),
            darts=replace(self.darts, training=self.darts.training.suited_to(min(images, self.darts.images))),
            scoring=self.scoring.suited_to(images),
        )

    def learning(self, *, strict: bool = False) -> LearnConfig:
        """How a dictionary is built so that this search can inherit from it."""
        return LearnConfig(
            performance=self.performance,
            limit=self.limit,
            representative=self.representative,
            space=self.space,
            max_parameters=self.max_parameters,
            max_macs=self.max_macs,
            max_latency_ms=self.max_latency_ms,
            fuse=self.learn,
            scoring=self.scoring,
            strict=strict,
        )


def default() -> SearchConfig:
    """The default: minutes on two cores."""
    return SearchConfig()


def quick() -> SearchConfig:
    """Small images in a minute, everything in its smallest form: for trying tanas out and for its tests."""
    quick = EqualWeights(training=TrainingConfig(epochs=2, batch=64, least_steps=25))
    return SearchConfig(
        limit=2_000,
        representative=RepresentativeConfig(architecture="small", features=256),
        pair=PairConfig(fit_images=600, gate_images=400),
        distance=DistanceConfig(transform=TransformConfig(widths=(512, 128))),
        fuse=FuseConfig(rounds=3, patience=2, images=1_000, validation_images=400, schedule=quick),
        shared=SharedConfig(
            runs=2,
            pool=20,
            images=1_000,
            ranking_images=200,
            training=TrainingConfig(epochs=10, batch=64),
        ),
        darts=DartsConfig(images=800, training=TrainingConfig(epochs=1, batch=64)),
        scoring=ScoringConfig(images=1_000, training=TrainingConfig(epochs=4, batch=64, least_steps=50)),
        training=TrainingConfig(
            epochs=20, batch=64, least_steps=300, meant_for=1_000, averaging=0.99, balanced=True
        ),
        learn=FuseConfig(rounds=1, images=1_000, validation_images=400, schedule=quick),
    )


def paper() -> SearchConfig:
    """The paper's experiment to the letter, as far as it is stated; hours without a GPU."""
    letter = FuseConfig(rounds=10, images=None, validation_images=None, schedule=Alternating(), final="last")
    return SearchConfig(
        performance="accuracy",
        limit=None,
        representative=RepresentativeConfig(
            architecture="paper",
            training=TrainingConfig(
                epochs=1, batch=64, learning_rate=1e-3, weight_decay=0, schedule="constant"
            ),
        ),
        pair=PairConfig(fit_images=None, gate_images=None),
        distance=DistanceConfig(method="exact", transform=paper_transform(), gate=paper_gate()),
        space="paper",
        inherit=PAPER_INHERIT,
        inherit_seed=False,
        fuse=letter,
        training=TrainingConfig(epochs=50),
        recipes=(PLAIN_RECIPE,),
        refit=False,
        reference=False,
        learn=replace(letter, rounds=3),
    )


def compared(config: SearchConfig, training: TrainingConfig) -> SearchConfig:
    """The same for an experiment that compares searches: one final training by one recipe, and nothing beside it.

    Its tasks have to be limited by the experiment: the final training takes all images.
    """
    return replace(
        config, training=training, recipes=(PLAIN_RECIPE,), refit=False, reference=False, rivals=False
    )


PRESETS = {"quick": quick, "default": default, "paper": paper}
"""Presets by the name that `--preset` takes."""


RENAMED = {"smoke": "quick", "laptop": "default"}
"""What presets were called before."""


def preset(name: str) -> SearchConfig:
    """A preset by its name.

    Raises:
        UnknownNameError: there is none.
    """
    if name in RENAMED:
        raise UnknownNameError(f"The preset '{name}' is now called '{RENAMED[name]}'.")
    if name not in PRESETS:
        raise UnknownNameError(f"'{name}' is no preset. {nearest_names(name, PRESETS)}")
    return PRESETS[name]()
