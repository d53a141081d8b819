"""Candidates that are trained each on its own, and what strategies that judge by their scores have in common."""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from tanas.ground.checkpoints import Checkpoint
from tanas.ground.errors import NonFiniteError, SearchError
from tanas.ground.events import Event, Listener, StepAdvanced, StepFinished, StepStarted, Warned
from tanas.ground.records import from_plain, to_plain
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture, Network, build
from tanas.networks.scoring import Judgement, ScoringConfig, judged, unscored
from tanas.networks.threads import in_threads
from tanas.networks.training import TrainingConfig, fit
from tanas.spaces.costs import cost_by_parts
from tanas.spaces.space import SearchSpace
from tanas.strategies.base import (
    Deadline,
    Ledger,
    Outcome,
    Round,
    RoundFinished,
    budget_refusal,
    training_macs,
)
from tanas.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What a search is given: the arguments of `Strategy.search`."""

    space: SearchSpace
    task: Task
    seed_architecture: Architecture | None
    seed: Seed
    device: str
    workers: int
    deadline: Deadline
    listener: Listener
    checkpoint: Checkpoint
    budget_macs: int | None

    def build(self, architecture: Architecture) -> Network:
        """A candidate's network; its initial weights are the same whenever and wherever it is tried."""
        task = self.task
        return build(
            architecture, task.shape, len(task.classes), self.seed.child("weights", architecture.key)
        )

    def sample(self, count: int, seed: Seed, without: Collection[Architecture]) -> tuple[Architecture, ...]:
        """Draws from the space; see `SearchSpace.sample`."""
        task = self.task
        return self.space.sample(
            count, seed=seed, shape=task.shape, classes=len(task.classes), without=without
        )

    def macs(self, architecture: Architecture) -> int:
        """Multiply-adds of a candidate's answer to one image."""
        return cost_by_parts(architecture, self.task.shape, len(self.task.classes)).macs


class ByAsking(ABC):
    """A strategy that is given the arguments of `Strategy.search` as one value."""

    @abstractmethod
    def find(self, asked: Asked) -> Outcome:
        """Searches; see `Strategy.search`."""

    @abstractmethod
    def expected_images(self, space: SearchSpace, task: Task, workers: int) -> float:
        """See `Strategy.expected_images`."""

    def search(
        self,
        space: SearchSpace,
        task: Task,
        *,
        seed_architecture: Architecture | None,
        seed: Seed,
        device: str,
        workers: int,
        deadline: Deadline,
        listener: Listener,
        checkpoint: Checkpoint,
        budget_macs: int | None = None,
    ) -> Outcome:
        """Searches, without the test split in reach; see `Strategy.search`."""
        return self.find(
            Asked(
                space=space,
                task=task.without_test(),
                seed_architecture=seed_architecture,
                seed=seed,
                device=device,
                workers=workers,
                deadline=deadline,
                listener=listener,
                checkpoint=checkpoint,
                budget_macs=budget_macs,
            )
        )


@dataclass(frozen=True, kw_only=True)
class Trial:
    """One training of a candidate."""

    architecture: Architecture
    judgement: Judgement | None
    """After it; None: a loss or an answer was not finite."""
    images: int = 0
    """Training images that it took; an image counts once an epoch."""


@dataclass(frozen=True, kw_only=True)
class Log:
    """What a search has done so far: what its checkpoint keeps."""

    rounds: tuple[Round, ...] = ()
    ledger: Ledger = field(default_factory=Ledger)
    stopped: str = ""
    """Why no round can follow, where the rounds so far do not tell: 'budget' if the last one had to be cut."""

    @classmethod
    def restored(cls, checkpoint: Checkpoint) -> Log:
        """As it was saved last; empty if it never was."""
        state = checkpoint.load("log")
        return cls() if state is None else from_plain(cls, state["log"], where="the search's checkpoint")

    @property
    def trials(self) -> tuple[Trial, ...]:
        """The candidates in the order in which they were first tried, each as it was judged then."""
        first: dict[Architecture, Trial] = {}
        for past in self.rounds:
            for trial in trials_of(past):
                first.setdefault(trial.architecture, trial)
        return tuple(first.values())

    @property
    def best(self) -> Trial | None:
        """The winner of the last round; None before any."""
        return trials_of(self.rounds[-1])[self.rounds[-1].winner] if self.rounds else None

    @property
    def note(self) -> str:
        """What the search shows of itself."""
        return f"best {self.rounds[-1].keys[self.rounds[-1].winner]}" if self.rounds else ""

    def paying(self, trials: Sequence[Trial], asked: Asked) -> Log:
        """With what these trainings cost."""
        ledger = self.ledger
        for trial in trials:
            ledger = ledger.plus(trial.architecture.key, asked.macs(trial.architecture), trial.images)
        return replace(self, ledger=ledger)

    def plus(self, trials: Sequence[Trial], asked: Asked, *, kept: Trial | None, took_s: float) -> Log:
        """With one more round, which is told.

        Args:
            trials: of the round.
            asked: what the search was given.
            kept: the best so far, which the round is held against; its training is not paid for again.
            took_s: wall-clock seconds of the round.

        Raises:
            SearchError: neither it nor any trial was judged.
        """
        shown = (*(() if kept is None else (kept,)), *trials)
        winner = best_of([trial.judgement for trial in shown])
        if winner is None:
            raise SearchError(
                f"All {len(shown)} candidates of a round had a loss that is not finite, "
                f"{shown[-1].architecture.key} last. Lower the learning rate of the search."
            )
        judgements = [trial.judgement for trial in shown]
        made = Round(
            candidates=tuple(trial.architecture for trial in shown),
            keys=tuple(trial.architecture.key for trial in shown),
            dropped=tuple(trial.architecture.key for trial in shown if trial.judgement is None),
            stages=(),
            winner=winner,
            took_s=took_s,
            scores=tuple(None if one is None else one.score for one in judgements),
            losses=tuple(None if one is None else one.loss for one in judgements),
        )
        asked.listener(RoundFinished(task=asked.task.name, number=len(self.rounds) + 1, round=made))
        return replace(self.paying(trials, asked), rounds=(*self.rounds, made))

    def plain(self) -> dict[str, object]:
        """For a checkpoint."""
        return {"log": to_plain(self)}


Ask = Callable[[Asked, tuple[Trial, ...], int, frozenset[Architecture], Seed], tuple[Architecture, ...]]
"""(what the search was given, trials so far, how many, what must not be proposed, seed) -> what to try next; fewer
only if the space holds no more."""


def search_by_score(
    ask: Ask, asked: Asked, scoring: ScoringConfig, *, most: int, first: int, batch: int
) -> Outcome:
    """Tries candidates round by round, each trained once on its own and judged on validation.

    A round holds the best so far, which is not trained again, and the new ones.

    Args:
        ask: proposes the candidates.
        asked: what the search was given.
        scoring: the short training. It is the one behind the scores of a dictionary, so they are not made twice.
        most: candidates in all.
        first: candidates of the first round, the given seed architecture among them.
        batch: candidates of every later round.

    Raises:
        SearchError: no candidate of the first round has a finite loss.
        SettingError: the budget does not allow the first candidate.
    """
    task, listener = asked.task.limited(scoring.images), asked.listener
    images = len(task.train) * scoring.training.epochs
    given = () if asked.seed_architecture is None else (asked.seed_architecture.canonical(),)
    log, stopped = Log.restored(asked.checkpoint), ""
    step = f"search {task.name}"
    listener(StepStarted(step=step, total=1 + math.ceil(max(most - first, 0) / batch), unit="rounds"))
    while not (stopped := stopped or log.stopped or _ended(log, most, asked.deadline)):
        began, number, trials = time.monotonic(), len(log.rounds), log.trials
        wanted = min(batch if log.rounds else first, most - len(trials))
        seeded = () if log.rounds else given
        seen = frozenset([*given, *(trial.architecture for trial in trials)])
        drawn = ask(asked, trials, wanted - len(seeded), seen, asked.seed.child("round", number))
        if not (proposed := seeded + drawn):
            stopped = "exhausted"
            break
        paid = affordable(proposed, asked, log.ledger, images, pass_over=True)
        if not paid:
            stopped = "budget"
            break
        networks = [asked.build(one) for one in paid]
        tried = trained_alone(paid, networks, task, scoring.training, asked, seed=asked.seed.child("order"))
        log = log.plus(tried, asked, kept=log.best, took_s=time.monotonic() - began)
        asked.checkpoint.save("log", log.plain())
        listener(StepAdvanced(step=step, done=len(log.rounds), note=log.note))
    listener(StepFinished(step=step, note=stopped))
    return outcome_of(log, asked, stopped, scored=True)


def images_of_scores(count: int, scoring: ScoringConfig, task: Task, workers: int) -> float:
    """Images that each of some workers trains on while so many candidates are scored; see `Strategy`."""
    return count * scoring.training.epochs * min(len(task.train), scoring.images) / min(workers, count)


def affordable(
    proposed: Sequence[Architecture],
    asked: Asked,
    ledger: Ledger,
    images: int,
    *,
    pass_over: bool = False,
) -> tuple[Architecture, ...]:
    """The candidates whose trainings the budget allows.

    Args:
        proposed: in order.
        asked: what the search was given, its budget among it.
        ledger: what was spent.
        images: of one training; an image counts once an epoch.
        pass_over: whether a candidate that is too dear is left out and those after it are still taken: a search that
            ended at the first such one would leave up to a third of a small budget unspent. Otherwise it ends there.

    Raises:
        SettingError: nothing was trained yet, and the budget allows no beginning.
    """
    if asked.budget_macs is None:
        return tuple(proposed)
    begins = not ledger.images
    must_begin = (
        not pass_over or asked.seed_architecture is not None
    )  # a given architecture is never left out
    costs = [training_macs(asked.macs(one), images) for one in proposed]
    paid: list[Architecture] = []
    spent = ledger.macs
    for at, needed in enumerate(costs):
        if spent + needed <= asked.budget_macs:
            paid.append(proposed[at])
            spent += needed
        elif not pass_over or (begins and must_begin and at == 0):
            break
    if costs and not paid and begins:
        raise budget_refusal(asked.budget_macs, costs[0] if must_begin else min(costs))
    return tuple(paid)


def trained_alone(
    candidates: Sequence[Architecture],
    networks: Sequence[Network],
    task: Task,
    training: TrainingConfig,
    asked: Asked,
    *,
    seed: Seed,
) -> tuple[Trial, ...]:
    """Trains candidates on their own, side by side, and judges each on the validation split.

    Args:
        candidates: at least one.
        networks: of the candidates; they are trained in place.
        task: the images to train on and to judge by.
        training: the recipe.
        asked: device, workers, deadline and listener.
        seed: of the order of the images, which is the candidate's own.

    Returns:
        a trial of each, in order; those left out that would have begun after the deadline. The first always begins.
    """
    classes = len(task.classes)

    def trial(at: int, listener: Listener) -> Trial | None:
        if at > 0 and asked.deadline() <= 0:
            return None
        candidate, network = candidates[at], networks[at]
        step = f"try {candidate.key} on {task.name}"
        epochs, finished = 0, False

        def told(event: Event) -> None:
            nonlocal epochs, finished
            epochs += isinstance(event, StepAdvanced)
            finished = isinstance(event, StepFinished)
            listener(event)

        judgement: Judgement | None = None
        try:
            fit(
                network,
                task.train,
                training,
                classes=classes,
                seed=seed.child(candidate.key),
                step=step,
                device=asked.device,
                listener=told,
            )
            judgement = judged(network, task, device=asked.device)
        except NonFiniteError as error:
            epochs = min(epochs + 1, training.epochs)  # the epoch that failed was paid for
            if not finished:
                told(StepFinished(step=step, note="not finite"))
            told(Warned(message=f"{error} The candidate {candidate.key} was left out."))
        return Trial(architecture=candidate, judgement=judgement, images=epochs * len(task.train))

    jobs = [partial(trial, at) for at in range(len(candidates))]
    made = in_threads(jobs, asked.workers, asked.listener, threads=1)
    return tuple(one for one in made if one is not None)


def trials_of(past: Round) -> tuple[Trial, ...]:
    """The candidates of a round as they were judged."""
    return tuple(
        Trial(
            architecture=one,
            judgement=None if score is None or loss is None else Judgement(score=score, loss=loss),
        )
        for one, score, loss in zip(past.candidates, past.scores, past.losses, strict=True)
    )


def best_of(judgements: Sequence[Judgement | None]) -> int | None:
    """The position of the best (`Judgement.rank`), the first of equal ones; None if nothing was judged."""
    ranks = {at: one.rank for at, one in enumerate(judgements) if one is not None}
    return max(ranks, key=ranks.__getitem__) if ranks else None


def outcome_of(log: Log, asked: Asked, stopped: str, *, scored: bool) -> Outcome:
    """What a search gives that ends here.

    Args:
        log: what it did.
        asked: what it was given.
        stopped: why it ends.
        scored: whether the scores are those of the dictionary's fixed short training.

    Raises:
        SearchError: there was nothing to try.
    """
    if log.best is None:
        raise SearchError(f"The space '{asked.space.name}' holds no architecture that can be tried.")
    seen = [(trial, unscored(trial.architecture, asked.task)) for trial in log.trials]
    return Outcome(
        best=log.best.architecture,
        rounds=log.rounds,
        seen=tuple(
            replace(one, score=trial.judgement.score) if scored and trial.judgement else one
            for trial, one in seen
        ),
        stopped=stopped,
        ledger=log.ledger,
    )


def _ended(log: Log, most: int, deadline: Deadline) -> str:
    """Why the search ends here; empty if it goes on."""
    if len(log.trials) >= most:  # before the time: one that had ended has, when it resumes after its limit
        return "rounds"
    return "time" if log.rounds and deadline() <= 0 else ""
