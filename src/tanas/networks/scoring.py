"""The score of an architecture: its performance after a fixed short training, comparable between searches."""

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
    """The fixed short training behind a score. Scores compare only between equal trainings."""

    images: int = 4000
    """Most training images, stratified; validation images in proportion."""
    training: TrainingConfig = field(default_factory=lambda: TrainingConfig(epochs=4, least_steps=50))
    """After four epochs, the rankings of two seeds agree with Spearman 0.94."""

    def __post_init__(self) -> None:
        check_range(self.images, "images", "ScoringConfig", low=2)

    def suited_to(self, images: int) -> ScoringConfig:
        """This training for a task with that many training images: a small task gets more epochs."""
        return replace(self, training=self.training.suited_to(min(images, self.images)))


@dataclass(frozen=True, kw_only=True)
class ScoredArchitecture:
    """An architecture that a search has seen."""

    architecture: Architecture
    score: float | None
    """Validation performance l in [0, 1] after the fixed short training; None: not scored."""
    parameters: int
    macs: int
    """Multiply-adds for one image."""
    final: bool = False
    """Whether `score` is l after the final training, which compares with no other score."""


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """How well a network does on the validation split."""

    score: float
    """Validation performance l in [0, 1]."""
    loss: float
    """Cross-entropy on the validation images, in nats; where l is 'balanced', its mean over the classes."""

    @property
    def rank(self) -> tuple[float, float]:
        """The greater, the better: l, then minus the loss.

        After a short training many networks have l = 0, like a constant answer; their losses still differ.
        """
        return self.score, -self.loss


def judged(network: nn.Module, task: Task, *, device: str = "cpu") -> Judgement:
    """Judge a trained network by the validation split; NonFiniteError if a logit is not finite."""
    return judgement_of(logits_of(network, task.validation, device=device), task)


def judgement_of(logits: Tensor, task: Task) -> Judgement:
    """Judge logits of the validation split, (samples, classes); NonFiniteError if a logit is not finite."""
    split = task.validation
    evaluation = evaluation_of(logits, split, classes=len(task.classes))
    loss = cross_entropy_of(logits, split.labels, task)
    return Judgement(score=evaluation.performance(task.performance), loss=loss)


def cross_entropy_of(logits: Tensor, labels: Tensor, task: Task) -> float:
    """Cross-entropy in nats of logits, (samples, classes); its mean over the classes if l is 'balanced'."""
    weights = class_weights(labels, len(task.classes)).double() if task.performance == "balanced" else None
    return float(functional.cross_entropy(logits.double(), labels, weight=weights))


def unscored(architecture: Architecture, task: Task) -> ScoredArchitecture:
    """An architecture without a score."""
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
    """Train an architecture shortly and measure l on the validation split.

    Args:
        architecture: what is scored.
        task: its test split is not used.
        config: the short training.
        at: its seed sets the weights and the order of images.
        network: of the architecture, trained in place; the score is then of its weights, and compares with no other.
            None: a network from the seed.

    Raises:
        NonFiniteError: the training diverged.
    """
    small = task.without_test().limited(config.images)
    classes = len(task.classes)
    if network is None:
        network = build(architecture, task.shape, classes, at.seed.child("weights"))
    step = f"score {architecture.key} on {task.name}"
    fit(network, small.train, config.training, classes=classes, at=at.drawing("order"), step=step)
    return replace(unscored(architecture, task), score=judged(network, small, device=at.device).score)
