"""One loop that trains every network of tanas, and one that asks it."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel

from tanas.ground.checkpoints import SAVED_EVERY_S
from tanas.ground.context import Context
from tanas.ground.errors import NonFiniteError, check_choice, check_range
from tanas.ground.events import StepAdvanced, StepFinished, StepStarted
from tanas.ground.seeds import Seed
from tanas.networks.architecture import PixelNorm
from tanas.networks.augmentation import PLAIN, AugmentationConfig, augmented, cutmix, mixup
from tanas.tasks.performance import Evaluation
from tanas.tasks.task import Split

Tensors = tuple[Tensor, ...] | list[Tensor]

State = dict[str, Any]
"""Of a training between two epochs: weights, optimiser, learning rate, average, losses."""

EVALUATION_BATCH = 500
"""Images at a time when a network is only asked: a few MB of activations."""


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """A training recipe: cross-entropy, AdamW, a learning rate that rises and falls once."""

    ADDED: ClassVar = {"smoothing": 0.0, "mixup": 0.0, "cutmix": 0.0}
    """See `tanas.ground.records.digest`."""

    epochs: int = 15
    """Passes over the training images; a small set gets more (`least_steps`), a large one fewer (`meant_for`)."""
    batch: int = 128
    """Images a step."""
    learning_rate: float = 1e-2
    """Highest learning rate; it is reached after a tenth of the steps."""
    weight_decay: float = 0.05
    """AdamW's, on weights of convolutions and linear layers only."""
    schedule: str = "cosine"
    """'cosine': linear warm-up, then a cosine to zero. 'constant': the learning rate as it is."""
    class_weights: bool = False
    """Whether the loss of a class is weighted by the inverse of its frequency."""
    balanced: bool = False
    """Whether classes are to count alike: the log of a class's share is added to its logit in the loss only, so the
    network itself answers as if all classes were equally frequent. Source: Menon et al., Long-tail learning via logit
    adjustment, ICLR 2021, eq. 10."""
    augmentation: AugmentationConfig = PLAIN
    """How images are changed on the way into the network."""
    mixup: float = 0.0
    """Strength with which images are blended with others of their batch; 0: not at all."""
    cutmix: float = 0.0
    """Strength with which rectangles of other images of the batch are pasted in; 0: not at all."""
    smoothing: float = 0.0
    """Share of the target that all classes divide among them."""
    averaging: float = 0.0
    """Decay of a running average of the weights, a step; the trained network has the average. 0: the last weights.
    While fewer steps are done than such an average looks back on, the decay is smaller: (1 + steps) / (10 + steps)."""
    least_steps: int = 0
    """A set so small that its epochs have fewer steps gets as many epochs as give that many: 15 passes over 160 images
    are 30 steps of 128, after which a network for ten kinds of clothes is still wrong on every other picture."""
    meant_for: int = 0
    """Images for which `epochs` are meant: four times as many get half the epochs, which is twice the steps. 0: the
    epochs are the same for any larger set."""

    def __post_init__(self) -> None:
        check_range(self.epochs, "epochs", "TrainingConfig", low=1)
        check_range(self.batch, "batch", "TrainingConfig", low=2)
        check_range(self.learning_rate, "learning_rate", "TrainingConfig", low=0, open_ends=True)
        check_range(self.weight_decay, "weight_decay", "TrainingConfig", low=0)
        check_range(self.averaging, "averaging", "TrainingConfig", low=0, high=0.9999)
        check_range(self.mixup, "mixup", "TrainingConfig", low=0)
        check_range(self.cutmix, "cutmix", "TrainingConfig", low=0)
        check_range(self.smoothing, "smoothing", "TrainingConfig", low=0, high=0.9)
        check_range(self.least_steps, "least_steps", "TrainingConfig", low=0)
        check_range(self.meant_for, "meant_for", "TrainingConfig", low=0)
        check_choice(self.schedule, "schedule", "TrainingConfig", ("cosine", "constant"))

    def suited_to(self, images: int) -> TrainingConfig:
        """The same recipe for so many training images: its epochs, more for a small set, fewer for a large one."""
        epochs = self.epochs
        if 0 < self.meant_for < images:
            epochs = max(round(epochs * math.sqrt(self.meant_for / images)), 1)
        steps = steps_an_epoch(images, self.batch)
        # what is suited is not suited again
        return replace(self, epochs=max(epochs, math.ceil(self.least_steps / steps)), meant_for=0)


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """How a training went."""

    losses: tuple[float, ...]
    """Mean training loss of each epoch, in nats."""
    images: int
    """Training images; each counts once."""
    seconds: float
    """Wall-clock, the interrupted parts included."""
    shared: int = 0
    """The first of these epochs were another training's, which this one went on from."""

    @property
    def seen(self) -> int:
        """Images that it was trained on; each counts once an epoch."""
        return (len(self.losses) - self.shared) * self.images


class AbandonedError(Exception):
    """A training is given up, because the work that it belongs to failed or was interrupted."""


class Training:
    """The training of a network in place, which another thread can end."""

    def __init__(
        self,
        network: nn.Module,
        split: Split,
        config: TrainingConfig,
        *,
        classes: int,
        at: Context,
        step: str = "train",
        begun: State | None = None,
    ) -> None:
        """Gets ready, or takes up what the checkpoint holds.

        Args:
            network: float32 pixels (batch, channels, h, w) in [0, 1] -> logits (batch, classes).
            split: the training images.
            config: the recipe.
            classes: number of classes.
            at: its seed is that of the order of the images and of augmentation. The listener is told of each epoch; the
                checkpoint keeps the state of the training and gives it back when it begins again.
            step: name of the work, for the listener.
            begun: the `middle` of a training of the same network by the same recipe, perhaps on other images, to go on
                from; None: from the weights of the network.
        """
        for module in network.modules():
            if isinstance(module, PixelNorm):
                module.fit(split.parts(EVALUATION_BATCH))
        self.network = network.to(at.device)
        self.split, self.config, self.step, self.classes = split, config, step, classes
        self.listener = at.listener
        self._seed, self._device, self._checkpoint = at.seed, at.device, at.checkpoint
        self._steps = steps_an_epoch(len(split), config.batch)
        self._optimizer = make_optimizer(network, config)
        self._scheduler = torch.optim.lr_scheduler.LambdaLR(
            self._optimizer, learning_rate_at(config, self._steps * config.epochs)
        )
        self._average = averaged(network, config.averaging) if config.averaging else None
        self._class_weights = (
            class_weights(split.labels, classes).to(at.device) if config.class_weights else None
        )
        self._log_shares = log_shares(split.labels, classes).to(at.device) if config.balanced else None
        self.losses: list[float] = []
        self.seconds = 0.0
        self.shared = 0 if begun is None else len(begun["losses"])
        """Epochs that another training did."""
        self.middle: State | None = self._checkpoint.load("middle")
        """Where `begin` ended."""
        self._saved = -math.inf
        self._abandoned = False
        if (state := self._checkpoint.load("training")) is not None:
            self._take_up(state)
        elif begun is not None:
            # an epoch of other images has another number of steps
            place = {"last_epoch": self._steps * self.shared}
            self._take_up({**begun, "scheduler": {**begun["scheduler"], **place}, "seconds": 0.0})

    def begin(self, epochs: int) -> None:
        """Trains until so many epochs are done, and keeps the state there as `middle`; errors as for `run`."""
        if self.middle is None:
            self._train(epochs)
            self.middle = copy.deepcopy(self._state())
            self._checkpoint.save("middle", self.middle)

    def network_at(self, state: State) -> nn.Module:
        """A copy of the network with the weights that would have been kept if the training had ended there."""
        weights = state["network"]
        if state["average"] is not None:
            weights = {name.removeprefix("module."): value for name, value in state["average"].items()}
            del weights["n_averaged"]
        network = copy.deepcopy(self.network)
        network.load_state_dict(weights)
        return network

    def run(self) -> Fitted:
        """Trains to the end; then the network has the weights that are kept, and is set to eval.

        Raises:
            NonFiniteError: the loss is not finite.
            AbandonedError: `abandon` was called.
        """
        self._train(self.config.epochs)
        if self._average is not None:
            self.network.load_state_dict(self._average.module.state_dict())
        self.network.eval()
        return Fitted(
            losses=tuple(self.losses), images=len(self.split), seconds=self.seconds, shared=self.shared
        )

    def _train(self, end: int) -> None:
        """Trains until so many epochs are done."""
        if self._abandoned:
            raise AbandonedError
        if len(self.losses) == end:
            return
        began = time.monotonic() - self.seconds
        self.listener(StepStarted(step=self.step, total=end - self.shared, unit="epochs"))
        for epoch in range(len(self.losses), end):
            try:
                self.losses.append(self._epoch(epoch))
            except AbandonedError:
                self.listener(StepFinished(step=self.step, note="ended early"))
                raise
            self.seconds = time.monotonic() - began
            # the last state too, if it comes late: others may still be at work
            if time.monotonic() - self._saved >= SAVED_EVERY_S:
                self._saved = time.monotonic()
                self._checkpoint.save("training", self._state())
            done = epoch + 1 - self.shared
            self.listener(StepAdvanced(step=self.step, done=done, note=f"loss {self.losses[-1]:.3f}"))
        self.listener(StepFinished(step=self.step))

    def abandon(self) -> None:
        """Ends a run in another thread before its next step, by an `AbandonedError` there."""
        self._abandoned = True

    def _epoch(self, epoch: int) -> float:
        """The mean training loss of one pass, in nats."""
        self.network.train()
        total = torch.zeros((), device=self._device)
        with self._seed.child("dropout", epoch).initialising():  # dropout draws from torch's global generator
            for which in batches(len(self.split), self.config.batch, self._seed.child("epoch", epoch)):
                if self._abandoned:
                    raise AbandonedError
                pixels, targets = self._batch(which, epoch)
                logits = self.network(pixels.contiguous(memory_format=torch.channels_last))
                if self._log_shares is not None:
                    logits = logits + self._log_shares
                loss = functional.cross_entropy(
                    logits, targets, weight=self._class_weights, label_smoothing=self.config.smoothing
                )
                self._optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                self._optimizer.step()
                self._scheduler.step()
                if self._average is not None:
                    self._average.update_parameters(self.network)
                total += loss.detach() * len(which)
        mean = float(total) / len(self.split)
        if not math.isfinite(mean):
            raise NonFiniteError(
                f"The training loss of '{self.step}' is {mean} in epoch {epoch + 1}. "
                "Lower the learning rate, or leave this network out."
            )
        return mean

    def _batch(self, which: Tensor, epoch: int) -> tuple[Tensor, Tensor]:
        """Images at these positions as the network sees them, and their classes; probabilities if images are mixed."""
        config, place = self.config, (epoch, int(which[0]))
        pixels = self.split.pixels(which).to(self._device)
        labels = self.split.labels[which].to(self._device)
        if config.augmentation.changes:
            pixels = augmented(pixels, config.augmentation, self._seed.child("augmentation", *place))
        if not (config.mixup or config.cutmix):
            return pixels, labels
        targets = functional.one_hot(labels, self.classes).float()
        if config.mixup:
            pixels, targets = mixup(pixels, targets, config.mixup, self._seed.child("mixup", *place))
        if config.cutmix:
            pixels, targets = cutmix(pixels, targets, config.cutmix, self._seed.child("cutmix", *place))
        return pixels, targets

    def _state(self) -> State:
        return {
            "network": self.network.state_dict(),
            "optimizer": self._optimizer.state_dict(),
            "scheduler": self._scheduler.state_dict(),
            "average": None if self._average is None else self._average.state_dict(),
            "losses": self.losses,
            "seconds": self.seconds,
        }

    def _take_up(self, state: State) -> None:
        self.network.load_state_dict(state["network"])
        self._optimizer.load_state_dict(copy.deepcopy(state["optimizer"]))  # it would share the tensors
        self._scheduler.load_state_dict(state["scheduler"])
        if self._average is not None:
            self._average.load_state_dict(state["average"])
        self.losses, self.seconds = list(state["losses"]), state["seconds"]


def fit(
    network: nn.Module,
    split: Split,
    config: TrainingConfig,
    *,
    classes: int,
    at: Context,
    step: str = "train",
) -> Fitted:
    """Trains a network in place, without a pause; arguments as in `Training`.

    Raises:
        NonFiniteError: the loss is not finite.
    """
    return Training(network, split, config, classes=classes, at=at, step=step).run()


def steps_an_epoch(samples: int, batch: int) -> int:
    """The number of `batches`."""
    steps = math.ceil(samples / batch)
    return steps - 1 if steps > 1 and samples % batch == 1 else steps


def batches(samples: int, batch: int, seed: Seed) -> tuple[Tensor, ...]:
    """Positions in a seeded order, (batch,) each; a last batch of one joins the one before.

    BatchNorm can't train on a single image with one position.
    """
    order = torch.randperm(samples, generator=seed.torch())
    parts = list(torch.split(order, batch))
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    return tuple(parts)


@torch.no_grad()
def logits_of(network: nn.Module, split: Split, *, device: str = "cpu") -> Tensor:
    """The network's answers on a split, (samples, classes) float32 on the CPU."""
    network.eval()
    parts = []
    for pixels in split.parts(EVALUATION_BATCH):
        parts.append(network(pixels.to(device, memory_format=torch.channels_last)).float().cpu())
    return torch.cat(parts)


def evaluate(network: nn.Module, split: Split, *, classes: int, device: str = "cpu") -> Evaluation:
    """Counts a network's answers on a split.

    Raises:
        NonFiniteError: a logit is not finite.
    """
    return evaluation_of(logits_of(network, split, device=device), split, classes=classes)


def evaluation_of(logits: Tensor, split: Split, *, classes: int) -> Evaluation:
    """Counts answers given as logits, (samples, classes).

    Raises:
        NonFiniteError: a logit is not finite.
    """
    if not torch.isfinite(logits).all():
        raise NonFiniteError("The network's logits are not finite. Train it with a lower learning rate.")
    return Evaluation.of(split.labels.numpy(), logits.argmax(dim=1).numpy(), classes)


def make_optimizer(network: nn.Module, config: TrainingConfig) -> torch.optim.AdamW:
    """AdamW that decays matrices and kernels, not biases and BatchNorm."""
    trained = [p for p in network.parameters() if p.requires_grad]
    return torch.optim.AdamW(
        [
            {"params": [p for p in trained if p.dim() > 1], "weight_decay": config.weight_decay},
            {"params": [p for p in trained if p.dim() <= 1], "weight_decay": 0.0},
        ],
        lr=config.learning_rate,
        fused=True,  # a third of the time on a CPU
    )


def learning_rate_at(config: TrainingConfig, steps: int) -> Callable[[int], float]:
    """The factor of the learning rate at each of so many steps."""
    warm_up = max(steps // 10, 1)

    def factor(step: int) -> float:
        if config.schedule == "constant":
            return 1.0
        if step < warm_up:
            return (step + 1) / warm_up
        return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(steps - warm_up, 1)))

    return factor


def class_weights(labels: Tensor, classes: int) -> Tensor:
    """Inverse frequencies with mean one over the samples, (classes,)."""
    counts = torch.bincount(labels, minlength=classes).float()
    return len(labels) / (counts.clamp_min(1) * (counts > 0).sum())


def log_shares(labels: Tensor, classes: int) -> Tensor:
    """The log of each class's share of the labels, (classes,); one without labels counts as if it had one."""
    counts = torch.bincount(labels, minlength=classes).clamp_min(1).double()
    return (counts / counts.sum()).log().float()


def averaged(network: nn.Module, decay: float) -> AveragedModel:
    """A running average of a network's weights and BatchNorm statistics.

    Args:
        network: what is averaged.
        decay: of the average a step, once enough steps are done.
    """

    @torch.no_grad()
    def average(means: Tensors, values: Tensors, steps: Tensor | int) -> None:
        if not means[0].is_floating_point():  # BatchNorm counts its batches
            torch._foreach_copy_(means, values)
            return
        now = min(decay, (1 + int(steps)) / (10 + int(steps)))
        torch._foreach_lerp_(means, values, 1 - now)

    return AveragedModel(network, multi_avg_fn=average, use_buffers=True)


def seconds_a_step(network: nn.Module, split: Split, batch: int, device: str) -> float:
    """Seconds of a training step: the second of two whose gradients are thrown away; no state changes."""
    state: dict[str, Any] = {name: value.clone() for name, value in network.state_dict().items()}
    network.train()
    pixels = split.pixels(slice(0, max(min(batch, len(split)), 2))).to(
        device, memory_format=torch.channels_last
    )
    labels = split.labels[: len(pixels)].to(device)
    began = 0.0
    for _ in range(2):
        began = time.monotonic()
        functional.cross_entropy(network(pixels), labels).backward()  # type: ignore[no-untyped-call]
    elapsed = time.monotonic() - began
    network.zero_grad(set_to_none=True)
    network.load_state_dict(state)  # BatchNorm's running means are as before
    return elapsed
