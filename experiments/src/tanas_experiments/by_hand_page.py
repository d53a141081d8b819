"""What is written of found networks beside networks made by hand, on every target of the searches side by side."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping

from tanas_experiments.by_hand import METHODS, RESNET, ByHandRecord, ByHandRow
from tanas_experiments.markdown import effect, provenance, table
from tanas_experiments.paired import over_targets, paired
from tanas_experiments.searches import AWARE
from tanas_experiments.searches_page import answered, mean_and_spread
from tanas_experiments.zoo import RESIDUAL

NAMES = {RESIDUAL: "a narrow residual network of its size", RESNET: "ResNet-18"}

Figure = Callable[[ByHandRow], float]


def by_hand_page(record: ByHandRecord) -> str:
    """The part of the page, Markdown: a question, its answers, and the table."""
    whole = _whole(record)
    rates = ", ".join(f"{rate:g}" for rate in record.settings["trained"]["rates"]["rates"])
    rows = []
    for target in record.targets:
        of = {method: _of(whole, target, method) for method in METHODS}
        own = of[AWARE.name]
        if not own:
            continue
        cost = statistics.fmean(row.macs for row in own)
        rows.append(
            [
                target,
                str(len(own)),
                *(mean_and_spread([row.trained.test_error for row in of[method]]) for method in METHODS),
                f"{statistics.fmean(row.trained.parameters for row in own):,.0f}",
                f"{_ratio(of[RESNET], own, lambda row: row.trained.parameters):,.0f}",
                f"{cost / 1e9:,.0f}",
                *(f"{_ratio(of[method], own, lambda row: row.macs):.2f}" for method in (RESIDUAL, RESNET)),
            ]
        )
    head = ["", "n", "found: error %", "residual: error %", "ResNet-18: error %", "found: parameters (mean)"]
    head += ["ResNet-18: times as many", "found: G multiply-adds, search and training"]
    head += ["residual: times the multiply-adds", "ResNet-18: times the multiply-adds"]
    parts = [
        "## Is a found network better than one made by hand?",
        "\n".join(f"- {question} **{answer}** {more}" for question, answer, more in by_hand_answers(record)),
        table(head, rows),
        f"{len(whole)} networks, seeds {', '.join(map(str, sorted({row.seed for row in whole})))}; mean and standard "
        "deviation over seeds. The found networks are those of task-aware FUSE. The residual network has as many "
        "parameters as the found one of its seed.",
        f"One recipe for all. The learning rate, one of {rates}, is chosen on validation images after a short "
        "training, and counts as cost. The effect is the found network's error minus the other's, in points. "
        "Both comparisons were named before any training.",
        provenance(record.command, record.hardware, record.versions),
    ]
    return "\n\n".join(parts) + "\n"


def by_hand_answers(record: ByHandRecord) -> tuple[tuple[str, str, str], ...]:
    """(question, answer, what it costs) for each rival, whatever the answer."""
    whole = _whole(record)
    lines = []
    for method in METHODS[1:]:
        pairs = _pairs(whole, record.targets, method, lambda row: row.trained.test_error)
        if not pairs:
            continue
        own = [value for mine, _ in pairs.values() for value in mine]
        other = [value for _, theirs in pairs.values() for value in theirs]
        balanced = over_targets(
            _pairs(whole, record.targets, method, lambda row: row.trained.test_balanced_error)
        )
        theirs, ours = ([row for row in whole if row.method == one] for one in (method, AWARE.name))
        size, work = (
            _ratio(theirs, ours, of)
            for of in (lambda row: row.trained.parameters, lambda row: row.trained.macs)
        )
        many = f"{size:,.0f}" if method == RESNET else f"{size:.2f}"
        lines.append(
            (
                f"Does a found network err less than {NAMES[method]}?",
                answered(paired(own, other), over_targets(pairs)),
                f"Balanced error: {effect(balanced.means)}. {NAMES[method][0].upper()}{NAMES[method][1:]} has {many} "
                f"times the parameters and takes {work:.2g} times the multiply-adds an image.",
            )
        )
    return tuple(lines)


def _whole(record: ByHandRecord) -> list[ByHandRow]:
    """The networks of those targets and seeds that have all three: so each is held against the same others."""
    there: dict[tuple[str, int], set[str]] = {}
    for row in record.rows:
        there.setdefault((row.target, row.seed), set()).add(row.method)
    return [row for row in record.rows if len(there[row.target, row.seed]) == len(METHODS)]


def _of(rows: list[ByHandRow], target: str, method: str) -> list[ByHandRow]:
    return [row for row in rows if (row.target, row.method) == (target, method)]


def _pairs(
    rows: list[ByHandRow], targets: tuple[str, ...], method: str, figure: Figure
) -> Mapping[str, tuple[list[float], list[float]]]:
    """(the found networks' figures, the other's) by target, in the order of seeds."""
    found = {}
    for target in targets:
        own, other = (
            sorted(_of(rows, target, one), key=lambda row: row.seed) for one in (AWARE.name, method)
        )
        if own:
            found[target] = [figure(row) for row in own], [figure(row) for row in other]
    return found


def _ratio(other: list[ByHandRow], own: list[ByHandRow], figure: Figure) -> float:
    return sum(map(figure, other)) / sum(map(figure, own))
