"""The starter memory: networks for common kinds of images, which come with tanas and help from the first search on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tanas.dictionary.store import Dictionary
from tanas.ground.records import read_record

FOLDER = Path(__file__).parents[1] / "starter"
"""A dictionary like any other, its weights in float16."""

CARDS_FILE, CARDS_KIND = "cards.json", "tanas starter cards"
EXPERIENCE_FILE, EXPERIENCE_KIND = "experience.json", "tanas experience"

SELDOM = 0.1
"""Share of searches that have to be better before a search is advised."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """What an atom of the starter memory is."""

    name: str
    """Of its task."""
    data: str
    licence: str
    """Of the data."""
    classes: int
    images: int
    """Training images of its network; it has seen no other image."""
    shape: tuple[int, int, int]
    """(channels, height, width)."""
    architecture: str
    """Its key."""
    parameters: int
    recipe: str
    test_error: float
    """Share of wrong answers on the test split."""
    network_sha256: str
    """Of its file of weights."""


@dataclass(frozen=True, kw_only=True)
class Cards:
    """The cards of a starter memory."""

    kind: str
    schema: int
    cards: tuple[Card, ...]


@dataclass(frozen=True, kw_only=True)
class Experience:
    """What searches and known weights brought in the laboratory, on tasks that no memory held."""

    kind: str
    schema: int
    searches: int
    """Default searches without a memory."""
    better: int
    """Those whose searched architecture was clearly better than the reference network on validation images."""
    share: float
    """Of their time that went into searching, in [0, 1]."""
    tasks: int
    """Small tasks that were searched with the starter memory and with none."""
    points: float
    """Mean change of the balanced test error by the starter memory, in points; negative is better."""
    low: float
    """Lower end of its 95 % confidence interval."""
    high: float

    @property
    def reuse(self) -> bool:
        """Whether searches were seldom better."""
        return self.better <= SELDOM * self.searches

    def __str__(self) -> str:
        return (
            f"In {self.better} of {self.searches} searches of other tasks, the searched network was clearly better "
            f"than the reference network, which needs no search. Searching took {self.share:.0%} of the time. The "
            f"starter memory changed the test error of {self.tasks} small tasks by {self.points:+.1f} points "
            f"(95 % CI {self.low:+.1f} to {self.high:+.1f})."
        )


def starter_memory() -> Dictionary | None:
    """The starter memory; None: this installation has none."""
    return Dictionary(FOLDER, ships=True) if FOLDER.is_dir() else None


def starter_experience(dictionary: Dictionary) -> Experience | None:
    """What the laboratory measured before this version was made; None: the starter memory is not part of a memory."""
    path = FOLDER / EXPERIENCE_FILE
    return read_record(Experience, path) if dictionary.knows_starter and path.exists() else None


def starter_cards() -> tuple[Card, ...]:
    """What each atom of the starter memory is, by name; none without a starter memory."""
    return read_record(Cards, FOLDER / CARDS_FILE).cards if FOLDER.is_dir() else ()
