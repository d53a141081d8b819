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

from tanas.ground.records import read_json, read_record, write_bytes
from tanas.reports.theme import Chart, to_svg
from tanas_experiments.by_hand import ByHandRecord
from tanas_experiments.by_hand_page import by_hand_page
from tanas_experiments.choice import StudyRecord
from tanas_experiments.choice_page import choice_page
from tanas_experiments.comparison import Record, agreement_page, speed_page, stability_page, transfer_page
from tanas_experiments.figure2 import Figure2Record
from tanas_experiments.figure2_page import page, pictures
from tanas_experiments.nasbench import NasBenchRecord
from tanas_experiments.nasbench_page import PICTURE, nasbench_chart, nasbench_page
from tanas_experiments.places import EXPERIMENTS
from tanas_experiments.searches_chart import searches_pictures
from tanas_experiments.searches_page import SearchesRecord, searches_page
from tanas_experiments.short_page import short_page
from tanas_experiments.stream import StreamRecord, stream_page
from tanas_experiments.stream_chart import stream_pictures
from tanas_experiments.table1 import Table1Record
from tanas_experiments.table1_page import table1_page
from tanas_experiments.targets import TargetsRecord, targets_page
from tanas_experiments.truth import read_table
from tanas_experiments.truth_charts import truth_pictures
from tanas_experiments.truth_page import read_analysis, truth_page
from tanas_experiments.weights import WeightsRecord, weights_page

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


def figure2_part(record: Path) -> Part:
    """The page of Figure 2."""
    if not record.exists():
        return Part(text="It has not been measured yet.\n")
    measured = read_record(Figure2Record, record)
    return Part(text=page(measured, folder=PICTURES), charts=pictures(measured))


def nasbench_part(record: Path) -> Part:
    """The page of NAS-Bench-201."""
    if not record.exists():
        return Part(text="It has not been measured yet.\n")
    measured = read_record(NasBenchRecord, record)
    return Part(text=nasbench_page(measured, folder=PICTURES), charts={PICTURE: nasbench_chart(measured)})


def truth_part(record: Path) -> Part:
    """What a table of stand-alone trainings says of searches."""
    read = read_analysis(record)
    if read is None:
        return Part(text="It has not been measured yet.\n")
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


def targets_part(record: Path) -> Part:
    """What a search hands over, beside its rivals."""
    if not record.exists():
        return Part(text="It has not been measured yet.\n")
    return Part(text=targets_page(read_record(TargetsRecord, record)))


def searches_part(record: Path) -> Part:
    """Searches side by side."""
    if not record.exists():
        return Part(text="It has not been measured yet.\n")
    measured = read_record(SearchesRecord, record)
    charts = searches_pictures(measured)
    return Part(text=searches_page(measured, folder=PICTURES if charts else None), charts=charts)


def weights_part(record: Path) -> Part:
    """What it brings to begin with the weights of a known task."""
    if not record.exists():
        return Part(text="It has not been measured yet.\n")
    return Part(text=weights_page(read_record(WeightsRecord, record)))


def by_hand_part(record: Path) -> Part:
    """Found networks beside networks made by hand."""
    if not record.exists():
        return Part(text="It has not been measured yet.\n")
    return Part(text=by_hand_page(read_record(ByHandRecord, record)))


def stream_part(record: Path) -> Part:
    """Tasks that arrive one after the other."""
    if not record.exists():
        return Part(text="It has not been measured yet.\n")
    measured = read_record(StreamRecord, record)
    charts = stream_pictures(measured)
    return Part(text=stream_page(measured, folder=PICTURES if charts else None), charts=charts)


def choice_part(record: Path) -> Part:
    """The page of how FUSE chooses."""
    if not record.exists():
        return Part(text="It has not been measured yet.\n")
    return Part(text=choice_page(read_record(StudyRecord, record)))


def table1_part(record: Path) -> Part:
    """The page of Table 1."""
    if not record.exists():
        return Part(text="It has not been measured yet.\n")
    return Part(text=table1_page(read_record(Table1Record, record)))


def comparison_part(make: Callable[[Record], str], record: Path) -> Part:
    """A part of the page that compares distances."""
    return Part(text=make(read_json(record)) if record.exists() else "It has not been measured yet.\n")


SOURCES = (
    Source(page="README.md", name="targets", make=targets_part, folder="."),
    Source(page="figure2.md", name="figure2", make=figure2_part),
    Source(page="which-distance.md", name="agreement", make=partial(comparison_part, agreement_page)),
    Source(page="which-distance.md", name="stability", make=partial(comparison_part, stability_page)),
    Source(page="which-distance.md", name="distance-speed", make=partial(comparison_part, speed_page)),
    Source(page="which-distance.md", name="transfer", make=partial(comparison_part, transfer_page)),
    Source(page="nas-bench-201.md", name="nasbench", make=nasbench_part),
    Source(page="search-evidence.md", name="short", make=short_part),
    Source(page="search-evidence.md", name="truth", make=truth_part),
    Source(page="search-evidence.md", name="search", make=searches_part),
    Source(page="search-evidence.md", name="by-hand", make=by_hand_part),
    Source(page="search-evidence.md", name="weights", make=weights_part),
    Source(page="search-evidence.md", name="stream", make=stream_part),
    Source(page="fuse.md", name="fuse", make=choice_part),
    Source(page="table1.md", name="table1", make=table1_part),
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
    hashes = (f"{one.name}, sha256 {hashlib.sha256(one.read_bytes()).hexdigest()}" for one in records)
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
