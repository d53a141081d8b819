"""Free ground truth: what a memory of other data sets saves on NAS-Bench-201's table of trained cells.

Each data set in turn is the target, the others are the dictionary. Strategies ask for the accuracies of cells, and
what counts is the regret: points below the best cell after so many queries. The table holds test accuracies only,
so this is an oracle: it says how well a strategy orders cells, not what a network would score on unseen images.

Source: Dong and Yang, NAS-Bench-201, ICLR 2020; Dong et al., NATS-Bench, TPAMI 2021.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import permutations, product
from types import MappingProxyType
from typing import Any

import numpy as np
from scipy.stats import spearmanr

from tanas.ground.errors import SettingError, check_range
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture
from tanas.spaces.inherit import similarity_of, weighed
from tanas.spaces.named import named_space
from tanas.spaces.prior import Evidence, learn_prior
from tanas_experiments.nasbench_table import EDGES, NODES, OPERATIONS, NasTable, Places, Values

WITHIN = 0.2
"""Points below the best that count as reached; set before the study."""

AIM = 5
"""Queries within which that is wanted; set before the study."""

OFFSET = 100.0
"""Standard deviation, in points, of the level of a target's accuracies before the first answer: anything can be."""
SLOPE = 0.5
"""Standard deviation of how much all sources together count, where 1 is expected: from nothing to twice as much."""
NUGGET = 0.1
"""Share of the residual's variance that like cells do not have in common: training noise."""
LEAST = 1e-6
"""Added variance, in points squared, for sources without differences: below what the table's digits show."""
CANDIDATES = 2_000
"""Cells among which the predictor looks, those of the highest mean: the others are far below, and it saves time."""


@dataclass(frozen=True, kw_only=True)
class NasBenchConfig:
    """What the study asks."""

    seeds: int = 200
    queries: int = 100
    """Most queries of a strategy."""
    counts: tuple[int, ...] = (1, 2, 3, 4, 5, 7, 10, 15, 20, 25, 26, 28, 30, 35, 50, 70, 100)
    """Numbers of queries at which the regret is recorded."""
    probes: int = 25
    """Cells drawn to measure by rank correlation which source is the nearest: with a true correlation of 0.95 its
    standard error is about 0.03."""
    known: int = 50
    """Best cells of each source that a prior is learnt from: about what a dictionary's atom can hold."""
    handed: int = AIM
    """Cells of a source's best that come first where drawing by chance follows."""
    population: int = 10
    """Of regularized evolution: as NATS-Bench has it."""
    tournament: int = 3
    """Drawn from the population, the best of which is mutated."""
    halves: int = 200
    """Random halves of the cells on which orders are judged once more."""
    trials: int = 50
    """Random halves of the cells on which a setting is tried, for each pair of sources."""
    try_known: tuple[int, ...] = (10, 25, 50, 100, 200, 400)
    """As `known`, for the tuned prior."""
    try_temperature: tuple[float, ...] = (0.0625, 0.125, 0.25, 0.5, 1.0)
    """By which the logarithm of the tuned prior is divided: below 1 it is trusted more."""
    try_smoothing: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75)
    """For the predictor: share of the mean over the cells one edge away in what a source says of a cell."""
    try_residual: tuple[float, ...] = (0.05, 0.2, 0.5)
    """For the predictor: standard deviation of what the sources do not explain, as a share of their range."""
    try_reach: tuple[float, ...] = (1.0, 3.0)
    """For the predictor: edges by which cells may differ until their residuals share 1/e."""

    def __post_init__(self) -> None:
        for name in ("seeds", "known", "handed", "population", "tournament", "halves", "trials"):
            check_range(getattr(self, name), name, "NasBenchConfig", low=1)
        check_range(self.queries, "queries", "NasBenchConfig", low=AIM)
        check_range(self.probes, "probes", "NasBenchConfig", low=3)
        if AIM not in self.counts or min(self.counts) < 1 or max(self.counts) > self.queries:
            raise SettingError(
                f"The 'counts' of NasBenchConfig must be from 1 to its {self.queries} queries, {AIM} among them. "
                f"Got {self.counts} instead."
            )
        for name in ("try_known", "try_temperature", "try_smoothing", "try_residual", "try_reach"):
            if not getattr(self, name):
                raise SettingError(
                    f"The '{name}' of NasBenchConfig must be at least one number. Got () instead."
                )
            for value in getattr(self, name):
                check_range(value, name, "NasBenchConfig", low=0, open_ends=name != "try_smoothing")


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """How the predictor reads the sources."""

    smoothing: float
    residual: float
    reach: float


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """Constants for one target, chosen on its sources alone: each as target of each other."""

    known: int
    temperature: float
    prior_regret: float
    """Mean over pairs of sources and halves, after `AIM` queries, as a share of the range from median to best."""
    prior_worst: float
    """Of the setting that did worst."""
    prediction: Prediction
    prediction_regret: float
    """As `prior_regret`."""
    prediction_worst: float


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What the dictionary knows when a target arrives."""

    table: NasTable
    sources: tuple[int, ...]
    """Data sets, the one that is taken for the nearest first."""
    log_prior: Values
    """Logarithm of each cell's probability under the prior, but for a constant, (rows,)."""
    tuned_prior: Values | None
    """As `log_prior`, with tuned constants."""
    prediction: Prediction | None
    """None: nothing was tuned."""
    best_first: Places
    """All rows by the accuracy on the first source."""
    in_turn: Places
    """All rows: the sources' best, one of each in turn."""
    mean_rank: Places
    """All rows by the mean of their ranks on the sources."""


Ask = Callable[[int], float]
"""The accuracy of a row on the target."""

Strategy = Callable[[Memory, NasBenchConfig, Ask, np.random.Generator], None]
"""Asks for cells, by row, until it has asked for as many as it may."""


def remember(
    table: NasTable,
    sources: Sequence[int],
    config: NasBenchConfig,
    *,
    similarities: Sequence[float] | None = None,
    tuned: Tuned | None = None,
) -> Memory:
    """What is known of the sources; nothing here is of the target, but for what the caller made of it.

    Args:
        table: of the truth; only the sources' columns are read.
        sources: the one that is taken for the nearest first.
        config: how much is known.
        similarities: of each source with the target, by which they count in the prior; None: they count alike.
        tuned: constants that were chosen on the sources.
    """
    orders = [_best_first(table.accuracies[:, source]) for source in sources]
    ranks = np.stack([np.argsort(order) for order in orders])  # (sources, rows)
    in_turn = np.stack(orders, axis=1).ravel()  # (rows * sources,)
    first = np.sort(np.unique(in_turn, return_index=True)[1])
    alike = [1.0] * len(sources)
    similar = alike if similarities is None else similarities
    tuned_prior = None
    if tuned is not None:
        tuned_prior = log_prior(table, sources, alike, tuned.known) / tuned.temperature
    return Memory(
        table=table,
        sources=tuple(sources),
        log_prior=log_prior(table, sources, similar, config.known),
        tuned_prior=tuned_prior,
        prediction=None if tuned is None else tuned.prediction,
        best_first=orders[0],
        in_turn=in_turn[first],
        # summed in the table's order, so that equal sums do not depend on which source is the first
        mean_rank=np.argsort(ranks.sum(axis=0), kind="stable"),
    )


def log_prior(table: NasTable, sources: Sequence[int], similarities: Sequence[float], known: int) -> Values:
    """The prior that `--inherit prior` learns, from the sources' best cells.

    Args:
        table: of the truth; only the sources' columns are read.
        sources: data sets.
        similarities: of each with the target.
        known: how many of the best of each.

    Returns:
        logarithm of the probability of each cell, but for a constant, (rows,); -inf if it connects nothing.
    """
    space = named_space("nas-bench-201")
    evidence = list[Evidence]()
    for source, similarity in zip(sources, similarities, strict=True):
        order = _best_first(table.accuracies[:, source])
        cells = dict.fromkeys(table.cells[row] for row in order[:known].tolist())
        best = [Architecture(skeleton=space.skeletons[0], cell=cell) for cell in cells if cell.edges]
        evidence += weighed(similarity_of(1 - similarity), best)
    prior = learn_prior(evidence, nodes=NODES, operations=space.operations, skeletons=space.skeletons)
    place = [prior.operations.index(name) for name in OPERATIONS.values()]
    logs = np.log(np.array(prior.edges))[:, place]  # (edges, operations in the table's order)
    codes = table.canonical_codes
    return np.where(codes[:, 0] < 0, -np.inf, logs[np.arange(EDGES), codes].sum(axis=1))  # (rows,)


def probed(table: NasTable, target: int, rows: Sequence[int]) -> dict[int, float]:
    """Rank correlation of each other data set with the target over the rows that were asked for."""
    chosen = table.accuracies[list(rows)]  # (probes, data sets)
    return {
        source: _correlation(chosen[:, source], chosen[:, target])
        for source in range(len(table.names))
        if source != target
    }


def _correlation(one: Values, other: Values) -> float:
    if len(set(one.tolist())) < 2 or len(set(other.tolist())) < 2:
        return 0.0  # no order to compare
    return float(spearmanr(one, other).statistic)


def _best_first(accuracies: Values) -> Places:
    return np.argsort(-accuracies, kind="stable")


@dataclass(frozen=True, kw_only=True)
class Way:
    """A search by chance, and what it takes from the memory."""

    evolves: bool = False
    """Regularized evolution; else each draw on its own."""
    handed: bool = False
    """Begins with the best cells of the first source."""
    prior: bool = False
    """Draws, and mutates, by the prior."""
    tuned: bool = False
    """As `prior`, with tuned constants."""

    def __call__(
        self, memory: Memory, config: NasBenchConfig, ask: Ask, generator: np.random.Generator
    ) -> None:
        """Asks for cells; see `Strategy`."""
        logs = memory.tuned_prior if self.tuned else memory.log_prior if self.prior else None
        drawn = _drawn(len(memory.table.cells), logs, generator)
        if self.evolves:
            first = memory.best_first if self.handed else drawn
            _evolve(first[: config.population].tolist(), drawn, logs, memory.table, config, ask, generator)
        else:
            first = memory.best_first[: config.handed] if self.handed else drawn[:0]
            _ask_in_order([*first.tolist(), *drawn[: config.queries].tolist()], config, ask)


def _drawn(rows: int, logs: Values | None, generator: np.random.Generator) -> Places:
    """All rows in a random order; each as likely, or by the logarithms of their probabilities."""
    if logs is None:
        return generator.permutation(rows)
    noisy = logs + generator.gumbel(size=rows)  # sorted: draws by weight, without repeats
    return np.argsort(-noisy, kind="stable")


def _ask_in_order(rows: Iterable[int], config: NasBenchConfig, ask: Ask) -> None:
    for row in list(dict.fromkeys(rows))[: config.queries]:
        ask(row)


def _evolve(
    first: Sequence[int],
    spare: Places,
    logs: Values | None,
    table: NasTable,
    config: NasBenchConfig,
    ask: Ask,
    generator: np.random.Generator,
) -> None:
    """Regularized evolution: the best of a few is mutated by one edge, the oldest dies. Source: Real et al. 2019."""
    asked = {row: ask(row) for row in first[: config.queries]}
    population = list(asked)
    left = iter(spare.tolist())
    while len(asked) < min(config.queries, len(table.cells)):
        rivals = generator.choice(population, size=min(config.tournament, len(population)), replace=False)
        parent = max(rivals.tolist(), key=asked.__getitem__)
        children = [row for row in table.neighbours[parent] if row not in asked]
        if not children:
            child = next(row for row in left if row not in asked)
        elif logs is not None and np.isfinite(logs[children]).any():
            noisy = logs[children] + generator.gumbel(size=len(children))
            child = children[int(np.argmax(noisy))]
        else:
            child = children[int(generator.integers(len(children)))]
        asked[child] = ask(child)
        population = [*population, child][-config.population :]


def _transfer(memory: Memory, config: NasBenchConfig, ask: Ask, generator: np.random.Generator) -> None:
    _ask_in_order(memory.best_first[: config.queries].tolist(), config, ask)


def _in_turn(memory: Memory, config: NasBenchConfig, ask: Ask, generator: np.random.Generator) -> None:
    _ask_in_order(memory.in_turn[: config.queries].tolist(), config, ask)


def _mean_rank(memory: Memory, config: NasBenchConfig, ask: Ask, generator: np.random.Generator) -> None:
    _ask_in_order(memory.mean_rank[: config.queries].tolist(), config, ask)


def _predictor(memory: Memory, config: NasBenchConfig, ask: Ask, generator: np.random.Generator) -> None:
    assert memory.prediction is not None
    every = np.ones(len(memory.table.cells), dtype=bool)
    ask_by_prediction(memory.table, memory.sources, memory.prediction, ask, most=config.queries, among=every)


def ask_by_prediction(
    table: NasTable,
    sources: Sequence[int],
    how: Prediction,
    ask: Ask,
    *,
    most: int,
    among: np.ndarray,
) -> None:
    """Asks for the cell of the highest expected accuracy, again and again.

    A Gaussian process over cells. Its mean is that of the sources, each smoothed and scaled to go from 0 at its
    median to 1 at its best, times their mean range. Its covariance has a common level, a slope for each source (so
    that answers tell which of them counts), and a residual that cells share by exp(-edges that differ / reach).

    Args:
        table: of the truth; only the sources' columns are read.
        sources: data sets.
        how: constants.
        ask: gives the answers.
        most: queries.
        among: whether a row can be asked for, (rows,).
    """
    own, around = (
        table.accuracies[:, list(sources)],
        table.neighbours_mean[:, list(sources)],
    )  # (rows, sources)
    said = (1 - how.smoothing) * own + how.smoothing * around
    middle = np.median(said, axis=0)
    ranges = np.maximum(said.max(axis=0) - middle, 1e-9)  # a source without differences says nothing
    said = (said - middle) / ranges
    span = float(ranges.mean())
    held = np.flatnonzero(among)
    held = held[np.argsort(-said[held].mean(axis=1), kind="stable")[: max(CANDIDATES, most)]]
    said, codes = said[held], table.codes[held]
    mean = said.mean(axis=1) * span  # (candidates,)
    slope, residual = (SLOPE * span) ** 2 / len(sources), (how.residual * span) ** 2
    shared = np.empty((len(held), 0))  # covariance of each candidate with those asked for
    asked, surprises, left = list[int](), list[float](), np.zeros(len(held))
    for _ in range(min(most, len(held))):
        expected = mean
        if asked:
            among_asked = shared[asked] + np.eye(len(asked)) * (NUGGET * residual + LEAST)
            expected = mean + shared @ np.linalg.solve(among_asked, surprises)
        best = int(np.argmax(expected + left))
        left[best] = -np.inf
        asked.append(best)
        surprises.append(ask(int(held[best])) - float(mean[best]))
        alike = np.exp(-(codes != codes[best]).sum(axis=1) / how.reach)
        column = OFFSET**2 + slope * (said @ said[best]) + residual * alike
        shared = np.column_stack([shared, column])


STRATEGIES: Mapping[str, Strategy] = MappingProxyType(
    {
        "random": Way(),
        "evolution": Way(evolves=True),
        "random, prior": Way(prior=True),
        "evolution, prior": Way(evolves=True, prior=True),
        "random, transfer": Way(handed=True),
        "evolution, transfer": Way(evolves=True, handed=True),
        "transfer": _transfer,
        "transfer in turn": _in_turn,
        "mean rank": _mean_rank,
        "random, tuned prior": Way(prior=True, tuned=True),
        "evolution, tuned prior": Way(evolves=True, prior=True, tuned=True),
        "predictor": _predictor,
    }
)
"""What is compared. No strategy reads the target but by asking."""

WITHOUT = ("random", "evolution")
"""Those that know nothing of the sources."""
TUNED = ("random, tuned prior", "evolution, tuned prior", "predictor")
"""Those with constants that were chosen on the sources."""
ORDERED = (
    "random, prior",
    "evolution, prior",
    "random, transfer",
    "evolution, transfer",
    "transfer",
    "transfer in turn",
)
"""Those that it matters to which source is the nearest."""
SEEDLESS = ("mean rank", "predictor")
"""Those that no draw has a part in, not even which source comes first."""

NOTHING, ALIKE, GIVEN, PROBED = "none", "alike", "given", "probed"
"""What is known of the sources: they are not used; which is nearest is not known (they count alike, and a coin says
which comes first); it is known beforehand; it is found out by probes, which are queries like any other."""


def tune(table: NasTable, sources: Sequence[int], config: NasBenchConfig, seed: Seed) -> Tuned | None:
    """Chooses the constants for a target without it: each source in turn is the target of each other source.

    What counts is the regret after `AIM` queries as a share of the range from median to best, its mean over the
    pairs and over random halves of the cells, of which only one can be asked for. All settings meet the same halves.

    Args:
        table: of the truth; only the sources' columns are read.
        sources: data sets.
        config: which settings are tried, and on how many halves.
        seed: of the halves and of the draws.

    Returns:
        the constants; None if there is one source only, so no pair.
    """
    pairs = list(permutations(sorted(sources), 2))
    if not pairs:
        return None
    rows = len(table.cells)
    generator = seed.numpy()
    halves = generator.random((config.trials, rows)) < 0.5
    noise = generator.gumbel(size=(config.trials, rows))
    priors = {(known, t): list[float]() for known, t in product(config.try_known, config.try_temperature)}
    predictions = {
        Prediction(smoothing=smoothing, residual=residual, reach=reach): list[float]()
        for smoothing, residual, reach in product(config.try_smoothing, config.try_residual, config.try_reach)
    }
    for source, target in pairs:
        truth = table.accuracies[:, target]
        span = float(truth.max() - np.median(truth)) or 1.0
        for known in config.try_known:
            logs = log_prior(table, [source], [1.0], known)
            for (tried, temperature), heard in priors.items():
                if tried != known:
                    continue
                for half, noisy in zip(halves, logs / temperature + noise, strict=True):
                    found = _top(np.where(half, noisy, -np.inf), AIM)
                    heard.append(float(truth[half].max() - truth[found].max()) / span)
        for how, heard in predictions.items():
            for half in halves:
                asked = list[int]()

                def ask(row: int, asked: list[int] = asked, truth: Values = truth) -> float:
                    asked.append(row)
                    return float(truth[row])

                ask_by_prediction(table, [source], how, ask, most=AIM, among=half)
                heard.append(float(truth[half].max() - truth[asked].max()) / span)
    prior_means = {setting: float(np.mean(heard)) for setting, heard in priors.items()}
    prediction_means = {how: float(np.mean(heard)) for how, heard in predictions.items()}
    known, temperature = min(prior_means, key=prior_means.__getitem__)
    prediction = min(prediction_means, key=prediction_means.__getitem__)
    return Tuned(
        known=known,
        temperature=temperature,
        prior_regret=round(prior_means[known, temperature], 5),
        prior_worst=round(max(prior_means.values()), 5),
        prediction=prediction,
        prediction_regret=round(prediction_means[prediction], 5),
        prediction_worst=round(max(prediction_means.values()), 5),
    )


def _top(values: Values, count: int) -> Places:
    return np.argpartition(-values, count)[:count]


@dataclass(frozen=True, kw_only=True)
class Curve:
    """The regret of a strategy on a target."""

    target: str
    strategy: str
    sources: str
    """What is known of them: 'none', 'alike', 'given' or 'probed'."""
    mean: tuple[float, ...]
    """Points below the best cell, at each of the record's counts; mean over seeds."""
    error: tuple[float, ...]
    """Half-width of the 95 % interval of the mean: 1.96 standard errors."""
    high: tuple[float, ...]
    """Only one seed in forty has more."""
    within: int | None
    """Queries after which the mean is at most `WITHIN`; None: more than were asked."""


@dataclass(frozen=True, kw_only=True)
class Halved:
    """An order on random halves of the cells: does its regret hang on a few lucky cells?"""

    strategy: str
    mean: float
    """Points below the best cell of the half after `AIM` queries."""
    error: float
    """Half-width of the 95 % interval of the mean, as if the halves had nothing in common."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A data set as the target."""

    name: str
    best: float
    """Accuracy of its best cell, in percent."""
    median: float
    near_best: int
    """Cells at most `WITHIN` points below the best, that among them."""
    places: Mapping[str, int]
    """For each source, the place of the first of those in its order, 1 for its best cell."""
    nearest: Mapping[str, int]
    """How often, over the seeds, the probes made each source the nearest."""
    correlation: Mapping[str, float]
    """Rank correlation over the probes with each source, mean over the seeds."""
    tuned: Tuned | None
    halves: tuple[Halved, ...]


@dataclass(frozen=True, kw_only=True)
class NasBenchRecord:
    """What came of the study."""

    what: str
    command: str
    n: int
    """Number of seeds."""
    seeds: tuple[int, ...]
    hardware: Mapping[str, Any]
    versions: Mapping[str, str]
    table: str
    """SHA-256 of the file."""
    cells: int
    config: NasBenchConfig
    seconds: float
    """Wall-clock, on a machine with other work."""
    targets: tuple[Target, ...]
    curves: tuple[Curve, ...]


def study(table: NasTable, config: NasBenchConfig) -> tuple[tuple[Target, ...], tuple[Curve, ...]]:
    """Regret against queries: every strategy on every target over all seeds."""
    targets, curves = [], []
    for target, name in enumerate(table.names):
        others = tuple(at for at in range(len(table.names)) if at != target)
        tuned = tune(table, others, config, Seed(0).child("nasbench", name, "tune"))
        asked: dict[tuple[str, str], list[list[int]]] = {}
        alike: dict[tuple[int, ...], Memory] = {}
        near = list[dict[int, float]]()
        for number in range(config.seeds):
            seed = Seed(number).child("nasbench", name)
            coin = tuple(int(at) for at in seed.child("coin").numpy().permutation(others))
            if coin not in alike:
                alike[coin] = remember(table, coin, config, tuned=tuned)
            probes = seed.child("probes").numpy().permutation(len(table.cells))[: config.probes].tolist()
            near.append(probed(table, target, probes))
            nearest = sorted(others, key=lambda at: -near[-1][at])
            given = remember(table, nearest, config, similarities=[near[-1][at] for at in nearest])
            for strategy in STRATEGIES:
                if strategy in TUNED and tuned is None:
                    continue
                knows = NOTHING if strategy in WITHOUT else ALIKE
                before = asked.setdefault((strategy, knows), [])
                if strategy in SEEDLESS and before:
                    before.append(before[0])
                else:
                    before.append(_asked(table, target, strategy, alike[coin], config, seed))
            for strategy in ORDERED:
                rows = _asked(table, target, strategy, given, config, seed)
                asked.setdefault((strategy, GIVEN), []).append(rows)
                # the probes' answers are known then, so they are not asked for again
                counted = list(dict.fromkeys([*probes, *rows]))[: config.queries]
                asked.setdefault((strategy, PROBED), []).append(counted)
        curves += [
            _curve(table, target, strategy, knows, rows, config) for (strategy, knows), rows in asked.items()
        ]
        targets.append(_target(table, target, near, tuned, _on_halves(table, target, tuned, config)))
    return tuple(targets), tuple(curves)


def _asked(
    table: NasTable, target: int, strategy: str, memory: Memory, config: NasBenchConfig, seed: Seed
) -> list[int]:
    """The rows that a strategy asks for, in order."""
    truth = table.accuracies[:, target]
    rows = list[int]()

    def ask(row: int) -> float:
        rows.append(row)
        return float(truth[row])

    STRATEGIES[strategy](memory, config, ask, seed.child(strategy).numpy())
    return rows


def _curve(
    table: NasTable, target: int, strategy: str, knows: str, asked: list[list[int]], config: NasBenchConfig
) -> Curve:
    """Sums up what was asked for, a list of rows a seed."""
    truth = table.accuracies[:, target]
    every = np.stack([truth.max() - np.maximum.accumulate(truth[rows]) for rows in asked])  # (seeds, queries)
    reached = np.flatnonzero(every.mean(axis=0) <= WITHIN)
    counts = np.minimum(np.array(config.counts), every.shape[1]) - 1  # a small table has no more to ask for
    regrets = every[:, counts]  # (seeds, counts)
    deviation = regrets.std(axis=0, ddof=1) if len(regrets) > 1 else np.zeros(regrets.shape[1])

    def rounded(values: Values) -> tuple[float, ...]:
        return tuple(round(float(value), 4) for value in values)

    return Curve(
        target=table.names[target],
        strategy=strategy,
        sources=knows,
        mean=rounded(regrets.mean(axis=0)),
        error=rounded(1.96 * deviation / np.sqrt(len(regrets))),
        high=rounded(np.quantile(regrets, 0.975, axis=0)),
        within=int(reached[0]) + 1 if len(reached) else None,
    )


def _on_halves(
    table: NasTable, target: int, tuned: Tuned | None, config: NasBenchConfig
) -> tuple[Halved, ...]:
    """The regret after `AIM` queries where only a random half of the cells can be asked for."""
    truth = table.accuracies[:, target]
    sources = [at for at in range(len(table.names)) if at != target]
    memory = remember(table, sources, config, tuned=tuned)
    orders = {
        f"best of {table.names[source]}": _best_first(table.accuracies[:, source]) for source in sources
    }
    orders |= {"transfer in turn": memory.in_turn, "mean rank": memory.mean_rank}
    generator = Seed(0).child("nasbench", table.names[target], "halves").numpy()
    regrets: dict[str, list[float]] = {}
    for _ in range(config.halves):
        half = generator.random(len(table.cells)) < 0.5
        best = truth[half].max()
        for name, order in orders.items():
            asked = order[half[order]][:AIM].tolist()
            regrets.setdefault(name, []).append(float(best - truth[asked].max()))
        if tuned is not None:
            asked = list[int]()

            def ask(row: int, asked: list[int] = asked) -> float:
                asked.append(row)
                return float(truth[row])

            ask_by_prediction(table, sources, tuned.prediction, ask, most=AIM, among=half)
            regrets.setdefault("predictor", []).append(float(best - truth[asked].max()))
    return tuple(
        Halved(
            strategy=name,
            mean=round(float(np.mean(found)), 4),
            error=round(1.96 * float(np.std(found)) / float(np.sqrt(len(found))), 4),
        )
        for name, found in regrets.items()
    )


def _target(
    table: NasTable,
    target: int,
    near: Sequence[Mapping[int, float]],
    tuned: Tuned | None,
    halves: tuple[Halved, ...],
) -> Target:
    truth = table.accuracies[:, target]
    near_best = truth >= truth.max() - WITHIN
    first = [max(one, key=one.__getitem__) for one in near]
    return Target(
        name=table.names[target],
        best=float(truth.max()),
        median=round(float(np.median(truth)), 4),
        near_best=int(near_best.sum()),
        places={
            table.names[source]: int(np.argmax(near_best[_best_first(table.accuracies[:, source])])) + 1
            for source in near[0]
        },
        nearest={table.names[source]: first.count(source) for source in near[0]},
        correlation={
            table.names[source]: round(float(np.mean([one[source] for one in near])), 3) for source in near[0]
        },
        tuned=tuned,
        halves=halves,
    )
