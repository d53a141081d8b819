"""The paper's experiment at laptop scale: ten base tasks, then the moon indicator, over several seeds.

    TANAS_DATA=DIR python benchmarks/moon.py --out WORK [--seeds 0,1,2] [--resnets resnet18] [--only-resnets]

For each seed a dictionary of the paper's ten base tasks is built and two targets are searched on it: moon
among the paper's Quick, Draw! categories, and moon among nine categories redrawn in one style. ResNet-18
with both stems is trained on the same images by the same recipe. Every step is resumable: the same command
goes on where it stopped. The figures go to benchmarks/records/moon.json; what that holds already and WORK does
not is kept, so that missing ResNets can be added (they need the task, the recipe and the seed only) without
the dictionaries and searches.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import torch

from tanas.building import PAPER_STARTER
from tanas.checkpoints import Checkpoint, FolderCheckpoint
from tanas.devices import processors
from tanas.dictionary.learn import prepare
from tanas.networks.training import TrainingConfig, evaluate, fit
from tanas.networks.zoo import make_zoo
from tanas.presets import compared, laptop
from tanas.records import digest, write_bytes
from tanas.seeds import Seed
from tanas.tasks.library import Library
from tanas.versions import processor, versions

SAMPLED_EVERY_S = 0.5
"""Between two looks at how much memory a command holds."""
RECORD = Path(__file__).parent / "records" / "moon.json"


def main() -> None:
    """Runs what is not done yet and writes the record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--resnets", default="resnet18,resnet18-small")
    parser.add_argument("--only-resnets", action="store_true", help="build and search nothing")
    arguments = parser.parse_args()
    data = Path(os.environ["TANAS_DATA"])
    targets = {
        "quickdraw:is=moon": "quickdraw:is=moon",
        "one_style:is=moon": f"npz:{data / 'quickdraw' / 'one_style.npz'}:is=moon",
    }
    seeds = [int(seed) for seed in arguments.seeds.split(",")]
    for seed in [] if arguments.only_resnets else seeds:
        folder = arguments.out / f"seed-{seed}"
        _once(
            folder / "dictionary.spent.json",
            _tanas("dictionary", "build", folder / "dictionary", *PAPER_STARTER, seed=seed),
        )
        for short, name in targets.items():
            run = folder / short.replace(":", "-").replace("=", "-")
            _once(
                run.with_suffix(".spent.json"),
                _tanas("search", name, "--dictionary", folder / "dictionary", "--out", run, seed=seed),
            )
        _record(arguments.out, seeds, targets)
    for seed in seeds:
        for short, name in targets.items():
            for network in filter(None, arguments.resnets.split(",")):
                path = arguments.out / f"seed-{seed}" / f"{network}-{short.split(':')[0]}.json"
                if not path.exists():
                    begun = FolderCheckpoint(path.with_suffix(".begun"))
                    write_bytes(path, json.dumps(_resnet(network, name, seed, begun), indent=1).encode())
                _record(arguments.out, seeds, targets)


def _tanas(*words: object, seed: int) -> list[str]:
    return [sys.executable, "-m", "tanas", *map(str, words), "--seed", str(seed)]


def _once(stamp: Path, command: list[str]) -> None:
    """Runs a command unless it has been run; the stamp holds what its last session took."""
    if stamp.exists():
        return
    began, peak = time.monotonic(), 0
    process = subprocess.Popen(command)
    while process.poll() is None:
        peak = max(peak, memory_of(process.pid))
        time.sleep(SAMPLED_EVERY_S)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}. The same command goes on.")
    spent = {"seconds": round(time.monotonic() - began, 1), "processors": processors()}
    write_bytes(stamp, json.dumps(spent | ({"peak_gb": round(peak / 1e9, 2)} if peak else {})).encode())


def memory_of(root: int) -> int:
    """Bytes that a process and all that it started hold, what they share counted once; 0 where Linux's /proc is not."""
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has ended
            parents[int(folder.name)] = int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    held = 0
    for process in parents:
        line = process
        while line in parents and line != root:
            line = parents[line]
        if line != root:
            continue
        with contextlib.suppress(OSError):
            rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
            held += sum(int(row.split()[1]) for row in rollup.splitlines() if row.startswith("Pss:"))
    return held * 1024


def _resnet(network_name: str, task_name: str, seed: int, begun: Checkpoint) -> dict[str, Any]:
    config = compared(laptop(), TrainingConfig(least_steps=150))
    task = prepare(Library().open(task_name), performance=config.performance, limit=config.limit)
    classes = len(task.classes)
    network = make_zoo(network_name, task.shape, classes, Seed(seed).child("weights"))
    network = network.to(memory_format=torch.channels_last)
    fitted = fit(
        network,
        task.train,
        config.training.suited_to(len(task.train)),
        classes=classes,
        seed=Seed(seed).child("order"),
        listener=print,
        checkpoint=begun,
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
    """Adds what there is in the work folder to the record."""
    old = json.loads(RECORD.read_bytes()) if RECORD.exists() else {}
    made_on = {"hardware": {"processor": processor(), "cores": os.cpu_count()}, "versions": versions()}
    runs = merged(old, {"runs": _gathered(out, seeds, targets), **made_on})
    record = {
        "what": "ten-task dictionary (MNIST 0-4, Fashion-MNIST 0-4) and two moon indicators, laptop preset",
        "command": "TANAS_DATA=DIR python benchmarks/moon.py --out WORK",
        "n": len(runs),
        "seeds": [run["seed"] for run in runs],
        **made_on,
        "note": "wall-clock seconds on a shared machine with other work running; a part that was made on other "
        "hardware or with other versions says so in its 'made_on'; networks beside ours are under 'rivals', "
        "for the seeds and targets where they were trained",
        "runs": runs,
    }
    write_bytes(RECORD, (json.dumps(record, indent=1) + "\n").encode())


def _gathered(out: Path, seeds: list[int], targets: dict[str, str]) -> list[dict[str, Any]]:
    """What the work folder holds of each seed."""
    entries = []
    for seed in seeds:
        folder = out / f"seed-{seed}"
        entry: dict[str, Any] = {"seed": seed, "targets": {}}
        entry |= _spent(folder / "dictionary.spent.json", "dictionary")
        for short in targets:
            run = folder / short.replace(":", "-").replace("=", "-")
            rivals = [
                json.loads(path.read_bytes())
                for path in sorted(folder.glob(f"resnet*-{short.split(':')[0]}.json"))
            ]
            found: dict[str, Any] = {}
            if (run / "result.json").exists():
                result = json.loads((run / "result.json").read_bytes())
                found = {
                    **_spent(run.with_suffix(".spent.json"), "command"),
                    **{
                        key: result[key]
                        for key in ("neighbours", "parameters", "macs", "metrics", "costs", "stopped")
                    },
                    "architecture": result["architecture"],
                    "images": {key: result["task"][key] for key in ("train", "validation", "test")},
                    "inherit": result["space"]["inherit"],
                    "settings": digest(result["config"]),
                    "space_size": result["space"]["size"],
                    "representative": result["representative"],
                }
            if found or rivals:
                entry["targets"][short] = {**found, "rivals": rivals}
        if len(entry["targets"]) or "dictionary_s" in entry:
            entries.append(entry)
    return entries


def merged(old: dict[str, Any], new: dict[str, Any]) -> list[dict[str, Any]]:
    """The runs of two records together; where both hold the same part, the new one stands.

    The parts are a seed's dictionary, its search for a target, and each network beside it. Each part of the old
    record that was made on other hardware or with other versions than the new one is marked with its own.

    Args:
        old: with 'runs', 'hardware' and 'versions'; empty if there was none.
        new: the same.
    """
    marks = ("hardware", "versions")
    own = {key: new[key] for key in marks}
    before = {key: old[key] for key in marks if key in old}

    def marked(part: dict[str, Any]) -> dict[str, Any]:
        made_on = part.get("made_on", before)
        rest = {key: value for key, value in part.items() if key != "made_on"}
        return rest if not rest or made_on == own else {**rest, "made_on": made_on}

    runs = {}
    for record, keep in ((old, marked), (new, dict)):
        for entry in record.get("runs", []):
            rest = keep({key: value for key, value in entry.items() if key not in ("seed", "targets")})
            run = runs.setdefault(entry["seed"], {"seed": entry["seed"], "targets": {}})
            if rest:
                run = {"seed": entry["seed"], **rest, "targets": run["targets"]}
            for name, target in entry["targets"].items():
                search = keep({key: value for key, value in target.items() if key != "rivals"})
                known = run["targets"].get(name, {"rivals": []})
                rivals = {rival["network"]: rival for rival in known["rivals"]}
                rivals |= {rival["network"]: keep(rival) for rival in target["rivals"]}
                if not search:
                    search = {key: value for key, value in known.items() if key != "rivals"}
                run["targets"][name] = {**search, "rivals": [rivals[key] for key in sorted(rivals)]}
            runs[entry["seed"]] = run
    return [runs[seed] for seed in sorted(runs)]


def _spent(stamp: Path, name: str) -> dict[str, float]:
    """What a command took, if it has been run: seconds, processors that it had, peak memory."""
    if not stamp.exists():
        return {}
    spent = json.loads(stamp.read_bytes())
    return {f"{name}_{'s' if what == 'seconds' else what}": value for what, value in spent.items()}


if __name__ == "__main__":
    main()
