"""The test split of a task, for experiments, which test many networks on it after all are trained."""

from __future__ import annotations

from tanas.tasks.task import Split, Task


def opened(task: Task) -> Split:
    """The test split."""
    return task.sealed()[1].open()
