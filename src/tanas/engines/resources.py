"""How much of the machine a command uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from tanas.engines.local import LocalEngine, limited_threads
from tanas.ground.devices import choose_device, processors
from tanas.ground.errors import check_range
from tanas.ground.events import Listener


@dataclass(frozen=True, kw_only=True)
class Resources:
    """How much of the machine is used."""

    device: str = "auto"
    """'auto', 'cpu', 'cuda' or 'mps'."""
    threads: int = 1
    """Within the training of one network. Results repeat to the bit only with the same number, because it sets the
    order of sums. More than one helps large networks on an idle machine, and slows training on a busy one."""
    workers: int | None = None
    """Candidates, distances and atoms computed side by side, one thread each; None: one a processor. Results do not
    depend on it."""

    def __post_init__(self) -> None:
        for name in ("threads", "workers"):
            if (value := getattr(self, name)) is not None:
                check_range(value, name, "Resources", low=1)


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where a command computes, and what listens to it."""

    resources: Resources
    engine: LocalEngine
    """Runs jobs side by side."""
    listener: Listener

    @property
    def device(self) -> str:
        """The device that networks are trained on."""
        return choose_device(self.resources.device)

    @property
    def workers(self) -> int:
        """The number of jobs at a time."""
        return self.resources.workers or processors()


@contextmanager
def local_engine(resources: Resources) -> Iterator[LocalEngine]:
    """The engine of a command, while this process has the threads that the resources give it."""
    workers = resources.workers or processors()
    with limited_threads(resources.threads), LocalEngine(workers) as engine:
        yield engine
