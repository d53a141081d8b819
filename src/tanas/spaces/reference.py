"""The architecture of a space that is taken without a search: the line that a search must beat."""

from __future__ import annotations

from tanas.networks.architecture import Architecture, Shape
from tanas.networks.cell import Cell
from tanas.networks.operations import ZERO
from tanas.networks.skeleton import Skeleton
from tanas.spaces.costs import cost_by_parts
from tanas.spaces.space import SearchSpace

CONVOLUTIONS = ("conv_3x3", "sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5")
"""The first of them that a space has is used; a full convolution learns most from a step."""

REFERENCE_SKELETON = Skeleton(
    stem="half", widths=(24, 36, 54), cells=(1, 1, 1), reductions=(False, True, True)
)
"""With the residual cell some 90,000 parameters, 4 million multiply-adds at 28x28. Of six skeletons of 44,000 to
280,000 parameters it was the fastest on two development targets (ten drawings, small photos; n = 1). Those that took
1.3 to 3 times as long erred up to 2 points less on the photos, and up to 0.5 points less on the drawings."""


def reference_architecture(space: SearchSpace, shape: Shape, classes: int) -> Architecture | None:
    """A residual network within the limits of a space, always the same for the same space and images.

    Its cell is two convolutions with a shortcut around them, as in a residual block. Its skeleton is
    `REFERENCE_SKELETON` where the space has that and its limits allow it. Else it is the largest one of the space
    that the limits allow, and not larger than the reference unless all are.

    Args:
        space: gives operations, skeletons and limits.
        shape: (channels, height, width) of the task's images.
        classes: number of logits.

    Returns:
        None: the space has no convolution, or its limits allow no such network.

    Source: He et al., Deep Residual Learning for Image Recognition, CVPR 2016, figure 2.
    """
    convolution = next((name for name in CONVOLUTIONS if name in space.operations), None)
    if convolution is None:
        convolution = next((name for name in space.operations if "conv" in name and name != ZERO), None)
    if convolution is None:
        return None
    shortcut = ((0, 2, "identity"),) if "identity" in space.operations else ()
    cell = Cell(3, ((0, 1, convolution), *shortcut, (1, 2, convolution)))
    reference = Architecture(skeleton=REFERENCE_SKELETON, cell=cell)
    if REFERENCE_SKELETON in space.skeletons and space.allows(reference, shape, classes):
        return reference
    most = cost_by_parts(reference, shape, classes).parameters

    def size(architecture: Architecture) -> tuple[bool, int, int]:
        """The better, the greater: not above the reference, then the most parameters, then the fewest MACs."""
        cost = cost_by_parts(architecture, shape, classes)
        above = cost.parameters > most
        return not above, -cost.parameters if above else cost.parameters, -cost.macs

    every = [Architecture(skeleton=skeleton, cell=cell) for skeleton in space.skeletons]
    for architecture in sorted(every, key=lambda one: (size(one), one), reverse=True):
        if space.allows(architecture, shape, classes):  # timed last, where there is a limit of latency
            return architecture
    return None
