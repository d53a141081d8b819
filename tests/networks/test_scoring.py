from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
import torch
from tests.opened import opened
from torch import nn
from torch.nn import functional

from tanas.ground.checkpoints import FolderCheckpoint
from tanas.ground.context import Context
from tanas.ground.errors import NonFiniteError, SettingError
from tanas.ground.events import Event, StepAdvanced, StepStarted
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture, build, cost_of
from tanas.networks.cell import Cell
from tanas.networks.scoring import Judgement, ScoredArchitecture, ScoringConfig, judged, score, unscored
from tanas.networks.skeleton import Skeleton
from tanas.networks.training import TrainingConfig, logits_of
from tanas.tasks.library import Library
from tanas.tasks.task import Task

SEED = Seed(5)
CONFIG = ScoringConfig(images=300, training=TrainingConfig(epochs=5, batch=32))
ARCHITECTURE = Architecture(
    skeleton=Skeleton(widths=(6, 12), cells=(1, 1), reductions=(False, True)),
    cell=Cell(2, ((0, 1, "conv_3x3"),)),
)


@cache
def digits() -> Task:
    return Library().open("digits")


@cache
def scored() -> ScoredArchitecture:
    return score(ARCHITECTURE, digits(), CONFIG, at=Context(seed=SEED))


def test_a_score_is_what_the_task_calls_performance() -> None:
    assert 0.2 < (scored().score or 0) < 1
    by_accuracy = score(ARCHITECTURE, digits().measured_by("accuracy"), CONFIG, at=Context(seed=SEED))
    assert by_accuracy.score != scored().score


def test_a_score_repeats_exactly_and_depends_on_the_seed() -> None:
    assert score(ARCHITECTURE, digits(), CONFIG, at=Context(seed=SEED)) == scored()
    scores = {score(ARCHITECTURE, digits(), CONFIG, at=Context(seed=SEED.child(i))).score for i in range(3)}
    assert len(scores) > 1


def test_a_score_comes_with_the_cost_on_the_tasks_images() -> None:
    cost = cost_of(ARCHITECTURE, digits().shape, 10)
    assert (scored().parameters, scored().macs) == (cost.parameters, cost.macs)
    bare = unscored(ARCHITECTURE, digits())
    assert bare == replace(scored(), score=None)


def test_scoring_never_reaches_the_test_split() -> None:
    assert score(ARCHITECTURE, digits().without_test(), CONFIG, at=Context(seed=SEED)) == scored()
    lying = replace(digits(), _test=replace(opened(digits()), labels=9 - opened(digits()).labels))
    assert score(ARCHITECTURE, lying, CONFIG, at=Context(seed=SEED)) == scored()


def test_scoring_takes_no_more_images_than_it_says() -> None:
    told: list[Event] = []
    score(ARCHITECTURE, digits().limited(300), CONFIG, at=Context(seed=SEED, listener=told.append))
    assert score(ARCHITECTURE, digits().limited(300), CONFIG, at=Context(seed=SEED)) == scored()
    (started,) = (event for event in told if isinstance(event, StepStarted))
    assert started.step == f"score {ARCHITECTURE.key} on digits"


def test_a_score_resumes_to_the_same_value(tmp_path: Path) -> None:
    def killed(event: Event) -> None:
        if isinstance(event, StepAdvanced) and event.done == 4:
            raise KeyboardInterrupt

    checkpoint = FolderCheckpoint(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        score(ARCHITECTURE, digits(), CONFIG, at=Context(seed=SEED, listener=killed, checkpoint=checkpoint))
    assert score(ARCHITECTURE, digits(), CONFIG, at=Context(seed=SEED, checkpoint=checkpoint)) == scored()


def test_a_training_that_diverges_names_architecture_and_task() -> None:
    wild = replace(CONFIG, training=replace(CONFIG.training, learning_rate=1e30))
    with pytest.raises(NonFiniteError, match=f"'score {ARCHITECTURE.key} on digits' is nan in epoch 1"):
        score(ARCHITECTURE, digits(), wild, at=Context(seed=SEED))


def test_too_few_images_are_refused() -> None:
    with pytest.raises(
        SettingError, match="The 'images' of ScoringConfig must be at least 2. Got 1 instead."
    ):
        ScoringConfig(images=1)


def test_a_judgement_tells_networks_apart_that_are_no_better_than_a_constant() -> None:
    """Both answer class 0 for everything; the second is wrong with less confidence."""

    class Constant(nn.Module):
        def __init__(self, confidence: float) -> None:
            super().__init__()
            self.confidence = confidence

        def forward(self, pixels: torch.Tensor) -> torch.Tensor:
            return torch.tensor([self.confidence] + [0.0] * 9).expand(len(pixels), 10)

    sure, unsure = (judged(Constant(confidence), digits()) for confidence in (5.0, 1.0))
    assert sure.score == unsure.score == 0.0
    assert unsure.loss < sure.loss
    assert unsure.rank > sure.rank


def test_a_judgement_goes_by_l_before_the_loss() -> None:
    assert Judgement(score=0.2, loss=9.0).rank > Judgement(score=0.1, loss=0.5).rank


def test_the_loss_weighs_classes_as_l_does() -> None:
    task = Library().open("digits:is=8")
    network = build(ARCHITECTURE, task.shape, 2, SEED).eval()
    labels = task.validation.labels
    each = functional.cross_entropy(
        logits_of(network, task.validation).double(), labels, reduction="none"
    )  # (samples,)
    by_class = sum(float(each[labels == label].mean()) for label in (0, 1)) / 2
    assert judged(network, task).loss == pytest.approx(by_class)
    assert judged(network, task.measured_by("accuracy")).loss == pytest.approx(float(each.mean()))
    assert by_class != pytest.approx(float(each.mean()))


def test_answers_that_are_not_finite_are_not_judged() -> None:
    network = build(ARCHITECTURE, digits().shape, 10, SEED)
    with torch.no_grad():
        network.head.bias.fill_(float("nan"))
    with pytest.raises(NonFiniteError, match="logits are not finite"):
        judged(network, digits())
