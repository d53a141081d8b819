"""Arrays, .npz files and torch Datasets."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.opened import opened
from torch.utils.data import Dataset, TensorDataset

from tanas.ground.errors import DataError
from tanas.tasks.arrays import images_from_array, task_from_arrays, task_from_dataset
from tanas.tasks.library import Library
from tanas.tasks.pictures import Framing

RANDOM = np.random.default_rng(0)
X = RANDOM.integers(0, 256, (60, 6, 5), dtype=np.uint8)
Y = np.arange(60) % 3


def _hashes(split: Any) -> list[bytes]:
    return [split.images[row].numpy().tobytes() for row in split.rows]


@pytest.mark.parametrize(
    ("shape", "stored"),
    [
        ((7, 6, 5), (7, 1, 6, 5)),
        ((7, 6, 5, 1), (7, 1, 6, 5)),
        ((7, 6, 5, 3), (7, 3, 6, 5)),
        ((7, 1, 6, 5), (7, 1, 6, 5)),
        ((7, 3, 6, 5), (7, 3, 6, 5)),
    ],
)
@pytest.mark.parametrize("kind", [np.uint8, np.float32, np.float64, np.float16])
def test_shapes_are_told_apart(shape: tuple[int, ...], stored: tuple[int, ...], kind: Any) -> None:
    pixels = RANDOM.integers(0, 256, shape, dtype=np.uint8)
    given = pixels if kind is np.uint8 else (pixels / 255).astype(kind)
    for array in (given, torch.from_numpy(given)):
        images = images_from_array(array, "x")
        assert images.dtype == torch.uint8 and tuple(images.shape) == stored
        expected = pixels.transpose(0, 3, 1, 2) if shape[-1] == stored[1] and len(shape) == 4 else pixels
        assert np.array_equal(images.numpy().reshape(stored), expected.reshape(stored))


@pytest.mark.parametrize("shape", [(7, 3, 6, 3), (7, 1, 6, 1), (7, 1, 28, 3)])
def test_an_ambiguous_shape_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"\(7, .*\) of x is ambiguous"):
        images_from_array(np.zeros(shape, np.uint8), "x")


@pytest.mark.parametrize("shape", [(7, 784), (7,), (7, 2, 6, 5), (7, 6, 5, 4), (7, 1, 1, 6, 5), (7, 0, 5)])
def test_a_shape_of_no_images_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match="of x does not fit images"):
        images_from_array(np.zeros(shape, np.uint8), "x")


@pytest.mark.parametrize(
    ("array", "message"),
    [
        (
            X.astype(np.float32),
            r"x are float32 in \[0, 255\].* \[0, 1\]",
        ),
        (X / 255 * 2 - 1, r"float64 in \[-1, 1\]"),
        (X.astype(np.int64), r"int64 in \[0, 255\]"),
        (X > 128, r"bool in \[0, 1\]"),
        (X.astype(complex), "The pixels in x are complex128"),
    ],
)
def test_other_pixels_are_refused_by_their_range(array: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        images_from_array(array, "x")


@pytest.mark.parametrize(("value", "said"), [(np.nan, "NaN"), (np.inf, "infinite")])
def test_pixels_that_are_no_numbers_are_named_by_the_first_image(value: float, said: str) -> None:
    x = X / 255.0
    x[[41, 17], 0, 0] = value
    with pytest.raises(DataError, match=f"x of arrays is {said}.* index 17"):
        task_from_arrays(x, Y)


def test_no_image_is_in_two_splits() -> None:
    task = task_from_arrays(X, Y)
    train, validation, test = map(_hashes, (task.train, task.validation, opened(task)))
    assert len({*train, *validation, *test}) == len(train) + len(validation) + len(test) == 60


def test_the_order_of_samples_does_not_matter() -> None:
    order = RANDOM.permutation(60)
    one, other = task_from_arrays(X, Y), task_from_arrays(X[order], Y[order])
    assert one.fingerprint == other.fingerprint
    assert one.sealed()[1].fingerprint == other.sealed()[1].fingerprint
    assert _hashes(one.train) == _hashes(other.train)


def test_another_split_seed_holds_out_others() -> None:
    one, other = task_from_arrays(X, Y), task_from_arrays(X, Y, split_seed=1)
    assert set(_hashes(opened(one))) != set(_hashes(opened(other)))


def test_duplicates_are_on_one_side() -> None:
    x, y = np.concatenate([X, X, X[:10]]), np.concatenate([Y, Y, Y[:10]])
    task = task_from_arrays(x, y)
    sides = [set(_hashes(split)) for split in (task.train, task.validation, opened(task))]
    assert not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])
    assert len(task.train) + len(task.validation) + len(opened(task)) == 130


def test_an_image_of_several_classes_is_on_one_side() -> None:
    x, y = np.concatenate([X, X[:40]]), np.concatenate([Y, (Y[:40] + 1) % 3])
    task = task_from_arrays(x, y)
    sides = [set(_hashes(split)) for split in (task.train, task.validation, opened(task))]
    assert not (sides[0] & sides[1] or sides[0] & sides[2] or sides[1] & sides[2])
    assert set.union(*sides) == {image.tobytes() for image in X}


def test_the_development_store_holds_no_test_pixels() -> None:
    x_test = np.concatenate([X[:2], RANDOM.integers(0, 256, (4, 6, 5), dtype=np.uint8)])
    for task in (task_from_arrays(X, Y), task_from_arrays(X, Y, x_test=x_test, y_test=np.arange(6) % 3)):
        stored = {image.numpy().tobytes() for image in task.train.images}
        assert not stored & set(_hashes(opened(task)))
        assert task.train.images is task.validation.images
        assert len(stored) == len(task.train) + len(task.validation)


def test_training_images_that_the_test_split_has_are_left_out() -> None:
    x_test = np.concatenate([X[:2], X[:1]])
    task = task_from_arrays(X, Y, x_test=x_test, y_test=np.array([0, 1, 2]))
    assert (len(task.train) + len(task.validation), len(opened(task))) == (58, 3)
    (note,) = task.notes
    assert note.startswith("2 images")


def test_labels_may_be_words() -> None:
    words = np.array(["c", "a", "b"])[Y]
    for labels in (words, words.astype("S1"), list(words), words.astype(object)):
        task = task_from_arrays(X, labels)
        assert task.classes == ("a", "b", "c")
        assert task.fingerprint == task_from_arrays(X, (Y + 2) % 3, classes=("a", "b", "c")).fingerprint


def test_numbers_are_the_names_of_classes_where_none_are_given() -> None:
    assert task_from_arrays(X, Y * 5 + 2).classes == ("2", "7", "12")
    assert task_from_arrays(X, Y[:, None]).classes == ("0", "1", "2")


def test_torch_arrays_are_read_as_numpy_ones() -> None:
    one = task_from_arrays(torch.from_numpy(X), torch.from_numpy(Y))
    assert one.fingerprint == task_from_arrays(X, Y).fingerprint


def test_a_later_change_of_the_array_does_not_reach_the_task() -> None:
    x, y = X.copy(), Y
    task = task_from_arrays(x, y, x_test=X[:3] // 2, y_test=Y[:3])
    x[:] = 0
    assert int(task.train.images.max()) > 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"y": Y[:50]}, "arrays has 60 images in x and 50 labels in y"),
        (
            {"y": Y / 2},
            r"y of arrays are float64 of shape \(60,\).* integers or strings",
        ),
        ({"y": np.eye(3, dtype=int)[Y]}, r"The labels y of arrays are int64 of shape \(60, 3\)"),
        ({"y": np.zeros(60, int)}, "at least two classes. arrays has only '0'"),
        ({"classes": ("a", "b")}, "label 2 in y of arrays .* 0 to 1"),
        ({"classes": ("a", "b", "a")}, "The classes of arrays name 'a' more than once"),
        ({"classes": ("a", "b", "")}, "A class of arrays has an empty name"),
        ({"x_test": X}, "arrays has x_test without y_test"),
        ({"y_test": Y}, "arrays has y_test without x_test"),
        (
            {"x_test": X[:, :5], "y_test": Y},
            r"images of arrays differ .*\(1, 5, 5\)",
        ),
        ({"x_test": X, "y_test": Y + 1}, "'3' in y_test of arrays.* 0, 1, 2"),
        ({"x_test": X, "y_test": Y[:4]}, "arrays has 60 images in x_test and 4 labels in y_test"),
        ({"x": X[:0], "y": Y[:0]}, "arrays has no images in x"),
    ],
)
def test_labels_that_do_not_fit_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        task_from_arrays(**{"x": X, "y": Y, **arguments})


def test_an_npz_is_read_as_its_arrays(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", x=X, y=Y, classes=np.array(["a", "b", "c"]))
    task = Library(tmp_path).open(f"npz:{tmp_path}/a.npz")
    assert task.fingerprint == task_from_arrays(X, Y, classes=("a", "b", "c")).fingerprint
    assert task.name == f"npz:{tmp_path}/a.npz"


def test_fingerprints_know_no_paths(tmp_path: Path) -> None:
    tasks = []
    for path in (tmp_path / "one.npz", tmp_path / "o ther:is=x,y.npz"):
        np.savez(path, x=X, y=Y)
        tasks.append(Library(tmp_path).open(f"npz:'{path}':is=1"))
    assert tasks[0].fingerprint == tasks[1].fingerprint


def test_official_test_arrays_are_the_test_split(tmp_path: Path) -> None:
    test = RANDOM.integers(0, 256, (9, 6, 5), dtype=np.uint8)
    np.savez(tmp_path / "a.npz", x_train=X, y_train=Y, x_test=test, y_test=np.arange(9) % 3)
    task = Library(tmp_path).open(f"npz:{tmp_path}/a.npz")
    assert set(_hashes(opened(task))) == {image.tobytes() for image in test}
    assert (len(task.train), len(task.validation)) == (48, 12)


def test_permuted_test_labels_change_the_test_fingerprint_alone(tmp_path: Path) -> None:
    test, labels = RANDOM.integers(0, 256, (9, 6, 5), dtype=np.uint8), np.arange(9) % 3
    np.savez(tmp_path / "a.npz", x_train=X, y_train=Y, x_test=test, y_test=labels)
    np.savez(
        tmp_path / "b.npz", x_train=X, y_train=Y, x_test=test, y_test=labels[[1, 2, 0, 3, 4, 6, 5, 7, 8]]
    )
    one, other = (Library(tmp_path).open(f"npz:{tmp_path}/{name}.npz:is=1") for name in "ab")
    assert one.fingerprint == other.fingerprint
    assert one.sealed()[1].fingerprint != other.sealed()[1].fingerprint


def test_an_npz_that_needs_pickle_is_refused(tmp_path: Path) -> None:
    for key, arrays in (
        ("y", {"x": X, "y": Y.astype(object)}),
        ("classes", {"x": X, "y": Y, "classes": np.array(["a", "b", "c"], object)}),
    ):
        np.savez(tmp_path / "a.npz", **arrays)
        with pytest.raises(DataError, match=f"'{key}' in '.*a.npz' needs pickle"):
            Library(tmp_path).open(f"npz:{tmp_path}/a.npz")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": X}, "a.npz' has no 'y'.* x_train, y_train, x_test and y_test.* x"),
        ({"images": X, "labels": Y}, "has no 'x_train' and no 'y_train'.* it holds images, labels"),
        ({"x_train": X, "y_train": Y, "x_test": X}, "has no 'y_test'"),
    ],
)
def test_missing_arrays_are_named(arrays: dict[str, Any], message: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", **arrays)
    with pytest.raises(DataError, match=message):
        Library(tmp_path).open(f"npz:{tmp_path}/a.npz")


def test_what_is_no_npz_is_refused(tmp_path: Path) -> None:
    library, path = Library(tmp_path), tmp_path / "a.npz"
    with pytest.raises(DataError, match="no file '.*a.npz'"):
        library.open(f"npz:{path}")
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(DataError, match="a.npz' is not an .npz archive"):
        library.open(f"npz:{path}")
    np.savez_compressed(path, x=X, y=Y)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="a.npz' is not an .npz archive"):
        library.open(f"npz:{path}")
    path.write_bytes(whole[:200] + bytes(100) + whole[300:])
    with pytest.raises(DataError, match="a.npz' is damaged"):
        library.open(f"npz:{path}")


class _Pictures(Dataset[Any]):
    def __init__(self, items: list[Any], classes: Any = None) -> None:
        self.items = items
        if classes is not None:
            self.classes = classes

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


def test_a_dataset_of_tensors_is_read_as_its_arrays() -> None:
    for pixels in (torch.from_numpy(X)[:, None], torch.from_numpy(X)[:, None] / 255):
        task = task_from_dataset(TensorDataset(pixels, torch.from_numpy(Y)), name="mine")
        assert task.fingerprint == task_from_arrays(X, Y).fingerprint
        assert task.name == "mine"


def test_a_dataset_of_pictures_brings_its_classes() -> None:
    items = [(Image.fromarray(x), int(y)) for x, y in zip(X, Y, strict=True)]
    task = task_from_dataset(_Pictures(items, ["a", "b", "c"]), name="mine")
    assert task.fingerprint == task_from_arrays(X, Y, classes=("a", "b", "c")).fingerprint
    assert task_from_dataset(_Pictures(items, 3), name="mine").classes == ("0", "1", "2")


def test_pictures_of_a_dataset_are_brought_to_one_size_and_arrays_are_not() -> None:
    items = [(RANDOM.integers(0, 256, (20 + n, 30, 3), dtype=np.uint8), n % 2) for n in range(12)]
    with pytest.raises(DataError, match=r"images of mine .*\(3, 20, 30\) and \(3, 31, 30\)"):
        task_from_dataset(_Pictures(items), name="mine")
    pictures = [(Image.fromarray(image), label) for image, label in items]
    task = task_from_dataset(_Pictures(pictures), name="mine")
    assert task.shape == (3, 64, 64)
    assert "64 x 64" in task.notes[0]
    assert task.framing == Framing()
    assert task_from_arrays(X, Y).framing is None


@pytest.mark.parametrize(
    ("item", "message"),
    [
        ("cat", "pair .* item 3 of mine.* str"),
        (("cat", 1), "PIL image, tensor or array in item 3 of mine.* str"),
        ((X[3], "cat"), "integer label in item 3 of mine.* 'cat'"),
        ((X[3], 1.5), "integer label in item 3 of mine.* 1.5"),
        ((X[3] * 1.0, 1), "The pixels in item 3 of mine are float64"),
        ((Image.fromarray(X[3]), 1), "mine mixes PIL images and tensors"),
    ],
)
def test_an_item_that_can_not_be_used_is_named(item: Any, message: str) -> None:
    items = [(x, int(y)) for x, y in zip(X, Y, strict=True)]
    items[3] = item
    with pytest.raises(DataError, match=message):
        task_from_dataset(_Pictures(items), name="mine")


def test_an_empty_dataset_is_refused() -> None:
    with pytest.raises(DataError, match="mine has no images"):
        task_from_dataset(_Pictures([]), name="mine")
