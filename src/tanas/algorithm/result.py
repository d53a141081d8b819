"""The record of a search: what RUN/result.json holds. All values but those ending in `_s` repeat exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tanas.networks.architecture import Architecture
from tanas.networks.scoring import ScoredArchitecture
from tanas.strategies.base import Round

NO_SEARCH, FOUND = "no search", "what the search found"
"""Names of the rival that has the same final training: the reference architecture, or what it took the place of."""

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
    """What a whole training by a recipe came to."""

    recipe: str
    loss: float | None
    """Cross-entropy on the validation images, in nats, at the temperature that suits the network best; where
    performance is 'balanced', its mean over the classes. None: it diverged."""
    performance: float | None
    """Validation performance l; None: it diverged."""


@dataclass(frozen=True, kw_only=True)
class FinalTraining:
    """How the network was trained that is handed over, and how many images trained what."""

    recipe: str
    """One of `tanas.networks.recipe.RECIPES`."""
    tried: tuple[RecipeTried, ...]
    """The recipes that were held against each other; none if there was one only."""
    judged_on: str
    """Key of the architecture that was trained by each of them."""
    epochs: int
    """Of each training."""
    search_images: int
    """Training images that the search and the distances used."""
    train_images: int
    """Training images of the training that validation judges."""
    validation_images: int
    refit_images: int
    """Training and validation images of the last training, whose network is handed over; 0: there was none, and the
    network of the first is."""


@dataclass(frozen=True, kw_only=True)
class Reference:
    """The space's reference architecture, which needs no search, beside what the search found: same final training."""

    architecture: Architecture
    parameters: int
    macs: int
    """Multiply-adds for one image."""
    found: str
    """Key of what the search found."""
    validation_performance: float
    """l of the reference."""
    found_validation_performance: float
    replaces: bool
    """Whether it could take the place of what was found: after a search from scratch."""
    taken: bool
    """Whether the reference is handed over: what was found was not better on the validation images by more than two
    standard errors of their difference."""


@dataclass(frozen=True, kw_only=True)
class Rival:
    """What stands beside the network that is handed over. Shares in [0, 1]."""

    name: str
    """'no search', 'what the search found', or a classic method."""
    settings: str
    """What it is, in words."""
    images: int
    """Training and validation images that it was fitted on."""
    test_error: float
    test_balanced_error: float
    took_s: float
    """Wall-clock seconds of its training; of a network, while others were trained side by side."""


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
    """Where the distance lies when images and maps are drawn anew; None: nobody asked. The last of the
    nearest and the next one have it wherever the method can give it."""
    at_least: bool = False
    """It was measured only until it was known to lie behind the nearest: the distance is no less."""


@dataclass(frozen=True, kw_only=True)
class SpaceRecord:
    """Where the search looked."""

    base: str
    """Name of the base space."""
    inherit: str
    """How the nearest atoms shaped it; 'none' if they did not."""
    operations: tuple[str, ...]
    nodes: int
    """Nodes of a cell."""
    skeletons: int
    """Number of skeletons."""
    size: int
    """Number of architectures that differ, before limits of parameters and MACs."""
    max_parameters: int | None
    max_macs: int | None
    note: str
    """Why it is as it is, a sentence."""
    inputs: int | None = None
    """Edges into a node; None: as many as there are nodes before it."""
    max_latency_ms: float | None = None
    """Most milliseconds for the answer to one image, as measured; None: no limit."""
    related: str = "nearest"
    """Which known tasks something was reused from; older results have it in `inherit`."""
    over_limits: tuple[int, int] | None = None
    """(how many break a limit of parameters or multiply-adds and so are no candidates, of how many that were drawn
    from the space without limits); None: not asked."""


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
    """What was left out or changed when the images were read."""


@dataclass(frozen=True, kw_only=True)
class Costs:
    """Wall-clock seconds a phase."""

    represent_s: float
    distance_s: float
    search_s: float
    train_s: float
    """The reference architecture, which is trained side by side, among it."""
    rivals_s: float
    """Of classic methods."""
    total_s: float


@dataclass(frozen=True, kw_only=True)
class PhaseCost:
    """What a phase cost on any machine, beside its seconds on this one."""

    phase: str
    """'represent', 'distance', 'search' (the scores of its winners among it), 'train' (what was found
    and the reference, by all recipes, with the refits) or 'rivals' (classic methods; no multiply-adds)."""
    took_s: float
    """Wall-clock seconds."""
    macs: int
    """Multiply-adds: of trainings forward and backward, of those that failed too; of a distance what the networks took
    to answer, and the training of maps where they are trained, not the algebra where they are solved."""
    images: tuple[tuple[str, int], ...]
    """(network, images that it was trained on or asked about; an image counts once an epoch)."""
    cached_s: float = 0.0
    """Of the seconds, those of what was done before by another run: the original cost, not spent again."""


@dataclass(frozen=True, kw_only=True)
class DictionaryCost:
    """What the memory cost that a search began with."""

    atoms: int
    took_s: float
    """Wall-clock seconds of learning them."""
    macs: int | None
    """Multiply-adds of learning them; None: some atom was learnt before they were kept."""
    searches: float | None
    """It cost as much as so many searches like this one, their final trainings left out: it has paid back once it
    made so many needless, or halved twice as many. None: not known."""


@dataclass(frozen=True, kw_only=True)
class LedgerRecord:
    """Who spent what. Two searches cost the same if their multiply-adds do."""

    phases: tuple[PhaseCost, ...]
    dictionary: DictionaryCost


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """How the network did that was grown or compressed, as its own run has it. Shares in [0, 1]."""

    task: str
    """What it was found for."""
    validation_error: float
    validation_balanced_error: float
    test_error: float
    test_balanced_error: float
    same_images: bool
    """Its training, validation and test images were the very ones of this run: only then do figures compare."""


@dataclass(frozen=True, kw_only=True)
class Sized:
    """A network before or after it was grown or compressed."""

    architecture: Architecture
    parameters: int
    macs: int
    """Multiply-adds for one image, at the size of this run's."""
    score: float | None
    """Validation performance l after one fixed short training from fresh weights, the same before and after; None:
    it was not scored."""


@dataclass(frozen=True, kw_only=True)
class Grown:
    """What a run that grew or compressed a network began with, and what became of it."""

    aim: str
    """'grow' or 'compress'."""
    origin: str
    """What it began with, in words."""
    before: Sized
    after: Sized
    differences: tuple[str, ...]
    """What changed, a phrase each; none if the network stayed as it was."""
    recorded: Recorded | None
    """None: it began with an architecture, not with a run."""
    kept_weights: bool
    """Whether the final training began with the weights of the run, in a network that answered alike."""
    weights: str
    """With which weights the final training began, and why: a sentence."""


@dataclass(frozen=True, kw_only=True)
class Control:
    """Random search beside, in the same space and at the same cost; its winner was trained by the same recipe."""

    architecture: Architecture
    parameters: int
    macs: int
    """Multiply-adds for one image."""
    candidates: int
    """How many it tried."""
    spent: int
    """Multiply-adds of its trainings; no more than the search that it is held against."""
    test_error: float
    test_balanced_error: float
    validation_performance: float
    took_s: float
    """Wall-clock seconds of its search and final training."""


@dataclass(frozen=True, kw_only=True)
class WarmStart:
    """The trained network of a related task, held against beginning from scratch."""

    atom: str
    """Whose network it is."""
    distance: float
    """d(atom -> task)."""
    architecture: str
    """Its key; empty: the atom keeps no network."""
    score: float | None
    """Validation performance l after the fixed short training from its weights; None: it was not trained."""
    left_out: str
    """Why it was not; empty: it was."""


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """With which weights the final training began."""

    atom: str
    """Whose; empty: it began from scratch."""
    found: str
    """Key of the architecture that the search found."""
    scratch: float | None
    """l of what the search found after the same short training from scratch; None: it was not scored."""
    tried: tuple[WarmStart, ...]
    """Nearest first."""
    note: str
    """All that in a sentence."""


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
    """All that a search leaves behind, beside the weights."""

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
    """None: nothing was known, so no distance was measured."""
    neighbours: tuple[Neighbour, ...]
    """Those inherited from, nearest first."""
    distances: tuple[Neighbour, ...]
    """All atoms of the dictionary, nearest first."""
    space: SpaceRecord
    strategy: str
    rounds: tuple[Round, ...]
    seen: tuple[ScoredArchitecture, ...]
    stopped: str
    training: FinalTraining
    training_losses: tuple[float, ...]
    """Mean training loss of each epoch of the training that validation judged, in nats."""
    rivals: tuple[Rival, ...]
    """Sorted by the error that performance goes by; none if nobody asked for them."""
    costs: Costs
    dictionary: tuple[tuple[str, str], ...]
    """(name, fingerprint) of each atom when the run began."""
    warnings: tuple[str, ...]
    seed: int
    config: dict[str, Any]
    environment: dict[str, Any]
    """Versions, processor, threads."""
    command: str
    """What repeats this run."""
    latency_s: float | None = None
    """Seconds in which the network answers one image on this machine, one thread, the median of some answers; as a
    limit of latency had it. None: the run is older than such limits."""
    control: Control | None = None
    """None: nobody asked for it (`--controls`)."""
    reference: Reference | None = None
    """None: nobody asked for it, or the search found the very same."""
    advice: str = ""
    """Reuse or search again? What the dictionary's past said of it; empty: nothing was related."""
    ledger: LedgerRecord | None = None
    """None: the run is older than ledgers."""
    beginning: Beginning | None = None
    """None: nobody asked for the weights of related tasks (`--warm-weights`); it began from scratch."""
    grown: Grown | None = None
    """None: the architecture was searched for, not made from another."""
