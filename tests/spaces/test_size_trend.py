from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture, Shape
from tanas.spaces.named import named_space
from tanas.spaces.size_trend import LEAST_COMPARED, POOL, Comparison, SizeTrend, learn_size_trend, sizes
from tanas.spaces.space import SearchSpace

TASK: dict[str, Any] = {"shape": (1, 28, 28), "classes": 3}
SPACE = named_space("standard")
TRIED = SPACE.sample(24, seed=Seed(3), **TASK)


def size(architecture: Architecture) -> float:
    return float(sizes(architecture, **TASK)[0])


def comparison(
    tried: tuple[Architecture, ...], slope: float, times: float = 1.0, noise: float = 0.0
) -> Comparison:
    """Losses that fall with the logarithm of the parameters by a slope, all multiplied by something."""
    noisy = np.random.default_rng(0).normal(size=len(tried)) * noise
    losses = [times * np.exp(-slope * size(one) + extra) for one, extra in zip(tried, noisy, strict=True)]
    return Comparison(architectures=tried, losses=tuple(losses))


def ranks_by_size(promise: SizeTrend) -> float:
    fresh = SPACE.sample(40, seed=Seed(4), **TASK)
    return float(np.corrcoef([size(one) for one in fresh], [promise.of(one, **TASK) for one in fresh])[0, 1])


def test_learns_that_large_or_small_ones_do_better_and_foretells_it_for_others() -> None:
    for slope in (0.3, -0.3):
        promise = learn_size_trend([(1.0, [comparison(TRIED, slope)])], **TASK)
        assert promise is not None
        assert promise.compared == len(TRIED)
        assert promise.spread == pytest.approx(np.std([promise.of(one, **TASK) for one in TRIED]))
        assert np.sign(slope) * ranks_by_size(promise) > 0.9


def test_promises_little_where_size_decides_nothing() -> None:
    clear = learn_size_trend([(1.0, [comparison(TRIED, 0.3)])], **TASK)
    none = learn_size_trend([(1.0, [comparison(TRIED, 0.0, noise=1.0)])], **TASK)
    assert clear is not None
    assert none is not None
    spread = [np.std([one.of(tried, **TASK) for tried in TRIED]) for one in (clear, none)]
    assert spread[1] < 0.2 * spread[0]


def test_what_was_not_trained_alike_is_not_held_against_each_other() -> None:
    small, large = sorted(TRIED, key=size)[:12], sorted(TRIED, key=size)[12:]
    # within each comparison the larger do better; the large ones were trained on a harder task
    parts = [comparison(tuple(small), 0.3), comparison(tuple(large), 0.3, times=1000.0)]
    promise = learn_size_trend([(1.0, parts)], **TASK)
    assert promise is not None
    assert ranks_by_size(promise) > 0.9


def test_tasks_speak_as_loud_whatever_the_spread_of_their_losses_and_by_what_they_count() -> None:
    quiet, loud = comparison(TRIED, 0.01), comparison(TRIED, -1.0)
    heard = [learn_size_trend([(a, [quiet]), (b, [loud])], **TASK) for a, b in ((1.0, 0.2), (0.2, 1.0))]
    assert heard[0] is not None
    assert heard[1] is not None
    assert ranks_by_size(heard[0]) > 0.9
    assert ranks_by_size(heard[1]) < -0.9


@pytest.mark.parametrize(
    "known",
    [
        [],
        [(1.0, [comparison(TRIED[: LEAST_COMPARED - 1], 0.3)])],
        [(1.0, [comparison(TRIED[:1], 0.3)] * LEAST_COMPARED)],
        [(1.0, [Comparison(architectures=TRIED[at : at + 3], losses=(0.41,) * 3) for at in range(0, 24, 3)])],
        [(1.0, [Comparison(architectures=TRIED[:1] * 8, losses=tuple(range(1, 9)))])],
    ],
    ids=["nothing", "too few", "one at a time", "all alike", "one architecture"],
)
def test_is_none_where_nothing_can_be_learnt(known: list[tuple[float, list[Comparison]]]) -> None:
    assert learn_size_trend(known, **TASK) is None


def test_a_loss_of_nothing_is_no_outlier() -> None:
    usual = comparison(TRIED, -0.3)
    perfect = replace(usual, losses=(0.0, *usual.losses[1:]))
    promise = learn_size_trend([(1.0, [perfect])], **TASK)
    assert promise is not None
    assert all(np.isfinite(promise.slopes))


def mean_size(space: SearchSpace) -> float:
    return float(np.mean([size(one) for one in space.sample(30, seed=Seed(5), **TASK)]))


def test_a_space_draws_what_promises_more_and_leaves_nothing_out() -> None:
    up, down = (learn_size_trend([(1.0, [comparison(TRIED, s, noise=0.05)])], **TASK) for s in (0.3, -0.3))
    larger, smaller = (replace(SPACE, size_trend=one) for one in (up, down))
    assert mean_size(smaller) + 1 < mean_size(SPACE) < mean_size(larger) - 0.5
    tiny = replace(larger, operations=("identity", "conv_3x3"), nodes=3, skeletons=SPACE.skeletons[::4])
    every = tiny.sample(10_000, seed=Seed(6), **TASK)
    assert set(every) == set(replace(tiny, size_trend=None).sample(10_000, seed=Seed(6), **TASK))
    # one of each pool comes first, by its promise; those that were passed over follow
    chosen = len(every) // POOL
    assert chosen >= 5
    assert np.mean([size(one) for one in every[:chosen]]) > np.quantile([size(one) for one in every], 0.9)


def test_the_first_of_many_draws_are_those_of_few_and_repeat() -> None:
    space = replace(SPACE, size_trend=learn_size_trend([(1.0, [comparison(TRIED, 0.3)])], **TASK))
    many = space.sample(6, seed=Seed(7), **TASK)
    assert len(set(many)) == 6
    assert many[:2] == space.sample(2, seed=Seed(7), **TASK)


def test_a_large_space_whose_limits_admit_little_still_follows_the_promise_and_then_the_rest() -> None:
    promise = learn_size_trend([(1.0, [comparison(TRIED, 0.3)])], **TASK)
    small = sorted(SPACE.sample(2000, seed=Seed(8), **TASK), key=size)[3]  # a few in two thousand are smaller
    tight = replace(SPACE, size_trend=promise, max_parameters=round(np.exp(size(small))))
    found = tight.sample(12, seed=Seed(9), **TASK)
    assert len(found) == 12
    assert len({one.skeleton for one in found}) < 12, "they were drawn, not the smallest of each skeleton"


def milliseconds(architecture: Architecture, shape: Shape, classes: int) -> float:
    return float(np.exp(sizes(architecture, shape, classes)[0]))


def test_a_limit_of_latency_is_met_though_all_that_promises_most_is_too_slow() -> None:
    promise = learn_size_trend([(1.0, [comparison(TRIED, 0.3)])], **TASK)
    middle = float(np.median([milliseconds(one, **TASK) for one in TRIED]))
    quick = replace(SPACE, size_trend=promise, max_latency_ms=middle, latency=milliseconds)
    found = quick.sample(4, seed=Seed(10), **TASK)
    smallest = min(milliseconds(one, **TASK) for one in SPACE.sample(400, seed=Seed(8), **TASK))
    assert len(found) == 4
    assert all(milliseconds(one, **TASK) <= middle for one in found)
    assert np.mean([milliseconds(one, **TASK) for one in found]) > 3 * smallest, "not the smallest there are"
    parent = min(TRIED, key=size)
    assert milliseconds(quick.mutate(parent, seed=Seed(11), **TASK), **TASK) <= middle


def test_a_mutation_turns_to_what_promises_more() -> None:
    promise = learn_size_trend([(1.0, [comparison(TRIED, 0.3)])], **TASK)
    changes = {}
    for name, space in (("up", replace(SPACE, size_trend=promise)), ("even", SPACE)):
        changes[name] = np.mean(
            [
                size(space.mutate(one, seed=Seed(at).child("m"), **TASK)) - size(one)
                for at, one in enumerate(TRIED)
            ]
        )
    assert changes["up"] > changes["even"] + 0.1
