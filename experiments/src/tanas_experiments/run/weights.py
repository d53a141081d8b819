"""Does it help to begin with the weights of a known task, and does it matter how near that task is?

    TANAS_DATA=DIR python -m tanas_experiments.run.weights [--out FOLDER] [--work WORK] [--seeds N]

Trains one architecture on six targets from scratch and with the weights of each of seven known tasks, four seeds each,
and writes FOLDER/weights.json after each training; it goes on where it stopped. WORK keeps representatives and sets
of permuted pixels. About an hour and a half on one core.

Exit status 2 if the input is wrong.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

from tanas.algorithm.presets import compared, default
from tanas.distances.memory import Memory
from tanas.distances.methods import make_distance
from tanas.distances.pairs import make_pair
from tanas.distances.representative import represent
from tanas.ground.checkpoints import FolderCheckpoint
from tanas.ground.context import Context
from tanas.ground.errors import SettingError, TanasError
from tanas.ground.records import read_record, to_plain, write_json
from tanas.ground.seeds import Seed
from tanas.ground.versions import processor, versions
from tanas.networks.architecture import cost_of
from tanas.networks.training import TrainingConfig
from tanas.tasks.library import Library
from tanas.tasks.task import Task
from tanas_experiments.places import RECORDS
from tanas_experiments.searches import opened
from tanas_experiments.truth import TruthConfig, draw_architectures
from tanas_experiments.weights import (
    KNOWN,
    SCRATCH,
    TARGETS,
    WeightsConfig,
    WeightsRecord,
    donor,
    jobs,
    trained,
)

DRAWN = 5
"""Place of the architecture in the table of the truth."""
DECISIVE = (
    "performance", "limit", "representative", "pair", "distance", "scoring", "training", "warm_share",
)  # fmt: skip
"""Settings of a search that a row depends on."""


def main(arguments: list[str]) -> int:
    """Does what is asked; 2 if the input is wrong."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=RECORDS)
    parser.add_argument("--work", type=Path, default=Path("weights-work"))
    parser.add_argument("--seeds", type=int, default=4)
    asked = parser.parse_args(arguments)
    torch.set_num_threads(1)
    try:
        measure(asked.out, asked.work, asked.seeds)
    except TanasError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def measure(out: Path, work: Path, seeds: int) -> None:
    """Makes the trainings that are not there.

    Raises:
        SettingError: the record was begun with other settings.
    """
    architecture = draw_architectures(TruthConfig())[DRAWN]
    config = WeightsConfig(
        architecture=architecture,
        seeds=tuple(range(seeds)),
        search=compared(default(), TrainingConfig(least_steps=150)),
    )
    library = Library()
    known = {one.label: _prepared(opened(one, library, work), config) for one in KNOWN}
    targets = {one.label: _prepared(opened(one, library, work), config) for one in TARGETS}
    path = out / "weights.json"
    settings = {"search": decisive(to_plain(config.search))}
    if path.exists():
        record = read_record(WeightsRecord, path)
        if decisive(record.settings["search"]) != settings["search"] or record.architecture != architecture:
            raise SettingError(f"{path} was begun with other settings. Name another --out.")
    else:
        record = WeightsRecord(
            command="TANAS_DATA=DIR python -m tanas_experiments.run.weights",
            n=0,
            seeds=(),
            architecture=architecture,
            parameters=cost_of(architecture, (1, 28, 28), 10).parameters,
            known={one.label: one.name for one in KNOWN},
            targets={one.label: one.name for one in TARGETS},
            distances=_distances(known, targets, config, work),
            rows=(),
            settings=settings,
            hardware={"processor": processor(), "cores": os.cpu_count(), "threads used": 1},
            versions=versions(),
        )
        write_json(path, record)
    networks = {label: donor(task, config) for label, task in known.items()}
    done = {(row.target, row.source, row.share, row.seed) for row in record.rows}
    for target, task in targets.items():
        order = {source: value for source, at, value in record.distances if at == target}
        nearest = min(order, key=order.__getitem__)
        for source, share, seed in jobs(config, known, nearest=nearest):
            if (target, source, share, seed) in done:
                continue
            network = None if source == SCRATCH else networks[source]
            row = trained(task, target, source, network, share, seed, config)
            rows = (*record.rows, row)
            record = replace(record, rows=rows, n=len(rows), seeds=tuple(sorted({one.seed for one in rows})))
            write_json(path, record)
            print(f"{target} from {source} ({share:g}), seed {seed}: error {row.test_error:.4f}", flush=True)


def decisive(search: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a search that decide a row; the others, such as how spaces are inherited, play no part."""
    return {name: search[name] for name in DECISIVE}


def _prepared(task: Task, config: WeightsConfig) -> Task:
    return task.measured_by(config.search.performance).limited(config.search.limit)


def _distances(
    known: dict[str, Task], targets: dict[str, Task], config: WeightsConfig, work: Path
) -> tuple[tuple[str, str, float], ...]:
    """(known task, target, order) for every two, by the default method; order breaks ties of d."""
    representatives = {}
    for label, task in (*known.items(), *targets.items()):
        checkpoint = FolderCheckpoint(work / "represent" / label)
        at = Context(seed=Seed(0).child("represent"), checkpoint=checkpoint)
        representatives[label] = represent(task.without_test(), config.search.representative, at)
        print(f"the representative of {label} has l {representatives[label].performance:.3f}", flush=True)
    distance, cache, found = make_distance(config.search.distance), Memory(2**28), []
    for target, task in targets.items():
        for source in known:
            pair = make_pair(
                representatives[source],
                representatives[target],
                task.without_test(),
                config.search.pair,
                cache,
                needs=distance.needs,
            )
            measured = distance(pair, Seed(0).child("distance", source, target))
            found.append((source, target, round(measured.order, 6)))
            print(f"d({source} -> {target}) = {measured.value:.4f}", flush=True)
    return tuple(found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
