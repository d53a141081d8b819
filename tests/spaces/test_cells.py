from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest
from scipy.stats import chisquare  # type: ignore[import-untyped]

from tanas.ground.seeds import Seed
from tanas.networks.cell import Cell
from tanas.spaces.cells import count_cells, draw_cell, enumerate_cells, holds_cell, topologies

PAPER = ("dil_conv_3x3", "identity", "max_pool_2x2", "sep_conv_3x3", "zero")


def brute_force(nodes: int, operations: tuple[str, ...]) -> set[Cell]:
    edges = nodes * (nodes - 1) // 2
    cells = {Cell.complete(nodes, names).canonical() for names in product(operations, repeat=edges)}
    return {cell for cell in cells if cell.connected}


def test_the_papers_15625_labelled_cells_are_8764_that_differ() -> None:
    every = brute_force(4, PAPER)
    listed = list(enumerate_cells(4, PAPER))
    assert len(listed) == len(set(listed)) == count_cells(4, PAPER) == 8764
    assert set(listed) == every


@pytest.mark.parametrize(
    ("nodes", "operations"),
    [
        (2, ("a", "zero")),
        (3, ("a", "b", "c", "zero")),
        (4, ("a", "zero")),
        (4, ("a", "b")),
        (5, ("a", "zero")),
    ],
    ids=str,
)
def test_counts_and_lists_are_those_of_brute_force(nodes: int, operations: tuple[str, ...]) -> None:
    every = brute_force(nodes, operations)
    listed = list(enumerate_cells(nodes, operations))
    assert set(listed) == every
    assert len(listed) == len(every) == count_cells(nodes, operations)


def within(cell: Cell, inputs: int) -> bool:
    """Whether at most so many edges end in each node."""
    return cell.most_inputs <= inputs


@pytest.mark.parametrize(
    ("nodes", "operations", "inputs"),
    [(4, ("a", "b", "zero"), 2), (4, ("a", "b", "zero"), 1), (5, ("a", "zero"), 2), (5, ("a", "zero"), 9)],
    ids=str,
)
def test_with_inputs_at_most_so_many_edges_end_in_a_node(
    nodes: int, operations: tuple[str, ...], inputs: int
) -> None:
    every = {cell for cell in enumerate_cells(nodes, operations) if within(cell, inputs)}
    listed = list(enumerate_cells(nodes, operations, inputs=inputs))
    assert set(listed) == every
    assert len(listed) == len(every) == count_cells(nodes, operations, inputs=inputs)


def exactly_two(nodes: int, operations: tuple[str, ...]) -> set[Cell]:
    """Every choice of two earlier nodes for each node (one for the first), with operations; none left unconnected."""
    choices = [list(combinations(range(end), min(end, 2))) for end in range(1, nodes)]
    pairs = ([(a, b) for b, starts in enumerate(chosen, 1) for a in starts] for chosen in product(*choices))
    return {
        Cell(nodes, tuple((a, b, name) for (a, b), name in zip(edges, names, strict=True))).canonical()
        for edges in pairs
        for names in product(operations, repeat=len(edges))
    }


@pytest.mark.parametrize(
    ("nodes", "operations"), [(3, ("a", "b")), (4, ("a", "b")), (5, ("a",)), (6, ("a",))], ids=str
)
def test_with_inputs_and_without_zero_each_node_keeps_exactly_so_many(
    nodes: int, operations: tuple[str, ...]
) -> None:
    every = exactly_two(nodes, operations)
    listed = list(enumerate_cells(nodes, operations, inputs=2))
    assert set(listed) == every
    assert len(listed) == len(every) == count_cells(nodes, operations, inputs=2)
    assert {cell.nodes for cell in listed} == set(range(3, nodes + 1)), (
        "a node that leads nowhere is left out"
    )


@pytest.mark.parametrize("inputs", [None, 1, 2, 3])
@pytest.mark.parametrize("operations", [("a", "b"), ("a", "b", "zero")], ids=["all edges", "absent edges"])
def test_holds_what_it_lists_and_nothing_else(operations: tuple[str, ...], inputs: int | None) -> None:
    listed = set(enumerate_cells(4, operations, inputs=inputs))
    everything = enumerate_cells(4, ("a", "b", "zero"))
    assert {cell for cell in everything if holds_cell(cell, 4, operations, inputs=inputs)} == listed
    assert not holds_cell(Cell(2, ()), 4, operations, inputs=inputs)
    assert not holds_cell(Cell(2, ((0, 1, "c"),)), 4, operations, inputs=inputs)


def test_without_zero_every_cell_is_the_complete_dag() -> None:
    assert count_cells(4, ("a", "b", "c")) == 3**6
    assert all(len(cell.edges) == 6 for cell in enumerate_cells(4, ("a", "b")))


@pytest.mark.parametrize(
    ("nodes", "operations", "inputs"),
    [
        (4, ("a", "b", "zero"), None),
        (5, ("a", "zero"), None),
        (3, ("a", "b"), None),
        (4, ("a", "b"), 2),
        (4, ("a", "b", "zero"), 2),
    ],
    ids=str,
)
def test_every_cell_is_drawn_equally_often(
    nodes: int, operations: tuple[str, ...], inputs: int | None
) -> None:
    cells = list(enumerate_cells(nodes, operations, inputs=inputs))
    place = {cell: index for index, cell in enumerate(cells)}
    generator = Seed(11).numpy()
    drawn = [place[draw_cell(nodes, operations, generator, inputs=inputs)] for _ in range(20 * len(cells))]
    counts = np.bincount(drawn, minlength=len(cells))
    assert chisquare(counts).pvalue > 0.01


def test_large_spaces_are_counted_without_a_list() -> None:
    operations = (*"abcdefg", "zero")
    assert count_cells(5, operations) == 707_382_431
    assert draw_cell(5, operations, Seed(0).numpy()).nodes <= 5


def test_symmetries_are_those_of_the_graph() -> None:
    parallel = next(t for t in topologies(4, absent=True) if t.pairs == ((0, 1), (0, 2), (1, 3), (2, 3)))
    assert parallel.symmetries == ((0, 1, 2, 3), (1, 0, 3, 2))
    assert parallel.cycles(parallel.symmetries[1]) == ((0, 1), (2, 3))
