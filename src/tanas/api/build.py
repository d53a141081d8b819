"""Makes dictionaries: atoms learnt side by side, each resumable."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tanas.algorithm.learn import Pace, expected_seconds, learn_atom, measure_pace
from tanas.algorithm.space import check_space
from tanas.dictionary.learn import LearnConfig, prepare
from tanas.dictionary.store import Dictionary
from tanas.dictionary.task_record import Atom, atom_key
from tanas.engines.local import LocalEngine
from tanas.engines.resources import Resources
from tanas.ground.context import Context
from tanas.ground.devices import choose_device, processors
from tanas.ground.errors import DataError, SettingError, TaskError, check_range
from tanas.ground.events import Listener, StepAdvanced, StepFinished, StepStarted, Told, tell_repeats
from tanas.ground.executor import map_in_order
from tanas.ground.records import digest
from tanas.ground.seeds import Seed
from tanas.spaces.named import SHIPPED_SPACES, SPACES
from tanas.tasks.library import Library
from tanas.tasks.source import Reading
from tanas.tasks.task import Task

DIGITS_STARTER = (*(f"digits:is={digit}" for digit in range(5)), "digits:groups=0+2+4+6+8/1+3+5+7+9")
PAPER_STARTER = (
    *(f"mnist:is={digit}" for digit in range(5)),
    *(f"fashion-mnist:is={name}" for name in ("t-shirt-top", "trouser", "pullover", "dress", "coat")),
)
"""The paper's ten base tasks (section 4 and the authors' code)."""


def starter(library: Library) -> tuple[str, ...]:
    """The tasks of a first dictionary: digits, and the paper's ten where the data root holds them."""
    here = replace(library.reading, download=False)
    try:
        for name in ("mnist", "fashion-mnist"):
            Library.of(here).open(name)
    except DataError:
        return DIGITS_STARTER
    return (*DIGITS_STARTER, *PAPER_STARTER)


def check_learnable(tasks: Sequence[Task], config: LearnConfig, resources: Resources, *, seed: int) -> None:
    """Refuses what can't go well before anything is made.

    Raises:
        SettingError: the seed is below 0, the device is not there, or the space's limits admit no architecture for
            a task.
        TaskError: the cap on a task's images leaves some of its classes none.
        UnknownNameError: the space is unknown.
    """
    check_range(seed, "seed", "build_dictionary", low=0)
    device = choose_device(resources.device)
    for task in tasks:
        prepared = prepare(task, performance=config.performance, limit=config.limit)
        check_space(prepared, config, device=device)


def _check_shared(space: str, engine: object) -> None:
    """Refuses a space that workers can't know, as their processes never import a program's modules."""
    if isinstance(engine, LocalEngine) and space in SPACES and space not in SHIPPED_SPACES:
        raise SettingError(
            f"The space '{space}' was registered by this program, and the workers that learn the tasks of a dictionary "
            "don't know it. Search for the tasks one by one with `remember=True`: the dictionary learns each."
        )


def build_dictionary(
    dictionary: Dictionary,
    tasks: Sequence[Task],
    library: Library,
    config: LearnConfig,
    *,
    seed: int,
    resources: Resources,
    engine: LocalEngine,
    listener: Listener,
) -> tuple[Atom, ...]:
    """Makes or completes a dictionary: an atom a task; tasks that are there already are left as they are.

    Args:
        dictionary: to complete.
        tasks: that `library` opened.
        library: says how workers open the tasks again.
        config: how atoms are made.
        seed: of every draw; an atom's draws are children of it by the task's data.
        resources: the device.
        engine: learns atoms side by side.
        listener: is told what happens.

    Returns:
        the atoms of the tasks, in their order.

    Raises:
        TanasError: an atom failed, or is weak where that is refused; or the space is one of this program's own.
    """
    check_range(seed, "seed", "build_dictionary", low=0)
    _check_shared(config.space, engine)
    device = choose_device(resources.device)
    tell_repeats((task.name for task in tasks), "learnt", listener)
    keys = {}
    for task in {task.name: task for task in tasks}.values():
        for note in task.notes:
            listener(Told(message=f"{task.name}: {note}"))
        prepared = prepare(task, performance=config.performance, limit=config.limit)
        keys[task.name] = atom_key(prepared.fingerprint, config.representative, config.performance)
        if len(prepared.train) < len(task.train):
            listener(
                Told(
                    message=f"{task.name} has {len(task.train)} training images; {len(prepared.train)} are used. "
                    "Raise the limit to use more of them."
                )
            )
    there = {atom.key: name for name, atom in dictionary.names().items()}
    if left := dict.fromkeys(there[keys[task.name]] for task in tasks if keys[task.name] in there):
        listener(Told(message=f"Already remembered and left unchanged: {', '.join(left)}."))
    todo: dict[str, Task] = {}
    for task in tasks:
        key = keys[task.name]
        if key in there:
            continue
        if key not in todo:
            todo[key] = task
        elif todo[key].name != task.name:
            listener(Told(message=f"{task.name} is the same task as {todo[key].name}, so it is learnt once."))
    if todo:
        step = f"dictionary {dictionary.folder.name}"
        estimate = estimated_seconds(
            tuple(todo.values()),
            library,
            config,
            seed=Seed(seed).child("estimate"),
            device=device,
            workers=resources.workers or processors(),
            engine=engine,
            listener=listener,
        )
        listener(StepStarted(step=step, total=len(todo), unit="atoms", estimate_s=estimate))
        futures = [
            engine.submit_heard(
                listener, learn_into, dictionary.folder, t.name, library.reading, config, seed, device
            )
            for t in todo.values()
        ]
        for done, future in enumerate(futures, 1):
            name = future.result()
            listener(StepAdvanced(step=step, done=done, note=name))
        listener(StepFinished(step=step))
    atoms = {atom.key: atom for atom in dictionary.atoms()}
    made = tuple(atoms[keys[task.name]] for task in tasks)
    if config.strict and (weak := [atom.task.name for atom in made if atom.representative.weak]):
        raise TaskError(
            f"{dictionary.folder} holds a weak representative of {', '.join(weak)}, from before. "
            "Remove the atom and build it with other settings, or allow weak ones (strict)."
        )
    return made


def estimated_seconds(
    tasks: Sequence[Task],
    library: Library,
    config: LearnConfig,
    *,
    seed: Seed,
    device: str,
    workers: int,
    engine: LocalEngine,
    listener: Listener,
) -> float:
    """About how long the atoms of some tasks take, from training steps that all workers time now.

    What an interrupted build has done already is not taken off.

    Args:
        tasks: that `library` opened.
        library: says how workers open the tasks again.
        config: how atoms are made.
        seed: of the candidates that are timed; it decides nothing else.
        device: where networks are trained.
        workers: atoms that are learnt side by side.
        engine: its workers start, and are then ready for the atoms.
        listener: is told what happens.
    """
    first = {task.shape: task.name for task in reversed(tasks)}
    step = "time a few training steps"
    timers = min(workers, len(tasks))
    listener(StepStarted(step=step, total=timers, unit="workers"))
    timed = map_in_order(
        engine,
        paces_of,
        [(tuple(first.values()), library.reading, config, seed, device)] * timers,
        advanced=lambda done: listener(StepAdvanced(step=step, done=done)),
    )
    listener(StepFinished(step=step))
    busy = [0.0] * timers  # until when each worker has an atom to learn, in seconds from now
    for task in tasks:
        prepared = prepare(task, performance=config.performance, limit=config.limit)
        at = list(first).index(task.shape)
        seconds = [expected_seconds(prepared, config, paces[at]) for paces in timed]
        busy[busy.index(min(busy))] += sum(seconds) / len(seconds)
    return max(busy)


def paces_of(
    names: Sequence[str], reading: Reading, config: LearnConfig, seed: Seed, device: str
) -> tuple[Pace, ...]:
    """A worker's job: how fast networks train on each of some tasks."""
    library = Library.of(reading)
    tasks = [prepare(library.open(n), performance=config.performance, limit=config.limit) for n in names]
    return tuple(measure_pace(task, config, seed=seed, device=device) for task in tasks)


def learn_into(
    folder: Path,
    name: str,
    reading: Reading,
    config: LearnConfig,
    seed: int,
    device: str,
    *,
    listener: Listener,
) -> str:
    """A worker's job: learns one atom and adds it to the dictionary; gives the task's name.

    Of two processes that come to the same atom one learns it, and the other waits and finds it there.
    """
    task = Library.of(reading).open(name)
    dictionary = Dictionary(folder)
    prepared = prepare(task, performance=config.performance, limit=config.limit)
    key = atom_key(prepared.fingerprint, config.representative, config.performance)
    checkpoint = dictionary.unfinished(f"{key}-{_settings_key(config, seed)}")

    def waits() -> None:
        listener(Told(message=f"Another process is learning {name}. Waiting for it."))

    with dictionary.making(key, waits=waits) as wanted:
        if wanted:
            learnt = learn_atom(
                task,
                config,
                at=Context(
                    seed=Seed(seed).child("atom", prepared.fingerprint),
                    device=device,
                    listener=listener,
                    checkpoint=checkpoint,
                ),
            )
            dictionary.add(learnt.atom, learnt.representative, learnt.network)
            checkpoint.clear()
    return name


def _settings_key(config: LearnConfig, seed: int) -> str:
    """Names the state of an unfinished atom, so that other settings never go on from it."""
    return digest(config, seed)[:8]
