"""Layout of help: `--help` shows everyday options, `--help-all` every option under its heading."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

from cyclopts import Group
from cyclopts.help import DefaultFormatter

if TYPE_CHECKING:
    from cyclopts.help import HelpPanel
    from rich.console import Console, ConsoleOptions

HELP, HELP_ALL = ("--help", "-h"), "--help-all"
EPILOGUE = f"{HELP_ALL} shows every option."
_all_options: ContextVar[bool] = ContextVar("all_options", default=False)


@contextmanager
def help_asked_by(tokens: Sequence[str]) -> Iterator[None]:
    """Within the block, help shows all options if the command asks for them."""
    before = _all_options.set(HELP_ALL in tokens)
    try:
        yield
    finally:
        _all_options.reset(before)


class Brief(DefaultFormatter):
    """Shows all options of a group with `--help-all`, else only the everyday options."""

    def __init__(self, *everyday: str) -> None:
        super().__init__()
        self._everyday = frozenset(everyday)

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        if not _all_options.get():
            kept = [entry for entry in panel.entries if self._everyday & set(entry.names)]
            panel = panel.copy(entries=kept)
        super().__call__(console, options, panel)


EVERYDAY = Group.create_ordered("Everyday options")
RESEARCH = Group.create_ordered("For researchers", help_formatter=Brief())
ON_DATA = Group.create_ordered("Data", help_formatter=Brief("--size"))
ON_MACHINE = Group.create_ordered("Machine", help_formatter=Brief("--seed"))
ON_OUTPUT = Group.create_ordered("Output", help_formatter=Brief("--json", "--quiet"))
