"""The paper's experiment at laptop scale: ten base tasks, then the moon indicator, over several seeds.

    TANAS_DATA=DIR python benchmarks/moon.py --out WORK [--seeds 0,1,2] [--resnets resnet18]

For each seed a dictionary of the paper's ten base tasks is built and two targets are searched on it: moon
among the paper's Quick, Draw! categories, and moon among nine categories redrawn in one style. ResNet-18
with both stems is trained on the same images by the same recipe. Every step is resumable: the same command
goes on where it stopped. The figures go to benchmarks/records/moon.json.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from tanas.building import PAPER_STARTER
from tanas.dictionary.learn import prepare
from tanas.networks.training import evaluate, fit
from tanas.networks.zoo import make_zoo
from tanas.presets import laptop
from tanas.records import write_bytes
from tanas.seeds import Seed
from tanas.tasks.library import Library
from tanas.versions import processor, versions

RECORD = Path(__file__).parent / "records" / "moon.json"


def main() -> None:
    """Runs what is not done yet and writes the record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--resnets", default="resnet18,resnet18-small")
    arguments = parser.parse_args()
    data = Path(os.environ["TANAS_DATA"])
    targets = {
        "quickdraw:is=moon": "quickdraw:is=moon",
        "one_style:is=moon": f"npz:{data / 'quickdraw' / 'one_style.npz'}:is=moon",
    }
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    for seed in seeds:
        folder = arguments.out / f"seed-{seed}"
        _once(
            folder / "dictionary.s",
            _tanas("dictionary", "build", folder / "dictionary", *PAPER_STARTER, seed=seed),
        )
        for short, name in targets.items():
            run = folder / short.replace(":", "-").replace("=", "-")
            _once(
                run.with_suffix(".s"),
                _tanas("search", name, "--dictionary", folder / "dictionary", "--out", run, seed=seed),
            )
        _record(arguments.out, seeds, targets)
    for seed in seeds:
        for short, name in targets.items():
            for network in filter(None, arguments.resnets.split(",")):
                path = arguments.out / f"seed-{seed}" / f"{network}-{short.split(':')[0]}.json"
                if not path.exists():
                    write_bytes(path, json.dumps(_resnet(network, name, seed), indent=1).encode())
                _record(arguments.out, seeds, targets)


def _tanas(*words: object, seed: int) -> list[str]:
    return [sys.executable, "-m", "tanas", *map(str, words), "--seed", str(seed)]


def _once(stamp: Path, command: list[str]) -> None:
    """Runs a command unless it has been run; the stamp holds its seconds, those of all its sessions."""
    if stamp.exists():
        return
    began = time.monotonic()
    subprocess.run(command, check=True)
    write_bytes(stamp, f"{time.monotonic() - began:.1f}\n".encode())


def _resnet(network_name: str, task_name: str, seed: int) -> dict[str, Any]:
    config = laptop()
    task = prepare(Library().open(task_name), performance=config.performance, limit=config.limit)
    classes = len(task.classes)
    network = make_zoo(network_name, task.shape, classes, Seed(seed).child("weights"))
    network = network.to(memory_format=torch.channels_last)
    fitted = fit(
        network, task.train, config.training, classes=classes, seed=Seed(seed).child("order"), listener=print
    )
    test = evaluate(network, task.test, classes=classes)
    return {
        "network": network_name,
        "parameters": sum(p.numel() for p in network.parameters()),
        "test_error": test.error,
        "test_balanced_error": test.balanced_error,
        "train_s": fitted.seconds,
        "threads": torch.get_num_threads(),
        "recipe": "the laptop preset's, its learning rate not tuned for this network",
    }


def _record(out: Path, seeds: list[int], targets: dict[str, str]) -> None:
    """Gathers what there is."""
    entries = []
    for seed in seeds:
        folder = out / f"seed-{seed}"
        entry: dict[str, Any] = {
            "seed": seed,
            "dictionary_s": _seconds(folder / "dictionary.s"),
            "targets": {},
        }
        for short in targets:
            run = folder / short.replace(":", "-").replace("=", "-")
            if not (run / "result.json").exists():
                continue
            result = json.loads((run / "result.json").read_bytes())
            entry["targets"][short] = {
                "command_s": _seconds(run.with_suffix(".s")),
                **{
                    key: result[key]
                    for key in ("neighbours", "parameters", "macs", "metrics", "costs", "stopped")
                },
                "architecture": result["architecture"],
                "images": {key: result["task"][key] for key in ("train", "validation", "test")},
                "space_size": result["space"]["size"],
                "representative": result["representative"],
                "rivals": [
                    json.loads(path.read_bytes())
                    for path in sorted(folder.glob(f"resnet*-{short.split(':')[0]}.json"))
                ],
            }
        entries.append(entry)
    record = {
        "what": "ten-task dictionary (MNIST 0-4, Fashion-MNIST 0-4) and two moon indicators, laptop preset",
        "command": "TANAS_DATA=DIR python benchmarks/moon.py --out WORK",
        "n": len(seeds),
        "seeds": seeds,
        "hardware": {"processor": processor(), "cores": os.cpu_count()},
        "versions": versions(),
        "note": "wall-clock seconds on a shared machine with other work running",
        "runs": entries,
    }
    write_bytes(RECORD, (json.dumps(record, indent=1) + "\n").encode())


def _seconds(path: Path) -> float | None:
    return float(path.read_text()) if path.exists() else None


if __name__ == "__main__":
    main()
