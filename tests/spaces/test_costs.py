from __future__ import annotations

from dataclasses import replace

import pytest

from tanas.ground.seeds import Seed
from tanas.networks.architecture import cost_of
from tanas.networks.cell import Cell
from tanas.networks.operations import operation_names
from tanas.networks.skeleton import STEMS
from tanas.spaces.costs import cost_by_parts
from tanas.spaces.named import named_space


@pytest.mark.parametrize(("shape", "classes"), [((1, 28, 28), 2), ((3, 17, 9), 10), ((1, 1, 1), 3)], ids=str)
def test_the_sum_of_the_parts_is_the_count_on_the_network(shape: tuple[int, int, int], classes: int) -> None:
    drawn = named_space("standard").sample(4, seed=Seed(4), shape=shape, classes=classes)
    assert len(drawn) == 4
    for architecture in drawn:
        for stem in STEMS:
            stemmed = replace(architecture, skeleton=replace(architecture.skeleton, stem=stem))
            assert cost_by_parts(stemmed, shape, classes) == cost_of(stemmed, shape, classes)


@pytest.mark.parametrize("name", operation_names())
def test_every_operation_adds_what_it_adds_to_a_network(name: str) -> None:
    some = named_space("paper").sample(1, seed=Seed(0), shape=(1, 9, 9), classes=2)[0]
    architecture = replace(some, cell=Cell(2, ((0, 1, name),))).canonical()
    assert cost_by_parts(architecture, (1, 9, 9), 2) == cost_of(architecture, (1, 9, 9), 2)
