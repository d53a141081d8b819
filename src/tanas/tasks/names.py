"""Names of tasks: SOURCE[:LABELLING]..., read from left to right; an existing path is a source, too."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from tanas.ground.errors import TaskError, UnknownNameError, nearest_names
from tanas.tasks.labelling import FORMS, Is, Labelling, parse_labelling, unknown_labelling
from tanas.tasks.quickdraw import PER_CLASS
from tanas.tasks.spelling import in_quotes, split_outside_quotes, unquote
from tanas.tasks.vision import VISION_SETS

PATH_SOURCES = ("folder", "npz")
"""Sources that are followed by a path."""

SOURCES = ("digits", "quickdraw", *VISION_SETS)
"""Sources that are a word of their own."""

_ALIASES = {"fashionmnist": "fashion-mnist", "quick-draw": "quickdraw"}
_LABELLING_START = re.compile(rf":(?=\s*(?:{'|'.join(FORMS)})\s*=)", re.IGNORECASE)
_WORD_AND_VALUE = re.compile(r"\s*([A-Za-z][A-Za-z-]*)\s*=")
_PER_CLASS = "per-class"
_NPZ = ".npz"


@dataclass(frozen=True, kw_only=True)
class SourceName:
    """The source part of a task's name, read."""

    word: str
    """Such as 'mnist' or 'folder'."""
    path: str = ""
    """After folder: and npz:, as a person typed it, without quotes."""
    per_class: int | None = None
    """Most drawings of a category of quickdraw, where it differs from the default."""

    @property
    def text(self) -> str:
        """The canonical form, which `parse_source` reads back."""
        if self.word in PATH_SOURCES:
            plain = _path_and_labellings(self.path) == (self.path, ())
            plain = plain and _path_and_labellings(f"{self.path}:is=a") == (self.path, (Is("a"),))
            return f"{self.word}:{self.path if plain else in_quotes(self.path)}"
        return self.word + (f":{_PER_CLASS}={self.per_class}" if self.per_class else "")


def parse_source(name: str) -> tuple[SourceName, tuple[Labelling, ...]]:
    """The source of a task's name such as 'mnist:groups=0+2/1+3', and its labellings from left to right.

    Raises:
        UnknownNameError: the source or a labelling is unknown; the message lists the near ones.
        TaskError: a part can't be read.
    """
    typed, colon, rest = name.partition(":")
    word = re.sub(r"[\s_-]+", "-", typed.strip().lower())
    if word in PATH_SOURCES:
        path, labellings = _path_and_labellings(rest)
        if not path:
            example = "./photos" if word == "folder" else "./images.npz"
            raise TaskError(f"A path is missing in {name!r}. Write {word}:PATH, such as {word}:{example}.")
        return SourceName(word=word, path=path), labellings
    word = _ALIASES.get(word, word)
    if word not in SOURCES:
        if (plain := _plain_source(name)) is not None:
            return plain
        raise UnknownNameError(f"Unknown source {typed!r}. {_near_sources(name, word)}")
    segments = split_outside_quotes(rest, ":") if colon else []
    per_class = None
    for place, segment in enumerate(segments):
        if segment.strip().lower().startswith(f"{_PER_CLASS}="):
            if word != "quickdraw" or place:
                raise TaskError(
                    f"{_PER_CLASS}= stands right after quickdraw, such as quickdraw:{_PER_CLASS}=1000:is=moon."
                )
            value = segment.partition("=")[2].strip()
            if not (value.isascii() and value.isdigit() and int(value) > 0):
                raise TaskError(
                    f"{_PER_CLASS}= must be a number of drawings, at least 1. Got {value!r} instead."
                )
            per_class = int(value)
    labellings = tuple(parse_labelling(segment) for segment in segments[1 if per_class else 0 :])
    return SourceName(word=word, per_class=None if per_class == PER_CLASS else per_class), labellings


def folder_behind(name: str) -> str:
    """The folder, as typed, that has the same name as the source of a task; '' if there is none.

    The name means the source. The folder is reached by a path such as './digits'.
    """
    typed = name.partition(":")[0].strip()
    return typed if typed.lower() not in PATH_SOURCES and Path(typed).is_dir() and not _is_path(typed) else ""


def _plain_source(name: str) -> tuple[SourceName, tuple[Labelling, ...]] | None:
    """A folder or an .npz file that is named by its path alone, and the labellings; None if it is neither.

    A name that looks like a path counts even if nothing is there: the library says that it is missing.
    """
    path, labellings = _path_and_labellings(name)
    place = Path(path).expanduser()
    if place.is_dir():
        return SourceName(word="folder", path=path.rstrip("/") or path), labellings
    if place.suffix.lower() == _NPZ:
        return SourceName(word="npz", path=path), labellings
    found = _is_path(path) and not place.is_file()
    return (SourceName(word="folder", path=path), labellings) if found else None


def _is_path(text: str) -> bool:
    """Whether a text can be nothing but a path."""
    return "/" in text.partition(":")[0] or text.startswith(("~", ".")) or os.sep in text.partition(":")[0]


def misspelt_labelling(path: str) -> str:
    """For a missing path: the message about the part of it that looks like a labelling; '' if there is none.

    A path may hold anything. Only because the folder 'photos:iz=cat' is missing can 'iz=cat' be meant as a labelling.
    """
    for segment in path.split(":")[1:]:
        if _WORD_AND_VALUE.match(segment) and not _is_labelling(segment):
            return unknown_labelling(segment)
    return ""


def source_in(name: str) -> str | None:
    """The source of a task's name, equal for tasks of the same pictures; None: the name is of another kind."""
    try:
        source = parse_source(name)[0]
    except (TaskError, UnknownNameError):
        return None
    return f"{source.word}:{source.path}"


def _path_and_labellings(text: str) -> tuple[str, tuple[Labelling, ...]]:
    """The longest tail that is labellings from end to end, and the path before it."""
    for start in _LABELLING_START.finditer(text):
        path = text[: start.start()]
        try:
            segments = split_outside_quotes(text[start.end() :], ":")
            if path.startswith(("'", '"')):
                split_outside_quotes(path, ":")
        except TaskError:
            continue  # this colon stands between the quotes around the path
        if all(_is_labelling(segment) for segment in segments):
            return _plain_path(path), tuple(parse_labelling(segment) for segment in segments)
    return _plain_path(text), ()


def _is_labelling(segment: str) -> bool:
    found = _WORD_AND_VALUE.match(segment)
    return bool(found and found[1].lower() in FORMS)


def _plain_path(text: str) -> str:
    """A path without the quotes around it; quotes within are part of it."""
    try:
        split_outside_quotes(text, ":")
    except TaskError:
        return text
    return unquote(text) if text.startswith(("'", '"')) else text


def _near_sources(name: str, word: str) -> str:
    known = [*SOURCES[:2], *(f"{each}:PATH" for each in PATH_SOURCES), *SOURCES[2:]]
    if Path(path := _path_and_labellings(name)[0]).expanduser().is_file():
        return f"{path} is a file, and its name does not end in {_NPZ}. For an {_NPZ} file write npz:{path}."
    if word in ("hf", "huggingface"):
        return f"Hugging Face data sets can't be read yet. Known are: {', '.join(known)}."
    return nearest_names(word, known)
