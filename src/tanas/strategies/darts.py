"""DARTS: the cell space relaxed to mixed operations, its weights learnt by gradients, its strongest cell taken."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, combinations, count, cycle, islice, product

import torch
from torch import Tensor
from torch.nn import functional

from tanas.ground.errors import check_range
from tanas.networks.architecture import Architecture
from tanas.networks.cell import Cell, Edge, pairs_of
from tanas.networks.operations import ZERO
from tanas.networks.scoring import ScoringConfig
from tanas.networks.training import TrainingConfig, batches
from tanas.spaces.cells import degrees
from tanas.spaces.prior import placed
from tanas.spaces.space import SearchSpace
from tanas.strategies.base import training_macs
from tanas.strategies.by_supernets import BySupernets, Descent, Ranked, SupernetRun, each_batch
from tanas.strategies.supernet import mixed_macs, mixing

ALPHA_BETAS = (0.5, 0.999)
"""Of Adam for alpha. Source: appendix A.1."""
ALPHA_DECAY = 1e-3
"""Weight decay of alpha. Source: appendix A.1."""
ALPHA_START = 1e-3
"""Deviation of alpha at the start: operations begin nearly alike, as in the authors' code."""
ALPHA_PASSES = 2
"""Multiply-adds of a step of alpha per multiply-add of an answer: its gradient needs those of all values but of no
weights; a step of w needs both."""
INPUTS = 2
"""Edges that are kept at each node where they may be absent. Source: section 2.4."""
LOOKED_AT = 1000
"""Strongest cells that are looked at for one within the limits: some 0.1 s."""


@dataclass(frozen=True, kw_only=True)
class DartsConfig:
    """How long alpha and w are learnt, and how often."""

    runs: int = 2
    """Relaxed networks, each of a skeleton of its own where the space has so many. The paper makes four and takes the
    best; a step of one costs about eight steps of an architecture of the standard space."""
    finalists: int = 1
    """Strongest cells of each that are scored; the paper takes one."""
    images: int = 3000
    """At most so many training images for w, stratified; validation images for alpha in proportion."""
    training: TrainingConfig = field(
        default_factory=lambda: TrainingConfig(epochs=2, batch=64, least_steps=50)
    )
    """Of w; its batch is that of alpha, too, and the paper's. Two runs of two epochs on 3,000 images with as many for
    alpha, and two scores of four epochs, cost about what 200,000 images of architectures of the standard space do, as
    do five rounds of FUSE with their scores."""
    alpha_rate: float = 0.05
    """Learning rate of alpha, constant. The paper's is 3e-4 for some 20,000 steps. Adam moves each alpha by about its
    rate a step, so the 94 steps of a run here take it as far."""

    def __post_init__(self) -> None:
        for name, low in (("runs", 1), ("finalists", 1), ("images", 2)):
            check_range(getattr(self, name), name, "DartsConfig", low=low)
        check_range(self.alpha_rate, "alpha_rate", "DartsConfig", low=0, open_ends=True)


@dataclass(frozen=True)
class Darts(BySupernets):
    """Differentiable architecture search, first order.

    Every edge of a relaxed network is the sum of all operations, weighted by softmax(alpha); alpha is the same in all
    cells. For each batch alpha takes a step on validation images, then w one on training images. BatchNorm within
    cells has no scale and shift of its own, as in the paper.

    A relaxed network has one skeleton; a search makes several, and compares their cells by the fixed short training.
    The strongest cell is taken that is new and within the limits of the space (see `strongest_cells`).

    Source: Liu et al. 2019, "DARTS: differentiable architecture search".
    """

    config: DartsConfig = field(default_factory=DartsConfig)
    scoring: ScoringConfig = field(default_factory=ScoringConfig)
    """The short training by which the cells of the runs are compared."""
    name: str = "darts"

    @property
    def pool(self) -> int:
        return 200  # the reserve if all cells that were looked at are beyond the limits; drawn in 0.1 s

    def per_image(self, space: SearchSpace) -> int:
        """Each step computes all operations twice, for w and for alpha."""
        return 2 * len([name for name in space.operations if name != ZERO])

    def costs(self, run: SupernetRun, steps: int) -> Sequence[int]:
        batch = self.config.training.batch
        of_w, of_alpha = learning_macs(run, 1, 0), learning_macs(run, 0, 1)
        w = cycle(run.batch_sizes(run.task.train, batch))
        alpha = cycle(run.batch_sizes(run.task.validation, batch))
        both = islice(zip(w, alpha, strict=False), steps)
        return list(accumulate(of_w * w_images + of_alpha * alpha_images for w_images, alpha_images in both))

    def rank(self, run: SupernetRun, steps: int) -> Ranked:
        """Learn alpha and w, and give the cells, strongest first; see `BySupernets.rank`."""
        alpha, w_images, alpha_images = self.learn(run, steps)
        return Ranked(
            architectures=_within(run, alpha),
            macs=learning_macs(run, w_images, alpha_images),
            images=w_images + alpha_images,
        )

    def learn(self, run: SupernetRun, steps: int) -> tuple[Tensor, int, int]:
        """Learn alpha and w in turns.

        Returns:
            alpha, (edges, operations of the space) float32; images that w and that alpha was trained on.
        """
        training, validation, space = self.config.training, run.task.validation, run.problem.space
        device = run.problem.at.device
        network = run.supernet(affine=False)
        descent = Descent(network, run, training, steps)
        live = [at for at, name in enumerate(space.operations) if name != ZERO]
        shape = len(pairs_of(space.nodes)), len(space.operations)
        start = ALPHA_START * torch.randn(shape, generator=run.seed.child("alpha").torch())
        alpha = (_prior_alpha(space) + start).to(device).requires_grad_(True)  # (edges, operations)
        adam = torch.optim.Adam(
            [alpha], lr=self.config.alpha_rate, betas=ALPHA_BETAS, weight_decay=ALPHA_DECAY
        )
        turns = (
            which
            for turn in count()
            for which in batches(len(validation), training.batch, run.seed.child("alpha", turn))
        )
        w_images = alpha_images = 0

        def step(number: int, pixels: Tensor, labels: Tensor) -> bool:
            nonlocal w_images, alpha_images
            which = next(turns)
            shown = validation.pixels(which).to(device, memory_format=torch.channels_last)
            logits = network.train()(shown, mixing(alpha.softmax(dim=1)[:, live]))  # (batch, classes)
            loss = functional.cross_entropy(logits, validation.labels[which].to(device))
            (gradient,) = torch.autograd.grad(loss, [alpha])
            finite = bool(torch.isfinite(gradient).all())
            if finite:
                alpha.grad = gradient
                adam.step()
            w_images, alpha_images = w_images + len(labels), alpha_images + len(which)
            weights = alpha.detach().softmax(dim=1)[:, live]  # (edges, operations but zero)
            return descent.step(number, mixing(weights), pixels, labels) and finite

        each_batch(run, training, steps, step)
        return alpha.detach().cpu(), w_images, alpha_images


def _prior_alpha(space: SearchSpace) -> Tensor:
    """Where alpha starts, (edges, operations): all alike, or softmax(alpha) is the prior of the space."""
    pairs = pairs_of(space.nodes)
    if space.prior is None:
        return torch.zeros(len(pairs), len(space.operations))
    shares = [[space.prior.probability(pair, name) for name in space.operations] for pair in pairs]
    return torch.tensor(shares).log()


def learning_macs(run: SupernetRun, w_images: int, alpha_images: int) -> int:
    """Multiply-adds of learning w and alpha on so many images in a relaxed network, which computes all operations."""
    task = run.task
    each = mixed_macs(run.skeleton, run.problem.space, task.shape, len(task.classes))
    return training_macs(each, w_images) + ALPHA_PASSES * each * alpha_images


@dataclass(frozen=True)
class Strengths:
    """How strong each operation of each edge is."""

    space: SearchSpace
    logs: Mapping[tuple[int, int], Mapping[str, float]]
    """The logarithm of its share: softmax(alpha) over all operations of the edge, zero among them."""

    @classmethod
    def of(cls, alpha: Tensor, space: SearchSpace) -> Strengths:
        """Read alpha, (edges, operations of the space)."""
        rows = zip(pairs_of(space.nodes), alpha.double().log_softmax(dim=1).tolist(), strict=True)
        return cls(space, {pair: dict(zip(space.operations, row, strict=True)) for pair, row in rows})

    def rank(self, edges: Sequence[Edge]) -> tuple[int, float]:
        """Return the sort key of a cell or a part of it: more edges first, then the larger sum of logarithms."""
        return -len(edges), -math.fsum(self.logs[start, end][name] for start, end, name in edges)

    def options(self, node: int) -> list[tuple[tuple[int, float], tuple[Edge, ...]]]:
        """Return (rank, edges) of all that can end in a node, the strongest first."""
        inputs, absent = self.space.inputs, ZERO in self.space.operations
        if absent:
            inputs = INPUTS if inputs is None else min(inputs, INPUTS)
        live = [name for name in self.space.operations if name != ZERO]
        made = [
            tuple((start, node, name) for start, name in zip(starts, names, strict=True))
            for size in degrees(node, absent=absent, inputs=inputs)
            for starts in combinations(range(node), size)
            for names in product(live, repeat=size)
        ]
        return sorted((self.rank(edges), edges) for edges in made)


def strongest_cells(strengths: Strengths) -> Iterator[Cell]:
    """The cells that can be taken from a relaxed one, in canonical form and each once, the strongest first.

    If edges may be absent (zero is an operation) each node keeps its two strongest edges, from different nodes,
    each with its strongest operation other than zero. If not, it keeps all, or as many as the space has inputs.
    Weaker cells follow: those whose product of shares is next, and after all of these, cells with fewer edges.

    Source: section 2.4; zero has a share, yet it is never taken, since its alpha only scales what reaches a node.
    """
    nodes = [strengths.options(node) for node in range(1, strengths.space.nodes)]
    begin = (0,) * len(nodes)

    def rank(places: tuple[int, ...]) -> tuple[int, float]:
        ranks = [options[at][0] for options, at in zip(nodes, places, strict=True)]
        return sum(edges for edges, _ in ranks), math.fsum(cost for _, cost in ranks)

    heap, pushed, given = [(rank(begin), begin)], {begin}, set[Cell]()
    while heap:
        _, places = heapq.heappop(heap)
        chosen = [options[at][1] for options, at in zip(nodes, places, strict=True)]
        cell = Cell(strengths.space.nodes, tuple(edge for edges in chosen for edge in edges)).canonical()
        if cell.connected and cell not in given:
            given.add(cell)
            yield cell
        for node, at in enumerate(places):
            further = (*places[:node], at + 1, *places[node + 1 :])
            if at + 1 < len(nodes[node]) and further not in pushed:
                pushed.add(further)
                heapq.heappush(heap, (rank(further), further))


def _within(run: SupernetRun, alpha: Tensor) -> Iterator[Architecture]:
    """The strongest cells that are new and within the limits; then those drawn for the run, strongest first."""
    space, shape, classes = run.problem.space, run.task.shape, len(run.task.classes)
    strengths = Strengths.of(alpha, space)
    for cell in islice(strongest_cells(strengths), LOOKED_AT):
        found = Architecture(skeleton=run.skeleton, cell=cell)
        if found not in run.known and space.contains(found) and space.allows(found, shape, classes):
            yield found

    def rank(drawn: Architecture) -> tuple[int, float]:
        held = placed(drawn.cell, space.nodes)
        return strengths.rank([(start, end, name) for (start, end), name in held.items()])

    yield from sorted(run.pool, key=rank)
