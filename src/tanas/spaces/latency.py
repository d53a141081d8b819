"""How long a network takes to answer on this machine: measured, so no two measurements are quite equal."""

from __future__ import annotations

import statistics
import time
from functools import lru_cache
from typing import Protocol, final

import torch

from tanas.ground.checkpoints import Checkpoint
from tanas.ground.context import Context
from tanas.ground.records import digest
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture, Shape, build

WARM_UP = 2
"""Answers that do not count: the first ones fetch memory and choose kernels, and take up to ten times as long."""
REPEATS = 9
"""Answers whose median is taken: other work may disturb four of them."""
LONGEST_S = 0.25
"""No further answer is timed after this: the first ones tell enough about a network that slow."""

KEPT = "latencies"
"""The key of measurements in a checkpoint."""


class Latency(Protocol):
    """Says how long the network of an architecture takes."""

    def __call__(self, architecture: Architecture, shape: Shape, classes: int) -> float:
        """Milliseconds for the answer to one image; equal at every call."""


@final
class MeasuredLatency:
    """Measures each architecture once, unless a checkpoint holds its measurement.

    So a search that continues after it was killed decides as before. Another run measures anew and may decide
    otherwise if a figure lies close to a limit.
    """

    def __init__(self, *, device: str, checkpoint: Checkpoint) -> None:
        self._device = device
        self._checkpoint = checkpoint
        self._known: dict[str, float] = dict(checkpoint.load(KEPT) or {})

    @classmethod
    def of(cls, at: Context) -> MeasuredLatency:
        """On the device of a computation, remembered with its state."""
        return cls(device=at.device, checkpoint=at.checkpoint.child("latency"))

    def __call__(self, architecture: Architecture, shape: Shape, classes: int) -> float:
        architecture = architecture.canonical()
        name = digest(architecture, shape, classes)
        if name not in self._known:
            self._known[name] = measure_ms(architecture, shape, classes, self._device)
            self._checkpoint.save(KEPT, self._known)  # before anything is decided by it
        return self._known[name]

    @property
    def measured(self) -> tuple[float, ...]:
        """Milliseconds of every architecture measured, including those before an interruption."""
        return tuple(self._known.values())


@lru_cache(maxsize=65536)
def measure_ms(architecture: Architecture, shape: Shape, classes: int, device: str) -> float:
    """The median time, in milliseconds, in which the network of an architecture answers one image.

    In one thread, after a warm-up, from the image's pixels to the logits in the processor's memory. An architecture is
    measured once in a process.
    """
    # weights don't change how long it takes
    network = build(architecture, shape, classes, Seed().child("latency")).to(device).eval()
    pixels = torch.full((1, *shape), 0.5).to(memory_format=torch.channels_last)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    taken_s: list[float] = []
    try:
        with torch.no_grad():
            for number in range(-WARM_UP, REPEATS):
                began = time.perf_counter()
                network(pixels.to(device)).cpu()  # waits for the device
                if number >= 0:
                    taken_s.append(time.perf_counter() - began)
                if sum(taken_s) > LONGEST_S:
                    break
    finally:
        torch.set_num_threads(threads)
    return 1000 * statistics.median(taken_s)
