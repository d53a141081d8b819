"""The commands, each nothing but wiring."""

from __future__ import annotations

from importlib.metadata import entry_points
from pathlib import Path
from typing import Annotated, Literal

from cyclopts import App, Parameter

from tanas import __version__
from tanas.cli import dictionary as dictionary_commands
from tanas.cli.options import (
    COMMON,
    MEASURING,
    SEARCHING,
    SETTINGS,
    CommandLine,
    Common,
    Measuring,
    Searching,
    Settings,
    Whole,
    config_of,
    library_of,
    listening,
    resources_of,
    saying,
    show,
    starting,
)
from tanas.ground.errors import SettingError

app = App(
    name="tanas",
    help="Task-aware neural architecture search: a memory of tasks that makes the next search cheaper.",
    version=__version__,
    suppress_keyboard_interrupt=False,
)
app.command(dictionary_commands.app)
LABORATORY = "tanas.laboratory"
"""Where an installed laboratory leaves its command."""


@app.command
def demo(*, out: Path = Path("tanas-demo"), common: Common = COMMON) -> None:
    """The main job on real handwritten digits, offline: learn some tasks, search for a new one, report.

    Args:
        out: folder for the dictionary and the run.
        common: options of every command.
    """
    starting(common)
    from tanas.cli.demo import run_demo

    with listening(common) as listener:
        run_demo(
            out,
            library_of(common),
            resources=resources_of(common),
            seed=common.seed,
            listener=listener,
            say=saying(common),
        )


@app.command
def distance(
    folder: Path,
    /,
    *tasks: str,
    compare: Annotated[bool, Parameter(negative=())] = False,
    csv: Path | None = None,
    plot: Path | None = None,
    settings: Measuring = MEASURING,
    common: Common = COMMON,
) -> None:
    """Print the distance matrix of a dictionary, or the distances from it to tasks.

    Args:
        folder: of the dictionary.
        tasks: targets; without any, every atom is one.
        compare: measure by every method but those that take minutes a pair, and print how far each agrees
            with the one of --method and what it costs.
        csv: file to write the matrix to.
        plot: file to draw a heat map to: .png, .svg or .html.
        settings: options that decide a distance.
        common: options of every command.
    """
    starting(common)
    from tanas.api.distances import compare_methods, distance_matrix
    from tanas.cli.text import comparison_view, matrix_view
    from tanas.dictionary.store import Dictionary
    from tanas.distances.matrix import DistanceMatrix
    from tanas.engines.resources import workshop
    from tanas.ground.records import to_plain, write_bytes
    from tanas.reports import charts, theme
    from tanas.runs.folder import check_file

    dictionary, library, config = Dictionary(folder), library_of(common), config_of(settings)
    if plot is not None:
        theme.check_suffix(plot)
    for file in (csv, plot):
        if file is not None:
            check_file(file)
    with listening(common) as listener, workshop(resources_of(common)) as engine:
        run = compare_methods if compare else distance_matrix
        found = run(
            dictionary,
            tasks,
            library,
            config,
            seed=common.seed,
            resources=resources_of(common),
            engine=engine,
            listener=listener,
        )
    matrix = found if isinstance(found, DistanceMatrix) else found.matrices[found.reference]
    if csv is not None:
        write_bytes(csv, matrix.csv().encode())
    if plot is not None:
        rows = [
            [matrix.measurement(source, target) for target in matrix.targets] for source in matrix.sources
        ]
        chart = charts.heat_map(
            matrix.sources,
            matrix.targets,
            [[one.value for one in row] for row in rows],
            null=[one.value for one in matrix.null],
            orders=[[one.order for one in row] for row in rows],
            null_orders=[one.order for one in matrix.null],
        )
        theme.save(chart, plot)
    view = matrix_view(found) if isinstance(found, DistanceMatrix) else comparison_view(found)
    show(common, to_plain(found), view)


@app.command
def nearest(
    folder: Path,
    task: str,
    /,
    *,
    neighbours: Whole | None = None,
    threshold: float | None = None,
    settings: Measuring = MEASURING,
    common: Common = COMMON,
) -> None:
    """The atoms of a dictionary that are nearest to a task.

    Args:
        folder: of the dictionary.
        task: such as mnist:is=3 or folder:./photos.
        neighbours: how many; three, or all that are known if fewer.
        threshold: instead, all that are at most so far away.
        settings: options that decide a distance.
        common: options of every command.
    """
    starting(common)
    from tanas.api.distances import nearest_atoms
    from tanas.cli.text import near_rows, near_view
    from tanas.dictionary.store import Dictionary
    from tanas.engines.resources import workshop

    dictionary, library = Dictionary(folder), library_of(common)
    config = config_of(settings, neighbours=neighbours, threshold=threshold)
    with listening(common) as listener, workshop(resources_of(common)) as engine:
        near = nearest_atoms(
            dictionary,
            task,
            library,
            config,
            seed=common.seed,
            resources=resources_of(common),
            engine=engine,
            listener=listener,
        )
    show(common, near_rows(near), near_view(near))


@app.command
def search(
    *tasks: str,
    out: Path,
    dictionary: Path | None = None,
    remember: Annotated[bool | None, Parameter(negative="--forget")] = None,
    reuse: Annotated[bool, Parameter(negative=())] = False,
    strategy: str | None = None,
    inherit: str | None = None,
    inherit_seed: bool | None = None,
    warm_weights: Annotated[bool, Parameter(negative=())] = False,
    controls: Annotated[bool, Parameter(negative=())] = False,
    neighbours: Whole | None = None,
    threshold: float | None = None,
    time_limit: str | None = None,
    settings: Settings = SETTINGS,
    common: Common = COMMON,
    command_line: CommandLine = "tanas search",
) -> None:
    """Find, train and test an architecture for a task: Algorithm 1.

    Args:
        tasks: such as mnist:is=3 or folder:./photos; several arrive one after the other, and each finds the
            ones before it.
        out: folder of the run; of several tasks, folder of the runs. An unfinished run goes on.
        dictionary: folder of a dictionary; $TANAS_DICTIONARY or your own if left out.
        remember: whether the dictionary learns the task; only your own does if left out.
        reuse: take the best architecture of a task that is known, without a search.
        strategy: how the space is searched: fuse (the paper's, the default), or a rival: random, evolution,
            halving, predictor, largest, ws-random, darts.
        inherit: what of the nearest atoms shapes the space: prior (the whole space, what did well with them is drawn
            more often: the default), union (the paper's: their operations and skeletons, no others), transfer (the
            nearest's best architecture, no search) or none; all is the default without distances, from every known
            task alike; auto is transfer where past searches added next to nothing to that; farthest and
            random-neighbours are controls that take other atoms.
        inherit_seed: whether the nearest atom's best architecture is the first seed.
        warm_weights: try the trained networks of the nearest atoms too, and begin the final training with the weights
            of the best of them if they are ahead of what the search found. May help where images are few.
        controls: search at random beside, in the same space at the same cost, and train what that finds: the
            report then says where the result stands. Takes about as long again.
        neighbours: how many atoms are inherited from; three, or all that are known if fewer.
        threshold: instead, all atoms that are at most so far away.
        time_limit: of the search, such as 10m; then its best so far is trained.
        settings: options that decide a search.
        common: options of every command.
        command_line: what was typed.
    """
    starting(common)
    from tanas.api.search import check_searches, open_memory, run_search, stream_memory
    from tanas.api.settings import seconds
    from tanas.cli.text import run_view
    from tanas.engines.resources import workshop
    from tanas.ground.events import tell_repeats
    from tanas.ground.records import read_json
    from tanas.runs.folder import run_folders

    if not tasks:
        raise SettingError("Name a task to search for, such as digits:is=8 or folder:./photos.")
    limit_s = None if time_limit is None else seconds(time_limit)
    config = config_of(
        settings,
        neighbours=neighbours,
        threshold=threshold,
        inherit=inherit,
        inherit_seed=inherit_seed,
        warm_weights=warm_weights or None,
        strategy=strategy,
        controls=controls or None,
    )
    library, resources = library_of(common), resources_of(common)
    named = [library.open(task) for task in tasks]
    opened = list({task.name: task for task in named}.values())
    folders = run_folders(out, [task.name for task in opened])
    memory = open_memory(dictionary)
    remembers = dictionary is None if remember is None else remember
    if len(opened) > 1 and not remembers:
        # each finds the ones before it; the named dictionary stays as it is
        memory = stream_memory(out, memory)
    if len(opened) > 1:
        check_searches(
            opened,
            folders,
            memory,
            config=config,
            seed=common.seed,
            resources=resources,
            reuse=reuse,
            time_limit=limit_s,
        )
    runs = []
    with listening(common) as listener, workshop(resources) as engine:
        tell_repeats((task.name for task in named), "searched", listener)
        for task, folder in zip(opened, folders, strict=True):
            runs.append(
                run_search(
                    task,
                    folder,
                    memory,
                    remember=remembers or len(opened) > 1,
                    config=config,
                    seed=common.seed,
                    resources=resources,
                    engine=engine,
                    listener=listener,
                    reuse=reuse,
                    time_limit=limit_s,
                    command=command_line,
                )
            )
    text = "\n\n".join(run_view(run.result(), run.folder) for run in runs)
    documents = [read_json(run.folder / "result.json") for run in runs]
    show(common, documents[0] if len(documents) == 1 else documents, text)


@app.command
def evaluate(run: Path, task: str | None = None, /, *, common: Common = COMMON) -> None:
    """Test the network of a run on a task's test split.

    Args:
        run: folder of a finished run.
        task: with the same classes and image size; the run's own, with its --split-seed and --size, if left out.
        common: options of every command.
    """
    from tanas.api.search import evaluate_run
    from tanas.cli.text import evaluation_view

    document = evaluate_run(run, task, library_of(common))
    show(common, document, evaluation_view(document))


@app.command
def predict(run: Path, /, *files: Path, common: Common = COMMON) -> None:
    """Say what a run's network sees in pictures.

    Args:
        run: folder of a finished run, or of an export to safetensors.
        files: pictures, or folders of pictures; other sizes are brought to the task's own. --skip-bad leaves out what
            can't be read.
        common: options of every command.
    """
    from tanas.api.search import load
    from tanas.ground.events import Told
    from tanas.tasks.pictures import pictures_of, read_or_skipped

    if not files:
        raise SettingError("Name at least one picture to predict.")
    classifier = load(run)
    named, notes = pictures_of(files)
    images, pictures, bad = read_or_skipped(named, classifier.shape, skip_bad=common.skip_bad)
    notes += [f"Left out, since it can't be read: {path}." for path in bad]
    probabilities = classifier.probabilities(images)  # (pictures, classes)
    with listening(common) as listener:
        for note in notes:
            listener(Told(message=note))
    best = probabilities.argmax(dim=1).tolist()
    rows, lines = [], []
    for file, answer, row in zip(pictures, best, probabilities.tolist(), strict=True):
        name = classifier.classes[answer]
        rows.append(
            {
                "file": str(file),
                "answer": name,
                "probabilities": dict(zip(classifier.classes, row, strict=True)),
            }
        )
        lines.append(f"{file}: {name} ({max(row):.1%})")
    show(common, rows, "\n".join(lines))


@app.command
def report(run: Path, /, *, out: Path | None = None, common: Common = COMMON) -> None:
    """Write the report of a run: one HTML file that needs nothing else.

    Args:
        run: folder of a finished run.
        out: file to write; RUN/report.html if left out.
        common: options of every command.
    """
    from tanas.ground.records import write_bytes
    from tanas.reports.page import render
    from tanas.runs.folder import Run

    path = out or run / "report.html"
    write_bytes(path, render(Run.open(run).result()).encode())
    show(common, {"report": str(path)}, f"Report: {path}")


@app.command
def export(
    run: Path,
    /,
    *,
    to: Literal["onnx", "pt2", "safetensors"],
    out: Path,
    overwrite: Annotated[bool, Parameter(negative=())] = False,
    common: Common = COMMON,
) -> None:
    """Take the network of a run away; what was written is loaded again and compared before it is kept.

    Args:
        run: folder of a finished run.
        to: onnx, pt2 (torch.export) or safetensors (with architecture.json).
        out: file, or for safetensors a folder.
        overwrite: replace what is there.
        common: options of every command.
    """
    from tanas.api.search import load
    from tanas.export.exporters import export as export_classifier
    from tanas.ground.records import to_plain
    from tanas.runs.folder import check_writable

    check_writable(out.parent)  # a folder is written beside its place, too
    done = export_classifier(load(run), to=to, out=out, overwrite=overwrite)
    show(common, to_plain(done), f"Wrote {out}. Its answers are the network's own.")


@app.command
def grow(
    run_or_architecture: Path,
    task: str,
    /,
    *,
    out: Path,
    fresh: Annotated[bool, Parameter(negative=())] = False,
    time_limit: str | None = None,
    settings: Searching = SEARCHING,
    common: Common = COMMON,
    command_line: CommandLine = "tanas grow",
) -> None:
    """Grow a network that is there: FUSE among what it becomes when it gets wider, deeper or denser.

    It grows to at most four times its parameters and its multiply-adds, or to --max-parameters and --max-macs.

    Args:
        run_or_architecture: folder of a finished run, or an architecture.json (or the folder of an export with one).
        task: such as mnist:is=3 or folder:./photos.
        out: folder of the new run. An unfinished run goes on.
        fresh: train the result from scratch, also where it could go on from the weights of the run.
        time_limit: of the search, such as 10m; then its best so far is trained.
        settings: options that decide a search.
        common: options of every command.
        command_line: what was typed.
    """
    _transform("grow", run_or_architecture, task, out, fresh, time_limit, settings, common, command_line)


@app.command
def compress(
    run_or_architecture: Path,
    task: str,
    /,
    *,
    out: Path,
    fresh: Annotated[bool, Parameter(negative=())] = False,
    time_limit: str | None = None,
    settings: Searching = SEARCHING,
    common: Common = COMMON,
    command_line: CommandLine = "tanas compress",
) -> None:
    """Compress a network that is there: FUSE among what it becomes when it gets narrower, shallower or sparser.

    It comes down to --max-parameters and --max-macs, or to half of its parameters if neither is given.

    Args:
        run_or_architecture: folder of a finished run, or an architecture.json (or the folder of an export with one).
        task: such as mnist:is=3 or folder:./photos.
        out: folder of the new run. An unfinished run goes on.
        fresh: train the result from scratch, also where it could go on from the weights of the run.
        time_limit: of the search, such as 10m; then its best so far is trained.
        settings: options that decide a search.
        common: options of every command.
        command_line: what was typed.
    """
    _transform("compress", run_or_architecture, task, out, fresh, time_limit, settings, common, command_line)


@app.command(help_flags=[], version_flags=[])
def reproduce(*arguments: Annotated[str, Parameter(allow_leading_hyphen=True, show=False)]) -> None:
    """The paper's experiments, each into a folder of its own; `tanas reproduce --help` lists them.

    Args:
        arguments: of the experiment.
    """
    found = entry_points(group=LABORATORY, name="reproduce")
    if not found:
        raise SettingError(
            "The paper's experiments are a package of their own, which is not installed. "
            "In the repository of tanas: pip install -e ./experiments"
        )
    whole = App(
        name="tanas", help_flags=[], version_flags=[]
    )  # so that help and errors name the whole command
    whole.command(next(iter(found)).load())
    command, bound, _ = whole.parse_args(["reproduce", *arguments], exit_on_error=False, print_error=False)
    command(*bound.args, **bound.kwargs)


def _transform(
    aim: str,
    path: Path,
    name: str,
    out: Path,
    fresh: bool,
    time_limit: str | None,
    settings: Searching,
    common: Common,
    command_line: str,
) -> None:
    """What grow and compress do."""
    starting(common)
    from tanas.api.search import open_origin, run_growth
    from tanas.api.settings import seconds
    from tanas.cli.text import run_view
    from tanas.engines.resources import workshop
    from tanas.ground.records import read_json

    limit_s = None if time_limit is None else seconds(time_limit)
    config, resources = config_of(settings), resources_of(common)
    origin = open_origin(path)
    task = library_of(common).open(name)
    with listening(common) as listener, workshop(resources) as engine:
        run = run_growth(
            task,
            out,
            origin,
            aim,
            keep_weights=not fresh,
            config=config,
            seed=common.seed,
            resources=resources,
            engine=engine,
            listener=listener,
            time_limit=limit_s,
            command=command_line,
        )
    show(common, read_json(run.folder / "result.json"), run_view(run.result(), run.folder))
