import base64
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from tanas.algorithm.result import Beginning, WarmStart
from tanas.networks.cell import Cell
from tanas.reports import page, sentences
from tanas.reports.charts import MOST_ATOMS
from tanas.reports.sentences import answer, inheritance

RESULTS = ("moon", "alone", "digits", "hundred", "hostile")


@pytest.fixture(scope="session")
def pages(request):
    """Each result and its page, rendered once."""
    rendered = {}
    for name in RESULTS:
        result = request.getfixturevalue(name)
        rendered[name] = (result, page.render(result))
    return rendered


class Reader(HTMLParser):
    """Collects elements, their attributes and the text outside of <style>; checks that elements nest."""

    VOID = ("meta", "img", "br", "link", "hr", "input")

    def __init__(self, text):
        super().__init__()
        self.elements, self.open, self.texts = [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open and self.open[-1] == tag, f"</{tag}> closes {self.open[-3:]}"
        self.open.pop()

    def handle_data(self, data):
        if "style" not in self.open:
            self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())


@pytest.mark.parametrize("name", RESULTS)
class TestEveryPage:
    def test_is_well_formed(self, pages, name):
        reader = Reader(pages[name][1])
        assert reader.open == []
        identities = [attributes["id"] for _, attributes in reader.elements if "id" in attributes]
        assert len(identities) == len(set(identities))

    def test_links_lead_to_sections_that_exist(self, pages, name):
        reader = Reader(pages[name][1])
        identities = {attributes.get("id") for _, attributes in reader.elements}
        links = [attributes["href"] for tag, attributes in reader.elements if tag == "a"]
        assert links
        assert {link.removeprefix("#") for link in links} <= identities

    def test_loads_nothing_and_runs_nothing(self, pages, name):
        text = pages[name][1]
        reader = Reader(text)
        loading = {"script", "link", "iframe", "object", "embed", "base", "form"}
        assert {tag for tag, _ in reader.elements} & loading == set()
        for tag, attributes in reader.elements:
            assert not [key for key in attributes if key.startswith("on")], (tag, attributes)
            for key in ("src", "href", "xlink:href", "srcset", "data", "action"):
                assert re.match(r"#|data:image/png;base64,", attributes.get(key) or "#"), (tag, attributes)
        style = text[text.index("<style>") : text.index("</style>")]
        assert "@import" not in style
        assert "url(" not in style
        assert set(re.findall(r"url\((.)", text)) <= {"#"}

    def test_states_the_answer_and_its_caveat(self, pages, name):
        result, text = pages[name]
        reader = Reader(text)
        assert " ".join(answer(result).split()) in reader.text
        assert f"{result.task.test:,} test images" in reader.text

    def test_tells_how_to_repeat_and_to_load(self, pages, name):
        result, text = pages[name]
        read = Reader(text).text
        assert " ".join(result.command.split()) in read
        for called in ('tanas.load("RUN")', "tanas predict RUN FILE", "tanas export RUN model.onnx"):
            assert called in read

    def test_leaves_no_hole(self, pages, name):
        read = Reader(pages[name][1]).text
        for hole in ("None", "nan", "undefined", "NaN", "{{", "{%"):
            # one hostile name holds braces
            assert hole not in read or name == "hostile", read[read.index(hole) - 60 : read.index(hole) + 20]


def test_equal_results_give_equal_bytes(pages):
    result, text = pages["moon"]
    assert page.render(result) == text


def test_pictures_of_mistakes_are_the_pngs_of_the_result(pages):
    result, text = pages["moon"]
    sources = [attributes["src"] for tag, attributes in Reader(text).elements if tag == "img"]
    assert sources == [f"data:image/png;base64,{mistake.png}" for mistake in result.mistakes]
    assert base64.b64decode(sources[0].split(",")[1]).startswith(b"\x89PNG")


def test_warnings_stand_right_after_the_answer(pages):
    result, text = pages["moon"]
    assert text.index('id="answer"') < text.index(result.warnings[0]) < text.index('class="grid"')


def test_only_who_has_no_memory_is_told_how_to_make_one(pages, moon):
    assert "tanas dictionary build" in pages["alone"][1]
    assert "tanas dictionary build" not in pages["moon"][1]
    every = replace(moon, neighbours=(), distances=(), space=replace(moon.space, related="all"))
    assert "tanas dictionary build" not in page.render(every), "it measured no distance, but knows tasks"


def test_hostile_names_are_shown_not_obeyed(pages):
    result, text = pages["hostile"]
    reader = Reader(text)
    assert result.task.classes[0] in reader.text
    assert result.warnings[0] in reader.text
    assert "<b>photos" not in text
    alternatives = [attributes["alt"] for tag, attributes in reader.elements if tag == "img"]
    assert alternatives
    assert all(any(name in each for name in result.task.classes) for each in alternatives)


def test_all_distances_are_listed_even_if_not_all_are_drawn(pages):
    result, text = pages["hundred"]
    read = Reader(text).text
    assert len(result.distances) > MOST_ATOMS
    assert all(one.fingerprint in read for one in result.distances)


def test_a_network_that_is_never_wrong_has_no_mistakes(moon):
    counts = ((1600, 0), (0, 200))
    metrics = replace(moon.metrics, test_error=0.0, test_balanced_error=0.0)
    reader = Reader(page.render(replace(moon, metrics=metrics, confusion=counts, mistakes=())))
    assert "0 of 1,800 test images" in reader.text
    assert not [tag for tag, _ in reader.elements if tag == "img"]


def test_a_result_with_nothing_but_a_network_renders(alone):
    architecture = replace(alone.architecture, cell=Cell(2, ()))
    bare = replace(
        alone,
        architecture=architecture,
        layers=(),
        mistakes=(),
        rounds=(),
        seen=(),
        training_losses=(),
        dictionary=(),
        environment={},
        config={},
        task=replace(alone.task, notes=()),
        space=replace(alone.space, size=3**1000, operations=()),
    )
    assert "1.32 × 10⁴⁷⁷" in Reader(page.render(bare)).text


def test_bounds_and_intervals_of_distances_are_told_apart_from_distances(moon):
    first, second, *rest = moon.distances
    shown = replace(
        moon,
        distances=(
            replace(first, distance=0.125, interval=(0.1, 0.25)),
            replace(second, distance=0.5, at_least=True),
            *rest,
        ),
    )
    text = page.render(shown)
    assert "0.1250 [0.100, 0.250]</td>" in text
    assert "≥ 0.5000</td>" in text
    assert "≥" not in page.render(moon)


def test_what_a_winner_was_chosen_by_is_shown_beside_the_alphas(moon):
    assert "0.4321" not in page.render(moon)
    rounds = tuple(replace(past, scores=tuple(0.4321 for _ in past.keys)) for past in moon.rounds)
    judged = page.render(replace(moon, rounds=rounds, config={"fuse": {"choice": "performance"}}))
    assert judged.count("0.4321") == sum(len(past.keys) for past in moon.rounds)


def test_the_weights_that_were_tried_are_shown_with_what_they_came_to(moon):
    tried = (
        WarmStart(atom="near", misfit=0.25, architecture="a1b2", loss=0.9125),
        WarmStart(atom="seen", architecture="c3d4", left_out="it exceeds the limits"),
    )
    begun = Beginning(atom="near", scratch=0.875, tried=tried, note="It began with those of near.")
    text = Reader(page.render(replace(moon, beginning=begun))).text
    assert "It began with those of near." in text
    assert "near 0.250 0.912" in text
    assert "seen – it exceeds the limits" in text
    assert "none (new weights) – 0.875" in text


def test_of_many_known_networks_those_that_competed_and_those_refused_are_shown(moon):
    competed = tuple(WarmStart(atom=f"c{n}", misfit=0.1, architecture="a", loss=0.5) for n in "12")
    others = tuple(
        WarmStart(atom=f"o{n}", misfit=0.5, architecture="a", left_out="others fit better") for n in range(9)
    )
    refused = tuple(WarmStart(atom=f"r{n}", architecture="a", left_out="seen") for n in "123")
    begun = Beginning(atom="c1", scratch=0.9, tried=(*competed, *others, *refused), note="")
    assert [one.atom for one in sentences.worth_showing(begun)] == ["c1", "c2", "o0", "r1", "r2", "r3"]
    text = Reader(page.render(replace(moon, beginning=begun))).text
    assert "o0" in text and "o1" not in text and "r3" in text


@pytest.mark.parametrize("name", ["moon", "alone"])
def test_of_a_known_architecture_nothing_is_said_of_a_space(name, request):
    result = replace(request.getfixturevalue(name), stopped="reused", rounds=())
    reader = Reader(page.render(result))
    assert inheritance(result) in reader.text
    assert result.space.note not in reader.text
    assert "tanas dictionary build" not in reader.text
    assert "reused" not in [row.strip() for row in reader.texts]
