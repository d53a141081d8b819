"""The architecture of a space that is trained without a search, for comparison with a search."""

from __future__ import annotations

from dataclasses import replace

from tanas.networks.architecture import Architecture, Shape
from tanas.networks.cell import Cell
from tanas.networks.skeleton import Skeleton
from tanas.spaces.costs import cost_by_parts
from tanas.spaces.space import SearchSpace

CONVOLUTIONS = ("conv_3x3", "sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5")
"""The first that a space has is used; a full convolution learns most from a step."""

REFERENCE_SKELETON = Skeleton(
    stem="half", widths=(16, 32, 64), cells=(1, 1, 1), reductions=(False, True, True)
)
"""With the residual cell some 100,000 parameters and 3 million multiply-adds at 28x28.

In the same time, six other skeletons (91,000 to 400,000 parameters) erred between 0.1 points less and 1.6 more on small
photos; two of them erred as much on drawings (n = 1). Channels in multiples of 16 fill a processor's vectors: 24, 36
and 54 channels take 1.6 times as long a step.
"""


def reference_architecture(space: SearchSpace, shape: Shape, classes: int) -> Architecture | None:
    """A residual network within the limits of a space; None if it has no convolution, or no such network is allowed.

    Its cell is two convolutions and a shortcut around them. Its skeleton is `REFERENCE_SKELETON`, for large images with
    a quarter stem, if the space has it and its limits allow it. Else it is the largest allowed skeleton that is not
    larger than the reference, or the smallest if all are larger.

    Source: He et al., Deep Residual Learning for Image Recognition, CVPR 2016, figure 2.
    """
    known = [name for name in CONVOLUTIONS if name in space.operations]
    convolution = next((name for name in (*known, *space.operations) if "conv" in name), None)
    if convolution is None:
        return None
    shortcut = ((0, 2, "identity"),) if "identity" in space.operations else ()
    cell = Cell(3, ((0, 1, convolution), *shortcut, (1, 2, convolution)))
    stems = {skeleton.stem for skeleton in space.skeletons}
    skeleton = replace(REFERENCE_SKELETON, stem="quarter") if stems == {"quarter"} else REFERENCE_SKELETON
    reference = Architecture(skeleton=skeleton, cell=cell)
    if skeleton in space.skeletons and space.allows(reference, shape, classes):
        return reference
    most = cost_by_parts(reference, shape, classes).parameters

    def size(architecture: Architecture) -> tuple[bool, int, int]:
        """The greater, the better: not above the reference, then most parameters, then fewest multiply-adds."""
        cost = cost_by_parts(architecture, shape, classes)
        above = cost.parameters > most
        return not above, -cost.parameters if above else cost.parameters, -cost.macs

    every = [Architecture(skeleton=skeleton, cell=cell) for skeleton in space.skeletons]
    for architecture in sorted(every, key=lambda one: (size(one), one), reverse=True):
        if space.allows(architecture, shape, classes):
            return architecture
    return None
