"""Tables of the form of NAS-Bench-201's: read, or refused with the first wrong line."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from experiments.tests.small_table import cell_text, written

from tanas.ground.errors import DataError
from tanas_experiments.nasbench_table import LEAST_CELLS, read_table

NONE = cell_text(("none",) * 6)


def test_a_table_is_read_with_our_names(tmp_path: Path) -> None:
    table = read_table(written(tmp_path / "table.csv"))
    assert (table.names, len(table.cells)) == (("target", "near", "far"), 729)
    # the last row: the third operation on every edge
    assert table.cells[-1].edges[0] == (0, 1, "conv_1x1")
    assert not table.cells[0].connected
    assert table.accuracies.shape == (729, 3)


def test_cells_that_differ_in_one_edge_are_neighbours(tmp_path: Path) -> None:
    table = read_table(written(tmp_path / "table.csv"))
    assert [len(near) for near in table.neighbours] == [12] * 729
    assert all(np.sum(table.codes[row] != table.codes[5]) == 1 for row in table.neighbours[5])
    assert table.neighbours_mean[5] == pytest.approx(table.accuracies[table.neighbours[5]].mean(axis=0))


def test_a_mark_before_the_text_and_spaces_in_the_header_do_no_harm(tmp_path: Path) -> None:
    text = written(tmp_path / "table.csv").read_text().replace("arch,target,near", "arch, target, near")
    (tmp_path / "marked.csv").write_text("\ufeff" + text)
    assert read_table(tmp_path / "marked.csv").names == ("target", "near", "far")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has to begin with the line 'arch,NAME,NAME'.* Got 'an empty file' instead"),
        ("cell,a,b\n", "with the names of at least two data sets. Got 'cell,a,b' instead"),
        ("arch,a\n", "with the names of at least two data sets"),
        ("arch,a,a\n", "must have names that differ. Got a, a instead"),
        ("arch,a,\n", "must have names that differ"),
        ("arch,a,b\n|none~0|,1,2\n", "Line 2 of .* is no cell of NAS-Bench-201"),
        ("arch,a,b\n\n", "Line 2 of .* is no cell of NAS-Bench-201: it is empty"),
        (f"arch,a,b\n{NONE.replace('none~2', 'sep_conv~2')},1,2\n", "its operations are none, skip_connect"),
        (f"arch,a,b\n{NONE},1,x\n", "no number: 1, x"),
        (f"arch,a,b\n{NONE},1,nan\n", "must hold 2 accuracies"),
        (f"arch,a,b\n{NONE},1\n", "must hold 2 accuracies in percent. Got 1 instead"),
        (f"arch,a,b\n{NONE},1,101\n", "must hold 2 accuracies in percent"),
        (f"arch,a,b\n{NONE},1,2\n{NONE},1,2\n", "Line 3 .* an earlier line"),
        (f"arch,a,b\n{NONE},1,2\n", f"must hold at least {LEAST_CELLS} cells. Got 1 instead"),
    ],
    ids=lambda value: re.sub(r"\W+", " ", value)[:40],
)
def test_another_file_is_refused_with_its_first_wrong_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_table(tmp_path / "t.csv")


def test_shares_in_place_of_percents_are_refused(tmp_path: Path) -> None:
    lines = written(tmp_path / "table.csv").read_text().splitlines()
    shares = [",".join([*line.split(",")[:3], "0.5"]) for line in lines[1:]]
    (tmp_path / "shares.csv").write_text("\n".join([lines[0], *shares]))
    with pytest.raises(DataError, match=r"The accuracies of far in .* must be in percent. Got at most 0.5"):
        read_table(tmp_path / "shares.csv")


def test_what_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"arch,\xff\xfe")
    with pytest.raises(DataError, match="can't be read as CSV in UTF-8"):
        read_table(tmp_path / "t.csv")


@pytest.mark.parametrize("name", ["none.csv", "."])
def test_a_missing_table_is_refused_with_its_form(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match="There is no table .* a header 'arch'"):
        read_table(tmp_path / name)
