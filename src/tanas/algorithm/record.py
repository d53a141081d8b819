"""The record of a search: its result, and the cost of each phase and of the memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from tanas.algorithm.final import Ending, Examined
from tanas.algorithm.learn import represent_macs
from tanas.algorithm.presets import SearchConfig
from tanas.algorithm.related import RelatedTasks, compares_representatives
from tanas.algorithm.result import (
    RESULT_SCHEMA,
    Control,
    Costs,
    DictionaryCost,
    FinalTraining,
    LedgerRecord,
    Metrics,
    Neighbour,
    PhaseCost,
    Reference,
    RepresentativeRecord,
    Result,
    SpaceRecord,
    TaskRecord,
)
from tanas.algorithm.rival import Beside, Controlled
from tanas.algorithm.search import Found
from tanas.algorithm.space import timed
from tanas.algorithm.warm_start import beginning_of
from tanas.dictionary.bench import Related
from tanas.dictionary.stored_network import judging
from tanas.dictionary.task_record import Atom
from tanas.distances.misfit import judged_images
from tanas.distances.representative import Representative, macs_of
from tanas.ground.checkpoints import Stopwatch
from tanas.ground.records import to_plain
from tanas.networks.architecture import cost_of
from tanas.networks.layers import layer_table
from tanas.spaces.named import with_stem_for
from tanas.strategies.base import training_macs
from tanas.tasks.performance import Evaluation
from tanas.tasks.task import Task

OWN = "the task's representative"
"""Name of the network of the task itself in a ledger."""


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """The facts of a record that are not results."""

    watch: Stopwatch
    """Seconds of the phases."""
    warnings: tuple[str, ...]
    environment: dict[str, Any]
    """Versions, processor, threads."""
    command: str
    """The command that repeats the run."""


def result_of(found: Found, beside: Beside, around: Circumstances, *, seed: int) -> Result:
    """Return the record of a search, as RUN/result.json holds it."""
    target, related, ending = found.target, found.related, found.trained.ending
    task, config, outcome = target.task, target.config, found.outcome
    test, watch, own = found.trained.examined, around.watch, related.representative
    cost = cost_of(outcome.best, task.shape, len(task.classes))
    reused = [near for near in related.neighbours if near.name in found.space.sources]
    neighbour = partial(_neighbour, compared=compares_representatives(config))
    return Result(
        schema=RESULT_SCHEMA,
        task=_task(found),
        architecture=outcome.best,
        parameters=cost.parameters,
        macs=cost.macs,
        layers=layer_table(ending.taken.network, task.shape),
        metrics=_metrics(task, ending.taken.validation, test),
        confusion=test.evaluation.confusion,
        mistakes=test.mistakes,
        representative=None if own is None else _representative(own),
        neighbours=tuple(map(neighbour, reused)),
        distances=tuple(map(neighbour, related.measured)),
        space=_space(found),
        strategy=config.strategy,
        rounds=outcome.rounds,
        seen=outcome.seen,
        stopped=outcome.stopped,
        training=_training(ending, len(target.searched.train)),
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
        latency_s=target.latency(outcome.best, task.shape, len(task.classes)) / 1000,
        advice="" if found.advice is None else str(found.advice),
        beginning=beginning_of(found.donors, found.trained.ending.recipe, target.config),
        control=None if beside.control is None else _control(task, beside.control, watch),
        ledger=ledger_of(found, watch),
        grown=found.grown,
    )


def _task(found: Found) -> TaskRecord:
    searched, sealed = found.target.searched, found.target.sealed
    return TaskRecord(
        name=searched.name,
        classes=searched.classes,
        shape=searched.shape,
        performance=searched.performance,
        train=len(searched.train),
        validation=len(searched.validation),
        test=len(sealed),
        available=len(found.target.task.train),
        fingerprint=searched.fingerprint,
        test_fingerprint=sealed.fingerprint,
        split_seed=searched.split_seed,
        notes=searched.notes,
        framing=searched.framing,
    )


def _space(found: Found) -> SpaceRecord:
    inherited, space, config = found.space, found.space.space, found.target.config
    notes = (inherited.note, timed(config, found.target.latency))
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
        note=" ".join(filter(None, notes)),
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
        settings=ending.settings,
        epochs=len(taken.fitted.losses),
        search_images=searched,
        train_images=taken.fitted.images,
        validation_images=sum(map(sum, taken.validation.confusion)),
        refit_images=0 if taken.refitted is None else taken.refitted.images,
        temperature=taken.temperature,
        outlook=ending.outlook,
    )


def _reference(task: Task, ending: Ending) -> Reference | None:
    reference = ending.found if ending.alike else ending.reference
    if reference is None:
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
        taken=ending.reference_taken or ending.alike,
    )


def _metrics(task: Task, validation: Evaluation, examined: Examined) -> Metrics:
    test = examined.evaluation
    present = sum(sum(row) > 0 for row in test.confusion)
    return Metrics(
        test_error=test.error,
        test_balanced_error=test.balanced_error,
        test_performance=test.performance(task.performance),
        validation_error=validation.error,
        validation_balanced_error=validation.balanced_error,
        validation_performance=validation.performance(task.performance),
        constant_error=test.constant_error,
        constant_balanced_error=1 - 1 / present,  # right in one of the classes that occur
        test_calibration_error=examined.calibration_error,
    )


def _neighbour(related: Related, *, compared: bool) -> Neighbour:
    """A known task; `compared` by its representative."""
    return Neighbour(
        atom=related.name,
        distance=related.measurement.value,
        shortfall=related.measurement.shortfall,
        weak=compared and related.atom.representative.weak,
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


def ledger_of(found: Found, watch: Stopwatch) -> LedgerRecord:
    """Return the cost of each phase of a search, from its stopwatch, and the cost of the memory that it began with."""
    task, related, spent = found.target.searched, found.related, found.winner.outcome.ledger
    took_s, macs, images, cached_s = watch.seconds("search"), spent.macs, spent.images, 0.0
    if found.reused and related.known.own is not None:
        made = related.known.own[1].provenance
        took_s, macs, images, cached_s = made.search_s, made.search_macs or 0, (), made.search_s
    phases = (
        _represent(task, related.representative, watch),
        _distance(task, related, found.target.config, watch),
        PhaseCost(phase="search", took_s=took_s, macs=macs, images=images, cached_s=cached_s),
        _train(task, found.trained.ending, watch),
        PhaseCost(phase="rivals", took_s=watch.seconds("rivals"), macs=0, images=()),
    )
    return LedgerRecord(phases=phases, dictionary=_dictionary(related.known.every, phases))


def _train(task: Task, ending: Ending, watch: Stopwatch) -> PhaseCost:
    """The cost of all final trainings: searched and reference network, every recipe, refits."""
    images: list[tuple[str, int]] = []
    total = 0
    for trained in filter(None, (ending.found, ending.reference)):
        key = trained.architecture.key
        seen = sum(fit.seen for fit in (trained.fitted, trained.refitted) if fit is not None)
        if ending.recipe.judged_on == key:
            seen += ending.recipe.spent
        images.append((key, seen))
        total += training_macs(cost_of(trained.architecture, task.shape, len(task.classes)).macs, seen)
    return PhaseCost(phase="train", took_s=watch.seconds("train"), macs=total, images=tuple(images))


def _represent(task: Task, representative: Representative | None, watch: Stopwatch) -> PhaseCost:
    seen = 0 if representative is None else representative.epochs * len(task.train)
    return PhaseCost(
        phase="represent",
        took_s=watch.seconds("represent"),
        macs=0 if representative is None else represent_macs(representative, task),
        images=((OWN, seen),) if seen else (),
    )


def _distance(task: Task, related: RelatedTasks, config: SearchConfig, watch: Stopwatch) -> PhaseCost:
    """The networks' answers to the images of the pairs, once each, and the trainings of the maps."""
    if compares_representatives(config):
        pair = config.pair
        sizes = ((pair.fit_images, len(task.train)), (pair.gate_images, len(task.validation)))
        asked = sum(have if most is None else min(most, have) for most, have in sizes)
        networks = [(known.name, macs_of(known.atom.representative), asked) for known in related.measured]
        if networks and related.representative is not None:
            networks = [(OWN, macs_of(related.representative), asked), *networks]
    else:
        networks = [(known.name, *_judged(known.atom, task)) for known in related.measured]
    maps = sum(known.measurement.map_macs for known in related.measured)
    return PhaseCost(
        phase="distance",
        took_s=watch.seconds("distance") + related.reused_s,
        macs=sum(macs * seen for _, macs, seen in networks) + maps,
        images=tuple((name, seen) for name, _, seen in networks),
        cached_s=related.reused_s,
    )


def _judged(atom: Atom, task: Task) -> tuple[int, int]:
    """Multiply-adds of an answer of an atom's network, and the images on which its misfit is judged."""
    if (kept := judging(atom.kept)) is None:
        macs = macs_of(atom.representative)
    else:
        suited = with_stem_for(kept.architecture, task.shape)
        macs = cost_of(suited, task.shape, len(task.classes)).macs
    return macs, len(judged_images(task.train, macs))


def _dictionary(known: Sequence[tuple[str, Atom]], phases: Sequence[PhaseCost]) -> DictionaryCost:
    made = [atom.provenance for _, atom in known]
    macs: int | None = 0
    for atom in made:
        if macs is None or atom.represent_macs is None or atom.search_macs is None:
            macs = None
        else:
            macs += atom.represent_macs + atom.search_macs
    spent = sum(phase.macs for phase in phases if phase.phase not in ("train", "rivals"))
    return DictionaryCost(
        atoms=len(made),
        took_s=sum(atom.represent_s + atom.search_s for atom in made),
        macs=macs,
        searches=None if macs is None or not spent else macs / spent,
    )
