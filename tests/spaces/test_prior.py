from __future__ import annotations

import math
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tanas.ground.errors import SettingError
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture
from tanas.networks.cell import Cell, pairs_of
from tanas.networks.skeleton import Skeleton
from tanas.spaces.prior import ArchitecturePrior, Evidence, learn_prior, placed
from tanas.spaces.space import SearchSpace

TASK: dict[str, Any] = {"shape": (1, 8, 8), "classes": 2}
NARROW = Skeleton(widths=(4, 4), cells=(1, 1), reductions=(False, True))
WIDE = replace(NARROW, widths=(8, 8))
DEEP = replace(NARROW, cells=(2, 1))
HALF = replace(NARROW, stem="half")
SPACE = SearchSpace(
    name="small",
    operations=("zero", "identity", "conv_3x3"),
    nodes=3,
    skeletons=(NARROW, WIDE, DEEP, HALF),
)
LARGE = replace(SPACE, nodes=4, operations=("zero", "identity", "conv_3x3", "conv_1x1", "max_pool_3x3"))
LARGE = replace(LARGE, skeletons=(*SPACE.skeletons, replace(HALF, widths=(8, 8))))
CHAIN = Cell(3, ((0, 1, "conv_3x3"), (1, 2, "identity")))
EDGE = Cell(2, ((0, 1, "conv_3x3"),))


def learnt(*evidence: tuple[Skeleton, Cell, float], space: SearchSpace = SPACE) -> ArchitecturePrior:
    return learn_prior(
        [
            Evidence(architecture=Architecture(skeleton=skeleton, cell=cell), weight=weight)
            for skeleton, cell, weight in evidence
        ],
        nodes=space.nodes,
        operations=space.operations,
        skeletons=space.skeletons,
    )


def test_without_evidence_all_skeletons_and_operations_are_alike() -> None:
    prior = learnt()
    assert prior.shares == pytest.approx((0.25,) * 4)
    assert np.allclose(prior.edges, 1 / 3)


def test_the_probability_of_an_operation_is_its_smoothed_share_of_the_weight_on_that_edge() -> None:
    prior = learnt((NARROW, CHAIN, 3.0), (NARROW, EDGE, 1.0))
    assert prior.probability((0, 1), "conv_3x3") == pytest.approx((3 + 1 / 3) / 5)
    assert prior.probability((0, 1), "zero") == pytest.approx((1 + 1 / 3) / 5)
    assert prior.probability((0, 2), "conv_3x3") == pytest.approx((1 + 1 / 3) / 5)
    assert prior.probability((1, 2), "conv_3x3") == pytest.approx((1 / 3) / 5)


def test_skeletons_gain_by_each_part_that_they_share_with_the_evidence() -> None:
    shares = dict(zip(SPACE.skeletons, learnt((WIDE, EDGE, 4.0)).shares, strict=True))
    assert shares[WIDE] > shares[NARROW] > shares[DEEP]
    assert shares[NARROW] > shares[HALF]


def test_nothing_of_the_space_has_probability_zero() -> None:
    prior = learnt((WIDE, CHAIN, 1e6))
    assert min(min(row) for row in (*prior.edges, prior.shares)) > 0
    everything = {
        Architecture(skeleton=skeleton, cell=cell)
        for cell in SPACE.enumerate_cells()
        for skeleton in SPACE.skeletons
    }
    assert all(math.isfinite(prior.log_weight(one)) for one in everything)
    drawn = replace(SPACE, prior=prior).sample(10**6, seed=Seed(0), **TASK)
    assert set(drawn) == everything
    assert len(drawn) == SPACE.size


def test_what_the_space_does_not_have_is_passed_over() -> None:
    long = Cell(4, ((0, 1, "conv_3x3"), (1, 2, "conv_3x3"), (2, 3, "conv_3x3")))
    other = Cell(2, ((0, 1, "max_pool_3x3"),))
    huge = replace(NARROW, widths=(99, 99))
    assert learnt((huge, long, 5.0), (huge, other, 5.0)).edges == learnt().edges


def test_a_cell_is_drawn_as_often_as_its_weight_says() -> None:
    prior = learnt((NARROW, CHAIN, 2.0))
    generator = Seed(3).numpy()
    drawn = Counter(cell for cell in (prior.draw_cell(generator) for _ in range(20_000)) if cell)
    cells = list(SPACE.enumerate_cells())
    weights = np.exp([prior.log_cell(cell) for cell in cells])
    shares = np.array([drawn[cell] for cell in cells]) / drawn.total()
    assert np.abs(shares - weights / weights.sum()).max() < 0.02


def test_a_placed_cell_ends_at_the_last_node() -> None:
    assert placed(CHAIN, 4) == {(0, 1): "conv_3x3", (1, 3): "identity"}
    assert pairs_of(3) == ((0, 1), (0, 2), (1, 2))


@pytest.mark.parametrize("space", [SPACE, LARGE], ids=["listed", "drawn"])
def test_a_space_with_a_prior_keeps_its_size_and_draws_what_did_well_more_often(space: SearchSpace) -> None:
    prior = learnt((WIDE, CHAIN, 20.0), space=space)
    led = replace(space, prior=prior)
    assert led.size == space.size
    many = [led.sample(3, seed=Seed(number), **TASK) for number in range(60)]
    assert all(len(set(three)) == 3 and all(space.contains(one) for one in three) for three in many)
    shares = Counter(one.skeleton.widths for three in many for one in three)
    assert shares[(8, 8)] > 0.6 * shares.total()
    first = Counter(three[0].cell for three in many)
    assert first.most_common(1)[0][0] == CHAIN


def test_the_drawn_space_is_one_that_is_not_listed() -> None:
    assert LARGE.size > 10_000


def test_the_same_seed_draws_the_same_and_fewer_are_the_first_of_many() -> None:
    for space in (SPACE, LARGE):
        led = replace(space, prior=learnt((WIDE, CHAIN, 2.0), space=space))
        ten = led.sample(10, seed=Seed(5), **TASK)
        assert ten == led.sample(10, seed=Seed(5), **TASK)
        assert ten[:4] == led.sample(4, seed=Seed(5), **TASK)
        assert ten != led.sample(10, seed=Seed(6), **TASK)


def test_limits_hold_under_a_prior_that_prefers_what_breaks_them(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the prior's draws do not find is drawn without it, so that few are not taken for all."""
    monkeypatch.setattr("tanas.spaces.space.DRAWS_AT_LEAST", 1_000)
    monkeypatch.setattr("tanas.spaces.space.DRAWS_EACH", 20)
    led = replace(LARGE, prior=learnt((WIDE, CHAIN, 50.0), space=LARGE), max_parameters=700)
    drawn = led.sample(30, seed=Seed(0), **TASK)
    assert len(drawn) == 30
    assert all(led.allows(one, **TASK) for one in drawn)
    child = drawn[0]
    for number in range(10):
        child = led.mutate(child, seed=Seed(number), **TASK)
        assert led.allows(child, **TASK)


def test_mutations_turn_to_what_did_well() -> None:
    led = replace(SPACE, prior=learnt((WIDE, CHAIN, 50.0)))
    parent = Architecture(skeleton=NARROW, cell=CHAIN)
    children = [led.mutate(parent, seed=Seed(number), **TASK).skeleton for number in range(60)]
    changed = [skeleton for skeleton in children if skeleton != NARROW]
    assert changed.count(WIDE) > 0.8 * len(changed)


def test_a_prior_of_another_space_is_refused() -> None:
    with pytest.raises(SettingError, match="'prior' of SearchSpace"):
        replace(LARGE, prior=learnt())


@pytest.mark.parametrize("operations", [("identity", "conv_3x3"), ("zero", "identity", "conv_3x3")])
def test_a_prior_of_a_space_with_two_inputs_a_node_draws_all_of_its_cells_by_their_weight(
    operations: tuple[str, ...],
) -> None:
    space = replace(SPACE, nodes=4, operations=operations, inputs=2)
    cells = list(space.enumerate_cells())
    prior = learn_prior(
        [Evidence(architecture=Architecture(skeleton=WIDE, cell=cells[-1]), weight=2.0)],
        nodes=4,
        operations=space.operations,
        skeletons=space.skeletons,
        inputs=2,
    )
    generator = Seed(2).numpy()
    drawn = Counter(cell for cell in (prior.draw_cell(generator) for _ in range(6_000)) if cell)
    assert all(space.contains(Architecture(skeleton=WIDE, cell=cell)) for cell in drawn)
    weights = np.exp([prior.log_cell(cell) for cell in cells])
    shares = np.array([drawn[cell] for cell in cells]) / drawn.total()
    assert np.abs(shares - weights / weights.sum()).max() < 0.03
    led = replace(space, prior=prior)
    assert len(set(led.sample(20, seed=Seed(0), **TASK))) == 20
