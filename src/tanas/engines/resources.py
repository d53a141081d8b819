"""What of the machine a command uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tanas.engines.local import LocalEngine, limited_threads
from tanas.ground.devices import processors
from tanas.ground.errors import check_range


@dataclass(frozen=True, kw_only=True)
class Resources:
    """What of the machine is used."""

    device: str = "auto"
    """'auto', 'cpu', 'cuda' or 'mps'."""
    threads: int = 1
    """Within the training of one network. Sums are added in another order with another number, so results
    repeat to the bit only with the same. More than one helps large networks on an idle machine; on a busy
    one threads that wait for each other cost many times what they gain."""
    workers: int | None = None
    """Candidates, distances and atoms that are computed side by side, one thread each; None: one a processor.
    Results do not depend on it."""

    def __post_init__(self) -> None:
        for name in ("threads", "workers"):
            if (value := getattr(self, name)) is not None:
                check_range(value, name, "Resources", low=1)


@contextmanager
def local_engine(resources: Resources) -> Iterator[LocalEngine]:
    """The engine that a command runs its jobs on, and this process's threads, as the resources say."""
    with (
        limited_threads(resources.threads),
        LocalEngine(resources.workers or processors(), threads=1) as engine,
    ):
        yield engine
