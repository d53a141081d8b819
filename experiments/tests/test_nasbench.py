"""Regret against queries on a small table whose truth is known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from experiments.tests.small_table import SMALL, written

from tanas.ground.errors import SettingError
from tanas.ground.seeds import Seed
from tanas_experiments.nasbench import (
    AIM,
    ALIKE,
    GIVEN,
    NOTHING,
    ORDERED,
    PROBED,
    STRATEGIES,
    TUNED,
    WITHIN,
    WITHOUT,
    Curve,
    Memory,
    NasBenchConfig,
    Prediction,
    Target,
    ask_by_prediction,
    probed,
    remember,
    study,
    tune,
)
from tanas_experiments.nasbench_table import NasTable, read_table

Study = tuple[tuple[Target, ...], tuple[Curve, ...]]


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> NasTable:
    return read_table(written(tmp_path_factory.mktemp("nasbench") / "table.csv"))


@pytest.fixture(scope="module")
def studied(table: NasTable) -> Study:
    return study(table, SMALL)


def asked_by(name: str, memory: Memory, config: NasBenchConfig = SMALL) -> list[int]:
    asked: list[int] = []

    def ask(row: int) -> float:
        asked.append(row)
        return float(memory.table.accuracies[row, 0])

    STRATEGIES[name](memory, config, ask, Seed(1).numpy())
    return asked


def turned(table: NasTable) -> NasTable:
    """The same but for the first data set, whose accuracies are in another order."""
    accuracies = table.accuracies.copy()
    accuracies[:, 0] = accuracies[::-1, 0]
    return replace(table, accuracies=accuracies)


def test_probes_tell_which_source_is_alike(table: NasTable) -> None:
    near = probed(table, 0, range(100, 140))
    assert near[1] > 0.8 > 0 > near[2]


def test_probes_without_an_order_say_nothing(table: NasTable) -> None:
    assert probed(table, 0, [7, 7, 7]) == {1: 0.0, 2: 0.0}


def test_a_memory_has_the_sources_best_first(table: NasTable) -> None:
    memory = remember(table, (1, 2), SMALL)
    near, far = (int(np.argmax(table.accuracies[:, at])) for at in (1, 2))
    assert memory.best_first[0] == near
    assert memory.in_turn[:2].tolist() == [near, far]
    assert sorted(memory.in_turn.tolist()) == list(range(729))
    assert np.isneginf(memory.log_prior[0])  # it connects nothing


def test_the_less_alike_source_counts_for_less_in_the_prior(table: NasTable) -> None:
    best = int(np.argmax(table.accuracies[:, 1]))
    alike = remember(table, (1, 2), SMALL).log_prior
    near = remember(table, (1, 2), SMALL, similarities=(1.0, -0.9)).log_prior
    assert near[best] - near[np.isfinite(near)].mean() > alike[best] - alike[np.isfinite(alike)].mean()


def test_no_strategy_asks_twice_or_too_often_and_a_seed_repeats_itself(table: NasTable) -> None:
    memory = remember(table, (1, 2), SMALL, tuned=tune(table, (1, 2), SMALL, Seed(0)))
    for name in STRATEGIES:
        rows = asked_by(name, memory)
        assert rows == asked_by(name, memory), name
        assert len(set(rows)) == len(rows) == SMALL.queries, name


def test_nothing_of_the_target_is_known_before_it_is_asked(table: NasTable) -> None:
    """What is tuned, remembered and asked for first are the same whatever the target's accuracies are."""
    other = turned(table)
    one, two = (tune(each, (1, 2), SMALL, Seed(0)) for each in (table, other))
    assert one == two
    for name in STRATEGIES:
        first, again = (asked_by(name, remember(each, (1, 2), SMALL, tuned=one)) for each in (table, other))
        assert first[0] == again[0], name
        if "evolution" not in name and name != "predictor":  # these listen to no answer
            assert first == again, name


def test_constants_are_chosen_by_what_did_best_on_pairs_of_sources(table: NasTable) -> None:
    tuned = tune(table, (0, 1), SMALL, Seed(0))
    assert tuned is not None
    assert tuned.known in SMALL.try_known
    assert tuned.temperature in SMALL.try_temperature
    assert tuned.prior_regret <= tuned.prior_worst
    assert tuned.prediction_regret <= tuned.prediction_worst
    assert tune(table, (1,), SMALL, Seed(0)) is None


def test_a_predictor_begins_with_the_sources_best_and_turns_to_what_answers_say(table: NasTable) -> None:
    how = Prediction(smoothing=0.0, residual=0.5, reach=1.0)
    truth, asked = table.accuracies[:, 0], list[int]()

    def ask(row: int) -> float:
        asked.append(row)
        return float(truth[row])

    # the second source is the reverse of the target: only answers can tell that
    ask_by_prediction(table, [1, 2], how, ask, most=12, among=np.ones(729, dtype=bool))
    assert len(set(asked)) == 12
    assert truth.max() - truth[asked[-4:]].mean() < 0.5 * (truth.max() - truth[asked[0]])
    single = list[int]()
    half = np.arange(729) % 2 == 0

    def heard(row: int) -> float:
        single.append(row)
        return float(truth[row])

    ask_by_prediction(table, [1], how, heard, most=3, among=half)
    assert single[0] == max(np.flatnonzero(half), key=lambda row: table.accuracies[row, 1])
    assert all(half[row] for row in single)


def test_a_predictor_stands_sources_without_differences(table: NasTable) -> None:
    flat = replace(table, accuracies=np.full_like(table.accuracies, 50.0))
    asked = list[int]()

    def ask(row: int) -> float:
        asked.append(row)
        return 50.0

    how = Prediction(smoothing=0.5, residual=0.2, reach=1.0)
    ask_by_prediction(flat, [1, 2], how, ask, most=8, among=np.ones(729, dtype=bool))
    assert len(set(asked)) == 8


def test_a_memory_of_a_like_set_beats_random_and_regret_never_rises(studied: Study) -> None:
    found = {(curve.target, curve.strategy, curve.sources): curve for curve in studied[1]}
    assert len(found) == len(studied[1]) == 3 * (len(STRATEGIES) + 2 * len(ORDERED))
    assert all(list(c.mean) == sorted(c.mean, reverse=True) and min(c.mean) >= 0 for c in found.values())
    random = found["target", "random", NOTHING].mean
    assert found["target", "transfer", GIVEN].mean[0] < 0.2 * random[0]
    assert found["target", "random, prior", GIVEN].mean[2] < 0.7 * random[2]
    evolved = found["target", "evolution", NOTHING].mean
    assert found["target", "evolution, prior", GIVEN].mean[3] < evolved[3]
    assert {curve.strategy for curve in studied[1] if curve.sources == NOTHING} == set(WITHOUT)


def test_the_probes_are_the_first_queries_where_they_are_counted(table: NasTable, studied: Study) -> None:
    found = {(curve.target, curve.strategy, curve.sources): curve for curve in studied[1]}
    names = [found["target", name, PROBED].mean for name in ORDERED]
    # until all six probes are asked for, every strategy is the same random search
    assert len({mean[:3] for mean in names}) == 1
    given = found["target", "transfer", GIVEN]
    counted = found["target", "transfer", PROBED]
    assert counted.mean[2] > given.mean[0]
    assert given.within is not None
    assert counted.within is not None
    assert SMALL.probes < counted.within <= SMALL.probes + given.within
    best = table.accuracies[:, 0].max()
    probes = [Seed(n).child("nasbench", "target", "probes").numpy().permutation(729)[:5] for n in range(4)]
    expected = np.mean([best - table.accuracies[rows, 0].max() for rows in probes])
    assert counted.mean[2] == pytest.approx(expected, abs=1e-3)


def test_the_queries_until_it_is_near_are_where_the_mean_first_is(studied: Study) -> None:
    for curve in studied[1]:
        for count, mean in zip(SMALL.counts, curve.mean, strict=True):
            reached = curve.within is not None and curve.within <= count
            assert reached == (mean <= WITHIN), curve


def test_a_target_says_how_sources_were_told_apart_and_what_was_chosen(studied: Study) -> None:
    target = studied[0][0]
    assert sum(target.nearest.values()) == SMALL.seeds
    assert target.nearest["near"] == SMALL.seeds
    assert target.near_best >= 1
    assert target.places["near"] < 20 < target.places["far"]
    assert target.tuned is not None
    assert [one.strategy for one in target.halves] == [
        "best of near",
        "best of far",
        "transfer in turn",
        "mean rank",
        "predictor",
    ]


def test_a_single_source_leaves_nothing_to_tune_on(tmp_path: Path) -> None:
    table = read_table(written(tmp_path / "two.csv", sets=2))
    targets, curves = study(table, replace(SMALL, seeds=2))
    assert [target.tuned for target in targets] == [None, None]
    assert not {curve.strategy for curve in curves} & set(TUNED)
    assert {curve.sources for curve in curves} == {NOTHING, ALIKE, GIVEN, PROBED}


def test_settings_that_make_no_study_are_refused() -> None:
    with pytest.raises(
        SettingError, match="The 'counts' of NasBenchConfig must be from 1 to its 10 queries, 5 among"
    ):
        NasBenchConfig(queries=10)
    with pytest.raises(SettingError, match=f"The 'queries' of NasBenchConfig must be at least {AIM}"):
        NasBenchConfig(queries=3)
    with pytest.raises(SettingError, match="The 'try_reach' of NasBenchConfig must be greater than 0"):
        NasBenchConfig(try_reach=(0.0,))
    with pytest.raises(SettingError, match="The 'try_known' of NasBenchConfig must be at least one number"):
        NasBenchConfig(try_known=())
