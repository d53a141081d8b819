from __future__ import annotations

import math
from dataclasses import replace
from itertools import islice, product

import pytest
import torch
from tests.strategies.small_search import LARGE, SCORING, SEED, SMALL, SPACE, TRAINING, tiny
from torch import Tensor, nn

from tanas.ground.checkpoints import NoCheckpoint
from tanas.ground.context import Context, Deadline
from tanas.ground.errors import SettingError
from tanas.ground.events import Event, Warned
from tanas.networks.architecture import Architecture
from tanas.networks.cell import Cell, pairs_of
from tanas.networks.operations import _REGISTRY, ZERO
from tanas.networks.skeleton import Skeleton
from tanas.spaces.prior import Evidence, learn_prior
from tanas.spaces.space import SearchSpace
from tanas.strategies.by_supernets import SupernetRun
from tanas.strategies.darts import Darts, DartsConfig, Strengths, learning_macs, strongest_cells
from tanas.strategies.driver import Problem
from tanas.strategies.supernet import mixed_macs

TASK = tiny().without_test()
CONFIG = DartsConfig(images=60, training=replace(TRAINING, epochs=2))
DARTS = Darts(CONFIG, SCORING)
WIDE = replace(SPACE, nodes=4)


def run_of(
    skeleton: Skeleton = SMALL,
    *,
    space: SearchSpace = SPACE,
    known: frozenset[Architecture] = frozenset(),
    deadline: Deadline = lambda: math.inf,
    told: list[Event] | None = None,
) -> SupernetRun:
    asked = Problem(
        space=replace(space, skeletons=(skeleton,)),
        task=TASK,
        seed_architecture=None,
        at=Context(
            seed=SEED,
            device="cpu",
            workers=1,
            deadline=deadline,
            listener=([] if told is None else told).append,
            checkpoint=NoCheckpoint(),
        ),
        budget_macs=None,
    )
    pool = asked.sample(20, SEED.child("pool"), known)
    return SupernetRun(
        number=0, problem=asked, skeleton=skeleton, task=TASK, pool=pool, known=known, seed=SEED
    )


def alpha_of(space: SearchSpace, strong: dict[tuple[int, int], dict[str, float]]) -> Tensor:
    rows = [
        [strong.get(pair, {}).get(name, 0.0) for name in space.operations] for pair in pairs_of(space.nodes)
    ]
    return torch.tensor(rows)  # (edges, operations)


def drawn_alpha(space: SearchSpace, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(len(pairs_of(space.nodes)), len(space.operations), generator=generator)


class TestStrongestCells:
    def test_each_node_keeps_its_two_strongest_edges_with_their_strongest_operation(self) -> None:
        alpha = alpha_of(
            WIDE,
            {
                (0, 1): {"sep_conv_3x3": 2},
                (0, 2): {"identity": 1},
                (1, 2): {"max_pool_3x3": 3, "sep_conv_3x3": 2},
                (0, 3): {"identity": 1},
                (1, 3): {"sep_conv_3x3": 2},
                (2, 3): {"max_pool_3x3": 4},
            },
        )
        assert next(strongest_cells(Strengths.of(alpha, WIDE))) == Cell(
            4,
            (
                (0, 1, "sep_conv_3x3"),
                (0, 2, "identity"),
                (1, 2, "max_pool_3x3"),
                (1, 3, "sep_conv_3x3"),
                (2, 3, "max_pool_3x3"),
            ),
        )

    def test_zero_is_never_taken_but_its_share_makes_an_edge_weak(self) -> None:
        alpha = alpha_of(WIDE, {(0, 3): {ZERO: 5, "sep_conv_3x3": 1}, (1, 3): {"max_pool_3x3": 0.1}})
        cell = next(strongest_cells(Strengths.of(alpha, WIDE)))
        ends = {(a, b) for a, b, _ in cell.edges}
        assert (0, 3) not in ends
        assert {(1, 3), (2, 3)} <= ends

    def test_without_zero_every_edge_stays_with_its_strongest_operation(self) -> None:
        space = replace(WIDE, operations=("identity", "max_pool_3x3", "sep_conv_3x3"))
        for seed in range(3):
            alpha = drawn_alpha(space, seed)
            names = tuple(space.operations[at] for at in alpha.argmax(dim=1).tolist())
            assert next(strongest_cells(Strengths.of(alpha, space))) == Cell.complete(4, names).canonical()

    @pytest.mark.parametrize("inputs", [1, 2])
    def test_the_inputs_of_a_space_are_kept_to(self, inputs: int) -> None:
        space = replace(WIDE, operations=("identity", "max_pool_3x3", "sep_conv_3x3"), inputs=inputs)
        cells = list(islice(strongest_cells(Strengths.of(drawn_alpha(space, 1), space)), 20))
        assert all(space.contains(Architecture(skeleton=SMALL, cell=cell)) for cell in cells)
        assert max(sum(b == end for _, b, _ in cells[0].edges) for end in range(4)) <= inputs

    def test_all_cells_of_a_small_space_come_once_and_are_in_it(self) -> None:
        given = list(strongest_cells(Strengths.of(drawn_alpha(SPACE, 0), SPACE)))
        assert len(set(given)) == len(given)
        assert set(given) == set(SPACE.enumerate_cells())  # no node has more than two before it

    def test_they_come_with_falling_products_of_shares_among_as_many_edges(self) -> None:
        space = replace(SPACE, operations=("identity", "max_pool_3x3", "sep_conv_3x3"))
        strengths = Strengths.of(drawn_alpha(space, 2), space)
        given = list(strongest_cells(strengths))
        products = {
            Cell.complete(3, names).canonical(): sum(
                strengths.logs[pair][name] for pair, name in zip(pairs_of(3), names, strict=True)
            )
            for names in product(space.operations, repeat=3)
        }
        assert given == sorted(products, key=lambda cell: -products[cell])

    def test_shares_are_over_all_operations_zero_among_them(self) -> None:
        strengths = Strengths.of(drawn_alpha(SPACE, 3), SPACE)
        assert len(strengths.logs) == len(pairs_of(SPACE.nodes))
        for row in strengths.logs.values():
            assert set(row) == set(SPACE.operations)
            assert sum(math.exp(value) for value in row.values()) == pytest.approx(1)


class TestLearning:
    def test_alpha_and_w_see_as_many_steps_and_the_costs_say_so_before(self) -> None:
        run = run_of(LARGE)
        costs = DARTS.costs(run, 5)
        for steps, images in ((1, 50), (2, 60), (4, 120), (5, 170)):  # of w, by batches of 50 and 10
            ranked = DARTS.rank(run, steps)
            assert ranked.macs == costs[steps - 1]
            assert ranked.images == 2 * images  # as many of alpha

    def test_a_step_costs_all_operations_three_times_for_w_and_twice_for_alpha(self) -> None:
        run = run_of()
        each = mixed_macs(SMALL, run.problem.space, TASK.shape, 2)
        assert learning_macs(run, 10, 0) == 30 * each
        assert learning_macs(run, 0, 10) == 20 * each

    def test_alpha_starts_nearly_alike_and_is_moved_by_validation_images(self) -> None:
        still, _, _ = DARTS.learn(run_of(), 0)
        moved, _, _ = DARTS.learn(run_of(), 4)
        assert still.abs().max() < 0.01
        assert (moved - still).abs().max() > CONFIG.alpha_rate
        swapped = replace(TASK.validation, labels=1 - TASK.validation.labels)
        other, _, _ = DARTS.learn(replace(run_of(), task=replace(TASK, validation=swapped)), 4)
        assert not torch.equal(other, moved)

    def test_alpha_starts_from_the_prior_of_the_space(self) -> None:
        cell = Cell(3, ((0, 1, "sep_conv_3x3"), (1, 2, "sep_conv_3x3")))
        held = Evidence(architecture=Architecture(skeleton=SMALL, cell=cell), weight=5.0)
        prior = learn_prior([held], nodes=SPACE.nodes, operations=SPACE.operations, skeletons=SPACE.skeletons)
        alpha, _, _ = DARTS.learn(run_of(space=replace(SPACE, prior=prior)), 0)
        shares = alpha.softmax(dim=1)
        for row, pair in zip(shares, pairs_of(SPACE.nodes), strict=True):
            wanted = [prior.probability(pair, name) for name in SPACE.operations]
            assert row.tolist() == pytest.approx(wanted, abs=0.01)
        assert shares.max() > 0.5, "else the prior says nothing"

    def test_alpha_falls_for_an_operation_that_destroys_its_input(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Noise(nn.Module):
            def forward(self, images: Tensor) -> Tensor:
                return torch.randn_like(images) * 3

        monkeypatch.setitem(_REGISTRY, "noise", lambda channels: Noise())
        space = replace(SPACE, nodes=2, operations=("noise", "sep_conv_3x3", "identity"))
        long = Darts(replace(CONFIG, training=replace(TRAINING, epochs=10, batch=20)), SCORING)
        alpha, _, _ = long.learn(run_of(space=space), 30)
        shares = dict(zip(space.operations, alpha.softmax(dim=1)[0].tolist(), strict=True))
        assert shares["noise"] == min(shares.values())
        assert shares["noise"] < 1 / 3

    def test_it_stops_at_the_deadline_and_counts_what_it_did(self) -> None:
        ranked = DARTS.rank(run_of(deadline=lambda: 0.0), 2)
        assert (ranked.macs, ranked.images) == (0, 0)
        assert next(iter(ranked.architectures)).skeleton == SMALL

    def test_steps_that_are_not_finite_leave_alpha_finite(self, monkeypatch: pytest.MonkeyPatch) -> None:
        class Broken(nn.Module):
            def forward(self, images: Tensor) -> Tensor:
                return images * torch.nan

        monkeypatch.setitem(_REGISTRY, "broken", lambda channels: Broken())
        told: list[Event] = []
        space = replace(SPACE, operations=("broken", "zero", "sep_conv_3x3"))
        alpha, _, _ = DARTS.learn(run_of(space=space, told=told), 4)
        assert torch.isfinite(alpha).all()
        assert any(isinstance(event, Warned) and "4 of 4 steps" in event.message for event in told)


class TestRanking:
    def test_what_was_tried_before_gives_way_to_the_next(self) -> None:
        first, second = islice(DARTS.rank(run_of(), 2).architectures, 2)
        again = run_of(known=frozenset([first]))
        assert next(iter(DARTS.rank(again, 2).architectures)) == second

    def test_the_limits_hold_by_descending(self) -> None:
        run = replace(run_of(LARGE), seed=SEED.child("dear"))
        free = list(DARTS.rank(run, 2).architectures)
        limit = run.problem.macs(free[0]) - 1
        tight = replace(run_of(LARGE, space=SPACE.limited(max_macs=limit)), seed=run.seed)
        kept = list(DARTS.rank(tight, 2).architectures)
        assert all(tight.problem.macs(one) <= limit for one in kept)
        assert kept[0] == next(one for one in free if tight.problem.macs(one) <= limit)

    def test_where_no_cell_that_is_looked_at_will_do_the_drawn_ones_come_by_strength(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tanas.strategies.darts.LOOKED_AT", 0)
        run = run_of()
        given = list(DARTS.rank(run, 2).architectures)
        assert sorted(given) == sorted(run.pool)
        assert [len(one.cell.edges) for one in given] == sorted(
            (len(one.cell.edges) for one in run.pool), reverse=True
        )


@pytest.mark.parametrize(
    ("field", "value"), [("runs", 0), ("finalists", 0), ("images", 1), ("alpha_rate", 0.0)]
)
def test_impossible_numbers_are_refused(field: str, value: float) -> None:
    with pytest.raises(SettingError, match=f"The '{field}' of DartsConfig must be"):
        replace(DartsConfig(), **{field: value})
