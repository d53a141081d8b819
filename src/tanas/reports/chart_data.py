"""The data of charts and tables, taken from a result."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

from tanas.algorithm.result import FOUND, NO_SEARCH, Neighbour, Result
from tanas.networks.cell import Cell
from tanas.networks.scoring import ScoredArchitecture
from tanas.networks.skeleton import Skeleton

NORMAL_95 = 1.959963984540054
"""97.5 % quantile of the normal distribution: two-sided 95 %."""


@dataclass(frozen=True, kw_only=True)
class ErrorRow:
    """The errors of a network, a rival or a constant answer on the test split. Shares in [0, 1]."""

    who: str
    error: float
    balanced_error: float
    interval: tuple[float, float] | None
    """95 % interval of the error; None where none is given."""


@dataclass(frozen=True, kw_only=True)
class GrownRow:
    """A network before or after it was grown or compressed."""

    who: str
    parameters: int
    macs: int
    score: float | None
    validation_error: float | None
    """None: not known for these images."""
    test_error: float | None
    """None: not known for these images."""


@dataclass(frozen=True, kw_only=True)
class DistanceRow:
    """A remembered task and its distance to the task of the search."""

    atom: str
    distance: float
    """In [0, 1]."""
    shortfall: float
    weak: bool
    inherited: bool
    interval: tuple[float, float] | None = None
    """90 % interval over redrawn images and refitted maps; None: not measured."""
    at_least: bool = False
    """The distance is a lower bound: measuring stopped once the task was known not to be among the nearest."""


@dataclass(frozen=True, kw_only=True)
class AlphaRow:
    """A candidate in one round of the search."""

    round: int
    """From 1."""
    key: str
    kept: bool
    """It won the round before and was kept as the seed."""
    won: bool
    dropped: bool
    """Its loss was not finite."""
    weights: tuple[float, ...]
    """softmax(alpha) after each stage; the first is before any: equal shares."""
    alpha: float | None
    """After the last stage; None if the strategy has no alphas."""
    score: float | None = None
    """Validation performance l after its own training; None if the strategy judges by alpha, or it was dropped."""


@dataclass(frozen=True, kw_only=True)
class CandidateRow:
    """An architecture that the search has seen."""

    key: str
    cell: str
    """Its operations, in words."""
    skeleton: str
    parameters: int
    macs: int
    score: float | None
    rounds: tuple[int, ...]
    """In which it took part, from 1."""
    wins: int
    """How many of them it won."""
    found: bool
    """The search ended with it."""


@dataclass(frozen=True, kw_only=True)
class ClassRow:
    """A class on the test split."""

    name: str
    images: int
    wrong: int
    """Images of the class that were given another answer."""
    answered: int
    """Images, of any class, that were given this answer."""
    precise: float | None
    """Share of those answers that are right; None: it was never answered."""

    @property
    def error(self) -> float | None:
        """Share of the class's images that were given another answer; None: it has no test image."""
        return self.wrong / self.images if self.images else None


@dataclass(frozen=True, kw_only=True)
class ConfusedRow:
    """A class that is mistaken for another class, and how often."""

    truth: str
    answer: str
    count: int
    share: float
    """Of the true class's test images."""


@dataclass(frozen=True, kw_only=True)
class CostRow:
    """The seconds of a phase."""

    phase: str
    seconds: float


def wilson(wrong: int, images: int) -> tuple[float, float]:
    """The 95 % interval of a share, by Wilson's score method.

    Args:
        wrong: how many of the images; at most `images`.
        images: how many there are; with none, anything is possible.

    Returns:
        (low, high), in [0, 1].

    Source: E. B. Wilson, Probable inference, the law of succession, and statistical inference (1927).
    """
    if images == 0:
        return 0.0, 1.0
    share, square = wrong / images, NORMAL_95**2
    middle = (share + square / (2 * images)) / (1 + square / images)
    spread = share * (1 - share) / images + square / (4 * images**2)
    half = NORMAL_95 / (1 + square / images) * math.sqrt(spread)
    # at the ends rounding could leave a hair beside the exact 0 or 1
    return (0.0 if wrong == 0 else middle - half), (1.0 if wrong == images else middle + half)


def wrong_answers(result: Result) -> int:
    """How many test images were answered wrongly."""
    return round(result.metrics.test_error * result.task.test)


def constant_answer(result: Result) -> str:
    """The most frequent class of the test split: always answering it gives the least error."""
    totals = [sum(row) for row in result.confusion]
    return result.task.classes[totals.index(max(totals))]


def rival_label(name: str) -> str:
    """The name of a rival as reports show it."""
    return {NO_SEARCH: "reference network", FOUND: "searched network"}.get(name, name)


def error_rows(result: Result) -> tuple[ErrorRow, ...]:
    """The test errors of the network, its rivals and the constant answer."""
    metrics = result.metrics
    return (
        ErrorRow(
            who="this network",
            error=metrics.test_error,
            balanced_error=metrics.test_balanced_error,
            interval=wilson(wrong_answers(result), result.task.test),
        ),
        *_control_rows(result),
        *(
            ErrorRow(
                who=rival_label(rival.name),
                error=rival.test_error,
                balanced_error=rival.test_balanced_error,
                interval=wilson(round(rival.test_error * result.task.test), result.task.test),
            )
            for rival in result.rivals
        ),
        ErrorRow(
            who="constant answer",
            error=metrics.constant_error,
            balanced_error=metrics.constant_balanced_error,
            interval=None,
        ),
    )


def _control_rows(result: Result) -> tuple[ErrorRow, ...]:
    if (control := result.control) is None:
        return ()
    row = ErrorRow(
        who="random search",
        error=control.test_error,
        balanced_error=control.test_balanced_error,
        interval=wilson(round(control.test_error * result.task.test), result.task.test),
    )
    return (row,)


def grown_rows(result: Result) -> tuple[GrownRow, ...]:
    """The network before and after it was grown or compressed; none after a search."""
    grown = result.grown
    if grown is None:
        return ()
    recorded = grown.recorded if grown.recorded is not None and grown.recorded.same_images else None
    return (
        GrownRow(
            who="before",
            parameters=grown.before.parameters,
            macs=grown.before.macs,
            score=grown.before.score,
            validation_error=None if recorded is None else recorded.validation_error,
            test_error=None if recorded is None else recorded.test_error,
        ),
        GrownRow(
            who="after",
            parameters=grown.after.parameters,
            macs=grown.after.macs,
            score=grown.after.score,
            validation_error=result.metrics.validation_error,
            test_error=result.metrics.test_error,
        ),
    )


def distance_rows(result: Result) -> tuple[DistanceRow, ...]:
    """All remembered tasks with a measured distance, nearest first; none is marked as reused after `reuse`."""

    def identity(neighbour: Neighbour) -> tuple[str, str]:
        return neighbour.atom, neighbour.fingerprint

    taken = () if result.stopped == "reused" else result.neighbours
    inherited = {identity(neighbour) for neighbour in taken}
    return tuple(
        DistanceRow(
            atom=atom.atom,
            distance=atom.distance,
            shortfall=atom.shortfall,
            weak=atom.weak,
            inherited=identity(atom) in inherited,
            interval=atom.interval,
            at_least=atom.at_least,
        )
        for atom in result.distances
    )


def alpha_rows(result: Result) -> tuple[AlphaRow, ...]:
    """Every candidate of every round, in order."""
    rows = []
    kept = None
    for number, round_ in enumerate(result.rounds, start=1):
        even = 1 / len(round_.keys)
        for position, key in enumerate(round_.keys):
            shares = tuple(stage.weights[position] for stage in round_.stages)
            rows.append(
                AlphaRow(
                    round=number,
                    key=key,
                    kept=position == 0 and key == kept,
                    won=position == round_.winner,
                    dropped=key in round_.dropped,
                    weights=(even, *shares) if shares else (),
                    alpha=round_.stages[-1].alphas[position] if round_.stages else None,
                    score=round_.scores[position] if round_.scores else None,
                )
            )
        kept = round_.keys[round_.winner]
    return tuple(rows)


def candidate_rows(result: Result) -> tuple[CandidateRow, ...]:
    """Every candidate: the architecture found first, then by score, then in the order of the search."""
    found = result.architecture.key
    part: dict[str, list[int]] = {}
    wins: Counter[str] = Counter()
    for number, round_ in enumerate(result.rounds, start=1):
        for key in round_.keys:
            part.setdefault(key, []).append(number)
        wins[round_.keys[round_.winner]] += 1

    def row(seen: ScoredArchitecture) -> CandidateRow:
        key = seen.architecture.key
        return CandidateRow(
            key=key,
            cell=describe_cell(seen.architecture.cell),
            skeleton=describe_skeleton(seen.architecture.skeleton),
            parameters=seen.parameters,
            macs=seen.macs,
            score=None if seen.final else seen.score,
            rounds=tuple(part.get(key, ())),
            wins=wins[key],
            found=key == found,
        )

    rows = [row(seen) for seen in result.seen]
    return tuple(sorted(rows, key=lambda r: (not r.found, r.score is None, -(r.score or 0.0))))


def better_scored(result: Result) -> int:
    """How many candidates scored higher than the architecture found; 0 if that has no score."""
    scores = {seen.architecture.key: seen.score for seen in result.seen}
    found = scores.get(result.architecture.key)
    return sum(score is not None and found is not None and score > found for score in scores.values())


def class_rows(result: Result) -> tuple[ClassRow, ...]:
    """Every class on the test split, in the order of the task."""
    counts = result.confusion
    answered = [sum(row[column] for row in counts) for column in range(len(counts))]
    return tuple(
        ClassRow(
            name=name,
            images=sum(counts[index]),
            wrong=sum(counts[index]) - counts[index][index],
            answered=answered[index],
            precise=counts[index][index] / answered[index] if answered[index] else None,
        )
        for index, name in enumerate(result.task.classes)
    )


def confused_rows(result: Result, most: int) -> tuple[ConfusedRow, ...]:
    """The pairs of classes that are confused most often, most often first."""
    names = result.task.classes
    rows = [
        ConfusedRow(truth=names[truth], answer=names[answer], count=count, share=count / sum(row))
        for truth, row in enumerate(result.confusion)
        for answer, count in enumerate(row)
        if truth != answer and count
    ]
    return tuple(sorted(rows, key=lambda r: (-r.count, -r.share))[:most])


def cost_rows(result: Result) -> tuple[CostRow, ...]:
    """The seconds of each phase, which sum to the total; random search at equal cost counts under 'other'."""
    costs = result.costs
    phases = (
        ("represent the task", costs.represent_s),
        ("measure distances", costs.distance_s),
        ("search", costs.search_s),
        ("final training", costs.train_s),
        ("classic rivals", costs.rivals_s),
    )
    rest = costs.total_s - sum(seconds for _, seconds in phases)
    other = (("other", rest),) if rest > 0.01 else ()
    return tuple(CostRow(phase=phase, seconds=seconds) for phase, seconds in (*phases, *other))


@dataclass(frozen=True, kw_only=True)
class LedgerRow:
    """The cost of a phase."""

    phase: str
    macs: int
    networks: int
    images: int
    """Seen by all of them, once an epoch."""
    seconds: float
    cached: float
    """Seconds that an earlier run spent; this run reused its results."""


PHASES = {
    "represent": "represent the task",
    "distance": "measure distances",
    "search": "search",
    "train": "final training",
    "rivals": "classic rivals",
}


def ledger_rows(result: Result) -> tuple[LedgerRow, ...]:
    """The phases of a search in order; empty for a run that is older than ledgers."""
    phases = () if result.ledger is None else result.ledger.phases
    return tuple(
        LedgerRow(
            phase=PHASES[phase.phase],
            macs=phase.macs,
            networks=len(phase.images),
            images=sum(images for _, images in phase.images),
            seconds=phase.took_s,
            cached=phase.cached_s,
        )
        for phase in phases
    )


def describe_cell(cell: Cell) -> str:
    """The operations of a cell in words, such as '0→1 identity, 1→2 conv_3x3'."""
    edges = cell.canonical().edges
    return ", ".join(f"{start}→{end} {operation}" for start, end, operation in edges) or "passes nothing"


def describe_skeleton(skeleton: Skeleton) -> str:
    """The stages of a skeleton in words, such as '2×16, ½ 2×32': cells × channels, ½ where it halves."""
    stem = "½ " if skeleton.stem == "half" else ""
    stages = zip(skeleton.cells, skeleton.widths, skeleton.reductions, strict=True)
    return stem + ", ".join(f"{'½ ' if halves else ''}{cells}×{width}" for cells, width, halves in stages)
