from __future__ import annotations

from typing import Any

import pytest
import torch
from tests.strategies.small_search import LARGE, SEED, digits, one_edge
from torch import Tensor
from torch.nn import functional

from tanas.ground.context import Context
from tanas.ground.errors import SearchError
from tanas.ground.events import Event, Warned, ignore
from tanas.networks.architecture import build
from tanas.networks.scoring import judged
from tanas.strategies.mixture import Mixture, mixture_loss, side_by_side

CANDIDATES = (one_edge("sep_conv_3x3"), one_edge("conv_3x3"), one_edge("max_pool_3x3", LARGE))


def mixture_of(candidates: Any = CANDIDATES, *, workers: int = 1, listener: Any = ignore) -> Mixture:
    return Mixture(
        candidates, digits(), at=Context(seed=SEED, device="cpu", workers=workers, listener=listener)
    )


def batch() -> tuple[Tensor, Tensor]:
    which = torch.arange(32)
    pixels = digits().train.pixels(which).to(memory_format=torch.channels_last)
    return pixels, digits().train.labels[which]


def descend(mixture: Mixture) -> float:
    with side_by_side(mixture.workers) as pool:
        return mixture.descend(*batch(), pool)


def gradients(mixture: Mixture) -> list[Tensor | None]:
    return [parameter.grad for network in mixture.networks for parameter in network.parameters()]


class TestStart:
    def test_alpha_starts_at_one_over_the_number_of_candidates(self) -> None:
        for number in (1, 2, 3):
            mixture = mixture_of(CANDIDATES[:number])
            assert mixture.alpha.tolist() == [1 / number] * number
            assert mixture.weights.tolist() == pytest.approx([1 / number] * number)
            assert mixture.best == 0

    def test_networks_are_fresh_and_know_the_tasks_pixels(self) -> None:
        mixture = mixture_of()
        for place, network in enumerate(mixture.networks):
            fresh = build(CANDIDATES[place], digits().shape, 2, SEED.child("weights", place))
            assert torch.equal(network.head.weight, fresh.head.weight)
            torch.testing.assert_close(network.norm.mean.flatten(), digits().train.pixels().mean()[None])

    def test_equal_candidates_in_other_places_begin_with_other_weights(self) -> None:
        first, second = mixture_of((CANDIDATES[0], CANDIDATES[0])).networks
        assert not torch.equal(first.head.weight, second.head.weight)


class TestDescend:
    @pytest.mark.parametrize("alpha", [[1 / 3, 1 / 3, 1 / 3], [2.0, -1.0, 0.5], [-30.0, 0.0, 30.0]])
    @pytest.mark.parametrize("workers", [1, 3])
    def test_gradients_are_those_of_the_mixtures_loss(self, alpha: list[float], workers: int) -> None:
        mixture, direct = mixture_of(workers=workers), mixture_of()
        mixture.alpha = torch.tensor(alpha, dtype=torch.float64)
        loss = descend(mixture)

        pixels, labels = batch()
        shares = torch.tensor(alpha, dtype=torch.float64).softmax(0).float()
        mixed = sum(s * network(pixels) for s, network in zip(shares, direct.networks, strict=True))
        expected = functional.cross_entropy(mixed, labels)  # type: ignore[arg-type]
        expected.backward()  # type: ignore[no-untyped-call]
        assert loss == pytest.approx(expected.item())
        for own, theirs in zip(gradients(mixture), gradients(direct), strict=True):
            torch.testing.assert_close(own, theirs, rtol=1e-4, atol=2e-6)

    @pytest.mark.parametrize(
        ("floor", "own_loss", "shares"),
        [
            (0.0, 0.0, (0.5, 0.25, 0.25)),
            (1.0, 0.0, (1 / 3, 1 / 3, 1 / 3)),
            (0.5, 0.0, (5 / 12, 7 / 24, 7 / 24)),
            (0.0, 2.0, (0.5, 0.25, 0.25)),
            (1.0, 1.0, (1 / 3, 1 / 3, 1 / 3)),
        ],
    )
    def test_gradients_are_those_of_the_floored_mixtures_loss_and_the_candidates_own(
        self, floor: float, own_loss: float, shares: tuple[float, ...]
    ) -> None:
        mixture, direct = mixture_of(), mixture_of()
        mixture.alpha = torch.tensor([0.5, 0.25, 0.25], dtype=torch.float64).log()
        with side_by_side(mixture.workers) as pool:
            loss = mixture.descend(*batch(), pool, floor=floor, own_loss=own_loss)

        pixels, labels = batch()
        outputs = [network(pixels) for network in direct.networks]
        mixed = functional.cross_entropy(
            torch.stack([share * one for share, one in zip(shares, outputs, strict=True)]).sum(dim=0), labels
        )
        own = torch.stack([functional.cross_entropy(one, labels) for one in outputs]).sum()
        (mixed + own_loss * own).backward()  # type: ignore[no-untyped-call]
        assert loss == pytest.approx(mixed.item()), "what is told is the loss of the mixture alone"
        for mine, theirs in zip(gradients(mixture), gradients(direct), strict=True):
            torch.testing.assert_close(mine, theirs, rtol=1e-4, atol=5e-6)

    def test_gradients_are_the_same_bits_with_any_number_of_workers(self) -> None:
        one, three = mixture_of(workers=1), mixture_of(workers=3)
        assert descend(one) == descend(three)
        for own, theirs in zip(gradients(one), gradients(three), strict=True):
            assert own is not None
            assert theirs is not None
            assert torch.equal(own, theirs)

    def test_gives_alpha_no_gradient(self) -> None:
        mixture = mixture_of()
        descend(mixture)
        assert not mixture.alpha.requires_grad
        assert mixture.alpha.tolist() == [1 / 3] * 3

    def test_puts_the_number_of_threads_back_also_after_an_error(self) -> None:
        before = torch.get_num_threads()
        with pytest.raises(ValueError, match="stop"), side_by_side(1):
            assert torch.get_num_threads() == 1
            raise ValueError("stop")
        assert torch.get_num_threads() == before


class TestDropping:
    def test_a_candidate_that_is_no_number_goes_with_a_warning_and_the_others_stay_finite(self) -> None:
        told: list[Event] = []
        mixture = mixture_of(listener=told.append)
        mixture.networks[1].head.weight.data[0, 0] = float("nan")
        loss = descend(mixture)

        pixels, labels = batch()
        others = [mixture.networks[0], mixture.networks[2]]
        expected = functional.cross_entropy(sum(network(pixels) / 2 for network in others), labels)  # type: ignore[arg-type]
        assert loss == pytest.approx(expected.item())
        assert mixture.active == [0, 2]
        assert mixture.weights.tolist() == pytest.approx([0.5, 0, 0.5])
        (warned,) = told
        assert isinstance(warned, Warned) and CANDIDATES[1].key in warned.message
        for network in others:
            for parameter in network.parameters():
                assert parameter.grad is not None
                assert torch.isfinite(parameter.grad).all()
        assert all(parameter.grad is None for parameter in mixture.networks[1].parameters())
        descend(mixture)
        assert len(told) == 1, "it is warned of once"

    def test_it_can_also_be_seen_on_the_validation_images(self) -> None:
        told: list[Event] = []
        mixture = mixture_of(listener=told.append)
        mixture.networks[0].head.bias.data[0] = float("inf")
        logits = mixture.validation_logits(digits())
        assert logits.shape == (2, len(digits().validation), 2)
        assert torch.isfinite(logits).all()
        assert mixture.active == [1, 2]
        assert len(told) == 1

    def test_a_dropped_candidate_is_never_the_best(self) -> None:
        mixture = mixture_of()
        mixture.alpha = torch.tensor([0.0, 9.0, 1.0], dtype=torch.float64)
        assert mixture.best == 1
        mixture.drop(1)
        assert mixture.best == 2
        assert float(mixture.weights.sum()) == pytest.approx(1)

    def test_when_all_are_gone_the_search_fails_with_a_way_out(self) -> None:
        mixture = mixture_of()
        for network in mixture.networks:
            network.head.bias.data.fill_(float("nan"))
        with pytest.raises(SearchError, match=f"All 3 candidates .*{CANDIDATES[2].key}"):
            descend(mixture)


class TestShares:
    def test_lie_between_those_of_alpha_and_equal_ones(self) -> None:
        mixture = mixture_of()
        mixture.alpha = torch.tensor([0.0, 50.0, 0.0], dtype=torch.float64)
        assert mixture.shares(0.0).tolist() == mixture.weights.tolist()
        assert mixture.shares(1.0).tolist() == pytest.approx([1 / 3] * 3)
        assert mixture.shares(0.6).tolist() == pytest.approx([0.2, 0.6, 0.2])

    def test_leave_dropped_candidates_without_weight(self) -> None:
        mixture = mixture_of()
        mixture.drop(1)
        for floor in (0.0, 0.5, 1.0):
            assert mixture.shares(floor).tolist() == pytest.approx([0.5, 0, 0.5])


class TestJudgements:
    def test_are_those_of_each_candidate_on_its_own(self) -> None:
        mixture = mixture_of()
        expected = tuple(judged(network, digits()) for network in mixture.networks)
        assert mixture.judgements(digits()) == expected

    def test_take_the_last_answers_as_long_as_the_weights_stand_still(self) -> None:
        asked: list[int] = []
        mixture = mixture_of()
        for network in mixture.networks:
            network.register_forward_hook(lambda *_: asked.append(1))
        mixture.validation_logits(digits())
        once = len(asked)
        before = mixture.judgements(digits())
        assert len(asked) == once > 0
        with torch.no_grad():
            for network in mixture.networks:
                network.head.bias.add_(0.1)
        descend(mixture)
        asked.clear()
        assert mixture.judgements(digits()) != before
        assert len(asked) == once

    def test_a_dropped_candidate_has_none(self) -> None:
        mixture = mixture_of()
        mixture.networks[1].head.weight.data.fill_(float("nan"))
        first, second, third = mixture.judgements(digits())
        assert second is None
        assert first is not None
        assert third is not None


class TestLoss:
    def test_is_the_cross_entropy_of_the_weighted_logits(self) -> None:
        logits = torch.randn(3, 20, 4, generator=SEED.torch(), dtype=torch.float64)
        labels = torch.randint(0, 4, (20,), generator=SEED.torch())
        alpha = torch.tensor([0.3, -1.0, 2.0], dtype=torch.float64)
        shares = alpha.exp() / alpha.exp().sum()
        mixed = shares[0] * logits[0] + shares[1] * logits[1] + shares[2] * logits[2]
        expected = -mixed.log_softmax(1)[torch.arange(20), labels].mean()
        assert float(mixture_loss(alpha, logits, labels)) == pytest.approx(expected.item())

    def test_validation_logits_are_those_of_networks_that_are_only_asked(self) -> None:
        mixture = mixture_of()
        before = [network.state_dict()["stem.1.running_mean"].clone() for network in mixture.networks]
        logits = mixture.validation_logits(digits())
        with torch.no_grad():
            for network, own, mean in zip(mixture.networks, logits, before, strict=True):
                expected = network.eval()(digits().validation.pixels())
                torch.testing.assert_close(own, expected, rtol=1e-4, atol=1e-5)
                assert torch.equal(network.state_dict()["stem.1.running_mean"], mean)


def test_a_mixture_of_one_is_that_one() -> None:
    mixture = mixture_of(CANDIDATES[:1])
    pixels, labels = batch()
    own = functional.cross_entropy(mixture_of(CANDIDATES[:1]).networks[0](pixels), labels)
    assert descend(mixture) == pytest.approx(own.item())
