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
from tanas.networks.cell import Cell, Edge
from tanas.networks.operations import ZERO
from tanas.networks.scoring import ScoringConfig
from tanas.networks.training import TrainingConfig, batches
from tanas.spaces.cells import degrees
from tanas.spaces.prior import pairs_of, placed
from tanas.spaces.space import SearchSpace
from tanas.strategies.base import training_macs
from tanas.strategies.by_supernets import BySupernets, Descent, Ranked, Sharing, SupernetRun, each_batch
from tanas.strategies.mixture import side_by_side
from tanas.strategies.supernet import mixed_macs, mixing
from tanas.strategies.trials import images_of_scores
from tanas.tasks.task import Task

ALPHA_BETAS = (0.5, 0.999)
"""Of Adam for alpha. Source: appendix A.1."""
ALPHA_DECAY = 1e-3
"""Weight decay of alpha. Source: appendix A.1."""
ALPHA_START = 1e-3
"""Deviation of alpha at the start: operations begin nearly alike, as in the authors' code."""
ALPHA_PASSES = 2
"""Multiply-adds of a step of alpha over those of an answer: its gradient needs those of all values but of no weights,
which are left out; a step of w needs both."""
INPUTS = 2
"""Edges that are kept at each node where they may be absent. Source: section 2.4."""
POOL = 200
"""Architectures drawn for a run, to take one of where all cells that were looked at are beyond the limits; a tenth of
a second."""
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
    """Of w, by the house's recipe; its batch is that of alpha, too, and the paper's. Two runs of two epochs on 3,000
    images with as many for alpha, and two scores of four epochs, cost about what 200,000 images of architectures of
    the standard space do, as do five rounds of FUSE with their scores."""
    alpha_rate: float = 0.05
    """Learning rate of alpha, constant. The paper's is 3e-4 for some 20,000 steps. Adam moves each alpha by about its
    rate a step, so that the 94 steps of a run here take it as far."""

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

    A relaxed network has one skeleton; a search makes several, and holds their cells against one another by the fixed
    short training. The cell that is taken is the strongest that was not tried before and that the limits of the space
    allow, so that they hold by descending from the strongest of all (see `strongest_cells`).

    Source: Liu et al. 2019, "DARTS: differentiable architecture search".
    """

    config: DartsConfig = field(default_factory=DartsConfig)
    scoring: ScoringConfig = field(default_factory=ScoringConfig)
    """The short training by which the cells of the runs are compared."""
    name: str = "darts"

    def expected_images(self, space: SearchSpace, task: Task, workers: int) -> float:
        """See `Strategy.expected_images`; each step computes all operations twice, for w and for alpha."""
        config, mixed = self.config, 2 * len([name for name in space.operations if name != ZERO])
        scored = images_of_scores(config.finalists, self.scoring, task, workers)
        return config.runs * (config.training.epochs * min(len(task.train), config.images) * mixed + scored)

    @property
    def sharing(self) -> Sharing:
        """How; see `BySupernets`."""
        config = self.config
        return Sharing(
            runs=config.runs,
            finalists=config.finalists,
            pool=POOL,
            training=config.training,
            images=config.images,
            costs=self.costs,
            rank=self.rank,
        )

    def costs(self, run: SupernetRun, steps: int) -> Sequence[int]:
        """Multiply-adds after each step, of w and of alpha; see `Sharing`."""
        batch = self.config.training.batch
        of_w, of_alpha = learning_macs(run, 1, 0), learning_macs(run, 0, 1)
        w = cycle(run.batch_sizes(run.task.train, batch))
        alpha = cycle(run.batch_sizes(run.task.validation, batch))
        both = islice(zip(w, alpha, strict=False), steps)
        return list(accumulate(of_w * shown + of_alpha * asked for shown, asked in both))

    def rank(self, run: SupernetRun, steps: int) -> Ranked:
        """Learns alpha and w and gives the cells, strongest first; see `Sharing`."""
        alpha, w_images, alpha_images = self.learn(run, steps)
        return Ranked(
            architectures=_within(run, alpha),
            macs=learning_macs(run, w_images, alpha_images),
            images=w_images + alpha_images,
        )

    def learn(self, run: SupernetRun, steps: int) -> tuple[Tensor, int, int]:
        """Learns alpha and w in turns.

        Returns:
            alpha, (edges, operations of the space) float32; images that w and that alpha was trained on.
        """
        training, validation, names = self.config.training, run.task.validation, run.problem.space.operations
        device = run.problem.at.device
        network = run.supernet(affine=False)
        descent = Descent(network, run, training, steps)
        live = [at for at, name in enumerate(names) if name != ZERO]
        start = torch.randn(
            len(pairs_of(run.problem.space.nodes)), len(names), generator=run.seed.child("alpha").torch()
        )
        alpha = (_prior_alpha(run.problem.space) + ALPHA_START * start).to(device).requires_grad_(True)
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

        with side_by_side(1):  # one thread of torch: the sums are the same however many workers there are
            each_batch(run, training, steps, step)
        return alpha.detach().cpu(), w_images, alpha_images


def _prior_alpha(space: SearchSpace) -> Tensor:
    """Where alpha starts, (edges, operations): all alike, or so that softmax(alpha) is the prior of the space."""
    pairs = pairs_of(space.nodes)
    if space.prior is None:
        return torch.zeros(len(pairs), len(space.operations))
    shares = [[space.prior.probability(pair, name) for name in space.operations] for pair in pairs]
    return torch.tensor(shares).log()


def learning_macs(run: SupernetRun, w_images: int, alpha_images: int) -> int:
    """Multiply-adds of learning w and alpha in a relaxed network, all of whose operations are computed each time.

    Args:
        run: gives the skeleton and the space.
        w_images: that w was trained on; an image counts each time.
        alpha_images: that alpha was trained on.
    """
    task = run.task
    each = mixed_macs(run.skeleton, run.problem.space, task.shape, len(task.classes))
    return training_macs(each, w_images) + ALPHA_PASSES * each * alpha_images


@dataclass(frozen=True)
class Strengths:
    """How strong each operation of each edge is."""

    space: SearchSpace
    logs: Mapping[tuple[int, int], Mapping[str, float]]
    """The logarithm of its share: softmax(alpha) over all operations of the edge, the one that passes nothing among
    them."""

    @classmethod
    def of(cls, alpha: Tensor, space: SearchSpace) -> Strengths:
        """From alpha, (edges, operations of the space)."""
        shares = alpha.double().log_softmax(dim=1).tolist()
        return cls(
            space,
            {
                pair: dict(zip(space.operations, row, strict=True))
                for pair, row in zip(pairs_of(space.nodes), shares, strict=True)
            },
        )

    def degrees(self, node: int) -> tuple[int, ...]:
        """How many edges can be kept at a node."""
        inputs, absent = self.space.inputs, ZERO in self.space.operations
        if absent:
            inputs = INPUTS if inputs is None else min(inputs, INPUTS)
        return degrees(node, absent=absent, inputs=inputs)

    def rank(self, edges: Sequence[Edge]) -> tuple[int, float]:
        """What cells and parts of cells are sorted by; a cell's is the sum over its nodes.

        Returns:
            edges with their sign turned, so that more come first; minus the sum of the logarithms.
        """
        return -len(edges), -math.fsum(self.logs[start, end][name] for start, end, name in edges)

    def options(self, node: int) -> list[tuple[tuple[int, float], tuple[Edge, ...]]]:
        """(rank, edges) of all that can end in a node, the strongest first."""
        live = [name for name in self.space.operations if name != ZERO]
        made = [
            tuple((start, node, name) for start, name in zip(starts, names, strict=True))
            for size in self.degrees(node)
            for starts in combinations(range(node), size)
            for names in product(live, repeat=size)
        ]
        return sorted((self.rank(edges), edges) for edges in made)


def strongest_cells(strengths: Strengths) -> Iterator[Cell]:
    """The cells that can be taken from a relaxed one, in canonical form and each once, the strongest first.

    Where edges may be absent (zero is an operation) each node keeps its two strongest edges, from different nodes,
    each with its strongest operation other than zero. Where they may not it keeps all, or as many as the space has
    inputs. Weaker ones follow: those whose product of shares is next, and after all of these, cells with fewer edges.

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
    problem, strengths = run.problem, Strengths.of(alpha, run.problem.space)
    for cell in islice(strongest_cells(strengths), LOOKED_AT):
        one = Architecture(skeleton=run.skeleton, cell=cell)
        if (
            one not in run.known
            and problem.space.contains(one)
            and problem.space.allows(one, run.task.shape, len(run.task.classes))
        ):
            yield one

    def rank(one: Architecture) -> tuple[int, float]:
        held = placed(one.cell, problem.space.nodes)
        return strengths.rank([(start, end, name) for (start, end), name in held.items()])

    yield from sorted(run.pool, key=rank)
