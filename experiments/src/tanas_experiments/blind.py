"""What of a matrix's stability is the targets' alone: how far one number a target, blind to sources, would get.

Some targets are hard to reach from anywhere and some easy, whoever the source is. Over all pairs two matrices then
agree even if neither tells one source from another. So their agreement is held against that of one number a target.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import permutations

import numpy as np
import numpy.typing as npt

from tanas.distances.representative import UNTRAINED
from tanas_experiments.figure2 import Figure2Record, SeedRun
from tanas_experiments.rankings import spearman

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Foretold:
    """How well something made from one seed orders another seed's pairs, over all two and two seeds, both ways."""

    what: str
    mean: float
    """Of Spearman's correlation over all pairs of two different tasks."""
    least: float
    within: float | None
    """Mean of the correlations within a target; None: it does not tell sources apart."""


def foretold(record: Figure2Record) -> tuple[Foretold, ...]:
    """The distances of a seed, and one number a target made from it, against the distances of another seed.

    Args:
        record: of at least two seeds; of fewer there is nothing to compare.
    """
    orders = record.numbers()  # (seeds, sources, targets)
    between = ~np.eye(orders.shape[1], dtype=bool)

    def own(seed: int) -> Floats:
        return np.asarray(orders[seed])

    def mean_of_target(seed: int) -> Floats:
        means = np.where(between, orders[seed], np.nan)
        return np.broadcast_to(np.nanmean(means, axis=0), orders[seed].shape)

    def untrained(seed: int) -> Floats:
        columns = record.runs[seed].columns[: orders.shape[2]]
        reached = [column.sources[UNTRAINED].order for column in columns]
        return np.broadcast_to(np.array(reached), orders[seed].shape)

    ways: tuple[tuple[str, Callable[[int], Floats], bool], ...] = (
        ("the distances of a seed", own, True),
        ("one number a target: its mean distance", mean_of_target, False),
        ("one number a target: the distance from an untrained network", untrained, False),
    )
    found = []
    for what, made, tells in ways:
        plain, inside = [], []
        for a, b in permutations(range(len(orders)), 2):
            guess, truth = made(a), orders[b]
            plain.append(spearman(guess[between].tolist(), truth[between].tolist()) or 0.0)
            for target in range(truth.shape[1]):
                rows = between[:, target]
                one = spearman(guess[rows, target].tolist(), truth[rows, target].tolist())
                inside.append(one or 0.0)
        if plain:
            within = float(np.mean(inside)) if tells else None
            found.append(Foretold(what=what, mean=float(np.mean(plain)), least=min(plain), within=within))
    return tuple(found)


def coverage(record: Figure2Record) -> tuple[int, int]:
    """How often an interval of one seed holds the distance that another seed's representatives gave.

    Returns:
        (held, compared) over all pairs of two different base tasks and all two and two seeds, both ways.
    """
    names = [task.name for task in record.tasks]

    def holds(first: SeedRun, second: SeedRun) -> list[bool]:
        kept = []
        for at, target in enumerate(names):
            for source in names:
                interval = first.columns[at].sources[source].interval
                if source == target or interval is None:
                    continue
                other = max(second.columns[at].sources[source].order, 0.0)  # intervals are not below 0
                kept.append(interval[0] <= other <= interval[1])
        return kept

    told = [held for a, b in permutations(record.runs, 2) for held in holds(a, b)]
    return sum(told), len(told)


def blind_text(record: Figure2Record) -> str:
    """A part of the page, Markdown; empty for a single seed."""
    found = foretold(record)
    if not found:
        return ""
    lines = [
        "How much of the agreement between seeds is the targets' alone? Some are hard to reach from anywhere. What a "
        "number a target, which tells no source from another, would come to:",
        "",
        "| what orders another seed's pairs | Spearman over all pairs, mean (least) | mean within a target |",
        "| --- | ---: | ---: |",
        *(
            f"| {one.what} | {one.mean:.3f} ({one.least:.3f}) | {'-' if one.within is None else f'{one.within:.2f}'} |"
            for one in found
        ),
    ]
    held, compared = coverage(record)
    if compared and record.interval_level is not None:
        lines += [
            "",
            f"The {record.interval_level:.0%} intervals of one seed are over images and maps, not over the training of "
            "the representatives: they hold the distance that another seed's representatives gave in "
            f"{held / compared:.0%} of {compared} cases.",
        ]
    return "\n".join(lines)
