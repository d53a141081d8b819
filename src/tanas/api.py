"""tanas from Python: what the commands do, as functions."""

from __future__ import annotations

import math
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import platformdirs

from tanas.algorithm import search as search_task
from tanas.checkpoints import Stopwatch
from tanas.devices import choose_device, processors
from tanas.dictionary.atom import Atom
from tanas.dictionary.learn import prepare
from tanas.dictionary.store import Dictionary
from tanas.engines.local import LocalEngine
from tanas.errors import StoreError, TaskError, check_range
from tanas.events import Listener, Told, ignore
from tanas.listeners import JsonLinesListener, broadcast
from tanas.networks.classifier import Classifier
from tanas.networks.training import evaluate
from tanas.phases import Workplace, relatives
from tanas.presets import SearchConfig
from tanas.records import to_plain, write_bytes
from tanas.reports.page import render
from tanas.runs import Request, Run, check_writable
from tanas.seeds import Seed
from tanas.strategies.base import Deadline
from tanas.tasks.arrays import task_from_arrays, task_from_dataset
from tanas.tasks.library import Library
from tanas.tasks.task import Task
from tanas.versions import processor, versions
from tanas.workshop import Resources, workshop


def open_memory(folder: Path | None = None) -> Dictionary:
    """The user's own dictionary, or a named one.

    Args:
        folder: of an existing dictionary; None: `$TANAS_DICTIONARY`, else a folder in the user's data folder,
            made on first use.

    Raises:
        StoreError: the named folder is no dictionary.
    """
    if folder is not None:
        return Dictionary(folder)
    own = os.environ.get("TANAS_DICTIONARY")
    return Dictionary.create(Path(own) if own else platformdirs.user_data_path("tanas") / "dictionary")


def search(
    x: Any,
    y: Any = None,
    *,
    out: Path | str | None = None,
    dictionary: Path | str | None = None,
    remember: bool | None = None,
    name: str = "arrays",
    classes: Sequence[str] | None = None,
    x_test: Any = None,
    y_test: Any = None,
    config: SearchConfig | None = None,
    seed: int = 0,
    resources: Resources | None = None,
    listener: Listener = ignore,
    reuse: bool = False,
    time_limit: float | None = None,
) -> Run:
    """Searches an architecture for images in memory, trains and tests it: Algorithm 1.

    Args:
        x: uint8 images or floats in [0, 1], (n, h, w), (n, h, w, c) or (n, c, h, w); or a torch Dataset of
            (image, label) pairs, then without `y`; or a `Task`.
        y: labels, (n,), integers or strings.
        out: folder of the run; None: `tanas-runs/NAME-HASH` here.
        dictionary: folder of a dictionary; None: the user's own, which remembers each search.
        remember: whether the dictionary learns the task; None: only the user's own does.
        name: of the task, for people.
        classes: names of the classes, in the order of integer labels.
        x_test: images of an official test split.
        y_test: its labels.
        config: how; None: the laptop preset.
        seed: of every draw.
        resources: devices, threads and workers.
        listener: is told what happens, such as `tanas.listeners.listener_for(sys.stderr)`.
        reuse: whether a task that is known takes its best architecture without a search.
        time_limit: seconds after which the search takes its best so far.

    Returns:
        the run: `.result()`, `.classifier()`, `.folder`.

    Raises:
        TanasError: the input or a setting is wrong.
    """
    task = _task_of(x, y, x_test, y_test, classes, name)
    memory = open_memory(Path(dictionary) if dictionary is not None else None)
    folder = (
        Path(out) if out is not None else Path("tanas-runs") / f"{slug(task.name)}-{task.fingerprint[:8]}"
    )
    resources = resources or Resources()
    with workshop(resources) as engine:
        return run_search(
            task,
            folder,
            memory,
            remember=dictionary is None if remember is None else remember,
            config=config or SearchConfig(),
            seed=seed,
            resources=resources,
            engine=engine,
            listener=listener,
            reuse=reuse,
            time_limit=time_limit,
            command=f"tanas.search(...) from Python, into {folder}",
        )


def load(run: Path | str) -> Classifier:
    """The trained network of a finished run, ready to be called on images.

    Args:
        run: folder of the run, or of an export to safetensors.

    Raises:
        StoreError: it is no finished run.
    """
    return Classifier.load(Path(run))


def run_search(
    task: Task,
    folder: Path,
    dictionary: Dictionary,
    *,
    remember: bool,
    config: SearchConfig,
    seed: int,
    resources: Resources,
    engine: LocalEngine,
    listener: Listener,
    reuse: bool,
    time_limit: float | None,
    command: str,
) -> Run:
    """One search into a run's folder: begins it, goes on with it, or finds it finished.

    Raises:
        TanasError: the input or a setting is wrong, or the search failed.
    """
    if time_limit is not None:
        check_range(time_limit, "time_limit", "search", low=0, open_ends=True)
    check_range(seed, "seed", "search", low=0)
    device = choose_device(resources.device)
    threads = resources.threads
    prepared = prepare(task, performance=config.performance, limit=config.limit)
    relatives(dictionary, prepared, config, known=None, reuse=reuse)  # refused before anything is written
    check_writable(folder)
    request = Request(
        task=task.name,
        fingerprint=prepared.fingerprint,
        dictionary=str(dictionary.folder),
        seed=seed,
        reuse=reuse,
        time_limit_s=time_limit,
        device=device,
        threads=threads,
        config=to_plain(config),
    )
    run = Run.begin(folder, request, known=tuple(a.key for a in dictionary.atoms()), command=command)
    with run.locked():
        if run.finished:
            listener(Told(message=f"The run {folder} is finished already; nothing was changed."))
            return run
        with JsonLinesListener(folder / "events.jsonl") as journal:
            place = Workplace(
                device=device,
                workers=resources.workers or processors(),
                executor=engine,
                deadline=_deadline(run, time_limit),
                listener=broadcast(listener, journal),
                checkpoint=run.checkpoint,
                environment={
                    "versions": versions(),
                    "processor": processor(),
                    "device": device,
                    "threads": threads,
                },
                command=command.replace(str(folder), "RUN"),  # the same wherever it is kept
            )
            found = search_task(
                task,
                dictionary,
                config,
                seed=Seed(seed),
                place=place,
                known=_atoms_then(dictionary, run),
                learns=remember,
                reuse=reuse,
            )
        if remember and found.memory is not None:
            dictionary.add(*found.memory)
        write_bytes(folder / "report.html", render(found.result).encode())
        run.finish(found.result, found.classifier)
    return run


def slug(name: str) -> str:
    """A task's name as a folder's name."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:60] or "task"


def stream_memory(out: Path, base: Dictionary) -> Dictionary:
    """A dictionary beside the runs of several tasks that arrive one after the other; it sees all of `base`.

    Args:
        out: folder of the runs.
        base: stays as it is.
    """
    return Dictionary.create(out / "dictionary", base=base)


def evaluate_run(folder: Path, name: str | None, library: Library) -> dict[str, Any]:
    """Tests the network of a run on the test split of a task.

    Args:
        folder: of the finished run.
        name: of the task; None: the run's own.
        library: opens the task.

    Raises:
        TaskError: the task has other classes or images of another size.
    """
    result = Run.open(folder).result()
    classifier = Classifier.load(folder)
    task = library.open(name or result.task.name)
    if task.classes != classifier.classes or task.shape != classifier.shape:
        raise TaskError(
            f"The network of {folder} tells {', '.join(classifier.classes)} apart in images of "
            f"{_size(classifier.shape)}; {task.name} has {', '.join(task.classes)} in {_size(task.shape)}. "
            "Name a task with the same classes and size."
        )
    found = evaluate(classifier.network, task.test, classes=len(task.classes))
    return {
        "run": str(folder),
        "task": task.name,
        "images": len(task.test),
        "error": found.error,
        "balanced_error": found.balanced_error,
        "constant_error": found.constant_error,
        "performance": found.performance(classifier.performance),
        "same_test_split": task.test_fingerprint == result.task.test_fingerprint,
        "confusion": found.confusion,
    }


def _size(shape: tuple[int, int, int]) -> str:
    return "x".join(map(str, shape))


def _deadline(run: Run, limit: float | None) -> Deadline:
    """Seconds left of the time limit; the phases of earlier sessions count."""
    if limit is None:
        return lambda: math.inf
    used = Stopwatch(run.checkpoint).before
    end = time.monotonic() + limit - used
    return lambda: end - time.monotonic()


def _atoms_then(dictionary: Dictionary, run: Run) -> tuple[Atom, ...]:
    """The atoms of the dictionary as it was when the run began.

    Raises:
        StoreError: one of them is gone.
    """
    now = {atom.key: atom for atom in dictionary.atoms()}
    if missing := [key for key in run.record.known if key not in now]:
        raise StoreError(
            f"The run {run.folder} began with {len(missing)} atoms that {dictionary.folder} no longer holds. "
            "It can't go on as it began: put them back, or name another --out."
        )
    return tuple(now[key] for key in run.record.known)


def _task_of(x: Any, y: Any, x_test: Any, y_test: Any, classes: Sequence[str] | None, name: str) -> Task:
    if isinstance(x, Task):
        return x
    if y is None:
        return task_from_dataset(x, name=name, classes=classes)
    return task_from_arrays(x, y, x_test=x_test, y_test=y_test, classes=classes, name=name)
