"""How images of a task become the input of another task's representative."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from tanas.ground.errors import SettingError
from tanas.networks.architecture import Shape

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in a grey value. Source: ITU-R BT.601."""


def converted(pixels: Tensor, shape: Shape) -> Tensor:
    """Images in the channels and size that a representative was trained on, (samples, *shape).

    Grey is repeated in each channel, colour becomes its luma. Then the image is stretched by bilinear interpolation,
    with antialiasing where it shrinks. Images of the right shape are returned unchanged.

    Args:
        pixels: float32 in [0, 1], (samples, 1 or 3 channels, height, width).
        shape: (channels, height, width).

    Raises:
        SettingError: the channels can't be converted.
    """
    channels, height, width = shape
    if pixels.shape[1] != channels:
        if pixels.shape[1] == 1:
            pixels = pixels.expand(-1, channels, -1, -1)  # (samples, channels, h, w)
        elif pixels.shape[1] == 3 and channels == 1:
            luma = torch.tensor(LUMA, dtype=pixels.dtype, device=pixels.device)
            pixels = (pixels * luma[:, None, None]).sum(dim=1, keepdim=True)  # (samples, 1, h, w)
        else:
            raise SettingError(
                f"Images of {pixels.shape[1]} channels can't become images of {channels}: "
                "expected grey (1) or colour (3) on both sides."
            )
    if pixels.shape[2:] != (height, width):
        pixels = functional.interpolate(
            pixels, size=(height, width), mode="bilinear", align_corners=False, antialias=True
        )  # (samples, channels, height, width)
    return pixels
