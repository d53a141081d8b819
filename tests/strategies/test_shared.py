from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from tests.strategies.small_search import LARGE, SCORING, SEED, SMALL, SPACE, TRAINING, tiny
from torch import Tensor, nn

from tanas.ground.checkpoints import NoCheckpoint
from tanas.ground.context import Context, Deadline
from tanas.ground.errors import SettingError
from tanas.ground.events import Event, Warned
from tanas.networks.architecture import build
from tanas.networks.operations import _REGISTRY
from tanas.networks.skeleton import Skeleton
from tanas.networks.training import class_weights, logits_of
from tanas.spaces.space import SearchSpace
from tanas.strategies.base import training_macs
from tanas.strategies.by_supernets import SupernetRun
from tanas.strategies.driver import Problem
from tanas.strategies.shared import SharedConfig, WeightSharing, judged_by

TASK = tiny().without_test()
CONFIG = SharedConfig(pool=8, images=60, ranking_images=40, training=replace(TRAINING, epochs=2))
SHARING = WeightSharing(CONFIG, SCORING)


def run_of(
    skeleton: Skeleton = SMALL,
    *,
    space: SearchSpace = SPACE,
    workers: int = 1,
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
            workers=workers,
            deadline=deadline,
            listener=([] if told is None else told).append,
            checkpoint=NoCheckpoint(),
        ),
        budget_macs=None,
    )
    pool = asked.sample(8, SEED.child("pool"), ())
    return SupernetRun(
        number=0, problem=asked, skeleton=skeleton, task=TASK, pool=pool, known=frozenset(), seed=SEED
    )


@pytest.mark.parametrize("skeleton", [SMALL, LARGE])
def test_the_costs_say_before_what_the_training_takes(skeleton: Skeleton) -> None:
    run = run_of(skeleton)
    costs = SHARING.costs(run, 5)
    whole = SHARING.rank(run, 5)
    assert (whole.macs, whole.images) == (costs[4], 2 * 60 + 50)
    assert SHARING.rank(run, 2).macs == costs[1]


def test_a_step_costs_what_the_architecture_that_it_draws_does() -> None:
    run = run_of()
    drawn = SHARING.drawn(run, 4)  # batches of 50 and 10, twice
    expected = sum(
        training_macs(run.problem.macs(one), images)
        for one, images in zip(drawn, (50, 10, 50, 10), strict=True)
    )
    assert SHARING.costs(run, 4)[-1] == expected
    assert SHARING.drawn(run, 9)[:4] == drawn


def test_all_of_a_skeletons_architectures_have_their_turn_before_one_comes_again() -> None:
    few = replace(SPACE, nodes=2)
    drawn = SHARING.drawn(run_of(space=few), 8)
    assert len(drawn) == 8
    assert len(set(drawn[:3])) == 3
    assert drawn[3:6] == drawn[:3]


def test_the_pool_is_ranked_by_the_shared_weights_on_validation() -> None:
    run = run_of()
    ranked = tuple(SHARING.rank(run, 4).architectures)
    assert sorted(ranked) == sorted(run.pool)
    swapped = replace(TASK.validation, labels=1 - TASK.validation.labels)
    other = replace(run, task=replace(TASK, validation=swapped))
    assert tuple(SHARING.rank(other, 4).architectures) != ranked


def test_the_ranking_does_not_depend_on_the_number_of_workers() -> None:
    alone, several = run_of(LARGE), run_of(LARGE, workers=3)
    assert tuple(SHARING.rank(alone, 2).architectures) == tuple(SHARING.rank(several, 2).architectures)


def test_training_raises_what_the_shared_weights_reach_on_validation() -> None:
    run = run_of()
    long = WeightSharing(replace(CONFIG, training=replace(TRAINING, epochs=12, batch=20)), SCORING)
    losses = []
    for steps in (0, 36):
        network = run.supernet()
        kept: list[nn.Module] = [network]
        patched = replace(run)
        object.__setattr__(patched, "supernet", lambda *, affine=True, kept=kept: kept[0])
        long.rank(patched, steps)
        losses.append(sum(judged_by(network, one, TASK, SEED, "cpu").loss for one in run.pool))
    assert losses[1] < losses[0]


def test_an_architecture_is_judged_by_its_own_answers() -> None:
    run = run_of(LARGE)
    one, split = run.pool[0], TASK.validation
    network = run.supernet().eval()
    judgement = judged_by(network, one, TASK, SEED, "cpu")
    alone = build(one, TASK.shape, 2, SEED)
    with torch.no_grad():
        answers = network(split.pixels(), network.path(one.cell))  # (samples, classes)
    assert answers.shape == logits_of(alone, split).shape
    weights = class_weights(split.labels, 2).double()  # as l is balanced, the loss is too
    loss = nn.functional.cross_entropy(answers.double(), split.labels, weight=weights)
    assert judgement.loss == pytest.approx(float(loss), rel=1e-5)


def test_when_time_has_run_out_only_the_first_of_the_pool_is_ranked() -> None:
    run = run_of(deadline=lambda: 0.0)
    ranked = SHARING.rank(run, 2)
    assert tuple(ranked.architectures) == run.pool[:1]
    assert (ranked.macs, ranked.images) == (0, 0)


class Broken(nn.Module):
    """Nothing finite comes out."""

    def forward(self, images: Tensor) -> Tensor:
        return images * torch.nan


def test_an_operation_that_fails_does_not_spoil_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(_REGISTRY, "broken", lambda channels: Broken())
    told: list[Event] = []
    space = replace(SPACE, operations=("broken", "zero", "sep_conv_3x3"))
    run = run_of(space=space, told=told)
    ranked = tuple(SHARING.rank(run, 4).architectures)
    whole = {one for one in run.pool if all(name != "broken" for _, _, name in one.cell.edges)}
    assert set(ranked) == whole
    assert 0 < len(whole) < len(run.pool)
    (warning,) = [event.message for event in told if isinstance(event, Warned)]
    assert "of 4 steps of supernet 1" in warning


def test_where_every_answer_fails_it_says_that_it_ranks_by_chance(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(_REGISTRY, "broken", lambda channels: Broken())
    told: list[Event] = []
    ranked = SHARING.rank(run_of(space=replace(SPACE, operations=("broken", "zero")), told=told), 1)
    assert tuple(ranked.architectures) == ()
    assert "the ranking is random" in [event.message for event in told if isinstance(event, Warned)][-1]


@pytest.mark.parametrize("field", ["runs", "finalists", "pool", "images", "ranking_images"])
def test_impossible_numbers_are_refused(field: str) -> None:
    with pytest.raises(SettingError, match=f"The '{field}' of SharedConfig must be at least"):
        replace(SharedConfig(), **{field: 0})
