"""The commands of `tanas dictionary`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

from tanas.cli.options import (
    COMMON,
    LEARNING,
    Common,
    Learning,
    config_of,
    library_of,
    listening,
    resources_of,
    show,
    starting,
)
from tanas.ground.errors import SettingError

if TYPE_CHECKING:
    from tanas.dictionary.store import Dictionary

app = App(name="dictionary", help="The memory of tasks: a folder of readable folders.")


@app.command
def build(
    folder: Path,
    /,
    *tasks: str,
    strict: Annotated[bool, Parameter(negative=())] = False,
    settings: Learning = LEARNING,
    common: Common = COMMON,
) -> None:
    """Make or complete a dictionary: a representative and best architectures for each task.

    Args:
        folder: of the dictionary; made if it is not there.
        tasks: such as mnist:is=3; without any, a starter is made: the digits tasks and, where the data
            folder holds them, the paper's ten.
        strict: refuse a representative that misses 1 - epsilon instead of marking it weak.
        settings: options that decide what is learnt.
        common: options of every command.
    """
    starting(common)
    from tanas.api.build import build_dictionary, check_learnable, starter
    from tanas.dictionary.store import Dictionary
    from tanas.engines.resources import workshop
    from tanas.runs.folder import check_writable

    library = library_of(common)
    config = config_of(settings).learning(strict=strict)
    resources = resources_of(common)
    opened = [library.open(name) for name in tasks or starter(library)]  # refused before anything is made
    check_learnable(opened, config, resources, seed=common.seed)
    check_writable(folder)
    dictionary = Dictionary.create(folder)
    with listening(common, folder / "events.jsonl") as listener, workshop(resources) as engine:
        build_dictionary(
            dictionary,
            opened,
            library,
            config,
            seed=common.seed,
            resources=resources,
            engine=engine,
            listener=listener,
        )
    _list(dictionary, common)


@app.command
def add(
    folder: Path,
    /,
    *tasks: str,
    strict: Annotated[bool, Parameter(negative=())] = False,
    settings: Learning = LEARNING,
    common: Common = COMMON,
) -> None:
    """Add tasks to a dictionary that is there.

    Args:
        folder: of the dictionary.
        tasks: such as mnist:is=3.
        strict: refuse a representative that misses 1 - epsilon instead of marking it weak.
        settings: options that decide what is learnt.
        common: options of every command.
    """
    from tanas.dictionary.store import Dictionary

    Dictionary(folder)
    if not tasks:
        raise SettingError("Name at least one task to add, such as digits:is=0.")
    build(folder, *tasks, strict=strict, settings=settings, common=common)


@app.command(name="list")
def list_atoms(folder: Path | None = None, /, *, common: Common = COMMON) -> None:
    """List the atoms of a dictionary.

    Args:
        folder: of the dictionary; your own if left out.
        common: options of every command.
    """
    from tanas.api.search import open_memory

    _list(open_memory(folder), common)


@app.command(name="show")
def show_atom(folder: Path, atom: str, /, *, common: Common = COMMON) -> None:
    """Show an atom: its task, its representative, its best architectures, where it comes from.

    Args:
        folder: of the dictionary.
        atom: its name, that of its task.
        common: options of every command.
    """
    from tanas.cli.text import atom_view
    from tanas.dictionary.store import Dictionary
    from tanas.ground.records import to_plain

    found = Dictionary(folder).find(atom)
    show(common, to_plain(found), atom_view(found))


@app.command
def remove(folder: Path, atom: str, /, *, common: Common = COMMON) -> None:
    """Remove an atom from a dictionary.

    Args:
        folder: of the dictionary.
        atom: its name, that of its task.
        common: options of every command.
    """
    from tanas.dictionary.store import Dictionary

    Dictionary(folder).remove(atom)
    show(common, {"removed": atom}, f"Removed {atom} from {folder}.")


@app.command
def verify(folder: Path, /, *, common: Common = COMMON) -> None:
    """Read everything in a dictionary and say what is damaged.

    Args:
        folder: of the dictionary.
        common: options of every command.
    """
    from tanas.cli.text import counted
    from tanas.dictionary.store import Dictionary
    from tanas.ground.errors import StoreError

    dictionary = Dictionary(folder)
    problems = dictionary.verify()
    if problems:
        if common.json:
            show(common, {"problems": problems}, "")
        raise StoreError("\n".join(problems))
    atoms = len(dictionary.atoms())
    show(common, {"problems": [], "atoms": atoms}, f"{folder}: {counted(atoms, 'atom')}, all whole.")


def _list(dictionary: Dictionary, common: Common) -> None:
    from tanas.cli.text import dictionary_rows, dictionary_view

    rows = dictionary_rows(dictionary)
    show(common, rows, dictionary_view(dictionary, rows))
