"""The test split of a task, for tests that look at it."""

from __future__ import annotations

from tanas.tasks.task import Split, Task


def opened(task: Task) -> Split:
    return task.sealed()[1].open()
