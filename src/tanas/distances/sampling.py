"""Draws of a split's samples that belong to its content, not to the order in which it is stored."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

from tanas.ground.seeds import Seed
from tanas.tasks.task import Split


def drawn(split: Split, most: int | None, seed: Seed) -> Split:
    """A stratified part of a split that does not depend on the order of its samples, in content order.

    Args:
        split: to draw from.
        most: number of samples; None: all.
        seed: of the draw.
    """
    split = split.subset(_content_order(split))
    if most is None or most >= len(split):
        return split
    # by stratum first: where labels follow from strata, all tasks over these images get the same draw
    _, cells = torch.unique(torch.stack([split.strata, split.labels]), dim=1, return_inverse=True)
    positions = Split(split.images, torch.arange(len(split)), cells, cells)
    return split.subset(positions.stratified(most, seed).rows)


def _content_order(split: Split) -> Tensor:
    """Positions sorted by a hash of the pixels, then by stratum and label, (samples,)."""
    store = split.images.numpy()
    hashes = [hashlib.sha256(store[row].tobytes()).digest() for row in split.rows.tolist()]
    strata, labels = split.strata.tolist(), split.labels.tolist()
    order = sorted(range(len(split)), key=lambda at: (hashes[at], strata[at], labels[at]))
    return torch.tensor(order, dtype=torch.int64)
