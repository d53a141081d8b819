"""Diagonal Fisher information of small networks, in closed form by layer: no loop over samples."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from tanas.ground.errors import SettingError
from tanas.ground.seeds import Seed

MOST_PASSES = 9
"""Backward passes for each image: exact up to ten classes; for more, as many random mixtures of them."""

Layer = nn.Linear | nn.Conv2d


def diagonal_fisher(
    network: nn.Module,
    layers: Sequence[Layer],
    batches: Iterable[Tensor],
    *,
    seed: Seed,
    most_passes: int = MOST_PASSES,
) -> list[Tensor]:
    """The diagonal of the Fisher information matrix of some layers' weights and biases.

    It is the mean over images of E_y[(d log p(y | x) / d w)^2], y drawn from the network's own answers p(. | x):
    labels have no part in it. The expectation over y is no draw: with H = diag(p) - p p^T = L L^T it is the
    sum of the squares of the gradients of L's columns, one backward pass each, a class less than there
    are. With more columns than `most_passes` their mixtures with random signs stand for them, whose squares
    have the same mean.

    The gradient for one image is, for a dense layer, the product of what comes back (delta) and what went in
    (a), so that its square is the product of squares; for a convolution the product of delta and the
    unfolded input over all positions. Both are computed for all images of a batch at once.

    Args:
        network: pixels (batch, ...) -> logits (batch, classes); samples do not influence one another.
        layers: of the network, each used once in a forward pass, dense layers on (batch, features).
        batches: inputs of the network; memory grows with the size of a batch.
        seed: of the signs, where there are more classes than `most_passes` + 1.
        most_passes: backward passes.

    Returns:
        for each layer (weights and then biases,) float32, none negative.

    Source: Amari, Natural Gradient Works Efficiently in Learning, 1998, for the matrix; Martens, New Insights and
    Perspectives on the Natural Gradient Method, 2020, section 9.2, for its factors.
    """
    totals = [torch.zeros(layer.weight.numel() + _biases(layer)) for layer in layers]
    generator, images = seed.torch(), 0
    for pixels in batches:
        inputs, outputs, logits = _recorded(network, layers, pixels)
        factors = columns(logits.detach(), most_passes, generator)  # (passes, batch, classes)
        dense = [torch.zeros_like(output) for output in outputs]  # only of dense layers: summed delta^2
        unfolded = [_unfolded(layer, given) for layer, given in zip(layers, inputs, strict=True)]
        for factor in factors:
            deltas = torch.autograd.grad(logits, outputs, grad_outputs=factor, retain_graph=True)
            for layer, delta, total, squares, patches in zip(
                layers, deltas, totals, dense, unfolded, strict=True
            ):
                if isinstance(layer, nn.Linear):
                    squares += delta.square()
                    continue
                flat = delta.flatten(2)  # (batch, filters, positions)
                weights = torch.bmm(flat, patches)  # (batch, filters, weights of a filter)
                total[: layer.weight.numel()] += weights.square().sum(dim=0).flatten()
                total[layer.weight.numel() :] += flat.sum(dim=2).square().sum(dim=0)[: _biases(layer)]
        for layer, given, total, squares in zip(layers, inputs, totals, dense, strict=True):
            if isinstance(layer, nn.Linear):
                part = total[: layer.weight.numel()].view_as(layer.weight)  # (out, in), shares total's memory
                part.addmm_(squares.T, given.square())
                total[layer.weight.numel() :] += squares.sum(dim=0)[: _biases(layer)]
        images += len(pixels)
    return [total / max(images, 1) for total in totals]


def columns(logits: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Vectors v with sum over them of v v^T = diag(p) - p p^T, p the softmax of the logits.

    The exact ones are those of a Cholesky factor, which has a closed form: class j against all after it,
    (r' on j, -p_i on i > j) times the root of p_j / (r r'), where r is the sum of p from j on and r' that after j.
    The mixtures are sqrt(p) s - p (sqrt(p) . s) with random signs s.

    Args:
        logits: (batch, classes).
        most: if there would be more than so many, so many mixtures are given, whose v v^T have that sum on average.
        generator: draws the signs.

    Returns:
        (vectors, batch, classes) in the type of the logits.
    """
    p = torch.softmax(logits.double(), dim=1)  # (batch, classes)
    classes = p.shape[1]
    if classes - 1 > most:
        signs = torch.randint(0, 2, (most, *p.shape), generator=generator).double() * 2 - 1
        root = p.sqrt()
        mixed = root * signs - p * (root * signs).sum(dim=2, keepdim=True)  # (vectors, batch, classes)
        return mixed.div(most**0.5).to(logits.dtype)
    rest = p.flip(1).cumsum(1).flip(1)  # sums from each class on, (batch, classes)
    tiny = torch.finfo(p.dtype).tiny
    vectors = []
    for j in range(classes - 1):
        after = rest[:, j + 1]
        size = (p[:, j] * after / rest[:, j].clamp_min(tiny)).sqrt()  # (batch,)
        vector = torch.zeros_like(p)
        vector[:, j] = size
        vector[:, j + 1 :] = -p[:, j + 1 :] * (size / after.clamp_min(tiny))[:, None]
        vectors.append(vector)
    return torch.stack(vectors).to(logits.dtype)


def _recorded(
    network: nn.Module, layers: Sequence[Layer], pixels: Tensor
) -> tuple[list[Tensor], list[Tensor], Tensor]:
    """What goes into and comes out of each layer, and the logits, with a graph to go back through."""
    inputs: dict[int, Tensor] = {}
    outputs: dict[int, Tensor] = {}

    def record(layer: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
        inputs[id(layer)], outputs[id(layer)] = given[0].detach(), output

    handles = [layer.register_forward_hook(record) for layer in layers]
    try:
        with torch.enable_grad():
            # the weights may be frozen: pixels with a gradient make the graph
            logits = network(pixels.detach().clone().requires_grad_())
    finally:
        for handle in handles:
            handle.remove()
    return [inputs[id(layer)] for layer in layers], [outputs[id(layer)] for layer in layers], logits


def _unfolded(layer: Layer, given: Tensor) -> Tensor:
    """Of a convolution's input, the patches that each output sees, (batch, positions, weights of a filter)."""
    if isinstance(layer, nn.Linear):
        return given
    if layer.groups != 1 or isinstance(layer.padding, str) or layer.padding_mode != "zeros":
        raise SettingError(
            "The 'layers' of diagonal_fisher must be convolutions of one group, padded by a number of zeros. "
            f"Got {layer} instead."
        )
    pairs = (layer.kernel_size, layer.dilation, layer.padding, layer.stride)
    kernel, dilation, padding, stride = (cast(tuple[int, int], pair) for pair in pairs)
    patches = functional.unfold(given, kernel, dilation=dilation, padding=padding, stride=stride)
    return patches.transpose(1, 2)  # (batch, positions, weights of a filter)


def _biases(layer: Layer) -> int:
    return 0 if layer.bias is None else layer.bias.numel()
