"""Small made-up tables of trainings."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tanas_experiments.truth import Row

Error = Callable[[int, str, int], float]
"""Test error of an architecture, by position, target and seed."""


def row(
    position: int,
    target: str = "a",
    seed: int = 0,
    *,
    error: float = 0.5,
    score: float | None = None,
    loss: float = 1.0,
    parameters: int = 1000,
    macs: int = 5000,
) -> Row:
    """One training."""
    seen = round(1 - error, 5) if score is None else score
    return Row(
        position=position,
        key=f"key{position}",
        target=target,
        seed=seed,
        score=max(seen, 0.0) if seen == seen else seen,
        unclipped=seen,
        val_error=error,
        val_balanced=error,
        val_loss=loss,
        test_error=round(error / 2, 4),
        test_balanced=error,
        parameters=parameters,
        macs=macs,
        seconds=1.5,
    )


def rows(
    count: int,
    targets: Sequence[str],
    error: Error,
    *,
    seeds: Sequence[int] = (0, 1),
    parameters: Callable[[int], int] = lambda position: 1000 + 10 * position,
) -> tuple[Row, ...]:
    """All trainings of so many architectures."""
    return tuple(
        row(p, t, s, error=error(p, t, s), parameters=parameters(p), macs=7 * parameters(p))
        for p in range(count)
        for t in targets
        for s in seeds
    )
