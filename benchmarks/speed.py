"""What is timed: pairs side by side in one run, as ratios, for machines are noisy.

    python benchmarks/speed.py [--repeats 5]

Prints a table and writes benchmarks/records/speed.json. Threads are pinned to one but where two are compared.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import nn
from torch.nn import functional

from tanas.algorithm.presets import quick
from tanas.distances.base import Pair
from tanas.distances.transform import TransformConfig, TransformDistance, fit_transform
from tanas.ground.context import Context
from tanas.ground.records import write_bytes
from tanas.ground.seeds import Seed
from tanas.ground.versions import processor, versions
from tanas.networks.architecture import build
from tanas.networks.operations import DilatedDepthwise
from tanas.spaces.named import named_space
from tanas.strategies.driver import Problem, search
from tanas.strategies.fuse import Fuse
from tanas.tasks.library import Library

RECORD = Path(__file__).parent / "records" / "speed.json"
SHAPE = (1, 28, 28)
BATCH = 128


def main() -> None:
    """Times every pair and writes the record."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    rows = [
        _row("tanas --help / python -c pass", _help, _nothing, repeats),
        _row("step of a standard network, NHWC / NCHW", _step(True), _step(False), repeats),
        _row("dilated depthwise 3x3, 16x28x28, ours / torch's", _dilated(True), _dilated(False), repeats),
        _row("FUSE round on digits, 2 workers / 1", _fuse(2), _fuse(1), repeats),
        _row("tanas demo / importing torch and scikit-learn", _demo, _import, min(repeats, 2)),
        _row(
            "d at the paper's widths / its dense fit alone",
            _distance(),
            _distance(fit_only=True),
            min(repeats, 2),
        ),
    ]
    for row in rows:
        print(f"{row['what']:50} {row['first_s']:9.4f} s {row['second_s']:9.4f} s   ratio {row['ratio']:.2f}")
    record = {
        "command": "python benchmarks/speed.py",
        "n": repeats,
        "figures": "medians; the ratio is the median of the ratios of runs side by side",
        "hardware": {"processor": processor(), "cores": os.cpu_count()},
        "versions": versions(),
        "rows": rows,
    }
    write_bytes(RECORD, (json.dumps(record, indent=1) + "\n").encode())


def _row(what: str, first: Callable[[], None], second: Callable[[], None], repeats: int) -> dict[str, Any]:
    first()  # warm-up, not counted
    second()
    pairs = [(_seconds(first), _seconds(second)) for _ in range(repeats)]
    return {
        "what": what,
        "first_s": statistics.median(a for a, _ in pairs),
        "second_s": statistics.median(b for _, b in pairs),
        "ratio": statistics.median(a / b for a, b in pairs),
        "ratios": [round(a / b, 3) for a, b in pairs],
    }


def _seconds(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _help() -> None:
    subprocess.run([sys.executable, "-m", "tanas", "--help"], check=True, stdout=subprocess.DEVNULL)


def _nothing() -> None:
    subprocess.run([sys.executable, "-c", "pass"], check=True)


def _demo() -> None:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "tanas", "demo", "--quiet", "--out", str(Path(folder) / "demo")]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def _import() -> None:
    subprocess.run([sys.executable, "-c", "import torch, sklearn.linear_model"], check=True)


def _step(channels_last: bool) -> Callable[[], None]:
    form = torch.channels_last if channels_last else torch.contiguous_format
    [architecture] = named_space("standard").sample(1, seed=Seed(3), shape=SHAPE, classes=10)
    network = build(architecture, SHAPE, 10, Seed(0)).to(memory_format=form)
    pixels = torch.rand(BATCH, *SHAPE).to(memory_format=form)
    labels = torch.arange(BATCH) % 10
    return lambda: functional.cross_entropy(network(pixels), labels).backward()


def _dilated(ours: bool) -> Callable[[], None]:
    plain = nn.Conv2d(16, 16, 3, padding=2, dilation=2, groups=16, bias=False)
    layer = (DilatedDepthwise(16, 3) if ours else plain).to(memory_format=torch.channels_last)
    images = torch.rand(BATCH, 16, 28, 28).to(memory_format=torch.channels_last).requires_grad_()
    return lambda: layer(images).sum().backward()


def _fuse(workers: int) -> Callable[[], None]:
    task = Library().open("digits").without_test()
    space = named_space("standard", shape=task.shape)
    problem = Problem(space=space, task=task, at=Context(seed=Seed(0), workers=workers))
    fuse = Fuse(quick().learn)

    def round_of_fuse() -> None:
        search(fuse, problem)

    return round_of_fuse


def _distance(*, fit_only: bool = False) -> Callable[[], None]:
    generator = Seed(0).torch()
    rows = {name: torch.rand(n, 1024, generator=generator) for name, n in (("fit", 1500), ("gate", 3000))}
    labels = {name: torch.arange(len(features)) % 2 for name, features in rows.items()}
    for name, features in rows.items():
        features[labels[name] == 1, :64] += 1.0  # two classes that a head tells apart
    pair = Pair(
        source="a",
        target="b",
        same=False,
        source_fit=rows["fit"],
        source_gate=rows["gate"],
        target_fit=rows["fit"].flip(1),
        target_gate=rows["gate"].flip(1),
        labels_fit=labels["fit"],
        labels_gate=labels["gate"],
        classes=2,
        measure="balanced",
        head_weight=torch.zeros(2, 1024),
        head_bias=torch.zeros(2),
        source_head_weight=torch.zeros(2, 1024),
        source_head_bias=torch.zeros(2),
        own=1.0,
        epsilon=0.04,
    )
    config = TransformConfig()
    if fit_only:
        return lambda: fit_transform(pair, config, Seed(0))
    return lambda: TransformDistance(config=config)(pair, Seed(0))


if __name__ == "__main__":
    main()
