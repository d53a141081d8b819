"""Messages of the core are read from Python, too: they name no option of the command line."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import tanas

SOURCE = Path(tanas.__file__).parent
OPTION = re.compile(r"(?<![\w-])(?<!var\()--(?:[a-z]|$)")
"""Not a colour of a page, such as var(--ink)."""
ALONE = re.compile(r"--[a-z-]+")
"""An option and nothing else is no message, but how a command is read."""


def texts(path: Path) -> Iterator[tuple[int, str]]:
    """The strings of a file that are no docstrings, with their lines."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    explained = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in explained:
            yield node.lineno, node.value


def test_no_message_names_an_option_of_the_command_line() -> None:
    core = [path for path in sorted(SOURCE.rglob("*.py")) if path.relative_to(SOURCE).parts[0] != "cli"]
    assert core
    found = [
        f"{path.relative_to(SOURCE)}:{line}: {text}"
        for path in core
        for line, text in texts(path)
        if OPTION.search(text) and not ALONE.fullmatch(text)
    ]
    assert found == []


def test_a_message_that_names_one_is_found(tmp_path: Path) -> None:
    (tmp_path / "file.py").write_text(
        '"""Of --this."""\nname = "it"\nraise ValueError(f"Take --{name}, or {name} --other.")\n"--doc"\n'
    )
    found = [text for _, text in texts(tmp_path / "file.py") if OPTION.search(text)]
    assert found == ["Take --", " --other."]
