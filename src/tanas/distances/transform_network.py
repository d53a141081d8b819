"""The transform network N_t: from the features of one task's representative to those of another's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from tanas.distances.base import Pair
from tanas.ground.errors import NonFiniteError
from tanas.ground.seeds import Seed
from tanas.networks.training import batches


@dataclass(frozen=True, eq=False)
class Scale:
    """A shift of features to mean zero, and one divisor for all, to mean square one."""

    mean: Tensor
    """(features,)."""
    deviation: Tensor
    """()."""

    @classmethod
    def of(cls, features: Tensor) -> Scale:
        """The scale of features (samples, features)."""
        mean = features.mean(dim=0)
        deviation = (features - mean).square().mean().sqrt()
        return cls(mean, deviation.clamp_min(1e-6))  # constant features

    def done(self, features: Tensor) -> Tensor:
        """Scaled features."""
        return (features - self.mean) / self.deviation

    def undone(self, scaled: Tensor) -> Tensor:
        """Features as they were."""
        return scaled * self.deviation + self.mean


class TransformNetwork(nn.Module):
    """N_t: features of A, (samples, F_A), to features of B, (samples, F_B); dense layers with ReLU between.

    Features of A are scaled before the first layer, features of B after the last, by the fit rows' mean and one
    deviation for all features: Adam's steps then suit features of any size. The scales are no weights.
    """

    def __init__(self, source: Tensor, target: Tensor, widths: Sequence[int]) -> None:
        super().__init__()
        sizes = (source.shape[1], *widths, target.shape[1])
        self.layers = nn.ModuleList(nn.Linear(before, after) for before, after in pairwise(sizes))
        self.source_scale = Scale.of(source)
        self.target_scale = Scale.of(target)

    @property
    def matrices(self) -> list[Tensor]:
        """The weights that are pruned and counted; biases are not."""
        return [layer.weight for layer in self.layers]  # type: ignore[misc]

    @property
    def weights(self) -> int:
        """Number of weights without biases."""
        return sum(matrix.numel() for matrix in self.matrices)

    def _kept(self, masks: Sequence[Tensor] | None) -> list[Tensor]:
        return self.matrices if masks is None else [m * k for m, k in zip(self.matrices, masks, strict=True)]

    def mapped(self, scaled: Tensor, masks: Sequence[Tensor] | None = None) -> Tensor:
        """Scaled features of A to scaled features of B, (samples, F_B)."""
        hidden = scaled
        for depth, (layer, weight) in enumerate(zip(self.layers, self._kept(masks), strict=True)):
            hidden = functional.linear(torch.relu(hidden) if depth else hidden, weight, layer.bias)  # type: ignore[arg-type]
        return hidden

    def coordinates(self, *sources: Tensor, masks: Sequence[Tensor] | None = None) -> list[Tensor]:
        """Outputs for several sets of features, without their common shift, in orthonormal coordinates.

        The output lies in the span of the last layer's columns that a hidden unit still feeds. In an orthonormal
        basis of it, (samples, rank), a ridge head is the same head and costs a fraction.
        """
        *before, last = self._kept(masks)
        live = last.any(dim=0)  # (last hidden width,)
        if not live.any():
            live[0] = True
        _, triangular = torch.linalg.qr(last[:, live], mode="r")  # (rank, live units)
        outputs = []
        for source in sources:
            hidden = self.source_scale.done(source)
            for depth, matrix in enumerate(before):
                hidden = torch.relu(functional.linear(hidden, matrix, self.layers[depth].bias))  # type: ignore[arg-type]
            outputs.append(hidden[:, live] @ triangular.T * self.target_scale.deviation)
        return outputs

    def forward(self, source: Tensor, masks: Sequence[Tensor] | None = None) -> Tensor:
        return self.target_scale.undone(self.mapped(self.source_scale.done(source), masks))


def regress(
    network: TransformNetwork,
    pair: Pair,
    optimizer: torch.optim.Optimizer,
    *,
    epochs: int,
    batch: int,
    seed: Seed,
    masks: Sequence[Tensor] | None = None,
) -> None:
    """Fit a transform network in place to the fit rows of a pair, by mean squared error of scaled features.

    Weights outside the masks are set to zero and stay so. The seed decides the order of rows.

    Raises:
        NonFiniteError: the loss is not finite.
    """
    inputs, wanted = network.source_scale.done(pair.source_fit), network.target_scale.done(pair.target_fit)
    _mask(network, masks)
    for epoch in range(epochs):
        for which in batches(len(inputs), batch, seed.child("epoch", epoch)):
            loss = functional.mse_loss(network.mapped(inputs[which]), wanted[which])
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            _mask(network, masks)
        if not math.isfinite(loss.item()):
            raise NonFiniteError(
                f"The loss of the transform network from {pair.source} to {pair.target} is {loss.item()} "
                f"in epoch {epoch + 1}. Lower its learning rate."
            )


@torch.no_grad()
def _mask(network: TransformNetwork, masks: Sequence[Tensor] | None) -> None:
    for matrix, mask in zip(network.matrices, masks or [], strict=False):
        matrix.mul_(mask)
