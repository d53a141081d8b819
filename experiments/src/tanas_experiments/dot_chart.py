"""Dots and intervals in named rows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from tanas.reports.theme import BLUE, INK, MUTED, Chart, styled

ROW = 22
"""Pixels of a row."""
PLOT_WIDTH = 400
"""Pixels; with names and notes beside it the chart stays below 800, a page's width."""


@dataclass(frozen=True, kw_only=True)
class DotRow:
    """A row of a chart; one without `mean` is a heading."""

    label: str
    mean: float | None = None
    low: float | None = None
    """End of an interval of the mean; None: there is none."""
    high: float | None = None
    singles: tuple[float, ...] = ()
    """What the mean is of."""
    note: str = ""
    """Stands right of the plot."""
    colour: str = BLUE


def dot_chart(
    rows: Sequence[DotRow], *, title: str, exponent: float = 1.0, ticks: Sequence[float] = ()
) -> Chart:
    """A large dot for each mean, a line for its interval, small pale dots for what it is of, and a line at zero.

    Args:
        rows: from top to bottom.
        title: of the axis, with its unit.
        exponent: of the axis; 1 is linear, 1/2 a square root, which keeps small values apart beside large ones.
        ticks: where the axis has numbers; empty: where it suits.
    """
    means: list[dict[str, Any]] = [
        {
            "row": at,
            "mean": row.mean,
            "low": row.low,
            "high": row.high,
            "note": row.note,
            "colour": row.colour,
        }
        for at, row in enumerate(rows)
        if row.mean is not None
    ]
    singles = [{"row": at, "single": value} for at, row in enumerate(rows) for value in row.singles]
    names = json.dumps([row.label for row in rows])
    headings = json.dumps([at for at, row in enumerate(rows) if row.mean is None])
    is_heading = f"indexof({headings}, datum.value) >= 0"
    axis = alt.Axis(
        labelExpr=f"{names}[datum.value]",
        title=None,
        labelLimit=400,
        ticks=False,
        domain=False,
        grid=False,
        labelPadding=8,
        labelOverlap=False,
    )
    axis["labelFontWeight"] = {"condition": {"test": is_heading, "value": "bold"}, "value": "normal"}
    y = alt.Y("row:O", axis=axis, scale=alt.Scale(domain=list(range(len(rows)))))
    scale = alt.Scale(type="pow", exponent=exponent, zero=True, nice=not ticks, padding=8)
    axis_of_means = alt.Axis(grid=True, tickCount=8, format="~g")
    if ticks:
        axis_of_means["values"] = list(ticks)
    colour = alt.Color("colour:N", scale=None)
    base = alt.Chart(alt.InlineData(values=means))
    zero = (
        alt.Chart(alt.InlineData(values=[{"zero": 0}]))
        .mark_rule(color=INK, strokeWidth=1)
        .encode(x=alt.X("zero:Q", scale=scale))
    )
    pale = (
        alt.Chart(alt.InlineData(values=singles))
        .mark_point(filled=True, size=22, color=MUTED, opacity=0.35)
        .encode(x=alt.X("single:Q", scale=scale), y=y)
    )
    spans = (
        base.transform_filter("datum.low !== null")
        .mark_rule(strokeWidth=2)
        .encode(x=alt.X("low:Q", scale=scale), x2="high:Q", y=y, color=colour)
    )
    dots = base.mark_point(filled=True, size=75, opacity=1).encode(
        x=alt.X("mean:Q", title=title, scale=scale, axis=axis_of_means),
        y=y,
        color=colour,
    )
    notes = base.mark_text(align="left", fontSize=12, color=MUTED).encode(
        x=alt.value(PLOT_WIDTH + 10), y=y, text="note:N"
    )
    return styled(
        alt.layer(zero, pale, spans, dots, notes).properties(width=PLOT_WIDTH, height=ROW * len(rows))
    )
