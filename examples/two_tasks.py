"""Two tasks one after the other: the second search finds the first in the memory and inherits from it."""

from pathlib import Path

from sklearn.datasets import load_digits

import tanas
from tanas.algorithm.presets import quick

digits = load_digits()
images = digits.images / 16  # floats in [0, 1], (1797, 8, 8)

for digit in (3, 8):
    run = tanas.search(
        images,
        digits.target == digit,
        name=f"digit {digit}",
        classes=("the rest", str(digit)),
        out=Path("runs", str(digit)),
        config=quick(),
    )
    result = run.result()
    print(f"{result.task.name}: test error {result.metrics.test_error:.1%}, {result.parameters} weights")
    for neighbour in result.neighbours:
        print(f"  inherited from {neighbour.atom}, d = {neighbour.distance:.3f}")
