"""Image-classification sets of torchvision, by their lower-case names."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from torch import Tensor

from tanas.ground.errors import DataError
from tanas.tasks.arrays import images_from_array, read_datasets
from tanas.tasks.pictures import PictureStack
from tanas.tasks.source import Labels, Part, Reading, make_source
from tanas.tasks.splits import Side
from tanas.tasks.task import Task

Downloaded = TypeVar("Downloaded")

PATIENCE_S = 30.0
"""Seconds without an answer after which an official home counts as out of reach."""

DIGITS = tuple("0123456789")
_TRAIN_FLAG: tuple[Mapping[str, Any], ...] = ({"train": True}, {"train": False})


def _splits(*words: str) -> tuple[Mapping[str, Any], ...]:
    return tuple({"split": word} for word in words)


_TWO = _splits("train", "test")
_THREE = _splits("train", "val", "test")
_MNIST_FILES = (
    "(train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte, t10k-labels-idx1-ubyte)"
)


@dataclass(frozen=True)
class VisionSet:
    """How one set of torchvision is read."""

    dataset: str
    """Name of its class in torchvision.datasets."""
    home: str
    """What lies where under the data root."""
    splits: tuple[Mapping[str, Any], ...] = ({},)
    """Arguments for train and test, or for train, validation and test; one alone if nothing is official."""
    classes: tuple[str, ...] = ()
    """Names where torchvision's own are missing or not those of a label."""
    pictures: bool = False
    """Its pictures are files of their own sizes, and are resized."""
    arguments: Mapping[str, Any] = field(default_factory=dict)
    """For every split."""
    note: str = ""


VISION_SETS: Mapping[str, VisionSet] = {
    "mnist": VisionSet("MNIST", f"MNIST/raw/ {_MNIST_FILES}", _TRAIN_FLAG, DIGITS),
    "fashion-mnist": VisionSet("FashionMNIST", f"FashionMNIST/raw/ {_MNIST_FILES}", _TRAIN_FLAG),
    "kmnist": VisionSet("KMNIST", "KMNIST/raw/", _TRAIN_FLAG),
    "qmnist": VisionSet("QMNIST", "QMNIST/raw/", _TRAIN_FLAG, DIGITS),
    "emnist": VisionSet(
        "EMNIST",
        "EMNIST/raw/",
        _TRAIN_FLAG,
        arguments={"split": "balanced"},
        note="Of EMNIST the split 'balanced' is read: 47 classes.",
    ),
    "cifar10": VisionSet("CIFAR10", "cifar-10-batches-py/", _TRAIN_FLAG),
    "cifar100": VisionSet("CIFAR100", "cifar-100-python/", _TRAIN_FLAG),
    "svhn": VisionSet("SVHN", "train_32x32.mat and test_32x32.mat", _TWO, DIGITS),
    "usps": VisionSet("USPS", "usps.bz2 and usps.t.bz2", _TRAIN_FLAG, DIGITS),
    "stl10": VisionSet("STL10", "stl10_binary/", _TWO),
    "semeion": VisionSet("SEMEION", "semeion.data", classes=DIGITS),
    "gtsrb": VisionSet("GTSRB", "gtsrb/GTSRB/", _TWO, pictures=True),
    "eurosat": VisionSet("EuroSAT", "eurosat/2750/", pictures=True),
    "food101": VisionSet("Food101", "food-101/", _TWO, pictures=True),
    "flowers102": VisionSet("Flowers102", "flowers-102/", _THREE, pictures=True),
    "oxfordiiitpet": VisionSet(
        "OxfordIIITPet", "oxford-iiit-pet/", _splits("trainval", "test"), pictures=True
    ),
    "dtd": VisionSet("DTD", "dtd/dtd/", _THREE, pictures=True),
    "fgvcaircraft": VisionSet("FGVCAircraft", "fgvc-aircraft-2013b/", _THREE, pictures=True),
    "country211": VisionSet("Country211", "country211/", _splits("train", "valid", "test"), pictures=True),
    "renderedsst2": VisionSet("RenderedSST2", "rendered-sst2/", _THREE, pictures=True),
    "imagenette": VisionSet(
        "Imagenette",
        "imagenette2-160/",
        _splits("train", "val"),
        pictures=True,
        arguments={"size": "160px"},
        note="Imagenette's validation pictures are the test split: it publishes no other.",
    ),
    "sun397": VisionSet("SUN397", "SUN397/", pictures=True),
    "caltech101": VisionSet("Caltech101", "caltech101/", pictures=True),
    "caltech256": VisionSet("Caltech256", "caltech256/", pictures=True),
}


def open_vision_set(name: str, reading: Reading) -> Task:
    """Reads a set of `VISION_SETS`; what lies under the data root is read without any network.

    Raises:
        DataError: it is missing and can't be downloaded, or can't be read; the message says what to put where.
    """
    known = VISION_SETS[name]
    datasets = [_load(name, known, {**arguments, **known.arguments}, reading) for arguments in known.splits]
    notes, framing = [known.note] if known.note else [], None
    if known.pictures:
        stack = PictureStack(reading.size, reading.fit, reading.white)
        images, labels, framing, more = read_datasets(datasets, stack, name=name, skip_bad=reading.skip_bad)
        notes += more
    else:
        images, labels = _read_whole(name, datasets)
    held_out = {1: (), 2: (Side.TEST,), 3: (Side.VALIDATION, Side.TEST)}[len(datasets)]
    official = zip(images[1:], labels[1:], held_out, strict=True)
    parts = [Part(images[0], labels[0]), *(Part.official(*each) for each in official)]
    classes = _classes(known, datasets[0], labels)
    return make_source(name, classes, parts, split_seed=reading.split_seed, framing=framing, notes=notes)


def fetch(what: str, get: Callable[[], Downloaded], *, put: str) -> Downloaded:
    """Downloads something from its official home.

    Args:
        what: its name, for the message.
        get: downloads and returns it; what it prints goes to stderr.
        put: which files to put where instead.

    Raises:
        DataError: the home is out of reach, or sends something else.
    """
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE_S)  # Python's downloads wait for ever unless all sockets have a limit
    try:
        with contextlib.redirect_stdout(sys.stderr):
            return get()
    except Exception as error:  # of any library between here and there
        raise DataError(
            f"{what} is not there and can't be downloaded ({_line(error)}). Put {put}."
        ) from error
    finally:
        socket.setdefaulttimeout(before)


def _load(name: str, known: VisionSet, arguments: Mapping[str, Any], reading: Reading) -> Any:
    from torchvision import datasets  # slow to import; only these sources need it

    def construct(download: bool) -> Any:
        return getattr(datasets, known.dataset)(str(reading.data), download=download, **arguments)

    root = f"the data root {str(reading.data)!r}"
    files = f"files under {root}: {known.home}"
    try:
        return construct(download=False)
    except Exception as error:  # each set has its own way of saying that something is wrong
        if not isinstance(error, FileNotFoundError) and "not found" not in str(error).lower():
            raise DataError(
                f"{name} under {root} can't be read ({_line(error)}). Put sound copies of {files}."
            ) from error
        if not reading.download:
            raise DataError(
                f"{name} is not there ({_line(error)}), and downloads are switched off. Put its {files}."
            ) from error
    return fetch(name, lambda: construct(download=True), put=f"its {files}")


def _line(error: Exception) -> str:
    """An error of several lines on one, without the full stop."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def _read_whole(name: str, datasets: Sequence[Any]) -> tuple[list[Tensor], list[Labels]]:
    images, labels = [], []
    for dataset in datasets:
        images.append(images_from_array(dataset.data, name))
        targets = dataset.targets if hasattr(dataset, "targets") else dataset.labels
        targets = np.asarray(targets).astype(np.int64)
        labels.append(targets[:, 0] if targets.ndim == 2 else targets)  # QMNIST has further columns
        if len(labels[-1]) != len(images[-1]):
            raise DataError(
                f"{name} has {len(images[-1])} images and {len(labels[-1])} labels: its files differ."
            )
    return images, labels


def _classes(known: VisionSet, dataset: Any, labels: Sequence[Labels]) -> tuple[str, ...]:
    names = known.classes or getattr(dataset, "classes", None) or getattr(dataset, "categories", None)
    if names:
        return tuple(name if isinstance(name, str) else "/".join(name) for name in names)
    return tuple(str(number) for number in range(1 + max(int(part.max()) for part in labels)))
