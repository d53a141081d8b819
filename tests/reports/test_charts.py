import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace

import pytest

from tanas.distances.base import Measurement
from tanas.distances.matrix import DistanceMatrix
from tanas.ground.errors import SettingError, StoreError
from tanas.reports import chart_data, charts, theme


def texts(svg):
    return [element.text for element in ElementTree.fromstring(svg).iter() if element.tag.endswith("text")]


def measured(value):
    """A measurement of a distance; beyond 1, by its shortfall."""
    return Measurement(
        source="?", target="?", same=value == 0, value=min(value, 1.0), shortfall=max(value - 1.0, 0.0)
    )


def drawn(sources, targets, values, null=()):
    flat = [measured(value) for row in values for value in row]
    return charts.heat_map(DistanceMatrix.of(sources, targets, flat, [measured(value) for value in null]))


class TestHeatMap:
    def test_tells_apart_what_lies_at_one_and_shades_by_rank(self) -> None:
        chart = drawn(["a", "b"], ["c", "d"], [[0.001, 1.02], [1.05, 1.0]], null=[0.5, 1.01])
        (cells,) = (rows for rows in chart.to_dict()["datasets"].values() if "label" in rows[0])
        by_label = {cell["label"]: cell["strength"] for cell in cells}
        assert sorted(by_label, key=by_label.__getitem__) == ["1.05", "1.02", "1.01", "1.00", "0.50", "0.001"]
        assert by_label["1.05"] == 0

    def test_prints_the_value_of_each_cell(self):
        printed = texts(theme.to_svg(drawn(["a", "b"], ["a", "b", "c"], [[0.0, 0.25, 1], [0.5, 0.0, 0.125]])))
        numbers = sorted(text for text in printed if re.fullmatch(r"[\d.]+", text or ""))
        assert numbers == ["0", "0", "0.12", "0.25", "0.50", "1.00"]
        assert {"a", "b", "c"} <= set(printed)

    def test_has_sources_as_rows_and_sets_an_untrained_network_apart(self):
        names = ("one", "two", "(untrained network)")
        svg = theme.to_svg(drawn(names[:2], names[:2], [[0.1, 0.2], [0.3, 0.4]], null=[0.55, 0.6]))
        places = {
            element.text: float(re.search(r",([-\d.]+)\)", element.get("transform"))[1])
            for element in ElementTree.fromstring(svg).iter()
            if element.text in names and element.get("text-anchor") == "end"
        }
        first, second, null = (places[name] for name in names)
        assert first < second
        assert null - second == pytest.approx(2 * (second - first), abs=1)
        assert "0.55" in texts(svg)

    @pytest.mark.parametrize("atoms", [1, 2, 40])
    def test_takes_one_to_forty_atoms_with_long_names(self, atoms):
        names = [
            f"npz:../some/where/far/away/{number} <&'> {'x' * 40}:is={number}" for number in range(atoms)
        ]
        values = [[abs(a - b) / atoms for a in range(atoms)] for b in range(atoms)]
        printed = texts(theme.to_svg(drawn(names, names, values)))
        assert sum(text == "0" for text in printed) == atoms
        assert sum((text or "").startswith("npz:") for text in printed) == 2 * atoms

    def test_keeps_names_apart_that_look_alike_when_shortened(self):
        names = ["a" * 60 + middle + "b" * 60 for middle in "xyz"]
        assert texts(theme.to_svg(drawn(names, names, [[0.5] * 3] * 3))).count("0.50") == 9


class TestSave:
    @pytest.mark.parametrize(
        ("name", "start"), [("d.svg", b"<svg"), ("d.png", b"\x89PNG"), ("d.HTML", b"<!doctype html>")]
    )
    def test_writes_by_suffix(self, tmp_path, name, start):
        theme.save(drawn(["a"], ["b"], [[0.5]]), tmp_path / "new" / name)
        content = (tmp_path / "new" / name).read_bytes()
        assert content.startswith(start)
        assert b"<script" not in content

    def test_refuses_another_suffix(self, tmp_path):
        with pytest.raises(SettingError, match=r"\.svg, \.png, \.html.* 'd\.pdf'"):
            theme.save(drawn(["a"], ["b"], [[0.5]]), tmp_path / "d.pdf")
        assert list(tmp_path.iterdir()) == []

    def test_names_a_place_that_cannot_be_written(self, tmp_path):
        (tmp_path / "d.svg").mkdir()
        with pytest.raises(StoreError, match=r"d\.svg can't be written"):
            theme.save(drawn(["a"], ["b"], [[0.5]]), tmp_path / "d.svg")


class TestInlineSvg:
    def test_takes_the_colours_of_the_page_and_has_no_identities(self, moon, digits):
        made = [
            charts.error_chart(chart_data.error_rows(moon), moon.task.test),
            charts.distance_chart(chart_data.distance_rows(moon)),
            charts.alpha_chart(chart_data.alpha_rows(digits), width=charts.FULL),
            charts.candidate_chart(chart_data.candidate_rows(digits)),
            charts.loss_chart(moon.training_losses),
            charts.cost_chart(chart_data.cost_rows(moon)),
            charts.confusion_chart(digits.confusion, digits.task.classes),
        ]
        for chart in made:
            svg = theme.inline_svg(chart, 'say "<it>"')
            assert svg.startswith('<svg class="chart shrinks" role="img" ')
            assert 'aria-label="say &quot;&lt;it&gt;&quot;"' in svg
            assert "var(--ink)" in svg
            assert set(re.findall(r"#[0-9a-f]{6}", svg)) == set()
            assert " id=" not in svg

    def test_prints_distances_shortfalls_and_weakness(self, moon):
        printed = texts(theme.to_svg(charts.distance_chart(chart_data.distance_rows(moon))))
        assert "0.080" in printed
        assert any("0.307" in text and "weak" in text for text in printed if text)
        assert any("1.000" in text and "0.117" in text for text in printed if text)

    def test_prints_bounds_and_draws_intervals(self, moon):
        made = chart_data.distance_rows(moon)
        shown = [replace(made[0], interval=(0.05, 0.25)), replace(made[1], at_least=True)]
        chart = charts.distance_chart(shown)
        data = next(iter(chart.to_dict()["datasets"].values()))
        assert (data[0]["low"], data[0]["high"]) == (0.05, 0.25)
        assert data[1]["low"] == data[1]["high"] == made[1].distance
        printed = texts(theme.to_svg(chart))
        assert f"≥ {made[1].distance:.3f}" in printed

    @pytest.mark.parametrize("losses", [(0.5,), (0.0, 0.0), tuple(1 / n for n in range(1, 200))])
    def test_draws_few_and_many_epochs(self, losses):
        assert any(texts(theme.to_svg(charts.loss_chart(losses))))

    def test_draws_errors_that_are_all_zero(self, moon):
        made = chart_data.error_rows(moon)
        nothing = [replace(row, error=0.0, balanced_error=0.0, interval=None) for row in made]
        assert texts(theme.to_svg(charts.error_chart(nothing, 100))).count(
            "0.0\N{NO-BREAK SPACE}%"
        ) == 2 * len(made)
