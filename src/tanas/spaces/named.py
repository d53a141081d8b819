"""Search spaces by name. `register_space` adds more."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import product
from types import MappingProxyType

from tanas.ground.errors import SettingError, UnknownNameError, nearest_names
from tanas.networks.architecture import Architecture, Shape
from tanas.networks.skeleton import STEMS, Skeleton
from tanas.spaces.space import SearchSpace

STANDARD_SPACE = "standard"
"""The default base space."""

SIDE = 28
"""Height and width for which a named space states its limit of multiply-adds: MNIST's, the paper's images."""

MAX_PARAMETERS = 200_000
"""Fewer than a fiftieth of ResNet-18's 11.2 million."""

USUAL_CLASSES, HEAD_CHANNELS = 10, 128
"""Classes for which `MAX_PARAMETERS` is meant, and channels before the head that more classes must not cost: for a
thousand classes a head of 64 channels alone would take a third of the limit, one of 128 channels two thirds."""

MAX_MACS = 12_000_000
"""For one image of 28x28: 8,000 images, forward and backward, then take some 10 s on one core, at 30 G multiply-adds a
second in full convolutions. It excludes the most expensive; `MAX_VALUES` limits time."""

MAX_VALUES = 13_000
"""Values that one edge of every cell passes on at 28x28, summed over a skeleton's cells. On a CPU the time of a step
follows these (correlation 0.90 to 0.97 over random architectures) more than multiply-adds (0.37 to 0.44). At 13,000 an
epoch of 8,000 images takes some 6 s on one core. A cell of 16 channels at full resolution still fits."""

SMALL_STEMS, LARGE_STEMS = ("full", "half"), ("quarter",)
"""Stems of the standard space. At 128x128 with a quarter stem, the reference network errs as much on photos of
recyclables as at 64x64 with a half stem (13.6 % each, n = 1), at the same cost after the stem."""

LARGE_SIDE = 96
"""Pixels of the shorter side from which on images are large."""

MAX_LARGE_VALUES = 17_000
"""The same as `MAX_VALUES` for large images, at 96x96. Without it, joint training of three candidates at 128x128 took
up to 5 GB. The reference network has 16,000."""

KERNELS = ("sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5")
"""Separable operations of several spaces."""

MakeSpace = Callable[[], SearchSpace]
"""Makes a space; its limit of multiply-adds, if it has one, is stated for images of 28x28."""


def paper() -> SearchSpace:
    """The paper's space: the complete DAG of 4 nodes, 6 edges, five operations, 5^6 = 15,625 labelled cells.

    8,764 of them differ by their graph and connect input and output. The paper contradicts itself: "each node has 2
    inputs and 1 output" (section 3.2) gives a cell of 4 nodes 5 edges, but its experiment (section 4) has 6, like the
    complete DAG here. Its count, "m exp(n!/(2(n-2)!))", is read as m^(n(n-1)/2): the exponent is the number of edges of
    the complete DAG. Pooling has stride 1, because operations keep the shape.

    The paper does not state its "predefined" skeleton; its networks have 2.7 million parameters. This skeleton fits
    laptops: three stages of one cell, 16 channels at full resolution, doubled at each halving.

    Source: sections 3.2 and 4.
    """
    return SearchSpace(
        name="paper",
        operations=("identity", "zero", "dil_conv_3x3", "sep_conv_3x3", "max_pool_2x2"),
        nodes=4,
        skeletons=(Skeleton(widths=(16, 32, 64), cells=(1, 1, 1), reductions=(False, True, True)),),
    )


def standard(*, large: bool = False) -> SearchSpace:
    """The default: cells of 4 nodes as in the paper, and many skeletons; for `large` images other ones.

    In a fixed skeleton all cells score nearly alike, so widths, depth, reductions and the stem are searched too. The
    operations are the paper's (pooling with a window of 3, as in the authors' code), the authors' larger kernels, and a
    full 3x3 convolution. The authors' conv_7x1_1x7 is left out: it costs half as much again.

    Source: section 3.2; limits and widths are our choice.
    """
    stems, side, most = (
        (LARGE_STEMS, LARGE_SIDE, MAX_LARGE_VALUES) if large else (SMALL_STEMS, SIDE, MAX_VALUES)
    )
    return SearchSpace(
        name=STANDARD_SPACE,
        operations=("identity", "zero", *KERNELS, "max_pool_3x3", "conv_3x3"),
        nodes=4,
        skeletons=tuple(
            skeleton for skeleton in _standard_skeletons(stems) if _values(skeleton, side) <= most
        ),
        max_parameters=MAX_PARAMETERS,
        max_macs=MAX_MACS,
    )


def nas_bench_201() -> SearchSpace:
    """The cells of NAS-Bench-201 in a skeleton for laptops.

    There zero is called none, identity skip_connect, and conv_1x1 and conv_3x3 nor_conv_1x1 and nor_conv_3x3. Of its
    15,625 labelled cells, 8,764 differ by their graph and connect input and output. Its skeleton has 16, 32 and 64
    channels, five cells a stage and a residual block between stages. This skeleton has half the channels, two cells a
    stage, and max-pooling with a 1x1 convolution between stages.

    Source: Dong and Yang, NAS-Bench-201, ICLR 2020, section 2.1.
    """
    return SearchSpace(
        name="nas-bench-201",
        operations=("zero", "identity", "conv_1x1", "conv_3x3", "avg_pool_3x3"),
        nodes=4,
        skeletons=(Skeleton(widths=(8, 16, 32), cells=(2, 2, 2), reductions=(False, True, True)),),
    )


def authors() -> SearchSpace:
    """The cells of the authors' public code, which differ from the paper's, in the skeleton of `paper`.

    3 nodes and 3 edges, none absent: 343 cells. That code has no skeleton: its network is one cell of one channel, the
    two edges into the output concatenated, and a linear layer on all pixels. Here an output is the sum of its edges, as
    in the paper, and the cells stand in three stages of 16, 32 and 64 channels.

    Source: the code published with the paper (model_FUSE.py of lephuoccat/Task-Aware-NAS).
    """
    return SearchSpace(
        name="authors",
        operations=(*KERNELS, "max_pool_3x3", "identity", "conv_7x1_1x7"),
        nodes=3,
        skeletons=paper().skeletons,
    )


def darts() -> SearchSpace:
    """Cells of the DARTS kind: each node has exactly two edges, from two nodes before it.

    Input, four inner nodes and output; seven operations, no zero. 1.2 thousand million cells differ. Differences from
    the published space:

    - A cell has one input, the cell before it; there also the cell before that. So the first inner node has one edge.
    - The output is a node like the others, the sum of two edges; there it concatenates all inner nodes. So a node can
      be unused here, and is then left out.
    - One cell is found; there two, one of which halves the resolution. Here max-pooling between stages halves it.
    - A separable convolution is applied once; there twice in a row.
    - The skeleton has 8, 16 and 32 channels and two cells a stage; there 20 cells of 36 channels, doubled at each
      halving.

    Source: Liu, Simonyan and Yang, DARTS, ICLR 2019, sections 2.1 and 3.1.
    """
    return SearchSpace(
        name="darts",
        operations=(*KERNELS, "max_pool_3x3", "avg_pool_3x3", "identity"),
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
"""The maker of each space, by its name."""

SHIPPED_SPACES = frozenset(_REGISTRY)
"""The spaces of tanas itself, which every process knows."""


def register_space(name: str, make: MakeSpace) -> None:
    """Add a space under a name that `--space` takes: lower-case letters, digits and hyphens.

    Raises:
        SettingError: another space has the name.
    """
    if _REGISTRY.get(name, make) is not make:
        raise SettingError(f"The search space '{name}' is registered already. Choose another name.")
    _REGISTRY[name] = make


def named_space(name: str, *, shape: Shape | None = None, classes: int = USUAL_CLASSES) -> SearchSpace:
    """A space by its name, for a task's images (None: 28x28) and number of classes.

    For larger images the limit of multiply-adds rises in proportion to the pixels, so the same architectures are
    allowed. It is not lowered for smaller images, which are fast anyway. From `LARGE_SIDE` pixels on, the stems of the
    standard space quarter the resolution. More than ten classes raise the limit of parameters by what a head of 128
    channels needs for them.

    Raises:
        UnknownNameError: the space is unknown; the message names near ones.
    """
    if name not in _REGISTRY:
        raise UnknownNameError(f"Unknown search space '{name}'. {nearest_names(name, _REGISTRY)}")
    large = name == STANDARD_SPACE and shape is not None and _large(shape)
    space = standard(large=True) if large else _REGISTRY[name]()
    if space.max_parameters is not None and classes > USUAL_CLASSES:
        more = HEAD_CHANNELS * (classes - USUAL_CLASSES)
        space = replace(space, max_parameters=space.max_parameters + more)
    if shape is None or space.max_macs is None:
        return space
    pixels = max(shape[1] * shape[2], SIDE * SIDE)
    return replace(space, max_macs=space.max_macs * pixels // (SIDE * SIDE))


def with_stem_for(architecture: Architecture, shape: Shape) -> Architecture:
    """An architecture, its stem changed if need be to the nearest that the standard space has for images of a shape."""
    stems, skeleton = LARGE_STEMS if _large(shape) else SMALL_STEMS, architecture.skeleton
    own = STEMS.index(skeleton.stem)
    stem = min(stems, key=lambda stem: abs(STEMS.index(stem) - own))
    return (
        architecture
        if stem == skeleton.stem
        else replace(architecture, skeleton=replace(skeleton, stem=stem))
    )


def _large(shape: Shape) -> bool:
    return min(shape[1:]) >= LARGE_SIDE


def _standard_skeletons(stems: Sequence[str]) -> Iterator[Skeleton]:
    for base, growth, stages in product((8, 12, 16, 24, 32), (1, 1.5, 2), (2, 3)):
        widths = tuple(round(base * growth**stage) for stage in range(stages))
        # one cell or two a stage; from the second stage on, half the resolution or not
        for cells in product((1, 2), repeat=stages):
            for reductions in product((False, True), repeat=stages - 1):
                for stem in stems:
                    yield Skeleton(stem=stem, widths=widths, cells=cells, reductions=(False, *reductions))


def _values(skeleton: Skeleton, side: int) -> int:
    """Values that one edge of every cell passes on for images of a side, summed over the cells."""
    side //= 2**skeleton.stem_halvings
    total = 0
    for width, cells, reduces in skeleton.stages:
        side = (side + 1) // 2 if reduces else side
        total += cells * width * side * side
    return total
