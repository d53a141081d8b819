"""Does a distance predict transfer? Ten sources, nine targets, every method against the measured worth.

    TANAS_DATA=DIR python -m tanas_experiments.run.transfer --out WORK [--seeds 0,1] [--methods A,B]
        [--once transform,exact]

For each seed a representative of every task is trained. A source's worth to a target is what its features
reach on test images of the target from a hundred labelled ones, frozen under a logistic head and fine-tuned.
Each method orders the sources of a target; the order is held against the worth by weighted Kendall tau and by
the regret of taking its first, or the best of its first three. Lines to beat: k-NN, and a static order, which
ranks the sources of every target by their mean worth to the other targets.

Every piece is kept in WORK: the same command goes on where it stopped, and measures what is new (a method that
was added, settings that were changed). After a change of code, remove what it made from WORK/values or
WORK/orders. All takes an hour and a half of a core, half of it for `exact`. `--smoke` tries all but that on
scikit-learn's digits in a minute or two.
The figures go to records/transfer.json (smoke: to WORK).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import safetensors.torch
import torch

from tanas.algorithm.presets import SearchConfig, default, quick
from tanas.distances.memory import OF_TARGETS, Memory
from tanas.distances.methods import all_methods, make_distance
from tanas.distances.pairs import make_pair
from tanas.distances.representative import (
    Representative,
    RepresentativeState,
    represent,
    representative_from,
    state_of,
)
from tanas.ground.context import Context
from tanas.ground.errors import SettingError
from tanas.ground.records import digest, read_json, read_record, write_bytes, write_json
from tanas.ground.seeds import Seed
from tanas.ground.versions import processor, versions
from tanas.networks.training import TrainingConfig
from tanas.tasks.library import Library, data_root
from tanas.tasks.task import Task
from tanas_experiments.by_maps import by_maps
from tanas_experiments.places import RECORDS
from tanas_experiments.transfer import (
    STATISTICS,
    Floats,
    TransferConfig,
    TransferValue,
    estimates,
    scores_of_chance,
    scores_of_orders,
    static_orders,
    transfer_value,
)

RECORD = RECORDS / "transfer.json"

EVENS_AND_ODDS = "mnist:groups=0+2+4+6+8/1+3+5+7+9"

SOURCES = (
    # indicators: a tenth of the images against the rest, as the paper's base tasks are
    "mnist:is=0",
    "mnist:is=3",
    "fashion-mnist:is=trouser",
    "digits:is=0",
    # all classes of the same sets: features that tell more apart
    "mnist",
    "fashion-mnist",
    "digits",
    # super-classes, and drawings: two alike animals, and ten unlike things
    "fashion-mnist:groups=t-shirt-top+pullover+coat+shirt/sandal+sneaker+ankle-boot",
    "quickdraw:only=cat,dog",
    "quickdraw:only=airplane,banana,bicycle,cat,diamond,eye,fish,snowman,star,tree",
)
"""Unlike on purpose, in images (8x8 and 28x28; handwriting, clothes, drawings), number of classes and size, so
that there is something to predict."""

TARGETS = {
    # other labellings of the sources' images: near, and a half of all classes against the other half
    "mnist:is=8": "mnist:is=8",
    EVENS_AND_ODDS: EVENS_AND_ODDS,
    "fashion-mnist:is=coat": "fashion-mnist:is=coat",
    "fashion-mnist:only=sandal,sneaker,ankle-boot": "fashion-mnist:only=sandal,sneaker,ankle-boot",
    "digits:is=8": "digits:is=8",
    # the same labelling as a source, from 200 images: a target whose own representative is poor
    "fashion-mnist:take=200": "fashion-mnist:take=200",
    # drawings of categories that no source knows, the paper's target among them
    "quickdraw:is=moon": "quickdraw:is=moon",
    "one_style:is=moon": "npz:{data}/quickdraw/one_style.npz:is=moon",
    "ten drawings": "quickdraw:only=apple,bear,book,bowtie,butterfly,flower,horse,house,lollipop,umbrella",
}
"""Short name to task, related to the sources in different degrees."""

SMOKE_SOURCES = ("digits:is=0", "digits:is=1", "digits:is=3", "digits:groups=0+6/1+7", "digits:only=2,4,5,9")
SMOKE_TARGETS = {
    "digits:is=8": "digits:is=8",
    "digits:only=3,5,9": "digits:only=3,5,9",
    "digits:take=200": "digits:take=200",
}

KINDS = ("frozen", "fine_tuned")
LINES = ("knn", "static order")
"""What a method has to beat to be worth its cost."""


def main() -> None:
    """Measures what is not there yet and writes the record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, required=True, help="folder that keeps every piece")
    parser.add_argument("--seeds", default="0,1", help="of the representatives and of all draws")
    parser.add_argument("--methods", help="names with commas between; by default all, smoke: but exact")
    parser.add_argument("--once", default="transform,exact", help="slow methods: only with the first seed")
    parser.add_argument("--smoke", action="store_true", help="digits only, everything small")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    every = ",".join(method for method in all_methods() if method != "exact" or not arguments.smoke)
    methods = tuple((arguments.methods or every).split(","))
    once = tuple(method for method in methods if method in arguments.once.split(","))
    seeds = tuple(int(seed) for seed in arguments.seeds.split(","))
    experiment = Experiment(out=arguments.out, methods=methods, smoke=arguments.smoke)
    quick = tuple(method for method in methods if method not in once)
    for some, chosen in ((quick, seeds), (once, seeds[:1])):
        for seed in chosen:
            for target in experiment.targets:
                experiment.measure(seed, target, some)
                write_bytes(
                    experiment.record_path, (json.dumps(experiment.record(seeds), indent=1) + "\n").encode()
                )
    _print(json.loads(experiment.record_path.read_bytes()))
    print(f"The record is {experiment.record_path}.")


@dataclass(frozen=True)
class Experiment:
    """The tasks, the settings, and the folder with what was measured."""

    out: Path
    methods: tuple[str, ...]
    smoke: bool
    _representatives: dict[tuple[int, str], Representative] = field(default_factory=dict)

    @property
    def sources(self) -> tuple[str, ...]:
        """Names of tasks."""
        return SMOKE_SOURCES if self.smoke else SOURCES

    @property
    def targets(self) -> dict[str, str]:
        """Short name to name."""
        return SMOKE_TARGETS if self.smoke else TARGETS

    @property
    def record_path(self) -> Path:
        """Where the figures go."""
        return self.out / "transfer.json" if self.smoke else RECORD

    @cached_property
    def config(self) -> SearchConfig:
        """How representatives are made and distances measured: the preset's way, without intervals."""
        config = by_maps(quick() if self.smoke else default())
        return replace(config, distance=replace(config.distance, intervals=None))

    @cached_property
    def transfer(self) -> TransferConfig:
        """How the worth of a source is measured."""
        if not self.smoke:
            return TransferConfig()
        training = TrainingConfig(epochs=8, batch=20, learning_rate=2e-3, class_weights=True)
        return TransferConfig(images=60, draws=3, test_images=None, training=training)

    @cached_property
    def library(self) -> Library:
        """Opens the tasks."""
        return Library(performance=self.config.performance)

    def task(self, name: str) -> Task:
        """A task with its test split, as a search would work on it."""
        opened = self.library.open(name.format(data=data_root()))
        return opened.measured_by(self.config.performance).limited(self.config.limit)

    def representative(self, seed: int, name: str) -> Representative:
        """The representative of a task, trained or read."""
        key = (seed, name)
        if key not in self._representatives:
            task = self.task(name).without_test()
            stem = self.out / "representatives" / digest(task.fingerprint, self.config.representative, seed)
            state, weights = stem.with_suffix(".json"), stem.with_suffix(".safetensors")
            if not state.exists():
                at = Context(seed=Seed(seed).child("represent"))
                made = represent(task, self.config.representative, at)
                _say(f"seed {seed}: {name}, l = {made.performance:.3f}, {made.took_s:.0f} s")
                plain, tensors = state_of(made)
                write_bytes(weights, safetensors.torch.save(tensors))
                write_json(state, plain)
            self._representatives[key] = representative_from(
                read_record(RepresentativeState, state), safetensors.torch.load(weights.read_bytes())
            )
        return self._representatives[key]

    def measure(self, seed: int, target: str, methods: Iterable[str]) -> None:
        """Measures the worth of every source to a target, and how each method orders them."""
        task = self.task(self.targets[target])
        own = self.representative(seed, self.targets[target])
        _, test = task.sealed()
        values: dict[str, str] = {}
        for source in self.sources:
            network = self.representative(seed, source)
            key = digest(network.key, task.fingerprint, test.fingerprint, self.transfer, seed)
            values[source] = f"{key}.json"
            path = self.out / "values" / values[source]
            if not path.exists():
                began = time.process_time()
                draws = Seed(seed).child("transfer", task.fingerprint)
                value = transfer_value(network, task, self.transfer, seed=draws)
                write_json(path, value)
                _say(
                    f"seed {seed}: {source} -> {target}: frozen {statistics.mean(value.frozen):.3f}, fine-tuned "
                    f"{statistics.mean(value.fine_tuned):.3f}, {time.process_time() - began:.1f} CPU-s"
                )
        index = {"values": values, "performance": own.performance}
        write_bytes(self._index(seed, target), json.dumps(index, indent=1).encode())
        cache = Memory()
        for method in methods:
            self._order(seed, target, task.without_test(), method, cache)

    def _order(self, seed: int, target: str, task: Task, method: str, cache: Memory) -> None:
        """Measures d(source -> target) by one method for every source."""
        distance, config = make_distance(self.config.distance, method), self.config.pair
        own = self.representative(seed, self.targets[target])
        networks = {source: self.representative(seed, source) for source in self.sources}
        keys = [network.key for network in networks.values()]
        key = digest(method, distance, config, seed, own.key, task.fingerprint, *keys)
        path = self.out / "orders" / f"{key}.json"
        if not path.exists():
            found: dict[str, dict[str, Any]] = {}
            for source, network in networks.items():
                try:
                    pair = make_pair(network, own, task, config, cache)
                    needs_s = 0.0
                    if distance.needs:
                        plain_s, _ = _timed(partial(make_pair, network, own, task, config, cache))
                        whole_s, pair = _timed(
                            partial(make_pair, network, own, task, config, cache, needs=distance.needs)
                        )
                        needs_s = max(whole_s - plain_s, 0.0)
                    pair_seed = Seed(seed).child("distance", network.fingerprint, own.fingerprint)
                    OF_TARGETS.clear()  # a pair alone: as dear as the first of a target
                    cpu_s, measured = _timed(partial(distance, pair, pair_seed))
                except SettingError as error:
                    found[source] = {"refused": str(error)}
                    continue
                found[source] = {"order": measured.order, "cpu_s": cpu_s, "needs_cpu_s": needs_s}
            write_bytes(path, json.dumps(found, indent=1).encode())
            spent = sum(entry.get("cpu_s", 0) + entry.get("needs_cpu_s", 0) for entry in found.values())
            refused = sum("refused" in entry for entry in found.values())
            _say(
                f"seed {seed}: {method} to {target}: {spent:.1f} CPU-s"
                + (f", {refused} refused" if refused else "")
            )
        write_bytes(self._index(seed, target, method), json.dumps({"orders": path.name}).encode())

    def _index(self, seed: int, target: str, method: str = "values") -> Path:
        """Names the pieces that the present settings lead to."""
        return self.out / "index" / digest(self.smoke, seed, target, method) / "pieces.json"

    def record(self, seeds: Sequence[int]) -> dict[str, Any]:
        """Gathers what there is."""
        targets, transfer = list(self.targets), self.transfer
        shape = (len(targets), len(seeds), len(self.sources))
        values = {kind: np.full((*shape, transfer.draws), np.nan) for kind in KINDS}
        own: dict[str, list[float | None]] = {target: [None] * len(seeds) for target in targets}
        for t, s, index in self._indices(targets, seeds, "values"):
            own[targets[t]][s] = round(index["performance"], 4)
            for at, source in enumerate(self.sources):
                value = read_record(TransferValue, self.out / "values" / index["values"][source])
                for kind in KINDS:
                    values[kind][t, s, at] = getattr(value, kind)
        orders = {method: np.full(shape, np.nan) for method in self.methods}
        costs: dict[str, dict[str, Any]] = {}
        for method in self.methods:
            pairs = []
            for t, s, index in self._indices(targets, seeds, method):
                found = read_json(self.out / "orders" / index["orders"])
                entries = [found[source] for source in self.sources]
                orders[method][t, s] = [entry.get("order", np.nan) for entry in entries]
                pairs += [(targets[t], entry) for entry in entries]
            costs[method] = _costs(pairs)
        means = {kind: np.asarray(values[kind].mean(axis=-1)) for kind in KINDS}
        found_scores = {kind: _all_scores(means[kind], orders, len(seeds)) for kind in KINDS}
        return {
            "what": "how well each distance orders sources by their real worth to a target with few labels",
            "command": "TANAS_DATA=DIR python -m tanas_experiments.run.transfer --out WORK --seeds "
            + ",".join(map(str, seeds))
            + (" --smoke" if self.smoke else ""),
            "n": {
                "targets": len(targets),
                "sources": len(self.sources),
                "seeds": len(seeds),
                "few-label draws": transfer.draws,
                "labelled images": transfer.images,
                "columns measured": int(np.isfinite(means["frozen"]).all(axis=-1).sum()),
                "columns in all": len(targets) * len(seeds),
            },
            "seeds": list(seeds),
            "figures": {
                "value": "l on test images of the target (1: no error, 0: a constant answer), mean over draws",
                "tau": "weighted Kendall tau of order and value, 1 the best, a mean over targets and seeds",
                "regret@k": "the best source's value minus the best among the method's first k",
                "interval": "90 %, over draws of the targets with replacement",
                "against": "mean differences to a line in the same columns; the line is beaten where tau's is above 0",
                "cpu_s": "CPU seconds a pair in one thread, the median; features of both are there already",
                "needs_cpu_s": "the same for what a pair holds beside features; what an atom stores is not in it",
                "static order": "by mean value over the other targets, which no distance is told",
                "another seed": "by the values of other seeds' representatives: what could be had at best",
                "a method in fewer columns": "is measured with the first seed only, or refuses some pairs",
            },
            "hardware": {"processor": processor(), "cores": os.cpu_count()},
            "versions": versions(),
            "table": {
                name: {
                    **costs.get(name, {}),
                    **{kind: _entry(found_scores[kind], name) for kind in KINDS},
                }
                for name in found_scores["frozen"]
            },
            "spread": {
                kind: {
                    "best minus worst source": _rounded(_mean(_range(means[kind]))),
                    "best minus mean source": _rounded(_mean(means[kind].max(-1) - means[kind].mean(-1))),
                    "standard error of a value": _rounded(_mean(_errors(values[kind]))),
                }
                for kind in KINDS
            },
            "sources": list(self.sources),
            "targets": self.targets,
            "own performance": own,
            "values": {
                kind: {
                    f"{target}, seed {seed}": {
                        "mean": _plain(means[kind][t, s]),
                        "standard error": _plain(_errors(values[kind])[t, s]),
                    }
                    for t, target in enumerate(targets)
                    for s, seed in enumerate(seeds)
                }
                for kind in KINDS
            },
            "orders": {
                method: {
                    f"{target}, seed {seed}": _plain(orders[method][t, s])
                    for t, target in enumerate(targets)
                    for s, seed in enumerate(seeds)
                    if np.isfinite(orders[method][t, s]).any()
                }
                for method in self.methods
            },
        }

    def _indices(
        self, targets: Sequence[str], seeds: Sequence[int], method: str
    ) -> Iterator[tuple[int, int, dict[str, Any]]]:
        for t, target in enumerate(targets):
            for s, seed in enumerate(seeds):
                path = self._index(seed, target, method)
                if path.exists():
                    yield t, s, read_json(path)


def _all_scores(means: Floats, orders: dict[str, Floats], seeds: int) -> dict[str, Floats]:
    """Scores of the methods, and of the orders that they are held against."""
    found = {method: scores_of_orders(means, order) for method, order in orders.items()}
    found["static order"] = scores_of_orders(means, static_orders(means))
    found["random order"] = scores_of_chance(means)
    if seeds > 1:
        others = (means.sum(axis=-2, keepdims=True) - means) / (seeds - 1)
        found["another seed"] = scores_of_orders(means, -others)
    return found


def _entry(found: dict[str, Floats], name: str) -> dict[str, Any]:
    """The figures of one method for one kind of transfer."""
    against = {line: _figures(found[name] - found[line]) for line in LINES if line in found and line != name}
    return {**_figures(found[name]), "against": against}


def _figures(found: Floats) -> dict[str, Any]:
    """Means with their intervals, as JSON's own types."""
    known = estimates(found, Seed(0).child("targets"))
    if known is None:
        return {"columns": 0}
    figures: dict[str, Any] = {
        name: {"mean": _rounded(estimate.mean), "interval": [_rounded(end) for end in estimate.interval]}
        for name, estimate in zip(STATISTICS, known, strict=True)
    }
    return {**figures, "columns": known[0].columns}


def _costs(pairs: Sequence[tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    """Costs of a method a pair, and what it refused."""
    done = [entry for _, entry in pairs if "order" in entry]
    refused: dict[str, int] = {}
    for target, entry in pairs:
        if "refused" in entry:
            refused[target] = refused.get(target, 0) + 1
    first = next((entry["refused"] for _, entry in pairs if "refused" in entry), None)
    return {
        "pairs": len(done),
        "cpu_s": _rounded(statistics.median(e["cpu_s"] for e in done)) if done else None,
        "needs_cpu_s": _rounded(statistics.median(e["needs_cpu_s"] for e in done)) if done else None,
        **({"refused pairs by target": refused, "first refusal": first} if refused else {}),
    }


def _errors(values: Floats) -> Floats:
    """Standard errors of the means over draws, (targets, seeds, sources)."""
    draws = values.shape[-1]
    if draws < 2:
        return np.full(values.shape[:-1], np.nan)
    return np.asarray(values.std(axis=-1, ddof=1) / draws**0.5)


def _range(means: Floats) -> Floats:
    return np.asarray(means.max(axis=-1) - means.min(axis=-1))


def _mean(found: Floats) -> float:
    known = found[np.isfinite(found)]
    return float(known.mean()) if known.size else float("nan")


def _rounded(number: float) -> float | None:
    """To four digits behind the point; None for what is not known, which JSON has no number for."""
    return None if np.isnan(number) else round(float(number), 4)


def _plain(row: Floats) -> list[float | None]:
    return [_rounded(number) for number in row]


def _timed(work: Callable[[], Any]) -> tuple[float, Any]:
    """CPU seconds and the answer."""
    began = time.process_time()
    answer = work()
    return time.process_time() - began, answer


def _say(line: str) -> None:
    print(line, flush=True)


def _print(record: dict[str, Any]) -> None:
    """The table, most important columns first."""
    print(
        f"{'method':14}{'':8}{'tau':>7} {'interval':>16} {'regret@1':>9} {'regret@3':>9} {'CPU-s':>8}  columns"
    )
    for name, row in record["table"].items():
        for kind in KINDS:
            entry = row[kind]
            if not entry["columns"]:
                print(f"{name:14}{kind[:6]:8} not measured")
                continue
            low, high = entry["tau"]["interval"]
            cost = "" if row.get("cpu_s") is None else f"{row['cpu_s'] + row['needs_cpu_s']:.3f}"
            print(
                f"{name:14}{kind[:6]:8}{entry['tau']['mean']:7.3f} {low:7.3f} .. {high:5.3f} "
                f"{entry['regret@1']['mean']:9.4f} {entry['regret@3']['mean']:9.4f} {cost:>8}  {entry['columns']}"
            )


if __name__ == "__main__":
    main()
