"""Makes dictionaries: atoms are learnt side by side, and an interrupted build can be resumed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from tanas.algorithm.learn import Pace, expected_seconds, learn_atom, measure_pace
from tanas.algorithm.presets import LearnConfig
from tanas.algorithm.space import check_space
from tanas.dictionary.store import Dictionary
from tanas.dictionary.task_record import Atom, atom_key
from tanas.engines.local import LocalEngine
from tanas.engines.resources import Machine, Resources
from tanas.ground.context import Context
from tanas.ground.devices import choose_device
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
    here = Library.of(replace(library.reading, download=False))
    try:
        for name in ("mnist", "fashion-mnist"):
            here.open(name)
    except DataError:
        return DIGITS_STARTER
    return (*DIGITS_STARTER, *PAPER_STARTER)


def check_learnable(tasks: Sequence[Task], config: LearnConfig, resources: Resources, *, seed: int) -> None:
    """Refuse what `build_dictionary` would refuse, before anything is made.

    Raises:
        SettingError: the seed is below 0, the device is missing, or the space's limits leave a task no architecture.
        TaskError: the cap on a task's images leaves some of its classes without an image.
        UnknownNameError: the space is unknown.
    """
    check_range(seed, "seed", "build_dictionary", low=0)
    device = choose_device(resources.device)
    for task in tasks:
        check_space(_prepared(task, config), config, device=device)


def build_dictionary(
    dictionary: Dictionary,
    tasks: Sequence[Task],
    library: Library,
    config: LearnConfig,
    *,
    seed: int,
    machine: Machine,
) -> tuple[Atom, ...]:
    """Make or complete a dictionary; the atoms of `tasks`, in their order. Remembered tasks are left unchanged.

    Workers open the tasks again with `library`. The draws of an atom depend on the seed and on the task's data.

    Raises:
        TanasError: an atom failed, or is weak under `strict`; or the space was registered by this program.
    """
    check_range(seed, "seed", "build_dictionary", low=0)
    listener = machine.listener
    unshared = config.space in SPACES and config.space not in SHIPPED_SPACES
    if unshared and isinstance(machine.engine, LocalEngine):
        raise SettingError(
            f"The space '{config.space}' was registered by this program, and the workers that build a dictionary don't "
            "know it. Search for the tasks one by one with `remember=True`: the dictionary learns each."
        )
    tell_repeats((task.name for task in tasks), "learnt", listener)
    keys = {}
    for task in {task.name: task for task in tasks}.values():
        for note in task.notes:
            listener(Told(message=f"{task.name}: {note}"))
        prepared = _prepared(task, config)
        keys[task.name] = atom_key(prepared.fingerprint, config.representative, config.performance)
        if len(prepared.train) < len(task.train):
            used = f"{task.name} has {len(task.train)} training images; {len(prepared.train)} are used."
            listener(Told(message=f"{used} Raise the limit to use more of them."))
    there = {atom.key: name for name, atom in dictionary.names().items()}
    if left := dict.fromkeys(there[keys[task.name]] for task in tasks if keys[task.name] in there):
        listener(Told(message=f"Already remembered and left unchanged: {', '.join(left)}."))
    todo: dict[str, Task] = {}
    for task in tasks:
        if (key := keys[task.name]) in there:
            continue
        first = todo.setdefault(key, task)
        if first.name != task.name:
            listener(Told(message=f"{task.name} is the same task as {first.name}, so it is learnt once."))
    if todo:
        step = f"dictionary {dictionary.folder.name}"
        estimate = estimated_seconds(tuple(todo.values()), library, config, seed=seed, machine=machine)
        listener(StepStarted(step=step, total=len(todo), unit="atoms", estimate_s=estimate))
        shared = library.reading, config, seed, machine.device
        futures = [
            machine.engine.submit_heard(listener, learn_into, dictionary.folder, task.name, *shared)
            for task in todo.values()
        ]
        for done, future in enumerate(futures, 1):
            listener(StepAdvanced(step=step, done=done, note=future.result()))
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
    tasks: Sequence[Task], library: Library, config: LearnConfig, *, seed: int, machine: Machine
) -> float:
    """About how long the atoms of some tasks take, from training steps that all workers time now.

    Work that an interrupted build has done already is not subtracted.
    """
    first = {task.shape: task.name for task in reversed(tasks)}
    step = "time a few training steps"
    timers = min(machine.workers, len(tasks))
    machine.listener(StepStarted(step=step, total=timers, unit="workers"))
    job = tuple(first.values()), library.reading, config, Seed(seed).child("estimate"), machine.device
    timed = map_in_order(
        machine.engine,
        paces_of,
        [job] * timers,
        advanced=lambda done: machine.listener(StepAdvanced(step=step, done=done)),
    )
    machine.listener(StepFinished(step=step))
    busy = [0.0] * timers  # until when each worker has an atom to learn, in seconds from now
    for task in tasks:
        at = list(first).index(task.shape)
        seconds = [expected_seconds(_prepared(task, config), config, paces[at]) for paces in timed]
        busy[busy.index(min(busy))] += sum(seconds) / len(seconds)
    return max(busy)


def paces_of(
    names: Sequence[str], reading: Reading, config: LearnConfig, seed: Seed, device: str
) -> tuple[Pace, ...]:
    """A worker's job: measure how fast networks train on each of some tasks."""
    library = Library.of(reading)
    tasks = [_prepared(library.open(name), config) for name in names]
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
    """A worker's job: learn an atom, add it to the dictionary and return the task's name.

    If another process is learning the same atom, wait for it instead.
    """
    task = Library.of(reading).open(name)
    dictionary = Dictionary(folder)
    fingerprint = _prepared(task, config).fingerprint
    key = atom_key(fingerprint, config.representative, config.performance)
    checkpoint = dictionary.unfinished(
        f"{key}-{digest(config, seed)[:8]}"
    )  # other settings have another state

    def waits() -> None:
        listener(Told(message=f"Another process is learning {name}. Waiting for it."))

    with dictionary.making(key, waits=waits) as wanted:
        if wanted:
            own = Seed(seed).child("atom", fingerprint)
            at = Context(seed=own, device=device, listener=listener, checkpoint=checkpoint)
            learnt = learn_atom(task, config, at=at)
            dictionary.add(learnt.atom, learnt.representative, learnt.network)
            checkpoint.clear()
    return name


def _prepared(task: Task, config: LearnConfig) -> Task:
    return task.measured_by(config.performance).limited(config.limit)
