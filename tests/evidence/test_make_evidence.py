"""The parts of docs/ that show records: made, and found out when they differ."""

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.evidence.small_records import record_of

from tanas.evidence.figure2 import statements_of
from tanas.records import write_json

SCRIPT = Path(__file__).parents[2] / "scripts" / "make_evidence.py"
ORDERS = np.array([[[0, 0.1, 0.6, 0.7], [0.2, 0, 0.65, 0.8], [0.9, 1.2, 0, 0.3], [0.8, 1.3, 0.25, 0]]] * 2)


@pytest.fixture(scope="module")
def script():
    specification = importlib.util.spec_from_file_location("make_evidence", SCRIPT)
    module = importlib.util.module_from_spec(specification)
    sys.modules["make_evidence"] = module  # dataclasses look their module up
    specification.loader.exec_module(module)
    yield module
    del sys.modules["make_evidence"]


@pytest.fixture
def project(tmp_path):
    """A project with a record and a page that has a place for it."""
    record = record_of(ORDERS)
    write_json(
        tmp_path / "benchmarks/records/figure2.json",
        replace(record, statements=statements_of(record, None, ())),
    )
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/figure2.md").write_text(
        "# Page\n\n<!-- begin figure2 -->\nwhat was here before\n<!-- end figure2 -->\n\nMine.\n"
    )
    return tmp_path


def ours(script):
    """The parts that come from the one record of the project."""
    return tuple(source for source in script.SOURCES if source.name == "figure2")


def test_what_was_made_is_whole_and_what_stands_around_it_stays(script, project, capsys):
    assert script.main([], project, ours(script)) == 0
    text = (project / "docs/figure2.md").read_text()
    assert text.startswith("# Page\n\n<!-- begin figure2 -->\n")
    assert text.endswith("<!-- end figure2 -->\n\nMine.\n")
    assert "what was here before" not in text
    assert "Scale `smoke`, method `transform`, n = 2 seeds" in text
    assert "(pictures/figure2.svg)" in text
    assert (project / "docs/pictures/figure2.svg").read_text().startswith("<svg")

    capsys.readouterr()
    assert script.main(["--check"], project, ours(script)) == 0
    assert capsys.readouterr().out == ""
    assert script.main([], project, ours(script)) == 0
    assert capsys.readouterr().out == "", "nothing is left to be written"


def test_a_number_that_was_changed_on_the_page_is_found(script, project, capsys):
    script.main([], project, ours(script))
    page = project / "docs/figure2.md"
    page.write_text(page.read_text().replace("0.97", "0.98"))
    capsys.readouterr()
    assert script.main(["--check"], project, ours(script)) == 1
    assert "docs/figure2.md is not what its record gives." in capsys.readouterr().out


def test_a_record_that_was_measured_again_makes_page_and_pictures_old(script, project, capsys):
    script.main([], project, ours(script))
    record = record_of(1.1 * ORDERS)
    write_json(project / "benchmarks/records/figure2.json", record)
    capsys.readouterr()
    assert script.main(["--check"], project, ours(script)) == 1
    out = capsys.readouterr().out
    for name in ("docs/figure2.md", "docs/pictures/figure2.svg", "docs/pictures/tasks.svg"):
        assert f"{name} is not what its record gives." in out


def test_without_a_record_the_page_says_so(script, project):
    (project / "benchmarks/records/figure2.json").unlink()
    assert script.main([], project, ours(script)) == 0
    assert "It has not been measured yet." in (project / "docs/figure2.md").read_text()


def test_a_page_without_a_place_is_refused(script, project):
    (project / "docs/figure2.md").write_text("# Page\n")
    with pytest.raises(ValueError, match="has no part between '<!-- begin figure2 -->'"):
        script.main([], project, ours(script))
