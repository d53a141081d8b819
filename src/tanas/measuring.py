"""Distances between a dictionary and tasks, from names to values."""

from __future__ import annotations

import shlex
from collections.abc import Sequence

from tanas.devices import choose_device
from tanas.dictionary.atom import Atom, atom_key
from tanas.dictionary.learn import prepare, warn_if_weak
from tanas.dictionary.measure import Related, distances_to, nearest
from tanas.dictionary.store import Dictionary
from tanas.distances.matrix import DistanceMatrix
from tanas.distances.representative import Representative, represent
from tanas.distances.transform import TransformDistance
from tanas.engines.local import LocalEngine
from tanas.errors import SettingError, StoreError
from tanas.events import Listener
from tanas.phases import relatives
from tanas.presets import DEFAULT_NEIGHBOURS, SearchConfig
from tanas.records import digest
from tanas.seeds import Seed
from tanas.tasks.library import Library
from tanas.tasks.task import Task
from tanas.workshop import Resources


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
    """d(atom -> target) for every atom of a dictionary.

    Args:
        dictionary: its atoms are the rows.
        tasks: names of the targets, the columns: atoms, or other tasks, whose representatives are then
            trained; without any, every atom is a target.
        library: opens the targets' data.
        config: how.
        seed: of every draw.
        resources: the device.
        engine: measures side by side.
        listener: is told what happens.

    Raises:
        SettingError: the dictionary is empty.
        StoreError: the data of an atom is no longer what it was made from.
    """
    atoms = dictionary.names()
    if not atoms:
        raise SettingError(
            f"{dictionary.folder} holds no atom to measure from. "
            f"Make some: tanas dictionary build {shlex.quote(str(dictionary.folder))}"
        )
    device = choose_device(resources.device)
    targets = list(tasks or atoms)
    opened = [_open(dictionary, name, library, config) for name in targets]  # wrong names are refused first
    columns = []
    for task, representative in opened:
        target = representative or _represented(dictionary, task, config, seed, device, listener)
        related = distances_to(
            dictionary,
            atoms.items(),
            target,
            task.without_test(),
            TransformDistance(config=config.distance),
            config.pair,
            seed=Seed(seed).child("distance"),
            executor=engine,
            listener=listener,
        )
        columns.append({r.name: r.measurement for r in related})
    rows = [column[source] for source in atoms for column in columns]
    return DistanceMatrix.of(tuple(atoms), tuple(targets), rows)


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
) -> tuple[Related, ...]:
    """The atoms nearest to a task, nearest first; arguments as in `distance_matrix`.

    Raises:
        SettingError: the dictionary knows no other task, or fewer than are asked for.
    """
    task, representative = _open(dictionary, name, library, config)
    others, _ = relatives(dictionary, task, config, known=None, reuse=False)
    if not others:
        raise SettingError(
            f"{dictionary.folder} knows no task other than {name}. "
            f"Add some: tanas dictionary add {shlex.quote(str(dictionary.folder))} TASK"
        )
    device = choose_device(resources.device)
    related = distances_to(
        dictionary,
        others,
        representative or _represented(dictionary, task, config, seed, device, listener),
        task.without_test(),
        TransformDistance(config=config.distance),
        config.pair,
        seed=Seed(seed).child("distance"),
        executor=engine,
        listener=listener,
    )
    return nearest(related, config.neighbours or DEFAULT_NEIGHBOURS, within=config.threshold)


def _open(
    dictionary: Dictionary, name: str, library: Library, config: SearchConfig
) -> tuple[Task, Representative | None]:
    """A target's task as it is worked on, and its representative if it is an atom."""
    known = dictionary.names()
    if name in known:
        return _data_of(known[name], library), dictionary.representative(known[name])
    task = prepare(library.open(name), performance=config.performance, limit=config.limit)
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
            "Give the same --data, --split-seed and --size, or remove the atom and add it again."
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
        seed=Seed(seed).child("represent"),
        device=device,
        listener=listener,
        checkpoint=dictionary.unfinished(f"represent-{key}"),
    )
    warn_if_weak(representative, listener, strict=False)
    return representative
