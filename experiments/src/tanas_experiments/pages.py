"""Makes the pages of the experiments from their records, and one table of the README: a page says what was measured.

    python -m tanas_experiments.pages            makes them
    python -m tanas_experiments.pages --check    says what differs, with status 1

The part of pages/figure2.md between `<!-- begin figure2 -->` and `<!-- end figure2 -->` is made from
records/figure2.json, its pictures go to pages/pictures/; `SOURCES` lists the others. A picture carries the hash of its
record, or of the files beside it that it shows: drawn anew by another version of the libraries it may differ in its
bytes, so the hash is what is compared.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from tanas.ground.records import read_json, write_bytes
from tanas.reports.theme import Chart, to_svg
from tanas_experiments.choice import StudyRecord
from tanas_experiments.choice_page import choice_page
from tanas_experiments.comparison import (
    agreement_page,
    speed_page,
    stability_page,
    transfer_page,
    which_page,
)
from tanas_experiments.donors import DonorsRecord, donors_page
from tanas_experiments.equal_time import EqualTimeRecord, equal_time_page
from tanas_experiments.figure2 import Figure2Record
from tanas_experiments.figure2_page import page, pictures
from tanas_experiments.nasbench import NasBenchRecord
from tanas_experiments.nasbench_page import PICTURE, nasbench_chart, nasbench_page
from tanas_experiments.packed import read_packed
from tanas_experiments.places import EXPERIMENTS
from tanas_experiments.searches_chart import searches_pictures
from tanas_experiments.searches_page import SearchesRecord, searches_page
from tanas_experiments.short_page import short_page
from tanas_experiments.starter_gain import GainRecord, gain_page
from tanas_experiments.stream import StreamRecord, stream_page
from tanas_experiments.stream_chart import stream_pictures
from tanas_experiments.table1 import Table1Record
from tanas_experiments.table1_page import table1_page
from tanas_experiments.targets import TargetsRecord, targets_page
from tanas_experiments.truth import read_table
from tanas_experiments.truth_charts import truth_pictures
from tanas_experiments.truth_page import read_analysis, truth_page

Record = TypeVar("Record")

ROOT = EXPERIMENTS.parent
PICTURES = "pictures/"
"""Folder of the pictures, from a page."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """What a record gives to a page."""

    text: str
    charts: Mapping[str, Chart] = field(default_factory=dict)
    """By the name of the picture's file, without its suffix."""
    drawn_from: tuple[Path, ...] = ()
    """Files that the charts show; empty: the record alone."""


@dataclass(frozen=True, kw_only=True)
class Source:
    """Which part of which page is made, from which record."""

    page: str
    name: str
    """Of the part, and of the record's file."""
    make: Callable[[Path], Part]
    folder: str = "experiments/pages"
    """Of the page, from the root."""


MISSING = Part(text="It has not been measured yet.\n")


def _of(kind: type[Record], page: Callable[[Record], str], record: Path) -> Part:
    """A text of a record alone."""
    return Part(text=page(read_packed(kind, record))) if record.exists() else MISSING


def _drawn(
    kind: type[Record],
    page: Callable[..., str],
    charts: Callable[[Record], Mapping[str, Chart]],
    record: Path,
) -> Part:
    """A text and the pictures in it."""
    if not record.exists():
        return MISSING
    measured = read_packed(kind, record)
    drawn = charts(measured)
    return Part(text=page(measured, folder=PICTURES if drawn else None), charts=drawn)


def truth_part(record: Path) -> Part:
    """What a table of stand-alone trainings says of searches."""
    read = read_analysis(record)
    if read is None:
        return MISSING
    table = record.with_name("truth.csv")
    charts = truth_pictures(*read, read_table(table))
    return Part(
        text=truth_page(*read, folder=PICTURES if charts else None),
        charts=charts,
        drawn_from=(table, record.with_name("truth-analysis.json")),
    )


def short_part(record: Path) -> Part:
    """What all records together say; it has none of its own."""
    return Part(text=short_page(record.parent))


def equal_time_part(record: Path) -> Part:
    """Networks made by hand beside the searches whose time they had."""
    if not record.exists():
        return MISSING
    searches = read_packed(TargetsRecord, record.with_name("targets.json")).rows
    made = read_packed(EqualTimeRecord, record)
    own = [row for row in searches if row.settings == made.settings]
    return Part(text=equal_time_page(made, own))


def which_part(record: Path) -> Part:
    """What the records that compare distances say together; it has none of its own."""
    paths = [
        record.with_name(f"{name}.json") for name in ("agreement", "stability", "distance-speed", "transfer")
    ]
    return Part(text=which_page(*map(read_json, paths))) if all(path.exists() for path in paths) else MISSING


def _compared(page: Callable[[Mapping[str, Any]], str], record: Path) -> Part:
    """A part of the page that compares distances."""
    return Part(text=page(read_json(record))) if record.exists() else MISSING


def _nasbench_pictures(record: NasBenchRecord) -> dict[str, Chart]:
    return {PICTURE: nasbench_chart(record)}


SOURCES = (
    Source(page="README.md", name="targets", make=partial(_of, TargetsRecord, targets_page), folder="."),
    Source(page="figure2.md", name="figure2", make=partial(_drawn, Figure2Record, page, pictures)),
    Source(page="which-distance.md", name="which-distance", make=which_part),
    Source(page="which-distance.md", name="agreement", make=partial(_compared, agreement_page)),
    Source(page="which-distance.md", name="stability", make=partial(_compared, stability_page)),
    Source(page="which-distance.md", name="distance-speed", make=partial(_compared, speed_page)),
    Source(page="which-distance.md", name="transfer", make=partial(_compared, transfer_page)),
    Source(
        page="nas-bench-201.md",
        name="nasbench",
        make=partial(_drawn, NasBenchRecord, nasbench_page, _nasbench_pictures),
    ),
    Source(page="search-evidence.md", name="short", make=short_part),
    Source(
        page="search-evidence.md",
        name="search",
        make=partial(_drawn, SearchesRecord, searches_page, searches_pictures),
    ),
    Source(page="table1.md", name="equal-time", make=equal_time_part),
    Source(page="known-weights.md", name="starter-gain", make=partial(_of, GainRecord, gain_page)),
    Source(page="known-weights.md", name="donors", make=partial(_of, DonorsRecord, donors_page)),
    Source(page="simulated-searches.md", name="truth", make=truth_part),
    Source(
        page="task-stream.md",
        name="stream",
        make=partial(_drawn, StreamRecord, stream_page, stream_pictures),
    ),
    Source(page="fuse.md", name="fuse", make=partial(_of, StudyRecord, choice_page)),
    Source(page="table1.md", name="table1", make=partial(_of, Table1Record, table1_page)),
)


def outputs(root: Path, sources: tuple[Source, ...] = SOURCES) -> dict[Path, bytes]:
    """Every file that is made, as it should be.

    Args:
        root: of the project.
        sources: what is made.

    Raises:
        ValueError: a page has no place for its part.
    """
    made: dict[Path, bytes] = {}
    for source in sources:
        path = root / source.folder / source.page
        record = root / "experiments" / "records" / f"{source.name}.json"
        part = source.make(record)
        text = made.get(path, path.read_bytes()).decode()
        begin, end = (f"<!-- {word} {source.name} -->" for word in ("begin", "end"))
        before, found_begin, rest = text.partition(f"{begin}\n")
        _, found_end, after = rest.partition(end)
        if not (found_begin and found_end):
            raise ValueError(f"{path} has no part between '{begin}' and '{end}'. Put both lines into it.")
        made[path] = f"{before}{begin}\n\n{part.text}\n{end}{after}".encode()
        for name, chart in part.charts.items():
            picture = root / "experiments" / "pages" / PICTURES / f"{name}.svg"
            made[picture] = f"{to_svg(chart).strip()}\n{stamp(*(part.drawn_from or (record,)))}\n".encode()
    return made


def stamp(*records: Path) -> str:
    """The line of a picture that says which files it shows."""
    hashes = (f"{path.name}, sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}" for path in records)
    return f"<!-- of {'; '.join(hashes)} -->"


def differences(made: Mapping[Path, bytes]) -> list[Path]:
    """The files that are not as they should be; of a picture only its last line, the stamp, is compared."""

    def compared(path: Path, content: bytes) -> bytes:
        return content.splitlines()[-1] if path.suffix == ".svg" else content

    return [
        path
        for path, content in made.items()
        if not path.exists() or compared(path, path.read_bytes()) != compared(path, content)
    ]


def main(arguments: list[str], root: Path = ROOT, sources: tuple[Source, ...] = SOURCES) -> int:
    """Makes or checks everything; 1 if something differs."""
    made = outputs(root, sources)
    wrong = differences(made)
    if arguments == ["--check"]:
        for path in wrong:
            print(
                f"{path.relative_to(root)} is not what its record gives. Run: python -m tanas_experiments.pages"
            )
        return 1 if wrong else 0
    for path in wrong:
        write_bytes(path, made[path])
        print(f"wrote {path.relative_to(root)}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
