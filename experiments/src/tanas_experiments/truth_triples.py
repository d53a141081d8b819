"""Triples of architectures of the table, compared by alpha and, at equal cost, by short separate trainings."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations

from tanas.ground.context import Context
from tanas.ground.errors import NonFiniteError
from tanas.ground.events import Listener, ignore
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture, build, cost_of
from tanas.networks.scoring import Judgement, judged
from tanas.networks.training import fit
from tanas.strategies.base import training_macs
from tanas.strategies.mixture import Mixture
from tanas.strategies.schedules import Schedule
from tanas.tasks.task import Task
from tanas_experiments.truth import Triple


def draw_triples(positions: Sequence[int], count: int, seed: Seed) -> tuple[tuple[int, ...], ...]:
    """Different triples of architectures, each as likely as any other; the first of many are those that fewer are.

    Args:
        positions: to draw from.
        count: how many; fewer are given if there are no more.
        seed: of the draw.
    """
    every = math.comb(len(positions), 3)
    if every <= count:
        return tuple(combinations(positions, 3))
    generator = seed.numpy()
    drawn: dict[tuple[int, ...], tuple[int, ...]] = {}  # sorted, and as drawn
    while len(drawn) < count:
        places = generator.choice(len(positions), size=3, replace=False)
        triple = tuple(positions[int(place)] for place in places)
        drawn.setdefault(tuple(sorted(triple)), triple)
    return tuple(drawn.values())


def compare(
    candidates: Sequence[Architecture],
    task: Task,
    schedule: Schedule,
    *,
    target: str,
    number: int,
    positions: tuple[int, ...],
    seed: Seed,
    listener: Listener = ignore,
) -> Triple:
    """Compares architectures by one round of FUSE, and by separate trainings of as many epochs by the same recipe.

    A candidate that the round drops was trained on fewer images there; its separate training is as long as the
    others'.

    Args:
        candidates: at least two.
        task: what for; its test split is out of reach.
        schedule: of the round.
        target: short name of the task, for the record.
        number: of the triple, for the record.
        positions: of the candidates in the table, for the record.
        seed: of weights and orders.
        listener: is told of the trainings.
    """
    task = task.without_test()
    classes = len(task.classes)
    macs = [cost_of(one, task.shape, classes).macs for one in candidates]
    at = Context(seed=seed, listener=listener)

    began = time.process_time()
    mixture = Mixture(candidates, task, at.drawing("alpha"))
    schedule.run(mixture, task, at.drawing("order"))
    alpha_s = time.process_time() - began

    began = time.process_time()
    epochs = max(mixture.images_seen) // len(task.train)  # as many as the round has taken
    training = replace(schedule.training, epochs=epochs)
    verdicts: list[Judgement | None] = []
    for place, one in enumerate(candidates):
        apart = at.drawing("separate", place)
        network = build(one, task.shape, classes, apart.seed.child("weights"))
        try:
            fit(network, task.train, training, classes=classes, at=apart.drawing("order"))
            verdicts.append(judged(network, task))
        except NonFiniteError:
            verdicts.append(None)
    separate_s = time.process_time() - began
    return Triple(
        target=target,
        number=number,
        positions=positions,
        weights=tuple(round(weight, 5) for weight in mixture.weights.tolist()),
        alpha_macs=sum(
            training_macs(each, images) for each, images in zip(macs, mixture.images_seen, strict=True)
        ),
        alpha_s=round(alpha_s, 1),
        separate=tuple(None if one is None else round(one.score, 5) for one in verdicts),
        separate_losses=tuple(None if one is None else round(one.loss, 5) for one in verdicts),
        separate_macs=sum(training_macs(each, training.epochs * len(task.train)) for each in macs),
        separate_s=round(separate_s, 1),
    )
