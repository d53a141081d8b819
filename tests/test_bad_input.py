"""Bad input: exit status 2, one message that says what, where and what was expected, and nothing written."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tests.conftest import Answer, bars

from tanas.cli.main import main

Command = Callable[..., Answer]


def pictures(folder: Path, *, each: int = 4, classes: tuple[str, ...] = ("cat", "dog")) -> None:
    draw = np.random.default_rng(0)
    for name in classes:
        (folder / name).mkdir(parents=True)
        for i in range(each):
            Image.fromarray(draw.integers(0, 255, (12, 12), dtype=np.uint8)).save(folder / name / f"{i}.png")


@pytest.fixture(scope="module")
def heap(shelf: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder full of input that can't be used, beside some that can."""
    heap = Path(shutil.copytree(shelf, tmp_path_factory.mktemp("heap") / "heap"))
    x, y = bars(30, seed=0)
    unit = (x / 255).astype(np.float32)
    broken = unit.copy()
    broken[3, 2, 2] = np.nan
    np.savez(heap / "pickled.npz", x=np.array([None, 1], dtype=object), y=y)
    np.savez(heap / "nan.npz", x=broken, y=y)
    np.savez(heap / "bright.npz", x=unit * 3, y=y)
    np.savez(heap / "negative.npz", x=unit - 0.5, y=y)
    np.savez(heap / "short.npz", x=x, y=y[:-2])
    np.savez(heap / "same.npz", x=x, y=y * 0)
    np.savez(heap / "lonely.npz", x=x, y=np.array([0] * 29 + [1]))
    np.savez(heap / "flat.npz", x=x.reshape(30, -1), y=y)
    np.savez(heap / "nothing.npz", x=x[:0], y=y[:0])
    np.savez(heap / "unlabelled.npz", x=x)
    (heap / "cut.npz").write_bytes((heap / "bars.npz").read_bytes()[:900])
    (heap / "text.npz").write_text("hello")

    (heap / "void").mkdir()
    pictures(heap / "truncated")
    picture = heap / "truncated" / "cat" / "2.png"
    picture.write_bytes(picture.read_bytes()[:60])
    pictures(heap / "renamed")
    (heap / "renamed" / "dog" / "3.jpg").write_text("no picture")
    pictures(heap / "hollow")
    shutil.rmtree(heap / "hollow" / "dog")
    (heap / "hollow" / "dog").mkdir()
    pictures(heap / "single", each=1)
    pictures(heap / "alone", classes=("cat",))

    for name in ("other-schema", "other-kind", "no-json"):
        shutil.copytree(heap / "known", heap / name)
    marker = json.loads((heap / "known" / "dictionary.json").read_text())
    (heap / "other-schema" / "dictionary.json").write_text(json.dumps({**marker, "schema": 9}))
    (heap / "other-kind" / "dictionary.json").write_text(json.dumps({**marker, "kind": "tanas run"}))
    (heap / "no-json" / "dictionary.json").write_text("{")
    for name in ("torn-atom", "lost-weights", "rotten-weights", "rotten-network"):
        shutil.copytree(heap / "known", heap / name)
    for atom in (heap / "torn-atom").glob("atoms/*"):
        (atom / "atom.json").write_text('{"weights')
    for atom in (heap / "lost-weights").glob("atoms/*"):
        (atom / "representative.safetensors").unlink()
    for atom in (heap / "rotten-weights").glob("atoms/*"):
        weights = atom / "representative.safetensors"
        weights.write_bytes(weights.read_bytes()[:-4] + b"rot!")
    for atom in (heap / "rotten-network").glob("atoms/*"):
        weights = atom / "network.safetensors"
        weights.write_bytes(weights.read_bytes()[:-4] + b"rot!")

    (heap / "own.toml").write_text("roundz = 3\n")
    (heap / "broken.toml").write_text("rounds = = 3\n")
    return heap


@pytest.fixture
def tanas(heap: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    monkeypatch.chdir(heap)
    monkeypatch.setenv("TANAS_DICTIONARY", str(heap / "own"))
    monkeypatch.setenv("TANAS_DATA", str(heap / "void"))

    def run(*arguments: str) -> Answer:
        capsys.readouterr()
        status = main(list(arguments))
        shown = capsys.readouterr()
        return Answer(status, shown.out, shown.err)

    return run


def files(folder: Path) -> set[Path]:
    return set(folder.rglob("*"))


def refusal(tanas: Command, heap: Path, arguments: list[str]) -> str:
    """The one message of a command that is refused: exit status 2, no traceback, and nothing written or printed."""
    before = files(heap)
    answer = tanas(*arguments)
    assert answer.status == 2, answer
    assert answer.err.startswith("tanas: ")
    assert answer.err.count("\n") == 1, f"more than one message: {answer.err}"
    assert "Traceback" not in answer.err
    assert answer.out == ""
    assert files(heap) == before, "something was written"
    return answer.err


TASKS = {
    "digitz": "'digitz'.* 'digits'",
    "bars.npz:is=acros": "'acros' in npz:bars.npz.* 'across'",
    "truncated": r"'truncated/cat/2.png' is corrupt .*\(skip_bad\)",
    "./absent": "no folder './absent'",
    "absent.npz": "no file 'absent.npz'",
    "own.toml": r"own.toml is a file.* npz:own.toml",
    "digits:is=88": "'88' in digits.* 0, 1, .* '8'",
    "npz:bars.npz:is=acros": "'acros' in npz:bars.npz.* 'across'",
    "digits:iz=8": "'iz=8'.* 'is='",
    "digits:take=some": "take= .* at least 1.* 'some'",
    "digits:only=3": "at least two classes. digits:only=3 has only '3'",
    "digits:groups=0+1/1+2": "groups= names the class '1' of digits more than once",
    "npz:same.npz": "at least two classes. npz:same.npz has only '0'",
    "npz:lonely.npz": "Class '1' of npz:lonely.npz has 1 example",
    "npz:pickled.npz": "'x' in 'pickled.npz' needs pickle",
    "npz:nan.npz": r"x of nan.npz is NaN.* index 3.* \[0, 1\]",
    "npz:bright.npz": r"x of bright.npz are float32 in \[0, [\d.]+\].* uint8",
    "npz:negative.npz": r"x of negative.npz are float32 in \[-0.5, [\d.]+\].* uint8",
    "npz:short.npz": "short.npz has 30 images in x and 28 labels in y",
    "npz:flat.npz": r"\(30, 144\) of x of flat.npz .*\(n, h, w\)",
    "npz:nothing.npz": "nothing.npz has no images in x",
    "npz:unlabelled.npz": "'unlabelled.npz' has no 'y'",
    "npz:cut.npz": "'cut.npz' is not an .npz archive",
    "npz:text.npz": "'text.npz' is not an .npz archive",
    "npz:absent.npz": "no file 'absent.npz'",
    "folder:absent": "no folder 'absent'",
    "folder:void": "'void' is empty",
    "folder:hollow": "Class 'dog' of folder:hollow has no examples",
    "folder:single": "Class 'cat' of folder:single has 1 example",
    "folder:alone": "at least two classes. folder:alone has only 'cat'",
    "folder:truncated": r"'truncated/cat/2.png' is corrupt .*\(skip_bad\)",
    "folder:renamed": "'renamed/dog/3.jpg' is corrupt",
}


@pytest.mark.parametrize("task", TASKS)
def test_a_task_that_cannot_be_opened_is_refused(task: str, tanas: Command, heap: Path) -> None:
    assert re.search(TASKS[task], refusal(tanas, heap, ["search", task, "--out", "run"]))


@pytest.mark.parametrize(
    "command", [["dictionary", "build", "new"], ["dictionary", "add", "known"], ["distance", "known"]]
)
def test_other_commands_refuse_it_as_search_does(command: list[str], tanas: Command, heap: Path) -> None:
    message = refusal(tanas, heap, [*command, "npz:bars.npz:is=across", "npz:nan.npz"])
    assert re.search(TASKS["npz:nan.npz"], message)


SETTINGS = {
    "--epsilon 1.4": r"'epsilon' of RepresentativeConfig .*\(0, 1\).* 1.4",
    "--epsilon 0": r"'epsilon' of RepresentativeConfig .*\(0, 1\).* 0.0",
    "--epsilon nan": r"'epsilon' of RepresentativeConfig .*\(0, 1\).* nan",
    "--neighbours 3": "'neighbours' of SearchConfig .* at most 2, .* in known.* 3",
    "--neighbours 0": "'neighbours' of SearchConfig .* at least 1.* 0",
    "--neighbours 1 --threshold 0.5": "'neighbours' and 'threshold' of SearchConfig",
    "--threshold 1.5": r"'threshold' of SearchConfig .*\[0, 1\].* 1.5",
    "--limit few": "'limit' .* 'few'",
    "--limit 1": "'limit' of SearchConfig .* at least 2.* 1",
    "--time-limit soon": "'time_limit' .* 90s, 10m or 2h.* 'soon'",
    "--time-limit inf": "'time_limit' .* 'inf'",
    "--preset quik": "'quik'.* 'quick'",
    "--space standrad": "'standrad'.* 'standard'",
    "--inherit unon": "'inherit' of SearchConfig .*prior, union, transfer, none, auto.* 'unon'",
    "--max-parameters 3": "'max_parameters' of 3 .* admit no architecture.* [0-9,]+ parameters",
    "--rounds 0": "'rounds' of FuseConfig .* at least 1.* 0",
    "--candidates 1": "'candidates' of FuseConfig .* at least 2.* 1",
    "--workers 0": "'workers' of Resources .* at least 1.* 0",
    "--threads 0": "'threads' of Resources .* at least 1.* 0",
    "--seed -1": "'seed' of search .* at least 0.* -1",
    "--seed 1.5": "--seed: .*'1.5'",
    "--epochs many": "--epochs: .*'many'",
    "--config absent.toml": "absent.toml can't be read",
    "--config broken.toml": "broken.toml is not valid TOML: .*line 1",
    "--config own.toml": "'roundz' in own.toml",
    "--reuse": "nothing to reuse.* known .* npz:bars.npz",
    "--neigbours 3": "--neigbours.* --neighbours.* tanas search --help",
    "--strategy drats": "'drats'.* 'darts'",
}


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_setting_outside_its_range_is_refused(settings: str, tanas: Command, heap: Path) -> None:
    command = ["search", "npz:bars.npz", "--dictionary", "known", "--out", "run", *settings.split()]
    assert re.search(SETTINGS[settings], refusal(tanas, heap, command))


DICTIONARIES = {
    "void": "void is not a dictionary.* tanas dictionary build void",
    "absent": "absent is not a dictionary",
    "bars.npz": "bars.npz is not a dictionary",
    "other-schema": "other-schema has schema 9; this tanas reads schema 1",
    "other-kind": "other-kind is not a dictionary: its dictionary.json",
    "no-json": "no-json/dictionary.json can't be read",
    "torn-atom": "torn-atom/atoms/npz-bars-npz-is-across-.*/atom.json can't be read",
    "lost-weights": "lost-weights/atoms/.*/representative.safetensors can't be read",
    "rotten-weights": "rotten-weights/atoms/.*/representative.safetensors is damaged",
}


@pytest.mark.parametrize("dictionary", DICTIONARIES)
def test_a_dictionary_that_is_none_or_damaged_is_refused_before_any_work(
    dictionary: str, tanas: Command, heap: Path
) -> None:
    command = ["search", "npz:bars.npz", "--dictionary", dictionary, "--out", "run"]
    assert re.search(DICTIONARIES[dictionary], refusal(tanas, heap, command))


OUTPUTS = {
    "void/../bars.npz": "bars.npz can't be made: .*bars.npz is a file",
    "bars.npz/below/it": "bars.npz/below/it can't be made: bars.npz is a file",
    "/proc/run": "/proc/run can't be written",
    "/dev/null/run": "/dev/null/run can't be made: /dev/null is a file",
    "truncated": r"truncated is not empty and holds no run.* \(out\)",
    "known": "known is not empty and holds no run",
}


@pytest.mark.parametrize("out", OUTPUTS)
def test_an_output_that_cannot_be_written_is_refused_before_any_work(
    out: str, tanas: Command, heap: Path
) -> None:
    message = refusal(tanas, heap, ["search", "npz:bars.npz", "--dictionary", "known", "--out", out])
    assert re.search(OUTPUTS[out], message)


def test_runs_of_several_tasks_are_not_put_into_something_else(tanas: Command, heap: Path) -> None:
    tasks = ["npz:bars.npz:is=square", "npz:bars.npz"]
    message = refusal(tanas, heap, ["search", *tasks, "--dictionary", "known", "--out", "truncated"])
    assert "truncated holds 'cat'" in message


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["dictionary", "build", "truncated", "digits:is=0"],
            "truncated is not empty and holds no dictionary",
        ),
        (
            ["dictionary", "build", "bars.npz/d", "digits:is=0"],
            "bars.npz/d can't be made: bars.npz is a file",
        ),
        (["dictionary", "build", "/proc/d", "digits:is=0"], "/proc/d can't be written"),
        (["dictionary", "build", "new", "digits:is=0", "--space", "papr"], "Unknown search space 'papr'"),
        (["dictionary", "add", "void", "digits:is=0"], "void is not a dictionary"),
        (["dictionary", "add", "known"], "Name at least one task to add"),
        (
            ["dictionary", "show", "known", "npz:bars.npz:is=acros"],
            "'npz:bars.npz:is=acros' in known.* 'npz:bars.npz:is=across'",
        ),
        (["dictionary", "remove", "known", "digits"], "'digits' in known.* npz:bars"),
        (["dictionary", "list", "other-schema"], "has schema 9; this tanas reads schema 1"),
        (["distance", "known", "--csv", "void"], "void can't be written"),
        (["distance", "known", "--csv", "bars.npz/d.csv"], "bars.npz can't be made: bars.npz is a file"),
        (["distance", "known", "--plot", "plot.pdf"], ".svg, .png, .html"),
        (
            ["distance", "known", "--method", "liner"],
            "'liner' .* 'linear'",
        ),
        (
            ["nearest", "known", "npz:bars.npz", "--neighbours", "7"],
            "'neighbours' .* at most 2, .* in known",
        ),
        (
            ["report", "void"],
            "void is not a run: it holds no run.json.* `tanas search TASK`",
        ),
        (["evaluate", "absent"], "absent is not a run"),
        (["predict", "void", "truncated/cat/1.png"], "void holds no network"),
        (["export", "void", "a.pt2"], "void holds no network"),
        (
            ["export", "void", "a.tflite"],
            ".onnx, .pt2, .safetensors.* 'a.tflite'",
        ),
        (
            ["export", "void", "--to", "onnx", "--out", "a.onnx"],
            "tanas export RUN FILE.onnx",
        ),
        (
            ["export", "void", "--out=a.onnx"],
            "tanas export RUN FILE.onnx",
        ),
        (
            ["search", "npz:bars.npz", "--dictionary", "known", "--inherit", "all"],
            "--inherit all .* --from all",
        ),
        (
            ["search", "npz:bars.npz", "--dictionary", "known", "--inherit", "union", "--from", "all"],
            "--from all needs --inherit prior.* union",
        ),
        (
            ["search", "npz:bars.npz", "--dictionary", "known", "--preset", "paper", "--from", "all"],
            "'inherit' and related = 'all' of SearchConfig",
        ),
        (["search", "npz:bars.npz", "--from", "farthest"], '"farthest" for --from'),
        (
            ["evaluate", "known", "--size", "12"],
            "--split-seed, --size and --fit",
        ),
        (["evaluate", "known", "--split-seed", "1"], "--split-seed, --size and --fit"),
        (["evaluate", "known", "--fit", "crop"], "--split-seed, --size and --fit"),
        (["search", "npz:bars.npz", "--size", "8*8"], "--size must be N or HxW.* '8\\*8'"),
        (["search", "npz:bars.npz", "--size", "8x"], "--size must be N or HxW.* '8x'"),
        (["search", "npz:bars.npz", "--size", "0x8"], r"'size' of Library .*\[1, 1024\].* 0"),
        (["search", "npz:bars.npz", "--fit", "stretch"], '"stretch" for --fit'),
        (["report", "void", "--seed", "3"], "Unknown option: --seed.* tanas report --help"),
        (
            ["dictionary", "show", "known", "digits", "--device", "cpu"],
            "Unknown option: --device.* tanas dictionary show",
        ),
        (["search", "--out", "run"], "Name a task .*digits:is=8"),
        (["search", "digitz"], "Unknown source 'digitz'"),
        (["evaluate"], "RUN .* tanas evaluate --help"),
        (["serch"], '"serch".* "search"'),
        (["dictionary", "biuld"], '"biuld".* "build"'),
        (["predict", "void"], "Name at least one picture to predict"),
        (
            ["search", "npz:bars.npz", "--out", "new", "--strategy", "random", "--rounds", "2"],
            "--rounds is an option of the strategy fuse.* 'random'",
        ),
        (["distance", "known", "--rounds", "2"], "Unknown option: --rounds.* tanas distance --help"),
        (
            ["dictionary", "build", "new", "digits", "--method", "knn"],
            "Unknown option: --method.* tanas dictionary build --help",
        ),
        (
            ["dictionary", "build", "new", "digits:is=0", "--seed", "-1"],
            "'seed' .* at least 0.* -1",
        ),
        (
            ["dictionary", "build", "new", "digits", "--limit", "5"],
            "subset of 5 images",
        ),
        (["demo", "--out", "new", "--seed", "-1"], "'seed' .* at least 0.* -1"),
        (
            ["distance", "known", "npz:bars.npz", "--seed", "-1"],
            "'seed' of distance .* at least 0.* -1",
        ),
        (
            ["nearest", "known", "npz:bars.npz", "--seed", "-1"],
            "'seed' of nearest .* at least 0.* -1",
        ),
        (
            ["dictionary", "list", "truncated"],
            "truncated is not a dictionary.* tanas dictionary build my-dictionary",
        ),
        (["report", "known"], "known is not a run: it holds no run.json"),
        (
            ["nearest", "rotten-weights", "npz:bars.npz", "--method", "linear"],
            "representative.safetensors is damaged",
        ),
        (["nearest", "rotten-network", "npz:bars.npz"], "network.safetensors is damaged"),
        (["distance", "rotten-network", "npz:bars.npz"], "network.safetensors is damaged"),
        (
            ["distance", "rotten-weights", "npz:bars.npz", "--method", "linear"],
            "representative.safetensors is damaged",
        ),
        (
            ["distance", "lost-weights", "npz:bars.npz", "--method", "linear"],
            "representative.safetensors can't be read",
        ),
        (
            ["export", "void", "/proc/a.onnx"],
            "/proc can't be written",
        ),
        (
            ["export", "void", "bars.npz/a.pt2"],
            "bars.npz can't be made: bars.npz is a file",
        ),
        (["export", "void", "/proc/a.safetensors"], "/proc can't be written"),
        (
            ["search", "npz:bars.npz", "--neighbours", "1", "--out", "run"],
            "'neighbours' .* at most 0, .*own",
        ),
        (["search", "npz:bars.npz", "--out", "truncated"], "truncated is not empty and holds no run"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_every_command_refuses_what_it_cannot_do(
    arguments: list[str], message: str, tanas: Command, heap: Path
) -> None:
    assert re.search(message, refusal(tanas, heap, arguments))


@pytest.mark.parametrize(
    ("tasks", "setting", "message"),
    [
        (
            ["npz:bars.npz:is=square", "npz:bars.npz"],
            ["--neighbours", "7"],
            "'neighbours' .* at most 2 for npz:bars.npz:is=square.* 7",
        ),
        (
            ["npz:bars.npz:is=square", "npz:bars.npz:is=across", "npz:bars.npz:is=upright"],
            ["--neighbours", "3"],
            "'neighbours' .* at most 2 for npz:bars.npz:is=square",
        ),
        (["npz:bars.npz", "npz:bars.npz:is=across"], ["--seed", "-1"], "'seed' of search must be at least 0"),
        (["npz:bars.npz", "npz:bars.npz:is=across"], ["--max-parameters", "3"], "admit no architecture"),
        (
            ["npz:bars.npz:is=across", "npz:bars.npz"],
            ["--reuse", "--config", "tiny.toml"],
            "nothing to reuse.* known .* npz:bars.npz",
        ),
    ],
)
def test_several_tasks_are_refused_before_the_first_is_begun(
    tasks: list[str], setting: list[str], message: str, tanas: Command, heap: Path
) -> None:
    command = ["search", *tasks, "--dictionary", "known", "--out", "runs", *setting]
    assert re.search(message, refusal(tanas, heap, command))


def test_an_unknown_category_of_quickdraw_is_refused_with_near_ones(tanas: Command) -> None:
    answer = tanas("search", "quickdraw:only=moon,aple:is=moon", "--out", "run")
    assert answer.status == 2
    assert "'aple'" in answer.err
    assert "'apple'" in answer.err
    assert answer.err.count("\n") == 1


def test_debug_shows_the_traceback(tanas: Command) -> None:
    answer = tanas("search", "digitz", "--out", "run", "--debug")
    assert answer.status == 2
    assert "Traceback" in answer.err


def test_bad_pictures_can_be_left_out_and_are_counted(tanas: Command, heap: Path) -> None:
    from tanas.tasks.library import Library

    notes = Library(skip_bad=True).open("folder:truncated").notes
    (note,) = notes
    assert note.startswith("1 picture") and "cat/2.png" in note
