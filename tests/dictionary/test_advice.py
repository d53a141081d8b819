"""Advice to search or to reuse."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.algorithm.test_learn import learnt
from tests.strategies.small_search import one_edge

from tanas.dictionary.advice import LEAST_SEARCHES, NOT_WORTH, advise
from tanas.dictionary.starter import Experience
from tanas.dictionary.task_record import Atom, Reuse
from tanas.networks.architecture import Architecture


def atom(reuse: Reuse | None = None, search_macs: int | None = 100) -> Atom:
    made = learnt().atom
    return replace(made, reuse=reuse, provenance=replace(made.provenance, search_macs=search_macs))


def past(score: float, best: float) -> Atom:
    return atom(Reuse(source="a", distance=0.1, score=score, best=best))


def test_without_a_scored_architecture_it_says_search() -> None:
    bare = replace(atom(), architectures=())
    advice = advise([("a", bare)], [bare])
    assert not advice.reuse
    assert str(advice).startswith("Advice: search")


def test_without_a_past_it_says_that_nothing_is_known() -> None:
    advice = advise([("a", atom())], [atom()])
    assert (advice.searches, advice.gain, advice.reuse) == (0, None, False)


def test_few_searches_are_named_and_not_relied_on() -> None:
    known = [past(0.8, 0.8)] * (LEAST_SEARCHES - 1)
    advice = advise([("a", atom())], known)
    assert advice.gain == 0
    assert not advice.reuse
    assert f"{LEAST_SEARCHES - 1} past searches" in str(advice)


def test_it_says_reuse_where_searches_added_next_to_nothing() -> None:
    known = [past(0.9, 0.9), past(0.8, 0.8 + NOT_WORTH), past(0.7, 0.7), atom()]
    advice = advise([("weak", replace(atom(), architectures=())), ("a", atom())], known)
    assert advice.reuse
    assert (advice.nearest, advice.searches) == ("a", 3)
    assert advice.gain == pytest.approx(NOT_WORTH / 3)
    assert advice.transfer == pytest.approx(0.8)
    assert str(advice).startswith("Advice: reuse") and "inherit = 'transfer'" in str(advice)


def test_it_says_search_where_searches_added_something() -> None:
    advice = advise([("a", atom())], [past(0.8, 0.9)] * 4)
    assert not advice.reuse
    assert str(advice).startswith("Advice: search")
    assert "4 past searches" in str(advice) and "+0.100" in str(advice)


def test_the_cost_of_past_searches_is_the_mean_of_those_that_kept_it() -> None:
    reuse = Reuse(source="a", distance=0.1, score=0.5, best=0.6)
    known = [atom(reuse, 100), atom(reuse, 300), atom(reuse, None)]
    assert advise([("a", atom())], known).search_macs == 200
    assert advise([("a", atom())], [atom(reuse, None)]).search_macs is None


def test_gains_over_reused_weights_that_older_versions_measured_do_not_count() -> None:
    cold, warm = past(0.5, 0.9), atom(Reuse(source="a", distance=0.1, score=0.9, best=0.9, warm=True))
    advice = advise([("a", atom())], [cold, cold, cold, warm, warm, warm])
    assert (advice.searches, advice.reuse) == (3, False)


def test_what_does_not_fit_the_task_is_not_offered() -> None:
    known = atom()
    smaller = one_edge("identity")
    two = replace(
        known,
        architectures=(
            *known.architectures,
            replace(known.architectures[0], architecture=smaller, score=0.1),
        ),
    )
    assert advise([("a", two), ("b", known)], []).score != 0.1
    advice = advise([("a", two), ("b", known)], [], fits=lambda one: one == smaller)
    assert (advice.nearest, advice.score) == ("a", 0.1)
    advice = advise([("a", known), ("b", two)], [], fits=lambda one: one == smaller)
    assert (advice.nearest, advice.score) == ("b", 0.1)
    assert advise([("a", known)], [past(0.8, 0.8)] * 3, fits=lambda _: False).reuse is False
    asked = list[Architecture]()
    advise([("a", two), ("b", known)], [], fits=lambda one: not asked.append(one))  # type: ignore[func-returns-value]
    assert len(asked) == 1, "to ask can take a while, so none is asked in vain"


def test_l_of_a_final_training_is_not_said_beside_scores() -> None:
    known = atom()
    (best, *_) = known.architectures
    final = replace(known, architectures=(replace(best, score=0.98, final=True),))
    advice = advise([("a", final)], [])
    assert (advice.nearest, advice.score) == ("a", None)
    assert "0.98" not in str(advice)


SELDOM = Experience(
    kind="tanas experience",
    schema=1,
    searches=16,
    better=0,
    share=0.1,
    tasks=12,
    points=-4.2,
    low=-7.1,
    high=-1.9,
)


def test_the_laboratorys_experience_counts_until_there_are_own_searches() -> None:
    known = [atom()]
    seldom = advise([("a", atom())], known, experience=SELDOM)
    assert seldom.reuse
    assert str(seldom).startswith("Advice: reuse. In 0 of 16 searches")
    assert "-4.2 points" in str(seldom)
    often = advise([("a", atom())], known, experience=replace(SELDOM, better=8))
    assert not often.reuse
    assert str(often).startswith("Advice: search. In 8 of 16 searches")
    own = advise([("a", atom())], [past(0.8, 0.9)] * LEAST_SEARCHES, experience=SELDOM)
    assert not own.reuse
    assert "3 past searches" in str(own)
    nothing = advise([("a", replace(atom(), architectures=()))], known, experience=SELDOM)
    assert not nothing.reuse
