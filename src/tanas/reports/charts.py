"""Charts of a report and of distances: rows of plain values -> an Altair chart."""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections.abc import Sequence
from typing import Any

import altair as alt

from tanas.ground.errors import SettingError
from tanas.reports.chart_data import AlphaRow, CandidateRow, CostRow, DistanceRow, ErrorRow
from tanas.reports.sentences import duration, percent, shorten
from tanas.reports.theme import BLUE, INK, LINE, MUTED, ORANGE, PAPER, Chart, styled

WIDTH = 480
"""Pixels of a chart that stands in a column; text stays readable on a phone, where it shrinks to 3/4."""

FULL = 1000
"""Pixels of a chart that stands alone."""

MOST_WIDTH = 4000
"""Pixels of a chart that grows with its number of rounds."""

UNTRAINED_ROW = "(untrained network)"
"""Name of the heat map's row by which the others are judged."""

MOST_ATOMS = 30
"""Atoms in the chart of distances; a page lists all in a table."""

HATCHES = "M-1,0L0,-1M-1,1L1,-1M0,1L1,0"
"""Three slanted strokes in the square from -1 to 1."""


def error_chart(rows: Sequence[ErrorRow], images: int) -> Chart:
    """Errors of the network and of those it must beat, as bars: dark the error, pale the balanced error.

    Args:
        rows: the first is the network.
        images: number of test images; says how many decimals are printed.
    """
    values: list[dict[str, Any]] = [
        {
            "row": place,
            "measure": measure,
            "error": error,
            "label": percent(error, images),
            "low": row.interval[0] if row.interval and measure == 0 else None,
            "high": row.interval[1] if row.interval and measure == 0 else None,
            "labelled": max(error, row.interval[1]) if row.interval and measure == 0 else error,
            "colour": BLUE if place == 0 else MUTED,
            "strength": 1.0 if measure == 0 else 0.45,
        }
        for place, row in enumerate(rows)
        for measure, error in enumerate((row.error, row.balanced_error))
    ]
    top = max((value["labelled"] for value in values), default=0.0) or 0.01
    base = _chart(values).encode(
        y=alt.Y("row:O", axis=_names([row.who for row in rows])).scale(paddingInner=0.35, paddingOuter=0.15),
        yOffset=alt.YOffset("measure:O"),
    )
    # ticks end where shares do, though there is room for labels beyond
    axis = _percent_axis("share of the test images", values=_ticks(min(top, 1.0)))
    x = alt.X("error:Q", axis=axis).scale(domain=[0, top * 1.22], nice=False)
    bars = base.mark_bar().encode(
        x=x,
        color=alt.Color("colour:N", scale=None),
        fillOpacity=alt.FillOpacity("strength:Q", scale=None),
    )
    whiskers = base.mark_rule(color=INK, strokeWidth=1.5).encode(x="low:Q", x2="high:Q")
    labels = base.mark_text(align="left", dx=5, color=INK).encode(x="labelled:Q", text="label:N")
    return _styled(alt.layer(bars, whiskers, labels), height=46 * len(rows))


def distance_chart(rows: Sequence[DistanceRow]) -> Chart:
    """Distances from the atoms to the task, nearest on top; blue those inherited from, hollow the weak.

    A thin line is an interval; its ends as numbers would not fit beside the rest.
    """
    shown = rows[:MOST_ATOMS]
    values: list[dict[str, Any]] = [
        {
            "row": place,
            "zero": 0,
            "d": row.distance,
            "low": row.interval[0] if row.interval else row.distance,
            "high": row.interval[1] if row.interval else row.distance,
            "label": ("≥ " if row.at_least else "")
            + f"{row.distance:.3f}"
            + (f"  short by {row.shortfall:.3f}" if row.shortfall > 0 else "")
            + ("  weak" if row.weak else ""),
            "colour": BLUE if row.inherited else MUTED,
            "fill": PAPER if row.weak else (BLUE if row.inherited else MUTED),
        }
        for place, row in enumerate(shown)
    ]
    base = _chart(values).encode(y=alt.Y("row:O", axis=_names([shorten(row.atom, 30) for row in shown])))
    colour = alt.Color("colour:N", scale=None)
    # beside the scale from 0 to 1 there is room for a column of labels
    room = 0.25 + 0.045 * max((len(value["label"]) - 5 for value in values), default=0)
    x = alt.X(
        "d:Q",
        title="distance d",
        axis=alt.Axis(values=[0, 0.2, 0.4, 0.6, 0.8, 1], titleAnchor="start", domain=False),
    ).scale(domain=[0, 1 + room], nice=False)
    stems = base.mark_rule(strokeWidth=2, strokeOpacity=0.35).encode(x=x, x2="zero:Q", color=colour)
    dots = base.mark_point(size=90, strokeWidth=2.5, opacity=1).encode(
        x=x, color=colour, fill=alt.Fill("fill:N", scale=None)
    )
    spans = base.mark_rule(strokeWidth=1.2, color=INK).encode(x=alt.X("low:Q"), x2="high:Q")
    labels = base.mark_text(align="left", color=INK).encode(x=alt.datum(1.07), text="label:N")
    return _styled(
        alt.layer(stems, labels, spans, dots), height=(28 if len(shown) <= 12 else 21) * len(shown) + 8
    )


def alpha_chart(rows: Sequence[AlphaRow], *, width: int = WIDTH) -> Chart:
    """Shares of the candidates over the stages of each round: blue the winner, a square the kept seed."""
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
    lines = base.mark_line(strokeWidth=2).encode(
        x=x,
        y=y,
        detail="line:N",
        color=colour,
        opacity=alt.condition("datum.won", alt.value(1), alt.value(0.55)),
    )
    ends = (
        base.transform_filter("datum.last")
        .mark_point(filled=True, opacity=1, size=64)
        .encode(x=x, y=y, color=colour, shape=alt.Shape("shape:N", scale=None))
    )
    layers = [fences, lines, ends]
    if few:
        names = base.transform_filter("datum.last && datum.won")
        layers.append(
            names.mark_text(align="left", dx=7, color=INK, font="monospace", fontSize=11).encode(
                x=x, y=y, text="label:N"
            )
        )
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
    names = base.transform_filter("datum.found").mark_text(
        align="left", dx=8, color=INK, font="monospace", fontSize=11
    )
    return _styled(alt.layer(dots, names.encode(text="label:N")), height=230, width=width)


def loss_chart(losses: Sequence[float]) -> Chart:
    """The training loss of each epoch."""
    values = [{"epoch": number, "loss": loss} for number, loss in enumerate(losses, start=1)]
    step = max(1, math.ceil(len(losses) / 10))
    ticks = list(range(step, len(losses) + 1, step))
    x = alt.X("epoch:Q", title="epoch", axis=alt.Axis(values=ticks, format="d", grid=False))
    y = alt.Y("loss:Q", title="training loss in nats", axis=alt.Axis(format="~g", tickCount=5))
    mark = _chart(values).mark_line(color=BLUE, strokeWidth=2, point=alt.OverlayMarkDef(color=BLUE, size=36))
    return _styled(
        mark.encode(
            x=x.scale(domain=[min(1, len(losses)), max(len(losses), 2)], padding=6), y=y.scale(zero=True)
        ),
        height=200,
    )


def cost_chart(rows: Sequence[CostRow]) -> Chart:
    """Seconds of each phase, as bars."""
    values: list[dict[str, Any]] = [
        {"row": place, "seconds": row.seconds, "label": duration(row.seconds)}
        for place, row in enumerate(rows)
    ]
    top = max((row.seconds for row in rows), default=0.0) or 1.0
    base = _chart(values).encode(
        y=alt.Y("row:O", axis=_names([row.phase for row in rows])),
        x=alt.X("seconds:Q", axis=None).scale(domain=[0, top * 1.25], nice=False),
    )
    bars = base.mark_bar(color=BLUE, height=14)
    labels = base.mark_text(align="left", dx=5, color=INK).encode(text="label:N")
    return _styled(alt.layer(bars, labels), height=26 * len(rows))


def confusion_chart(confusion: Sequence[Sequence[int]], classes: Sequence[str]) -> Chart:
    """Answers by true class: blue the right ones, orange the wrong ones, each as a share of its row.

    Numbers are printed for at most 15 classes. Wrong answers are coloured by the square root of their
    share, else the few that matter would be too pale to see.
    """
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
    base = _chart(values).encode(
        y=alt.Y("truth:O", axis=_names(names, title="true class", size=size)).scale(
            domain=places, paddingInner=0.04
        ),
        x=alt.X("answer:O", axis=_top_names(names, cell, title="answer", size=size)).scale(
            domain=places, paddingInner=0.04
        ),
    )
    tiles = base.mark_rect(stroke=LINE, strokeWidth=0.5).encode(
        color=alt.Color("colour:N", scale=None),
        fillOpacity=alt.FillOpacity("strength:Q", scale=None),
    )
    layers = [tiles]
    if numbered:
        layers.append(
            base.mark_text(fontSize=13 if cell > 40 else 11).encode(
                text="label:N", color=alt.Color("ink:N", scale=None)
            )
        )
    return _styled(alt.layer(*layers), width=None, height=cell * count, plot_width=cell * count)


def heat_map(
    sources: Sequence[str],
    targets: Sequence[str],
    values: Sequence[Sequence[float | None]],
    *,
    title: str = "",
    limit: float | None = 1.0,
    null: Sequence[float | None] = (),
    orders: Sequence[Sequence[float]] = (),
    null_orders: Sequence[float] = (),
) -> Chart:
    """Distances laid out as in the paper's Figure 2: a row a source, its value in each cell.

    Args:
        sources: names of the rows' tasks.
        targets: names of the columns' tasks.
        values: (sources, targets); None or not a number where none was measured: the cell is hatched.
        title: stands above the chart.
        limit: the distance whose cell is blank, the nearest is darkest; None: the greatest there is.
        null: distances from an untrained network, one a target: a row of their own below the others, by which
            these are to be judged. Empty: there is none.
        orders: what sorts the distances, (sources, targets): cells are then shaded by rank, whatever `limit`, and one
            above 1 shows by how much even the whole map falls short, so that many at d = 1 are told apart. Empty:
            shaded by value.
        null_orders: the same of `null`.

    Raises:
        SettingError: the values have another shape than the names.
    """
    if len(values) != len(sources) or any(len(row) != len(targets) for row in values):
        lengths = ", ".join(str(len(row)) for row in values) or "none"
        raise SettingError(
            f"The 'values' of heat_map must have a row for each of the {len(sources)} sources, with an entry "
            f"for each of the {len(targets)} targets. Got rows of these lengths instead: {lengths}."
        )
    if null and len(null) != len(targets):
        raise SettingError(
            f"The 'null' of heat_map must have an entry for each of the {len(targets)} targets. "
            f"Got {len(null)} instead."
        )
    # an empty row sets the untrained network apart from the sources
    sources = [*sources, *(["", UNTRAINED_ROW] if null else [])]
    values = [*values, *([[], null] if null else [])]
    orders = [*orders, *([[], null_orders] if null else [])] if orders else []
    # a task to itself is 0 by definition: no rank among the others
    ranked = sorted(
        order
        for row, distances in zip(orders, values, strict=bool(orders))
        for order, distance in zip(row, distances, strict=True)
        if distance and math.isfinite(order)
    )
    largest = max(len(sources), len(targets))
    cell = 52 if largest <= 6 else 42 if largest <= 14 else 34 if largest <= 24 else 28
    measured = [value for row in values for value in row if value is not None and math.isfinite(value)]
    top = (max(measured, default=0.0) if limit is None else limit) or 1.0
    cells: list[dict[str, Any]] = []
    for source, row in enumerate(values):
        for target, value in enumerate(row):
            known = value is not None and math.isfinite(value)
            near = 1 - min(max(value / top, 0.0), 1.0) if known and value is not None else 0.0
            if known and orders and value != 0:
                order = orders[source][target]
                near = 1 - bisect_right(ranked, order) / len(ranked)
                value = max(order, 1.0) if value == 1.0 else value
            cells.append(
                {
                    "source": source,
                    "target": target,
                    "known": known,
                    "label": _brief(value) if known and value is not None else "",
                    "strength": 0.92 * near,
                    "ink": PAPER if near > 0.8 else INK,
                }
            )
    base = _chart(cells).encode(
        y=alt.Y("source:O", axis=_names([shorten(n, 44) for n in sources], title="source")).scale(
            paddingInner=0.04, domain=list(range(len(sources)))
        ),
        x=alt.X("target:O", axis=_top_names([shorten(n, 44) for n in targets], cell, title="target")).scale(
            paddingInner=0.04
        ),
    )
    tiles = base.mark_rect(color=BLUE, stroke=LINE, strokeWidth=1).encode(
        fillOpacity=alt.FillOpacity("strength:Q", scale=None)
    )
    hatches = base.transform_filter("!datum.known").mark_point(
        shape=HATCHES, size=(0.72 * cell) ** 2, stroke=MUTED, strokeWidth=0.8, opacity=0.7, filled=False
    )
    numbers = base.transform_filter("datum.known").mark_text(
        fontSize=13 if cell > 36 else 11 if cell > 30 else 9.5
    )
    chart = alt.layer(tiles, hatches, numbers.encode(text="label:N", color=alt.Color("ink:N", scale=None)))
    if title:
        chart = chart.properties(
            title=alt.TitleParams(title, anchor="start", color=INK, fontSize=15, offset=12)
        )
    return _styled(chart, width=None, height=cell * len(sources), plot_width=cell * len(targets))


def _brief(value: float) -> str:
    if value == 0:
        return "0"
    if value < 10:
        return f"{value:.3f}" if value < 0.0095 else f"{value:.2f}"
    return f"{value:.3g}"


def _names(names: Sequence[str], *, title: str | None = None, size: float = 13) -> alt.Axis:
    """An axis of positions that shows names: two names may be alike, positions can't."""
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
    """The same above a chart, slanted unless all fit over their cells, which are `cell` pixels wide."""
    axis = _names(names, title=title, size=size)
    axis["orient"] = "top"
    fits = max((len(name) for name in names), default=0) * 0.65 * size <= cell
    axis["labelAngle"] = 0 if fits else -50
    axis["labelAlign"] = "center" if axis["labelAngle"] == 0 else "left"
    return axis


def _percent_axis(title: str, values: Sequence[float] | None = None) -> alt.Axis:
    axis = alt.Axis(title=title, labelExpr="format(datum.value * 100, '.3~g') + ' %'", tickCount=5)
    if values is not None:
        axis["values"] = list(values)
    return axis


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
    """A chart of a page at its size, in the looks that all share.

    Args:
        chart: what to style.
        height: of the plot, in pixels.
        width: of the whole, names included; None: `plot_width` rules.
        plot_width: of the plot alone.
    """
    if width is None:
        sized = chart.properties(width=plot_width, height=height)
    else:
        fit = alt.AutoSizeParams(type="fit-x", contains="padding")
        sized = chart.properties(width=width, height=height, autosize=fit)
    return styled(sized, padding=4)
