from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import pytest

from tanas.ground.errors import SettingError, UnknownNameError
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture, Cost
from tanas.networks.cell import Cell
from tanas.networks.skeleton import Skeleton
from tanas.spaces.costs import cost_by_parts
from tanas.spaces.differences import differences
from tanas.spaces.space import SearchSpace
from tanas.spaces.transformations import COMPRESSING, GROWING, Transformations

SHAPE, CLASSES = (1, 8, 8), 3
OPERATIONS = ("identity", "zero", "sep_conv_3x3", "conv_3x3", "max_pool_3x3")
ORIGIN = Architecture(
    skeleton=Skeleton(widths=(8, 12), cells=(2, 1), reductions=(False, True)),
    cell=Cell(3, ((0, 1, "sep_conv_3x3"), (0, 2, "identity"), (1, 2, "conv_3x3"))),
)


def cost(architecture: Architecture) -> Cost:
    return cost_by_parts(architecture.canonical(), SHAPE, CLASSES)


HAS = cost(ORIGIN)


def space(operations: tuple[str, ...] = OPERATIONS, nodes: int = 4, **limits: Any) -> SearchSpace:
    return SearchSpace(
        name="base", operations=operations, nodes=nodes, skeletons=(ORIGIN.skeleton,), **limits
    )


def moves(aim: str = "grow", origin: Architecture = ORIGIN, **limits: Any) -> Transformations:
    return Transformations.of(aim, origin, space(**limits), shape=SHAPE, classes=CLASSES)


def skeletons(kind: str) -> set[tuple[tuple[int, ...], tuple[int, ...]]]:
    made = moves().transformed(ORIGIN, kind)
    assert all(one.cell == ORIGIN.cell for one in made)
    return {(one.skeleton.widths, one.skeleton.cells) for one in made}


def cells(kind: str) -> tuple[Cell, ...]:
    made = moves().transformed(ORIGIN, kind)
    assert all(one.skeleton == ORIGIN.skeleton for one in made)
    assert all(one.cell == one.cell.canonical() and one.cell.connected for one in made)
    return tuple(one.cell for one in made)


class TestSteps:
    def test_wider_is_one_stage_or_all_half_as_wide_again_or_twice_as_wide(self) -> None:
        assert skeletons("wider") == {
            (widths, (2, 1)) for widths in ((12, 12), (8, 18), (12, 18), (16, 12), (8, 24), (16, 24))
        }

    def test_narrower_is_the_way_back(self) -> None:
        assert skeletons("narrower") == {
            (widths, (2, 1)) for widths in ((5, 12), (8, 8), (5, 8), (4, 12), (8, 6), (4, 6))
        }

    def test_deeper_is_a_cell_or_a_stage_more(self) -> None:
        assert skeletons("deeper") == {((8, 12), (3, 1)), ((8, 12), (2, 2)), ((8, 12, 24), (2, 1, 1))}

    def test_shallower_is_a_cell_or_a_stage_fewer(self) -> None:
        assert skeletons("shallower") == {((8, 12), (1, 1)), ((12,), (1,)), ((8,), (2,))}

    def test_no_stage_joins_where_one_pixel_is_left(self) -> None:
        reduced = replace(ORIGIN, skeleton=replace(ORIGIN.skeleton, stem="half", reductions=(True, True)))
        made = moves().transformed(reduced, "deeper")
        assert made and all(len(one.skeleton.widths) == 2 for one in made)

    def test_a_replaced_operation_leaves_all_other_edges(self) -> None:
        made = cells("replaced")
        assert len(made) == 3 * 3, "three edges, three other operations each"
        for cell in made:
            assert [edge[:2] for edge in cell.edges] == [edge[:2] for edge in ORIGIN.cell.edges]
            assert sum(a != b for a, b in zip(cell.edges, ORIGIN.cell.edges, strict=True)) == 1

    def test_an_edge_joins_alone_or_with_a_node(self) -> None:
        made = cells("added")
        assert {len(cell.edges) for cell in made} == {5}, "no two nodes are free: a node joins by two edges"
        chain = replace(ORIGIN, cell=Cell(3, ((0, 1, "conv_3x3"), (1, 2, "conv_3x3"))))
        joined = [one.cell for one in moves().transformed(chain, "added") if one.cell.nodes == 3]
        assert {cell.edges[1] for cell in joined} == {(0, 2, name) for name in set(OPERATIONS) - {"zero"}}

    def test_a_dropped_edge_takes_what_is_dead_without_it_along(self) -> None:
        assert set(cells("dropped")) == {
            Cell(2, ((0, 1, "identity"),)),
            Cell(3, ((0, 1, "sep_conv_3x3"), (1, 2, "conv_3x3"))),
        }

    def test_a_cheaper_operation_costs_less_and_never_more(self) -> None:
        made = moves().transformed(ORIGIN, "cheaper")
        assert made
        for one in made:
            assert cost(one).parameters <= HAS.parameters and cost(one).macs <= HAS.macs and cost(one) != HAS
        assert len(made) < len(cells("replaced"))

    @pytest.mark.parametrize("kind", (*GROWING, *COMPRESSING))
    def test_a_step_never_leads_back_to_where_it_began(self, kind: str) -> None:
        narrow = replace(ORIGIN, skeleton=Skeleton(widths=(1,), cells=(1,), reductions=(False,)))
        assert ORIGIN not in moves().transformed(ORIGIN, kind)
        assert narrow not in moves().transformed(narrow, kind)


class TestLimits:
    def test_growing_goes_to_four_times_both_figures_unless_told_otherwise(self) -> None:
        assert (moves().space.max_parameters, moves().space.max_macs) == (4 * HAS.parameters, 4 * HAS.macs)
        told = moves(max_parameters=HAS.parameters + 500)
        assert (told.space.max_parameters, told.space.max_macs) == (HAS.parameters + 500, 4 * HAS.macs)

    def test_compressing_goes_to_half_of_the_parameters_and_never_up(self) -> None:
        own = moves("compress")
        assert (own.space.max_parameters, own.space.max_macs) == (round(HAS.parameters / 2), HAS.macs)
        told = moves("compress", max_macs=HAS.macs // 3)
        assert (told.space.max_parameters, told.space.max_macs) == (HAS.parameters, HAS.macs // 3)

    def test_growing_below_what_is_there_is_refused_with_its_figures(self) -> None:
        with pytest.raises(
            SettingError, match=rf"of grow must be at least the {HAS.parameters:,} parameters .*compress"
        ):
            moves(max_parameters=HAS.parameters - 1)

    def test_growing_without_room_for_any_step_is_refused_with_the_smallest(self) -> None:
        full = Architecture(
            skeleton=Skeleton(widths=(4,), cells=(1,), reductions=(False,)),
            cell=Cell(2, ((0, 1, "conv_3x3"),)),
        )
        has = cost(full)
        tight = {"max_parameters": has.parameters, "max_macs": has.macs}
        with pytest.raises(SettingError, match=r"the smallest has [\d,]+ param"):
            Transformations.of("grow", full, space(("conv_3x3",), 2, **tight), shape=SHAPE, classes=CLASSES)

    def test_compressing_what_is_small_enough_is_refused(self) -> None:
        with pytest.raises(SettingError, match="there is nothing to compress"):
            moves("compress", max_parameters=HAS.parameters)

    def test_a_limit_below_all_is_refused_with_the_smallest_figure_and_that_one_is_reached(self) -> None:
        with pytest.raises(SettingError, match="the smallest that transformations reach") as raised:
            moves("compress", max_parameters=3)
        least = cost(moves("compress").smallest())
        assert f"at least {least.parameters:,} parameters and {least.macs:,} multiply-adds" in str(
            raised.value
        )
        reached = moves("compress", max_parameters=least.parameters)
        found = reached.candidates(None, 3, seed=Seed(), without=())
        assert {cost(one).parameters for one in found} == {least.parameters}

    def test_the_smallest_is_found_where_every_chain_gets_stuck_above_it(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(Transformations, "_chain", lambda self, best, generator: None)
        down = moves("compress")
        assert down.candidates(None, 3, seed=Seed(), without=()) == (down.smallest(),)
        assert down.candidates(down.smallest(), 3, seed=Seed(), without=()) == (), "then nothing new is left"

    def test_an_operation_that_is_not_known_is_named(self) -> None:
        odd = replace(ORIGIN, cell=Cell(2, ((0, 1, "sep_conv_3x4"),)))
        with pytest.raises(UnknownNameError, match="'sep_conv_3x4' in the cell .* 'sep_conv_3x3'"):
            moves(origin=odd)

    def test_a_cell_that_is_too_large_is_refused(self) -> None:
        large = Cell(9, tuple((a, a + 1, "identity") for a in range(8)))
        with pytest.raises(SettingError, match="The 'nodes' of the cell"):
            moves(origin=replace(ORIGIN, cell=large))


class TestCandidates:
    @pytest.mark.parametrize("share", [0.9, 0.5, 0.1, 0.02])
    @pytest.mark.parametrize("figure", ["parameters", "macs"])
    def test_all_that_compressing_gives_are_within_the_limit_and_differ(
        self, figure: str, share: float
    ) -> None:
        limit = round(getattr(HAS, figure) * share)
        down = moves("compress", **{f"max_{figure}": limit})
        first = down.candidates(None, 4, seed=Seed(1), without=())
        assert first
        later = down.candidates(first[0], 4, seed=Seed(2), without=first)
        assert not set(first) & set(later)
        for one in (*first, *later):
            assert getattr(cost(one), figure) <= limit
            assert cost(one).parameters <= HAS.parameters and cost(one).macs <= HAS.macs
        assert len(set(first)) == len(first)

    def test_compressing_stays_near_the_limit_where_it_can(self) -> None:
        down = moves("compress")
        shares = [
            cost(one).parameters / down.space.max_parameters
            for one in down.candidates(None, 8, seed=Seed(), without=())
        ]
        assert len(shares) == 8
        assert sum(shares) / len(shares) > 0.6

    def test_growing_gives_single_steps_within_the_limits(self) -> None:
        up = moves(max_parameters=round(1.5 * HAS.parameters))
        apart = set(up.apart(ORIGIN))
        found = up.candidates(ORIGIN, 1000, seed=Seed(), without=())
        assert set(found) == {
            one for one in apart if cost(one).parameters <= 1.5 * HAS.parameters and up.allows(one)
        }
        assert 0 < len(found) < len(apart)
        assert up.candidates(ORIGIN, 3, seed=Seed(), without=found) == ()

    def test_every_kind_of_step_comes_up_as_often_as_the_others(self) -> None:
        up = moves(max_parameters=10**6, max_macs=10**9)
        kinds = {kind: set(up.transformed(ORIGIN, kind)) for kind in GROWING}
        drawn = [up.candidates(ORIGIN, 1, seed=Seed(number), without=())[0] for number in range(200)]
        shares = {kind: sum(one in made for one in drawn) / 200 for kind, made in kinds.items()}
        assert all(0.15 < share < 0.35 for share in shares.values()), shares

    @pytest.mark.parametrize("aim", ["grow", "compress"])
    def test_the_seed_decides(self, aim: str) -> None:
        best = ORIGIN if aim == "grow" else None
        one, same, other = (
            moves(aim).candidates(best, 3, seed=Seed(number), without=()) for number in (1, 1, 2)
        )
        assert one == same != other


class TestDifferences:
    def test_nothing_changed(self) -> None:
        assert differences(ORIGIN, ORIGIN) == ()

    def test_each_part_is_named(self) -> None:
        after = Architecture(
            skeleton=Skeleton(widths=(8, 18, 36), cells=(2, 1, 1), reductions=(False, True, True)),
            cell=Cell(3, ((0, 1, "sep_conv_3x3"), (0, 2, "max_pool_3x3"), (1, 2, "conv_3x3"))),
        )
        stages, channels, cells, cell = differences(ORIGIN, after)
        assert re.search("2.* 3", stages)
        assert re.search("8, 12 .*8, 18, 36", channels)
        assert re.search("2, 1 .*2, 1, 1", cells)
        assert re.search("identity .*max_pool_3x3", cell)
        fewer = replace(ORIGIN, cell=Cell(2, ((0, 1, "identity"),)))
        (edges,) = differences(ORIGIN, fewer)
        assert re.search(r"3 .*\(conv_3x3, identity, sep_conv_3x3\) .*1 \(identity\)", edges)


def by_macs(architecture: Architecture, shape: tuple[int, int, int], classes: int) -> float:
    """A millisecond for each 1,000 multiply-adds."""
    return cost_by_parts(architecture, shape, classes).macs / 1e3


class TestLatency:
    @pytest.mark.parametrize("aim, share", [("compress", 0.6), ("grow", 1.2)])
    def test_every_candidate_is_within_all_limits(self, aim: str, share: float) -> None:
        limit = share * HAS.macs / 1e3
        some = moves(aim, max_latency_ms=limit, latency=by_macs)
        found = some.candidates(None, 6, seed=Seed(0), without=())
        assert len(set(found)) == 6
        assert all(cost(one).macs <= limit * 1e3 for one in found)
        assert all(some.allows(one) for one in found)
        later = some.candidates(found[0], 3, seed=Seed(1), without=found)
        assert len(later) == 3 and all(some.allows(one) for one in later)

    def test_alone_it_leaves_the_parameters_where_they_are(self) -> None:
        some = moves("compress", max_latency_ms=HAS.macs / 2e3, latency=by_macs)
        assert (some.space.max_parameters, some.space.max_macs) == (HAS.parameters, HAS.macs)

    def test_the_same_seed_gives_the_same(self) -> None:
        some = moves("compress", max_latency_ms=HAS.macs / 2e3, latency=by_macs)
        again = moves("compress", max_latency_ms=HAS.macs / 2e3, latency=by_macs)
        assert some.candidates(None, 3, seed=Seed(5), without=()) == again.candidates(
            None, 3, seed=Seed(5), without=()
        )

    @pytest.mark.parametrize(
        "aim, limit, message",
        [
            ("grow", 0.5, "of grow must be more than .*: the network itself takes"),
            ("grow", 1.0, "of grow must be more than .*: the fastest of its transformations takes"),
            (
                "compress",
                1.0,
                "'max_parameters' or 'max_macs' or 'max_latency_ms' of compress",
            ),
            ("compress", 1e-6, "the smallest that transformations reach takes"),
        ],
    )
    def test_a_limit_that_asks_for_nothing_or_too_much_is_refused(
        self, aim: str, limit: float, message: str
    ) -> None:
        def slow_changes(architecture: Architecture, shape: tuple[int, int, int], classes: int) -> float:
            return 1.0 if architecture == ORIGIN.canonical() else 2.0 if aim == "grow" else 0.5

        with pytest.raises(SettingError, match=message):
            moves(aim, max_latency_ms=limit, latency=slow_changes)

    def test_without_a_clock_it_is_refused(self) -> None:
        with pytest.raises(SettingError, match="The 'latency' of SearchSpace"):
            moves("grow", max_latency_ms=1.0)
