"""The weights of related tasks that compete with new ones in the final training: whole searches."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tests.algorithm.test_learn import learnt
from tests.conftest import Answer, bars
from tests.dictionary.small_atoms import task_of
from tests.sessions import without_times

from tanas.algorithm.warm_start import MOST_DONORS, Keys, _fitted, _has_seen
from tanas.ground.seeds import Seed
from tanas.networks.architecture import Architecture
from tanas.spaces.named import named_space
from tanas.tasks.task import Task, image_keys

Tanas = Callable[..., Answer]
COMMON = ("--config", "tiny.toml", "--dictionary", "known", "--quiet")


def result(desk: Path, run: str = "run") -> Any:
    return json.loads((desk / run / "result.json").read_bytes())


class TestWholeSearches:
    def test_the_networks_of_the_nearest_compete_with_new_weights(self, tanas: Tanas, desk: Path) -> None:
        answer = tanas("search", "npz:bars.npz:is=square", *COMMON, "--out", "run")
        assert answer.status == 0
        found = result(desk)
        begun = found["beginning"]
        near = [one["atom"] for one in found["neighbours"]]
        assert [one["atom"] for one in begun["tried"]] == near[:MOST_DONORS]
        assert all(one["loss"] > 0 and one["left_out"] == "" for one in begun["tried"])
        assert begun["atom"] in ("", *near)
        tried = {one["atom"]: one["loss"] for one in found["training"]["tried"] if one["atom"]}
        assert tried == {one["atom"]: one["loss"] for one in begun["tried"]}
        assert begun["note"] in answer.out

    @pytest.mark.long
    def test_the_same_command_gives_the_same_result(self, tanas: Tanas, desk: Path) -> None:
        for run in ("one", "two"):
            assert tanas("search", "npz:bars.npz:is=square", *COMMON, "--out", run).status == 0
        assert without_times(result(desk, "one")) == without_times(result(desk, "two"))
        weights = [load_file(desk / run / "weights.safetensors") for run in ("one", "two")]
        assert all((weights[0][name] == weights[1][name]).all() for name in weights[0])

    def test_a_network_that_has_seen_a_test_image_is_never_taken(self, tanas: Tanas, desk: Path) -> None:
        # what the known tasks were learnt from is this task's test split
        x, y = bars(150, seed=1)
        other, labels = bars(150, seed=7)
        np.savez(desk / "other.npz", x_train=other, y_train=labels, x_test=x, y_test=y)
        assert tanas("search", "npz:other.npz:is=2", *COMMON, "--out", "run").status == 0
        begun = result(desk)["beginning"]
        assert begun["atom"] == ""
        assert begun["tried"]
        for one in begun["tried"]:
            assert one["loss"] is None
            # every image that its network has seen: the dictionary took 60 at most
            assert "60 of this task's test images" in one["left_out"]

    def test_nor_one_that_has_seen_an_image_by_which_it_is_judged(self, tanas: Tanas, desk: Path) -> None:
        # another split of the same pictures
        options = ("--split-seed", "5", "--out", "run")
        assert tanas("search", "npz:bars.npz:is=square", *COMMON, *options).status == 0
        tried = result(desk)["beginning"]["tried"]
        assert tried
        assert all("images" in one["left_out"] and one["loss"] is None for one in tried)

    def test_damaged_weights_are_refused_before_any_work(self, tanas: Tanas, desk: Path) -> None:
        file = next((desk / "known").glob("atoms/*/network.safetensors"))
        file.write_bytes(file.read_bytes()[:-1] + b"x")
        answer = tanas("search", "npz:bars.npz:is=square", *COMMON, "--out", "run")
        assert answer.status == 2
        assert "network.safetensors is damaged" in answer.err
        assert not (desk / "run").exists()

    def test_operations_of_another_user_are_left_out_and_their_weights_not_read(
        self, tanas: Tanas, desk: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("tanas.algorithm.warm_start.known_here", lambda record: False)
        monkeypatch.setattr("tanas.algorithm.warm_start.carried", None)  # can't be called
        assert tanas("search", "npz:bars.npz:is=square", *COMMON, "--out", "run").status == 0
        tried = result(desk)["beginning"]["tried"]
        assert tried
        assert all("operations" in one["left_out"] for one in tried)

    def test_limits_hold_for_the_networks_too(self, tanas: Tanas, desk: Path) -> None:
        status = tanas(
            *("search", "npz:bars.npz:is=square", *COMMON, "--max-parameters", "700", "--out", "run")
        ).status
        assert status == 0
        found = result(desk)
        assert found["parameters"] <= 700
        tried = found["beginning"]["tried"]
        assert tried
        assert all(one["left_out"] == "" or "limits" in one["left_out"] for one in tried)

    def test_a_memory_keeps_what_was_seen_on_the_way(self, tanas: Tanas, desk: Path) -> None:
        answer = tanas("search", "npz:bars.npz:is=square", *COMMON, "--remember", "--out", "run")
        assert answer.status == 0
        atoms = [json.loads(file.read_bytes()) for file in (desk / "known").glob("atoms/*/atom.json")]
        made = next(one for one in atoms if one["atom"]["task"]["name"] == "npz:bars.npz:is=square")
        assert made["atom"]["kept"]["made_by"] == "search"
        assert made["kept_sha256"]
        assert tanas("dictionary", "verify", "known").status == 0

    def test_nothing_is_tried_where_it_is_not_wanted(self, tanas: Tanas, desk: Path) -> None:
        options = ("--no-warm-weights", "--out", "run")
        assert tanas("search", "npz:bars.npz:is=square", *COMMON, *options).status == 0
        assert result(desk)["beginning"] is None


def keys_of(task: Task) -> Keys:
    return Keys(
        train=image_keys(task.train), validation=image_keys(task.validation), test=torch.zeros(0).long()
    )


class TestTheSamePicturesWithOtherPixels:
    """They have other hashes, so source and classes decide."""

    def said(
        self,
        *,
        name: str = "digits",
        shape: tuple[int, int, int] = (1, 8, 8),
        classes: tuple[str, ...] = ("not 3", "3"),
        trained_on_it: bool = False,
        ships: bool = False,
        task: Task | None = None,
    ) -> str:
        made, task = learnt(), task or task_of()
        assert made.network is not None
        record = replace(made.network.record, shape=shape, classes=classes)
        seen = image_keys(task.train) if trained_on_it else torch.tensor([1, 2, 3])
        network = replace(made.network, record=record, seen=seen)
        atom = replace(made.atom, task=replace(made.atom.task, name=name))
        return _has_seen(network, atom, keys_of(task), task, ships=ships)

    def test_another_size_of_the_same_source_is_refused(self) -> None:
        assert "another size" in self.said(shape=(1, 16, 16), classes=("a", "b"))

    def test_so_is_another_framing_of_the_same_classes(self) -> None:
        assert "framing" in self.said(name="digits:only=3,5", classes=("3", "5"))

    def test_other_classes_of_the_same_source_and_size_are_taken(self) -> None:
        assert self.said(classes=("7", "8")) == ""

    def test_a_network_of_the_same_images_is_taken_as_hashes_tell(self) -> None:
        assert self.said(trained_on_it=True) == ""

    def test_names_that_are_no_sources_say_nothing(self) -> None:
        assert self.said(name="arrays", shape=(1, 16, 16)) == ""

    def test_a_shipped_network_of_the_same_classes_in_colour_is_refused(self) -> None:
        grey = task_of()
        colour = replace(
            grey,
            **{
                name: replace(split, images=split.images.expand(-1, 3, -1, -1))
                for name, split in (("train", grey.train), ("validation", grey.validation))
            },
        )
        args: Any = {"name": "small photos", "shape": (3, 32, 32), "task": colour}
        assert "other files" in self.said(**args, ships=True)
        assert self.said(**args, ships=False) == ""
        assert self.said(**args, ships=True, classes=("not 4", "4")) == ""


def test_an_architecture_takes_the_nearest_stem_that_the_space_has() -> None:
    task = task_of()
    large, small = named_space("standard", shape=(1, 128, 128)), named_space("standard", shape=task.shape)
    for architecture in large.sample(30, seed=Seed(), shape=(1, 128, 128), classes=2):
        fitted: Architecture = _fitted(architecture, small, task)
        half = replace(architecture, skeleton=replace(architecture.skeleton, stem="half"))
        if small.contains(half) and small.allows(half, task.shape, 2):
            assert fitted == half
    assert _fitted(fitted, small, task) == fitted
