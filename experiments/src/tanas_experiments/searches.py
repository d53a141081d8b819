"""Searches side by side: does knowing other tasks help, does it matter that they are near, is FUSE better than chance?

Every search of a target and seed has the same data, splits, final recipe and seeds. What is called equal cost is
equal multiply-adds of training (`LedgerRecord`), all counted. All searches by FUSE may spend the same
on a target and are ended by that alone, so that one that inherits large architectures tries fewer of them. Any other
strategy may spend what task-aware FUSE did. What measures no distance may spend also what representing the task and
measuring took.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from statistics import fmean
from typing import Any

from tanas.algorithm.presets import ALL, SearchConfig, compared, default, quick
from tanas.algorithm.result import Result
from tanas.algorithm.space import base_space
from tanas.api.build import build_dictionary
from tanas.api.run import Job, run_search
from tanas.dictionary.store import Dictionary
from tanas.engines.local import LocalEngine
from tanas.engines.resources import Machine, Resources
from tanas.ground.errors import BudgetError, SettingError, check_choice, check_range
from tanas.ground.events import Listener, StepAdvanced, StepFinished, StepStarted, Warned
from tanas.ground.records import to_plain
from tanas.ground.seeds import Seed
from tanas.networks.training import TrainingConfig
from tanas.runs.folder import slug
from tanas.spaces.costs import cost_by_parts
from tanas.spaces.inherit import DEFAULT_INHERIT, PAPER_INHERIT
from tanas.strategies.base import training_macs
from tanas.tasks.library import Library
from tanas.tasks.task import Task
from tanas_experiments.by_maps import by_maps
from tanas_experiments.largest import ONE, LargestConfig
from tanas_experiments.neighbours import FARTHEST, RANDOM, inheriting
from tanas_experiments.permuted import write_permuted
from tanas_experiments.progress import Progress, progress_of
from tanas_experiments.tracks import by_track, write_official

KIND = "searches"
NO_END = 10_000
"""Candidates, or rounds, of a search that only its budget ends."""
FIRST_RUNG = 60
"""Most candidates that begin in successive halving: its budget pays for some 15."""
MEAN_DRAWS = 200
"""Architectures whose mean cost decides what a search may spend: known to a twentieth, in a tenth of a second."""
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
    Empty: what every search may spend, for one that measures no distance also what representing and measuring
    took."""
    few: bool = False
    """Whether it runs for the first few seeds only."""


UNION = "FUSE in the paper's union"
BLIND = "FUSE that knows nothing"
EVERY = "FUSE from all known tasks, none measured"
TRANSFER = "transfer, no search"
AWARE = Arm(name="task-aware FUSE", strategy="fuse", inherit=DEFAULT_INHERIT)
"""What the others are held against."""
ARMS = (
    AWARE,
    Arm(name="task-aware random search", strategy="random", inherit=DEFAULT_INHERIT, budget="search"),
    Arm(name=BLIND, strategy="fuse", inherit="none"),
    Arm(name="random search that knows nothing", strategy="random", inherit="none", budget="all"),
    Arm(name="FUSE from the farthest", strategy="fuse", inherit=FARTHEST),
    Arm(name="FUSE from random tasks", strategy="fuse", inherit=RANDOM),
    Arm(name=EVERY, strategy="fuse", inherit=ALL),
    Arm(name=UNION, strategy="fuse", inherit=PAPER_INHERIT, few=True),
    Arm(name=TRANSFER, strategy="fuse", inherit="transfer", few=True),
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
LARGEST = f"the largest of {LargestConfig().pool}, no search"
"""What a sceptic takes: of those drawn from the space within its limits the one with most parameters."""
UNSEARCHED = (
    Arm(name=ZERO_LINE, strategy="random", inherit="none"),
    Arm(name=LARGEST, strategy=ONE, inherit="none"),
)
"""They know nothing and search nothing."""


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
    """The first so many; of the rivals."""
    few_seeds: int = 4
    """The first so many; of arms that are none of those that the experiment is about."""
    budget_scores: int = 12
    """A search may spend what so many scores of architectures of mean cost take: five rounds of FUSE with the scores of
    their winners."""
    search: SearchConfig = field(default_factory=SearchConfig)

    def __post_init__(self) -> None:
        for name in ("rival_seeds", "few_seeds", "budget_scores"):
            check_range(getattr(self, name), name, "SearchesConfig", low=1)
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
    distances: tuple[float, ...] = ()
    """Of the neighbours to the target."""
    left_out: tuple[int, int] | None = None
    """(how many the limits of the space leave out, of how many that were drawn without them); None: not asked."""
    allowed: int | None = None
    """Multiply-adds that the search might spend; None: no limit."""
    progress: tuple[Progress, ...] = ()
    """Where a search by FUSE stood after each round."""

    @property
    def spent_before_training(self) -> int:
        """Of all phases but the final training."""
        return sum(macs for phase, macs in self.spent.items() if phase != "train")


def smoke_scale() -> SearchesConfig:
    """Digits, offline: shows in minutes that all of it works."""
    search = by_maps(compared(quick(), TrainingConfig(epochs=12, batch=64)))
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
    """Six targets that differ and eight known tasks, some of each kind; hours on two cores.

    At most 1,500 training images and 4 million multiply-adds (twice the mean of the space at 28x28), so that a search
    with its final training takes under two minutes on one core.
    """
    one_style = "npz:{data}/quickdraw/one_style.npz"
    targets = (
        Named(label="moon in one style", name=f"{one_style}:is=moon"),
        Named(label="ten drawings", name=f"quickdraw:only={','.join(TEN_DRAWINGS)}:take=1500"),
        Named(label="fashion, 1,500 images", name="fashion-mnist:take=1500"),
        Named(label="fashion, 200 images", name="fashion-mnist:take=200"),
        Named(label="permuted MNIST", name="npz:{work}/permuted-mnist.npz"),
        Named(label="digits", name="digits"),
    )
    known = (
        Named(label="MNIST 0-4", name="mnist:only=0,1,2,3,4:take=1500"),
        Named(label="MNIST even or odd", name="mnist:groups=0+2+4+6+8/1+3+5+7+9:take=1500"),
        Named(label="trousers", name="fashion-mnist:is=trouser:take=1500"),
        Named(label="clothes 0-4", name="fashion-mnist:only=0,1,2,3,4:take=1500"),
        Named(label="apple or bear", name="quickdraw:only=apple,bear,lollipop,rabbit:take=1500"),
        Named(label="door in one style", name=f"{one_style}:is=door"),
        Named(label="permuted fashion", name="npz:{work}/permuted-fashion.npz:take=1500"),
        Named(label="digits even or odd", name="digits:groups=0+2+4+6+8/1+3+5+7+9"),
    )
    return SearchesConfig(
        scale="laptop",
        targets=targets,
        known=known,
        seeds=tuple(range(8)),
        rivals_on=("moon in one style", "digits"),
        search=replace(
            by_maps(compared(default(), TrainingConfig(least_steps=150))), limit=1_500, max_macs=4_000_000
        ),
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
    if "{work}/signs.npz" not in named.name:
        return library.open(typed(named, library, work))
    signs = Path(library.reading.data) / "gtsrb32.npz"
    write_official(signs, work / "signs.npz")
    return by_track(library.open(typed(named, library, work)), signs, Seed(0).child("tracks"))


def typed(named: Named, library: Library, work: Path) -> str:
    """The name of a task of the experiment as it is typed on this machine."""
    return named.name.replace("{data}", str(library.reading.data)).replace("{work}", str(work))


def memory_of(
    config: SearchesConfig,
    library: Library,
    folder: Path,
    place: Path,
    *,
    resources: Resources,
    engine: LocalEngine,
    listener: Listener,
) -> Dictionary:
    """The dictionary of an experiment at its place, built once and shared by all its searches; from seed 0."""
    dictionary = Dictionary.create(place)
    tasks = [opened(named, library, folder) for named in config.known]
    build_dictionary(
        dictionary,
        tasks,
        library,
        config.search.learning(),
        seed=0,
        machine=Machine(resources=resources, engine=engine, listener=listener),
    )
    return dictionary


def labels_of(config: SearchesConfig, library: Library, folder: Path) -> dict[str, str]:
    """The label of each known task by the hash of its data; its name may hold the folder of another experiment."""
    search = config.search
    known = {named.label: opened(named, library, folder) for named in config.known}
    return {
        task.measured_by(search.performance).limited(search.limit).fingerprint: label
        for label, task in known.items()
    }


def arms_of(config: SearchesConfig, target: str, seed: int) -> tuple[Arm, ...]:
    """The arms that run for a target and a seed, the one that sets budgets first."""
    rivals = target in config.rivals_on and seed < config.rival_seeds
    arms = tuple(arm for arm in ARMS if not arm.few or seed < config.few_seeds)
    return (*arms, *UNSEARCHED, *(RIVALS if rivals else ()))


def allowance(task: Task, config: SearchesConfig) -> int:
    """Multiply-adds that a search for a task may spend on trainings: `SearchesConfig.budget_scores`.

    Args:
        task: as its source gives it.
        config: of the experiment.
    """
    search = config.search
    task = task.without_test().measured_by(search.performance).limited(search.limit)
    scoring = search.suited_to(len(task.train)).scoring
    space = base_space(task, search)
    shape, classes = task.shape, len(task.classes)
    drawn = space.sample(MEAN_DRAWS, seed=Seed(0).child("allowance"), shape=shape, classes=classes)
    mean = fmean(cost_by_parts(one, shape, classes).macs for one in drawn)
    images = len(task.limited(scoring.images).train) * scoring.training.epochs
    return config.budget_scores * training_macs(round(mean), images)


def configured(arm: Arm, search: SearchConfig, aware: SearchRow | None) -> SearchConfig:
    """How an arm searches.

    Args:
        arm: one of `arms_of`.
        search: what all arms share, among it what each may spend; without that FUSE is ended by its rounds.
        aware: what the first arm spent; needed by arms with a budget of their own, and by those that measure nothing.
    """
    unmeasured = arm.inherit in ("none", ALL)
    config = replace(
        search,
        strategy=arm.strategy,
        neighbours=None if unmeasured else search.neighbours,  # there are no nearest
        threshold=None if unmeasured else search.threshold,
    )
    config = inheriting(config, arm.inherit)
    if arm.name in (ZERO_LINE, LARGEST):
        return replace(
            config,
            random=replace(config.random, candidates=1),
            inherit_seed=False,
            budget_macs=None,
        )
    budget = config.budget_macs
    if arm.budget:
        assert aware is not None
        budget = aware.spent["search"] if arm.budget == "search" else aware.spent_before_training
    elif budget is not None and unmeasured:
        assert aware is not None
        budget += aware.spent_before_training - aware.spent["search"]
    if budget is None:
        return config
    # nothing but the budget ends it
    return replace(
        config,
        budget_macs=budget,
        rounds_led=NO_END,
        fuse=replace(config.fuse, rounds=NO_END, patience=NO_END),
        halving=replace(config.halving, candidates=FIRST_RUNG),
        random=replace(config.random, candidates=NO_END),
        # the budget pays for some four: so half of them are mutations, or predicted
        evolution=replace(config.evolution, candidates=NO_END, population=2, sample=2, children=1),
        predictor=replace(config.predictor, candidates=NO_END, initial=2, batch=1),
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
        took_s={phase.phase: round(phase.took_s, 3) for phase in result.ledger.phases},
        distances=tuple(one.distance for one in result.neighbours),
        left_out=result.space.over_limits,
        allowed=result.config.get("budget_macs"),
        progress=progress_of(result),
    )


def searched(
    config: SearchesConfig,
    library: Library,
    folder: Path,
    *,
    dictionary: Path | None = None,
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
        folder: of the experiment; it keeps every run.
        dictionary: folder of the known tasks, which several experiments can share; None: one in that of the experiment.
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
    memory = memory_of(
        config,
        library,
        folder,
        dictionary or folder / "dictionary",
        resources=resources,
        engine=engine,
        listener=listener,
    )
    nothing = Dictionary.create(folder / "nothing")
    labels = labels_of(config, library, folder)

    @cache
    def may_spend(target: Named) -> int:
        return allowance(opened(target, library, folder), config)

    step = f"searches at scale {config.scale}"
    listener(StepStarted(step=step, total=len(plan), unit="searches"))
    for target, seed, arm in todo:
        aware = rows.get((target.label, seed, AWARE.name))
        if aware is None and arm != AWARE:  # it could not begin: there is nothing to be held against it
            continue
        try:
            run = run_search(
                opened(target, library, folder).limited(config.search.limit),
                folder / "runs" / slug(target.label) / f"seed-{seed}" / slug(arm.name),
                nothing if arm.inherit == "none" else memory,
                Job(
                    config=configured(arm, replace(config.search, budget_macs=may_spend(target)), aware),
                    seed=seed,
                    command=f"tanas reproduce search --scale {config.scale}",
                ),
                Machine(resources=resources, engine=engine, listener=listener),
            )
        except BudgetError as error:  # what the first arm spent may not pay for one training of another's
            listener(Warned(message=f"{target.label}, seed {seed}: {arm.name} is left out. {error}"))
            continue
        result = run.result()
        row = row_of(target.label, seed, arm.name, result)
        row = replace(row, neighbours=tuple(labels[one.fingerprint] for one in result.neighbours))
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
        "budget_scores": config.budget_scores,
        "arms": [to_plain(arm) for arm in (*ARMS, *UNSEARCHED, *RIVALS)],
        "seeds": to_plain(SCALES[config.scale]().seeds),
        "few_seeds": config.few_seeds,
        "rival_seeds": config.rival_seeds,
        "rivals_on": list(config.rivals_on),
    }
