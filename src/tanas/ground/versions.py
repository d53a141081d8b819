"""Versions of everything that decides numbers, and the machine they were made on."""

from __future__ import annotations

import platform
from importlib.metadata import version


def versions() -> dict[str, str]:
    """Of Python, tanas and the libraries that decide numbers."""
    names = ("tanas", "torch", "torchvision", "numpy", "scikit-learn")
    return {"python": platform.python_version()} | {name: version(name) for name in names}


def processor() -> str:
    """The processor's name, if the system tells it, else its architecture."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as lines:
            names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()
