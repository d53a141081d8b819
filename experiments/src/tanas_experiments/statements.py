"""What the paper says of its distance matrix, each sentence held against measured matrices.

A statement is made from numbers alone: its verdict and its text follow from them by the rules stated here.
All of them use the number that sorts distances (`Measurement.order`): below 1 it is d, and it keeps apart
pairs that d alone leaves together at its ends.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest, rankdata

from tanas.ground.seeds import Seed

Verdict = Literal["found", "not found", "can't be told"]
Floats = npt.NDArray[np.float64]

CHANCE = 0.05
"""Below this probability of so large an effect by chance, an effect counts as found."""
DRAWS = 2000
"""Of permutations and bootstraps: a probability near 0.05 is then known to 0.005."""
MOST_PARTITIONS = 5000
"""So many divisions of the tasks are all gone through; more are drawn from."""
STABLE = 0.9
"""Spearman between the matrices of two seeds from which on the order counts as stable: the project's aim."""


@dataclass(frozen=True, kw_only=True)
class Statement:
    """A sentence, what was measured about it, and whether it holds."""

    name: str
    claim: str
    """The sentence, the paper's own words in quotation marks."""
    verdict: Verdict
    text: str
    """What was found, in a sentence or two."""
    statistic: str
    """What `value` is."""
    value: float | None
    """Over all seeds together; None: it can't be computed."""
    per_seed: tuple[float, ...] = ()
    """The same for each seed alone, in their order."""
    n: int
    counted: str
    """What n counts."""
    values: dict[str, float] = field(default_factory=dict)
    """Further numbers by their names."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Matrices:
    """Distances between the same tasks, measured from several seeds."""

    tasks: tuple[str, ...]
    groups: tuple[str, ...]
    """The data set of each task."""
    values: Floats
    """d(source -> target) in [0, 1], (seeds, sources, targets)."""
    orders: Floats
    """The number that sorts, (seeds, sources, targets)."""

    @property
    def mean(self) -> Floats:
        """Of the orders over the seeds, (sources, targets)."""
        return np.asarray(self.orders.mean(axis=0))

    @property
    def between(self) -> npt.NDArray[np.bool_]:
        """Whether a pair is of two different tasks, (sources, targets)."""
        return ~np.eye(len(self.tasks), dtype=bool)


@dataclass(frozen=True, kw_only=True)
class Redrawn:
    """How near a task is to the same task on other images of its data set, beside all other sources."""

    target: str
    order: float
    """From the same task on other images."""
    others: tuple[float, ...]
    """From every other task."""

    @property
    def rank(self) -> int:
        """1: the same task is the nearest of all."""
        return 1 + sum(other < self.order for other in self.others)


def within_nearer(matrices: Matrices) -> Statement:
    """Two tasks of one data set are nearer than two of different ones.

    The effect is the mean over pairs across minus the mean over pairs within. Its chance is the share of all
    divisions of the tasks into groups of the same sizes that show as large an effect.
    """
    claim = (
        "“Two tasks from the same data set are often more similar than tasks involving different data sets.”"
    )
    statistic = "P(a pair within a data set is nearer than a pair across)"
    same = _same(matrices.groups) & matrices.between
    across = ~_same(matrices.groups)
    if not same.any() or not across.any():
        why = "All tasks are of one data set, or no two are of the same: there is nothing to compare."
        return _untold("within", claim, statistic, why)
    mean = matrices.mean
    effect = _effect(mean, matrices.groups)
    chance = _partition_chance(mean, matrices.groups)
    nearer = _share_less(mean[same], mean[across])
    verdict = _verdict(effect, chance)
    text = (
        f"A pair within a data set is nearer than a pair across in {nearer:.0%} of comparisons: mean "
        f"{mean[same].mean():.3f} within, {mean[across].mean():.3f} across "
        f"({_p(chance)} over divisions of the {len(matrices.tasks)} tasks)."
    )
    return Statement(
        name="within",
        claim=claim,
        verdict=verdict,
        text=text,
        statistic=statistic,
        value=nearer,
        per_seed=tuple(_share_less(order[same], order[across]) for order in matrices.orders),
        n=int(same.sum() + across.sum()),
        counted="ordered pairs",
        values={
            "mean within": float(mean[same].mean()),
            "mean across": float(mean[across].mean()),
            "p": chance,
            **{
                f"p, seed {at + 1} of {len(matrices.orders)}": _partition_chance(order, matrices.groups)
                for at, order in enumerate(matrices.orders)
            },
        },
    )


def directions(matrices: Matrices) -> tuple[Statement, Statement]:
    """The two sentences about MNIST and Fashion-MNIST, which can't both hold of one distance.

    d(A -> B) carries A's features to B (section 3.1). The first sentence is about the similarity 1 - d from
    the first data set's tasks to the second's; the second sentence is about the use of the second's knowledge
    on the first. The interval of the difference is a bootstrap over the tasks of each data set and the seeds.
    """
    names = tuple(dict.fromkeys(matrices.groups))
    two = len(names) == 2
    first, second = names[:2] if two else ("MNIST", "Fashion-MNIST")
    claims = (
        f"“The similarity from {first} tasks to {second} tasks is greater than the similarity from "
        f"{second} tasks to those in {first}”: d({first} -> {second}) is the smaller one.",
        f"“We can often use {second} knowledge on {first}, but not vice-versa”: "
        f"d({second} -> {first}) is the smaller one.",
    )
    statistic = f"mean d({second} -> {first}) - mean d({first} -> {second})"
    if not two:
        return (
            _untold(
                "direction", claims[0], statistic, f"It takes tasks of two data sets: here {len(names)}."
            ),
            _untold("use", claims[1], statistic, f"It takes tasks of two data sets: here {len(names)}."),
        )
    a, b = (np.flatnonzero(np.array(matrices.groups) == name) for name in names)
    there = matrices.orders[:, a[:, None], b]  # (seeds, first, second)
    back = matrices.orders[:, b[:, None], a].transpose(0, 2, 1)  # (seeds, first, second)
    difference = float((back - there).mean())
    low, high = _bootstrap(back - there)
    verdicts: tuple[Verdict, Verdict] = ("can't be told", "can't be told")
    reading = "The interval holds 0, so neither reading is supported."
    if low > 0:
        verdicts = ("found", "not found")
        reading = f"Features of {first} serve {second} better than the other way round."
    elif high < 0:
        verdicts = ("not found", "found")
        reading = f"Features of {second} serve {first} better than the other way round."
    text = (
        f"Mean d({first} -> {second}) = {there.mean():.3f}, mean d({second} -> {first}) = {back.mean():.3f}, "
        f"difference {difference:+.3f} (95 % interval {low:+.3f} to {high:+.3f}). {reading}"
    )
    values = {
        f"mean d({first} -> {second})": float(there.mean()),
        f"mean d({second} -> {first})": float(back.mean()),
        "interval, low": low,
        "interval, high": high,
    }

    def statement(name: str, claim: str, verdict: Verdict) -> Statement:
        return Statement(
            name=name,
            claim=claim,
            verdict=verdict,
            text=text,
            statistic=statistic,
            value=difference,
            per_seed=tuple(float(d) for d in (back - there).mean(axis=(1, 2))),
            n=2 * there[0].size,
            counted="ordered pairs across",
            values=values,
        )

    return (
        statement("direction", claims[0], verdicts[0]),
        statement("use", claims[1], verdicts[1]),
    )


def zero_to_itself(matrices: Matrices) -> Statement:
    """d(A, A) = 0: 'O should be zero for two identical tasks' (section 3.1)."""
    own = np.abs(np.diagonal(matrices.values, axis1=1, axis2=2))  # (seeds, tasks)
    largest = float(own.max())
    return Statement(
        name="identity",
        claim="“Ideally, O should be zero for two identical tasks.”",
        verdict="found" if largest == 0 else "not found",
        text=f"The largest d of a task to itself is {largest:g}; it is built into the definition.",
        statistic="largest d(A -> A)",
        value=largest,
        per_seed=tuple(float(row.max()) for row in own),
        n=own.size,
        counted="tasks, each with every seed",
    )


def asymmetric(matrices: Matrices) -> Statement:
    """D(A, B) differs from d(B, A) by more than the seeds make it differ.

    If d were symmetric, the sign of d(A -> B) - d(B -> A) would be a coin's in every seed. The statistic is
    the mean over pairs of the size of the mean difference over seeds; its chance comes from random signs.
    """
    claim = "In general, d is asymmetric (section 3.1)."
    statistic = "mean |d(A -> B) - d(B -> A)|"
    above = np.triu_indices(len(matrices.tasks), 1)
    difference = (matrices.orders - matrices.orders.transpose(0, 2, 1))[
        :, above[0], above[1]
    ]  # (seeds, pairs)
    observed = float(np.abs(difference.mean(axis=0)).mean())
    seeds, pairs = difference.shape
    values: dict[str, float] = {}
    if seeds < 2:
        verdict: Verdict = "can't be told"
        text = f"The two directions of a pair differ by {observed:.3f} in the mean; one seed can't tell it from noise."
    else:
        signs = Seed(0).child("asymmetric").numpy().choice([-1.0, 1.0], (DRAWS, seeds, pairs))
        drawn = np.abs((signs * difference).mean(axis=1)).mean(axis=1)  # (draws,)
        chance = float((1 + (drawn >= observed).sum()) / (1 + DRAWS))
        values = {"p": chance, "expected of a symmetric d": float(drawn.mean())}
        verdict = _verdict(observed - float(drawn.mean()), chance)
        text = (
            f"The two directions of a pair differ by {observed:.3f} in the mean over seeds; of a symmetric d, "
            f"seeds alone would make it {drawn.mean():.3f} ({_p(chance)})."
        )
    return Statement(
        name="asymmetry",
        claim=claim,
        verdict=verdict,
        text=text,
        statistic=statistic,
        value=observed,
        per_seed=tuple(float(row) for row in np.abs(difference).mean(axis=1)),
        n=pairs,
        counted="pairs of tasks",
        values=values,
    )


def redrawn_nearest(redrawn: Sequence[Sequence[Redrawn]]) -> Statement:
    """A task and the same task on other images of its data set are nearer than any other source.

    Args:
        redrawn: of each seed, both ways.
    """
    claim = "A task is nearest to the same task on other images of its data set."
    statistic = "share of columns in which the same task is the nearest"
    every = [one for seed in redrawn for one in seed]
    if not every:
        return _untold("redrawn", claim, statistic, "No task was drawn anew.")
    first = [one.rank == 1 for one in every]
    ranks = ", ".join(f"{one.rank} of {len(one.others) + 1}" for one in every if one.rank > 1)
    text = (
        f"It is the nearest in {sum(first)} of {len(every)} columns (mean {np.mean([o.order for o in every]):.3f}; "
        f"the other sources {np.mean([x for o in every for x in o.others]):.3f})."
    )
    return Statement(
        name="redrawn",
        claim=claim,
        verdict="found" if all(first) else "not found",
        text=text + (f" Elsewhere its place is {ranks}." if ranks else ""),
        statistic=statistic,
        value=sum(first) / len(first),
        per_seed=tuple(float(np.mean([one.rank == 1 for one in seed])) for seed in redrawn if seed),
        n=len(every),
        counted="columns over all seeds",
        values={
            "mean order of the same task": float(np.mean([one.order for one in every])),
            "mean order of the other sources": float(np.mean([x for one in every for x in one.others])),
            "worst rank": float(max(one.rank for one in every)),
        },
    )


def nearest_to(
    target: str, sources: Sequence[str], orders: Floats | None, expected: Sequence[str]
) -> tuple[Statement, Statement]:
    """Which sources are nearest to a target: the first one, and the set of the first few.

    Args:
        target: name of the task.
        sources: names of the base tasks.
        orders: (seeds, sources); None: the target was not measured.
        expected: what the paper found, the nearest first.
    """
    few = len(expected)
    claims = (
        f"“The base task of digit 0 indicator is the most related task to the moon indicator”: {expected[0]} "
        f"is nearest to {target}."
        if few
        else f"The paper names what is nearest to {target}.",
        f"“The top three most similar tasks” to {target} are {_listed(expected)}.",
    )
    statistics = (
        f"rank of {expected[0]}" if few else "rank",
        f"how many of the nearest {few} are the paper's",
    )
    if orders is None or not few or not set(expected) <= set(sources):
        why = (
            f"{target} was not measured."
            if orders is None
            else "The paper's nearest tasks are not among these."
        )
        return (
            _untold("nearest", claims[0], statistics[0], why),
            _untold("nearest-few", claims[1], statistics[1], why),
        )
    place = [sources.index(name) for name in expected]
    ranks = np.array([_ranks(row) for row in orders])  # (seeds, sources)
    mean_ranks = _ranks(orders.mean(axis=0))  # (sources,)
    ours = [sources[at] for at in np.argsort(mean_ranks, kind="stable")[:few]]
    by_seed = "; ".join(
        f"{name}: {mean_ranks[at]:.0f} by the mean, {', '.join(f'{r:.0f}' for r in ranks[:, at])} by seed"
        for name, at in zip(expected, place, strict=True)
    )
    nearest = f"By the mean over seeds the nearest are {_listed(ours)}."
    overlap = len(set(ours) & set(expected))
    return (
        Statement(
            name="nearest",
            claim=claims[0],
            verdict="found" if mean_ranks[place[0]] == 1 else "not found",
            text=f"{nearest} Ranks of the paper's among {len(sources)}: {by_seed}.",
            statistic=statistics[0],
            value=float(mean_ranks[place[0]]),
            per_seed=tuple(float(rank) for rank in ranks[:, place[0]]),
            n=len(sources),
            counted="sources",
        ),
        Statement(
            name="nearest-few",
            claim=claims[1],
            verdict="found" if overlap == few else "not found",
            text=f"{overlap} of our nearest {few} are the paper's; {few * few / len(sources):.1f} would be by chance.",
            statistic=statistics[1],
            value=float(overlap),
            per_seed=tuple(float((ranks[seed, place] <= few).sum()) for seed in range(len(ranks))),
            n=few,
            counted="nearest sources",
            values={"expected by chance": few * few / len(sources)},
        ),
    )


def nearer_than_untrained(matrices: Matrices, untrained: Floats) -> Statement:
    """Trained networks are nearer to a task than a network that was never trained.

    A distance of which that is not true sees nothing of what was learnt. Its chance is a sign test over the
    targets: in how many of them most sources are nearer.

    Args:
        matrices: of the trained ones.
        untrained: orders from the untrained network, (seeds, targets).
    """
    claim = "The features of another task's trained network are nearer than those of an untrained network."
    statistic = "share of pairs nearer than the untrained network to the same target"
    orders = matrices.orders
    nearer = (orders < untrained[:, None]) + 0.5 * (orders == untrained[:, None])  # (seeds, sources, targets)
    between = matrices.between
    share = float(nearer[:, between].mean())
    by_target = np.where(between, nearer.mean(axis=0), np.nan)  # (sources, targets)
    most = np.nanmean(by_target, axis=0)  # (targets,)
    wins, losses = int((most > 0.5).sum()), int((most < 0.5).sum())
    chance = float(binomtest(wins, wins + losses, alternative="greater").pvalue) if wins + losses else 1.0
    return Statement(
        name="untrained",
        claim=claim,
        verdict=_verdict(share - 0.5, chance),
        text=f"{share:.0%} of the pairs are nearer; for {wins} of {len(most)} targets most are ({_p(chance)}).",
        statistic=statistic,
        value=share,
        per_seed=tuple(float(seed[between].mean()) for seed in nearer),
        n=int(between.sum()),
        counted="ordered pairs",
        values={
            "p": chance,
            "mean order": float(orders[:, between].mean()),
            "mean order from the untrained network": float(untrained.mean()),
        },
    )


def stable(matrices: Matrices) -> Statement:
    """Matrices of different seeds have the same order, and the same nearest source for each target."""
    claim = f"Two seeds give the same order of pairs (Spearman at least {STABLE:g})."
    statistic = "mean Spearman between two seeds' matrices"
    pairs = list(itertools.combinations(range(len(matrices.orders)), 2))
    if not pairs:
        return _untold("stability", claim, statistic, "It takes two seeds.")
    flat = matrices.orders[:, matrices.between]  # (seeds, pairs)
    agreements = [spearman(flat[a], flat[b]) for a, b in pairs]
    known = [agreement for agreement in agreements if agreement is not None]
    if not known:
        return _untold(
            "stability", claim, statistic, "All distances of a seed are equal: they have no order."
        )
    own = np.eye(len(matrices.tasks), dtype=bool)
    nearest = np.where(own, np.inf, matrices.orders).argmin(axis=1)  # (seeds, targets)
    same = float(np.mean([nearest[a] == nearest[b] for a, b in pairs]))
    mean, least = float(np.mean(known)), min(known)
    return Statement(
        name="stability",
        claim=claim,
        verdict="found" if least >= STABLE else "not found",
        text=(
            f"Spearman between two seeds is {mean:.3f} in the mean, {least:.3f} at the least, over "
            f"{flat.shape[1]} pairs; two seeds name the same nearest source for {same:.0%} of the targets."
        ),
        statistic=statistic,
        value=mean,
        n=len(pairs),
        counted="pairs of seeds" if len(pairs) > 1 else "pair of seeds",
        values={"least Spearman": least, "share of targets with the same nearest source": same},
    )


def spearman(first: Floats, second: Floats) -> float | None:
    """The rank correlation of two rows of numbers; None where one of them is constant."""
    a, b = rankdata(first), rankdata(second)
    if np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(np.corrcoef(a, b)[0, 1])


def _same(groups: Sequence[str]) -> npt.NDArray[np.bool_]:
    """Whether two tasks are of one group, (tasks, tasks)."""
    named = np.array(groups)
    return np.asarray(named[:, None] == named[None, :])


def _effect(orders: Floats, groups: Sequence[str]) -> float:
    """Mean across minus mean within."""
    same = _same(groups)
    return float(orders[~same].mean() - orders[same & ~np.eye(len(groups), dtype=bool)].mean())


def _partition_chance(orders: Floats, groups: Sequence[str]) -> float:
    """The share of divisions into groups of the same sizes with at least the observed effect."""
    names = list(dict.fromkeys(groups))
    count, size = len(groups), list(groups).count(names[0])
    divisions: list[list[str]]
    if len(names) == 2 and math.comb(count, size) <= MOST_PARTITIONS:
        divisions = [
            [names[0] if at in chosen else names[1] for at in range(count)]
            for chosen in map(set, itertools.combinations(range(count), size))
        ]
        more = 0
    else:
        generator = Seed(0).child("divisions").numpy()
        divisions = [list(generator.permutation(np.array(groups))) for _ in range(DRAWS)]
        more = 1  # the observed one is a division too
    # sums in another order differ in their last bits
    least = _effect(orders, groups) - 1e-9
    reached = sum(_effect(orders, division) >= least for division in divisions)
    return (reached + more) / (len(divisions) + more)


def _bootstrap(differences: Floats) -> tuple[float, float]:
    """Ends of the 95 % interval of the mean of (seeds, first, second), all three drawn with replacement."""
    generator = Seed(0).child("bootstrap").numpy()
    means = []
    for _ in range(DRAWS):
        seeds, first, second = (generator.integers(0, size, size) for size in differences.shape)
        means.append(differences[np.ix_(seeds, first, second)].mean())
    low, high = np.quantile(means, [0.025, 0.975])
    return float(low), float(high)


def _share_less(first: Floats, second: Floats) -> float:
    """P(one of the first < one of the second), ties counted half."""
    a, b = first[:, None], second[None, :]
    return float((a < b).mean() + 0.5 * (a == b).mean())


def _ranks(row: Floats) -> Floats:
    """1 for the smallest; of equal ones each has the best rank."""
    return np.asarray(rankdata(row, method="min"), dtype=np.float64)


def _verdict(effect: float, chance: float) -> Verdict:
    """Found if the effect has the claimed sign and is no chance; not found if it has not the sign."""
    if effect <= 0:
        return "not found"
    return "found" if chance < CHANCE else "can't be told"


def _untold(name: str, claim: str, statistic: str, why: str) -> Statement:
    return Statement(
        name=name,
        claim=claim,
        verdict="can't be told",
        text=why,
        statistic=statistic,
        value=None,
        n=0,
        counted="measurements",
    )


def _p(chance: float) -> str:
    return f"p = {chance:.3f}" if chance >= 0.001 else "p < 0.001"


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), names[-1]])) if names else "none"
