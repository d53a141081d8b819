"""A cell drawn as its graph, in a layout in which labels can't overlap.

Nodes stand in a row. An edge to the next node is straight; a longer edge runs in a lane of its own above or below the
row. A label stands on its lane between two nodes, where no other edge passes.
"""

from __future__ import annotations

import html
from dataclasses import dataclass

from tanas.networks.cell import Cell, Edge
from tanas.networks.operations import ZERO

GLYPH = 7.2
"""At least the width of a bold letter of 11.5 pixels: labels are measured without a font."""
LABEL = 22
"""Height of a label."""
LANE = 34
"""Pixels from lane to lane."""
NODE_HEIGHT = 44
PORT = 12
"""Pixels between two edges that end at one side of a node."""
RADIUS = 9
"""Of the bends."""
MARGIN = 10


@dataclass(frozen=True, kw_only=True)
class Lane:
    """Where a long edge runs."""

    edge: Edge
    side: int
    """-1 above the row of nodes, 1 below."""
    level: int
    """From 1, the lane next to the nodes."""


def kind_of(operation: str) -> str:
    """The kind of an operation, which says its colour: convolution, pooling, identity, zero or other."""
    if "conv" in operation:
        return "convolution"
    if "pool" in operation:
        return "pooling"
    if operation in ("identity", ZERO):
        return operation
    return "other"


def lanes_of(cell: Cell) -> tuple[Lane, ...]:
    """A lane for every edge that skips a node; short edges run near the nodes, and few edges cross."""
    taken: list[Lane] = []
    long = [edge for edge in cell.edges if edge[1] - edge[0] > 1]
    for edge in sorted(long, key=lambda e: (e[1] - e[0], e[0])):
        options = []
        for side in (-1, 1):
            beside = [lane for lane in taken if lane.side == side and _overlap(lane.edge, edge)]
            crossed = sum(_cross(lane.edge, edge) for lane in beside)
            level = 1 + max((lane.level for lane in beside), default=0)
            options.append((crossed, level, side))
        _, level, side = min(options)
        taken.append(Lane(edge=edge, side=side, level=level))
    return tuple(taken)


def draw_cell(cell: Cell) -> str:
    """A cell as an SVG element that takes its colours from the page's classes and variables."""
    lanes = lanes_of(cell)
    above = max((lane.level for lane in lanes if lane.side == -1), default=0)
    below = max((lane.level for lane in lanes if lane.side == 1), default=0)
    names = [name for _, _, name in cell.edges] or [""]
    gap = max(GLYPH * max(map(len, names)) + 46, 96)
    ports = {
        (node, side): [lane for lane in lanes if lane.side == side and node in lane.edge[:2]]
        for node in range(cell.nodes)
        for side in (-1, 1)
    }
    node_width = max(64, PORT * (max(map(len, ports.values())) + 1))
    step = node_width + gap
    middle = MARGIN + LABEL / 2 + above * LANE + NODE_HEIGHT / 2
    width = 2 * MARGIN + node_width * cell.nodes + gap * (cell.nodes - 1)
    height = middle + NODE_HEIGHT / 2 + below * LANE + LABEL / 2 + MARGIN

    def centre(node: int) -> float:
        return MARGIN + node_width / 2 + node * step

    def port(lane: Lane, node: int) -> float:
        # from left to right: those that come (longest last), then those that go (longest first),
        # so that the edges of a node do not cross one another
        def place(other: Lane) -> tuple[int, int]:
            return (0, other.level) if other.edge[1] == node else (1, -other.level)

        order = sorted(ports[node, lane.side], key=place)
        return centre(node) + PORT * (order.index(lane) - (len(order) - 1) / 2)

    lines, labels = [], []
    for start, end, name in cell.edges:
        if end - start == 1:
            left, right = centre(start) + node_width / 2, centre(end) - node_width / 2
            lines.append(_line(name, f"M{left:g},{middle:g}H{right - 2:g}"))
            labels.append(_label(name, (left + right) / 2 - 3, middle))
    for lane in lanes:
        start, end, name = lane.edge
        left, right = port(lane, start), port(lane, end)
        edge_of_node = middle + lane.side * NODE_HEIGHT / 2
        y = edge_of_node + lane.side * lane.level * LANE
        tip = edge_of_node + lane.side * 2
        back = -lane.side * RADIUS
        lines.append(
            _line(
                name,
                f"M{left:g},{edge_of_node:g}V{y + back:g}Q{left:g},{y:g} {left + RADIUS:g},{y:g}"
                f"H{right - RADIUS:g}Q{right:g},{y:g} {right:g},{y + back:g}V{tip:g}",
            )
        )
        # the gap between two nodes that is nearest to the middle: no other edge goes up or down there
        between = start + (end - start - 1) // 2
        labels.append(_label(name, (centre(between) + centre(between + 1)) / 2, y))
    lefts = [centre(node) - node_width / 2 for node in range(cell.nodes)]
    nodes = [_node(node, cell.nodes, left, middle, node_width) for node, left in enumerate(lefts)]
    kinds = sorted({kind_of(name) for name in names})
    heads = "".join(
        f'<marker id="head-{kind}" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="8" markerHeight="8" '
        f'markerUnits="userSpaceOnUse" orient="auto"><path class="head {kind}" d="M0,0L8,4L0,8z"/></marker>'
        for kind in kinds
    )
    spoken = "; ".join(f"{a} to {b}: {name}" for a, b, name in cell.edges) or "no edge: it passes nothing"
    return (
        f'<svg class="cell" role="img" aria-label="Cell of {cell.nodes} nodes. {html.escape(spoken)}." '
        f'width="{width:g}" height="{height:g}" viewBox="0 0 {width:g} {height:g}"><defs>{heads}</defs>'
        + "".join(lines + nodes + labels)
        + "</svg>"
    )


def _overlap(edge: Edge, other: Edge) -> bool:
    return edge[0] < other[1] and other[0] < edge[1]


def _cross(edge: Edge, other: Edge) -> bool:
    (a, b), (c, d) = sorted((edge[:2], other[:2]))
    return a < c < b < d


def _line(operation: str, path: str) -> str:
    kind = kind_of(operation)
    return f'<path class="edge {kind}" d="{path}" marker-end="url(#head-{kind})"/>'


def _label(operation: str, x: float, y: float) -> str:
    width = GLYPH * len(operation) + 18
    return (
        f'<g class="label {kind_of(operation)}"><rect x="{x - width / 2:g}" y="{y - LABEL / 2:g}" '
        f'width="{width:g}" height="{LABEL}" rx="{LABEL / 2:g}"/>'
        f'<text x="{x:g}" y="{y + 4:g}">{html.escape(operation)}</text></g>'
    )


def _node(node: int, nodes: int, left: float, middle: float, width: float) -> str:
    name = "input" if node == 0 else "output" if node == nodes - 1 else ""
    texts = f'<text x="{left + width / 2:g}" y="{middle + (-2 if name else 5):g}">{node}</text>'
    if name:
        texts += f'<text class="name" x="{left + width / 2:g}" y="{middle + 14:g}">{name}</text>'
    return (
        f'<g class="node"><rect x="{left:g}" y="{middle - NODE_HEIGHT / 2:g}" width="{width:g}" '
        f'height="{NODE_HEIGHT}" rx="10"/>{texts}</g>'
    )
