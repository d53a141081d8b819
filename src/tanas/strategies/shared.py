"""Random search with weight sharing: many architectures are ranked by the weights of one supernet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate, cycle

import torch

from tanas.ground.errors import NonFiniteError, check_range
from tanas.ground.events import StepAdvanced, StepFinished, StepStarted
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture
from tanas.networks.scoring import Judgement, ScoringConfig, judgement_of
from tanas.networks.training import EVALUATION_BATCH, TrainingConfig, batches
from tanas.strategies.by_supernets import BySupernets, Descent, Ranked, SupernetRun, each_batch
from tanas.strategies.mixture import side_by_side
from tanas.strategies.supernet import Supernet
from tanas.tasks.task import Task


@dataclass(frozen=True, kw_only=True)
class SharedConfig:
    """How many supernets there are, how they are trained, and how many architectures they rank."""

    runs: int = 4
    """Supernets, each of a skeleton of its own where the space has so many: cells decide less than skeletons. The paper
    makes four runs of every search, too."""
    finalists: int = 1
    """Architectures of each that are scored."""
    pool: int = 50
    """Architectures of each that are ranked."""
    images: int = 4000
    """At most so many training images, stratified."""
    ranking_images: int = 500
    """At most so many of the validation images to rank by, stratified. With a pool of 50, four runs answer 100,000
    images, which takes a sixth of the time of the search's trainings; answers are not in the ledger."""
    training: TrainingConfig = field(
        default_factory=lambda: TrainingConfig(epochs=8, batch=64, least_steps=200)
    )
    """Of the shared weights; one batch trains one architecture. Four runs of eight epochs and four scores of four are
    192,000 images; five rounds of FUSE with their scores are 200,000. The batch is half of the usual one, because only
    the few steps that draw an operation train it."""

    def __post_init__(self) -> None:
        for name, low in (("runs", 1), ("finalists", 1), ("pool", 1), ("images", 2), ("ranking_images", 2)):
            check_range(getattr(self, name), name, "SharedConfig", low=low)


@dataclass(frozen=True)
class WeightSharing(BySupernets):
    """Random search with weight sharing.

    A supernet has one skeleton, so all its cells have the same number of channels; in a space of many skeletons
    a search trains several. Weights belong to a skeleton, the place of a cell in it, an edge and an operation. Each
    step draws an architecture and trains it on one batch. Then architectures of the pool answer validation images
    with the shared weights, and the best are trained on their own.

    Source: Li and Talwalkar 2019, "Random search and reproducibility for neural architecture search", section 3.
    """

    config: SharedConfig = field(default_factory=SharedConfig)
    scoring: ScoringConfig = field(default_factory=ScoringConfig)
    """The short training by which the finalists are compared."""
    name: str = "ws-random"

    @property
    def pool(self) -> int:
        return self.config.pool

    def costs(self, run: SupernetRun, steps: int) -> Sequence[int]:
        sizes = cycle(run.batch_sizes(run.task.train, self.config.training.batch))
        shown = zip(self.drawn(run, steps), sizes, strict=False)  # the sizes go round and round
        return list(accumulate(run.problem.price(images, architecture) for architecture, images in shown))

    def rank(self, run: SupernetRun, steps: int) -> Ranked:
        """Train the shared weights and rank the pool by them; see `BySupernets.rank`."""
        training, network = self.config.training, run.supernet()
        descent, drawn = Descent(network, run, training, steps), self.drawn(run, steps)
        macs = images = 0

        def step(number: int, pixels: torch.Tensor, labels: torch.Tensor) -> bool:
            nonlocal macs, images
            macs += run.problem.price(len(labels), drawn[number])
            images += len(labels)
            return descent.step(number, network.path(drawn[number].cell), pixels, labels)

        each_batch(run, training, steps, step)
        return Ranked(architectures=self._ranking(run, network), macs=macs, images=images)

    def drawn(self, run: SupernetRun, steps: int) -> tuple[Architecture, ...]:
        """Return the architecture of each step: none repeats until all that are found had their turn.

        The first of many steps draw what fewer steps would.
        """
        found = run.problem.sample(steps, run.seed.child("paths"), ())
        return tuple(found[at % len(found)] for at in range(steps))

    def _ranking(self, run: SupernetRun, network: Supernet) -> tuple[Architecture, ...]:
        """The pool, the best by the shared weights first; without those whose answers are not finite."""
        task, at = self._ranked_by(run.task), run.problem.at
        network.eval()
        step = f"rank by {run.key} for {task.name}"
        at.tell(StepStarted(step=step, total=len(run.pool), unit="architectures"))

        def judge(place: int) -> Judgement | None:
            if place > 0 and at.deadline() <= 0:
                return None
            try:
                return judged_by(network, run.pool[place], task, run.seed.child("rank"), at.device)
            except NonFiniteError:
                return None

        with side_by_side(at.workers) as pool:
            judgements = list(pool.map(judge, range(len(run.pool))))
        known = [
            (judgement.rank, architecture)
            for architecture, judgement in zip(run.pool, judgements, strict=True)
            if judgement is not None
        ]
        at.tell(StepAdvanced(step=step, done=len(known)))
        at.tell(StepFinished(step=step))
        if not known:
            message = f"No architecture's answers by {run.key} are finite, so the ranking is random."
            at.warn(f"{message} Lower the learning rate of the search.")
        return tuple(
            architecture for _, architecture in sorted(known, key=lambda pair: pair[0], reverse=True)
        )

    def _ranked_by(self, task: Task) -> Task:
        """The task with the validation images to rank by, at least one of each group."""
        split = task.validation
        groups = torch.unique(torch.stack([split.labels, split.strata]), dim=1).shape[1]
        seed = Seed(task.split_seed).child("ranking")
        return replace(task, validation=split.stratified(max(self.config.ranking_images, groups), seed))


@torch.no_grad()
def judged_by(
    network: Supernet, architecture: Architecture, task: Task, seed: Seed, device: str
) -> Judgement:
    """Judge an architecture by the weights that it shares.

    The network is a supernet of its skeleton, in evaluation mode. The seed draws the order of the validation images:
    BatchNorm takes the mean of a batch, which should hold all classes.

    Raises:
        NonFiniteError: an answer is not finite.
    """
    passes, parts, split = network.path(architecture.cell), [], task.validation
    order = batches(len(split), EVALUATION_BATCH, seed)
    for which in order:
        pixels = split.pixels(which).to(device, memory_format=torch.channels_last)
        parts.append(network(pixels, passes).float().cpu())
    # (samples, classes)
    return judgement_of(torch.cat(parts), replace(task, validation=split.subset(torch.cat(order))))
