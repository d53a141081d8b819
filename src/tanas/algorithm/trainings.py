"""The trainings of a final training: recipes in competition, a refit, a comparison with half of the images."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
from torch import Tensor

from tanas.algorithm.presets import SearchConfig
from tanas.algorithm.result import Outlook
from tanas.algorithm.warm_start import Start
from tanas.ground.context import Context
from tanas.ground.errors import NonFiniteError
from tanas.ground.events import Listener
from tanas.networks.architecture import Architecture, Network, build
from tanas.networks.calibration import best_temperature, loss_shares
from tanas.networks.recipe import RECIPES, ChosenRecipe, RecipeTried, in_turn, suited_to, with_recipe
from tanas.networks.scoring import judgement_of
from tanas.networks.threads import in_threads
from tanas.networks.training import Fitted, Training, evaluation_of, logits_of
from tanas.tasks.performance import Evaluation
from tanas.tasks.task import Split, Task

Try = tuple[Start, str]
"""A start, and the recipe by which it is trained."""

TrainingResult = Fitted | NonFiniteError | None
"""The error: the training diverged. None: it has not come to its end."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Finished:
    """An architecture after the final training."""

    architecture: Architecture
    network: Network
    """Trained on training and validation images in the end, unless there was no refit."""
    before: Network
    """Trained on the training images alone, so validation images can judge it."""
    validation: Evaluation
    """Of `before`."""
    temperature: float
    """By which the logits of `before` had to be divided to fit the validation images best."""
    right: Tensor
    """Shares of the accuracy of `before`, (samples,), from `shares_right`."""
    fitted: Fitted
    refitted: Fitted | None

    @property
    def before_refit(self) -> Network | None:
        """`before`, if there was a refit."""
        return None if self.refitted is None else self.before


class Trainings:
    """Makes the trainings of a final training; each keeps its own state in the checkpoint."""

    def __init__(self, task: Task, config: SearchConfig, at: Context) -> None:
        self.task, self.config, self.at = task, config, at
        training = config.training.suited_to(len(task.train))
        # class weights balance the classes already
        balanced = training.balanced and task.performance == "balanced" and not training.class_weights
        self.training = replace(training, balanced=balanced)
        self.recipes = suited_to(config.recipes, task.shape)
        self._every = task.train.joined(task.validation)
        self._logits: dict[Training, Tensor] = {}

    def make(
        self,
        start: Start,
        recipe: str,
        *,
        what: str = "train",
        split: Split | None = None,
        epochs: int | None = None,
    ) -> Training:
        """Return a training by a recipe, on the training images unless others are given."""
        task, at, classes = self.task, self.at, len(self.task.classes)
        key, own = start.architecture.key, copy.deepcopy(start.network)
        if own is None:
            own = build(start.architecture, task.shape, classes, at.seed.child("weights"))
        return Training(
            own,
            task.train if split is None else split,
            replace(with_recipe(self.training, recipe), epochs=epochs or self.training.epochs),
            classes=classes,
            at=at.drawing("order").keeping(key, start.place(f"{what}-{recipe}")),
            step=f"{what} {key}{start.whose} on {task.name}, {recipe}",
        )

    def half_of_images(self, start: Start, recipe: str) -> Training | None:
        """Return a training on half of the training images with as many steps; None: too few images or epochs."""
        half = len(self.task.train) // 2
        if half < 2 * len(self.task.classes) or self.training.epochs < 2:
            return None
        fewer = self.task.limited(half).train
        epochs = 2 * self.training.epochs
        return self.make(start, recipe, what="outlook", split=fewer, epochs=epochs)

    def outlook(self, training: Training, fewer: Training) -> Outlook:
        """Compare a training with its own middle, and that with the middle of a training on half of the images."""
        half_images, half_epochs = (
            shares_right(self._logits_in_the_middle(each), self.task) for each in (fewer, training)
        )
        whole = shares_right(self.logits(training), self.task)
        return Outlook(
            half_images=1 - float(half_images.sum()),
            half_epochs=1 - float(half_epochs.sum()),
            whole=1 - float(whole.sum()),
            images_spread=float((half_images - half_epochs).square().sum().sqrt()),
            epochs_spread=float((half_epochs - whole).square().sum().sqrt()),
        )

    def _logits_in_the_middle(self, training: Training) -> Tensor:
        assert training.middle is not None
        network = training.network_at(training.middle)
        return logits_of(network, self.task.validation, device=self.at.device)

    def refit(self, training: Training, start: Start, recipe: str) -> Training:
        """Return a training that goes on from the middle of another one, with the validation images too."""
        key = start.architecture.key
        return Training(
            copy.deepcopy(training.network),
            self._every,
            training.config,
            classes=training.classes,
            at=self.at.drawing("refit").keeping(key, start.place(f"refit-{recipe}")),
            step=f"refit {key}{start.whose} on {self.task.name}, {recipe}",
            begun=training.middle,
        )

    def compete(self, scratch: Start, donors: Sequence[Start] = ()) -> tuple[ChosenRecipe, Start, Training]:
        """Train by recipes to the middle; return the one with the best validation loss, its start and its training.

        First recipes train new weights; the best of them trains every donor; then the best start is trained by the
        recipes that are tried only if a similar one leads (`tanas.networks.recipe.in_turn`). `best_try` says which is
        the best.

        Raises:
            NonFiniteError: every training diverged.
        """
        trainings: dict[Try, Training] = {}
        tried: list[RecipeTried] = []
        shares: dict[Try, Tensor] = {}

        def try_out(some: Sequence[Try]) -> None:
            fresh = {each: self.make(*each) for each in some}
            trainings.update(fresh)
            every = tuple(fresh.values())
            ended = side_by_side(every, self.at, to_middle=every)
            for each, training in fresh.items():
                result, losses = self._tried(each, training, ended[training])
                tried.append(result)
                if losses is not None:
                    shares[each] = losses

        try_out([(scratch, name) for name in in_turn(self.recipes)])
        leader = best_try(shares)
        if donors:
            try_out([(donor, self.recipes[0] if leader is None else leader[1]) for donor in donors])
        best = best_try(shares)
        if best is not None and (more := in_turn(self.recipes, best[1])):
            try_out([(best[0], name) for name in more])
            best = best_try(shares)
        if best is None:
            names = ", ".join(name for _, name in trainings)
            raise NonFiniteError(
                f"The final training diverged with every recipe: {names}. Lower its learning rate."
            )
        start, name = best
        recipe = ChosenRecipe(
            name=name,
            tried=tuple(tried) if len(tried) > 1 else (),
            judged_on=start.architecture.key,
            spent=sum(seen_to_the_middle(other) for each, other in trainings.items() if each != best),
            atom=start.atom,
        )
        return recipe, start, trainings[best]

    def _tried(
        self, tried: Try, training: Training, ended: TrainingResult
    ) -> tuple[RecipeTried, Tensor | None]:
        """The validation figures of a training in its middle, and its `loss_shares`; none if it diverged."""
        start, name = tried
        try:
            if isinstance(ended, NonFiniteError):
                raise ended
            logits = self._logits_in_the_middle(training)
            judgement, losses = judgement_of(logits, self.task), loss_shares(logits, self.task)
            loss = float(losses.sum())
            return RecipeTried(recipe=name, loss=loss, performance=judgement.score, atom=start.atom), losses
        except NonFiniteError as error:
            if len(self.recipes) == 1 and not start.atom:
                raise
            self.at.say(f"{error} The recipe '{name}'{start.whose} is left out.")
            return RecipeTried(recipe=name, loss=None, performance=None, atom=start.atom), None

    def finished(
        self,
        architecture: Architecture,
        training: Training,
        done: Mapping[Training, TrainingResult],
        refit: Training | None = None,
    ) -> Finished:
        """The trained architecture, refitted if its refit did not diverge; raises its error if its training did."""
        fitted, refitted = done[training], None if refit is None else done[refit]
        if isinstance(fitted, NonFiniteError):
            raise fitted
        assert fitted is not None
        # BatchNorm's statistics can overflow even if no loss did
        if refit is None or not isinstance(refitted, Fitted) or not self.logits(refit).isfinite().all():
            refit, refitted = training, None
        before, after = training.network, refit.network
        assert isinstance(before, Network) and isinstance(after, Network)
        logits, task = self.logits(training), self.task
        return Finished(
            architecture=architecture,
            network=after.cpu(),
            before=before.cpu(),
            temperature=best_temperature(logits, task),
            validation=evaluation_of(logits, task.validation, classes=len(task.classes)),
            right=shares_right(logits, task),
            fitted=fitted,
            refitted=refitted,
        )

    def logits(self, training: Training) -> Tensor:
        """The logits of a trained network on the validation images, (samples, classes); computed once."""
        if training not in self._logits:
            network = training.network.to(self.at.device)
            self._logits[training] = logits_of(network, self.task.validation, device=self.at.device)
        return self._logits[training]


def best_try(losses: Mapping[Try, Tensor]) -> Try | None:
    """The training that no later one beats clearly, known weights first; losses are given by their `loss_shares`.

    With few validation images, the lowest loss is often luck. So a later one takes the place of an earlier one only if
    its loss is lower by a standard error of the difference. A recipe that changes images less needs two: it loses in
    the second half of a training what it is ahead by in the first (docs/networks.md).

    Source: Breiman et al., Classification and Regression Trees, 1984, section 3.4.3, for the standard error.
    """
    ordered = sorted(losses, key=lambda each: not each[0].atom)
    if not ordered:
        return None
    best = ordered[0]
    for other in ordered[1:]:
        difference = losses[best] - losses[other]  # paired: the same images
        spread = (difference - difference.mean()).square().sum().sqrt()
        less = RECIPES[other[1]].strength < RECIPES[best[1]].strength
        if difference.sum() > (2 if less else 1) * spread:
            best = other
    return best


def seen_to_the_middle(training: Training) -> int:
    """Images that a training was given to its middle, or until it diverged; each counts once an epoch."""
    losses = training.losses if training.middle is None else training.middle["losses"]
    return len(losses) * len(training.split)


def shares_right(logits: Tensor, task: Task) -> Tensor:
    """The share of the accuracy that each validation image adds, (samples,) float64: 0 if its answer is wrong.

    Their sum is the accuracy; where performance is 'balanced', the balanced accuracy. Logits are (samples, classes).
    """
    labels = task.validation.labels
    if task.performance == "balanced":
        counts = torch.bincount(labels, minlength=len(task.classes)).double()
        weights = 1 / (counts[labels] * (counts > 0).sum())
    else:
        weights = torch.full((len(labels),), 1 / len(labels), dtype=torch.float64)
    return torch.where(logits.argmax(dim=1) == labels, weights, 0.0)


def side_by_side(
    trainings: Sequence[Training], at: Context, *, to_middle: Sequence[Training | None] = ()
) -> dict[Training, TrainingResult]:
    """Run trainings, as many at a time as there are workers, and return the result of each.

    Each training uses as many threads as this process, so results do not depend on the number of workers. Each keeps
    its state after half of the epochs; those of `to_middle` end there, and their results are None.
    """

    def run(training: Training, listener: Listener) -> TrainingResult:
        training.listener = listener
        try:
            if not training.shared:
                training.begin(training.config.epochs // 2)
            return None if training in to_middle else training.run()
        except NonFiniteError as error:
            return error

    def give_up() -> None:
        for training in trainings:
            training.abandon()

    jobs = [partial(run, training) for training in trainings]
    return dict(zip(trainings, in_threads(jobs, at.workers, at.listener, give_up=give_up), strict=True))
