from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tests.distances.digit_tasks import PAIR, in_colour, representative_in_colour, representative_of, task_of

from tanas.distances.base import Pair
from tanas.distances.pairs import make_pair
from tanas.distances.representative import representative_from, state_of
from tanas.ground.errors import NonFiniteError, SettingError
from tanas.ground.seeds import Seed
from tanas_experiments.distances.fisher import FisherDistance, fisher_information

SEED = Seed(19)


def pair() -> Pair:
    return make_pair(representative_of(0), representative_of(3), task_of(3), PAIR, needs=FisherDistance.needs)


def test_information_is_of_all_weights_and_biases() -> None:
    representative = representative_of(0)
    information = fisher_information(representative, task_of(3).validation)
    assert information.shape == (representative.parameters,)
    assert information.min() >= 0
    network = representative_from(*state_of(representative)).network.requires_grad_(True)
    # one image, class by class
    one = task_of(3).validation.subset(torch.tensor([4]))
    expected = torch.zeros_like(information)
    logs = torch.log_softmax(network(one.pixels())[0], dim=0)
    for log in logs:
        gradients = torch.autograd.grad(log, list(network.parameters()), retain_graph=True)
        expected += log.detach().exp() * torch.cat([g.flatten() for g in gradients]).square()
    torch.testing.assert_close(fisher_information(representative, one), expected, rtol=1e-3, atol=1e-12)


def test_is_half_the_squared_difference_of_the_roots_of_shares() -> None:
    p = pair()
    shares = [f.double() / f.double().sum() for f in p.extra["fisher"]]
    expected = 0.5 * (shares[0].sqrt() - shares[1].sqrt()).square().sum()
    measurement = FisherDistance()(p, SEED)
    assert measurement.value == pytest.approx(float(expected))
    assert 0 < measurement.value < 1
    assert measurement.interval is None


def test_is_zero_for_equal_information_and_one_for_disjoint() -> None:
    p = pair()
    _, target = p.extra["fisher"]
    equal = replace(p, extra={"fisher": (7 * target, target)})
    assert FisherDistance()(equal, SEED).value == pytest.approx(0, abs=1e-9)
    half = torch.arange(len(target)) % 2 == 0
    apart = replace(p, extra={"fisher": (target * half, target * ~half)})
    assert FisherDistance()(apart, SEED).value == 1


def test_leaves_out_heads_of_different_size() -> None:
    p = pair()
    head = p.head_weight.numel() + len(p.head_bias)
    width = p.head_weight.shape[1]
    source, target = p.extra["fisher"]
    trunk, wide = source[:-head], torch.ones(5 * width + 5)
    wider = replace(
        p,
        source_head_weight=torch.zeros(5, width),
        source_head_bias=torch.zeros(5),
        extra={"fisher": (torch.cat([trunk, wide]), target)},
    )
    other = replace(wider, extra={"fisher": (torch.cat([trunk, 9 * wide]), target)})
    trunks = [f[:-head].double() for f in p.extra["fisher"]]
    expected = 1 - float(torch.stack([t / t.sum() for t in trunks]).prod(dim=0).sqrt().sum())
    assert FisherDistance()(wider, SEED).value == pytest.approx(expected)
    assert FisherDistance()(other, SEED).value == pytest.approx(expected)


class TestRefuses:
    def test_networks_of_other_shapes(self) -> None:
        painted, large = representative_in_colour(0, 12), in_colour(task_of(0), 12)
        pair = make_pair(representative_of(3), painted, large, PAIR, needs=FisherDistance.needs)
        with pytest.raises(SettingError, match="needs representatives of one architecture.*differ in shape"):
            FisherDistance()(pair, SEED)

    def test_a_pair_without_information(self) -> None:
        with pytest.raises(SettingError, match=r"Make the pair with needs=distance\.needs"):
            FisherDistance()(replace(pair(), extra={}), SEED)

    @pytest.mark.parametrize(("factor", "what"), [(0.0, "is 0"), (float("nan"), "is not finite")])
    def test_information_that_is_zero_or_not_finite_by_name(self, factor: float, what: str) -> None:
        source, target = pair().extra["fisher"]
        with pytest.raises(NonFiniteError, match=f"representative of digits:is=0 on images of .* {what}"):
            FisherDistance()(replace(pair(), extra={"fisher": (source * factor, target)}), SEED)
