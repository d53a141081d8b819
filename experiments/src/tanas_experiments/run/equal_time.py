"""Networks made by hand, each for as long as the default search of a target took.

    TANAS_DATA=DIR python -m tanas_experiments.run.equal_time [--seeds N] [--targets LABEL ...]
        [--networks residual resnet18-small ...] [--work WORK] [--out FOLDER]

Goes through the searches of targets.json in the folder, and writes equal-time.json after each training; the same
command goes on where it stopped. A row takes as long as its search did.

Exit status 2 if the input is wrong.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from tanas.algorithm.presets import default
from tanas.api.progress import listener_for
from tanas.engines.resources import Resources, local_engine
from tanas.ground.context import Context
from tanas.ground.devices import processors
from tanas.ground.errors import TanasError, check_choice, check_range
from tanas.ground.records import SCHEMA, read_record, write_json
from tanas.ground.seeds import Seed
from tanas.ground.versions import processor, versions
from tanas.tasks.library import Library
from tanas_experiments.equal_time import (
    EQUAL_TIME_KIND,
    LEARNING_RATES,
    UNBOUND,
    EqualTimeRecord,
    EqualTimeRow,
    trained_as_long,
)
from tanas_experiments.places import RECORDS
from tanas_experiments.run.targets import TARGETS, settings_of
from tanas_experiments.searches import opened
from tanas_experiments.targets import TargetsRecord

COMMAND = "TANAS_DATA=DIR python -m tanas_experiments.run.equal_time --seeds {seeds}"


def main(arguments: list[str]) -> int:
    """Does what is asked; 2 if the input is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    labels = [target.label for target in TARGETS]
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--targets", nargs="+", default=labels, help="labels")
    bound = [name for name in LEARNING_RATES if name != UNBOUND]
    parser.add_argument("--networks", nargs="+", default=bound, help=f"also: '{UNBOUND}'")
    parser.add_argument("--work", type=Path, default=Path("targets-work"))
    parser.add_argument("--out", type=Path, default=RECORDS)
    asked = parser.parse_args(arguments)
    try:
        check_range(asked.seeds, "seeds", "equal_time.py", low=1)
        for label in asked.targets:
            check_choice(label, "targets", "equal_time.py", labels)
        for network in asked.networks:
            check_choice(network, "networks", "equal_time.py", list(LEARNING_RATES))
        measure(asked.out, asked.work, asked.seeds, asked.targets, asked.networks)
    except TanasError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def measure(folder: Path, work: Path, seeds: int, labels: list[str], networks: list[str]) -> None:
    """Trains what is not there, in the order of the searches."""
    library, config, path = Library(), default(), folder / "equal-time.json"
    settings = settings_of(config)
    searches = [
        row
        for row in read_record(TargetsRecord, folder / "targets.json").rows
        if row.settings == settings and row.seed < seeds and row.target in labels
    ]
    rows: tuple[EqualTimeRow, ...] = ()
    if path.exists() and (known := read_record(EqualTimeRecord, path)).settings == settings:
        rows = known.rows
    named = {target.label: target for target in TARGETS}
    for search in searches:
        for network in networks:
            if any(
                (row.target, row.seed, row.network) == (search.target, search.seed, network) for row in rows
            ):
                continue
            task = replace(opened(named[search.target], library, work), name=search.target)
            at = Context(seed=Seed(search.seed), workers=processors(), listener=listener_for(sys.stderr))
            with local_engine(Resources()):  # a training has one thread, as in a search
                rows = (*rows, trained_as_long(task, search, network, config, at))
            record = EqualTimeRecord(
                kind=EQUAL_TIME_KIND,
                schema=SCHEMA,
                command=COMMAND.format(seeds=seeds),
                n=len({row.seed for row in rows}),
                hardware={"processor": processor(), "cores": processors()},
                versions=versions(),
                settings=settings,
                rows=rows,
            )
            write_json(path, record)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
