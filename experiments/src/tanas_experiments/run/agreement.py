"""How far faster distances agree with the exact one, how stable each is, and which gate to ask for.

    TANAS_DATA=DIR python -m tanas_experiments.run.agreement --out WORK [--parts gate,eighth,paper]

On the paper's ten base tasks with the laptop preset's representatives, one thread:

- gate: on two development targets, mnist:is=1 and fashion-mnist:is=dress, full iterative pruning from two seeds
  is judged under many gates: how saturated, how stable between seeds, how far the closed form agrees.
- eighth: all 90 pairs at an eighth of the hidden widths: the exact method from three seeds against every other. Its
  mean over them is a better truth than any one seed, and says how much of what is missing is the reference's own noise.
- paper: at the paper's widths with 2,000 fit rows, three targets from nine sources.

Every pair is a file in WORK; the same command goes on where it stopped and measures anew what other settings or
representatives lead to. After a change of code, name a new folder. The figures go to
records/agreement.json, parts of which nothing was measured stay there as they were; agreement at an eighth
stands there a second time without the development targets.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch import Tensor

from tanas.algorithm.presets import default
from tanas.api.build import PAPER_STARTER
from tanas.distances.base import Distance, Need, Pair
from tanas.distances.gate import Gate, GateConfig, crossing
from tanas.distances.linear import LinearConfig, LinearDistance
from tanas.distances.memory import OF_TARGETS, Memory
from tanas.distances.methods import NARROW, DistanceConfig, all_methods, make_distance
from tanas.distances.pairs import PairConfig, make_pair
from tanas.distances.representative import (
    Representative,
    RepresentativeState,
    represent,
    representative_from,
    state_of,
)
from tanas.distances.transform import TransformConfig, fine_tune, fit_transform, masks_at
from tanas.ground.context import Context
from tanas.ground.errors import SettingError
from tanas.ground.records import digest, from_plain, to_plain, write_bytes
from tanas.ground.seeds import Seed
from tanas.ground.versions import processor, versions
from tanas.tasks.library import Library
from tanas.tasks.task import Task
from tanas_experiments.by_maps import by_maps
from tanas_experiments.places import RECORDS
from tanas_experiments.rankings import spearman

RECORD = RECORDS / "agreement.json"

DEVELOPMENT = ("mnist:is=1", "fashion-mnist:is=dress")
"""Targets on which the gate was chosen: an easy and a hard one."""
FULL_WIDTH = ("mnist:is=3", "fashion-mnist:is=coat", "fashion-mnist:is=trouser")
"""Targets at the paper's widths: none of the development ones."""
OTHERS = tuple(name for name in PAPER_STARTER if name not in DEVELOPMENT)
"""Targets that the choice of the gate has not seen."""
EXACT_SEEDS = (0, 1, 2)
"""Of the exact method's maps at an eighth of the widths."""

EIGHTH = tuple(width // NARROW for width in TransformConfig().widths)
"""Hidden widths at which every pair can be pruned all the way."""
ROWS = 1500
"""Fit rows at these widths."""
SETTINGS = {
    "eighth": (DistanceConfig(transform=TransformConfig(widths=EIGHTH)), ROWS),
    "paper": (DistanceConfig(), 2000),
}
"""Of the methods, and fit rows, by part."""

BLIND = "a number a target"
"""Of `linear`: the mean of a target's distances in the place of each. What it reaches says nothing of sources."""

HEADS = {
    "balanced": GateConfig(measure="balanced"),
    "accuracy": GateConfig(measure="accuracy"),
    "frozen": GateConfig(head="frozen", measure="balanced"),
}
"""Heads that a walk down the densities is read with: a refitted one differs with what it weighs."""


@dataclass(frozen=True)
class Asked:
    """A gate that is tried."""

    head: str
    measure: str
    asked: str
    slack: float

    @property
    def name(self) -> str:
        """In words."""
        against = {"own": "B's own", "dense": "the dense N_t's", "absolute": "1"}[self.asked]
        return f"{self.head} head, {self.measure}, {against} - {self.slack:g}"


def gates() -> list[Asked]:
    """The gates that are compared."""
    refitted = [
        Asked("balanced", measure, asked, slack)
        for measure, slacks in (("balanced", (0.02, 0.04, 0.1)), ("area", (0.005, 0.01, 0.015, 0.02, 0.04)))
        for asked in ("own", "dense")
        for slack in slacks
    ]
    others = [
        *(Asked("accuracy", "accuracy", asked, s) for asked in ("own", "dense") for s in (0.005, 0.01, 0.02)),
        *(Asked("frozen", measure, "own", 0.04) for measure in ("balanced", "accuracy", "area")),
        *(Asked("balanced", m, "absolute", 0.04) for m in ("balanced", "area")),
        Asked("frozen", "accuracy", "absolute", 0.04),
    ]
    return [*refitted, *others]


class Work:
    """The tasks, their representatives and what was measured, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = by_maps(default())
        self._library = Library()
        self._tasks: dict[str, Task] = {}
        self._representatives: dict[str, Representative] = {}
        self._features = Memory(2**30)

    def pair(self, source: str, target: str, needs: Mapping[str, Need], rows: int) -> Pair:
        """Two of the base tasks as a pair."""
        return make_pair(
            self.representative(source),
            self.representative(target),
            self.task(target),
            PairConfig(fit_images=rows),
            self._features,
            needs=needs,
        )

    def task(self, name: str) -> Task:
        """A base task without its test split."""
        if name not in self._tasks:
            task = self._library.open(name)
            task = task.measured_by(self.config.performance).limited(self.config.limit)
            self._tasks[name] = task.without_test()
        return self._tasks[name]

    def representative(self, name: str) -> Representative:
        """Of a base task, from the folder or trained."""
        if name not in self._representatives:
            task, config = self.task(name), self.config.representative
            path = self.folder / "representatives" / f"{_slug(name)}-{digest(task.fingerprint, config)}.pt"
            if not path.exists():
                made = represent(task, config, Context(seed=Seed(0).child("represent"), listener=print))
                state, tensors = state_of(made)
                path.parent.mkdir(parents=True, exist_ok=True)
                torch.save({"state": to_plain(state), "tensors": tensors}, path.with_suffix(".part"))
                os.replace(path.with_suffix(".part"), path)
            kept = torch.load(path, weights_only=True)
            state = from_plain(RepresentativeState, kept["state"], where=str(path))
            self._representatives[name] = representative_from(state, kept["tensors"])
        return self._representatives[name]

    def kept(self, label: str, how: object, seed: int, source: str, target: str, rows: int) -> Path:
        """The file of a piece; a part of its name stands for all that decides what is in it.

        Args:
            label: what is measured, for the reader.
            how: settings of what measures it.
            seed: of the maps.
            source: name of A.
            target: name of B.
            rows: to fit on.
        """
        networks = [self.representative(name).key for name in (source, target)]
        key = digest(how, PairConfig(fit_images=rows), self.task(target).fingerprint, *networks)
        names = (label, seed, source, target, key)
        return self.folder / "pieces" / ("-".join(_slug(str(name)) for name in names) + ".json")


def main() -> None:
    """Measures what is not there yet and writes the record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--parts", default="gate,eighth,paper")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    work = Work(arguments.out)
    parts = {"gate": gate_part, "eighth": eighth_part, "paper": paper_part}
    for name in arguments.parts.split(","):
        parts[name](work)
        write_record(work)
    print(f"The record is {RECORD}.")


def ordered(targets: Sequence[str]) -> Iterator[tuple[str, str]]:
    """(source, target) of all base tasks to some of them."""
    return ((source, target) for target in targets for source in PAPER_STARTER if source != target)


def gate_part(work: Work) -> None:
    """Walks of full iterative pruning, read under every head, on the development targets."""
    for source, target in ordered(DEVELOPMENT):
        for seed in (0, 1):
            path = _walk_path(work, seed, source, target)
            if not path.exists():
                pair = work.pair(source, target, {}, ROWS)
                _write(path, walk(pair, Seed(seed).child(source, target)))
                print(f"walked {source} -> {target}, seed {seed}", flush=True)


def walk_config() -> TransformConfig:
    """Full iterative pruning at an eighth of the hidden widths."""
    return TransformConfig(widths=EIGHTH, exact=True, shrink=0.6)


def _walk_path(work: Work, seed: int, source: str, target: str) -> Path:
    return work.kept("walk", (walk_config(), HEADS), seed, source, target, ROWS)


def walk(pair: Pair, seed: Seed) -> dict[str, Any]:
    """Performances of N_t at an eighth of the hidden widths, all the way down, and of the closed form."""
    config = walk_config()
    began = time.process_time()
    network = fit_transform(pair, config, seed)
    densities, reads = [1.0], [_read(pair, *_outputs(network, pair, None))]
    while densities[-1] * config.shrink > config.least_density:
        densities.append(densities[-1] * config.shrink)
        masks = masks_at(network, densities[-1])
        fine_tune(network, pair, config, masks, seed.child("fine-tune", f"{densities[-1]:.6g}"))
        reads.append(_read(pair, *_outputs(network, pair, masks)))
    took = time.process_time() - began
    own = _read(pair, pair.target_fit, pair.target_gate, pair.target_gate)
    return {"densities": densities, "reads": reads, "own": own, "took_s": took}


@torch.no_grad()
def _outputs(network: Any, pair: Pair, masks: Sequence[Tensor] | None) -> tuple[Tensor, Tensor, Tensor]:
    fit, gate = network.coordinates(pair.source_fit, pair.source_gate, masks=masks)
    return fit, gate, network(pair.source_gate, masks)


def _read(pair: Pair, fit: Tensor, gate_rows: Tensor, whole: Tensor) -> dict[str, float]:
    """The performance l by every head and measure."""
    read = {}
    width = pair.target_fit.shape[1]
    for head, config in HEADS.items():
        frozen = config.head == "frozen"
        scores = Gate(config, pair).scores(fit, whole if frozen else gate_rows, width=width)
        for measure in ("balanced", "accuracy", "area"):
            read[f"{head} {measure}"] = Gate(replace(config, measure=measure), pair).score(scores)
    return read


def order_under(asked: Asked, walked: Mapping[str, Any]) -> float:
    """`Measurement.order` of a walk under a gate."""
    key = f"{asked.head} {asked.measure}"
    performances = [read[key] for read in walked["reads"]]
    against = {"own": walked["own"][key], "dense": performances[0], "absolute": 1.0}[asked.asked]
    met = crossing(walked["densities"], performances, against - asked.slack)
    return met.value + met.shortfall - met.surplus


def eighth_part(work: Work) -> None:
    """All pairs at an eighth of the hidden widths, by every method; the exact one from several seeds."""
    methods = [name for name in all_methods() if name not in ("narrow", "transform", "exact")]
    for source, target in ordered(PAPER_STARTER):
        for name in methods:
            _measure(work, "eighth", name, 0, source, target)
        for name in ("transform", "exact"):
            _measure(work, "eighth", name, 0, source, target)
    for source, target in ordered(PAPER_STARTER):
        _measure(work, "eighth", "transform", 1, source, target)
    for seed in EXACT_SEEDS[1:]:
        for source, target in ordered(PAPER_STARTER):
            _measure(work, "eighth", "exact", seed, source, target)


def paper_part(work: Work) -> None:
    """Some targets at the paper's widths."""
    methods = [name for name in all_methods() if name not in ("exact", "transform")]
    for source, target in ordered(FULL_WIDTH):
        for name in (*methods, "transform", "exact"):
            _measure(work, "paper", name, 0, source, target)


def _measure(work: Work, part: str, name: str, seed: int, source: str, target: str) -> None:
    distance, rows, path = _planned(work, part, name, seed, source, target)
    if path.exists():
        return
    OF_TARGETS.clear()  # what is timed is a pair alone
    pair = work.pair(source, target, distance.needs, rows)
    began = time.process_time()
    try:
        measured = distance(pair, Seed(seed).child(source, target))
    except SettingError as refused:
        _write(path, {"refused": str(refused)})
        return
    took = time.process_time() - began
    _write(path, {"order": measured.order, "value": measured.value, "cpu_s": took})
    if name == "exact":
        print(f"{part}: {source} -> {target}, seed {seed}: {measured.order:.4f} in {took:.0f} s", flush=True)


def _planned(
    work: Work, part: str, name: str, seed: int, source: str, target: str
) -> tuple[Distance, int, Path]:
    """How a pair is measured, on how many rows, and where the piece is kept."""
    config, rows = SETTINGS[part]
    distance = make_distance(config, name)
    return distance, rows, work.kept(f"{part}-{name}", distance, seed, source, target, rows)


def write_record(work: Work) -> None:
    """Gathers what is there."""
    record = {
        "what": "agreement with the exact method, stability and the gate, on the paper's ten base tasks",
        "command": "TANAS_DATA=DIR python -m tanas_experiments.run.agreement --out WORK",
        "n": {"representatives": 1, "seeds of the maps": 2, "seeds of the exact maps": len(EXACT_SEEDS)},
        "seeds": list(EXACT_SEEDS),
        "hardware": {"processor": processor(), "cores": os.cpu_count(), "threads used": 1},
        "versions": versions(),
        "gate": _gate_table(work),
        "eighth": _agreement(work, "eighth", PAPER_STARTER, ("transform", "exact")),
        "eighth, other targets": _agreement(work, "eighth", OTHERS, ("transform", "exact")),
        "eighth, mean of exact": _agreement_with_mean(work, PAPER_STARTER),
        "paper": _agreement(work, "paper", FULL_WIDTH, ()),
    }
    # what this folder has nothing of was measured in another one: it is kept if that was on the like of this machine
    old = _read_json(RECORD) if RECORD.exists() else {}
    if all(old.get(key) == record[key] for key in ("hardware", "versions")):
        record |= {part: kept for part, kept in old.items() if not record.get(part)}
    write_bytes(RECORD, (json.dumps(record, indent=1) + "\n").encode())


def _gate_table(work: Work) -> dict[str, Any]:
    pairs = [
        pair
        for pair in ordered(DEVELOPMENT)
        if all(_walk_path(work, seed, *pair).exists() for seed in (0, 1))
    ]
    if len(pairs) < len(list(ordered(DEVELOPMENT))):
        return {}
    walks = {seed: [_read_json(_walk_path(work, seed, *pair)) for pair in pairs] for seed in (0, 1)}
    rows = []
    for asked in gates():
        first, second = ([order_under(asked, walked) for walked in walks[seed]] for seed in (0, 1))
        gate = GateConfig(
            head="frozen" if asked.head == "frozen" else "ridge",
            asked=asked.asked,
            slack=asked.slack,
            measure=asked.measure,
        )
        closed = []
        if asked.head != "frozen":
            for source, target in pairs:
                distance = LinearDistance(LinearConfig(), gate)
                path = work.kept(f"closed-{asked.name}", distance, 0, source, target, ROWS)
                if not path.exists():
                    measured = distance(work.pair(source, target, {}, ROWS), Seed(0))
                    _write(path, {"order": measured.order})
                closed.append(_read_json(path)["order"])
        within = [
            spearman([first[i] for i in own], [second[i] for i in own])
            for own in ([i for i, pair in enumerate(pairs) if pair[1] == target] for target in DEVELOPMENT)
        ]
        rows.append(
            {
                "gate": asked.name,
                "share at 1": round(float(np.mean([order >= 1 for order in first])), 3),
                "share at the least": round(float(np.mean([order <= 1e-3 for order in first])), 3),
                "spearman between seeds": _rounded(spearman(first, second)),
                "the same within targets": [_rounded(value) for value in within],
                "spearman with linear": _rounded(spearman(first, closed)) if closed else None,
            }
        )
    return {"targets": list(DEVELOPMENT), "pairs": len(pairs), "rows": rows}


def _agreement(
    work: Work, part: str, targets: Sequence[str], again: Sequence[str]
) -> dict[str, dict[str, Any]]:
    table: dict[str, dict[str, Any]] = {}
    exact = _orders(work, part, "exact", 0, targets)
    for name in all_methods():
        orders = _orders(work, part, name, 0, targets)
        if not orders:
            continue
        common = [pair for pair in orders if pair in exact]
        row: dict[str, Any] = {
            "pairs": len(common),
            "cpu_s": round(float(np.median([entry["cpu_s"] for entry in orders.values()])), 3),
            "cpu_s mean": round(float(np.mean([entry["cpu_s"] for entry in orders.values()])), 3),
            "share at 1": round(float(np.mean([entry["value"] >= 1 for entry in orders.values()])), 3),
            "with exact": _compared(exact, orders, common),
        }
        if name in again and (second := _orders(work, part, name, 1, targets)):
            both = [pair for pair in orders if pair in second]
            if (alike := _compared(orders, second, both)) is not None:
                row["between seeds"] = {"pairs": len(both), **alike}
            crossed = [pair for pair in second if pair in exact]
            if name != "exact":
                row["another seed with exact"] = _compared(exact, second, crossed)
        table[name] = row
    return table


def _agreement_with_mean(work: Work, targets: Sequence[str]) -> dict[str, Any]:
    """Every method beside the mean of the exact one's seeds, and each of these beside the mean of the others."""
    seeds = [_orders(work, "eighth", "exact", seed, targets) for seed in EXACT_SEEDS]
    pairs = [pair for pair in ordered(targets) if all(pair in orders for orders in seeds)]
    if len(pairs) < len(list(ordered(targets))):
        return {}
    mean = _mean_orders(seeds, pairs)
    table: dict[str, Any] = {}
    for name in all_methods():
        orders = _orders(work, "eighth", name, 0, targets)
        if name != "exact" and all(pair in orders for pair in pairs):
            table[name] = {
                **(_compared(mean, orders, pairs) or {}),
                "nearest of a seed": _shares_nearest(orders, seeds, targets),
            }
    linear = _orders(work, "eighth", "linear", 0, targets)
    if all(pair in linear for pair in pairs):
        table[BLIND] = {
            **(_compared(mean, _target_means(linear), pairs) or {}),
            "nearest of a seed": "-",
            "mean spearman within a target": None,
            "same nearest": "-",
        }
    alone = []
    for at, orders in enumerate(seeds):
        others = [other for place, other in enumerate(seeds) if place != at]
        alone.append(
            {
                **(_compared(_mean_orders(others, pairs), orders, pairs) or {}),
                "nearest of a seed": _shares_nearest(orders, others, targets),
            }
        )
    kept = {f"exact, seed {seed}": orders for seed, orders in zip(EXACT_SEEDS, seeds, strict=True)}
    kept |= {name: _orders(work, "eighth", name, 0, targets) for name in ("linear", "transform")}
    return {
        "seeds": list(EXACT_SEEDS),
        "pairs": len(pairs),
        "methods": table,
        "each seed with the others": alone,
        "orders": {
            name: {
                target: {s: round(orders[s, t]["order"], 5) for s, t in pairs if t == target}
                for target in targets
            }
            for name, orders in kept.items()
            if orders
        },
    }


def _target_means(
    orders: Mapping[tuple[str, str], Mapping[str, float]],
) -> dict[tuple[str, str], dict[str, float]]:
    """One number a target, which tells no source from another: the mean of its distances."""
    by_target: dict[str, list[float]] = {}
    for (_, target), entry in orders.items():
        by_target.setdefault(target, []).append(entry["order"])
    return {pair: {"order": float(np.mean(by_target[pair[1]]))} for pair in orders}


def _mean_orders(
    seeds: Sequence[Mapping[tuple[str, str], Mapping[str, float]]], pairs: Sequence[tuple[str, str]]
) -> dict[tuple[str, str], dict[str, float]]:
    return {pair: {"order": float(np.mean([orders[pair]["order"] for orders in seeds]))} for pair in pairs}


def _shares_nearest(
    orders: Mapping[tuple[str, str], Mapping[str, float]],
    seeds: Sequence[Mapping[tuple[str, str], Mapping[str, float]]],
    targets: Sequence[str],
) -> str:
    """For how many targets the nearest source is also the nearest by one of several references."""

    def nearest(found: Mapping[tuple[str, str], Mapping[str, float]], target: str) -> str:
        own = [pair for pair in ordered(targets) if pair[1] == target]
        return min(own, key=lambda pair: found[pair]["order"])[0]

    shared = sum(nearest(orders, target) in {nearest(one, target) for one in seeds} for target in targets)
    return f"{shared} of {len(targets)}"


def _orders(
    work: Work, part: str, name: str, seed: int, targets: Sequence[str]
) -> dict[tuple[str, str], dict[str, float]]:
    found = {}
    for pair in ordered(targets):
        *_, path = _planned(work, part, name, seed, *pair)
        if path.exists() and "order" in (entry := _read_json(path)):
            found[pair] = entry
    return found


def _compared(
    reference: Mapping[tuple[str, str], Mapping[str, float]],
    other: Mapping[tuple[str, str], Mapping[str, float]],
    pairs: Sequence[tuple[str, str]],
) -> dict[str, Any] | None:
    """Rank agreement over pairs, within targets, and how often the nearest is the same."""
    if len(pairs) < 3:
        return None
    within, same, targets = [], 0, []
    for target in dict.fromkeys(pair[1] for pair in pairs):
        own = [pair for pair in pairs if pair[1] == target]
        if len(own) < len(PAPER_STARTER) - 1:
            continue
        targets.append(target)
        a, b = ([orders[pair]["order"] for pair in own] for orders in (reference, other))
        if (found := spearman(a, b)) is not None:
            within.append(found)
        same += int(np.argmin(a) == np.argmin(b))
    a, b = ([orders[pair]["order"] for pair in pairs] for orders in (reference, other))
    return {
        "spearman": _rounded(spearman(a, b)),
        "mean spearman within a target": round(float(np.mean(within)), 3) if within else None,
        "same nearest": f"{same} of {len(targets)}",
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _write(path: Path, value: Mapping[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(path, json.dumps(value).encode())


def _read_json(path: Path) -> dict[str, Any]:
    read: dict[str, Any] = json.loads(path.read_bytes())
    return read


def _slug(name: str) -> str:
    return "".join(letter if letter.isalnum() or letter in ".=" else "_" for letter in name)


if __name__ == "__main__":
    main()
