"""The steps that every method shares around what it computes."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

from tanas.distances.base import Measurement, Pair, to_itself
from tanas.distances.checks import check_finite
from tanas.distances.threads import one_thread


def measure(pair: Pair, work: Callable[[], Measurement]) -> Measurement:
    """A task and itself are at 0; else finite features are asked for, and the work is done in one thread and timed.

    Args:
        pair: that is measured.
        work: measures two different tasks.

    Raises:
        NonFiniteError: features are not finite.
    """
    if pair.same:
        return to_itself(pair)
    began = time.monotonic()
    check_finite(pair)
    with one_thread():
        measured = work()
    return replace(measured, took_s=time.monotonic() - began)
