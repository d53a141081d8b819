"""Labellings of a task's classes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.opened import opened

from tanas.ground.errors import TaskError
from tanas.tasks.arrays import task_from_arrays
from tanas.tasks.spelling import UnknownClassError
from tanas.tasks.task import Task


def _task(
    labelling: str = "", *, classes: tuple[str, ...] = ("cat", "Big Dog", "bird", "a+b"), each: int = 25
) -> Task:
    x = np.random.default_rng(0).integers(0, 256, (each * len(classes), 5, 5), dtype=np.uint8)
    y = np.arange(each * len(classes)) % len(classes)
    return task_from_arrays(x, y, classes=classes, name="pets", labelling=labelling)


def test_an_indicator_has_the_rest_and_the_class() -> None:
    task = _task("is=big_dog")
    assert task.name == "pets:is=big-dog"
    assert task.classes == ("not Big Dog", "Big Dog")
    whole = _task()
    assert torch.equal(task.train.labels, (whole.train.labels == 1).long())
    assert torch.equal(task.train.rows, whole.train.rows)
    assert torch.equal(opened(task).strata, opened(whole).labels)


def test_numbers_become_names() -> None:
    assert _task("is=1").name == "pets:is=big-dog"
    assert _task("only=0,3").name == "pets:only=cat,'a+b'"
    assert _task("groups=0+1/3").name == "pets:groups=cat+big-dog/'a+b'"


def test_only_drops_the_rows_of_other_classes() -> None:
    task, whole = _task("only=bird,cat"), _task()
    assert task.classes == ("cat", "bird")
    for split, all_rows in (
        (task.train, whole.train),
        (task.validation, whole.validation),
        (opened(task), opened(whole)),
    ):
        kept = (all_rows.labels == 0) | (all_rows.labels == 2)
        assert torch.equal(split.rows, all_rows.rows[kept])
        assert torch.equal(split.labels, all_rows.labels[kept] // 2)


def test_only_keeps_the_order_of_the_source() -> None:
    assert _task("only=bird,cat").fingerprint == _task("only=cat,bird").fingerprint


def test_groups_are_classes_in_the_order_written() -> None:
    task = _task("groups=bird/cat+big-dog")
    assert task.classes == ("bird", "cat+Big Dog")
    assert sorted(set(task.train.strata[task.train.labels == 1].tolist())) == [0, 1]
    assert not (task.train.strata == 3).any()


def test_labellings_chain() -> None:
    task = _task("only=cat,bird,big-dog:groups=cat+bird/big-dog:is='cat+bird':take=20")
    assert task.classes == ("not cat+bird", "cat+bird")
    assert task.name == "pets:only=cat,big-dog,bird:groups=cat+bird/big-dog:is='cat+bird':take=20"
    assert len(task.train) == 20


def test_take_shrinks_training_and_validation_and_never_the_test_split() -> None:
    task, whole = _task("take=32"), _task()
    assert (len(whole.train), len(whole.validation), len(opened(whole))) == (64, 16, 20)
    assert (len(task.train), len(task.validation), len(opened(task))) == (32, 8, 20)
    assert torch.bincount(task.train.labels).tolist() == [8, 8, 8, 8]
    assert set(task.train.rows.tolist()) <= set(whole.train.rows.tolist())


def test_take_is_stratified_by_the_classes_of_the_source_too() -> None:
    task = _task("is=cat:take=32")
    assert torch.bincount(task.train.strata).tolist() == [8, 8, 8, 8]


def test_images_are_shared_and_not_copied() -> None:
    whole = _task()
    labelled = _task("is=cat")
    assert whole.train.images.data_ptr() == whole.validation.images.data_ptr()
    assert labelled.train.images.data_ptr() == labelled.validation.images.data_ptr()
    assert whole.train.images.data_ptr() != opened(whole).images.data_ptr()


@pytest.mark.parametrize(
    ("labelling", "message"),
    [
        ("only=cat", "at least two classes. pets:only=cat has only 'cat'"),
        ("only=cat,0", "only= names the class 'cat' of pets more than once"),
        ("groups=cat+bird/bird", "groups= names the class 'bird' of pets more than once"),
        ("only=cat,bird:is=cat:only=cat", "A task needs at least two classes"),
        ("take=65", "take=65 .* 64 training images of pets"),
        ("take=3", "Take at least 4"),
    ],
)
def test_what_can_not_be_learnt_is_refused(labelling: str, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        _task(labelling)


def test_an_unknown_class_names_the_labelled_task() -> None:
    with pytest.raises(UnknownClassError, match="'bird' in pets:is=cat.* not cat, cat"):
        _task("is=cat:is=bird")
    with pytest.raises(TaskError, match="Unknown class 'elephant' in pets"):
        _task("is=elephant")


@pytest.mark.parametrize(("count", "said"), [(0, "no examples"), (1, "1 example")])
def test_a_class_with_none_or_one_example_is_refused(count: int, said: str) -> None:
    x = np.random.default_rng(0).integers(0, 256, (40 + count, 5, 5), dtype=np.uint8)
    y = np.array([0, 1] * 20 + [2] * count)
    with pytest.raises(TaskError, match=f"'rare' of arrays has {said}"):
        task_from_arrays(x, y, classes=("a", "b", "rare"))


def test_counts_are_checked_after_labelling() -> None:
    x = np.random.default_rng(0).integers(0, 256, (41, 5, 5), dtype=np.uint8)
    y = np.array([0, 1] * 20 + [2])
    assert task_from_arrays(x, y, labelling="is=0").classes == ("not 0", "0")
    assert task_from_arrays(x, y, labelling="only=0,1").classes == ("0", "1")


def test_a_class_without_a_training_image_is_refused() -> None:
    x = np.random.default_rng(0).integers(0, 256, (40, 5, 5), dtype=np.uint8)
    y = np.array([0, 1] * 20)
    held_out, labels = x[:3] // 2, np.array([2, 2, 2])
    with pytest.raises(TaskError, match="'c' of arrays .* 3 held out"):
        task_from_arrays(x, y, x_test=held_out, y_test=labels, classes=("a", "b", "c"))


def test_an_empty_split_is_refused() -> None:
    x = np.random.default_rng(0).integers(0, 256, (4, 5, 5), dtype=np.uint8)
    with pytest.raises(TaskError, match="arrays .* test split"):
        task_from_arrays(x, np.array([0, 0, 1, 1]))


def test_a_class_that_no_test_image_has_is_noted() -> None:
    x = np.random.default_rng(0).integers(0, 256, (22, 5, 5), dtype=np.uint8)
    task = task_from_arrays(x, np.array([0] * 20 + [1] * 2))
    (note,) = task.notes
    assert "test split" in note and "'1'" in note
