"""The five-task means, and the published ones that they may be held against."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from leaderboards.aggregates import FIVE, Aggregate, aggregates
from leaderboards.published import Row as PublishedRow
from leaderboards.published import Size, published_rows
from leaderboards.site.boards import BoardView
from lra_design.records import Run

SIZES: Mapping[str, tuple[Size, ...]] = {"smoke": (), "small": ("small",), "full": ("lra", "full")}
"""Scale of ours to the sizes of published networks that it may be held against."""


@dataclass(frozen=True)
class PublishedMean:
    """The mean of the five accuracies that one source has of one system."""

    system: str
    source: str
    size: Size
    accuracy: float
    """In [0, 1]."""


@dataclass(frozen=True)
class OverallView:
    """The five-task means under one scale, setting and mode."""

    title: str
    aggregates: tuple[Aggregate, ...]
    keys: Mapping[str, str]
    """Source hash to the key of an entry's page."""
    published: tuple[PublishedMean, ...]


def overall_views(boards: Sequence[BoardView], runs: Iterable[Run]) -> list[OverallView]:
    """A view for each scale, setting and mode under which a mechanism has two of the tasks."""
    rows = [row for view in boards for row in view.rows if not row.is_copy]
    keys = {row.entry.source_hash: row.key for row in reversed(rows)}
    accuracies = {run.run_id: run.test.accuracy for run in runs if run.test}
    tracks: dict[tuple[str, str, str], list[Aggregate]] = {}
    for one in aggregates([row.entry for row in rows], accuracies):
        tracks.setdefault((one.scale, one.setting, one.mode), []).append(one)
    return [
        OverallView(" · ".join(track), tuple(found), keys, published_means(SIZES[track[0]]))
        for track, found in tracks.items()
    ]


def published_means(sizes: Sequence[Size]) -> tuple[PublishedMean, ...]:
    """The published averages that a mean of ours may be held against, best first: of a network of
    such a size, over all five tasks, pictures read as ids, nothing flagged."""
    rows = [row for row in published_rows() if row.size in sizes and _comparable(row)]
    means = [
        PublishedMean(
            row.system,
            row.source,
            row.size,
            fmean(float(value) / 100 for name, value in row.accuracies.items() if name in FIVE),
        )
        for row in rows
    ]
    return tuple(sorted(means, key=lambda one: (-one.accuracy, one.system)))


def _comparable(row: PublishedRow) -> bool:
    values = [row.accuracies.get(name) for name in FIVE]  # type: ignore[call-overload]
    flagged = any(row.flags_of(name) for name in FIVE)  # type: ignore[arg-type]
    return all(isinstance(one, float) for one in values) and not (
        flagged or row.pixels.startswith("real")
    )
