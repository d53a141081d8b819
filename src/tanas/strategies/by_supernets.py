"""Searches whose candidates share the weights of supernets."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from itertools import chain
from statistics import fmean

import torch
from torch import Tensor, nn
from torch.nn import functional

from tanas.ground.events import StepAdvanced, StepFinished, StepStarted, Warned
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture
from tanas.networks.augmentation import augmented
from tanas.networks.scoring import ScoringConfig
from tanas.networks.skeleton import Skeleton
from tanas.networks.training import (
    TrainingConfig,
    batches,
    class_weights,
    learning_rate_at,
    make_optimizer,
)
from tanas.strategies.base import Ledger, budget_refusal, training_macs
from tanas.strategies.driver import Compared, Problem, Proposal
from tanas.strategies.history import History
from tanas.strategies.supernet import Passes, Supernet
from tanas.strategies.trials import affordable, compare_by_score, images_of_a_score
from tanas.tasks.task import Split, Task

SKELETON_DRAWS = 20
"""Architectures drawn for each skeleton that a search takes: enough that all of them differ where a space has many."""

MOST_LONGER = 4
"""A budget lets a supernet learn at most so many times as long as without one."""

CLIP = 5.0
"""Largest norm of the gradient of w. Source: Liu et al. 2019, appendix A.1."""


@dataclass(frozen=True, kw_only=True)
class SupernetRun:
    """One supernet of a search."""

    number: int
    """From 0."""
    problem: Problem
    """What the search was given, its space narrowed to the run's skeleton."""
    skeleton: Skeleton
    task: Task
    """The images that it learns from."""
    pool: tuple[Architecture, ...]
    """Drawn from the space; none was tried before."""
    known: frozenset[Architecture]
    """What was tried before."""
    seed: Seed

    @property
    def key(self) -> str:
        """What the ledger calls it."""
        return f"supernet {self.number + 1}"

    def supernet(self, *, affine: bool = True) -> Supernet:
        """Its network with fresh weights; see `Supernet`."""
        with self.seed.child("weights").initialising():
            made = Supernet(
                self.skeleton,
                self.problem.space,
                self.task.shape,
                len(self.task.classes),
                affine=affine,
            )
        made.norm.fit(self.task.train.pixels())
        return made.to(self.problem.at.device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def batch_sizes(self, split: Split, batch: int) -> tuple[int, ...]:
        """Images of every step of an epoch."""
        return tuple(len(which) for which in batches(len(split), batch, self.seed))


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """What a supernet says of its architectures."""

    architectures: Iterable[Architecture]
    """The best first; all are in the space and its limits, and none is known."""
    macs: int
    """Multiply-adds that its training took, forward and backward."""
    images: int
    """That it was trained on; an image counts once an epoch."""


@dataclass(frozen=True, kw_only=True)
class Sharing:
    """A way to search by supernets."""

    runs: int
    """Supernets, each of a skeleton of its own where the space has so many."""
    finalists: int
    """Architectures of each that are scored."""
    pool: int
    """Architectures that are drawn for each."""
    training: TrainingConfig
    """How each is trained where there is no budget: its epochs, and the batch of a step."""
    images: int
    """At most so many training images, stratified; validation images in proportion."""
    costs: Callable[[SupernetRun, int], Sequence[int]]
    """(run, steps) -> multiply-adds of its training after each of so many steps, exactly: they are known before."""
    rank: Callable[[SupernetRun, int], Ranked]
    """(run, steps) -> what it says after so many steps, or when time has run out."""

    def steps(self, run: SupernetRun) -> int:
        """Of a supernet's training where there is no budget."""
        return self.training.epochs * len(run.batch_sizes(run.task.train, self.training.batch))


class BySupernets(ABC):
    """A strategy that trains a supernet a round; what that ranks highest is trained on its own.

    The skeletons are those of architectures drawn from the space, that of a given seed architecture before them if
    the space has it. Where fewer fit than there are runs they come again, with other weights and another order. The
    seed architecture itself is tried in the first round. A supernet of no more architectures than are scored anyway
    is not trained.

    A budget is shared out among the runs, each of which takes as many steps as its share pays for beside its scores;
    there are fewer runs where all would be too short. What the last one leaves scores more of what it ranks.
    """

    scoring: ScoringConfig
    scores: bool = True

    @property
    @abstractmethod
    def sharing(self) -> Sharing:
        """How."""

    def rounds(self, problem: Problem) -> int:
        """See `Strategy.rounds`."""
        return self.sharing.runs

    def ended(self, history: History, problem: Problem) -> str:
        """See `Strategy.ended`."""
        if len(history.rounds) < self._planned(problem):
            return ""
        return "rounds" if problem.budget_macs is None else "budget"

    def propose(self, history: History, problem: Problem) -> Proposal:
        """Trains a supernet and takes its best; see `Strategy.propose`."""
        sharing, number = self.sharing, len(history.rounds)
        images = images_of_a_score(self.scoring, problem.task)
        seeded = () if history.rounds else problem.given
        known = frozenset([*problem.given, *(trial.architecture for trial in history.trials)])
        run = _run(sharing, problem, _skeletons(problem, sharing.runs)[number], number, known)
        if run is None and not seeded:
            return Proposal(stopped="exhausted")
        affordable(seeded, problem, history.ledger, images)  # refuses a budget that does not allow the seed
        found = _Finalists()
        if run is not None:
            runs_left = self._planned(problem) - number
            found = _finalists(sharing, run, history.ledger, seeded, runs_left, images)
        if not (candidates := (*seeded, *found.architectures)):
            return Proposal(stopped="budget")
        return Proposal(
            candidates=candidates, stopped="budget" if found.cut else "", spent=found.spent_by(run)
        )

    def compare(self, proposal: Proposal, history: History, problem: Problem) -> Compared:
        """See `Strategy.compare`."""
        return compare_by_score(proposal.candidates, history, problem, self.scoring)

    def _planned(self, problem: Problem) -> int:
        """How many runs the budget allows."""
        images = images_of_a_score(self.scoring, problem.task)
        if problem.budget_macs is None:
            return self.sharing.runs
        return _planned(self.sharing, problem, _skeletons(problem, self.sharing.runs), images)


def each_batch(
    run: SupernetRun, training: TrainingConfig, steps: int, step: Callable[[int, Tensor, Tensor], bool]
) -> None:
    """Goes through a run's training images epoch by epoch, until all steps are done or time has run out.

    Args:
        run: gives the images, the order, the listener and the deadline.
        training: gives the batch and the augmentation.
        steps: how many; the last epoch may end early.
        step: is given its number from 0, pixels (batch, channels, h, w) and labels (batch,); says whether its loss
            and its gradients were finite.
    """
    split, listener = run.task.train, run.problem.at.listener
    name, note = f"{run.key} for {run.task.name}", ""
    number = failed = 0
    epochs = math.ceil(steps / len(run.batch_sizes(split, training.batch)))
    listener(StepStarted(step=name, total=epochs, unit="epochs"))
    for epoch in range(epochs):
        with run.seed.child("dropout", epoch).initialising():  # dropout draws from torch's global generator
            for which in batches(len(split), training.batch, run.seed.child("epoch", epoch)):
                if number == steps:
                    break
                if run.problem.at.deadline() <= 0:
                    note = "no time is left"
                    break
                pixels = split.pixels(which).to(run.problem.at.device)
                if training.augmentation.changes:
                    pixels = augmented(pixels, training.augmentation, run.seed.child("augmentation", number))
                pixels = pixels.contiguous(memory_format=torch.channels_last)
                failed += not step(number, pixels, split.labels[which].to(run.problem.at.device))
                number += 1
        if note:
            break
        listener(StepAdvanced(step=name, done=epoch + 1))
    listener(StepFinished(step=name, note=note))
    if failed:
        listener(
            Warned(
                message=f"In {failed} of {number} steps of {run.key}, the loss or its gradients were not finite; "
                "these steps were skipped. Lower the learning rate of the search."
            )
        )


class Descent:
    """How the weights of a supernet are trained: the house's recipe, its gradients clipped."""

    def __init__(self, network: Supernet, run: SupernetRun, training: TrainingConfig, steps: int) -> None:
        self._network = network
        self._optimizer = make_optimizer(network, training)
        self._rate, self._factor = training.learning_rate, learning_rate_at(training, steps)
        self._class_weights = (
            class_weights(run.task.train.labels, len(run.task.classes)).to(run.problem.at.device)
            if training.class_weights
            else None
        )

    def step(self, number: int, passes: Passes, pixels: Tensor, labels: Tensor) -> bool:
        """A step of w. One whose loss or gradients are not finite changes nothing.

        Args:
            number: from 0; the learning rate follows it.
            passes: what is computed; what is not gets no gradient and stays as it is.
            pixels: (batch, channels, h, w) in [0, 1].
            labels: (batch,).

        Returns:
            whether all was finite.
        """
        self._network.train()
        loss = functional.cross_entropy(self._network(pixels, passes), labels, weight=self._class_weights)
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        norm = nn.utils.clip_grad_norm_(self._network.parameters(), CLIP)
        if not math.isfinite(float(norm)) or not math.isfinite(loss.item()):
            return False
        for group in self._optimizer.param_groups:
            group["lr"] = self._rate * self._factor(number)
        self._optimizer.step()
        return True


@dataclass(frozen=True, kw_only=True)
class _Finalists:
    """What a run gives to be scored."""

    architectures: tuple[Architecture, ...] = ()
    ranked: Ranked = field(default_factory=lambda: Ranked(architectures=(), macs=0, images=0))
    cut: bool = False
    """Whether the budget kept any out."""

    def spent_by(self, run: SupernetRun | None) -> Ledger:
        """What the supernet cost."""
        if run is None or not self.ranked.images:
            return Ledger()
        return Ledger().spending(run.key, self.ranked.macs, self.ranked.images)


def _finalists(
    sharing: Sharing,
    run: SupernetRun,
    spent: Ledger,
    seeded: Sequence[Architecture],
    runs_left: int,
    images: int,
) -> _Finalists:
    """Trains a supernet and takes its best, as far as the budget allows.

    Where none of what it ranks will do, for it failed or the budget is short, they are taken from those drawn, in the
    order of the draws.

    Args:
        sharing: how.
        run: the supernet.
        spent: before.
        seeded: what will be scored beside them.
        runs_left: this one among them; they share what is left of the budget.
        images: of one score; an image counts once an epoch.

    Raises:
        SettingError: nothing was trained yet, and nothing can be.
    """
    problem = run.problem
    shared = len(run.pool) > sharing.finalists
    steps, most, left = sharing.steps(run), sharing.finalists, math.inf
    if problem.budget_macs is not None:
        beside = sum(training_macs(problem.macs(one), images) for one in seeded)
        left = problem.budget_macs - spent.macs - beside
        prices = [training_macs(problem.macs(one), images) for one in run.pool]
        costs = sharing.costs(run, MOST_LONGER * steps) if shared else [0]
        least = min(prices) + costs[0]
        if least > left:
            if not seeded and not spent.images:
                raise budget_refusal(problem.budget_macs, least)
            return _Finalists(cut=True)
        steps = bisect_right(costs, left / runs_left - sharing.finalists * fmean(prices)) or 1
        if runs_left == 1:
            most = len(run.pool)
    ranked = sharing.rank(run, steps) if shared else Ranked(architectures=(), macs=0, images=0)
    left -= ranked.macs
    taken: dict[Architecture, None] = {}
    cut = False
    for one in chain(ranked.architectures, run.pool):
        if len(taken) == most:
            break
        needed = training_macs(problem.macs(one), images)
        if one in taken:
            continue
        if needed > left:
            cut = True
            continue
        left -= needed
        taken[one] = None
    return _Finalists(architectures=tuple(taken), ranked=ranked, cut=cut)


def _skeletons(problem: Problem, count: int) -> tuple[Skeleton, ...]:
    """The skeleton of each run.

    Raises:
        SettingError: the limits of the space admit nothing.
    """
    drawn = problem.sample(SKELETON_DRAWS * count, problem.at.seed.child("skeletons"), ())
    found = dict.fromkeys(one.skeleton for one in drawn)
    if problem.seed_architecture is not None:
        first = problem.seed_architecture.skeleton
        if first in problem.space.skeletons and _narrowed(problem, first) is not None:
            found = dict.fromkeys([first, *found])
    chosen = tuple(found)[:count]
    return tuple(chosen[at % len(chosen)] for at in range(count))


def _narrowed(problem: Problem, skeleton: Skeleton) -> Problem | None:
    """The search with no other skeleton; None if the limits admit no cell in it."""
    space = replace(problem.space, skeletons=(skeleton,))
    fits = space.fitting_skeletons(problem.task.shape, len(problem.task.classes))
    return replace(problem, space=space) if fits else None


def _run(
    sharing: Sharing, problem: Problem, skeleton: Skeleton, number: int, known: frozenset[Architecture]
) -> SupernetRun | None:
    """A run in a skeleton, or in another where nothing new is left in that; None: nothing is left anywhere."""
    seed = problem.at.seed.child("run", number)

    fresh = problem.sample(1, seed.child("elsewhere"), known)
    for tried in (skeleton, *(one.skeleton for one in fresh)):
        if (narrow := _narrowed(problem, tried)) is None:
            continue
        pool = narrow.sample(sharing.pool, seed.child("pool"), known)
        if (
            not pool and fresh and tried == fresh[0].skeleton
        ):  # so rare among its cells that the draws missed it
            pool = fresh
        if pool:
            return SupernetRun(
                number=number,
                problem=narrow,
                skeleton=tried,
                task=problem.task.limited(sharing.images),
                pool=pool,
                known=known,
                seed=seed,
            )
    return None


def _planned(
    sharing: Sharing,
    problem: Problem,
    skeletons: Sequence[Skeleton],
    images: int,
) -> int:
    """How many runs the budget allows: all of them if it can, else as even a part of them and of their steps as it can.

    Args:
        sharing: what is wanted.
        problem: what the search was given.
        skeletons: of the runs.
        images: of one score; an image counts once an epoch.
    """
    assert problem.budget_macs is not None
    given = problem.given
    money = problem.budget_macs - sum(training_macs(problem.macs(one), images) for one in given)
    shares: dict[int, tuple[float, int]] = {}
    trained = scored = 0.0
    for number, skeleton in enumerate(skeletons):
        if (run := _run(sharing, problem, skeleton, number, frozenset(given))) is None:
            break
        usual = fmean(training_macs(problem.macs(one), images) for one in run.pool)
        scored += min(len(run.pool), sharing.finalists) * usual
        trained += sharing.costs(run, sharing.steps(run))[-1] if len(run.pool) > sharing.finalists else 0
        part = min(1.0, (money - scored) / trained) if trained else float(scored <= money)
        shares[number + 1] = (min((number + 1) / sharing.runs, part), number + 1)
    fitting = {some: share for some, share in shares.items() if share[0] > 0}
    return max(fitting, key=fitting.__getitem__, default=1)
