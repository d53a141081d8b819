from __future__ import annotations

import numpy as np
import pytest

from tanas.distances.intervals import IntervalConfig, row_counts, subsets
from tanas.ground.errors import SettingError


class TestRowCounts:
    def test_draw_as_many_rows_as_there_are(self) -> None:
        counts = row_counts(37, 25)
        assert counts.shape == (25, 37)
        assert (counts >= 0).all()
        assert (counts.sum(axis=1) == 37).all()

    def test_depend_on_the_two_numbers_alone(self) -> None:
        first = row_counts(37, 25)
        row_counts(50, 25)
        assert np.array_equal(row_counts(37, 25), first)
        assert not np.array_equal(first[0], first[1])

    def test_leave_a_row_out_about_as_often_as_chance_does(self) -> None:
        left_out = (row_counts(200, 300) == 0).mean()
        assert left_out == pytest.approx((1 - 1 / 200) ** 200, abs=0.01)


class TestSubsets:
    def test_hold_four_fifths_of_the_rows_once_each_in_their_order(self) -> None:
        drawn = subsets(50, 3)
        assert len(drawn) == 3
        for rows in drawn:
            assert len(rows) == 40
            assert (np.diff(rows) > 0).all()
            assert rows.min() >= 0
            assert rows.max() < 50
        assert not np.array_equal(drawn[0], drawn[1])

    def test_are_the_same_for_the_same_numbers_however_many(self) -> None:
        for rows, again in zip(subsets(50, 2), subsets(50, 4), strict=False):
            assert np.array_equal(rows, again)

    def test_of_two_rows_hold_both(self) -> None:
        assert subsets(2, 1)[0].tolist() == [0, 1]


class TestConfig:
    def test_cuts_the_same_share_off_both_ends(self) -> None:
        ends = IntervalConfig(level=0.9).ends(np.linspace(0, 1, 101).tolist())
        assert ends == pytest.approx((0.05, 0.95))
        assert IntervalConfig(level=0.5).ends([0.0, 1.0, 2.0, 3.0, 4.0]) == (1.0, 3.0)

    def test_of_a_distance_hold_the_distance_and_stay_within_0_and_1(self) -> None:
        half = IntervalConfig(level=0.5)
        assert half.around(0.5, [0.0, 0.25, 0.5, 0.75, 1.0]) == (0.25, 0.75)
        assert half.around(0.0039, [0.0, 0.0, 0.0, 0.0, 0.0]) == (0.0, 0.0039)
        assert half.around(0.0, [0.25] * 5) == (0.0, 0.25)
        assert half.around(1.0, [1.5] * 5) == (1.0, 1.0)

    @pytest.mark.parametrize(
        ("wrong", "message"),
        [
            ({"draws": 19}, "The 'draws' of IntervalConfig must be at least 20"),
            ({"maps": 0}, "The 'maps' of IntervalConfig must be at least 1"),
            ({"level": 1.0}, r"The 'level' of IntervalConfig must be in \(0, 1\)"),
        ],
        ids=["draws", "maps", "level"],
    )
    def test_refuses_what_makes_no_sense(self, wrong: dict[str, float], message: str) -> None:
        with pytest.raises(SettingError, match=message):
            IntervalConfig(**wrong)  # type: ignore[arg-type]
