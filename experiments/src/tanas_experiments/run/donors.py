"""Whose weights should a training begin with? What those of many networks bring, and which measure foretells it.

    TANAS_DATA=DIR python -m tanas_experiments.run.donors --memories FOLDER ... [--seeds N] [--work WORK] [--out FOLDER]

Trains the network of every atom of the memories on twelve targets, and writes donors.json after each target and seed;
the same command goes on where it stopped. The memories are those that `run.starter` and `run.targets` leave in their
folders of work. Some 15 minutes a seed on two cores.

Exit status 2 if the input is wrong.
"""

from __future__ import annotations

import argparse
import os
import sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # of every worker

from tanas.dictionary.store import Dictionary
from tanas.distances.representative import RepresentativeConfig, represent
from tanas.ground.context import Context
from tanas.ground.devices import processors
from tanas.ground.errors import StoreError, TanasError, check_range
from tanas.ground.records import read_record, write_json
from tanas.ground.seeds import Seed
from tanas.ground.versions import processor, versions
from tanas.tasks.library import Library
from tanas.tasks.task import image_keys
from tanas_experiments.donors import (
    CHOSEN,
    DONOR_TARGETS,
    HALF,
    SCRATCH,
    STEPS,
    DonorRow,
    DonorsRecord,
    DonorTarget,
    beginning,
    limited_test,
    measures,
    networks_of,
    trained_row,
)
from tanas_experiments.places import RECORDS
from tanas_experiments.searches import Named, opened

COMMAND = "TANAS_DATA=DIR python -m tanas_experiments.run.donors --memories FOLDER ... --seeds {seeds}"


def main(arguments: list[str]) -> int:
    """Does what is asked; 2 if the input is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--memories", type=Path, nargs="+", required=True)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--work", type=Path, default=Path("donors-work"))
    parser.add_argument("--out", type=Path, default=RECORDS)
    asked = parser.parse_args(arguments)
    try:
        check_range(asked.seeds, "seeds", "donors.py", low=1)
        known = networks_of([Dictionary(folder) for folder in asked.memories])
        if len({atom.kept.architecture for _, atom in known.values() if atom.kept is not None}) != 1:
            raise StoreError(
                "The networks of the memories must have one architecture, or weights are not alone."
            )
        measure(asked.out / "donors.json", asked.memories, asked.work, asked.seeds)
    except TanasError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def measure(path: Path, memories: list[Path], work: Path, seeds: int) -> None:
    """Makes what is not there, seed by seed."""
    rows = read_record(DonorsRecord, path).rows if path.exists() else ()
    there = {(row.target, row.seed) for row in rows}
    todo = [
        (target, seed)
        for seed in range(seeds)
        for target in DONOR_TARGETS
        if (target.label, seed) not in there
    ]
    with ProcessPoolExecutor(processors(), mp_context=get_context("spawn")) as pool:
        jobs = [pool.submit(rows_of, target, seed, memories, work) for target, seed in todo]
        for job in jobs:
            rows = (*rows, *job.result())
            print(rows[-1].target, rows[-1].seed, file=sys.stderr)
            record = DonorsRecord(
                command=COMMAND.format(seeds=seeds),
                n=len({row.seed for row in rows}),
                steps=STEPS,
                hardware={"processor": processor(), "cores": processors()},
                versions=versions(),
                rows=rows,
            )
            write_json(path, record)


def rows_of(target: DonorTarget, seed: int, memories: list[Path], work: Path) -> tuple[DonorRow, ...]:
    """The trainings of a target and seed: from scratch, and with the weights of each donor that is no kin."""
    side = None if target.side is None else (target.side, target.side)
    library = Library.of(replace(Library().reading, size=side))
    task, sealed = opened(Named(label=target.label, name=target.name), library, work).sealed()
    test = limited_test(sealed.open())
    known = networks_of([Dictionary(folder) for folder in memories])
    (architecture,) = {atom.kept.architecture for _, atom in known.values() if atom.kept is not None}
    new = beginning(task, None, architecture, seed)
    rows = [trained_row(task, test, target, SCRATCH, new, seed, images=0, measures={})]
    own = represent(task, RepresentativeConfig(), Context(seed=Seed(0).child("represent")))
    for name, (memory, atom) in known.items():
        kept = memory.network(atom)
        if name in target.kin or kept is None:
            continue
        if seen := kept.overlap(image_keys(test)):
            print(f"{name} has seen {seen} test images of {target.label}: left out", file=sys.stderr)
            continue
        start = beginning(task, kept, kept.record.architecture, seed)
        found = measures(task, memory, atom, own)
        rows.append(trained_row(task, test, target, name, start, seed, images=len(kept.seen), measures=found))
    place, near = min(enumerate(rows[1:], 1), key=lambda entry: entry[1].measures[CHOSEN])
    memory, atom = known[near.donor]
    if (kept := memory.network(atom)) is not None:
        start = beginning(task, kept, kept.record.architecture, seed, share=HALF)
        half = trained_row(task, test, target, near.donor, start, seed, images=0, measures={})
        rows[place] = replace(near, half_error=half.error)
    return tuple(rows)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
