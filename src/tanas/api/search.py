"""tanas from Python: what the commands do, as functions."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import platformdirs

from tanas.algorithm.grow import Origin, TrainedOrigin
from tanas.algorithm.presets import SearchConfig
from tanas.api.progress import listener_for
from tanas.api.run import Job, run_search
from tanas.dictionary.starter import starter_memory
from tanas.dictionary.store import Dictionary
from tanas.engines.resources import Machine, Resources, local_engine
from tanas.ground.errors import StoreError, TaskError
from tanas.ground.events import Listener
from tanas.ground.records import digest, from_plain, read_json
from tanas.networks.architecture import Architecture
from tanas.networks.classifier import (
    ARCHITECTURE_FILE,
    SAFETENSORS,
    WEIGHTS_FILE,
    Classifier,
    read_classifier_record,
)
from tanas.networks.training import evaluate
from tanas.runs.folder import RUN_FILE, Run, slug
from tanas.tasks.arrays import task_from_arrays, task_from_dataset
from tanas.tasks.library import Library
from tanas.tasks.pictures import MOST_SIZE, UNRECORDED
from tanas.tasks.task import Task


def open_memory(folder: Path | None = None, *, starter: bool = True) -> Dictionary:
    """The dictionary of a folder. None: `$TANAS_DICTIONARY`, else the user's own, which the first search makes.

    If no folder is named, the atoms of the starter memory are seen too, unless `starter` is False.

    Raises:
        StoreError: the named folder holds no dictionary.
    """
    if folder is not None:
        return Dictionary(folder)
    own = os.environ.get("TANAS_DICTIONARY")
    place = Path(own) if own else platformdirs.user_data_path("tanas") / "dictionary"
    return Dictionary(place, base=starter_memory() if starter else None, may_be_new=True)


def search(
    x: Any,
    y: Any = None,
    *,
    out: Path | str | None = None,
    dictionary: Path | str | None = None,
    remember: bool | None = None,
    starter: bool = True,
    name: str = "arrays",
    classes: Sequence[str] | None = None,
    x_test: Any = None,
    y_test: Any = None,
    config: SearchConfig | None = None,
    seed: int = 0,
    resources: Resources | None = None,
    listener: Listener | None = None,
    reuse: bool = False,
    time_limit: float | None = None,
) -> Run:
    """Search an architecture for images in memory, train it and test it: Algorithm 1.

    Args:
        x: uint8 images or floats in [0, 1], (n, h, w), (n, h, w, c) or (n, c, h, w); or a torch Dataset of
            (image, label) pairs, then without `y`; or a `Task`.
        y: labels, (n,), integers or strings.
        out: folder of the run; None: `tanas-runs/NAME-HASH` here, which differs for other data or settings.
        dictionary: folder of a dictionary; None: the user's own, which remembers each search.
        remember: whether the dictionary learns the task; None: only the user's own does.
        starter: whether the tasks of the starter memory are known beside the user's own. They are not beside a named
            dictionary, nor if `config.warm_weights` is off.
        name: of the task, for people.
        classes: names of the classes, in the order of integer labels.
        x_test: images of an official test split.
        y_test: its labels.
        config: settings; None: the default preset.
        seed: of every draw.
        resources: devices, threads and workers.
        listener: receives every event; None: progress goes to stderr. `tanas.ground.events.ignore` is silent.
        reuse: whether a remembered task takes its best architecture without a search.
        time_limit: seconds for everything; the search takes its best so far in time for the final training.

    Raises:
        TanasError: the input or a setting is wrong.
    """
    task = _task_of(x, y, x_test, y_test, classes, name)
    config = config or SearchConfig()
    memory = open_memory(
        Path(dictionary) if dictionary is not None else None, starter=starter and config.warm_weights
    )
    if out is None:
        asked = (task.fingerprint, config, seed, reuse, time_limit, str(memory.folder.resolve()), starter)
        out = Path("tanas-runs") / f"{slug(task.name)}-{digest(*asked)[:8]}"
    folder = Path(out)
    resources = resources or Resources()
    shown = listener_for(sys.stderr) if listener is None else nullcontext(listener)
    job = Job(
        config=config,
        command=f"tanas.search(..., out={str(folder)!r}) from Python",
        seed=seed,
        time_limit=time_limit,
        reuse=reuse,
        remember=dictionary is None if remember is None else remember,
    )
    with local_engine(resources) as engine, shown as told:
        return run_search(
            task, folder, memory, job, Machine(resources=resources, engine=engine, listener=told)
        )


def load(run: Path | str) -> Classifier:
    """The trained network of a finished run (its folder), or of an export to safetensors (its file).

    Raises:
        StoreError: the path holds neither.
    """
    folder = Path(run)
    return Run.open(folder).classifier() if (folder / RUN_FILE).exists() else Classifier.load(folder)


def open_origin(path: Path) -> Origin:
    """A network that can be grown or compressed.

    Args:
        path: folder of a finished run, file of an export to safetensors, or an architecture.json (or its folder). The
            latter may hold an architecture alone: its `skeleton` and `cell`.

    Raises:
        StoreError: the path holds none of these, or the run is not finished or damaged.
    """
    if (path / RUN_FILE).exists():
        run = Run.open(path)
        result = run.result()
        return Origin(
            architecture=result.architecture,
            name=f"the network of {result.task.name}",
            trained=TrainedOrigin(
                network=run.unseeing(),
                result=result,
                sha256=hashlib.sha256((path / WEIGHTS_FILE).read_bytes()).hexdigest(),
            ),
        )
    file = path / ARCHITECTURE_FILE if path.is_dir() else path
    if not file.is_file():
        raise StoreError(
            f"{path} is not a network to start from. Name the folder of a finished run, a {SAFETENSORS} file that "
            f"tanas exported, or an {ARCHITECTURE_FILE}."
        )
    plain = None if file.suffix.lower() == SAFETENSORS else read_json(file)
    if isinstance(plain, dict) and set(plain) == {"skeleton", "cell"}:
        architecture = from_plain(Architecture, plain, where=str(file))
        return Origin(architecture=architecture, name=f"the architecture {architecture.key}", trained=None)
    record = read_classifier_record(file)
    name = f"the architecture of the network of {record.task}"
    return Origin(architecture=record.architecture, name=name, trained=None)


def stream_memory(out: Path, base: Dictionary) -> Dictionary:
    """A dictionary in the folder of several runs that adds to `base` without changing it."""
    return Dictionary(out / "dictionary", base=base, may_be_new=True)


def evaluate_run(folder: Path, name: str | None, library: Library) -> dict[str, Any]:
    """Test the network of a run on the test split of a task; None: the run's own, with its split.

    Pictures are framed as those of the run were; for another task, `library` can have a size or fit of its own.

    Raises:
        TaskError: the task has other classes or images of another size.
    """
    result = Run.open(folder).result()
    classifier = Classifier.load(folder)
    framing, asked = result.task.framing or UNRECORDED, library.reading
    _, height, width = result.task.shape
    size = (height, width) if max(height, width) <= MOST_SIZE else None  # larger images are arrays
    reading = replace(asked, size=size, fit=framing.fit, white=framing.white)
    if name is None:  # another seed would mix what it was trained on into the test split
        reading = replace(reading, split_seed=result.task.split_seed)
    else:
        reading = replace(reading, size=asked.size or size, fit=asked.fit or framing.fit)
    task = Library.of(reading).open(name or result.task.name)
    if task.classes != classifier.classes or task.shape != classifier.shape:
        known, given = ("x".join(map(str, shape)) for shape in (classifier.shape, task.shape))
        raise TaskError(
            f"The network of {folder} knows the classes {', '.join(classifier.classes)} in images of {known}; "
            f"{task.name} has {', '.join(task.classes)} in {given}. Name a task with the same classes and size."
        )
    task, sealed = task.sealed()
    test = sealed.open()
    found = evaluate(classifier.network, test, classes=len(task.classes))
    return {
        "run": str(folder),
        "task": task.name,
        "images": len(test),
        "error": found.error,
        "balanced_error": found.balanced_error,
        "constant_error": found.constant_error,
        "performance": found.performance(classifier.performance),
        "same_test_split": sealed.fingerprint == result.task.test_fingerprint,
        "confusion": found.confusion,
    }


def _task_of(x: Any, y: Any, x_test: Any, y_test: Any, classes: Sequence[str] | None, name: str) -> Task:
    if isinstance(x, Task):
        return x
    if y is None:
        return task_from_dataset(x, name=name, classes=classes)
    return task_from_arrays(x, y, x_test=x_test, y_test=y_test, classes=classes, name=name)
