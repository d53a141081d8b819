"""Image-classification sets of torchvision, by their lower-case names."""

from __future__ import annotations

import contextlib
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from torch import Tensor

from tanas.ground.errors import DataError
from tanas.tasks.arrays import images_from_array, read_datasets
from tanas.tasks.source import Labels, Part, Reading, Source, make_source
from tanas.tasks.splits import Side

Downloaded = TypeVar("Downloaded")

DIGITS = tuple("0123456789")
_TRAIN_FLAG: tuple[Mapping[str, Any], ...] = ({"train": True}, {"train": False})
_SPLIT_WORD: tuple[Mapping[str, Any], ...] = ({"split": "train"}, {"split": "test"})

PATIENCE_S = 30.0
"""Seconds without an answer after which an official home counts as out of reach."""


@dataclass(frozen=True, kw_only=True)
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
    "mnist": VisionSet(
        dataset="MNIST",
        home="MNIST/raw/ (train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte, "
        "t10k-labels-idx1-ubyte)",
        splits=_TRAIN_FLAG,
        classes=DIGITS,
    ),
    "fashion-mnist": VisionSet(
        dataset="FashionMNIST",
        home="FashionMNIST/raw/ (train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte, "
        "t10k-labels-idx1-ubyte)",
        splits=_TRAIN_FLAG,
    ),
    "kmnist": VisionSet(dataset="KMNIST", home="KMNIST/raw/", splits=_TRAIN_FLAG),
    "qmnist": VisionSet(dataset="QMNIST", home="QMNIST/raw/", splits=_TRAIN_FLAG, classes=DIGITS),
    "emnist": VisionSet(
        dataset="EMNIST",
        home="EMNIST/raw/",
        splits=_TRAIN_FLAG,
        arguments={"split": "balanced"},
        note="Of EMNIST the split 'balanced' is read: 47 classes.",
    ),
    "cifar10": VisionSet(dataset="CIFAR10", home="cifar-10-batches-py/", splits=_TRAIN_FLAG),
    "cifar100": VisionSet(dataset="CIFAR100", home="cifar-100-python/", splits=_TRAIN_FLAG),
    "svhn": VisionSet(
        dataset="SVHN", home="train_32x32.mat and test_32x32.mat", splits=_SPLIT_WORD, classes=DIGITS
    ),
    "usps": VisionSet(dataset="USPS", home="usps.bz2 and usps.t.bz2", splits=_TRAIN_FLAG, classes=DIGITS),
    "stl10": VisionSet(dataset="STL10", home="stl10_binary/", splits=_SPLIT_WORD),
    "semeion": VisionSet(dataset="SEMEION", home="semeion.data", classes=DIGITS),
    "gtsrb": VisionSet(dataset="GTSRB", home="gtsrb/GTSRB/", splits=_SPLIT_WORD, pictures=True),
    "eurosat": VisionSet(dataset="EuroSAT", home="eurosat/2750/", pictures=True),
    "food101": VisionSet(dataset="Food101", home="food-101/", splits=_SPLIT_WORD, pictures=True),
    "flowers102": VisionSet(
        dataset="Flowers102",
        home="flowers-102/",
        splits=({"split": "train"}, {"split": "val"}, {"split": "test"}),
        pictures=True,
    ),
    "oxfordiiitpet": VisionSet(
        dataset="OxfordIIITPet",
        home="oxford-iiit-pet/",
        splits=({"split": "trainval"}, {"split": "test"}),
        pictures=True,
    ),
    "dtd": VisionSet(
        dataset="DTD",
        home="dtd/dtd/",
        splits=({"split": "train"}, {"split": "val"}, {"split": "test"}),
        pictures=True,
    ),
    "fgvcaircraft": VisionSet(
        dataset="FGVCAircraft",
        home="fgvc-aircraft-2013b/",
        splits=({"split": "train"}, {"split": "val"}, {"split": "test"}),
        pictures=True,
    ),
    "country211": VisionSet(
        dataset="Country211",
        home="country211/",
        splits=({"split": "train"}, {"split": "valid"}, {"split": "test"}),
        pictures=True,
    ),
    "renderedsst2": VisionSet(
        dataset="RenderedSST2",
        home="rendered-sst2/",
        splits=({"split": "train"}, {"split": "val"}, {"split": "test"}),
        pictures=True,
    ),
    "imagenette": VisionSet(
        dataset="Imagenette",
        home="imagenette2-160/",
        splits=({"split": "train"}, {"split": "val"}),
        arguments={"size": "160px"},
        pictures=True,
        note="Imagenette's validation pictures are the test split: it publishes no other.",
    ),
    "sun397": VisionSet(dataset="SUN397", home="SUN397/", pictures=True),
    "caltech101": VisionSet(dataset="Caltech101", home="caltech101/", pictures=True),
    "caltech256": VisionSet(dataset="Caltech256", home="caltech256/", pictures=True),
}


def open_vision_set(name: str, reading: Reading) -> Source:
    """Reads a set of `VISION_SETS`; what lies under the data root is read without any network.

    Raises:
        DataError: it is not there and can't be downloaded, or what is there can't be read; the message says
            what to put where.
    """
    known = VISION_SETS[name]
    datasets = [_load(name, known, {**arguments, **known.arguments}, reading) for arguments in known.splits]
    notes = [known.note] if known.note else []
    if known.pictures:
        images, labels, more = read_datasets(
            datasets, name=name, size=reading.size, skip_bad=reading.skip_bad
        )
        notes += more
    else:
        images, labels = _read_whole(name, datasets)
    held_out = {1: (), 2: (Side.TEST,), 3: (Side.VALIDATION, Side.TEST)}[len(datasets)]
    official = zip(images[1:], labels[1:], held_out, strict=True)
    parts = [Part(images[0], labels[0]), *(Part.official(*each) for each in official)]
    return make_source(
        name, _classes(known, datasets[0], labels), parts, split_seed=reading.split_seed, notes=notes
    )


def fetch(what: str, get: Callable[[], Downloaded], *, put: str) -> Downloaded:
    """Downloads something from its official home.

    Args:
        what: its name, for the message.
        get: downloads and returns it; what it prints goes to stderr.
        put: which files to put where instead.

    Raises:
        DataError: it can't be reached, or what came is not what was expected.
    """
    try:
        with contextlib.redirect_stdout(sys.stderr), _patience():
            return get()
    except Exception as error:  # of any library between here and there
        raise DataError(
            f"{what} is not there and can't be downloaded ({_line(error)}). Put {put}."
        ) from error


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    """Python's downloads wait for ever unless all sockets have a limit."""
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(PATIENCE_S)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


def _load(name: str, known: VisionSet, arguments: Mapping[str, Any], reading: Reading) -> Any:
    from torchvision import datasets  # slow to import; only these sources need it

    def construct(download: bool) -> Any:
        return getattr(datasets, known.dataset)(str(reading.data), download=download, **arguments)

    put = f"its files under {_shown(reading.data)}: {known.home}"
    try:
        return construct(download=False)
    except Exception as error:  # each set has its own way of saying that something is wrong
        missing = isinstance(error, FileNotFoundError) or "not found" in str(error).lower()
        if not missing:
            raise DataError(
                f"{name} under {_shown(reading.data)} can't be read ({_line(error)}). Put sound copies of "
                f"{put.removeprefix('its ')}."
            ) from error
        if not reading.download:
            raise DataError(
                f"{name} is not there ({_line(error)}), and downloads are switched off. Put {put}."
            ) from error
    return fetch(name, lambda: construct(download=True), put=put)


def _line(error: Exception) -> str:
    """An error of several lines on one, without the full stop."""
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def _shown(data: Path) -> str:
    return f"the data root {str(data)!r}"


def _read_whole(name: str, datasets: Sequence[Any]) -> tuple[list[Tensor], list[Labels]]:
    images, labels = [], []
    for dataset in datasets:
        images.append(images_from_array(dataset.data, name))
        targets = np.asarray(dataset.targets if hasattr(dataset, "targets") else dataset.labels).astype(
            np.int64
        )
        labels.append(
            targets[:, 0] if targets.ndim == 2 else targets
        )  # QMNIST's further columns are provenance
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
