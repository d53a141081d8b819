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
"""Candidates that are timed for an estimate: their steps take 0.5 to 2 times the mean of a space, so the mean of four
is mostly within a third of it."""
TIMED_S = 0.2
"""Least seconds for which a network is timed: one step alone is too short to time on a busy machine."""
MOST_TIMED_STEPS = 10
"""Of a network whose step takes milliseconds: enough for a mean."""


def seconds_an_image(network: nn.Module, task: Task, batch: int, device: str) -> float:
    """Seconds of training per image, from steps whose gradients are thrown away.

    The network is moved to the device; its state does not change.
    """
    network.to(device)
    images, steps = min(batch, len(task.train)), list[float]()
    with torch.random.fork_rng(devices=[]):  # dropout draws
        while sum(steps) < TIMED_S and len(steps) < MOST_TIMED_STEPS:
            steps.append(seconds_a_step(network, task.train, images, device))
    return sum(steps) / (len(steps) * images)


def examples_of(space: SearchSpace, task: Task, *, seed: Seed) -> tuple[Architecture, ...]:
    """Draw candidates of a space to time; a limit of latency is ignored, because it would have to be measured first."""
    free = replace(space, max_latency_ms=None)
    return free.sample(TIMED, seed=seed, shape=task.shape, classes=len(task.classes))


def mean_pace(
    candidates: Sequence[Architecture], task: Task, batch: int, *, seed: Seed, device: str
) -> float:
    """Mean seconds of training per image over a few candidates, whose weights the seed draws."""
    classes, shape = len(task.classes), task.shape
    networks = (build(candidate, shape, classes, seed) for candidate in candidates)
    paces = [seconds_an_image(network, task, batch, device) for network in networks]
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
    """Expected seconds of a search from its beginning, if only its rounds or its budget end it.

    The examples are timed in one thread each, as candidates are trained, in steps of `batch` images; the seed of `at`
    draws their weights.
    """
    images = strategy.expected_images(space, task, at.workers)
    if budget_macs is not None:
        costs = [cost_of(example, task.shape, len(task.classes)).macs for example in examples]
        images = min(images, budget_macs * len(costs) / training_macs(sum(costs), at.workers))
    with side_by_side(1):
        return images * mean_pace(examples, task, batch, seed=at.seed, device=at.device)
