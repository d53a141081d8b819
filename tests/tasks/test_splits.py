"""Which images are for training, validation and test."""

from __future__ import annotations

import numpy as np
import pytest

from tanas.tasks.splits import Side, capped, content_keys, draw_sides, on_one_side


def _images(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (n, 1, 4, 4), dtype=np.uint8)


def _counts(sides: np.ndarray) -> tuple[int, ...]:
    return tuple(int((sides == side).sum()) for side in (Side.TRAIN, Side.VALIDATION, Side.TEST))


def test_keys_follow_pixels_and_seed_alone() -> None:
    images = _images(5)
    assert np.array_equal(content_keys(images, 0), content_keys(images[::-1], 0)[::-1])
    assert not np.array_equal(content_keys(images, 0), content_keys(images, 1))
    assert len(np.unique(content_keys(images, 0))) == 5


def test_keys_stay_what_they_are() -> None:
    """Another value would move images between the splits of every dictionary there is."""
    assert content_keys(np.arange(16, dtype=np.uint8).reshape(1, 1, 4, 4), 0).tolist() == [
        9911959432562894922
    ]


@pytest.mark.parametrize(
    ("n", "counts"),
    [(1, (1, 0, 0)), (2, (1, 1, 0)), (3, (1, 1, 1)), (4, (2, 1, 1)), (10, (6, 2, 2)), (100, (64, 16, 20))],
)
def test_a_fifth_is_for_test_and_a_fifth_of_the_rest_for_validation(
    n: int, counts: tuple[int, int, int]
) -> None:
    assert _counts(draw_sides(content_keys(_images(n), 0))) == counts


def test_official_splits_are_not_drawn_again() -> None:
    keys = content_keys(_images(100), 0)
    assert _counts(draw_sides(keys, test=False)) == (80, 20, 0)
    assert _counts(draw_sides(keys, validation=False)) == (80, 0, 20)
    assert _counts(draw_sides(keys, test=False, validation=False)) == (100, 0, 0)


def test_sides_do_not_depend_on_the_order() -> None:
    keys = content_keys(_images(50), 0)
    order = np.random.default_rng(1).permutation(50)
    assert np.array_equal(draw_sides(keys)[order], draw_sides(keys[order]))


def test_duplicates_count_once_and_share_their_side() -> None:
    keys = np.repeat(content_keys(_images(10), 0), 3)
    sides = draw_sides(keys).reshape(10, 3)
    assert (sides == sides[:, :1]).all()
    assert _counts(sides[:, 0]) == (6, 2, 2)


def test_a_cap_keeps_every_side_in_proportion() -> None:
    keys = content_keys(_images(1000), 0)
    sides = draw_sides(keys)
    kept = capped(keys, sides, 100)
    assert _counts(sides[kept]) == (64, 16, 20)
    assert set(kept) <= set(capped(keys, sides, 200))
    assert len(capped(keys, sides, 5000)) == 1000


def test_copies_nearer_to_training_are_left_out() -> None:
    keys = np.array([1, 1, 2, 2, 3, 3, 4, 4], dtype=np.uint64)
    sides = np.array([0, 2, 1, 0, 2, 1, 0, 0], dtype=np.int8)
    assert on_one_side(keys, sides).tolist() == [-1, 2, 1, -1, 2, -1, 0, 0]
