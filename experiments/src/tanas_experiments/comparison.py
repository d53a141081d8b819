"""What pages/which-distance.md says of the records of the benchmarks that compare distances."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tanas_experiments.markdown import percent, provenance, table

Record = Mapping[str, Any]
"""A record of a benchmark, as JSON holds it."""

STABLE = 0.9
"""Spearman between two seeds that a method's distances are to reach."""
AGREES, SAME_NEAREST = 0.95, "9 of 10"
"""Spearman with the exact method, and targets with the same nearest task, that the default is to reach at an eighth."""
DEFAULT = "linear"
"""The method that the experiments measure by."""
GATE = "balanced head, area, B's own - 0.01"
"""The gate of tanas, as the record names it."""
SHOWN_GATES = 8
"""The steadiest of the record, in the page's table."""
EPOCHS = "this / plain recipe's epoch"
"""A figure of the record, which is a column too."""
MANY = 1000
"""From here on a ratio is written out."""


def which_page(agreement: Record, stability: Record, speed: Record, transfer: Record) -> str:
    """The answers of all four records, a table."""
    default, ratio = speed["default"], speed["methods"][speed["default"]]["exact / this"]
    steady = stability["methods"][default]["spearman mean"]
    eighth = {name: row for name, row in agreement["eighth"].items() if name != "exact"}
    best = max(eighth, key=lambda name: _known(eighth[name]["with exact"]["spearman"]))
    cost = speed["methods"][best]["cpu_s"] / speed["methods"][default]["cpu_s"]
    mean = agreement["eighth, mean of exact"]
    same = max(
        (row["same nearest"] for row in mean["methods"].values() if row["same nearest"] != "-"), key=_first
    )
    seeds = [row["same nearest"] for row in mean["each seed with the others"]]
    ahead = {
        kind: max(
            (name for name, row in transfer["table"].items() if " " not in name and row[kind].get("tau")),
            key=lambda name: _known(_mean_of(transfer["table"][name][kind], "tau")),
        )
        for kind in ("frozen", "fine_tuned")
    }
    rows = [
        [
            "Which form of the paper's distance is cheap and stable?",
            f"`{default}`: {ratio:.0f} times cheaper than `exact`; Spearman {steady:.2f} between seeds of the "
            "representatives.",
        ],
        [
            "Which agrees best with `exact`?",
            f"`{best}`: Spearman {_number(eighth[best]['with exact']['spearman'])}, `{default}` "
            f"{_number(eighth[default]['with exact']['spearman'])}. It costs {cost:.0f} times as much as `{default}`.",
        ],
        [
            f"Does any name the same nearest task as `exact` for {SAME_NEAREST}?",
            f"{'Yes' if _first(same) >= _first(SAME_NEAREST) else 'No'}: at most {same}. Another seed of `exact`: "
            f"{min(seeds, key=_first)} to {max(seeds, key=_first)}.",
        ],
        [
            "Which predicts best what a source is worth?",
            " ".join(
                f"{what}: `{ahead[kind]}`, tau {transfer['table'][ahead[kind]][kind]['tau']['mean']:.2f} (`{default}` "
                f"{transfer['table'][default][kind]['tau']['mean']:.2f})."
                for kind, what in (("fine_tuned", "Fine-tuned"), ("frozen", "Frozen"))
            ),
        ],
    ]
    return table(["question", "answer"], rows, text=2) + "\n"


def _first(count: str) -> int:
    """The 9 of '9 of 10'."""
    return int(count.split(" ")[0])


def agreement_page(record: Record) -> str:
    """What `run/agreement.py` measured: each method beside the exact one, and the gate."""
    parts = ["## Which method agrees with `exact`?"]
    if mean := record.get("eighth, mean of exact"):
        parts += _mean_of_exact(mean)
    for part, what in (
        ("eighth", "### At an eighth of the hidden widths"),
        ("paper", "### At the paper's widths"),
    ):
        if measured := record[part]:
            others = record.get(f"{part}, other targets")  # older records have none
            parts += [what, _agreement(measured, part, others)]
    parts += [
        "With the exact method's first seed, and between two seeds of each method's own. An eighth: all pairs of the "
        "ten base tasks. The paper's widths: three targets from nine sources, 2,000 fit rows.",
    ]
    if record.get("eighth, other targets"):
        parts.append("Behind the stroke: without the development targets, on which the gate was chosen.")
    if gate := record["gate"]:
        parts += _gate(gate)
    parts.append(f"Seeds of the maps {', '.join(map(str, record['seeds']))}. {_made(record)}")
    return "\n\n".join(parts) + "\n"


def _gate(gate: Record) -> list[str]:
    """The steadiest gates, and that of tanas."""
    ordered: list[Record] = sorted(gate["rows"], key=lambda row: -(row["spearman between seeds"] or -1))
    own = next((row for row in ordered if row["gate"] == GATE), None)
    shown = ordered[:SHOWN_GATES] + ([own] if own is not None and own not in ordered[:SHOWN_GATES] else [])
    rows = [
        [
            f"**{row['gate']}**" if row is own else row["gate"],
            percent(row["share at 1"]),
            percent(row["share at the least"]),
            _number(row["spearman between seeds"]),
            " / ".join(_number(value) for value in row["the same within targets"]),
            _number(row["spearman with linear"]),
        ]
        for row in shown
    ]
    head = ["gate", "at 1", "at the least", "between seeds", "within targets", "`linear` with exact"]
    said = (
        []
        if own is None
        else [
            f"**The gate of `linear`, {GATE}, agrees between two seeds by {_number(own['spearman between seeds'])}, "
            f"place {ordered.index(own) + 1} of {len(ordered)} (n = {gate['pairs']} pairs).**"
        ]
    )
    return [
        "## Which gate is used, and why?",
        *said,
        table(head, rows),
        "The gate is the performance that a transform network has to keep; the paper leaves it open. A head that reads "
        "the classes is frozen, or refitted (balanced, or by frequency: accuracy). The measure is compared with the "
        "target's own (B's own), with 1, or with the unpruned network's, minus a slack.",
        "An accuracy head with a slack was not taken. With one positive in ten a constant answer has an accuracy of "
        "0.9, so the slack would mean something else for each task.",
        f"Development targets: {' and '.join(f'`{target}`' for target in gate['targets'])}, at an eighth of the hidden "
        f"widths. The {len(shown)} shown are the steadiest and that of `linear`. 'At 1' and 'at the least': shares of "
        "pairs at either end, where only the tie-break decides.",
    ]


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
        *([_asked_of_agreement(found)] if DEFAULT in found["methods"] else []),
        table(head, rows),
        f"{found['pairs']} pairs; the truth is the mean over {seeds} seeds of `exact`. 'Nearest of a seed': targets "
        "whose nearest source is that of at least one of these seeds. 'A number a target': the mean of `linear`'s "
        "distances to it, blind to sources. Many sources are equally near, so read 'within a target' first.",
    ]


def _asked_of_agreement(found: Record) -> str:
    """What was asked of the default at an eighth of the widths, beside what it and the exact method itself reach."""
    own, exact = found["methods"][DEFAULT], found["each seed with the others"]
    least, best = (choose(one["spearman"] for one in exact) for choose in (min, max))
    met = own["spearman"] >= AGREES and _first(own["same nearest"]) >= _first(SAME_NEAREST)
    return (
        f"**`{DEFAULT}` reaches a Spearman of {own['spearman']:.3f} and the same nearest task for "
        f"{own['same nearest']}.** Asked were {AGREES:g} and {SAME_NEAREST}: {'met' if met else 'not met'}. A seed of "
        f"`exact` itself reaches {least:.3f} to {best:.3f} and {', '.join(one['same nearest'] for one in exact)}."
    )


def _agreement(measured: Mapping[str, Record], part: str, others: Mapping[str, Record] | None) -> str:
    rows = []
    for name, row in measured.items():
        called = "transform" if part == "paper" else "transform (here as narrow as `narrow`)"
        figures = [_figures(name, row)] + ([_figures(name, others[name])] if others else [])
        rows.append(
            [
                f"`{name}`" if name != "transform" else called.replace("transform", "`transform`", 1),
                *("-" if set(cell) == {"-"} else " / ".join(cell) for cell in zip(*figures, strict=True)),
                f"{row['cpu_s mean']:.3g}",
            ]
        )
    head = [
        "method",
        "Spearman with exact",
        "mean within a target",
        "same nearest",
        "between seeds",
        "CPU-s a pair (mean)",
    ]
    text = table(head, rows)
    crossed = measured.get("transform", {}).get("another seed with exact")
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
    rows = []
    for name, row in sorted(record["methods"].items(), key=lambda entry: -(entry[1]["spearman mean"] or -2)):
        least = row["spearman least"]
        reached = "-" if least is None else "yes" if least >= STABLE else "no"
        nearest = "-" if row["same nearest"] is None else percent(row["same nearest"])
        keys = ("spearman mean", "spearman least", "within")
        figures = ("-" if row[key] is None else f"{row[key]:.3f}" for key in keys)
        rows.append([f"`{name}`", *figures, nearest, reached, str(len(row["seeds"]))])
    head = ["method", "Spearman", "least", "within a target", "same nearest", f"at least {STABLE:g}", "seeds"]
    enough = [name for name, row in record["methods"].items() if (row["spearman least"] or -1) >= STABLE]
    own = record["methods"].get(DEFAULT)
    named = "" if own is None else f", `{DEFAULT}` {own['spearman mean']:.3f}"
    parts = [
        "## Does another seed of the representatives give the same distances?",
        f"**{len(enough)} of {len(rows)} methods reach {STABLE:g} between seeds{named}.**",
        table(head, rows),
        f"Spearman of two seeds' distances over all {record['n']['pairs']} pairs of the {record['n']['tasks']} base "
        "tasks, mean and least. 'Same nearest': targets with the same nearest source. `task2vec` depends on the images "
        "only. `exact` was measured at an eighth of the hidden widths.",
        f"Representatives of `{record['run']}`, seeds {', '.join(map(str, record['seeds']))}. {_made(record)}",
    ]
    return "\n\n".join(parts) + "\n"


def speed_page(record: Record) -> str:
    """What `run/distance.py` measured: a pair by each method, the default's matrix, and its memory."""
    plain, goals, default = record["plain recipe"], record["goals"], record["default"]
    own, memory = record["methods"][default], record.get("memory")  # older records have no memory of a method
    parts = [
        "## What does a pair cost?",
        f"**`{default}` takes {own['cpu_s']:.2g} CPU seconds, {own['exact / this']:,.0f} times less than `exact`.**",
    ]
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
    parts.append(table(head, rows))
    parts += [
        f"One pair alone, {record['pair']}; medians. In brackets: what the method needs beside features. Not included: "
        "the representatives, the untrained network, intervals.",
        f"An epoch of the plain recipe takes {plain['epoch_s']:.3g} s ({plain['epoch']}), a pair by it about "
        f"{plain['pair_s']:,.0f} s ({plain['pair']}).",
    ]
    if memory:
        parts.append(
            "Peak memory is of a process that loads the pair and measures it once; one that only loads it takes "
            f"{memory['loaded']:.3g} GB (`{memory['command']}`)."
        )
    target, matrix = record["target"], record["matrix"]
    ratio, peak_gb = own["exact / this"], max(target["peak_gb"], matrix["peak_gb"])
    goal_matrix, goal_target = goals["ten by ten matrix, s"], goals["a new target against ten atoms, s"]
    goal_ratio, goal_memory = goals["exact a pair / default a pair, at least"], goals["peak memory, GB"]
    reached = [
        (f"ten by ten matrix, {matrix['pairs']} pairs", matrix["cpu_s"], " CPU-s", goal_matrix, False),
        (f"a new target against {target['pairs']} atoms", target["cpu_s"], " CPU-s", goal_target, False),
        ("`exact` / default, a pair", ratio, "", goal_ratio, True),
        ("peak memory", peak_gb, " GB", goal_memory, False),
    ]
    figures = [
        [
            what,
            f"{value:.3g}{unit}",
            f"{'at least' if more else 'under'} {goal:g}{unit.replace('CPU-', '')}",
            "yes" if (value >= goal if more else value < goal) else "no",
        ]
        for what, value, unit, goal, more in reached
    ]
    parts += [
        f"### Does `{default}` reach what was asked?",
        f"**{sum(row[-1] == 'yes' for row in figures)} of {len(figures)} goals are reached.**",
        table(["what", "measured", "asked", "reached"], figures),
        f"With features computed. By the clock the matrix took {matrix['wall_s']:.0f} s and the target "
        f"{target['wall_s']:.0f} s. Work that all sources of a target share is done once.",
        f"Rounds: {record['n']['methods']}, of `exact` {record['n']['exact']}. {_made(record)}",
    ]
    return "\n\n".join(parts) + "\n"


def transfer_page(record: Record) -> str:
    """What `run/transfer.py` measured: how well each method foretells the worth of a source."""
    n = record["n"]
    parts = ["## Does a distance foretell what a source is worth?", *_foretold(record["table"])]
    for kind, title in (("fine_tuned", "Fine-tuned"), ("frozen", "Frozen features")):
        parts += [f"### {title}", _transfer_table(record["table"], kind)]
    parts += [
        f"{n['targets']} targets from {n['sources']} sources, {n['columns measured']} of {n['columns in all']} "
        "columns. The worth of a source is l on test images. A head is fitted to its frozen features, or the whole "
        f"network is fine-tuned, on {n['labelled images']} labelled images; means over {n['few-label draws']} draws.",
        "tau: the weighted Kendall correlation of a method's order with the worth, 1 at best. regret@k: what the best "
        "of its first k loses in l. Intervals (90 %) are over targets. 'Against': the difference of tau in the same "
        "columns; a rival is beaten where the interval is above 0.",
        "A method with fewer columns is measured with the first seed only, or refuses some pairs. Two constants of "
        "`knn` were chosen on two similar tasks, which favours it slightly. The sources differ "
        "more than the ten base tasks.",
        f"Seeds {', '.join(map(str, record['seeds']))}. {_made(record)}",
    ]
    return "\n\n".join(parts) + "\n"


def _foretold(measured: Mapping[str, Record]) -> list[str]:
    """Whether the default beats a fixed order and nearest neighbours, and which method does best; a line a kind."""
    lines = []
    for kind, title in (("fine_tuned", "Fine-tuned"), ("frozen", "Frozen features")):
        against = measured.get(DEFAULT, {}).get(kind, {}).get("against", {})
        beaten = {
            rival: found["tau"]["interval"][0] > 0
            for rival, found in against.items()
            if found.get("tau") and found["tau"]["interval"][0] is not None
        }
        methods = [name for name in measured if " " not in name and measured[name][kind].get("tau")]
        if not methods or not beaten:
            continue
        best = max(methods, key=lambda name: _known(_mean_of(measured[name][kind], "tau")))
        won = " and ".join(
            f"`{name}`" if " " not in name else f"the {name}" for name, yes in beaten.items() if yes
        )
        lines.append(
            f"- **{title}: `{DEFAULT}` beats {won or 'no rival'}; the best is `{best}`**, tau "
            f"{_with_interval(measured[best][kind], 'tau')}."
        )
    return ["\n".join(lines)] if lines else []


def _transfer_table(measured: Mapping[str, Record], kind: str) -> str:
    """Every order by one kind of worth, the best first."""
    rows = []
    for name, row in sorted(measured.items(), key=lambda entry: -_known(_mean_of(entry[1][kind], "tau"))):
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
    return table(head, rows)


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


def _made(record: Record) -> str:
    return provenance(record["command"], record["hardware"], record["versions"])


def _known(correlation: float | None) -> float:
    """A correlation to sort by; what is not known comes last."""
    return -2.0 if correlation is None else correlation


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
