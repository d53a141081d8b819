"""Errors of tanas, each also a builtin. A message says what is wrong, where, what was expected, and what to do.

Wrong input ends a command with exit status 2; a failure while running ends it with 1.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable
from typing import ClassVar


class TanasError(Exception):
    """Base of every error that tanas raises on purpose."""

    exit_status: ClassVar[int] = 2


class SettingError(TanasError, ValueError):
    """A setting is outside its range, or two settings contradict each other."""


class BudgetError(SettingError):
    """The budget of a search does not allow its first training."""


class TaskError(TanasError, ValueError):
    """A task can't be made: its name, its labelling or its classes are wrong."""


class DataError(TaskError):
    """Images or labels can't be used: corrupt, of another shape, outside their range."""


class UnknownNameError(TanasError, LookupError):
    """An unknown name: of a source, class, operation, space, atom or preset."""


class StoreError(TanasError, OSError):
    """A file or folder is missing, of another kind or version, damaged, or can't be written."""


class MissingExtraError(TanasError, ImportError):
    """An optional library is needed and not installed."""


class NonFiniteError(TanasError, ArithmeticError):
    """A loss, logits or features are not finite."""

    exit_status = 1


class SearchError(TanasError, RuntimeError):
    """A search can't go on: all its candidates failed."""

    exit_status = 1


class ExportError(TanasError, RuntimeError):
    """An exported network does not answer as the original does."""

    exit_status = 1


def check_range(
    value: float, name: str, owner: str, *, low: float, high: float = math.inf, open_ends: bool = False
) -> None:
    """Refuse a number outside its range.

    Args:
        value: the number; NaN is outside every range.
        name: of the field.
        owner: name of the class that has the field.
        low: least value.
        high: greatest value.
        open_ends: whether the ends themselves are outside.

    Raises:
        SettingError: it is outside.
    """
    inside = low < value < high if open_ends else low <= value <= high
    if not inside:
        if math.isinf(high):
            expected = f"{'greater than' if open_ends else 'at least'} {low:g}"
        elif open_ends:
            expected = f"in ({low:g}, {high:g})"
        else:
            expected = f"in [{low:g}, {high:g}]"
        raise SettingError(f"The '{name}' of {owner} must be {expected}. Got {value!r} instead.")


def check_choice(value: str, name: str, owner: str, choices: Iterable[str]) -> None:
    """Refuse a word that is not among the choices (SettingError, which lists them)."""
    known = tuple(choices)
    if value not in known:
        raise SettingError(
            f"The '{name}' of {owner} must be one of {', '.join(known)}. Got {value!r} instead."
        )


def nearest_names(name: str, known: Iterable[str]) -> str:
    """The end of a message about an unknown name: 'Did you mean x?' or 'Known are: x, y'."""
    names = list(known)
    lowered = {known_name.lower(): known_name for known_name in names}
    if near := difflib.get_close_matches(name.lower(), lowered):
        return f"Did you mean {' or '.join(repr(lowered[n]) for n in near)}?"
    listed = ", ".join(names[:20]) + (f" and {len(names) - 20} more" if len(names) > 20 else "")
    return f"Known are: {listed}." if names else "None is known."
