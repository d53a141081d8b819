"""What is drawn of tasks that arrive one after the other: what a search costs with so many tasks known."""

from __future__ import annotations

from dataclasses import dataclass, replace

import altair as alt

from tanas.reports.theme import BLUE, INK, MUTED, ORANGE, Chart, styled
from tanas_experiments.stream import ARMS, EMPTY, PICTURE, StreamRecord, places

COLOURS = (BLUE, ORANGE, INK, MUTED)
"""Of the ways of searching, in order."""
SHAPES = ("circle", "square", "triangle-up", "diamond")
"""Likewise: colours alone are lost in print."""
WIDTH, HEIGHT = 600, 280
"""Pixels of the plot."""


@dataclass(frozen=True, kw_only=True)
class CostDot:
    """What the searches of a way cost at a place in the stream."""

    way: str
    known: int
    percent: float
    """Of what the same tasks and seeds cost with nothing known."""
    order: int | None
    """None: all orders together."""


def stream_pictures(record: StreamRecord) -> dict[str, Chart]:
    """The chart by its name; none if no search has a partner that knew nothing."""
    dots = costs(record)
    # as long as the stream will be, so that an unfinished one shows what is still to come
    return {PICTURE: _chart(dots, last=len(record.settings["tasks"]) - 1)} if dots else {}


def costs(record: StreamRecord) -> tuple[CostDot, ...]:
    """The cost at each place, of all orders together and, where there are several, of each."""
    parts: dict[int | None, StreamRecord] = {None: record}
    if len(record.orders) > 1:
        for order in record.orders:
            arrivals = tuple(one for one in record.arrivals if one.order == order)
            parts[order] = replace(record, arrivals=arrivals)
    return tuple(
        CostDot(way=way, known=place.known, percent=100 * place.share, order=order)
        for order, part in parts.items()
        for way in ARMS
        if way != EMPTY
        for place in places(part, way)
    )


def _chart(dots: tuple[CostDot, ...], *, last: int) -> Chart:
    ways = [way for way in ARMS if any(dot.way == way for dot in dots)]
    values = [
        {"way": dot.way, "known": dot.known, "percent": dot.percent, "whole": dot.order is None}
        for dot in dots
    ]
    last = max(last, *(dot.known for dot in dots))
    top = max(110.0, 1.05 * max(dot.percent for dot in dots))
    x = alt.X(
        "known:Q",
        title="tasks known before",
        scale=alt.Scale(domain=[0, max(last, 1)], nice=False, padding=8),
        axis=alt.Axis(values=list(range(0, last + 1, 1 if last < 25 else 5)), format="d", grid=False),
    )
    y = alt.Y(
        "percent:Q",
        title="cost in % of that with nothing known",
        scale=alt.Scale(domain=[0, top], nice=False),
        axis=alt.Axis(tickCount=6),
    )
    legend = alt.Legend(
        orient="top",
        direction="horizontal",
        title=None,
        labelColor=INK,
        labelFontSize=12.5,
        labelLimit=320,
        columns=2,
        symbolOpacity=1,
    )
    colour = alt.Color("way:N", scale=alt.Scale(domain=ways, range=list(COLOURS[: len(ways)])), legend=legend)
    shape = alt.Shape("way:N", scale=alt.Scale(domain=ways, range=list(SHAPES[: len(ways)])), legend=legend)
    base = alt.Chart(alt.InlineData(values=values)).encode(x=x, y=y, color=colour)
    marks = alt.Chart(
        alt.InlineData(
            values=[{"percent": 100, "says": "as with nothing known"}, {"percent": 50, "says": "half"}]
        )
    )
    rules = marks.mark_rule(color=INK, strokeDash=[5, 3]).encode(y=y)
    says = marks.mark_text(align="left", color=MUTED, fontSize=12).encode(
        x=alt.value(WIDTH + 8), y=y, text="says:N"
    )
    singles = base.transform_filter("!datum.whole").mark_point(filled=True, size=24, opacity=0.35)
    lines = base.transform_filter("datum.whole").mark_line(strokeWidth=2)
    means = base.transform_filter("datum.whole").mark_point(filled=True, size=60, opacity=1)
    return styled(
        alt.layer(rules, says, singles.encode(shape=shape), lines, means.encode(shape=shape)).properties(
            width=WIDTH, height=HEIGHT
        )
    )
