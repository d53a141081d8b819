"""Tensors that are computed once in a process and kept while memory lasts."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

from torch import Tensor


class Memory:
    """Tensors by the content that they were computed from; the longest unused go first.

    A pair is measured by a pure function in any process. Keys are contents, so what is remembered equals what
    computing it anew would give, to the byte. The default size holds the features of one target and its sources.
    """

    def __init__(self, most_bytes: int = 2**29) -> None:
        self._most_bytes = most_bytes
        self._kept: OrderedDict[str, Tensor] = OrderedDict()
        self._lock = Lock()

    def once(self, what: str, of: tuple[object, ...], compute: Callable[[], Tensor]) -> Tensor:
        """What `compute` gives, or gave before; not to be written to.

        Args:
            what: name of the result.
            of: all that it depends on: tensors, and values that differ in their `repr`.
            compute: makes it.
        """
        key = _content(what, *of)
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = compute()
        with self._lock:
            self._kept[key] = made
            while sum(kept.nbytes for kept in self._kept.values()) > self._most_bytes:
                self._kept.popitem(last=False)
        return made

    def clear(self) -> None:
        """Forget everything."""
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


OF_TARGETS = Memory(2**26)
"""What all sources of a target share: 4 MB a target at 1,024 features, 12 MB with intervals."""
