from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest

from tanas.ground.errors import SettingError, StoreError, check_range
from tanas.ground.records import (
    SCHEMA,
    digest,
    from_plain,
    new_folder,
    read_json,
    read_marker,
    read_record,
    to_json,
    to_plain,
    write_bytes,
    write_json,
)


@dataclass(frozen=True, kw_only=True)
class Inner:
    share: float = 0.5

    def __post_init__(self) -> None:
        check_range(self.share, "share", "Inner", low=0, high=1)


@dataclass(frozen=True, kw_only=True)
class Outer:
    name: str
    sizes: tuple[int, ...]
    inner: Inner = field(default_factory=Inner)
    note: str | None = None
    more: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Loss:
    value: float


@dataclass(frozen=True, kw_only=True)
class Part:
    gone: int
    size: int


@dataclass(frozen=True, kw_only=True)
class Before:
    inner: tuple[Part, ...]


@dataclass(frozen=True, kw_only=True)
class LaterPart:
    RETIRED: ClassVar = {"gone": 0}
    size: int


@dataclass(frozen=True, kw_only=True)
class After:
    inner: tuple[LaterPart, ...]


WHOLE = Outer(name="Ä 'quoted'", sizes=(1, 2), inner=Inner(share=0.1), more={"a": [1, None]})


class TestPlain:
    def test_gives_back_the_same_record(self) -> None:
        plain = to_plain(WHOLE)
        assert plain["sizes"] == [1, 2]
        assert from_plain(Outer, plain, where="here") == WHOLE

    def test_gives_back_tuples_of_records(self) -> None:
        plain = to_plain((WHOLE, WHOLE))
        assert from_plain(tuple[Outer, ...], plain, where="here") == (WHOLE, WHOLE)

    def test_fills_in_what_an_older_file_lacks(self) -> None:
        assert from_plain(Outer, {"name": "n", "sizes": []}, where="here") == Outer(name="n", sizes=())

    def test_passes_over_fields_that_a_newer_file_has_more(self) -> None:
        plain = to_plain(WHOLE) | {"later": 3}
        assert from_plain(Outer, plain, where="here") == WHOLE

    @pytest.mark.parametrize(
        ("plain", "message"),
        [
            ({"name": "n"}, "here is not a Outer: sizes"),
            ({"name": "n", "sizes": [1, "x"]}, "here is not a Outer: sizes.1"),
            ({"name": "n", "sizes": [], "inner": {"share": "x"}}, "here is not a Outer: inner.share: "),
            ([], "here is not a Outer: the whole: "),
            (None, "here is not a Outer: the whole: "),
        ],
        ids=["missing", "wrong in a list", "wrong within", "a list", "nothing"],
    )
    def test_names_the_first_wrong_field(self, plain: object, message: str) -> None:
        with pytest.raises(StoreError, match=message):
            from_plain(Outer, plain, where="here")

    def test_refuses_what_the_record_itself_refuses(self) -> None:
        with pytest.raises(SettingError):
            Inner(share=2)
        with pytest.raises(StoreError, match="inner: The 'share' of Inner"):
            from_plain(Outer, {"name": "n", "sizes": [], "inner": {"share": 2}}, where="here")


class TestFiles:
    def test_equal_records_give_equal_bytes(self, tmp_path: Path) -> None:
        for name in ("one.json", "two.json"):
            write_json(tmp_path / name, WHOLE)
        first, second = ((tmp_path / name).read_bytes() for name in ("one.json", "two.json"))
        assert first == second == to_json(WHOLE).encode()
        assert read_record(Outer, tmp_path / "one.json") == WHOLE
        assert "Ä" in first.decode()
        assert first.endswith(b"}\n")

    def test_numbers_that_json_has_not_are_refused(self) -> None:
        with pytest.raises(ValueError, match="not JSON compliant"):
            to_json(Loss(value=float("nan")))

    def test_a_missing_file_is_named(self, tmp_path: Path) -> None:
        with pytest.raises(StoreError, match="gone.json"):
            read_json(tmp_path / "gone.json")

    @pytest.mark.parametrize("content", [b"", b'{"name": "n', b"\xff\xfe\x00"])
    def test_a_damaged_file_is_named(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "bad.json").write_bytes(content)
        with pytest.raises(StoreError, match="bad.json can't be read"):
            read_json(tmp_path / "bad.json")

    def test_a_file_is_whole_or_as_it_was(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        path = tmp_path / "deep" / "file"
        write_bytes(path, b"old")

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(StoreError, match="file can't be written: No space left on device"):
            write_bytes(path, b"new")
        assert path.read_bytes() == b"old"
        assert [entry.name for entry in path.parent.iterdir()] == ["file"]

    def test_a_place_that_is_no_folder_is_named(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_bytes(b"")
        with pytest.raises(StoreError, match="inside can't be written"):
            write_bytes(tmp_path / "file" / "inside", b"")
        with pytest.raises(StoreError, match="can't be written"), new_folder(tmp_path / "file" / "inside"):
            pass


class TestNewFolder:
    def test_appears_when_the_block_ends(self, tmp_path: Path) -> None:
        with new_folder(tmp_path / "atom") as folder:
            (folder / "file").write_text("new")
            assert not (tmp_path / "atom").exists()
        assert (tmp_path / "atom" / "file").read_text() == "new"
        assert [entry.name for entry in tmp_path.iterdir()] == ["atom"]

    def test_replaces_one_that_is_there_at_the_end(self, tmp_path: Path) -> None:
        for text in ("old", "new"):
            with new_folder(tmp_path / "atom") as folder:
                (folder / text).write_text(text)
                if text == "new":
                    assert (tmp_path / "atom" / "old").exists()
        assert [entry.name for entry in (tmp_path / "atom").iterdir()] == ["new"]
        assert [entry.name for entry in tmp_path.iterdir()] == ["atom"]

    def test_leaves_nothing_behind_if_the_block_fails(self, tmp_path: Path) -> None:
        with new_folder(tmp_path / "atom") as folder:
            (folder / "file").write_text("old")
        with pytest.raises(KeyboardInterrupt), new_folder(tmp_path / "atom") as folder:
            (folder / "file").write_text("half")
            raise KeyboardInterrupt
        assert (tmp_path / "atom" / "file").read_text() == "old"
        assert [entry.name for entry in tmp_path.iterdir()] == ["atom"]


class TestDigest:
    def test_is_the_same_over_versions(self) -> None:
        assert digest(WHOLE, "text", b"bytes", 3, None) == "36c04a3f0d055498"

    def test_tells_parts_from_one_another(self) -> None:
        assert len({digest("ab", "c"), digest("a", "bc"), digest("abc"), digest("c", "ab")}) == 4
        assert digest(Inner(share=0.1)) != digest(Inner(share=0.2))

    def test_outlives_a_field_that_goes(self) -> None:
        before = Before(inner=(Part(gone=0, size=2),))
        assert digest(After(inner=(LaterPart(size=2),))) == digest(before)
        assert digest({"a": After(inner=(LaterPart(size=2),))}) == digest({"a": before})


class TestMarker:
    def test_gives_all_that_the_file_holds(self, tmp_path: Path) -> None:
        content = {"kind": "tanas shelf", "schema": SCHEMA, "more": [1]}
        write_json(tmp_path / "shelf.json", content)
        assert read_marker(tmp_path / "shelf.json", "tanas shelf", make="tanas shelve") == content

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (None, "it holds no shelf.json.* tanas shelve '.*my shelf'$"),
            ("{", "shelf.json can't be read"),
            ("[]", "its shelf.json is of another kind"),
            ('{"kind": "tanas run", "schema": 1}', "its shelf.json is of another kind"),
            ('{"kind": "tanas shelf", "schema": 99}', "shelf has schema 99"),
            ('{"kind": "tanas shelf"}', "has schema None"),
        ],
        ids=["missing", "damaged", "no record", "another kind", "another version", "no version"],
    )
    def test_refuses_what_is_none(self, tmp_path: Path, content: str | None, message: str) -> None:
        path = tmp_path / "my shelf" / "shelf.json"
        path.parent.mkdir()
        if content is not None:
            path.write_text(content)
        with pytest.raises(StoreError, match=message):
            read_marker(path, "tanas shelf", make="tanas shelve")

    def test_sends_who_named_a_folder_of_something_else_elsewhere(self, tmp_path: Path) -> None:
        (tmp_path / "photo.png").touch()
        for folder in (tmp_path, tmp_path / "photo.png"):
            with pytest.raises(StoreError, match="tanas shelve my-shelf$"):
                read_marker(folder / "shelf.json", "tanas shelf", make="tanas shelve")
