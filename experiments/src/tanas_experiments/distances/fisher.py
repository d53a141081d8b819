"""The Fisher task distance: how differently two networks' weights matter for the same images."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from tanas.distances.base import Distance, Measurement, Need, Pair
from tanas.distances.conversion import converted
from tanas.distances.from_score import placed
from tanas.distances.representative import Representative
from tanas.distances.threads import one_thread
from tanas.ground.errors import NonFiniteError, SettingError
from tanas.ground.seeds import Seed
from tanas.tasks.task import Split
from tanas_experiments.distances.information import diagonal_fisher

BATCH = 64
"""Images at a time: a convolution's patches at 28x28 are then 5 MB."""


def fisher_information(representative: Representative, images: Split) -> Tensor:
    """The diagonal Fisher information of a representative's weights on images of any task.

    Args:
        representative: the network N.
        images: `converted` makes them fit.

    Returns:
        float32, (weights and biases,): convolution, dense layer, head.
    """
    network = representative.network.eval()
    chunks = torch.split(torch.arange(len(images)), BATCH)
    batches = (converted(images.pixels(which), representative.shape) for which in chunks)
    layers = (network.convolution, network.dense, network.head)
    with one_thread():
        return torch.cat(diagonal_fisher(network, layers, batches, seed=Seed(0).child("fisher")))


@dataclass(frozen=True)
class FisherDistance(Distance):
    """Half the squared difference of the roots of two diagonal Fisher informations: 1 - sum(sqrt(F_A F_B)).

    F_A is that of N_A, F_B that of N_B, both on the fit images of B, each scaled to a sum of 1. The authors
    give the root of this value as distance; the order is the same.

    Their networks are all of one architecture, and so must these be: convolution and dense layer of the same
    shapes, else it refuses. Heads of different size (another number of classes) are left out on both
    sides; heads of the same size count. The information is that under a network's own answers: the labels
    of B, which N_A's classes are not, have no part in it. Two networks from different random weights
    have their units in different order, which this distance does not undo.

    It has no interval: another draw of images would need all gradients anew.

    Source: Le et al., Fisher Task Distance and Its Application in Neural Architecture Search, IEEE Access 10, 2022.
    """

    name = "fisher"
    needs: ClassVar[Mapping[str, Need]] = {"fisher": fisher_information}

    def measured(self, pair: Pair, seed: Seed, beyond: float | None) -> Measurement:
        if "fisher" not in pair.extra:
            raise SettingError(
                "The 'fisher' distance needs a pair with the Fisher information of both networks. "
                "Make the pair with needs=distance.needs."
            )
        source, target = pair.extra["fisher"]
        if pair.source_head_weight.shape != pair.head_weight.shape:
            source = source[: len(source) - _size(pair.source_head_weight, pair.source_head_bias)]
            target = target[: len(target) - _size(pair.head_weight, pair.head_bias)]
        if len(source) != len(target):
            raise SettingError(
                "The 'fisher' distance needs representatives of one architecture, on images of like size and "
                f"channels: it compares their weights. Those of {pair.source} and {pair.target} differ in shape. "
                "Take another method."
            )
        common = _share(source, pair.source, pair) * _share(target, pair.target, pair)
        order = min(max(1 - float(common.sqrt().sum()), 0.0), 1.0)
        return placed(pair, order)


def _size(weight: Tensor, bias: Tensor) -> int:
    return weight.numel() + bias.numel()


def _share(information: Tensor, task: str, pair: Pair) -> Tensor:
    """Fisher information scaled to a sum of 1, (weights,) float64."""
    total = information.double().sum()
    if not torch.isfinite(total) or total <= 0:
        raise NonFiniteError(
            f"The Fisher information of the representative of {task} on images of {pair.target} "
            f"is {'0' if total == 0 else 'not finite'}: its answers do not depend on its weights. Make it anew."
        )
    return information.double() / total
