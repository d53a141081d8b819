from __future__ import annotations

import torch
from tests.distances.digit_tasks import shuffled, task_of

from tanas.distances.pairs import drawn
from tanas.ground.seeds import Seed
from tanas.tasks.task import Split

SEED = Seed(5)


class TestDrawn:
    def test_is_the_same_for_tasks_over_the_same_images(self) -> None:
        rows = [drawn(task_of(digit).train, 200, SEED).rows for digit in (0, 3)]
        assert torch.equal(*rows)

    def test_is_stratified(self) -> None:
        split = task_of(3).train
        shares = [torch.bincount(s.strata, minlength=10) / len(s) for s in (split, drawn(split, 200, SEED))]
        assert (shares[0] - shares[1]).abs().max() < 0.01

    def test_keeps_every_class_where_strata_do_not_tell_them_apart(self) -> None:
        split = task_of(3).train
        flat = Split(split.images, split.rows, split.labels, torch.zeros_like(split.strata))
        assert len(torch.unique(drawn(flat, 2, SEED).labels)) == 2

    def test_is_everything_in_content_order_without_a_cap(self) -> None:
        split = task_of(3).train
        one, other = drawn(split, None, SEED), drawn(shuffled(task_of(3)).train, 10**6, SEED)
        assert len(one) == len(split)
        assert torch.equal(one.pixels(), other.pixels())
