"""What pages/nas-bench-201.md says of its record: tables, a picture, and whether the target is met."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

import altair as alt

from tanas.reports.theme import BLUE, INK, MUTED, ORANGE, Chart, styled
from tanas_experiments.markdown import provenance, table
from tanas_experiments.nasbench import (
    AIM,
    ALIKE,
    GIVEN,
    NOTHING,
    PROBED,
    WITHIN,
    Curve,
    NasBenchConfig,
    NasBenchRecord,
    Target,
)

PICTURE = "nasbench"
"""Name of the picture, without its suffix."""

DRAWN = MappingProxyType(
    {
        ("random", NOTHING): ("random", MUTED, [1, 0]),
        ("evolution", NOTHING): ("evolution", MUTED, [5, 3]),
        ("random, prior", ALIKE): ("random, prior", BLUE, [1, 0]),
        ("evolution, prior", ALIKE): ("evolution, prior", BLUE, [5, 3]),
        ("transfer", ALIKE): ("transfer", ORANGE, [1, 0]),
        ("evolution, transfer", ALIKE): ("evolution, transfer", ORANGE, [5, 3]),
        ("transfer", PROBED): ("transfer from the nearest, probes counted", ORANGE, [1, 3]),
        ("predictor", ALIKE): ("predictor", INK, [1, 0]),
    }
)
"""The strategies of the picture, with their name there, colour and dashes; the others stand in the tables."""

LEAST = 0.01
"""Of a regret in the picture, in points: 0 has no logarithm."""


def nasbench_page(record: NasBenchRecord, *, folder: str) -> str:
    """The part of the page that shows the record.

    Args:
        record: what came of the study.
        folder: of the pictures, from the page.
    """
    config, last = record.config, record.config.counts[-1]
    names = " / ".join(target.name for target in record.targets)
    parts = [
        "## Does it help to know other data sets?",
        f"**After {AIM} queries the prior is {_figures(record, 'random, prior', ALIKE, AIM)} points below the best "
        f"cell; random search after {last} is {_figures(record, 'random', NOTHING, last)}** ({names}; "
        f"n = {record.n} seeds).",
        _table(record, (NOTHING, ALIKE)),
        f"![Regret against queries]({folder}{PICTURE}.svg)",
        "Mean regret, in points below the best cell; the band is the 95 % interval of the mean. Both axes are "
        f"logarithmic; a regret below {LEAST} is drawn at {LEAST}.",
        f"Regret after {AIM} queries, mean and its 95 % interval. The last column: queries until the mean regret is at "
        f"most {WITHIN} points. All sources count alike; every query is counted.",
        "## Does it matter which source is the nearest?",
        f"**Transfer after {AIM} queries, a coin choosing the source: {_figures(record, 'transfer', ALIKE, AIM)}; from "
        f"the nearest, if it is known beforehand: {_figures(record, 'transfer', GIVEN, AIM)}.**",
        _table(record, (GIVEN,), probed=True),
        f"Finding the nearest source takes {config.probes} queries, the probes. They are **not** counted in the first "
        "columns, and counted in the last.",
        "## Is the aim met?",
        f"The aim is a mean regret of at most {WITHIN} points on every data set within {AIM} queries.",
        "\n".join(f"- {line}" for line in _aims(record)),
        "## What are the data sets and the constants?",
        table(
            [
                "",
                "best cell, %",
                "median, %",
                f"within {WITHIN} of the best",
                "its place elsewhere",
                "sources",
            ],
            [_about(record, target) for target in record.targets],
        ),
        "Sources: mean rank correlation over the probes, and in how many seeds it is the nearest.",
        *_constants(record),
        table(
            [f"on {config.halves} random halves of the cells, after {AIM} queries", "regret"],
            [
                [f"{target.name}: {one.strategy}", f"{one.mean:.2f} ± {one.error:.2f}"]
                for target in record.targets
                for one in target.halves
            ],
        ),
        f"{record.cells:,} cells, seeds {record.seeds[0]} to {record.seeds[-1]}, {record.seconds:.0f} s. "
        + provenance(record.command, record.hardware, record.versions),
    ]
    return "\n\n".join(parts) + "\n"


def _table(record: NasBenchRecord, knowing: tuple[str, ...], *, probed: bool = False) -> str:
    """Every strategy on every target.

    Args:
        record: of the study.
        knowing: what the strategies know of the sources.
        probed: whether the queries with the probes counted stand beside.
    """
    at = record.config.counts.index(AIM)
    targets = [target.name for target in record.targets]

    def within(name: str, sources: Sequence[str]) -> str:
        by = {c.target: c for c in record.curves if c.strategy == name and c.sources in sources}
        return " / ".join(_reached(by[target], record.config) if target in by else "-" for target in targets)

    rows = []
    for name in _names(record, knowing):
        by = {c.target: c for c in record.curves if c.strategy == name and c.sources in knowing}
        rows.append(
            [
                name,
                *(f"{by[target].mean[at]:.2f} ± {by[target].error[at]:.2f}" for target in targets),
                within(name, knowing),
                *([within(name, (PROBED,))] if probed else []),
            ]
        )
    head = ["strategy", *targets, f"within {WITHIN} after"]
    return table([*head, *(["the same, probes counted"] if probed else [])], rows)


def _reached(curve: Curve, config: NasBenchConfig) -> str:
    return f"> {config.queries}" if curve.within is None else str(curve.within)


def _about(record: NasBenchRecord, target: Target) -> list[str]:
    return [
        target.name,
        f"{target.best:.2f}",
        f"{target.median:.2f}",
        f"{target.near_best} cells",
        ", ".join(f"{place} of {source}" for source, place in target.places.items()),
        ", ".join(
            f"{source} {target.correlation[source]:.2f} ({times} of {record.n})"
            for source, times in target.nearest.items()
        ),
    ]


def _constants(record: NasBenchRecord) -> list[str]:
    """How the tuned strategies were set, for each target without it; nothing where none was."""
    rows = []
    for target in record.targets:
        if (tuned := target.tuned) is not None:
            how = tuned.prediction
            rows.append(
                [
                    target.name,
                    f"{tuned.known} / {tuned.temperature:g}",
                    f"{tuned.prior_regret:.4f} ({tuned.prior_worst:.4f})",
                    f"{how.smoothing:g} / {how.residual:g} / {how.reach:g}",
                    f"{tuned.prediction_regret:.4f} ({tuned.prediction_worst:.4f})",
                ]
            )
    if not rows:
        return []
    head = ["constants chosen without", "prior: best cells / temperature", "its regret (worst setting)"]
    return [
        table([*head, "predictor: smoothing / residual / reach", "its regret (worst setting)"], rows),
        "These regrets are on the sources, as a share of the range from median to best.",
    ]


def _aims(record: NasBenchRecord) -> list[str]:
    """Whether the aim is met under each counting."""
    lines = [
        f"Without knowing which source is nearest: {_met(record, (NOTHING, ALIKE))}",
        f"With the nearest source known beforehand: {_met(record, (GIVEN,))}",
        f"With the {record.config.probes} probes counted: {_probed(record)}",
    ]
    if picked := _picked(record):
        lines.append(
            "These strategies are picked with the targets' regrets in view. Of the two tuned ones, the sources alone "
            f"would have picked, after {AIM} queries: {'; '.join(picked)}."
        )
    return lines


def _figures(record: NasBenchRecord, strategy: str, knows: str, count: int) -> str:
    """The mean regret on each target."""
    at = record.config.counts.index(count)
    return " / ".join(
        f"{c.mean[at]:.2f}" for c in record.curves if (c.strategy, c.sources) == (strategy, knows)
    )


def _picked(record: NasBenchRecord) -> list[str]:
    """For each target the better of the tuned strategies on its sources, and what that has on the target."""
    at = record.config.counts.index(AIM)
    found = []
    for target in record.targets:
        if (tuned := target.tuned) is not None:
            name = "predictor" if tuned.prediction_regret <= tuned.prior_regret else "random, tuned prior"
            curve = next(c for c in record.curves if (c.target, c.strategy) == (target.name, name))
            found.append(f"*{name}* for {target.name}, {curve.mean[at]:.2f}")
    return found


def _probed(record: NasBenchRecord) -> str:
    """Whether the target is met with the probes counted."""
    if record.config.probes < AIM:
        return _met(record, (PROBED,))
    names = _names(record, (PROBED,))
    reached = {}
    for name in names:
        within = [c.within for c in record.curves if (c.strategy, c.sources) == (name, PROBED)]
        if all(count is not None for count in within):
            reached[name] = max(count for count in within if count is not None)
    if not reached:
        return f"**out of reach**, and no strategy is so near on every data set after {record.config.queries} queries."
    best = min(reached, key=reached.__getitem__)
    return (
        f"**out of reach**, the probes alone are more. *{best}* is the first, after {reached[best]} queries."
    )


def _names(record: NasBenchRecord, knowing: tuple[str, ...]) -> list[str]:
    return list(dict.fromkeys(curve.strategy for curve in record.curves if curve.sources in knowing))


def _met(record: NasBenchRecord, knowing: tuple[str, ...]) -> str:
    at = record.config.counts.index(AIM)
    regrets = {
        name: {c.target: c.mean[at] for c in record.curves if c.strategy == name and c.sources in knowing}
        for name in _names(record, knowing)
    }
    met = [name for name, found in regrets.items() if max(found.values()) <= WITHIN]
    if met:
        return f"**met** by {'; '.join(f'*{name}*' for name in met)}."
    best = min(regrets, key=lambda name: max(regrets[name].values()))
    figures = ", ".join(f"{regret:.2f} on {target}" for target, regret in regrets[best].items())
    return f"**not met**. *{best}* has the least regret on its worst data set: {figures}."


def nasbench_chart(record: NasBenchRecord) -> Chart:
    """Regret against queries, one panel a target, both axes logarithmic."""
    shown = [curve for curve in record.curves if (curve.strategy, curve.sources) in DRAWN]
    values = [
        {
            "target": curve.target,
            "strategy": DRAWN[curve.strategy, curve.sources][0],
            "queries": count,
            "regret": max(mean, LEAST),
            "low": max(mean - error, LEAST),
            "high": max(mean + error, LEAST),
        }
        for curve in shown
        for count, mean, error in zip(record.config.counts, curve.mean, curve.error, strict=True)
    ]
    have = {(curve.strategy, curve.sources) for curve in shown}
    kept = [style for key, style in DRAWN.items() if key in have]
    domain = [name for name, _, _ in kept]
    legend = alt.Legend(
        orient="bottom",
        columns=4,
        labelFontSize=12.5,
        labelLimit=320,
        symbolType="stroke",
        symbolOpacity=1,
        symbolStrokeWidth=2,
        symbolSize=400,
    )
    colour = alt.Color(
        "strategy:N",
        title=None,
        scale=alt.Scale(domain=domain, range=[colour for _, colour, _ in kept]),
        legend=legend,
    )
    dash = alt.StrokeDash(
        "strategy:N",
        title=None,
        scale=alt.Scale(domain=domain, range=[dashes for _, _, dashes in kept]),
        legend=legend,
    )
    x = alt.X(
        "queries:Q",
        title="queries",
        scale=alt.Scale(type="log", nice=False),
        axis=alt.Axis(values=[1, 3, 5, 10, 25, 50, 100]),
    )
    y = alt.Y(
        "regret:Q",
        title="points below the best cell",
        scale=alt.Scale(type="log", nice=False),
        axis=alt.Axis(values=[0.01, 0.03, 0.1, 0.3, 1, 3, 10]),
    )
    base = alt.Chart()
    band = base.mark_area(opacity=0.2).encode(x=x, y=alt.Y("low:Q"), y2="high:Q", color=colour)
    line = base.mark_line(strokeWidth=2).encode(x=x, y=y, color=colour, strokeDash=dash)
    panels = (
        alt.layer(band, line, data=alt.InlineData(values=values))
        .properties(width=280, height=240)
        .facet(column=alt.Column("target:N", title=None, sort=[one.name for one in record.targets]))
    )
    return styled(panels)
