"""The chart of tasks that arrive one after the other."""

from __future__ import annotations

import pytest
from experiments.tests.test_stream import arrival, record

from tanas.reports.theme import to_svg
from tanas_experiments.stream import ARMS, EMPTY, PICTURE, StreamRecord, places, stream_page
from tanas_experiments.stream_chart import costs, stream_pictures

WAYS = [way for way in ARMS if way != EMPTY]


@pytest.fixture
def made() -> StreamRecord:
    """Two orders of which the second is not finished."""
    arrivals = []
    for order, length in ((0, 5), (1, 3)):
        for known in range(length):
            arrivals.append(arrival(EMPTY, known, order=order, spent=100))
            for number, way in enumerate(WAYS):
                spent = 130 - 20 * known + 7 * number + order
                arrivals.append(arrival(way, known, order=order, spent=spent))
    return record(*arrivals)


def test_the_chart_names_every_way_and_both_lines_and_the_page_shows_it(made: StreamRecord) -> None:
    drawn = to_svg(stream_pictures(made)[PICTURE])
    for text in (*WAYS, "as with nothing known", "half", "tasks known before"):
        assert f">{text}<" in drawn
    assert f"(pictures/{PICTURE}.svg)" in stream_page(made, folder="pictures/")
    assert ".svg" not in stream_page(made)


def test_its_lines_are_the_places_of_all_orders_together_and_its_pale_dots_those_of_each(
    made: StreamRecord,
) -> None:
    for way in WAYS:
        line = [(dot.known, dot.percent) for dot in costs(made) if dot.way == way and dot.order is None]
        assert line == [(place.known, 100 * place.share) for place in places(made, way)]
    first = WAYS[0]
    single = [
        (dot.order, dot.known, dot.percent) for dot in costs(made) if dot.way == first and dot.order == 1
    ]
    assert single == [(1, known, pytest.approx(131 - 20 * known)) for known in range(3)]


def test_of_a_single_order_there_are_no_pale_dots() -> None:
    one = record(arrival(EMPTY, 0), arrival(WAYS[0], 0, spent=30))
    (dot,) = costs(one)
    assert (dot.known, dot.percent, dot.order) == (0, pytest.approx(30), None)
    assert to_svg(stream_pictures(one)[PICTURE]).startswith("<svg")


def test_nothing_is_drawn_where_nothing_can_be_compared() -> None:
    assert stream_pictures(record()) == {}
    assert stream_pictures(record(arrival(EMPTY, 0))) == {}
    assert stream_pictures(record(arrival(WAYS[0], 0))) == {}
