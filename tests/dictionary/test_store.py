from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import filelock
import pytest
import torch
from tests.dictionary.small_atoms import add_again_and_again, atom_of, representative_of

from tanas.dictionary import store
from tanas.dictionary.store import Dictionary
from tanas.dictionary.task_record import Atom
from tanas.distances.base import Measurement
from tanas.ground.errors import StoreError, UnknownNameError
from tanas.ground.records import SCHEMA


@pytest.fixture
def dictionary(tmp_path: Path) -> Dictionary:
    return Dictionary.create(tmp_path / "memory")


def add(
    dictionary: Dictionary, name: str = "digits:is=3", *, seed: int = 0, called: str | None = None
) -> Atom:
    atom = atom_of(name, seed=seed, called=called)
    dictionary.add(atom, representative_of(name))
    return atom


def with_other_settings(dictionary: Dictionary) -> Atom:
    """Another atom of the same name: of the same data, measured by accuracy."""
    atom = atom_of()
    atom = replace(atom, task=replace(atom.task, performance="accuracy"))
    dictionary.add(atom, representative_of())
    return atom


def folders(dictionary: Dictionary) -> list[str]:
    return sorted(os.listdir(dictionary.folder / "atoms"))


def folder_of(dictionary: Dictionary) -> Path:
    (name,) = folders(dictionary)
    return dictionary.folder / "atoms" / name


def measurement() -> Measurement:
    return Measurement(source="a", target="b", same=True, value=0.0)


class TestOpening:
    def test_makes_a_folder_that_says_what_it_is(self, tmp_path: Path) -> None:
        Dictionary.create(tmp_path / "deep" / "memory")
        marker = json.loads((tmp_path / "deep" / "memory" / "dictionary.json").read_text())
        assert marker == {"kind": "tanas dictionary", "schema": SCHEMA}
        assert Dictionary(tmp_path / "deep" / "memory").atoms() == ()

    def test_opens_one_that_is_there_and_keeps_what_it_holds(self, dictionary: Dictionary) -> None:
        atom = add(dictionary)
        assert Dictionary.create(dictionary.folder).atoms() == (atom,)

    def test_takes_an_empty_folder(self, tmp_path: Path) -> None:
        (tmp_path / ".hidden").touch()
        assert Dictionary.create(tmp_path).atoms() == ()

    def test_takes_one_that_another_process_makes_at_the_same_moment(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        looked = Path.iterdir

        def late(folder: Path) -> Iterator[Path]:
            monkeypatch.setattr(Path, "iterdir", looked)
            Dictionary.create(tmp_path)
            return looked(folder)

        monkeypatch.setattr(Path, "iterdir", late)
        assert Dictionary.create(tmp_path).atoms() == ()

    def test_writes_nothing_before_a_new_one_is_settled(self, tmp_path: Path) -> None:
        new = Dictionary(tmp_path / "new", may_be_new=True)
        assert (new.atoms(), new.names(), new.verify(), new.measured("key")) == ((), {}, (), None)
        assert list(tmp_path.iterdir()) == []
        new.settle()
        add(new)
        assert len(Dictionary(tmp_path / "new").atoms()) == 1

    def test_refuses_a_folder_that_is_none(self, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match="is not a dictionary: it holds no dictionary.json"):
            Dictionary(tmp_path)
        (tmp_path / "photo.png").touch()
        with pytest.raises(StoreError, match="is not empty and holds no dictionary"):
            Dictionary.create(tmp_path)
        with pytest.raises(StoreError, match="photo.png can't be a dictionary"):
            Dictionary.create(tmp_path / "photo.png")

    @pytest.mark.parametrize(
        ("marker", "message"),
        [
            (
                '{"kind": "tanas dictionary", "schema": 99}',
                "has schema 99; this tanas reads schema 1",
            ),
            ('{"kind": "tanas dictionary"}', "has schema None; this tanas reads schema 1"),
            ('{"kind": "words"}', "its dictionary.json is of another kind"),
            ("[]", "its dictionary.json is of another kind"),
            ("{", "dictionary.json can't be read"),
        ],
    )
    def test_refuses_another_version_or_kind(self, tmp_path: Path, marker: str, message: str) -> None:
        (tmp_path / "dictionary.json").write_text(marker)
        for opening in (Dictionary, Dictionary.create):
            with pytest.raises(StoreError, match=message):
                opening(tmp_path)


class TestAdding:
    def test_gives_back_the_same_atom_and_the_same_representative(self, dictionary: Dictionary) -> None:
        atom = add(dictionary)
        again = Dictionary(dictionary.folder)
        assert again.atoms() == (atom,)
        assert again.find("digits:is=3") == atom
        assert again.get(atom.key) == atom
        assert again.get("another") is None
        read, made = again.representative(atom), representative_of()
        assert read.key == made.key
        for name, value in made.network.state_dict().items():
            assert torch.equal(read.network.state_dict()[name], value), name

    def test_writes_folders_that_people_can_read(self, dictionary: Dictionary) -> None:
        atom = add(dictionary)
        assert folders(dictionary) == [f"digits-is-3-{atom.key[:8]}"]
        assert sorted(os.listdir(folder_of(dictionary))) == ["atom.json", "representative.safetensors"]
        assert json.loads((folder_of(dictionary) / "atom.json").read_text())["atom"]["task"]["train"] == 150

    def test_replaces_the_one_with_the_same_key(self, dictionary: Dictionary) -> None:
        add(dictionary, seed=1)
        assert dictionary.find("digits:is=3").provenance.seed == 1
        add(dictionary, seed=2)
        assert dictionary.find("digits:is=3").provenance.seed == 2
        assert len(folders(dictionary)) == 1

    def test_gives_what_it_keeps_from_the_one_that_it_replaces_while_nobody_else_writes(
        self, dictionary: Dictionary
    ) -> None:
        old = atom_of(seed=1)
        seen: list[Atom | None] = []

        def merged(new: Atom, before: Atom | None) -> Atom:
            seen.append(before)
            other = filelock.FileLock(dictionary.folder / ".lock", timeout=0)
            with pytest.raises(filelock.Timeout):
                other.acquire()
            return replace(new, provenance=before.provenance if before else new.provenance)

        dictionary.add(old, representative_of(), merged=merged)
        dictionary.add(atom_of(seed=2), representative_of(), merged=merged)
        assert seen == [None, old]
        assert dictionary.find("digits:is=3").provenance.seed == 1

    def test_replaces_the_same_data_under_another_name(self, dictionary: Dictionary) -> None:
        add(dictionary, called="npz:copy.npz")
        atom = add(dictionary)
        assert dictionary.atoms() == (atom,)
        assert len(folders(dictionary)) == 1
        dictionary.remove("digits:is=3")
        assert Dictionary(dictionary.folder).atoms() == ()

    def test_refuses_a_representative_of_another_atom(self, dictionary: Dictionary) -> None:
        with pytest.raises(StoreError, match="The atom digits:is=3 describes another representative"):
            dictionary.add(atom_of(), representative_of("digits:is=4"))
        assert dictionary.atoms() == ()

    @pytest.mark.parametrize("before", [False, True], ids=["new", "replacing"])
    @pytest.mark.parametrize("at", ["tanas.dictionary.store.write_json", "tanas.ground.records.os.replace"])
    def test_that_is_interrupted_leaves_nothing_half_written(
        self, dictionary: Dictionary, monkeypatch: pytest.MonkeyPatch, at: str, before: bool
    ) -> None:
        if before:
            add(dictionary, seed=1)
        held = dictionary.atoms()

        def interrupted(*_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(at, interrupted)
            add(dictionary, seed=2)
        assert Dictionary(dictionary.folder).atoms() == held
        assert Dictionary(dictionary.folder).verify() == ()
        assert len(folders(dictionary)) == len(held)
        add(dictionary, seed=3)
        assert dictionary.find("digits:is=3").provenance.seed == 3

    def test_ends_what_a_killed_process_began(self, dictionary: Dictionary) -> None:
        add(dictionary, seed=1)
        place = folder_of(dictionary)
        (place.parent / f".{place.name}.abcd.part").mkdir()
        (place.parent / f".{place.name}.removed").mkdir()
        os.replace(place, place.with_name(f".{place.name}.abcd.old"))  # killed between two renames
        assert Dictionary(dictionary.folder).atoms() == ()
        other = add(dictionary, "digits:is=4")
        assert [atom.task.name for atom in dictionary.atoms()] == ["digits:is=3", other.task.name]
        assert dictionary.verify() == ()
        assert not [name for name in folders(dictionary) if name.startswith(".")]

    def test_to_a_disk_that_is_full_is_told(
        self, dictionary: Dictionary, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(Path, "write_bytes", full)
        with pytest.raises(StoreError, match="memory can't be written: No space left on device."):
            add(dictionary)
        assert folders(dictionary) == []

    def test_waits_for_others_only_so_long(
        self, dictionary: Dictionary, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(store, "LOCK_SECONDS", 0.01)
        with (
            filelock.FileLock(dictionary.folder / ".lock"),
            pytest.raises(StoreError, match="is being written by another process"),
        ):
            add(dictionary)
        add(dictionary)

    @pytest.mark.long
    def test_from_two_processes_at_once_keeps_everything(self, dictionary: Dictionary) -> None:
        code = (
            "import sys; from pathlib import Path; from tests.dictionary.small_atoms import *; "
            "representative_of(); print('ready', flush=True); sys.stdin.readline(); "
            "add_again_and_again(Dictionary(Path(sys.argv[1])))"
        )
        other = subprocess.Popen(
            [sys.executable, "-c", code, str(dictionary.folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        with other:
            assert other.stdout is not None
            assert other.stdout.readline() == "ready\n"
            assert other.stdin is not None
            other.stdin.write("go\n")
            other.stdin.flush()
            add_again_and_again(dictionary)
            add(dictionary, "digits:is=4")
        assert other.returncode == 0
        again = Dictionary(dictionary.folder)
        assert sorted(again.names()) == ["digits:is=3", "digits:is=4"]
        assert again.find("digits:is=3").provenance.seed == 9
        assert again.verify() == ()
        assert len(folders(dictionary)) == 2


class TestMaking:
    def test_is_still_to_be_done_until_the_atom_is_there(self, dictionary: Dictionary) -> None:
        key = atom_of().key
        with dictionary.making(key, waits=lambda: pytest.fail("nobody else is at it")) as wanted:
            assert wanted
            add(dictionary)
        with dictionary.making(key, waits=lambda: pytest.fail("nobody else is at it")) as wanted:
            assert not wanted
        assert list((dictionary.folder / "unfinished").iterdir()) == []

    def test_that_fails_lets_the_next_one_try(self, dictionary: Dictionary) -> None:
        key = atom_of().key
        with pytest.raises(RuntimeError, match="failed"), dictionary.making(key, waits=lambda: None):
            raise RuntimeError("failed")
        with dictionary.making(key, waits=lambda: pytest.fail("nobody else is at it")) as wanted:
            assert wanted

    def test_waits_for_another_that_is_at_it(self, dictionary: Dictionary) -> None:
        key = atom_of().key
        waiting = threading.Event()
        wanted: list[bool] = []

        def second() -> None:
            with Dictionary(dictionary.folder).making(key, waits=waiting.set) as still:
                wanted.append(still)

        with dictionary.making(key, waits=lambda: None):
            thread = threading.Thread(target=second)
            thread.start()
            assert waiting.wait(60)
            assert wanted == []
            add(dictionary)
        thread.join(60)
        assert wanted == [False]

    def test_of_two_atoms_goes_side_by_side(self, dictionary: Dictionary) -> None:
        with (
            dictionary.making("one", waits=lambda: None),
            dictionary.making("two", waits=lambda: pytest.fail("it waits for another atom")) as wanted,
        ):
            assert wanted

    def test_in_a_folder_that_can_not_be_written_is_told(self, dictionary: Dictionary) -> None:
        (dictionary.folder / "unfinished").write_text("a file")
        with (
            pytest.raises(StoreError, match="The dictionary .* can't be written: File exists"),
            dictionary.making("one", waits=lambda: None),
        ):
            pytest.fail("it began")


class TestNames:
    def test_are_the_tasks_where_that_is_enough(self, dictionary: Dictionary) -> None:
        add(dictionary, "digits:is=4")
        add(dictionary)
        assert list(dictionary.names()) == ["digits:is=3", "digits:is=4"]

    def test_carry_a_short_key_where_several_share_it(self, dictionary: Dictionary) -> None:
        first = add(dictionary)
        second = with_other_settings(dictionary)
        names = dictionary.names()
        assert names == {
            f"digits:is=3~{first.key[:4]}": first,
            f"digits:is=3~{second.key[:4]}": second,
        }
        for name, atom in names.items():
            assert dictionary.find(name) == atom
        with pytest.raises(UnknownNameError, match="digits:is=3~.*, digits:is=3~"):
            dictionary.find("digits:is=3")
        dictionary.remove(f"digits:is=3~{first.key[:4]}")
        assert dictionary.names() == {"digits:is=3": second}

    def test_that_are_unknown_are_told_with_near_ones(self, dictionary: Dictionary) -> None:
        with pytest.raises(UnknownNameError, match="Unknown task 'digits:is=5' in .*memory"):
            dictionary.find("digits:is=5")
        add(dictionary)
        with pytest.raises(UnknownNameError, match="'digits:is=5'.* 'digits:is=3'"):
            dictionary.find("digits:is=5")


class TestRemoving:
    def test_takes_one_and_leaves_the_others(self, dictionary: Dictionary) -> None:
        add(dictionary)
        other = add(dictionary, "digits:is=4")
        dictionary.remove("digits:is=3")
        assert dictionary.atoms() == (other,)
        assert folders(dictionary) == [f"digits-is-4-{other.key[:8]}"]
        with pytest.raises(UnknownNameError, match="Unknown task 'digits:is=3' in"):
            dictionary.remove("digits:is=3")

    def test_that_is_interrupted_leaves_no_damaged_atom(
        self, dictionary: Dictionary, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        add(dictionary)

        def interrupted(folder: Path, **_: object) -> None:
            (Path(folder) / "atom.json").unlink()
            raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr("tanas.dictionary.store.shutil.rmtree", interrupted)
            dictionary.remove("digits:is=3")
        assert Dictionary(dictionary.folder).atoms() == ()
        add(dictionary)
        assert len(folders(dictionary)) == 1

    def test_leaves_the_dictionary_below_alone(self, dictionary: Dictionary, tmp_path: Path) -> None:
        add(dictionary)
        above = Dictionary.create(tmp_path / "above", base=dictionary)
        with pytest.raises(UnknownNameError, match="belongs to the dictionary below .*above"):
            above.remove("digits:is=3")
        assert len(dictionary.atoms()) == 1


class TestOverlay:
    def test_sees_the_atoms_below_and_adds_only_to_itself(
        self, dictionary: Dictionary, tmp_path: Path
    ) -> None:
        below = add(dictionary)
        above = Dictionary.create(tmp_path / "above", base=dictionary)
        own = add(above, "digits:is=4")
        assert above.atoms() == (below, own)
        assert dictionary.atoms() == (below,)
        assert above.get(below.key) == below
        assert above.representative(below).key == representative_of().key
        assert above.representative(own).key == representative_of("digits:is=4").key

    def test_its_own_atom_stands_before_the_one_below(self, dictionary: Dictionary, tmp_path: Path) -> None:
        add(dictionary, seed=1)
        above = Dictionary.create(tmp_path / "above", base=dictionary)
        add(above, seed=2)
        assert [atom.provenance.seed for atom in above.atoms()] == [2]
        assert [atom.provenance.seed for atom in dictionary.atoms()] == [1]
        above.remove("digits:is=3")
        assert [atom.provenance.seed for atom in above.atoms()] == [1]


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-7])


def change_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))


def rename_field(path: Path) -> None:
    path.write_text(path.read_text().replace('"fingerprint"', '"footprint"'))


def raise_schema(path: Path) -> None:
    path.write_text(path.read_text().replace('"schema": 1', '"schema": 7'))


DAMAGES: list[tuple[str, Callable[[Path], Any], str]] = [
    ("atom.json", cut, "atom.json can't be read"),
    ("atom.json", Path.unlink, "is damaged: it has no atom.json"),
    ("atom.json", rename_field, "atom.json is not a AtomFile: atom.task.fingerprint"),
    ("atom.json", raise_schema, "The atom digits:is=3 has schema 7; this tanas reads schema 1"),
    ("representative.safetensors", cut, "safetensors is damaged: its hash differs"),
    ("representative.safetensors", change_a_byte, "safetensors is damaged: its hash differs"),
    ("representative.safetensors", Path.unlink, "safetensors can't be read"),
]


class TestDamage:
    @pytest.mark.parametrize(("name", "damage", "message"), DAMAGES)
    def test_is_named_by_whoever_meets_it(
        self, dictionary: Dictionary, name: str, damage: Callable[[Path], Any], message: str
    ) -> None:
        atom = add(dictionary)
        damage(folder_of(dictionary) / name)
        again = Dictionary(dictionary.folder)
        with pytest.raises(StoreError, match=message):
            again.representative(atom) if name != "atom.json" else again.atoms()

    @pytest.mark.parametrize(("name", "damage", "message"), DAMAGES)
    def test_is_listed_by_verify_with_all_the_rest(
        self, dictionary: Dictionary, name: str, damage: Callable[[Path], Any], message: str
    ) -> None:
        add(dictionary)
        damage(folder_of(dictionary) / name)
        add(dictionary, "digits:is=4")
        other = next(p for p in (dictionary.folder / "atoms").iterdir() if p.name.startswith("digits-is-4"))
        (other / "atom.json").unlink()
        problems = Dictionary(dictionary.folder).verify()
        assert len(problems) == 2
        with pytest.raises(StoreError, match=message):
            raise StoreError(problems[0])
        assert str(other) in problems[1] and "atom.json" in problems[1]

    def test_verify_says_nothing_of_a_sound_dictionary(self, dictionary: Dictionary) -> None:
        assert dictionary.verify() == ()
        add(dictionary)
        add(dictionary, "digits:is=4")
        assert dictionary.verify() == ()

    def test_verify_finds_weights_that_are_no_safetensors(self, dictionary: Dictionary) -> None:
        add(dictionary)
        weights = folder_of(dictionary) / "representative.safetensors"
        weights.write_bytes(b"no weights at all")
        record = json.loads((folder_of(dictionary) / "atom.json").read_text())
        record["weights_sha256"] = hashlib.sha256(b"no weights at all").hexdigest()
        (folder_of(dictionary) / "atom.json").write_text(json.dumps(record))
        (problem,) = Dictionary(dictionary.folder).verify()
        assert "representative.safetensors is damaged: " in problem

    @pytest.mark.parametrize("content", [b"", b"{", b'{"source": "a"}', b"\xff"])
    def test_verify_finds_a_damaged_distance_and_says_that_it_can_go(
        self, dictionary: Dictionary, content: bytes
    ) -> None:
        add(dictionary)
        dictionary.remember_distance("sound", measurement())
        assert dictionary.verify() == ()
        (dictionary.folder / "distances" / "torn.json").write_bytes(content)
        (problem,) = dictionary.verify()
        assert "distances/torn.json" in problem and "Delete it" in problem

    def test_verify_finds_a_renamed_folder(self, dictionary: Dictionary) -> None:
        add(dictionary)
        folder_of(dictionary).rename(dictionary.folder / "atoms" / "other")
        (problem,) = Dictionary(dictionary.folder).verify()
        assert "other holds the atom digits:is=3" in problem

    def test_an_atom_whose_weights_are_gone_can_be_removed_and_added_again(
        self, dictionary: Dictionary
    ) -> None:
        atom = add(dictionary)
        cut(folder_of(dictionary) / "representative.safetensors")
        dictionary.remove("digits:is=3")
        add(dictionary)
        assert dictionary.verify() == ()
        assert dictionary.representative(atom).key == representative_of().key


class TestMeasurements:
    def test_are_remembered_by_key(self, dictionary: Dictionary) -> None:
        assert dictionary.measured("key") is None
        dictionary.remember_distance("key", measurement())
        assert Dictionary(dictionary.folder).measured("key") == measurement()
        assert dictionary.measured("other") is None

    @pytest.mark.parametrize("content", ["", "{", '{"source": "a"}', "[]"])
    def test_that_are_damaged_count_as_never_made(self, dictionary: Dictionary, content: str) -> None:
        dictionary.remember_distance("key", measurement())
        (dictionary.folder / "distances" / "key.json").write_text(content)
        assert dictionary.measured("key") is None

    def test_and_what_is_unfinished_can_be_deleted_at_any_time(self, dictionary: Dictionary) -> None:
        atom = add(dictionary)
        dictionary.remember_distance("key", measurement())
        dictionary.unfinished("key").save("state", 1)
        assert dictionary.unfinished("key").load("state") == 1
        for part in ("distances", "unfinished"):
            for path in sorted((dictionary.folder / part).rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()
            (dictionary.folder / part).rmdir()
        again = Dictionary(dictionary.folder)
        assert again.atoms() == (atom,)
        assert again.measured("key") is None
        assert again.unfinished("key").load("state") is None
