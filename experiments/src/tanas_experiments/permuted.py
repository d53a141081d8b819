"""Images whose pixels all changed places in the same way: a task on which convolution is no help."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np

from tanas.ground.records import write_bytes
from tanas.ground.seeds import Seed
from tanas.tasks.task import Split, Task
from tanas_experiments.opened import opened


def write_permuted(task: Task, path: Path, *, seed: Seed, train: int, test: int) -> None:
    """Writes a task with its pixels permuted as an .npz that `npz:PATH` reads.

    The training and validation images go into its training part together, so that a split of it is made as for any
    other source. A file that is there is left as it is.

    Args:
        task: with its test split.
        path: of the .npz.
        seed: of the permutation and of the draw of the images.
        train: most images of its training part, stratified.
        test: most images of its test part, stratified.
    """
    if path.exists():
        return
    height, width = task.shape[1:]
    order = seed.child("pixels").numpy().permutation(height * width)

    def part(*splits: Split) -> tuple[np.ndarray, np.ndarray]:
        images = np.concatenate([split.images[split.rows].numpy() for split in splits])  # (images, c, h, w)
        flat = images.reshape(*images.shape[:2], -1)[:, :, order]  # (images, c, h * w)
        labels = np.concatenate([split.labels.numpy() for split in splits])
        return np.moveaxis(flat.reshape(images.shape), 1, 3), labels

    share = len(task.validation) / (len(task.train) + len(task.validation))
    kept = round(train * share)
    x_train, y_train = part(
        task.train.stratified(train - kept, seed.child("train")),
        task.validation.stratified(kept, seed.child("validation")),
    )
    x_test, y_test = part(opened(task).stratified(test, seed.child("test")))
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, x_train=x_train, y_train=y_train, x_test=x_test, y_test=y_test, classes=np.array(task.classes)
    )
    write_bytes(path, buffer.getvalue())
