"""Who pays for an accuracy more than somebody else does: fronts of accuracy against cost."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from statistics import median

from leaderboards.dossiers import Dossier
from leaderboards.scores import Entry
from lra_design.records import Run, record

AT_LENGTH = 4096
"""Positions at which operations and memory are compared."""
COSTS = ("device_seconds", "num_parameters", "flops", "peak_memory_bytes")


@record
class Costs:
    """What one entry takes; None is not known, and never 0."""

    device_seconds: float | None
    """Of one training: the median over its seeds."""
    num_parameters: int | None
    """Of the whole network."""
    flops: float | None
    """Of one forward of the mechanism over `AT_LENGTH` positions, as its certificate has them."""
    peak_memory_bytes: float | None


def costs(entry: Entry, runs: Iterable[Run], dossier: Dossier | None) -> Costs:
    """runs: those of the entry. dossier: of its mechanism."""
    seconds = [run.usage.seconds for run in runs]
    scaling = dossier.certificate.scaling if dossier else None
    point = next((p for p in scaling.points if p.seq_len == AT_LENGTH), None) if scaling else None
    return Costs(
        device_seconds=median(seconds) if seconds else None,
        num_parameters=entry.num_parameters,
        flops=point.flops if point else None,
        peak_memory_bytes=point.peak_memory_bytes if point else None,
    )


def front(points: Sequence[tuple[float | None, float | None]]) -> tuple[int, ...]:
    """Places of those (cost, accuracy) that no other beats in one and equals in the other, cheapest
    first. Points with something missing are on no front."""
    known = sorted(
        (cost, -accuracy, place)
        for place, (cost, accuracy) in enumerate(points)
        if cost is not None and accuracy is not None
    )
    found: list[tuple[float, float, int]] = []
    for point in known:
        if not found or point[1] < found[-1][1] or point[:2] == found[-1][:2]:
            found.append(point)
    return tuple(place for _, _, place in found)
