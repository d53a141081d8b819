"""Colours and font of all charts, and their conversion to SVG or a file, without network or browser."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import altair as alt
import vl_convert

from tanas.ground.errors import SettingError
from tanas.ground.records import write_bytes

INK, MUTED, LINE, PAPER = "#1b2430", "#566273", "#d8dee6", "#fffffe"
BLUE, ORANGE = "#0072b2", "#c85200"
"""Of Okabe and Ito's palette for the colour-blind; orange is darkened for contrast."""

THEME = {INK: "ink", MUTED: "muted", LINE: "line", PAPER: "card", BLUE: "blue", ORANGE: "orange"}
"""Colours that a page replaces by its own variables, light or dark."""

SUFFIXES = (".svg", ".png", ".html")

Chart = alt.Chart | alt.LayerChart
"""A drawn chart."""


def styled(chart: Any, *, padding: int = 8) -> Chart:
    """A chart of Altair in the project's colours and font; `padding` is in pixels."""
    made: Chart = (
        chart.properties(padding=padding)
        .configure(aria=False, font="Arial, Helvetica, sans-serif")
        .configure_text(fontSize=12.5)
        .configure_view(stroke=None)
        .configure_axis(
            labelColor=INK,
            labelFontSize=12.5,
            titleColor=MUTED,
            titleFontSize=12.5,
            titleFontWeight="normal",
            titlePadding=8,
            gridColor=LINE,
            domainColor=LINE,
            tickColor=LINE,
        )
        .configure_header(labelColor=INK, labelFontSize=12.5)
    )
    return made


def to_svg(chart: Chart, ground: str = "white") -> str:
    """A chart as an SVG document; equal charts give equal text."""
    return str(vl_convert.vegalite_to_svg(_specification(chart, ground), allowed_base_urls=[]))


def inline_svg(chart: Chart, label: str, *, shrinks: bool = True) -> str:
    """A chart as an SVG element in the colours and font of its page.

    Args:
        chart: to draw.
        label: for people who can't see it.
        shrinks: whether it gets smaller with its column; else the column scrolls.
    """
    svg = to_svg(chart, "transparent")
    for colour, name in THEME.items():
        svg = svg.replace(f'"{colour}"', f'"var(--{name})"')
    size = re.search(r'<svg[^>]* width="([\d.]+)" height="([\d.]+)"[^>]*>', svg)
    assert size is not None  # vl-convert always states both
    width, height = size.groups()
    opening = (
        f'<svg class="chart{" shrinks" if shrinks else ""}" role="img" aria-label="{html.escape(label)}" '
        f'width="{width}" height="{height}" viewBox="0 0 {width} {height}">'
    )
    return opening + svg[size.end() :]


def save(chart: Chart, path: Path) -> None:
    """Write a chart as .svg, .png or .html (offline, without scripts), by the suffix of the path.

    Raises:
        SettingError: another suffix.
        StoreError: the file can't be written.
    """
    suffix = check_suffix(path)
    if suffix == ".png":
        content = vl_convert.vegalite_to_png(_specification(chart, "white"), scale=2, allowed_base_urls=[])
    elif suffix == ".svg":
        content = to_svg(chart).encode()
    else:
        content = (
            '<!doctype html>\n<html lang="en">\n<meta charset="utf-8">\n'
            f"<title>{html.escape(path.stem)}</title>\n<body>\n{to_svg(chart)}\n</body>\n</html>\n"
        ).encode()
    write_bytes(path, content)


def check_suffix(path: Path) -> str:
    """The suffix of a chart's file, in lower case; SettingError if no chart can be written as such."""
    suffix = path.suffix.lower()
    if suffix not in SUFFIXES:
        raise SettingError(
            f"A chart can be written as {', '.join(SUFFIXES)}. Got {path.name!r} instead: change its suffix."
        )
    return suffix


def _specification(chart: Chart, ground: str) -> dict[str, Any]:
    # each part was checked when it was made; checking thousands of values again takes seconds
    return chart.properties(background=ground).to_dict(validate=False)
