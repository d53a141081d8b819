"""The command line: one function a command, and nothing but wiring. torch is imported inside commands only."""

from __future__ import annotations

import io
import json
import os
import shlex
import shutil
import sys
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import App, CycloptsError, Parameter, Token

from tanas import __version__
from tanas.errors import SettingError, TanasError

if TYPE_CHECKING:
    from tanas.dictionary.store import Dictionary
    from tanas.listeners import Display
    from tanas.presets import SearchConfig
    from tanas.tasks.library import Library
    from tanas.workshop import Resources

app = App(
    name="tanas",
    help="Task-aware neural architecture search: a memory of tasks that makes the next search cheaper.",
    version=__version__,
    suppress_keyboard_interrupt=False,
)
dictionary_app = App(name="dictionary", help="The memory of tasks: a folder of readable folders.")
app.command(dictionary_app)
reproduce_app = App(name="reproduce", help="The paper's experiments, each into a folder of its own.")
app.command(reproduce_app)


def _whole(kind: Any, tokens: Sequence[Token]) -> int:
    """Reads a whole number; 1.5 is refused rather than rounded."""
    try:
        return int(tokens[0].value)
    except ValueError as error:
        raise ValueError(f"expected a whole number, got {tokens[0].value!r}.") from error


Whole = Annotated[int, Parameter(converter=_whole)]
CommandLine = Annotated[str, Parameter(parse=False)]
"""What was typed, for the record of a run; `main` gives it."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Common:
    """Options of every command."""

    data: Path | None = None
    """Folder of the data sets; else $TANAS_DATA, else a folder in the user's cache."""
    split_seed: Whole = 0
    """Of the split of sources that have no official one."""
    skip_bad: Annotated[bool, Parameter(negative=())] = False
    """Leave out pictures that can't be read, and count them."""
    size: Whole | None = None
    """Height and width to which pictures of different sizes are brought."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where networks are trained."""
    threads: Whole = 1
    """Within the training of one network."""
    workers: Whole | None = None
    """Candidates, distances and atoms that are computed side by side; one a processor if left out."""
    seed: Whole = 0
    """Of every random draw."""
    json: Annotated[bool, Parameter(negative=())] = False
    """Print one JSON document instead of text."""
    quiet: Annotated[bool, Parameter(negative=())] = False
    """Show no progress."""
    debug: Annotated[bool, Parameter(negative=())] = False
    """Show the traceback of an error."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Representing:
    """Options of what stands for a task."""

    preset: str = "laptop"
    """Where the settings start: smoke, laptop or paper."""
    config: Path | None = None
    """TOML file of settings, on top of the preset."""
    limit: str | None = None
    """Most training images of a task, stratified, or all."""
    performance: Literal["balanced", "accuracy"] | None = None
    """What l is: balanced accuracy corrected for chance, or accuracy."""
    epsilon: float | None = None
    """A representative reaches l of at least 1 - epsilon."""
    representative: Literal["laptop", "paper", "small"] | None = None
    """Network of the representatives."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Measuring(Representing):
    """Options that decide a distance."""

    method: str | None = None
    """Of measuring a distance: linear (the default), transform (the paper's), narrow, exact, knn, probe, logme,
    h-score, leep, cka, fisher, task2vec."""
    intervals: Annotated[bool, Parameter(negative=())] = False
    """Give every distance an interval: maps fitted and images drawn anew, which takes several times as long."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Learning(Representing):
    """Options that decide what a dictionary learns of a task."""

    space: str | None = None
    """Base space: standard (the default), paper, authors, nas-bench-201 or darts."""
    candidates: Whole | None = None
    """Candidates of a round of FUSE."""
    rounds: Whole | None = None
    """Most rounds of FUSE."""
    max_parameters: Whole | None = None
    """Most parameters of an architecture."""
    max_macs: Whole | None = None
    """Most multiply-adds of an architecture for one image."""
    max_latency: float | None = None
    """Most milliseconds in which an architecture answers one image, measured on this machine in one thread."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Searching(Learning):
    """Options that decide a search where no dictionary is asked."""

    epochs: Whole | None = None
    """Of the final training."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Settings(Searching, Measuring):
    """Options that decide a search."""


COMMON, SETTINGS = Common(), Settings()
LEARNING, MEASURING, SEARCHING = Learning(), Measuring(), Searching()


@app.command
def demo(*, out: Path = Path("tanas-demo"), common: Common = COMMON) -> None:
    """The main job on real handwritten digits, offline: learn some tasks, search for a new one, report.

    Args:
        out: folder for the dictionary and the run.
        common: options of every command.
    """
    _starting(common)
    from tanas.demo import run_demo

    with _listening(common) as listener:
        run_demo(
            out,
            _library(common),
            resources=_resources(common),
            seed=common.seed,
            listener=listener,
            say=_say(common),
        )


@dictionary_app.command
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
    _starting(common)
    from tanas.building import build_dictionary, check_learnable, starter
    from tanas.dictionary.store import Dictionary
    from tanas.runs import check_writable
    from tanas.workshop import workshop

    library = _library(common)
    config = _config(settings).learning(strict=strict)
    resources = _resources(common)
    opened = [library.open(name) for name in tasks or starter(library)]  # refused before anything is made
    check_learnable(opened, config, resources, seed=common.seed)
    check_writable(folder)
    dictionary = Dictionary.create(folder)
    with _listening(common, folder / "events.jsonl") as listener, workshop(resources) as engine:
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


@dictionary_app.command
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


@dictionary_app.command(name="list")
def list_atoms(folder: Path | None = None, /, *, common: Common = COMMON) -> None:
    """List the atoms of a dictionary.

    Args:
        folder: of the dictionary; your own if left out.
        common: options of every command.
    """
    from tanas.api import open_memory

    _list(open_memory(folder), common)


@dictionary_app.command
def show(folder: Path, atom: str, /, *, common: Common = COMMON) -> None:
    """Show an atom: its task, its representative, its best architectures, where it comes from.

    Args:
        folder: of the dictionary.
        atom: its name, that of its task.
        common: options of every command.
    """
    from tanas.dictionary.store import Dictionary
    from tanas.records import to_plain
    from tanas.views import atom_view

    found = Dictionary(folder).find(atom)
    _print(common, to_plain(found), atom_view(found))


@dictionary_app.command
def remove(folder: Path, atom: str, /, *, common: Common = COMMON) -> None:
    """Remove an atom from a dictionary.

    Args:
        folder: of the dictionary.
        atom: its name, that of its task.
        common: options of every command.
    """
    from tanas.dictionary.store import Dictionary

    Dictionary(folder).remove(atom)
    _print(common, {"removed": atom}, f"Removed {atom} from {folder}.")


@dictionary_app.command
def verify(folder: Path, /, *, common: Common = COMMON) -> None:
    """Read everything in a dictionary and say what is damaged.

    Args:
        folder: of the dictionary.
        common: options of every command.
    """
    from tanas.dictionary.store import Dictionary
    from tanas.errors import StoreError
    from tanas.views import counted

    dictionary = Dictionary(folder)
    problems = dictionary.verify()
    if problems:
        if common.json:
            _print(common, {"problems": problems}, "")
        raise StoreError("\n".join(problems))
    atoms = len(dictionary.atoms())
    _print(common, {"problems": [], "atoms": atoms}, f"{folder}: {counted(atoms, 'atom')}, all whole.")


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
    _starting(common)
    from tanas.dictionary.store import Dictionary
    from tanas.distances.matrix import DistanceMatrix
    from tanas.measuring import compare_methods, distance_matrix
    from tanas.records import to_plain, write_bytes
    from tanas.reports import charts, looks
    from tanas.runs import check_file
    from tanas.views import comparison_view, matrix_view
    from tanas.workshop import workshop

    dictionary, library, config = Dictionary(folder), _library(common), _config(settings)
    if plot is not None:
        looks.check_suffix(plot)
    for file in (csv, plot):
        if file is not None:
            check_file(file)
    with _listening(common) as listener, workshop(_resources(common)) as engine:
        run = compare_methods if compare else distance_matrix
        found = run(
            dictionary,
            tasks,
            library,
            config,
            seed=common.seed,
            resources=_resources(common),
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
        looks.save(chart, plot)
    view = matrix_view(found) if isinstance(found, DistanceMatrix) else comparison_view(found)
    _print(common, to_plain(found), view)


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
    _starting(common)
    from tanas.dictionary.store import Dictionary
    from tanas.measuring import nearest_atoms
    from tanas.views import near_rows, near_view
    from tanas.workshop import workshop

    dictionary, library = Dictionary(folder), _library(common)
    config = _config(settings, neighbours=neighbours, threshold=threshold)
    with _listening(common) as listener, workshop(_resources(common)) as engine:
        near = nearest_atoms(
            dictionary,
            task,
            library,
            config,
            seed=common.seed,
            resources=_resources(common),
            engine=engine,
            listener=listener,
        )
    _print(common, near_rows(near), near_view(near))


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
    _starting(common)
    from tanas.api import check_searches, open_memory, run_search, stream_memory
    from tanas.events import tell_repeats
    from tanas.records import read_json
    from tanas.runs import run_folders
    from tanas.settings import seconds
    from tanas.views import run_view
    from tanas.workshop import workshop

    if not tasks:
        raise SettingError("Name a task to search for, such as digits:is=8 or folder:./photos.")
    limit_s = None if time_limit is None else seconds(time_limit)
    config = _config(
        settings,
        neighbours=neighbours,
        threshold=threshold,
        inherit=inherit,
        inherit_seed=inherit_seed,
        warm_weights=warm_weights or None,
        strategy=strategy,
        controls=controls or None,
    )
    library, resources = _library(common), _resources(common)
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
    with _listening(common) as listener, workshop(resources) as engine:
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
    _print(common, documents[0] if len(documents) == 1 else documents, text)


@app.command
def evaluate(run: Path, task: str | None = None, /, *, common: Common = COMMON) -> None:
    """Test the network of a run on a task's test split.

    Args:
        run: folder of a finished run.
        task: with the same classes and image size; the run's own, with its --split-seed and --size, if left out.
        common: options of every command.
    """
    from tanas.api import evaluate_run
    from tanas.views import evaluation_view

    document = evaluate_run(run, task, _library(common))
    _print(common, document, evaluation_view(document))


@app.command
def predict(run: Path, /, *files: Path, common: Common = COMMON) -> None:
    """Say what a run's network sees in pictures.

    Args:
        run: folder of a finished run, or of an export to safetensors.
        files: pictures, or folders of pictures; other sizes are brought to the task's own. --skip-bad leaves out what
            can't be read.
        common: options of every command.
    """
    from tanas.api import load
    from tanas.events import Told
    from tanas.tasks.pictures import pictures_of, read_or_skipped

    if not files:
        raise SettingError("Name at least one picture to predict.")
    classifier = load(run)
    named, notes = pictures_of(files)
    images, pictures, bad = read_or_skipped(named, classifier.shape, skip_bad=common.skip_bad)
    notes += [f"Left out, since it can't be read: {path}." for path in bad]
    probabilities = classifier.probabilities(images)  # (pictures, classes)
    with _listening(common) as listener:
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
    _print(common, rows, "\n".join(lines))


@app.command
def report(run: Path, /, *, out: Path | None = None, common: Common = COMMON) -> None:
    """Write the report of a run: one HTML file that needs nothing else.

    Args:
        run: folder of a finished run.
        out: file to write; RUN/report.html if left out.
        common: options of every command.
    """
    from tanas.records import write_bytes
    from tanas.reports.page import render
    from tanas.runs import Run

    path = out or run / "report.html"
    write_bytes(path, render(Run.open(run).result()).encode())
    _print(common, {"report": str(path)}, f"Report: {path}")


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
    from tanas.api import load
    from tanas.export import export as export_classifier
    from tanas.records import to_plain
    from tanas.runs import check_writable

    check_writable(out.parent)  # a folder is written beside its place, too
    done = export_classifier(load(run), to=to, out=out, overwrite=overwrite)
    _print(common, to_plain(done), f"Wrote {out}. Its answers are the network's own.")


@reproduce_app.command(name="figure2")
def reproduce_figure(
    *,
    scale: Literal["smoke", "laptop", "paper"] = "laptop",
    seeds: Whole | None = None,
    method: str | None = None,
    out: Path | None = None,
    record: Path | None = None,
    common: Common = COMMON,
) -> None:
    """Measure the paper's distance matrix and hold its sentences against it; the same command goes on.

    Args:
        scale: smoke (ten digits tasks, offline, minutes), laptop (the paper's ten tasks, 12,000 images each) or
            paper (its network, all images, its pruning and gate; days).
        seeds: how many, from --seed on; more are added to those that a folder has.
        method: of measuring a distance, instead of the scale's own.
        out: folder of the experiment; figure2-SCALE if left out.
        record: file to write the record to as well, such as one that a page is made from.
        common: options of every command.
    """
    _starting(common)
    from tanas.devices import choose_device
    from tanas.evidence.figure2 import at_scale
    from tanas.evidence.figure2_page import reproduce_figure2, terminal_text
    from tanas.records import to_plain, write_json
    from tanas.runs import check_file
    from tanas.workshop import workshop

    folder = out or Path(f"figure2-{scale}")
    config = at_scale(scale, first_seed=common.seed, seeds=seeds, method=method)
    if record is not None:
        check_file(record)
    resources = _resources(common)
    device = choose_device(resources.device)
    with _listening(common) as listener, workshop(resources) as engine:
        made = reproduce_figure2(
            folder, config, _library(common), executor=engine, device=device, listener=listener
        )
    if record is not None:
        write_json(record, made)
    _print(common, to_plain(made), terminal_text(made, folder))


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


@reproduce_app.command(name="search")
def reproduce_searches(
    *,
    scale: Literal["smoke", "laptop"] = "laptop",
    seeds: Whole | None = None,
    target: tuple[str, ...] = (),
    out: Path | None = None,
    record: Path | None = None,
    dictionary: Path | None = None,
    common: Common = COMMON,
) -> None:
    """Search with near, far and no known tasks, by FUSE and by rivals, at equal cost; the same command goes on.

    Args:
        scale: smoke (a digits target, offline, minutes) or laptop (six targets, hours).
        seeds: how many, from --seed on; more are added to those that are there.
        target: only this one, by its label; can be given several times.
        out: folder of the experiment; search-SCALE if left out.
        record: file to add the record to as well; searches that stand in it are not made again. Commands with
            different targets or seeds, each with its own --out, can write to one record at a time.
        dictionary: folder of the known tasks, which such commands can share; one in --out if left out.
        common: options of every command.
    """
    _starting(common)
    from tanas.evidence.searches import at_scale
    from tanas.evidence.searches_page import reproduce_search, terminal_text
    from tanas.records import to_plain
    from tanas.runs import check_file
    from tanas.workshop import workshop

    folder = out or Path(f"search-{scale}")
    config = at_scale(scale, first_seed=common.seed, seeds=seeds, targets=target)
    if record is not None:
        check_file(record)
    resources = _resources(common)
    with _listening(common) as listener, workshop(resources) as engine:
        made = reproduce_search(
            folder,
            config,
            _library(common),
            record=record,
            dictionary=dictionary,
            resources=resources,
            engine=engine,
            listener=listener,
        )
    _print(common, to_plain(made), terminal_text(made, folder))


@reproduce_app.command(name="stream")
def reproduce_tasks(
    *,
    scale: Literal["smoke", "laptop"] = "laptop",
    orders: Whole | None = None,
    out: Path | None = None,
    record: Path | None = None,
    common: Common = COMMON,
) -> None:
    """Let tasks arrive one after the other, with a memory and without; the same command goes on.

    Args:
        scale: smoke (six digits tasks, offline, minutes) or laptop (twenty tasks in three orders, hours).
        orders: how many, from --seed on; more are added to those that a folder has.
        out: folder of the experiment; stream-SCALE if left out.
        record: file to add the record to as well; orders that stand in it whole are not made again. Commands with
            different orders, each with its own --out, can write to one record at a time.
        common: options of every command.
    """
    _starting(common)
    from tanas.evidence.stream import at_scale, reproduce_stream, terminal_text
    from tanas.records import to_plain
    from tanas.runs import check_file
    from tanas.workshop import workshop

    folder = out or Path(f"stream-{scale}")
    config = at_scale(scale, first_order=common.seed, orders=orders)
    if record is not None:
        check_file(record)
    resources = _resources(common)
    with _listening(common) as listener, workshop(resources) as engine:
        made = reproduce_stream(
            folder,
            config,
            _library(common),
            record=record,
            resources=resources,
            engine=engine,
            listener=listener,
        )
    _print(common, to_plain(made), terminal_text(made, folder))


@reproduce_app.command(name="table1")
def reproduce_table(
    *,
    scale: Literal["smoke", "laptop", "paper"] = "laptop",
    seeds: Whole | None = None,
    out: Path | None = None,
    record: Path | None = None,
    common: Common = COMMON,
) -> None:
    """Compare what a search finds with networks made by hand, in error, size and cost; the same command goes on.

    Args:
        scale: smoke (a digits target, offline, minutes), laptop (the paper's target and base tasks, 4,000 images and
            12 epochs for every method, about two hours on two cores) or paper (all images, its space, its distance;
            days on a CPU).
        seeds: how many, from --seed on; more are added to those that a folder has.
        out: folder of the experiment; table1-SCALE if left out.
        record: file to write the record to as well, such as one that a page is made from.
        common: options of every command.
    """
    _starting(common)
    from tanas.evidence.table1 import at_scale
    from tanas.evidence.table1_page import reproduce_table1, terminal_text
    from tanas.records import to_plain, write_json
    from tanas.runs import check_file
    from tanas.workshop import workshop

    folder = out or Path(f"table1-{scale}")
    config = at_scale(scale, first_seed=common.seed, seeds=seeds)
    if record is not None:
        check_file(record)
    resources = _resources(common)
    with _listening(common) as listener, workshop(resources) as engine:
        made = reproduce_table1(
            folder, config, _library(common), resources=resources, engine=engine, listener=listener
        )
    if record is not None:
        write_json(record, made)
    _print(common, to_plain(made), terminal_text(made, folder))


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and gives its exit status: 0 done, 1 failed, 2 wrong call or input, 130 interrupted."""
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal may lack a letter of a class's name
    try:
        command, bound, given = app.parse_args(tokens, exit_on_error=False, print_error=False)
        if "command_line" in given:
            bound.arguments["command_line"] = shlex.join(["tanas", *tokens])
        command(*bound.args, **bound.kwargs)
        sys.stdout.flush()
    except KeyboardInterrupt as interrupt:
        if interrupt.args:  # the best so far
            print(f"\n{interrupt}", file=sys.stderr)
        print(f"\nInterrupted. Go on with: {_program()} {shlex.join(tokens)}", file=sys.stderr)
        return 130
    except CycloptsError as error:
        help_page = " ".join(["tanas", *(error.command_chain or ()), "--help"])
        return _failed(f"{error} See: {help_page}", error, 2, tokens)
    except TanasError as error:
        return _failed(str(error), error, error.exit_status, tokens)
    except BrokenPipeError:
        with suppress(OSError, ValueError):  # what is left unread is dropped, or Python complains at its end
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        where = "" if error.filename is None else f": {error.filename}"
        return _failed(f"{error.strerror or error}{where}.", error, 1, tokens)
    except Exception as error:
        text = f"This should not have happened: {type(error).__name__}: {error} (--debug shows where)"
        return _failed(text, error, 1, tokens)
    return 0


def _failed(text: str, error: Exception, status: int, tokens: Sequence[str]) -> int:
    if "--debug" in tokens:
        traceback.print_exception(error)
    else:
        print(f"tanas: {text}", file=sys.stderr)
    return status


def _program() -> str:
    """How tanas was called, so that a command that is printed can be pasted."""
    typed = sys.orig_argv
    if "-m" in typed and typed[typed.index("-m") + 1 :][:1] == ["tanas"]:
        return shlex.join(typed[: typed.index("-m") + 2])
    script = Path(sys.argv[0])
    found = shutil.which("tanas")
    if script.name == "tanas" and script.is_file() and not (found and script.samefile(found)):
        return shlex.quote(str(script))
    return "tanas"


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
    _starting(common)
    from tanas.api import open_origin, run_growth
    from tanas.records import read_json
    from tanas.settings import seconds
    from tanas.views import run_view
    from tanas.workshop import workshop

    limit_s = None if time_limit is None else seconds(time_limit)
    config, resources = _config(settings), _resources(common)
    origin = open_origin(path)
    task = _library(common).open(name)
    with _listening(common) as listener, workshop(resources) as engine:
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
    _print(common, read_json(run.folder / "result.json"), run_view(run.result(), run.folder))


def _library(common: Common) -> Library:
    from tanas.tasks.library import Library

    return Library(data=common.data, split_seed=common.split_seed, skip_bad=common.skip_bad, size=common.size)


def _resources(common: Common) -> Resources:
    from tanas.workshop import Resources

    return Resources(device=common.device, threads=common.threads, workers=common.workers)


def _config(settings: Representing, **options: Any) -> SearchConfig:
    from dataclasses import asdict, replace

    from tanas.distances.intervals import IntervalConfig
    from tanas.settings import configure, count

    given = asdict(settings)
    limit = count(given["limit"], "limit")
    searched = "fuse" if isinstance(settings, Searching) else "learn"  # where FUSE's own options go
    epochs = given.get("epochs")
    config = configure(
        given["preset"],
        given["config"],
        options
        | {
            "limit": None if limit == "all" else limit,
            "performance": given["performance"],
            "representative.epsilon": given["epsilon"],
            "representative.architecture": given["representative"],
            "distance.method": given.get("method"),
            "distance.intervals": IntervalConfig() if given.get("intervals") else None,
            "space": given.get("space"),
            f"{searched}.candidates": given.get("candidates"),
            f"{searched}.rounds": given.get("rounds"),
            "rounds_led": given.get("rounds"),  # who says how many has said it for what is known, too
            "max_parameters": given.get("max_parameters"),
            "max_macs": given.get("max_macs"),
            "max_latency_ms": given.get("max_latency"),
            "training.epochs": epochs,
            # who says how many has said it for small and large sets, too
            "training.least_steps": None if epochs is None else 0,
            "training.meant_for": None if epochs is None else 0,
        },
    )
    if searched == "fuse" and config.strategy != "fuse":
        for name in ("candidates", "rounds"):
            if given.get(name) is not None:
                raise SettingError(
                    f"--{name} is an option of FUSE, and the strategy is '{config.strategy}': leave it out, or set "
                    "what that strategy has in a file for --config."
                )
    return replace(config, limit=None) if limit == "all" else config


def _starting(common: Common) -> None:
    """Says at once that something happens: importing torch and reading images take seconds."""
    # not in a pipe: there a call that is refused has its one message and no other line
    if not common.quiet and sys.stderr.isatty():
        print("Loading torch and the images ...", file=sys.stderr, flush=True)


def _listening(common: Common, journal: Path | None = None) -> Display:
    from tanas.listeners import JsonLinesListener, broadcast, listener_for

    shown = listener_for(sys.stderr, quiet=common.quiet)
    return shown if journal is None else broadcast(shown, JsonLinesListener(journal))


def _say(common: Common) -> Callable[[Any, str], None]:
    return lambda plain, text: _print(common, plain, text)


def _print(common: Common, plain: Any, text: str) -> None:
    """Prints a document as text, or whole as JSON, which stays JSON in every encoding."""
    ascii_only = "utf" not in str(sys.stdout.encoding).lower()
    print(json.dumps(plain, indent=1, ensure_ascii=ascii_only) if common.json else text)


def _list(dictionary: Dictionary, common: Common) -> None:
    from tanas.views import dictionary_rows, dictionary_view

    rows = dictionary_rows(dictionary)
    _print(common, rows, dictionary_view(dictionary, rows))
