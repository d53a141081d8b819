from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
from scipy.stats import chisquare  # type: ignore[import-untyped]

from tanas.ground.errors import SettingError, UnknownNameError
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture, Shape, cost_of
from tanas.networks.cell import Cell
from tanas.networks.skeleton import Skeleton
from tanas.spaces.changes import cells_with_another_edge, changed, nearest_skeletons
from tanas.spaces.named import named_space
from tanas.spaces.prior import Evidence, learn_prior
from tanas.spaces.space import SearchSpace

SHAPE, CLASSES = (1, 8, 8), 2
TASK: dict[str, Any] = {"shape": SHAPE, "classes": CLASSES}
NARROW = Skeleton(widths=(4, 4), cells=(1, 1), reductions=(False, True))
WIDE = replace(NARROW, widths=(8, 8))
SMALL = SearchSpace(
    name="small", operations=("zero", "identity", "conv_3x3"), nodes=3, skeletons=(WIDE, NARROW, WIDE)
)
CONVOLUTION = Cell(2, ((0, 1, "conv_3x3"),))


def everything(space: SearchSpace) -> set[Architecture]:
    return {
        Architecture(skeleton=skeleton, cell=cell)
        for cell in space.enumerate_cells()
        for skeleton in space.skeletons
    }


def test_operations_and_skeletons_are_sorted_and_without_repeats() -> None:
    assert SMALL.operations == ("conv_3x3", "identity", "zero")
    assert SMALL.skeletons == (NARROW, WIDE)
    assert replace(SMALL, operations=("identity", "conv_3x3", "zero", "zero")) == SMALL


def test_size_is_cells_times_skeletons() -> None:
    assert SMALL.cells == 2 + 2**2 + 2**3
    assert SMALL.size == 2 * SMALL.cells == len(everything(SMALL))


def test_a_space_holds_its_architectures_however_they_are_numbered() -> None:
    assert all(SMALL.contains(architecture) for architecture in everything(SMALL))
    dead_edge = Cell(3, ((0, 1, "conv_3x3"), (0, 2, "identity")))
    assert SMALL.contains(Architecture(skeleton=NARROW, cell=dead_edge))


@pytest.mark.parametrize(
    "other",
    [
        Architecture(skeleton=replace(NARROW, stem="half"), cell=CONVOLUTION),
        Architecture(skeleton=NARROW, cell=Cell(2, ((0, 1, "conv_1x1"),))),
        Architecture(skeleton=NARROW, cell=Cell(2, ())),
        Architecture(
            skeleton=NARROW, cell=Cell(4, ((0, 1, "conv_3x3"), (1, 2, "conv_3x3"), (2, 3, "conv_3x3")))
        ),
    ],
    ids=["skeleton", "operation", "unconnected", "nodes"],
)
def test_a_space_does_not_hold_others(other: Architecture) -> None:
    assert not SMALL.contains(other)


def test_a_space_without_zero_holds_only_complete_cells() -> None:
    complete = replace(SMALL, operations=("identity", "conv_3x3"))
    assert not complete.contains(Architecture(skeleton=NARROW, cell=CONVOLUTION))
    drawn = complete.sample(99, seed=Seed(0), **TASK)
    assert drawn and all(len(one.cell.edges) == 3 for one in drawn)


def test_samples_all_differ_and_are_the_whole_of_a_small_space() -> None:
    drawn = SMALL.sample(1000, seed=Seed(0), **TASK)
    assert len(drawn) == SMALL.size
    assert set(drawn) == everything(SMALL)


def test_what_was_seen_is_not_drawn_again() -> None:
    first = SMALL.sample(20, seed=Seed(0), **TASK)
    rest = SMALL.sample(20, seed=Seed(1), without=first, **TASK)
    assert len(rest) == SMALL.size - 20
    assert not set(first) & set(rest)
    assert SMALL.sample(3, seed=Seed(2), without=everything(SMALL), **TASK) == ()


@pytest.mark.parametrize("name", ["paper", "standard"])
def test_samples_are_canonical_allowed_and_inside(name: str) -> None:
    space = named_space(name)
    task: dict[str, Any] = {"shape": (1, 28, 28), "classes": 10}
    seen = space.sample(10, seed=Seed(3), **task)
    drawn = space.sample(40, seed=Seed(4), without=seen, **task)
    assert len(set(drawn) | set(seen)) == 50
    assert all(one == one.canonical() and space.contains(one) for one in drawn)
    assert all(space.allows(one, (1, 28, 28), 10) for one in drawn)


@pytest.mark.parametrize("space", [SMALL, named_space("standard")], ids=["listed", "drawn"])
def test_a_seed_repeats_and_more_begin_with_the_same(space: SearchSpace) -> None:
    drawn = space.sample(12, seed=Seed(5), **TASK)
    assert drawn == space.sample(12, seed=Seed(5), **TASK)
    assert drawn[:5] == space.sample(5, seed=Seed(5), **TASK)
    assert drawn != space.sample(12, seed=Seed(6), **TASK)


@pytest.mark.parametrize("exhaustive", [0, 10_000], ids=["drawn", "listed"])
def test_every_allowed_architecture_is_as_likely(exhaustive: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tanas.spaces.space.EXHAUSTIVE", exhaustive)
    space = SMALL.limited(max_parameters=1000)
    allowed = [one for one in everything(space) if cost_of(one, SHAPE, CLASSES).parameters <= 1000]
    assert 1 < len(allowed) < space.size
    draws = (space.sample(1, seed=Seed(7).child(n), **TASK)[0] for n in range(30 * len(allowed)))
    counts = Counter(draws)
    assert set(counts) == set(allowed)
    assert chisquare(list(counts.values())).pvalue > 0.01


def test_limits_are_those_of_the_counted_cost() -> None:
    architecture = Architecture(skeleton=NARROW, cell=CONVOLUTION)
    cost = cost_of(architecture, SHAPE, CLASSES)
    assert SMALL.limited(cost.parameters, cost.macs).allows(architecture, SHAPE, CLASSES)
    assert not SMALL.limited(max_parameters=cost.parameters - 1).allows(architecture, SHAPE, CLASSES)
    assert not SMALL.limited(max_macs=cost.macs - 1).allows(architecture, SHAPE, CLASSES)


def test_what_limits_leave_out_is_counted_among_what_there_is_without_them() -> None:
    sizes = sorted(cost_of(one, SHAPE, CLASSES).parameters for one in everything(SMALL))
    limit = sizes[len(sizes) // 2]
    over, drawn = SMALL.limited(max_parameters=limit).over_limits(10_000, seed=Seed(0), **TASK)
    assert drawn == SMALL.size
    assert over == sum(size > limit for size in sizes) > 0
    fewer = SMALL.limited(max_parameters=limit).over_limits(5, seed=Seed(0), **TASK)
    assert fewer[1] == 5
    assert SMALL.over_limits(10_000, seed=Seed(0), **TASK) == (0, SMALL.size)


def test_a_limit_left_out_stays() -> None:
    limited = SMALL.limited(max_parameters=500).limited(max_macs=9000)
    assert (limited.max_parameters, limited.max_macs) == (500, 9000)


@pytest.mark.parametrize("space", [SMALL, named_space("standard")], ids=["listed", "drawn"])
def test_limits_that_admit_nothing_are_refused_with_the_smallest(space: SearchSpace) -> None:
    message = (
        r"'max_parameters' of 3 .*'\w+' admit no architecture.* [\d,]+ parameters and [\d,]+ multiply-adds"
    )
    with pytest.raises(SettingError, match=message):
        space.limited(max_parameters=3, max_macs=10**9).sample(2, seed=Seed(0), **TASK)


def test_the_refusals_figures_are_limits_that_admit_one() -> None:
    smallest = Architecture(skeleton=NARROW, cell=Cell(2, ((0, 1, "identity"),)))
    cost = cost_of(smallest, SHAPE, CLASSES)
    with pytest.raises(SettingError, match=f"{cost.parameters} parameters and {cost.macs:,} multiply-adds"):
        SMALL.limited(max_parameters=1).sample(1, seed=Seed(0), **TASK)
    assert smallest in SMALL.limited(cost.parameters, cost.macs).sample(9, seed=Seed(0), **TASK)


def test_a_large_space_under_tight_limits_gives_what_there_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tanas.spaces.space.DRAWS_AT_LEAST", 50)
    monkeypatch.setattr("tanas.spaces.space.DRAWS_EACH", 1)
    space = named_space("standard").limited(max_parameters=170)  # below any cell with a weight
    drawn = space.sample(2, seed=Seed(0), **TASK)
    assert drawn
    assert all(space.allows(one, SHAPE, CLASSES) for one in drawn)


def edge_changes(one: Cell, other: Cell) -> bool:
    """Whether some numbering makes them differ by one edge, or by one node and its two edges."""
    first, second = Counter(n for _, _, n in one.edges), Counter(n for _, _, n in other.edges)
    return one != other and (sum((second - first).values()) <= 2 or other.nodes < one.nodes)


def test_a_mutation_is_another_architecture_inside_by_one_change() -> None:
    space = named_space("standard")
    kinds = set()
    parents = space.sample(60, seed=Seed(8), **TASK)
    assert len(parents) == 60
    for number, parent in enumerate(parents):
        child = space.mutate(parent, seed=Seed(9).child(number), **TASK)
        assert child != parent
        assert child == child.canonical()
        assert space.contains(child) and space.allows(child, SHAPE, CLASSES)
        if child.skeleton == parent.skeleton:
            assert edge_changes(parent.cell, child.cell)
            kinds.add("edge" if child.cell.nodes <= parent.cell.nodes else "node")
        else:
            assert child.cell == parent.cell
            assert child.skeleton in nearest_skeletons(parent.skeleton, space.skeletons)
            kinds.add("skeleton")
        assert child == space.mutate(parent, seed=Seed(9).child(number), **TASK)
    assert {"edge", "skeleton"} <= kinds


def test_mutations_reach_the_whole_of_a_small_space() -> None:
    reached = todo = {Architecture(skeleton=NARROW, cell=CONVOLUTION)}
    for step in range(30):
        todo = {SMALL.mutate(one, seed=Seed(step).child(one.key), **TASK) for one in reached}
        reached = reached | todo
    assert reached == everything(SMALL)


def test_a_mutation_of_an_outsider_comes_inside() -> None:
    outsider = Architecture(skeleton=replace(NARROW, widths=(5, 7)), cell=Cell(2, ((0, 1, "conv_1x1"),)))
    assert SMALL.contains(SMALL.mutate(outsider, seed=Seed(0), **TASK))


TWO = replace(SMALL, operations=("identity", "conv_3x3"), nodes=4, inputs=2)


@pytest.mark.parametrize(
    "space", [TWO, replace(TWO, operations=("identity", "conv_3x3", "zero"))], ids=["exactly", "at most"]
)
def test_mutations_reach_the_whole_of_a_space_with_inputs(space: SearchSpace) -> None:
    reached = {space.sample(1, seed=Seed(0), **TASK)[0]}
    todo = list(reached)
    while todo:
        parent = todo.pop()
        near = {
            one
            for kind in range(3)
            for one in changed(
                parent, kind, space.skeletons, space.nodes, space.operations, inputs=space.inputs
            )
            if space.contains(one)
        }
        todo += near - reached
        reached |= near
    assert reached == everything(space)


def test_an_edge_moves_only_where_inputs_are_limited() -> None:
    line = Cell(3, ((0, 1, "identity"), (1, 2, "identity")))
    assert Cell(2, ((0, 1, "identity"),)) in cells_with_another_edge(line, ("identity",), moves=True)
    assert Cell(2, ((0, 1, "identity"),)) not in cells_with_another_edge(line, ("identity",))


def test_a_prior_over_a_space_with_inputs_draws_each_cell_by_its_weight() -> None:
    space = replace(TWO, skeletons=(NARROW,))
    cells = list(space.enumerate_cells())
    best = [Architecture(skeleton=NARROW, cell=cells[place]) for place in (3, -5)]
    prior = learn_prior(
        [Evidence(architecture=one, weight=0.3) for one in best],
        nodes=space.nodes,
        operations=space.operations,
        skeletons=space.skeletons,
        inputs=space.inputs,
    )
    weights = np.exp([prior.log_cell(cell) for cell in cells])
    generator = Seed(3).numpy()
    drawn = Counter(cell for _ in range(9_000) if (cell := prior.draw_cell(generator)) is not None)
    expected = weights / weights.sum() * drawn.total()
    assert expected.min() > 4 and expected.max() > 5 * expected.min()
    assert chisquare([drawn[cell] for cell in cells], expected).pvalue > 0.01


def test_a_prior_of_other_inputs_is_refused() -> None:
    prior = learn_prior([], nodes=4, operations=TWO.operations, skeletons=TWO.skeletons, inputs=3)
    with pytest.raises(SettingError, match="'prior' of SearchSpace .*inputs"):
        replace(TWO, prior=prior)


def by_macs(architecture: Architecture, shape: Shape, classes: int) -> float:
    """A latency that repeats: a millisecond for ten thousand multiply-adds."""
    return cost_of(architecture.canonical(), shape, classes).macs / 1e4


@pytest.mark.parametrize("exhaustive", [0, 10_000], ids=["drawn", "listed"])
def test_every_architecture_that_is_fast_enough_is_as_likely(
    exhaustive: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tanas.spaces.space.EXHAUSTIVE", exhaustive)
    times = sorted(by_macs(one, SHAPE, CLASSES) for one in everything(SMALL))
    space = SMALL.limited(max_latency_ms=times[len(times) // 3], latency=by_macs)
    fast = [one for one in everything(space) if space.allows(one, SHAPE, CLASSES)]
    assert 1 < len(fast) < space.size
    counts = Counter(space.sample(1, seed=Seed(7).child(n), **TASK)[0] for n in range(30 * len(fast)))
    assert set(counts) == set(fast)
    assert chisquare(list(counts.values())).pvalue > 0.01


def test_a_limit_of_latency_that_admits_nothing_is_refused_with_the_fastest_of_the_smallest() -> None:
    least = min(by_macs(one, SHAPE, CLASSES) for one in everything(SMALL))
    space = SMALL.limited(max_latency_ms=least / 2, latency=by_macs)
    message = f"'max_latency_ms' of {least / 2:g} .*'small' admits no architecture.* {least:.3g} ms"
    for refused in (space.check_limits, partial(space.sample, 1, seed=Seed(0))):
        with pytest.raises(SettingError, match=message):
            refused(**TASK)
    assert SMALL.limited(max_latency_ms=least, latency=by_macs).sample(1, seed=Seed(0), **TASK)


def test_what_other_limits_leave_out_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Architecture] = []

    def latency(architecture: Architecture, shape: Shape, classes: int) -> float:
        asked.append(architecture)
        return 1.0

    space = SMALL.limited(max_parameters=400, max_latency_ms=2.0, latency=latency)
    drawn = space.sample(3, seed=Seed(0), **TASK)
    assert set(drawn) <= set(asked)
    assert all(cost_of(one, SHAPE, CLASSES).parameters <= 400 for one in asked)
    assert len(asked) == 4, "the smallest, and what was drawn; a small space is not timed whole"


@pytest.mark.parametrize("exhaustive", [0, 10_000], ids=["drawn", "listed"])
def test_few_are_timed_where_nearly_all_are_too_slow(
    exhaustive: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tanas.spaces.space.EXHAUSTIVE", exhaustive)
    monkeypatch.setattr("tanas.spaces.space.TOO_SLOW_AT_LEAST", 5)
    monkeypatch.setattr("tanas.spaces.space.TOO_SLOW_EACH", 2)
    least = min(by_macs(one, SHAPE, CLASSES) for one in everything(SMALL))
    asked: list[Architecture] = []

    def latency(architecture: Architecture, shape: Shape, classes: int) -> float:
        asked.append(architecture)
        return by_macs(architecture, shape, classes)

    space = SMALL.limited(max_latency_ms=least, latency=latency)
    drawn = space.sample(2, seed=Seed(1), **TASK)
    assert drawn, "the smallest are taken before it counts as exhausted"
    assert all(by_macs(one, SHAPE, CLASSES) <= least for one in drawn)
    assert len(asked) <= 1 + (5 + 2 * 2) + 2 + len(SMALL.skeletons)
    fast = space.limited(max_latency_ms=3 * least)
    for number in range(5):
        child = fast.mutate(drawn[0], seed=Seed(number), **TASK)
        assert by_macs(child, SHAPE, CLASSES) <= 3 * least


def test_two_spaces_are_equal_whoever_times_them() -> None:
    other = SMALL.limited(latency=lambda architecture, shape, classes: 1.0)
    assert other == SMALL
    assert SMALL.limited(max_latency_ms=2.0, latency=by_macs) != SMALL


def test_the_only_architecture_of_a_space_cannot_be_mutated() -> None:
    space = SearchSpace(name="one", operations=("identity",), nodes=2, skeletons=(NARROW,))
    only = space.sample(1, seed=Seed(0), **TASK)[0]
    with pytest.raises(SettingError, match="'one' has no architecture within its limits other than"):
        space.mutate(only, seed=Seed(0), **TASK)


def test_every_skeleton_of_the_standard_space_can_be_reached_from_every_other() -> None:
    skeletons = named_space("standard").skeletons
    place = {skeleton: index for index, skeleton in enumerate(skeletons)}
    steps = np.zeros((len(skeletons), len(skeletons)), dtype=bool)
    for skeleton in skeletons:
        steps[place[skeleton], [place[near] for near in nearest_skeletons(skeleton, skeletons)]] = True
    for links in (steps, steps.T):
        reached = np.zeros(len(skeletons), dtype=bool)
        reached[0] = True
        for _ in range(len(skeletons)):
            reached |= links[reached].any(axis=0)
        assert reached.all()


def test_nearest_skeletons_differ_in_one_field_where_there_are_such() -> None:
    start = Skeleton(widths=(8, 16), cells=(1, 1), reductions=(False, True))
    near = replace(start, widths=(12, 24))
    longer = Skeleton(widths=(8, 16, 32), cells=(1, 1, 2), reductions=(False, True, True))
    half = replace(start, stem="half")
    far, both = replace(start, widths=(32, 64)), replace(half, widths=(12, 24))
    found = nearest_skeletons(start, (start, near, longer, half, far, both))
    assert set(found) == {near, longer, half}


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (
            {"operations": ("sep_conv_3",)},
            UnknownNameError,
            "'sep_conv_3' in the 'operations' of SearchSpace",
        ),
        ({"operations": ("zero",)}, SettingError, "other than 'zero'"),
        ({"skeletons": ()}, SettingError, "'skeletons' of SearchSpace"),
        ({"nodes": 7}, SettingError, r"'nodes' of SearchSpace must be in \[2, 6\]"),
        ({"max_macs": 0}, SettingError, "'max_macs' of SearchSpace must be at least 1"),
        ({"inputs": 0}, SettingError, "'inputs' of SearchSpace must be at least 1"),
        ({"max_latency_ms": 3.0}, SettingError, "'latency' of SearchSpace"),
        (
            {"max_latency_ms": 0.0, "latency": by_macs},
            SettingError,
            "'max_latency_ms' of SearchSpace must be greater than 0",
        ),
    ],
    ids=["operation", "only zero", "skeletons", "nodes", "limit", "inputs", "no latency", "latency"],
)
def test_settings_that_make_no_space_are_refused(
    change: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        replace(SMALL, **change)
