"""Folders of pictures."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tests.opened import opened

from tanas.ground.errors import DataError, TaskError
from tanas.tasks.arrays import task_from_arrays
from tanas.tasks.library import Library
from tanas.tasks.pictures import Framing, read_pictures
from tanas.tasks.task import Task


def _fill(folder: Path, classes: dict[str, int], *, seed: int = 0, size: tuple[int, int] = (8, 6)) -> None:
    random = np.random.default_rng(seed)
    for name, count in classes.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            pixels = random.integers(0, 256, size, dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name / f"{index}.png")


def _open(folder: Path, labelling: str = "", **settings: object) -> Task:
    return Library(folder, **settings).open(f"folder:{folder}{labelling}")  # type: ignore[arg-type]


def test_a_folder_is_a_class(tmp_path: Path) -> None:
    _fill(tmp_path, {"dog": 12, "cat": 10})
    task = _open(tmp_path)
    assert task.classes == ("cat", "dog")
    assert task.shape == (1, 8, 6)
    assert (len(task.train), len(task.validation), len(opened(task))) == (14, 4, 4)
    assert task.notes == ()


@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_the_pixels_are_those_of_read_pictures(fit: str, tmp_path: Path) -> None:
    _fill(tmp_path, {"dog": 12, "cat": 10}, size=(90, 70))
    task = _open(tmp_path, size=(32, 48), fit=fit)
    assert task.shape == (1, 32, 48) and task.framing == Framing(fit=fit)
    paths = sorted(tmp_path.glob("*/*.png"))
    images, _, _ = read_pictures(paths, task.shape, task.framing)
    labels = np.array([path.parent.name for path in paths])
    assert task.fingerprint == task_from_arrays(images, labels).fingerprint


def test_file_names_do_not_matter(tmp_path: Path) -> None:
    _fill(tmp_path / "a", {"dog": 12, "cat": 10})
    before = _open(tmp_path / "a")
    for folder in ("cat", "dog"):
        for number, path in enumerate(sorted((tmp_path / "a" / folder).iterdir())):
            path.rename(path.with_name(f"x{(number * 7) % 12}.png"))
    (tmp_path / "a").rename(tmp_path / "b")
    after = _open(tmp_path / "b")
    assert after.fingerprint == before.fingerprint
    assert after.sealed()[1].fingerprint == before.sealed()[1].fingerprint


def test_paths_may_hold_anything(tmp_path: Path) -> None:
    folder = tmp_path / "my photos, new:is=old"
    _fill(folder, {"Big Dog": 6, "cat": 6})
    task = Library(tmp_path).open(f"folder:'{folder}':is='Big Dog'")
    assert task.classes == ("not Big Dog", "Big Dog")
    assert Library(tmp_path).open(task.name).fingerprint == task.fingerprint


def test_official_splits_are_kept(tmp_path: Path) -> None:
    for seed, (name, count) in enumerate({"Train": 10, "val": 3, "test": 4}.items()):
        _fill(tmp_path / name, {"dog": count, "cat": count}, seed=seed)
    task = _open(tmp_path)
    assert (len(task.train), len(task.validation), len(opened(task))) == (20, 6, 8)
    assert task.train.images is task.validation.images
    expected, _, _ = read_pictures(sorted((tmp_path / "val").glob("*/*.png")), task.shape)
    held = {task.validation.images[row].numpy().tobytes() for row in task.validation.rows}
    assert held == {image.numpy().tobytes() for image in expected}


@pytest.mark.parametrize(
    ("folders", "sizes"),
    [
        ({"train": 10}, (12, 4, 4)),
        ({"train": 10, "test": 3}, (16, 4, 6)),
        ({"train": 10, "val": 3}, (16, 6, 4)),
    ],
)
def test_what_is_not_official_is_drawn_from_train(
    folders: dict[str, int], sizes: tuple[int, int, int], tmp_path: Path
) -> None:
    for seed, (name, count) in enumerate(folders.items()):
        _fill(tmp_path / name, {"dog": count, "cat": count}, seed=seed)
    task = _open(tmp_path)
    assert (len(task.train), len(task.validation), len(opened(task))) == sizes
    assert task.classes == ("cat", "dog")


def test_training_pictures_that_val_has_are_left_out(tmp_path: Path) -> None:
    _fill(tmp_path / "train", {"dog": 10, "cat": 10}, seed=0)
    _fill(tmp_path / "val", {"cat": 3, "dog": 3}, seed=1)
    Image.open(tmp_path / "train/dog/4.png").save(tmp_path / "val/dog/copy.bmp")
    task = _open(tmp_path)
    assert (len(task.train), len(task.validation), len(opened(task))) == (15, 7, 4)
    (note,) = task.notes
    assert note.startswith("1 image")


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    _fill(tmp_path, {"train": 8, "boat": 8})
    assert _open(tmp_path).classes == ("boat", "train")


def test_hidden_files_are_ignored_and_others_noted(tmp_path: Path) -> None:
    _fill(tmp_path, {"dog": 8, "cat": 8, "cat/kittens": 2, ".hidden": 3})
    for name in (".DS_Store", "cat/.thumb.png", "cat/Thumbs.db", "README.txt", "cat/notes.md"):
        (tmp_path / name).write_text("x")
    Image.new("L", (8, 6)).save(tmp_path / "stray.png")
    task = _open(tmp_path)
    assert task.classes == ("cat", "dog")
    assert len(task.train) + len(task.validation) + len(opened(task)) == 18
    unread, outside = task.notes
    assert "2 files" in unread and "README.txt, notes.md" in unread
    assert "1 picture" in outside and "stray.png" in outside


def test_folders_beside_the_splits_are_noted(tmp_path: Path) -> None:
    for seed, name in enumerate(("train", "test")):
        _fill(tmp_path / name, {"dog": 6, "cat": 6}, seed=seed)
    (tmp_path / "docs").mkdir()
    (note,) = _open(tmp_path).notes
    assert "docs/" in note


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=f"'{tmp_path}' is empty"):
        _open(tmp_path)
    Image.new("L", (8, 6)).save(tmp_path / "stray.png")
    with pytest.raises(DataError, match="outside any class folder"):
        _open(tmp_path)


def test_a_missing_folder_is_refused_and_misspelt_labellings_explained(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no folder '.*/none'"):
        _open(tmp_path / "none")
    _fill(tmp_path, {"dog": 6, "cat": 6})
    with pytest.raises(DataError, match="no folder .*'iz=cat'.* 'is='"):
        _open(tmp_path, ":iz=cat")
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="no folder '.*/file'"):
        _open(tmp_path / "file")


def test_one_class_alone_is_refused(tmp_path: Path) -> None:
    _fill(tmp_path, {"dog": 6})
    with pytest.raises(TaskError, match="at least two classes. folder:.* has only 'dog'"):
        _open(tmp_path)


@pytest.mark.parametrize(("count", "said"), [(0, "no examples"), (1, "1 example")])
def test_a_class_with_none_or_one_picture_is_refused(count: int, said: str, tmp_path: Path) -> None:
    _fill(tmp_path, {"dog": 6, "cat": 6, "emu": count})
    with pytest.raises(TaskError, match=f"Class 'emu' of folder:.* has {said}"):
        _open(tmp_path)
    assert _open(tmp_path, ":only=cat,dog").classes == ("cat", "dog")


def test_a_class_missing_in_train_is_refused(tmp_path: Path) -> None:
    _fill(tmp_path / "train", {"dog": 6, "cat": 6})
    _fill(tmp_path / "test", {"dog": 6, "emu": 6}, seed=1)
    with pytest.raises(DataError, match="'emu' of .*test/ .*train/.* cat, dog"):
        _open(tmp_path)


def test_splits_without_train_are_refused(tmp_path: Path) -> None:
    _fill(tmp_path / "test", {"dog": 6, "cat": 6})
    with pytest.raises(DataError, match="has no train/ beside test/"):
        _open(tmp_path)


def test_a_bad_picture_is_named_or_skipped_and_counted(tmp_path: Path) -> None:
    _fill(tmp_path, {"dog": 8, "cat": 8}, size=(40, 40))
    cut = tmp_path / "cat" / "3.png"
    cut.write_bytes(cut.read_bytes()[:500])
    (tmp_path / "dog" / "no.jpg").write_text("no picture")
    with pytest.raises(DataError, match=r"cat/3.png' .*\(skip_bad\)"):
        _open(tmp_path)
    task = _open(tmp_path, skip_bad=True)
    (note,) = task.notes
    assert "2 pictures" in note and "cat/3.png, dog/no.jpg" in note
    assert len(task.train) + len(task.validation) + len(opened(task)) == 15
    for path in tmp_path.glob("*/*"):
        path.write_text("no picture")
    with pytest.raises(DataError, match="17 pictures"):
        _open(tmp_path, skip_bad=True)


def test_sizes_and_colours_are_made_equal_and_noted(tmp_path: Path) -> None:
    _fill(tmp_path, {"dog": 8})
    _fill(tmp_path, {"cat": 8}, size=(30, 20), seed=1)
    Image.new("RGB", (100, 50), (1, 2, 3)).save(tmp_path / "cat" / "colour.jpg")
    task = _open(tmp_path)
    assert task.shape == (3, 64, 64)
    resized, coloured = task.notes
    assert "8 x 6 to 50 x 100" in resized and "64 x 64" in resized
    assert "colour" in coloured
    assert _open(tmp_path, size=16).shape == (3, 16, 16)
    assert task.train.images.dtype == torch.uint8


def test_twelve_bits_in_sixteen_are_as_bright_as_eight(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for name, brightest in (("dark", 1000), ("bright", 4096)):
        (tmp_path / name).mkdir()
        for index in range(8):
            values = random.integers(0, brightest, (10, 12), dtype=np.uint16)
            Image.fromarray(values).save(tmp_path / name / f"{index}.png")
    task = _open(tmp_path)
    assert task.framing == Framing(white=4095)
    assert task.train.pixels().max() > 0.98
    paths = sorted((tmp_path / "dark").iterdir())
    images, _, _ = read_pictures(paths, task.shape, task.framing)
    stored = {image.numpy().tobytes() for image in task.train.images}
    assert sum(image.numpy().tobytes() in stored for image in images) > 4
    assert _open(tmp_path, white=65535).train.pixels().max() < 0.07


def test_tasks_over_a_source_keep_its_framing(tmp_path: Path) -> None:
    _fill(tmp_path, {"dog": 8, "cat": 8, "emu": 8}, size=(90, 70))
    library = Library(tmp_path, fit="pad")
    for labelling in ("", ":is=cat", ":only=cat,dog:take=6", ":groups=cat/dog+emu"):
        task = library.open(f"folder:{tmp_path}{labelling}")
        for derived in (task, task.limited(5), task.measured_by("accuracy"), task.sealed()[0]):
            assert derived.framing == Framing(fit="pad")


def test_another_fit_changes_nothing_where_nothing_is_resized(tmp_path: Path) -> None:
    _fill(tmp_path, {"dog": 8, "cat": 8})
    tasks = [_open(tmp_path, **settings) for settings in ({}, {"fit": "pad"}, {"size": (8, 6)})]
    assert len({task.fingerprint for task in tasks}) == 1
    assert not any(task.notes for task in tasks)
