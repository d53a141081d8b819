"""What every source of a target has in common, computed once in a process and remembered."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

from torch import Tensor

MOST_BYTES = 2**26
"""Kept by a process. A target at 1,024 features takes some 4 MB, and three times as much with intervals."""


class Memory:
    """Tensors by the content of what they were computed from; those unused the longest go first.

    A pair is measured by a pure function that may run in any process: what it remembers is keyed by content
    alone, so that it gives what computing anew would have given, to the byte.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        self._kept: OrderedDict[str, Tensor] = OrderedDict()
        self._lock = Lock()

    def once(self, what: str, of: tuple[object, ...], compute: Callable[[], Tensor]) -> Tensor:
        """What `compute` gives, or gave before for the same content; not to be written to.

        Args:
            what: is computed.
            of: all that it depends on: tensors, and what its `repr` tells apart.
            compute: makes it.
        """
        key = _content(what, *of)
        with self._lock:
            found = self._kept.get(key)
            if found is not None:
                self._kept.move_to_end(key)
                return found
        made = compute()
        with self._lock:
            self._kept[key] = made
            while sum(kept.nbytes for kept in self._kept.values()) > self._most_bytes:
                self._kept.popitem(last=False)
        return made

    def clear(self) -> None:
        """Forgets everything: what comes next costs what it costs alone."""
        with self._lock:
            self._kept.clear()


def _content(*parts: object) -> str:
    """A hash over tensors and other values."""
    total = hashlib.sha256()
    for part in parts:
        if isinstance(part, Tensor):
            total.update(repr((part.dtype, tuple(part.shape))).encode())
            total.update(part.contiguous().numpy().data)
        else:
            total.update(repr(part).encode())
        total.update(b"\0")
    return total.hexdigest()


OF_TARGETS = Memory()
"""Of this process: a matrix measures the sources of one target one after the other."""
