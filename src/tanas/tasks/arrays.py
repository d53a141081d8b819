"""Arrays, .npz files and torch Datasets as sources of tasks."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zipfile import BadZipFile, is_zipfile

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from torch import Tensor

from tanas.ground.errors import DataError
from tanas.tasks.labelling import labelled, parse_labellings
from tanas.tasks.pictures import PictureStack, plain_picture
from tanas.tasks.source import Labels, Part, Reading, Source, make_source
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
        name: how the task is called.
        labelling: such as 'is=moon' or 'only=1,2:is=1'.
        split_seed: keys the split.

    Raises:
        DataError: images or labels can't be used.
        TaskError: the labelling does not fit, or a class has too few images.
    """
    arrays = Arrays(x=x, y=y, x_test=x_test, y_test=y_test)
    source = source_from_arrays(name, arrays, classes=classes, split_seed=split_seed)
    return labelled(source.task(), parse_labellings(labelling))


def task_from_dataset(
    dataset: Any,
    *,
    name: str,
    classes: Sequence[str] | None = None,
    test: Any = None,
    labelling: str = "",
    split_seed: int = 0,
    size: int | None = None,
) -> Task:
    """A task over a torch Dataset of (PIL image, tensor or array; class index) pairs.

    Args:
        dataset: has a length and items. PIL images are converted as a folder's; tensors and arrays are
            uint8 or floats in [0, 1], (h, w), (h, w, c) or (c, h, w), all of one size.
        name: how the task is called.
        classes: names in the order of the labels; by default the dataset's `classes`, else the labels.
        test: a Dataset that is the official test split.
        labelling: such as 'is=moon'.
        split_seed: keys the split.
        size: height and width to which the images are brought.

    Raises:
        DataError: an item is no such pair; the message names its index.
        TaskError: the labelling does not fit, or a class has too few images.
    """
    datasets = [dataset] if test is None else [dataset, test]
    images, labels, notes = read_datasets(datasets, name=name, size=size)
    known = classes if classes is not None else getattr(dataset, "classes", None)
    if isinstance(known, str) or not isinstance(known, Sequence):
        known = None  # something else that happens to go by that name
    split = [None, None] if test is None else [images[1], labels[1]]
    source = source_from_arrays(
        name,
        Arrays(x=images[0], y=labels[0], x_test=split[0], y_test=split[1], names=("dataset", "labels")),
        classes=known,
        split_seed=split_seed,
        notes=notes,
    )
    return labelled(source.task(), parse_labellings(labelling))


def open_npz(name: str, path: Path, reading: Reading) -> Source:
    """Reads an .npz: `x`, `y`, or `x_train`, `y_train`, `x_test`, `y_test`; `classes` optional.

    Raises:
        DataError: it is none, needs pickle, lacks an array, or its arrays can't be used.
    """
    if not path.is_file():
        raise DataError(f"There is no file {str(path)!r} for {name}.")
    if not is_zipfile(path):
        raise DataError(
            f"{str(path)!r} is no .npz archive, or a damaged one. Write one with "
            "numpy.savez(path, x=..., y=...)."
        )
    wanted = ("x", "y", "x_train", "y_train", "x_test", "y_test", "classes")
    try:
        with np.load(path, allow_pickle=False) as archive:
            keys = list(archive.files)
            held = {key: _unpickled(archive, key, path) for key in wanted if key in keys}
    except DataError:
        raise
    except (BadZipFile, zlib.error, ValueError, OSError, EOFError, KeyError) as error:
        raise DataError(f"The .npz archive {str(path)!r} is damaged ({error}).") from error
    single = "x" in held or "y" in held
    names = ("x", "y") if single else ("x_train", "y_train")
    needed = names if single or not {"x_test", "y_test"} & held.keys() else (*names, "x_test", "y_test")
    missing = [key for key in needed if key not in held]
    if missing:
        raise DataError(
            f"{str(path)!r} has no {' and no '.join(repr(key) for key in missing)}. Expected x and y, or "
            f"x_train, y_train, x_test and y_test; it holds {', '.join(keys) or 'nothing'}."
        )
    classes = [str(each) for each in np.atleast_1d(held["classes"])] if "classes" in held else None
    return source_from_arrays(
        name,
        Arrays(
            x=held[names[0]],
            y=held[names[1]],
            x_test=None if single else held.get("x_test"),
            y_test=None if single else held.get("y_test"),
            names=names,
        ),
        classes=classes,
        split_seed=reading.split_seed,
        where=str(path),
    )


def _unpickled(archive: Any, key: str, path: Path) -> npt.NDArray[Any]:
    try:
        array: npt.NDArray[Any] = archive[key]
    except ValueError as error:
        if "pickle" not in str(error):
            raise
        raise DataError(
            f"{key!r} in {str(path)!r} needs pickle to be read, which could run code. Save plain arrays: "
            "numbers, or strings of a fixed width."
        ) from error
    return array


@dataclass(frozen=True, eq=False, kw_only=True)
class Arrays:
    """Images and labels as they are given."""

    x: Any
    """Images."""
    y: Any
    """Their labels."""
    x_test: Any = None
    """Images of an official test split; None: there is none."""
    y_test: Any = None
    names: tuple[str, str] = ("x", "y")
    """What x and y are called in messages."""


def source_from_arrays(
    name: str,
    arrays: Arrays,
    *,
    split_seed: int,
    classes: Sequence[str] | None = None,
    where: str = "",
    notes: Sequence[str] = (),
) -> Source:
    """A source over arrays.

    Args:
        name: of the source.
        arrays: images and labels.
        split_seed: keys the split.
        classes: names in the order of the labels.
        where: a file, for messages; by default the source's name.
        notes: what was changed while reading.

    Raises:
        DataError: images or labels can't be used.
    """
    where, names = where or name, arrays.names
    x_test, y_test = arrays.x_test, arrays.y_test
    if (x_test is None) != (y_test is None):
        given, missing = ("y_test", "x_test") if x_test is None else ("x_test", "y_test")
        raise DataError(f"{where} has {given} without {missing}. Give both or neither.")
    images = images_from_array(arrays.x, f"{names[0]} of {where}")
    values = _label_values(arrays.y, len(images), names, where)
    known = _class_names(classes, values, names[1], where)
    parts = [Part(images, _indices(values, known, classes is not None, f"{names[1]} of {where}"))]
    if x_test is not None:
        test_images = images_from_array(x_test, f"x_test of {where}")
        test_values = _label_values(y_test, len(test_images), ("x_test", "y_test"), where)
        test_labels = _indices(test_values, known, classes is not None, f"y_test of {where}")
        if len(test_images):
            parts.append(Part.official(test_images, test_labels, Side.TEST))
    return make_source(name, known, parts, split_seed=split_seed, notes=notes)


def images_from_array(x: Any, where: str) -> Tensor:
    """Images of an array as they are stored.

    Args:
        x: uint8 or floats in [0, 1]; (n, h, w), (n, h, w, c) or (n, c, h, w) with c = 1 or 3.
        where: what they are called in messages.

    Returns:
        uint8, (n, c, h, w).

    Raises:
        DataError: another dtype, range or shape, or one that can be read in two ways.
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
    datasets: Sequence[Any], *, name: str, size: int | None, skip_bad: bool | None = None
) -> tuple[list[Tensor], list[Labels], list[str]]:
    """Reads every item of torch Datasets into one tensor each, all of one shape.

    Args:
        datasets: of (PIL image, tensor or array; class index) pairs.
        name: of the source, for messages.
        size: height and width to which the images are brought; None: see `PictureStack`.
        skip_bad: whether items that can't be read are left out and counted; None: they are refused, and there is no
            such choice.

    Returns:
        uint8 images, (n, c, h, w), and labels, (n,), of each; notes.

    Raises:
        DataError: an item can't be read or is no such pair, or tensors differ in size; the message names the index.
    """
    stack, plain, labels, ends = PictureStack(size), list[Tensor](), list[int](), list[int]()
    bad: list[str] = []
    for number, dataset in enumerate(datasets):
        for index in range(len(dataset)):
            where = f"item {index} of {'the test split of ' * (number == 1)}{name}"
            try:
                item = dataset[index]
                picture = _picture(item)
            except Exception as error:  # of any library between here and the file
                if not skip_bad:
                    hint = "" if skip_bad is None else " Or leave out bad pictures (skip_bad)."
                    raise DataError(
                        f"The picture in {where} can't be read ({error}). Replace or remove it.{hint}"
                    ) from error
                bad.append(where)
                continue
            image, label = _pair(item, where)
            labels.append(label)
            if picture is not None:
                stack.add(picture)
                continue
            pixels = images_from_array(image[None], where)[0]  # (c, h, w)
            if size is None:
                plain.append(pixels)
            else:
                hwc = pixels.permute(1, 2, 0).contiguous().numpy()
                stack.add(Image.fromarray(hwc if hwc.shape[2] == 3 else hwc[:, :, 0]))
        ends.append(len(labels))
    if bad and not labels:
        raise DataError(f"None of the {len(bad)} pictures of {name} can be read.")
    if not labels:
        raise DataError(f"{name} has no images.")
    if len(stack) and plain:
        raise DataError(f"{name} mixes PIL images and tensors. Give one kind, or a size for all.")
    shapes = sorted({tuple(pixels.shape) for pixels in plain})
    if len(shapes) > 1:
        raise DataError(
            f"The images of {name} differ in shape, such as {shapes[0]} and {shapes[-1]}. Give a size to "
            "which they are brought."
        )
    images, notes = (torch.stack(plain), []) if plain else stack.tensor()
    if bad:
        named = ", ".join(bad[:3]) + (", ..." if len(bad) > 3 else "")
        notes = [f"Pictures that can't be read were left out ({len(bad)}): {named}.", *notes]
    whole = np.array(labels, dtype=np.int64)
    cuts = [slice(start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    return [images[cut] for cut in cuts], [whole[cut] for cut in cuts], notes


def _picture(item: Any) -> Image.Image | None:
    """The PIL image of a pair, wholly decoded; None: it has none."""
    image = item[0] if isinstance(item, (tuple, list)) and len(item) == 2 else None
    return plain_picture(image) if isinstance(image, Image.Image) else None


def _pair(item: Any, where: str) -> tuple[Any, int]:
    if not (isinstance(item, (tuple, list)) and len(item) == 2):
        raise DataError(f"Expected a pair of image and label in {where}. Got {type(item).__name__} instead.")
    image, label = item
    if not isinstance(image, (Image.Image, Tensor, np.ndarray)):
        raise DataError(
            f"Expected a PIL image, tensor or array in {where}. Got {type(image).__name__} instead."
        )
    number = np.asarray(label.detach().cpu() if isinstance(label, Tensor) else label)
    if number.size != 1 or number.dtype.kind not in "iub":
        raise DataError(f"Expected an integer label in {where}. Got {label!r} instead.")
    return image, int(number.reshape(()))


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
            f"The shape {array.shape} of {where} is none of images: expected (n, h, w), (n, h, w, c) or (n, "
            "c, h, w) with c = 1 or 3."
        )
    return array


def _label_values(y: Any, images: int, names: tuple[str, str], where: str) -> npt.NDArray[Any]:
    values = y.detach().cpu().numpy() if isinstance(y, Tensor) else np.asarray(y)
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
            f"The labels {names[1]} of {where} are {values.dtype} of shape {values.shape}: expected (n,) "
            "integers or strings."
        )
    if len(values) != images:
        raise DataError(f"{where} has {images} images in {names[0]} and {len(values)} labels in {names[1]}.")
    if not images:
        raise DataError(f"{where} has no images in {names[0]}.")
    return values


def _class_names(
    classes: Sequence[str] | None, values: npt.NDArray[Any], labels_name: str, where: str
) -> tuple[str, ...]:
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
    """Labels as class indices: numbers count into given names, and are names where none were given."""
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
            raise DataError(f"The label {str(value)!r} in {where} is none of the classes {', '.join(known)}.")
    table = np.array([numbers[str(value)] for value in different], dtype=np.int64)
    indices: Labels = table[position]
    return indices
