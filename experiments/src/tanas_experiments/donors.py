"""Whose weights should a training begin with? What those of many networks bring, and which measure foretells it.

Every network is trained on every target for the same few steps, by one recipe. What differs between two trainings of a
target and seed is only where they begin.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from torch.nn import functional

from tanas.dictionary.store import Dictionary
from tanas.dictionary.stored_network import StoredNetwork, carried
from tanas.dictionary.task_record import Atom
from tanas.distances.logme import log_evidence
from tanas.distances.methods import DistanceConfig, make_distance
from tanas.distances.misfit import misfit, stage_features
from tanas.distances.pairs import PairConfig, make_pair
from tanas.distances.representative import Representative
from tanas.ground.context import Context
from tanas.ground.errors import SettingError
from tanas.ground.records import SCHEMA
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture, Network, PixelNorm, build
from tanas.networks.recipe import final_training, with_recipe
from tanas.networks.training import EVALUATION_BATCH, Training, logits_of
from tanas.tasks.task import Split, Task
from tanas_experiments.markdown import effect, provenance, signed, table, verdict
from tanas_experiments.paired import PairedDifference, paired
from tanas_experiments.rankings import weighted_tau
from tanas_experiments.searches import TEN_DRAWINGS

DONORS_KIND = "donors"
SCRATCH = "from scratch"
RECIPE, STEPS, BATCH = "light", 400, 64
HALF = 0.5
"""Share of the weights in the comparison with all of them."""
MOST_TESTED = 2_000
"""Test images at most: they have a standard error of one point at 30 % error."""

CHOSEN = "misfit"
"""The measure by which tanas chooses."""


@dataclass(frozen=True, kw_only=True)
class DonorTarget:
    """A target, and the donors that share an image or a class with it."""

    label: str
    name: str
    """As a person types it; {data} stands for the data root, {work} for the folder of work."""
    kin: tuple[str, ...] = ()
    side: int | None = None
    """Pixels of a side, if it differs from the pictures' own."""


_DRAWN = ("drawings", "ten drawings", "moon in one style")
_CLOTHES = ("clothes", "fashion, 200 images", "fashion, 1,500 images")
_DIGITS = ("digits", "digits of 8x8", "permuted MNIST")
_PHOTOS = ("small photos", "CIFAR-10, a tenth")
DONOR_TARGETS = (
    DonorTarget(
        label="ten drawings, 300", name=f"quickdraw:only={','.join(TEN_DRAWINGS)}:take=300", kin=_DRAWN
    ),
    DonorTarget(label="one style, 200", name="npz:{data}/quickdraw/one_style.npz:take=200", kin=_DRAWN),
    DonorTarget(label="clothes, 200", name="fashion-mnist:take=200", kin=_CLOTHES),
    DonorTarget(label="digits of 8x8, 200", name="digits:take=200", kin=_DIGITS),
    DonorTarget(label="permuted digits, 300", name="npz:{work}/permuted-mnist.npz:take=300", kin=_DIGITS),
    DonorTarget(label="MNIST, 100", name="mnist:take=100", kin=_DIGITS),
    DonorTarget(label="traffic signs, 1,000", name="npz:{work}/signs.npz:take=1000"),
    DonorTarget(label="photos, 500", name="npz:{data}/cifar10_6k.npz:take=500", kin=_PHOTOS),
    DonorTarget(label="steel, 300", name="npz:{data}/steel64.npz:take=300", kin=("steel",), side=32),
    DonorTarget(
        label="recyclables, 300",
        name="folder:{data}/photos/recyclables:take=300",
        kin=("recyclables",),
        side=32,
    ),
    DonorTarget(label="groceries", name="folder:{data}/photos/grocery", kin=("groceries",), side=32),
    DonorTarget(label="ants and bees", name="folder:{data}/photos/ants_bees", side=32),
)


@dataclass(frozen=True, kw_only=True)
class DonorRow:
    """One training of a target."""

    target: str
    donor: str
    """Name of the known task, or `SCRATCH`."""
    seed: int
    images: int
    """That the donor was trained on; 0 from scratch."""
    error: float
    """Share of wrong answers on the test images."""
    loss: float
    """Cross-entropy on the test images, in nats."""
    measures: Mapping[str, float]
    """By name; the lower, the nearer. Empty from scratch."""
    half_error: float | None = None
    """The error with `HALF` of the donor's weights, the rest new; None: not measured."""


@dataclass(frozen=True, kw_only=True)
class DonorsRecord:
    """What records/donors.json holds."""

    kind: str = DONORS_KIND
    schema: int = SCHEMA
    command: str
    n: int
    """Seeds of a target."""
    steps: int
    hardware: Mapping[str, Any]
    versions: Mapping[str, str]
    rows: tuple[DonorRow, ...]


def networks_of(memories: Sequence[Dictionary]) -> dict[str, tuple[Dictionary, Atom]]:
    """The atoms of memories that keep a network, by the name of their task."""
    return {
        atom.task.name: (memory, atom)
        for memory in memories
        for atom in memory.atoms()
        if atom.kept is not None
    }


def trained_row(
    task: Task, test: Split, target: DonorTarget, donor: str, start: Network, seed: int, **known: Any
) -> DonorRow:
    """Train a network on a target's training images, and test it."""
    steps = max(len(task.train) // BATCH, 1)
    training = with_recipe(final_training(), RECIPE)
    training = replace(training, epochs=max(round(STEPS / steps), 1), batch=BATCH, least_steps=0, meant_for=0)
    at = Context(seed=Seed(seed).child("order"))
    Training(start, task.train, training, classes=len(task.classes), at=at).run()
    logits = logits_of(start, test, device="cpu")
    return DonorRow(
        target=target.label,
        donor=donor,
        seed=seed,
        error=float((logits.argmax(dim=1) != test.labels).double().mean()),
        loss=float(functional.cross_entropy(logits, test.labels)),
        **known,
    )


def beginning(
    task: Task, kept: StoredNetwork | None, architecture: Architecture, seed: int, share: float = 1.0
) -> Network:
    """New weights, or a share of those of a stored network in kernels and matrices; the rest of these is new.

    Source: Ash and Adams, On Warm-Starting Neural Network Training, NeurIPS 2020 (shrink and perturb).
    """
    own = Seed(seed).child("weights")
    new = build(architecture, task.shape, len(task.classes), own)
    if kept is None:
        return new
    network, fresh = carried(kept, task.shape, task.classes, own), new.state_dict()
    mixed = {
        name: fresh[name].lerp(value, share) if value.dim() > 1 else value
        for name, value in network.state_dict().items()
    }
    network.load_state_dict(mixed)
    return network


def measures(task: Task, memory: Dictionary, atom: Atom, target: Representative) -> dict[str, float]:
    """What might foretell how much a stored network helps a task, by name; the lower, the more."""
    kept = memory.network(atom)
    assert kept is not None
    network = carried(kept, task.shape, task.classes, Seed(0))
    for module in network.modules():
        if isinstance(module, PixelNorm):
            module.fit(task.train.parts(EVALUATION_BATCH))
    features, labels, classes = stage_features(network, task.train), task.train.labels, len(task.classes)
    last = features[:, -network.head.in_features :]
    found = {
        CHOSEN: misfit(features, labels, classes),
        "misfit, last stage": misfit(last, labels, classes),
        "LogME": -log_evidence(last, labels, classes),
        "LogME, all stages": -log_evidence(features, labels, classes),
        "images": -float(len(kept.seen)),
    }
    pair = make_pair(memory.representative(atom), target, task, PairConfig())
    for name, method in (("d", "linear"), ("k-NN", "knn"), ("LogME, representative", "logme")):
        try:
            found[name] = make_distance(DistanceConfig(), method)(pair, Seed(0)).order
        except SettingError:  # too few images of a class for k-NN
            continue
    return found


def limited_test(test: Split) -> Split:
    """At most `MOST_TESTED` test images, stratified."""
    return test.stratified(MOST_TESTED, Seed(0).child("test")) if len(test) > MOST_TESTED else test


@dataclass(frozen=True, kw_only=True)
class Foretold:
    """How well a measure chooses donors."""

    measure: str
    tau: float
    """Weighted Kendall's tau with the gain in loss, mean over targets and seeds."""
    gain: PairedDifference
    """Error from scratch minus error with the chosen donor's weights, over targets (means of seeds)."""


def by_measure(record: DonorsRecord) -> tuple[Foretold, ...]:
    """How well each measure chooses donors, the greatest gain first; what is missing somewhere is left out."""
    runs: dict[tuple[str, int], list[DonorRow]] = {}
    for row in record.rows:
        runs.setdefault((row.target, row.seed), []).append(row)
    donors = [[row for row in rows if row.donor != SCRATCH] for rows in runs.values()]
    names = [
        name
        for name in next(iter(donors))[0].measures
        if all(name in row.measures for rows in donors for row in rows)
    ]
    found = []
    for name in names:
        taus = [
            weighted_tau([-row.loss for row in rows], [-row.measures[name] for row in rows])
            for rows in donors
        ]
        chosen = chosen_errors(record, partial(first_by, name))
        found.append(
            Foretold(
                measure=name,
                tau=statistics.fmean(tau or 0.0 for tau in taus),
                gain=paired(chosen, chosen_errors(record, None)),
            )
        )
    return tuple(sorted(found, key=lambda one: -one.gain.mean))


def chosen_errors(
    record: DonorsRecord, choose: Callable[[Sequence[DonorRow]], DonorRow] | None
) -> list[float]:
    """The error of each target, mean of its seeds, with the weights of a chosen donor; None: from scratch."""
    means = []
    for target in dict.fromkeys(row.target for row in record.rows):
        errors = []
        for seed in sorted({row.seed for row in record.rows if row.target == target}):
            rows = [row for row in record.rows if (row.target, row.seed) == (target, seed)]
            donors = [row for row in rows if row.donor != SCRATCH]
            (scratch,) = (row for row in rows if row.donor == SCRATCH)
            errors.append((scratch if choose is None else choose(donors)).error)
        means.append(statistics.fmean(errors))
    return means


def first_by(measure: str, rows: Sequence[DonorRow]) -> DonorRow:
    """The donor that a measure chooses."""
    return min(rows, key=lambda row: row.measures[measure])


nearest = partial(first_by, CHOSEN)
"""The donor that tanas chooses."""


def farthest(rows: Sequence[DonorRow]) -> DonorRow:
    """The last that tanas would choose."""
    return max(rows, key=lambda row: row.measures[CHOSEN])


def donors_page(record: DonorsRecord) -> str:
    """The part of the page, Markdown."""
    scratch, near, far = (chosen_errors(record, choose) for choose in (None, nearest, farthest))
    targets = list(dict.fromkeys(row.target for row in record.rows))
    lines = []
    for target, *errors in zip(targets, scratch, near, far, strict=True):
        rows = [row for row in record.rows if row.target == target and row.donor != SCRATCH]
        first = [row for row in rows if row.seed == rows[0].seed]
        mean = statistics.fmean(row.error for row in rows)
        chosen = nearest(first).donor
        lines.append([f"{target} images", *(f"{100 * error:.1f}" for error in (*errors, mean)), chosen])
    measured = by_measure(record)
    best = max(measured, key=lambda one: one.tau)
    taus = [[one.measure, signed(one.tau), signed(100 * one.gain.mean, 1)] for one in measured]
    head = [
        "target",
        "new weights",
        "least misfit",
        "most misfit",
        "mean of all",
        "least misfit (first seed)",
    ]
    counted = len({row.donor for row in record.rows}) - 1
    parts = [
        "## Do the weights of known tasks help, and of which?",
        "\n".join(f"- {line}" for line in donors_answers(record)),
        table(head, lines),
        f"Test error in percent after {record.steps} steps, which is a fifth of a final training. {counted} donors; "
        "those that share an image or a class with a target are left out.",
        "## Which measure chooses donors?",
        f"- **{measured[0].measure}: its choice gains most, {signed(100 * measured[0].gain.mean, 1)} points.** "
        f"Weighted tau with the gain: {signed(measured[0].tau)}; the highest is that of {best.measure}, "
        f"{signed(best.tau)}.",
        table(["measure", "weighted tau", "gain of its choice, points"], taus),
        "Gain: error from scratch minus error with the weights of the donor that the measure puts first. "
        "These targets also served to choose the measure. "
        + provenance(record.command, record.hardware, record.versions),
    ]
    return "\n\n".join(parts) + "\n"


def donors_answers(record: DonorsRecord) -> tuple[str, ...]:
    """What the weights of the nearest bring, against new weights, those of the farthest, and half of its weights."""
    scratch, near, far = (chosen_errors(record, choose) for choose in (None, nearest, farthest))
    helps, apart = paired(near, scratch), paired(near, far)
    return (
        f"**{verdict(helps)}, those of the least misfit: {effect(helps, 'points of test error')}** against new weights "
        f"({len(near)} targets, seeds: n = {record.n} each).",
        f"Least against most misfit: {effect(apart, 'points')}.",
        *_halves(record),
    )


def _halves(record: DonorsRecord) -> tuple[str, ...]:
    by: dict[str, list[tuple[float, float]]] = {}
    for row in record.rows:
        if row.half_error is not None:
            by.setdefault(row.target, []).append((row.error, row.half_error))
    if not by:
        return ()
    whole, half = ([statistics.fmean(one[at] for one in errors) for errors in by.values()] for at in (0, 1))
    return (f"All of these weights against half of them: {effect(paired(whole, half), 'points')}.",)
