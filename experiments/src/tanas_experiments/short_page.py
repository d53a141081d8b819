"""What all records together say of each question that a user asks of the search: a row each."""

from __future__ import annotations

from pathlib import Path

from tanas.ground.records import read_record
from tanas_experiments.choice import StudyRecord
from tanas_experiments.donors import DonorsRecord, donors_answers
from tanas_experiments.markdown import effect, percent, table, verdict
from tanas_experiments.packed import read_packed
from tanas_experiments.searches import EVERY
from tanas_experiments.searches_page import SearchesRecord, answers
from tanas_experiments.stream import LATE, ONE_ROUND, WITHOUT, StreamRecord, later, sentence
from tanas_experiments.table1 import Table1Record
from tanas_experiments.table1_page import LABELS, comparisons
from tanas_experiments.truth_analysis import FARTHEST, NEAREST, RANDOM, contrast
from tanas_experiments.truth_page import described, read_analysis

Row = tuple[str, str, str]
"""(question, answer, where the details are)."""
STREAM, SIMULATED, CHOICE, TABLE1, WEIGHTS = (
    "[stream](task-stream.md)",
    "[simulated searches](simulated-searches.md)",
    "[FUSE](fuse.md)",
    "[hand-made networks](table1.md)",
    "[known weights](known-weights.md)",
)


def short_page(records: Path) -> str:
    """The part of the page, Markdown: a table with a question a row.

    Args:
        records: folder of the committed records; what is not there is left out.
    """
    rows = [
        *_stream(records / "stream.json"),
        *_searches(records / "search.json"),
        *_memory(records / "truth.json"),
        *_weights(records / "donors.json"),
        *_table1(records / "table1.json"),
        *_alpha(records / "fuse.json", records / "truth.json"),
    ]
    if not rows:
        return "Nothing has been measured yet.\n"
    return table(["question", "answer", "details"], rows, text=3) + "\n"


def _searches(path: Path) -> list[Row]:
    """Whole searches."""
    if not path.exists():
        return []
    found = answers(read_packed(SearchesRecord, path))
    return [(one.question, one.text, "below") for one in found if EVERY not in (one.own, one.other)]


def _memory(path: Path) -> list[Row]:
    """Searches that are simulated on the table of trainings."""
    read = read_analysis(path)
    if read is None:
        return []
    asked = (
        ("does knowing other tasks help?", RANDOM, ("random", "", 3)),
        ("does it matter that they are near?", NEAREST, ("prior", FARTHEST, 3)),
        ("is a memory better than the largest architectures?", RANDOM, ("largest", "", 3)),
    )
    return [
        (
            f"In simulated searches with three trainings, {question}",
            f"{verdict(found.difference)}: {described(found)}.",
            SIMULATED,
        )
        for question, source, against in asked
        if (found := contrast(read[1].regrets, ("prior", source, 3), against)) is not None
    ]


def _stream(path: Path) -> list[Row]:
    """Tasks that arrive one after the other."""
    if not path.exists():
        return []
    record = read_packed(StreamRecord, path)
    rows = []
    for arm, question in (
        (ONE_ROUND, "Does a memory make later searches cheaper?"),
        (WITHOUT, "And a memory without distances (`--from all`)?"),
    ):
        if later(record, arm, LATE) is not None:
            rows.append((question, sentence(record, arm), STREAM))
    return rows


def _weights(path: Path) -> list[Row]:
    """Trained networks that are reused."""
    if not path.exists():
        return []
    said = donors_answers(read_record(DonorsRecord, path))
    question = "Do the trained weights of known tasks help?"
    return [(question, " ".join(said).replace("**", ""), WEIGHTS)]


def _table1(path: Path) -> list[Row]:
    """Large networks made by hand, on the paper's task."""
    if not path.exists():
        return []
    record = read_record(Table1Record, path)
    rows = {row.method: row for row in comparisons(record)}
    return [
        (
            f"On `{record.task}`, is it better than {LABELS[method]}?",
            f"{rows[method].verdict}: {effect(rows[method].error, 'points')}, n = {rows[method].error.n}. It has "
            f"{rows[method].parameters} times the parameters and costs {rows[method].macs} times the multiply-adds.",
            TABLE1,
        )
        for method in ("resnet18", "densenet161")
        if method in rows
    ]


def _alpha(path: Path, truth: Path) -> list[Row]:
    """How FUSE chooses: on the targets by which its default was chosen, and on others."""
    if not path.exists():
        return []
    record = read_packed(StudyRecord, path)
    own = record.of(*record.default)
    rows = [
        (
            f"Does alpha find the best of {own.candidates} candidates?",
            f"In {own.best} of {own.decided} groups whose best is clear.",
            CHOICE,
        )
    ]
    read = read_analysis(truth)
    if read is not None and read[1].alpha:
        whole = read[1].alpha[-1]
        clear = whole.triples - whole.within_noise
        rows.append(
            (
                "And on targets by which FUSE's default was not chosen?",
                f"In {percent(whole.alpha_best)} of {clear} groups whose best is clear; separate trainings of the same "
                f"cost in {percent(whole.separate_best)}.",
                SIMULATED,
            )
        )
    return rows
