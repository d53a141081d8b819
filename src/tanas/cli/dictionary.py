"""The commands of `tanas dictionary`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from tanas.cli.help import HELP, HELP_ALL, RESEARCH
from tanas.cli.options import (
    ANSWERING,
    LEARNING,
    Answering,
    Flag,
    Learning,
    config_of,
    library_of,
    resources_of,
    show,
    starting,
    working,
)
from tanas.ground.errors import SettingError

if TYPE_CHECKING:
    from tanas.dictionary.store import Dictionary

app = App(
    name="dictionary",
    help="The memory of tasks: make it, add to it, look into it.",
    help_flags=(*HELP, HELP_ALL),
)
Strict = Annotated[Flag, Parameter(group=RESEARCH)]


@app.command(usage="tanas dictionary build FOLDER [TASK...] [OPTIONS]")
def build(folder: Path, /, *tasks: str, strict: Strict = False, settings: Learning = LEARNING) -> None:
    """Make or complete a memory of tasks.

    For each task it keeps a trained network, from which distances are measured, and the best architectures found.

    Args:
        folder: Folder of the memory. It is made if it does not exist.
        tasks: Tasks to learn, such as mnist:is=3 or ./photos. Default: a starter of the digits tasks and, if the data
            folder holds their data, the paper's ten.
        strict: Stop if a representative misses 1 - epsilon, instead of marking it weak.
        settings: Options that decide what is learnt.
    """
    starting(settings.output)
    from tanas.api.build import build_dictionary, check_learnable, starter
    from tanas.dictionary.store import Dictionary
    from tanas.runs.folder import check_writable

    library, seed = library_of(settings.data), settings.machine.seed
    config = config_of(settings).learning(strict=strict)
    opened = [library.open(name) for name in tasks or starter(library)]  # refused before anything is made
    check_learnable(opened, config, resources_of(settings.machine), seed=seed)
    check_writable(folder)
    dictionary = Dictionary.create(folder)
    with working(settings.machine, settings.output, folder / "events.jsonl") as workplace:
        build_dictionary(dictionary, opened, library, config, seed=seed, machine=workplace)
    _list(dictionary, settings.output)


@app.command(usage="tanas dictionary add FOLDER TASK... [OPTIONS]")
def add(folder: Path, /, *tasks: str, strict: Strict = False, settings: Learning = LEARNING) -> None:
    """Add tasks to a memory.

    Args:
        folder: Folder of the memory.
        tasks: Tasks to learn, such as mnist:is=3 or ./photos (a folder of pictures per class).
        strict: Stop if a representative misses 1 - epsilon, instead of marking it weak.
        settings: Options that decide what is learnt.
    """
    from tanas.dictionary.store import Dictionary

    Dictionary(folder)
    if not tasks:
        raise SettingError("Name at least one task to add, such as digits:is=0 or ./photos.")
    build(folder, *tasks, strict=strict, settings=settings)


@app.command(name="list")
def list_tasks(folder: Path | None = None, /, *, output: Answering = ANSWERING) -> None:
    """List the tasks of a memory.

    Args:
        folder: Folder of the memory. Default: $TANAS_DICTIONARY, else your own.
        output: Options of commands that answer.
    """
    from tanas.api.search import open_memory

    _list(open_memory(folder), output)


@app.command(name="show")
def show_task(folder: Path, task: str, /, *, output: Answering = ANSWERING) -> None:
    """Show a task of a memory: its images, its best networks, and how it was learnt.

    Args:
        folder: Folder of the memory.
        task: Name of the task, as `tanas dictionary list` shows it.
        output: Options of commands that answer.
    """
    from tanas.cli.text import atom_view
    from tanas.dictionary.store import Dictionary
    from tanas.ground.records import to_plain

    found = Dictionary(folder).find(task)
    show(output, to_plain(found), atom_view(found))


@app.command
def remove(folder: Path, task: str, /, *, output: Answering = ANSWERING) -> None:
    """Remove a task from a memory.

    Args:
        folder: Folder of the memory.
        task: Name of the task, as `tanas dictionary list` shows it.
        output: Options of commands that answer.
    """
    from tanas.dictionary.store import Dictionary

    Dictionary(folder).remove(task)
    show(output, {"removed": task}, f"Removed {task} from {folder}.")


@app.command
def verify(folder: Path, /, *, output: Answering = ANSWERING) -> None:
    """Read everything in a memory and say what is damaged.

    Args:
        folder: Folder of the memory.
        output: Options of commands that answer.
    """
    from tanas.cli.text import counted
    from tanas.dictionary.store import Dictionary
    from tanas.ground.errors import StoreError

    dictionary = Dictionary(folder)
    problems = dictionary.verify()
    if problems:
        if output.json:
            show(output, {"problems": problems}, "")
        raise StoreError("\n".join(problems))
    atoms = len(dictionary.atoms())
    show(output, {"problems": [], "atoms": atoms}, f"{folder}: {counted(atoms, 'atom')}, all whole.")


def _list(dictionary: Dictionary, output: Answering) -> None:
    from tanas.cli.text import dictionary_rows, dictionary_view

    rows = dictionary_rows(dictionary)
    show(output, rows, dictionary_view(dictionary, rows))
