"""The commands that make a network larger or smaller."""

from __future__ import annotations

from pathlib import Path

from tanas.cli.options import (
    TRANSFORMING,
    CommandLine,
    Transforming,
    config_of,
    library_of,
    show,
    starting,
    working,
)


def grow(
    run: Path,
    task: str,
    /,
    *,
    settings: Transforming = TRANSFORMING,
    command_line: CommandLine = "tanas grow",
) -> None:
    """Make a network larger: search among wider, deeper and denser forms of it.

    It grows to at most four times its parameters and multiply-adds, or to --max-parameters and --max-macs.

    Args:
        run: Folder of a finished run, a .safetensors file of tanas export, or an architecture.json.
        task: A task, such as mnist:is=3 or ./photos (a folder of pictures per class).
        settings: Options that decide a search.
        command_line: What was typed.
    """
    _transform("grow", run, task, settings, command_line)


def compress(
    run: Path,
    task: str,
    /,
    *,
    settings: Transforming = TRANSFORMING,
    command_line: CommandLine = "tanas compress",
) -> None:
    """Make a network smaller: search among narrower, shallower and sparser forms of it.

    It shrinks to --max-parameters and --max-macs, or to half of its parameters if neither is given.

    Args:
        run: Folder of a finished run, a .safetensors file of tanas export, or an architecture.json.
        task: A task, such as mnist:is=3 or ./photos (a folder of pictures per class).
        settings: Options that decide a search.
        command_line: What was typed.
    """
    _transform("compress", run, task, settings, command_line)


def _transform(aim: str, path: Path, name: str, settings: Transforming, command_line: str) -> None:
    starting(settings.output)
    from tanas.api.run import Job, run_growth
    from tanas.api.search import open_origin
    from tanas.api.settings import seconds
    from tanas.cli.text import run_view
    from tanas.ground.records import read_json
    from tanas.runs.folder import RESULT_FILE, default_folder

    job = Job(
        config=config_of(settings),
        command=command_line,
        seed=settings.machine.seed,
        time_limit=None if settings.time_limit is None else seconds(settings.time_limit),
    )
    origin, task = open_origin(path), library_of(settings.data).open(name)
    out = settings.out or default_folder([task.name], aim=aim)
    with working(settings.machine, settings.output) as workplace:
        run = run_growth(task, out, origin, aim, job, workplace, keep_weights=not settings.fresh)
    show(settings.output, read_json(run.folder / RESULT_FILE), run_view(run.result(), run.folder))
