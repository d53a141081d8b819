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
    return environment.get_template("page.html.j2").render(
        result=result,
        standing=sentences.standing(result),
        answer=sentences.answer(result),
        taken=sentences.taken(result),
        trained_on=sentences.trained_on(result),
        verdict=sentences.verdict(result),
        caveat=sentences.caveat(result),
        inheritance=sentences.inheritance(result),
        reused=bool(sentences.known_architecture(result)),
        grown=sentences.transformation(result),
        grown_rows=chart_data.grown_rows(result),
        choice=sentences.choice(result),
        own=any(past.stages and past.scores for past in result.rounds),
        stopped=STOPPED.get(result.stopped, result.stopped),
        errors=chart_data.error_rows(result),
        distances=chart_data.distance_rows(result),
        alphas=chart_data.alpha_rows(result),
        candidates=chart_data.candidate_rows(result)[:MOST_CANDIDATES],
        better=chart_data.better_scored(result),
        alone=len(result.rounds) == 1 and all(seen.score is None for seen in result.seen),
        classes=chart_data.class_rows(result),
        confused=chart_data.confused_rows(result, most=12),
        costs=chart_data.cost_rows(result),
        ledger=chart_data.ledger_rows(result),
        memory=sentences.memory(result),
        beside=sentences.beside(result),
        wrong=chart_data.wrong_answers(result),
        mistakes=result.mistakes[:MOST_MISTAKES],
        cell=result.architecture.cell.canonical(),
        idle_edges=len(result.architecture.cell.edges) - len(result.architecture.cell.canonical().edges),
        stages=tuple(_stages(result.architecture.skeleton, result.task.shape)),
        environment=tuple(_flat(result.environment)),
        config=json.dumps(result.config, indent=2, ensure_ascii=False),
        architecture=json.dumps(_architecture(result), indent=2, ensure_ascii=False),
        most_candidates=MOST_CANDIDATES,
        most_atoms=charts.MOST_ATOMS,
        narrow_rounds=_side_by_side(result),
        narrow_classes=len(result.task.classes) <= MOST_CLASSES_IN_COLUMN,
        drawings=_drawings(result),
    )


def _drawings(result: Result) -> dict[str, Markup | None]:
    """Every chart of the page as SVG; None where there is nothing to draw."""
    errors = chart_data.error_rows(result)
    distances = chart_data.distance_rows(result)
    alphas = chart_data.alpha_rows(result)
    candidates = chart_data.candidate_rows(result)
    scored = sum(candidate.score is not None for candidate in candidates)
    losses = result.training_losses
    width = charts.WIDTH if _side_by_side(result) else charts.FULL
    drawn: dict[str, str | None] = {
        "cell": draw_cell(result.architecture.cell.canonical()),
        "errors": theme.inline_svg(
            charts.error_chart(errors, result.task.test),
            "Errors on the test split, as in the table of errors",
        ),
        "distances": theme.inline_svg(
            charts.distance_chart(distances),
            "Distances of the remembered tasks, as in the table of distances",
        )
        if distances
        else None,
        "alphas": theme.inline_svg(
            charts.alpha_chart(alphas, width=width),
            "Shares of the candidates in the mixture over the rounds, as in the table of rounds",
            shrinks=width < charts.FULL,
        )
        if any(row.weights for row in alphas)
        else None,
        "candidates": theme.inline_svg(
            charts.candidate_chart(candidates, width=width),
            "Scores and parameters, as in the table of candidates",
            shrinks=width < charts.FULL,
        )
        if scored > 1
        else None,
        "losses": theme.inline_svg(
            charts.loss_chart(losses),
            f"Training loss: {losses[0]:.3g} in the first epoch, {losses[-1]:.3g} in the last",
        )
        if losses and all(map(math.isfinite, losses))
        else None,
        "confusion": theme.inline_svg(
            charts.confusion_chart(result.confusion, result.task.classes),
            "Answers by true class, as in the table of classes",
            shrinks=len(result.task.classes) <= MOST_CLASSES_IN_COLUMN,
        ),
        "costs": theme.inline_svg(
            charts.cost_chart(chart_data.cost_rows(result)),
            "; ".join(
                f"{row.phase}: {sentences.duration(row.seconds)}" for row in chart_data.cost_rows(result)
            ),
        ),
    }
    # each is made here and escapes the names in it
    return {name: None if svg is None else Markup(svg) for name, svg in drawn.items()}


def _side_by_side(result: Result) -> bool:
    """Whether the charts of alphas and of scores stand side by side: both exist, and rounds are few."""
    return len(result.rounds) <= 4 and sum(seen.score is not None for seen in result.seen) > 1


def _stages(skeleton: Skeleton, shape: tuple[int, int, int]) -> Iterator[dict[str, Any]]:
    """The boxes of the skeleton's strip, with the size of what leaves each."""
    _, height, width = shape
    if skeleton.stem == "half":
        height, width = math.ceil(height / 2), math.ceil(width / 2)
    yield {"name": "stem", "what": "3×3 convolution", "halves": skeleton.stem == "half", "cells": 0}
    yield {"channels": skeleton.widths[0], "height": height, "width": width}
    stages = zip(skeleton.widths, skeleton.cells, skeleton.reductions, strict=True)
    for number, (channels, cells, halves) in enumerate(stages, start=1):
        if halves:
            height, width = math.ceil(height / 2), math.ceil(width / 2)
        what = "1 cell" if cells == 1 else f"{cells} cells"
        yield {"name": f"stage {number}", "what": what, "halves": halves, "cells": cells}
        yield {"channels": channels, "height": height, "width": width}


def _architecture(result: Result) -> dict[str, Any]:
    skeleton, cell = result.architecture.skeleton, result.architecture.cell
    return {
        "skeleton": {
            "stem": skeleton.stem,
            "widths": skeleton.widths,
            "cells": skeleton.cells,
            "reductions": skeleton.reductions,
        },
        "cell": {"nodes": cell.nodes, "edges": cell.edges},
    }


def _mark_options(text: str) -> Markup:
    """Sets options such as --seed as code, so that no line ends within one."""
    return Markup(re.sub(r"--[a-z-]+", r"<code>\g<0></code>", str(escape(text))))


def _flat(values: dict[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    """Nested settings as pairs of a dotted name and a text."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", str(value)
