"""What is written and shown of searches side by side."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tanas.engines.local import LocalEngine
from tanas.errors import SettingError
from tanas.events import Listener
from tanas.evidence.folder import experiment_folder
from tanas.evidence.paired import PairedDifference, paired, spread
from tanas.evidence.searches import (
    ARMS,
    AWARE,
    KIND,
    UNION,
    ZERO_LINE,
    SearchesConfig,
    SearchRow,
    arms_of,
    at_scale,
    searched,
    settings_of,
)
from tanas.records import SCHEMA, digest, read_record, write_bytes, write_json
from tanas.tasks.library import Library
from tanas.versions import processor, versions
from tanas.views import table
from tanas.workshop import Resources

RECORD_FILE = "search.json"
PICTURE = "search"
"""Name of the picture, without its suffix."""
LEAST_PAIRS = 6
"""Of so few pairs an exact sign-flip test can just find something at `CHANCE` (2 of 64 ways); below it the
picture has no interval, as a bootstrap of so few is too narrow."""
CHANCE = 0.05
"""Below this probability of so large a difference by chance, a difference counts as found."""


@dataclass(frozen=True, kw_only=True)
class SearchesRecord:
    """Searches side by side."""

    kind: str
    schema: int
    scale: str
    command: str
    """Remakes this record."""
    n: int
    """Number of searches."""
    seeds: tuple[int, ...]
    hardware: dict[str, Any]
    versions: dict[str, str]
    settings: dict[str, Any]
    targets: tuple[str, ...]
    rows: tuple[SearchRow, ...]


def reproduce_search(
    folder: Path,
    config: SearchesConfig,
    library: Library,
    *,
    record: Path | None,
    resources: Resources,
    engine: LocalEngine,
    listener: Listener,
) -> SearchesRecord:
    """Runs searches side by side into a folder, or goes on with one that is there.

    Args:
        folder: of the experiment.
        config: what is compared.
        library: opens the tasks.
        record: a file that is written after each search as well; what stands in it is not made again.
        resources: of the machine.
        engine: runs jobs.
        listener: is told what happens.

    Raises:
        StoreError: the folder is something else's.
        SettingError: folder or record were begun with other settings.
        DataError: the data of a task is not there.
    """
    settings = settings_of(config)
    request = {"scale": config.scale, "settings": digest(settings), "split_seed": library.reading.split_seed}
    there = _there(record, settings) if record is not None else ()
    made: list[SearchesRecord] = [_record(config, settings, there)]

    def keep(rows: tuple[SearchRow, ...]) -> None:
        made.append(_record(config, settings, rows))
        write_json(folder / RECORD_FILE, made[-1])
        if record is not None:
            write_json(record, made[-1])

    with experiment_folder(folder, KIND, request):
        own = folder / RECORD_FILE
        known = {(r.target, r.seed, r.arm): r for r in (*(_there(own, settings)), *there)}
        keep(tuple(known.values()))
        searched(
            config,
            library,
            folder,
            there=tuple(known.values()),
            resources=resources,
            engine=engine,
            listener=listener,
            done=keep,
        )
        write_bytes(folder / "summary.md", searches_page(made[-1]).encode())
    return made[-1]


def _there(path: Path, settings: dict[str, Any]) -> tuple[SearchRow, ...]:
    if not path.exists():
        return ()
    found = read_record(SearchesRecord, path)
    if digest(found.settings) != digest(settings):
        raise SettingError(
            f"{path} holds searches that were made with other settings than these. Name another --record."
        )
    return found.rows


def _record(config: SearchesConfig, settings: dict[str, Any], rows: Sequence[SearchRow]) -> SearchesRecord:
    order = {arm: at for at, arm in enumerate(dict.fromkeys(row.arm for row in rows))}
    targets = list(settings["targets"])
    ordered = sorted(rows, key=lambda r: (targets.index(r.target), r.seed, order[r.arm]))
    return SearchesRecord(
        kind=KIND,
        schema=SCHEMA,
        scale=config.scale,
        command=f"TANAS_DATA=DIR tanas reproduce search --scale {config.scale} --out WORK",
        n=len(rows),
        seeds=tuple(sorted({row.seed for row in rows})),
        hardware={"processor": processor()},
        versions=versions(),
        settings=settings,
        targets=tuple(t for t in targets if any(row.target == t for row in rows)),
        rows=tuple(ordered),
    )


def arms_in(record: SearchesRecord) -> tuple[str, ...]:
    """The arms of a record: those that the experiment is about first, the zero line last."""
    names = list(dict.fromkeys(row.arm for row in record.rows))
    first = [arm.name for arm in ARMS if arm.name in names]
    rest = [name for name in names if name not in first and name != ZERO_LINE]
    return (*first, *rest, *([ZERO_LINE] if ZERO_LINE in names else []))


def compared(
    record: SearchesRecord, arm: str, *, target: str | None = None, balanced: bool = False
) -> PairedDifference | None:
    """The test error of an arm minus that of task-aware FUSE, on the same targets and seeds.

    Args:
        record: of the searches.
        arm: the other one.
        target: a single one; None: all, each pair of target and seed counted once.
        balanced: the balanced error instead of the error.

    Returns:
        None: there is no pair.
    """

    def figures(name: str) -> dict[tuple[str, int], float]:
        return {
            (row.target, row.seed): row.test_balanced_error if balanced else row.test_error
            for row in record.rows
            if row.arm == name and target in (None, row.target)
        }

    own, other = figures(AWARE.name), figures(arm)
    both = [key for key in own if key in other]
    return paired([own[key] for key in both], [other[key] for key in both]) if both else None


def searches_page(record: SearchesRecord, *, folder: str | None = None) -> str:
    """The page's text, Markdown.

    Args:
        record: of the searches.
        folder: of the picture, from the page, ending in a slash; None: there is no picture.
    """
    if not record.rows:
        return "No search has been made yet.\n"
    config = at_scale(record.scale)
    planned = sum(len(arms_of(config, t.label, seed)) for t in config.targets for seed in config.seeds)
    parts = [f"**Not finished**: {record.n} of {planned} searches."] if record.n < planned else []
    parts += [
        f"Scale `{record.scale}`, {record.n} searches, seeds {', '.join(map(str, record.seeds))}. Errors on the test "
        "split, mean and standard deviation over seeds. 'Against' is the arm's error minus task-aware FUSE's on the "
        "same targets and seeds, in points, with a 95 % bootstrap interval and the probability of an exact sign-flip "
        "test (two-sided, named before the first run). Costs are multiply-adds of everything before the final "
        "training, which is the same for all. The controls and rivals get the same recipe, data and seeds. All "
        "searches share one dictionary, made from seed 0: another one is not in the spread.",
    ]
    for target in record.targets:
        parts.append(f"**{target}**\n\n{_target_table(record, target)}")
    if len(record.targets) > 1:
        parts.append(f"**All targets together**\n\n{_pooled(record)}")
    if folder is not None:
        parts.append(
            f"Test error of each arm minus task-aware FUSE's, over all targets: a pale dot is a target and seed, the "
            f"large one their mean, the line its 95 % interval, drawn from {LEAST_PAIRS} pairs on.\n\n"
            f"![Difference from task-aware FUSE by arm]({folder}{PICTURE}.svg)"
        )
    parts.append("\n".join(f"- {line}" for line in answers(record)))
    made = ", ".join(f"{name} {version}" for name, version in sorted(record.versions.items()))
    parts.append(f"Made by `{record.command}` on {record.hardware['processor']}; {made}.")
    return "\n\n".join(parts) + "\n"


def _target_table(record: SearchesRecord, target: str) -> str:
    rows = []
    for arm in arms_in(record):
        those = [row for row in record.rows if row.target == target and row.arm == arm]
        if not those:
            continue
        rows.append(
            [
                arm,
                str(len(those)),
                _percent([row.test_error for row in those]),
                _percent([row.test_balanced_error for row in those]),
                f"{statistics.median(row.parameters for row in those):,.0f}",
                f"{statistics.fmean(row.spent_before_training for row in those) / 1e9:,.0f}",
                "" if arm == AWARE.name else _difference(compared(record, arm, target=target)),
            ]
        )
    return _markdown(
        ["", "n", "error %", "balanced error %", "parameters (median)", "G multiply-adds", "against"], rows
    )


def _pooled(record: SearchesRecord) -> str:
    rows = [
        [arm, _difference(compared(record, arm)), _difference(compared(record, arm, balanced=True))]
        for arm in arms_in(record)
        if arm != AWARE.name
    ]
    return _markdown(["", "error against", "balanced error against"], rows)


def answers(record: SearchesRecord) -> tuple[str, ...]:
    """A plain sentence for each question, whatever the answer."""
    questions = (
        ("Does knowing other tasks help FUSE", "FUSE that knows nothing"),
        ("Does it matter that they are near", "FUSE from the farthest"),
        ("Are the nearest better than random ones", "FUSE from random tasks"),
        ("Is task-aware FUSE better than random search in the same space at equal cost", ARMS[1].name),
        ("Is it better than random search that knows nothing at equal total cost", ARMS[3].name),
        ("Is it better than FUSE in the paper's hard union of what the nearest have", UNION),
        (
            "Is it better than the nearest task's best architecture, taken over without a search",
            "transfer, no search",
        ),
        ("Is it better than no search: one random architecture", ZERO_LINE),
    )
    lines = []
    for question, arm in questions:
        found = compared(record, arm)
        if found is not None:
            lines.append(f"{question}? {_verdict(found)}")
    return tuple(lines)


def _verdict(found: PairedDifference) -> str:
    size = f"{abs(found.mean) * 100:.2f} points of test error"
    if found.p is None or found.p >= CHANCE:
        return f"It can't be told: {'less' if found.mean > 0 else 'more'} by {size}, {_chance(found)}."
    return f"{'Yes' if found.mean > 0 else 'No, it is worse'}: {size}, {_chance(found)}."


def _chance(found: PairedDifference) -> str:
    return f"n = {found.n}" if found.p is None else f"n = {found.n}, p = {found.p:.3g}"


def _difference(found: PairedDifference | None) -> str:
    if found is None:
        return ""
    text = f"{found.mean * 100:+.2f}"
    if found.low is None or found.high is None or found.p is None:
        return text
    return f"{text} [{found.low * 100:+.2f}, {found.high * 100:+.2f}], p {found.p:.2g}"


def _percent(values: Sequence[float]) -> str:
    about = spread(values)
    mean = f"{statistics.fmean(values) * 100:.2f}"
    return mean if about is None else f"{mean} ± {about * 100:.2f}"


def _markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def terminal_text(record: SearchesRecord, folder: Path) -> str:
    """What a terminal shows."""
    rows = []
    for target in record.targets:
        for arm in arms_in(record):
            those = [row for row in record.rows if row.target == target and row.arm == arm]
            if those:
                found = None if arm == AWARE.name else compared(record, arm, target=target)
                rows.append(
                    [
                        target,
                        arm,
                        str(len(those)),
                        _percent([r.test_error for r in those]),
                        _difference(found),
                    ]
                )
    shown = table(["target", "", "n", "error %", "against task-aware FUSE"], rows)
    return "\n".join([shown, *answers(record), f"summary: {folder / 'summary.md'}"])
