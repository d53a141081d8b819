"""The commands that make a network larger or smaller."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tanas.cli.options import (
    DATA,
    MACHINE,
    OUTPUT,
    TRANSFORMING,
    CommandLine,
    Data,
    Machine,
    Output,
    Transforming,
    config_of,
    library_of,
    listening,
    resources_of,
    show,
    starting,
)


def grow(
    run: Path,
    task: str,
    /,
    *,
    settings: Transforming = TRANSFORMING,
    data: Data = DATA,
    machine: Machine = MACHINE,
    output: Output = OUTPUT,
    command_line: CommandLine = "tanas grow",
) -> None:
    """Make a network larger: search among wider, deeper and denser forms of it.

    It grows to at most four times its parameters and multiply-adds, or to --max-parameters and --max-macs.

    Args:
        run: Folder of a finished run, a .safetensors file of tanas export, or an architecture.json.
        task: A task, such as mnist:is=3 or ./photos (a folder of pictures per class).
        settings: Options that decide a search.
        data: Options of commands that open tasks.
        machine: Options of commands that compute.
        output: Options of commands that show progress.
        command_line: What was typed.
    """
    shown = _transformed("grow", run, task, settings, data, machine, output, command_line)
    show(output, *shown)


def compress(
    run: Path,
    task: str,
    /,
    *,
    settings: Transforming = TRANSFORMING,
    data: Data = DATA,
    machine: Machine = MACHINE,
    output: Output = OUTPUT,
    command_line: CommandLine = "tanas compress",
) -> None:
    """Make a network smaller: search among narrower, shallower and sparser forms of it.

    It shrinks to --max-parameters and --max-macs, or to half of its parameters if neither is given.

    Args:
        run: Folder of a finished run, a .safetensors file of tanas export, or an architecture.json.
        task: A task, such as mnist:is=3 or ./photos (a folder of pictures per class).
        settings: Options that decide a search.
        data: Options of commands that open tasks.
        machine: Options of commands that compute.
        output: Options of commands that show progress.
        command_line: What was typed.
    """
    shown = _transformed("compress", run, task, settings, data, machine, output, command_line)
    show(output, *shown)


def _transformed(
    aim: str,
    path: Path,
    name: str,
    settings: Transforming,
    data: Data,
    machine: Machine,
    output: Output,
    command_line: str,
) -> tuple[Any, str]:
    """What grow and compress do: the result of the run, as JSON's types and as text."""
    starting(output)
    from tanas.api.run import Job, Machine, run_growth
    from tanas.api.search import open_origin
    from tanas.api.settings import seconds
    from tanas.cli.text import run_view
    from tanas.engines.resources import local_engine
    from tanas.ground.records import read_json
    from tanas.runs.folder import default_folder

    limit_s = None if settings.time_limit is None else seconds(settings.time_limit)
    config, resources = config_of(settings), resources_of(machine)
    origin = open_origin(path)
    task = library_of(data).open(name)
    out = settings.out or default_folder([task.name], aim=aim)
    with listening(output) as listener, local_engine(resources) as engine:
        run = run_growth(
            task,
            out,
            origin,
            aim,
            Job(config=config, seed=machine.seed, time_limit=limit_s, command=command_line),
            Machine(resources=resources, engine=engine, listener=listener),
            keep_weights=not settings.fresh,
        )
    return read_json(run.folder / "result.json"), run_view(run.result(), run.folder)
