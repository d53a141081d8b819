"""An atom of the dictionary: a task that was solved, and what was learnt from it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tanas.dictionary.stored_network import StoredRecord
from tanas.distances.representative import RepresentativeState
from tanas.ground.errors import StoreError
from tanas.ground.records import SCHEMA, digest
from tanas.networks.scoring import ScoredArchitecture
from tanas.spaces.size_trend import Comparison
from tanas.strategies.base import Round
from tanas.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class AtomTask:
    """What is known of an atom's task without its data."""

    name: str
    """As a person types it; opens the task again where the data still is."""
    classes: tuple[str, ...]
    shape: tuple[int, int, int]
    """(channels, height, width)."""
    performance: str
    """'balanced' or 'accuracy': what l is."""
    train: int
    """Number of images."""
    validation: int
    limit: int | None
    """Most training images that were taken; None: all."""
    split_seed: int
    fingerprint: str
    """Hash of training and validation data."""
    test_fingerprint: str
    """Hash of the test split, for the record."""

    @classmethod
    def of(cls, task: Task, *, test_fingerprint: str, limit: int | None) -> AtomTask:
        """Describes a task (already limited)."""
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
    """The configuration that it was made with."""
    represent_s: float
    """Wall-clock seconds of training the representative."""
    search_s: float
    """Wall-clock seconds of searching and scoring architectures."""
    represent_macs: int | None = None
    """Multiply-adds of training the representative, forward and backward; None: they were not kept then."""
    search_macs: int | None = None
    """Multiply-adds of all trainings of the search and of the scores; None: they were not kept then."""


@dataclass(frozen=True, kw_only=True)
class Reuse:
    """The gain over reuse that a search measured (`tanas.algorithm.search_gain`)."""

    source: str
    """Name of the related task."""
    distance: float
    """d(atom -> task)."""
    score: float
    """l of the reused architecture in the second evaluation."""
    best: float
    """l of the winner in the second evaluation; equal to `score` if the winner is the reused architecture."""
    warm: bool = False
    """Whether networks of related tasks competed with their weights; the reused network may be one of them."""


@dataclass(frozen=True, kw_only=True)
class Atom:
    """A task, its epsilon-representative, its best architectures and their scores. Source: section 3.1."""

    schema: int = SCHEMA
    task: AtomTask
    representative: RepresentativeState
    architectures: tuple[ScoredArchitecture, ...]
    """Every candidate that was seen, scored or not, best scores first."""
    rounds: tuple[Round, ...]
    """History of the search; alphas compare candidates of a round and are no scores."""
    provenance: Provenance
    kept: StoredRecord | None = None
    """The trained network; None: the atom is older than stored networks."""
    reuse: Reuse | None = None
    """The gain over reuse; None: not measured."""

    def __post_init__(self) -> None:
        if self.schema != SCHEMA:
            raise StoreError(
                f"The atom {self.task.name} has schema {self.schema}; this tanas reads schema {SCHEMA}. "
                "Use the version of tanas that wrote it, or build the atom again."
            )

    @property
    def key(self) -> str:
        """Same task and same representative settings, same key: there is one such atom in a dictionary."""
        return atom_key(self.task.fingerprint, self.representative.config, self.task.performance)

    @property
    def compared(self) -> tuple[Comparison, ...]:
        """What its search trained alike, round by round; rounds without losses are left out."""
        found = []
        for past in self.rounds:
            pairs = zip(past.candidates, past.losses, strict=False)
            told = [(one.canonical(), loss) for one, loss in pairs if loss is not None]
            if len(told) > 1:
                architectures, losses = zip(*told, strict=True)
                found.append(Comparison(architectures=architectures, losses=losses))
        return tuple(found)

    @property
    def best(self) -> ScoredArchitecture | None:
        """The architecture with the highest score; None if none was scored."""
        scored = [a for a in self.architectures if a.score is not None]
        return max(scored, key=lambda a: a.score or 0.0) if scored else None


def atom_key(fingerprint: str, representative: object, performance: str) -> str:
    """The key of the atom that a task and its settings make, before it is made."""
    return digest(fingerprint, representative, performance)


def best_first(architectures: tuple[ScoredArchitecture, ...]) -> tuple[ScoredArchitecture, ...]:
    """Scored ones first, the best of them first; the others in the order seen."""
    return tuple(sorted(architectures, key=lambda a: -1.0 if a.score is None else a.score, reverse=True))
