"""tanas from Python: what the commands do, as functions."""

from __future__ import annotations

import hashlib
import math
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import platformdirs

from tanas.algorithm.grow import Origin, TrainedOrigin, transform, transformations_of
from tanas.algorithm.presets import SearchConfig
from tanas.algorithm.record import Circumstances, result_of
from tanas.algorithm.related import known_tasks
from tanas.algorithm.remember import remember as remembered
from tanas.algorithm.reuse import best_within
from tanas.algorithm.reuse import reuse as reuse_task
from tanas.algorithm.rival import Beside, beside
from tanas.algorithm.search import Found
from tanas.algorithm.search import search as search_task
from tanas.algorithm.space import base_space, check_space
from tanas.api.progress import JsonLinesListener, broadcast, listener_for
from tanas.dictionary.learn import prepare
from tanas.dictionary.store import Dictionary
from tanas.dictionary.stored_network import known_here
from tanas.dictionary.task_record import Atom, atom_key, best_first
from tanas.engines.local import LocalEngine
from tanas.engines.resources import Resources, workshop
from tanas.ground.checkpoints import Checkpoint, NoCheckpoint, Stopwatch
from tanas.ground.context import Context
from tanas.ground.devices import choose_device, processors
from tanas.ground.errors import StoreError, TaskError, check_range
from tanas.ground.events import Event, Listener, Told, Warned
from tanas.ground.records import digest, from_plain, read_json, to_plain, write_bytes, write_json
from tanas.ground.seeds import Seed
from tanas.ground.versions import processor, versions
from tanas.networks.architecture import Architecture
from tanas.networks.classifier import (
    ARCHITECTURE_FILE,
    SAFETENSORS,
    WEIGHTS_FILE,
    Classifier,
    read_classifier_record,
)
from tanas.networks.training import evaluate
from tanas.reports.page import render
from tanas.runs.folder import BEST_FILE, RUN_FILE, UNFINISHED, Request, Run, UsedTime, check_writable, slug
from tanas.spaces.costs import cost_by_parts
from tanas.spaces.latency import MeasuredLatency
from tanas.strategies.base import Chosen, Round, RoundFinished
from tanas.tasks.arrays import task_from_arrays, task_from_dataset
from tanas.tasks.library import Library
from tanas.tasks.task import Task

OUT = "--out"
"""The option of a command after which the folder of its run stands."""


def open_memory(folder: Path | None = None) -> Dictionary:
    """The user's own dictionary, or a named one.

    Args:
        folder: of an existing dictionary; None: `$TANAS_DICTIONARY`, else a folder in the user's data folder,
            which the first search makes (`Dictionary.settle`).

    Raises:
        StoreError: the named folder is no dictionary.
    """
    if folder is not None:
        return Dictionary(folder)
    own = os.environ.get("TANAS_DICTIONARY")
    place = Path(own) if own else platformdirs.user_data_path("tanas") / "dictionary"
    return Dictionary(place, may_be_new=True)


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
    listener: Listener | None = None,
    reuse: bool = False,
    time_limit: float | None = None,
) -> Run:
    """Searches an architecture for images in memory, trains and tests it: Algorithm 1.

    Args:
        x: uint8 images or floats in [0, 1], (n, h, w), (n, h, w, c) or (n, c, h, w); or a torch Dataset of
            (image, label) pairs, then without `y`; or a `Task`.
        y: labels, (n,), integers or strings.
        out: folder of the run; None: `tanas-runs/NAME-HASH` here, another one for other data or settings.
        dictionary: folder of a dictionary; None: the user's own, which remembers each search.
        remember: whether the dictionary learns the task; None: only the user's own does.
        name: of the task, for people.
        classes: names of the classes, in the order of integer labels.
        x_test: images of an official test split.
        y_test: its labels.
        config: how; None: the default preset.
        seed: of every draw.
        resources: devices, threads and workers.
        listener: is told what happens; None: progress and messages go to stderr, as from the command line.
            `tanas.ground.events.ignore` is silent.
        reuse: whether a task that is known takes its best architecture without a search.
        time_limit: seconds after which the search takes its best so far.

    Returns:
        the run: `.result()`, `.classifier()`, `.folder`.

    Raises:
        TanasError: the input or a setting is wrong.
    """
    task = _task_of(x, y, x_test, y_test, classes, name)
    config = config or SearchConfig()
    memory = open_memory(Path(dictionary) if dictionary is not None else None)
    if out is None:
        asked = (task.fingerprint, to_plain(config), seed, reuse, time_limit, str(memory.folder.resolve()))
        out = Path("tanas-runs") / f"{slug(task.name)}-{digest(*asked)[:8]}"
    folder = Path(out)
    resources = resources or Resources()
    shown = listener_for(sys.stderr) if listener is None else nullcontext(listener)
    with workshop(resources) as engine, shown as told:
        return run_search(
            task,
            folder,
            memory,
            remember=dictionary is None if remember is None else remember,
            config=config,
            seed=seed,
            resources=resources,
            engine=engine,
            listener=told,
            reuse=reuse,
            time_limit=time_limit,
            command=f"tanas.search(..., out={str(folder)!r}) from Python",
        )


def load(run: Path | str) -> Classifier:
    """The trained network of a finished run, ready to be called on images.

    Args:
        run: folder of the run, or the file of an export to safetensors.

    Raises:
        StoreError: it is no finished run, and no such file.
    """
    folder = Path(run)
    return Run.open(folder).classifier() if (folder / RUN_FILE).exists() else Classifier.load(folder)


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

    Args:
        task: as its source gives it.
        folder: of the run.
        dictionary: what is known.
        remember: whether the dictionary learns the task.
        config: how.
        seed: of every draw.
        resources: devices, threads and workers.
        engine: measures distances side by side.
        listener: is told what happens.
        reuse: whether a task that is known takes its best architecture without a search.
        time_limit: seconds after which the search takes its best so far.
        command: what repeats this search; its folder is left out of the result.

    Raises:
        TanasError: the input or a setting is wrong, or the search failed.
    """
    _check_numbers(seed, time_limit)
    prepared = prepare(task, performance=config.performance, limit=config.limit)
    request = _request(task, dictionary, config, seed, resources, reuse, time_limit)
    _check_search(prepared, folder, dictionary, config, request)
    run = Run.begin(folder, request, known=tuple(a.key for a in dictionary.atoms()), command=command)

    def work(at: Context, watch: Stopwatch) -> tuple[Found, Beside]:
        dictionary.settle()
        known = _atoms_then(dictionary, run)
        if reuse:
            found = reuse_task(task, dictionary, config, at, known=known, learns=remember)
        else:
            found = search_task(task, dictionary, config, at, known=known, learns=remember)
        stands = beside(found, at)
        if remember and not reuse and (learnt := remembered(found, watch, seed=seed)) is not None:
            dictionary.add(learnt.atom, learnt.representative, learnt.network, merged=_keeping)
        return found, stands

    return _worked(
        run, work, prepared, resources=resources, engine=engine, listener=listener, command=command
    )


def check_searches(
    tasks: Sequence[Task],
    folders: Sequence[Path],
    dictionary: Dictionary,
    *,
    config: SearchConfig,
    seed: int,
    resources: Resources,
    reuse: bool,
    time_limit: float | None,
) -> None:
    """Refuses what can't go well with one of several searches before the first of them begins.

    The tasks arrive one after the other, and the dictionary learns each: so many more are known to the next.

    Args:
        tasks: as their sources give them, all different.
        folders: of their runs.
        dictionary: what is known before the first; arguments that follow are those of `run_search`.
        config: how.
        seed: of every draw.
        resources: devices and threads.
        reuse: whether a task that is known takes its best architecture without a search.
        time_limit: seconds.

    Raises:
        TanasError: the input or a setting is wrong for one of them.
    """
    _check_numbers(seed, time_limit)
    there = {atom.key for atom in dictionary.atoms()}
    learnt: dict[str, str] = {}  # hash of the data, by the key of the atom that will be added
    for task, folder in zip(tasks, folders, strict=True):
        prepared = prepare(task, performance=config.performance, limit=config.limit)
        request = _request(task, dictionary, config, seed, resources, reuse, time_limit)
        coming = sum(data != prepared.fingerprint for data in learnt.values())
        _check_search(prepared, folder, dictionary, config, request, coming=coming)
        key = atom_key(prepared.fingerprint, config.representative, config.performance)
        if key not in there and not reuse:  # what is reused is not learnt anew
            learnt[key] = prepared.fingerprint


def _request(
    task: Task,
    dictionary: Dictionary,
    config: SearchConfig,
    seed: int,
    resources: Resources,
    reuse: bool,
    time_limit: float | None,
) -> Request:
    return Request(
        task=task.name,
        fingerprint=task.fingerprint,
        dictionary=str(dictionary.folder.resolve()),
        seed=seed,
        reuse=reuse,
        time_limit_s=time_limit,
        device=choose_device(resources.device),
        threads=resources.threads,
        config=to_plain(config),
    )


def _check_search(
    task: Task,
    folder: Path,
    dictionary: Dictionary,
    config: SearchConfig,
    request: Request,
    *,
    coming: int = 0,
) -> None:
    """Refuses a search that can't go well before anything is written."""
    if not (folder / RUN_FILE).exists():
        known = known_tasks(dictionary, task, config, reuse=request.reuse, coming=coming)
        for _, atom in known.others:
            dictionary.representative(atom)
            if config.warm_weights and atom.kept is not None and known_here(atom.kept):
                dictionary.network(atom)
        check_space(task, config, device=request.device)
        if request.reuse and known.own is not None:
            latency = MeasuredLatency(device=request.device, checkpoint=NoCheckpoint())
            best_within(known.own[1], base_space(task, config, latency), task)
        check_writable(folder)
    if not dictionary.settled:
        check_writable(dictionary.folder)
    Run.begun(folder, request)


def run_growth(
    task: Task,
    folder: Path,
    origin: Origin,
    aim: str,
    *,
    keep_weights: bool,
    config: SearchConfig,
    seed: int,
    resources: Resources,
    engine: LocalEngine,
    listener: Listener,
    time_limit: float | None,
    command: str,
) -> Run:
    """Grows or compresses a network into a run's folder: begins it, goes on with it, or finds it finished.

    Args:
        task: as its source gives it.
        folder: of the run.
        origin: what to begin with; `open_origin` reads it.
        aim: 'grow' or 'compress'.
        keep_weights: whether the final training may go on from the origin's weights.
        config: how.
        seed: of every draw.
        resources: devices, threads and workers.
        engine: of the workshop.
        listener: is told what happens.
        time_limit: seconds after which the search takes its best so far.
        command: what repeats this; its folder is left out of the result.

    Raises:
        TanasError: the input or a setting is wrong, or the search failed.
    """
    _check_numbers(seed, time_limit)
    prepared = prepare(task, performance=config.performance, limit=config.limit)
    # one that was begun is not timed anew: it might be refused this time
    if not (folder / RUN_FILE).exists():
        latency = MeasuredLatency(device=choose_device(resources.device), checkpoint=NoCheckpoint())
        transformations_of(origin, aim, prepared, config, latency)
        check_writable(folder)
    request = Request(
        task=task.name,
        fingerprint=task.fingerprint,
        dictionary="",
        seed=seed,
        reuse=False,
        time_limit_s=time_limit,
        device=choose_device(resources.device),
        threads=resources.threads,
        config=to_plain(config),
        growth={
            "aim": aim,
            "architecture": origin.architecture.key,
            "weights": None if origin.trained is None else origin.trained.sha256,
            "keep_weights": keep_weights,
        },
    )
    run = Run.begin(folder, request, known=(), command=command)

    def work(at: Context, watch: Stopwatch) -> tuple[Found, Beside]:
        found = transform(task, origin, aim, config, at, keep_weights=keep_weights)
        return found, beside(found, at)

    return _worked(
        run, work, prepared, resources=resources, engine=engine, listener=listener, command=command
    )


def open_origin(path: Path) -> Origin:
    """What can be grown or compressed.

    Args:
        path: folder of a finished run; the file of an export to safetensors; or an architecture.json, or a folder
            that holds one. Such a file may also hold an architecture alone: its `skeleton` and `cell`.

    Raises:
        StoreError: it is none of these, is not finished, or is damaged.
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
            f"{path} is no network to start from. Name the folder of a finished run, a {SAFETENSORS} file that tanas "
            f"exported, or an {ARCHITECTURE_FILE}."
        )
    plain = None if file.suffix.lower() == SAFETENSORS else read_json(file)
    if isinstance(plain, dict) and set(plain) == {"skeleton", "cell"}:
        architecture = from_plain(Architecture, plain, where=str(file))
        return Origin(architecture=architecture, name=f"the architecture {architecture.key}", trained=None)
    record = read_classifier_record(file)
    name = f"the architecture of the network of {record.task}"
    return Origin(architecture=record.architecture, name=name, trained=None)


def _check_numbers(seed: int, time_limit: float | None) -> None:
    if time_limit is not None:
        check_range(time_limit, "time_limit", "search", low=0, open_ends=True)
    check_range(seed, "seed", "search", low=0)


class _Warnings:
    """Keeps every warning once, over all sessions of a run, for its record."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self.heard: list[str] = list(checkpoint.load("warnings") or [])

    def __call__(self, event: Event) -> None:
        if isinstance(event, Warned) and event.message not in self.heard:
            self.heard.append(event.message)
            self._checkpoint.save("warnings", self.heard)


class _BestSoFar:
    """Remembers the last round, then what the search chose, so that one that is interrupted gives what it had."""

    def __init__(self) -> None:
        self._last: RoundFinished | None = None
        self._chosen: Chosen | None = None

    def __call__(self, event: Event) -> None:
        if isinstance(event, Chosen):
            self._chosen = event
        elif isinstance(event, RoundFinished) and self._chosen is None:  # later rounds are those of a control
            self._last = event

    def kept(self, path: Path, task: Task) -> tuple[str, ...]:
        """A sentence of what is known of the best so far, which is written to a file.

        Before any round it is that of an earlier session, which stands there; else nothing.
        """
        takers = "which `tanas grow` and `tanas compress` take"
        if self._chosen is not None:
            architecture, scores, where = (
                self._chosen.architecture,
                [self._chosen.score],
                "as the search chose",
            )
        elif self._last is not None:
            past = self._last.round
            architecture, where = past.candidates[past.winner], f"of round {self._last.number}"
            scores = [past.scores[past.winner]] if past.scores else []
        else:
            return (f"Best so far, of an earlier session: it stands in {path}, {takers}.",) * path.exists()
        write_json(path, architecture)
        cost = cost_by_parts(architecture, task.shape, len(task.classes))
        known = [f"{cost.parameters:,} parameters", f"{cost.macs:,} multiply-adds"]
        if self._chosen is None and self._last is not None and (stages := self._last.round.stages):
            share = stages[-1].weights[self._last.round.winner]
            known.append(f"a share of {share:.2f} among {len(self._last.round.candidates)} candidates")
        known += [f"l {score:.3f} on validation" for score in scores if score is not None]
        return (
            f"Best so far, {where}: {architecture.key} ({', '.join(known)}). It stands in {path}, {takers}.",
        )


def _worked(
    run: Run,
    work: Callable[[Context, Stopwatch], tuple[Found, Beside]],
    task: Task,
    *,
    resources: Resources,
    engine: LocalEngine,
    listener: Listener,
    command: str,
) -> Run:
    """The run after its work, unless it was done before; the result is its last file.

    Raises:
        KeyboardInterrupt: with what is known of the best so far, if a round was done.
    """
    folder, request = run.folder, run.record.request
    limit = request.time_limit_s
    with run.locked():
        if run.finished:
            listener(Told(message=f"The run {folder} is finished already; nothing was changed."))
            return run
        used, best = UsedTime(run.checkpoint), _BestSoFar()

        def over(event: Event) -> None:
            if isinstance(event, Chosen):  # the limit is the search's, not that of the final training
                used.stop()

        with JsonLinesListener(folder / "events.jsonl") as journal:
            watch, warnings = Stopwatch(run.checkpoint), _Warnings(run.checkpoint)
            told = broadcast(warnings, listener, journal, best, *(() if limit is None else (used, over)))
            at = Context(
                seed=Seed(request.seed),
                device=request.device,
                workers=resources.workers or processors(),
                executor=engine,
                deadline=lambda: math.inf if limit is None else limit - used.seconds,
                listener=watch.heard(told),
                checkpoint=run.checkpoint,
            )
            try:
                found, stands = work(at, watch)
            except KeyboardInterrupt:
                raise KeyboardInterrupt(*best.kept(folder / UNFINISHED / BEST_FILE, task)) from None
        around = Circumstances(
            watch=watch,
            warnings=tuple(warnings.heard),
            environment={
                "versions": versions(),
                "processor": processor(),
                "device": request.device,
                "threads": request.threads,
            },
            command=_anywhere(command, folder),
        )
        result = result_of(found, stands, around, seed=request.seed)
        write_bytes(folder / "report.html", render(result).encode())
        run.finish(result, found.classifier, found.before_refit)
    return run


def stream_memory(out: Path, base: Dictionary) -> Dictionary:
    """A dictionary beside the runs of several tasks that arrive one after the other; it sees all of `base`.

    Args:
        out: folder of the runs.
        base: stays as it is.
    """
    return Dictionary(out / "dictionary", base=base, may_be_new=True)


def evaluate_run(folder: Path, name: str | None, library: Library) -> dict[str, Any]:
    """Tests the network of a run on the test split of a task.

    Args:
        folder: of the finished run.
        name: of the task; None: the run's own, with its own split seed and size of pictures.
        library: opens the task.

    Raises:
        TaskError: the task has other classes or images of another size.
    """
    result = Run.open(folder).result()
    classifier = Classifier.load(folder)
    if name is None:  # another seed would mix what it was trained on into the test split
        _, height, width = result.task.shape
        size = height if height == width else None
        library = Library.of(replace(library.reading, split_seed=result.task.split_seed, size=size))
    task = library.open(name or result.task.name)
    if task.classes != classifier.classes or task.shape != classifier.shape:
        raise TaskError(
            f"The network of {folder} tells {', '.join(classifier.classes)} apart in images of "
            f"{_size(classifier.shape)}; {task.name} has {', '.join(task.classes)} in {_size(task.shape)}. "
            "Name a task with the same classes and size."
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


def _size(shape: tuple[int, int, int]) -> str:
    return "x".join(map(str, shape))


def _keeping(atom: Atom, before: Atom | None) -> Atom:
    """An atom that takes another's place without forgetting what this one knew: architectures, rounds, what was added.

    Scores of another fixed short training do not compare, so such architectures count as not scored; neither does what
    a final training made of one, beside scores.
    """
    if before is None:
        return atom
    same = before.provenance.settings.get("scoring") == atom.provenance.settings.get("scoring")
    scored = any(one.score is not None and not one.final for one in atom.architectures)
    old = {
        one.architecture: one
        if one.score is not None and same and not one.final
        else replace(one, score=None, final=False)
        for one in before.architectures
    }
    if not scored and any(one.score is not None for one in old.values()):
        atom = replace(
            atom, architectures=tuple(replace(one, score=None, final=False) for one in atom.architectures)
        )
    kept = [old.pop(one.architecture, one) if one.score is None else one for one in atom.architectures]
    fresh = {one.architecture for one in kept}
    rounds = {_what_was(past): past for past in (*before.rounds, *atom.rounds)}
    return replace(
        atom,
        architectures=best_first((*kept, *(one for one in old.values() if one.architecture not in fresh))),
        rounds=tuple(rounds.values()),  # candidates are compared within a round
        reuse=atom.reuse or before.reuse,
    )


def _what_was(past: Round) -> str:
    """What a round was, but for its seconds: one that was remembered twice counts once."""
    return digest(to_plain(replace(past, took_s=0.0)))


def _anywhere(command: str, folder: Path) -> str:
    """The command with RUN for the folder, so that a result is the same wherever it is kept."""
    if not command.startswith("tanas "):
        return command.replace(repr(str(folder)), "RUN")
    tokens = shlex.split(command)
    for i, token in enumerate(tokens):
        if i and tokens[i - 1] == OUT:
            tokens[i] = "RUN"
        elif token.startswith(f"{OUT}="):
            tokens[i] = f"{OUT}=RUN"
    return shlex.join(tokens)


def _atoms_then(dictionary: Dictionary, run: Run) -> tuple[Atom, ...]:
    """The atoms of the dictionary as it was when the run began.

    Raises:
        StoreError: one of them is gone.
    """
    now = {atom.key: atom for atom in dictionary.atoms()}
    if missing := [key for key in run.record.known if key not in now]:
        raise StoreError(
            f"The run {run.folder} began with {len(missing)} atoms that {dictionary.folder} no longer holds. "
            "It can't go on as it began: put them back, or name another folder (out)."
        )
    return tuple(now[key] for key in run.record.known)


def _task_of(x: Any, y: Any, x_test: Any, y_test: Any, classes: Sequence[str] | None, name: str) -> Task:
    if isinstance(x, Task):
        return x
    if y is None:
        return task_from_dataset(x, name=name, classes=classes)
    return task_from_arrays(x, y, x_test=x_test, y_test=y_test, classes=classes, name=name)
