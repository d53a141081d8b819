"""A search cannot see the test split: other test labels change the test figures and nothing else."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.conftest import Answer, bars
from tests.sessions import without_times

TEST_FIGURES = {
    "test_error",
    "test_balanced_error",
    "test_performance",
    "test_calibration_error",
    "constant_error",
    "constant_balanced_error",
}


@pytest.fixture
def runs(tanas: Callable[..., Answer], desk: Path) -> list[Path]:
    """Two searches on the same images: with the true test labels, and with these dealt out anew."""
    x, y = bars(150, seed=1)
    x_test, y_test = bars(60, seed=2)
    dealt = np.random.default_rng(0).permutation(y_test)
    tiny = (desk / "tiny.toml").read_text()
    (desk / "tiny.toml").write_text(tiny.replace("reference = false", "reference = true"))
    runs = []
    for name, labels in (("true", y_test), ("dealt", dealt)):
        folder = desk / name
        folder.mkdir()
        np.savez(folder / "bars.npz", x_train=x, y_train=y, x_test=x_test, y_test=labels)
        done = tanas(
            *("search", f"npz:{name}/bars.npz", "--dictionary", "known", "--config", "tiny.toml"),
            *("--out", f"run-{name}", "--epochs", "20"),
        )
        assert done.status == 0, done.err
        runs.append(desk / f"run-{name}")
    return runs


def test_permuted_test_labels_change_the_test_figures_only(runs: list[Path], desk: Path) -> None:
    true, dealt = (blinded(run) for run in runs)
    assert true == dealt
    assert true["distances"], "nothing was measured"
    assert true["rounds"], "nothing was searched"
    weights = [(run / "weights.safetensors").read_bytes() for run in runs]
    assert weights[0] == weights[1]

    metrics = [json.loads((run / "result.json").read_text())["metrics"] for run in runs]
    assert metrics[0]["validation_error"] == metrics[1]["validation_error"]
    assert metrics[0]["test_error"] != metrics[1]["test_error"]
    rivals = [json.loads((run / "result.json").read_text())["rivals"] for run in runs]
    assert len(rivals[0]) == len(rivals[1]) >= 3
    errors = [{one["name"]: one["test_error"] for one in those} for those in rivals]
    assert errors[0] != errors[1]


def blinded(run: Path) -> Any:
    """What a result says but for times, names of files, and what is counted on the test split."""
    result = without_times(json.loads((run / "result.json").read_text()))
    result["rivals"] = sorted((one["name"], one["settings"], one["images"]) for one in result["rivals"])
    for key in ("command", "confusion", "mistakes"):
        del result[key]
    del result["task"]["test_fingerprint"]
    for figure in TEST_FIGURES:
        del result["metrics"][figure]
    name = result["task"]["name"]
    return json.loads(json.dumps(result).replace(name, "TASK"))
