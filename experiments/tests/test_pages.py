"""The pages that show records: made, and found out when they differ."""

from dataclasses import replace

import numpy as np
import pytest
from experiments.tests.small_records import record_of

from tanas.ground.records import write_json
from tanas_experiments import pages
from tanas_experiments.figure2 import statements_of

ORDERS = np.array([[[0, 0.1, 0.6, 0.7], [0.2, 0, 0.65, 0.8], [0.9, 1.2, 0, 0.3], [0.8, 1.3, 0.25, 0]]] * 2)


@pytest.fixture
def project(tmp_path):
    """A project with a record and a page that has a place for it."""
    record = record_of(ORDERS)
    write_json(
        tmp_path / "experiments/records/figure2.json",
        replace(record, statements=statements_of(record, None, ())),
    )
    (tmp_path / "experiments/pages").mkdir()
    (tmp_path / "experiments/pages/figure2.md").write_text(
        "# Page\n\n<!-- begin figure2 -->\nwhat was here before\n<!-- end figure2 -->\n\nMine.\n"
    )
    return tmp_path


def ours():
    """The parts that come from the one record of the project."""
    return tuple(source for source in pages.SOURCES if source.name == "figure2")


def test_what_was_made_is_whole_and_what_stands_around_it_stays(project, capsys):
    assert pages.main([], project, ours()) == 0
    text = (project / "experiments/pages/figure2.md").read_text()
    assert text.startswith("# Page\n\n<!-- begin figure2 -->\n")
    assert text.endswith("<!-- end figure2 -->\n\nMine.\n")
    assert "what was here before" not in text
    assert "Scale `smoke`, method `transform`, n = 2 seeds" in text
    assert "(pictures/figure2.svg)" in text
    assert (project / "experiments/pages/pictures/figure2.svg").read_text().startswith("<svg")

    capsys.readouterr()
    assert pages.main(["--check"], project, ours()) == 0
    assert capsys.readouterr().out == ""
    assert pages.main([], project, ours()) == 0
    assert capsys.readouterr().out == "", "nothing is left to be written"


def test_a_number_that_was_changed_on_the_page_is_found(project, capsys):
    pages.main([], project, ours())
    page = project / "experiments/pages/figure2.md"
    page.write_text(page.read_text().replace("0.97", "0.98"))
    capsys.readouterr()
    assert pages.main(["--check"], project, ours()) == 1
    assert "experiments/pages/figure2.md is not what its record gives." in capsys.readouterr().out


def test_a_record_that_was_measured_again_makes_page_and_pictures_old(project, capsys):
    pages.main([], project, ours())
    record = record_of(1.1 * ORDERS)
    write_json(project / "experiments/records/figure2.json", record)
    capsys.readouterr()
    assert pages.main(["--check"], project, ours()) == 1
    out = capsys.readouterr().out
    for name in (
        "experiments/pages/figure2.md",
        "experiments/pages/pictures/figure2.svg",
        "experiments/pages/pictures/tasks.svg",
    ):
        assert f"{name} is not what its record gives." in out


def test_without_a_record_the_page_says_so(project):
    (project / "experiments/records/figure2.json").unlink()
    assert pages.main([], project, ours()) == 0
    assert "It has not been measured yet." in (project / "experiments/pages/figure2.md").read_text()


def test_a_page_without_a_place_is_refused(project):
    (project / "experiments/pages/figure2.md").write_text("# Page\n")
    with pytest.raises(ValueError, match="has no part between '<!-- begin figure2 -->'"):
        pages.main([], project, ours())
