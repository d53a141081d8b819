"""What every method asks of a pair before it measures, and how it refuses what it can't measure."""

from __future__ import annotations

import torch

from tanas.distances.base import Pair
from tanas.ground.errors import NonFiniteError, SettingError


def check_finite(pair: Pair) -> None:
    """Refuses features that are not numbers: every score of them would be none, or a wrong one.

    Raises:
        NonFiniteError: a feature is not finite; the message names the task whose representative gave it.
    """
    for task, tensors in (
        (pair.source, (pair.source_fit, pair.source_gate)),
        (pair.target, (pair.target_fit, pair.target_gate)),
    ):
        if not all(torch.isfinite(tensor).all() for tensor in tensors):
            raise NonFiniteError(
                f"The features that the representative of {task} gives on images of {pair.target} "
                "are not finite. Its weights or the pixels are damaged: make it anew."
            )


def check_classes(pair: Pair, method: str, *, least: int = 1) -> None:
    """Refuses fit rows with too few samples of a class, or of one class only.

    Args:
        pair: whose fit rows are looked at.
        method: that needs them, for the message.
        least: samples that each class needs, where two classes are enough for no more than one.

    Raises:
        SettingError: there are too few; the message names the class.
    """
    counts = torch.bincount(pair.labels_fit, minlength=pair.classes)
    if int((counts > 0).sum()) < 2:
        raise SettingError(
            f"The '{method}' distance needs images of at least two classes of {pair.target} to fit on. "
            f"Its {len(pair.labels_fit)} fit images are all of one class: take more fit images."
        )
    if least > 1 and int(counts.min()) < least:
        raise SettingError(
            f"The '{method}' distance needs at least {least} fit images of each class of {pair.target}. "
            f"Class number {int(counts.argmin())} has {int(counts.min())}: take more fit images, "
            "or another method."
        )
