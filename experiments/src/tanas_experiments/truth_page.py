"""What pages/search-evidence.md says of the table of the truth: a sentence for each question, and its figures."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from tanas.ground.errors import StoreError
from tanas.ground.records import read_record
from tanas.reports.chart_data import wilson
from tanas_experiments.truth import TruthRecord, read_table, table_digest
from tanas_experiments.truth_analysis import (
    CHOSEN_ON,
    DUNCE,
    FARTHEST,
    NEAREST,
    RANDOM,
    TEACHER,
    Alpha,
    Carry,
    Contrast,
    Regret,
    TruthAnalysis,
    contrast,
)
from tanas_experiments.truth_charts import REGRETS_PICTURE, SIZES_PICTURE

MINUS = "\N{MINUS SIGN}"
SHOWN_TRIES = (3, 10)
"""Of the ways that train on the target, in the tables."""
AIM_BEST, AIM_TAU = 0.75, 0.5
"""What alpha should reach: the best of three in three of four triples, and a tau of a half."""


def read_analysis(record: Path) -> tuple[TruthRecord, TruthAnalysis] | None:
    """The table's record and its analysis, which stand beside each other; None: not both are there.

    Args:
        record: truth.json; truth.csv and truth-analysis.json are beside it.

    Raises:
        StoreError: the analysis is of another table.
    """
    path = record.with_name("truth-analysis.json")
    if not (record.exists() and path.exists()):
        return None
    analysis = read_record(TruthAnalysis, path)
    if analysis.table != table_digest(read_table(record.with_name("truth.csv"))):
        raise StoreError(
            f"{path} is of another table than {record.with_name('truth.csv')}. "
            "Run: python -m tanas_experiments.run.truth --analyse"
        )
    return read_record(TruthRecord, record), analysis


def truth_page(record: TruthRecord, analysis: TruthAnalysis, *, folder: str | None = None) -> str:
    """The part of the page that shows the table.

    Args:
        record: of the table.
        analysis: of the same table.
        folder: of the pictures, from the page, ending in a slash; None: there are no pictures.
    """
    sections = (
        _head(record, analysis),
        _choices(record, analysis),
        _sizes_picture(analysis, folder),
        _carries(record, analysis),
        _trends(analysis),
        _nearness(record, analysis),
        _memory(record, analysis),
        _regrets_picture(folder),
        _rivals(analysis),
        _alpha(record, analysis),
    )
    return "\n".join(line for section in sections if section for line in (*section, ""))


def _head(record: TruthRecord, analysis: TruthAnalysis) -> list[str]:
    config = record.config
    rows = [
        [
            one.id,
            one.title,
            f"`{one.name}`",
            "x".join(map(str, one.shape[1:])),
            str(one.classes),
            f"{one.train:,} / {one.validation:,} / {one.test:,}",
            str(one.epochs),
        ]
        for one in record.targets
    ]
    part = (
        f"**The table is not full**: {analysis.rows:,} of {analysis.trainings:,} trainings. "
        if analysis.rows < analysis.trainings
        else ""
    )
    left = (
        f" {analysis.incomplete + analysis.diverged} of those begun are left out: a training is not there "
        f"({analysis.incomplete}) or diverged ({analysis.diverged})."
        if analysis.incomplete + analysis.diverged
        else ""
    )
    return [
        f"{part}n = {analysis.architectures} architectures of the space `{config.space}` on {len(record.targets)} "
        f"targets, seeds {' and '.join(map(str, config.seeds))}: what follows is from these.{left} They were drawn "
        f"once (seed {config.draw_seed}), equally many from each of {config.bins} bins of the logarithm of the "
        f"parameters between {config.least_parameters:,} and {config.most_parameters:,}, and trained in an order in "
        f"which every beginning is such a sample. {analysis.hours:.1f} hours of one core "
        f"({record.hardware['processor']}); "
        f"{', '.join(f'{name} {version}' for name, version in record.versions.items())}. Remade by "
        f"`{record.command}`, then `--distances`, `--triples` and `--analyse`.",
        "",
        f"Each training has {config.epochs} epochs, or as many as give {config.least_steps} steps, on at most "
        f"{config.images:,} images. A choice sees the validation figures of one training, as a search does; it is "
        "judged by test errors of trainings that it did not see. Errors here are balanced errors, the mean over the "
        "classes, in points.",
        "",
        *_table(["", "target", "name", "pixels", "classes", "train / validation / test", "epochs"], rows),
    ]


def _choices(record: TruthRecord, analysis: TruthAnalysis) -> list[str]:
    found = analysis.choices
    gains = [one.median - one.best for one in found]
    at_size = [one.gain_at_size for one in found]
    sizes = [one.size for one in found if one.size is not None]
    rows = [
        [
            one.target,
            _points(one.median),
            _points(one.best),
            _points(one.worst_tenth),
            _points(one.spread),
            _points(one.noise),
            _signed(one.size),
            _signed(one.macs),
            _points(one.gain_at_size),
            _points(one.spread_at_size),
        ]
        for one in found
    ]
    most = max(found, key=lambda one: one.median - one.best)
    least = min(found, key=lambda one: one.median - one.best)
    return [
        "### How much do the choices matter?",
        "",
        f"The best architecture is {_points(min(gains))} ({least.target}) to {_points(max(gains))} ({most.target}) "
        f"points better than the median one; among {analysis.config.bins} bins of like size, "
        f"{_points(min(at_size))} to {_points(max(at_size))} points. Rank correlation of error with parameters: "
        f"{_signed(min(sizes))} to {_signed(max(sizes))}."
        if sizes
        else "",
        "",
        *_table(
            [
                "target",
                "median",
                "best",
                "worst tenth from",
                "sd between architectures",
                "sd between seeds",
                "rank correlation with parameters",
                "with multiply-adds",
                "best against median at equal size",
                "sd at equal size",
            ],
            rows,
        ),
        "",
        "*Best*: chosen by one seed, measured by the other, so that luck is not counted. *sd between architectures* "
        "is without what the seeds alone bring.",
    ]


def _sizes_picture(analysis: TruthAnalysis, folder: str | None) -> list[str]:
    if folder is None:
        return []
    bins = min(analysis.config.bins, analysis.architectures // 2)
    return [
        "Each architecture's error against its size (geometric mean over the targets, whose heads differ): a dot is "
        "the mean over the seeds, the thin line through it spans them. Orange joins the medians of "
        f"{bins} bins of like size; what lies around it is not explained by size. Above each panel the two sd of the "
        "table, in points.",
        "",
        f"![Balanced test error against parameters, by target]({folder}{SIZES_PICTURE}.svg)",
    ]


def _carries(record: TruthRecord, analysis: TruthAnalysis) -> list[str]:
    targets = [one.id for one in record.targets]
    lines = ["### Do ranks carry from task to task?", ""]
    parts = [
        f"{words} {_mean(_off(analysis.carries, name)):.2f} between two targets on average "
        f"({min(_off(analysis.carries, name)):.2f} to {max(_off(analysis.carries, name)):.2f}), "
        f"{_mean(_ceiling(analysis.carries, name)):.2f} between two seeds of one target"
        for name, words in (
            ("plain", "ranks of architectures agree with Spearman"),
            ("at_size", "given the parameters,"),
            ("at_cost", "given parameters and multiply-adds,"),
        )
    ]
    odd = min(targets, key=lambda target: _mean(_about(analysis.carries, target)))
    even = max(targets, key=lambda target: _mean(_about(analysis.carries, target)))
    sentence = "; ".join(parts) + "."
    lines += [
        sentence[0].upper() + sentence[1:] + f" `{odd}` agrees least with the others "
        f"({_mean(_about(analysis.carries, odd)):.2f} given parameters and multiply-adds), `{even}` most "
        f"({_mean(_about(analysis.carries, even)):.2f}). With n = {analysis.architectures} a correlation near 0 has a "
        f"standard error of {1 / np.sqrt(max(analysis.architectures - 1, 1)):.2f}.",
    ]
    for name, title in (
        ("plain", "Rank correlation of test errors; on the diagonal between two seeds, the ceiling:"),
        ("at_cost", "The same given parameters and multiply-adds:"),
    ):
        by_pair = {(one.source, one.target): float(getattr(one, name)) for one in analysis.carries}
        rows = [
            [f"`{a}`", *(f"*{by_pair[a, b]:.2f}*" if a == b else _signed(by_pair[a, b]) for b in targets)]
            for a in targets
        ]
        lines += ["", title, "", *_table(["", *(f"`{one}`" for one in targets)], rows)]
    return lines


def _trends(analysis: TruthAnalysis) -> list[str]:
    """What sizes tell; nothing for an older analysis."""
    if not analysis.trends:
        return []
    sizes, trained = ([getattr(one, name) for one in analysis.trends] for name in ("size", "training"))
    return [
        "### What does size alone tell of an architecture?",
        "",
        "Parameters, multiply-adds and the first width order architectures by their test error with a Spearman "
        f"correlation of {_mean(sizes):.2f}, by a trend that was learnt from the other targets' trainings of the other "
        f"architectures; a training of each itself, from another seed, with {_mean(trained):.2f}. This trend is the "
        "size trend that a prior is tilted by ([inheritance](../../docs/inheritance.md)). "
        "Its three numbers and its strength were chosen on "
        f"{' and '.join(f'`{target}`' for target in CHOSEN_ON)}.",
        "",
        *_table(
            ["", *(f"`{one.target}`" for one in analysis.trends)],
            [
                ["by size", *(f"{value:.2f}" for value in sizes)],
                ["by a training", *(f"{value:.2f}" for value in trained)],
            ],
        ),
    ]


def _nearness(record: TruthRecord, analysis: TruthAnalysis) -> list[str]:
    lines = ["### Do small distances mean that ranks carry better?", ""]
    if not analysis.nearness or record.distances is None:
        return [*lines, "Not measured yet: `python -m tanas_experiments.run.truth --distances`."]
    words = {
        "plain": "with the agreement of ranks",
        "at_size": "given the parameters",
        "at_cost": "given parameters and multiply-adds",
    }
    clear = [one for one in analysis.nearness if one.p < 0.05 and one.mean > 0]
    parts = "; ".join(
        f"{words[one.measure]} {_signed(one.mean)} (p = {one.p:.3f})" for one in analysis.nearness
    )
    lines += [
        ("Yes, as far as this shows: " if len(clear) == len(analysis.nearness) else "")
        + ("No, not beyond chance: " if not clear else "")
        + ("In part: " if clear and len(clear) < len(analysis.nearness) else "")
        + f"nearness by `{record.distances.method}` correlates within a target, on average, {parts}. "
        f"n = {analysis.nearness[0].pairs} pairs; p is one-sided, by {analysis.config.permutations:,} random orders "
        "of the sources.",
        "",
        "d from the row's task to the column's:",
        "",
    ]
    targets = [one.id for one in record.targets]
    d = {(one.source, one.target): one.value for one in record.distances.values}
    rows = [[f"`{a}`", *("" if a == b else f"{d[a, b]:.3f}" for b in targets)] for a in targets]
    within = {one.measure: dict(one.within) for one in analysis.nearness}["at_cost"]
    rows.append(["*nearness with agreement at equal cost*", *(_signed(within.get(one)) for one in targets)])
    return lines + _table(["", *(f"`{one}`" for one in targets)], rows)


def _memory(record: TruthRecord, analysis: TruthAnalysis) -> list[str]:
    config, found = analysis.config, analysis.regrets
    several = config.neighbours
    ways: list[tuple[str, tuple[str, str, int]]] = [("random, 1 trained", ("random", "", 1))]
    ways += [(f"random, best of {k}", ("random", "", k)) for k in SHOWN_TRIES]
    names = {NEAREST: "nearest", RANDOM: "drawn", FARTHEST: "farthest", TEACHER: TEACHER, DUNCE: DUNCE}
    for source, name in names.items():
        ways.append((f"transfer, {name}", ("transfer", source, 0)))
    for source in (NEAREST, RANDOM, FARTHEST):
        ways.append((f"transfer of {several}, {names[source]}", (f"transfer of {several}", source, 0)))
    ways.append(("transfer of all", ("transfer of all", "", 0)))
    for source in (NEAREST, RANDOM, FARTHEST, TEACHER, DUNCE):
        ways.append((f"the 3 best of one task, {names[source]}", ("warm", source, 3)))
    for k in SHOWN_TRIES:
        ways += [
            (f"prior of {several}, {names[s]}, best of {k}", ("prior", s, k))
            for s in (NEAREST, RANDOM, FARTHEST)
        ]
    comparisons = [
        (
            "transfer of the nearest task's best",
            ("transfer", NEAREST, 0),
            "of the farthest's",
            ("transfer", FARTHEST, 0),
        ),
        (
            "transfer of the nearest task's best",
            ("transfer", NEAREST, 0),
            "of a drawn one's",
            ("transfer", RANDOM, 0),
        ),
        (
            "transfer from the best teacher",
            ("transfer", TEACHER, 0),
            "from the worst",
            ("transfer", DUNCE, 0),
        ),
        (
            "transfer of a drawn task's best",
            ("transfer", RANDOM, 0),
            "the best of 3 at random",
            ("random", "", 3),
        ),
        ("the prior of drawn tasks", ("prior", RANDOM, 3), "none, best of 3 each", ("random", "", 3)),
        (
            "the prior of the nearest",
            ("prior", NEAREST, 3),
            "that of the farthest, best of 3 each",
            ("prior", FARTHEST, 3),
        ),
        ("the prior of drawn tasks", ("prior", RANDOM, 10), "none, best of 10 each", ("random", "", 10)),
        (
            "the prior of drawn tasks, best of 3,",
            ("prior", RANDOM, 3),
            "none, best of 10",
            ("random", "", 10),
        ),
        ("the prior of drawn tasks", ("prior", RANDOM, 3), "the largest, 3 trained each", ("largest", "", 3)),
    ]
    sentences = []
    for ours, first, theirs, second in comparisons:
        if (one := contrast(found, first, second)) is not None:
            sentences.append(f"- {ours[0].upper() + ours[1:]} against {theirs}: {described(one)}.")
    without = (
        []
        if record.distances
        else ["The distances are not measured yet, so nearest and farthest are not among the rows.", ""]
    )
    return [
        "### What do `transfer` and `prior` buy, and does nearness?",
        "",
        *sentences,
        "",
        *without,
        f"Mean regret in points: balanced test error less that of the best architecture in hindsight, over "
        f"{config.draws} simulated searches a target; the target itself is never in the memory, which holds "
        f"{min(config.known, analysis.architectures)} architectures of each task, drawn anew each time; a dictionary "
        "sees eleven when it learns a task, of which a small table would leave too few to draw. A prior is learnt from "
        f"the best {config.scored} of them, and the promise of sizes that goes with it from the losses of all, of "
        "every other task. It draws from those that the memory does not hold; drawn and farthest tasks count as the "
        f"nearest would in their place. *Drawn*: from another task at random. *{TEACHER}* and "
        f"*{DUNCE}* are the tasks whose ranks agree most and least with the target's, known in hindsight only: what a "
        "perfect measure of that agreement would choose. Differences are tested by their signs over the targets. "
        "A standard error over the draws is "
        f"at most {_points(max(one.balanced_se for one in found))} points; that the table is a sample itself is not in "
        "it.",
        "",
        *_regret_table(record, found, ways),
    ]


def _regrets_picture(folder: str | None) -> list[str]:
    if folder is None:
        return []
    return [
        "Mean regret over the targets (large dots and numbers) with its 95 % bootstrap interval over them; a pale dot "
        "is a target. Blue learns from the nearest tasks, grey from drawn ones, orange from the farthest. Intervals of "
        "two ways may overlap though one is better on nearly every target: the differences above tell that.",
        "",
        f"![Regret by way of choosing]({folder}{REGRETS_PICTURE}.svg)",
    ]


def _rivals(analysis: TruthAnalysis) -> list[str]:
    found = analysis.regrets
    tries = [k for k in analysis.config.tries if any(one.tries == k for one in found)]
    ways = [("random", "random"), ("predictor", "predictor"), ("the largest", "largest")]
    by_way: dict[tuple[str, int], list[float]] = {}
    for one in found:
        by_way.setdefault((one.way, one.tries), []).append(one.balanced)
    rows = [
        [shown, *(_points(_mean(by_way[way, k])) if (way, k) in by_way else "" for k in (0, *tries))]
        for shown, way in (*ways, ("the most multiply-adds", "most multiply-adds"))
    ]
    sentences = []
    for k in SHOWN_TRIES:
        for name, first in (("the predictor", ("predictor", "", k)), ("the largest", ("largest", "", k))):
            if (compared := contrast(found, first, ("random", "", k))) is not None:
                sentences.append(
                    f"- {name[0].upper() + name[1:]}, {k} trained, against random search: {described(compared)}."
                )
    return [
        "### How do rivals compare that only ask for accuracies?",
        "",
        *sentences,
        "",
        "Mean regret over the targets, by the number of architectures trained:",
        "",
        *_table(["", *(str(k) for k in (0, *tries))], rows),
        "",
        "Only what chooses among given architectures can be simulated on a table. Evolution can't: the changed "
        "architectures that it asks for are not in it. Successive halving can't either: its shorter trainings were "
        "not made. *The largest* trains those with the most parameters, and takes the best of them.",
    ]


def _alpha(record: TruthRecord, analysis: TruthAnalysis) -> list[str]:
    lines = ["### Does alpha rank?", ""]
    if not analysis.alpha or record.triples is None:
        return [*lines, "Not measured yet: `python -m tanas_experiments.run.truth --triples 120`."]
    whole = analysis.alpha[-1]
    clear = whole.triples - whole.within_noise
    rows = [
        [
            one.target or "all",
            f"{one.triples - one.within_noise} ({one.within_noise})",
            _share(one.alpha_best),
            _share(one.separate_best),
            _signed(one.alpha_tau),
            _signed(one.separate_tau),
            _points(one.alpha_miss),
            _points(one.separate_miss),
            _points(one.random_miss),
        ]
        for one in analysis.alpha
    ]
    low, high = wilson(round(clear * whole.alpha_best), clear)
    met = whole.alpha_best >= AIM_BEST and whole.alpha_tau >= AIM_TAU
    return [
        *lines,
        f"After one round arg max alpha is the best of three in {_share(whole.alpha_best)} of {clear} triples (95 % "
        f"interval {_share(low)} to {_share(high)}, too narrow, as triples share architectures), with a mean "
        f"Kendall's tau of {_signed(whole.alpha_tau)}; separate trainings of as many epochs choose the best in "
        f"{_share(whole.separate_best)}, tau {_signed(whole.separate_tau)}. Chance is 33 %. The aim, "
        f"{_share(AIM_BEST)} and {AIM_TAU}, is {'met' if met else 'missed'}. Where only one of the two chose the "
        f"best it was alpha {whole.wins} and the separate trainings {whole.losses} times.",
        "",
        *_table(
            [
                "target",
                "triples (within noise, left out)",
                "alpha: best",
                "separate: best",
                "alpha: tau",
                "separate: tau",
                "alpha misses by",
                "separate misses by",
                "one at random misses by",
            ],
            rows,
        ),
        "",
        f"A triple is within noise if the best does not lead the second by {analysis.config.noise:g} standard errors "
        "of their difference, the truth being the mean test error of the seeds in the table and its noise the "
        f"standard deviation between seeds on that target. Such triples are counted and left out of shares and tau; "
        f"the misses are over all. Mean cost of a triple, multiply-adds forward and backward: {whole.alpha_macs:.2e} "
        f"by the mixture, {whole.separate_macs:.2e} apart. Schedule: {_schedule(record)}.",
        *_within_reach(whole),
    ]


def _within_reach(whole: Alpha) -> list[str]:
    if whole.triples > whole.within_noise:
        return []
    return ["", "No triple differs beyond noise, so the shares say nothing yet."]


def _schedule(record: TruthRecord) -> str:
    if record.triples is None:
        return ""
    plain = record.triples.schedule
    return f"`{plain['kind']}`, {plain['training']['epochs']} epochs" + (
        f", own loss {plain['own_loss']:g}" if plain.get("own_loss") else ""
    )


def _regret_table(
    record: TruthRecord, found: Sequence[Regret], ways: Sequence[tuple[str, tuple[str, str, int]]]
) -> list[str]:
    targets = [one.id for one in record.targets]
    by_way = {(one.way, one.source, one.tries, one.target): one for one in found}
    rows = []
    for shown, way in ways:
        here = [by_way[*way, target] for target in targets if (*way, target) in by_way]
        if len(here) == len(targets):
            rows.append(
                [
                    shown,
                    *(_points(one.balanced) for one in here),
                    f"**{_points(_mean([one.balanced for one in here]))}**",
                    _points(_mean([one.error for one in here])),
                ]
            )
    return _table(["", *(f"`{one}`" for one in targets), "mean", "mean, plain error"], rows)


def _off(carried: Iterable[Carry], name: str) -> list[float]:
    return [float(getattr(one, name)) for one in carried if one.source != one.target]


def _ceiling(carried: Iterable[Carry], name: str) -> list[float]:
    return [float(getattr(one, name)) for one in carried if one.source == one.target]


def _about(carried: Iterable[Carry], target: str) -> list[float]:
    return [one.at_cost for one in carried if one.target == target and one.source != target]


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))


def _points(value: float) -> str:
    """A share in points, such as 12.3; of below one point with two digits."""
    points = 100 * value
    shown = f"{points:.2f}" if abs(points) < 1 else f"{points:.1f}"
    return shown.replace("-", MINUS)


def described(one: Contrast) -> str:
    """A difference in words, with its interval and on how many targets it is so."""
    found = one.difference
    text = f"{_points(abs(found.mean))} points {'less' if found.mean >= 0 else 'more'} error on average"
    if found.low is not None and found.high is not None and found.p is not None:
        ends = [found.low, found.high] if found.mean < 0 else [found.high, found.low]
        low, high = (f"{_points(abs(end))} {'less' if end >= 0 else 'more'}" for end in ends)
        text += f" (95 % interval {low} to {high}; p = {found.p:.3f})"
    return f"{text}; less on {one.better} of {found.n} targets"


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}".replace("-", MINUS)


def _share(value: float) -> str:
    return f"{100 * value:.0f} %"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(head)} |", f"| --- | {' | '.join('---:' for _ in head[1:])} |"]
    return [*lines, *(f"| {' | '.join(row)} |" for row in rows)]
