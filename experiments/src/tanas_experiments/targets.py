"""What a search hands over, beside no search and classic methods: `run/targets.py` measures it."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tanas.algorithm.result import NO_SEARCH, Result

TARGETS_KIND = "targets"
SVM, LOGISTIC, NEAREST = "SVM on HOG", "logistic regression", "k-NN"


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
    """A table of the targets, Markdown: balanced errors in percent, mean and standard deviation over seeds."""
    head = ("target", "images", "n", "tanas", "no search", SVM, LOGISTIC, NEAREST, "parameters", "minutes")
    lines = [head, ("---",) * len(head)]
    for target in dict.fromkeys(row.target for row in record.rows):
        rows = [row for row in record.rows if row.target == target]
        lines.append(
            (
                target,
                f"{rows[0].train_images:,}",
                f"{len(rows)}",
                f"**{_spread([row.balanced_error for row in rows])}**",
                *(
                    _spread([row.rivals[name][1] for row in rows if name in row.rivals])
                    for name in (NO_SEARCH, SVM, LOGISTIC, NEAREST)
                ),
                _range([row.parameters for row in rows], lambda number: f"{number:,.0f}"),
                _range([row.took_s["total"] / 60 for row in rows], lambda number: f"{number:.1f}"),
            )
        )
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    taken = sum(row.reference_taken for row in record.rows)
    return (
        f"{table}\n\n"
        f"Balanced test error in percent, mean ± standard deviation over n seeds; a default search "
        f"with an empty memory each. In {taken} of {len(record.rows)} searches what was found was not clearly better "
        "than the reference architecture, which was handed over: then *tanas* and *no search* are "
        f"the same network. {record.hardware['cores']} cores ({record.hardware['processor']}), torch "
        f"{record.versions['torch']}; `{record.command}`.\n"
    )


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
