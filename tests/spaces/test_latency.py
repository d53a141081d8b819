from __future__ import annotations

from pathlib import Path

import pytest
import torch

from tanas.ground.checkpoints import FolderCheckpoint, NoCheckpoint
from tanas.networks.architecture import Architecture, Network, Shape
from tanas.networks.cell import Cell
from tanas.networks.skeleton import Skeleton
from tanas.spaces import latency
from tanas.spaces.latency import REPEATS, WARM_UP, MeasuredLatency, measure_ms

SHAPE, CLASSES = (1, 8, 8), 2
SKELETON = Skeleton(widths=(4,), cells=(1,), reductions=(False,))
SMALL = Architecture(skeleton=SKELETON, cell=Cell(2, ((0, 1, "identity"),)))
DEAD_EDGE = Architecture(skeleton=SKELETON, cell=Cell(3, ((0, 1, "conv_3x3"), (0, 2, "identity"))))


def test_a_network_takes_some_time_and_the_state_of_torch_stays() -> None:
    state, threads = torch.get_rng_state(), torch.get_num_threads()
    assert 0 < measure_ms.__wrapped__(SMALL, SHAPE, CLASSES, "cpu") < 10_000
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.get_num_threads() == threads


def test_one_image_is_answered_by_one_thread_after_a_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = []
    forward = Network.forward

    def watched(self: Network, pixels: torch.Tensor) -> torch.Tensor:
        answered.append(
            (tuple(pixels.shape), torch.get_num_threads(), self.training, torch.is_grad_enabled())
        )
        return forward(self, pixels)

    monkeypatch.setattr(Network, "forward", watched)
    monkeypatch.setattr(latency, "LONGEST_S", 1e9)
    measure_ms.__wrapped__(SMALL, SHAPE, CLASSES, "cpu")
    assert answered == [((1, *SHAPE), 1, False, False)] * (WARM_UP + REPEATS)


def test_the_median_is_taken_and_a_slow_network_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter([0.0, 9.0, 10.0, 19.0, 20.0, 21.0, 30.0])
    monkeypatch.setattr(latency.time, "perf_counter", lambda: next(ticks))
    monkeypatch.setattr(latency, "WARM_UP", 0)
    monkeypatch.setattr(latency, "LONGEST_S", 18.5)
    assert measure_ms.__wrapped__(SMALL, SHAPE, CLASSES, "cpu") == pytest.approx(1000 * 9.0)
    assert next(ticks) == 30.0, "no further answer was timed"


def test_an_architecture_is_measured_once_in_whatever_form(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = counted(monkeypatch)
    taken = MeasuredLatency(device="cpu", checkpoint=NoCheckpoint())
    assert taken(SMALL, SHAPE, CLASSES) == taken(DEAD_EDGE, SHAPE, CLASSES) == 1.0
    assert asked == [SMALL]
    assert taken(SMALL, (1, 9, 9), CLASSES) == 2.0
    assert taken.measured == (1.0, 2.0)


def test_a_search_that_goes_on_has_the_figures_of_before(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked = counted(monkeypatch)
    first = MeasuredLatency(device="cpu", checkpoint=FolderCheckpoint(tmp_path))
    assert first(SMALL, SHAPE, CLASSES) == 1.0
    again = MeasuredLatency(device="cpu", checkpoint=FolderCheckpoint(tmp_path))
    assert again(SMALL, SHAPE, CLASSES) == 1.0
    assert again.measured == (1.0,)
    assert len(asked) == 1


def counted(monkeypatch: pytest.MonkeyPatch) -> list[Architecture]:
    """Replaces the measurement by one that gives 1 ms, then 2 and so on; what was asked for is added to the list."""
    asked: list[Architecture] = []

    def measure(architecture: Architecture, shape: Shape, classes: int, device: str) -> float:
        asked.append(architecture)
        return float(len(asked))

    monkeypatch.setattr(latency, "measure_ms", measure)
    return asked
