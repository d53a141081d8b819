"""What is remembered of a target is what computing anew would give."""

from __future__ import annotations

import pytest
import torch
from tests.distances.digit_tasks import PAIR, representative_of, task_of
from torch import Tensor

from tanas.distances import gate as gates
from tanas.distances import linear as linears
from tanas.distances.intervals import IntervalConfig
from tanas.distances.linear import LinearDistance
from tanas.distances.memory import Memory
from tanas.distances.pairs import make_pair
from tanas.ground.seeds import Seed


class Counted:
    """Gives a new tensor each time, and counts."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self) -> Tensor:
        self.calls += 1
        return torch.full((4,), float(self.calls))  # 16 bytes


def test_the_same_content_is_computed_once() -> None:
    memory, compute = Memory(), Counted()
    first = memory.once("sum", (torch.ones(3), 0.5), compute)
    assert memory.once("sum", (torch.ones(3), 0.5), compute) is first
    assert compute.calls == 1


@pytest.mark.parametrize(
    ("what", "of"),
    [
        ("other", (torch.ones(3), 0.5)),
        ("sum", (torch.zeros(3), 0.5)),
        ("sum", (torch.ones(3), 0.25)),
        ("sum", (torch.ones(3, 1), 0.5)),
        ("sum", (torch.ones(3, dtype=torch.float64), 0.5)),
    ],
)
def test_other_content_is_computed_anew(what: str, of: tuple[object, ...]) -> None:
    memory, compute = Memory(), Counted()
    memory.once("sum", (torch.ones(3), 0.5), compute)
    memory.once(what, of, compute)
    assert compute.calls == 2


def test_what_was_unused_the_longest_goes_first() -> None:
    memory, compute = Memory(most_bytes=32), Counted()
    for content in (1, 2, 1, 3):
        memory.once("sum", (content,), compute)
    assert compute.calls == 3
    memory.once("sum", (1,), compute)
    assert compute.calls == 3
    memory.once("sum", (2,), compute)
    assert compute.calls == 4


def test_a_distance_is_the_same_to_the_byte_with_what_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    distance = LinearDistance(intervals=IntervalConfig(draws=20, maps=2))
    pairs = [
        make_pair(representative_of(a), representative_of(b), task_of(b), PAIR)
        for a, b in ((0, 3), (5, 3), (0, 5))
    ]

    def measured(most_bytes: int) -> list[tuple[object, ...]]:
        memory = Memory(most_bytes)
        monkeypatch.setattr(gates, "OF_TARGETS", memory)
        monkeypatch.setattr(linears, "OF_TARGETS", memory)
        found = [distance(pair, Seed(0)) for pair in pairs]
        return [(m.value, m.shortfall, m.surplus, m.own, m.dense, m.curve, m.draws) for m in found]

    assert measured(2**26) == measured(0)


def test_the_targets_part_is_computed_once_for_all_its_sources(monkeypatch: pytest.MonkeyPatch) -> None:
    memory, calls = Memory(), []
    monkeypatch.setattr(gates, "OF_TARGETS", memory)
    monkeypatch.setattr(linears, "OF_TARGETS", memory)
    principal = linears.principal

    def counted(features: Tensor, share: float) -> Tensor:
        calls.append(share)
        return principal(features, share)

    monkeypatch.setattr(linears, "principal", counted)
    for source in (0, 5):
        LinearDistance()(
            make_pair(representative_of(source), representative_of(3), task_of(3), PAIR), Seed(0)
        )
    assert len(calls) == 1
