"""A run from its beginning to its end: what is asked is checked, resumed or refused, worked on, and written down."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tanas.algorithm.grow import Origin, transform, transformations_of
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
from tanas.api.progress import JsonLinesListener, broadcast
from tanas.dictionary.learn import prepare
from tanas.dictionary.store import Dictionary
from tanas.dictionary.stored_network import known_here
from tanas.dictionary.task_record import Atom, atom_key, best_first
from tanas.engines.local import LocalEngine
from tanas.engines.resources import Resources
from tanas.ground.checkpoints import Checkpoint, NoCheckpoint, Stopwatch
from tanas.ground.context import Context
from tanas.ground.devices import choose_device, processors
from tanas.ground.errors import StoreError, check_range
from tanas.ground.events import Event, Listener, Told, Warned
from tanas.ground.records import digest, to_plain, write_bytes, write_json
from tanas.ground.seeds import Seed
from tanas.ground.versions import processor, versions
from tanas.reports.page import render
from tanas.runs.folder import BEST_FILE, RUN_FILE, UNFINISHED, Request, Run, UsedTime, check_writable
from tanas.spaces.costs import cost_by_parts
from tanas.spaces.latency import MeasuredLatency
from tanas.strategies.base import Chosen, Round, RoundFinished
from tanas.tasks.task import Task

OUT = "--out"
"""The option of a command after which the folder of its run stands."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is asked of a run."""

    config: SearchConfig
    """How."""
    command: str
    """What repeats it; its folder is left out of the result."""
    seed: int = 0
    """Of every draw."""
    time_limit: float | None = None
    """Seconds after which the search takes its best so far."""
    reuse: bool = False
    """Whether a task that is known takes its best architecture without a search."""
    remember: bool = False
    """Whether the dictionary learns the task."""

    def __post_init__(self) -> None:
        if self.time_limit is not None:
            check_range(self.time_limit, "time_limit", "search", low=0, open_ends=True)
        check_range(self.seed, "seed", "search", low=0)


@dataclass(frozen=True, kw_only=True)
class Machine:
    """Where a run is computed, and who is told."""

    resources: Resources
    """Devices, threads and workers."""
    engine: LocalEngine
    """Measures distances side by side."""
    listener: Listener
    """Is told what happens."""


def run_search(task: Task, folder: Path, dictionary: Dictionary, job: Job, machine: Machine) -> Run:
    """One search into a run's folder: begins it, goes on with it, or finds it finished.

    Args:
        task: as its source gives it.
        folder: of the run.
        dictionary: what is known.
        job: what is asked.
        machine: where it is computed, and who is told.

    Raises:
        TanasError: the input or a setting is wrong, or the search failed.
    """
    config, remember = job.config, job.remember
    prepared = prepare(task, performance=config.performance, limit=config.limit)
    request = _request(task, dictionary, job, machine.resources)
    _check_search(prepared, folder, dictionary, config, request)
    run = Run.begin(folder, request, known=tuple(a.key for a in dictionary.atoms()), command=job.command)

    def work(at: Context, watch: Stopwatch) -> tuple[Found, Beside]:
        dictionary.settle()
        known = _atoms_then(dictionary, run)
        take = reuse_task if job.reuse else search_task
        found = take(task, dictionary, config, at, known=known, learns=remember)
        stands = beside(found, at)
        if remember and not job.reuse and (learnt := remembered(found, watch, seed=job.seed)) is not None:
            dictionary.add(learnt.atom, learnt.representative, learnt.network, merged=_keeping)
        return found, stands

    return _worked(run, work, prepared, job, machine)


def check_searches(
    tasks: Sequence[Task],
    folders: Sequence[Path],
    dictionary: Dictionary,
    job: Job,
    resources: Resources,
) -> None:
    """Refuses what can't go well with one of several searches before the first of them begins.

    The tasks arrive one after the other, and the dictionary learns each: so many more are known to the next.

    Args:
        tasks: as their sources give them, all different.
        folders: of their runs.
        dictionary: what is known before the first.
        job: what is asked of each.
        resources: devices and threads.

    Raises:
        TanasError: the input or a setting is wrong for one of them.
    """
    config = job.config
    there = {atom.key for atom in dictionary.atoms()}
    learnt: dict[str, str] = {}  # hash of the data, by the key of the atom that will be added
    for task, folder in zip(tasks, folders, strict=True):
        prepared = prepare(task, performance=config.performance, limit=config.limit)
        request = _request(task, dictionary, job, resources)
        coming = sum(data != prepared.fingerprint for data in learnt.values())
        _check_search(prepared, folder, dictionary, config, request, coming=coming)
        key = atom_key(prepared.fingerprint, config.representative, config.performance)
        if key not in there and not job.reuse:  # what is reused is not learnt anew
            learnt[key] = prepared.fingerprint


def _request(task: Task, dictionary: Dictionary, job: Job, resources: Resources) -> Request:
    return Request(
        task=task.name,
        fingerprint=task.fingerprint,
        dictionary=str(dictionary.folder.resolve()),
        seed=job.seed,
        reuse=job.reuse,
        time_limit_s=job.time_limit,
        device=choose_device(resources.device),
        threads=resources.threads,
        config=to_plain(job.config),
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
    job: Job,
    machine: Machine,
    *,
    keep_weights: bool = True,
) -> Run:
    """Grows or compresses a network into a run's folder: begins it, goes on with it, or finds it finished.

    Args:
        task: as its source gives it.
        folder: of the run.
        origin: what to begin with; `open_origin` reads it.
        aim: 'grow' or 'compress'.
        job: what is asked.
        machine: where it is computed, and who is told.
        keep_weights: whether the final training may go on from the origin's weights.

    Raises:
        TanasError: the input or a setting is wrong, or the search failed.
    """
    config, resources = job.config, machine.resources
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
        seed=job.seed,
        reuse=False,
        time_limit_s=job.time_limit,
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
    run = Run.begin(folder, request, known=(), command=job.command)

    def work(at: Context, watch: Stopwatch) -> tuple[Found, Beside]:
        found = transform(task, origin, aim, config, at, keep_weights=keep_weights)
        return found, beside(found, at)

    return _worked(run, work, prepared, job, machine)


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
        takers = "which `tanas grow` and `tanas compress` accept"
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
            return (f"Best so far, from an earlier session: see {path}, {takers}.",) * path.exists()
        write_json(path, architecture)
        cost = cost_by_parts(architecture, task.shape, len(task.classes))
        known = [f"{cost.parameters:,} parameters", f"{cost.macs:,} multiply-adds"]
        if self._chosen is None and self._last is not None and (stages := self._last.round.stages):
            share = stages[-1].weights[self._last.round.winner]
            known.append(f"a share of {share:.2f} among {len(self._last.round.candidates)} candidates")
        known += [f"l {score:.3f} on validation" for score in scores if score is not None]
        return (f"Best so far, {where}: {architecture.key} ({', '.join(known)}). Saved in {path}, {takers}.",)


def _worked(
    run: Run,
    work: Callable[[Context, Stopwatch], tuple[Found, Beside]],
    task: Task,
    job: Job,
    machine: Machine,
) -> Run:
    """The run after its work, unless it was done before; the result is its last file.

    Raises:
        KeyboardInterrupt: with what is known of the best so far, if a round was done.
    """
    folder, request = run.folder, run.record.request
    limit = request.time_limit_s
    with run.locked():
        if run.finished:
            machine.listener(Told(message=f"The run {folder} is finished already; nothing was changed."))
            return run
        used, best = UsedTime(run.checkpoint), _BestSoFar()

        def over(event: Event) -> None:
            if isinstance(event, Chosen):  # the limit is the search's, not that of the final training
                used.stop()

        with JsonLinesListener(folder / "events.jsonl") as journal:
            watch, warnings = Stopwatch(run.checkpoint), _Warnings(run.checkpoint)
            told = broadcast(
                warnings, machine.listener, journal, best, *(() if limit is None else (used, over))
            )
            at = Context(
                seed=Seed(request.seed),
                device=request.device,
                workers=machine.resources.workers or processors(),
                executor=machine.engine,
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
            command=_anywhere(job.command, folder),
        )
        result = result_of(found, stands, around, seed=request.seed)
        write_bytes(folder / "report.html", render(result).encode())
        run.finish(result, found.classifier, found.before_refit)
    return run


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
            f"The run {run.folder} began with {len(missing)} remembered tasks that {dictionary.folder} no longer "
            "holds, so it can't be resumed. Put them back, or name another folder (out)."
        )
    return tuple(now[key] for key in run.record.known)
