"""Every option of every command changes what the command does; `scenes` says how that is seen."""

from __future__ import annotations

import contextlib
import importlib
import inspect
import io
import shlex
import shutil
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cyclopts import App
from PIL import Image
from tests.cli.scenes import ACROSS, ARRIVALS, CHANGED, FAST, SCENES, SQUARE, Option, Seen
from tests.conftest import bars
from tests.golden.searches import WRITTEN

from tanas.cli import dictionary, growing
from tanas.cli.commands import app
from tanas.cli.main import main
from tanas.ground.errors import TanasError
from tanas.ground.events import Told
from tanas.runs.folder import Run

HANDED_ON = {
    "compress": ("grow", growing, "_transform", "compress before nothing"),
    "dictionary add": ("dictionary build", dictionary, "build", "dictionary add known nothing"),
}
"""Commands that hand every option on to what another does: that one, and the function."""

BEGINNINGS = {
    "tanas.api.run": ("run_search", "run_growth"),
    "tanas.api.build": ("build_dictionary",),
    "tanas.api.distances": ("distance_matrix", "nearest_atoms"),
}
"""Functions with which commands begin to compute, by module."""


EVERY = (*SCENES, *ARRIVALS)


class ArrivedError(TanasError):
    """Ends a command where it would begin to compute."""


def offered(program: App = app, chain: tuple[str, ...] = ()) -> Iterator[tuple[str, str]]:
    """Every command with every option that it takes."""
    for name in program:
        if name.startswith("-"):
            continue
        command, path = program[name], (*chain, name)
        if command.default_command is None:
            yield from offered(command, path)
            continue
        for argument in command.assemble_argument_collection():
            if argument.show:
                yield from ((" ".join(path), word) for word in argument.names if word.startswith("--"))


@pytest.fixture(scope="module")
def stage(shelf: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Seen]:
    """Runs a command on a desk of its own, each only once, to its end or to where it would begin to compute."""
    desk = Path(shutil.copytree(shelf, tmp_path_factory.mktemp("stage") / "desk"))
    tiny = (desk / "tiny.toml").read_text()
    (desk / "fast.toml").write_text(FAST + tiny)
    (desk / "seedless.toml").write_text("inherit_seed = false\nwarm_weights = false\n" + FAST + tiny)
    shutil.copytree(WRITTEN / "union", desk / "before")
    shutil.copytree(desk / "known", desk / "starter")
    images, labels = bars(36, seed=2)
    for at, (image, label) in enumerate(zip(images, labels, strict=True)):
        name = "square" if label == 2 else "not square"
        for folder, side in (("pictures", 12), ("squares", 20), ("whole", 12)):
            path = desk / folder / ("" if folder == "whole" else name) / f"{at}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).resize((side, side)).save(path)
    for torn in (desk / "pictures" / "square" / "torn.png", desk / "squares" / "square" / "torn.png"):
        torn.write_bytes(b"no picture")
    (desk / "whole" / "notes.txt").write_text("no picture")
    (desk / "taken.safetensors").write_text("something else")
    for root, drawings in (("data", np.zeros((8, 3), np.uint8)), ("elsewhere", np.zeros((8, 5), np.uint8))):
        (desk / root / "quickdraw").mkdir(parents=True)
        for name in ("moon", "apple"):
            np.save(desk / root / "quickdraw" / f"{name}.npy", drawings)

    @cache
    def run(typed: str, *, arrives: bool = False) -> Seen:
        seen = Seen(Path(shutil.copytree(desk, tmp_path_factory.mktemp("run") / "desk")))
        with pytest.MonkeyPatch.context() as patch:
            watched(seen, patch)
            if arrives:
                ended_at_beginnings(seen, patch)
            with (
                contextlib.redirect_stdout(io.StringIO()) as shown,
                contextlib.redirect_stderr(io.StringIO()) as told,
            ):
                seen.status = main(shlex.split(typed))
        seen.out, seen.err = shown.getvalue(), told.getvalue()
        return seen

    return run


def watched(seen: Seen, patch: pytest.MonkeyPatch) -> None:
    """Lets a command run lightly on the desk, and notes what it is given of the machine, of data and of settings."""
    from tests.sessions import STARTER, lighten

    import tanas.cli.demo
    import tanas.engines.resources
    from tanas.api import settings
    from tanas.tasks.library import Library

    patch.chdir(seen.desk)
    patch.setenv("TANAS_DICTIONARY", str(seen.desk / "own"))
    patch.setenv("TANAS_DATA", str(seen.desk / "data"))
    lighten(patch.setattr)
    patch.setattr("tanas.dictionary.starter.FOLDER", STARTER)
    local_engine, configure, opened = tanas.engines.resources.local_engine, settings.configure, Library.open
    limit = torch.set_num_threads

    def in_workshop(resources: Any) -> Any:
        seen.workers = resources.workers
        return local_engine(resources)

    def configured(*given: Any) -> Any:
        seen.config = configure(*given)
        return seen.config

    def open_task(self: Library, name: str) -> Any:
        task = opened(self, name)
        seen.shapes.append(task.shape)
        return task

    def limited(threads: int) -> None:
        seen.threads.append(threads)
        limit(threads)

    patch.setattr(tanas.engines.resources, "local_engine", in_workshop)
    patch.setattr(settings, "configure", configured)
    patch.setattr(Library, "open", open_task)
    patch.setattr(torch, "set_num_threads", limited)
    patch.setattr(tanas.cli.demo, "quick", lambda: configure("quick", seen.desk / "fast.toml", {}))
    patch.setattr(tanas.cli.demo, "DIGITS_STARTER", (ACROSS,))
    patch.setattr(tanas.cli.demo, "TARGET", SQUARE)


def ended_at_beginnings(seen: Seen, patch: pytest.MonkeyPatch) -> None:
    """Lets commands note what they would compute with, and end; the demo goes on with a run that is there."""
    import tanas.cli.demo

    def ending(module: Any, name: str) -> Callable[..., Any]:
        signature = inspect.signature(getattr(module, name))

        def begun(*arguments: Any, **options: Any) -> Any:
            seen.arrived = {"function": name, **signature.bind(*arguments, **options).arguments}
            if module is not tanas.cli.demo:
                raise ArrivedError
            seen.arrived["machine"].listener(Told(message="It begins."))
            return Run.open(seen.desk / "before")

        return begun

    for module, names in ((importlib.import_module(name), names) for name, names in BEGINNINGS.items()):
        for name in names:
            patch.setattr(module, name, ending(module, name))
    for name in ("build_dictionary", "run_search"):
        patch.setattr(tanas.cli.demo, name, ending(tanas.cli.demo, name))


def test_every_option_of_every_command_is_in_a_scene() -> None:
    shown = {(command, option.name) for command, _, options in EVERY for option in options}
    for command, (other, *_) in HANDED_ON.items():
        shown |= {(command, name) for shown_by, name in shown if shown_by == other}
    assert shown == set(offered())


@pytest.mark.long
@pytest.mark.parametrize(
    ("typed", "options", "arrives"),
    [(typed, options, at >= len(SCENES)) for at, (_, typed, options) in enumerate(EVERY)],
    ids=[f"{command}: {' '.join(option.words for option in options)}" for command, _, options in EVERY],
)
def test_an_option_changes_what_its_command_does(
    typed: str, options: tuple[Option, ...], arrives: bool, stage: Callable[..., Seen]
) -> None:
    without = stage(typed, arrives=arrives)
    given = stage(" ".join([typed, *(option.words for option in options)]), arrives=arrives)
    for option in options:
        before, after = option.seen(without), option.seen(given)
        assert after != before, (option.words, after, given.err)
        if option.expected is not CHANGED:
            assert after == option.expected, (option.words, given.err)


@pytest.mark.parametrize("command", HANDED_ON)
def test_an_option_is_handed_on_to_what_another_command_does(
    command: str, stage: Callable[..., Seen], monkeypatch: pytest.MonkeyPatch
) -> None:
    other, module, function, typed = HANDED_ON[command]
    calls: list[Any] = []

    def called(*arguments: Any, **options: Any) -> None:
        calls.append((arguments[:-1] if command == "compress" else arguments, options))

    monkeypatch.setattr(module, function, called)
    words = {option.name: option.words for scene, _, options in EVERY if scene == other for option in options}
    assert stage(typed).status == 0
    for each in words.values():
        assert stage(f"{typed} {each}").status == 0, each
        assert calls[-1] != calls[0], each
