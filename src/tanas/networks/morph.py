"""Gives a larger network the function of a smaller one: its weights are carried over, not trained anew.

Wider stages copy channels and share out what comes after them; deeper ones get cells that pass their input on;
an edge that joins a cell passes nothing at first; a small kernel stands within a larger one.

Source: Chen, Goodfellow and Shlens, Net2Net, ICLR 2016 (wider and deeper); the zero start of what joins is
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

SEPARABLE: Mapping[str, tuple[int, int]] = {
    "conv_1x1": (1, 1),
    "sep_conv_3x3": (3, 1),
    "sep_conv_5x5": (5, 1),
    "dil_conv_3x3": (3, 2),
    "dil_conv_5x5": (5, 2),
}
"""(window, dilation) of operations that filter each channel by itself and then mix channels. A 1x1 convolution is
one whose filters pass a pixel on."""

FULL: Mapping[str, int] = {"conv_1x1": 1, "conv_3x3": 3}
"""Window of operations whose kernels mix channels and positions at once."""

LEAST_SHARE = 0.5
"""Copies of a channel share out what comes after them unevenly, at least so much against one: equal shares would
give equal gradients for ever."""

_WITHOUT_WEIGHTS = (nn.Identity, nn.ReLU, SamePool, Zero)
"""They treat each channel alike, so copied channels stay copies."""


def morph(
    network: Network, before: Architecture, after: Architecture, *, shape: Shape, classes: int, seed: Seed
) -> Network | None:
    """A network of another architecture that answers as a given one does, but for rounding.

    That is known for wider stages, more cells in a stage where the cell can pass its input on, edges and nodes that
    join the cell, and operations replaced by those that can do the same, in any combination. Answers are those of
    evaluation. In training they are the same except where channels have to be matched between stages that had the
    same width: a fresh BatchNorm stands there, which then takes the statistics of its batch.

    Args:
        network: of `before`; it stays as it is.
        before: its architecture.
        after: what is wanted.
        shape: (channels, height, width) of the images.
        classes: number of logits.
        seed: of the weights that are new, and of which channels are copied.

    Returns:
        the network, or None where it is not known how to keep the function.
    """
    old, new = before.skeleton, after.skeleton
    cells = CellMap.between(before.cell.canonical(), after.cell.canonical())
    deeper = any(b > a for a, b in zip(old.cells, new.cells, strict=False))
    passing = passes_input(after.cell.canonical()) if deeper else frozenset()
    if (
        (old.stem, old.reductions) != (new.stem, new.reductions)
        or any(b < a for a, b in zip(old.widths + old.cells, new.widths + new.cells, strict=True))
        or cells is None
        or passing is None
    ):
        return None
    maps = _channel_maps(old.widths, new.widths, seed.child("channels"))
    if maps is None:
        return None
    grown = build(after, shape, classes, seed.child("weights"))
    shares = seed.child("shares")
    try:
        with torch.no_grad():
            grown.norm.load_state_dict(network.norm.state_dict())
            image = torch.arange(shape[0])
            _copy_sequence(network.stem, grown.stem, image, maps[0], shares.child("stem"))
            arriving = maps[0]
            for at, (one, other) in enumerate(zip(network.stages, grown.stages, strict=True)):
                assert isinstance(one, nn.Sequential) and isinstance(other, nn.Sequential)
                here = shares.child("stage", at)
                _copy_transition(one[0], other[0], arriving, maps[at], here.child("transition"))
                arriving = maps[at]
                for place, cell in enumerate(other[1:]):
                    assert isinstance(cell, CellNetwork)
                    if place + 1 < len(one):
                        _copy_cell(one[place + 1], cell, cells, arriving, here.child("cell", place))
                    else:
                        _silence(cell, passing)
            split = _shared_out(network.head.weight, torch.arange(classes), arriving, shares.child("head"))
            grown.head.weight.copy_(split)
            grown.head.bias.copy_(network.head.bias)
    except _NotKnownError:
        return None
    return grown


class _NotKnownError(Exception):
    """A module whose function can't be carried over."""


@dataclass(frozen=True)
class CellMap:
    """How a cell stands within a larger one."""

    edges: tuple[int | None, ...]
    """For each edge of the larger cell the one of the smaller that it stands for; None: it has joined."""
    silent: frozenset[int]
    """Edges of the larger cell that have to begin by passing nothing."""
    names: tuple[tuple[str, str], ...]
    """(operation before, operation after) of each edge of the larger cell; before is '' for one that has joined."""

    @classmethod
    def between(cls, before: Cell, after: Cell) -> CellMap | None:
        """The embedding that leaves most operations as they are; None if there is none.

        Args:
            before: in canonical form.
            after: in canonical form.
        """
        place = {(a, b): index for index, (a, b, _) in enumerate(after.edges)}
        held = {(a, b): name for a, b, name in after.edges}
        inner = range(1, after.nodes - 1)
        best: tuple[int, CellMap] | None = None
        for chosen in permutations(inner, before.nodes - 2) if before.nodes <= after.nodes else ():
            to = (0, *chosen, after.nodes - 1)
            images = [(to[a], to[b]) for a, b, _ in before.edges]
            names = [name for _, _, name in before.edges]
            if not all(
                pair in held and embeds(name, held[pair]) for pair, name in zip(images, names, strict=True)
            ):
                continue
            edges: list[int | None] = [None] * len(after.edges)
            for index, pair in enumerate(images):
                edges[place[pair]] = index
            silent = _silent(after, edges, known=frozenset(to))
            kept = sum(held[pair] == name for pair, name in zip(images, names, strict=True))
            if silent is not None and (best is None or kept > best[0]):
                pairs = tuple(
                    ("" if at is None else names[at], after.edges[index][2]) for index, at in enumerate(edges)
                )
                best = (kept, cls(tuple(edges), silent, pairs))
        return None if best is None else best[1]


def embeds(before: str, after: str) -> bool:
    """Whether an operation can do whatever another does: it is the same, or its kernel has room for the other's."""
    if before == after:
        return True
    if before not in SEPARABLE:
        return False
    if after in FULL:
        window, dilation = SEPARABLE[before]
        return dilation * (window // 2) <= FULL[after] // 2
    return after in SEPARABLE and set(_offsets(before)) <= set(_offsets(after))


def passes_input(cell: Cell) -> frozenset[int] | None:
    """The edges that must pass nothing for a cell to pass its input on; None if it can't.

    One path of identities has to carry the input, and all else that reaches the output has to be silent.

    Args:
        cell: in canonical form.
    """
    into: dict[int, list[int]] = {node: [] for node in range(cell.nodes)}
    for index, (_, end, _) in enumerate(cell.edges):
        into[end].append(index)

    def solve(
        wanted: tuple[tuple[int, bool], ...], known: dict[int, bool], silent: frozenset[int]
    ) -> frozenset[int] | None:
        """`wanted` and `known` say of nodes whether they carry the input (True) or nothing (False)."""
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
    """Whether an operation ends in a BatchNorm, whose scale and shift can be 0 at first and learn to speak."""
    module = make_operation(operation, 1)
    return isinstance(module, nn.Sequential) and len(module) > 0 and isinstance(module[-1], nn.BatchNorm2d)


def _silent(cell: Cell, edges: list[int | None], *, known: frozenset[int]) -> frozenset[int] | None:
    """Edges that have to pass nothing so that what joined adds nothing to nodes that were there.

    No more than needed: behind an edge that is silent already, a second one would get no gradient.
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
        else:  # it passes nothing if nothing arrives at its node
            pending += [at for at, edge in enumerate(cell.edges) if edge[1] == start]
    return frozenset(silent)


def _channel_maps(old: tuple[int, ...], new: tuple[int, ...], seed: Seed) -> list[Tensor] | None:
    """For each stage the old channel that each new channel copies, (new width,); None if stages can't be joined.

    The first channels are the old ones. Where two stages had and have the same width nothing stands between them,
    so they copy the same channels; where they only now have it, the convolution between them is lost.
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

    Args:
        weight: (out, into, ...).
        out: the old output channel of each new one.
        into: the old input channel of each new one; its copies share its weight unevenly.
        seed: of the shares.
    """
    parts = LEAST_SHARE + torch.rand(len(out), len(into), generator=seed.torch())  # (new out, new into)
    totals = torch.zeros(len(out), int(into.max()) + 1).index_add_(1, into, parts)  # (new out, into)
    shares = (parts / totals[:, into]).reshape(len(out), len(into), *[1] * (weight.dim() - 2))
    return weight[out][:, into] * shares


def _copy_sequence(old: nn.Module, new: nn.Module, into: Tensor, out: Tensor, seed: Seed) -> None:
    """Copies convolutions and BatchNorms in a row; `into` and `out` say which channels are copied."""
    if not isinstance(old, nn.Sequential) or not isinstance(new, nn.Sequential) or len(old) != len(new):
        raise _NotKnownError
    for at, (one, other) in enumerate(zip(old, new, strict=True)):
        if isinstance(one, nn.Conv2d) and isinstance(other, nn.Conv2d):
            if one.bias is not None:
                raise _NotKnownError
            if other.groups == other.in_channels == other.out_channels:  # each channel by itself
                other.weight.copy_(one.weight[into])
            elif other.groups == 1:
                other.weight.copy_(_shared_out(one.weight, out, into, seed.child(at)))
                into = out
            else:
                raise _NotKnownError
        elif isinstance(one, nn.BatchNorm2d) and isinstance(other, nn.BatchNorm2d):
            _copy_norm(one, other, into)
        elif not isinstance(one, _WITHOUT_WEIGHTS):
            raise _NotKnownError


def _copy_norm(old: nn.BatchNorm2d, new: nn.BatchNorm2d, channels: Tensor) -> None:
    for name, value in old.state_dict().items():
        new.state_dict()[name].copy_(value[channels] if value.dim() else value)


def _copy_transition(old: nn.Module, new: nn.Module, into: Tensor, out: Tensor, seed: Seed) -> None:
    assert isinstance(old, Transition) and isinstance(new, Transition)
    if isinstance(new.widen, nn.Identity):
        return  # `_channel_maps` has seen to it that nothing was there before
    if isinstance(old.widen, nn.Sequential):
        _copy_sequence(old.widen, new.widen, into, out, seed)
        return
    # nothing stood between the stages: each channel now goes to its copies
    convolution, norm = new.widen
    assert isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d)
    same = torch.eye(int(out.max()) + 1)[:, :, None, None]
    convolution.weight.copy_(_shared_out(same, out, into, seed))
    norm.reset_running_stats()
    norm.weight.fill_((1 + norm.eps) ** 0.5)  # undoes the division by the root of 1 + eps
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
    assert isinstance(mixing, Tensor) and isinstance(filters, Tensor)
    offsets = _offsets(before)
    if after in FULL:
        kernel = torch.zeros(channels, channels, FULL[after], FULL[after])
        middle = [FULL[after] // 2 + offset for offset in offsets]
        for row, high in enumerate(middle):
            for column, wide in enumerate(middle):
                kernel[:, :, high, wide] = mixing[:, :, 0, 0] * filters[:, 0, row, column]
        larger[1].weight.copy_(kernel)  # type: ignore[operator]
    else:
        spread = torch.zeros(channels, 1, *[SEPARABLE[after][0]] * 2)
        places = [_offsets(after).index(offset) for offset in offsets]
        for row, high in enumerate(places):
            for column, wide in enumerate(places):
                spread[:, :, high, wide] = filters[:, :, row, column]
        larger[1].weight.copy_(spread)  # type: ignore[operator]
        larger[2].weight.copy_(mixing)  # type: ignore[operator]
    larger[-1].load_state_dict(operation[-1].state_dict())
    return larger


def _offsets(operation: str) -> list[int]:
    """How far from its centre a separable operation's filter looks, along each axis."""
    window, dilation = SEPARABLE[operation]
    return [dilation * (place - window // 2) for place in range(window)]


def morph_along(
    network: Network, path: tuple[Architecture, ...], *, shape: Shape, classes: int, seed: Seed
) -> Network | None:
    """Morphs step by step along architectures, the network's own first; None where a step is not known."""
    grown: Network | None = network
    for number, (before, after) in enumerate(pairwise(path)):
        if grown is None:
            return None
        grown = morph(grown, before, after, shape=shape, classes=classes, seed=seed.child("step", number))
    return grown
