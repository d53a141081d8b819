"""The record of a search: what RUN/result.json holds.

All values but those ending in `_s`, wall-clock seconds, repeat exactly. `macs` of a network are multiply-adds for one
image. Errors and performances l are shares in [0, 1].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tanas.networks.architecture import Architecture
from tanas.networks.recipe import RecipeTried
from tanas.networks.scoring import ScoredArchitecture
from tanas.networks.training import TrainingConfig
from tanas.strategies.base import Round
from tanas.tasks.pictures import Framing

NO_SEARCH, FOUND, DONOR = "no search", "what the search found", "weights of a known task"
"""Names of the rival with the same final training: the reference network, or the searched network."""

RESULT_SCHEMA = 2
"""Of result.json: 1 had one rival, logistic regression, among its metrics."""


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """The errors and the performance l of the network that is handed over."""

    test_error: float
    test_balanced_error: float
    test_performance: float
    validation_error: float
    validation_balanced_error: float
    validation_performance: float
    constant_error: float
    """Of the best constant answer on the test split."""
    constant_balanced_error: float
    test_calibration_error: float | None = None
    """Expected calibration error: the mean gap between the network's confidence and how often it is right. Every class
    counts alike if the performance is balanced. None: written by an older version."""


@dataclass(frozen=True, kw_only=True)
class Outlook:
    """What half of the images and half of the epochs cost the network: a hint at what more of each would bring.

    Shares of wrong validation images, balanced if the performance is; a spread is the standard error of a difference.
    """

    half_images: float
    """With half of the training images, after as many steps as `half_epochs`."""
    half_epochs: float
    whole: float
    """With all training images after all epochs."""
    images_spread: float
    """Of `half_images` - `half_epochs`."""
    epochs_spread: float
    """Of `half_epochs` - `whole`."""


@dataclass(frozen=True, kw_only=True)
class FinalTraining:
    """The final training of the network that is handed over."""

    recipe: str
    tried: tuple[RecipeTried, ...]
    """The recipes that were compared; empty if there was one only."""
    judged_on: str
    """Key of the architecture that was trained by each of them."""
    settings: TrainingConfig | None = None
    """The recipe in full. None: written by an older version."""
    epochs: int
    search_images: int
    """Training images that the search and the distances used."""
    train_images: int
    """Training images before the refit."""
    validation_images: int
    refit_images: int
    """Training and validation images of the refit; 0: no refit."""
    temperature: float = 1.0
    """The last layer was divided by it, so that probabilities fit the validation images; answers stay the same."""
    outlook: Outlook | None = None
    """None: not wanted, too few images, or written by an older version."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """The reference network, which needs no search, compared with the searched network after the same training."""

    architecture: Architecture
    parameters: int
    macs: int
    found: str
    """Key of the searched architecture; that of the reference network if the search found nothing better."""
    validation_performance: float
    found_validation_performance: float
    replaces: bool
    """Whether it could be handed over: only after a search from scratch."""
    taken: bool
    """Whether it is handed over, because the searched network is not `clearly_better` on validation images."""


@dataclass(frozen=True, kw_only=True)
class Rival:
    """A method that the network is compared with."""

    name: str
    """'no search', 'what the search found', or a classic method."""
    settings: str
    images: int
    """Training and validation images."""
    test_error: float
    test_balanced_error: float
    took_s: float
    """Of its training; networks are trained side by side."""


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """An atom and its distance to the task."""

    atom: str
    distance: float
    """d(atom -> task), in [0, 1], by the method of the settings (docs/distances.md)."""
    shortfall: float
    """How much farther it is; it orders tasks at distance 1."""
    weak: bool
    """The atom's representative misses 1 - epsilon, and the distance was measured by it."""
    fingerprint: str
    interval: tuple[float, float] | None = None
    """90 % interval over redrawn images and refitted maps; None: the setting `distance.intervals` is off."""
    at_least: bool = False
    """The distance is a lower bound: measuring stopped once the task was known not to be among the nearest."""


@dataclass(frozen=True, kw_only=True)
class SpaceRecord:
    """The searched space."""

    base: str
    inherit: str
    """How related tasks shaped it; 'none' if they did not."""
    operations: tuple[str, ...]
    nodes: int
    skeletons: int
    size: int
    """Number of distinct architectures, before limits."""
    max_parameters: int | None
    max_macs: int | None
    note: str
    """How the space came about, in words."""
    inputs: int | None = None
    """Edges into a node; None: as many as there are nodes before it."""
    max_latency_ms: float | None = None
    """Most milliseconds for one image; None: no limit."""
    related: str = "nearest"
    """Which known tasks were reused; older results have it in `inherit`."""
    over_limits: tuple[int, int] | None = None
    """(architectures beyond the limits of parameters or multiply-adds, architectures drawn); None: not counted."""


@dataclass(frozen=True, kw_only=True)
class RepresentativeRecord:
    """The epsilon-representative of the task."""

    performance: float
    epsilon: float
    weak: bool
    """It misses 1 - epsilon."""
    parameters: int


@dataclass(frozen=True, kw_only=True)
class TaskRecord:
    """The task that was searched for."""

    name: str
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    """(channels, height, width)."""
    performance: str
    train: int
    """Training images that the search used."""
    validation: int
    test: int
    available: int
    """All training images."""
    fingerprint: str
    test_fingerprint: str
    split_seed: int
    notes: tuple[str, ...]
    """Images that were left out or changed when they were read, in words."""
    framing: Framing | None = None
    """How pictures became images of the shape. None: the images were arrays, or an older version wrote this."""


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Wall-clock seconds of each phase."""

    represent_s: float
    distance_s: float
    search_s: float
    train_s: float
    rivals_s: float
    total_s: float


@dataclass(frozen=True, kw_only=True)
class PhaseCost:
    """The cost of a phase: seconds on this machine, and multiply-adds and images, which hold on any machine."""

    phase: str
    """'represent', 'distance', 'search' (with the scores of its winners), 'train' (searched and reference network, all
    recipes and refits) or 'rivals' (classic methods; no multiply-adds)."""
    took_s: float
    macs: int
    """Of trainings forward and backward, also of failed ones. Of a distance: the networks' answers and the training of
    maps, but not the algebra of solved maps."""
    images: tuple[tuple[str, int], ...]
    """(network, images that it was trained on or answered; an image counts once an epoch)."""
    cached_s: float = 0.0
    """Seconds that an earlier run spent; its results were reused."""


@dataclass(frozen=True, kw_only=True)
class DictionaryCost:
    """The cost of the memory that a search began with."""

    atoms: int
    took_s: float
    """Of learning them."""
    macs: int | None
    """Multiply-adds of learning them; None: an atom is older than such records."""
    searches: float | None
    """The cost in searches like this one, without final trainings: the memory pays off once it has saved as many."""


@dataclass(frozen=True, kw_only=True)
class LedgerRecord:
    """The cost of each phase and of the memory. Multiply-adds compare across machines."""

    phases: tuple[PhaseCost, ...]
    dictionary: DictionaryCost


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """The errors of the network before it was grown or compressed, from its own run."""

    task: str
    validation_error: float
    validation_balanced_error: float
    test_error: float
    test_balanced_error: float
    same_images: bool
    """Whether its run had the same images in every split; else errors do not compare."""


@dataclass(frozen=True, kw_only=True)
class Sized:
    """A network before or after it was grown or compressed."""

    architecture: Architecture
    parameters: int
    macs: int
    score: float | None
    """Validation performance l after one fixed short training from new weights; None: not scored."""


@dataclass(frozen=True, kw_only=True)
class Grown:
    """A network that was grown or compressed."""

    aim: str
    """'grow' or 'compress'."""
    origin: str
    """The starting network, in words."""
    before: Sized
    after: Sized
    differences: tuple[str, ...]
    """The changes, one phrase each; empty: none."""
    recorded: Recorded | None
    """The errors of the starting network; None: an architecture alone was given."""
    kept_weights: bool
    """Whether the final training continued from the weights of the starting network."""
    weights: str
    """The weights that the final training began with, and why, in words."""


@dataclass(frozen=True, kw_only=True)
class Control:
    """Random search in the same space and at the same cost; its winner was trained by the same recipe."""

    architecture: Architecture
    parameters: int
    macs: int
    candidates: int
    spent: int
    """Multiply-adds of its trainings; at most those of the search that it is compared with."""
    test_error: float
    test_balanced_error: float
    validation_performance: float
    took_s: float
    """Of its search and final training."""


@dataclass(frozen=True, kw_only=True)
class WarmStart:
    """The trained network of a known task, considered as a start of the final training."""

    atom: str
    misfit: float | None = None
    """See `tanas.distances.misfit`: 0 is perfect, 1 a guess. None: the network can't be used, or an older version
    wrote this."""
    architecture: str
    """Key of its architecture; empty: no network is stored."""
    loss: float | None = None
    """Validation loss after half of a final training from its weights; None: it was left out, or diverged."""
    left_out: str = ""
    """Why it was not trained; empty if it was."""


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """The weights that the final training began with."""

    atom: str
    """Name of the known task whose weights were used; empty: it began from scratch."""
    scratch: float | None
    """The lowest validation loss after half of a training with new weights; None: every one diverged."""
    tried: tuple[WarmStart, ...]
    """What suits the task best first."""
    note: str
    """The choice and its reason, in words."""


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """A test image that the network got wrong."""

    truth: str
    answer: str
    confidence: float
    """Probability that the network gave its answer."""
    png: str
    """The image as PNG, base64."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """The record of a search: everything except the weights."""

    schema: int
    task: TaskRecord
    architecture: Architecture
    parameters: int
    macs: int
    layers: tuple[tuple[str, str, int, int], ...]
    """(name, shape of the output as text, parameters, multiply-adds) of each layer of the network."""
    metrics: Metrics
    confusion: tuple[tuple[int, ...], ...]
    """On the test split; rows are true classes, columns are answers."""
    mistakes: tuple[Mistake, ...]
    """The most confident wrong answers on the test split, most confident first."""
    representative: RepresentativeRecord | None
    """None: no distance was measured."""
    neighbours: tuple[Neighbour, ...]
    """The related tasks that were reused, nearest first."""
    distances: tuple[Neighbour, ...]
    """All remembered tasks with their distances, nearest first."""
    space: SpaceRecord
    strategy: str
    rounds: tuple[Round, ...]
    seen: tuple[ScoredArchitecture, ...]
    stopped: str
    training: FinalTraining
    training_losses: tuple[float, ...]
    """Mean training loss of each epoch of the final training before the refit, in nats."""
    rivals: tuple[Rival, ...]
    """Best first, by the error that counts for the task."""
    costs: Costs
    dictionary: tuple[tuple[str, str], ...]
    """(name, fingerprint) of each atom when the run began."""
    warnings: tuple[str, ...]
    seed: int
    config: dict[str, Any]
    environment: dict[str, Any]
    """Versions, processor, threads."""
    command: str
    """The command that repeats this run."""
    latency_s: float | None = None
    """Seconds per image on this machine in one thread (median). None: the run is older than latency limits."""
    control: Control | None = None
    reference: Reference | None = None
    """None: not wanted. Older versions: or equal to the searched architecture."""
    advice: str = ""
    """Advice to search or to reuse, from past searches; empty: no related task."""
    ledger: LedgerRecord | None = None
    """None: the run is older than ledgers."""
    beginning: Beginning | None = None
    """None: `warm_weights` was off, so the final training began from scratch."""
    grown: Grown | None = None
    """None: it was a search."""
