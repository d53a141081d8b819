"""What pages/nas-bench-201.md says of its record: tables, a picture, and whether the target is met."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType

import altair as alt

from tanas.reports.theme import BLUE, INK, MUTED, ORANGE, Chart, styled
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

SHOWN = (1, 3, 5, 10, 25, 100)
"""Numbers of queries that a table shows."""

SHOWN_PROBED = (5, 25, 28, 30, 35, 50, 100)
"""The same where the first 25 are probes."""

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
    lines = [
        f"n = {record.n} seeds ({record.seeds[0]} to {record.seeds[-1]}), {record.cells:,} cells. "
        f"{record.hardware['cores']} cores ({record.hardware['processor']}); "
        f"{', '.join(f'{name} {version}' for name, version in record.versions.items())}; "
        f"{record.seconds:.0f} s. Remade by `{record.command}`.",
        "",
        *_verdict(record),
        "",
        f"![Regret against queries]({folder}{PICTURE}.svg)",
        "",
        "Mean regret, in points below the best cell; the band is the 95 % interval of the mean. Both axes are "
        f"logarithmic; a regret below {LEAST} is drawn at {LEAST}.",
    ]
    for target in record.targets:
        lines += ["", *_section(record, target)]
    return "\n".join(lines) + "\n"


def _section(record: NasBenchRecord, target: Target) -> list[str]:
    curves = [curve for curve in record.curves if curve.target == target.name]
    near = ", ".join(
        f"{source} {target.correlation[source]:.2f} (the nearest in {times} of {record.n} seeds)"
        for source, times in target.nearest.items()
    )
    return [
        f"### {target.name}",
        "",
        f"Best cell {target.best:.2f} %, median {target.median:.2f} %; {target.near_best} of the cells lie within "
        f"{WITHIN} points of the best. The first of them is "
        + ", ".join(f"number {place} of {source}" for source, place in target.places.items())
        + f". Mean rank correlation over {record.config.probes} probes: {near}.",
        "",
        "Which source is nearest is not known; every query is counted:",
        "",
        *_table(record.config, [c for c in curves if c.sources in (NOTHING, ALIKE)], SHOWN),
        "",
        "The nearest source is known beforehand (what it took to find out is **not** counted):",
        "",
        *_table(record.config, [c for c in curves if c.sources == GIVEN], SHOWN),
        "",
        f"The nearest source is found by {record.config.probes} probes, which **are** the first "
        f"{record.config.probes} queries (until then all are random search):",
        "",
        *_table(record.config, [c for c in curves if c.sources == PROBED], SHOWN_PROBED),
        "",
        *_constants(target),
        f"On {record.config.halves} random halves of the cells, after {AIM} queries: "
        + "; ".join(f"{one.strategy} {one.mean:.2f} ± {one.error:.2f}" for one in target.halves)
        + ".",
    ]


def _table(config: NasBenchConfig, curves: Sequence[Curve], shown: Sequence[int]) -> list[str]:
    at = [config.counts.index(count) for count in shown if count in config.counts]
    lines = [
        f"| strategy | {' | '.join(_queries(config.counts[i]) for i in at)} | within {WITHIN} after |",
        f"| --- | {' | '.join('---:' for _ in at)} | ---: |",
    ]
    for curve in curves:
        numbers = " | ".join(f"{curve.mean[i]:.2f} ± {curve.error[i]:.2f}" for i in at)
        lines.append(f"| {curve.strategy} | {numbers} | {_reached(curve, config)} |")
    return lines


def _queries(count: int) -> str:
    return f"{count} quer{'y' if count == 1 else 'ies'}"


def _reached(curve: Curve, config: NasBenchConfig) -> str:
    return f"more than {config.queries}" if curve.within is None else str(curve.within)


def _constants(target: Target) -> list[str]:
    tuned = target.tuned
    if tuned is None:
        return []
    how = tuned.prediction
    return [
        f"Constants, chosen without {target.name}. Tuned prior: the {tuned.known} best cells of each source, "
        f"logarithms divided by {tuned.temperature:g} (regret {tuned.prior_regret:.4f} of the range from "
        f"median to best; the worst setting {tuned.prior_worst:.4f}). "
        f"Predictor: smoothing {how.smoothing:g}, residual {how.residual:g}, "
        f"reach {how.reach:g} ({tuned.prediction_regret:.4f}; the worst {tuned.prediction_worst:.4f}).",
        "",
    ]


def _verdict(record: NasBenchRecord) -> list[str]:
    """What the memory saves, and whether the target is met under each counting."""
    config, last = record.config, record.config.counts[-1]
    lines = [
        f"Random search is {_figures(record, 'random', NOTHING, last)} points below the best cell after {last} "
        f"queries; drawing by the prior after {AIM}: {_figures(record, 'random, prior', ALIKE, AIM)}; the best cells "
        f"of one other set after {AIM}: {_figures(record, 'transfer', ALIKE, AIM)} "
        f"({', '.join(target.name for target in record.targets)}).",
        "",
        f"Does it matter which set is the nearest? *Transfer* after {AIM} queries, a coin choosing the set: "
        f"{_figures(record, 'transfer', ALIKE, AIM)}; from the nearest, if that is known beforehand: "
        f"{_figures(record, 'transfer', GIVEN, AIM)}.",
        "",
        f"The target is a mean regret of at most {WITHIN} points on every data set within {AIM} queries.",
        "",
        f"- Without knowing which source is nearest, it is {_met(record, (NOTHING, ALIKE))}",
        f"- With the nearest source known beforehand, it is {_met(record, (GIVEN,))}",
        f"- With the {config.probes} probes that find the nearest source counted, it is {_probed(record)}",
    ]
    if any(target.tuned is not None for target in record.targets):
        lines.append(
            "- These rows are picked with the targets' regrets in view. Of *predictor* and *random, tuned prior*, the "
            f"sources alone would have picked, after {AIM} queries: {'; '.join(_picked(record))}."
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
    return f"**out of reach**: the probes alone are more. First there is *{best}*, after {reached[best]} queries."


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
    return f"**not met**. The least regret on the worst data set has *{best}*: {figures}."


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
