"""What the starter memory brings: whole searches with it and with an empty memory, on the same data and seeds."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tanas.algorithm.result import Result
from tanas.ground.records import SCHEMA
from tanas_experiments.markdown import effect, provenance, table, verdict
from tanas_experiments.paired import PairedDifference, paired

GAIN_KIND = "starter gain"
EMPTY, STARTER = "no memory", "starter"
ARMS = (EMPTY, STARTER)


@dataclass(frozen=True, kw_only=True)
class GainRow:
    """One search. Errors are shares in [0, 1], on the test split."""

    target: str
    seed: int
    arm: str
    """Of `ARMS`."""
    error: float
    balanced_error: float
    atom: str
    """Whose weights the network that was handed over began with; empty: new weights."""
    recipe: str
    parameters: int
    took_s: Mapping[str, float]
    """Seconds by phase, and in all."""


@dataclass(frozen=True, kw_only=True)
class GainRecord:
    """What records/starter-gain.json holds."""

    kind: str = GAIN_KIND
    schema: int = SCHEMA
    command: str
    n: int
    """Seeds of a target."""
    hardware: Mapping[str, Any]
    versions: Mapping[str, str]
    rows: tuple[GainRow, ...]


def gain_row(target: str, arm: str, result: Result) -> GainRow:
    """The row of a finished search."""
    costs = result.costs
    phases = {
        "represent": costs.represent_s,
        "distance": costs.distance_s,
        "search": costs.search_s,
        "train": costs.train_s,
        "total": costs.total_s,
    }
    return GainRow(
        target=target,
        seed=result.seed,
        arm=arm,
        error=result.metrics.test_error,
        balanced_error=result.metrics.test_balanced_error,
        atom="" if result.beginning is None else result.beginning.atom,
        recipe=result.training.recipe,
        parameters=result.parameters,
        took_s={name: round(seconds, 1) for name, seconds in phases.items()},
    )


def gain_page(record: GainRecord) -> str:
    """The part of the page, Markdown."""
    lines, errors = [], {arm: list[float]() for arm in ARMS}
    for target in dict.fromkeys(row.target for row in record.rows):
        both = _both(record.rows, target)
        if both is None:
            continue
        for arm, rows in both.items():
            errors[arm].append(statistics.fmean(row.balanced_error for row in rows))
        atoms = dict.fromkeys(row.atom or "new weights" for row in both[STARTER])
        cells = [f"{100 * errors[arm][-1]:.1f}" for arm in ARMS]
        lines.append([f"{target} images", *cells, ", ".join(atoms)])
    if not lines:
        return "Nothing has been measured yet.\n"
    found = paired(errors[STARTER], errors[EMPTY])
    head = ["target", "no memory", "starter", "weights of"]
    parts = [
        "## What does the starter memory bring to a whole search?",
        f"- **{verdict(found)}: {effect(found, 'points of balanced test error')}** "
        f"({len(lines)} targets, seeds: n = {record.n} each).",
        table(head, lines),
        "Balanced test error in percent, default preset. Networks that share an image or a class with a target are "
        f"left out of its memory. {provenance(record.command, record.hardware, record.versions)}",
    ]
    return "\n\n".join(parts) + "\n"


def gain_of_starter(record: GainRecord) -> PairedDifference:
    """Balanced errors with the starter memory minus those with no memory, over targets: negative is better."""
    pairs = [
        both
        for target in dict.fromkeys(row.target for row in record.rows)
        if (both := _both(record.rows, target))
    ]
    means = {
        arm: [statistics.fmean(row.balanced_error for row in both[arm]) for both in pairs] for arm in ARMS
    }
    return paired(means[EMPTY], means[STARTER])


def _both(rows: Sequence[GainRow], target: str) -> dict[str, list[GainRow]] | None:
    """The searches of a target by arm, of the seeds that both arms have; None: there is no such seed."""
    by = {arm: {row.seed: row for row in rows if (row.target, row.arm) == (target, arm)} for arm in ARMS}
    seeds = sorted(set.intersection(*(set(of_arm) for of_arm in by.values())))
    return {arm: [by[arm][seed] for seed in seeds] for arm in ARMS} if seeds else None
