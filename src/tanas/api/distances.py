"""Distances between a dictionary and tasks, from names to values."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from tanas.algorithm.presets import SearchConfig
from tanas.algorithm.related import compares_representatives, known_tasks, related_tasks, warn_if_weak
from tanas.dictionary.advice import Advice, advise
from tanas.dictionary.bench import Bench, Loaded, Related
from tanas.dictionary.distances import measured
from tanas.dictionary.starter import starter_experience
from tanas.dictionary.store import Dictionary
from tanas.dictionary.stored_network import judging
from tanas.dictionary.task_record import Atom, atom_key
from tanas.distances.base import Measurement
from tanas.distances.matrix import DistanceMatrix
from tanas.distances.representative import Representative, represent
from tanas.engines.resources import Machine
from tanas.ground.context import Context
from tanas.ground.errors import SettingError, StoreError, check_range
from tanas.ground.events import tell_repeats
from tanas.ground.records import digest
from tanas.ground.seeds import Seed
from tanas.tasks.library import Library
from tanas.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class Near:
    """The atoms nearest to a task."""

    task: str
    related: tuple[Related, ...]
    """Nearest first."""
    untrained: Measurement | None
    """Of an untrained network; None: the method can't measure it."""
    advice: Advice | None = None
    """The advice to search or to reuse; None: not asked for."""


def distance_matrix(
    dictionary: Dictionary,
    tasks: Sequence[str],
    library: Library,
    config: SearchConfig,
    machine: Machine,
    *,
    seed: int,
) -> DistanceMatrix:
    """d(atom -> target) for every atom of a dictionary, each measured to its end.

    Args:
        dictionary: its atoms are the rows.
        tasks: names of the targets, the columns; empty: every atom. A task that is no atom gets a representative, if
            the method compares them.
        library: opens the targets' data.
        config: the settings.
        machine: where to compute.
        seed: of every draw.

    Raises:
        SettingError: the dictionary is empty, or the method can't measure these tasks.
        StoreError: the data of an atom has changed, or its weights are damaged.
    """
    loaded, at = Loaded(dictionary), _context(machine, seed, "distance")
    return _matrix(loaded, _targets(loaded, tasks, library, config, at), config, at)


def nearest_atoms(
    dictionary: Dictionary, name: str, library: Library, config: SearchConfig, machine: Machine, *, seed: int
) -> Near:
    """The atoms nearest to a task. See `distance_matrix`.

    Raises:
        SettingError: the dictionary knows too few other tasks, or the method can't measure these tasks.
        StoreError: the weights of an atom are damaged.
    """
    at = _context(machine, seed, "nearest")
    name = _named(dictionary, name, library)
    task, representative = _open(dictionary, name, library, config, at)
    known = known_tasks(dictionary, task, config)
    if not known.others:
        raise SettingError(
            f"{dictionary.folder} remembers no task other than {name}. "
            f"Add some: tanas dictionary add {shlex.quote(str(dictionary.folder))} TASK"
        )
    loaded = Loaded(dictionary)
    for _, atom in known.others:
        _check_weights(loaded, atom, config)
    if representative is None and compares_representatives(config):
        representative = _represented(dictionary, task, config, at)
    found = related_tasks(known, dictionary, representative, task.without_test(), config, at)
    atoms = [(near.name, near.atom) for near in found.neighbours]
    return Near(
        task=name,
        related=found.neighbours,
        untrained=found.untrained,
        advice=advise(atoms, [atom for _, atom in known.others], experience=starter_experience(dictionary)),
    )


def _context(machine: Machine, seed: int, asked: str) -> Context:
    check_range(seed, "seed", asked, low=0)
    return Context(
        seed=Seed(seed),
        device=machine.device,
        workers=machine.workers,
        executor=machine.engine,
        listener=machine.listener,
    )


def _targets(
    loaded: Loaded, tasks: Sequence[str], library: Library, config: SearchConfig, at: Context
) -> dict[str, tuple[Task, Representative | None]]:
    """The columns of a matrix by name. All names and weights are checked before anything is trained.

    Raises:
        SettingError: the dictionary is empty.
        StoreError: the weights of an atom are damaged.
    """
    dictionary = loaded.dictionary
    atoms = dictionary.names()
    if not atoms:
        raise SettingError(
            f"{dictionary.folder} remembers no task to measure from. "
            f"Make some: tanas dictionary build {shlex.quote(str(dictionary.folder))}"
        )
    tell_repeats(tasks, "measured", at.listener)
    names = dict.fromkeys(_named(dictionary, name, library) for name in tasks or atoms)
    opened = {name: _open(dictionary, name, library, config, at) for name in names}
    for atom in atoms.values():
        _check_weights(loaded, atom, config)
    if not compares_representatives(config):
        return opened
    return {
        name: (task, own or _represented(dictionary, task, config, at))
        for name, (task, own) in opened.items()
    }


def _check_weights(loaded: Loaded, atom: Atom, config: SearchConfig) -> None:
    """Refuse the damaged weights of an atom, before anything is measured, by a `StoreError`."""
    if compares_representatives(config) or judging(atom.kept) is None:
        loaded.representative(atom)
    else:
        loaded.dictionary.network(atom)


def _matrix(
    loaded: Loaded,
    targets: Mapping[str, tuple[Task, Representative | None]],
    config: SearchConfig,
    at: Context,
) -> DistanceMatrix:
    """The matrix by the configured method."""
    atoms, columns = loaded.dictionary.names(), []
    for task, own in targets.values():
        part = at.drawing("distance")
        bench = Bench.of(loaded, own, task.without_test(), config.distance, config.pair, part)
        columns.append(measured(bench, atoms.items()))
    by_name = [{r.name: r.measurement for r in column.related} for column in columns]
    nulls = [column.untrained for column in columns if column.untrained is not None]
    return DistanceMatrix.of(
        tuple(atoms),
        tuple(targets),
        [column[source] for source in atoms for column in by_name],
        nulls if len(nulls) == len(columns) else (),
    )


def _named(dictionary: Dictionary, name: str, library: Library) -> str:
    """The name of an atom unchanged, else the canonical form of a task's name."""
    return name if name in dictionary.names() else library.open(name).name


def _open(
    dictionary: Dictionary, name: str, library: Library, config: SearchConfig, at: Context
) -> tuple[Task, Representative | None]:
    """A target's prepared task, and its representative if it is an atom. Tells the notes of a new task.

    Raises:
        StoreError: the data of an atom has changed.
    """
    atom = dictionary.names().get(name)
    if atom is not None:
        task = library.open(atom.task.name).measured_by(atom.task.performance).limited(atom.task.limit)
        if task.fingerprint != atom.task.fingerprint:
            raise StoreError(
                f"The data of {atom.task.name} is not what its atom was made from (its hash differs). "
                "Give the same settings (data, split_seed, size), or remove the atom and add it again."
            )
        return task, dictionary.representative(atom)
    task = library.open(name).measured_by(config.performance).limited(config.limit)
    for note in task.notes:
        at.say(f"{task.name}: {note}")
    own = dictionary.get(atom_key(task.fingerprint, config.representative, config.performance))
    return task, None if own is None else dictionary.representative(own)


def _represented(dictionary: Dictionary, task: Task, config: SearchConfig, at: Context) -> Representative:
    """A representative for a task that is no atom; the same as a search would train."""
    key = digest(task.fingerprint, config.representative, config.performance, at.seed.root)
    own = replace(at.drawing("represent"), checkpoint=dictionary.unfinished(f"represent-{key}"))
    representative = represent(task.without_test(), config.representative, at=own)
    warn_if_weak(representative, at.listener, strict=False)
    return representative
