from __future__ import annotations

from itertools import product

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tanas.ground.errors import SettingError
from tanas.ground.seeds import Seed
from tanas.networks.cell import Cell, CellNetwork

OPERATIONS = ("identity", "zero", "max_pool_3x3", "avg_pool_3x3")

complete_cells = st.integers(2, 5).flatmap(
    lambda nodes: st.tuples(*[st.sampled_from(OPERATIONS)] * (nodes * (nodes - 1) // 2)).map(
        lambda names: Cell.complete(nodes, names)
    )
)


@settings(deadline=None)
@given(complete_cells)
def test_the_canonical_form_is_its_own(cell: Cell) -> None:
    assert cell.canonical().canonical() == cell.canonical()
    assert cell.canonical().connected == cell.connected


@settings(deadline=None)
@given(complete_cells)
def test_the_canonical_form_computes_the_same(cell: Cell) -> None:
    images = torch.randn(2, 2, 5, 4, generator=Seed(1).torch())
    whole, canonical = CellNetwork(cell, 2)(images), CellNetwork(cell.canonical(), 2)(images)
    torch.testing.assert_close(whole, canonical)


@settings(deadline=None)
@given(complete_cells, st.data())
def test_renumbered_inner_nodes_make_no_difference(cell: Cell, data: st.DataObject) -> None:
    inner = data.draw(st.permutations(range(1, cell.nodes - 1)))
    place = {0: 0, cell.nodes - 1: cell.nodes - 1, **dict(zip(range(1, cell.nodes - 1), inner, strict=True))}
    edges = [(place[a], place[b], name) for a, b, name in cell.edges if name != "zero"]
    if all(a < b for a, b, _ in edges):
        assert Cell(cell.nodes, tuple(edges)).canonical() == cell.canonical()


def test_dead_edges_and_unused_nodes_go() -> None:
    cell = Cell(
        5,
        (
            (0, 1, "identity"),  # leads nowhere
            (2, 4, "identity"),  # nothing reaches it
            (0, 3, "max_pool_3x3"),
            (3, 4, "identity"),
            (0, 4, "zero"),
        ),
    )
    assert cell.canonical() == Cell(3, ((0, 1, "max_pool_3x3"), (1, 2, "identity")))


def test_parallel_paths_in_another_order_are_the_same() -> None:
    one = Cell(4, ((0, 1, "a"), (1, 3, "b"), (0, 2, "c"), (2, 3, "d")))
    other = Cell(4, ((0, 1, "c"), (1, 3, "d"), (0, 2, "a"), (2, 3, "b")))
    assert one != other
    assert one.canonical() == other.canonical()


def test_paths_with_exchanged_ends_differ() -> None:
    one = Cell(4, ((0, 1, "a"), (1, 3, "b"), (0, 2, "c"), (2, 3, "d")))
    other = Cell(4, ((0, 1, "a"), (1, 3, "d"), (0, 2, "c"), (2, 3, "b")))
    assert one.canonical() != other.canonical()


def test_a_cell_that_connects_nothing_is_empty_and_gives_zeros() -> None:
    cell = Cell.complete(3, ("identity", "zero", "zero"))
    assert not cell.connected
    assert cell.canonical() == Cell(2, ())
    assert not CellNetwork(cell, 2)(torch.ones(1, 2, 3, 3)).any()


def test_a_node_is_the_sum_of_its_incoming_edges() -> None:
    cell = Cell.complete(3, ("identity",) * 3)
    images = torch.randn(2, 2, 3, 3)
    torch.testing.assert_close(CellNetwork(cell, 2)(images), 2 * images)


def test_the_complete_dag_lists_its_edges_by_their_end() -> None:
    cell = Cell.complete(4, ("a", "b", "c", "d", "e", "f"))
    held = {(start, end): name for start, end, name in cell.edges}
    assert held == {(0, 1): "a", (0, 2): "b", (1, 2): "c", (0, 3): "d", (1, 3): "e", (2, 3): "f"}


def test_edges_are_held_sorted() -> None:
    assert Cell(3, ((1, 2, "b"), (0, 1, "a"))) == Cell(3, ((0, 1, "a"), (1, 2, "b")))


@pytest.mark.parametrize(
    "edges", [((1, 0, "a"),), ((0, 3, "a"),), ((0, 1, "a"), (0, 1, "b")), ((1, 1, "a"),)], ids=str
)
def test_edges_that_are_none_are_refused(edges: tuple[tuple[int, int, str], ...]) -> None:
    with pytest.raises(
        SettingError, match="The 'edges' of Cell must go from a lower to a higher of its 3 nodes"
    ):
        Cell(3, edges)


def test_a_cell_of_one_node_is_refused() -> None:
    with pytest.raises(SettingError, match="The 'nodes' of Cell must be at least 2. Got 1 instead."):
        Cell(1, ())


def test_no_two_canonical_cells_of_three_nodes_are_isomorphic() -> None:
    cells = {Cell.complete(3, names).canonical() for names in product(OPERATIONS, repeat=3)}
    # alone 0 -> 2; the path; both: 3 operations on 1, 2 and 3 edges; and the empty cell
    assert len(cells) == 3 + 3**2 + 3**3 + 1
