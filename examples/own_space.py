"""An operation and a search space of one's own: registered by name, then searched like those that are there."""

from dataclasses import replace
from pathlib import Path

from sklearn.datasets import load_digits
from torch import Tensor, nn

import tanas
from tanas.algorithm.presets import quick
from tanas.networks.operations import register_operation
from tanas.networks.skeleton import Skeleton
from tanas.spaces.named import register_space
from tanas.spaces.space import SearchSpace


class Gate(nn.Module):
    """Weighs each channel by what the means of all channels say: (batch, channels, h, w) -> the same shape."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weigh = nn.Linear(channels, channels)

    def forward(self, images: Tensor) -> Tensor:
        weights = self.weigh(images.mean(dim=(2, 3))).sigmoid()  # (batch, channels)
        return images * weights[:, :, None, None]


def gated() -> SearchSpace:
    """Small cells of convolutions, gates and shortcuts, one or two a stage."""
    one = Skeleton(stem="half", widths=(8, 16), cells=(1, 1), reductions=(False, True))
    return SearchSpace(
        name="gated",
        operations=("zero", "identity", "conv_3x3", "gate"),
        nodes=3,
        skeletons=(one, replace(one, cells=(2, 1))),
    )


register_operation("gate", Gate)
register_space("gated", gated)

quick = quick()
digits = load_digits()
run = tanas.search(
    digits.images / 16,  # floats in [0, 1], (1797, 8, 8)
    digits.target == 8,
    name="digit 8",
    classes=("the rest", "8"),
    out=Path("run"),
    config=replace(
        quick, space="gated", fuse=replace(quick.fuse, rounds=2), training=replace(quick.training, epochs=8)
    ),
)
result = run.result()
print(
    f"{result.space.size} architectures; the one found errs on {result.metrics.test_error:.1%} of test images:"
)
print(", ".join(f"{start}->{end} {name}" for start, end, name in result.architecture.cell.edges))
