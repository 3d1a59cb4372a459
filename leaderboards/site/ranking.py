"""Mean ranks over the tasks that mechanisms share, and where they stand in a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean

from leaderboards.human import TASK_FAMILIES, resembled_family
from leaderboards.site.boards import BoardView, Row
from leaderboards.site.charts import Scale
from leaderboards.ties import CriticalDifference, critical_difference
from tasks.probes import probe_of
from tasks.windows import parse_windowed

START, END = 190.0, 450.0
"""Ends of the axis, in SVG units; the names stand outside."""
MOST = 20
"""Mechanisms in one figure; of more, those with the best mean accuracy."""
NAME_WIDTH = 24
"""Characters of a name that the figure has room for."""


@dataclass(frozen=True)
class RankView:
    """Mechanisms by their mean rank, drawn on one line."""

    title: str
    tasks: tuple[str, ...]
    left_out: int
    """Mechanisms beyond `MOST`."""
    result: CriticalDifference
    """Its names are source hashes."""
    names: tuple[str, ...]
    """In the order of `result`."""
    scale: Scale


def rank_views(boards: Sequence[BoardView]) -> list[RankView]:
    """Mean ranks for each scale, setting and mode under which two mechanisms share two tasks.

    Ranked entries alone, without copies. Probes and windowed twins are no tasks of their own, and
    of several boards of one family, such as two sizes of ListOps, the one with most entries counts.
    """
    tracks: dict[tuple[str, str, str], dict[str, tuple[str, dict[str, Row]]]] = {}
    for view in boards:
        board = view.board
        if parse_windowed(board.task) or probe_of(board.task):
            continue
        track = tracks.setdefault((board.scale, board.setting, board.mode), {})
        family = TASK_FAMILIES.get(board.task) or resembled_family(board.task) or board.task
        rows = _ranked(view)
        if family not in track or len(rows) > len(track[family][1]):
            track[family] = board.task, rows
    views = [_view(" · ".join(key), dict(track.values())) for key, track in tracks.items()]
    return [view for view in views if view is not None]


def _ranked(view: BoardView) -> dict[str, Row]:
    found: dict[str, Row] = {}
    for row in view.rows:
        if row.entry.rank is not None and row.reading.copy_of is None:
            found.setdefault(row.entry.source_hash, row)
    return found


def _view(title: str, tasks: dict[str, dict[str, Row]]) -> RankView | None:
    while len(tasks) > 1 and len(_shared(tasks)) < 2:
        del tasks[min(tasks, key=lambda task: (len(tasks[task]), task))]
    if len(tasks) < 2:
        return None
    accuracies = {
        name: [row.entry.test.mean for rows in tasks.values() if (row := rows[name]).entry.test]
        for name in _shared(tasks)
    }
    best = sorted(accuracies, key=lambda name: (-fmean(accuracies[name]), name))[:MOST]
    result = critical_difference({name: accuracies[name] for name in best})
    rows = next(iter(tasks.values()))
    return RankView(
        title=title,
        tasks=tuple(tasks),
        left_out=len(accuracies) - len(best),
        result=result,
        names=tuple(rows[name].entry.name[:NAME_WIDTH] for name in result.names),
        scale=Scale(1, len(best), START, END),
    )


def _shared(tasks: Mapping[str, Mapping[str, Row]]) -> set[str]:
    """Source hashes of the mechanisms that all of the tasks have."""
    return set.intersection(*(set(rows) for rows in tasks.values()))
