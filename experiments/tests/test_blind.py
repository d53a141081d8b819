"""How far one number a target gets, on matrices whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from experiments.tests.small_records import record_of

from tanas_experiments.blind import blind_text, coverage, foretold

TARGETS = np.array([0.2, 0.4, 0.6, 0.8])
SOURCES = np.array([0.01, 0.02, 0.03, 0.04])


def matrix(sources):
    made = TARGETS[None, :] + sources[:, None]
    np.fill_diagonal(made, 0)
    return made


def test_a_number_a_target_foretells_nearly_all_where_sources_hardly_differ() -> None:
    same, number, untrained = foretold(record_of([matrix(SOURCES), matrix(SOURCES)]))
    assert (same.mean, same.least, same.within) == pytest.approx((1, 1, 1))
    assert 0.9 < number.mean < 1
    assert number.within is None
    assert untrained.mean == 0, "of a constant nothing follows"


def test_where_seeds_agree_on_targets_only_the_distances_do_no_better_than_a_number() -> None:
    same, number, _ = foretold(record_of([matrix(SOURCES), matrix(SOURCES[::-1])]))
    assert same.within == pytest.approx(-1)
    assert number.mean > same.mean


def test_intervals_are_held_against_the_other_seeds_distances() -> None:
    first = matrix(SOURCES)
    assert coverage(record_of([first, first])) == (24, 24)
    moved = first.copy()
    moved[0, 1] = 0.9  # its own interval is 0.81 to 0.9
    assert coverage(record_of([first, moved])) == (22, 24)


def test_the_text_says_both_and_nothing_of_a_single_seed() -> None:
    text = blind_text(record_of([matrix(SOURCES), matrix(SOURCES)]))
    assert "| the distances of a seed | 1.000 (1.000) | 1.00 |" in text
    assert "in 100% of 24 cases" in text
    assert blind_text(record_of([matrix(SOURCES)])) == ""
