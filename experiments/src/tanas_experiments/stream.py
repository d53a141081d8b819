"""Tasks that arrive one after the other: does the memory make the next search cheaper, and from which task on?

Source: Algorithm 1, its outer loop.
"""

from __future__ import annotations

import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tanas.algorithm.presets import ALL, AUTO, SearchConfig, compared, default, quick
from tanas.api.run import Job, run_search
from tanas.cli.text import table as text_table
from tanas.dictionary.store import Dictionary
from tanas.engines.local import LocalEngine
from tanas.engines.resources import Machine, Resources
from tanas.ground.devices import processors
from tanas.ground.errors import SettingError, check_choice, check_range
from tanas.ground.events import Listener, StepAdvanced, StepFinished, StepStarted
from tanas.ground.records import SCHEMA, digest, to_plain, write_bytes
from tanas.ground.seeds import Seed
from tanas.ground.versions import processor, versions
from tanas.networks.training import TrainingConfig
from tanas.runs.folder import slug
from tanas.spaces.inherit import DEFAULT_INHERIT
from tanas.tasks.library import Library
from tanas_experiments.by_maps import by_maps
from tanas_experiments.folder import alone_with, experiment_folder
from tanas_experiments.markdown import effect, percent, provenance, signed, table
from tanas_experiments.neighbours import inheriting
from tanas_experiments.packed import read_packed, write_packed
from tanas_experiments.paired import PairedDifference, paired
from tanas_experiments.searches import SearchRow, row_of

KIND = "stream"
RECORD_FILE = "stream.json"
PICTURE = "stream"
"""Name of the picture, without its suffix."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """What a way of searching makes of its memory."""

    inherit: str
    """What of the related tasks shapes the space."""
    warm_weights: bool = False
    """Whether their weights are tried too."""
    rounds: int | None = None
    """FUSE's rounds once enough is known; None: as many as by default."""

    def configured(self, search: SearchConfig) -> SearchConfig:
        """How it searches."""
        config = replace(inheriting(search, self.inherit), warm_weights=self.warm_weights)
        return config if self.rounds is None else replace(config, rounds_led=self.rounds)


LATE = 9
"""Known tasks from which on the searches of a stream are counted: the tenth search knows nine."""
EMPTY = "nothing known"
WITHOUT = "memory without distances, one round"
ONE_ROUND, TWO_ROUNDS = "memory, one round", "memory, two rounds"
ARMS: Mapping[str, Way] = {
    "memory, auto, warm weights": Way(inherit=AUTO, warm_weights=True, rounds=2),
    TWO_ROUNDS: Way(inherit=DEFAULT_INHERIT, rounds=2),
    ONE_ROUND: Way(inherit=DEFAULT_INHERIT, rounds=1),
    WITHOUT: Way(inherit=ALL, rounds=1),
    EMPTY: Way(inherit="none"),
}
"""The ways of searching by their names. The last one never has a dictionary."""


@dataclass(frozen=True, kw_only=True)
class StreamConfig:
    """Which tasks arrive, in how many orders."""

    scale: str
    tasks: tuple[str, ...]
    orders: int = 3
    """Each is drawn from a seed, which is also that of its searches."""
    first_order: int = 0
    """The others follow it."""
    search: SearchConfig = field(default_factory=SearchConfig)

    def __post_init__(self) -> None:
        check_range(self.orders, "orders", "StreamConfig", low=1)
        check_range(self.first_order, "first_order", "StreamConfig", low=0)

    def order(self, number: int) -> tuple[str, ...]:
        """The tasks as they arrive in an order."""
        places = Seed(number).child("stream").numpy().permutation(len(self.tasks))
        return tuple(self.tasks[int(place)] for place in places)


@dataclass(frozen=True, kw_only=True)
class Arrival:
    """One search of a stream."""

    order: int
    known: int
    """Tasks that had arrived before it."""
    inherited: str
    """How the space was shaped: 'transfer', 'prior', 'none'."""
    row: SearchRow


@dataclass(frozen=True, kw_only=True)
class StreamRecord:
    """A stream of tasks, with and without a memory."""

    kind: str
    schema: int
    scale: str
    command: str
    n: int
    """Number of searches."""
    seeds: tuple[int, ...]
    """Of the searches of each order, which are their numbers."""
    orders: tuple[int, ...]
    hardware: dict[str, Any]
    versions: dict[str, str]
    settings: dict[str, Any]
    arrivals: tuple[Arrival, ...]


def smoke_scale() -> StreamConfig:
    """Six tasks of digits in one order, offline."""
    return StreamConfig(
        scale="smoke",
        tasks=tuple(f"digits:is={digit}" for digit in range(6)),
        orders=1,
        search=by_maps(compared(quick(), TrainingConfig(epochs=12, batch=64))),
    )


def laptop_scale() -> StreamConfig:
    """Twenty tasks of four data sets in three orders; hours on two cores.

    Images and multiply-adds are limited as in the searches side by side, so that a search takes a minute on one core.
    """
    return StreamConfig(
        scale="laptop",
        tasks=(
            "digits",
            "digits:is=3",
            "digits:groups=0+2+4+6+8/1+3+5+7+9",
            "digits:only=0,1,2,3,4",
            "mnist:is=1:take=2000",
            "mnist:is=7:take=2000",
            "mnist:only=0,1,2,3,4:take=2000",
            "mnist:groups=0+2+4+6+8/1+3+5+7+9:take=2000",
            "mnist:take=2000",
            "fashion-mnist:is=trouser:take=2000",
            "fashion-mnist:is=bag:take=2000",
            "fashion-mnist:only=0,1,2,3,4:take=2000",
            "fashion-mnist:only=5,7,9:take=2000",
            "fashion-mnist:take=2000",
            "quickdraw:is=moon:take=2000",
            "quickdraw:is=apple:take=2000",
            "quickdraw:only=apple,bear,lollipop,rabbit:take=2000",
            "quickdraw:only=cat,dog,lion,horse:take=2000",
            "quickdraw:only=bicycle,car,train,airplane:take=2000",
            "quickdraw:only=flower,rainbow,book,eye,fish,house:take=2000",
        ),
        search=replace(
            by_maps(compared(default(), TrainingConfig(least_steps=150))), limit=1_500, max_macs=4_000_000
        ),
    )


SCALES: Mapping[str, Callable[[], StreamConfig]] = {"smoke": smoke_scale, "laptop": laptop_scale}
"""Settings by the name that `--scale` takes."""


def at_scale(scale: str, *, first_order: int = 0, orders: int | None = None) -> StreamConfig:
    """The settings of a scale.

    Args:
        scale: a name of `SCALES`.
        first_order: the others follow it.
        orders: how many; None: the scale's own number.

    Raises:
        SettingError: there is no such scale, or less than one order.
    """
    check_choice(scale, "scale", "stream", SCALES)
    config = SCALES[scale]()
    return replace(config, first_order=first_order, orders=config.orders if orders is None else orders)


def reproduce_stream(
    folder: Path,
    config: StreamConfig,
    library: Library,
    *,
    record: Path | None = None,
    resources: Resources,
    engine: LocalEngine,
    listener: Listener,
) -> StreamRecord:
    """Lets tasks arrive one after the other, into a folder or on with one that is there.

    Several processes can share the work: each takes other orders into a folder of its own, and all write to one record.
    The memories of an order are in one folder, so of an order that two take, the rows of one stand in the record.

    Args:
        folder: of the experiment; more orders than before are added to those that are there.
        config: which tasks, in how many orders.
        library: opens the tasks.
        record: a file to which each search is added as well; orders that stand in it whole are not made again.
        resources: of the machine.
        engine: runs jobs.
        listener: is told what happens.

    Raises:
        StoreError: the folder is something else's.
        SettingError: folder or record were begun with other settings.
        DataError: the data of a task is not there.
    """
    settings = settings_of(config, split_seed=library.reading.split_seed)
    request = {"scale": config.scale, "settings": digest(settings)}
    hardware = {
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": resources.threads,
        "workers": resources.workers or processors(),
    }
    tasks = {name: library.open(name) for name in config.tasks}
    orders = range(config.first_order, config.first_order + config.orders)
    with experiment_folder(folder, KIND, request):
        path = folder / RECORD_FILE
        done = {_key(one): one for one in _there(path, settings)}  # what this folder has the memories of
        made: list[StreamRecord] = []

        def keep() -> None:
            with alone_with(record):
                own = tuple(done.values())
                write_packed(path, record_of(config, settings, own, hardware))
                mine = {one.order for one in own}
                there = () if record is None else _there(record, settings)
                others = [one for one in there if one.order not in mine]  # what other processes have added
                made[:] = [record_of(config, settings, (*others, *own), hardware)]
                if record is not None:
                    write_packed(record, made[0])

        keep()
        each = len(config.tasks) * len(ARMS)
        step = f"stream at scale {config.scale}"
        listener(StepStarted(step=step, total=len(orders) * each, unit="searches"))
        for place, number in enumerate(orders):
            if sum(one.order == number for one in made[0].arrivals) == each:
                continue
            memories = {
                arm: Dictionary.create(folder / f"order-{number}" / slug(arm) / "dictionary") for arm in ARMS
            }
            # one way after the other on each task, so that what there is after any time can be compared
            for known, name in enumerate(config.order(number)):
                for arm, way in ARMS.items():
                    if (number, known, arm) not in done:
                        run = run_search(
                            tasks[name].limited(config.search.limit),
                            folder / f"order-{number}" / slug(arm) / "runs" / f"{known:02d}-{slug(name)}",
                            memories[arm],
                            Job(
                                remember=arm != EMPTY,
                                config=way.configured(config.search),
                                seed=number,
                                command=f"tanas reproduce stream --scale {config.scale}",
                            ),
                            Machine(resources=resources, engine=engine, listener=listener),
                        )
                        result = run.result()
                        done[number, known, arm] = Arrival(
                            order=number,
                            known=known,
                            inherited=ALL if result.space.related == ALL else result.space.inherit,
                            row=row_of(name, number, arm, result),
                        )
                        keep()
                    here = sum(order == number for order, _, _ in done)
                    listener(StepAdvanced(step=step, done=place * each + here))
        listener(StepFinished(step=step))
        write_bytes(folder / "summary.md", stream_page(made[0]).encode())
    return made[0]


def _there(path: Path, settings: dict[str, Any]) -> tuple[Arrival, ...]:
    if not path.exists():
        return ()
    found = read_packed(StreamRecord, path)
    if digest(found.settings) != digest(settings):
        raise SettingError(
            f"{path} holds searches that were made with other settings than these. Name another --record."
        )
    return found.arrivals


def settings_of(config: StreamConfig, *, split_seed: int = 0) -> dict[str, Any]:
    """What decides an arrival beside its order, place and arm."""
    return {
        "tasks": list(config.tasks),
        "split_seed": split_seed,
        "search": to_plain(config.search),
        "ways": {arm: to_plain(way) for arm, way in ARMS.items()},
    }


def record_of(
    config: StreamConfig, settings: dict[str, Any], arrivals: tuple[Arrival, ...], hardware: dict[str, Any]
) -> StreamRecord:
    """The record of so many searches."""
    return StreamRecord(
        kind=KIND,
        schema=SCHEMA,
        scale=config.scale,
        command=f"TANAS_DATA=DIR tanas reproduce stream --scale {config.scale} --out WORK",
        n=len(arrivals),
        seeds=tuple(sorted({one.row.seed for one in arrivals})),
        orders=tuple(sorted({one.order for one in arrivals})),
        hardware=hardware,
        versions=versions(),
        settings=settings,
        arrivals=tuple(sorted(arrivals, key=_key)),
    )


def _key(arrival: Arrival) -> tuple[int, int, str]:
    return arrival.order, arrival.known, arrival.row.arm


@dataclass(frozen=True, kw_only=True)
class Place:
    """The searches of one arm with so many tasks known, beside those of the same tasks and seeds with none."""

    known: int
    n: int
    share: float
    """What they spent before the final training, of what those spent that knew nothing."""
    more_error: float
    """Mean of their test error minus that of those."""
    transfers: int
    """How many took an architecture over without a search."""


def places(record: StreamRecord, arm: str) -> tuple[Place, ...]:
    """What each place in the stream costs and brings, in order."""
    empty = {(one.order, one.row.target): one.row for one in record.arrivals if one.row.arm == EMPTY}
    found: dict[int, list[Arrival]] = {}
    for one in record.arrivals:
        if one.row.arm == arm and (one.order, one.row.target) in empty:
            found.setdefault(one.known, []).append(one)
    result = []
    for known, arrivals in sorted(found.items()):
        partners = [empty[one.order, one.row.target] for one in arrivals]
        own = [one.row for one in arrivals]
        result.append(
            Place(
                known=known,
                n=len(arrivals),
                share=_share(own, partners),
                more_error=statistics.fmean(
                    one.row.test_error - row.test_error for one, row in zip(arrivals, partners, strict=True)
                ),
                transfers=sum(one.inherited == "transfer" for one in arrivals),
            )
        )
    return tuple(result)


def _share(own: Sequence[SearchRow], partners: Sequence[SearchRow]) -> float:
    return sum(row.spent_before_training for row in own) / sum(row.spent_before_training for row in partners)


def _seconds(own: Sequence[SearchRow], partners: Sequence[SearchRow]) -> float | None:
    def took(rows: Sequence[SearchRow]) -> float:
        return sum(s for row in rows for phase, s in row.took_s.items() if phase != "train")

    return took(own) / took(partners) if took(partners) else None


def _all_seconds(rows: Sequence[SearchRow]) -> float:
    return sum(sum(row.took_s.values()) for row in rows)


@dataclass(frozen=True, kw_only=True)
class Later:
    """The searches of an arm from a place on, beside those of the same tasks and seeds with nothing known."""

    share: float
    """See `Place`."""
    seconds: float | None
    """The same in wall-clock seconds; None: they were not taken."""
    whole: float
    """`share` with the final trainings."""
    whole_seconds: float | None
    """The same by the clock; None: it was not read."""
    remembered: float
    """`share` if what knew nothing were remembered too: then it would represent its task as well, at the same cost."""
    difference: PairedDifference
    """Of the test error, that of those that knew nothing minus the arm's: positive is better."""
    tasks: int
    """Different ones: each is counted once an order."""


def later(record: StreamRecord, arm: str, first: int) -> Later | None:
    """Cost and error of an arm from a place on.

    Args:
        record: of the stream.
        arm: one with a memory.
        first: least number of tasks known.

    Returns:
        None: there is no search.
    """
    empty = {(one.order, one.row.target): one.row for one in record.arrivals if one.row.arm == EMPTY}
    both = [
        (one.row, empty[one.order, one.row.target])
        for one in record.arrivals
        if one.row.arm == arm and one.known >= first and (one.order, one.row.target) in empty
    ]
    if not both:
        return None
    own, others = [one for one, _ in both], [other for _, other in both]
    return Later(
        share=_share(own, others),
        seconds=_seconds(own, others),
        whole=sum(sum(row.spent.values()) for row in own) / sum(sum(row.spent.values()) for row in others),
        whole_seconds=_all_seconds(own) / of_others if (of_others := _all_seconds(others)) else None,
        remembered=sum(row.spent_before_training for row in own)
        / sum(one.spent["represent"] + other.spent_before_training for one, other in both),
        difference=paired([row.test_error for row in own], [row.test_error for row in others]),
        tasks=len({row.target for row in own}),
    )


def cheaper_from(found: Sequence[Place]) -> int | None:
    """The least number of known tasks from which on every place costs less than with nothing known; None: none."""
    for at, place in enumerate(found):
        if all(one.share < 1 for one in found[at:]):
            return place.known
    return None


def stream_page(record: StreamRecord, *, folder: str | None = None) -> str:
    """The page's text, Markdown: a section a question.

    Args:
        record: of the stream.
        folder: of the picture, from the page, ending in a slash; None: there is no picture.
    """
    if not record.arrivals:
        return "No search has been made yet.\n"
    parts = []
    missing = len(record.orders) * len(record.settings["tasks"]) * len(ARMS) - record.n
    orders = at_scale(record.scale).orders
    unfinished = [f"{missing} searches of these orders are missing"] if missing else []
    unfinished += [f"the experiment has {orders} orders"] if len(record.orders) < orders else []
    if unfinished:
        parts.append(f"**Not finished**: {', and '.join(unfinished)}.")
    parts += ["## Does memory make later searches cheaper?"]
    arms = [arm for arm in ARMS if arm != EMPTY and places(record, arm)]
    if ONE_ROUND in arms:
        parts.append(f"**{sentence(record, ONE_ROUND)}**")
    parts.append(_late(record, arms))
    if folder is not None:
        parts += [
            f"![Cost of a search against the number of tasks known]({folder}{PICTURE}.svg)",
            "The costs of all orders together by the number of tasks known; pale: of single orders.",
        ]
    parts += [
        f"The table counts searches with {LATE} or more known tasks. Cost is in multiply-adds, seconds are by the "
        "clock; both include representing the task and measuring distances. Both are shares of what the same tasks and "
        f"seeds take with {EMPTY}. An error is the way's minus that of the search with {EMPTY}.",
        f"A search with {EMPTY} is not remembered, so it does not represent its task. 'If remembered' adds that cost "
        "to it. 'Reused' counts searches that took an architecture over.",
        "### How does the cost fall with the number of tasks?",
        _by_place(record, arms),
        f"Cost as above, of {len(record.orders)} order{'' if len(record.orders) == 1 else 's'} together.",
    ]
    if two := one_against_two(record):
        parts += ["## Is one round enough?", two]
    parts.append(
        f"{len(record.settings['tasks'])} tasks, {record.n} searches, scale `{record.scale}`. "
        + provenance(record.command, record.hardware, record.versions)
    )
    return "\n\n".join(part for part in parts if part) + "\n"


def _late(record: StreamRecord, arms: Sequence[str]) -> str:
    rows = []
    for arm in arms:
        if (found := later(record, arm, LATE)) is None:
            continue
        there = places(record, arm)
        start = cheaper_from(there)
        rows.append(
            [
                arm,
                percent(found.share),
                _percent(found.seconds),
                percent(found.whole),
                _percent(found.whole_seconds),
                percent(found.remembered),
                "-" if start is None else f"{start} known",
                f"{sum(one.transfers for one in there if one.known >= LATE)} of {found.difference.n}",
                effect(found.difference),
                str(found.difference.n),
            ]
        )
    head = ["", "cost", "seconds", "cost with final training", "seconds with it", "cost if remembered"]
    head += ["always cheaper from", "reused", "test error, points", "n"]
    return table(head, rows) if rows else ""


def _by_place(record: StreamRecord, arms: Sequence[str]) -> str:
    by = {arm: {place.known: place for place in places(record, arm)} for arm in arms}
    rows = [
        [str(known), *(percent(by[arm][known].share) if known in by[arm] else "" for arm in arms)]
        for known in sorted({known for there in by.values() for known in there})
    ]
    return table(["known tasks", *arms], rows)


def _percent(share: float | None) -> str:
    return "-" if share is None else percent(share)


def sentence(record: StreamRecord, arm: str, first: int = LATE) -> str:
    """What the memory does to the cost of a search, whatever the answer.

    Args:
        record: of the stream.
        arm: one with a memory.
        first: known tasks from which on searches are counted.
    """
    found = later(record, arm, first)
    if found is None:
        return f"No search with {first} or more known tasks has been made yet."
    shares = [found.share, *([] if found.seconds is None else [found.seconds])]
    said = "Yes" if max(shares) < 1 else "In part" if min(shares) < 1 else "No"
    clock = "" if found.seconds is None else f" and {percent(found.seconds)} of the seconds"
    return (
        f"{said}: with {first} or more known tasks, {percent(found.share)} of the multiply-adds{clock} before the "
        f"final training (n = {found.difference.n}). Test error: {effect(found.difference, 'points')}."
    )


def one_against_two(record: StreamRecord, first: int = LATE) -> str:
    """What a second round is worth to a search with a memory; empty without such searches.

    Args:
        record: of the stream.
        first: known tasks from which on searches are counted.
    """
    rows = {
        arm: {
            (one.order, one.row.target): one.row
            for one in record.arrivals
            if one.row.arm == arm and one.known >= first
        }
        for arm in (ONE_ROUND, TWO_ROUNDS)
    }
    both = sorted(rows[ONE_ROUND].keys() & rows[TWO_ROUNDS].keys())
    if not both:
        return ""
    one, two = ([rows[arm][at] for at in both] for arm in (ONE_ROUND, TWO_ROUNDS))
    spent = [sum(row.spent_before_training for row in arm) for arm in (one, two)]
    error = paired([row.test_error for row in one], [row.test_error for row in two])
    score = paired([row.validation_performance for row in one], [row.validation_performance for row in two])
    return (
        f"**One round costs {percent(spent[0] / spent[1])} of two (n = {len(both)}, {first} or more known tasks)**. "
        f"One round minus two: {effect(error, 'points of test error')}. On validation images: "
        f"{effect(score, 'of l', unit=1, digits=3)}."
    )


def terminal_text(record: StreamRecord, folder: Path) -> str:
    """What a terminal shows."""
    rows = [
        [arm, str(p.known), str(p.n), percent(p.share), signed(100 * p.more_error)]
        for arm in ARMS
        if arm != EMPTY
        for p in places(record, arm)
    ]
    lines = [text_table(["", "known", "n", "cost", "error"], rows)] if rows else []
    lines += [f"{arm}: {sentence(record, arm)}" for arm in ARMS if arm != EMPTY]
    return "\n".join([*lines, f"summary: {folder / 'summary.md'}"])
