"""Markdown that all pages share: tables, signed effects with their interval, and how a record was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from tanas_experiments.paired import CHANCE, PairedDifference

MINUS = "\N{MINUS SIGN}"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, text: int = 1) -> str:
    """A table; all columns but the first ones, which hold text, are flushed right."""
    lines = [head, ["---" if at < text else "---:" for at in range(len(head))], *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def signed(value: float, digits: int = 2) -> str:
    """A number with its sign, such as +0.03."""
    return f"{round(value, digits) + 0.0:+.{digits}f}".replace("-", MINUS)  # no -0.00


def percent(share: float, digits: int = 0) -> str:
    """A share, such as 85 %."""
    return f"{100 * share:.{digits}f} %"


def effect(
    found: PairedDifference, counted: str = "", *, unit: float = 100, digits: int = 2, sign: int = -1
) -> str:
    """The first way's figure minus the second's, with its interval and p, such as '+0.27 (95 % CI ...)'.

    Args:
        found: of `paired(first, second)`.
        counted: what the number counts, such as 'points'; empty: the head of the table says it.
        unit: of what the text counts in, 100 for points of a share.
        digits: behind the point.
        sign: 1 for the second minus the first.
    """
    text = f"{signed(sign * unit * found.mean, digits)} {counted}".rstrip()
    if found.low is None or found.high is None or found.p is None:
        return text
    low, high = (signed(end, digits) for end in sorted((sign * unit * found.low, sign * unit * found.high)))
    return f"{text} (95 % CI {low} to {high}, p = {found.p:.2g})"


def verdict(found: PairedDifference) -> str:
    """Whether the first way has less of it: Yes, No, or Not shown where chance alone would do as much."""
    if found.p is None or found.p >= CHANCE:
        return "Not shown"
    return "Yes" if found.mean > 0 else "No"


def provenance(command: str, hardware: Mapping[str, Any] | str, versions: Mapping[str, str]) -> str:
    """How a record was made and is made again."""
    if not isinstance(hardware, str):
        more = ", ".join(f"{name} {value}" for name, value in hardware.items() if name != "processor")
        hardware = f"{hardware['processor']} ({more})" if more else str(hardware["processor"])
    libraries = ", ".join(f"{name} {version}" for name, version in versions.items())
    return f"Made by `{command}` on {hardware}. Versions: {libraries}."
