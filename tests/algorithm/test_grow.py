"""Networks that are grown and compressed, from the command line."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Callable
from dataclasses import replace
from html import unescape
from pathlib import Path
from typing import Any

import pytest
import torch
from tests.conftest import Answer
from tests.sessions import Moment, repeated, session

from tanas.algorithm.grow import kept_network
from tanas.api.search import open_origin
from tanas.cli.text import run_view
from tanas.ground.context import Context
from tanas.ground.errors import StoreError
from tanas.ground.records import from_plain
from tanas.networks.architecture import Architecture, cost_of
from tanas.reports.page import render
from tanas.runs.folder import Run
from tanas.strategies.base import Outcome, Round
from tanas.tasks.library import Library
from tanas.tasks.task import Task

Command = Callable[..., Answer]
TASK = "npz:bars.npz:is=square"
TINY = ("--config", "tiny.toml")


@pytest.fixture(scope="module")
def made(shelf: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A desk with a finished run, an export of it, and what became of the run when it was grown and compressed."""
    from tests.sessions import lighten

    from tanas.cli.main import main

    desk = Path(shutil.copytree(shelf, tmp_path_factory.mktemp("made") / "desk"))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(desk)
        lighten(patch.setattr)
        for command in (
            [
                "search",
                TASK,
                "--dictionary",
                "known",
                "--inherit",
                "none",
                "--out",
                "run",
                "--max-parameters",
                "4000",
            ],
            ["grow", "run", TASK, "--out", "grown", "--seed", "1"],
            ["compress", "run", TASK, "--out", "small"],
        ):
            assert main([*command, *TINY, "--quiet"]) == 0, command
        assert main(["export", "run", "taken.safetensors"]) == 0
    return desk


@pytest.fixture
def desk(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "desk"))


def result_of(folder: Path) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads((folder / "result.json").read_text())
    return plain


def architectures(plain: list[dict[str, Any]]) -> list[Architecture]:
    return [from_plain(Architecture, each, where="here") for each in plain]


class TestWhatComesOut:
    @pytest.mark.parametrize(("name", "aim"), [("grown", "grow"), ("small", "compress")])
    def test_the_result_says_what_it_began_with_and_what_became_of_it(
        self, made: Path, name: str, aim: str
    ) -> None:
        before, after = result_of(made / "run"), result_of(made / name)
        grown = after["grown"]
        assert grown["aim"] == aim
        assert grown["origin"] == f"the network of {TASK}"
        for key in ("architecture", "parameters", "macs"):
            assert grown["before"][key] == before[key]
            assert grown["after"][key] == after[key]
        assert grown["before"]["score"] is not None and grown["after"]["score"] is not None
        assert grown["recorded"]["same_images"] is True
        assert grown["recorded"]["test_error"] == before["metrics"]["test_error"]
        assert after["strategy"] == "fuse"
        assert bool(grown["differences"]) == (after["architecture"] != before["architecture"])

    def test_compressing_without_a_limit_leaves_at_most_half_of_the_parameters(self, made: Path) -> None:
        before, after = result_of(made / "run"), result_of(made / "small")
        assert after["parameters"] <= round(before["parameters"] / 2)
        assert after["seen"]
        for seen in after["seen"]:
            assert seen["parameters"] <= round(before["parameters"] / 2)
            assert seen["macs"] <= before["macs"]

    def test_growing_begins_with_the_network_and_stays_within_four_times_its_size(self, made: Path) -> None:
        before, after = result_of(made / "run"), result_of(made / "grown")
        assert after["rounds"][0]["candidates"][0] == before["architecture"], "it is the first seed"
        assert after["seen"]
        for seen in after["seen"]:
            assert seen["parameters"] <= 4 * before["parameters"]
            assert seen["macs"] <= 4 * before["macs"]

    def test_what_was_spent_includes_the_score_of_what_it_began_with(self, made: Path) -> None:
        before, after = result_of(made / "run"), result_of(made / "small")
        origin = from_plain(Architecture, before["architecture"], where="here").key
        search = next(phase for phase in after["ledger"]["phases"] if phase["phase"] == "search")
        assert origin in [key for key, _ in search["images"]]

    def test_the_report_and_the_terminal_show_both(self, made: Path) -> None:
        result = Run.open(made / "small").result()
        assert result.grown is not None
        page, text = unescape(render(result)), run_view(result, Path("small"))
        for shown in (page, text):
            assert result.grown.weights in shown
            assert f"{result.grown.before.parameters:,}" in shown
            assert f"{result.grown.after.parameters:,}" in shown

    def test_the_new_network_can_be_used_and_grown_again(self, tanas: Command, desk: Path) -> None:
        assert tanas("evaluate", "small").status == 0
        again = tanas("grow", "small", TASK, "--out", "again", *TINY, "--rounds", "1", "--json")
        assert again.status == 0, again.err
        assert (
            json.loads(again.out)["grown"]["before"]["parameters"] == result_of(desk / "small")["parameters"]
        )


class TestWhatItBeginsWith:
    def test_an_architecture_gives_the_same_search_as_the_run_and_a_training_from_scratch(
        self, tanas: Command, desk: Path
    ) -> None:
        for path in ("taken.safetensors", "run/architecture.json"):
            out = f"from-{path.replace('/', '-')}"
            assert tanas("grow", path, TASK, "--out", out, "--seed", "1", *TINY).status == 0
            alone, from_run = result_of(desk / out), result_of(desk / "grown")
            assert alone["seen"] == from_run["seen"]
            assert alone["grown"]["recorded"] is None
            assert alone["grown"]["kept_weights"] is False

    def test_an_architecture_written_by_hand_is_taken_for_a_task_of_another_shape(
        self, tanas: Command, desk: Path
    ) -> None:
        plain = result_of(desk / "run")["architecture"]
        (desk / "mine.json").write_text(json.dumps(plain))
        answer = tanas("compress", "mine.json", "digits:take=120", "--out", "digits", *TINY, "--json")
        assert answer.status == 0, answer.err
        grown = json.loads(answer.out)["grown"]
        (architecture,) = architectures([plain])
        cost = cost_of(architecture.canonical(), (1, 8, 8), 10)
        assert (grown["before"]["parameters"], grown["before"]["macs"]) == (cost.parameters, cost.macs)
        assert grown["origin"] == f"the architecture {architecture.key}"

    def test_wrong_ones_are_refused_in_one_message_before_anything_is_written(
        self, tanas: Command, desk: Path
    ) -> None:
        (desk / "empty").mkdir()
        (desk / "broken.json").write_text("{")
        (desk / "odd.json").write_text('{"skeleton": {"widths": [0]}, "cell": {"nodes": 2, "edges": []}}')
        record = json.loads((desk / "run" / "architecture.json").read_text())
        (desk / "old.json").write_text(json.dumps({**record, "schema": 99}))
        strange = {"nodes": 2, "edges": [[0, 1, "conv_4x4"]]}
        (desk / "strange.json").write_text(
            json.dumps({"skeleton": record["architecture"]["skeleton"], "cell": strange})
        )
        shutil.copytree(desk / "run", desk / "half")
        (desk / "half" / "result.json").unlink()
        shutil.copytree(desk / "run", desk / "torn")
        (desk / "torn" / "weights.safetensors").write_bytes(b"torn")
        expected = {
            "nowhere": "nowhere is not a network",
            "empty": "empty is not a network",
            "broken.json": "broken.json can't be read",
            "odd.json": "odd.json is not a Architecture",
            "old.json": "schema version 99",
            "strange.json": "Unknown operation 'conv_4x4'",
            "half": "The run half is not finished",
            "torn": "torn/weights.safetensors is damaged",
            "bars.npz": "bars.npz can't be read",
        }
        for path, message in expected.items():
            answer = tanas("grow", path, TASK, "--out", "new", *TINY)
            assert answer.status == 2, (path, answer.err)
            assert message in answer.err
            assert answer.err.count("tanas: ") == 1 and answer.out == ""
            assert not (desk / "new").exists()

    def test_wrong_settings_are_refused_in_one_message_before_anything_is_written(
        self, tanas: Command, desk: Path
    ) -> None:
        (desk / "rival.toml").write_text('strategy = "random"')
        expected = {
            ("grow", "run", "npz:bars.npz:is=circle"): "'circle'",
            ("grow", "run", TASK, "--max-parameters", "10"): "of grow must be at least the",
            ("compress", "run", TASK, "--max-parameters", "2"): "the smallest that transformations reach",
            ("compress", "run", TASK, "--max-parameters", "4000"): "there is nothing to compress",
            ("compress", "run", TASK, "--space", "standrd"): "Unknown search space 'standrd'",
            ("compress", "run", TASK, "--time-limit", "soon"): "The 'time_limit' must be a duration",
            (
                "compress",
                "run",
                TASK,
                "--max-latency",
                "0.00001",
            ): "smallest that transformations reach takes",
            ("compress", "run", TASK, "--max-latency", "60000"): "there is nothing to compress",
            ("grow", "run", TASK, "--max-latency", "0.00001"): "the network itself takes",
            ("grow", "run", TASK, "--max-latency", "-1"): "'max_latency_ms' of ",
            ("grow", "run", TASK, "--config", "rival.toml"): "The 'strategy' of grow must be fuse",
        }
        for command, message in expected.items():
            answer = tanas(*command, "--out", "new")
            assert answer.status == 2, (command, answer.err)
            assert message in answer.err
            assert not (desk / "new").exists()


class TestRuns:
    def test_a_finished_one_is_left_as_it_is_and_another_request_is_refused(
        self, tanas: Command, desk: Path
    ) -> None:
        command = ("compress", "run", TASK, "--out", "small", *TINY)
        answer = tanas(*command, "--json")
        assert answer.status == 0
        assert "is finished already" in answer.err
        assert json.loads(answer.out) == result_of(desk / "small")
        for other, message in {
            (*command, "--max-parameters", "100"): "max_parameters",
            (*command, "--fresh"): "keep_weights",
            ("grow", *command[1:]): "begun by `tanas compress`; now it is `tanas grow`",
            (
                "compress",
                "run",
                TASK,
                "--out",
                "run",
                *TINY,
            ): "begun by `tanas search`; now it is `tanas compress`",
        }.items():
            answer = tanas(*other)
            assert answer.status == 2
            assert message in answer.err

    @pytest.mark.long
    def test_one_that_was_killed_goes_on_and_ends_as_an_undisturbed_one(self, desk: Path) -> None:
        command = ["compress", "run", TASK, "--out", "new", *TINY]
        in_search = Moment("RoundFinished", {"number": "1"})
        in_training = Moment("StepAdvanced", {"step": "train", "done": "2"})
        for moment in (in_search, in_training):
            assert session(command, desk, killed_at=moment, light=True).status == -signal.SIGKILL
            assert not (desk / "new" / "result.json").exists()
        ended = session(command, desk, light=True)
        assert ended.status == 0, ended.err
        one, other = repeated(desk / "new" / "result.json"), repeated(desk / "small" / "result.json")
        assert one.replace(" --quiet", "") == other.replace(" --quiet", "")
        for file in ("weights.safetensors", "architecture.json"):
            assert (desk / "new" / file).read_bytes() == (desk / "small" / file).read_bytes()

    def test_no_time_still_gives_a_network_within_the_limit(self, tanas: Command, desk: Path) -> None:
        answer = tanas("compress", "run", TASK, "--out", "quick", *TINY, "--time-limit", "0.001s", "--json")
        assert answer.status == 0, answer.err
        result = json.loads(answer.out)
        assert result["stopped"] == "time"
        assert result["parameters"] <= round(result_of(desk / "run")["parameters"] / 2)


class TestKeptWeights:
    """The final training may go on from the weights of the run."""

    @staticmethod
    def outcome(before: Architecture, after: Architecture) -> Outcome:
        a_round = Round(
            candidates=(before, after),
            keys=(before.key, after.key),
            dropped=(),
            stages=(),
            winner=1,
            took_s=0.0,
        )
        return Outcome(best=after, rounds=(a_round,), seen=(), stopped="rounds")

    @staticmethod
    def task(made: Path, name: str = TASK, **options: Any) -> Task:
        return Library(**options).open(name.replace("bars.npz", str(made / "bars.npz")))

    def wider(self, made: Path) -> tuple[Any, Outcome]:
        origin = open_origin(made / "run")
        before = origin.architecture.canonical()
        widths = tuple(width + 3 for width in before.skeleton.widths)
        after = replace(before, skeleton=replace(before.skeleton, widths=widths))
        return origin, self.outcome(before, after)

    def test_are_those_of_the_run_in_a_network_that_answers_alike(self, made: Path) -> None:
        origin, outcome = self.wider(made)
        task = self.task(made)
        network, why = kept_network(origin, outcome, *task.sealed(), Context(), wanted=True)
        assert network is not None, why
        pixels = task.validation.pixels()
        with torch.no_grad():
            expected = origin.trained.network.eval()(pixels)
            assert torch.allclose(network.eval()(pixels), expected, atol=1e-3 * float(expected.std()))

    def test_are_left_where_they_are_if_that_is_asked_or_can_not_be(self, made: Path) -> None:
        origin, outcome = self.wider(made)
        task = self.task(made)
        backwards = self.outcome(outcome.best, origin.architecture.canonical())
        narrower = replace(backwards, rounds=(*outcome.rounds, *backwards.rounds))
        alone = replace(origin, trained=None)
        assert kept_network(origin, outcome, *task.sealed(), Context(), wanted=False)[0] is None
        assert kept_network(origin, narrower, *task.sealed(), Context(), wanted=True)[0] is None
        assert kept_network(alone, outcome, *task.sealed(), Context(), wanted=True)[0] is None

    @pytest.mark.parametrize(
        ("name", "options"),
        [(TASK, {"split_seed": 1}), ("npz:bars.npz:is=upright", {})],
        ids=["split", "task"],
    )
    def test_are_left_where_they_might_have_seen_what_is_tested_on(
        self, made: Path, name: str, options: dict[str, Any]
    ) -> None:
        origin, outcome = self.wider(made)
        task, sealed = self.task(made, name, **options).sealed()
        network, why = kept_network(origin, outcome, task, sealed, Context(), wanted=True)
        assert network is None
        assert "test images" in why

    def test_a_training_that_goes_on_from_them_begins_where_the_other_ended(
        self, tanas: Command, desk: Path
    ) -> None:
        # one round that the given network wins: what is trained is the network of the run itself
        for seed in range(12):
            out = f"kept-{seed}"
            command = ("grow", "run", TASK, *TINY, "--rounds", "1", "--seed", str(seed))
            assert tanas(*command, "--out", out).status == 0
            grown = result_of(desk / out)["grown"]
            if grown["kept_weights"]:
                break
        assert grown["kept_weights"], "no seed of twelve kept the function"
        assert tanas(*command, "--out", "fresh", "--fresh").status == 0
        kept, fresh = result_of(desk / out), result_of(desk / "fresh")
        assert kept["architecture"] == fresh["architecture"]
        assert not fresh["grown"]["kept_weights"]
        assert kept["training_losses"][0] < fresh["training_losses"][0]


def test_an_origin_that_is_no_file_of_ours_is_an_error_of_the_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="nothing.json"):
        open_origin(tmp_path / "nothing.json")
