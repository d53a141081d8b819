"""How much the distances of every method change with the seed of the representatives.

    TANAS_DATA=DIR python -m tanas_experiments.run.stability --run RUN --out WORK [--methods knn,probe] [--seeds 0,1,2]

RUN is the folder of `tanas reproduce figure2 --scale laptop --out RUN`: its representatives, of three seeds, are
taken as they are and nothing is trained anew. Between them all 90 pairs of the paper's ten base tasks are measured
by each method, one thread; maps that are fitted start from the seed as well. The run's own method is read from its
record; 'exact at an eighth' can be named too, the exact method with an eighth of the hidden widths. Each pair is a
file in WORK; the same command goes on where it stopped. The figures go to records/stability.json: of each
method only the seeds whose 90 pairs are all there.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch

from tanas.distances.base import Distance
from tanas.distances.memory import Memory
from tanas.distances.methods import DistanceConfig, all_methods, make_distance
from tanas.distances.pairs import make_pair
from tanas.ground.checkpoints import FolderCheckpoint
from tanas.ground.records import digest, read_record, write_bytes
from tanas.ground.seeds import Seed
from tanas.ground.versions import processor, versions
from tanas.tasks.library import Library
from tanas_experiments.figure2 import Figure2Config, Figure2Record, kept_representatives, laptop_scale
from tanas_experiments.places import RECORDS
from tanas_experiments.rankings import spearman

RECORD = RECORDS / "stability.json"

EIGHTH = "exact at an eighth"
"""The exact method with an eighth of the hidden widths: at all of them it takes two hours of a core a seed."""
LEFT_OUT = ("exact", "transform", "linear")
"""Unless they are named: ten and more seconds a pair, and what the run has measured itself."""

Orders = dict[tuple[str, str], float]
"""`order` by (source, target)."""


def main() -> None:
    """Measures what is not there yet and writes the record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--methods", default=",".join(name for name in all_methods() if name not in LEFT_OUT))
    parser.add_argument("--seeds", default="0,1,2")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    config = laptop_scale()
    for seed in (int(word) for word in arguments.seeds.split(",")):
        measure(config, seed, arguments.methods.split(","), arguments.run, arguments.out)
        write_record(config, arguments.run, arguments.out)
    print(f"The record is {RECORD}.")


def measure(config: Figure2Config, seed: int, methods: Sequence[str], run: Path, out: Path) -> None:
    """All pairs of one seed, by each of some methods; those that are there are left as they are.

    Args:
        config: of the run.
        seed: of the representatives and of the maps.
        methods: names of them.
        run: folder of the run that holds the representatives.
        out: folder of the pieces.
    """
    made = kept_representatives(config, Library(), seed, FolderCheckpoint(run / "pieces"))
    search, features = config.search, Memory(2**30)
    distances = {name: distance_of(search.distance, name) for name in methods}
    for task, target in made:
        for _, source in made:
            paths = {
                name: _folder(config, out, name, seed) / f"{digest(source.task, task.name)}.json"
                for name in methods
            }
            left = [name for name in methods if not paths[name].exists()]
            if source is target or not left:
                continue
            needs = {need: make for name in left for need, make in distances[name].needs.items()}
            # one pair for all of them: its images are put in order only once
            pair = make_pair(source, target, task, search.pair, features, needs=needs)
            pair_seed = Seed(seed).child("distance", source.fingerprint, target.fingerprint)
            for name in left:
                order = distances[name](pair, pair_seed).order
                piece = {"source": source.task, "target": task.name, "order": order}
                paths[name].parent.mkdir(parents=True, exist_ok=True)
                write_bytes(paths[name], json.dumps(piece).encode())
        print(f"seed {seed}: to {task.name}", flush=True)


def distance_of(config: DistanceConfig, name: str) -> Distance:
    """A method by its name or `EIGHTH`, without intervals."""
    config = replace(config, intervals=None)
    if name != EIGHTH:
        return make_distance(config, name)
    widths = tuple(width // 8 for width in config.transform.widths)
    return make_distance(replace(config, transform=replace(config.transform, widths=widths)), "exact")


def write_record(config: Figure2Config, run: Path, out: Path) -> None:
    """Writes what the pieces in a folder give, and what the run itself measured."""
    found: dict[str, dict[int, Orders]] = {}
    for name in (*all_methods(), EIGHTH):
        whole = {seed: pieces for seed in config.seeds if (pieces := _pieces(config, out, name, seed))}
        if whole:
            found[name] = whole
    found.update(of_run(run))
    table = {
        name: {"seeds": list(orders), **agreement(list(orders.values()))} for name, orders in found.items()
    }
    record = {
        "command": "TANAS_DATA=DIR python -m tanas_experiments.run.stability --run RUN --out WORK",
        "run": "tanas reproduce figure2 --scale laptop --out RUN",
        "n": {"tasks": len(config.tasks), "pairs": len(config.tasks) * (len(config.tasks) - 1)},
        "seeds": list(config.seeds),
        "figures": "Spearman of two seeds' distances; 'within' is the mean over targets; nearest: share of targets",
        "hardware": {"processor": processor(), "cores": os.cpu_count(), "threads used": 1},
        "versions": versions(),
        "methods": table,
    }
    write_bytes(RECORD, (json.dumps(record, indent=1) + "\n").encode())


def of_run(run: Path) -> dict[str, dict[int, Orders]]:
    """The distances that the run measured by its own method, by seed."""
    record = read_record(Figure2Record, run / "figure2.json")
    names = [task.name for task in record.tasks]
    return {
        record.method: {
            one.seed: {
                (source, column.target): column.sources[source].order
                for column in one.columns
                for source in names
                if column.target in names and column.target != source
            }
            for one in record.runs
        }
    }


def agreement(seeds: Sequence[Orders]) -> dict[str, Any]:
    """How alike the distances of several seeds are, two and two.

    Args:
        seeds: the same pairs for each of them.

    Returns:
        of all two and two: mean and least Spearman over the pairs, the mean within a target, and the share of
        targets with the same nearest source; None where there is one seed or nothing varies.
    """
    whole, within, nearest = [], [], []
    for one, other in combinations(seeds, 2):
        whole.append(spearman([one[pair] for pair in one], [other[pair] for pair in one]))
        for target in dict.fromkeys(pair[1] for pair in one):
            own = [pair for pair in one if pair[1] == target]
            a, b = ([orders[pair] for pair in own] for orders in (one, other))
            within.append(spearman(a, b))
            nearest.append(int(np.argmin(a) == np.argmin(b)))
    known, inside = ([value for value in values if value is not None] for values in (whole, within))
    return {
        "spearman mean": round(float(np.mean(known)), 3) if known else None,
        "spearman least": round(min(known), 3) if known else None,
        "within": round(float(np.mean(inside)), 3) if inside else None,
        "same nearest": round(float(np.mean(nearest)), 3) if nearest else None,
    }


def _folder(config: Figure2Config, out: Path, name: str, seed: int) -> Path:
    """Where the pairs of a method and a seed are kept: other settings have another place."""
    return out / f"{name.replace(' ', '-')}-{seed}-{digest(config.search.distance, config.search.pair)}"


def _pieces(config: Figure2Config, out: Path, name: str, seed: int) -> Orders:
    """All pairs of a method and a seed; none, if one is missing."""
    paths = sorted(_folder(config, out, name, seed).glob("*.json"))
    if len(paths) < len(config.tasks) * (len(config.tasks) - 1):
        return {}
    pieces = [json.loads(path.read_bytes()) for path in paths]
    return {(piece["source"], piece["target"]): piece["order"] for piece in pieces}


if __name__ == "__main__":
    main()
