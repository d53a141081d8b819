from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from experiments.tests.small_truth import row, rows

from tanas.ground.errors import SettingError
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture
from tanas.spaces.named import named_space
from tanas.spaces.size_trend import sizes
from tanas.spaces.space import SearchSpace
from tanas_experiments.truth import SIZE_CLASSES, SIZE_SHAPE, TaskDistance, Triple
from tanas_experiments.truth_analysis import (
    FARTHEST,
    NEAREST,
    RANDOM,
    AnalysisConfig,
    Carry,
    Regret,
    alpha_study,
    analysed,
    best_by_another,
    carries,
    choices,
    contrast,
    nearness,
    noise_of,
    regrets,
    residual_ranks,
    spread_of,
    table_of,
    trends,
)

QUICK = AnalysisConfig(draws=6, tries=(1, 3, 6), known=8, permutations=50)


def noise(position: int, target: str, seed: int, size: float = 0.02) -> float:
    return size * float(Seed(seed).child(target, position).numpy().normal())


@pytest.fixture(scope="module")
def architectures() -> tuple[Architecture, ...]:
    """Narrow ones first, so that what is made of positions has to do with what an architecture is."""
    drawn = named_space("standard").sample(12, seed=Seed(0), shape=SIZE_SHAPE, classes=SIZE_CLASSES)
    return tuple(sorted(drawn, key=lambda one: sum(one.skeleton.widths)))


@pytest.fixture(scope="module")
def space() -> SearchSpace:
    return named_space("standard")


class TestTable:
    def test_holds_only_architectures_with_every_training(self) -> None:
        made = rows(5, ["a", "b"], lambda p, t, s: 0.1 * p)
        table = table_of([one for one in made if (one.position, one.target) != (1, "b")], ["a", "b"], (0, 1))
        assert table.positions == (0, 2, 3, 4)
        assert (table.incomplete, table.diverged) == (1, 0)
        assert table.balanced.shape == (2, 4, 2)

    def test_counts_what_diverged_apart(self) -> None:
        made = list(rows(4, ["a"], lambda p, t, s: 0.1 * p))
        made[2] = replace(made[2], score=math.nan)
        table = table_of(made, ["a"], (0, 1))
        assert table.positions == (0, 2, 3) and table.diverged == 1

    def test_orders_equal_l_by_the_loss(self) -> None:
        made = [
            row(position, seed=seed, score=score, loss=loss)
            for seed in (0, 1)
            for position, (score, loss) in enumerate([(0.0, 2.0), (0.0, 1.0), (0.5, 9.0)])
        ]
        assert table_of(made, ["a"], (0, 1)).seen[0, :, 0].tolist() == [0, 1, 2]

    def test_does_not_depend_on_the_order_of_the_rows(self) -> None:
        made = rows(4, ["a", "b"], noise)
        first, second = (table_of(one, ["a", "b"], (0, 1)) for one in (made, made[::-1]))
        assert (first.seen == second.seen).all() and (first.balanced == second.balanced).all()

    def test_of_too_little_is_refused(self) -> None:
        made = rows(2, ["a"], noise)
        with pytest.raises(
            SettingError, match="at least three architectures have all their trainings. Got 2"
        ):
            table_of(made, ["a"], (0, 1))
        with pytest.raises(SettingError, match="The 'seeds' of a table must be at least two. Got 1"):
            table_of(made, ["a"], (0,))


class TestChoices:
    def test_measure_the_best_by_a_seed_that_did_not_choose_it(self) -> None:
        # by seed 0 the first is best and has 0.5 by seed 1; by seed 1 the second is and has 0.4 by seed 0
        errors = np.array([[0.1, 0.5], [0.4, 0.2], [0.6, 0.6]])
        assert best_by_another(errors) == pytest.approx(0.45)

    def test_take_the_noise_of_the_seeds_off_the_spread(self) -> None:
        generator = np.random.default_rng(0)
        truth = generator.normal(0, 0.05, 4000)[:, None]
        errors = truth + generator.normal(0, 0.03, (4000, 2))
        assert noise_of(errors) == pytest.approx(0.03, rel=0.05)
        assert spread_of(errors) == pytest.approx(0.05, rel=0.05)
        assert spread_of(generator.normal(0, 0.03, (4000, 2))) < 0.01

    def test_at_equal_size_are_none_where_size_decides_all(self) -> None:
        step = rows(40, ["a"], lambda p, t, s: 0.5 - 0.1 * (p // 10))
        (found,) = choices(table_of(step, ["a"], (0, 1)), bins=4)
        assert found.median - found.best == pytest.approx(0.15)
        assert found.gain_at_size == pytest.approx(0) and found.spread_at_size == pytest.approx(0)
        assert found.size is not None and found.size < -0.95

    def test_at_equal_size_are_all_where_size_decides_nothing(self) -> None:
        alternating = rows(40, ["a"], lambda p, t, s: 0.2 + 0.1 * (p % 2))
        (found,) = choices(table_of(alternating, ["a"], (0, 1)), bins=4)
        assert found.gain_at_size == pytest.approx(0.05)
        assert found.size is not None and abs(found.size) < 0.1


class TestCarries:
    def test_are_1_where_ranks_are_the_same_and_minus_1_where_they_are_turned(self) -> None:
        made = rows(10, ["a", "b", "c"], lambda p, t, s: (0.9 - 0.05 * p) if t == "c" else 0.05 * p)
        found = {(one.source, one.target): one.plain for one in carries(table_of(made, "abc", (0, 1)))}
        assert found["a", "b"] == pytest.approx(1) and found["a", "a"] == pytest.approx(1)
        assert found["a", "c"] == pytest.approx(-1) == found["c", "b"]

    def test_given_size_see_what_size_does_not_explain(self) -> None:
        def error(position: int, target: str, seed: int) -> float:
            own = noise(position, "shared", 0, 0.05) if target != "c" else noise(position, "own", 0, 0.05)
            return 0.9 - 0.01 * position + own + noise(position, target, seed, 0.001)

        table = table_of(rows(60, ["a", "b", "c"], error), "abc", (0, 1))
        found = {(one.source, one.target): one for one in carries(table)}
        assert found["a", "c"].plain > 0.7
        assert abs(found["a", "c"].at_size) < 0.35
        assert found["a", "b"].at_size > 0.95

    def test_are_as_high_between_seeds_as_the_noise_allows(self) -> None:
        loud, quiet = (
            carries(
                table_of(rows(60, ["a"], lambda p, t, s, z=size: 0.01 * p + noise(p, t, s, z)), ["a"], (0, 1))
            )[0].plain
            for size in (0.5, 0.01)
        )
        assert quiet > 0.98 > 0.8 > loud

    def test_residual_ranks_are_the_partial_rank_correlation(self) -> None:
        generator = np.random.default_rng(1)
        x, y, z = generator.normal(size=(3, 50))
        x, y = x + z, y + z
        a, b = (residual_ranks(one, z[:, None]) for one in (x, y))
        r = np.corrcoef([np.argsort(np.argsort(one)) for one in (x, y, z)])
        partial = (r[0, 1] - r[0, 2] * r[1, 2]) / math.sqrt((1 - r[0, 2] ** 2) * (1 - r[1, 2] ** 2))
        assert a @ b / np.linalg.norm(a) / np.linalg.norm(b) == pytest.approx(partial)


class TestNearness:
    NAMES = "abcdef"

    def study(self, sign: float) -> tuple[float, float, int]:
        carried = [
            Carry(source=s, target=t, plain=abs(ord(s) - ord(t)) / 10, at_size=0.0, at_cost=0.0)
            for s in self.NAMES
            for t in self.NAMES
        ]
        distances = [
            TaskDistance(source=s, target=t, value=1, order=sign * abs(ord(s) - ord(t)) + ord(s) / 1000)
            for s in self.NAMES
            for t in self.NAMES
        ]
        found = nearness(carried, distances, "plain", permutations=200, seed=Seed(0))
        assert found is not None
        return found.mean, found.p, found.pairs

    def test_is_found_where_the_near_agree(self) -> None:
        mean, p, pairs = self.study(-1)
        assert mean > 0.9 and p < 0.02 and pairs == 30  # a task is no source of itself

    def test_is_not_found_where_the_far_agree(self) -> None:
        mean, p, _ = self.study(1)
        assert mean < -0.9 and p > 0.9

    def test_says_nothing_of_sources_that_cannot_be_ranked(self) -> None:
        one = Carry(source="a", target="b", plain=1.0, at_size=1.0, at_cost=1.0)
        distance = TaskDistance(source="a", target="b", value=0.5, order=0.5)
        assert nearness([one], [distance], "plain", permutations=10, seed=Seed(0)) is None


TASKS = ("target", "twin", "other")
NEAR = {"twin": 0.1, "other": 0.9, "target": 0.5}
Found = dict[tuple[str, str, int, str], Regret]


def simulated(
    architectures: tuple[Architecture, ...],
    space: SearchSpace,
    *,
    measured: bool,
    known: int = 12,
    draws: int = 8,
) -> Found:
    """Target and twin rank alike, other ranks the other way round."""
    made = rows(12, TASKS, lambda p, t, s: 0.05 * (11 - p if t == "other" else p))
    distances = [
        TaskDistance(source=s, target=t, value=NEAR[s], order=NEAR[s])
        for s in TASKS
        for t in TASKS
        if measured and s != t
    ]
    table = table_of(made, TASKS, (0, 1))
    config = replace(QUICK, known=known, scored=3, neighbours=1, draws=draws)
    return {
        (one.way, one.source, one.tries, one.target): one
        for one in regrets(table, architectures, space, distances, config)
    }


@pytest.fixture(scope="module")
def found(architectures: tuple[Architecture, ...], space: SearchSpace) -> Found:
    return simulated(architectures, space, measured=True)


@pytest.fixture(scope="module")
def found_by_few(architectures: tuple[Architecture, ...], space: SearchSpace) -> Found:
    """Of a memory that leaves half of the architectures to be drawn."""
    return simulated(architectures, space, measured=True, known=6, draws=16)


class TestRegrets:
    def test_of_ways_that_know_are_what_the_table_says(self, found: Found) -> None:
        assert found["transfer", NEAREST, 0, "target"].balanced == pytest.approx(0)
        assert found["transfer", FARTHEST, 0, "target"].balanced == pytest.approx(0.55)
        assert found["transfer", "best teacher", 0, "target"].balanced == pytest.approx(0)
        assert found["transfer", "worst teacher", 0, "target"].balanced == pytest.approx(0.55)
        assert 0 < found["transfer", RANDOM, 0, "target"].balanced < 0.55
        # three of the farthest's best are tried, the least bad of them is found
        assert found["warm", FARTHEST, 3, "target"].balanced == pytest.approx(0.45)
        # sizes grow with the position and so do errors here
        assert found["largest", "", 0, "target"].balanced == pytest.approx(0.55)
        assert found["largest", "", 0, "target"].error == pytest.approx(0.275)

    def test_fall_with_the_number_of_tries(self, found_by_few: Found) -> None:
        found = found_by_few
        for way, source in (("random", ""), ("prior", NEAREST), ("prior", FARTHEST), ("prior", RANDOM)):
            one, three, six = (found[way, source, tries, "target"].balanced for tries in (1, 3, 6))
            assert one >= three >= six >= 0
        assert found["random", "", 1, "target"].balanced > found["random", "", 6, "target"].balanced

    def test_of_a_prior_depend_on_whom_it_is_learnt_from(self, found_by_few: Found, found: Found) -> None:
        near, far = (found_by_few["prior", source, 1, "target"].balanced for source in (NEAREST, FARTHEST))
        assert near < far
        assert ("prior", NEAREST, 1, "target") not in found, "all are known, so there is nothing to draw"
        assert found["predictor", "", 6, "target"].balanced >= 0

    def test_of_nearest_and_farthest_are_left_out_where_nothing_is_measured(
        self, architectures: tuple[Architecture, ...], space: SearchSpace
    ) -> None:
        found = simulated(architectures, space, measured=False, draws=1)
        assert not any(source in (NEAREST, FARTHEST) for _, source, _, _ in found)
        assert ("transfer", RANDOM, 0, "target") in found

    def test_are_judged_by_trainings_that_the_choice_did_not_see(
        self, architectures: tuple[Architecture, ...], space: SearchSpace
    ) -> None:
        # each seed has a favourite of its own, which is the worst by the other seed
        def error(position: int, target: str, seed: int) -> float:
            return 0.1 if position == seed else 0.9 if position == 1 - seed else 0.5

        table = table_of(rows(12, TASKS, error), TASKS, (0, 1))
        found = regrets(table, architectures, space, [], replace(QUICK, tries=(12,)))
        whole = next(one for one in found if one.way == "random" and one.target == "target")
        assert whole.balanced == pytest.approx(0.9 - 0.5)

    def test_are_the_same_again(self, architectures: tuple[Architecture, ...], space: SearchSpace) -> None:
        table = table_of(rows(12, TASKS, noise), TASKS, (0, 1))
        config = replace(QUICK, draws=2)
        first, second = (regrets(table, architectures, space, [], config) for _ in range(2))
        assert first == second

    def test_are_compared_target_by_target(self) -> None:
        def regret(way: str, target: str, balanced: float) -> Regret:
            return Regret(
                way=way,
                source="",
                tries=0,
                target=target,
                balanced=balanced,
                balanced_se=0,
                error=0,
                error_se=0,
            )

        found = [regret("x", "a", 0.1), regret("x", "b", 0.3), regret("y", "a", 0.2), regret("y", "b", 0.25)]
        compared = contrast(found, ("x", "", 0), ("y", "", 0))
        assert compared is not None
        assert compared.difference.mean == pytest.approx(0.025)
        assert (compared.better, compared.difference.n) == (1, 2)
        assert contrast(found, ("x", "", 0), ("z", "", 0)) is None


def triple(
    positions: tuple[int, ...], weights: tuple[float, ...], separate: tuple[float | None, ...]
) -> Triple:
    return Triple(
        target="a",
        number=0,
        positions=positions,
        weights=weights,
        alpha_macs=10,
        alpha_s=1,
        separate=separate,
        separate_losses=tuple(None if one is None else 1.0 for one in separate),
        separate_macs=12,
        separate_s=1,
    )


class TestAlpha:
    @staticmethod
    def error(position: int, target: str, seed: int) -> float:
        return 0.1 * position + (0.01 if seed else -0.01)  # the noise is 0.014, of a difference of means too

    def study(self, *triples: Triple, noise: float = 2.0) -> tuple[float, ...]:
        table = table_of(rows(6, ["a"], self.error), ["a"], (0, 1))
        one, whole = alpha_study(table, triples, noise=noise)
        assert replace(one, target="") == whole
        return (
            one.triples,
            one.within_noise,
            one.alpha_best,
            one.separate_best,
            one.alpha_tau,
            one.separate_tau,
            one.alpha_miss,
            one.separate_miss,
        )

    def test_is_right_where_it_ranks_as_the_truth_does(self) -> None:
        right = triple((0, 1, 2), (0.5, 0.3, 0.2), (0.9, 0.8, 0.7))
        assert self.study(right) == pytest.approx((1, 0, 1, 1, 1, 1, 0, 0))

    def test_misses_by_what_the_truth_says(self) -> None:
        turned = triple((4, 0, 2), (0.6, 0.1, 0.3), (0.7, None, 0.8))
        assert self.study(turned) == pytest.approx((1, 0, 0, 0, -1, -1 / 3, 0.4, 0.2))

    def test_leaves_out_and_counts_what_is_within_noise(self) -> None:
        near = triple((0, 1, 2), (0.1, 0.2, 0.7), (0.9, 0.8, 0.7))
        found = self.study(near, noise=8)
        assert found[:2] == (1, 1)
        assert found[6] == pytest.approx(0.2)  # what is missed is over all of them

    def test_passes_over_architectures_that_are_not_in_the_table(self) -> None:
        table = table_of(rows(6, ["a"], self.error), ["a"], (0, 1))
        assert alpha_study(table, [triple((0, 1, 77), (1, 0, 0), (1, 0, 0))], noise=2) == ()

    def test_says_who_alone_was_right(self) -> None:
        table = table_of(rows(6, ["a"], self.error), ["a"], (0, 1))
        mine = triple((0, 1, 2), (0.5, 0.3, 0.2), (0.7, 0.8, 0.9))
        theirs = triple((0, 1, 2), (0.2, 0.3, 0.5), (0.9, 0.8, 0.7))
        whole = alpha_study(table, [mine, mine, theirs], noise=2)[-1]
        assert (whole.wins, whole.losses) == (2, 1)
        assert (whole.alpha_macs, whole.separate_macs) == (10, 12)


def test_the_whole_says_how_much_of_the_table_is_there(
    architectures: tuple[Architecture, ...], space: SearchSpace
) -> None:
    made = rows(9, ["a", "b"], noise)[:-1]
    found = analysed(
        made, architectures, ["a", "b"], (0, 1), space, [], [], replace(QUICK, draws=2), digest="of it"
    )
    assert (found.rows, found.trainings, found.architectures, found.incomplete) == (35, 48, 8, 1)
    assert found.table == "of it" and found.nearness == () and found.alpha == ()
    assert {one.target for one in found.choices} == {"a", "b"} and len(found.carries) == 4


class TestTrends:
    def test_size_tells_the_order_where_it_decides_on_the_other_targets_too(
        self, architectures: tuple[Architecture, ...]
    ) -> None:
        size = [float(sizes(one, SIZE_SHAPE, SIZE_CLASSES).sum()) for one in architectures]
        least, most = min(size), max(size)

        def error(position: int, target: str, seed: int) -> float:
            share = (size[position] - least) / (most - least)
            return 0.2 + 0.5 * (share if target == "backwards" else 1 - share)

        targets = ["a", "b", "backwards"]
        made = [replace(one, val_loss=one.test_balanced) for one in rows(12, targets, error)]
        found = {one.target: one for one in trends(table_of(made, targets, (0, 1)), architectures)}
        assert all(one.training == pytest.approx(1) for one in found.values())
        straight = [one for one in made if one.target != "backwards"]
        same = trends(table_of(straight, ["a", "b"], (0, 1)), architectures)
        assert all(one.size > 0.9 for one in same)
        assert found["backwards"].size < -0.9, "it is not learnt from the target itself"

    def test_are_in_what_is_analysed(
        self, architectures: tuple[Architecture, ...], space: SearchSpace
    ) -> None:
        made = rows(12, ["a", "b"], lambda p, t, s: 0.5 + noise(p, t, s))
        found = analysed(made, architectures, ["a", "b"], (0, 1), space, (), (), QUICK, digest="x")
        assert [one.target for one in found.trends] == ["a", "b"]
        assert all(one.size == 0 for one in found.trends), "all losses are alike: nothing is promised"
