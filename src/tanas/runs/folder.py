"""The folder of a run: its request, its state and its result."""

from __future__ import annotations

import re
import shutil
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import filelock
import safetensors.torch
from safetensors import SafetensorError

from tanas.algorithm.result import RESULT_SCHEMA, Result
from tanas.ground.checkpoints import SAVED_EVERY_S, Checkpoint, FolderCheckpoint
from tanas.ground.errors import SettingError, StoreError
from tanas.ground.events import Event
from tanas.ground.records import (
    SCHEMA,
    digest,
    from_plain,
    read_json,
    read_marker,
    to_plain,
    write_bytes,
    write_json,
)
from tanas.networks.architecture import Network
from tanas.networks.classifier import Classifier

KIND = "tanas run"
RUN_FILE = "run.json"
RESULT_FILE = "result.json"
BEFORE_FILE = "before-refit.safetensors"
"""Weights before the refit, from which `tanas grow` and `tanas compress` can begin."""
UNFINISHED = "unfinished"
"""Folder of the state of an unfinished run."""
BEST_FILE = "best.json"
"""Within it: the best architecture so far of an interrupted search."""
RUNS = "runs"
"""Folder of the runs for which no folder is named."""
ENDINGS = {"search": "", "grow": "-grown", "compress": "-compressed"}
"""How the name of such a run ends."""
LEAST_FREE = 50 * 2**20
"""Bytes: a run with its checkpoints takes some 30 MB."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What decides the result of a run. The same request on the same folder goes on; another is refused."""

    task: str
    fingerprint: str
    """Of the task's training and validation data."""
    dictionary: str
    """Absolute path of its folder."""
    seed: int
    reuse: bool
    time_limit_s: float | None
    device: str
    threads: int
    config: dict[str, Any]
    growth: dict[str, Any] | None = None
    """What is grown or compressed, and how; None: a search."""
    starter: bool = False
    """Whether the starter memory is known."""


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """run.json."""

    kind: str
    schema: int
    request: Request
    known: tuple[str, ...]
    """Keys of the dictionary's atoms when the run began."""
    command: str


class Run:
    """A run's folder.

    `run.json` holds the request, `events.jsonl` what happened, `unfinished/` the state of an unfinished run. At the
    end come `architecture.json` and `weights.safetensors`, `report.html`, and last of all `result.json`.
    """

    def __init__(self, folder: Path, record: RunRecord) -> None:
        self.folder = folder
        self.record = record
        self.checkpoint = FolderCheckpoint(folder / UNFINISHED)

    @classmethod
    def begin(cls, folder: Path, request: Request, *, known: tuple[str, ...], command: str) -> Run:
        """Makes the folder, or opens it to go on with the same request, as `begun` does.

        A run that goes on keeps the atoms (`known`, by key) and the command with which it began.

        Raises:
            StoreError: the folder can't be written.
        """
        if (begun := cls.begun(folder, request)) is not None:
            return begun
        record = RunRecord(kind=KIND, schema=SCHEMA, request=request, known=known, command=command)
        write_json(folder / RUN_FILE, record)
        return cls(folder, record)

    @classmethod
    def begun(cls, folder: Path, request: Request) -> Run | None:
        """The run of a folder that the same request goes on with; None: a new run can be made there.

        Raises:
            StoreError: the folder holds something else.
            SettingError: it holds a run with other settings; the message names the first.
        """
        if (folder / RUN_FILE).exists():
            run = cls.open(folder)
            _refuse_other(folder, run.record.request, request)
            return run
        if _entries(folder):
            raise StoreError(f"{folder} is not empty and holds no run. Name an empty or a new folder (out).")
        return None

    @classmethod
    def open(cls, folder: Path) -> Run:
        """Opens the folder of a run, finished or not.

        Raises:
            StoreError: it holds no run, one of another version, or a damaged one.
        """
        path = folder / RUN_FILE
        if not path.exists():
            raise StoreError(
                f"{folder} is not a run: it holds no {RUN_FILE}. "
                "Name the folder of a run; `tanas search TASK` makes one."
            )
        plain = read_marker(path, KIND, make="tanas search TASK")
        return cls(folder, from_plain(RunRecord, plain, where=str(path)))

    @property
    def finished(self) -> bool:
        """Whether there is a result."""
        return (self.folder / RESULT_FILE).exists()

    def result(self) -> Result:
        """The result of a finished run.

        Raises:
            StoreError: it is not finished, or damaged.
        """
        path = self.folder / RESULT_FILE
        if not path.exists():
            raise StoreError(
                f"The run {self.folder} is not finished: it has no {RESULT_FILE}. Go on with: {self.record.command}"
            )
        plain = read_json(path)
        if isinstance(plain, dict) and plain.get("schema") != RESULT_SCHEMA:
            raise StoreError(
                f"{path} has schema {plain.get('schema')}; this tanas reads schema {RESULT_SCHEMA}. "
                "Read it with the tanas that wrote it, or search again into a new folder."
            )
        return from_plain(Result, plain, where=str(path))

    def unseeing(self) -> Network:
        """The trained network of a finished run before its refit: it was trained on no validation image.

        Raises:
            StoreError: the run is not finished, or damaged.
        """
        classifier = self.classifier()
        network, path = classifier.network, self.folder / BEFORE_FILE
        assert isinstance(network, Network)  # a run's network is built from its architecture
        if not self.result().training.refit_images:
            return network
        try:
            network.load_state_dict(safetensors.torch.load(path.read_bytes()))
        except (OSError, SafetensorError, RuntimeError) as error:
            raise StoreError(
                f"{path} is missing or damaged: {error}. No training can go on from this run without these weights. "
                "Search again into a new folder."
            ) from error
        return network

    def classifier(self) -> Classifier:
        """The trained network of a finished run.

        Raises:
            StoreError: it is not finished, or damaged.
        """
        self.result()
        return Classifier.load(self.folder)

    def finish(self, result: Result, classifier: Classifier, before: Network | None) -> None:
        """Writes weights and result, the result last, and deletes the state of the unfinished run.

        `before` is the network before its refit; None: there was none.
        """
        if before is not None:
            state = {name: value.detach().contiguous() for name, value in before.state_dict().items()}
            write_bytes(self.folder / BEFORE_FILE, safetensors.torch.save(state))
        classifier.save(self.folder)
        write_json(self.folder / RESULT_FILE, result)
        self.checkpoint.clear()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes from working on this run; a StoreError if another process works on it."""
        try:
            with filelock.FileLock(self.folder / ".lock", timeout=0):
                yield
        except filelock.Timeout as error:
            raise StoreError(
                f"Another process works on the run {self.folder}. Wait for it, or name another folder (out)."
            ) from error


class UsedTime:
    """Seconds that a run has worked, over all its sessions.

    It saves them when an event comes, at most every `SAVED_EVERY_S`, so a killed process forgets little.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._lock = threading.Lock()
        self._before = float(checkpoint.load("used") or 0.0)
        self._began = self._saved = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds of this session and those before it."""
        return self._before + time.monotonic() - self._began

    def __call__(self, event: Event) -> None:
        with self._lock:
            if time.monotonic() - self._saved >= SAVED_EVERY_S:
                self._saved = time.monotonic()
                self._checkpoint.save("used", self.seconds)


def run_folders(out: Path, names: Sequence[str]) -> tuple[Path, ...]:
    """The folder of each task's run: `out` itself, or for several tasks, all different, a folder in it.

    Raises:
        StoreError: several runs are to go into a folder that holds something else.
    """
    if len(names) == 1:
        return (out,)
    if foreign := [entry.name for entry in _entries(out) if not _holds_ours(entry)]:
        raise StoreError(
            f"{out} holds {min(foreign)!r}, which is not a run. Name an empty or a new folder (out)."
        )
    count = Counter(map(slug, names))
    return tuple(
        out / (slug(name) if count[slug(name)] == 1 else f"{slug(name)}-{digest(name)[:6]}") for name in names
    )


def default_folder(names: Sequence[str], *, aim: str = "search") -> Path:
    """The folder of a run, or of the runs of several tasks, if no folder is named; the aim is a key of `ENDINGS`."""
    first = slug(names[0])
    if len(names) > 1:  # another list of tasks must get another folder
        return Path(RUNS) / f"{first}-and-{len(names) - 1}-more-{digest(*names)[:6]}"
    return Path(RUNS) / f"{first}{ENDINGS[aim]}"


def slug(name: str) -> str:
    """A task's name as a folder's name."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:60] or "task"


def _holds_ours(folder: Path) -> bool:
    """Whether it is the folder of a run or a dictionary, or one that was killed before its first file."""
    is_ours = (folder / RUN_FILE).exists() or (folder / "dictionary.json").exists()
    return is_ours or (folder.is_dir() and not _entries(folder))


def _entries(folder: Path) -> list[Path]:
    """What a folder holds, without what a killed process left behind before its first file was whole."""
    try:
        inside = list(folder.iterdir()) if folder.exists() else []
    except OSError as error:
        raise StoreError(f"{folder} can't hold a run: {error.strerror}. Name a folder.") from error
    return [entry for entry in inside if not re.fullmatch(r"\.lock|\.(.*\.)?part", entry.name)]


def check_writable(folder: Path) -> None:
    """Refuses, with a StoreError, a folder that can't be made or written: before any long work."""
    try:
        present = next((place for place in (folder, *folder.parents) if place.exists()), folder)
        if not present.is_dir():
            raise StoreError(f"{folder} can't be made: {present} is a file. Name another place.")
        # rights are tried, not read: the root user has all rights and still can't write everywhere
        Path(tempfile.mkdtemp(prefix=".tanas.", suffix=".part", dir=present)).rmdir()
        free = shutil.disk_usage(present).free
    except StoreError:
        raise
    except OSError as error:
        raise StoreError(
            f"{folder} can't be written: {error.strerror or error}. Name another place."
        ) from error
    if free < LEAST_FREE:
        raise StoreError(f"{folder} can't be written: less than 50 MB are free on its disk. Make room.")


def check_file(path: Path) -> None:
    """Refuses, with a StoreError, a file that can't be written: before any long work."""
    if path.is_dir():
        raise StoreError(f"{path} can't be written: it is a folder. Name a file.")
    check_writable(path.parent)


def _refuse_other(folder: Path, old: Request, new: Request) -> None:
    was, now = ("search" if asked.growth is None else str(asked.growth["aim"]) for asked in (old, new))
    if was != now:
        raise SettingError(
            f"The run {folder} was begun by `tanas {was}`; now it is `tanas {now}`. Name another folder (out)."
        )
    if (difference := _first_difference(to_plain(old), to_plain(new), "")) is None:
        return
    name, before, after = difference
    begun = f"with {name} = {before!r}; now it is {after!r}"
    if name == "fingerprint":
        settings = "data, split_seed, size, fit, skip_bad"
        begun = f"with other data under the name {new.task}: its files or its settings ({settings}) differ"
    raise SettingError(
        f"The run {folder} was begun {begun}. Repeat the first command to go on, or name another folder (out)."
    )


def _first_difference(old: Any, new: Any, name: str) -> tuple[str, Any, Any] | None:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(k for k in new if k not in old)]:
            found = _first_difference(old.get(key), new.get(key), f"{name}.{key}" if name else key)
            if found:
                return found
        return None
    return None if old == new else (name, old, new)
