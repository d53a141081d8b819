"""The pages are written in sentences that can be read at once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PAGES = sorted(Path(__file__).parents[1].glob("pages/*.md"))
MOST_WORDS = 38


def sentences(text: str) -> list[str]:
    """Those of the prose: fenced code, tables, headings, pictures and comments apart."""
    text = re.sub(
        r"^```.*?^```$|<!--.*?-->|!\[.*?\]\(.*?\)|^#.*?$|^\|.*?$", "", text, flags=re.MULTILINE | re.DOTALL
    )
    text = re.sub(r"`[^`]*`", "code", text)
    blocks = re.split(r"\n\s*\n|^- ", text, flags=re.MULTILINE)
    return [
        one for block in blocks for one in re.split(r"(?<=[.!?])[*_)\"]*\s+", " ".join(block.split())) if one
    ]


def test_sentences_are_taken_apart_at_points_and_items_and_tables_are_left_out() -> None:
    text = "# Head\n\nOne, **two.** Three?\n\n- four\n- five 0.5\n\n| a b c |\n\n```console\n$ x y\n```\n"
    assert sentences(text) == ["One, **two.", "Three?", "four", "five 0.5"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_sentence_of_a_page_is_long(page: Path) -> None:
    long = [one for one in sentences(page.read_text()) if len(one.split()) > MOST_WORDS]
    assert not long


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_no_page_is_larger_than_20_kb(page: Path) -> None:
    assert page.stat().st_size <= 20_000
