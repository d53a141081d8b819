import io
import json
import re
import threading
from dataclasses import dataclass

import pytest
from rich.console import Console

from tanas.api.progress import (
    ConsoleListener,
    Display,
    JsonLinesListener,
    PlainListener,
    broadcast,
    listener_for,
    spoken,
)
from tanas.ground.errors import StoreError
from tanas.ground.events import Event, StepAdvanced, StepFinished, StepStarted, Told, Warned


class FakeClock:
    def __init__(self):
        self.now = 100.0

    def __call__(self):
        return self.now


class Terminal(io.StringIO):
    def isatty(self):
        return True


@dataclass(frozen=True, kw_only=True)
class Silent(Event):
    value: int = 3


@dataclass(frozen=True, kw_only=True)
class Speaking(Event):
    value: int = 4

    def __str__(self):
        return f"The value is {self.value}."


@dataclass(frozen=True, kw_only=True)
class Odd(Event):
    value: object
    lock: threading.Lock


@pytest.fixture
def clock():
    return FakeClock()


@pytest.fixture
def plain(clock):
    stream = io.StringIO()
    listener = PlainListener(stream, clock=clock)
    return listener, lambda: stream.getvalue().splitlines()


def start(step="train", total=10, estimate_s=None):
    return StepStarted(step=step, total=total, unit="epochs", estimate_s=estimate_s)


def figures(line):
    """The numbers of a line, in their order."""
    return re.findall(r"\d[\d.]*", line)


class TestPlainListener:
    def test_says_at_once_what_runs_and_how_long_it_may_take(self, plain):
        listener, lines = plain
        listener(start(estimate_s=40.2))
        (line,) = lines()
        assert line.startswith("train") and figures(line) == ["10", "40"]

    def test_leaves_the_estimate_out_where_there_is_none(self, plain):
        listener, lines = plain
        listener(start())
        assert [figures(line) for line in lines()] == [["10"]]

    def test_writes_at_most_one_line_a_step_in_its_interval_and_always_the_last(self, plain, clock):
        listener, lines = plain
        listener(start(total=100))
        for done in range(1, 101):
            clock.now += 0.25
            listener(StepAdvanced(step="train", done=done, note="loss 0.2"))
        listener(StepFinished(step="train", note="loss 0.1"))
        assert [figures(line) for line in lines()] == [
            ["100"],
            ["20", "100", "20", "0.2"],
            ["40", "100", "15", "0.2"],
            ["60", "100", "10", "0.2"],
            ["80", "100", "5", "0.2"],
            ["100", "100", "0.2"],
            ["25", "0.1"],
        ]

    def test_counts_the_time_left_from_the_estimate_until_two_units_ended(self, plain, clock):
        listener, lines = plain
        listener(start(estimate_s=60))
        for seconds in (20, 20):
            clock.now += seconds
            listener(StepAdvanced(step="train", done=1 if clock.now == 120 else 2))
        assert [figures(line) for line in lines()[1:]] == [["1", "10", "40"], ["2", "10", "3"]]
        assert "40 s" in lines()[1] and "3 min" in lines()[2]

    def test_takes_units_of_an_earlier_run_for_no_measure_of_speed(self, plain, clock):
        listener, lines = plain
        listener(start(total=100))
        for done in (90, 91):
            clock.now += 10
            listener(StepAdvanced(step="train", done=done))
        assert [figures(line) for line in lines()[1:]] == [["90", "100"], ["91", "100", "90"]]

    def test_says_nothing_of_the_time_left_when_the_estimate_is_used_up(self, plain, clock):
        listener, lines = plain
        listener(start(estimate_s=5))
        clock.now += 30
        listener(StepAdvanced(step="train", done=1))
        assert [figures(line) for line in lines()[1:]] == [["1", "10"]]

    def test_keeps_steps_that_run_at_a_time_apart(self, plain, clock):
        listener, lines = plain
        listener(start("search", 3))
        listener(start("train", 5))
        clock.now += 6
        listener(StepAdvanced(step="train", done=5))
        listener(StepFinished(step="train"))
        listener(StepAdvanced(step="search", done=1))
        assert [(line.split(":")[0], figures(line)) for line in lines()[2:]] == [
            ("train", ["5", "5"]),
            ("train", ["6"]),
            ("search", ["1", "3", "12"]),
        ]

    def test_warns_of_the_same_thing_once(self, plain):
        listener, lines = plain
        for _ in range(3):
            listener(Warned(message="It is weak."))
        listener(Told(message="4,000 of 60,000 images are used."))
        warned, told = lines()
        assert warned.endswith("It is weak.") and told == "4,000 of 60,000 images are used."

    def test_shows_other_events_by_their_own_text_if_they_have_one(self, plain):
        listener, lines = plain
        listener(Silent())
        listener(Speaking())
        assert lines() == ["The value is 4."]

    def test_bears_a_step_that_never_began(self, plain):
        listener, lines = plain
        listener(StepAdvanced(step="train", done=1))
        listener(StepFinished(step="train"))
        (line,) = lines()
        assert line.startswith("train") and figures(line) == []


class TestConsoleListener:
    @pytest.fixture
    def console(self):
        return Console(file=Terminal(), force_terminal=True, width=120, color_system="standard")

    def test_draws_what_runs_how_far_and_the_time_left(self, console, clock):
        with ConsoleListener(console, clock=clock) as listener:
            listener(start("represent [digits:is=0]", estimate_s=40))
            listener(StepAdvanced(step="represent [digits:is=0]", done=3, note="loss [0.21]"))
            listener._progress.refresh()
            drawn = console.file.getvalue()
        for part in ("represent [digits:is=0]", "3/10", "40 s", "loss [0.21]"):
            assert part in drawn

    def test_leaves_a_line_of_a_step_that_was_waited_for_and_none_of_a_brief_one(self, console, clock):
        with ConsoleListener(console, clock=clock) as listener:
            for step, seconds in (("long", 12), ("brief", 0.5)):
                listener(start(step))
                clock.now += seconds
                listener(StepFinished(step=step, note=f"{step} note"))
        drawn = console.file.getvalue()
        assert "12 s" in drawn
        assert "long note" in drawn
        assert "brief note" not in drawn

    def test_warns_in_yellow_and_once(self, console):
        with ConsoleListener(console) as listener:
            listener(Warned(message="It is [weak]."))
            listener(Warned(message="It is [weak]."))
        drawn = console.file.getvalue()
        assert drawn.count("It is [weak].") == drawn.count("\x1b[33m") == 1

    def test_shows_the_cursor_again_when_an_error_ends_it(self, console):
        with pytest.raises(KeyboardInterrupt), ConsoleListener(console) as listener:
            listener(start())
            raise KeyboardInterrupt
        drawn = console.file.getvalue()
        assert drawn.rfind("\x1b[?25h") > drawn.rfind("\x1b[?25l")
        assert not listener._progress.live.is_started

    def test_draws_again_after_all_steps_had_ended(self, console, clock):
        with ConsoleListener(console, clock=clock) as listener:
            for step in ("first", "second"):
                listener(start(step))
                listener._progress.refresh()
                listener(StepFinished(step=step))
        assert "second" in console.file.getvalue()


class TestJsonLinesListener:
    def test_keeps_every_event_as_a_line(self, tmp_path):
        path = tmp_path / "run" / "events.jsonl"
        with JsonLinesListener(path) as listener:
            listener(start(estimate_s=4.5))
            listener(Silent())
            before_the_end = path.read_text().splitlines()
        first, second = map(json.loads, before_the_end)
        assert first.pop("time").endswith("+00:00")
        assert first == {
            "event": "StepStarted",
            "step": "train",
            "total": 10,
            "unit": "epochs",
            "estimate_s": 4.5,
        }
        assert (second["event"], second["value"]) == ("Silent", 3)

    def test_goes_on_behind_the_half_line_of_a_killed_run(self, tmp_path):
        path = tmp_path / "events.jsonl"
        path.write_text('{"event": "Silent"}\n{"event": "Sil')
        with JsonLinesListener(path) as listener:
            listener(Speaking())
        lines = path.read_text().splitlines()
        assert lines[1] == '{"event": "Sil'
        assert json.loads(lines[2])["event"] == "Speaking"

    def test_keeps_fields_that_json_has_no_form_for_as_text(self, tmp_path):
        path = tmp_path / "events.jsonl"
        with JsonLinesListener(path) as listener:
            listener(Odd(value={1, 2}, lock=threading.Lock()))
        line = json.loads(path.read_text())
        assert line["value"] == "{1, 2}"
        assert "lock" in line["lock"]

    def test_says_where_it_can_not_write(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(StoreError, match="events.jsonl can't be written"):
            JsonLinesListener(tmp_path / "file" / "events.jsonl")


class TestChoice:
    def test_is_bars_on_a_terminal(self, monkeypatch):
        monkeypatch.setenv("TERM", "xterm")
        assert isinstance(listener_for(Terminal()), ConsoleListener)

    def test_is_plain_lines_in_a_pipe_and_on_a_terminal_that_can_not_draw(self, monkeypatch):
        assert isinstance(listener_for(io.StringIO()), PlainListener)
        monkeypatch.setenv("TERM", "dumb")
        assert isinstance(listener_for(Terminal()), PlainListener)

    def test_is_nothing_if_quiet(self):
        stream = Terminal()
        with listener_for(stream, quiet=True) as listener:
            assert type(listener) is Display
            listener(Warned(message="It is weak."))
        assert stream.getvalue() == ""


def test_broadcast_tells_all_and_closes_those_that_can_be_closed(tmp_path):
    path = tmp_path / "events.jsonl"
    heard = []
    kept = JsonLinesListener(path)
    with broadcast(heard.append, kept) as listener:
        listener(Speaking())
    assert heard == [Speaking()]
    assert json.loads(path.read_text())["value"] == 4
    assert kept._file.closed


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.42, "0.4 s"),
        (3, "3 s"),
        (9.97, "10 s"),
        (40.4, "40 s"),
        (100, "2 min"),
        (3599, "1 h"),
        (4800, "1 h 20 min"),
    ],
)
def test_a_duration_is_said_as_a_person_would(seconds, text):
    assert spoken(seconds) == text
