"""Search spaces by name. Own ones are added with `register_space`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import product
from types import MappingProxyType

from tanas.ground.errors import SettingError, UnknownNameError, nearest_names
from tanas.networks.architecture import Shape
from tanas.networks.skeleton import STEMS, Skeleton
from tanas.spaces.space import SearchSpace

STANDARD_SPACE = "standard"
"""The default base space."""

SIDE = 28
"""Height and width at which a named space states its limit of multiply-adds: MNIST's, the paper's images."""

MAX_PARAMETERS = 200_000
"""Fifty times fewer than ResNet-18's 11.2 million are 224,000; this stays below."""

MAX_MACS = 12_000_000
"""For one image of 28x28: the arithmetic of 8,000 of them, forward and backward, takes some 10 s on one core
at the 30 G multiply-adds a second of full convolutions. It keeps out the dearest; `MAX_VALUES` rules time."""

MAX_VALUES = 13_000
"""Values at 28x28 that one edge of every cell passes on, summed over a skeleton's cells. A step's time on a
CPU follows these (correlation 0.90 to 0.97 over random architectures) more than multiply-adds (0.37 to
0.44). At 13,000 a step of 128 images, forward and backward, took 0.09 s on average and 0.16 s at worst of 24
(one x86-64 core, the others busy), so an epoch of 8,000 images 6 s. A cell of 16 channels at full
resolution still fits."""

MakeSpace = Callable[[], SearchSpace]
"""Makes a space; its limit of multiply-adds, if it has one, is stated for images of 28x28."""


def paper() -> SearchSpace:
    """The paper's space: the complete DAG of 4 nodes, 6 edges, five operations, 5^6 = 15,625 labelled cells.

    8,764 of them differ by their graph and connect input and output. The paper does not agree with itself
    here. "Each node has 2 inputs and 1 output" (section 3.2) would leave a cell of 4 nodes 5 edges; its
    experiment (section 4) has 6, as the complete DAG, in which the nodes have 0 to 3 inputs: that is
    followed. Its count, "m exp(n!/(2(n-2)!))", is read as m^(n(n-1)/2), since n!/(2(n-2)!) is the number of
    edges of the complete DAG; as printed, m times e^6, it would be no whole number. Pooling has stride 1, as
    operations keep the shape.

    The paper's skeleton is "predefined" and not stated; its networks have 2.7 million parameters. Here is one
    of a size for laptops: three stages of one cell, 16 channels at full resolution, doubled at each halving.

    Source: sections 3.2 and 4.
    """
    return SearchSpace(
        name="paper",
        operations=("identity", "zero", "dil_conv_3x3", "sep_conv_3x3", "max_pool_2x2"),
        nodes=4,
        skeletons=(Skeleton(widths=(16, 32, 64), cells=(1, 1, 1), reductions=(False, True, True)),),
    )


def standard() -> SearchSpace:
    """The default: cells of 4 nodes as in the paper, and skeletons that vary in all that they fix.

    In one fixed skeleton all cells score nearly alike, so widths, depth, reductions and the stem are searched
    too. The operations are the paper's (its pooling with the window of 3 that the authors' code has), the
    authors' larger kernels, and a full 3x3 convolution, which mixes channels and positions at once. The
    authors' conv_7x1_1x7 is left out: it costs half as much again as that, on grids of down to 7x7.

    Source: section 3.2; limits and widths are our choice, their reasons stand beside them.
    """
    return SearchSpace(
        name=STANDARD_SPACE,
        operations=(
            "identity",
            "zero",
            "sep_conv_3x3",
            "sep_conv_5x5",
            "dil_conv_3x3",
            "dil_conv_5x5",
            "max_pool_3x3",
            "conv_3x3",
        ),
        nodes=4,
        skeletons=tuple(one for one in _standard_skeletons() if _values(one) <= MAX_VALUES),
        max_parameters=MAX_PARAMETERS,
        max_macs=MAX_MACS,
    )


def nas_bench_201() -> SearchSpace:
    """The cells of NAS-Bench-201 in a skeleton for laptops.

    Its operations go by other names there: none is zero, skip_connect identity, nor_conv_1x1 and nor_conv_3x3 are
    conv_1x1 and conv_3x3 (ReLU, convolution, BatchNorm). Its 15,625 labelled cells are 8,764 that differ by their
    graph and connect input and output. Its skeleton has 16, 32 and 64 channels, five cells a stage and a residual
    block between stages; here are half the channels, two cells a stage, and max-pooling with a 1x1 convolution
    between stages, as in every skeleton of ours.

    Source: Dong and Yang, NAS-Bench-201, ICLR 2020, section 2.1.
    """
    return SearchSpace(
        name="nas-bench-201",
        operations=("zero", "identity", "conv_1x1", "conv_3x3", "avg_pool_3x3"),
        nodes=4,
        skeletons=(Skeleton(widths=(8, 16, 32), cells=(2, 2, 2), reductions=(False, True, True)),),
    )


def authors() -> SearchSpace:
    """The cells of the authors' public code, which are not those of the paper, in the skeleton of `paper`.

    3 nodes and 3 edges, none of them absent: 343 cells. Its operations are the larger kernels of DARTS' list beside
    the paper's, a max-pooling with a window of 3 and a 7x1 followed by a 1x7 convolution; there is no zero.

    That code has no skeleton: its network is one cell of one channel, the two edges into the output put side by
    side, and a linear layer on all pixels. Here an output is the sum of its edges, as in the paper, and the cells
    stand in three stages of 16, 32 and 64 channels.

    Source: the code published with the paper (model_FUSE.py of lephuoccat/Task-Aware-NAS).
    """
    return SearchSpace(
        name="authors",
        operations=(
            "sep_conv_3x3",
            "sep_conv_5x5",
            "dil_conv_3x3",
            "dil_conv_5x5",
            "max_pool_3x3",
            "identity",
            "conv_7x1_1x7",
        ),
        nodes=3,
        skeletons=paper().skeletons,
    )


def darts() -> SearchSpace:
    """Cells of the DARTS kind: each node keeps exactly two edges, each from another node before it.

    Input, four nodes between and output; seven operations, no zero (DARTS drops it when it takes the cell out of its
    relaxation). 1.2 thousand million cells differ. What is different from the published space:

    - A cell has one input, the cell before it; there it also has the one before that. So the first of the nodes
      between has one edge, and the second takes its two from the input and the first.
    - The output is a node like the others, the sum of two edges; there it is all nodes between, put side by side.
      So a node can be unused here, and then it is left out.
    - One cell is found for the whole network; there two are, one for keeping and one for halving the resolution. Here
      the resolution is halved between stages, by max-pooling.
    - A separable convolution is applied once; there twice in a row.
    - The skeleton is of a size for laptops, 8, 16 and 32 channels and two cells a stage; there it is 20 cells of 36
      channels, doubled at each halving.

    Source: Liu, Simonyan and Yang, DARTS, ICLR 2019, sections 2.1 and 3.1.
    """
    return SearchSpace(
        name="darts",
        operations=(
            "sep_conv_3x3",
            "sep_conv_5x5",
            "dil_conv_3x3",
            "dil_conv_5x5",
            "max_pool_3x3",
            "avg_pool_3x3",
            "identity",
        ),
        nodes=6,
        inputs=2,
        skeletons=(Skeleton(widths=(8, 16, 32), cells=(2, 2, 2), reductions=(False, True, True)),),
    )


_REGISTRY: dict[str, MakeSpace] = {
    STANDARD_SPACE: standard,
    "paper": paper,
    "authors": authors,
    "nas-bench-201": nas_bench_201,
    "darts": darts,
}

SPACES: Mapping[str, MakeSpace] = MappingProxyType(_REGISTRY)
"""What makes each named space, by its name."""

SHIPPED_SPACES = frozenset(_REGISTRY)
"""Those that tanas brings along, and every process of it knows."""


def register_space(name: str, make: MakeSpace) -> None:
    """Adds a space under a name that `--space` takes.

    Args:
        name: lower-case letters, digits and hyphens.
        make: makes the space.

    Raises:
        SettingError: the name is taken by another space.
    """
    if _REGISTRY.get(name, make) is not make:
        raise SettingError(f"The search space '{name}' is registered already. Choose another name.")
    _REGISTRY[name] = make


def named_space(name: str, *, shape: Shape | None = None) -> SearchSpace:
    """A space by its name, for a task's images.

    Larger images cost more in proportion to their pixels whatever the architecture, so the limit of
    multiply-adds is raised in that proportion, and the same architectures are admitted. It is not lowered for
    smaller ones, which are fast anyway. A limit that a user gives is for the task's own images:
    `named_space(name, shape=shape).limited(max_macs=...)`.

    Args:
        name: one of `SPACES`.
        shape: (channels, height, width) of the task's images; None: 28x28.

    Raises:
        UnknownNameError: there is no such space; the message names near ones.
    """
    if name not in _REGISTRY:
        raise UnknownNameError(f"Unknown search space '{name}'. {nearest_names(name, _REGISTRY)}")
    space = _REGISTRY[name]()
    if shape is None or space.max_macs is None:
        return space
    pixels = max(shape[1] * shape[2], SIDE * SIDE)
    return replace(space, max_macs=space.max_macs * pixels // (SIDE * SIDE))


def _standard_skeletons() -> Iterator[Skeleton]:
    for base, growth, stages in product((8, 12, 16, 24, 32), (1, 1.5, 2), (2, 3)):
        widths = tuple(round(base * growth**stage) for stage in range(stages))
        # one cell or two a stage; each stage but the first at half the resolution or not
        for cells in product((1, 2), repeat=stages):
            for reductions in product((False, True), repeat=stages - 1):
                for stem in STEMS:
                    yield Skeleton(stem=stem, widths=widths, cells=cells, reductions=(False, *reductions))


def _values(skeleton: Skeleton) -> int:
    """Values that one edge of every cell passes on at 28x28, summed over the cells."""
    side = SIDE if skeleton.stem == "full" else SIDE // 2
    total = 0
    for width, cells, reduces in zip(skeleton.widths, skeleton.cells, skeleton.reductions, strict=True):
        side = (side + 1) // 2 if reduces else side
        total += cells * width * side * side
    return total
