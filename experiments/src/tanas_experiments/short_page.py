"""What all records together say of each question that a user asks of the search: a sentence each."""

from __future__ import annotations

from pathlib import Path

from tanas.ground.records import read_record
from tanas_experiments.by_hand import ByHandRecord
from tanas_experiments.by_hand_page import by_hand_answers
from tanas_experiments.choice import StudyRecord
from tanas_experiments.paired import CHANCE, PairedDifference, less_error
from tanas_experiments.searches import AWARE
from tanas_experiments.searches_page import SearchesRecord, answers
from tanas_experiments.stream import ONE_ROUND, WITHOUT, StreamRecord, at_scale, later
from tanas_experiments.table1 import Table1Record
from tanas_experiments.table1_page import LABELS, against_found, lines_of
from tanas_experiments.truth_analysis import CHOSEN_ON, FARTHEST, NEAREST, RANDOM, Contrast, contrast
from tanas_experiments.truth_page import described, read_analysis
from tanas_experiments.weights import WeightsRecord, apart, whole_targets
from tanas_experiments.zoo import RESIDUAL

NINE = 9
"""Known tasks from which on a stream's searches count: the tenth search knows nine."""


def short_page(records: Path) -> str:
    """The part of the page, Markdown: a question a line.

    Args:
        records: folder of the committed records; what is not there is said to be not measured.
    """
    lines = [
        *_searches(records / "search.json"),
        *_memory(records / "truth.json"),
        *_stream(records / "stream.json"),
        *_weights(records / "weights.json"),
        *_table1(records / "table1.json"),
        *_by_hand(records / "by-hand.json"),
        *_alpha(records / "fuse.json", records / "truth.json"),
    ]
    return "\n".join(f"- **{question}** {answer}" for question, answer in lines) + "\n"


def _searches(path: Path) -> list[tuple[str, str]]:
    """Whole searches, where there are any."""
    if not path.exists():
        return [
            ("Is the search better than random search at equal cost?", "Whole searches are not measured yet.")
        ]
    said = [line.partition("? ") for line in answers(read_record(SearchesRecord, path))]
    return [(f"{question}?", answer) for question, _, answer in said]


def _memory(path: Path) -> list[tuple[str, str]]:
    """Searches that are simulated on the table of trainings."""
    read = read_analysis(path)
    if read is None:
        return []
    found, lines = read[1].regrets, []
    fresh = [one for one in found if one.target not in CHOSEN_ON]
    comparisons = (
        (
            "In searches simulated on the table of trainings, does knowing other tasks help?",
            RANDOM,
            ("random", "", 3),
            "no memory",
        ),
        ("In those, does it matter that they are near?", NEAREST, ("prior", FARTHEST, 3), "the farthest"),
    )
    for question, source, against, name in comparisons:
        one = contrast(found, ("prior", source, 3), against)
        many = contrast(found, ("prior", source, 10), (*against[:2], 10))
        if one is None or many is None:
            continue
        said = f"{_verdict(one)} Against {name}, with three trainings: {described(one)}; with ten: {described(many)}."
        if (unseen := contrast(fresh, ("prior", source, 3), against)) is not None and len(fresh) < len(found):
            said += (
                f" Without {' and '.join(f'`{target}`' for target in CHOSEN_ON)}, on which constants were chosen, with "
                f"three: {described(unseen)}."
            )
        lines.append((question, said))
    if (size := contrast(found, ("prior", RANDOM, 3), ("largest", "", 3))) is not None:
        lines.append(
            (
                "In those, is a memory better than simply the largest, three trained each?",
                f"{_verdict(size)} {described(size)[0].upper()}{described(size)[1:]}. (The largest are of all "
                "architectures of the table, a prior draws from those that the memory does not hold.)",
            )
        )
    return lines


def _stream(path: Path) -> list[tuple[str, str]]:
    """Tasks that arrive one after the other."""
    if not path.exists():
        return []
    record, said, count = read_record(StreamRecord, path), [], ""
    for arm, name in ((ONE_ROUND, "by default"), (WITHOUT, "without distances (`all`)")):
        if (found := later(record, arm, NINE)) is None:
            continue
        chance = "" if found.difference.p is None else f", p = {found.difference.p:.2g}"
        clock = ""
        if found.seconds is not None and found.whole_seconds is not None:
            clock = f" and {found.seconds:.0%} ({found.whole_seconds:.0%}) of the seconds"
        said.append(
            f"{name} {found.share:.0%} ({found.whole:.0%}) of the multiply-adds{clock}, with "
            f"{less_error(found.difference)}{chance}"
        )
        count = f"{found.difference.n} searches of {found.tasks} tasks"
    if not said:
        return []
    orders, planned = len(record.orders), at_scale(record.scale).orders
    return [
        (
            "Does a memory make the next search cheaper, as tasks arrive one after the other?",
            f"With {NINE} or more known, of what a search that knows nothing takes before its final training (with "
            f"it): "
            f"{'; '.join(said)}. {count} each, in {orders} of {planned} orders; other ways stand "
            "[below](#tasks-that-arrive-one-after-the-other).",
        )
    ]


def _weights(path: Path) -> list[tuple[str, str]]:
    """Trained networks that are taken over."""
    if not path.exists():
        return []
    record = whole_targets(read_record(WeightsRecord, path))
    share = min(row.share for row in record.rows if row.share > 0)
    near, far = (apart(record, share, choose) for choose in (lambda all_: all_[0], lambda all_: all_[-1]))
    if near is None or far is None:
        return []
    return [
        (
            "Do the trained weights of known tasks help a small one?",
            f"Those of the nearest take {_taken(near)} off the error of one small network, those of the farthest "
            f"{_taken(far)}.",
        )
    ]


def _table1(path: Path) -> list[tuple[str, str]]:
    """Networks made by hand, each with its own learning rate: large ones, and one of the found network's size."""
    if not path.exists():
        return []
    record = read_record(Table1Record, path)
    lines = {line.method: line for line in lines_of(record)}
    if AWARE.name not in lines:
        return []

    def said(method: str) -> str:
        line, difference = lines[method], against_found(record, method)
        times = line.parameters / lines[AWARE.name].parameters
        chance = "" if difference is None or difference.p is None else f", p = {difference.p:.2g}"
        own, other = lines[AWARE.name].whole_macs, line.whole_macs
        assert own is not None  # both were trained
        assert other is not None
        cost = f"{other / own:.2g} times the multiply-adds of search and training"
        size = "" if method == RESIDUAL else f"with {times:,.0f} times as many parameters "
        return f"{LABELS[method]} {line.error} % (n = {line.n}{chance}) {size}for {cost}"

    own = f"found networks err {lines[AWARE.name].error} % (n = {lines[AWARE.name].n})"
    where = f"on `{record.task}` from {record.images['train']:,} images"
    large = [said(method) for method in ("resnet18", "densenet161") if method in lines]
    answers = []
    if large:
        answers.append(
            (
                "Is it better than a large network made by hand, each with a learning rate of its own?",
                f"The {own} {where}, {', '.join(large)} ([Table 1](table1.md) has more).",
            )
        )
    if RESIDUAL in lines:
        answers.append(
            (
                "Is it better than a network made by hand of its own size?",
                f"The {own} {where}, a {said(RESIDUAL)}.",
            )
        )
    return answers


def _by_hand(path: Path) -> list[tuple[str, str]]:
    """Networks made by hand, on every target of the searches."""
    return list(by_hand_answers(read_record(ByHandRecord, path))) if path.exists() else []


def _alpha(path: Path, table: Path) -> list[tuple[str, str]]:
    """How FUSE chooses: on the targets by which its default was chosen, and on others."""
    if not path.exists():
        return []
    read, others = read_analysis(table), ""
    if read is not None and read[1].alpha:
        whole = read[1].alpha[-1]
        others = (
            f" On targets by which this way was not chosen, in {whole.alpha_best:.0%} of "
            f"{whole.triples - whole.within_noise} triples, tau {whole.alpha_tau:.2f} "
            f"({whole.within_noise} more are within noise); separate trainings at equal cost in "
            f"{whole.separate_best:.0%}, tau {whole.separate_tau:.2f}."
        )
    record = read_record(StudyRecord, path)
    own = record.of(*record.default)
    return [
        (
            "Does alpha find the best candidate?",
            f"In {own.best} of {own.decided} groups of {own.candidates} whose best stands out of the noise. Over all "
            f"{own.n} groups its choice misses the best by {own.regret:.2f} points of l on average, and Kendall's tau "
            f"with stand-alone training is {own.tau:.2f} ([How FUSE chooses](fuse.md)).{others}",
        )
    ]


def _verdict(one: Contrast) -> str:
    difference = one.difference
    if difference.p is None or difference.p >= CHANCE:
        return "It can't be told yet."
    return "Yes." if difference.mean > 0 else "No."


def _taken(one: PairedDifference) -> str:
    chance = "" if one.p is None else f", p = {one.p:.2g}"
    return f"{100 * one.mean:.1f} points (n = {one.n}{chance})"
