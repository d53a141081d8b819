"""Images in groups that belong together, such as the frames of one traffic sign: a group is on one side of a split."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from tanas.ground.records import write_bytes
from tanas.ground.seeds import Seed
from tanas.tasks.task import Task

SHARE = 0.2
"""Of the images of a class, for validation."""


def write_official(source: Path, path: Path) -> None:
    """Write an .npz with a field `test` so that tanas keeps its test split; a file that is there is left as it is."""
    if path.exists():
        return
    with np.load(source, allow_pickle=False) as file:
        x, y, test, classes = (file[name] for name in ("x", "y", "test", "classes"))
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, x_train=x[~test], y_train=y[~test], x_test=x[test], y_test=y[test], classes=classes
    )
    write_bytes(path, buffer.getvalue())


def by_track(task: Task, source: Path, seed: Seed) -> Task:
    """A task whose validation images are of other tracks than its training images.

    Of each class, tracks are drawn until they hold `SHARE` of its images; one stays for training.

    Args:
        task: of the images in the source.
        source: an .npz with the fields `x`, (images, height, width, channels), and `track`.
        seed: of the draw.
    """
    with np.load(source, allow_pickle=False) as file:
        tracks = {image.tobytes(): int(track) for image, track in zip(file["x"], file["track"], strict=True)}
    every = task.train.joined(task.validation)
    images = every.images[every.rows].movedim(1, 3).contiguous().numpy()  # (images, height, width, channels)
    own = torch.tensor([tracks[image.tobytes()] for image in images])
    held = torch.zeros(len(every), dtype=torch.bool)
    for label in range(len(task.classes)):
        of_class = every.labels == label
        there = torch.unique(own[of_class])
        drawn = there[torch.randperm(len(there), generator=seed.child(str(label)).torch())][:-1]
        for track in drawn:
            if int((held & of_class).sum()) >= SHARE * int(of_class.sum()):
                break
            held |= of_class & (own == track)
    return replace(task, train=every.subset(~held), validation=every.subset(held))
