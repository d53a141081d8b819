"""What tests of whole commands share: tiny data, a tiny configuration, and a dictionary built once."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # so a shell starts what it runs in the background; the programs that tests start and interrupt would inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)

PLAIN = """
recipes = ["plain"]
refit = false
"""
"""One final training in place of three: a third of the time of a whole search."""

TINY = (
    PLAIN
    + """
limit = 60
per_atom = 2
performance = "accuracy"
reference = false

[representative]
architecture = "small"
features = 24
epsilon = 0.3
more_epochs = 2
most_epochs = 4
training = { epochs = 3, batch = 16, learning_rate = 0.01, least_steps = 0 }

[pair]
fit_images = 40
gate_images = 20

[distance.transform]
widths = [16, 8]
epochs = 2

[fuse]
rounds = 2
candidates = 2
images = 32
validation_images = 16
schedule = { kind = "equal-weights", training = { epochs = 1, batch = 16, least_steps = 0 } }

[scoring]
images = 32
training = { epochs = 2, batch = 16, least_steps = 0 }

[training]
epochs = 3
batch = 16
least_steps = 0

[learn]
rounds = 1
candidates = 2
images = 32
validation_images = 16
schedule = { kind = "equal-weights", training = { epochs = 1, batch = 16, least_steps = 0 } }
"""
)


@pytest.fixture(autouse=True)
def _another_starter(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.sessions import STARTER

    monkeypatch.setattr("tanas.dictionary.starter.FOLDER", STARTER)


DEAR = (
    "test_resume.py",
    "test_repeatable.py",
    "test_search.py",
    "test_options.py",
    "test_grow.py",
    "test_cli.py",
)
"""Files that take longest: they begin first, so that no process works alone at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: DEAR.index(item.path.name) if item.path.name in DEAR else len(DEAR))


@dataclass(frozen=True)
class Answer:
    """What a command gave."""

    status: int
    out: str
    err: str


def bars(samples: int, *, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """uint8 images (samples, 12, 12) of a bar across, a bar upright or a square, and labels (samples,)."""
    draw = np.random.default_rng(seed)
    images = draw.integers(0, 90, (samples, 12, 12), dtype=np.uint8)
    labels = np.arange(samples) % 3
    for image, label in zip(images, labels, strict=True):
        row, column = draw.integers(1, 8, 2)
        height, width = ((2, 10), (10, 2), (4, 4))[label]
        image[row : row + height, column : column + width] += 160
    return images, labels


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with tiny.toml, bars.npz and a dictionary `known` of two tasks; it is read, never written."""
    from tests.sessions import lighten

    from tanas.cli.main import main

    folder = tmp_path_factory.mktemp("shelf")
    (folder / "tiny.toml").write_text(TINY)
    images, labels = bars(150, seed=1)
    np.savez(folder / "bars.npz", x=images, y=labels, classes=np.array(["across", "upright", "square"]))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        lighten(patch.setattr)
        done = main(
            [
                *("dictionary", "build", "known", "npz:bars.npz:is=across", "npz:bars.npz:is=upright"),
                *("--config", "tiny.toml", "--quiet"),
            ]
        )
    assert done == 0
    return folder


@pytest.fixture
def desk(shelf: Path, tmp_path: Path) -> Path:
    """A copy of the shelf for one test to write to."""
    return Path(shutil.copytree(shelf, tmp_path / "desk"))


@pytest.fixture
def tanas(
    desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Answer]:
    """Runs a command on the desk, in this process: `tanas("search", "digits:is=8", "--out", "run")`."""
    from tests.sessions import lighten

    from tanas.cli.main import main

    monkeypatch.chdir(desk)
    monkeypatch.setenv("TANAS_DICTIONARY", str(desk / "own"))
    monkeypatch.setenv("TANAS_DATA", str(desk / "data"))
    lighten(monkeypatch.setattr)

    def run(*arguments: str) -> Answer:
        capsys.readouterr()
        status = main(list(arguments))
        shown = capsys.readouterr()
        return Answer(status, shown.out, shown.err)

    return run
