import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from tanas.networks import baseline
from tanas.networks.baseline import pixel_baseline
from tanas.seeds import Seed
from tanas.tasks.task import Split


def split_of(images, labels):
    labels = torch.as_tensor(labels, dtype=torch.int64)
    return Split(torch.as_tensor(images), torch.arange(len(labels)), labels, labels)


@pytest.fixture(scope="module")
def digits():
    data = load_digits()
    images = torch.from_numpy((data.images * 255 / 16).astype(np.uint8))[:, None]
    return split_of(images[:1200], data.target[:1200]), split_of(images[1200:], data.target[1200:])


def test_most_digits_are_told_apart_by_their_pixels(digits):
    train, test = digits
    answers = pixel_baseline(train, test, classes=10, seed=Seed(0))
    assert answers.shape == (597,)
    assert answers.dtype == np.int64
    assert np.mean(answers == test.labels.numpy()) > 0.85


def test_answers_repeat(digits):
    first, second = (pixel_baseline(*digits, classes=10, seed=Seed(0)) for _ in range(2))
    assert np.array_equal(first, second)


def test_the_labels_of_the_test_split_are_not_read(digits):
    train, test = digits
    blind = split_of(test.images[test.rows], torch.zeros(len(test)))
    answers = (pixel_baseline(train, split, classes=10, seed=Seed(0)) for split in (test, blind))
    assert np.array_equal(*answers)


def test_no_more_images_than_the_cap_are_used(digits, monkeypatch):
    train, test = digits
    monkeypatch.setattr(baseline, "MOST_IMAGES", 300)
    capped = pixel_baseline(train, test, classes=10, seed=Seed(5))
    fewer = pixel_baseline(train.stratified(300, Seed(5)), test, classes=10, seed=Seed(9))
    assert np.array_equal(capped, fewer)


def test_large_colour_images_are_averaged_down():
    labels = torch.arange(40) % 2
    images = torch.randint(0, 50, (40, 3, 100, 48), dtype=torch.uint8, generator=Seed(0).torch())
    images[labels == 1, 1, :50] += 100
    split = split_of(images, labels)
    assert baseline._features(split).shape == (40, 3 * 32 * 32)
    assert np.array_equal(pixel_baseline(split, split, classes=2, seed=Seed(0)), labels.numpy())


def test_a_class_without_training_images_is_never_answered(digits):
    train, test = digits
    few = train.subset(torch.nonzero(train.labels > 6).flatten())
    assert set(pixel_baseline(few, test, classes=10, seed=Seed(0))) == {7, 8, 9}


def test_a_single_class_is_always_answered(digits):
    train, test = digits
    only = train.subset(torch.nonzero(train.labels == 4).flatten())
    assert set(pixel_baseline(only, test, classes=10, seed=Seed(0))) == {4}


def test_images_without_contrast_do_no_harm():
    split = split_of(torch.zeros(10, 1, 4, 4, dtype=torch.uint8), [0] * 6 + [1] * 4)
    assert set(pixel_baseline(split, split, classes=2, seed=Seed(0))) == {0}
