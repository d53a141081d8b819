"""Gives a larger network the function of a smaller one: weights are carried over, not trained anew.

A wider stage copies channels and divides the weights that read them among the copies. A deeper stage gets cells that
pass their input on. An edge that joins a cell passes nothing at first. A small kernel stands within a larger one.

Source: Chen, Goodfellow and Shlens, Net2Net, ICLR 2016 (wider and deeper); the zero start of new edges is
Goyal et al., Accurate, Large Minibatch SGD, 2017, section 5.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise, permutations

import torch
from torch import Tensor, nn

from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture, Network, Shape, Transition, build
from tanas.networks.cell import Cell, CellNetwork
from tanas.networks.operations import SamePool, Zero, make_operation

WINDOWS: Mapping[str, tuple[int, int]] = {
    "conv_1x1": (1, 1),
    "sep_conv_3x3": (3, 1),
    "sep_conv_5x5": (5, 1),
    "dil_conv_3x3": (3, 2),
    "dil_conv_5x5": (5, 2),
    "conv_3x3": (3, 1),
}
"""(window, dilation) of operations whose kernels can stand within one another."""

FULL = "conv_3x3"
"""Its kernel mixes channels and positions at once. The other operations filter each channel by itself and then mix
channels; a 1x1 convolution is such an operation whose filters pass a pixel on."""

LEAST_SHARE = 0.5
"""Least weight of a copied channel against at most 1.5, before shares are normalised. Shares are uneven because equal
shares would give equal gradients for ever."""

_WITHOUT_WEIGHTS = (nn.Identity, nn.ReLU, SamePool, Zero)
"""Modules that treat each channel alike: copied channels stay copies."""


def morph(
    network: Network, before: Architecture, after: Architecture, *, shape: Shape, classes: int, seed: Seed
) -> Network | None:
    """A network of another architecture that answers like a given network, up to rounding; None if that is not known.

    It is known for wider stages, more cells in a stage (if the cell can pass its input on), edges and nodes that join
    the cell, operations replaced by operations that can do the same, and any combination. Answers are those of
    evaluation. In training they differ where two stages of one width get different widths: the convolution between
    them has a fresh BatchNorm, which takes the statistics of its batch.

    Args:
        network: of `before`; it stays as it is.
        before: its architecture.
        after: the architecture wanted.
        shape: (channels, height, width) of the images.
        classes: number of logits.
        seed: of new weights, and of the choice of channels to copy.
    """
    old, new = before.skeleton, after.skeleton
    if (old.stem, old.reductions) != (new.stem, new.reductions):
        return None
    if any(b < a for a, b in zip(old.widths + old.cells, new.widths + new.cells, strict=True)):
        return None
    cells = CellMap.between(before.cell.canonical(), after.cell.canonical())
    passing = passes_input(after.cell.canonical()) if old.cells != new.cells else frozenset()
    maps = _channel_maps(old.widths, new.widths, seed.child("channels"))
    if cells is None or passing is None or maps is None:
        return None
    grown = build(after, shape, classes, seed.child("weights"))
    shares = seed.child("shares")
    try:
        with torch.no_grad():
            grown.norm.load_state_dict(network.norm.state_dict())
            image = torch.arange(shape[0])
            _copy_sequence(network.stem, grown.stem, image, maps[0], shares.child("stem"))
            arriving = maps[0]
            for at, (old_stage, new_stage) in enumerate(zip(network.stages, grown.stages, strict=True)):
                assert isinstance(old_stage, nn.Sequential) and isinstance(new_stage, nn.Sequential)
                here = shares.child("stage", at)
                _copy_transition(old_stage[0], new_stage[0], arriving, maps[at], here.child("transition"))
                arriving = maps[at]
                for place, cell in enumerate(new_stage[1:]):
                    assert isinstance(cell, CellNetwork)
                    if place + 1 < len(old_stage):
                        _copy_cell(old_stage[place + 1], cell, cells, arriving, here.child("cell", place))
                    else:
                        _silence(cell, passing)
            split = _shared_out(network.head.weight, torch.arange(classes), arriving, shares.child("head"))
            grown.head.weight.copy_(split)
            grown.head.bias.copy_(network.head.bias)
    except _NotKnownError:
        return None
    return grown


class _NotKnownError(Exception):
    """The function of a module can't be carried over."""


@dataclass(frozen=True)
class CellMap:
    """How a cell stands within a larger cell."""

    edges: tuple[int | None, ...]
    """For each edge of the larger cell, its edge in the smaller cell; None: it joins."""
    silent: frozenset[int]
    """Edges of the larger cell that pass nothing at first."""
    names: tuple[tuple[str, str], ...]
    """(operation before, operation after) of each edge of the larger cell; before is '' if it joins."""

    @classmethod
    def between(cls, before: Cell, after: Cell) -> CellMap | None:
        """The embedding of a canonical cell that keeps most operations; None if there is none."""
        place = {(a, b): index for index, (a, b, _) in enumerate(after.edges)}
        names = [name for _, _, name in before.edges]
        best: tuple[int, CellMap] | None = None
        inner = range(1, after.nodes - 1)
        for chosen in permutations(inner, before.nodes - 2) if before.nodes <= after.nodes else ():
            to = (0, *chosen, after.nodes - 1)
            images = [place.get((to[a], to[b])) for a, b, _ in before.edges]
            edges: list[int | None] = [None] * len(after.edges)
            pairs = [("", name) for _, _, name in after.edges]
            for at, index in enumerate(images):
                if index is None or not embeds(names[at], after.edges[index][2]):
                    break
                edges[index], pairs[index] = at, (names[at], after.edges[index][2])
            else:
                silent = _silent(after, edges, known=frozenset(to))
                kept = sum(old == new for old, new in pairs)
                if silent is not None and (best is None or kept > best[0]):
                    best = (kept, cls(tuple(edges), silent, tuple(pairs)))
        return None if best is None else best[1]


def embeds(before: str, after: str) -> bool:
    """Whether an operation can do whatever another does: its kernel has room for the other's."""
    if before == after:
        return True
    separable = before in WINDOWS and before != FULL
    return separable and after in WINDOWS and set(_offsets(before)) <= set(_offsets(after))


def passes_input(cell: Cell) -> frozenset[int] | None:
    """The edges that must be silent for a canonical cell to pass its input on; None if it can't.

    One path of identities carries the input; everything else that reaches the output is silent.
    """
    into: dict[int, list[int]] = {node: [] for node in range(cell.nodes)}
    for index, (_, end, _) in enumerate(cell.edges):
        into[end].append(index)

    def solve(
        wanted: tuple[tuple[int, bool], ...], known: dict[int, bool], silent: frozenset[int]
    ) -> frozenset[int] | None:
        """`wanted` and `known` hold for a node whether it carries the input (True) or nothing (False)."""
        if not wanted:
            return silent
        (node, carries), left = wanted[0], wanted[1:]
        if node in known:
            return solve(left, known, silent) if known[node] == carries else None
        known = {**known, node: carries}
        carriers: list[int | None] = [None]
        if carries:
            carriers = [index for index in into[node] if cell.edges[index][2] == "identity"]
        for carrier in carriers:
            others = [index for index in into[node] if index != carrier]
            muted = frozenset(index for index in others if can_be_silent(cell.edges[index][2]))
            needed = tuple((cell.edges[index][0], False) for index in others if index not in muted)
            if carrier is not None:
                needed += ((cell.edges[carrier][0], True),)
            if (found := solve(needed + left, known, silent | muted)) is not None:
                return found
        return None

    return solve(((cell.nodes - 1, True),), {0: True}, frozenset())


def can_be_silent(operation: str) -> bool:
    """Whether an operation ends in a BatchNorm, whose scale and shift can be 0 at first and then learn."""
    module = make_operation(operation, 1)
    return isinstance(module, nn.Sequential) and len(module) > 0 and isinstance(module[-1], nn.BatchNorm2d)


def _silent(cell: Cell, edges: list[int | None], *, known: frozenset[int]) -> frozenset[int] | None:
    """The fewest edges that must be silent for joining edges to add nothing to `known` nodes; None if they can't.

    The fewest, because a second silent edge behind a silent edge would get no gradient.
    """
    silent: set[int] = set()
    pending = [index for index, at in enumerate(edges) if at is None and cell.edges[index][1] in known]
    while pending:
        index = pending.pop()
        start, _, name = cell.edges[index]
        if can_be_silent(name):
            silent.add(index)
        elif start in known:
            return None
        else:  # it passes nothing if nothing reaches its node
            pending += [at for at, edge in enumerate(cell.edges) if edge[1] == start]
    return frozenset(silent)


def _channel_maps(old: tuple[int, ...], new: tuple[int, ...], seed: Seed) -> list[Tensor] | None:
    """For each stage the old channel of each new channel, (new width,); None if the function can't be kept.

    The old channels come first. Two stages that had and have one width have no convolution between them, so they copy
    the same channels. Two stages that only now get one width would lose the convolution between them.
    """
    maps: list[Tensor] = []
    for at, (before, after) in enumerate(zip(old, new, strict=True)):
        joined = at > 0 and after == new[at - 1]
        if joined and before != old[at - 1]:
            return None
        drawn = torch.randint(before, (after - before,), generator=seed.child(at).torch())
        maps.append(maps[-1] if joined else torch.cat([torch.arange(before), drawn]))
    return maps


def _shared_out(weight: Tensor, out: Tensor, into: Tensor, seed: Seed) -> Tensor:
    """A kernel for copied channels: (out, into, ...) -> (new out, new into, ...) with the same sums.

    `out` and `into` hold the old channel of each new channel; copies share the weight of an input channel unevenly.
    """
    parts = LEAST_SHARE + torch.rand(len(out), len(into), generator=seed.torch())  # (new out, new into)
    totals = torch.zeros(len(out), int(into.max()) + 1).index_add_(1, into, parts)  # (new out, into)
    shares = (parts / totals[:, into]).reshape(len(out), len(into), *[1] * (weight.dim() - 2))
    return weight[out][:, into] * shares


def _copy_sequence(old: nn.Module, new: nn.Module, into: Tensor, out: Tensor, seed: Seed) -> None:
    """Copy convolutions and BatchNorms in a row; `into` and `out` hold the old channel of each new channel."""
    if not isinstance(old, nn.Sequential) or not isinstance(new, nn.Sequential) or len(old) != len(new):
        raise _NotKnownError
    for at, (layer, target) in enumerate(zip(old, new, strict=True)):
        if isinstance(layer, nn.Conv2d) and isinstance(target, nn.Conv2d):
            if layer.bias is not None:
                raise _NotKnownError
            if target.groups == target.in_channels == target.out_channels:  # each channel by itself
                target.weight.copy_(layer.weight[into])
            elif target.groups == 1:
                target.weight.copy_(_shared_out(layer.weight, out, into, seed.child(at)))
                into = out
            else:
                raise _NotKnownError
        elif isinstance(layer, nn.BatchNorm2d) and isinstance(target, nn.BatchNorm2d):
            _copy_norm(layer, target, into)
        elif not isinstance(layer, _WITHOUT_WEIGHTS):
            raise _NotKnownError


def _copy_norm(old: nn.BatchNorm2d, new: nn.BatchNorm2d, channels: Tensor) -> None:
    for name, value in old.state_dict().items():
        new.state_dict()[name].copy_(value[channels] if value.dim() else value)


def _copy_transition(old: nn.Module, new: nn.Module, into: Tensor, out: Tensor, seed: Seed) -> None:
    assert isinstance(old, Transition) and isinstance(new, Transition)
    if isinstance(new.widen, nn.Identity):
        return  # nor was anything there before: see `_channel_maps`
    if isinstance(old.widen, nn.Sequential):
        _copy_sequence(old.widen, new.widen, into, out, seed)
        return
    # the stages had one width: each channel now goes to its copies
    convolution, norm = new.widen
    assert isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    same = torch.eye(int(out.max()) + 1)[:, :, None, None]
    convolution.weight.copy_(_shared_out(same, out, into, seed))
    norm.reset_running_stats()
    norm.weight.fill_((1 + norm.eps) ** 0.5)  # undoes the division by its root
    norm.bias.zero_()


def _copy_cell(old: nn.Module, new: CellNetwork, cells: CellMap, channels: Tensor, seed: Seed) -> None:
    assert isinstance(old, CellNetwork)
    width = int(channels.max()) + 1
    for index, (at, (before, after)) in enumerate(zip(cells.edges, cells.names, strict=True)):
        if at is None:
            continue
        operation = old.operations[at]
        if before != after:
            operation = _embedded(operation, before, after, width)
        target = new.operations[index]
        if len(channels) == width and type(operation) is type(target):
            target.load_state_dict(operation.state_dict())
        elif not isinstance(operation, _WITHOUT_WEIGHTS):
            _copy_sequence(operation, target, channels, channels, seed.child(index))
    _silence(new, cells.silent)


def _silence(cell: CellNetwork, edges: frozenset[int]) -> None:
    for index in edges:
        operation = cell.operations[index]
        assert isinstance(operation, nn.Sequential)
        norm = operation[-1]
        assert isinstance(norm, nn.BatchNorm2d)
        norm.weight.zero_()
        norm.bias.zero_()


def _embedded(operation: nn.Module, before: str, after: str, channels: int) -> nn.Module:
    """An operation with a larger kernel that does the same."""
    assert isinstance(operation, nn.Sequential)
    larger = make_operation(after, channels)
    assert isinstance(larger, nn.Sequential)
    mixing = operation[-2].weight  # (out, into, 1, 1)
    filters = torch.ones(channels, 1, 1, 1) if before == "conv_1x1" else operation[1].weight
    kernel = larger[1].weight
    assert isinstance(mixing, Tensor) and isinstance(filters, Tensor) and isinstance(kernel, Tensor)
    places = torch.tensor([_offsets(after).index(offset) for offset in _offsets(before)])
    kernel.zero_()
    if after == FULL:
        kernel[:, :, places[:, None], places] = mixing * filters.transpose(0, 1)
    else:
        kernel[:, :, places[:, None], places] = filters
        larger[2].weight.copy_(mixing)  # type: ignore[operator]
    larger[-1].load_state_dict(operation[-1].state_dict())
    return larger


def _offsets(operation: str) -> list[int]:
    """How far from its centre a kernel looks, along each axis."""
    window, dilation = WINDOWS[operation]
    return [dilation * (place - window // 2) for place in range(window)]


def morph_along(
    network: Network, path: tuple[Architecture, ...], *, shape: Shape, classes: int, seed: Seed
) -> Network | None:
    """Morph step by step along architectures, the network's own first; None if a step is not known."""
    grown: Network | None = network
    for number, (before, after) in enumerate(pairwise(path)):
        if grown is None:
            return None
        grown = morph(grown, before, after, shape=shape, classes=classes, seed=seed.child("step", number))
    return grown
