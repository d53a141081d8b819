"""Images whose pixels changed places."""

from __future__ import annotations

from pathlib import Path

import torch
from tests.opened import opened

from tanas.ground.seeds import Seed
from tanas.tasks.library import Library
from tanas.tasks.task import Task
from tanas_experiments.permuted import write_permuted


def permuted(path: Path, seed: int = 0) -> Task:
    digits = Library().open("digits")
    write_permuted(digits, path, seed=Seed(seed), train=200, test=100)
    return Library().open(f"npz:{path}")


def test_every_image_is_one_of_the_source_with_its_pixels_in_another_order(tmp_path: Path) -> None:
    task, digits = permuted(tmp_path / "p.npz"), Library().open("digits")
    assert len(task.train) + len(task.validation) == 200
    assert len(opened(task)) == 100
    assert (task.shape, len(task.classes)) == (digits.shape, 10)
    sorted_test = {
        tuple(image.flatten().sort().values.tolist()) for image in opened(digits).images[opened(digits).rows]
    }
    mine = [opened(task).images[row] for row in opened(task).rows]
    assert all(tuple(image.flatten().sort().values.tolist()) in sorted_test for image in mine)
    originals = {tuple(image.flatten().tolist()) for image in opened(digits).images[opened(digits).rows]}
    assert not any(tuple(image.flatten().tolist()) in originals for image in mine)


def test_all_images_are_permuted_alike_and_from_the_seed(tmp_path: Path) -> None:
    first, again, other = (
        permuted(tmp_path / name, seed) for name, seed in (("a.npz", 0), ("b.npz", 0), ("c.npz", 1))
    )
    assert first.fingerprint == again.fingerprint
    assert first.fingerprint != other.fingerprint
    # a pixel that is black in every image of the source stays one that is, wherever it went
    digits = Library().open("digits")
    whole = torch.cat(
        [digits.train.images[digits.train.rows], digits.validation.images[digits.validation.rows]]
    )
    constant = int((whole.flatten(1).float().std(0) == 0).sum())
    mine = torch.cat([first.train.images[first.train.rows], first.validation.images[first.validation.rows]])
    assert int((mine.flatten(1).float().std(0) == 0).sum()) >= constant > 0


def test_a_file_that_is_there_is_left_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "p.npz"
    permuted(path)
    before = path.read_bytes()
    write_permuted(Library().open("digits"), path, seed=Seed(5), train=50, test=50)
    assert path.read_bytes() == before
