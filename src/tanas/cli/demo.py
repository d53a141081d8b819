"""The main job in a minute: scikit-learn's handwritten digits, offline, from an empty dictionary to a report."""

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
"""A task that the demo's dictionary does not know."""
DICTIONARY, RUN = "dictionary", "run"
"""Folders of the demo."""


def run_demo(
    out: Path,
    library: Library,
    *,
    resources: Resources,
    seed: int,
    listener: Listener,
    say: Callable[[Any, str], None],
) -> None:
    """Builds a small dictionary, searches for a new task, trains, reports.

    Args:
        out: folder for `dictionary` and `run`; what is there already is not done again.
        library: opens the tasks.
        resources: devices, threads and workers.
        seed: of every draw.
        listener: is told what happens.
        say: is given the result, as JSON's types and as text.

    Raises:
        StoreError: the folder can't be written, or it is something else's.
        SettingError: the seed is below 0.
    """
    check_writable(out)
    if out.exists() and (others := sorted({path.name for path in out.iterdir()} - {DICTIONARY, RUN})):
        raise StoreError(
            f"{out} is not empty and no folder of the demo: it holds {shorten(', '.join(others))}. "
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
        f"{len(dictionary.atoms())} tasks were known; {TARGET} was new.\n{run_view(run.result(), run.folder)}\n"
        "With your own pictures, in a folder per class: "
        f"tanas search PICTURES --dictionary {shlex.quote(str(dictionary.folder))}"
    )
    say(read_json(run.folder / "result.json"), text)
