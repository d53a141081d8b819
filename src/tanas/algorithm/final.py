"""The final training: choice of a recipe, comparison on validation images, refit on all images; then the test, once."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from PIL import Image
from torch import Tensor

from tanas.algorithm.presets import SearchConfig
from tanas.algorithm.result import Mistake, Outlook
from tanas.algorithm.target import Target, warn_of_gaps
from tanas.algorithm.time_limit import in_time
from tanas.algorithm.trainings import Finished, Trainings, seen_to_the_middle, side_by_side
from tanas.algorithm.warm_start import Start
from tanas.ground.context import Context
from tanas.ground.errors import NonFiniteError
from tanas.ground.events import StepFinished, StepStarted
from tanas.networks.architecture import Architecture, Network
from tanas.networks.calibration import calibrate, calibration_error
from tanas.networks.recipe import ChosenRecipe
from tanas.networks.scoring import unscored
from tanas.networks.training import TrainingConfig, evaluation_of, logits_of
from tanas.spaces.reference import reference_architecture
from tanas.spaces.space import SearchSpace
from tanas.strategies.base import Outcome
from tanas.tasks.performance import Evaluation
from tanas.tasks.task import Split, Task

MISTAKES = 24
"""Wrong answers that are kept as pictures."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Ending:
    """The result of the final training."""

    recipe: ChosenRecipe
    settings: TrainingConfig
    """Of the final training by this recipe."""
    found: Finished
    """The searched network."""
    reference: Finished | None
    """The reference network; None: not wanted, equal to the searched architecture, or diverged with every recipe."""
    replaces: bool
    """Whether the reference network may be handed over instead of the searched network."""
    outlook: Outlook | None = None
    """None: not wanted, or too few images."""
    alike: bool = False
    """Whether the searched architecture is that of the reference network, which is then not trained again."""
    start: Start
    """What the training of the reference network began with; if there is none, that of the searched network."""

    @property
    def reference_taken(self) -> bool:
        """Whether the reference network is handed over, because the searched network is not clearly better."""
        return self.taken is not self.found

    @property
    def taken(self) -> Finished:
        """The network that is handed over."""
        if self.reference is None or not self.replaces:
            return self.found
        return self.found if clearly_better(self.found.right, self.reference.right) else self.reference

    @property
    def donor(self) -> Start | None:
        """The related task's network with whose weights the network that is handed over began; None: new weights."""
        began = self.reference is None or self.reference_taken
        return self.start if began and self.start.atom else None

    @property
    def other(self) -> Finished | None:
        """The network that is not handed over, if there were two."""
        return self.found if self.reference_taken else self.reference


@dataclass(frozen=True, kw_only=True)
class Examined:
    """A network's answers on the test split."""

    evaluation: Evaluation
    mistakes: tuple[Mistake, ...]
    calibration_error: float
    """See `tanas.networks.calibration.calibration_error`."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Trained:
    """The network that is handed over, tested."""

    ending: Ending
    outcome: Outcome
    """Of the search; its best architecture is the one that is handed over."""
    test: Split
    """The opened test split."""
    examined: Examined


def train(
    outcome: Outcome,
    space: SearchSpace,
    target: Target,
    at: Context,
    *,
    network: Network | None = None,
    replaces: bool = False,
    donors: Sequence[Start] = (),
) -> Trained:
    """Train the best architecture of a search and the reference network of the space, then open the test split.

    `network`, `replaces` and `donors` are those of `finish`.

    Raises:
        NonFiniteError: the training diverged with every recipe, or that of the searched architecture did.
        TaskError: the test split was opened before.
    """
    task, config = target.task, target.config
    with at.phase("train"):
        reference = reference_architecture(space, task.shape, len(task.classes)) if config.reference else None
        final = at.child("final")
        ending = finish(
            Start(architecture=outcome.best, network=network),
            task,
            config,
            final,
            reference=reference,
            replaces=replaces,
            donors=donors,
        )
        taken = ending.taken
        calibrate(taken.network, taken.temperature)
        test = target.sealed.open()
        examined = examine(taken.network, task, test, at)
    return Trained(ending=ending, outcome=taking(ending, outcome, task), test=test, examined=examined)


def finish(
    searched: Start,
    task: Task,
    config: SearchConfig,
    at: Context,
    *,
    reference: Architecture | None = None,
    replaces: bool = False,
    donors: Sequence[Start] = (),
) -> Ending:
    """Train the searched architecture and the reference network on all images except the test split.

    Every recipe trains the reference network for half of the epochs (without a reference, the searched architecture).
    The best recipe on validation images goes on (see `Trainings.compete`), and trains the searched architecture too;
    validation images compare both. The network that is handed over gets validation images in a refit: the second half
    of its training is done again with training and validation images.

    With `replaces`, the reference network is handed over unless the searched network is `clearly_better`.

    `donors` are networks of known tasks that compete with new weights. Unless new weights are clearly better, one of
    them takes the place of the reference network, and `replaces` holds.

    Raises:
        NonFiniteError: the training diverged with every recipe, or that of the searched architecture did.
    """
    architecture = searched.architecture
    alike = reference is not None and reference.canonical() == architecture.canonical()
    if alike:
        at.say("The search ended with the reference network, which needs no search.")
        reference = None
    config = in_time(architecture, reference, task, config, at, donors=len(donors))
    trainings = Trainings(task, config, at)
    try:
        scratch = searched if reference is None else Start(architecture=reference)
        recipe, start, chosen = trainings.compete(scratch, donors)
        if start.atom:
            at.say(f"The training goes on with weights of {start.atom}: new weights are not clearly better.")
        found, compared = chosen, None
        if reference is not None:
            found, compared = trainings.make(searched, recipe.name), chosen
        refit = trainings.refit(chosen, start, recipe.name) if config.refit else None
        fewer = trainings.half_of_images(start, recipe.name) if config.outlook else None
        own = () if found is chosen else (found,)  # first, as it has both halves to do
        done = side_by_side([*own, chosen, *filter(None, [refit, fewer])], at, to_middle=[fewer])
        if compared is not None and isinstance(error := done[compared], NonFiniteError):
            raise error
    except NonFiniteError as error:
        if reference is None:
            raise
        at.warn(f"{error} The network is not compared with the reference network.")
        return finish(searched, task, config, at, donors=donors)

    ending = Ending(
        recipe=recipe,
        settings=chosen.config,
        found=trainings.finished(start.architecture if found is chosen else architecture, found, done),
        reference=None if reference is None else trainings.finished(start.architecture, chosen, done, refit),
        replaces=replaces or bool(start.atom),
        outlook=None if fewer is None or done[fewer] is not None else trainings.outlook(chosen, fewer),
        alike=alike,
        start=start,
    )
    if fewer is not None:
        recipe = replace(recipe, spent=recipe.spent + seen_to_the_middle(fewer))
        ending = replace(ending, recipe=recipe)
    if ending.reference_taken:
        which = f"with weights of {start.atom}" if start.atom else "which needs no search"
        at.say(
            f"You get the reference network, {which}: the other one is not clearly better on validation images."
        )
    elif config.refit:
        if reference is not None:
            refit = trainings.refit(found, searched, recipe.name)
            done |= side_by_side([refit], at)
        ending = replace(ending, found=trainings.finished(ending.found.architecture, found, done, refit))
    if config.refit and ending.taken.refitted is None:
        at.warn(
            "The refit on training and validation images diverged, so the network that was trained on the training "
            "images alone is handed over. Lower the learning rate of the final training."
        )
    return ending


def clearly_better(one: Tensor, other: Tensor) -> bool:
    """Whether a network is better than another by more than two standard errors of their difference.

    Both are given by their `shares_right`. With a few hundred validation images, the better of two networks is often
    better by chance (docs/networks.md).

    Source: McNemar, Note on the sampling error of the difference between correlated proportions, 1947; its two-sided
    test at 5 %.
    """
    difference = one - other  # paired: both answer the same images
    return bool(difference.sum() > 2 * difference.square().sum().sqrt())


def examine(network: Network, task: Task, test: Split, at: Context) -> Examined:
    """Count a network's answers on the opened test split, and keep its worst mistakes."""
    step = f"test on {task.name}"
    at.tell(StepStarted(step=step, total=1, unit="networks"))
    warn_of_gaps(task, "test", test, at)
    logits = logits_of(network.to(at.device), test, device=at.device)
    network.cpu()
    at.tell(StepFinished(step=step))
    evaluation = evaluation_of(logits, test, classes=len(task.classes))
    return Examined(
        evaluation=evaluation,
        mistakes=_mistakes(logits, test, task.classes),
        calibration_error=calibration_error(logits, test.labels, balanced=task.performance == "balanced"),
    )


def taking(ending: Ending, outcome: Outcome, task: Task) -> Outcome:
    """Return the outcome of a search with the architecture that is handed over as its best."""
    best = ending.taken.architecture
    if best == outcome.best:
        return outcome
    seen = outcome.seen
    if all(candidate.architecture != best for candidate in seen):
        seen = (*seen, unscored(best, task))
    return replace(outcome, best=best, seen=seen)


def _mistakes(logits: Tensor, test: Split, classes: tuple[str, ...]) -> tuple[Mistake, ...]:
    """The most confident wrong answers, most confident first."""
    confidence, answers = logits.softmax(dim=1).max(dim=1)  # (samples,)
    wrong = torch.nonzero(answers != test.labels).flatten()
    wrong = wrong[confidence[wrong].argsort(descending=True, stable=True)][:MISTAKES]
    return tuple(
        Mistake(
            truth=classes[int(test.labels[i])],
            answer=classes[int(answers[i])],
            confidence=round(float(confidence[i]), 6),
            png=_png(test.images[test.rows[i]]),
        )
        for i in wrong.tolist()
    )


def _png(image: Tensor) -> str:
    pixels = image.permute(1, 2, 0).numpy()  # (height, width, channels)
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).save(buffer, format="png")
    return base64.b64encode(buffer.getvalue()).decode()
