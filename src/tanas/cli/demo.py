"""The demo: learns six tasks on scikit-learn's digits, then searches for a new task; offline, in a minute."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

from tanas.algorithm.presets import quick
from tanas.api.build import DIGITS_STARTER, build_dictionary, check_learnable
from tanas.api.progress import JsonLinesListener, broadcast
from tanas.api.run import Job, run_search
from tanas.cli.text import run_view
from tanas.dictionary.store import Dictionary
from tanas.engines.resources import Machine
from tanas.ground.errors import StoreError
from tanas.ground.records import read_json
from tanas.reports.sentences import shorten
from tanas.runs.folder import RESULT_FILE, check_writable
from tanas.tasks.library import Library

TARGET = "digits:is=8"
"""The new task."""
DICTIONARY, RUN = "dictionary", "run"
"""Folders that the demo makes."""


def run_demo(out: Path, library: Library, machine: Machine, *, seed: int) -> tuple[Any, str]:
    """Build a small memory, search a network for a new task, and write its report; the result as JSON and as text.

    Finished steps found in the folder `out` are not repeated.

    Raises:
        StoreError: the folder can't be written, or holds other files.
        SettingError: the seed is below 0.
    """
    check_writable(out)
    if out.exists() and (others := sorted({path.name for path in out.iterdir()} - {DICTIONARY, RUN})):
        raise StoreError(
            f"{out} holds other files than those of the demo: {shorten(', '.join(others))}. "
            "Name another folder with --out."
        )
    config = quick()
    task, known = library.open(TARGET), [library.open(name) for name in DIGITS_STARTER]
    check_learnable(known, config.learning(), machine.resources, seed=seed)
    dictionary = Dictionary.create(out / DICTIONARY)
    with JsonLinesListener(dictionary.folder / "events.jsonl") as journal:
        heard = replace(machine, listener=broadcast(machine.listener, journal))
        build_dictionary(dictionary, known, library, config.learning(), seed=seed, machine=heard)
    typed = ["tanas", "search", TARGET, "--dictionary", str(dictionary.folder), "--preset", "quick"]
    command = shlex.join([*typed, "--seed", str(seed), "--out", str(out / RUN)])
    run = run_search(task, out / RUN, dictionary, Job(config=config, seed=seed, command=command), machine)
    text = (
        f"{len(dictionary.atoms())} tasks were remembered; {TARGET} was new.\n{run_view(run.result(), run.folder)}\n"
        "With your own pictures, one folder per class: "
        f"tanas search PICTURES --dictionary {shlex.quote(str(dictionary.folder))}"
    )
    return read_json(run.folder / RESULT_FILE), text
