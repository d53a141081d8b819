"""Names of tasks: SOURCE[:LABELLING]..., read from left to right; an existing path is a source, too."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tanas.ground.errors import TaskError, UnknownNameError, nearest_names
from tanas.tasks.labelling import FORMS, Labelling, parse_labelling
from tanas.tasks.quickdraw import PER_CLASS
from tanas.tasks.spelling import split_outside_quotes, unquote
from tanas.tasks.vision import VISION_SETS

PATH_SOURCES = ("folder", "npz")
"""Sources that are followed by a path."""

SOURCES = ("digits", "quickdraw", *VISION_SETS)
"""Sources that are a word of their own."""

_ALIASES = {"fashionmnist": "fashion-mnist", "quick-draw": "quickdraw"}
_LABELLING_START = re.compile(rf":(?=\s*(?:{'|'.join(FORMS)})\s*=)", re.IGNORECASE)
_WORD_AND_VALUE = re.compile(r"\s*([A-Za-z][A-Za-z-]*)\s*=")
_QUOTES = ("'", '"')
_PER_CLASS = "per-class"
_NPZ = ".npz"


@dataclass(frozen=True, kw_only=True)
class SourceName:
    """The source part of a task's name, read."""

    word: str
    """Such as 'mnist' or 'folder'."""
    path: str = ""
    """Behind folder: and npz:, as a person typed it, without quotes."""
    per_class: int | None = None
    """Most drawings of a category of quickdraw, where it differs from the default."""

    @property
    def text(self) -> str:
        """The canonical form, which `parse_source` reads back."""
        if self.word in PATH_SOURCES:
            plain = f"{self.word}:{self.path}"
            quoted = f"{self.word}:'" + self.path.replace("'", "'\"'\"'") + "'"
            return plain if _is_plain(self.path) else quoted
        return self.word + (f":{_PER_CLASS}={self.per_class}" if self.per_class else "")


def parse_name(name: str) -> tuple[str, tuple[Labelling, ...]]:
    """A task's name in its two parts.

    Args:
        name: such as 'mnist:groups=0+2/1+3' or 'folder:./my photos:is=cat'.

    Returns:
        the source part in canonical form, and the labellings from left to right.

    Raises:
        UnknownNameError: there is no such source or labelling; the message lists the near ones.
        TaskError: a part can't be read.
    """
    source, labellings = parse_source(name)
    return source.text, labellings


def parse_source(name: str) -> tuple[SourceName, tuple[Labelling, ...]]:
    """As `parse_name`, with the source part read into its pieces."""
    typed, colon, rest = name.partition(":")
    word = re.sub(r"[\s_-]+", "-", typed.strip().lower())
    if word in PATH_SOURCES:
        path, labellings = _path_and_labellings(rest)
        if not path:
            raise TaskError(
                f"A path is missing in {name!r}. Write {word}:PATH, such as {word}:{_example(word)}."
            )
        return SourceName(word=word, path=path), labellings
    word = _ALIASES.get(word, word)
    if word not in SOURCES:
        if (plain := _plain_source(name)) is not None:
            return plain
        raise UnknownNameError(f"{typed!r} is no source of tasks. {_near_sources(name, word)}")
    segments = split_outside_quotes(rest, ":") if colon else []
    per_class = None
    if word == "quickdraw" and segments and segments[0].strip().lower().startswith(f"{_PER_CLASS}="):
        per_class = _per_class(segments.pop(0))
    for segment in segments:
        if segment.strip().lower().startswith(f"{_PER_CLASS}="):
            raise TaskError(
                f"{_PER_CLASS}= stands right behind quickdraw, such as quickdraw:{_PER_CLASS}=1000:is=moon."
            )
    labellings = tuple(parse_labelling(segment) for segment in segments)
    return SourceName(word=word, per_class=None if per_class == PER_CLASS else per_class), labellings


def folder_behind(name: str) -> str:
    """The folder that has the same name as the source of a task, as it was typed; '' if there is none.

    The source is taken, and the folder is meant only by its path, such as './digits'.
    """
    typed = name.partition(":")[0].strip()
    return typed if typed.lower() not in PATH_SOURCES and Path(typed).is_dir() and not _is_path(typed) else ""


def _plain_source(name: str) -> tuple[SourceName, tuple[Labelling, ...]] | None:
    """A folder or an .npz file that is named by its path alone, and the labellings; None if it is neither.

    What looks like a path is taken for one even if nothing is there: the library says that it is missing.
    """
    path, labellings = _path_and_labellings(name)
    place = Path(path).expanduser()
    is_npz = place.suffix.lower() == _NPZ
    if place.is_dir():
        return SourceName(word="folder", path=path.rstrip("/") or path), labellings
    if place.is_file():
        return (SourceName(word="npz", path=path), labellings) if is_npz else None
    if is_npz:
        return SourceName(word="npz", path=path), labellings
    return (SourceName(word="folder", path=path), labellings) if _is_path(path) else None


def _is_path(text: str) -> bool:
    """Whether a text can be nothing but a path."""
    return "/" in text.partition(":")[0] or text.startswith(("~", ".")) or os.sep in text.partition(":")[0]


def misspelt_labelling(path: str) -> str:
    """For a path that is not there: the part of it that looks like a labelling, explained; '' if none does.

    A path may hold anything, so that 'folder:photos:iz=cat' was meant as a labelling shows only when the
    folder 'photos:iz=cat' does not exist.
    """
    for segment in path.split(":")[1:]:
        found = _WORD_AND_VALUE.match(segment)
        if found and found[1].lower() not in FORMS:
            near = nearest_names(f"{found[1].lower()}=", [f"{word}=" for word in FORMS])
            suggestion = f" {near}" if near.startswith("Did you mean") else ""
            return (
                f"{segment!r} is no labelling.{suggestion} A labelling is one of {', '.join(FORMS.values())}."
            )
    return ""


def _path_and_labellings(text: str) -> tuple[str, tuple[Labelling, ...]]:
    """The longest tail that is labellings from end to end, and the path before it."""
    for start in _LABELLING_START.finditer(text):
        path = text[: start.start()]
        try:
            segments = split_outside_quotes(text[start.end() :], ":")
            if path[:1] in _QUOTES:
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
    if text[:1] in _QUOTES:
        try:
            split_outside_quotes(text, ":")
        except TaskError:
            return text
        return unquote(text)
    return text


def _is_plain(path: str) -> bool:
    return _path_and_labellings(path) == (path, ()) and _path_and_labellings(f"{path}:is=a") == (
        path,
        (parse_labelling("is=a"),),
    )


def _per_class(segment: str) -> int:
    value = segment.partition("=")[2].strip()
    if not (value.isascii() and value.isdigit() and int(value) > 0):
        raise TaskError(f"{_PER_CLASS}= must be a number of drawings, at least 1. Got {value!r} instead.")
    return int(value)


def _example(word: str) -> str:
    return "./photos" if word == "folder" else "./images.npz"


def _near_sources(name: str, word: str) -> str:
    known: Sequence[str] = [*SOURCES[:2], *(f"{each}:PATH" for each in PATH_SOURCES), *SOURCES[2:]]
    if Path(path := _path_and_labellings(name)[0]).expanduser().is_file():
        return f"{path} is a file, and its name does not end in {_NPZ}. For an {_NPZ} file write npz:{path}."
    if word in ("hf", "huggingface"):
        return f"Hugging Face data sets can't be read yet. Known are: {', '.join(known)}."
    return nearest_names(word, known)
