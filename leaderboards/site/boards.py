"""Boards and their rows, as the templates show them."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass

from leaderboards import table
from leaderboards.contents import Contents
from leaderboards.dossiers import Dossier, Dossiers, dossier_of
from leaderboards.human import (
    FAMILY_NOTES,
    TASK_FAMILIES,
    HumanResult,
    anchor,
    comparable_task,
    resembled_family,
    results,
)
from leaderboards.pareto import Costs, costs
from leaderboards.reading import Reading, readings
from leaderboards.scores import Board, Entry
from lra_design.records import IsolationRecord, Run

CHART_WIDTH = 240.0
"""Width of the interval chart in SVG units."""
CHART_MARGIN = 14.0
"""Room left and right of the axis for half a tick label."""


@dataclass(frozen=True)
class Axis:
    """The common axis of a board's interval chart."""

    low: float
    high: float

    def x(self, share: float) -> str:
        """Where an accuracy stands, in SVG units."""
        inner = CHART_WIDTH - 2 * CHART_MARGIN
        return f"{CHART_MARGIN + inner * (share - self.low) / (self.high - self.low):.1f}"

    @property
    def ticks(self) -> list[float]:
        """Three to six round accuracies."""
        span = self.high - self.low
        step = next(s for s in (0.01, 0.02, 0.05, 0.1, 0.2, 0.5) if span / s < 6)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [i * step for i in range(first, last + 1)]


@dataclass(frozen=True)
class Row:
    """One entry with the runs it was computed from."""

    key: str
    """Names its page."""
    entry: Entry
    runs: tuple[Run, ...]
    reading: Reading
    dossier: Dossier | None
    costs: Costs

    @property
    def isolations(self) -> tuple[IsolationRecord, ...]:
        """The different ways in which the runs were kept apart from the judge."""
        return tuple(dict.fromkeys(run.isolation for run in self.runs))


@dataclass(frozen=True)
class BoardView:
    """One board as the template shows it."""

    key: str
    board: Board
    rows: tuple[Row, ...]
    axis: Axis
    chance: float | None
    best: float | None
    human: HumanResult | None
    landmarks: tuple[HumanResult, ...]
    comparable: bool
    """Whether the landmarks may be read against the entries."""


@dataclass(frozen=True)
class FamilyView:
    """All published results of one family."""

    task: str
    results: tuple[HumanResult, ...]
    note: str | None
    """What must be known to read them."""


def board_views(entries: Sequence[Entry], contents: Contents) -> tuple[BoardView, ...]:
    """The boards of `entries`, in their order, with the runs behind them.

    Raises ValueError when a run that an entry was computed from is not in `contents`.
    """
    by_id = {run.run_id: run for run in contents.runs}
    known = readings(entries, contents.runs)
    rows: dict[Board, list[Row]] = {}
    for entry, reading in zip(entries, known, strict=True):
        rows.setdefault(entry.board, []).append(_row(entry, reading, by_id, contents.dossiers))
    return tuple(
        _board_view(f"board-{i}", board, tuple(members))
        for i, (board, members) in enumerate(rows.items(), start=1)
    )


def _row(entry: Entry, reading: Reading, by_id: Mapping[str, Run], dossiers: Dossiers) -> Row:
    runs = _runs_of(entry, by_id)
    dossier = dossier_of(runs[0], dossiers)
    return Row(
        key=entry_key(entry),
        entry=entry,
        runs=runs,
        reading=reading,
        dossier=dossier,
        costs=costs(entry, runs, dossier),
    )


def entry_key(entry: Entry) -> str:
    """Names an entry's page: equal as long as nothing but seeds is added to the entry."""
    what = [entry.source_hash, asdict(entry.board), asdict(entry.train), entry.hyperparameters]
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]


def _board_view(key: str, board: Board, rows: tuple[Row, ...]) -> BoardView:
    landmarks, comparable = table.board_landmarks(board)
    entries = [row.entry for row in rows]
    chance = next((entry.chance for entry in entries if entry.chance is not None), None)
    means = [entry.test.mean for entry in entries if entry.test]
    return BoardView(
        key=key,
        board=board,
        rows=rows,
        axis=_axis(entries, chance, landmarks if comparable else ()),
        chance=chance,
        best=max(means, default=None),
        human=anchor(TASK_FAMILIES.get(board.task)),
        landmarks=landmarks,
        comparable=comparable,
    )


def _runs_of(entry: Entry, by_id: Mapping[str, Run]) -> tuple[Run, ...]:
    missing = [run_id for run_id in entry.run_ids if run_id not in by_id]
    if missing:
        raise ValueError(
            f"expected every run of '{entry.name}' among the runs, {missing[0]} is not: "
            "pass the runs that the entries were computed from"
        )
    return tuple(by_id[run_id] for run_id in entry.run_ids)


def _axis(entries: list[Entry], chance: float | None, shown: Sequence[HumanResult]) -> Axis:
    """The smallest axis in steps of 5 points with room for all that is drawn on it."""
    tests = [entry.test for entry in entries if entry.test]
    marks = [bound for test in tests for bound in (test.low, test.high)]
    marks += [result.accuracy for result in shown]
    if chance is not None:
        marks.append(chance)
    if not marks:
        return Axis(0.0, 1.0)
    low = max(0, math.floor(20 * min(marks) - 0.2))
    high = min(20, math.ceil(20 * max(marks) + 0.2))
    return Axis(low / 20, high / 20)


def families(boards: Iterable[Board]) -> list[FamilyView]:
    """What is published on the tasks of `boards`, or on those that they resemble."""
    names = [TASK_FAMILIES.get(board.task) or resembled_family(board.task) for board in boards]
    known = sorted({name for name in names if name is not None})
    return [
        FamilyView(comparable_task(name), results(name), FAMILY_NOTES.get(name)) for name in known
    ]
