"""What is drawn of searches side by side: how far each arm's test error is from task-aware FUSE's."""

from __future__ import annotations

from tanas.reports.theme import BLUE, INK, ORANGE, Chart
from tanas_experiments.dot_chart import DotRow, dot_chart
from tanas_experiments.searches import ARMS, AWARE, UNSEARCHED
from tanas_experiments.searches_page import LEAST_PAIRS, PICTURE, SearchesRecord, arms_in, compared


def searches_pictures(record: SearchesRecord) -> dict[str, Chart]:
    """The chart by its name; none if no search has a partner."""
    rows = difference_rows(record)
    if not rows:
        return {}
    title = f"points of test error more than {AWARE.name} (left of 0: better than it)"
    return {PICTURE: dot_chart(rows, title=title)}


def difference_rows(record: SearchesRecord) -> tuple[DotRow, ...]:
    """Each arm's test error minus that of task-aware FUSE, in points, over all targets and seeds that both have."""
    everywhere = {arm.name for arm in (*ARMS, *UNSEARCHED)}
    groups = {
        "on every target": [arm for arm in arms_in(record) if arm in everywhere],
        "rivals, on some of the targets": [arm for arm in arms_in(record) if arm not in everywhere],
    }
    rows = []
    for heading, arms in groups.items():
        below = [row for arm in arms if (row := _row(record, arm)) is not None]
        rows += [DotRow(label=heading), *below] if below else []
    return tuple(rows)


def _row(record: SearchesRecord, arm: str) -> DotRow | None:
    found = compared(record, arm)
    if arm == AWARE.name or found is None:
        return None
    own = {(row.target, row.seed): row.test_error for row in record.rows if row.arm == AWARE.name}
    theirs = [row for row in record.rows if row.arm == arm and (row.target, row.seed) in own]
    told = found.n >= LEAST_PAIRS and found.low is not None and found.high is not None
    return DotRow(
        label=arm,
        mean=100 * found.mean,
        low=100 * found.low if told and found.low is not None else None,
        high=100 * found.high if told and found.high is not None else None,
        singles=tuple(100 * (row.test_error - own[row.target, row.seed]) for row in theirs),
        note=f"{100 * found.mean:+.2f}  (n = {found.n})".replace("-", "\N{MINUS SIGN}"),
        colour=_colour(arm),
    )


def _colour(arm: str) -> str:
    """Of what searches nothing, of the arms that the experiment is about, of rivals."""
    if arm in {one.name for one in UNSEARCHED}:
        return INK
    return BLUE if arm in {one.name for one in ARMS} else ORANGE
