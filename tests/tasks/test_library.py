"""A library of tasks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import platformdirs
import pytest
from tests.opened import opened

from tanas.ground.errors import DataError, SettingError, TaskError, UnknownNameError
from tanas.tasks.library import Library, data_root


def test_tasks_over_a_source_share_its_images(tmp_path: Path) -> None:
    library = Library(tmp_path)
    tasks = [library.open(name) for name in ("digits", "digits:is=0", "Digits:groups=0+1/2:take=50")]
    assert len({task.train.images.data_ptr() for task in tasks}) == 1
    assert len({task.validation.images.data_ptr() for task in tasks}) == 1
    assert len({opened(task).images.data_ptr() for task in tasks}) == 1
    assert tasks[0].train.images.data_ptr() != opened(tasks[0]).images.data_ptr()


def test_two_libraries_share_nothing(tmp_path: Path) -> None:
    one, other = Library(tmp_path).open("digits"), Library(tmp_path).open("digits")
    assert one.train.images.data_ptr() != other.train.images.data_ptr()
    assert one.fingerprint == other.fingerprint


def test_no_task_trains_on_the_test_images_of_another(tmp_path: Path) -> None:
    library = Library(tmp_path)
    names = ("digits", "digits:is=3", "digits:only=3,5", "digits:groups=0+3/1+5")
    tasks = [library.open(name) for name in names]
    tests = [{opened(task).images[row].numpy().tobytes() for row in opened(task).rows} for task in tasks]
    for task in tasks:
        trained = {task.train.images[row].numpy().tobytes() for row in task.train.rows}
        assert not any(trained & test for test in tests)


@pytest.mark.parametrize(
    ("typed", "canonical"),
    [
        ("DIGITS", "digits"),
        ("digits:only=5,3", "digits:only=3,5"),
        ("digits:groups=3+1/0:is='1+3'", "digits:groups=1+3/0:is='1+3'"),
        ("digits:groups=3+1/0:is=0", "digits:groups=1+3/0:is=0"),
        ("digits:take=0100", "digits:take=100"),
    ],
)
def test_names_become_canonical_and_open_the_same_task(typed: str, canonical: str, tmp_path: Path) -> None:
    library = Library(tmp_path)
    task = library.open(typed)
    assert task.name == canonical
    assert library.open(canonical).fingerprint == task.fingerprint


def test_settings_reach_the_task(tmp_path: Path) -> None:
    task = Library(tmp_path, performance="accuracy", split_seed=3).open("digits")
    assert (task.performance, task.split_seed) == ("accuracy", 3)
    assert task.fingerprint != Library(tmp_path).open("digits").fingerprint


def test_settings_outside_their_range_are_refused(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="'performance' of Library .*balanced, accuracy.* 'f1'"):
        Library(tmp_path, performance="f1")
    with pytest.raises(SettingError, match=r"'size' of Library .*\[1, 1024\].* 0"):
        Library(tmp_path, size=0)
    with pytest.raises(SettingError, match="100000"):
        Library(tmp_path, size=100_000)
    with pytest.raises(SettingError, match=r"'size' of Library .*\[1, 1024\].* 0"):
        Library(tmp_path, size=(8, 0))
    for size in ((8,), (8, 8, 8), (8.5, 8), "8x8", 8.5):
        with pytest.raises(SettingError, match=r"'size' of Library .*\(height, width\)"):
            Library(tmp_path, size=size)  # type: ignore[arg-type]
    with pytest.raises(SettingError, match="'fit' of Library .*crop, pad.* 'stretch'"):
        Library(tmp_path, fit="stretch")
    with pytest.raises(SettingError, match="'split_seed' of Library .* -1"):
        Library(tmp_path, split_seed=-1)


def test_the_data_root_is_the_given_one_or_the_environments_or_the_users_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TANAS_DATA", str(tmp_path))
    assert data_root(Path("here")) == Path("here")
    assert data_root() == tmp_path
    monkeypatch.delenv("TANAS_DATA")
    assert data_root() == platformdirs.user_cache_path("tanas")


def test_a_relative_path_is_read_where_it_was_typed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library, opened = Library(tmp_path), []
    for seed, name in enumerate("ab"):
        (tmp_path / name).mkdir()
        x = np.random.default_rng(seed).integers(0, 256, (20, 4, 4), dtype=np.uint8)
        np.savez(tmp_path / name / "x.npz", x=x, y=np.arange(20) % 2)
        monkeypatch.chdir(tmp_path / name)
        opened.append(library.open("npz:x.npz"))
    assert opened[0].name == opened[1].name == "npz:x.npz"
    assert opened[0].fingerprint != opened[1].fingerprint


def test_unknown_names_are_refused(tmp_path: Path) -> None:
    library = Library(tmp_path)
    with pytest.raises(UnknownNameError, match="'digit'.* 'digits'"):
        library.open("digit")
    with pytest.raises(TaskError, match="'eleven' in digits.* 0, 1"):
        library.open("digits:is=eleven")


def test_images_of_one_fixed_size_keep_it_and_say_so(tmp_path: Path) -> None:
    task = Library(tmp_path, size=16).open("digits:is=3")
    assert task.shape == (1, 8, 8)
    assert any("digits" in note and "8 x 8" in note for note in task.notes)
    assert Library(tmp_path, size=8).open("digits").notes == Library(tmp_path).open("digits").notes
    assert task.framing is None


def test_a_path_is_a_task_by_the_name_of_its_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    x = np.random.default_rng(0).integers(0, 256, (20, 4, 4), dtype=np.uint8)
    np.savez(tmp_path / "scans.npz", x=x, y=np.arange(20) % 2)
    monkeypatch.chdir(tmp_path)
    library = Library(tmp_path)
    assert library.open("scans.npz:is=1").name == "npz:scans.npz:is=1"
    assert library.open("scans.npz:is=1").fingerprint == library.open("npz:./scans.npz:is=1").fingerprint


def test_a_path_where_nothing_is_is_refused_by_what_is_missing(tmp_path: Path) -> None:
    library = Library(tmp_path)
    with pytest.raises(DataError, match=r"no folder '\./nowhere'"):
        library.open("./nowhere:is=cat")
    with pytest.raises(DataError, match=r"no file 'nowhere\.npz'"):
        library.open("nowhere.npz")
    (tmp_path / "photos").mkdir()
    with pytest.raises(DataError, match="'iz=cat'.* 'is='"):
        library.open(f"{tmp_path}/photos/:iz=cat")


def test_a_known_source_wins_over_a_folder_and_says_how_to_reach_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here" / "digits").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    task = Library(tmp_path).open("digits:is=3")
    assert task.name == "digits:is=3"
    assert any("./digits" in note for note in task.notes)
    at_home = Library(tmp_path / "here").open("digits:is=3")  # a folder of the data root is no surprise
    assert not any("./digits" in note for note in at_home.notes)
    assert at_home.fingerprint == task.fingerprint
