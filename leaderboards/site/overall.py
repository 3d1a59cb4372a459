"""Over several tasks: the five-task means, published ones beside them, and mean ranks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from leaderboards.aggregates import FIVE, Aggregate, aggregates
from leaderboards.published import Row as PublishedRow
from leaderboards.published import Size, published_rows
from leaderboards.site.boards import BoardView, Row
from leaderboards.site.charts import Scale
from leaderboards.ties import CriticalDifference, critical_difference
from lra_design.records import Run
from tasks.probes import probe_of
from tasks.windows import parse_windowed

RANK_START, RANK_END = 190.0, 450.0
"""Ends of the axis of mean ranks, in SVG units; the names stand outside."""
MOST_RANKED = 20
"""Mechanisms in one figure of mean ranks; of more, those with the best mean accuracy."""
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


@dataclass(frozen=True)
class RankView:
    """Mean ranks over the tasks that mechanisms share, drawn on one line."""

    title: str
    tasks: tuple[str, ...]
    left_out: int
    """Mechanisms beyond `MOST_RANKED`."""
    result: CriticalDifference
    scale: Scale


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


def rank_views(boards: Sequence[BoardView]) -> list[RankView]:
    """Mean ranks for each scale, setting and mode: ranked entries alone, without copies, over the
    tasks that at least two mechanisms share; probes and windowed twins are no tasks of their own.
    """
    tracks: dict[tuple[str, str, str], dict[str, dict[str, Row]]] = {}
    for view in boards:
        board = view.board
        if not (parse_windowed(board.task) or probe_of(board.task)):
            track = tracks.setdefault((board.scale, board.setting, board.mode), {})
            rows = _ranked(view)
            if len(rows) > len(track.get(board.task, {})):  # of several boards the fullest
                track[board.task] = rows
    views = [_rank_view(" · ".join(track), tasks) for track, tasks in tracks.items()]
    return [view for view in views if view is not None]


def _ranked(view: BoardView) -> dict[str, Row]:
    found: dict[str, Row] = {}
    for row in view.rows:
        if row.entry.rank is not None and row.reading.copy_of is None:
            found.setdefault(row.entry.source_hash, row)
    return found


def _rank_view(title: str, by_task: Mapping[str, Mapping[str, Row]]) -> RankView | None:
    tasks = dict(by_task)
    while len(tasks) > 1 and len(_shared(tasks)) < 2:
        del tasks[min(tasks, key=lambda task: (len(tasks[task]), task))]
    if len(tasks) < 2:
        return None
    shared = {name: [rows[name] for rows in tasks.values()] for name in _shared(tasks)}
    best = sorted(shared, key=lambda name: (-_mean(shared[name]), name))[:MOST_RANKED]
    accuracies = {_label(shared[name][0], name): _accuracies(shared[name]) for name in best}
    return RankView(
        title=title,
        tasks=tuple(tasks),
        left_out=len(shared) - len(best),
        result=critical_difference(accuracies),
        scale=Scale(1, len(best), RANK_START, RANK_END),
    )


def _shared(tasks: Mapping[str, Mapping[str, Row]]) -> set[str]:
    return set.intersection(*(set(rows) for rows in tasks.values()))


def _accuracies(rows: Sequence[Row]) -> list[float]:
    return [row.entry.test.mean for row in rows if row.entry.test]


def _mean(rows: Sequence[Row]) -> float:
    return fmean(_accuracies(rows))


def _label(row: Row, source_hash: str) -> str:
    return f"{row.entry.name[:40]} {source_hash[:6]}"
