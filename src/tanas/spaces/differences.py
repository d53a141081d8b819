"""In what two architectures differ, in words."""

from __future__ import annotations

from tanas.networks.architecture import Architecture
from tanas.networks.cell import Cell


def differences(before: Architecture, after: Architecture) -> tuple[str, ...]:
    """What changed from one architecture to another, a phrase each; none if they are the same.

    Args:
        before: in canonical form.
        after: in canonical form.
    """
    old, new = before.skeleton, after.skeleton
    phrases = []
    if len(old.widths) != len(new.widths):
        phrases.append(f"{_counted(len(old.widths), 'stage')} became {len(new.widths)}")
    if old.widths != new.widths:
        phrases.append(f"channels of the stages {_row(old.widths)} became {_row(new.widths)}")
    if old.cells != new.cells:
        phrases.append(f"cells of the stages {_row(old.cells)} became {_row(new.cells)}")
    if before.cell != after.cell:
        was, now = _operations(before.cell), _operations(after.cell)
        if len(was) == len(now):
            phrases.append(
                f"in the cell {', '.join(_without(was, now))} became {', '.join(_without(now, was))}"
                if was != now
                else f"the {_counted(len(was), 'edge')} of the cell were placed otherwise"
            )
        else:
            phrases.append(
                f"the cell's {_counted(len(was), 'edge')} ({', '.join(was)}) became {len(now)} ({', '.join(now)})"
            )
    return tuple(phrases)


def _operations(cell: Cell) -> list[str]:
    return sorted(name for _, _, name in cell.edges)


def _without(names: list[str], others: list[str]) -> list[str]:
    left = list(names)
    for name in others:
        if name in left:
            left.remove(name)
    return left


def _row(numbers: tuple[int, ...]) -> str:
    return ", ".join(map(str, numbers))


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
