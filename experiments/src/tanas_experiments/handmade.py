"""A network, made by hand or found, under the recipe of a comparison: rate chosen on validation, tested once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch
from torch import nn

from tanas.ground.checkpoints import Checkpoint, Stopwatch
from tanas.ground.context import Context
from tanas.ground.errors import NonFiniteError, SearchError, SettingError, check_range
from tanas.ground.events import Listener, Warned
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture, Cost, Shape, build, cost_of, count_cost
from tanas.networks.scoring import judged
from tanas.networks.training import TrainingConfig, evaluate, fit, seconds_a_step
from tanas.strategies.base import training_macs
from tanas.tasks.library import Library
from tanas.tasks.source import Reading
from tanas.tasks.task import Task
from tanas_experiments.opened import opened
from tanas_experiments.zoo import make_zoo

Subject = str | Architecture
"""A network made by hand, by its name in the zoo, or an architecture that was found."""

LEAST_TRIAL_STEPS = 100
"""Of a trial of a learning rate: after 32, half of the small networks still gave a constant answer to one positive in
twenty, whatever the rate: chance chose it."""


@dataclass(frozen=True, kw_only=True)
class RateConfig:
    """How a network's learning rate is chosen: the same short trainings for every network, judged on validation."""

    rates: tuple[float, ...] = (3e-4, 1e-3, 3e-3, 1e-2)
    """The grid: half a power of ten a step, from what plain deep networks stand to what small ones like best."""
    images: int = 4_000
    """Most training images of a trial, stratified. All validation images judge it."""
    epochs: int = 4
    """Of a trial; else its recipe is that of the final training."""

    def __post_init__(self) -> None:
        if not self.rates or len(set(self.rates)) < len(self.rates):
            raise SettingError(
                "The 'rates' of RateConfig must be different learning rates, at least one. "
                f"Got {self.rates} instead."
            )
        for rate in self.rates:
            check_range(rate, "rates", "RateConfig", low=0, open_ends=True)
        check_range(self.images, "images", "RateConfig", low=2)
        check_range(self.epochs, "epochs", "RateConfig", low=1)

    def suited_to(self, images: int, training: TrainingConfig) -> RateConfig:
        """The same for a task of so many training images: trials on few get more epochs, if the final training does."""
        trial = replace(
            training, epochs=self.epochs, least_steps=min(LEAST_TRIAL_STEPS, training.least_steps)
        )
        return replace(self, epochs=trial.suited_to(min(images, self.images)).epochs)


@dataclass(frozen=True, kw_only=True)
class TrainedConfig:
    """What every network of a comparison shares."""

    performance: str = "balanced"
    """What l is."""
    limit: int | None = None
    """Most training images; None: all."""
    training: TrainingConfig = field(default_factory=TrainingConfig)
    """The final training; its learning rate is replaced by the chosen one."""
    rates: RateConfig = field(default_factory=RateConfig)

    def suited_to(self, images: int) -> TrainedConfig:
        """The same for a task of so many training images: a small one gets more epochs."""
        return replace(
            self,
            training=self.training.suited_to(images),
            rates=self.rates.suited_to(images, self.training),
        )


@dataclass(frozen=True, kw_only=True)
class RateTried:
    """A learning rate and what a short training with it came to."""

    learning_rate: float
    score: float | None
    """Validation performance l; None: the training diverged."""
    loss: float | None
    """Cross-entropy on the validation images, in nats; of equal l the lower one is the better."""

    @property
    def rank(self) -> tuple[float, float, float]:
        """The better, the greater; of equal ones the lower learning rate."""
        if self.score is None or self.loss is None:
            return -1.0, 0.0, 0.0
        return self.score, -self.loss, -self.learning_rate


@dataclass(frozen=True, kw_only=True)
class TrainedNetwork:
    """A network under the recipe: what was tried, what it cost, and how it does on the test split."""

    network: str
    """Its name in the zoo, or the key of its architecture."""
    parameters: int
    macs: int
    """Multiply-adds for one image."""
    rates: tuple[RateTried, ...]
    """In the order of the grid."""
    learning_rate: float
    """The chosen one: the first by validation whose final training did not diverge."""
    validation_error: float
    validation_balanced_error: float
    test_error: float
    test_balanced_error: float
    rate_macs: int
    """Multiply-adds of the short trainings, forward and backward; one that diverged counts whole."""
    train_macs: int
    """Of the final training, and of those before it that diverged."""
    rate_s: float
    """Wall-clock seconds of the short trainings."""
    train_s: float
    """Of the final training and the test."""


@dataclass(frozen=True, kw_only=True)
class Before:
    """A final training that was done and tested already, such as that of a search: not done again."""

    learning_rate: float
    validation_error: float
    validation_balanced_error: float
    test_error: float
    test_balanced_error: float
    took_s: float
    """Wall-clock seconds."""


def train_and_test(
    subject: Subject,
    task: Task,
    config: TrainedConfig,
    at: Context,
    *,
    before: Before | None = None,
) -> TrainedNetwork:
    """Chooses a learning rate on validation, trains with it, and touches the test split once.

    An architecture's initial weights and its order of images are those that a search's own final training has
    with the same seed: with the same learning rate it comes to the same network. So its figures are taken where that
    rate is the chosen one, and not looked at where it is not.

    Args:
        subject: the network.
        task: as its source gives it, with its test split.
        config: the recipe.
        at: with what; its seed is that of initial weights and the order of images. What is done is kept in its
            checkpoint: the same call goes on from there.
        before: the final training of the search that found the architecture, with the same recipe and seed.

    Raises:
        UnknownNameError: the zoo has no such network.
        SearchError: every learning rate diverged.
    """
    watch = Stopwatch(at.checkpoint)
    at = at.heard_by(watch.heard(at.listener))
    task = task.measured_by(config.performance).limited(config.limit)
    config = config.suited_to(len(task.train))
    classes, name = len(task.classes), name_of(subject)
    cost = subject_cost(subject, task.shape, classes)
    with at.phase("rates"):
        tried = _rates_tried(subject, task.without_test(), config, at)
    small = task.limited(config.rates.images)
    rate_macs = len(tried) * training_macs(cost.macs, config.rates.epochs * len(small.train))

    best = max(tried, key=lambda one: one.rank)
    if before is not None and best.score is not None and best.learning_rate == before.learning_rate:
        learning_rate, trainings, train_s = best.learning_rate, 1, before.took_s
        validation_errors = before.validation_error, before.validation_balanced_error
        test_errors = before.test_error, before.test_balanced_error
    else:
        with at.phase("train"):
            network, learning_rate, trainings = _trained(subject, task, tried, config, at)
            validation = evaluate(network, task.validation, classes=classes, device=at.device)
            test = evaluate(network, opened(task), classes=classes, device=at.device)
        train_s = watch.seconds("train")
        validation_errors = validation.error, validation.balanced_error
        test_errors = test.error, test.balanced_error
    return TrainedNetwork(
        network=name,
        parameters=cost.parameters,
        macs=cost.macs,
        rates=tried,
        learning_rate=learning_rate,
        validation_error=validation_errors[0],
        validation_balanced_error=validation_errors[1],
        test_error=test_errors[0],
        test_balanced_error=test_errors[1],
        rate_macs=rate_macs,
        train_macs=trainings * training_macs(cost.macs, config.training.epochs * len(task.train)),
        rate_s=watch.seconds("rates"),
        train_s=train_s,
    )


def name_of(subject: Subject) -> str:
    """A network's name in the zoo, or the key of its architecture."""
    return subject if isinstance(subject, str) else subject.key


def subject_cost(subject: Subject, shape: Shape, classes: int) -> Cost:
    """Parameters and multiply-adds of a network, counted without storage.

    Args:
        subject: the network.
        shape: (channels, height, width) of an image.
        classes: number of logits.
    """
    if not isinstance(subject, str):
        return cost_of(subject, shape, classes)
    with torch.device("meta"):
        return count_cost(make_zoo(subject, shape, classes, Seed(0)), torch.empty(1, *shape))


def seconds_expected(subject: Subject, task: Task, config: TrainedConfig, device: str) -> float:
    """About how long `train_and_test` takes from its beginning, from training steps that are timed now.

    Args:
        subject: the network.
        task: as its source gives it; its test split is not touched.
        config: the recipe.
        device: where it would be trained.
    """
    task = task.without_test().measured_by(config.performance).limited(config.limit)
    config = config.suited_to(len(task.train))
    network = _made(subject, task, Seed(0)).to(device)
    batch = min(config.training.batch, len(task.train))
    step_s = seconds_a_step(network, task.train, batch, device)
    shown = config.training.epochs * len(task.train)
    shown += len(config.rates.rates) * config.rates.epochs * min(config.rates.images, len(task.train))
    return step_s * shown / batch


def trained_job(
    name: str,
    reading: Reading,
    subject: Subject,
    config: TrainedConfig,
    seed: int,
    before: Before | None,
    device: str,
    checkpoint: Checkpoint,
    *,
    listener: Listener,
) -> TrainedNetwork:
    """A worker's job: opens a task by its name, then does `train_and_test`."""
    return train_and_test(
        subject,
        Library.of(reading).open(name),
        config,
        Context(seed=Seed(seed), device=device, listener=listener, checkpoint=checkpoint),
        before=before,
    )


def _made(subject: Subject, task: Task, seed: Seed) -> nn.Module:
    classes, weights = len(task.classes), seed.child("final", "weights")
    if isinstance(subject, str):
        return make_zoo(subject, task.shape, classes, weights)
    return build(subject, task.shape, classes, weights)


def _rates_tried(subject: Subject, task: Task, config: TrainedConfig, at: Context) -> tuple[RateTried, ...]:
    """A short training with each learning rate; what is done already is read."""
    small = task.limited(config.rates.images).train
    tried: list[RateTried] = []
    for rate in config.rates.rates:
        part = at.drawing("rates", "order").keeping(f"rate-{rate:g}")
        if (saved := part.checkpoint.load("done")) is not None:
            tried.append(RateTried(learning_rate=rate, score=saved["score"], loss=saved["loss"]))
            continue
        network = _made(subject, task, at.seed)
        score = loss = None
        try:
            fit(
                network,
                small,
                replace(config.training, epochs=config.rates.epochs, learning_rate=rate),
                classes=len(task.classes),
                at=part,
                step=f"try {rate:g} for {name_of(subject)}, seed {at.seed.root}",
            )
            judgement = judged(network, task, device=at.device)
            score, loss = judgement.score, judgement.loss
        except NonFiniteError as error:
            at.tell(Warned(message=f"{name_of(subject)} with learning rate {rate:g}: {error}"))
        part.checkpoint.clear()
        part.checkpoint.save("done", {"score": score, "loss": loss})
        tried.append(RateTried(learning_rate=rate, score=score, loss=loss))
    return tuple(tried)


def _trained(
    subject: Subject,
    task: Task,
    tried: Sequence[RateTried],
    config: TrainedConfig,
    at: Context,
) -> tuple[nn.Module, float, int]:
    """The network after its final training, its learning rate, and how many trainings that took."""
    name = name_of(subject)
    usable = sorted((one for one in tried if one.score is not None), key=lambda one: one.rank, reverse=True)
    for number, one in enumerate(usable, 1):
        part = at.drawing("final", "order").keeping(f"final-{one.learning_rate:g}")
        if part.checkpoint.load("diverged"):
            continue
        network = _made(subject, task, at.seed)
        try:
            fit(
                network,
                task.train,
                replace(config.training, learning_rate=one.learning_rate),
                classes=len(task.classes),
                at=part,
                step=f"train {name} on {task.name}, seed {at.seed.root}",
            )
        except NonFiniteError as error:
            part.checkpoint.clear()
            part.checkpoint.save("diverged", True)
            at.tell(Warned(message=f"{name} with learning rate {one.learning_rate:g}: {error}"))
            continue
        return network, one.learning_rate, number
    raise SearchError(
        f"{name} diverged on {task.name} with every learning rate of "
        f"{', '.join(f'{one.learning_rate:g}' for one in tried)}. Add lower ones to the grid."
    )
