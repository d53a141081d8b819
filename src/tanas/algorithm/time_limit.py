"""How a time limit is divided between the search and the final training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from tanas.algorithm.presets import SearchConfig
from tanas.ground.context import Context
from tanas.networks.architecture import Architecture, build
from tanas.networks.recipe import in_turn, suited_to
from tanas.spaces.reference import reference_architecture
from tanas.spaces.space import SearchSpace
from tanas.strategies.estimate import seconds_an_image
from tanas.tasks.task import Task

MOST_RESERVED = 0.5
"""Of the time that is left before the search: the final training gets no more of it."""

MOST_LONGER = 4
"""Times the epochs that there are without a limit. With CutMix, twice the steps took 3.6 points off the error on 4,000
small photos and 1.2 on 1,000 drawings (n = 1 each); four times as many were not measured."""

FEW = 0.25
"""Of the usual epochs: with fewer, training longer is worth more than comparisons."""

OVERHEAD = 1.3
"""Of a step of the final training over a bare one: augmentation, averaging, the optimiser, the processor's load."""


CLASSIC_S = 0.004
"""Seconds that the classic methods take for each training and validation image: 2 to 6 ms on five sets of images."""


def for_search(space: SearchSpace, task: Task, config: SearchConfig, at: Context) -> Context:
    """Return a context whose deadline leaves time for a score and the final training; the same one without a limit."""
    if math.isinf(left := at.deadline()):
        return at
    reference, classes = reference_architecture(space, task.shape, len(task.classes)), len(task.classes)
    typical = reference or space.sample(1, seed=at.seed, shape=task.shape, classes=classes)[0]
    known = reference if config.reference else None
    needed = final_seconds(typical, known, task, config, at, epochs=_epochs(task, config))
    scoring, network = config.scoring, build(typical, task.shape, classes, at.seed)
    pace = seconds_an_image(network, task, scoring.training.batch, at.device)
    a_score = pace * scoring.training.epochs * min(len(task.train), scoring.images)
    # the best architecture gets a score after the last round
    kept = min(needed, MOST_RESERVED * left) + a_score
    return replace(at, deadline=lambda: at.deadline() - kept)


def in_time(
    architecture: Architecture,
    reference: Architecture | None,
    task: Task,
    config: SearchConfig,
    at: Context,
    *,
    donors: int = 0,
) -> SearchConfig:
    """Return settings whose final training has as many epochs as the time limit leaves, and say so.

    It has one epoch at least, and at most `MOST_LONGER` times as many as without a limit; a number of epochs that the
    user has fixed is never exceeded. Where less than `FEW` of the usual epochs would be left, the outlook goes. Where
    that is not enough, the first recipe is taken without a competition. A training that is resumed keeps its settings.

    Arguments as for `tanas.algorithm.final.finish`.
    """
    if math.isinf(left := at.deadline()):
        return config
    wanted = _epochs(task, config)
    without = replace(config, outlook=False)
    choices = (config, without, replace(without, recipes=suited_to(config.recipes, task.shape)[:1]))
    left -= CLASSIC_S * (len(task.train) + len(task.validation)) if config.rivals else 0.0
    most = MOST_LONGER * wanted if config.training.meant_for else wanted

    def epochs_of(choice: SearchConfig) -> int:
        needed = final_seconds(architecture, reference, task, choice, at, epochs=wanted, donors=donors)
        return min(max(math.floor(wanted * left / needed), 1), most)

    kept: tuple[int, int] | None = at.checkpoint.load("in time")
    if kept is None:
        places = ((place, epochs_of(choice)) for place, choice in enumerate(choices))
        kept = next(each for each in places if each[1] >= FEW * wanted or each[0] == len(choices) - 1)
        at.checkpoint.save("in time", kept)
    place, epochs = kept
    if epochs != wanted:
        at.say(
            f"The time limit leaves {epochs} epochs for the final training; without it there are {wanted}."
        )
    if config.outlook and not choices[place].outlook:
        at.say("The time limit leaves no time for the outlook: what more images and epochs would bring.")
    if place == len(choices) - 1 and len(suited_to(config.recipes, task.shape)) > 1:
        at.say(f"The time limit leaves no time to compare recipes: '{choices[place].recipes[0]}' is taken.")
    return with_epochs(choices[place], epochs)


def with_epochs(config: SearchConfig, epochs: int) -> SearchConfig:
    """Return the settings with so many epochs of final training, however many images there are."""
    return replace(config, training=replace(config.training, epochs=epochs, least_steps=0, meant_for=0))


def final_seconds(
    architecture: Architecture,
    reference: Architecture | None,
    task: Task,
    config: SearchConfig,
    at: Context,
    *,
    epochs: int,
    donors: int = 0,
) -> float:
    """Return how long the final training will take, from a few steps of each network that are timed now."""
    networks = [architecture] if reference is None else [architecture, reference]
    halves = []
    for network in networks:
        built = build(network, task.shape, len(task.classes), at.seed)
        pace = seconds_an_image(built, task, config.training.batch, at.device)
        halves.append(OVERHEAD * pace * len(task.train) * epochs / 2)
    found, judged = halves[0], halves[-1]
    refit = 1 + len(task.validation) / len(task.train) if config.refit else 0.0  # of a half
    recipes = suited_to(config.recipes, task.shape)
    at_once = in_turn(recipes)
    then = max(len(in_turn(recipes, leader)) for leader in at_once)
    competition = sum(math.ceil(tries / at.workers) for tries in (len(at_once), donors, then)) * judged
    fewer = judged if config.outlook else 0.0
    rest = [0.0 if reference is None else 2 * found, judged, refit * judged, fewer]
    last = 0.0 if reference is None else refit * found
    return competition + _side_by_side(rest, at.workers) + last


def _side_by_side(jobs: Sequence[float], workers: int) -> float:
    return max(max(jobs), sum(jobs) / workers)


def _epochs(task: Task, config: SearchConfig) -> int:
    return config.training.suited_to(len(task.train)).epochs
