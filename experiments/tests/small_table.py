"""A small table in the form of NAS-Bench-201's, whose truth is known."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import numpy as np

from tanas_experiments.nasbench import NasBenchConfig
from tanas_experiments.nasbench_table import OPERATIONS

NAMES = tuple(OPERATIONS)[:3]
SMALL = NasBenchConfig(
    seeds=4,
    queries=12,
    counts=(1, 3, 5, 12),
    probes=6,
    known=10,
    handed=3,
    population=4,
    halves=3,
    trials=3,
    try_known=(5, 20),
    try_temperature=(0.5, 1.0),
    try_smoothing=(0.0, 0.5),
    try_residual=(0.2,),
    try_reach=(1.0,),
)


def written(path: Path, *, sets: int = 3, noise: float = 1.0) -> Path:
    """729 cells on the sets 'target', 'near' and 'far'; near ranks as target does but for noise, far the reverse."""
    generator = np.random.default_rng(0)
    lines = [",".join(["arch", "target", "near", "far"][: sets + 1])]
    for names in product(NAMES, repeat=6):
        worth = 10 * sum(names.count(name) * weight for name, weight in ((NAMES[1], 0.5), (NAMES[2], 1)))
        near = worth + noise * generator.normal()
        target = worth + generator.random()
        values = (target + 10, near + 20, 90 - near)[:sets]
        lines.append(",".join([cell_text(names), *(f"{value:.4f}" for value in values)]))
    path.write_text("\n".join(lines) + "\n")
    return path


def cell_text(names: tuple[str, ...]) -> str:
    """A cell as the table writes it."""
    a, b, c, d, e, f = names
    return f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|"
