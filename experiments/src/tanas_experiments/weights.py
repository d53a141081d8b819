"""Does a network that begins with another task's weights end better, and does it matter how near that task is?

One architecture for all: it is trained shortly on each known task, then on each target, from scratch and with each
known task's weights, by the final recipe. What differs between two trainings of a target and seed is only where they
begin.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from scipy.stats import spearmanr

from tanas.algorithm.presets import SearchConfig
from tanas.dictionary.stored_network import StoredNetwork, carried, stored
from tanas.ground.context import Context
from tanas.ground.records import SCHEMA
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture, build
from tanas.networks.training import evaluate, fit
from tanas.tasks.task import Task
from tanas_experiments.markdown import effect, percent, provenance, signed, table, verdict
from tanas_experiments.paired import PairedDifference, paired
from tanas_experiments.searches import TEN_DRAWINGS, Named

SCRATCH = "from scratch"
"""What stands for the source where there is none."""

_DRAWINGS = f"quickdraw:only={','.join(TEN_DRAWINGS)}"
KNOWN = (
    Named(label="MNIST 0-4", name="mnist:only=0,1,2,3,4:take=3000"),
    Named(label="MNIST even or odd", name="mnist:groups=0+2+4+6+8/1+3+5+7+9:take=3000"),
    Named(label="trousers", name="fashion-mnist:is=trouser:take=3000"),
    Named(label="clothes 0-4", name="fashion-mnist:only=0,1,2,3,4:take=3000"),
    Named(label="four drawings", name="quickdraw:only=apple,bear,lollipop,rabbit:take=3000"),
    Named(label="permuted fashion", name="npz:{work}/permuted-fashion.npz:take=3000"),
    Named(label="digits even or odd", name="digits:groups=0+2+4+6+8/1+3+5+7+9"),
)
TARGETS = (
    Named(label="clothes, 200 images", name="fashion-mnist:take=200"),
    Named(label="MNIST 5-9, 200 images", name="mnist:only=5,6,7,8,9:take=200"),
    Named(label="ten drawings, 500 images", name=f"{_DRAWINGS}:take=500"),
    Named(label="digits, 200 images", name="digits:take=200"),
    Named(label="clothes, 1,000 images", name="fashion-mnist:take=1000"),
    Named(label="clothes, 4,000 images", name="fashion-mnist:take=4000"),
)
"""The seeds of one are made before the next begins. Those of many images come last: they cost most."""


@dataclass(frozen=True, kw_only=True)
class WeightsConfig:
    """What is compared."""

    architecture: Architecture
    seeds: tuple[int, ...] = (0, 1, 2, 3)
    search: SearchConfig = field(default_factory=SearchConfig)
    """Its recipes: the short training of the known tasks, the final one of the targets, the share of the weights."""


@dataclass(frozen=True, kw_only=True)
class WeightsRow:
    """One training of a target."""

    target: str
    source: str
    """Label of the known task whose weights it began with, or `SCRATCH`."""
    share: float
    """Of those weights in what it began with; 0 from scratch."""
    seed: int
    test_error: float
    validation_performance: float


@dataclass(frozen=True, kw_only=True)
class WeightsRecord:
    """All trainings, and how far each known task is from each target."""

    kind: str = "weights"
    schema: int = SCHEMA
    command: str
    n: int
    seeds: tuple[int, ...]
    architecture: Architecture
    parameters: int
    known: Mapping[str, str]
    """Names of the known tasks by their labels."""
    targets: Mapping[str, str]
    distances: tuple[tuple[str, str, float], ...]
    """(known task, target, order): the default distance from seed 0, with its tie-break."""
    rows: tuple[WeightsRow, ...]
    settings: dict[str, Any]
    hardware: dict[str, Any]
    versions: dict[str, str]


def donor(task: Task, config: WeightsConfig) -> StoredNetwork:
    """The network of a known task, after the short training by which a dictionary scores."""
    scoring = config.search.scoring.suited_to(len(task.train))
    small, seed = task.without_test().limited(scoring.images), Seed(0).child("donor", task.fingerprint)
    network = build(config.architecture, task.shape, len(task.classes), seed.child("weights"))
    fit(
        network,
        small.train,
        scoring.training,
        classes=len(task.classes),
        at=Context(seed=seed.child("order")),
    )
    return stored(network, config.architecture, task.shape, task.classes, small.train, made_by="score")


def jobs(config: WeightsConfig, known: Iterable[str], *, nearest: str) -> list[tuple[str, float, int]]:
    """(source, share, seed) of the trainings of a target.

    The whole weights of the nearest are tried too, beside the share of them that is the default.
    """
    share = config.search.warm_share
    return [
        (source, part, seed)
        for seed in config.seeds
        for source, part in ((SCRATCH, 0.0), *((one, share) for one in known), (nearest, 1.0))
    ]


def trained(
    task: Task,
    label: str,
    source: str,
    network: StoredNetwork | None,
    share: float,
    seed: int,
    config: WeightsConfig,
) -> WeightsRow:
    """Trains on a target and tests.

    Args:
        task: the target.
        label: of it.
        source: label of the known task, or `SCRATCH`.
        network: the known task's; None: from scratch.
        share: of its weights.
        seed: of new weights and the order of images.
        config: recipe.

    Raises:
        ValueError: the network has seen a test image.
    """
    own, classes = Seed(seed), len(task.classes)
    _, test = task.sealed()
    if network is None:
        fresh = build(config.architecture, task.shape, classes, own.child("weights"))
    else:
        if seen := network.overlap(test.image_keys):
            raise ValueError(f"The network of {source} was trained on {seen} test images of {label}.")
        fresh = carried(network, task.shape, task.classes, own.child("weights"), share=share)
    recipe = config.search.training.suited_to(len(task.train))
    fit(
        fresh,
        task.train,
        recipe,
        classes=classes,
        at=Context(seed=own.child("order")),
        step=f"{label} from {source}",
    )
    validation = evaluate(fresh, task.validation, classes=classes)
    return WeightsRow(
        target=label,
        source=source,
        share=share,
        seed=seed,
        test_error=evaluate(fresh, test.open(), classes=classes).error,
        validation_performance=validation.performance(task.performance),
    )


@dataclass(frozen=True, kw_only=True)
class Gain:
    """What weights brought on a target: error from scratch minus error with them, of the same seeds."""

    target: str
    source: str
    share: float
    order: float
    """Distance of the source from the target."""
    errors: PairedDifference


def gains(record: WeightsRecord) -> tuple[Gain, ...]:
    """What the weights of each known task brought on each target, nearest first."""
    order = {(source, target): value for source, target, value in record.distances}
    scratch = {(row.target, row.seed): row.test_error for row in record.rows if row.source == SCRATCH}
    groups: dict[tuple[str, str, float], list[WeightsRow]] = {}
    for row in record.rows:
        if row.source != SCRATCH and (row.target, row.seed) in scratch:
            groups.setdefault((row.target, row.source, row.share), []).append(row)
    found = [
        Gain(
            target=target,
            source=source,
            share=share,
            order=order[source, target],
            errors=paired([row.test_error for row in rows], [scratch[target, row.seed] for row in rows]),
        )
        for (target, source, share), rows in groups.items()
    ]
    places = {label: place for place, label in enumerate(record.targets)}
    return tuple(sorted(found, key=lambda one: (places[one.target], one.share, one.order)))


def ranks(found: Sequence[Gain]) -> float | None:
    """Spearman's correlation of nearness and gain over the sources of one target; None: of fewer than three."""
    if len(found) < 3:
        return None
    return float(spearmanr([-one.order for one in found], [one.errors.mean for one in found]).statistic)


def apart(
    record: WeightsRecord, share: float, choose: Callable[[Sequence[Gain]], Gain]
) -> PairedDifference | None:
    """From scratch against the weights of one known task of each target, over targets and seeds.

    Args:
        record: of the trainings.
        share: of the weights.
        choose: of a target's gains, nearest first, the one that is taken.
    """
    own: list[float] = []
    other: list[float] = []
    for target, among in _by_target(record, share).items():
        source = choose(among).source
        mine = {
            r.seed: r.test_error
            for r in record.rows
            if (r.target, r.source, r.share) == (target, source, share)
        }
        theirs = {r.seed: r.test_error for r in record.rows if (r.target, r.source) == (target, SCRATCH)}
        own += [mine[seed] for seed in mine if seed in theirs]
        other += [theirs[seed] for seed in mine if seed in theirs]
    return paired(own, other) if own else None


def _by_target(record: WeightsRecord, share: float) -> dict[str, list[Gain]]:
    by: dict[str, list[Gain]] = {}
    for one in gains(record):
        if one.share == share:
            by.setdefault(one.target, []).append(one)
    return by


def whole_targets(record: WeightsRecord) -> WeightsRecord:
    """The same with the rows of those targets only whose trainings are all there."""
    wanted = len(record.seeds) * (len(record.known) + 2)  # from scratch, and the nearest's whole weights
    rows = tuple(r for r in record.rows if sum(one.target == r.target for one in record.rows) == wanted)
    return replace(record, rows=rows, n=len(rows))


def weights_page(record: WeightsRecord) -> str:
    """The page's text, Markdown: a section a question."""
    left = record.n - (record := whole_targets(record)).n
    missing = [label for label in record.targets if label not in {row.target for row in record.rows}]
    if not record.rows:
        return "No target is finished yet.\n"
    share = float(record.settings["search"]["warm_share"])
    by = _by_target(record, share)
    whole = {one.target: one for one in gains(record) if one.share == 1.0}
    lines = []
    for target, among in by.items():
        errors = [r.test_error for r in record.rows if (r.target, r.source) == (target, SCRATCH)]
        rank = ranks(among)
        lines.append(
            [
                target,
                f"{100 * statistics.fmean(errors):.2f}",
                _points(among[0]),
                _points(among[-1]),
                signed(-100 * statistics.fmean(one.errors.mean for one in among)),
                "-" if rank is None else signed(rank),
                _points(whole[target]) if target in whole else "-",
            ]
        )
    head = ["target", "error from scratch, %", "nearest", "farthest", "mean of all", "rank correlation"]
    unfinished = f"**Not finished**: {', '.join(missing)} ({left} trainings are there and not shown)."
    parts = [
        *([unfinished] if missing else []),
        "## Do the trained weights of known tasks help?",
        "\n".join(f"- {line}" for line in weights_answers(record)),
        table([*head, "nearest, whole weights"], lines),
        f"An effect is the test error with {percent(share)} of a known task's weights minus that from scratch, in "
        "points. The known task stands in brackets. Rank correlation (Spearman): of nearness and gain, over the "
        f"{len(record.known)} known tasks.",
        f"One architecture ({record.parameters:,} parameters), {record.n} trainings, seeds "
        f"{', '.join(map(str, record.seeds))}. {provenance(record.command, record.hardware, record.versions)}",
    ]
    return "\n\n".join(parts) + "\n"


def _points(one: Gain) -> str:
    return f"{signed(-100 * one.errors.mean)} ({one.source})"


def weights_answers(record: WeightsRecord) -> tuple[str, ...]:
    """What the weights of the nearest and of the farthest known task do, whatever it is.

    Args:
        record: with the rows of whole targets only.
    """
    share = float(record.settings["search"]["warm_share"])
    by, said = _by_target(record, share), []
    for who, choose in (("nearest", lambda among: among[0]), ("farthest", lambda among: among[-1])):
        if (found := apart(record, share, choose)) is not None:
            said.append(
                f"**{verdict(found)}, of the {who} known task: {effect(found, 'points of test error')}** "
                f"({len(by)} targets, n = {found.n})."
            )
    near = [r for r in (ranks(among) for among in by.values()) if r is not None]
    if near:
        said.append(
            f"Nearer is better on {sum(r > 0 for r in near)} of {len(near)} targets (mean rank correlation "
            f"{signed(statistics.fmean(near))})."
        )
    if (all_of_it := apart(record, 1.0, lambda among: among[0])) is not None:
        said.append(f"All weights of the nearest, not {percent(share)}: {effect(all_of_it, 'points')}.")
    return tuple(said)
