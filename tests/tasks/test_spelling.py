"""Words of a task's name."""

from __future__ import annotations

import pytest

from tanas.ground.errors import TaskError
from tanas.tasks.spelling import (
    UnknownClassError,
    class_in_name,
    class_word,
    find_class,
    quote,
    split_outside_quotes,
    unquote,
)

FASHION = ("T-shirt/top", "Trouser", "Ankle boot")


@pytest.mark.parametrize(
    "text", ["moon", "a b", "it's", 'a "b"', "a,b", "a+b/c", "a:b", "back\\slash", " lead", "=", "ü"]
)
def test_what_is_quoted_is_read_back(text: str) -> None:
    assert unquote(quote(text)) == text


def test_plain_words_need_no_quotes() -> None:
    assert quote("ankle-boot") == "ankle-boot"


def test_separators_in_quotes_do_not_separate() -> None:
    assert split_outside_quotes("'a,b',c", ",") == ["'a,b'", "c"]
    assert split_outside_quotes('"a,b",c\\,d', ",") == ['"a,b"', "c\\,d"]


def test_double_quotes_and_backslashes_read_as_in_a_shell() -> None:
    assert unquote('"a \\"b\\""') == 'a "b"'
    assert unquote("a\\ b'c d'") == "a bc d"


def test_an_open_quote_is_refused() -> None:
    with pytest.raises(TaskError, match='quote in "bird\'s nest"'):
        split_outside_quotes("bird's nest", ",")


@pytest.mark.parametrize("text", ["T-shirt/top", "t-shirt-top", "T SHIRT TOP", "t_shirt / top", "0"])
def test_a_class_goes_by_name_or_number(text: str) -> None:
    assert find_class(text, FASHION, "fashion-mnist") == 0


def test_an_unknown_class_lists_the_classes() -> None:
    with pytest.raises(UnknownClassError, match="'eleven' in digits.* 0, 1"):
        find_class("eleven", tuple("0123456789"), "digits")


def test_an_unknown_class_suggests_the_near_ones() -> None:
    with pytest.raises(UnknownClassError, match="'trousers' .* 'trouser'"):
        find_class("trousers", FASHION, "fashion-mnist")


def test_a_number_beyond_the_classes_is_unknown() -> None:
    with pytest.raises(UnknownClassError, match="Unknown class '3' in fashion-mnist"):
        find_class("3", FASHION, "fashion-mnist")


def test_long_lists_of_classes_are_cut() -> None:
    with pytest.raises(UnknownClassError, match="c19 .*80"):
        find_class("zzz", [f"c{n}" for n in range(100)], "many")


def test_an_ambiguous_class_lists_those_it_could_be() -> None:
    with pytest.raises(UnknownClassError, match="'A-B' .* x: 'a b' and 'a_b'"):
        find_class("A-B", ("a b", "a_b"), "x")
    assert find_class("a_b", ("a b", "a_b"), "x") == 1


def test_a_name_goes_before_a_number() -> None:
    assert find_class("1", ("1", "2"), "folder:x") == 0
    assert find_class("0", ("1", "2"), "folder:x") == 0


@pytest.mark.parametrize(
    "classes",
    [FASHION, ("A", "a"), ("a b", "a-b"), ("1", "0"), ("a+b", "a", "b:c", "d,e"), ("it's", " x ", "X")],
)
def test_the_canonical_class_finds_its_class(classes: tuple[str, ...]) -> None:
    for index in range(len(classes)):
        text = class_in_name(index, classes)
        assert split_outside_quotes(text, ":") == [text]
        assert find_class(unquote(text), classes, "x") == index


def test_class_words_fold_case_and_separators() -> None:
    assert class_word(" T-Shirt / top_x  y") == "t-shirt-top-x-y"
