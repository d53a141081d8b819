"""The text that commands print to the terminal; `--json` prints the whole value instead."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tanas.algorithm.result import Result
from tanas.api.distances import Near
from tanas.dictionary.store import Dictionary
from tanas.dictionary.task_record import Atom
from tanas.distances.base import Measurement
from tanas.distances.matrix import DistanceMatrix
from tanas.distances.representative import UNTRAINED
from tanas.ground.records import to_plain
from tanas.networks.architecture import Architecture
from tanas.reports.chart_data import grown_rows, rival_label
from tanas.reports.sentences import (
    SPACE,
    known_architecture,
    outlook,
    standing,
    taken,
    trained_on,
    transformation,
)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows as columns under a head; every column but the first is aligned right."""
    every = [list(head), *map(list, rows)]
    widths = [max(len(row[i]) for row in every) for i in range(len(head))]
    lines = []
    for first, *others in every:
        cells = [first.ljust(widths[0])]
        cells += [text.rjust(width) for text, width in zip(others, widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def distance_text(measurement: Measurement) -> str:
    """A measured distance as text."""
    return shown_distance(
        measurement.value, measurement.shortfall, measurement.interval, at_least=measurement.at_least
    )


def shown_distance(
    value: float, shortfall: float, interval: tuple[float, float] | None = None, *, at_least: bool = False
) -> str:
    """A distance with its interval, if any; a distance of 1 also shows by how much it falls short."""
    text = f"{value:.4f}" if not shortfall else f"{value:.0f} (short by {shortfall:.3f})"
    ends = "" if interval is None else f" [{interval[0]:.3f}, {interval[1]:.3f}]"
    return f"{'>= ' if at_least else ''}{text}{ends}"


def dictionary_rows(dictionary: Dictionary) -> list[dict[str, Any]]:
    """One entry for each remembered task."""
    return [
        {
            "atom": name,
            "starter": dictionary.lends(atom),
            "classes": len(atom.task.classes),
            "train": atom.task.train,
            "performance": atom.representative.performance,
            "weak": atom.representative.weak,
            "best_score": None if atom.best is None else atom.best.score,
            "best_score_final": atom.best is not None and atom.best.final,
            "best_parameters": None if atom.best is None else atom.best.parameters,
            "made_by": atom.provenance.made_by,
            "key": atom.key,
        }
        for name, atom in dictionary.names().items()
    ]


def dictionary_view(dictionary: Dictionary, rows: Sequence[dict[str, Any]]) -> str:
    """The remembered tasks as a table."""
    if not rows:
        return f"{dictionary.folder}: no tasks yet. Make some: tanas dictionary build {_typed(dictionary.folder)}"
    lines = []
    for row in rows:
        final = " (final training)" if row["best_score_final"] else ""
        lines.append(
            [
                row["atom"] + (" (starter)" if row["starter"] else ""),
                str(row["classes"]),
                str(row["train"]),
                f"{row['performance']:.3f}" + (" weak" if row["weak"] else ""),
                "-" if row["best_score"] is None else f"{row['best_score']:.3f}{final}",
                "-" if row["best_parameters"] is None else f"{row['best_parameters']:,}",
            ]
        )
    head = ["task", "classes", "images", "representative l", "best score", "parameters"]
    return f"{dictionary.described}: {counted(len(rows), 'task')}\n{table(head, lines)}"


def architecture_text(architecture: Architecture) -> str:
    """An architecture in two lines."""
    skeleton = architecture.skeleton
    stages = " -> ".join(
        f"{'half, ' if reduces else ''}{cells} x {width}"
        for width, cells, reduces in zip(skeleton.widths, skeleton.cells, skeleton.reductions, strict=True)
    )
    edges = ", ".join(f"{a}->{b} {name}" for a, b, name in architecture.cell.edges)
    return f"stem {skeleton.stem}; stages (cells x channels) {stages}\ncell of {architecture.cell.nodes} nodes: {edges}"


def atom_view(atom: Atom) -> str:
    """A remembered task as text."""
    task, representative = atom.task, atom.representative
    lines = [
        f"{task.name}: {', '.join(task.classes[:12])}{' ...' if len(task.classes) > 12 else ''}",
        f"{task.train} training and {task.validation} validation images of {'x'.join(map(str, task.shape))}; "
        f"performance l: {task.performance}",
        f"representative: {representative.config.architecture}, {representative.parameters:,} parameters, "
        f"l = {representative.performance:.4f}"
        + (f" (weak: below {1 - representative.epsilon:.2f})" if representative.weak else ""),
        f"made by {atom.provenance.made_by} with seed {atom.provenance.seed}, "
        f"tanas {atom.provenance.versions['tanas']}; "
        f"representative {atom.provenance.represent_s:.0f} s, search {atom.provenance.search_s:.0f} s",
        f"hash of training and validation {task.fingerprint[:16]}, of test {task.test_fingerprint[:16]}",
    ]
    for scored in atom.architectures:
        if scored.score is not None:
            what = "l after the final training" if scored.final else "score"
            lines.append(
                f"{what} {scored.score:.4f}, {scored.parameters:,} parameters, {scored.macs:,} multiply-adds"
            )
            lines.extend(f"  {line}" for line in architecture_text(scored.architecture).splitlines())
    unscored = sum(scored.score is None for scored in atom.architectures)
    lines.append(f"{counted(unscored, 'more candidate')} without a score")
    return "\n".join(lines)


def near_view(near: Near) -> str:
    """The nearest tasks as a table, an untrained network, and advice."""
    if not near.related:
        lines = [f"No remembered task is within the threshold of {near.task}."]
    else:
        compared = near.untrained is not None  # representatives were
        rows = [
            [r.name, distance_text(r.measurement), "weak" if compared and r.atom.representative.weak else ""]
            for r in near.related
        ]
        lines = [table([f"nearest to {near.task}", "distance", ""], rows)]
    if near.untrained is not None:
        lines.append(f"an {UNTRAINED}: d = {distance_text(near.untrained)}")
    if near.advice is not None and near.related:
        lines.append(str(near.advice))
    return "\n".join(lines)


def near_rows(near: Near) -> list[dict[str, Any]]:
    """One entry for each of the nearest tasks; the first holds the advice."""
    untrained = None if near.untrained is None else to_plain(near.untrained)
    return [
        {
            "atom": r.name,
            "measurement": to_plain(r.measurement),
            "untrained": untrained,
            "advice": None if near.advice is None or r is not near.related[0] else to_plain(near.advice),
        }
        for r in near.related
    ]


def matrix_view(matrix: DistanceMatrix) -> str:
    """A table of distances: sources as rows, targets as columns, and a last row for an untrained network."""

    def cell(measurement: Measurement) -> str:
        text = f"{measurement.value:.3f}" if not measurement.shortfall else f"1+{measurement.shortfall:.3f}"
        if measurement.interval is None or measurement.same:
            return text
        low, high = measurement.interval
        return f"{text} [{low:.2f}, {high:.2f}]"

    rows = [
        [source, *(cell(matrix.measurement(source, target)) for target in matrix.targets)]
        for source in matrix.sources
    ]
    if matrix.null:
        rows.append([f"({UNTRAINED})", *map(cell, matrix.null)])
    lines = [table(["source \\ target", *matrix.targets], rows)]
    if any(measurement.shortfall for measurement in (*matrix.measurements, *matrix.null)):
        lines.append("1+s: d is 1, and the task is farther by s. The smallest s is the nearest.")
    return "\n".join(lines)


def run_view(result: Result, folder: Path) -> str:
    """The result of a search: verdict, errors, space, network, training, and what to do next."""
    metrics, costs = result.metrics, result.costs
    errors = [("this network", metrics.test_error, metrics.test_balanced_error)]
    if (control := result.control) is not None:
        errors.append(("random search at equal cost", control.test_error, control.test_balanced_error))
    errors += [
        (rival_label(rival.name), rival.test_error, rival.test_balanced_error) for rival in result.rivals
    ]
    errors.append(("most frequent class", metrics.constant_error, metrics.constant_balanced_error))
    rows = [[name, f"{error:.2%}", f"{balanced:.2%}"] for name, error, balanced in errors]
    lines = [
        standing(result).replace(SPACE, " "),
        f"{result.task.name}: {result.parameters:,} parameters, {result.macs:,} multiply-adds per image",
        table([f"on {result.task.test} test images", "error", "balanced error"], rows),
    ]
    if result.grown is not None:
        lines += _grown_lines(result)
    if result.neighbours:
        near = ", ".join(
            f"{n.atom} {shown_distance(n.distance, n.shortfall, n.interval)}" for n in result.neighbours
        )
        lines.append(f"nearest: {near}")
    lines += [
        known_architecture(result) or f"space: {result.space.note}",
        *([] if result.beginning is None else [f"weights: {result.beginning.note}"]),
        architecture_text(result.architecture),
        *([taken(result)] if result.reference is not None else []),
        trained_on(result),
        *filter(None, [outlook(result)]),
        f"time: {costs.total_s:.0f} s (representative {costs.represent_s:.0f}, distances {costs.distance_s:.0f}, "
        f"search {costs.search_s:.0f}, final training {costs.train_s:.0f}, rivals {costs.rivals_s:.0f})",
        f"report: {folder / 'report.html'}",
        f"next: tanas predict {_typed(folder)} PICTURE | tanas export {_typed(folder)} model.onnx",
    ]
    return "\n".join(lines)


def _grown_lines(result: Result) -> list[str]:
    """A network before and after it was grown or compressed, and how its final training began."""
    rows = [
        [
            row.who,
            f"{row.parameters:,}",
            f"{row.macs:,}",
            "-" if row.score is None else f"{row.score:.4f}",
            "-" if row.validation_error is None else f"{row.validation_error:.2%}",
            "-" if row.test_error is None else f"{row.test_error:.2%}",
        ]
        for row in grown_rows(result)
    ]
    head = ["", "parameters", "multiply-adds", "score", "validation error", "test error"]
    return [table(head, rows), transformation(result), result.grown.weights if result.grown else ""]


def evaluation_view(document: dict[str, Any]) -> str:
    """Errors on a test split, and a warning if it is not the test split of the run."""
    text = (
        f"{document['task']}: error {document['error']:.2%}, balanced error {document['balanced_error']:.2%} on "
        f"{document['images']} test images (most frequent class: {document['constant_error']:.2%})"
    )
    if document["same_test_split"]:
        return text
    return f"{text}\nThis is not the test split of the run: the network may have been trained on some of these images."


def counted(number: int, noun: str) -> str:
    """A number and its noun: '1 task', '2 tasks'."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def _typed(path: Path) -> str:
    """A path, quoted for a shell."""
    return shlex.quote(str(path))
