"""The phases of Algorithm 1, each a function; `tanas.algorithm.search` reads as the algorithm itself."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from tanas.algorithm.presets import AUTO, DEFAULT_NEIGHBOURS, SearchConfig
from tanas.dictionary.advice import Advice, advise
from tanas.dictionary.distances import Bench, Related, Reused, at_threshold, boundary, measured, nearest
from tanas.dictionary.learn import (
    LearnConfig,
    Learnt,
    atom_of,
    represent_macs,
    score_winners,
    space_of,
    warn_if_weak,
)
from tanas.dictionary.store import Dictionary
from tanas.dictionary.stored_network import KeptNetwork, kept
from tanas.dictionary.task_record import Atom, Provenance, Reuse, best_first
from tanas.distances.representative import Representative, represent
from tanas.ground.checkpoints import Checkpoint, NoCheckpoint, Stopwatch
from tanas.ground.errors import SettingError
from tanas.ground.events import Event, Listener, StepStarted, Told, Warned
from tanas.ground.executor import Executor
from tanas.ground.records import to_plain
from tanas.ground.seeds import Seed
from tanas.ground.versions import versions
from tanas.networks.architecture import Architecture, Network
from tanas.networks.scoring import ScoredArchitecture, unscored
from tanas.spaces.inherit import (
    ALL,
    CONTROLS,
    DEFAULT_INHERIT,
    FARTHEST,
    Inheritance,
    Inherited,
    can_be_taken,
    chosen_neighbours,
    inherit,
)
from tanas.spaces.latency import Latency, MeasuredLatency
from tanas.spaces.space import SearchSpace
from tanas.strategies.base import Deadline, Outcome, Strategy
from tanas.strategies.estimate import examples_of, expected_seconds
from tanas.strategies.fuse import final_choice
from tanas.strategies.registry import make_strategy
from tanas.tasks.performance import Evaluation
from tanas.tasks.task import Split, Task

REUSED = "distances_reused_s"
"""Where a run keeps how many seconds of distances were measured before it."""

LIMIT_DRAWS = 200
"""Architectures that are drawn to say what share the limits leave out: it is known to a few hundredths, in a second."""


@dataclass
class Workplace:
    """Where a search is computed: what the edges hand to the algorithm."""

    device: str
    """'cpu', 'cuda' or 'mps'."""
    workers: int
    """How many networks are trained side by side."""
    executor: Executor
    """Runs measurements of distances side by side."""
    deadline: Deadline
    """Seconds left for the search."""
    listener: Listener
    checkpoint: Checkpoint
    environment: dict[str, Any]
    """Versions, processor, threads: for the record."""
    command: str
    """What repeats this run: for the record."""
    warnings: list[str] = field(default_factory=list)
    """Heard so far: for the record."""
    latency: MeasuredLatency = field(init=False)
    """Times architectures where networks are trained."""

    def tell(self, event: Event) -> None:
        """The listener that also keeps warnings."""
        if isinstance(event, Warned) and event.message not in self.warnings:
            self.warnings.append(event.message)
            self.checkpoint.save("warnings", self.warnings)
        self.listener(event)

    def __post_init__(self) -> None:
        self.warnings = list(self.checkpoint.load("warnings") or self.warnings)
        self.latency = MeasuredLatency(device=self.device, checkpoint=self.checkpoint.child("latency"))


@dataclass(frozen=True, kw_only=True)
class SpaceDefined(Event):
    """The search space of a task stands."""

    task: str
    note: str
    size: int


def greet(
    task: Task,
    dictionary: Dictionary,
    config: SearchConfig,
    *,
    known: Sequence[Atom] | None,
    available: int,
    reuse: bool,
    place: Workplace,
) -> tuple[tuple[tuple[str, Atom], ...], tuple[str, Atom] | None]:
    """Says what is known before any long work, and refuses what can't be done.

    Returns:
        (name, atom) of every atom that can be a neighbour; and the task's own atom if it has one.

    Raises:
        SettingError: more neighbours are asked for than there are, or nothing is there to be reused.
    """
    others, own = relatives(dictionary, task, config, known=known, reuse=reuse)
    introduce(task, available, place)
    if own and not reuse:
        place.tell(
            Told(
                message=f"{task.name} is known already ({own[0]}): it is no neighbour of itself. "
                "`--reuse` trains its best architecture without a new search."
            )
        )
    if not others:
        place.tell(
            Told(
                message=f"The dictionary {dictionary.folder} knows no other task: the space '{config.space}' is "
                f"searched. A starter: tanas dictionary build {shlex.quote(str(dictionary.folder))}"
            )
        )
    return others, own


def introduce(task: Task, available: int, place: Workplace) -> None:
    """Says what is to be known of a task's images.

    Args:
        task: as it is worked on.
        available: its training images before the cap.
        place: who is told.
    """
    for note in task.notes:
        place.tell(Told(message=note))
    warn_of_gaps(task, "validation", task.validation, place)
    if available > len(task.train):
        place.tell(
            Told(
                message=f"The search uses {len(task.train):,} of the {available:,} training images of {task.name}; "
                "the final training uses them all. `--limit N` changes the first number."
            )
        )


def relatives(
    dictionary: Dictionary,
    task: Task,
    config: SearchConfig,
    *,
    known: Sequence[Atom] | None,
    reuse: bool,
    coming: int = 0,
) -> tuple[tuple[tuple[str, Atom], ...], tuple[str, Atom] | None]:
    """The atoms that can be neighbours of a task, and the task's own.

    Args:
        dictionary: what is known.
        task: as it is worked on.
        config: says how many neighbours are wanted.
        known: the atoms to use; None: all.
        reuse: whether the own atom is to be reused.
        coming: how many more atoms there will be when it is the task's turn.

    Returns:
        (name, atom) of each; and the own one, the best first if several share its data, or None.

    Raises:
        SettingError: more neighbours are asked for than there are, or nothing is there to be reused.
    """
    keys = None if known is None else {atom.key for atom in known}
    named = [(n, a) for n, a in dictionary.names().items() if keys is None or a.key in keys]
    others = tuple((n, a) for n, a in named if a.task.fingerprint != task.fingerprint)
    own = sorted(
        ((n, a) for n, a in named if a.task.fingerprint == task.fingerprint), key=lambda e: e[1].best is None
    )
    folder = (dictionary.base or dictionary).folder  # the one that a person named
    if config.neighbours is not None and config.neighbours > len(others) + coming:
        if dictionary.base is None and not coming:
            most = f"the {len(others)} atoms of {folder} that are not the task itself"
        else:
            most = f"{len(others) + coming} for {task.name}: the atoms of {folder}, and the tasks before it"
        raise SettingError(
            f"The 'neighbours' of SearchConfig must be at most {most}. "
            f"Got {config.neighbours} instead. Name fewer, or leave it out."
        )
    if reuse and not (own and own[0][1].best):
        raise SettingError(
            f"There is nothing to reuse: {folder} holds no scored architecture of {task.name}. "
            "Leave --reuse out to search."
        )
    return others, own[0] if own else None


def warn_of_gaps(task: Task, name: str, split: Split, place: Workplace) -> None:
    """Says which classes a split holds no image of: figures on it say nothing about them."""
    present = set(split.labels.tolist())
    if missing := [repr(label) for at, label in enumerate(task.classes) if at not in present]:
        place.tell(
            Warned(
                message=f"{task.name} has no {name} image of {', '.join(missing)}: "
                f"{name} figures say nothing about that. Give each class at least five images."
            )
        )


def base_space(config: SearchConfig | LearnConfig, task: Task, latency: Latency) -> SearchSpace:
    """The named space of a configuration, with its limits."""
    return space_of(
        config.space,
        task,
        max_parameters=config.max_parameters,
        max_macs=config.max_macs,
        max_latency_ms=config.max_latency_ms,
        latency=latency,
    )


def check_space(task: Task, config: SearchConfig | LearnConfig, *, device: str) -> None:
    """Refuses a base space that is unknown, or whose limits admit no architecture for a task.

    Args:
        task: as it is worked on.
        config: names the space and its limits.
        device: where networks are timed, if there is a limit of latency.

    Raises:
        UnknownNameError: there is no such space.
        SettingError: the limits admit nothing.
    """
    latency = MeasuredLatency(device=device, checkpoint=NoCheckpoint())
    base_space(config, task, latency).check_limits(task.shape, len(task.classes))


def represent_target(task: Task, config: SearchConfig, seed: Seed, place: Workplace) -> Representative:
    """The target's own representative; a weak one never stops a search."""
    representative = represent(
        task,
        config.representative,
        seed=seed.child("represent"),
        device=place.device,
        listener=place.tell,
        checkpoint=place.checkpoint.child("represent"),
    )
    warn_if_weak(representative, place.tell, strict=False)
    return representative


def measure(
    dictionary: Dictionary,
    others: Sequence[tuple[str, Atom]],
    representative: Representative | None,
    task: Task,
    config: SearchConfig,
    seed: Seed,
    place: Workplace,
) -> tuple[Related, ...]:
    """d(b -> t) for every atom b, nearest first; those behind the nearest only until that is known; of none for 'all'.

    Warns if the last of the nearest can't be told from the next one, or one of the two from the threshold, where
    there is one; both then have intervals.
    """
    if not others or representative is None or config.inherit == ALL:
        return ()
    bench = Bench.of(
        dictionary,
        representative,
        task,
        config.distance,
        config.pair,
        seed=seed.child("distance"),
        executor=place.executor,
        listener=place.tell,
        workers=place.workers,
        reused=Reused(place.checkpoint.child("distances")),
    )
    most = config.neighbours or DEFAULT_NEIGHBOURS
    # one more than is inherited from, to hold the last of them against; the farthest show only among all
    wanted = len(others) if config.inherit == FARTHEST else most + 1
    within = None if config.inherit == FARTHEST else config.threshold
    related = measured(bench, others, most=wanted, within=within).related
    doubts: list[str] = []
    sure: dict[str, Related] = {}
    if config.threshold is not None:
        for end in at_threshold(bench, related, config.threshold):
            sure[end.atom.name] = end.atom
            doubts += [] if end.told_apart else [str(end)]
    elif (edge := boundary(bench, related, most)) is not None:
        sure = {edge.last.name: edge.last, edge.next.name: edge.next}
        doubts += [] if edge.told_apart else [str(edge)]
    place.checkpoint.save(REUSED, bench.reused.seconds)
    for doubt in doubts:
        place.tell(Warned(message=f"Which tasks are inherited from is not sure: {doubt}"))
    return tuple(sure.get(one.name, one) for one in related)


def neighbours_of(
    related: Sequence[Related], config: SearchConfig, seed: Seed, place: Workplace
) -> tuple[Related, ...]:
    """The atoms that are inherited from: the nearest, or as many others for a control."""
    near = nearest(related, config.neighbours or DEFAULT_NEIGHBOURS, within=config.threshold)
    mode = DEFAULT_INHERIT if config.inherit == AUTO else config.inherit
    taken = chosen_neighbours(related, len(near), mode=mode, seed=seed.child("neighbours"))
    others = {one.name for one in taken} != {one.name for one in near}
    if config.inherit in CONTROLS and near and not others:
        place.tell(
            Warned(
                message=f"'{config.inherit}' takes the same {len(near)} of {len(related)} known tasks as are the "
                "nearest: it is no control here. Name fewer with --neighbours, or teach the dictionary more tasks."
            )
        )
    return taken


def advised(
    neighbours: Sequence[Related],
    known: Sequence[tuple[str, Atom]],
    base: SearchSpace,
    task: Task,
    config: SearchConfig,
    place: Workplace,
) -> Advice | None:
    """Reuse or search again? What the dictionary's past says; None where nothing is related."""
    if not neighbours:
        return None
    advice = advise(
        [(one.name, one.atom) for one in neighbours],
        [atom for _, atom in known],
        warm=config.warm_weights,
        fits=lambda one: can_be_taken(one, base, task.shape, len(task.classes)),
    )
    place.tell(Told(message=str(advice)))
    return advice


def related_space(
    others: Sequence[tuple[str, Atom]],
    related: Sequence[Related],
    neighbours: Sequence[Related],
    base: SearchSpace,
    task: Task,
    config: SearchConfig,
    advice: Advice | None,
    seed: Seed,
    place: Workplace,
    *,
    reused: tuple[str, Atom] | None = None,
) -> Inherited:
    """The search space that the nearest tasks give, or the base space; of a control, that of its own neighbours.

    For 'all' it is what every known atom gives. With `reused`, the task's own atom, none is searched: then that is
    told, and nothing of the space.
    """
    mode = config.inherit
    if mode == AUTO:
        mode = "transfer" if advice is not None and advice.reuse else DEFAULT_INHERIT
    order = chosen_neighbours(related, len(related), mode=mode, seed=seed.child("neighbours"))
    known = [
        _gives(
            one.name, one.atom, one.measurement.value, near.measurement.value if mode in CONTROLS else None
        )
        for one, near in zip(order, related, strict=True)  # the first of all are the nearest
    ]
    giving, behind = known[: len(neighbours)], known[len(neighbours) :]
    inherited = inherit(
        giving if mode != ALL else [_gives(name, atom) for name, atom in others],
        base,
        behind=behind if config.threshold is None else (),
        mode=mode,
        per_atom=config.per_atom,
        shape=task.shape,
        classes=len(task.classes),
    )
    if reused is not None:
        place.tell(Told(message=f"The best architecture of {reused[0]} is taken without a search."))
        return inherited
    inherited = _counted(inherited, task, seed.child("limits"))
    place.tell(SpaceDefined(task=task.name, note=inherited.note, size=inherited.space.size))
    place.tell(Told(message=inherited.note))
    return inherited


def _gives(
    name: str, atom: Atom, distance: float | None = None, counts_as: float | None = None
) -> Inheritance:
    """What an atom has to give; see `Inheritance`."""
    return Inheritance(
        name=name,
        distance=distance,
        architectures=atom.architectures,
        compared=atom.compared,
        counts_as=counts_as,
    )


def _counted(inherited: Inherited, task: Task, seed: Seed) -> Inherited:
    """With what the limits of parameters and multiply-adds leave out of the space, also in words."""
    space = inherited.space
    if inherited.transferred is not None or (space.max_parameters is None and space.max_macs is None):
        return inherited
    over, drawn = space.over_limits(LIMIT_DRAWS, seed=seed, shape=task.shape, classes=len(task.classes))
    limits = [f"{space.max_parameters:,} parameters"] if space.max_parameters is not None else []
    limits += [f"{space.max_macs:,} multiply-adds"] if space.max_macs is not None else []
    note = (
        f"{inherited.note} The limits of {' and '.join(limits)} leave out {over} of {drawn} architectures that were "
        "drawn from it without them."
    )
    return replace(inherited, note=note, over_limits=(over, drawn))


def timed(limit_ms: float | None, place: Workplace) -> str:
    """How many architectures a limit of latency left out so far, a sentence; empty without a limit."""
    if limit_ms is None:
        return ""
    taken = place.latency.measured
    slow = sum(ms > limit_ms for ms in taken)
    return (
        f"{len(taken)} architectures were timed; {slow} took "
        f"more than {limit_ms:g} ms to answer one image on this machine and were left out."
    )


def best_within(atom: Atom, space: SearchSpace, task: Task) -> ScoredArchitecture:
    """The scored architecture of a task's own atom that is best within the limits of a space.

    Args:
        atom: with at least one score.
        space: has the limits.
        task: without its test split.

    Raises:
        SettingError: none is within them; the message has the figures of the smallest.
    """
    scored = [one for one in best_first(atom.architectures) if one.score is not None]
    for one in scored:
        if space.allows(one.architecture, task.shape, len(task.classes)):
            return one
    least = min(scored, key=lambda one: one.parameters)
    raise SettingError(
        f"There is nothing to reuse: of {len(scored)} scored architectures that are known of {task.name} none is "
        f"within the limits; the smallest has {least.parameters:,} parameters and {least.macs:,} multiply-adds. "
        "Raise the limits, or leave --reuse out to search."
    )


def find(
    inherited: Inherited,
    task: Task,
    config: SearchConfig,
    seed: Seed,
    place: Workplace,
    *,
    known: tuple[str, Atom] | None,
    learns: bool = True,
    wanted: bool = False,
) -> Outcome:
    """The best architecture of the space, and a score for the winner of every round; none for one that won alone.

    Args:
        inherited: space and first seed.
        task: without its test split.
        config: how.
        seed: of every draw.
        place: where.
        known: the task's own atom, whose best architecture is taken without a search.
        learns: whether a dictionary may learn of it; else scores are made only where something is chosen by them.
        wanted: whether it wants the score of a winner without a rival too: it has scores of the task already, or still
            learns what a search adds to what was taken over.
    """
    if known is not None:
        best = best_within(known[1], base_space(config, task, place.latency), task)
        return Outcome(best=best.architecture, rounds=(), seen=(best,), stopped="reused")
    first = None
    if (taken := inherited.transferred) is not None:
        # scored below, so that the next task can inherit from this one
        outcome = Outcome(best=taken, rounds=(), seen=(unscored(taken, task),), stopped="transferred")
    else:
        first = inherited.seed_architecture if config.inherit_seed else None
        strategy = make_strategy(config.strategy, led(config, inherited.space, place))
        outcome = strategy.search(
            inherited.space,
            task,
            seed_architecture=first,
            seed=seed.child("search"),
            device=place.device,
            workers=place.workers,
            deadline=place.deadline,
            listener=estimating(strategy, inherited.space, task, config, seed, place),
            checkpoint=place.checkpoint.child("search"),
            budget_macs=config.budget_macs,
        )
    if note := timed(config.max_latency_ms, place):
        place.tell(Told(message=note))
    if not learns and not _needs_scores(inherited, config):
        return outcome
    if (alone := _alone(outcome, config)) and not (learns and wanted):
        place.tell(Told(message=f"{outcome.best.key} won alone: it is trained without a score before."))
        return outcome
    outcome = score_winners(
        outcome,
        task,
        config.scoring,
        seed=seed,
        device=place.device,
        listener=place.tell,
        checkpoint=place.checkpoint,
        # what was taken over is scored whoever wins: so a dictionary learns what a search adds to it
        also=() if first is None else (first,),
        deadline=place.deadline,
        workers=place.workers,
    )
    # whether a dictionary wants scores must not change what is found
    return final_choice(outcome, config.fuse) if config.strategy == "fuse" and not alone else outcome


def _needs_scores(inherited: Inherited, config: SearchConfig) -> bool:
    """Whether something is chosen by scores that are made after the search.

    FUSE chooses among its winners by them, and weights that are offered are held against the winner; other strategies
    have scored what they chose, and what is taken over is the only one.
    """
    return config.warm_weights or (config.strategy == "fuse" and inherited.transferred is None)


def _alone(outcome: Outcome, config: SearchConfig) -> bool:
    """Whether the winner needs no score: there was one round, so no other won. A third of such a search is saved.

    A budget has paid for the score, and weights that are offered, or a control, are held against it.
    """
    asked = config.budget_macs is not None or config.warm_weights or config.controls
    return config.strategy == "fuse" and len(outcome.rounds) == 1 and not asked


def led(config: SearchConfig, space: SearchSpace, place: Workplace) -> SearchConfig:
    """The same with fewer rounds of FUSE where what is known leads the draws; that is told. A budget is to be spent."""
    rounds, fewer = config.fuse.rounds, config.led_rounds()
    known = space.promise is not None and space.promise.leads
    if config.strategy != "fuse" or config.budget_macs is not None or not known or fewer >= rounds:
        return config
    many = "1 round is" if fewer == 1 else f"{fewer} rounds are"
    place.tell(
        Told(
            message=f"So much is known of what sizes promise that {many} searched instead of {rounds}; "
            "`--rounds N`, or 'rounds_led' in a file of settings, asks for more."
        )
    )
    return replace(config, fuse=replace(config.fuse, rounds=fewer))


def estimating(
    strategy: Strategy,
    space: SearchSpace,
    task: Task,
    config: SearchConfig,
    seed: Seed,
    place: Workplace,
    *,
    examples: Sequence[Architecture] | None = None,
) -> Listener:
    """Tells what it hears, and as a search begins, how long it will take; what an interrupted one did is not taken off.

    Args:
        strategy: that will search.
        space: where.
        task: what for.
        config: how.
        seed: of the candidates that are timed.
        place: where, and who is told.
        examples: candidates that are timed; None: drawn from the space.
    """
    step, seed = f"search {task.name}", seed.child("estimate")

    def told(event: Event) -> None:
        if isinstance(event, StepStarted) and event.step == step and event.estimate_s is None:
            seconds = expected_seconds(
                strategy,
                space,
                task,
                examples or examples_of(space, task, seed=seed),
                batch=config.scoring.training.batch,
                workers=place.workers,
                budget_macs=config.budget_macs,
                seed=seed,
                device=place.device,
            )
            event = replace(event, estimate_s=seconds)
        place.tell(event)

    return told


def remember(
    task: Task,
    representative: Representative | None,
    outcome: Outcome,
    network: Network,
    validation: Evaluation,
    whole: Task,
    before: KeptNetwork | None,
    reuse: Reuse | None,
    config: SearchConfig,
    seed: Seed,
    watch: Stopwatch,
) -> Learnt | None:
    """What a dictionary keeps of a search.

    Args:
        task: what was searched for.
        representative: its own; None: none was made, and nothing is kept.
        outcome: of the search.
        network: of its best architecture, trained on all training images. It has not seen the validation images: other
            tasks of the same source are judged by them.
        validation: of that network.
        whole: the task with all of its training images.
        before: the network whose weights that training began with; None: it began from scratch.
        reuse: what the search added to what was taken over; None: that is not known.
        config: how.
        seed: of the run.
        watch: seconds of the phases.
    """
    if representative is None:
        return None
    provenance = Provenance(
        made_by="search",
        seed=seed.root,
        versions=versions(),
        settings=to_plain(config),
        represent_s=watch.seconds("represent"),
        search_s=watch.seconds("search"),
        represent_macs=represent_macs(representative, task),
        search_macs=outcome.ledger.macs,
    )
    outcome = _judged(outcome, validation.performance(task.performance))
    keeps = kept(
        network, outcome.best, task.shape, task.classes, whole.train, made_by="search", before=before
    )
    atom = atom_of(task, config.limit, representative, outcome, provenance, reuse, network=keeps)
    return Learnt(atom=atom, representative=representative, network=keeps)


def _judged(outcome: Outcome, value: float) -> Outcome:
    """With l after the final training for an architecture that won alone, so that later tasks inherit from it.

    Scores are held against each other within a task only, and here is no other.
    """
    if any(one.score is not None for one in outcome.seen):
        return outcome
    return replace(
        outcome,
        seen=tuple(
            replace(one, score=value, final=True) if one.architecture == outcome.best else one
            for one in outcome.seen
        ),
    )
