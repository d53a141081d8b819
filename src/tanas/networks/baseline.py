"""The plain baseline that stands beside every result: logistic regression on the pixels."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from torch.nn import functional

from tanas.networks.training import EVALUATION_BATCH
from tanas.seeds import Seed
from tanas.tasks.task import Split

MOST_IMAGES = 10_000
"""Training images that are used: 2 s on one core for 28x28 and ten classes; more would change little."""
MOST_SIDE = 32
"""Larger images are averaged down to this height and width: 1024 pixels a channel keep it fast."""
MOST_ITERATIONS = 100
"""Of L-BFGS: enough to converge or nearly so under the penalty below."""
PENALTY = 0.01
"""Of the squared weights, beside the mean loss: best of 0.1, 0.01 and 0.001 for 10,000 images of MNIST and of
Fashion-MNIST, judged on other training images; for fewer images it hardly matters."""
LEAST_DEVIATION = 0.1
"""A pixel that hardly ever changes is not blown up when it does."""


def pixel_baseline(train: Split, test: Split, *, classes: int, seed: Seed) -> npt.NDArray[np.int64]:
    """Answers of multinomial logistic regression on standardised pixels.

    Args:
        train: what it is fitted on; at most `MOST_IMAGES` of it, stratified.
        test: what it answers on; its labels are not read.
        classes: number of classes; one without training images is never answered.
        seed: of the draw of training images.

    Returns:
        class indices, (samples of `test`,).
    """
    train = train.stratified(max(MOST_IMAGES, classes), seed)
    labels = train.labels.numpy()
    if len(np.unique(labels)) == 1:
        return np.full(len(test), labels[0], dtype=np.int64)
    features = _features(train)
    mean = features.mean(axis=0)
    deviation = features.std(axis=0).clip(LEAST_DEVIATION)
    regression = LogisticRegression(C=1 / (PENALTY * len(labels)), max_iter=MOST_ITERATIONS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the cap is meant
        regression.fit((features - mean) / deviation, labels)
    answers: npt.NDArray[np.int64] = regression.predict((_features(test) - mean) / deviation).astype(np.int64)
    return answers


def _features(split: Split) -> npt.NDArray[np.float32]:
    """Pixels in [0, 1], large images averaged down, (samples, features)."""
    height, width = split.images.shape[2:]
    size = (min(height, MOST_SIDE), min(width, MOST_SIDE))
    parts = [
        functional.interpolate(
            split.pixels(slice(start, start + EVALUATION_BATCH)), size=size, mode="area"
        ).flatten(1)
        for start in range(0, len(split), EVALUATION_BATCH)
    ]
    features: npt.NDArray[np.float32] = torch.cat(parts).numpy()
    return features
