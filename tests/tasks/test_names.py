"""Names of tasks."""

from __future__ import annotations

from pathlib import Path

import pytest

from tanas.ground.errors import TaskError, UnknownNameError
from tanas.tasks.labelling import Groups, Is, Only, Take
from tanas.tasks.names import SOURCES, folder_behind, misspelt_labelling, parse_source


def parse_name(name: str) -> tuple[str, tuple[object, ...]]:
    """The source in its canonical form, and the labellings."""
    source, labellings = parse_source(name)
    return source.text, labellings


@pytest.mark.parametrize(
    ("name", "source", "labellings"),
    [
        ("digits", "digits", ()),
        ("digits:is=0", "digits", (Is("0"),)),
        ("Fashion-MNIST:is=Trouser", "fashion-mnist", (Is("Trouser"),)),
        ("FashionMNIST", "fashion-mnist", ()),
        ("fashion_mnist:take=40", "fashion-mnist", (Take(40),)),
        ("mnist:groups=0+2/1+3", "mnist", (Groups((("0", "2"), ("1", "3"))),)),
        ("quickdraw:only=moon,apple:is=moon", "quickdraw", (Only(("moon", "apple")), Is("moon"))),
        ("quickdraw:per-class=100:is=moon", "quickdraw:per-class=100", (Is("moon"),)),
        ("quickdraw:per-class=6000", "quickdraw", ()),
        ("digits:IS=0", "digits", (Is("0"),)),
        ("digits:only='a,b',c", "digits", (Only(("a,b", "c")),)),
        ("folder:./photos", "folder:./photos", ()),
        ("folder:my photos, old:is=cat", "folder:my photos, old", (Is("cat"),)),
        ("folder:C:\\photos:new:is=cat", "folder:C:\\photos:new", (Is("cat"),)),
        ("folder:bob's photos:is=cat", "folder:bob's photos", (Is("cat"),)),
        ("folder:bob's photos:is='big cat'", "folder:bob's photos", (Is("big cat"),)),
        ("folder:a:is=b:c:is=cat", "folder:a:is=b:c", (Is("cat"),)),
        ("folder:'a:is=b':is=cat", "folder:'a:is=b'", (Is("cat"),)),
        ("folder:'my photos':take=5", "folder:my photos", (Take(5),)),
        ("folder:photos:iz=3", "folder:photos:iz=3", ()),
        ("npz:../x.npz:only=a,b:is=a", "npz:../x.npz", (Only(("a", "b")), Is("a"))),
        ("NPZ:x.npz", "npz:x.npz", ()),
    ],
)
def test_names_are_read_from_left_to_right(name: str, source: str, labellings: tuple[object, ...]) -> None:
    assert parse_name(name) == (source, labellings)
    assert parse_name(source) == (source, ())  # the canonical form stands for itself


@pytest.mark.parametrize(
    "path", ["a b", "a:b", "a,b", "it's", "'q'", '"q', "a:is=b", "a:take=3:x", "'a:is=b", "a'b:is=c'd"]
)
def test_any_path_survives_its_canonical_form(path: str) -> None:
    quoted = "folder:'" + path.replace("'", "'\"'\"'") + "'"
    source, _ = parse_name(quoted)
    assert parse_name(source + ":is=a") == (source, (Is("a"),))
    assert parse_name(source) == parse_name(quoted)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mnits", "'mnits'.* 'mnist'"),
        (
            "zzz:is=3",
            "'zzz'.* digits, quickdraw, folder:PATH, npz:PATH, mnist, ",
        ),
        ("hf:cats", "'hf'.* Hugging Face"),
        (
            "digits:iz=3",
            "'iz=3'.* 'is='.* only=A,B,C, groups=",
        ),
        ("digits:gruops=1/2", "'gruops=1/2'.* 'groups='"),
        ("digits:3", "Unknown labelling '3'"),
        ("digits:", "Unknown labelling ''"),
    ],
)
def test_unknown_words_are_refused_with_the_near_ones(name: str, message: str) -> None:
    with pytest.raises(UnknownNameError, match=message):
        parse_name(name)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("folder:", "'folder:'.* folder:PATH"),
        ("npz", "'npz'.* npz:PATH"),
        ("digits:take=0", "take= .* at least 1.* '0'"),
        ("digits:take=many", "take= .* at least 1.* 'many'"),
        ("digits:is=", "A class is missing in 'is='"),
        ("digits:only=1,,2", "A class is missing in 'only=1,,2'"),
        (
            "digits:groups=1+2",
            r"groups=A\+B/C\+D.* 'groups=1\+2'",
        ),
        ("digits:groups=1+/2", r"A class is missing in 'groups=1\+/2'"),
        ("digits:is='3", "A quote in .* is opened and not closed"),
        ("digits:per-class=3", "per-class= stands right after quickdraw"),
        ("quickdraw:is=moon:per-class=3", "per-class= stands right after quickdraw"),
        ("quickdraw:per-class=x", "per-class= .* at least 1.* 'x'"),
        ("folder:p:take=x", "take= .* 'x'"),
    ],
)
def test_what_can_not_be_read_is_refused(name: str, message: str) -> None:
    with pytest.raises(TaskError, match=message):
        parse_name(name)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a folder and files that can be tasks; commands run in it."""
    for name in ("photos", "my photos, old", "digits", "a:is=b"):
        (tmp_path / name).mkdir()
    for name in ("scans.npz", "UPPER.NPZ", "labels.csv"):
        (tmp_path / name).touch()
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "source", "labellings"),
    [
        ("photos", "folder:photos", ()),
        ("photos/", "folder:photos", ()),
        ("./photos", "folder:./photos", ()),
        ("photos/:is=cat", "folder:photos", (Is("cat"),)),
        ("photos:take=100:is=cat", "folder:photos", (Take(100), Is("cat"))),
        ("my photos, old:is=cat", "folder:my photos, old", (Is("cat"),)),
        ("'my photos, old':is=cat", "folder:my photos, old", (Is("cat"),)),
        ("'a:is=b':is=cat", "folder:'a:is=b'", (Is("cat"),)),
        ("scans.npz", "npz:scans.npz", ()),
        ("scans.npz:take=100", "npz:scans.npz", (Take(100),)),
        ("UPPER.NPZ", "npz:UPPER.NPZ", ()),
        ("digits", "digits", ()),
        ("./digits:is=cat", "folder:./digits", (Is("cat"),)),
        ("../nowhere", "folder:../nowhere", ()),
        ("photos/nowhere:is=cat", "folder:photos/nowhere", (Is("cat"),)),
        ("nowhere.npz", "npz:nowhere.npz", ()),
    ],
)
def test_a_path_needs_no_prefix(name: str, source: str, labellings: tuple[object, ...], place: Path) -> None:
    assert parse_name(name) == (source, labellings)
    assert parse_name(source) == (source, ())


def test_an_absolute_path_and_one_of_the_home_folder_need_none_either(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert parse_name(f"{place}/photos/:is=cat") == (f"folder:{place}/photos", (Is("cat"),))
    monkeypatch.setenv("HOME", str(place))
    assert parse_name("~/scans.npz") == ("npz:~/scans.npz", ())


def test_a_file_that_is_no_npz_is_refused(place: Path) -> None:
    for name in ("labels.csv", "labels.csv:is=cat", "./labels.csv"):
        with pytest.raises(UnknownNameError, match=r"labels.csv is a file.* \.npz"):
            parse_name(name)


def test_a_folder_behind_a_source_is_found(place: Path) -> None:
    assert folder_behind("digits:is=0") == "digits"
    assert [folder_behind(name) for name in ("mnist", "./digits", "folder:digits", "npz")] == [""] * 4


def test_a_misspelt_labelling_is_told_from_a_path() -> None:
    told = misspelt_labelling("photos:iz=cat")
    assert "'iz=cat'" in told and "'is='" in told
    assert misspelt_labelling("photos:new") == ""


def test_every_source_reads_as_itself() -> None:
    assert all(parse_name(source) == (source, ()) for source in SOURCES)
