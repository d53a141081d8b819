"""Records of Figure 2 made from matrices whose truth is known."""

from __future__ import annotations

import numpy as np

from tanas.distances.representative import UNTRAINED
from tanas.ground.records import SCHEMA
from tanas_experiments.figure2 import (
    KIND,
    Column,
    Figure2Record,
    Measured,
    RepresentativeLine,
    SeedRun,
    TaskLine,
)
from tanas_experiments.statements import Matrices

FIVE_AND_FIVE = ("MNIST",) * 5 + ("Fashion-MNIST",) * 5


def matrices_of(orders, groups=FIVE_AND_FIVE):
    """Matrices of tasks t0, t1 and so on; a 2-d array is one seed's."""
    orders = np.array(orders, dtype=float)
    orders = orders[None] if orders.ndim == 2 else orders
    tasks = tuple(f"t{at}" for at in range(len(groups)))
    return Matrices(tasks=tasks, groups=groups, values=np.clip(orders, 0, 1), orders=orders)


def blocks(within, there, back, groups=FIVE_AND_FIVE):
    """One number within each data set, one from the first to the second, one back; 0 on the diagonal."""
    first = np.array([group == groups[0] for group in groups])
    orders = np.full((len(groups), len(groups)), float(within))
    orders[np.ix_(first, ~first)] = there
    orders[np.ix_(~first, first)] = back
    np.fill_diagonal(orders, 0)
    return orders


def noisy(orders, seeds, scale, *, seed=0):
    """The same matrix for several seeds with noise off the diagonal."""
    draw = np.random.default_rng(seed)
    noise = draw.normal(0, scale, (seeds, *orders.shape)) * ~np.eye(len(orders), dtype=bool)
    return orders + noise


def cell(order):
    """A measured distance with an interval around it."""
    value = min(max(order, 0.0), 1.0)
    return Measured(value=value, order=order, interval=(0.9 * value, value))


def record_of(orders, groups=("MNIST", "MNIST", "Fashion-MNIST", "Fashion-MNIST")):
    """A record without statements from (seeds, tasks, tasks), with an untrained network at 0.9."""
    names = [f"t{at}" for at in range(len(groups))]

    def columns(matrix):
        return tuple(
            Column(
                target=target,
                sources={source: cell(float(matrix[row, at])) for row, source in enumerate(names)}
                | {UNTRAINED: cell(0.9)},
            )
            for at, target in enumerate(names)
        )

    runs = tuple(
        SeedRun(
            seed=seed,
            representatives=tuple(
                RepresentativeLine(task=name, performance=0.97, weak=False, epochs=4, took_s=1.0)
                for name in names
            ),
            columns=columns(matrix),
            redrawn=(Column(target="t0, half 1", sources={"t0, half 2": cell(0.1), "t1": cell(0.2)}),),
            represent_s=4.0,
            distance_s=8.0,
        )
        for seed, matrix in enumerate(orders)
    )
    return Figure2Record(
        kind=KIND,
        schema=SCHEMA,
        scale="smoke",
        method="transform",
        command="tanas reproduce figure2 --scale smoke --seeds 2",
        n=len(runs),
        seeds=tuple(range(len(runs))),
        hardware={"processor": "a processor", "cores": 2},
        versions={"python": "3.11", "torch": "2.9"},
        tasks=tuple(
            TaskLine(name=name, group=group, train=100, validation=50)
            for name, group in zip(names, groups, strict=True)
        ),
        targets=(),
        interval_level=0.9,
        statements=(),
        mean=columns(np.mean(orders, axis=0)),
        runs=runs,
        config={},
    )
