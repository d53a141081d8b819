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
    for name in ("torn-atom", "lost-weights", "rotten-weights"):
        shutil.copytree(heap / "known", heap / name)
    for atom in (heap / "torn-atom").glob("atoms/*"):
        (atom / "atom.json").write_text('{"weights')
    for atom in (heap / "lost-weights").glob("atoms/*"):
        (atom / "representative.safetensors").unlink()
    for atom in (heap / "rotten-weights").glob("atoms/*"):
        weights = atom / "representative.safetensors"
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
    "digitz": r"Unknown source 'digitz'. Did you mean 'digits'\?",
    "bars.npz:is=acros": r"Unknown class 'acros' in npz:bars.npz.* Did you mean 'across'\?",
    "truncated": r"The picture 'truncated/cat/2.png' is corrupt or truncated .* \(skip_bad\)",
    "./absent": "There is no folder './absent'",
    "absent.npz": "There is no file 'absent.npz'",
    "own.toml": r"own.toml is a file, and its name does not end in .npz. For an .npz file write npz:own.toml",
    "digits:is=88": r"Unknown class '88' in digits. Its classes are 0, 1, .* Did you mean '8'\?",
    "npz:bars.npz:is=acros": r"Unknown class 'acros' in npz:bars.npz.* Did you mean 'across'\?",
    "digits:iz=8": r"Unknown labelling 'iz=8'. Did you mean 'is='\?",
    "digits:take=some": "take= must be a number of training images, at least 1. Got 'some' instead",
    "digits:only=3": "A task needs at least two classes. digits:only=3 has only '3'",
    "digits:groups=0+1/1+2": "groups= names the class '1' of digits more than once",
    "npz:same.npz": "A task needs at least two classes. npz:same.npz has only '0'",
    "npz:lonely.npz": "Class '1' of npz:lonely.npz has 1 example. A class needs at least two",
    "npz:pickled.npz": "'x' in 'pickled.npz' needs pickle to be read",
    "npz:nan.npz": r"A pixel in x of nan.npz is NaN, first in the image with index 3. Expected floats in \[0, 1\]",
    "npz:bright.npz": r"The pixels in x of bright.npz are float32 in \[0, [\d.]+\]: expected uint8, or floats",
    "npz:negative.npz": r"The pixels in x of negative.npz are float32 in \[-0.5, [\d.]+\]: expected uint8",
    "npz:short.npz": "short.npz has 30 images in x and 28 labels in y",
    "npz:flat.npz": r"The shape \(30, 144\) of x of flat.npz does not fit images: expected \(n, h, w\)",
    "npz:nothing.npz": "nothing.npz has no images in x",
    "npz:unlabelled.npz": "'unlabelled.npz' has no 'y'. Expected x and y",
    "npz:cut.npz": "'cut.npz' is not an .npz archive, or it is damaged",
    "npz:text.npz": "'text.npz' is not an .npz archive, or it is damaged",
    "npz:absent.npz": "There is no file 'absent.npz'",
    "folder:absent": "There is no folder 'absent'",
    "folder:void": "The folder 'void' is empty: .*Expected a folder per class",
    "folder:hollow": "Class 'dog' of folder:hollow has no examples. A class needs at least two",
    "folder:single": "Class 'cat' of folder:single has 1 example. A class needs at least two",
    "folder:alone": "A task needs at least two classes. folder:alone has only 'cat'",
    "folder:truncated": "The picture 'truncated/cat/2.png' is corrupt or truncated .* leave out bad pictures",
    "folder:renamed": "The picture 'renamed/dog/3.jpg' is corrupt or truncated",
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
    "--epsilon 1.4": r"The 'epsilon' of RepresentativeConfig must be in \(0, 1\). Got 1.4 instead",
    "--epsilon 0": r"The 'epsilon' of RepresentativeConfig must be in \(0, 1\). Got 0.0 instead",
    "--epsilon nan": r"The 'epsilon' of RepresentativeConfig must be in \(0, 1\). Got nan instead",
    "--neighbours 3": "'neighbours' of SearchConfig must be at most 2, the number .* in known. Got 3 instead",
    "--neighbours 0": "'neighbours' of SearchConfig must be at least 1. Got 0 instead",
    "--neighbours 1 --threshold 0.5": "'neighbours' and 'threshold' of SearchConfig can't both be set",
    "--threshold 1.5": r"'threshold' of SearchConfig must be in \[0, 1\]. Got 1.5 instead",
    "--limit few": "'limit' must be a number of images, or all. Got 'few' instead",
    "--limit 1": "'limit' of SearchConfig must be at least 2. Got 1 instead",
    "--time-limit soon": "'time_limit' must be a duration such as 90s, 10m or 2h. Got 'soon' instead",
    "--time-limit inf": "'time_limit' must be more than 0 seconds. Got 'inf' instead",
    "--preset quik": r"Unknown preset 'quik'. Did you mean 'quick'\?",
    "--space standrad": r"Unknown search space 'standrad'. Did you mean 'standard'\?",
    "--inherit unon": "'inherit' of SearchConfig must be one of prior, union, transfer, none, "
    "auto. Got 'unon' instead",
    "--max-parameters 3": "'max_parameters' of 3 .* admit no architecture: .* smallest .* has [0-9,]+ parameters",
    "--rounds 0": "'rounds' of FuseConfig must be at least 1. Got 0 instead",
    "--candidates 1": "'candidates' of FuseConfig must be at least 2. Got 1 instead",
    "--workers 0": "'workers' of Resources must be at least 1. Got 0 instead",
    "--threads 0": "'threads' of Resources must be at least 1. Got 0 instead",
    "--seed -1": "'seed' of search must be at least 0. Got -1 instead",
    "--seed 1.5": "Invalid value for --seed: expected a whole number, got '1.5'",
    "--epochs many": "Invalid value for --epochs: expected a whole number, got 'many'",
    "--config absent.toml": "The configuration absent.toml can't be read: No such file or directory",
    "--config broken.toml": "The configuration broken.toml is not valid TOML: .*line 1",
    "--config own.toml": r"Unknown setting 'roundz' in own.toml",
    "--reuse": "There is nothing to reuse: known holds no scored architecture of npz:bars.npz",
    "--neigbours 3": r"Unknown option: --neigbours. Did you mean --neighbours\? See: tanas search --help",
    "--strategy drats": r"Unknown search strategy 'drats'. Did you mean 'darts'\?",
}


@pytest.mark.parametrize("settings", SETTINGS)
def test_a_setting_outside_its_range_is_refused(settings: str, tanas: Command, heap: Path) -> None:
    command = ["search", "npz:bars.npz", "--dictionary", "known", "--out", "run", *settings.split()]
    assert re.search(SETTINGS[settings], refusal(tanas, heap, command))


DICTIONARIES = {
    "void": "void is not a dictionary: it holds no dictionary.json. Make one: tanas dictionary build void",
    "absent": "absent is not a dictionary: it holds no dictionary.json",
    "bars.npz": "bars.npz is not a dictionary",
    "other-schema": "The dictionary other-schema has schema 9; this tanas reads schema 1",
    "other-kind": "other-kind is not a dictionary: its dictionary.json is of another kind",
    "no-json": "no-json/dictionary.json can't be read: it is damaged or not JSON",
    "torn-atom": "torn-atom/atoms/npz-bars-npz-is-across-.*/atom.json can't be read: it is damaged",
    "lost-weights": "lost-weights/atoms/.*/representative.safetensors can't be read: No such file",
    "rotten-weights": "rotten-weights/atoms/.*/representative.safetensors is damaged: its hash differs",
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
    "/proc/run": "/proc/run can't be written: .* Name another place",
    "/dev/null/run": "/dev/null/run can't be made: /dev/null is a file",
    "truncated": "truncated is not empty and holds no run. Name an empty or a new folder .out.",
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
    assert "truncated holds 'cat', which is not a run. Name an empty or a new folder" in message


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
        (["dictionary", "show", "known", "npz:bars.npz:is=acros"], "Unknown task .* in known. Did you mean"),
        (["dictionary", "remove", "known", "digits"], "Unknown task 'digits' in known. Known are: npz:bars"),
        (["dictionary", "list", "other-schema"], "has schema 9; this tanas reads schema 1"),
        (["distance", "known", "--csv", "void"], "void can't be written: it is a folder"),
        (["distance", "known", "--csv", "bars.npz/d.csv"], "bars.npz can't be made: bars.npz is a file"),
        (["distance", "known", "--plot", "plot.pdf"], "A chart can be written as .svg, .png, .html"),
        (
            ["distance", "known", "--method", "liner"],
            "'liner' is no method of measuring a distance. Did you mean 'linear'",
        ),
        (
            ["nearest", "known", "npz:bars.npz", "--neighbours", "7"],
            "must be at most 2, the number of other tasks in known",
        ),
        (
            ["report", "void"],
            "void is not a run: it holds no run.json. Name the folder of a run; `tanas search TASK` makes one",
        ),
        (["evaluate", "absent"], "absent is not a run"),
        (["predict", "void", "truncated/cat/1.png"], "void holds no network: it has no architecture.json"),
        (["export", "void", "a.pt2"], "void holds no network"),
        (
            ["export", "void", "a.tflite"],
            "The file of an export must end in one of .onnx, .pt2, .safetensors. Got 'a.tflite' instead",
        ),
        (
            ["export", "void", "--to", "onnx", "--out", "a.onnx"],
            "The kind of an export is now the suffix of its file: tanas export RUN FILE.onnx",
        ),
        (
            ["export", "void", "--out=a.onnx"],
            "The file of an export now stands behind the run: tanas export RUN FILE.onnx",
        ),
        (
            ["search", "npz:bars.npz", "--dictionary", "known", "--inherit", "all"],
            "--inherit all is now called --from all",
        ),
        (
            ["search", "npz:bars.npz", "--dictionary", "known", "--inherit", "union", "--from", "all"],
            "--from all needs --inherit prior, and here it is union. Leave --from out, or give --inherit prior",
        ),
        (
            ["search", "npz:bars.npz", "--dictionary", "known", "--preset", "paper", "--from", "all"],
            "'inherit' and related = 'all' of SearchConfig can't go together",
        ),
        (["search", "npz:bars.npz", "--from", "farthest"], 'Invalid value "farthest" for --from'),
        (
            ["evaluate", "known", "--size", "12"],
            "Name a task after the run, or leave --split-seed and --size out",
        ),
        (["evaluate", "known", "--split-seed", "1"], "The run's own task keeps the split and the size"),
        (["report", "void", "--seed", "3"], "Unknown option: --seed. See: tanas report --help"),
        (
            ["dictionary", "show", "known", "digits", "--device", "cpu"],
            "Unknown option: --device. See: tanas dictionary show",
        ),
        (["search", "--out", "run"], "Name a task to search for, such as digits:is=8"),
        (["search", "digitz"], "Unknown source 'digitz'"),
        (["evaluate"], "RUN requires an argument. See: tanas evaluate --help"),
        (["serch"], 'Unknown command "serch". Did you mean "search"'),
        (["dictionary", "biuld"], 'Unknown command "biuld". Did you mean "build"'),
        (["predict", "void"], "Name at least one picture to predict"),
        (
            ["search", "npz:bars.npz", "--out", "new", "--strategy", "random", "--rounds", "2"],
            "--rounds is an option of the strategy fuse, and the strategy is 'random'. Leave it out, or set what that",
        ),
        (["distance", "known", "--rounds", "2"], "Unknown option: --rounds. See: tanas distance --help"),
        (
            ["dictionary", "build", "new", "digits", "--method", "knn"],
            "Unknown option: --method. See: tanas dictionary build --help",
        ),
        (
            ["dictionary", "build", "new", "digits:is=0", "--seed", "-1"],
            "'seed' .* must be at least 0. Got -1",
        ),
        (
            ["dictionary", "build", "new", "digits", "--limit", "5"],
            "A subset of 5 images can't hold one of each",
        ),
        (["demo", "--out", "new", "--seed", "-1"], "'seed' .* must be at least 0. Got -1"),
        (
            ["distance", "known", "npz:bars.npz", "--seed", "-1"],
            "'seed' of distance must be at least 0. Got -1",
        ),
        (
            ["nearest", "known", "npz:bars.npz", "--seed", "-1"],
            "'seed' of nearest must be at least 0. Got -1",
        ),
        (
            ["dictionary", "list", "truncated"],
            "truncated is not a dictionary: it holds no dictionary.json. Name another folder, or make one elsewhere: "
            "tanas dictionary build my-dictionary",
        ),
        (["report", "known"], "known is not a run: it holds no run.json"),
        (
            ["nearest", "rotten-weights", "npz:bars.npz"],
            "representative.safetensors is damaged: its hash differs",
        ),
        (
            ["distance", "rotten-weights", "npz:bars.npz"],
            "representative.safetensors is damaged: its hash differs",
        ),
        (
            ["distance", "lost-weights", "npz:bars.npz"],
            "representative.safetensors can't be read: No such file",
        ),
        (
            ["export", "void", "/proc/a.onnx"],
            "/proc can't be written: .* Name another place",
        ),
        (
            ["export", "void", "bars.npz/a.pt2"],
            "bars.npz can't be made: bars.npz is a file",
        ),
        (["export", "void", "/proc/a.safetensors"], "/proc can't be written"),
        (
            ["search", "npz:bars.npz", "--neighbours", "1", "--out", "run"],
            "must be at most 0, the number of other tasks in .*own",
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
            "must be at most 2 for npz:bars.npz:is=square: the tasks in known and the tasks before it. Got 7 instead",
        ),
        (
            ["npz:bars.npz:is=square", "npz:bars.npz:is=across", "npz:bars.npz:is=upright"],
            ["--neighbours", "3"],
            "must be at most 2 for npz:bars.npz:is=square",
        ),
        (["npz:bars.npz", "npz:bars.npz:is=across"], ["--seed", "-1"], "'seed' of search must be at least 0"),
        (["npz:bars.npz", "npz:bars.npz:is=across"], ["--max-parameters", "3"], "admit no architecture"),
        (
            ["npz:bars.npz:is=across", "npz:bars.npz"],
            ["--reuse", "--config", "tiny.toml"],
            "There is nothing to reuse: known holds no scored architecture of npz:bars.npz. Search",
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
    assert notes == ("1 picture can't be read and was left out: cat/2.png.",)
