"""What searches found beside networks made by hand, on every target of the searches side by side.

`tanas_experiments.table1` holds them together on the paper's task alone. Here a target counts once, as in
`tanas_experiments.searches`: the found networks are those of its first arm, from the same seeds. Every network has the
same images and splits, the same recipe, and a learning rate of its own, chosen on validation among the same few.

Two comparisons stood before any training: with a narrow residual network of the found one's own size (He et al., 2016,
section 4.2), and with ResNet-18. Both are of the test error, by the two-sided test of `paired.over_targets`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tanas.algorithm.result import Result
from tanas.engines.local import LocalEngine
from tanas.ground.checkpoints import Checkpoint
from tanas.ground.errors import SettingError
from tanas.ground.events import Listener, StepAdvanced, StepFinished, StepStarted
from tanas.ground.records import SCHEMA, to_plain
from tanas.ground.versions import processor, versions
from tanas.runs.folder import RESULT_FILE, Run, slug
from tanas.tasks.library import Library
from tanas_experiments.handmade import (
    Before,
    RateConfig,
    Subject,
    TrainedConfig,
    TrainedNetwork,
    subject_cost,
    trained_job,
)
from tanas_experiments.searches import AWARE, Named, SearchesConfig, SearchRow, laptop_scale, opened, typed
from tanas_experiments.zoo import RESIDUAL

KIND = "networks made by hand"
RESNET = "resnet18"
METHODS = (AWARE.name, RESIDUAL, RESNET)
"""The found network, and those that it is held against."""


@dataclass(frozen=True, kw_only=True)
class ByHandConfig:
    """What is trained."""

    searches: SearchesConfig = field(default_factory=laptop_scale)
    """Of the searches that found the networks."""
    rates: RateConfig = field(default_factory=RateConfig)

    @property
    def trained(self) -> TrainedConfig:
        """What every network shares."""
        search = self.searches.search
        return TrainedConfig(
            performance=search.performance, limit=search.limit, training=search.training, rates=self.rates
        )


@dataclass(frozen=True, kw_only=True)
class ByHandRow:
    """A network with one seed on one target."""

    target: str
    seed: int
    method: str
    """One of `METHODS`."""
    trained: TrainedNetwork
    search_macs: int
    """Multiply-adds of representing, measuring and searching, forward and backward; 0: it was made by hand."""

    @property
    def macs(self) -> int:
        """Multiply-adds of all of it."""
        return self.search_macs + self.trained.rate_macs + self.trained.train_macs


@dataclass(frozen=True, kw_only=True)
class ByHandRecord:
    """Every network that is trained."""

    kind: str
    schema: int
    command: str
    """Remakes this record."""
    n: int
    """Number of networks."""
    seeds: tuple[int, ...]
    hardware: dict[str, Any]
    versions: dict[str, str]
    settings: dict[str, Any]
    targets: tuple[str, ...]
    rows: tuple[ByHandRow, ...]


def recorded(rows: Sequence[ByHandRow], config: ByHandConfig, command: str) -> ByHandRecord:
    """The record of so many networks."""
    return ByHandRecord(
        kind=KIND,
        schema=SCHEMA,
        command=command,
        n=len(rows),
        seeds=tuple(sorted({row.seed for row in rows})),
        hardware={"processor": processor(), "cores": os.cpu_count()},
        versions=versions(),
        settings=settings_of(config),
        targets=tuple(one.label for one in config.searches.targets),
        rows=_in_order(rows),
    )


def _in_order(rows: Iterable[ByHandRow]) -> tuple[ByHandRow, ...]:
    """Whichever training ended first."""
    return tuple(sorted(rows, key=lambda row: (row.target, row.seed, METHODS.index(row.method))))


def settings_of(config: ByHandConfig) -> dict[str, Any]:
    """The settings that decide the numbers."""
    return {
        "targets": {one.label: one.name for one in config.searches.targets},
        "trained": to_plain(config.trained),
    }


def found_in(folders: Sequence[Path], row: SearchRow) -> Result:
    """The result of a search that stands in a record.

    Args:
        folders: of `tanas reproduce search`; one search each is looked for in all of them.
        row: of the record.

    Raises:
        SettingError: none of them holds it.
    """
    for folder in folders:
        run = folder / "runs" / slug(row.target) / f"seed-{row.seed}" / slug(row.arm)
        if (run / RESULT_FILE).exists():
            result = Run.open(run).result()
            same = result.metrics.validation_performance == row.validation_performance
            if same and result.architecture.key == row.architecture:
                return result
    raise SettingError(
        f"No folder of --searches holds the search for '{row.target}' by {row.arm} with seed {row.seed} that the "
        f"record tells of. Name the folders of `tanas reproduce search` that made it; "
        f"got {', '.join(map(str, folders)) or 'none'}."
    )


@dataclass(frozen=True, kw_only=True)
class _Job:
    target: Named
    seed: int
    method: str
    subject: Subject
    before: Before | None
    search_macs: int


def jobs_of(
    found: Mapping[tuple[str, int], tuple[SearchRow, Result]], config: ByHandConfig
) -> tuple[_Job, ...]:
    """Every network that is trained, seed by seed, so that what there is after any time is balanced.

    Args:
        found: the search of every target's label and seed.
        config: what is trained.
    """
    jobs = []
    rate = config.searches.search.training.learning_rate
    for seed in sorted({seed for _, seed in found}):
        for target in config.searches.targets:
            if (target.label, seed) not in found:
                continue
            row, result = found[target.label, seed]
            metrics = result.metrics
            before = Before(
                learning_rate=rate,
                validation_error=metrics.validation_error,
                validation_balanced_error=metrics.validation_balanced_error,
                test_error=metrics.test_error,
                test_balanced_error=metrics.test_balanced_error,
                took_s=result.costs.train_s,
            )
            subjects: tuple[tuple[str, Subject], ...] = (
                (AWARE.name, result.architecture),
                (RESIDUAL, f"{RESIDUAL}@{row.parameters}"),
                (RESNET, RESNET),
            )
            jobs += [
                _Job(
                    target=target,
                    seed=seed,
                    method=method,
                    subject=subject,
                    before=before if method == AWARE.name else None,
                    search_macs=row.spent_before_training if method == AWARE.name else 0,
                )
                for method, subject in subjects
            ]
    return tuple(jobs)


def by_hand(
    found: Mapping[tuple[str, int], tuple[SearchRow, Result]],
    config: ByHandConfig,
    library: Library,
    work: Path,
    *,
    there: Sequence[ByHandRow] = (),
    engine: LocalEngine,
    listener: Listener,
    checkpoint: Checkpoint,
    done: Callable[[tuple[ByHandRow, ...]], None],
) -> tuple[ByHandRow, ...]:
    """Trains every network that is not there and tests each once.

    Args:
        found: the search of every target's label and seed.
        config: what is trained.
        library: opens the tasks.
        work: where sets of permuted pixels are made.
        there: networks that are trained already.
        engine: runs trainings side by side.
        listener: is told what happens.
        checkpoint: keeps the state of trainings that are not done.
        done: is given all rows after each network.

    Raises:
        SearchError: a network diverged with every learning rate.
        DataError: the data of a task is not there.
    """
    rows = {(row.target, row.seed, row.method): row for row in there}
    jobs = jobs_of(found, config)
    todo = [job for job in jobs if (job.target.label, job.seed, job.method) not in rows]
    tasks = {target.label: opened(target, library, work) for target in config.searches.targets}

    def cost(job: _Job) -> int:
        task = tasks[job.target.label]
        return subject_cost(job.subject, task.shape, len(task.classes)).macs

    step = "train every network"
    listener(StepStarted(step=step, total=len(jobs), unit="networks"))
    futures = {}
    for job in sorted(todo, key=lambda job: (job.seed, -cost(job))):  # the dearest of a seed first
        part = checkpoint.child(slug(job.target.label)).child(slug(job.method)).child(f"seed-{job.seed}")
        future = engine.submit_heard(
            listener,
            trained_job,
            typed(job.target, library, work),
            library.reading,
            job.subject,
            config.trained,
            job.seed,
            job.before,
            "cpu",
            part,
        )
        futures[future] = job, part
    for future in as_completed(futures):
        job, part = futures[future]
        row = ByHandRow(
            target=job.target.label,
            seed=job.seed,
            method=job.method,
            trained=future.result(),
            search_macs=job.search_macs,
        )
        rows[row.target, row.seed, row.method] = row
        done(_in_order(rows.values()))
        part.clear()
        note = f"{row.target}, {row.method}, seed {row.seed}: error {row.trained.test_error:.4f}"
        listener(StepAdvanced(step=step, done=len(jobs) - len(todo) + len(rows) - len(there), note=note))
    listener(StepFinished(step=step))
    return _in_order(rows.values())
