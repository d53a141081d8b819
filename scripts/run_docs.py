"""Executes what README, docs and examples show: they say nothing that does not work.

A page is a Markdown file. Its blocks marked ```python and ```console run in order in a temporary folder of
the page's own, where `$TANAS_DICTIONARY` stands too. Python blocks of a page share their variables; of a
console block the lines that begin with `$ ` run, in bash. A block under the comment
`<!-- not run: REASON -->` is skipped and listed. Examples (examples/*.py) run as a user would run them, each
in a folder of its own.
"""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FENCE = re.compile(r"^```(\w*)\s*$")
NOT_RUN = re.compile(r"^<!-- not run: (.+) -->$")
ONE_PAGE = "--one-page"


@dataclass(frozen=True, kw_only=True)
class Block:
    """A code block of a page."""

    language: str
    line: int
    """Of its first line of code, from 1."""
    code: str
    skipped: str
    """Why it does not run; empty if it does."""


def blocks_of(text: str) -> list[Block]:
    """The python and console blocks of a Markdown text, in order.

    Raises:
        ValueError: a block does not end.
    """
    blocks: list[Block] = []
    lines = text.splitlines()
    above = ""
    number = 0
    while number < len(lines):
        if (fence := FENCE.match(lines[number])) is None:
            above = lines[number].strip() or above
            number += 1
            continue
        begin = number + 1
        if "```" not in lines[begin:]:
            raise ValueError(f"The block at line {begin} does not end.")
        end = lines.index("```", begin)
        if fence[1] in ("python", "console"):
            mark = NOT_RUN.match(above)
            blocks.append(
                Block(
                    language=fence[1],
                    line=begin + 1,
                    code="\n".join(lines[begin:end]),
                    skipped=mark[1] if mark else "",
                )
            )
        above = ""
        number = end + 1
    return blocks


def commands_of(code: str) -> str:
    """The commands of a console block, as a bash script."""
    commands: list[str] = []
    goes_on = False
    for line in code.splitlines():
        if line.startswith("$ ") or goes_on:
            commands.append(line.removeprefix("$ "))
            goes_on = line.endswith("\\")
    return "\n".join(commands)


def run_page(page: Path) -> None:
    """Runs the blocks of a page in this process and folder; ends the process with status 1 if one fails."""
    shared: dict[str, object] = {"__name__": "__page__"}
    for block in blocks_of(page.read_text(encoding="utf-8")):
        if block.skipped:
            continue
        where = f"{page.name}:{block.line}"
        if block.language == "console":
            status = subprocess.run(["bash", "-euo", "pipefail", "-c", commands_of(block.code)]).returncode
            if status:
                sys.exit(f"{where}: ended with status {status}:\n{block.code}")
        else:
            try:  # blank lines in front: a traceback then shows the page's own line numbers
                exec(compile("\n" * (block.line - 1) + block.code, where, "exec"), shared)
            except Exception:
                traceback.print_exc()
                sys.exit(f"{where}: failed:\n{block.code}")


def run_apart(path: Path) -> bool:
    """Runs a page or an example in a process and a folder of its own; says how it went."""
    command = (
        [sys.executable, __file__, ONE_PAGE, str(path)]
        if path.suffix == ".md"
        else [sys.executable, str(path)]
    )
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        environment = {
            **os.environ,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
            "TANAS_DICTIONARY": str(Path(folder, "memory")),
        }
        if data := os.environ.get("TANAS_DATA"):
            environment["TANAS_DATA"] = str(Path(data).resolve())
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            shown, _ = process.communicate()
        except BaseException:  # interrupted: nothing that the page started may go on behind it
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
    good = process.returncode == 0
    print(f"{'ok    ' if good else 'FAILED'} {path.name} ({time.monotonic() - began:.0f} s)", flush=True)
    if path.suffix == ".md":
        for block in blocks_of(path.read_text(encoding="utf-8")):
            if block.skipped:
                print(f"       line {block.line} not run: {block.skipped}", flush=True)
    if not good:
        print(shown, flush=True)
    return good


def main(arguments: list[str]) -> int:
    """Runs the named pages and examples, or all; 0 if all work."""
    if arguments[:1] == [ONE_PAGE]:
        run_page(Path(arguments[1]))
        return 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    paths = [Path(argument).resolve() for argument in arguments] or [
        ROOT / "README.md",
        *sorted(ROOT.glob("docs/*.md")),
        *sorted(ROOT.glob("experiments/pages/*.md")),
        *sorted(ROOT.glob("examples/*.py")),
    ]
    return 0 if all([run_apart(path) for path in paths]) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
