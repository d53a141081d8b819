from __future__ import annotations

import pytest
from tests.strategies.small_search import SCORING, SEED, SPACE, run, tiny

from tanas.ground.errors import SettingError
from tanas.networks.architecture import cost_of
from tanas_experiments.largest import Largest, LargestConfig

TASK = tiny().without_test()


def test_tries_the_largest_of_the_pool_and_no_others() -> None:
    outcome = run(Largest(LargestConfig(candidates=3, pool=500), SCORING), task=TASK)
    pool = SPACE.sample(500, seed=SEED, shape=TASK.shape, classes=2)  # all that there are
    sizes = sorted((cost_of(one, TASK.shape, 2).parameters for one in pool), reverse=True)
    assert [one.parameters for one in outcome.seen] == sizes[:3]
    scores = {one.architecture: one.score for one in outcome.seen}
    assert scores[outcome.best] == max(score for score in scores.values() if score is not None)


def test_a_single_one_is_the_largest_of_those_within_the_limits() -> None:
    most = sorted(
        cost_of(one, TASK.shape, 2).parameters
        for one in SPACE.sample(500, seed=SEED, shape=TASK.shape, classes=2)
    )[-5]
    outcome = run(Largest(LargestConfig(candidates=1, pool=500), SCORING), SPACE.limited(most), task=TASK)
    assert [one.parameters for one in outcome.seen] == [most]


@pytest.mark.parametrize("name", ["candidates", "pool"])
def test_refuses_a_size_below_one(name: str) -> None:
    with pytest.raises(
        SettingError, match=f"The '{name}' of LargestConfig must be at least 1. Got 0 instead"
    ):
        LargestConfig(**{name: 0})
