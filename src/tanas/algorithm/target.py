"""The new task with its test split sealed, and the settings that suit its size."""

from __future__ import annotations

from dataclasses import dataclass

from tanas.algorithm.presets import SearchConfig
from tanas.ground.context import Context
from tanas.spaces.latency import MeasuredLatency
from tanas.tasks.task import Sealed, Split, Task


@dataclass(frozen=True, eq=False, kw_only=True)
class Target:
    """The task of a search, and the settings."""

    task: Task
    """All images except the test split."""
    sealed: Sealed
    """The test split; only the final training opens it."""
    searched: Task
    """The task with the images that the search uses."""
    config: SearchConfig
    latency: MeasuredLatency
    """Measures how long architectures take."""

    @classmethod
    def of(cls, task: Task, config: SearchConfig, at: Context) -> Target:
        """Seal the test split, cap the images and adapt the settings; tell what a user should know of the images."""
        task, sealed = task.measured_by(config.performance).sealed()
        searched = task.limited(config.limit)
        for note in searched.notes:
            at.say(note)
        warn_of_gaps(searched, "validation", searched.validation, at)
        used, available = len(searched.train), len(task.train)
        if available > used:
            at.say(
                f"The search uses {used:,} of the {available:,} training images of {task.name} (the setting 'limit'); "
                "the final training uses them all."
            )
        config, latency = config.suited_to(used), MeasuredLatency.of(at)
        return cls(task=task, sealed=sealed, searched=searched, config=config, latency=latency)


def warn_of_gaps(task: Task, name: str, split: Split, at: Context) -> None:
    """Warn about classes without an image in a split, because its figures say nothing about them."""
    present = set(split.labels.tolist())
    if missing := [repr(label) for place, label in enumerate(task.classes) if place not in present]:
        at.warn(
            f"{task.name} has no {name} image of {', '.join(missing)}: {name} figures say nothing about that class. "
            "Give each class at least five images."
        )
