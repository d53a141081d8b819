"""The starter memory that comes with tanas, as it is in the package."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.conftest import bars

import tanas
from tanas.algorithm.presets import quick
from tanas.api.search import open_memory
from tanas.dictionary import starter
from tanas.dictionary.starter import starter_cards, starter_memory
from tanas.dictionary.store import NETWORK_FILE, Dictionary
from tanas.ground.events import ignore

SHIPPED = Path(starter.__file__).parents[1] / "starter"
MOST_BYTES = 12_000_000


@pytest.fixture
def shipped(monkeypatch: pytest.MonkeyPatch, _another_starter: None) -> Iterator[Dictionary]:
    """The starter memory; other tests do without it."""
    monkeypatch.setattr(starter, "FOLDER", SHIPPED)
    memory = starter_memory()
    assert memory is not None
    yield memory


def test_it_is_whole_and_small(shipped: Dictionary) -> None:
    assert shipped.verify() == ()
    assert sum(path.stat().st_size for path in SHIPPED.rglob("*") if path.is_file()) < MOST_BYTES


def test_every_atom_has_a_card_that_is_true(shipped: Dictionary) -> None:
    cards, atoms = {card.name: card for card in starter_cards()}, shipped.names()
    assert list(cards) == list(atoms)
    for name, atom in atoms.items():
        card, (folder,) = cards[name], SHIPPED.glob(f"atoms/*-{atom.key[:8]}")
        assert atom.kept is not None and atom.recipe is not None
        assert card.network_sha256 == hashlib.sha256((folder / NETWORK_FILE).read_bytes()).hexdigest()
        assert (card.classes, card.shape) == (len(atom.kept.classes), atom.kept.shape)
        assert (card.architecture, card.recipe) == (atom.kept.architecture.key, atom.recipe.name)
        assert card.licence and card.data
        network = shipped.network(atom)
        assert network is not None
        assert len(network.seen) <= card.images
        assert sum(weight.numel() for weight in network.network.parameters()) == card.parameters
        assert 50_000 < card.parameters < 400_000
        assert 0 < card.test_error < 0.5


def test_nothing_in_it_speaks_of_the_machine_that_made_it(shipped: Dictionary) -> None:
    for path in SHIPPED.rglob("*.json"):
        text = path.read_text()
        assert not re.search(r'"/(home|tmp|work|root|usr)', text), path
        assert "://" not in text, path


def test_the_docs_list_what_it_holds(shipped: Dictionary) -> None:
    page = (Path(__file__).parents[2] / "docs" / "dictionaries.md").read_text()
    for card in starter_cards():
        row = (
            f"| {card.name} | {card.data} | {card.licence} | {card.classes} | {card.images:,} | "
            f"{'x'.join(map(str, card.shape[1:]))} | {card.parameters:,} | {100 * card.test_error:.1f} |"
        )
        assert row in page


def test_it_stands_beside_the_users_own_memory_unless_it_is_not_wanted(
    shipped: Dictionary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TANAS_DICTIONARY", str(tmp_path / "own"))
    assert set(open_memory().names()) == set(shipped.names())
    assert open_memory(starter=False).names() == {}
    Dictionary.create(tmp_path / "named")
    assert open_memory(tmp_path / "named").names() == {}


@pytest.mark.long
def test_a_search_uses_its_weights_offline_and_writes_nothing_to_it(
    shipped: Dictionary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TANAS_DICTIONARY", str(tmp_path / "own"))
    before = {path: path.stat().st_mtime_ns for path in SHIPPED.rglob("*")}
    x, y = bars(240, seed=3)
    x = np.repeat(np.repeat(x, 2, axis=1), 2, axis=2)
    run = tanas.search(x, y, out=tmp_path / "run", config=quick(), listener=ignore)
    begun = run.result().beginning
    assert begun is not None
    assert {one.atom for one in begun.tried} == set(shipped.names())
    misfits = [one.misfit for one in begun.tried if one.misfit is not None]
    assert misfits == sorted(misfits) and len(misfits) == len(shipped.names())
    assert sum(one.loss is not None for one in begun.tried) == 2
    assert {path: path.stat().st_mtime_ns for path in SHIPPED.rglob("*")} == before
    assert list(open_memory(starter=False).names()) == ["arrays"]
    alone = tanas.search(x, y, out=tmp_path / "alone", config=quick(), listener=ignore, starter=False)
    known = json.loads((alone.folder / "result.json").read_text())["dictionary"]
    assert [name for name, _ in known] == ["arrays"]
