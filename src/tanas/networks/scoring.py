"""The score of an architecture: what one fixed short training makes of it, comparable between searches."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from torch import Tensor, nn
from torch.nn import functional

from tanas.ground.context import Context
from tanas.ground.errors import check_range
from tanas.networks.architecture import Architecture, Network, build, cost_of
from tanas.networks.training import TrainingConfig, class_weights, evaluation_of, fit, logits_of
from tanas.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class ScoringConfig:
    """The fixed short training behind a score. Two scores compare only if theirs are equal."""

    images: int = 4000
    """At most so many training images, stratified; validation images in proportion."""
    training: TrainingConfig = field(default_factory=lambda: TrainingConfig(epochs=4, least_steps=50))
    """Four epochs: architectures ranked so agree between two seeds with Spearman 0.94."""

    def __post_init__(self) -> None:
        check_range(self.images, "images", "ScoringConfig", low=2)

    def suited_to(self, images: int) -> ScoringConfig:
        """The same for a task of so many training images: a small one gets more epochs."""
        return replace(self, training=self.training.suited_to(min(images, self.images)))


@dataclass(frozen=True, kw_only=True)
class ScoredArchitecture:
    """An architecture that a search has seen."""

    architecture: Architecture
    score: float | None
    """Validation performance l in [0, 1] after the fixed short training; None: seen, not scored."""
    parameters: int
    macs: int
    """Multiply-adds for one image."""
    final: bool = False
    """Whether `score` is l after the final training instead, which compares with no other: of what won alone."""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """How well a network does on the validation split, and what tells two of the same l apart."""

    score: float
    """Validation performance l in [0, 1]."""
    loss: float
    """Cross-entropy on the validation images, in nats; where l is 'balanced', its mean over the classes."""

    @property
    def rank(self) -> tuple[float, float]:
        """The better, the greater: l, then the loss with its sign turned.

        l is 0 for every network that is no better than a constant answer, which is many after a short training;
        the loss is never clipped, and two networks hardly ever share it.
        """
        return self.score, -self.loss


def judged(network: nn.Module, task: Task, *, device: str = "cpu") -> Judgement:
    """Judges a trained network by the validation split.

    Raises:
        NonFiniteError: a logit is not finite.
    """
    return judgement_of(logits_of(network, task.validation, device=device), task)


def judgement_of(logits: Tensor, task: Task) -> Judgement:
    """Judges answers to the validation split, given as logits (samples, classes).

    Raises:
        NonFiniteError: a logit is not finite.
    """
    split = task.validation
    evaluation = evaluation_of(logits, split, classes=len(task.classes))
    return Judgement(
        score=evaluation.performance(task.performance),
        loss=cross_entropy_of(logits, split.labels, task),
    )


def cross_entropy_of(logits: Tensor, labels: Tensor, task: Task) -> float:
    """Cross-entropy in nats; of the balanced performance the mean over the classes.

    Args:
        logits: (samples, classes).
        labels: (samples,).
        task: gives the classes and the measure of performance.
    """
    weights = class_weights(labels, len(task.classes)).double() if task.performance == "balanced" else None
    return float(functional.cross_entropy(logits.double(), labels, weight=weights))


def unscored(architecture: Architecture, task: Task) -> ScoredArchitecture:
    """An architecture that was seen and not scored."""
    cost = cost_of(architecture, task.shape, len(task.classes))
    return ScoredArchitecture(
        architecture=architecture, score=None, parameters=cost.parameters, macs=cost.macs
    )


def score(
    architecture: Architecture,
    task: Task,
    config: ScoringConfig,
    at: Context,
    *,
    network: Network | None = None,
) -> ScoredArchitecture:
    """Trains an architecture shortly on its own and measures l on the validation split.

    Args:
        architecture: what is scored.
        task: what for; its test split is not used.
        config: the short training.
        at: its seed is that of the weights and of the order of images.
        network: of the architecture, which is trained in place; its score is one of those weights, not comparable with
            that of the architecture. None: one from the seed.

    Raises:
        NonFiniteError: the training diverged.
    """
    small = task.without_test().limited(config.images)
    classes = len(task.classes)
    if network is None:
        network = build(architecture, task.shape, classes, at.seed.child("weights"))
    step = f"score {architecture.key} on {task.name}"
    fit(network, small.train, config.training, classes=classes, at=at.drawing("order"), step=step)
    cost = cost_of(architecture, task.shape, classes)
    return ScoredArchitecture(
        architecture=architecture,
        score=judged(network, small, device=at.device).score,
        parameters=cost.parameters,
        macs=cost.macs,
    )
