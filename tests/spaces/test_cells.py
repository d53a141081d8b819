from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy.stats import chisquare  # type: ignore[import-untyped]

from tanas.networks.cell import Cell
from tanas.seeds import Seed
from tanas.spaces.cells import count_cells, draw_cell, enumerate_cells, topologies

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


def test_without_zero_every_cell_is_the_complete_dag() -> None:
    assert count_cells(4, ("a", "b", "c")) == 3**6
    assert all(len(cell.edges) == 6 for cell in enumerate_cells(4, ("a", "b")))


@pytest.mark.parametrize(
    ("nodes", "operations"), [(4, ("a", "b", "zero")), (5, ("a", "zero")), (3, ("a", "b"))], ids=str
)
def test_every_cell_is_drawn_equally_often(nodes: int, operations: tuple[str, ...]) -> None:
    cells = list(enumerate_cells(nodes, operations))
    place = {cell: index for index, cell in enumerate(cells)}
    generator = Seed(11).numpy()
    drawn = [place[draw_cell(nodes, operations, generator)] for _ in range(20 * len(cells))]
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
