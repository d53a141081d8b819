"""How w and alpha take turns within a round of FUSE: two schedules, each a value that can be swapped."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass, field
from typing import ClassVar, Literal

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from tanas.ground.context import Context
from tanas.ground.errors import check_range
from tanas.ground.events import StepAdvanced, StepFinished, StepStarted
from tanas.networks.training import TrainingConfig, batches, learning_rate_at, make_optimizer, steps_an_epoch
from tanas.strategies.base import Stage
from tanas.strategies.mixture import Mixture, mixture_loss, side_by_side
from tanas.tasks.task import Task

ALPHA_STEPS = 100
"""Most iterations of the solver; it stops long before, where the loss no longer falls."""
ALPHA_TOLERANCE = 1e-9
"""The solver stops when loss or alpha change by less: far below the noise of a few hundred samples."""


@dataclass(frozen=True, kw_only=True)
class EqualWeights:
    """w under equal weights for one stage, then alpha solved once on the frozen candidates.

    Alpha solved after each epoch can collapse on the first fast learner, and the others stop learning. Over 32 triples
    waiting for the end of the stage alone made no clear difference (regret 1.56 against 1.65 points of l); the
    candidates' own losses did (`own_loss`; experiments/pages/fuse.md).
    """

    kind: Literal["equal-weights"] = "equal-weights"
    training: TrainingConfig = field(default_factory=lambda: TrainingConfig(epochs=2, least_steps=25))
    """The stage: its epochs, and the recipe by which w descends."""
    own_loss: float = 1.0
    """Weight of the sum of the candidates' own losses, which is added to the mixture's while w descends. Without it a
    candidate only learns to correct the others: over 32 triples arg max alpha then missed the best by 1.56 points of l,
    with it by 0.41 (p = 0.005; experiments/records/fuse.json). 0: the paper's loss."""
    stages: ClassVar[int] = 1
    floor: ClassVar[float] = 1.0

    def __post_init__(self) -> None:
        check_range(self.own_loss, "own_loss", "EqualWeights", low=0)

    def run(self, mixture: Mixture, task: Task, at: Context) -> tuple[Stage, ...]:
        """Train w, then alpha; see `Schedule`."""
        loss = descend_weights(mixture, task, self, at, weight_rate(mixture, task, self))
        logits = mixture.validation_logits(task)
        mixture.alpha[mixture.active] = fit_alpha(logits, task.validation.labels)
        return (_stage(mixture, loss, logits, task.validation.labels),)


@dataclass(frozen=True, kw_only=True)
class Alternating:
    """The paper's letter: descend w, descend alpha, until alpha has converged."""

    kind: Literal["alternating"] = "alternating"
    training: TrainingConfig = field(
        default_factory=lambda: TrainingConfig(
            epochs=1, learning_rate=1e-3, weight_decay=0, schedule="constant"
        )
    )
    """Of w in one stage; Adam at 1e-3, as in the authors' code. A cosine would span all stages."""
    alpha_steps: int = 20
    """Steps of alpha in one stage."""
    alpha_learning_rate: float = 0.02
    """Of one Adam for all stages: a fresh Adam a stage puts alphas on a lattice, where ties go to the first."""
    stages: int = 20
    """Most stages."""
    tolerance: float = 5e-3
    """alpha has converged when no softmax weight changes by more in a stage."""
    floor: float = 0.0
    """Least weight of a candidate in the mixture while w descends, as a share of 1/|C|: 0 is the paper's letter, 1
    equal weights. It keeps a slow learner learning."""
    own_loss: float = 0.0
    """Weight of the sum of the candidates' own losses, which is added to the mixture's while w descends."""

    def __post_init__(self) -> None:
        check_range(self.alpha_steps, "alpha_steps", "Alternating", low=1)
        check_range(self.floor, "floor", "Alternating", low=0, high=1)
        check_range(self.own_loss, "own_loss", "Alternating", low=0)
        check_range(self.alpha_learning_rate, "alpha_learning_rate", "Alternating", low=0, open_ends=True)
        check_range(self.stages, "stages", "Alternating", low=1)
        check_range(self.tolerance, "tolerance", "Alternating", low=0, high=1)

    def run(self, mixture: Mixture, task: Task, at: Context) -> tuple[Stage, ...]:
        """Alternate to convergence; see `Schedule`."""
        alpha = mixture.alpha.clone().requires_grad_(True)  # (candidates,)
        alpha_optimizer = torch.optim.Adam([alpha], lr=self.alpha_learning_rate)
        rate, labels = weight_rate(mixture, task, self), task.validation.labels  # AdamW without decay is Adam
        stages: list[Stage] = []
        for number in range(self.stages):
            before = mixture.weights
            # (i) freeze alpha, jointly train the candidates
            loss = descend_weights(mixture, task, self, at.drawing("stage", number), rate)
            # (ii) freeze the candidates, update alpha; frozen candidates have constant logits
            logits = mixture.validation_logits(task)
            active = mixture.active
            for _ in range(self.alpha_steps):
                alpha_optimizer.zero_grad()
                mixture_loss(alpha[active], logits.double(), labels).backward()  # type: ignore[no-untyped-call]
                alpha_optimizer.step()
            mixture.alpha = alpha.detach().clone()
            stages.append(_stage(mixture, loss, logits, labels))
            if (mixture.weights - before).abs().max() <= self.tolerance or at.deadline() <= 0:
                break
        return tuple(stages)


Schedule = EqualWeights | Alternating
"""What `FuseConfig.schedule` can be. Each has `run(mixture, task, at)`, which trains the mixture in place, sets its
alpha, and returns a record a stage; its `floor`, `own_loss` and `training` say how w descends."""


def weight_rate(mixture: Mixture, task: Task, schedule: Schedule) -> LambdaLR:
    """Return the learning rate of w over all stages; it holds the optimizer."""
    training = schedule.training
    steps = steps_an_epoch(len(task.train), training.batch) * training.epochs * schedule.stages
    optimizer = make_optimizer(torch.nn.ModuleList(mixture.networks), training)
    return LambdaLR(optimizer, learning_rate_at(training, steps))


def descend_weights(mixture: Mixture, task: Task, schedule: Schedule, at: Context, rate: LambdaLR) -> float:
    """Update all candidates by the mixture's training loss while alpha stands still.

    Args:
        mixture: is trained in place.
        task: gives the training images.
        schedule: recipe, floor and own losses.
        at: gives the order of the images. No further epoch begins when no time is left.
        rate: see `weight_rate`.

    Returns:
        the mixture's mean loss in the last epoch, in nats.

    Source: section 3.3, step (i): min over w of L_train(w; alpha, X_train).
    """
    split, training, step = task.train, schedule.training, mixture.step
    mean = math.nan
    with side_by_side(mixture.workers) as pool:
        at.tell(StepStarted(step=step, total=training.epochs, unit="epochs"))
        for epoch in range(training.epochs):
            began, total = time.monotonic(), 0.0
            for i in mixture.active:
                mixture.networks[i].train()
            for which in batches(len(split), training.batch, at.seed.child("epoch", epoch)):
                pixels = split.pixels(which).to(mixture.device, memory_format=torch.channels_last)
                labels = split.labels[which].to(mixture.device)
                rate.optimizer.zero_grad(set_to_none=True)
                loss = mixture.descend(pixels, labels, pool, floor=schedule.floor, own_loss=schedule.own_loss)
                rate.optimizer.step()
                rate.step()
                total += loss * len(which)
            mean = total / len(split)
            at.tell(StepAdvanced(step=step, done=epoch + 1, note=f"loss {mean:.3f}"))
            if at.deadline() < time.monotonic() - began:
                break
    at.tell(StepFinished(step=step))
    return mean


def fit_alpha(logits: Tensor, labels: Tensor) -> Tensor:
    """Fit the mixture weights of candidates whose own weights are frozen.

    Frozen candidates have constant logits, so the loss is convex in the softmax weights: it is solved on
    logits computed once instead of stepped at through the networks.

    Args:
        logits: of every candidate on the validation split, finite, (candidates, samples, classes).
        labels: class indices, (samples,).

    Returns:
        alpha, (candidates,) float64; the solver starts at 1/|C| each.

    Source: section 3.3, step (ii): "freeze network candidates, update alpha".
    """
    logits = logits.double()
    alpha = torch.full((len(logits),), 1 / len(logits), dtype=torch.float64).requires_grad_(True)
    solver = torch.optim.LBFGS(
        [alpha],
        max_iter=ALPHA_STEPS,
        tolerance_grad=ALPHA_TOLERANCE,
        tolerance_change=ALPHA_TOLERANCE,
        line_search_fn="strong_wolfe",
    )

    def closure() -> Tensor:
        solver.zero_grad()
        loss = mixture_loss(alpha, logits, labels)
        loss.backward()  # type: ignore[no-untyped-call]
        return loss

    solver.step(closure)  # type: ignore[no-untyped-call]
    return alpha.detach()


def _stage(mixture: Mixture, train_loss: float, logits: Tensor, labels: Tensor) -> Stage:
    loss = mixture_loss(mixture.alpha[mixture.active], logits.double(), labels)
    return Stage(
        alphas=tuple(mixture.alpha.tolist()),
        weights=tuple(mixture.weights.tolist()),
        train_loss=train_loss,
        validation_loss=float(loss),
    )
