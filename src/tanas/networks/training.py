"""One plain loop that trains every network of tanas, and one that asks it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from tanas.checkpoints import Checkpoint, NoCheckpoint
from tanas.errors import NonFiniteError, check_choice, check_range
from tanas.events import Listener, StepAdvanced, StepFinished, StepStarted, ignore
from tanas.networks.architecture import PixelNorm
from tanas.seeds import Seed
from tanas.tasks.performance import Evaluation
from tanas.tasks.task import Split

EVALUATION_BATCH = 500
"""Images at a time when a network is only asked: a few MB of activations."""


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """A training recipe: cross-entropy, AdamW, a learning rate that rises and falls once."""

    epochs: int = 15
    """Passes over the training images; a small set gets more (`least_steps`)."""
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
    shift: int = 0
    """Augmentation: images are shifted by up to so many pixels both ways, padded with the border."""
    least_steps: int = 0
    """A set so small that its epochs have fewer steps gets as many epochs as give that many: 15 passes over 160 images
    are 30 steps of 128, after which a network for ten kinds of clothes is still wrong on every other picture."""

    def __post_init__(self) -> None:
        check_range(self.epochs, "epochs", "TrainingConfig", low=1)
        check_range(self.batch, "batch", "TrainingConfig", low=2)
        check_range(self.learning_rate, "learning_rate", "TrainingConfig", low=0, open_ends=True)
        check_range(self.weight_decay, "weight_decay", "TrainingConfig", low=0)
        check_range(self.shift, "shift", "TrainingConfig", low=0)
        check_range(self.least_steps, "least_steps", "TrainingConfig", low=0)
        check_choice(self.schedule, "schedule", "TrainingConfig", ("cosine", "constant"))

    def suited_to(self, images: int) -> TrainingConfig:
        """The same recipe for so many training images: its epochs, or more where those were too few steps."""
        steps = math.ceil(images / self.batch)
        return replace(self, epochs=max(self.epochs, math.ceil(self.least_steps / steps)))


@dataclass(frozen=True, kw_only=True)
class Fitted:
    """How a training went."""

    losses: tuple[float, ...]
    """Mean training loss of each epoch, in nats."""
    seconds: float
    """Wall-clock, the interrupted parts included."""


def fit(
    network: nn.Module,
    split: Split,
    config: TrainingConfig,
    *,
    classes: int,
    seed: Seed,
    step: str = "train",
    device: str = "cpu",
    listener: Listener = ignore,
    checkpoint: Checkpoint | None = None,
) -> Fitted:
    """Trains a network in place.

    Args:
        network: float32 pixels (batch, channels, h, w) in [0, 1] -> logits (batch, classes).
        split: the training images.
        config: the recipe.
        classes: number of classes.
        seed: of the order of the images and of augmentation.
        step: name of the work, for the listener.
        device: where to train.
        listener: is told of each epoch.
        checkpoint: keeps the state after each epoch, and gives it back when the training begins again.

    Raises:
        NonFiniteError: the loss is not finite.
    """
    checkpoint = checkpoint or NoCheckpoint()
    for module in network.modules():
        if isinstance(module, PixelNorm):
            module.fit(split.pixels())
    network.to(device)
    steps = math.ceil(len(split) / config.batch)
    optimizer = make_optimizer(network, config)
    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, learning_rate_at(config, steps * config.epochs))
    weights = class_weights(split.labels, classes).to(device) if config.class_weights else None

    losses: list[float] = []
    seconds = 0.0
    if (state := checkpoint.load("training")) is not None:
        network.load_state_dict(state["network"])
        optimizer.load_state_dict(state["optimizer"])
        scheduler.load_state_dict(state["scheduler"])
        losses, seconds = list(state["losses"]), state["seconds"]

    began = time.monotonic() - seconds
    remaining = config.epochs - len(losses)
    estimate = remaining * steps * seconds_a_step(network, split, config.batch, device) if remaining else None
    listener(StepStarted(step=step, total=config.epochs, unit="epochs", estimate_s=estimate))
    for epoch in range(len(losses), config.epochs):
        network.train()
        total = torch.zeros((), device=device)
        with seed.child("dropout", epoch).initialising():  # dropout draws from torch's global generator
            for which in batches(len(split), config.batch, seed.child("epoch", epoch)):
                pixels = split.pixels(which).to(device, memory_format=torch.channels_last)
                if config.shift:
                    pixels = shifted(pixels, config.shift, seed.child("shift", epoch, int(which[0])))
                labels = split.labels[which].to(device)
                loss = functional.cross_entropy(network(pixels), labels, weight=weights)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()  # type: ignore[no-untyped-call]
                optimizer.step()
                scheduler.step()
                total += loss.detach() * len(which)
        mean = float(total) / len(split)
        if not math.isfinite(mean):
            raise NonFiniteError(
                f"The training loss of '{step}' is {mean} in epoch {epoch + 1}. "
                "Lower the learning rate, or leave this network out."
            )
        losses.append(mean)
        if epoch + 1 < config.epochs:
            checkpoint.save(
                "training",
                {
                    "network": network.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "scheduler": scheduler.state_dict(),
                    "losses": losses,
                    "seconds": time.monotonic() - began,
                },
            )
        listener(StepAdvanced(step=step, done=epoch + 1, note=f"loss {mean:.3f}"))
    listener(StepFinished(step=step))
    network.eval()
    return Fitted(losses=tuple(losses), seconds=time.monotonic() - began)


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
    for which in torch.split(torch.arange(len(split)), EVALUATION_BATCH):
        pixels = split.pixels(which).to(device, memory_format=torch.channels_last)
        parts.append(network(pixels).float().cpu())
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


def shifted(pixels: Tensor, most: int, seed: Seed) -> Tensor:
    """Each image shifted by up to `most` pixels both ways, padded with its border; the shape stays."""
    batch, _, height, width = pixels.shape
    padded = functional.pad(pixels, (most, most, most, most), mode="replicate")
    offsets = torch.randint(0, 2 * most + 1, (2, batch, 1), generator=seed.torch()).to(pixels.device)
    rows = (torch.arange(height, device=pixels.device) + offsets[0])[:, :, None]  # (batch, height, 1)
    columns = (torch.arange(width, device=pixels.device) + offsets[1])[:, None, :]  # (batch, 1, width)
    which = torch.arange(batch, device=pixels.device)[:, None, None]
    moved: Tensor = padded.permute(0, 2, 3, 1)[which, rows, columns]  # (batch, height, width, channels)
    return moved.permute(0, 3, 1, 2)


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
