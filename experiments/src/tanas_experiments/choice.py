"""Which way of a round of FUSE chooses the best of its candidates? Values, and the figures that answer it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.stats import binomtest, kendalltau

from tanas_experiments.paired import PairedDifference, paired

BEYOND = 2.0
"""Two truths differ beyond noise if they are more than so many standard errors of their difference apart: then 19 of
20 stand in the right order."""

REFERENCE = ("equal", "alpha")
"""What every way is held against: equal weights while w descends, alpha solved once, arg max alpha."""

RULES = ("alpha", "loss", "performance")
"""By what a candidate can be chosen. FUSE goes by the first; the others cost nothing, so they are looked at, too."""

LEVEL = 0.95


@dataclass(frozen=True, kw_only=True)
class Member:
    """A candidate after a training."""

    key: str
    """`Architecture.key`."""
    score: float | None
    """Validation performance l of its own; None: it was dropped, since its loss was not finite."""
    loss: float | None
    """Cross-entropy of its own on the validation images, in nats; None: it was dropped."""
    weight: float | None
    """softmax(alpha); None: it was trained on its own."""


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What an architecture is worth to a target."""

    target: str
    key: str
    runs: tuple[Member, ...]
    """Trainings of its own, at least two, from several seeds."""

    @property
    def scores(self) -> tuple[float, ...]:
        """Validation performance l of each run; 0 of one that failed."""
        return tuple(run.score or 0.0 for run in self.runs)

    @property
    def mean(self) -> float:
        """Mean l over the runs."""
        return sum(self.scores) / len(self.runs)


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One round over given candidates."""

    target: str
    number: int
    """Of the triple, within its target."""
    members: tuple[Member, ...]
    cpu_s: float
    """CPU seconds, the answers on validation images included."""
    macs: int
    """Multiply-adds of all trainings, forward and backward."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """A way of a round, and what it said of each group of candidates."""

    name: str
    settings: Mapping[str, Any]
    compared: tuple[Compared, ...]


@dataclass(frozen=True, kw_only=True)
class Noise:
    """How far two trainings of one architecture differ on a target."""

    target: str
    architectures: int
    deviation: float
    """Standard deviation between runs in points of l, pooled over the architectures."""
    spread: float
    """Standard deviation between architectures, of their means, in points."""
    least: float
    """Truths that are more points apart than this differ beyond noise."""


@dataclass(frozen=True, kw_only=True)
class Against:
    """A way beside the reference, on the same groups of candidates."""

    n: int
    only_own: int
    """Groups told apart in which this way alone chose the best."""
    only_reference: int
    p: float
    """Two-sided, of the exact McNemar test (a sign test on the groups in which just one of the two was right)."""
    regret: PairedDifference
    """Regret of this way less that of the reference, in points, over all groups."""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """How well a way chooses by a rule."""

    way: str
    rule: str
    """One of `RULES`."""
    target: str | None
    """None: all targets together."""
    candidates: int
    n: int
    """Groups of candidates."""
    decided: int
    """Of them, whose best differs from the second beyond noise."""
    best: int
    """Of those, in which it was chosen."""
    share: float | None
    """best / decided."""
    low: float | None
    """End of the exact 95 % interval of that share (Clopper and Pearson)."""
    high: float | None
    near: int
    """Of all groups, in which the choice is the best or differs from it by no more than noise."""
    regret: float
    """Mean points of l by which the choice misses the best, over all groups."""
    tau: float
    """Kendall's tau-b of what it says with the truth, a mean over all groups; one that orders nothing counts as 0."""
    first_chosen: int
    """Of all groups, in which the first candidate was chosen: where a round before is there, the kept seed."""
    first_best: int
    """Of all groups, in which it is the best."""
    cpu_s: float
    """Mean of a group."""
    macs: float
    """Mean of a group."""
    against: Against | None
    """None: it is the reference, or has other candidates."""


@dataclass(frozen=True, kw_only=True)
class StudyRecord:
    """The study of how FUSE chooses."""

    what: str
    command: str
    n: int
    """Most groups that a way compares, over all targets."""
    targets: tuple[str, ...]
    seed: int
    size: Mapping[str, Any]
    default: tuple[str, str]
    """Way and rule of FUSE's own settings."""
    architectures: tuple[Any, ...]
    noise: tuple[Noise, ...]
    figures: tuple[Figures, ...]
    """Of every way and rule: of all targets, then of each."""
    truths: tuple[Truth, ...]
    ways: tuple[Way, ...]
    hardware: str
    versions: Mapping[str, str]

    def of(self, way: str, rule: str, target: str | None = None) -> Figures:
        """The figures of a way and rule.

        Raises:
            ValueError: it was not measured.
        """
        for one in self.figures:
            if (one.way, one.rule, one.target) == (way, rule, target):
                return one
        raise ValueError(f"'{way}' by '{rule}' was not measured on {target or 'any target'}.")


@dataclass(frozen=True)
class _Verdict:
    """What a rule made of one group."""

    decided: bool
    best: bool
    near: bool
    regret: float  # points
    tau: float
    first_chosen: bool
    first_best: bool


def noise_of(truths: Sequence[Truth]) -> tuple[Noise, ...]:
    """The noise of each target.

    Args:
        truths: each with as many runs, at least two.
    """
    found = []
    for target in dict.fromkeys(truth.target for truth in truths):
        own = [truth for truth in truths if truth.target == target]
        scores = 100 * np.array([truth.scores for truth in own])  # (architectures, runs)
        deviation = math.sqrt(scores.var(axis=1, ddof=1).mean())
        found.append(
            Noise(
                target=target,
                architectures=len(own),
                deviation=deviation,
                spread=float(scores.mean(axis=1).std(ddof=1)) if len(own) > 1 else 0.0,
                least=BEYOND * deviation * math.sqrt(2 / scores.shape[1]),
            )
        )
    return tuple(found)


def said(members: Sequence[Member], rule: str) -> tuple[tuple[float, float], ...] | None:
    """What a way says of candidates, the better the greater; of equal l the lower loss is the better.

    Args:
        members: the candidates.
        rule: one of `RULES`.

    Returns:
        a value of each that orders them, dropped ones last; None: the way knows no alpha.
    """
    last = (-math.inf, -math.inf)
    if rule == "alpha":
        if any(one.weight is None for one in members):
            return None
        return tuple(last if one.weight is None or one.loss is None else (one.weight, 0.0) for one in members)
    if rule == "loss":
        return tuple(last if one.loss is None else (-one.loss, 0.0) for one in members)
    return tuple(last if one.score is None or one.loss is None else (one.score, -one.loss) for one in members)


def figures(truths: Sequence[Truth], ways: Sequence[Way]) -> tuple[Figures, ...]:
    """The figures of every way and rule: of all targets together, then of each.

    Args:
        truths: of every architecture that is compared.
        ways: what was measured; groups of the same target and number have the same candidates, as many as there are.
    """
    known = {(truth.target, truth.key): truth.mean for truth in truths}
    least = {noise.target: noise.least for noise in noise_of(truths)}
    verdicts = {
        (way.name, rule): found
        for way in ways
        for rule in RULES
        if (found := _verdicts(way, rule, known, least)) is not None
    }
    reference = verdicts.get(REFERENCE, {})
    size = {way.name: len(way.compared[0].members) for way in ways}
    made = []
    for way in ways:
        for rule in RULES:
            if (own := verdicts.get((way.name, rule))) is None:
                continue
            same = {} if size[way.name] != size.get(REFERENCE[0]) else reference
            if (way.name, rule) == REFERENCE:
                same = {}
            for target in (None, *dict.fromkeys(one.target for one in way.compared)):
                made.append(_figures(way, rule, target, own, same))
    return tuple(made)


_Verdicts = dict[tuple[str, int], _Verdict]


def _verdicts(
    way: Way, rule: str, known: Mapping[tuple[str, str], float], least: Mapping[str, float]
) -> _Verdicts | None:
    """What a rule made of each group, by (target, number); None: the way knows no alpha."""
    found: _Verdicts = {}
    for one in way.compared:
        values = said(one.members, rule)
        if values is None:
            return None
        points = [100 * known[one.target, member.key] for member in one.members]
        chosen = max(range(len(values)), key=values.__getitem__)  # the first of equal ones
        first, second = sorted(points, reverse=True)[:2]
        regret = first - points[chosen]
        ranks = [sorted(values).index(value) for value in values]
        tau = float(kendalltau(ranks, points).statistic)
        found[one.target, one.number] = _Verdict(
            decided=first - second > least[one.target],
            best=regret == 0,
            near=regret <= least[one.target],
            regret=regret,
            tau=0.0 if math.isnan(tau) else tau,
            first_chosen=chosen == 0,
            first_best=points[0] == first,
        )
    return found


def _figures(way: Way, rule: str, target: str | None, own: _Verdicts, reference: _Verdicts) -> Figures:
    """Of one way and rule, on a target or on all."""
    groups = [one for one in way.compared if target in (None, one.target)]
    here = [own[one.target, one.number] for one in groups]
    decided = [verdict for verdict in here if verdict.decided]
    best = sum(verdict.best for verdict in decided)
    interval = binomtest(best, len(decided)).proportion_ci(LEVEL, method="exact") if decided else (None, None)
    pairs = [
        (own[key], reference[key]) for key in ((one.target, one.number) for one in groups) if key in reference
    ]
    return Figures(
        way=way.name,
        rule=rule,
        target=target,
        candidates=len(groups[0].members),
        n=len(groups),
        decided=len(decided),
        best=best,
        share=best / len(decided) if decided else None,
        low=None if interval[0] is None else float(interval[0]),
        high=None if interval[1] is None else float(interval[1]),
        near=sum(verdict.near for verdict in here),
        regret=float(np.mean([verdict.regret for verdict in here])),
        tau=float(np.mean([verdict.tau for verdict in here])),
        first_chosen=sum(verdict.first_chosen for verdict in here),
        first_best=sum(verdict.first_best for verdict in here),
        cpu_s=float(np.mean([one.cpu_s for one in groups])),
        macs=float(np.mean([one.macs for one in groups])),
        against=_against(pairs) if pairs else None,
    )


def _against(pairs: Sequence[tuple[_Verdict, _Verdict]]) -> Against:
    """A way beside the reference: (its own verdict, the reference's) of each group."""
    decided = [(own, other) for own, other in pairs if own.decided]
    only_own = sum(own.best and not other.best for own, other in decided)
    only_reference = sum(other.best and not own.best for own, other in decided)
    differing = only_own + only_reference
    return Against(
        n=len(pairs),
        only_own=only_own,
        only_reference=only_reference,
        p=float(binomtest(only_own, differing).pvalue) if differing else 1.0,
        regret=paired([other.regret for _, other in pairs], [own.regret for own, _ in pairs]),
    )
