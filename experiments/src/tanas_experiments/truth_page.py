"""What pages/simulated-searches.md says of the table of trainings: a section a question."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from tanas.ground.errors import StoreError
from tanas.ground.records import read_record
from tanas.reports.chart_data import wilson
from tanas_experiments.markdown import MINUS, effect, percent, provenance, table, verdict
from tanas_experiments.truth import TruthRecord, read_table, table_digest
from tanas_experiments.truth_analysis import (
    CHOSEN_ON,
    DUNCE,
    FARTHEST,
    NEAREST,
    RANDOM,
    TEACHER,
    Carry,
    Contrast,
    TruthAnalysis,
    contrast,
)
from tanas_experiments.truth_charts import REGRETS_PICTURE, SIZES_PICTURE

SHOWN_TRIES = (3, 10)
"""Of the ways that train on the target, in the tables."""
AIM_BEST, AIM_TAU = 0.75, 0.5
"""What alpha should reach: the best of three in three of four triples, and a tau of a half."""
GIVEN = {
    "plain": "nothing",
    "at_size": "the parameters",
    "at_cost": "parameters and multiply-adds",
}
"""What a rank correlation is given, by the field of `Carry`."""
TO_MEASURE = "Not measured yet: `python -m tanas_experiments.run.truth"

Way = tuple[str, str, int]
"""(way, source, tries) of a simulated search."""


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
    parts = [
        *_unfinished(analysis),
        *_memory(record, analysis, folder),
        *_rivals(analysis),
        *_choices(analysis, folder),
        *_carries(record, analysis),
        *_trends(analysis),
        *_nearness(record, analysis),
        *_alpha(record, analysis),
        *_made(record, analysis),
    ]
    return "\n\n".join(parts) + "\n"


def _unfinished(analysis: TruthAnalysis) -> list[str]:
    if analysis.rows >= analysis.trainings:
        return []
    return [f"**The table is not full**: {analysis.rows:,} of {analysis.trainings:,} trainings."]


def _made(record: TruthRecord, analysis: TruthAnalysis) -> list[str]:
    config = record.config
    left = analysis.incomplete + analysis.diverged
    lines = [
        f"n = {analysis.architectures} architectures of the space `{config.space}` on {len(record.targets)} targets, "
        f"seeds {' and '.join(map(str, config.seeds))}.",
        f"They were drawn once (seed {config.draw_seed}), equally many from each of {config.bins} bins of the "
        f"logarithm of the parameters, from {config.least_parameters:,} to {config.most_parameters:,}.",
        *(
            [
                f"{left} architectures are left out: a training is missing ({analysis.incomplete}) or diverged "
                f"({analysis.diverged})."
            ]
            if left
            else []
        ),
        f"A training has {config.epochs} epochs, or as many as give {config.least_steps} steps, on at most "
        f"{config.images:,} images.",
        "A choice sees the validation figures of one training. It is judged by test errors of other trainings.",
        "Errors are balanced errors, the mean over the classes, in points.",
        f"{analysis.hours:.1f} hours of one core. "
        + provenance(
            record.command, {"processor": record.hardware["processor"]}, record.versions
        ).removesuffix(".")
        + "; then `--distances`, `--triples` and `--analyse`.",
    ]
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
    head = ["", "target", "name", "pixels", "classes", "train / validation / test", "epochs"]
    return ["## How was the table made?", "\n".join(f"- {line}" for line in lines), table(head, rows, text=3)]


def _choices(analysis: TruthAnalysis, folder: str | None) -> list[str]:
    found = analysis.choices
    gains = {one.target: one.median - one.best for one in found}
    at_size = [one.gain_at_size for one in found]
    sizes = [one.size for one in found if one.size is not None]
    most, least = max(gains, key=gains.__getitem__), min(gains, key=gains.__getitem__)
    rows = [
        [
            one.target,
            _points(one.median),
            _points(one.best),
            _points(one.spread),
            _points(one.noise),
            _or_dash(one.size),
            _points(one.gain_at_size),
        ]
        for one in found
    ]
    head = ["target", "median", "best", "sd between architectures", "sd between seeds"]
    head += ["rank correlation with parameters", "best against median at equal size"]
    correlated = (
        f" Rank correlation of error with parameters: {_or_dash(min(sizes))} to {_or_dash(max(sizes))}."
        if sizes
        else ""
    )
    picture = [
        f"![Balanced test error against parameters, by target]({folder}{SIZES_PICTURE}.svg)",
        "A dot is an architecture, the mean over its seeds; the thin line spans them. Orange joins the medians of "
        f"{min(analysis.config.bins, analysis.architectures // 2)} bins of like size. Sizes are geometric means over "
        "the targets, whose heads differ.",
    ]
    return [
        "## How much do the choices matter?",
        f"**The best architecture is {_points(gains[least])} ({least}) to {_points(gains[most])} ({most}) points "
        f"better than the median.** Among {analysis.config.bins} bins of like size it is {_points(min(at_size))} to "
        f"{_points(max(at_size))} points better.{correlated}",
        table(head, rows),
        *(picture if folder is not None else []),
        "*Best*: chosen by one seed, measured by the other, so luck is not counted. *sd between architectures* leaves "
        "out what the seeds alone bring.",
    ]


def _carries(record: TruthRecord, analysis: TruthAnalysis) -> list[str]:
    targets = [one.id for one in record.targets]
    by = {name: (_off(analysis.carries, name), _ceiling(analysis.carries, name)) for name in GIVEN}
    odd = min(targets, key=lambda target: _mean(_about(analysis.carries, target)))
    even = max(targets, key=lambda target: _mean(_about(analysis.carries, target)))
    pairs = {(one.source, one.target): one.plain for one in analysis.carries}
    matrix = [
        [f"`{a}`", *(f"*{pairs[a, b]:.2f}*" if a == b else _or_dash(pairs[a, b]) for b in targets)]
        for a in targets
    ]
    rows = [
        [
            GIVEN[name],
            f"{_mean(off):.2f}",
            f"{_or_dash(min(off))} to {_or_dash(max(off))}",
            f"{_mean(ceiling):.2f}",
        ]
        for name, (off, ceiling) in by.items()
    ]
    plain, cost = by["plain"], by["at_cost"]
    return [
        "## Do ranks carry from task to task?",
        f"**Ranks agree with Spearman {_mean(plain[0]):.2f} between two targets, {_mean(plain[1]):.2f} between two "
        f"seeds of one target.** Given parameters and multiply-adds it is {_mean(cost[0]):.2f} and "
        f"{_mean(cost[1]):.2f}.",
        table(["given", "between two targets, mean", "range", "between two seeds"], rows),
        f"Given parameters and multiply-adds, `{odd}` agrees least with the others "
        f"({_mean(_about(analysis.carries, odd)):.2f}) and `{even}` most "
        f"({_mean(_about(analysis.carries, even)):.2f}). With n = {analysis.architectures} a correlation near 0 has a "
        f"standard error of {1 / np.sqrt(max(analysis.architectures - 1, 1)):.2f}.",
        table(["given nothing", *(f"`{one}`" for one in targets)], matrix),
        "On the diagonal: between two seeds, the ceiling.",
    ]


def _trends(analysis: TruthAnalysis) -> list[str]:
    """What sizes tell; nothing for an older analysis."""
    if not analysis.trends:
        return []
    sizes, trained = ([getattr(one, name) for one in analysis.trends] for name in ("size", "training"))
    return [
        "## What does size alone tell of an architecture?",
        f"**Nearly as much as a training: Spearman {_mean(sizes):.2f} with the test error by size, "
        f"{_mean(trained):.2f} by a training with another seed.**"
        if _mean(trained) - _mean(sizes) < 0.05
        else f"**Spearman with the test error: {_mean(sizes):.2f} by size, {_mean(trained):.2f} by a training with "
        "another seed.**",
        table(
            ["", *(f"`{one.target}`" for one in analysis.trends)],
            [
                ["by size", *(f"{value:.2f}" for value in sizes)],
                ["by a training", *(f"{value:.2f}" for value in trained)],
            ],
        ),
        "Size is three numbers: parameters, multiply-adds and the first width. The trend is learnt from the other "
        "targets' trainings of the other architectures. It is the size trend of a prior "
        "([inheritance](../../docs/inheritance.md)). Its numbers and its strength were chosen on "
        f"{' and '.join(f'`{target}`' for target in CHOSEN_ON)}.",
    ]


def _nearness(record: TruthRecord, analysis: TruthAnalysis) -> list[str]:
    heading = "## Do small distances mean that ranks carry better?"
    if not analysis.nearness or record.distances is None:
        return [heading, f"{TO_MEASURE} --distances`."]
    clear = [one for one in analysis.nearness if one.p < 0.05 and one.mean > 0]
    said = "Yes" if len(clear) == len(analysis.nearness) else "In part" if clear else "Not shown"
    first = analysis.nearness[0]
    within = {one.measure: dict(one.within) for one in analysis.nearness}
    targets = [one.id for one in record.targets]
    return [
        heading,
        f"**{said}: nearness by `{record.distances.method}` correlates with the agreement of ranks by "
        f"{_or_dash(first.mean)} (p = {first.p:.3f}, n = {first.pairs} pairs).**",
        table(
            ["given", "mean", "p", *(f"`{one}`" for one in targets)],
            [
                [
                    GIVEN[one.measure],
                    _or_dash(one.mean),
                    f"{one.p:.3f}",
                    *(_or_dash(within[one.measure].get(target)) for target in targets),
                ]
                for one in analysis.nearness
            ],
        ),
        f"Spearman within a target, over its sources. p is one-sided, by {analysis.config.permutations:,} random "
        "orders of the sources.",
    ]


def _memory(record: TruthRecord, analysis: TruthAnalysis, folder: str | None) -> list[str]:
    config, found = analysis.config, analysis.regrets
    none, drawn, near = ("random", "", 3), ("prior", RANDOM, 3), ("prior", NEAREST, 3)
    comparisons: list[tuple[str, Way, str, Way]] = [
        ("prior of drawn tasks, 3 trained", drawn, "no memory, 3 trained", none),
        ("prior of drawn tasks, 10 trained", ("prior", RANDOM, 10), "no memory, 10", ("random", "", 10)),
        ("prior of drawn tasks, 3 trained", drawn, "no memory, 10", ("random", "", 10)),
        ("prior of the nearest, 3 trained", near, "of the farthest", ("prior", FARTHEST, 3)),
        (
            "prior of the nearest, 10 trained",
            ("prior", NEAREST, 10),
            "of the farthest",
            ("prior", FARTHEST, 10),
        ),
        ("prior of drawn tasks, 3 trained", drawn, "the 3 largest", ("largest", "", 3)),
        ("transfer of a drawn task's best", ("transfer", RANDOM, 0), "no memory, 3 trained", none),
        (
            "transfer of the nearest's best",
            ("transfer", NEAREST, 0),
            "of the farthest's",
            ("transfer", FARTHEST, 0),
        ),
        (
            "transfer of the nearest's best",
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
    ]
    fresh = [one for one in found if one.target not in CHOSEN_ON]
    rows = []
    for ours, first, theirs, second in comparisons:
        if (all_of_it := contrast(found, first, second)) is not None:
            unseen = contrast(fresh, first, second) if len(fresh) < len(found) else None
            rows.append(
                [
                    ours,
                    theirs,
                    verdict(all_of_it.difference),
                    effect(all_of_it.difference),
                    f"{all_of_it.better} of {all_of_it.difference.n}",
                    "" if unseen is None else effect(unseen.difference),
                ]
            )
    said = [
        f"**{verdict(held.difference)}, {what}**: {described(held)}."
        for what, first, second in (
            ("a memory helps", drawn, none),
            ("near tasks help more than far ones", near, ("prior", FARTHEST, 3)),
        )
        if (held := contrast(found, first, second)) is not None
    ]
    without = (
        []
        if record.distances
        else ["The distances are not measured yet, so nearest and farthest are not among the rows."]
    )
    unseen_head = f"without {' and '.join(f'`{target}`' for target in CHOSEN_ON)}"
    picture = [
        f"![Regret by way of choosing]({folder}{REGRETS_PICTURE}.svg)",
        "Mean regret over the targets (large dots and numbers) with its 95 % bootstrap interval; a pale dot is a "
        "target. Blue learns from the nearest tasks, grey from drawn ones, orange from the farthest.",
    ]
    return [
        "## What do `transfer` and `prior` buy, and does nearness?",
        *([" ".join(said)] if said else []),
        *without,
        *(
            [table(["first", "second", "better?", "points", "on targets", unseen_head], rows, text=2)]
            if rows
            else []
        ),
        f"An effect is the first way's regret minus the second's. On {' and '.join(f'`{t}`' for t in CHOSEN_ON)} "
        "constants were chosen. The p is an exact sign-flip test over the targets.",
        *(picture if folder is not None else []),
        _regret_table(record, analysis),
        "Regret: balanced test error minus that of the best architecture in hindsight, in points, mean over the "
        f"targets and {config.draws} simulated searches of each.",
        "\n".join(
            f"- {line}"
            for line in (
                "The target is never in the memory. The memory holds "
                f"{min(config.known, analysis.architectures)} architectures of each task, drawn anew each time.",
                f"A prior is learnt from the best {config.scored} of them, its size trend from all. It draws "
                "architectures that the memory does not hold.",
                f"*Drawn*: from another task at random. *{TEACHER}* and *{DUNCE}*: the tasks whose ranks agree most "
                "and least with the target's, known in hindsight only.",
                f"A standard error over the draws is at most {_points(max(one.balanced_se for one in found))} points.",
            )
        ),
    ]


def _regret_table(record: TruthRecord, analysis: TruthAnalysis) -> str:
    """Every way of choosing, its regret and its plain error's regret over all targets."""
    several = analysis.config.neighbours
    near = {NEAREST: "nearest", RANDOM: "drawn", FARTHEST: "farthest"}
    single = {**near, TEACHER: TEACHER, DUNCE: DUNCE}
    ways: list[tuple[str, Way]] = [("random, 1 trained", ("random", "", 1))]
    ways += [(f"random, best of {k}", ("random", "", k)) for k in SHOWN_TRIES]
    ways += [(f"transfer, {name}", ("transfer", source, 0)) for source, name in single.items()]
    ways += [
        (f"transfer of {several}, {name}", (f"transfer of {several}", source, 0))
        for source, name in near.items()
    ]
    ways.append(("transfer of all", ("transfer of all", "", 0)))
    ways += [(f"the 3 best of one task, {name}", ("warm", source, 3)) for source, name in single.items()]
    ways += [
        (f"prior of {several}, {name}, best of {k}", ("prior", source, k))
        for k in SHOWN_TRIES
        for source, name in near.items()
    ]
    by_way = {(one.way, one.source, one.tries, one.target): one for one in analysis.regrets}
    targets = [one.id for one in record.targets]
    rows = []
    for shown, way in ways:
        here = [by_way[*way, target] for target in targets if (*way, target) in by_way]
        if len(here) == len(targets):
            figures = ([one.balanced for one in here], [one.error for one in here])
            rows.append([shown, *(_points(_mean(values)) for values in figures)])
    return table(["way of choosing", "regret", "regret in plain error"], rows)


def _rivals(analysis: TruthAnalysis) -> list[str]:
    found = analysis.regrets
    tries = [k for k in analysis.config.tries if any(one.tries == k for one in found)]
    by_way: dict[tuple[str, int], list[float]] = {}
    for one in found:
        by_way.setdefault((one.way, one.tries), []).append(one.balanced)
    ways = ("random", "predictor", "largest", "most multiply-adds")
    rows = [
        [way, *(_points(_mean(by_way[way, k])) if (way, k) in by_way else "" for k in (0, *tries))]
        for way in ways
    ]
    said = [
        f"- {verdict(held.difference)}, {way} with {k} trained: {described(held)}."
        for k in SHOWN_TRIES
        for way in ("predictor", "largest")
        if (held := contrast(found, (way, "", k), ("random", "", k))) is not None
    ]
    return [
        "## Are rivals that only ask for accuracies better than random search?",
        *(["\n".join(said)] if said else []),
        table(["architectures trained", *(str(k) for k in (0, *tries))], rows),
        "Mean regret over the targets. *Largest* trains the architectures with the most parameters and takes the best. "
        "Evolution and successive halving cannot be simulated: the table lacks what they would ask for.",
    ]


def _alpha(record: TruthRecord, analysis: TruthAnalysis) -> list[str]:
    heading = "## Does alpha rank?"
    if not analysis.alpha or record.triples is None:
        return [heading, f"{TO_MEASURE} --triples 120`."]
    whole = analysis.alpha[-1]
    clear = whole.triples - whole.within_noise
    rows = [
        [
            one.target or "all",
            f"{one.triples - one.within_noise} ({one.within_noise})",
            percent(one.alpha_best),
            percent(one.separate_best),
            _or_dash(one.alpha_tau),
            _or_dash(one.separate_tau),
            _points(one.alpha_miss),
            _points(one.separate_miss),
            _points(one.random_miss),
        ]
        for one in analysis.alpha
    ]
    head = [
        "target",
        "triples (within noise)",
        "alpha: best",
        "separate: best",
        "alpha: tau",
        "separate: tau",
    ]
    head += ["alpha misses by", "separate misses by", "one at random misses by"]
    low, high = wilson(round(clear * whole.alpha_best), clear)
    met = whole.alpha_best >= AIM_BEST and whole.alpha_tau >= AIM_TAU
    schedule = record.triples.schedule
    own = f", own loss {schedule['own_loss']:g}" if schedule.get("own_loss") else ""
    return [
        heading,
        f"**arg max alpha is the best of three in {percent(whole.alpha_best)} of {clear} triples (95 % CI "
        f"{percent(low)} to {percent(high)}); chance is 33 %.** Separate trainings of the same cost: "
        f"{percent(whole.separate_best)}. The aim, {percent(AIM_BEST)} and a tau of {AIM_TAU}, is "
        f"{'met' if met else 'missed'}.",
        table(head, rows),
        f"A triple is within noise if the best is not {analysis.config.noise:g} standard errors better than the "
        "second. Such triples are left out of shares and tau, not of the misses (points). The truth is the mean "
        "test error of the table.",
        f"Only one of the two chose the best: alpha {whole.wins} times, separate trainings {whole.losses} times. "
        f"Multiply-adds of a triple: {whole.alpha_macs:.2e} and {whole.separate_macs:.2e}. Schedule: "
        f"`{schedule['kind']}`, {schedule['training']['epochs']} epochs{own}. Triples share architectures, so the "
        "interval is too narrow.",
        *([] if clear else ["No triple differs beyond noise, so the shares say nothing yet."]),
    ]


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
    """A difference with its interval, and on how many targets it is so."""
    return f"{effect(one.difference, 'points of error')}; less on {one.better} of {one.difference.n} targets"


def _or_dash(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}".replace("-", MINUS)
