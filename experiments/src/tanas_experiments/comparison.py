"""Text for docs/ from the records of the benchmarks that compare distances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Record = Mapping[str, Any]
"""A record of a benchmark, as JSON holds it."""

STABLE = 0.9
"""Spearman between two seeds that a method's distances are to reach."""
AGREES, SAME_NEAREST = 0.95, "9 of 10"
"""Spearman with the exact method, and targets with the same nearest task, that the default is to reach at an eighth."""
DEFAULT = "linear"
"""The method that tanas measures by."""
EPOCHS = "this / plain recipe's epoch"
"""A figure of the record, which is a column too."""
MANY = 1000
"""From here on a ratio is written out."""


def agreement_page(record: Record) -> str:
    """What `run/agreement.py` measured: the gate, and each method beside the exact one."""
    parts = [_made(record, f"seeds of the maps {', '.join(map(str, record['seeds']))}")]
    gate = record["gate"]
    if gate:
        parts.append(
            f"**The gate**, on the development targets {' and '.join(f'`{t}`' for t in gate['targets'])} "
            f"({gate['pairs']} pairs, full iterative pruning at an eighth of the hidden widths). 'Between seeds' is "
            "Spearman's rank correlation of two seeds' distances, over all pairs and within each target; 'at 1' and "
            "'at the least' are the shares of pairs at either end, whose order only the tie-break decides."
        )
        rows = [
            [
                row["gate"],
                _share(row["share at 1"]),
                _share(row["share at the least"]),
                _number(row["spearman between seeds"]),
                " / ".join(_number(value) for value in row["the same within targets"]),
                _number(row["spearman with linear"]),
            ]
            for row in sorted(gate["rows"], key=lambda row: -(row["spearman between seeds"] or -1))
        ]
        head = ["gate", "at 1", "at the least", "between seeds", "within targets", "`linear` with exact"]
        parts.append(_table(head, rows))
    for part, what in (
        ("eighth", "**Agreement at an eighth of the hidden widths**, all pairs of the ten base tasks"),
        ("paper", "**Agreement at the paper's widths**, 2,000 fit rows, three targets from nine sources"),
    ):
        if table := record[part]:
            others = record.get(f"{part}, other targets")  # older records have none
            parts.append(
                f"{what}: with the exact method's first seed, and between two seeds of each method's own."
                + (
                    " Behind the stroke: without the development targets, on which the gate was chosen."
                    if others
                    else ""
                )
            )
            parts.append(_agreement(table, part, others))
        if part == "eighth" and (mean := record.get("eighth, mean of exact")):
            parts += _mean_of_exact(mean)
    return "\n\n".join(parts) + "\n"


def _mean_of_exact(found: Record) -> list[str]:
    """Each method beside the mean over the exact method's seeds, and each of these beside the others' mean."""
    seeds = len(found["seeds"])

    def row(name: str, figures: Record) -> list[str]:
        keys = ("spearman", "mean spearman within a target")
        return [
            name,
            *(_number(figures[key]) for key in keys),
            figures["same nearest"],
            figures["nearest of a seed"],
        ]

    methods = sorted(found["methods"].items(), key=lambda entry: -_known(entry[1]["spearman"]))
    rows = [
        *(
            row(f"`exact`, seed {seed} (with the others)", figures)
            for seed, figures in zip(found["seeds"], found["each seed with the others"], strict=True)
        ),
        *(row(name if " " in name else f"`{name}`", figures) for name, figures in methods),
    ]
    head = ["method", "Spearman", "mean within a target", "same nearest", "nearest of a seed"]
    return [
        f"The same {found['pairs']} pairs with the mean over {seeds} seeds of `exact` as the truth, in which less of "
        "its own noise is left. 'Nearest of a seed' counts the targets whose nearest source is that of at least one of "
        "these seeds. 'A number a target' puts the mean of `linear`'s distances to a target in the place of each: what "
        "it reaches is the targets' alone.",
        _table(head, rows),
        *([_asked_of_agreement(found)] if DEFAULT in found["methods"] else []),
    ]


def _asked_of_agreement(found: Record) -> str:
    """What was asked of the default at an eighth of the widths, beside what it and the exact method itself reach."""
    own = found["methods"][DEFAULT]
    exact = found["each seed with the others"]
    best = max(one["spearman"] for one in exact)
    return (
        f"Asked of the default were a Spearman correlation of {AGREES:g} with `exact` and the same nearest task for "
        f"{SAME_NEAREST}: `{DEFAULT}` reaches {own['spearman']:.3f} and {own['same nearest']}, a seed of `exact` "
        f"itself {min(one['spearman'] for one in exact):.3f} to {best:.3f} and "
        f"{', '.join(one['same nearest'] for one in exact)} with the mean of the others. All of it is with one seed of "
        "the representatives."
    )


def _agreement(table: Mapping[str, Record], part: str, others: Mapping[str, Record] | None) -> str:
    rows = []
    for name, row in table.items():
        called = "transform" if part == "paper" else "transform (here as narrow as `narrow`)"
        figures = [_figures(name, row)] + ([_figures(name, others[name])] if others else [])
        rows.append(
            [
                f"`{name}`" if name != "transform" else called.replace("transform", "`transform`", 1),
                *("-" if set(cell) == {"-"} else " / ".join(cell) for cell in zip(*figures, strict=True)),
                _share(row["share at 1"]),
                f"{row['cpu_s mean']:.3g}",
            ]
        )
    head = [
        "method",
        "Spearman with exact",
        "mean within a target",
        "same nearest",
        "between seeds",
        "at 1",
        "CPU-s a pair (mean)",
    ]
    text = _table(head, rows)
    crossed = table.get("transform", {}).get("another seed with exact")
    if crossed:
        text += (
            "\n\n`transform` and `exact` with the same seed share the dense fit. From another seed, `transform` "
            f"agrees with `exact` by {_number(crossed['spearman'])} (within a target "
            f"{_number(crossed['mean spearman within a target'])}, same nearest {crossed['same nearest']})."
        )
    return text


def _figures(name: str, row: Record) -> list[str]:
    """What a method's distances have in common with the exact ones, and with those of another seed."""
    with_exact, seeds = row["with exact"], row.get("between seeds")
    alike = ["-"] * 3
    if name != "exact" and with_exact is not None:
        inside = with_exact["mean spearman within a target"]
        alike = [_number(with_exact["spearman"]), _number(inside), with_exact["same nearest"]]
    return [*alike, f"{_number(seeds['spearman'])} ({seeds['pairs']} pairs)" if seeds else "-"]


def stability_page(record: Record) -> str:
    """What `run/stability.py` measured: each method's distances from other seeds of the representatives."""
    parts = [
        _made(record, f"seeds {', '.join(map(str, record['seeds']))} of the representatives"),
        f"All {record['n']['pairs']} pairs of the {record['n']['tasks']} base tasks between the representatives of "
        f"`{record['run']}`: each seed has weights of its own, and maps that are fitted start from it too. Spearman's "
        "rank correlation of two seeds' distances, over all pairs (mean and least of all two and two seeds), its mean "
        f"within a target, and the share of targets with the same nearest source. {STABLE:g} is asked for.",
    ]
    rows = []
    for name, row in sorted(record["methods"].items(), key=lambda entry: -(entry[1]["spearman mean"] or -2)):
        least = row["spearman least"]
        reached = "-" if least is None else "yes" if least >= STABLE else "no"
        nearest = "-" if row["same nearest"] is None else _share(row["same nearest"])
        keys = ("spearman mean", "spearman least", "within")
        figures = ("-" if row[key] is None else f"{row[key]:.3f}" for key in keys)
        rows.append([f"`{name}`", *figures, nearest, reached, str(len(row["seeds"]))])
    head = ["method", "Spearman", "least", "within a target", "same nearest", f"at least {STABLE:g}", "seeds"]
    parts.append(_table(head, rows))
    return "\n\n".join(parts) + "\n"


def speed_page(record: Record) -> str:
    """What `run/distance.py` measured: a pair by each method, the default's matrix, and its memory."""
    plain, goals, default = record["plain recipe"], record["goals"], record["default"]
    parts = [
        _made(record, f"rounds: {record['n']['methods']}, of `exact` {record['n']['exact']}"),
        f"One pair, {record['pair']}. CPU seconds, medians. An epoch of the plain recipe takes "
        f"{plain['epoch_s']:.3g} s ({plain['epoch']}), a pair by it some {plain['pair_s']:,.0f} s ({plain['pair']}). "
        "In brackets: what the method needs beside features.",
    ]
    memory = record.get("memory")  # older records have none of a method
    if memory:
        parts.append(
            "Peak memory is of a process that loads the pair and measures it once; one that only loads it takes "
            f"{memory['loaded']:.3g} GB. Measured by `{memory['command']}`."
        )
    rows = []
    for name, row in sorted(record["methods"].items(), key=lambda entry: -entry[1]["cpu_s"]):
        needs = row["needs_cpu_s"]
        peak = memory["methods"].get(name) if memory else None
        rows.append(
            [
                f"`{name}`",
                f"{row['cpu_s']:.3g}" + (f" (+ {needs:.3g})" if needs else ""),
                f"{row['exact / this']:,.3g}"
                if row["exact / this"] < MANY
                else f"{row['exact / this']:,.0f}",
                f"{row[EPOCHS]:.2g}",
                *([_number(peak)] if memory else []),
            ]
        )
    head = ["method", "CPU-s a pair", "`exact` / this", EPOCHS, *(["peak GB"] if memory else [])]
    parts.append(_table(head, rows))
    parts.append(f"The default, `{default}`, with features computed, beside what was to be reached:")
    target, matrix = record["target"], record["matrix"]
    ratio, memory = record["methods"][default]["exact / this"], max(target["peak_gb"], matrix["peak_gb"])
    goal_matrix, goal_target = goals["ten by ten matrix, s"], goals["a new target against ten atoms, s"]
    goal_ratio, goal_memory = goals["exact a pair / default a pair, at least"], goals["peak memory, GB"]
    reached = [
        (f"ten by ten matrix, {matrix['pairs']} pairs", matrix["cpu_s"], " CPU-s", goal_matrix, False),
        (f"a new target against {target['pairs']} atoms", target["cpu_s"], " CPU-s", goal_target, False),
        ("`exact` / default, a pair", ratio, "", goal_ratio, True),
        ("peak memory", memory, " GB", goal_memory, False),
    ]
    parts.append(
        _table(
            ["what", "measured", "asked", "reached"],
            [
                [
                    what,
                    f"{value:.3g}{unit}",
                    f"{'at least' if more else 'under'} {goal:g}{unit.replace('CPU-', '')}",
                    "yes" if (value >= goal if more else value < goal) else "no",
                ]
                for what, value, unit, goal, more in reached
            ],
        )
    )
    parts.append(
        f"By the clock the matrix took {matrix['wall_s']:.0f} s and the target {target['wall_s']:.0f} s."
    )
    return "\n\n".join(parts) + "\n"


def transfer_page(record: Record) -> str:
    """What `run/transfer.py` measured: how well each method foretells the worth of a source."""
    n = record["n"]
    parts = [
        _made(record, f"seeds {', '.join(map(str, record['seeds']))}"),
        f"{n['targets']} targets from {n['sources']} sources; the worth of a source is l on test images after a head "
        f"was fitted to its features on {n['labelled images']} labelled images (frozen), or the whole network on the "
        f"same images (fine-tuned); means over {n['few-label draws']} draws. {n['columns measured']} of "
        f"{n['columns in all']} columns are measured. tau is the weighted Kendall correlation of a method's order with "
        "the worth, 1 at best; regret@k is what is lost in l by the best of its first k. Intervals (90 %) are over "
        "draws of the targets. 'Against' is the difference of tau to nearest neighbours and to a static order in the "
        "same columns: a line is beaten where its interval is above 0. A method in fewer columns is measured with the "
        "first seed only, or refuses some pairs.",
    ]
    for kind, title in (("frozen", "Frozen features"), ("fine_tuned", "Fine-tuned")):
        parts.append(f"**{title}**\n\n{_transfer_table(record['table'], kind)}")
    return "\n\n".join(parts) + "\n"


def _transfer_table(table: Mapping[str, Record], kind: str) -> str:
    """Every order by one kind of worth, the best first."""
    rows = []
    for name, row in sorted(table.items(), key=lambda entry: -_known(_mean_of(entry[1][kind], "tau"))):
        figures, cost, needs = row[kind], row.get("cpu_s"), row.get("needs_cpu_s") or 0
        lines = figures.get("against", {})
        rows.append(
            [
                name if " " in name else f"`{name}`",
                _with_interval(figures, "tau"),
                *(_with_interval(lines.get(line, {}), "tau") for line in ("knn", "static order")),
                *(_with_interval(figures, key) for key in ("regret@1", "regret@3")),
                "-" if cost is None else f"{cost + needs:.2g}",
                str(figures.get("columns", 0)),
            ]
        )
    head = [
        "order",
        "tau",
        "against k-NN",
        "against static",
        "regret@1",
        "regret@3",
        "CPU-s a pair",
        "columns",
    ]
    return _table(head, rows)


def _mean_of(figures: Record, key: str) -> float | None:
    found = figures.get(key)
    return None if found is None else found["mean"]


def _with_interval(figures: Record, key: str) -> str:
    found = figures.get(key)
    if found is None or found["mean"] is None:
        return "-"
    low, high = found["interval"]
    ends = "" if low is None or high is None else f" [{low:.2f}, {high:.2f}]"
    return f"{found['mean']:.3f}{ends}"


def _made(record: Record, seeds: str) -> str:
    hardware = record["hardware"]
    libraries = ", ".join(f"{name} {version}" for name, version in record["versions"].items())
    return (
        f"{seeds[0].upper()}{seeds[1:]}; {hardware['cores']} cores ({hardware['processor']}), figures of one thread; "
        f"{libraries}. Remade by `{record['command']}`."
    )


def _known(correlation: float | None) -> float:
    """A correlation to sort by; what is not known comes last."""
    return -2.0 if correlation is None else correlation


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"


def _share(value: float) -> str:
    return f"{value:.0%}"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of Markdown; all but the first column are flushed right."""
    lines = [head, ["---", *("---:" for _ in head[1:])], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
