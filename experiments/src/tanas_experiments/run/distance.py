"""What a distance costs: every method a pair, the exact one and the plain recipe's step beside them, in one run.

    [TANAS_DATA=DIR] python -m tanas_experiments.run.distance [--repeats 3] [--exact-repeats 1] [--matrix-repeats 1]
    [TANAS_DATA=DIR] python -m tanas_experiments.run.distance --memory-only

Pairs are at the paper's widths: 1,024 features, a transform network of 2,048 and 512 hidden units, 2,000 rows to
fit on. Each method measures the pair once more in a process of its own that tells its peak memory, and one process
only loads the pair. Then the default method measures a new target against ten atoms, and the ten by ten matrix,
features included, each again in a process of its own. With TANAS_DATA the atoms are the paper's
ten base tasks; without it they are ten indicators over drawn blots, which cost the same to within what d is.
Everything runs in one thread and is told in CPU seconds. `--smoke` tries it in a minute and writes no record.
The figures go to records/distance-speed.json, or to the file that `--record` names. `--memory-only`
measures the memory of each method anew, in some minutes, and leaves all else in the record as it is.
"""

from __future__ import annotations

import argparse
import json
import os
import pickle
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch.nn import functional

from tanas.algorithm.presets import SearchConfig, default, quick
from tanas.api.build import PAPER_STARTER
from tanas.distances.base import Distance, Need
from tanas.distances.memory import OF_TARGETS, Memory
from tanas.distances.methods import all_methods, make_distance
from tanas.distances.pairs import PairConfig, make_pair
from tanas.distances.representative import Representative, represent
from tanas.distances.transform import fit_transform
from tanas.ground.context import Context
from tanas.ground.errors import SettingError
from tanas.ground.records import write_bytes
from tanas.ground.seeds import Seed
from tanas.ground.versions import processor, versions
from tanas.tasks.arrays import task_from_arrays
from tanas.tasks.labelling import labelled, parse_labellings
from tanas.tasks.library import Library
from tanas.tasks.task import Task
from tanas_experiments.by_maps import by_maps
from tanas_experiments.places import RECORDS

RECORD = RECORDS / "distance-speed.json"

ROWS = 2000
"""Fit rows of a pair; the goals are set at this number."""
RECIPE_ROWS = 60_000
"""Training images of MNIST, on all of which the plain recipe fits."""
RECIPE_EPOCHS = 10
"""Of each fit of the plain recipe. Source: the authors' code."""
RECIPE_FITS = 21
"""A dense fit and one after each step down to a density of 0.001 in steps of 0.7."""

TARGET = "mnist:is=5"
"""The new target: of the same images as half of the atoms, so that distances are not all 1."""

MEMORY_UNIT = 1024 if sys.platform != "darwin" else 1
"""Bytes in which the system counts peak memory."""

GOALS = {
    "ten by ten matrix, s": 300,
    "a new target against ten atoms, s": 30,
    "exact a pair / default a pair, at least": 100,
    "peak memory, GB": 2,
}


def main() -> None:
    """Times everything and writes the record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--exact-repeats", type=int, default=1, help="a minute or more each; 0: none")
    parser.add_argument("--matrix-repeats", type=int, default=1)
    parser.add_argument("--smoke", action="store_true", help="everything small, no record")
    parser.add_argument("--memory-only", action="store_true", help="only the memory of each method")
    parser.add_argument("--record", type=Path, default=RECORD)
    parser.add_argument("--part", choices=("target", "matrix", "pair"), help=argparse.SUPPRESS)
    parser.add_argument("--method", help=argparse.SUPPRESS)
    parser.add_argument("--work", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    setting = Setting.of(small=arguments.smoke)
    if arguments.part == "pair":
        print(json.dumps(_peak(setting, arguments.work, arguments.method)))
        return
    if arguments.part:
        print(json.dumps(_part(setting, arguments.part, arguments.work, arguments.repeats)))
        return
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        if arguments.memory_only:
            record = {} if arguments.smoke else json.loads(arguments.record.read_bytes())
            tasks = setting.tasks()
            _represent(setting, {name: tasks[name] for name in _ends(tasks)}, work)
            record["memory"] = _memory(setting, work)
        else:
            record = _timed_record(setting, work, arguments)
            _print(record)
    memory = record["memory"]
    print(f"peak GB: {memory['loaded']} with the pair loaded, {memory['methods']}")
    if not arguments.smoke:
        write_bytes(arguments.record, (json.dumps(record, indent=1) + "\n").encode())
        print(f"The record is {arguments.record}.")


def _timed_record(setting: Setting, work: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    """Everything, measured anew."""
    represent_s = _represent(setting, setting.tasks(), work)
    pairs = _pairs(setting, work, arguments.repeats, arguments.exact_repeats)
    memory = _memory(setting, work)
    parts = {
        part: _in_a_process(setting, work, "--part", part, "--repeats", str(repeats))
        for part, repeats in (("target", arguments.repeats), ("matrix", arguments.matrix_repeats))
    }
    return {
        "command": f"{'TANAS_DATA=DIR ' if setting.data else ''}python -m tanas_experiments.run.distance "
        f"--repeats {arguments.repeats} --exact-repeats {arguments.exact_repeats} "
        f"--matrix-repeats {arguments.matrix_repeats}",
        "n": {
            "methods": arguments.repeats,
            "exact": arguments.exact_repeats,
            "target": arguments.repeats,
            "matrix": arguments.matrix_repeats,
        },
        "figures": "medians of CPU seconds in one thread; rounds in which all stand side by side",
        "data": "MNIST and Fashion-MNIST indicators" if setting.data else "indicators over drawn blots",
        "hardware": {"processor": processor(), "cores": os.cpu_count(), "threads used": 1},
        "versions": versions(),
        "default": setting.config.distance.method,
        "goals": GOALS,
        "representatives_cpu_s": round(represent_s, 1),
        **pairs,
        "memory": memory,
        **parts,
    }


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What is measured on."""

    small: bool
    data: bool
    """Whether the paper's base tasks are there."""
    config: SearchConfig

    @property
    def images(self) -> PairConfig:
        """Of every pair: as many fit rows at the paper's widths as the comparison of methods has."""
        return PairConfig(fit_images=ROWS, gate_images=self.config.pair.gate_images)

    @classmethod
    def of(cls, *, small: bool) -> Setting:
        """The laptop preset without intervals, or the smoke preset."""
        config = by_maps(quick() if small else default())
        config = replace(config, distance=replace(config.distance, intervals=None))
        return cls(small=small, data=bool(os.environ.get("TANAS_DATA")) and not small, config=config)

    def tasks(self) -> dict[str, Task]:
        """Ten atoms (three if small) and, last, the new target, all without their test splits."""
        if self.data:
            library = Library(download=False)
            opened = {name: library.open(name) for name in (*PAPER_STARTER, TARGET)}
        else:
            source = _blots(3_000 if self.small else 19_000, 12 if self.small else 28)
            opened = {
                f"blots:is={k}": labelled(source, parse_labellings(f"is={k}"))
                for k in range(4 if self.small else 11)
            }
        return {
            name: task.measured_by(self.config.performance).limited(self.config.limit).without_test()
            for name, task in opened.items()
        }


def _blots(images: int, side: int) -> Task:
    """Eleven classes of smooth random blots, mixed with one another and with noise; drawn from a seed.

    They stand in for data where there is none: their features have a low rank, are not negative and carry the
    labels, as those of real images do.
    """
    generator = Seed(0).child("blots").torch()
    coarse = torch.rand(24, 1, 5, 5, generator=generator)
    blots = functional.interpolate(coarse, size=(side, side), mode="bicubic").clamp(0, 1)[:, 0]
    labels = torch.arange(images) % 11
    mixture = torch.rand(images, len(blots), generator=generator) ** 4
    mixture[torch.arange(images), labels] += 1.5
    pixels = torch.einsum("nk,khw->nhw", mixture / mixture.sum(dim=1, keepdim=True), blots)
    pixels = pixels + 0.05 * torch.randn(pixels.shape, generator=generator)
    stretched = (pixels - pixels.min()) / (pixels.max() - pixels.min())
    return task_from_arrays(
        (stretched * 255).round().to(torch.uint8).numpy(), labels.numpy().astype(np.int64), name="blots"
    )


def _represent(setting: Setting, tasks: Mapping[str, Task], work: Path) -> float:
    """Trains the representatives of tasks into a folder; CPU seconds."""
    began = time.process_time()
    found, at = {}, Context(seed=Seed(0).child("represent"))
    for name, task in tasks.items():
        found[name] = represent(task, setting.config.representative, at)
        print(f"{name}: l = {found[name].performance:.3f}", flush=True)
    (work / "representatives").write_bytes(pickle.dumps(found))
    return time.process_time() - began


def _representatives(work: Path) -> dict[str, Representative]:
    """What `_represent` left there, in the order of the tasks."""
    found: dict[str, Representative] = pickle.loads((work / "representatives").read_bytes())
    return found


def _ends(tasks: Mapping[str, Task]) -> tuple[str, str]:
    """Source and target of the one pair that every method measures: the first atom and the new target."""
    names = list(tasks)
    return names[0], names[-1]


def _pairs(setting: Setting, work: Path, repeats: int, exact_repeats: int) -> dict[str, Any]:
    """Every method on one pair, round by round, the plain recipe's step among them."""
    tasks, networks = setting.tasks(), _representatives(work)
    source, target = _ends(tasks)
    config = setting.config.distance
    images = setting.images
    seconds: dict[str, list[float]] = {}
    needs_s: dict[str, list[float]] = {}
    refused: dict[str, str] = {}
    values: dict[str, float] = {}

    def pair_of(needs: Mapping[str, Need], kept: Memory) -> Any:
        return make_pair(networks[source], networks[target], tasks[target], images, kept, needs=needs)

    plain = pair_of({}, Memory())
    rows = len(plain.labels_fit)
    one_epoch = replace(config.transform, epochs=1)
    for round_ in range(max(repeats, exact_repeats)):
        if round_ < repeats:
            spent, _ = _timed(lambda: fit_transform(plain, one_epoch, Seed(0)))
            seconds.setdefault("epoch", []).append(spent)
        for name in all_methods():
            if round_ >= (exact_repeats if name == "exact" else repeats):
                continue
            distance = make_distance(config, name)
            try:
                if distance.needs:
                    anew = Memory()  # with nothing in it of an earlier round
                    pair_of({}, anew)
                    without, _ = _timed(partial(pair_of, {}, anew))
                    whole, pair = _timed(partial(pair_of, distance.needs, anew))
                    needs_s.setdefault(name, []).append(max(whole - without, 0.0))
                else:
                    pair = plain
                OF_TARGETS.clear()  # a pair alone: as dear as the first of a target
                spent, measured = _timed(partial(distance, pair, Seed(0)))
            except SettingError as error:
                refused[name] = str(error)
                continue
            seconds.setdefault(name, []).append(spent)
            values[name] = round(measured.order, 4)
            print(f"{name}: {spent:.3f} CPU-s", flush=True)
    medians = {name: statistics.median(spent) for name, spent in seconds.items()}
    epoch = medians.pop("epoch") * RECIPE_ROWS / rows
    exact = medians.get("exact")
    return {
        "pair": f"{source} -> {target}: {rows} fit and {len(plain.labels_gate)} gate rows, "
        f"{plain.source_fit.shape[1]} features; these are there already",
        "plain recipe": {
            "epoch_s": round(epoch, 2),
            "epoch": f"one on {RECIPE_ROWS} rows, extrapolated from one on {rows} rows",
            "pair_s": round(epoch * RECIPE_EPOCHS * RECIPE_FITS, 1),
            "pair": f"extrapolated: {RECIPE_FITS} fits of {RECIPE_EPOCHS} such epochs",
        },
        "methods": {
            name: {
                "cpu_s": _short(median),
                "needs_cpu_s": _short(statistics.median(needs_s[name])) if name in needs_s else 0.0,
                "order": values[name],
                "exact / this": None if exact is None else _short(exact / median),
                "this / plain recipe's epoch": _short(median / epoch),
                "each_cpu_s": [_short(spent) for spent in seconds[name]],
            }
            for name, median in medians.items()
        },
        **({"refused": refused} if refused else {}),
    }


def _memory(setting: Setting, work: Path) -> dict[str, Any]:
    """Peak memory of each method on one pair."""
    tasks, networks = setting.tasks(), _representatives(work)
    source, target = _ends(tasks)
    config = setting.config.distance
    needs = {need: make for name in all_methods() for need, make in make_distance(config, name).needs.items()}
    pair = make_pair(networks[source], networks[target], tasks[target], setting.images, needs=needs)
    (work / "pair").write_bytes(pickle.dumps(pair))
    peaks = {
        name: _in_a_process(setting, work, "--part", "pair", "--method", name)["peak_gb"]
        for name in all_methods()
    }
    return {
        "figures": "peak resident memory, 10^9 bytes, of a process that loads a pair and measures it once",
        "command": f"{'TANAS_DATA=DIR ' if setting.data else ''}python -m tanas_experiments.run.distance --memory-only",
        "hardware": {"processor": processor(), "cores": os.cpu_count(), "threads used": 1},
        "versions": versions(),
        "loaded": _in_a_process(setting, work, "--part", "pair")["peak_gb"],
        "methods": {name: peak for name, peak in peaks.items() if peak is not None},
    }


def _peak(setting: Setting, work: Path, method: str | None) -> dict[str, float | None]:
    """Peak memory of this process after it loaded the pair and measured it; None: the method refuses it."""
    with (work / "pair").open("rb") as file:
        pair = pickle.load(file)
    if method is not None:
        try:
            make_distance(setting.config.distance, method)(pair, Seed(0))
        except SettingError:
            return {"peak_gb": None}
    return {"peak_gb": round(_peak_gb(), 3)}


def _part(setting: Setting, part: str, work: Path, repeats: int) -> dict[str, Any]:
    """The default method over many pairs in this process: seconds, and peak memory of the process."""
    tasks, networks = setting.tasks(), _representatives(work)
    *atoms, target = tasks
    targets = [target] if part == "target" else atoms
    distance = make_distance(setting.config.distance)
    for network in networks.values():
        network.key  # noqa: B018 -- a dictionary has it in its record
    before = _peak_gb()
    cpu, wall, at_one = [], [], 0
    for _ in range(repeats):
        OF_TARGETS.clear()
        began, began_wall = time.process_time(), time.perf_counter()
        at_one = _measure_all(atoms, targets, tasks, networks, distance, setting.images)
        cpu.append(time.process_time() - began)
        wall.append(time.perf_counter() - began_wall)
    return {
        "method": distance.name,
        "pairs": len(atoms) * len(targets) - (len(atoms) if part == "matrix" else 0),
        "pairs at d = 1": at_one,
        "cpu_s": round(statistics.median(cpu), 2),
        "wall_s": round(statistics.median(wall), 2),
        "each_cpu_s": [round(spent, 2) for spent in cpu],
        "peak_gb": round(_peak_gb(), 3),
        "peak_gb before the first pair": round(before, 3),
    }


def _measure_all(
    atoms: list[str],
    targets: list[str],
    tasks: Mapping[str, Task],
    networks: Mapping[str, Representative],
    distance: Distance,
    config: PairConfig,
) -> int:
    """Every distance from an atom to a target, features included; how many pairs are at d = 1."""
    cache, at_one = Memory(), 0
    for target in targets:
        for atom in atoms:
            pair = make_pair(
                networks[atom], networks[target], tasks[target], config, cache, needs=distance.needs
            )
            measured = distance(pair, Seed(0).child(atom, target))
            at_one += measured.value >= 1 and not measured.same
    return at_one


def _in_a_process(setting: Setting, work: Path, *words: str) -> dict[str, Any]:
    """What this program prints in a child, so that its peak memory is its own."""
    command = [sys.executable, __file__, "--work", str(work), *words, *(["--smoke"] if setting.small else [])]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def _peak_gb() -> float:
    """Peak memory of this process so far, in 10^9 bytes."""
    try:
        # Linux's getrusage takes over the peak of the process that started this one
        status = Path("/proc/self/status").read_text()
    except FileNotFoundError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * MEMORY_UNIT / 1e9
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024 / 1e9


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds and the answer."""
    began = time.process_time()
    answer = work()
    return time.process_time() - began, answer


def _short(number: float) -> float:
    """Three digits that count."""
    return float(f"{number:.3g}")


def _print(record: Mapping[str, Any]) -> None:
    """The table."""
    plain = record["plain recipe"]
    print(f"plain recipe: an epoch {plain['epoch_s']} CPU-s, a pair {plain['pair_s']} (both extrapolated)")
    print(f"{'method':12}{'CPU-s a pair':>14}{'needs':>10}{'exact / this':>14}")
    for name, row in record["methods"].items():
        print(
            f"{name:12}{row['cpu_s']:14.4g}{row['needs_cpu_s']:10.4g}{row['exact / this'] or float('nan'):14.4g}"
        )
    for part in ("target", "matrix"):
        row = record[part]
        print(
            f"{part}: {row['method']}, {row['pairs']} pairs, {row['cpu_s']} CPU-s, peak {row['peak_gb']} GB"
        )


if __name__ == "__main__":
    main()
