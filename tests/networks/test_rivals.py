import numpy as np
import pytest
import torch
from sklearn.datasets import load_digits

from tanas.ground.errors import SettingError
from tanas.ground.seeds import Seed
from tanas.networks import rivals
from tanas.networks.rivals import classic_rivals
from tanas.tasks.performance import balanced_accuracy, confusion_of
from tanas.tasks.task import Split

NAMES = ("k-NN", "logistic regression", "SVM on HOG")


def split_of(images, labels):
    labels = torch.as_tensor(labels, dtype=torch.int64)
    return Split(torch.as_tensor(images), torch.arange(len(labels)), labels, labels)


def noise(*shape):
    return torch.randint(0, 80, shape, dtype=torch.uint8, generator=Seed(1).torch())


def halves(count, *shape):
    """Two classes: a bright square in the upper or the lower half of noise."""
    labels = torch.arange(count) % 2
    images = noise(count, *shape)
    middle = shape[1] // 2
    images[labels == 0, :, :middle, 1:-1] += 150
    images[labels == 1, :, middle:, 1:-1] += 150
    return split_of(images, labels)


def of_classes(split, *classes):
    return split.subset(torch.nonzero(torch.isin(split.labels, torch.tensor(classes))).flatten())


def answer(train, validation, test, *, classes=2, performance="balanced", seed=0):
    found = classic_rivals(train, validation, test, classes=classes, performance=performance, seed=Seed(seed))
    assert tuple(rival.name for rival in found) == NAMES
    return found


def same(first, second):
    return all(
        (a.settings, a.images) == (b.settings, b.images) and np.array_equal(a.answers, b.answers)
        for a, b in zip(first, second, strict=True)
    )


@pytest.fixture(scope="module")
def digits():
    data = load_digits()
    images = torch.from_numpy((data.images * 255 / 16).astype(np.uint8))[:, None]
    return tuple(
        split_of(images[part], data.target[part])
        for part in (slice(0, 600), slice(600, 800), slice(800, 1100))
    )


@pytest.fixture(scope="module")
def answered(digits):
    return answer(*digits, classes=10)


def test_most_digits_are_told_apart(digits, answered):
    truth = digits[2].labels.numpy()
    for rival in answered:
        assert rival.answers.shape == (300,)
        assert rival.answers.dtype == np.int64
        assert np.mean(rival.answers == truth) > 0.85, rival.name
        assert (rival.images, rival.available) == (800, 800)
        assert rival.took_s > 0


def test_settings_are_told_in_words(answered):
    nearest, regression, machine = (rival.settings for rival in answered)
    assert nearest in {"1 neighbour, pixels", *(f"{k} neighbours, pixels" for k in (3, 5, 10))}
    assert regression in {f"penalty = {penalty}, pixels" for penalty in (0.1, 0.01, 0.001)}
    assert machine in {f"C = {cost}, RBF kernel, HOG features" for cost in (1, 3, 10)}


def test_answers_repeat(digits, answered):
    assert same(answered, answer(*digits, classes=10))


def test_the_labels_of_the_test_split_are_not_read(digits, answered):
    train, validation, test = digits
    blind = split_of(test.images[test.rows], torch.zeros(len(test)))
    assert same(answered, answer(train, validation, blind, classes=10))


def test_the_validation_split_is_fitted_in_the_end(digits):
    train, validation, test = digits
    seen = of_classes(train, *range(9))
    for rival in answer(seen, validation, test, classes=10):
        assert 9 in rival.answers, rival.name


@pytest.mark.parametrize(("nearest", "settings"), [(0, "1 neighbour, pixels"), (1, "3 neighbours, pixels")])
def test_the_setting_is_chosen_on_the_validation_split(nearest, settings):
    # one image of class 0 lies nearest to the validation images of either class, then three of class 1
    levels = torch.tensor([100, 103, 103, 103, 250, 250, 250], dtype=torch.uint8)
    train = split_of(levels[:, None, None, None].expand(7, 1, 6, 6), [0, 1, 1, 1, 0, 0, 0])
    validation = split_of(torch.full((2, 1, 6, 6), 100, dtype=torch.uint8), [nearest] * 2)
    assert answer(train, validation, train, performance="accuracy")[0].settings == settings


def test_of_equal_settings_the_simplest_is_taken():
    split = halves(40, 1, 12, 12)
    assert [rival.settings for rival in answer(split, split, split)] == [
        "1 neighbour, pixels",
        "penalty = 0.1, pixels",
        "C = 1, RBF kernel, HOG features",
    ]


def test_where_the_choice_would_take_long_the_middle_penalty_is_taken(monkeypatch):
    monkeypatch.setattr(rivals, "MOST_WORK", 100)
    split = halves(40, 1, 12, 12)
    assert answer(split, split, split)[1].settings == "penalty = 0.01, pixels"


def test_a_subset_is_told_and_follows_the_seed(digits, monkeypatch):
    monkeypatch.setattr(rivals, "MOST_SVM_IMAGES", 200)
    found = answer(*digits, classes=10)
    assert [(rival.images, rival.available) for rival in found] == [(800, 800), (800, 800), (200, 800)]
    assert same(found, answer(*digits, classes=10))
    other = answer(*digits, classes=10, seed=7)
    assert same(found[:2], other[:2])
    assert not np.array_equal(found[2].answers, other[2].answers)


def test_a_subset_holds_an_image_of_each_class(digits, monkeypatch):
    monkeypatch.setattr(rivals, "MOST_IMAGES", 5)
    monkeypatch.setattr(rivals, "MOST_SVM_IMAGES", 5)
    for rival in answer(*digits, classes=10):
        assert rival.images == 20
        assert len(set(rival.answers)) == 10, rival.name


def test_under_balanced_performance_a_rare_class_is_answered_more_often():
    draw = Seed(3).numpy()
    splits = []
    for count in (300, 100, 800):
        labels = (np.arange(count) % 10 == 0).astype(int)
        edge = draw.normal(20, 15, count) + 25 * labels  # an edge in noise: HOG sees it, too
        images = draw.normal(100, 10, (count, 1, 8, 8))
        images[:, :, 4:] += edge[:, None, None, None]
        splits.append(split_of(torch.as_tensor(images.clip(0, 255), dtype=torch.uint8), labels))
    balanced, plain = (answer(*splits, performance=measure) for measure in ("balanced", "accuracy"))
    truth = splits[2].labels.numpy()
    for alike, usual in zip(balanced, plain, strict=True):
        assert alike.answers.sum() > usual.answers.sum(), alike.name
        scores = [balanced_accuracy(confusion_of(truth, rival.answers, 2)) for rival in (alike, usual)]
        assert scores[0] > scores[1], alike.name


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 5, 9), (3, 20, 16), (3, 100, 48), (1, 28, 4)])
def test_images_of_any_size_are_told_apart(shape):
    split = halves(60, *shape)
    train, validation, test = (split.subset(torch.arange(start, start + 20)) for start in (0, 20, 40))
    for rival in answer(train, validation, test):
        assert np.mean(rival.answers == test.labels.numpy()) > 0.9, rival.name


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 2, 1), (3, 1, 7), (1, 3, 3)])
def test_tiny_images_do_no_harm(shape):
    split = split_of(noise(12, *shape), torch.arange(12) % 3)
    for rival in answer(split, split, split, classes=3):
        assert set(rival.answers) <= {0, 1, 2}


def test_images_without_contrast_do_no_harm():
    split = split_of(torch.zeros(10, 1, 4, 4, dtype=torch.uint8), [0] * 6 + [1] * 4)
    for rival in answer(split, split, split, performance="accuracy"):
        assert set(rival.answers) <= {0, 1}


@pytest.mark.parametrize("performance", ["balanced", "accuracy"])
def test_two_images_a_class_are_enough(digits, performance):
    train, validation, test = digits
    one = [
        split.subset(torch.tensor([int(torch.nonzero(split.labels == c)[0]) for c in range(10)]))
        for split in (train, validation)
    ]
    for rival in answer(*one, test, classes=10, performance=performance):
        assert rival.images == 20
        assert np.mean(rival.answers == test.labels.numpy()) > 0.3, rival.name


def test_a_class_without_images_is_never_answered(digits):
    train, validation, test = digits
    found = answer(of_classes(train, 3, 8, 9), of_classes(validation, 3, 8), test, classes=10)
    assert all(set(rival.answers) == {3, 8, 9} for rival in found)


def test_a_single_class_is_always_answered(digits):
    train, validation, test = digits
    for rival in answer(of_classes(train, 4), of_classes(validation, 4), test, classes=10):
        assert set(rival.answers) == {4}
        assert rival.settings == "the only class, always"


def test_a_second_class_may_come_with_the_validation_split(digits):
    train, validation, test = digits
    for rival in answer(of_classes(train, 4), of_classes(validation, 4, 6), test, classes=10):
        assert set(rival.answers) == {4, 6}


def test_equal_votes_go_to_the_nearest_image():
    features = np.array([[0.0], [1.0], [2.0], [9.0]], dtype=np.float32)
    labels = np.array([1, 0, 0, 1])
    (answers,) = rivals._nearest_neighbours(
        features, labels, np.array([[0.2], [1.2]], dtype=np.float32), (10.0,), False
    )
    assert answers.tolist() == [1, 0]


def test_an_unknown_measure_is_refused(digits):
    with pytest.raises(SettingError, match="performance"):
        answer(*digits, classes=10, performance="speed")
