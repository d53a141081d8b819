from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from tests.distances.digit_tasks import REPRESENTATIVE, representative_of, task_of

from tanas.distances.conversion import converted
from tanas.distances.representative import (
    ARCHITECTURES,
    Representative,
    RepresentativeConfig,
    RepresentativeNetwork,
    RepresentativeState,
    represent,
    representative_from,
    shrunk,
    state_of,
    untrained,
)
from tanas.ground.checkpoints import FolderCheckpoint
from tanas.ground.context import Context
from tanas.ground.errors import NonFiniteError, SettingError, StoreError
from tanas.ground.events import Event, StepAdvanced, Told
from tanas.ground.records import from_plain, to_plain
from tanas.ground.seeds import Seed
from tanas.tasks.task import Split

SEED = Seed(2)
NEVER = replace(REPRESENTATIVE, epsilon=1e-9)
"""No network is that good: the whole budget is used."""


class KilledError(Exception):
    pass


class TestRepresent:
    def test_learns_its_task_without_the_test_split(self) -> None:
        representative = represent(task_of(0).without_test(), REPRESENTATIVE, at=Context(seed=SEED))
        assert representative.performance > 0.8
        assert representative.task == "digits:is=0"
        assert representative.fingerprint == task_of(0).fingerprint
        assert representative.key == representative_of(0).key

    def test_stops_when_it_is_good_enough(self) -> None:
        representative = represent(task_of(0), replace(REPRESENTATIVE, epsilon=0.9), at=Context(seed=SEED))
        assert not representative.weak
        assert representative.epochs == REPRESENTATIVE.training.epochs

    def test_trains_on_within_its_budget_and_is_then_marked_weak(self) -> None:
        told: list[Event] = []
        representative = represent(
            task_of(8), replace(NEVER, most_epochs=7), at=Context(seed=SEED, listener=told.append)
        )
        assert representative.weak
        assert representative.epochs == 7
        messages = [event.message for event in told if isinstance(event, Told)]
        assert all("digits:is=8" in message for message in messages)
        assert [re.findall(r"(\d) more", message) for message in messages] == [["2"], ["1"]]

    def test_keeps_the_best_of_its_trainings(self) -> None:
        first = represent(task_of(8), replace(NEVER, most_epochs=4), at=Context(seed=SEED))
        longer = represent(task_of(8), NEVER, at=Context(seed=SEED))
        assert longer.performance >= first.performance

    @pytest.mark.parametrize("after", [2, 4, 5])
    def test_that_was_killed_ends_as_if_it_had_not_been(self, tmp_path: Path, after: int) -> None:
        epochs = 0

        def kill(event: Event) -> None:
            nonlocal epochs
            epochs += isinstance(event, StepAdvanced)
            if epochs == after:
                raise KilledError

        with pytest.raises(KilledError):
            represent(
                task_of(8), NEVER, at=Context(seed=SEED, listener=kill, checkpoint=FolderCheckpoint(tmp_path))
            )
        resumed = represent(task_of(8), NEVER, at=Context(seed=SEED, checkpoint=FolderCheckpoint(tmp_path)))
        undisturbed = represent(task_of(8), NEVER, at=Context(seed=SEED))
        assert resumed.key == undisturbed.key
        assert resumed.epochs == undisturbed.epochs == 6


class TestFeatures:
    def test_are_the_penultimate_layer_after_its_relu(self) -> None:
        representative, split = representative_of(0), task_of(3).validation
        features = representative.features(split)
        assert features.shape == (len(split), 24)
        assert features.dtype == torch.float32
        assert features.min() == 0
        with torch.no_grad():
            logits = representative.network(split.pixels())
        torch.testing.assert_close(representative.network.head(features), logits, rtol=1e-4, atol=1e-4)

    def test_of_pixels_are_those_of_the_split(self) -> None:
        representative, split = representative_of(0), task_of(3).validation
        assert torch.equal(representative.features(split.pixels()), representative.features(split))

    def test_that_are_not_finite_are_refused_by_name(self) -> None:
        broken = representative_from(*state_of(representative_of(0)))
        broken.network.dense.bias.fill_(float("inf"))
        with pytest.raises(NonFiniteError, match="representative of digits:is=0 are not finite"):
            broken.features(task_of(3).validation)


class TestNetwork:
    def test_paper_has_the_weights_of_the_paper(self) -> None:
        with torch.device("meta"):
            network = RepresentativeNetwork(RepresentativeConfig(architecture="paper"), (1, 28, 28), 2)
        assert sum(p.numel() for p in network.parameters()) == 25_694_018
        assert network.dense.in_features == 25_088

    def test_laptop_has_a_sixteenth_of_them(self) -> None:
        with torch.device("meta"):
            network = RepresentativeNetwork(RepresentativeConfig(), (1, 28, 28), 2)
        assert network.dense.in_features == 25_088 / 16
        assert network.dense.out_features == 1024

    @pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))
    @pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 64, 64), (3, 5, 31), (1, 1, 1)])
    def test_takes_images_of_any_size(self, architecture: str, shape: tuple[int, int, int]) -> None:
        config = RepresentativeConfig(architecture=architecture, features=16)
        network = RepresentativeNetwork(config, shape, 3)
        pixels = torch.rand(2, *shape, generator=SEED.torch())
        assert network.features(pixels).shape == (2, 16)
        assert network(pixels).shape == (2, 3)


class TestStorage:
    def test_gives_back_the_same_representative(self) -> None:
        state, tensors = state_of(representative_of(0))
        read = from_plain(RepresentativeState, to_plain(state), where="here")
        assert read == state
        again = representative_from(read, tensors)
        assert again.key == representative_of(0).key
        split = task_of(3).validation
        assert torch.equal(again.features(split), representative_of(0).features(split))

    def test_key_changes_with_the_weights_and_not_with_the_time_taken(self) -> None:
        state, tensors = state_of(representative_of(0))
        assert representative_from(replace(state, took_s=99.0), tensors).key == representative_of(0).key
        tensors["head.bias"][0] += 1
        assert representative_from(state, tensors).key != representative_of(0).key

    @pytest.mark.parametrize("embedding", [None, [0.25, 0.5]])
    def test_reads_records_of_older_versions(self, embedding: list[float] | None) -> None:
        state, tensors = state_of(representative_of(0))
        plain = to_plain(state)
        del plain["embedding"]
        if embedding is not None:
            plain["embedding"] = embedding
        old = representative_from(from_plain(RepresentativeState, plain, where="here"), tensors)
        # stored distances are found by this key: it stays what the older version computed
        assert (old.key == representative_of(0).key) == (embedding is None)
        assert untrained(old, SEED).embedding == (() if embedding is None else (0.375, 0.375))
        split = task_of(3).validation
        assert torch.equal(old.features(split), representative_of(0).features(split))

    def test_refuses_weights_of_another_network(self) -> None:
        state, tensors = state_of(representative_of(0))
        del tensors["head.bias"]
        with pytest.raises(StoreError, match="representative of digits:is=0 .*head.bias"):
            representative_from(state, tensors)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"epsilon": 1.4}, r"'epsilon' of RepresentativeConfig must be in \(0, 1\)"),
        ({"epsilon": 0.0}, r"'epsilon' of RepresentativeConfig must be in \(0, 1\)"),
        ({"architecture": "big"}, "paper, laptop, small.* 'big'"),
        ({"features": 0}, "The 'features' of RepresentativeConfig must be at least 1."),
    ],
    ids=["epsilon too large", "epsilon zero", "architecture", "features"],
)
def test_config_refuses_what_makes_no_sense(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        RepresentativeConfig(**wrong)


def test_representatives_are_frozen() -> None:
    with pytest.raises(AttributeError):
        Representative.__setattr__(representative_of(0), "task", "other")


def test_large_images_are_shrunk_for_all_networks_but_the_papers() -> None:
    for architecture, seen in (("laptop", (3, 32, 24)), ("small", (3, 32, 24)), ("paper", (3, 128, 96))):
        config = RepresentativeConfig(architecture=architecture)
        assert config.sees((3, 128, 96)) == seen
        assert config.sees((1, 28, 28)) == (1, 28, 28)


def test_a_split_is_shrunk_as_its_pixels_are_converted() -> None:
    images = torch.arange(2 * 64 * 64).reshape(2, 1, 64, 64).remainder(251).byte()
    labels = torch.tensor([1, 0])
    split = Split(images, torch.tensor([1, 0]), labels, labels)
    small = shrunk(split, (1, 32, 32))
    assert torch.allclose(small.pixels(), converted(split.pixels(), (1, 32, 32)), atol=1 / 255)
    assert torch.equal(small.labels, split.labels)
    assert shrunk(split, (1, 64, 64)) is split
