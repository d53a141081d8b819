"""What is written and shown of the paper's Table 1: a folder's files, a page, a terminal's text."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tanas.cli.text import table as text_table
from tanas.engines.local import LocalEngine
from tanas.engines.resources import Resources
from tanas.ground.devices import choose_device
from tanas.ground.events import Listener, Told
from tanas.ground.records import read_record, write_bytes, write_json
from tanas.reports.sentences import duration
from tanas.tasks.library import Library
from tanas_experiments.folder import experiment_folder
from tanas_experiments.markdown import effect, provenance, table, verdict
from tanas_experiments.paired import CHANCE, PairedDifference, paired
from tanas_experiments.searches import AWARE
from tanas_experiments.searches_page import mean_and_spread
from tanas_experiments.table1 import (
    CONSTANT,
    KIND,
    LOGISTIC,
    PAPER_TARGETS,
    SEARCHES,
    Entry,
    Plain,
    Table1Config,
    Table1Record,
    settings_of,
    table1,
)
from tanas_experiments.zoo import RESIDUAL

RECORD_FILE = "table1.json"


@dataclass(frozen=True, kw_only=True)
class PaperRow:
    """A line of the paper's Table 1."""

    error: float
    """Per cent of the test images, without a spread."""
    parameters: float
    """Millions."""
    gpu_days: float | None
    """Of the search; None: there was none."""


PAPER = {
    "resnet18": PaperRow(error=1.42, parameters=11.44, gpu_days=None),
    "resnet34": PaperRow(error=1.2, parameters=21.54, gpu_days=None),
    "densenet161": PaperRow(error=1.17, parameters=27.6, gpu_days=None),
    SEARCHES[3].name: PaperRow(error=1.33, parameters=2.55, gpu_days=4),
    SEARCHES[2].name: PaperRow(error=1.21, parameters=2.89, gpu_days=2),
    AWARE.name: PaperRow(error=1.18, parameters=2.72, gpu_days=2),
}
"""Source: Table 1. Its random search looked in the 'pre-defined search space' (section 4): the standard one."""

LABELS = {
    SEARCHES[0].name: "FUSE, task-aware space",
    SEARCHES[1].name: "random search, task-aware space, equal cost",
    SEARCHES[2].name: "FUSE, standard space",
    SEARCHES[3].name: "random search, standard space, equal total cost",
    "resnet18": "ResNet-18",
    "resnet18-small": "ResNet-18, 3x3 stem without pooling",
    "resnet34": "ResNet-34",
    "resnet34-small": "ResNet-34, 3x3 stem without pooling",
    "densenet121": "DenseNet-121 at 32x32 or more",
    "densenet161": "DenseNet-161 at 32x32 or more",
    "vgg16": "VGG-16 at 32x32 or more",
    RESIDUAL: "narrow residual network of the found one's size",
    LOGISTIC: "logistic regression on pixels",
    CONSTANT: "always the most frequent class",
}
"""Methods as a table names them."""


def reproduce_table1(
    folder: Path,
    config: Table1Config,
    library: Library,
    *,
    resources: Resources,
    engine: LocalEngine,
    listener: Listener,
) -> Table1Record:
    """Makes the table into a folder, or goes on with one that is there.

    Args:
        folder: of the experiment; more seeds than before are added to those that are there.
        config: what is compared.
        library: opens the tasks.
        resources: of the machine.
        engine: runs trainings side by side.
        listener: is told what happens.

    Raises:
        StoreError: the folder is something else's.
        SettingError: it was begun with other settings.
        DataError: the data of a task is not there.
    """
    reading = library.reading
    for name in (config.target, *config.known):
        library.open(name)  # refused before anything is made
    request = {
        "scale": config.scale,
        "split_seed": reading.split_seed,
        "size": reading.size,
        "skip_bad": reading.skip_bad,
        "device": choose_device(resources.device),
        "threads": resources.threads,
        **settings_of(config),
    }
    with experiment_folder(folder, KIND, request) as checkpoint:
        path = folder / RECORD_FILE
        if path.exists():
            there = read_record(Table1Record, path)
            if there.seeds == config.seeds and not there.left_out:
                listener(Told(message=f"{folder} is finished already; nothing was changed."))
                return there
        record = table1(
            config,
            library,
            folder,
            resources=resources,
            engine=engine,
            listener=listener,
            checkpoint=checkpoint,
        )
        text = table1_page(record, title="# Table 1: what a search finds beside networks made by hand")
        write_bytes(folder / "summary.md", text.encode())
        write_json(path, record)
    return record


@dataclass(frozen=True, kw_only=True)
class Line:
    """A method of the table over its seeds."""

    method: str
    n: int
    error: str
    """Per cent, mean and standard deviation."""
    balanced_error: str
    parameters: float
    """Mean."""
    macs: float | None
    """Multiply-adds of the answer to one image, mean; None: not counted."""
    search_macs: float | None
    """Of representing, measuring and searching, forward and backward, mean; None: there was no search."""
    training_macs: float | None
    """Of choosing the learning rate and the final training, mean."""
    took_s: float | None
    """Seconds of all of it, mean."""

    @property
    def whole_macs(self) -> float | None:
        """Multiply-adds of search and training together, mean; None: nothing was trained."""
        return None if self.training_macs is None else self.training_macs + (self.search_macs or 0.0)


def methods_of(record: Table1Record) -> tuple[str, ...]:
    """The methods in the order of the table: searches, networks made by hand, plain answers."""
    return tuple(dict.fromkeys([e.method for e in record.entries] + [p.method for p in record.plain]))


def lines_of(record: Table1Record) -> tuple[Line, ...]:
    """A line a method."""
    return tuple(_line(record, method) for method in methods_of(record))


def _line(record: Table1Record, method: str) -> Line:
    entries = [entry for entry in record.entries if entry.method == method]
    if not entries:
        plain = [one for one in record.plain if one.method == method]
        return Line(
            method=method,
            n=len(plain),
            error=mean_and_spread([one.error for one in plain]),
            balanced_error=mean_and_spread([one.balanced_error for one in plain]),
            parameters=statistics.fmean(one.parameters for one in plain),
            macs=None,
            search_macs=None,
            training_macs=None,
            took_s=None,
        )
    searched = entries[0].search is not None
    return Line(
        method=method,
        n=len(entries),
        error=mean_and_spread([one.trained.test_error for one in entries]),
        balanced_error=mean_and_spread([one.trained.test_balanced_error for one in entries]),
        parameters=statistics.fmean(one.trained.parameters for one in entries),
        macs=statistics.fmean(one.trained.macs for one in entries),
        search_macs=statistics.fmean(one.search_macs for one in entries) if searched else None,
        training_macs=statistics.fmean(one.macs - one.search_macs for one in entries),
        took_s=statistics.fmean(one.took_s for one in entries),
    )


def against_found(record: Table1Record, method: str, *, balanced: bool = False) -> PairedDifference | None:
    """The test error of a method minus that of the found network, on the same seeds.

    Args:
        record: of the table.
        method: the other one.
        balanced: the balanced error instead of the error.

    Returns:
        None: there is no seed that both have.
    """

    def figures(name: str) -> dict[int, float]:
        rows: list[Entry | Plain] = [*record.entries, *record.plain]
        return {row.seed: _error(row, balanced) for row in rows if row.method == name}

    own, other = figures(AWARE.name), figures(method)
    both = [seed for seed in own if seed in other]
    return paired([own[seed] for seed in both], [other[seed] for seed in both]) if both else None


def _error(row: Entry | Plain, balanced: bool) -> float:
    if isinstance(row, Plain):
        return row.balanced_error if balanced else row.error
    return row.trained.test_balanced_error if balanced else row.trained.test_error


AGAINST = (
    "against",
    "less error?",
    "test error, points",
    "balanced error, points",
    "n",
    "times the parameters",
    "times the multiply-adds",
    "times the seconds",
)
"""Heads of a `Comparison`'s cells."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """The found network beside another method, on the seeds of both."""

    method: str
    error: PairedDifference
    """Of the test error: above 0 where the other one has more."""
    balanced: PairedDifference
    parameters: str
    """The other one's, as a multiple; '-': it has none to compare."""
    macs: str
    """The same, of search and training."""
    seconds: str

    @property
    def verdict(self) -> str:
        """Whether the found network has less error."""
        return verdict(self.error)

    @property
    def cells(self) -> list[str]:
        """A row of a table."""
        errors = effect(self.error), effect(self.balanced)
        times = self.parameters, self.macs, self.seconds
        return [_label(self.method), self.verdict, *errors, str(self.error.n), *times]


def comparisons(record: Table1Record) -> tuple[Comparison, ...]:
    """The found network beside each other method."""
    found = [_comparison(record, method) for method in methods_of(record) if method != AWARE.name]
    return tuple(one for one in found if one is not None)


def _comparison(record: Table1Record, method: str) -> Comparison | None:
    difference = against_found(record, method)
    balanced = against_found(record, method, balanced=True)
    if difference is None or balanced is None:
        return None
    own = [one for one in record.entries if one.method == AWARE.name]
    other = [one for one in record.entries if one.method == method]
    shared = {one.seed for one in own} & {one.seed for one in other}
    own, other = ([one for one in rows if one.seed in shared] for rows in (own, other))

    def times(of: Callable[[Entry], float]) -> str:
        return f"{sum(map(of, other)) / sum(map(of, own)):.3g}" if other else "-"

    return Comparison(
        method=method,
        error=difference,
        balanced=balanced,
        parameters=times(lambda one: one.trained.parameters),
        macs=times(lambda one: one.macs),
        seconds=times(lambda one: one.took_s),
    )


def table1_page(record: Table1Record, *, title: str = "") -> str:
    """A page in Markdown: a section a question.

    Args:
        record: of the table.
        title: stands above.
    """
    rows = comparisons(record)
    by = {said: [_label(row.method) for row in rows if row.verdict == said] for said in ("Yes", "No")}
    less, more = ("; ".join(names) or "none" for names in by.values())
    parts = [title] if title else []
    parts += [
        "## Is the found network better than the others?",
        f"**Less test error than {len(by['Yes'])} of {len(rows)} (p < {CHANCE:g}): {less}. More than {len(by['No'])}: "
        f"{more}.**",
        table(AGAINST, [row.cells for row in rows], text=2),
        "The found network's error minus the other's, paired by seed, with a 95 % bootstrap interval and an exact "
        "sign-flip test. With n seeds p cannot be below 2 / 2ⁿ. The costs are those of search and training.",
        "## What are the errors, sizes and costs?",
        _markdown_table(record),
        "Error and balanced error on the test split: mean ± standard deviation over n seeds. T: 10¹² multiply-adds, "
        "forward and backward, of all trainings.",
        "'Search' holds representing the task, measuring distances and all candidates. 'Training' holds the choice of "
        "the learning rate and the final training. Other networks were trained beside, which the time includes.",
        "The paper's figures are of its own split and many more images. They do not compare with ours.",
        _memory(record),
        _provenance(record),
    ]
    parts += [f"Left out: {_label(one.method)}, seed {one.seed}. {one.reason}" for one in record.left_out]
    return "\n\n".join(part for part in parts if part) + "\n"


def terminal_text(record: Table1Record, folder: Path) -> str:
    """The table, what it says, and where everything is."""
    rows = [
        [
            _label(line.method),
            str(line.n),
            line.error,
            line.balanced_error,
            _millions(line.parameters),
            _tera(line.whole_macs),
            "-" if line.took_s is None else duration(line.took_s),
            "-" if (theirs := _papers(record, line.method)) is None else f"{theirs.error:g}",
        ]
        for line in lines_of(record)
    ]
    head = ["", "n", "error %", "balanced %", "params M", "cost T", "time", "paper's error %"]
    shown = [
        f"{record.task}, scale {record.scale}: {record.images['train']:,} training images for every method",
        text_table(head, rows),
        "",
        text_table(AGAINST, [row.cells for row in comparisons(record)]),
        *(f"Left out: {_label(one.method)}, seed {one.seed}. {one.reason}" for one in record.left_out),
        "",
        f"Summary: {folder / 'summary.md'}",
    ]
    return "\n".join(shown)


def _provenance(record: Table1Record) -> str:
    images, search, rates = record.images, record.config["search"], record.config["rates"]
    tried = ", ".join(f"{rate:g}" for rate in rates["rates"])
    lines = (
        f"Scale `{record.scale}`, task `{record.task}`: {images['train']:,} training, {images['validation']:,} "
        f"validation and {images['test']:,} test images, the same for every method.",
        f"Seeds {', '.join(map(str, record.seeds))}; {search['training']['epochs']} epochs of the recipe of "
        "`tanas search`.",
        f"The learning rate is one of {tried}, chosen by the validation images after {rates['epochs']} epochs on "
        f"{min(rates['images'], images['train']):,} images.",
        provenance(record.command, record.hardware, record.versions),
    )
    return "\n".join(f"- {line}" for line in lines)


def _markdown_table(record: Table1Record) -> str:
    head = ["", "n", "error %", "balanced error %", "parameters, M", "multiply-adds, M", "search, T"]
    head += [
        "training, T",
        "time",
        "learning rate",
        "paper: error %",
        "paper: parameters, M",
        "paper: GPU days",
    ]
    rows = []
    for line in lines_of(record):
        theirs = _papers(record, line.method)
        days = None if theirs is None else theirs.gpu_days
        label = _label(line.method)
        rows.append(
            [
                f"**{label}**" if line.method == AWARE.name else label,
                str(line.n),
                line.error,
                line.balanced_error,
                _millions(line.parameters),
                "-" if line.macs is None else _millions(line.macs),
                _tera(line.search_macs),
                _tera(line.training_macs),
                "-" if line.took_s is None else duration(line.took_s),
                _rates(record, line.method),
                "-" if theirs is None else f"{theirs.error:g}",
                "-" if theirs is None else f"{theirs.parameters:g}",
                "-" if days is None else f"{days:g}",
            ]
        )
    return table(head, rows)


def _rates(record: Table1Record, method: str) -> str:
    """The learning rates that its seeds chose."""
    rates = sorted({one.trained.learning_rate for one in record.entries if one.method == method})
    return " or ".join(f"{rate:g}" for rate in rates) or "-"


def _memory(record: Table1Record) -> str:
    if not record.dictionary_atoms:
        return ""
    macs = "" if record.dictionary_macs is None else f"{_tera(record.dictionary_macs)} T multiply-adds and "
    return (
        f"The dictionary of {record.dictionary_atoms} tasks cost {macs}{duration(record.dictionary_s)}, once for all "
        "searches; it is not among the costs above."
    )


def _papers(record: Table1Record, method: str) -> PaperRow | None:
    """The paper's line; None: it has none, or is about another task."""
    return PAPER.get(method) if record.config["target"] in PAPER_TARGETS else None


def _label(method: str) -> str:
    return LABELS.get(method, method)


def _millions(number: float) -> str:
    return f"{number / 1e6:.3g}" if not 0 < number < 1e3 else "< 0.001"


def _tera(macs: float | None) -> str:
    return "-" if macs is None else f"{macs / 1e12:.3g}"
