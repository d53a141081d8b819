"""Searches side by side: does knowing other tasks help, does it matter that they are near, is FUSE better than chance?

Every search of a target and seed has the same data, splits, final recipe and seeds. What is called equal cost is
equal multiply-adds of training (`tanas.results.LedgerRecord`): random search may spend what FUSE did, and where it
knows no tasks also what representing the task and measuring distances took.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from tanas.api import run_search
from tanas.building import build_dictionary
from tanas.dictionary.store import Dictionary
from tanas.engines.local import LocalEngine
from tanas.errors import BudgetError, SettingError, check_choice, check_range
from tanas.events import Listener, StepAdvanced, StepFinished, StepStarted, Warned
from tanas.evidence.permuted import write_permuted
from tanas.networks.training import TrainingConfig
from tanas.presets import SearchConfig, laptop, smoke
from tanas.records import to_plain
from tanas.results import Result
from tanas.runs import slug
from tanas.seeds import Seed
from tanas.spaces.inherit import DEFAULT_INHERIT, PAPER_INHERIT
from tanas.tasks.library import Library
from tanas.tasks.task import Task
from tanas.workshop import Resources

KIND = "searches"
NO_END = 10_000
"""Candidates of a search that only its budget ends."""
PERMUTED_TRAIN, PERMUTED_TEST = 5_000, 5_000
"""Images of the permuted sets."""


@dataclass(frozen=True, kw_only=True)
class Arm:
    """A way to search that is compared."""

    name: str
    strategy: str
    inherit: str
    budget: str = ""
    """'search': what the search of the first arm spent; 'all': that, and what representing and measuring took.
    Empty: as the configuration has it."""


UNION = "FUSE in the paper's union"
AWARE = Arm(name="task-aware FUSE", strategy="fuse", inherit=DEFAULT_INHERIT)
"""What the others are held against."""
ARMS = (
    AWARE,
    Arm(name="task-aware random search", strategy="random", inherit=DEFAULT_INHERIT, budget="search"),
    Arm(name="FUSE that knows nothing", strategy="fuse", inherit="none"),
    Arm(name="random search that knows nothing", strategy="random", inherit="none", budget="all"),
    Arm(name="FUSE from the farthest", strategy="fuse", inherit="farthest"),
    Arm(name="FUSE from random tasks", strategy="fuse", inherit="random-neighbours"),
    Arm(name=UNION, strategy="fuse", inherit=PAPER_INHERIT),
    Arm(name="transfer, no search", strategy="fuse", inherit="transfer"),
)
RIVALS = (
    Arm(name="evolution", strategy="evolution", inherit=DEFAULT_INHERIT, budget="search"),
    Arm(name="successive halving", strategy="halving", inherit=DEFAULT_INHERIT, budget="search"),
    Arm(name="predictor", strategy="predictor", inherit=DEFAULT_INHERIT, budget="search"),
    Arm(name="weight-sharing random search", strategy="ws-random", inherit=DEFAULT_INHERIT, budget="search"),
    Arm(name="DARTS", strategy="darts", inherit=DEFAULT_INHERIT, budget="search"),
)
"""Compared on fewer targets."""
ZERO_LINE = "one random architecture"
"""The mean architecture of the space, trained like any other: what no search at all gives."""


@dataclass(frozen=True, kw_only=True)
class Named:
    """A task and the short name under which it stands in tables."""

    label: str
    name: str
    """As a person types it; {data} stands for the data root, {work} for the experiment's folder."""


@dataclass(frozen=True, kw_only=True)
class SearchesConfig:
    """What is compared on what."""

    scale: str
    targets: tuple[Named, ...]
    known: tuple[Named, ...]
    """Tasks of the dictionary, some near and some far from each target."""
    seeds: tuple[int, ...]
    rivals_on: tuple[str, ...] = ()
    """Labels of the targets on which the further rivals run too."""
    rival_seeds: int = 3
    search: SearchConfig = field(default_factory=SearchConfig)

    def __post_init__(self) -> None:
        check_range(self.rival_seeds, "rival_seeds", "SearchesConfig", low=1)
        if not self.seeds or len(set(self.seeds)) < len(self.seeds):
            raise SettingError(
                f"The 'seeds' of SearchesConfig must be different numbers, at least one. Got {self.seeds} instead."
            )


@dataclass(frozen=True, kw_only=True)
class SearchRow:
    """What one search gave."""

    target: str
    seed: int
    arm: str
    test_error: float
    test_balanced_error: float
    validation_performance: float
    parameters: int
    macs: int
    """Of the answer to one image."""
    architecture: str
    """Its key."""
    stopped: str
    candidates: int
    neighbours: tuple[str, ...]
    """Names of the related tasks, nearest first; labels in searches side by side, as a name may hold a folder."""
    spent: dict[str, int]
    """Multiply-adds of training by phase."""
    took_s: dict[str, float]
    """Wall-clock seconds by phase."""

    @property
    def spent_before_training(self) -> int:
        """Of all phases but the final training."""
        return sum(macs for phase, macs in self.spent.items() if phase != "train")


def smoke_scale() -> SearchesConfig:
    """Digits, offline: shows in minutes that all of it works."""
    search = replace(smoke(), training=TrainingConfig(epochs=12, batch=64))
    return SearchesConfig(
        scale="smoke",
        targets=(Named(label="digits:is=8", name="digits:is=8"),),
        known=tuple(
            Named(label=name, name=name)
            for name in ("digits:is=3", "digits:is=0", "digits:is=1", "digits:is=9")
        ),
        seeds=(0, 1),
        search=replace(search, neighbours=2),
    )


def laptop_scale() -> SearchesConfig:
    """Six targets that differ and eight known tasks, some of each kind; hours on two cores."""
    one_style = "npz:{data}/quickdraw/one_style.npz"
    targets = (
        Named(label="moon in one style", name=f"{one_style}:is=moon"),
        Named(label="ten drawings", name=f"quickdraw:only={','.join(TEN_DRAWINGS)}:take=4000"),
        Named(label="fashion, 4,000 images", name="fashion-mnist:take=4000"),
        Named(label="fashion, 200 images", name="fashion-mnist:take=200"),
        Named(label="permuted MNIST", name="npz:{work}/permuted-mnist.npz"),
        Named(label="digits", name="digits"),
    )
    known = (
        Named(label="MNIST 0-4", name="mnist:only=0,1,2,3,4:take=3000"),
        Named(label="MNIST even or odd", name="mnist:groups=0+2+4+6+8/1+3+5+7+9:take=3000"),
        Named(label="trousers", name="fashion-mnist:is=trouser:take=3000"),
        Named(label="clothes 0-4", name="fashion-mnist:only=0,1,2,3,4:take=3000"),
        Named(label="apple or bear", name="quickdraw:only=apple,bear,lollipop,rabbit:take=3000"),
        Named(label="door in one style", name=f"{one_style}:is=door"),
        Named(label="permuted fashion", name="npz:{work}/permuted-fashion.npz:take=3000"),
        Named(label="digits even or odd", name="digits:groups=0+2+4+6+8/1+3+5+7+9"),
    )
    return SearchesConfig(
        scale="laptop",
        targets=targets,
        known=known,
        seeds=tuple(range(8)),
        rivals_on=("moon in one style", "digits"),
        search=replace(laptop(), limit=4_000),
    )


TEN_DRAWINGS = (
    "airplane",
    "banana",
    "bicycle",
    "bird",
    "book",
    "bowtie",
    "cat",
    "diamond",
    "dog",
    "eye",
)
"""Categories with 2,000 drawings each in the data folder; none is among the known tasks."""

SCALES: Mapping[str, Callable[[], SearchesConfig]] = {"smoke": smoke_scale, "laptop": laptop_scale}
"""Settings by the name that `--scale` takes."""


def at_scale(
    scale: str, *, first_seed: int = 0, seeds: int | None = None, targets: Sequence[str] = ()
) -> SearchesConfig:
    """The settings of a scale.

    Args:
        scale: a name of `SCALES`.
        first_seed: the others follow it.
        seeds: how many; None: the scale's own number.
        targets: labels of those to search for; empty: all.

    Raises:
        SettingError: there is no such scale or target, or less than one seed.
    """
    check_choice(scale, "scale", "search", SCALES)
    config = SCALES[scale]()
    count = len(config.seeds) if seeds is None else seeds
    check_range(count, "seeds", "search", low=1)
    labels = [target.label for target in config.targets]
    for label in targets:
        check_choice(label, "targets", "search", labels)
    return replace(
        config,
        seeds=tuple(range(first_seed, first_seed + count)),
        targets=tuple(t for t in config.targets if not targets or t.label in targets),
    )


def opened(named: Named, library: Library, work: Path) -> Task:
    """A task of the experiment, the files that it needs made first."""
    for source, file in (("mnist", "permuted-mnist.npz"), ("fashion-mnist", "permuted-fashion.npz")):
        if f"{{work}}/{file}" in named.name:
            write_permuted(
                library.open(source),
                work / file,
                seed=Seed(0).child("permuted", source),
                train=PERMUTED_TRAIN,
                test=PERMUTED_TEST,
            )
    root = library.reading.data
    return library.open(named.name.replace("{data}", str(root)).replace("{work}", str(work)))


def memory_of(
    config: SearchesConfig,
    library: Library,
    folder: Path,
    *,
    resources: Resources,
    engine: LocalEngine,
    listener: Listener,
) -> Dictionary:
    """The dictionary of an experiment, built once and shared by all its searches; from seed 0."""
    dictionary = Dictionary.create(folder / "dictionary")
    tasks = [opened(named, library, folder) for named in config.known]
    build_dictionary(
        dictionary,
        tasks,
        library,
        config.search.learning(),
        seed=0,
        resources=resources,
        engine=engine,
        listener=listener,
    )
    return dictionary


def arms_of(config: SearchesConfig, target: str, seed: int) -> tuple[Arm, ...]:
    """The arms that run for a target and a seed, the one that sets the budgets first."""
    rivals = target in config.rivals_on and seed in config.seeds[: config.rival_seeds]
    zero = Arm(name=ZERO_LINE, strategy="random", inherit="none")
    return (*ARMS, zero, *(RIVALS if rivals else ()))


def configured(arm: Arm, search: SearchConfig, aware: SearchRow | None) -> SearchConfig:
    """How an arm searches.

    Args:
        arm: one of `arms_of`.
        search: what all arms share.
        aware: what the first arm spent; needed by arms with a budget.
    """
    config = replace(search, strategy=arm.strategy, inherit=arm.inherit)
    if arm.name == ZERO_LINE:
        return replace(config, random=replace(config.random, candidates=1), inherit_seed=False)
    if not arm.budget:
        return config
    assert aware is not None
    budget = aware.spent["search"] if arm.budget == "search" else aware.spent_before_training
    config = replace(config, budget_macs=budget)
    # what tries candidates one after the other may do so until the budget ends it
    return replace(
        config,
        random=replace(config.random, candidates=NO_END),
        evolution=replace(config.evolution, candidates=NO_END),
        predictor=replace(config.predictor, candidates=NO_END),
    )


def row_of(target: str, seed: int, arm: str, result: Result) -> SearchRow:
    """A search in brief."""
    assert result.ledger is not None
    return SearchRow(
        target=target,
        seed=seed,
        arm=arm,
        test_error=result.metrics.test_error,
        test_balanced_error=result.metrics.test_balanced_error,
        validation_performance=result.metrics.validation_performance,
        parameters=result.parameters,
        macs=result.macs,
        architecture=result.architecture.key,
        stopped=result.stopped,
        candidates=len(result.seen),
        neighbours=tuple(one.atom for one in result.neighbours),
        spent={phase.phase: phase.macs for phase in result.ledger.phases},
        took_s={phase.phase: phase.took_s for phase in result.ledger.phases},
    )


def searched(
    config: SearchesConfig,
    library: Library,
    folder: Path,
    *,
    there: Sequence[SearchRow] = (),
    resources: Resources,
    engine: LocalEngine,
    listener: Listener,
    done: Callable[[tuple[SearchRow, ...]], None],
) -> tuple[SearchRow, ...]:
    """Runs what is not done yet; seed by seed, so that what there is after any time is balanced.

    Args:
        config: what is compared.
        library: opens the tasks.
        folder: of the experiment; it keeps the dictionary and every run.
        there: rows that are known already and are not made again.
        resources: of the machine.
        engine: runs jobs.
        listener: is told what happens.
        done: is given all rows after each search.
    """
    rows = {(row.target, row.seed, row.arm): row for row in there}
    plan = [
        (target, seed, arm)
        for seed in config.seeds
        for target in config.targets
        for arm in arms_of(config, target.label, seed)
    ]
    todo = [one for one in plan if (one[0].label, one[1], one[2].name) not in rows]
    if not todo:
        return tuple(rows.values())
    memory = memory_of(config, library, folder, resources=resources, engine=engine, listener=listener)
    nothing = Dictionary.create(folder / "nothing")
    labels = {opened(named, library, folder).name: named.label for named in config.known}
    step = f"searches at scale {config.scale}"
    listener(StepStarted(step=step, total=len(plan), unit="searches"))
    for target, seed, arm in todo:
        aware = rows.get((target.label, seed, AWARE.name))
        try:
            run = run_search(
                opened(target, library, folder),
                folder / "runs" / slug(target.label) / f"seed-{seed}" / slug(arm.name),
                # what knows nothing has nothing to represent and to measure
                nothing if arm.inherit == "none" else memory,
                remember=False,
                config=configured(arm, config.search, aware),
                seed=seed,
                resources=resources,
                engine=engine,
                listener=listener,
                reuse=False,
                time_limit=None,
                command=f"tanas reproduce search --scale {config.scale}",
            )
        except BudgetError as error:  # what the first arm spent may not pay for one training of another's
            listener(Warned(message=f"{target.label}, seed {seed}: {arm.name} is left out. {error}"))
            continue
        row = row_of(target.label, seed, arm.name, run.result())
        row = replace(row, neighbours=tuple(labels[name] for name in row.neighbours))
        rows[row.target, row.seed, row.arm] = row
        done(tuple(rows.values()))
        listener(StepAdvanced(step=step, done=len(plan) - len(todo) + 1 + todo.index((target, seed, arm))))
    listener(StepFinished(step=step))
    return tuple(rows.values())


def settings_of(config: SearchesConfig) -> dict[str, Any]:
    """What decides a row beside target, seed and arm; rows of other settings don't stand together."""
    return {
        "known": [named.name for named in config.known],
        "targets": {named.label: named.name for named in SCALES[config.scale]().targets},
        "search": to_plain(config.search),
    }
