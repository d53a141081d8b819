"""One root seed, named children: every random draw of a run can be named and repeated."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True)
class Seed:
    """A place in the tree of a run's randomness.

    Children of different names are independent (numpy's SeedSequence). A name gives the same numbers whatever was
    drawn before, so a resumed run needs no generator's state.
    """

    root: int = 0
    """The number that a user gives, at least 0."""
    path: tuple[str, ...] = ()
    """Names from the root to here."""

    def child(self, *names: str | int) -> Seed:
        """The seed of a named part, such as `seed.child("round", 2)`."""
        return Seed(self.root, self.path + tuple(str(name) for name in names))

    def integer(self) -> int:
        """A number in [0, 2**63), always the same for this seed."""
        return int(self._sequence().generate_state(1, np.uint64)[0] >> np.uint64(1))

    def numpy(self) -> np.random.Generator:
        """A fresh numpy generator; two calls give the same numbers."""
        return np.random.default_rng(self._sequence())

    def torch(self) -> torch.Generator:
        """A fresh torch generator on the CPU; two calls give the same numbers."""
        return torch.Generator().manual_seed(self.integer())

    @contextmanager
    def initialising(self) -> Iterator[None]:
        """Start torch's global generator, which torch.nn draws from, at this seed; restore it afterwards."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.integer())
            yield

    def _sequence(self) -> np.random.SeedSequence:
        key = [int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") for name in self.path]
        return np.random.SeedSequence(self.root, spawn_key=tuple(key))
