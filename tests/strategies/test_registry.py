from __future__ import annotations

import pytest

from tanas.algorithm.presets import SearchConfig
from tanas.ground.errors import UnknownNameError
from tanas.strategies.random_search import RandomConfig, RandomSearch
from tanas.strategies.registry import STRATEGIES, check_strategy, make_strategy


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_is_made_by_its_name(name: str) -> None:
    check_strategy(name)
    assert make_strategy(name, SearchConfig()).name == name


def test_a_strategy_works_as_the_configuration_says() -> None:
    config = SearchConfig(random=RandomConfig(candidates=5))
    assert make_strategy("random", config) == RandomSearch(config.random, config.scoring)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("evolutoin", "'evolution'"),
        ("Fuse", "'fuse'"),
        ("predict", "'predictor'"),
        ("bayes", "fuse, random, evolution, halving, predictor"),
    ],
)
def test_an_unknown_name_is_refused_with_the_near_ones(name: str, hint: str) -> None:
    with pytest.raises(UnknownNameError, match=f"'{name}'.* {hint}") as refused:
        check_strategy(name)
    assert refused.value.exit_status == 2
    with pytest.raises(UnknownNameError, match="Unknown search strategy"):
        make_strategy(name, SearchConfig())
    with pytest.raises(UnknownNameError, match="Unknown search strategy"):
        SearchConfig(strategy=name)
