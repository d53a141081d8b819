from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import pytest
import torch
from tests.strategies.small_search import LARGE, SCORING, SEED, SMALL, SPACE, TRAINING, one_edge, tiny
from torch import Tensor, nn

from tanas.ground.checkpoints import NoCheckpoint
from tanas.ground.context import Context, Deadline
from tanas.ground.errors import SettingError
from tanas.ground.events import Event, StepAdvanced, StepStarted, Warned
from tanas.networks.architecture import Architecture, build, count_cost
from tanas.networks.cell import Cell, CellNetwork, pairs_of
from tanas.networks.operations import ZERO
from tanas.networks.scoring import ScoringConfig
from tanas.networks.skeleton import Skeleton
from tanas.spaces.costs import cost_by_parts
from tanas.spaces.prior import placed
from tanas.spaces.space import SearchSpace
from tanas.strategies.base import Outcome, training_macs
from tanas.strategies.by_supernets import (
    MOST_LONGER,
    BySupernets,
    Descent,
    Ranked,
    SupernetRun,
    each_batch,
)
from tanas.strategies.driver import Problem, search
from tanas.strategies.shared import SharedConfig
from tanas.strategies.supernet import SharedCell, Supernet, mixed_macs, mixing

TASK = tiny().without_test()
COST = 1_000_000
"""Of a step of a supernet: more than that of a score here."""
IMAGES = 60
"""Of a score: one epoch of all."""
CELLS = (
    Cell(2, ((0, 1, "sep_conv_3x3"),)),
    Cell(3, ((0, 1, "max_pool_3x3"), (1, 2, "sep_conv_3x3"))),
    Cell(3, ((0, 1, "sep_conv_3x3"), (0, 2, "identity"), (1, 2, "max_pool_3x3"))),
    Cell(
        4, ((0, 1, "sep_conv_3x3"), (0, 2, "identity"), (1, 3, "max_pool_3x3"), (2, 3, "sep_conv_3x3"))
    ).canonical(),
)
WIDE = replace(SPACE, nodes=4)


def supernet(skeleton: Skeleton = LARGE, *, affine: bool = True, space: SearchSpace = WIDE) -> Supernet:
    with SEED.initialising():
        return Supernet(skeleton, space, TASK.shape, 2, affine=affine)


def asked_of(
    space: SearchSpace = SPACE,
    *,
    seed_architecture: Architecture | None = None,
    budget_macs: int | None = None,
    deadline: Deadline = lambda: math.inf,
    told: list[Event] | None = None,
) -> Problem:
    return Problem(
        space=space,
        task=TASK,
        seed_architecture=seed_architecture,
        at=Context(
            seed=SEED,
            device="cpu",
            workers=1,
            deadline=deadline,
            listener=([] if told is None else told).append,
            checkpoint=NoCheckpoint(),
        ),
        budget_macs=budget_macs,
    )


def run_of(asked: Problem, skeleton: Skeleton = SMALL) -> SupernetRun:
    pool = asked.sample(3, SEED, ())
    return SupernetRun(
        number=0, problem=asked, skeleton=skeleton, task=TASK, pool=pool, known=frozenset(), seed=SEED
    )


class TestSupernet:
    @pytest.mark.parametrize("cell", CELLS, ids=lambda cell: str(len(cell.edges)))
    def test_a_path_answers_as_the_network_of_its_cell_with_the_same_weights(self, cell: Cell) -> None:
        shared = supernet()
        alone = build(Architecture(skeleton=LARGE, cell=cell), TASK.shape, 2, SEED.child("other"))
        alone.norm.load_state_dict(shared.norm.state_dict())
        for mine, theirs in ((shared.stem, alone.stem), (shared.head, alone.head)):
            theirs.load_state_dict(mine.state_dict(), strict=False)  # the averages of BatchNorm stay
        edges = pairs_of(4)
        where = {pair: edges.index(pair) for pair in placed(cell, 4)}
        for stage, plain in zip(shared.stages, alone.stages, strict=True):
            for at, (mine, theirs) in enumerate(zip(stage, plain, strict=True)):
                if at == 0:
                    theirs.load_state_dict(mine.state_dict(), strict=False)
                    continue
                assert isinstance(theirs, CellNetwork)
                for (pair, name), operation in zip(placed(cell, 4).items(), theirs.operations, strict=True):
                    taken = mine.edges[where[pair]][shared.names.index(name)]
                    operation.load_state_dict(taken.state_dict(), strict=False)
        pixels = TASK.train.pixels()[:20]
        torch.testing.assert_close(shared(pixels, shared.path(cell)), alone.train()(pixels))

    def test_two_cells_share_the_weights_of_the_operations_that_both_have(self) -> None:
        shared = supernet(SMALL)
        pixels, labels = TASK.train.pixels()[:30], TASK.train.labels[:30]
        other = Cell(3, ((0, 2, "sep_conv_3x3"), (0, 1, "identity"), (1, 2, "max_pool_3x3")))
        before = {one: shared(pixels, shared.path(one)) for one in CELLS}
        weights = [p for edge in (3,) for p in shared.stages[0][1].edges[edge].parameters()]  # (0, 3)
        loss = torch.nn.functional.cross_entropy(shared(pixels, shared.path(CELLS[0])), labels)
        gradients = torch.autograd.grad(loss, weights)
        with torch.no_grad():
            for weight, gradient in zip(weights, gradients, strict=True):
                weight -= gradient
        changed = [not torch.equal(before[one], shared(pixels, shared.path(one))) for one in CELLS]
        assert changed == [True, False, False, False], "only the first has an operation on that edge"
        assert torch.isfinite(shared(pixels, shared.path(other))).all()

    def test_mixing_with_all_weight_on_one_operation_is_the_path_of_that_operation(self) -> None:
        shared = supernet()
        names = ("sep_conv_3x3", "identity", "max_pool_3x3", "identity", "sep_conv_3x3", "sep_conv_3x3")
        weights = torch.zeros(6, len(shared.names))
        for edge, name in enumerate(names):
            weights[edge, shared.names.index(name)] = 1
        pixels = TASK.train.pixels()[:20]
        held = dict(zip(pairs_of(4), names, strict=True))
        cell = Cell(4, tuple((a, b, name) for (a, b), name in held.items()))
        torch.testing.assert_close(shared(pixels, mixing(weights)), shared(pixels, shared.path(cell)))

    def test_zero_is_no_operation_of_it(self) -> None:
        assert ZERO not in supernet().names
        assert set(supernet().names) == set(SPACE.operations) - {ZERO}

    def test_answers_do_not_depend_on_what_was_answered_before(self) -> None:
        shared = supernet()
        pixels = TASK.train.pixels()
        passes = shared.path(CELLS[2])
        first = shared.eval()(pixels[:20], passes)
        shared.train()(pixels[20:], passes)
        assert torch.equal(shared.eval()(pixels[:20], passes), first)

    def test_only_cells_lose_the_scale_and_shift_of_batchnorm(self) -> None:
        shared = supernet(affine=False)
        within = [m for m in shared.stages.modules() if isinstance(m, SharedCell)]
        norms = [m for cell in within for m in cell.modules() if isinstance(m, nn.BatchNorm2d)]
        assert norms
        assert all(norm.weight is None and norm.bias is None for norm in norms)
        stem = shared.stem[1]
        assert isinstance(stem, nn.BatchNorm2d)
        assert stem.weight is not None

    @pytest.mark.parametrize("skeleton", [SMALL, LARGE])
    def test_the_cost_of_mixing_is_that_of_all_its_operations(self, skeleton: Skeleton) -> None:
        shared = supernet(skeleton)

        class Mixed(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.network = shared

            def forward(self, pixels: Tensor) -> Tensor:
                weights = torch.ones(6, len(shared.names))
                return self.network(pixels, mixing(weights))  # type: ignore[no-any-return]

        counted = count_cost(Mixed(), torch.zeros(1, *TASK.shape)).macs
        assert mixed_macs(skeleton, WIDE, TASK.shape, 2) == counted


class TestDescent:
    def test_a_step_trains_only_what_it_computes(self) -> None:
        asked = asked_of(WIDE)
        shared = supernet(SMALL)
        before = {name: value.clone() for name, value in shared.named_parameters()}
        pixels, labels = TASK.train.pixels()[:30], TASK.train.labels[:30]
        assert Descent(shared, run_of(asked), TRAINING, 2).step(0, shared.path(CELLS[0]), pixels, labels)
        moved = {name for name, value in shared.named_parameters() if not torch.equal(value, before[name])}
        sep_conv = shared.names.index("sep_conv_3x3")
        operations = {name for name in moved if name.startswith("stages.")}
        assert operations
        assert all(name.startswith(f"stages.0.1.edges.3.{sep_conv}.") for name in operations)

    def test_a_step_that_is_not_finite_changes_nothing_and_says_so(self) -> None:
        shared = supernet(SMALL)
        before = {name: value.clone() for name, value in shared.state_dict().items()}
        descent = Descent(shared, run_of(asked_of(WIDE)), TRAINING, 2)
        pixels, labels = TASK.train.pixels()[:30], TASK.train.labels[:30]
        assert not descent.step(0, shared.path(CELLS[0]), pixels * math.nan, labels)
        assert all(torch.equal(value, before[name]) for name, value in shared.state_dict().items())

    def test_each_batch_comes_once_an_epoch_and_failed_steps_are_told(self) -> None:
        told: list[Event] = []
        seen: list[tuple[int, int]] = []

        def step(number: int, pixels: Tensor, labels: Tensor) -> bool:
            assert len(pixels) == len(labels)
            seen.append((number, len(pixels)))
            return number != 2

        each_batch(run_of(asked_of(told=told)), TRAINING, 4, step)
        assert seen == [(0, 50), (1, 10), (2, 50), (3, 10)]
        assert [event.done for event in told if isinstance(event, StepAdvanced)] == [1, 2]
        (warning,) = [event.message for event in told if isinstance(event, Warned)]
        assert "1 of 4 steps of supernet 1" in warning

    def test_the_last_epoch_ends_with_the_last_step(self) -> None:
        seen: list[int] = []

        def step(number: int, pixels: Tensor, labels: Tensor) -> bool:
            seen.append(len(pixels))
            return True

        each_batch(run_of(asked_of()), TRAINING, 3, step)
        assert seen == [50, 10, 50]

    def test_no_batch_begins_after_the_deadline(self) -> None:
        seen: list[int] = []

        def step(number: int, pixels: Tensor, labels: Tensor) -> bool:
            seen.append(number)
            return True

        each_batch(run_of(asked_of(deadline=lambda: 0.5 - len(seen))), TRAINING, 3, step)
        assert seen == [0]


class Teller:
    """In the place of a supernet: ranks the pool by its cost, the cheapest first, and remembers what it was asked."""

    def __init__(self, cost: int = 1000) -> None:
        self.cost = cost
        self.asked: list[tuple[SupernetRun, int]] = []

    def costs(self, run: SupernetRun, steps: int) -> Sequence[int]:
        return [self.cost * (step + 1) for step in range(steps)]

    def rank(self, run: SupernetRun, steps: int) -> Ranked:
        self.asked.append((run, steps))
        order = sorted(run.pool, key=lambda one: (run.problem.macs(one), one))
        return Ranked(architectures=order, macs=self.cost * steps, images=10 * steps)


@dataclass(frozen=True)
class Told(BySupernets):
    """A search whose supernets a teller stands in for."""

    teller: Teller
    config: SharedConfig
    scoring: ScoringConfig = SCORING
    name: str = "told"

    @property
    def pool(self) -> int:
        return self.config.pool

    def costs(self, run: SupernetRun, steps: int) -> Sequence[int]:
        return self.teller.costs(run, steps)

    def rank(self, run: SupernetRun, steps: int) -> Ranked:
        return self.teller.rank(run, steps)


def search_told(
    teller: Teller,
    asked: Problem,
    *,
    runs: int = 2,
    finalists: int = 1,
    pool: int = 5,
) -> Outcome:
    training = replace(TRAINING, epochs=2)  # four steps
    config = SharedConfig(runs=runs, finalists=finalists, pool=pool, training=training, images=100)
    return search(Told(teller, config), asked)


class TestSearch:
    def test_a_round_scores_the_best_of_its_supernet_and_keeps_the_best_so_far(self) -> None:
        teller = Teller()
        outcome = search_told(teller, asked_of(), runs=3, finalists=2)
        assert [len(past.candidates) for past in outcome.rounds] == [2, 3, 3]
        assert len(teller.asked) == 3
        for (run, _), past, before in zip(
            teller.asked, outcome.rounds, (None, *outcome.rounds), strict=False
        ):
            order = sorted(run.pool, key=lambda one: (run.problem.macs(one), one))
            assert past.candidates[-2:] == tuple(order[:2])
            if before is not None:
                assert past.candidates[0] == before.candidates[before.winner]
        assert all(one.score is not None for one in outcome.seen)
        assert outcome.stopped == "rounds"

    def test_nothing_is_scored_twice(self) -> None:
        teller = Teller()
        outcome = search_told(teller, asked_of(), runs=4, finalists=2)
        assert len(outcome.seen) == 8
        assert len(teller.asked) == 4
        for run, _ in teller.asked:
            assert not set(run.pool) & run.known

    def test_every_run_has_a_skeleton_of_its_own_as_long_as_there_are_some(self) -> None:
        teller = Teller()
        search_told(teller, asked_of(), runs=4)
        first, second, third, fourth = [run.skeleton for run, _ in teller.asked]
        assert {first, second} == {SMALL, LARGE}
        assert (third, fourth) == (first, second)
        assert len({run.seed for run, _ in teller.asked}) == 4

    @pytest.mark.parametrize("skeleton", [SMALL, LARGE])
    def test_the_seed_architecture_is_tried_and_its_skeleton_comes_first(self, skeleton: Skeleton) -> None:
        teller = Teller()
        given = one_edge("sep_conv_3x3", skeleton)
        outcome = search_told(teller, asked_of(seed_architecture=given))
        assert outcome.rounds[0].candidates[0] == given
        assert len(outcome.rounds[0].candidates) == 2
        assert teller.asked[0][0].skeleton == skeleton
        assert all(given not in run.pool for run, _ in teller.asked)

    def test_a_seed_architecture_from_elsewhere_does_not_bring_its_skeleton(self) -> None:
        teller = Teller()
        given = one_edge("sep_conv_3x3", replace(SMALL, widths=(5,)))
        search_told(teller, asked_of(seed_architecture=given))
        assert {run.skeleton for run, _ in teller.asked} == {SMALL, LARGE}

    def test_the_ledger_has_the_supernets_beside_the_scores(self) -> None:
        outcome = search_told(Teller(cost=1000), asked_of())
        images = dict(outcome.ledger.images)
        assert images["supernet 1"] == images["supernet 2"] == 40
        alone = sum(training_macs(one.macs, images[one.architecture.key]) for one in outcome.seen)
        assert outcome.ledger.macs == alone + 2 * 4000

    def test_a_supernet_of_no_more_than_is_scored_is_not_trained(self) -> None:
        teller = Teller()
        outcome = search_told(teller, asked_of(replace(SPACE, nodes=2, skeletons=(SMALL,))), finalists=3)
        assert not teller.asked
        assert outcome.stopped == "exhausted"
        assert len(outcome.seen) == 3
        assert not [key for key, _ in outcome.ledger.images if key.startswith("supernet")]

    def test_a_skeleton_with_nothing_new_gives_way_to_another(self) -> None:
        space = replace(SPACE, nodes=2, operations=("identity", "zero"))
        outcome = search_told(Teller(), asked_of(space, seed_architecture=one_edge("identity")), runs=2)
        assert [one.architecture for one in outcome.seen] == [
            one_edge("identity"),
            one_edge("identity", LARGE),
        ]
        assert outcome.stopped == "exhausted"

    def test_the_limits_hold_for_the_first_skeleton_too(self) -> None:
        least = cost_by_parts(one_edge("identity"), TASK.shape, 2).parameters  # none fits in the other
        tight = SPACE.limited(max_parameters=least)
        teller = Teller()
        outcome = search_told(teller, asked_of(tight, seed_architecture=one_edge("sep_conv_3x3", LARGE)))
        assert teller.asked and all(run.skeleton == SMALL for run, _ in teller.asked)
        assert len(outcome.seen) > 1 and all(one.parameters <= least for one in outcome.seen[1:])

    def test_where_a_supernet_ranks_nothing_the_first_drawn_are_scored(self) -> None:
        class Silent(Teller):
            def rank(self, run: SupernetRun, steps: int) -> Ranked:
                return replace(super().rank(run, steps), architectures=())

        teller = Silent()
        outcome = search_told(teller, asked_of(), finalists=2)
        assert outcome.rounds[0].candidates == teller.asked[0][0].pool[:2]


class TestBudget:
    @pytest.fixture
    def whole(self) -> Outcome:
        return search_told(Teller(cost=COST), asked_of())

    @pytest.mark.parametrize("share", [1.0, 1.7, 2.5])
    def test_a_larger_one_is_used_by_longer_training(self, share: float) -> None:
        teller = Teller(cost=COST // 10)
        budget = int(share * search_told(Teller(cost=COST // 10), asked_of()).ledger.macs)
        outcome = search_told(teller, asked_of(budget_macs=budget))
        assert 0.8 * budget < outcome.ledger.macs <= budget
        assert outcome.stopped == "budget"
        assert sum(steps for _, steps in teller.asked) > 4

    def test_no_supernet_learns_more_than_some_times_as_long(self, whole: Outcome) -> None:
        teller = Teller(cost=COST)
        search_told(teller, asked_of(budget_macs=100 * whole.ledger.macs))
        assert [steps for _, steps in teller.asked] == [4 * MOST_LONGER] * 2

    def test_what_the_last_run_leaves_scores_more_of_what_it_ranks(self, whole: Outcome) -> None:
        teller = Teller(cost=COST)
        outcome = search_told(teller, asked_of(budget_macs=100 * whole.ledger.macs))
        run, _ = teller.asked[-1]
        order = sorted(run.pool, key=lambda one: (run.problem.macs(one), one))
        new = outcome.rounds[-1].candidates[1:]
        assert len(outcome.rounds[0].candidates) == 1
        assert new == tuple(order)

    @pytest.mark.parametrize("share", [0.2, 0.4, 0.6, 0.8])
    def test_a_smaller_one_cuts_steps_and_runs_and_leaves_enough_for_scores(
        self, whole: Outcome, share: float
    ) -> None:
        teller = Teller(cost=COST)
        budget = int(share * whole.ledger.macs)
        outcome = search_told(teller, asked_of(budget_macs=budget))
        assert outcome.stopped == "budget"
        assert 0.4 * budget < outcome.ledger.macs <= budget
        assert outcome.rounds
        assert all(len(past.candidates) > number for number, past in enumerate(outcome.rounds))
        assert sum(steps for _, steps in teller.asked) < 8

    def test_the_seed_alone_is_a_beginning(self) -> None:
        given = one_edge("sep_conv_3x3")
        asked = asked_of(seed_architecture=given)
        outcome = search_told(
            Teller(cost=10**9), replace(asked, budget_macs=training_macs(asked.macs(given), IMAGES))
        )
        assert [one.architecture for one in outcome.seen] == [given]
        assert outcome.stopped == "budget"
        with pytest.raises(SettingError, match="'budget_macs' of a search must be at least"):
            search_told(Teller(), replace(asked, budget_macs=10))

    def test_a_refusal_comes_before_any_training(self) -> None:
        told: list[Event] = []
        teller = Teller(cost=10**9)
        with pytest.raises(SettingError, match="must be at least 1,000,"):
            search_told(teller, asked_of(budget_macs=10**9, told=told))
        assert not teller.asked
        assert [event.step for event in told if isinstance(event, StepStarted)] == ["search digits:is=8"]
