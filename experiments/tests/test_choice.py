from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

import pytest

from tanas.ground.records import from_plain, to_plain
from tanas_experiments.choice import (
    RULES,
    Compared,
    Figures,
    Member,
    StudyRecord,
    Truth,
    Way,
    figures,
    noise_of,
    said,
)
from tanas_experiments.choice_page import WAYS, choice_page, summary

TARGETS = ("easy", "hard")


def member(key: str, score: float | None, loss: float | None = 1.0, weight: float | None = None) -> Member:
    return Member(key=key, score=score, loss=loss, weight=weight)


def truth(key: str, first: float, second: float, target: str = "easy") -> Truth:
    return Truth(target=target, key=key, runs=(member(key, first), member(key, second)))


TRUTHS = tuple(
    truth(key, score - 0.01, score + 0.01, target)
    for target in TARGETS
    for key, score in {"a": 0.5, "b": 0.6, "c": 0.7, "d": 0.705}.items()
)
"""Noise: 1.414 points between two runs, so 2 * 1.414 = 2.83 points between two means."""


def compared(
    number: int, weights: Sequence[float], keys: str = "abc", target: str = "easy", *, separate: bool = False
) -> Compared:
    """What a way says is the same by each rule."""
    return Compared(
        target=target,
        number=number,
        members=tuple(
            member(key, weight, loss=1 - weight, weight=None if separate else weight)
            for key, weight in zip(keys, weights, strict=True)
        ),
        cpu_s=2.0,
        macs=1000,
    )


def way(name: str, *groups: Compared) -> Way:
    return Way(name=name, settings={}, compared=groups)


RIGHT, WRONG = (0.1, 0.2, 0.7), (0.7, 0.2, 0.1)


def of(found: Sequence[Figures], name: str, rule: str = "alpha", target: str | None = None) -> Figures:
    (one,) = [one for one in found if (one.way, one.rule, one.target) == (name, rule, target)]
    return one


class TestNoise:
    def test_is_two_standard_errors_of_the_difference_of_two_means(self) -> None:
        easy, hard = noise_of(TRUTHS)
        assert (easy.target, hard.target, easy.architectures) == ("easy", "hard", 4)
        assert easy.deviation == pytest.approx(math.sqrt(2))
        assert easy.least == pytest.approx(2 * math.sqrt(2))
        assert easy.spread == pytest.approx(9.708, abs=0.01)

    def test_pools_the_variances_of_the_architectures(self) -> None:
        (noise,) = noise_of([truth("a", 0.5, 0.5), truth("b", 0.6, 0.64)])
        assert noise.deviation == pytest.approx(math.sqrt((0 + 8) / 2))

    def test_a_run_that_failed_counts_as_no_performance(self) -> None:
        failed = Truth(target="easy", key="a", runs=(member("a", None, None), member("a", 0.5)))
        assert failed.mean == 0.25


class TestSaid:
    MEMBERS = (
        member("a", 0.5, 0.9, 0.2),
        member("b", 0.7, 0.8, 0.5),
        member("c", 0.7, 0.6, 0.3),
        member("d", None, None, 0.0),
    )

    @pytest.mark.parametrize(
        ("rule", "order"), [("alpha", "dacb"), ("loss", "dabc"), ("performance", "dabc")]
    )
    def test_orders_candidates_by_the_rule_dropped_ones_last(self, rule: str, order: str) -> None:
        values = said(self.MEMBERS, rule)
        assert values is not None
        ordered = sorted(range(4), key=values.__getitem__)
        assert "".join(self.MEMBERS[at].key for at in ordered) == order

    def test_is_nothing_by_alpha_where_each_was_trained_on_its_own(self) -> None:
        assert said([replace(one, weight=None) for one in self.MEMBERS], "alpha") is None


class TestFigures:
    def test_count_how_often_the_best_is_chosen_and_by_how_much_it_is_missed(self) -> None:
        found = figures(TRUTHS, [way("equal", compared(0, RIGHT), compared(1, WRONG), compared(2, RIGHT))])
        for rule in RULES:
            one = of(found, "equal", rule)
            assert (one.n, one.decided, one.best, one.near) == (3, 3, 2, 2)
            assert one.share == pytest.approx(2 / 3)
            assert one.low is not None
            assert one.high is not None
            assert (one.low, one.high) == (pytest.approx(0.0943, abs=1e-4), pytest.approx(0.9916, abs=1e-4))
            assert one.regret == pytest.approx(20 / 3)
            assert one.tau == pytest.approx((1 + 1 - 1) / 3)
            assert (one.cpu_s, one.macs, one.candidates) == (2.0, 1000, 3)
            assert (one.first_chosen, one.first_best) == (1, 0)

    def test_leave_out_what_is_within_noise_and_count_it(self) -> None:
        # c and d are half a point apart: none of both is told to be the best
        found = figures(TRUTHS, [way("equal", compared(0, RIGHT, "acd"), compared(1, RIGHT, "adc"))])
        one = of(found, "equal")
        assert (one.n, one.decided, one.best, one.share, one.low) == (2, 0, 0, None, None)
        assert one.near == 2
        assert one.regret == pytest.approx(0.25)

    def test_are_given_of_all_targets_together_and_of_each(self) -> None:
        groups = (compared(0, RIGHT), compared(0, WRONG, target="hard"), compared(1, WRONG, target="hard"))
        found = figures(TRUTHS, [way("equal", *groups)])
        assert [of(found, "equal", target=t).n for t in (None, *TARGETS)] == [3, 1, 2]
        assert [of(found, "equal", target=t).best for t in (None, *TARGETS)] == [1, 1, 0]

    def test_an_order_of_nothing_has_a_tau_of_nothing(self) -> None:
        one = of(figures(TRUTHS, [way("equal", compared(0, (0.3, 0.3, 0.3)))]), "equal")
        assert one.tau == 0.0
        assert one.first_chosen == 1, "of equal ones the first is taken"

    def test_hold_every_way_against_the_reference_on_the_same_groups(self) -> None:
        reference = way("equal", *(compared(n, WRONG if n < 6 else RIGHT) for n in range(8)))
        other = way("own", *(compared(n, RIGHT if n < 6 else WRONG) for n in range(7)))
        found = figures(TRUTHS, [reference, other])
        assert of(found, "equal").against is None
        held = of(found, "own").against
        assert held is not None
        assert (held.n, held.only_own, held.only_reference) == (7, 6, 1)
        assert held.p == pytest.approx(2 * (1 + 7) / 2**7)
        assert held.regret.mean == pytest.approx(20 * (1 - 6) / 7)

    def test_compare_no_groups_of_another_size(self) -> None:
        other = way("own-2-candidates", compared(0, RIGHT[1:], "bc"))
        found = figures(TRUTHS, [way("equal", compared(0, RIGHT)), other])
        one = of(found, "own-2-candidates")
        assert (one.candidates, one.against) == (2, None)

    def test_know_no_alpha_of_separate_trainings(self) -> None:
        found = figures(TRUTHS, [way("separate", compared(0, RIGHT, separate=True))])
        assert {one.rule for one in found} == {"loss", "performance"}


@pytest.fixture(scope="module")
def record() -> StudyRecord:
    ways = (
        way("equal", *(compared(n, WRONG if n % 2 else RIGHT, target=t) for t in TARGETS for n in range(4))),
        way("own", *(compared(n, RIGHT, target=t) for t in TARGETS for n in range(4))),
        way(
            "separate",
            *(
                compared(n, WRONG if n == 3 else RIGHT, target=t, separate=True)
                for t in TARGETS
                for n in range(4)
            ),
        ),
        way("own-warm", *(compared(n, WRONG, target=t) for t in TARGETS for n in range(4))),
    )
    return StudyRecord(
        what="a test",
        command="python it.py",
        n=8,
        targets=TARGETS,
        seed=0,
        size={"images": 2000, "truth_images": 500, "choice_images": 400, "epochs": 5},
        default=("own", "performance"),
        architectures=(1, 2, 3, 4),
        noise=noise_of(TRUTHS),
        figures=figures(TRUTHS, ways),
        truths=TRUTHS,
        ways=ways,
        hardware="an abacus",
        versions={"torch": "2"},
    )


class TestRecord:
    def test_survives_json(self, record: StudyRecord) -> None:
        assert to_plain(from_plain(StudyRecord, to_plain(record), where="here")) == to_plain(record)

    def test_says_what_was_not_measured(self, record: StudyRecord) -> None:
        with pytest.raises(ValueError, match="'letter' by 'alpha' was not measured on any target"):
            record.of("letter", "alpha")


class TestPage:
    def test_holds_the_default_against_its_aims(self, record: StudyRecord) -> None:
        page = choice_page(record)
        assert "The default finds the best of 3 in 8 of 8 (63 % to 100 %) groups whose best is clear." in page
        assert "Aim: 75 %, met; a tau of 0.5, met." in page
        missed = choice_page(replace(record, default=("equal", "alpha")))
        assert "Aim: 75 %, missed; a tau of 0.5, missed." in missed

    def test_names_the_best_at_the_same_cost_and_separate_trainings(self, record: StudyRecord) -> None:
        page = choice_page(record)
        assert (
            "The best mixture of that cost is 'equal weights for 2 epochs, each candidate's own loss added"
            in page
        )
        assert "**Separate trainings by own validation loss: 6 of 8" in page

    def test_says_how_often_a_head_start_wins(self, record: StudyRecord) -> None:
        assert "is chosen in 8 of 8 groups by own validation l; it is the best in 0." in choice_page(record)

    def test_shows_every_way_and_every_rule(self, record: StudyRecord) -> None:
        page = choice_page(record)
        for way in {one.way for one in record.figures}:
            (line,) = [
                one
                for one in page.splitlines()
                if one.startswith(f"| {WAYS.get(way, way)} |") and " (" in one
            ][-1:]
            regrets = [one.regret for one in record.figures if one.way == way and one.target is None]
            assert all(f"{regret:.2f} (" in line for regret in regrets)
        assert "| `hard` |" in page
        assert "| `easy` | 1.41 | 9.71 | more than 2.83 points |" in page

    def test_a_summary_has_a_line_for_each_way_and_rule(self, record: StudyRecord) -> None:
        assert len(summary(record).splitlines()) == 11
