"""Words of a task's name: quoting as a shell does, and classes by name or number."""

from __future__ import annotations

import re
from collections.abc import Sequence

from tanas.ground.errors import TaskError, UnknownNameError, nearest_names

_PIECE = re.compile(r"""'([^']*)'|"((?:\\.|[^"\\])*)"|\\(.)|([^'"\\])""", re.DOTALL)
"""One piece of a word: in single quotes, in double quotes, escaped, or a plain character."""

_NEEDS_QUOTES = re.compile(r"""[,+/:'"\\\s]|^$""")
"""What separates classes, groups and labellings, or is taken for a quote."""

LISTED = 20
"""Most classes that a message lists."""


class UnknownClassError(UnknownNameError, TaskError):
    """A class that its task does not have, or a name that several of its classes share."""


def split_outside_quotes(text: str, separator: str) -> list[str]:
    """Splits at a character wherever it is not quoted; the quotes stay.

    Raises:
        TaskError: a quote is opened and not closed.
    """
    parts = [""]
    position = 0
    while position < len(text):
        piece = _PIECE.match(text, position)
        if piece is None:
            raise TaskError(
                f"A quote in {text!r} is opened and not closed. Quote a name that holds quotes as a shell "
                "does, "
                'such as is="bird\'s nest".'
            )
        if piece[0] == separator:
            parts.append("")
        else:
            parts[-1] += piece[0]
        position = piece.end()
    return parts


def unquote(text: str) -> str:
    """A word without its quotes, as a shell reads it; spaces around it are no part of it."""
    pieces = _PIECE.finditer(text.strip())
    return "".join(
        re.sub(r"\\(.)", r"\1", piece[2]) if piece[2] is not None else piece[1] or piece[3] or piece[4] or ""
        for piece in pieces
    )


def quote(text: str) -> str:
    """A word in quotes if it holds anything that separates words; `unquote` reads it back."""
    if not _NEEDS_QUOTES.search(text):
        return text
    return "'" + text.replace("'", "'\"'\"'") + "'"


def class_word(name: str) -> str:
    """A class name as names are compared: lower case, runs of space, slash, underscore and dash one dash."""
    return re.sub(r"[\s/_-]+", "-", name.strip().lower())


def find_class(text: str, classes: Sequence[str], owner: str) -> int:
    """The index of a class by its name or number.

    The exact name goes before the same name in other letters, and a name before a number: in a folder
    with the classes 1 and 2, '1' is the class named 1.

    Args:
        text: what a person typed, without quotes.
        classes: names, in the order of the labels.
        owner: the task's name, for the message.

    Raises:
        UnknownClassError: no class, or several, go by it; the message lists what there is.
    """
    if text in classes:
        return list(classes).index(text)
    word = class_word(text)
    same = [index for index, name in enumerate(classes) if class_word(name) == word]
    if len(same) == 1:
        return same[0]
    if len(same) > 1:
        names = " and ".join(repr(classes[index]) for index in same)
        raise UnknownClassError(
            f"{text!r} is ambiguous among the classes of {owner}: {names}. Write the one you mean exactly so."
        )
    if text.strip().isascii() and text.strip().isdigit() and int(text) < len(classes):
        return int(text)
    listed = ", ".join(classes[:LISTED]) + (
        f" and {len(classes) - LISTED} more" if len(classes) > LISTED else ""
    )
    near = nearest_names(word, [class_word(name) for name in classes])
    suggestion = f" {near}" if near.startswith("Did you mean") else ""
    raise UnknownClassError(f"{text!r} is no class of {owner}. Its classes are {listed}.{suggestion}")


def class_in_name(index: int, classes: Sequence[str]) -> str:
    """How a task's canonical name writes a class: `find_class` of it, unquoted, gives the index back."""
    word = class_word(classes[index])
    exact = word not in classes or classes[index] == word
    alone = sum(class_word(name) == word for name in classes) == 1
    return quote(word if exact and alone else classes[index])
