"""How well a classifier does: the performance l of section 3.1, from 0 (complete failure) to 1."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tanas.ground.errors import check_choice

Confusion = npt.NDArray[np.int64]
"""Counts, (classes, classes): rows are true classes, columns are answers."""

PERFORMANCES = ("balanced", "accuracy")


def confusion_of(labels: npt.ArrayLike, answers: npt.ArrayLike, classes: int) -> Confusion:
    """Counts of answers by true class; labels and answers are class indices, (samples,)."""
    flat = np.asarray(labels, dtype=np.int64) * classes + np.asarray(answers, dtype=np.int64)
    return np.bincount(flat, minlength=classes * classes).reshape(classes, classes).astype(np.int64)


def accuracy(confusion: Confusion) -> float:
    """Share of right answers."""
    return float(np.trace(confusion) / max(confusion.sum(), 1))


def balanced_accuracy(confusion: Confusion) -> float:
    """Mean share of right answers per class, over the classes that occur."""
    totals = confusion.sum(axis=1)
    present = totals > 0
    return float(np.mean(np.diag(confusion)[present] / totals[present])) if present.any() else 0.0


def chance_corrected(confusion: Confusion) -> float:
    """Balanced accuracy scaled so that a constant answer scores 0 and perfection 1; clipped to [0, 1].

    Source: the definition of l in section 3.1.
    """
    present = int((confusion.sum(axis=1) > 0).sum())
    if present < 2:
        return accuracy(confusion)
    chance = 1 / present
    return float(np.clip((balanced_accuracy(confusion) - chance) / (1 - chance), 0.0, 1.0))


def performance_of(confusion: Confusion, measure: str) -> float:
    """L in [0, 1] by one of `PERFORMANCES`.

    Raises:
        SettingError: the measure is unknown.
    """
    check_choice(measure, "performance", "Task", PERFORMANCES)
    return chance_corrected(confusion) if measure == "balanced" else accuracy(confusion)


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A classifier's answers on one split, counted."""

    confusion: tuple[tuple[int, ...], ...]
    """Rows are true classes, columns are answers."""

    @classmethod
    def of(cls, labels: npt.ArrayLike, answers: npt.ArrayLike, classes: int) -> Evaluation:
        """Counts answers; shapes as in `confusion_of`."""
        return cls(confusion=tuple(map(tuple, confusion_of(labels, answers, classes).tolist())))

    @property
    def error(self) -> float:
        """Share of wrong answers."""
        return 1 - accuracy(self._counts())

    @property
    def balanced_error(self) -> float:
        """Mean share of wrong answers per class."""
        return 1 - balanced_accuracy(self._counts())

    @property
    def constant_error(self) -> float:
        """Share of wrong answers of the best constant answer on the same split."""
        totals = self._counts().sum(axis=1)
        return float(1 - totals.max() / totals.sum())

    def performance(self, measure: str) -> float:
        """L in [0, 1] by one of `PERFORMANCES`."""
        return performance_of(self._counts(), measure)

    def _counts(self) -> Confusion:
        return np.asarray(self.confusion, dtype=np.int64)
