"""What is written and shown of searches side by side."""

from __future__ import annotations

import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tanas.algorithm.presets import SearchConfig
from tanas.cli.text import table
from tanas.engines.local import LocalEngine
from tanas.engines.resources import Resources
from tanas.ground.devices import processors
from tanas.ground.errors import SettingError
from tanas.ground.events import Listener
from tanas.ground.records import SCHEMA, digest, from_plain, read_record, to_plain, write_bytes, write_json
from tanas.ground.versions import processor, versions
from tanas.tasks.library import Library
from tanas_experiments.folder import alone_with, experiment_folder
from tanas_experiments.paired import (
    CHANCE,
    OverTargets,
    PairedDifference,
    less_error,
    over_targets,
    paired,
    spread,
)
from tanas_experiments.progress import reached
from tanas_experiments.searches import (
    ARMS,
    AWARE,
    BLIND,
    EVERY,
    KIND,
    LARGEST,
    RIVALS,
    UNION,
    UNSEARCHED,
    ZERO_LINE,
    SearchesConfig,
    SearchRow,
    arms_of,
    at_scale,
    searched,
    settings_of,
)

RECORD_FILE = "search.json"
PICTURE = "search"
"""Name of the picture, without its suffix."""
LEAST_PAIRS = 6
"""Of so few pairs an exact sign-flip test can just find something at `CHANCE` (2 of 64 ways); below it the
picture has no interval, as a bootstrap of so few is too narrow."""


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
    dictionary: Path | None = None,
    resources: Resources,
    engine: LocalEngine,
    listener: Listener,
) -> SearchesRecord:
    """Runs searches side by side into a folder, or goes on with one that is there.

    Several processes can share the work: each takes other targets or seeds into a folder of its own, and all write to
    one record and use one dictionary.

    Args:
        folder: of the experiment.
        config: what is compared.
        library: opens the tasks.
        record: a file to which each search is added as well; what stands in it at the beginning is not made again.
        dictionary: folder of the known tasks, which is made or completed; None: one in that of the experiment.
        resources: of the machine.
        engine: runs jobs.
        listener: is told what happens.

    Raises:
        StoreError: the folder is something else's.
        SettingError: folder or record were begun with other settings.
        DataError: the data of a task is not there.
    """
    settings = settings_of(config)
    request = {
        "scale": config.scale,
        "settings": digest(_shared(settings)),
        "split_seed": library.reading.split_seed,
    }
    hardware = {
        "processor": processor(),
        "cores": os.cpu_count(),
        "cores of a process": processors(),
        "threads": resources.threads,
        "workers": resources.workers or processors(),
    }
    there = _there(record, settings) if record is not None else ()
    made: list[SearchesRecord] = []

    def keep(rows: Sequence[SearchRow]) -> None:
        with alone_with(record):
            # what another process has added meanwhile stays
            others = _there(record, settings) if record is not None else ()
            made[:] = [_record(config, settings, _merged(others, rows), hardware)]
            write_json(folder / RECORD_FILE, made[0])
            if record is not None:
                write_json(record, made[0])

    with experiment_folder(folder, KIND, request):
        known = _merged(there, _there(folder / RECORD_FILE, settings))
        keep(known)
        searched(
            config,
            library,
            folder,
            dictionary=dictionary,
            there=known,
            resources=resources,
            engine=engine,
            listener=listener,
            done=keep,
        )
        write_bytes(folder / "summary.md", searches_page(made[0]).encode())
    return made[0]


def _merged(first: Sequence[SearchRow], more: Sequence[SearchRow]) -> tuple[SearchRow, ...]:
    """The rows of both; of the same search that of the first."""
    return tuple({(row.target, row.seed, row.arm): row for row in (*more, *first)}.values())


def _there(path: Path, settings: dict[str, Any]) -> tuple[SearchRow, ...]:
    if not path.exists():
        return ()
    found = read_record(SearchesRecord, path)
    if not _goes_on(found, settings):
        raise SettingError(
            f"{path} holds searches that were made with other settings than these. Name another --record."
        )
    return found.rows


def _shared(settings: Mapping[str, Any]) -> dict[str, Any]:
    """What decides the rows of every arm; a setting that an older record lacks is at its default."""
    shared = {name: value for name, value in settings.items() if name != "arms"}
    if "search" in shared:
        shared["search"] = to_plain(
            from_plain(SearchConfig, shared["search"], where="the settings of a record")
        )
    return shared


def _goes_on(found: SearchesRecord, settings: Mapping[str, Any]) -> bool:
    """Whether the rows of a record can stand beside new ones: an arm more leaves those of the others as they are."""
    before, now = (
        {arm["name"]: digest(arm) for arm in every.get("arms", ())} for every in (found.settings, settings)
    )
    same = all(row.arm in before and before[row.arm] == now.get(row.arm) for row in found.rows)
    return same and digest(_shared(found.settings)) == digest(_shared(settings))


def _record(
    config: SearchesConfig, settings: dict[str, Any], rows: Sequence[SearchRow], hardware: dict[str, Any]
) -> SearchesRecord:
    order = {arm.name: at for at, arm in enumerate((*ARMS, *UNSEARCHED, *RIVALS))}
    targets = list(settings["targets"])
    ordered = sorted(rows, key=lambda r: (targets.index(r.target), r.seed, order[r.arm]))
    return SearchesRecord(
        kind=KIND,
        schema=SCHEMA,
        scale=config.scale,
        command=f"TANAS_DATA=DIR tanas reproduce search --scale {config.scale} --out WORK --record RECORD",
        n=len(rows),
        seeds=tuple(sorted({row.seed for row in rows})),
        hardware=hardware,
        versions=versions(),
        settings=settings,
        targets=tuple(t for t in targets if any(row.target == t for row in rows)),
        rows=tuple(ordered),
    )


def arms_in(record: SearchesRecord) -> tuple[str, ...]:
    """The arms of a record: those that the experiment is about first, those that search nothing last."""
    names = {row.arm for row in record.rows}
    return tuple(arm.name for arm in (*ARMS, *RIVALS, *UNSEARCHED) if arm.name in names)


def compared(
    record: SearchesRecord,
    arm: str,
    *,
    own: str = AWARE.name,
    target: str | None = None,
    balanced: bool = False,
) -> PairedDifference | None:
    """The test error of an arm minus that of another, on the same targets and seeds.

    Args:
        record: of the searches.
        arm: whose error is positive where it is worse.
        own: the arm that it is held against.
        target: a single one; None: all, each pair of target and seed counted once.
        balanced: the balanced error instead of the error.

    Returns:
        None: there is no pair.
    """
    mine, other = _figures(record, own, target, balanced), _figures(record, arm, target, balanced)
    both = [key for key in mine if key in other]
    return paired([mine[key] for key in both], [other[key] for key in both]) if both else None


def compared_by_target(
    record: SearchesRecord, arm: str, *, own: str = AWARE.name, balanced: bool = False
) -> OverTargets | None:
    """The same with each target counted once, by its mean over seeds.

    Args:
        record: of the searches.
        arm: the other one.
        own: the arm that it is held against.
        balanced: the balanced error instead of the error.

    Returns:
        None: there is no pair.
    """
    pairs = {}
    for target in record.targets:
        mine = _figures(record, own, target, balanced)
        other = _figures(record, arm, target, balanced)
        if both := [key for key in mine if key in other]:
            pairs[target] = ([mine[key] for key in both], [other[key] for key in both])
    return over_targets(pairs) if pairs else None


def _figures(
    record: SearchesRecord, arm: str, target: str | None, balanced: bool
) -> dict[tuple[str, int], float]:
    return {
        (row.target, row.seed): row.test_balanced_error if balanced else row.test_error
        for row in record.rows
        if row.arm == arm and target in (None, row.target)
    }


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
    settings = record.settings
    parts += [
        f"Scale `{record.scale}`, {record.n} searches, seeds {', '.join(map(str, record.seeds))}. Errors on the test "
        "split, mean and standard deviation over seeds. 'Against' is the arm's error minus task-aware FUSE's on the "
        "same targets and seeds, in points, with a 95 % bootstrap interval and the probability of an exact sign-flip "
        "test (two-sided). Named before the first run: what counts is the test error, and the test is that of the "
        "means of the targets, each of which counts once; of six targets all must agree (p = .031). Beside it stands "
        "the test of all pairs, which takes seeds of one target for independent of each other.",
        "Cost is multiply-adds of training, forward and backward, all counted. Every search by FUSE may spend on a "
        f"target what {settings['budget_scores']} scores of architectures of mean cost take, its own scores among "
        "them, and nothing else ends it: one that inherits large architectures tries fewer. It can't buy a part of a "
        "round, so up to a quarter stays unspent, whoever it inherits from; the cost against task-aware FUSE's is in "
        "the table. Any other strategy may spend what task-aware FUSE spent, and stops before it would exceed that; as "
        "that pays for some four trainings, evolution begins with two alive and the predictor with two by chance. "
        "What measures no distance may also spend what representing the task and measuring took. 'Transfer', "
        "the random architecture and the largest search nothing, so they cost less. The final training is the same "
        "recipe for all; it costs what the architecture does.",
        f"'{EVERY}', and what is asked of it, came later, with half of the other searches in view; the rest was named "
        "before. "
        f"'{UNION}' and 'transfer, no search' run for seeds below {settings['few_seeds']}; the rivals for seeds below "
        f"{settings['rival_seeds']} on {' and '.join(settings['rivals_on']) or 'no target'}. All searches share one "
        "dictionary, made from seed 0: another one is not in the spread." + _left_out(record),
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
    if soon := _soon(record):
        parts.append(soon)
    made = ", ".join(f"{name} {version}" for name, version in sorted(record.versions.items()))
    machine = ", ".join(f"{name} {value}" for name, value in record.hardware.items() if name != "processor")
    parts.append(f"Made by `{record.command}` on {record.hardware['processor']} ({machine}); {made}.")
    return "\n\n".join(parts) + "\n"


def _left_out(record: SearchesRecord) -> str:
    """What the limits reject, a sentence; empty if they reject nothing."""
    asked = [row.left_out for row in record.rows if row.left_out is not None]
    over, drawn = sum(one[0] for one in asked), sum(one[1] for one in asked)
    return f" The limits of the space leave out {over / drawn:.0%} of what is drawn from it." if over else ""


def _target_table(record: SearchesRecord, target: str) -> str:
    own = {row.seed: row for row in record.rows if row.target == target and row.arm == AWARE.name}
    rows = []
    for arm in arms_in(record):
        those = [row for row in record.rows if row.target == target and row.arm == arm]
        if not those:
            continue
        both = [
            (row.spent_before_training, own[row.seed].spent_before_training)
            for row in those
            if row.seed in own
        ]
        searching = [sum(s for phase, s in row.took_s.items() if phase != "train") for row in those]
        rows.append(
            [
                arm,
                str(len(those)),
                percent([row.test_error for row in those]),
                percent([row.test_balanced_error for row in those]),
                f"{statistics.median(row.parameters for row in those):,.0f}",
                f"{statistics.fmean(row.spent_before_training for row in those) / 1e9:,.0f}",
                f"{sum(mine for mine, _ in both) / sum(theirs for _, theirs in both):.0%}" if both else "",
                f"{statistics.fmean(row.spent['train'] for row in those) / 1e9:,.0f}",
                f"{statistics.fmean(searching):.0f} + {statistics.fmean(row.took_s['train'] for row in those):.0f}",
                "" if arm == AWARE.name else _difference(compared(record, arm, target=target)),
            ]
        )
    head = [
        "",
        "n",
        "error %",
        "balanced error %",
        "parameters (median)",
        "G multiply-adds before the final training",
    ]
    head += [
        f"of {AWARE.name}'s",
        "G multiply-adds of the final training",
        "seconds, search + training",
        "against",
    ]
    return markdown(head, rows)


def _pooled(record: SearchesRecord) -> str:
    rows = []
    for arm in arms_in(record):
        found = compared_by_target(record, arm)
        if arm == AWARE.name or found is None:
            continue
        rows.append(
            [
                arm,
                _difference(found.means),
                f"{found.less} of {found.means.n} ({found.found})",
                _difference(compared(record, arm)),
                _difference(compared(record, arm, balanced=True)),
            ]
        )
    head = ["", "means of targets", f"targets with less error by {AWARE.name} (significant)"]
    return markdown([*head, "all pairs", "all pairs, balanced error"], rows)


def _soon(record: SearchesRecord) -> str:
    """After how many rounds and at what cost FUSE has what it ends with where it knows nothing; empty: not known."""
    told = {(row.arm, row.target, row.seed): row.progress for row in record.rows if row.progress}
    rows = []
    for arm in arms_in(record):
        pairs = [
            (own, other)
            for (name, target, seed), own in told.items()
            if name == arm and (other := told.get((BLIND, target, seed))) is not None
        ]
        if (found := reached(pairs, rounds=(1, 2))) is None:
            continue
        rows.append(
            [
                arm,
                str(found.searches),
                f"{found.rounds:.1f}",
                *(f"{score:.3f}" for score in found.after.values()),
                f"{statistics.fmean(own[-1].score for own, _ in pairs):.3f}",
                f"{statistics.fmean(own[-1].spent for own, _ in pairs) / 1e9:,.0f}",
                f"{len(found.shares)} of {found.searches}",
                f"{statistics.median(found.shares):.0%}" if found.shares else "",
            ]
        )
    if not rows:
        return ""
    head = ["", "n", "rounds", "l after 1", "after 2", "at the end", "G multiply-adds", "has it", "at"]
    return (
        "How soon does a search get there? The best l so far after the fixed short training, by which FUSE chooses in "
        f"the end, means over targets and seeds; how many searches had the l that '{BLIND}' ended with on the same "
        "target and seed, and the median of what those had spent by then (representing and measuring among it), of "
        "what that one had spent when it first had it. A short training favours networks that learn fast, so this says "
        f"when a search can end; what its choice is worth stands in the tables above.\n\n{markdown(head, rows)}"
    )


def answers(record: SearchesRecord) -> tuple[str, ...]:
    """A plain sentence for each question, whatever the answer."""
    aware, blind = AWARE.name, "random search that knows nothing"
    asked = (
        ("Does knowing other tasks help FUSE", BLIND),
        ("Does it matter that they are near", "FUSE from the farthest"),
        ("Are the nearest better than random ones", "FUSE from random tasks"),
        ("Is task-aware FUSE better than random search in the same space at equal cost", ARMS[1].name),
        ("Is it better than random search that knows nothing at equal total cost", blind),
        ("Is it better than FUSE in the paper's hard union of what the nearest have", UNION),
        (
            "Is it better than the nearest task's best architecture, taken over without a search",
            "transfer, no search",
        ),
        ("Is it better than no search: one random architecture", ZERO_LINE),
        ("Is it better than the largest of many that are drawn, taken without a search", LARGEST),
        ("Does measuring pay: is it better than FUSE from all known tasks alike, at equal total cost", EVERY),
    )
    questions = [(question, aware, arm) for question, arm in asked]
    every = "Is FUSE from all known tasks alike, with nothing measured, better than"
    questions += [
        (f"{every} {BLIND}", EVERY, BLIND),
        (f"{every} random search that knows nothing", EVERY, blind),
    ]
    lines = []
    for question, own, arm in questions:
        found, by_target = compared(record, arm, own=own), compared_by_target(record, arm, own=own)
        if found is not None and by_target is not None:
            late = " Asked with half of the searches in view." if EVERY in (own, arm) else ""
            lines.append(f"{question}? {verdict(found, by_target)}{late}")
    return tuple(lines)


def verdict(pairs: PairedDifference, by_target: OverTargets) -> str:
    """The answer, by the means of the targets; of a single target by its seeds."""
    several = by_target.means.n > 1
    found = by_target.means if several else pairs
    known = found.p is not None and found.p < CHANCE
    said = ("Yes" if found.mean > 0 else "No") if known else "It can't be told"
    said += f": {less_error(found)}"
    if not several:
        return f"{said}, {_chance(pairs)}."
    return (
        f"{said}, p = {found.p:.2g} over {found.n} targets; less on {by_target.less}, "
        f"significantly within the target on {by_target.found}. All pairs: {_chance(pairs)}."
    )


def _chance(found: PairedDifference) -> str:
    return f"n = {found.n}" if found.p is None else f"n = {found.n}, p = {found.p:.2g}"


def _difference(found: PairedDifference | None) -> str:
    if found is None:
        return ""
    text = f"{found.mean * 100:+.2f}"
    if found.low is None or found.high is None or found.p is None:
        return text
    return f"{text} [{found.low * 100:+.2f}, {found.high * 100:+.2f}], p {found.p:.2g}"


def percent(values: Sequence[float]) -> str:
    """Shares in per cent: their mean, and the standard deviation if there are several."""
    about = spread(values)
    mean = f"{statistics.fmean(values) * 100:.2f}"
    return mean if about is None else f"{mean} ± {about * 100:.2f}"


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown."""
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
                        percent([r.test_error for r in those]),
                        _difference(found),
                    ]
                )
    shown = table(["target", "", "n", "error %", "against task-aware FUSE"], rows)
    return "\n".join([shown, *answers(record), f"summary: {folder / 'summary.md'}"])
