from __future__ import annotations

import math
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from tanas.ground.checkpoints import Checkpoint, FolderCheckpoint, NoCheckpoint
from tanas.ground.context import Context
from tanas.ground.errors import NonFiniteError, SettingError
from tanas.ground.events import Event, StepAdvanced, StepFinished, StepStarted
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture, Network, build
from tanas.networks.augmentation import PLAIN, AugmentationConfig
from tanas.networks.cell import Cell
from tanas.networks.skeleton import Skeleton
from tanas.networks.training import (
    AbandonedError,
    Training,
    TrainingConfig,
    averaged,
    batches,
    class_weights,
    evaluate,
    evaluation_of,
    fit,
    learning_rate_at,
    log_shares,
    logits_of,
    make_optimizer,
    seconds_a_step,
)
from tanas.tasks.library import Library
from tanas.tasks.task import Split, Task

SEED = Seed(11)
CONFIG = TrainingConfig(
    epochs=3,
    batch=64,
    augmentation=AugmentationConfig(rotation=5, scale=0.1, shift=1),
    class_weights=True,
    averaging=0.9,
)
ARCHITECTURE = Architecture(
    skeleton=Skeleton(widths=(4, 6), cells=(1, 1), reductions=(False, True)),
    cell=Cell(3, ((0, 1, "sep_conv_3x3"), (1, 2, "max_pool_3x3"), (0, 2, "identity"))),
)


@cache
def digits() -> Task:
    return Library().open("digits:is=8").limited(193)


def network_of() -> Network:
    return build(ARCHITECTURE, digits().shape, 2, SEED.child("weights"))


def state_of(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in network.state_dict().items()}


def assert_same_state(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    for name, value in one.items():
        assert torch.equal(value, other[name]), name


@cache
def undisturbed() -> tuple[dict[str, Tensor], tuple[float, ...]]:
    network = network_of()
    fitted = fit(network, digits().train, CONFIG, classes=2, at=Context(seed=SEED))
    return state_of(network), fitted.losses


class Broken(nn.Module):
    """Its answer is no number from some step on."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.head = nn.Linear(64, 2)
        self.left = steps

    def forward(self, pixels: Tensor) -> Tensor:
        self.left -= self.training
        logits: Tensor = self.head(pixels.flatten(1))
        return logits if self.left >= 0 else logits * float("nan")


class WithDropout(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.Dropout(0.5), nn.Linear(16, 2))

    def forward(self, pixels: Tensor) -> Tensor:
        return self.body(pixels)  # type: ignore[no-any-return]


class TestFit:
    def test_repeats_to_the_bit_whatever_was_drawn_before(self) -> None:
        network = network_of()
        torch.rand(5)
        fitted = fit(network, digits().train, CONFIG, classes=2, at=Context(seed=SEED))
        assert_same_state(state_of(network), undisturbed()[0])
        assert fitted.losses == undisturbed()[1]
        assert len(fitted.losses) == CONFIG.epochs

    def test_learns(self) -> None:
        network = network_of()
        recipe = replace(CONFIG, epochs=8, augmentation=PLAIN, class_weights=False)
        losses = fit(network, digits().train, recipe, classes=2, at=Context(seed=SEED)).losses
        assert losses[-1] < losses[0] / 2

    @pytest.mark.parametrize("epoch", [1, 2, 3])
    def test_resumes_from_every_epoch_to_the_same_bits(
        self, epoch: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def killed(event: Event) -> None:
            if isinstance(event, StepAdvanced) and event.done == epoch:
                raise KeyboardInterrupt

        monkeypatch.setattr("tanas.networks.training.SAVED_EVERY_S", 0.0)
        checkpoint = FolderCheckpoint(tmp_path)
        with pytest.raises(KeyboardInterrupt):
            fit(
                network_of(),
                digits().train,
                CONFIG,
                classes=2,
                at=Context(seed=SEED, listener=killed, checkpoint=checkpoint),
            )
        torch.rand(5)
        network, told = network_of(), list[Event]()
        for parameter in network.parameters():
            parameter.data.fill_(0.5)  # all must come from the checkpoint
        fitted = fit(
            network,
            digits().train,
            CONFIG,
            classes=2,
            at=Context(seed=SEED, listener=told.append, checkpoint=checkpoint),
        )
        assert_same_state(state_of(network), undisturbed()[0])
        assert fitted.losses == undisturbed()[1]
        assert [event.done for event in told if isinstance(event, StepAdvanced)] == list(range(epoch + 1, 4))

    def test_resumes_to_the_same_bits_with_dropout(self, tmp_path: Path) -> None:
        def train(checkpoint: Checkpoint, killed_after: int | None = None) -> nn.Module:
            def listener(event: Event) -> None:
                if isinstance(event, StepAdvanced) and event.done == killed_after:
                    raise KeyboardInterrupt

            with SEED.initialising():
                network = WithDropout()
            fit(
                network,
                digits().train,
                replace(CONFIG, augmentation=PLAIN),
                classes=2,
                at=Context(seed=SEED, listener=listener, checkpoint=checkpoint),
            )
            return network

        checkpoint = FolderCheckpoint(tmp_path)
        with pytest.raises(KeyboardInterrupt):
            train(checkpoint, killed_after=1)
        torch.rand(3)
        assert_same_state(state_of(train(checkpoint)), state_of(train(NoCheckpoint())))

    def test_leaves_the_global_generator_as_it_was(self) -> None:
        before = torch.get_rng_state()
        fit(network_of(), digits().train, replace(CONFIG, epochs=1), classes=2, at=Context(seed=SEED))
        assert torch.equal(torch.get_rng_state(), before)

    def test_another_seed_gives_other_weights(self) -> None:
        network = network_of()
        fit(network, digits().train, CONFIG, classes=2, at=Context(seed=SEED.child("other")))
        assert not torch.equal(network.head.weight, undisturbed()[0]["head.weight"])

    def test_normalises_pixels_by_the_training_split(self) -> None:
        pixels = digits().train.pixels()
        torch.testing.assert_close(undisturbed()[0]["norm.mean"].flatten(), pixels.mean().reshape(1))
        torch.testing.assert_close(undisturbed()[0]["norm.deviation"].flatten(), pixels.std().reshape(1))

    def test_tells_each_epoch_and_leaves_the_network_ready_to_be_asked(self) -> None:
        told: list[Event] = []
        network = network_of()
        fit(
            network,
            digits().train,
            CONFIG,
            classes=2,
            at=Context(seed=SEED, listener=told.append),
            step="mine",
        )
        assert [type(event) for event in told] == [StepStarted, *[StepAdvanced] * 3, StepFinished]
        assert {event.step for event in told} == {"mine"}  # type: ignore[attr-defined]
        assert isinstance(told[0], StepStarted)
        assert told[0].total == 3
        assert not network.training

    def test_a_loss_that_is_no_number_names_the_step_and_the_epoch(self) -> None:
        message = "The training loss of 'represent digits' is nan in epoch 2. Lower the learning rate"
        with pytest.raises(NonFiniteError, match=message):
            fit(
                Broken(steps=4),
                digits().train,
                replace(CONFIG, augmentation=PLAIN),
                classes=2,
                at=Context(seed=SEED),
                step="represent digits",
            )

    def test_takes_a_split_whose_last_batch_would_be_one_image(self) -> None:
        assert len(digits().train) % 64 == 1
        network = network_of()
        seen: list[int] = []
        network.register_forward_pre_hook(lambda _, args: seen.append(len(args[0])))
        fit(network, digits().train, replace(CONFIG, epochs=1), classes=2, at=Context(seed=SEED))
        assert seen == [64, 64, 65]


class TestBatches:
    def test_hold_each_position_once_in_a_seeded_order(self) -> None:
        parts = batches(10, 4, SEED)
        assert [len(part) for part in parts] == [4, 4, 2]
        assert sorted(torch.cat(parts).tolist()) == list(range(10))
        assert torch.equal(torch.cat(parts), torch.cat(batches(10, 4, SEED)))
        assert not torch.equal(torch.cat(parts), torch.cat(batches(10, 4, SEED.child("next"))))

    def test_join_a_last_one_to_the_batch_before(self) -> None:
        assert [len(part) for part in batches(9, 4, SEED)] == [4, 5]
        assert [len(part) for part in batches(1, 4, SEED)] == [1]
        assert [len(part) for part in batches(4, 8, SEED)] == [4]


class TestTimeEstimate:
    def test_changes_neither_weights_nor_statistics_nor_gradients(self) -> None:
        network = network_of()
        fit(network, digits().train, replace(CONFIG, epochs=1), classes=2, at=Context(seed=SEED))
        network.zero_grad(set_to_none=True)
        before = state_of(network)
        assert seconds_a_step(network, digits().train, 64, "cpu") > 0
        assert_same_state(state_of(network), before)
        assert all(parameter.grad is None for parameter in network.parameters())

    def test_takes_a_split_smaller_than_a_batch(self) -> None:
        small = digits().train.subset(torch.arange(3))
        assert seconds_a_step(network_of(), small, 64, "cpu") > 0


class TestAveraging:
    def test_gives_the_mean_of_the_weights_on_the_way(self) -> None:
        layer = nn.Linear(1, 1, bias=False)
        average = averaged(layer, decay=0.9)
        values, mean = [], 0.0
        for step in range(200):
            layer.weight.data.fill_(float(step % 7))
            average.update_parameters(layer)
            decay = min(0.9, (1 + step) / (10 + step))
            mean = float(step % 7) if step == 0 else decay * mean + (1 - decay) * (step % 7)
            values.append(step % 7)
        kept = float(average.module.weight.detach())
        assert kept == pytest.approx(mean, abs=1e-4)
        assert kept != values[-1]

    def test_takes_the_statistics_of_batch_normalisation_along(self) -> None:
        network = network_of()
        fit(network, digits().train, replace(CONFIG, averaging=0.5), classes=2, at=Context(seed=SEED))
        last = network_of()
        fit(last, digits().train, replace(CONFIG, averaging=0.0), classes=2, at=Context(seed=SEED))
        own, other = state_of(network), state_of(last)
        means = [name for name in own if name.endswith("running_mean")]
        assert means and all(not torch.equal(own[name], other[name]) for name in means)
        counts = [name for name in own if name.endswith("num_batches_tracked")]
        assert all(torch.equal(own[name], other[name]) for name in counts)
        torch.testing.assert_close(own["norm.mean"], other["norm.mean"])


class TestBalanced:
    def test_a_network_answers_as_if_all_classes_were_equally_frequent(self) -> None:
        """Two classes that can't be told apart, nine of one to one of the other: the answer is a tie."""
        images = torch.full((100, 1, 4, 4), 128, dtype=torch.uint8)
        labels = torch.tensor([0] * 90 + [1] * 10)
        split = Split(images, torch.arange(100), labels, labels)
        recipe = TrainingConfig(epochs=300, batch=100, weight_decay=0, learning_rate=0.1)
        for balanced, odds in ((True, 1.0), (False, 9.0)):
            network = nn.Sequential(nn.Flatten(), nn.Linear(16, 2))
            fit(network, split, replace(recipe, balanced=balanced), classes=2, at=Context(seed=SEED))
            logits = logits_of(network, split)[0]
            assert float((logits[0] - logits[1]).exp()) == pytest.approx(odds, rel=0.02)

    def test_a_class_without_images_has_a_finite_share(self) -> None:
        shares = log_shares(torch.tensor([0, 0, 2, 0]), 3).exp()
        assert shares.tolist() == pytest.approx([0.6, 0.2, 0.2])


class TestSuited:
    @pytest.mark.parametrize(
        ("images", "epochs"), [(200, 300), (1_280, 60), (3_000, 30), (12_000, 15), (48_000, 8), (10**7, 1)]
    )
    def test_a_small_set_gets_more_epochs_and_a_large_one_fewer(self, images: int, epochs: int) -> None:
        recipe = TrainingConfig(epochs=30, least_steps=600, meant_for=3_000)
        suited = recipe.suited_to(images)
        assert suited.epochs == epochs
        assert suited.suited_to(images) == suited

    def test_epochs_that_are_meant_for_any_number_stay(self) -> None:
        assert TrainingConfig(epochs=30).suited_to(10**6).epochs == 30


class TestAbandoning:
    def test_ends_a_training_before_its_next_step(self) -> None:
        seen: list[int] = []
        network = network_of()
        training = Training(network, digits().train, CONFIG, classes=2, at=Context(seed=SEED))

        def hook(*_: Any) -> None:
            seen.append(1)
            if len(seen) == 4:  # two of the estimate, two steps
                training.abandon()

        network.register_forward_pre_hook(hook)
        with pytest.raises(AbandonedError):
            training.run()
        assert len(seen) == 4


class TestClassWeights:
    def test_are_inverse_frequencies_with_mean_one_over_the_samples(self) -> None:
        labels = torch.tensor([0] * 90 + [1] * 10)
        weights = class_weights(labels, 2)
        assert weights.tolist() == pytest.approx([100 / 180, 5.0])
        assert float(weights[labels].mean()) == pytest.approx(1)

    def test_of_classes_that_do_not_occur_are_finite(self) -> None:
        labels = torch.tensor([0, 0, 2])
        weights = class_weights(labels, 4)
        assert torch.isfinite(weights).all()
        assert float(weights[labels].mean()) == pytest.approx(1)

    def test_change_the_training(self) -> None:
        network = network_of()
        fit(network, digits().train, replace(CONFIG, class_weights=False), classes=2, at=Context(seed=SEED))
        assert not torch.equal(network.head.weight, undisturbed()[0]["head.weight"])


class TestAsking:
    def test_gives_the_same_answers_in_any_batching_and_changes_nothing(self) -> None:
        network = network_of()
        fit(network, digits().train, replace(CONFIG, epochs=1), classes=2, at=Context(seed=SEED))
        network.train()  # a careless caller
        before = state_of(network)
        every = Library().open("digits:is=8").train  # more than a batch of questions
        logits = logits_of(network, every)
        assert_same_state(state_of(network), before)
        assert not logits.requires_grad
        assert logits.shape == (len(every), 2)
        with torch.no_grad():
            torch.testing.assert_close(logits, network.eval()(every.pixels()), rtol=1e-4, atol=1e-5)

    def test_counts_answers_by_true_class(self) -> None:
        split = digits().validation
        right = functional.one_hot(split.labels, 2).float()
        assert evaluation_of(right, split, classes=2).error == 0
        constant = evaluation_of(torch.tensor([1.0, 0.0]).expand(len(split), 2), split, classes=2)
        assert constant.performance("balanced") == 0
        assert constant.error == constant.constant_error == pytest.approx(float(split.labels.float().mean()))

    @pytest.mark.parametrize("value", [math.nan, math.inf])
    def test_refuses_answers_that_are_no_numbers(self, value: float) -> None:
        network = network_of()
        network.head.bias.data[0] = value
        with pytest.raises(
            NonFiniteError, match="The network's logits are not finite. Train it with a lower"
        ):
            evaluate(network, digits().validation, classes=2)


class TestOptimizer:
    def test_decays_matrices_and_kernels_only(self) -> None:
        decayed, others = make_optimizer(network_of(), CONFIG).param_groups
        assert decayed["weight_decay"] == CONFIG.weight_decay
        assert others["weight_decay"] == 0
        assert all(parameter.dim() > 1 for parameter in decayed["params"])
        assert all(parameter.dim() <= 1 for parameter in others["params"])
        assert len(decayed["params"]) + len(others["params"]) == len(list(network_of().parameters()))

    def test_learning_rate_rises_for_a_tenth_then_falls_to_nothing(self) -> None:
        factors = np.array([learning_rate_at(CONFIG, 100)(step) for step in range(101)])
        assert factors[0] == pytest.approx(0.1)
        assert factors[9] == factors.max() == 1
        assert (np.diff(factors[10:]) < 0).all()
        assert factors[100] == pytest.approx(0)
        constant = learning_rate_at(replace(CONFIG, schedule="constant"), 100)
        assert {constant(step) for step in range(101)} == {1.0}

    @pytest.mark.parametrize("steps", [1, 2, 9])
    def test_learning_rate_suits_the_shortest_trainings(self, steps: int) -> None:
        factors = [learning_rate_at(CONFIG, steps)(step) for step in range(steps + 1)]
        assert factors[0] == 1
        assert all(0 <= factor <= 1 for factor in factors)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"epochs": 0}, "The 'epochs' of TrainingConfig must be at least 1. Got 0"),
        ({"batch": 1}, "The 'batch' of TrainingConfig must be at least 2. Got 1"),
        ({"learning_rate": 0.0}, "The 'learning_rate' of TrainingConfig must be greater than 0. Got 0.0"),
        ({"weight_decay": -1.0}, "The 'weight_decay' of TrainingConfig must be at least 0"),
        ({"averaging": 1}, "The 'averaging' of TrainingConfig must be"),
        ({"meant_for": -1}, "The 'meant_for' of TrainingConfig must be at least 0"),
        (
            {"schedule": "step"},
            "The 'schedule' of TrainingConfig must be one of cosine, constant. Got 'step'",
        ),
    ],
)
def test_a_recipe_outside_its_range_is_refused(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        TrainingConfig(**wrong)


def test_pixels_of_a_split_are_made_anew_and_can_be_changed() -> None:
    split: Split = digits().train
    split.pixels().zero_()
    assert split.pixels().max() == 1


class TestLeastSteps:
    @pytest.mark.parametrize(
        ("images", "epochs"),
        [(160, 75), (128, 150), (1280, 15), (1594, 15), (12_000, 15), (1, 150), (1279, 15), (1152, 17)],
    )
    def test_a_small_set_gets_as_many_epochs_as_give_the_steps(self, images: int, epochs: int) -> None:
        recipe = TrainingConfig(epochs=15, batch=128, least_steps=150)
        suited = recipe.suited_to(images)
        assert suited.epochs == epochs
        assert suited.epochs * len(batches(max(images, 2), 128, SEED)) >= min(150, suited.epochs)
        assert suited.suited_to(images) == suited
        assert replace(suited, epochs=15) == recipe

    def test_none_are_asked_for_unless_said(self) -> None:
        assert TrainingConfig(epochs=3).suited_to(2).epochs == 3

    def test_negative_ones_are_refused(self) -> None:
        with pytest.raises(SettingError, match="least_steps"):
            TrainingConfig(least_steps=-1)
