"""The paper's experiment at laptop scale, as the README shows it: what `benchmarks/moon.py` measured."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

from tanas.errors import SettingError
from tanas.evidence.comparison import Record
from tanas.evidence.paired import spread

TARGETS = {
    "quickdraw:is=moon": "`quickdraw:is=moon`",
    "one_style:is=moon": "moon among nine categories of one style",
}
"""What a target of the record is called."""
NETWORKS = {
    "resnet18": "ResNet-18",
    "resnet18-small": "ResNet-18 with a stem for small images",
}
"""What a network beside ours is called."""


def moon_page(record: Record) -> str:
    """The part of the README, Markdown: a table of what was found, and a sentence for each network beside it."""
    made = ", ".join(
        f"{name} {version}" for name, version in record["versions"].items() if name in ("python", "torch")
    )
    head = (
        f"What came of it (n = {record['n']} seeds, each with a dictionary of its own; mean ± standard deviation; "
        f"{record['hardware']['cores']} cores of an {record['hardware']['processor']} shared with other work, no GPU; "
        f"{made}; `python benchmarks/moon.py --out WORK`):"
    )
    columns = (
        "target",
        "test images",
        "error of the found network",
        "balanced error",
        "its parameters",
        "logistic regression",
        "constant answer",
    )
    rows = [_row(name, _searches(record, name)) for name in TARGETS if _searches(record, name)]
    table = "\n".join("| " + " | ".join(row) + " |" for row in (columns, ["---"] * len(columns), *rows))
    beside = " ".join(_beside(record, network, name) for network, name in NETWORKS.items()).strip()
    took = " ".join(filter(None, (*_minutes(record), _memory(record))))
    return "\n\n".join(filter(None, (head, table, beside, took))) + "\n"


def _minutes(record: Record) -> list[str]:
    """How long the commands took: a sentence for each number of processors that they had."""
    dictionaries, searches = defaultdict[int, list[float]](list), defaultdict[int, list[float]](list)
    for run in record["runs"]:
        if "dictionary_s" in run:
            dictionaries[run.get("dictionary_processors", 0)].append(run["dictionary_s"] / 60)
        for part in run["targets"].values():
            if "command_s" in part:
                searches[part.get("command_processors", 0)].append(part["command_s"] / 60)
    sentences = []
    for count in sorted({*dictionaries, *searches}):
        times = [f"a dictionary took {_between(some, '.1f')}"] if (some := dictionaries[count]) else []
        if some := searches[count]:
            times.append(f"a search with distances, final training and report {_between(some, '.1f')}")
        where = f", with {count} processor{'s' if count > 1 else ''}" if count else ""
        sentences.append(f"In minutes{where}, {', '.join(times)}.")
    return sentences


def _memory(record: Record) -> str:
    """The most memory that the commands held: a sentence for both kinds, where it was measured."""
    built = [run["dictionary_peak_gb"] for run in record["runs"] if "dictionary_peak_gb" in run]
    parts = [part for run in record["runs"] for part in run["targets"].values()]
    searched = [part["command_peak_gb"] for part in parts if "command_peak_gb" in part]
    peaks = [f"a dictionary {max(built):.1f}"] if built else []
    peaks += [f"a search {max(searched):.1f}"] if searched else []
    return f"At most, in GB of memory with all workers, {', '.join(peaks)}." if peaks else ""


def _searches(record: Record, target: str) -> list[Mapping[str, Any]]:
    """What was found for a target, a seed each."""
    parts = [run["targets"].get(target, {}) for run in record["runs"]]
    found = [part for part in parts if "metrics" in part]
    if len({part.get("settings") for part in found}) > 1:
        raise SettingError(
            f"The searches for {target} in moon.json have different settings, so their mean says nothing. "
            "Run benchmarks/moon.py for all seeds."
        )
    return found


def _row(target: str, found: Sequence[Mapping[str, Any]]) -> list[str]:
    def metric(name: str) -> list[float]:
        return [one["metrics"][name] for one in found]

    return [
        TARGETS[target],
        f"{found[0]['images']['test']:,}",
        percent(metric("test_error"), ".2f"),
        percent(metric("test_balanced_error"), ".1f"),
        _between([one["parameters"] for one in found], ","),
        percent(metric("baseline_error")[:1], ".2f"),
        percent(metric("constant_error")[:1], ".2f"),
    ]


def _beside(record: Record, network: str, name: str) -> str:
    """How a network did on each target, and against what was found from the same seeds."""
    clauses = []
    parameters = None
    for target, called in TARGETS.items():
        pairs = []
        for run in record["runs"]:
            part = run["targets"].get(target, {"rivals": []})
            for rival in part["rivals"]:
                if rival["network"] == network:
                    parameters = rival["parameters"]
                    own = part["metrics"]["test_error"] if "metrics" in part else None
                    pairs.append((rival["test_error"], own))
        if not pairs:
            continue
        errors = [error for error, _ in pairs]
        both = [(error, own) for error, own in pairs if own is not None]
        less = sum(error < own for error, own in both)
        more = sum(error > own for error, own in both)
        against = (
            f"less than the network found from {less} of {len(both)} seeds, more from {more}"
            if both
            else "no search beside it"
        )
        clauses.append(f"{percent(errors, '.2f')} on {called} (n = {len(errors)}; {against})")
    if not clauses:
        return ""
    return (
        f"{name} ({parameters:,} parameters; the same recipe, its learning rate not tuned) errs "
        f"{' and '.join(clauses)}."
    )


def percent(values: Sequence[float], form: str) -> str:
    """The mean of shares in percent, with their standard deviation if there are several."""
    about = spread(values)
    mean = f"{100 * statistics.fmean(values):{form}}"
    return f"{mean} %" if about is None else f"{mean} ± {100 * about:{form}} %"


def _between(values: Sequence[float], form: str) -> str:
    low, high = f"{min(values):{form}}", f"{max(values):{form}}"
    return low if low == high else f"{low} to {high}"
