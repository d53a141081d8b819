"""Options that several commands share, and what they stand for."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter, Token

from tanas.ground.errors import SettingError

if TYPE_CHECKING:
    from tanas.algorithm.presets import SearchConfig
    from tanas.api.progress import Display
    from tanas.engines.resources import Resources
    from tanas.tasks.library import Library


def _whole(kind: Any, tokens: Sequence[Token]) -> int:
    """Reads a whole number; 1.5 is refused rather than rounded."""
    try:
        return int(tokens[0].value)
    except ValueError as error:
        raise ValueError(f"expected a whole number, got {tokens[0].value!r}.") from error


Whole = Annotated[int, Parameter(converter=_whole)]
CommandLine = Annotated[str, Parameter(parse=False)]
"""What was typed, for the record of a run; `main` gives it."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Common:
    """Options of every command."""

    data: Path | None = None
    """Folder of the data sets; else $TANAS_DATA, else a folder in the user's cache."""
    split_seed: Whole = 0
    """Of the split of sources that have no official one."""
    skip_bad: Annotated[bool, Parameter(negative=())] = False
    """Leave out pictures that can't be read, and count them."""
    size: Whole | None = None
    """Height and width to which pictures of different sizes are brought."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where networks are trained."""
    threads: Whole = 1
    """Within the training of one network."""
    workers: Whole | None = None
    """Candidates, distances and atoms that are computed side by side; one a processor if left out."""
    seed: Whole = 0
    """Of every random draw."""
    json: Annotated[bool, Parameter(negative=())] = False
    """Print one JSON document instead of text."""
    quiet: Annotated[bool, Parameter(negative=())] = False
    """Show no progress."""
    debug: Annotated[bool, Parameter(negative=())] = False
    """Show the traceback of an error."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Representing:
    """Options of what stands for a task."""

    preset: str = "default"
    """Where the settings start: quick, default or paper."""
    config: Path | None = None
    """TOML file of settings, on top of the preset."""
    limit: str | None = None
    """Most training images of a task, stratified, or all."""
    performance: Literal["balanced", "accuracy"] | None = None
    """What l is: balanced accuracy corrected for chance, or accuracy."""
    epsilon: float | None = None
    """A representative reaches l of at least 1 - epsilon."""
    representative: Literal["laptop", "paper", "small"] | None = None
    """Network of the representatives."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Measuring(Representing):
    """Options that decide a distance."""

    method: str | None = None
    """Of measuring a distance: linear (the default), transform (the paper's), narrow, exact, knn, probe, logme,
    h-score, leep, cka, fisher, task2vec."""
    intervals: Annotated[bool, Parameter(negative=())] = False
    """Give every distance an interval: maps fitted and images drawn anew, which takes several times as long."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Learning(Representing):
    """Options that decide what a dictionary learns of a task."""

    space: str | None = None
    """Base space: standard (the default), paper, authors, nas-bench-201 or darts."""
    candidates: Whole | None = None
    """Candidates of a round of FUSE."""
    rounds: Whole | None = None
    """Most rounds of FUSE."""
    max_parameters: Whole | None = None
    """Most parameters of an architecture."""
    max_macs: Whole | None = None
    """Most multiply-adds of an architecture for one image."""
    max_latency: float | None = None
    """Most milliseconds in which an architecture answers one image, measured on this machine in one thread."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Searching(Learning):
    """Options that decide a search where no dictionary is asked."""

    epochs: Whole | None = None
    """Of the final training."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class Settings(Searching, Measuring):
    """Options that decide a search."""


COMMON, SETTINGS = Common(), Settings()
LEARNING, MEASURING, SEARCHING = Learning(), Measuring(), Searching()


def library_of(common: Common) -> Library:
    """What opens tasks, as the options say."""
    from tanas.tasks.library import Library

    return Library(data=common.data, split_seed=common.split_seed, skip_bad=common.skip_bad, size=common.size)


def resources_of(common: Common) -> Resources:
    """What of the machine is used, as the options say."""
    from tanas.engines.resources import Resources

    return Resources(device=common.device, threads=common.threads, workers=common.workers)


def config_of(settings: Representing, **options: Any) -> SearchConfig:
    """The configuration that preset, file and options give; an option left out (None) changes nothing.

    Raises:
        SettingError: a setting is wrong, or an option does not suit the strategy.
    """
    from dataclasses import asdict, replace

    from tanas.api.settings import configure, count
    from tanas.distances.intervals import IntervalConfig

    given = asdict(settings)
    limit = count(given["limit"], "limit")
    searched = "fuse" if isinstance(settings, Searching) else "learn"  # where FUSE's own options go
    epochs = given.get("epochs")
    config = configure(
        given["preset"],
        given["config"],
        options
        | {
            "limit": None if limit == "all" else limit,
            "performance": given["performance"],
            "representative.epsilon": given["epsilon"],
            "representative.architecture": given["representative"],
            "distance.method": given.get("method"),
            "distance.intervals": IntervalConfig() if given.get("intervals") else None,
            "space": given.get("space"),
            f"{searched}.candidates": given.get("candidates"),
            f"{searched}.rounds": given.get("rounds"),
            "rounds_led": given.get("rounds"),  # who says how many has said it for what is known, too
            "max_parameters": given.get("max_parameters"),
            "max_macs": given.get("max_macs"),
            "max_latency_ms": given.get("max_latency"),
            "training.epochs": epochs,
            # who says how many has said it for small and large sets, too
            "training.least_steps": None if epochs is None else 0,
            "training.meant_for": None if epochs is None else 0,
        },
    )
    if searched == "fuse" and config.strategy != "fuse":
        for name in ("candidates", "rounds"):
            if given.get(name) is not None:
                raise SettingError(
                    f"--{name} is an option of FUSE, and the strategy is '{config.strategy}': leave it out, or set "
                    "what that strategy has in a file for --config."
                )
    return replace(config, limit=None) if limit == "all" else config


def starting(common: Common) -> None:
    """Says at once that something happens: importing torch and reading images take seconds."""
    # not in a pipe: there a call that is refused has its one message and no other line
    if not common.quiet and sys.stderr.isatty():
        print("Loading torch and the images ...", file=sys.stderr, flush=True)


def listening(common: Common, journal: Path | None = None) -> Display:
    """Shows progress on stderr, and writes every event into a file if one is named."""
    from tanas.api.progress import JsonLinesListener, broadcast, listener_for

    shown = listener_for(sys.stderr, quiet=common.quiet)
    return shown if journal is None else broadcast(shown, JsonLinesListener(journal))


def saying(common: Common) -> Callable[[Any, str], None]:
    """`show` with these options."""
    return lambda plain, text: show(common, plain, text)


def show(common: Common, plain: Any, text: str) -> None:
    """Prints a document as text, or whole as JSON, which stays JSON in every encoding."""
    ascii_only = "utf" not in str(sys.stdout.encoding).lower()
    print(json.dumps(plain, indent=1, ensure_ascii=ascii_only) if common.json else text)
