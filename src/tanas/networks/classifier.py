"""A trained network with all that is needed to use it, and the folder or the file it is kept in."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from tanas.ground.errors import NonFiniteError, SettingError, StoreError, UnknownNameError, check_choice
from tanas.ground.records import SCHEMA, from_plain, read_json, to_json, write_bytes, write_json
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture, Shape, build, count_cost
from tanas.networks.pixels import Images, as_pixels
from tanas.networks.training import EVALUATION_BATCH
from tanas.tasks.performance import PERFORMANCES
from tanas.tasks.pictures import Framing

ARCHITECTURE_FILE = "architecture.json"
WEIGHTS_FILE = "weights.safetensors"
SAFETENSORS = ".safetensors"
RECORD_KEY = "tanas"
"""In the metadata of an exported safetensors file: its value is the record as JSON."""


@dataclass(frozen=True, kw_only=True)
class Weights:
    """Where the weights are."""

    file: str
    """Name of a safetensors file in the same folder."""
    sha256: str
    """Of the file, as `sha256sum` prints it."""


@dataclass(frozen=True, kw_only=True)
class ClassifierRecord:
    """The content of architecture.json: a classifier without its weights."""

    schema: int
    task: str
    """Name of the task it was trained on."""
    shape: Shape
    classes: tuple[str, ...]
    """Names, in the order of the logits."""
    performance: str
    """'balanced' or 'accuracy': what l is."""
    reads: str
    """The network's input, in words."""
    answers: str
    """The network's output, in words."""
    architecture: Architecture
    parameters: int
    macs: int
    """Multiply-adds for one image."""
    weights: Weights | None
    """None: they are in the same file as this record."""
    framing: Framing | None = None
    """How pictures become images of the shape; None: the task's images were arrays, or an older version wrote this."""

    def __post_init__(self) -> None:
        check_choice(self.performance, "performance", "ClassifierRecord", PERFORMANCES)
        if min(self.shape) < 1 or len(self.classes) < 1:
            raise SettingError(
                "The 'shape' and 'classes' of ClassifierRecord must hold at least 1 each. "
                f"Got {self.shape} and {self.classes} instead."
            )


@dataclass(frozen=True, kw_only=True, eq=False)
class Classifier:
    """A trained network: images in, logits, probabilities or names of classes out."""

    architecture: Architecture
    shape: Shape
    classes: tuple[str, ...]
    """Names, in the order of the logits."""
    performance: str
    """'balanced' or 'accuracy': what l is."""
    task: str
    """Name of the task it was trained on."""
    network: nn.Module = field(repr=False)
    """float32 pixels in [0, 1], (batch, channels, h, w) -> logits (batch, classes); moved to the CPU, set to eval."""
    framing: Framing | None = None
    """How `read_pictures` makes images of pictures; None: the task's images were arrays."""

    def __post_init__(self) -> None:
        self.network.to("cpu").eval()

    @torch.no_grad()
    def __call__(self, images: Images) -> Tensor:
        """The logits of images.

        Args:
            images: uint8 or floats in [0, 1], numpy or torch, of the task's size: (n, h, w) if grey, (n, c, h, w) or
                (n, h, w, c), or one image without n.

        Returns:
            logits, (n, classes); n is 1 for one image.

        Raises:
            DataError: the images have another shape, type or range.
            NonFiniteError: a logit is not finite.
        """
        pixels = as_pixels(images, self.shape)
        parts = [
            self.network(
                pixels[start : start + EVALUATION_BATCH].contiguous(memory_format=torch.channels_last)
            )
            for start in range(0, max(len(pixels), 1), EVALUATION_BATCH)
        ]
        logits = torch.cat(parts)  # (n, classes)
        if not torch.isfinite(logits).all():
            raise NonFiniteError(f"The logits of the network of {self.task} are not finite. Train it anew.")
        return logits

    def probabilities(self, images: Images) -> Tensor:
        """The softmax of the logits, (n, classes)."""
        return self(images).softmax(dim=1)

    def predict(self, images: Images) -> list[str]:
        """The names of the likeliest classes, one for each image."""
        return [self.classes[answer] for answer in self(images).argmax(dim=1).tolist()]

    def record(self, weights: Weights | None = None) -> ClassifierRecord:
        """The record of everything except the weights; `weights` says where they are (None: in the same file)."""
        channels, height, width = self.shape
        cost = count_cost(self.network, torch.zeros(1, *self.shape))
        return ClassifierRecord(
            schema=SCHEMA,
            task=self.task,
            shape=self.shape,
            classes=self.classes,
            performance=self.performance,
            reads=f"float32 pixels in [0, 1], (batch, {channels}, {height}, {width}), not normalised",
            answers=f"logits, (batch, {len(self.classes)}), in the order of the classes",
            architecture=self.architecture,
            parameters=cost.parameters,
            macs=cost.macs,
            weights=weights,
            framing=self.framing,
        )

    def save(self, folder: Path) -> None:
        """Write architecture.json and the weights into a folder, each whole or not at all.

        Equal classifiers give equal bytes. The weights come first: with architecture.json the folder is complete.

        Raises:
            StoreError: the folder can't be written to.
        """
        content = self._weights("classes", json.dumps(self.classes, ensure_ascii=False))
        write_bytes(folder / WEIGHTS_FILE, content)
        weights = Weights(file=WEIGHTS_FILE, sha256=hashlib.sha256(content).hexdigest())
        write_json(folder / ARCHITECTURE_FILE, self.record(weights))

    def to_bytes(self) -> bytes:
        """One safetensors file: the weights, and the record as JSON in its metadata under `RECORD_KEY`.

        Equal classifiers give equal bytes.
        """
        return self._weights(RECORD_KEY, to_json(self.record()))

    def _weights(self, key: str, text: str) -> bytes:
        """A safetensors file with one entry of metadata: the order of several would change from run to run."""
        state = {name: value.detach().contiguous() for name, value in self.network.state_dict().items()}
        return safetensors.torch.save(state, {key: text})

    @classmethod
    def from_bytes(cls, content: bytes, *, where: Path) -> Classifier:
        """Rebuild a classifier from `to_bytes`; `where` is the file that an error names.

        Raises:
            StoreError: it is damaged, of another schema version, or a safetensors file of another program.
        """
        return cls._of(_record_within(content, where), _tensors_of(content, where), where)

    @classmethod
    def load(cls, path: Path) -> Classifier:
        """Rebuild a classifier from a folder of `save`, or from an exported safetensors file.

        Raises:
            StoreError: a file is missing, of another schema version, damaged, or the two don't fit together.
        """
        if path.is_file():
            return cls.from_bytes(path.read_bytes(), where=path)
        file = path / ARCHITECTURE_FILE
        if not file.is_file():
            raise StoreError(
                f"{path} holds no network: it has no {ARCHITECTURE_FILE}. "
                "Name the folder of a finished run, or a .safetensors file that tanas exported."
            )
        record = read_classifier_record(file)
        return cls._of(record, _read_weights(path, record), file)

    @classmethod
    def _of(cls, record: ClassifierRecord, state: dict[str, Tensor], path: Path) -> Classifier:
        """The classifier of a record with these weights; `path` is the file that an error names."""
        try:
            network = build(record.architecture, record.shape, len(record.classes), Seed())
        except UnknownNameError as error:
            raise StoreError(
                f"The network of {path} can't be built: {error} "
                "If the operation is your own, call register_operation before you load the network."
            ) from error
        _check_fit(network.state_dict(), state, path)
        network.load_state_dict(state)
        return cls(
            architecture=record.architecture,
            shape=record.shape,
            classes=record.classes,
            performance=record.performance,
            task=record.task,
            network=network,
            framing=record.framing,
        )


def read_classifier_record(path: Path) -> ClassifierRecord:
    """The record of an architecture.json, or of an exported safetensors file.

    Raises:
        StoreError: it is missing, of another schema version, or damaged.
    """
    if path.suffix.lower() == SAFETENSORS:
        return _record_within(path.read_bytes(), path)
    return _record_of(read_json(path), path)


def _record_within(content: bytes, path: Path) -> ClassifierRecord:
    """The record in a safetensors file: 8 bytes with the length of its header, the header as JSON, the weights."""
    try:
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        text = header.get("__metadata__", {}).get(RECORD_KEY)
        plain = None if text is None else json.loads(text)
    except (ValueError, AttributeError, TypeError) as error:
        raise _not_safetensors(path, error) from error
    if plain is None:
        raise StoreError(
            f"{path} was not written by tanas: its metadata has no '{RECORD_KEY}'. Name a file that tanas exported."
        )
    return _record_of(plain, path)


def _record_of(plain: Any, path: Path) -> ClassifierRecord:
    """The record of a JSON value, if it is of the schema version that this tanas reads."""
    schema = plain.get("schema") if isinstance(plain, dict) else None
    if schema != SCHEMA:
        raise StoreError(
            f"{path} is of schema version {schema!r}; this tanas reads version {SCHEMA}. "
            "Read it with the tanas that wrote it, or write it anew."
        )
    return from_plain(ClassifierRecord, plain, where=str(path))


def _read_weights(folder: Path, record: ClassifierRecord) -> dict[str, Tensor]:
    """The tensors of the file that the record names, if its hash is that of the record."""
    if record.weights is None or Path(record.weights.file).name != record.weights.file:
        raise StoreError(f"{folder / ARCHITECTURE_FILE} names no file of weights beside it. Write it anew.")
    path = folder / record.weights.file
    try:
        content = path.read_bytes()
    except FileNotFoundError as error:
        raise StoreError(f"{folder} has no weights: there is no file {path}.") from error
    except OSError as error:
        raise StoreError(f"{path} can't be read: {error.strerror or error}.") from error
    if hashlib.sha256(content).hexdigest() != record.weights.sha256:
        raise StoreError(
            f"{path} is damaged, or belongs to another network: its sha256 is not the one "
            f"in {ARCHITECTURE_FILE}. Write both anew."
        )
    return _tensors_of(content, path)


def _tensors_of(content: bytes, path: Path) -> dict[str, Tensor]:
    try:
        return safetensors.torch.load(content)
    except SafetensorError as error:
        raise _not_safetensors(path, error) from error


def _not_safetensors(path: Path, error: Exception) -> StoreError:
    return StoreError(f"{path} is damaged, or not a safetensors file ({error}).")


def _check_fit(expected: dict[str, Tensor], state: dict[str, Tensor], path: Path) -> None:
    """Refuse weights that are not those of the architecture; the message names the first that differs."""
    for name in sorted(expected.keys() | state.keys()):
        wanted = tuple(expected[name].shape) if name in expected else "nothing"
        found = tuple(state[name].shape) if name in state else "nothing"
        if wanted != found:
            raise StoreError(
                f"The weights of {path} don't fit its architecture: expected {wanted} for '{name}', "
                f"found {found}. Write both anew."
            )
