from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from tests.distances.digit_tasks import PAIR, in_colour, representative_in_colour, representative_of, task_of

from tanas.distances.base import Pair
from tanas.distances.fisher import FisherDistance, fisher_information
from tanas.distances.pairs import make_pair
from tanas.distances.representative import representative_from, state_of
from tanas.ground.errors import NonFiniteError, SettingError
from tanas.ground.seeds import Seed

SEED = Seed(19)


def pair() -> Pair:
    return make_pair(representative_of(0), representative_of(3), task_of(3), PAIR, needs=("fisher",))


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
    assert p.source_fisher is not None
    assert p.target_fisher is not None
    shares = [f.double() / f.double().sum() for f in (p.source_fisher, p.target_fisher)]
    expected = 0.5 * (shares[0].sqrt() - shares[1].sqrt()).square().sum()
    measurement = FisherDistance()(p, SEED)
    assert measurement.value == pytest.approx(float(expected))
    assert 0 < measurement.value < 1
    assert measurement.interval is None


def test_is_zero_for_equal_information_and_one_for_disjoint() -> None:
    p = pair()
    assert p.target_fisher is not None
    equal = replace(p, source_fisher=7 * p.target_fisher)
    assert FisherDistance()(equal, SEED).value == pytest.approx(0, abs=1e-9)
    half = torch.arange(len(p.target_fisher)) % 2 == 0
    apart = replace(p, source_fisher=p.target_fisher * half, target_fisher=p.target_fisher * ~half)
    assert FisherDistance()(apart, SEED).value == 1


def test_leaves_out_heads_of_different_size() -> None:
    p = pair()
    assert p.source_fisher is not None
    assert p.target_fisher is not None
    head = p.head_weight.numel() + len(p.head_bias)
    width = p.head_weight.shape[1]
    wider = replace(
        p,
        source_head_weight=torch.zeros(5, width),
        source_head_bias=torch.zeros(5),
        source_fisher=torch.cat([p.source_fisher[:-head], torch.ones(5 * width + 5)]),
    )
    other = replace(wider, source_fisher=wider.source_fisher * 1)
    assert other.source_fisher is not None
    other.source_fisher[-5:] = 9.0
    trunks = [f[:-head].double() for f in (p.source_fisher, p.target_fisher)]
    expected = 1 - float(torch.stack([t / t.sum() for t in trunks]).prod(dim=0).sqrt().sum())
    assert FisherDistance()(wider, SEED).value == pytest.approx(expected)
    assert FisherDistance()(other, SEED).value == pytest.approx(expected)


class TestRefuses:
    def test_networks_of_other_shapes_before_anything_is_computed(self) -> None:
        painted, large = representative_in_colour(0, 12), in_colour(task_of(0), 12)
        with pytest.raises(SettingError, match="needs representatives of one architecture.*differ in shape"):
            make_pair(representative_of(3), painted, large, PAIR, needs=("fisher",))

    def test_information_of_other_lengths(self) -> None:
        p = pair()
        assert p.source_fisher is not None
        with pytest.raises(SettingError, match="Those of digits:is=0 and digits:is=3 differ in shape"):
            FisherDistance()(replace(p, source_fisher=p.source_fisher[1:]), SEED)

    def test_a_pair_without_information(self) -> None:
        with pytest.raises(SettingError, match=r'Make the pair with needs=\("fisher",\)'):
            FisherDistance()(replace(pair(), source_fisher=None), SEED)

    @pytest.mark.parametrize(("factor", "what"), [(0.0, "is 0"), (float("nan"), "is not finite")])
    def test_information_that_is_nothing_or_no_number_by_name(self, factor: float, what: str) -> None:
        p = pair()
        assert p.source_fisher is not None
        with pytest.raises(NonFiniteError, match=f"representative of digits:is=0 on images of .* {what}"):
            FisherDistance()(replace(p, source_fisher=p.source_fisher * factor), SEED)
