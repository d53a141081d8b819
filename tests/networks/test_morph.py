from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import nn

from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture, Network, build
from tanas.networks.cell import Cell, Edge
from tanas.networks.morph import CellMap, embeds, morph, morph_along, passes_input
from tanas.networks.operations import make_operation, operation_names, register_operation
from tanas.networks.skeleton import Skeleton
from tanas.spaces.space import SearchSpace
from tanas.spaces.transformations import GROWING, Transformations

SHAPE, CLASSES = (3, 9, 8), 4
TOLERANCE = 1e-4
"""Rounding of float32 through some layers gives 1e-6 to 1e-5; a wrong weight gives 1e-2 and more."""
SKELETON = Skeleton(stem="half", widths=(4, 4, 6), cells=(1, 2, 1), reductions=(False, False, True))
CELL = Cell(
    4,
    (
        (0, 1, "sep_conv_3x3"),
        (0, 2, "max_pool_3x3"),
        (0, 3, "identity"),
        (1, 3, "conv_1x1"),
        (2, 3, "dil_conv_3x3"),
    ),
)
ARCHITECTURE = Architecture(skeleton=SKELETON, cell=CELL).canonical()


def lived_in(architecture: Architecture, seed: int = 0) -> Network:
    """A network whose every weight and statistic differs from a fresh one's."""
    network = build(architecture, SHAPE, CLASSES, Seed(seed))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in network.state_dict().items():
            if value.is_floating_point() and value.dim() < 3:
                noise = torch.rand(value.shape, generator=generator)
                value.copy_(0.5 + noise if "var" in name or "deviation" in name else value + noise - 0.3)
            elif value.dim() == 4:
                value.mul_(3)  # so that images are told apart through many layers
    return network.eval()


def images() -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    return torch.rand(5, 1, 1, 1, generator=generator) * torch.rand(5, *SHAPE, generator=generator)


@cache
def answers_of(architecture: Architecture) -> torch.Tensor:
    with torch.no_grad():
        return lived_in(architecture)(images())


@cache
def grown(after: Architecture, before: Architecture = ARCHITECTURE) -> Network | None:
    return morph(lived_in(before), before, after, shape=SHAPE, classes=CLASSES, seed=Seed(7))


def difference(after: Architecture, before: Architecture = ARCHITECTURE) -> float:
    """Largest difference of a logit, as a share of how much logits differ between images."""
    network = grown(after, before)
    assert network is not None
    expected = answers_of(before)
    with torch.no_grad():
        answered = network.eval()(images())
    return float((answered - expected).abs().max() / expected.std(dim=0).max())


def with_skeleton(**changes: object) -> Architecture:
    return replace(ARCHITECTURE, skeleton=replace(SKELETON, **changes))  # type: ignore[arg-type]


def with_cell(*edges: Edge, nodes: int = 4) -> Architecture:
    return replace(ARCHITECTURE, cell=Cell(nodes, edges).canonical())


KEEPING = {
    "a wider first stage": with_skeleton(widths=(7, 4, 6)),
    "a wider middle stage": with_skeleton(widths=(4, 9, 6)),
    "a wider last stage": with_skeleton(widths=(4, 4, 13)),
    "all stages wider": with_skeleton(widths=(8, 8, 12)),
    "stages of one width that stay so beside a wider one": with_skeleton(widths=(5, 5, 6)),
    "a deeper stage": with_skeleton(cells=(1, 3, 1)),
    "all stages deeper": with_skeleton(cells=(2, 4, 3)),
    "an edge more": with_cell(*CELL.edges, (1, 2, "sep_conv_5x5")),
    "a node more": with_cell(
        *((a, b if b < 3 else 4, name) for a, b, name in CELL.edges),
        (0, 3, "max_pool_3x3"),
        (3, 4, "conv_3x3"),
        nodes=5,
    ),
    "a node more that a pooling leaves": with_cell(
        *((a, b if b < 3 else 4, name) for a, b, name in CELL.edges),
        (0, 3, "conv_3x3"),
        (3, 4, "max_pool_3x3"),
        nodes=5,
    ),
    "a larger filter": with_cell(*CELL.edges[:3], (1, 3, "conv_1x1"), (2, 3, "dil_conv_5x5")),
    "a full convolution instead of a separable one": with_cell((0, 1, "conv_3x3"), *CELL.edges[1:]),
    "all at once": replace(
        with_cell((0, 1, "sep_conv_5x5"), (0, 2, "max_pool_3x3"), (1, 2, "conv_3x3"), *CELL.edges[2:]),
        skeleton=replace(SKELETON, widths=(6, 10, 7), cells=(2, 2, 2)),
    ),
}


class TestKeptFunctions:
    @pytest.mark.parametrize("after", KEEPING.values(), ids=KEEPING)
    def test_the_larger_network_answers_as_the_smaller_one(self, after: Architecture) -> None:
        assert after.canonical() != ARCHITECTURE
        assert difference(after) < TOLERANCE

    @pytest.mark.parametrize("kind", GROWING)
    def test_every_growing_step_keeps_the_function_or_is_not_morphed(self, kind: str) -> None:
        moves = Transformations.of(
            "grow",
            ARCHITECTURE,
            SearchSpace(
                name="base",
                operations=tuple(set(operation_names()) - {"conv_7x1_1x7"}),
                nodes=5,
                skeletons=(ARCHITECTURE.skeleton,),
            ),
            shape=SHAPE,
            classes=CLASSES,
        )
        steps = moves.transformed(ARCHITECTURE, kind)
        kept = [after for after in steps[:: max(len(steps) // 6, 1)] if grown(after) is not None]
        assert kept, "some have to be known"
        for after in kept:
            assert difference(after) < TOLERANCE, after

    def test_an_operation_of_two_convolutions_is_carried_over_when_it_gets_wider(self) -> None:
        before = Architecture(
            skeleton=Skeleton(widths=(3,), cells=(1,), reductions=(False,)),
            cell=Cell(2, ((0, 1, "conv_7x1_1x7"),)),
        )
        after = replace(before, skeleton=replace(before.skeleton, widths=(5,)))
        assert difference(after, before) < TOLERANCE

    def test_a_stem_of_two_convolutions_gets_wider(self) -> None:
        before = Architecture(
            skeleton=Skeleton(stem="quarter", widths=(3,), cells=(1,), reductions=(False,)),
            cell=Cell(2, ((0, 1, "sep_conv_3x3"),)),
        )
        after = replace(before, skeleton=replace(before.skeleton, widths=(5,)))
        assert difference(after, before) < TOLERANCE

    def test_a_single_channel_is_no_special_case(self) -> None:
        narrow = with_skeleton(widths=(1, 1, 2))
        assert difference(with_skeleton(widths=(2, 3, 2)), narrow) < TOLERANCE

    @pytest.mark.parametrize(
        "before", [name for name in operation_names() if name.startswith(("conv", "sep", "dil"))]
    )
    def test_an_operation_that_embeds_another_does_the_same(self, before: str) -> None:
        one_edge = with_cell((0, 1, before), nodes=2)
        larger = [name for name in operation_names() if name != before and embeds(before, name)]
        for name in larger:
            assert difference(with_cell((0, 1, name), nodes=2), one_edge) < TOLERANCE, name

    def test_all_embeddings_are_found(self) -> None:
        pairs = {(a, b) for a in operation_names() for b in operation_names() if a != b and embeds(a, b)}
        filters = ("sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5", "conv_3x3")
        assert pairs == {
            *(("conv_1x1", name) for name in filters),
            ("sep_conv_3x3", "sep_conv_5x5"),
            ("sep_conv_3x3", "conv_3x3"),
            ("dil_conv_3x3", "sep_conv_5x5"),
            ("dil_conv_3x3", "dil_conv_5x5"),
        }

    def test_steps_one_after_the_other_keep_the_function(self) -> None:
        path = (
            ARCHITECTURE,
            KEEPING["an edge more"],
            replace(KEEPING["an edge more"], skeleton=KEEPING["all at once"].skeleton),
        )
        network = morph_along(lived_in(ARCHITECTURE), path, shape=SHAPE, classes=CLASSES, seed=Seed(2))
        assert network is not None
        with torch.no_grad():
            assert torch.allclose(network.eval()(images()), answers_of(ARCHITECTURE), atol=1e-4)


class TestWhatIsNotKept:
    @pytest.mark.parametrize(
        "after",
        [
            with_skeleton(widths=(4, 3, 6)),
            with_skeleton(cells=(1, 1, 1)),
            with_skeleton(reductions=(False, True, True)),
            with_skeleton(stem="full"),
            with_skeleton(widths=(4, 6, 6)),
            with_cell(*CELL.edges[1:]),
            with_cell(*CELL.edges, (1, 2, "identity")),
            with_cell((0, 1, "sep_conv_5x5"), (0, 2, "conv_3x3"), *CELL.edges[2:]),
        ],
        ids=[
            "narrower",
            "shallower",
            "reduced",
            "stem",
            "joined stages",
            "edge gone",
            "loud edge",
            "other kind",
        ],
    )
    def test_is_refused_rather_than_guessed(self, after: Architecture) -> None:
        assert grown(after) is None

    def test_a_deeper_stage_whose_cell_can_not_pass_its_input_on(self) -> None:
        before = with_cell((0, 1, "sep_conv_3x3"), nodes=2)
        after = replace(before, skeleton=replace(SKELETON, cells=(2, 2, 1)))
        assert grown(after, before) is None

    def test_a_path_with_one_such_step_is_none_in_all(self) -> None:
        path = (ARCHITECTURE, with_skeleton(widths=(4, 3, 6)), with_skeleton(widths=(4, 5, 6)))
        made = morph_along(lived_in(ARCHITECTURE), path, shape=SHAPE, classes=CLASSES, seed=Seed())
        assert made is None

    def test_an_own_operation_is_carried_over_at_its_width_and_not_beyond(self) -> None:
        class Scaled(nn.Module):
            def __init__(self, channels: int) -> None:
                super().__init__()
                self.scale = nn.Parameter(torch.rand(1, channels, 1, 1))

            def forward(self, values: torch.Tensor) -> torch.Tensor:
                return values * self.scale

        if "test_scaled" not in operation_names():
            register_operation("test_scaled", Scaled)
        before = with_cell((0, 1, "test_scaled"), (0, 2, "identity"), (1, 2, "conv_3x3"), nodes=3)
        assert difference(replace(before, skeleton=replace(SKELETON, cells=(2, 2, 2))), before) < TOLERANCE
        assert grown(replace(before, skeleton=replace(SKELETON, widths=(8, 8, 12))), before) is None


class TestLearning:
    def test_copied_channels_get_gradients_of_their_own(self) -> None:
        network = grown.__wrapped__(KEEPING["all stages wider"])
        assert network is not None
        network.train()
        labels = torch.arange(5) % CLASSES
        nn.functional.cross_entropy(network(images()), labels).backward()  # type: ignore[no-untyped-call]
        gradient = network.stem[0].weight.grad
        assert isinstance(gradient, torch.Tensor)
        rows = gradient.flatten(1)  # (channels, into * 9)
        apart = (rows[:, None] - rows[None]).abs().amax(dim=2) + torch.eye(len(rows))
        assert apart.min() > 0

    @pytest.mark.parametrize("name", ["a deeper stage", "an edge more", "a node more"])
    def test_what_passes_nothing_at_first_learns(self, name: str) -> None:
        network = grown.__wrapped__(KEEPING[name])
        assert network is not None
        silent = [
            module
            for module in network.modules()
            if isinstance(module, nn.BatchNorm2d) and not module.weight.any()
        ]
        assert silent
        network.train()
        labels = torch.arange(5) % CLASSES
        nn.functional.cross_entropy(network(images()), labels).backward()  # type: ignore[no-untyped-call]
        assert all(norm.weight.grad is not None and norm.weight.grad.abs().max() > 0 for norm in silent)

    def test_the_same_seed_gives_the_same_weights(self) -> None:
        one, other = grown.__wrapped__(KEEPING["all at once"]), grown.__wrapped__(KEEPING["all at once"])
        assert one is not None and other is not None
        pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)

    def test_the_network_given_stays_as_it_is(self) -> None:
        network = lived_in(ARCHITECTURE)
        was = {name: value.clone() for name, value in network.state_dict().items()}
        morph(network, ARCHITECTURE, KEEPING["all at once"], shape=SHAPE, classes=CLASSES, seed=Seed())
        assert all(torch.equal(was[name], value) for name, value in network.state_dict().items())


class TestCells:
    @pytest.mark.parametrize(
        ("edges", "silent"),
        [
            (((0, 1, "identity"),), set()),
            (((0, 1, "identity"), (0, 2, "sep_conv_3x3"), (1, 2, "identity")), {1}),
            (((0, 1, "sep_conv_3x3"), (0, 2, "identity"), (1, 2, "max_pool_3x3")), {0}),
            (((0, 1, "sep_conv_3x3"), (0, 2, "identity"), (1, 2, "conv_3x3")), {2}),
            (((0, 1, "identity"), (0, 2, "identity"), (1, 2, "identity")), None),
            (((0, 1, "max_pool_3x3"), (0, 2, "identity"), (1, 2, "identity")), None),
            (((0, 1, "sep_conv_3x3"),), None),
        ],
    )
    def test_a_cell_passes_its_input_on_by_one_path_of_identities(
        self, edges: tuple[Edge, ...], silent: set[int] | None
    ) -> None:
        cell = Cell(edges[-1][1] + 1, edges)
        assert passes_input(cell) == (None if silent is None else frozenset(silent))

    def test_the_embedding_that_changes_least_is_taken(self) -> None:
        before = Cell(3, ((0, 1, "conv_1x1"), (1, 2, "identity")))
        after = Cell(4, ((0, 1, "conv_1x1"), (0, 2, "sep_conv_3x3"), (1, 3, "identity"), (2, 3, "identity")))
        found = CellMap.between(before, after)
        assert found is not None
        assert found.names[0] == ("conv_1x1", "conv_1x1")
        assert [at for at, old in enumerate(found.edges) if old is None] == [1, 3]
        assert found.silent == {1}, "the identity behind it passes nothing then"

    def test_operations_without_a_batch_norm_can_not_be_silent(self) -> None:
        quiet = [name for name in operation_names() if name.startswith(("conv", "sep", "dil"))]
        for name in quiet:
            assert isinstance(make_operation(name, 2)[-1], nn.BatchNorm2d)  # type: ignore[index]
