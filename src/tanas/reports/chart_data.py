"""The data of charts and tables, taken from a result."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from scipy.stats import binomtest

from tanas.algorithm.result import DONOR, FOUND, NO_SEARCH, Control, Metrics, Neighbour, Result, Rival
from tanas.networks.cell import Cell
from tanas.networks.scoring import ScoredArchitecture
from tanas.networks.skeleton import Skeleton


@dataclass(frozen=True, kw_only=True)
class ErrorRow:
    """The errors of a network, a rival or a constant answer on the test split. Shares in [0, 1]."""

    who: str
    error: float
    balanced_error: float
    interval: tuple[float, float] | None
    """95 % interval of the error; None: not given."""


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
class DistanceRow(Neighbour):
    """A remembered task and its distance to the task of the search."""

    inherited: bool


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


PHASES = {
    "represent": "represent the task",
    "distance": "measure distances",
    "search": "search",
    "train": "final training",
    "rivals": "classic rivals",
}


def wilson(wrong: int, images: int) -> tuple[float, float]:
    """The 95 % interval of a share, by Wilson's score method; (0, 1) without images."""
    if images == 0:
        return 0.0, 1.0
    low, high = binomtest(wrong, images).proportion_ci(method="wilson")
    return float(low), float(high)


def wrong_answers(result: Result) -> int:
    """How many test images were answered wrongly."""
    return round(result.metrics.test_error * result.task.test)


def constant_answer(result: Result) -> str:
    """The most frequent class of the test split: always answering it gives the least error."""
    totals = [sum(row) for row in result.confusion]
    return result.task.classes[totals.index(max(totals))]


def rival_label(name: str) -> str:
    """The name of a rival as reports show it."""
    shown = {NO_SEARCH: "reference network", FOUND: "searched network", DONOR: "network with known weights"}
    return shown.get(name, name)


def error_rows(result: Result) -> tuple[ErrorRow, ...]:
    """The test errors of the network, random search, the rivals and the constant answer."""

    def row(who: str, errors: Metrics | Control | Rival) -> ErrorRow:
        return ErrorRow(
            who=who,
            error=errors.test_error,
            balanced_error=errors.test_balanced_error,
            interval=wilson(round(errors.test_error * result.task.test), result.task.test),
        )

    metrics = result.metrics
    constant = ErrorRow(
        who="constant answer",
        error=metrics.constant_error,
        balanced_error=metrics.constant_balanced_error,
        interval=None,
    )
    control = () if result.control is None else (row("random search", result.control),)
    rivals = (row(rival_label(rival.name), rival) for rival in result.rivals)
    return row("this network", metrics), *control, *rivals, constant


def grown_rows(result: Result) -> tuple[GrownRow, ...]:
    """The network before and after it was grown or compressed; empty after a search."""
    grown = result.grown
    if grown is None:
        return ()
    recorded = grown.recorded if grown.recorded is not None and grown.recorded.same_images else None
    return tuple(
        GrownRow(
            who=who,
            parameters=size.parameters,
            macs=size.macs,
            score=size.score,
            validation_error=None if errors is None else errors.validation_error,
            test_error=None if errors is None else errors.test_error,
        )
        for who, size, errors in (("before", grown.before, recorded), ("after", grown.after, result.metrics))
    )


def distance_rows(result: Result) -> tuple[DistanceRow, ...]:
    """All remembered tasks with a measured distance, nearest first; after `reuse` no task is marked."""
    reused = () if result.stopped == "reused" else result.neighbours
    names = {(task.atom, task.fingerprint) for task in reused}
    return tuple(
        DistanceRow(**vars(task), inherited=(task.atom, task.fingerprint) in names)
        for task in result.distances
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
    """Every candidate: the architecture found, then by score, then in the order of the search."""
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


def cost_rows(result: Result) -> tuple[tuple[str, float], ...]:
    """(phase, seconds), which sum to the total; random search at equal cost counts as 'other'."""
    seconds = [(PHASES[phase], getattr(result.costs, f"{phase}_s")) for phase in PHASES]
    rest = result.costs.total_s - sum(took_s for _, took_s in seconds)
    return (*seconds, ("other", rest)) if rest > 0.01 else tuple(seconds)


def describe_cell(cell: Cell) -> str:
    """The operations of a cell in words, such as '0→1 identity, 1→2 conv_3x3'."""
    edges = cell.canonical().edges
    return ", ".join(f"{start}→{end} {operation}" for start, end, operation in edges) or "passes nothing"


def describe_skeleton(skeleton: Skeleton) -> str:
    """The stages of a skeleton in words, such as '2×16, ½ 2×32': cells × channels, ½ where it halves."""
    stem = {"full": "", "half": "½ ", "quarter": "¼ "}[skeleton.stem]
    stages = zip(skeleton.cells, skeleton.widths, skeleton.reductions, strict=True)
    return stem + ", ".join(f"{'½ ' if halves else ''}{cells}×{width}" for cells, width, halves in stages)
