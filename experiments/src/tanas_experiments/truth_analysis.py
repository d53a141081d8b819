"""What a table of the truth says: how much choices matter, how ranks carry, and what each way of choosing loses.

Pure functions over the rows of a table. A choice sees validation figures of one seed only; it is judged by test
errors that it did not see.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import kendalltau, rankdata
from sklearn.linear_model import BayesianRidge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from tanas.ground.errors import SettingError, check_range
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture
from tanas.spaces.costs import cost_by_parts
from tanas.spaces.inherit import counted, weighed
from tanas.spaces.prior import learn_prior
from tanas.spaces.size_trend import TILT, Comparison, learn_size_trend
from tanas.spaces.space import SearchSpace
from tanas.strategies.predictor import encode
from tanas_experiments.paired import PairedDifference, paired
from tanas_experiments.rankings import spearman
from tanas_experiments.truth import SIZE_CLASSES, SIZE_SHAPE, Row, TaskDistance, Triple, whole_positions

Numbers = npt.NDArray[np.float64]

CHOSEN_ON = ("moon", "hundred")
"""Targets on which the features and the strength of the promise of sizes were chosen (`tanas.spaces.size_trend`)."""

NEAREST, FARTHEST, RANDOM, TEACHER, DUNCE = "nearest", "farthest", "random", "best teacher", "worst teacher"
"""Which other task a choice learns from: by distance; drawn; the one whose ranks agree most or least with the
target's, which only the truth can say."""


@dataclass(frozen=True, kw_only=True)
class AnalysisConfig:
    """How searches are simulated on the table."""

    draws: int = 200
    """Simulated searches a target and a way of choosing."""
    tries: tuple[int, ...] = (1, 3, 5, 10, 30)
    """Architectures that a search trains on the target."""
    known: int = 7
    """Architectures that were seen for each task of the memory, drawn anew each time, the same for every task. The
    search by which a dictionary learns a task sees eleven; of a small table that would leave too few to draw."""
    scored: int = 2
    """The best of them, from which a prior is learnt: as many as that search scores, which are its winners."""
    neighbours: int = 3
    """Tasks that a search learns from where it learns from several."""
    bins: int = 5
    """Of size, equally full, in which architectures are compared at equal size."""
    permutations: int = 2000
    """Of the test whether small distances mean ranks that agree."""
    noise: float = 2.0
    """Of three architectures the best is told from the second if it is better by so many standard errors."""
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("draws", "known", "scored", "neighbours", "bins", "permutations"):
            check_range(getattr(self, name), name, "AnalysisConfig", low=1)
        check_range(self.noise, "noise", "AnalysisConfig", low=0)


@dataclass(frozen=True, eq=False, kw_only=True)
class Table:
    """The architectures whose trainings are all there."""

    positions: tuple[int, ...]
    """Of the architectures in the whole table."""
    targets: tuple[str, ...]
    seen: Numbers
    """What a choice sees, (targets, architectures, seeds): the place in the order by l and then by validation loss,
    0 the worst. Both stand in the rows; so of many with l = 0 the one with the lower loss is the better."""
    losses: Numbers
    """Cross-entropy on the validation images, in nats, (targets, architectures, seeds)."""
    error: Numbers
    """Test error, (targets, architectures, seeds)."""
    balanced: Numbers
    """Balanced test error, (targets, architectures, seeds)."""
    log_parameters: Numbers
    """(architectures,): the mean over the targets, on which the heads differ."""
    log_macs: Numbers
    """(architectures,): likewise."""
    incomplete: int
    """Architectures that were left out since a training is not there."""
    diverged: int
    """Architectures that were left out since a training diverged."""

    @property
    def size(self) -> int:
        """How many architectures there are."""
        return len(self.positions)

    @property
    def seeds(self) -> int:
        """Trainings of each architecture on each target."""
        return int(self.balanced.shape[2])


def table_of(rows: Iterable[Row], targets: Sequence[str], seeds: Sequence[int]) -> Table:
    """The architectures that have every training.

    Args:
        rows: of the table, in any order.
        targets: short names.
        seeds: at least two, so that there is an agreement to compare with.

    Raises:
        SettingError: fewer than two seeds, or fewer than three architectures are whole.
    """
    if len(seeds) < 2:
        raise SettingError(f"The 'seeds' of a table must be at least two. Got {len(seeds)} instead.")
    by_job = {(row.position, row.target, row.seed): row for row in rows}
    every = sorted({position for position, _, _ in by_job})
    wanted = [(target, seed) for target in targets for seed in seeds]
    whole = whole_positions(by_job.values(), targets, seeds)
    kept = [p for p in whole if not any(by_job[p, target, seed].diverged for target, seed in wanted)]
    if len(kept) < 3:
        raise SettingError(
            f"A table is read when at least three architectures have all their trainings. Got {len(kept)} instead."
        )

    def figures(name: str) -> Numbers:
        return np.array(
            [[[getattr(by_job[p, t, s], name) for s in seeds] for p in kept] for t in targets],
            dtype=np.float64,
        )  # (targets, architectures, seeds)

    scores, losses = figures("score"), figures("val_loss")
    seen = np.empty_like(scores)
    for at in np.ndindex(len(targets), len(seeds)):
        target, seed = at
        order = np.lexsort((-losses[target, :, seed], scores[target, :, seed]))
        seen[target, order, seed] = np.arange(len(kept))
    return Table(
        positions=tuple(kept),
        targets=tuple(targets),
        seen=seen,
        losses=losses,
        error=figures("test_error"),
        balanced=figures("test_balanced"),
        log_parameters=np.log(figures("parameters")).mean(axis=(0, 2)),
        log_macs=np.log(figures("macs")).mean(axis=(0, 2)),
        incomplete=len(every) - len(whole),
        diverged=len(whole) - len(kept),
    )


@dataclass(frozen=True, kw_only=True)
class Choice:
    """How much the choice of an architecture matters on a target; balanced test errors in [0, 1]."""

    target: str
    median: float
    """Of the architectures' mean errors."""
    best: float
    """Of those that are best by one seed, the error by another: no luck of the draw in it."""
    worst_tenth: float
    """The error that a tenth of the architectures exceed."""
    spread: float
    """Standard deviation between architectures, that between seeds taken off."""
    noise: float
    """Standard deviation between seeds of one training."""
    size: float | None
    """Spearman of the error with the parameters: negative where larger is better; None: nothing is ranked."""
    macs: float | None
    """The same with multiply-adds."""
    gain_at_size: float
    """Median less best within a bin of like parameters, the best chosen by one seed and measured by another."""
    spread_at_size: float
    """As `spread`, within bins of like parameters."""


def choices(table: Table, *, bins: int) -> tuple[Choice, ...]:
    """How much the choice matters on each target.

    Args:
        table: of the trainings.
        bins: of size, equally full.
    """
    order = np.argsort(table.log_parameters, kind="stable")
    groups = [group for group in np.array_split(order, min(bins, table.size // 2)) if len(group) > 1]
    found = []
    for number, target in enumerate(table.targets):
        errors = table.balanced[number]  # (architectures, seeds)
        means = errors.mean(axis=1)
        at_size = [errors[group] for group in groups]
        found.append(
            Choice(
                target=target,
                median=float(np.median(means)),
                best=best_by_another(errors),
                worst_tenth=float(np.quantile(means, 0.9)),
                spread=spread_of(errors),
                noise=noise_of(errors),
                size=spearman(means.tolist(), table.log_parameters.tolist()),
                macs=spearman(means.tolist(), table.log_macs.tolist()),
                gain_at_size=float(
                    np.mean([np.median(one.mean(axis=1)) - best_by_another(one) for one in at_size])
                ),
                spread_at_size=math.sqrt(float(np.mean([spread_of(one) ** 2 for one in at_size]))),
            )
        )
    return tuple(found)


def best_by_another(errors: Numbers) -> float:
    """The mean error, by the other seeds, of what is best by one seed; errors are (architectures, seeds)."""
    seeds = errors.shape[1]
    picked = [(int(errors[:, seed].argmin()), seed) for seed in range(seeds)]
    return float(np.mean([np.delete(errors[best], seed).mean() for best, seed in picked]))


def noise_of(errors: Numbers) -> float:
    """Standard deviation between seeds of one architecture; errors are (architectures, seeds)."""
    return math.sqrt(float(errors.var(axis=1, ddof=1).mean()))


def spread_of(errors: Numbers) -> float:
    """Standard deviation between architectures, that between seeds taken off; errors are (architectures, seeds)."""
    noise = noise_of(errors) ** 2 / errors.shape[1]
    return math.sqrt(max(float(errors.mean(axis=1).var(ddof=1)) - noise, 0.0))


@dataclass(frozen=True, kw_only=True)
class Carry:
    """How well ranks agree between two targets, or between two seeds of one: Spearman of single trainings' errors."""

    source: str
    target: str
    plain: float
    at_size: float
    """Given the parameters: what is left of both once ranks of size are taken off."""
    at_cost: float
    """Given parameters and multiply-adds."""


def carries(table: Table) -> tuple[Carry, ...]:
    """The agreement of every pair of targets, and of every target with itself by two seeds, which is the ceiling.

    A value is the mean over all pairs of two different trainings, one of each target.
    """
    covariates = (
        np.empty((table.size, 0)),
        table.log_parameters[:, None],
        np.stack([table.log_parameters, table.log_macs], axis=1),
    )
    left = [
        np.array(
            [
                [residual_ranks(table.balanced[t, :, s], given) for s in range(table.seeds)]
                for t in range(len(table.targets))
            ]
        )
        for given in covariates
    ]  # each (targets, seeds, architectures)
    found = []
    for a, source in enumerate(table.targets):
        for b, target in enumerate(table.targets):
            pairs = [(i, j) for i in range(table.seeds) for j in range(table.seeds) if a != b or i < j]
            plain, at_size, at_cost = (
                float(np.mean([_correlation(ranks[a, i], ranks[b, j]) for i, j in pairs])) for ranks in left
            )
            found.append(Carry(source=source, target=target, plain=plain, at_size=at_size, at_cost=at_cost))
    return tuple(found)


def residual_ranks(values: Numbers, given: Numbers) -> Numbers:
    """Ranks less what ranks of other things explain of them by a straight line.

    Args:
        values: (things,).
        given: (things, covariates), of no covariate or more.

    Returns:
        (things,), with mean 0. The correlation of two of them is the partial rank correlation.
    """
    ranks = rankdata(values)
    design = np.column_stack([np.ones(len(ranks)), *(rankdata(column) for column in given.T)])
    fitted, *_ = np.linalg.lstsq(design, ranks, rcond=None)
    residual: Numbers = ranks - design @ fitted
    return residual


def _standardised(values: Numbers) -> Numbers:
    """With mean 0 and length 1: the product of two is their correlation."""
    centred = values - values.mean()
    scaled: Numbers = centred / np.linalg.norm(centred)
    return scaled


def _correlation(first: Numbers, second: Numbers) -> float:
    """Pearson's; 0 where one of them does not vary."""
    norm = float(np.linalg.norm(first) * np.linalg.norm(second))
    return float(first @ second) / norm if norm > 1e-9 else 0.0


@dataclass(frozen=True, kw_only=True)
class Trend:
    """How well size alone orders the architectures on a target: Spearman with the test errors, sign turned."""

    target: str
    size: float
    """Of what sizes promise by the other targets' trainings of the other architectures (`learn_size_trend`)."""
    training: float
    """Of l after a training of each itself, from another seed."""


def trends(table: Table, architectures: Sequence[Architecture]) -> tuple[Trend, ...]:
    """What the sizes of architectures tell of them on each target, beside what a training tells.

    An architecture's promise is learnt without it and without the target; all other trainings are there, many more than
    a memory holds. Each correlation is a mean over single trainings' test errors.

    Args:
        table: of the trainings.
        architectures: by position in the whole table.
    """
    chosen = [architectures[position] for position in table.positions]
    promised = np.zeros((len(table.targets), table.size))
    for target, at in np.ndindex(promised.shape):
        others = [place for place in range(table.size) if place != at]
        known = [
            (
                1.0,
                [
                    Comparison(
                        architectures=tuple(chosen[place] for place in others),
                        losses=tuple(table.losses[other, others, seed].tolist()),
                    )
                    for seed in range(table.seeds)
                ],
            )
            for other in range(len(table.targets))
            if other != target
        ]
        promise = learn_size_trend(known, shape=SIZE_SHAPE, classes=SIZE_CLASSES)
        if promise is not None:  # it is known but for a constant, so it is held against that of the others
            every = [promise.of(one, SIZE_SHAPE, SIZE_CLASSES) for one in chosen]
            promised[target, at] = every[at] - np.mean([every[place] for place in others])
    found = []
    for number, target_name in enumerate(table.targets):
        errors, seen = table.balanced[number], table.seen[number]  # (architectures, seeds)
        seeds = range(table.seeds)
        size = [spearman(promised[number].tolist(), (-errors[:, s]).tolist()) or 0.0 for s in seeds]
        training = [
            spearman(seen[:, a].tolist(), (-errors[:, b]).tolist()) or 0.0
            for a in seeds
            for b in seeds
            if a != b
        ]
        found.append(Trend(target=target_name, size=float(np.mean(size)), training=float(np.mean(training))))
    return tuple(found)


@dataclass(frozen=True, kw_only=True)
class Nearness:
    """Whether small distances mean ranks that agree."""

    measure: str
    """Which agreement: a field of `Carry`."""
    within: tuple[tuple[str, float | None], ...]
    """(target, Spearman over its sources of nearness with agreement); None: nothing is ranked."""
    mean: float
    """Of those."""
    p: float
    """Share of random orders of the sources, within targets, that do as well: one-sided."""
    pairs: int


def nearness(
    carried: Sequence[Carry],
    distances: Sequence[TaskDistance],
    measure: str,
    *,
    permutations: int,
    seed: Seed,
) -> Nearness | None:
    """Compares distances with agreement of ranks, within each target; None: no target's sources can be ranked.

    Args:
        carried: the agreements.
        distances: from every target to every other.
        measure: a field of `Carry`.
        permutations: of the test.
        seed: of the permutations.
    """
    agreement = {(one.source, one.target): float(getattr(one, measure)) for one in carried}
    grouped: dict[str, list[tuple[float, float]]] = {}
    for one in distances:
        if one.source != one.target and (one.source, one.target) in agreement:
            grouped.setdefault(one.target, []).append((-one.order, agreement[one.source, one.target]))
    within = tuple(
        (target, spearman([near for near, _ in pairs], [agree for _, agree in pairs]))
        for target, pairs in grouped.items()
    )
    known = [target for target, value in within if value is not None]
    if not known:
        return None
    ranks = [
        tuple(_standardised(rankdata(column)) for column in zip(*grouped[target], strict=True))
        for target in known
    ]  # (nearness, agreement) of each target, each (sources,)
    mean = float(np.mean([near @ agree for near, agree in ranks]))
    generator = seed.numpy()
    as_good = sum(
        float(np.mean([generator.permutation(near) @ agree for near, agree in ranks])) >= mean - 1e-12
        for _ in range(permutations)
    )
    return Nearness(
        measure=measure,
        within=within,
        mean=mean,
        p=(1 + as_good) / (1 + permutations),
        pairs=sum(len(grouped[target]) for target in known),
    )


@dataclass(frozen=True, kw_only=True)
class Regret:
    """What a way of choosing loses on a target against the best architecture of the table, in shares of test images.

    The best is that with the lowest mean error over the seeds, known in hindsight only.
    """

    way: str
    source: str
    """Which tasks it learns from; empty: none."""
    tries: int
    """Architectures that it trains on the target."""
    target: str
    balanced: float
    """Mean over the draws, of the balanced error."""
    balanced_se: float
    """Standard error of the mean over the draws; that the table is a sample itself is not in it."""
    error: float
    error_se: float


@dataclass(frozen=True, kw_only=True)
class Contrast:
    """How much less one way of choosing loses than another, target by target; balanced errors."""

    difference: PairedDifference
    """Second less first: above 0 where the first is better."""
    better: int
    """Targets on which the first loses less."""


def contrast(
    found: Sequence[Regret], first: tuple[str, str, int], second: tuple[str, str, int]
) -> Contrast | None:
    """Compares two ways of choosing, each (way, source, tries); None: not both were simulated on two targets.

    The targets are the sample: what holds on eight of them is told from chance only where it holds on nearly all.
    """
    by_way = {(one.way, one.source, one.tries, one.target): one.balanced for one in found}
    pairs = [
        (by_way[*first, target], by_way[*second, target])
        for target in dict.fromkeys(one.target for one in found)
        if (*first, target) in by_way and (*second, target) in by_way
    ]
    if len(pairs) < 2:
        return None
    return Contrast(
        difference=paired([ours for ours, _ in pairs], [theirs for _, theirs in pairs]),
        better=sum(ours < theirs for ours, theirs in pairs),
    )


@dataclass(frozen=True, eq=False, kw_only=True)
class Memory:
    """What a simulated search knows of the other targets."""

    known: npt.NDArray[np.int64]
    """Architectures with scores, (known,)."""
    places: Mapping[int, Numbers]
    """By the number of the task: how good each known one is there, (known,), the more the better."""
    losses: Mapping[int, Numbers]
    """The same by their losses on validation images, in nats."""


def regrets(
    table: Table,
    architectures: Sequence[Architecture],
    space: SearchSpace,
    distances: Sequence[TaskDistance],
    config: AnalysisConfig,
) -> tuple[Regret, ...]:
    """Simulates searches on the table; the target is never among the tasks that they know.

    Each draw sees one training of every architecture on the target and is judged by the others, as a found
    architecture is trained afresh in the end.

    Args:
        table: of the trainings.
        architectures: by position in the whole table.
        space: that they are from.
        distances: between the targets; empty: not measured, so nearest and farthest are left out.
        config: how.
    """
    chosen = [architectures[position] for position in table.positions]
    features = np.array([encode(one, cost_by_parts(one, SIZE_SHAPE, SIZE_CLASSES), space) for one in chosen])
    carried = {(one.source, one.target): one.plain for one in carries(table)}
    found = []
    for number, target in enumerate(table.targets):
        others = [at for at in range(len(table.targets)) if at != number]
        by_truth = sorted(others, key=lambda at: -carried[table.targets[at], target])
        order = {one.source: one.order for one in distances if one.target == target}
        by_distance = (
            sorted(others, key=lambda at: order[table.targets[at]])
            if all(table.targets[at] in order for at in others)
            else []
        )
        value = {one.source: one.value for one in distances if one.target == target}
        lost: dict[tuple[str, str, int], list[tuple[float, float]]] = {}
        for draw in range(config.draws):
            seed = Seed(config.seed).child("simulated", target, draw)
            unseen = [at for at in range(table.seeds) if at != draw % table.seeds]
            picks = _picks(
                table,
                chosen,
                features,
                space,
                number,
                draw % table.seeds,
                _sources(others, by_distance, by_truth, seed),
                value,
                config,
                seed,
            )
            for way, source, tries, pick in picks:
                regret = tuple(
                    float(errors[number, pick, unseen].mean() - errors[number].mean(axis=1).min())
                    for errors in (table.balanced, table.error)
                )
                lost.setdefault((way, source, tries), []).append((regret[0], regret[1]))
        for (way, source, tries), both in lost.items():
            balanced, error = (np.array(column) for column in zip(*both, strict=True))
            found.append(
                Regret(
                    way=way,
                    source=source,
                    tries=tries,
                    target=target,
                    balanced=round(float(balanced.mean()), 6),
                    balanced_se=round(_standard_error(balanced), 6),
                    error=round(float(error.mean()), 6),
                    error_se=round(_standard_error(error), 6),
                )
            )
    return tuple(found)


def _standard_error(values: Numbers) -> float:
    return float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else 0.0


def _sources(
    others: Sequence[int], by_distance: Sequence[int], by_truth: Sequence[int], seed: Seed
) -> dict[str, list[int]]:
    """The other tasks in the orders in which a search can take them."""
    drawn = [others[int(place)] for place in seed.child("sources").numpy().permutation(len(others))]
    orders = {RANDOM: drawn, TEACHER: list(by_truth), DUNCE: list(reversed(by_truth))}
    if by_distance:
        orders |= {NEAREST: list(by_distance), FARTHEST: list(reversed(by_distance))}
    return orders


def _picks(
    table: Table,
    chosen: Sequence[Architecture],
    features: Numbers,
    space: SearchSpace,
    number: int,
    seen_seed: int,
    sources: Mapping[str, Sequence[int]],
    distance: Mapping[str, float],
    config: AnalysisConfig,
    seed: Seed,
) -> Iterator[tuple[str, str, int, int]]:
    """(way, source, tries, architecture that is taken) for every way of choosing, in one draw."""
    seen = table.seen[number, :, seen_seed]  # (architectures,)
    order = seed.child("order").numpy().permutation(table.size)
    tries = [count for count in config.tries if count <= table.size]

    def best_of(candidates: npt.NDArray[np.int64]) -> int:
        return int(candidates[seen[candidates].argmax()])

    for count in tries:
        yield "random", "", count, best_of(order[:count])
        if count >= 4:  # a regression needs some to begin with
            yield "predictor", "", count, best_of(_predicted(features, seen, order, count))
    by_size = np.argsort(-table.log_parameters, kind="stable")
    yield "largest", "", 0, int(by_size[0])
    yield "most multiply-adds", "", 0, int(table.log_macs.argmax())
    for count in tries:
        if count > 1:
            yield "largest", "", count, best_of(by_size[:count])
    memory = _memory(table, config, seed)
    for source, tasks in sources.items():
        ranked = _ranked(memory, tasks[:1])
        yield "transfer", source, 0, int(ranked[0])
        several = _ranked(memory, tasks[: config.neighbours])
        yield f"transfer of {config.neighbours}", source, 0, int(several[0])
        for count in tries:
            if 1 < count <= len(several):
                yield "warm", source, count, best_of(ranked[:count])
                yield f"warm of {config.neighbours}", source, count, best_of(several[:count])
        if source in (TEACHER, DUNCE):
            continue  # a prior costs a thousand times as much; the ends of what it can bring show in the others
        nearest = [distance.get(table.targets[task], 0.0) for task in sources.get(NEAREST, tasks)]
        noisy = _prior_order(table, chosen, space, memory, tasks, nearest, config, seed)
        for count in tries:
            if count <= len(noisy):
                yield "prior", source, count, best_of(noisy[:count])
    everything = _ranked(memory, sources[RANDOM])
    yield "transfer of all", "", 0, int(everything[0])


def _memory(table: Table, config: AnalysisConfig, seed: Seed) -> Memory:
    """The architectures that are known, and how they did on each target in one training."""
    generator = seed.child("memory").numpy()
    known = generator.permutation(table.size)[: config.known]
    runs = generator.integers(table.seeds, size=len(table.targets))
    return Memory(
        known=known,
        places={at: table.seen[at, known, runs[at]] for at in range(len(table.targets))},
        losses={at: table.losses[at, known, runs[at]] for at in range(len(table.targets))},
    )


def _ranked(memory: Memory, tasks: Sequence[int]) -> npt.NDArray[np.int64]:
    """The known architectures, best first by their mean rank over some tasks, (known,)."""
    mean = np.mean([rankdata(memory.places[task]) for task in tasks], axis=0)  # (known,)
    return memory.known[np.argsort(-mean, kind="stable")]


def _prior_order(
    table: Table,
    chosen: Sequence[Architecture],
    space: SearchSpace,
    memory: Memory,
    tasks: Sequence[int],
    nearest: Sequence[float],
    config: AnalysisConfig,
    seed: Seed,
) -> npt.NDArray[np.int64]:
    """What is not known, in an order drawn by the prior that the first tasks give, (architectures - known,).

    The promise of sizes that goes with it is learnt from all of them, as a search does. The known ones are left out, as
    a draw from a whole space all but never hits them. Every source counts as the nearest tasks would in its place, as
    those of the controls do: who is learnt from differs, and nothing else.
    """
    first = tasks[: config.neighbours]
    evidence = [
        one
        for task, count in zip(first, counted(nearest[: len(first)]), strict=True)
        for one in weighed(count, [chosen[at] for at in _ranked(memory, [task])[: config.scored]])
    ]
    prior = learn_prior(
        evidence,
        nodes=space.nodes,
        operations=space.operations,
        skeletons=space.skeletons,
        inputs=space.inputs,
    )
    logs = np.array([prior.log_weight(one) for one in chosen])
    known = [chosen[at] for at in memory.known]
    promise = learn_size_trend(
        [
            (count, _rounds(known, memory.losses[task]))
            for task, count in zip(tasks, counted(nearest), strict=True)
        ],
        shape=SIZE_SHAPE,
        classes=SIZE_CLASSES,
    )
    if promise is not None:
        logs += TILT * np.array([promise.of(one, SIZE_SHAPE, SIZE_CLASSES) for one in chosen])
    # sorting by logarithm plus Gumbel noise draws one after the other by prior and promise
    noise = seed.child("prior").numpy().gumbel(size=len(chosen))
    order = np.argsort(-(logs + noise), kind="stable")
    return order[~np.isin(order, memory.known)]


def _rounds(known: Sequence[Architecture], losses: Numbers) -> list[Comparison]:
    """What is known of a task as a search by FUSE compares it: three, then the best so far beside two others."""
    rounds: list[Comparison] = []
    kept: list[int] = []
    left = list(range(len(known)))
    while left:
        compared, left = kept + left[: 3 - len(kept)], left[3 - len(kept) :]
        rounds.append(
            Comparison(
                architectures=tuple(known[at] for at in compared),
                losses=tuple(float(losses[at]) for at in compared),
            )
        )
        kept = [min(compared, key=lambda at: losses[at])]
    return rounds


def _predicted(
    features: Numbers, seen: Numbers, order: npt.NDArray[np.int64], count: int
) -> npt.NDArray[np.int64]:
    """What a search by a regression tries: half by chance, then in three rounds those for which most is predicted."""
    batch = max(1, math.ceil(count / 6))
    tried = [int(at) for at in order[: count // 2]]
    while len(tried) < count:
        left = np.array([at for at in order if at not in set(tried)])
        model = make_pipeline(StandardScaler(), BayesianRidge()).fit(features[tried], seen[tried])
        promising = left[np.argsort(-model.predict(features[left]), kind="stable")]
        tried += [int(at) for at in promising[: min(batch, count - len(tried))]]
    return np.array(tried)


@dataclass(frozen=True, kw_only=True)
class Alpha:
    """Whether alpha ranks: triples of architectures, the truth being their mean error over the seeds."""

    target: str
    """Empty: all of them."""
    triples: int
    within_noise: int
    """Left out, since the best is not told from the second."""
    alpha_best: float
    """Share of the others in which arg max alpha is the best."""
    separate_best: float
    """The same by separate short trainings."""
    alpha_tau: float
    """Mean Kendall's tau within a triple."""
    separate_tau: float
    alpha_miss: float
    """Mean error of arg max alpha less that of the best, over all triples, those within noise too."""
    separate_miss: float
    random_miss: float
    """The same of one of the three at random."""
    wins: int
    """Triples in which alpha chose the best and the separate trainings did not, noise left out."""
    losses: int
    """The other way round."""
    alpha_macs: float
    """Mean multiply-adds of a triple's trainings, forward and backward."""
    separate_macs: float


def alpha_study(table: Table, triples: Sequence[Triple], *, noise: float) -> tuple[Alpha, ...]:
    """Compares alpha, and short separate trainings, with the table: for each target, and for all.

    Args:
        table: of the trainings.
        triples: those whose architectures the table does not have whole are passed over.
        noise: the best is told from the second if it is better by so many standard errors of a difference, the
            standard deviation between seeds being that of the target.
    """
    row = {position: at for at, position in enumerate(table.positions)}
    usable = [
        one
        for one in triples
        if one.target in table.targets and all(position in row for position in one.positions)
    ]
    found = []
    for target in (*dict.fromkeys(one.target for one in usable), ""):
        of_target = [one for one in usable if target in ("", one.target)]
        judged = [
            _judged(table, one, [row[position] for position in one.positions], noise) for one in of_target
        ]
        clear = [one for one in judged if one.clear]
        if judged:
            found.append(
                Alpha(
                    target=target,
                    triples=len(judged),
                    within_noise=len(judged) - len(clear),
                    alpha_best=_mean([one.alpha_miss == 0 for one in clear]),
                    separate_best=_mean([one.separate_miss == 0 for one in clear]),
                    alpha_tau=_mean([one.alpha_tau for one in clear]),
                    separate_tau=_mean([one.separate_tau for one in clear]),
                    alpha_miss=_mean([one.alpha_miss for one in judged]),
                    separate_miss=_mean([one.separate_miss for one in judged]),
                    random_miss=_mean([one.random_miss for one in judged]),
                    wins=sum(one.alpha_miss == 0 < one.separate_miss for one in clear),
                    losses=sum(one.separate_miss == 0 < one.alpha_miss for one in clear),
                    alpha_macs=_mean([one.alpha_macs for one in of_target]),
                    separate_macs=_mean([one.separate_macs for one in of_target]),
                )
            )
    return tuple(found)


@dataclass(frozen=True, kw_only=True)
class _Judged:
    clear: bool
    alpha_miss: float
    separate_miss: float
    random_miss: float
    alpha_tau: float
    separate_tau: float


def _judged(table: Table, triple: Triple, rows: Sequence[int], noise: float) -> _Judged:
    errors = table.balanced[table.targets.index(triple.target)]  # (architectures, seeds)
    truth = errors[rows].mean(axis=1)  # (candidates,)
    best, second = np.sort(truth)[:2]
    # of the difference of two means over the seeds
    standard_error = noise_of(errors) * math.sqrt(2 / table.seeds)
    scores = np.array([-1.0 if score is None else score for score in triple.separate])
    losses = np.array([math.inf if loss is None else loss for loss in triple.separate_losses])
    separate = np.lexsort((-losses, scores))  # (candidates,), worst first
    places = np.argsort(separate).astype(np.float64)  # (candidates,)
    weights = np.array(triple.weights)
    return _Judged(
        clear=bool(second - best > noise * standard_error),
        alpha_miss=float(truth[weights.argmax()] - best),
        separate_miss=float(truth[separate[-1]] - best),
        random_miss=float(truth.mean() - best),
        alpha_tau=_tau(weights, -truth),
        separate_tau=_tau(places, -truth),
    )


def _tau(first: Numbers, second: Numbers) -> float:
    """Kendall's tau-b; 0 where one of them does not vary."""
    value = float(kendalltau(first, second).statistic)
    return 0.0 if math.isnan(value) else value


def _mean(values: Sequence[float]) -> float:
    """0 of none."""
    return float(np.mean(values)) if len(values) else 0.0


@dataclass(frozen=True, kw_only=True)
class TruthAnalysis:
    """All of it, and the table that it is of."""

    table: str
    """sha256 of the CSV file."""
    rows: int
    architectures: int
    """With all their trainings; the others are left out."""
    incomplete: int
    diverged: int
    trainings: int
    """Of the whole table, once it is full."""
    hours: float
    """Of one core, for all rows."""
    config: AnalysisConfig
    choices: tuple[Choice, ...]
    carries: tuple[Carry, ...]
    nearness: tuple[Nearness, ...]
    """Empty: the distances were not measured."""
    regrets: tuple[Regret, ...]
    alpha: tuple[Alpha, ...]
    """Empty: no triples were compared."""
    trends: tuple[Trend, ...] = ()
    """Empty: an older analysis."""


def analysed(
    rows: Sequence[Row],
    architectures: Sequence[Architecture],
    targets: Sequence[str],
    seeds: Sequence[int],
    space: SearchSpace,
    distances: Sequence[TaskDistance],
    triples: Sequence[Triple],
    config: AnalysisConfig,
    *,
    digest: str,
) -> TruthAnalysis:
    """Everything that the page shows.

    Args:
        rows: of the table.
        architectures: by position.
        targets: short names.
        seeds: of the trainings.
        space: that the architectures are from.
        distances: between the targets; empty: not measured.
        triples: compared by alpha; empty: none.
        config: how.
        digest: of the table's file.

    Raises:
        SettingError: too little of the table is there.
    """
    table = table_of(rows, targets, seeds)
    carried = carries(table)
    compared = [
        nearness(
            carried,
            distances,
            measure,
            permutations=config.permutations,
            seed=Seed(config.seed).child("nearness", measure),
        )
        for measure in (("plain", "at_size", "at_cost") if distances else ())
    ]
    return TruthAnalysis(
        table=digest,
        rows=len(rows),
        architectures=table.size,
        incomplete=table.incomplete,
        diverged=table.diverged,
        trainings=len(architectures) * len(targets) * len(seeds),
        hours=round(sum(row.seconds for row in rows) / 3600, 2),
        config=config,
        choices=choices(table, bins=config.bins),
        carries=carried,
        trends=trends(table, architectures),
        nearness=tuple(one for one in compared if one is not None),
        regrets=regrets(table, architectures, space, distances, config),
        alpha=alpha_study(table, triples, noise=config.noise),
    )
