"""Scenes in which every option of every command is seen to change something.

A scene is a command that runs twice, without its options and with them. Each option has something by which its effect
is seen: it differs between the two runs, and has the expected value in the second.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

CHANGED = object()
"""Expected where it is enough that something differs."""
FAST = """
rivals = false
refit = false
recipes = ["plain"]
"""


@dataclass
class Seen:
    """What a command did."""

    desk: Path
    status: int = -1
    out: str = ""
    err: str = ""
    threads: list[int] = field(default_factory=list)
    """Numbers of threads that torch was set to."""
    workers: int | None = None
    """Of the engine."""
    shapes: list[tuple[int, ...]] = field(default_factory=list)
    """Of the tasks that were opened."""
    config: Any = None
    """The configuration that preset, file and options gave."""

    @property
    def result(self) -> Any:
        """result.json of the run that was made; None if there is none."""
        found = [path for path in self.desk.rglob("result.json") if path.parent.name != "before"]
        return json.loads(found[0].read_text()) if found else None

    @property
    def atom(self) -> Any:
        """The atom that was learnt; None if there is none."""
        found = [
            plain["atom"]
            for path in self.desk.rglob("atom.json")
            if (plain := json.loads(path.read_text()))["atom"]["task"]["name"] == SQUARE
        ]
        return found[0] if found else None


@dataclass(frozen=True)
class Option:
    """An option, and how its effect is seen."""

    words: str
    """As they are typed."""
    seen: Callable[[Seen], Any]
    expected: Any = CHANGED

    @property
    def name(self) -> str:
        return self.words.split()[0]


def of_result(*path: str | int) -> Callable[[Seen], Any]:
    """A value within result.json."""
    return lambda seen: None if seen.result is None else _at(seen.result, path)


def of_atom(*path: str | int) -> Callable[[Seen], Any]:
    """A value within atom.json."""
    return lambda seen: None if seen.atom is None else _at(seen.atom, path)


def _at(plain: Any, path: tuple[str | int, ...]) -> Any:
    for key in path:
        plain = plain[key]
    return plain


def is_json(seen: Seen) -> bool:
    """Whether stdout is one JSON document."""
    try:
        json.loads(seen.out)
    except ValueError:
        return False
    return True


def made(name: str) -> Callable[[Seen], bool]:
    """Whether something has that name on the desk."""
    return lambda seen: (seen.desk / name).exists()


def most(key: str) -> Callable[[Seen], Any]:
    """The largest value of a key among the architectures that were seen, below a bound or not."""
    return lambda seen: None if seen.result is None else max(one[key] for one in seen.result["seen"])


def out(seen: Seen) -> str:
    """What was printed."""
    return seen.out


def status(seen: Seen) -> int:
    """How the command ended."""
    return seen.status


def progress(seen: Seen) -> str:
    """What stderr says."""
    return seen.err


def judged(seen: Seen) -> list[str]:
    """What was said of the representative that was trained: what it reached, and what it had to reach."""
    return re.findall(r"reached l = [\d.]+, below [\d.]+", seen.err)


def says(text: str) -> Callable[[Seen], bool]:
    """Whether a message says it."""
    return lambda seen: text in seen.err


SQUARE, ACROSS = "npz:bars.npz:is=square", "npz:bars.npz:is=across"
TINY = "--config fast.toml"
NO_DEVICE = next(name for name in ("mps", "cuda") if not getattr(torch, name).is_available())
MACHINE = (
    Option("--threads 2", lambda seen: 2 in seen.threads, True),
    Option("--workers 3", lambda seen: seen.workers, 3),
)
JSON, QUIET = Option("--json", is_json, True), Option("--quiet", progress, "")
DEBUG = Option("--debug", says("Traceback"), True)
PICTURES = (
    Option("--skip-bad", status, 0),
    Option("--size 8", lambda seen: (1, 8, 8) in seen.shapes, True),
)
DATA = Option("--data elsewhere", says("elsewhere/quickdraw/"), True)
DRAWN = "quickdraw:only=moon,apple"
SETTINGS = (
    Option("--preset quick", lambda seen: seen.config.scoring.images, 1000),
    Option("--config fast.toml", lambda seen: seen.config.limit, 60),
)
SCORED = "rounds", 0, "candidates"
SEARCHED = (
    Option("--limit 40", of_result("task", "train"), 40),
    Option("--performance balanced", of_result("task", "performance"), "balanced"),
    Option("--space authors", of_result("space", "base"), "authors"),
    Option("--candidates 3", lambda seen: len(seen.result["rounds"][0]["candidates"]), 3),
    Option("--rounds 1", lambda seen: len(seen.result["rounds"]), 1),
    Option("--epochs 2", of_result("training", "epochs"), 2),
    Option("--seed 3", of_result("seed"), 3),
    Option("--split-seed 1", of_result("task", "split_seed"), 1),
    Option("--max-latency 5000", of_result("space", "max_latency_ms"), 5000),
    Option("--out rich", made("rich/result.json"), True),
)
LEARNT = (
    Option("--limit 40", of_atom("task", "train"), 40),
    Option("--performance balanced", of_atom("task", "performance"), "balanced"),
    Option("--epsilon 0.9", of_atom("representative", "epsilon"), 0.9),
    Option("--representative paper", of_atom("representative", "parameters")),
    Option("--candidates 3", lambda seen: len(seen.atom["rounds"][0]["candidates"]), 3),
    Option("--seed 3", of_atom("provenance", "seed"), 3),
    Option("--split-seed 1", of_atom("task", "split_seed"), 1),
    JSON,
    QUIET,
    *MACHINE,
)
LIMITED = (
    Option("--rounds 2", lambda seen: len(seen.atom["rounds"]), 2),
    Option("--space authors", of_atom("rounds", 0, "keys")),
    Option("--max-parameters 90000", of_atom("provenance", "settings", "max_parameters"), 90000),
    Option("--max-macs 9000000", of_atom("provenance", "settings", "max_macs"), 9000000),
    Option("--max-latency 5000", of_atom("provenance", "settings", "max_latency_ms"), 5000),
)
SEARCH = f"search {SQUARE} --dictionary known {TINY}"
BUILD = f"dictionary build new {SQUARE} {TINY}"
MEASURED = (
    Option("--limit 40", out),
    Option("--performance balanced", judged),
    Option("--epsilon 0.9", judged, []),
    Option("--representative paper", out),
    Option("--method probe", out),
    Option("--seed 3", out),
    Option("--split-seed 1", out),
)

SCENES: tuple[tuple[str, str, tuple[Option, ...]], ...] = (
    # the command, what is typed in both runs, what only in the second
    ("search", SEARCH, (*SEARCHED, *MACHINE, JSON, QUIET)),
    (
        "search",
        SEARCH,
        (
            Option("--epsilon 0.9", of_result("representative", "epsilon"), 0.9),
            Option("--representative paper", of_result("representative", "parameters")),
            Option("--neighbours 1", lambda seen: len(seen.result["neighbours"]), 1),
            Option("--max-parameters 60000", of_result("space", "max_parameters"), 60000),
            Option("--max-macs 9000000", of_result("space", "max_macs"), 9000000),
            Option("--remember", lambda seen: len(list(seen.desk.glob("known/atoms/*"))), 3),
            Option("--strategy random", of_result("strategy"), "random"),
            Option("--inherit union", of_result("space", "inherit"), "union"),
        ),
    ),
    (
        "search",
        "search npz:many.npz --dictionary known --config many.toml",
        (
            Option("--method probe", of_result("distances", 0, "distance")),
            Option("--intervals", lambda seen: seen.result["distances"][0]["interval"] is not None, True),
        ),
    ),
    (
        "search",
        SEARCH,
        (
            Option("--threshold 0.1", lambda seen: len(seen.result["neighbours"]), 1),
            Option("--time-limit 0.01s", of_result("stopped"), "time"),
        ),
    ),
    ("search", SEARCH, (Option("--from all", of_result("space", "related"), "all"),)),
    ("search", SEARCH, (Option("--no-inherit-seed", of_result(*SCORED)),)),
    (
        "search",
        f"{SEARCH[: -len(TINY)]} --config seedless.toml",
        (Option("--inherit-seed", of_result(*SCORED)),),
    ),
    (
        "search",
        SEARCH,
        (
            Option("--controls", lambda seen: seen.result["control"] is not None, True),
            Option("--warm-weights", lambda seen: seen.result["beginning"] is not None, True),
        ),
    ),
    (
        "search",
        f"search {SQUARE} {TINY}",
        (
            Option("--dictionary known", lambda seen: len(seen.result["dictionary"]), 2),
            Option("--forget", made("own/dictionary.json"), False),
        ),
    ),
    (
        "search",
        f"search {ACROSS} --dictionary known {TINY}",
        (Option("--reuse", of_result("stopped"), "reused"),),
    ),
    ("search", f"search pictures --inherit none {TINY}", PICTURES),
    ("grow", f"grow before {SQUARE} {TINY}", (*SEARCHED, *MACHINE, JSON, QUIET)),
    (
        "grow",
        f"grow before {SQUARE} {TINY}",
        (
            Option("--max-parameters 9000", lambda seen: most("parameters")(seen) <= 9000, True),
            Option(
                "--fresh",
                of_result("grown", "weights"),
                "The final training began from scratch, as you asked.",
            ),
        ),
    ),
    (
        "grow",
        f"grow before {SQUARE} {TINY}",
        (
            Option("--max-macs 250000", lambda seen: most("macs")(seen) <= 250000, True),
            Option("--time-limit 0.01s", of_result("stopped"), "time"),
        ),
    ),
    ("grow", f"grow before pictures {TINY}", PICTURES),
    ("dictionary build", BUILD, LEARNT),
    ("dictionary build", BUILD, LIMITED),
    ("dictionary build", BUILD, (Option("--strict", status, 2),)),
    ("dictionary build", f"dictionary build new pictures {TINY}", PICTURES),
    *(
        (command, f"{typed} {TINY}", (option,))
        for command, typed in (
            ("distance", f"distance known {SQUARE}"),
            ("nearest", f"nearest known {SQUARE}"),
        )
        for option in MEASURED
    ),
    (
        "distance",
        f"distance known {TINY}",
        (
            *MACHINE,
            QUIET,
            JSON,
            Option("--compare", lambda seen: '"agreements"' in seen.out, True),
            Option("--csv d.csv", made("d.csv"), True),
            Option("--plot d.svg", made("d.svg"), True),
        ),
    ),
    ("distance", f"distance known pictures {TINY}", PICTURES),
    ("nearest", f"nearest known {SQUARE} {TINY}", (*MACHINE, QUIET, JSON)),
    *(
        (
            "nearest",
            f"nearest known {SQUARE} --json {TINY}",
            (Option(words, lambda seen: len(json.loads(seen.out)), 1),),
        )
        for words in ("--neighbours 1", "--threshold 0.1")
    ),
    *(
        (typed.split()[0], f"{typed} known npz:many.npz --config many.toml", (Option("--intervals", out),))
        for typed in ("distance", "nearest")
    ),
    ("nearest", f"nearest known pictures {TINY}", PICTURES),
    (
        "demo",
        "demo",
        (
            Option("--out other", made("other/run"), True),
            Option("--seed 3", of_result("seed"), 3),
            *MACHINE,
            JSON,
            QUIET,
        ),
    ),
    ("evaluate", f"evaluate before {SQUARE}", (JSON, Option("--split-seed 1", out))),
    (
        "evaluate",
        "evaluate before squares",
        (Option("--skip-bad", status, 0), Option("--size 12", status, 0)),
    ),
    ("predict", "predict before squares/square", (Option("--skip-bad", status, 0),)),
    ("predict", "predict before whole", (JSON, QUIET)),
    ("report", "report before", (JSON, Option("--out page.html", made("page.html"), True))),
    (
        "export",
        "export before taken.safetensors",
        (JSON, Option("--overwrite", status, 0)),
    ),
    ("dictionary list", "dictionary list known", (JSON,)),
    ("dictionary show", f"dictionary show known {ACROSS}", (JSON,)),
    ("dictionary remove", f"dictionary remove known {ACROSS}", (JSON,)),
    ("dictionary verify", "dictionary verify known", (JSON,)),
    # what is refused shows how far an option comes, and costs nothing
    *(
        (command, f"{typed} nothing", (DEBUG,))
        for command, typed in (
            *(("search", "search"), ("distance", "distance"), ("nearest", "nearest known")),
            *(("dictionary build", "dictionary build new"), ("evaluate", "evaluate"), ("report", "report")),
            *(("grow", "grow before"), ("predict", "predict before"), ("dictionary list", "dictionary list")),
            *(("dictionary show", "dictionary show known"), ("dictionary verify", "dictionary verify")),
            ("dictionary remove", "dictionary remove known"),
        )
    ),
    ("export", "export before nothing", (DEBUG,)),
    ("demo", "demo --out known", (DEBUG,)),
    *(
        (command, f"{typed} nothing", (option,))
        for command, typed in (
            *(("search", "search"), ("nearest", "nearest known"), ("distance", "distance known")),
            *(("dictionary build", "dictionary build new"), ("grow", "grow before")),
        )
        for option in SETTINGS
    ),
    *(
        (command, f"{typed} {DRAWN}", (DATA,))
        for command, typed in (
            *(("search", "search"), ("nearest", "nearest known"), ("distance", "distance known")),
            *(("dictionary build", "dictionary build new"), ("grow", "grow before")),
            ("evaluate", "evaluate before"),
        )
    ),
    *(
        (command, typed, (Option(f"--device {NO_DEVICE}", says(f"has no device '{NO_DEVICE}'"), True),))
        for command, typed in (
            *(("search", SEARCH), ("grow", f"grow before {SQUARE} {TINY}"), ("dictionary build", BUILD)),
            *(("nearest", f"nearest known {SQUARE} {TINY}"), ("distance", f"distance known {TINY}")),
            ("demo", "demo"),
        )
    ),
)
