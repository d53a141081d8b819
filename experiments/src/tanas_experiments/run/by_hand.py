"""Do networks that a search found err less than networks made by hand, on more than the paper's task?

    TANAS_DATA=DIR python -m tanas_experiments.run.by_hand --searches FOLDER [FOLDER ...] [--seeds N] [--workers N]
        [--work WORK]

Takes the networks that task-aware FUSE found in `tanas reproduce search` on six targets (FOLDER: its folders;
records/search.json says which searches) and trains each, a narrow residual network of the same size, and
ResNet-18 by one recipe, each with its own learning rate. records/by-hand.json is written after each network;
the same command goes on where it stopped. Some forty minutes for four seeds on two cores.

Exit status 2 if the input is wrong.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tanas.engines.local import LocalEngine
from tanas.ground.checkpoints import FolderCheckpoint
from tanas.ground.errors import SettingError, TanasError, check_range
from tanas.ground.events import Event, StepAdvanced
from tanas.tasks.library import Library
from tanas_experiments.by_hand import (
    METHODS,
    ByHandConfig,
    ByHandRecord,
    ByHandRow,
    by_hand,
    found_in,
    recorded,
    settings_of,
)
from tanas_experiments.packed import read_packed, write_packed
from tanas_experiments.places import RECORDS
from tanas_experiments.searches import AWARE
from tanas_experiments.searches_page import SearchesRecord

COMMAND = "TANAS_DATA=DIR python -m tanas_experiments.run.by_hand --searches FOLDER --seeds {seeds}"


def main(arguments: list[str]) -> int:
    """Does what is asked; 2 if the input is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--searches", type=Path, nargs="+", required=True)
    parser.add_argument("--out", type=Path, default=RECORDS)
    parser.add_argument("--work", type=Path, default=Path("by-hand-work"))
    parser.add_argument("--seeds", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2)
    asked = parser.parse_args(arguments)
    try:
        check_range(asked.seeds, "seeds", "by_hand.py", low=1)
        check_range(asked.workers, "workers", "by_hand.py", low=1)
        measure(asked.searches, asked.out / "by-hand.json", asked.work, asked.seeds, asked.workers)
    except TanasError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def measure(folders: list[Path], path: Path, work: Path, seeds: int, workers: int) -> None:
    """Trains what is not there.

    Raises:
        SettingError: a search is missing, or the record was begun with other settings.
    """
    config = ByHandConfig()
    there: tuple[ByHandRow, ...] = ()
    if path.exists():
        record = read_packed(ByHandRecord, path)
        if record.settings != settings_of(config):
            raise SettingError(f"{path} was begun with other settings. Name another --out.")
        there = record.rows
    searches = read_packed(SearchesRecord, RECORDS / "search.json")
    rows = [row for row in searches.rows if row.arm == AWARE.name and row.seed < seeds]
    found = {(row.target, row.seed): (row, found_in(folders, row)) for row in rows}
    command = COMMAND.format(seeds=max([seeds, *(row.seed + 1 for row in there)]))

    def told(event: Event) -> None:
        if isinstance(event, StepAdvanced) and event.step == "train every network":
            print(f"{event.done} of {len(found) * len(METHODS)}: {event.note}", flush=True)

    with LocalEngine(workers) as engine:
        by_hand(
            found,
            config,
            Library(),
            work,
            there=there,
            engine=engine,
            listener=told,
            checkpoint=FolderCheckpoint(work / "pieces"),
            done=lambda made: write_packed(path, recorded(made, config, command)),
        )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
