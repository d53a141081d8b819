"""The starter memory: networks for common kinds of images, which come with tanas and help from the first search on."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from tanas.dictionary.store import Dictionary
from tanas.ground.records import read_record

FOLDER = Path(__file__).parents[1] / "starter"
"""A dictionary like any other, its weights in float16."""

CARDS_FILE, CARDS_KIND = "cards.json", "tanas starter cards"


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


def starter_memory() -> Dictionary | None:
    """The starter memory; None: this installation has none."""
    return Dictionary(FOLDER, ships=True) if FOLDER.is_dir() else None


def starter_cards() -> tuple[Card, ...]:
    """What each atom of the starter memory is, by name; none without a starter memory."""
    return read_record(Cards, FOLDER / CARDS_FILE).cards if FOLDER.is_dir() else ()
