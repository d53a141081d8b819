"""What is written and shown of the paper's Table 1: a folder's files, a page, a terminal's text."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tanas.cli.text import table
from tanas.engines.local import LocalEngine
from tanas.engines.resources import Resources
from tanas.ground.devices import choose_device
from tanas.ground.events import Listener, Told
from tanas.ground.records import read_record, write_bytes, write_json
from tanas.reports.sentences import duration
from tanas.tasks.library import Library
from tanas_experiments.folder import experiment_folder
from tanas_experiments.paired import PairedDifference, paired, spread
from tanas_experiments.searches import AWARE
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
            error=_percent([one.error for one in plain]),
            balanced_error=_percent([one.balanced_error for one in plain]),
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
        error=_percent([one.trained.test_error for one in entries]),
        balanced_error=_percent([one.trained.test_balanced_error for one in entries]),
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


def sentences(record: Table1Record) -> tuple[str, ...]:
    """What the table says of each method beside the found network, whatever it says."""
    return tuple(
        sentence
        for method in methods_of(record)
        if method != AWARE.name and (sentence := _sentence(record, method))
    )


def _sentence(record: Table1Record, method: str) -> str:
    difference = against_found(record, method)
    balanced = against_found(record, method, balanced=True)
    if difference is None or balanced is None:
        return ""
    text = (
        f"{_label(method)}: against the found network, test error {_points(difference)}, "
        f"balanced error {_points(balanced)} ({_certainty(difference, balanced)})"
    )
    own = [one for one in record.entries if one.method == AWARE.name]
    other = [one for one in record.entries if one.method == method]
    shared = {one.seed for one in own} & {one.seed for one in other}
    own, other = ([one for one in rows if one.seed in shared] for rows in (own, other))
    if not other:
        return f"{text}."
    parameters, macs, took = (
        sum(of(one) for one in other) / sum(of(one) for one in own)
        for of in (_parameters, lambda one: one.macs, lambda one: one.took_s)
    )
    what = "search and training" if other[0].search is not None else "training"
    return (
        f"{text}. It has {parameters:.3g} times the parameters; its {what} cost {macs:.3g} times the multiply-adds "
        f"and {took:.3g} times the seconds of the found network's search and training together."
    )


def _parameters(entry: Entry) -> float:
    return entry.trained.parameters


def _points(difference: PairedDifference) -> str:
    text = f"{abs(difference.mean) * 100:.2f} points {'higher' if difference.mean >= 0 else 'lower'}"
    if difference.mean == 0:
        text = "the same"
    if difference.low is None or difference.high is None:
        return text
    return f"{text} [{difference.low * 100:+.2f}, {difference.high * 100:+.2f}]"


def _certainty(*differences: PairedDifference) -> str:
    first = differences[0]
    if first.p is None:
        return "one seed: nothing is known of chance"
    both = " and ".join(f"{one.p:.2g}" for one in differences)
    return f"{first.n} seeds, p = {both}"


def table1_page(record: Table1Record, *, title: str = "") -> str:
    """A page in Markdown: how it was made, the table, and what it says of each method.

    Args:
        record: of the table.
        title: stands above.
    """
    parts = [title] if title else []
    parts += [
        _provenance(record),
        _markdown_table(record),
        "Error and balanced error on the test split: mean ± standard deviation over n seeds. T: 10¹² multiply-adds, "
        "forward and backward, of all trainings. 'Search' holds representing the task, measuring distances and all "
        "candidates; 'training' the choice of the learning rate and the final training. Time is by the clock, while "
        "other networks were trained beside. The paper gives one figure a line, of its own split and many more images: "
        "its errors stand beside ours, they don't compare with them.",
        "\n".join(f"- {sentence}" for sentence in sentences(record)),
        "Differences are paired by seed, in points, with a 95 % bootstrap interval and the probability of an exact "
        "sign-flip test (two-sided); with n seeds it can't fall below 2 / 2ⁿ, so few seeds can't settle anything.",
        _rates(record),
        _memory(record),
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
        table(head, rows),
        "",
        *sentences(record),
        *(f"Left out: {_label(one.method)}, seed {one.seed}. {one.reason}" for one in record.left_out),
        "",
        f"Summary: {folder / 'summary.md'}",
    ]
    return "\n".join(shown)


def _provenance(record: Table1Record) -> str:
    images, search = record.images, record.config["search"]
    libraries = ", ".join(f"{name} {version}" for name, version in record.versions.items())
    rates = ", ".join(f"{rate:g}" for rate in record.config["rates"]["rates"])
    return (
        f"Scale `{record.scale}`, task `{record.task}`: {images['train']:,} training, {images['validation']:,} "
        f"validation and {images['test']:,} test images, the same for every method; seeds "
        f"{', '.join(map(str, record.seeds))}. Every network is trained for {search['training']['epochs']} epochs "
        f"with the recipe of `tanas search`, its learning rate chosen among {rates} by the validation images after "
        f"{record.config['rates']['epochs']} epochs on {min(record.config['rates']['images'], images['train']):,} "
        f"images; the test images are seen once, at the end. {record.hardware['cores']} cores "
        f"({record.hardware['processor']}); {libraries}. Remade by `{record.command}`."
    )


def _markdown_table(record: Table1Record) -> str:
    head = ["", "n", "error %", "balanced error %", "parameters, M", "multiply-adds, M", "search, T"]
    head += ["training, T", "time", "paper: error %", "paper: parameters, M", "paper: GPU days"]
    rows = [head, ["---", *("---:" for _ in head[1:])]]
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
                "-" if theirs is None else f"{theirs.error:g}",
                "-" if theirs is None else f"{theirs.parameters:g}",
                "-" if days is None else f"{days:g}",
            ]
        )
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


def _rates(record: Table1Record) -> str:
    chosen = []
    for method in dict.fromkeys(entry.method for entry in record.entries):
        rates = sorted({one.trained.learning_rate for one in record.entries if one.method == method})
        chosen.append(f"{_label(method)} {' or '.join(f'{rate:g}' for rate in rates)}")
    return f"Learning rates that were chosen: {'; '.join(chosen)}."


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


def _percent(values: Sequence[float]) -> str:
    about = spread(values)
    mean = f"{statistics.fmean(values) * 100:.2f}"
    return mean if about is None else f"{mean} ± {about * 100:.2f}"


def _millions(number: float) -> str:
    return f"{number / 1e6:.3g}" if not 0 < number < 1e3 else "< 0.001"


def _tera(macs: float | None) -> str:
    return "-" if macs is None else f"{macs / 1e12:.3g}"
