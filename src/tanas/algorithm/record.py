"""Puts the record of a search together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tanas.algorithm.final import Ending
from tanas.algorithm.ledger import ledger_of
from tanas.algorithm.result import (
    RESULT_SCHEMA,
    Control,
    Costs,
    FinalTraining,
    Metrics,
    Neighbour,
    Reference,
    RepresentativeRecord,
    Result,
    SpaceRecord,
    TaskRecord,
)
from tanas.algorithm.rival import Beside, Controlled
from tanas.algorithm.search import Found
from tanas.algorithm.space import timed
from tanas.dictionary.bench import Related
from tanas.distances.representative import Representative
from tanas.ground.checkpoints import Stopwatch
from tanas.ground.records import to_plain
from tanas.networks.architecture import cost_of
from tanas.networks.layers import layer_table
from tanas.tasks.performance import Evaluation
from tanas.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """The facts of a record that are not results: time, warnings, machine and command."""

    watch: Stopwatch
    """Seconds of the phases."""
    warnings: tuple[str, ...]
    environment: dict[str, Any]
    """Versions, processor, threads."""
    command: str
    """The command that repeats the run."""


def result_of(found: Found, beside: Beside, around: Circumstances, *, seed: int) -> Result:
    """Return the record of a search, as RUN/result.json holds it.

    Args:
        found: the result of the search.
        beside: its comparisons.
        around: time, warnings, machine and command.
        seed: seed of every random draw.
    """
    task, related, ending, inherited = found.task, found.related, found.trained.ending, found.space
    outcome, config, test, watch = found.outcome, found.config, found.trained.examined, around.watch
    cost = cost_of(outcome.best, task.shape, len(task.classes))
    control = beside.control
    return Result(
        schema=RESULT_SCHEMA,
        task=_task(found),
        architecture=outcome.best,
        parameters=cost.parameters,
        macs=cost.macs,
        layers=layer_table(ending.taken.network, task.shape),
        metrics=_metrics(task, ending.taken.validation, test.evaluation),
        confusion=test.evaluation.confusion,
        mistakes=test.mistakes,
        representative=None if related.representative is None else _representative(related.representative),
        neighbours=tuple(_neighbour(one) for one in related.neighbours if one.name in inherited.givers),
        distances=tuple(_neighbour(one) for one in related.measured),
        space=_space(found),
        strategy=config.strategy,
        rounds=outcome.rounds,
        seen=outcome.seen,
        stopped=outcome.stopped,
        training=_training(ending, len(found.searched.train)),
        training_losses=ending.taken.fitted.losses,
        rivals=beside.rivals,
        reference=_reference(task, ending),
        costs=_costs(watch),
        dictionary=tuple(sorted((name, atom.task.fingerprint) for name, atom in related.known.every)),
        warnings=around.warnings,
        seed=seed,
        config=to_plain(config),
        environment=around.environment,
        command=around.command,
        latency_s=found.latency(outcome.best, task.shape, len(task.classes)) / 1000,
        advice="" if found.advice is None else str(found.advice),
        beginning=found.winner.beginning,
        control=None if control is None else _control(task, control, watch),
        ledger=ledger_of(found, watch),
        grown=found.grown,
    )


def _task(found: Found) -> TaskRecord:
    searched = found.searched
    return TaskRecord(
        name=searched.name,
        classes=searched.classes,
        shape=searched.shape,
        performance=searched.performance,
        train=len(searched.train),
        validation=len(searched.validation),
        test=len(found.sealed),
        available=len(found.task.train),
        fingerprint=searched.fingerprint,
        test_fingerprint=found.sealed.fingerprint,
        split_seed=searched.split_seed,
        notes=searched.notes,
    )


def _space(found: Found) -> SpaceRecord:
    inherited, space, config = found.space, found.space.space, found.config
    return SpaceRecord(
        base=config.space,
        inherit=inherited.mode,
        related=config.related,
        operations=space.operations,
        nodes=space.nodes,
        skeletons=len(space.skeletons),
        size=space.size if inherited.size is None else inherited.size,
        max_parameters=space.max_parameters,
        max_macs=space.max_macs,
        note=" ".join(filter(None, (inherited.note, timed(config, found.latency)))),
        inputs=space.inputs,
        max_latency_ms=config.max_latency_ms,
        over_limits=inherited.over_limits,
    )


def _control(task: Task, beside: Controlled, watch: Stopwatch) -> Control:
    best, test = beside.outcome.best, beside.test.evaluation
    cost = cost_of(best, task.shape, len(task.classes))
    return Control(
        architecture=best,
        parameters=cost.parameters,
        macs=cost.macs,
        candidates=len(beside.outcome.seen),
        spent=beside.outcome.ledger.macs,
        test_error=test.error,
        test_balanced_error=test.balanced_error,
        validation_performance=beside.ending.found.validation.performance(task.performance),
        took_s=watch.seconds("control"),
    )


def _training(ending: Ending, searched: int) -> FinalTraining:
    recipe, taken = ending.recipe, ending.taken
    return FinalTraining(
        recipe=recipe.name,
        tried=recipe.tried,
        judged_on=recipe.judged_on,
        epochs=len(taken.fitted.losses),
        search_images=searched,
        train_images=taken.fitted.images,
        validation_images=sum(map(sum, taken.validation.confusion)),
        refit_images=0 if taken.refitted is None else taken.refitted.images,
    )


def _reference(task: Task, ending: Ending) -> Reference | None:
    if (reference := ending.reference) is None:
        return None
    cost = cost_of(reference.architecture, task.shape, len(task.classes))
    return Reference(
        architecture=reference.architecture,
        parameters=cost.parameters,
        macs=cost.macs,
        found=ending.found.architecture.key,
        validation_performance=reference.validation.performance(task.performance),
        found_validation_performance=ending.found.validation.performance(task.performance),
        replaces=ending.replaces,
        taken=ending.reference_taken,
    )


def _metrics(task: Task, validation: Evaluation, test: Evaluation) -> Metrics:
    present = sum(sum(row) > 0 for row in test.confusion)
    return Metrics(
        test_error=test.error,
        test_balanced_error=test.balanced_error,
        test_performance=test.performance(task.performance),
        validation_error=validation.error,
        validation_balanced_error=validation.balanced_error,
        validation_performance=validation.performance(task.performance),
        constant_error=test.constant_error,
        constant_balanced_error=1
        - 1 / present,  # a constant answer is right in one of the classes that occur
    )


def _neighbour(related: Related) -> Neighbour:
    return Neighbour(
        atom=related.name,
        distance=related.measurement.value,
        shortfall=related.measurement.shortfall,
        weak=related.atom.representative.weak,
        fingerprint=related.atom.task.fingerprint,
        interval=related.measurement.interval,
        at_least=related.measurement.at_least,
    )


def _representative(representative: Representative) -> RepresentativeRecord:
    return RepresentativeRecord(
        performance=representative.performance,
        epsilon=representative.epsilon,
        weak=representative.weak,
        parameters=representative.parameters,
    )


def _costs(watch: Stopwatch) -> Costs:
    phases = {
        f"{name}_s": watch.seconds(name) for name in ("represent", "distance", "search", "train", "rivals")
    }
    return Costs(**phases, total_s=sum(phases.values()) + watch.seconds("control"))
