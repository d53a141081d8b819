"""Sets of torchvision, from small files of their own form."""

from __future__ import annotations

import bz2
import socket
import struct
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.opened import opened

from tanas.ground.errors import DataError
from tanas.tasks.library import Library
from tanas.tasks.pictures import Framing
from tanas.tasks.vision import VISION_SETS, fetch

RANDOM = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **more: Any) -> None:
        raise urllib.error.URLError("no network in tests")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)


def _write_idx(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(
        f">HBB{array.ndim}I", 0, 0x0C if array.dtype.itemsize == 4 else 8, array.ndim, *array.shape
    )
    path.write_bytes(header + array.tobytes())


def _write_mnist(
    folder: Path, *, prefixes: tuple[str, str] = ("train", "t10k"), classes: int = 10
) -> np.ndarray:
    train = RANDOM.integers(0, 256, (20 * classes, 28, 28), dtype=np.uint8)
    test = np.concatenate([train[:1], RANDOM.integers(0, 256, (3 * classes, 28, 28), dtype=np.uint8)])
    for prefix, images in zip(prefixes, (train, test), strict=True):
        labels = (np.arange(len(images)) % classes).astype(np.uint8)
        _write_idx(folder / f"{prefix}-images-idx3-ubyte", images)
        _write_idx(folder / f"{prefix}-labels-idx1-ubyte", labels)
    return test


@pytest.mark.parametrize(
    ("name", "folder", "prefixes", "classes", "first"),
    [
        ("mnist", "MNIST", ("train", "t10k"), 10, "0"),
        ("fashion-mnist", "FashionMNIST", ("train", "t10k"), 10, "T-shirt/top"),
        ("kmnist", "KMNIST", ("train", "t10k"), 10, "o"),
        ("emnist", "EMNIST", ("emnist-balanced-train", "emnist-balanced-test"), 47, "0"),
    ],
)
def test_the_mnist_family_is_read_from_its_files(
    name: str, folder: str, prefixes: tuple[str, str], classes: int, first: str, tmp_path: Path
) -> None:
    test = _write_mnist(tmp_path / folder / "raw", prefixes=prefixes, classes=classes)
    task = Library(tmp_path).open(name)
    assert len(task.classes) == classes and task.classes[0] == first
    assert task.shape == (1, 28, 28)
    held = {image.numpy().tobytes() for image in opened(task).images[opened(task).rows]}
    assert held == {image.tobytes() for image in test}
    assert len(task.train) + len(task.validation) == 20 * classes - 1
    assert any(note.startswith("1 image ") for note in task.notes)
    if name == "emnist":
        assert any("'balanced'" in note and "47 classes" in note for note in task.notes)


def test_qmnist_is_read_by_its_first_label_column(tmp_path: Path) -> None:
    for prefix in ("train", "test"):
        images = RANDOM.integers(0, 256, (60, 28, 28), dtype=np.uint8)
        labels = np.zeros((60, 8), ">i4")
        labels[:, 0] = np.arange(60) % 10
        _write_idx(tmp_path / f"QMNIST/raw/qmnist-{prefix}-images-idx3-ubyte", images)
        _write_idx(tmp_path / f"QMNIST/raw/qmnist-{prefix}-labels-idx2-int", labels)
    assert Library(tmp_path).open("qmnist:is=3").classes == ("not 3", "3")


def test_usps_is_read_from_its_files(tmp_path: Path) -> None:
    for name, count in (("usps.bz2", 60), ("usps.t.bz2", 20)):
        pixels = RANDOM.uniform(-1, 1, (count, 256))
        lines = [
            f"{index % 10 + 1} " + " ".join(f"{place + 1}:{value:.3f}" for place, value in enumerate(row))
            for index, row in enumerate(pixels)
        ]
        (tmp_path / name).write_bytes(bz2.compress("\n".join(lines).encode()))
    task = Library(tmp_path).open("usps")
    assert task.shape == (1, 16, 16)
    assert (len(task.train), len(task.validation), len(opened(task))) == (50, 10, 20)


def write_eurosat(root: Path, shape: tuple[int, int, int]) -> None:
    """Ten pictures of each of two classes, (height, width, 3)."""
    for name in ("Forest", "River"):
        folder = root / "eurosat/2750" / name
        folder.mkdir(parents=True)
        for number in range(10):
            pixels = RANDOM.integers(0, 256, shape, dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{name}_{number}.jpg")


def test_sets_of_large_pictures_are_resized(tmp_path: Path) -> None:
    write_eurosat(tmp_path, (80, 90, 3))
    task = Library(tmp_path).open("eurosat:is=river")
    assert task.shape == (3, 60, 68)
    assert "80 x 90" in task.notes[0] and "60 x 68" in task.notes[0]
    assert task.framing == Framing()
    assert Library(tmp_path, size=16).open("eurosat").shape == (3, 16, 16)


def test_a_picture_that_cant_be_read_is_named_and_left_out_when_asked(tmp_path: Path) -> None:
    write_eurosat(tmp_path, (20, 20, 3))
    broken = tmp_path / "eurosat/2750/River/River_3.jpg"
    broken.write_bytes(broken.read_bytes()[:300])
    with pytest.raises(DataError, match=r"item 13 of eurosat .*\(skip_bad\)"):
        Library(tmp_path).open("eurosat")
    task = Library(tmp_path, skip_bad=True).open("eurosat")
    assert len(task.train) + len(task.validation) + len(opened(task)) == 19
    (note,) = task.notes
    assert "(1): item 13 of eurosat" in note
    for path in tmp_path.glob("eurosat/2750/*/*.jpg"):
        path.write_bytes(b"no picture")
    with pytest.raises(DataError, match="20 pictures of eurosat"):
        Library(tmp_path, skip_bad=True).open("eurosat")


@pytest.mark.parametrize("name", VISION_SETS)
def test_what_is_not_there_says_what_to_put_where(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError) as refused:
        Library(tmp_path, download=False).open(name)
    message = str(refused.value)
    assert message.startswith(name) and "downloads are switched off" in message
    assert VISION_SETS[name].home in message


def test_an_official_home_out_of_reach_says_what_to_put_where(tmp_path: Path, capsys: Any) -> None:
    with pytest.raises(DataError, match=rf"mnist .*'{tmp_path}': MNIST/raw/ \(train-images-idx3-ubyte, "):
        Library(tmp_path).open("mnist")
    assert capsys.readouterr().out == ""
    assert socket.getdefaulttimeout() is None


def test_what_a_download_prints_goes_to_stderr(capsys: Any) -> None:
    fetch("x", lambda: print("Downloading"), put="it")
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == ("", "Downloading\n")


def test_damaged_files_are_refused(tmp_path: Path) -> None:
    _write_mnist(tmp_path / "MNIST/raw")
    path = tmp_path / "MNIST/raw/train-images-idx3-ubyte"
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(DataError, match=f"mnist .*'{tmp_path}' can't be read"):
        Library(tmp_path).open("mnist")


def test_files_that_differ_in_length_are_refused(tmp_path: Path) -> None:
    _write_mnist(tmp_path / "MNIST/raw")
    _write_idx(tmp_path / "MNIST/raw/train-labels-idx1-ubyte", np.zeros(7, np.uint8))
    with pytest.raises(DataError, match="mnist has 200 images and 7 labels: its files differ"):
        Library(tmp_path).open("mnist")
