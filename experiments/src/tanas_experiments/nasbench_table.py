"""The table of NAS-Bench-201: accuracies of 15,625 trained cells on several data sets, read from a user's own file.

Source: Dong and Yang, NAS-Bench-201, ICLR 2020; Dong et al., NATS-Bench, TPAMI 2021.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from tanas.ground.errors import DataError
from tanas.networks.cell import Cell, pairs_of
from tanas.networks.operations import ZERO
from tanas.spaces.prior import placed

OPERATIONS = MappingProxyType(
    {
        "none": ZERO,
        "skip_connect": "identity",
        "nor_conv_1x1": "conv_1x1",
        "nor_conv_3x3": "conv_3x3",
        "avg_pool_3x3": "avg_pool_3x3",
    }
)
"""The table's names of operations, and ours."""

NODES = 4
EDGES = 6
PATTERN = re.compile(r"\|(\w+)~0\|\+\|(\w+)~0\|(\w+)~1\|\+\|(\w+)~0\|(\w+)~1\|(\w+)~2\|")
"""A cell as the table writes it: its edges (0,1), (0,2), (1,2), (0,3), (1,3), (2,3)."""

LEAST_CELLS = 30
"""Of a table: with fewer there is nothing to search in, and no rank correlation that says anything."""

Values = NDArray[np.float64]
Places = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class NasTable:
    """Accuracies of cells on several data sets."""

    names: tuple[str, ...]
    """Of the data sets."""
    cells: tuple[Cell, ...]
    """Of each row, in canonical form."""
    codes: Places
    """The operation on each edge as written, by its place in `OPERATIONS`, (rows, 6)."""
    accuracies: Values
    """In percent, (rows, data sets)."""

    @cached_property
    def rows(self) -> Mapping[tuple[int, ...], int]:
        """The row of each cell, by its codes."""
        return {tuple(code): row for row, code in enumerate(self.codes.tolist())}

    @cached_property
    def canonical_codes(self) -> Places:
        """As `codes`, where the edges of the canonical form lie; -1 throughout for a cell that connects nothing."""
        place = {name: at for at, name in enumerate(OPERATIONS.values())}
        codes = np.full_like(self.codes, -1)
        for row, cell in enumerate(self.cells):
            if cell.edges:
                held = placed(cell, NODES)
                codes[row] = [place[held.get(pair, ZERO)] for pair in pairs_of(NODES)]
        return codes

    @cached_property
    def neighbours(self) -> list[list[int]]:
        """Rows that differ in one edge, for each row."""
        found = []
        for code in self.codes.tolist():
            changed = [
                (*code[:at], other, *code[at + 1 :])
                for at in range(EDGES)
                for other in range(len(OPERATIONS))
            ]
            found.append([self.rows[c] for c in changed if c in self.rows and list(c) != code])
        return found

    @cached_property
    def neighbours_mean(self) -> Values:
        """Mean accuracy of the cells that differ in one edge; a cell without any has its own, (rows, data sets)."""
        return np.stack(
            [
                self.accuracies[near or [row]].mean(axis=0)  # (data sets,)
                for row, near in enumerate(self.neighbours)
            ]
        )


def read_table(path: Path) -> NasTable:
    """Reads a table: a header `arch,NAME,NAME…`, then a row a cell, accuracies in percent.

    Args:
        path: of a CSV file. It may hold any of the space's cells; those it leaves out are not searched.

    Raises:
        DataError: the file is missing or not of that form; the message names the first wrong line.
    """
    lines = _lines(path)
    names = tuple(name.strip() for name in lines[0][1:]) if lines else ()
    if not lines or lines[0][0].strip() != "arch" or len(names) < 2:
        raise DataError(
            f"{path} has to begin with the line 'arch,NAME,NAME', with the names of at least two data sets. "
            f"Got {','.join(lines[0]) if lines else 'an empty file'!r} instead."
        )
    if len(set(names)) < len(names) or not all(names):
        raise DataError(
            f"The data sets of {path} must have names that differ. Got {', '.join(names)} instead."
        )
    place = {name: at for at, name in enumerate(OPERATIONS)}
    codes, accuracies = dict[tuple[int, ...], None](), []
    for number, row in enumerate(lines[1:], start=2):
        match = PATTERN.fullmatch(row[0].strip()) if row else None
        if match is None or any(name not in place for name in match.groups()):
            raise DataError(
                f"Line {number} of {path} is no cell of NAS-Bench-201: {row[0] if row else 'it is empty'}. "
                "A cell is written like |nor_conv_3x3~0|+|none~0|skip_connect~1|+|none~0|none~1|nor_conv_1x1~2|; "
                f"its operations are {', '.join(place)}."
            )
        code = tuple(place[name] for name in match.groups())
        if code in codes:
            raise DataError(f"Line {number} of {path} has a cell that an earlier line has, too: {row[0]}.")
        codes[code] = None
        accuracies.append(_accuracies(row[1:], len(names), f"Line {number} of {path}"))
    if len(codes) < LEAST_CELLS:
        raise DataError(f"{path} must hold at least {LEAST_CELLS} cells. Got {len(codes)} instead.")
    found = np.array(accuracies)  # (rows, data sets)
    for name, column in zip(names, found.T, strict=True):
        if column.max() <= 1:
            raise DataError(
                f"The accuracies of {name} in {path} must be in percent. Got at most {column.max():g} instead: "
                "multiply shares by 100."
            )
    ours = tuple(OPERATIONS.values())
    cells = tuple(Cell.complete(NODES, tuple(ours[at] for at in code)).canonical() for code in codes)
    return NasTable(names=names, cells=cells, codes=np.array(list(codes)), accuracies=found)


def _lines(path: Path) -> list[list[str]]:
    """The file's lines as lists of texts."""
    if not path.is_file():
        raise DataError(
            f"There is no table {path}. Put NAS-Bench-201's there as CSV: a header 'arch' and the data sets' names, "
            "then a row a cell such as '|nor_conv_3x3~0|+|none~0|…|,93.66,70.29', accuracies in percent."
        )
    try:
        with path.open(
            newline="", encoding="utf-8-sig"
        ) as file:  # a spreadsheet may have put a mark before it
            return list(csv.reader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{path} can't be read as CSV in UTF-8: {error}. Save it anew in that form."
        ) from error


def _accuracies(texts: list[str], expected: int, where: str) -> list[float]:
    try:
        values = [float(text) for text in texts]
    except ValueError as error:
        raise DataError(f"{where} holds an accuracy that is no number: {', '.join(texts)}.") from error
    if len(values) != expected or not all(0 <= value <= 100 for value in values):
        raise DataError(
            f"{where} must hold {expected} accuracies in percent. Got {', '.join(texts) or 'none'} instead."
        )
    return values
