"""What a search hands over, beside no search and classic methods, on eleven targets.

    TANAS_DATA=DIR python -m tanas_experiments.run.targets [--seeds N] [--targets LABEL ...]
        [--work WORK] [--out FOLDER]

Runs the default search of each target and seed with an empty memory of its own, and writes targets.json after each;
the same command goes on where it stopped. More than an hour a seed on two cores. No setting was chosen on
these targets; `docs/networks.md` says on which.

Exit status 2 if the input is wrong.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from tanas.algorithm.presets import SearchConfig, default
from tanas.api.progress import listener_for
from tanas.api.run import Job, run_search
from tanas.dictionary.store import Dictionary
from tanas.distances.methods import DistanceConfig
from tanas.engines.resources import Machine, Resources, local_engine
from tanas.ground.devices import processors
from tanas.ground.errors import TanasError, check_choice, check_range
from tanas.ground.records import SCHEMA, digest, read_record, write_json
from tanas.ground.versions import processor, versions
from tanas.runs.folder import slug
from tanas.strategies.fuse import FuseConfig
from tanas.tasks.library import Library
from tanas_experiments.places import RECORDS
from tanas_experiments.searches import TEN_DRAWINGS, Named, opened
from tanas_experiments.targets import TARGETS_KIND, TargetRow, TargetsRecord, row_of

COMMAND = "TANAS_DATA=DIR python -m tanas_experiments.run.targets --seeds {seeds}"

TARGETS = (
    Named(label="fashion, 200 images", name="fashion-mnist:take=200"),
    Named(label="digits", name="digits"),
    Named(label="fashion, 1,500 images", name="fashion-mnist:take=1500"),
    Named(label="ten drawings", name=f"quickdraw:only={','.join(TEN_DRAWINGS)}:take=1500"),
    Named(label="moon in one style", name="npz:{data}/quickdraw/one_style.npz:is=moon"),
    Named(label="permuted MNIST", name="npz:{work}/permuted-mnist.npz:take=1500"),
    Named(label="CIFAR-10, a tenth", name="npz:{data}/cifar10_6k.npz"),
    Named(label="traffic signs", name="npz:{work}/signs.npz"),
    Named(label="recyclables", name="folder:{data}/photos/recyclables"),
    Named(label="steel", name="npz:{data}/steel64.npz"),
    Named(label="groceries", name="folder:{data}/photos/grocery"),
)


def main(arguments: list[str]) -> int:
    """Does what is asked; 2 if the input is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    labels = [target.label for target in TARGETS]
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--targets", nargs="+", default=labels, help="labels")
    parser.add_argument("--work", type=Path, default=Path("targets-work"))
    parser.add_argument("--out", type=Path, default=RECORDS)
    asked = parser.parse_args(arguments)
    try:
        check_range(asked.seeds, "seeds", "targets.py", low=1)
        for label in asked.targets:
            check_choice(label, "targets", "targets.py", labels)
        measure(asked.out / "targets.json", asked.work, asked.seeds, asked.targets)
    except TanasError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def measure(path: Path, work: Path, seeds: int, labels: list[str]) -> None:
    """Makes the searches that are not there, seed by seed."""
    library, config = Library(), default()
    settings = settings_of(config)
    rows: tuple[TargetRow, ...] = read_record(TargetsRecord, path).rows if path.exists() else ()
    rows = tuple(row for row in rows if row.settings == settings)  # what other settings gave is made anew
    there = {(row.target, row.seed) for row in rows}
    for seed in range(seeds):
        for target in TARGETS:
            if target.label not in labels or (target.label, seed) in there:
                continue
            rows = (*rows, _searched(target, seed, work, library, settings))
            record = TargetsRecord(
                kind=TARGETS_KIND,
                schema=SCHEMA,
                command=COMMAND.format(seeds=seeds),
                n=len({row.seed for row in rows}),
                hardware={"processor": processor(), "cores": processors()},
                versions=versions(),
                rows=rows,
            )
            write_json(path, record)


def settings_of(config: SearchConfig) -> str:
    """The hash of settings, without those of known tasks and of dictionaries: here nothing is known."""
    return digest(
        replace(
            config,
            warm_weights=False,
            distance=DistanceConfig(method="linear"),
            learn=FuseConfig(rounds=5, patience=5),
        )
    )


def _searched(target: Named, seed: int, work: Path, library: Library, settings: str) -> TargetRow:
    """One search, with an empty memory."""
    task = replace(opened(target, library, work), name=target.label)
    folder, resources = work / f"{slug(target.label)}-{seed}", Resources()
    memory = Dictionary(folder.with_name(f"{folder.name}-memory"), may_be_new=True)
    with local_engine(resources) as engine:
        run = run_search(
            task,
            folder,
            memory,
            Job(
                remember=True,
                config=default(),
                seed=seed,
                command=f"tanas search '{target.name}' --seed {seed}",
            ),
            Machine(resources=resources, engine=engine, listener=listener_for(sys.stderr)),
        )
    return row_of(target.label, run.result(), settings)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
