"""The digits, and data that lies under the data root."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from tests.opened import opened

from tanas.tasks.library import Library
from tanas.tasks.task import Split

REAL = pytest.mark.skipif("TANAS_DATA" not in os.environ, reason="TANAS_DATA names no data folder")


def _hashes(split: Split) -> list[bytes]:
    return [image.numpy().tobytes() for image in split.images[split.rows]]


def test_digits_stay_what_they_are(tmp_path: Path) -> None:
    """Another value would make every dictionary's digits unknown."""
    library = Library(tmp_path, download=False)
    assert (
        library.open("digits").fingerprint
        == "3aa317d34813139893e444d08e67ca3f6ac41f6be790354cdbf2397f851a5a13"
    )
    assert (
        library.open("digits:is=0").fingerprint
        == "8fcc01b6715fe34b4fdaa11760d951d41215010c01807d58b67a4297257cb516"
    )
    assert (
        library.open("digits").sealed()[1].fingerprint
        == "56eed62354060dec32cbf8b371b477e4d5ecc54c7f6e24978f31f84769aa788b"
    )


def test_digits_use_the_whole_range(tmp_path: Path) -> None:
    task = Library(tmp_path).open("digits")
    assert task.shape == (1, 8, 8)
    assert (int(task.train.images.min()), int(task.train.images.max())) == (0, 255)
    assert (len(task.train), len(task.validation), len(opened(task))) == (1151, 287, 359)


def test_no_digit_is_in_two_splits(tmp_path: Path) -> None:
    task = Library(tmp_path).open("digits")
    train, validation, test = map(_hashes, (task.train, task.validation, opened(task)))
    assert len({*train} | {*validation} | {*test}) == len({*train}) + len({*validation}) + len({*test})


@REAL
@pytest.mark.real_data
@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_official_test_splits_are_whole(name: str) -> None:
    task = Library(download=False).open(name)
    assert (len(task.train), len(task.validation), len(opened(task))) == (48000, 12000, 10000)
    assert task.notes == ()
    assert {*_hashes(opened(task))}.isdisjoint(_hashes(task.train) + _hashes(task.validation))


@REAL
@pytest.mark.real_data
def test_every_task_over_mnist_shares_its_images_and_splits() -> None:
    library = Library(download=False)
    tasks = [
        library.open(f"mnist{labelling}") for labelling in ("", ":is=3", ":groups=0+2+4/1+3", ":take=500")
    ]
    assert len({task.train.images.data_ptr() for task in tasks}) == 1
    assert len({opened(task).images.data_ptr() for task in tasks}) == 1
    assert torch.equal(tasks[0].validation.rows, tasks[1].validation.rows)
    assert tasks[3].classes == tuple("0123456789")


@REAL
@pytest.mark.real_data
def test_fashion_classes_go_by_their_names() -> None:
    task = Library(download=False).open("Fashion-MNIST:is=T-shirt/top")
    assert task.name == "fashion-mnist:is=t-shirt-top"
    assert int(opened(task).labels.sum()) == 1000


@REAL
@pytest.mark.real_data
def test_quickdraw_keeps_each_moon_on_its_side() -> None:
    library = Library(download=False)
    ten, few = library.open("quickdraw:is=moon"), library.open("quickdraw:only=cat,moon,apple,bear:is=moon")
    assert few.name == "quickdraw:only=apple,bear,cat,moon:is=moon"
    for one, other in ((ten.train, few.train), (ten.validation, few.validation), (opened(ten), opened(few))):
        moons = [set(_hashes(split.subset(torch.nonzero(split.labels).flatten()))) for split in (one, other)]
        assert moons[0] == moons[1] and moons[0]


@REAL
@pytest.mark.real_data
def test_drawings_in_one_style_are_a_task() -> None:
    folder = Path(os.environ["TANAS_DATA"]) / "quickdraw"
    task = Library(download=False).open(f"npz:{folder}/one_style.npz:is=moon")
    assert task.classes == ("not moon", "moon")
    assert len(task.train) + len(task.validation) + len(opened(task)) == 2489
