"""What does the starter memory bring? Whole searches with it and with an empty memory.

    TANAS_DATA=DIR python -m tanas_experiments.run.starter_gain --memories FOLDER ... [--targets LABEL ...] [--seeds N]
        [--work WORK] [--out FOLDER]

Two searches a target and seed, two to four minutes each on two cores; starter-gain.json is written after each, and the
same command goes on where it stopped. The memories are those that `run.starter` leaves in its folder of work.

Exit status 2 if the input is wrong.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from dataclasses import replace
from pathlib import Path

from tanas.algorithm.presets import default
from tanas.api.progress import listener_for
from tanas.api.run import Job, run_search
from tanas.dictionary.store import Dictionary
from tanas.engines.resources import Machine, Resources, local_engine
from tanas.ground.devices import processors
from tanas.ground.errors import TanasError, check_choice, check_range
from tanas.ground.records import read_record, write_json
from tanas.ground.versions import processor, versions
from tanas.runs.folder import slug
from tanas.tasks.library import Library
from tanas_experiments.donors import DONOR_TARGETS, DonorTarget
from tanas_experiments.places import RECORDS
from tanas_experiments.searches import Named, opened
from tanas_experiments.starter_gain import ARMS, STARTER, GainRecord, GainRow, gain_row

COMMAND = "TANAS_DATA=DIR python -m tanas_experiments.run.starter_gain --memories FOLDER ... --seeds {seeds}"


def main(arguments: list[str]) -> int:
    """Does what is asked; 2 if the input is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    labels = [target.label for target in DONOR_TARGETS]
    parser.add_argument("--memories", type=Path, nargs="+", required=True)
    parser.add_argument("--targets", nargs="+", default=labels, help="labels")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--work", type=Path, default=Path("starter-gain-work"))
    parser.add_argument("--out", type=Path, default=RECORDS)
    asked = parser.parse_args(arguments)
    try:
        check_range(asked.seeds, "seeds", "starter_gain.py", low=1)
        for label in asked.targets:
            check_choice(label, "targets", "starter_gain.py", labels)
        memories = [Dictionary(folder) for folder in asked.memories]
        measure(asked.out / "starter-gain.json", memories, asked.work, asked.seeds, asked.targets)
    except TanasError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def measure(path: Path, memories: list[Dictionary], work: Path, seeds: int, labels: list[str]) -> None:
    """Makes the searches that are not there, seed by seed."""
    rows: tuple[GainRow, ...] = read_record(GainRecord, path).rows if path.exists() else ()
    there = {(row.target, row.seed, row.arm) for row in rows}
    for seed in range(seeds):
        for target in DONOR_TARGETS:
            for arm in ARMS:
                if target.label not in labels or (target.label, seed, arm) in there:
                    continue
                rows = (*rows, _searched(target, seed, arm, memories, work))
                record = GainRecord(
                    command=COMMAND.format(seeds=seeds),
                    n=len({row.seed for row in rows}),
                    hardware={"processor": processor(), "cores": processors()},
                    versions=versions(),
                    rows=rows,
                )
                write_json(path, record)


def _searched(target: DonorTarget, seed: int, arm: str, memories: list[Dictionary], work: Path) -> GainRow:
    """One search, with a memory of its own."""
    side = None if target.side is None else (target.side, target.side)
    library = Library.of(replace(Library().reading, size=side))
    task = replace(opened(Named(label=target.label, name=target.name), library, work), name=target.label)
    folder = work / f"{slug(target.label)}-{slug(arm)}-{seed}"
    memory = Dictionary.create(folder.with_name(f"{folder.name}-memory"))
    if arm == STARTER:
        for known in memories:
            for atom in known.atoms():
                if atom.task.name not in target.kin:
                    (place,) = (known.folder / "atoms").glob(f"*-{atom.key[:8]}")
                    shutil.copytree(place, memory.folder / "atoms" / place.name, dirs_exist_ok=True)
    resources = Resources()
    with local_engine(resources) as engine:
        run = run_search(
            task,
            folder,
            memory,
            Job(config=default(), seed=seed, command="python -m tanas_experiments.run.starter_gain"),
            Machine(resources=resources, engine=engine, listener=listener_for(sys.stderr)),
        )
    return gain_row(target.label, arm, run.result())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
