"""The record of a search: what RUN/result.json holds. All values but those ending in `_s` repeat exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tanas.networks.architecture import Architecture
from tanas.networks.scoring import ScoredArchitecture
from tanas.strategies.base import Round

NO_SEARCH, FOUND = "no search", "what the search found"
"""Names of the rival with the same final training: the reference network, or the searched network."""

RESULT_SCHEMA = 2
"""Of result.json: 1 had one rival, logistic regression, among its metrics."""


@dataclass(frozen=True, kw_only=True)
class Metrics:
    """Shares in [0, 1]."""

    test_error: float
    test_balanced_error: float
    test_performance: float
    """l on the test split, by the task's measure."""
    validation_error: float
    validation_balanced_error: float
    validation_performance: float
    constant_error: float
    """Of the best constant answer on the test split."""
    constant_balanced_error: float


@dataclass(frozen=True, kw_only=True)
class RecipeTried:
    """The result of a whole training by a recipe."""

    recipe: str
    loss: float | None
    """Cross-entropy on the validation images, in nats, at the temperature that suits the network best; where
    performance is 'balanced', its mean over the classes. None: it diverged."""
    performance: float | None
    """Validation performance l; None: it diverged."""


@dataclass(frozen=True, kw_only=True)
class FinalTraining:
    """The final training of the network that is handed over: recipe, epochs and numbers of images."""

    recipe: str
    """One of `tanas.networks.recipe.RECIPES`."""
    tried: tuple[RecipeTried, ...]
    """The recipes that were compared; empty if there was one only."""
    judged_on: str
    """Key of the architecture that was trained by each of them."""
    epochs: int
    """Of each training."""
    search_images: int
    """Training images that the search and the distances used."""
    train_images: int
    """Training images of the final training before the refit."""
    validation_images: int
    refit_images: int
    """Training and validation images of the refit, whose network is handed over; 0: there was no refit."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """The reference network, which needs no search, compared with the searched network after the same training."""

    architecture: Architecture
    parameters: int
    macs: int
    """Multiply-adds for one image."""
    found: str
    """Key of the searched architecture."""
    validation_performance: float
    """l of the reference."""
    found_validation_performance: float
    replaces: bool
    """Whether the reference network could be handed over: only after a search from scratch."""
    taken: bool
    """Whether the reference network is handed over: the searched network was not better on validation images by more
    than two standard errors of the difference."""


@dataclass(frozen=True, kw_only=True)
class Rival:
    """A method that the network is compared with. Shares in [0, 1]."""

    name: str
    """'no search', 'what the search found', or a classic method."""
    settings: str
    """Its settings, in words."""
    images: int
    """Training and validation images that it was fitted on."""
    test_error: float
    test_balanced_error: float
    took_s: float
    """Wall-clock seconds of its training; networks are trained side by side."""


@dataclass(frozen=True, kw_only=True)
class Neighbour:
    """An atom and its distance to the task."""

    atom: str
    """Its name, that of its task."""
    distance: float
    """d(atom -> task), in [0, 1]: the share of the map's weights that is needed; other methods have their own
    meaning of it."""
    shortfall: float
    """How far even the whole map stays below the gate (0 if it passes): the tie-break at 1."""
    weak: bool
    """The atom's representative misses 1 - epsilon."""
    fingerprint: str
    """Hash of the atom's training and validation data."""
    interval: tuple[float, float] | None = None
    """90 % interval over redrawn images and refitted maps; None: not measured. The last of the nearest tasks and the
    next task have it if the method gives intervals."""
    at_least: bool = False
    """The distance is a lower bound: measuring stopped once the task was known not to be among the nearest."""


@dataclass(frozen=True, kw_only=True)
class SpaceRecord:
    """The searched space."""

    base: str
    """Name of the base space."""
    inherit: str
    """How related tasks shaped it; 'none' if they did not."""
    operations: tuple[str, ...]
    nodes: int
    """Nodes of a cell."""
    skeletons: int
    """Number of skeletons."""
    size: int
    """Number of distinct architectures, before limits of parameters and multiply-adds."""
    max_parameters: int | None
    max_macs: int | None
    note: str
    """Why the space is as it is, in words."""
    inputs: int | None = None
    """Edges into a node; None: as many as there are nodes before it."""
    max_latency_ms: float | None = None
    """Most milliseconds for the answer to one image, as measured; None: no limit."""
    related: str = "nearest"
    """Which known tasks something was reused from; older results have it in `inherit`."""
    over_limits: tuple[int, int] | None = None
    """(architectures that exceed the limits of parameters or multiply-adds, architectures drawn to count them); None:
    not counted."""


@dataclass(frozen=True, kw_only=True)
class RepresentativeRecord:
    """The target's own epsilon-representative."""

    performance: float
    """l that it reached on the validation split."""
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
    """'balanced' or 'accuracy': what l is."""
    train: int
    """Number of images that the search used."""
    validation: int
    test: int
    available: int
    """Training images in all; more than `train` if the search was limited (`limit`)."""
    fingerprint: str
    test_fingerprint: str
    split_seed: int
    notes: tuple[str, ...]
    """Images that were left out or changed when they were read, in words."""


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Wall-clock seconds of each phase."""

    represent_s: float
    distance_s: float
    search_s: float
    train_s: float
    """The final trainings, with that of the reference network."""
    rivals_s: float
    """Of classic methods."""
    total_s: float


@dataclass(frozen=True, kw_only=True)
class PhaseCost:
    """The cost of a phase: seconds on this machine, and multiply-adds and images, which hold on any machine."""

    phase: str
    """'represent', 'distance', 'search' (with the scores of its winners), 'train' (searched and reference network, all
    recipes and refits) or 'rivals' (classic methods; no multiply-adds)."""
    took_s: float
    """Wall-clock seconds."""
    macs: int
    """Multiply-adds: of trainings forward and backward, of those that failed too; of a distance what the networks took
    to answer, and the training of maps where they are trained, not the algebra where they are solved."""
    images: tuple[tuple[str, int], ...]
    """(network, images that it was trained on or asked about; an image counts once an epoch)."""
    cached_s: float = 0.0
    """Seconds that an earlier run spent; its results were reused."""


@dataclass(frozen=True, kw_only=True)
class DictionaryCost:
    """The cost of the memory that a search began with."""

    atoms: int
    took_s: float
    """Wall-clock seconds of learning them."""
    macs: int | None
    """Multiply-adds of learning them; None: unknown, because an atom is older than such records."""
    searches: float | None
    """The cost in searches like this one, final trainings left out. The memory pays off once it has saved that many
    searches. None: unknown."""


@dataclass(frozen=True, kw_only=True)
class LedgerRecord:
    """The cost of each phase and of the memory. Multiply-adds compare across machines."""

    phases: tuple[PhaseCost, ...]
    dictionary: DictionaryCost


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """The errors of the network before it was grown or compressed, from its own run. Shares in [0, 1]."""

    task: str
    """Name of the task that it was found for."""
    validation_error: float
    validation_balanced_error: float
    test_error: float
    test_balanced_error: float
    same_images: bool
    """Whether its run had the same training, validation and test images as this run; else errors do not compare."""


@dataclass(frozen=True, kw_only=True)
class Sized:
    """A network before or after it was grown or compressed."""

    architecture: Architecture
    parameters: int
    macs: int
    """Multiply-adds for one image of the size of this run."""
    score: float | None
    """Validation performance l after one fixed short training from new weights; None: not scored."""


@dataclass(frozen=True, kw_only=True)
class Grown:
    """The network that a run began to grow or compress, and its result."""

    aim: str
    """'grow' or 'compress'."""
    origin: str
    """The starting network, in words."""
    before: Sized
    after: Sized
    differences: tuple[str, ...]
    """The changes, one phrase each; empty if the network stayed as it was."""
    recorded: Recorded | None
    """The errors of the starting network; None: it began with an architecture alone."""
    kept_weights: bool
    """Whether the final training continued from the weights of the run."""
    weights: str
    """The weights that the final training began with, and why, in words."""


@dataclass(frozen=True, kw_only=True)
class Control:
    """Random search in the same space and at the same cost; its winner was trained by the same recipe."""

    architecture: Architecture
    parameters: int
    macs: int
    """Multiply-adds for one image."""
    candidates: int
    """How many it tried."""
    spent: int
    """Multiply-adds of its trainings; at most those of the search that it is compared with."""
    test_error: float
    test_balanced_error: float
    validation_performance: float
    took_s: float
    """Wall-clock seconds of its search and final training."""


@dataclass(frozen=True, kw_only=True)
class WarmStart:
    """The trained network of a related task, tried as a start of the final training."""

    atom: str
    """Name of the related task."""
    distance: float
    """d(atom -> task)."""
    architecture: str
    """Key of its architecture; empty: no network is stored."""
    score: float | None
    """Validation performance l after the fixed short training from its weights; None: it was not trained."""
    left_out: str
    """Why it was not trained; empty if it was."""


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """The weights that the final training began with."""

    atom: str
    """Name of the related task whose weights were used; empty: it began from scratch."""
    found: str
    """Key of the architecture that the search found."""
    scratch: float | None
    """l of the searched architecture after the same short training from scratch; None: not scored."""
    tried: tuple[WarmStart, ...]
    """Nearest first."""
    note: str
    """The choice and its reason, in words."""


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """A test image that the network got wrong."""

    truth: str
    """Name of its class."""
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
    """Multiply-adds for one image."""
    layers: tuple[tuple[str, str, int, int], ...]
    """(name, shape of the output as text, parameters, multiply-adds) of each layer of the network."""
    metrics: Metrics
    confusion: tuple[tuple[int, ...], ...]
    """On the test split; rows are true classes, columns are answers."""
    mistakes: tuple[Mistake, ...]
    """The most confident wrong answers on the test split, most confident first."""
    representative: RepresentativeRecord | None
    """None: no representative was trained, because no distance was measured."""
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
    """Best first, by the error that counts for the task; empty if there are none."""
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
    """None: not asked for (`controls`)."""
    reference: Reference | None = None
    """None: not asked for, or the search found the reference architecture itself."""
    advice: str = ""
    """Advice to search or to reuse, from past searches; empty if there are no related tasks."""
    ledger: LedgerRecord | None = None
    """None: the run is older than ledgers."""
    beginning: Beginning | None = None
    """None: `warm_weights` was off, so the final training began from scratch."""
    grown: Grown | None = None
    """None: it was a search."""
