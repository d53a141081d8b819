from __future__ import annotations

import math
from dataclasses import replace
from itertools import pairwise, permutations
from typing import Any

import pytest
import torch
from tests.strategies.small_search import ALTERNATING, EQUAL, SEED, TRAINING, digits, one_edge
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.lr_scheduler import LambdaLR

from tanas.ground.context import Context, Deadline
from tanas.ground.errors import SettingError
from tanas.ground.events import Event, StepAdvanced, StepFinished, StepStarted, Warned, ignore
from tanas.networks.training import TrainingConfig
from tanas.strategies.base import Stage
from tanas.strategies.mixture import Mixture, mixture_loss
from tanas.strategies.schedules import (
    Alternating,
    EqualWeights,
    Schedule,
    descend_weights,
    fit_alpha,
    weight_rate,
)
from tanas.tasks.task import Task

CANDIDATES = (one_edge("sep_conv_3x3"), one_edge("conv_3x3"), one_edge("max_pool_3x3"))
TASK = digits().limited(120).without_test()


def mixture_of(*, listener: Any = ignore) -> Mixture:
    return Mixture(CANDIDATES, TASK, at=Context(seed=SEED, device="cpu", workers=1, listener=listener))


def weights(mixture: Mixture) -> list[nn.Parameter]:
    return [parameter for network in mixture.networks for parameter in network.parameters()]


def descend(mixture: Mixture, training: TrainingConfig, at: Context) -> float:
    """One stage of w under the weights of alpha."""
    schedule = Alternating(training=training, stages=1)
    return descend_weights(mixture, TASK, schedule, at, weight_rate(mixture, TASK, schedule))


def run(
    schedule: Schedule,
    mixture: Mixture,
    *,
    task: Task = TASK,
    deadline: Deadline = lambda: math.inf,
    listener: Any = ignore,
) -> tuple[Stage, ...]:
    return schedule.run(mixture, task, at=Context(seed=SEED, deadline=deadline, listener=listener))


def drawn_logits(number: int, *, samples: int = 120, classes: int = 4) -> tuple[Tensor, Tensor]:
    """Logits of three candidates of unequal skill and confidence, and labels."""
    generator = SEED.child("logits", number).torch()
    labels = torch.randint(0, classes, (samples,), generator=generator)
    skill = torch.rand(3, generator=generator) * 3
    confidence = 10 ** (torch.rand(3, generator=generator) * 2 - 1)
    noise = torch.randn(3, samples, classes, generator=generator)
    logits = noise + skill[:, None, None] * functional.one_hot(labels, classes)
    return logits * confidence[:, None, None], labels


def loss_at(shares: Tensor, logits: Tensor, labels: Tensor) -> float:
    return float(functional.cross_entropy(torch.einsum("c,csk->sk", shares, logits.double()), labels))


def shares_on_a_grid(steps: int) -> list[Tensor]:
    return [
        torch.tensor([a, b, steps - a - b], dtype=torch.float64) / steps
        for a in range(steps + 1)
        for b in range(steps + 1 - a)
    ]


class TestFitAlpha:
    @pytest.mark.parametrize("number", range(6))
    def test_is_at_least_as_good_as_any_mixture_on_a_grid(self, number: int) -> None:
        logits, labels = drawn_logits(number)
        fitted = loss_at(fit_alpha(logits, labels).softmax(0), logits, labels)
        best = min(loss_at(shares, logits, labels) for shares in shares_on_a_grid(24))
        assert fitted <= best + 1e-6

    @pytest.mark.parametrize("number", range(12))
    def test_is_never_worse_than_equal_weights(self, number: int) -> None:
        logits, labels = drawn_logits(number, samples=20, classes=2 + number)
        fitted = loss_at(fit_alpha(logits, labels).softmax(0), logits, labels)
        assert fitted <= loss_at(torch.full((3,), 1 / 3, dtype=torch.float64), logits, labels) + 1e-12

    def test_satisfies_the_conditions_of_an_optimum_on_the_simplex(self) -> None:
        logits, labels = drawn_logits(2)
        shares = fit_alpha(logits, labels).softmax(0).requires_grad_(True)
        loss = functional.cross_entropy(torch.einsum("c,csk->sk", shares, logits.double()), labels)
        (slope,) = torch.autograd.grad(loss, shares)
        least = slope.min()
        for share, own in zip(shares.detach(), slope, strict=True):
            assert float(share * (own - least)) < 1e-5, "weight lies only where the loss falls fastest"

    def test_keeps_ties(self) -> None:
        logits, labels = drawn_logits(0)
        alpha = fit_alpha(logits[:1].expand(3, -1, -1), labels)
        assert alpha.tolist() == [1 / 3] * 3
        alpha = fit_alpha(logits[[0, 1, 1]], labels)
        assert float(alpha[1]) == pytest.approx(float(alpha[2]), abs=1e-6)

    def test_a_much_better_candidate_takes_it_all(self) -> None:
        labels = torch.arange(60) % 3
        noise = torch.randn(3, 60, 3, generator=SEED.torch())
        noise[1] = 8 * functional.one_hot(labels, 3)
        shares = fit_alpha(noise, labels).softmax(0)
        assert float(shares[1]) > 0.95
        assert torch.isfinite(fit_alpha(noise * 1e4, labels)).all()

    def test_does_not_depend_on_the_order_of_the_candidates_or_the_samples(self) -> None:
        logits, labels = drawn_logits(3)
        shares = fit_alpha(logits, labels).softmax(0)
        for order in permutations(range(3)):
            other = fit_alpha(logits[list(order)], labels).softmax(0)
            torch.testing.assert_close(other, shares[list(order)], rtol=0, atol=1e-4)
        mixed = torch.randperm(len(labels), generator=SEED.torch())
        other = fit_alpha(logits[:, mixed], labels[mixed]).softmax(0)
        torch.testing.assert_close(other, shares, rtol=0, atol=1e-4)

    def test_repeats_to_the_bit(self) -> None:
        assert torch.equal(fit_alpha(*drawn_logits(1)), fit_alpha(*drawn_logits(1)))

    def test_takes_one_candidate_and_many(self) -> None:
        logits, labels = drawn_logits(1)
        assert fit_alpha(logits[:1], labels).tolist() == [1.0]
        many = torch.cat([drawn_logits(1)[0] + i for i in range(4)])
        assert fit_alpha(many, labels).shape == (12,)

    def test_leaves_the_logits_as_they_were(self) -> None:
        logits, labels = drawn_logits(1)
        fit_alpha(logits, labels)
        assert torch.equal(logits, drawn_logits(1)[0])


@pytest.mark.parametrize("schedule", [EQUAL, ALTERNATING], ids=["equal weights", "alternating"])
class TestEverySchedule:
    def test_records_what_the_mixture_ends_with(self, schedule: Schedule) -> None:
        mixture = mixture_of()
        stages = run(schedule, mixture)
        assert stages[-1].alphas == tuple(mixture.alpha.tolist())
        assert stages[-1].weights == tuple(mixture.weights.tolist())
        for stage in stages:
            assert sum(stage.weights) == pytest.approx(1)
            assert math.isfinite(stage.train_loss)
        logits = mixture.validation_logits(TASK).double()
        loss = mixture_loss(mixture.alpha, logits, TASK.validation.labels)
        assert stages[-1].validation_loss == pytest.approx(float(loss))

    def test_trains_w_on_the_training_and_alpha_on_the_validation_images(self, schedule: Schedule) -> None:
        short = replace(schedule, stages=1) if isinstance(schedule, Alternating) else schedule
        validation = TASK.validation
        other = replace(TASK, validation=replace(validation, labels=1 - validation.labels))
        first, second = mixture_of(), mixture_of()
        run(short, first)
        run(short, second, task=other)
        for one, two in zip(weights(first), weights(second), strict=True):
            assert torch.equal(one, two), "w does not know the validation images"
        assert not torch.equal(first.alpha, second.alpha), "alpha does"

    def test_alphas_lie_on_no_lattice(self, schedule: Schedule) -> None:
        mixture = mixture_of()
        run(schedule, mixture)
        steps = (mixture.alpha - 1 / 3) / 1e-3
        assert (steps - steps.round()).abs().min() > 1e-4
        assert len(set(mixture.alpha.tolist())) == 3

    def test_own_losses_teach_each_candidate_on_its_own(self, schedule: Schedule) -> None:
        with_own = replace(schedule, own_loss=1.0)
        without, own = mixture_of(), mixture_of()
        run(replace(schedule, own_loss=0.0), without)
        stages = run(with_own, own)
        assert not any(
            torch.equal(one.head.weight, two.head.weight)
            for one, two in zip(without.networks, own.networks, strict=True)
        )
        assert all(math.isfinite(stage.train_loss) for stage in stages)

    def test_leaves_a_diverged_candidate_out_and_goes_on(self, schedule: Schedule) -> None:
        told: list[Event] = []
        mixture = mixture_of(listener=told.append)
        mixture.networks[0].head.weight.data.fill_(float("nan"))
        stages = run(schedule, mixture)
        assert mixture.dropped == {0}
        assert sum(isinstance(event, Warned) for event in told) == 1
        assert stages[-1].weights[0] == 0
        assert all(math.isfinite(value) for value in stages[-1].alphas)
        assert all(torch.isfinite(p).all() for i in (1, 2) for p in mixture.networks[i].parameters())
        assert mixture.best in (1, 2)

    def test_stops_at_the_first_chance_when_no_time_is_left(self, schedule: Schedule) -> None:
        long = replace(schedule, training=replace(schedule.training, epochs=3))
        told: list[Event] = []
        stages = run(long, mixture_of(), deadline=lambda: 0.0, listener=told.append)
        assert len(stages) == 1
        assert sum(isinstance(event, StepAdvanced) for event in told) == 1
        assert isinstance(told[-1], StepFinished)


class TestAlternating:
    def test_stops_where_alpha_no_longer_changes(self) -> None:
        stages = run(replace(ALTERNATING, stages=4, tolerance=1.0), mixture_of())
        assert len(stages) == 1
        still = replace(ALTERNATING, stages=4, tolerance=5e-3, alpha_learning_rate=1e-9)
        assert len(run(still, mixture_of())) == 1

    def test_takes_all_its_stages_while_alpha_changes(self) -> None:
        stages = run(replace(ALTERNATING, stages=3, tolerance=0.0), mixture_of())
        assert len(stages) == 3
        assert len({stage.alphas for stage in stages}) == 3

    def test_goes_on_with_the_same_optimizer_of_alpha_over_its_stages(self) -> None:
        """A fresh Adam a stage moves each alpha by its learning rate, whatever the slope."""
        schedule = replace(ALTERNATING, stages=2, tolerance=0.0, alpha_steps=1)
        first, second = (torch.tensor(stage.alphas) for stage in run(schedule, mixture_of()))
        rate = schedule.alpha_learning_rate
        torch.testing.assert_close((first - 1 / 3).abs(), torch.full((3,), rate), rtol=1e-3, atol=0)
        assert ((second - first).abs() - rate).abs().max() > 1e-2 * rate

    def test_descends_w_as_adam_does_in_the_papers_letter(self) -> None:
        letter, direct = mixture_of(), mixture_of()
        schedule = replace(ALTERNATING, stages=2, tolerance=0.0, floor=1.0)
        run(schedule, letter)
        rate = LambdaLR(torch.optim.Adam(weights(direct), lr=1e-3), lambda _: 1.0)
        for stage in range(2):
            descend_weights(direct, TASK, schedule, Context(seed=SEED.child("stage", stage)), rate)
        for own, theirs in zip(weights(letter), weights(direct), strict=True):
            torch.testing.assert_close(own, theirs, rtol=1e-3, atol=1e-4)

    def test_a_cosine_spans_all_stages(self) -> None:
        training = TrainingConfig(epochs=1, batch=20)
        rate = weight_rate(mixture_of(), TASK, Alternating(training=training, stages=3))
        rates = []
        for _ in range(18):  # six steps a stage
            rates.append(rate.get_last_lr()[0])
            rate.optimizer.step()
            rate.step()
        assert max(rates) == training.learning_rate
        assert all(a > b for a, b in pairwise(rates[1:])), "it falls over all stages"
        assert rates[-1] < training.learning_rate / 20

    def test_keeps_a_floor_under_every_weight_while_w_descends(self) -> None:
        """Alpha that has fallen for one candidate stops its learning; a floor does not let it."""

        def moved(floor: float) -> float:
            mixture = mixture_of()
            mixture.alpha = torch.tensor([60.0, 60.0, 0.0], dtype=torch.float64)
            before = mixture.networks[2].head.bias.detach().clone()
            run(replace(ALTERNATING, stages=1, floor=floor), mixture)
            return float((mixture.networks[2].head.bias.detach() - before).abs().max())

        assert moved(0.0) < 1e-8 < 1e-4 < moved(0.5)

    def test_moves_alpha_downhill(self) -> None:
        mixture = mixture_of()
        run(replace(ALTERNATING, stages=1, alpha_steps=40), mixture)
        logits = mixture.validation_logits(TASK).double()
        labels = TASK.validation.labels
        start = mixture_loss(torch.zeros(3, dtype=torch.float64), logits, labels)
        assert mixture_loss(mixture.alpha, logits, labels) < start

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"floor": 1.5}, r"The 'floor' of Alternating must be in \[0, 1\]"),
            ({"own_loss": -1.0}, "The 'own_loss' of Alternating must be at least 0"),
            ({"alpha_steps": 0}, "The 'alpha_steps' of Alternating must be at least 1"),
            ({"alpha_learning_rate": 0.0}, "The 'alpha_learning_rate' of Alternating must be greater than 0"),
            ({"stages": 0}, "The 'stages' of Alternating must be at least 1"),
            ({"tolerance": 2.0}, r"The 'tolerance' of Alternating must be in \[0, 1\]"),
        ],
    )
    def test_a_setting_outside_its_range_is_refused(self, wrong: dict[str, Any], message: str) -> None:
        with pytest.raises(SettingError, match=message):
            Alternating(**wrong)


class TestEqualWeights:
    def test_gives_all_candidates_the_same_weight_while_w_descends_whatever_alpha_is(self) -> None:
        even, uneven = mixture_of(), mixture_of()
        uneven.alpha = torch.tensor([9.0, 0.0, -9.0], dtype=torch.float64)
        run(EQUAL, even)
        run(EQUAL, uneven)
        for one, two in zip(weights(even), weights(uneven), strict=True):
            assert torch.equal(one, two)

    def test_the_own_loss_of_a_candidate_without_others_leads_where_the_mixtures_does(self) -> None:
        """A mixture of one is the candidate: its own loss is the mixture's."""
        recipe = replace(TRAINING, schedule="constant", weight_decay=0, learning_rate=1e-3)

        def trained(own_loss: float) -> list[Tensor]:
            mixture = Mixture(
                CANDIDATES[:1], TASK, at=Context(seed=SEED, device="cpu", workers=1, listener=ignore)
            )
            run(EqualWeights(training=recipe, own_loss=own_loss), mixture)
            return [p.detach() for p in weights(mixture)]

        for one, two in zip(trained(0.0), trained(3.0), strict=True):  # Adam does not mind the scale
            torch.testing.assert_close(one, two, rtol=1e-2, atol=1e-3)

    def test_a_negative_weight_of_own_losses_is_refused(self) -> None:
        with pytest.raises(SettingError, match="The 'own_loss' of EqualWeights must be at least 0"):
            EqualWeights(own_loss=-0.5)


class TestDescendWeights:
    def test_is_the_plain_training_of_the_mixture(self) -> None:
        """Against three networks trained by autograd on the loss as section 3.3 writes it."""
        mixture, direct = mixture_of(), mixture_of()
        recipe = replace(TRAINING, schedule="constant", weight_decay=0, learning_rate=1e-3)
        mean = descend(mixture, recipe, Context(seed=SEED))
        optimizer = torch.optim.AdamW(weights(direct), lr=1e-3, weight_decay=0)
        order = torch.randperm(len(TASK.train), generator=SEED.child("epoch", 0).torch())
        total = 0.0
        for which in order.split(recipe.batch):
            pixels = TASK.train.pixels(which).to(memory_format=torch.channels_last)
            mixed = sum(network.train()(pixels) for network in direct.networks) / 3
            loss = functional.cross_entropy(mixed, TASK.train.labels[which])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            total += loss.item() * len(which)
        assert mean == pytest.approx(total / len(TASK.train), rel=1e-4)
        for own, theirs in zip(weights(mixture), weights(direct), strict=True):
            torch.testing.assert_close(own, theirs, rtol=1e-3, atol=5e-4)

    def test_tells_its_epochs(self) -> None:
        told: list[Event] = []
        two = replace(TRAINING, epochs=2)
        descend(mixture_of(), two, Context(seed=SEED, listener=told.append))
        assert [type(event) for event in told] == [StepStarted, StepAdvanced, StepAdvanced, StepFinished]
        assert isinstance(told[0], StepStarted)
