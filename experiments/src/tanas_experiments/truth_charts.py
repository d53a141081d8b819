"""What is drawn of the table of the truth: errors over sizes, and what each way of choosing loses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from types import MappingProxyType

import altair as alt
import numpy as np

from tanas.reports.theme import BLUE, INK, MUTED, ORANGE, Chart, styled
from tanas_experiments.dot_chart import DotRow, dot_chart
from tanas_experiments.paired import paired
from tanas_experiments.truth import Row, TruthRecord
from tanas_experiments.truth_analysis import (
    DUNCE,
    FARTHEST,
    NEAREST,
    RANDOM,
    TEACHER,
    Choice,
    TruthAnalysis,
    table_of,
)

SIZES_PICTURE, REGRETS_PICTURE = "truth-sizes", "truth-regrets"
"""Names of the pictures, without their suffix."""
COLUMNS = 4
"""Panels beside each other."""
PANEL = 170
"""Pixels of a panel."""
TICKS = (1e3, 3e3, 1e4, 3e4, 1e5, 3e5, 1e6)
REGRET_TICKS = (0, 0.5, 1, 2, 5, 10, 20, 40, 80)
SHOWN = MappingProxyType(
    {
        "": ("", INK),
        NEAREST: (", nearest", BLUE),
        RANDOM: (", drawn", MUTED),
        FARTHEST: (", farthest", ORANGE),
        TEACHER: (f", {TEACHER}", INK),
        DUNCE: (f", {DUNCE}", INK),
    }
)
"""How the tasks that a choice learns from are named and coloured."""


@dataclass(frozen=True, kw_only=True)
class SizeDot:
    """An architecture on a target; balanced test errors in percent."""

    target: str
    parameters: float
    """Geometric mean over the targets, on which the heads differ: an architecture stands at one place in all."""
    error: float
    """Mean over the seeds."""
    least: float
    """Of the seeds."""
    most: float


@dataclass(frozen=True, kw_only=True)
class SizeBin:
    """Architectures of like size on a target."""

    target: str
    parameters: float
    """Geometric mean of theirs."""
    median: float
    """Of their errors, in percent."""


def truth_pictures(record: TruthRecord, analysis: TruthAnalysis, rows: Sequence[Row]) -> dict[str, Chart]:
    """The charts by their names; of what was not simulated there is none.

    Args:
        record: of the table.
        analysis: of the same table.
        rows: of the same table.
    """
    made = {}
    dots, bins = sizes(record, analysis, rows)
    if dots:
        made[SIZES_PICTURE] = _sizes_chart(dots, bins, analysis.choices)
    if found := regret_rows(analysis):
        made[REGRETS_PICTURE] = dot_chart(
            found,
            title="regret: points of balanced test error above the best architecture (square-root axis)",
            exponent=0.5,  # the worst choices lose thirty times what the best do
            ticks=REGRET_TICKS,
        )
    return made


def sizes(
    record: TruthRecord, analysis: TruthAnalysis, rows: Sequence[Row]
) -> tuple[tuple[SizeDot, ...], tuple[SizeBin, ...]]:
    """Errors over parameters: of each whole architecture, and the medians of equally full bins of size."""
    if not rows:
        return (), ()
    table = table_of(rows, [one.id for one in record.targets], record.config.seeds)
    order = np.argsort(table.log_parameters, kind="stable")
    # the bins of `truth_analysis.choices`, so that what is drawn is what "at equal size" means
    groups = np.array_split(order, min(analysis.config.bins, table.size // 2))
    dots, bins = [], []
    for target, errors in zip(table.targets, 100 * table.balanced, strict=True):
        means = errors.mean(axis=1)  # (architectures,)
        dots += [
            SizeDot(
                target=target,
                parameters=float(np.exp(table.log_parameters[at])),
                error=float(means[at]),
                least=float(errors[at].min()),
                most=float(errors[at].max()),
            )
            for at in range(table.size)
        ]
        bins += [
            SizeBin(
                target=target,
                parameters=float(np.exp(table.log_parameters[group].mean())),
                median=float(np.median(means[group])),
            )
            for group in groups
        ]
    return tuple(dots), tuple(bins)


def _sizes_chart(dots: Sequence[SizeDot], bins: Sequence[SizeBin], choices: Sequence[Choice]) -> Chart:
    heads = {
        one.target: f"{one.target}|sd {100 * one.spread:.1f}, at equal size {100 * one.spread_at_size:.1f}"
        for one in choices
    }
    values = [{**asdict(dot), "panel": heads[dot.target]} for dot in dots]
    values += [{**asdict(one), "panel": heads[one.target]} for one in bins]
    least, most = min(one.parameters for one in dots), max(one.parameters for one in dots)
    x = alt.X(
        "parameters:Q",
        title="parameters",
        scale=alt.Scale(type="log", domain=[0.8 * least, 1.25 * most], nice=False),
        axis=alt.Axis(values=[one for one in TICKS if 0.8 * least < one < 1.25 * most], format="~s"),
    )
    y = alt.Y(
        "error:Q",
        title="balanced test error in %",
        scale=alt.Scale(domain=[0, min(100, 1.05 * max(one.most for one in dots))], nice=False),
        axis=alt.Axis(tickCount=5),
    )
    base = alt.Chart()
    each = base.transform_filter("isValid(datum.error)")
    seeds = each.mark_rule(color=BLUE, opacity=0.45).encode(x=x, y=alt.Y("least:Q"), y2="most:Q")
    architectures = each.mark_point(filled=True, size=26, color=BLUE, opacity=0.8).encode(x=x, y=y)
    medians = (
        base.transform_filter("isValid(datum.median)")
        .mark_line(color=ORANGE, strokeWidth=2)
        .encode(x=x, y=alt.Y("median:Q"))
    )
    panels = (
        alt.layer(seeds, medians, architectures, data=alt.InlineData(values=values))
        .properties(width=PANEL, height=PANEL)
        .facet(
            facet=alt.Facet(
                "panel:N",
                title=None,
                sort=list(heads.values()),
                header=alt.Header(labelExpr="split(datum.value, '|')", labelAnchor="start"),
            ),
            columns=COLUMNS,
            spacing=14,
        )
    )
    return styled(panels)


def regret_rows(analysis: TruthAnalysis) -> tuple[DotRow, ...]:
    """The mean regret of ways of choosing over the targets, by how much they train on the target.

    Regrets are in points. The interval is the 95 % bootstrap interval over the targets.
    """
    several = analysis.config.neighbours
    memory = (NEAREST, RANDOM, FARTHEST)
    groups = {
        "nothing trained on the target": [
            ("the largest", "largest", "", 0),
            *(("transfer", "transfer", source, 0) for source in (*memory, TEACHER, DUNCE)),
            *((f"transfer of {several}", f"transfer of {several}", source, 0) for source in memory),
            ("transfer of all", "transfer of all", "", 0),
        ],
        "one trained": [("random", "random", "", 1)],
        "the best of 3 trained": [
            ("random", "random", "", 3),
            *(("the 3 best of one task", "warm", source, 3) for source in memory),
            *((f"prior of {several}", "prior", source, 3) for source in memory),
        ],
        "the best of 10 trained": [
            ("random", "random", "", 10),
            ("predictor", "predictor", "", 10),
            *((f"prior of {several}", "prior", source, 10) for source in memory),
        ],
    }
    rows = []
    for heading, ways in groups.items():
        # who trains all that there are has nothing to choose, whatever it knows
        below = [
            row
            for way in ways
            if way[-1] < analysis.architectures and (row := _regret_row(analysis, *way)) is not None
        ]
        rows += [DotRow(label=heading), *below] if below else []
    return tuple(rows)


def _regret_row(analysis: TruthAnalysis, name: str, way: str, source: str, tries: int) -> DotRow | None:
    lost = [
        100 * one.balanced
        for one in analysis.regrets
        if (one.way, one.source, one.tries) == (way, source, tries)
    ]
    if not lost:
        return None
    about = paired([0.0] * len(lost), lost)
    suffix, colour = SHOWN[source]
    return DotRow(
        label=name + suffix,
        mean=about.mean,
        low=about.low,
        high=about.high,
        singles=tuple(lost),
        note=f"{about.mean:.2f}".replace("-", "\N{MINUS SIGN}"),
        colour=colour,
    )
