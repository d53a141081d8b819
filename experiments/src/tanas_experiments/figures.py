"""Charts of the experiments: plain values -> an Altair chart, as in `charts`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

from tanas.reports.theme import BLUE, INK, LINE, MUTED, ORANGE, PAPER, Chart, styled

CELL = 62
"""Pixels of a cell: an interval of two numbers fits below its number."""
GAP = 12
"""Pixels between two groups of rows or columns."""
LEAF = 28
"""Pixels between two leaves of a tree."""
TREE_WIDTH = 420
GROUP_COLOURS = (BLUE, ORANGE, INK, MUTED)
"""Of the groups in a tree, in order; after the last it begins anew."""

Point = tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell of a matrix."""

    row: int
    column: int
    label: str
    note: str
    """Stands small below the label."""
    strength: float | None
    """0 blank to 1 full colour; None: the cell of something and itself."""


def matrix_chart(
    rows: Sequence[str],
    columns: Sequence[str],
    *,
    row_groups: Sequence[str],
    column_groups: Sequence[str],
    cells: Sequence[Cell],
) -> Chart:
    """A matrix with its rows and columns in groups, a number and a note in each cell.

    Args:
        rows: their names.
        columns: their names.
        row_groups: the group of each row; equal ones stand together, with a gap between groups.
        column_groups: of each column.
        cells: in any order.
    """
    tops, lefts = _places(row_groups), _places(column_groups)
    height, width = tops[-1] + CELL, lefts[-1] + CELL
    values: list[dict[str, Any]] = [
        {
            "x": lefts[cell.column] + 1,
            "x2": lefts[cell.column] + CELL - 1,
            "y": tops[cell.row] + 1,
            "y2": tops[cell.row] + CELL - 1,
            "middle": lefts[cell.column] + CELL / 2,
            "upper": tops[cell.row] + CELL / 2 - (7 if cell.note else 0),
            "lower": tops[cell.row] + CELL / 2 + 11,
            "label": cell.label,
            "note": cell.note,
            "strength": 0.0 if cell.strength is None else 0.04 + 0.88 * cell.strength,
            "ink": PAPER if cell.strength is not None and cell.strength > 0.62 else INK,
        }
        for cell in cells
    ]
    x = alt.X("x:Q", axis=None, scale=alt.Scale(domain=[0, width], nice=False))
    y = alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[height, 0], nice=False))
    base = alt.Chart(alt.InlineData(values=values))
    tiles = base.mark_rect(color=BLUE, stroke=LINE, strokeWidth=1).encode(
        x=x, x2="x2:Q", y=y, y2="y2:Q", fillOpacity=alt.FillOpacity("strength:Q", scale=None)
    )
    ink = alt.Color("ink:N", scale=None)
    labels = base.mark_text(fontSize=14).encode(x="middle:Q", y="upper:Q", text="label:N", color=ink)
    notes = base.mark_text(fontSize=9.5).encode(x="middle:Q", y="lower:Q", text="note:N", color=ink)
    sides = alt.Chart(
        alt.InlineData(
            values=[{"x": -8, "y": top + CELL / 2, "name": n} for top, n in zip(tops, rows, strict=True)]
        )
    ).mark_text(align="right", fontSize=13, color=INK)
    heads = alt.Chart(
        alt.InlineData(
            values=[
                {"x": left + CELL / 2, "y": -8, "name": n} for left, n in zip(lefts, columns, strict=True)
            ]
        )
    ).mark_text(align="left", angle=310, fontSize=13, color=INK)
    corner = alt.Chart(alt.InlineData(values=[{"x": -8, "y": -8, "name": "source \\ target"}])).mark_text(
        align="right", fontSize=12, color=MUTED
    )
    named = {"x": alt.X("x:Q"), "y": alt.Y("y:Q"), "text": alt.Text("name:N")}
    layers = alt.layer(tiles, labels, notes, *(layer.encode(**named) for layer in (sides, heads, corner)))
    return styled(layers.properties(width=width, height=height))


def tree_chart(
    leaves: Sequence[str], groups: Sequence[str], joins: Sequence[tuple[Point, ...]], *, title: str
) -> Chart:
    """A tree lying on its side: leaves on the left, each join at its height.

    Args:
        leaves: names from top to bottom.
        groups: of each leaf: gives its colour.
        joins: lines through (height, place) points; the places of the leaves are 0, 1, 2 and so on.
        title: says what the heights are.
    """
    names = list(dict.fromkeys(groups))
    colours = {name: GROUP_COLOURS[at % len(GROUP_COLOURS)] for at, name in enumerate(sorted(names))}
    top = max((height for join in joins for height, _ in join), default=1.0) or 1.0
    lines = [
        {"join": at, "step": step, "x": height, "y": place}
        for at, join in enumerate(joins)
        for step, (height, place) in enumerate(join)
    ]
    texts = [
        {"x": 0, "y": at, "name": leaf, "colour": colours[group]}
        for at, (leaf, group) in enumerate(zip(leaves, groups, strict=True))
    ]
    x = alt.X(
        "x:Q",
        title=title,
        axis=alt.Axis(tickCount=6, grid=True),
        scale=alt.Scale(domain=[0, 1.04 * top], nice=False),
    )
    y = alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[len(leaves) - 0.5, -0.5], nice=False))
    branches = (
        alt.Chart(alt.InlineData(values=lines))
        .mark_line(color=INK, strokeWidth=1.5)
        .encode(x=x, y=y, detail="join:N", order="step:Q")
    )
    labels = (
        alt.Chart(alt.InlineData(values=texts))
        .mark_text(align="right", dx=-8, fontSize=13)
        .encode(x=x, y=y, text="name:N", color=alt.Color("colour:N", scale=None))
    )
    return styled(alt.layer(branches, labels).properties(width=TREE_WIDTH, height=LEAF * len(leaves)))


def _places(groups: Sequence[str]) -> list[float]:
    """Where each of the rows begins, in pixels, with a gap wherever the group changes."""
    places, at = [], 0.0
    for before, group in zip([*groups[:1], *groups], groups, strict=False):
        at += GAP if group != before else 0
        places.append(at)
        at += CELL
    return places
