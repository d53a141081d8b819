"""What is written and shown of the paper's Figure 2: a folder's files, a page, pictures, a terminal's text."""

from __future__ import annotations

import csv
import io
import statistics
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from scipy.cluster.hierarchy import dendrogram, linkage
from scipy.spatial.distance import squareform

from tanas.cli.text import table as text_table
from tanas.ground.checkpoints import FolderCheckpoint
from tanas.ground.events import Listener, Told
from tanas.ground.executor import Executor
from tanas.ground.records import read_record, write_bytes, write_json
from tanas.reports.sentences import duration
from tanas.reports.theme import Chart, save
from tanas.tasks.library import Library
from tanas_experiments.blind import blind_text
from tanas_experiments.figure2 import (
    KIND,
    Column,
    Figure2Config,
    Figure2Record,
    Measured,
    figure2,
    settings_of,
)
from tanas_experiments.figures import Cell, matrix_chart, tree_chart
from tanas_experiments.folder import experiment_folder
from tanas_experiments.markdown import percent, provenance
from tanas_experiments.statements import CHANCE, Statement

RECORD_FILE = "figure2.json"
MATRIX_PICTURE, TREE_PICTURE = "figure2", "tasks"
"""Names of the pictures, without their suffix."""


def reproduce_figure2(
    folder: Path,
    config: Figure2Config,
    library: Library,
    *,
    executor: Executor,
    device: str,
    listener: Listener,
) -> Figure2Record:
    """Measures the figure into a folder, or goes on with one that is there.

    Args:
        folder: of the experiment; more seeds than before are added to those that are there.
        config: what is measured and how.
        library: opens the tasks.
        executor: runs trainings and measurements side by side.
        device: where representatives are trained.
        listener: is told what happens.

    Raises:
        StoreError: the folder is something else's.
        SettingError: it was begun with other settings.
        DataError: the data of a base task is not there.
    """
    reading = library.reading
    request = {
        "scale": config.scale,
        "tasks": list(config.tasks),
        "targets": list(config.targets),
        "split_seed": reading.split_seed,
        "size": reading.size,
        "skip_bad": reading.skip_bad,
        "device": device,
        **settings_of(config),
    }
    with experiment_folder(folder, KIND, request) as checkpoint:
        path = folder / RECORD_FILE
        if path.exists():
            there = read_record(Figure2Record, path)
            if there.seeds == config.seeds:
                listener(Told(message=f"{folder} is finished already; nothing was changed."))
                return there
        record = _measured(config, library, executor, device, listener, checkpoint)
        write_files(record, folder)
    return record


def _measured(
    config: Figure2Config,
    library: Library,
    executor: Executor,
    device: str,
    listener: Listener,
    checkpoint: FolderCheckpoint,
) -> Figure2Record:
    return figure2(
        config, library, executor=executor, device=device, listener=listener, checkpoint=checkpoint
    )


def write_files(record: Figure2Record, folder: Path) -> None:
    """Writes matrices, pictures and summary, and last of all the record."""
    write_bytes(folder / "matrix-mean.csv", matrix_csv(record.mean).encode())
    for run in record.runs:
        write_bytes(folder / f"matrix-seed-{run.seed}.csv", matrix_csv(run.columns).encode())
    for name, chart in pictures(record).items():
        for suffix in (".svg", ".png"):
            save(chart, folder / f"{name}{suffix}")
    write_bytes(folder / "summary.md", page(record, title="# Figure 2: distances between tasks").encode())
    write_json(folder / RECORD_FILE, record)


def matrix_csv(columns: Sequence[Column]) -> str:
    """A header `source,<target>,...` and a row a source, of d in [0, 1]."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["source", *(column.target for column in columns)])
    for source in columns[0].sources:
        writer.writerow([source, *(f"{column.sources[source].value:.6g}" for column in columns)])
    return text.getvalue()


def pictures(record: Figure2Record) -> dict[str, Chart]:
    """The charts of a record by their names: the matrix, and the tree of its tasks."""
    return {MATRIX_PICTURE: _matrix_picture(record), TREE_PICTURE: _tree_picture(record)}


def _matrix_picture(record: Figure2Record) -> Chart:
    groups = [task.group for task in record.tasks]
    orders = np.array([[cell.order for cell in column.sources.values()] for column in record.mean]).T
    own = {(task.name, task.name) for task in record.tasks}
    others = sorted(
        cell.order
        for column in record.mean
        for source, cell in column.sources.items()
        if (source, column.target) not in own
    )
    cells = []
    for row, source in enumerate(record.mean[0].sources):
        for at, column in enumerate(record.mean):
            cell = column.sources[source]
            itself = (source, column.target) in own
            # by rank: distances lie over several powers of ten, and each step should be seen
            farther = (len(others) - int(np.searchsorted(others, orders[row, at]))) / len(others)
            cells.append(
                Cell(
                    row=row,
                    column=at,
                    label=distance_text(cell),
                    note="" if itself else interval_text(cell),
                    strength=None if itself else farther,
                )
            )
    return matrix_chart(
        list(record.mean[0].sources),
        [column.target for column in record.mean],
        row_groups=[*groups, ""],
        column_groups=[*groups, *(target.group for target in record.targets)],
        cells=cells,
    )


def _tree_picture(record: Figure2Record) -> Chart:
    names = [task.name for task in record.tasks]
    orders = np.array([[column.sources[name].order for column in record.mean] for name in names])
    orders = orders[:, : len(names)]
    both = np.maximum((orders + orders.T) / 2, 0.0)
    np.fill_diagonal(both, 0.0)
    drawn = dendrogram(linkage(squareform(both, checks=False), method="average"), no_plot=True)
    # scipy puts the leaves at 5, 15, 25 and so on
    joins = [
        tuple((float(height), (float(place) - 5) / 10) for height, place in zip(heights, places, strict=True))
        for heights, places in zip(drawn["dcoord"], drawn["icoord"], strict=True)
    ]
    return tree_chart(
        [names[leaf] for leaf in drawn["leaves"]],
        [record.tasks[leaf].group for leaf in drawn["leaves"]],
        joins,
        title="mean of d both ways, over all pairs of two branches",
    )


def distance_text(cell: Measured) -> str:
    """A distance in few letters; of a mean of 1 the number that sorts, which tells how far it is missed."""
    if cell.value == 0:
        return "0"
    number = cell.order if cell.value > 0.995 else cell.value
    return f"{number:.3f}" if number < 0.095 else f"{number:.2f}"


def interval_text(cell: Measured) -> str:
    """The interval of a distance; empty if there is none."""
    if cell.interval is None:
        return ""
    return "–".join(f"{end:.3f}" if end < 0.0095 else f"{end:.2f}" for end in cell.interval)


def matrix_text(record: Figure2Record) -> str:
    """The mean matrix for a terminal: columns go by the numbers of their rows."""
    tasks = [task.name for task in record.tasks]
    heads = [str(at) for at in range(1, len(record.mean) + 1)]
    rows = [
        [
            f"{at:2} {source}" if source in tasks else f"   {source}",
            *(distance_text(column.sources[source]) for column in record.mean),
        ]
        for at, source in enumerate(record.mean[0].sources, 1)
    ]
    further = [f"column {len(tasks) + at}: {target.name}" for at, target in enumerate(record.targets, 1)]
    head = "source \\ target"
    return "\n".join([text_table([head, *heads], rows), *further])


def terminal_text(record: Figure2Record, folder: Path) -> str:
    """The mean matrix, the verdicts, and where everything is."""
    lines = [
        f"d(source -> target), mean over {_seeds(record)}, method {record.method}, scale {record.scale}; "
        "above 1: 1 and what the whole map misses",
        matrix_text(record),
        "",
        *(f"{s.verdict.upper()}: {s.claim}\n  {s.text}" for s in record.statements),
        "",
        f"Pictures, matrices and summary: {folder}",
    ]
    return "\n".join(lines)


def page(record: Figure2Record, *, title: str = "", folder: str = "") -> str:
    """A page in Markdown: what was measured, the pictures, and each sentence with its verdict.

    Args:
        record: measured.
        title: stands above.
        folder: of the pictures, from the page, ending in a slash.
    """
    parts = [title] if title else []
    counts = Counter(statement.verdict for statement in record.statements)
    parts += [
        "## Which of the paper's statements hold?",
        f"**{', '.join(f'{times} {verdict}' for verdict, times in counts.items())}** "
        f"(n = {record.n} seed{'s' if record.n > 1 else ''}).",
        _statement_table(record.statements),
        "The table compares numbers that sort distances: d, plus what is missing at 1, minus what is left over at the "
        "least d. *Not found*: it goes the other way, or misses what is asked. *Can't be told*: chance alone would do "
        f"as much with a probability of {CHANCE:g} or more, or a figure was not measured.",
        "## How far apart are the tasks?",
        f"![Distance matrix: sources as rows, targets as columns]({folder}{MATRIX_PICTURE}.svg)",
        "d(source -> target) carries the source's features to the target. The darker, the nearer, by rank. "
        + (
            f"Below each mean: {percent(record.interval_level)} of the draws of images, maps and seeds. "
            if record.interval_level is not None
            else ""
        )
        + "Above 1: how far even the whole map stays below the gate.",
        _matrix_table(record),
        f"![Tree of the tasks]({folder}{TREE_PICTURE}.svg)",
        "The tasks joined by the mean of both directions, average linkage.",
        *([f"## Do two seeds agree?\n\n{text}"] if (text := blind_text(record)) else []),
        "## How good are the representatives?",
        _representative_table(record),
        _provenance(record),
    ]
    return "\n\n".join(parts) + "\n"


def _provenance(record: Figure2Record) -> str:
    first, last = record.tasks[0], record.tasks[-1]
    images = f"{first.train:,}" if first.train == last.train else f"{first.train:,} to {last.train:,}"
    represent = duration(statistics.mean(run.represent_s for run in record.runs))
    measure = duration(statistics.mean(run.distance_s for run in record.runs))
    return (
        f"Scale `{record.scale}`, method `{record.method}`, n = {record.n} "
        f"seed{'s' if record.n > 1 else ''} ({', '.join(map(str, record.seeds))}), {len(record.tasks)} base tasks "
        f"of {images} training images each. A seed took {represent} of training and {measure} of measuring, "
        f"summed over workers. {provenance(record.command, record.hardware, record.versions)}"
    )


def _matrix_table(record: Figure2Record) -> str:
    targets = [f"{at}" for at in range(1, len(record.mean) + 1)]
    further = {len(record.tasks) + at: target.name for at, target in enumerate(record.targets, 1)}
    heads = [further.get(int(target), target) for target in targets]
    lines = [
        f"| source \\ target | {' | '.join(heads)} |",
        f"| --- |{' ---: |' * len(heads)}",
    ]
    names = [task.name for task in record.tasks]
    for at, source in enumerate(record.mean[0].sources, 1):
        label = f"{at}: `{source}`" if source in names else source
        cells = [distance_text(column.sources[source]) for column in record.mean]
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _statement_table(statements: Sequence[Statement]) -> str:
    lines = ["| what is said | verdict | measured | each seed | n |", "| --- | --- | --- | --- | --- |"]
    for statement in statements:
        seeds = ", ".join(f"{value:.3g}" for value in statement.per_seed)
        measured = "" if statement.value is None else f"{statement.statistic}: {statement.value:.3g}"
        cells = [
            statement.claim,
            f"**{statement.verdict}**",
            f"{measured}. {statement.text}" if measured else statement.text,
            seeds or "-",
            f"{statement.n} {statement.counted}" if statement.n else "-",
        ]
        lines.append(f"| {' | '.join(cell.replace('|', '&#124;') for cell in cells)} |")
    return "\n".join(lines)


def _representative_table(record: Figure2Record) -> str:
    lines = ["| representative of | l, mean ± sd over seeds | weak |", "| --- | --- | --- |"]
    for at, first in enumerate(record.runs[0].representatives):
        every = [run.representatives[at] for run in record.runs]
        reached = [one.performance for one in every]
        spread = f" ± {statistics.stdev(reached):.3f}" if len(reached) > 1 else ""
        weak = f"{sum(one.weak for one in every)} of {len(every)}"
        lines.append(f"| {first.task} | {statistics.mean(reached):.3f}{spread} | {weak} |")
    return "\n".join(lines)


def _seeds(record: Figure2Record) -> str:
    return f"{record.n} seeds" if record.n > 1 else "one seed"
