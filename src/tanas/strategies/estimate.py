"""How long a search will take, from a few training steps that are timed before it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import nn

from tanas.ground.context import Context
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture, build, cost_of
from tanas.networks.training import seconds_a_step
from tanas.spaces.space import SearchSpace
from tanas.strategies.base import training_macs
from tanas.strategies.driver import Strategy
from tanas.strategies.mixture import side_by_side
from tanas.tasks.task import Task

TIMED = 4
"""Candidates that are timed for an estimate: their steps take 0.5 to 2 times the mean of a space, so that the
mean of four is mostly within a third of it."""
TIMED_S = 0.2
"""Least seconds for which a network is timed. On a busy machine one step alone comes out too short: it runs
before the others have their turn."""
MOST_TIMED_STEPS = 10
"""Of a network whose step takes milliseconds: enough for a mean."""


def seconds_an_image(network: nn.Module, task: Task, batch: int, device: str) -> float:
    """Seconds that a network is trained on an image, from steps whose gradients are thrown away.

    Args:
        network: it is moved to the device; its state does not change.
        task: gives the images.
        batch: images of a step.
        device: where it is trained.
    """
    network.to(device)
    images, steps = min(batch, len(task.train)), list[float]()
    with torch.random.fork_rng(devices=[]):  # dropout draws
        while sum(steps) < TIMED_S and len(steps) < MOST_TIMED_STEPS:
            steps.append(seconds_a_step(network, task.train, images, device))
    return sum(steps) / (len(steps) * images)


def examples_of(space: SearchSpace, task: Task, *, seed: Seed) -> tuple[Architecture, ...]:
    """Candidates of a space that are timed; a limit of latency is left out, as it would have to be measured first."""
    free = replace(space, max_latency_ms=None)
    return free.sample(TIMED, seed=seed, shape=task.shape, classes=len(task.classes))


def mean_pace(
    candidates: Sequence[Architecture], task: Task, batch: int, *, seed: Seed, device: str
) -> float:
    """Seconds that a candidate is trained on an image: the mean of a few.

    Args:
        candidates: that are timed.
        task: gives the images.
        batch: images of a step.
        seed: of the weights; it decides nothing else.
        device: where they are trained.
    """
    classes, shape = len(task.classes), task.shape
    paces = [seconds_an_image(build(one, shape, classes, seed), task, batch, device) for one in candidates]
    return sum(paces) / len(paces)


def expected_seconds(
    strategy: Strategy,
    space: SearchSpace,
    task: Task,
    examples: Sequence[Architecture],
    at: Context,
    *,
    batch: int,
    budget_macs: int | None,
) -> float:
    """About how long a search takes from its beginning, if nothing ends it before its rounds or its budget do.

    Args:
        strategy: that will search.
        space: where.
        task: what for.
        examples: candidates that are timed, in one thread each, as candidates are trained.
        at: its seed is that of the weights of what is timed.
        batch: images of a training step.
        budget_macs: of the search; None: no limit.
    """
    images = strategy.expected_images(space, task, at.workers)
    if budget_macs is not None:
        costs = [cost_of(one, task.shape, len(task.classes)).macs for one in examples]
        images = min(images, budget_macs * len(costs) / training_macs(sum(costs), at.workers))
    with side_by_side(1):
        return images * mean_pace(examples, task, batch, seed=at.seed, device=at.device)
