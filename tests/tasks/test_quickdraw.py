"""Quick, Draw! from files of its official form."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.opened import opened

from tanas.ground.errors import DataError, TaskError
from tanas.tasks import quickdraw
from tanas.tasks.library import Library
from tanas.tasks.quickdraw_categories import CATEGORIES
from tanas.tasks.spelling import UnknownClassError
from tanas.tasks.task import Split, Task

OFFICIAL = {"moon": "quickdraw/moon.npy", "apple": "quickdraw/full_numpy_bitmap_apple.npy"}
BESIDE = {"baseball bat": "full_numpy_bitmap_baseball bat.npy", "cat": "cat.npy"}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    (tmp_path / "quickdraw").mkdir()
    for path in (OFFICIAL | BESIDE).values():
        np.save(tmp_path / path, random.integers(0, 256, (50, 784), dtype=np.uint8))
    return tmp_path


def _sides(task: Task, label: int) -> list[set[bytes]]:
    return [_hashes(split.subset(torch.nonzero(split.labels == label).flatten())) for split in _splits(task)]


def _splits(task: Task) -> tuple[Split, Split, Split]:
    return task.train, task.validation, opened(task)


def _hashes(split: Split) -> set[bytes]:
    return {image.numpy().tobytes() for image in split.images[split.rows]}


def test_the_bare_name_is_the_papers_ten_as_far_as_there_are_files(data: Path) -> None:
    task = Library(data, download=False).open("quickdraw")
    assert task.classes == ("apple", "baseball bat", "moon")
    assert task.shape == (1, 28, 28)
    (note,) = task.notes
    assert "bear, envelope, guitar, lollipop, mouse, mushroom, rabbit" in note


def test_other_categories_are_named_with_only(data: Path) -> None:
    library = Library(data, download=False)
    task = library.open("quickdraw:only=Moon,cat,baseball_bat:is=moon")
    assert task.name == "quickdraw:only=baseball-bat,cat,moon:is=moon"
    assert len(task.train) == 96
    with pytest.raises(UnknownClassError, match="'cat' in quickdraw.* apple, baseball bat, moon.* only="):
        library.open("quickdraw:is=cat")


def test_numbers_are_those_of_the_papers_ten(data: Path) -> None:
    assert Library(data, download=False).open("quickdraw:only=0,6").name == "quickdraw:only=apple,moon"


def test_an_own_file_is_a_category(data: Path) -> None:
    np.save(
        data / "quickdraw" / "doodle.npy",
        np.random.default_rng(1).integers(0, 256, (9, 28, 28), dtype=np.uint8),
    )
    assert Library(data, download=False).open("quickdraw:only=doodle,moon").classes == ("doodle", "moon")


def test_the_side_of_a_drawing_is_its_files(data: Path) -> None:
    library = Library(data, download=False)
    ten, two = library.open("quickdraw"), library.open("quickdraw:only=moon,cat")
    assert _sides(ten, 2) == _sides(two, 1)
    assert [len(side) for side in _sides(ten, 2)] == [32, 8, 10]


def test_a_cap_keeps_the_sides(data: Path) -> None:
    library = Library(data, download=False)
    whole, capped = library.open("quickdraw:is=moon"), library.open("quickdraw:per-class=25:is=moon")
    assert capped.name == "quickdraw:per-class=25:is=moon"
    assert [len(side) for side in _sides(capped, 1)] == [16, 4, 5]
    assert all(few <= many for few, many in zip(_sides(capped, 1), _sides(whole, 1), strict=True))
    for told in ("25 drawings", "apple (50), baseball bat (50), moon (50)", "per-class=N"):
        assert told in capped.notes[1]


def test_the_order_of_a_file_does_not_matter(data: Path) -> None:
    before = Library(data, download=False).open("quickdraw:per-class=25")
    for path in OFFICIAL.values():
        np.save(data / path, np.load(data / path)[::-1])
    assert Library(data, download=False).open("quickdraw:per-class=25").fingerprint == before.fingerprint


def test_a_drawing_of_two_categories_is_on_one_side(data: Path) -> None:
    apple, moon = (np.load(data / OFFICIAL[category]) for category in ("apple", "moon"))
    np.save(data / OFFICIAL["apple"], np.concatenate([apple, moon]))
    train, validation, test = map(
        _hashes, _splits(Library(data, download=False).open("quickdraw:only=apple,moon"))
    )
    assert not (train & validation or train & test or validation & test)


def test_an_unknown_category_is_refused_with_the_near_ones(data: Path) -> None:
    with pytest.raises(UnknownClassError, match="'moom' in quickdraw.* 'moon'"):
        Library(data).open("quickdraw:only=moom,cat")
    with pytest.raises(TaskError, match="only= names the class 'cat' of quickdraw more than once"):
        Library(data).open("quickdraw:only=cat,CAT,moon")


def test_a_category_without_a_file_says_what_to_put_where(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = "ice cream.npy.* https://.*/numpy_bitmap/ice%20cream.npy.* '.*/quickdraw'"
    with pytest.raises(DataError, match=f"downloads are switched off.* {put}"):
        Library(data, download=False).open("quickdraw:only=ice-cream,moon")

    def unreachable(*arguments: Any) -> None:
        raise OSError("no route to host")

    monkeypatch.setattr("torchvision.datasets.utils.download_url", unreachable)
    with pytest.raises(DataError, match=rf"\(no route to host\).* {put}"):
        Library(data).open("quickdraw:only=ice-cream,moon")


def test_a_missing_category_is_downloaded(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def download_url(url: str, root: str, filename: str) -> None:
        asked.append(url)
        with (Path(root) / filename).open("wb") as file:
            np.save(file, np.random.default_rng(5).integers(0, 256, (20, 784), dtype=np.uint8))

    monkeypatch.setattr("torchvision.datasets.utils.download_url", download_url)
    task = Library(data).open("quickdraw:only=ice-cream,moon")
    assert task.classes == ("ice cream", "moon")
    assert asked == [quickdraw.HOME + "ice%20cream.npy"]
    assert sorted(path.name for path in (data / "quickdraw").glob("ice*")) == ["ice cream.npy"]


def test_without_any_file_the_ten_are_asked_for(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="quickdraw's apple is not there"):
        Library(tmp_path, download=False).open("quickdraw")


def test_a_file_that_holds_no_bitmaps_is_refused(data: Path) -> None:
    path = data / OFFICIAL["moon"]
    np.save(path, np.zeros((5, 100), np.uint8))
    with pytest.raises(DataError, match=r"moon.npy' .*\(5, 100\).*\(n, 784\)"):
        Library(data).open("quickdraw")
    path.write_bytes(b"nothing")
    with pytest.raises(DataError, match="moon.npy' can't be read"):
        Library(data).open("quickdraw")


def test_there_are_345_categories_and_the_papers_ten_are_among_them() -> None:
    assert len(set(CATEGORIES)) == 345
    assert set(quickdraw.PAPER_TEN) <= set(CATEGORIES)
