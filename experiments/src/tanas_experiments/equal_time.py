"""Networks made by hand that are trained as tanas trains its own, for as long as a whole search took."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

from tanas.algorithm.presets import SearchConfig
from tanas.algorithm.time_limit import OVERHEAD, with_epochs
from tanas.algorithm.trainings import Trainings, side_by_side
from tanas.algorithm.warm_start import Start
from tanas.ground.context import Context
from tanas.ground.errors import NonFiniteError
from tanas.networks.architecture import Network, count_cost
from tanas.networks.recipe import in_turn, suited_to
from tanas.networks.training import Fitted, evaluate
from tanas.spaces.named import named_space
from tanas.spaces.reference import reference_architecture
from tanas.strategies.estimate import seconds_an_image
from tanas.strategies.mixture import side_by_side as in_one_thread
from tanas.tasks.task import Task
from tanas_experiments.markdown import effect, verdict
from tanas_experiments.paired import paired
from tanas_experiments.targets import TargetRow
from tanas_experiments.zoo import RESIDUAL, make_zoo

EQUAL_TIME_KIND = "equal time"

RESNET, UNBOUND = "resnet18-small", "resnet18-small, unbound"
LEARNING_RATES = {RESNET: 3e-3, RESIDUAL: 1e-2, UNBOUND: 3e-3}
"""By network: the best of 0.0003, 0.001, 0.003 and 0.01 on validation images in most of 48 trainings each."""
NAMES = {RESIDUAL: "narrow residual network", RESNET: "ResNet-18", UNBOUND: "ResNet-18, unbound"}


@dataclass(frozen=True, kw_only=True)
class EqualTimeRow:
    """One network, trained once. Errors are shares in [0, 1], on the test split."""

    target: str
    seed: int
    network: str
    """'residual': the narrow residual network with as many parameters as that of tanas; 'resnet18-small', and the same
    'unbound': as many steps as the network of tanas, however long they take."""
    parameters: int
    macs: int
    recipe: str
    steps: int
    """Of the network that is tested."""
    error: float
    balanced_error: float
    given_s: float
    """What the search took, in all."""
    took_s: float


@dataclass(frozen=True, kw_only=True)
class EqualTimeRecord:
    """What records/equal-time.json holds."""

    kind: str
    schema: int
    command: str
    n: int
    hardware: dict[str, Any]
    versions: dict[str, str]
    settings: str
    """Hash of the settings of the searches."""
    rows: tuple[EqualTimeRow, ...]


def trained_as_long(task: Task, row: TargetRow, kind: str, config: SearchConfig, at: Context) -> EqualTimeRow:
    """Train a network made by hand for as long as a search took, and test it.

    Its recipe is chosen as that of tanas' own networks; then the second half of its training is done again with
    validation images. It needs no search, no comparison and no outlook: all of the time is spent on these. An unbound
    one has the recipe that tanas chose, and validation images from the beginning.

    Args:
        task: as its source gives it.
        row: the search; its seed is that of `at`.
        kind: a key of `LEARNING_RATES`.
        config: the settings of the search.
        at: with what.
    """
    began = time.monotonic()
    task, sealed = task.measured_by(config.performance).sealed()
    classes = len(task.classes)
    every = replace(task, train=task.train.joined(task.validation))
    name = f"{RESIDUAL}@{row.parameters}" if kind == RESIDUAL else kind
    network = make_zoo(name.removesuffix(", unbound"), task.shape, classes, at.seed.child("weights"))
    rate = replace(config.training, learning_rate=LEARNING_RATES[kind])
    label = reference_architecture(named_space(config.space, shape=task.shape), task.shape, classes)
    assert label is not None  # it only names the states in the checkpoint: the network is given
    begin = Start(architecture=label, network=cast(Network, network))
    if kind == UNBOUND:
        recipe = row.recipe
        last = Trainings(every, replace(config, training=rate), at).make(begin, recipe)
    else:
        with in_one_thread(1):
            pace = OVERHEAD * seconds_an_image(network, task, config.training.batch, at.device)
        epochs = epochs_in(row.took_s["total"], pace * len(task.train), task, config, at.workers)
        trainings = Trainings(task, with_epochs(replace(config, training=rate), epochs), at)
        chosen, start, best = trainings.compete(begin)
        recipe = chosen.name
        last = trainings.refit(best, start, recipe)
    (done,) = side_by_side([last], at).values()
    if isinstance(done, NonFiniteError):
        raise done
    assert isinstance(done, Fitted)
    test = sealed.open()
    counted = evaluate(last.network, test, classes=classes, device=at.device)
    cost = count_cost(network, test.pixels(slice(0, 1)))
    return EqualTimeRow(
        target=row.target,
        seed=row.seed,
        network=kind,
        parameters=cost.parameters,
        macs=cost.macs,
        recipe=recipe,
        steps=last.config.epochs * math.ceil(len(last.split) / last.config.batch),
        error=counted.error,
        balanced_error=counted.balanced_error,
        given_s=row.took_s["total"],
        took_s=round(time.monotonic() - began, 1),
    )


def epochs_in(seconds: float, epoch_s: float, task: Task, config: SearchConfig, workers: int) -> int:
    """How many epochs a training can have if the competition of recipes and the refit are to take so many seconds.

    Args:
        seconds: in all.
        epoch_s: seconds of an epoch of the training images.
        task: gives the share of validation images, which a refit has too.
        config: names the recipes.
        workers: trainings at a time.
    """
    recipes = suited_to(config.recipes, task.shape)
    at_once = in_turn(recipes)
    then = max(len(in_turn(recipes, leader)) for leader in at_once)
    refit = 1 + len(task.validation) / len(task.train)
    halves = math.ceil(len(at_once) / workers) + math.ceil(then / workers) + refit
    return max(2 * math.floor(seconds / (halves * epoch_s)), 2)


def equal_time_page(record: EqualTimeRecord, searches: Sequence[TargetRow]) -> str:
    """Make the table of the page, in Markdown: one row a target, and a column of errors for each network.

    Args:
        record: the networks made by hand.
        searches: the searches that they are compared with; only those with a partner count.
    """
    lines = [("target", "tanas", *NAMES.values(), "parameters of ResNet-18 / tanas"), ("---", *("---:",) * 5)]
    pairs: dict[str, list[tuple[float, float]]] = {kind: [] for kind in NAMES}
    for target in dict.fromkeys(row.target for row in record.rows):
        own = {row.seed: row for row in searches if row.target == target}
        cells = []
        for kind in NAMES:
            rows = [
                row for row in record.rows if (row.target, row.network) == (target, kind) and row.seed in own
            ]
            cells.append(_mean([row.balanced_error for row in rows]))
            if rows:
                mine = statistics.fmean(own[row.seed].balanced_error for row in rows)
                pairs[kind].append((mine, statistics.fmean(row.balanced_error for row in rows)))
        seeds = {row.seed for row in record.rows if row.target == target}
        mean = _mean([row.balanced_error for seed, row in own.items() if seed in seeds])
        sizes = [row.parameters for row in record.rows if (row.target, row.network) == (target, RESNET)]
        share = f"{sizes[0] / next(iter(own.values())).parameters:.0f}" if sizes and own else "–"
        lines.append((target, f"**{mean}**", *cells, share))
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    sentences = []
    for kind, values in pairs.items():
        if values:
            less, steps = paired(*zip(*values, strict=True)), _steps(record, kind)
            sentences.append(
                f"- Less error than the {NAMES[kind]}? {verdict(less)}: {effect(less, 'points')}, {len(values)} "
                f"targets, less on {sum(other > mine for mine, other in values)} of them. It made {steps} steps."
            )
    return (
        f"{table}\n\n" + "\n".join(sentences) + "\n\n"
        f"Balanced test error in percent, mean over seeds (n in brackets). Every network had the time of a whole "
        "search of tanas on two cores, and chose its recipe as tanas does; with validation images at the end, as "
        "there. An unbound ResNet-18 had as many steps as the network of tanas, by its recipe, however long they "
        f"took. {record.hardware['processor']}, torch {record.versions['torch']}. Command: `{record.command}`.\n"
    )


def _steps(record: EqualTimeRecord, kind: str) -> str:
    steps = [row.steps for row in record.rows if row.network == kind]
    return f"{min(steps):,} to {max(steps):,}"


def _mean(errors: Sequence[float]) -> str:
    return f"{100 * statistics.fmean(errors):.1f} ({len(errors)})" if errors else "–"
