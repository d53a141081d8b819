"""Export of a network to safetensors, torch.export or ONNX, checked against the original."""

from __future__ import annotations

import contextlib
import copy
import io
import json
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from tanas.ground.errors import ExportError, MissingExtraError, SettingError, StoreError, TanasError
from tanas.ground.records import to_json, write_bytes
from tanas.ground.seeds import Seed
from tanas.networks.classifier import ARCHITECTURE_FILE, Classifier

FORMATS = ("onnx", "pt2", "safetensors")
"""Also the suffixes of their files."""

CHECKED_BATCHES = (1, 2, 7)
"""Batch sizes of the check: one image, the size that exporters trace with, and a third."""

TOLERANCE = 1e-4
"""Largest difference of a logit, as a share of the largest logit. Another order of sums changes 1e-6, a wrong padding
or a missing normalisation 1e-2 and more."""

_LEAST_LOGIT = 1e-2
"""Least size of the largest logit in a comparison."""

CLASSES_FILE = "classes.json"
"""Within a .pt2: a JSON list of the names of the classes."""

Answer = Callable[[Tensor], Tensor]
"""Pixels (batch, channels, h, w) -> logits (batch, classes)."""


@dataclass(frozen=True, kw_only=True)
class ExportReport:
    """The file of an export, and how close it is to the original."""

    to: str
    """The format."""
    path: Path
    bytes: int
    """Size of the file."""
    classes: tuple[str, ...]
    """Names that travel with it, in the order of the logits."""
    difference: float
    """Largest difference of a logit from the original's, as a share of the largest logit."""
    tolerance: float
    checked_batches: tuple[int, ...]
    """Sizes of the batches of random pixels that were compared."""


def format_of(out: Path) -> str:
    """The format of an export by the suffix of its file; SettingError if no format has it."""
    to = out.suffix.lower().removeprefix(".")
    if to not in FORMATS:
        suffixes = ", ".join(f".{name}" for name in FORMATS)
        raise SettingError(f"The file of an export must end in one of {suffixes}. Got '{out}' instead.")
    return to


def export(classifier: Classifier, out: Path, *, overwrite: bool = False) -> ExportReport:
    """Export a network, read the export back, and write the file only if both answer the same.

    It takes float32 pixels in [0, 1], (batch, channels, height, width) at the task's own size, with a free batch, and
    returns logits, (batch, classes); normalisation is inside. It carries the names of the classes:

    - safetensors: metadata 'tanas', a record with classes and architecture as JSON; `Classifier.load` reads the file.
    - pt2: extra files 'classes.json' and 'architecture.json', which `torch.export.load` returns.
    - onnx: metadata 'classes' and 'architecture', JSON; input 'pixels', output 'logits'.

    Args:
        classifier: what is exported.
        out: a file; its suffix, one of `FORMATS`, gives the format.
        overwrite: whether an existing file is replaced.

    Raises:
        SettingError: no format has that suffix.
        StoreError: the place is taken, or can't be written to.
        MissingExtraError: ONNX's libraries are not installed.
        ExportError: the exporter failed, or its network answers otherwise; nothing is left behind.
    """
    to = format_of(out)
    if out.is_dir():
        raise StoreError(f"{out} is a folder; an export is a file. Choose another place.")
    if out.exists() and not overwrite:
        raise StoreError(
            f"{out} exists already. Choose another place, or allow it to be overwritten (overwrite)."
        )
    write, read = {
        "onnx": (_write_onnx, _read_onnx),
        "pt2": (_write_pt2, _read_pt2),
        "safetensors": (Classifier.to_bytes, _read_safetensors),
    }[to]
    with _translating(classifier, to):
        content = write(classifier)
        answer, classes = read(content)
    difference = _check(classifier, answer, classes, to)
    write_bytes(out.resolve(), content)
    return ExportReport(
        to=to,
        path=out,
        bytes=len(content),
        classes=classifier.classes,
        difference=difference,
        tolerance=TOLERANCE,
        checked_batches=CHECKED_BATCHES,
    )


def _check(classifier: Classifier, answer: Answer, classes: tuple[str, ...], to: str) -> float:
    """Largest relative difference from the original on random pixels; ExportError if it is above the tolerance."""
    if classes != classifier.classes:
        raise ExportError(f"The export to {to} holds the classes {classes} instead of {classifier.classes}.")
    largest = 0.0
    for batch in CHECKED_BATCHES:
        generator = Seed().child("export", batch).torch()
        contrast = torch.rand(batch, 1, 1, 1, generator=generator)  # noise alone makes all images alike
        pixels = contrast * torch.rand(batch, *classifier.shape, generator=generator)  # (batch, c, h, w)
        with torch.no_grad():
            expected = classifier.network(pixels)
            answered = answer(pixels)
        if answered.shape != expected.shape:
            raise ExportError(
                f"The export to {to} answers {batch} images with logits of shape {tuple(answered.shape)} "
                f"instead of {tuple(expected.shape)}. Choose another format."
            )
        difference = (answered - expected).abs().max() / expected.abs().max().clamp_min(_LEAST_LOGIT)
        if not difference <= TOLERANCE:  # true for NaN as well
            raise ExportError(
                f"The export to {to} does not answer as the original: on {batch} random images its logits "
                f"differ by {float(difference):.2g} of the largest; {TOLERANCE:g} is allowed. "
                "Choose another format."
            )
        largest = max(largest, float(difference))
    return largest


def _plain_twin(classifier: Classifier) -> tuple[nn.Module, tuple[Tensor], dict[str, Any]]:
    """A copy to export, an example of two images (exporters may fix a batch of one), and its free dimension."""
    # NCHW in memory: torch.export.save warns of weights in another order
    twin = copy.deepcopy(classifier.network).to(memory_format=torch.contiguous_format)
    pixels = torch.zeros(2, *classifier.shape)
    return twin.eval(), (pixels,), {"pixels": {0: torch.export.Dim("batch")}}


def _names(classifier: Classifier) -> str:
    return json.dumps(classifier.classes, ensure_ascii=False)


def _read_safetensors(content: bytes) -> tuple[Answer, tuple[str, ...]]:
    reloaded = Classifier.from_bytes(content, where=Path("the export"))
    return reloaded.network, reloaded.classes


def _write_pt2(classifier: Classifier) -> bytes:
    network, example, dynamic = _plain_twin(classifier)
    program = torch.export.export(network, example, dynamic_shapes=dynamic)
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)  # lines of source and paths of this machine
    buffer = io.BytesIO()
    extra = {CLASSES_FILE: _names(classifier), ARCHITECTURE_FILE: to_json(classifier.record())}
    torch.export.save(program, buffer, extra_files=extra)
    return buffer.getvalue()


def _read_pt2(content: bytes) -> tuple[Answer, tuple[str, ...]]:
    extra = {CLASSES_FILE: ""}
    program = torch.export.load(io.BytesIO(content), extra_files=extra)
    return program.module(), tuple(json.loads(extra[CLASSES_FILE]))


def _write_onnx(classifier: Classifier) -> bytes:
    onnx, _ = _onnx_libraries()
    network, example, dynamic = _plain_twin(classifier)
    program = torch.onnx.export(
        network,
        example,
        input_names=["pixels"],
        output_names=["logits"],
        dynamic_shapes=dynamic,
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    assert program is not None  # it is with dynamo=True
    model = program.model_proto
    for node in model.graph.node:
        del node.metadata_props[:]  # lines of source and paths of this machine
    record = json.dumps(json.loads(to_json(classifier.record())), ensure_ascii=False)
    onnx.helper.set_model_props(model, {"classes": _names(classifier), "architecture": record})
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _read_onnx(content: bytes) -> tuple[Answer, tuple[str, ...]]:
    _, runtime = _onnx_libraries()
    options = runtime.SessionOptions()
    options.intra_op_num_threads = 1  # ten images: threads would cost more than they save
    options.log_severity_level = 3  # errors only
    session = runtime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    classes = tuple(json.loads(session.get_modelmeta().custom_metadata_map["classes"]))

    def answer(pixels: Tensor) -> Tensor:
        return torch.from_numpy(session.run(["logits"], {"pixels": pixels.numpy()})[0])

    return answer, classes


def _onnx_libraries() -> tuple[Any, Any]:
    """The modules onnx and onnxruntime; torch.onnx needs onnxscript besides."""
    try:
        import onnx
        import onnxruntime
        import onnxscript  # noqa: F401
    except ImportError as error:
        raise MissingExtraError(
            f"The export to onnx needs '{error.name}', which is not installed. Run: pip install 'tanas[onnx]'"
        ) from error
    return onnx, onnxruntime


@contextlib.contextmanager
def _translating(classifier: Classifier, to: str) -> Iterator[None]:
    """Silence exporters, whose prints would break the JSON on stdout, and turn their errors into an ExportError."""
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except TanasError:
        raise
    except Exception as error:  # exporters raise errors of many kinds
        raise ExportError(
            f"The network of {classifier.task} can't be exported to {to}: {type(error).__name__}: {error} "
            "Choose another format."
        ) from error
