"""The command line: help, exit statuses, one document on stdout, progress on stderr."""

from __future__ import annotations

import io
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from tests.conftest import Answer, bars
from tests.golden.searches import WRITTEN
from tests.sessions import without_times

import tanas as package
from tanas.cli import main as cli
from tanas.distances.representative import UNTRAINED
from tanas.networks.classifier import Classifier
from tanas.strategies.base import budget_refusal
from tanas.tasks.library import Library
from tanas.tasks.pictures import read_pictures
from tanas.tasks.task import Task

Command = Callable[..., Answer]
COMMANDS = (
    ["demo"],
    ["dictionary"],
    *(["dictionary", name] for name in ("build", "add", "list", "show", "remove", "verify")),
    *([name] for name in ("distance", "nearest", "search", "grow", "compress")),
    *([name] for name in ("evaluate", "predict", "report", "export")),
)
SEARCH = ("search", "npz:bars.npz:is=square", "--dictionary", "known", "--config", "tiny.toml")


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> Answer:
    status = cli.main(list(arguments))
    out, err = capsys.readouterr()
    return Answer(status, out, err)


class TestHelp:
    def test_every_command_is_listed(self, capsys: pytest.CaptureFixture[str]) -> None:
        answer = shown(capsys, "--help")
        assert answer.status == 0
        for command in COMMANDS:
            if len(command) == 1:
                assert command[0] in answer.out

    @pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
    def test_every_command_explains_itself(
        self, command: list[str], capsys: pytest.CaptureFixture[str]
    ) -> None:
        answer = shown(capsys, *command, "--help")
        assert answer.status == 0
        assert answer.err == ""
        assert f"Usage: tanas {' '.join(command)}" in answer.out
        if command != ["dictionary"]:
            assert "--json" in answer.out
            assert "--help-all" in answer.out
            every = shown(capsys, *command, "--help-all")
            assert (every.status, every.err) == (0, "")
            assert "--debug" in every.out

    @pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
    def test_everyday_help_fits_on_one_screen(
        self, command: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("COLUMNS", "80")
        lines = shown(capsys, *command, "--help").out.splitlines()
        assert len(lines) <= 45
        assert max(map(len, lines)) <= 80

    def test_a_search_shows_everyday_options_alone(self, capsys: pytest.CaptureFixture[str]) -> None:
        everyday = ("--out", "--dictionary", "--time-limit", "--preset", "--max-parameters", "--max-macs")
        everyday += (
            "--max-latency",
            "--size",
            "--no-starter",
            "--seed",
            "--json",
            "--quiet",
            "--help-all",
        )
        text = shown(capsys, "search", "--help").out
        assert set(re.findall(r"--[a-z-]+", text)) == set(everyday)

    def test_all_options_are_shown_but_those_of_the_laboratory(
        self, capsys: pytest.CaptureFixture[str]
    ) -> None:
        text = shown(capsys, "search", "--help-all").out
        for option in ("--out", "--strategy", "--skip-bad", "--threads", "--debug"):
            assert option in text
        assert "farthest" not in text and "random-neighbours" not in text

    def test_what_main_gives_itself_is_no_option(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert "command-line" not in shown(capsys, "search", "--help-all").out.lower()

    def test_positions_have_one_name(self, capsys: pytest.CaptureFixture[str]) -> None:
        out = shown(capsys, "nearest", "--help").out
        assert "FOLDER" in out
        assert "--folder" not in out

    def test_no_argument_shows_the_help(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert "Usage: tanas COMMAND" in shown(capsys).out

    def test_the_version_is_printed(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert shown(capsys, "--version").out.strip() == package.__version__


class TestJson:
    """stdout holds one document and nothing else, whatever happens on the way."""

    def test_search_gives_the_result(self, tanas: Command, desk: Path) -> None:
        answer = tanas(*SEARCH, "--out", "run", "--json")
        assert answer.status == 0
        assert json.loads(answer.out) == json.loads((desk / "run" / "result.json").read_text())
        assert "search npz:bars.npz:is=square" in answer.err, "progress goes to stderr"

        again = tanas(*SEARCH, "--out", "run", "--json")
        assert again.out == answer.out
        assert "finished already" in again.err and again.err.count("\n") == 1

    def test_every_other_command_gives_one_document(self, tanas: Command, desk: Path) -> None:
        picture = desk / "bar.png"
        Image.fromarray(bars(1, seed=5)[0][0]).save(picture)
        assert tanas(*SEARCH, "--out", "run").status == 0
        atom = "npz:bars.npz:is=across"
        tiny = ("--config", "tiny.toml")
        answers = {
            ("dictionary", "list", "known"): lambda d: d[0]["atom"] == atom,
            ("dictionary", "show", "known", atom): lambda d: d["task"]["name"] == atom,
            ("dictionary", "verify", "known"): lambda d: d == {"problems": [], "atoms": 2},
            ("dictionary", "add", "known", "npz:bars.npz", *tiny): lambda d: len(d) == 3,
            ("dictionary", "build", "known", "npz:bars.npz", *tiny): lambda d: len(d) == 3,
            ("dictionary", "remove", "known", "npz:bars.npz"): lambda d: d == {"removed": "npz:bars.npz"},
            ("distance", "known", *tiny): lambda d: len(d["values"]) == 2 if "values" in d else len(d) > 1,
            ("nearest", "known", atom, *tiny): lambda d: (
                [each["atom"] for each in d] == ["npz:bars.npz:is=upright"]
            ),
            ("evaluate", "run"): lambda d: d["images"] == 30 and d["same_test_split"],
            ("predict", "run", "bar.png"): lambda d: d[0]["answer"] in ("not square", "square"),
            ("report", "run"): lambda d: d == {"report": "run/report.html"},
            ("export", "run", "taken.safetensors"): lambda d: isinstance(d, dict),
        }
        for command, holds in answers.items():
            answer = tanas(*command, "--json")
            assert answer.status == 0, (command, answer.err)
            assert holds(json.loads(answer.out)), (command, answer.out)

    def test_several_tasks_give_a_list(self, tanas: Command) -> None:
        answer = tanas(
            "search", "npz:bars.npz:is=square", "npz:bars.npz", *SEARCH[2:], "--out", "runs", "--json"
        )
        assert [each["task"]["name"] for each in json.loads(answer.out)] == [
            "npz:bars.npz:is=square",
            "npz:bars.npz",
        ]

    def test_damage_is_a_document_too(self, tanas: Command, desk: Path) -> None:
        for weights in desk.glob("known/atoms/*/representative.safetensors"):
            weights.write_bytes(b"")
        answer = tanas("dictionary", "verify", "known", "--json")
        assert answer.status == 2
        assert len(json.loads(answer.out)["problems"]) == 2

    def test_an_error_leaves_stdout_empty(self, tanas: Command) -> None:
        assert tanas("search", "npz:absent.npz", "--out", "run", "--json").out == ""

    def test_it_stays_json_where_a_terminal_lacks_letters(
        self, tanas: Command, desk: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        x, y = bars(60, seed=3)
        np.savez(desk / "words.npz", x=x, y=y, classes=np.array(["Größe", "長い", "🙂"]))
        build = ("dictionary", "build", "words", "npz:words.npz", "--config", "tiny.toml", "--quiet")
        assert tanas(*build).status == 0
        stream = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
        monkeypatch.setattr(sys, "stdout", stream)
        assert cli.main(["dictionary", "show", "words", "npz:words.npz", "--json"]) == 0
        written = stream.buffer.getvalue().decode("ascii")  # type: ignore[attr-defined]
        assert json.loads(written)["task"]["classes"] == ["Größe", "長い", "🙂"]
        assert cli.main(["dictionary", "show", "words", "npz:words.npz"]) == 0


class TestProgress:
    def test_quiet_shows_nothing_but_the_answer(self, tanas: Command) -> None:
        answer = tanas(*SEARCH, "--out", "run", "--quiet")
        assert answer.status == 0
        assert answer.err == ""
        assert "npz:bars.npz:is=square" in answer.out

    def test_alphas_and_distances_are_shown_as_they_come(self, tanas: Command) -> None:
        err = tanas(*SEARCH, "--out", "run").err
        assert re.search(r"npz:bars.npz:is=across -> npz:bars.npz:is=square.* \d\.\d+", err)
        assert re.search(r"npz:bars.npz:is=square, round 1: .* \d\.\d+", err)

    def test_the_run_keeps_the_same_events(self, tanas: Command, desk: Path) -> None:
        assert tanas(*SEARCH, "--out", "run", "--quiet").status == 0
        events = [json.loads(line) for line in (desk / "run" / "events.jsonl").read_text().splitlines()]
        kinds = {event["event"] for event in events}
        assert {"StepStarted", "StepAdvanced", "DistanceMeasured", "SpaceDefined", "RoundFinished"} <= kinds

    def test_a_build_keeps_the_events_of_its_workers(self, tanas: Command, desk: Path) -> None:
        done = tanas("dictionary", "build", "new", "npz:bars.npz", "--config", "tiny.toml", "--quiet")
        assert done.status == 0
        events = [json.loads(line) for line in (desk / "new" / "events.jsonl").read_text().splitlines()]
        assert any(event.get("step", "").startswith("represent npz:bars.npz") for event in events)


class TestStatus:
    def test_what_failed_while_running_ends_with_1(
        self, tanas: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from tanas.ground.errors import SearchError

        monkeypatch.setattr("tanas.api.run.search_task", raising(SearchError("All candidates failed.")))
        answer = tanas(*SEARCH, "--out", "run")
        assert (answer.status, answer.err) == (1, "tanas: All candidates failed.\n")

    def test_an_error_that_nobody_foresaw_is_one_message(
        self, tanas: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tanas.api.run.search_task", raising(KeyError("alpha")))
        answer = tanas(*SEARCH, "--out", "run")
        assert answer.status == 1
        assert answer.err.startswith("tanas: ") and answer.err.count("\n") == 1
        assert "KeyError: 'alpha'" in answer.err and "--debug" in answer.err
        assert "Traceback" in tanas(*SEARCH, "--out", "run", "--debug").err

    def test_a_full_disk_is_one_message(self, tanas: Command, monkeypatch: pytest.MonkeyPatch) -> None:
        full = OSError(28, "No space left on device", "run/events.jsonl")
        monkeypatch.setattr("tanas.api.run.search_task", raising(full))
        answer = tanas(*SEARCH, "--out", "run")
        assert answer.status == 1
        assert "No space left on device" in answer.err and "run/events.jsonl" in answer.err
        assert answer.err.count("\n") == 1

    def test_an_interrupt_ends_with_130_and_the_command_that_goes_on(
        self, tanas: Command, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tanas.api.run.search_task", raising(KeyboardInterrupt()))
        answer = tanas(*SEARCH, "--out", "it's mine")
        assert answer.status == 130
        assert answer.err.splitlines()[-1].endswith(
            " tanas search npz:bars.npz:is=square --dictionary known "
            """--config tiny.toml --out 'it'"'"'s mine'"""
        )

    def test_an_interrupt_within_a_search_gives_the_best_so_far(
        self, tanas: Command, desk: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patched:
            patched.setattr("tanas.algorithm.winner.score_winners", raising(KeyboardInterrupt()))
            answer = tanas(*SEARCH, "--out", "run")
        assert answer.status == 130
        assert re.search(r"[\d,]+ parameters", answer.err)
        with monkeypatch.context() as patched:  # once more, before any round of this session
            patched.setattr("tanas.algorithm.related.represent", raising(KeyboardInterrupt()))
            patched.setattr("tanas.algorithm.winner.make_strategy", raising(KeyboardInterrupt()))
            again = tanas(*SEARCH, "--out", "run")
        assert "run/unfinished/best.json" in again.err
        with monkeypatch.context() as patched:  # once more, when the search has chosen
            patched.setattr("tanas.algorithm.final.finish", raising(KeyboardInterrupt()))
            chosen = tanas(*SEARCH, "--out", "run")
        parameters = re.findall(r"([\d,]+) parameters", chosen.err)
        best = desk / "run" / "unfinished" / "best.json"
        assert str(best.relative_to(desk)) in answer.err
        assert set(json.loads(best.read_text())) == {"skeleton", "cell"}
        grown = tanas("grow", str(best), SEARCH[1], "--config", "tiny.toml", "--out", "grown")
        assert grown.status == 0, grown.err
        origin = json.loads((desk / "grown" / "result.json").read_text())["grown"]
        assert f"{origin['before']['parameters']:,}" == parameters[-1]
        assert tanas(*SEARCH, "--out", "run").status == 0
        assert not best.exists()

    def test_a_reader_that_left_is_no_complaint(self) -> None:
        piped = f"{sys.executable} -m tanas --help | true"
        done = subprocess.run(piped, shell=True, capture_output=True, text=True)
        assert done.stderr == ""


class TestPlaceOfARun:
    """Where a run goes whose folder is not named."""

    def test_it_is_named_after_its_task_and_the_same_command_goes_on(
        self, tanas: Command, desk: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patched:
            patched.setattr("tanas.api.run.search_task", raising(KeyboardInterrupt()))
            stopped = tanas(*SEARCH)
        assert stopped.status == 130
        assert stopped.err.splitlines()[-1].endswith(
            " tanas search npz:bars.npz:is=square --dictionary known --config tiny.toml"
        )
        run = desk / "runs" / "npz-bars-npz-is-square"
        assert (run / "run.json").exists() and not (run / "result.json").exists()
        done = tanas(*SEARCH, "--quiet")
        assert done.status == 0, done.err
        for told in (
            "runs/npz-bars-npz-is-square/report.html",
            "tanas predict runs/npz-bars-npz-is-square PICTURE",
            "tanas export runs/npz-bars-npz-is-square model.onnx",
        ):
            assert told in done.out
        again = tanas(*SEARCH)
        assert "runs/npz-bars-npz-is-square is finished already" in again.err
        other = tanas(*SEARCH, "--seed", "1")
        assert other.status == 2
        assert "runs/npz-bars-npz-is-square was begun with seed = 0; now it is 1" in other.err
        for aim, ending in (("grow", "grown"), ("compress", "compressed")):
            changed = tanas(aim, str(run), SEARCH[1], "--config", "tiny.toml", "--rounds", "1", "--quiet")
            assert changed.status == 0, changed.err
            assert (run.parent / f"{run.name}-{ending}" / "result.json").exists()

    def test_several_runs_share_a_folder_that_another_list_of_tasks_does_not_get(
        self, tanas: Command, desk: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tanas.api.run.search_task", raising(KeyboardInterrupt()))
        for second in ("npz:bars.npz", "npz:bars.npz:is=across"):
            assert tanas("search", SEARCH[1], second, *SEARCH[2:]).status == 130
        names = sorted(path.name for path in (desk / "runs").iterdir())
        assert len(names) == 2
        assert all(re.fullmatch(r"npz-bars-npz-is-square-and-1-more-[0-9a-f]{6}", name) for name in names)


class TestPlainPaths:
    """A folder or an .npz file is a task by its path alone."""

    def test_they_are_the_same_tasks_as_with_a_prefix(self, tanas: Command) -> None:
        plain = tanas("nearest", "known", "bars.npz:is=across", "--config", "tiny.toml", "--json")
        assert plain.status == 0, plain.err
        prefixed = tanas("nearest", "known", "npz:bars.npz:is=across", "--config", "tiny.toml", "--json")
        assert without_times(json.loads(plain.out)) == without_times(json.loads(prefixed.out))
        column = tanas("distance", "known", "bars.npz", "--config", "tiny.toml").out.splitlines()[0]
        assert column.split()[-1] == "npz:bars.npz"


class TestExport:
    def test_a_file_of_safetensors_takes_the_place_of_a_run(self, tanas: Command, desk: Path) -> None:
        shutil.copytree(WRITTEN / "union", desk / "before")
        Image.fromarray(bars(1, seed=5)[0][0]).save(desk / "bar.png")
        answer = tanas("export", "before", "net.safetensors")
        assert answer.status == 0, answer.err
        assert "net.safetensors" in answer.out
        of_run, of_file = (tanas("predict", name, "bar.png").out for name in ("before", "net.safetensors"))
        assert of_run == of_file
        grown = tanas(
            *("grow", "net.safetensors", "bars.npz:is=square", "--config", "tiny.toml", "--rounds", "1"),
            *("--out", "grown", "--json"),
        )
        assert grown.status == 0, grown.err
        origin = json.loads(grown.out)["grown"]["origin"]
        assert "npz:bars.npz:is=square" in origin
        assert tanas("export", "before", "net.safetensors").status == 2
        assert tanas("export", "net.safetensors", "net.safetensors", "--overwrite").status == 0


class TestControls:
    def test_a_search_that_no_control_can_be_held_against_is_not_lost(
        self, tanas: Command, desk: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refused(*_: Any, **__: Any) -> None:
            raise budget_refusal(10, 20)

        monkeypatch.setattr("tanas.strategies.trials.affordable", refused)
        answer = tanas(*SEARCH, "--controls", "--out", "run")
        assert answer.status == 0, answer.err
        assert "'budget_macs' of a search must be at least 20" in answer.err
        result = json.loads((desk / "run" / "result.json").read_text())
        assert result["control"] is None
        assert any("must be at least 20" in warning for warning in result["warnings"])

    def test_what_was_taken_over_without_a_search_has_none_and_that_is_said(
        self, tanas: Command, desk: Path
    ) -> None:
        answer = tanas(*SEARCH, "--controls", "--inherit", "transfer", "--out", "run")
        assert answer.status == 0, answer.err
        assert "Random search at equal cost is skipped" in answer.err


class TestNotes:
    def test_what_was_left_out_of_a_task_is_said_by_every_command(
        self, tanas: Callable[..., Answer], desk: Path
    ) -> None:
        for name in ("cat", "dog"):
            (desk / "pets" / name).mkdir(parents=True)
            for number in range(12):
                shade = 20 * number + (5 if name == "dog" else 0)
                Image.new("L", (8, 8), shade).save(desk / "pets" / name / f"{number}.png")
        (desk / "pets" / "cat" / "torn.png").write_bytes(b"no picture")
        said = "cat/torn.png"
        tiny = ("--config", "tiny.toml", "--skip-bad")
        assert said in tanas("nearest", "known", "folder:pets", *tiny).err
        assert said in tanas("distance", "known", "folder:pets", *tiny).err
        assert said in tanas("dictionary", "build", "new", "folder:pets", *tiny).err


class TestDemo:
    @pytest.mark.parametrize("folder", ["known", "data"])
    def test_it_is_not_written_into_what_is_something_elses(
        self, tanas: Callable[..., Answer], desk: Path, folder: str
    ) -> None:
        (desk / "data").mkdir(exist_ok=True)
        (desk / "data" / "mine.txt").write_text("mine")
        before = sorted(path.name for path in (desk / folder).iterdir())
        answer = tanas("demo", "--out", folder)
        assert answer.status == 2
        assert answer.err.startswith(f"tanas: {folder} holds other files")
        assert sorted(path.name for path in (desk / folder).iterdir()) == before

    def test_its_dictionary_keeps_events_as_every_other(
        self, tanas: Command, desk: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from tanas.api.settings import configure

        monkeypatch.setattr("tanas.cli.demo.quick", lambda: configure("quick", desk / "tiny.toml", {}))
        monkeypatch.setattr("tanas.cli.demo.DIGITS_STARTER", ("npz:bars.npz",))
        monkeypatch.setattr("tanas.cli.demo.run_search", raising(KeyboardInterrupt()))
        assert tanas("demo", "--out", "shown").status == 130
        lines = (desk / "shown" / "dictionary" / "events.jsonl").read_text().splitlines()
        assert any(json.loads(line).get("step", "").startswith("represent npz:bars.npz") for line in lines)

    @pytest.mark.long
    def test_it_ends_with_the_numbers_the_report_and_what_to_try_next(
        self, tanas: Command, desk: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        from tanas.api.settings import configure

        monkeypatch.setattr(
            "tanas.cli.demo.quick", lambda: configure("quick", desk / "tiny.toml", {"limit": 200})
        )
        monkeypatch.setattr("tanas.cli.demo.DIGITS_STARTER", ("digits:is=0", "digits:is=1"))
        answer = tanas("demo", "--out", "shown")
        assert answer.status == 0, answer.err
        for part in (
            "digits:is=8",
            "shown/run/report.html",
            "tanas search PICTURES --dictionary shown/dictionary",
        ):
            assert part in answer.out, part
        assert "digits:is=0" in answer.err
        found = json.loads((desk / "shown" / "run" / "result.json").read_text())
        assert (found["task"]["name"], len(found["distances"])) == ("digits:is=8", 2)
        assert (desk / "shown" / "run" / "report.html").exists()
        assert json.loads(tanas("demo", "--out", "shown", "--json").out) == found, "nothing is done twice"


class TestDistances:
    tiny = ("--config", "tiny.toml")
    across, upright = "npz:bars.npz:is=across", "npz:bars.npz:is=upright"

    def test_the_help_lists_every_method(self, capsys: pytest.CaptureFixture[str]) -> None:
        from tanas.distances.methods import METHODS

        for command in ("distance", "nearest", "search"):
            out = shown(capsys, command, "--help-all").out
            for method in METHODS:
                assert re.search(rf"\b{method}\b", out), (command, method)

    @pytest.mark.parametrize(
        "command",
        [("distance", "known"), ("nearest", "known", "npz:bars.npz"), (*SEARCH[:2], "--out", "run")],
        ids=lambda command: str(command[0]),
    )
    def test_a_method_that_is_none_is_refused_with_the_near_ones(
        self, tanas: Command, command: tuple[str, ...]
    ) -> None:
        answer = tanas(*command, "--method", "transfrom")
        assert answer.status == 2
        assert re.fullmatch("tanas: .*'transfrom'.* 'transform'.*\n", answer.err)

    def test_every_method_measures_and_repeats_itself(self, tanas: Command, desk: Path) -> None:
        from tanas.distances.methods import METHODS

        first = {}
        for method in METHODS:
            answer = tanas("distance", "known", "--method", method, *self.tiny, "--json")
            assert answer.status == 0, answer.err
            first[method] = without_times(json.loads(answer.out))
            values = [m["value"] for m in first[method]["measurements"]]
            assert (values[0], values[3]) == (0, 0), method
            assert all(0 <= value <= 1 for value in values), method
        different = {json.dumps(plain) for plain in first.values()}
        assert len(different) > len(METHODS) // 2, "two methods may agree on so few images, not most of them"
        shutil.rmtree(desk / "known" / "distances")
        for method in ("transform", "knn", "logme"):
            again = tanas("distance", "known", "--method", method, *self.tiny, "--json")
            assert without_times(json.loads(again.out)) == first[method]

    def test_an_untrained_network_stands_below_the_matrix_and_not_in_the_csv(
        self, tanas: Command, desk: Path
    ) -> None:
        compared = ("--method", "linear")  # by representatives
        answer = tanas("distance", "known", *compared, *self.tiny, "--csv", "d.csv", "--plot", "d.svg")
        assert answer.status == 0, answer.err
        lines = answer.out.splitlines()
        assert [line.split("  ")[0] for line in lines[1:4]] == [self.across, self.upright, f"({UNTRAINED})"]
        rows = (desk / "d.csv").read_text().splitlines()
        assert rows[0] == f"source,{self.across},{self.upright}"
        assert [row.split(",")[0] for row in rows[1:]] == [self.across, self.upright]
        assert f"({UNTRAINED})" in (desk / "d.svg").read_text()

    def test_intervals_stand_beside_the_distances_and_change_none(self, tanas: Command, desk: Path) -> None:
        plain = tanas("distance", "known", *self.tiny, "--method", "probe", "--csv", "plain.csv")
        sure = tanas("distance", "known", *self.tiny, "--method", "probe", "--csv", "sure.csv", "--intervals")
        assert re.search(r"\d\.\d{3} \[\d\.\d\d, \d\.\d\d\]", sure.out)
        assert (desk / "plain.csv").read_bytes() == (desk / "sure.csv").read_bytes()
        given = tanas("distance", "known", *self.tiny, "--method", "probe", "--intervals", "--json")
        others = [one for one in json.loads(given.out)["measurements"] if not one["same"]]
        assert len(others) == 2
        for measurement in others:
            low, high = measurement["interval"]
            assert 0 <= low <= high <= 1
        assert "few images" in plain.err

    def test_a_method_that_needs_more_images_refuses_the_tasks(self, tanas: Command, desk: Path) -> None:
        few = desk / "few.toml"
        few.write_text((desk / "tiny.toml").read_text().replace("fit_images = 40", "fit_images = 8"))
        answer = tanas("distance", "known", "--config", "few.toml", "--method", "knn")
        assert answer.status == 2
        assert re.search("^tanas: .*'knn'.* at least 5 fit images", answer.err.splitlines()[-1])

    def test_nearest_shows_an_untrained_network(self, tanas: Command) -> None:
        add = ("dictionary", "build", "known", "npz:bars.npz:is=square", *self.tiny)
        assert tanas(*add).status == 0
        asked = ("nearest", "known", "npz:bars.npz", "--neighbours", "1", "--method", "probe", *self.tiny)
        (entry,) = json.loads(tanas(*asked, "--json").out)
        assert entry["untrained"]["target"] == "npz:bars.npz"
        assert UNTRAINED in tanas(*asked).out

    def test_nearest_within_a_threshold_shows_all_within_it(self, tanas: Command) -> None:
        add = ("dictionary", "build", "known", "npz:bars.npz:is=square", *self.tiny)
        assert tanas(*add).status == 0
        asked = ("nearest", "known", "npz:bars.npz", "--method", "probe", *self.tiny)
        entries = json.loads(tanas(*asked, "--threshold", "1", "--json").out)
        assert len(entries) == 3
        edge = entries[1]["measurement"]["value"]
        within = json.loads(tanas(*asked, "--threshold", str(edge), "--json").out)
        assert [entry["atom"] for entry in within] == [
            entry["atom"] for entry in entries if entry["measurement"]["value"] <= edge
        ]

    def test_a_representative_that_is_damaged_is_refused_by_name(self, tanas: Command, desk: Path) -> None:
        from tanas.dictionary.store import Dictionary

        known = Dictionary(desk / "known")
        atom = known.find(self.upright)
        representative = known.representative(atom)
        representative.network.dense.weight.fill_(float("nan"))
        known.add(atom, representative, known.network(atom))
        for command in (("distance", "known"), ("nearest", "known", self.across)):
            answer = tanas(*command, *self.tiny, "--method", "probe")
            assert answer.status == 1
            assert f"{self.upright} are not finite" in answer.err.splitlines()[-1]


class TestSeveralTasks:
    def test_each_finds_the_ones_before_it(self, tanas: Command, desk: Path) -> None:
        answer = tanas("search", "npz:bars.npz:is=square", "npz:bars.npz", *SEARCH[2:], "--out", "runs")
        assert answer.status == 0, answer.err
        first = json.loads((desk / "runs" / "npz-bars-npz-is-square" / "result.json").read_text())
        second = json.loads((desk / "runs" / "npz-bars-npz" / "result.json").read_text())
        known = ["npz:bars.npz:is=across", "npz:bars.npz:is=upright"]
        assert [name for name, _ in first["dictionary"]] == known
        assert [name for name, _ in second["dictionary"]] == sorted([*known, "npz:bars.npz:is=square"])
        assert len(list((desk / "known" / "atoms").iterdir())) == 2, "the named dictionary stays as it is"

        again = tanas("search", "npz:bars.npz:is=square", "npz:bars.npz", *SEARCH[2:], "--out", "runs")
        assert again.status == 0
        assert again.err.count("is finished already") == 2

    def test_a_task_that_is_named_twice_is_searched_once(self, tanas: Command, desk: Path) -> None:
        answer = tanas("search", "npz:bars.npz:is=square", "npz:bars.npz:is=2", *SEARCH[2:], "--out", "run")
        assert answer.status == 0, answer.err
        assert (desk / "run" / "result.json").exists()
        assert answer.out.count("run/report.html") == 1
        assert answer.err.count("npz:bars.npz:is=square is named more than once") == 1

    def test_one_may_inherit_from_the_ones_before_it(self, tanas: Command, desk: Path) -> None:
        tasks = (
            "npz:bars.npz:is=square",
            "npz:bars.npz:is=across",
        )  # of the second one other is known beforehand
        answer = tanas("search", *tasks, *SEARCH[2:], "--neighbours", "2", "--out", "runs")
        assert answer.status == 0, answer.err
        second = json.loads((desk / "runs" / "npz-bars-npz-is-across" / "result.json").read_text())
        assert {each["atom"] for each in second["neighbours"]} == {"npz:bars.npz:is=upright", tasks[0]}

    def test_a_run_with_other_settings_is_refused_before_those_that_come_first(
        self, tanas: Command, desk: Path
    ) -> None:
        several = ("npz:bars.npz", "npz:bars.npz:is=square", *SEARCH[2:], "--out", "runs")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("tanas.api.run.search_task", raising(KeyboardInterrupt()))
            assert tanas("search", *several).status == 130
        shutil.move(desk / "runs" / "npz-bars-npz", desk / "runs" / "npz-bars-npz-is-square")
        answer = tanas("search", *several)
        assert answer.status == 2
        assert "runs/npz-bars-npz-is-square was begun with task = 'npz:bars.npz'" in answer.err
        assert not (desk / "runs" / "npz-bars-npz").exists()


class TestRepeatedNames:
    tiny = ("--config", "tiny.toml")

    def test_a_build_learns_each_task_once_and_says_so(self, tanas: Command) -> None:
        twice = ("npz:bars.npz:is=square", "npz:bars.npz:is=2")
        answer = tanas("dictionary", "build", "new", *twice, *self.tiny)
        assert answer.status == 0, answer.err
        assert answer.err.count("npz:bars.npz:is=square is named more than once") == 1
        assert answer.out.count("npz:bars.npz:is=square") == 1

    def test_a_matrix_has_each_target_once_and_that_is_said(self, tanas: Command, desk: Path) -> None:
        one, other = "npz:bars.npz:is=across", "npz:bars.npz:is=upright"
        answer = tanas("distance", "known", one, other, one, other, one, *self.tiny, "--csv", "d.csv")
        assert answer.status == 0, answer.err
        assert answer.err.count(f"{one}, {other} are named more than once") == 1
        assert (desk / "d.csv").read_text().splitlines()[0] == f"source,{one},{other}"


class TestEvaluate:
    """Which images a network is tested on, and whether they are the run's own."""

    def test_the_runs_own_split_is_taken_and_another_is_told(self, tanas: Command, desk: Path) -> None:
        assert tanas(*SEARCH, "--out", "run", "--split-seed", "3", "--quiet").status == 0
        own = json.loads(tanas("evaluate", "run", "--json").out)
        found = json.loads((desk / "run" / "result.json").read_text())
        assert own["same_test_split"] and own["error"] == found["metrics"]["test_error"]
        assert "not the test split" not in tanas("evaluate", "run").out
        other = tanas("evaluate", "run", found["task"]["name"])
        assert other.status == 0
        assert "not the test split" in other.out

    def test_pictures_come_as_they_came_to_the_run(
        self, tanas: Command, desk: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        images, labels = bars(24, seed=2)
        for at, (image, label) in enumerate(zip(images, labels, strict=True)):
            path = desk / "pictures" / f"class{label}" / f"{at}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            wide = np.repeat(np.repeat(image, 2, axis=1), 2, axis=0)
            Image.fromarray(np.hstack([wide, wide[:, :6]]).astype(np.uint16) * 16).save(path)  # 12 bits
        asked = ("folder:pictures", "--inherit", "none", "--config", "tiny.toml", "--size", "10x12")
        asked = (*asked, "--fit", "pad")
        assert tanas("search", *asked, "--out", "run", "--dictionary", "known", "--quiet").status == 0
        task = json.loads((desk / "run" / "result.json").read_text())["task"]
        assert (task["shape"], task["framing"]) == ([1, 10, 12], {"fit": "pad", "white": 4095})
        assert json.loads(tanas("evaluate", "run", "--json").out)["same_test_split"]

        # a picture alone
        source = Library(size=(10, 12), fit="pad").open("folder:pictures")
        path = next((desk / "pictures" / "class0").iterdir())
        (image,), _, _ = read_pictures([path], source.shape, source.framing)
        splits = (source.train.images, source.sealed()[1].open().images)
        assert any(torch.equal(image, other) for images in splits for other in images)
        (answer,) = json.loads(tanas("predict", "run", str(path), "--json").out)
        probabilities = Classifier.load(desk / "run").probabilities(image)[0].tolist()
        assert list(answer["probabilities"].values()) == probabilities

        # another folder, though it is darker
        for path in (desk / "pictures").glob("*/*.png"):
            dark = desk / "dark" / path.relative_to(desk / "pictures")
            dark.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.asarray(Image.open(path)) // 8).save(dark)
        opened, open_task = list[Task](), Library.open

        def watched(self: Library, name: str) -> Task:
            opened.append(open_task(self, name))
            return opened[-1]

        monkeypatch.setattr(Library, "open", watched)
        for name, same in (("pictures", True), ("dark", False)):
            assert json.loads(tanas("evaluate", "run", name, "--json").out)["same_test_split"] == same
            assert (opened[-1].shape, opened[-1].framing) == (source.shape, source.framing)


class TestPredict:
    def test_a_folder_stands_for_its_pictures(self, tanas: Command, desk: Path) -> None:
        assert tanas(*SEARCH, "--out", "run", "--quiet").status == 0
        pets = desk / "pets"
        (pets / "more").mkdir(parents=True)
        (pets / "notes.txt").write_text("mine")
        for name, image in zip(("b.png", "a.PNG", "more/c.png"), bars(3, seed=5)[0], strict=True):
            Image.fromarray(image).save(pets / name)
        answer = tanas("predict", "run", "pets/more/c.png", "pets")
        assert answer.status == 0, answer.err
        files = [line.split(": ")[0] for line in answer.out.splitlines()]
        assert files == ["pets/more/c.png", "pets/a.PNG", "pets/b.png"]
        assert "more, notes.txt" in answer.err
        assert [row["file"] for row in json.loads(tanas("predict", "run", "pets", "--json").out)] == files[1:]
        (pets / "a.PNG").write_bytes((pets / "a.PNG").read_bytes()[:60])
        refused = tanas("predict", "run", "pets")
        assert (refused.status, refused.out) == (2, "")
        assert re.fullmatch(r"tanas: .*'pets/a.PNG'.*\(skip_bad\).*\n", refused.err)
        skipped = tanas("predict", "run", "pets", "--skip-bad")
        assert (skipped.status, [line.split(": ")[0] for line in skipped.out.splitlines()]) == (
            0,
            ["pets/b.png"],
        )
        assert "pets/a.PNG" in skipped.err
        none = tanas("predict", "run", "pets/a.PNG", "--skip-bad")
        assert none.status == 2 and "'pets/a.PNG'" in none.err
        missing = tanas("predict", "run", "pets/b.png", "pets/d.png", "--skip-bad")
        assert missing.status == 2 and "no picture 'pets/d.png'" in missing.err
        for name in ("a.PNG", "b.png"):
            (pets / name).unlink()
        empty = tanas("predict", "run", "pets")
        assert (empty.status, empty.out) == (2, "")
        assert "'pets' holds no picture" in empty.err and "'pets/more'" in empty.err


def raising(error: BaseException) -> Callable[..., None]:
    def fail(*_: object, **__: object) -> None:
        raise error

    return fail
