"""In what two architectures differ, in words."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from tanas.networks.architecture import Architecture
from tanas.networks.cell import Cell


def differences(before: Architecture, after: Architecture) -> tuple[str, ...]:
    """A phrase for each change from one canonical architecture to another."""
    old, new = before.skeleton, after.skeleton
    phrases = []
    if len(old.widths) != len(new.widths):
        phrases.append(f"{plural(len(old.widths), 'stage')} became {len(new.widths)}")
    if old.widths != new.widths:
        phrases.append(f"channels of the stages {_row(old.widths)} became {_row(new.widths)}")
    if old.cells != new.cells:
        phrases.append(f"cells of the stages {_row(old.cells)} became {_row(new.cells)}")
    if before.cell != after.cell:
        was, now = _operations(before.cell), _operations(after.cell)
        if was == now:
            phrases.append(f"the {plural(len(was), 'edge')} of the cell were placed otherwise")
        elif len(was) == len(now):
            gone, come = Counter(was) - Counter(now), Counter(now) - Counter(was)
            phrases.append(f"in the cell {_row(gone.elements())} became {_row(come.elements())}")
        else:
            edges = plural(len(was), "edge")
            phrases.append(f"the cell's {edges} ({_row(was)}) became {len(now)} ({_row(now)})")
    return tuple(phrases)


def _operations(cell: Cell) -> list[str]:
    return sorted(name for _, _, name in cell.edges)


def _row(values: Iterable[object]) -> str:
    return ", ".join(map(str, values))


def plural(number: int, noun: str) -> str:
    """A number and its noun, in the plural unless the number is 1."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
