"""Task-aware neural architecture search: a memory of tasks decides where to look for the next one's network.

`tanas.search` and `tanas.load` do what the commands do. They are imported when first used, since torch takes
seconds to import and the command line must answer at once.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tanas.api.search import load, search

__version__ = "0.1.0"

__all__ = ["__version__", "load", "search"]


def __getattr__(name: str) -> Any:
    if name in ("load", "search"):
        value = getattr(importlib.import_module("tanas.api.search"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'tanas' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
