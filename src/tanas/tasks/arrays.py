"""Arrays, .npz files and torch Datasets as sources of tasks."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile, is_zipfile

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from tanas.ground.errors import DataError
from tanas.tasks.labelling import labelled, parse_labellings
from tanas.tasks.pictures import Framing, PictureStack, first_names, plain_picture
from tanas.tasks.source import Labels, Part, Reading, make_source
from tanas.tasks.splits import Side
from tanas.tasks.task import Task

CHUNK = 8192
"""Images converted at once: floats of a large array are never held a second time."""


def task_from_arrays(
    x: npt.ArrayLike | Tensor,
    y: npt.ArrayLike | Tensor,
    *,
    x_test: npt.ArrayLike | Tensor | None = None,
    y_test: npt.ArrayLike | Tensor | None = None,
    classes: Sequence[str] | None = None,
    name: str = "arrays",
    labelling: str = "",
    split_seed: int = 0,
) -> Task:
    """A task over arrays in memory, numpy's or torch's.

    Args:
        x: images, uint8 or floats in [0, 1]; (n, h, w), (n, h, w, c) or (n, c, h, w) with c = 1 or 3.
        y: labels, integers or strings, (n,).
        x_test: an official test split, of the same shape; without it 20 % of x is held out.
        y_test: its labels.
        classes: names in the order of the labels; by default the labels themselves, sorted.
        name: of the task.
        labelling: such as 'is=moon' or 'only=1,2:is=1'.
        split_seed: keys the split.

    Raises:
        DataError: images or labels can't be used.
        TaskError: the labelling does not fit, or a class has too few images.
    """
    if (x_test is None) != (y_test is None):
        given, missing = ("y_test", "x_test") if x_test is None else ("x_test", "y_test")
        raise DataError(f"{name} has {given} without {missing}. Give both or neither.")
    splits = [_Given(x, y, "x", "y")]
    if x_test is not None:
        splits.append(_Given(x_test, y_test, "x_test", "y_test"))
    source = _source(name, splits, classes=classes, split_seed=split_seed)
    return labelled(source, parse_labellings(labelling))


def task_from_dataset(dataset: Any, *, name: str, classes: Sequence[str] | None = None) -> Task:
    """A task over a torch Dataset of (PIL image, tensor or array; class index) pairs.

    Args:
        dataset: has a length and items. PIL images are converted as a folder's; tensors and arrays are
            uint8 or floats in [0, 1], (h, w), (h, w, c) or (c, h, w), all of one size.
        name: of the task.
        classes: names in the order of the labels; by default the dataset's `classes`, else the labels.

    Raises:
        DataError: an item is not such a pair; the message names its index.
        TaskError: a class has too few images.
    """
    images, labels, framing, notes = read_datasets([dataset], PictureStack(), name=name)
    known = classes if classes is not None else getattr(dataset, "classes", None)
    if isinstance(known, str) or not isinstance(known, Sequence):
        known = None  # the dataset uses the name `classes` for something else
    given = _Given(images[0], labels[0], "dataset", "labels")
    source = _source(name, [given], classes=known, split_seed=0, framing=framing, notes=notes)
    return labelled(source, ())


def open_npz(name: str, path: Path, reading: Reading) -> Task:
    """Reads an .npz: `x`, `y`, or `x_train`, `y_train`, `x_test`, `y_test`; `classes` optional.

    Raises:
        DataError: it is not an .npz, needs pickle, lacks an array, or its arrays can't be used.
    """
    if not path.is_file():
        raise DataError(f"There is no file {str(path)!r} for {name}.")
    if not is_zipfile(path):
        raise DataError(
            f"{str(path)!r} is not an .npz archive, or it is damaged. Write one with "
            "numpy.savez(path, x=..., y=...)."
        )
    wanted = ("x", "y", "x_train", "y_train", "x_test", "y_test", "classes")
    held: dict[str, npt.NDArray[Any]] = {}
    key = ""
    try:
        with np.load(path, allow_pickle=False) as archive:
            keys = list(archive.files)
            for key in (known for known in wanted if known in keys):
                held[key] = archive[key]
    except (BadZipFile, zlib.error, ValueError, OSError, EOFError, KeyError) as error:
        if "pickle" in str(error):
            raise DataError(
                f"{key!r} in {str(path)!r} needs pickle to be read, which could run code. Save plain arrays: "
                "numbers, or strings of a fixed width."
            ) from error
        raise DataError(f"The .npz archive {str(path)!r} is damaged ({error}).") from error
    pairs = [("x", "y")]
    if not {"x", "y"} & held.keys():
        pairs = [("x_train", "y_train")]
        if {"x_test", "y_test"} & held.keys():
            pairs.append(("x_test", "y_test"))
    missing = [key for pair in pairs for key in pair if key not in held]
    if missing:
        raise DataError(
            f"{str(path)!r} has no {' and no '.join(repr(key) for key in missing)}. Expected x and y, or "
            f"x_train, y_train, x_test and y_test; it holds {', '.join(keys) or 'nothing'}."
        )
    classes = [str(each) for each in np.atleast_1d(held["classes"])] if "classes" in held else None
    splits = [_Given(held[x], held[y], x, y) for x, y in pairs]
    return _source(name, splits, classes=classes, split_seed=reading.split_seed, where=str(path))


class _Given(NamedTuple):
    """Images and labels as they are given, and what messages call them."""

    x: Any
    y: Any
    x_name: str
    y_name: str


def _source(
    name: str,
    splits: Sequence[_Given],
    *,
    split_seed: int,
    classes: Sequence[str] | None,
    where: str = "",
    framing: Framing | None = None,
    notes: Sequence[str] = (),
) -> Task:
    """The task over all classes of arrays, of which the second pair is the official test split."""
    where = where or name
    images = [images_from_array(given.x, f"{given.x_name} of {where}") for given in splits]
    values = [_label_values(given, len(x), where) for given, x in zip(splits, images, strict=True)]
    known = _class_names(classes, values[0], where)
    labels = [
        _indices(each, known, classes is not None, f"{given.y_name} of {where}")
        for given, each in zip(splits, values, strict=True)
    ]
    tests = zip(images[1:], labels[1:], strict=True)
    parts = [Part(images[0], labels[0]), *(Part.official(*test, Side.TEST) for test in tests)]
    return make_source(name, known, parts, split_seed=split_seed, framing=framing, notes=notes)


def images_from_array(x: Any, where: str) -> Tensor:
    """Images of an array as they are stored: uint8, (n, c, h, w).

    Args:
        x: uint8 or floats in [0, 1]; (n, h, w), (n, h, w, c) or (n, c, h, w) with c = 1 or 3.
        where: what messages call them.

    Raises:
        DataError: another dtype, range or shape, or a shape that can be read in two ways.
    """
    array = x.detach().cpu().numpy() if isinstance(x, Tensor) else np.asarray(x)
    array = _channels_first(array, where)
    if array.dtype == np.uint8:
        return torch.from_numpy(np.array(array, order="C"))  # a copy: the caller's array may change
    if array.dtype.kind not in "fiub":
        raise DataError(f"The pixels in {where} are {array.dtype}: expected uint8 or floats in [0, 1].")
    stored = np.empty(array.shape, dtype=np.uint8)
    for start in range(0, len(array), CHUNK):
        chunk = array[start : start + CHUNK]
        if array.dtype.kind == "f":
            unfinished = ~np.isfinite(chunk)
            if unfinished.any():
                first = np.argwhere(unfinished)[0]
                value = "NaN" if np.isnan(chunk[tuple(first)]) else "infinite"
                raise DataError(
                    f"A pixel in {where} is {value}, first in the image with index {start + int(first[0])}. "
                    "Expected floats in [0, 1]."
                )
        if array.dtype.kind != "f" or chunk.min() < 0 or chunk.max() > 1:
            low, high = float(array.min()), float(array.max())
            raise DataError(
                f"The pixels in {where} are {array.dtype} in [{low:g}, {high:g}]: expected uint8, or "
                "floats in [0, 1]."
            )
        np.rint(chunk * chunk.dtype.type(255), out=stored[start : start + CHUNK], casting="unsafe")
    return torch.from_numpy(stored)


def read_datasets(
    datasets: Sequence[Any], stack: PictureStack, *, name: str, skip_bad: bool | None = None
) -> tuple[list[Tensor], list[Labels], Framing | None, list[str]]:
    """Reads every item of torch Datasets into one tensor each, all of one shape.

    Args:
        datasets: of (PIL image, tensor or array; class index) pairs.
        stack: an empty one, for PIL images.
        name: of the source, for messages.
        skip_bad: leave unreadable items out and count them; None: refuse them, and the caller has no such choice.

    Returns:
        uint8 images, (n, c, h, w), and labels, (n,), of each; the framing of PIL images, None for others; notes.

    Raises:
        DataError: an item can't be read or is not such a pair, or tensors differ in size; the message names the index.
    """
    plain, labels, ends = list[Tensor](), list[int](), list[int]()
    bad: list[str] = []
    for number, dataset in enumerate(datasets):
        for index in range(len(dataset)):
            where = f"item {index} of {'the test split of ' * (number == 1)}{name}"
            try:
                item = dataset[index]
                is_pair = isinstance(item, (tuple, list)) and len(item) == 2
                picture = plain_picture(item[0]) if is_pair and isinstance(item[0], Image.Image) else None
            except Exception as error:  # of any library between here and the file
                if not skip_bad:
                    hint = "" if skip_bad is None else " Or leave out bad pictures (skip_bad)."
                    raise DataError(
                        f"The picture in {where} can't be read ({error}). Replace or remove it.{hint}"
                    ) from error
                bad.append(where)
                continue
            if not is_pair:
                kind = type(item).__name__
                raise DataError(f"Expected a pair of image and label in {where}. Got {kind} instead.")
            labels.append(_label(item[1], where))
            if picture is not None:
                stack.add(picture)
            elif isinstance(item[0], (Tensor, np.ndarray)):
                plain.append(images_from_array(item[0][None], where)[0])  # (c, h, w)
            else:
                kind = type(item[0]).__name__
                raise DataError(f"Expected a PIL image, tensor or array in {where}. Got {kind} instead.")
        ends.append(len(labels))
    if bad and not labels:
        raise DataError(f"None of the {len(bad)} pictures of {name} can be read.")
    if not labels:
        raise DataError(f"{name} has no images.")
    if len(stack) and plain:
        raise DataError(f"{name} mixes PIL images and tensors. Give one kind.")
    shapes = sorted({tuple(pixels.shape) for pixels in plain})
    if len(shapes) > 1:
        raise DataError(
            f"The images of {name} differ in shape, such as {shapes[0]} and {shapes[-1]}. "
            "Give one shape, or PIL images, which are resized."
        )
    images, framing, notes = (torch.stack(plain), None, []) if plain else stack.tensor()
    if bad:
        notes = [f"Pictures that can't be read were left out ({len(bad)}): {first_names(bad)}.", *notes]
    whole = np.array(labels, dtype=np.int64)
    cuts = [slice(start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    return [images[cut] for cut in cuts], [whole[cut] for cut in cuts], framing, notes


def _label(label: Any, where: str) -> int:
    number = np.asarray(label.detach().cpu() if isinstance(label, Tensor) else label)
    if number.size != 1 or number.dtype.kind not in "iub":
        raise DataError(f"Expected an integer label in {where}. Got {label!r} instead.")
    return int(number.reshape(()))


def _channels_first(array: npt.NDArray[Any], where: str) -> npt.NDArray[Any]:
    if array.ndim == 3:
        array = array[:, None]
    elif array.ndim == 4:
        first, last = array.shape[1] in (1, 3), array.shape[3] in (1, 3)
        if first and last:
            raise DataError(
                f"The shape {array.shape} of {where} is ambiguous: channels may stand first or last. Give "
                "(n, h, w), or images wider than 3 pixels."
            )
        if last:
            array = array.transpose(0, 3, 1, 2)
    if array.ndim != 4 or array.shape[1] not in (1, 3) or 0 in array.shape[1:]:
        raise DataError(
            f"The shape {array.shape} of {where} does not fit images: expected (n, h, w), (n, h, w, c) or (n, "
            "c, h, w) with c = 1 or 3."
        )
    return array


def _label_values(given: _Given, images: int, where: str) -> npt.NDArray[Any]:
    values = given.y.detach().cpu().numpy() if isinstance(given.y, Tensor) else np.asarray(given.y)
    if values.ndim == 2 and values.shape[1] == 1:
        values = values[:, 0]
    if values.dtype.kind == "S":
        values = np.char.decode(values, "utf-8")
    if values.dtype.kind == "O" and all(isinstance(value, str) for value in values.flat):
        values = values.astype(str)  # a list of strings, such as pandas gives
    if values.dtype.kind == "b":
        values = values.astype(np.int64)
    if values.ndim != 1 or values.dtype.kind not in "iuU":
        raise DataError(
            f"The labels {given.y_name} of {where} are {values.dtype} of shape {values.shape}: expected (n,) "
            "integers or strings."
        )
    if len(values) != images:
        raise DataError(
            f"{where} has {images} images in {given.x_name} and {len(values)} labels in {given.y_name}."
        )
    if not images:
        raise DataError(f"{where} has no images in {given.x_name}.")
    return values


def _class_names(classes: Sequence[str] | None, values: npt.NDArray[Any], where: str) -> tuple[str, ...]:
    if classes is None:
        return tuple(str(value) for value in np.unique(values))
    known = tuple(str(each) for each in classes)
    if not all(known):
        raise DataError(f"A class of {where} has an empty name.")
    repeated = sorted({each for each in known if known.count(each) > 1})
    if repeated:
        raise DataError(f"The classes of {where} name {repeated[0]!r} more than once.")
    return known


def _indices(values: npt.NDArray[Any], known: tuple[str, ...], named: bool, where: str) -> Labels:
    """Class indices: a number counts into the given names; without given names it is a name itself."""
    if named and values.dtype.kind in "iu":
        outside = (values < 0) | (values >= len(known))
        if outside.any():
            raise DataError(
                f"The label {values[outside][0]} in {where} is outside its {len(known)} classes: expected 0 "
                f"to {len(known) - 1}."
            )
        return values.astype(np.int64)
    numbers = {name: number for number, name in enumerate(known)}
    different, position = np.unique(values, return_inverse=True)
    for value in different:
        if str(value) not in numbers:
            raise DataError(f"Unknown label {str(value)!r} in {where}. The classes are {', '.join(known)}.")
    indices: Labels = np.array([numbers[str(value)] for value in different], dtype=np.int64)[position]
    return indices
