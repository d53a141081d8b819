"""Distances between a dictionary and tasks, from names to values."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from tanas.algorithm.presets import SearchConfig
from tanas.algorithm.related import known_tasks, related_tasks
from tanas.dictionary.advice import Advice, advise
from tanas.dictionary.bench import COSTLY, Bench, Distances, Loaded, Related
from tanas.dictionary.distances import measured
from tanas.dictionary.doubt import AtThreshold, Boundary
from tanas.dictionary.learn import prepare, warn_if_weak
from tanas.dictionary.store import Dictionary
from tanas.dictionary.task_record import Atom, atom_key
from tanas.distances.agreement import rank_agreement, same_nearest
from tanas.distances.base import Measurement
from tanas.distances.matrix import DistanceMatrix
from tanas.distances.methods import METHODS
from tanas.distances.representative import Representative, represent
from tanas.engines.local import LocalEngine
from tanas.engines.resources import Resources
from tanas.ground.context import Context
from tanas.ground.devices import choose_device, processors
from tanas.ground.errors import SettingError, StoreError, check_range
from tanas.ground.events import Listener, Told, tell_repeats
from tanas.ground.records import digest
from tanas.ground.seeds import Seed
from tanas.tasks.library import Library
from tanas.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class Near:
    """The atoms nearest to a task, and how far that can be trusted."""

    task: str
    related: tuple[Related, ...]
    """Nearest first."""
    boundary: Boundary | None
    """Whether the last of them can be told from the next; None: there is no next, or nobody could say."""
    untrained: Measurement | None
    """Of an untrained network; None: the method can't measure that."""
    advice: Advice | None = None
    """The advice to search or to reuse; None: not asked for."""
    at_threshold: tuple[AtThreshold, ...] = ()
    """Whether the last within the threshold and the first beyond can be told from it; none without a threshold."""


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """How far a method agrees with the reference, and what it costs."""

    method: str
    spearman: float | None = None
    """Over all pairs of two different tasks, by `Measurement.order`; None: one of the two ranks nothing."""
    same_nearest: float | None = None
    """Share of the targets for which both name the same nearest atom; None: there was nothing to compare."""
    sees: float | None = None
    """Share of the pairs of two different tasks that are nearer than an untrained network is to the same target: a
    method that sees nothing of what was learnt has a half or less. None: none was measured."""
    pair_s: float | None = None
    """Mean seconds of a pair, in one thread."""
    refused: str = ""
    """Why the method could not measure these tasks; empty if it could."""


@dataclass(frozen=True, kw_only=True)
class MethodComparison:
    """Several methods on the same tasks."""

    reference: str
    """The method that the others are held against."""
    agreements: tuple[Agreement, ...]
    """The reference first."""
    matrices: Mapping[str, DistanceMatrix]
    """Of each method that did not refuse."""


@dataclass(frozen=True, eq=False, kw_only=True)
class _Target:
    """A column of a matrix, opened and represented."""

    name: str
    task: Task
    representative: Representative


def distance_matrix(
    dictionary: Dictionary,
    tasks: Sequence[str],
    library: Library,
    config: SearchConfig,
    *,
    seed: int,
    resources: Resources,
    engine: LocalEngine,
    listener: Listener,
) -> DistanceMatrix:
    """d(atom -> target) for every atom of a dictionary, each measured to its end.

    Args:
        dictionary: its atoms are the rows.
        tasks: names of the targets, the columns: atoms, or other tasks, whose representatives are then
            trained; without any, every atom is a target.
        library: opens the targets' data.
        config: how.
        seed: of every draw.
        resources: the device, and how many pairs are measured at a time.
        engine: measures side by side.
        listener: is told what happens.

    Raises:
        SettingError: the dictionary is empty, or the method can't measure these tasks.
        StoreError: the data of an atom is no longer what it was made from, or its weights are damaged.
    """
    loaded = Loaded(dictionary)
    targets = _targets(dictionary, tasks, library, config, seed, resources, listener, loaded)
    return _matrix(dictionary, targets, config, seed, resources, engine, listener, loaded)


def compare_methods(
    dictionary: Dictionary,
    tasks: Sequence[str],
    library: Library,
    config: SearchConfig,
    *,
    seed: int,
    resources: Resources,
    engine: LocalEngine,
    listener: Listener,
) -> MethodComparison:
    """The matrix of `distance_matrix` by every method, held against the configured one.

    Methods that take minutes a pair are measured only where they are the configured one. A method that can't
    measure these tasks is listed with its reason.

    Args:
        dictionary: as in `distance_matrix`, and so are all others.
        tasks: the targets.
        library: opens them.
        config: how; its method is the reference.
        seed: of every draw.
        resources: of the machine.
        engine: measures side by side.
        listener: is told what happens.
    """
    reference, loaded = config.distance.method, Loaded(dictionary)
    targets = _targets(dictionary, tasks, library, config, seed, resources, listener, loaded)
    matrices: dict[str, DistanceMatrix] = {}
    refused: dict[str, str] = {}
    methods = (reference, *(name for name in METHODS if name != reference and name not in COSTLY))
    for method in methods:
        own = replace(config, distance=replace(config.distance, method=method))
        try:
            matrices[method] = _matrix(dictionary, targets, own, seed, resources, engine, listener, loaded)
        except SettingError as error:
            if method == reference:
                raise
            refused[method] = str(error)
    return compared(reference, matrices, refused)


def compared(
    reference: str, matrices: Mapping[str, DistanceMatrix], refused: Mapping[str, str]
) -> MethodComparison:
    """The agreement of several matrices with one of them.

    Args:
        reference: name of that one.
        matrices: by the name of the method; all of the same sources and targets.
        refused: methods that gave none, and why.
    """
    agreements = [_agreement(name, matrix, matrices[reference]) for name, matrix in matrices.items()]
    return MethodComparison(
        reference=reference,
        agreements=(
            *sorted(agreements, key=lambda a: a.method != reference),
            *(Agreement(method=name, refused=reason) for name, reason in refused.items()),
        ),
        matrices=matrices,
    )


def nearest_atoms(
    dictionary: Dictionary,
    name: str,
    library: Library,
    config: SearchConfig,
    *,
    seed: int,
    resources: Resources,
    engine: LocalEngine,
    listener: Listener,
) -> Near:
    """The atoms nearest to a task; arguments as in `distance_matrix`.

    Those that lie behind are measured only until that is known.

    Raises:
        SettingError: the dictionary knows no other task, or fewer than are asked for, or the method can't
            measure these tasks.
        StoreError: the weights of an atom are damaged.
    """
    check_range(seed, "seed", "nearest", low=0)
    name = _named(dictionary, name, library)
    task, representative = _open(dictionary, name, library, config, listener)
    known = known_tasks(dictionary, task, config)
    if not known.others:
        raise SettingError(
            f"{dictionary.folder} remembers no task other than {name}. "
            f"Add some: tanas dictionary add {shlex.quote(str(dictionary.folder))} TASK"
        )
    _check_weights(Loaded(dictionary), (atom for _, atom in known.others))
    if representative is None:
        device = choose_device(resources.device)
        representative = _represented(dictionary, task, config, seed, device, listener)
    workers = resources.workers or processors()
    at = Context(seed=Seed(seed), executor=engine, listener=listener, workers=workers)
    found = related_tasks(known, dictionary, representative, task.without_test(), config, at)
    return Near(
        task=name,
        related=found.neighbours,
        boundary=found.edge,
        untrained=found.untrained,
        advice=advise([(one.name, one.atom) for one in found.neighbours], [atom for _, atom in known.others]),
        at_threshold=found.ends,
    )


def _agreement(name: str, matrix: DistanceMatrix, reference: DistanceMatrix) -> Agreement:
    seconds = [m.took_s for m in matrix.measurements if not m.same]
    return Agreement(
        method=name,
        spearman=rank_agreement(matrix, reference),
        same_nearest=same_nearest(matrix, reference),
        sees=_sees(matrix),
        pair_s=sum(seconds) / len(seconds) if seconds else None,
    )


def _sees(matrix: DistanceMatrix) -> float | None:
    """`Agreement.sees` of a matrix."""
    blind = {
        target: null.order for target, null in zip(matrix.targets, matrix.null, strict=bool(matrix.null))
    }
    nearer = [m.order < blind[m.target] for m in matrix.measurements if not m.same and m.target in blind]
    return sum(nearer) / len(nearer) if nearer else None


def _targets(
    dictionary: Dictionary,
    tasks: Sequence[str],
    library: Library,
    config: SearchConfig,
    seed: int,
    resources: Resources,
    listener: Listener,
    loaded: Loaded,
) -> tuple[_Target, ...]:
    """The columns of a matrix, each once; what can't be measured is refused before anything is trained.

    Raises:
        SettingError: the dictionary is empty.
        StoreError: the weights of an atom are damaged.
    """
    check_range(seed, "seed", "distance", low=0)
    atoms = dictionary.names()
    if not atoms:
        raise SettingError(
            f"{dictionary.folder} remembers no task to measure from. "
            f"Make some: tanas dictionary build {shlex.quote(str(dictionary.folder))}"
        )
    device = choose_device(resources.device)
    tell_repeats(tasks, "measured", listener)
    names = list(dict.fromkeys(_named(dictionary, name, library) for name in tasks or atoms))
    opened = [
        _open(dictionary, name, library, config, listener) for name in names
    ]  # wrong names are refused first
    _check_weights(loaded, atoms.values())
    return tuple(
        _Target(
            name=name,
            task=task,
            representative=representative or _represented(dictionary, task, config, seed, device, listener),
        )
        for name, (task, representative) in zip(names, opened, strict=True)
    )


def _check_weights(loaded: Loaded, atoms: Iterable[Atom]) -> None:
    """Reads the representatives that distances are measured from.

    Raises:
        StoreError: the weights of one are missing or damaged.
    """
    for atom in atoms:
        loaded.representative(atom)


def _matrix(
    dictionary: Dictionary,
    targets: Sequence[_Target],
    config: SearchConfig,
    seed: int,
    resources: Resources,
    engine: LocalEngine,
    listener: Listener,
    loaded: Loaded,
) -> DistanceMatrix:
    """The matrix by the configured method."""
    atoms = dictionary.names()
    columns: list[Distances] = []
    for target in targets:
        bench = Bench.of(
            loaded,
            target.representative,
            target.task.without_test(),
            config.distance,
            config.pair,
            at=Context(
                seed=Seed(seed).child("distance"),
                executor=engine,
                listener=listener,
                workers=resources.workers or processors(),
            ),
            pace_s=_pace_s(columns),
        )
        columns.append(measured(bench, atoms.items()))
    by_name = [{r.name: r.measurement for r in column.related} for column in columns]
    rows = [column[source] for source in atoms for column in by_name]
    nulls = [column.untrained for column in columns if column.untrained is not None]
    return DistanceMatrix.of(
        tuple(atoms),
        tuple(target.name for target in targets),
        rows,
        nulls if len(nulls) == len(columns) else (),
    )


def _pace_s(columns: Sequence[Distances]) -> float | None:
    """Mean seconds of the pairs that were measured, if there are any."""
    seconds = [r.measurement.took_s for column in columns for r in column.related if not r.measurement.same]
    return sum(seconds) / len(seconds) if seconds else None


def _named(dictionary: Dictionary, name: str, library: Library) -> str:
    """The name of an atom as it is, else the canonical form of a task's name."""
    return name if name in dictionary.names() else library.open(name).name


def _open(
    dictionary: Dictionary, name: str, library: Library, config: SearchConfig, listener: Listener
) -> tuple[Task, Representative | None]:
    """A target's task as it is worked on, its notes told, and its representative if it is an atom."""
    known = dictionary.names()
    if name in known:
        return _data_of(known[name], library), dictionary.representative(known[name])
    task = prepare(library.open(name), performance=config.performance, limit=config.limit)
    for note in task.notes:
        listener(Told(message=f"{task.name}: {note}"))
    own = dictionary.get(atom_key(task.fingerprint, config.representative, config.performance))
    return task, None if own is None else dictionary.representative(own)


def _data_of(atom: Atom, library: Library) -> Task:
    """An atom's task, opened again.

    Raises:
        StoreError: its data is no longer what it was made from.
    """
    task = prepare(library.open(atom.task.name), performance=atom.task.performance, limit=atom.task.limit)
    if task.fingerprint != atom.task.fingerprint:
        raise StoreError(
            f"The data of {atom.task.name} is not what its atom was made from (its hash differs). "
            "Give the same settings (data, split_seed, size), or remove the atom and add it again."
        )
    return task


def _represented(
    dictionary: Dictionary, task: Task, config: SearchConfig, seed: int, device: str, listener: Listener
) -> Representative:
    """A representative for a task that is no atom; the same as a search would train."""
    key = digest(task.fingerprint, config.representative, config.performance, seed)
    representative = represent(
        task.without_test(),
        config.representative,
        at=Context(
            seed=Seed(seed).child("represent"),
            device=device,
            listener=listener,
            checkpoint=dictionary.unfinished(f"represent-{key}"),
        ),
    )
    warn_if_weak(representative, listener, strict=False)
    return representative
