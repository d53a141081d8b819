"""Searches whose candidates share the weights of supernets."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_right
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from statistics import fmean
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from tanas.ground.events import StepAdvanced, StepFinished, StepStarted
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture
from tanas.networks.augmentation import augmented
from tanas.networks.scoring import ScoringConfig
from tanas.networks.skeleton import Skeleton
from tanas.networks.training import (
    EVALUATION_BATCH,
    TrainingConfig,
    batches,
    class_weights,
    learning_rate_at,
    make_optimizer,
)
from tanas.spaces.space import SearchSpace
from tanas.strategies.base import Ledger, budget_refusal
from tanas.strategies.driver import Compared, Problem, Proposal
from tanas.strategies.history import History
from tanas.strategies.mixture import side_by_side
from tanas.strategies.supernet import Passes, Supernet
from tanas.strategies.trials import affordable, compare_by_score, images_of_a_score, images_of_scores
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
        """Its name in the ledger."""
        return f"supernet {self.number + 1}"

    def supernet(self, *, affine: bool = True) -> Supernet:
        """Build its network with fresh weights; see `Supernet`."""
        space, classes = self.problem.space, len(self.task.classes)
        with self.seed.child("weights").initialising():
            made = Supernet(self.skeleton, space, self.task.shape, classes, affine=affine)
        made.norm.fit(self.task.train.parts(EVALUATION_BATCH))
        return made.to(self.problem.at.device, memory_format=torch.channels_last)  # type: ignore[call-overload, no-any-return]

    def batch_sizes(self, split: Split, batch: int) -> tuple[int, ...]:
        """Images of every step of an epoch."""
        return tuple(len(which) for which in batches(len(split), batch, self.seed))


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """A supernet's ranking of its architectures, and what its training took."""

    architectures: Iterable[Architecture]
    """The best first; all are in the space and its limits, and none is known."""
    macs: int
    """Multiply-adds, forward and backward."""
    images: int
    """Training images; an image counts once an epoch."""


class SupernetConfig(Protocol):
    """The settings that all searches by supernets share."""

    @property
    def runs(self) -> int: ...
    @property
    def finalists(self) -> int: ...
    @property
    def images(self) -> int: ...
    @property
    def training(self) -> TrainingConfig: ...


class BySupernets(ABC):
    """A strategy that trains a supernet a round; the architectures it ranks highest are trained on their own.

    The skeletons are those of architectures drawn from the space, preceded by that of a given seed architecture if
    the space has it. If fewer fit than there are runs they repeat, with other weights and another order. The seed
    architecture itself is tried in the first round. A supernet of no more architectures than are scored anyway is
    not trained.

    A budget is shared out among the runs: each takes as many steps as its share pays for beside its scores. There are
    fewer runs if all would be too short. The rest of the budget scores more of the last ranking.
    """

    config: SupernetConfig
    scoring: ScoringConfig
    scores: bool = True

    @property
    @abstractmethod
    def pool(self) -> int:
        """Architectures that are drawn for each supernet."""

    @abstractmethod
    def costs(self, run: SupernetRun, steps: int) -> Sequence[int]:
        """Multiply-adds of a supernet's training after each of so many steps, exactly; known before it begins."""

    @abstractmethod
    def rank(self, run: SupernetRun, steps: int) -> Ranked:
        """Train a supernet for so many steps, or until time has run out, and rank its architectures."""

    def per_image(self, space: SearchSpace) -> int:
        """Candidates that a supernet computes for each training image; for estimates."""
        return 1

    def expected_images(self, space: SearchSpace, task: Task, workers: int) -> float:
        """See `Strategy.expected_images`."""
        config = self.config
        trained = config.training.epochs * min(len(task.train), config.images) * self.per_image(space)
        return config.runs * (trained + images_of_scores(config.finalists, self.scoring, task, workers))

    def rounds(self, problem: Problem) -> int:
        """See `Strategy.rounds`."""
        return self.config.runs

    def ended(self, history: History, problem: Problem) -> str:
        """See `Strategy.ended`."""
        if len(history.rounds) < self._planned(problem):
            return ""
        return "rounds" if problem.budget_macs is None else "budget"

    def propose(self, history: History, problem: Problem) -> Proposal:
        """Train a supernet and take its best; see `Strategy.propose`."""
        number, given = len(history.rounds), () if history.rounds else problem.given
        known = history.seen.union(problem.given)
        run = self._run(problem, self._skeletons(problem), number, known)
        if run is None and not given:
            return Proposal(stopped="exhausted")
        # refuses a budget that does not pay for the given architecture
        affordable(given, problem, history.ledger, images_of_a_score(self.scoring, problem.task))
        if run is None:
            return Proposal(candidates=given)
        return self._finalists(run, given, history.ledger, self._planned(problem) - number)

    def compare(self, proposal: Proposal, history: History, problem: Problem) -> Compared:
        """See `Strategy.compare`."""
        return compare_by_score(proposal.candidates, history, problem, self.scoring)

    def _steps(self, run: SupernetRun) -> int:
        """Of a supernet's training where there is no budget."""
        training = self.config.training
        return training.epochs * len(run.batch_sizes(run.task.train, training.batch))

    def _skeletons(self, problem: Problem) -> tuple[Skeleton, ...]:
        """The skeleton of each run."""
        count = self.config.runs
        drawn = problem.sample(SKELETON_DRAWS * count, problem.at.seed.child("skeletons"), ())
        given = [seed.skeleton for seed in problem.given if seed.skeleton in problem.space.skeletons]
        first = [skeleton for skeleton in given if _narrowed(problem, skeleton) is not None]
        chosen = tuple(dict.fromkeys([*first, *(architecture.skeleton for architecture in drawn)]))[:count]
        return tuple(chosen[at % len(chosen)] for at in range(count))

    def _run(
        self, problem: Problem, skeletons: Sequence[Skeleton], number: int, known: frozenset[Architecture]
    ) -> SupernetRun | None:
        """A run in its skeleton, or in another if nothing new is left in that; None: nothing is left anywhere."""
        seed = problem.at.seed.child("run", number)
        fresh = problem.sample(1, seed.child("elsewhere"), known)
        for tried in (skeletons[number], *(architecture.skeleton for architecture in fresh)):
            if (narrow := _narrowed(problem, tried)) is None:
                continue
            pool = narrow.sample(self.pool, seed.child("pool"), known)
            if not pool and fresh and tried == fresh[0].skeleton:
                pool = fresh  # so rare among its cells that the draws missed it
            if pool:
                return SupernetRun(
                    number=number,
                    problem=narrow,
                    skeleton=tried,
                    task=problem.task.limited(self.config.images),
                    pool=pool,
                    known=known,
                    seed=seed,
                )
        return None

    def _planned(self, problem: Problem) -> int:
        """How many runs the budget allows: all if it can, else as even a part of the runs and of their steps."""
        config, images = self.config, images_of_a_score(self.scoring, problem.task)
        if problem.budget_macs is None:
            return config.runs
        left = problem.budget_macs - problem.price(images, *problem.given)
        skeletons, shares = self._skeletons(problem), list[tuple[float, int]]()
        trained = scored = 0.0
        for number in range(config.runs):
            if (run := self._run(problem, skeletons, number, frozenset(problem.given))) is None:
                break
            usual = fmean(problem.price(images, candidate) for candidate in run.pool)
            scored += min(len(run.pool), config.finalists) * usual
            trained += self.costs(run, self._steps(run))[-1] if len(run.pool) > config.finalists else 0
            part = min(1.0, (left - scored) / trained) if trained else float(scored <= left)
            shares.append((min((number + 1) / config.runs, part), number + 1))
        return max((share for share in shares if share[0] > 0), default=(0.0, 1))[1]

    def _finalists(
        self, run: SupernetRun, given: tuple[Architecture, ...], spent: Ledger, runs_left: int
    ) -> Proposal:
        """The seed architecture, and the best of a supernet as far as its share of the budget pays for them.

        If the supernet ranks nothing, or the budget is short, they are taken from those drawn, in order.
        """
        problem, finalists = run.problem, self.config.finalists
        images = images_of_a_score(self.scoring, problem.task)
        shared, steps, most = len(run.pool) > finalists, self._steps(run), finalists
        left = problem.left(spent) - problem.price(images, *given)
        if left < math.inf:
            prices = [problem.price(images, candidate) for candidate in run.pool]
            costs = self.costs(run, MOST_LONGER * steps) if shared else [0]
            least = min(prices) + costs[0]
            if least > left:
                if not given and not spent.images:
                    raise budget_refusal(left, least)
                return Proposal(candidates=given, stopped="budget")
            steps = bisect_right(costs, left / runs_left - finalists * fmean(prices)) or 1
            if runs_left == 1:
                most = len(run.pool)
        ranked = self.rank(run, steps) if shared else Ranked(architectures=(), macs=0, images=0)
        left -= ranked.macs
        taken: list[Architecture] = []
        cut = False
        for candidate in chain(ranked.architectures, run.pool):
            if len(taken) == most:
                break
            if candidate in taken:
                continue
            if (price := problem.price(images, candidate)) <= left:
                taken.append(candidate)
                left -= price
            else:
                cut = True
        return Proposal(
            candidates=(*given, *taken),
            stopped="budget" if cut else "",
            spent=Ledger(macs=ranked.macs, images=((run.key, ranked.images),) if ranked.images else ()),
        )


def _narrowed(problem: Problem, skeleton: Skeleton) -> Problem | None:
    """The search with no other skeleton; None if the limits admit no cell in it."""
    space = replace(problem.space, skeletons=(skeleton,))
    fits = space.fitting_skeletons(problem.task.shape, len(problem.task.classes))
    return replace(problem, space=space) if fits else None


def each_batch(
    run: SupernetRun, training: TrainingConfig, steps: int, step: Callable[[int, Tensor, Tensor], bool]
) -> None:
    """Go through a run's training images epoch by epoch, until all steps are done or time has run out.

    Torch computes in one thread, so the sums do not depend on the number of workers.

    Args:
        run: gives the images and their order.
        training: gives the batch and the augmentation.
        steps: how many; the last epoch may end early.
        step: (number, pixels (batch, channels, h, w), labels (batch,)) -> whether loss and gradients were finite.
    """
    split, at = run.task.train, run.problem.at
    name, note = f"{run.key} for {run.task.name}", ""
    number = failed = 0
    epochs = math.ceil(steps / len(run.batch_sizes(split, training.batch)))
    at.tell(StepStarted(step=name, total=epochs, unit="epochs"))
    for epoch in range(epochs):
        # dropout draws from torch's global generator
        with side_by_side(1), run.seed.child("dropout", epoch).initialising():
            for which in batches(len(split), training.batch, run.seed.child("epoch", epoch)):
                if number == steps:
                    break
                if at.deadline() <= 0:
                    note = "no time is left"
                    break
                pixels = split.pixels(which).to(at.device)
                if training.augmentation.changes:
                    pixels = augmented(pixels, training.augmentation, run.seed.child("augmentation", number))
                pixels = pixels.contiguous(memory_format=torch.channels_last)
                failed += not step(number, pixels, split.labels[which].to(at.device))
                number += 1
        if note:
            break
        at.tell(StepAdvanced(step=name, done=epoch + 1))
    at.tell(StepFinished(step=name, note=note))
    if failed:
        at.warn(
            f"In {failed} of {number} steps of {run.key}, the loss or its gradients were not finite; "
            "these steps were skipped. Lower the learning rate of the search."
        )


class Descent:
    """How the weights of a supernet are trained: the usual recipe, its gradients clipped."""

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
        """Make a step of w. If the loss or the gradients are not finite, nothing changes.

        Args:
            number: from 0; the learning rate follows it.
            passes: what is computed; the rest gets no gradient and stays as it is.
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
