"""A run from beginning to end: its request is checked, then begun, resumed or refused; its result is recorded."""

from __future__ import annotations

import math
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from tanas.algorithm.grow import Origin, transform, transformations_of
from tanas.algorithm.learn import remember
from tanas.algorithm.presets import SearchConfig
from tanas.algorithm.record import Circumstances, result_of
from tanas.algorithm.related import compares_representatives, known_tasks
from tanas.algorithm.rival import Beside, beside
from tanas.algorithm.search import Found, best_within
from tanas.algorithm.search import reuse as reuse_task
from tanas.algorithm.search import search as search_task
from tanas.algorithm.space import base_space, check_space
from tanas.api.progress import JsonLinesListener, broadcast
from tanas.dictionary.store import Dictionary
from tanas.dictionary.stored_network import judging
from tanas.dictionary.task_record import Atom, atom_key, best_first
from tanas.engines.resources import Machine, Resources
from tanas.ground.checkpoints import Checkpoint, NoCheckpoint, Stopwatch
from tanas.ground.context import Context
from tanas.ground.devices import choose_device
from tanas.ground.errors import StoreError, check_range
from tanas.ground.events import Event, Told, Warned
from tanas.ground.records import digest, lasting, to_plain, write_bytes, write_json
from tanas.ground.seeds import Seed
from tanas.ground.versions import processor, versions
from tanas.reports.page import render
from tanas.runs.folder import BEST_FILE, RUN_FILE, UNFINISHED, Request, Run, UsedTime, check_writable
from tanas.spaces.costs import cost_by_parts
from tanas.spaces.latency import MeasuredLatency
from tanas.strategies.base import Chosen, RoundFinished
from tanas.tasks.task import Task

OUT = "--out"
"""The option of a command that names the folder of its run."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """The request for a run, apart from its task and folder."""

    config: SearchConfig
    command: str
    """Repeats the run; its folder is left out of the result."""
    seed: int = 0
    """Of every draw."""
    time_limit: float | None = None
    """Seconds after which the search takes its best so far."""
    reuse: bool = False
    """Whether a remembered task takes its best architecture without a search."""
    remember: bool = False
    """Whether the dictionary learns the task."""

    def __post_init__(self) -> None:
        if self.time_limit is not None:
            check_range(self.time_limit, "time_limit", "search", low=0, open_ends=True)
        check_range(self.seed, "seed", "search", low=0)


def run_search(task: Task, folder: Path, dictionary: Dictionary, job: Job, machine: Machine) -> Run:
    """Search for a task and keep the run in a folder; an unfinished run there is resumed, a finished one returned.

    Raises:
        TanasError: the input or a setting is wrong, or the search failed.
    """
    prepared, request = _checked_search(task, folder, dictionary, job, machine.resources)
    run = Run.begin(folder, request, known=tuple(a.key for a in dictionary.atoms()), command=job.command)

    def work(at: Context, watch: Stopwatch) -> tuple[Found, Beside]:
        dictionary.settle()
        known = _atoms_then(dictionary, run)
        take = reuse_task if job.reuse else search_task
        found = take(task, dictionary, job.config, at, known=known, learns=job.remember)
        stands = beside(found, at)
        if job.remember and not job.reuse and (learnt := remember(found, watch, seed=job.seed)) is not None:
            dictionary.add(learnt.atom, learnt.representative, learnt.network, merged=_keeping)
        return found, stands

    return _worked(run, work, prepared, job, machine)


def check_searches(
    tasks: Sequence[Task], folders: Sequence[Path], dictionary: Dictionary, job: Job, resources: Resources
) -> None:
    """Refuse what would make one of several searches fail, before the first begins.

    The dictionary learns each task, so later searches know more tasks.

    Raises:
        TanasError: the input or a setting is wrong for one of them.
    """
    there = {atom.key for atom in dictionary.atoms()}
    learnt: dict[str, str] = {}  # hash of the data, by the key of the atom that will be added
    for task, folder in zip(tasks, folders, strict=True):
        coming = tuple(learnt.values())
        prepared, _ = _checked_search(task, folder, dictionary, job, resources, coming=coming)
        key = atom_key(prepared.fingerprint, job.config.representative, job.config.performance)
        if key not in there and not job.reuse:  # a reused task is not learnt anew
            learnt[key] = prepared.fingerprint


def _checked_search(
    task: Task,
    folder: Path,
    dictionary: Dictionary,
    job: Job,
    resources: Resources,
    *,
    coming: Sequence[str] = (),
) -> tuple[Task, Request]:
    """The prepared task and the request of a search that was checked before anything is written.

    `coming` holds the fingerprints of tasks that earlier searches will add to the dictionary.
    """
    config = job.config
    prepared = task.measured_by(config.performance).limited(config.limit)
    request = _request(task, job, resources, dictionary=dictionary)
    if not (folder / RUN_FILE).exists():
        new = sum(fingerprint != prepared.fingerprint for fingerprint in coming)
        known = known_tasks(dictionary, prepared, config, reuse=job.reuse, coming=new)
        compared = compares_representatives(config)
        for _, atom in known.others:
            dictionary.representative(atom)
            if (config.warm_weights or not compared) and judging(atom.kept) is not None:
                dictionary.network(atom)
        check_space(prepared, config, device=request.device)
        if job.reuse and known.own is not None:
            latency = MeasuredLatency(device=request.device, checkpoint=NoCheckpoint())
            best_within(known.own[1], base_space(prepared, config, latency), prepared)
        check_writable(folder)
    if not dictionary.settled:
        check_writable(dictionary.folder)
    Run.begun(folder, request)
    return prepared, request


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
    """Grow or compress a network and keep the run in a folder; an unfinished run is resumed, a finished one returned.

    The aim is 'grow' or 'compress'. With `keep_weights` the final training may continue from the origin's weights.

    Raises:
        TanasError: the input or a setting is wrong, or the search failed.
    """
    config = job.config
    prepared = task.measured_by(config.performance).limited(config.limit)
    # a resumed run is not timed again: this time it might be refused
    if not (folder / RUN_FILE).exists():
        latency = MeasuredLatency(device=machine.device, checkpoint=NoCheckpoint())
        transformations_of(origin, aim, prepared, config, latency)
        check_writable(folder)
    growth = {
        "aim": aim,
        "architecture": origin.architecture.key,
        "weights": None if origin.trained is None else origin.trained.sha256,
        "keep_weights": keep_weights,
    }
    request = _request(task, job, machine.resources, growth=growth)
    run = Run.begin(folder, request, known=(), command=job.command)

    def work(at: Context, watch: Stopwatch) -> tuple[Found, Beside]:
        found = transform(task, origin, aim, config, at, keep_weights=keep_weights)
        return found, beside(found, at)

    return _worked(run, work, prepared, job, machine)


def _request(
    task: Task,
    job: Job,
    resources: Resources,
    *,
    dictionary: Dictionary | None = None,
    growth: dict[str, Any] | None = None,
) -> Request:
    return Request(
        task=task.name,
        fingerprint=task.fingerprint,
        dictionary="" if dictionary is None else str(dictionary.folder.resolve()),
        starter=dictionary is not None and dictionary.knows_starter,
        seed=job.seed,
        reuse=job.reuse,
        time_limit_s=job.time_limit,
        device=choose_device(resources.device),
        threads=resources.threads,
        config=lasting(job.config),  # an older run with the same settings goes on
        growth=growth,
    )


class _Warnings:
    """The different warnings of all sessions of a run."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        self.heard: list[str] = list(checkpoint.load("warnings") or [])

    def __call__(self, event: Event) -> None:
        if isinstance(event, Warned) and event.message not in self.heard:
            self.heard.append(event.message)
            self._checkpoint.save("warnings", self.heard)


class _BestSoFar:
    """The winner of the last round, later the architecture that the search chose: an interrupted run keeps it."""

    def __init__(self) -> None:
        self._last: RoundFinished | None = None
        self._chosen: Chosen | None = None

    def __call__(self, event: Event) -> None:
        if isinstance(event, Chosen):
            self._chosen = event
        elif isinstance(event, RoundFinished) and self._chosen is None:  # later rounds are those of a control
            self._last = event

    def kept(self, path: Path, task: Task) -> tuple[str, ...]:
        """Write the best so far to a file; a sentence about it, or none if no round is done."""
        takers = "which `tanas grow` and `tanas compress` accept"
        share, score = None, None
        if self._chosen is not None:
            architecture, score, where = self._chosen.architecture, self._chosen.score, "as the search chose"
        elif self._last is not None:
            past = self._last.round
            architecture, where = past.candidates[past.winner], f"of round {self._last.number}"
            score = past.scores[past.winner] if past.scores else None
            share = past.stages[-1].weights[past.winner] if past.stages else None
        else:
            return (f"Best so far, from an earlier session: see {path}, {takers}.",) * path.exists()
        write_json(path, architecture)
        cost = cost_by_parts(architecture, task.shape, len(task.classes))
        known = [f"{cost.parameters:,} parameters", f"{cost.macs:,} multiply-adds"]
        if self._last is not None and share is not None:
            known.append(f"a share of {share:.2f} among {len(self._last.round.candidates)} candidates")
        if score is not None:
            known.append(f"l {score:.3f} on validation")
        return (f"Best so far, {where}: {architecture.key} ({', '.join(known)}). Saved in {path}, {takers}.",)


def _worked(
    run: Run,
    work: Callable[[Context, Stopwatch], tuple[Found, Beside]],
    task: Task,
    job: Job,
    machine: Machine,
) -> Run:
    """The finished run; its result is written last. A KeyboardInterrupt carries a sentence about the best so far."""
    folder, request = run.folder, run.record.request
    limit = request.time_limit_s
    with run.locked():
        if run.finished:
            machine.listener(Told(message=f"The run {folder} is finished already; nothing was changed."))
            return run
        used, best = UsedTime(run.checkpoint), _BestSoFar()
        with JsonLinesListener(folder / "events.jsonl") as journal:
            watch, warnings = Stopwatch(run.checkpoint), _Warnings(run.checkpoint)
            timers = () if limit is None else (used,)
            told = broadcast(warnings, machine.listener, journal, best, *timers)
            at = Context(
                seed=Seed(request.seed),
                device=request.device,
                workers=machine.workers,
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
    """The atom with the architectures, rounds and reuse of the atom that it replaces.

    Scores of another fixed short training do not compare, nor do those of a final training: they are dropped.
    """
    if before is None:
        return atom
    same = before.provenance.settings.get("scoring") == atom.provenance.settings.get("scoring")
    new = atom.architectures
    old = {
        seen.architecture: seen if same and not seen.final else replace(seen, score=None, final=False)
        for seen in before.architectures
    }
    scored = any(seen.score is not None and not seen.final for seen in new)
    if not scored and any(seen.score is not None for seen in old.values()):
        new = tuple(replace(seen, score=None, final=False) for seen in new)
    kept = [old.pop(seen.architecture, seen) if seen.score is None else seen for seen in new]
    fresh = {seen.architecture for seen in kept}
    # seconds are left out: a round that was remembered twice counts once
    rounds = {digest(to_plain(replace(past, took_s=0.0))): past for past in (*before.rounds, *atom.rounds)}
    return replace(
        atom,
        architectures=best_first((*kept, *(seen for seen in old.values() if seen.architecture not in fresh))),
        rounds=tuple(rounds.values()),
        reuse=atom.reuse or before.reuse,
    )


def _anywhere(command: str, folder: Path) -> str:
    """The command with RUN in place of the folder: a result does not depend on where it is kept."""
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
    """The atoms that the dictionary held when the run began; StoreError if one is gone."""
    now = {atom.key: atom for atom in dictionary.atoms()}
    if missing := [key for key in run.record.known if key not in now]:
        raise StoreError(
            f"The run {run.folder} began with {len(missing)} remembered tasks that {dictionary.described} no longer "
            "holds, so it can't be resumed. Put them back, or name another folder (out)."
        )
    return tuple(now[key] for key in run.record.known)
