"""The report of a search: one HTML file that works offline and without scripts."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from tanas.algorithm.result import Result
from tanas.ground.records import to_plain
from tanas.networks.skeleton import Skeleton
from tanas.reports import chart_data, charts, sentences, theme
from tanas.reports.cell_diagram import draw_cell, kind_of

MOST_CANDIDATES = 200
"""Rows of the table of candidates; result.json holds all."""

MOST_MISTAKES = 48
"""Pictures of mistakes."""

MOST_CLASSES_IN_COLUMN = 10
"""Classes whose confusion fits into half of the page."""

STOPPED = {
    "rounds": "all rounds were done",
    "converged": "the best architecture did not change for several rounds",
    "exhausted": "no new architecture was left in the space",
    "budget": "the budget of multiply-adds was spent",
    "time": "the time limit was reached; the best architecture so far was taken",
    "reused": "the task was remembered; its best architecture was reused",
    "transferred": "the best architecture of a related task was reused",
}


def render(result: Result) -> str:
    """The report as HTML; equal results give equal text."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        amount=sentences.amount,
        duration=sentences.duration,
        kind=kind_of,
        percent=lambda share: sentences.percent(share, result.task.test),
        options=_mark_options,
        rival=chart_data.rival_label,
    )
    cell = result.architecture.cell.canonical()
    return environment.get_template("page.html.j2").render(
        result=result,
        data=chart_data,
        words=sentences,
        reused=bool(sentences.known_architecture(result)),
        own=any(past.stages and past.scores for past in result.rounds),
        stopped=STOPPED.get(result.stopped, result.stopped),
        candidates=chart_data.candidate_rows(result)[:MOST_CANDIDATES],
        alone=len(result.rounds) == 1 and all(seen.score is None for seen in result.seen),
        mistakes=result.mistakes[:MOST_MISTAKES],
        cell=cell,
        idle_edges=len(result.architecture.cell.edges) - len(cell.edges),
        stages=tuple(_stages(result.architecture.skeleton, result.task.shape)),
        environment=tuple(_flat(result.environment)),
        config=json.dumps(result.config, indent=2, ensure_ascii=False),
        architecture=json.dumps(to_plain(result.architecture), indent=2, ensure_ascii=False),
        most_candidates=MOST_CANDIDATES,
        most_atoms=charts.MOST_ATOMS,
        narrow_rounds=_side_by_side(result),
        narrow_classes=len(result.task.classes) <= MOST_CLASSES_IN_COLUMN,
        # each drawing is made here and escapes the names in it
        drawings={name: svg and Markup(svg) for name, svg in _drawings(result).items()},
    )


def _drawings(result: Result) -> dict[str, str]:
    """Every chart of the page as SVG; empty text where there is nothing to draw."""
    distances, costs = chart_data.distance_rows(result), chart_data.cost_rows(result)
    alphas, candidates = chart_data.alpha_rows(result), chart_data.candidate_rows(result)
    losses, classes = result.training_losses, result.task.classes
    narrow = _side_by_side(result)
    width = charts.WIDTH if narrow else charts.FULL
    drawn = {
        "cell": draw_cell(result.architecture.cell.canonical()),
        "errors": theme.inline_svg(
            charts.error_chart(chart_data.error_rows(result), result.task.test),
            "Errors on the test split, as in the table of errors",
        ),
        "confusion": theme.inline_svg(
            charts.confusion_chart(result.confusion, classes),
            "Answers by true class, as in the table of classes",
            shrinks=len(classes) <= MOST_CLASSES_IN_COLUMN,
        ),
        "costs": theme.inline_svg(
            charts.cost_chart(costs),
            "; ".join(f"{phase}: {sentences.duration(seconds)}" for phase, seconds in costs),
        ),
        **dict.fromkeys(("distances", "alphas", "candidates", "losses"), ""),
    }
    if distances:
        drawn["distances"] = theme.inline_svg(
            charts.distance_chart(distances),
            "Distances of the remembered tasks, as in the table of distances",
        )
    if any(row.weights for row in alphas):
        drawn["alphas"] = theme.inline_svg(
            charts.alpha_chart(alphas, width=width),
            "Shares of the candidates in the mixture over the rounds, as in the table of rounds",
            shrinks=narrow,
        )
    if sum(candidate.score is not None for candidate in candidates) > 1:
        drawn["candidates"] = theme.inline_svg(
            charts.candidate_chart(candidates, width=width),
            "Scores and parameters, as in the table of candidates",
            shrinks=narrow,
        )
    if losses and all(map(math.isfinite, losses)):
        drawn["losses"] = theme.inline_svg(
            charts.loss_chart(losses),
            f"Training loss: {losses[0]:.3g} in the first epoch, {losses[-1]:.3g} in the last",
        )
    return drawn


def _side_by_side(result: Result) -> bool:
    """Whether the charts of alphas and of scores stand side by side: both exist, and rounds are few."""
    return len(result.rounds) <= 4 and sum(seen.score is not None for seen in result.seen) > 1


def _stages(skeleton: Skeleton, shape: tuple[int, int, int]) -> Iterator[dict[str, Any]]:
    """The boxes of the skeleton's strip, and between them the shapes of their outputs."""
    _, height, width = shape
    halvings = skeleton.stem_halvings
    for _ in range(halvings):
        height, width = math.ceil(height / 2), math.ceil(width / 2)
    what = "3×3 convolution" if halvings < 2 else f"{halvings} 3×3 convolutions"
    yield {"name": "stem", "what": what, "halves": halvings, "cells": 0}
    yield {"channels": skeleton.widths[0], "height": height, "width": width}
    stages = zip(skeleton.widths, skeleton.cells, skeleton.reductions, strict=True)
    for number, (channels, cells, halves) in enumerate(stages, start=1):
        if halves:
            height, width = math.ceil(height / 2), math.ceil(width / 2)
        what = "1 cell" if cells == 1 else f"{cells} cells"
        yield {"name": f"stage {number}", "what": what, "halves": halves, "cells": cells}
        yield {"channels": channels, "height": height, "width": width}


def _mark_options(text: str) -> Markup:
    """Marks options such as --seed as code, where no line breaks."""
    return Markup(re.sub(r"--[a-z-]+", r"<code>\g<0></code>", str(escape(text))))


def _flat(values: dict[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as pairs of a dotted name and a text."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", str(value)
