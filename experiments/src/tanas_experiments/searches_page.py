"""What is written and shown of searches side by side."""

from __future__ import annotations

import os
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tanas.algorithm.presets import SearchConfig
from tanas.cli.text import table as text_table
from tanas.engines.local import LocalEngine
from tanas.engines.resources import Resources
from tanas.ground.devices import processors
from tanas.ground.errors import SettingError
from tanas.ground.events import Listener
from tanas.ground.records import SCHEMA, digest, from_plain, to_plain, write_bytes
from tanas.ground.versions import processor, versions
from tanas.tasks.library import Library
from tanas_experiments.folder import alone_with, experiment_folder
from tanas_experiments.markdown import effect, percent, provenance, table, verdict
from tanas_experiments.packed import read_packed, write_packed
from tanas_experiments.paired import OverTargets, PairedDifference, over_targets, paired, spread
from tanas_experiments.progress import reached
from tanas_experiments.searches import (
    ARMS,
    AWARE,
    BLIND,
    EVERY,
    KIND,
    LARGEST,
    RIVALS,
    TRANSFER,
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
            write_packed(folder / RECORD_FILE, made[0])
            if record is not None:
                write_packed(record, made[0])

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
    found = read_packed(SearchesRecord, path)
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
    """The page's text, Markdown: a section a question.

    Args:
        record: of the searches.
        folder: of the picture, from the page, ending in a slash; None: there is no picture.
    """
    if not record.rows:
        return "No search has been made yet.\n"
    config = at_scale(record.scale)
    planned = sum(len(arms_of(config, t.label, seed)) for t in config.targets for seed in config.seeds)
    parts = [f"**Not finished**: {record.n} of {planned} searches."] if record.n < planned else []
    parts += [_better(record, folder), _errors(record), _costs(record), _soon(record), _conditions(record)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _better(record: SearchesRecord, folder: str | None) -> str:
    rows, shown, others = [], [], 0
    for arm in arms_in(record):
        pairs, by_target = compared(record, arm), compared_by_target(record, arm)
        if arm == AWARE.name or pairs is None or by_target is None:
            continue
        found = _counted(pairs, by_target)
        if (said := verdict(found)) == "Yes":
            shown.append(f"'{arm}', {effect(found, 'points')}")
        others += said != "Yes"
        rows.append(
            [
                arm,
                said,
                effect(found),
                f"{by_target.less} of {by_target.means.n} ({by_target.found})",
                effect(pairs),
                _or_empty(compared(record, arm, balanced=True)),
                str(pairs.n),
            ]
        )
    if not rows:
        return ""
    yes = (
        f"**Yes against {len(shown)} of {len(rows)} ways**. Against {'. Against '.join(shown)}. "
        if shown
        else ""
    )
    no = f"Against {'the other' if shown else 'all'} {others} it is not shown." if others else ""
    every = [one for one in answers(record) if one.own == EVERY]
    picture = [
        f"![Difference from task-aware FUSE by arm]({folder}{PICTURE}.svg)",
        "A pale dot is a target and seed. The large dot is their mean, the line its 95 % interval, drawn from "
        f"{LEAST_PAIRS} pairs on.",
    ]
    parts = [
        f"## Does {AWARE.name} err less than other ways?",
        f"{yes}{no if yes else f'**{no}**'}",
        table(
            [
                f"{AWARE.name} against",
                "less error?",
                "means of targets, points",
                "less on (significant)",
                "all pairs, points",
                "all pairs, balanced error",
                "n",
            ],
            rows,
        ),
        *(picture if folder is not None else []),
        "An effect is the test error of task-aware FUSE minus that of the other way: below 0 it errs less. Each target "
        "counts once; with six targets all must agree (p = 0.031). This test was named before the first run. The test "
        "of all pairs stands beside it, but treats the seeds of one target as independent.",
    ]
    if every:
        parts += [
            "## Does a memory help when nothing is measured?",
            " ".join(
                f"**{verdict(one.found)} against {one.other}: {effect(one.found, 'points')}.**"
                for one in every
            ),
            f"{EVERY}: all known tasks count alike. This question was asked with half of the searches in view.",
        ]
    return "\n\n".join(parts)


def _errors(record: SearchesRecord) -> str:
    by = {(arm, target): _of(record, arm, target) for arm in arms_in(record) for target in record.targets}
    whole = [arm for arm in arms_in(record) if all(by[arm, target] for target in record.targets)]
    means = {
        arm: statistics.fmean(_mean_error(by[arm, target]) for target in record.targets) for arm in whole
    }
    least = min(means, key=means.__getitem__, default=None)
    said = [f"**'{least}' has the lowest mean: {percent(means[least], 2)}.**"] if least is not None else []
    return "\n\n".join(
        [
            "## How large are the errors?",
            *said,
            table(
                ["test error, %", *record.targets, "mean"],
                [
                    [
                        arm,
                        *(_mean_and_spread(by[arm, target]) for target in record.targets),
                        f"{100 * means[arm]:.2f}" if arm in means else "",
                    ]
                    for arm in arms_in(record)
                ],
            ),
            f"Mean ± standard deviation over seeds {', '.join(map(str, record.seeds))}; {record.n} searches.",
        ]
    )


def _costs(record: SearchesRecord) -> str:
    own = {(row.target, row.seed): row for row in record.rows if row.arm == AWARE.name}
    rows, shares = [], {}
    for arm in arms_in(record):
        those = _of(record, arm)
        both = [(row, own[row.target, row.seed]) for row in those if (row.target, row.seed) in own]
        if both:
            spent = [sum(row.spent_before_training for row in rows) for rows in zip(*both, strict=True)]
            shares[arm] = spent[0] / spent[1]
        searching = [sum(s for phase, s in row.took_s.items() if phase != "train") for row in those]
        rows.append(
            [
                arm,
                str(len(those)),
                f"{statistics.fmean(row.spent_before_training for row in those) / 1e9:,.0f}",
                percent(shares[arm]) if arm in shares else "",
                f"{statistics.fmean(row.spent['train'] for row in those) / 1e9:,.0f}",
                f"{statistics.fmean(searching):.0f} + {statistics.fmean(row.took_s['train'] for row in those):.0f}",
                f"{statistics.median(row.parameters for row in those):,.0f}",
            ]
        )
    equal = [share for arm, share in shares.items() if arm not in (AWARE.name, TRANSFER, ZERO_LINE, LARGEST)]
    said = (
        f"**Searches cost alike, by design: {percent(min(equal))} to {percent(max(equal))} of {AWARE.name}'s "
        "multiply-adds before the final training.**"
        if equal
        else ""
    )
    return "\n\n".join(
        part
        for part in (
            "## What does a search cost?",
            said,
            table(
                [
                    "",
                    "n",
                    "G multiply-adds before the final training",
                    f"of {AWARE.name}'s",
                    "G multiply-adds of the final training",
                    "seconds, search + training",
                    "parameters (median)",
                ],
                rows,
            ),
        )
        if part
    )


def _conditions(record: SearchesRecord) -> str:
    settings = record.settings
    lines = [
        f"A search by FUSE may spend what {settings['budget_scores']} scores of architectures of mean cost take; "
        "only that ends it. It cannot buy part of a round, so up to a quarter stays unspent.",
        f"Any other strategy may spend what {AWARE.name} spent. That pays for about four trainings, so evolution and "
        "the predictor begin with two.",
        "A search that measures no distance may also spend what representing and measuring took.",
        f"'{TRANSFER}', '{ZERO_LINE}' and '{LARGEST}' search nothing, so they cost less.",
        f"'{UNION}' and '{TRANSFER}' run for seeds below {settings['few_seeds']}. The rivals run for seeds below "
        f"{settings['rival_seeds']} on {' and '.join(settings['rivals_on']) or 'no target'}.",
        "All searches share one dictionary, made from seed 0. Another dictionary is not in the spread.",
        *_left_out(record),
        provenance(record.command, record.hardware, record.versions),
    ]
    return "\n".join(["Conditions:", "", *(f"- {line}" for line in lines)])


def _left_out(record: SearchesRecord) -> list[str]:
    """What the limits reject."""
    asked = [row.left_out for row in record.rows if row.left_out is not None]
    over, drawn = sum(one[0] for one in asked), sum(one[1] for one in asked)
    return (
        [f"The limits of the space reject {percent(over / drawn)} of what is drawn from it."] if over else []
    )


def _of(record: SearchesRecord, arm: str, target: str | None = None) -> list[SearchRow]:
    return [row for row in record.rows if row.arm == arm and target in (None, row.target)]


def _mean_error(rows: Sequence[SearchRow]) -> float:
    return statistics.fmean(row.test_error for row in rows)


def _mean_and_spread(rows: Sequence[SearchRow]) -> str:
    return mean_and_spread([row.test_error for row in rows]) if rows else ""


def _soon(record: SearchesRecord) -> str:
    """After how many rounds and at what cost FUSE has what it ends with where it knows nothing; empty: not known."""
    told = {(row.arm, row.target, row.seed): row.progress for row in record.rows if row.progress}
    rows, reaches = [], {}
    for arm in arms_in(record):
        pairs = [
            (own, other)
            for (name, target, seed), own in told.items()
            if name == arm and (other := told.get((BLIND, target, seed))) is not None
        ]
        if (found := reached(pairs, rounds=(1, 2))) is None:
            continue
        end = statistics.fmean(own[-1].score for own, _ in pairs)
        reaches[arm] = next(iter(found.after.values())), end
        rows.append(
            [
                arm,
                str(found.searches),
                f"{found.rounds:.1f}",
                *(f"{score:.3f}" for score in found.after.values()),
                f"{end:.3f}",
                f"{statistics.fmean(own[-1].spent for own, _ in pairs) / 1e9:,.0f}",
                f"{len(found.shares)} of {found.searches}",
                percent(statistics.median(found.shares)) if found.shares else "",
            ]
        )
    if not rows:
        return ""
    parts = ["## How soon does a search reach its result?"]
    if AWARE.name in reaches and BLIND in reaches:
        (first, _), (_, last) = reaches[AWARE.name], reaches[BLIND]
        parts.append(
            f"**{AWARE.name[0].upper()}{AWARE.name[1:]} has l = {first:.3f} after one round; {BLIND} ends with "
            f"{last:.3f} (n = {rows[0][1]} each).**"
        )
    head = ["", "n", "rounds", "l after 1", "after 2", "at the end", "G multiply-adds", "reaches it", "at"]
    return "\n\n".join(
        [
            *parts,
            table(head, rows),
            f"l: the best so far after the fixed short training, mean over searches. 'Reaches it': searches with the l "
            f"that '{BLIND}' ended with on the same target and seed. 'At': the median of their spending by then, as a "
            "share of what that search had spent when it first had it. A short training favours networks that learn "
            "fast.",
        ]
    )


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Whether one way has less test error than another."""

    question: str
    own: str
    other: str
    pairs: PairedDifference
    by_target: OverTargets

    @property
    def found(self) -> PairedDifference:
        """What decides."""
        return _counted(self.pairs, self.by_target)

    @property
    def text(self) -> str:
        """The answer in a sentence."""
        return answered(self.pairs, self.by_target)


def answers(record: SearchesRecord) -> tuple[Answer, ...]:
    """The answer to each question that was measured, whatever it is."""
    aware, blind = AWARE.name, "random search that knows nothing"
    asked = (
        ("Does knowing other tasks help FUSE?", aware, BLIND),
        ("Does it matter that the known tasks are near?", aware, "FUSE from the farthest"),
        ("Are the nearest tasks better than random ones?", aware, "FUSE from random tasks"),
        ("Is task-aware FUSE better than random search in its space?", aware, ARMS[1].name),
        ("Is it better than random search without a memory?", aware, blind),
        ("Is it better than FUSE in the paper's union?", aware, UNION),
        ("Is it better than the nearest task's best architecture?", aware, TRANSFER),
        ("Is it better than one random architecture?", aware, ZERO_LINE),
        ("Is it better than the largest of many?", aware, LARGEST),
        ("Is it better than FUSE from all known tasks, none measured?", aware, EVERY),
        ("Is FUSE from all known tasks better than FUSE that knows nothing?", EVERY, BLIND),
        ("Is FUSE from all known tasks better than random search without a memory?", EVERY, blind),
    )
    found = []
    for question, own, other in asked:
        pairs, by_target = compared(record, other, own=own), compared_by_target(record, other, own=own)
        if pairs is not None and by_target is not None:
            found.append(Answer(question=question, own=own, other=other, pairs=pairs, by_target=by_target))
    return tuple(found)


def _counted(pairs: PairedDifference, by_target: OverTargets) -> PairedDifference:
    """The means of the targets; of a single target its seeds."""
    return by_target.means if by_target.means.n > 1 else pairs


def answered(pairs: PairedDifference, by_target: OverTargets) -> str:
    """The answer in words, by the means of the targets; of a single target by its seeds."""
    found = _counted(pairs, by_target)
    several = f"{found.n} targets, n = {pairs.n}" if found is not pairs else f"n = {pairs.n}"
    return f"{verdict(found)}: {effect(found, 'points of test error')}; {several}."


def _or_empty(found: PairedDifference | None) -> str:
    return "" if found is None else effect(found)


def mean_and_spread(values: Sequence[float]) -> str:
    """Shares in per cent: their mean, and the standard deviation if there are several."""
    about = spread(values)
    mean = f"{statistics.fmean(values) * 100:.2f}"
    return mean if about is None else f"{mean} ± {about * 100:.2f}"


def terminal_text(record: SearchesRecord, folder: Path) -> str:
    """What a terminal shows."""
    rows = []
    for target in record.targets:
        for arm in arms_in(record):
            if those := _of(record, arm, target):
                found = None if arm == AWARE.name else compared(record, arm, target=target)
                rows.append([target, arm, str(len(those)), _mean_and_spread(those), _or_empty(found)])
    shown = text_table(["target", "", "n", "error %", f"{AWARE.name} minus it"], rows)
    said = [f"{one.question} {one.text}" for one in answers(record)]
    return "\n".join([shown, *said, f"summary: {folder / 'summary.md'}"])
