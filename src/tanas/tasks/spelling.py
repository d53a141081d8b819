"""Words of a task's name: quoting as a shell does, and classes by name or number."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

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
    pieces = [piece[0] for piece in _PIECE.finditer(text)]
    if len("".join(pieces)) < len(text):
        raise TaskError(
            f"A quote in {text!r} is opened and not closed. Quote a name that holds quotes as a shell "
            'does, such as is="bird\'s nest".'
        )
    parts = [""]
    for piece in pieces:
        if piece == separator:
            parts.append("")
        else:
            parts[-1] += piece
    return parts


def unquote(text: str) -> str:
    """A word without its quotes and the spaces around it, as a shell reads it."""
    return "".join(
        re.sub(r"\\(.)", r"\1", piece[2]) if piece[2] is not None else piece[1] or piece[3] or piece[4] or ""
        for piece in _PIECE.finditer(text.strip())
    )


def quote(text: str) -> str:
    """A word in quotes if it holds anything that separates words; `unquote` reads it back."""
    return in_quotes(text) if _NEEDS_QUOTES.search(text) else text


def in_quotes(text: str) -> str:
    """A word in single quotes."""
    return "'" + text.replace("'", "'\"'\"'") + "'"


def class_word(name: str) -> str:
    """A class name as names are compared: lower case, runs of space, slash, underscore and dash one dash."""
    return re.sub(r"[\s/_-]+", "-", name.strip().lower())


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """' Did you mean x?' for an unknown name; '' if no known name is near."""
    near = nearest_names(name, known)
    return f" {near}" if near.startswith("Did you mean") else ""


def find_class(text: str, classes: Sequence[str], owner: str) -> int:
    """The index of a class by its name or number.

    The exact name goes before the same name in other letters, and a name before a number: in a folder
    with the classes 1 and 2, '1' is the class named 1.

    Args:
        text: what a person typed, without quotes.
        classes: names, in the order of the labels.
        owner: the task's name, for the message.

    Raises:
        UnknownClassError: no class has it, or several; the message lists the classes.
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
    more = f" and {len(classes) - LISTED} more" if len(classes) > LISTED else ""
    raise UnknownClassError(
        f"Unknown class {text!r} in {owner}. Its classes are {', '.join(classes[:LISTED])}{more}."
        f"{did_you_mean(word, map(class_word, classes))}"
    )


def class_in_name(index: int, classes: Sequence[str]) -> str:
    """How a task's canonical name writes a class: `find_class` of it, unquoted, gives the index back."""
    word = class_word(classes[index])
    exact = word not in classes or classes[index] == word
    alone = sum(class_word(name) == word for name in classes) == 1
    return quote(word if exact and alone else classes[index])
