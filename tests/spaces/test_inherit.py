from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tanas.ground.errors import SettingError
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture
from tanas.networks.cell import Cell
from tanas.networks.scoring import ScoredArchitecture
from tanas.networks.skeleton import Skeleton
from tanas.spaces.inherit import (
    Inheritance,
    counted,
    inherit,
    similarity_of,
    weighed,
)
from tanas.spaces.named import named_space
from tanas.spaces.prior import LEAST_SIMILARITY
from tanas.spaces.size_trend import Comparison

TASK: dict[str, Any] = {"shape": (1, 28, 28), "classes": 2}
ASKED: dict[str, Any] = {"mode": "union", "per_atom": 2, **TASK}
BASE = named_space("standard")
NARROW = Skeleton(stem="half", widths=(8, 12), cells=(1, 1), reductions=(False, True))
OTHER = replace(NARROW, widths=(16, 16))
HUGE = replace(NARROW, widths=(900, 900))


def scored(
    score: float | None, *operations: str, skeleton: Skeleton = NARROW, parameters: int = 1
) -> ScoredArchitecture:
    """A chain of operations."""
    edges = tuple((place, place + 1, name) for place, name in enumerate(operations))
    architecture = Architecture(skeleton=skeleton, cell=Cell(len(operations) + 1, edges))
    return ScoredArchitecture(architecture=architecture, score=score, parameters=parameters, macs=1)


def atom(name: str, distance: float, *architectures: ScoredArchitecture) -> Inheritance:
    return Inheritance(name=name, distance=distance, architectures=architectures)


ZERO_DIGIT = atom(
    "mnist:is=0",
    0.12,
    scored(None, "conv_7x1_1x7"),
    scored(0.7, "dil_conv_5x5"),
    scored(0.9, "sep_conv_3x3", "identity"),
    scored(0.8, "max_pool_3x3", skeleton=OTHER),
)
TROUSERS = atom("fashion-mnist:is=trouser", 0.3, scored(0.95, "conv_3x3"))


def test_the_best_are_scored_ones_that_differ_smaller_first_where_equal() -> None:
    small, large = scored(0.9, "conv_1x1", parameters=5), scored(0.9, "conv_3x3", parameters=9)
    worse, unscored = scored(0.5, "identity"), scored(None, "sep_conv_3x3")
    again = scored(0.4, "conv_1x1", "zero")
    again = replace(again, architecture=small.architecture)
    assert atom("a", 0.1, again, unscored, worse, large, small).best() == (small, large, worse)


def test_a_union_has_the_operations_and_skeletons_of_the_nearests_best_and_no_others() -> None:
    inherited = inherit((ZERO_DIGIT, TROUSERS), BASE, **ASKED)
    space = inherited.space
    assert space.operations == ("conv_3x3", "identity", "max_pool_3x3", "sep_conv_3x3", "zero")
    assert space.skeletons == (NARROW, OTHER)
    assert (space.nodes, space.name) == (BASE.nodes, "standard+union")
    assert (space.max_parameters, space.max_macs) == (BASE.max_parameters, BASE.max_macs)
    assert inherited.mode == "union"
    assert "2 skeletons" in inherited.note and all(name in inherited.note for name in space.operations)
    assert (
        "mnist:is=0 (distance 0.12" in inherited.note
        and "fashion-mnist:is=trouser (distance 0.30" in inherited.note
    )


def test_the_seed_is_the_best_of_the_nearest_atom_and_in_the_space() -> None:
    inherited = inherit((ZERO_DIGIT, TROUSERS), BASE, **ASKED)
    seed = inherited.seed_architecture
    assert seed == scored(0.9, "sep_conv_3x3", "identity").architecture
    assert seed is not None
    assert inherited.space.contains(seed)


def test_the_inherited_space_can_be_drawn_from() -> None:
    space = inherit((TROUSERS,), BASE, **ASKED).space
    assert len(space.sample(10, seed=Seed(0), **TASK)) == 10


def test_larger_cells_are_inherited_whole() -> None:
    chain = scored(0.9, *["identity", "conv_1x1"] * 2)
    inherited = inherit((atom("far", 0.5, chain),), BASE, **ASKED)
    assert inherited.space.nodes == 5
    assert inherited.space.contains(chain.architecture)


def test_edges_may_be_absent_if_the_base_or_an_inherited_cell_has_them_so() -> None:
    complete = replace(BASE, operations=("identity", "conv_3x3"))
    assert "zero" in inherit((TROUSERS,), complete, **ASKED).space.operations
    whole = Architecture(skeleton=NARROW, cell=Cell.complete(4, ("conv_1x1",) * 6))
    full = atom("full", 0.1, ScoredArchitecture(architecture=whole, score=0.9, parameters=1, macs=1))
    assert inherit((full,), complete, **ASKED).space.operations == ("conv_1x1",)


@pytest.mark.parametrize(
    ("neighbours", "why"),
    [
        ((), "no related tasks"),
        ((atom("bare", 0.1),), "scored architecture"),
        ((atom("seen", 0.1, scored(None, "identity")),), "scored architecture"),
        ((atom("own", 0.1, scored(0.9, "my_conv")),), "operations"),
    ],
    ids=["none", "bare", "unscored", "unknown operations"],
)
def test_with_nothing_to_inherit_the_base_is_searched_and_the_note_says_so(
    neighbours: tuple[Inheritance, ...], why: str
) -> None:
    inherited = inherit(neighbours, BASE, **ASKED)
    assert inherited.space == BASE
    assert inherited.seed_architecture is None
    assert why in inherited.note and "'standard'" in inherited.note


def test_an_atom_without_scores_is_passed_over() -> None:
    inherited = inherit((atom("bare", 0.1), TROUSERS), BASE, **ASKED)
    assert inherited.seed_architecture == TROUSERS.architectures[0].architecture
    assert "bare" not in inherited.note


def test_none_inherits_nothing() -> None:
    inherited = inherit((ZERO_DIGIT,), BASE, **{**ASKED, "mode": "none"})
    assert inherited.space == BASE
    assert inherited.seed_architecture is None
    assert "'standard'" in inherited.note


def test_skeletons_that_break_the_limits_are_dropped_and_said() -> None:
    nearest = atom("wide", 0.1, scored(0.9, "conv_3x3", skeleton=HUGE), scored(0.8, "conv_1x1"))
    inherited = inherit((nearest,), BASE, **ASKED)
    assert inherited.space.skeletons == (NARROW,)
    assert inherited.seed_architecture == scored(0.8, "conv_1x1").architecture
    assert "1 skeleton" in inherited.note and "limits" in inherited.note


def test_with_no_skeleton_left_those_of_the_base_are_taken() -> None:
    inherited = inherit((atom("wide", 0.1, scored(0.9, "conv_3x3", skeleton=HUGE)),), BASE, **ASKED)
    assert inherited.space.skeletons == BASE.skeletons
    assert inherited.space.operations == ("conv_3x3", "zero")
    assert inherited.seed_architecture is None
    assert "'standard'" in inherited.note


def test_with_nothing_that_fits_the_base_is_taken() -> None:
    tight = BASE.limited(max_parameters=150)
    inherited = inherit((TROUSERS,), tight, **ASKED)
    assert inherited.space == tight
    assert "limits" in inherited.note


def test_an_unknown_mode_is_refused_with_the_choices() -> None:
    with pytest.raises(
        SettingError,
        match="'mode' of inherit .*prior, union, transfer, none.* 'every'",
    ):
        inherit((), BASE, **{**ASKED, "mode": "every"})
    with pytest.raises(SettingError, match="The 'per_atom' of inherit must be at least 1"):
        inherit((), BASE, **{**ASKED, "per_atom": 0})


def test_a_prior_keeps_the_base_space_and_prefers_what_the_nearest_have() -> None:
    inherited = inherit((ZERO_DIGIT, TROUSERS), BASE, **{**ASKED, "mode": "prior"})
    space, prior = inherited.space, inherited.space.prior
    assert replace(space, prior=None, name=BASE.name) == BASE
    assert prior is not None
    # single edges to the output: dil_conv_5x5 third of its atom, max_pool_3x3 second, conv_3x3 the best of another
    shares = [prior.probability((0, 3), name) for name in ("dil_conv_5x5", "max_pool_3x3", "conv_3x3")]
    assert sorted(shares) == shares
    assert shares[0] > prior.probability((0, 3), "sep_conv_5x5") > 0
    assert inherited.mode == "prior"
    assert "'standard'" in inherited.note


def test_the_nearer_counts_for_more_and_none_for_nothing() -> None:
    ranked = [one.architecture for one in ZERO_DIGIT.best()]
    near, far = weighed(0.9, ranked), weighed(0.4, ranked)
    assert [one.weight for one in near] == pytest.approx([0.9, 0.45, 0.3])
    assert [one.weight for one in far] == pytest.approx([0.4, 0.2, 0.4 / 3])
    assert similarity_of(1.0) == similarity_of(3.0) == LEAST_SIMILARITY
    assert (similarity_of(0.25), similarity_of(-0.1)) == (0.75, 1)


def test_an_atom_can_count_as_another_distance_than_its_own() -> None:
    """So does a control's, in the place of a nearer one."""
    prior: dict[str, Any] = {**ASKED, "mode": "prior"}
    far = replace(TROUSERS, distance=0.9)
    standing_in = inherit((ZERO_DIGIT, replace(far, counts_as=TROUSERS.distance)), BASE, **prior)
    assert standing_in.space == inherit((ZERO_DIGIT, TROUSERS), BASE, **prior).space
    assert standing_in.space != inherit((ZERO_DIGIT, far), BASE, **prior).space
    assert "distance 0.90" in standing_in.note


def test_the_nearest_counts_whole_however_far_it_is() -> None:
    assert counted([0.2, 0.6, 1.0]) == pytest.approx((1, 0.5, 0.0625))
    assert counted([1.0, 1.0]) == (1, 1)
    assert counted([0.0, 3.0]) == (1, LEAST_SIMILARITY), "a rival's distances have other ranges"
    assert counted([]) == ()
    prior: dict[str, Any] = {**ASKED, "mode": "prior"}
    far = replace(ZERO_DIGIT, distance=1.0), replace(TROUSERS, distance=1.0)
    near = replace(ZERO_DIGIT, distance=0.0), replace(TROUSERS, distance=0.0)
    assert inherit(far, BASE, **prior).space == inherit(near, BASE, **prior).space
    bare = replace(ZERO_DIGIT, distance=0.0, architectures=())
    assert inherit((bare, far[1]), BASE, **prior).space == inherit((near[1],), BASE, **prior).space


def test_scores_count_by_rank_and_all_of_them_count() -> None:
    prior: dict[str, Any] = {**ASKED, "mode": "prior"}
    close = atom("close", 0.1, scored(0.9, "conv_3x3"), scored(0.899, "conv_1x1"), scored(0.1, "identity"))
    apart = atom("close", 0.1, scored(0.5, "conv_3x3"), scored(0.2, "conv_1x1"), scored(0.0, "identity"))
    base = replace(BASE, operations=(*BASE.operations, "conv_1x1"))
    space = inherit((close,), base, **prior).space
    assert space == inherit((apart,), base, **prior).space
    assert space.prior is not None
    shares = [
        space.prior.probability((0, 3), name) for name in ("sep_conv_3x3", "identity", "conv_1x1", "conv_3x3")
    ]
    assert sorted(set(shares)) == shares


TRIED = BASE.sample(8, seed=Seed(1), **TASK)
GROWS = Comparison(architectures=TRIED, losses=tuple(1 / one.skeleton.widths[0] for one in TRIED))
SHRINKS = Comparison(architectures=TRIED, losses=tuple(1.0 * one.skeleton.widths[0] for one in TRIED))


def test_a_prior_learns_sizes_from_good_and_bad_of_all_that_is_known() -> None:
    unknown = replace(TRIED[0], cell=Cell(2, ((0, 1, "my_conv"),)))
    foreign = Comparison(architectures=(unknown, *TRIED[:1]), losses=(0.1, 0.2))
    prior: dict[str, Any] = {**ASKED, "mode": "prior"}
    telling = replace(ZERO_DIGIT, compared=(foreign, GROWS))
    told = inherit((telling, TROUSERS), BASE, **prior)
    assert told.space.size_trend is not None
    assert told.space.size_trend.compared == 8, "what is not known here is passed over"
    assert told.space.size_trend.slopes[2] > 0
    assert "8 trainings of 1 " in told.note
    behind = inherit((TROUSERS,), BASE, behind=(telling,), **prior)
    assert behind.space.size_trend is not None
    assert behind.sources == (TROUSERS.name,), "what lies behind gives nothing else"
    assert behind.space.prior == inherit((TROUSERS,), BASE, **prior).space.prior
    assert inherit((ZERO_DIGIT, TROUSERS), BASE, **prior).space.size_trend is None


def test_sizes_are_learnt_by_how_near_a_task_is_and_in_a_prior_only() -> None:
    prior: dict[str, Any] = {**ASKED, "mode": "prior"}
    near, far = replace(ZERO_DIGIT, distance=0.0), replace(ZERO_DIGIT, distance=1.0)
    slopes = []
    for close, distant in ((GROWS, SHRINKS), (SHRINKS, GROWS)):
        known = (replace(near, compared=(close,)), replace(far, compared=(distant,)))
        promise = inherit(known[:1], BASE, behind=known[1:], **prior).space.size_trend
        assert promise is not None
        slopes.append(promise.slopes[2])
    assert slopes[0] > 0 > slopes[1]
    assert inherit((replace(near, compared=(GROWS,)),), BASE, **ASKED).space.size_trend is None  # a union


def test_a_prior_without_anything_to_learn_from_is_the_base() -> None:
    inherited = inherit((atom("own", 0.1, scored(0.9, "my_conv")),), BASE, **{**ASKED, "mode": "prior"})
    assert inherited.space == BASE
    assert "'standard'" in inherited.note


def test_a_transfer_takes_the_nearests_best_that_stays_within_the_limits() -> None:
    inherited = inherit((ZERO_DIGIT, TROUSERS), BASE, **{**ASKED, "mode": "transfer"})
    assert inherited.transferred == scored(0.9, "sep_conv_3x3", "identity").architecture
    assert "mnist:is=0 (distance 0.12)" in inherited.note
    wide = atom("wide", 0.1, scored(0.9, "conv_3x3", skeleton=HUGE), scored(0.8, "conv_1x1"))
    second = inherit((wide,), BASE, **{**ASKED, "mode": "transfer"})
    assert second.transferred == scored(0.8, "conv_1x1").architecture
    assert "registered here: 1" in second.note


def test_where_nothing_can_be_transferred_the_base_is_searched_and_the_note_says_so() -> None:
    wide = atom("wide", 0.1, scored(0.9, "conv_3x3", skeleton=HUGE))
    inherited = inherit((wide,), BASE, **{**ASKED, "mode": "transfer"})
    assert inherited.transferred is None
    assert inherited.space == BASE
    assert "limits" in inherited.note


def test_all_known_tasks_count_alike_without_a_distance_and_none_is_the_first() -> None:
    digit = replace(ZERO_DIGIT, distance=None, compared=(GROWS,))
    trousers = replace(TROUSERS, distance=None)
    every = inherit((digit, trousers), BASE, **{**ASKED, "mode": "prior"})
    alike = [replace(one, distance=0.0) for one in (digit, trousers)]
    assert every.space == inherit(alike, BASE, **{**ASKED, "mode": "prior"}).space
    assert every.space.size_trend is not None
    assert (every.mode, every.seed_architecture) == ("prior", None)
    assert every.sources == (digit.name, trousers.name)
    assert "all 2 " in every.note
    assert inherit((), BASE, **{**ASKED, "mode": "prior"}).space == BASE


def test_what_has_no_distance_is_named_without_one() -> None:
    taken = inherit((replace(TROUSERS, distance=None),), BASE, **{**ASKED, "mode": "transfer"})
    assert TROUSERS.name in taken.note and "(d " not in taken.note


DARTS = named_space("darts")


def test_a_union_over_a_base_with_inputs_keeps_them_and_the_edges_that_all_cells_have() -> None:
    given = DARTS.sample(2, seed=Seed(1), **TASK)
    known = atom("a", 0.1, *(replace(scored(0.9, "identity"), architecture=one) for one in given))
    space = inherit((known,), DARTS, **ASKED).space
    assert (space.inputs, "zero" in space.operations) == (2, False)
    assert all(space.contains(one) for one in given)


def test_a_union_over_a_base_with_inputs_widens_to_what_it_inherits() -> None:
    three = Cell.complete(4, ("conv_1x1",) * 6)
    inherited = inherit(
        (
            atom(
                "a",
                0.1,
                replace(scored(0.9, "identity"), architecture=Architecture(skeleton=NARROW, cell=three)),
            ),
            TROUSERS,
        ),
        DARTS,
        **ASKED,
    )
    assert (inherited.space.inputs, inherited.space.nodes) == (3, 6)
    assert "zero" in inherited.space.operations, "the inherited cells lack edges that six nodes would have"
    assert inherited.seed_architecture is not None
    assert inherited.space.contains(inherited.seed_architecture)


def test_a_prior_over_a_base_with_inputs_knows_them_and_passes_other_cells_over() -> None:
    own = replace(scored(0.9, "identity"), architecture=DARTS.sample(1, seed=Seed(1), **TASK)[0])
    inherited = inherit(
        (atom("a", 0.1, own, scored(0.8, "identity", "sep_conv_3x3")),), DARTS, **(ASKED | {"mode": "prior"})
    )
    assert inherited.space.prior is not None
    assert inherited.space.prior.inputs == 2
    assert inherited.seed_architecture == own.architecture
    assert "cells do not fit the space: 1" in inherited.note
