"""Scenes in which every option of every command is seen to change something.

A scene is a command that runs twice, without its options and with them. Each option has something by which its effect
is seen: it differs between the two runs, and has the expected value in the second.

In `SCENES` commands run to their end. In `ARRIVALS` they end where they would begin to compute: what arrives there is
seen. Each command is once among the first, and what the values do to a search is tested beside the search.
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
    arrived: dict[str, Any] = field(default_factory=dict)
    """The arguments with which the command would have begun to compute, and `function`, its name."""

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


def arrived(*path: str) -> Callable[[Seen], Any]:
    """An attribute of an argument with which the command would have begun to compute; None if it did not."""

    def value(seen: Seen) -> Any:
        found = seen.arrived.get(path[0])
        for name in path[1:]:
            found = getattr(found, name, None)
        return found

    return value


def _fit(arrived: dict[str, Any]) -> str | None:
    """How pictures were fitted into the size of the task, or are to be."""
    framing = arrived["task"].framing if "task" in arrived else None
    return getattr(framing or getattr(arrived.get("library"), "reading", None), "fit", None)


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
ELSEWHERE = Option(f"--device {NO_DEVICE}", says(f"has no device '{NO_DEVICE}'"), True)
MACHINE = (
    Option("--threads 3", lambda seen: seen.threads[0], 3),
    Option("--workers 3", lambda seen: seen.workers, 3),
)
JSON, QUIET = Option("--json", is_json, True), Option("--quiet", progress, "")
DEBUG = Option("--debug", says("Traceback"), True)
PICTURES = (
    Option("--skip-bad", lambda seen: bool(seen.arrived), True),
    Option("--size 8x6", lambda seen: (1, 8, 6) in seen.shapes, True),
)
FIT = Option("--fit pad", lambda seen: _fit(seen.arrived), "pad")
DATA = Option("--data elsewhere", says("elsewhere/quickdraw/"), True)
DRAWN = "quickdraw:only=moon,apple"
SETTINGS = (
    Option("--preset quick", lambda seen: seen.config.scoring.images, 1000),
    Option("--config fast.toml", lambda seen: seen.config.limit, 60),
)
SPACE = (
    Option("--performance balanced", arrived("job", "config", "performance"), "balanced"),
    Option("--limit 40", arrived("job", "config", "limit"), 40),
    Option("--space authors", arrived("job", "config", "space"), "authors"),
    Option("--candidates 3", arrived("job", "config", "fuse", "candidates"), 3),
    Option("--rounds 1", arrived("job", "config", "fuse", "rounds"), 1),
    Option("--epochs 2", arrived("job", "config", "training", "epochs"), 2),
    Option("--seed 3", arrived("job", "seed"), 3),
    Option("--split-seed 1", arrived("task", "split_seed"), 1),
    Option("--max-parameters 60000", arrived("job", "config", "max_parameters"), 60000),
    Option("--max-macs 9000000", arrived("job", "config", "max_macs"), 9000000),
    Option("--max-latency 5000", arrived("job", "config", "max_latency_ms"), 5000),
    Option("--time-limit 2m", arrived("job", "time_limit"), 120),
    Option("--out rich", arrived("folder"), Path("rich")),
)
REPRESENTED = (
    Option("--epsilon 0.9", arrived("config", "representative", "epsilon"), 0.9),
    Option("--representative paper", arrived("config", "representative", "architecture"), "paper"),
)
NEAR = (
    *REPRESENTED,
    Option("--limit 40", arrived("config", "limit"), 40),
    Option("--performance balanced", arrived("config", "performance"), "balanced"),
    Option("--method probe", arrived("config", "distance", "method"), "probe"),
    Option("--intervals", lambda seen: seen.config.distance.intervals is not None, True),
    Option("--seed 3", arrived("seed"), 3),
)
SEARCH = f"search {SQUARE} --dictionary known {TINY}"
GROW = f"grow before {SQUARE} {TINY}"
SHORT_GROW = f"{GROW} --rounds 1 --candidates 2"
BUILD = f"dictionary build new {SQUARE} {TINY}"

SCENES: tuple[tuple[str, str, tuple[Option, ...]], ...] = (
    # the command, what is typed in both runs, what only in the second
    (
        "search",
        SEARCH,
        (
            Option("--limit 40", of_result("task", "train"), 40),
            Option("--performance balanced", of_result("task", "performance"), "balanced"),
            Option("--space authors", of_result("space", "base"), "authors"),
            Option("--candidates 3", lambda seen: len(seen.result["rounds"][0]["candidates"]), 3),
            Option("--rounds 1", lambda seen: len(seen.result["rounds"]), 1),
            Option("--epochs 2", of_result("training", "epochs"), 2),
            Option("--neighbours 1", lambda seen: len(seen.result["neighbours"]), 1),
            Option("--max-parameters 60000", of_result("space", "max_parameters"), 60000),
            Option("--inherit union", of_result("space", "inherit"), "union"),
            Option("--remember", lambda seen: len(list(seen.desk.glob("known/atoms/*"))), 3),
            Option("--seed 3", of_result("seed"), 3),
            Option("--split-seed 1", of_result("task", "split_seed"), 1),
            Option("--out rich", made("rich/result.json"), True),
            *(*MACHINE, JSON, QUIET),
        ),
    ),
    (
        "grow",
        SHORT_GROW,
        (
            Option("--epochs 2", of_result("training", "epochs"), 2),
            Option("--fresh", of_result("grown", "weights")),
            *(*MACHINE, JSON, QUIET),
        ),
    ),
    (
        "dictionary build",
        BUILD,
        (
            Option("--limit 40", of_atom("task", "train"), 40),
            Option("--performance balanced", of_atom("task", "performance"), "balanced"),
            Option("--epsilon 0.9", of_atom("representative", "epsilon"), 0.9),
            Option("--candidates 3", lambda seen: len(seen.atom["rounds"][0]["candidates"]), 3),
            Option("--seed 3", of_atom("provenance", "seed"), 3),
            Option("--split-seed 1", of_atom("task", "split_seed"), 1),
            *(*MACHINE, JSON, QUIET),
        ),
    ),
    *(
        ("distance", f"distance known {SQUARE} {TINY} --method linear", (option,))
        for option in (
            Option("--limit 40", out),
            Option("--performance balanced", judged),
            Option("--epsilon 0.9", judged, []),
            Option("--representative paper", out),
            Option("--seed 3", out),
            Option("--split-seed 1", out),
        )
    ),
    ("distance", f"distance known {SQUARE} {TINY}", (Option("--method probe", out),)),
    (
        "distance",
        f"distance known {TINY}",
        (
            *(*MACHINE, QUIET, JSON),
            Option("--csv d.csv", made("d.csv"), True),
            Option("--plot d.svg", made("d.svg"), True),
        ),
    ),
    (
        "nearest",
        f"nearest known {SQUARE} {TINY}",
        (
            *(*MACHINE, QUIET, JSON),
            Option("--neighbours 1", lambda seen: is_json(seen) and len(json.loads(seen.out)), 1),
        ),
    ),
    *(
        (command, f"{command} known pictures {TINY}", (Option("--skip-bad", status, 0), PICTURES[1]))
        for command in ("distance", "nearest")
    ),
    ("evaluate", f"evaluate before {SQUARE}", (JSON, Option("--split-seed 1", out))),
    (
        "evaluate",
        "evaluate before squares",
        (Option("--skip-bad", status, 0),),
    ),
    (
        "evaluate",
        "evaluate before squares --skip-bad",
        (Option("--size 8x6", lambda seen: (1, 8, 6) in seen.shapes, True),),
    ),
    ("evaluate", "evaluate before", (Option("--fit crop", says("--size and --fit out"), True),)),
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
        (command, typed, (ELSEWHERE,))
        for command, typed in (
            *(("search", SEARCH), ("grow", SHORT_GROW), ("dictionary build", BUILD)),
            *(("nearest", f"nearest known {SQUARE} {TINY}"), ("distance", f"distance known {TINY}")),
        )
    ),
)

ARRIVALS: tuple[tuple[str, str, tuple[Option, ...]], ...] = (
    (
        "search",
        SEARCH,
        (
            *SPACE,
            Option("--epsilon 0.9", arrived("job", "config", "representative", "epsilon"), 0.9),
            Option(
                "--representative paper",
                arrived("job", "config", "representative", "architecture"),
                "paper",
            ),
            Option("--method probe", arrived("job", "config", "distance", "method"), "probe"),
            Option("--intervals", lambda seen: seen.config.distance.intervals is not None, True),
            Option("--threshold 0.1", arrived("job", "config", "threshold"), 0.1),
            Option("--controls", arrived("job", "config", "controls"), True),
            Option("--no-warm-weights", arrived("job", "config", "warm_weights"), False),
            Option("--reuse", arrived("job", "reuse"), True),
        ),
    ),
    (
        "search",
        SEARCH,
        (
            Option("--no-inherit-seed", arrived("job", "config", "inherit_seed"), False),
            Option("--strategy random", arrived("job", "config", "strategy"), "random"),
            Option("--from all", arrived("job", "config", "related"), "all"),
        ),
    ),
    (
        "search",
        f"search {SQUARE} --config seedless.toml",
        (
            Option("--inherit-seed", arrived("job", "config", "inherit_seed"), True),
            Option("--warm-weights", arrived("job", "config", "warm_weights"), True),
        ),
    ),
    (
        "search",
        f"search {SQUARE} {TINY}",
        (
            Option("--dictionary known", arrived("dictionary", "folder", "name"), "known"),
            Option("--forget", arrived("job", "remember"), False),
        ),
    ),
    (
        "search",
        f"search {SQUARE} {TINY}",
        (Option("--no-starter", lambda seen: seen.arrived["dictionary"].knows_starter, False),),
    ),
    ("search", f"search pictures {TINY}", (*PICTURES, FIT)),
    ("grow", GROW, SPACE),
    ("grow", f"grow before pictures {TINY}", (*PICTURES, FIT)),
    (
        "dictionary build",
        BUILD,
        (
            REPRESENTED[1],
            Option("--rounds 2", arrived("config", "fuse", "rounds"), 2),
            Option("--space authors", arrived("config", "space"), "authors"),
            Option("--max-parameters 90000", arrived("config", "max_parameters"), 90000),
            Option("--max-macs 9000000", arrived("config", "max_macs"), 9000000),
            Option("--max-latency 5000", arrived("config", "max_latency_ms"), 5000),
            Option("--strict", arrived("config", "strict"), True),
        ),
    ),
    ("dictionary build", f"dictionary build new pictures {TINY}", PICTURES),
    *(
        (command, f"{typed} {SQUARE} {TINY}", (FIT,))
        for command, typed in (
            *(("distance", "distance known"), ("nearest", "nearest known")),
            ("dictionary build", "dictionary build new"),
        )
    ),
    (
        "distance",
        f"distance known {SQUARE} {TINY}",
        (Option("--intervals", lambda seen: seen.config.distance.intervals is not None, True),),
    ),
    (
        "nearest",
        f"nearest known {SQUARE} {TINY}",
        (
            *NEAR,
            Option("--threshold 0.1", arrived("config", "threshold"), 0.1),
            Option("--split-seed 1", lambda seen: seen.arrived["library"].reading.split_seed, 1),
        ),
    ),
    ("demo", "demo", (ELSEWHERE,)),
    (
        "demo",
        "demo",
        (
            Option("--out other", arrived("folder"), Path("other/run")),
            Option("--seed 3", arrived("job", "seed"), 3),
            *(*MACHINE, JSON, QUIET),
        ),
    ),
)
