"""An atom of the dictionary: a solved task with its representative and its architectures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tanas.dictionary.stored_network import StoredRecord
from tanas.distances.representative import RepresentativeState
from tanas.ground.errors import StoreError
from tanas.ground.records import SCHEMA, digest
from tanas.networks.recipe import ChosenRecipe
from tanas.networks.scoring import ScoredArchitecture
from tanas.spaces.size_trend import Comparison
from tanas.strategies.base import Round
from tanas.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class AtomTask:
    """The task of an atom, without its data."""

    name: str
    """As a user types it."""
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    """(channels, height, width)."""
    performance: str
    """'balanced' or 'accuracy': what l is."""
    train: int
    """Number of images."""
    validation: int
    limit: int | None
    """Most training images; None: all."""
    split_seed: int
    fingerprint: str
    """Hash of training and validation data."""
    test_fingerprint: str
    """Hash of the test split."""

    @classmethod
    def of(cls, task: Task, *, test_fingerprint: str, limit: int | None) -> AtomTask:
        """Describe a task (already limited)."""
        return cls(
            name=task.name,
            classes=task.classes,
            shape=task.shape,
            performance=task.performance,
            train=len(task.train),
            validation=len(task.validation),
            limit=limit,
            split_seed=task.split_seed,
            fingerprint=task.fingerprint,
            test_fingerprint=test_fingerprint,
        )


@dataclass(frozen=True, kw_only=True)
class Provenance:
    """Where an atom comes from."""

    made_by: str
    """'build' or 'search'."""
    seed: int
    versions: dict[str, str]
    """Of tanas and the libraries that decide numbers."""
    settings: dict[str, Any]
    represent_s: float
    """Wall-clock seconds of training the representative."""
    search_s: float
    """Wall-clock seconds of searching and scoring architectures, and of training the network that is kept."""
    represent_macs: int | None = None
    """Multiply-adds of training the representative, forward and backward; None: the atom is older than this field."""
    search_macs: int | None = None
    """Multiply-adds of all trainings of the search and of the scores; None: the atom is older than this field."""


@dataclass(frozen=True, kw_only=True)
class Reuse:
    """The gain over reuse that a search measured (`tanas.algorithm.winner`)."""

    source: str
    """Name of the related task."""
    distance: float
    """d(atom -> task)."""
    score: float
    """l of the reused architecture in the second evaluation."""
    best: float
    """l of the winner in the second evaluation; equal to `score` if the winner is the reused architecture."""
    warm: bool = False
    """Whether weights were reused too, as an older version could; such gains are not counted."""


@dataclass(frozen=True, kw_only=True)
class Atom:
    """A task, its epsilon-representative, its best architectures and their scores. Source: section 3.1."""

    schema: int = SCHEMA
    task: AtomTask
    representative: RepresentativeState
    architectures: tuple[ScoredArchitecture, ...]
    """Every candidate, best scores first, the unscored last."""
    rounds: tuple[Round, ...]
    """History of the search; alphas compare the candidates of a round only."""
    provenance: Provenance
    kept: StoredRecord | None = None
    """The trained network; None: the atom is older than stored networks."""
    reuse: Reuse | None = None
    """The gain over reuse; None: not measured."""
    recipe: ChosenRecipe | None = None
    """The recipe of the final training; None: there was none, or the atom is older than recipes in atoms."""

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise StoreError(
                f"The atom {self.task.name} has schema {self.schema}; this tanas reads schema {SCHEMA}. "
                "Use the version of tanas that wrote it, or build the atom again."
            )

    @property
    def key(self) -> str:
        """Names the task and the settings of the representative: a dictionary holds one such atom."""
        return atom_key(self.task.fingerprint, self.representative.config, self.task.performance)

    @property
    def compared(self) -> tuple[Comparison, ...]:
        """The candidates of each round with their losses; rounds without losses are left out."""
        compared = []
        for past in self.rounds:
            pairs = zip(past.candidates, past.losses, strict=False)
            known = [(candidate.canonical(), loss) for candidate, loss in pairs if loss is not None]
            if len(known) > 1:
                architectures, losses = zip(*known, strict=True)
                compared.append(Comparison(architectures=architectures, losses=losses))
        return tuple(compared)

    @property
    def best(self) -> ScoredArchitecture | None:
        """The architecture with the highest score; None if there is no score."""
        scored = [seen for seen in self.architectures if seen.score is not None]
        return max(scored, key=lambda seen: seen.score or 0.0, default=None)


def atom_key(fingerprint: str, representative: object, performance: str) -> str:
    """The key of the atom of a task, also before it is made."""
    return digest(fingerprint, representative, performance)


def best_first(architectures: tuple[ScoredArchitecture, ...]) -> tuple[ScoredArchitecture, ...]:
    """The architectures, best scores first, then the unscored in the order seen."""
    return tuple(
        sorted(architectures, key=lambda seen: -1.0 if seen.score is None else seen.score, reverse=True)
    )
