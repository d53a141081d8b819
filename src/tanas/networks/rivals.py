"""The classic methods that stand beside every found network: each takes seconds on one core."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter

import numpy as np
import numpy.typing as npt
import torch
from skimage.feature import hog
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.neighbors import NearestNeighbors
from sklearn.svm import SVC
from threadpoolctl import threadpool_limits
from torch import Tensor
from torch.nn import functional

from tanas.ground.seeds import Seed
from tanas.networks.training import EVALUATION_BATCH
from tanas.tasks.performance import confusion_of, performance_of
from tanas.tasks.task import Split

Features = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]

MOST_IMAGES = 10_000
"""Images that k-NN and logistic regression are fitted on; more would take longer and change little."""
MOST_SIDE = 32
"""Larger images are averaged down to this height and width for both: 1024 pixels a channel keep them fast."""

NEIGHBOURS = (1, 3, 5, 10)
"""Choices for k-NN, the simplest first."""
TIE_BREAK = 1e-6
"""What the nearest neighbour's vote counts more, to break ties; half of it for the second nearest, and so on."""

PENALTIES = (0.1, 0.01, 0.001)
"""Choices for logistic regression, the most regular first: of the squared weights, beside the mean loss."""
MOST_WORK = 150_000_000
"""Images times features times classes: with more, logistic regression takes the middle penalty unchosen.
So much takes 3 s a fit."""
MOST_ITERATIONS = 100
"""Of L-BFGS: enough to converge or nearly so under these penalties."""
LEAST_DEVIATION = 0.1
"""A pixel that hardly ever changes is not blown up when it does."""

MOST_SVM_IMAGES = 5_000
"""Images that the SVM is fitted on: time and memory grow with their square."""
COSTS = (1.0, 3.0, 10.0)
"""Choices of C for the SVM, the most regular first: beyond 10 hardly an image is still misfitted."""
MOST_HOG_SIDE = 64
"""Larger images are averaged down to this height and width for HOG: at 32, the texture of steel is lost."""
CELLS = 7
"""About so many cells a side, whatever the size of the image."""
LEAST_CELL = 2
"""Pixels a side of a cell: one pixel alone is no histogram."""
BLOCK = 3
"""Cells a side of a block that is normalised together. On training images of MNIST, Quick, Draw!, steel and
traffic signs that were held out, 3 errs less than 2 (10.3 % against 10.8 %, mean of the four) and is quicker."""
ORIENTATIONS = 9
"""Directions of a histogram, as Dalal and Triggs chose; 8 and 12 are no clear gain on the same images."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RivalAnswers:
    """What a classic method answers on the test split, and how it was made."""

    name: str
    """'k-NN', 'logistic regression' or 'SVM on HOG'."""
    settings: str
    """What was chosen, in words for people: '5 neighbours, pixels'."""
    images: int
    """Images that it was fitted on in the end, training and validation together."""
    available: int
    """Images that there were; more than `images` if it was fitted on a subset."""
    answers: Indices
    """Class indices, (test samples,)."""
    took_s: float
    """Wall-clock seconds: features, choice of the setting, fit and answers."""


@dataclass(frozen=True, kw_only=True)
class _Method:
    """A classic method before it has seen a task."""

    name: str
    words: Callable[[float], str]
    """Describes a setting to people."""
    most: int
    """Images that it is fitted on at most."""
    features: Callable[[Split], Features]
    """Features of a split, (samples, features)."""
    settings: tuple[float, ...]
    """Choices, the simplest or most regular first."""
    most_work: float
    """Images times features times classes: with more, the middle setting is taken unchosen."""
    answers: Callable[[Features, Indices, Features, tuple[float, ...], bool], list[Indices]]
    """Answers under each setting: from features and labels (two or more classes), features of the queries,
    settings, and whether classes count alike."""


def classic_rivals(
    train: Split, validation: Split, test: Split, *, classes: int, performance: str, seed: Seed
) -> tuple[RivalAnswers, ...]:
    """Answers of k-NN, logistic regression and an SVM on HOG features, in this order.

    Each chooses its setting on the validation split, then is fitted again on training and validation
    images together. One thread computes, so the answers do not depend on the number of processors.

    Args:
        train: images to fit on, at least one.
        validation: images to choose on and to fit on in the end, at least one.
        test: images to answer on; its labels are not read.
        classes: number of classes; a class without training or validation images is never answered.
        performance: measure of the choice. Under 'balanced', classes count alike in every method:
            k-NN divides votes by the size of the class, the others weight the loss by it.
        seed: of the subset where there are more images than a method takes.

    Returns:
        one result a method; only `took_s` differs from call to call.

    Raises:
        SettingError: the measure is unknown.

    Source: N. Dalal, B. Triggs, "Histograms of oriented gradients for human detection", CVPR 2005, for HOG.
    """
    with threadpool_limits(limits=1):
        return tuple(
            _rival(method, train, validation, test, classes=classes, performance=performance, seed=seed)
            for method in _methods()
        )


def _methods() -> tuple[_Method, ...]:
    return (
        _Method(
            name="k-NN",
            words=lambda k: f"{k:g} {'neighbour' if k == 1 else 'neighbours'}, pixels",
            most=MOST_IMAGES,
            features=_pixels,
            settings=NEIGHBOURS,
            most_work=math.inf,
            answers=_nearest_neighbours,
        ),
        _Method(
            name="logistic regression",
            words=lambda penalty: f"penalty = {penalty:g}, pixels",
            most=MOST_IMAGES,
            features=_pixels,
            settings=PENALTIES,
            most_work=MOST_WORK,
            answers=_logistic_regression,
        ),
        _Method(
            name="SVM on HOG",
            words=lambda cost: f"C = {cost:g}, RBF kernel, HOG features",
            most=MOST_SVM_IMAGES,
            features=_gradient_histograms,
            settings=COSTS,
            most_work=math.inf,
            answers=_support_vectors,
        ),
    )


def _rival(
    method: _Method,
    train: Split,
    validation: Split,
    test: Split,
    *,
    classes: int,
    performance: str,
    seed: Seed,
) -> RivalAnswers:
    """Chooses on the validation split, fits on both splits, answers on the test split."""
    start = perf_counter()
    available = len(train) + len(validation)
    share = min(1.0, method.most / available)
    train = _part(train, share, seed.child("train"))
    validation = _part(validation, share, seed.child("validation"))
    features = np.concatenate([method.features(train), method.features(validation)])
    labels = np.concatenate([train.labels.numpy(), validation.labels.numpy()])
    alike = performance == "balanced"

    if features.size * classes > method.most_work:
        chosen = method.settings[len(method.settings) // 2]
    else:
        fitted, judged = slice(len(train)), slice(len(train), None)
        trials = _answers(
            method, features[fitted], labels[fitted], features[judged], settings=method.settings, alike=alike
        )
        scores = [
            performance_of(confusion_of(labels[judged], trial, classes), performance) for trial in trials
        ]
        chosen = method.settings[int(np.argmax(scores))]  # the first of equals
    (answers,) = _answers(method, features, labels, method.features(test), settings=(chosen,), alike=alike)
    return RivalAnswers(
        name=method.name,
        settings=method.words(chosen) if len(np.unique(labels)) > 1 else "the only class, always",
        images=len(labels),
        available=available,
        answers=answers,
        took_s=perf_counter() - start,
    )


def _part(split: Split, share: float, seed: Seed) -> Split:
    """A share of the split, stratified: at least one image of each class and class of the source."""
    groups = torch.unique(torch.stack([split.labels, split.strata]), dim=1).shape[1]
    return split.stratified(max(int(len(split) * share), groups), seed)


def _answers(
    method: _Method,
    features: Features,
    labels: Indices,
    queries: Features,
    *,
    settings: tuple[float, ...],
    alike: bool,
) -> list[Indices]:
    """Answers under each setting, (queries,); a single class is always answered."""
    if len(np.unique(labels)) == 1:
        return [np.full(len(queries), labels[0], dtype=np.int64) for _ in settings]
    return [
        answers.astype(np.int64) for answers in method.answers(features, labels, queries, settings, alike)
    ]


def _nearest_neighbours(
    features: Features, labels: Indices, queries: Features, settings: tuple[float, ...], alike: bool
) -> list[Indices]:
    """The class with most votes among the nearest images; of equals, the one with the nearest image."""
    most = min(int(max(settings)), len(labels))
    search = NearestNeighbors(n_neighbors=most, algorithm="brute").fit(features)
    neighbours = labels[search.kneighbors(queries, return_distance=False)]  # (queries, most), nearest first
    sizes = np.bincount(labels)
    weights = 1 / sizes.clip(1) if alike else np.ones(len(sizes))
    votes = weights[neighbours] * (1 + TIE_BREAK * 0.5 ** np.arange(most))
    totals = np.zeros((len(queries), len(sizes)))
    answers = {}
    for rank in range(most):
        totals[np.arange(len(queries)), neighbours[:, rank]] += votes[:, rank]
        answers[rank + 1] = totals.argmax(axis=1)
    return [answers[min(int(k), most)] for k in settings]


def _logistic_regression(
    features: Features, labels: Indices, queries: Features, settings: tuple[float, ...], alike: bool
) -> list[Indices]:
    """Multinomial logistic regression on standardised features."""
    mean = features.mean(axis=0)
    deviation = features.std(axis=0).clip(LEAST_DEVIATION)
    answers = []
    for penalty in settings:
        regression = LogisticRegression(
            C=1 / (penalty * len(labels)),
            max_iter=MOST_ITERATIONS,
            class_weight="balanced" if alike else None,
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)  # the cap is meant
            regression.fit((features - mean) / deviation, labels)
        answers.append(regression.predict((queries - mean) / deviation))
    return answers


def _support_vectors(
    features: Features, labels: Indices, queries: Features, settings: tuple[float, ...], alike: bool
) -> list[Indices]:
    """An SVM with an RBF kernel, made by matrix products: libsvm's own kernel is many times slower."""
    variance = float(features.var())
    gamma = 1 / (features.shape[1] * variance) if variance > 0 else 1.0  # scikit-learn's gamma="scale"
    kernel = rbf_kernel(features, gamma=gamma)
    machines = [
        SVC(C=cost, kernel="precomputed", class_weight="balanced" if alike else None).fit(kernel, labels)
        for cost in settings
    ]
    parts: list[list[Indices]] = [[] for _ in settings]
    for start in range(0, len(queries), EVALUATION_BATCH):
        part = rbf_kernel(queries[start : start + EVALUATION_BATCH], features, gamma=gamma)
        for machine, answers in zip(machines, parts, strict=True):
            answers.append(machine.predict(part))
    return [np.concatenate(answers) for answers in parts]


def _pixels(split: Split) -> Features:
    """Pixels in [0, 1], (samples, features)."""
    return torch.cat([images.flatten(1) for images in _averaged(split, MOST_SIDE)]).numpy()


def _gradient_histograms(split: Split) -> Features:
    """HOG features, (samples, features); pixels beyond the last whole cell are not used."""
    sides = [min(side, MOST_HOG_SIDE) for side in split.images.shape[2:]]
    cell = [min(max(round(side / CELLS), LEAST_CELL), side) for side in sides]
    block = [min(BLOCK, side // pixels) for side, pixels in zip(sides, cell, strict=True)]
    return np.stack(
        [
            hog(
                image,
                orientations=ORIENTATIONS,
                pixels_per_cell=cell,
                cells_per_block=block,
                block_norm="L2-Hys",
                channel_axis=-1,
            )
            for images in _averaged(split, MOST_HOG_SIDE)
            for image in images.movedim(1, -1).numpy()
        ]
    )


def _averaged(split: Split, most: int) -> Iterator[Tensor]:
    """Images in batches, (samples, channels, height, width), each side averaged down to `most` pixels."""
    size = [min(side, most) for side in split.images.shape[2:]]
    for start in range(0, len(split), EVALUATION_BATCH):
        yield functional.interpolate(
            split.pixels(slice(start, start + EVALUATION_BATCH)), size=size, mode="area"
        )
