"""Options that several commands share, and what they stand for. A command takes only options that it uses."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter, Token

from tanas.cli.help import EVERYDAY, ON_DATA, ON_MACHINE, ON_OUTPUT, RESEARCH
from tanas.ground.errors import SettingError

if TYPE_CHECKING:
    from tanas.algorithm.presets import SearchConfig
    from tanas.api.progress import Display
    from tanas.engines.resources import Machine as Workplace
    from tanas.engines.resources import Resources
    from tanas.tasks.library import Library


def _whole(kind: Any, tokens: Sequence[Token]) -> int:
    """Reads a whole number; 1.5 is refused rather than rounded."""
    try:
        return int(tokens[0].value)
    except ValueError as error:
        raise ValueError(f"expected a whole number, got {tokens[0].value!r}.") from error


Whole = Annotated[int, Parameter(converter=_whole)]
Flag = Annotated[bool, Parameter(negative=(), show_default=False)]
"""An option without a value."""
CommandLine = Annotated[str, Parameter(parse=False)]
"""What was typed, for the record of a run; `main` sets it."""


@Parameter(name="*", group=ON_OUTPUT)
@dataclass(frozen=True, kw_only=True)
class Answering:
    """Options of every command that answers."""

    json: Flag = False
    """Print one JSON document instead of text."""
    debug: Flag = False
    """Show the traceback of an error."""


@Parameter(name="*", group=ON_OUTPUT)
@dataclass(frozen=True, kw_only=True)
class Output(Answering):
    """Options of commands that also show progress."""

    quiet: Flag = False
    """Show no progress."""


@Parameter(name="*", group=ON_DATA)
@dataclass(frozen=True, kw_only=True)
class Sources:
    """Options of commands that open tasks."""

    data: Path | None = None
    """Folder of the data sets. Default: $TANAS_DATA, else a folder in your cache."""
    split_seed: Whole = 0
    """Seed of the split into training, validation and test images, for data without an official split."""


@Parameter(name="*", group=ON_DATA)
@dataclass(frozen=True, kw_only=True)
class Data(Sources):
    """Options of commands that open tasks whose pictures can be files."""

    skip_bad: Flag = False
    """Leave out pictures that can't be read, and count them."""
    size: str | None = None
    """Resize the pictures of files to N (height and width in pixels) or HxW, such as 96x128."""
    fit: Literal["crop", "pad"] | None = None
    """How pictures of another aspect ratio are resized. crop: cut off what hangs over (default). pad: fill the rest
    with their mean colour."""


@Parameter(name="*", group=ON_MACHINE)
@dataclass(frozen=True, kw_only=True)
class Machine:
    """Options of commands that compute."""

    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"
    """Where networks are trained."""
    threads: Whole = 1
    """Threads for the training of one network."""
    workers: Whole | None = None
    """Number of jobs at a time. Default: one per processor."""
    seed: Whole = 0
    """Seed of every random draw."""


ANSWERING, OUTPUT, SOURCES, DATA, MACHINE = Answering(), Output(), Sources(), Data(), Machine()


@Parameter(name="*", group=RESEARCH)
@dataclass(frozen=True, kw_only=True)
class Starting:
    """Options of every command that computes with tasks."""

    data: Data = DATA
    machine: Machine = MACHINE
    output: Output = OUTPUT
    preset: Annotated[str, Parameter(group=EVERYDAY)] = "default"
    """Settings to start from: quick, default, best or paper."""
    config: Path | None = None
    """TOML file of settings, applied on top of the preset."""
    limit: str | None = None
    """Most training images that are used before the final training, or all."""
    performance: Literal["balanced", "accuracy"] | None = None
    """How a network is judged: balanced accuracy corrected for chance, or accuracy."""


@Parameter(name="*", group=RESEARCH)
@dataclass(frozen=True, kw_only=True)
class Representing(Starting):
    """Options of representatives."""

    epsilon: float | None = None
    """A representative must perform at least 1 - epsilon."""
    representative: Literal["laptop", "paper", "small"] | None = None
    """Network of the representatives."""


@Parameter(name="*", group=RESEARCH)
@dataclass(frozen=True, kw_only=True)
class Measuring(Representing):
    """Options that decide a distance."""

    method: Annotated[str | None, Parameter(group=EVERYDAY)] = None
    """How distance is measured: misfit (default), linear, transform (the paper's), narrow, exact, knn, probe, logme."""
    intervals: Annotated[Flag, Parameter(group=EVERYDAY)] = False
    """Give every distance an interval. Takes several times as long."""


@Parameter(name="*", group=RESEARCH)
@dataclass(frozen=True, kw_only=True)
class Spaced(Starting):
    """Options of the searched space and of FUSE."""

    space: str | None = None
    """Search space: standard (the default), paper, authors, nas-bench-201 or darts."""
    candidates: Whole | None = None
    """Candidates in a round of FUSE."""
    rounds: Whole | None = None
    """Most rounds of FUSE."""
    max_parameters: Annotated[Whole | None, Parameter(group=EVERYDAY)] = None
    """Most parameters of the network."""
    max_macs: Annotated[Whole | None, Parameter(group=EVERYDAY)] = None
    """Most multiply-adds for one image."""
    max_latency: Annotated[float | None, Parameter(group=EVERYDAY)] = None
    """Most milliseconds for one image, measured here in one thread."""


@Parameter(name="*", group=RESEARCH)
@dataclass(frozen=True, kw_only=True)
class Learning(Spaced, Representing):
    """Options that decide what a dictionary learns of a task."""


@Parameter(name="*", group=RESEARCH)
@dataclass(frozen=True, kw_only=True)
class Searching(Spaced):
    """Options of a search that trains what it finds."""

    epochs: Whole | None = None
    """Epochs of the final training."""


@Parameter(name="*", group=RESEARCH)
@dataclass(frozen=True, kw_only=True)
class Transforming(Searching):
    """Options of growing and compressing a network."""

    out: Annotated[Path | None, Parameter(group=EVERYDAY)] = None
    """Folder of the new run. Default: runs/NAME, with -grown or -compressed. The same command resumes it."""
    time_limit: Annotated[str | None, Parameter(group=EVERYDAY)] = None
    """Most time for everything, such as 90s, 10m or 2h. The final training gets up to half of it."""
    fresh: Annotated[Flag, Parameter(group=EVERYDAY)] = False
    """Train the result from scratch, even where it could keep the weights of the run."""


@Parameter(name="*", group=RESEARCH)
@dataclass(frozen=True, kw_only=True)
class Settings(Searching, Learning, Measuring):
    """Options that decide a search with a memory."""

    strategy: str | None = None
    """How the space is searched: fuse (the paper's, the default), random, evolution, halving, predictor, ws-random,
    darts."""
    inherit: str | None = None
    """What to reuse from related tasks. prior: sample what worked for them more often (default). union: search only
    their operations and skeletons (the paper). transfer: take the nearest task's best architecture, or a known network
    whose weights fit better, without a search. none: ignore them. auto: transfer or prior, as the advice says."""
    related: Annotated[Literal["nearest", "all"] | None, Parameter(name="--from")] = None
    """Which related tasks to reuse. nearest: the nearest by distance (default). all: every task of the memory alike,
    without measuring distances; only with --inherit prior."""
    inherit_seed: bool | None = None
    """Whether the search starts from the nearest task's best architecture."""
    neighbours: Whole | None = None
    """Number of related tasks to reuse. Default: three, or all if the memory has fewer."""
    threshold: float | None = None
    """Reuse all tasks within this distance, instead of a number of them."""
    warm_weights: bool | None = None
    """Whether weights of known networks compete with new weights in the final training (default). Those that fit the
    task best do, whatever --neighbours and --threshold say."""
    controls: Flag = False
    """Also run random search at the same cost, and report how the result compares. Takes about twice as long."""
    method: Annotated[str | None, Parameter(group=RESEARCH)] = None
    intervals: Annotated[Flag, Parameter(group=RESEARCH)] = False


LEARNING, MEASURING, TRANSFORMING, SETTINGS = Learning(), Measuring(), Transforming(), Settings()


def library_of(data: Sources) -> Library:
    """The library that opens tasks.

    Raises:
        SettingError: the size can't be read, or a setting is outside its range.
    """
    from tanas.tasks.library import Library

    settings = asdict(data)
    if (size := settings.get("size")) is not None:
        if not (sides := re.fullmatch(r"(\d+)(?:x(\d+))?", size.lower(), re.ASCII)):
            raise SettingError(
                f"--size must be N or HxW, in pixels, such as 64 or 96x128. Got {size!r} instead."
            )
        settings["size"] = (int(sides[1]), int(sides[2] or sides[1]))
    return Library(**settings)


def resources_of(machine: Machine) -> Resources:
    """The device, threads and workers to use."""
    from tanas.engines.resources import Resources

    return Resources(device=machine.device, threads=machine.threads, workers=machine.workers)


def config_of(settings: Starting, **options: Any) -> SearchConfig:
    """The configuration that preset, file and options give; None leaves a setting as it is.

    Raises:
        SettingError: a setting is wrong, or an option does not suit the strategy.
    """
    from tanas.api.settings import configure, count
    from tanas.distances.intervals import IntervalConfig

    given = asdict(settings)
    limit, epochs = count(given["limit"], "limit"), given.get("epochs")
    fuse = "fuse" if isinstance(settings, Searching) else "learn"
    if given.get("inherit") == "all":
        raise SettingError("--inherit all is now called --from all.")
    if given.get("related") == "all" and given.get("inherit") not in (None, "prior"):
        raise SettingError(
            f"--from all needs --inherit prior, and here it is {given['inherit']}. "
            "Leave --from out, or give --inherit prior."
        )
    config = configure(
        given["preset"],
        given["config"],
        {name: given.get(name) for name in _PLAIN}
        | {field: given.get(name) for name, field in _RENAMED.items()}
        | {f"{fuse}.{name}": given.get(name) for name in _FUSE}
        | options
        | {
            "limit": None if limit == "all" else limit,
            "distance.intervals": IntervalConfig() if given.get("intervals") else None,
            "controls": given.get("controls") or None,
            # a given number of epochs holds for small and large sets, too
            "training.least_steps": None if epochs is None else 0,
            "training.meant_for": None if epochs is None else 0,
        },
    )
    for name in _FUSE:
        if fuse == "fuse" and config.strategy != "fuse" and given.get(name) is not None:
            raise SettingError(
                f"--{name} is an option of the strategy fuse, and the strategy is '{config.strategy}'. Leave it "
                "out, or set what that strategy has in a file for --config."
            )
    return replace(config, limit=None) if limit == "all" else config


_PLAIN = (
    *("performance", "space", "max_parameters", "max_macs", "strategy", "inherit", "inherit_seed"),
    *("warm_weights", "neighbours", "threshold", "related"),
)
"""Options that are fields of the configuration under the same name."""
_RENAMED = {
    "epsilon": "representative.epsilon",
    "representative": "representative.architecture",
    "method": "distance.method",
    "rounds": "rounds_led",
    "max_latency": "max_latency_ms",
    "epochs": "training.epochs",
}
"""Options with the name of their field."""
_FUSE = ("candidates", "rounds")
"""Options that are fields of FUSE."""


def starting(output: Output) -> None:
    """Says on a terminal that tanas is loading: importing torch and reading images take seconds."""
    if not output.quiet and sys.stderr.isatty():
        print("Loading torch and the images ...", file=sys.stderr, flush=True)


def listening(output: Output, journal: Path | None = None) -> Display:
    """Shows progress on stderr, and writes every event into a file if one is named."""
    from tanas.api.progress import JsonLinesListener, broadcast, listener_for

    shown = listener_for(sys.stderr, quiet=output.quiet)
    return shown if journal is None else broadcast(shown, JsonLinesListener(journal))


@contextmanager
def working(machine: Machine, output: Output, journal: Path | None = None) -> Iterator[Workplace]:
    """The workers and the listener of a command; both end with the block."""
    from tanas.engines.resources import Machine as Workplace
    from tanas.engines.resources import local_engine

    resources = resources_of(machine)
    with listening(output, journal) as listener, local_engine(resources) as engine:
        yield Workplace(resources=resources, engine=engine, listener=listener)


def show(output: Answering, plain: Any, text: str) -> None:
    """Prints a document as text or as JSON."""
    # escapes keep the document whole in an encoding that lacks a letter
    ascii_only = "utf" not in str(sys.stdout.encoding).lower()
    print(json.dumps(plain, indent=1, ensure_ascii=ascii_only) if output.json else text)
