from __future__ import annotations

import numpy as np
import torch

from tanas.ground.seeds import Seed


def test_a_seed_gives_the_same_numbers_each_time_whatever_was_drawn_before() -> None:
    seed = Seed(3).child("round", 2)
    first = seed.numpy().random(4)
    torch.rand(7)
    np.random.default_rng(1).random(3)
    seed.child("other").torch()
    assert np.array_equal(seed.numpy().random(4), first)
    assert torch.equal(torch.rand(4, generator=seed.torch()), torch.rand(4, generator=seed.torch()))
    assert seed.integer() == Seed(3).child("round").child("2").integer()


def test_numbers_are_those_of_earlier_versions() -> None:
    assert Seed(0).integer() == 7_896_617_691_693_857_887
    assert Seed(7).child("search", "round", 0).integer() == 7_761_094_031_993_024_495


def test_children_roots_and_depths_all_differ() -> None:
    seeds = [
        Seed(0),
        Seed(1),
        Seed(0).child("a"),
        Seed(1).child("a"),
        Seed(0).child("a", "b"),
        Seed(0).child("b", "a"),
        Seed(0).child("ab"),
        *(Seed(0).child("round", number) for number in range(300)),
    ]
    assert len({seed.integer() for seed in seeds}) == len(seeds)
    assert all(0 <= seed.integer() < 2**63 for seed in seeds)


def test_children_are_not_correlated() -> None:
    draws = np.array([Seed(0).child(i).numpy().standard_normal(500) for i in range(20)])
    correlations = np.corrcoef(draws)[np.triu_indices(20, 1)]
    assert np.abs(correlations).max() < 0.2


def test_initialising_leaves_the_global_generator_as_it_was() -> None:
    before = torch.get_rng_state()
    with Seed(5).initialising():
        first = torch.nn.Linear(3, 3).weight.detach()
    assert torch.equal(torch.get_rng_state(), before)
    torch.rand(11)
    with Seed(5).initialising():
        assert torch.equal(torch.nn.Linear(3, 3).weight, first)


def test_initialising_leaves_the_global_generator_as_it_was_after_an_error() -> None:
    before = torch.get_rng_state()
    try:
        with Seed(5).initialising():
            torch.rand(1)
            raise ValueError
    except ValueError:
        pass
    assert torch.equal(torch.get_rng_state(), before)
