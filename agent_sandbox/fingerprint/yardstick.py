"""How far two vectors of behaviour are apart, in units measured on the known mechanisms."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

from agent_sandbox.fingerprint.records import Known

FLOOR = 0.02
"""A difference of a feature below this means nothing, however steady the feature is."""
SHARE_OF_SCALE = 0.05
"""Nor does one below this share of what mechanisms differ by."""
MOST_UNITS = 10.0
"""A feature counts for no more: one difference in kind must not hide how alike all else is."""
COVERED = 0.95
"""Share of the pairs of fingerprints of one mechanism that `same_below` is to cover."""
Vector = Sequence[float]


class Yardstick:
    """The unit of each feature: what two draws of one mechanism differ by, but never nothing."""

    def __init__(self, entries: Sequence[Known]) -> None:
        self.units = tuple(
            _unit([[vector[index] for vector in entry.vectors] for entry in entries])
            for index in range(len(entries[0].vectors[0]))
        )
        self.same_below = self._same_below(entries)

    def differences(self, a: Vector, b: Vector) -> list[float]:
        """In units, feature by feature, without sign."""
        return [
            min(abs(x - y) / unit, MOST_UNITS) for x, y, unit in zip(a, b, self.units, strict=True)
        ]

    def distance(self, a: Vector, b: Vector) -> float:
        """Root of the mean square of the differences."""
        return math.sqrt(statistics.fmean(units**2 for units in self.differences(a, b)))

    def _same_below(self, entries: Sequence[Known]) -> float:
        """Of each fingerprint from the mean of the others of the same mechanism."""
        distances = sorted(
            self.distance(vector, centre(entry.vectors[:i] + entry.vectors[i + 1 :]))
            for entry in entries
            for i, vector in enumerate(entry.vectors)
        )
        return distances[math.ceil(COVERED * len(distances)) - 1]


def _unit(groups: Sequence[Sequence[float]]) -> float:
    """Of one feature; groups: its values by mechanism."""
    within = statistics.fmean(map(statistics.variance, groups))
    between = statistics.pvariance(map(statistics.fmean, groups))
    return math.sqrt(within + FLOOR**2 + SHARE_OF_SCALE**2 * between)


def centre(vectors: Sequence[Vector]) -> list[float]:
    """The mean vector."""
    return [statistics.fmean(column) for column in zip(*vectors, strict=True)]
