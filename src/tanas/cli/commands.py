"""The commands of `tanas`."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from tanas import __version__
from tanas.cli import dictionary as dictionary_commands
from tanas.cli import growing
from tanas.cli.help import EPILOGUE, EVERYDAY, HELP, HELP_ALL, RESEARCH
from tanas.cli.options import (
    ANSWERING,
    DATA,
    MACHINE,
    MEASURING,
    OUTPUT,
    SETTINGS,
    Answering,
    CommandLine,
    Data,
    Flag,
    Machine,
    Measuring,
    Output,
    Settings,
    Whole,
    config_of,
    library_of,
    listening,
    show,
    starting,
    working,
)
from tanas.ground.errors import SettingError

app = App(
    name="tanas",
    help="Task-aware neural architecture search: a memory of tasks makes the next search cheaper.",
    version=__version__,
    suppress_keyboard_interrupt=False,
    help_flags=(*HELP, HELP_ALL),
    help_epilogue=EPILOGUE,
    group_parameters=EVERYDAY,
)
app.command(dictionary_commands.app)
app.command(growing.grow, usage="tanas grow RUN TASK [OPTIONS]")
app.command(growing.compress, usage="tanas compress RUN TASK [OPTIONS]")
LABORATORY = "tanas.laboratory"
"""Entry points in which an installed laboratory registers its command."""


@app.command
def demo(*, out: Path = Path("tanas-demo"), machine: Machine = MACHINE, output: Output = OUTPUT) -> None:
    """Try tanas on handwritten digits, offline: learn some tasks, search for a new one, report.

    Args:
        out: Folder for the memory and the run.
        machine: Options of commands that compute.
        output: Options of commands that show progress.
    """
    starting(output)
    from tanas.cli.demo import run_demo

    with working(machine, output) as workplace:
        plain, text = run_demo(out, library_of(DATA), workplace, seed=machine.seed)
    show(output, plain, text)


@app.command(usage="tanas distance FOLDER [TASK...] [OPTIONS]")
def distance(
    folder: Path,
    /,
    *tasks: str,
    csv: Path | None = None,
    plot: Path | None = None,
    settings: Measuring = MEASURING,
) -> None:
    """Print the distances between the tasks of a memory, or from its tasks to others.

    Args:
        folder: Folder of the memory.
        tasks: Tasks to measure distances to, such as mnist:is=3 or ./photos. Default: every task of the memory.
        csv: Write the distances to this file.
        plot: Draw a heat map to this file: .png, .svg or .html.
        settings: Options that decide a distance.
    """
    starting(settings.output)
    from tanas.api.distances import distance_matrix
    from tanas.cli.text import matrix_view
    from tanas.dictionary.store import Dictionary
    from tanas.ground.records import to_plain, write_bytes
    from tanas.reports import charts, theme
    from tanas.runs.folder import check_file

    dictionary, library, config = Dictionary(folder), library_of(settings.data), config_of(settings)
    if plot is not None:
        theme.check_suffix(plot)
    for file in (csv, plot):
        if file is not None:
            check_file(file)
    with working(settings.machine, settings.output) as workplace:
        matrix = distance_matrix(dictionary, tasks, library, config, workplace, seed=settings.machine.seed)
    if csv is not None:
        write_bytes(csv, matrix.csv().encode())
    if plot is not None:
        theme.save(charts.heat_map(matrix), plot)
    show(settings.output, to_plain(matrix), matrix_view(matrix))


@app.command(usage="tanas nearest FOLDER TASK [OPTIONS]")
def nearest(
    folder: Path,
    task: str,
    /,
    *,
    neighbours: Whole | None = None,
    threshold: float | None = None,
    settings: Measuring = MEASURING,
) -> None:
    """Show the tasks of a memory that are nearest to a task.

    Args:
        folder: Folder of the memory.
        task: A task, such as mnist:is=3 or ./photos (a folder of pictures per class).
        neighbours: Number of tasks to show. Default: three, or all if the memory has fewer.
        threshold: Show all tasks within this distance, instead of a number of them.
        settings: Options that decide a distance.
    """
    starting(settings.output)
    from tanas.api.distances import nearest_atoms
    from tanas.cli.text import near_rows, near_view
    from tanas.dictionary.store import Dictionary

    dictionary, library = Dictionary(folder), library_of(settings.data)
    config = config_of(settings, neighbours=neighbours, threshold=threshold)
    with working(settings.machine, settings.output) as workplace:
        near = nearest_atoms(dictionary, task, library, config, workplace, seed=settings.machine.seed)
    show(settings.output, near_rows(near), near_view(near))


@app.command(usage="tanas search TASK... [OPTIONS]")
def search(
    *tasks: str,
    out: Path | None = None,
    dictionary: Path | None = None,
    no_starter: Flag = False,
    time_limit: str | None = None,
    remember: Annotated[bool | None, Parameter(negative="--forget", group=RESEARCH)] = None,
    reuse: Annotated[Flag, Parameter(group=RESEARCH)] = False,
    settings: Settings = SETTINGS,
    command_line: CommandLine = "tanas search",
) -> None:
    """Find and train a network for a task.

    Args:
        tasks: A task, such as mnist:is=3 or ./photos (a folder of pictures per class). Of several tasks, each can
            reuse those before it.
        out: Folder of the run. Default: runs/NAME. The same command resumes an unfinished run.
        dictionary: Folder of the memory of tasks. Default: $TANAS_DICTIONARY, else your own.
        no_starter: Leave out the networks that come with tanas. They help beside your own memory only, not beside one
            named with --dictionary.
        time_limit: Most time for everything, such as 90s, 10m or 2h. The final training gets up to half of it.
        remember: Whether the memory learns the task. Default: only your own memory does.
        reuse: Take the best architecture of a task that is known already, without a search.
        settings: Options that decide a search.
        command_line: What was typed.
    """
    starting(settings.output)
    from tanas.api.run import Job, check_searches, run_search
    from tanas.api.search import open_memory, stream_memory
    from tanas.api.settings import seconds
    from tanas.cli.text import run_view
    from tanas.ground.events import tell_repeats
    from tanas.ground.records import read_json
    from tanas.runs.folder import RESULT_FILE, default_folder, run_folders

    if not tasks:
        raise SettingError("Name a task to search for, such as digits:is=8 or ./photos.")
    limit_s = None if time_limit is None else seconds(time_limit)
    config, library = config_of(settings), library_of(settings.data)
    named = [library.open(task) for task in tasks]
    opened = list({task.name: task for task in named}.values())
    several, names = len(opened) > 1, [task.name for task in opened]
    out = out or default_folder(names)
    folders = run_folders(out, names)
    memory = open_memory(dictionary, starter=config.warm_weights and not no_starter)
    remembers = dictionary is None if remember is None else remember
    if several and not remembers:
        memory = stream_memory(
            out, memory
        )  # later tasks find earlier ones; the named dictionary stays as it is
    job = Job(
        config=config,
        command=command_line,
        seed=settings.machine.seed,
        time_limit=limit_s,
        reuse=reuse,
        remember=remembers or several,
    )
    with working(settings.machine, settings.output) as workplace:
        if several:
            check_searches(opened, folders, memory, job, workplace.resources)
        tell_repeats((task.name for task in named), "searched", workplace.listener)
        runs = [
            run_search(task, folder, memory, job, workplace)
            for task, folder in zip(opened, folders, strict=True)
        ]
    documents = [read_json(run.folder / RESULT_FILE) for run in runs]
    text = "\n\n".join(run_view(run.result(), run.folder) for run in runs)
    show(settings.output, documents if several else documents[0], text)


@app.command(usage="tanas evaluate RUN [TASK] [OPTIONS]")
def evaluate(
    run: Path, task: str | None = None, /, *, data: Data = DATA, output: Answering = ANSWERING
) -> None:
    """Test the network of a run on the test images of a task.

    Args:
        run: Folder of a finished run.
        task: A task with the same classes; its pictures are resized as those of the run were. Default: the run's own
            task, with its own split.
        data: Options of commands that open tasks.
        output: Options of commands that answer.
    """
    if task is None and (data.split_seed, data.size, data.fit) != (DATA.split_seed, DATA.size, DATA.fit):
        raise SettingError(
            "The run's own task keeps the split, the size and the fit that the run had. Name a task after the run, or "
            "leave --split-seed, --size and --fit out."
        )
    from tanas.api.search import evaluate_run
    from tanas.cli.text import evaluation_view

    document = evaluate_run(run, task, library_of(data))
    show(output, document, evaluation_view(document))


@app.command(usage="tanas predict RUN FILE... [OPTIONS]")
def predict(run: Path, /, *files: Path, skip_bad: Flag = False, output: Output = OUTPUT) -> None:
    """Say what the network of a run sees in pictures.

    Args:
        run: Folder of a finished run, or a .safetensors file of tanas export.
        files: Pictures, or folders of pictures. They are resized as those of the run were.
        skip_bad: Leave out pictures that can't be read, and count them.
        output: Options of commands that show progress.
    """
    from tanas.api.search import load
    from tanas.ground.events import Told
    from tanas.tasks.pictures import pictures_of, read_pictures

    if not files:
        raise SettingError("Name at least one picture to predict.")
    classifier = load(run)
    named, notes = pictures_of(files)
    images, pictures, bad = read_pictures(named, classifier.shape, classifier.framing, skip_bad=skip_bad)
    notes += [f"Left out, since it can't be read: {path}." for path in bad]
    with listening(output) as listener:
        for note in notes:
            listener(Told(message=note))
    rows, lines = [], []
    for file, row in zip(pictures, classifier.probabilities(images).tolist(), strict=True):
        probabilities = dict(zip(classifier.classes, row, strict=True))
        name = max(probabilities, key=probabilities.__getitem__)
        rows.append({"file": str(file), "answer": name, "probabilities": probabilities})
        lines.append(f"{file}: {name} ({max(row):.1%})")
    show(output, rows, "\n".join(lines))


@app.command
def report(run: Path, /, *, out: Path | None = None, output: Answering = ANSWERING) -> None:
    """Write the report of a run: one HTML file that needs no other.

    Args:
        run: Folder of a finished run.
        out: File to write. Default: RUN/report.html.
        output: Options of commands that answer.
    """
    from tanas.ground.records import write_bytes
    from tanas.reports.page import render
    from tanas.runs.folder import Run

    path = out or run / "report.html"
    write_bytes(path, render(Run.open(run).result()).encode())
    show(output, {"report": str(path)}, f"Report: {path}")


@app.command(usage="tanas export RUN FILE [OPTIONS]")
def export(run: Path, file: Path, /, *, overwrite: Flag = False, output: Answering = ANSWERING) -> None:
    """Write the network of a run to a file that other programs read.

    The file is read back and compared with the network before it is kept.

    Args:
        run: Folder of a finished run, or a .safetensors file of tanas export.
        file: File to write. Its suffix says the kind: .onnx, .pt2 (torch.export) or .safetensors.
        overwrite: Replace the file if it exists.
        output: Options of commands that answer.
    """
    from tanas.api.search import load
    from tanas.export.exporters import export as export_classifier
    from tanas.export.exporters import format_of
    from tanas.ground.records import to_plain
    from tanas.runs.folder import check_file

    format_of(file)
    check_file(file)
    done = export_classifier(load(run), file, overwrite=overwrite)
    show(output, to_plain(done), f"Wrote {file}. It answers as the network of the run does.")


@app.command(help_flags=[], version_flags=[])
def reproduce(*arguments: Annotated[str, Parameter(allow_leading_hyphen=True, show=False)]) -> None:
    """Repeat the paper's experiments. `tanas reproduce --help` lists them.

    Args:
        arguments: Arguments of the experiment.
    """
    found = entry_points(group=LABORATORY, name="reproduce")
    if not found:
        raise SettingError(
            "The paper's experiments are a package of their own, which is not installed. "
            "In the repository of tanas: pip install -e ./experiments"
        )
    whole = App(name="tanas", help_flags=[], version_flags=[])  # help and errors name the whole command
    whole.command(next(iter(found)).load())
    command, bound, _ = whole.parse_args(["reproduce", *arguments], exit_on_error=False, print_error=False)
    command(*bound.args, **bound.kwargs)
