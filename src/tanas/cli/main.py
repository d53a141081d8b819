"""Runs a command: exit status, messages, interrupts."""

from __future__ import annotations

import io
import os
import shlex
import shutil
import sys
import traceback
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from cyclopts import CycloptsError, UnknownOptionError

from tanas.cli.commands import app
from tanas.cli.help import help_asked_by
from tanas.ground.errors import TanasError

FORMER = {
    ("export", "--to"): "The kind of an export is now the suffix of its file: tanas export RUN FILE.onnx",
    ("export", "--out"): "The file of an export now stands behind the run: tanas export RUN FILE.onnx",
}
"""Messages about former options, by command and option."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command. Exit status: 0 done, 1 failed, 2 wrong call or input, 130 interrupted."""
    tokens = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal may lack a letter of a class's name
    try:
        command, bound, given = app.parse_args(tokens, exit_on_error=False, print_error=False)
        if "command_line" in given:
            bound.arguments["command_line"] = shlex.join(["tanas", *tokens])
        with help_asked_by(tokens):
            command(*bound.args, **bound.kwargs)
        sys.stdout.flush()
    except KeyboardInterrupt as interrupt:
        if interrupt.args:  # the best so far
            print(f"\n{interrupt}", file=sys.stderr)
        print(f"\nInterrupted. Go on with: {_program()} {shlex.join(tokens)}", file=sys.stderr)
        return 130
    except CycloptsError as error:
        return _failed(_refusal(error), error, 2, tokens)
    except TanasError as error:
        return _failed(str(error), error, error.exit_status, tokens)
    except BrokenPipeError:
        with suppress(OSError, ValueError):  # drop unread output, or Python complains when it ends
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        where = "" if error.filename is None else f": {error.filename}"
        return _failed(f"{error.strerror or error}{where}.", error, 1, tokens)
    except Exception as error:
        text = f"This should not have happened: {type(error).__name__}: {error} (--debug shows where)"
        return _failed(text, error, 1, tokens)
    return 0


def _refusal(error: CycloptsError) -> str:
    """The message about a wrong call, and the command that lists the options."""
    chain = error.command_chain or ()
    if isinstance(error, UnknownOptionError):
        option = (error.token.keyword or error.token.value).partition("=")[0]
        if (former := FORMER.get((" ".join(chain), option))) is not None:
            return former
    return f"{error} See: {' '.join(['tanas', *chain, '--help'])}"


def _failed(text: str, error: Exception, status: int, tokens: Sequence[str]) -> int:
    if "--debug" in tokens:
        traceback.print_exception(error)
    else:
        print(f"tanas: {text}", file=sys.stderr)
    return status


def _program() -> str:
    """The name by which tanas was called, so that a printed command can be pasted."""
    typed = sys.orig_argv
    if "-m" in typed and typed[typed.index("-m") + 1 :][:1] == ["tanas"]:
        return shlex.join(typed[: typed.index("-m") + 2])
    script = Path(sys.argv[0])
    found = shutil.which("tanas")
    if script.name == "tanas" and script.is_file() and not (found and script.samefile(found)):
        return shlex.quote(str(script))
    return "tanas"
