"""Distances between many tasks, as a value."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tanas.distances.base import Measurement
from tanas.ground.errors import SettingError, UnknownNameError, check_range, nearest_names


@dataclass(frozen=True, kw_only=True)
class DistanceMatrix:
    """d(source -> target) for each source and target."""

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    measurements: tuple[Measurement, ...]
    """Row by row, a row a source: (sources x targets)."""
    null: tuple[Measurement, ...] = ()
    """From an untrained network like the target's representative, one a target: what a distance that sees
    nothing of learning says. Empty: nobody asked, or the method can't measure it."""

    @classmethod
    def of(
        cls,
        sources: Sequence[str],
        targets: Sequence[str],
        measurements: Sequence[Measurement],
        null: Sequence[Measurement] = (),
    ) -> DistanceMatrix:
        """A matrix whose rows and columns go by the given names.

        Args:
            sources: names that are all different.
            targets: names that are all different.
            measurements: row by row; they take the given names.
            null: from an untrained network to each target, or none.

        Raises:
            SettingError: a name occurs twice, or the numbers do not fit.
        """
        for names, what in ((sources, "sources"), (targets, "targets")):
            if len(set(names)) < len(names):
                raise SettingError(
                    f"The '{what}' of DistanceMatrix must differ. Got {', '.join(names)} instead."
                )
        if len(measurements) != len(sources) * len(targets):
            raise SettingError(
                f"The 'measurements' of DistanceMatrix must be {len(sources)} x {len(targets)}. "
                f"Got {len(measurements)} instead."
            )
        if null and len(null) != len(targets):
            raise SettingError(
                f"The 'null' of DistanceMatrix must be one for each of the {len(targets)} targets. "
                f"Got {len(null)} instead."
            )
        named = [(source, target) for source in sources for target in targets]
        return cls(
            sources=tuple(sources),
            targets=tuple(targets),
            measurements=tuple(
                replace(measurement, source=source, target=target)
                for (source, target), measurement in zip(named, measurements, strict=True)
            ),
            null=tuple(
                replace(measurement, target=target)
                for target, measurement in zip(targets, null, strict=bool(null))
            ),
        )

    def measurement(self, source: str, target: str) -> Measurement:
        """How d(source -> target) came about.

        Raises:
            UnknownNameError: a name is not in the matrix.
        """
        row, column = _position(source, self.sources, "source"), _position(target, self.targets, "target")
        return self.measurements[row * len(self.targets) + column]

    def value(self, source: str, target: str) -> float:
        """d(source -> target), in [0, 1].

        Raises:
            UnknownNameError: a name is not in the matrix.
        """
        return self.measurement(source, target).value

    def nearest(
        self, target: str, k: int | None = None, threshold: float | None = None
    ) -> tuple[Measurement, ...]:
        """The sources nearest to a target, the nearest first; the target itself is not among them.

        Ordered by `Measurement.order`, then by name.

        Args:
            target: name of the target.
            k: at most so many; None: no limit.
            threshold: only those with d <= threshold (the paper's tau); None: no limit.

        Raises:
            UnknownNameError: the target is not in the matrix.
            SettingError: `k` is below 1, or `threshold` outside [0, 1].
        """
        if k is not None:
            check_range(k, "k", "nearest", low=1)
        if threshold is not None:
            check_range(threshold, "threshold", "nearest", low=0, high=1)
        column = [self.measurement(source, target) for source in self.sources]
        others = [m for m in column if not m.same and (threshold is None or m.value <= threshold)]
        return tuple(sorted(others, key=lambda m: (m.order, m.source))[:k])

    def csv(self) -> str:
        """Text with a header `source,<target>,...` and a row a source."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["source", *self.targets])
        for source in self.sources:
            writer.writerow([source, *(f"{self.value(source, target):.6g}" for target in self.targets)])
        return text.getvalue()


def _position(name: str, names: tuple[str, ...], what: str) -> int:
    if name not in names:
        raise UnknownNameError(f"'{name}' is no {what} of this distance matrix. {nearest_names(name, names)}")
    return names.index(name)
