from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from tests.distances.digit_tasks import PAIR, representative_of, task_of
from torch import Tensor

from tanas.distances.from_score import FIT_DRAWS, placed, placed_by_fit_rows
from tanas.distances.intervals import IntervalConfig
from tanas.distances.pairs import make_pair
from tanas.ground.seeds import Seed


@pytest.mark.parametrize(
    ("order", "value", "shortfall", "surplus"),
    [(0.3, 0.3, 0.0, 0.0), (1.25, 1.0, 0.25, 0.0), (-0.5, 0.0, 0.0, 0.5)],
)
def test_what_lies_outside_the_unit_interval_breaks_ties(
    order: float, value: float, shortfall: float, surplus: float
) -> None:
    pair = make_pair(representative_of(0), representative_of(3), task_of(3), PAIR)
    measurement = placed(pair, order)
    assert (measurement.value, measurement.shortfall, measurement.surplus) == (value, shortfall, surplus)
    assert measurement.order == order
    assert measurement.interval is None


def test_draws_of_fit_rows_scatter_as_fresh_samples_do() -> None:
    generator = Seed(4).numpy()
    intervals = IntervalConfig(maps=10)
    spreads, centres = [], []
    pair = make_pair(representative_of(0), representative_of(3), task_of(3), PAIR)
    few = replace(pair, labels_fit=torch.zeros(300))
    for _ in range(40):
        sample = torch.from_numpy(generator.normal(size=300))

        def order(rows: Tensor, sample: Tensor = sample) -> float:
            return float(sample[rows].mean())

        draws = placed_by_fit_rows(few, order, intervals).draws
        assert len(draws) == 10 * FIT_DRAWS
        spreads.append(np.std(draws))
        centres.append(np.mean(draws) - float(sample.mean()))
    assert np.mean(spreads) == pytest.approx(300**-0.5, rel=0.1)
    assert np.abs(centres).max() < 1e-5
