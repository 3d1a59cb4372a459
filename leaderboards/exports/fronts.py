"""The points of a board by cost and accuracy, and which of them are on the front."""

from __future__ import annotations

from collections.abc import Sequence

from leaderboards.contents import Contents
from leaderboards.dossiers import dossier_of
from leaderboards.pareto import COSTS, Costs, costs, front
from leaderboards.scores import Board, Entry, group_by_board

Point = tuple[float, float, str]
"""Cost, test accuracy in percent, name."""
Fronts = list[tuple[str, list[Point], tuple[int, ...]]]
"""For each cost that is known of an entry: its name, the points, the places of those on the front,
cheapest first."""


def cost_fronts(entries: Sequence[Entry], contents: Contents) -> list[tuple[Board, Fronts]]:
    """Every board with an entry that has a score and a known cost."""
    by_id = {run.run_id: run for run in contents.runs}
    found = []
    for board, members in group_by_board(entry for entry in entries if entry.test).items():
        known = []
        for entry in members:
            runs = [by_id[run_id] for run_id in entry.run_ids]
            known.append(costs(entry, runs, dossier_of(runs[0], contents.dossiers)))
        fronts = [one for cost in COSTS if (one := _front(cost, members, known))[1]]
        if fronts:
            found.append((board, fronts))
    return found


def _front(
    cost: str, entries: Sequence[Entry], known: Sequence[Costs]
) -> tuple[str, list[Point], tuple[int, ...]]:
    points: list[Point] = [
        (float(value), 100 * entry.test.mean, entry.name)
        for entry, one in zip(entries, known, strict=True)
        if entry.test and (value := getattr(one, cost)) is not None
    ]
    return cost, points, front([(x, y) for x, y, _ in points])
