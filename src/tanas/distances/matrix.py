"""Distances between many tasks."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace

from tanas.distances.base import Measurement
from tanas.ground.errors import UnknownNameError, nearest_names


@dataclass(frozen=True, kw_only=True)
class DistanceMatrix:
    """d(source -> target) for each source and target."""

    sources: tuple[str, ...]
    targets: tuple[str, ...]
    measurements: tuple[Measurement, ...]
    """Row by row, one row per source: (sources x targets)."""
    null: tuple[Measurement, ...] = ()
    """Of an untrained network to each target; empty: not measured."""

    @classmethod
    def of(
        cls,
        sources: Sequence[str],
        targets: Sequence[str],
        measurements: Sequence[Measurement],
        null: Sequence[Measurement] = (),
    ) -> DistanceMatrix:
        """A matrix of measurements, which take the given names of sources and targets; each name occurs once."""
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
        """The measurement of d(source -> target).

        Raises:
            UnknownNameError: a name is not in the matrix.
        """
        for name, names, what in ((source, self.sources, "source"), (target, self.targets, "target")):
            if name not in names:
                raise UnknownNameError(
                    f"'{name}' is no {what} of this distance matrix. {nearest_names(name, names)}"
                )
        return self.measurements[self.sources.index(source) * len(self.targets) + self.targets.index(target)]

    def nearest(self, target: str) -> tuple[Measurement, ...]:
        """The measurements of a target, nearest first by `order` and then by name; the target itself is left out.

        Raises:
            UnknownNameError: the target is not in the matrix.
        """
        column = [self.measurement(source, target) for source in self.sources]
        return tuple(sorted((m for m in column if not m.same), key=lambda m: (m.order, m.source)))

    def csv(self) -> str:
        """Text with a header `source,<target>,...` and a row per source."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["source", *self.targets])
        for source in self.sources:
            writer.writerow(
                [source, *(f"{self.measurement(source, target).value:.6g}" for target in self.targets)]
            )
        return text.getvalue()
