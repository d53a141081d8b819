"""Random search with weight sharing: many architectures are ranked by the weights of one supernet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate, cycle

import torch

from tanas.ground.errors import NonFiniteError, check_range
from tanas.ground.events import StepAdvanced, StepFinished, StepStarted, Warned
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture
from tanas.networks.scoring import Judgement, ScoringConfig, cross_entropy_of
from tanas.networks.training import EVALUATION_BATCH, TrainingConfig, batches, evaluation_of
from tanas.spaces.space import SearchSpace
from tanas.strategies.base import training_macs
from tanas.strategies.by_supernets import BySupernets, Descent, Ranked, Sharing, SupernetRun, each_batch
from tanas.strategies.mixture import side_by_side
from tanas.strategies.supernet import Supernet
from tanas.strategies.trials import images_of_scores
from tanas.tasks.task import Split, Task


@dataclass(frozen=True, kw_only=True)
class SharedConfig:
    """How many supernets there are, how they are trained, and how many architectures they are asked about."""

    runs: int = 4
    """Supernets, each of a skeleton of its own where the space has so many: cells decide less than skeletons. Four
    runs are what the paper makes of every search, too."""
    finalists: int = 1
    """Architectures of each that are scored."""
    pool: int = 50
    """Architectures of each that are ranked."""
    images: int = 4000
    """At most so many training images, stratified."""
    ranking_images: int = 500
    """At most so many of the validation images to rank by, stratified. With a pool of 50, four runs answer 100,000
    images, which takes a sixth of the time that the trainings of the search take; answers are not in the ledger."""
    training: TrainingConfig = field(
        default_factory=lambda: TrainingConfig(epochs=8, batch=64, least_steps=200)
    )
    """Of the shared weights; one batch trains one architecture. Four runs of eight epochs and four scores of four are
    192,000 images; five rounds of FUSE with their scores are 200,000. The batch is half of the house's, as an
    operation is only trained by the few steps that draw it."""

    def __post_init__(self) -> None:
        for name, low in (("runs", 1), ("finalists", 1), ("pool", 1), ("images", 2), ("ranking_images", 2)):
            check_range(getattr(self, name), name, "SharedConfig", low=low)


@dataclass(frozen=True)
class WeightSharing(BySupernets):
    """Random search with weight sharing.

    A supernet has one skeleton, so that all its cells have the same number of channels; in a space of many skeletons
    a search trains several. Weights belong to a skeleton, the place of a cell in it, an edge and an operation. Each
    step draws an architecture and trains it on one batch. Then architectures of the pool answer validation images
    with the shared weights, and the best are trained on their own.

    Source: Li and Talwalkar 2019, "Random search and reproducibility for neural architecture search", section 3.
    """

    config: SharedConfig = field(default_factory=SharedConfig)
    scoring: ScoringConfig = field(default_factory=ScoringConfig)
    """The short training by which the finalists are compared."""
    name: str = "ws-random"

    def expected_images(self, space: SearchSpace, task: Task, workers: int) -> float:
        """See `Strategy.expected_images`; a step of the shared weights trains one candidate."""
        config = self.config
        scored = images_of_scores(config.finalists, self.scoring, task, workers)
        return config.runs * (config.training.epochs * min(len(task.train), config.images) + scored)

    @property
    def sharing(self) -> Sharing:
        """How; see `BySupernets`."""
        config = self.config
        return Sharing(
            runs=config.runs,
            finalists=config.finalists,
            pool=config.pool,
            training=config.training,
            images=config.images,
            costs=self.costs,
            rank=self.rank,
        )

    def costs(self, run: SupernetRun, steps: int) -> Sequence[int]:
        """Multiply-adds after each step; see `Sharing`."""
        sizes = cycle(run.batch_sizes(run.task.train, self.config.training.batch))
        drawn = self.drawn(run, steps)
        macs = {one: run.problem.macs(one) for one in set(drawn)}
        shown = zip(drawn, sizes, strict=False)  # the sizes go round and round
        return list(accumulate(training_macs(macs[one], images) for one, images in shown))

    def rank(self, run: SupernetRun, steps: int) -> Ranked:
        """Trains the shared weights and ranks the pool by them; see `Sharing`."""
        training = self.config.training
        network = run.supernet()
        descent, drawn = Descent(network, run, training, steps), self.drawn(run, steps)
        macs = images = 0

        def step(number: int, pixels: torch.Tensor, labels: torch.Tensor) -> bool:
            nonlocal macs, images
            one = drawn[number]
            macs += training_macs(run.problem.macs(one), len(labels))
            images += len(labels)
            return descent.step(number, network.path(one.cell), pixels, labels)

        with side_by_side(1):  # one thread of torch: the sums are the same however many workers there are
            each_batch(run, training, steps, step)
        return Ranked(architectures=self._ranking(run, network), macs=macs, images=images)

    def drawn(self, run: SupernetRun, steps: int) -> tuple[Architecture, ...]:
        """The architecture of each step: no two alike until all that the draws find had their turn.

        Those of the first of many steps are those that fewer steps would have had.
        """
        found = run.problem.sample(steps, run.seed.child("paths"), ())
        return tuple(found[at % len(found)] for at in range(steps))

    def _ranking(self, run: SupernetRun, network: Supernet) -> tuple[Architecture, ...]:
        """The pool, the best by the shared weights first; without those whose answers are not finite."""
        problem, split = run.problem, self._asked_about(run.task)
        network.eval()
        step = f"rank by {run.key} for {run.task.name}"
        problem.at.listener(StepStarted(step=step, total=len(run.pool), unit="architectures"))

        def judge(at: int) -> Judgement | None:
            if at > 0 and problem.at.deadline() <= 0:
                return None
            try:
                return judged_by(
                    network, run.pool[at], run.task, split, run.seed.child("rank"), problem.at.device
                )
            except NonFiniteError:
                return None

        with side_by_side(problem.at.workers) as pool:
            judgements = list(pool.map(judge, range(len(run.pool))))
        known = [
            (judgement.rank, one)
            for one, judgement in zip(run.pool, judgements, strict=True)
            if judgement is not None
        ]
        problem.at.listener(StepAdvanced(step=step, done=len(known)))
        problem.at.listener(StepFinished(step=step))
        if not known:
            problem.at.listener(
                Warned(
                    message=f"No architecture's answers by {run.key} are finite, so the ranking is random. "
                    "Lower the learning rate of the search."
                )
            )
        return tuple(one for _, one in sorted(known, key=lambda pair: pair[0], reverse=True))

    def _asked_about(self, task: Task) -> Split:
        """The validation images to rank by, at least one of each group."""
        split = task.validation
        groups = torch.unique(torch.stack([split.labels, split.strata]), dim=1).shape[1]
        seed = Seed(task.split_seed).child("ranking")
        return split.stratified(max(self.config.ranking_images, groups), seed)


@torch.no_grad()
def judged_by(
    network: Supernet, one: Architecture, task: Task, split: Split, seed: Seed, device: str
) -> Judgement:
    """Judges an architecture by the weights that it shares.

    Args:
        network: a supernet of its skeleton, in evaluation mode.
        one: in canonical form.
        task: gives the classes and the measure of performance.
        split: the images to judge by.
        seed: of their order: BatchNorm takes the mean of a batch, which should hold all classes.
        device: where the network is.

    Raises:
        NonFiniteError: an answer is not finite.
    """
    passes, parts = network.path(one.cell), []
    order = batches(len(split), EVALUATION_BATCH, seed)
    for which in order:
        pixels = split.pixels(which).to(device, memory_format=torch.channels_last)
        parts.append(network(pixels, passes).float().cpu())
    logits, rows = torch.cat(parts), split.subset(torch.cat(order))  # (samples, classes)
    evaluation = evaluation_of(logits, rows, classes=len(task.classes))
    return Judgement(
        score=evaluation.performance(task.performance),
        loss=cross_entropy_of(logits, rows.labels, task),
    )
