"""Puts the record of a search together."""

from __future__ import annotations

from collections.abc import Sequence

from tanas.algorithm.final import Ending, Tested
from tanas.algorithm.ledger import ledger_of
from tanas.algorithm.phases import REUSED, Workplace, timed
from tanas.algorithm.presets import SearchConfig
from tanas.algorithm.result import (
    RESULT_SCHEMA,
    Beginning,
    Control,
    Costs,
    FinalTraining,
    Metrics,
    Neighbour,
    Reference,
    RepresentativeRecord,
    Result,
    Rival,
    SpaceRecord,
    TaskRecord,
)
from tanas.algorithm.rival import Controlled
from tanas.dictionary.advice import Advice
from tanas.dictionary.distances import Related
from tanas.dictionary.task_record import Atom
from tanas.distances.representative import Representative
from tanas.ground.checkpoints import Stopwatch
from tanas.ground.records import to_plain
from tanas.ground.seeds import Seed
from tanas.networks.architecture import cost_of
from tanas.networks.layers import layer_table
from tanas.spaces.inherit import Inherited
from tanas.strategies.base import Outcome
from tanas.tasks.performance import Evaluation
from tanas.tasks.task import Task


def summarise(
    task: Task,
    available: int,
    related: Sequence[Related],
    neighbours: Sequence[Related],
    inherited: Inherited,
    representative: Representative | None,
    outcome: Outcome,
    ending: Ending,
    test: Tested,
    rivals: tuple[Rival, ...],
    config: SearchConfig,
    seed: Seed,
    watch: Stopwatch,
    place: Workplace,
    *,
    known: Sequence[tuple[str, Atom]],
    reused: Atom | None = None,
    advice: Advice | None = None,
    beside: Controlled | None = None,
    beginning: Beginning | None = None,
) -> Result:
    """The record of a search from the values of its phases."""
    cost = cost_of(outcome.best, task.shape, len(task.classes))
    return Result(
        schema=RESULT_SCHEMA,
        task=TaskRecord(
            name=task.name,
            classes=task.classes,
            shape=task.shape,
            performance=task.performance,
            train=len(task.train),
            validation=len(task.validation),
            test=len(task.test),
            available=available,
            fingerprint=task.fingerprint,
            test_fingerprint=task.test_fingerprint,
            split_seed=task.split_seed,
            notes=task.notes,
        ),
        architecture=outcome.best,
        parameters=cost.parameters,
        macs=cost.macs,
        layers=layer_table(ending.taken.network, task.shape),
        metrics=_metrics(task, ending.taken.validation, test.evaluation),
        confusion=test.evaluation.confusion,
        mistakes=test.mistakes,
        representative=None if representative is None else _representative(representative),
        neighbours=tuple(_neighbour(r) for r in neighbours if r.name in inherited.givers),
        distances=tuple(_neighbour(r) for r in related),
        space=SpaceRecord(
            base=config.space,
            inherit=inherited.mode,
            operations=inherited.space.operations,
            nodes=inherited.space.nodes,
            skeletons=len(inherited.space.skeletons),
            size=inherited.space.size,
            max_parameters=inherited.space.max_parameters,
            max_macs=inherited.space.max_macs,
            note=" ".join(filter(None, (inherited.note, timed(config.max_latency_ms, place)))),
            inputs=inherited.space.inputs,
            max_latency_ms=config.max_latency_ms,
            over_limits=inherited.over_limits,
        ),
        strategy=config.strategy,
        rounds=outcome.rounds,
        seen=outcome.seen,
        stopped=outcome.stopped,
        training=_training(ending, len(task.train)),
        training_losses=ending.taken.fitted.losses,
        rivals=rivals,
        reference=_reference(task, ending),
        costs=_costs(watch),
        dictionary=tuple(sorted((name, atom.task.fingerprint) for name, atom in known)),
        warnings=tuple(place.warnings),
        seed=seed.root,
        config=to_plain(config),
        environment=place.environment,
        command=place.command,
        latency_s=place.latency(outcome.best, task.shape, len(task.classes)) / 1000,
        advice="" if advice is None else str(advice),
        beginning=beginning,
        control=None if beside is None else _control(task, beside, watch),
        ledger=ledger_of(
            task,
            related,
            representative,
            outcome,
            ending,
            config,
            watch,
            known=known,
            reused=reused,
            reused_s=float(place.checkpoint.load(REUSED) or 0.0),
        ),
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
