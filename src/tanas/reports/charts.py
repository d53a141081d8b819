"""Charts of a report and of distances."""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import altair as alt

from tanas.distances.matrix import DistanceMatrix
from tanas.distances.representative import UNTRAINED
from tanas.reports.chart_data import AlphaRow, CandidateRow, DistanceRow, ErrorRow
from tanas.reports.sentences import duration, percent, shorten
from tanas.reports.theme import BLUE, INK, LINE, MUTED, ORANGE, PAPER, Chart, styled

WIDTH = 480
"""Pixels of a chart that stands in a column; text stays readable on a phone, where it shrinks to 3/4."""

FULL = 1000
"""Pixels of a chart that stands alone."""

MOST_WIDTH = 4000
"""Pixels of a chart that grows with its number of rounds."""

MOST_ATOMS = 30
"""Atoms in the chart of distances; a page lists all in a table."""

BY_ROW = {"color": alt.Color("colour:N", scale=None)}
"""Takes the colour of a mark from its row."""

KEY: dict[str, Any] = {"align": "left", "color": INK, "font": "monospace", "fontSize": 11}
"""The looks of an architecture's key."""


def error_chart(rows: Sequence[ErrorRow], images: int) -> Chart:
    """Errors on the test images as bars, first those of the network: dark the error, pale the balanced error."""
    values: list[dict[str, Any]] = []
    for place, row in enumerate(rows):
        for measure, error in enumerate((row.error, row.balanced_error)):
            low, high = row.interval if row.interval and measure == 0 else (None, None)
            values.append(
                {
                    "row": place,
                    "measure": measure,
                    "error": error,
                    "label": percent(error, images),
                    "low": low,
                    "high": high,
                    "labelled": error if high is None else max(error, high),
                    "colour": BLUE if place == 0 else MUTED,
                    "strength": 1.0 if measure == 0 else 0.45,
                }
            )
    top = max((value["labelled"] for value in values), default=0.0) or 0.01
    base = _chart(values).encode(
        y=alt.Y("row:O", axis=_names([row.who for row in rows])).scale(paddingInner=0.35, paddingOuter=0.15),
        yOffset=alt.YOffset("measure:O"),
    )
    # ticks end at 100 %, though labels need room beyond
    axis = _percent_axis("share of the test images", values=_ticks(min(top, 1.0)))
    x = alt.X("error:Q", axis=axis).scale(domain=[0, top * 1.22], nice=False)
    bars = base.mark_bar().encode(x=x, **BY_ROW, fillOpacity=alt.FillOpacity("strength:Q", scale=None))
    whiskers = base.mark_rule(color=INK, strokeWidth=1.5).encode(x="low:Q", x2="high:Q")
    labels = base.mark_text(align="left", dx=5, color=INK).encode(x="labelled:Q", text="label:N")
    return _styled(alt.layer(bars, whiskers, labels), height=46 * len(rows))


def distance_chart(rows: Sequence[DistanceRow]) -> Chart:
    """Distances from the atoms to the task with their intervals, nearest on top; reused ones blue, weak ones hollow."""
    shown = rows[:MOST_ATOMS]
    values: list[dict[str, Any]] = []
    for place, row in enumerate(shown):
        low, high = row.interval or (row.distance, row.distance)
        label = f"{'≥ ' if row.at_least else ''}{row.distance:.3f}"
        label += f"  short by {row.shortfall:.3f}" if row.shortfall > 0 else ""
        label += "  weak" if row.weak else ""
        colour = BLUE if row.inherited else MUTED
        fill = PAPER if row.weak else colour
        values.append(
            {"row": place, "zero": 0, "d": row.distance, "low": low, "high": high}
            | {"label": label, "colour": colour, "fill": fill}
        )
    base = _chart(values).encode(y=alt.Y("row:O", axis=_names([shorten(row.atom, 30) for row in shown])))
    # room for a column of labels beside the scale from 0 to 1
    room = 0.25 + 0.045 * max((len(value["label"]) - 5 for value in values), default=0)
    x = alt.X(
        "d:Q",
        title="distance",
        axis=alt.Axis(values=[0, 0.2, 0.4, 0.6, 0.8, 1], titleAnchor="start", domain=False),
    ).scale(domain=[0, 1 + room], nice=False)
    stems = base.mark_rule(strokeWidth=2, strokeOpacity=0.35).encode(x=x, x2="zero:Q", **BY_ROW)
    dots = base.mark_point(size=90, strokeWidth=2.5, opacity=1).encode(
        x=x, **BY_ROW, fill=alt.Fill("fill:N", scale=None)
    )
    spans = base.mark_rule(strokeWidth=1.2, color=INK).encode(x=alt.X("low:Q"), x2="high:Q")
    labels = base.mark_text(align="left", color=INK).encode(x=alt.datum(1.07), text="label:N")
    step = 28 if len(shown) <= 12 else 21
    return _styled(alt.layer(stems, labels, spans, dots), height=step * len(shown) + 8)


def alpha_chart(rows: Sequence[AlphaRow], *, width: int = WIDTH) -> Chart:
    """Shares of the candidates over the stages of each round; the winner is blue, the kept seed a square."""
    rows = [row for row in rows if row.weights]
    rounds = max((row.round for row in rows), default=1)
    few = rounds <= 8
    values: list[dict[str, Any]] = [
        {
            "line": f"{row.round} {number}",
            "x": row.round - 0.92 + 0.46 * stage / (len(row.weights) - 1),
            "share": share,
            "last": stage == len(row.weights) - 1,
            "won": row.won,
            "dropped": row.dropped,
            "shape": "cross" if row.dropped else "square" if row.kept else "circle",
            "label": row.key[:6],
        }
        for number, row in enumerate(rows)
        for stage, share in enumerate(row.weights)
    ]
    base = _chart(values)
    middles = [number - 0.5 for number in range(1, rounds + 1)]
    x = alt.X(
        "x:Q",
        title=None if few else "round",
        axis=alt.Axis(
            values=middles,
            labelExpr="'round ' + ceil(datum.value)" if few else "'' + ceil(datum.value)",
            grid=False,
            ticks=False,
            labelOverlap=True,
        ),
    ).scale(domain=[0, rounds], nice=False)
    greatest = max((value["share"] for value in values), default=1.0)
    y = alt.Y("share:Q", axis=_percent_axis("share in the mixture")).scale(
        domain=[0, min(1.0, greatest * 1.12)], nice=False
    )
    colour = alt.condition("datum.won", alt.value(BLUE), alt.value(MUTED))
    fences = _chart([{"x": number} for number in range(1, rounds)]).mark_rule(color=LINE).encode(x="x:Q")
    opacity = alt.condition("datum.won", alt.value(1), alt.value(0.55))
    lines = base.mark_line(strokeWidth=2).encode(x=x, y=y, detail="line:N", color=colour, opacity=opacity)
    ends = (
        base.transform_filter("datum.last")
        .mark_point(filled=True, opacity=1, size=64)
        .encode(x=x, y=y, color=colour, shape=alt.Shape("shape:N", scale=None))
    )
    layers = [fences, lines, ends]
    if few:
        names = base.transform_filter("datum.last && datum.won").mark_text(dx=7, **KEY)
        layers.append(names.encode(x=x, y=y, text="label:N"))
    return _styled(alt.layer(*layers), height=230, width=max(width, min(40 * rounds, MOST_WIDTH)))


def candidate_chart(rows: Sequence[CandidateRow], *, width: int = WIDTH) -> Chart:
    """Scores of the candidates over their parameters; the one found is blue."""
    values: list[dict[str, Any]] = [
        {"parameters": row.parameters, "score": row.score, "found": row.found, "label": row.key[:6]}
        for row in rows
        if row.score is not None
    ]
    base = _chart(values).encode(
        x=alt.X(
            "parameters:Q",
            title="parameters",
            axis=alt.Axis(format="~s", tickCount=5, grid=False, labelBound=True),
        ).scale(type="log", nice=False, padding=28),
        y=alt.Y("score:Q", title="score", axis=alt.Axis(format="~g", tickCount=5)).scale(
            zero=False, nice=False, padding=18
        ),
    )
    colour = alt.condition("datum.found", alt.value(BLUE), alt.value(MUTED))
    dots = base.mark_point(filled=True, size=70).encode(
        color=colour, opacity=alt.condition("datum.found", alt.value(1), alt.value(0.6))
    )
    names = base.transform_filter("datum.found").mark_text(dx=8, **KEY)
    return _styled(alt.layer(dots, names.encode(text="label:N")), height=230, width=width)


def loss_chart(losses: Sequence[float]) -> Chart:
    """The training loss of each epoch."""
    values = [{"epoch": number, "loss": loss} for number, loss in enumerate(losses, start=1)]
    step = max(1, math.ceil(len(losses) / 10))
    ticks = list(range(step, len(losses) + 1, step))
    domain = [min(1, len(losses)), max(len(losses), 2)]
    x = alt.X("epoch:Q", title="epoch", axis=alt.Axis(values=ticks, format="d", grid=False))
    y = alt.Y("loss:Q", title="training loss in nats", axis=alt.Axis(format="~g", tickCount=5))
    mark = _chart(values).mark_line(color=BLUE, strokeWidth=2, point=alt.OverlayMarkDef(color=BLUE, size=36))
    return _styled(mark.encode(x=x.scale(domain=domain, padding=6), y=y.scale(zero=True)), height=200)


def cost_chart(rows: Sequence[tuple[str, float]]) -> Chart:
    """Seconds of each phase, as bars."""
    values: list[dict[str, Any]] = [
        {"row": place, "seconds": seconds, "label": duration(seconds)}
        for place, (_, seconds) in enumerate(rows)
    ]
    top = max((seconds for _, seconds in rows), default=0.0) or 1.0
    base = _chart(values).encode(
        y=alt.Y("row:O", axis=_names([phase for phase, _ in rows])),
        x=alt.X("seconds:Q", axis=None).scale(domain=[0, top * 1.25], nice=False),
    )
    bars = base.mark_bar(color=BLUE, height=14)
    labels = base.mark_text(align="left", dx=5, color=INK).encode(text="label:N")
    return _styled(alt.layer(bars, labels), height=26 * len(rows))


def confusion_chart(confusion: Sequence[Sequence[int]], classes: Sequence[str]) -> Chart:
    """Answers by true class, as shares of a row: right ones blue, wrong ones orange; with numbers up to 15 classes."""
    count = len(classes)
    cell = 92 if count <= 2 else 64 if count <= 4 else 46 if count <= 7 else 36 if count <= 15 else 0
    numbered = cell > 0
    cell = cell or max(5, min(22, 860 // count))
    values: list[dict[str, Any]] = []
    for truth, row in enumerate(confusion):
        for given, number in enumerate(row):
            if not number and not numbered:
                continue  # thousands of blank tiles would only make the page heavy
            share = number / sum(row) if sum(row) else 0.0
            # the square root keeps the few wrong answers from being too pale to see
            strength = share if truth == given else math.sqrt(share)
            strength = 0.85 * strength if numbered else 0.2 + 0.65 * strength
            values.append(
                {
                    "truth": truth,
                    "answer": given,
                    "label": f"{number:,}",
                    "colour": BLUE if truth == given else ORANGE,
                    "strength": strength,
                    "ink": PAPER if strength > 0.75 else INK if number else MUTED,
                }
            )
    names = [shorten(name, 24 if numbered else 16) for name in classes]
    places = list(range(count))
    size = 12 if numbered else max(8, min(11, cell))
    rows, columns = (
        _names(names, title="true class", size=size),
        _top_names(names, cell, title="answer", size=size),
    )
    base = _chart(values).encode(
        y=alt.Y("truth:O", axis=rows).scale(domain=places, paddingInner=0.04),
        x=alt.X("answer:O", axis=columns).scale(domain=places, paddingInner=0.04),
    )
    layers = [
        base.mark_rect(stroke=LINE, strokeWidth=0.5).encode(
            **BY_ROW, fillOpacity=alt.FillOpacity("strength:Q", scale=None)
        )
    ]
    if numbered:
        text = base.mark_text(fontSize=13 if cell > 40 else 11)
        layers.append(text.encode(text="label:N", color=alt.Color("ink:N", scale=None)))
    return _styled(alt.layer(*layers), width=None, height=cell * count, plot_width=cell * count)


def heat_map(matrix: DistanceMatrix) -> Chart:
    """Distances as in the paper's Figure 2: a row a source, and a last row for an untrained network.

    Cells are shaded by rank, the nearest darkest. A cell above 1 shows by how much even the whole map falls short,
    which gives the order among distances of 1.
    """
    rows = [[matrix.measurement(source, target) for target in matrix.targets] for source in matrix.sources]
    names = [shorten(name, 44) for name in matrix.sources]
    if matrix.null:  # an empty row sets the untrained network apart from the sources
        rows, names = [*rows, [], list(matrix.null)], [*names, "", f"({UNTRAINED})"]
    # a task to itself is 0 by definition: no rank among the others
    ranked = sorted(measurement.order for row in rows for measurement in row if measurement.value)
    largest = max(len(names), len(matrix.targets))
    cell = 52 if largest <= 6 else 42 if largest <= 14 else 34 if largest <= 24 else 28
    cells: list[dict[str, Any]] = []
    for source, row in enumerate(rows):
        for target, measurement in enumerate(row):
            value, near = measurement.value, 1.0
            if value:
                near = 1 - bisect_right(ranked, measurement.order) / len(ranked)
                value = max(measurement.order, 1.0) if value == 1.0 else value
            cells.append(
                {
                    "source": source,
                    "target": target,
                    "label": _brief(value),
                    "strength": 0.92 * near,
                    "ink": PAPER if near > 0.8 else INK,
                }
            )
    columns = _top_names([shorten(name, 44) for name in matrix.targets], cell, title="target")
    base = _chart(cells).encode(
        y=alt.Y("source:O", axis=_names(names, title="source")).scale(
            paddingInner=0.04, domain=list(range(len(names)))
        ),
        x=alt.X("target:O", axis=columns).scale(paddingInner=0.04),
    )
    tiles = base.mark_rect(color=BLUE, stroke=LINE, strokeWidth=1).encode(
        fillOpacity=alt.FillOpacity("strength:Q", scale=None)
    )
    numbers = base.mark_text(fontSize=13 if cell > 36 else 11 if cell > 30 else 9.5).encode(
        text="label:N", color=alt.Color("ink:N", scale=None)
    )
    chart = alt.layer(tiles, numbers)
    return _styled(chart, width=None, height=cell * len(names), plot_width=cell * len(matrix.targets))


def _brief(value: float) -> str:
    return f"{value:.3f}" if 0 < value < 0.0095 else f"{value:.2f}" if value else "0"


def _names(names: Sequence[str], *, title: str | None = None, size: float = 13) -> alt.Axis:
    """An axis of positions, labelled with names: two shortened names may be equal."""
    return alt.Axis(
        labelExpr=f"{json.dumps(list(names))}[datum.value]",
        title=title,
        labelLimit=600,
        maxExtent=600,
        labelFontSize=size,
        labelColor=INK,
        labelPadding=6,
        ticks=False,
        domain=False,
        grid=False,
        labelOverlap=len(names) > 110,
    )


def _top_names(names: Sequence[str], cell: float, *, title: str, size: float = 13) -> alt.Axis:
    """An axis above a chart; names are slanted unless all fit over cells of `cell` pixels."""
    axis = _names(names, title=title, size=size)
    axis["orient"] = "top"
    fits = max((len(name) for name in names), default=0) * 0.65 * size <= cell
    axis["labelAngle"] = 0 if fits else -50
    axis["labelAlign"] = "center" if axis["labelAngle"] == 0 else "left"
    return axis


def _percent_axis(title: str, **options: Any) -> alt.Axis:
    return alt.Axis(title=title, labelExpr="format(datum.value * 100, '.3~g') + ' %'", tickCount=5, **options)


def _ticks(top: float) -> list[float]:
    """Four to ten round numbers from 0 to `top`."""
    power = 10.0 ** math.floor(math.log10(top))
    step = next(step * power for step in (0.2, 0.5, 1.0, 2.0) if top / (step * power) < 8)
    return [round(number * step, 9) for number in range(int(top / step + 1e-9) + 1)]


def _chart(values: list[dict[str, Any]]) -> alt.Chart:
    return alt.Chart(alt.InlineData(values=values))


def _styled(
    chart: Any, *, height: float, width: float | None = WIDTH, plot_width: float | None = None
) -> Chart:
    """A chart of a page. The height is that of the plot, the width that of the whole, or else `plot_width` counts."""
    if width is None:
        sized = chart.properties(width=plot_width, height=height)
    else:
        fit = alt.AutoSizeParams(type="fit-x", contains="padding")
        sized = chart.properties(width=width, height=height, autosize=fit)
    return styled(sized, padding=4)
