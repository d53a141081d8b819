"""What every named space promises. One of your own is held to it once it is registered: see `own` below."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import cache

import pytest
import torch

from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture, Shape, build, cost_of
from tanas.networks.cell import Cell
from tanas.networks.skeleton import Skeleton
from tanas.spaces import named
from tanas.spaces.costs import cost_by_parts
from tanas.spaces.named import SPACES, named_space, register_space
from tanas.spaces.prior import Evidence, learn_prior
from tanas.spaces.space import EXHAUSTIVE, SearchSpace

SHAPES: list[Shape] = [(1, 28, 28), (3, 32, 32), (1, 8, 8)]
CLASSES = 3
SEED = Seed(21)


def own() -> SearchSpace:
    """A space that nobody ships: at most two edges end in a node, and there are limits."""
    one = Skeleton(stem="half", widths=(6,), cells=(2,), reductions=(False,))
    return SearchSpace(
        name="own",
        operations=("zero", "conv_1x1", "max_pool_3x3"),
        nodes=4,
        inputs=2,
        skeletons=(one, replace(one, widths=(6, 9), cells=(1, 1), reductions=(False, True))),
        max_parameters=500,
    )


@contextmanager
def registered() -> Iterator[None]:
    """The registry with the own space in it, for as long as it lasts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(named, "_REGISTRY", dict(SPACES))
        register_space("own", own)
        yield


@cache
def space_of(name: str) -> SearchSpace:
    with registered():
        return named_space(name, shape=SHAPES[0])


@cache
def samples(name: str) -> tuple[Architecture, ...]:
    return space_of(name).sample(8, seed=SEED, shape=SHAPES[0], classes=CLASSES)


def labelled(architecture: Architecture) -> Architecture:
    """The same cell with its inner nodes numbered otherwise where their order is free, and a dead edge."""
    cell = architecture.cell
    dead = (0, cell.nodes - 1, "identity")  # into a node from which nothing leads on
    edges = [(a, b + (b == cell.nodes - 1), name) for a, b, name in cell.edges]
    return replace(architecture, cell=Cell(cell.nodes + 1, (*edges, dead)))


@pytest.mark.parametrize("name", [*SPACES, "own"])
class TestSpaceContract:
    def test_says_its_name(self, name: str) -> None:
        assert space_of(name).name == name

    def test_draws_differing_canonical_architectures_of_its_own_within_its_limits(self, name: str) -> None:
        space, drawn = space_of(name), samples(name)
        assert len(drawn) == len(set(drawn)) == 8
        for one in drawn:
            assert one == one.canonical() == one.canonical().canonical()
            assert space.contains(one), one
            assert space.allows(one, SHAPES[0], CLASSES), one

    def test_knows_its_own_in_any_form(self, name: str) -> None:
        for one in samples(name):
            assert labelled(one) != one
            assert labelled(one).canonical() == one
            assert space_of(name).contains(labelled(one))

    def test_repeats_with_its_seed_and_more_begin_with_the_same(self, name: str) -> None:
        few = space_of(name).sample(3, seed=SEED, shape=SHAPES[0], classes=CLASSES)
        assert few == samples(name)[:3]
        other = space_of(name).sample(8, seed=SEED.child("other"), shape=SHAPES[0], classes=CLASSES)
        assert other != samples(name)

    def test_draws_nothing_that_is_left_out(self, name: str) -> None:
        drawn = space_of(name).sample(
            8, seed=SEED, shape=SHAPES[0], classes=CLASSES, without=samples(name)[:4]
        )
        assert not set(drawn) & set(samples(name)[:4])

    def test_counts_what_it_lists(self, name: str) -> None:
        space = space_of(name)
        if space.cells > EXHAUSTIVE:
            pytest.skip(f"{space.cells:,} cells are too many to list")
        cells = list(space.enumerate_cells())
        assert len(set(cells)) == len(cells) == space.cells
        assert space.size == space.cells * len(space.skeletons)
        assert all(cell == cell.canonical() for cell in cells[::50])
        assert all(
            space.contains(Architecture(skeleton=space.skeletons[0], cell=cell)) for cell in cells[::50]
        )

    def test_a_mutation_is_another_of_its_own_within_its_limits(self, name: str) -> None:
        space = space_of(name)
        for number, parent in enumerate(samples(name)):
            seed = SEED.child("mutation", number)
            child = space.mutate(parent, seed=seed, shape=SHAPES[0], classes=CLASSES)
            assert child == child.canonical() != parent
            assert space.contains(child), child
            assert space.allows(child, SHAPES[0], CLASSES), child
            assert child == space.mutate(parent, seed=seed, shape=SHAPES[0], classes=CLASSES)

    def test_can_be_led_by_a_prior_and_stays_what_it_is(self, name: str) -> None:
        space, known = space_of(name), samples(name)[0]
        prior = learn_prior(
            [Evidence(architecture=known, weight=30.0)],
            nodes=space.nodes,
            operations=space.operations,
            skeletons=space.skeletons,
            inputs=space.inputs,
        )
        drawn = replace(space, prior=prior).sample(6, seed=SEED, shape=SHAPES[0], classes=CLASSES)
        assert len(drawn) == len(set(drawn)) == 6
        assert all(space.contains(one) and space.allows(one, SHAPES[0], CLASSES) for one in drawn)
        assert known in drawn, "what did well is drawn more often"

    def test_keeps_a_limit_of_latency_with_all_that_is_drawn(self, name: str) -> None:
        def latency(architecture: Architecture, shape: Shape, classes: int) -> float:
            return cost_by_parts(architecture, shape, classes).macs / 1e6

        space = space_of(name)
        slowest = sorted(latency(one, SHAPES[0], CLASSES) for one in samples(name))[5]
        fast = space.limited(max_latency_ms=slowest, latency=latency)
        drawn = fast.sample(8, seed=SEED, shape=SHAPES[0], classes=CLASSES)
        assert len(drawn) == 8
        child = fast.mutate(drawn[0], seed=SEED, shape=SHAPES[0], classes=CLASSES)
        assert all(latency(one, SHAPES[0], CLASSES) <= slowest for one in (*drawn, child))

    @pytest.mark.parametrize("shape", SHAPES, ids=lambda shape: "x".join(map(str, shape)))
    def test_its_networks_run_and_cost_what_their_parts_cost(self, name: str, shape: Shape) -> None:
        for one in samples(name)[:2]:
            cost = cost_by_parts(one, shape, CLASSES)
            assert cost == cost_of(one, shape, CLASSES)
            network = build(one, shape, CLASSES, SEED)
            assert sum(parameter.numel() for parameter in network.parameters()) == cost.parameters
            answers = network(torch.rand(2, *shape, generator=SEED.torch()))
            assert answers.shape == (2, CLASSES)
            assert torch.isfinite(answers).all()
