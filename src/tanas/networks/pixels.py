"""Images as people hold them -> pixels as networks take them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from tanas.ground.errors import DataError
from tanas.networks.architecture import Shape

Images = npt.ArrayLike | Tensor
"""uint8, or floats in [0, 1]; one image or many, channels first or last, a grey one also without channels."""


def as_pixels(images: Images, shape: Shape) -> Tensor:
    """Images in the layout of networks: float32 in [0, 1], (n, channels, height, width).

    Args:
        images: uint8 or floats in [0, 1]: (n, h, w) if grey, (n, c, h, w) or (n, h, w, c), or one image without n.
        shape: (channels, height, width) that each must have; nothing is resized.

    Raises:
        DataError: another shape or type, or values outside their range.
    """
    channels, height, width = shape
    array = _array_of(images)
    readings: list[npt.NDArray[np.float32]] = []
    if array.ndim in (2, 3) and channels == 1 and array.shape[-2:] == (height, width):
        readings.append(array.reshape(-1, 1, height, width))
    if array.ndim in (3, 4) and array.shape[-3:] == (channels, height, width):
        readings.append(array.reshape(-1, channels, height, width))
    if array.ndim in (3, 4) and array.shape[-3:] == (height, width, channels):
        readings.append(array.reshape(-1, height, width, channels).transpose(0, 3, 1, 2))
    if not readings:
        raise DataError(
            f"Images of shape {array.shape} don't fit: this network takes {_described(shape)}, "
            "or one image without n. Convert and resize them first; arrays are not resized."
        )
    if channels > 1 and len(readings) > 1:  # with one channel, all readings hold the same pixels
        raise DataError(
            f"Images of shape {array.shape} are ambiguous: channels may come first or last, because all of {shape} "
            "are equal. Enlarge the images of the task."
        )
    return torch.tensor(np.ascontiguousarray(readings[0]))


def _array_of(images: Images) -> npt.NDArray[np.float32]:
    """Values as float32 in [0, 1], in the shape they came in."""
    if isinstance(images, Tensor):
        kept = images.detach().cpu()
        images = (kept.float() if kept.dtype == torch.bfloat16 else kept).numpy()  # numpy has no bfloat16
    try:
        array = np.asarray(images)
    except ValueError as error:
        raise DataError(
            f"The images don't form an array: they differ in shape ({error}). Resize them."
        ) from error
    if array.dtype == np.uint8:
        return array.astype(np.float32) / np.float32(255)
    if not np.issubdtype(array.dtype, np.floating):
        raise DataError(
            f"Images must be uint8, or floats in [0, 1]. Got {array.dtype} instead. "
            "Convert them with .astype('uint8') if they run from 0 to 255."
        )
    if array.size:
        low, high = float(array.min()), float(array.max())
        if not (low >= 0 and high <= 1):
            raise DataError(
                f"Images must be uint8, or floats in [0, 1]. Got {array.dtype} from {low:g} to {high:g} "
                "instead. Divide them by their highest possible value."
            )
    return array.astype(np.float32)


def _described(shape: Shape) -> str:
    """What images of a shape look like, and the layouts that their arrays can have."""
    channels, height, width = shape
    kind = {1: "grey", 3: "colour"}.get(channels, f"{channels}-channel")
    grey = f"(n, {height}, {width}) or " if channels == 1 else ""
    return (
        f"{kind} {height}x{width} (height x width) images, as {grey}(n, {channels}, {height}, {width}) or "
        f"(n, {height}, {width}, {channels})"
    )
