"""Free ground truth: what a memory of other data sets saves on NAS-Bench-201's table of 15,625 trained cells.

Each data set in turn is the target, the others are the dictionary. Strategies ask for the accuracies of cells, and
what counts is the regret: points below the best cell after so many queries. The table holds test accuracies only,
so this is an oracle: it says how well a strategy orders cells, not what a network would score on unseen images.

Source: Dong and Yang, NAS-Bench-201, ICLR 2020; Dong et al., NATS-Bench, TPAMI 2021.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import altair as alt
import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from tanas.errors import DataError, SettingError, check_range
from tanas.networks.architecture import Architecture
from tanas.networks.cell import Cell
from tanas.networks.operations import ZERO
from tanas.reports.charts import BLUE, INK, LINE, MUTED, ORANGE, Chart
from tanas.seeds import Seed
from tanas.spaces.inherit import weighed
from tanas.spaces.named import named_space
from tanas.spaces.prior import Evidence, learn_prior, pairs_of, placed

OPERATIONS = MappingProxyType(
    {
        "none": ZERO,
        "skip_connect": "identity",
        "nor_conv_1x1": "conv_1x1",
        "nor_conv_3x3": "conv_3x3",
        "avg_pool_3x3": "avg_pool_3x3",
    }
)
"""The table's names of operations, and ours."""

NODES = 4
PATTERN = re.compile(r"\|(\w+)~0\|\+\|(\w+)~0\|(\w+)~1\|\+\|(\w+)~0\|(\w+)~1\|(\w+)~2\|")
"""A cell as the table writes it: its edges (0,1), (0,2), (1,2), (0,3), (1,3), (2,3)."""

WITHIN = 0.2
"""Points below the best that count as reached; set before the study."""

Values = NDArray[np.float64]
Places = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class NasTable:
    """Accuracies of cells on several data sets."""

    names: tuple[str, ...]
    """Of the data sets."""
    cells: tuple[Cell, ...]
    """Of each row, in canonical form."""
    codes: Places
    """The operation on each edge as written, by its place in `OPERATIONS`, (rows, 6)."""
    accuracies: Values
    """In percent, (rows, data sets)."""

    @cached_property
    def rows(self) -> Mapping[tuple[int, ...], int]:
        """The row of each cell, by its codes."""
        return {tuple(code): row for row, code in enumerate(self.codes.tolist())}

    @cached_property
    def canonical_codes(self) -> Places:
        """As `codes`, where the edges of the canonical form lie; -1 throughout for a cell that connects nothing."""
        place = {name: at for at, name in enumerate(OPERATIONS.values())}
        codes = np.full_like(self.codes, -1)
        for row, cell in enumerate(self.cells):
            if cell.edges:
                held = placed(cell, NODES)
                codes[row] = [place[held.get(pair, ZERO)] for pair in pairs_of(NODES)]
        return codes

    @cached_property
    def neighbours(self) -> list[list[int]]:
        """Rows that differ in one edge, for each row."""
        found = []
        for code in self.codes.tolist():
            changed = [(*code[:at], other, *code[at + 1 :]) for at in range(6) for other in range(5)]
            found.append([self.rows[c] for c in changed if c in self.rows and list(c) != code])
        return found


def read_table(path: Path) -> NasTable:
    """Reads a table: a header `arch,NAME,NAME…`, then a row a cell, accuracies in percent.

    Raises:
        DataError: the file is missing or not of that form; the message names the first wrong line.
    """
    if not path.exists():
        raise DataError(
            f"There is no table {path}. Put NAS-Bench-201's there as CSV: a header 'arch' and the data sets' names, "
            "then a row a cell such as '|nor_conv_3x3~0|+|none~0|…|,93.66,70.29', accuracies in percent."
        )
    with path.open(newline="") as file:
        rows = list(csv.reader(file))
    if not rows or rows[0][:1] != ["arch"] or len(rows[0]) < 3:
        raise DataError(f"{path} has to begin with 'arch' and the names of at least two data sets.")
    names = tuple(rows[0][1:])
    place = {name: at for at, name in enumerate(OPERATIONS)}
    codes, accuracies = dict[tuple[int, ...], None](), []
    for number, row in enumerate(rows[1:], start=2):
        match = PATTERN.fullmatch(row[0]) if row else None
        if match is None or any(name not in place for name in match.groups()):
            raise DataError(
                f"Line {number} of {path} is no cell of NAS-Bench-201: "
                f"{row[:1]}. Its operations are {', '.join(place)}."
            )
        code = tuple(place[name] for name in match.groups())
        if code in codes:
            raise DataError(f"Line {number} of {path} has a cell that an earlier line has, too: {row[0]}.")
        codes[code] = None
        accuracies.append(_accuracies(row[1:], len(names), f"Line {number} of {path}"))
    if len(codes) < 2:
        raise DataError(f"{path} holds fewer than two cells.")
    ours = tuple(OPERATIONS.values())
    cells = tuple(Cell.complete(NODES, tuple(ours[at] for at in code)).canonical() for code in codes)
    return NasTable(names=names, cells=cells, codes=np.array(list(codes)), accuracies=np.array(accuracies))


def _accuracies(texts: list[str], expected: int, where: str) -> list[float]:
    try:
        values = [float(text) for text in texts]
    except ValueError as error:
        raise DataError(f"{where} holds an accuracy that is no number: {', '.join(texts)}.") from error
    if len(values) != expected or not all(0 <= value <= 100 for value in values):
        raise DataError(
            f"{where} must hold {expected} accuracies in percent. Got {', '.join(texts)} instead."
        )
    return values


@dataclass(frozen=True, kw_only=True)
class NasBenchConfig:
    """What the study asks."""

    seeds: int = 200
    queries: int = 100
    """Most queries of a strategy."""
    counts: tuple[int, ...] = (1, 2, 3, 4, 5, 7, 10, 15, 20, 25, 35, 50, 70, 100)
    """Numbers of queries at which the regret is recorded."""
    probes: int = 25
    """Cells drawn to measure by rank correlation which source is the nearest."""
    known: int = 50
    """Best cells of each source that a prior is learnt from: about what a dictionary's atom can hold."""
    handed: int = 5
    """Cells of a source's best that come first where another way of drawing follows: the target of 5 queries."""
    population: int = 10
    """Of regularized evolution: as NATS-Bench has it."""
    tournament: int = 3
    """Drawn from the population, the best of which is mutated."""

    def __post_init__(self) -> None:
        for name in ("seeds", "queries", "known", "handed", "population", "tournament"):
            check_range(getattr(self, name), name, "NasBenchConfig", low=1)
        check_range(self.probes, "probes", "NasBenchConfig", low=3)
        if not self.counts or min(self.counts) < 1 or max(self.counts) > self.queries:
            raise SettingError(
                f"The 'counts' of NasBenchConfig must be from 1 to its {self.queries} queries. "
                f"Got {self.counts} instead."
            )


@dataclass(frozen=True, kw_only=True)
class Memory:
    """What the dictionary knows when a target arrives; of the target itself only the order of the sources."""

    table: NasTable
    sources: tuple[int, ...]
    """Data sets, nearest first."""
    correlations: tuple[float, ...]
    """With the target, over the probes."""
    log_prior: Values
    """Logarithm of each cell's probability under the prior, but for a constant, (rows,)."""
    handed: Places
    """The sources' best cells, one of each in turn, nearest first."""
    mean_ranks: Places
    """Cells by the mean of their ranks on the sources, best first: needs no probes."""


Ask = Callable[[int], float]
"""The accuracy of a row on the target."""

Strategy = Callable[[Memory, NasBenchConfig, Ask, np.random.Generator], None]
"""Asks for cells, by row, until it has asked for as many as it may."""


def remember(table: NasTable, target: int, config: NasBenchConfig, seed: Seed) -> Memory:
    """What is known of the sources, which are ordered by the target's probes.

    Args:
        table: of the truth.
        target: the data set that is searched for.
        config: how many probes, and how much is known.
        seed: of the probes.
    """
    accuracies = table.accuracies
    rows = len(accuracies)
    probes = seed.numpy().permutation(rows)[: config.probes]
    others = [at for at in range(len(table.names)) if at != target]
    near = {at: _correlation(accuracies[probes, at], accuracies[probes, target]) for at in others}
    sources = sorted(others, key=lambda at: -near[at])
    orders = [np.argsort(-accuracies[:, at], kind="stable") for at in sources]
    ranks = np.empty((len(sources), rows))
    for place, order in enumerate(orders):
        ranks[place, order] = np.arange(rows)
    in_turn = np.stack(orders, axis=1).ravel()  # (rows * sources,)
    first = np.sort(np.unique(in_turn, return_index=True)[1])
    return Memory(
        table=table,
        sources=tuple(sources),
        correlations=tuple(near[at] for at in sources),
        log_prior=_log_prior(table, sources, orders, near, config),
        handed=in_turn[first],
        # from the sources in the table's order: no probe has a say
        mean_ranks=np.argsort(ranks.sum(axis=0), kind="stable"),
    )


def _log_prior(
    table: NasTable,
    sources: list[int],
    orders: list[Places],
    near: Mapping[int, float],
    config: NasBenchConfig,
) -> Values:
    """The prior that `--inherit prior` learns, from the sources' best cells."""
    space = named_space("nas-bench-201")
    evidence = list[Evidence]()
    for source, order in zip(sources, orders, strict=True):
        cells = dict.fromkeys(table.cells[row] for row in order[: config.known].tolist())
        best = [Architecture(skeleton=space.skeletons[0], cell=cell) for cell in cells if cell.edges]
        evidence += weighed(1 - near[source], best)
    prior = learn_prior(evidence, nodes=NODES, operations=space.operations, skeletons=space.skeletons)
    place = [prior.operations.index(name) for name in OPERATIONS.values()]
    logs = np.log(np.array(prior.edges))[:, place]  # (edges, operations in the table's order)
    codes = table.canonical_codes
    # a cell that connects nothing is none of the space's: it comes last
    return np.where(codes[:, 0] < 0, -np.inf, logs[np.arange(6), codes].sum(axis=1))  # (rows,)


def _correlation(one: Values, other: Values) -> float:
    if len(set(one.tolist())) < 2 or len(set(other.tolist())) < 2:
        return 0.0  # no order to compare
    return float(spearmanr(one, other).statistic)


def _drawn(memory: Memory, generator: np.random.Generator, *, prior: bool) -> list[int]:
    """All rows in a random order; by the prior, or each as likely."""
    rows = len(memory.table.accuracies)
    if not prior:
        return [int(row) for row in generator.permutation(rows)]
    noisy = memory.log_prior + generator.gumbel(size=rows)  # sorted: draws by weight, without repeats
    return [int(row) for row in np.argsort(-noisy, kind="stable")]


def _ask_in_order(first: list[int], then: list[int], config: NasBenchConfig, ask: Ask) -> None:
    for row in list(dict.fromkeys([*first, *then]))[: config.queries]:
        ask(row)


def _evolve(
    first: list[int],
    memory: Memory,
    config: NasBenchConfig,
    ask: Ask,
    generator: np.random.Generator,
    *,
    prior: bool,
) -> None:
    """Regularized evolution: the best of a few is mutated by one edge, the oldest dies. Source: Real et al. 2019."""
    asked = {row: ask(row) for row in first[: min(config.population, config.queries)]}
    population = list(asked)
    spare = iter(_drawn(memory, generator, prior=prior))
    most = min(config.queries, len(memory.table.accuracies))
    while len(asked) < most:
        rivals = generator.choice(population, size=min(config.tournament, len(population)), replace=False)
        parent = max(rivals.tolist(), key=asked.__getitem__)
        children = [row for row in memory.table.neighbours[parent] if row not in asked]
        if not children:
            child = next(row for row in spare if row not in asked)
        elif prior and np.isfinite(memory.log_prior[children]).any():
            noisy = memory.log_prior[children] + generator.gumbel(size=len(children))
            child = children[int(np.argmax(noisy))]
        else:
            child = children[int(generator.integers(len(children)))]
        asked[child] = ask(child)
        population = [*population, child][-config.population :]


def _random(memory: Memory, config: NasBenchConfig, ask: Ask, generator: np.random.Generator) -> None:
    _ask_in_order([], _drawn(memory, generator, prior=False), config, ask)


def _random_prior(memory: Memory, config: NasBenchConfig, ask: Ask, generator: np.random.Generator) -> None:
    _ask_in_order([], _drawn(memory, generator, prior=True), config, ask)


def _random_transfer(
    memory: Memory, config: NasBenchConfig, ask: Ask, generator: np.random.Generator
) -> None:
    first = memory.handed[: config.handed].tolist()
    _ask_in_order(first, _drawn(memory, generator, prior=False), config, ask)


def _evolution(memory: Memory, config: NasBenchConfig, ask: Ask, generator: np.random.Generator) -> None:
    first = _drawn(memory, generator, prior=False)
    _evolve(first, memory, config, ask, generator, prior=False)


def _evolution_prior(
    memory: Memory, config: NasBenchConfig, ask: Ask, generator: np.random.Generator
) -> None:
    _evolve(_drawn(memory, generator, prior=True), memory, config, ask, generator, prior=True)


def _evolution_transfer(
    memory: Memory, config: NasBenchConfig, ask: Ask, generator: np.random.Generator
) -> None:
    _evolve(memory.handed.tolist(), memory, config, ask, generator, prior=False)


def _transfer(memory: Memory, config: NasBenchConfig, ask: Ask, generator: np.random.Generator) -> None:
    _ask_in_order(memory.handed.tolist(), [], config, ask)


def _mean_rank(memory: Memory, config: NasBenchConfig, ask: Ask, generator: np.random.Generator) -> None:
    _ask_in_order(memory.mean_ranks.tolist(), [], config, ask)


def _transfer_prior(memory: Memory, config: NasBenchConfig, ask: Ask, generator: np.random.Generator) -> None:
    first = memory.handed[: config.handed].tolist()
    _ask_in_order(first, _drawn(memory, generator, prior=True), config, ask)


STRATEGIES: Mapping[str, Strategy] = MappingProxyType(
    {
        "random": _random,
        "random, prior": _random_prior,
        "random, transfer": _random_transfer,
        "evolution": _evolution,
        "evolution, prior": _evolution_prior,
        "evolution, transfer": _evolution_transfer,
        "transfer": _transfer,
        "transfer, then prior": _transfer_prior,
        "mean rank": _mean_rank,
    }
)
"""What is compared. No strategy reads the target but by asking; only the order of the sources knows the probes."""

PROBED = tuple(name for name in STRATEGIES if name not in ("random", "evolution", "mean rank"))
"""Those that use the probes: their true cost is so many queries more."""


@dataclass(frozen=True, kw_only=True)
class Curve:
    """The regret of a strategy on a target."""

    target: str
    strategy: str
    mean: tuple[float, ...]
    """Points below the best cell, at each of the record's counts; mean over seeds."""
    low: tuple[float, ...]
    """Where 95 % of the seeds lie, lower end."""
    high: tuple[float, ...]
    """Upper end."""
    error: tuple[float, ...]
    """Half-width of the 95 % interval of the mean: 1.96 standard errors."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A data set as the target."""

    name: str
    best: float
    """Accuracy of its best cell, in percent."""
    nearest: Mapping[str, int]
    """How often, over the seeds, the probes made each source the nearest."""
    correlation: Mapping[str, float]
    """Rank correlation over the probes with each source, mean over the seeds."""


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
    counts = np.array(config.counts) - 1
    for target, name in enumerate(table.names):
        truth = table.accuracies[:, target]
        best = float(truth.max())
        regrets: dict[str, list[Values]] = {strategy: [] for strategy in STRATEGIES}
        memories = []
        for number in range(config.seeds):
            seed = Seed(number).child("nasbench", name)
            memory = remember(table, target, config, seed.child("probes"))
            memories.append(memory)
            for strategy, run in STRATEGIES.items():
                heard = list[float]()

                def ask(row: int, heard: list[float] = heard, truth: Values = truth) -> float:
                    heard.append(float(truth[row]))
                    return heard[-1]

                run(memory, config, ask, seed.child(strategy).numpy())
                found = best - np.maximum.accumulate(heard)  # (queries,)
                regrets[strategy].append(found[np.minimum(counts, len(found) - 1)])
        curves += [_curve(name, strategy, np.stack(found)) for strategy, found in regrets.items()]
        targets.append(_target(table, name, best, memories))
    return tuple(targets), tuple(curves)


def _curve(target: str, strategy: str, regrets: Values) -> Curve:
    """Sums up regrets, (seeds, counts)."""
    low, high = np.quantile(regrets, (0.025, 0.975), axis=0)
    deviation = regrets.std(axis=0, ddof=1) if len(regrets) > 1 else np.zeros(regrets.shape[1])
    error = 1.96 * deviation / np.sqrt(len(regrets))

    def rounded(values: Values) -> tuple[float, ...]:
        return tuple(round(float(value), 4) for value in values)

    return Curve(
        target=target,
        strategy=strategy,
        mean=rounded(regrets.mean(axis=0)),
        low=rounded(low),
        high=rounded(high),
        error=rounded(error),
    )


def _target(table: NasTable, name: str, best: float, memories: list[Memory]) -> Target:
    sources = [other for other in table.names if other != name]
    first = [table.names[memory.sources[0]] for memory in memories]
    near = [dict(zip(memory.sources, memory.correlations, strict=True)) for memory in memories]
    return Target(
        name=name,
        best=best,
        nearest={source: first.count(source) for source in sources},
        correlation={
            source: round(float(np.mean([one[table.names.index(source)] for one in near])), 3)
            for source in sources
        },
    )


def nasbench_page(record: NasBenchRecord, *, folder: str) -> str:
    """The part of the page that shows the record.

    Args:
        record: what came of the study.
        folder: of the pictures, from the page.
    """
    config, at = record.config, [record.config.counts.index(count) for count in shown_counts(record.config)]
    lines = [
        f"n = {record.n} seeds ({record.seeds[0]} to {record.seeds[-1]}), {record.cells:,} cells. "
        f"{record.hardware['cores']} cores ({record.hardware['processor']}); "
        f"{', '.join(f'{name} {version}' for name, version in record.versions.items())}; "
        f"{record.seconds:.0f} s. Remade by `{record.command}`.",
        "",
        f"![Regret against queries]({folder}{PICTURE}.svg)",
        "",
        "Mean regret, in points below the best cell; the band is the 95 % interval of the mean.",
    ]
    for target in record.targets:
        near = ", ".join(
            f"{source} {target.correlation[source]:.2f} (the nearest in {times} of {record.n} seeds)"
            for source, times in target.nearest.items()
        )
        lines += [
            "",
            f"### {target.name}",
            "",
            f"Best cell {target.best:.2f} %. Correlation over the probes: {near}.",
            "",
        ]
        lines.append(
            f"| strategy | {' | '.join(f'{config.counts[i]} queries' for i in at)} | within {WITHIN} after |"
        )
        lines.append(f"| --- | {' | '.join('---:' for _ in at)} | ---: |")
        for curve in _of(record, target.name):
            numbers = " | ".join(f"{curve.mean[i]:.2f} ± {curve.error[i]:.2f}" for i in at)
            lines.append(f"| {curve.strategy} | {numbers} | {_reached(curve, config)} |")
    return "\n".join([*lines, "", *_verdict(record)]) + "\n"


def shown_counts(config: NasBenchConfig) -> tuple[int, ...]:
    """The numbers of queries that a table shows."""
    return tuple(count for count in (1, 3, 5, 10, 25, 100) if count in config.counts)


def _of(record: NasBenchRecord, target: str) -> list[Curve]:
    return [curve for curve in record.curves if curve.target == target]


def _reached(curve: Curve, config: NasBenchConfig) -> str:
    first = next((c for c, mean in zip(config.counts, curve.mean, strict=True) if mean <= WITHIN), None)
    return f"more than {config.counts[-1]}" if first is None else str(first)


def _verdict(record: NasBenchRecord) -> list[str]:
    """Which strategies are within the target on every data set after 5 queries, and how far off the best is."""
    config = record.config
    asked = max(count for count in config.counts if count <= 5)
    at = config.counts.index(asked)
    worst = {
        strategy: max((c.mean[at], c.target) for c in record.curves if c.strategy == strategy)
        for strategy in dict.fromkeys(curve.strategy for curve in record.curves)
    }
    met = [strategy for strategy, (regret, _) in worst.items() if regret <= WITHIN]
    best = min(worst, key=lambda strategy: worst[strategy][0])
    target = (
        f"The target, a mean regret of at most {WITHIN} points on every data set within {asked} queries, is"
    )
    if met:
        return [f"{target} **met** by {', '.join(met)}."]
    regret, where = worst[best]
    reached = [c.target for c in record.curves if c.strategy == best and c.mean[at] <= WITHIN]
    rest = f"; it is reached on {', '.join(reached)}" if reached else ""
    return [f"{target} **not met**. The nearest to it is {best}: {regret:.2f} points on {where}{rest}."]


PICTURE = "nasbench"
"""Name of the picture, without its suffix."""

DRAWN = MappingProxyType(
    {
        "random": (MUTED, []),
        "random, prior": (BLUE, []),
        "evolution": (MUTED, [5, 3]),
        "evolution, prior": (BLUE, [5, 3]),
        "transfer": (ORANGE, []),
        "evolution, transfer": (ORANGE, [5, 3]),
        "mean rank": (INK, []),
    }
)
"""The strategies of the picture, with their colour and dashes; the others stand in the tables."""


def nasbench_chart(record: NasBenchRecord) -> Chart:
    """Regret against queries, one panel a target, both axes logarithmic."""
    values = [
        {
            "target": curve.target,
            "strategy": curve.strategy,
            "queries": count,
            # a regret of 0 has no logarithm: the axis ends at 0.01 points
            "regret": max(mean, 0.01),
            "low": max(mean - error, 0.01),
            "high": max(mean + error, 0.01),
        }
        for curve in record.curves
        if curve.strategy in DRAWN
        for count, mean, error in zip(record.config.counts, curve.mean, curve.error, strict=True)
    ]
    domain = list(DRAWN)
    colour = alt.Color(
        "strategy:N",
        title=None,
        scale=alt.Scale(domain=domain, range=[colour for colour, _ in DRAWN.values()]),
        legend=alt.Legend(orient="bottom", columns=4, labelFontSize=12.5, labelLimit=200),
    )
    dash = alt.StrokeDash(
        "strategy:N",
        scale=alt.Scale(domain=domain, range=[dash or [1, 0] for _, dash in DRAWN.values()]),
        legend=alt.Legend(orient="bottom", columns=4, labelFontSize=12.5, labelLimit=200),
        title=None,
    )
    x = alt.X("queries:Q", title="queries", scale=alt.Scale(type="log", nice=False))
    y = alt.Y("regret:Q", title="points below the best cell", scale=alt.Scale(type="log", nice=False))
    base = alt.Chart()
    band = base.mark_area(opacity=0.2).encode(x=x, y=alt.Y("low:Q"), y2="high:Q", color=colour)
    line = base.mark_line(strokeWidth=2).encode(x=x, y=y, color=colour, strokeDash=dash)
    panels = (
        alt.layer(band, line, data=alt.InlineData(values=values))
        .properties(width=280, height=240)
        .facet(column=alt.Column("target:N", title=None, sort=[one.name for one in record.targets]))
    )
    styled: Chart = (
        panels.properties(padding=8)
        .configure(aria=False, font="Arial, Helvetica, sans-serif")
        .configure_view(stroke=None)
        .configure_axis(labelColor=INK, titleColor=MUTED, gridColor=LINE, domainColor=LINE, tickColor=LINE)
    )
    return styled
