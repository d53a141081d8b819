"""The folder of a run: what was asked, what it has come to, and what it found."""

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
"""Weights before the last training, with which `tanas grow` and `tanas compress` can begin."""
UNFINISHED = "unfinished"
"""Folder of the state of a run that is not done."""
BEST_FILE = "best.json"
"""Within it: the best architecture so far of a search that was interrupted."""
RUNS = "runs"
"""Folder of the runs for which none is named."""
ENDINGS = {"search": "", "grow": "-grown", "compress": "-compressed"}
"""How the name of such a run ends."""
LEAST_FREE = 50 * 2**20
"""A run with its checkpoints takes some 30 MB."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """What decides the result of a run: the same request on the same folder goes on, another is refused."""

    task: str
    fingerprint: str
    """Of the task's training and validation data."""
    dictionary: str
    """Its folder, from the root."""
    seed: int
    reuse: bool
    time_limit_s: float | None
    device: str
    threads: int
    config: dict[str, Any]
    growth: dict[str, Any] | None = None
    """What is grown or compressed, and how; None: a search."""


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

    `run.json` says what was asked, `events.jsonl` what happened, `unfinished/` keeps the state of a run that
    is not done. At the end come `architecture.json` and `weights.safetensors`, `report.html`, and last of
    all `result.json`.
    """

    def __init__(self, folder: Path, record: RunRecord) -> None:
        self.folder = folder
        self.record = record
        self.checkpoint = FolderCheckpoint(folder / UNFINISHED)

    @classmethod
    def begin(cls, folder: Path, request: Request, *, known: tuple[str, ...], command: str) -> Run:
        """Makes the folder, or opens it to go on with the same request.

        Args:
            folder: of the run.
            request: what is asked.
            known: keys of the dictionary's atoms now; a run that goes on keeps those it began with.
            command: what repeats it.

        Raises:
            StoreError: the folder is something else's, or can't be written.
            SettingError: it holds a run with other settings; the message names the first.
        """
        if (begun := cls.begun(folder, request)) is not None:
            return begun
        record = RunRecord(kind=KIND, schema=SCHEMA, request=request, known=known, command=command)
        write_json(folder / RUN_FILE, record)
        return cls(folder, record)

    @classmethod
    def begun(cls, folder: Path, request: Request) -> Run | None:
        """The run of a folder that the same request goes on with; None: a new one can be made there.

        Raises:
            StoreError: the folder is something else's.
            SettingError: it holds a run with other settings; the message names the first.
        """
        if (folder / RUN_FILE).exists():
            run = cls.open(folder)
            _refuse_other(folder, run.record.request, request)
            return run
        try:
            foreign = folder.exists() and any(not _is_leftover(entry) for entry in folder.iterdir())
        except OSError as error:
            raise StoreError(f"{folder} can't hold a run: {error.strerror}. Name a folder.") from error
        if foreign:
            raise StoreError(f"{folder} is not empty and holds no run. Name an empty or a new folder (out).")
        return None

    @classmethod
    def open(cls, folder: Path) -> Run:
        """Opens the folder of a run, finished or not.

        Raises:
            StoreError: it is none, of another version, or damaged.
        """
        path = folder / RUN_FILE
        if not path.exists():
            raise StoreError(
                f"{folder} is no run: it holds no {RUN_FILE}. Name the folder of a run; `tanas search TASK` makes one."
            )
        plain = read_marker(path, KIND, make="tanas search TASK")
        return cls(folder, from_plain(RunRecord, plain, where=str(path)))

    @property
    def finished(self) -> bool:
        """Whether the result is there."""
        return (self.folder / RESULT_FILE).exists()

    def result(self) -> Result:
        """The result of a finished run.

        Raises:
            StoreError: it is not finished, or damaged.
        """
        if not self.finished:
            raise StoreError(
                f"The run {self.folder} is not finished: it has no {RESULT_FILE}. Go on with: {self.record.command}"
            )
        path = self.folder / RESULT_FILE
        plain = read_json(path)
        if isinstance(plain, dict) and plain.get("schema") != RESULT_SCHEMA:
            raise StoreError(
                f"{path} has schema {plain.get('schema')}; this tanas reads schema {RESULT_SCHEMA}. "
                "Read it with the tanas that wrote it, or search again into a new folder."
            )
        return from_plain(Result, plain, where=str(path))

    def unseeing(self) -> Network:
        """The trained network of a finished run as it was before its refit: it has seen no validation image.

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
                f"{path} is missing or damaged: {error}. It holds the weights before the last training. "
                "Without it no training can go on from this run: search again into a new folder."
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
        """Writes weights and result, the result last, and drops the state that is no longer needed.

        Args:
            result: of the run.
            classifier: its network.
            before: the network before its refit; None: there was none.
        """
        if before is not None:
            state = {name: value.detach().contiguous() for name, value in before.state_dict().items()}
            write_bytes(self.folder / BEFORE_FILE, safetensors.torch.save(state))
        classifier.save(self.folder)
        write_json(self.folder / RESULT_FILE, result)
        self.checkpoint.clear()

    @contextmanager
    def locked(self) -> Iterator[None]:
        """While it lasts no other process can work on this run.

        Raises:
            StoreError: another one does.
        """
        path = self.folder / ".lock"
        try:
            with filelock.FileLock(path, timeout=0):
                yield
        except filelock.Timeout as error:
            raise StoreError(
                f"Another process works on the run {self.folder}. Wait for it, or name another folder (out)."
            ) from error


class UsedTime:
    """Seconds that a run has worked, over all its sessions: a listener, so that even a kill loses little.

    Of a time limit, a process that is killed forgets at most `SAVED_EVERY_S` and what lies between two events.
    """

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self._lock = threading.Lock()
        self._before = float(checkpoint.load("used") or 0.0)
        self._began = self._saved = time.monotonic()
        self._stopped = bool(checkpoint.load("used_whole"))

    @property
    def seconds(self) -> float:
        """Of this session and those before it."""
        return self._before if self._stopped else self._before + time.monotonic() - self._began

    def stop(self) -> None:
        """What comes later does not count: the search is over, and is so too when the run is resumed."""
        with self._lock:
            if self._stopped:
                return
            self._before, self._stopped = self.seconds, True
            self._checkpoint.save("used", self._before)
            self._checkpoint.save("used_whole", True)

    def __call__(self, event: Event) -> None:
        with self._lock:
            if not self._stopped and time.monotonic() - self._saved >= SAVED_EVERY_S:
                self._saved = time.monotonic()
                self._checkpoint.save("used", self.seconds)


def run_folders(out: Path, names: Sequence[str]) -> tuple[Path, ...]:
    """The folder of each task's run.

    Args:
        out: the run's folder; of several tasks, the folder that holds their runs.
        names: of the tasks, all different.

    Raises:
        StoreError: several runs are to come into a folder that holds something else.
    """
    if len(names) == 1:
        return (out,)
    try:
        foreign = [
            entry.name
            for entry in (out.iterdir() if out.exists() else ())
            if not (_is_leftover(entry) or (entry.is_dir() and _holds_ours(entry)))
        ]
    except OSError as error:
        raise StoreError(f"{out} can't hold runs: {error.strerror}. Name a folder.") from error
    if foreign:
        raise StoreError(
            f"{out} holds {min(foreign)!r}, which is no run. Name an empty or a new folder (out)."
        )
    slugs = [slug(name) for name in names]
    count = Counter(slugs)
    return tuple(
        out / (one if count[one] == 1 else f"{one}-{digest(name)[:6]}")
        for one, name in zip(slugs, names, strict=True)
    )


def default_folder(names: Sequence[str], *, aim: str = "search") -> Path:
    """The folder of a run, or of the runs of several tasks, where none is named.

    Args:
        names: of the tasks, all different.
        aim: 'search', 'grow' or 'compress'.
    """
    first = slug(names[0])
    if len(names) > 1:  # another list of tasks must not meet the memory of this one
        return Path(RUNS) / f"{first}-and-{len(names) - 1}-more-{digest(*names)[:6]}"
    return Path(RUNS) / f"{first}{ENDINGS[aim]}"


def slug(name: str) -> str:
    """A task's name as a folder's name."""
    return re.sub(r"[^A-Za-z0-9]+", "-", name).strip("-")[:60] or "task"


def _holds_ours(folder: Path) -> bool:
    """Whether a folder is a run's, a dictionary's, or one of them that has not come to its first file."""
    if (folder / RUN_FILE).exists() or (folder / "dictionary.json").exists():
        return True
    return all(_is_leftover(entry) for entry in folder.iterdir())


def _is_leftover(entry: Path) -> bool:
    """Whether it is what a process that was killed leaves behind before the first file is whole."""
    return entry.name == ".lock" or (entry.name.startswith(".") and entry.name.endswith(".part"))


def check_writable(folder: Path) -> None:
    """Refuses a folder that can't be made or written, before any long work.

    Raises:
        StoreError: it can't.
    """
    try:
        present = folder
        while not present.exists() and present != present.parent:
            present = present.parent
        if not present.is_dir():
            raise StoreError(f"{folder} can't be made: {present} is a file. Name another place.")
        # rights are tried, not read: the root user has all of them, and still can't write everywhere
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
    """Refuses a file that can't be written, before any long work.

    Raises:
        StoreError: it can't.
    """
    if path.is_dir():
        raise StoreError(f"{path} can't be written: it is a folder. Name a file.")
    check_writable(path.parent)


def _refuse_other(folder: Path, old: Request, new: Request) -> None:
    was, now = (("search" if one.growth is None else str(one.growth["aim"])) for one in (old, new))
    if was != now:
        raise SettingError(
            f"The run {folder} was begun by `tanas {was}`; now it is `tanas {now}`. Name another folder (out)."
        )
    difference = _first_difference(to_plain(old), to_plain(new), "")
    if difference:
        name, before, now = difference
        if name == "fingerprint":
            raise SettingError(
                f"The run {folder} was begun with other data under the name {new.task}: its files differ, or "
                "how they are read (data, split_seed, size, skip_bad). Repeat the first command to go on, or name "
                "another folder (out)."
            )
        raise SettingError(
            f"The run {folder} was begun with {name} = {before!r}; now it is {now!r}. "
            "Repeat the first command to go on, or name another folder (out)."
        )


def _first_difference(old: Any, new: Any, name: str) -> tuple[str, Any, Any] | None:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(k for k in new if k not in old)]:
            found = _first_difference(old.get(key), new.get(key), f"{name}.{key}" if name else key)
            if found:
                return found
        return None
    return None if old == new else (name, old, new)
