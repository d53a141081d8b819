import re
import xml.etree.ElementTree as ElementTree
from itertools import combinations

import pytest

from tanas.networks.cell import Cell
from tanas.networks.operations import operation_names
from tanas.reports.cell_diagram import draw_cell, kind_of, lanes_of
from tanas.spaces.named import named_space


def complete(nodes, operation="conv_7x1_1x7"):
    return Cell.complete(nodes, (operation,) * (nodes * (nodes - 1) // 2))


def boxes(svg, kind):
    """(left, top, right, bottom) of the rectangles in groups of a class."""
    found = []
    for group in ElementTree.fromstring(svg).iter("g"):
        if group.get("class").split()[0] == kind:
            box = group.find("rect")
            left, top, width, height = (float(box.get(key)) for key in ("x", "y", "width", "height"))
            found.append((left, top, left + width, top + height))
    return found


def meet(one, other):
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


@pytest.mark.parametrize("nodes", [2, 3, 4, 5, 6, 7])
class TestCompleteCell:
    def test_labels_and_nodes_never_meet(self, nodes):
        svg = draw_cell(complete(nodes))
        placed = boxes(svg, "label") + boxes(svg, "node")
        assert len(placed) == nodes * (nodes - 1) // 2 + nodes
        for one, other in combinations(placed, 2):
            assert not meet(one, other)

    def test_no_edge_runs_up_or_down_through_a_label(self, nodes):
        svg = draw_cell(complete(nodes))
        ups = []
        for edge in re.findall(r'class="edge [^"]*" d="(M[^"]*Q[^"]*)"', svg):
            x1, start, lane = re.match(r"M([\d.]+),([\d.]+)V[\d.]+Q[\d.]+,([\d.]+) ", edge).groups()
            x2 = re.search(r" ([\d.]+),[\d.]+V[\d.]+$", edge)[1]
            top, bottom = sorted((float(start), float(lane)))
            ups += [(float(x), top, float(x), bottom) for x in (x1, x2)]
        assert ups or nodes == 2, "two nodes have a straight edge alone"
        for label in boxes(svg, "label"):
            for x, top, _, bottom in ups:
                assert not (label[0] < x < label[2] and label[1] < bottom and top < label[3])

    def test_all_is_inside_the_picture(self, nodes):
        svg = draw_cell(complete(nodes))
        width, height = map(float, re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', svg).groups())
        placed = boxes(svg, "label") + boxes(svg, "node")
        assert placed
        for left, top, right, bottom in placed:
            assert left >= 0
            assert top >= 0
            assert right <= width
            assert bottom <= height

    def test_edges_that_overlap_on_one_side_have_lanes_of_their_own(self, nodes):
        lanes = lanes_of(complete(nodes))
        assert len(lanes) == (nodes - 1) * (nodes - 2) // 2
        for one, other in combinations(lanes, 2):
            apart = one.edge[1] <= other.edge[0] or other.edge[1] <= one.edge[0]
            assert apart or (one.side, one.level) != (other.side, other.level)


def test_a_cell_without_edges_is_two_nodes():
    svg = draw_cell(Cell(2, ()))
    assert len(boxes(svg, "node")) == 2
    assert boxes(svg, "label") == []


def test_every_edge_is_named_and_has_the_colour_of_its_kind():
    cell = Cell(3, ((0, 1, "identity"), (0, 2, "max_pool_3x3"), (1, 2, "sep_conv_3x3")))
    svg = draw_cell(cell)
    for operation, kind in (("identity",) * 2, ("max_pool_3x3", "pooling"), ("sep_conv_3x3", "convolution")):
        assert f'class="edge {kind}"' in svg
        assert f">{operation}</text>" in svg


def test_hostile_operation_names_are_escaped():
    svg = draw_cell(Cell(2, ((0, 1, "<script>"),)))
    assert "<script>" not in svg
    assert "&lt;script&gt;" in svg


def test_every_operation_of_tanas_has_a_kind():
    # those of its own spaces: other tests register operations of their own
    shipped = ("paper", "standard", "authors", "nas-bench-201", "darts")
    own = {name for space in shipped for name in named_space(space).operations}
    assert own <= set(operation_names())
    assert {kind_of(name) for name in own} == {"convolution", "pooling", "identity", "zero"}
    assert kind_of("attention") == "other"
