"""The devices that networks can be trained on."""

from __future__ import annotations

import os

import torch

from tanas.ground.errors import SettingError, check_choice

DEVICES = ("auto", "cpu", "cuda", "mps")


def choose_device(name: str) -> str:
    """The device of a name; 'auto' takes CUDA if present, else MPS, else the CPU.

    Raises:
        SettingError: the name is unknown, or this machine has no such device.
    """
    check_choice(name, "device", "the command", DEVICES)
    present = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if name == "auto":
        return next(device for device, there in present.items() if there)
    if not present[name]:
        raise SettingError(
            f"This machine, or this build of torch, has no device '{name}'. Take the device 'auto'."
        )
    return name


def processors() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
