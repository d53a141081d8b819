"""The demo: learns six tasks on scikit-learn's digits, then searches for a new task; offline, in a minute."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tanas.algorithm.presets import quick
from tanas.api.build import DIGITS_STARTER, build_dictionary, check_learnable
from tanas.api.progress import JsonLinesListener, broadcast
from tanas.api.run import Job, Machine, run_search
from tanas.cli.text import run_view
from tanas.dictionary.store import Dictionary
from tanas.engines.resources import Resources, local_engine
from tanas.ground.errors import StoreError
from tanas.ground.events import Listener
from tanas.ground.records import read_json
from tanas.reports.sentences import shorten
from tanas.runs.folder import check_writable
from tanas.tasks.library import Library

TARGET = "digits:is=8"
"""The new task."""
DICTIONARY, RUN = "dictionary", "run"
"""Folders that the demo makes."""


def run_demo(
    out: Path,
    library: Library,
    *,
    resources: Resources,
    seed: int,
    listener: Listener,
    say: Callable[[Any, str], None],
) -> None:
    """Build a small memory, search a network for a new task, and write its report.

    Args:
        out: folder for `dictionary` and `run`; finished steps found there are not repeated.
        library: opens the tasks.
        resources: devices, threads and workers.
        seed: seed of every random draw.
        listener: receives every event.
        say: receives the result, as JSON types and as text.

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
    check_learnable(known, config.learning(), resources, seed=seed)
    dictionary = Dictionary.create(out / DICTIONARY)
    with local_engine(resources) as engine:
        with JsonLinesListener(dictionary.folder / "events.jsonl") as journal:
            build_dictionary(
                dictionary,
                known,
                library,
                config.learning(),
                seed=seed,
                resources=resources,
                engine=engine,
                listener=broadcast(listener, journal),
            )
        run = run_search(
            task,
            out / RUN,
            dictionary,
            Job(
                config=config,
                seed=seed,
                command=shlex.join(
                    [
                        *("tanas", "search", TARGET, "--dictionary", str(dictionary.folder)),
                        *("--preset", "quick", "--seed", str(seed), "--out", str(out / RUN)),
                    ]
                ),
            ),
            Machine(resources=resources, engine=engine, listener=listener),
        )
    text = (
        f"{len(dictionary.atoms())} tasks were remembered; {TARGET} was new.\n{run_view(run.result(), run.folder)}\n"
        "With your own pictures, one folder per class: "
        f"tanas search PICTURES --dictionary {shlex.quote(str(dictionary.folder))}"
    )
    say(read_json(run.folder / "result.json"), text)
