"""What a search hands over, beside no search and classic methods: `run/targets.py` measures it."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tanas.algorithm.result import NO_SEARCH, Result

TARGETS_KIND = "targets"
SVM, NEAREST = "SVM on HOG", "k-NN"


@dataclass(frozen=True, kw_only=True)
class TargetRow:
    """One search. Errors are shares in [0, 1], on the test split."""

    target: str
    seed: int
    test_images: int
    train_images: int
    """Training and validation images of the network that is handed over."""
    performance: str
    """'balanced': the balanced errors count."""
    error: float
    balanced_error: float
    rivals: dict[str, tuple[float, float]]
    """(error, balanced error) by the rival's name."""
    recipe: str
    parameters: int
    macs: int
    reference_taken: bool
    took_s: dict[str, float]
    """Seconds by phase, and in all."""
    settings: str
    """Hash of the settings of the search."""


@dataclass(frozen=True, kw_only=True)
class TargetsRecord:
    """What records/targets.json holds."""

    kind: str
    schema: int
    command: str
    n: int
    """Seeds of a target, at most."""
    hardware: dict[str, Any]
    versions: dict[str, str]
    rows: tuple[TargetRow, ...]


def row_of(label: str, result: Result, settings: str) -> TargetRow:
    """The row of a finished search."""
    rivals = {one.name: (one.test_error, one.test_balanced_error) for one in result.rivals}
    own = (result.metrics.test_error, result.metrics.test_balanced_error)
    taken = result.reference is None or result.reference.taken
    if taken:  # then what is handed over is what no search gives
        rivals[NO_SEARCH] = own
    return TargetRow(
        target=label,
        seed=result.seed,
        test_images=result.task.test,
        train_images=result.training.refit_images or result.training.train_images,
        performance=result.task.performance,
        error=own[0],
        balanced_error=own[1],
        rivals=rivals,
        recipe=result.training.recipe,
        parameters=result.parameters,
        macs=result.macs,
        reference_taken=taken,
        took_s={
            name.removesuffix("_s"): round(getattr(result.costs, name), 1)
            for name in ("represent_s", "search_s", "train_s", "rivals_s", "total_s")
        },
        settings=settings,
    )


def targets_page(record: TargetsRecord) -> str:
    """Make the table of the README, in Markdown: one row a target, and what it shows in short sentences.

    Errors are balanced test errors in percent. Those of tanas are the mean and the standard deviation over seeds.
    """
    head = ("target", "training images", "tanas", SVM, NEAREST, "recipe", "parameters", "minutes")
    lines: list[tuple[str, ...]] = [head, ("---", *("---:",) * 4, "---", *("---:",) * 2)]
    seeds = []
    for target in dict.fromkeys(row.target for row in record.rows):
        rows = [row for row in record.rows if row.target == target]
        seeds.append(len(rows))
        lines.append(
            (
                target,
                f"{rows[0].train_images:,}",
                f"**{_spread([row.balanced_error for row in rows])}**",
                *(
                    _mean([row.rivals[name][1] for row in rows if name in row.rivals])
                    for name in (SVM, NEAREST)
                ),
                ", ".join(sorted({row.recipe for row in rows})),
                _range([row.parameters for row in rows], lambda number: f"{number:,.0f}"),
                _range([row.took_s["total"] / 60 for row in rows], lambda number: f"{number:.1f}"),
            )
        )
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    searches, taken = len(record.rows), sum(row.reference_taken for row in record.rows)
    share = f"all {searches}" if taken == searches else f"{taken} of {searches}"
    return (
        f"{table}\n\n"
        f"**In {share} searches tanas handed over its fixed reference network**: the search ended with it, or the "
        "searched network was not clearly better on validation images.\n\n"
        f"Balanced test error in percent; tanas: mean ± standard deviation over n = {_range(seeds, str)} seeds. "
        "Training images include those for validation. Default preset, "
        f"empty memory, {record.hardware['cores']} cores ({record.hardware['processor']}), torch "
        f"{record.versions['torch']}. Command: `{record.command}`.\n"
    )


def _mean(errors: Sequence[float]) -> str:
    """Show the mean of errors in percent; a dash if there are none."""
    return f"{100 * statistics.fmean(errors):.1f}" if errors else "–"


def _spread(errors: Sequence[float]) -> str:
    if not errors:
        return "–"
    mean = 100 * statistics.fmean(errors)
    if len(errors) < 2:
        return f"{mean:.1f}"
    return f"{mean:.1f} ± {100 * statistics.stdev(errors):.1f}"


def _range(values: Sequence[float], shown: Callable[[float], str]) -> str:
    low, high = shown(min(values)), shown(max(values))
    return low if low == high else f"{low} to {high}"
