"""Short searches whose results are kept in this folder: what rebuilding the house must not change.

python -m tests.golden.searches     makes the files anew; only a change that is meant to change numbers may
"""

from __future__ import annotations

import copy
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tests.conftest import PLAIN, bars
from tests.conftest import TINY as SHORT
from tests.sessions import ENVIRONMENT, session, without_times

FOLDER = Path(__file__).parent
WRITTEN = FOLDER / "written"
"""A dictionary and a run as the tanas wrote them on which the golden set was made."""

TINY = SHORT.replace(PLAIN, "")
"""As it was when the set was made: the final training has two recipes and a refit."""

SEARCH = ("search", "npz:bars.npz:is=square", "--dictionary", "known", "--config", "tiny.toml")
COMMANDS: dict[str, tuple[str, ...]] = {
    "demo": ("demo", "--out", "demo"),
    "union": (*SEARCH, "--inherit", "union", "--out", "union"),
    "random": (*SEARCH, "--strategy", "random", "--out", "random"),
    "grow": ("grow", "union", "npz:bars.npz:is=square", "--config", "tiny.toml", "--out", "grow"),
    "stream": (
        *("search", "npz:bars.npz:is=square", "npz:bars.npz", "--dictionary", "known"),
        *("--config", "tiny.toml", "--out", "stream"),
    ),
    "distances": (
        *("distance", "known", "npz:bars.npz", "--config", "tiny.toml", "--method", "linear", "--json"),
    ),
    "misfits": ("distance", "known", "npz:bars.npz", "--config", "tiny.toml", "--json"),
}
"""By name; they run in this order in one folder."""
RESULTS = {
    "demo": "demo/run",
    "union": "union",
    "random": "random",
    "grow": "grow",
    "stream-1": "stream/npz-bars-npz-is-square",
    "stream-2": "stream/npz-bars-npz",
}
"""Folders of their runs."""
LEFT_OUT = ("environment", "dictionary", "mistakes")
"""Of a result: versions and processor; hashes of atoms, which hold versions; and wrong answers, sorted by
their confidence, which is calibrated since the set was made."""
PROSE = (
    ("space", "note"),
    ("advice",),
    ("warnings",),
    ("beginning", "note"),
    ("beginning", "tried", "left_out"),
    ("grown", "weights"),
    ("rivals", "settings"),
    ("metrics", "test_calibration_error"),
    ("training", "temperature"),
    ("task", "framing"),
)
"""Fields of a result that hold sentences, or came later, as paths; a list stands for each of its entries."""


def machine() -> dict[str, str]:
    """What the last digits depend on."""
    return {
        "torch": torch.__version__,
        "numpy": np.__version__,
        "capability": torch.backends.cpu.get_cpu_capability(),
        "processor": _processor(),
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    kept = ("vendor_id", "cpu family", "model", "stepping")
    values = [line.split(":", 1)[1].strip() for line in lines if line.split(":", 1)[0].strip() in kept][:4]
    return " ".join(values) or platform.processor()


def prepared(folder: Path) -> Path:
    """The folder with tiny.toml and bars.npz."""
    (folder / "tiny.toml").write_text(TINY)
    images, labels = bars(150, seed=1)
    np.savez(folder / "bars.npz", x=images, y=labels, classes=np.array(["across", "upright", "square"]))
    return folder


def build(folder: Path) -> None:
    """Makes the dictionary `known`."""
    _run(
        folder,
        *("dictionary", "build", "known", "npz:bars.npz:is=across", "npz:bars.npz:is=upright"),
        *("--config", "tiny.toml"),
    )


def results_of(folder: Path, commands: Sequence[str] = tuple(COMMANDS)) -> dict[str, Any]:
    """What some of the commands give, without times, versions and the processor, by name."""
    given = {name: _run(folder, *COMMANDS[name]) for name in commands}
    results: dict[str, Any] = {}
    for name, run in RESULTS.items():
        if name.split("-")[0] not in given:
            continue
        plain = without_times(json.loads((folder / run / "result.json").read_text()))
        results[name] = without_prose({key: value for key, value in plain.items() if key not in LEFT_OUT})
    for name in ("distances", "misfits"):
        if name in given:
            results[name] = without_times(json.loads(given[name]))
    return results


def without_prose(result: dict[str, Any]) -> dict[str, Any]:
    """A result without its sentences: their wording may change, what a search computes may not.

    The numbers in these sentences are also fields of their own, which are compared.
    """
    plain: dict[str, Any] = copy.deepcopy(result)
    for *path, last in PROSE:
        holders: list[Any] = [plain]
        for key in path:
            inside = [holder[key] for holder in holders if isinstance(holder, dict) and key in holder]
            holders = [entry for value in inside for entry in (value if isinstance(value, list) else [value])]
        for holder in holders:
            if isinstance(holder, dict):
                holder.pop(last, None)
    return plain


def golden(name: str) -> Any:
    """What is kept of a command."""
    return json.loads((FOLDER / f"{name}.json").read_text())


def _run(folder: Path, *arguments: str) -> str:
    ended = session([*arguments, "--quiet"], folder, light=True)
    assert ended.status == 0, f"{arguments}: {ended.err}"
    return ended.out


def main() -> None:
    """Makes the files anew, and with `--written` the dictionary and the run too."""
    with tempfile.TemporaryDirectory() as place:
        folder = prepared(Path(place))
        os.environ.update(ENVIRONMENT)
        build(folder)
        for name, plain in results_of(folder).items():
            (FOLDER / f"{name}.json").write_text(json.dumps(plain, indent=1, ensure_ascii=False) + "\n")
        (FOLDER / "machine.json").write_text(json.dumps(machine(), indent=1) + "\n")
        if "--written" in sys.argv[1:]:
            WRITTEN.mkdir(exist_ok=True)
            for name in ("known", "union"):
                subprocess.run(["cp", "-r", str(folder / name), str(WRITTEN / name)], check=True)


if __name__ == "__main__":
    main()
